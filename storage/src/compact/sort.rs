//! Sorting rows in bounded memory: what does not fit is written as sorted runs and merged.
//!
//! Guarantees: memory is bounded by a few times `RUN_BYTES`, however many rows there are; what it writes has no name
//! and ends with the process. Does not: know versions or files of tables.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, interleave_record_batch, lexsort_to_indices,
    take_record_batch,
};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::error::StorageError;
use crate::scratch;

/// Rows that are sorted in memory, in bytes.
const RUN_BYTES: usize = 32 << 20;
/// What the batches of all runs take while they are merged, about.
const MERGE_BYTES: usize = 32 << 20;
const BATCH_ROWS: usize = 8192;
const PAGE_BYTES: usize = 64 << 10;

/// Ascending, NULLs last, as an index of PostgreSQL's.
pub(crate) const SORTED: SortOptions = SortOptions {
    descending: false,
    nulls_first: false,
};

/// Sorts batches of one schema by some of their columns.
pub(super) struct Sorter {
    columns: Vec<usize>,
    scratch: PathBuf,
    run_bytes: usize,
    pending: Vec<RecordBatch>,
    pending_bytes: usize,
    runs: Vec<Run>,
}

/// A sorted run on disk.
struct Run {
    file: File,
    row_bytes: usize,
}

impl Sorter {
    /// Sorts by these columns, in this order; runs go to the folder `scratch`.
    pub(super) fn new(columns: Vec<usize>, scratch: &Path) -> Sorter {
        Sorter {
            columns,
            scratch: scratch.to_path_buf(),
            run_bytes: RUN_BYTES,
            pending: Vec::new(),
            pending_bytes: 0,
            runs: Vec::new(),
        }
    }

    /// Takes a batch.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), StorageError> {
        self.pending_bytes += batch.get_array_memory_size();
        self.pending.push(batch);
        if self.pending_bytes >= self.run_bytes {
            let run = self.sorted()?;
            self.runs
                .extend(run.map(|run| spill(&self.scratch, &run)).transpose()?);
        }
        Ok(())
    }

    /// Gives all rows, sorted, batch by batch.
    pub(super) fn finish(
        mut self,
        sink: &mut dyn FnMut(RecordBatch) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let Some(last) = self.sorted()? else {
            return merge(&self.columns, &self.runs, sink);
        };
        if self.runs.is_empty() {
            for start in (0..last.num_rows()).step_by(BATCH_ROWS) {
                sink(last.slice(start, BATCH_ROWS.min(last.num_rows() - start)))?;
            }
            return Ok(());
        }
        self.runs.push(spill(&self.scratch, &last)?);
        drop(last);
        merge(&self.columns, &self.runs, sink)
    }

    /// The pending rows, sorted.
    fn sorted(&mut self) -> Result<Option<RecordBatch>, StorageError> {
        let Some(first) = self.pending.first() else {
            return Ok(None);
        };
        let all = concat_batches(&first.schema(), &self.pending)?;
        self.pending.clear();
        self.pending_bytes = 0;
        let keys: Vec<SortColumn> = (self.columns.iter())
            .map(|at| SortColumn {
                values: all.column(*at).clone(),
                options: Some(SORTED),
            })
            .collect();
        let order = lexsort_to_indices(&keys, None)?;
        Ok(Some(take_record_batch(&all, &order)?))
    }
}

fn spill(folder: &Path, rows: &RecordBatch) -> Result<Run, StorageError> {
    let file = scratch::unnamed(folder)?;
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(256)
        .set_max_row_group_row_count(None)
        .build();
    let mut writer = ArrowWriter::try_new(file.try_clone()?, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    let row_bytes = rows.get_array_memory_size() / rows.num_rows().max(1);
    Ok(Run { file, row_bytes })
}

/// Where the merge stands in a run.
struct Cursor {
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    keys: Rows,
    at: usize,
}

impl Cursor {
    /// Moves on to the next batch; `false` at the end.
    fn load(
        &mut self,
        schema: &SchemaRef,
        columns: &[usize],
        converter: &RowConverter,
    ) -> Result<bool, StorageError> {
        let Some(batch) = self.reader.next().transpose()? else {
            return Ok(false);
        };
        self.batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?;
        let arrays: Vec<_> = columns.iter().map(|at| batch.column(*at).clone()).collect();
        self.keys = converter.convert_columns(&arrays)?;
        self.at = 0;
        Ok(true)
    }
}

fn merge(
    columns: &[usize],
    runs: &[Run],
    sink: &mut dyn FnMut(RecordBatch) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut cursors: Vec<Cursor> = Vec::with_capacity(runs.len());
    let mut converter = None;
    let mut schema = None;
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for run in runs {
        let reader = ParquetRecordBatchReaderBuilder::try_new(run.file.try_clone()?)?;
        let schema = schema.get_or_insert_with(|| reader.schema().clone());
        if converter.is_none() {
            let field = |at: &usize| {
                let ty = schema.field(*at).data_type().clone();
                SortField::new_with_options(ty, SORTED)
            };
            converter = Some(RowConverter::new(columns.iter().map(field).collect())?);
        }
        let converter = converter.as_ref().expect("it was just made");
        let rows = MERGE_BYTES / runs.len() / run.row_bytes.max(1);
        let mut cursor = Cursor {
            reader: reader.with_batch_size(rows.clamp(1, BATCH_ROWS)).build()?,
            batch: RecordBatch::new_empty(schema.clone()),
            keys: converter.empty_rows(0, 0),
            at: 0,
        };
        if cursor.load(schema, columns, converter)? {
            heads.push(Reverse((
                Box::from(cursor.keys.row(0).as_ref()),
                cursors.len(),
            )));
        }
        cursors.push(cursor);
    }
    let (Some(schema), Some(converter)) = (schema, converter) else {
        return Ok(());
    };
    let mut chosen: Vec<(usize, usize)> = Vec::with_capacity(BATCH_ROWS);
    while let Some(Reverse((_, run))) = heads.pop() {
        let cursor = &mut cursors[run];
        chosen.push((run, cursor.at));
        cursor.at += 1;
        let ended = cursor.at == cursor.batch.num_rows();
        if ended || chosen.len() == BATCH_ROWS {
            let batches: Vec<&RecordBatch> = cursors.iter().map(|cursor| &cursor.batch).collect();
            sink(interleave_record_batch(&batches, &chosen)?)?;
            chosen.clear();
        }
        let cursor = &mut cursors[run];
        if !ended || cursor.load(&schema, columns, &converter)? {
            let key: Box<[u8]> = Box::from(cursor.keys.row(cursor.at).as_ref());
            heads.push(Reverse((key, run)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn batch(rows: &[(Option<&str>, i64)]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("room", DataType::Utf8, true),
        ]);
        let numbers = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
        let rooms: StringArray = rows.iter().map(|row| row.0).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(rooms)]).unwrap()
    }

    #[test]
    fn rows_come_sorted_out_of_memory_and_out_of_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let rooms = [Some("attic"), None, Some("lobby"), Some("")];
        for (rows, run_bytes) in [
            (0, 1),
            (1, RUN_BYTES),
            (30_000, RUN_BYTES),
            (30_000, 60_000),
        ] {
            let mut sorter = Sorter::new(vec![1, 0], scratch.path());
            sorter.run_bytes = run_bytes;
            let all: Vec<(Option<&str>, i64)> = (0..rows)
                .map(|n| (rooms[(n * 7 % 11 % 4) as usize], n * 7919 % 30_011))
                .collect();
            all.chunks(1000)
                .for_each(|rows| sorter.push(batch(rows)).unwrap());
            assert_eq!(sorter.runs.len() > 1, rows > 1 && run_bytes < RUN_BYTES);
            let mut sorted = Vec::new();
            let mut take = |batch: RecordBatch| {
                let numbers = batch.column(0).as_primitive::<Int64Type>().clone();
                let rooms = batch.column(1).as_string::<i32>().clone();
                for at in 0..batch.num_rows() {
                    let room = rooms.iter().nth(at).flatten().map(str::to_string);
                    sorted.push((room.is_none(), room, numbers.value(at)));
                }
                Ok(())
            };
            sorter.finish(&mut take).unwrap();
            let mut expected: Vec<_> = (all.iter())
                .map(|(room, n)| (room.is_none(), room.map(str::to_string), *n))
                .collect();
            expected.sort();
            assert!(sorted == expected, "{rows} rows, runs of {run_bytes} bytes");
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
