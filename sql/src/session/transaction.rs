//! The transaction under way: its isolation, snapshot, locks and savepoints, and how it ends.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use datafusion::sql::sqlparser::ast::{ObjectName, TransactionAccessMode, TransactionMode};
use parking_lot::{Mutex, RwLock};
use tidelog_storage::catalog::IndexId;
use tidelog_storage::snapshot::Lookup;
use tidelog_storage::transaction::Mark;
use tidelog_storage::{
    CommitError, Datum, Partition, PartitionSet, ReadSet, RowVersion, Seq, Snapshot, TableDef,
    TableId, Transaction,
};

use super::ddl::{DdlMark, PendingDdl};
use super::isolation::{Isolation, level_of};
use super::{Notice, Outcome, Session, TransactionStatus};
use crate::constraints::computed::check_row;
use crate::constraints::deferred::{Deferred, DeferredMark};
use crate::copy::CopyIn;
use crate::ddl as definitions;
use crate::error::{ErrorKind, SqlError, unique_violation};
use crate::locks::Locks;
use crate::notify::ChannelChange;
use crate::provider::Scope;
use crate::row::Write;
use crate::settings::SettingsMark;
use crate::turns::{TURN_ROWS, Turns};

fn too_large(bytes_max: usize) -> SqlError {
    let shown = match bytes_max {
        bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    };
    let message = format!("a transaction's changes exceed {shown}");
    SqlError::new(ErrorKind::ProgramLimitExceeded, message)
        .hint("Write it in several transactions.")
}

/// Counts the memory of rows that a statement gathers before it changes anything.
pub(crate) struct Room {
    bytes: usize,
    bytes_max: usize,
}

impl Room {
    /// 54000 when the row is one too many.
    pub(crate) fn take(&mut self, row: &[Datum]) -> Result<(), SqlError> {
        let heap = row.iter().map(|value| match value {
            Datum::Text(text) => text.len(),
            Datum::Bytea(bytes) => bytes.len(),
            _ => 0,
        });
        self.take_bytes(heap.sum::<usize>() + size_of_val(row))
    }

    /// The same, of so many bytes.
    pub(crate) fn take_bytes(&mut self, bytes: usize) -> Result<(), SqlError> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        Ok(())
    }
}

/// How far the open transaction reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Each statement is a transaction.
    None,
    /// Until `end_implicit`.
    Implicit,
    /// Until COMMIT or ROLLBACK.
    Explicit,
}

/// The snapshots that a session reads from, also through portals and feeds that are still open.
#[derive(Default)]
pub struct LiveSnapshots {
    taken: Mutex<Vec<Weak<Snapshot>>>,
}

impl LiveSnapshots {
    pub(crate) fn note(&self, snapshot: &Arc<Snapshot>) {
        let mut taken = self.taken.lock();
        taken.retain(|snapshot| snapshot.strong_count() > 0);
        taken.push(Arc::downgrade(snapshot));
    }

    /// Lets go of the memory of those that are not in use any more.
    pub fn forget(&self) {
        let mut taken = self.taken.lock();
        taken.retain(|snapshot| snapshot.strong_count() > 0);
        taken.shrink_to_fit();
    }

    /// Whether one from before this Seq is in use.
    pub fn any_before(&self, seq: Seq) -> bool {
        let live: Vec<_> = self.taken.lock().iter().filter_map(Weak::upgrade).collect();
        live.iter().any(|snapshot| snapshot.taken_at() < seq)
    }
}

/// Where ROLLBACK TO goes back to.
pub(super) struct Savepoint {
    name: String,
    changes: Mark,
    ddl: DdlMark,
    deferred: DeferredMark,
    locks: usize,
    advisory: usize,
    settings: SettingsMark,
    said: usize,
    channels: usize,
    cursors: u64,
    read_only: bool,
}

/// The transaction under way.
pub(super) struct Work {
    pub(super) block: Block,
    pub(super) failed: bool,
    pub(super) started: chrono::DateTime<chrono::Utc>,
    /// Its number, once it was asked for.
    number: OnceLock<i64>,
    pub(super) isolation: Isolation,
    pub(super) read_only: bool,
    pub(super) deferrable: bool,
    /// Whether a statement that reads or writes was run in it.
    pub(super) queried: bool,
    pub(super) locks: Locks,
    pub(super) changes: Arc<RwLock<Transaction>>,
    /// What it changes of the catalog, once it does.
    pub(super) ddl: Option<PendingDdl>,
    /// What is to be checked before it commits.
    deferred: Deferred,
    pub(super) savepoints: Vec<Savepoint>,
    /// The one that all its statements read from, if they do.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    /// Those that its statements read from, as long as something of them is in use.
    pub(super) snapshots: Arc<LiveSnapshots>,
    /// The Seq of the first snapshot that a statement took.
    since: Mutex<Option<Seq>>,
    /// LISTEN and UNLISTEN, which take effect with the commit.
    channels: Vec<ChannelChange>,
    /// What they read, if the commit depends on it.
    reads: Arc<Mutex<HashSet<(TableId, PartitionSet)>>>,
    /// Whether its changes are with the committer.
    committing: Arc<AtomicBool>,
}

impl Work {
    pub(super) fn new(locks: Locks) -> Work {
        Work {
            block: Block::None,
            failed: false,
            started: chrono::Utc::now(),
            number: OnceLock::new(),
            isolation: Isolation::ReadCommitted,
            read_only: false,
            deferrable: false,
            queried: false,
            locks,
            changes: Arc::default(),
            ddl: None,
            deferred: Deferred::default(),
            savepoints: Vec::new(),
            snapshot: Mutex::default(),
            snapshots: Arc::default(),
            since: Mutex::default(),
            channels: Vec::new(),
            reads: Arc::default(),
            committing: Arc::default(),
        }
    }
}

impl Session {
    /// A transaction begins, of one statement or more: it has what the session's settings say.
    pub(super) fn begin_work(&mut self) {
        self.work.started = chrono::Utc::now();
        self.work.number = OnceLock::new();
        self.work.isolation = self.settings.default_isolation();
        self.work.read_only = self.settings.default_read_only();
        self.work.deferrable = self.settings.default_deferrable();
        self.work.queried = false;
        self.work.committing.store(false, Ordering::Relaxed);
        self.settings.begin();
        *self.work.since.get_mut() = None;
        self.forget_reads();
    }

    /// The next statement reads what is committed then.
    pub(crate) fn forget_reads(&mut self) {
        *self.work.snapshot.get_mut() = None;
        self.work.reads = Arc::default();
    }

    /// Makes the following statements one transaction, until `end_implicit` (a query string of several
    /// statements, a pipeline up to Sync). Does nothing inside a transaction block.
    pub fn begin_implicit(&mut self) {
        if self.work.block == Block::None {
            self.begin_work();
            self.work.block = Block::Implicit;
        }
    }

    /// Whether an implicit transaction is open that has something to commit.
    pub fn commits_at_end(&self) -> bool {
        let work = &self.work;
        let changes = !work.changes.read().is_noop() || work.ddl.is_some() || self.outbox.len() > 0;
        work.block == Block::Implicit && !work.failed && changes
    }

    /// Ends the implicit transaction, if one is open: commits, or rolls back if a statement in it failed.
    pub async fn end_implicit(&mut self) -> Result<(), SqlError> {
        if self.work.block != Block::Implicit {
            return Ok(());
        }
        self.work.block = Block::None;
        if std::mem::take(&mut self.work.failed) {
            self.roll_back();
            return Ok(());
        }
        Box::pin(self.check_and_commit()).await
    }

    /// Commits what is pending, if what was put off until then is as it must be; afterwards nothing is pending.
    async fn check_and_commit(&mut self) -> Result<(), SqlError> {
        let checked = self.check_deferred(true).await;
        if let Err(error) = checked.and_then(|()| self.act_on_commit()) {
            self.roll_back();
            return Err(error);
        }
        Ok(self.commit().await?)
    }

    /// Tells the session that a statement failed outside `execute` (while its rows were sent, by a cancel,
    /// in COPY data): an open transaction is failed. What it has done since its last savepoint is undone at
    /// once, so that nobody waits for its locks.
    pub fn fail(&mut self) {
        if self.work.block == Block::None {
            return self.roll_back();
        }
        self.work.failed = true;
        match self.work.savepoints.len() {
            0 => self.roll_back(),
            count => self.undo_to_savepoint(count - 1),
        }
    }

    fn undo_to_savepoint(&mut self, at: usize) {
        let savepoint = &self.work.savepoints[at];
        let (changes, ddl) = (savepoint.changes, savepoint.ddl);
        let (locks, advisory) = (savepoint.locks, savepoint.advisory);
        let (settings, deferred) = (savepoint.settings.clone(), savepoint.deferred.clone());
        self.work.changes.write().rollback_to_mark(changes);
        let savepoint = &self.work.savepoints[at];
        let (said, channels, cursors) = (savepoint.said, savepoint.channels, savepoint.cursors);
        self.undo_ddl(ddl);
        self.work.deferred.undo_to(deferred, at);
        let changed = self.settings.undo_to(settings);
        self.tell(changed);
        self.work.locks.release_to(locks);
        self.advisory.release_to(advisory);
        self.outbox.truncate(said);
        self.work.channels.truncate(channels);
        self.drop_cursors_after(cursors);
    }

    /// Undoes what is open, block or not: the client is gone.
    pub fn abort(&mut self) {
        self.work.block = Block::None;
        self.work.failed = false;
        self.roll_back();
    }

    /// Set while a commit is under way, whose outcome cannot be prevented any more.
    pub fn committing(&self) -> Arc<AtomicBool> {
        self.work.committing.clone()
    }

    /// The snapshots that the session reads from.
    pub fn live_snapshots(&self) -> Arc<LiveSnapshots> {
        self.work.snapshots.clone()
    }

    /// Takes one chunk of COPY data.
    pub async fn copy_data(&mut self, copy: &mut CopyIn, data: &[u8]) -> Result<(), SqlError> {
        let result = self.take_copy_data(copy, Some(data)).await;
        result.inspect_err(|_| self.fail_copy(copy))
    }

    /// Takes rows of COPY data, which the server has read from the binary format.
    pub async fn copy_rows(
        &mut self,
        copy: &mut CopyIn,
        rows: Vec<Vec<Datum>>,
    ) -> Result<(), SqlError> {
        let result = self.take_copy_rows(copy, rows).await;
        result.inspect_err(|_| self.fail_copy(copy))
    }

    /// Ends COPY data and returns the tag (`COPY 5`).
    pub async fn copy_done(&mut self, mut copy: CopyIn) -> Result<String, SqlError> {
        let result = match self.take_copy_data(&mut copy, None).await {
            Ok(()) => self.end_parts().await,
            result => result,
        };
        let result = match result {
            Ok(()) if self.work.block == Block::None => match self.act_on_commit() {
                Ok(()) => self.commit().await.map_err(SqlError::from),
                refused => refused,
            },
            Ok(()) if copy.is_alone => self.end_implicit().await,
            result => result,
        };
        if result.is_err() {
            self.fail_copy(&copy);
        }
        result.map(|()| format!("COPY {}", copy.rows()))
    }

    /// Where the session stands.
    pub fn transaction_status(&self) -> TransactionStatus {
        match (self.work.block, self.work.failed) {
            (Block::Explicit, true) => TransactionStatus::Failed,
            (Block::Explicit, false) => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// Commits what is pending; afterwards nothing is, whatever came of it.
    pub(super) async fn commit(&mut self) -> Result<(), CommitError> {
        let since = self.work.snapshot.get_mut().as_ref().map(|s| s.seq());
        let mut partitions = std::mem::take(&mut *self.work.reads.lock());
        let first = self.work.since.get_mut().take();
        let channels = std::mem::take(&mut self.work.channels);
        let said = self.outbox.take();
        let ddl = self.work.ddl.take();
        if let Some(base) = ddl.as_ref().map(PendingDdl::base) {
            // Nobody else knows a table that the block has made.
            partitions.retain(|(table, _)| base.table_by_id(*table).is_some());
        }
        // SET LOCAL ends with the transaction.
        let synced = self.settings.is_synced();
        let (mut changes, locks) = self.take_work(true);
        if let Some(ddl) = ddl {
            ddl.hand_over(&mut changes);
        }
        changes.notify(said);
        // A channel carries what is committed from here on: also what this transaction says.
        let visible = self.engine.store.visible();
        self.close_cursors();
        if changes.is_noop() {
            self.committed(channels, visible);
            return Ok(());
        }
        if !synced {
            changes.commit_unsynced();
        }
        if let Some(first) = first {
            changes.reads_since(first);
        }
        if let Some(since) = since
            && self.work.isolation == Isolation::Serializable
        {
            changes.depends_on(ReadSet { since, partitions });
        }
        self.work.committing.store(true, Ordering::Relaxed);
        // The locks go with the changes: were this future dropped, the commit would go on without it, or not have begun.
        let store = self.engine.store.clone();
        let committed = store.commit_holding(changes, Box::new(locks)).await;
        self.work.committing.store(false, Ordering::Relaxed);
        match committed {
            Ok(_) => {
                self.committed(channels, visible);
                Ok(())
            }
            Err(error) => {
                self.drop_fresh_cursors();
                Err(error)
            }
        }
    }

    /// LISTEN or UNLISTEN, when the transaction commits.
    pub(crate) fn change_channels(&mut self, change: ChannelChange) {
        self.work.channels.push(change);
    }

    pub(super) fn roll_back(&mut self) {
        self.drop_fresh_cursors();
        drop(self.take_work(false));
    }

    /// What was read so far stays as it is, whatever the transaction changes from here on. Rows that depend on its
    /// changes were read to their end.
    pub(super) fn detach_changes(&mut self) {
        if self.work.block != Block::None && self.work.changes.read().is_untouched() {
            self.work.changes = Arc::default();
        }
    }

    fn take_work(&mut self, committed: bool) -> (Transaction, [Locks; 2]) {
        self.work.savepoints.clear();
        self.work.channels.clear();
        self.outbox.truncate(0);
        self.work.ddl = None;
        self.work.deferred = Deferred::default();
        let changed = self.settings.end(committed);
        self.tell(changed);
        self.forget_reads();
        *self.work.since.get_mut() = None;
        let fresh = self.work.locks.fresh();
        let locks = std::mem::replace(&mut self.work.locks, fresh);
        let locks = [locks, self.advisory.take_transaction()];
        // A scan that is still being sent may hold the lock for reading; it found nothing to read here.
        if self.work.changes.read().is_untouched() {
            return (Transaction::new(), locks);
        }
        let taken = std::mem::take(&mut *self.work.changes.write());
        self.work.changes = Arc::default();
        (taken, locks)
    }

    /// Room for the rows that one statement gathers.
    pub(crate) fn room(&self) -> Room {
        Room {
            bytes: 0,
            bytes_max: self.engine.transaction_bytes_max,
        }
    }

    /// Tells the client of settings.
    fn tell(&mut self, changed: Vec<(String, String)>) {
        let notices = changed.into_iter();
        self.notices
            .extend(notices.map(|(name, value)| Notice::Parameter { name, value }));
    }

    /// Whether changes wait for a later commit (and so must be checked against the data now).
    pub(crate) fn defers_commit(&self) -> bool {
        self.work.block != Block::None
    }

    pub(crate) fn isolation(&self) -> Isolation {
        self.work.isolation
    }

    /// What waits to be checked.
    pub(crate) fn deferred(&self) -> &Deferred {
        &self.work.deferred
    }

    pub(crate) fn deferred_mut(&mut self) -> &mut Deferred {
        &mut self.work.deferred
    }

    /// How many savepoints there are.
    pub(crate) fn savepoints(&self) -> usize {
        self.work.savepoints.len()
    }

    pub(crate) fn locks(&mut self) -> &mut Locks {
        &mut self.work.locks
    }

    pub(crate) fn started(&self) -> chrono::DateTime<chrono::Utc> {
        self.work.started
    }

    /// The number of the transaction under way (`txid_current()`), which no other one ever has.
    pub(crate) fn transaction_number(&self) -> i64 {
        let draw = || self.engine.store.draw_ids(1).as_i64();
        *self.work.number.get_or_init(draw)
    }

    /// What a statement that starts now reads.
    pub(crate) fn scope(&self) -> Arc<Scope> {
        let store = &self.engine.store;
        let snapshot = if self.work.isolation.keeps_snapshot() {
            let mut kept = self.work.snapshot.lock();
            kept.get_or_insert_with(|| store.snapshot()).clone()
        } else {
            store.snapshot()
        };
        self.work.since.lock().get_or_insert(snapshot.seq());
        self.work.snapshots.note(&snapshot);
        let snapshot = self.with_own_catalog(snapshot);
        self.work.snapshots.note(&snapshot);
        let serializable = self.work.isolation == Isolation::Serializable;
        Arc::new(Scope {
            store: store.clone(),
            // What a role may do is what it may do now, whatever the snapshot's moment is.
            access: self.access(&self.catalog()),
            snapshot,
            transaction: self.work.changes.clone(),
            reads: serializable.then(|| self.work.reads.clone()),
        })
    }

    /// The snapshot that the transaction keeps, once it has one.
    pub(super) fn kept_snapshot(&self) -> Option<Arc<Snapshot>> {
        let kept = self.work.snapshot.lock();
        kept.clone()
            .filter(|_| self.work.isolation.keeps_snapshot())
    }

    /// As `scope`, but of what is committed now, whatever the isolation.
    pub(crate) fn latest_scope(&self) -> Arc<Scope> {
        let snapshot = self.snapshot();
        self.work.snapshots.note(&snapshot);
        let Scope {
            store,
            access,
            transaction,
            reads,
            ..
        } = &*self.scope();
        Arc::new(Scope {
            store: store.clone(),
            access: access.clone(),
            snapshot,
            transaction: transaction.clone(),
            reads: reads.clone(),
        })
    }

    /// Adds changes to the transaction: all of them or, with an error, none. Where the commit comes later, a key
    /// that exists is found now; its lock must be held.
    pub(crate) async fn write(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        (self.work.since.get_mut()).get_or_insert_with(|| self.engine.store.visible());
        self.check_role_writes(table, writes)?;
        let before = self.work.changes.read().len();
        let (mut snapshot, mut turns) = (None, Turns::default());
        let inserts = |write: &Write| !write.new_keys(table).is_empty();
        for writes in writes.chunks(TURN_ROWS) {
            turns.worked(writes.len()).await;
            if !table.computed.is_empty() {
                let rows = writes.iter().filter_map(|write| write.new.as_ref());
                let checked = rows.into_iter().try_for_each(|row| check_row(table, row));
                if checked.is_err() {
                    self.work.changes.write().rollback_to(before);
                    return checked;
                }
            }
            let added = match self.defers_commit() && writes.iter().any(inserts) {
                false => self.add(table, writes, None),
                true => {
                    let snapshot = snapshot.get_or_insert_with(|| self.snapshot());
                    tokio::task::block_in_place(|| self.add(table, writes, Some(snapshot)))
                }
            };
            if added.is_err() {
                self.work.changes.write().rollback_to(before);
                return added;
            }
        }
        Ok(())
    }

    /// What came before an error stays.
    fn add(
        &self,
        table: &Arc<TableDef>,
        writes: &[Write],
        snapshot: Option<&Snapshot>,
    ) -> Result<(), SqlError> {
        let bytes_max = self.engine.transaction_bytes_max;
        let mut changes = self.work.changes.write();
        let mut add = |write: &Write| {
            if let Some(snapshot) = snapshot {
                let keys = write.new_keys(table).into_iter();
                // What is deferrable is looked at when all is there.
                for (key, values) in keys.filter(|(key, _)| !key.is_deferrable()) {
                    let (partition, own) = (&write.partition, Some(&*changes));
                    let found = snapshot.lookup_unique(table, partition, key, &values, own)?;
                    if found != Lookup::Absent {
                        // That the key exists is something that was read.
                        let partition = PartitionSet::One(partition.clone());
                        self.work.reads.lock().insert((table.id, partition));
                        return Err(unique_violation(table, key.id, &values));
                    }
                }
            }
            match (&write.old, &write.new) {
                (None, Some(row)) => {
                    changes.insert(table, &write.partition, row);
                }
                (Some(old), Some(row)) => {
                    changes.update(table, &write.partition, old, row);
                }
                (Some(old), None) => changes.delete(table, &write.partition, old),
                (None, None) => {}
            }
            if changes.bytes() > bytes_max {
                return Err(too_large(bytes_max));
            }
            Ok(())
        };
        writes.iter().try_for_each(&mut add)
    }

    /// Adds rows from before an index to it, with the commit.
    pub(crate) fn add_with_block(
        &self,
        table: &Arc<TableDef>,
        index: IndexId,
        rows: Vec<(Partition, RowVersion)>,
    ) -> Result<(), CommitError> {
        self.work.changes.write().fill_index(table, index, rows)
    }

    /// 54000 when the transaction has become too large.
    pub(crate) fn check_size(&self) -> Result<(), SqlError> {
        let bytes_max = self.engine.transaction_bytes_max;
        match self.work.changes.read().bytes() > bytes_max {
            true => Err(too_large(bytes_max)),
            false => Ok(()),
        }
    }

    pub(super) fn warn(&mut self, kind: ErrorKind, message: &str) {
        self.notices.push(Notice::Message {
            severity: "WARNING",
            error: SqlError::new(kind, message),
        });
    }

    pub(super) fn begin(&mut self, modes: &[TransactionMode]) -> Result<(), SqlError> {
        if self.work.block == Block::Explicit {
            let message = "there is already a transaction in progress";
            self.warn(ErrorKind::ActiveTransaction, message);
        }
        self.work.block = Block::Explicit;
        self.set_modes(modes)
    }

    /// Gives the open transaction other characteristics.
    pub(super) fn set_modes(&mut self, modes: &[TransactionMode]) -> Result<(), SqlError> {
        for mode in modes {
            match mode {
                TransactionMode::IsolationLevel(level) => self.set_isolation(level_of(*level)?)?,
                TransactionMode::AccessMode(mode) => {
                    self.set_read_only(*mode == TransactionAccessMode::ReadOnly)?
                }
            }
        }
        Ok(())
    }

    pub(super) fn set_isolation(&mut self, level: Isolation) -> Result<(), SqlError> {
        if level != self.work.isolation && self.work.queried {
            let message = "SET TRANSACTION ISOLATION LEVEL must be called before any query";
            return Err(SqlError::new(ErrorKind::ActiveTransaction, message));
        }
        self.work.isolation = level;
        Ok(())
    }

    pub(super) fn set_read_only(&mut self, read_only: bool) -> Result<(), SqlError> {
        if self.work.read_only && !read_only && self.work.queried {
            let message = "transaction read-write mode must be set before any query";
            return Err(SqlError::new(ErrorKind::ActiveTransaction, message));
        }
        self.work.read_only = read_only;
        Ok(())
    }

    /// 25006 for a command that writes, in a transaction that must not.
    pub(crate) fn check_may_write(&self, command: &str) -> Result<(), SqlError> {
        if !self.work.read_only {
            return Ok(());
        }
        let message = format!("cannot execute {command} in a read-only transaction");
        Err(SqlError::new(ErrorKind::ReadOnlyTransaction, message))
    }

    /// The same, of a table: temporary ones are written to all the same.
    pub(crate) fn check_may_write_to(
        &self,
        command: &str,
        table: Option<&ObjectName>,
    ) -> Result<(), SqlError> {
        let refused = self.check_may_write(command);
        let table = table.filter(|_| refused.is_err());
        let is_temporary = table.is_some_and(|table| {
            let found =
                definitions::resolve(&self.catalog(), &self.search_path(), table).map(Arc::clone);
            found.is_ok_and(|table| definitions::temp::is_temporary(&table.schema))
        });
        if is_temporary { Ok(()) } else { refused }
    }

    pub(super) async fn end(&mut self, commit: bool) -> Result<Outcome, SqlError> {
        if self.work.block != Block::Explicit {
            let message = "there is no transaction in progress";
            self.warn(ErrorKind::NoActiveTransaction, message);
        }
        self.work.block = Block::None;
        let failed = std::mem::take(&mut self.work.failed);
        if commit && !failed {
            self.check_and_commit().await?;
            return Ok(Outcome::Command("COMMIT".to_string()));
        }
        self.roll_back();
        Ok(Outcome::Command("ROLLBACK".to_string()))
    }

    pub(super) fn savepoint(&mut self, name: String) -> Result<Outcome, SqlError> {
        if self.work.block != Block::Explicit {
            let message = "SAVEPOINT can only be used in transaction blocks";
            return Err(SqlError::new(ErrorKind::NoActiveTransaction, message));
        }
        let savepoint = Savepoint {
            name,
            changes: self.work.changes.read().mark(),
            ddl: self.ddl_mark(),
            deferred: self.work.deferred.mark(),
            settings: self.settings.mark(),
            locks: self.work.locks.mark(),
            advisory: self.advisory.mark(),
            said: self.outbox.len(),
            channels: self.work.channels.len(),
            cursors: self.cursors_declared,
            read_only: self.work.read_only,
        };
        self.work.savepoints.push(savepoint);
        Ok(Outcome::Command("SAVEPOINT".to_string()))
    }

    pub(super) fn release_savepoint(&mut self, name: &str) -> Result<Outcome, SqlError> {
        let at = self.find_savepoint(name, "RELEASE SAVEPOINT")?;
        self.work.read_only = self.work.savepoints[at].read_only;
        self.work.savepoints.truncate(at);
        self.work.deferred.released_to(at);
        Ok(Outcome::Command("RELEASE".to_string()))
    }

    fn find_savepoint(&self, name: &str, what: &str) -> Result<usize, SqlError> {
        if self.work.block != Block::Explicit {
            let message = format!("{what} can only be used in transaction blocks");
            return Err(SqlError::new(ErrorKind::NoActiveTransaction, message));
        }
        self.work
            .savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| {
                SqlError::new(
                    ErrorKind::UndefinedSavepoint,
                    format!("savepoint \"{name}\" does not exist"),
                )
            })
    }

    pub(super) fn roll_back_to(&mut self, name: &str) -> Result<Outcome, SqlError> {
        let at = self.find_savepoint(name, "ROLLBACK TO SAVEPOINT")?;
        self.undo_to_savepoint(at);
        self.work.read_only = self.work.savepoints[at].read_only;
        self.work.savepoints.truncate(at + 1);
        self.work.failed = false;
        Ok(Outcome::Command("ROLLBACK".to_string()))
    }

    pub(super) fn refuse_in_block(&self, what: &str) -> Result<(), SqlError> {
        if self.work.block == Block::None {
            return Ok(());
        }
        Err(SqlError::new(
            ErrorKind::ActiveTransaction,
            format!("{what} cannot run inside a transaction block"),
        ))
    }
}
