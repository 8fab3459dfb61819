//! Integer literals where PostgreSQL has int4 and DataFusion int8: in CASE, among arguments.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Case;

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
