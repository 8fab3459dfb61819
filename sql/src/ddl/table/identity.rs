//! ALTER TABLE … ALTER COLUMN … ADD GENERATED, SET GENERATED, DROP IDENTITY and DROP EXPRESSION.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use tidelog_storage::{CatalogChange, ColumnType, TableDef};

use super::no_column;
use crate::ddl::{DdlPlan, Scope, fold, resolve, sequence};
use crate::error::{ErrorKind, SqlError};
use crate::parse::IdentityChange;

pub(in crate::ddl) fn alter(
    scope: Scope<'_>,
    if_exists: bool,
    table: &ObjectName,
    column: &Ident,
    change: &IdentityChange,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER TABLE");
    let old = match resolve(scope.catalog, scope.search_path, table) {
        Ok(table) => table,
        Err(error) if if_exists && error.kind == ErrorKind::UndefinedTable => {
            plan.skip(error);
            return Ok(plan);
        }
        Err(error) => return Err(error),
    };
    let mut table = TableDef::clone(old);
    let name = fold(column);
    let at = table
        .column_index(&name)
        .ok_or_else(|| no_column(&name, &table.name))?;
    let state = |what: &str| {
        let message = format!("column \"{name}\" of relation \"{}\" {what}", old.name);
        SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
    };
    let column = &mut table.columns[at];
    match change {
        IdentityChange::Add(identity, options) => {
            if !matches!(
                column.ty,
                ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8
            ) {
                let message = "identity column type must be smallint, integer, or bigint";
                return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
            }
            if !column.not_null {
                return Err(state(
                    "must be declared NOT NULL before identity can be added",
                ));
            }
            if column.identity.is_some() {
                return Err(state("is already an identity column"));
            }
            if column.default.is_some() || column.generated.is_some() {
                return Err(state("already has a default value"));
            }
            if column.sequence.is_some() {
                return Err(SqlError::unsupported("a second sequence OWNED BY a column"));
            }
            let (schema, sequence) = match &options.name {
                Some(given) => super::target(scope, given)?,
                None => {
                    let of = (old.schema.as_str(), old.name.as_str());
                    let made = sequence::name_for(scope, of, &name, &[]);
                    (old.schema.clone(), made)
                }
            };
            if sequence::is_taken(scope, &schema, &sequence) {
                return Err(super::duplicate_table(&sequence));
            }
            let id = scope.catalog.next_table_id;
            let made = sequence::made(id, (&schema, &sequence), column.ty, options)?;
            column.default = Some(sequence::default_of(&made));
            column.sequence = Some(id);
            column.identity = Some(*identity);
            plan.changes.push(CatalogChange::PutSequence(made));
        }
        IdentityChange::Set(identity, options) => {
            let own = column
                .sequence
                .and_then(|id| scope.catalog.sequence_by_id(id));
            let (Some(own), true) = (own, column.identity.is_some()) else {
                return Err(state("is not an identity column"));
            };
            column.identity = identity.or(column.identity);
            sequence::alter::options(scope, own, options, &mut plan)?;
        }
        IdentityChange::Drop { if_exists } => {
            if column.identity.is_none() {
                let error = state("is not an identity column");
                if !if_exists {
                    return Err(error);
                }
                plan.skip(error);
                return Ok(plan);
            }
            plan.changes.extend(sequence::drop_owned(scope, [&*column]));
            column.identity = None;
            column.sequence = None;
            column.default = None;
        }
        IdentityChange::DropExpression { if_exists } => {
            if column.generated.take().is_none() {
                let error = state("is not a stored generated column");
                if !if_exists {
                    return Err(error);
                }
                plan.skip(error);
                return Ok(plan);
            }
            table.bump_schema_version();
        }
    }
    if table != **old {
        plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    }
    Ok(plan)
}
