//! Notifications: what NOTIFY says, as records of the log.
//!
//! Owns: their keys and values, reading them back by channel, and how long they are kept. Guarantees: they are
//! written with their transaction, in the one commit order; a reader that comes back within the window misses none.
//! Does not: know who listens.
//!
//! A channel is like a partition whose records are only appended. It has no state of its own, so that a channel costs
//! nothing once its records are gone: keys begin with the hour, and what is old leaves hour by hour.

use std::sync::Arc;

use crate::catalog::TableId;
use crate::changes::FeedScope;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{put_seq, read_seq, scope_key, seq_of};
use crate::moments;
use crate::seq::{EPOCH_UNIX_MS, Seq};
use crate::snapshot::{PartitionSet, Snapshot};
use crate::transaction::Partition;

/// How long notifications are kept.
pub const NOTIFICATION_WINDOW_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;
/// Bytes that one read takes, about.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// What one NOTIFY says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// The channel.
    pub channel: Arc<str>,
    /// The payload.
    pub payload: Arc<str>,
    /// The process id of the session.
    pub pid: i32,
}

/// A stretch of the notifications of some channels.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationBatch {
    /// The notifications with their Seqs, in commit order.
    pub notifications: Vec<(Seq, Notification)>,
    /// Nothing up to this Seq is missing.
    pub upto: Seq,
}

/// The scope under which a channel is watched.
pub fn scope_of(channel: &str) -> FeedScope {
    FeedScope {
        table: TableId::NOTIFICATIONS,
        partitions: PartitionSet::One(Partition::user(channel)),
    }
}

/// The hour that a Seq lies in.
fn hour_of(seq: Seq) -> u32 {
    let hours = (seq.unix_ms() - EPOCH_UNIX_MS) / HOUR_MS;
    u32::try_from(hours).expect("a Seq has at most 41 bits of milliseconds")
}

fn hour_key(hour: u32) -> Vec<u8> {
    let mut key = TableId::NOTIFICATIONS.get().to_be_bytes().to_vec();
    key.extend_from_slice(&hour.to_be_bytes());
    key
}

fn key_of(hour: u32, channel: &Partition, seq: Seq) -> Vec<u8> {
    let mut key = hour_key(hour);
    // A partition's key begins with a table's id, which these have already.
    key.extend_from_slice(&scope_key(TableId::NOTIFICATIONS, channel)[4..]);
    put_seq(&mut key, seq);
    key
}

/// The key and the value of a notification in the `stream` family.
pub(crate) fn encode(seq: Seq, notification: &Notification) -> (Vec<u8>, Vec<u8>) {
    let channel = Partition::user(&notification.channel);
    let mut value = notification.pid.to_be_bytes().to_vec();
    value.extend_from_slice(notification.payload.as_bytes());
    (key_of(hour_of(seq), &channel, seq), value)
}

fn decode_value(value: &[u8]) -> Result<(i32, &str), StorageError> {
    let corrupt = || StorageError::Corrupt("a notification".to_string());
    let (pid, payload) = value.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let payload = std::str::from_utf8(payload).map_err(|_| corrupt())?;
    Ok((i32::from_be_bytes(*pid), payload))
}

/// Whether a key of the `stream` family is a notification's.
pub(crate) fn is_key(key: &[u8]) -> bool {
    key.starts_with(&TableId::NOTIFICATIONS.get().to_be_bytes())
}

/// The Seq of a notification, key and value of which are what `encode` gives.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Seq, StorageError> {
    let seq = seq_of(key)?;
    decode_value(value)?;
    match key.starts_with(&hour_key(hour_of(seq))) {
        true => Ok(seq),
        false => Err(StorageError::Corrupt("a notification's hour".to_string())),
    }
}

/// `Store::read_notifications` on a snapshot.
pub(crate) fn read(
    snapshot: &Snapshot,
    channels: &[(Arc<str>, Seq)],
    limit: usize,
) -> Result<NotificationBatch, StorageError> {
    let oldest = trimmed(snapshot)?;
    let first_hour = first_hour(snapshot)?;
    let mut found = Vec::new();
    let mut upto = snapshot.seq();
    // Each may take its share, so that many channels read no more than one.
    let share = channels.len().max(1);
    let (limit, bytes_max) = ((limit / share).max(1), BATCH_BYTES_MAX / share);
    for (channel, after) in channels {
        if *after < oldest {
            return Err(StorageError::Trimmed { oldest });
        }
        let first = found.len();
        let mut bytes = 0;
        let partition = Partition::user(channel);
        let hours = hour_of(after.next()).max(first_hour)..=hour_of(snapshot.seq());
        'hours: for hour in hours {
            let from = key_of(hour, &partition, after.next());
            let to = key_of(hour, &partition, snapshot.seq().next());
            let mut records = snapshot.view.hot.iterate(Family::Stream, &from, to);
            while let Some((key, value)) = records.item() {
                let seq = seq_of(key)?;
                if found.len() - first == limit || bytes > bytes_max {
                    upto = upto.min(seq.previous());
                    break 'hours;
                }
                let (pid, payload) = decode_value(value)?;
                bytes += value.len();
                found.push((
                    seq,
                    Notification {
                        channel: channel.clone(),
                        payload: payload.into(),
                        pid,
                    },
                ));
                records.next();
            }
            records.status()?;
        }
    }
    found.retain(|(seq, _)| *seq <= upto);
    found.sort_by_key(|(seq, _)| *seq);
    Ok(NotificationBatch {
        notifications: found,
        upto,
    })
}

/// The hour of the oldest notification; far away when there is none.
fn first_hour(snapshot: &Snapshot) -> Result<u32, StorageError> {
    let (from, to) = (hour_key(0), hour_key(u32::MAX));
    let records = snapshot.view.hot.iterate(Family::Stream, &from, to);
    let hour = records.key().and_then(|key| key[4..].first_chunk::<4>());
    let hour = hour.map_or(u32::MAX, |hour| u32::from_be_bytes(*hour));
    records.status()?;
    Ok(hour)
}

/// Up to where notifications are gone.
fn trimmed(snapshot: &Snapshot) -> Result<Seq, StorageError> {
    let key = crate::cold::trimmed_key(TableId::NOTIFICATIONS);
    let mark = snapshot.view.hot.get(Family::Meta, &key)?;
    mark.map_or(Ok(Seq::ZERO), |bytes| read_seq(&bytes))
}

/// What of the notifications is older than their window.
pub(crate) struct Old {
    /// Up to where they go.
    pub(crate) upto: Seq,
    /// The keys of those that there are, from where to where (exclusive).
    pub(crate) range: (Vec<u8>, Vec<u8>),
}

/// Finds the hours that are older than the window, if there is a record in them.
pub(crate) fn find_old(snapshot: &Snapshot) -> Result<Option<Old>, StorageError> {
    let since_ms = snapshot.taken_ms - NOTIFICATION_WINDOW_MS;
    let bound = hour_of(moments::first_since(&snapshot.view.hot, since_ms)?);
    let range = (hour_key(0), hour_key(bound));
    let records = (snapshot.view.hot).iterate(Family::Stream, &range.0, range.1.clone());
    let any = records.valid();
    records.status()?;
    let first_kept = Seq::first_at(EPOCH_UNIX_MS + i64::from(bound) * HOUR_MS);
    Ok(any.then(|| Old {
        upto: first_kept.previous(),
        range,
    }))
}

#[cfg(test)]
mod tests;
