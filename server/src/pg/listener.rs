//! Accepting connections, and each one's life from the startup packet to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use futures::channel::mpsc;
use tidelog_sql::{Ends, Engine, ErrorKind, SqlError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::auth::MockSecret;
use crate::backend::Backend;
use crate::feed::Feeds;
use crate::interrupts::Sessions;
use crate::pg::client::{client, pump};
use crate::pg::connection::{self, Opening};
use crate::pg::messages::{Startup, take_startup};
use crate::pg::reply;
use crate::shutdown::Shutdown;

/// From the first byte to the end of authentication.
pub(super) const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Places that only superusers get, of those that `max_connections` says; all but one where it says fewer.
const RESERVED_PLACES: usize = 3;

/// What all connections share.
pub(crate) struct PgServer {
    pub(super) engine: Arc<Engine>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) mock_secret: Arc<MockSecret>,
    /// Where sessions run.
    queries: Handle,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    /// How many of the places are for superusers.
    reserved: usize,
    connections: TaskTracker,
}

impl PgServer {
    pub(crate) fn new(backend: Backend, connections_max: usize) -> Arc<PgServer> {
        let Backend {
            engine,
            feeds,
            sessions,
            mock_secret,
            queries,
            shutdown,
            connections,
        } = backend;
        Arc::new(PgServer {
            engine,
            feeds,
            sessions,
            mock_secret,
            queries,
            shutdown,
            places: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            reserved: RESERVED_PLACES.min(connections_max.saturating_sub(1)),
            connections,
        })
    }

    /// 53300 when a connection that took a place has one that is for superusers.
    pub(super) fn check_place(&self, superuser: bool) -> Result<(), SqlError> {
        if superuser || self.places.available_permits() >= self.reserved {
            return Ok(());
        }
        let message =
            "remaining connection slots are reserved for non-replication superuser connections";
        Err(SqlError::new(ErrorKind::TooManyConnections, message))
    }
}

/// Accepts connections until the server stops.
pub(crate) async fn accept_connections(listener: TcpListener, server: Arc<PgServer>) {
    let stop = server.shutdown.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                server
                    .connections
                    .spawn(serve(stream, peer, server.clone()));
            }
            Err(error) => {
                // Out of file descriptors, mostly: wait for connections to end instead of spinning.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a client said at the start, and what is at hand for it.
struct Begun {
    // A socket belongs to the runtime that it was made on: it is to be another one's.
    stream: std::net::TcpStream,
    /// Bytes that came behind the startup packet.
    received: BytesMut,
    ends: Ends,
    minor: u16,
    parameters: Vec<(String, String)>,
    place: OwnedSemaphorePermit,
}

/// The beginning of a connection, up to its startup packet.
async fn serve(stream: TcpStream, peer: SocketAddr, server: Arc<PgServer>) {
    if let Some(begun) = begin(stream, peer, &server).await {
        let (connections, queries) = (server.connections.clone(), server.queries.clone());
        connections.spawn_on(converse(begun, server), &queries);
    }
}

/// Not an `async fn`, which would keep its arguments as long as the connection lives.
fn converse(begun: Begun, server: Arc<PgServer>) -> impl Future<Output = ()> + Send {
    let peer = begun.ends.client;
    // What the session begins with is gone afterwards.
    let session = Box::pin(async move { session(begun, server) });
    async move {
        let (session, pump, last_words, _place) = match session.await {
            Ok(begun) => begun,
            Err(error) => return tracing::debug!(%error, "the connection was lost"),
        };
        let supervise = async move {
            if session.await.is_err_and(|error| error.is_panic()) {
                tracing::error!(%peer, "the session panicked; its connection ends");
                Box::pin(say(last_words)).await;
            }
        };
        tokio::join!(supervise, pump);
    }
}

/// A session that runs, what moves its bytes, a way to the client for last words, and the connection's place.
type Running<F> = (JoinHandle<()>, F, mpsc::Sender<Bytes>, OwnedSemaphorePermit);

/// Begins a session, on the runtime that this is called on.
fn session(
    begun: Begun,
    server: Arc<PgServer>,
) -> std::io::Result<Running<impl Future<Output = ()>>> {
    let Begun {
        stream,
        received,
        ends,
        minor,
        parameters,
        place,
    } = begun;
    let (read, write) = TcpStream::from_std(stream)?.into_split();
    let interrupts = server.sessions.begin();
    let asker = interrupts.asker();
    let (client, pump_side, last_words) = client(write);
    let opening = Box::new(Opening {
        client,
        interrupts,
        ends,
        minor,
        parameters,
    });
    let session = tokio::spawn(connection::run(server, opening));
    let pump = pump(pump_side, read, received, asker);
    Ok((session, pump, last_words, place))
}

/// Hears what a client wants; `None` if it is no session, or there is no place.
async fn begin(mut stream: TcpStream, peer: SocketAddr, server: &PgServer) -> Option<Begun> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    // Of a connection that is gone there is none.
    let Ok(local) = stream.local_addr() else {
        return None;
    };
    let mut received = BytesMut::new();
    let startup = tokio::select! {
        startup = tokio::time::timeout(STARTUP_TIMEOUT, start(&mut stream, &mut received)) => startup,
        () = server.shutdown.stop.cancelled() => return None,
    };
    let (minor, parameters) = match startup {
        Ok(Ok(Some(Startup::Session { minor, parameters }))) => (minor, parameters),
        Ok(Ok(Some(Startup::Cancel { pid, secret }))) => {
            server.sessions.cancel(pid, secret);
            return None;
        }
        Ok(Ok(_)) | Err(_) => return None,
        Ok(Err(error)) => {
            refuse(stream, &error).await;
            return None;
        }
    };
    let Ok(place) = server.places.clone().try_acquire_owned() else {
        let error = SqlError::new(
            ErrorKind::TooManyConnections,
            "sorry, too many clients already",
        );
        tracing::info!(%peer, "login refused: {error}");
        refuse(stream, &error).await;
        return None;
    };
    Some(Begun {
        stream: stream.into_std().ok()?,
        received,
        ends: Ends {
            client: peer,
            server: local,
        },
        minor,
        parameters,
        place,
    })
}

/// Reads the startup packet and says no to encryption. `None` at the end of the connection.
async fn start(
    stream: &mut TcpStream,
    received: &mut BytesMut,
) -> Result<Option<Startup>, SqlError> {
    loop {
        match take_startup(received)? {
            Some(Startup::Encrypt) => {
                // Bytes that came with the request would be taken for encrypted ones by an honest client.
                if !received.is_empty() {
                    let message = "received unencrypted data after SSL request";
                    return Err(SqlError::new(ErrorKind::ProtocolViolation, message));
                }
                if stream.write_all(b"N").await.is_err() {
                    return Ok(None);
                }
            }
            Some(startup) => return Ok(Some(startup)),
            None => match stream.read_buf(received).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            },
        }
    }
}

async fn refuse(mut stream: TcpStream, error: &SqlError) {
    let mut out = BytesMut::new();
    reply::error(&mut out, "FATAL", error);
    let _ = stream.write_all(&out).await;
    let _ = stream.shutdown().await;
}

/// The last words of a session that panicked.
async fn say(mut last_words: mpsc::Sender<Bytes>) {
    let message = "internal error: the session panicked";
    let error = SqlError::new(ErrorKind::InternalError, message);
    let mut out = BytesMut::new();
    reply::error(&mut out, "FATAL", &error);
    let saying = last_words.send(out.freeze());
    let _ = tokio::time::timeout(Duration::from_secs(1), saying).await;
}
