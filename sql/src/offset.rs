//! OFFSET without LIMIT: which rows it leaves out is decided by the order below it. Limits beyond what anybody has rows.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::output_requirements::OutputRequirementExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties,
    replace_children_if_necessary,
};

type Plan = Arc<dyn ExecutionPlan>;

/// No query has so many rows.
const ROWS_MAX: i64 = 1 << 48;

/// A LIMIT or OFFSET that DataFusion can add to another one: `LIMIT 9223372036854775807` is none.
pub(crate) fn countable(plan: LogicalPlan) -> LogicalPlan {
    let count = |expr: &Option<Box<Expr>>| match expr.as_deref() {
        Some(Expr::Literal(ScalarValue::Int64(Some(count)), _)) => *count,
        _ => 0,
    };
    match plan {
        LogicalPlan::Limit(mut limit) => {
            if count(&limit.fetch) > ROWS_MAX {
                limit.fetch = None;
            }
            if count(&limit.skip) > ROWS_MAX {
                limit.skip = Some(Box::new(lit(ROWS_MAX)));
            }
            LogicalPlan::Limit(limit)
        }
        plan => plan,
    }
}

/// Above so many rows the first groups are found by sorting all of them.
const GROUPS_MAX: usize = 1 << 16;

/// Finds the first groups of an order by a rule that makes room at once for as many as are wanted: not for very many.
#[derive(Debug)]
pub(crate) struct FirstGroups(pub(crate) Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for FirstGroups {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        let wants_many = plan.exists(|node| {
            let sort = node.downcast_ref::<SortExec>();
            Ok(sort.is_some_and(|sort| sort.fetch().is_some_and(|rows| rows > GROUPS_MAX)))
        })?;
        match wants_many {
            true => Ok(plan),
            false => self.0.optimize(plan, config),
        }
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Leaves sorts out whose rows have no columns, so that one is as good as any other: DataFusion fails to put them in order.
pub(crate) fn without_columns(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| {
        let Some(sort) = node.downcast_ref::<SortExec>() else {
            return Ok(Transformed::no(node));
        };
        if !sort.input().schema().fields().is_empty() {
            return Ok(Transformed::no(node));
        }
        let input = sort.input().clone();
        Ok(Transformed::yes(match sort.fetch() {
            Some(rows) => Arc::new(GlobalLimitExec::new(input, 0, Some(rows))),
            None => input,
        }))
    })
    .data()
}

/// Applies a rule that moves sorts and takes them away: to what is below each OFFSET, and to the rest of the plan apart from
/// that. DataFusion takes the sort below an OFFSET for unneeded where nothing above it wants the order, and moves the sort of
/// the query around it below it.
pub(crate) fn apart(plan: Plan, rule: &dyn Fn(Plan) -> Result<Plan>) -> Result<Plan> {
    let plan = plan.transform_up(|node| match input_of_offset(&node) {
        Some(input) => {
            let input = with_order(input.clone(), rule)?;
            let plan = replace_children_if_necessary(node, vec![input])?;
            Ok(Transformed::yes(Arc::new(ApartExec(plan)) as Plan))
        }
        None => Ok(Transformed::no(node)),
    })?;
    let whole = |node: Plan| {
        Ok(match node.downcast_ref::<ApartExec>() {
            Some(ApartExec(plan)) => Transformed::yes(plan.clone()),
            None => Transformed::no(node),
        })
    };
    match plan.transformed {
        true => rule(plan.data)?.transform_down(whole).data(),
        false => rule(plan.data),
    }
}

/// What an OFFSET without LIMIT leaves rows out of. With a LIMIT it is the sort below that ends early, which is kept.
fn input_of_offset(node: &Plan) -> Option<&Plan> {
    let limit = node.downcast_ref::<GlobalLimitExec>()?;
    (limit.skip() > 0 && limit.fetch().is_none()).then(|| limit.input())
}

/// The rule applied to what gives a plan its order, with this order and one stream wanted of it. What stands above the sort
/// stays as it is, so that nothing spreads the rows again.
fn with_order(plan: Plan, rule: &dyn Fn(Plan) -> Result<Plan>) -> Result<Plan> {
    if let Some(input) = input_in_order(&plan)
        && has_order(input)
    {
        let input = with_order(input.clone(), rule)?;
        return replace_children_if_necessary(plan, vec![input]);
    }
    let sort = plan.downcast_ref::<SortExec>();
    let order = sort.map(|sort| sort.expr().clone().into());
    let wanted = OutputRequirementExec::new(plan, order, Distribution::SinglePartition, None);
    let plan = rule(Arc::new(wanted))?;
    Ok(match plan.downcast_ref::<OutputRequirementExec>() {
        Some(wanted) => wanted.input(),
        None => plan,
    })
}

fn has_order(plan: &Plan) -> bool {
    plan.is::<SortExec>() || input_in_order(plan).is_some_and(has_order)
}

/// The input of a node that gives rows in the order in which one stream brings them.
fn input_in_order(plan: &Plan) -> Option<&Plan> {
    let keeps = plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<UnnestExec>()
        || plan.is::<CooperativeExec>();
    keeps.then(|| plan.children().into_iter().next()).flatten()
}

/// A plan that a rule does not see.
#[derive(Debug)]
struct ApartExec(Plan);

impl DisplayAs for ApartExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApartExec")
    }
}

impl ExecutionPlan for ApartExec {
    fn name(&self) -> &str {
        "ApartExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Plan>) -> Result<Plan> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let message = "a plan was left apart".to_string();
        Err(DataFusionError::Internal(message))
    }
}
