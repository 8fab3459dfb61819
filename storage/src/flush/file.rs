//! Writing one Parquet file of one partition.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{Cold, WORTH_A_FILE_ROWS};
use crate::catalog::{ColumnId, TableDef};
use crate::cold::{ColdFile, PartitionState, writing_path};
use crate::commit::garbage::remove_files;
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::seq::Seq;
use crate::snapshot::{HotScan, PartitionSet, ScanColumn, Snapshot};
use crate::transaction::Partition;

const ROW_GROUP_ROWS: usize = 128 << 10;
const ROW_GROUP_BYTES: usize = 64 << 20;
const BATCH_ROWS: usize = 8192;
const UPLOAD_BYTES: usize = 1 << 20;
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Hands what the Parquet writer produces on to the object store.
struct Upload {
    runtime: tokio::runtime::Handle,
    writer: BufWriter,
    buffer: Vec<u8>,
}

impl Upload {
    fn send(&mut self) -> std::io::Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.runtime
            .block_on(self.writer.put(bytes))
            .map_err(std::io::Error::other)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= UPLOAD_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes one file of one partition, batch by batch. Blocking, on a thread that may block.
pub(crate) struct FileWriter {
    /// Where the file is until its last Seq is known.
    path: object_store::path::Path,
    names: FileNames,
    partition: Partition,
    schema_version: u32,
    parquet: ArrowWriter<Upload>,
    schema: Arc<Schema>,
    first: Seq,
    last: Seq,
    rows: u64,
}

/// What the name of a new file says.
#[derive(Clone, Copy)]
pub(crate) enum FileNames {
    /// Its Seq range, which no other flush can have.
    Flush,
    /// Its Seq range and this Seq, drawn for it: the files that it replaces may have the same range.
    Compaction(Seq),
}

/// Writes the partition's live versions between its watermark and the snapshot, reads the file back, syncs
/// it, and gives its manifest entry; `None` when nothing lives. Blocking, on a thread that may block.
pub(super) fn write(
    snapshot: &Snapshot,
    table: &Arc<TableDef>,
    cold: &Cold,
    runtime: &tokio::runtime::Handle,
    partition: &Partition,
    state: &PartitionState,
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
    };
    let mut writer: Option<FileWriter> = None;
    let mut failed = None;
    snapshot.scan_hot(&scan, None, &mut |batch| {
        let mut step = || {
            if writer.is_none() {
                let first = seq(seqs_of(&batch)?.value(0))?;
                let rows = state.unflushed_rows;
                writer = Some(FileWriter::start(
                    table,
                    cold,
                    runtime,
                    partition,
                    first,
                    rows,
                    FileNames::Flush,
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
    /// Starts a file of about `rows` rows, the first of which has the Seq `first`.
    pub(crate) fn start(
        table: &TableDef,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
        partition: &Partition,
        first: Seq,
        rows: u64,
        names: FileNames,
    ) -> Result<FileWriter, StorageError> {
        let mut fields = Vec::new();
        let columns = written_columns(table);
        for id in &columns {
            let column =
                &table.columns[table.index_of(*id).expect("dropped columns were left out")];
            fields.push(
                column
                    .field()
                    .with_nullable(true)
                    .with_name(&column.stored_name),
            );
        }
        fields.push(Field::new("_seq", DataType::Int64, false));
        let schema = Arc::new(Schema::new(fields));
        let mut path = writing_path(table, partition, first);
        if let FileNames::Compaction(id) = names {
            path = format!("{path}-{id}");
        }
        let path = object_store::path::Path::parse(path)
            .map_err(|error| StorageError::Corrupt(error.to_string()))?;
        let upload = Upload {
            runtime: runtime.clone(),
            writer: BufWriter::new(cold.objects.clone(), path.clone()),
            buffer: Vec::new(),
        };
        let properties = properties(table, columns.len(), rows)?;
        let parquet = ArrowWriter::try_new(upload, schema.clone(), Some(properties))?;
        Ok(FileWriter {
            path,
            names,
            partition: partition.clone(),
            schema_version: table.schema_version,
            parquet,
            schema,
            first,
            last: first,
            rows: 0,
        })
    }

    /// Adds rows: an array for each of `written_columns`, then their Seqs (`Int64`), which ascend. At least one row.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        let seqs = seqs_of(batch)?;
        self.last = seq(seqs.value(seqs.len() - 1))?;
        self.rows += batch.num_rows() as u64;
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())?;
        self.parquet.write(&batch)?;
        if self.parquet.in_progress_size() > ROW_GROUP_BYTES {
            self.parquet.flush()?;
        }
        Ok(())
    }

    /// Ends the file, gives it its name, reads it back and syncs it. When that fails, no file is left.
    pub(crate) fn finish(
        self,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
    ) -> Result<ColdFile, StorageError> {
        let folder = self
            .path
            .as_ref()
            .rsplit_once('/')
            .map_or("", |path| path.0);
        // The last Seq is known only now, and the name tells both.
        let (first, last) = (self.first, self.last);
        let path = match self.names {
            FileNames::Flush => format!("{folder}/{first}-{last}.parquet"),
            FileNames::Compaction(id) => format!("{folder}/{first}-{last}-{id}.parquet"),
        };
        let names = [self.path.to_string(), path.clone()];
        (self.finish_as(path, cold, runtime)).inspect_err(|_| remove_files(&cold.dir, &names))
    }

    fn finish_as(
        self,
        path: String,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
    ) -> Result<ColdFile, StorageError> {
        let mut upload = self.parquet.into_inner()?;
        upload.send()?;
        runtime.block_on(async { tokio::io::AsyncWriteExt::shutdown(&mut upload.writer).await })?;
        let path = object_store::path::Path::parse(path)
            .map_err(|error| StorageError::Corrupt(error.to_string()))?;
        cold.failpoints.reach(Step::FileUnnamed)?;
        runtime.block_on(cold.objects.rename(&self.path, &path))?;
        cold.failpoints.reach(Step::FileNamed)?;
        let bytes = runtime.block_on(cold.objects.head(&path))?.size;
        let local = cold.dir.join(path.as_ref());
        let file = File::open(&local)?;
        let rows = ParquetMetaDataReader::new()
            .parse_and_finish(&file)?
            .file_metadata()
            .num_rows();
        if rows != i64::try_from(self.rows).unwrap_or(-1) {
            let reason = format!("{path} holds {rows} rows and not {}", self.rows);
            return Err(StorageError::Corrupt(reason));
        }
        // object_store does not sync, and the manifest must never name what a power cut takes away.
        file.sync_all()?;
        sync_folder(local.parent().unwrap_or(&local))?;
        Ok(ColdFile {
            path: path.to_string(),
            partition: self.partition,
            first_seq: self.first,
            last_seq: self.last,
            rows: self.rows,
            bytes,
            schema_version: self.schema_version,
        })
    }
}

fn properties(
    table: &TableDef,
    seq_at: usize,
    rows: u64,
) -> Result<WriterProperties, StorageError> {
    let seq_at =
        i32::try_from(seq_at).map_err(|_| StorageError::Corrupt("too many columns".to_string()))?;
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: seq_at,
            descending: false,
            nulls_first: false,
        }]))
        // Seqs never repeat: a dictionary of them would only cost.
        .set_column_dictionary_enabled(ColumnPath::from("_seq"), false);
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
        let index = table
            .index_of(id)
            .expect("a key's column cannot be dropped");
        let column = ColumnPath::from(table.columns[index].stored_name.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column, rows.min(ROW_GROUP_ROWS as u64));
    }
    Ok(properties.build())
}

fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    Ok(File::open(folder)?.sync_all()?)
}

/// Syncs a table's folder and those above it, up to the object store's own.
pub(crate) fn sync_folders(table: Option<PathBuf>, cold: &Path) -> Result<(), StorageError> {
    for folder in table.iter().flat_map(|table| table.ancestors()) {
        sync_folder(folder)?;
        if folder == cold {
            break;
        }
    }
    Ok(())
}
