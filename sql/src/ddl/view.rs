//! CREATE, ALTER and DROP VIEW, and what changes of tables mean for the views over them.
//!
//! Guarantees: a view's text names every relation with its schema; while it stands, the relations that it is over
//! give the columns that it was made with. Does not: plan queries (its caller tells a query's columns).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, CreateView, Ident, ObjectName, Query, TableFactor};
use tidelog_storage::{CatalogChange, ColumnDef, ColumnType, ViewDef};

use super::{Catalog, DdlPlan, Scope, display, fold, kinds, materialized, split, temp};
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{ViewChange, identifier, parse_query, quoted};
use crate::system;

/// Names and types of a query's columns.
pub(crate) type Describe<'a> =
    &'a dyn Fn(&Catalog, &Query) -> Result<Vec<(String, ColumnType)>, SqlError>;

/// CREATE [OR REPLACE] VIEW.
pub(super) fn create(
    scope: Scope<'_>,
    create: &CreateView,
    describe: Describe<'_>,
) -> Result<DdlPlan, SqlError> {
    for (given, what) in [
        (create.materialized, "CREATE MATERIALIZED VIEW"),
        (create.if_not_exists, "CREATE VIEW IF NOT EXISTS"),
        (
            create.or_alter || create.secure || create.copy_grants || create.to.is_some(),
            "this form of CREATE VIEW",
        ),
    ] {
        if given {
            return Err(SqlError::unsupported(what));
        }
    }
    let mut plan = DdlPlan::new("CREATE VIEW");
    let mut query = (*create.query).clone();
    let over_temporary = qualify(&mut query, scope)?;
    let temporary = create.temporary || over_temporary;
    let (schema, name) = temp::place(scope, temporary, &create.name, &mut plan)?;
    if over_temporary && !create.temporary && !temp::names_own(&create.name) {
        let message = format!("view \"{name}\" will be a temporary view");
        let notice = SqlError::new(ErrorKind::SuccessfulCompletion, message);
        plan.notices.push(notice);
    }
    let before = scope.catalog.view(&schema, &name);
    if scope.catalog.table(&schema, &name).is_some() || before.is_some() && !create.or_replace {
        return Err(match before {
            None if create.or_replace => not_a_view(&name),
            _ => super::table::duplicate_table(&name),
        });
    }
    let mut columns = describe(scope.catalog, &query)?;
    if create.columns.len() > columns.len() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    for (column, given) in columns.iter_mut().zip(&create.columns) {
        column.0 = fold(&given.name);
    }
    let mut names = BTreeSet::new();
    if let Some((twice, _)) = columns.iter().find(|(name, _)| !names.insert(name.clone())) {
        let message = format!("column \"{twice}\" specified more than once");
        return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
    }
    let view = ViewDef {
        schema,
        name,
        columns,
        query: query.to_string(),
        comments: before.map(|view| view.comments.clone()).unwrap_or_default(),
    };
    if let Some(before) = before {
        check_replaceable(before, &view)?;
        let is_itself = |(schema, name): &Name| (schema, name) == (&view.schema, &view.name);
        if reaches(scope.catalog, &view, &is_itself)? {
            let message = format!(
                "infinite recursion detected in rules for relation \"{}\"",
                view.name
            );
            return Err(SqlError::new(ErrorKind::InvalidObjectDefinition, message));
        }
    }
    plan.changes.push(CatalogChange::PutView(Box::new(view)));
    Ok(plan)
}

/// A view may be replaced by one that has its columns, and perhaps more.
fn check_replaceable(before: &ViewDef, view: &ViewDef) -> Result<(), SqlError> {
    let refused = |message: String| Err(SqlError::new(ErrorKind::InvalidTableDefinition, message));
    if view.columns.len() < before.columns.len() {
        return refused("cannot drop columns from view".to_string());
    }
    for ((old, old_ty), (new, ty)) in before.columns.iter().zip(&view.columns) {
        if old != new {
            return refused(format!(
                "cannot change name of view column \"{old}\" to \"{new}\""
            ));
        }
        if old_ty != ty {
            return refused(format!(
                "cannot change data type of view column \"{old}\" from {} to {}",
                crate::types::name(*old_ty),
                crate::types::name(*ty)
            ));
        }
    }
    Ok(())
}

/// DROP VIEW.
pub(super) fn drop(
    scope: Scope<'_>,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP VIEW");
    for name in names {
        let (schema, name) = split(name)?;
        match find(scope, schema.as_deref(), &name) {
            Some(view) => plan.changes.push(CatalogChange::DropView {
                schema: view.schema.clone(),
                name: view.name.clone(),
            }),
            None => {
                if let Some(error) = kinds::another(scope, schema.as_deref(), &name, "VIEW") {
                    return Err(error);
                }
                let error = no_view(&display(schema.as_deref(), &name));
                if !if_exists {
                    return Err(error);
                }
                plan.skip(error);
            }
        }
    }
    Ok(plan)
}

/// The view that a name stands for: the schema's, or the first along the search path.
pub(crate) fn find_view<'a>(
    catalog: &'a Catalog,
    search_path: &[String],
    schema: Option<&str>,
    name: &str,
) -> Option<&'a ViewDef> {
    let view = match schema {
        Some(schema) => catalog.view(temp::resolved(search_path, schema)?, name),
        None => search_path
            .iter()
            .find_map(|schema| catalog.view(schema, name)),
    };
    view.map(|view| &**view)
}

fn find<'a>(scope: Scope<'a>, schema: Option<&str>, name: &str) -> Option<&'a ViewDef> {
    find_view(scope.catalog, scope.search_path, schema, name)
}

fn not_a_view(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::WrongObjectType,
        format!("\"{name}\" is not a view"),
    )
}

fn no_view(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UndefinedTable,
        format!("view \"{name}\" does not exist"),
    )
}

/// A query's text whose relations are named with their schemas; it is over nothing temporary.
pub(crate) fn lasting(
    query: &Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<String, SqlError> {
    let mut query = query.clone();
    let scope = Scope {
        catalog,
        search_path,
    };
    if qualify(&mut query, scope)? {
        let message = "materialized views must not use temporary tables or views";
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    Ok(query.to_string())
}

/// Names every relation of a query with its schema; says whether one of them is temporary.
fn qualify(query: &mut Query, scope: Scope<'_>) -> Result<bool, SqlError> {
    struct Qualify<'a> {
        scope: Scope<'a>,
        temporary: bool,
        ctes: BTreeSet<String>,
    }
    impl ast::VisitorMut for Qualify<'_> {
        type Break = SqlError;

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
            let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
            self.ctes.extend(ctes.map(|cte| fold(&cte.alias.name)));
            ControlFlow::Continue(())
        }

        fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<SqlError> {
            *name = super::without_database(self.scope.catalog, name).into_owned();
            let (schema, relation) = match split(name) {
                Ok(parts) => parts,
                Err(error) => return ControlFlow::Break(error),
            };
            let Scope {
                catalog,
                search_path,
            } = self.scope;
            if let Some(schema) = schema {
                // What pg_temp stands for is another schema in each session.
                let resolved = temp::resolved(search_path, &schema);
                if resolved.is_some_and(temp::is_temporary) {
                    self.temporary = true;
                    let schema = resolved.unwrap_or(&schema);
                    *name = ObjectName::from(vec![quoted(schema), quoted(&relation)]);
                }
                return ControlFlow::Continue(());
            }
            if self.ctes.contains(&relation) {
                return ControlFlow::Continue(());
            }
            let schema = if system::relation(None, &relation).is_some() {
                "pg_catalog"
            } else if let Some(view) = find(self.scope, None, &relation) {
                &view.schema
            } else if let Some(table) = super::find(catalog, search_path, None, &relation) {
                &table.schema
            } else {
                // A table function, or nothing that exists, which planning tells.
                return ControlFlow::Continue(());
            };
            self.temporary |= temp::is_temporary(schema);
            *name = ObjectName::from(vec![quoted(schema), quoted(&relation)]);
            ControlFlow::Continue(())
        }
    }
    let mut qualify = Qualify {
        scope,
        temporary: false,
        ctes: BTreeSet::new(),
    };
    match query.walk_mut(&mut qualify) {
        ControlFlow::Continue(()) => Ok(qualify.temporary),
        ControlFlow::Break(error) => Err(error),
    }
}

pub(super) type Name = (String, String);

/// The relations that a view is over, by schema and name.
pub(crate) fn relations(view: &ViewDef) -> Result<BTreeSet<Name>, SqlError> {
    struct Relations(BTreeSet<Name>);
    impl ast::Visitor for Relations {
        type Break = ();

        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
            if let Ok((Some(schema), name)) = split(name) {
                self.0.insert((schema, name));
            }
            ControlFlow::Continue(())
        }
    }
    let mut relations = Relations(BTreeSet::new());
    let _ = parse_query(&view.query)?.walk(&mut relations);
    Ok(relations.0)
}

/// Whether a view is, by other views too, over a relation such as this.
pub(super) fn reaches(
    catalog: &Catalog,
    view: &ViewDef,
    is_such: &dyn Fn(&Name) -> bool,
) -> Result<bool, SqlError> {
    let below = relations(view)?;
    if below.iter().any(is_such) {
        return Ok(true);
    }
    for (schema, relation) in &below {
        if let Some(view) = catalog.view(schema, relation)
            && reaches(catalog, view, is_such)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The view with another name for one of the relations that it is over, which goes on under the old one where the view says
/// that in front of columns.
fn renamed(view: &ViewDef, old: &Name, new: &Name) -> Result<ViewDef, SqlError> {
    struct Rename<'a>(&'a Name, &'a Name, bool);
    impl ast::VisitorMut for Rename<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias, .. } = factor
                && self.2
                && self.0.1 != self.1.1
                && alias.is_none()
                && split(name).is_ok_and(|(schema, relation)| {
                    (schema.as_ref(), &relation) == (Some(&self.0.0), &self.0.1)
                })
            {
                *alias = Some(ast::TableAlias {
                    explicit: true,
                    name: quoted(&self.0.1),
                    columns: Vec::new(),
                    at: None,
                });
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
            if let Ok((Some(schema), relation)) = split(name)
                && (&schema, &relation) == (&self.0.0, &self.0.1)
            {
                let parts: Vec<Ident> = [&self.1.0, &self.1.1].map(|part| quoted(part)).into();
                *name = ObjectName::from(parts);
            }
            ControlFlow::Continue(())
        }
    }
    let mut query = parse_query(&view.query)?;
    let names = [old.1.clone(), quoted(&old.1).to_string()];
    let qualifies = names.map(|name| view.query.contains(&format!("{name}.")));
    let _ = query.walk_mut(&mut Rename(old, new, qualifies.contains(&true)));
    Ok(ViewDef {
        query: query.to_string(),
        ..view.clone()
    })
}

/// ALTER TABLE … RENAME TO of a view, and ALTER VIEW … RENAME TO.
pub(super) fn rename(
    scope: Scope<'_>,
    view: &ViewDef,
    new: &ObjectName,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER VIEW");
    let new = super::single(new)?;
    let taken = scope.catalog.table(&view.schema, &new).is_some()
        || scope.catalog.view(&view.schema, &new).is_some();
    if taken {
        return Err(super::table::duplicate_table(&new));
    }
    plan.changes.push(CatalogChange::DropView {
        schema: view.schema.clone(),
        name: view.name.clone(),
    });
    plan.changes.push(CatalogChange::PutView(Box::new(ViewDef {
        name: new.clone(),
        ..view.clone()
    })));
    let (old, new) = (&view.name, (view.schema.clone(), new));
    follow_rename(scope, (&view.schema, old), &new, &mut plan)?;
    Ok(plan)
}

/// ALTER VIEW … RENAME and ALTER COLUMN.
pub(super) fn alter(
    scope: Scope<'_>,
    if_exists: bool,
    name: &ObjectName,
    change: &ViewChange,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("ALTER VIEW");
    let (schema, short) = split(name)?;
    let Some(view) = find_view(scope.catalog, scope.search_path, schema.as_deref(), &short) else {
        match super::resolve(scope.catalog, scope.search_path, name) {
            Ok(_) => return Err(not_a_view(&short)),
            Err(error) if if_exists && error.kind == ErrorKind::UndefinedTable => plan.skip(error),
            Err(error) => return Err(error),
        }
        return Ok(plan);
    };
    let (from, to) = match change {
        ViewChange::Rename(to) => return rename(scope, view, to),
        ViewChange::RenameColumn { from, to } => (fold(from), fold(to)),
        ViewChange::Default => {
            return Err(SqlError::unsupported("a default of a view's column"));
        }
    };
    let mut view = view.clone();
    if view.columns.iter().any(|(name, _)| *name == to) {
        let message = format!(
            "column \"{to}\" of relation \"{}\" already exists",
            view.name
        );
        return Err(SqlError::new(ErrorKind::DuplicateColumn, message));
    }
    match view.columns.iter_mut().find(|(name, _)| *name == from) {
        Some((name, _)) => *name = to,
        None => {
            let message = format!("column \"{from}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        }
    }
    plan.changes.push(CatalogChange::PutView(Box::new(view)));
    Ok(plan)
}

/// ALTER VIEW … SET SCHEMA.
pub(super) fn set_schema(
    scope: Scope<'_>,
    view: &ViewDef,
    schema: &str,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    plan.changes.push(CatalogChange::DropView {
        schema: view.schema.clone(),
        name: view.name.clone(),
    });
    plan.changes.push(CatalogChange::PutView(Box::new(ViewDef {
        schema: schema.to_string(),
        ..view.clone()
    })));
    let new = (schema.to_string(), view.name.clone());
    follow_rename(scope, (&view.schema, &view.name), &new, plan)
}

/// Gives the views over a relation its new name.
pub(super) fn follow_rename(
    scope: Scope<'_>,
    (schema, old): (&str, &str),
    new: &Name,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    let old = (schema.to_string(), old.to_string());
    for view in scope.catalog.views.values() {
        if relations(view)?.contains(&old) {
            let view = renamed(view, &old, new)?;
            plan.changes.push(CatalogChange::PutView(Box::new(view)));
        }
    }
    for (table, view) in materialized::all(scope.catalog) {
        if relations(&view)?.contains(&old) {
            let query = renamed(&view, &old, new)?.query;
            let populated = table.materialized.as_ref().is_some_and(|of| of.populated);
            let table = materialized::filled(table, query, populated);
            plan.changes.push(CatalogChange::PutTable(Box::new(table)));
        }
    }
    Ok(())
}

/// Lets the views be that a plan's changes take something from: refuses the plan, or drops them, too, when it cascades.
pub(crate) fn check_dependent(
    Scope {
        catalog,
        search_path,
    }: Scope<'_>,
    plan: &mut DdlPlan,
    cascades: bool,
    describe: Describe<'_>,
) -> Result<(), SqlError> {
    if catalog.views.is_empty() && materialized::all(catalog).next().is_none() {
        return Ok(());
    }
    loop {
        let changed = catalog.changed(&plan.changes);
        let mut broken = Vec::new();
        let kept = materialized::all(&changed).map(|(_, view)| Arc::new(view));
        for view in changed.views.values().cloned().chain(kept) {
            let query = parse_query(&view.query)?;
            let holds = |columns: Vec<(String, ColumnType)>| {
                let mut types = columns.iter().zip(&view.columns);
                columns.len() == view.columns.len()
                    && types.all(|((_, now), (_, kept))| is_kept_type(*now, *kept))
            };
            let is_broken = match describe(&changed, &query) {
                Ok(columns) => !holds(columns),
                Err(_) => {
                    // What is another session's is not found, and `_user` is not for all roles.
                    let foreign = temp::resolved(search_path, &view.schema).is_none()
                        || describe(catalog, &query).is_err();
                    !foreign || plan.takes_away(catalog, &relations(&view)?).is_some()
                }
            };
            if is_broken {
                broken.push(view);
            }
        }
        let Some(view) = broken.first() else {
            return Ok(());
        };
        if !cascades {
            return Err(refusal(catalog, plan, &broken)?);
        }
        let (schema, name) = (view.schema.clone(), view.name.clone());
        let is_kept = changed.table(&schema, &name).is_some();
        let what = if is_kept { "materialized view" } else { "view" };
        let message = format!("drop cascades to {what} {}", identifier(&name));
        let kind = ErrorKind::DependentObjectsStillExist;
        plan.notices.push(SqlError::new(kind, message));
        // In front: a schema goes last.
        let change = match is_kept {
            true => CatalogChange::DropTable { schema, name },
            false => CatalogChange::DropView { schema, name },
        };
        plan.changes.insert(0, change);
    }
}

/// Why a plan cannot be that breaks these views.
fn refusal(
    catalog: &Catalog,
    plan: &DdlPlan,
    broken: &[Arc<ViewDef>],
) -> Result<SqlError, SqlError> {
    let (mut taken, mut lines, mut later) = (None, Vec::new(), Vec::new());
    let shown = |view: &ViewDef| match catalog.table(&view.schema, &view.name) {
        Some(_) => format!("materialized view {}", identifier(&view.name)),
        None => format!("view {}", identifier(&view.name)),
    };
    for view in broken {
        let below = relations(view)?;
        if let Some(what) = plan.takes_away(catalog, &below) {
            lines.push(format!("{} depends on {what}", shown(view)));
            taken = taken.or(Some(what));
        } else if let Some(other) = (broken.iter())
            .find(|other| below.contains(&(other.schema.clone(), other.name.clone())))
        {
            later.push(format!("{} depends on {}", shown(view), shown(other)));
        }
    }
    let Some(what) = taken else {
        let retyped = (broken.iter()).find_map(|view| Some((view, plan.retypes(catalog, view)?)));
        if let Some((view, column)) = retyped {
            let message = "cannot alter type of a column used by a view or rule";
            let detail = format!(
                "rule _RETURN on {} depends on column \"{column}\"",
                shown(view)
            );
            let kind = ErrorKind::FeatureNotSupported;
            return Ok(SqlError::new(kind, message).detail(detail));
        }
        let names: Vec<&str> = broken.iter().map(|view| view.name.as_str()).collect();
        let names = names.join(", ");
        return Ok(SqlError::unsupported(format!(
            "{} of what the view {names} uses",
            plan.tag
        )));
    };
    let message = format!("cannot drop {what} because other objects depend on it");
    let kind = ErrorKind::DependentObjectsStillExist;
    Ok(SqlError::new(kind, message)
        .detail([lines, later].concat().join("\n"))
        .hint("Use DROP ... CASCADE to drop the dependent objects too."))
}

/// Whether a column of a view has the type that is kept of it. Earlier versions kept the precision of numerics that are
/// computed, too.
fn is_kept_type(now: ColumnType, kept: ColumnType) -> bool {
    now == kept
        || matches!(
            (now, kept),
            (ColumnType::Numeric(None), ColumnType::Numeric(Some(_)))
        )
        // The same type to users.
        || now.elements().is_some() && now.elements() == kept.elements()
}

impl DdlPlan {
    /// The first column of what a view is over that gets another type.
    fn retypes(&self, catalog: &Catalog, view: &ViewDef) -> Option<String> {
        let below = relations(view).ok()?;
        self.changes.iter().find_map(|change| {
            let CatalogChange::PutTable(table) = change else {
                return None;
            };
            let before = catalog.table(&table.schema, &table.name)?;
            let is_retyped = |column: &&ColumnDef| {
                let now = table.index_of(column.id).map(|at| table.columns[at].ty);
                now.is_some_and(|now| now != column.ty)
            };
            let column = before.columns.iter().find(is_retyped)?;
            let is_below = below.contains(&(table.schema.clone(), table.name.clone()));
            is_below.then(|| column.name.clone())
        })
    }

    /// What it takes away of some relations, as a message names it.
    fn takes_away(&self, catalog: &Catalog, relations: &BTreeSet<Name>) -> Option<String> {
        for change in &self.changes {
            match change {
                CatalogChange::DropTable { schema, name }
                    if relations.contains(&(schema.clone(), name.clone())) =>
                {
                    let table = catalog.table(schema, name);
                    let kept = table.is_some_and(|table| table.materialized.is_some());
                    let what = if kept { "materialized view" } else { "table" };
                    return Some(format!("{what} {}", identifier(name)));
                }
                CatalogChange::DropView { schema, name }
                    if relations.contains(&(schema.clone(), name.clone())) =>
                {
                    return Some(format!("view {}", identifier(name)));
                }
                CatalogChange::PutTable(table)
                    if relations.contains(&(table.schema.clone(), table.name.clone())) =>
                {
                    let before = catalog.table_by_id(table.id);
                    let gone = before.and_then(|before| {
                        let has = |id| table.columns.iter().any(|column| column.id == id);
                        before.columns.iter().find(|column| !has(column.id))
                    });
                    if let Some(column) = gone {
                        let table = identifier(&table.name);
                        let what = format!("column {} of table {table}", column.name);
                        return Some(what);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
