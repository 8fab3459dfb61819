//! Foreign keys seen from the table that they reference: what may go, and what goes with it.

use std::sync::Arc;

use tidelog_storage::catalog::ForeignKeyDef;
use tidelog_storage::{Catalog, CatalogChange, ColumnId, TableDef};

use super::{DdlPlan, Scope};
use crate::error::{ErrorKind, SqlError};
use crate::parse::identifier;

/// The foreign keys of other tables (and its own) that reference a table, with their tables.
pub(super) fn referencing_keys<'a>(
    scope: Scope<'a>,
    parent: &'a TableDef,
) -> impl Iterator<Item = (&'a TableDef, &'a ForeignKeyDef)> {
    referencing_keys_of(scope.catalog, parent).map(|(table, key)| (&**table, key))
}

/// The foreign keys that reference a table, with their tables.
pub(crate) fn referencing_keys_of<'a>(
    catalog: &'a Catalog,
    parent: &'a TableDef,
) -> impl Iterator<Item = (&'a Arc<TableDef>, &'a ForeignKeyDef)> {
    let of_parent =
        |key: &&ForeignKeyDef| key.parent.0 == parent.schema && key.parent.1 == parent.name;
    let mut keys = Vec::new();
    for table in catalog.tables.values() {
        let found = table.foreign_keys.iter().filter(of_parent);
        keys.extend(found.map(|key| (table, key)));
    }
    // In the order in which the tables were made, as PostgreSQL lists them.
    keys.sort_by_key(|(table, _)| table.id);
    keys.into_iter()
}

/// 2BP01 for what foreign keys depend on.
fn depended_on(what: &str, keys: &[(&TableDef, &ForeignKeyDef)], parent: &str) -> SqlError {
    let line = |(table, key): &(&TableDef, &ForeignKeyDef)| {
        format!(
            "constraint {} on table {} depends on {parent}",
            key.name,
            identifier(&table.name)
        )
    };
    let message = format!("cannot drop {what} because other objects depend on it");
    SqlError::new(ErrorKind::DependentObjectsStillExist, message)
        .detail(keys.iter().map(line).collect::<Vec<_>>().join("\n"))
        .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// Takes foreign keys off their tables; each with a notice.
fn cascade(plan: &mut DdlPlan, keys: &[(&TableDef, &ForeignKeyDef)]) {
    for (table, key) in keys {
        let message = format!(
            "drop cascades to constraint {} on table {}",
            key.name,
            identifier(&table.name)
        );
        let kind = ErrorKind::DependentObjectsStillExist;
        plan.notices.push(SqlError::new(kind, message));
        let pending = plan.changes.iter_mut().find_map(|change| match change {
            CatalogChange::PutTable(put) if put.id == table.id => Some(put),
            _ => None,
        });
        let strip = |table: &mut TableDef| {
            table.foreign_keys.retain(|other| other.name != key.name);
            table.bump_schema_version();
        };
        match pending {
            Some(put) => strip(put),
            None => {
                let mut table = TableDef::clone(table);
                strip(&mut table);
                plan.changes.push(CatalogChange::PutTable(Box::new(table)));
            }
        }
    }
}

/// Lets a table go that others may reference: refused, or their constraints go with it. `gone` are the ids of
/// tables that go together.
pub(super) fn release_parent(
    scope: Scope<'_>,
    parent: &TableDef,
    gone: &[tidelog_storage::TableId],
    cascades: bool,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let keys: Vec<_> = referencing_keys(scope, parent)
        .filter(|(table, _)| !gone.contains(&table.id))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    if !cascades {
        let name = format!("table {}", identifier(&parent.name));
        return Err(depended_on(&name, &keys, &name));
    }
    cascade(plan, &keys);
    Ok(())
}

/// Lets a column go that foreign keys may reference.
pub(super) fn release_column(
    scope: Scope<'_>,
    table: &TableDef,
    column: ColumnId,
    cascades: bool,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let keys: Vec<_> = referencing_keys(scope, table)
        .filter(|(child, key)| {
            let own = child.id == table.id && key.columns.contains(&column);
            key.parent_columns.contains(&column) && !own
        })
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    let name = table
        .index_of(column)
        .map(|at| table.columns[at].name.as_str());
    let name = format!(
        "column {} of table {}",
        name.unwrap_or_default(),
        identifier(&table.name)
    );
    if !cascades || keys.iter().any(|(child, _)| child.id == table.id) {
        return Err(depended_on(&name, &keys, &name));
    }
    cascade(plan, &keys);
    Ok(())
}

/// Tells a child's foreign keys the new name of their parent, whose definition is `table`.
pub(super) fn rename_parent(
    table: &mut TableDef,
    child: &TableDef,
    parent: &TableDef,
    name: &(String, String),
    plan: &mut DdlPlan,
) {
    let rename = |child: &mut TableDef| {
        for key in &mut child.foreign_keys {
            if key.parent.0 == parent.schema && key.parent.1 == parent.name {
                key.parent = name.clone();
            }
        }
    };
    if child.id == parent.id {
        return rename(table);
    }
    let mut child = child.clone();
    rename(&mut child);
    plan.changes.push(CatalogChange::PutTable(Box::new(child)));
}

/// Lets a unique key go, unless a foreign key needs it.
pub(super) fn release_key(
    scope: Scope<'_>,
    table: &TableDef,
    columns: &[ColumnId],
    cascades: bool,
    (what, on): (&str, &str),
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let needs = |key: &ForeignKeyDef| {
        key.parent_columns.len() == columns.len()
            && key.parent_columns.iter().all(|id| columns.contains(id))
    };
    let keys: Vec<_> = referencing_keys(scope, table)
        .filter(|(_, key)| needs(key))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    if !cascades {
        return Err(depended_on(what, &keys, on));
    }
    if keys.iter().any(|(child, _)| child.id == table.id) {
        return Err(SqlError::unsupported(
            "dropping a key together with a foreign key of the same table",
        ));
    }
    cascade(plan, &keys);
    Ok(())
}
