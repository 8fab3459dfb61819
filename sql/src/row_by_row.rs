//! One row after the other, where what is computed for a row depends on what was computed for the one before: DataFusion
//! computes a column for all rows of a batch, and then the next column.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::functions::sequence;

type Plan = Arc<dyn ExecutionPlan>;

/// Has projections that call several functions of sequences (`nextval('s'), currval('s')`) take their rows one by one.
pub(crate) fn draw_in_turn(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| {
        let Some(projection) = node.downcast_ref::<ProjectionExec>() else {
            return Ok(Transformed::no(node));
        };
        let mut calls = 0;
        for column in projection.expr() {
            column.expr.apply(|expr| {
                let call = expr.downcast_ref::<ScalarFunctionExpr>();
                calls += usize::from(call.is_some_and(|call| sequence::is_one(call.name())));
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        if calls < 2 {
            return Ok(Transformed::no(node));
        }
        let input = Arc::new(RowByRowExec(projection.input().clone()));
        replace_children_if_necessary(node, vec![input]).map(Transformed::yes)
    })
    .map(|plan| plan.data)
}

/// The rows of its input, each in a batch of its own.
#[derive(Debug)]
pub(crate) struct RowByRowExec(Plan);

impl DisplayAs for RowByRowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowByRowExec")
    }
}

impl ExecutionPlan for RowByRowExec {
    fn name(&self) -> &str {
        "RowByRowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.0]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        let input = children.into_iter().next();
        Ok(input.map_or(self.clone(), |input| Arc::new(RowByRowExec(input))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.0.execute(partition, context)?;
        let rows = rows.map_ok(|batch| {
            stream::iter((0..batch.num_rows()).map(move |row| Ok(batch.slice(row, 1))))
        });
        let rows = rows.try_flatten().boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
