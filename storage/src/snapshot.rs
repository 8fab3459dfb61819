//! Snapshot reads: one consistent view over the hot log, the dead set and the manifest.

mod history;
mod index;
mod scan;
mod walk;

use std::collections::HashMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, OnceLock};

use arrow::record_batch::RecordBatch;

use crate::catalog::{Catalog, ColumnId, TableDef, TableId, TableKind, UniqueKey};
use crate::cold::{self, ColdFile, META_FILE, META_STATE, PartitionState};
use crate::commit::garbage::Garbage;
use crate::datum::Datum;
use crate::error::StorageError;
use crate::hot::{Family, HotSnapshot};
use crate::key::{parse_scope, read_seq, scope_end, scope_key, seq_of, unique_key, version_key};
use crate::record::{self, RowReader};
use crate::seq::Seq;
use crate::transaction::{Partition, RowVersion, Transaction, key_identity};
use crate::versions::{self, DeadEntry};

pub use history::History;
pub use index::IndexRange;
pub use walk::{IndexPlace, IndexStep};

/// Which partitions of a table a read covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartitionSet {
    /// Every partition.
    All,
    /// One.
    One(Partition),
}

/// A scan of the hot tier (and of a transaction's own pending rows).
#[derive(Clone)]
pub struct HotScan {
    /// The table, as the snapshot's catalog has it.
    pub table: Arc<TableDef>,
    /// Which partitions.
    pub partitions: PartitionSet,
    /// The columns to produce, in this order.
    pub columns: Vec<ScanColumn>,
    /// Only versions in this range of Seqs; pending versions always count as inside.
    pub seqs: RangeInclusive<Seq>,
    /// Rows per batch, at most.
    pub batch_rows: usize,
    /// Stop after this many rows.
    pub limit: Option<usize>,
    /// In each partition from the newest version back, in batches that begin small; pending versions come first.
    pub newest_first: bool,
}

/// One column of a scan's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanColumn {
    /// A column of the table.
    Column(ColumnId),
    /// The version's Seq, `Int64` not null.
    Seq,
    /// The partition's user, `Utf8` not null.
    User,
}

/// What all snapshots between two writes share: the committer makes one after every write, so that the
/// database, the Seq and the catalog in it belong together.
pub(crate) struct View {
    pub(crate) hot: HotSnapshot,
    pub(crate) seq: Seq,
    /// From this time on, in milliseconds since the Unix epoch, no note tells that Seqs did not follow the clock (`moments`).
    pub(crate) follows_ms: i64,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) tables: Arc<HashMap<TableId, Arc<TableDef>>>,
    /// Told when a view goes: files may have waited for it.
    pub(crate) garbage: Arc<Garbage>,
}

impl Drop for View {
    fn drop(&mut self) {
        self.garbage.view_dropped();
    }
}

/// A consistent view at one Seq. While it lives, what it sees stays readable, cold files included.
pub struct Snapshot {
    pub(crate) view: Arc<View>,
    /// When it was taken; decides what has expired.
    pub(crate) taken_ms: i64,
    /// The Seq whose rows it shows: the view's, or an earlier one.
    seq: Seq,
    /// The catalog of a transaction that has changed it, instead of the view's.
    catalog: Option<Arc<Catalog>>,
    /// Whether a Seq was asked for, be it the newest.
    is_as_of: bool,
    /// A time that was asked for, and the lowest Seq since it.
    since: OnceLock<(i64, Seq)>,
}

/// A version that has a key, with its record where it is a transaction's own.
type Held<'t> = Option<(Seq, Option<&'t [u8]>)>;

impl Snapshot {
    /// The rows of a view as they stand there.
    pub(crate) fn new(view: Arc<View>, taken_ms: i64) -> Snapshot {
        Snapshot {
            seq: view.seq,
            view,
            taken_ms,
            catalog: None,
            is_as_of: false,
            since: OnceLock::new(),
        }
    }

    /// The same data as a transaction sees it that has changed the catalog to this one.
    pub fn with_catalog(&self, catalog: Arc<Catalog>) -> Snapshot {
        Snapshot {
            view: self.view.clone(),
            taken_ms: self.taken_ms,
            seq: self.seq,
            catalog: Some(catalog),
            is_as_of: self.is_as_of,
            since: self.since.clone(),
        }
    }

    /// The Seq at which it stands.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The Seq at which it was taken. It keeps what there was then, also where it shows an earlier Seq.
    pub fn taken_at(&self) -> Seq {
        self.view.seq
    }

    /// The catalog at that Seq, or the transaction's own.
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.catalog.as_ref().unwrap_or(&self.view.catalog)
    }

    /// Feeds the live row versions of the hot tier to `sink`, batch by batch, until it breaks; then those
    /// pending in `transaction`. Partition by partition, in Seq order inside each (`newest_first`: backwards). Blocking.
    ///
    /// Batches have one array per `HotScan::columns`, of the types of `ColumnType::arrow`; with no columns
    /// they still carry a row count.
    pub fn scan_hot(
        &self,
        scan: &HotScan,
        transaction: Option<&Transaction>,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        scan::run(self, scan, self.seq(), transaction, sink)
    }

    /// As `scan_hot`, with the versions that died after `floor`, too.
    pub(crate) fn scan_hot_history(
        &self,
        scan: &HotScan,
        floor: Seq,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        scan::run(self, scan, floor, None, sink)
    }

    /// The cold files that hold rows of these partitions, in partition and Seq order. Where the snapshot is of the
    /// past, they hold later versions, too. Blocking.
    pub fn cold_files(
        &self,
        table: &TableDef,
        partitions: &PartitionSet,
    ) -> Result<Vec<ColdFile>, StorageError> {
        let (from, to) = match partitions {
            PartitionSet::All => cold::meta_table_range(META_FILE, table.id),
            PartitionSet::One(partition) => {
                let scope = cold::meta_key(META_FILE, &scope_key(table.id, partition));
                (scope.clone(), scope_end(scope))
            }
        };
        let mut files = Vec::new();
        let mut entries = self.view.hot.iterate(Family::Meta, &from, to);
        while let Some((key, value)) = entries.item() {
            let file = ColdFile::decode(key, value)?;
            if file.first_seq <= self.seq() {
                files.push(file);
            }
            entries.next();
        }
        entries.status()?;
        Ok(files)
    }

    /// The Seqs of the file's versions that are dead at this snapshot, ascending. Blocking.
    pub fn dead_in(&self, table: TableId, file: &ColdFile) -> Result<Vec<Seq>, StorageError> {
        let mut dead = Vec::new();
        self.visit_dead(table, file, |seq| {
            dead.push(seq);
            ControlFlow::Continue(())
        })?;
        Ok(dead)
    }

    /// Whether any version in the table's cold files of these partitions may be dead (false is certain). Blocking.
    pub fn has_dead(&self, table: TableId, file: &ColdFile) -> Result<bool, StorageError> {
        let mut any = false;
        self.visit_dead(table, file, |_| {
            any = true;
            ControlFlow::Break(())
        })?;
        Ok(any)
    }

    fn visit_dead(
        &self,
        table: TableId,
        file: &ColdFile,
        mut visit: impl FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let range = file.first_seq..=file.last_seq;
        self.visit_filed_dead(table, &file.partition, range, self.seq(), |seq, _| {
            visit(seq)
        })
    }

    /// The versions in a range of Seqs that died up to `upto` and are in a file, and what superseded them.
    pub(crate) fn visit_filed_dead(
        &self,
        table: TableId,
        partition: &Partition,
        range: RangeInclusive<Seq>,
        upto: Seq,
        mut visit: impl FnMut(Seq, Seq) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let from = version_key(table, partition, *range.start());
        let to = version_key(table, partition, range.end().next());
        let mut entries = self.view.hot.iterate(Family::Dead, &from, to);
        while let Some((key, value)) = entries.item() {
            let entry = DeadEntry::decode(value)?;
            if entry.by <= upto && !entry.unfiled && visit(seq_of(key)?, entry.by).is_break() {
                return Ok(());
            }
            entries.next();
        }
        Ok(entries.status()?)
    }

    /// The live version with this primary key, whose values are in key order, from either tier's key index
    /// and the hot log; `Lookup::Cold` when the version stands in a cold file only, where `Store::read_cold` finds it. Blocking.
    pub fn lookup(
        &self,
        table: &TableDef,
        partition: &Partition,
        key: &[Datum],
        transaction: Option<&Transaction>,
    ) -> Result<Lookup, StorageError> {
        table.primary().map_or(Ok(Lookup::Absent), |primary| {
            self.lookup_unique(table, partition, primary, key, transaction)
        })
    }

    /// As `lookup`, by any unique key of the table.
    ///
    /// # Panics
    /// When the snapshot is of the past: keys tell of the present only.
    pub fn lookup_unique(
        &self,
        table: &TableDef,
        partition: &Partition,
        unique: UniqueKey<'_>,
        values: &[Datum],
        transaction: Option<&Transaction>,
    ) -> Result<Lookup, StorageError> {
        Ok(
            match self.held(table, partition, unique, values, transaction)? {
                None => Lookup::Absent,
                Some((seq, Some(own))) => self.found(table, seq, own)?,
                Some((seq, None)) => self.version(table, partition, seq)?,
            },
        )
    }

    /// The Seq of what `lookup_unique` finds, which is not read: it may be of a newer schema version than the table's.
    pub fn seq_of_unique(
        &self,
        table: &TableDef,
        partition: &Partition,
        unique: UniqueKey<'_>,
        values: &[Datum],
        transaction: Option<&Transaction>,
    ) -> Result<Option<Seq>, StorageError> {
        let held = self.held(table, partition, unique, values, transaction)?;
        Ok(held.map(|(seq, _)| seq))
    }

    /// The version that has a unique key.
    fn held<'t>(
        &self,
        table: &TableDef,
        partition: &Partition,
        unique: UniqueKey<'_>,
        values: &[Datum],
        transaction: Option<&'t Transaction>,
    ) -> Result<Held<'t>, StorageError> {
        assert!(!self.is_past(), "keys tell of the present only");
        let values = values.iter().map(Datum::as_ref);
        let Some(key) = unique_key(table, partition, unique, values) else {
            return Ok(None);
        };
        let holder = transaction.and_then(|transaction| transaction.key_holder(&key));
        let filled = transaction.and_then(|transaction| transaction.filled(&key));
        let seq = match (holder, filled) {
            (Some(Some(at)), _) => {
                let ops = transaction.map_or(&[][..], Transaction::ops);
                return Ok(Some((Seq::pending(at), Some(&ops[at as usize].record))));
            }
            (Some(None), _) => return Ok(None),
            (None, Some(seq)) => seq,
            (None, None) => match self.holder_of(&key)? {
                Some(seq) => seq,
                None => return Ok(None),
            },
        };
        Ok((seq >= self.oldest(table)?).then_some((seq, None)))
    }

    /// The live row that has a unique key, by the key's bytes. Blocking.
    pub fn holder(&self, table: &TableDef, key: &[u8]) -> Result<Option<Seq>, StorageError> {
        let oldest = self.oldest(table)?;
        Ok(self.holder_of(key)?.filter(|seq| *seq >= oldest))
    }

    fn holder_of(&self, key: &[u8]) -> Result<Option<Seq>, StorageError> {
        match self.view.hot.get(Family::Key, key)? {
            Some(entry) => versions::holder(&entry, self.view.seq),
            None => Ok(None),
        }
    }

    /// A version that is known to live. Blocking.
    pub fn version(
        &self,
        table: &TableDef,
        partition: &Partition,
        seq: Seq,
    ) -> Result<Lookup, StorageError> {
        let key = version_key(table.id, partition, seq);
        match self.view.hot.get(rows_family(table), &key)? {
            Some(record) => self.found(table, seq, &record),
            None => Ok(Lookup::Cold(seq)),
        }
    }

    fn found(&self, table: &TableDef, seq: Seq, record: &[u8]) -> Result<Lookup, StorageError> {
        let record = record::parse(record)?;
        let row =
            RowReader::whole(self.shared_def(table)).row(record.schema_version, record.row)?;
        Ok(Lookup::Hot(RowVersion { seq, row }))
    }

    /// Whether a version that an older snapshot showed is the live one still. Blocking.
    ///
    /// # Panics
    /// When the row is not of the table's types or has NULL in a key column.
    pub fn fate_of(
        &self,
        table: &TableDef,
        partition: &Partition,
        version: &RowVersion,
    ) -> Result<Fate, StorageError> {
        let Some(key) = key_identity(table, partition, &version.row) else {
            let key = version_key(table.id, partition, version.seq);
            let dead = self.view.hot.get(Family::Dead, &key)?;
            let dead = dead.map(|entry| DeadEntry::decode(&entry)).transpose()?;
            return Ok(match dead.is_some_and(|dead| dead.by <= self.view.seq) {
                true => Fate::Updated,
                false => Fate::Live,
            });
        };
        Ok(match self.holder_of(&key)? {
            Some(holder) if holder == version.seq => Fate::Live,
            Some(_) => Fate::Updated,
            None => Fate::Deleted,
        })
    }

    /// The caller's definition, in most cases without a copy.
    fn shared_def(&self, table: &TableDef) -> Arc<TableDef> {
        match self.view.tables.get(&table.id) {
            Some(own)
                if own.schema_version == table.schema_version
                    && own.columns.len() == table.columns.len() =>
            {
                own.clone()
            }
            _ => Arc::new(table.clone()),
        }
    }

    /// The table whose data has this id.
    pub(crate) fn table(&self, id: TableId) -> Result<&Arc<TableDef>, StorageError> {
        let table = match &self.catalog {
            Some(catalog) => catalog.table_by_id(id),
            None => self.view.tables.get(&id),
        };
        table.ok_or(StorageError::NoTable(id.get()))
    }

    /// The lowest Seq of a row that has not expired.
    pub(crate) fn oldest(&self, table: &TableDef) -> Result<Seq, StorageError> {
        match ttl_ms(table) {
            Some(ttl_ms) => self.first_within(ttl_ms),
            None => Ok(Seq::ZERO),
        }
    }

    /// The lowest Seq inside the table's resume window.
    pub(crate) fn oldest_resumable(&self, table: &TableDef) -> Result<Seq, StorageError> {
        self.first_within(table.options.resume_window_ms)
    }

    /// The lowest Seq of what was committed in so many milliseconds up to when the snapshot was taken, or will be later.
    pub(crate) fn first_within(&self, window_ms: i64) -> Result<Seq, StorageError> {
        let since_ms = self.taken_ms.saturating_sub(window_ms);
        if let Some((_, seq)) = self.since.get().filter(|(ms, _)| *ms == since_ms) {
            return Ok(*seq);
        }
        let seq = self.view.first_since(since_ms)?;
        let _ = self.since.set((since_ms, seq));
        Ok(seq)
    }

    /// The state of one partition, if it was ever written to.
    pub(crate) fn state(
        &self,
        table: TableId,
        partition: &Partition,
    ) -> Result<Option<PartitionState>, StorageError> {
        let state = self
            .view
            .hot
            .get(Family::Meta, &cold::state_key(table, partition))?;
        state
            .map(|bytes| PartitionState::decode(&bytes))
            .transpose()
    }

    /// Up to where changes of these partitions may have left the log; `ZERO` when all are there.
    pub(crate) fn trimmed(
        &self,
        table: &TableDef,
        partitions: &PartitionSet,
    ) -> Result<Seq, StorageError> {
        let shared = Partition::shared();
        let partition = match (partitions, table.kind) {
            (PartitionSet::One(partition), _) => partition,
            (PartitionSet::All, TableKind::Shared | TableKind::Stream) => &shared,
            (PartitionSet::All, TableKind::User) => {
                let mark = self
                    .view
                    .hot
                    .get(Family::Meta, &cold::trimmed_key(table.id))?;
                return mark.map_or(Ok(Seq::ZERO), |bytes| read_seq(&bytes));
            }
        };
        let state = self.state(table.id, partition)?;
        Ok(state.map_or(Seq::ZERO, |state| state.trimmed))
    }

    /// The partitions of a set that were ever written to, in key order.
    pub fn states(
        &self,
        table: TableId,
        partitions: &PartitionSet,
    ) -> Result<Vec<(Partition, PartitionState)>, StorageError> {
        if let PartitionSet::One(partition) = partitions {
            return Ok(self
                .state(table, partition)?
                .map(|state| (partition.clone(), state))
                .into_iter()
                .collect());
        }
        let mut states = Vec::new();
        let (from, to) = cold::meta_table_range(META_STATE, table);
        let mut entries = self.view.hot.iterate(Family::Meta, &from, to);
        while let Some((key, value)) = entries.item() {
            let (_, partition, _) = parse_scope(&key[1..])?;
            states.push((partition, PartitionState::decode(value)?));
            entries.next();
        }
        entries.status()?;
        Ok(states)
    }
}

/// How long rows of a STREAM table live.
pub(crate) fn ttl_ms(table: &TableDef) -> Option<i64> {
    (table.options.ttl_ms).filter(|_| table.kind == TableKind::Stream)
}

/// Where the records of a table stand.
pub(crate) fn rows_family(table: &TableDef) -> Family {
    match table.kind {
        TableKind::Stream => Family::Stream,
        TableKind::User | TableKind::Shared => Family::Log,
    }
}

/// What has become of a row version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is live.
    Live,
    /// Another version superseded it (or, without a primary key to tell, it was deleted).
    Updated,
    /// No live row has its key.
    Deleted,
}

/// What `Snapshot::lookup` found.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// No live row has this key.
    Absent,
    /// The row.
    Hot(RowVersion),
    /// The row lives with this Seq in a cold file.
    Cold(Seq),
}
