//! LISTEN "schema.table": a session's channels, and changes as notifications.

use std::sync::Arc;

use futures::future::select_all;
use tidelog_sql::subscribe::ListenTarget;
use tidelog_sql::{ErrorKind, SqlError, json};
use tidelog_storage::{Change, ChangeOp, FeedScope, Seq, Store, TableDef};
use tidelog_subscriptions::{SubscriptionError, Tail};

use crate::feed::{op_name, sql_error};
use crate::pg::connection::Connection;
use crate::pg::reply;

struct Channel {
    name: String,
    table: Arc<TableDef>,
    scope: FeedScope,
    tail: Tail,
}

/// What one session listens to.
pub(super) struct Channels {
    store: Arc<Store>,
    channels: Vec<Channel>,
}

/// What happened on the channel at `index`.
pub(super) struct Arrived {
    index: usize,
    result: Result<Vec<Change>, SubscriptionError>,
}

impl Channels {
    pub(super) fn new(store: Arc<Store>) -> Channels {
        Channels {
            store,
            channels: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Begins to follow a table; a channel that is listened to already goes on as it is.
    pub(super) fn listen(&mut self, target: ListenTarget) {
        let ListenTarget {
            channel: name,
            table,
            scope,
            after,
        } = target;
        if self
            .channels
            .iter()
            .all(|channel| channel.name != name || channel.scope != scope)
        {
            // The same name may by now mean another table, or be seen by another role.
            self.channels.retain(|channel| channel.name != name);
            let tail = self.tail(&table, &scope, after);
            self.channels.push(Channel {
                name,
                table,
                scope,
                tail,
            });
        }
    }

    pub(super) fn unlisten(&mut self, name: Option<&str>) {
        self.channels
            .retain(|channel| name.is_some_and(|name| name != channel.name));
    }

    fn tail(&self, table: &TableDef, scope: &FeedScope, after: Seq) -> Tail {
        Tail::new(
            self.store.clone(),
            scope.clone(),
            table.schema_version,
            None,
            after,
        )
    }

    /// Waits for the next changes on any channel, of which there must be one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Arrived {
        if self.channels.is_empty() {
            return std::future::pending().await;
        }
        let waits = self
            .channels
            .iter_mut()
            .map(|channel| Box::pin(channel.tail.next()));
        let (result, index, _) = select_all(waits).await;
        Arrived { index, result }
    }

    /// Changes that are committed already, of the first channel that has any.
    pub(super) async fn committed(&mut self) -> Option<Arrived> {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            match channel.tail.committed().await {
                Ok(changes) if changes.is_empty() => {}
                result => return Some(Arrived { index, result }),
            }
        }
        None
    }

    /// Goes on after an ALTER TABLE, with the columns as they are now.
    fn renew(&mut self, index: usize, resume_after: Seq) -> bool {
        let catalog = self.store.catalog();
        let Some(table) = catalog.table_by_id(self.channels[index].scope.table) else {
            return false;
        };
        let tail = self.tail(table, &self.channels[index].scope, resume_after);
        self.channels[index].table = table.clone();
        self.channels[index].tail = tail;
        true
    }
}

impl Connection {
    /// Tells the client what arrived.
    pub(super) fn notify(&mut self, arrived: Arrived) {
        let Arrived { index, result } = arrived;
        match result {
            Ok(changes) => {
                let channel = &self.channels.channels[index];
                for change in &changes {
                    let payload = payload(&channel.table, change);
                    reply::notification(&mut self.client.out, self.pid, &channel.name, &payload);
                }
            }
            Err(SubscriptionError::SchemaChanged { resume_after })
                if self.channels.renew(index, resume_after) => {}
            Err(error) => {
                let Channel { name, table, .. } = self.channels.channels.remove(index);
                let reason = sql_error(error, &table);
                let mut notice = SqlError::new(
                    ErrorKind::UndefinedTable,
                    format!("channel \"{name}\" ends"),
                );
                notice.detail = Some(format!("{}.", reason.message));
                // 01000 is the class of warnings.
                reply::notice(&mut self.client.out, "WARNING", "01000", &notice);
            }
        }
    }
}

/// A change as JSON: `row` is the row as it is now, `old` the row as it was.
fn payload(table: &TableDef, change: &Change) -> String {
    let row = json::row_object(table, &change.row);
    let null = || "null".to_string();
    let (row, old) = match change.op {
        ChangeOp::Delete => (null(), row),
        ChangeOp::Insert | ChangeOp::Update => (
            row,
            change
                .old
                .as_ref()
                .map_or_else(null, |old| json::row_object(table, old)),
        ),
    };
    let (seq, op) = (change.seq, op_name(change.op));
    format!("{{\"seq\":\"{seq}\",\"op\":\"{op}\",\"row\":{row},\"old\":{old}}}")
}
