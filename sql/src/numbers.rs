//! Comparisons of numbers in the terms of what is stored: keys, bounds and statistics are of a column's own type, and those of a
//! numeric without a precision are its bytes.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::expressions::{self as physical, InListExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use tidelog_storage::datum::{ColumnBuilder, datum_at};
use tidelog_storage::{ColumnType, Datum, DatumRef};

use crate::functions::decimal::Decimal;
use crate::functions::order;
use crate::{casts, output, plan};

/// Comparisons of columns that became another kind of number beside a constant, as ones of the columns themselves.
pub(crate) fn of_columns(condition: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    condition.transform_up(|expr| {
        let own = match &expr {
            Expr::BinaryExpr(comparison) => of_column(comparison, schema),
            Expr::InList(list) => among(list, schema),
            _ => None,
        };
        Ok(own.map_or_else(|| Transformed::no(expr), Transformed::yes))
    })
}

/// `None` for what is no such comparison, or where the column's type has nothing that would do.
fn of_column(comparison: &BinaryExpr, schema: &DFSchema) -> Option<Expr> {
    let BinaryExpr { left, op, right } = comparison;
    let (side, op, value) = match (constant(left), constant(right)) {
        (None, Some(value)) => (left, *op, value),
        (Some(value), None) => (right, op.swap()?, value),
        _ => return None,
    };
    let (column, ty) = widened(side, schema)?;
    let (below, is_exact) = floor(&value, ty)?;
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    let op = match op {
        Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom if !is_exact => return None,
        Lt if !is_exact => LtEq,
        GtEq if !is_exact => Gt,
        Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom | Lt | LtEq | Gt | GtEq => op,
        _ => return None,
    };
    let comparison = BinaryExpr::new(Box::new(column.clone()), op, Box::new(below));
    Some(Expr::BinaryExpr(comparison))
}

fn among(list: &InList, schema: &DFSchema) -> Option<Expr> {
    let (column, ty) = widened(&list.expr, schema)?;
    let mut values = Vec::with_capacity(list.list.len());
    for value in &list.list {
        // What the type does not have is equal to none of its values.
        let (below, is_exact) = floor(&constant(value)?, ty)?;
        values.extend(is_exact.then_some(below));
    }
    let list = InList::new(Box::new(column.clone()), values, list.negated);
    (!list.list.is_empty()).then_some(Expr::InList(list))
}

/// The column that an expression gives as another number of the same value, and its type.
fn widened<'e>(expr: &'e Expr, schema: &DFSchema) -> Option<(&'e Expr, ColumnType)> {
    let type_of = |column: &Expr| {
        let Expr::Column(named) = column else {
            return None;
        };
        output::column_type(schema.field_from_column(named).ok()?).ok()
    };
    if let Expr::Cast(cast) = expr {
        let ty = type_of(&cast.expr)?;
        let (whole, scale) = plan::whole_and_scale(ty)?;
        let (to_whole, to_scale) = plan::whole_and_scale(output::column_type(&cast.field).ok()?)?;
        let holds = to_whole >= whole && to_scale >= scale;
        return holds.then_some((&*cast.expr, ty));
    }
    let Expr::ScalarFunction(_) = expr else {
        return None;
    };
    let number = order::number_of(expr)?;
    let std::borrow::Cow::Borrowed(number) = number else {
        return None;
    };
    let column = casts::as_number(number)?;
    let ty = type_of(column)?;
    plan::whole_and_scale(ty).map(|_| (column, ty))
}

/// The number that a constant is.
fn constant(expr: &Expr) -> Option<Decimal> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let number = order::number_of(expr);
    let value = match number.as_deref() {
        Some(Expr::Literal(value, _)) => value,
        _ => value,
    };
    let array = value.to_array().ok()?;
    match datum_at(&array, 0)? {
        DatumRef::Number(number) => Decimal::of_number(number),
        DatumRef::Numeric(number) => Some(Decimal::from(number)),
        _ => None,
    }
}

/// The highest value of a type that is not above a number, and whether that is the number itself; `None` beyond the type.
fn floor(value: &Decimal, ty: ColumnType) -> Option<(Expr, bool)> {
    let (_, scale) = plan::whole_and_scale(ty)?;
    let cut = value.truncated(scale.into());
    let is_exact = cut == *value;
    let below = match is_exact || !value.is_negative() {
        true => cut,
        false => cut.minus(&Decimal::new(1.into(), scale.into())),
    };
    let datum = match ty {
        ColumnType::Numeric(Some((precision, scale))) => {
            Datum::Numeric(below.fitted(precision, scale)?)
        }
        ColumnType::Int2 => Datum::Int2(below.to_i64()?.try_into().ok()?),
        ColumnType::Int4 => Datum::Int4(below.to_i64()?.try_into().ok()?),
        ColumnType::Int8 => Datum::Int8(below.to_i64()?),
        _ => return None,
    };
    let mut builder = ColumnBuilder::new(ty);
    builder.append(datum.as_ref());
    let value = ScalarValue::try_from_array(&builder.finish(), 0).ok()?;
    Some((Expr::Literal(value, None), is_exact))
}

/// What a condition on numerics without a precision says of their bytes, which are those of their order and the scale behind them:
/// a condition that is true wherever the other is. `None` when it is about none.
pub(crate) fn of_bytes(condition: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let weaker = Arc::clone(condition).transform_down(|expr| {
        let binary = expr.downcast_ref::<physical::BinaryExpr>();
        let connects = binary.filter(|of| matches!(of.op(), Operator::And | Operator::Or));
        Ok(match (connects, bytes_of(&expr)) {
            (Some(_), _) => Transformed::no(expr),
            (None, Some(bytes)) => Transformed::new(bytes, true, TreeNodeRecursion::Jump),
            (None, None) => Transformed::new(expr, false, TreeNodeRecursion::Jump),
        })
    });
    let weaker = weaker.ok().filter(|weaker| weaker.transformed)?;
    Some(weaker.data)
}

/// The same of one comparison.
fn bytes_of(comparison: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    if let Some(binary) = comparison.downcast_ref::<physical::BinaryExpr>() {
        let (left, op, right) = (binary.left(), *binary.op(), binary.right());
        return match (number(left), number(right)) {
            (Some(number), None) => bytes_beside(number, op, key(right)?),
            (None, Some(number)) => bytes_beside(number, op.swap()?, key(left)?),
            _ => None,
        };
    }
    let list = comparison.downcast_ref::<InListExpr>()?;
    let number = number(list.expr())?;
    if list.negated() {
        return None;
    }
    let mut keys: Vec<&[u8]> = Vec::with_capacity(list.list().len());
    for value in list.list() {
        keys.push(key(value)?);
    }
    // All of them lie between the lowest and the highest.
    let (low, high) = (keys.iter().min()?, keys.iter().max()?);
    let above = bytes_beside(number, Operator::GtEq, low)?;
    let below = bytes_beside(number, Operator::LtEq, high)?;
    Some(both(above, Operator::And, below))
}

/// The column whose order an expression is.
fn number(expr: &Arc<dyn PhysicalExpr>) -> Option<&Arc<dyn PhysicalExpr>> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    let column = call.args().first()?;
    (order::is_of_numbers(call.fun()) && column.is::<physical::Column>()).then_some(column)
}

fn key(expr: &Arc<dyn PhysicalExpr>) -> Option<&[u8]> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Binary(Some(key)) => Some(key),
        _ => None,
    }
}

fn both(
    left: Arc<dyn PhysicalExpr>,
    op: Operator,
    right: Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    Arc::new(physical::BinaryExpr::new(left, op, right))
}

/// No key is the beginning of another, and behind one stand two bytes.
fn bytes_beside(
    column: &Arc<dyn PhysicalExpr>,
    op: Operator,
    key: &[u8],
) -> Option<Arc<dyn PhysicalExpr>> {
    let compared = |op, bytes: Vec<u8>| {
        let bytes = Arc::new(Literal::new(ScalarValue::LargeBinary(Some(bytes))));
        both(Arc::clone(column), op, bytes)
    };
    let last = || [key, &[0xff, 0xff]].concat();
    Some(match op {
        Operator::Eq => both(
            compared(Operator::GtEq, key.to_vec()),
            Operator::And,
            compared(Operator::LtEq, last()),
        ),
        Operator::Lt => compared(op, key.to_vec()),
        Operator::GtEq => compared(op, key.to_vec()),
        Operator::LtEq => compared(op, last()),
        Operator::Gt => compared(op, last()),
        _ => return None,
    })
}

/// The same condition over other columns; `None` where one of them is not there as it is.
pub(crate) fn over(
    condition: Arc<dyn PhysicalExpr>,
    column: &dyn Fn(&str) -> Option<Arc<dyn PhysicalExpr>>,
) -> Option<Arc<dyn PhysicalExpr>> {
    let mut all_there = true;
    let over = condition.transform_up(|expr| {
        let Some(named) = expr.downcast_ref::<physical::Column>() else {
            return Ok(Transformed::no(expr));
        };
        Ok(match column(named.name()) {
            Some(there) => Transformed::yes(there),
            None => {
                all_there = false;
                Transformed::no(expr)
            }
        })
    });
    over.ok().filter(|_| all_there).map(|over| over.data)
}
