//! Constraints and indexes of tables: UNIQUE, CHECK, FOREIGN KEY, CREATE and DROP INDEX.
//!
//! Owns: reading their clauses, naming them as PostgreSQL does, adding them to and taking them off a definition.
//! Does not: check rows. What is added to a table that is there comes as not ready, with a `Finish` that says
//! what is to be done about its rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, CheckConstraint, ConstraintCharacteristics, CreateIndex, Expr, ForeignKeyConstraint,
    Ident, IndexColumn, IndexType, NullsDistinctOption, ObjectName, OrderByExpr, TableConstraint,
    UniqueConstraint, Visit, VisitMut,
};
use tidelog_storage::catalog::{
    CheckDef, ColumnOrder, ForeignKeyDef, IndexDef, IndexId, ReferentialAction,
};
use tidelog_storage::{Catalog, CatalogChange, ColumnId, ColumnType, TableDef, TableKind};

use super::{DdlPlan, NAME_LENGTH_MAX, Scope, display, find, fold, resolve, split};
use crate::error::{ErrorKind, SqlError};
use crate::parse::parse_expression;
use crate::types;

/// What an index or key may have at most, as in PostgreSQL.
const INDEX_COLUMNS_MAX: usize = 32;

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
    /// The rows are to be checked.
    Check(String),
    /// The rows are to be checked for NULL in the column, by the check of this name; then the column is NOT NULL.
    NotNull(ColumnId, String),
    /// The rows are to be checked for parents.
    ForeignKey(String),
}

/// A constraint as it is written, but for PRIMARY KEY.
pub(super) enum Constraint {
    Unique {
        name: Option<String>,
        columns: Vec<String>,
    },
    Check {
        name: Option<String>,
        condition: Expr,
    },
    ForeignKey {
        name: Option<String>,
        columns: Vec<String>,
        parent: ObjectName,
        parent_columns: Vec<String>,
        on_delete: ReferentialAction,
        on_update: ReferentialAction,
    },
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
        refuse_deferrable(unique.characteristics.as_ref(), "UNIQUE constraint")?;
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
        })
    }

    pub(super) fn check(check: &CheckConstraint) -> Result<Constraint, SqlError> {
        if check.enforced == Some(false) {
            return Err(SqlError::unsupported("CHECK … NOT ENFORCED"));
        }
        Ok(Constraint::Check {
            name: check.name.as_ref().map(fold),
            condition: (*check.expr).clone(),
        })
    }

    /// FOREIGN KEY, or REFERENCES behind a column.
    pub(super) fn foreign_key(
        key: &ForeignKeyConstraint,
        column: Option<&str>,
    ) -> Result<Constraint, SqlError> {
        refuse_deferrable(key.characteristics.as_ref(), "FOREIGN KEY constraint")?;
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

fn refuse_deferrable(
    characteristics: Option<&ConstraintCharacteristics>,
    what: &str,
) -> Result<(), SqlError> {
    match characteristics {
        Some(given) if given.deferrable == Some(true) || given.initially.is_some() => {
            Err(SqlError::unsupported(format!("a deferrable {what}")))
        }
        _ => Ok(()),
    }
}

/// The name of an index column that is no expression, and its order.
fn plain_column(column: &IndexColumn) -> Result<(String, ColumnOrder), SqlError> {
    let OrderByExpr { expr, options, .. } = &column.column;
    if column.operator_class.is_some() {
        return Err(SqlError::unsupported("an operator class of an index"));
    }
    let Expr::Identifier(name) = expr else {
        return Err(SqlError::unsupported("an index on an expression"));
    };
    let descending = options.asc == Some(false);
    let order = ColumnOrder {
        descending,
        nulls_first: options.nulls_first.unwrap_or(descending),
    };
    Ok((fold(name), order))
}

/// Adds a constraint to a definition: ready on a table that is just made, otherwise with what finishes it.
pub(super) fn add(
    scope: Scope<'_>,
    table: &mut TableDef,
    constraint: Constraint,
    ready: bool,
) -> Result<Finish, SqlError> {
    let finish = match constraint {
        Constraint::Unique { name, columns } => {
            let columns = key_columns(table, &columns, "unique")?;
            let orders = vec![ColumnOrder::default(); columns.len()];
            let name = index_name(scope, table, name, &columns, "key")?;
            let index = put_index(table, name, columns, orders, true, ready);
            table.indexes.last_mut().expect("was just put").constraint = true;
            Finish::Index {
                index,
                primary: false,
            }
        }
        Constraint::Check { name, condition } => {
            let columns = columns_of(table, &condition)?;
            let label = match columns.as_slice() {
                [only] => made_name(&table.name, only, "check"),
                _ => made_name(&table.name, "", "check"),
            };
            let name = constraint_name(table, name, label)?;
            table.checks.push(CheckDef {
                name: name.clone(),
                condition: condition.to_string(),
                ready,
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
        } => {
            let ids = referencing(table, &columns)?;
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
                ready,
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

fn put_index(
    table: &mut TableDef,
    name: String,
    columns: Vec<ColumnId>,
    orders: Vec<ColumnOrder>,
    unique: bool,
    ready: bool,
) -> IndexId {
    let id = table.next_index_id;
    table.next_index_id = IndexId::new(id.get() + 1);
    table.indexes.push(IndexDef {
        id,
        name,
        columns,
        orders,
        unique,
        constraint: false,
        ready,
    });
    id
}

/// Makes a column NOT NULL once its rows are checked.
pub(super) fn set_not_null(table: &mut TableDef, column: &str) -> Option<Finish> {
    let column = &table.columns[table.column_index(column)?];
    if column.not_null {
        return None;
    }
    // No identifier that a client writes is empty: the name is free.
    let (id, name) = (column.id, format!("\u{1}{}", column.id.get()));
    let condition = format!("{} IS NOT NULL", crate::parse::quoted(&column.name));
    table.checks.push(CheckDef {
        name: name.clone(),
        condition,
        ready: false,
    });
    table.bump_schema_version();
    Some(Finish::NotNull(id, name))
}

/// Makes columns the primary key once its index is filled.
pub(super) fn add_primary_key(
    scope: Scope<'_>,
    table: &mut TableDef,
    name: Option<String>,
    columns: &[String],
) -> Result<Vec<Finish>, SqlError> {
    let ids = key_columns(table, columns, "primary key")?;
    let name = match name {
        Some(name) => free_relation_name(scope, table, name)?,
        None => chosen_name(scope, table, &super::table::key_name(&table.name)),
    };
    let not_null = columns.iter();
    let mut finish: Vec<Finish> = not_null.filter_map(|c| set_not_null(table, c)).collect();
    let orders = vec![ColumnOrder::default(); ids.len()];
    let index = put_index(table, name, ids, orders, true, false);
    table.bump_schema_version();
    finish.push(Finish::Index {
        index,
        primary: true,
    });
    Ok(finish)
}

/// The ids of a key's columns.
fn key_columns(table: &TableDef, names: &[String], what: &str) -> Result<Vec<ColumnId>, SqlError> {
    if names.len() > INDEX_COLUMNS_MAX {
        let message = format!("cannot use more than {INDEX_COLUMNS_MAX} columns in an index");
        return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let Some(index) = table.column_index(name) else {
            let message = format!("column \"{name}\" named in key does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        };
        let id = table.columns[index].id;
        if ids.contains(&id) {
            let message = format!("column \"{name}\" appears twice in {what} constraint");
            return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
        }
        ids.push(id);
    }
    Ok(ids)
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
    if !parent
        .unique_keys()
        .any(|key| same(key.columns) && ready(key.id))
    {
        let message = format!(
            "there is no unique constraint matching given keys for referenced table \"{}\"",
            parent.name
        );
        return Err(SqlError::new(ErrorKind::InvalidForeignKey, message));
    }
    Ok(ids)
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

fn check_types(
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
        other => other,
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
                types::name(ty),
                types::name(parent_ty)
            )));
        }
    }
    Ok(())
}

/// The columns that a condition names; an error for what no condition of a CHECK may have.
fn columns_of(table: &TableDef, condition: &Expr) -> Result<Vec<String>, SqlError> {
    struct Names<'a> {
        table: &'a TableDef,
        names: Vec<String>,
    }
    impl ast::Visitor for Names<'_> {
        type Break = SqlError;

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<SqlError> {
            let message = "cannot use subquery in check constraint";
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
                            "the name {expr} in a check constraint"
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
    let mut names = Names {
        table,
        names: Vec::new(),
    };
    if let ControlFlow::Break(error) = condition.visit(&mut names) {
        return Err(error);
    }
    names.names.sort_unstable();
    names.names.dedup();
    Ok(names.names)
}

/// The columns that the condition of a CHECK is about.
pub(crate) fn checked_columns(table: &TableDef, condition: &str) -> Vec<ColumnId> {
    let names = parse_expression(condition).and_then(|condition| columns_of(table, &condition));
    let ids = names.unwrap_or_default().into_iter();
    let mut ids: Vec<ColumnId> = ids
        .filter_map(|name| Some(table.columns[table.column_index(&name)?].id))
        .collect();
    ids.sort_unstable();
    ids
}

/// Gives a renamed column its new name in the conditions of the table's checks.
pub(super) fn rename_in_checks(table: &mut TableDef, old: &str, new: &str) -> Result<(), SqlError> {
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
                *name = crate::parse::quoted(self.new);
            }
            ControlFlow::Continue(())
        }
    }
    for check in &mut table.checks {
        let mut condition = parse_expression(&check.condition)?;
        let _ = VisitMut::visit(&mut condition, &mut Rename { old, new });
        check.condition = condition.to_string();
    }
    Ok(())
}

/// Takes off what a dropped column was part of, as PostgreSQL does without being asked.
pub(super) fn drop_with_column(table: &mut TableDef, column: ColumnId) -> Result<(), SqlError> {
    table
        .indexes
        .retain(|index| !index.columns.contains(&column));
    table
        .foreign_keys
        .retain(|key| !key.columns.contains(&column));
    let name = table
        .index_of(column)
        .map(|at| table.columns[at].name.clone());
    let mut kept = Vec::new();
    for check in std::mem::take(&mut table.checks) {
        let columns = columns_of(table, &parse_expression(&check.condition)?)?;
        if !name.as_ref().is_some_and(|name| columns.contains(name)) {
            kept.push(check);
        }
    }
    table.checks = kept;
    Ok(())
}

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
    let keys = move |table: &'a Arc<TableDef>| {
        let keys = table.foreign_keys.iter().filter(of_parent);
        keys.map(move |key| (table, key))
    };
    catalog.tables.values().flat_map(keys)
}

/// 2BP01 for what foreign keys depend on.
fn depended_on(what: &str, keys: &[(&TableDef, &ForeignKeyDef)], parent: &str) -> SqlError {
    let line = |(table, key): &(&TableDef, &ForeignKeyDef)| {
        format!(
            "constraint {} on table {} depends on {parent}",
            key.name, table.name
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
            key.name, table.name
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
        let name = format!("table {}", parent.name);
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
        table.name
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
    name: &str,
    plan: &mut DdlPlan,
) {
    let rename = |child: &mut TableDef| {
        for key in &mut child.foreign_keys {
            if key.parent.0 == parent.schema && key.parent.1 == parent.name {
                key.parent.1 = name.to_string();
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
        let what = format!("constraint {name} on table {}", table.name);
        let on = format!("index {name}");
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

/// Lets a unique key go, unless a foreign key needs it.
fn release_key(
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
    Ok(())
}

/// 42704 for a constraint that a table lacks.
pub(super) fn no_constraint(name: &str, table: &str) -> SqlError {
    let message = format!("constraint \"{name}\" of relation \"{table}\" does not exist");
    SqlError::new(ErrorKind::UndefinedObject, message)
}

/// CREATE INDEX.
pub(super) fn create_index(scope: Scope<'_>, create: &CreateIndex) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("CREATE INDEX");
    for (given, what) in [
        (!create.include.is_empty(), "INCLUDE of an index"),
        (create.predicate.is_some(), "a partial index"),
        (
            create.nulls_distinct == Some(false),
            "NULLS NOT DISTINCT of an index",
        ),
        (!create.with.is_empty(), "WITH of an index"),
        (
            !create.index_options.is_empty() || !create.alter_options.is_empty(),
            "this form of CREATE INDEX",
        ),
    ] {
        if given {
            return Err(SqlError::unsupported(what));
        }
    }
    match &create.using {
        None | Some(IndexType::BTree) => {}
        Some(other) => {
            let method = other.to_string().to_lowercase();
            return Err(SqlError::unsupported(format!("an index USING {method}")));
        }
    }
    let old = resolve(scope.catalog, scope.search_path, &create.table_name)?;
    let mut table = TableDef::clone(old);
    let (mut names, mut orders) = (Vec::new(), Vec::new());
    for column in &create.columns {
        let (name, order) = plain_column(column)?;
        if table.column_index(&name).is_none() {
            let message = format!("column \"{name}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        }
        names.push(name);
        orders.push(order);
    }
    let columns = key_columns(&table, &names, "index")?;
    let given = match &create.name {
        None => None,
        Some(name) => match split(name)? {
            (None, name) => Some(name),
            (Some(_), name) => {
                return Err(SqlError::new(
                    ErrorKind::SyntaxError,
                    format!("syntax error at or near \".{name}\""),
                ));
            }
        },
    };
    if let Some(name) = &given
        && relation_exists(scope, &table, name)
    {
        let error = duplicate_relation(name);
        if !create.if_not_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(plan);
    }
    let name = index_name(scope, &table, given, &columns, "idx")?;
    let index = put_index(&mut table, name, columns, orders, create.unique, false);
    table.bump_schema_version();
    plan.finish = Some((
        table.id,
        vec![Finish::Index {
            index,
            primary: false,
        }],
    ));
    plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    Ok(plan)
}

/// DROP INDEX.
pub(super) fn drop_index(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
    cascades: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP INDEX");
    let mut changed: Vec<TableDef> = Vec::new();
    for name in names {
        let (schema, index) = split(name)?;
        let Some((table, index)) = find_index(scope, schema.as_deref(), &index) else {
            let shown = display(schema.as_deref(), &index);
            let message = format!("index \"{shown}\" does not exist");
            let error = SqlError::new(ErrorKind::UndefinedObject, message);
            if !if_exists {
                return Err(error);
            }
            plan.skip(error);
            continue;
        };
        if index.constraint {
            let message = format!(
                "cannot drop index {} because constraint {} on table {} requires it",
                index.name, index.name, table.name
            );
            let error = SqlError::new(ErrorKind::DependentObjectsStillExist, message);
            return Err(error.hint(format!(
                "You can drop constraint {} on table {} instead.",
                index.name, table.name
            )));
        }
        if index.unique {
            let what = format!("index {}", index.name);
            release_key(
                scope,
                table,
                &index.columns,
                cascades,
                (&what, &what),
                &mut plan,
            )?;
        }
        let at = changed.iter().position(|known| known.id == table.id);
        let at = at.unwrap_or_else(|| {
            changed.push(table.clone());
            changed.len() - 1
        });
        changed[at].indexes.retain(|other| other.id != index.id);
        changed[at].bump_schema_version();
    }
    let puts = changed.into_iter().map(Box::new);
    plan.changes.extend(puts.map(CatalogChange::PutTable));
    Ok(plan)
}

/// ALTER INDEX … RENAME TO.
pub(super) fn rename_index(
    scope: Scope<'_>,
    name: &ObjectName,
    new: &ObjectName,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER INDEX");
    let (schema, old) = split(name)?;
    let missing = || {
        let message = format!(
            "relation \"{}\" does not exist",
            display(schema.as_deref(), &old)
        );
        SqlError::new(ErrorKind::UndefinedTable, message)
    };
    let tables = scope.catalog.tables.values();
    let mut in_scope = tables.filter(|table| match &schema {
        Some(schema) => table.schema == *schema,
        None => scope.search_path.contains(&table.schema),
    });
    let is_primary =
        |table: &TableDef| !table.primary_key.is_empty() && table.primary_key_name == old;
    let table = match find_index(scope, schema.as_deref(), &old) {
        Some((table, _)) => table,
        None => in_scope
            .find(|table| is_primary(table))
            .ok_or_else(missing)?,
    };
    let mut table = table.clone();
    let new = free_relation_name(scope, &table, super::single(new)?)?;
    match table.indexes.iter_mut().find(|index| index.name == old) {
        Some(index) => index.name = new,
        None => table.primary_key_name = new,
    }
    plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    Ok(plan)
}

fn find_index<'a>(
    scope: Scope<'a>,
    schema: Option<&str>,
    name: &str,
) -> Option<(&'a TableDef, &'a IndexDef)> {
    let in_schema = |schema: &str| {
        let tables = scope.catalog.tables.values().filter(|t| t.schema == schema);
        let indexes = tables.flat_map(|table| table.indexes.iter().map(move |i| (&**table, i)));
        indexes.into_iter().find(|(_, index)| index.name == name)
    };
    match schema {
        Some(schema) => in_schema(schema),
        None => scope
            .search_path
            .iter()
            .find_map(|schema| in_schema(schema)),
    }
}

/// Whether a table or index of this name stands in the table's schema, the table's own indexes among them.
fn relation_exists(scope: Scope<'_>, table: &TableDef, name: &str) -> bool {
    let tables = scope.catalog.tables.values();
    let others = tables.filter(|other| other.schema == table.schema && other.id != table.id);
    let has = |table: &TableDef| {
        table.name == name
            || !table.primary_key.is_empty() && table.primary_key_name == name
            || table.indexes.iter().any(|index| index.name == name)
    };
    has(table) || others.into_iter().any(|other| has(other))
}

/// PostgreSQL's `makeObjectName`: `name_columns_label`, with the longer of the first two cut until it fits.
fn made_name(name: &str, columns: &str, label: &str) -> String {
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
fn chosen_name(scope: Scope<'_>, table: &TableDef, name: &str) -> String {
    let numbered = (1..).map(|n: u32| format!("{name}{n}"));
    let mut names = std::iter::once(name.to_string()).chain(numbered);
    names
        .find(|name| !relation_exists(scope, table, name))
        .expect("some number is free")
}

fn index_name(
    scope: Scope<'_>,
    table: &TableDef,
    given: Option<String>,
    columns: &[ColumnId],
    label: &str,
) -> Result<String, SqlError> {
    if let Some(name) = given {
        return free_relation_name(scope, table, name);
    }
    let name = |id: &ColumnId| {
        let at = table.index_of(*id).expect("was found by name");
        table.columns[at].name.as_str()
    };
    let columns: Vec<&str> = columns.iter().map(name).collect();
    let name = made_name(&table.name, &columns.join("_"), label);
    Ok(chosen_name(scope, table, &name))
}

fn free_relation_name(
    scope: Scope<'_>,
    table: &TableDef,
    name: String,
) -> Result<String, SqlError> {
    match relation_exists(scope, table, &name) {
        true => Err(duplicate_relation(&name)),
        false => Ok(name),
    }
}

fn duplicate_relation(name: &str) -> SqlError {
    let message = format!("relation \"{name}\" already exists");
    SqlError::new(ErrorKind::DuplicateTable, message)
}

/// A name for a CHECK or FOREIGN KEY of a table: the given one, or the made one with a number if it is taken.
fn constraint_name(
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
