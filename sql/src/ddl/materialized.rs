//! Materialized views: tables that keep the query which gives their rows.
//!
//! Guarantees: nothing but REFRESH changes their rows. Does not: run the query.

use datafusion::sql::sqlparser::ast::ObjectName;
use tidelog_storage::catalog::Materialized;
use tidelog_storage::{CatalogChange, TableDef, TableId, TableKind, ViewDef};

use super::{Catalog, DdlPlan, Scope, display, find, split, view};
use crate::error::{ErrorKind, SqlError};

/// The view that a materialized one is; `None` of other tables.
pub(crate) fn view_of(table: &TableDef) -> Option<ViewDef> {
    let materialized = table.materialized.as_ref()?;
    let column = |column: &tidelog_storage::ColumnDef| (column.name.clone(), column.ty);
    Some(ViewDef {
        schema: table.schema.clone(),
        name: table.name.clone(),
        columns: table.columns.iter().map(column).collect(),
        query: materialized.query.clone(),
        comments: Vec::new(),
    })
}

/// Those of a catalog.
pub(crate) fn all(catalog: &Catalog) -> impl Iterator<Item = (&TableDef, ViewDef)> {
    let tables = catalog.tables.values();
    tables.filter_map(|table| Some((&**table, view_of(table)?)))
}

/// 42809 for a statement that would change the rows of a materialized view.
pub(crate) fn check_changeable(table: &TableDef) -> Result<(), SqlError> {
    if table.materialized.is_none() {
        return Ok(());
    }
    let message = format!("cannot change materialized view \"{}\"", table.name);
    Err(SqlError::new(ErrorKind::WrongObjectType, message))
}

/// 42809 for what is only for tables.
pub(super) fn check_table(table: &TableDef) -> Result<(), SqlError> {
    if table.materialized.is_none() {
        return Ok(());
    }
    let message = format!("\"{}\" is not a table", table.name);
    Err(SqlError::new(ErrorKind::WrongObjectType, message))
}

/// 55000 for reading what was never filled.
pub(crate) fn check_populated(table: &TableDef) -> Result<(), SqlError> {
    match &table.materialized {
        Some(materialized) if !materialized.populated => {
            let message = format!(
                "materialized view \"{}\" has not been populated",
                table.name
            );
            Err(
                SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
                    .hint("Use the REFRESH MATERIALIZED VIEW command."),
            )
        }
        _ => Ok(()),
    }
}

/// The materialized view of this name.
fn resolve<'a>(
    catalog: &'a Catalog,
    search_path: &[String],
    name: &ObjectName,
) -> Result<&'a TableDef, SqlError> {
    let (schema, name) = split(name)?;
    let table = find(catalog, search_path, schema.as_deref(), &name);
    match table {
        Some(table) if table.materialized.is_some() => Ok(table),
        None if view::find_view(catalog, search_path, schema.as_deref(), &name).is_none() => {
            let name = display(schema.as_deref(), &name);
            let message = format!("relation \"{name}\" does not exist");
            Err(SqlError::new(ErrorKind::UndefinedTable, message))
        }
        _ => Err(not_one(&name)),
    }
}

/// The same for REFRESH, to which PostgreSQL gives a code of its own.
pub(crate) fn to_refresh<'a>(
    catalog: &'a Catalog,
    search_path: &[String],
    name: &ObjectName,
) -> Result<&'a TableDef, SqlError> {
    resolve(catalog, search_path, name).map_err(|error| SqlError {
        kind: match error.kind {
            ErrorKind::WrongObjectType => ErrorKind::FeatureNotSupported,
            kind => kind,
        },
        ..error
    })
}

fn not_one(name: &str) -> SqlError {
    let message = format!("\"{name}\" is not a materialized view");
    SqlError::new(ErrorKind::WrongObjectType, message)
}

/// DROP MATERIALIZED VIEW.
pub(super) fn drop(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP MATERIALIZED VIEW");
    for name in names {
        match resolve(scope.catalog, scope.search_path, name) {
            Ok(table) => plan.changes.push(CatalogChange::DropTable {
                schema: table.schema.clone(),
                name: table.name.clone(),
            }),
            Err(error) if error.kind == ErrorKind::UndefinedTable => {
                let (schema, name) = split(name)?;
                let name = display(schema.as_deref(), &name);
                let message = format!("materialized view \"{name}\" does not exist");
                let error = SqlError::new(ErrorKind::UndefinedTable, message);
                if !if_exists {
                    return Err(error);
                }
                plan.skip(error);
            }
            Err(error) => {
                let (schema, name) = split(name)?;
                let table = find(scope.catalog, scope.search_path, schema.as_deref(), &name);
                let kind = if table.is_some() { "TABLE" } else { "VIEW" };
                let article = kind.to_lowercase();
                return Err(error.hint(format!("Use DROP {kind} to remove a {article}.")));
            }
        }
    }
    Ok(plan)
}

/// The table as an ordinary one without rows, into which the query's rows go.
pub(crate) fn emptied(table: &TableDef, catalog: &Catalog) -> TableDef {
    TableDef {
        id: TableId::new(catalog.next_table_id),
        materialized: None,
        ..table.clone()
    }
}

/// 0A000 for one that is over a USER table: whoever fills it would show its rows to every role.
pub(crate) fn check_readable(catalog: &Catalog, table: &TableDef) -> Result<(), SqlError> {
    let Some(view) = view_of(table) else {
        return Ok(());
    };
    let of_users = |(schema, name): &(String, String)| {
        let table = catalog.table(schema, name);
        table.is_some_and(|table| table.kind == TableKind::User)
    };
    if !view::reaches(catalog, &view, &of_users)? {
        return Ok(());
    }
    let refused = SqlError::unsupported("a materialized view over a USER table");
    Err(refused
        .hint("Every role would see the rows of every user. Make a view, or CREATE TABLE … AS."))
}

/// The table as the materialized view of a query.
pub(crate) fn filled(table: &TableDef, query: String, populated: bool) -> TableDef {
    TableDef {
        materialized: Some(Materialized { query, populated }),
        ..table.clone()
    }
}
