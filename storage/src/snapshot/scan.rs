//! The scan of the hot log: a merge of the log with the dead set, partition by partition.
//!
//! Guarantees: memory is bounded by one batch (and the list of the table's partitions).

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use rocksdb::{DB, DBRawIteratorWithThreadMode};

use super::{HotScan, PartitionSet, ScanColumn, Snapshot, rows_family};
use crate::changes::ChangeOp;
use crate::datum::ColumnBuilder;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{scope_end, scope_key, seq_of, table_range, version_key};
use crate::record::{self, RowReader};
use crate::seq::Seq;
use crate::transaction::{Partition, Transaction};
use crate::versions::DeadEntry;

/// Rows of the first batch of a scan from the newest row back: its reader may need no more.
const FIRST_BATCH_ROWS: usize = 64;
/// A batch ends after records of so many bytes: a few of them wait for each client that does not read.
const BATCH_BYTES: usize = 1 << 20;

/// Versions that died up to `dead_upto` are left out.
pub(super) fn run(
    snapshot: &Snapshot,
    scan: &HotScan,
    dead_upto: Seq,
    transaction: Option<&Transaction>,
    sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    // Each batch asks: a reader of many rows must not hold up an erasure.
    let garbage = &snapshot.view.garbage;
    let mut evicted = false;
    let mut sink = |batch| {
        evicted = garbage.is_evicted(snapshot.taken_at());
        match evicted {
            true => ControlFlow::Break(()),
            false => sink(batch),
        }
    };
    let scanned = scan_all(snapshot, scan, dead_upto, transaction, &mut sink);
    match evicted {
        true => Err(StorageError::Evicted),
        false => scanned,
    }
}

fn scan_all(
    snapshot: &Snapshot,
    scan: &HotScan,
    dead_upto: Seq,
    transaction: Option<&Transaction>,
    sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let mut output = Output::new(scan, sink);
    if output.left == 0 {
        return Ok(());
    }
    if scan.newest_first {
        if let Some(transaction) = transaction
            && scan_pending(scan, transaction, &mut output)?.is_break()
        {
            return Ok(());
        }
        if scan_log_back(snapshot, scan, dead_upto, transaction, &mut output)?.is_break() {
            return Ok(());
        }
        return output.emit().map(|_| ());
    }
    if scan_log(snapshot, scan, dead_upto, transaction, &mut output)?.is_break() {
        return Ok(());
    }
    if let Some(transaction) = transaction
        && scan_pending(scan, transaction, &mut output)?.is_break()
    {
        return Ok(());
    }
    output.emit().map(|_| ())
}

fn scan_log(
    snapshot: &Snapshot,
    scan: &HotScan,
    dead_upto: Seq,
    transaction: Option<&Transaction>,
    output: &mut Output<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    let table = &scan.table;
    let first = (*scan.seqs.start()).max(snapshot.oldest(table)?);
    let last = (*scan.seqs.end()).min(snapshot.seq());
    let mut cursors = None;
    for (partition, state) in snapshot.states(table.id, &scan.partitions)? {
        let first = first.max(state.watermark.advance(1));
        if first > state.last_seq || first > last {
            continue;
        }
        let from = version_key(table.id, &partition, first);
        let to = version_key(table.id, &partition, last);
        let (log, dead) = cursors.get_or_insert_with(|| {
            let end = match scan.partitions {
                PartitionSet::All => table_range(table.id).1,
                PartitionSet::One(_) => scope_end(scope_key(table.id, &partition)),
            };
            let open = |family| snapshot.view.hot.iterate(family, &from, end.clone());
            (open(rows_family(table)), open(Family::Dead))
        });
        seek_forward(log, &from);
        seek_forward(dead, &from);
        let superseded =
            transaction.and_then(|transaction| transaction.superseded_in(table.id, &partition));
        while let Some((key, value)) = log.item()
            && key <= to.as_slice()
        {
            while dead.key().is_some_and(|dead| dead < key) {
                dead.next();
            }
            let gone = match dead.item() {
                Some((dead, by)) if dead == key => DeadEntry::decode(by)?.by <= dead_upto,
                _ => false,
            };
            if !gone && record::is_version(value) {
                let seq = seq_of(key)?;
                if superseded.is_none_or(|seqs| !seqs.contains(&seq))
                    && output.push(&partition, seq, value)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
            log.next();
        }
        log.status()?;
        dead.status()?;
    }
    Ok(ControlFlow::Continue(()))
}

/// As `scan_log`, from the newest version of each partition back.
fn scan_log_back(
    snapshot: &Snapshot,
    scan: &HotScan,
    dead_upto: Seq,
    transaction: Option<&Transaction>,
    output: &mut Output<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    let table = &scan.table;
    let first = (*scan.seqs.start()).max(snapshot.oldest(table)?);
    let last = (*scan.seqs.end()).min(snapshot.seq());
    for (partition, state) in snapshot.states(table.id, &scan.partitions)? {
        let first = first.max(state.watermark.advance(1));
        if first > state.last_seq || first > last {
            continue;
        }
        let from = version_key(table.id, &partition, first);
        let to = version_key(table.id, &partition, last);
        let end = scope_end(scope_key(table.id, &partition));
        let open = |family| {
            let mut iterator = snapshot.view.hot.iterate(family, &from, end.clone());
            iterator.seek_for_prev(&to);
            iterator
        };
        let (mut log, mut dead) = (open(rows_family(table)), open(Family::Dead));
        let superseded =
            transaction.and_then(|transaction| transaction.superseded_in(table.id, &partition));
        while let Some((key, value)) = log.item()
            && key >= from.as_slice()
        {
            while dead.key().is_some_and(|dead| dead > key) {
                dead.prev();
            }
            let gone = match dead.item() {
                Some((dead, by)) if dead == key => DeadEntry::decode(by)?.by <= dead_upto,
                _ => false,
            };
            if !gone && record::is_version(value) {
                let seq = seq_of(key)?;
                if superseded.is_none_or(|seqs| !seqs.contains(&seq))
                    && output.push(&partition, seq, value)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
            log.prev();
        }
        log.status()?;
        dead.status()?;
    }
    Ok(ControlFlow::Continue(()))
}

/// Moves to the first key from `target` on, if the iterator does not stand there or behind it already.
fn seek_forward(iterator: &mut DBRawIteratorWithThreadMode<'_, DB>, target: &[u8]) {
    if iterator.key().is_some_and(|key| key < target) {
        iterator.seek(target);
    }
}

fn scan_pending(
    scan: &HotScan,
    transaction: &Transaction,
    output: &mut Output<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    if !transaction.changes_any(scan.table.id) {
        return Ok(ControlFlow::Continue(()));
    }
    for (at, op) in transaction.ops().iter().enumerate() {
        let covered = match &scan.partitions {
            PartitionSet::All => true,
            PartitionSet::One(partition) => *partition == op.partition,
        };
        if op.table.id != scan.table.id || !covered || op.kind == ChangeOp::Delete {
            continue;
        }
        let seq =
            Seq::pending(u32::try_from(at).expect("a transaction has less than 2^32 changes"));
        if transaction.superseded(op.table.id, &op.partition, seq) {
            continue;
        }
        if output.push(&op.partition, seq, &op.record)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

enum Builder {
    Column(ColumnBuilder),
    Seq(Int64Builder),
    User(StringBuilder),
}

/// Builds the batches and hands them on.
struct Output<'a> {
    schema: SchemaRef,
    builders: Vec<Builder>,
    /// Which builder takes the reader's n-th column.
    slots: Vec<usize>,
    reader: RowReader,
    rows: usize,
    /// Bytes of the records that the rows are from.
    bytes: usize,
    batch_rows: usize,
    batch_rows_max: usize,
    left: usize,
    sink: &'a mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
}

impl<'a> Output<'a> {
    fn new(scan: &HotScan, sink: &'a mut dyn FnMut(RecordBatch) -> ControlFlow<()>) -> Output<'a> {
        let (mut fields, mut builders, mut slots, mut columns) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for column in &scan.columns {
            match column {
                ScanColumn::Column(id) => {
                    let index = scan
                        .table
                        .index_of(*id)
                        .expect("a scan asks for columns of its table");
                    let column = &scan.table.columns[index];
                    slots.push(builders.len());
                    columns.push(*id);
                    // Rows may be older than the column's NOT NULL; constraints are not storage's.
                    fields.push(column.field().with_nullable(true));
                    builders.push(Builder::Column(ColumnBuilder::new(column.ty)));
                }
                ScanColumn::Seq => {
                    fields.push(Field::new("_seq", DataType::Int64, false));
                    builders.push(Builder::Seq(Int64Builder::new()));
                }
                ScanColumn::User => {
                    fields.push(Field::new("_user", DataType::Utf8, false));
                    builders.push(Builder::User(StringBuilder::new()));
                }
            }
        }
        Output {
            schema: Arc::new(Schema::new(fields)),
            builders,
            slots,
            reader: RowReader::new(scan.table.clone(), columns),
            rows: 0,
            bytes: 0,
            batch_rows: match scan.newest_first {
                true => FIRST_BATCH_ROWS.min(scan.batch_rows.max(1)),
                false => scan.batch_rows.max(1),
            },
            batch_rows_max: scan.batch_rows.max(1),
            left: scan.limit.unwrap_or(usize::MAX),
            sink,
        }
    }

    fn push(
        &mut self,
        partition: &Partition,
        seq: Seq,
        value: &[u8],
    ) -> Result<ControlFlow<()>, StorageError> {
        let Output {
            builders,
            slots,
            reader,
            ..
        } = self;
        if !slots.is_empty() {
            let record = record::parse(value)?;
            reader.read(record.schema_version, record.row, |slot, datum| {
                if let Builder::Column(builder) = &mut builders[slots[slot]] {
                    builder.append(datum);
                }
            })?;
        }
        for builder in builders {
            match builder {
                Builder::Column(_) => {}
                Builder::Seq(builder) => builder.append_value(seq.as_i64()),
                Builder::User(builder) => builder.append_value(partition.as_str()),
            }
        }
        self.rows += 1;
        self.bytes += value.len();
        self.left -= 1;
        if self.left == 0 {
            let _ = self.emit()?;
            return Ok(ControlFlow::Break(()));
        }
        if self.rows == self.batch_rows || self.bytes >= BATCH_BYTES {
            self.emit()
        } else {
            Ok(ControlFlow::Continue(()))
        }
    }

    fn emit(&mut self) -> Result<ControlFlow<()>, StorageError> {
        if self.rows == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let arrays: Vec<ArrayRef> = (self.builders.iter_mut())
            .map(|builder| match builder {
                Builder::Column(builder) => builder.finish(),
                Builder::Seq(builder) => Arc::new(builder.finish()) as ArrayRef,
                Builder::User(builder) => Arc::new(builder.finish()),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        self.batch_rows = (self.batch_rows * 2).min(self.batch_rows_max);
        Ok((self.sink)(RecordBatch::try_new_with_options(
            self.schema.clone(),
            arrays,
            &options,
        )?))
    }
}
