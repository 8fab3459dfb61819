//! Flush: the versions of a partition's unflushed Seq range that live, or lived inside the table's history window,
//! become one Parquet file.
//!
//! Guarantees: a file is written, read back and synced before the manifest names it; one batch adds it and
//! moves the partition's watermark; a crash at any step leaves at worst a file that the next opening sweeps.
//! Does not: trim the hot log, compact files.

pub(crate) mod file;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::catalog::{TableDef, TableId, TableKind};
use crate::cold::PartitionState;
use crate::cold::outage::Outages;
use crate::cold::stores::Stores;
use crate::cold::sweep::WritingJobs;
use crate::commit::garbage::Garbage;
use crate::commit::{CommitQueue, Flushed, Request, Shared};
use crate::error::StorageError;
use crate::failpoint::{Failpoints, Step};
use crate::jobs::{JobKind, Jobs};
use crate::snapshot::{PartitionSet, Snapshot};
use crate::store::FlushReport;
use crate::transaction::Partition;

/// Partitions whose files are synced and added to the manifest together, at most.
const CHUNK_PARTITIONS_MAX: usize = 512;
/// Rows in them, about.
const CHUNK_ROWS_MAX: u64 = 1 << 20;
/// Files that are written or synced at the same time.
const WRITERS: usize = 8;
/// The same where most of the time is waiting for a store that is far away, as long as they are small:
const WRITERS_FAR: usize = 64;
/// so many bytes of records in all of them.
const WRITERS_FAR_BYTES: u64 = 32 << 20;
/// The policy leaves partitions with fewer unflushed rows hot, however old: they are not worth a file.
pub const WORTH_A_FILE_ROWS: u64 = 1000;

/// Where cold files go, and who is flushing.
pub(crate) struct Cold {
    pub(crate) stores: Arc<Stores>,
    /// Where what is sorted outside of memory may stand for a while.
    pub(crate) scratch: PathBuf,
    /// This database's id, by which its stores know it.
    pub(crate) database: String,
    pub(crate) garbage: Arc<Garbage>,
    pub(crate) writing: WritingJobs,
    pub(crate) outages: Outages,
    pub(crate) running: TableLocks,
    pub(crate) compacting: TableLocks,
    /// Held by what must not meet another of its kind: an erasure, a backup.
    pub(crate) copying: Arc<tokio::sync::Mutex<()>>,
    pub(crate) failpoints: Arc<Failpoints>,
}

/// A lock for each table that something runs on.
pub(crate) type TableLocks = Mutex<HashMap<TableId, Arc<tokio::sync::Mutex<()>>>>;

impl Cold {
    pub(crate) fn new(
        stores: Arc<Stores>,
        scratch: PathBuf,
        database: String,
        garbage: Arc<Garbage>,
        failpoints: Arc<Failpoints>,
    ) -> Cold {
        Cold {
            stores,
            scratch,
            database,
            garbage,
            writing: WritingJobs::default(),
            outages: Outages::default(),
            running: Mutex::default(),
            compacting: Mutex::default(),
            copying: Arc::default(),
            failpoints,
        }
    }

    /// Makes sure that new files of the table have a store to go to, and one that is this database's.
    pub(crate) async fn check_storage(&self, table: &TableDef) -> Result<(), StorageError> {
        let name = table.options.storage.as_deref().unwrap_or_default();
        self.stores.get(name)?.claim(&self.database, &[]).await
    }
}

/// What a flush works on.
#[derive(Clone)]
pub(crate) struct Flusher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: CommitQueue,
    pub(crate) cold: Arc<Cold>,
    pub(crate) jobs: Arc<Jobs>,
}

impl Flusher {
    /// Runs a job that is on the list meanwhile, and stays there if it did something: so many rows and bytes.
    pub(crate) async fn job<T>(
        &self,
        kind: JobKind,
        table: Option<TableId>,
        work: impl Future<Output = Result<T, StorageError>>,
        did: impl FnOnce(&T) -> Option<(u64, u64)>,
    ) -> Result<T, StorageError> {
        let view = self.shared.view();
        let table = table.and_then(|id| view.tables.get(&id));
        let table = table.map(|table| (table.schema.clone(), table.name.clone()));
        drop(view);
        let now_ms = || self.shared.generator.now_ms();
        let job = self.jobs.start(kind, table, now_ms());
        let outcome = work.await;
        job.end(now_ms(), outcome.as_ref().map(did));
        outcome
    }

    /// Flushes the table's partitions that have unflushed rows and that `wanted` picks.
    pub(crate) async fn run(
        &self,
        table: TableId,
        wanted: impl Fn(&TableDef, &PartitionState) -> bool + Send + 'static,
    ) -> Result<FlushReport, StorageError> {
        let lock = self.cold.running.lock().entry(table).or_default().clone();
        let _one_at_a_time = lock.lock().await;
        let snapshot = Arc::new(self.shared.snapshot());
        let Ok(def) = snapshot.table(table).cloned() else {
            self.cold.running.lock().remove(&table);
            return Err(StorageError::NoTable(table.get()));
        };
        if def.kind == TableKind::Stream {
            return Ok(FlushReport::default());
        }
        let _job = self.cold.writing.begin(self.shared.generator.draw(1));
        let (of, view) = (def.clone(), snapshot.clone());
        let waiting = blocking(move || {
            let mut waiting = view.states(of.id, &PartitionSet::All)?;
            waiting.retain(|(_, state)| state.has_unflushed() && wanted(&of, state));
            Ok(waiting)
        })
        .await?;
        let mut report = FlushReport::default();
        if waiting.is_empty() {
            return Ok(report);
        }
        self.cold.check_storage(&def).await?;
        let mut rest = waiting.as_slice();
        while !rest.is_empty() {
            let (mut count, mut rows) = (0, 0);
            while count < rest.len() && count < CHUNK_PARTITIONS_MAX && rows < CHUNK_ROWS_MAX {
                rows += rest[count].1.unflushed_rows;
                count += 1;
            }
            let (chunk, later) = rest.split_at(count);
            rest = later;
            self.flush_chunk(&snapshot, &def, chunk.to_vec(), &mut report)
                .await?;
        }
        let store = def.options.storage.as_deref().unwrap_or_default();
        self.cold.outages.worked(store);
        Ok(report)
    }

    async fn flush_chunk(
        &self,
        snapshot: &Arc<Snapshot>,
        table: &Arc<TableDef>,
        chunk: Vec<(Partition, PartitionState)>,
        report: &mut FlushReport,
    ) -> Result<(), StorageError> {
        // Writers take the next partition as they get free; most of their time is waiting for the disk.
        let store = table.options.storage.as_deref().unwrap_or_default();
        let writers = match self.cold.stores.get(store)?.folder {
            Some(_) => WRITERS,
            None => {
                let largest = chunk.iter().map(|(_, state)| state.unflushed_bytes).max();
                let small = WRITERS_FAR_BYTES / largest.unwrap_or(0).max(1);
                usize::try_from(small)
                    .unwrap_or(usize::MAX)
                    .clamp(WRITERS, WRITERS_FAR)
            }
        };
        let chunk = Arc::new(chunk);
        let next = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..writers.min(chunk.len()))
            .map(|_| {
                let (chunk, next) = (chunk.clone(), next.clone());
                let (snapshot, table, flusher) = (snapshot.clone(), table.clone(), self.clone());
                let runtime = tokio::runtime::Handle::current();
                tokio::task::spawn_blocking(move || {
                    let (mut parts, mut failed) = (Vec::new(), None);
                    while let Some((partition, state)) =
                        chunk.get(next.fetch_add(1, Ordering::SeqCst))
                    {
                        match flush_partition(
                            &snapshot, &table, &flusher, &runtime, partition, state,
                        ) {
                            Ok(part) => parts.push(part),
                            Err(error) => {
                                failed = Some(error);
                                next.store(chunk.len(), Ordering::SeqCst);
                            }
                        }
                    }
                    (parts, failed)
                })
            })
            .collect();
        let (mut parts, mut failed) = (Vec::new(), None);
        for writer in writers {
            match writer.await {
                Ok((done, error)) => {
                    parts.extend(done);
                    failed = failed.or(error);
                }
                Err(error) => {
                    failed = failed.or(Some(StorageError::Io(std::io::Error::other(error))))
                }
            }
        }
        let paths: Vec<String> = parts
            .iter()
            .filter_map(|part: &Flushed| part.file.as_ref().map(|file| file.path.clone()))
            .collect();
        let mut added = FlushReport::default();
        for file in parts.iter().filter_map(|part| part.file.as_ref()) {
            added.partitions += 1;
            added.files += 1;
            added.rows += file.rows;
            added.bytes += file.bytes;
        }
        let outcome = match failed {
            Some(error) => Err(error),
            None => {
                self.cold.failpoints.reach(Step::FlushFiles)?;
                if let Some(path) = paths.first().cloned() {
                    let stores = self.cold.stores.clone();
                    blocking(move || stores.settle_folders(&path)).await?;
                }
                let (reply, answer) = tokio::sync::oneshot::channel();
                self.queue
                    .send(Request::Flushed {
                        table: table.id,
                        parts,
                        reply,
                    })
                    .await?;
                answer.await.map_err(|_| StorageError::Closed)?
            }
        };
        if let Err(error) = outcome {
            // A failed write of the manifest may yet have reached the disk: those files stay for the sweep.
            if matches!(error, StorageError::LogFailed(_)) {
                self.cold.writing.hold();
            } else {
                self.cold.garbage.discard(paths);
            }
            return Err(error);
        }
        report.partitions += added.partitions;
        report.files += added.files;
        report.rows += added.rows;
        report.bytes += added.bytes;
        Ok(())
    }

    /// Flushes what the policy says is due. It logs what fails, and gives the first of it.
    pub(crate) async fn run_policy(&self) -> Result<(), StorageError> {
        let now_ms = self.shared.generator.now_ms();
        let tables: Vec<Arc<TableDef>> = self.shared.view().tables.values().cloned().collect();
        let mut failed = None;
        for table in tables
            .iter()
            .filter(|table| table.kind != TableKind::Stream)
        {
            let store = table.options.storage.as_deref().unwrap_or_default();
            if !self.cold.outages.may_try(store) {
                continue;
            }
            let due = move |table: &TableDef, state: &PartitionState| {
                let age_ms = now_ms.saturating_sub(state.first_unflushed.unix_ms());
                state.unflushed_rows >= table.options.flush_rows.max(1)
                    || state.unflushed_bytes >= table.options.flush_bytes.max(1)
                    || (age_ms >= table.options.flush_interval_ms
                        && state.unflushed_rows >= WORTH_A_FILE_ROWS)
            };
            let did =
                |report: &FlushReport| (report.files > 0).then_some((report.rows, report.bytes));
            let flush = self.run(table.id, due);
            match self.job(JobKind::Flush, Some(table.id), flush, did).await {
                Ok(report) if report.files > 0 => {
                    tracing::info!(
                        table = table.name,
                        files = report.files,
                        rows = report.rows,
                        "flushed"
                    );
                }
                Ok(_) | Err(StorageError::NoTable(_)) => {}
                Err(error) if error.is_of_store() => {
                    self.cold.outages.failed(store, "flushing", &error);
                }
                Err(StorageError::Closed) => return Err(StorageError::Closed),
                Err(error) => {
                    tracing::error!(table = table.name, %error, "flushing failed");
                    let for_all = matches!(error, StorageError::LogFailed(_));
                    failed = failed.or(Some(error));
                    // Other tables shall not wait for this one.
                    if for_all {
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
}

fn flush_partition(
    snapshot: &Snapshot,
    table: &Arc<TableDef>,
    flusher: &Flusher,
    runtime: &tokio::runtime::Handle,
    partition: &Partition,
    state: &PartitionState,
) -> Result<Flushed, StorageError> {
    let (floor, id) = (
        snapshot.history_floor(table)?,
        flusher.shared.generator.draw(1),
    );
    let cold = &flusher.cold;
    let file = file::write(snapshot, table, cold, runtime, partition, state, floor, id)?;
    let mut dropped = Vec::new();
    let range = state.watermark.next()..=state.last_seq;
    snapshot.visit_filed_dead(table.id, partition, range, floor, |seq, by| {
        dropped.push((seq, by));
        ControlFlow::Continue(())
    })?;
    Ok(Flushed {
        partition: partition.clone(),
        file,
        seen: *state,
        dropped,
    })
}
