//! Constraints of tables: UNIQUE, CHECK, FOREIGN KEY.
//!
//! Owns: reading their clauses, adding them to and taking them off a definition.
//! Does not: check rows. What is added to a table that is there comes as not ready, with a `Finish` that says
//! what is to be done about its rows.

mod staged;

pub(super) use staged::{add_not_valid, add_using_index, alter, validate};

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, CheckConstraint, ConstraintCharacteristics, DeferrableInitial, Expr,
    ForeignKeyConstraint, Ident, IndexOption, NullsDistinctOption, ObjectName, TableConstraint,
    UniqueConstraint,
};
use tidelog_storage::catalog::{
    CheckDef, ColumnOrder, Deferral, ForeignKeyDef, IndexDef, IndexId, ReferentialAction,
    TablePart, UniqueKey,
};
use tidelog_storage::{ColumnId, ColumnType, TableDef, TableKind};

use super::index::{column_named, key_columns, plain_column, put_index};
use super::names::{
    chosen_name, column_names, constraint_name, free_relation_name, index_name, made_name,
    own_columns,
};
use super::parents::release_key;
use super::table::generated::written;
use super::{DdlPlan, Scope, find, fold, resolve, split};
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{identifier, parse_expression, quoted};
use crate::plan::places;
use crate::{precision, types};

/// What is left to do once a constraint or index stands in the catalog, and new rows obey it.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// The index is to be filled; then it is the table's primary key, if `primary`.
    Index {
        /// The index.
        index: IndexId,
        /// Whether it becomes the primary key.
        primary: bool,
    },
    /// Each row is to get a value of the column's default, which is volatile. Comes first: they are written again.
    Default(ColumnId),
    /// The rows are to get the values of columns that are generated. Comes before what is checked: they are written again.
    Generate,
    /// The rows are to be checked.
    Check(String),
    /// The rows are to be checked for NULL in the column, by the check of this name; then the column is NOT NULL.
    NotNull(ColumnId, String),
    /// The rows are to be checked for parents.
    ForeignKey(String),
    /// The rows are to be checked by a constraint that stays in any case (VALIDATE CONSTRAINT).
    Validate(String),
    /// The unique index, whose columns have no NULLs then, becomes the primary key.
    Promote(IndexId),
    /// The column came with the same statement, and goes if what is to be checked before fails.
    Column(ColumnId),
}

/// A constraint as it is written, but for PRIMARY KEY.
pub(super) enum Constraint {
    Unique {
        name: Option<String>,
        columns: Vec<String>,
        included: Vec<String>,
        deferral: Deferral,
        /// Whether it is a PRIMARY KEY, which is deferrable then.
        primary: bool,
    },
    Check {
        name: Option<String>,
        condition: Box<Expr>,
    },
    ForeignKey {
        name: Option<String>,
        columns: Vec<String>,
        parent: ObjectName,
        parent_columns: Vec<String>,
        on_delete: ReferentialAction,
        on_update: ReferentialAction,
        deferral: Deferral,
    },
}

/// The columns of INCLUDE, which stand in an option of the key.
pub(super) fn included(options: &[IndexOption]) -> Result<Vec<String>, SqlError> {
    let mut names = Vec::new();
    for option in options {
        let IndexOption::Comment(written) = option else {
            return Err(SqlError::unsupported("this form of a key"));
        };
        let parts = match parse_expression(&format!("({written})"))? {
            Expr::Tuple(parts) => parts,
            Expr::Nested(only) => vec![*only],
            _ => Vec::new(),
        };
        for part in parts {
            match part {
                Expr::Identifier(name) => names.push(fold(&name)),
                _ => return Err(SqlError::unsupported("an expression in INCLUDE")),
            }
        }
    }
    Ok(names)
}

impl Constraint {
    /// A table constraint; `None` for PRIMARY KEY.
    pub(super) fn of_table(constraint: &TableConstraint) -> Result<Option<Constraint>, SqlError> {
        Ok(Some(match constraint {
            TableConstraint::Unique(unique) => Constraint::unique(unique, None)?,
            TableConstraint::Check(check) => Constraint::check(check)?,
            TableConstraint::ForeignKey(key) => Constraint::foreign_key(key, None)?,
            TableConstraint::PrimaryKey(_) => return Ok(None),
            TableConstraint::PrimaryKeyUsingIndex(_) | TableConstraint::UniqueUsingIndex(_) => {
                return Err(SqlError::unsupported("a constraint USING INDEX"));
            }
            TableConstraint::Index(_) | TableConstraint::FulltextOrSpatial(_) => {
                return Err(SqlError::unsupported("INDEX in CREATE TABLE"));
            }
        }))
    }

    /// UNIQUE, of the column when it is written behind one.
    pub(super) fn unique(
        unique: &UniqueConstraint,
        column: Option<&str>,
    ) -> Result<Constraint, SqlError> {
        if unique.nulls_distinct == NullsDistinctOption::NotDistinct {
            return Err(SqlError::unsupported("UNIQUE NULLS NOT DISTINCT"));
        }
        let mut columns = column.map(str::to_string).into_iter().collect::<Vec<_>>();
        for column in &unique.columns {
            columns.push(plain_column(column)?.0);
        }
        Ok(Constraint::Unique {
            name: unique.name.as_ref().map(fold),
            columns,
            included: included(&unique.index_options)?,
            deferral: deferral(unique.characteristics.as_ref())?.unwrap_or_default(),
            primary: false,
        })
    }

    pub(super) fn check(check: &CheckConstraint) -> Result<Constraint, SqlError> {
        if check.enforced == Some(false) {
            return Err(SqlError::unsupported("CHECK … NOT ENFORCED"));
        }
        Ok(Constraint::Check {
            name: check.name.as_ref().map(fold),
            condition: check.expr.clone(),
        })
    }

    /// FOREIGN KEY, or REFERENCES behind a column.
    pub(super) fn foreign_key(
        key: &ForeignKeyConstraint,
        column: Option<&str>,
    ) -> Result<Constraint, SqlError> {
        if key
            .match_kind
            .is_some_and(|kind| kind != ast::ConstraintReferenceMatchKind::Simple)
        {
            return Err(SqlError::unsupported("MATCH FULL and MATCH PARTIAL"));
        }
        let names = |idents: &[Ident]| idents.iter().map(fold).collect::<Vec<_>>();
        let columns = column.map_or_else(|| names(&key.columns), |name| vec![name.to_string()]);
        Ok(Constraint::ForeignKey {
            name: key.name.as_ref().map(fold),
            columns,
            parent: key.foreign_table.clone(),
            parent_columns: names(&key.referred_columns),
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            deferral: deferral(key.characteristics.as_ref())?.unwrap_or_default(),
        })
    }

    /// The same with the name that a column constraint has in front of it.
    pub(super) fn named(mut self, given: Option<&Ident>) -> Constraint {
        if let Some(given) = given {
            let (Constraint::Unique { name, .. }
            | Constraint::Check { name, .. }
            | Constraint::ForeignKey { name, .. }) = &mut self;
            *name = Some(fold(given));
        }
        self
    }
}

fn action(action: Option<ast::ReferentialAction>) -> ReferentialAction {
    match action {
        None | Some(ast::ReferentialAction::NoAction) => ReferentialAction::NoAction,
        Some(ast::ReferentialAction::Restrict) => ReferentialAction::Restrict,
        Some(ast::ReferentialAction::Cascade) => ReferentialAction::Cascade,
        Some(ast::ReferentialAction::SetNull) => ReferentialAction::SetNull,
        Some(ast::ReferentialAction::SetDefault) => ReferentialAction::SetDefault,
    }
}

/// When a constraint is checked, if its clause says so.
pub(super) fn deferral(
    characteristics: Option<&ConstraintCharacteristics>,
) -> Result<Option<Deferral>, SqlError> {
    let Some(given) = characteristics else {
        return Ok(None);
    };
    if given.enforced.is_some() {
        return Err(SqlError::unsupported("ENFORCED"));
    }
    let deferred = given.initially == Some(DeferrableInitial::Deferred);
    match given.deferrable {
        Some(false) if deferred => {
            let message = "constraint declared INITIALLY DEFERRED must be DEFERRABLE";
            Err(SqlError::new(ErrorKind::SyntaxError, message))
        }
        Some(true) | None if deferred => Ok(Some(Deferral::InitiallyDeferred)),
        Some(true) => Ok(Some(Deferral::InitiallyImmediate)),
        _ => Ok(Some(Deferral::NotDeferrable)),
    }
}

/// Adds a constraint to a definition: ready on a table that is just made, otherwise with what finishes it.
pub(super) fn add(
    scope: Scope<'_>,
    table: &mut TableDef,
    constraint: Constraint,
    ready: bool,
) -> Result<Finish, SqlError> {
    let finish = match constraint {
        Constraint::Unique {
            name,
            columns,
            included,
            deferral,
            primary,
        } => {
            if deferral != Deferral::NotDeferrable && table.kind == TableKind::Stream {
                return Err(SqlError::unsupported(
                    "a deferrable constraint of a STREAM table",
                ));
            }
            let columns = own_columns(table.kind, columns);
            let what = if primary { "primary key" } else { "unique" };
            let columns = key_columns(table, &columns, what)?;
            let orders = vec![ColumnOrder::default(); columns.len()];
            let included = included.iter().map(|name| column_named(table, name));
            let included = included.collect::<Result<Vec<_>, _>>()?;
            let called = column_names(table, &[columns.as_slice(), &included].concat());
            let name = match (primary, name) {
                (true, None) => chosen_name(scope, table, &super::table::key_name(&table.name)),
                (_, name) => index_name(scope, table, name, &called, "key")?,
            };
            let index = put_index(table, name, columns, orders, true, ready);
            (index.constraint, index.deferral) = (true, deferral);
            index.primary = primary;
            index.included = included;
            Finish::Index {
                index: index.id,
                primary: false,
            }
        }
        Constraint::Check { name, condition } => {
            let columns = columns_of(table, &condition, "check constraint")?;
            let label = match columns.as_slice() {
                [only] => made_name(&table.name, only, "check"),
                _ => made_name(&table.name, "", "check"),
            };
            let name = constraint_name(table, name, label)?;
            let condition = written(scope, &table.name, &condition, ColumnType::Bool)?;
            table.checks.push(CheckDef {
                name: name.clone(),
                condition,
                ready,
                not_valid: false,
            });
            Finish::Check(name)
        }
        Constraint::ForeignKey {
            name,
            columns,
            parent,
            parent_columns,
            on_delete,
            on_update,
            deferral,
        } => {
            let columns = own_columns(table.kind, columns);
            let parent_columns = own_columns(table.kind, parent_columns);
            let ids = referencing(table, &columns)?;
            check_generated(table, &ids, on_delete, on_update)?;
            let label = made_name(&table.name, &columns.join("_"), "fkey");
            let name = constraint_name(table, name, label)?;
            let (schema, parent_name) = split(&parent)?;
            let itself = parent_name == table.name
                && schema.as_ref().is_none_or(|schema| *schema == table.schema)
                && find(
                    scope.catalog,
                    scope.search_path,
                    schema.as_deref(),
                    &parent_name,
                )
                .is_none_or(|found| found.schema == table.schema);
            let parent = match itself {
                true => &*table,
                false => resolve(scope.catalog, scope.search_path, &parent)?.as_ref(),
            };
            super::temp::check_reference(&table.schema, &parent.schema)?;
            let parent_ids = referenced(parent, &parent_columns, ids.len())?;
            check_schemes(table, parent)?;
            check_types(table, &ids, parent, &parent_ids, &name)?;
            let key = ForeignKeyDef {
                name: name.clone(),
                columns: ids,
                parent: (parent.schema.clone(), parent.name.clone()),
                parent_columns: parent_ids,
                on_delete,
                on_update,
                deferral,
                ready,
                not_valid: false,
            };
            table.foreign_keys.push(key);
            Finish::ForeignKey(name)
        }
    };
    if !ready {
        table.bump_schema_version();
    }
    Ok(finish)
}

/// Whether a check stands in for a column's NOT NULL, as long as the rows are being checked: no catalog shows it.
pub(crate) fn is_implied(name: &str) -> bool {
    name.starts_with('\u{1}')
}

/// Makes a column NOT NULL once its rows are checked.
pub(super) fn set_not_null(table: &mut TableDef, column: &str) -> Option<Finish> {
    let column = &table.columns[table.column_index(column)?];
    if column.not_null {
        return None;
    }
    // No identifier that a client writes is empty: the name is free.
    let (id, name) = (column.id, format!("\u{1}{}", column.id.get()));
    let condition = format!("{} IS NOT NULL", quoted(&column.name));
    table.checks.push(CheckDef {
        name: name.clone(),
        condition,
        ready: false,
        not_valid: false,
    });
    table.bump_schema_version();
    Some(Finish::NotNull(id, name))
}

/// Makes columns the primary key once its index is filled.
pub(super) fn add_primary_key(
    scope: Scope<'_>,
    table: &mut TableDef,
    key: super::table::Key,
) -> Result<Vec<Finish>, SqlError> {
    if table.has_primary() {
        return Err(super::table::multiple_keys(&table.name));
    }
    let deferred = key.deferred();
    let super::table::Key { name, columns, .. } = key;
    let columns = own_columns(table.kind, columns);
    let ids = key_columns(table, &columns, "primary key")?;
    if let Some(constraint) = deferred {
        let not_null = columns.iter();
        let mut finish: Vec<Finish> = not_null.filter_map(|c| set_not_null(table, c)).collect();
        finish.push(add(scope, table, constraint, false)?);
        return Ok(finish);
    }
    let name = match name {
        Some(name) => free_relation_name(scope, table, name)?,
        None => chosen_name(scope, table, &super::table::key_name(&table.name)),
    };
    let not_null = columns.iter();
    let mut finish: Vec<Finish> = not_null.filter_map(|c| set_not_null(table, c)).collect();
    let orders = vec![ColumnOrder::default(); ids.len()];
    let index = put_index(table, name, ids, orders, true, false).id;
    table.bump_schema_version();
    finish.push(Finish::Index {
        index,
        primary: true,
    });
    Ok(finish)
}

fn referencing(table: &TableDef, names: &[String]) -> Result<Vec<ColumnId>, SqlError> {
    let id = |name: &String| {
        let index = table.column_index(name).ok_or_else(|| {
            let message =
                format!("column \"{name}\" referenced in foreign key constraint does not exist");
            SqlError::new(ErrorKind::UndefinedColumn, message)
        })?;
        Ok(table.columns[index].id)
    };
    names.iter().map(id).collect()
}

/// The referenced columns: those that are named, or the primary key's.
fn referenced(
    parent: &TableDef,
    names: &[String],
    count: usize,
) -> Result<Vec<ColumnId>, SqlError> {
    let ids = match names {
        [] if parent.deferrable_primary().is_some() => {
            let message = format!(
                "cannot use a deferrable primary key for referenced table \"{}\"",
                parent.name
            );
            let kind = ErrorKind::ObjectNotInPrerequisiteState;
            return Err(SqlError::new(kind, message));
        }
        [] if parent.primary_key.is_empty() => {
            let message = format!(
                "there is no primary key for referenced table \"{}\"",
                parent.name
            );
            return Err(SqlError::new(ErrorKind::UndefinedObject, message));
        }
        [] => parent.primary_key.clone(),
        names => referencing(parent, names)?,
    };
    if ids.len() != count {
        let message = "number of referencing and referenced columns for foreign key disagree";
        return Err(SqlError::new(ErrorKind::InvalidForeignKey, message));
    }
    let same = |columns: &[ColumnId]| {
        columns.len() == ids.len() && columns.iter().all(|column| ids.contains(column))
    };
    let ready = |id: IndexId| {
        !parent
            .indexes
            .iter()
            .any(|index| index.id == id && !index.ready)
    };
    let is_meant =
        |key: &UniqueKey<'_>| key.predicate.is_none() && same(key.columns) && ready(key.id);
    let meant: Vec<UniqueKey<'_>> = parent.unique_keys().filter(is_meant).collect();
    if meant.is_empty() {
        let message = format!(
            "there is no unique constraint matching given keys for referenced table \"{}\"",
            parent.name
        );
        return Err(SqlError::new(ErrorKind::InvalidForeignKey, message));
    }
    if meant.iter().all(UniqueKey::is_deferrable) {
        let message = format!(
            "cannot use a deferrable unique constraint for referenced table \"{}\"",
            parent.name
        );
        let kind = ErrorKind::ObjectNotInPrerequisiteState;
        return Err(SqlError::new(kind, message));
    }
    Ok(ids)
}

/// 42601 for an action that would write to a generated column.
fn check_generated(
    table: &TableDef,
    columns: &[ColumnId],
    on_delete: ReferentialAction,
    on_update: ReferentialAction,
) -> Result<(), SqlError> {
    use ReferentialAction::{Cascade, SetDefault, SetNull};
    let is_generated = |id: &ColumnId| {
        let at = table.index_of(*id);
        at.is_some_and(|at| table.columns[at].generated.is_some())
    };
    if !columns.iter().any(is_generated) {
        return Ok(());
    }
    let what = match (on_update, on_delete) {
        (SetNull | SetDefault | Cascade, _) => "UPDATE",
        (_, SetNull | SetDefault) => "DELETE",
        _ => return Ok(()),
    };
    let message =
        format!("invalid ON {what} action for foreign key constraint containing generated column");
    Err(SqlError::new(ErrorKind::SyntaxError, message))
}

fn check_schemes(table: &TableDef, parent: &TableDef) -> Result<(), SqlError> {
    if table.kind == parent.kind && table.kind != TableKind::Stream {
        return Ok(());
    }
    let kind = |table: &TableDef| match table.kind {
        TableKind::User => "a user table",
        TableKind::Shared => "a shared table",
        TableKind::Stream => "a stream table",
    };
    Err(SqlError::unsupported(format!(
        "a FOREIGN KEY from {} to {}",
        kind(table),
        kind(parent)
    ))
    .hint("Both tables must be user tables, or both shared ones."))
}

pub(super) fn check_types(
    table: &TableDef,
    columns: &[ColumnId],
    parent: &TableDef,
    parent_columns: &[ColumnId],
    name: &str,
) -> Result<(), SqlError> {
    use ColumnType::{Int2, Int4, Int8, Numeric, Text, Varchar};
    let family = |ty| match ty {
        Int2 | Int4 | Int8 => Int8,
        Text | Varchar(_) => Text,
        Numeric(_) => Numeric(None),
        other => precision::plain(other),
    };
    let column = |table: &TableDef, id: ColumnId| {
        let index = table.index_of(id).expect("was found by name");
        (table.columns[index].name.clone(), table.columns[index].ty)
    };
    for (own, theirs) in columns.iter().zip(parent_columns) {
        let ((own, ty), (theirs, parent_ty)) = (column(table, *own), column(parent, *theirs));
        if family(ty) != family(parent_ty) {
            let message = format!("foreign key constraint \"{name}\" cannot be implemented");
            let error = SqlError::new(ErrorKind::DatatypeMismatch, message);
            return Err(error.detail(format!(
                "Key columns \"{own}\" and \"{theirs}\" are of incompatible types: {} and {}.",
                types::bare_name(ty),
                types::bare_name(parent_ty)
            )));
        }
    }
    Ok(())
}

/// The columns that an expression of a definition names; an error for what it may not have. `place` says where it stands.
pub(crate) fn columns_of(
    table: &TableDef,
    condition: &Expr,
    place: &str,
) -> Result<Vec<String>, SqlError> {
    struct Names<'a> {
        table: &'a TableDef,
        place: &'a str,
        names: Vec<String>,
    }
    impl ast::Visitor for Names<'_> {
        type Break = SqlError;

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<SqlError> {
            let message = format!("cannot use subquery in {}", self.place);
            ControlFlow::Break(SqlError::new(ErrorKind::FeatureNotSupported, message))
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
            let name = match expr {
                Expr::Identifier(name) => fold(name),
                Expr::CompoundIdentifier(parts) => {
                    return match parts.as_slice() {
                        [table, name] if fold(table) == self.table.name => {
                            self.names.push(fold(name));
                            ControlFlow::Continue(())
                        }
                        _ => ControlFlow::Break(SqlError::unsupported(format!(
                            "the name {expr} in a {}",
                            self.place
                        ))),
                    };
                }
                _ => return ControlFlow::Continue(()),
            };
            if self.table.column_index(&name).is_none() {
                let message = format!("column \"{name}\" does not exist");
                return ControlFlow::Break(SqlError::new(ErrorKind::UndefinedColumn, message));
            }
            self.names.push(name);
            ControlFlow::Continue(())
        }
    }
    places::check_expression(condition, &format!("{place}s"))?;
    let mut names = Names {
        table,
        place,
        names: Vec::new(),
    };
    if let ControlFlow::Break(error) = condition.walk(&mut names) {
        return Err(error);
    }
    names.names.sort_unstable();
    names.names.dedup();
    Ok(names.names)
}

/// The columns that the condition of a CHECK is about.
pub(crate) fn checked_columns(table: &TableDef, condition: &str) -> Vec<ColumnId> {
    let names = parse_expression(condition)
        .and_then(|condition| columns_of(table, &condition, "check constraint"));
    let ids = names.unwrap_or_default().into_iter();
    let mut ids: Vec<ColumnId> = ids
        .filter_map(|name| Some(table.columns[table.column_index(&name)?].id))
        .collect();
    ids.sort_unstable();
    ids
}

/// Gives a renamed column its new name in the conditions of the table's checks, and where others are generated from it.
pub(super) fn rename_in_expressions(
    table: &mut TableDef,
    old: &str,
    new: &str,
) -> Result<(), SqlError> {
    struct Rename<'a> {
        old: &'a str,
        new: &'a str,
    }
    impl ast::VisitorMut for Rename<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let name = match expr {
                Expr::Identifier(name) => Some(name),
                Expr::CompoundIdentifier(parts) => parts.last_mut(),
                _ => None,
            };
            if let Some(name) = name.filter(|name| fold(name) == self.old) {
                *name = match identifier(self.new) == self.new {
                    true => Ident::new(self.new),
                    false => quoted(self.new),
                };
            }
            ControlFlow::Continue(())
        }
    }
    let generated = table.columns.iter_mut();
    let generated = generated.filter_map(|column| column.generated.as_mut());
    let conditions = table.checks.iter_mut().map(|check| &mut check.condition);
    let computed = table.computed.iter_mut().map(|of| &mut of.expression);
    for written in conditions.chain(generated).chain(computed) {
        let mut expression = parse_expression(written)?;
        let _ = expression.walk_mut(&mut Rename { old, new });
        *written = expression.to_string();
    }
    Ok(())
}

/// Takes off what a dropped column was part of, as PostgreSQL does without being asked.
pub(super) fn drop_with_column(table: &mut TableDef, column: ColumnId) -> Result<(), SqlError> {
    let gone = computed_over(table, column);
    table.indexes.retain(|index| {
        let mut all = index.columns.iter().chain(&index.included);
        let is_gone = |id: &ColumnId| *id == column || gone.contains(id);
        !all.any(is_gone) && !index.predicate.is_some_and(|id| is_gone(&id))
    });
    table.prune_computed();
    table
        .foreign_keys
        .retain(|key| !key.columns.contains(&column));
    let name = table
        .index_of(column)
        .map(|at| table.columns[at].name.clone());
    let mut kept = Vec::new();
    for check in std::mem::take(&mut table.checks) {
        let columns = columns_of(
            table,
            &parse_expression(&check.condition)?,
            "check constraint",
        )?;
        if !name.as_ref().is_some_and(|name| columns.contains(name)) {
            kept.push(check);
        }
    }
    table.checks = kept;
    Ok(())
}

/// The expressions of indexes that are over a column.
pub(super) fn computed_over(table: &TableDef, column: ColumnId) -> Vec<ColumnId> {
    let name = table.index_of(column).map(|at| &table.columns[at].name);
    let over = |expression: &str| {
        let columns = parse_expression(expression)
            .and_then(|expr| columns_of(table, &expr, "index expression"));
        columns.is_ok_and(|columns| name.is_some_and(|name| columns.contains(name)))
    };
    let computed = table.computed.iter().filter(|of| over(&of.expression));
    computed.map(|of| of.id).collect()
}

/// DROP CONSTRAINT: whether there was one of this name.
pub(super) fn drop_constraint(
    scope: Scope<'_>,
    table: &mut TableDef,
    name: &str,
    cascades: bool,
    plan: &mut DdlPlan,
) -> Result<bool, SqlError> {
    let dropped = table.unique_keys().find(|key| key.name == name);
    let is_index = |index: &IndexDef| index.name == name && !index.constraint;
    if let Some(key) = dropped
        && !table.indexes.iter().any(is_index)
    {
        let columns = key.columns.to_vec();
        let what = format!("constraint {name} on table {}", identifier(&table.name));
        let on = format!("index {}", identifier(name));
        release_key(scope, table, &columns, cascades, (&what, &on), plan)?;
        if !table.primary_key.is_empty() && table.primary_key_name == name {
            table.primary_key.clear();
            table.primary_key_name.clear();
            // The columns stay NOT NULL, as they do in PostgreSQL.
        } else {
            table.indexes.retain(|index| index.name != name);
        }
        table.bump_schema_version();
        return Ok(true);
    }
    let before = (table.checks.len(), table.foreign_keys.len());
    table.checks.retain(|check| check.name != name);
    table.foreign_keys.retain(|key| key.name != name);
    let dropped = before != (table.checks.len(), table.foreign_keys.len());
    if dropped {
        table.bump_schema_version();
    }
    Ok(dropped)
}

/// ALTER TABLE … RENAME CONSTRAINT.
pub(super) fn rename_constraint(
    scope: Scope<'_>,
    table: &mut TableDef,
    old: &str,
    new: String,
) -> Result<(), SqlError> {
    let is_key = table.unique_keys().any(|key| key.name == old);
    let new = match is_key {
        true => free_relation_name(scope, table, new)?,
        false => constraint_name(table, Some(new), String::new())?,
    };
    let renamed = new.clone();
    let names = (table.indexes.iter_mut().filter(|index| index.constraint)).map(|i| &mut i.name);
    let names = names.chain(table.checks.iter_mut().map(|check| &mut check.name));
    let mut names = names.chain(table.foreign_keys.iter_mut().map(|key| &mut key.name));
    if let Some(name) = names.find(|name| *name == old) {
        *name = new;
    } else if !table.primary_key.is_empty() && table.primary_key_name == old {
        table.primary_key_name = new;
    } else {
        return Err(no_constraint(old, &table.name));
    }
    for (part, _) in &mut table.comments {
        if *part == TablePart::Constraint(old.to_string()) {
            *part = TablePart::Constraint(renamed.clone());
        }
    }
    Ok(())
}

/// Whether a table has a constraint of this name.
pub(crate) fn has(table: &TableDef, name: &str) -> bool {
    let keys = table.indexes.iter().filter(|index| index.constraint);
    let keys = keys.map(|index| index.name.as_str());
    let primary = table.primary().map(|key| key.name);
    let checks = table.checks.iter().map(|check| check.name.as_str());
    let foreign = table.foreign_keys.iter().map(|key| key.name.as_str());
    keys.chain(primary)
        .chain(checks)
        .chain(foreign)
        .any(|known| known == name)
}

/// 42704 for a constraint that a table lacks.
pub(super) fn no_constraint(name: &str, table: &str) -> SqlError {
    let message = format!("constraint \"{name}\" of relation \"{table}\" does not exist");
    SqlError::new(ErrorKind::UndefinedObject, message)
}
