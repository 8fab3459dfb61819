//! CREATE, ALTER and DROP of roles.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    AlterRoleOperation, CreateRole, Expr, Ident, ObjectName, Password, RoleOption, Value,
};
use tidelog_storage::{BOOTSTRAP_ROLE, Catalog, CatalogChange, RoleDef, RoleId, TableDef};

use super::{DdlPlan, display, fold, single};
use crate::error::{ErrorKind, SqlError};
use crate::scram;

pub(super) fn create(catalog: &Catalog, create: &CreateRole) -> Result<DdlPlan, SqlError> {
    for (given, option) in [
        (create.inherit == Some(false), "NOINHERIT"),
        (create.create_db == Some(true), "CREATEDB"),
        (create.create_role == Some(true), "CREATEROLE"),
        (create.replication == Some(true), "REPLICATION"),
        (create.connection_limit.is_some(), "CONNECTION LIMIT"),
        (create.valid_until.is_some(), "VALID UNTIL"),
        (!create.in_role.is_empty(), "IN ROLE"),
        (!create.in_group.is_empty(), "IN GROUP"),
        (!create.role.is_empty(), "ROLE"),
        (!create.user.is_empty(), "USER"),
        (!create.admin.is_empty(), "ADMIN"),
        (create.authorization_owner.is_some(), "AUTHORIZATION"),
    ] {
        if given {
            return Err(SqlError::unsupported(format!("role option {option}")));
        }
    }
    let mut plan = DdlPlan::new("CREATE ROLE");
    for name in &create.names {
        let role = RoleDef {
            id: RoleId::new(catalog.next_role_id().oid() + plan.changes.len() as u32),
            name: single(name)?,
            login: create.login.unwrap_or(false),
            superuser: create.superuser.unwrap_or(false),
            bypass_rls: create.bypassrls.unwrap_or(false),
            password: create
                .password
                .as_ref()
                .map(password)
                .transpose()?
                .flatten(),
        };
        put_new(catalog, role, create.if_not_exists, &mut plan)?;
    }
    Ok(plan)
}

fn put_new(
    catalog: &Catalog,
    role: RoleDef,
    if_not_exists: bool,
    plan: &mut DdlPlan,
) -> Result<(), SqlError> {
    check_not_reserved(&role.name)?;
    if catalog.roles.contains_key(&role.name) {
        if !if_not_exists {
            return Err(duplicate(&role.name));
        }
        plan.skip(duplicate(&role.name));
        return Ok(());
    }
    plan.changes.push(CatalogChange::PutRole(role));
    Ok(())
}

fn check_not_reserved(name: &str) -> Result<(), SqlError> {
    let message = format!("role name \"{name}\" is reserved");
    let reserved = SqlError::new(ErrorKind::ReservedName, message);
    match name {
        _ if name.starts_with("pg_") => {
            Err(reserved.detail("Role names starting with \"pg_\" are reserved."))
        }
        "public" | "none" => Err(reserved),
        _ => Ok(()),
    }
}

fn duplicate(name: &str) -> SqlError {
    let message = format!("role \"{name}\" already exists");
    SqlError::new(ErrorKind::DuplicateObject, message)
}

pub(super) fn alter(
    catalog: &Catalog,
    name: &Ident,
    operation: &AlterRoleOperation,
) -> Result<DdlPlan, SqlError> {
    let name = fold(name);
    let mut role = RoleDef::clone(catalog.roles.get(&name).ok_or_else(|| undefined(&name))?);
    let options = match operation {
        AlterRoleOperation::WithOptions { options } => options,
        AlterRoleOperation::RenameRole { role_name } => {
            return rename(catalog, &role, fold(role_name));
        }
        _ => return Err(SqlError::unsupported("this form of ALTER ROLE")),
    };
    for option in options {
        let unsupported =
            |option: &str| Err(SqlError::unsupported(format!("role option {option}")));
        match option {
            RoleOption::Login(on) => role.login = *on,
            RoleOption::SuperUser(true) => role.superuser = true,
            RoleOption::SuperUser(false) if name == BOOTSTRAP_ROLE => {
                return Err(SqlError::new(
                    ErrorKind::FeatureNotSupported,
                    "permission denied to alter role: the bootstrap user must have the SUPERUSER attribute",
                ));
            }
            RoleOption::SuperUser(false) => role.superuser = false,
            RoleOption::BypassRLS(on) => role.bypass_rls = *on,
            RoleOption::Password(given) => role.password = password(given)?,
            RoleOption::Inherit(true)
            | RoleOption::CreateDB(false)
            | RoleOption::CreateRole(false)
            | RoleOption::Replication(false) => {}
            RoleOption::Inherit(false) => return unsupported("NOINHERIT"),
            RoleOption::CreateDB(true) => return unsupported("CREATEDB"),
            RoleOption::CreateRole(true) => return unsupported("CREATEROLE"),
            RoleOption::Replication(true) => return unsupported("REPLICATION"),
            RoleOption::ConnectionLimit(_) => return unsupported("CONNECTION LIMIT"),
            RoleOption::ValidUntil(_) => return unsupported("VALID UNTIL"),
        }
    }
    let mut plan = DdlPlan::new("ALTER ROLE");
    plan.changes.push(CatalogChange::PutRole(role));
    Ok(plan)
}

fn rename(catalog: &Catalog, role: &RoleDef, to: String) -> Result<DdlPlan, SqlError> {
    check_not_reserved(&role.name)?;
    check_not_reserved(&to)?;
    if catalog.roles.contains_key(&to) {
        return Err(duplicate(&to));
    }
    if role.id == RoleId::BOOTSTRAP {
        return Err(SqlError::unsupported(format!(
            "ALTER ROLE {} RENAME",
            role.name
        )));
    }
    let name = role.name.clone();
    let mut plan = DdlPlan::new("ALTER ROLE");
    plan.changes.push(CatalogChange::RenameRole { name, to });
    Ok(plan)
}

pub(super) fn drop(
    catalog: &Catalog,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP ROLE");
    for name in names {
        let name = single(name)?;
        if name == BOOTSTRAP_ROLE {
            return Err(SqlError::new(
                ErrorKind::DependentObjectsStillExist,
                format!("cannot drop role {name} because it is required by the database system"),
            ));
        }
        if !catalog.roles.contains_key(&name) {
            if !if_exists {
                return Err(undefined(&name));
            }
            plan.skip(undefined(&name));
            continue;
        }
        let change = CatalogChange::DropRole(name);
        if !plan.changes.contains(&change) {
            plan.changes.push(change);
        }
    }
    Ok(plan)
}

pub(crate) fn undefined(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UndefinedObject,
        format!("role \"{name}\" does not exist"),
    )
}

/// 2BP01 for a role that has rows in these tables: a later one of its name would have them. `done` says what cannot be done.
pub(crate) fn has_rows(
    name: &str,
    done: &str,
    tables: &[Arc<TableDef>],
    path: &[String],
) -> SqlError {
    let message = format!("role \"{name}\" cannot be {done} because some objects depend on it");
    let mut detail = Vec::new();
    for table in tables {
        let schema = Some(table.schema.as_str()).filter(|_| !path.contains(&table.schema));
        let line = format!("rows in table {}", display(schema, &table.name));
        if !detail.contains(&line) {
            detail.push(line);
        }
    }
    SqlError::new(ErrorKind::DependentObjectsStillExist, message)
        .detail(detail.join("\n"))
        .hint(format!(
            "CALL tidelog.erase_user('{}') takes them away, with what is kept of deleted ones.",
            name.replace('\'', "''")
        ))
}

/// The verifier that is kept for a password; an empty password is none, as in PostgreSQL.
fn password(password: &Password) -> Result<Option<String>, SqlError> {
    let text = match password {
        Password::NullPassword => return Ok(None),
        Password::Password(Expr::Value(value)) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text,
            Value::DollarQuotedString(text) => &text.value,
            _ => {
                return Err(SqlError::new(
                    ErrorKind::SyntaxError,
                    "a password must be a string literal",
                ));
            }
        },
        Password::Password(_) => {
            return Err(SqlError::new(
                ErrorKind::SyntaxError,
                "a password must be a string literal",
            ));
        }
    };
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(if scram::parse_verifier(text).is_some() {
        text.clone()
    } else {
        scram::verifier(text)
    }))
}
