//! Which types compare with each other, and what is said where an operator has none of its operands' types.

use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, PrintedType};

use super::operators::{external, is_null, is_open, written_type};
use super::order::is_comparable;
use super::vectors;
use crate::error::{ErrorKind, SqlError};
use crate::functions::call;
use crate::system::candidates::{self, Candidates};
use crate::types;

/// 42883 where PostgreSQL has no operator for operands of these types, 42725 where it has several and none fits best.
pub(super) fn check_operator(name: &str, operands: &[&Expr], schema: &DFSchema) -> Result<()> {
    let types = operands.iter().map(|operand| given(operand, schema));
    // What has no type yet is looked at where it has one.
    let Some(types) = types.collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    check_types(name, &types)
}

/// The same for operands of these types; `None` is one whose type is left open.
pub(super) fn check_types(name: &str, types: &[Option<ColumnType>]) -> Result<()> {
    let of_extension = |ty: &Option<ColumnType>| {
        use PrintedType::{Citext, Hstore};
        matches!(ty, Some(ColumnType::Printed(Citext | Hstore)))
    };
    if types.iter().any(of_extension) {
        return Ok(());
    }
    fits(name, types, candidates::operator(name, types))
}

/// 42883 where PostgreSQL has no such aggregate or window function for arguments of these types.
pub(super) fn check_of_many_rows(name: &str, args: &[&Expr], schema: &DFSchema) -> Result<()> {
    let types = args.iter().map(|arg| given(arg, schema));
    let Some(types) = types.collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    use ColumnType::{Bit, Printed, Varbit};
    // The embedded pg_proc has not all that there is for these.
    let of_others = |ty: &Option<ColumnType>| matches!(ty, Some(Printed(_) | Bit(_) | Varbit(_)));
    match candidates::of_many_rows(name, &types) {
        Some(found) if !types.iter().any(of_others) => fits(name, &types, found),
        _ => Ok(()),
    }
}

/// 42804 for COLLATE of what is no text.
pub(super) fn check_collatable(value: &Expr, schema: &DFSchema) -> Result<()> {
    let is_text = |ty| class(ty) == "text" && ty != ColumnType::Char;
    match given(value, schema).flatten() {
        None | Some(ColumnType::Printed(PrintedType::Citext)) => Ok(()),
        Some(ty) if is_text(ty) => Ok(()),
        Some(ColumnType::Array(of) | ColumnType::Shaped(of)) if is_text(of.into()) => Ok(()),
        Some(ty) => {
            let ty = types::bare_name(ty);
            let message = format!("collations are not supported by type {ty}");
            let error = SqlError::new(ErrorKind::DatatypeMismatch, message);
            Err(external(error))
        }
    }
}

/// The type of an operand, `Some(None)` of one whose type is left open; `None` where it is not known yet.
pub(super) fn given(operand: &Expr, schema: &DFSchema) -> Option<Option<ColumnType>> {
    match written_type(operand, schema) {
        None if is_open(operand) || is_null(operand) => Some(None),
        None => None,
        ty => Some(ty),
    }
}

/// The error where not one operator or function is meant.
fn fits(name: &str, given: &[Option<ColumnType>], found: Candidates) -> Result<()> {
    match found {
        Candidates::One => Ok(()),
        Candidates::Nothing => Err(external(call::no_such(name, given))),
        Candidates::Several => Err(external(call::not_unique(name, given))),
    }
}

/// 42883 for a comparison of two values whose types do not compare.
pub(super) fn check_comparable(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<()> {
    let types = (written_type(left, schema), written_type(right, schema));
    let (Some(l), Some(r)) = types else {
        return Ok(());
    };
    if class(l) == class(r) && (is_comparable(l) || vectors::compares(op, l)) {
        return Ok(());
    }
    Err(no_operator(op, l, r))
}

pub(super) fn no_operator(
    op: &BinaryOperator,
    left: ColumnType,
    right: ColumnType,
) -> DataFusionError {
    let message = format!(
        "operator does not exist: {} {op} {}",
        types::bare_name(left),
        types::bare_name(right)
    );
    undefined_operator(message)
}

pub(super) fn undefined_operator(message: String) -> DataFusionError {
    let is_unary = |operands: &str| operands.starts_with(['-', '+', '~', '@', '|', '!']);
    let hint = match message.split_once(": ") {
        Some((_, operands)) if is_unary(operands) => {
            "No operator matches the given name and argument type. You might need to add an explicit type cast."
        }
        _ => {
            "No operator matches the given name and argument types. You might need to add explicit type casts."
        }
    };
    external(SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint))
}

/// 42725: an operand whose type is left open could be of several.
pub(super) fn not_unique(
    op: &BinaryOperator,
    left: Option<ColumnType>,
    right: Option<ColumnType>,
) -> DataFusionError {
    let name = |ty: Option<ColumnType>| ty.map_or("unknown".to_string(), types::name);
    let message = format!(
        "operator is not unique: {} {op} {}",
        name(left),
        name(right)
    );
    let hint =
        "Could not choose a best candidate operator. You might need to add explicit type casts.";
    external(SqlError::new(ErrorKind::AmbiguousFunction, message).hint(hint))
}

/// Types of one class compare with each other.
pub(super) fn class(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Float4
        | ColumnType::Float8
        | ColumnType::Numeric(_) => "number",
        ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_) => "number",
        ColumnType::Bit(_) | ColumnType::Varbit(_) => "bit",
        ColumnType::Text
        | ColumnType::Varchar(_)
        | ColumnType::Bpchar(_)
        | ColumnType::Name
        | ColumnType::Char => "text",
        ColumnType::Date | ColumnType::Timestamp(_) | ColumnType::TimestampTz(_) => "time",
        ColumnType::Time(_) | ColumnType::TimeTz(_) => "clock",
        ColumnType::Interval(_) => "interval",
        ColumnType::Printed(PrintedType::Inet | PrintedType::Cidr) => "inet",
        ColumnType::Printed(of) => of.name(),
        ColumnType::Enum(_) => "enum",
        ColumnType::Json => "json",
        ColumnType::Array(_) | ColumnType::Shaped(_) => "array",
        ColumnType::Bool => "bool",
        ColumnType::Bytea => "bytea",
        ColumnType::Uuid => "uuid",
        ColumnType::Jsonb => "jsonb",
    }
}
