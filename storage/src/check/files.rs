//! The cold files of a partition.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::partition::{Scope, log_floor};
use super::{Checker, Invariant};
use crate::catalog::{ColumnId, TableDef, TableKind};
use crate::cold::bounds::{self, Bounds};
use crate::cold::{ColdFile, ColdReader};
use crate::compact::SORTED;
use crate::datum::{DatumRef, Row, datum_at, from_stored};
use crate::digest::Source;
use crate::error::StorageError;
use crate::flush::file::seq;
use crate::hot::Family;
use crate::key::{put_value, seq_of};
use crate::record::{self, RowReader};
use crate::seq::Seq;
use crate::transaction::RowKeys;
use crate::versions::{self, DeadEntry};
use crate::widen;

const BATCH_ROWS: usize = 4096;

/// Compares a file's rows with the order that its manifest entry claims.
struct Order {
    /// Names in the file: the columns of the order, as far as the table has them still, then `_seq`.
    names: Vec<String>,
    /// Whether no two rows are equal in them.
    strict: bool,
    converter: Option<RowConverter>,
    before: Option<OwnedRow>,
}

impl Order {
    fn new(table: &TableDef, file: &ColdFile) -> Order {
        let stored = |id: &ColumnId| {
            let at = table.index_of(*id)?;
            Some(table.columns[at].stored_name.clone())
        };
        let mut names: Vec<String> = file.order.iter().map_while(stored).collect();
        let strict = names.len() == file.order.len();
        if strict {
            names.push("_seq".to_string());
        }
        Order {
            names,
            strict,
            converter: None,
            before: None,
        }
    }

    /// Whether the next rows of the file follow in order.
    fn follows(&mut self, batch: &RecordBatch) -> Result<bool, StorageError> {
        let arrays: Option<Vec<ArrayRef>> = (self.names.iter())
            .map(|name| batch.column_by_name(name).cloned())
            .collect();
        let arrays = arrays.unwrap_or_default();
        if arrays.is_empty() {
            return Ok(true);
        }
        if self.converter.is_none() {
            let field =
                |array: &ArrayRef| SortField::new_with_options(array.data_type().clone(), SORTED);
            self.converter = Some(RowConverter::new(arrays.iter().map(field).collect())?);
        }
        let converter = self.converter.as_ref().expect("it was just made");
        let rows = converter.convert_columns(&arrays)?;
        let mut in_order = true;
        for row in &rows {
            let follows = self.before.as_ref().is_none_or(|before| match self.strict {
                true => before.row() < row,
                false => before.row() <= row,
            });
            in_order &= follows;
            self.before = Some(row.owned());
        }
        Ok(in_order)
    }
}

/// Whether a value lies between the bounds of its column, where they are known.
fn is_between(table: &TableDef, bounds: &Bounds, row: &Row, at: usize) -> bool {
    let ty = table.columns[at].ty;
    let sortable = |value: DatumRef<'_>| {
        let mut bytes = Vec::new();
        (value != DatumRef::Null).then(|| put_value(&mut bytes, ty, value))??;
        Some(bytes)
    };
    let (low, high) = (bounds.low[at].as_ref(), bounds.high[at].as_ref());
    let (Some(low), Some(high)) = (sortable(low), sortable(high)) else {
        return true;
    };
    sortable(row[at].as_ref()).is_none_or(|value| (low..=high).contains(&value))
}

/// A version that is dead, whether it is marked unfiled, and whether its file has it.
struct Dead {
    seq: Seq,
    unfiled: bool,
    held: bool,
}

impl Checker<'_> {
    /// Every file holds what the manifest and the dead set say, and every version that lives up to the watermark is in one.
    pub(super) fn files(&mut self, scope: &mut Scope) -> Result<(), StorageError> {
        let mut upto = log_floor(&scope.table, &scope.state);
        for file in scope.files.clone() {
            let held = match self.file(scope, &file) {
                Ok(held) => held,
                Err(error) if error.is_of_store() => return Err(error),
                Err(StorageError::Object(object_store::Error::NotFound { .. })) => {
                    let what = format!("{} is not there", file.path);
                    self.report.find(Invariant::FilesExist, scope.place(), what);
                    None
                }
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", file.path);
                    self.report.find(Invariant::FilesAgree, scope.place(), what);
                    None
                }
            };
            let flushed = file.last_seq.min(scope.state.watermark);
            self.filed(scope, upto, flushed, held.as_deref())?;
            upto = upto.max(file.last_seq);
        }
        if scope.table.kind != TableKind::Stream {
            self.filed(scope, upto, scope.state.watermark, Some(&[]))?;
        }
        Ok(())
    }

    /// Reads a file to its end; its Seqs, sorted, or `None` when it is not the file that the manifest means.
    fn file(
        &mut self,
        scope: &mut Scope,
        file: &ColdFile,
    ) -> Result<Option<Vec<Seq>>, StorageError> {
        let path = Path::parse(&file.path).map_err(object_store::Error::from)?;
        let bytes = self.runtime.block_on(self.stores.head(&path))?.size;
        if bytes != file.bytes {
            let what = format!("{} has {bytes} bytes and not {}", file.path, file.bytes);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
            return Ok(None);
        }
        let source = Source::of(self.stores.clone(), file)?;
        if !self.runtime.block_on(source.is_whole(file))? {
            let what = format!("{} does not have the bytes that were written", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        let reader = ColdReader::new(self.stores.clone(), file.sealed()?);
        let builder = (self.runtime).block_on(ParquetRecordBatchStreamBuilder::new(reader))?;
        let rows = builder.metadata().file_metadata().num_rows();
        let table = scope.table.clone();
        let mut lacks = Vec::new();
        match table.layouts.get(&file.schema_version) {
            None => lacks.push(format!("schema version {}", file.schema_version)),
            Some(layout) => {
                let schema = builder.schema();
                for (id, ty) in layout {
                    let Some(column) = table.index_of(*id).map(|at| &table.columns[at]) else {
                        continue;
                    };
                    let field = schema.field_with_name(&column.stored_name);
                    if field.is_ok_and(|field| *field.data_type() == ty.stored_arrow()) {
                        continue;
                    }
                    lacks.push(format!("column {} of {ty:?}", column.stored_name));
                }
                if schema.index_of("_seq").is_err() {
                    lacks.push("column _seq".to_string());
                }
            }
        }
        for lack in &lacks {
            let what = format!("{} lacks {lack}", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        if !lacks.is_empty() {
            return Ok(None);
        }
        let mut dead = self.dead_of(scope, file)?;
        let known = bounds::of_files(&table, std::slice::from_ref(file))?;
        let mut order = Order::new(&table, file);
        let (mut ordered, mut outside) = (true, None);
        let mut batches = builder.with_batch_size(BATCH_ROWS).build()?;
        let mut seqs: Vec<Seq> = Vec::new();
        while let Some(batch) = self.runtime.block_on(batches.next()) {
            let batch = batch?;
            ordered &= order.follows(&batch)?;
            let mut values = Vec::with_capacity(table.columns.len());
            for column in &table.columns {
                let array = batch.column_by_name(&column.stored_name);
                let array = array
                    .map(|array| widen::array(array, column.ty))
                    .transpose()?;
                let array = array.map(|array| from_stored(&array, column.ty));
                values.push((array, &column.missing));
            }
            let versions = batch
                .column_by_name("_seq")
                .and_then(|array| array.as_primitive_opt::<Int64Type>());
            let versions =
                versions.ok_or_else(|| StorageError::Corrupt("_seq is no bigint".to_string()))?;
            for at in 0..batch.num_rows() {
                let version = seq(versions.value(at))?;
                seqs.push(version);
                let row: Option<Row> = (values.iter())
                    .map(|(array, missing)| match array {
                        Some(array) => Some(datum_at(array, at)?.to_owned()),
                        None => Some((*missing).clone()),
                    })
                    .collect();
                let row =
                    row.ok_or_else(|| StorageError::Corrupt("a column's type".to_string()))?;
                if outside.is_none() {
                    let columns = 0..table.columns.len();
                    outside = (columns.into_iter())
                        .find(|column| !is_between(&table, &known[0], &row, *column))
                        .map(|column| (version, column));
                }
                match dead.binary_search_by_key(&version, |dead| dead.seq) {
                    Ok(at) => dead[at].held = true,
                    Err(_) => self.live_row(scope, version, &row)?,
                }
            }
        }
        if !ordered {
            let what = format!("{} is not in the order that it should have", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        if let Some((version, column)) = outside {
            let what = format!(
                "{} holds {version}, whose {} is not between the manifest's bounds",
                file.path, table.columns[column].name
            );
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        seqs.sort_unstable();
        if seqs.windows(2).any(|pair| pair[0] == pair[1]) {
            let what = format!("{} holds a version twice", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        let held = (
            seqs.first().copied(),
            seqs.last().copied(),
            seqs.len() as u64,
        );
        let claimed = (Some(file.first_seq), Some(file.last_seq), file.rows);
        if held != claimed || i64::try_from(file.rows) != Ok(rows) {
            let what = format!("{} holds {held:?} and not {claimed:?}", file.path);
            self.report.find(Invariant::FilesAgree, scope.place(), what);
        }
        for dead in dead.iter().filter(|dead| dead.held == dead.unfiled) {
            let what = match dead.held {
                true => format!("{} is marked unfiled, and {} holds it", dead.seq, file.path),
                false => format!("{} is dead, and {} does not hold it", dead.seq, file.path),
            };
            self.report.find(Invariant::DeadAgree, scope.place(), what);
        }
        Ok(Some(seqs))
    }

    fn dead_of(&self, scope: &Scope, file: &ColdFile) -> Result<Vec<Dead>, StorageError> {
        let mut found = Vec::new();
        let (from, to) = (
            scope.version(file.first_seq),
            scope.version(file.last_seq.next()),
        );
        let mut dead = self.hot.iterate(Family::Dead, &from, to);
        while let Some((key, value)) = dead.item() {
            found.push(Dead {
                seq: seq_of(key)?,
                unfiled: DeadEntry::decode(value)?.unfiled,
                held: false,
            });
            dead.next();
        }
        dead.status()?;
        Ok(found)
    }

    /// The versions of the log in a stretch that was flushed are among `held`, if they live.
    fn filed(
        &mut self,
        scope: &Scope,
        after: Seq,
        last: Seq,
        held: Option<&[Seq]>,
    ) -> Result<(), StorageError> {
        let Some(held) = held.filter(|_| after < last) else {
            return Ok(());
        };
        let mut rows = RowReader::whole(scope.table.clone());
        let (from, to) = (scope.version(after.next()), scope.version(last.next()));
        let mut records = self.hot.iterate(Family::Log, &from, to);
        while let Some((key, value)) = records.item() {
            let seq = seq_of(key)?;
            if record::is_version(value)
                && held.binary_search(&seq).is_err()
                && self.lived_at_flush(scope, &mut rows, seq, value)?
            {
                let what = format!("{seq} lives and was flushed, and no file holds it");
                self.report
                    .find(Invariant::FlushedIsFiled, scope.place(), what);
            }
            records.next();
        }
        Ok(records.status()?)
    }

    /// Whether a flushed version lives, told without its file: by its primary key or, where there is none, by
    /// its dead entry, which stays as long as the record that superseded it.
    fn lived_at_flush(
        &self,
        scope: &Scope,
        rows: &mut RowReader,
        seq: Seq,
        value: &[u8],
    ) -> Result<bool, StorageError> {
        let dead = self.hot.get(Family::Dead, &scope.version(seq))?;
        if !scope.is_keyed() || dead.is_some() {
            return Ok(dead.is_none());
        }
        let record = record::parse(value)?;
        let row = rows.row(record.schema_version, record.row)?;
        let keys = RowKeys::checked(&scope.table, &scope.partition, &row);
        let Some((_, primary)) = keys.and_then(|keys| keys.unique.into_iter().next()) else {
            return Ok(false);
        };
        let holder = self.hot.get(Family::Key, &primary)?;
        Ok(match holder {
            Some(entry) => versions::holder(&entry, Seq::MAX)? == Some(seq),
            None => false,
        })
    }
}
