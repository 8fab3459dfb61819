//! What the manifest knows of a file's columns: their lowest and highest values, so that a file that holds nothing
//! of what is asked for is ruled out without a request to the object store.
//!
//! Guarantees: no value in the file lies outside. Does not: say that a bound is in the file (texts are cut), or that
//! its row still lives.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;

use super::ColdFile;
use crate::catalog::{ColumnDef, TableDef};
use crate::datum::{ColumnType, Datum, DatumRef, NumberRef, Row, datum_at};
use crate::error::StorageError;
use crate::key::put_value;
use crate::record::{self, RowReader};

/// The lowest and highest values in a file, in the table's present columns; NULL where they are not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// No value in the file is lower.
    pub low: Row,
    /// No value in the file is higher.
    pub high: Row,
}

/// The bounds of each file, in the order of the files. A file that is older than a column has, in it, what the
/// column's definition says is missing.
pub fn of_files(table: &Arc<TableDef>, files: &[ColdFile]) -> Result<Vec<Bounds>, StorageError> {
    let mut reader = RowReader::whole(table.clone());
    let unknown = || vec![Datum::Null; table.columns.len()];
    let mut bounds = Vec::with_capacity(files.len());
    for file in files {
        let mut bytes = file.bounds.as_slice();
        bounds.push(if bytes.is_empty() {
            Bounds {
                low: unknown(),
                high: unknown(),
            }
        } else {
            let low = record::take_bytes(&mut bytes)?;
            Bounds {
                low: reader.row(file.schema_version, low)?,
                high: reader.row(file.schema_version, bytes)?,
            }
        });
    }
    Ok(bounds)
}

/// A new file's bounds as its manifest entry has them, from its footer.
pub(crate) fn encode(
    table: &TableDef,
    schema: &Schema,
    footer: &ParquetMetaData,
) -> Result<Vec<u8>, StorageError> {
    let (mut low, mut high) = (Row::new(), Row::new());
    for column in &table.columns {
        let known = match keeps(table, column) && schema.index_of(&column.stored_name).is_ok() {
            true => of_column(column, schema, footer)?,
            false => None,
        };
        let (lowest, highest) = known.unwrap_or((Datum::Null, Datum::Null));
        low.push(lowest);
        high.push(highest);
    }
    let mut out = Vec::new();
    let mut row = Vec::new();
    record::encode_row(table, &low, &mut row);
    record::put_bytes(&mut out, &row);
    record::encode_row(table, &high, &mut out);
    Ok(out)
}

/// Texts and the like cost as much as they are long, so only those are kept that statements look for. Parquet's
/// statistics know nothing of NaN, which is higher than every number.
fn keeps(table: &TableDef, column: &ColumnDef) -> bool {
    match column.ty {
        ColumnType::Bool
        | ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Uuid
        | ColumnType::Oid
        | ColumnType::Regproc
        | ColumnType::Reg(_)
        | ColumnType::Date
        | ColumnType::Time(_)
        | ColumnType::Timestamp(_)
        | ColumnType::TimestampTz(_) => true,
        ColumnType::Numeric(_)
        | ColumnType::Text
        | ColumnType::Varchar(_)
        | ColumnType::Bpchar(_)
        | ColumnType::Name
        | ColumnType::Char
        | ColumnType::Bit(_)
        | ColumnType::Varbit(_)
        | ColumnType::Bytea => {
            let keys = table.primary_key.iter();
            let indexed = table.indexes.iter().flat_map(|index| &index.columns);
            keys.chain(indexed).any(|id| *id == column.id)
        }
        _ => false,
    }
}

/// The bounds over all row groups; `None` when one of them tells none.
fn of_column(
    column: &ColumnDef,
    schema: &Schema,
    footer: &ParquetMetaData,
) -> Result<Option<(Datum, Datum)>, StorageError> {
    let descriptor = footer.file_metadata().schema_descr();
    let statistics = StatisticsConverter::try_new(&column.stored_name, schema, descriptor)?;
    let groups = footer.row_groups();
    let lows = statistics.row_group_mins(groups)?;
    let highs = statistics.row_group_maxes(groups)?;
    let nulls = statistics.row_group_null_counts(groups)?;
    let sortable = |array: &dyn Array, at: usize| {
        let value = datum_at(array, at).filter(|value| *value != DatumRef::Null)?;
        // Parquet cuts long ones.
        if let DatumRef::Number(number) = value {
            NumberRef::read(number.bytes())?;
        }
        let mut bytes = Vec::new();
        put_value(&mut bytes, column.ty, value)?;
        Some((bytes, value.to_owned()))
    };
    let (mut lowest, mut highest) = (None, None);
    for (at, group) in groups.iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
        if nulls.is_valid(at) && nulls.value(at) == rows {
            continue;
        }
        let (Some(low), Some(high)) = (sortable(&lows, at), sortable(&highs, at)) else {
            return Ok(None);
        };
        if lowest.as_ref().is_none_or(|(bytes, _)| low.0 < *bytes) {
            lowest = Some(low);
        }
        if highest.as_ref().is_none_or(|(bytes, _)| high.0 > *bytes) {
            highest = Some(high);
        }
    }
    Ok(lowest.zip(highest).map(|(low, high)| (low.1, high.1)))
}
