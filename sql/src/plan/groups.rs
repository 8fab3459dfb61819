//! Groups, distinct rows and joins by value, where equal values may look different (`1` and `1.0` of jsonb): DataFusion would
//! tell them apart by what they look like. What a group shows is how one of its values looks.

use std::sync::Arc;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, JoinConstraint, LogicalPlan, Projection, when,
};

use super::operators::type_of;
use super::order::{looks_vary, sorted_by, undetermined};

/// The same rows by what tells their values apart; `None` where that is how they look.
pub(super) fn by_value(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns = input.schema().columns().into_iter();
            let columns: Vec<Expr> = columns.map(Expr::Column).collect();
            if !columns.iter().any(|expr| vary(expr, input.schema())) {
                return Ok(None);
            }
            let keys = columns.iter().map(|expr| key(expr, input.schema()));
            let on = keys.collect();
            let rows = DistinctOn::try_new(on, columns, None, input.clone())?;
            Ok(Some(LogicalPlan::Distinct(Distinct::On(rows))))
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (join.left.schema(), join.right.schema());
            if !join.on.iter().any(|(l, r)| vary(l, left) || vary(r, right)) {
                return Ok(None);
            }
            let mut join = join.clone();
            join.on = (join.on.iter())
                .map(|(l, r)| (key(l, left), key(r, right)))
                .collect();
            // They are no columns any more.
            join.join_constraint = JoinConstraint::On;
            Ok(Some(LogicalPlan::Join(join)))
        }
        _ => Ok(None),
    }
}

fn vary(expr: &Expr, schema: &DFSchema) -> bool {
    type_of(expr, schema).is_some_and(looks_vary)
}

/// What tells an expression's values apart.
fn key(expr: &Expr, schema: &DFSchema) -> Expr {
    match type_of(expr, schema) {
        Some(ty) if looks_vary(ty) => sorted_by(expr.clone(), ty),
        _ => expr.clone(),
    }
}

/// Groups by keys, with the first value that each group has; NULL in the rows of grouping sets that a key is none of, where the key
/// is NULL, too.
fn grouped(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let schema = aggregate.input.schema();
    let sets = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => Some(sets),
        _ => None,
    };
    let exprs: Vec<Expr> = match sets {
        Some(sets) => sets.distinct_expr().into_iter().cloned().collect(),
        None => aggregate.group_expr.clone(),
    };
    let told_apart: Vec<&Expr> = match sets {
        Some(_) => exprs.iter().collect(),
        None => undetermined(&exprs, schema).collect(),
    };
    let varies = |expr: &Expr| vary(expr, schema) && told_apart.contains(&expr);
    if !exprs.iter().any(varies) {
        return Ok(None);
    }
    let keyed = |expr: Expr| match varies(&expr) {
        true => Transformed::yes(key(&expr.unalias(), schema)),
        false => Transformed::no(expr),
    };
    let keys = aggregate.group_expr.iter().cloned().map(|expr| match sets {
        Some(_) => expr.map_children(|key| Ok(keyed(key))).data(),
        None => Ok(keyed(expr).data),
    });
    let keys: Vec<Expr> = keys.collect::<Result<_>>()?;
    // What GROUPING asks for is found among the keys.
    let mut calls =
        with_arguments_of_grouping(aggregate.aggr_expr.clone(), &|arg| keyed(arg).data)?;
    for (at, expr) in exprs.iter().enumerate().filter(|(_, expr)| varies(expr)) {
        calls.push(first_value(expr.clone().unalias(), Vec::new()).alias(value_name(at)));
    }
    let groups = Aggregate::try_new(aggregate.input.clone(), keys, calls)?;
    let made = groups.schema.columns().into_iter().map(Expr::Column);
    let wanted = aggregate.schema.iter();
    // That of the sets goes where GROUPING becomes a number, and nothing else asks for it.
    let columns = made.zip(wanted).enumerate();
    let columns = columns.filter(|(at, _)| sets.is_none() || *at != exprs.len());
    let columns = columns.map(|(at, (made, (qualifier, field)))| {
        if !exprs.get(at).is_some_and(varies) {
            return Ok(made);
        }
        let value = Expr::Column(Column::from_name(value_name(at)));
        let value = match sets {
            Some(_) => when(made.is_not_null(), value).end()?,
            None => value,
        };
        let metadata = FieldMetadata::from(field.metadata().clone());
        Ok(value.alias_qualified_with_metadata(qualifier.cloned(), field.name(), Some(metadata)))
    });
    let columns: Vec<Expr> = columns.collect::<Result<_>>()?;
    let groups = Arc::new(LogicalPlan::Aggregate(groups));
    Projection::try_new(columns, groups).map(|rows| Some(LogicalPlan::Projection(rows)))
}

/// Lets GROUPING ask for the keys as they stand in GROUP BY, where those that were rewritten have a name.
pub(super) fn asked_by_key(mut aggregate: Aggregate) -> Result<Aggregate> {
    let bare = |expr: &Expr| expr.clone().unalias_nested().data;
    let keys = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => sets.distinct_expr(),
        keys => keys.iter().collect(),
    };
    let as_key = |arg: Expr| {
        let key = keys.iter().find(|key| bare(key) == bare(&arg));
        key.map_or(arg, |key| (*key).clone())
    };
    aggregate.aggr_expr = with_arguments_of_grouping(aggregate.aggr_expr, &as_key)?;
    Ok(aggregate)
}

/// Aggregates in which the arguments of GROUPING are others.
fn with_arguments_of_grouping(
    calls: Vec<Expr>,
    argument: &dyn Fn(Expr) -> Expr,
) -> Result<Vec<Expr>> {
    let asked = |call: Expr| match call {
        Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
            call.params.args = call.params.args.into_iter().map(argument).collect();
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    };
    let calls = calls.into_iter().map(|call| {
        let name = NamePreserver::new_for_projection().save(&call);
        let call = call.transform_up(asked)?;
        Ok(call.update_data(|call| name.restore(call)).data)
    });
    calls.collect()
}

/// What the first value of a group is called.
fn value_name(at: usize) -> String {
    format!("value {at}")
}

/// Whether an aggregate of this relation is over columns of the query around it alone, which PostgreSQL computes there.
pub(super) fn of_outer_query(call: &AggregateFunction, schema: &DFSchema) -> Result<bool> {
    let (mut own, mut outer) = (false, false);
    let keys = call.params.order_by.iter().map(|key| &key.expr);
    let parts = call.params.args.iter().chain(call.params.filter.as_deref());
    for part in parts.chain(keys) {
        part.apply(|expr| {
            let subquery = match expr {
                Expr::Column(_) => {
                    own = true;
                    return Ok(TreeNodeRecursion::Continue);
                }
                Expr::OuterReferenceColumn(..) => {
                    outer = true;
                    return Ok(TreeNodeRecursion::Continue);
                }
                Expr::ScalarSubquery(subquery) => subquery,
                Expr::Exists(exists) => &exists.subquery,
                Expr::InSubquery(within) => &within.subquery,
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            // What it names is of the aggregate's own query, or of one further out.
            for named in &subquery.outer_ref_columns {
                if let Expr::OuterReferenceColumn(_, column) = named {
                    match schema.has_column(column) {
                        true => own = true,
                        false => outer = true,
                    }
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(outer && !own)
}
