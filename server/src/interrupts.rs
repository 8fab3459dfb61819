//! What can cut a running statement short, whichever door it came through, and CancelRequest's way to it.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tidelog_sql::{ErrorKind, LiveSnapshots, Session, SqlError};
use tidelog_storage::{Seq, Store};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shutdown::Shutdown;

/// Why a session stops what it does.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The statement failed; the connection goes on.
    Error(SqlError),
    /// The connection ends, and the client is told why.
    Fatal(SqlError),
    /// The client is gone.
    Gone,
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Stop {
        Stop::Error(error)
    }
}

/// FATAL 57P01.
pub(crate) fn admin_shutdown() -> Stop {
    let message = "terminating connection due to administrator command";
    Stop::Fatal(SqlError::new(ErrorKind::AdminShutdown, message))
}

/// Set to cancel what a connection runs.
type CancelFlag = Arc<watch::Sender<bool>>;

/// Everything that may end a statement of one connection.
#[derive(Clone)]
pub(crate) struct Interrupts {
    cancel: CancelFlag,
    /// The client's end of the connection was lost.
    pub(crate) gone: CancellationToken,
    /// The client said goodbye, or is gone.
    pub(crate) closing: CancellationToken,
    pub(crate) shutdown: Shutdown,
    /// When the running statement has run too long.
    pub(crate) deadline: Option<Instant>,
    /// Set while the session waits for the outcome of a commit.
    committing: Arc<AtomicBool>,
    evictions: Evictions,
}

/// Tells when a session reads from before an erasure for too long.
#[derive(Clone, Default)]
struct Evictions(Option<(watch::Receiver<Seq>, Arc<LiveSnapshots>)>);

impl Evictions {
    /// Waits until the session has to let go of what it reads from. As PostgreSQL's standbys do it, the connection
    /// ends: portals that a client left open would keep their snapshots.
    async fn evicted(&self) -> Stop {
        let Some((mut upto, snapshots)) = self.0.clone() else {
            return pending().await;
        };
        let waited = upto
            .wait_for(|upto| snapshots.any_before(*upto))
            .await
            .is_ok();
        if !waited {
            // The store is closed: the shutdown ends the connection.
            return pending().await;
        }
        let message = "terminating connection due to the erasure of a user's rows";
        let detail = "What it reads from is older than the erasure and could still show them.";
        let error = SqlError::new(ErrorKind::SerializationFailure, message).detail(detail);
        let hint =
            "In a moment you should be able to reconnect to the database and repeat your command.";
        Stop::Fatal(error.hint(hint))
    }
}

impl Interrupts {
    pub(crate) fn new(shutdown: Shutdown) -> Interrupts {
        Interrupts {
            cancel: Arc::new(watch::Sender::new(false)),
            gone: CancellationToken::new(),
            closing: CancellationToken::new(),
            // One that ends by itself, too.
            shutdown: Shutdown {
                stop: shutdown.stop.child_token(),
                kill: shutdown.kill.child_token(),
            },
            deadline: None,
            committing: Arc::default(),
            evictions: Evictions::default(),
        }
    }

    /// From now on it is this session whose statements are interrupted.
    pub(crate) fn attach(&mut self, store: &Store, session: &Session) {
        self.committing = session.committing();
        self.evictions = Evictions(Some((store.evictions(), session.live_snapshots())));
    }

    /// Waits until the session has to let go of what it reads from.
    pub(crate) async fn evicted(&self) -> Stop {
        self.evictions.evicted().await
    }

    /// Cancels the statement that runs, as CancelRequest does.
    pub(crate) fn cancel_statement(&self) {
        self.cancel.send_replace(true);
    }

    /// Ends the connection, as a shutdown does.
    pub(crate) fn terminate(&self) {
        self.shutdown.stop.cancel();
        self.shutdown.kill.cancel();
    }

    /// A statement begins, with as much time as `statement_timeout` gives it. Cancel requests that came before
    /// do not concern it.
    pub(crate) fn statement_begins(&mut self, timeout: Option<Duration>) {
        self.cancel.send_replace(false);
        self.deadline_in(timeout);
    }

    /// From now on there is so much time.
    pub(crate) fn deadline_in(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    }

    /// Runs a future to its end, unless it is interrupted: then it is left as it is. The interrupts are asked first,
    /// since a query may use up what tokio grants this task at one go, and then hears of nothing else.
    pub(crate) async fn guard<T, E: Into<Stop>>(
        &self,
        future: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Stop> {
        self.guard_until(self.deadline, future).await
    }

    async fn guard_until<T, E: Into<Stop>>(
        &self,
        deadline: Option<Instant>,
        mut future: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Stop> {
        let mut stopped = pin!(self.stopped(deadline));
        poll_fn(|context| {
            let mut asked = false;
            if !self.is_committing() {
                if let Poll::Ready(stop) = stopped.as_mut().poll(context) {
                    return Poll::Ready(Err(stop));
                }
                asked = true;
            }
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return Poll::Ready(result.map_err(Into::into));
            }
            // A commit under way has its outcome, whatever is wanted meanwhile. Behind it the interrupts count.
            if !asked && !self.is_committing() {
                return stopped.as_mut().poll(context).map(Err);
            }
            Poll::Pending
        })
        .await
    }

    fn is_committing(&self) -> bool {
        self.committing.load(Ordering::Relaxed)
    }

    async fn stopped(&self, deadline: Option<Instant>) -> Stop {
        let mut cancel = self.cancel.subscribe();
        let canceled = |why: &str| {
            let message = format!("canceling statement due to {why}");
            Stop::Error(SqlError::new(ErrorKind::QueryCanceled, message))
        };
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = cancel.wait_for(|cancelled| *cancelled) => canceled("user request"),
            () = expired => canceled("statement timeout"),
            () = self.gone.cancelled() => Stop::Gone,
            stop = self.evictions.evicted() => stop,
            () = self.shutdown.kill.cancelled() => admin_shutdown(),
        }
    }

    /// As `guard`, for what may wait long: also a goodbye and the beginning of shutdown end it.
    pub(super) async fn guard_waiting<T, E: Into<Stop>>(
        &self,
        future: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Stop> {
        self.guard_closing(self.deadline, future).await
    }

    /// As `guard`, for what would never end by itself: also a goodbye and the beginning of shutdown end it,
    /// but no `statement_timeout`.
    pub(crate) async fn guard_endless<T, E: Into<Stop>>(
        &self,
        future: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Stop> {
        self.guard_closing(None, future).await
    }

    async fn guard_closing<T, E: Into<Stop>>(
        &self,
        deadline: Option<Instant>,
        future: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Stop::Gone),
            () = self.shutdown.stop.cancelled() => Err(admin_shutdown()),
            result = self.guard_until(deadline, future) => result,
        }
    }
}

/// The connections that can be cancelled, by process id and secret.
#[derive(Default)]
pub(crate) struct CancelRegistry {
    last_pid: AtomicI32,
    connections: Mutex<HashMap<i32, (i32, CancelFlag)>>,
}

impl CancelRegistry {
    /// Gives a connection its process id and secret.
    pub(crate) fn register(self: &Arc<Self>, interrupts: &Interrupts) -> Registration {
        let secret = rand::random();
        let mut connections = self.connections.lock();
        let pid = loop {
            let pid = self
                .last_pid
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(1)
                & i32::MAX;
            if pid != 0 && !connections.contains_key(&pid) {
                break pid;
            }
        };
        connections.insert(pid, (secret, interrupts.cancel.clone()));
        Registration {
            registry: self.clone(),
            pid,
            secret,
        }
    }

    /// Cancels what the connection runs. A wrong secret does nothing.
    pub(crate) fn cancel(&self, pid: i32, secret: i32) {
        match self.connections.lock().get(&pid) {
            Some((expected, cancel)) if *expected == secret => {
                cancel.send_replace(true);
            }
            _ => tracing::debug!(pid, "cancel request for no connection or with a wrong key"),
        }
    }
}

/// Holds a connection's place in the registry.
pub(crate) struct Registration {
    registry: Arc<CancelRegistry>,
    pub(crate) pid: i32,
    pub(crate) secret: i32,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.connections.lock().remove(&self.pid);
    }
}
