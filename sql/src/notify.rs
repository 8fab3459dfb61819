//! NOTIFY and LISTEN: what a transaction has to say, and what a session listens to.
//!
//! Guarantees: both take effect when the transaction commits, in its order, and not at all when it does not.
//! Does not: deliver anything.

use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use tidelog_storage::{Catalog, DatabaseId, FeedScope, Notification, Seq, TableDef};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::output;
use crate::parse::Listen;
use crate::parse::walk::Walk;
use crate::provider::blocking;
use crate::session::{Login, Notice, Outcome, Session};
use crate::subscribe::literal_options;

/// Bytes of one payload.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Bytes of a channel's name, as of any identifier.
const CHANNEL_BYTES_MAX: usize = 63;
/// Bytes of what one transaction may say.
const SAID_BYTES_MAX: usize = 256 << 20;

/// What the transaction under way has to say. `pg_notify` adds to it while a plan runs.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    list: Vec<Notification>,
    /// Those in the list, since saying the same twice is saying it once.
    set: HashSet<Notification>,
    bytes: usize,
}

impl Outbox {
    fn say(&self, notification: Notification) -> Result<(), SqlError> {
        let wrong = |message: &str| Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
        match told_by(&notification.channel).len() {
            0 => return wrong("channel name cannot be empty"),
            1..=CHANNEL_BYTES_MAX => {}
            _ => return wrong("channel name too long"),
        }
        if notification.payload.len() > PAYLOAD_BYTES_MAX {
            return wrong("payload string too long");
        }
        let mut said = self.0.lock();
        if said.set.insert(notification.clone()) {
            said.bytes += notification.payload.len() + notification.channel.len() + 64;
            said.list.push(notification);
        }
        if said.bytes > SAID_BYTES_MAX {
            let message = format!(
                "a transaction's notifications exceed {} MiB",
                SAID_BYTES_MAX >> 20
            );
            return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
        }
        Ok(())
    }

    /// How many there are: a mark for `truncate`.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().list.len()
    }

    /// Forgets all but the first `len`.
    pub(crate) fn truncate(&self, len: usize) {
        let mut said = self.0.lock();
        let len = len.min(said.list.len());
        for gone in said.list.split_off(len) {
            said.bytes -= gone.payload.len() + gone.channel.len() + 64;
            said.set.remove(&gone);
        }
    }

    /// Takes them all.
    pub(crate) fn take(&self) -> Vec<Notification> {
        std::mem::take(&mut *self.0.lock()).list
    }
}

/// What a database's channel is called in the log: each database has channels of its own.
fn told_as(database: DatabaseId, channel: &str) -> Arc<str> {
    match database {
        DatabaseId::FIRST => channel.into(),
        // No channel has such a character in its name.
        other => format!("{}\0{channel}", other.oid()).into(),
    }
}

/// The channel that is called so in the log.
pub fn told_by(told_as: &str) -> &str {
    told_as
        .split_once('\0')
        .map_or(told_as, |(_, channel)| channel)
}

/// A LISTEN or UNLISTEN that waits for its transaction's commit.
#[derive(Clone, Debug)]
pub(crate) enum ChannelChange {
    Listen(Box<ListenTarget>),
    Unlisten(Option<String>),
}

/// Something that changes what a connection is to be told.
#[derive(Clone, Debug)]
pub enum ChannelEvent {
    /// It listens to a channel, if it did not before.
    Listen(Box<ListenTarget>),
    /// It does not listen to this channel any more.
    Unlisten(String),
}

/// What LISTEN follows.
#[derive(Clone, Debug)]
pub struct ListenTarget {
    /// The channel as the client named it.
    pub channel: String,
    /// What the channel is called in the log.
    pub told_as: Arc<str>,
    /// The table whose changes it carries; `None` when it carries what NOTIFY says.
    pub table: Option<ListenTable>,
    /// From here on: strictly after this Seq.
    pub after: Seq,
    /// Whether the client named that Seq.
    pub since: bool,
    /// Whether payloads of NOTIFY are wrapped in JSON that holds their Seq.
    pub json: bool,
}

/// A table whose changes are listened to.
#[derive(Clone, Debug)]
pub struct ListenTable {
    /// The table.
    pub table: Arc<TableDef>,
    /// Whose changes.
    pub scope: FeedScope,
    /// The version of the catalog that these are of.
    pub catalog_version: u64,
}

impl Session {
    /// NOTIFY.
    pub(crate) fn notify(
        &mut self,
        channel: &ast::Ident,
        payload: Option<&str>,
    ) -> Result<Outcome, SqlError> {
        let channel = channel_name(channel)?;
        self.outbox().say(Notification {
            channel: told_as(self.login().database, &channel),
            payload: payload.unwrap_or_default().into(),
            pid: self.pid(),
        })?;
        Ok(Outcome::Command("NOTIFY".to_string()))
    }

    /// LISTEN.
    pub(crate) async fn listen(&mut self, listen: &Listen) -> Result<Outcome, SqlError> {
        let channel = channel_name(&listen.channel)?;
        let snapshot = self.store().snapshot();
        let catalog = snapshot.catalog().looking_into(self.login().database);
        let table = self.listen_table(&channel, &catalog);
        if table.is_none() {
            if channel.len() > CHANNEL_BYTES_MAX {
                let message = "channel name too long";
                return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
            }
            if let Some((schema, _)) = channel.split_once('.')
                && catalog.schemas.contains(schema)
            {
                let message = format!("there is no table \"{channel}\", the channel is for NOTIFY");
                self.notice("NOTICE", SqlError::new(ErrorKind::UndefinedTable, message));
            }
        }
        let mut target = ListenTarget {
            told_as: told_as(self.login().database, &channel),
            channel,
            table,
            after: snapshot.seq(),
            since: false,
            json: false,
        };
        for (name, value) in literal_options(&listen.options)? {
            let invalid = |hint| {
                let value = value.unwrap_or_default();
                let message = format!("invalid value for LISTEN option \"{name}\": \"{value}\"");
                SqlError::new(ErrorKind::InvalidParameterValue, message).hint(hint)
            };
            match (name, value) {
                // As if it were not given.
                ("since" | "envelope", None) => {}
                ("since", Some(value)) => {
                    let since = crate::subscribe::seq(value)?;
                    let since = since.filter(|since| *since <= snapshot.seq());
                    target.after = since
                        .ok_or_else(|| invalid("It is the Seq of a notification or a change."))?;
                    target.since = true;
                }
                ("envelope", Some(value)) => {
                    target.json = match value {
                        "json" => true,
                        "payload" => false,
                        _ => return Err(invalid("It is 'payload' or 'json'.")),
                    }
                }
                _ => {
                    let message = format!("unrecognized LISTEN option \"{name}\"");
                    return Err(SqlError::new(ErrorKind::InvalidParameterValue, message)
                        .hint("There are since and envelope."));
                }
            }
        }
        if target.since {
            self.check_kept(&target).await?;
        }
        self.change_channels(ChannelChange::Listen(Box::new(target)));
        Ok(Outcome::Command("LISTEN".to_string()))
    }

    /// 55000 when what came after the channel's Seq is not there any more.
    async fn check_kept(&self, target: &ListenTarget) -> Result<(), SqlError> {
        let (store, target) = (self.store().clone(), target.clone());
        let read = blocking(move || match &target.table {
            Some(table) => store.read_changes(&table.scope, target.after, 1).map(drop),
            None => {
                let channel = [(target.told_as.clone(), target.after)];
                store.read_notifications(&channel, 1).map(drop)
            }
        });
        read.await.map_err(|error| match error.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref() {
                Some(tidelog_storage::StorageError::Trimmed { oldest }) => {
                    let message = format!("what was told up to {oldest} is no longer kept");
                    SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message).hint(
                        "Listen without since, and read again what the notifications are about.",
                    )
                }
                _ => SqlError::new(ErrorKind::IoError, inner.to_string()),
            },
            _ => crate::error::from_datafusion(error),
        })
    }

    /// The table that a channel is named after, as this session sees it.
    fn listen_table(&self, channel: &str, catalog: &Catalog) -> Option<ListenTable> {
        let path = self.search_path();
        // Either name may have dots of its own.
        let table = channel.match_indices('.').find_map(|(dot, _)| {
            let schema = ddl::temp::resolved(&path, &channel[..dot])?;
            catalog.table(schema, &channel[dot + 1..])
        })?;
        Some(ListenTable {
            scope: FeedScope {
                table: table.id,
                partitions: self.access(catalog).partitions(table),
            },
            table: table.clone(),
            catalog_version: catalog.version,
        })
    }

    /// What a channel of a table follows now that the catalog has changed; an error when it may not any more.
    pub fn renew_listen(
        &self,
        channel: &str,
        before: &ListenTable,
    ) -> Result<ListenTable, SqlError> {
        let catalog = self.committed_catalog();
        self.check_roles(&catalog)?;
        let Some(now) = self.listen_table(channel, &catalog) else {
            let message = format!("there is no table \"{channel}\" any more");
            return Err(SqlError::new(ErrorKind::UndefinedTable, message));
        };
        if now.scope.partitions != before.scope.partitions {
            let message = format!("the rights of role \"{}\" have changed", self.role_name());
            return Err(SqlError::new(ErrorKind::InsufficientPrivilege, message));
        }
        Ok(now)
    }

    /// Passes a NOTICE or WARNING to the client.
    pub(crate) fn notice(&mut self, severity: &'static str, error: SqlError) {
        self.push_notice(Notice::Message { severity, error });
    }
}

/// A channel as a statement names it.
fn channel_name(name: &ast::Ident) -> Result<String, SqlError> {
    let name = ddl::fold(name);
    if name.is_empty() {
        let message = "zero-length delimited identifier at or near \"\"\"\"";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    Ok(name)
}

/// `pg_notify(channel, payload)`: says something for every row.
#[derive(Debug)]
struct PgNotify {
    outbox: Arc<Outbox>,
    pid: i32,
    database: DatabaseId,
    signature: Signature,
}

impl PartialEq for PgNotify {
    fn eq(&self, other: &PgNotify) -> bool {
        Arc::ptr_eq(&self.outbox, &other.outbox)
    }
}

impl Eq for PgNotify {}

impl Hash for PgNotify {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.outbox).hash(state);
    }
}

/// The set-returning function that lists what a session listens to, and the array that it is made from.
pub(crate) const PG_LISTENING_CHANNELS: &str = "pg_listening_channels";
pub(crate) const CHANNELS_ARRAY: &str = "listening_channels_array";

/// The name of the function that says something.
pub(crate) const PG_NOTIFY: &str = "pg_notify";

/// The function `pg_notify` of a session.
pub(crate) fn pg_notify(outbox: Arc<Outbox>, login: &Login) -> Arc<ScalarUDF> {
    let text = vec![DataType::Utf8, DataType::Utf8];
    Arc::new(ScalarUDF::from(PgNotify {
        outbox,
        pid: login.pid,
        database: login.database,
        signature: Signature::exact(text, Volatility::Volatile),
    }))
}

impl ScalarUDFImpl for PgNotify {
    fn name(&self) -> &str {
        PG_NOTIFY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::new(output::void(PG_NOTIFY)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let text = |at: usize| cast(&arrays[at], &DataType::Utf8);
        let (channels, payloads) = (text(0)?, text(1)?);
        let (channels, payloads) = (channels.as_string::<i32>(), payloads.as_string::<i32>());
        for row in 0..channels.len().min(rows) {
            // PostgreSQL takes NULL for nothing, too.
            let value = |array: &StringArray| match array.is_valid(row) {
                true => array.value(row).to_string(),
                false => String::new(),
            };
            let said = Notification {
                channel: told_as(self.database, &value(channels)),
                payload: value(payloads).into(),
                pid: self.pid,
            };
            self.outbox
                .say(said)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        // PostgreSQL's void is shown as nothing.
        Ok(ColumnarValue::Array(Arc::new(
            StringArray::from_iter_values(std::iter::repeat_n("", rows)),
        )))
    }
}

/// Whether a query calls `pg_notify`.
pub(crate) fn says_something(query: &ast::Query) -> bool {
    query.has_expr(|expr| {
        let ast::Expr::Function(call) = expr else {
            return false;
        };
        let name = call.name.0.last().and_then(|part| part.as_ident());
        name.is_some_and(|name| name.value.eq_ignore_ascii_case(PG_NOTIFY))
    })
}

/// Texts as an array.
pub(crate) fn text_list(texts: &BTreeSet<String>) -> ScalarValue {
    let texts: Vec<ScalarValue> = texts
        .iter()
        .map(|text| ScalarValue::from(text.as_str()))
        .collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&texts, &DataType::Utf8))
}
