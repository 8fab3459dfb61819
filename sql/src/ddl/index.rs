//! CREATE, ALTER and DROP INDEX, and what the indexes of keys share with them.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CreateIndex, Expr, IndexColumn, IndexType, ObjectName, OrderByExpr,
};
use tidelog_storage::catalog::{ColumnOrder, Deferral, IndexDef, IndexId};
use tidelog_storage::{
    CatalogChange, ColumnDef, ColumnId, ColumnType, PrintedType, TableDef, TableKind,
};

use super::constraint::Finish;
use super::names::{duplicate_relation, free_relation_name, index_name, relation_exists};
use super::parents::release_key;
use super::table::generated;
use super::{DdlPlan, Scope, display, fold, kinds, resolve, split, temp};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{identifier, literal_text, parse_expression};
use crate::provider::USER;

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

/// The expression that an index column is, and its order.
fn ordered(column: &IndexColumn) -> Result<(&Expr, ColumnOrder), SqlError> {
    let OrderByExpr { expr, options, .. } = &column.column;
    if let Some(class) = &column.operator_class {
        let (schema, class) = split(class)?;
        let is_systems = schema.is_none_or(|schema| schema == "pg_catalog");
        if !is_systems || !ORDERED_ALIKE.contains(&class.as_str()) {
            let what = format!("the operator class \"{class}\" of an index");
            return Err(SqlError::unsupported(what));
        }
    }
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    let descending = options.asc == Some(false);
    let order = ColumnOrder {
        descending,
        nulls_first: options.nulls_first.unwrap_or(descending),
    };
    Ok((expr, order))
}

/// The name of a key's column, and its order.
pub(super) fn plain_column(column: &IndexColumn) -> Result<(String, ColumnOrder), SqlError> {
    match ordered(column)? {
        (Expr::Identifier(name), order) => Ok((fold(name), order)),
        _ => Err(SqlError::unsupported("a key on an expression")),
    }
}

pub(super) fn put_index(
    table: &mut TableDef,
    name: String,
    columns: Vec<ColumnId>,
    orders: Vec<ColumnOrder>,
    unique: bool,
    ready: bool,
) -> &mut IndexDef {
    let id = table.next_index_id;
    table.next_index_id = IndexId::new(id.get() + 1);
    table.indexes.push(IndexDef {
        id,
        name,
        columns,
        orders,
        unique,
        primary: false,
        constraint: false,
        ready,
        predicate: None,
        included: Vec::new(),
        deferral: Deferral::NotDeferrable,
    });
    table.indexes.last_mut().expect("was just put")
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
        let id = column_named(table, name)?;
        if ids.contains(&id) {
            let message = format!("column \"{name}\" appears twice in {what} constraint");
            return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
        }
        check_sortable_type(table.type_of(id).expect("was just found"))?;
        ids.push(id);
    }
    Ok(ids)
}

/// The column of a key.
pub(super) fn column_named(table: &TableDef, name: &str) -> Result<ColumnId, SqlError> {
    let at = table.column_index(name).ok_or_else(|| {
        let message = format!("column \"{name}\" named in key does not exist");
        SqlError::new(ErrorKind::UndefinedColumn, message)
    })?;
    Ok(table.columns[at].id)
}

/// 42704 when the values of a column cannot be told apart, nor sorted.
pub(super) fn check_sortable(column: &ColumnDef) -> Result<(), SqlError> {
    check_sortable_type(column.ty)
}

/// The same, of the values of a type.
pub(crate) fn check_sortable_type(ty: ColumnType) -> Result<(), SqlError> {
    let name = crate::types::name(ty);
    match ty {
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
    create.with.iter().try_for_each(check_parameter)?;
    for (given, what) in [
        (
            create.nulls_distinct == Some(false),
            "NULLS NOT DISTINCT of an index",
        ),
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
        Some(method @ (IndexType::Hash | IndexType::BRIN)) => {
            let method = method.to_string().to_lowercase();
            if create.unique {
                let message = format!("access method \"{method}\" does not support unique indexes");
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
            }
            let message = format!("an index USING {method} is made as one USING btree");
            plan.notices
                .push(SqlError::new(ErrorKind::SuccessfulCompletion, message));
        }
        Some(other) => {
            let method = other.to_string().to_lowercase();
            return Err(SqlError::unsupported(format!("an index USING {method}")));
        }
    }
    let old = resolve(scope.catalog, scope.search_path, &create.table_name)?;
    let mut table = TableDef::clone(old);
    let mut columns = Vec::with_capacity(create.columns.len());
    let mut orders = Vec::with_capacity(create.columns.len());
    let mut called = Vec::with_capacity(create.columns.len());
    let is_user = |column: &IndexColumn| matches!(ordered(column), Ok((Expr::Identifier(name), _)) if fold(name) == USER);
    let own = create.unique && table.kind == TableKind::User && create.columns.len() > 1;
    let own = usize::from(own && is_user(&create.columns[0]));
    if create.columns.len() - own > INDEX_COLUMNS_MAX {
        let message = format!("cannot use more than {INDEX_COLUMNS_MAX} columns in an index");
        return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    for column in &create.columns[own..] {
        let (expr, order) = ordered(column)?;
        orders.push(order);
        match expr {
            Expr::Identifier(name) => {
                let name = fold(name);
                let id = column_of(&table, &name)?;
                check_sortable_type(table.type_of(id).expect("was just found"))?;
                if columns.contains(&id) {
                    let message = format!("column \"{name}\" appears twice in index constraint");
                    return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
                }
                columns.push(id);
                called.push(name);
            }
            expr => {
                let place = "index expression";
                let written = generated::written_in(scope, &table, expr, place)?;
                called.push(expression_name(expr));
                columns.push(table.put_computed(written, ColumnType::Text));
            }
        }
    }
    let included = create
        .include
        .iter()
        .map(|name| column_of(&table, &fold(name)));
    let included = included.collect::<Result<Vec<_>, _>>()?;
    called.extend(create.include.iter().map(fold));
    let predicate = match &create.predicate {
        None => None,
        Some(condition) => {
            let written = generated::written_in(scope, &table, condition, "index predicate")?;
            Some(table.put_computed(written, ColumnType::Bool))
        }
    };
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
    let name = index_name(scope, &table, given, &called, "idx")?;
    let index = put_index(&mut table, name, columns, orders, create.unique, false);
    (index.predicate, index.included) = (predicate, included);
    let index = index.id;
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

/// What PostgreSQL's indexes are told of their pages is taken, and says nothing here.
fn check_parameter(given: &Expr) -> Result<(), SqlError> {
    let (name, value) = match given {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => (&**left, literal_text(right).unwrap_or_default()),
        // A switch alone is on.
        _ => (given, "on".to_string()),
    };
    let name = match name {
        Expr::Identifier(name) => fold(name),
        other => other.to_string(),
    };
    let invalid = |message: String| SqlError::new(ErrorKind::InvalidParameterValue, message);
    match name.as_str() {
        "fillfactor" => match value.parse::<u8>() {
            Ok(10..=100) => Ok(()),
            _ => Err(invalid(format!(
                "value {value} out of bounds for option \"fillfactor\""
            ))
            .detail("Valid values are between \"10\" and \"100\".")),
        },
        "deduplicate_items" | "pages_per_range" | "autosummarize" => Ok(()),
        _ => Err(invalid(format!("unrecognized parameter \"{name}\""))),
    }
}

fn column_of(table: &TableDef, name: &str) -> Result<ColumnId, SqlError> {
    let at = table.column_index(name).ok_or_else(|| {
        let message = format!("column \"{name}\" does not exist");
        SqlError::new(ErrorKind::UndefinedColumn, message)
    })?;
    Ok(table.columns[at].id)
}

/// What an index's column is called that is an expression.
pub(crate) fn expression_name(expr: &Expr) -> String {
    let name = crate::plan::names::name_of(expr);
    name.map_or_else(|| "expr".to_string(), |(name, _)| name)
}

/// What an index's columns are called, those of INCLUDE behind the others.
pub(crate) fn called(table: &TableDef, index: &IndexDef) -> Vec<String> {
    let columns = index.columns.iter().chain(&index.included);
    columns.map(|id| called_alone(table, *id)).collect()
}

/// What a column of an index is called, of itself.
pub(crate) fn called_alone(table: &TableDef, id: ColumnId) -> String {
    if let Some(at) = table.index_of(id) {
        return table.columns[at].name.clone();
    }
    let expression = table
        .computed_of(id)
        .map(|of| parse_expression(&of.expression));
    match expression {
        Some(Ok(expr)) => expression_name(&expr),
        _ => "expr".to_string(),
    }
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
            if let Some(error) = kinds::another(scope, schema.as_deref(), &index, "INDEX") {
                return Err(error);
            }
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
        if index.unique && index.predicate.is_none() {
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
        changed[at].prune_computed();
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

/// ALTER INDEX IF EXISTS … RENAME TO.
pub(super) fn rename_if_exists(
    scope: Scope<'_>,
    name: &ObjectName,
    new: &ObjectName,
) -> Result<DdlPlan, SqlError> {
    match find(scope, name) {
        Err(error) if error.kind == ErrorKind::UndefinedTable => {
            let mut plan = DdlPlan::new("ALTER INDEX");
            plan.skip(error);
            Ok(plan)
        }
        _ => rename(scope, name, new),
    }
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

/// Whether an index has this name.
pub(super) fn exists(scope: Scope<'_>, schema: Option<&str>, name: &str) -> bool {
    find_index(scope, schema, name).is_some() || find_primary(scope, schema, name).is_some()
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
    let (index, table) = (identifier(name), identifier(table));
    let message =
        format!("cannot drop index {index} because constraint {name} on table {table} requires it");
    SqlError::new(ErrorKind::DependentObjectsStillExist, message).hint(format!(
        "You can drop constraint {name} on table {table} instead."
    ))
}
