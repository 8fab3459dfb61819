//! Reading one version out of its cold file.

use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::{ColdFile, META_FILE, meta_key};
use crate::catalog::{TableDef, TableId};
use crate::datum::{Row, datum_at, from_stored};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{scope_key, version_key};
use crate::seq::Seq;
use crate::snapshot::Snapshot;
use crate::transaction::{Partition, RowVersion};

/// Rows of `_seq` that are looked through at a time.
const BATCH_ROWS: usize = 8192;

/// The version with this Seq in the table's present columns. Blocking; `Corrupt` when no file holds it.
pub(crate) fn read_version(
    snapshot: &Snapshot,
    dir: &Path,
    table: &TableDef,
    partition: &Partition,
    seq: Seq,
) -> Result<RowVersion, StorageError> {
    let file = holder(snapshot, table.id, partition, seq)?;
    let opened = File::open(dir.join(&file.path))?;
    // The offset index tells which pages to skip; the column index would only be more to read.
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load(&opened, options)?;
    for (group, about) in metadata.metadata().row_groups().iter().enumerate() {
        if !may_hold(about, seq) {
            continue;
        }
        if let Some(at) = row_of(&opened, &metadata, group, seq)? {
            let row = row_at(&opened, &metadata, group, at, table)?;
            return Ok(RowVersion { seq, row });
        }
    }
    Err(StorageError::Corrupt(format!(
        "{} does not hold Seq {seq}",
        file.path
    )))
}

/// The file whose range covers the Seq.
fn holder(
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

/// Where in the row group the version stands.
fn row_of(
    file: &File,
    metadata: &ArrowReaderMetadata,
    group: usize,
    seq: Seq,
) -> Result<Option<usize>, StorageError> {
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["_seq"]);
    let mut before = 0;
    let seqs = builder
        .with_projection(mask)
        .with_row_groups(vec![group])
        .with_batch_size(BATCH_ROWS)
        .build()?;
    for batch in seqs {
        let batch = batch?;
        let column = (batch.columns().first())
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .ok_or_else(|| StorageError::Corrupt("_seq is no bigint".to_string()))?;
        if let Ok(at) = column.values().binary_search(&seq.as_i64()) {
            return Ok(Some(before + at));
        }
        before += batch.num_rows();
    }
    Ok(None)
}

fn row_at(
    file: &File,
    metadata: &ArrowReaderMetadata,
    group: usize,
    at: usize,
    table: &TableDef,
) -> Result<Row, StorageError> {
    let corrupt = |what: &str| StorageError::Corrupt(format!("a cold row's {what}"));
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
    let held = builder.schema().clone();
    let names = (table
        .columns
        .iter()
        .map(|column| column.stored_name.as_str()))
    .filter(|name| held.index_of(name).is_ok());
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let mut rows = builder
        .with_projection(mask)
        .with_row_groups(vec![group])
        .with_row_selection(RowSelection::from(vec![
            RowSelector::skip(at),
            RowSelector::select(1),
        ]))
        .with_batch_size(1)
        .build()?;
    let batch = rows.next().ok_or_else(|| corrupt("batch"))??;
    let value = |column: &crate::catalog::ColumnDef| match batch.column_by_name(&column.stored_name)
    {
        Some(array) if batch.num_rows() == 1 => {
            let array = from_stored(array, column.ty);
            let value = datum_at(&array, 0).map(|value| value.to_owned());
            value.ok_or_else(|| corrupt(&column.name))
        }
        Some(_) => Err(corrupt("place")),
        // The file is older than the column.
        None => Ok(column.missing.clone()),
    };
    table.columns.iter().map(value).collect()
}
