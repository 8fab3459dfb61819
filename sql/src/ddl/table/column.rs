//! The columns of a table: made, altered, dropped.

use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, ColumnDef as AstColumn, ColumnOption, Expr, GeneratedAs, Ident,
    ObjectName, SequenceOptions,
};
use tidelog_storage::catalog::Identity;
use tidelog_storage::{ColumnDef, ColumnId, ColumnType, Datum, SequenceDef, TableDef, TableKind};

use super::{
    COLUMNS_MAX, Key, duplicate_column, generated, multiple_keys, no_column, set_key,
    too_many_columns,
};
use crate::ddl::constraint::{self, Constraint};
use crate::ddl::{DdlPlan, Evaluate, Scope, enums, fold, parents, sequence, split};
use crate::error::{ErrorKind, SqlError};
use crate::parse::quoted;
use crate::parse::walk::Walk;
use crate::plan::places;
use crate::system::pg_proc;
use crate::{system, types};

/// Names that stand for a row's own properties, ours and PostgreSQL's.
pub(super) const SYSTEM_COLUMNS: [&str; 10] = [
    "_seq", "_user", "_op", "_old", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid",
];

pub(super) fn alter_column(
    scope: Scope<'_>,
    table: &mut TableDef,
    name: &str,
    operation: &AlterColumnOperation,
    evaluate: Evaluate<'_>,
) -> Result<Option<constraint::Finish>, SqlError> {
    let Some(index) = table.column_index(name) else {
        return Err(no_column(name, &table.name));
    };
    let keyed = table.deferrable_primary().map(|key| key.columns.clone());
    let keyed = keyed.unwrap_or_default();
    let column = &mut table.columns[index];
    let generated = |name: &str| {
        let message = format!(
            "column \"{name}\" of relation \"{}\" is a generated column",
            table.name
        );
        SqlError::new(ErrorKind::SyntaxError, message)
    };
    let identity = || {
        let message = format!(
            "column \"{name}\" of relation \"{}\" is an identity column",
            table.name
        );
        SqlError::new(ErrorKind::SyntaxError, message)
    };
    match operation {
        AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropNotNull
            if column.identity.is_some() =>
        {
            return Err(identity());
        }
        AlterColumnOperation::DropDefault if column.identity.is_some() => {
            return Err(
                identity().hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.")
            );
        }
        AlterColumnOperation::SetDefault { .. } if column.generated.is_some() => {
            return Err(generated(name));
        }
        AlterColumnOperation::DropDefault if column.generated.is_some() => {
            return Err(generated(name)
                .hint("Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead."));
        }
        AlterColumnOperation::SetNotNull => return Ok(constraint::set_not_null(table, name)),
        AlterColumnOperation::DropNotNull
            if keyed.contains(&column.id) || table.primary_key.contains(&column.id) =>
        {
            let message = format!("column \"{name}\" is in a primary key");
            return Err(SqlError::new(ErrorKind::InvalidTableDefinition, message));
        }
        AlterColumnOperation::DropNotNull => column.not_null = false,
        AlterColumnOperation::SetDefault { value } => {
            let written = written_default(scope, value, column.ty, &[], evaluate)?;
            column.default = Some(written).filter(|written| !is_null(written));
        }
        AlterColumnOperation::DropDefault => column.default = None,
        other => {
            return Err(SqlError::unsupported(format!(
                "ALTER TABLE … ALTER COLUMN … {}",
                other.to_string().to_uppercase()
            )));
        }
    }
    Ok(None)
}

pub(super) fn add_column(
    scope: Scope<'_>,
    table: &mut TableDef,
    ast: &AstColumn,
    if_not_exists: bool,
    evaluate: Evaluate<'_>,
    plan: &mut DdlPlan,
) -> Result<(Vec<Constraint>, Vec<constraint::Finish>), SqlError> {
    let id = table.next_column_id;
    let name = fold(&ast.name);
    let mut constraints = Vec::new();
    if table.column_index(&name).is_some() {
        let error = duplicate_column(&name, &table.name);
        if !if_not_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok((constraints, Vec::new()));
    }
    if usize::from(id.get()) > COLUMNS_MAX {
        return Err(too_many_columns());
    }
    let new = NewColumn {
        scope,
        schema: &table.schema,
        table: &table.name,
        sequence_ids_from: scope.catalog.next_table_id,
    };
    let mut sequences = Vec::new();
    let (mut column, key) = column(id, &new, ast, &mut constraints, &mut sequences, evaluate)?;
    if !sequences.is_empty() || column.default.as_deref().is_some_and(draws) {
        return Err(SqlError::unsupported(
            "ADD COLUMN whose rows would each draw from a sequence",
        ));
    }
    if key.is_some() {
        if table.has_primary() {
            return Err(multiple_keys(&table.name));
        }
        return Err(SqlError::unsupported("ADD COLUMN … PRIMARY KEY"));
    }
    let mut finish = Vec::new();
    match default_of(ast) {
        // Of each row it is another one, which is written into it.
        Some(default) if default.has_expr(is_volatile) => {
            if table.kind == TableKind::Stream {
                // Written again, its rows would live longer.
                let what = "ADD COLUMN with a volatile default of a STREAM table";
                return Err(SqlError::unsupported(what));
            }
            finish.push(constraint::Finish::Default(id));
        }
        Some(default) => column.missing = evaluate(default, column.ty)?,
        None => {}
    }
    // Whether there are rows, which would have NULL, is to be seen.
    let unproved = column.not_null && column.missing.is_null();
    column.not_null &= !unproved;
    // A dropped column's stored name is known no more: after a drop every new one gets its own.
    let dropped = table.columns.len() + 1 < usize::from(id.get());
    if dropped
        || table
            .columns
            .iter()
            .any(|other| other.stored_name == column.stored_name)
    {
        column.stored_name = suffixed(&column.name, id);
    }
    table.columns.push(column);
    table.next_column_id = ColumnId::new(id.get() + 1);
    table.bump_schema_version();
    if table.columns[table.columns.len() - 1].generated.is_some() {
        if table.kind == TableKind::Stream {
            // Written again, its rows would live longer.
            let what = "ADD COLUMN … GENERATED ALWAYS AS of a STREAM table";
            return Err(SqlError::unsupported(what));
        }
        generated::check(table)?;
        finish.push(constraint::Finish::Generate);
    }
    if unproved {
        finish.extend(constraint::set_not_null(table, &name));
    }
    Ok((constraints, finish))
}

pub(super) fn drop_column(
    scope: Scope<'_>,
    table: &mut TableDef,
    name: &str,
    (if_exists, cascades): (bool, bool),
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let Some(index) = table.column_index(name) else {
        let error = no_column(name, &table.name);
        if !if_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(());
    };
    let id = table.columns[index].id;
    generated::release(scope, table, name, cascades, plan)?;
    let index = table.index_of(id).expect("no other column was this one");
    if table.primary_key.contains(&table.columns[index].id) {
        return Err(
            SqlError::unsupported("DROP COLUMN of a primary key's column").detail(format!(
                "Column \"{name}\" is part of \"{}\".",
                table.primary_key_name
            )),
        );
    }
    parents::release_column(scope, table, id, cascades, plan)?;
    constraint::drop_with_column(table, id)?;
    let gone = table.columns.remove(index);
    plan.changes.extend(sequence::drop_owned(scope, [&gone]));
    table.options.cluster_by.retain(|column| *column != id);
    table.bump_schema_version();
    Ok(())
}

pub(super) fn rename_column(table: &mut TableDef, old: &str, new: String) -> Result<(), SqlError> {
    let index = table.column_index(old).ok_or_else(|| {
        SqlError::new(
            ErrorKind::UndefinedColumn,
            format!("column \"{old}\" does not exist"),
        )
    })?;
    check_column_name(&new)?;
    if table.column_index(&new).is_some() {
        return Err(duplicate_column(&new, &table.name));
    }
    constraint::rename_in_expressions(table, old, &new)?;
    table.columns[index].name = new;
    Ok(())
}

pub(super) fn default_of(ast: &AstColumn) -> Option<&Expr> {
    ast.options.iter().find_map(|option| match &option.option {
        ColumnOption::Default(expr) => Some(expr),
        _ => None,
    })
}

/// A column's definition, and the key that it alone makes; other constraints that stand behind it are added to the list.
pub(super) fn column(
    id: ColumnId,
    new: &NewColumn<'_>,
    ast: &AstColumn,
    constraints: &mut Vec<Constraint>,
    sequences: &mut Vec<SequenceDef>,
    evaluate: Evaluate<'_>,
) -> Result<(ColumnDef, Option<Key>), SqlError> {
    let table = new.table;
    let name = fold(&ast.name);
    check_column_name(&name)?;
    let (mut null, mut not_null, mut default, mut key) = (false, false, None, None);
    let (mut owned, mut identity, mut generated) = (None, None, None);
    let mut ty = match sequence::serial(&ast.data_type) {
        Some(ty) => {
            let made = new.sequence(&name, ty, &[], sequences)?;
            (default, owned, not_null) = (Some(made.1), Some(made.0), true);
            ty
        }
        None => types::column_type_among(&ast.data_type, &|schema, name| {
            enums::find(new.scope.catalog, new.scope.search_path, schema, name)
        })?,
    };
    for option in &ast.options {
        match &option.option {
            ColumnOption::Null => null = true,
            ColumnOption::NotNull => not_null = true,
            ColumnOption::Default(expr) => {
                let written = match written_default(new.scope, expr, ty, sequences, evaluate) {
                    Err(error) if error.kind == ErrorKind::OtherShape => {
                        ty = ty.elements().map_or(ty, ColumnType::Shaped);
                        written_default(new.scope, expr, ty, sequences, evaluate)?
                    }
                    written => written?,
                };
                if default.replace(written).is_some() {
                    return Err(SqlError::new(
                        ErrorKind::SyntaxError,
                        format!(
                            "multiple default values specified for column \"{name}\" of table \"{table}\""
                        ),
                    ));
                }
            }
            ColumnOption::PrimaryKey(constraint) => {
                let deferral = constraint::deferral(constraint.characteristics.as_ref())?;
                let constraint_name = option.name.as_ref().or(constraint.name.as_ref()).map(fold);
                set_key(
                    &mut key,
                    Key {
                        name: constraint_name,
                        columns: vec![name.clone()],
                        deferral: deferral.unwrap_or_default(),
                    },
                    table,
                )?;
            }
            ColumnOption::Unique(unique) => {
                let unique = Constraint::unique(unique, Some(&name))?;
                constraints.push(unique.named(option.name.as_ref()));
            }
            ColumnOption::ForeignKey(key) => {
                let key = Constraint::foreign_key(key, Some(&name))?;
                constraints.push(key.named(option.name.as_ref()));
            }
            ColumnOption::Check(check) => {
                constraints.push(Constraint::check(check)?.named(option.name.as_ref()));
            }
            ColumnOption::Generated {
                generation_expr: Some(expr),
                ..
            } => {
                let written = generated::written(new.scope, table, expr, ty)?;
                if generated.replace(written).is_some() {
                    return Err(SqlError::new(
                        ErrorKind::SyntaxError,
                        format!(
                            "multiple generation clauses specified for column \"{name}\" of table \"{table}\""
                        ),
                    ));
                }
            }
            ColumnOption::Generated {
                generated_as,
                sequence_options,
                ..
            } => {
                if !matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8) {
                    let message = "identity column type must be smallint, integer, or bigint";
                    return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
                }
                let options = sequence_options.as_deref().unwrap_or_default();
                let made = new.sequence(&name, ty, options, sequences)?;
                if default.replace(made.1).is_some() {
                    return Err(SqlError::new(
                        ErrorKind::SyntaxError,
                        format!(
                            "both default and identity specified for column \"{name}\" of table \"{table}\""
                        ),
                    ));
                }
                (owned, not_null) = (Some(made.0), true);
                identity = Some(match generated_as {
                    GeneratedAs::ByDefault => Identity::ByDefault,
                    _ => Identity::Always,
                });
            }
            ColumnOption::Identity(_) => {
                return Err(SqlError::unsupported("this form of IDENTITY"));
            }
            ColumnOption::Collation(collation) => check_collation(collation, ty)?,
            other => return Err(SqlError::unsupported(format!("column option {other}"))),
        }
    }
    if null && (not_null || key.is_some()) {
        return Err(SqlError::new(
            ErrorKind::SyntaxError,
            format!(
                "conflicting NULL/NOT NULL declarations for column \"{name}\" of table \"{table}\""
            ),
        ));
    }
    if generated.is_some() && (identity.is_some() || default.is_some()) {
        let other = if identity.is_some() {
            "identity"
        } else {
            "default"
        };
        let message = format!(
            "both {other} and generation expression specified for column \"{name}\" of table \"{table}\""
        );
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    // Only a stored name that ends in its column's id has a '#': so none is ever given twice.
    let stored_name = if name.contains('#') {
        suffixed(&name, id)
    } else {
        name.clone()
    };
    Ok((
        ColumnDef {
            id,
            name,
            stored_name,
            ty,
            not_null,
            once_null: false,
            default: default.filter(|written| !is_null(written)),
            missing: Datum::Null,
            sequence: owned,
            identity,
            generated,
        },
        key,
    ))
}

/// What a column's definition depends on.
pub(super) struct NewColumn<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    /// The id that the first sequence made for its columns gets.
    pub(super) sequence_ids_from: u32,
}

impl NewColumn<'_> {
    /// Makes the sequence of a column: its id, and the column's default.
    fn sequence(
        &self,
        column: &str,
        ty: ColumnType,
        options: &[SequenceOptions],
        sequences: &mut Vec<SequenceDef>,
    ) -> Result<(u32, String), SqlError> {
        let id = self.sequence_ids_from + sequences.len() as u32;
        let name = sequence::name_for(self.scope, (self.schema, self.table), column, sequences);
        let made = sequence::define(id, (self.schema, &name), ty, options)?;
        let default = sequence::default_of(&made);
        sequences.push(made);
        Ok((id, default))
    }
}

/// A default as it is kept. One that is a number of a sequence names it with its schema, so that it follows the sequence.
/// `made` are those that the same statement makes.
fn written_default(
    scope: Scope<'_>,
    expr: &Expr,
    ty: ColumnType,
    made: &[SequenceDef],
    evaluate: Evaluate<'_>,
) -> Result<String, SqlError> {
    let mut expr = expr.clone();
    enums::texts::qualify(&mut expr, scope);
    check_default(&expr)?;
    let written = expr.to_string();
    if !draws(&written) {
        evaluate(&expr, ty)?;
        return Ok(written);
    }
    let Some(name) = written.split('\'').nth(1) else {
        return Ok(written);
    };
    let parts = system::functions::name_parts(name);
    let parts: Vec<Ident> = parts.iter().map(|part| quoted(part)).collect();
    let name = ObjectName::from(parts);
    let drawn = match sequence::resolve(scope.catalog, scope.search_path, &name) {
        Ok(drawn) => &**drawn,
        Err(error) => (made.iter().find(|made| is_named(made, &name, scope))).ok_or(error)?,
    };
    Ok(match sequence::is_draw(&expr) {
        true => sequence::default_of(drawn),
        false => written,
    })
}

/// Errors for what a default may not have.
fn check_default(expr: &Expr) -> Result<(), SqlError> {
    let refused = |what: &str| {
        let message = format!("cannot use {what} in DEFAULT expression");
        Err(SqlError::new(ErrorKind::FeatureNotSupported, message))
    };
    places::check_expression(expr, "DEFAULT expressions")?;
    if expr.has_query() {
        return refused("subquery");
    }
    let names_column = |expr: &Expr| {
        matches!(
            expr,
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. }
        )
    };
    match expr.has_expr(names_column) {
        true => refused("column reference"),
        false => Ok(()),
    }
}

/// Whether a name means a sequence that the same statement makes.
fn is_named(made: &SequenceDef, name: &ObjectName, scope: Scope<'_>) -> bool {
    let Ok((schema, short)) = split(name) else {
        return false;
    };
    let in_schema = match schema {
        Some(schema) => made.schema == schema,
        None => scope.search_path.contains(&made.schema),
    };
    in_schema && made.name == short
}

/// Whether a default is none: a column without one is NULL.
fn is_null(written: &str) -> bool {
    written.eq_ignore_ascii_case("null")
}

/// Whether an expression is a call that may give something else each time.
fn is_volatile(expr: &Expr) -> bool {
    let Expr::Function(call) = expr else {
        return false;
    };
    let name = call.name.0.last().and_then(|name| name.as_ident());
    let name = name.map(fold).unwrap_or_default();
    name == "uuid_generate_v4" || pg_proc::functions(&name).iter().any(|of| of.volatile)
}

/// Whether a default draws from a sequence, which it may do only for a row.
pub(super) fn draws(default: &str) -> bool {
    default.to_ascii_lowercase().contains("nextval(")
}

fn suffixed(name: &str, id: ColumnId) -> String {
    format!("{name}#{}", id.get())
}

pub(super) fn check_column_name(name: &str) -> Result<(), SqlError> {
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(SqlError::new(
            ErrorKind::DuplicateColumn,
            format!("column name \"{name}\" conflicts with a system column name"),
        ));
    }
    Ok(())
}

/// Refuses what is no collation of a column's type, and any but those that sort by bytes: texts do so here.
fn check_collation(collation: &ObjectName, ty: ColumnType) -> Result<(), SqlError> {
    use ColumnType::{Array, Bpchar, Name, Text, Varchar};
    let element = match ty {
        Array(element) => element.into(),
        ty => ty,
    };
    if !matches!(element, Text | Varchar(_) | Bpchar(_) | Name) {
        let name = crate::types::bare_name(ty);
        let message = format!("collations are not supported by type {name}");
        return Err(SqlError::new(ErrorKind::DatatypeMismatch, message));
    }
    let (schema, name) = split(collation)?;
    let is_system = schema
        .as_deref()
        .is_none_or(|schema| schema == "pg_catalog");
    match is_system && matches!(name.as_str(), "C" | "POSIX" | "default" | "ucs_basic") {
        true => Ok(()),
        false => Err(SqlError::unsupported(format!("COLLATE {collation}"))),
    }
}
