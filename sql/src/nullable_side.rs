//! The sides of an outer join that give NULLs where they have no row: what is constant in one is not so behind the join. Nor is
//! what is constant before grouping sets so behind them, nor what is computed anew for each row.
//!
//! DataFusion keeps the constants of both sides of an outer join (`EquivalenceGroup::join`) and of what is grouped, and leaves such
//! columns out of sorts, windows and groups behind it. It takes `nextval('s')` for constant, since its argument is.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Volatility;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    Statistics, replace_children_if_necessary,
};

type Plan = Arc<dyn ExecutionPlan>;

/// Hides the constants of the sides of outer joins that may have no row, of what grouping sets group, and those that are none.
pub(crate) fn hide_constants(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| {
        if seems_constant(&node) {
            return Ok(Transformed::yes(
                Arc::new(NullableSideExec::new(node, true)) as Plan,
            ));
        }
        let Some(nullable) = nullable_sides(&node) else {
            return Ok(Transformed::no(node));
        };
        let hides = |child: &Plan| !child.equivalence_properties().constants().is_empty();
        let mut changed = false;
        let sides = node.children().into_iter().zip(nullable);
        let sides = sides.map(|(side, nullable)| match nullable && hides(side) {
            true => {
                changed = true;
                Arc::new(NullableSideExec::new(side.clone(), false)) as Plan
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

/// Whether a node computes a column that differs from row to row though all that it is made of is constant.
fn seems_constant(node: &Plan) -> bool {
    computes(node, &|call| is_volatile(call) && !call.args().is_empty())
}

/// Whether a node gives a column a value that is another one when it is computed again.
pub(crate) fn computes_volatile(node: &Plan) -> bool {
    computes(node, &is_volatile)
}

fn is_volatile(call: &ScalarFunctionExpr) -> bool {
    call.fun().signature().volatility == Volatility::Volatile
}

/// Whether a projection has a column with such a call.
fn computes(node: &Plan, is_one: &dyn Fn(&ScalarFunctionExpr) -> bool) -> bool {
    let calls = |expr: &Arc<dyn PhysicalExpr>| {
        let call = expr.downcast_ref::<ScalarFunctionExpr>();
        Ok(call.is_some_and(is_one))
    };
    let projection = node.downcast_ref::<ProjectionExec>();
    projection.is_some_and(|projection| {
        let mut columns = projection.expr().iter();
        columns.any(|column| column.expr.exists(calls).unwrap_or(true))
    })
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
    /// Whether it stands above what takes something for constant: sorted there, the rows would stay as they are.
    above: bool,
    properties: Arc<PlanProperties>,
}

impl NullableSideExec {
    fn new(input: Plan, above: bool) -> NullableSideExec {
        let mut known = EquivalenceProperties::new(input.schema());
        known.add_orderings(input.equivalence_properties().oeq_class().iter().cloned());
        let properties = PlanProperties::clone(input.properties()).with_eq_properties(known);
        NullableSideExec {
            input,
            above,
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
        vec![!self.above]
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
        Ok(Arc::new(NullableSideExec::new(input, self.above)))
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
