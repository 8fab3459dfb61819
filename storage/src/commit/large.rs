//! Large transactions: written in pieces, while everybody else's commits go on.
//!
//! A large transaction gets its Seqs ahead of the clock (`SeqGenerator::reserve`), and others draw lower ones meanwhile, however
//! long it takes: `moments` tells what was committed when. What it does to `log`, `dead`, `key` and `index` is written piece by
//! piece on a thread of its session's; no reader's view reaches up to its Seqs, and what stands there for them does not count
//! (`versions`). Then the committer adds it to the order of commits in a batch of its own, as small as any, and all of it
//! counts. At last what it made void is removed.
//!
//! From before the first piece until then a record in `meta` tells of it. What a crash leaves of one that was not committed
//! is taken back by the next opening (`begun`).
//!
//! Guarantees: nobody waits but for a piece, for what the transaction itself changes, and who changes the catalog, erases or
//! ends a job. One is under way at a time. Does not: take rows of STREAM tables, which expire without a commit, or rows of
//! tables that the transaction itself drops.

mod begun;
mod pieces;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use super::ahead::Ahead;
use super::check::{Group, Lookup, Overlay, check_table, resolve};
use super::erase::dropped_roles;
use super::queue::CommitQueue;
use super::tally::Tally;
use super::{Committer, Request, Shared};
use crate::catalog::{Catalog, TableDef, TableKind};
use crate::changes::CommitEntry;
use crate::error::{CommitError, StorageError};
use crate::failpoint::Step;
use crate::hot::Family;
use crate::key::index_entry;
use crate::notify::Notification;
use crate::seq::Seq;
use crate::transaction::{CatalogChanges, Touched, Transaction};
use crate::versions::KeyEntry;
use begun::{Begun, META_LARGE};
pub(crate) use begun::{take_back, unfinished};
use pieces::Pieces;

/// Bytes of a piece, about. It takes a millisecond or two, as long as which others may wait for it.
const PIECE_BYTES: usize = 256 << 10;
/// Keys that the committer looks at in one turn.
const CLEANED_AT_A_TIME: usize = 1000;
/// How often it is checked beside the others; then they wait for the check.
const CHECKS_MAX: usize = 3;

/// Whether a transaction is written in pieces.
pub(super) fn is_for(transaction: &Transaction, shared: &Shared) -> bool {
    transaction.bytes() > shared.large_bytes
        && !transaction.is_empty()
        && (transaction.ops().iter()).all(|op| op.table.kind != TableKind::Stream)
        && (transaction.tables()).all(|table| table.indexes.iter().all(|index| index.ready))
        && (transaction.catalog.as_ref()).is_none_or(|catalog| {
            let now = shared.view().catalog.clone();
            let new = now.try_changed(&catalog.changes);
            // What is there of an index that others do not know could not be taken back.
            let is_known = |table: &TableDef| match now.table_by_id(table.id) {
                Some(before) => table.index_ids().all(|id| before.has_index(id)),
                None => true,
            };
            transaction.fill_rows().is_empty()
                && dropped_roles(&catalog.changes).next().is_none()
                && transaction.tables().all(|table| {
                    let stays = |new: &Catalog| new.table_by_id(table.id).is_some();
                    is_known(table) && new.as_ref().is_some_and(stays)
                })
        })
}

/// What the committer has to say to a large transaction that wants to begin.
pub(crate) enum Turn {
    /// Its first Seq.
    Begun(Seq),
    /// Something changed since it was checked.
    CheckAgain,
}

/// A transaction that was checked ahead.
pub(crate) struct Checked {
    transaction: Transaction,
    touched: Arc<Touched>,
    ahead: Ahead,
    tally: Arc<Tally>,
    /// The tables that it changes, as it knew them.
    tables: Arc<[Arc<TableDef>]>,
}

/// One whose pieces are written.
pub(crate) struct Written {
    /// The Seq of its first change of a row; those of the catalog are before.
    first: Seq,
    catalog: Option<CatalogChanges>,
    tally: Arc<Tally>,
    told: Vec<Notification>,
    synced: bool,
    /// Whether it made entries void that are to be removed.
    leaves_void: bool,
    /// How the pieces went.
    done: Result<(), StorageError>,
}

/// The large commit that the committer knows of.
pub(super) enum UnderWay {
    /// Its pieces are being written: nobody else may change what it does.
    Writing(Arc<Touched>, Option<NewCatalog>),
    /// It is committed; what it made void is being removed.
    Cleaning,
}

/// The catalog that it makes, which nobody else changes meanwhile, and the Seq of its first change of it.
type NewCatalog = (Arc<Catalog>, Seq);

/// Commits a large transaction and answers; then lets go of everything. Blocking, on a thread of its own.
pub(super) fn commit(
    queue: &CommitQueue,
    mut transaction: Transaction,
    held: Box<dyn Send>,
    reply: oneshot::Sender<Result<Seq, CommitError>>,
) {
    let unsynced = transaction.unsynced;
    let told = transaction.take_notifications();
    let seqs = (transaction.len() + told.len()) as u64;
    let begun = match begin(queue, transaction, seqs) {
        Ok(begun) => begun,
        Err(error) => {
            drop(held);
            let _ = reply.send(Err(error));
            return;
        }
    };
    let (first, mut transaction, touched, tally) = begun;
    let shared = queue.shared();
    let leaves_void = (touched.freed_keys().next().is_some())
        || (transaction.ops().iter()).any(|op| !op.old_keys.entries.is_empty());
    // Whatever happens, the committer hears of the end: others wait for it.
    let mut pieces = Pieces::new(shared, first);
    let written = AssertUnwindSafe(|| pieces.write(transaction.ops_mut(), &tally));
    let done = std::panic::catch_unwind(written);
    let done = done.unwrap_or_else(|_| Err(ended()));
    let written = Written {
        first,
        catalog: transaction.catalog.take(),
        tally,
        told,
        synced: !unsynced,
        leaves_void,
        done,
    };
    let (reply_to, answer) = oneshot::channel();
    let sent = queue.send_blocking(Request::EndLarge {
        written: Box::new(written),
        reply: reply_to,
    });
    let unknown = |_| CommitError::Unknown("the committer ended".to_string());
    let answer = match sent {
        Ok(()) => answer.blocking_recv().map_err(unknown).flatten(),
        Err(error) => Err(error.into()),
    };
    let committed = answer.is_ok();
    // Whoever waits for a row gets it now; the caller's next statement finds it free.
    drop(held);
    let _ = reply.send(answer);
    if committed && leaves_void {
        let cleaned = AssertUnwindSafe(|| clean(queue, first, &transaction, &touched));
        let cleaned = std::panic::catch_unwind(cleaned).unwrap_or_else(|_| Err(ended()));
        if let Err(error) = cleaned {
            // What is left is for the next opening; the committer hears of it.
            let _ = queue.ask(|reply| Request::CleanLarge {
                keys: Err(error),
                is_last: true,
                reply,
            });
        }
    }
}

fn ended() -> StorageError {
    StorageError::LogFailed("a thread that wrote a large commit has ended".to_string())
}

type Beginning = (Seq, Transaction, Arc<Touched>, Arc<Tally>);

/// Checks a transaction and has the committer give it `seqs` Seqs.
fn begin(
    queue: &CommitQueue,
    mut transaction: Transaction,
    seqs: u64,
) -> Result<Beginning, CommitError> {
    let tally = Arc::new(Tally::of(transaction.ops()));
    let touched = Arc::new(transaction.take_touched());
    let mut known = HashSet::new();
    let tables = transaction.tables();
    let tables = tables.filter(|table| known.insert((table.id, table.schema_version)));
    let tables: Arc<[Arc<TableDef>]> = tables.cloned().collect();
    for tries in 1.. {
        let ahead = match Ahead::check(queue.shared(), &transaction) {
            Ok(ahead) => ahead,
            Err(error) => {
                // What it collided with is visible when it hears of it.
                queue.ask(|reply| Request::Settled { reply })?;
                return Err(error);
            }
        };
        let checked = Box::new(Checked {
            transaction,
            touched: touched.clone(),
            ahead,
            tally: tally.clone(),
            tables: tables.clone(),
        });
        let (reply, turn) = oneshot::channel();
        queue.send_blocking(Request::BeginLarge {
            checked,
            seqs,
            is_last_try: tries == CHECKS_MAX,
            reply,
        })?;
        let turn = turn.blocking_recv();
        let (turn, checked) = turn.map_err(|_| CommitError::from(StorageError::Closed))?;
        match turn? {
            Turn::Begun(first) => return Ok((first, checked.transaction, touched, tally)),
            Turn::CheckAgain => transaction = checked.transaction,
        }
    }
    unreachable!("the last try is not told to try again")
}

/// Removes what a committed transaction made void, then what tells of it.
fn clean(
    queue: &CommitQueue,
    first: Seq,
    transaction: &Transaction,
    touched: &Touched,
) -> Result<(), StorageError> {
    let hot = &queue.shared().hot;
    // Nobody writes entries of versions that are gone: these need not be the committer's.
    let mut batch = WriteBatch::default();
    for op in transaction.ops() {
        for entry in &op.old_keys.entries {
            let entry = index_entry(entry, resolve(op.old, first));
            batch.delete_cf(hot.family(Family::Index), entry);
        }
        if batch.size_in_bytes() > PIECE_BYTES {
            hot.write_piece(std::mem::take(&mut batch))?;
        }
    }
    hot.write_piece(batch)?;
    let mut freed = touched.freed_keys().cloned();
    loop {
        let keys: Vec<Arc<[u8]>> = freed.by_ref().take(CLEANED_AT_A_TIME).collect();
        let is_last = keys.len() < CLEANED_AT_A_TIME;
        queue.ask(|reply| Request::CleanLarge {
            keys: Ok(keys),
            is_last,
            reply,
        })?;
        if is_last {
            return Ok(());
        }
    }
}

impl Committer {
    /// Whether a request has to wait for the large commit that is under way.
    pub(super) fn waits(&self, request: &Request) -> bool {
        match (&self.large, request) {
            (None, _) => false,
            (_, Request::EndLarge { .. } | Request::CleanLarge { .. } | Request::Sync) => false,
            (Some(UnderWay::Writing(touched, _)), Request::Commit(commit)) => {
                commit.transaction.catalog.is_some() || touched.meets(&commit.transaction)
            }
            (Some(UnderWay::Writing(..)), _) => true,
            (Some(UnderWay::Cleaning), request) => matches!(
                request,
                Request::Erase { .. } | Request::Settled { .. } | Request::Stop { .. }
            ),
        }
    }

    /// Gives a large transaction its Seqs, if nothing has come between it and its check.
    pub(super) fn begin_large(
        &mut self,
        checked: &Checked,
        seqs: u64,
        is_last_try: bool,
    ) -> Result<Turn, CommitError> {
        self.check_alive()?;
        if !self.stopped.is_empty() {
            return Err(StorageError::Closed.into());
        }
        let transaction = &checked.transaction;
        let mut new = None;
        match &transaction.catalog {
            None => {
                self.check_reads(&Group::default(), transaction)?;
                self.check_users(transaction)?;
            }
            Some(catalog) => new = Some(self.planned(catalog, transaction)?),
        }
        for known in &*checked.tables {
            check_table(
                known,
                match &new {
                    None => self.tables.get(&known.id),
                    Some(new) => new.table_by_id(known.id),
                },
            )?;
        }
        match self.recent.spares(&checked.touched, &checked.ahead) {
            true => {}
            false if is_last_try => {
                let now_ms = self.shared.generator.now_ms();
                let first = self.shared.generator.draw(1);
                self.check(&mut Overlay::of_one(), transaction, first, now_ms)?;
            }
            false => return Ok(Turn::CheckAgain),
        }
        let changes = transaction.catalog.as_ref();
        let changes = changes.map_or(0, |catalog| catalog.changes.len() as u64);
        let begins = self.shared.generator.reserve(changes + seqs);
        let first = begins.advance(changes);
        let begun = Begun {
            is_committed: false,
            first,
            entry: CommitEntry {
                last: first.advance(seqs - 1),
                extents: checked.tally.extents(first),
            },
        };
        let mut batch = WriteBatch::default();
        batch.put_cf(
            self.shared.hot.family(Family::Meta),
            [META_LARGE],
            begun.encode(),
        );
        if let Err(error) = self.write_to(batch, Step::LargeBegun) {
            self.shared.generator.release();
            return Err(error.into());
        }
        let new = new.map(|new| (new, begins));
        self.large = Some(UnderWay::Writing(checked.touched.clone(), new));
        Ok(Turn::Begun(first))
    }

    /// Commits a large transaction whose pieces are written; returns its last Seq.
    pub(super) fn end_large(&mut self, written: &mut Written) -> Result<Seq, CommitError> {
        let Some(UnderWay::Writing(touched, new)) = self.large.take() else {
            panic!("what ends has begun");
        };
        // Not the last holder: to let go of much takes a while.
        drop(touched);
        let ended = self.commit_large(written, new);
        if let Err(error) = &ended {
            // Its pieces stay until the next opening, so nothing may come after them.
            let reason = error.to_string();
            let _ = self.write_by(|_| Err(StorageError::LogFailed(reason)));
        }
        self.shared.generator.release();
        let cleans = ended.is_ok() && written.leaves_void;
        self.large = cleans.then_some(UnderWay::Cleaning);
        self.ready.append(&mut self.waiting);
        ended
    }

    fn commit_large(
        &mut self,
        written: &mut Written,
        new: Option<NewCatalog>,
    ) -> Result<Seq, CommitError> {
        let done = std::mem::replace(&mut written.done, Ok(()));
        self.write_by(|_| done)?;
        let (hot, first) = (self.shared.hot.clone(), written.first);
        let mut group = Group {
            is_large: true,
            ..Group::default()
        };
        let extents = written.tally.extents(first);
        let changes = written.tally.changes();
        let last = first.advance(changes + written.told.len() as u64 - 1);
        let mut made = None;
        if let (Some(catalog), Some((new, begins))) = (&written.catalog, new) {
            let put = self.put_planned(&mut group, catalog, new, (begins, last))?;
            made = Some((catalog, put));
        }
        self.read_states(&mut group.states, &written.tally)?;
        written
            .tally
            .count(first, &mut group.states, &self.shared.counted);
        group.tell(&hot, &written.told, first.advance(changes));
        group.end(&hot, (first, last), &extents);
        let meta = hot.family(Family::Meta);
        match written.leaves_void {
            true => {
                let begun = Begun {
                    is_committed: true,
                    first,
                    entry: CommitEntry { last, extents },
                };
                group.batch.put_cf(meta, [META_LARGE], begun.encode());
            }
            false => group.batch.delete_cf(meta, [META_LARGE]),
        }
        match made {
            Some((catalog, made)) => self.write_with_catalog(group, last, catalog, made)?,
            None => (self.write_group(group, last, None, written.synced))
                .map_err(|error| CommitError::Unknown(error.to_string()))?,
        }
        // Too late to fail: they can only hold or end the process.
        let _ = self.shared.failpoints.reach(Step::CommitPublished);
        let _ = self.shared.failpoints.reach(Step::LargeCommitted);
        Ok(last)
    }

    /// Removes the entries of keys that were freed and are nobody's still; with the last of them what tells of the commit.
    /// If that fails, or did before, no more commits are taken.
    pub(super) fn clean_large(
        &mut self,
        keys: Result<Vec<Arc<[u8]>>, StorageError>,
        is_last: bool,
    ) -> Result<(), StorageError> {
        let cleaned = keys.and_then(|keys| self.remove_freed(&keys, is_last));
        if is_last || cleaned.is_err() {
            self.large = None;
            self.ready.append(&mut self.waiting);
        }
        self.write_by(|_| cleaned)
    }

    fn remove_freed(&mut self, keys: &[Arc<[u8]>], is_last: bool) -> Result<(), StorageError> {
        let hot = self.shared.hot.clone();
        let mut batch = WriteBatch::default();
        for key in keys {
            if let Some(entry) = hot.get(Family::Key, key)?
                && KeyEntry::decode(&entry)?.is_freed
            {
                batch.delete_cf(hot.family(Family::Key), key);
            }
        }
        if is_last {
            let _ = self.shared.failpoints.reach(Step::LargeCleaned);
            batch.delete_cf(hot.family(Family::Meta), [META_LARGE]);
        }
        self.write_by(|shared| Ok(shared.hot.write_unsynced(batch)?))?;
        self.shared.unsynced.notify_one();
        // Snapshots that are taken from now on need not skip them.
        self.publish(self.shared.view().seq);
        Ok(())
    }
}
