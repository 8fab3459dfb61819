//! ALTER SEQUENCE.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use tidelog_storage::{CatalogChange, SequenceDef, TableDef};

use super::{default_of, is_taken, resolve, set_options};
use crate::ddl::{DdlPlan, Scope, SequenceStand, fold, no_schema};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{SequenceChange, SequenceOptions};

pub(in crate::ddl) fn alter(
    scope: Scope<'_>,
    if_exists: bool,
    name: &ObjectName,
    change: &SequenceChange,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER SEQUENCE");
    let sequence = match resolve(scope.catalog, scope.search_path, name) {
        Ok(sequence) => sequence,
        Err(error) if if_exists && error.kind == ErrorKind::UndefinedTable => {
            plan.skip(error);
            return Ok(plan);
        }
        Err(error) => return Err(error),
    };
    match change {
        SequenceChange::Options(given) => options(scope, sequence, given, &mut plan)?,
        SequenceChange::Rename(new) => {
            rename(scope, sequence, &sequence.schema, &fold(new), &mut plan)?;
        }
        SequenceChange::SetSchema(schema) => {
            let schema = fold(schema);
            if !scope.catalog.schemas.contains(&schema) {
                return Err(no_schema(&schema));
            }
            if let Some((table, _)) = owner(scope, sequence) {
                let message = "cannot move an owned sequence into another schema";
                let detail = linked(sequence, table);
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message).detail(detail));
            }
            if schema != sequence.schema {
                rename(scope, sequence, &schema, &sequence.name, &mut plan)?;
            }
        }
    }
    Ok(plan)
}

/// Gives a sequence that is there other options.
pub(in crate::ddl) fn options(
    scope: Scope<'_>,
    sequence: &SequenceDef,
    given: &SequenceOptions,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let mut altered = sequence.clone();
    set_options(&mut altered, given, false)?;
    match &given.owner {
        None => {}
        Some(Some(owner)) => set_owner(scope, &altered, owner, plan)?,
        Some(None) => disown(scope, &altered, None, plan)?,
    }
    if altered != *sequence {
        let change = CatalogChange::PutSequence(altered.clone());
        plan.changes.push(change);
    }
    let start = altered.start;
    plan.stands = Some(SequenceStand {
        sequence: altered,
        restart: given.restart.map(|at| at.unwrap_or(start)),
    });
    Ok(())
}

fn rename(
    scope: Scope<'_>,
    sequence: &SequenceDef,
    schema: &str,
    name: &str,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    if is_taken(scope, schema, name) {
        return Err(crate::ddl::table::duplicate_table(name));
    }
    let renamed = SequenceDef {
        schema: schema.to_string(),
        name: name.to_string(),
        ..sequence.clone()
    };
    let (old, new) = (default_of(sequence), default_of(&renamed));
    let draws = |table: &TableDef| {
        let mut defaults = table.columns.iter().map(|column| &column.default);
        defaults.any(|default| default.as_ref() == Some(&old))
    };
    for table in (scope.catalog.tables.values()).filter(|table| draws(table)) {
        let mut table = TableDef::clone(table);
        for column in &mut table.columns {
            if column.default.as_ref() == Some(&old) {
                column.default = Some(new.clone());
            }
        }
        plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    }
    plan.changes.push(CatalogChange::DropSequence {
        schema: sequence.schema.clone(),
        name: sequence.name.clone(),
    });
    plan.changes.push(CatalogChange::PutSequence(renamed));
    Ok(())
}

/// The table and the place of the column that own a sequence.
fn owner<'a>(scope: Scope<'a>, sequence: &SequenceDef) -> Option<(&'a TableDef, usize)> {
    let owns = |table: &TableDef| {
        let mut columns = table.columns.iter();
        columns.position(|column| column.sequence == Some(sequence.id))
    };
    let mut tables = scope.catalog.tables.values();
    tables.find_map(|table| Some((&**table, owns(table)?)))
}

fn linked(sequence: &SequenceDef, table: &TableDef) -> String {
    format!(
        "Sequence \"{}\" is linked to table \"{}\".",
        sequence.name, table.name
    )
}

/// OWNED BY a column, `table.column`.
pub(super) fn set_owner(
    scope: Scope<'_>,
    sequence: &SequenceDef,
    owner: &ObjectName,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let parts: Vec<Ident> = (owner.0.iter())
        .filter_map(ObjectNamePart::as_ident)
        .cloned()
        .collect();
    let (Some((column, table)), true) = (parts.split_last(), parts.len() > 1) else {
        return Err(
            SqlError::new(ErrorKind::SyntaxError, "invalid OWNED BY option")
                .hint("Specify OWNED BY table.column or OWNED BY NONE."),
        );
    };
    let table = ObjectName::from(table.to_vec());
    let table = crate::ddl::resolve(scope.catalog, scope.search_path, &table)?;
    if table.schema != sequence.schema {
        let message = "sequence must be in same schema as table it is linked to";
        return Err(SqlError::new(
            ErrorKind::ObjectNotInPrerequisiteState,
            message,
        ));
    }
    let name = fold(column);
    let at = table.column_index(&name).ok_or_else(|| {
        SqlError::new(
            ErrorKind::UndefinedColumn,
            format!(
                "column \"{name}\" of relation \"{}\" does not exist",
                table.name
            ),
        )
    })?;
    match table.columns[at].sequence {
        Some(own) if own == sequence.id => return Ok(()),
        Some(_) => return Err(SqlError::unsupported("a second sequence OWNED BY a column")),
        None => {}
    }
    disown(scope, sequence, Some((table, at)), plan)
}

/// Takes a sequence from the column that owns it, and gives it to another one.
fn disown(
    scope: Scope<'_>,
    sequence: &SequenceDef,
    to: Option<(&TableDef, usize)>,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let from = owner(scope, sequence);
    if let Some((table, at)) = from
        && table.columns[at].identity.is_some()
    {
        let message = "cannot change ownership of identity sequence";
        let detail = linked(sequence, table);
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message).detail(detail));
    }
    let mut tables: Vec<TableDef> = Vec::new();
    for (owner, owned) in [(from, None), (to, Some(sequence.id))] {
        let Some((table, at)) = owner else { continue };
        let known = tables.iter().position(|known| known.id == table.id);
        let known = known.unwrap_or_else(|| {
            tables.push(table.clone());
            tables.len() - 1
        });
        tables[known].columns[at].sequence = owned;
    }
    let puts = tables.into_iter().map(Box::new);
    plan.changes.extend(puts.map(CatalogChange::PutTable));
    Ok(())
}
