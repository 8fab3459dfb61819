//! What can cut a running statement short, and CancelRequest's way to it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use tidelog_sql::{ErrorKind, SqlError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::shutdown::Shutdown;

/// Why a session stops what it does.
#[derive(Debug)]
pub(super) enum Stop {
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
pub(super) fn admin_shutdown() -> Stop {
    let message = "terminating connection due to administrator command";
    Stop::Fatal(SqlError::new(ErrorKind::AdminShutdown, message))
}

/// Set to cancel what a connection runs.
type CancelFlag = Arc<watch::Sender<bool>>;

/// Everything that may end a statement of one connection.
#[derive(Clone)]
pub(super) struct Interrupts {
    cancel: CancelFlag,
    /// The client's end of the connection was lost.
    pub(super) gone: CancellationToken,
    /// The client said goodbye, or is gone.
    pub(super) closing: CancellationToken,
    pub(super) shutdown: Shutdown,
}

impl Interrupts {
    pub(super) fn new(shutdown: Shutdown) -> Interrupts {
        Interrupts {
            cancel: Arc::new(watch::Sender::new(false)),
            gone: CancellationToken::new(),
            closing: CancellationToken::new(),
            shutdown,
        }
    }

    /// A statement begins: cancel requests that came before it do not concern it.
    pub(super) fn statement_begins(&self) {
        self.cancel.send_replace(false);
    }

    /// Runs a future to its end, unless it is interrupted: then it is dropped. The interrupts are asked first,
    /// since a query may use up what tokio grants this task at one go, and then hears of nothing else.
    pub(super) async fn guard<T, E: Into<Stop>>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Stop> {
        let mut cancel = self.cancel.subscribe();
        tokio::select! {
            biased;
            _ = cancel.wait_for(|cancelled| *cancelled) => {
                Err(Stop::Error(SqlError::new(ErrorKind::QueryCanceled, "canceling statement due to user request")))
            }
            () = self.gone.cancelled() => Err(Stop::Gone),
            () = self.shutdown.kill.cancelled() => Err(admin_shutdown()),
            result = future => result.map_err(Into::into),
        }
    }

    /// As `guard`, for what would never end by itself: also a goodbye and the beginning of shutdown end it.
    pub(super) async fn guard_endless<T, E: Into<Stop>>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Stop::Gone),
            () = self.shutdown.stop.cancelled() => Err(admin_shutdown()),
            result = self.guard(future) => result,
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
    pub(super) fn register(self: &Arc<Self>, interrupts: &Interrupts) -> Registration {
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
    pub(super) fn cancel(&self, pid: i32, secret: i32) {
        match self.connections.lock().get(&pid) {
            Some((expected, cancel)) if *expected == secret => {
                cancel.send_replace(true);
            }
            _ => tracing::debug!(pid, "cancel request for no connection or with a wrong key"),
        }
    }
}

/// Holds a connection's place in the registry.
pub(super) struct Registration {
    registry: Arc<CancelRegistry>,
    pub(super) pid: i32,
    pub(super) secret: i32,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.connections.lock().remove(&self.pid);
    }
}
