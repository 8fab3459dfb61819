//! Flush: the live versions of a partition's unflushed Seq range become one Parquet file.
//!
//! Guarantees: a file is written, read back and synced before the manifest names it; one batch adds it and
//! moves the partition's watermark; a crash at any step leaves at worst a file that the next opening sweeps.
//! Does not: trim the hot log, compact files.

pub(crate) mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::ObjectStore;
use parking_lot::Mutex;

use crate::catalog::{TableDef, TableId, TableKind};
use crate::cold::PartitionState;
use crate::commit::garbage::remove_files;
use crate::commit::{CommitQueue, Flushed, Request, Shared};
use crate::error::StorageError;
use crate::failpoint::{Failpoints, Step};
use crate::hot::Family;
use crate::key::{seq_of, version_key};
use crate::snapshot::{DeadEntry, PartitionSet, Snapshot};
use crate::store::FlushReport;
use crate::transaction::Partition;

/// Partitions whose files are synced and added to the manifest together, at most.
const CHUNK_PARTITIONS_MAX: usize = 512;
/// Rows in them, about.
const CHUNK_ROWS_MAX: u64 = 1 << 20;
/// Files that are written or synced at the same time.
const WRITERS: usize = 8;
/// The policy leaves partitions with fewer unflushed rows hot, however old: they are not worth a file.
pub const WORTH_A_FILE_ROWS: u64 = 1000;

/// Where cold files go, and who is flushing.
pub(crate) struct Cold {
    pub(crate) dir: PathBuf,
    pub(crate) objects: Arc<dyn ObjectStore>,
    running: TableLocks,
    pub(crate) compacting: TableLocks,
    pub(crate) failpoints: Arc<Failpoints>,
}

/// A lock for each table that something runs on.
pub(crate) type TableLocks = Mutex<HashMap<TableId, Arc<tokio::sync::Mutex<()>>>>;

impl Cold {
    pub(crate) fn new(
        dir: PathBuf,
        objects: Arc<dyn ObjectStore>,
        failpoints: Arc<Failpoints>,
    ) -> Cold {
        Cold {
            dir,
            objects,
            running: Mutex::default(),
            compacting: Mutex::default(),
            failpoints,
        }
    }
}

/// What a flush works on.
#[derive(Clone)]
pub(crate) struct Flusher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: CommitQueue,
    pub(crate) cold: Arc<Cold>,
}

impl Flusher {
    /// Flushes the table's partitions that have unflushed rows and that `wanted` picks.
    pub(crate) async fn run(
        &self,
        table: TableId,
        wanted: impl Fn(&TableDef, &PartitionState) -> bool + Send + 'static,
    ) -> Result<FlushReport, StorageError> {
        let lock = self.cold.running.lock().entry(table).or_default().clone();
        let _one_at_a_time = lock.lock().await;
        let snapshot = Arc::new(Snapshot::new(
            self.shared.view(),
            self.shared.generator.now_ms(),
        ));
        let Ok(def) = snapshot.table(table).cloned() else {
            self.cold.running.lock().remove(&table);
            return Err(StorageError::NoTable(table.get()));
        };
        if def.kind == TableKind::Stream {
            return Ok(FlushReport::default());
        }
        let (of, view) = (def.clone(), snapshot.clone());
        let waiting = blocking(move || {
            let mut waiting = view.states(of.id, &PartitionSet::All)?;
            waiting.retain(|(_, state)| state.has_unflushed() && wanted(&of, state));
            Ok(waiting)
        })
        .await?;
        let mut report = FlushReport::default();
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
        let chunk = Arc::new(chunk);
        let next = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS.min(chunk.len()))
            .map(|_| {
                let (chunk, next) = (chunk.clone(), next.clone());
                let (snapshot, table, cold) = (snapshot.clone(), table.clone(), self.cold.clone());
                let runtime = tokio::runtime::Handle::current();
                tokio::task::spawn_blocking(move || {
                    let (mut parts, mut failed) = (Vec::new(), None);
                    while let Some((partition, state)) =
                        chunk.get(next.fetch_add(1, Ordering::SeqCst))
                    {
                        match flush_partition(&snapshot, &table, &cold, &runtime, partition, state)
                        {
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
                if !paths.is_empty() {
                    let cold = self.cold.clone();
                    let table_dir = cold
                        .dir
                        .join(&paths[0])
                        .ancestors()
                        .nth(2)
                        .map(PathBuf::from);
                    blocking(move || file::sync_folders(table_dir, &cold.dir)).await?;
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
            if !matches!(error, StorageError::LogFailed(_)) {
                let cold = self.cold.clone();
                blocking(move || {
                    remove_files(&cold.dir, &paths);
                    Ok(())
                })
                .await?;
            }
            return Err(error);
        }
        report.partitions += added.partitions;
        report.files += added.files;
        report.rows += added.rows;
        report.bytes += added.bytes;
        Ok(())
    }

    /// Flushes what the policy says is due.
    pub(crate) async fn run_policy(&self) -> Result<(), StorageError> {
        let now_ms = self.shared.generator.now_ms();
        let tables: Vec<Arc<TableDef>> = self.shared.view().tables.values().cloned().collect();
        for table in tables
            .iter()
            .filter(|table| table.kind != TableKind::Stream)
        {
            let due = move |table: &TableDef, state: &PartitionState| {
                let age_ms = now_ms.saturating_sub(state.first_unflushed.unix_ms());
                state.unflushed_rows >= table.options.flush_rows.max(1)
                    || (age_ms >= table.options.flush_interval_ms
                        && state.unflushed_rows >= WORTH_A_FILE_ROWS)
            };
            match self.run(table.id, due).await {
                Ok(report) if report.files > 0 => {
                    tracing::info!(
                        table = table.name,
                        files = report.files,
                        rows = report.rows,
                        "flushed"
                    );
                }
                Ok(_) | Err(StorageError::NoTable(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
    cold: &Cold,
    runtime: &tokio::runtime::Handle,
    partition: &Partition,
    state: &PartitionState,
) -> Result<Flushed, StorageError> {
    let file = file::write(snapshot, table, cold, runtime, partition, state)?;
    let mut unfiled = Vec::new();
    let from = version_key(table.id, partition, state.watermark.advance(1));
    let to = version_key(table.id, partition, state.last_seq.advance(1));
    let mut dead = snapshot.view.hot.iterate(Family::Dead, &from, to);
    while let Some((key, value)) = dead.item() {
        let entry = DeadEntry::decode(value)?;
        if entry.by <= snapshot.seq() {
            unfiled.push((seq_of(key)?, entry.by));
        }
        dead.next();
    }
    dead.status()?;
    Ok(Flushed {
        partition: partition.clone(),
        file,
        seen: *state,
        unfiled,
    })
}

/// Removes files that the manifest does not name. Blocking; nothing may be flushing.
pub(crate) fn sweep(
    cold: &std::path::Path,
    known: &std::collections::HashSet<String>,
) -> Result<(), StorageError> {
    let mut folders = vec![cold.to_path_buf()];
    let mut orphans = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path();
            let relative = path
                .strip_prefix(cold)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if !known.contains(&relative) {
                orphans.push(relative);
            }
        }
    }
    if !orphans.is_empty() {
        tracing::info!(
            files = orphans.len(),
            "sweeping files that the manifest does not name"
        );
    }
    remove_files(cold, &orphans);
    Ok(())
}
