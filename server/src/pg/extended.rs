//! The extended query protocol: prepared statements and portals.

use std::pin::pin;
use std::sync::Arc;

use tidelog_sql::{ClientStatement, ErrorKind, Outcome, SqlError, TransactionStatus};
use tidelog_storage::Datum;

use crate::interrupts::Stop;
use crate::pg::connection::Connection;
use crate::pg::encode::{self, Format};
use crate::pg::messages::{Bind, Frontend, Target};
use crate::pg::query::{check_not_failed, in_failed_transaction};
use crate::pg::reply;
use crate::pg::results::{Formats, Portion, Rows};
use crate::pg::subscribe::Sending;

/// A statement with its parameters' values, ready to run or running.
pub(super) struct Portal {
    statement: Arc<ClientStatement>,
    parameters: Vec<Datum>,
    formats: Formats,
    state: PortalState,
}

enum PortalState {
    New,
    Rows {
        rows: Rows,
        verb: &'static str,
    },
    Feed(Box<Sending>),
    /// All rows were taken.
    Drained {
        verb: &'static str,
    },
    /// It ran and returned no rows, or failed.
    Spent,
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Stop {
    Stop::Error(SqlError::new(kind, message))
}

fn result_type_changed() -> Stop {
    error(
        ErrorKind::FeatureNotSupported,
        "cached plan must not change result type",
    )
}

impl Connection {
    /// Forgets a statement or a portal. Closing what does not exist is no error.
    pub(super) fn close_target(&mut self, target: &Target) {
        match target {
            Target::Statement(name) => drop(self.session.forget_statement(name)),
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        reply::bare(&mut self.client.out, b'3');
    }

    pub(super) async fn parse(
        &mut self,
        name: String,
        sql: &str,
        oids: &[u32],
    ) -> Result<(), Stop> {
        self.statement_begins();
        if name.is_empty() {
            self.session.forget_statement("");
        }
        let types: Vec<_> = oids
            .iter()
            .map(|&oid| encode::parameter_type(oid, |oid| self.session.type_by_oid(oid)))
            .collect::<Result<_, _>>()?;
        let prepared = self.session.prepare_text(sql, types);
        let statement = self.interrupts.guard(pin!(prepared)).await?;
        self.session.keep_statement(name, statement)?;
        reply::bare(&mut self.client.out, b'1');
        Ok(())
    }

    pub(super) async fn bind(&mut self, bind: Bind) -> Result<(), Stop> {
        self.statement_begins();
        let Bind {
            portal,
            statement: name,
            parameter_formats,
            parameters,
            result_formats,
        } = bind;
        let statement = self.session.statement(&name)?.clone();
        let (formats, given) = (parameter_formats.len(), parameters.len());
        if formats > 1 && formats != given {
            let message =
                format!("bind message has {formats} parameter formats but {given} parameters");
            return Err(error(ErrorKind::ProtocolViolation, message));
        }
        let types = statement.parameters();
        if given != types.len() {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {}",
                types.len()
            );
            return Err(error(ErrorKind::ProtocolViolation, message));
        }
        if let Some(plan) = &statement.plan {
            check_not_failed(self.session.transaction_status(), &plan.parsed)?;
        }
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(error(
                ErrorKind::DuplicateCursor,
                format!("cursor \"{portal}\" already exists"),
            ));
        }
        let parameter_formats = Formats::new(&parameter_formats)?;
        let style = self.session.style_of_parameters();
        let mut values = Vec::with_capacity(given);
        for (index, (ty, bytes)) in types.iter().zip(&parameters).enumerate() {
            values.push(match bytes {
                Some(bytes) => {
                    let format = parameter_formats.of(index);
                    encode::read_parameter(*ty, format, bytes, style, index + 1)?
                }
                None => Datum::Null,
            });
        }
        let formats = Formats::new(&result_formats)?;
        let columns = statement.columns().map_or(0, <[_]>::len);
        if formats.len() > 1 && formats.len() != columns {
            let message = format!(
                "bind message has {} result formats but query has {columns} columns",
                formats.len()
            );
            return Err(error(ErrorKind::ProtocolViolation, message));
        }
        if let Some(plan) = &statement.plan {
            let prepared = self.session.up_to_date(plan, &statement.types);
            self.interrupts.guard(pin!(prepared)).await?;
        }
        statement.counts();
        let bound = Portal {
            statement,
            parameters: values,
            formats,
            state: PortalState::New,
        };
        self.portals.insert(portal, bound);
        reply::bare(&mut self.client.out, b'2');
        Ok(())
    }

    pub(super) fn describe(&mut self, target: &Target) -> Result<(), Stop> {
        // A cursor is a portal, too.
        if let Target::Portal(name) = target
            && !self.portals.contains_key(name)
            && let Some(columns) = self.session.cursor_columns(name)
        {
            reply::row_description(&mut self.client.out, columns, |_| Format::Text);
            return Ok(());
        }
        let (statement, formats) = match target {
            Target::Statement(name) => (self.session.statement(name)?.clone(), None),
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.statement.clone(), Some(portal.formats.clone()))
            }
        };
        if let Some(plan) = &statement.plan {
            check_not_failed(self.session.transaction_status(), &plan.parsed)?;
        }
        let out = &mut self.client.out;
        if formats.is_none() {
            reply::parameter_description(
                out,
                statement.parameters().iter().map(|&ty| encode::oid(ty)),
            );
        }
        match statement.columns() {
            Some(columns) => reply::row_description(out, columns, |index| {
                formats
                    .as_ref()
                    .map_or(Format::Text, |formats| formats.of(index))
            }),
            None => reply::bare(out, b'n'),
        }
        Ok(())
    }

    pub(super) async fn execute(&mut self, name: &str, rows_max: i32) -> Result<(), Stop> {
        self.statement_begins();
        let status = self.session.transaction_status();
        if let Some(portal) = self.portals.get(name)
            && let Some(plan) = &portal.statement.plan
        {
            check_not_failed(status, &plan.parsed)?;
        }
        // Out of the map while it runs: a portal that fails is gone, which its failed transaction does not tell of.
        let mut portal = self.portals.remove(name).ok_or_else(|| match status {
            TransactionStatus::Failed => in_failed_transaction().into(),
            _ => no_portal(name),
        })?;
        let limit = u64::try_from(rows_max).ok().filter(|&limit| limit > 0);
        if matches!(portal.state, PortalState::New) {
            portal.state = PortalState::Spent;
            let started = Box::pin(self.start(&portal.statement, &portal.parameters)).await?;
            let Some(outcome) = started else {
                reply::bare(&mut self.client.out, b'I');
                self.portals.insert(name.to_string(), portal);
                return Ok(());
            };
            portal.state = match outcome {
                Outcome::Rows {
                    columns,
                    rows,
                    verb,
                } => PortalState::Rows {
                    rows: Rows::new(columns, rows, self.session.style()),
                    verb,
                },
                Outcome::Subscribe(plan) => {
                    let feed = Sending::new(&self.server.feeds, *plan);
                    feed.describe_copy(&mut self.client);
                    PortalState::Feed(Box::new(feed))
                }
                Outcome::FetchFeed(mut fetch) => {
                    fetch.rows_max = fetch.rows_max.into_iter().chain(limit).min();
                    self.fetch_feed(&fetch, &portal.formats).await?;
                    self.portals.insert(name.to_string(), portal);
                    return Ok(());
                }
                other => {
                    Box::pin(self.run_plain(other)).await?;
                    self.portals.insert(name.to_string(), portal);
                    return Ok(());
                }
            };
        }
        let (portion, verb) = match &mut portal.state {
            PortalState::Rows { rows, verb } => {
                let send = rows.send(&mut self.client, &portal.formats, limit);
                (self.interrupts.guard_rows(pin!(send)).await?, *verb)
            }
            PortalState::Feed(feed) => (
                self.run_feed(feed, &portal.formats, limit).await?,
                "SUBSCRIBE",
            ),
            PortalState::Drained { verb } => (
                Portion {
                    rows: 0,
                    complete: true,
                },
                *verb,
            ),
            PortalState::New | PortalState::Spent => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(error(ErrorKind::ObjectNotInPrerequisiteState, message));
            }
        };
        if portion.complete {
            let verb = match &portal.state {
                PortalState::Feed(feed) => feed.end(&mut self.client),
                _ => verb,
            };
            portal.state = PortalState::Drained { verb };
            self.complete(&reply::row_tag(verb, portion.rows));
        } else {
            reply::bare(&mut self.client.out, b's');
        }
        self.portals.insert(name.to_string(), portal);
        Ok(())
    }

    /// MOVE in a portal of the protocol: passes over rows.
    pub(super) async fn move_portal(
        &mut self,
        name: &str,
        count: Option<u64>,
    ) -> Result<Outcome, Stop> {
        // Out of the map while it runs: a portal that fails is gone.
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        if matches!(portal.state, PortalState::New) {
            let started = Box::pin(self.start(&portal.statement, &portal.parameters)).await?;
            portal.state = match started {
                Some(Outcome::Rows {
                    columns,
                    rows,
                    verb,
                }) => PortalState::Rows {
                    rows: Rows::new(columns, rows, self.session.style()),
                    verb,
                },
                _ => PortalState::Spent,
            };
        }
        let passed = match &mut portal.state {
            PortalState::Rows { rows, verb } => {
                let portion = self.interrupts.guard(pin!(rows.skip(count))).await?;
                let verb = *verb;
                if portion.complete {
                    portal.state = PortalState::Drained { verb };
                }
                portion.rows
            }
            PortalState::Drained { .. } => 0,
            PortalState::New | PortalState::Spent | PortalState::Feed(_) => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(error(ErrorKind::ObjectNotInPrerequisiteState, message));
            }
        };
        self.portals.insert(name.to_string(), portal);
        Ok(Outcome::Command(format!("MOVE {passed}")))
    }

    /// Whether the protocol has a portal of this name, and DECLARE no cursor.
    pub(super) fn is_portal(&self, name: &str) -> bool {
        self.portals.contains_key(name) && self.session.cursor_columns(name).is_none()
    }

    /// Runs a new portal's statement; `None` when it is empty.
    async fn start(
        &mut self,
        statement: &ClientStatement,
        parameters: &[Datum],
    ) -> Result<Option<Outcome>, Stop> {
        let Some(plan) = &statement.plan else {
            return Ok(None);
        };
        let prepared = self.session.up_to_date(plan, &statement.types);
        let prepared = self.interrupts.guard(pin!(prepared)).await?;
        // A statement alone before its Sync is its own transaction, so that an error of its commit comes
        // instead of its CommandComplete; several in a pipeline are one. What never ends is in no transaction.
        let alone = matches!(self.client.peek(), Some(Ok(Frontend::Sync)));
        if !alone && !plan.parsed.is_endless() {
            self.session.begin_implicit();
        }
        let outcome = self
            .interrupts
            .guard(pin!(self.session.execute(&prepared, parameters)))
            .await?;
        if let Outcome::Rows { columns, .. } = &outcome
            && Some(columns.as_slice()) != statement.columns()
        {
            return Err(result_type_changed());
        }
        Ok(Some(outcome))
    }
}

fn no_portal(name: &str) -> Stop {
    error(
        ErrorKind::InvalidCursorName,
        format!("portal \"{name}\" does not exist"),
    )
}
