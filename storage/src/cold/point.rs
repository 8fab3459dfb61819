//! Reading one version out of its cold file.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;

use super::cache::RowsAt;
use super::reader::{ColdReader, Footer};
use super::stores::Stores;
use super::{ColdFile, META_FILE, meta_key};
use crate::catalog::{ColumnDef, TableDef, TableId};
use crate::datum::{Row, datum_at, from_stored};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{scope_key, version_key};
use crate::seq::Seq;
use crate::snapshot::Snapshot;
use crate::transaction::{Partition, RowVersion};
use crate::widen;

/// Text that the rows beside one may have for all of them to be decoded with it.
const BESIDE_BYTES: i64 = 1 << 20;

/// The version with this Seq in the table's present columns; `Corrupt` when the file does not hold it. The rows beside it
/// are kept in memory: what decoding it costs, it costs once for all of them.
pub(crate) async fn read_version(
    stores: &Arc<Stores>,
    file: &ColdFile,
    table: &TableDef,
    seq: Seq,
) -> Result<RowVersion, StorageError> {
    let footer = ColdReader::new(stores.clone(), file.sealed()?)
        .footer()
        .await?;
    for (group, about) in footer.parquet.row_groups().iter().enumerate() {
        if !may_hold(about, seq) {
            continue;
        }
        let part = Part {
            stores,
            file,
            footer: &footer,
            group,
        };
        if let Some(at) = part.row_of(seq).await? {
            let span = part.beside(at)?;
            let rows = part.rows(span.clone(), true).await?;
            if at - span.start >= rows.num_rows() {
                break;
            }
            let row = row_of(&rows.slice(at - span.start, 1), table)?;
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
    stores: &'a Arc<Stores>,
    file: &'a ColdFile,
    footer: &'a Arc<Footer>,
    group: usize,
}

impl Part<'_> {
    /// Where in the row group the version stands.
    async fn row_of(&self, seq: Seq) -> Result<Option<usize>, StorageError> {
        for page in self.pages_of(seq)? {
            let rows = self.rows(page.clone(), false).await?;
            let seqs = (rows.columns().first())
                .and_then(|column| column.as_primitive_opt::<Int64Type>())
                .ok_or_else(|| StorageError::Corrupt("_seq is no bigint".to_string()))?;
            let place = seqs.values().iter().position(|held| *held == seq.as_i64());
            if let Some(place) = place {
                return Ok(Some(page.start + place));
            }
        }
        Ok(None)
    }

    /// The rows of the pages whose `_seq` may be this one; all where the file does not tell.
    fn pages_of(&self, seq: Seq) -> Result<Vec<Range<usize>>, StorageError> {
        let about = self.footer.parquet.row_group(self.group);
        let rows = row_count(about.num_rows())?;
        let everything = || Ok(std::iter::once(0..rows).collect());
        let is_seq = |column: &parquet::file::metadata::ColumnChunkMetaData| {
            column.column_descr().name() == "_seq"
        };
        let Some(column) = about.columns().iter().position(is_seq) else {
            return everything();
        };
        let index = (self.footer.parquet.column_index())
            .and_then(|index| index.get(self.group)?.get(column));
        let (Some(ColumnIndexMetaData::INT64(index)), Some(places)) =
            (index, self.places().get(column))
        else {
            return everything();
        };
        if places.page_locations().len() != index.min_values().len() {
            return everything();
        }
        let seq = seq.as_i64();
        let mut pages = Vec::new();
        for at in 0..places.page_locations().len() {
            if let (Some(min), Some(max)) = (index.min_value(at), index.max_value(at))
                && (*min..=*max).contains(&seq)
            {
                pages.push(page_rows(places, at, rows)?);
            }
        }
        Ok(pages)
    }

    /// The rows around one that stand with it in one page of each column, unless they have much text; the row alone
    /// where the file does not tell.
    fn beside(&self, at: usize) -> Result<Range<usize>, StorageError> {
        let rows = row_count(self.footer.parquet.row_group(self.group).num_rows())?;
        let mut span = 0..rows;
        let mut bytes = 0;
        for places in self.places() {
            let pages = places.page_locations();
            let first = i64::try_from(at).unwrap_or(i64::MAX);
            let next = pages.partition_point(|page| page.first_row_index <= first);
            let Some(page) = next.checked_sub(1) else {
                return Ok(at..at + 1);
            };
            let rows = page_rows(places, page, rows)?;
            span = span.start.max(rows.start)..span.end.min(rows.end);
            let text = places.unencoded_byte_array_data_bytes();
            bytes += text.and_then(|bytes| bytes.get(page)).copied().unwrap_or(0);
        }
        match self.places().is_empty() || bytes > BESIDE_BYTES {
            true => Ok(at..at + 1),
            false => Ok(span),
        }
    }

    /// Where the pages of each column lie; nothing where the file does not tell.
    fn places(&self) -> &[OffsetIndexMetaData] {
        let index = self.footer.parquet.offset_index();
        let places = index.and_then(|index| index.get(self.group));
        places.map_or(&[], Vec::as_slice)
    }

    /// Rows of the group, all columns or `_seq` alone.
    async fn rows(&self, rows: Range<usize>, whole: bool) -> Result<RecordBatch, StorageError> {
        let at = RowsAt {
            group: self.group,
            first: rows.start,
            whole,
        };
        let load = self.load(rows, whole);
        match &self.stores.cache {
            Some(cache) => cache.rows(&self.file.path, at, load).await,
            None => load.await,
        }
    }

    async fn load(&self, rows: Range<usize>, whole: bool) -> Result<RecordBatch, StorageError> {
        let (stores, footer) = (self.stores.clone(), self.footer.clone());
        let metadata =
            ArrowReaderMetadata::try_new(footer.parquet.clone(), ArrowReaderOptions::new())?;
        let file = ColdReader::with_footer(stores, self.file.sealed()?, footer);
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(file, metadata)
            .with_row_groups(vec![self.group])
            .with_row_selection(RowSelection::from(vec![
                RowSelector::skip(rows.start),
                RowSelector::select(rows.len()),
            ]))
            .with_batch_size(rows.len());
        if !whole {
            let mask = ProjectionMask::columns(builder.parquet_schema(), ["_seq"]);
            builder = builder.with_projection(mask);
        }
        let stream = builder.build()?;
        let schema = stream.schema().clone();
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        Ok(match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => batch,
            Err(batches) => concat_batches(&schema, &batches)?,
        })
    }
}

/// The rows of a page.
fn page_rows(
    places: &OffsetIndexMetaData,
    page: usize,
    rows: usize,
) -> Result<Range<usize>, StorageError> {
    let pages = places.page_locations();
    let end = match pages.get(page + 1) {
        Some(next) => row_count(next.first_row_index)?,
        None => rows,
    };
    let range = row_count(pages[page].first_row_index)?..end;
    match range.start < range.end && range.end <= rows {
        true => Ok(range),
        false => Err(StorageError::Corrupt("pages of a cold file".to_string())),
    }
}

fn row_count(rows: i64) -> Result<usize, StorageError> {
    usize::try_from(rows).map_err(|_| StorageError::Corrupt("rows of a cold file".to_string()))
}

fn row_of(batch: &RecordBatch, table: &TableDef) -> Result<Row, StorageError> {
    let value = |column: &ColumnDef| match batch.column_by_name(&column.stored_name) {
        Some(array) => {
            let array = from_stored(array, column.ty);
            let value = datum_at(&array, 0)
                .ok_or_else(|| StorageError::Corrupt(format!("a cold row's {}", column.name)))?;
            Ok(widen::owned(value, column.ty))
        }
        // The file is older than the column.
        None => Ok(column.missing.clone()),
    };
    table.columns.iter().map(value).collect()
}
