//! Statements that change the catalog, planned as pure functions of a catalog snapshot.
//!
//! Owns: CREATE/ALTER/DROP of schemas, tables, views and roles, TRUNCATE; how names fold and resolve.
//! Does not: commit the changes, or check who may make them.

mod absent;
mod comment;
pub(crate) mod constraint;
pub(crate) mod database;
pub(crate) mod enums;
mod extension;
pub(crate) mod index;
mod kinds;
pub(crate) mod materialized;
pub(crate) mod names;
mod owner;
pub(crate) mod parents;
pub(crate) mod role;
mod schema;
pub(crate) mod sequence;
pub(crate) mod table;
pub(crate) mod temp;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::borrow::Cow;
use std::sync::Arc;

use constraint::Finish;
use datafusion::sql::sqlparser::ast::{
    AlterIndexOperation, DropBehavior, Expr, Ident, ObjectName, ObjectType, SchemaName, Statement,
    UserDefinedTypeRepresentation,
};
use tidelog_storage::{
    Catalog, CatalogChange, ColumnId, ColumnType, Datum, SequenceDef, TableDef, TableId, TableKind,
};

use crate::error::{ErrorKind, SqlError};
use crate::parse::Definition;

/// What a DDL statement comes to.
pub struct DdlPlan {
    /// The steps, to be committed together.
    pub changes: Vec<CatalogChange>,
    /// The command tag.
    pub tag: &'static str,
    /// What the client is told beside.
    pub notices: Vec<SqlError>,
    /// What it is warned of.
    pub warning: Option<SqlError>,
    /// What is to be done about a table's rows once the changes are committed.
    pub finish: Option<(TableId, Vec<Finish>)>,
    /// Tables whose rows are to be written again with the changes.
    pub rewrites: Vec<Rewrite>,
    /// Whether there are changes that must not stay when that fails.
    pub all_or_nothing: bool,
    /// Where a sequence must stand for the changes to be possible.
    pub stands: Option<SequenceStand>,
}

/// A table whose rows are written again, because columns of it get other types: it gets new data, into which they go.
pub struct Rewrite {
    /// The id of the data that it had.
    pub from: TableId,
    /// The id of the data that it gets.
    pub to: TableId,
    /// The columns that get other types.
    pub columns: Vec<ColumnId>,
    /// What gives values of some of them, over the columns as they were; the others' are assigned.
    pub using: Vec<(ColumnId, Expr)>,
    /// A label of their enum type, and what it is called from now on.
    pub label: Option<(String, String)>,
}

/// A sequence whose options change: it must stand inside its limits.
pub struct SequenceStand {
    /// As it will be.
    pub sequence: SequenceDef,
    /// The number that is drawn next, if it is told; it otherwise goes on.
    pub restart: Option<i64>,
}

impl DdlPlan {
    fn new(tag: &'static str) -> DdlPlan {
        DdlPlan {
            changes: Vec::new(),
            tag,
            notices: Vec::new(),
            warning: None,
            finish: None,
            rewrites: Vec::new(),
            all_or_nothing: false,
            stands: None,
        }
    }

    /// Makes one notice of those that tell what goes together with something.
    fn gather_cascades(&mut self) {
        let is_cascade = |notice: &SqlError| notice.message.starts_with("drop cascades to ");
        let all = self.notices.iter().filter(|notice| is_cascade(notice));
        let lines: Vec<String> = all.map(|notice| notice.message.clone()).collect();
        let Some(first) = self.notices.iter().position(is_cascade) else {
            return;
        };
        if lines.len() > 1 {
            let message = format!("drop cascades to {} other objects", lines.len());
            let kind = ErrorKind::DependentObjectsStillExist;
            self.notices.retain(|notice| !is_cascade(notice));
            let gathered = SqlError::new(kind, message).detail(lines.join("\n"));
            self.notices.insert(first, gathered);
        }
    }

    /// The plan, with `error` as a notice that the statement did nothing about it.
    fn skip(&mut self, mut error: SqlError) {
        error.message.push_str(", skipping");
        self.notices.push(error);
    }
}

/// Evaluates a constant expression to a value of a column's type.
pub type Evaluate<'a> = &'a dyn Fn(&Expr, ColumnType) -> Result<Datum, SqlError>;

/// The snapshot that a statement is planned on.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
}

/// A statement that may be DDL.
#[derive(Clone, Copy)]
pub(crate) enum Ddl<'a> {
    /// The kind is that of CREATE USER|SHARED|STREAM TABLE.
    Sql(&'a Statement, Option<TableKind>),
    Ours(&'a Definition),
    /// An ALTER TABLE that makes a column of arrays one of arrays of any shape, as whoever may write to it may.
    Shapes(&'a Statement),
}

/// Plans a statement; `None` when it is not DDL.
pub(crate) fn plan(
    catalog: &Catalog,
    search_path: &[String],
    statement: Ddl<'_>,
    evaluate: Evaluate<'_>,
    describe: view::Describe<'_>,
) -> Result<Option<DdlPlan>, SqlError> {
    let scope = Scope {
        catalog,
        search_path,
    };
    let (statement, kind) = match statement {
        Ddl::Sql(statement, kind) => (statement, kind),
        Ddl::Shapes(statement) => (statement, None),
        Ddl::Ours(Definition::TableLike {
            create,
            kind,
            likes,
        }) => {
            let plan = table::like::create(scope, create, *kind, likes, evaluate)?;
            return Ok(Some(plan));
        }
        // They take nothing from a view.
        Ddl::Ours(definition @ Definition::Comment { .. }) => {
            return define(scope, definition).map(Some);
        }
        Ddl::Ours(definition) => {
            let mut plan = define(scope, definition)?;
            view::check_dependent(scope, &mut plan, false, describe)?;
            plan.gather_cascades();
            return Ok(Some(plan));
        }
    };
    let mut plan = match statement {
        Statement::CreateTable(create) => table::create(scope, create, kind, evaluate)?,
        Statement::AlterTable(alter) => table::alter(scope, alter, evaluate)?,
        Statement::Truncate(truncate) => table::truncate(scope, truncate)?,
        Statement::CreateSchema {
            schema_name,
            if_not_exists,
            ..
        } => create_schema(catalog, schema_name, *if_not_exists)?,
        Statement::Drop {
            object_type,
            if_exists,
            names,
            cascade,
            ..
        } => match object_type {
            ObjectType::View => view::drop(scope, names, *if_exists)?,
            ObjectType::MaterializedView => materialized::drop(scope, names, *if_exists)?,
            ObjectType::Table => table::drop(scope, names, *if_exists, *cascade)?,
            ObjectType::Index => index::drop(scope, names, *if_exists, *cascade)?,
            ObjectType::Schema => drop_schema(catalog, names, *if_exists, *cascade)?,
            ObjectType::Sequence => sequence::drop(scope, names, *if_exists, *cascade)?,
            ObjectType::Type => enums::drop(scope, names, *if_exists, *cascade)?,
            ObjectType::Role | ObjectType::User => role::drop(catalog, names, *if_exists)?,
            other => return Err(SqlError::unsupported(format!("DROP {other}"))),
        },
        Statement::CreateView(create) => view::create(scope, create, describe)?,
        Statement::CreateIndex(create) => index::create(scope, create)?,
        Statement::AlterIndex {
            name,
            operation: AlterIndexOperation::RenameIndex { index_name },
        } => index::rename(scope, name, index_name)?,
        Statement::CreateSequence {
            temporary: false,
            if_not_exists,
            name,
            data_type,
            sequence_options,
            owned_by,
        } => sequence::create(
            scope,
            name,
            data_type.as_ref(),
            sequence_options,
            owned_by.as_ref(),
            *if_not_exists,
        )?,
        Statement::CreateType {
            name,
            representation: Some(UserDefinedTypeRepresentation::Enum { labels }),
        } => enums::create(scope, name, labels)?,
        Statement::AlterType(alter) => enums::alter(scope, alter)?,
        Statement::CreateExtension(create) => extension::create(create)?,
        Statement::DropExtension(drop) => extension::drop(drop)?,
        Statement::CreateRole(create) => role::create(catalog, create)?,
        Statement::AlterRole { name, operation } => role::alter(catalog, name, operation)?,
        _ => return Ok(None),
    };
    view::check_dependent(scope, &mut plan, cascades(statement), describe)?;
    plan.gather_cascades();
    Ok(Some(plan))
}

/// Plans a definition.
fn define(scope: Scope<'_>, definition: &Definition) -> Result<DdlPlan, SqlError> {
    match definition {
        Definition::AlterSequence {
            if_exists,
            name,
            change,
        } => sequence::alter::alter(scope, *if_exists, name, change),
        Definition::Owner {
            of,
            if_exists,
            name,
            owner,
        } => owner::alter(scope, of, *if_exists, name, owner),
        Definition::SetSchema {
            of,
            if_exists,
            name,
            schema,
        } => schema::set(scope, of, *if_exists, name, schema),
        Definition::Identity {
            if_exists,
            table,
            column,
            change,
        } => table::identity::alter(scope, *if_exists, table, column, change),
        Definition::Comment {
            of,
            name,
            table,
            text,
        } => comment::on(scope, (of, name, table.as_ref()), text.as_deref()),
        Definition::AlterConstraint {
            if_exists,
            table,
            name,
            characteristics,
        } => constraint::alter(scope, *if_exists, table, name, characteristics.as_ref()),
        Definition::ColumnSetting {
            if_exists,
            table,
            column,
        } => table::column_setting(scope, *if_exists, table, column),
        Definition::View {
            if_exists,
            name,
            change,
        } => view::alter(scope, *if_exists, name, change),
        Definition::RenameIndex { name, to } => index::rename_if_exists(scope, name, to),
        Definition::Database(command) => database::plan(scope.catalog, command),
        Definition::Absent(absent) => absent::drop(scope, absent),
        Definition::Refused(what) => Err(SqlError::unsupported(what)),
        Definition::TableLike { .. } | Definition::TableAs(_) | Definition::Refresh { .. } => {
            Err(SqlError::unsupported("this form of CREATE TABLE"))
        }
    }
}

/// Whether a statement says CASCADE.
fn cascades(statement: &Statement) -> bool {
    match statement {
        Statement::Drop { cascade, .. } => *cascade,
        Statement::AlterTable(alter) => alter.operations.iter().any(|operation| {
            use datafusion::sql::sqlparser::ast::AlterTableOperation::{
                DropColumn, DropConstraint,
            };
            matches!(
                operation,
                DropColumn {
                    drop_behavior: Some(DropBehavior::Cascade),
                    ..
                } | DropConstraint {
                    drop_behavior: Some(DropBehavior::Cascade),
                    ..
                }
            )
        }),
        _ => false,
    }
}

/// PostgreSQL's limit of a name, in bytes.
const NAME_LENGTH_MAX: usize = 63;

/// The name that an identifier stands for: lowercase unless quoted, cut to 63 bytes.
pub fn fold(ident: &Ident) -> String {
    let mut name = if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    };
    truncate_name(&mut name);
    name
}

pub(crate) fn truncate_name(name: &mut String) {
    let end = (0..=NAME_LENGTH_MAX.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    name.truncate(end.unwrap_or(0));
}

/// The table that a name stands for: the schema's, or the first along the search path.
pub fn resolve<'a>(
    catalog: &'a Catalog,
    search_path: &[String],
    name: &ObjectName,
) -> Result<&'a Arc<TableDef>, SqlError> {
    let (schema, table) = split(&without_database(catalog, name))?;
    find(catalog, search_path, schema.as_deref(), &table).ok_or_else(|| {
        if view::find_view(catalog, search_path, schema.as_deref(), &table).is_some() {
            return SqlError::unsupported(format!("this use of the view \"{table}\""));
        }
        let name = display(schema.as_deref(), &table);
        SqlError::new(
            ErrorKind::UndefinedTable,
            format!("relation \"{name}\" does not exist"),
        )
    })
}

/// A name in three parts without the first, if that is the database that one is in.
fn without_database<'a>(catalog: &Catalog, name: &'a ObjectName) -> Cow<'a, ObjectName> {
    match name.0.as_slice() {
        [database, schema, table]
            if database.as_ident().map(fold).as_deref() == Some(catalog.database_name()) =>
        {
            Cow::Owned(ObjectName(vec![schema.clone(), table.clone()]))
        }
        _ => Cow::Borrowed(name),
    }
}

fn find<'a>(
    catalog: &'a Catalog,
    search_path: &[String],
    schema: Option<&str>,
    table: &str,
) -> Option<&'a Arc<TableDef>> {
    match schema {
        Some(schema) => catalog.table(temp::resolved(search_path, schema)?, table),
        None => search_path
            .iter()
            .find_map(|schema| catalog.table(schema, table)),
    }
}

/// 42P01 when no table, view or sequence has this name.
pub(crate) fn check_relation(
    catalog: &Catalog,
    search_path: &[String],
    name: &ObjectName,
) -> Result<(), SqlError> {
    let (schema, relation) = split(name)?;
    if view::find_view(catalog, search_path, schema.as_deref(), &relation).is_some()
        || sequence::resolve(catalog, search_path, name).is_ok()
    {
        return Ok(());
    }
    resolve(catalog, search_path, name).map(drop)
}

/// 42P01 when no index or primary key has this name.
pub(crate) fn check_index(
    catalog: &Catalog,
    search_path: &[String],
    name: &ObjectName,
) -> Result<(), SqlError> {
    let scope = Scope {
        catalog,
        search_path,
    };
    index::find(scope, name).map(drop)
}

fn display(schema: Option<&str>, table: &str) -> String {
    schema.map_or_else(|| table.to_string(), |schema| format!("{schema}.{table}"))
}

/// The schema, if it is given, and the name.
pub(crate) fn split(name: &ObjectName) -> Result<(Option<String>, String), SqlError> {
    let mut parts = Vec::with_capacity(2);
    for part in &name.0 {
        match part.as_ident() {
            Some(ident) => parts.push(fold(ident)),
            None => return Err(SqlError::unsupported(format!("the name {name}"))),
        }
    }
    match <[String; 1]>::try_from(parts) {
        Ok([table]) => Ok((None, table)),
        Err(parts) => match <[String; 2]>::try_from(parts) {
            Ok([schema, table]) => Ok((Some(schema), table)),
            Err(parts) => Err(SqlError::new(
                ErrorKind::FeatureNotSupported,
                format!(
                    "cross-database references are not implemented: \"{}\"",
                    parts.join(".")
                ),
            )),
        },
    }
}

/// The name of something that stands in no schema.
pub(crate) fn single(name: &ObjectName) -> Result<String, SqlError> {
    match split(name)? {
        (None, name) => Ok(name),
        (Some(schema), name) => Err(SqlError::new(
            ErrorKind::SyntaxError,
            format!("improper qualified name (too many dotted names): {schema}.{name}"),
        )),
    }
}

pub(crate) fn no_schema(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidSchemaName,
        format!("schema \"{name}\" does not exist"),
    )
}

fn create_schema(
    catalog: &Catalog,
    name: &SchemaName,
    if_not_exists: bool,
) -> Result<DdlPlan, SqlError> {
    let SchemaName::Simple(name) = name else {
        return Err(SqlError::unsupported("CREATE SCHEMA AUTHORIZATION"));
    };
    let name = single(name)?;
    let mut plan = DdlPlan::new("CREATE SCHEMA");
    if name.starts_with("pg_") {
        return Err(SqlError::new(
            ErrorKind::ReservedName,
            format!("unacceptable schema name \"{name}\""),
        )
        .detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    if catalog.schemas.contains(&name) || name == "information_schema" {
        let error = SqlError::new(
            ErrorKind::DuplicateSchema,
            format!("schema \"{name}\" already exists"),
        );
        if !if_not_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(plan);
    }
    plan.changes.push(CatalogChange::CreateSchema(name));
    Ok(plan)
}

fn drop_schema(
    catalog: &Catalog,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP SCHEMA");
    let mut dropped = Vec::new();
    for name in names {
        let name = single(name)?;
        if dropped.contains(&name) {
            continue;
        }
        if !catalog.schemas.contains(&name) {
            if !if_exists {
                return Err(no_schema(&name));
            }
            plan.skip(no_schema(&name));
            continue;
        }
        let of = |schema: &String| *schema == name;
        let views = catalog.views.values().filter(|view| of(&view.schema));
        let tables = catalog.tables.values().filter(|table| of(&table.schema));
        let views: Vec<_> = views
            .map(|view| ("view", &view.schema, &view.name))
            .collect();
        let tables: Vec<_> = tables
            .map(|table| ("table", &table.schema, &table.name))
            .collect();
        let objects = [tables.as_slice(), views.as_slice()].concat();
        // PostgreSQL leaves out the schema of what the search path shows; we always name it.
        let lines = |line: &dyn Fn(String) -> String| {
            let object = |(kind, schema, object): &(&str, &String, &String)| {
                line(format!("{kind} {schema}.{object}"))
            };
            objects
                .iter()
                .map(object)
                .collect::<Vec<String>>()
                .join("\n")
        };
        if !objects.is_empty() && !cascade {
            return Err(SqlError::new(
                ErrorKind::DependentObjectsStillExist,
                format!("cannot drop schema {name} because other objects depend on it"),
            )
            .detail(lines(&|object| {
                format!("{object} depends on schema {name}")
            }))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for dropped in lines(&|object| format!("drop cascades to {object}")).lines() {
            let kind = ErrorKind::DependentObjectsStillExist;
            plan.notices.push(SqlError::new(kind, dropped));
        }
        for (kind, schema, name) in objects {
            let (schema, name) = (schema.clone(), name.clone());
            plan.changes.push(match kind {
                "view" => CatalogChange::DropView { schema, name },
                _ => CatalogChange::DropTable { schema, name },
            });
        }
        let sequences = catalog
            .sequences
            .keys()
            .filter(|(schema, _)| *schema == name);
        let types = catalog.types.keys().filter(|(schema, _)| *schema == name);
        let owned = |sequence: &str| {
            let id = catalog.sequence(&name, sequence).map(|found| found.id);
            let columns = catalog.tables.values().flat_map(|table| &table.columns);
            columns
                .filter(|column| column.sequence.is_some())
                .any(|column| column.sequence == id)
        };
        let loose = sequences
            .clone()
            .filter(|(_, sequence)| !owned(sequence))
            .count();
        if !cascade && loose + types.clone().count() > 0 {
            return Err(SqlError::new(
                ErrorKind::DependentObjectsStillExist,
                format!("cannot drop schema {name} because other objects depend on it"),
            )
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        plan.changes.extend(sequences.map(|(schema, name)| {
            let (schema, name) = (schema.clone(), name.clone());
            CatalogChange::DropSequence { schema, name }
        }));
        plan.changes.extend(types.map(|(schema, name)| {
            let (schema, name) = (schema.clone(), name.clone());
            CatalogChange::DropType { schema, name }
        }));
        plan.changes.push(CatalogChange::DropSchema(name.clone()));
        dropped.push(name);
    }
    Ok(plan)
}
