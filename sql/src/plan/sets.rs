//! Rows that are sorted by what they have before sets are spread into rows: they are sorted first, and the rows of a set stay in
//! its order.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Sort as Key;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SubqueryAlias, Unnest,
};

/// What tells the place of a row among those that sets are spread from.
const PLACE: &str = "place before sets";

/// Sorts before sets are spread, where keys do not have their elements. As in PostgreSQL's make_sort_input_target.
pub(super) fn sorted_first(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sorted = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Sort(sort) = &plan else {
            return Ok(Transformed::no(plan));
        };
        let Some((input, place)) = placed(&sort.input, &sort.expr)? else {
            return Ok(Transformed::no(plan));
        };
        let columns = sort.input.schema().columns().into_iter().map(Expr::Column);
        let sorted = LogicalPlan::Sort(Sort {
            expr: vec![Expr::Column(place).sort(true, false)],
            input: Arc::new(input),
            fetch: sort.fetch,
        });
        let shown = Projection::try_new(columns.collect(), Arc::new(sorted))?;
        Ok(Transformed::yes(LogicalPlan::Projection(shown)))
    })?;
    Ok(sorted.data)
}

/// The plan with one more column: the place of the row that each came from, by keys over its columns.
fn placed(plan: &LogicalPlan, keys: &[Key]) -> Result<Option<(LogicalPlan, Column)>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let keys = over(keys, plan.schema(), |at| {
                projection.expr[at].clone().unalias_nested().data
            })?;
            let Some((input, place)) = placed(&projection.input, &keys)? else {
                return Ok(None);
            };
            let mut columns = projection.expr.clone();
            columns.push(Expr::Column(place.clone()));
            let plan = Projection::try_new(columns, Arc::new(input))?;
            Ok(Some((LogicalPlan::Projection(plan), place)))
        }
        LogicalPlan::SubqueryAlias(named) => {
            let columns = named.input.schema().columns();
            let keys = over(keys, plan.schema(), |at| Expr::Column(columns[at].clone()))?;
            let Some((input, _)) = placed(&named.input, &keys)? else {
                return Ok(None);
            };
            let plan = SubqueryAlias::try_new(Arc::new(input), named.alias.clone())?;
            let place = Column::new(Some(named.alias.clone()), PLACE);
            Ok(Some((LogicalPlan::SubqueryAlias(plan), place)))
        }
        LogicalPlan::Unnest(unnest) => before(unnest, keys),
        _ => Ok(None),
    }
}

fn before(unnest: &Unnest, keys: &[Key]) -> Result<Option<(LogicalPlan, Column)>> {
    let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(at, _)| *at).collect();
    let columns = unnest.input.schema().columns();
    let of_sets = |key: &Key| {
        let mut columns = key.expr.column_refs().into_iter();
        columns.any(|column| {
            let at = unnest.schema.maybe_index_of_column(column);
            at.is_none_or(|at| lists.contains(&unnest.dependency_indices[at]))
        })
    };
    if lists.is_empty() || !unnest.struct_type_columns.is_empty() || keys.iter().any(of_sets) {
        return Ok(None);
    }
    let keys = over(keys, &unnest.schema, |at| {
        Expr::Column(columns[unnest.dependency_indices[at]].clone())
    })?;
    let input = match placed(&unnest.input, &keys)? {
        // Sets within sets.
        Some((input, _)) => input,
        None => {
            let number = row_number().order_by(keys).build()?;
            let place = Column::from_name(number.schema_name().to_string());
            let mut shown: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
            shown.push(Expr::Column(place).alias(PLACE));
            LogicalPlanBuilder::from(unnest.input.as_ref().clone())
                .window([number])?
                .project(shown)?
                .build()?
        }
    };
    let plan = LogicalPlanBuilder::from(input)
        .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
        .build()?;
    Ok(Some((plan, Column::from_name(PLACE))))
}

/// Keys over the columns of a schema, with what these columns are in their place.
fn over(keys: &[Key], schema: &DFSchema, is: impl Fn(usize) -> Expr) -> Result<Vec<Key>> {
    let over_input = |key: &Key| {
        let expr = key.expr.clone().transform(|expr| {
            let at = match &expr {
                Expr::Column(column) => schema.maybe_index_of_column(column),
                _ => None,
            };
            Ok(match at {
                Some(at) => Transformed::new(is(at), true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        })?;
        Ok(Key {
            expr: expr.data,
            ..key.clone()
        })
    };
    keys.iter().map(over_input).collect()
}
