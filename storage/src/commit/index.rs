//! Filling a new index with the rows that were there before it.

use std::collections::HashMap;
use std::sync::Arc;

use rocksdb::WriteBatch;

use super::{Committer, Request};
use crate::catalog::{IndexId, TableDef, TableId};
use crate::datum::Datum;
use crate::error::{CommitError, StorageError};
use crate::failpoint::Step;
use crate::hot::Family;
use crate::key::{index_entry, version_key};
use crate::seq::Seq;
use crate::store::Store;
use crate::transaction::{Partition, RowKeys, RowVersion, entry_of, key_identity};
use crate::versions::{self, KeyEntry};

/// A row that may lack its entry in an index.
pub(crate) struct Unindexed {
    partition: Partition,
    seq: Seq,
    /// Its entry, of one of the two kinds; none where a unique index has no room for its NULL.
    keys: RowKeys,
    /// Its primary key, if the table has one.
    primary: Option<Arc<[u8]>>,
    /// Its values in the index, for an error.
    values: Vec<Datum>,
}

impl Store {
    /// Adds rows to an index that is not ready yet. Rows that went since they were read, and those that are in it
    /// already, change nothing. `UniqueViolation` when another row has the same values; `Conflict` when nothing tells
    /// any more whether a row that was live at the Seq `since` is so still, as in `Transaction::reads_since`.
    ///
    /// # Panics
    /// When a row is not of the table's types.
    pub async fn fill_index(
        &self,
        table: &Arc<TableDef>,
        index: IndexId,
        rows: Vec<(Partition, RowVersion)>,
        since: Seq,
    ) -> Result<(), CommitError> {
        let mut unindexed = Vec::with_capacity(rows.len());
        for (partition, version) in rows {
            let (keys, values) = entry_of(table, &partition, index, &version)?;
            unindexed.push(Unindexed {
                seq: version.seq,
                keys,
                primary: key_identity(table, &partition, &version.row),
                values,
                partition,
            });
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        let request = Request::FillIndex {
            table: table.id,
            index,
            rows: unindexed,
            since,
            reply,
        };
        self.flusher.queue.send(request).await?;
        answer
            .await
            .map_err(|_| CommitError::Unknown("the committer ended".to_string()))?
    }
}

impl Committer {
    pub(super) fn fill_index(
        &mut self,
        table: TableId,
        index: IndexId,
        rows: Vec<Unindexed>,
        since: Seq,
    ) -> Result<(), CommitError> {
        self.check_alive()?;
        let def = self.tables.get(&table);
        let def = def.ok_or(StorageError::NoTable(table.get()))?.clone();
        if def.indexes.iter().all(|def| def.id != index) {
            return Err(CommitError::CatalogChanged);
        }
        let hot = self.shared.hot.clone();
        let get = |family, key: &[u8]| hot.get(family, key).map_err(StorageError::from);
        let mut batch = WriteBatch::default();
        let mut added: HashMap<Arc<[u8]>, Seq> = HashMap::new();
        for row in rows {
            let live = match &row.primary {
                Some(key) => match get(Family::Key, key)? {
                    Some(entry) => versions::holder(&entry, Seq::MAX)? == Some(row.seq),
                    None => false,
                },
                None => {
                    let trimmed = self.state(table, &row.partition)?.trimmed;
                    if row.seq <= trimmed && since < trimmed {
                        return Err(CommitError::Conflict);
                    }
                    let version = version_key(table, &row.partition, row.seq);
                    get(Family::Dead, &version)?.is_none()
                }
            };
            if !live || self.is_erased(&row.partition, row.seq) {
                continue;
            }
            for (_, key) in &row.keys.unique {
                let stored = match get(Family::Key, key)? {
                    Some(entry) => versions::holder(&entry, Seq::MAX)?,
                    None => None,
                };
                let holder = added.get(key).copied().or(stored);
                if holder.is_some_and(|holder| holder != row.seq) {
                    return Err(CommitError::UniqueViolation {
                        table: def.clone(),
                        index,
                        key: row.values,
                    });
                }
                let entry = KeyEntry::of(row.seq).encode();
                batch.put_cf(hot.family(Family::Key), key, entry);
                added.insert(key.clone(), row.seq);
            }
            for entry in &row.keys.entries {
                batch.put_cf(hot.family(Family::Index), index_entry(entry, row.seq), b"");
            }
        }
        self.shared.failpoints.reach(Step::IndexBatch)?;
        self.write_to(batch, Step::IndexWritten)
            .map_err(|error| CommitError::Unknown(error.to_string()))?;
        self.publish(self.shared.view().seq);
        Ok(())
    }
}
