//! One connection after its startup packet: log in, then message after message until the end.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tidelog_sql::{Ends, ErrorKind, Login, Notice, Session, Signal, SqlError, TransactionStatus};

use crate::auth;
use crate::interrupts::{Ask, Interrupts, Stop, admin_shutdown};
use crate::pg::auth::authenticate;
use crate::pg::client::{Client, Incoming};
use crate::pg::extended::Portal;
use crate::pg::listen::Channels;
use crate::pg::listener::{PgServer, STARTUP_TIMEOUT};
use crate::pg::messages::{Frontend, Malformed};
use crate::pg::reply;
use crate::pg::subscribe::Sending;
use crate::sqlstate::sqlstate;

/// What the socket's side hands over.
pub(super) struct Opening {
    pub(super) client: Client,
    pub(super) interrupts: Interrupts,
    pub(super) ends: Ends,
    pub(super) minor: u16,
    pub(super) parameters: Vec<(String, String)>,
}

/// The state of one connection.
pub(super) struct Connection {
    pub(super) server: Arc<PgServer>,
    pub(super) client: Client,
    pub(super) interrupts: Interrupts,
    pub(super) session: Session,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) channels: Channels,
    /// The subscriptions behind cursors, by the cursors' names.
    pub(super) feeds: HashMap<String, Sending>,
    /// After an error in the extended protocol: nothing is done until Sync.
    pub(super) skipping: bool,
    /// Whether the client was told that it is its turn.
    idle: bool,
}

/// Runs the connection to its end. This future lives as long: what it does before, between and after the times that it
/// waits for a message is in memory of its own.
pub(super) async fn run(server: Arc<PgServer>, opening: Box<Opening>) {
    let Some(mut connection) = Box::pin(open(server, opening)).await else {
        return;
    };
    let stop = loop {
        let message = match connection.next_message().await {
            Ok(message) => message,
            Err(stop) => break stop,
        };
        if let Err(stop) = connection.step(message).await {
            break stop;
        }
    };
    Box::pin(connection.close(stop)).await;
}

/// Lets the client in; `None` when it was told why not.
async fn open(server: Arc<PgServer>, opening: Box<Opening>) -> Option<Box<Connection>> {
    let Opening {
        mut client,
        mut interrupts,
        ends,
        minor,
        parameters,
    } = *opening;
    let peer = ends.client;
    let login = log_in(&server, &mut client, ends, minor, parameters, &interrupts);
    let login = tokio::select! {
        login = tokio::time::timeout(STARTUP_TIMEOUT, login) => login.unwrap_or(Err(Stop::Gone)),
        stop = interrupts.ended() => Err(stop),
    };
    let session = match login {
        Ok(session) => session,
        Err(stop) => {
            if let Stop::Fatal(error) | Stop::Error(error) = &stop {
                tracing::info!(%peer, "login refused: {error}");
            }
            farewell(&mut client, stop).await;
            return None;
        }
    };
    interrupts.attach(&session);
    Some(Box::new(Connection {
        channels: Channels::new(server.feeds.clone()),
        server,
        client,
        interrupts,
        session,
        portals: HashMap::new(),
        feeds: HashMap::new(),
        skipping: false,
        idle: true,
    }))
}

/// The last words, if there is someone to hear them.
async fn farewell(client: &mut Client, stop: Stop) {
    if let Stop::Fatal(error) | Stop::Error(error) = stop {
        reply::error(&mut client.out, "FATAL", &error);
        // A client that does not read does not keep the connection alive.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), client.flush()).await;
    }
}

async fn log_in(
    server: &PgServer,
    client: &mut Client,
    ends: Ends,
    minor: u16,
    parameters: Vec<(String, String)>,
    interrupts: &Interrupts,
) -> Result<Session, Stop> {
    let unknown: Vec<&str> = parameters
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with("_pq_."))
        .collect();
    if minor > 0 || !unknown.is_empty() {
        reply::negotiate_protocol_version(&mut client.out, &unknown);
    }
    let startup = startup(parameters)?;
    let catalog = server.engine.store().catalog();
    let role = authenticate(
        client,
        &catalog,
        &server.mock_secret,
        &startup.user,
        ends.client.ip().to_canonical().is_loopback(),
    )
    .await?;
    client.set_authenticated();
    let known = catalog.role(&role);
    server
        .check_place(known.is_some_and(|role| role.superuser))
        .map_err(Stop::Fatal)?;
    let login = Login {
        role,
        database: auth::database(&server.engine.store().catalog(), &startup.database)
            .map_err(Stop::Fatal)?,
        pid: interrupts.pid(),
    };
    tracing::debug!(user = &*login.role.name, database = startup.database, peer = %ends.client, pid = interrupts.pid(), "connected");
    let mut session =
        Session::new(server.engine.clone(), login, startup.settings).map_err(Stop::Fatal)?;
    let asker = interrupts.asker();
    session.show(ends, move |signal| match signal {
        Signal::Cancel => asker.ask(Ask::CANCEL),
        Signal::Terminate => asker.ask(Ask::TERMINATE),
    });
    session.allow_temporary();
    reply::authentication_ok(&mut client.out);
    for (name, value) in session.reported_settings() {
        reply::parameter_status(&mut client.out, &name, &value);
    }
    reply::backend_key_data(&mut client.out, interrupts.pid(), interrupts.secret());
    send_notices(&mut session, client);
    reply::ready_for_query(&mut client.out, session.transaction_status());
    Ok(session)
}

/// What a client says of itself at the start.
#[derive(Default)]
struct Startup {
    user: String,
    database: String,
    settings: BTreeMap<String, String>,
}

fn startup(parameters: Vec<(String, String)>) -> Result<Startup, Stop> {
    let fatal = |kind, message: &str| Stop::Fatal(SqlError::new(kind, message));
    let mut startup = Startup::default();
    for (name, value) in parameters {
        match name.as_str() {
            "user" => startup.user = value,
            "database" => startup.database = value,
            "options" => startup.settings.extend(command_line_settings(&value)),
            "replication" if matches!(value.as_str(), "0" | "false" | "off" | "no") => {}
            "replication" => {
                return Err(fatal(
                    ErrorKind::FeatureNotSupported,
                    "replication connections are not supported",
                ));
            }
            name if name.starts_with("_pq_.") => {}
            _ => {
                startup.settings.insert(name, value);
            }
        }
    }
    if startup.user.is_empty() {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(fatal(ErrorKind::InvalidAuthorization, message));
    }
    if startup.database.is_empty() {
        startup.database = startup.user.clone();
    }
    Ok(startup)
}

/// The settings in `-c name=value --name=value`; a backslash keeps the space after it.
fn command_line_settings(options: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words
                .last_mut()
                .expect("never empty")
                .extend(characters.next()),
            space if space.is_whitespace() => words.push(String::new()),
            other => words.last_mut().expect("never empty").push(other),
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--") {
            Some(assignment) => Some(assignment.to_string()),
            None if word == "-c" => words.next(),
            None => word.strip_prefix("-c").map(str::to_string),
        };
        if let Some((name, value)) = assignment
            .as_deref()
            .and_then(|assignment| assignment.split_once('='))
        {
            settings.push((name.replace('-', "_"), value.to_string()));
        }
    }
    settings
}

/// Passes on what the session has to tell besides results.
pub(super) fn send_notices(session: &mut Session, client: &mut Client) {
    for notice in session.take_notices() {
        match notice {
            Notice::Message { severity, error } => {
                reply::notice(&mut client.out, severity, sqlstate(error.kind), &error);
            }
            Notice::Parameter { name, value } => {
                reply::parameter_status(&mut client.out, &name, &value)
            }
        }
    }
}

impl Connection {
    /// A message came that makes the session work.
    pub(super) fn statement_begins(&mut self) {
        let timeout = self.session.statement_timeout();
        self.interrupts.statement_begins(timeout);
    }

    /// Ends the connection, for a reason that the client is told.
    async fn close(&mut self, stop: Stop) {
        // Rolls back what is open before the client hears that it is over.
        self.session.abort();
        farewell(&mut self.client, stop).await;
        if let Err(error) = self.session.drop_temporary().await {
            tracing::warn!(%error, "temporary tables stay until the server starts again");
        }
    }

    /// Does what a message says. An `Err` ends the connection.
    ///
    /// Each kind of message has a future of its own: it is there as long as a subscription that it began.
    fn step(&mut self, message: Incoming) -> BoxFuture<'_, Result<(), Stop>> {
        if self.idle && self.session.transaction_status() == TransactionStatus::Idle {
            self.channels.wake();
        }
        if let Ok(Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_)) = message {
            // What is left of a COPY that has failed: it asks for nothing, so what was answered does not wait for more.
            return std::future::ready(Ok(())).boxed();
        }
        self.idle = false;
        self.client.answers();
        match message {
            Err(malformed) => self.refuse(malformed).boxed(),
            Ok(message @ (Frontend::Terminate | Frontend::Sync)) => self.dispatch(message).boxed(),
            Ok(_) if self.skipping => std::future::ready(Ok(())).boxed(),
            Ok(Frontend::Query(sql)) => self.query(sql).boxed(),
            Ok(Frontend::Parse { name, sql, types }) => async move {
                let done = self.parse(name, &sql, &types).await;
                self.skip_unless(done)
            }
            .boxed(),
            Ok(Frontend::Bind(bind)) => async move {
                let done = self.bind(bind).await;
                self.skip_unless(done)
            }
            .boxed(),
            Ok(Frontend::Execute { portal, rows_max }) => async move {
                let done = self.execute(&portal, rows_max).await;
                self.skip_unless(done)
            }
            .boxed(),
            Ok(message) => self.dispatch(message).boxed(),
        }
    }

    async fn refuse(&mut self, malformed: Malformed) -> Result<(), Stop> {
        if malformed.fatal {
            return Err(Stop::Fatal(malformed.error));
        }
        if self.skipping {
            return Ok(());
        }
        self.report(&malformed.error);
        match malformed.tag {
            b'Q' => self.ready().await?,
            b'P' | b'B' | b'D' | b'E' | b'C' => self.skipping = true,
            _ => {}
        }
        Ok(())
    }

    async fn query(&mut self, sql: String) -> Result<(), Stop> {
        let done = self.simple_query(sql).await;
        self.survive(done)?;
        self.ready().await
    }

    async fn dispatch(&mut self, message: Frontend) -> Result<(), Stop> {
        match message {
            Frontend::Terminate => Err(Stop::Gone),
            Frontend::Sync => {
                self.skipping = false;
                self.ready().await
            }
            Frontend::Describe(target) => {
                let done = self.describe(&target);
                self.skip_unless(done)
            }
            Frontend::Close(target) => {
                self.close_target(&target);
                Ok(())
            }
            Frontend::Flush => self.client.flush().await,
            Frontend::Password(_) => {
                let message = "invalid frontend message type 112";
                Err(Stop::Fatal(SqlError::new(
                    ErrorKind::ProtocolViolation,
                    message,
                )))
            }
            Frontend::FunctionCall => {
                self.report(&SqlError::unsupported("the function call protocol"));
                self.ready().await
            }
            // What a client still sends after COPY has failed.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            // They have futures of their own.
            Frontend::Query(_)
            | Frontend::Parse { .. }
            | Frontend::Bind(_)
            | Frontend::Execute { .. } => Ok(()),
        }
    }

    /// Ends a message of the extended protocol: after an error nothing more is done until Sync.
    fn skip_unless(&mut self, done: Result<(), Stop>) -> Result<(), Stop> {
        self.skipping = !self.survive(done)?;
        Ok(())
    }

    /// Waits for the next message; meanwhile an idle session gets its notifications.
    async fn next_message(&mut self) -> Result<Incoming, Stop> {
        let since = tokio::time::Instant::now();
        loop {
            if self.interrupts.is_stopping() {
                return Err(admin_shutdown());
            }
            if let Some(message) = self.client.received() {
                return Ok(message);
            }
            // Before Sync and Flush an answer may wait for more, unless it is an error.
            match self.idle || self.skipping {
                true => self.client.flush().await?,
                false => self.client.flush_full().await?,
            }
            let status = self.session.transaction_status();
            let idle_timeout = match self.idle {
                true => self.session.idle_timeout(),
                false => None,
            };
            let idled = async {
                match idle_timeout {
                    // Most have none: it takes no memory of theirs.
                    Some(timeout) => Box::pin(tokio::time::sleep_until(since + timeout)).await,
                    None => std::future::pending().await,
                }
            };
            let listens = status == TransactionStatus::Idle && !self.channels.is_empty();
            let heard = async {
                match listens {
                    // Most listen to nothing: it takes no memory of theirs.
                    true => Box::pin(self.channels.next()).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                message = self.client.receive() => return message,
                heard = heard => self.notify(heard),
                stop = self.interrupts.ended() => return Err(stop),
                () = idled => {
                    let (kind, idle) = match status {
                        TransactionStatus::Idle => (ErrorKind::IdleSessionTimeout, "idle-session"),
                        _ => (ErrorKind::IdleInTransactionTimeout, "idle-in-transaction"),
                    };
                    let message = format!("terminating connection due to {idle} timeout");
                    return Err(Stop::Fatal(SqlError::new(kind, message)));
                }
            }
        }
    }

    /// Reports a statement's error and lets the connection go on; `false` when there was one.
    fn survive(&mut self, done: Result<(), Stop>) -> Result<bool, Stop> {
        match done {
            Ok(()) => Ok(true),
            Err(Stop::Error(error)) => {
                self.report(&error);
                Ok(false)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Fails the open transaction and tells the client.
    pub(super) fn report(&mut self, error: &SqlError) {
        self.session.fail();
        send_notices(&mut self.session, &mut self.client);
        if error.kind == ErrorKind::InternalError {
            tracing::error!(
                pid = self.interrupts.pid(),
                detail = error.detail,
                "internal error: {}",
                error.message
            );
        }
        reply::error(&mut self.client.out, "ERROR", error);
    }

    /// ReadyForQuery, before it the end of an implicit transaction and the notifications that are due.
    async fn ready(&mut self) -> Result<(), Stop> {
        if self.session.commits_at_end() {
            let ended = self
                .interrupts
                .guard(pin!(self.session.end_implicit()))
                .await;
            self.survive(ended)?;
        }
        // Nothing is committed any more: a cancel that comes now is too late to fail what the client was told of.
        let ended = self.session.end_implicit().await;
        self.survive(ended.map_err(Stop::from))?;
        let session = &self.session;
        session.rests();
        self.feeds
            .retain(|name, _| session.cursor_columns(name).is_some());
        if self.session.transaction_status() == TransactionStatus::Idle {
            // Portals end with their transaction.
            self.portals.clear();
            Box::pin(self.change_channels()).await?;
            if !self.channels.is_empty() {
                let visible = self.server.engine.store().visible();
                Box::pin(self.notify_committed(visible)).await?;
            }
        }
        send_notices(&mut self.session, &mut self.client);
        reply::ready_for_query(&mut self.client.out, self.session.transaction_status());
        self.idle = true;
        self.interrupts.deadline_in(None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_startup_packet() {
        let settings = command_line_settings(r"-c search_path=a,\ b --time-zone=UTC -cx=1 -v");
        let expected = [("search_path", "a, b"), ("time_zone", "UTC"), ("x", "1")];
        assert_eq!(
            settings,
            expected.map(|(name, value)| (name.to_string(), value.to_string()))
        );
    }
}
