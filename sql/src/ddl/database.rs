//! CREATE DATABASE, DROP DATABASE, ALTER DATABASE … RENAME.

use datafusion::sql::sqlparser::ast::Ident;
use tidelog_storage::{Catalog, CatalogChange, DatabaseDef, DatabaseId};

use super::owner::check_owner;
use super::{DdlPlan, fold};
use crate::error::{ErrorKind, SqlError};
use crate::parse::DatabaseCommand;

pub(super) fn plan(catalog: &Catalog, command: &DatabaseCommand) -> Result<DdlPlan, SqlError> {
    match command {
        DatabaseCommand::Create { name, options } => create(catalog, fold(name), options),
        DatabaseCommand::Drop {
            if_exists, name, ..
        } => drop(catalog, name, *if_exists),
        DatabaseCommand::Rename { name, to } => rename(catalog, name, fold(to)),
    }
}

fn create(
    catalog: &Catalog,
    name: String,
    options: &[(String, Option<String>)],
) -> Result<DdlPlan, SqlError> {
    for (option, value) in options {
        check_option(catalog, option, value.as_deref())?;
    }
    check_free(catalog, &name)?;
    let id = catalog.next_database_id();
    let mut plan = DdlPlan::new("CREATE DATABASE");
    let database = DatabaseDef { id, name };
    plan.changes.push(CatalogChange::CreateDatabase(database));
    Ok(plan)
}

/// What would make the database another than those that there are is refused.
fn check_option(catalog: &Catalog, option: &str, value: Option<&str>) -> Result<(), SqlError> {
    let lower = value.map(str::to_lowercase);
    let lower = lower.as_deref();
    let same = match option {
        "owner" => return value.map_or(Ok(()), |owner| check_owner(catalog, owner)),
        "template" => match value {
            None | Some("template0" | "template1") => true,
            Some(name) if catalog.database_named(name).is_none() => {
                let message = format!("template database \"{name}\" does not exist");
                return Err(SqlError::new(ErrorKind::UndefinedDatabase, message));
            }
            Some(_) => false,
        },
        "encoding" => matches!(lower, None | Some("utf8" | "utf-8" | "unicode" | "6")),
        // Text compares by its bytes.
        "locale" | "lc_collate" | "lc_ctype" => {
            matches!(lower, None | Some("c" | "posix" | "c.utf8" | "c.utf-8"))
        }
        "locale_provider" => matches!(lower, None | Some("libc")),
        "tablespace" => matches!(lower, None | Some("pg_default")),
        "connection_limit" => matches!(lower, None | Some("-1")),
        "allow_connections" => matches!(lower, None | Some("true" | "on" | "1")),
        "is_template" => matches!(lower, None | Some("false" | "off" | "0")),
        "strategy" => matches!(lower, None | Some("wal_log" | "file_copy")),
        "collation_version" => true,
        _ => false,
    };
    match (same, value) {
        (true, _) => Ok(()),
        (false, value) => Err(SqlError::unsupported(format!(
            "CREATE DATABASE with {} {}",
            option.to_uppercase(),
            value.unwrap_or("DEFAULT")
        ))),
    }
}

fn check_free(catalog: &Catalog, name: &str) -> Result<(), SqlError> {
    // PostgreSQL has these two, and here they are what CREATE DATABASE copies.
    match catalog.database_named(name).is_some() || ["template0", "template1"].contains(&name) {
        true => {
            let message = format!("database \"{name}\" already exists");
            Err(SqlError::new(ErrorKind::DuplicateDatabase, message))
        }
        false => Ok(()),
    }
}

fn drop(catalog: &Catalog, name: &Ident, if_exists: bool) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP DATABASE");
    let database = match find(catalog, &fold(name)) {
        Err(error) if if_exists => {
            plan.skip(error);
            return Ok(plan);
        }
        found => found?,
    };
    if database.id == catalog.database {
        let message = "cannot drop the currently open database";
        return Err(SqlError::new(ErrorKind::ObjectInUse, message));
    }
    check_not_first(database, "DROP DATABASE")?;
    plan.changes.push(CatalogChange::DropDatabase(database.id));
    Ok(plan)
}

fn rename(catalog: &Catalog, name: &Ident, to: String) -> Result<DdlPlan, SqlError> {
    let database = find(catalog, &fold(name))?;
    if database.id == catalog.database {
        let message = "current database cannot be renamed";
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    check_free(catalog, &to)?;
    check_not_first(database, "ALTER DATABASE … RENAME")?;
    let mut plan = DdlPlan::new("ALTER DATABASE");
    let (id, name) = (database.id, to);
    let renamed = DatabaseDef { id, name };
    plan.changes.push(CatalogChange::RenameDatabase(renamed));
    Ok(plan)
}

/// The database of this name.
pub(crate) fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a DatabaseDef, SqlError> {
    let missing = || {
        let message = format!("database \"{name}\" does not exist");
        SqlError::new(ErrorKind::UndefinedDatabase, message)
    };
    catalog.database_named(name).ok_or_else(missing)
}

/// The first one is where those look who name none.
fn check_not_first(database: &DatabaseDef, what: &str) -> Result<(), SqlError> {
    match database.id == DatabaseId::FIRST {
        true => Err(SqlError::unsupported(format!(
            "{what} of {}",
            database.name
        ))),
        false => Ok(()),
    }
}
