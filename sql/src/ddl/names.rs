//! Names of indexes and constraints, given or made as PostgreSQL makes them.

use tidelog_storage::{ColumnId, TableDef, TableKind};

use super::{NAME_LENGTH_MAX, Scope};
use crate::error::{ErrorKind, SqlError};
use crate::provider::USER;

/// Whether a table or index of this name stands in the table's schema, the table's own indexes among them.
pub(super) fn relation_exists(scope: Scope<'_>, table: &TableDef, name: &str) -> bool {
    let tables = scope.catalog.tables.values();
    let others = tables.filter(|other| other.schema == table.schema && other.id != table.id);
    let has = |table: &TableDef| table.name == name || has_index(table, name);
    has(table) || others.into_iter().any(|other| has(other))
}

/// Whether a table has an index of this name, its primary key's among them.
pub(super) fn has_index(table: &TableDef, name: &str) -> bool {
    !table.primary_key.is_empty() && table.primary_key_name == name
        || table.indexes.iter().any(|index| index.name == name)
}

/// The columns of a key as they are kept: keys of USER tables are each user's own, and may say so by `_user` first.
pub(super) fn own_columns(kind: TableKind, mut names: Vec<String>) -> Vec<String> {
    if kind == TableKind::User && names.len() > 1 && names[0] == USER {
        names.remove(0);
    }
    names
}

/// PostgreSQL's `makeObjectName`: `name_columns_label`, with the longer of the first two cut until it fits.
pub(super) fn made_name(name: &str, columns: &str, label: &str) -> String {
    let (mut name, mut columns) = (name.to_string(), columns.to_string());
    loop {
        let parts = [name.as_str(), columns.as_str(), label];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let made = parts.collect::<Vec<_>>().join("_");
        if made.len() <= NAME_LENGTH_MAX {
            return made;
        }
        let longer = match name.len() > columns.len() {
            true => &mut name,
            false => &mut columns,
        };
        if longer.pop().is_none() {
            return made;
        }
    }
}

/// The name, or the first of it with a number that no relation of the schema has.
pub(super) fn chosen_name(scope: Scope<'_>, table: &TableDef, name: &str) -> String {
    let numbered = (1..).map(|n: u32| format!("{name}{n}"));
    let mut names = std::iter::once(name.to_string()).chain(numbered);
    names
        .find(|name| !relation_exists(scope, table, name))
        .expect("some number is free")
}

pub(super) fn index_name(
    scope: Scope<'_>,
    table: &TableDef,
    given: Option<String>,
    columns: &[String],
    label: &str,
) -> Result<String, SqlError> {
    if let Some(name) = given {
        return free_relation_name(scope, table, name);
    }
    let columns = distinct_names(columns.iter().cloned());
    let name = made_name(&table.name, &columns.join("_"), label);
    Ok(chosen_name(scope, table, &name))
}

/// The names of an index's columns: those that are there already get numbers.
pub(crate) fn distinct_names(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        let numbered = (1..).map(|n: u32| format!("{name}{n}"));
        let mut choices = std::iter::once(name.clone()).chain(numbered);
        let free = choices.find(|name| !distinct.contains(name));
        distinct.push(free.expect("some number is free"));
    }
    distinct
}

/// The names of columns.
pub(super) fn column_names(table: &TableDef, columns: &[ColumnId]) -> Vec<String> {
    let name = |id: &ColumnId| {
        let at = table.index_of(*id).expect("was found by name");
        table.columns[at].name.clone()
    };
    columns.iter().map(name).collect()
}

pub(super) fn free_relation_name(
    scope: Scope<'_>,
    table: &TableDef,
    name: String,
) -> Result<String, SqlError> {
    match relation_exists(scope, table, &name) {
        true => Err(duplicate_relation(&name)),
        false => Ok(name),
    }
}

pub(super) fn duplicate_relation(name: &str) -> SqlError {
    let message = format!("relation \"{name}\" already exists");
    SqlError::new(ErrorKind::DuplicateTable, message)
}

/// A name for a CHECK or FOREIGN KEY of a table: the given one, or the made one with a number if it is taken.
pub(super) fn constraint_name(
    table: &TableDef,
    given: Option<String>,
    made: String,
) -> Result<String, SqlError> {
    let taken = |name: &str| {
        table.checks.iter().any(|check| check.name == name)
            || table.foreign_keys.iter().any(|key| key.name == name)
            || table.unique_keys().any(|key| key.name == name)
    };
    match given {
        Some(name) if taken(&name) => {
            let message = format!(
                "constraint \"{name}\" for relation \"{}\" already exists",
                table.name
            );
            Err(SqlError::new(ErrorKind::DuplicateObject, message))
        }
        Some(name) => Ok(name),
        None => {
            let numbered = (1..).map(|n: u32| format!("{made}{n}"));
            let mut names = std::iter::once(made.clone()).chain(numbered);
            let name = names.find(|name| !taken(name));
            Ok(name.expect("some number is free"))
        }
    }
}
