//! Trimming: flushed changes leave the log when they are older than their table's resume window.
//!
//! Guarantees: what leaves the log is in a cold file or dead, so no read of rows misses it; a reader of the
//! feed that wants what left is told `Trimmed`. Does not: touch `key` and `dead`, or partitions that were not flushed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::catalog::{TableDef, TableId, TableKind};
use crate::changes::decode_commit;
use crate::commit::{CommitQueue, Request, Shared};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{read_seq, version_key};
use crate::notify;
use crate::seq::Seq;
use crate::snapshot::{PartitionSet, Snapshot, oldest_resumable};
use crate::transaction::Partition;

/// Partitions that one commit trims.
const PARTITIONS_MAX: usize = 1024;
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
        let found = blocking(shared, move |snapshot| find_old(&snapshot, &table)).await?;
        for parts in found.parts.chunks(PARTITIONS_MAX) {
            let (reply, answer) = oneshot::channel();
            let request = Request::Trim {
                table: found.table,
                parts: parts.to_vec(),
                reply,
            };
            queue.send(request).await?;
            match answer.await.map_err(|_| StorageError::Closed)? {
                Err(StorageError::NoTable(_)) => break,
                answer => answer?,
            }
            report.partitions += parts.len() as u64;
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
    let work = move || find(Snapshot::new(shared.view(), shared.generator.now_ms()));
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
}

struct OldParts {
    table: TableId,
    /// Partitions with records in the log that may leave, and up to where.
    parts: Vec<(Partition, Seq)>,
}

fn find_old(snapshot: &Snapshot, table: &TableDef) -> Result<OldParts, StorageError> {
    let last_old = oldest_resumable(table, snapshot.taken_ms).previous();
    let mut parts = Vec::new();
    for (partition, state) in snapshot.states(table.id, &PartitionSet::All)? {
        let upto = state.watermark.min(last_old);
        if upto <= state.trimmed {
            continue;
        }
        let from = version_key(table.id, &partition, state.trimmed.next());
        let to = version_key(table.id, &partition, upto.next());
        let records = snapshot.view.hot.iterate(Family::Log, &from, to);
        if records.valid() {
            parts.push((partition, upto));
        }
        records.status()?;
    }
    Ok(OldParts {
        table: table.id,
        parts,
    })
}

struct OldCommits {
    count: u64,
    /// The first Seq of the last of them.
    upto: Seq,
    /// The last change that they tell of, for each USER table.
    marks: HashMap<TableId, Seq>,
}

/// The oldest entries of the `commit` family that no USER table's window needs. The newest one stays whatever
/// its age: it tells the newest Seq.
fn find_old_commits(snapshot: &Snapshot) -> Result<OldCommits, StorageError> {
    let users: HashMap<TableId, Seq> = (snapshot.view.tables.values())
        .filter(|table| table.kind == TableKind::User)
        .map(|table| (table.id, oldest_resumable(table, snapshot.taken_ms)))
        .collect();
    let bound = users.values().min().copied().unwrap_or(snapshot.seq());
    let mut found = OldCommits {
        count: 0,
        upto: Seq::ZERO,
        marks: HashMap::new(),
    };
    let mut commits = (snapshot.view.hot).iterate(Family::Commit, &[], vec![0xFF; 9]);
    while let Some((key, value)) = commits.item() {
        let (first, entry) = (read_seq(key)?, decode_commit(value)?);
        if entry.last >= bound || entry.last >= snapshot.seq() || found.count == COMMITS_MAX {
            break;
        }
        for extent in &entry.extents {
            if users.contains_key(&extent.table) {
                let mark = found.marks.entry(extent.table).or_default();
                *mark = extent.last.max(*mark);
            }
        }
        found.count += 1;
        found.upto = first;
        commits.next();
    }
    commits.status()?;
    Ok(found)
}
