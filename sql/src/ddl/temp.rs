//! Temporary tables, views and types: they stand in a schema of their session's own, which goes with it.
//!
//! Guarantees: nobody else finds them by name, and nothing that lasts depends on them.
//! Does not: know when a session ends.

use datafusion::sql::sqlparser::ast::ObjectName;
use tidelog_storage::catalog::TEMPORARY_PREFIX;
pub(crate) use tidelog_storage::catalog::is_temporary;
use tidelog_storage::{Catalog, CatalogChange};

use super::{DdlPlan, Scope, fold, split};
use crate::error::{ErrorKind, SqlError};

/// What a session calls its own.
const OWN: &str = "pg_temp";

/// The schema of the temporary tables of a session.
pub(crate) fn schema_of(pid: i32) -> String {
    format!("{TEMPORARY_PREFIX}{pid}")
}

/// The schema that a name in front of another means: `pg_temp` is the session's own, and others' are not seen.
pub(crate) fn resolved<'a>(search_path: &'a [String], schema: &'a str) -> Option<&'a str> {
    if schema == OWN {
        let mut path = search_path.iter();
        return path.find(|own| is_temporary(own)).map(String::as_str);
    }
    let hidden = is_temporary(schema) && !search_path.iter().any(|own| own == schema);
    (!hidden).then_some(schema)
}

/// Whether a name has the session's own temporary schema in front of it, whether that is there or not.
pub(crate) fn names_own(name: &ObjectName) -> bool {
    let schema = match name.0.as_slice() {
        [schema, _] => schema.as_ident(),
        _ => None,
    };
    schema.is_some_and(|schema| fold(schema) == OWN)
}

/// The schema and the name of what is made: in the temporary schema where it is said to be temporary, or named so.
pub(super) fn place(
    scope: Scope<'_>,
    temporary: bool,
    name: &ObjectName,
    plan: &mut DdlPlan,
) -> Result<(String, String), SqlError> {
    if !temporary && !names_own(name) {
        return super::table::target(scope, name);
    }
    let (given, name) = split(name)?;
    Ok((target(scope, given.as_deref(), plan)?, name))
}

/// The schema that what is temporary is made in, which the plan makes first if it is not there.
pub(super) fn target(
    scope: Scope<'_>,
    given: Option<&str>,
    plan: &mut DdlPlan,
) -> Result<String, SqlError> {
    let own = scope.search_path.iter().find(|schema| is_temporary(schema));
    let own = own.ok_or_else(|| SqlError::unsupported("CREATE TEMPORARY TABLE"))?;
    if given.is_some_and(|given| given != OWN && given != own) {
        let message = "cannot create temporary relation in non-temporary schema";
        return Err(SqlError::new(ErrorKind::InvalidTableDefinition, message));
    }
    if !scope.catalog.schemas.contains(own) {
        plan.changes.push(CatalogChange::CreateSchema(own.clone()));
    }
    Ok(own.clone())
}

/// What takes away the schemas of temporary tables for which `gone` says so, and all that is in them.
pub(crate) fn drop_all(catalog: &Catalog, gone: impl Fn(&str) -> bool) -> Vec<CatalogChange> {
    let gone = |schema: &String| is_temporary(schema) && gone(schema);
    let mut changes = Vec::new();
    for ((schema, name), _) in catalog.views.iter().filter(|((schema, _), _)| gone(schema)) {
        let (schema, name) = (schema.clone(), name.clone());
        changes.push(CatalogChange::DropView { schema, name });
    }
    for ((schema, name), _) in catalog
        .tables
        .iter()
        .filter(|((schema, _), _)| gone(schema))
    {
        let (schema, name) = (schema.clone(), name.clone());
        changes.push(CatalogChange::DropTable { schema, name });
    }
    for ((schema, name), _) in (catalog.sequences.iter()).filter(|((schema, _), _)| gone(schema)) {
        let (schema, name) = (schema.clone(), name.clone());
        changes.push(CatalogChange::DropSequence { schema, name });
    }
    for ((schema, name), _) in catalog.types.iter().filter(|((schema, _), _)| gone(schema)) {
        let (schema, name) = (schema.clone(), name.clone());
        changes.push(CatalogChange::DropType { schema, name });
    }
    for schema in catalog.schemas.iter().filter(|schema| gone(schema)) {
        changes.push(CatalogChange::DropSchema(schema.clone()));
    }
    changes
}

/// Whether all that changes is temporary and of the session with this search path: every role may do that.
pub(crate) fn only_own(search_path: &[String], changes: &[CatalogChange]) -> bool {
    !changes.is_empty()
        && changes.iter().all(|change| {
            let own =
                |schema: &str| is_temporary(schema) && search_path.iter().any(|own| own == schema);
            change.schema().is_some_and(own)
        })
}

/// 42P16 when of two tables that a foreign key is between only one is temporary.
pub(super) fn check_reference(child: &str, parent: &str) -> Result<(), SqlError> {
    let kind = match (is_temporary(child), is_temporary(parent)) {
        (false, true) => "permanent",
        (true, false) => "temporary",
        _ => return Ok(()),
    };
    let message = format!("constraints on {kind} tables may reference only {kind} tables");
    Err(SqlError::new(ErrorKind::InvalidTableDefinition, message))
}
