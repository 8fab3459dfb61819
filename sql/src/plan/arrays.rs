//! Operators of arrays: what their operands make of each other.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, ElementType};

use super::operators::{
    is_open, known_type, literal_of, no_operator, plain_type, type_of, type_pair, type_parameter,
    written_type,
};
use crate::functions;
use crate::text::Style;

/// Types the operands of `@>`, `<@` and `||` where one is an array: what has no type of its own beside it is an array of
/// that type.
pub(super) fn typed(
    op: &BinaryOperator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Expr)> {
    use BinaryOperator::{ArrowAt, AtArrow, StringConcat};
    if !matches!(op, AtArrow | ArrowAt | StringConcat) {
        return Ok((left, right));
    }
    let array = |expr: &Expr| match type_of(expr, schema) {
        Some(ColumnType::Array(ElementType::Varchar(_))) => {
            Some(ColumnType::Array(ElementType::Varchar(None)))
        }
        Some(ColumnType::Array(element)) => plain_type(element.into()).array(),
        _ => None,
    };
    let is_null = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.is_null());
    let given = |expr: Expr, ty: ColumnType| match is_null(&expr) {
        true => Ok(Expr::Literal(ScalarValue::try_from(&ty.arrow())?, None)),
        false => literal_of(type_parameter(expr, ty), ty, style),
    };
    let is_open = |expr: &Expr| is_open(expr) || is_null(expr);
    Ok(match (array(&left), array(&right)) {
        (Some(ty), None) if is_open(&right) => (left, given(right, ty)?),
        (None, Some(ty)) if is_open(&left) => (given(left, ty)?, right),
        _ => (left, right),
    })
}

/// `@>` and `<@` of arrays, whose elements are of one type or integers.
pub(super) fn contains(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<Option<Expr>> {
    let (outer, inner) = match op {
        BinaryOperator::AtArrow => (left, right),
        BinaryOperator::ArrowAt => (right, left),
        _ => return Ok(None),
    };
    let (l, r) = (written_type(left, schema), written_type(right, schema));
    let element = |ty| match ty {
        Some(ColumnType::Array(element)) => Some(plain_type(element.into())),
        _ => None,
    };
    use ColumnType::{Int2, Int4, Int8};
    let is_integer = |ty| matches!(ty, Int2 | Int4 | Int8);
    match (element(l), element(r)) {
        (None, None) => Ok(None),
        (Some(l), Some(r)) if l == r || is_integer(l) && is_integer(r) => {
            let call = functions::array::function(functions::array::CONTAINS);
            let operands = vec![outer.clone(), inner.clone()];
            Ok(call.map(|call| functions::json::call(call, operands)))
        }
        _ => match (l, r) {
            (Some(l), Some(r)) => Err(no_operator(op, l, r)),
            _ => Ok(None),
        },
    }
}

/// Types the operands of `a && b` by each other; they are arrays.
pub(super) fn overlaps(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let [left, right] = call.args.as_slice() else {
        return Ok(Expr::ScalarFunction(call));
    };
    let known = known_type(left, schema).or_else(|| known_type(right, schema));
    let typed = |expr: &Expr| match known {
        Some(ty) => type_parameter(expr.clone(), ty),
        None => expr.clone(),
    };
    let (left, right) = type_pair(typed(left), typed(right), schema, style)?;
    let types = (type_of(&left, schema), type_of(&right, schema));
    if let (Some(l), Some(r)) = types
        && !matches!((l, r), (ColumnType::Array(_), ColumnType::Array(_)))
    {
        return Err(no_operator(&BinaryOperator::PGOverlap, l, r));
    }
    call.args = vec![left, right];
    Ok(Expr::ScalarFunction(call))
}
