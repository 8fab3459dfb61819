//! Groups, distinct rows and joins by value, where equal values may look different (`1` and `1.0` of jsonb): DataFusion would
//! tell them apart by what they look like. What a group shows is how one of its values looks.

use std::sync::Arc;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, JoinConstraint, LogicalPlan, Projection,
};

use super::operators::{external, type_of};
use super::order::{looks_vary, sorted_by, undetermined};
use crate::error::SqlError;

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
        LogicalPlan::RecursiveQuery(query) if query.is_distinct => {
            let schema = query.static_term.schema();
            let mut columns = schema.columns().into_iter().map(Expr::Column);
            match columns.any(|expr| vary(&expr, schema)) {
                true => Err(refused("UNION in WITH RECURSIVE")),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn refused(what: &str) -> datafusion::error::DataFusionError {
    let what = format!("{what} of values that look different where they are equal");
    external(SqlError::unsupported(what))
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

/// Groups by keys, with the first value that each group has.
fn grouped(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let schema = aggregate.input.schema();
    let exprs = &aggregate.group_expr;
    let told_apart: Vec<&Expr> = undetermined(exprs, schema).collect();
    let varies = |expr: &&Expr| vary(expr, schema) && told_apart.contains(expr);
    if let [Expr::GroupingSet(sets)] = exprs.as_slice() {
        return match sets.distinct_expr().iter().any(|expr| vary(expr, schema)) {
            true => Err(refused("GROUPING SETS")),
            false => Ok(None),
        };
    }
    if !exprs.iter().any(|expr| varies(&expr)) {
        return Ok(None);
    }
    let mut made_exprs = aggregate.aggr_expr.clone();
    let (mut keys, mut columns) = (Vec::new(), Vec::new());
    for (at, (qualifier, field)) in aggregate.schema.iter().enumerate() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let Some(expr) = exprs.get(at) else {
            columns.push(column);
            continue;
        };
        if !varies(&expr) {
            keys.push(expr.clone());
            columns.push(column);
            continue;
        }
        let value = expr.clone().unalias();
        keys.push(key(&value, schema).alias(format!("key {at}")));
        let name = format!("value {at}");
        made_exprs.push(first_value(value, Vec::new()).alias(&name));
        let metadata = FieldMetadata::from(field.metadata().clone());
        columns.push(
            Expr::Column(Column::from_name(name)).alias_qualified_with_metadata(
                qualifier.cloned(),
                field.name(),
                Some(metadata),
            ),
        );
    }
    let groups = Aggregate::try_new(aggregate.input.clone(), keys, made_exprs)?;
    let groups = Arc::new(LogicalPlan::Aggregate(groups));
    Projection::try_new(columns, groups).map(|rows| Some(LogicalPlan::Projection(rows)))
}
