//! ALTER … SET SCHEMA. What belongs to a table goes with it: indexes, constraints, the sequences of its columns.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use tidelog_storage::{CatalogChange, SequenceDef, TableDef};

use super::sequence::{alter, default_of, is_taken};
use super::{DdlPlan, Scope, enums, fold, names, no_schema, parents, resolve, split, temp, view};
use crate::error::{ErrorKind, SqlError};
use crate::parse::SequenceChange;

pub(super) fn set(
    scope: Scope<'_>,
    of: &'static str,
    if_exists: bool,
    name: &ObjectName,
    schema: &Ident,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new(match of {
        "TABLE" => "ALTER TABLE",
        "VIEW" => "ALTER VIEW",
        "TYPE" => "ALTER TYPE",
        _ => "ALTER MATERIALIZED VIEW",
    });
    match moved(scope, of, name, schema, &mut plan) {
        Err(error) if if_exists && error.kind == ErrorKind::UndefinedTable => plan.skip(error),
        moved => moved?,
    }
    Ok(plan)
}

fn moved(
    scope: Scope<'_>,
    of: &'static str,
    name: &ObjectName,
    schema: &Ident,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let to = fold(schema);
    if of == "TYPE" {
        let of = enums::resolve(scope, name)?;
        return match is_elsewhere(scope, &of.definition().schema, &to)? {
            true => enums::set_schema(scope, of, &to, plan),
            false => Ok(()),
        };
    }
    let (from, relation) = split(name)?;
    if let Some(view) =
        view::find_view(scope.catalog, scope.search_path, from.as_deref(), &relation)
    {
        if of == "MATERIALIZED VIEW" {
            return Err(no_kind(&view.name, "materialized view"));
        }
        if is_elsewhere(scope, &view.schema, &to)? {
            check_free(scope, &to, &view.name)?;
            view::set_schema(scope, view, &to, plan)?;
        }
        return Ok(());
    }
    let table = match resolve(scope.catalog, scope.search_path, name) {
        Ok(table) => table,
        Err(error) => {
            // ALTER TABLE takes sequences, too.
            let change = SequenceChange::SetSchema(schema.clone());
            let sequence = alter::alter(scope, false, name, &change);
            plan.changes = sequence.map_err(|_| error)?.changes;
            return Ok(());
        }
    };
    match (of, &table.materialized) {
        ("VIEW", _) => return Err(no_kind(&table.name, "view")),
        ("MATERIALIZED VIEW", None) => return Err(no_kind(&table.name, "materialized view")),
        _ => {}
    }
    match is_elsewhere(scope, &table.schema, &to)? {
        true => set_of_table(scope, table, &to, plan),
        false => Ok(()),
    }
}

/// Whether a schema is another one; an error when nothing can be moved there.
fn is_elsewhere(scope: Scope<'_>, from: &str, to: &str) -> Result<bool, SqlError> {
    if from == to {
        return Ok(false);
    }
    let temporary = |schema: &str| temp::resolved(scope.search_path, schema) != Some(schema);
    if temporary(to) || temp::is_temporary(from) || temp::is_temporary(to) {
        let message = "cannot move objects into or out of temporary schemas";
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    match scope.catalog.schemas.contains(to) {
        true => Ok(true),
        false => Err(no_schema(to)),
    }
}

fn set_of_table(
    scope: Scope<'_>,
    old: &TableDef,
    schema: &str,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let mut table = old.clone();
    table.schema = schema.to_string();
    check_free(scope, schema, &table.name)?;
    let indexes = table.indexes.iter().map(|index| index.name.as_str());
    let key = table.primary().map(|key| key.name);
    for index in indexes.chain(key) {
        check_free(scope, schema, index)?;
    }
    let owned = old.columns.iter().filter_map(|column| column.sequence);
    for id in owned {
        let sequence = scope.catalog.sequence_by_id(id);
        let sequence = sequence.expect("a column's sequence is there as long as it is");
        check_free(scope, schema, &sequence.name)?;
        move_sequence(scope, sequence, &mut table, plan)?;
    }
    let new = (table.schema.clone(), table.name.clone());
    for (child, _) in parents::referencing_keys(scope, old) {
        parents::rename_parent(&mut table, child, old, &new, plan);
    }
    view::follow_rename(scope, (&old.schema, &old.name), &new, plan)?;
    plan.changes.push(CatalogChange::DropTable {
        schema: old.schema.clone(),
        name: old.name.clone(),
    });
    plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    Ok(())
}

/// Takes a sequence of a table's along; 0A000 when other tables draw from it, too.
fn move_sequence(
    scope: Scope<'_>,
    sequence: &SequenceDef,
    table: &mut TableDef,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let moved = SequenceDef {
        schema: table.schema.clone(),
        ..sequence.clone()
    };
    let (before, after) = (default_of(sequence), default_of(&moved));
    let draws = |of: &TableDef| {
        let mut defaults = of.columns.iter().map(|column| column.default.as_ref());
        defaults.any(|default| default == Some(&before))
    };
    let mut others = scope.catalog.tables.values();
    if others.any(|other| other.id != table.id && draws(other)) {
        let what = "SET SCHEMA of a table from whose sequence others draw";
        return Err(SqlError::unsupported(what));
    }
    for column in &mut table.columns {
        if column.default.as_ref() == Some(&before) {
            column.default = Some(after.clone());
        }
    }
    plan.changes.push(CatalogChange::DropSequence {
        schema: sequence.schema.clone(),
        name: sequence.name.clone(),
    });
    plan.changes.push(CatalogChange::PutSequence(moved));
    Ok(())
}

/// 42P07 when a schema has a relation of this name.
fn check_free(scope: Scope<'_>, schema: &str, name: &str) -> Result<(), SqlError> {
    let mut tables = scope.catalog.tables.values();
    let index = tables.any(|table| table.schema == schema && names::has_index(table, name));
    if !index && !is_taken(scope, schema, name) {
        return Ok(());
    }
    let message = format!("relation \"{name}\" already exists in schema \"{schema}\"");
    Err(SqlError::new(ErrorKind::DuplicateTable, message))
}

fn no_kind(name: &str, kind: &str) -> SqlError {
    let message = format!("\"{name}\" is not a {kind}");
    SqlError::new(ErrorKind::WrongObjectType, message)
}
