//! DROP of what there is none of.

use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType, ObjectName};

use super::{DdlPlan, Scope, display, enums, fold, no_schema, resolve, split};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{Absent, Named};
use crate::types;

pub(super) fn drop(scope: Scope<'_>, absent: &Absent) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new(absent.tag);
    for name in &absent.names {
        let error = match name {
            Named::Object(name, of_schema) => missing(scope, absent, name, *of_schema)?,
            Named::Routine(name, args) => no_routine(scope, absent, name, args.as_deref())?,
            Named::Part(name, table) => no_part(scope, absent, &fold(name), table)?,
        };
        if !absent.if_exists {
            return Err(error);
        }
        plan.skip(error);
    }
    Ok(plan)
}

/// What is said of a part of a relation, or of the relation where that is what is missing.
fn no_part(
    scope: Scope<'_>,
    absent: &Absent,
    name: &str,
    table: &ObjectName,
) -> Result<SqlError, SqlError> {
    let (schema, bare) = split(table)?;
    let kind = absent.kind;
    Ok(
        match (
            resolve(scope.catalog, scope.search_path, table),
            absent.if_exists,
        ) {
            (Ok(_), true) => {
                let of = display(schema.as_deref(), &bare);
                undefined(format!("{kind} \"{name}\" for relation \"{of}\""))
            }
            (Ok(_), false) => {
                let what = if kind == "rule" { "relation" } else { "table" };
                undefined(format!("{kind} \"{name}\" for {what} \"{bare}\""))
            }
            (Err(_), true) if let Some(schema) = schema.filter(|of| !has_schema(scope, of)) => {
                no_schema(&schema)
            }
            (Err(error), _) => error,
        },
    )
}

fn undefined(what: String) -> SqlError {
    let message = format!("{what} does not exist");
    SqlError::new(ErrorKind::UndefinedObject, message)
}

fn has_schema(scope: Scope<'_>, schema: &str) -> bool {
    scope.catalog.schemas.contains(schema) || crate::system::is_system_schema(schema)
}

/// What is said of an object, and of its schema where that is what is missing.
fn missing(
    scope: Scope<'_>,
    absent: &Absent,
    name: &ObjectName,
    of_schema: bool,
) -> Result<SqlError, SqlError> {
    let (schema, bare) = split(name)?;
    if let Some(schema) = schema.as_ref().filter(|_| of_schema)
        && !has_schema(scope, schema)
    {
        return Ok(no_schema(schema));
    }
    let shown = display(schema.as_deref(), &bare);
    let (catalog, path) = (scope.catalog, scope.search_path);
    let wrong = |what: &str| {
        let message = format!("\"{shown}\" is not a {what}");
        SqlError::new(ErrorKind::WrongObjectType, message)
    };
    match absent.kind {
        "type" if enums::find(catalog, path, schema.as_deref(), &bare).is_some() => {
            Err(wrong("domain"))
        }
        "foreign table" if super::find(catalog, path, schema.as_deref(), &bare).is_some() => {
            Err(wrong("foreign table").hint("Use DROP TABLE to remove a table."))
        }
        kind => Ok(undefined(format!("{kind} \"{shown}\""))),
    }
}

/// What is said of a routine; 0A000 for one of PostgreSQL's own.
fn no_routine(
    scope: Scope<'_>,
    absent: &Absent,
    name: &ObjectName,
    args: Option<&[DataType]>,
) -> Result<SqlError, SqlError> {
    let (schema, bare) = split(name)?;
    if let Some(schema) = &schema
        && !has_schema(scope, schema)
    {
        return Ok(no_schema(schema));
    }
    if schema
        .as_deref()
        .is_none_or(|schema| schema == "pg_catalog")
        && crate::system::pg_proc::names().contains(bare.as_str())
    {
        let what = format!("{} of PostgreSQL's own", absent.tag);
        return Err(SqlError::unsupported(what));
    }
    let shown = display(schema.as_deref(), &bare);
    let kind = absent.kind;
    let Some(args) = args else {
        let message = match (absent.if_exists, kind) {
            (true, _) => format!("{kind} {shown}() does not exist"),
            (false, "procedure") => format!("could not find a procedure named \"{shown}\""),
            (false, _) => format!("could not find a function named \"{shown}\""),
        };
        return Ok(SqlError::new(ErrorKind::UndefinedFunction, message));
    };
    let mut written = Vec::with_capacity(args.len());
    for arg in args {
        let known = types::column_type_among(arg, &|schema, name| {
            enums::find(scope.catalog, scope.search_path, schema, name)
        });
        match known {
            Err(error) if error.kind == ErrorKind::UndefinedObject => {
                let element = element(arg).to_string();
                return Ok(match element.split_once('.') {
                    Some((schema, _)) if !has_schema(scope, schema) => no_schema(schema),
                    _ => error,
                });
            }
            Ok(ty) if !absent.if_exists => written.push(types::bare_name(ty)),
            Ok(_) | Err(_) => written.push(as_written(arg)),
        }
    }
    let between = if absent.if_exists { "," } else { ", " };
    let message = format!("{kind} {shown}({}) does not exist", written.join(between));
    Ok(SqlError::new(ErrorKind::UndefinedFunction, message))
}

fn element(ty: &DataType) -> &DataType {
    match ty {
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => element,
        other => other,
    }
}

/// A type as notices write it: names that are words of the grammar as what they stand for.
fn as_written(ty: &DataType) -> String {
    let of = element(ty);
    let is_name = matches!(
        of,
        DataType::Int2(_)
            | DataType::Int4(_)
            | DataType::Int8(_)
            | DataType::Float4
            | DataType::Float8
            | DataType::Bool
            | DataType::VarBit(_)
            | DataType::Text
            | DataType::Bytea
            | DataType::Uuid
            | DataType::Date
            | DataType::JSON
            | DataType::JSONB
            | DataType::Custom(..)
            | DataType::Timestamp(_, datafusion::sql::sqlparser::ast::TimezoneInfo::Tz)
            | DataType::Time(_, datafusion::sql::sqlparser::ast::TimezoneInfo::Tz)
    );
    let name = match types::column_type(of) {
        Ok(known) if !is_name => format!("pg_catalog.{}", types::internal_name(known)),
        Ok(known) if !matches!(of, DataType::Custom(..)) => types::internal_name(known),
        _ => of.to_string().to_lowercase(),
    };
    match ty {
        DataType::Array(_) => format!("{name}[]"),
        _ => name,
    }
}
