//! Committing a transaction that changes the catalog.

use std::sync::Arc;

use rocksdb::WriteBatch;

use super::check::{Group, Lookup};
use super::ddl::{Tables, json, store, tables_of, try_changed};
use super::erase::dropped_roles;
use super::{Committer, Shared};
use crate::catalog::{Catalog, CatalogChange, TableDef, TableId};
use crate::changes::{Extent, encode_commit};
use crate::cold::{self, META_FILE, META_GARBAGE, META_HISTORY, META_STATE, META_TRIMMED};
use crate::error::{CommitError, StorageError};
use crate::failpoint::Step;
use crate::hot::{Family, HotSnapshot};
use crate::key::{
    index_entry, index_scope, parse_scope, prefix_end, seq_bytes, table_range, version_key,
};
use crate::record::encode_catalog;
use crate::seq::Seq;
use crate::transaction::{CatalogChanges, Partition, Transaction};
use crate::versions::KeyEntry;

/// A catalog that is made, and the files that are garbage with it.
pub(super) struct Made {
    catalog: Arc<Catalog>,
    tables: Tables,
    garbage: Vec<String>,
}

impl Committer {
    /// Checks and writes a transaction that changes the catalog. Its row changes are checked against the new one.
    pub(super) fn apply_with_catalog(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<Seq, CommitError> {
        let catalog = (transaction.catalog.take()).expect("the transaction changes the catalog");
        self.check_alive()?;
        let new = self.planned(&catalog, transaction)?;
        transaction.forget_gone(&new);
        let count = catalog.changes.len() as u64 + transaction.seqs();
        let first = self.shared.generator.draw(count);
        let mut group = Group::default();
        let made =
            self.put_planned(&mut group, &catalog, new, (first, first.advance(count - 1)))?;

        let before = std::mem::replace(&mut self.tables, made.tables.clone());
        let rows = first.advance(catalog.changes.len() as u64);
        let last = match self.apply_at(&mut group, transaction, rows) {
            Ok(last) => last,
            Err(error) => {
                self.tables = before;
                return Err(error);
            }
        };
        self.write_with_catalog(group, last, &catalog, made)?;
        Ok(last)
    }

    /// The catalog that a transaction makes, if it can still be committed.
    pub(super) fn planned(
        &self,
        catalog: &CatalogChanges,
        transaction: &Transaction,
    ) -> Result<Arc<Catalog>, CommitError> {
        let old = self.shared.view();
        if (old.catalog).is_past(catalog.base_version, &catalog.changes) {
            return Err(CommitError::CatalogChanged);
        }
        self.check_reads(&Group::default(), transaction)?;
        self.check_users(transaction)?;
        self.check_dropped_roles(&catalog.changes, transaction)?;
        // What a session has for itself may lean on what has gone since.
        let new = try_changed(&old.catalog, &catalog.changes);
        let new = new.ok().filter(|new| new.without_type().is_none());
        Ok(Arc::new(new.ok_or(CommitError::CatalogChanged)?))
    }

    /// Adds a change of the catalog to the batch, and what it takes away, of a transaction with these Seqs.
    pub(super) fn put_planned(
        &self,
        group: &mut Group,
        catalog: &CatalogChanges,
        new: Arc<Catalog>,
        (first, last): (Seq, Seq),
    ) -> Result<Made, StorageError> {
        let old = self.shared.view();
        self.put_catalog(group, &catalog.changes, &old.catalog, &new, first)?;
        let tables = tables_of(&new);
        let mut garbage = Vec::new();
        for id in old.tables.keys().filter(|id| !tables.contains_key(id)) {
            garbage.extend(remove_data(&self.shared, &mut group.batch, *id)?);
        }
        for table in tables.values() {
            match old.tables.get(&table.id) {
                Some(before) if Arc::ptr_eq(before, table) => {}
                Some(before) => {
                    remove_indexes(&self.shared, &mut group.batch, before, table)?;
                    if !table.looks_like(before) {
                        self.note_altered(&mut group.batch, table.id, last)?;
                    }
                }
                None => {
                    // With the rows that the transaction puts into it.
                    self.begin_history(&mut group.batch, table.id, last);
                }
            }
        }
        self.shared.failpoints.reach(Step::CatalogChecked)?;
        Ok(Made {
            catalog: new,
            tables,
            garbage,
        })
    }

    /// Writes a transaction that changes the catalog, whose newest Seq is `last`, and tells everybody.
    pub(super) fn write_with_catalog(
        &mut self,
        group: Group,
        last: Seq,
        catalog: &CatalogChanges,
        made: Made,
    ) -> Result<(), CommitError> {
        self.tables = made.tables.clone();
        (self.states).retain(|(table, _), _| made.tables.contains_key(table));
        self.write_group(group, last, Some((made.catalog, made.garbage)), true)
            .map_err(|error| CommitError::Unknown(error.to_string()))?;
        let gone = dropped_roles(&catalog.changes).map(|partition| (partition, last));
        self.dropped_roles.extend(gone);
        self.shared.watches.catalog_changed(last);
        Ok(())
    }

    /// Adds the changes, as objects and as records of the system table, to the batch.
    fn put_catalog(
        &self,
        group: &mut Group,
        changes: &[CatalogChange],
        old: &Catalog,
        new: &Catalog,
        first: Seq,
    ) -> Result<(), StorageError> {
        let hot = &self.shared.hot;
        store(hot, &mut group.batch, old, new)?;
        let last = first.advance(changes.len() as u64 - 1);
        let system = Partition::shared();
        for (at, change) in changes.iter().enumerate() {
            let seq = first.advance(at as u64);
            let record = encode_catalog(&json(change)?, seq == last);
            let key = version_key(TableId::SYSTEM, &system, seq);
            group.batch.put_cf(hot.family(Family::Log), key, record);
        }
        let extent = Extent {
            table: TableId::SYSTEM,
            partition: system,
            first,
            last,
        };
        let commit = encode_commit(last, &[extent]);
        (group.batch).put_cf(hot.family(Family::Commit), seq_bytes(first), commit);
        group.last = Some(last);
        Ok(())
    }

    /// Checks the rest of such a transaction, whose first row change gets the Seq `first`; returns the last Seq.
    fn apply_at(
        &self,
        group: &mut Group,
        transaction: &mut Transaction,
        first: Seq,
    ) -> Result<Seq, CommitError> {
        for fill in transaction.fill_rows() {
            for (_, key) in &fill.keys.unique {
                let holder = self.holder(&group.overlay, key)?;
                if holder.is_some_and(|holder| holder != fill.seq) {
                    return Err(CommitError::UniqueViolation {
                        table: fill.table.clone(),
                        index: fill.index,
                        key: fill.values.clone(),
                    });
                }
                group.overlay.set_key(key, Some(fill.seq));
                let keys = self.shared.hot.family(Family::Key);
                let entry = KeyEntry::of(fill.seq).encode();
                group.batch.put_cf(keys, key, entry);
            }
            for entry in &fill.keys.entries {
                let index = self.shared.hot.family(Family::Index);
                group.batch.put_cf(index, index_entry(entry, fill.seq), b"");
            }
        }
        if transaction.seqs() == 0 {
            return Ok(first.previous());
        }
        self.check_tables(transaction)?;
        let now_ms = self.shared.generator.now_ms();
        self.check(&mut group.overlay, transaction, first, now_ms)?;
        self.append(group, transaction, first)
    }
}

/// Takes a table's keys away and notes its files as garbage, whose paths it returns.
fn remove_data(
    shared: &Shared,
    batch: &mut WriteBatch,
    table: TableId,
) -> Result<Vec<String>, StorageError> {
    let hot = &shared.hot;
    let meta = hot.family(Family::Meta);
    let snapshot = HotSnapshot::take(hot);
    let mut paths = Vec::new();
    let (from, to) = cold::meta_table_range(META_FILE, table);
    let mut files = snapshot.iterate(Family::Meta, &from, to);
    while let Some((key, value)) = files.item() {
        let path = cold::ColdFile::decode(key, value)?.path;
        batch.put_cf(meta, cold::meta_key(META_GARBAGE, path.as_bytes()), b"");
        paths.push(path);
        files.next();
    }
    files.status()?;
    let (from, to) = table_range(table);
    for family in [
        Family::Log,
        Family::Key,
        Family::Index,
        Family::Dead,
        Family::Stream,
    ] {
        batch.delete_range_cf(hot.family(family), &from, &to);
    }
    for kind in [META_FILE, META_STATE, META_TRIMMED, META_HISTORY] {
        let (from, to) = cold::meta_table_range(kind, table);
        batch.delete_range_cf(meta, from, to);
    }
    Ok(paths)
}

/// Takes away the keys of indexes that a table no longer has.
fn remove_indexes(
    shared: &Shared,
    batch: &mut WriteBatch,
    old: &TableDef,
    new: &TableDef,
) -> Result<(), StorageError> {
    for id in old.index_ids().filter(|id| !new.has_index(*id)) {
        let snapshot = HotSnapshot::take(&shared.hot);
        let (from, to) = cold::meta_table_range(META_STATE, old.id);
        let mut states = snapshot.iterate(Family::Meta, &from, to);
        while let Some((key, _)) = states.item() {
            let (_, partition, _) = parse_scope(&key[1..])?;
            let from = index_scope(old.id, &partition, id);
            let to = prefix_end(from.clone());
            for family in [Family::Key, Family::Index] {
                batch.delete_range_cf(shared.hot.family(family), &from, &to);
            }
            states.next();
        }
        states.status()?;
    }
    Ok(())
}
