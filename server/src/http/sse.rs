//! `GET /v1/live`: a subscription as Server-Sent Events, for curl and EventSource.
//!
//! TCP is the flow control: the next batch is read from the log when the client has taken the ones before it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use tidelog_sql::{ErrorKind, SqlError, text};
use tidelog_storage::{ColumnType, Datum, Seq};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::auth::Admitted;
use crate::http::HttpServer;
use crate::http::access::{Caller, Credentials, authenticate};
use crate::http::error::{HttpError, unreadable, write_error};
use crate::http::feeds::{Frame, Guest, Order, Subscription};
use crate::http::params::Statement;
use crate::interrupts::{Client, Interrupts, Stop};

/// Events that wait to be sent.
const EVENTS_QUEUED_MAX: usize = 1;
/// The last event of a subscription that has come to its end.
const DONE: &str = "data: {\"type\":\"done\"}\n\n";
/// How often a comment tells that the connection stands.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the URL says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    sql: String,
    /// A JSON array.
    params: Option<String>,
    /// `postgres` when none is named.
    database: Option<String>,
    /// Where to go on, for those who cannot set `Last-Event-ID`.
    from: Option<String>,
}

pub(super) async fn get(
    State(server): State<Arc<HttpServer>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let answer = async {
        let credentials = Credentials::of_request(&headers)?;
        let caller = Caller::of(peer, &headers);
        let role = authenticate(&server, credentials, caller).await?;
        let Query(parameters) = parameters.map_err(|rejection| violation(rejection.body_text()))?;
        let from = resume_point(&headers, &parameters)?;
        let database = server.database(parameters.database.as_deref())?;
        let statement = statement(parameters)?;
        start(server, Admitted { role, database }, statement, from).await
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

fn violation(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::ProtocolViolation, message)
}

fn statement(parameters: Parameters) -> Result<Statement, SqlError> {
    let params = match &parameters.params {
        None => Vec::new(),
        Some(json) => serde_json::from_str(json)
            .map_err(|error| unreadable("params is no JSON array", &error))?,
    };
    Ok(Statement {
        sql: parameters.sql.into(),
        params,
    })
}

/// `Last-Event-ID` is newer than what the URL says: an EventSource keeps its URL and changes the header.
fn resume_point(headers: &HeaderMap, parameters: &Parameters) -> Result<Option<Seq>, SqlError> {
    let header = headers.get("last-event-id").map(|value| {
        // What is no text is no position, and refused as such.
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    });
    let given = header
        .filter(|text| !text.is_empty())
        .or_else(|| parameters.from.clone());
    given.map(|text| resume_seq(&text)).transpose()
}

/// A Seq as a client hands it back.
pub(super) fn resume_seq(given: &str) -> Result<Seq, SqlError> {
    match text::parse(ColumnType::Int8, given)? {
        Datum::Int8(seq) => Seq::from_i64(seq),
        _ => None,
    }
    .ok_or_else(|| {
        let message = format!("invalid position to resume from: \"{given}\"");
        SqlError::new(ErrorKind::InvalidParameterValue, message)
    })
}

/// What goes to the client, as text of the event stream.
type Events = mpsc::Sender<Result<String, SqlError>>;

async fn start(
    server: Arc<HttpServer>,
    who: Admitted,
    statement: Statement,
    from: Option<Seq>,
) -> Result<Response, HttpError> {
    let Ok(place) = server.live.clone().try_acquire_owned() else {
        let message = "too many live connections already";
        return Err(SqlError::new(ErrorKind::TooManyConnections, message).into());
    };
    let interrupts = server.begin();
    let client = interrupts.client();
    let (events, mut received) = mpsc::channel(EVENTS_QUEUED_MAX);
    let (queries, connections) = (
        server.backend.queries.clone(),
        server.backend.connections.clone(),
    );
    let order = Box::new(Order {
        guest: Arc::new(Guest { server, who }),
        statement,
        from,
        last_rows: None,
    });
    queries.spawn(connections.track_future(follow(order, interrupts, events, place)));
    // A statement that cannot be followed gets a status of its own.
    let first = received.recv().await.unwrap_or_else(|| {
        Err(SqlError::new(
            ErrorKind::InternalError,
            "internal error: the session panicked",
        ))
    })?;
    let stream = futures::stream::unfold(
        (Some(first), received, client),
        |(first, mut received, client): (_, mpsc::Receiver<_>, Client)| async move {
            let text = match first {
                Some(text) => text,
                None => match tokio::time::timeout(KEEP_ALIVE, received.recv()).await {
                    Err(_) => ":\n\n".to_string(),
                    Ok(None) => return None,
                    Ok(Some(Ok(text))) => text,
                    Ok(Some(Err(error))) => failure(&error),
                },
            };
            Some((Ok::<_, Infallible>(text), (None, received, client)))
        },
    );
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(stream.fuse())).into_response())
}

/// Sends one event after the other until the subscription or its client ends.
async fn follow(
    order: Box<Order>,
    mut interrupts: Interrupts,
    events: Events,
    _place: OwnedSemaphorePermit,
) {
    let followed = async {
        let opening = Subscription::open(order, &mut interrupts);
        let mut subscription = Box::pin(opening).await?;
        while let Some(frame) = subscription.next(&interrupts).await? {
            let sending = async { events.send(Ok(event(&frame))).await.map_err(|_| Stop::Gone) };
            interrupts.guard_endless(pin!(sending)).await?;
        }
        // An EventSource comes back after any end; its page closes it here.
        let _ = events.send(Ok(DONE.to_string())).await;
        Ok::<_, Stop>(())
    };
    if let Err(Stop::Error(error) | Stop::Fatal(error)) = followed.await {
        let _ = events.send(Err(error)).await;
    }
}

fn event(frame: &Frame) -> String {
    let id = frame
        .resume
        .map_or(String::new(), |seq| format!("id: {seq}\n"));
    format!("{id}data: {{{}}}\n\n", frame.members)
}

/// The last event of a subscription that ends. EventSource then tries again and is told by a status.
fn failure(error: &SqlError) -> String {
    let mut data = String::from("data: {\"type\":\"error\",\"error\":");
    write_error(error, &mut data);
    data.push_str("}\n\n");
    data
}
