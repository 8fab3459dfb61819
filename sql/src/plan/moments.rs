//! Arithmetic of dates, times, timestamps and intervals: which operators there are, and what a bare literal beside one is read as.

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::ColumnType;

use super::comparable::{no_operator, not_unique, undefined_operator};
use super::operators::{
    is_null, is_open, known_type, literal_of, null, type_of, type_parameter, written_type,
};
use crate::functions;
use crate::precision::plain;
use crate::text::Style;
use crate::types;

fn is_moment(ty: ColumnType) -> bool {
    use ColumnType::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz};
    matches!(
        ty,
        Date | Time(_) | TimeTz(_) | Timestamp(_) | TimestampTz(_) | Interval(_)
    )
}

/// The call that an operator is where one of its operands is of such a type; `None` where none is. 42883 and 42725 where
/// PostgreSQL has no such operator or several.
pub(super) fn planned(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Option<Expr>> {
    use BinaryOperator::{Divide, Minus, Modulo, Multiply, Plus};
    if !matches!(op, Plus | Minus | Multiply | Divide | Modulo) {
        return Ok(None);
    }
    let is_unknown = |expr: &Expr| is_open(expr) || is_null(expr);
    let known = |expr: &Expr| known_type(expr, schema).filter(|ty| is_moment(*ty));
    let given = |expr: &Expr, ty: ColumnType| match is_null(expr) {
        true => null(ty),
        false => literal_of(type_parameter(expr.clone(), ty), ty, style),
    };
    let (left, right) = match (known(left), known(right)) {
        (None, None) => return Ok(None),
        (Some(ty), None) if is_unknown(right) => (left.clone(), given(right, behind(op, ty)?)?),
        (None, Some(ty)) if is_unknown(left) => (given(left, before(op, ty)?)?, right.clone()),
        _ => (left.clone(), right.clone()),
    };
    let written = written_type(&left, schema).zip(written_type(&right, schema));
    let (Some(l), Some(r)) = (type_of(&left, schema), type_of(&right, schema)) else {
        return Ok(None);
    };
    if let Some((function, swapped)) = functions::time::operator(op, l, r, style) {
        let operands = match swapped {
            true => vec![right, left],
            false => vec![left, right],
        };
        return Ok(Some(functions::json::call(function, operands)));
    }
    let (l, r) = written.unwrap_or((l, r));
    Err(match (op, l, r) {
        (Plus, ColumnType::Time(_), ColumnType::Time(_)) => not_unique(op, Some(l), Some(r)),
        _ => no_operator(op, l, r),
    })
}

/// What a bare literal is read as behind a value of a type.
fn behind(op: &BinaryOperator, known: ColumnType) -> Result<ColumnType> {
    use BinaryOperator::{Divide, Minus, Multiply, Plus};
    use ColumnType::{Date, Float8, Interval, Time, TimeTz, Timestamp, TimestampTz};
    Ok(match (op, known) {
        (Plus, Date | TimeTz(_)) => return Err(not_unique(op, Some(known), None)),
        (Plus, _) | (Minus, TimeTz(_)) => Interval(None),
        (Minus, Date | Time(_) | Timestamp(_) | TimestampTz(_) | Interval(_)) => plain(known),
        (Multiply | Divide, Interval(_) | Time(_)) => Float8,
        _ => {
            let known = types::bare_name(known);
            let message = format!("operator does not exist: {known} {op} unknown");
            return Err(undefined_operator(message));
        }
    })
}

/// The same in front of one.
fn before(op: &BinaryOperator, known: ColumnType) -> Result<ColumnType> {
    use BinaryOperator::{Minus, Multiply, Plus};
    use ColumnType::{Date, Float8, Interval, Time, TimeTz, Timestamp, TimestampTz};
    Ok(match (op, known) {
        (Plus, Date | TimeTz(_)) => return Err(not_unique(op, None, Some(known))),
        (Plus, _) => Interval(None),
        (Minus, Date | Time(_) | Timestamp(_) | TimestampTz(_) | Interval(_)) => plain(known),
        (Multiply, Interval(_) | Time(_)) => Float8,
        _ => {
            let known = types::bare_name(known);
            let message = format!("operator does not exist: unknown {op} {known}");
            return Err(undefined_operator(message));
        }
    })
}
