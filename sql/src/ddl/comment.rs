//! COMMENT ON.

use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart};
use tidelog_storage::catalog::{Commented, TablePart};
use tidelog_storage::{CatalogChange, SequenceDef, TableDef, ViewDef};

use super::{
    DdlPlan, Scope, constraint, database, enums, find, index, no_schema, sequence, single, split,
    view,
};
use crate::error::{ErrorKind, SqlError};

/// Puts a comment on what a kind and a name stand for (for a constraint also its table), or takes it off.
pub(super) fn on(
    scope: Scope<'_>,
    (of, name, table): (&str, &ObjectName, Option<&ObjectName>),
    text: Option<&str>,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("COMMENT");
    let change = match of {
        "COLUMN" => on_column(scope, name, text)?,
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" | "INDEX" => {
            on_relation(scope, of, name, text)?
        }
        "CONSTRAINT" => {
            let table = table.expect("a constraint is parsed with its table");
            let table = super::resolve(scope.catalog, scope.search_path, table)?;
            let name = single(name)?;
            if !constraint::has(table, &name) {
                let message = format!(
                    "constraint \"{name}\" for table \"{}\" does not exist",
                    table.name
                );
                return Err(SqlError::new(ErrorKind::UndefinedObject, message));
            }
            of_table(table, TablePart::Constraint(name), text)
        }
        "SCHEMA" => {
            let name = single(name)?;
            if !scope.catalog.schemas.contains(&name) {
                return Err(no_schema(&name));
            }
            of_other(Commented::Schema(name), text)
        }
        "ROLE" => {
            let name = single(name)?;
            if !scope.catalog.roles.contains_key(&name) {
                let message = format!("role \"{name}\" does not exist");
                return Err(SqlError::new(ErrorKind::UndefinedObject, message));
            }
            of_other(Commented::Role(name), text)
        }
        "TYPE" => {
            let oid = enums::resolve(scope, name)?.definition().oid;
            of_other(Commented::Type(oid), text)
        }
        _ => {
            let change = of_other(Commented::Database, text);
            match database::find(scope.catalog, &single(name)?) {
                Ok(database) => CatalogChange::In(database.id, Box::new(change)),
                // As PostgreSQL has it, for dumps that are restored under another name.
                Err(error) => {
                    plan.warning = Some(error);
                    return Ok(plan);
                }
            }
        }
    };
    plan.changes.push(change);
    Ok(plan)
}

fn of_other(on: Commented, text: Option<&str>) -> CatalogChange {
    let text = text.map(str::to_string);
    CatalogChange::PutComment { on, text }
}

fn of_table(table: &TableDef, part: TablePart, text: Option<&str>) -> CatalogChange {
    let mut table = table.clone();
    put(&mut table.comments, part, text);
    CatalogChange::PutTable(Box::new(table))
}

fn of_view(view: &ViewDef, column: u16, text: Option<&str>) -> CatalogChange {
    let mut view = view.clone();
    put(&mut view.comments, column, text);
    CatalogChange::PutView(Box::new(view))
}

fn put<K: PartialEq>(comments: &mut Vec<(K, String)>, on: K, text: Option<&str>) {
    comments.retain(|(known, _)| *known != on);
    comments.extend(text.map(|text| (on, text.to_string())));
}

fn on_relation(
    scope: Scope<'_>,
    of: &str,
    name: &ObjectName,
    text: Option<&str>,
) -> Result<CatalogChange, SqlError> {
    let (schema, short) = split(name)?;
    let (catalog, path) = (scope.catalog, scope.search_path);
    let change = if let Some(table) = find(catalog, path, schema.as_deref(), &short) {
        let kind = match table.materialized {
            Some(_) => "MATERIALIZED VIEW",
            None => "TABLE",
        };
        (of == kind).then(|| of_table(table, TablePart::Table, text))
    } else if let Some(view) = view::find_view(catalog, path, schema.as_deref(), &short) {
        (of == "VIEW").then(|| of_view(view, 0, text))
    } else if let Ok(sequence) = sequence::resolve(catalog, path, name) {
        (of == "SEQUENCE").then(|| {
            CatalogChange::PutSequence(SequenceDef {
                comment: text.map(str::to_string),
                ..SequenceDef::clone(sequence)
            })
        })
    } else {
        let (table, index) = index::find(scope, name)?;
        (of == "INDEX").then(|| of_table(table, TablePart::Index(index), text))
    };
    change.ok_or_else(|| {
        let article = if of == "INDEX" { "an" } else { "a" };
        let message = format!("\"{short}\" is not {article} {}", of.to_lowercase());
        SqlError::new(ErrorKind::WrongObjectType, message)
    })
}

fn on_column(
    scope: Scope<'_>,
    name: &ObjectName,
    text: Option<&str>,
) -> Result<CatalogChange, SqlError> {
    let Some((ObjectNamePart::Identifier(column), relation @ [_, ..])) = name.0.split_last() else {
        let message = "column name must be qualified";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    };
    let column = super::fold(column);
    let relation = ObjectName(relation.to_vec());
    let (schema, short) = split(&relation)?;
    let missing = || {
        let message = format!("column \"{column}\" of relation \"{short}\" does not exist");
        SqlError::new(ErrorKind::UndefinedColumn, message)
    };
    let (catalog, path) = (scope.catalog, scope.search_path);
    if let Some(view) = view::find_view(catalog, path, schema.as_deref(), &short) {
        let at = view.columns.iter().position(|(name, _)| *name == column);
        let number = at.and_then(|at| u16::try_from(at + 1).ok());
        return Ok(of_view(view, number.ok_or_else(missing)?, text));
    }
    let table = super::resolve(catalog, path, &relation)?;
    let at = table.column_index(&column).ok_or_else(missing)?;
    let part = TablePart::Column(table.columns[at].id);
    Ok(of_table(table, part, text))
}

/// Takes off the comments on what a table has no more.
pub(super) fn prune(table: &mut TableDef) {
    let comments = std::mem::take(&mut table.comments);
    let there = |(part, _): &(TablePart, String)| match part {
        TablePart::Table => true,
        TablePart::Column(id) => table.index_of(*id).is_some(),
        TablePart::Index(id) => index::has(table, *id),
        TablePart::Constraint(name) => constraint::has(table, name),
    };
    table.comments = comments.into_iter().filter(there).collect();
}
