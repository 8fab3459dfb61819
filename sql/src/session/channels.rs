//! A session's side of LISTEN and NOTIFY: what it has to say and what it was told.

use std::sync::atomic::Ordering;

use tidelog_storage::Seq;

use super::{Notice, Session};
use crate::notify::{ChannelEvent, Outbox};

impl Session {
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
}
