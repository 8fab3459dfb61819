//! What a WebSocket's frames do: each statement and each subscription is a task of its own, so that none waits for
//! another and an error ends one of them only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Message;
use futures::{FutureExt, StreamExt};
use tidelog_sql::{ErrorKind, SqlError};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use crate::auth::Admitted;
use crate::http::HttpServer;
use crate::http::access::{Caller, authenticate};
use crate::http::error::write_error;
use crate::http::feeds::{Guest, Order, Subscription};
use crate::http::params::Statement;
use crate::http::statement::{self, PIECES_QUEUED_MAX, Piece};
use crate::http::ws::frames::{Frame, Hello, Malformed, VERSION, parse};
use crate::http::ws::{FRAME_BYTES_MAX, IDLE_MAX, close};
use crate::interrupts::{Ask, Asker, Interrupts, Stop};

/// From the opening of the socket to the end of authentication.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Subscriptions of one socket.
const SUBSCRIPTIONS_MAX: usize = 1000;
/// Statements that one socket runs at once.
const STATEMENTS_MAX: usize = 32;
/// Batches that a client may ask for ahead.
const CREDIT_MAX: u32 = 1 << 16;
/// The compression that there is, as hello and welcome name it.
const DEFLATE: &str = "deflate";
/// Smaller frames are sent as they are.
const DEFLATE_BYTES_MIN: usize = 1 << 10;

/// What comes in, from the socket's side.
type Frames = futures::channel::mpsc::Receiver<String>;

/// What goes out, to the socket's side.
#[derive(Clone)]
struct Out {
    // What waits is boxed: a channel has room for 32 from the beginning.
    frames: mpsc::Sender<Box<Message>>,
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
        self.frames.send(Box::new(frame)).await.is_ok()
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
    fn violation(code: u16, message: impl Into<String>) -> Box<Close> {
        let error = SqlError::new(ErrorKind::ProtocolViolation, message);
        Box::new(Close { code, error })
    }

    fn misplaced(reason: impl std::fmt::Display) -> Box<Close> {
        Close::violation(4400, format!("malformed frame: {reason}"))
    }

    fn malformed(frame: Malformed) -> Box<Close> {
        let (code, error) = (4400, frame.error);
        Box::new(Close { code, error })
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
    caller: Caller,
    mut received: Frames,
    frames: mpsc::Sender<Box<Message>>,
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
        // In memory of its own, gone when the socket is open.
        let opened = Box::pin(open(server, caller, &mut received, &mut out)).await?;
        let Some(mut socket) = opened else {
            return Ok(());
        };
        let ended = socket.serve(&mut received).await;
        Box::pin(socket.end()).await;
        ended
    };
    let served = tokio::select! {
        served = served => served,
        () = kill.cancelled() => Ok(()),
    };
    Box::pin(farewell(out, served, stop.is_cancelled())).await;
}

/// Tells the client that the socket ends, and why. Nobody may be there to hear it.
async fn farewell(out: Out, served: Result<(), Box<Close>>, stopping: bool) {
    let last = match served {
        Err(why) => {
            out.send(error_frame(None, &why.error)).await;
            close(why.code, why.reason())
        }
        Ok(()) if stopping => close(1001, "the server is stopping"),
        Ok(()) => close(1000, ""),
    };
    let _ = out.frames.send(last).await;
}

/// Waits for the first frame; `None` as `greet` gives it.
async fn open(
    server: Arc<HttpServer>,
    caller: Caller,
    received: &mut Frames,
    out: &mut Out,
) -> Result<Option<Box<Socket>>, Box<Close>> {
    let greeting = greet(&server, caller, received);
    let late = || Close::violation(4408, "the first frame did not come in time");
    let greeted = tokio::time::timeout(HELLO_TIMEOUT, greeting).await;
    let Some((who, deflates)) = greeted.unwrap_or_else(|_| Err(late()))? else {
        return Ok(None);
    };
    out.deflates = deflates;
    out.send(welcome(&who.role.name, deflates)).await;
    Ok(Some(Box::new(Socket {
        guest: Arc::new(Guest { server, who }),
        out: out.clone(),
        statements: HashMap::new(),
        subscriptions: HashMap::new(),
        tasks: JoinSet::new(),
        abandoned: false,
    })))
}

/// Takes the first frame and gives the role whose socket it is, and whether it takes compressed frames; `None` when the
/// client left, or the server stops.
async fn greet(
    server: &HttpServer,
    caller: Caller,
    received: &mut Frames,
) -> Result<Option<(Admitted, bool)>, Box<Close>> {
    let text = tokio::select! {
        text = received.next() => text,
        () = server.shutdown().stop.cancelled() => None,
    };
    let Some(text) = text else {
        return Ok(None);
    };
    let Frame::Hello(hello) = parse(&text).map_err(Close::malformed)? else {
        return Err(Close::misplaced("the first frame is hello"));
    };
    let Hello {
        version,
        auth,
        database,
        compression,
    } = hello;
    if version != VERSION {
        let reason = format!("version {version} is not spoken here, but version {VERSION}");
        return Err(Close::misplaced(reason));
    }
    let admitted = async {
        let role = authenticate(server, auth, caller).await?;
        let database = server.database(database.as_deref())?;
        Ok(Admitted { role, database })
    };
    match admitted.await {
        Ok(who) => Ok(Some((who, compression.as_deref() == Some(DEFLATE)))),
        Err(error) => Err(Box::new(Close { code: 4401, error })),
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
struct Running {
    task: Id,
    session: Asker,
}

struct Socket {
    guest: Arc<Guest>,
    out: Out,
    statements: HashMap<u64, Running>,
    subscriptions: HashMap<u64, Running>,
    /// Each gives its id and its last frame, which is sent when that id is free again.
    tasks: JoinSet<(u64, Option<String>)>,
    /// The client is gone. What ends then is told nobody: one that reads on later must not take it for an answer.
    abandoned: bool,
}

impl Socket {
    /// Does what the frames say until the client leaves or the server stops.
    async fn serve(&mut self, received: &mut Frames) -> Result<(), Box<Close>> {
        let stop = self.guest.server.shutdown().stop.clone();
        loop {
            let text = tokio::select! {
                biased;
                // Subscriptions end by themselves then, and statements when they are through.
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.tasks.join_next() => {
                    Box::pin(self.ended(ended)).await;
                    continue;
                }
                text = received.next() => text,
            };
            let Some(text) = text else {
                self.abandon();
                return Ok(());
            };
            let done = Box::pin(self.take(text)).await;
            if done.is_err() {
                self.abandon();
                return done;
            }
        }
    }

    /// Does what a frame says.
    async fn take(&mut self, text: String) -> Result<(), Box<Close>> {
        let frame = match parse(&text) {
            Ok(frame) => frame,
            // An error under an id ends what runs under it: nothing does.
            Err(Malformed {
                id: Some(id),
                error,
            }) if !self.is_running(id) => {
                self.send(error_frame(Some(id), &error)).await;
                return Ok(());
            }
            Err(malformed) => return Err(Close::malformed(malformed)),
        };
        match frame {
            Frame::Hello(_) => return Err(Close::misplaced("hello came already")),
            Frame::Query { id, statement } => {
                self.check_new(id)?;
                match self.statements.len() {
                    STATEMENTS_MAX.. => self.refuse(id, "statements at once").await,
                    _ => self.query(id, statement),
                }
            }
            Frame::Subscribe {
                id,
                statement,
                from,
                last_rows,
                credit,
            } => {
                self.check_new(id)?;
                match self.subscriptions.len() {
                    SUBSCRIPTIONS_MAX.. => self.refuse(id, "subscriptions").await,
                    _ => {
                        let order = Box::new(Order {
                            guest: self.guest.clone(),
                            statement,
                            from,
                            last_rows,
                        });
                        self.subscribe(id, order, credit);
                    }
                }
            }
            // What has ended meanwhile needs none of these.
            Frame::Credit { id, batches } => {
                if let Some(running) = self.subscriptions.get(&id) {
                    running.session.grant(batches, CREDIT_MAX);
                }
            }
            Frame::Unsubscribe { id } => {
                if let Some(running) = self.subscriptions.get(&id) {
                    running.session.ask(Ask::CLOSING);
                }
            }
            Frame::Cancel { id } => {
                if let Some(running) = self.statements.get(&id) {
                    running.session.ask(Ask::CANCEL);
                }
            }
            Frame::Ping => self.send("{\"type\":\"pong\"}".to_string()).await,
        }
        Ok(())
    }

    fn is_running(&self, id: u64) -> bool {
        self.statements.contains_key(&id) || self.subscriptions.contains_key(&id)
    }

    fn running(&self) -> impl Iterator<Item = (&u64, &Running)> {
        self.statements.iter().chain(&self.subscriptions)
    }

    fn check_new(&self, id: u64) -> Result<(), Box<Close>> {
        match self.is_running(id) {
            true => Err(Close::misplaced(format!("id {id} is in use"))),
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
        let interrupts = self.guest.server.begin();
        let session = interrupts.asker();
        let (pieces, received) = mpsc::channel(PIECES_QUEUED_MAX);
        let (server, who) = (self.guest.server.clone(), self.guest.who.clone());
        let run = statement::run(server, who, statement, interrupts, pieces);
        let send = send_result(id, received, self.out.clone());
        let last = async move { (id, tokio::join!(run, send).1) };
        let task = self.tasks.spawn(last).id();
        self.statements.insert(id, Running { task, session });
    }

    fn subscribe(&mut self, id: u64, order: Box<Order>, credit: u32) {
        let interrupts = self.guest.server.begin();
        let session = interrupts.asker();
        session.grant(credit, CREDIT_MAX);
        let following = follow(id, order, interrupts, self.out.clone());
        let task = self.tasks.spawn(following).id();
        self.subscriptions.insert(id, Running { task, session });
    }

    /// Forgets a task that has ended, and tells the client.
    async fn ended(&mut self, ended: Result<(u64, Option<String>), JoinError>) {
        let (id, last) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let mut running = self.running();
                let Some((id, _)) = running.find(|(_, running)| running.task == error.id()) else {
                    return;
                };
                (*id, None)
            }
        };
        self.statements.remove(&id);
        self.subscriptions.remove(&id);
        if self.abandoned {
            return;
        }
        let panicked = || {
            let message = "internal error: the session panicked";
            error_frame(Some(id), &SqlError::new(ErrorKind::InternalError, message))
        };
        self.send(last.unwrap_or_else(panicked)).await;
    }

    /// Ends everything that runs, since nobody will hear of it. A commit under way is waited for all the same.
    fn abandon(&mut self) {
        self.abandoned = true;
        (self.running()).for_each(|(_, running)| running.session.ask(Ask::GONE));
    }

    /// Waits for what still runs.
    async fn end(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
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

/// Follows a subscription to its end, and gives the id and the last frame.
fn follow(
    id: u64,
    order: Box<Order>,
    mut interrupts: Interrupts,
    out: Out,
) -> impl Future<Output = (u64, Option<String>)> {
    let following = async move {
        // In memory of its own, gone when the subscription begins.
        let mut subscription = Box::pin(Subscription::open(order, &mut interrupts)).await?;
        loop {
            if subscription.is_due_batch() {
                // Before anything is read from the log: a client without credit costs nothing.
                interrupts.granted().await?;
            }
            let Some(frame) = subscription.next(&interrupts).await? else {
                return Ok(());
            };
            let frame = format!("{{\"id\":{id},{}}}", frame.members);
            let sending = (out.send(frame)).map(|sent| sent.then_some(()).ok_or(Stop::Gone));
            // In memory of its own: it is done in a moment, mostly.
            interrupts.guard_endless(Box::pin(sending).as_mut()).await?;
        }
    };
    following.map(move |ended| {
        let last = match ended {
            Err(Stop::Error(error) | Stop::Fatal(error)) => error_frame(Some(id), &error),
            Ok(()) => format!("{{\"type\":\"done\",\"id\":{id}}}"),
            Err(Stop::Gone) => format!("{{\"type\":\"unsubscribed\",\"id\":{id}}}"),
        };
        (id, Some(last))
    })
}
