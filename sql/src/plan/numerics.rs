//! Numerics of which the plan tells a precision and scale, which Arrow's decimals are, and others, which have scales of their
//! own: where the ones become the others.

use std::sync::Arc;

use arrow::datatypes::DECIMAL128_MAX_PRECISION;
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::NUMERIC_PRECISION_MAX;
use tidelog_storage::{ColumnType, Datum, ElementType};

use super::calls;
use super::operators::type_of;
use crate::error::SqlError;
use crate::functions;
use crate::functions::decimal::Decimal;
use crate::text::{self, Style};

/// How many digits a number has before the point and behind it, at most; `None` where there is no such limit.
pub(crate) fn whole_and_scale(ty: ColumnType) -> Option<(u8, i8)> {
    match ty {
        ColumnType::Int2 => Some((5, 0)),
        ColumnType::Int4 => Some((10, 0)),
        ColumnType::Int8 => Some((19, 0)),
        ColumnType::Numeric(Some((precision, scale))) => {
            Some((precision.saturating_sub_signed(scale), scale))
        }
        _ => None,
    }
}

fn is_integer(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8)
}

/// What a value of the first type becomes beside one of the other, where that is one with a scale of its own, or an array of
/// such; `None` where it stays as it is.
pub(super) fn beside(ty: ColumnType, other: ColumnType) -> Option<ColumnType> {
    match (ty, other) {
        (
            ColumnType::Array(ElementType::Numeric(Some(_))),
            ColumnType::Array(ElementType::Numeric(_)),
        ) if ty != other => Some(ColumnType::Array(ElementType::Numeric(None))),
        (ty, other) => is_any_beside(ty, other).then_some(ColumnType::Numeric(None)),
    }
}

/// Whether a number of the first type becomes one with a scale of its own beside one of the other.
fn is_any_beside(ty: ColumnType, other: ColumnType) -> bool {
    let is_exact = is_integer(ty) || matches!(ty, ColumnType::Numeric(Some(_)));
    match other {
        ColumnType::Numeric(None) => is_exact,
        // Arrow compares two decimals as one that holds both.
        ColumnType::Numeric(Some(_)) | ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => {
            let both = whole_and_scale(ty).zip(whole_and_scale(other));
            let is_decimal = matches!(ty, ColumnType::Numeric(_)) || !is_integer(other);
            both.is_some_and(|both| is_decimal && !is_held(both))
        }
        _ => false,
    }
}

/// Whether the decimal that Arrow compares two numbers as holds both, by their digits before and behind the point: of two narrow
/// ones it makes a narrow one.
fn is_held(((whole, scale), (other, others)): ((u8, i8), (u8, i8))) -> bool {
    let digits = |whole: u8, scale: i8| i32::from(whole) + i32::from(scale);
    let narrow = i32::from(DECIMAL128_MAX_PRECISION);
    let needs = digits(whole.max(other), scale.max(others));
    fits(needs) && (needs <= narrow || digits(whole, scale).max(digits(other, others)) > narrow)
}

fn fits(precision: i32) -> bool {
    precision <= i32::from(NUMERIC_PRECISION_MAX)
}

/// The type of values of these two types beside each other, where both are integers or numerics and one is a numeric: with a
/// scale of its own where theirs are different.
pub(super) fn common_type(left: ColumnType, right: ColumnType) -> Option<ColumnType> {
    use ColumnType::Numeric;
    let is_exact = |ty| is_integer(ty) || matches!(ty, Numeric(_));
    if !is_exact(left) || !is_exact(right) || is_integer(left) && is_integer(right) {
        return None;
    }
    let both = whole_and_scale(left).zip(whole_and_scale(right));
    Some(Numeric(both.and_then(
        |((whole, scale), (other, others))| {
            let precision = whole.max(other).saturating_add_signed(scale);
            (scale == others && fits(precision.into())).then_some((precision, scale))
        },
    )))
}

/// A value as one with a scale of its own, where one of some others has one.
pub(super) fn beside_any(
    value: Expr,
    others: &[Expr],
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let types = others.iter().filter_map(|other| type_of(other, schema));
    let own = type_of(&value, schema);
    match own.and_then(|own| types.into_iter().find_map(|other| beside(own, other))) {
        Some(ty) => calls::cast(value, ty, schema, style),
        None => Ok(value),
    }
}

/// The type of a numeric and the elements of an array beside each other, where theirs are different and either is a numeric.
pub(super) fn common_element(ty: ColumnType, element: ColumnType) -> Option<ColumnType> {
    common_type(ty, element).filter(|common| (ty, element) != (*common, *common))
}

/// Arithmetic of exact numbers that Arrow's decimals do not do as PostgreSQL: of scales of their own, division, and what may
/// have more digits than they.
pub(super) fn calculated(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Option<Expr>> {
    let (Some(l), Some(r)) = (type_of(left, schema), type_of(right, schema)) else {
        return Ok(None);
    };
    let is_exact = |ty| is_integer(ty) || matches!(ty, ColumnType::Numeric(_));
    if !is_exact(l) || !is_exact(r) || is_integer(l) && is_integer(r) {
        return Ok(None);
    }
    let digits = whole_and_scale(l).zip(whole_and_scale(r));
    let keeps = digits.is_some_and(|((whole, scale), (other, others))| {
        let [whole, other, scale, others]: [i32; 4] =
            [whole.into(), other.into(), scale.into(), others.into()];
        let needs: i32 = match op {
            BinaryOperator::Divide => return false,
            BinaryOperator::Multiply => whole + other + scale + others + 1,
            _ => whole.max(other) + scale.max(others) + 1,
        };
        // Of two narrow decimals Arrow makes a narrow one.
        let narrow = i32::from(DECIMAL128_MAX_PRECISION);
        fits(needs) && (needs <= narrow || whole + scale > narrow || other + others > narrow)
    });
    if keeps {
        return Ok(None);
    }
    let operands = vec![left.clone(), right.clone()];
    function(&op.to_string(), operands, schema, style).map(Some)
}

/// An operator of numerics with scales of their own.
pub(super) fn function(
    name: &str,
    operands: Vec<Expr>,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let function = functions::call::named(name, style)
        .ok_or_else(|| DataFusionError::Internal(format!("numerics have no operator {name}")))?;
    let call = ScalarFunction::new_udf(Arc::clone(&function), operands);
    let (call, _) = calls::resolved(call, schema, style)?;
    Ok(Expr::ScalarFunction(call))
}

/// The narrowest numeric type that holds what is written: one with a scale of its own where Arrow has no such.
pub(super) fn shape_of(literal: &str) -> Result<ColumnType, SqlError> {
    let value = text::parse(ColumnType::Numeric(None), literal)?;
    let shape = match &value {
        Datum::Number(number) => Decimal::of_number(number.as_ref()),
        _ => None,
    };
    Ok(ColumnType::Numeric(shape.and_then(|value| value.shape())))
}
