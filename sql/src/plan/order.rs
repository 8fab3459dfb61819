//! What values are compared, sorted and grouped by, where that is not their Arrow type.

use std::sync::Arc;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Operator, SortExpr, binary_expr};
use datafusion::physical_expr::{PhysicalExpr, expressions as physical_expr};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, ElementType, PrintedType};

use super::operators::{external, known_type, plain_type, type_of};
use crate::error::{ErrorKind, SqlError};
use crate::text::printed;
use crate::{casts, functions, types};

/// What a value of a type is sorted by, where it is not sorted as its Arrow type.
pub(crate) fn sorted_by(expr: Expr, ty: ColumnType) -> Expr {
    let function = match ty {
        ColumnType::Interval(_) => functions::time::span(),
        ColumnType::Enum(of) => functions::enums::order(of),
        ColumnType::Printed(of) if printed::has_key(of) => functions::printed::order(of),
        ColumnType::Array(element) => {
            let element = plain_type(element.into());
            functions::order::by_value(element.array().unwrap_or(ty))
        }
        ColumnType::Shaped(element) => {
            let element = plain_type(element.into());
            functions::order::by_value(element.shaped().unwrap_or(ty))
        }
        ColumnType::Jsonb | ColumnType::Numeric(None) => functions::order::by_value(ty),
        ColumnType::Bpchar(None) => return casts::trimmed(expr),
        ColumnType::Float4 | ColumnType::Float8 => return with_zero(expr, ty),
        _ => return expr,
    };
    functions::json::call(function, vec![expr])
}

/// Whether values of a type are sorted otherwise than as its Arrow type.
pub(super) fn has_own_order(ty: ColumnType) -> bool {
    use ColumnType::{Array, Bpchar, Enum, Interval, Jsonb, Numeric, Printed, Shaped};
    matches!(
        ty,
        Interval(_)
            | Enum(_)
            | Array(_)
            | Shaped(_)
            | Printed(_)
            | Jsonb
            | Numeric(None)
            | Bpchar(None)
    )
}

/// Whether equal values of a type may look different, as `1` and `1.0` of numeric, or a month and 30 days.
pub(crate) fn looks_vary(ty: ColumnType) -> bool {
    match ty {
        ColumnType::Interval(_)
        | ColumnType::Jsonb
        | ColumnType::Numeric(None)
        | ColumnType::Bpchar(None) => true,
        // Spaces behind them make no difference; -0 and 0.
        ColumnType::Array(ElementType::Bpchar(_) | ElementType::Float4 | ElementType::Float8) => {
            true
        }
        // What an array is kept as beside another may be of another type.
        ColumnType::Shaped(_) => true,
        ColumnType::Array(element) => looks_vary(element.into()),
        _ => false,
    }
}

/// Whether values of a type can be compared, sorted and grouped here.
pub(super) fn is_comparable(ty: ColumnType) -> bool {
    match ty {
        ColumnType::Json => false,
        ColumnType::Printed(of) => of == PrintedType::Macaddr || printed::has_key(of),
        _ => true,
    }
}

/// 42883 when two operands are compared of which one is json: its values have no equality.
pub(super) fn refuse_json(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<()> {
    let (l, r) = (known_type(left, schema), known_type(right, schema));
    if l != Some(ColumnType::Json) && r != Some(ColumnType::Json) {
        return Ok(());
    }
    let shown = |ty: Option<ColumnType>| ty.map_or("unknown".to_string(), types::name);
    let message = format!("operator does not exist: {} {op} {}", shown(l), shown(r));
    let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
    Err(external(
        SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint),
    ))
}

/// 42883 when values that are to be grouped or told apart are json.
pub(super) fn check_groupable<'e>(
    exprs: impl IntoIterator<Item = &'e Expr>,
    schema: &DFSchema,
) -> Result<()> {
    for expr in exprs {
        if let Some(ty) = type_of(expr, schema).filter(|ty| !is_comparable(*ty)) {
            let name = types::bare_name(ty);
            let message = format!("could not identify an equality operator for type {name}");
            return Err(external(SqlError::new(
                ErrorKind::UndefinedFunction,
                message,
            )));
        }
    }
    Ok(())
}

/// Those of some columns to group by that no key among the others determines: DataFusion adds to a primary key all that it
/// determines, and is free to group by that or not.
pub(super) fn undetermined<'e>(
    exprs: &'e [Expr],
    schema: &'e DFSchema,
) -> impl Iterator<Item = &'e Expr> {
    let place = |expr: &Expr| match expr {
        Expr::Column(column) => schema.index_of_column(column).ok(),
        _ => None,
    };
    let given: Vec<usize> = exprs.iter().filter_map(place).collect();
    let keys = schema.functional_dependencies().iter();
    let keys = keys.filter(move |key| key.source_indices.iter().all(|at| given.contains(at)));
    let keys: Vec<_> = keys.collect();
    exprs.iter().filter(move |expr| {
        let determines = |at| {
            keys.iter()
                .any(|key| key.target_indices.contains(&at) && !key.source_indices.contains(&at))
        };
        !place(expr).is_some_and(determines)
    })
}

/// A float of which zero has no sign: Arrow tells -0 from 0 where it sorts and compares.
pub(super) fn unsigned_zero(expr: &mut Expr, schema: &DFSchema) {
    if let Some(ty @ (ColumnType::Float4 | ColumnType::Float8)) = type_of(expr, schema) {
        *expr = with_zero(std::mem::take(expr), ty);
    }
}

/// `float + 0`
fn with_zero(expr: Expr, ty: ColumnType) -> Expr {
    let zero = match ty {
        ColumnType::Float4 => ScalarValue::Float32(Some(0.0)),
        _ => ScalarValue::Float64(Some(0.0)),
    };
    match without_zero(&expr) {
        Some(_) => expr,
        None => binary_expr(expr, Operator::Plus, Expr::Literal(zero, None)),
    }
}

/// The float that such a key is made of.
pub(crate) fn without_zero(key: &Expr) -> Option<&Expr> {
    let Expr::BinaryExpr(sum) = key else {
        return None;
    };
    let adds_zero = sum.op == Operator::Plus
        && matches!(&*sum.right, Expr::Literal(zero, _) if is_float_zero(zero));
    adds_zero.then_some(&*sum.left)
}

/// The same of a planned key.
pub(crate) fn column_without_zero(key: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let sum = key.downcast_ref::<physical_expr::BinaryExpr>()?;
    let zero = sum.right().downcast_ref::<physical_expr::Literal>()?;
    let adds_zero = *sum.op() == Operator::Plus && is_float_zero(zero.value());
    adds_zero.then(|| sum.left().clone())
}

fn is_float_zero(value: &ScalarValue) -> bool {
    matches!(
        value,
        ScalarValue::Float32(Some(0.0)) | ScalarValue::Float64(Some(0.0))
    )
}

/// Sort keys as PostgreSQL's types sort.
pub(super) fn sorted(keys: Vec<SortExpr>, schema: &DFSchema) -> Result<Vec<SortExpr>> {
    let key = |key: SortExpr| match type_of(&key.expr, schema) {
        Some(ty) if !is_comparable(ty) => {
            let name = types::bare_name(ty);
            let message = format!("could not identify an ordering operator for type {name}");
            let hint = "Use an explicit ordering operator or modify the query.";
            Err(external(
                SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint),
            ))
        }
        Some(ty) => Ok(SortExpr {
            expr: sorted_by(key.expr, ty),
            ..key
        }),
        None => Ok(key),
    };
    keys.into_iter().map(key).collect()
}
