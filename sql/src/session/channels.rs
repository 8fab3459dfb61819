//! A session's side of what lies outside it: LISTEN and NOTIFY, and what others are shown of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidelog_storage::Seq;

use super::{Login, Notice, Session};
use crate::activity::{Activities, Shown};
use crate::notify::{ChannelChange, ChannelEvent, Outbox};
use crate::parse::Parsed;

impl Session {
    /// Who logged in.
    pub(crate) fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// What the client calls itself.
    pub(crate) fn application(&self) -> String {
        let setting = self.settings.get("application_name");
        setting.map_or_else(|_| String::new(), |(_, value)| value)
    }

    pub(crate) fn activities(&self) -> &Arc<Activities> {
        &self.engine.activities
    }

    pub(crate) fn set_shown(&mut self, shown: Shown) {
        self.shown = Some(shown);
    }

    pub(crate) fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// Tells pg_stat_activity which statement begins.
    pub(super) fn begins(&self, statement: &Parsed) {
        if let Some(shown) = &self.shown {
            let transaction = self.work.started.timestamp_micros();
            shown.begins(statement.source(), &self.application(), transaction);
        }
    }

    /// The server-side process id of its connection.
    pub(crate) fn pid(&self) -> i32 {
        self.login.pid
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn push_notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// What has changed of the channels that the session listens to, since the last call.
    pub fn take_channel_events(&mut self) -> Vec<ChannelEvent> {
        std::mem::take(&mut self.channel_events)
    }

    /// The client was told a notification with this Seq.
    pub fn heard(&self, seq: Seq) {
        self.heard.store(seq.as_i64(), Ordering::Relaxed);
    }

    /// A channel that was listened to is gone.
    pub fn channel_ended(&mut self, channel: &str) {
        self.listening.remove(channel);
    }

    /// What takes effect with the commit: cursors outlive it, LISTEN and UNLISTEN.
    pub(super) fn committed(&mut self, changes: Vec<ChannelChange>, visible: Seq) {
        self.keep_cursors();
        self.forget_on_commit();
        let mut later = changes.into_iter();
        while let Some(change) = later.next() {
            match change {
                ChannelChange::Listen(mut target) => {
                    if !target.since {
                        target.after = visible;
                    }
                    self.listening.insert(target.channel.clone());
                    self.channel_events.push(ChannelEvent::Listen(target));
                }
                ChannelChange::Unlisten(channel) => {
                    let of = match channel {
                        Some(channel) => BTreeSet::from([channel]),
                        None => self.listening.clone(),
                    };
                    // What the transaction listens to again goes on: nothing that was said meanwhile is left out.
                    let again = |channel: &String| {
                        let mut later = later.as_slice().iter();
                        later.any(|change| match change {
                            ChannelChange::Listen(target) => target.channel == *channel,
                            ChannelChange::Unlisten(_) => false,
                        })
                    };
                    for channel in of.into_iter().filter(|channel| !again(channel)) {
                        self.listening.remove(&channel);
                        let event = ChannelEvent::Unlisten(channel);
                        self.channel_events.push(event);
                    }
                }
            }
        }
    }
}
