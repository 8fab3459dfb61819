//! Compaction: neighbouring cold files of a partition become one, without the versions that are dead for longer
//! than the table's history window.
//!
//! Guarantees: memory is bounded by a few batches, a row group and the Seqs of the dropped versions; a crash at
//! any step leaves at worst a file that the next opening sweeps; writers and flushes go on meanwhile, and what they
//! supersede stays dead. Snapshots from before keep the old files. Rows are sorted by the table's `cluster_by`, or stay
//! in the order of Seqs. Does not: move rows between partitions, or beyond the Seq range of the files that are merged.

mod policy;
mod sort;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::catalog::{ColumnId, TableDef, TableId, TableKind};
use crate::cold::{ColdFile, ColdReader, DEFAULT_STORE};
use crate::commit::{Merged, Request};
use crate::datum::{ColumnBuilder, to_stored};
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::flush::file::{FileWriter, seq, seqs_of, written_columns};
use crate::flush::{Cold, Flusher, blocking};
use crate::jobs::JobKind;
use crate::pace::rest;
use crate::seq::Seq;
use crate::snapshot::{PartitionSet, Snapshot};
use crate::widen;
pub(crate) use policy::{Candidate, due, worthwhile};
pub(crate) use sort::SORTED;
use sort::Sorter;

/// Rows of one batch, at most.
const BATCH_ROWS: u64 = 512;
/// What a batch may take in memory, about.
const BATCH_BYTES: u64 = 8 << 20;

/// Runs that are merged at the same time and swapped in one batch: where partitions are small, most of the time
/// is waiting for the disk. Together they take no more memory than a large run.
const CHUNK_RUNS_MAX: usize = 64;
const CHUNK_ROWS_MAX: u64 = 128 << 10;
const CHUNK_BYTES_MAX: u64 = 32 << 20;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Files that went.
    pub files_merged: u64,
    /// Files that came.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Dead versions that went.
    pub dropped: u64,
}

impl Flusher {
    /// Compacts the runs of files that `pick` picks of each partition.
    pub(crate) async fn compact(
        &self,
        table: TableId,
        pick: fn(&[Candidate]) -> Vec<Range<usize>>,
    ) -> Result<CompactReport, StorageError> {
        let lock = self
            .cold
            .compacting
            .lock()
            .entry(table)
            .or_default()
            .clone();
        let _one_at_a_time = lock.lock().await;
        let mut report = CompactReport::default();
        let snapshot = self.shared.snapshot();
        let Ok(def) = snapshot.table(table).cloned() else {
            self.cold.compacting.lock().remove(&table);
            return Err(StorageError::NoTable(table.get()));
        };
        if def.kind == TableKind::Stream {
            return Ok(report);
        }
        let _job = self.cold.writing.begin(self.shared.generator.draw(1));
        // Only a compaction takes files out of the manifest, so these runs stay neighbours until they are merged.
        let of = def.clone();
        let runs = blocking(move || runs(&snapshot, &of, pick)).await?;
        if !runs.is_empty() {
            self.cold.check_storage(&def).await?;
        }
        let mut runs = runs.into_iter().peekable();
        while let Some(first) = runs.next() {
            let (mut rows, mut bytes) = size(&first);
            let mut chunk = vec![first];
            while chunk.len() < CHUNK_RUNS_MAX
                && let Some(next) = runs.next_if(|next| {
                    let (more_rows, more_bytes) = size(next);
                    rows + more_rows <= CHUNK_ROWS_MAX && bytes + more_bytes <= CHUNK_BYTES_MAX
                })
            {
                let (more_rows, more_bytes) = size(&next);
                (rows, bytes) = (rows + more_rows, bytes + more_bytes);
                chunk.push(next);
            }
            let merged = self.merge_all(table, chunk).await?;
            let mut done = report;
            for merged in &merged {
                done.files_merged += merged.old.len() as u64;
                done.dropped += merged.dropped.len() as u64;
                if let Some(file) = &merged.new {
                    done.files += 1;
                    done.rows += file.rows;
                    done.bytes += file.bytes;
                }
            }
            self.swap(table, merged).await?;
            report = done;
        }
        Ok(report)
    }

    /// Merges each of these runs, all at the same time; when one fails, none leaves a file.
    async fn merge_all(
        &self,
        table: TableId,
        runs: Vec<Vec<ColdFile>>,
    ) -> Result<Vec<Merged>, StorageError> {
        let mut merging = JoinSet::new();
        for run in runs {
            let flusher = self.clone();
            merging.spawn(async move { flusher.merge(table, run).await });
        }
        let (mut merged, mut failed) = (Vec::new(), None);
        while let Some(ended) = merging.join_next().await {
            match ended {
                Ok(Ok(one)) => merged.push(one),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(error) => {
                    failed = failed.or(Some(StorageError::Io(std::io::Error::other(error))));
                }
            }
        }
        match failed {
            None => Ok(merged),
            Some(error) => {
                self.cold.garbage.discard(new_paths(&merged));
                Err(error)
            }
        }
    }

    /// Writes what lives of these files into a new one. Nothing else changes.
    pub(crate) async fn merge(
        &self,
        table: TableId,
        run: Vec<ColdFile>,
    ) -> Result<Merged, StorageError> {
        // A snapshot of its own, so that a long compaction keeps no old files and no old log.
        let snapshot = self.shared.snapshot();
        let def = snapshot.table(table)?.clone();
        let id = self.shared.generator.draw(1);
        let (flusher, runtime) = (self.clone(), tokio::runtime::Handle::current());
        blocking(move || merge(&flusher, &snapshot, &def, &runtime, run, id)).await
    }

    /// Puts the merged files in the place of the old ones, in one batch.
    pub(crate) async fn swap(
        &self,
        table: TableId,
        merged: Vec<Merged>,
    ) -> Result<(), StorageError> {
        let paths = new_paths(&merged);
        if let Some(path) = paths.first().cloned() {
            let stores = self.cold.stores.clone();
            blocking(move || stores.settle_folders(&path)).await?;
        }
        self.cold.failpoints.reach(Step::CompactFiles)?;
        let (reply, answer) = oneshot::channel();
        let request = Request::Compacted {
            table,
            merged,
            reply,
        };
        self.queue.send(request).await?;
        let outcome = answer.await.map_err(|_| StorageError::Closed)?;
        // A failed write of the manifest may yet have reached the disk: the files stay for the sweep.
        match &outcome {
            Ok(()) => {}
            Err(StorageError::LogFailed(_)) => self.cold.writing.hold(),
            Err(_) => self.cold.garbage.discard(paths),
        }
        outcome
    }

    /// Compacts what the policy says is due. It logs what fails, and gives the first of it.
    pub(crate) async fn compact_by_policy(&self) -> Result<(), StorageError> {
        let tables: Vec<Arc<TableDef>> = self.shared.view().tables.values().cloned().collect();
        let mut failed = None;
        for table in tables {
            let store = table.options.storage.as_deref().unwrap_or_default();
            if !self.cold.outages.may_try(store) {
                continue;
            }
            let did = |report: &CompactReport| {
                (report.files_merged > 0).then_some((report.rows, report.bytes))
            };
            let compact = self.compact(table.id, due);
            match self
                .job(JobKind::Compact, Some(table.id), compact, did)
                .await
            {
                Ok(report) if report.files_merged > 0 => {
                    tracing::info!(table = table.name, ?report, "compacted");
                }
                Ok(_) | Err(StorageError::NoTable(_)) => {}
                Err(error) if error.is_of_store() => {
                    // It may be another one that the files are read from.
                    let store = error.failed_store().unwrap_or(store).to_string();
                    self.cold.outages.failed(&store, "compacting", &error);
                }
                Err(StorageError::Closed) => return Err(StorageError::Closed),
                Err(error) => {
                    tracing::error!(table = table.name, %error, "compacting failed");
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

/// Rows and bytes of a run.
fn size(run: &[ColdFile]) -> (u64, u64) {
    let rows = run.iter().map(|file| file.rows).sum();
    (rows, run.iter().map(|file| file.bytes).sum())
}

fn new_paths(merged: &[Merged]) -> Vec<String> {
    let new = merged.iter().filter_map(|merged| merged.new.as_ref());
    new.map(|file| file.path.clone()).collect()
}

/// The runs of files to merge, partition by partition.
fn runs(
    snapshot: &Snapshot,
    table: &TableDef,
    pick: fn(&[Candidate]) -> Vec<Range<usize>>,
) -> Result<Vec<Vec<ColdFile>>, StorageError> {
    let files = snapshot.cold_files(table, &PartitionSet::All)?;
    let (floor, order) = (snapshot.history_floor(table)?, order(table));
    let storage = table.options.storage.as_deref().unwrap_or(DEFAULT_STORE);
    let mut runs = Vec::new();
    for files in files.chunk_by(|a, b| a.partition == b.partition) {
        let mut candidates = Vec::with_capacity(files.len());
        for file in files {
            let (mut dead, range) = (0, file.first_seq..=file.last_seq);
            snapshot.visit_filed_dead(table.id, &file.partition, range, floor, |_, _| {
                dead += 1;
                ControlFlow::Continue(())
            })?;
            candidates.push(Candidate {
                rows: file.rows,
                bytes: file.bytes,
                dead: file.rows.min(dead),
                in_order: file.order == order,
                in_place: file.storage() == storage,
            });
        }
        runs.extend(pick(&candidates).into_iter().map(|run| files[run].to_vec()));
    }
    Ok(runs)
}

/// The columns that the table's files are to be sorted by.
fn order(table: &TableDef) -> Vec<ColumnId> {
    let written = written_columns(table);
    let clustered = table.options.cluster_by.iter().copied();
    clustered.filter(|id| written.contains(id)).collect()
}

fn merge(
    flusher: &Flusher,
    snapshot: &Snapshot,
    table: &TableDef,
    runtime: &tokio::runtime::Handle,
    old: Vec<ColdFile>,
    id: Seq,
) -> Result<Merged, StorageError> {
    let (Some(first), Some(last)) = (old.first(), old.last()) else {
        return Err(StorageError::Corrupt(
            "a compaction of no files".to_string(),
        ));
    };
    let (partition, cold) = (first.partition.clone(), &*flusher.cold);
    let mut dropped = Vec::new();
    let (range, floor) = (
        first.first_seq..=last.last_seq,
        snapshot.history_floor(table)?,
    );
    snapshot.visit_filed_dead(table.id, &partition, range, floor, |seq, by| {
        dropped.push((seq, by));
        ControlFlow::Continue(())
    })?;
    let rows: u64 = old.iter().map(|file| file.rows).sum();
    let rows = rows.saturating_sub(dropped.len() as u64);
    let columns = written_columns(table);
    let order = order(table);
    let mut sort_by: Vec<usize> = (order.iter())
        .filter_map(|id| columns.iter().position(|column| column == id))
        .collect();
    // By Seq at last, so that the order is the same every time.
    sort_by.push(columns.len());
    // Files that all ascend by Seq do so one after the other, too.
    let sorts = !order.is_empty() || old.iter().any(|file| !file.order.is_empty());
    let mut sorter = sorts.then(|| Sorter::new(sort_by, &cold.scratch));
    let mut writer: Option<FileWriter> = None;
    let mut write = |batch: &RecordBatch| {
        if writer.is_none() {
            let range = (first.first_seq, last.last_seq);
            writer = Some(FileWriter::start(
                table, cold, runtime, &partition, range, rows, id, &order,
            )?);
        }
        (writer.as_mut().expect("it was just set")).append(batch)
    };
    for file in &old {
        let (mut count, mut last) = (0, None);
        read(table, cold, runtime, file, &mut |batch| {
            // A shutdown does not wait for large files.
            if flusher.queue.is_closed() {
                return Err(StorageError::Closed);
            }
            rest();
            let seqs = seqs_of(&batch)?;
            count += batch.num_rows() as u64;
            let lives: BooleanArray = (0..seqs.len())
                .map(|at| {
                    let version = seq(seqs.value(at))?;
                    let inside = (file.first_seq..=file.last_seq).contains(&version);
                    let before = last.replace(version).filter(|_| file.order.is_empty());
                    if !inside || before.is_some_and(|before| before >= version) {
                        let reason = format!("{} holds Seq {version} out of order", file.path);
                        return Err(StorageError::Corrupt(reason));
                    }
                    let gone = dropped.binary_search_by_key(&version, |(seq, _)| *seq);
                    Ok(Some(gone.is_err()))
                })
                .collect::<Result<_, StorageError>>()?;
            let batch = filter_record_batch(&batch, &lives)?;
            match &mut sorter {
                _ if batch.num_rows() == 0 => Ok(()),
                Some(sorter) => sorter.push(batch),
                None => write(&batch),
            }
        })?;
        if count != file.rows {
            let reason = format!("{} holds {count} rows and not {}", file.path, file.rows);
            return Err(StorageError::Corrupt(reason));
        }
    }
    if let Some(sorter) = sorter {
        sorter.finish(&mut |batch| write(&batch))?;
    }
    let new = writer
        .map(|writer| writer.finish(cold, runtime))
        .transpose()?;
    Ok(Merged { old, new, dropped })
}

/// Hands on a file's rows in the columns of a file that is written now, batch by batch.
fn read(
    table: &TableDef,
    cold: &Cold,
    runtime: &tokio::runtime::Handle,
    file: &ColdFile,
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let lacks = |what: &str| StorageError::Corrupt(format!("{} has no column {what}", file.path));
    // It is read once; what others read often shall stay in the cache.
    let reader = ColdReader::new(Arc::new(cold.stores.uncached()), file.sealed()?);
    let reader = runtime.block_on(ParquetRecordBatchStreamBuilder::new(reader))?;
    let held = reader.schema().clone();
    let columns: Vec<_> = (written_columns(table).into_iter())
        .filter_map(|id| table.index_of(id).map(|index| &table.columns[index]))
        .collect();
    let names = (columns.iter().map(|column| column.stored_name.as_str())).chain(["_seq"]);
    let mask = ProjectionMask::columns(
        reader.parquet_schema(),
        names.filter(|name| held.index_of(name).is_ok()),
    );
    let groups = reader.metadata().row_groups();
    let bytes: i64 = groups.iter().map(|group| group.total_byte_size()).sum();
    let row_bytes = u64::try_from(bytes).unwrap_or(0) / file.rows.max(1);
    let batch_rows = (BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH_ROWS);
    let mut reader = reader
        .with_projection(mask)
        .with_batch_size(usize::try_from(batch_rows).expect("it is at most BATCH_ROWS"))
        .build()?;
    while let Some(batch) = runtime.block_on(reader.try_next())? {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
        for column in &columns {
            arrays.push(match batch.column_by_name(&column.stored_name) {
                Some(array) => widen::array(array, column.ty)?,
                // The file is older than the column.
                None => {
                    let mut builder = ColumnBuilder::new(column.ty);
                    (0..batch.num_rows()).for_each(|_| builder.append(column.missing.as_ref()));
                    to_stored(&builder.finish())
                }
            });
        }
        let seqs = batch.column_by_name("_seq").ok_or_else(|| lacks("_seq"))?;
        arrays.push(seqs.clone());
        let names = columns.iter().map(|column| column.stored_name.as_str());
        let batch = RecordBatch::try_from_iter_with_nullable(
            (names.chain(["_seq"]).zip(arrays)).map(|(name, array)| (name, array, name != "_seq")),
        )?;
        sink(batch)?;
    }
    Ok(())
}
