//! What can cut a running statement short, whichever door it came through, and the ways to it: CancelRequest, the end of
//! the server, an erasure.
//!
//! There is one for each connection and each subscription, so it is small: one word of what was asked, how much may be sent, and
//! who waits for it.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tidelog_sql::{ErrorKind, LiveSnapshots, Session, SqlError};
use tidelog_storage::{Seq, Store};
use tokio::time::Instant;

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

/// The connection ends since what it reads from could show erased rows. As PostgreSQL's standbys do it, the connection
/// ends: portals that a client left open would keep their snapshots.
fn evicted() -> Stop {
    let message = "terminating connection due to the erasure of a user's rows";
    let detail = "What it reads from is older than the erasure and could still show them.";
    let error = SqlError::new(ErrorKind::SerializationFailure, message).detail(detail);
    let hint =
        "In a moment you should be able to reconnect to the database and repeat your command.";
    Stop::Fatal(error.hint(hint))
}

/// What may be asked of a session, as bits of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask(u8);

impl Ask {
    /// That its statement ends, as CancelRequest asks.
    pub(crate) const CANCEL: Ask = Ask(1);
    /// The client said goodbye, or is gone.
    pub(crate) const CLOSING: Ask = Ask(2);
    /// The client's end of the connection was lost.
    pub(crate) const GONE: Ask = Ask(4);
    /// No new statements; subscriptions and idle connections end.
    pub(crate) const STOP: Ask = Ask(8);
    /// Running statements end, too.
    pub(crate) const KILL: Ask = Ask(16);
    /// That the connection ends, as at a shutdown.
    pub(crate) const TERMINATE: Ask = Ask::STOP.and(Ask::KILL);

    const fn and(self, other: Ask) -> Ask {
        Ask(self.0 | other.0)
    }

    const fn of(self, other: Ask) -> Ask {
        Ask(self.0 & other.0)
    }

    const fn has(self, other: Ask) -> bool {
        self.0 & other.0 != 0
    }
}

/// What ends a running statement.
const RUNNING: Ask = Ask::CANCEL.and(Ask::GONE).and(Ask::KILL);
/// What ends one that may wait long, or forever.
const WAITING: Ask = RUNNING.and(Ask::CLOSING).and(Ask::STOP);

/// What was asked of a session.
struct Asked {
    set: AtomicU8,
    /// So many batches it may send, if it is a subscription whose client grants them.
    credit: AtomicU32,
    /// The session's own task, which is woken at each change of these, and when snapshots from before an erasure have to be let
    /// go of. Nobody else waits.
    session: AtomicWaker,
    /// What the session reads from.
    snapshots: Mutex<Option<Arc<LiveSnapshots>>>,
    sessions: Arc<Sessions>,
    pid: i32,
    /// Who cancels has to know it.
    secret: i32,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.sessions.all.lock().remove(&self.pid);
    }
}

impl Asked {
    fn ask(&self, what: Ask) {
        self.set.fetch_or(what.0, Ordering::AcqRel);
        self.session.wake();
    }

    fn now(&self) -> Ask {
        Ask(self.set.load(Ordering::Acquire))
    }

    /// Whether some of it was asked: gives all that was, nothing when the session is evicted. If not, its task is woken once
    /// something is.
    fn poll_for(&self, what: Ask, context: &Context<'_>) -> Poll<Ask> {
        // Before it is looked: what is asked from now on wakes.
        self.session.register(context.waker());
        let now = self.now();
        if now.has(what) {
            return Poll::Ready(now);
        }
        match self.is_evicted() {
            true => Poll::Ready(Ask(0)),
            false => Poll::Pending,
        }
    }

    /// Whether the session has to let go of what it reads from.
    fn is_evicted(&self) -> bool {
        let upto = Seq::from_i64(self.sessions.evicted.load(Ordering::Acquire));
        let Some(upto) = upto.filter(|upto| *upto > Seq::ZERO) else {
            return false;
        };
        let snapshots = self.snapshots.lock().clone();
        snapshots.is_some_and(|snapshots| snapshots.any_before(upto))
    }
}

/// The way to a session, for whoever may ask something of it.
#[derive(Clone)]
pub(crate) struct Asker(Arc<Asked>);

impl Asker {
    /// Asks something of the session.
    pub(crate) fn ask(&self, what: Ask) {
        self.0.ask(what);
    }

    /// Lets the session send so many batches more; at most `ahead` of them are remembered.
    pub(crate) fn grant(&self, batches: u32, ahead: u32) {
        let more = |credit: u32| Some(credit.saturating_add(batches).min(ahead));
        // It never refuses.
        let _ = (self.0.credit).fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        self.0.session.wake();
    }
}

/// The presence of a client, for doors that drop what they send it when it leaves.
pub(crate) struct Client(Asker);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.ask(Ask::GONE);
    }
}

/// Everything that may end a statement of one connection. The task that runs the statement has it, and waits.
pub(crate) struct Interrupts {
    asked: Arc<Asked>,
    /// When the running statement has run too long.
    deadline: Option<Instant>,
    /// Set while the session waits for the outcome of a commit.
    committing: Option<Arc<AtomicBool>>,
}

impl Interrupts {
    /// The process id by which it is known.
    pub(crate) fn pid(&self) -> i32 {
        self.asked.pid
    }

    /// What a CancelRequest has to say beside the process id.
    pub(crate) fn secret(&self) -> i32 {
        self.asked.secret
    }

    /// From now on it is this session whose statements are interrupted.
    pub(crate) fn attach(&mut self, session: &Session) {
        self.committing = Some(session.committing());
        *self.asked.snapshots.lock() = Some(session.live_snapshots());
    }

    /// That session is over: what goes on without it commits nothing.
    pub(crate) fn detach(&mut self) {
        self.committing = None;
        self.deadline = None;
    }

    /// The way to it for others.
    pub(crate) fn asker(&self) -> Asker {
        Asker(self.asked.clone())
    }

    /// Waits until a batch may be sent, and takes that from the credit.
    pub(crate) async fn granted(&self) -> Result<(), Stop> {
        let mut granted = poll_fn(|context| {
            // Before it is looked, as in `poll_for`.
            self.asked.session.register(context.waker());
            let less = |credit: u32| credit.checked_sub(1);
            let taken = (self.asked.credit).fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
            match taken {
                Ok(_) => Poll::Ready(Ok::<_, Stop>(())),
                Err(_) => Poll::Pending,
            }
        });
        self.guard_endless(Pin::new(&mut granted)).await
    }

    /// The client is gone when what this gives is dropped.
    pub(crate) fn client(&self) -> Client {
        Client(self.asker())
    }

    /// Whether no new statement may begin.
    pub(crate) fn is_stopping(&self) -> bool {
        self.asked.now().has(Ask::STOP)
    }

    /// Waits until an idle session has to end.
    pub(crate) async fn ended(&self) -> Stop {
        let asked = poll_fn(|context| self.asked.poll_for(Ask::STOP, context));
        match asked.await.has(Ask::STOP) {
            true => admin_shutdown(),
            false => evicted(),
        }
    }

    /// A statement begins, with as much time as `statement_timeout` gives it. Cancel requests that came before
    /// do not concern it.
    pub(crate) fn statement_begins(&mut self, timeout: Option<Duration>) {
        self.asked.set.fetch_and(!Ask::CANCEL.0, Ordering::AcqRel);
        self.deadline_in(timeout);
    }

    /// From now on there is so much time.
    pub(crate) fn deadline_in(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    }

    /// Runs a future to its end, unless it is interrupted: then it is left as it is. The interrupts are asked first,
    /// since a query may use up what tokio grants this task at one go, and then hears of nothing else.
    pub(crate) fn guard<'a, T, E: Into<Stop>>(
        &'a self,
        future: Pin<&'a mut impl Future<Output = Result<T, E>>>,
    ) -> impl Future<Output = Result<T, Stop>> {
        self.guard_from(RUNNING, self.deadline, future)
    }

    /// As `guard`, for rows. They may be what asks their own session to stop (`pg_terminate_backend(pg_backend_pid())`): then it
    /// is the statement with them that stops.
    pub(crate) async fn guard_rows<T, E: Into<Stop>>(
        &self,
        rows: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Stop> {
        let sent = self.guard(rows).await?;
        let asked = self.asked.now();
        match asked.has(RUNNING) {
            true => Err(stop(asked.of(RUNNING))),
            false => Ok(sent),
        }
    }

    /// As `guard`, for what may wait long: also a goodbye and the beginning of shutdown end it.
    pub(super) fn guard_waiting<'a, T, E: Into<Stop>>(
        &'a self,
        future: Pin<&'a mut impl Future<Output = Result<T, E>>>,
    ) -> impl Future<Output = Result<T, Stop>> {
        self.guard_from(WAITING, self.deadline, future)
    }

    /// As `guard`, for what would never end by itself: also a goodbye and the beginning of shutdown end it,
    /// but no `statement_timeout`.
    pub(crate) fn guard_endless<'a, T, E: Into<Stop>>(
        &'a self,
        future: Pin<&'a mut impl Future<Output = Result<T, E>>>,
    ) -> impl Future<Output = Result<T, Stop>> {
        self.guard_from(WAITING, None, future)
    }

    fn guard_from<'a, T, E: Into<Stop>>(
        &'a self,
        what: Ask,
        deadline: Option<Instant>,
        mut future: Pin<&'a mut impl Future<Output = Result<T, E>>>,
    ) -> impl Future<Output = Result<T, Stop>> {
        // Most have no deadline: it takes no memory of theirs.
        let mut expired = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        poll_fn(move |context| {
            let mut stopped = |context: &mut Context<'_>| {
                if let Poll::Ready(asked) = self.asked.poll_for(what, context) {
                    return Poll::Ready(stop(asked.of(what)));
                }
                match &mut expired {
                    Some(expired) => {
                        (expired.as_mut().poll(context)).map(|()| canceled("statement timeout"))
                    }
                    None => Poll::Pending,
                }
            };
            let mut asked = false;
            if !self.is_committing() {
                if let Poll::Ready(stop) = stopped(context) {
                    return Poll::Ready(Err(stop));
                }
                asked = true;
            }
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return Poll::Ready(result.map_err(Into::into));
            }
            // A commit under way has its outcome, whatever is wanted meanwhile. Behind it the interrupts count.
            if !asked && !self.is_committing() {
                return stopped(context).map(Err);
            }
            Poll::Pending
        })
    }

    fn is_committing(&self) -> bool {
        let committing = self.committing.as_ref();
        committing.is_some_and(|committing| committing.load(Ordering::Relaxed))
    }
}

fn canceled(why: &str) -> Stop {
    let message = format!("canceling statement due to {why}");
    Stop::Error(SqlError::new(ErrorKind::QueryCanceled, message))
}

/// How a statement stops of which this was asked; nothing is asked of a session that is evicted.
fn stop(asked: Ask) -> Stop {
    match asked {
        asked if asked.has(Ask::CLOSING) => Stop::Gone,
        asked if asked.has(Ask::STOP) => admin_shutdown(),
        asked if asked.has(Ask::CANCEL) => canceled("user request"),
        asked if asked.has(Ask::GONE) => Stop::Gone,
        asked if asked.has(Ask::KILL) => admin_shutdown(),
        _ => evicted(),
    }
}

/// The sessions and subscriptions that there are, by process id.
#[derive(Default)]
pub(crate) struct Sessions {
    last_pid: AtomicI32,
    all: Mutex<HashMap<i32, Weak<Asked>>>,
    /// What is asked of each new one.
    stopping: AtomicU8,
    /// Snapshots from before this Seq have to be let go of.
    evicted: AtomicI64,
}

impl Sessions {
    /// Begins one, with a process id and a secret of its own.
    pub(crate) fn begin(self: &Arc<Self>) -> Interrupts {
        let mut all = self.all.lock();
        let pid = loop {
            let pid = self
                .last_pid
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(1)
                & i32::MAX;
            if pid != 0 && !all.contains_key(&pid) {
                break pid;
            }
        };
        let asked = Arc::new(Asked {
            set: AtomicU8::new(self.stopping.load(Ordering::Acquire)),
            credit: AtomicU32::new(0),
            session: AtomicWaker::new(),
            snapshots: Mutex::default(),
            sessions: self.clone(),
            pid,
            secret: rand::random(),
        });
        all.insert(pid, Arc::downgrade(&asked));
        Interrupts {
            asked,
            deadline: None,
            committing: None,
        }
    }

    /// Cancels what the connection runs. A wrong secret does nothing.
    pub(crate) fn cancel(&self, pid: i32, secret: i32) {
        let asked = self.all.lock().get(&pid).and_then(Weak::upgrade);
        match asked {
            Some(asked) if asked.secret == secret => asked.ask(Ask::CANCEL),
            _ => tracing::debug!(pid, "cancel request for no connection or with a wrong key"),
        }
    }

    /// Asks something of all of them, and of those that begin later.
    pub(crate) fn ask_all(&self, what: Ask) {
        let all = {
            let all = self.all.lock();
            self.stopping.fetch_or(what.0, Ordering::AcqRel);
            // Let go of outside the lock: the last who does takes it.
            all.values().filter_map(Weak::upgrade).collect::<Vec<_>>()
        };
        all.iter().for_each(|asked| asked.ask(what));
    }

    /// Tells all of them, without end, when to let go of snapshots from before an erasure.
    pub(crate) async fn evict(self: Arc<Self>, store: Arc<Store>) {
        let mut evictions = store.evictions();
        drop(store);
        // It fails when the store is closed: the shutdown ends the connections.
        while evictions.changed().await.is_ok() {
            let upto = evictions.borrow_and_update().as_i64();
            self.evicted.store(upto, Ordering::Release);
            self.ask_all(Ask(0));
        }
    }
}
