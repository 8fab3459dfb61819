//! `POST /v1/sql`: a statement in, JSON out, streamed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tidelog_sql::{ErrorKind, SqlError};
use tokio::sync::mpsc;

use crate::auth::Admitted;
use crate::http::access::{Caller, Credentials, authenticate};
use crate::http::error::{HttpError, unreadable, write_error};
use crate::http::params::Statement;
use crate::http::statement::{self, PIECES_QUEUED_MAX, Piece};
use crate::http::{BODY_BYTES_MAX, HttpServer};
use crate::interrupts::Client;

/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
    /// `postgres` when none is named.
    database: Option<String>,
}

pub(super) async fn post(
    State(server): State<Arc<HttpServer>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let answer = answer(server, peer, request).await;
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    server: Arc<HttpServer>,
    peer: SocketAddr,
    request: Request,
) -> Result<Response, HttpError> {
    check_is_json(request.headers())?;
    let credentials = Credentials::of_request(request.headers())?;
    let caller = Caller::of(peer, request.headers());
    let role = authenticate(&server, credentials, caller).await?;
    // The body is read once it is known whose it is.
    let Asked {
        sql,
        params,
        database,
    } = read(request.into_body()).await?;
    let statement = Statement {
        sql: sql.into(),
        params,
    };
    let database = server.database(database.as_deref())?;
    let mut running = start(&server, Admitted { role, database }, statement)?;
    // What fails before there is much of a result gets a status of its own.
    let head = running.next().await?;
    let next = running.next().await?;
    let mut text = String::new();
    running.write(head, &mut text);
    running.write(next, &mut text);
    let body = futures::stream::unfold((Some(text), running), |(text, mut running)| async move {
        let text = match text {
            Some(text) => text,
            None if running.ended => return None,
            None => {
                let mut text = String::new();
                match running.next().await {
                    Ok(piece) => running.write(piece, &mut text),
                    Err(error) => running.write_failure(&error, &mut text),
                }
                text
            }
        };
        Some((Ok::<_, std::convert::Infallible>(text), (None, running)))
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, Body::from_stream(body.fuse())).into_response())
}

/// A page of another origin can send anything but JSON without asking first.
fn check_is_json(headers: &HeaderMap) -> Result<(), HttpError> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"));
    if is_json {
        return Ok(());
    }
    let message = "the request's Content-Type is not application/json";
    Err(HttpError::with_status(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        SqlError::new(ErrorKind::ProtocolViolation, message),
    ))
}

async fn read(body: Body) -> Result<Asked, HttpError> {
    let violation = |message: String| SqlError::new(ErrorKind::ProtocolViolation, message);
    let body = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let message =
                format!("the request's body is cut off or larger than {BODY_BYTES_MAX} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(HttpError::with_status(status, violation(message)));
        }
        Err(_) => {
            let message = "the request's body did not come in time".to_string();
            return Err(violation(message).into());
        }
    };
    // An array of the members would be read as well.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(violation("malformed request: a request is an object".to_string()).into());
    }
    serde_json::from_slice(&body).map_err(|error| unreadable("malformed request", &error).into())
}

/// A statement that runs, and what of its answer was written.
struct Running {
    pieces: mpsc::Receiver<Result<Piece, SqlError>>,
    rows_begun: bool,
    ended: bool,
    /// Ends the statement when the client is gone, and so the response is dropped.
    _client: Client,
}

fn start(
    server: &Arc<HttpServer>,
    who: Admitted,
    statement: Statement,
) -> Result<Running, HttpError> {
    let Ok(place) = server.statements.clone().try_acquire_owned() else {
        let message = "too many statements are running already";
        return Err(SqlError::new(ErrorKind::TooManyConnections, message).into());
    };
    let (out, pieces) = mpsc::channel(PIECES_QUEUED_MAX);
    let interrupts = server.begin();
    let client = interrupts.client();
    let run = statement::run(server.clone(), who, statement, interrupts, out);
    let run = server.backend.connections.track_future(async move {
        run.await;
        drop(place);
    });
    server.backend.queries.spawn(run);
    Ok(Running {
        pieces,
        rows_begun: false,
        ended: false,
        _client: client,
    })
}

impl Running {
    async fn next(&mut self) -> Result<Piece, SqlError> {
        self.pieces.recv().await.unwrap_or_else(|| {
            let message = "internal error: the session panicked";
            Err(SqlError::new(ErrorKind::InternalError, message))
        })
    }

    fn write(&mut self, piece: Piece, out: &mut String) {
        match piece {
            Piece::Columns(columns) => {
                out.push_str("{\"columns\":");
                out.push_str(&columns);
                out.push_str(",\n\"rows\":[");
            }
            Piece::Rows(rows) => {
                out.push_str(if self.rows_begun { ",\n" } else { "\n" });
                out.push_str(&rows);
                self.rows_begun = true;
            }
            Piece::Done(members) => {
                out.push_str("],\n");
                out.push_str(&members);
                out.push_str("}\n");
                self.ended = true;
            }
        }
    }

    /// The status is sent already: the object gets `error` where a complete one has `tag`.
    fn write_failure(&mut self, error: &SqlError, out: &mut String) {
        out.push_str("],\n\"error\":");
        write_error(error, out);
        out.push_str("}\n");
        self.ended = true;
    }
}
