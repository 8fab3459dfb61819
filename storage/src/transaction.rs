//! A transaction before its commit: an ordered list of row changes, readable by its own session.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use crate::catalog::{IndexId, TableDef, TableId, UniqueKey};
use crate::changes::ChangeOp;
use crate::commit::check::unique_violation;
use crate::computed::Keyed;
use crate::datum::{DatumRef, Row};
use crate::error::{CommitError, StorageError};
use crate::key;
use crate::notify::Notification;
use crate::record;
use crate::seq::Seq;
use crate::snapshot::PartitionSet;

mod ddl;

pub use ddl::Mark;
pub(crate) use ddl::{CatalogChanges, entry_of};

/// One log of a table: a user's name for USER tables, empty for SHARED and STREAM ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(Arc<str>);

impl Partition {
    /// The one partition of a SHARED or STREAM table.
    pub fn shared() -> Partition {
        static SHARED: LazyLock<Partition> = LazyLock::new(|| Partition::user(""));
        SHARED.clone()
    }

    /// The partition of a user.
    pub fn user(name: &str) -> Partition {
        Partition(Arc::from(name))
    }

    /// A partition that nobody's rows are in, since no text is its name.
    pub fn nobody() -> Partition {
        Partition(Arc::from("\0"))
    }

    /// The user's name; empty for the shared one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A row version that a statement read and is about to supersede.
#[derive(Clone, Debug, PartialEq)]
pub struct RowVersion {
    /// Its Seq, as scans give it in `_seq`: a pending one (see `Transaction`) for the transaction's own rows.
    pub seq: Seq,
    /// Its values, in the order of the table's columns.
    pub row: Row,
}

/// Row changes that become visible together, or not at all.
///
/// Until the commit gives real Seqs, the version made by change `n` has the *pending* Seq
/// `Seq::pending(n)`, above every real one. Scans that are handed the transaction show its versions
/// under these and leave out what it superseded.
#[derive(Debug, Default)]
pub struct Transaction {
    ops: Vec<Op>,
    touched: Touched,
    /// The changes that touch each deferrable key, in their order.
    deferrable: HashMap<Arc<[u8]>, Vec<u32>>,
    /// Versions from before the transaction that it superseded, by table.
    superseded_before: HashMap<TableId, usize>,
    /// How many of the changes are of each table.
    changes: HashMap<TableId, usize>,
    bytes: usize,
    notifications: Vec<Notification>,
    /// Changes of the catalog that are committed before its own.
    pub(crate) catalog: Option<CatalogChanges>,
    fills: ddl::Fills,
    /// What must not have changed when the transaction is committed.
    pub(crate) reads: Option<ReadSet>,
    /// The oldest snapshot that it read from, if it read.
    pub(crate) since: Option<Seq>,
    /// Whether its commit is answered before it is synced.
    pub(crate) unsynced: bool,
}

/// What a transaction read, for a commit that is refused when any of it has changed.
#[derive(Clone, Debug)]
pub struct ReadSet {
    /// The snapshot that it read from.
    pub since: Seq,
    /// The partitions that it read.
    pub partitions: HashSet<(TableId, PartitionSet)>,
}

type Holder = Option<u32>;

/// What a transaction collides with others about.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// What it read that must stay as it is.
    reads: HashSet<(TableId, PartitionSet)>,
    /// Which of its ops holds a unique key that the transaction touched; `None` when it freed the key.
    keys: HashMap<Arc<[u8]>, Holder, RandomState>,
    superseded: HashMap<TableId, HashMap<Partition, HashSet<Seq>>>,
}

impl Touched {
    /// Whether one of the changes takes or frees a unique key.
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the version with this Seq was superseded.
    pub(crate) fn superseded(&self, table: TableId, partition: &Partition, seq: Seq) -> bool {
        self.superseded_in(table, partition)
            .is_some_and(|seqs| seqs.contains(&seq))
    }

    fn superseded_in(&self, table: TableId, partition: &Partition) -> Option<&HashSet<Seq>> {
        self.superseded.get(&table)?.get(partition)
    }

    /// Whether another transaction changes any of it.
    pub(crate) fn meets(&self, other: &Transaction) -> bool {
        other.ops.iter().any(|op| {
            if !self.reads.is_empty() {
                let one = PartitionSet::One(op.partition.clone());
                let reads = |partitions| self.reads.contains(&(op.table.id, partitions));
                if reads(one) || reads(PartitionSet::All) {
                    return true;
                }
            }
            let unique = op.keys.unique.iter().chain(&op.old_keys.unique);
            unique.into_iter().any(|(_, key)| self.has_key(key))
                || op.kind != ChangeOp::Insert
                    && op.old.as_pending().is_none()
                    && self.superseded(op.table.id, &op.partition, op.old)
        })
    }

    /// The keys that are nobody's afterwards.
    pub(crate) fn freed_keys(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        let freed = self.keys.iter().filter(|(_, holder)| holder.is_none());
        freed.map(|(key, _)| key)
    }
}

/// One change.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) table: Arc<TableDef>,
    pub(crate) partition: Partition,
    pub(crate) kind: ChangeOp,
    /// The version it supersedes; `ZERO` for an insert.
    pub(crate) old: Seq,
    /// Its log record, not yet sealed.
    pub(crate) record: Vec<u8>,
    /// The keys of the new version; none for a delete.
    pub(crate) keys: RowKeys,
    /// The keys of the old version; none for an insert.
    pub(crate) old_keys: RowKeys,
    /// What `Transaction::keys` said before, for the unique ones of `old_keys`, then of `keys`.
    undo: Vec<Option<Holder>>,
    /// What the transaction counts for it.
    counted: usize,
}

/// What stands for a row in the `key` and `index` families.
#[derive(Debug, Default)]
pub(crate) struct RowKeys {
    /// Its unique keys, the primary key first; without those in which it has a NULL.
    pub(crate) unique: Vec<(IndexId, Arc<[u8]>)>,
    /// Its other index entries, without the Seq that ends them.
    pub(crate) entries: Vec<Box<[u8]>>,
}

impl RowKeys {
    /// # Panics
    /// When the row is not of the table's types or has NULL in a column of the primary key.
    pub(crate) fn of(table: &TableDef, partition: &Partition, row: &Row) -> RowKeys {
        RowKeys::checked(table, partition, row)
            .expect("values are of their column's type, and those of a primary key are not NULL")
    }

    /// As `of`; `None` where that panics.
    pub(crate) fn checked(table: &TableDef, partition: &Partition, row: &Row) -> Option<RowKeys> {
        // There may be millions of rows: no more room than they take.
        let plain = || table.indexes.iter().filter(|index| !index.unique);
        let mut keys = RowKeys {
            unique: Vec::with_capacity(table.unique_keys().count()),
            entries: Vec::with_capacity(plain().count()),
        };
        let row = Keyed::new(table, row);
        for key in table.unique_keys() {
            match row.values(key) {
                Some(values) => {
                    let bytes = key::unique_key(table, partition, key, values)?;
                    keys.unique.push((key.id, bytes));
                }
                None if key.id != table.primary_key_id => {}
                None => return None,
            }
        }
        for index in plain() {
            if !row.is_in(&index.columns, index.predicate) {
                continue;
            }
            let mut entry = key::index_scope(table.id, partition, index.id);
            for id in &index.columns {
                key::put_nullable(&mut entry, table.type_of(*id)?, row.value(*id)?)?;
            }
            keys.entries.push(entry.into());
        }
        Some(keys)
    }

    /// Has its unique keys stand where another version of the row has the same ones.
    fn share(&mut self, other: &RowKeys) {
        for own in &mut self.unique {
            if let Some(same) = other.unique.iter().find(|same| *same == own) {
                *own = same.clone();
            }
        }
    }

    fn bytes(&self) -> usize {
        let unique = self.unique.iter().map(|(_, key)| key.len());
        let entries = self.entries.iter().map(|entry| entry.len());
        unique.chain(entries).sum()
    }
}

/// What a change costs in memory besides its bytes.
const OP_OVERHEAD_BYTES: usize = 200;

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// Adds an insert and returns the pending Seq of the new version.
    ///
    /// # Panics
    /// When the row is not of the table's types or has NULL in a key column.
    pub fn insert(&mut self, table: &Arc<TableDef>, partition: &Partition, row: &Row) -> Seq {
        let keys = RowKeys::of(table, partition, row);
        let none = RowKeys::default();
        self.push(table, partition, ChangeOp::Insert, None, row, none, keys)
    }

    /// Adds an update of `old` to `row` (which may change the key) and returns the new version's pending Seq.
    pub fn update(
        &mut self,
        table: &Arc<TableDef>,
        partition: &Partition,
        old: &RowVersion,
        row: &Row,
    ) -> Seq {
        let old_keys = RowKeys::of(table, partition, &old.row);
        let mut keys = RowKeys::of(table, partition, row);
        keys.share(&old_keys);
        self.push(
            table,
            partition,
            ChangeOp::Update,
            Some(old),
            row,
            old_keys,
            keys,
        )
    }

    /// Adds a delete of `old`.
    pub fn delete(&mut self, table: &Arc<TableDef>, partition: &Partition, old: &RowVersion) {
        let old_keys = RowKeys::of(table, partition, &old.row);
        self.push(
            table,
            partition,
            ChangeOp::Delete,
            Some(old),
            &old.row,
            old_keys,
            RowKeys::default(),
        );
    }

    #[allow(clippy::too_many_arguments)] // Private, and each names one part of the change.
    fn push(
        &mut self,
        table: &Arc<TableDef>,
        partition: &Partition,
        kind: ChangeOp,
        old: Option<&RowVersion>,
        row: &Row,
        old_keys: RowKeys,
        keys: RowKeys,
    ) -> Seq {
        let at = u32::try_from(self.ops.len()).expect("a transaction has less than 2^32 changes");
        // A delete's row is the old one already.
        let old_row = old.filter(|_| kind == ChangeOp::Update);
        let record = record::encode(kind, table, row, old_row.map(|old| &old.row));
        let old = old.map_or(Seq::ZERO, |old| old.seq);
        let mut undo = Vec::with_capacity(old_keys.unique.len() + keys.unique.len());
        for (_, key) in &old_keys.unique {
            undo.push(self.touched.keys.insert(key.clone(), None));
        }
        for (_, key) in &keys.unique {
            undo.push(self.touched.keys.insert(key.clone(), Some(at)));
        }
        if kind != ChangeOp::Insert {
            self.touched
                .superseded
                .entry(table.id)
                .or_default()
                .entry(partition.clone())
                .or_default()
                .insert(old);
            if old.as_pending().is_none() {
                *self.superseded_before.entry(table.id).or_default() += 1;
            }
        }
        let mut op = Op {
            table: table.clone(),
            partition: partition.clone(),
            kind,
            old,
            record,
            keys,
            old_keys,
            undo,
            counted: 0,
        };
        op.counted = op.bytes();
        self.bytes += op.counted;
        self.ops.push(op);
        *self.changes.entry(table.id).or_default() += 1;
        self.note_deferrable(at as usize);
        Seq::pending(at)
    }

    /// Which op holds the key; `None` when the transaction did not touch it, `Some(None)` when it freed it.
    pub(crate) fn key_holder(&self, key: &[u8]) -> Option<Option<u32>> {
        self.touched.keys.get(key).copied()
    }

    /// Adds what is to be told when it is committed, in this order.
    pub fn notify(&mut self, notifications: impl IntoIterator<Item = Notification>) {
        self.notifications.extend(notifications);
    }

    pub(crate) fn notifications(&self) -> &[Notification] {
        &self.notifications
    }

    /// How many Seqs its commit takes, besides those of the catalog's changes.
    pub(crate) fn seqs(&self) -> u64 {
        (self.ops.len() + self.notifications.len()) as u64
    }

    /// Whether no row was changed.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of memory that the changes take, roughly, and what is to be told.
    pub fn bytes(&self) -> usize {
        let told = self.notifications.iter();
        let told = told.map(|said| said.payload.len() + OP_OVERHEAD_BYTES);
        self.bytes + told.sum::<usize>()
    }

    /// The number of changes so far: a mark for `rollback_to`.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Forgets every change after the first `len`.
    pub fn rollback_to(&mut self, len: usize) {
        while self.ops.len() > len {
            let op = self.ops.pop().expect("there are more than `len`");
            let touched = op.keys.unique.iter().chain(&op.old_keys.unique);
            for (_, key) in touched {
                if let Some(by) = self.deferrable.get_mut(key) {
                    by.retain(|at| (*at as usize) < self.ops.len());
                }
            }
            self.bytes -= op.counted;
            if let Some(count) = self.changes.get_mut(&op.table.id) {
                *count -= 1;
            }
            let touched = op
                .keys
                .unique
                .iter()
                .rev()
                .chain(op.old_keys.unique.iter().rev());
            for ((_, key), before) in touched.zip(op.undo.iter().rev()) {
                match before {
                    Some(holder) => self.touched.keys.insert(key.clone(), *holder),
                    None => self.touched.keys.remove(key),
                };
            }
            if op.kind != ChangeOp::Insert {
                let partitions = self.touched.superseded.get_mut(&op.table.id);
                if let Some(seqs) =
                    partitions.and_then(|partitions| partitions.get_mut(&op.partition))
                {
                    seqs.remove(&op.old);
                }
                if op.old.as_pending().is_none()
                    && let Some(count) = self.superseded_before.get_mut(&op.table.id)
                {
                    *count -= 1;
                }
            }
        }
    }

    /// Whether it touched a unique key that is deferrable.
    pub fn has_deferrable(&self) -> bool {
        !self.deferrable.is_empty()
    }

    /// The error for a deferrable key, of those that `wanted` names and that the changes from `from` on touch, which two rows
    /// have as far as the transaction has come. `holder` says who has a key without the transaction.
    pub fn find_duplicate(
        &self,
        from: usize,
        wanted: impl Fn(&TableDef, UniqueKey<'_>) -> bool,
        holder: impl Fn(&TableDef, &[u8]) -> Result<Option<Seq>, StorageError>,
    ) -> Result<Option<CommitError>, StorageError> {
        for op in self.ops.iter().skip(from) {
            for (index, key) in &op.keys.unique {
                let unique = op.table.unique_key(*index);
                if !unique.is_some_and(|unique| unique.is_deferrable() && wanted(&op.table, unique))
                {
                    continue;
                }
                let before = match self.filled(key) {
                    Some(seq) => Some(seq),
                    None => holder(&op.table, key)?,
                };
                let mut holders: Vec<Seq> = before.into_iter().collect();
                for at in self.deferrable.get(key).into_iter().flatten() {
                    let touching = &self.ops[*at as usize];
                    if touching.old_keys.unique.iter().any(|(_, old)| old == key) {
                        holders.retain(|seq| *seq != touching.old);
                    }
                    if touching.keys.unique.iter().any(|(_, new)| new == key) {
                        holders.push(Seq::pending(*at));
                    }
                }
                if holders.len() > 1 {
                    return Ok(Some(unique_violation(&op.table, *index, &op.record)));
                }
            }
        }
        Ok(None)
    }

    /// Notes which deferrable keys the change at an index touches.
    fn note_deferrable(&mut self, at: usize) {
        let op = &self.ops[at];
        if !op.table.has_deferrable() {
            return;
        }
        let touched = op.old_keys.unique.iter().chain(&op.keys.unique);
        for (_, key) in touched.filter(|(index, _)| op.table.is_deferrable(*index)) {
            let by = self.deferrable.entry(key.clone()).or_default();
            if by.last() != Some(&(at as u32)) {
                by.push(at as u32);
            }
        }
    }

    /// Whether this transaction superseded the version with this Seq.
    pub fn superseded(&self, table: TableId, partition: &Partition, seq: Seq) -> bool {
        self.touched.superseded(table, partition, seq)
    }

    /// Takes out what it collides with others about, when it is committed: nothing is to be looked up in it afterwards.
    pub(crate) fn take_touched(&mut self) -> Touched {
        let reads = self.reads.as_ref();
        Touched {
            reads: reads.map_or_else(HashSet::new, |reads| reads.partitions.clone()),
            ..std::mem::take(&mut self.touched)
        }
    }

    /// As `take_touched`, of what is to be told.
    pub(crate) fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }

    /// The versions that it superseded in one partition, pending ones among them.
    pub(crate) fn superseded_in(
        &self,
        table: TableId,
        partition: &Partition,
    ) -> Option<&HashSet<Seq>> {
        self.touched.superseded_in(table, partition)
    }

    /// Whether it changes rows of the table.
    pub fn changes_any(&self, table: TableId) -> bool {
        self.changes.get(&table).is_some_and(|count| *count > 0)
    }

    /// Whether it superseded any version of the table that was there before.
    pub fn supersedes_any(&self, table: TableId) -> bool {
        self.superseded_before
            .get(&table)
            .is_some_and(|count| *count > 0)
    }

    /// Tells the Seq of the oldest snapshot that the transaction found rows in: all that it superseded was live then or
    /// later. Without it, a row of a table without primary key that was trimmed from the log cannot be superseded: nothing
    /// would tell that it is live still. And nothing is written that goes by what was read of a user before that
    /// user was erased.
    pub fn reads_since(&mut self, since: Seq) {
        self.since = Some(since);
    }

    /// Lets the commit be answered before it is synced. The server's end loses nothing of it, that of the machine may: the
    /// last fifth of a second, and then only whole transactions, each with all that came after it.
    pub fn commit_unsynced(&mut self) {
        self.unsynced = true;
    }

    /// Makes the commit depend on what was read, besides what it depends on already: it fails with
    /// `CommitError::ReadChanged` when a commit after `reads.since` touched one of the partitions.
    pub fn depends_on(&mut self, reads: ReadSet) {
        match &mut self.reads {
            None => self.reads = Some(reads),
            Some(all) => {
                all.since = all.since.min(reads.since);
                all.partitions.extend(reads.partitions);
            }
        }
    }

    /// The tables in which it changes rows of a user.
    pub fn tables_of_user(&self, user: &str) -> Vec<Arc<TableDef>> {
        let ops = (self.ops.iter()).filter(|op| op.partition.as_str() == user);
        ops.map(|op| op.table.clone()).collect()
    }

    /// The tables that it changes, as it knew them; one after the other may be the same.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        let same = |a: &Op, b: &Op| Arc::ptr_eq(&a.table, &b.table);
        self.ops.chunk_by(same).map(|run| &run[0].table)
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    pub(crate) fn ops_mut(&mut self) -> &mut [Op] {
        &mut self.ops
    }
}

impl Op {
    /// The unique keys of the version before, each with whether no earlier change of the transaction touched it.
    pub(crate) fn keys_left(&self) -> impl Iterator<Item = (&(IndexId, Arc<[u8]>), bool)> {
        let keys = &self.old_keys.unique;
        keys.iter().zip(self.undo.iter().map(Option::is_none))
    }

    /// As `keys_left`, those of the new version.
    pub(crate) fn keys_taken(&self) -> impl Iterator<Item = (&(IndexId, Arc<[u8]>), bool)> {
        let undo = self.undo[self.old_keys.unique.len()..].iter();
        self.keys.unique.iter().zip(undo.map(Option::is_none))
    }

    fn bytes(&self) -> usize {
        OP_OVERHEAD_BYTES + self.record.len() + self.keys.bytes() + self.old_keys.bytes()
    }
}

/// What stands for a row when it is locked: its primary key, so that all its versions are one row, or the version
/// itself where the table has no key.
///
/// # Panics
/// When the row is not of the table's types or has NULL in a key column.
pub fn row_identity(table: &TableDef, partition: &Partition, version: &RowVersion) -> Arc<[u8]> {
    key_identity(table, partition, &version.row)
        .unwrap_or_else(|| key::version_key(table.id, partition, version.seq).into())
}

/// As `row_identity`, for a row that may not exist yet; `None` when the table has no primary key.
///
/// # Panics
/// When the row is not of the table's types or has NULL in a key column.
pub fn key_identity(table: &TableDef, partition: &Partition, row: &Row) -> Option<Arc<[u8]>> {
    unique_key_of(table, partition, table.primary()?, row)
}

/// What stands for the values of a row in a unique key when they are locked; for the primary key the same as
/// `key_identity`. `None` when one of them is NULL, or when they cannot be values of the key's columns.
pub fn unique_identity<'a>(
    table: &TableDef,
    partition: &Partition,
    key: UniqueKey<'_>,
    values: impl IntoIterator<Item = DatumRef<'a>>,
) -> Option<Arc<[u8]>> {
    key::unique_key(table, partition, key, values)
}

fn unique_key_of(
    table: &TableDef,
    partition: &Partition,
    key: UniqueKey<'_>,
    row: &Row,
) -> Option<Arc<[u8]>> {
    let keyed = Keyed::new(table, row);
    let values = keyed.values(key);
    let bytes = values.and_then(|values| key::unique_key(table, partition, key, values));
    assert!(
        bytes.is_some() || key.id != table.primary_key_id,
        "values of a primary key are not NULL and of their column's type"
    );
    bytes
}
