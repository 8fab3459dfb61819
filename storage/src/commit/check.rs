//! Checking one transaction against its group and the database, and adding it to the group's batch.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use rocksdb::{DBPinnableSlice, WriteBatch};

use super::tally::Tally;
use super::{Committer, GROUP_BYTES_MAX};
use crate::catalog::{IndexId, TableDef, TableId, TableKind};
use crate::changes::{ChangeOp, Extent, encode_commit};
use crate::cold::{self, PartitionState};
use crate::computed::Keyed;
use crate::datum::DatumRef;
use crate::error::{CommitError, StorageError};
use crate::hot::{Family, Hot};
use crate::key::{index_entry, seq_bytes, version_key};
use crate::notify::{self, Notification};
use crate::record::{self, RowReader};
use crate::seq::Seq;
use crate::snapshot::{PartitionSet, View, rows_family, ttl_ms};
use crate::transaction::{Op, Partition, Touched, Transaction};
use crate::versions::{self, DeadEntry, KeyEntry};

/// A record of more bytes is let go of as soon as the batch has it: together they may be much.
const RECORD_LARGE: usize = 1 << 20;

/// Transactions that are written and synced together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) batch: WriteBatch,
    pub(super) states: HashMap<(TableId, Partition), PartitionState>,
    /// The last Seq of the group, if any transaction is in it.
    pub(super) last: Option<Seq>,
    /// The channels on which something is told.
    pub(super) channels: Vec<Partition>,
    pub(super) overlay: Overlay,
    /// Whether it is the end of one that was written in pieces: `overlay` lacks its keys then.
    pub(super) is_large: bool,
}

impl Group {
    /// The partitions that it writes to, and the channels on which something is told.
    pub(super) fn touched(&self) -> impl Iterator<Item = (TableId, &Partition)> {
        let told = self.channels.iter();
        let told = told.map(|channel| (TableId::NOTIFICATIONS, channel));
        let written = self.states.keys();
        written
            .map(|(table, partition)| (*table, partition))
            .chain(told)
    }

    /// Adds what a transaction tells, from this Seq on.
    pub(super) fn tell(&mut self, hot: &Hot, notifications: &[Notification], first: Seq) {
        for (at, notification) in notifications.iter().enumerate() {
            let (key, value) = notify::encode(first.advance(at as u64), notification);
            self.batch.put_cf(hot.family(Family::Stream), key, value);
            self.channels.push(Partition::user(&notification.channel));
        }
    }

    /// Adds a transaction to the order of commits.
    pub(super) fn end(&mut self, hot: &Hot, (first, last): (Seq, Seq), extents: &[Extent]) {
        let commit = hot.family(Family::Commit);
        self.batch
            .put_cf(commit, seq_bytes(first), encode_commit(last, extents));
        self.last = Some(last);
    }

    /// A group of transactions that take so many bytes of memory, about as many as their batch.
    pub(super) fn with_room(bytes: usize) -> Group {
        Group {
            batch: WriteBatch::with_capacity_bytes(bytes),
            ..Group::default()
        }
    }
}

/// What the group changes of the `key` and `dead` families.
#[derive(Default)]
pub(super) struct Overlay {
    keys: HashMap<Arc<[u8]>, Option<Seq>, RandomState>,
    dead: HashSet<Version>,
    /// What to take back when the transaction that is being checked fails.
    undo: Vec<Undo>,
    /// Nothing is taken back.
    is_lasting: bool,
}

/// A row version of a table without primary key.
type Version = (TableId, Partition, Seq);

enum Undo {
    Key(Arc<[u8]>, Option<Option<Seq>>),
    Dead(Version),
}

impl Overlay {
    /// One that is of one transaction, and of no use when that fails.
    pub(super) fn of_one() -> Overlay {
        Overlay {
            is_lasting: true,
            ..Overlay::default()
        }
    }

    fn note(&mut self, undo: Undo) {
        if !self.is_lasting {
            self.undo.push(undo);
        }
    }

    pub(super) fn set_key(&mut self, key: &Arc<[u8]>, holder: Option<Seq>) {
        let before = self.keys.insert(key.clone(), holder);
        self.note(Undo::Key(key.clone(), before));
    }

    /// Whether it takes a key from its holder and gives it to nobody.
    fn frees(&self, key: &[u8]) -> bool {
        self.keys.get(key) == Some(&None)
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.dead.len()
    }

    /// Whether it changed anything that a transaction's check depends on.
    pub(super) fn meets(&self, touched: &Touched) -> bool {
        let superseded =
            |(table, partition, seq): &Version| touched.superseded(*table, partition, *seq);
        self.keys.keys().any(|key| touched.has_key(key)) || self.dead.iter().any(superseded)
    }

    fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Key(key, Some(before)) => {
                    self.keys.insert(key, before);
                }
                Undo::Key(key, None) => {
                    self.keys.remove(&key);
                }
                Undo::Dead(key) => {
                    self.dead.remove(&key);
                }
            }
        }
    }
}

/// Who has the keys that may be held twice until a transaction ends: rows by their Seqs, with the op and the key that
/// brought them.
#[derive(Default)]
struct Claims(BTreeMap<Arc<[u8]>, Vec<Claim>>);

type Claim = (Seq, Option<(usize, IndexId)>);

impl Claims {
    /// Those of one key, which had this holder before the transaction.
    fn of(&mut self, key: &Arc<[u8]>, before: Option<Seq>) -> &mut Vec<Claim> {
        let first = || before.map(|seq| (seq, None)).into_iter().collect();
        self.0.entry(key.clone()).or_insert_with(first)
    }
}

/// Where what a transaction collides with is looked up.
pub(super) trait Lookup {
    fn hot(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>;

    /// A partition's state before the present group.
    fn partition_state(
        &self,
        table: TableId,
        partition: &Partition,
    ) -> Result<PartitionState, StorageError>;

    /// `View::first_since`, before the present group.
    fn first_since(&self, unix_ms: i64) -> Result<Seq, StorageError>;

    /// Checks that the versions that the transaction supersedes are the live ones, and that its keys are free. What has
    /// expired at `now_ms` holds no key.
    fn check(
        &self,
        overlay: &mut Overlay,
        transaction: &Transaction,
        first: Seq,
        now_ms: i64,
    ) -> Result<(), CommitError> {
        let ops = transaction.ops();
        let since = transaction.since.unwrap_or(Seq::ZERO);
        let mut claims = Claims::default();
        for (at, op) in ops.iter().enumerate() {
            let seq = first.advance(at as u64);
            if op.kind != ChangeOp::Insert {
                let old = resolve(op.old, first);
                self.check_old(overlay, op, old, since)?;
                for (index, key) in &op.old_keys.unique {
                    if op.table.is_deferrable(*index) {
                        let held = self.alive_holder(overlay, op, key, now_ms)?;
                        let holders = claims.of(key, held);
                        holders.retain(|(seq, _)| *seq != old);
                    }
                }
            }
            for (index, key) in &op.keys.unique {
                if op.table.is_deferrable(*index) {
                    let held = self.alive_holder(overlay, op, key, now_ms)?;
                    let holders = claims.of(key, held);
                    holders.push((seq, Some((at, *index))));
                    continue;
                }
                if self.alive_holder(overlay, op, key, now_ms)?.is_some() {
                    return Err(unique_violation(&op.table, *index, &op.record));
                }
                overlay.set_key(key, Some(seq));
            }
        }
        // What is deferrable need not hold before the end.
        for (key, holders) in claims.0 {
            if let [_, .., (_, Some((at, index)))] = holders.as_slice() {
                let op = &ops[*at];
                return Err(unique_violation(&op.table, *index, &op.record));
            }
            overlay.set_key(&key, holders.first().map(|(seq, _)| *seq));
        }
        Ok(())
    }

    /// Checks that the superseded version is the live one, and takes it off.
    fn check_old(
        &self,
        overlay: &mut Overlay,
        op: &Op,
        old: Seq,
        since: Seq,
    ) -> Result<(), CommitError> {
        if let Some(primary) = op.table.primary() {
            // The key points at the live version only: one look tells that it exists and is not dead. The
            // `dead` family would not do, a flush removes entries of versions that no file holds.
            let key = op.old_keys.unique.first().filter(|key| key.0 == primary.id);
            let (_, key) = key.expect("every row has its primary key");
            if self.holder(overlay, key)? != Some(old) {
                return Err(CommitError::Conflict);
            }
        } else {
            self.check_not_dead(overlay, op, old, since)?;
        }
        for (index, key) in &op.old_keys.unique {
            // In an index that is being made it may be another row that has the values.
            if !op.table.is_deferrable(*index)
                && (op.table.is_ready(*index) || self.holder(overlay, key)? == Some(old))
            {
                overlay.set_key(key, None);
            }
        }
        Ok(())
    }

    /// As `check_old`, where no primary key tells.
    fn check_not_dead(
        &self,
        overlay: &mut Overlay,
        op: &Op,
        old: Seq,
        since: Seq,
    ) -> Result<(), CommitError> {
        let dead = (op.table.id, op.partition.clone(), old);
        if overlay.dead.contains(&dead) {
            return Err(CommitError::Conflict);
        }
        if op.old.as_pending().is_none() {
            let version = version_key(op.table.id, &op.partition, old);
            let is_dead = self
                .hot(Family::Dead, &version)
                .map_err(StorageError::from)?
                .is_some();
            // A flushed version may have left the log. What has no dead entry lives, unless the entry left with the
            // record that superseded the version: then the writer has read from before the log's beginning.
            let state = self.partition_state(op.table.id, &op.partition)?;
            let exists = if op.table.kind != TableKind::Stream && old <= state.watermark {
                old > state.trimmed || since >= state.trimmed
            } else {
                self.hot(rows_family(&op.table), &version)
                    .map_err(StorageError::from)?
                    .is_some()
            };
            if is_dead || !exists {
                return Err(CommitError::Conflict);
            }
        }
        overlay.dead.insert(dead.clone());
        overlay.note(Undo::Dead(dead));
        Ok(())
    }

    /// Who has a key of a change's table and has not expired.
    fn alive_holder(
        &self,
        overlay: &Overlay,
        op: &Op,
        key: &Arc<[u8]>,
        now_ms: i64,
    ) -> Result<Option<Seq>, StorageError> {
        let holder = self.holder(overlay, key)?;
        match (holder, ttl_ms(&op.table)) {
            (Some(holder), Some(ttl_ms)) => {
                let oldest = self.first_since(now_ms.saturating_sub(ttl_ms))?;
                Ok((holder >= oldest).then_some(holder))
            }
            _ => Ok(holder),
        }
    }

    fn holder(&self, overlay: &Overlay, key: &Arc<[u8]>) -> Result<Option<Seq>, StorageError> {
        if let Some(holder) = overlay.keys.get(key) {
            return Ok(*holder);
        }
        match self.hot(Family::Key, key)? {
            Some(entry) => versions::holder(&entry, Seq::MAX),
            None => Ok(None),
        }
    }
}

impl Lookup for Committer {
    fn hot(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        self.shared.hot.get(family, key)
    }

    fn partition_state(
        &self,
        table: TableId,
        partition: &Partition,
    ) -> Result<PartitionState, StorageError> {
        self.state(table, partition)
    }

    fn first_since(&self, unix_ms: i64) -> Result<Seq, StorageError> {
        self.shared.view().first_since(unix_ms)
    }
}

impl Lookup for View {
    fn hot(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        self.hot.get(family, key)
    }

    fn partition_state(
        &self,
        table: TableId,
        partition: &Partition,
    ) -> Result<PartitionState, StorageError> {
        let stored = self
            .hot
            .get(Family::Meta, &cold::state_key(table, partition));
        PartitionState::stored(stored?)
    }

    fn first_since(&self, unix_ms: i64) -> Result<Seq, StorageError> {
        View::first_since(self, unix_ms)
    }
}

impl Committer {
    /// Checks a transaction, which gets Seqs from `first` on, and adds it to the group; returns its last Seq. A refused one
    /// leaves no trace.
    pub(super) fn apply(
        &self,
        group: &mut Group,
        transaction: &mut Transaction,
        first: Seq,
    ) -> Result<Seq, CommitError> {
        self.check_alive()?;
        self.check_tables(transaction)?;
        self.check_reads(group, transaction)?;
        self.check_users(transaction)?;
        let now_ms = self.shared.generator.now_ms();
        let checked = self.check(&mut group.overlay, transaction, first, now_ms);
        let appended = checked.and_then(|()| self.append(group, transaction, first));
        match &appended {
            Ok(_) => group.overlay.undo.clear(),
            Err(_) => group.overlay.roll_back(),
        }
        appended
    }

    /// Checks that nothing the transaction depends on was touched since it was read.
    pub(super) fn check_reads(
        &self,
        group: &Group,
        transaction: &Transaction,
    ) -> Result<(), CommitError> {
        let Some(reads) = &transaction.reads else {
            return Ok(());
        };
        for (table, partitions) in &reads.partitions {
            // A table that was dropped or truncated is changed as much as can be.
            let mut changed = !self.tables.contains_key(table);
            match partitions {
                PartitionSet::One(partition) => {
                    let state = match group.states.get(&(*table, partition.clone())) {
                        Some(state) => *state,
                        None => self.state(*table, partition)?,
                    };
                    changed |= state.last_seq > reads.since;
                }
                PartitionSet::All => {
                    let last = self.last_commits.get(table);
                    changed |= last.is_some_and(|last| *last > reads.since);
                    changed |= group.states.iter().any(|((touched, _), state)| {
                        touched == table && state.last_seq > reads.since
                    });
                }
            }
            if changed {
                return Err(CommitError::ReadChanged);
            }
        }
        Ok(())
    }

    /// Refuses changes of tables that are not as the transaction knew them.
    pub(super) fn check_tables(&self, transaction: &Transaction) -> Result<(), CommitError> {
        let ops = transaction.ops();
        for (at, op) in ops.iter().enumerate() {
            if at == 0 || !Arc::ptr_eq(&ops[at - 1].table, &op.table) {
                check_table(&op.table, self.tables.get(&op.table.id))?;
            }
        }
        Ok(())
    }

    pub(super) fn append(
        &self,
        group: &mut Group,
        transaction: &mut Transaction,
        first: Seq,
    ) -> Result<Seq, CommitError> {
        let hot = &self.shared.hot;
        let (keys, index) = (hot.family(Family::Key), hot.family(Family::Index));
        if transaction.bytes() > GROUP_BYTES_MAX && group.batch.is_empty() {
            // It would have twice the room otherwise, and take half of it twice while it grows.
            group.batch = WriteBatch::with_capacity_bytes(transaction.bytes());
        }
        let tally = Tally::of(transaction.ops());
        // Before anything is put into the batch: nothing may fail once it is touched.
        self.read_states(&mut group.states, &tally)?;
        let batch = &mut group.batch;
        for (part, from, run) in tally.runs(transaction.ops_mut()) {
            for (at, op) in run.iter_mut().enumerate() {
                let seq = first.advance((from + at) as u64);
                let old = resolve(op.old, first);
                put_version(hot, batch, op, (old, seq), part.ends_at(from + at));
                for old_key in &op.old_keys.unique {
                    if !part.table.is_deferrable(old_key.0)
                        && !op.keys.unique.contains(old_key)
                        && (part.table.is_ready(old_key.0) || group.overlay.frees(&old_key.1))
                    {
                        batch.delete_cf(keys, &old_key.1);
                    }
                }
                for (index, key) in &op.keys.unique {
                    if !part.table.is_deferrable(*index) {
                        batch.put_cf(keys, key, KeyEntry::of(seq).encode());
                    }
                }
                for entry in &op.old_keys.entries {
                    batch.delete_cf(index, index_entry(entry, old));
                }
                for entry in &op.keys.entries {
                    batch.put_cf(index, index_entry(entry, seq), b"");
                }
            }
        }
        for (key, holder) in deferrable_keys(transaction.ops(), first) {
            match group.overlay.keys.get(key).copied().unwrap_or(holder) {
                Some(seq) => batch.put_cf(keys, key, KeyEntry::of(seq).encode()),
                None => batch.delete_cf(keys, key),
            }
        }
        tally.count(first, &mut group.states, &self.shared.counted);
        group.tell(
            hot,
            transaction.notifications(),
            first.advance(transaction.len() as u64),
        );
        let last = first.advance(transaction.seqs() - 1);
        group.end(hot, (first, last), &tally.extents(first));
        Ok(last)
    }

    /// Reads the states of a transaction's partitions that are not there.
    pub(super) fn read_states(
        &self,
        states: &mut HashMap<(TableId, Partition), PartitionState>,
        tally: &Tally,
    ) -> Result<(), StorageError> {
        for part in &tally.parts {
            if let Entry::Vacant(free) = states.entry(part.scope()) {
                free.insert(self.state(part.table.id, &part.partition)?);
            }
        }
        Ok(())
    }
}

/// Refuses a table that is not as a transaction knew it.
pub(super) fn check_table(
    known: &TableDef,
    now: Option<&Arc<TableDef>>,
) -> Result<(), CommitError> {
    match now.is_some_and(|now| now.schema_version == known.schema_version) {
        true => Ok(()),
        false => Err(CommitError::CatalogChanged),
    }
}

/// Puts the record of a change, and that the version before it is dead.
pub(super) fn put_version(
    hot: &Hot,
    batch: &mut WriteBatch,
    op: &mut Op,
    (old, seq): (Seq, Seq),
    ends_transaction: bool,
) {
    record::seal(&mut op.record, old, ends_transaction);
    let rows = hot.family(rows_family(&op.table));
    batch.put_cf(
        rows,
        version_key(op.table.id, &op.partition, seq),
        &op.record,
    );
    if op.kind != ChangeOp::Insert {
        let entry = DeadEntry {
            by: seq,
            unfiled: false,
        };
        let superseded = version_key(op.table.id, &op.partition, old);
        batch.put_cf(hot.family(Family::Dead), superseded, entry.encode());
    }
    if op.record.len() > RECORD_LARGE {
        op.record = Vec::new();
    }
}

/// Who holds the deferrable keys that a transaction touched once it is through: each at most one row.
pub(super) fn deferrable_keys(ops: &[Op], first: Seq) -> BTreeMap<&Arc<[u8]>, Option<Seq>> {
    let mut keys = BTreeMap::new();
    if !ops.iter().any(|op| op.table.has_deferrable()) {
        return keys;
    }
    let superseded: HashSet<u32> = ops.iter().filter_map(|op| op.old.as_pending()).collect();
    // A row of the transaction's own had no key of another's: it goes without one.
    for op in ops.iter().filter(|op| op.old.as_pending().is_none()) {
        let old = op.old_keys.unique.iter();
        for (_, key) in old.filter(|(index, _)| op.table.is_deferrable(*index)) {
            keys.insert(key, None);
        }
    }
    for (at, op) in ops.iter().enumerate() {
        if superseded.contains(&(at as u32)) {
            continue;
        }
        let new = op.keys.unique.iter();
        for (_, key) in new.filter(|(index, _)| op.table.is_deferrable(*index)) {
            keys.insert(key, Some(first.advance(at as u64)));
        }
    }
    keys
}

/// The error for a row whose values in a unique key are another's.
pub(crate) fn unique_violation(
    table: &Arc<TableDef>,
    index: IndexId,
    record: &[u8],
) -> CommitError {
    let row = record::parse(record)
        .and_then(|record| RowReader::whole(table.clone()).row(record.schema_version, record.row));
    match row {
        Ok(row) => {
            let keyed = Keyed::new(table, &row);
            let values = table.unique_key(index).and_then(|key| keyed.values(key));
            let key = values.into_iter().flatten().map(DatumRef::to_owned);
            CommitError::UniqueViolation {
                table: table.clone(),
                index,
                key: key.collect(),
            }
        }
        Err(error) => error.into(),
    }
}

/// The real Seq of a version that may be the transaction's own.
pub(super) fn resolve(old: Seq, first: Seq) -> Seq {
    old.as_pending().map_or(old, |n| first.advance(n.into()))
}
