//! LISTEN: a session's channels, and what is told on them as notifications.
//!
//! Guarantees: one commit order over all channels of a session; a client that does not read costs no memory, since
//! everything is read from the log.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use tidelog_sql::notify::{ChannelEvent, ListenTable, ListenTarget, told_by};
use tidelog_sql::{ErrorKind, SqlError, json};
use tidelog_storage::{
    Change, ChangeOp, NotificationBatch, PartitionSet, Seq, StorageError, TableKind,
};
use tidelog_subscriptions::{Following, Listener, SubscriptionError, Tail, listener};
use tokio::time::Instant;

use crate::feed::{Feeds, sql_error};
use crate::interrupts::Stop;
use crate::pg::connection::Connection;
use crate::pg::reply;

/// How many notifications are read at once.
const BATCH_MAX: usize = 1000;
/// A channel on which nothing is told is looked at so often, so that where it stands does not become old.
const REFRESH_EVERY: Duration = Duration::from_secs(600);

/// What is told on a channel.
enum Source {
    /// What NOTIFY says.
    Notifications {
        /// Whether payloads are wrapped in JSON.
        json: bool,
        /// What the channel is called in the log.
        told_as: Arc<str>,
        listener: Listener,
    },
    /// A table's changes.
    Table {
        listen: ListenTable,
        tail: Box<Tail>,
        /// Changes that were read and are not due yet.
        waiting: VecDeque<Change>,
    },
}

struct Channel {
    name: Arc<str>,
    /// Everything up to here was told.
    after: Seq,
    source: Source,
}

impl Channel {
    /// Waits until there may be something to tell. Cancel-safe.
    async fn changed(&mut self) {
        match &mut self.source {
            Source::Notifications { listener, .. } => listener.changed(self.after).await,
            Source::Table { tail, .. } => tail.changed().await,
        }
    }

    /// Whether what NOTIFY says here is wrapped in JSON; `None` on a table's channel.
    fn json(&self) -> Option<bool> {
        match self.source {
            Source::Notifications { json, .. } => Some(json),
            Source::Table { .. } => None,
        }
    }
}

/// What one session listens to.
pub(super) struct Channels {
    feeds: Arc<Feeds>,
    channels: Vec<Channel>,
    /// What was committed when its transaction began: that is told even where the transaction ends with UNLISTEN.
    due: Seq,
    refresh_at: Instant,
}

/// Something to tell the client.
pub(super) enum Heard {
    /// A notification.
    Told {
        seq: Seq,
        pid: i32,
        channel: Arc<str>,
        payload: String,
    },
    /// The catalog has changed under a table's channel, or its table is gone.
    Stale(Arc<str>),
    /// Some of what was told is no longer kept.
    Missed { channel: Arc<str>, upto: Seq },
    /// A channel cannot be read any more.
    Failed(Arc<str>, SqlError),
}

impl Channels {
    pub(super) fn new(feeds: Arc<Feeds>) -> Channels {
        Channels {
            feeds,
            channels: Vec::new(),
            due: Seq::ZERO,
            refresh_at: Instant::now() + REFRESH_EVERY,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Their session, which was idle, has something to do.
    pub(super) fn wake(&mut self) {
        if !self.is_empty() {
            self.due = self.feeds.store.visible();
        }
    }

    pub(super) fn apply(&mut self, event: ChannelEvent) {
        match event {
            ChannelEvent::Listen(target) => self.listen(*target),
            ChannelEvent::Unlisten(name) => self.channels.retain(|channel| *channel.name != *name),
        }
    }

    /// Begins to follow; a channel that is listened to already goes on as it is, unless a Seq was named.
    fn listen(&mut self, target: ListenTarget) {
        let ListenTarget {
            channel: name,
            told_as,
            table,
            after,
            since,
            json,
        } = target;
        let same = |channel: &Channel| match (&channel.source, &table) {
            // The same name may by now mean another table, or be seen by another role.
            (Source::Table { listen, .. }, Some(table)) => listen.scope == table.scope,
            (Source::Notifications { json: before, .. }, None) => *before == json,
            _ => false,
        };
        let known = self.channels.iter().find(|channel| *channel.name == *name);
        if !since && known.is_some_and(same) {
            return;
        }
        let source = match table {
            Some(listen) => self.table_source(listen, after),
            None => Source::Notifications {
                json,
                listener: Listener::new(self.feeds.store.clone(), &self.feeds.hub, told_as.clone()),
                told_as,
            },
        };
        self.channels.retain(|channel| *channel.name != *name);
        self.channels.push(Channel {
            name: name.into(),
            after,
            source,
        });
    }

    fn table_source(&self, listen: ListenTable, after: Seq) -> Source {
        let following = Following::all(listen.scope.clone(), listen.catalog_version);
        Source::Table {
            tail: Box::new(Tail::new(
                &self.feeds.store,
                &self.feeds.hub,
                following,
                after,
            )),
            waiting: VecDeque::new(),
            listen,
        }
    }

    /// Waits for something to tell on any channel, of which there must be one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Vec<Heard> {
        loop {
            // With one channel nothing has to be put in order with what others say.
            let visible = self.feeds.store.visible();
            let fresh = match self.channels.len() {
                1 => Seq::ZERO,
                _ => visible,
            };
            // In memory of its own, which is gone while there is nothing to hear.
            let heard = Box::pin(self.known(fresh, visible)).await;
            if !heard.is_empty() {
                return heard;
            }
            let refresh_at = self.refresh_at;
            let _ = tokio::time::timeout_at(refresh_at, self.wait()).await;
        }
    }

    async fn wait(&mut self) {
        match self.channels.as_mut_slice() {
            [] => std::future::pending().await,
            [channel] => channel.changed().await,
            channels => {
                let waits = channels
                    .iter_mut()
                    .map(|channel| Box::pin(channel.changed()));
                select_all(waits).await;
            }
        }
    }

    /// What is known and was not told, a batch of it at most: all that is committed up to `fresh`, and perhaps more up to
    /// `visible`. Cancel-safe.
    async fn known(&mut self, fresh: Seq, visible: Seq) -> Vec<Heard> {
        self.refresh_at = Instant::now() + REFRESH_EVERY;
        if self.channels.iter().all(|channel| channel.after >= visible) {
            return Vec::new();
        }
        let mut heard = Vec::new();
        // Each source is read up to some Seq; what lies up to the lowest of these can be told in order.
        let mut upto = visible;
        for channel in &mut self.channels {
            let Source::Table { tail, waiting, .. } = &mut channel.source else {
                continue;
            };
            if waiting.is_empty() {
                match tail.committed(fresh).await {
                    Ok(None) => {}
                    Ok(Some(stretch)) => waiting.extend(stretch.into_changes()),
                    Err(error) => {
                        let name = channel.name.clone();
                        heard.push(match error {
                            SubscriptionError::CatalogChanged { .. }
                            | SubscriptionError::TableGone => Heard::Stale(name),
                            SubscriptionError::Trimmed { oldest } => Heard::Missed {
                                channel: name,
                                upto: oldest,
                            },
                            error => Heard::Failed(name, sql_error(error)),
                        });
                        continue;
                    }
                }
            }
            upto = upto.min(tail.position());
        }
        if !heard.is_empty() {
            return heard;
        }
        let told = match self.read_notifications(&mut upto).await {
            Ok(told) => told,
            Err(missed) => return missed,
        };
        for channel in &mut self.channels {
            channel.after = channel.after.max(upto);
            if let Source::Table {
                listen, waiting, ..
            } = &mut channel.source
            {
                while waiting.front().is_some_and(|change| change.seq <= upto)
                    && let Some(change) = waiting.pop_front()
                {
                    heard.push(Heard::Told {
                        seq: change.seq,
                        pid: 0,
                        channel: channel.name.clone(),
                        payload: payload(listen, &change),
                    });
                }
            }
        }
        heard.extend(told);
        heard.sort_by_key(|heard| match heard {
            Heard::Told { seq, .. } => *seq,
            _ => Seq::ZERO,
        });
        heard
    }

    /// What NOTIFY said up to `upto`, which is lowered if there is too much.
    async fn read_notifications(&self, upto: &mut Seq) -> Result<Vec<Heard>, Vec<Heard>> {
        let batches = match self.notifications().await {
            Ok(batches) => batches,
            Err(StorageError::Trimmed { oldest }) => {
                let missed = self
                    .channels
                    .iter()
                    .filter(|channel| channel.json().is_some() && channel.after < oldest);
                return Err(missed
                    .map(|channel| Heard::Missed {
                        channel: channel.name.clone(),
                        upto: oldest,
                    })
                    .collect());
            }
            Err(error) => {
                let error = sql_error(SubscriptionError::Storage(error));
                let plain = self
                    .channels
                    .iter()
                    .filter(|channel| channel.json().is_some());
                return Err(plain
                    .map(|channel| Heard::Failed(channel.name.clone(), error.clone()))
                    .collect());
            }
        };
        *upto = batches.iter().map(|batch| batch.upto).fold(*upto, Seq::min);
        let told = batches.iter().flat_map(|batch| &batch.notifications);
        let told = told.filter(|(seq, _)| seq <= upto).map(|(seq, said)| {
            let mut channels = self.channels.iter();
            let name = told_by(&said.channel);
            let channel = channels.find(|channel| *channel.name == *name);
            let payload = match channel.and_then(Channel::json) {
                Some(true) => wrapped(*seq, &said.payload),
                _ => said.payload.to_string(),
            };
            Heard::Told {
                seq: *seq,
                pid: said.pid,
                channel: name.into(),
                payload,
            }
        });
        Ok(told.collect())
    }

    /// What comes next on the channels of NOTIFY, each with an end of its own.
    async fn notifications(&self) -> Result<Vec<Arc<NotificationBatch>>, StorageError> {
        let mut batches = Vec::new();
        let mut alone = Vec::new();
        for channel in &self.channels {
            let Source::Notifications {
                told_as, listener, ..
            } = &channel.source
            else {
                continue;
            };
            match listener.shared(channel.after, BATCH_MAX).await? {
                Some(batch) => batches.push(batch),
                None => alone.push((told_as.clone(), channel.after)),
            }
        }
        if !alone.is_empty() {
            let batch = listener::read(&self.feeds.store, alone, BATCH_MAX).await?;
            batches.push(Arc::new(batch));
        }
        Ok(batches)
    }

    fn at(&mut self, name: &str) -> Option<&mut Channel> {
        self.channels
            .iter_mut()
            .find(|channel| *channel.name == *name)
    }
}

impl Connection {
    /// LISTEN and UNLISTEN that were committed take effect.
    pub(super) async fn change_channels(&mut self) -> Result<(), Stop> {
        let events = self.session.take_channel_events();
        let ends = |event: &ChannelEvent| matches!(event, ChannelEvent::Unlisten(_));
        if events.iter().any(ends) {
            self.notify_committed(self.channels.due).await?;
        }
        for event in events {
            self.channels.apply(event);
        }
        Ok(())
    }

    /// Tells the client everything that was committed up to a Seq.
    pub(super) async fn notify_committed(&mut self, upto: Seq) -> Result<(), Stop> {
        loop {
            let heard = Box::pin(self.channels.known(upto, upto)).await;
            if heard.is_empty() {
                return Ok(());
            }
            self.notify(heard);
            self.client.flush_full().await?;
        }
    }

    /// Tells the client what was heard.
    pub(super) fn notify(&mut self, heard: Vec<Heard>) {
        for heard in heard {
            match heard {
                Heard::Told {
                    seq,
                    pid,
                    channel,
                    payload,
                } => {
                    reply::notification(&mut self.client.out, pid, &channel, &payload);
                    self.session.heard(seq);
                }
                Heard::Stale(name) => self.renew(&name),
                Heard::Missed { channel, upto } => self.miss(&channel, upto),
                Heard::Failed(name, error) => self.end_channel(&name, &error),
            }
        }
    }

    /// Goes on after a change of the catalog, with the columns as they are now.
    fn renew(&mut self, name: &str) {
        let Some(channel) = self.channels.at(name) else {
            return;
        };
        let Source::Table { listen, tail, .. } = &channel.source else {
            return;
        };
        let position = tail.position();
        match self.session.renew_listen(name, listen) {
            // If the table was truncated meanwhile, the first read says that the position is before its beginning.
            Ok(now) => {
                let source = self.channels.table_source(now, position);
                if let Some(channel) = self.channels.at(name) {
                    channel.source = source;
                }
            }
            Err(error) => self.end_channel(name, &error),
        }
    }

    /// Goes on behind what is no longer kept, and says so.
    fn miss(&mut self, name: &str, upto: Seq) {
        let Some(channel) = self.channels.at(name) else {
            return;
        };
        channel.after = upto;
        let Source::Table { listen, .. } = &channel.source else {
            let message =
                format!("what was told on channel \"{name}\" up to {upto} is no longer kept");
            let notice = SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message);
            return reply::notice(&mut self.client.out, "WARNING", "01000", &notice);
        };
        let listen = listen.clone();
        let source = self.channels.table_source(listen, upto);
        if let Some(channel) = self.channels.at(name) {
            channel.source = source;
        }
        self.tell_reset(name, upto);
    }

    /// Tells a table's listener that it must read the table again.
    fn tell_reset(&mut self, name: &str, seq: Seq) {
        let payload = format!("{{\"seq\":\"{seq}\",\"op\":\"reset\",\"row\":null,\"old\":null}}");
        reply::notification(&mut self.client.out, 0, name, &payload);
    }

    fn end_channel(&mut self, name: &str, reason: &SqlError) {
        self.channels
            .channels
            .retain(|channel| *channel.name != *name);
        self.session.channel_ended(name);
        let message = format!("channel \"{name}\" ends");
        let mut notice = SqlError::new(ErrorKind::UndefinedTable, message);
        notice.detail = Some(format!("{}.", reason.message));
        // 01000 is the class of warnings.
        reply::notice(&mut self.client.out, "WARNING", "01000", &notice);
    }
}

fn wrapped(seq: Seq, said: &str) -> String {
    let mut out = format!("{{\"seq\":\"{seq}\",\"payload\":");
    json::write_string(said, &mut out);
    out.push('}');
    out
}

/// A change as JSON: `row` is the row as it is now, `old` the row as it was; `user` says whose row it is to those who see the rows
/// of all.
fn payload(listen: &ListenTable, change: &Change) -> String {
    let table = &listen.table;
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
    let op = match change.op {
        ChangeOp::Insert => "insert",
        ChangeOp::Update => "update",
        ChangeOp::Delete => "delete",
    };
    let mut out = format!("{{\"seq\":\"{}\",\"op\":\"{op}\"", change.seq);
    if table.kind == TableKind::User && listen.scope.partitions == PartitionSet::All {
        out.push_str(",\"user\":");
        json::write_string(change.partition.as_str(), &mut out);
    }
    let _ = write!(out, ",\"row\":{row},\"old\":{old}}}");
    out
}
