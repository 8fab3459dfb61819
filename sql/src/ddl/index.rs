//! CREATE, ALTER and DROP INDEX, and what the indexes of keys share with them.

use datafusion::sql::sqlparser::ast::{
    CreateIndex, Expr, IndexColumn, IndexType, ObjectName, OrderByExpr,
};
use tidelog_storage::catalog::{ColumnOrder, IndexDef, IndexId};
use tidelog_storage::{CatalogChange, ColumnDef, ColumnId, ColumnType, PrintedType, TableDef};

use super::constraint::Finish;
use super::names::{
    duplicate_relation, free_relation_name, index_name, own_columns, relation_exists,
};
use super::parents::release_key;
use super::{DdlPlan, Scope, display, fold, resolve, split, temp};
use crate::error::{ErrorKind, SqlError};

/// What an index or key may have at most, as in PostgreSQL.
pub(super) const INDEX_COLUMNS_MAX: usize = 32;

/// The operator classes that sort as the columns of their types do in any case: texts by their bytes.
const ORDERED_ALIKE: [&str; 27] = [
    "bit_ops",
    "bool_ops",
    "bpchar_ops",
    "bpchar_pattern_ops",
    "bytea_ops",
    "char_ops",
    "date_ops",
    "enum_ops",
    "float4_ops",
    "float8_ops",
    "int2_ops",
    "int4_ops",
    "int8_ops",
    "interval_ops",
    "macaddr_ops",
    "name_ops",
    "numeric_ops",
    "oid_ops",
    "text_ops",
    "text_pattern_ops",
    "time_ops",
    "timestamp_ops",
    "timestamptz_ops",
    "timetz_ops",
    "uuid_ops",
    "varchar_ops",
    "varchar_pattern_ops",
];

/// The name of an index column that is no expression, and its order.
pub(super) fn plain_column(column: &IndexColumn) -> Result<(String, ColumnOrder), SqlError> {
    let OrderByExpr { expr, options, .. } = &column.column;
    if let Some(class) = &column.operator_class {
        let (schema, class) = split(class)?;
        let is_systems = schema.is_none_or(|schema| schema == "pg_catalog");
        if !is_systems || !ORDERED_ALIKE.contains(&class.as_str()) {
            let what = format!("the operator class \"{class}\" of an index");
            return Err(SqlError::unsupported(what));
        }
    }
    let Expr::Identifier(name) = expr else {
        return Err(SqlError::unsupported("an index on an expression"));
    };
    let descending = options.asc == Some(false);
    let order = ColumnOrder {
        descending,
        nulls_first: options.nulls_first.unwrap_or(descending),
    };
    Ok((fold(name), order))
}

pub(super) fn put_index(
    table: &mut TableDef,
    name: String,
    columns: Vec<ColumnId>,
    orders: Vec<ColumnOrder>,
    unique: bool,
    ready: bool,
) -> IndexId {
    let id = table.next_index_id;
    table.next_index_id = IndexId::new(id.get() + 1);
    table.indexes.push(IndexDef {
        id,
        name,
        columns,
        orders,
        unique,
        constraint: false,
        ready,
    });
    id
}

/// The ids of a key's columns.
pub(super) fn key_columns(
    table: &TableDef,
    names: &[String],
    what: &str,
) -> Result<Vec<ColumnId>, SqlError> {
    if names.len() > INDEX_COLUMNS_MAX {
        let message = format!("cannot use more than {INDEX_COLUMNS_MAX} columns in an index");
        return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let Some(index) = table.column_index(name) else {
            let message = format!("column \"{name}\" named in key does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        };
        let id = table.columns[index].id;
        if ids.contains(&id) {
            let message = format!("column \"{name}\" appears twice in {what} constraint");
            return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
        }
        check_sortable(&table.columns[index])?;
        ids.push(id);
    }
    Ok(ids)
}

/// 42704 when the values of a column cannot be told apart, nor sorted.
pub(super) fn check_sortable(column: &ColumnDef) -> Result<(), SqlError> {
    let name = crate::types::name(column.ty);
    match column.ty {
        ColumnType::Json => {}
        // Their order is not that of what is kept.
        ColumnType::Printed(of) if crate::text::printed::has_key(of) => {
            let what = format!("a key or index on a column of type {name}");
            return Err(SqlError::unsupported(what));
        }
        ColumnType::Printed(PrintedType::Macaddr) => return Ok(()),
        ColumnType::Printed(_) => {}
        _ => return Ok(()),
    }
    let message =
        format!("data type {name} has no default operator class for access method \"btree\"");
    Err(SqlError::new(ErrorKind::UndefinedObject, message).hint(
        "You must specify an operator class for the index or define a default operator class for the data type.",
    ))
}

/// CREATE INDEX.
pub(super) fn create(scope: Scope<'_>, create: &CreateIndex) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("CREATE INDEX");
    for (given, what) in [
        (!create.include.is_empty(), "INCLUDE of an index"),
        (create.predicate.is_some(), "a partial index"),
        (
            create.nulls_distinct == Some(false),
            "NULLS NOT DISTINCT of an index",
        ),
        (!create.with.is_empty(), "WITH of an index"),
        (
            !create.index_options.is_empty() || !create.alter_options.is_empty(),
            "this form of CREATE INDEX",
        ),
    ] {
        if given {
            return Err(SqlError::unsupported(what));
        }
    }
    match &create.using {
        None | Some(IndexType::BTree) => {}
        Some(other) => {
            let method = other.to_string().to_lowercase();
            return Err(SqlError::unsupported(format!("an index USING {method}")));
        }
    }
    let old = resolve(scope.catalog, scope.search_path, &create.table_name)?;
    let mut table = TableDef::clone(old);
    let (mut names, mut orders) = (Vec::new(), Vec::new());
    for column in &create.columns {
        let (name, order) = plain_column(column)?;
        names.push(name);
        orders.push(order);
    }
    if create.unique {
        names = own_columns(table.kind, names);
        orders.drain(..orders.len() - names.len());
    }
    for name in &names {
        if table.column_index(name).is_none() {
            let message = format!("column \"{name}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        }
    }
    let columns = key_columns(&table, &names, "index")?;
    let given = match &create.name {
        None => None,
        Some(name) => match split(name)? {
            (None, name) => Some(name),
            (Some(_), name) => {
                return Err(SqlError::new(
                    ErrorKind::SyntaxError,
                    format!("syntax error at or near \".{name}\""),
                ));
            }
        },
    };
    if let Some(name) = &given
        && relation_exists(scope, &table, name)
    {
        let error = duplicate_relation(name);
        if !create.if_not_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(plan);
    }
    let name = index_name(scope, &table, given, &columns, "idx")?;
    let index = put_index(&mut table, name, columns, orders, create.unique, false);
    table.bump_schema_version();
    plan.finish = Some((
        table.id,
        vec![Finish::Index {
            index,
            primary: false,
        }],
    ));
    plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    Ok(plan)
}

/// Whether a table has an index or a primary key with this id.
pub(super) fn has(table: &TableDef, id: IndexId) -> bool {
    let primary = table.primary().is_some_and(|key| key.id == id);
    primary || table.indexes.iter().any(|index| index.id == id)
}

/// DROP INDEX.
pub(super) fn drop(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
    cascades: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP INDEX");
    let mut changed: Vec<TableDef> = Vec::new();
    for name in names {
        let (schema, index) = split(name)?;
        if let Some(table) = find_primary(scope, schema.as_deref(), &index) {
            return Err(required(&index, &table.name));
        }
        let Some((table, index)) = find_index(scope, schema.as_deref(), &index) else {
            let shown = display(schema.as_deref(), &index);
            let message = format!("index \"{shown}\" does not exist");
            let error = SqlError::new(ErrorKind::UndefinedObject, message);
            if !if_exists {
                return Err(error);
            }
            plan.skip(error);
            continue;
        };
        if index.constraint {
            return Err(required(&index.name, &table.name));
        }
        if index.unique {
            let what = format!("index {}", index.name);
            release_key(
                scope,
                table,
                &index.columns,
                cascades,
                (&what, &what),
                &mut plan,
            )?;
        }
        let at = changed.iter().position(|known| known.id == table.id);
        let at = at.unwrap_or_else(|| {
            changed.push(table.clone());
            changed.len() - 1
        });
        changed[at].indexes.retain(|other| other.id != index.id);
        super::comment::prune(&mut changed[at]);
        changed[at].bump_schema_version();
    }
    let puts = changed.into_iter().map(Box::new);
    plan.changes.extend(puts.map(CatalogChange::PutTable));
    Ok(plan)
}

/// ALTER INDEX … RENAME TO.
pub(super) fn rename(
    scope: Scope<'_>,
    name: &ObjectName,
    new: &ObjectName,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER INDEX");
    let (_, old) = split(name)?;
    let mut table = find(scope, name)?.0.clone();
    let new = free_relation_name(scope, &table, super::single(new)?)?;
    match table.indexes.iter_mut().find(|index| index.name == old) {
        Some(index) => index.name = new,
        None => table.primary_key_name = new,
    }
    plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    Ok(plan)
}

/// The table and index of a name, of an index or of a primary key's; 42P01 when there is none.
pub(super) fn find<'a>(
    scope: Scope<'a>,
    name: &ObjectName,
) -> Result<(&'a TableDef, IndexId), SqlError> {
    let (schema, index) = split(name)?;
    if let Some((table, index)) = find_index(scope, schema.as_deref(), &index) {
        return Ok((table, index.id));
    }
    match find_primary(scope, schema.as_deref(), &index) {
        Some(table) => Ok((table, table.primary_key_id)),
        None => Err(SqlError::new(
            ErrorKind::UndefinedTable,
            format!(
                "relation \"{}\" does not exist",
                display(schema.as_deref(), &index)
            ),
        )),
    }
}

fn find_index<'a>(
    scope: Scope<'a>,
    schema: Option<&str>,
    name: &str,
) -> Option<(&'a TableDef, &'a IndexDef)> {
    let in_schema = |schema: &str| {
        let tables = scope.catalog.tables.values().filter(|t| t.schema == schema);
        let indexes = tables.flat_map(|table| table.indexes.iter().map(move |i| (&**table, i)));
        indexes.into_iter().find(|(_, index)| index.name == name)
    };
    match schema {
        Some(schema) => in_schema(temp::resolved(scope.search_path, schema)?),
        None => scope
            .search_path
            .iter()
            .find_map(|schema| in_schema(schema)),
    }
}

/// The table whose primary key's index has this name.
fn find_primary<'a>(scope: Scope<'a>, schema: Option<&str>, name: &str) -> Option<&'a TableDef> {
    let named = |table: &&TableDef| {
        let in_scope = match schema {
            Some(schema) => {
                temp::resolved(scope.search_path, schema) == Some(table.schema.as_str())
            }
            None => scope.search_path.contains(&table.schema),
        };
        in_scope && !table.primary_key.is_empty() && table.primary_key_name == name
    };
    (scope.catalog.tables.values())
        .map(|table| &**table)
        .find(named)
}

/// 2BP01 for an index that is a constraint's.
fn required(name: &str, table: &str) -> SqlError {
    let message =
        format!("cannot drop index {name} because constraint {name} on table {table} requires it");
    SqlError::new(ErrorKind::DependentObjectsStillExist, message).hint(format!(
        "You can drop constraint {name} on table {table} instead."
    ))
}
