//! OFFSET without LIMIT: which rows it leaves out is decided by the order below it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
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
