//! `/v1/ws`: statements and many subscriptions over one WebSocket.
//!
//! The socket's side, on the sockets' runtime, moves frames and knows nothing of what they say; the session's side
//! (`ws::session`) runs elsewhere. Between them are two short queues: a client that does not read stops the writing, and
//! with it the reading of the log.

mod frames;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tidelog_sql::{ErrorKind, SqlError};
use tokio::sync::mpsc;

use crate::http::HttpServer;
use crate::http::access::Caller;
use crate::http::error::HttpError;

/// The subprotocol that a client may ask for.
const PROTOCOL: &str = "tidelog.v1";
/// The largest frame and message of a client.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 20;
/// How much of a frame is read at once, and at first; a longer one has a buffer of its length.
const READ_BYTES: usize = 512;
/// Frames that wait for the session, beside one that is handed over, and for the socket.
const IN_QUEUED_MAX: usize = 3;
const OUT_QUEUED_MAX: usize = 4;
/// How often a client is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A client that sends nothing for so long, not even the answer to a ping, is taken for gone.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to read what ends the connection.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) async fn get(
    State(server): State<Arc<HttpServer>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(place) = server.live.clone().try_acquire_owned() else {
        let message = "too many live connections already";
        let error = SqlError::new(ErrorKind::TooManyConnections, message);
        return HttpError::from(error).into_response();
    };
    let caller = Caller::of(peer, &headers);
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        // Per socket, so small: what is read and written is frames of some kilobytes.
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .on_upgrade(move |socket| {
            let (write, read) = socket.split();
            let connections = server.backend.connections.clone();
            // In a task of its own, without what the upgrade needs.
            connections.spawn(async move {
                serve(write, read, server, caller).await;
                drop(place);
            });
            std::future::ready(())
        })
}

/// Moves frames between the socket and the session until either ends.
async fn serve(
    write: SplitSink<WebSocket, Message>,
    read: SplitStream<WebSocket>,
    server: Arc<HttpServer>,
    caller: Caller,
) {
    let (incoming, received) = futures::channel::mpsc::channel(IN_QUEUED_MAX);
    let (out, outgoing) = mpsc::channel(OUT_QUEUED_MAX);
    let pings = out.downgrade();
    let session = server
        .backend
        .queries
        .clone()
        .spawn(session::run(server, caller, received, out));
    let mut writing = std::pin::pin!(write_out(outgoing, write));
    tokio::select! {
        () = read_in(read, incoming, pings) => {
            // The session ends for want of frames, and the writing with the session.
            let _ = Box::pin(tokio::time::timeout(FAREWELL, writing)).await;
        }
        // The session is over, or the client takes nothing any more.
        () = writing.as_mut() => {}
    }
    if let Err(error) = session.await
        && error.is_panic()
    {
        tracing::error!("the session of a WebSocket panicked; its connection ends");
    }
}

async fn read_in(
    mut read: SplitStream<WebSocket>,
    mut incoming: futures::channel::mpsc::Sender<String>,
    pings: mpsc::WeakSender<Box<Message>>,
) {
    let mut ticks = tokio::time::interval(PING_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = tokio::time::Instant::now();
    loop {
        let message = tokio::select! {
            message = read.next() => message,
            _ = ticks.tick() => {
                if heard.elapsed() >= IDLE_MAX {
                    return;
                }
                // A full queue is proof enough that nothing is read.
                if let Some(out) = pings.upgrade() {
                    let _ = out.try_send(Box::new(Message::Ping(Default::default())));
                }
                continue;
            }
        };
        heard = tokio::time::Instant::now();
        let text = match message {
            Some(Ok(Message::Text(text))) => text.to_string(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            // An empty frame is malformed, and told so.
            Some(Ok(Message::Binary(_))) => String::new(),
            Some(Ok(Message::Close(_))) | None => return,
            Some(Err(error)) => {
                tracing::debug!(%error, "reading a WebSocket failed");
                if let Some(out) = pings.upgrade() {
                    let reason = "malformed or larger than the limit of a frame";
                    let _ = out.try_send(close(1009, reason));
                }
                return;
            }
        };
        if incoming.send(text).await.is_err() {
            return;
        }
    }
}

async fn write_out(
    mut outgoing: mpsc::Receiver<Box<Message>>,
    mut write: SplitSink<WebSocket, Message>,
) {
    while let Some(message) = outgoing.recv().await {
        let last = matches!(*message, Message::Close(_));
        if write.send(*message).await.is_err() || last {
            break;
        }
    }
    let _ = Box::pin(tokio::time::timeout(FAREWELL, write.close())).await;
}

/// A Close frame.
fn close(code: u16, reason: &'static str) -> Box<Message> {
    Box::new(Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    })))
}
