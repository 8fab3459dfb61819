//! ALTER TABLE … ALTER COLUMN … TYPE, to types that have every value of the old one: no row is written again.

use tidelog_storage::widen::{keeps_key_bytes, value, widens};
use tidelog_storage::{ColumnType, TableDef};

use super::{generated, no_column, parents};
use crate::ddl::Scope;
use crate::error::{ErrorKind, SqlError};
use crate::{precision, types};

/// Gives a column a wider type. `using` says whether the statement tells how values are
/// converted, namely by a cast.
pub(super) fn set_type(
    scope: Scope<'_>,
    table: &mut TableDef,
    name: &str,
    to: ColumnType,
    using: bool,
) -> Result<(), SqlError> {
    let Some(index) = table.column_index(name) else {
        return Err(no_column(name, &table.name));
    };
    let (id, from) = (table.columns[index].id, table.columns[index].ty);
    generated::check_type_change(table, name)?;
    if from == to {
        return Ok(());
    }
    if !using && !assigns(from, to) {
        let shown = types::name(to);
        let bare = types::bare_name(to);
        let message = format!("column \"{name}\" cannot be cast automatically to type {bare}");
        return Err(
            SqlError::new(ErrorKind::DatatypeMismatch, message).hint(format!(
                "You might need to specify \"USING {name}::{shown}\"."
            )),
        );
    }
    if !widens(from, to) {
        let (from, to) = (types::name(from), types::name(to));
        return Err(
            SqlError::unsupported(format!("changing column \"{name}\" from {from} to {to}")).hint(
                "A column can get a type that has every value of its present one, such as bigint after integer.",
            ),
        );
    }
    let in_index = table.primary_key.contains(&id)
        || table
            .indexes
            .iter()
            .any(|index| index.columns.contains(&id))
        || !crate::ddl::constraint::computed_over(table, id).is_empty()
        || table
            .foreign_keys
            .iter()
            .any(|key| key.columns.contains(&id))
        || parents::referencing_keys(scope, table).any(|(_, key)| key.parent_columns.contains(&id));
    if in_index && !keeps_key_bytes(from, to) {
        let message =
            format!("changing the type of column \"{name}\", which is in a key or index,");
        return Err(SqlError::unsupported(message)
            .hint("Drop the index or constraint, change the type, and create it again."));
    }
    let column = &mut table.columns[index];
    column.ty = to;
    column.missing = value(column.missing.as_ref(), to).to_owned();
    table.bump_schema_version();
    Ok(())
}

/// Whether PostgreSQL converts the one type to the other without being told how.
fn assigns(from: ColumnType, to: ColumnType) -> bool {
    use ColumnType::{
        Bpchar, Date, Float4, Float8, Int2, Int4, Int8, Numeric, Text, Timestamp, TimestampTz,
        Varchar,
    };
    let number = |ty| matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_));
    let time = |ty| matches!(ty, Date | Timestamp(_) | TimestampTz(_));
    matches!(to, Text | Varchar(_) | Bpchar(_))
        || precision::plain(from) == precision::plain(to)
        || number(from) && number(to)
        || time(from) && time(to)
}
