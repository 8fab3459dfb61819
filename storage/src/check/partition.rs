//! One partition: its log, its dead versions, its live rows and what points at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::referenced;
use super::{Checker, Invariant, place};
use crate::catalog::{IndexId, TableDef, TableKind};
use crate::changes::ChangeOp;
use crate::cold::{self, ColdFile, META_FILE, META_STATE, PartitionState};
use crate::datum::Row;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{
    index_entry, parse_scope, prefix_end, scope_end, scope_key, seq_of, unique_key, version_key,
};
use crate::moments;
use crate::record::{self, RowReader};
use crate::seq::Seq;
use crate::snapshot::{History, rows_family, ttl_ms};
use crate::transaction::{Partition, RowKeys};
use crate::versions::{self, DeadEntry};

/// Strays of one index that a report names.
const STRAYS_NAMED: u64 = 5;

/// Up to where the records of a partition have left its log.
pub(super) fn log_floor(table: &TableDef, state: &PartitionState) -> Seq {
    match table.kind {
        TableKind::Stream => state.watermark,
        TableKind::User | TableKind::Shared => state.trimmed,
    }
}

/// The partition that is being checked.
pub(super) struct Scope {
    pub(super) table: Arc<TableDef>,
    pub(super) partition: Partition,
    pub(super) state: PartitionState,
    /// From here on its table's past is whole.
    complete_from: Seq,
    /// The lowest Seq of a row that has not expired.
    oldest: Seq,
    /// What its keys start with.
    pub(super) key: Vec<u8>,
    /// Its files, in order.
    pub(super) files: Vec<ColdFile>,
    /// Entries that a live row was found for, by key or index.
    matched: BTreeMap<(bool, IndexId), u64>,
}

impl Scope {
    pub(super) fn place(&self) -> String {
        place(&self.table, &self.partition)
    }

    pub(super) fn version(&self, seq: Seq) -> Vec<u8> {
        version_key(self.table.id, &self.partition, seq)
    }

    pub(super) fn is_keyed(&self) -> bool {
        !self.table.primary_key.is_empty()
    }

    fn holder(&self, seq: Seq) -> Option<&ColdFile> {
        let behind = self.files.partition_point(|file| file.first_seq <= seq);
        self.files[..behind]
            .last()
            .filter(|file| seq <= file.last_seq)
    }
}

type Step<'a> = fn(&mut Checker<'a>, &mut Scope) -> Result<(), StorageError>;

impl Checker<'_> {
    /// Every partition of every table, one after the other.
    pub(super) fn partitions(&mut self) -> Result<(), StorageError> {
        for table in self.tables.values().cloned().collect::<Vec<_>>() {
            if !table.computed.is_empty() && self.reads_expressions && table.compute().is_none() {
                let place = format!("{}.{}", table.schema, table.name);
                let what = "the expressions of its indexes cannot be read";
                self.report.find(Invariant::IndexesExact, place, what);
            }
            let history = self.hot.get(Family::Meta, &cold::history_key(table.id))?;
            let history = history.and_then(|bytes| History::decode(&bytes).ok());
            let since_ms = ttl_ms(&table).map(|ttl_ms| self.now_ms.saturating_sub(ttl_ms));
            let oldest = since_ms.map(|since_ms| moments::first_since(self.hot, since_ms));
            let oldest = oldest.transpose()?.unwrap_or(Seq::ZERO);
            let (from, to) = cold::meta_table_range(META_STATE, table.id);
            let mut states = self.hot.iterate(Family::Meta, &from, to);
            while let Some((key, value)) = states.item() {
                // What does not decode was found already.
                if let (Ok((_, partition, _)), Ok(state)) =
                    (parse_scope(&key[1..]), PartitionState::decode(value))
                {
                    self.report.partitions += 1;
                    let mut scope = Scope {
                        key: scope_key(table.id, &partition),
                        table: table.clone(),
                        partition,
                        state,
                        complete_from: history.map_or(Seq::MAX, |history| history.complete_from),
                        oldest,
                        files: Vec::new(),
                        matched: BTreeMap::new(),
                    };
                    self.partition(&mut scope)?;
                }
                states.next();
            }
            states.status()?;
        }
        Ok(())
    }

    fn partition(&mut self, scope: &mut Scope) -> Result<(), StorageError> {
        let steps: [Step<'_>; 4] = [
            Checker::manifest,
            Checker::log,
            Checker::dead,
            Checker::files,
        ];
        let mut all_seen = true;
        for step in steps {
            let done = step(self, scope);
            all_seen &= self.go_on(&scope.place(), done)?;
        }
        if !all_seen {
            // Rows that were not seen would be missed.
            return Ok(());
        }
        for family in [Family::Key, Family::Index] {
            let done = self.counts(scope, family);
            self.go_on(&scope.place(), done)?;
        }
        Ok(())
    }

    fn manifest(&mut self, scope: &mut Scope) -> Result<(), StorageError> {
        let from = cold::meta_key(META_FILE, &scope.key);
        let mut files = self
            .hot
            .iterate(Family::Meta, &from, scope_end(from.clone()));
        while let Some((key, value)) = files.item() {
            scope.files.extend(ColdFile::decode(key, value));
            files.next();
        }
        Ok(files.status()?)
    }

    /// The log: its records, what they superseded, the rows that live behind the watermark, and the state.
    fn log(&mut self, scope: &mut Scope) -> Result<(), StorageError> {
        let (table, state) = (scope.table.clone(), scope.state);
        let (family, floor) = (rows_family(&table), log_floor(&table, &state));
        let mut rows_of = RowReader::whole(table.clone());
        let (mut rows, mut bytes, mut all_bytes, mut first, mut last) = (0, 0, 0, None, Seq::ZERO);
        let end = scope_end(scope.key.clone());
        let mut dead = self.hot.iterate(Family::Dead, &scope.key, end.clone());
        let mut records = self.hot.iterate(family, &scope.key, end);
        while let Some((key, value)) = records.item() {
            let seq = seq_of(key)?;
            self.report.records += 1;
            last = seq;
            all_bytes += value.len() as u64;
            if key.len() != scope.key.len() + 8 || seq <= floor {
                let what = format!("the log holds {seq}, and should end behind {floor}");
                self.report
                    .find(Invariant::StatesAgree, scope.place(), what);
            }
            if seq > state.watermark {
                (rows, bytes) = (rows + 1, bytes + value.len() as u64);
                first.get_or_insert(seq);
            }
            while dead.key().is_some_and(|dead| dead < key) {
                dead.next();
            }
            let is_dead = dead.key() == Some(key);
            match decode(&mut rows_of, value) {
                Ok((op, old, row, says_last)) => {
                    let of = (&*table, &scope.partition);
                    self.commits
                        .check_record(&mut self.report, of, seq, says_last)?;
                    if op != ChangeOp::Insert {
                        self.superseded(scope, old, seq)?;
                    }
                    if seq > state.watermark && op != ChangeOp::Delete && !is_dead {
                        self.live_row(scope, seq, &row)?;
                    }
                }
                Err(error) => {
                    let what = format!("the record {seq}: {error}");
                    self.report
                        .find(Invariant::RecordsDecode, scope.place(), what);
                }
            }
            records.next();
        }
        records.status()?;
        dead.status()?;
        if (rows, bytes) != (state.unflushed_rows, state.unflushed_bytes) {
            let what = format!(
                "{rows} records of {bytes} bytes wait, its state says {} of {}",
                state.unflushed_rows, state.unflushed_bytes
            );
            self.report
                .find(Invariant::StatesAgree, scope.place(), what);
        }
        if all_bytes != state.log_bytes {
            let what = format!(
                "its log has {all_bytes} bytes, its state says {}",
                state.log_bytes
            );
            self.report
                .find(Invariant::StatesAgree, scope.place(), what);
        }
        if state.last_seq > floor && last != state.last_seq {
            let what = format!("its log ends at {last}, its state says {}", state.last_seq);
            self.report
                .find(Invariant::StatesAgree, scope.place(), what);
        }
        if first.is_some_and(|first| {
            state.first_unflushed == Seq::ZERO || state.first_unflushed > first
        }) {
            let what = format!(
                "its oldest record that waits is {}, its state says {}",
                first.unwrap_or_default(),
                state.first_unflushed
            );
            self.report
                .find(Invariant::StatesAgree, scope.place(), what);
        }
        Ok(())
    }

    /// What the record `by` superseded is dead by it, or has left the dead set with its last copy.
    fn superseded(&mut self, scope: &Scope, old: Seq, by: Seq) -> Result<(), StorageError> {
        let entry = self.hot.get(Family::Dead, &scope.version(old))?;
        let entry = entry.map(|value| DeadEntry::decode(&value)).transpose()?;
        let flushed = old <= scope.state.watermark;
        let stream = scope.table.kind == TableKind::Stream;
        let past = flushed && !stream && by > scope.complete_from;
        let (invariant, what) = match entry {
            _ if old >= by => {
                let what = format!("{by} supersedes {old}, which is not older");
                (Invariant::DeadAgree, what)
            }
            Some(entry) if entry.by != by => {
                let what = format!("{by} supersedes {old}, which is dead by {}", entry.by);
                (Invariant::DeadAgree, what)
            }
            Some(entry) if past && entry.unfiled => {
                let what = format!("{old} is in no file, but lived before {by}");
                (Invariant::HistoryComplete, what)
            }
            None if past || !(flushed && (stream || scope.is_keyed())) => {
                let what = format!("{by} supersedes {old}, which is not dead");
                (Invariant::DeadAgree, what)
            }
            _ => return Ok(()),
        };
        self.report.find(invariant, scope.place(), what);
        Ok(())
    }

    fn dead(&mut self, scope: &mut Scope) -> Result<(), StorageError> {
        let (table, state) = (&scope.table, &scope.state);
        let (family, floor) = (rows_family(table), log_floor(table, state));
        let mut dead = self
            .hot
            .iterate(Family::Dead, &scope.key, scope_end(scope.key.clone()));
        while let Some((key, value)) = dead.item() {
            let (seq, entry) = (seq_of(key)?, DeadEntry::decode(value)?);
            let by = entry.by;
            let mut wrong = |what: String| {
                let what = format!("{seq} is dead by {by}{what}");
                self.report.find(Invariant::DeadAgree, scope.place(), what);
            };
            if by <= seq || by > state.last_seq {
                wrong(", which cannot have superseded it".to_string());
            } else if by > floor {
                let record = self.hot.get(family, &scope.version(by))?;
                let old = record.and_then(|record| record::superseded(&record));
                if old != Some(seq) {
                    wrong(", a record that did not supersede it".to_string());
                }
            }
            if seq > floor {
                let record = self.hot.get(family, &scope.version(seq))?;
                if !record.is_some_and(|record| record::is_version(&record)) {
                    wrong(" and no version of its log".to_string());
                }
            }
            // It leaves with the record that superseded the version.
            if entry.unfiled && (seq > state.watermark || scope.is_keyed() || by <= state.trimmed) {
                wrong(" and wrongly marked unfiled".to_string());
            }
            let flushed = seq <= state.watermark && !entry.unfiled;
            if flushed && scope.holder(seq).is_none() {
                wrong(", in no file, and not marked unfiled".to_string());
            }
            dead.next();
        }
        Ok(dead.status()?)
    }

    /// A version that lives has its entries in keys and indexes, and its parents.
    pub(super) fn live_row(
        &mut self,
        scope: &mut Scope,
        seq: Seq,
        row: &Row,
    ) -> Result<(), StorageError> {
        self.report.rows += 1;
        let Some(keys) = RowKeys::checked(&scope.table, &scope.partition, row) else {
            let what = format!("the row {seq} has no primary key or a value of another type");
            self.report.find(Invariant::KeysExact, scope.place(), what);
            return Ok(());
        };
        // A newer row may have taken the key of one that has expired.
        let expired = seq < scope.oldest;
        for (id, key) in &keys.unique {
            let holder = self.hot.get(Family::Key, key)?;
            match holder.map_or(Ok(None), |entry| versions::holder(&entry, Seq::MAX))? {
                Some(holder) if holder == seq => {
                    *scope.matched.entry((true, *id)).or_default() += 1;
                }
                Some(_) if expired => {}
                Some(holder) if self.lives(scope, holder)? => {
                    let what = format!("{seq} and {holder} have one key {}", id.get());
                    self.report
                        .find(Invariant::OneRowPerKey, scope.place(), what);
                }
                Some(holder) => {
                    let what = format!("key {} of the row {seq} points at {holder}", id.get());
                    self.report.find(Invariant::KeysExact, scope.place(), what);
                }
                None if expired || !scope.table.is_ready(*id) => {}
                None => {
                    let what = format!("the row {seq} has no entry in key {}", id.get());
                    self.report.find(Invariant::KeysExact, scope.place(), what);
                }
            }
        }
        for entry in &keys.entries {
            let id = index_of(scope, entry);
            if self
                .hot
                .get(Family::Index, &index_entry(entry, seq))?
                .is_some()
            {
                *scope.matched.entry((false, id)).or_default() += 1;
            } else if scope.table.is_ready(id) {
                let what = format!("the row {seq} has no entry in index {}", id.get());
                self.report
                    .find(Invariant::IndexesExact, scope.place(), what);
            }
        }
        self.parents(scope, seq, row)
    }

    /// Whether a version lives, as far as can be told without its file.
    fn lives(&self, scope: &Scope, seq: Seq) -> Result<bool, StorageError> {
        let version = scope.version(seq);
        if self.hot.get(Family::Dead, &version)?.is_some() {
            return Ok(false);
        }
        if seq <= scope.state.watermark {
            return Ok(scope.holder(seq).is_some());
        }
        Ok(self.hot.get(rows_family(&scope.table), &version)?.is_some())
    }

    /// The rows that a row references are there.
    fn parents(&mut self, scope: &Scope, seq: Seq, row: &Row) -> Result<(), StorageError> {
        let foreign = scope.table.foreign_keys.iter();
        for key in foreign.filter(|key| key.ready && !key.not_valid) {
            let Some(parent) = self.catalog.beside(scope.table.id, &key.parent) else {
                continue;
            };
            let Some(unique) = referenced(parent, key) else {
                continue;
            };
            let value = |column| {
                let at = key.parent_columns.iter().position(|of| of == column)?;
                Some(row[scope.table.index_of(*key.columns.get(at)?)?].as_ref())
            };
            let values: Option<Vec<_>> = unique.columns.iter().map(value).collect();
            // `None` also where a value is NULL, which references nothing.
            let held =
                values.and_then(|values| unique_key(parent, &scope.partition, unique, values));
            if let Some(held) = held
                && parent.kind != TableKind::Stream
                && self.hot.get(Family::Key, &held)?.is_none()
            {
                let what = format!("the row {seq} lacks the row that {} references", key.name);
                self.report
                    .find(Invariant::ReferencesHold, scope.place(), what);
            }
        }
        Ok(())
    }

    /// There are no more entries than live rows were found for.
    fn counts(&mut self, scope: &Scope, family: Family) -> Result<(), StorageError> {
        let unique = family == Family::Key;
        let invariant = match unique {
            true => Invariant::KeysExact,
            false => Invariant::IndexesExact,
        };
        let mut entries = self
            .hot
            .iterate(family, &scope.key, scope_end(scope.key.clone()));
        while let Some(key) = entries.key() {
            let id = index_of(scope, key);
            let from = [&scope.key, id.get().to_be_bytes().as_slice()].concat();
            let (mut count, mut named) = (0, 0);
            let known = match unique {
                true => scope.table.unique_key(id).is_some(),
                false => scope
                    .table
                    .indexes
                    .iter()
                    .any(|index| index.id == id && !index.unique),
            };
            while let Some((key, value)) = entries.item().filter(|(key, _)| key.starts_with(&from))
            {
                count += 1;
                let seq = match unique {
                    true => versions::holder(value, Seq::MAX)?,
                    false => versions::indexed(key, value, Seq::MAX)?,
                };
                let lives = seq.map_or(Ok(false), |seq| self.lives(scope, seq))?;
                if named < STRAYS_NAMED && !lives {
                    named += 1;
                    let what = match seq {
                        Some(seq) => format!(
                            "an entry of {} points at {seq}, which does not live",
                            id.get()
                        ),
                        None => format!("an entry of {} is void", id.get()),
                    };
                    self.report.find(invariant, scope.place(), what);
                }
                entries.next();
            }
            self.report.entries += count;
            let matched = scope.matched.get(&(unique, id)).copied().unwrap_or(0);
            if !known {
                let what = format!(
                    "{count} entries of {}, which the table does not have",
                    id.get()
                );
                self.report.find(invariant, scope.place(), what);
            } else if count != matched && !is_untold(&scope.table, id) {
                let what = format!("{} has {count} entries, {matched} of live rows", id.get());
                self.report.find(invariant, scope.place(), what);
            }
            entries.seek(prefix_end(from));
        }
        Ok(entries.status()?)
    }
}

/// Whether only who evaluates expressions could tell the entries of an index, and nobody here does.
fn is_untold(table: &TableDef, id: IndexId) -> bool {
    let index = table.indexes.iter().find(|index| index.id == id);
    let is_computed = index.is_some_and(|index| {
        let computed = index.columns.iter().any(|id| id.is_computed());
        computed || index.predicate.is_some()
    });
    is_computed && table.compute().is_none()
}

/// The key or index that an entry of a partition is of.
fn index_of(scope: &Scope, entry: &[u8]) -> IndexId {
    let id = entry
        .get(scope.key.len()..)
        .and_then(|rest| rest.first_chunk::<2>());
    IndexId::new(id.map_or(u16::MAX, |id| u16::from_be_bytes(*id)))
}

/// A record as a whole: its op, what it superseded, its row, and whether it says to be its transaction's last.
fn decode(rows: &mut RowReader, value: &[u8]) -> Result<(ChangeOp, Seq, Row, bool), StorageError> {
    let record = record::parse(value)?;
    if let Some(old) = record.old_row {
        rows.row(record.schema_version, old)?;
    }
    let row = rows.row(record.schema_version, record.row)?;
    let old = record.superseded.unwrap_or_default();
    Ok((record.op, old, row, record.ends_transaction))
}
