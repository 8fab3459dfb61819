//! Which columns of a result keep the precision of a numeric: as in PostgreSQL, those that are a column or a cast. What is
//! computed is a plain numeric, whatever shape the engine computes it in.

use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan};
use tidelog_storage::ColumnType;

use crate::casts;
use crate::functions::SINGLE_VALUE;
use crate::provider::Relation;
use crate::system::SystemRelation;

/// The type that a column of this place has in a table or view that is made of the plan.
pub(crate) fn declared(plan: &LogicalPlan, at: usize, ty: ColumnType) -> ColumnType {
    match ty {
        ColumnType::Numeric(Some(_)) if !keeps(plan, at, true) => ColumnType::Numeric(None),
        ty => ty,
    }
}

/// `cast` says whether a cast counts: where several types become one, nothing tells a cast of the statement from one that was
/// added for that.
fn keeps(plan: &LogicalPlan, at: usize, cast: bool) -> bool {
    let of = |input: &LogicalPlan, exprs: &[Expr]| {
        exprs
            .get(at)
            .is_some_and(|expr| is_declared(expr, input, cast))
    };
    match plan {
        LogicalPlan::Projection(projection) => of(&projection.input, &projection.expr),
        LogicalPlan::Filter(filter) => keeps(&filter.input, at, cast),
        LogicalPlan::Sort(sort) => keeps(&sort.input, at, cast),
        LogicalPlan::Limit(limit) => keeps(&limit.input, at, cast),
        LogicalPlan::SubqueryAlias(alias) => keeps(&alias.input, at, cast),
        LogicalPlan::Distinct(Distinct::All(input)) => keeps(input, at, cast),
        LogicalPlan::Distinct(Distinct::On(on)) => of(&on.input, &on.select_expr),
        LogicalPlan::Window(window) => {
            at < window.input.schema().fields().len() && keeps(&window.input, at, cast)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let exprs = [aggregate.group_expr.as_slice(), &aggregate.aggr_expr].concat();
            of(&aggregate.input, &exprs)
        }
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| keeps(input, at, false)),
        LogicalPlan::Join(join) => match at.checked_sub(join.left.schema().fields().len()) {
            None => keeps(&join.left, at, cast),
            Some(at) => keeps(&join.right, at, cast),
        },
        LogicalPlan::TableScan(scan) => {
            let at = match &scan.projection {
                Some(projection) => projection.get(at).copied(),
                None => Some(at),
            };
            let Some((at, provider)) = at.zip(source_as_provider(&scan.source).ok()) else {
                return false;
            };
            match provider.get_logical_plan() {
                Some(view) => keeps(&view, at, cast),
                None => provider.is::<Relation>() || provider.is::<SystemRelation>(),
            }
        }
        _ => false,
    }
}

/// Whether an expression over a plan has the precision that its type tells, by the rules of exprTypmod in PostgreSQL's
/// nodeFuncs.c.
fn is_declared(expr: &Expr, input: &LogicalPlan, cast: bool) -> bool {
    let all_alike = |exprs: &[&Expr]| {
        let ty = |expr: &Expr| expr.get_type(input.schema()).ok();
        let alike = |expr: &&Expr| is_declared(expr, input, false) && ty(expr) == ty(exprs[0]);
        exprs.iter().all(alike)
    };
    match expr {
        Expr::Alias(alias) => is_declared(&alias.expr, input, cast),
        Expr::Column(column) => {
            let at = input.schema().maybe_index_of_column(column);
            at.is_some_and(|at| keeps(input, at, cast))
        }
        Expr::Cast(_) | Expr::TryCast(_) => cast,
        Expr::ScalarSubquery(subquery) => keeps(&subquery.subquery, 0, true),
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then);
            let results: Vec<&Expr> = results.chain(&case.else_expr).map(|of| &**of).collect();
            case.else_expr.is_some() && all_alike(&results)
        }
        Expr::ScalarFunction(call) => match call.name() {
            "coalesce" | "greatest" | "least" => all_alike(&call.args.iter().collect::<Vec<_>>()),
            _ => cast && casts::is_one(&call.func),
        },
        // A subquery that gives one value.
        Expr::AggregateFunction(call) if call.func.name() == SINGLE_VALUE => {
            let value = call.params.args.first();
            value.is_some_and(|value| is_declared(value, input, cast))
        }
        _ => false,
    }
}
