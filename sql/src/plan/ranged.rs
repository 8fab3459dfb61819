//! `x IN (…)` and `x BETWEEN … AND …`: each value typed by what it is compared with.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{Expr, Like, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, PrintedType};

use super::comparable::{check_comparable, check_operator};
use super::operators::{
    beside_number, known_type, plain_type, text_parameter, type_literal, type_of, typed_beside,
    typed_by, unmodified,
};
use super::order::{looks_vary, sorted_by, unsigned_zero};
use super::{calls, numerics};
use crate::casts;
use crate::text::Style;

/// `x IN (a, b)`.
pub(super) fn within(within: InList, schema: &DFSchema, style: Style) -> Result<Expr> {
    let InList {
        expr,
        list,
        negated,
    } = within;
    for item in &list {
        check_operator("=", &[&expr, item], schema)?;
    }
    let expr = typed_by(*expr, &list, schema, style)?;
    let plain = |ty| match ty {
        ColumnType::Varchar(_) => ColumnType::Varchar(None),
        ty => plain_type(ty),
    };
    let read = |item| type_literal(unmodified(item, plain), &expr, schema, style);
    let list: Vec<_> = list.into_iter().map(read).collect::<Result<_>>()?;
    let (expr, list) = as_floats(expr, list, schema, style)?;
    let expr = numerics::beside_any(expr, &list, schema, style)?;
    let list: Vec<Expr> = list
        .into_iter()
        .map(|item| {
            let item = typed_beside(item, &expr, schema, style)?;
            check_comparable(&BinaryOperator::Eq, &expr, &item, schema)?;
            Ok(item)
        })
        .collect::<Result<_>>()?;
    let (mut expr, mut list) = (expr, list);
    if list.iter().any(is_zero) {
        unsigned_zero(&mut expr, schema);
        for item in list.iter_mut().filter(|item| is_zero(item)) {
            unsigned_zero(item, schema);
        }
    }
    let by_key = |ty| looks_vary(ty) || ty == ColumnType::Printed(PrintedType::Citext);
    let (expr, list) = match type_of(&expr, schema).filter(|ty| by_key(*ty)) {
        Some(ty) => {
            let keys = list.into_iter().map(|item| sorted_by(item, ty));
            (sorted_by(expr, ty), keys.collect())
        }
        None => (expr, list),
    };
    Ok(Expr::InList(InList::new(Box::new(expr), list, negated)))
}

/// `x LIKE pattern`, of which a parameter is text; 42883 where there are no such operands.
pub(super) fn like(mut like: Like, schema: &DFSchema, style: Style) -> Result<Expr> {
    let name = match (like.case_insensitive, like.negated) {
        (false, false) => "~~",
        (false, true) => "!~~",
        (true, false) => "~~*",
        (true, true) => "!~~*",
    };
    check_operator(name, &[&like.expr, &like.pattern], schema)?;
    for operand in [&mut like.expr, &mut like.pattern] {
        text_parameter(operand);
    }
    if let Some(ty @ ColumnType::Bpchar(Some(_))) = type_of(&like.expr, schema) {
        like.expr = Box::new(casts::padded(*like.expr, ty, style));
    }
    Ok(Expr::Like(like))
}

/// Whether a number is zero, of which DataFusion's IN tells the signs apart.
fn is_zero(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => is_zero(&cast.expr),
        Expr::Literal(value, _) => {
            let float = value.cast_to(&DataType::Float64);
            matches!(float, Ok(ScalarValue::Float64(Some(0.0))))
        }
        _ => false,
    }
}

/// `x BETWEEN low AND high`, which is `x >= low AND x <= high`; as it is where both compare the same `x`.
pub(super) fn between(between: Between, schema: &DFSchema, style: Style) -> Result<Expr> {
    let Between {
        expr,
        negated,
        low,
        high,
    } = between;
    let bounds = [&low, &high].map(|bound| (**bound).clone());
    let expr = typed_by(*expr, &bounds, schema, style)?;
    let (expr, low) = beside_number(expr, unmodified(*low, plain_type), schema);
    let (expr, high) = beside_number(expr, unmodified(*high, plain_type), schema);
    let (above, below) = match negated {
        true => (Operator::Lt, Operator::Gt),
        false => (Operator::GtEq, Operator::LtEq),
    };
    let low = calls::compare(above, expr.clone(), low, schema, style)?;
    let high = calls::compare(below, expr, high, schema, style)?;
    Ok(match (low, high) {
        (Expr::BinaryExpr(low), Expr::BinaryExpr(high))
            if low.left == high.left && (low.op, high.op) == (above, below) =>
        {
            Expr::Between(Between::new(low.left, negated, low.right, high.right))
        }
        (low, high) if negated => low.or(high),
        (low, high) => low.and(high),
    })
}

/// A number and those that IN compares it with as floats, where some of them are and others are numerics.
fn as_floats(
    expr: Expr,
    list: Vec<Expr>,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Vec<Expr>)> {
    use ColumnType::{Float4, Float8, Numeric};
    let all = || std::iter::once(&expr).chain(&list);
    let types: Vec<ColumnType> = all().filter_map(|expr| known_type(expr, schema)).collect();
    let is_float = |ty: &ColumnType| matches!(ty, Float4 | Float8);
    if !types.iter().any(is_float) || !types.iter().any(|ty| matches!(ty, Numeric(_))) {
        return Ok((expr, list));
    }
    // One value is compared by an operator, several are an array of what they have in common.
    let common = match list.len() {
        1 => None,
        _ => calls::common_type(types.into_iter()),
    };
    let float = |expr: Expr| match known_type(&expr, schema) {
        Some(_) => calls::cast(expr, common.unwrap_or(Float8), schema, style),
        None => Ok(expr),
    };
    let list = list.into_iter().map(float).collect::<Result<_>>()?;
    Ok((float(expr)?, list))
}
