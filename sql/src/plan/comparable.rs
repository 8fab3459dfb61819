//! Which types compare with each other, and what is said where an operator has none of its operands' types.

use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, PrintedType};

use super::operators::{external, written_type};
use super::order::is_comparable;
use super::vectors;
use crate::error::{ErrorKind, SqlError};
use crate::types;

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
