//! ALTER … OWNER TO, which changes nothing: everything is the superusers'.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

use tidelog_storage::Catalog;

use super::{DdlPlan, Scope, check_relation, database, enums, fold, index, no_schema, single};
use crate::error::{ErrorKind, SqlError};

pub(super) fn alter(
    scope: Scope<'_>,
    of: &str,
    if_exists: bool,
    name: &ObjectName,
    owner: &Ident,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new(match of {
        "SCHEMA" => "ALTER SCHEMA",
        "TYPE" => "ALTER TYPE",
        "SEQUENCE" => "ALTER SEQUENCE",
        "VIEW" => "ALTER VIEW",
        "INDEX" => "ALTER INDEX",
        "TABLE" => "ALTER TABLE",
        "DATABASE" => "ALTER DATABASE",
        other => return Err(SqlError::unsupported(format!("ALTER {other} … OWNER TO"))),
    });
    let found = match of {
        "SCHEMA" => {
            let name = single(name)?;
            match scope.catalog.schemas.contains(&name) {
                true => Ok(()),
                false => Err(no_schema(&name)),
            }
        }
        "DATABASE" => database::find(scope.catalog, &single(name)?).map(drop),
        "TYPE" => enums::resolve(scope, name).map(drop),
        "INDEX" => index::find(scope, name).map(drop),
        _ => check_relation(scope.catalog, scope.search_path, name),
    };
    if let Err(error) = found {
        if !if_exists {
            return Err(error);
        }
        plan.skip(error);
        return Ok(plan);
    }
    check_owner(scope.catalog, &fold(owner))?;
    Ok(plan)
}

/// Everything belongs to the superusers.
pub(super) fn check_owner(catalog: &Catalog, owner: &str) -> Result<(), SqlError> {
    let special = ["current_user", "current_role", "session_user"].contains(&owner);
    let superuser = match catalog.roles.get(owner) {
        Some(role) => role.superuser,
        // Only a superuser runs DDL.
        None if special => true,
        None => {
            let message = format!("role \"{owner}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedObject, message));
        }
    };
    match superuser {
        true => Ok(()),
        false => Err(SqlError::unsupported("an owner that is no superuser")),
    }
}
