//! Accepting connections, and each one's life from the startup packet to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidelog_sql::{Ends, Engine, ErrorKind, SqlError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use crate::auth::MockSecret;
use crate::backend::Backend;
use crate::feed::Feeds;
use crate::interrupts::{CancelRegistry, Interrupts};
use crate::pg::client::{client, pump};
use crate::pg::connection::{self, Opening};
use crate::pg::messages::{Startup, take_startup};
use crate::pg::reply;
use crate::shutdown::Shutdown;

/// From the first byte to the end of authentication.
pub(super) const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// What all connections share.
pub(crate) struct PgServer {
    pub(super) engine: Arc<Engine>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) cancels: Arc<CancelRegistry>,
    pub(super) mock_secret: Arc<MockSecret>,
    /// Where sessions run.
    queries: Handle,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    connections: TaskTracker,
}

impl PgServer {
    pub(crate) fn new(backend: Backend, connections_max: usize) -> Arc<PgServer> {
        let Backend {
            engine,
            feeds,
            cancels,
            mock_secret,
            queries,
            shutdown,
            connections,
        } = backend;
        Arc::new(PgServer {
            engine,
            feeds,
            cancels,
            mock_secret,
            queries,
            shutdown,
            places: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            connections,
        })
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

async fn serve(mut stream: TcpStream, peer: SocketAddr, server: Arc<PgServer>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    // Of a connection that is gone there is none.
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let mut received = BytesMut::new();
    let startup = tokio::select! {
        startup = tokio::time::timeout(STARTUP_TIMEOUT, start(&mut stream, &mut received)) => startup,
        () = server.shutdown.stop.cancelled() => return,
    };
    let (minor, parameters) = match startup {
        Ok(Ok(Some(Startup::Session { minor, parameters }))) => (minor, parameters),
        Ok(Ok(Some(Startup::Cancel { pid, secret }))) => return server.cancels.cancel(pid, secret),
        Ok(Ok(_)) | Err(_) => return,
        Ok(Err(error)) => return refuse(stream, &error).await,
    };
    let Ok(_place) = server.places.clone().try_acquire_owned() else {
        let error = SqlError::new(
            ErrorKind::TooManyConnections,
            "sorry, too many clients already",
        );
        return refuse(stream, &error).await;
    };
    let interrupts = Interrupts::new(server.shutdown.clone());
    let registration = server.cancels.register(&interrupts);
    let pid = registration.pid;
    let (client, pump_side, last_words) = client();
    let opening = Opening {
        client,
        interrupts: interrupts.clone(),
        ends: Ends {
            client: peer,
            server: local,
        },
        minor,
        parameters,
        registration,
    };
    let session = server
        .queries
        .spawn(connection::run(server.clone(), opening));
    let (read, write) = stream.into_split();
    let supervise = async move {
        if let Err(error) = session.await
            && error.is_panic()
        {
            tracing::error!(pid, %peer, "the session panicked; its connection ends");
            say(
                &last_words,
                &SqlError::new(
                    ErrorKind::InternalError,
                    "internal error: the session panicked",
                ),
            )
            .await;
        }
    };
    tokio::join!(
        supervise,
        pump(pump_side, read, write, received, interrupts)
    );
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

async fn say(last_words: &mpsc::Sender<Box<Bytes>>, error: &SqlError) {
    let mut out = BytesMut::new();
    reply::error(&mut out, "FATAL", error);
    let _ = tokio::time::timeout(
        Duration::from_secs(1),
        last_words.send(Box::new(out.freeze())),
    )
    .await;
}
