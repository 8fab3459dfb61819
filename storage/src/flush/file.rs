//! Writing one Parquet file of one partition.

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
use crate::error::StorageError;
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

struct FileWriter {
    path: object_store::path::Path,
    parquet: ArrowWriter<Upload>,
    schema: Arc<Schema>,
    first: Seq,
    last: Seq,
    rows: u64,
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
    // The layout's columns are those of the table at this snapshot; one that was dropped without a new
    // layout is not written.
    let layout = &table.layouts[&table.schema_version];
    let columns: Vec<ColumnId> = layout
        .iter()
        .map(|(id, _)| *id)
        .filter(|id| table.index_of(*id).is_some())
        .collect();
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
                writer = Some(FileWriter::start(
                    table, &columns, cold, runtime, partition, state, &batch,
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
        .map(|writer| writer.finish(table, cold, runtime, partition))
        .transpose()
}

fn seqs_of(batch: &RecordBatch) -> &Int64Array {
    let last = batch.column(batch.num_columns() - 1);
    last.as_any()
        .downcast_ref()
        .expect("the scan's last column is `_seq`")
}

fn seq(value: i64) -> Seq {
    Seq::from_i64(value).expect("a scan gives Seqs")
}

impl FileWriter {
    fn start(
        table: &TableDef,
        columns: &[ColumnId],
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
        partition: &Partition,
        state: &PartitionState,
        batch: &RecordBatch,
    ) -> Result<FileWriter, StorageError> {
        let mut fields = Vec::new();
        for id in columns {
            let column = &table.columns[table
                .index_of(*id)
                .expect("the caller left dropped columns out")];
            fields.push(
                column
                    .field()
                    .with_nullable(true)
                    .with_name(&column.stored_name),
            );
        }
        fields.push(Field::new("_seq", DataType::Int64, false));
        let schema = Arc::new(Schema::new(fields));
        let first = seq(seqs_of(batch).value(0));
        let path = object_store::path::Path::parse(writing_path(table, partition, first))
            .map_err(|error| StorageError::Corrupt(error.to_string()))?;
        let upload = Upload {
            runtime: runtime.clone(),
            writer: BufWriter::new(cold.objects.clone(), path.clone()),
            buffer: Vec::new(),
        };
        let properties = properties(table, columns.len(), state.unflushed_rows)?;
        let parquet = ArrowWriter::try_new(upload, schema.clone(), Some(properties))?;
        Ok(FileWriter {
            path,
            parquet,
            schema,
            first,
            last: first,
            rows: 0,
        })
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        let seqs = seqs_of(batch);
        self.last = seq(seqs.value(seqs.len() - 1));
        self.rows += batch.num_rows() as u64;
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())?;
        self.parquet.write(&batch)?;
        if self.parquet.in_progress_size() > ROW_GROUP_BYTES {
            self.parquet.flush()?;
        }
        Ok(())
    }

    fn finish(
        self,
        table: &TableDef,
        cold: &Cold,
        runtime: &tokio::runtime::Handle,
        partition: &Partition,
    ) -> Result<ColdFile, StorageError> {
        let mut upload = self.parquet.into_inner()?;
        upload.send()?;
        runtime.block_on(async { tokio::io::AsyncWriteExt::shutdown(&mut upload.writer).await })?;
        // The last Seq is known only now, and the name tells both.
        let path = object_store::path::Path::parse(format!("{}-{}.parquet", self.path, self.last))
            .map_err(|error| StorageError::Corrupt(error.to_string()))?;
        runtime.block_on(cold.objects.rename(&self.path, &path))?;
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
            partition: partition.clone(),
            first_seq: self.first,
            last_seq: self.last,
            rows: self.rows,
            bytes,
            schema_version: table.schema_version,
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
    for index in table.key_indexes() {
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
pub(super) fn sync_folders(table: Option<PathBuf>, cold: &Path) -> Result<(), StorageError> {
    for folder in table.iter().flat_map(|table| table.ancestors()) {
        sync_folder(folder)?;
        if folder == cold {
            break;
        }
    }
    Ok(())
}
