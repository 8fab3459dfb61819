//! Statements that may keep a thread for long: their plans are made and run on threads of their own, so that nobody waits for
//! one, and who cuts it short need not wait either. It ends then at the next batch of rows.
//!
//! Does not: end a call under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, TryStreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// Functions that give no more than they are given, and soon, besides ours of the names `pg_…`; `?column?` are the operators of
/// json and of times.
const LIGHT: [&str; 37] = [
    "?column?",
    "abs",
    "between_numbers",
    "btrim",
    "ceil",
    "char_length",
    "character_length",
    "checked_arithmetic",
    "coalesce",
    "concat",
    "current_database",
    "current_schema",
    "current_user",
    "date_bin",
    "date_part",
    "date_trunc",
    "extract",
    "floor",
    "gen_random_uuid",
    "greatest",
    "json_build_object",
    "jsonb_array_length",
    "jsonb_build_object",
    "least",
    "left",
    "length",
    "lower",
    "mod",
    "now",
    "nullif",
    "right",
    "round",
    "snowflake_id",
    "substr",
    "substring",
    "to_jsonb",
    "upper",
];

/// Functions that make much of little.
const MULTIPLYING: [&str; 11] = [
    "array_fill",
    "exp",
    "factorial",
    "format",
    "lpad",
    "pg_range_series",
    "pg_series",
    "power",
    "regexp_replace",
    "repeat",
    "rpad",
];

/// Aggregates whose values are no larger than a row's.
const SMALL: [&str; 12] = [
    "avg", "bool_and", "bool_or", "count", "every", "max", "mean", "min", "sum", "stddev", "var",
    "variance",
];

/// Bytes of a constant from which on it is not light to do something with it.
const LITERAL_LARGE: usize = 256 << 10;

/// Whether something in an expression makes much of little.
pub(crate) fn multiplies(expr: &Expr) -> bool {
    let found = expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) => MULTIPLYING.contains(&call.name()),
            other => is_large(other),
        })
    });
    found.unwrap_or(true)
}

/// Whether a batch of a plan's rows may take long to compute.
pub(crate) fn is_heavy(plan: &LogicalPlan) -> Result<bool> {
    let mut heavy = false;
    let look = |node: &LogicalPlan| {
        heavy |= matches!(node, LogicalPlan::Unnest(_) | LogicalPlan::Window(_));
        node.apply_expressions(|expr| {
            heavy |= expr.exists(|expr| {
                Ok(match expr {
                    Expr::ScalarFunction(call) => {
                        let (name, ours) = (call.name(), call.name().starts_with("pg_"));
                        MULTIPLYING.contains(&name) || !(ours || LIGHT.contains(&name))
                    }
                    Expr::AggregateFunction(call) => !SMALL.contains(&call.func.name()),
                    Expr::WindowFunction(_) => true,
                    other => is_large(other),
                })
            })?;
            Ok(match heavy {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })
    };
    plan.apply_with_subqueries(look)?;
    Ok(heavy)
}

fn is_large(expr: &Expr) -> bool {
    let Expr::Literal(value, _) = expr else {
        return false;
    };
    match value {
        ScalarValue::Utf8(Some(text)) => text.len() > LITERAL_LARGE,
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => {
            bytes.len() > LITERAL_LARGE
        }
        ScalarValue::List(list) => list.get_array_memory_size() > LITERAL_LARGE,
        _ => false,
    }
}

/// So many statements that were cut short may still be at a call; new ones of their kind wait then.
static LEFT_ALONE: Semaphore = Semaphore::const_new(4);

async fn wait_for_room() {
    let room = LEFT_ALONE.acquire().await;
    drop(room.expect("it is never closed"));
}

const RUNNING: u8 = 0;
const LEFT: u8 = 1;
const ENDED: u8 = 2;

/// Dropped by who waits for something that is done apart.
struct Waits(Arc<AtomicU8>);

/// Dropped when it is done.
struct Works(Arc<AtomicU8>);

fn waited_for() -> (Waits, Works) {
    let state = Arc::new(AtomicU8::new(RUNNING));
    (Waits(state.clone()), Works(state))
}

impl Drop for Waits {
    fn drop(&mut self) {
        let left = || (self.0).compare_exchange(RUNNING, LEFT, Ordering::AcqRel, Ordering::Acquire);
        if let Ok(room) = LEFT_ALONE.try_acquire()
            && left().is_ok()
        {
            room.forget();
        }
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        if self.0.swap(ENDED, Ordering::AcqRel) == LEFT {
            LEFT_ALONE.add_permits(1);
        }
    }
}

/// Where such statements run.
#[derive(Clone, Debug)]
pub(crate) struct Threads(pub(crate) Handle);

impl Threads {
    /// Makes something on a thread of its own. Who does not wait for it any more leaves it to end by itself.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        wait_for_room().await;
        self.begin(work).await
    }

    /// Begins it at once. It ends where it next waits when what is returned is dropped.
    fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let (handle, (waits, works)) = (self.0.clone(), waited_for());
        let (wanted, unwanted) = oneshot::channel::<()>();
        let made = self.0.spawn_blocking(move || {
            let _works = works;
            handle.block_on(async {
                tokio::select! {
                    biased;
                    _ = unwanted => exec_err!("nobody waits for it"),
                    made = work => made,
                }
            })
        });
        async move {
            let _while_waited_for = (waits, wanted);
            match made.await {
                Ok(made) => made,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The server ends.
                    Err(error) => Err(DataFusionError::External(Box::new(error))),
                },
            }
        }
    }

    /// Runs a plan there, a batch ahead of who reads it. It has no thread while that batch waits for a reader.
    pub(crate) async fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        wait_for_room().await;
        let (schema, threads) = (plan.schema(), self.clone());
        let first = self.begin(async { next_of(execute_stream(plan, context)?).await });
        let rows = stream::try_unfold(first.boxed(), move |next| {
            let threads = threads.clone();
            async move {
                let Some((batch, batches)) = next.await? else {
                    return Ok(None);
                };
                Ok(Some((batch, threads.begin(next_of(batches)).boxed())))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// The next batch and those behind it, if there is one.
async fn next_of(
    mut batches: SendableRecordBatchStream,
) -> Result<Option<(RecordBatch, SendableRecordBatchStream)>> {
    let batch = batches.try_next().await?;
    Ok(batch.map(|batch| (batch, batches)))
}
