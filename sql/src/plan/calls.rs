//! Aggregates and comparisons as PostgreSQL resolves them.

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, Operator, binary_expr};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::ColumnType;

use super::integers;
use super::operators::{PostgresOperators, external, has_own_order, sorted, sorted_by, type_of};
use crate::error::{ErrorKind, SqlError};
use crate::functions::collected;
use crate::text::Style;
use crate::types;

/// A comparison of two expressions, as if the statement had it.
pub(super) fn compare(
    op: Operator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let written = match op {
        Operator::Eq => BinaryOperator::Eq,
        Operator::NotEq => BinaryOperator::NotEq,
        Operator::Lt => BinaryOperator::Lt,
        Operator::LtEq => BinaryOperator::LtEq,
        Operator::Gt => BinaryOperator::Gt,
        Operator::GtEq => BinaryOperator::GtEq,
        op => return Ok(binary_expr(left, op, right)),
    };
    let raw = RawBinaryExpr {
        op: written,
        left,
        right,
    };
    let planner = PostgresOperators { style };
    Ok(match planner.plan_binary_op(raw, schema)? {
        PlannerResult::Planned(expr) => expr,
        PlannerResult::Original(raw) => binary_expr(raw.left, op, raw.right),
    })
}

/// A call of an aggregate: literals as int4, keys of ORDER BY as their types sort, values collected where they must be.
pub(super) fn aggregate(mut call: AggregateFunction, schema: &DFSchema) -> Result<Expr> {
    // What count(*) counts is known by its type.
    if call.func.name() != "count" {
        integers::small(&mut call.params.args);
    }
    let keys = std::mem::take(&mut call.params.order_by);
    call.params.order_by = sorted(keys, schema);
    if matches!(call.func.name(), "min" | "max")
        && let Some(arg) = call.params.args.first()
        && let Some(ty) = type_of(arg, schema)
    {
        call = extreme(call, ty)?;
    }
    let call = collected::collecting(&call)?.unwrap_or(call);
    Ok(Expr::AggregateFunction(call))
}

/// `min` and `max` of a type: refused where PostgreSQL has none, by its order where that is not Arrow's.
fn extreme(call: AggregateFunction, ty: ColumnType) -> Result<AggregateFunction> {
    use ColumnType::{Bool, Bytea, Json, Jsonb, Uuid};
    if matches!(ty, Bool | Bytea | Uuid | Json | Jsonb) {
        let name = call.func.name();
        let message = format!("function {name}({}) does not exist", types::name(ty));
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        let error = SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint);
        return Err(external(error));
    }
    match has_own_order(ty) {
        true => {
            let key = sorted_by(call.params.args[0].clone(), ty);
            Ok(collected::extreme(call, key))
        }
        false => Ok(call),
    }
}
