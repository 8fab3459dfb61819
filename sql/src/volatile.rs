//! What gives something else each time that it is computed (`random()`, `nextval(…)`): DataFusion's rules copy it, leave out what
//! looks the same, and compute it for other rows than those it stands for.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, Extension, Filter, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::advisory;

/// CASE with such conditions, as one of a value: DataFusion's simplifier makes ANDs and ORs of one with booleans for results, in
/// which each condition is there twice.
pub(crate) fn computed_once(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Case(mut case)
            if case.expr.is_none()
                && case
                    .when_then_expr
                    .iter()
                    .any(|(when, _)| when.is_volatile()) =>
        {
            case.expr = Some(Box::new(lit(true)));
            Transformed::yes(Expr::Case(case))
        }
        expr => Transformed::no(expr),
    })
}

/// Whether an expression of a node has CASE and something volatile.
pub(crate) fn has_cases(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(matches!(expr, Expr::Case(_))))? && expr.is_volatile();
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether a plan computes something volatile.
pub(crate) fn has_some(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Whether a filter stays above what a rule would take it below: what joins, groups, spreads or numbers rows, and other filters.
fn stays_above(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Aggregate(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::Window(_)
    )
}

/// Moves a filter's other conditions down by a rule, but none that is volatile below what has other rows, and none of a join.
/// `Err` gives back a plan without such conditions.
pub(crate) fn filters_kept(
    plan: LogicalPlan,
    push: &dyn Fn(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Result<Transformed<LogicalPlan>, LogicalPlan>> {
    let is_volatile = |condition: &Option<Expr>| condition.as_ref().is_some_and(Expr::is_volatile);
    match plan {
        LogicalPlan::Join(join) if is_volatile(&join.filter) => {
            Ok(Ok(Transformed::no(LogicalPlan::Join(join))))
        }
        LogicalPlan::Filter(filter)
            if stays_above(&filter.input)
                && split_conjunction(&filter.predicate)
                    .into_iter()
                    .any(Expr::is_volatile) =>
        {
            let conditions = split_conjunction_owned(filter.predicate.clone());
            let (kept, others): (Vec<Expr>, Vec<Expr>) =
                conditions.into_iter().partition(Expr::is_volatile);
            let (Some(kept), Some(others)) = (conjunction(kept), conjunction(others)) else {
                return Ok(Ok(Transformed::no(LogicalPlan::Filter(filter))));
            };
            let others = Filter::try_new(others, filter.input)?;
            let pushed = push(LogicalPlan::Filter(others))?.data;
            let kept = Filter::try_new(kept, Arc::new(pushed))?;
            Ok(Ok(Transformed::yes(LogicalPlan::Filter(kept))))
        }
        // What a rule takes into the join with it would go on below.
        LogicalPlan::Filter(filter) if matches!(&*filter.input, LogicalPlan::Join(join) if is_volatile(&join.filter)) => {
            Ok(Ok(Transformed::no(LogicalPlan::Filter(filter))))
        }
        plan => Ok(Err(plan)),
    }
}

/// Has functions called for what they do (`nextval`, `pg_advisory_lock`) where nobody needs what they give, as PostgreSQL does:
/// DataFusion leaves out columns of a subquery that the query around it has no use for.
#[derive(Debug)]
pub(crate) struct KeptEffects;

impl OptimizerRule for KeptEffects {
    fn name(&self) -> &str {
        "kept_effects"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let mut found = false;
        plan.apply(|plan| {
            found |= !effects(plan).is_empty();
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        match found {
            true => plan.map_children(kept),
            false => Ok(Transformed::no(plan)),
        }
    }
}

fn kept(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let columns = effects(&plan);
    if matches!(&plan, LogicalPlan::Extension(of) if of.node.as_any().is::<Kept>()) {
        return plan.map_children(|below| below.map_children(kept));
    }
    let below = plan.map_children(kept)?;
    if columns.is_empty() {
        return Ok(below);
    }
    let node = Kept {
        columns,
        input: below.data,
    };
    let node = Arc::new(node);
    Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
}

/// Functions that do something, beside those of advisory locks.
const ACTS: [&str; 4] = ["nextval", "pg_notify", "pg_sleep", "setval"];

/// The columns of a projection that are computed for what that does; empty for any other plan.
fn effects(plan: &LogicalPlan) -> BTreeSet<String> {
    let LogicalPlan::Projection(projection) = plan else {
        return BTreeSet::new();
    };
    let acts = |expr: &Expr| {
        let is_call = |expr: &Expr| {
            Ok(matches!(expr, Expr::ScalarFunction(call)
                if ACTS.contains(&call.name()) || advisory::is_one(call.name())))
        };
        expr.exists(is_call).unwrap_or(true)
    };
    let columns = projection.expr.iter().zip(projection.schema.fields());
    let columns = columns.filter(|(expr, _)| acts(expr));
    columns.map(|(_, field)| field.name().clone()).collect()
}

/// Whether a node is only there while a plan is optimized.
pub(crate) fn is_kept(node: &dyn UserDefinedLogicalNode) -> bool {
    node.as_any().is::<Kept>()
}

/// A query all of whose columns are needed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Hash)]
struct Kept {
    /// Those that no filter is taken below.
    columns: BTreeSet<String>,
    input: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for Kept {
    fn name(&self) -> &str {
        "Kept"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.columns.iter().cloned().collect()
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Kept")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Kept> {
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Internal("Kept has one input".to_string()))?;
        Ok(Kept {
            columns: self.columns.clone(),
            input,
        })
    }
}
