//! CREATE, ALTER, DROP and TRUNCATE of tables.

mod column;
pub(crate) mod generated;
pub(super) mod identity;
pub(crate) mod like;
pub(crate) mod options;
mod retype;

use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, CascadeOption, CreateTable,
    DropBehavior, Expr, Ident, IndexColumn, ObjectName, OnCommit, PrimaryKeyConstraint,
    RenameTableNameKind, TableConstraint, Truncate, TruncateIdentityOption,
};
use tidelog_storage::catalog::Deferral;
use tidelog_storage::{
    CatalogChange, ColumnDef, ColumnId, ColumnType, SequenceDef, TableDef, TableId, TableKind,
};

use column::{NewColumn, add_column, alter_column, column, drop_column, rename_column};
use retype::Retyped;

use super::constraint::{self, Constraint, Finish};
use super::names::own_columns;
use super::{
    DdlPlan, Evaluate, Scope, display, find, fold, no_schema, resolve, split, truncate_name,
};
use super::{index, sequence};
use super::{kinds, materialized, parents, temp, view};
use crate::error::{ErrorKind, SqlError};
use crate::parse::SequenceChange;
use crate::provider::USER;
use crate::types;

/// PostgreSQL's limit, and ours.
const COLUMNS_MAX: usize = 1600;

pub(super) fn create(
    scope: Scope<'_>,
    create: &CreateTable,
    kind: Option<TableKind>,
    evaluate: Evaluate<'_>,
) -> Result<DdlPlan, SqlError> {
    refuse_clauses(create)?;
    let mut plan = DdlPlan::new("CREATE TABLE");
    // The statement's own transaction drops it, too.
    plan.all_or_nothing = create.on_commit == Some(OnCommit::Drop);
    let (schema, name) = temp::place(scope, create.temporary, &create.name, &mut plan)?;
    if sequence::is_taken(scope, &schema, &name) {
        let error = duplicate_table(&name);
        if !create.if_not_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(plan);
    }
    if create.columns.len() > COLUMNS_MAX {
        return Err(too_many_columns());
    }

    let mut columns: Vec<ColumnDef> = Vec::with_capacity(create.columns.len());
    let mut key: Option<Key> = None;
    let mut constraints = Vec::new();
    let mut sequences = Vec::new();
    let declared = options::kind(&create.table_options, kind)?;
    for ast in &create.columns {
        // Rows of a USER table have it in any case; dumps declare it.
        if declared == TableKind::User
            && fold(&ast.name) == USER
            && types::column_type(&ast.data_type)? == ColumnType::Text
        {
            continue;
        }
        let id = ColumnId::new(columns.len() as u16 + 1);
        let new = NewColumn {
            scope,
            schema: &schema,
            table: &name,
            // The table itself takes the next id.
            sequence_ids_from: scope.catalog.next_table_id + 1,
        };
        let (column, column_key) =
            column(id, &new, ast, &mut constraints, &mut sequences, evaluate)?;
        if columns.iter().any(|other| other.name == column.name) {
            return Err(SqlError::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{}\" specified more than once", column.name),
            ));
        }
        if let Some(column_key) = column_key {
            set_key(&mut key, column_key, &name)?;
        }
        columns.push(column);
    }
    for constraint in &create.constraints {
        match constraint {
            TableConstraint::PrimaryKey(constraint) => {
                set_key(&mut key, table_key(constraint)?, &name)?
            }
            other => constraints.extend(Constraint::of_table(other)?),
        }
    }

    let key = key.unwrap_or_default();
    let deferred = key.deferred();
    let key_columns = own_columns(declared, key.columns);
    let mut primary_key = Vec::with_capacity(key_columns.len());
    for key_column in &key_columns {
        let Some(column) = columns.iter_mut().find(|column| &column.name == key_column) else {
            return Err(SqlError::new(
                ErrorKind::UndefinedColumn,
                format!("column \"{key_column}\" named in key does not exist"),
            ));
        };
        if primary_key.contains(&column.id) {
            return Err(SqlError::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{key_column}\" appears twice in primary key constraint"),
            ));
        }
        super::index::check_sortable(column)?;
        column.not_null = true;
        primary_key.push(column.id);
    }

    let (kind, options) = options::given(&create.table_options, kind, &columns, scope.catalog)?;
    if create.temporary && kind != TableKind::Shared {
        return Err(SqlError::unsupported("WITH (type) of a temporary table"));
    }
    let id = TableId::new(scope.catalog.next_table_id);
    if deferred.is_some() {
        primary_key.clear();
    }
    let primary_key_name = match (&key.name, primary_key.is_empty()) {
        (Some(name), _) => name.clone(),
        (None, false) => key_name(&name),
        (None, true) => String::new(),
    };
    let mut table = TableDef {
        primary_key_name,
        primary_key,
        ..TableDef::new(id, (&schema, &name), kind, columns, options)
    };
    generated::check(&table)?;
    for constraint in deferred.into_iter().chain(constraints) {
        constraint::add(scope, &mut table, constraint, true)?;
    }
    plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    let sequences = sequences.into_iter().map(CatalogChange::PutSequence);
    plan.changes.extend(sequences);
    Ok(plan)
}

pub(super) fn drop(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
    cascades: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP TABLE");
    let mut gone = Vec::with_capacity(names.len());
    for name in names {
        let (schema, table) = split(name)?;
        let found = find(scope.catalog, scope.search_path, schema.as_deref(), &table);
        gone.extend(found.map(|table| table.id));
    }
    for name in names {
        let (schema, table) = split(name)?;
        let error = match find(scope.catalog, scope.search_path, schema.as_deref(), &table) {
            Some(found) => {
                materialized::check_table(found).map_err(|error| {
                    error.hint("Use DROP MATERIALIZED VIEW to remove a materialized view.")
                })?;
                parents::release_parent(scope, found, &gone, cascades, &mut plan)?;
                let change = CatalogChange::DropTable {
                    schema: found.schema.clone(),
                    name: found.name.clone(),
                };
                if !plan.changes.contains(&change) {
                    plan.changes.push(change);
                    plan.changes
                        .extend(sequence::drop_owned(scope, &found.columns));
                }
                continue;
            }
            None if let Some(error) = kinds::another(scope, schema.as_deref(), &table, "TABLE") => {
                return Err(error);
            }
            None => match &schema {
                Some(schema) if !scope.catalog.schemas.contains(schema) => no_schema(schema),
                _ => SqlError::new(
                    ErrorKind::UndefinedTable,
                    format!("table \"{table}\" does not exist"),
                ),
            },
        };
        if !if_exists {
            return Err(error);
        }
        plan.skip(error);
    }
    Ok(plan)
}

pub(super) fn truncate(scope: Scope<'_>, truncate: &Truncate) -> Result<DdlPlan, SqlError> {
    if truncate.partitions.is_some() || truncate.on_cluster.is_some() || truncate.if_exists {
        return Err(SqlError::unsupported("this form of TRUNCATE"));
    }
    let cascades = truncate.cascade == Some(CascadeOption::Cascade);
    let mut plan = DdlPlan::new("TRUNCATE TABLE");
    let mut tables: Vec<&TableDef> = Vec::new();
    for target in &truncate.table_names {
        let table = resolve(scope.catalog, scope.search_path, &target.name)?;
        materialized::check_table(table)?;
        if tables.iter().all(|other| other.id != table.id) {
            tables.push(table);
        }
    }
    let mut at = 0;
    while let Some(&parent) = tables.get(at) {
        at += 1;
        for (child, _) in parents::referencing_keys(scope, parent) {
            if tables.iter().any(|other| other.id == child.id) {
                continue;
            }
            if !cascades {
                let message = "cannot truncate a table referenced in a foreign key constraint";
                let error = SqlError::new(ErrorKind::FeatureNotSupported, message);
                return Err(error
                    .detail(format!(
                        "Table \"{}\" references \"{}\".",
                        child.name, parent.name
                    ))
                    .hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        child.name
                    )));
            }
            let message = format!("truncate cascades to table \"{}\"", child.name);
            let kind = ErrorKind::DependentObjectsStillExist;
            plan.notices.push(SqlError::new(kind, message));
            tables.push(child);
        }
    }
    let restarts = truncate.identity == Some(TruncateIdentityOption::Restart);
    let mut next = scope.catalog.next_table_id;
    let mut next_id = || {
        next += 1;
        next - 1
    };
    for table in tables {
        let mut table = TableDef {
            id: TableId::new(next_id()),
            ..TableDef::clone(table)
        };
        let mut restarted = Vec::new();
        for column in table.columns.iter_mut().filter(|_| restarts) {
            let owned = column.sequence;
            if let Some(owned) = owned.and_then(|id| scope.catalog.sequence_by_id(id)) {
                // A new sequence in place of the old one: where it stands comes and goes with the transaction.
                let sequence = SequenceDef {
                    id: next_id(),
                    ..SequenceDef::clone(owned)
                };
                column.sequence = Some(sequence.id);
                restarted.push(CatalogChange::PutSequence(sequence));
            }
        }
        plan.changes.push(CatalogChange::PutTable(Box::new(table)));
        plan.changes.extend(restarted);
    }
    Ok(plan)
}

pub(super) fn alter(
    scope: Scope<'_>,
    alter: &AlterTable,
    evaluate: Evaluate<'_>,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER TABLE");
    if alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some() {
        return Err(SqlError::unsupported("this form of ALTER TABLE"));
    }
    if let [AlterTableOperation::RenameTable { table_name }] = alter.operations.as_slice() {
        let (schema, name) = split(&alter.name)?;
        let view = view::find_view(scope.catalog, scope.search_path, schema.as_deref(), &name);
        if let Some(view) = view {
            let (RenameTableNameKind::To(new) | RenameTableNameKind::As(new)) = table_name;
            return view::rename(scope, view, new);
        }
        if let Some(renamed) = rename_other(scope, &alter.name, table_name)? {
            return Ok(renamed);
        }
    }
    let old = match resolve(scope.catalog, scope.search_path, &alter.name) {
        Ok(table) => table,
        Err(error) if alter.if_exists && error.kind == ErrorKind::UndefinedTable => {
            plan.skip(error);
            return Ok(plan);
        }
        Err(error) => return Err(error),
    };
    let renames = |operation: &AlterTableOperation| {
        matches!(operation, AlterTableOperation::RenameTable { .. })
    };
    if old.materialized.is_some() && !alter.operations.iter().all(renames) {
        return Err(SqlError::unsupported("this change of a materialized view"));
    }
    let mut table = TableDef::clone(old);
    let (mut finish, mut added) = (Vec::new(), Vec::new());
    let mut retyped = Retyped::default();
    // As in PostgreSQL, what goes has gone before anything comes.
    let (drops, others): (Vec<_>, Vec<_>) = alter.operations.iter().partition(|operation| {
        use AlterTableOperation::{DropColumn, DropConstraint};
        matches!(operation, DropColumn { .. } | DropConstraint { .. })
    });
    for operation in drops.into_iter().chain(others) {
        match operation {
            AlterTableOperation::AddColumn {
                if_not_exists,
                column_def,
                column_position: None,
                ..
            } => {
                let id = table.next_column_id;
                let (constraints, unproved) = add_column(
                    scope,
                    &mut table,
                    column_def,
                    *if_not_exists,
                    evaluate,
                    &mut plan,
                )?;
                finish.extend(unproved);
                for constraint in constraints {
                    finish.push(constraint::add(scope, &mut table, constraint, false)?);
                }
                if table.next_column_id != id {
                    added.push(Finish::Column(id));
                }
            }
            AlterTableOperation::DropColumn {
                column_names,
                if_exists,
                drop_behavior,
                ..
            } => {
                let cascades = *drop_behavior == Some(DropBehavior::Cascade);
                for name in column_names {
                    let name = fold(name);
                    drop_column(scope, &mut table, &name, (*if_exists, cascades), &mut plan)?;
                }
            }
            AlterTableOperation::RenameColumn {
                old_column_name,
                new_column_name,
            } => {
                rename_column(&mut table, &fold(old_column_name), fold(new_column_name))?;
            }
            AlterTableOperation::RenameTable {
                table_name: RenameTableNameKind::To(name) | RenameTableNameKind::As(name),
            } => {
                let name = super::single(name)?;
                if scope.catalog.table(&table.schema, &name).is_some() {
                    return Err(duplicate_table(&name));
                }
                for (child, _) in parents::referencing_keys(scope, old) {
                    let new = (table.schema.clone(), name.clone());
                    parents::rename_parent(&mut table, child, old, &new, &mut plan);
                }
                table.name = name;
            }
            AlterTableOperation::SetOptionsParens { options } => {
                options::set(&mut table, options, scope.catalog)?;
            }
            AlterTableOperation::AddConstraint {
                constraint,
                not_valid: true,
            } => constraint::add_not_valid(scope, &mut table, constraint)?,
            AlterTableOperation::ValidateConstraint { name } => {
                finish.extend(constraint::validate(&table, &fold(name))?);
            }
            AlterTableOperation::AddConstraint {
                constraint: TableConstraint::UniqueUsingIndex(using),
                ..
            } => {
                let made = constraint::add_using_index(scope, &mut table, using, false, &mut plan)?;
                finish.extend(made);
            }
            AlterTableOperation::AddConstraint {
                constraint: TableConstraint::PrimaryKeyUsingIndex(using),
                ..
            } => {
                let made = constraint::add_using_index(scope, &mut table, using, true, &mut plan)?;
                finish.extend(made);
            }
            AlterTableOperation::AddConstraint {
                constraint: TableConstraint::PrimaryKey(key),
                ..
            } => {
                let key = table_key(key)?;
                finish.extend(constraint::add_primary_key(scope, &mut table, key)?);
            }
            AlterTableOperation::AddConstraint { constraint, .. } => {
                if let Some(constraint) = Constraint::of_table(constraint)? {
                    finish.push(constraint::add(scope, &mut table, constraint, false)?);
                }
            }
            AlterTableOperation::DropConstraint {
                if_exists,
                name,
                drop_behavior,
            } => {
                let name = fold(name);
                let cascades = *drop_behavior == Some(DropBehavior::Cascade);
                if !constraint::drop_constraint(scope, &mut table, &name, cascades, &mut plan)? {
                    let error = constraint::no_constraint(&name, &table.name);
                    if !if_exists {
                        return Err(error);
                    }
                    plan.skip(error);
                }
            }
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                let (old, new) = (fold(old_name), fold(new_name));
                constraint::rename_constraint(scope, &mut table, &old, new)?;
            }
            AlterTableOperation::AlterColumn {
                column_name,
                op:
                    AlterColumnOperation::SetDataType {
                        data_type, using, ..
                    },
            } => {
                let (name, to) = (fold(column_name), (data_type, using.as_ref()));
                let both = (&**old, &mut table);
                retyped.set_type(scope, both, &name, to, evaluate, &mut plan)?;
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                let name = fold(column_name);
                finish.extend(alter_column(scope, &mut table, &name, op, evaluate)?);
            }
            AlterTableOperation::DisableTrigger { name } => {
                switch_triggers(&mut table, name, true)?;
            }
            AlterTableOperation::EnableTrigger { name } => {
                switch_triggers(&mut table, name, false)?;
            }
            AlterTableOperation::EnableAlwaysTrigger { name }
            | AlterTableOperation::EnableReplicaTrigger { name } => {
                return Err(no_trigger(&table, name));
            }
            other => {
                return Err(SqlError::unsupported(format!(
                    "ALTER TABLE … {}",
                    other.to_string().to_uppercase()
                )));
            }
        }
    }
    super::comment::prune(&mut table);
    retyped.settle(scope, &mut table, &mut plan);
    if table.name != old.name {
        let new = (table.schema.clone(), table.name.clone());
        view::follow_rename(scope, (&old.schema, &old.name), &new, &mut plan)?;
        plan.changes.push(CatalogChange::DropTable {
            schema: old.schema.clone(),
            name: old.name.clone(),
        });
    }
    if !finish.is_empty() {
        finish.append(&mut added);
        plan.all_or_nothing |= alter.operations.len() > 1;
        if finish.contains(&Finish::Generate) {
            finish.retain(|step| *step != Finish::Generate);
            // Rows that are written again get all that is computed of them.
            if plan.rewrites.is_empty() {
                finish.insert(0, Finish::Generate);
            }
            plan.all_or_nothing = true;
        }
        let is_default = |step: &Finish| matches!(step, Finish::Default(_));
        if finish.iter().any(is_default) {
            if !plan.rewrites.is_empty() {
                let what = "ADD COLUMN with a volatile default beside another type of a column";
                return Err(SqlError::unsupported(what));
            }
            finish.sort_by_key(|step| !is_default(step));
            plan.all_or_nothing = true;
        }
        plan.finish = Some((table.id, finish));
    }
    if table != **old {
        plan.changes.push(CatalogChange::PutTable(Box::new(table)));
    }
    Ok(plan)
}

/// `DISABLE TRIGGER ALL` and ENABLE are about foreign keys; of users there are no triggers, so `USER` changes nothing.
fn switch_triggers(table: &mut TableDef, name: &Ident, disabled: bool) -> Result<(), SqlError> {
    match (name.quote_style, fold(name).as_str()) {
        (None, "all") => table.triggers_disabled = disabled,
        (None, "user") => {}
        _ => return Err(no_trigger(table, name)),
    }
    Ok(())
}

fn no_trigger(table: &TableDef, name: &Ident) -> SqlError {
    let (trigger, table) = (fold(name), &table.name);
    let message = format!("trigger \"{trigger}\" for table \"{table}\" does not exist");
    SqlError::new(ErrorKind::UndefinedObject, message)
}

/// A PRIMARY KEY clause.
#[derive(Default)]
pub(super) struct Key {
    pub(super) name: Option<String>,
    pub(super) columns: Vec<String>,
    pub(super) deferral: Deferral,
}

impl Key {
    /// The constraint that it is where it is deferrable.
    pub(super) fn deferred(&self) -> Option<Constraint> {
        (self.deferral != Deferral::NotDeferrable).then(|| Constraint::Unique {
            name: self.name.clone(),
            columns: self.columns.clone(),
            included: Vec::new(),
            deferral: self.deferral,
            primary: true,
        })
    }
}

fn set_key(key: &mut Option<Key>, new: Key, table: &str) -> Result<(), SqlError> {
    match key.replace(new) {
        None => Ok(()),
        Some(_) => Err(multiple_keys(table)),
    }
}

fn table_key(constraint: &PrimaryKeyConstraint) -> Result<Key, SqlError> {
    let column = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(ident) => Ok(fold(ident)),
        other => Err(SqlError::new(
            ErrorKind::SyntaxError,
            format!("syntax error at or near \"{other}\""),
        )),
    };
    Ok(Key {
        name: constraint.name.as_ref().map(fold),
        columns: constraint
            .columns
            .iter()
            .map(column)
            .collect::<Result<_, _>>()?,
        deferral: constraint::deferral(constraint.characteristics.as_ref())?.unwrap_or_default(),
    })
}

/// The schema and name that a CREATE makes.
pub(super) fn target(scope: Scope<'_>, name: &ObjectName) -> Result<(String, String), SqlError> {
    let schemas = &scope.catalog.schemas;
    match split(name)? {
        (Some(schema), _) if matches!(schema.as_str(), "pg_catalog" | "information_schema") => {
            Err(SqlError::new(
                ErrorKind::InsufficientPrivilege,
                format!(
                    "permission denied to create \"{}\"",
                    display(Some(&schema), &split(name)?.1)
                ),
            )
            .detail("System catalog modifications are currently disallowed."))
        }
        (Some(schema), _) if !schemas.contains(&schema) => Err(no_schema(&schema)),
        (Some(schema), table) => Ok((schema, table)),
        (None, table) => match scope
            .search_path
            .iter()
            .find(|schema| schemas.contains(*schema) && !temp::is_temporary(schema))
        {
            Some(schema) => Ok((schema.clone(), table)),
            None => Err(SqlError::new(
                ErrorKind::InvalidSchemaName,
                "no schema has been selected to create in",
            )),
        },
    }
}

pub(super) fn key_name(table: &str) -> String {
    const SUFFIX: &str = "_pkey";
    let mut name = table.to_string();
    while name.len() + SUFFIX.len() > super::NAME_LENGTH_MAX && name.pop().is_some() {}
    name.push_str(SUFFIX);
    truncate_name(&mut name);
    name
}

fn refuse_clauses(create: &CreateTable) -> Result<(), SqlError> {
    if create.on_commit.is_some() && !create.temporary && !temp::names_own(&create.name) {
        let message = "ON COMMIT can only be used on temporary tables";
        return Err(SqlError::new(ErrorKind::InvalidTableDefinition, message));
    }
    for (given, what) in [
        (create.query.is_some(), "CREATE TABLE AS"),
        (
            create.like.is_some() || create.clone.is_some(),
            "CREATE TABLE (LIKE …)",
        ),
        (create.inherits.is_some(), "INHERITS"),
        (create.partition_by.is_some(), "PARTITION BY"),
        (
            create.partition_of.is_some() || create.for_values.is_some(),
            "PARTITION OF",
        ),
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (
            create.external || create.dynamic || create.iceberg || create.transient,
            "this kind of table",
        ),
        (
            create.volatile || create.snapshot || create.without_rowid || create.strict,
            "this kind of table",
        ),
        (
            create.primary_key.is_some() || create.order_by.is_some(),
            "this form of CREATE TABLE",
        ),
        (
            create.cluster_by.is_some() || create.clustered_by.is_some(),
            "this form of CREATE TABLE",
        ),
        (
            create.file_format.is_some() || create.location.is_some(),
            "this form of CREATE TABLE",
        ),
        (
            create.on_cluster.is_some() || create.comment.is_some(),
            "this form of CREATE TABLE",
        ),
    ] {
        if given {
            return Err(SqlError::unsupported(what));
        }
    }
    Ok(())
}

pub(super) fn duplicate_table(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::DuplicateTable,
        format!("relation \"{name}\" already exists"),
    )
}

fn duplicate_column(name: &str, table: &str) -> SqlError {
    SqlError::new(
        ErrorKind::DuplicateColumn,
        format!("column \"{name}\" of relation \"{table}\" already exists"),
    )
}

fn no_column(name: &str, table: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UndefinedColumn,
        format!("column \"{name}\" of relation \"{table}\" does not exist"),
    )
}

pub(super) fn multiple_keys(table: &str) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidTableDefinition,
        format!("multiple primary keys for table \"{table}\" are not allowed"),
    )
}

fn too_many_columns() -> SqlError {
    SqlError::new(
        ErrorKind::ProgramLimitExceeded,
        format!("tables can have at most {COLUMNS_MAX} columns"),
    )
}

/// ALTER TABLE … RENAME TO of what is no table: a sequence or an index.
fn rename_other(
    scope: Scope<'_>,
    name: &ObjectName,
    new: &RenameTableNameKind,
) -> Result<Option<DdlPlan>, SqlError> {
    let (RenameTableNameKind::To(new) | RenameTableNameKind::As(new)) = new;
    let mut plan = if resolve(scope.catalog, scope.search_path, name).is_ok() {
        return Ok(None);
    } else if sequence::resolve(scope.catalog, scope.search_path, name).is_ok() {
        let new = Ident::with_quote('"', super::single(new)?);
        sequence::alter::alter(scope, false, name, &SequenceChange::Rename(new))?
    } else if index::find(scope, name).is_ok() {
        index::rename(scope, name, new)?
    } else {
        return Ok(None);
    };
    plan.tag = "ALTER TABLE";
    Ok(Some(plan))
}

/// ALTER TABLE … ALTER COLUMN … SET STATISTICS and its like: there is nothing that they could change.
pub(super) fn column_setting(
    scope: Scope<'_>,
    if_exists: bool,
    table: &ObjectName,
    column: &Ident,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER TABLE");
    match resolve(scope.catalog, scope.search_path, table) {
        Ok(table) => {
            let name = fold(column);
            match table.column_index(&name) {
                Some(_) => Ok(plan),
                None => Err(no_column(&name, &table.name)),
            }
        }
        Err(error) if if_exists && error.kind == ErrorKind::UndefinedTable => {
            plan.skip(error);
            Ok(plan)
        }
        Err(error) => Err(error),
    }
}
