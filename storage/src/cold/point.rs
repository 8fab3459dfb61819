//! Reading one version out of its cold file.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::reader::ColdReader;
use super::stores::Stores;
use super::{ColdFile, META_FILE, meta_key};
use crate::catalog::{TableDef, TableId};
use crate::datum::{Row, datum_at, from_stored};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{scope_key, version_key};
use crate::seq::Seq;
use crate::snapshot::Snapshot;
use crate::transaction::{Partition, RowVersion};
use crate::widen;

/// Rows of `_seq` that are looked through at a time.
const BATCH_ROWS: usize = 8192;

/// The version with this Seq in the table's present columns; `Corrupt` when the file does not hold it.
pub(crate) async fn read_version(
    stores: &Arc<Stores>,
    file: &ColdFile,
    table: &TableDef,
    seq: Seq,
) -> Result<RowVersion, StorageError> {
    let open = || ColdReader::new(stores.clone(), &file.path, file.bytes);
    let footer = open()?.footer().await?;
    let metadata = ArrowReaderMetadata::try_new(footer.clone(), ArrowReaderOptions::new())?;
    for (group, about) in footer.row_groups().iter().enumerate() {
        if !may_hold(about, seq) {
            continue;
        }
        let part = Part {
            metadata: &metadata,
            group,
        };
        if let Some(at) = part.row_of(open()?, seq).await? {
            let row = part.row_at(open()?, at, table).await?;
            return Ok(RowVersion { seq, row });
        }
    }
    Err(StorageError::Corrupt(format!(
        "{} does not hold Seq {seq}",
        file.path
    )))
}

/// The file whose range covers the Seq.
pub(crate) fn holder(
    snapshot: &Snapshot,
    table: TableId,
    partition: &Partition,
    seq: Seq,
) -> Result<ColdFile, StorageError> {
    let from = meta_key(META_FILE, &scope_key(table, partition));
    let to = meta_key(META_FILE, &version_key(table, partition, seq.next()));
    let mut files = snapshot.view.hot.iterate(Family::Meta, &from, to.clone());
    files.seek_for_prev(&to);
    let found = match files.item() {
        Some((key, value)) if key >= from.as_slice() => Some(ColdFile::decode(key, value)?),
        _ => None,
    };
    files.status()?;
    found.filter(|file| file.last_seq >= seq).ok_or_else(|| {
        StorageError::Corrupt(format!("no file of table {} holds Seq {seq}", table.get()))
    })
}

fn may_hold(group: &RowGroupMetaData, seq: Seq) -> bool {
    let seqs = (group.columns().iter()).find(|column| column.column_descr().name() == "_seq");
    match seqs.and_then(|column| column.statistics()) {
        Some(Statistics::Int64(known)) => {
            let seq = seq.as_i64();
            known.min_opt().is_none_or(|min| *min <= seq)
                && known.max_opt().is_none_or(|max| *max >= seq)
        }
        _ => true,
    }
}

/// A row group of a file.
struct Part<'a> {
    metadata: &'a ArrowReaderMetadata,
    group: usize,
}

impl Part<'_> {
    /// Where in the row group the version stands.
    async fn row_of(&self, file: ColdReader, seq: Seq) -> Result<Option<usize>, StorageError> {
        let pages = pages_of(self.metadata.metadata(), self.group, seq);
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["_seq"]);
        let mut builder = builder
            .with_projection(mask)
            .with_row_groups(vec![self.group])
            .with_batch_size(BATCH_ROWS);
        if let Some(pages) = &pages {
            builder = builder.with_row_selection(RowSelection::from(pages.clone()));
        }
        let mut seqs = builder.build()?;
        // Rows that were read before this batch.
        let mut before = 0;
        while let Some(batch) = seqs.try_next().await? {
            let column = (batch.columns().first())
                .and_then(|column| column.as_primitive_opt::<Int64Type>())
                .ok_or_else(|| StorageError::Corrupt("_seq is no bigint".to_string()))?;
            if let Some(at) = column
                .values()
                .iter()
                .position(|held| *held == seq.as_i64())
            {
                return Ok(Some(place(pages.as_deref(), before + at)));
            }
            before += batch.num_rows();
        }
        Ok(None)
    }

    async fn row_at(
        &self,
        file: ColdReader,
        at: usize,
        table: &TableDef,
    ) -> Result<Row, StorageError> {
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(file, self.metadata.clone());
        let held = builder.schema().clone();
        let names = (table
            .columns
            .iter()
            .map(|column| column.stored_name.as_str()))
        .filter(|name| held.index_of(name).is_ok());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let mut rows = builder
            .with_projection(mask)
            .with_row_groups(vec![self.group])
            .with_row_selection(RowSelection::from(vec![
                RowSelector::skip(at),
                RowSelector::select(1),
            ]))
            .with_batch_size(1)
            .build()?;
        let batch = rows.try_next().await?;
        row_of_batch(batch, table)
    }
}

fn row_of_batch(batch: Option<RecordBatch>, table: &TableDef) -> Result<Row, StorageError> {
    let corrupt = |what: &str| StorageError::Corrupt(format!("a cold row's {what}"));
    let batch = batch.ok_or_else(|| corrupt("batch"))?;
    let value = |column: &crate::catalog::ColumnDef| match batch.column_by_name(&column.stored_name)
    {
        Some(array) if batch.num_rows() == 1 => {
            let array = from_stored(array, column.ty);
            let value = datum_at(&array, 0).ok_or_else(|| corrupt(&column.name))?;
            Ok(widen::value(value, column.ty).to_owned())
        }
        Some(_) => Err(corrupt("place")),
        // The file is older than the column.
        None => Ok(column.missing.clone()),
    };
    table.columns.iter().map(value).collect()
}

/// Which rows of the group lie in pages whose `_seq` may be this one; `None` when the file does not tell.
fn pages_of(footer: &ParquetMetaData, group: usize, seq: Seq) -> Option<Vec<RowSelector>> {
    let about = footer.row_group(group);
    let column =
        (about.columns().iter()).position(|column| column.column_descr().name() == "_seq")?;
    let ColumnIndexMetaData::INT64(index) = footer.column_index()?.get(group)?.get(column)? else {
        return None;
    };
    let pages = footer
        .offset_index()?
        .get(group)?
        .get(column)?
        .page_locations();
    let rows = usize::try_from(about.num_rows()).ok()?;
    if pages.len() != index.min_values().len() {
        return None;
    }
    let mut selectors = Vec::with_capacity(pages.len());
    for (at, page) in pages.iter().enumerate() {
        let first = usize::try_from(page.first_row_index).ok()?;
        let end = match pages.get(at + 1) {
            Some(next) => usize::try_from(next.first_row_index).ok()?,
            None => rows,
        };
        let outside = |min: &i64, max: &i64| seq.as_i64() < *min || seq.as_i64() > *max;
        let skip = match (index.min_value(at), index.max_value(at)) {
            (Some(min), Some(max)) => outside(min, max),
            _ => true,
        };
        let count = end.checked_sub(first)?;
        selectors.push(if skip {
            RowSelector::skip(count)
        } else {
            RowSelector::select(count)
        });
    }
    Some(selectors)
}

/// Where in the row group the `nth` selected row stands.
fn place(selectors: Option<&[RowSelector]>, nth: usize) -> usize {
    let (mut place, mut left) = (0, nth);
    for selector in selectors.unwrap_or_default() {
        if !selector.skip {
            if left < selector.row_count {
                return place + left;
            }
            left -= selector.row_count;
        }
        place += selector.row_count;
    }
    place + left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selected_rows_are_counted_among_all() {
        let pages = [
            RowSelector::skip(10),
            RowSelector::select(5),
            RowSelector::skip(7),
            RowSelector::select(3),
        ];
        let places: Vec<usize> = (0..8).map(|nth| place(Some(&pages), nth)).collect();
        assert_eq!(places, [10, 11, 12, 13, 14, 22, 23, 24]);
        assert_eq!(place(None, 6), 6);
    }
}
