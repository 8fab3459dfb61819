//! Trimming: flushed changes leave the log when they are older than their table's resume window, or when the log
//! keeps more of them than the table's `resume_bytes`.
//!
//! Guarantees: what leaves the log is in a cold file or dead, so no read of rows misses it; a reader of the
//! feed that wants what left is told `Trimmed`. Does not: touch `key`, or partitions that were not flushed. Of `dead` only
//! the unfiled entries go that the records which leave have made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::catalog::{TableDef, TableId, TableKind};
use crate::changes::decode_commit;
use crate::cold::PartitionState;
use crate::commit::{CommitQueue, OldLog, Request, Shared};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{read_seq, seq_of, version_key};
use crate::record;
use crate::seq::Seq;
use crate::snapshot::{PartitionSet, Snapshot, ttl_ms};
use crate::transaction::Partition;
use crate::{moments, notify};

/// Partitions that one commit trims.
const PARTITIONS_MAX: usize = 1024;
/// Records that it takes out.
const RECORDS_MAX: u64 = 1 << 18;
/// How finely the log is counted by time, in milliseconds.
const SLOT_MS: i64 = 100;
/// Entries of the `commit` family that one commit removes.
const COMMITS_MAX: u64 = 1 << 16;

/// What a trim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrimReport {
    /// Partitions whose logs became shorter.
    pub partitions: u64,
    /// Transactions that left the commit order.
    pub transactions: u64,
}

/// Trims every table that is flushed.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    queue: &CommitQueue,
) -> Result<TrimReport, StorageError> {
    let tables: Vec<_> = {
        let view = shared.view();
        let flushed = |table: &&Arc<TableDef>| table.kind != TableKind::Stream;
        view.tables.values().filter(flushed).cloned().collect()
    };
    let mut report = TrimReport::default();
    for table in tables {
        let id = table.id;
        loop {
            let of = table.clone();
            let found = blocking(shared, move |snapshot| find_old(&snapshot, &of)).await?;
            if found.parts.is_empty() {
                break;
            }
            report.partitions += found.parts.len() as u64;
            let (reply, answer) = oneshot::channel();
            let request = Request::Trim {
                table: id,
                parts: found.parts,
                reply,
            };
            queue.send(request).await?;
            match answer.await.map_err(|_| StorageError::Closed)? {
                Err(StorageError::NoTable(_)) => break,
                answer => answer?,
            }
            if !found.more {
                break;
            }
        }
    }
    if let Some(old) = blocking(shared, |snapshot| notify::find_old(&snapshot)).await? {
        let (reply, answer) = oneshot::channel();
        queue
            .send(Request::TrimNotifications { old, reply })
            .await?;
        answer.await.map_err(|_| StorageError::Closed)??;
    }
    loop {
        let found = blocking(shared, |snapshot| find_old_commits(&snapshot)).await?;
        if found.count == 0 {
            return Ok(report);
        }
        let (reply, answer) = oneshot::channel();
        let request = Request::TrimCommits {
            upto: found.upto,
            marks: found.marks,
            moments_end: found.moments_end,
            reply,
        };
        queue.send(request).await?;
        answer.await.map_err(|_| StorageError::Closed)??;
        report.transactions += found.count;
    }
}

async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    find: impl FnOnce(Snapshot) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || find(shared.snapshot()))
        .await
        .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
}

struct OldParts {
    parts: Vec<OldLog>,
    /// Whether others are left.
    more: bool,
}

fn find_old(snapshot: &Snapshot, table: &TableDef) -> Result<OldParts, StorageError> {
    let states = snapshot.states(table.id, &PartitionSet::All)?;
    let mut last_old = snapshot.oldest_resumable(table)?.previous();
    if let Some(limit) = table.options.resume_bytes {
        last_old = last_old.max(last_beyond(snapshot, table, &states, limit)?);
    }
    let mut found = OldParts {
        parts: Vec::new(),
        more: false,
    };
    let mut records_left = RECORDS_MAX;
    for (partition, state) in states {
        let upto = state.watermark.min(last_old);
        if upto <= state.trimmed {
            continue;
        }
        if found.parts.len() == PARTITIONS_MAX || records_left == 0 {
            found.more = true;
            break;
        }
        let from = version_key(table.id, &partition, state.trimmed.next());
        let to = version_key(table.id, &partition, upto.next());
        let mut part = OldLog {
            partition,
            after: state.trimmed,
            upto,
            bytes: 0,
            superseded: Vec::new(),
        };
        let mut records = snapshot.view.hot.iterate(Family::Log, &from, to);
        let mut last = None;
        while let Some((key, value)) = records.item() {
            if records_left == 0 {
                part.upto = last.unwrap_or(state.trimmed);
                found.more = true;
                break;
            }
            records_left -= 1;
            last = Some(seq_of(key)?);
            part.bytes += value.len() as u64;
            if table.primary_key.is_empty() {
                part.superseded.extend(record::parse(value)?.superseded);
            }
            records.next();
        }
        records.status()?;
        if last.is_some() {
            found.parts.push(part);
        }
    }
    Ok(found)
}

/// The last Seq of the flushed changes that the log must lose to keep no more than `limit` bytes of them, as exactly as
/// a slot of time allows; `ZERO` when it keeps less.
fn last_beyond(
    snapshot: &Snapshot,
    table: &TableDef,
    states: &[(Partition, PartitionState)],
    limit: u64,
) -> Result<Seq, StorageError> {
    let kept = |state: &PartitionState| state.log_bytes.saturating_sub(state.unflushed_bytes);
    let kept: u64 = states.iter().map(|(_, state)| kept(state)).sum();
    if kept <= limit {
        return Ok(Seq::ZERO);
    }
    // Some more than needed, so that the log is not counted through every minute.
    let excess = kept - limit + limit / 8;
    let mut slots: BTreeMap<i64, u64> = BTreeMap::new();
    for (partition, state) in states {
        let from = version_key(table.id, partition, state.trimmed.next());
        let to = version_key(table.id, partition, state.watermark.next());
        let mut records = snapshot.view.hot.iterate(Family::Log, &from, to);
        while let Some((key, value)) = records.item() {
            *slots.entry(seq_of(key)?.unix_ms() / SLOT_MS).or_default() += value.len() as u64;
            records.next();
        }
        records.status()?;
    }
    let mut gone = 0;
    for (slot, bytes) in slots {
        gone += bytes;
        if gone >= excess {
            return Ok(Seq::first_at((slot + 1) * SLOT_MS).previous());
        }
    }
    Ok(Seq::ZERO)
}

struct OldCommits {
    count: u64,
    /// The first Seq of the last of them.
    upto: Seq,
    /// The last change that they tell of, for each USER table.
    marks: HashMap<TableId, Seq>,
    /// Before this time no note of a moment is needed.
    moments_end: i64,
}

/// The oldest entries of the `commit` family that neither a USER table's resume window nor a table's history window
/// needs. For the latter the last entry before them stays, too: it tells that its transaction has ended there.
fn find_old_commits(snapshot: &Snapshot) -> Result<OldCommits, StorageError> {
    let users: HashMap<TableId, Seq> = (snapshot.view.tables.values())
        .filter(|table| table.kind == TableKind::User)
        .map(|table| Ok((table.id, snapshot.oldest_resumable(table)?)))
        .collect::<Result<_, StorageError>>()?;
    let mut bound = users.values().copied().min();
    for table in snapshot.view.tables.values() {
        if table.kind != TableKind::Stream {
            let floor = snapshot.history_floor(table)?;
            bound = Some(bound.map_or(floor, |bound| bound.min(floor)));
        }
    }
    let bound = bound.unwrap_or(snapshot.seq());
    let mut found = OldCommits {
        count: 0,
        upto: Seq::ZERO,
        marks: HashMap::new(),
        moments_end: 0,
    };
    let (mut before, mut ended) = (None, Seq::ZERO);
    let mut commits = (snapshot.view.hot).iterate(Family::Commit, &[], vec![0xFF; 9]);
    while let Some((key, value)) = commits.item() {
        let next = (read_seq(key)?, decode_commit(value)?);
        if next.0 > bound || found.count == COMMITS_MAX {
            break;
        }
        if let Some((first, entry)) = before.replace(next) {
            for extent in &entry.extents {
                if users.contains_key(&extent.table) {
                    let mark = found.marks.entry(extent.table).or_default();
                    *mark = extent.last.max(*mark);
                }
            }
            found.count += 1;
            (found.upto, ended) = (first, entry.last);
        }
        commits.next();
    }
    commits.status()?;
    let windows = snapshot.view.tables.values().flat_map(|table| {
        let options = &table.options;
        [options.resume_window_ms, options.history_window_ms]
            .into_iter()
            .chain(ttl_ms(table))
    });
    let longest_ms = windows.fold(notify::NOTIFICATION_WINDOW_MS, i64::max);
    let since_ms = snapshot.taken_ms.saturating_sub(longest_ms);
    found.moments_end = moments::end_of_old(&snapshot.view.hot, ended, since_ms)?;
    Ok(found)
}
