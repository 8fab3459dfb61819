//! One statement in a session of its own: what `/v1/sql` and a WebSocket's `query` do.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use tidelog_sql::{
    ErrorKind, Login, Notice, Outcome, OutputColumn, RowStream, Session, SqlError, Startup,
    TransactionStatus, row_tag,
};
use tokio::sync::mpsc;

use crate::auth::Admitted;
use crate::http::params::Statement;
use crate::http::rows::{write_batch_row, write_columns};
use crate::http::{CHUNK_BYTES, HttpServer, error};
use crate::interrupts::{Interrupts, Stop};

/// Results that wait to be sent.
pub(super) const PIECES_QUEUED_MAX: usize = 2;

/// Where a result's pieces go, and the error that ends it.
pub(super) type Out = mpsc::Sender<Result<Piece, SqlError>>;

/// A piece of a result, as JSON.
pub(super) enum Piece {
    /// The array of its columns; first.
    Columns(String),
    /// Some of its rows: arrays with commas between them.
    Rows(String),
    /// `"tag":…` and what else there is to say; last.
    Done(String),
}

/// A session for one statement or subscription of a role.
pub(super) fn session(
    server: &HttpServer,
    who: &Admitted,
    interrupts: &Interrupts,
) -> Result<Session, Stop> {
    let login = Login {
        role: who.role.clone(),
        database: who.database,
        pid: interrupts.pid(),
    };
    let engine = server.backend.engine.clone();
    Session::new(engine, login, Startup::new()).map_err(Stop::Fatal)
}

/// Runs the statement and hands its result on: the last thing sent is `Done` or an error.
pub(super) async fn run(
    server: Arc<HttpServer>,
    who: Admitted,
    statement: Statement,
    interrupts: Interrupts,
    out: Out,
) {
    if let Err(Stop::Error(error) | Stop::Fatal(error)) =
        run_to_end(&server, &who, &statement, interrupts, &out).await
    {
        if error.kind == ErrorKind::InternalError {
            tracing::error!(
                user = &*who.role.name,
                detail = error.detail,
                "internal error: {}",
                error.message
            );
        }
        // Nobody may be there to hear it.
        let _ = out.send(Err(error)).await;
    }
}

async fn run_to_end(
    server: &HttpServer,
    who: &Admitted,
    statement: &Statement,
    mut interrupts: Interrupts,
    out: &Out,
) -> Result<(), Stop> {
    let mut session = session(server, who, &interrupts)?;
    interrupts.attach(&session);
    // The session has no other statement: a cancel that came before this one began is meant for it.
    interrupts.deadline_in(session.statement_timeout());
    let done = execute(&mut session, statement, &interrupts, out).await;
    session.abort();
    done
}

async fn execute(
    session: &mut Session,
    statement: &Statement,
    interrupts: &Interrupts,
    out: &Out,
) -> Result<(), Stop> {
    let parsed = statement.parse(session)?;
    if parsed.is_endless() {
        return Err(SqlError::unsupported("SUBSCRIBE as a statement over HTTP")
            .hint("Send it to /v1/live, or in a subscribe frame over /v1/ws.")
            .into());
    }
    let prepared = interrupts
        .guard(pin!(session.prepare(&parsed, &[])))
        .await?;
    let values = statement.values(&prepared)?;
    let outcome = interrupts
        .guard(pin!(session.execute(&prepared, &values)))
        .await?;
    let tag = match outcome {
        Outcome::Rows {
            columns,
            rows,
            verb,
        } => {
            let sending = send_rows(columns, rows, out);
            row_tag(verb, interrupts.guard(pin!(sending)).await?)
        }
        Outcome::Command(tag) if tag == "LISTEN" => {
            return Err(SqlError::unsupported("LISTEN over HTTP")
                .hint("Subscribe to the table, by /v1/live or /v1/ws.")
                .into());
        }
        Outcome::Command(tag) => {
            if session.transaction_status() != TransactionStatus::Idle {
                return Err(SqlError::unsupported("a transaction block over HTTP").into());
            }
            send(out, Piece::Columns("[]".to_string())).await?;
            tag
        }
        Outcome::Empty => String::new(),
        Outcome::CopyIn(_) | Outcome::CopyOut { .. } | Outcome::CopyRows { .. } => {
            return Err(SqlError::unsupported("COPY over HTTP").into());
        }
        Outcome::Subscribe(_) | Outcome::DeclareFeed { .. } | Outcome::FetchFeed(_) => {
            return Err(SqlError::unsupported("a cursor over HTTP").into());
        }
    };
    let mut last = String::from("\"tag\":");
    tidelog_sql::json::write_string(&tag, &mut last);
    write_notices(session, &mut last);
    send(out, Piece::Done(last)).await
}

async fn send_rows(
    columns: Vec<OutputColumn>,
    mut rows: RowStream,
    out: &Out,
) -> Result<u64, Stop> {
    let mut head = String::new();
    write_columns(&columns, &mut head);
    send(out, Piece::Columns(head)).await?;
    let mut chunk = String::new();
    let mut count = 0;
    while let Some(batch) = rows.next().await.transpose()? {
        if batch.num_columns() != columns.len() {
            let message = "the result has not the columns that were announced";
            return Err(SqlError::new(ErrorKind::InternalError, message).into());
        }
        for row in 0..batch.num_rows() {
            if !chunk.is_empty() {
                chunk.push(',');
            }
            write_batch_row(&batch, row, &columns, &mut chunk)?;
            count += 1;
            if chunk.len() >= CHUNK_BYTES {
                send(out, Piece::Rows(std::mem::take(&mut chunk))).await?;
            }
        }
    }
    if !chunk.is_empty() {
        send(out, Piece::Rows(chunk)).await?;
    }
    Ok(count)
}

async fn send(out: &Out, piece: Piece) -> Result<(), Stop> {
    out.send(Ok(piece)).await.map_err(|_| Stop::Gone)
}

/// Appends `,"notices":[…]` if there are any. A changed setting lives no longer than its session.
fn write_notices(session: &mut Session, out: &mut String) {
    let mut notices = String::new();
    for notice in session.take_notices() {
        if let Notice::Message { error, .. } = notice {
            if !notices.is_empty() {
                notices.push(',');
            }
            error::write_error(&error, &mut notices);
        }
    }
    if !notices.is_empty() {
        out.push_str(&format!(",\"notices\":[{notices}]"));
    }
}
