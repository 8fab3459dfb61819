//! The threads of heavy statements, and how many of those that nobody waits for any more may still be at work.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, TryStreamExt, stream};
use tidelog_storage::RoleId;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::watched::{Stop, stopped_by};

/// Whose a statement is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The connection, or the statement over HTTP.
    pub(crate) pid: i32,
    pub(crate) role: RoleId,
}

/// So many statements that were left may still be at a call, of a connection, a role and all: while it is so many, new ones wait.
const LEFT_OF_CONNECTION: usize = 1;
const LEFT_OF_ROLE: usize = 4;
const LEFT_OF_ALL: usize = 16;

/// Whose statements were left and are not at their end.
static LEFT: Mutex<Vec<Client>> = Mutex::new(Vec::new());

/// Told when one of them ends.
static ROOM: Notify = Notify::const_new();

fn left() -> MutexGuard<'static, Vec<Client>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_room(left: &[Client], client: Client) -> bool {
    let of_connection = left.iter().filter(|left| left.pid == client.pid).count();
    let of_role = left.iter().filter(|left| left.role == client.role).count();
    of_connection < LEFT_OF_CONNECTION && of_role < LEFT_OF_ROLE && left.len() < LEFT_OF_ALL
}

async fn wait_for_room(client: Client) {
    loop {
        let room = ROOM.notified();
        if has_room(&left(), client) {
            return;
        }
        room.await;
    }
}

const RUNNING: u8 = 0;
const WAS_LEFT: u8 = 1;
const ENDED: u8 = 2;

/// Something that is done apart. Its state changes under the lock of `LEFT`.
struct Piece {
    client: Client,
    state: AtomicU8,
    stop: Arc<Stop>,
}

/// Dropped by who waits for it.
struct Waits(Arc<Piece>);

/// Dropped when it is done.
struct Works(Arc<Piece>);

impl Drop for Waits {
    fn drop(&mut self) {
        let mut left = left();
        if self.0.state.load(Ordering::Relaxed) == RUNNING {
            self.0.state.store(WAS_LEFT, Ordering::Relaxed);
            self.0.stop.set();
            left.push(self.0.client);
        }
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        let mut left = left();
        if self.0.state.swap(ENDED, Ordering::Relaxed) == WAS_LEFT {
            let Client { pid, role } = self.0.client;
            let at = left.iter().position(|it| it.pid == pid && it.role == role);
            left.swap_remove(at.expect("what was left stands there until its end"));
            ROOM.notify_waiters();
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
        client: Client,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        wait_for_room(client).await;
        self.begin(client, Arc::default(), work).await
    }

    /// Begins it at once. It ends where it next waits, or looks at `stop`, when what is returned is dropped.
    fn begin<T: Send + 'static>(
        &self,
        client: Client,
        stop: Arc<Stop>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let piece = Arc::new(Piece {
            client,
            state: AtomicU8::new(RUNNING),
            stop,
        });
        let (waits, works) = (Waits(piece.clone()), Works(piece));
        let handle = self.0.clone();
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

    /// Runs a `watched` plan there, a batch ahead of who reads it. It has no thread while that batch waits for a reader.
    pub(crate) async fn run(
        &self,
        client: Client,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        wait_for_room(client).await;
        let (schema, threads, stop) = (plan.schema(), self.clone(), Arc::<Stop>::default());
        let context = stopped_by(&stop, &context);
        let first = async { next_of(execute_stream(plan, context)?).await };
        let first = self.begin(client, stop.clone(), first);
        let rows = stream::try_unfold(first.boxed(), move |next| {
            let (threads, stop) = (threads.clone(), stop.clone());
            async move {
                let Some((batch, batches)) = next.await? else {
                    return Ok(None);
                };
                let next = threads.begin(client, stop, next_of(batches));
                Ok(Some((batch, next.boxed())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_the_room() {
        let client = |pid, role| Client {
            pid,
            role: RoleId::new(role),
        };
        let mut left = vec![client(1, 10)];
        assert!(!has_room(&left, client(1, 10)));
        assert!(has_room(&left, client(2, 10)));
        left.extend((2..=4).map(|pid| client(pid, 10)));
        assert!(!has_room(&left, client(5, 10)));
        assert!(has_room(&left, client(5, 11)));
        left.extend((5..=16).map(|pid| client(pid, 10 + pid as u32)));
        assert!(!has_room(&left, client(17, 90)));
    }
}
