//! The store: one data directory, opened by one process.

pub(crate) mod upkeep;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::backup;
use crate::catalog::{Catalog, CatalogChange, TableDef, TableId};
use crate::changes::{self, ChangeBatch, CommitWatch, FeedScope};
use crate::cold::stores::{Stores, sync_name};
use crate::cold::{ColdOptions, ColdReader, Sealed, point, wait};
use crate::commit::garbage::Garbage;
use crate::commit::{self, Request, RowCounts, Shared, ddl, large, view_of};
use crate::compact::{self, CompactReport};
use crate::computed::Compiler;
use crate::erase;
use crate::error::{CommitError, StorageError};
use crate::expire;
use crate::failpoint::{Failpoints, Step};
use crate::flush::{Cold, Flusher, blocking};
use crate::hot::{Hot, HotSnapshot};
use crate::jobs::{JobKind, JobRecord};
use crate::moments::Moments;
use crate::notify::{self, NotificationBatch};
use crate::seq::{Clock, Seq, SeqGenerator};
use crate::sequence::{SequenceDef, SequenceError, SequenceState, Sequences};
use crate::snapshot::Snapshot;
use crate::transaction::{Partition, RowVersion, Transaction};
use crate::trim::{self, TrimReport};
use crate::watch::Watches;

/// How to open a store.
pub struct StoreOptions {
    /// The data directory: `DIR/hot` is RocksDB, `DIR/cold` the default object store unless `cold` says otherwise.
    pub dir: PathBuf,
    /// This node's id, 0..1024.
    pub node: u16,
    /// The clock that Seqs are drawn from.
    pub clock: Clock,
    /// Whether to run the background jobs (flush and compaction by policy, expiry, trim). Tests drive them by hand.
    pub background: bool,
    /// Where cold files go.
    pub cold: ColdOptions,
    /// Where tests make it fail.
    pub failpoints: Arc<Failpoints>,
    /// Transactions of more bytes are written in pieces, beside others: `commit::LARGE_BYTES`, but for tests.
    pub large_bytes: usize,
}

/// What a flush did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Partitions that got a file.
    pub partitions: u64,
    /// Files written.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// One open data directory.
pub struct Store {
    pub(crate) flusher: Flusher,
    /// The data directory.
    pub(crate) dir: PathBuf,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    committer: Option<std::thread::JoinHandle<()>>,
    shutdown: watch::Sender<bool>,
    sequences: Sequences,
    /// The end of the ids that were reserved for changes of the catalog.
    reserved_ids: Mutex<u32>,
    /// Where jobs run.
    runtime: tokio::runtime::Handle,
    sweep_age: Duration,
}

/// How often the flush policy looks.
const POLICY_TICK: Duration = Duration::from_secs(5);
/// How often the compaction policy looks.
const COMPACT_TICK: Duration = Duration::from_secs(60);
/// How often old changes leave the log.
const TRIM_TICK: Duration = Duration::from_secs(60);
/// How often expired rows are removed.
const EXPIRY_TICK: Duration = Duration::from_secs(1);
/// How long a commit that does not wait for its sync is unsynced, as PostgreSQL's `wal_writer_delay` says.
const SYNC_DELAY: Duration = Duration::from_millis(200);
/// How long after a failure files are removed again.
const REMOVAL_RETRY: Duration = Duration::from_secs(30);

impl Store {
    /// Opens or makes a data directory. Blocking. Must be called inside a tokio runtime, on which background jobs run.
    pub fn open(options: StoreOptions) -> Result<Arc<Store>, StorageError> {
        let shown = options.dir.display().to_string();
        let unusable = |error: std::io::Error| StorageError::Open {
            dir: shown.clone(),
            reason: error.to_string(),
        };
        upkeep::refuse_half(&options.dir)?;
        std::fs::create_dir_all(options.dir.join("hot")).map_err(unusable)?;
        let hot = Arc::new(Hot::open(&options.dir.join("hot"), &shown)?);
        sync_name(&options.dir.join("hot"))?;
        sync_name(&options.dir)?;
        let stores = Arc::new(Stores::open(&options.cold, &options.dir)?);

        large::take_back(&hot)?;
        let mut catalog = ddl::load(&hot)?;
        catalog.storages = stores.names().into_iter().collect();
        let catalog = Arc::new(catalog);
        let last = ddl::last_seq(&hot)?;
        backup::clean(&options.dir)?;
        let garbage = Arc::new(Garbage::default());
        let cold = Arc::new(Cold::new(
            stores,
            options.dir.join("scratch"),
            upkeep::database_id(&hot)?,
            garbage.clone(),
            options.failpoints.clone(),
        ));
        let runtime = tokio::runtime::Handle::current();
        let files = upkeep::check_stores(&cold, &hot, &catalog, &runtime)?;
        upkeep::clean(&cold, &hot, &runtime, files)?;
        erase::finish(&hot)?;
        let tables = ddl::tables_of(&catalog);
        let follows_ms = Moments::load(&HotSnapshot::take(&hot))?.follows_ms();
        let view = view_of(&hot, (last, follows_ms), (catalog, tables), &garbage);
        let shared = Arc::new(Shared {
            generator: SeqGenerator::new(options.clock, options.node, last),
            current: RwLock::new(view),
            watches: Arc::new(Watches::default()),
            hot,
            garbage,
            failpoints: options.failpoints,
            unsynced: Notify::new(),
            groups: AtomicU64::new(0),
            large_bytes: options.large_bytes,
            checks_ahead: AtomicUsize::new(0),
            counted: Default::default(),
            failed: OnceLock::new(),
        });
        let (queue, committer) = commit::start(shared.clone())?;
        let flusher = Flusher {
            shared,
            queue,
            cold,
            jobs: Arc::default(),
        };
        let shutdown = watch::Sender::new(false);
        let mut tasks = vec![
            tokio::spawn(until(
                shutdown.subscribe(),
                collect_garbage(flusher.clone()),
            )),
            tokio::spawn(until(shutdown.subscribe(), sync_by_time(flusher.clone()))),
        ];
        if options.background {
            tasks.push(tokio::spawn(until(
                shutdown.subscribe(),
                flush_by_policy(flusher.clone()),
            )));
            tasks.push(tokio::spawn(until(
                shutdown.subscribe(),
                expire_by_time(flusher.clone()),
            )));
            tasks.push(tokio::spawn(until(
                shutdown.subscribe(),
                trim_by_time(flusher.clone()),
            )));
            tasks.push(tokio::spawn(until(
                shutdown.subscribe(),
                compact_by_policy(flusher.clone()),
            )));
            tasks.push(tokio::spawn(until(
                shutdown.subscribe(),
                upkeep::sweep_by_time(flusher.clone(), options.cold.sweep_age),
            )));
        }
        Ok(Arc::new(Store {
            flusher,
            dir: options.dir,
            tasks: Mutex::new(tasks),
            committer: Some(committer),
            shutdown,
            sequences: Sequences::default(),
            reserved_ids: Mutex::default(),
            runtime,
            sweep_age: options.cold.sweep_age,
        }))
    }

    /// Why no more writes are taken until the store is opened again, if that is so: one has failed.
    pub fn write_failure(&self) -> Option<&str> {
        self.shared().failed.get().map(String::as_str)
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared().current.read().catalog.clone()
    }

    /// Reserves the ids that changes give which were planned on this catalog. `false` when they are not free any more: then
    /// they are to be planned anew, with a catalog whose `next_table_id` is at least `next_id()`.
    pub fn reserve_ids(&self, planned_on: &Catalog, changes: &[CatalogChange]) -> bool {
        let end = changes.iter().map(CatalogChange::ids_end).max();
        let end = end.filter(|end| *end > planned_on.next_table_id);
        let Some(end) = end else {
            return true;
        };
        let mut reserved = self.reserved_ids.lock();
        let next = self.catalog().next_table_id.max(*reserved);
        let free = planned_on.next_table_id >= next;
        if free {
            *reserved = end;
        }
        free
    }

    /// The first id that was neither given nor reserved.
    pub fn next_id(&self) -> u32 {
        let reserved = *self.reserved_ids.lock();
        self.catalog().next_table_id.max(reserved)
    }

    /// Has the expressions of indexes read so from now on: the first who is to do it does.
    pub fn read_expressions_by(&self, compiler: Box<dyn Compiler>) {
        self.catalog().compiler.put(compiler);
    }

    /// A consistent view of both tiers and the catalog at the newest visible Seq.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.shared().snapshot())
    }

    /// The newest Seq that readers may see.
    pub fn visible(&self) -> Seq {
        self.shared().current.read().seq
    }

    /// Draws `n` Seqs for `snowflake_id()` and returns the first; the rest follow by `Seq::advance`.
    pub fn draw_ids(&self, n: u64) -> Seq {
        self.shared().generator.draw(n)
    }

    /// The store's clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.shared().generator.now_ms()
    }

    /// Commits: when this returns `Ok`, the transaction is visible, and on disk unless it said `commit_unsynced`. Returns the Seq of its last
    /// change (the visible Seq if it had none).
    ///
    /// # Panics
    /// As `Catalog::changed` does, when it changes the catalog.
    pub async fn commit(&self, transaction: Transaction) -> Result<Seq, CommitError> {
        self.commit_holding(transaction, Box::new(())).await
    }

    /// As `commit`; `held` is dropped as soon as the outcome is visible to readers, whether the caller still
    /// waits for it or not.
    pub async fn commit_holding(
        &self,
        transaction: Transaction,
        held: Box<dyn Send>,
    ) -> Result<Seq, CommitError> {
        if transaction.is_noop() {
            return Ok(self.visible());
        }
        if let Some(planned) = &transaction.catalog {
            let catalog = self.catalog();
            if catalog.is_past(planned.base_version, &planned.changes) {
                return Err(CommitError::CatalogChanged);
            }
            // Here, so that a broken promise hits who made it.
            if catalog.version == planned.base_version {
                catalog.changed(&planned.changes);
            }
        }
        self.flusher.queue.commit(transaction, held).await
    }

    /// Commits a catalog change planned on `base_version`; `CatalogChanged` if what it is about was changed since.
    /// Data of dropped and truncated tables is removed for good: keys in the same commit, files as soon as
    /// no snapshot needs them.
    ///
    /// # Panics
    /// As `Catalog::changed` does.
    pub async fn change_catalog(
        &self,
        base_version: u64,
        changes: Vec<CatalogChange>,
    ) -> Result<Arc<Catalog>, CommitError> {
        if changes.is_empty() {
            return Ok(self.catalog());
        }
        let mut transaction = Transaction::new();
        transaction.change_catalog(base_version, changes);
        self.commit(transaction).await?;
        Ok(self.catalog())
    }

    /// Draws a sequence's next number. Waits for the disk now and then.
    pub fn draw(&self, sequence: &SequenceDef) -> Result<i64, SequenceError> {
        self.check_open()?;
        self.sequences.draw(&self.shared().hot, sequence)
    }

    /// Begins a sequence that is to be created with this id. It may be drawn from before that is committed.
    pub fn begin_sequence(&self, id: u32) -> Result<(), StorageError> {
        self.check_open()?;
        self.sequences.forget(&self.shared().hot, id)
    }

    /// Where a sequence stands.
    pub fn sequence_state(&self, sequence: &SequenceDef) -> Result<SequenceState, SequenceError> {
        self.sequences.state(&self.shared().hot, sequence)
    }

    /// Puts a sequence somewhere. Waits for the disk.
    pub fn set_sequence(
        &self,
        sequence: &SequenceDef,
        state: SequenceState,
    ) -> Result<(), SequenceError> {
        self.check_open()?;
        self.sequences.set(&self.shared().hot, sequence, state)
    }

    /// Has the next draw of a sequence go by its definition of then. Waits for the disk.
    pub fn settle_sequence(&self, sequence: &SequenceDef) -> Result<(), SequenceError> {
        self.check_open()?;
        self.sequences.settle_one(&self.shared().hot, sequence)
    }

    /// Flushes every partition of the table that has unflushed rows, however few. A STREAM table has nothing to flush.
    pub async fn flush(&self, table: TableId) -> Result<FlushReport, StorageError> {
        self.check_open()?;
        let flusher = self.flusher.clone();
        // A task of its own, as for a compaction.
        let work = async move {
            let flush = flusher.run(table, |_, _| true);
            let did = |report: &FlushReport| Some((report.rows, report.bytes));
            flusher.job(JobKind::Flush, Some(table), flush, did).await
        };
        self.runtime
            .spawn(work)
            .await
            .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
    }

    /// Removes what has expired of every STREAM table from the disk, as the background job does every
    /// second, and returns how many rows went. Reads stop showing a row at its time, removed or not.
    pub async fn expire(&self) -> Result<u64, StorageError> {
        self.check_open()?;
        expire::run(self.shared(), &self.flusher.queue).await
    }

    /// Merges the cold files of every partition of the table into as few as their largest size allows, without
    /// the versions that are dead. Writers go on meanwhile; snapshots from before keep what they see. It goes on
    /// when the caller stops waiting.
    pub async fn compact(&self, table: TableId) -> Result<CompactReport, StorageError> {
        self.check_open()?;
        let flusher = self.flusher.clone();
        // A task of its own: dropped halfway, it would leave a file that only the next opening removes.
        let work = async move {
            let compact = flusher.compact(table, compact::worthwhile);
            let did = |report: &CompactReport| Some((report.rows, report.bytes));
            flusher
                .job(JobKind::Compact, Some(table), compact, did)
                .await
        };
        self.runtime
            .spawn(work)
            .await
            .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
    }

    /// Takes what is flushed, and older than its table's resume window, out of the log, as the background job
    /// does every minute. Rows stay readable; a reader of the feed that wants older changes gets `Trimmed`.
    pub async fn trim(&self) -> Result<TrimReport, StorageError> {
        self.check_open()?;
        trim::run(self.shared(), &self.flusher.queue).await
    }

    /// What was changed of a table since the store was opened.
    pub fn row_counts(&self, table: TableId) -> RowCounts {
        let counted = self.shared().counted.lock();
        counted.get(&table).copied().unwrap_or_default()
    }

    /// The jobs that run and the last ones that ended, oldest first.
    pub fn jobs(&self) -> Vec<JobRecord> {
        self.flusher.jobs.list()
    }

    /// Removes files of this database's stores that nothing names, as the background job does every hour, and
    /// gives their number.
    pub async fn sweep(&self) -> Result<u64, StorageError> {
        self.check_open()?;
        upkeep::sweep_stores(&self.flusher, self.sweep_age).await
    }

    /// The object stores that hold the cold files, as one; `ColdFile::path` is a path in it.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.flusher.cold.stores.clone()
    }

    /// A cold file for Parquet's readers. Its footer is kept in memory.
    pub fn cold_reader(&self, file: Sealed) -> ColdReader {
        ColdReader::new(self.flusher.cold.stores.clone(), file)
    }

    /// The whole contents of cold files, in their order; meant for small ones.
    ///
    /// # Errors
    /// `Corrupt` when a file does not have the bytes that were written.
    pub async fn read_files(&self, files: Vec<Sealed>) -> Result<Vec<Bytes>, StorageError> {
        self.flusher.cold.stores.read_whole(files).await
    }

    /// The version that `Snapshot::lookup` on this snapshot found to be `Cold`: one row out of one file. Blocking.
    pub fn read_cold(
        &self,
        snapshot: &Snapshot,
        table: &TableDef,
        partition: &Partition,
        seq: Seq,
    ) -> Result<RowVersion, StorageError> {
        // Jobs may be the last to get a processor.
        let own = tokio::runtime::Handle::try_current();
        let runtime = own.as_ref().unwrap_or(&self.runtime);
        wait(runtime, self.fetch_cold(snapshot, table, partition, seq))
    }

    /// As `read_cold`. It decodes what is not in memory in the thread that polls it: up to a page of each column.
    pub async fn fetch_cold(
        &self,
        snapshot: &Snapshot,
        table: &TableDef,
        partition: &Partition,
        seq: Seq,
    ) -> Result<RowVersion, StorageError> {
        let file = point::holder(snapshot, table.id, partition, seq)?;
        point::read_version(&self.flusher.cold.stores, &file, table, seq).await
    }

    /// Up to about `limit` changes of the scope with a Seq after `after`, in commit order. `Trimmed` when some
    /// of them may have left the log, or when the table was made or truncated after `after`, unless that is zero.
    /// Blocking.
    pub fn read_changes(
        &self,
        scope: &FeedScope,
        after: Seq,
        limit: usize,
    ) -> Result<ChangeBatch, StorageError> {
        self.check_open()?;
        changes::read(&self.snapshot(), scope, after, limit)
    }

    /// As `read_changes`, if that takes a moment: `None` when there are more than `limit` changes after `after`, or much to be
    /// read for them. Not blocking.
    pub fn read_few_changes(
        &self,
        scope: &FeedScope,
        after: Seq,
        limit: usize,
    ) -> Result<Option<ChangeBatch>, StorageError> {
        self.check_open()?;
        changes::read_few(&self.snapshot(), scope, after, limit)
    }

    /// Up to about `limit` notifications of the channels, those of each with a Seq after the one beside it, in
    /// commit order. `Trimmed` when some of them may be gone. Blocking.
    pub fn read_notifications(
        &self,
        channels: &[(Arc<str>, Seq)],
        limit: usize,
    ) -> Result<NotificationBatch, StorageError> {
        self.check_open()?;
        notify::read(&self.snapshot(), channels, limit)
    }

    /// Watches for commits that touch the scope (`notify::scope_of`: that tell something on a channel).
    pub fn watch(&self, scope: &FeedScope) -> CommitWatch {
        CommitWatch::new(self.shared().watches.watch(scope, || self.visible()))
    }

    /// Ends the background jobs, commits what was accepted, syncs and closes. Later calls fail with `Closed`.
    /// The directory can be opened again once the store and its snapshots are dropped.
    pub async fn close(&self) {
        self.shutdown.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let _ = task.await;
        }
        self.flusher.queue.stop().await;
        if let Err(error) = self.sequences.settle(&self.shared().hot) {
            tracing::error!(%error, "sequences will skip some numbers");
        }
        self.shared().watches.close();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.flusher.shared
    }

    pub(crate) fn check_open(&self) -> Result<(), StorageError> {
        if *self.shutdown.borrow() {
            Err(StorageError::Closed)
        } else {
            Ok(())
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
        self.flusher.queue.stop_blocking();
        // A thread that is inside RocksDB while the process exits would meet its destroyed statics.
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
        self.shared().watches.close();
    }
}

/// Runs a job until the store shuts down; it is dropped at its next await.
async fn until(mut shutdown: watch::Receiver<bool>, job: impl Future<Output = ()>) {
    tokio::select! {
        _ = shutdown.wait_for(|down| *down) => {}
        () = job => {}
    }
}

async fn sync_by_time(flusher: Flusher) {
    loop {
        flusher.shared.unsynced.notified().await;
        tokio::time::sleep(SYNC_DELAY).await;
        if flusher.queue.send(Request::Sync).await.is_err() {
            return;
        }
    }
}

async fn collect_garbage(flusher: Flusher) {
    let mut left: Vec<String> = Vec::new();
    loop {
        tokio::select! {
            () = flusher.shared.garbage.woken() => {}
            () = tokio::time::sleep(REMOVAL_RETRY), if !left.is_empty() => {}
        }
        let mut paths = flusher.shared.garbage.take_unneeded();
        paths.append(&mut left);
        if paths.is_empty() {
            continue;
        }
        // It cannot fail, only hold or end the process.
        let reach = |step| {
            let cold = flusher.cold.clone();
            blocking(move || cold.failpoints.reach(step))
        };
        let removal = async {
            let _ = reach(Step::GarbageFound).await;
            let left = upkeep::remove(&flusher, paths.clone()).await;
            let _ = reach(Step::GarbageRemoved).await;
            Ok(left)
        };
        let did = |left: &Vec<String>| (left.len() < paths.len()).then_some((0, 0));
        left = (flusher.job(JobKind::Sweep, None, removal, did).await).unwrap_or_default();
        let left: HashSet<&String> = left.iter().collect();
        paths.retain(|path| !left.contains(path));
        if paths.is_empty() {
            continue;
        }
        if flusher
            .queue
            .send(Request::Collected { paths })
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn flush_by_policy(flusher: Flusher) {
    let mut ticks = tokio::time::interval(POLICY_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let _logged = flusher.run_policy().await;
    }
}

async fn expire_by_time(flusher: Flusher) {
    let mut ticks = tokio::time::interval(EXPIRY_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let expiry = expire::run(&flusher.shared, &flusher.queue);
        let did = |rows: &u64| (*rows > 0).then_some((*rows, 0));
        if let Err(error) = flusher.job(JobKind::Expire, None, expiry, did).await {
            tracing::error!(%error, "removing expired rows failed");
        }
    }
}

async fn compact_by_policy(flusher: Flusher) {
    let mut ticks = tokio::time::interval(COMPACT_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let _logged = flusher.compact_by_policy().await;
    }
}

async fn trim_by_time(flusher: Flusher) {
    let mut ticks = tokio::time::interval(TRIM_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let trim = trim::run(&flusher.shared, &flusher.queue);
        let did = |report: &TrimReport| (*report != TrimReport::default()).then_some((0, 0));
        match flusher.job(JobKind::Trim, None, trim, did).await {
            Ok(TrimReport {
                partitions: 0,
                transactions: 0,
            }) => {}
            Ok(report) => tracing::info!(?report, "trimmed the log"),
            Err(error) => tracing::error!(%error, "trimming the log failed"),
        }
    }
}
