//! Writing one Parquet file of one partition.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{Cold, WORTH_A_FILE_ROWS};
use crate::catalog::{ColumnId, TableDef};
use crate::cold::blocks::Checksums;
use crate::cold::reader::{self, ColdReader};
use crate::cold::{ColdFile, PartitionState, bounds, new_path};
use crate::datum::{ColumnType, to_stored};
use crate::digest::Digest;
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::pace::rest;
use crate::seq::Seq;
use crate::snapshot::{HotScan, PartitionSet, ScanColumn, Snapshot};
use crate::transaction::Partition;

const ROW_GROUP_ROWS: usize = 128 << 10;
const ROW_GROUP_BYTES: usize = 64 << 20;
/// A page is what reading one row decompresses, of each column, with the column's dictionary: both stay small.
const PAGE_ROWS: usize = 2048;
const PAGE_BYTES: usize = 64 << 10;
/// Rows that are scanned or written between two rests: a turn's worth.
const BATCH_ROWS: usize = 128;
const UPLOAD_BYTES: usize = 64 << 10;
/// A file larger than this goes to the store in parts of this size (S3 takes 5 MiB and 10,000 parts at most).
const PART_BYTES: usize = 8 << 20;
/// The parts of a file on this machine: each is written in one go.
const LOCAL_PART_BYTES: usize = 256 << 10;
/// Parts of one file on their way at the same time; with what is being filled, they bound an upload's memory.
const PARTS: usize = 2;
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Hands what the Parquet writer produces on to the object store.
struct Upload {
    runtime: tokio::runtime::Handle,
    /// Until the upload ends.
    writer: Option<BufWriter>,
    buffer: Vec<u8>,
    sent: Digest,
    checksums: Checksums,
}

impl Upload {
    fn send(&mut self) -> std::io::Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.sent.add(&bytes);
        self.checksums.add(&bytes);
        let Some(writer) = &mut self.writer else {
            return Err(std::io::Error::other("the upload has ended"));
        };
        (self.runtime.block_on(writer.put(bytes))).map_err(std::io::Error::other)
    }

    /// When this answers, the object is there as a whole; gives its size, its digest and the checksums that were not taken.
    fn complete(mut self) -> std::io::Result<(u64, String, Vec<u32>)> {
        self.send()?;
        if let Some(mut writer) = self.writer.take() {
            let end = async { tokio::io::AsyncWriteExt::shutdown(&mut writer).await };
            self.runtime.block_on(end)?;
        }
        let (bytes, sha256) = std::mem::take(&mut self.sent).end();
        Ok((bytes, sha256, std::mem::take(&mut self.checksums).end()))
    }
}

impl Drop for Upload {
    /// Parts of an upload that was given up would be kept, and be paid for.
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            self.runtime.spawn(async move { writer.abort().await });
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= UPLOAD_BYTES {
            self.send()?;
            rest();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes one file of one partition, batch by batch. Blocking, on a thread that may block.
pub(crate) struct FileWriter {
    path: String,
    table: TableDef,
    partition: Partition,
    order: Vec<ColumnId>,
    parquet: ArrowWriter<Upload>,
    schema: Arc<Schema>,
    /// The lowest and the highest Seq so far.
    seqs: Option<(Seq, Seq)>,
    rows: u64,
}

/// Writes the partition's versions between its watermark and the snapshot that did not die up to `floor`, reads
/// the file back, syncs it, and gives its manifest entry; `None` when there are none. `id` is drawn for the file.
/// Blocking, on a thread that
/// may block.
#[allow(clippy::too_many_arguments)] // Each tells one thing about the file.
pub(super) fn write(
    snapshot: &Snapshot,
    table: &Arc<TableDef>,
    cold: &Cold,
    runtime: &tokio::runtime::Handle,
    partition: &Partition,
    state: &PartitionState,
    floor: Seq,
    id: Seq,
) -> Result<Option<ColdFile>, StorageError> {
    let columns = written_columns(table);
    let mut outputs: Vec<ScanColumn> = columns.iter().map(|id| ScanColumn::Column(*id)).collect();
    outputs.push(ScanColumn::Seq);
    let scan = HotScan {
        table: table.clone(),
        partitions: PartitionSet::One(partition.clone()),
        columns: outputs,
        seqs: state.watermark.advance(1)..=state.last_seq,
        batch_rows: BATCH_ROWS,
        limit: None,
        newest_first: false,
    };
    let mut writer: Option<FileWriter> = None;
    let mut failed = None;
    snapshot.scan_hot_history(&scan, floor, &mut |batch| {
        let mut step = || {
            if writer.is_none() {
                let first = seq(seqs_of(&batch)?.value(0))?;
                let rows = state.unflushed_rows;
                let range = (first, state.last_seq);
                writer = Some(FileWriter::start(
                    table,
                    cold,
                    runtime,
                    partition,
                    range,
                    rows,
                    id,
                    &[],
                )?);
            }
            writer.as_mut().expect("it was just set").append(&batch)
        };
        match step() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    writer
        .map(|writer| writer.finish(cold, runtime))
        .transpose()
}

/// The columns of a file that is written now: those of the table's layout, but one that was dropped without a
/// new layout.
pub(crate) fn written_columns(table: &TableDef) -> Vec<ColumnId> {
    let layout = &table.layouts[&table.schema_version];
    (layout.iter().map(|(id, _)| *id))
        .filter(|id| table.index_of(*id).is_some())
        .collect()
}

/// The Seqs of a batch, its last column.
pub(crate) fn seqs_of(batch: &RecordBatch) -> Result<&Int64Array, StorageError> {
    let last = batch.column(batch.num_columns() - 1);
    (last.as_any().downcast_ref())
        .ok_or_else(|| StorageError::Corrupt("_seq is no bigint".to_string()))
}

/// The Seq of a `_seq` value; `Corrupt` when it cannot be one.
pub(crate) fn seq(value: i64) -> Result<Seq, StorageError> {
    Seq::from_i64(value).ok_or_else(|| StorageError::Corrupt(format!("_seq {value}")))
}

impl FileWriter {
    /// Starts a file of about `rows` rows, none of which has a Seq outside of this range. They come sorted by the
    /// columns of `order`, which are `written_columns`, and then by Seq. `id` is a Seq drawn for it.
    #[allow(clippy::too_many_arguments)] // Each tells one thing about the file.
    pub(crate) fn start(
        table: &TableDef,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
        partition: &Partition,
        (first, upto): (Seq, Seq),
        rows: u64,
        id: Seq,
        order: &[ColumnId],
    ) -> Result<FileWriter, StorageError> {
        let mut fields = Vec::new();
        let columns = written_columns(table);
        for id in &columns {
            let column =
                &table.columns[table.index_of(*id).expect("dropped columns were left out")];
            fields.push(
                column
                    .field()
                    .with_data_type(column.ty.stored_arrow())
                    .with_nullable(true)
                    .with_name(&column.stored_name),
            );
        }
        fields.push(Field::new("_seq", DataType::Int64, false));
        let schema = Arc::new(Schema::new(fields));
        let path = new_path(table, partition, (first, upto), id);
        let at = object_store::path::Path::parse(&path)
            .map_err(|error| StorageError::Corrupt(error.to_string()))?;
        let objects: Arc<dyn ObjectStore> = cold.stores.clone();
        let part = match cold.stores.of(&path)?.folder {
            Some(_) => LOCAL_PART_BYTES,
            None => PART_BYTES,
        };
        let upload = Upload {
            runtime: runtime.clone(),
            writer: Some(BufWriter::with_capacity(objects, at, part).with_max_concurrency(PARTS)),
            buffer: Vec::new(),
            sent: Digest::default(),
            checksums: Checksums::default(),
        };
        let sorted_by = |id: &ColumnId| columns.iter().position(|column| column == id);
        let mut sorting: Vec<usize> = order.iter().filter_map(sorted_by).collect();
        sorting.push(columns.len());
        let properties = properties(table, &sorting, rows)?;
        let parquet = ArrowWriter::try_new(upload, schema.clone(), Some(properties))?;
        Ok(FileWriter {
            path,
            table: table.clone(),
            partition: partition.clone(),
            order: order.to_vec(),
            parquet,
            schema,
            seqs: None,
            rows: 0,
        })
    }

    /// Adds rows: an array for each of `written_columns`, then their Seqs (`Int64`).
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        let seqs = seqs_of(batch)?;
        if let (Some(low), Some(high)) = (min(seqs), max(seqs)) {
            let (low, high) = (seq(low)?, seq(high)?);
            let (first, last) = self.seqs.unwrap_or((low, high));
            self.seqs = Some((first.min(low), last.max(high)));
        }
        self.rows += batch.num_rows() as u64;
        let columns = batch.columns().iter().map(to_stored).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        for start in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let rows = BATCH_ROWS.min(batch.num_rows() - start);
            self.parquet.write(&batch.slice(start, rows))?;
            rest();
        }
        if self.parquet.in_progress_size() > ROW_GROUP_BYTES {
            self.parquet.flush()?;
        }
        Ok(())
    }

    /// Ends the file, reads it back and syncs it. When that fails, what may be there of it is removed by and by.
    pub(crate) fn finish(
        self,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
    ) -> Result<ColdFile, StorageError> {
        let path = self.path.clone();
        (self.finished(cold, runtime)).inspect_err(|_| cold.garbage.discard(vec![path]))
    }

    fn finished(
        mut self,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
    ) -> Result<ColdFile, StorageError> {
        let path = self.path;
        let (first, last) = self.seqs.ok_or_else(|| nothing(&path))?;
        // What follows is the footer and what belongs to it.
        self.parquet.flush()?;
        if let Some(entry) = reader::entry(&self.parquet.inner_mut().checksums.take_body()) {
            self.parquet.append_key_value_metadata(entry);
        }
        let upload = self.parquet.into_inner()?;
        cold.failpoints.reach(Step::FileUnnamed)?;
        let (bytes, sha256, checksums) = upload.complete()?;
        cold.failpoints.reach(Step::FileNamed)?;
        let mut file = ColdFile {
            path,
            partition: self.partition,
            first_seq: first,
            last_seq: last,
            rows: self.rows,
            bytes,
            sha256,
            checksums,
            schema_version: self.table.schema_version,
            order: self.order,
            bounds: Vec::new(),
        };
        // A store that answered "done" must also give the file back: its end is what lacks first.
        let store = cold.stores.of(&file.path)?;
        let mut reader = ColdReader::new(cold.stores.clone(), file.sealed()?);
        let read = runtime.block_on(reader.footer());
        let footer = read.map_err(|error| match StorageError::from(error) {
            StorageError::Corrupt(reason) => store.failure(reason),
            StorageError::Store(failure) => failure,
            error => store.failure(error),
        });
        let footer = &footer.map_err(StorageError::Store)?.parquet;
        let rows = footer.file_metadata().num_rows();
        if rows != i64::try_from(file.rows).unwrap_or(-1) {
            let reason = format!("{} holds {rows} rows and not {}", file.path, file.rows);
            return Err(StorageError::Corrupt(reason));
        }
        file.bounds = bounds::encode(&self.table, &self.schema, footer)?;
        // The manifest must never name what a power cut takes away.
        cold.stores.settle(&file.path)?;
        Ok(file)
    }
}

fn nothing(path: &str) -> StorageError {
    StorageError::Corrupt(format!("nothing was written to {path}"))
}

/// `sorting` are the places of the columns that the rows are sorted by.
fn properties(
    table: &TableDef,
    sorting: &[usize],
    rows: u64,
) -> Result<WriterProperties, StorageError> {
    let mut sorting_columns = Vec::with_capacity(sorting.len());
    for at in sorting {
        sorting_columns.push(SortingColumn {
            column_idx: i32::try_from(*at)
                .map_err(|_| StorageError::Corrupt("too many columns".to_string()))?,
            descending: false,
            nulls_first: false,
        });
    }
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_sorting_columns(Some(sorting_columns))
        // Seqs never repeat: a dictionary of them would only cost.
        .set_column_dictionary_enabled(ColumnPath::from("_seq"), false);
    // Parquet's statistics leave out NaN, which is higher than every number: nothing may be ruled out by them.
    for column in &table.columns {
        if matches!(column.ty, ColumnType::Float4 | ColumnType::Float8) {
            let path = ColumnPath::from(column.stored_name.as_str());
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    if rows < WORTH_A_FILE_ROWS {
        // The whole file is one read, and its size mostly what describes it.
        return Ok(properties
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build());
    }
    properties = properties.set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?));
    let keys = table.indexes.iter().flat_map(|index| &index.columns);
    let looked_up: BTreeSet<ColumnId> = table.primary_key.iter().chain(keys).copied().collect();
    for id in looked_up {
        // What an index computes stands in no file.
        let Some(index) = table.index_of(id) else {
            continue;
        };
        let column = &table.columns[index];
        // Equal ones may have different bytes.
        if column.ty == ColumnType::Numeric(None) {
            continue;
        }
        let column = ColumnPath::from(column.stored_name.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column, rows.min(ROW_GROUP_ROWS as u64));
    }
    Ok(properties.build())
}
