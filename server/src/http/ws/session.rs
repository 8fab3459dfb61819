//! What a WebSocket's frames do: each statement and each subscription is a task of its own, so that none waits for
//! another and an error ends one of them only.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Message;
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::Seq;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};

use crate::http::HttpServer;
use crate::http::access::authenticate;
use crate::http::error::write_error;
use crate::http::feeds::Subscription;
use crate::http::params::Statement;
use crate::http::statement::{self, PIECES_QUEUED_MAX, Piece};
use crate::http::ws::frames::{Frame, Hello, VERSION, parse};
use crate::http::ws::{FRAME_BYTES_MAX, IDLE_MAX, close};
use crate::interrupts::{Interrupts, Stop};

/// From the opening of the socket to the end of authentication.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Subscriptions of one socket.
const SUBSCRIPTIONS_MAX: usize = 1000;
/// Statements that one socket runs at once.
const STATEMENTS_MAX: usize = 32;
/// Batches that a client may ask for ahead.
const CREDIT_MAX: usize = 1 << 16;
/// The compression that there is, as hello and welcome name it.
const DEFLATE: &str = "deflate";
/// Smaller frames are sent as they are.
const DEFLATE_BYTES_MIN: usize = 1 << 10;

/// What goes out, to the socket's side.
#[derive(Clone)]
struct Out {
    frames: mpsc::Sender<Message>,
    /// Whether the client takes compressed frames.
    deflates: bool,
}

impl Out {
    /// Hands a frame to the socket's side; `false` when that has ended.
    async fn send(&self, frame: String) -> bool {
        let frame = match self.deflates && frame.len() >= DEFLATE_BYTES_MIN {
            true => Message::binary(deflated(&frame)),
            false => Message::text(frame),
        };
        self.frames.send(frame).await.is_ok()
    }
}

/// A frame's text, compressed by itself (RFC 1951).
fn deflated(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// Why a socket is closed, and the code that its client is told.
struct Close {
    code: u16,
    error: SqlError,
}

impl Close {
    fn violation(code: u16, message: impl Into<String>) -> Close {
        let error = SqlError::new(ErrorKind::ProtocolViolation, message);
        Close { code, error }
    }

    fn malformed(reason: impl std::fmt::Display) -> Close {
        Close::violation(4400, format!("malformed frame: {reason}"))
    }

    /// In the Close frame; the error frame before it says more.
    fn reason(&self) -> &'static str {
        match self.code {
            4401 => "not authenticated",
            4408 => "no hello in time",
            _ => "malformed frame",
        }
    }
}

/// Runs a socket from its first frame to its end.
pub(super) async fn run(
    server: Arc<HttpServer>,
    local: bool,
    mut received: mpsc::Receiver<String>,
    frames: mpsc::Sender<Message>,
) {
    let mut out = Out {
        frames,
        deflates: false,
    };
    let (stop, kill) = (
        server.shutdown().stop.clone(),
        server.shutdown().kill.clone(),
    );
    let served = async {
        let greeting = greet(&server, local, &mut received);
        let late = || Close::violation(4408, "the first frame did not come in time");
        let Some((user, deflates)) = tokio::time::timeout(HELLO_TIMEOUT, greeting)
            .await
            .unwrap_or_else(|_| Err(late()))?
        else {
            return Ok(());
        };
        out.deflates = deflates;
        let mut socket = Socket {
            server,
            user,
            out: out.clone(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
        };
        socket.send(welcome(&socket.user, deflates)).await;
        let ended = socket.serve(&mut received).await;
        socket.end().await;
        ended
    };
    let served = tokio::select! {
        served = served => served,
        () = kill.cancelled() => Ok(()),
    };
    let farewell = match served {
        Err(why) => {
            // Nobody may be there to hear it.
            out.send(error_frame(None, &why.error)).await;
            close(why.code, why.reason())
        }
        Ok(()) if stop.is_cancelled() => close(1001, "the server is stopping"),
        Ok(()) => close(1000, ""),
    };
    let _ = out.frames.send(farewell).await;
}

/// Takes the first frame and gives the role whose socket it is, and whether it takes compressed frames; `None` when the
/// client left, or the server stops.
async fn greet(
    server: &HttpServer,
    local: bool,
    received: &mut mpsc::Receiver<String>,
) -> Result<Option<(String, bool)>, Close> {
    let text = tokio::select! {
        text = received.recv() => text,
        () = server.shutdown().stop.cancelled() => None,
    };
    let Some(text) = text else {
        return Ok(None);
    };
    let Frame::Hello(hello) = parse(&text).map_err(Close::malformed)? else {
        return Err(Close::malformed("the first frame is hello"));
    };
    let Hello {
        version,
        auth,
        compression,
    } = hello;
    if version != VERSION {
        let reason = format!("version {version} is not spoken here, but version {VERSION}");
        return Err(Close::malformed(reason));
    }
    match authenticate(server, auth, local).await {
        Ok(user) => Ok(Some((user, compression.as_deref() == Some(DEFLATE)))),
        Err(error) => Err(Close { code: 4401, error }),
    }
}

fn welcome(user: &str, deflates: bool) -> String {
    let mut frame = format!("{{\"type\":\"welcome\",\"version\":{VERSION},\"user\":");
    tidelog_sql::json::write_string(user, &mut frame);
    if deflates {
        frame.push_str(&format!(",\"compression\":\"{DEFLATE}\""));
    }
    frame.push_str(&format!(
        ",\"server\":\"tidelog {}\",\"limits\":{{\"frame_bytes\":{FRAME_BYTES_MAX},\
         \"subscriptions\":{SUBSCRIPTIONS_MAX},\"statements\":{STATEMENTS_MAX},\"idle_ms\":{}}}}}",
        env!("CARGO_PKG_VERSION"),
        IDLE_MAX.as_millis()
    ));
    frame
}

/// `{"type":"error","id":…,"error":{…}}`; without an id it is about the socket as a whole.
fn error_frame(id: Option<u64>, error: &SqlError) -> String {
    let mut frame = String::from("{\"type\":\"error\"");
    if let Some(id) = id {
        frame.push_str(&format!(",\"id\":{id}"));
    }
    frame.push_str(",\"error\":");
    write_error(error, &mut frame);
    frame.push('}');
    frame
}

/// What runs under an id.
enum Running {
    Statement(Interrupts),
    Subscription {
        interrupts: Interrupts,
        credit: Arc<Semaphore>,
    },
}

struct Socket {
    server: Arc<HttpServer>,
    user: String,
    out: Out,
    running: HashMap<u64, Running>,
    /// Each gives its last frame, which is sent when its id is free again.
    tasks: JoinSet<Option<String>>,
    /// Which task serves which id.
    ids: HashMap<Id, u64>,
}

impl Socket {
    /// Does what the frames say until the client leaves or the server stops.
    async fn serve(&mut self, received: &mut mpsc::Receiver<String>) -> Result<(), Close> {
        let stop = self.server.shutdown().stop.clone();
        loop {
            let text = tokio::select! {
                biased;
                // Subscriptions end by themselves then, and statements when they are through.
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => {
                    self.ended(ended).await;
                    continue;
                }
                text = received.recv() => text,
            };
            let Some(text) = text else {
                self.abandon();
                return Ok(());
            };
            let done = match parse(&text) {
                Ok(frame) => self.dispatch(frame).await,
                Err(reason) => Err(Close::malformed(reason)),
            };
            if done.is_err() {
                self.abandon();
                return done;
            }
        }
    }

    async fn dispatch(&mut self, frame: Frame) -> Result<(), Close> {
        match frame {
            Frame::Hello(_) => return Err(Close::malformed("hello came already")),
            Frame::Query { id, statement } => {
                self.check_new(id)?;
                match self.count(|running| matches!(running, Running::Statement(_))) {
                    STATEMENTS_MAX.. => self.refuse(id, "statements at once").await,
                    _ => self.query(id, statement),
                }
            }
            Frame::Subscribe {
                id,
                statement,
                from,
                credit,
            } => {
                self.check_new(id)?;
                match self.count(|running| matches!(running, Running::Subscription { .. })) {
                    SUBSCRIPTIONS_MAX.. => self.refuse(id, "subscriptions").await,
                    _ => self.subscribe(id, statement, from, credit),
                }
            }
            // What has ended meanwhile needs none of these.
            Frame::Credit { id, batches } => {
                if let Some(Running::Subscription { credit, .. }) = self.running.get(&id) {
                    let room = CREDIT_MAX.saturating_sub(credit.available_permits());
                    credit.add_permits(batches.min(room));
                }
            }
            Frame::Unsubscribe { id } => {
                if let Some(Running::Subscription { interrupts, .. }) = self.running.get(&id) {
                    interrupts.closing.cancel();
                }
            }
            Frame::Cancel { id } => {
                if let Some(Running::Statement(interrupts)) = self.running.get(&id) {
                    interrupts.cancel_statement();
                }
            }
            Frame::Ping => self.send("{\"type\":\"pong\"}".to_string()).await,
        }
        Ok(())
    }

    fn count(&self, of: impl Fn(&Running) -> bool) -> usize {
        self.running.values().filter(|running| of(running)).count()
    }

    fn check_new(&self, id: u64) -> Result<(), Close> {
        match self.running.contains_key(&id) {
            true => Err(Close::malformed(format!("id {id} is in use"))),
            false => Ok(()),
        }
    }

    async fn refuse(&self, id: u64, what: &str) {
        let message = format!("too many {what} on this socket");
        let error = SqlError::new(ErrorKind::TooManyConnections, message);
        self.send(error_frame(Some(id), &error)).await;
    }

    /// Hands a frame to the socket's side. When that has ended the frames end too, so nobody is told.
    async fn send(&self, frame: String) {
        self.out.send(frame).await;
    }

    fn query(&mut self, id: u64, statement: Statement) {
        let registered = self.server.register();
        let running = Running::Statement(registered.0.clone());
        self.running.insert(id, running);
        let (pieces, received) = mpsc::channel(PIECES_QUEUED_MAX);
        let (server, user) = (self.server.clone(), self.user.clone());
        let run = statement::run(server, user, statement, registered, pieces);
        let send = send_result(id, received, self.out.clone());
        let task = self.tasks.spawn(async move { tokio::join!(run, send).1 });
        self.ids.insert(task.id(), id);
    }

    fn subscribe(&mut self, id: u64, statement: Statement, from: Option<Seq>, credit: usize) {
        let mut follower = Follower {
            id,
            interrupts: Interrupts::new(self.server.shutdown().clone()),
            credit: Arc::new(Semaphore::new(credit.min(CREDIT_MAX))),
            out: self.out.clone(),
        };
        let running = Running::Subscription {
            interrupts: follower.interrupts.clone(),
            credit: follower.credit.clone(),
        };
        self.running.insert(id, running);
        let (server, user) = (self.server.clone(), self.user.clone());
        let task = self.tasks.spawn(async move {
            let ended = follower.follow(server, user, statement, from).await;
            Some(match ended {
                Err(Stop::Error(error) | Stop::Fatal(error)) => error_frame(Some(id), &error),
                Ok(()) => format!("{{\"type\":\"done\",\"id\":{id}}}"),
                Err(Stop::Gone) => {
                    format!("{{\"type\":\"unsubscribed\",\"id\":{id}}}")
                }
            })
        });
        self.ids.insert(task.id(), id);
    }

    /// Forgets a task that has ended, and tells the client.
    async fn ended(&mut self, ended: Result<(Id, Option<String>), JoinError>) {
        let (task, last) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), None),
        };
        let Some(id) = self.ids.remove(&task) else {
            return;
        };
        self.running.remove(&id);
        let panicked = || {
            let message = "internal error: the session panicked";
            error_frame(Some(id), &SqlError::new(ErrorKind::InternalError, message))
        };
        self.send(last.unwrap_or_else(panicked)).await;
    }

    /// Ends everything that runs, since nobody will hear of it. A commit under way is waited for all the same.
    fn abandon(&self) {
        for running in self.running.values() {
            match running {
                Running::Statement(interrupts) | Running::Subscription { interrupts, .. } => {
                    interrupts.gone.cancel();
                }
            }
        }
    }

    /// Waits for what still runs.
    async fn end(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended).await;
        }
    }
}

/// Sends a statement's result, piece by piece, but for the last, which it gives.
async fn send_result(
    id: u64,
    mut pieces: mpsc::Receiver<Result<Piece, SqlError>>,
    out: Out,
) -> Option<String> {
    let mut last = None;
    while let Some(piece) = pieces.recv().await {
        let frame = match piece {
            Ok(Piece::Columns(columns)) => {
                format!("{{\"type\":\"columns\",\"id\":{id},\"columns\":{columns}}}")
            }
            Ok(Piece::Rows(rows)) => format!("{{\"type\":\"rows\",\"id\":{id},\"rows\":[{rows}]}}"),
            Ok(Piece::Done(members)) => {
                last = Some(format!("{{\"type\":\"done\",\"id\":{id},{members}}}"));
                continue;
            }
            Err(error) => {
                last = Some(error_frame(Some(id), &error));
                continue;
            }
        };
        // Without a reader the statement ends, since its pieces are dropped.
        if !out.send(frame).await {
            break;
        }
    }
    last
}

/// The task of one subscription.
struct Follower {
    id: u64,
    interrupts: Interrupts,
    credit: Arc<Semaphore>,
    out: Out,
}

impl Follower {
    /// Sends a batch for each credit.
    async fn follow(
        &mut self,
        server: Arc<HttpServer>,
        user: String,
        statement: Statement,
        from: Option<Seq>,
    ) -> Result<(), Stop> {
        let interrupts = &mut self.interrupts;
        let mut subscription =
            Subscription::open(server, user, statement, from, interrupts).await?;
        loop {
            if subscription.is_due_batch() {
                // Before anything is read from the log: a client without credit costs nothing.
                let granted = async { Ok::<_, Stop>(self.credit.acquire().await) };
                if let Ok(granted) = interrupts.guard_endless(pin!(granted)).await? {
                    granted.forget();
                }
            }
            let Some(frame) = subscription.next(interrupts).await? else {
                return Ok(());
            };
            let frame = format!("{{\"id\":{},{}}}", self.id, frame.members);
            let sending = async { self.out.send(frame).await.then_some(()).ok_or(Stop::Gone) };
            interrupts.guard_endless(pin!(sending)).await?;
        }
    }
}
