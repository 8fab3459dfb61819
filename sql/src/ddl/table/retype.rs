//! ALTER TABLE … ALTER COLUMN … TYPE. Types that have every value of the old one are taken without writing a row again;
//! for all others the table gets new data, into which the rows go.
//!
//! Does not: compute or write rows (`constraints::rewrite`).

use datafusion::sql::sqlparser::ast::{DataType, Expr};
use tidelog_storage::widen::{keeps_key_bytes, value, widens};
use tidelog_storage::{ColumnDef, ColumnId, ColumnType, Datum, TableDef, TableId, TableKind};

use super::column::{SYSTEM_COLUMNS, draws};
use super::{generated, no_column, parents, sequence};
use crate::constraints::generated::{assigns, is_untyped};
use crate::ddl::constraint::{check_types, columns_of, computed_over};
use crate::ddl::index::check_sortable_type;
use crate::ddl::table::like::written_type;
use crate::ddl::{DdlPlan, Evaluate, Rewrite, Scope, enums, fold};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{SequenceOptions, identifier, parse_expression};
use crate::types;

/// The columns that one ALTER TABLE gives other types.
#[derive(Default)]
pub(super) struct Retyped {
    columns: Vec<ColumnId>,
    /// What gives their values, where that is no assignment of the old ones.
    using: Vec<(ColumnId, Expr)>,
    /// Whether the rows are to be written again.
    rewrites: bool,
}

impl Retyped {
    /// Gives a column another type.
    pub(super) fn set_type(
        &mut self,
        scope: Scope<'_>,
        (old, table): (&TableDef, &mut TableDef),
        name: &str,
        (data_type, using): (&DataType, Option<&Expr>),
        evaluate: Evaluate<'_>,
        plan: &mut DdlPlan,
    ) -> Result<(), SqlError> {
        let Some(at) = table.column_index(name) else {
            if SYSTEM_COLUMNS.contains(&name) {
                let message = format!("cannot alter system column \"{name}\"");
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
            }
            return Err(no_column(name, &table.name));
        };
        if sequence::serial(data_type).is_some() {
            let message = format!(
                "type \"{}\" does not exist",
                data_type.to_string().to_lowercase()
            );
            return Err(SqlError::new(ErrorKind::UndefinedObject, message));
        }
        let to = types::column_type_among(data_type, &|schema, name| {
            enums::find(scope.catalog, scope.search_path, schema, name)
        })?;
        let (id, from) = (table.columns[at].id, table.columns[at].ty);
        let generates = table.columns[at].generated.is_some();
        if generates && using.is_some() {
            let message = "cannot specify USING when altering type of generated column";
            let detail = format!("Column \"{name}\" is a generated column.");
            return Err(SqlError::new(ErrorKind::InvalidColumnDefinition, message).detail(detail));
        }
        if self.columns.contains(&id) {
            let message = format!("cannot alter type of column \"{name}\" twice");
            return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
        }
        self.columns.push(id);
        if let Some(using) = using {
            columns_of(old, using, "transform expression")?;
        } else if !assigns(from, to) {
            let message = format!(
                "column \"{name}\" cannot be cast automatically to type {}",
                types::bare_name(to)
            );
            let error = SqlError::new(ErrorKind::DatatypeMismatch, message);
            return Err(match generates {
                true => error,
                false => error.hint(format!(
                    "You might need to specify \"USING {}::{}\".",
                    identifier(name),
                    types::name(to)
                )),
            });
        }
        generated::check_type_change(table, name)?;
        let is_same = using.is_none_or(|using| casts(using, name, to));
        if is_same && from == to {
            return Ok(());
        }
        let is_kept = is_same
            && widens(from, to)
            && (!is_keyed(scope, old, table, id) || keeps_key_bytes(from, to));
        if !is_kept {
            if table.kind == TableKind::Stream {
                // Written again, its rows would live longer.
                let (from, to) = (types::name(from), types::name(to));
                let what =
                    format!("changing column \"{name}\" of a STREAM table from {from} to {to}");
                return Err(SqlError::unsupported(what));
            }
            self.rewrites = true;
            self.using.extend(using.map(|using| (id, using.clone())));
        }
        set_default(
            scope,
            &mut table.columns[at],
            (data_type, to),
            evaluate,
            plan,
        )?;
        let column = &mut table.columns[at];
        column.ty = to;
        column.missing = match is_kept {
            true => value(column.missing.as_ref(), to).to_owned(),
            // No row of the new data is from before the column.
            false => Datum::Null,
        };
        table.bump_schema_version();
        check_keys(scope, old, table, id)
    }

    /// Gives the table new data where that is asked for.
    pub(super) fn settle(self, scope: Scope<'_>, table: &mut TableDef, plan: &mut DdlPlan) {
        if !self.rewrites {
            return;
        }
        let from = table.id;
        table.id = TableId::new(scope.catalog.next_table_id);
        plan.all_or_nothing = true;
        plan.rewrites.push(Rewrite {
            from,
            to: table.id,
            columns: self.columns,
            using: self.using,
            label: None,
        });
    }
}

/// Gives a column the default that it has as one of another type; an identity column's sequence gets the type.
fn set_default(
    scope: Scope<'_>,
    column: &mut ColumnDef,
    (data_type, to): (&DataType, ColumnType),
    evaluate: Evaluate<'_>,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    if column.identity.is_some()
        && let Some(owned) = column.sequence
        && let Some(owned) = scope.catalog.sequence_by_id(owned)
    {
        if !matches!(to, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8) {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
        }
        let ty = SequenceOptions {
            ty: Some(data_type.clone()),
            ..SequenceOptions::default()
        };
        return sequence::alter::options(scope, owned, &ty, plan);
    }
    let Some(written) = &column.default else {
        return Ok(());
    };
    let refuse = || {
        let message = format!(
            "default for column \"{}\" cannot be cast automatically to type {}",
            column.name,
            types::bare_name(to)
        );
        SqlError::new(ErrorKind::DatatypeMismatch, message)
    };
    if draws(written) {
        return match assigns(ColumnType::Int8, to) {
            true => Ok(()),
            false => Err(refuse()),
        };
    }
    let (expr, from) = (parse_expression(written)?, column.ty);
    if !is_untyped(&expr) {
        return match evaluate(&expr, to) {
            Err(error) if error.kind == ErrorKind::DatatypeMismatch => Err(refuse()),
            // Which values the column takes is seen when there is a row.
            _ => Ok(()),
        };
    }
    // A literal that says no type has had the column's.
    if !assigns(from, to) {
        return Err(refuse());
    }
    column.default = Some(format!("CAST({written} AS {})", written_type(from)));
    Ok(())
}

/// Whether the bytes of a column's values stand in a key or index, or another key is compared with them.
fn is_keyed(scope: Scope<'_>, old: &TableDef, table: &TableDef, id: ColumnId) -> bool {
    let mut foreign = table.foreign_keys.iter();
    table.primary_key.contains(&id)
        || (table.indexes.iter()).any(|index| index.columns.contains(&id))
        || !computed_over(table, id).is_empty()
        || foreign.any(|key| key.columns.contains(&id))
        || parents::referencing_keys(scope, old).any(|(_, key)| key.parent_columns.contains(&id))
}

/// Checks that the keys and indexes that a column is in can be of its type.
fn check_keys(
    scope: Scope<'_>,
    old: &TableDef,
    table: &TableDef,
    id: ColumnId,
) -> Result<(), SqlError> {
    let ty = table.type_of(id).expect("the column is there");
    let mut indexes = table.indexes.iter();
    let sorts = table.primary_key.contains(&id)
        || table.options.cluster_by.contains(&id)
        || indexes.any(|index| index.columns.contains(&id));
    if sorts {
        check_sortable_type(ty)?;
    }
    for key in &table.foreign_keys {
        let is_own = key.parent == (old.schema.clone(), old.name.clone());
        let parent = match scope.catalog.table(&key.parent.0, &key.parent.1) {
            Some(parent) if !is_own => parent,
            _ => table,
        };
        if key.columns.contains(&id) || is_own && key.parent_columns.contains(&id) {
            let (own, theirs) = (&key.columns, &key.parent_columns);
            check_types(table, own, parent, theirs, &key.name)?;
        }
    }
    let of_others = parents::referencing_keys(scope, old).filter(|(child, _)| child.id != old.id);
    for (child, key) in of_others.filter(|(_, key)| key.parent_columns.contains(&id)) {
        check_types(child, &key.columns, table, &key.parent_columns, &key.name)?;
    }
    Ok(())
}

/// Whether an expression is the column, or its cast to this type.
fn casts(expr: &Expr, column: &str, to: ColumnType) -> bool {
    match expr {
        Expr::Nested(inner) => casts(inner, column, to),
        Expr::Identifier(name) => fold(name) == column,
        Expr::Cast {
            expr, data_type, ..
        } => types::column_type(data_type).is_ok_and(|ty| ty == to) && casts(expr, column, to),
        _ => false,
    }
}
