//! Columns and rows as JSON.

use arrow::record_batch::RecordBatch;
use tidelog_sql::json::{write_exact, write_string};
use tidelog_sql::{ErrorKind, OutputColumn, SqlError, types};
use tidelog_storage::Datum;
use tidelog_storage::datum::datum_at;

/// Appends `[{"name":"id","type":"bigint"},…]`.
pub(super) fn write_columns(columns: &[OutputColumn], out: &mut String) {
    out.push('[');
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str("{\"name\":");
        write_string(&column.name, out);
        out.push_str(",\"type\":");
        write_string(&types::name(column.ty), out);
        out.push('}');
    }
    out.push(']');
}

/// Appends a row of a batch as an array.
pub(super) fn write_batch_row(
    batch: &RecordBatch,
    row: usize,
    columns: &[OutputColumn],
    out: &mut String,
) -> Result<(), SqlError> {
    out.push('[');
    for (n, (array, column)) in batch.columns().iter().zip(columns).enumerate() {
        if n > 0 {
            out.push(',');
        }
        let value = datum_at(array.as_ref(), row).ok_or_else(|| {
            let message = format!(
                "a result column has the unexpected type {}",
                array.data_type()
            );
            SqlError::new(ErrorKind::InternalError, message)
        })?;
        write_exact(value, column.ty, out);
    }
    out.push(']');
    Ok(())
}

/// Appends a row as an array.
pub(super) fn write_row(row: &[Datum], columns: &[OutputColumn], out: &mut String) {
    out.push('[');
    for (n, (value, column)) in row.iter().zip(columns).enumerate() {
        if n > 0 {
            out.push(',');
        }
        write_exact(value.as_ref(), column.ty, out);
    }
    out.push(']');
}
