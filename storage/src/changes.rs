//! The change feed: committed changes read back from the log, in commit order.

use std::sync::Arc;

use crate::catalog::{TableDef, TableId, TableKind};
use crate::cold::take_seq;
use crate::datum::Row;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{put_seq, seq_bytes, seq_of, version_key};
use crate::record::{self, RowReader, put_varint, take_bytes, take_varint};
use crate::seq::Seq;
use crate::snapshot::{PartitionSet, Snapshot, rows_family};
use crate::transaction::Partition;
use crate::watch::Scope;

/// Whose changes a reader wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedScope {
    /// The table's data.
    pub table: TableId,
    /// Which partitions.
    pub partitions: PartitionSet,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOp {
    /// A row came.
    Insert,
    /// A row was replaced.
    Update,
    /// A row went.
    Delete,
}

/// One committed change of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its Seq.
    pub seq: Seq,
    /// What it did.
    pub op: ChangeOp,
    /// The partition it happened in.
    pub partition: Partition,
    /// The new row; for a delete the row that went. In the order of the table's present columns.
    pub row: Row,
    /// For an update, the row before.
    pub old: Option<Row>,
    /// Whether it is the last one that its transaction made in the scope that is read.
    pub ends_transaction: bool,
}

/// A stretch of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeBatch {
    /// The changes, in commit order.
    pub changes: Vec<Change>,
    /// Nothing of the scope up to this Seq is missing: the next read continues after it.
    pub upto: Seq,
    /// The version of the catalog in whose columns the rows are.
    pub catalog_version: u64,
    /// Bytes of the records, about.
    pub bytes: usize,
}

/// Bytes of records that one read of the feed takes, about; more changes come with the next read.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Reading so many changes, of so many bytes, and looking at so many commits for them, takes a moment.
const FEW_CHANGES: usize = 64;
const FEW_BYTES: usize = 64 << 10;
const FEW_COMMITS: usize = 256;

/// Wakes its holder when a commit touches its scope.
#[derive(Clone)]
pub struct CommitWatch {
    scope: Arc<Scope>,
    newest: tokio::sync::watch::Receiver<Seq>,
}

impl CommitWatch {
    pub(crate) fn new(scope: Arc<Scope>) -> CommitWatch {
        CommitWatch {
            newest: scope.subscribe(),
            scope,
        }
    }

    /// Waits until a commit after `after` has touched the scope, or the store closes. May return early;
    /// never misses a commit. Cancel-safe.
    pub async fn changed(&mut self, after: Seq) {
        // The sender lives in the scope that this watch holds, so waiting cannot fail.
        let _ = self.newest.wait_for(|newest| *newest > after).await;
    }

    /// Up to where it is known, without a look at the log, that no commit after `after` has touched the scope; `None` when one
    /// has, the catalog was changed or the store closed. It may be behind what is visible, by a commit that is being told.
    pub fn quiet_upto(&self, after: Seq) -> Option<Seq> {
        self.scope.quiet_upto(after)
    }
}

/// `Store::read_changes` on a snapshot.
pub(crate) fn read(
    snapshot: &Snapshot,
    scope: &FeedScope,
    after: Seq,
    limit: usize,
) -> Result<ChangeBatch, StorageError> {
    let (batch, _) = read_most(snapshot, scope, after, Most::batch(limit))?;
    Ok(batch)
}

/// `Store::read_few_changes` on a snapshot.
pub(crate) fn read_few(
    snapshot: &Snapshot,
    scope: &FeedScope,
    after: Seq,
    limit: usize,
) -> Result<Option<ChangeBatch>, StorageError> {
    let (batch, cut) = read_most(snapshot, scope, after, Most::few(limit))?;
    Ok((!cut).then_some(batch))
}

/// How much a read takes at most.
#[derive(Clone, Copy)]
struct Most {
    changes: usize,
    bytes: usize,
    /// Commits that it looks at.
    commits: usize,
    /// Whether it takes none that is larger.
    strict: bool,
}

impl Most {
    fn batch(limit: usize) -> Most {
        Most {
            changes: limit.max(1),
            bytes: BATCH_BYTES_MAX,
            commits: usize::MAX,
            strict: false,
        }
    }

    fn few(limit: usize) -> Most {
        Most {
            changes: limit.clamp(1, FEW_CHANGES),
            bytes: FEW_BYTES,
            commits: FEW_COMMITS,
            strict: true,
        }
    }
}

/// What follows, and whether there is more of it.
fn read_most(
    snapshot: &Snapshot,
    scope: &FeedScope,
    after: Seq,
    most: Most,
) -> Result<(ChangeBatch, bool), StorageError> {
    let table = snapshot.table(scope.table)?.clone();
    let mut oldest = snapshot.trimmed(&table, &scope.partitions)?;
    if after > Seq::ZERO {
        // Who stands before the table was made, or truncated, has rows of what was there then.
        let history = snapshot.history(table.id)?;
        oldest = history.map_or(oldest, |history| oldest.max(history.created));
        oldest = oldest.max(expired(snapshot, &table, after)?);
    }
    if after < oldest {
        return Err(StorageError::Trimmed { oldest });
    }
    let mut reader = ChangeReader {
        snapshot,
        rows: RowReader::whole(table.clone()),
        after,
        oldest: snapshot.oldest(&table)?,
        table,
        limit: most.changes,
        bytes_left: most.bytes,
        most,
        changes: Vec::new(),
    };
    let cut = match (&scope.partitions, reader.table.kind) {
        (PartitionSet::One(partition), _) => {
            reader.read_range(partition, Seq::ZERO, snapshot.seq())?
        }
        (PartitionSet::All, TableKind::User) => reader.read_commits()?,
        (PartitionSet::All, TableKind::Shared | TableKind::Stream) => {
            reader.read_range(&Partition::shared(), Seq::ZERO, snapshot.seq())?
        }
    };
    let upto = match reader.changes.last() {
        Some(last) if cut => last.seq,
        _ => snapshot.seq().max(after),
    };
    let batch = ChangeBatch {
        changes: reader.changes,
        upto,
        catalog_version: snapshot.catalog().version,
        bytes: most.bytes.saturating_sub(reader.bytes_left),
    };
    Ok((batch, cut))
}

/// Up to where changes behind `after` have expired; `ZERO` when none has.
fn expired(snapshot: &Snapshot, table: &TableDef, after: Seq) -> Result<Seq, StorageError> {
    if table.kind != TableKind::Stream {
        return Ok(Seq::ZERO);
    }
    let shared = Partition::shared();
    // What has left the disk, up to a record that did.
    let state = snapshot.state(table.id, &shared)?.unwrap_or_default();
    if state.watermark > after {
        return Ok(state.watermark);
    }
    // What has not left it yet.
    let alive = snapshot.oldest(table)?;
    if after.next() >= alive {
        return Ok(Seq::ZERO);
    }
    let from = version_key(table.id, &shared, after.next());
    let to = version_key(table.id, &shared, alive);
    let records = snapshot.view.hot.iterate(Family::Stream, &from, to);
    let any = records.valid();
    records.status()?;
    Ok(match any {
        true => alive.previous(),
        false => Seq::ZERO,
    })
}

struct ChangeReader<'a> {
    snapshot: &'a Snapshot,
    table: Arc<TableDef>,
    rows: RowReader,
    after: Seq,
    oldest: Seq,
    most: Most,
    limit: usize,
    /// What is left of the bytes that a read may take.
    bytes_left: usize,
    changes: Vec<Change>,
}

impl ChangeReader<'_> {
    /// Reads the changes of one partition in `first..=last`; whether the limit cut it short.
    fn read_range(
        &mut self,
        partition: &Partition,
        first: Seq,
        last: Seq,
    ) -> Result<bool, StorageError> {
        let first = first.max(self.after.next()).max(self.oldest);
        if first > last {
            return Ok(false);
        }
        let family = rows_family(&self.table);
        let from = version_key(self.table.id, partition, first);
        let to = version_key(self.table.id, partition, last.advance(1));
        let mut records = self.snapshot.view.hot.iterate(family, &from, to);
        while let Some((key, value)) = records.item() {
            if self.changes.len() >= self.limit || self.bytes_left == 0 {
                return Ok(true);
            }
            if self.most.strict && value.len() > self.bytes_left {
                return Ok(true);
            }
            self.bytes_left = self.bytes_left.saturating_sub(value.len());
            let change = self.decode(partition, seq_of(key)?, value)?;
            self.changes.push(change);
            records.next();
        }
        records.status()?;
        Ok(false)
    }

    fn decode(
        &mut self,
        partition: &Partition,
        seq: Seq,
        value: &[u8],
    ) -> Result<Change, StorageError> {
        let record = record::parse(value)?;
        let row = self.rows.row(record.schema_version, record.row)?;
        let mut old = None;
        if let Some(before) = record.old_row {
            old = Some(self.rows.row(record.schema_version, before)?);
        }
        let ends_transaction = record.ends_transaction;
        Ok(Change {
            seq,
            op: record.op,
            partition: partition.clone(),
            row,
            old,
            ends_transaction,
        })
    }

    /// Reads the changes of all partitions, transaction by transaction; whether the limit cut it short.
    fn read_commits(&mut self) -> Result<bool, StorageError> {
        let snapshot = self.snapshot;
        let next = self.after.next();
        let mut commits =
            snapshot
                .view
                .hot
                .iterate(Family::Commit, &seq_bytes(next), vec![0xFF; 9]);
        // `after` may lie inside a transaction, which begins before it.
        commits.seek_for_prev(seq_bytes(next));
        if !commits.valid() {
            commits.status()?;
            commits.seek_to_first();
        }
        let mut looked_at = 0;
        while let Some((_, value)) = commits.item() {
            looked_at += 1;
            if looked_at > self.most.commits {
                return Ok(true);
            }
            let mut extents = decode_commit(value)?.extents;
            extents.retain(|extent| extent.table == self.table.id && extent.last > self.after);
            extents.sort_by_key(|extent| extent.first);
            let start = self.changes.len();
            let apart = extents.is_sorted_by(|a, b| a.last < b.first);
            let limit = self.limit;
            let bytes_left = self.bytes_left;
            if !apart && self.most.strict {
                return Ok(true);
            }
            let mut cut = false;
            for extent in &extents {
                if !apart {
                    self.bytes_left = usize::MAX;
                    // Interleaved: the first `limit` of each hold the first `limit` of all.
                    self.limit = self
                        .changes
                        .len()
                        .saturating_add(limit.saturating_sub(start));
                }
                cut |= self.read_range(&extent.partition, extent.first, extent.last)?;
                if apart && cut {
                    break;
                }
            }
            self.limit = limit;
            if !apart {
                self.bytes_left = bytes_left;
                self.changes[start..].sort_by_key(|change| change.seq);
                cut |= self.changes.len() > limit;
                self.changes.truncate(limit);
            }
            // The records tell of their partitions only.
            self.changes[start..]
                .iter_mut()
                .for_each(|change| change.ends_transaction = false);
            if cut {
                return Ok(true);
            }
            if let Some(last) = self.changes[start..].last_mut() {
                last.ends_transaction = true;
            }
            commits.next();
        }
        commits.status()?;
        Ok(false)
    }
}

/// Where a transaction's records of one partition lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extent {
    pub(crate) table: TableId,
    pub(crate) partition: Partition,
    pub(crate) first: Seq,
    pub(crate) last: Seq,
}

/// The value of a `commit` key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CommitEntry {
    pub(crate) last: Seq,
    pub(crate) extents: Vec<Extent>,
}

pub(crate) fn encode_commit(last: Seq, extents: &[Extent]) -> Vec<u8> {
    let mut out = seq_bytes(last).to_vec();
    put_varint(&mut out, extents.len() as u64);
    for extent in extents {
        out.extend_from_slice(&extent.table.get().to_be_bytes());
        put_varint(&mut out, extent.partition.as_str().len() as u64);
        out.extend_from_slice(extent.partition.as_str().as_bytes());
        put_seq(&mut out, extent.first);
        put_seq(&mut out, extent.last);
    }
    out
}

pub(crate) fn decode_commit(bytes: &[u8]) -> Result<CommitEntry, StorageError> {
    let corrupt = || StorageError::Corrupt("a commit entry".to_string());
    let mut bytes = bytes;
    let last = take_seq(&mut bytes)?;
    let count = take_varint(&mut bytes)?;
    let mut extents = Vec::new();
    for _ in 0..count {
        let (table, rest) = bytes.split_first_chunk::<4>().ok_or_else(corrupt)?;
        bytes = rest;
        let partition = std::str::from_utf8(take_bytes(&mut bytes)?).map_err(|_| corrupt())?;
        extents.push(Extent {
            table: TableId::new(u32::from_be_bytes(*table)),
            partition: Partition::user(partition),
            first: take_seq(&mut bytes)?,
            last: take_seq(&mut bytes)?,
        });
    }
    Ok(CommitEntry { last, extents })
}
