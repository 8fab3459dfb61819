//! Queries that are computed once in a statement, however often they are named in it: each place has the query as its input,
//! and takes the rows of that which is run first.
//!
//! The rows are kept in memory until the statement is done with them, up to a limit.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, SubqueryAlias, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{Distribution, PhysicalExpr};
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::error::{ErrorKind, SqlError};
use crate::guards;
use crate::provider::properties;
use crate::volatile;

/// Before the number of a query that is to be computed once, where it is a relation: no other has such a name.
pub(crate) const MARK: &str = "computed once ";

/// A number that no other query has.
fn next_number() -> u64 {
    static MADE: AtomicU64 = AtomicU64::new(0);
    MADE.fetch_add(1, Ordering::Relaxed)
}

/// Makes nodes of the marked queries of a plan. No two statements, and no two uses of a view, have nodes of the same number.
pub(crate) fn nodes(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut numbers: HashMap<String, u64> = HashMap::new();
    plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::SubqueryAlias(marked) = &plan else {
            return Ok(Transformed::no(plan));
        };
        // One of a view has its node by now.
        if !is_marked(marked) || matches!(*marked.input, LogicalPlan::Extension(_)) {
            return Ok(Transformed::no(plan));
        }
        let number = numbers
            .entry(marked.alias.table().to_string())
            .or_insert_with(next_number);
        let once = Once {
            number: *number,
            input: marked.input.as_ref().clone(),
        };
        let once = LogicalPlan::Extension(Extension {
            node: Arc::new(once),
        });
        let named = SubqueryAlias::try_new(Arc::new(once), marked.alias.clone())?;
        Ok(Transformed::yes(LogicalPlan::SubqueryAlias(named)))
    })
    .map(|plan| plan.data)
}

/// Whether a relation is a query that is to be computed once. What depends on a row outside is computed for each.
pub(crate) fn is_marked(relation: &SubqueryAlias) -> bool {
    relation.alias.table().starts_with(MARK) && !relation.input.contains_outer_reference()
}

/// A query that is computed once, in one of its places.
#[derive(Debug, PartialEq, Eq, PartialOrd, Hash)]
struct Once {
    number: u64,
    input: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for Once {
    fn name(&self) -> &str {
        "Once"
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

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Once: {}", self.number)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Once> {
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Internal("Once has one input".to_string()))?;
        Ok(Once {
            number: self.number,
            input,
        })
    }
}

/// Plans as DataFusion does, and these nodes.
#[derive(Debug)]
pub(crate) struct Plans;

#[async_trait]
impl QueryPlanner for Plans {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = guards::guarded(plan)?;
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Plans)])
            .create_physical_plan(&plan, state)
            .await
    }
}

#[async_trait]
impl ExtensionPlanner for Plans {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if volatile::is_kept(node) {
            return Ok(inputs.first().cloned());
        }
        let (Some(once), [input]) = (node.as_any().downcast_ref::<Once>(), inputs) else {
            return Ok(None);
        };
        let rows = Rows::default();
        Ok(Some(Arc::new(OnceExec::new(
            once.number,
            input.clone(),
            rows,
        ))))
    }
}

/// Has the nodes of one number in a plan share their rows, which no other plan has.
pub(crate) fn share(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut shared: HashMap<u64, Rows> = HashMap::new();
    plan.transform_up(|plan| {
        let Some(once) = plan.downcast_ref::<OnceExec>() else {
            return Ok(Transformed::no(plan));
        };
        let rows = shared.entry(once.number).or_default().clone();
        let once = OnceExec::new(once.number, once.input.clone(), rows);
        Ok(Transformed::yes(Arc::new(once) as _))
    })
    .map(|plan| plan.data)
}

/// Bytes of rows that are kept of one query.
const KEPT_BYTES_MAX: usize = 1 << 30;

async fn kept(mut rows: SendableRecordBatchStream) -> Result<Vec<RecordBatch>> {
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await? {
        bytes += get_record_batch_memory_size(&batch);
        if bytes > KEPT_BYTES_MAX {
            let message = "a query of WITH that calls volatile functions and is named several times has more than 1 GiB of rows";
            let error = SqlError::new(ErrorKind::ProgramLimitExceeded, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        batches.push(batch);
    }
    Ok(batches)
}

type Computed = Shared<BoxFuture<'static, Result<Arc<Vec<RecordBatch>>, Arc<DataFusionError>>>>;

/// The rows of a query, or that they are being computed, once somebody wants them.
type Rows = Arc<Mutex<Option<Computed>>>;

/// The rows of a query that is computed once.
#[derive(Debug)]
pub(crate) struct OnceExec {
    number: u64,
    input: Arc<dyn ExecutionPlan>,
    rows: Rows,
    properties: Arc<PlanProperties>,
}

impl OnceExec {
    fn new(number: u64, input: Arc<dyn ExecutionPlan>, rows: Rows) -> OnceExec {
        OnceExec {
            number,
            properties: properties(input.schema(), 1),
            input,
            rows,
        }
    }

    /// The rows of a plan that several parts of one plan want.
    pub(crate) fn for_several(input: Arc<dyn ExecutionPlan>) -> OnceExec {
        OnceExec::new(next_number(), input, Rows::default())
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The rows, which a task of its own computes: who else waits for them need not be polled for that.
    fn computed(&self, context: Arc<TaskContext>) -> Computed {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let compute = || {
            let input = self.input.clone();
            let task = SpawnedTask::spawn(async move { kept(input.execute(0, context)?).await });
            let rows = async move {
                let rows = task
                    .join()
                    .await
                    .map_err(|error| match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        // The server ends.
                        Err(error) => DataFusionError::External(Box::new(error)),
                    });
                rows.flatten().map(Arc::new).map_err(Arc::new)
            };
            rows.boxed().shared()
        };
        rows.get_or_insert_with(compute).clone()
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnceExec: {}", self.number)
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next();
        let with = |input| OnceExec::new(self.number, input, self.rows.clone());
        Ok(input.map_or(self.clone(), |input| Arc::new(with(input))))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let computed = self.computed(context);
        let rows = futures::stream::once(async move {
            let rows = computed.await.map_err(DataFusionError::Shared)?;
            let rows: Vec<RecordBatch> = rows.as_ref().clone();
            Ok::<_, DataFusionError>(futures::stream::iter(rows.into_iter().map(Ok)))
        });
        let rows = rows.try_flatten().boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
