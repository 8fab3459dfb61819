//! Integer literals where PostgreSQL has int4 and DataFusion int8: in VALUES, in CASE, among arguments.

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Values};

use super::operators::{int4, small_literal};

fn is_big(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Int64(Some(_)), _)) && small_literal(expr).is_none()
}

/// Makes integer literals int4, unless one of them does not fit.
pub(super) fn small<'e>(exprs: impl IntoIterator<Item = &'e mut Expr>) {
    let exprs: Vec<&mut Expr> = exprs.into_iter().collect();
    if exprs.iter().any(|expr| is_big(expr)) {
        return;
    }
    for expr in exprs {
        if let Some(small) = small_literal(expr) {
            *expr = int4(small);
        }
    }
}

/// The results of CASE.
pub(super) fn small_results(case: &mut Case) {
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
    small(thens.chain(case.else_expr.as_deref_mut()));
}

/// The arguments of a function that gives one of them.
pub(super) fn small_arguments(call: &mut ScalarFunction) {
    if matches!(
        call.name(),
        "coalesce" | "nullif" | "greatest" | "least" | "abs"
    ) {
        small(&mut call.args);
    }
}

/// VALUES, in columns where all integer literals fit.
pub(super) fn small_values(values: Values) -> Result<LogicalPlan> {
    let width = values.schema.fields().len();
    let is_small = |n: usize| {
        let column = || values.values.iter().map(|row| &row[n]);
        let literal = |expr: &Expr| small_literal(expr).is_some();
        column().all(|expr| literal(expr) || matches!(expr, Expr::Literal(ScalarValue::Null, _)))
            && column().any(literal)
    };
    let small: Vec<bool> = (0..width).map(is_small).collect();
    if !small.contains(&true) {
        return Ok(LogicalPlan::Values(values));
    }
    let rows = values.values.iter().map(|row| {
        let row = row.iter().zip(&small);
        row.map(|(expr, small)| match small_literal(expr) {
            Some(value) if *small => int4(value),
            _ => expr.clone(),
        })
        .collect()
    });
    let made = LogicalPlanBuilder::values(rows.collect())?.build()?;
    // Under the names that its columns had.
    let columns = values.schema.iter().zip(made.schema().columns());
    let columns = columns.map(|((qualifier, field), column)| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(made).project(columns)?.build()
}
