//! What kind of subquery a plan is.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, Subquery, utils::split_conjunction,
};

/// The columns of `outer` that a plan refers to from inside a subquery, each once.
pub(super) fn outer_columns(plan: &LogicalPlan, outer: &DFSchema) -> Result<Vec<Column>> {
    let mut found: Vec<Column> = Vec::new();
    plan.apply(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr
                    && outer.has_column(column)
                    && !found.contains(column)
                {
                    found.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// Whether a plan refers to one of these outer columns.
pub(super) fn mentions(plan: &LogicalPlan, columns: &[Column]) -> Result<bool> {
    let mut found = false;
    plan.apply(|plan| {
        plan.apply_expressions(|expr| {
            found |= uses(expr, columns)?;
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })
    })?;
    Ok(found)
}

/// Whether an expression refers to one of these outer columns.
pub(super) fn uses(expr: &Expr, columns: &[Column]) -> Result<bool> {
    expr.exists(|expr| {
        Ok(matches!(expr, Expr::OuterReferenceColumn(_, column) if columns.contains(column)))
    })
}

fn is_correlated(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))))
        .unwrap_or(true)
}

/// Whether rows are made of the outer row alone, without grouping, order or a choice among them.
pub(super) fn is_local(plan: &LogicalPlan) -> bool {
    let correlated = !plan.all_out_ref_exprs().is_empty();
    match plan {
        _ if !correlated => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Unnest(_) => plan.inputs().into_iter().all(is_local),
        _ => false,
    }
}

/// Whether a plan gives exactly one row.
pub(super) fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            !projects_sets(plan) && plan.inputs().into_iter().all(is_one_row)
        }
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

fn projects_sets(plan: &LogicalPlan) -> bool {
    plan.expressions().iter().any(|expr| {
        expr.exists(|e| Ok(matches!(e, Expr::Unnest(_))))
            .unwrap_or(true)
    })
}

/// Whether a plan gives one row at most.
pub(super) fn is_at_most_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Limit(limit) => {
            let fetch = limit.fetch.as_deref();
            matches!(
                fetch,
                Some(Expr::Literal(ScalarValue::Int64(Some(0 | 1)), _))
            ) || is_at_most_one_row(&limit.input)
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_) => {
            !projects_sets(plan) && plan.inputs().into_iter().all(is_at_most_one_row)
        }
        plan => is_one_row(plan),
    }
}

/// Whether DataFusion makes a semi or anti join of EXISTS or IN with this subquery: all that is correlated is
/// conditions of one WHERE.
pub(super) fn is_plain(plan: &LogicalPlan, outer: &DFSchema) -> Result<bool> {
    if !resolves(plan, outer)? {
        return Ok(false);
    }
    let mut plan = plan;
    loop {
        if plan.all_out_ref_exprs().is_empty() {
            return Ok(true);
        }
        plan = match plan {
            LogicalPlan::Projection(projection) if !projection.expr.iter().any(is_correlated) => {
                &projection.input
            }
            LogicalPlan::Filter(filter) => {
                let conditions = split_conjunction(&filter.predicate);
                let crossed = conditions
                    .iter()
                    .any(|c| is_correlated(c) && has_any_subquery(c));
                return Ok(!crossed
                    && filter.input.all_out_ref_exprs().is_empty()
                    && told_apart(&conditions, filter.input.schema()));
            }
            _ => return Ok(false),
        };
    }
}

/// Whether DataFusion makes a join of a scalar subquery: an aggregate whose correlation is by equalities.
pub(super) fn is_plain_aggregate(plan: &LogicalPlan, outer: &DFSchema) -> Result<bool> {
    if !resolves(plan, outer)? {
        return Ok(false);
    }
    let mut plan = plan;
    while let LogicalPlan::Projection(projection) = plan {
        // What it makes of the aggregates of no rows must be NULL, too, or a plain count.
        let columns = projection
            .expr
            .iter()
            .all(|expr| matches!(expr.clone().unalias_nested().data, Expr::Column(_)));
        if !columns {
            return Ok(false);
        }
        plan = &projection.input;
    }
    let LogicalPlan::Aggregate(aggregate) = plan else {
        return Ok(false);
    };
    let own = |expr: &Expr| !is_correlated(expr) && !has_any_subquery(expr);
    let LogicalPlan::Filter(filter) = &*aggregate.input else {
        return Ok(false);
    };
    Ok(aggregate.group_expr.is_empty()
        && aggregate.aggr_expr.iter().all(own)
        && filter.input.all_out_ref_exprs().is_empty()
        && split_conjunction(&filter.predicate)
            .into_iter()
            .all(|condition| !is_correlated(condition) || is_equality(condition))
        && told_apart(&split_conjunction(&filter.predicate), filter.input.schema()))
}

/// Whether the columns of correlated conditions are the only ones of their names: DataFusion makes the subquery one relation,
/// in which it finds them by name.
fn told_apart(conditions: &[&Expr], schema: &DFSchema) -> bool {
    let correlated = conditions
        .iter()
        .filter(|condition| is_correlated(condition));
    let mut columns = correlated.flat_map(|condition| condition.column_refs());
    columns.all(|column| schema.fields_with_unqualified_name(&column.name).len() <= 1)
}

/// `inner = outer column`.
fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
        return false;
    };
    let outer = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(..));
    let inner = |expr: &Expr| matches!(expr, Expr::Column(_));
    *op == Operator::Eq && (outer(left) && inner(right) || inner(left) && outer(right))
}

/// Whether all outer columns of a subquery are of the level around it.
fn resolves(plan: &LogicalPlan, outer: &DFSchema) -> Result<bool> {
    let columns = plan.all_out_ref_exprs();
    Ok(columns.iter().all(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => outer.has_column(column),
        _ => false,
    }))
}

/// The subquery that an expression is of.
pub(super) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(within) => Some(&within.subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
}

/// Whether an expression has a subquery in it.
pub(super) fn has_any_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(subquery_of(expr).is_some()))
        .unwrap_or(true)
}
