//! The sides of an outer join that give NULLs where they have no row: what is constant in one is not so behind the join. Nor is
//! what is constant before grouping sets so behind them.
//!
//! DataFusion keeps the constants of both sides of an outer join (`EquivalenceGroup::join`) and of what is grouped, and leaves such
//! columns out of sorts, windows and groups behind it.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    Statistics, replace_children_if_necessary,
};

type Plan = Arc<dyn ExecutionPlan>;

/// Hides the constants of the sides of outer joins that may have no row, and of what grouping sets group.
pub(crate) fn hide_constants(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| {
        let Some(nullable) = nullable_sides(&node) else {
            return Ok(Transformed::no(node));
        };
        let hides = |child: &Plan| !child.equivalence_properties().constants().is_empty();
        let mut changed = false;
        let sides = node.children().into_iter().zip(nullable);
        let sides = sides.map(|(side, nullable)| match nullable && hides(side) {
            true => {
                changed = true;
                Arc::new(NullableSideExec::new(side.clone())) as Plan
            }
            false => side.clone(),
        });
        let sides: Vec<Plan> = sides.collect();
        Ok(match changed {
            true => Transformed::yes(replace_children_if_necessary(node, sides)?),
            false => Transformed::no(node),
        })
    })
    .data()
}

/// Which inputs of a join, or of grouping sets, give NULLs behind it; `None` where none does.
fn nullable_sides(node: &Plan) -> Option<[bool; 2]> {
    let join_type = (node
        .downcast_ref::<HashJoinExec>()
        .map(HashJoinExec::join_type))
    .or_else(|| {
        let join = node.downcast_ref::<NestedLoopJoinExec>();
        join.map(NestedLoopJoinExec::join_type)
    })
    .copied()
    .or_else(|| {
        let join = node.downcast_ref::<SortMergeJoinExec>();
        join.map(SortMergeJoinExec::join_type)
    });
    if let Some(groups) = node.downcast_ref::<AggregateExec>() {
        return groups
            .group_expr()
            .has_grouping_set()
            .then_some([true, false]);
    }
    match join_type? {
        JoinType::Left => Some([false, true]),
        JoinType::Right => Some([true, false]),
        JoinType::Full => Some([true, true]),
        _ => None,
    }
}

/// The rows of its input.
#[derive(Debug)]
pub(crate) struct NullableSideExec {
    input: Plan,
    properties: Arc<PlanProperties>,
}

impl NullableSideExec {
    fn new(input: Plan) -> NullableSideExec {
        let mut known = EquivalenceProperties::new(input.schema());
        known.add_orderings(input.equivalence_properties().oeq_class().iter().cloned());
        let properties = PlanProperties::clone(input.properties()).with_eq_properties(known);
        NullableSideExec {
            input,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for NullableSideExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NullableSideExec")
    }
}

impl ExecutionPlan for NullableSideExec {
    fn name(&self) -> &str {
        "NullableSideExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Plan>) -> Result<Plan> {
        let input = children.pop();
        let input =
            input.ok_or_else(|| DataFusionError::Internal("a side has one child".to_string()))?;
        Ok(Arc::new(NullableSideExec::new(input)))
    }

    fn execute(&self, at: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(at, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(inputs[0].clone())
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Plan>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
