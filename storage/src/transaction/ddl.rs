//! A transaction that changes the catalog: its row changes follow the new definitions, and rows from before a new
//! index are added to it with the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Op, Partition, RowKeys, RowVersion, Transaction};
use crate::catalog::{Catalog, CatalogChange, ColumnId, IndexId, TableDef, TableId};
use crate::commit::check::unique_violation;
use crate::computed::Keyed;
use crate::datum::{Datum, DatumRef};
use crate::error::{CommitError, StorageError};
use crate::key;
use crate::record::{self, RowReader};
use crate::seq::Seq;

/// Catalog changes on their way to the committer.
#[derive(Debug)]
pub(crate) struct CatalogChanges {
    /// The version of the catalog that they were planned on.
    pub(crate) base_version: u64,
    pub(crate) changes: Vec<CatalogChange>,
}

/// A row from before an index that the transaction makes, and its entry there.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) table: Arc<TableDef>,
    pub(crate) index: IndexId,
    pub(crate) seq: Seq,
    pub(crate) keys: RowKeys,
    /// Its values in the index, for an error.
    pub(crate) values: Vec<Datum>,
}

/// What the transaction adds to new indexes.
#[derive(Debug, Default)]
pub(super) struct Fills {
    rows: Vec<Fill>,
    holders: HashMap<Arc<[u8]>, Seq>,
}

/// How far a transaction has come; see `Transaction::rollback_to_mark`.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    ops: usize,
    fills: usize,
}

impl Transaction {
    /// Has the commit change the catalog first: `CatalogChanged` if what the changes are about was changed after
    /// `base_version` (`Catalog::is_past`).
    pub fn change_catalog(&mut self, base_version: u64, changes: Vec<CatalogChange>) {
        self.catalog = Some(CatalogChanges {
            base_version,
            changes,
        });
    }

    /// Whether it changes nothing at all.
    pub fn is_noop(&self) -> bool {
        self.ops.is_empty() && self.catalog.is_none() && self.notifications.is_empty()
    }

    /// Whether nothing was put into it.
    pub fn is_untouched(&self) -> bool {
        self.ops.is_empty() && self.fills.rows.is_empty()
    }

    /// Whether the commit adds rows from before to an index that reads of the transaction therefore cannot use.
    pub fn fills(&self, table: TableId, index: IndexId) -> bool {
        let of = |fill: &Fill| fill.table.id == table && fill.index == index;
        self.fills.rows.iter().any(of)
    }

    /// A mark for `rollback_to_mark`.
    pub fn mark(&self) -> Mark {
        Mark {
            ops: self.ops.len(),
            fills: self.fills.rows.len(),
        }
    }

    /// Forgets all that was added since the mark.
    pub fn rollback_to_mark(&mut self, mark: Mark) {
        self.rollback_to(mark.ops);
        for fill in self.fills.rows.drain(mark.fills..) {
            self.bytes -= fill.bytes();
            for (_, key) in &fill.keys.unique {
                self.fills.holders.remove(key);
            }
        }
    }

    /// Gives the changes so far the keys that the definitions of `catalog` ask for, which the transaction has made of
    /// those of `before`. Changes of tables that are not in it stay as they are: a rollback to a savepoint may bring
    /// the tables back. So do those that were made under a definition older than `before`'s: others have changed it since, and
    /// the commit is refused. `UniqueViolation` when two rows of the transaction now have one key; then it is to be
    /// rolled back.
    pub fn follow_catalog(
        &mut self,
        before: &Catalog,
        catalog: &Catalog,
    ) -> Result<(), CommitError> {
        // All are counted anew, as an earlier call may have ended halfway.
        self.touched.keys.clear();
        self.deferrable.clear();
        let tables: HashSet<TableId> = self.ops.iter().map(|op| op.table.id).collect();
        let definition = |id: &TableId| {
            let version = before.table_by_id(*id).map(|table| table.schema_version);
            Some((*id, (version, catalog.table_by_id(*id)?.clone())))
        };
        let definitions: HashMap<_, _> = tables.iter().filter_map(definition).collect();
        for at in 0..self.ops.len() {
            let op = &mut self.ops[at];
            if let Some((version, now)) = definitions.get(&op.table.id)
                && version.is_none_or(|version| version == op.table.schema_version)
                && !Arc::ptr_eq(now, &op.table)
            {
                op.follow(now)?;
                self.bytes = self.bytes.saturating_sub(op.counted) + op.bytes();
                op.counted = op.bytes();
            }
            let holder = u32::try_from(at).expect("a transaction has less than 2^32 changes");
            op.undo.clear();
            for (_, key) in &op.old_keys.unique {
                op.undo.push(self.touched.keys.insert(key.clone(), None));
            }
            for (index, key) in &op.keys.unique {
                let before = self.touched.keys.insert(key.clone(), Some(holder));
                if let Some(Some(_)) = before
                    && !op.table.is_deferrable(*index)
                {
                    return Err(unique_violation(&op.table, *index, &op.record));
                }
                op.undo.push(before);
            }
            self.note_deferrable(at);
        }
        Ok(())
    }

    /// Adds rows to an index that the transaction has made; its own rows are in it by `follow_catalog`, and are
    /// passed over. The caller makes the commit depend on the table's partitions, so that no row is missed.
    /// `UniqueViolation` when two rows have the same values.
    ///
    /// # Panics
    /// When a row is not of the table's types.
    pub fn fill_index(
        &mut self,
        table: &Arc<TableDef>,
        index: IndexId,
        rows: Vec<(Partition, RowVersion)>,
    ) -> Result<(), CommitError> {
        for (partition, version) in rows {
            if version.seq.as_pending().is_some() {
                continue;
            }
            let (keys, values) = entry_of(table, &partition, index, &version)?;
            for (_, key) in &keys.unique {
                let own = matches!(self.touched.keys.get(key), Some(Some(_)));
                if own || self.fills.holders.contains_key(key) {
                    return Err(CommitError::UniqueViolation {
                        table: table.clone(),
                        index,
                        key: values,
                    });
                }
                self.fills.holders.insert(key.clone(), version.seq);
            }
            let fill = Fill {
                table: table.clone(),
                index,
                seq: version.seq,
                keys,
                values,
            };
            self.bytes += fill.bytes();
            self.fills.rows.push(fill);
        }
        Ok(())
    }

    /// Which row from before holds a key of an index that the transaction has made.
    pub(crate) fn filled(&self, key: &[u8]) -> Option<Seq> {
        self.fills.holders.get(key).copied()
    }

    pub(crate) fn fill_rows(&self) -> &[Fill] {
        &self.fills.rows
    }

    /// Forgets the changes of tables that are gone, and what was to be added to indexes that are.
    pub(crate) fn forget_gone(&mut self, catalog: &Catalog) {
        let has = |table: TableId, index: IndexId| {
            let table = catalog.table_by_id(table);
            table.is_some_and(|table| table.has_index(index))
        };
        (self.fills.rows).retain(|fill| has(fill.table.id, fill.index));
        if (self.ops.iter()).all(|op| catalog.table_by_id(op.table.id).is_some()) {
            return;
        }
        // Pending Seqs count the changes that are left.
        let mut places = HashMap::new();
        let mut kept = Vec::new();
        for (at, mut op) in std::mem::take(&mut self.ops).into_iter().enumerate() {
            if catalog.table_by_id(op.table.id).is_none() {
                continue;
            }
            places.insert(at as u32, kept.len() as u32);
            if let Some(old) = op.old.as_pending() {
                let old = places.get(&old).expect("a version's table is its row's");
                op.old = Seq::pending(*old);
            }
            kept.push(op);
        }
        self.ops = kept;
        self.deferrable.clear();
        (0..self.ops.len()).for_each(|at| self.note_deferrable(at));
    }
}

impl Op {
    /// Takes the keys that another definition of its table asks for.
    fn follow(&mut self, table: &Arc<TableDef>) -> Result<(), StorageError> {
        let record = record::parse(&self.record)?;
        let mut reader = RowReader::whole(table.clone());
        let row = reader.row(record.schema_version, record.row)?;
        let old_row = record
            .old_row
            .map(|old| reader.row(record.schema_version, old))
            .transpose()?;
        use crate::changes::ChangeOp::{Delete, Insert, Update};
        let of = |row: &_| RowKeys::of(table, &self.partition, row);
        (self.keys, self.old_keys) = match self.kind {
            Insert => (of(&row), RowKeys::default()),
            Delete => (RowKeys::default(), of(&row)),
            Update => (of(&row), old_row.as_ref().map(of).unwrap_or_default()),
        };
        self.table = table.clone();
        Ok(())
    }
}

impl Fill {
    fn bytes(&self) -> usize {
        super::OP_OVERHEAD_BYTES + self.keys.bytes()
    }
}

/// A row's entry in one index of its table, and its values there. `CatalogChanged` when the table lacks the index.
pub(crate) fn entry_of(
    table: &TableDef,
    partition: &Partition,
    index: IndexId,
    version: &RowVersion,
) -> Result<(RowKeys, Vec<Datum>), CommitError> {
    let unique = table.unique_key(index).map(|key| key.columns);
    let plain = table.indexes.iter().find(|def| def.id == index);
    let columns = unique.or(plain.map(|index| index.columns.as_slice()));
    let columns = columns.ok_or(CommitError::CatalogChanged)?;
    let keyed = Keyed::new(table, &version.row);
    let value = |id: &ColumnId| keyed.value(*id).map_or(Datum::Null, DatumRef::to_owned);
    let values = columns.iter().map(value).collect();
    let mut keys = RowKeys::of(table, partition, &version.row);
    keys.unique.retain(|(id, _)| *id == index);
    let scope = key::index_scope(table.id, partition, index);
    keys.entries.retain(|entry| entry.starts_with(&scope));
    Ok((keys, values))
}
