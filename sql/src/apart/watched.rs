//! Where a plan computes something of rows it gets them a few at a time, as many as take some milliseconds and are no more than some
//! megabytes, and none once nobody waits for the statement.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arrow::array::{Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::exec_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};

/// Rows are given twice as many at a time, or half as many, until what is done with them takes so long: as long as it takes to
/// write some ten megabytes.
const AT_LEAST: Duration = Duration::from_millis(1);
const AT_MOST: Duration = Duration::from_millis(20);
const ROWS_MAX: usize = 8192;
/// No more than so many bytes of rows are given at a time, but for one row that is larger.
const BYTES_MAX: usize = 4 << 20;

/// So many rows are given at first: few, as each may become large. Not one by one, as pieces change places where a plan works on
/// several at once, and the rows of a small table are expected in its order.
const ROWS_FIRST: usize = 4;

/// Functions of which one row may become as large as a value can be.
const LARGE: [&str; 2] = ["array_fill", "repeat"];

/// How many rows are given at a time.
#[derive(Debug)]
pub(crate) struct Pace {
    at_once: usize,
    /// When rows were last given.
    given: Option<Instant>,
}

impl Pace {
    /// One row at first, as it may become large.
    pub(crate) fn new() -> Pace {
        Pace::from(1)
    }

    fn from(at_once: usize) -> Pace {
        Pace {
            at_once,
            given: None,
        }
    }

    /// How many are given next, which begins when what was done with those before is done.
    pub(crate) fn next(&mut self) -> usize {
        match self.given.take().map(|given| given.elapsed()) {
            Some(took) if took > AT_MOST => self.at_once = (self.at_once / 2).max(1),
            Some(took) if took < AT_LEAST => self.at_once = (2 * self.at_once).min(ROWS_MAX),
            _ => (),
        }
        self.at_once
    }

    /// They are given now.
    pub(crate) fn give(&mut self) {
        self.given = Some(Instant::now());
    }
}

/// Whether nobody waits for a statement any more.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The context for a watched plan that is to end when `stop` is set.
pub(super) fn stopped_by(stop: &Arc<Stop>, context: &TaskContext) -> Arc<TaskContext> {
    let config = context
        .session_config()
        .clone()
        .with_extension(stop.clone());
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

type Plan = Arc<dyn ExecutionPlan>;

/// A plan that may end between a few rows and the next.
pub(crate) fn watched(plan: Plan) -> Result<Plan> {
    let plan = plan.transform_up(|node| {
        if !computes(&node)? {
            return Ok(Transformed::no(node));
        }
        // What passes goes on at once: rows that wait to be more may be large.
        let node = match node.downcast_ref::<FilterExec>() {
            Some(filter) => Arc::new(filter.with_batch_size(1)?) as Plan,
            None => node,
        };
        let inputs = node.children().into_iter().cloned();
        let first = if may_be_large(&node)? { 1 } else { ROWS_FIRST };
        let inputs = inputs.map(|input| Arc::new(WatchedExec { input, first }) as Plan);
        let inputs = inputs.collect();
        Ok(Transformed::yes(replace_children_if_necessary(
            node, inputs,
        )?))
    });
    Ok(plan?.data)
}

/// Whether a node computes something of its input's rows.
fn computes(node: &Plan) -> Result<bool> {
    let mut computes = node.is::<UnnestExec>();
    node.apply_expressions(&mut |_| {
        computes = true;
        Ok(TreeNodeRecursion::Stop)
    })?;
    Ok(computes && !node.children().is_empty())
}

/// Whether a node calls what makes one row as large as a value can be.
fn may_be_large(node: &Plan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(&mut |expr| {
        found |= expr.exists(|expr| {
            let call = expr.downcast_ref::<ScalarFunctionExpr>();
            Ok(call.is_some_and(|call| LARGE.contains(&call.name())))
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The rows of its input, a few at a time.
#[derive(Debug)]
struct WatchedExec {
    input: Plan,
    /// How many at first.
    first: usize,
}

impl DisplayAs for WatchedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WatchedExec")
    }
}

impl ExecutionPlan for WatchedExec {
    fn name(&self) -> &str {
        "WatchedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
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

    fn with_new_children(self: Arc<Self>, inputs: Vec<Plan>) -> Result<Plan> {
        let input = inputs.into_iter().next();
        let first = self.first;
        Ok(input.map_or(self.clone(), |input| Arc::new(WatchedExec { input, first })))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let stop = context.session_config().get_extension::<Stop>();
        let rows = self.input.execute(partition, context)?;
        Ok(match stop {
            None => rows,
            Some(stop) => Box::pin(Watched {
                rows,
                stop,
                begun: None,
                pace: Pace::from(self.first),
            }),
        })
    }
}

struct Watched {
    rows: SendableRecordBatchStream,
    stop: Arc<Stop>,
    /// A batch, and how many of its rows were given.
    begun: Option<(RecordBatch, usize)>,
    pace: Pace,
}

/// About so many bytes are some rows of a batch.
fn bytes_of(batch: &RecordBatch, from: usize, rows: usize) -> Result<usize> {
    let columns = batch.columns().iter();
    let bytes = columns.map(|column| column.to_data().slice(from, rows).get_slice_memory_size());
    Ok(bytes.sum::<std::result::Result<usize, _>>()?)
}

impl Watched {
    /// As many rows of a batch as are to be given now. A part of it has buffers of its own: who gathers rows counts no more memory
    /// than they take.
    fn next_of(&mut self, batch: RecordBatch, from: usize, at_once: usize) -> Result<RecordBatch> {
        let mut rows = at_once.min(batch.num_rows() - from);
        while rows > 1 && bytes_of(&batch, from, rows)? > BYTES_MAX {
            rows /= 2;
        }
        let to = from + rows;
        if (from, to) == (0, batch.num_rows()) {
            return Ok(batch);
        }
        let rows = match batch.num_columns() {
            0 => batch.slice(from, to - from),
            _ => {
                let rows = UInt32Array::from_iter_values(from as u32..to as u32);
                take_record_batch(&batch, &rows)?
            }
        };
        self.begun = (to < batch.num_rows()).then_some((batch, to));
        Ok(rows)
    }
}

impl Stream for Watched {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stop.0.load(Ordering::Relaxed) {
            return Poll::Ready(Some(exec_err!("nobody waits for it")));
        }
        let at_once = self.pace.next();
        let next = match self.begun.take() {
            Some((batch, from)) => Some(self.next_of(batch, from, at_once)),
            None => ready!(self.rows.poll_next_unpin(cx))
                .map(|batch| batch.and_then(|batch| self.next_of(batch, 0, at_once))),
        };
        self.pace.give();
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
