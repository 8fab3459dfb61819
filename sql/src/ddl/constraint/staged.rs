//! Constraints that come in two steps: NOT VALID and VALIDATE CONSTRAINT, and indexes that become constraints; ALTER CONSTRAINT.

use datafusion::sql::sqlparser::ast::{
    ConstraintCharacteristics, ConstraintUsingIndex, Ident, ObjectName, TableConstraint,
};
use tidelog_storage::catalog::{ColumnOrder, Deferral};
use tidelog_storage::{CatalogChange, TableDef};

use super::{Constraint, Finish, add, deferral, has, no_constraint, set_not_null};
use crate::ddl::names::free_relation_name;
use crate::ddl::table::multiple_keys;
use crate::ddl::{DdlPlan, Scope, fold, resolve};
use crate::error::{ErrorKind, SqlError};

/// Adds a constraint that says nothing about the rows that are there.
pub(in crate::ddl) fn add_not_valid(
    scope: Scope<'_>,
    table: &mut TableDef,
    constraint: &TableConstraint,
) -> Result<(), SqlError> {
    let made = Constraint::of_table(constraint)?;
    let kind = match (constraint, &made) {
        (_, Some(Constraint::Check { .. } | Constraint::ForeignKey { .. })) => None,
        (_, Some(Constraint::Unique { .. })) => Some("UNIQUE"),
        (_, None) => Some("PRIMARY KEY"),
    };
    if let Some(kind) = kind {
        let message = format!("{kind} constraints cannot be marked NOT VALID");
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    let made = made
        .map(|made| add(scope, table, made, false))
        .transpose()?;
    match made {
        Some(Finish::Check(name)) => {
            let check = table.checks.iter_mut().find(|check| check.name == name);
            if let Some(check) = check {
                (check.ready, check.not_valid) = (true, true);
            }
        }
        Some(Finish::ForeignKey(name)) => {
            let key = table.foreign_keys.iter_mut().find(|key| key.name == name);
            if let Some(key) = key {
                (key.ready, key.not_valid) = (true, true);
            }
        }
        _ => {}
    }
    Ok(())
}

/// VALIDATE CONSTRAINT: what is left to do, if anything is.
pub(in crate::ddl) fn validate(table: &TableDef, name: &str) -> Result<Option<Finish>, SqlError> {
    let checks = table.checks.iter();
    let checks = checks.map(|check| (&check.name, check.not_valid));
    let keys = table.foreign_keys.iter();
    let mut known = checks.chain(keys.map(|key| (&key.name, key.not_valid)));
    match known.find(|(known, _)| *known == name) {
        Some((_, not_valid)) => Ok(not_valid.then(|| Finish::Validate(name.to_string()))),
        None if has(table, name) => {
            let message = format!(
                "constraint \"{name}\" of relation \"{}\" is not a foreign key or check constraint",
                table.name
            );
            Err(SqlError::new(ErrorKind::WrongObjectType, message))
        }
        None => Err(no_constraint(name, &table.name)),
    }
}

/// ADD CONSTRAINT … USING INDEX.
pub(in crate::ddl) fn add_using_index(
    scope: Scope<'_>,
    table: &mut TableDef,
    given: &ConstraintUsingIndex,
    primary: bool,
    plan: &mut DdlPlan,
) -> Result<Vec<Finish>, SqlError> {
    let deferral = deferral(given.characteristics.as_ref())?.unwrap_or_default();
    let wanted = fold(&given.index_name);
    let wrong = |message: String, kind| SqlError::new(kind, message);
    let named = format!("index \"{wanted}\"");
    let Some(at) = table.indexes.iter().position(|index| index.name == wanted) else {
        let others = scope.catalog.tables.values();
        let mut others = others.filter(|other| other.schema == table.schema);
        let primary = table.primary().is_some_and(|key| key.name == wanted);
        if primary {
            let message = format!("{named} is already associated with a constraint");
            return Err(wrong(message, ErrorKind::ObjectNotInPrerequisiteState));
        }
        let message = match others.any(|other| other.indexes.iter().any(|it| it.name == wanted)) {
            true => format!("{named} does not belong to table \"{}\"", table.name),
            false => {
                return Err(wrong(
                    format!("{named} does not exist"),
                    ErrorKind::UndefinedObject,
                ));
            }
        };
        return Err(wrong(message, ErrorKind::ObjectNotInPrerequisiteState));
    };
    let index = &table.indexes[at];
    let hint = "Cannot create a primary key or unique constraint using such an index.";
    let unfit = |message: String| wrong(message, ErrorKind::WrongObjectType).detail(hint);
    if index.constraint {
        let message = format!("{named} is already associated with a constraint");
        return Err(wrong(message, ErrorKind::ObjectNotInPrerequisiteState));
    }
    if !index.ready {
        let message = format!("{named} is not valid");
        return Err(wrong(message, ErrorKind::ObjectNotInPrerequisiteState));
    }
    if primary && table.has_primary() {
        return Err(multiple_keys(&table.name));
    }
    if !index.unique {
        return Err(unfit(format!("\"{wanted}\" is not a unique index")));
    }
    if index.columns.iter().any(|id| id.is_computed()) {
        return Err(unfit(format!("{named} contains expressions")));
    }
    if index.predicate.is_some() {
        return Err(unfit(format!("\"{wanted}\" is a partial index")));
    }
    let orders = index.orders.iter();
    if let Some(n) = orders
        .enumerate()
        .position(|(_, order)| *order != ColumnOrder::default())
    {
        let message = format!(
            "{named} column number {} does not have default sorting behavior",
            n + 1
        );
        return Err(unfit(message));
    }
    if primary && (deferral != Deferral::NotDeferrable || !index.included.is_empty()) {
        return Err(SqlError::unsupported(match index.included.is_empty() {
            true => "a deferrable PRIMARY KEY",
            false => "a PRIMARY KEY with INCLUDE",
        }));
    }
    let name = match &given.name {
        Some(name) if fold(name) != wanted => free_relation_name(scope, table, fold(name))?,
        _ => wanted.clone(),
    };
    if name != wanted {
        let message =
            format!("ALTER TABLE / ADD CONSTRAINT USING INDEX will rename {named} to \"{name}\"");
        plan.notices
            .push(SqlError::new(ErrorKind::SuccessfulCompletion, message));
    }
    let columns = index.columns.clone();
    let mut finish = Vec::new();
    if primary {
        for id in columns {
            let column = table.index_of(id).map(|at| table.columns[at].name.clone());
            finish.extend(column.and_then(|name| set_not_null(table, &name)));
        }
    }
    let index = &mut table.indexes[at];
    (index.name, index.constraint, index.deferral) = (name, true, deferral);
    if primary {
        plan.all_or_nothing = true;
        finish.push(Finish::Promote(index.id));
    }
    table.bump_schema_version();
    Ok(finish)
}

/// ALTER TABLE … ALTER CONSTRAINT.
pub(in crate::ddl) fn alter(
    scope: Scope<'_>,
    if_exists: bool,
    table: &ObjectName,
    name: &Ident,
    characteristics: Option<&ConstraintCharacteristics>,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER TABLE");
    let table = match resolve(scope.catalog, scope.search_path, table) {
        Err(error) if if_exists && error.kind == ErrorKind::UndefinedTable => {
            plan.skip(error);
            return Ok(plan);
        }
        table => table?,
    };
    let (deferral, name) = (deferral(characteristics)?.unwrap_or_default(), fold(name));
    let mut new = TableDef::clone(table);
    let mut keys = new.foreign_keys.iter_mut();
    match keys.find(|key| key.name == name) {
        Some(key) => key.deferral = deferral,
        None if has(table, &name) => {
            let message = format!(
                "constraint \"{name}\" of relation \"{}\" is not a foreign key constraint",
                table.name
            );
            return Err(SqlError::new(ErrorKind::WrongObjectType, message));
        }
        None => return Err(no_constraint(&name, &table.name)),
    }
    if new != **table {
        plan.changes.push(CatalogChange::PutTable(Box::new(new)));
    }
    Ok(plan)
}
