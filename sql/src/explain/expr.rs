//! Expressions of a physical plan as PostgreSQL writes them.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr,
    LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr};
use tidelog_storage::datum::datum_at;

use crate::functions::order;
use crate::guards;
use crate::output::column_type;
use crate::parse::identifier;
use crate::text::Style;

/// The text of an expression.
pub(super) fn text(expr: &Arc<dyn PhysicalExpr>) -> String {
    if let Some(column) = expr.downcast_ref::<Column>() {
        let name = crate::plan::shown(column.name());
        // What is computed below is named by its expression.
        return match name.contains('(') {
            true => format!("({})", unnumbered(name).replace("Int64(1)", "*")),
            false => identifier(name),
        };
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return value(literal.value());
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let behind = behind(binary);
        let (left, right) = (beside(binary.left(), behind), beside(behind, binary.left()));
        let operator = match binary.op() {
            Operator::NotEq => "<>".to_string(),
            Operator::LikeMatch => "~~".to_string(),
            Operator::NotLikeMatch => "!~~".to_string(),
            Operator::ILikeMatch => "~~*".to_string(),
            Operator::NotILikeMatch => "!~~*".to_string(),
            other => other.to_string(),
        };
        return format!("({left} {operator} {right})");
    }
    if let Some((left, op, right)) = guards::connected_by(expr) {
        return format!("({} {op} {})", text(left), text(right));
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return format!("(NOT {})", text(not.arg()));
    }
    if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        return format!("({} IS NULL)", text(null.arg()));
    }
    if let Some(not_null) = expr.downcast_ref::<IsNotNullExpr>() {
        return format!("({} IS NOT NULL)", text(not_null.arg()));
    }
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let negated = if like.negated() { "!" } else { "" };
        let any_case = if like.case_insensitive() { "*" } else { "" };
        let (left, right) = (text(like.expr()), text(like.pattern()));
        return format!("({left} {negated}~~{any_case} {right})");
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        let items = list.list().iter().map(|item| beside(item, list.expr()));
        let items: Vec<String> = items.collect();
        let (compare, of) = match list.negated() {
            true => ("<>", "ALL"),
            false => ("=", "ANY"),
        };
        let left = text(list.expr());
        return format!("({left} {compare} {of} (ARRAY[{}]))", items.join(", "));
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let inner = text(cast.expr());
        return match column_type(cast.target_field()) {
            Ok(ty) => format!("({inner})::{}", crate::types::name(ty)),
            Err(_) => inner,
        };
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        let arguments: Vec<String> = call.args().iter().map(text).collect();
        // Values compare by it, which is nothing that the statement says.
        if let (true, [number]) = (order::is_of_numbers(call.fun()), arguments.as_slice()) {
            return number.clone();
        }
        match (
            crate::functions::call::is_operator(call.name()),
            arguments.as_slice(),
        ) {
            (true, [left, right]) => return format!("({left} {} {right})", call.name()),
            (true, [operand]) => return format!("({} {operand})", call.name()),
            _ => {}
        }
        return format!("{}({})", call.name(), arguments.join(", "));
    }
    unnumbered(&expr.to_string())
}

/// The text of an operand beside another: of a numeric where that is what both are compared by.
fn beside(expr: &Arc<dyn PhysicalExpr>, other: &Arc<dyn PhysicalExpr>) -> String {
    let call = other.downcast_ref::<ScalarFunctionExpr>();
    let key = expr.downcast_ref::<Literal>().map(Literal::value);
    match (call, key) {
        (Some(call), Some(key)) if order::is_of_numbers(call.fun()) => match order::number(key) {
            Some(number) => value(&number),
            None => value(key),
        },
        _ => text(expr),
    }
}

/// A condition, without what the plan adds to it while it runs; `None` when nothing is left.
pub(super) fn condition(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    if expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_some() {
        return None;
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && *binary.op() == Operator::And
    {
        return match (condition(binary.left()), condition(behind(binary))) {
            (Some(left), Some(right)) => Some(format!("({left} AND {right})")),
            (one, other) => one.or(other),
        };
    }
    Some(text(expr))
}

/// The right side of an operator; what is computed behind the left one says that again.
fn behind(binary: &BinaryExpr) -> &Arc<dyn PhysicalExpr> {
    match guards::connected_by(binary.right()) {
        Some((before, op, behind)) if op == *binary.op() && before == binary.left() => behind,
        _ => binary.right(),
    }
}

/// One column of a sort key.
pub(super) fn sort_key(by: &PhysicalSortExpr) -> String {
    let mut out = text(&by.expr);
    if by.options.descending {
        out.push_str(" DESC");
    }
    match (by.options.descending, by.options.nulls_first) {
        (true, false) => out.push_str(" NULLS LAST"),
        (false, true) => out.push_str(" NULLS FIRST"),
        _ => {}
    }
    out
}

/// A constant with its type where PostgreSQL writes that.
fn value(value: &ScalarValue) -> String {
    let array = match value.to_array() {
        Ok(array) => array,
        Err(_) => return value.to_string(),
    };
    let field = arrow::datatypes::Field::new("", array.data_type().clone(), true);
    let (Some(datum), Ok(ty)) = (datum_at(&array, 0), column_type(&field)) else {
        return value.to_string();
    };
    use tidelog_storage::DatumRef;
    let mut out = String::new();
    match datum {
        DatumRef::Null => format!("NULL::{}", crate::types::name(ty)),
        DatumRef::Bool(value) => value.to_string(),
        DatumRef::Int2(_)
        | DatumRef::Int4(_)
        | DatumRef::Int8(_)
        | DatumRef::Numeric(_)
        | DatumRef::Number(_) => {
            crate::text::write(datum, ty, Style::default(), &mut out);
            match out.starts_with('-') {
                true => format!("'{out}'::{}", crate::types::name(ty)),
                false => out,
            }
        }
        _ => {
            crate::text::write(datum, ty, Style::default(), &mut out);
            format!("'{}'::{}", out.replace('\'', "''"), crate::types::name(ty))
        }
    }
}

/// DataFusion's own text, without the places of the columns.
pub(super) fn unnumbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '@' && rest.peek().is_some_and(char::is_ascii_digit) {
            while rest.next_if(char::is_ascii_digit).is_some() {}
        } else {
            out.push(c);
        }
    }
    out
}
