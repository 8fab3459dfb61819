//! The simple query protocol, and what running a statement answers in both protocols.

use std::collections::VecDeque;
use std::pin::pin;

use futures::FutureExt;
use futures::future::BoxFuture;
use tidelog_sql::{ErrorKind, FetchFeed, Outcome, Parsed, SqlError, TransactionStatus};

use crate::interrupts::Stop;
use crate::pg::connection::{Connection, send_notices};
use crate::pg::encode::Format;
use crate::pg::reply;
use crate::pg::results::{Formats, Rows};
use crate::pg::subscribe::Sending;

/// The 25P02 of a failed transaction block.
pub(super) fn check_not_failed(
    status: TransactionStatus,
    statement: &Parsed,
) -> Result<(), SqlError> {
    if status == TransactionStatus::Failed && !statement.ends_transaction() {
        return Err(in_failed_transaction());
    }
    Ok(())
}

pub(super) fn in_failed_transaction() -> SqlError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    SqlError::new(ErrorKind::InFailedTransaction, message)
}

impl Connection {
    /// Runs a query string; ReadyForQuery is the caller's.
    pub(super) async fn simple_query(&mut self, sql: String) -> Result<(), Stop> {
        self.statement_begins();
        self.session.forget_statement("");
        self.portals.remove("");
        let mut statements = VecDeque::from(self.session.parse(&sql)?);
        drop(sql);
        if statements.is_empty() {
            reply::bare(&mut self.client.out, b'I');
            return Ok(());
        }
        if statements.len() > 1 {
            self.session.begin_implicit();
        }
        while !statements.is_empty() {
            // In memory of its own, as is what follows: this future lives as long as a subscription.
            let outcome = Box::pin(self.start_next(&mut statements)).await?;
            self.answer(outcome).await?;
        }
        Ok(())
    }

    /// Sends what a statement of a simple query gave.
    fn answer(&mut self, outcome: Outcome) -> BoxFuture<'_, Result<(), Stop>> {
        match outcome {
            Outcome::Rows {
                columns,
                rows,
                verb,
            } => {
                let rows = Rows::new(columns, rows, self.session.style());
                self.send_rows(rows, verb).boxed()
            }
            Outcome::Subscribe(plan) => {
                let feed = Box::new(Sending::new(&self.server.feeds, *plan));
                feed.describe(&mut self.client);
                self.send_feed(feed).boxed()
            }
            Outcome::FetchFeed(fetch) => self.answer_fetch(fetch).boxed(),
            other => self.run_plain(other).boxed(),
        }
    }

    async fn send_feed(&mut self, mut feed: Box<Sending>) -> Result<(), Stop> {
        let sent = self.run_feed(&mut feed, &Formats::default(), None).await?;
        let verb = feed.end(&mut self.client);
        self.complete(&reply::row_tag(verb, sent.rows));
        Ok(())
    }

    async fn answer_fetch(&mut self, fetch: FetchFeed) -> Result<(), Stop> {
        if !fetch.moves {
            reply::row_description(&mut self.client.out, &fetch.columns, |_| Format::Text);
        }
        self.fetch_feed(&fetch, &Formats::default()).await
    }

    async fn send_rows(&mut self, mut rows: Rows, verb: &'static str) -> Result<(), Stop> {
        let formats = Formats::default();
        reply::row_description(&mut self.client.out, &rows.columns, |_| Format::Text);
        let send = rows.send(&mut self.client, &formats, None);
        let portion = self.interrupts.guard_rows(pin!(send)).await?;
        self.complete(&reply::row_tag(verb, portion.rows));
        Ok(())
    }

    /// Runs a statement, of which nothing is left but the outcome when that is sent: a subscription never ends.
    async fn start_next(&mut self, statements: &mut VecDeque<Parsed>) -> Result<Outcome, Stop> {
        let Some(statement) = statements.pop_front() else {
            return Ok(Outcome::Empty);
        };
        if statements.is_empty() {
            *statements = VecDeque::new();
        }
        self.interrupts
            .deadline_in(self.session.statement_timeout());
        check_not_failed(self.session.transaction_status(), &statement)?;
        if let Some((name, count)) = statement.moves_forward()
            && self.is_portal(name)
        {
            return self.move_portal(name, count).await;
        }
        let prepared = self
            .interrupts
            .guard(pin!(self.session.prepare(&statement, &[])))
            .await?;
        if !prepared.parameters.is_empty() {
            return Err(
                SqlError::new(ErrorKind::UndefinedParameter, "there is no parameter $1").into(),
            );
        }
        let execute = self.session.execute(&prepared, &[]);
        self.interrupts.guard(pin!(execute)).await
    }

    /// Runs what answers the same in both protocols. Rows and SUBSCRIBE are not among it.
    pub(super) async fn run_plain(&mut self, outcome: Outcome) -> Result<(), Stop> {
        match outcome {
            Outcome::Empty => reply::bare(&mut self.client.out, b'I'),
            Outcome::Command(tag) => self.complete(&tag),
            Outcome::CopyIn(copy) => {
                let tag = self.copy_in(*copy).await?;
                self.complete(&tag);
            }
            Outcome::CopyOut { columns, chunks } => {
                let tag = self.copy_out(columns, chunks).await?;
                self.complete(&tag);
            }
            Outcome::CopyRows { columns, rows } => {
                let tag = self.copy_out_binary(columns, rows).await?;
                self.complete(&tag);
            }
            Outcome::DeclareFeed { name, plan } => {
                let feed = Sending::new(&self.server.feeds, *plan);
                self.feeds.insert(name, feed);
                self.complete("DECLARE CURSOR");
            }
            Outcome::Rows { .. } | Outcome::Subscribe(_) | Outcome::FetchFeed(_) => {
                return Err(SqlError::new(
                    ErrorKind::InternalError,
                    "rows where none are expected",
                )
                .into());
            }
        }
        Ok(())
    }

    /// Notices, then CommandComplete.
    pub(super) fn complete(&mut self, tag: &str) {
        send_notices(&mut self.session, &mut self.client);
        reply::command_complete(&mut self.client.out, tag);
    }
}
