//! Whether a result's column says how long its values are, or how many digits they have: after exprTypmod in PostgreSQL's
//! nodeFuncs.c. Arrow's decimals always say it, also where PostgreSQL's results do not.

use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, JoinType, LogicalPlan};

use crate::casts;
use crate::functions::SINGLE_VALUE;

/// Of the column of a plan that stands at this place.
pub(super) fn is_kept(plan: &LogicalPlan, at: usize) -> bool {
    let within = |exprs: &[Expr], at: usize, input: &LogicalPlan| {
        exprs.get(at).is_none_or(|expr| of(expr, input))
    };
    match plan {
        LogicalPlan::Projection(projection) => within(&projection.expr, at, &projection.input),
        LogicalPlan::Filter(filter) => is_kept(&filter.input, at),
        LogicalPlan::Sort(sort) => is_kept(&sort.input, at),
        LogicalPlan::Limit(limit) => is_kept(&limit.input, at),
        LogicalPlan::SubqueryAlias(alias) => is_kept(&alias.input, at),
        LogicalPlan::Distinct(Distinct::All(input)) => is_kept(input, at),
        LogicalPlan::Distinct(Distinct::On(on)) => within(&on.select_expr, at, &on.input),
        // Its own columns stand behind those of its input.
        LogicalPlan::Window(window) => {
            at < window.input.schema().fields().len() && is_kept(&window.input, at)
        }
        LogicalPlan::Aggregate(aggregate) => match at.checked_sub(aggregate.group_expr.len()) {
            None => within(&aggregate.group_expr, at, &aggregate.input),
            Some(at) => match aggregate.aggr_expr.get(at).map(unaliased) {
                // It gives what a scalar subquery gives.
                Some(Expr::AggregateFunction(call)) if call.func.name() == SINGLE_VALUE => {
                    within(&call.params.args, 0, &aggregate.input)
                }
                _ => false,
            },
        },
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match (join.join_type, at.checked_sub(left)) {
                (JoinType::RightSemi | JoinType::RightAnti, _) => is_kept(&join.right, at),
                (_, None) => is_kept(&join.left, at),
                (_, Some(at)) => is_kept(&join.right, at),
            }
        }
        LogicalPlan::Union(union) => {
            let mut inputs = union.inputs.iter();
            inputs.all(|input| as_one_of_several_columns(input, at))
        }
        LogicalPlan::Values(values) => {
            let mut column = values.values.iter().filter_map(|row| row.get(at));
            column.all(|expr| of(expr, plan))
        }
        _ => true,
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        expr => expr,
    }
}

/// Whether values that become one have the same modifier.
fn agree<'e>(exprs: impl Iterator<Item = &'e Expr> + Clone, input: &LogicalPlan) -> bool {
    let mut types = exprs.clone().map(|expr| expr.get_type(input.schema()).ok());
    let first = types.next().flatten();
    types.all(|ty| ty == first) && { exprs }.all(|expr| as_one_of_several(expr, input))
}

fn of(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Alias(alias) => of(&alias.expr, input),
        Expr::Cast(_) => true,
        expr => as_one_of_several(expr, input),
    }
}

fn as_one_of_several_columns(plan: &LogicalPlan, at: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            let expr = projection.expr.get(at);
            expr.is_none_or(|expr| as_one_of_several(expr, &projection.input))
        }
        plan => is_kept(plan, at),
    }
}

/// Of one of several values that are to be of one type: a cast there may be what makes it so, and none of the statement's.
fn as_one_of_several(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Alias(alias) => as_one_of_several(&alias.expr, input),
        Expr::Column(column) => {
            let at = input.schema().maybe_index_of_column(column);
            at.is_none_or(|at| as_one_of_several_columns(input, at))
        }
        Expr::OuterReferenceColumn(..) => true,
        // A constant with a type of its own says what that keeps.
        Expr::Literal(_, metadata) => metadata.is_some(),
        Expr::Case(case) => {
            let thens = case.when_then_expr.iter().map(|(_, then)| &**then);
            case.else_expr.is_some() && agree(thens.chain(case.else_expr.as_deref()), input)
        }
        Expr::ScalarSubquery(subquery) => is_kept(&subquery.subquery, 0),
        Expr::ScalarFunction(call) => match call.name() {
            "coalesce" | "greatest" | "least" | "make_array" => agree(call.args.iter(), input),
            "pg_element" => call.args.first().is_none_or(|arg| of(arg, input)),
            _ => casts::is_one(&call.func),
        },
        _ => false,
    }
}
