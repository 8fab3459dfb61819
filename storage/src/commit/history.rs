//! What becomes of versions that files do not take over: their `dead` entries, and how far back a table can be read.

use rocksdb::WriteBatch;

use super::Committer;
use crate::catalog::{TableDef, TableId};
use crate::cold::{self, PartitionState};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::version_key;
use crate::seq::Seq;
use crate::snapshot::History;
use crate::transaction::Partition;
use crate::versions::DeadEntry;

impl Committer {
    /// Removes the entries of versions that are in no file any more, or marks them unfiled. Returns the Seq from
    /// which on no read misses one of them.
    pub(super) fn forget(
        &self,
        batch: &mut WriteBatch,
        table: &TableDef,
        partition: &Partition,
        state: &PartitionState,
        dropped: &[(Seq, Seq)],
    ) -> Seq {
        let dead = self.shared.hot.family(Family::Dead);
        let mut complete_from = Seq::ZERO;
        for (seq, by) in dropped {
            let key = version_key(table.id, partition, *seq);
            if table.primary_key.is_empty() && *by > state.trimmed {
                // Without a key this entry is all that tells a late writer that the version is gone. It leaves
                // with the record that superseded the version.
                let entry = DeadEntry {
                    by: *by,
                    unfiled: true,
                };
                batch.put_cf(dead, key, entry.encode());
            } else {
                batch.delete_cf(dead, key);
            }
            complete_from = complete_from.max(*by);
        }
        complete_from
    }

    /// Notes from where on a table's history is complete, if that is later than was noted before.
    pub(super) fn raise_history(
        &self,
        batch: &mut WriteBatch,
        table: TableId,
        complete_from: Seq,
    ) -> Result<(), StorageError> {
        if complete_from == Seq::ZERO {
            return Ok(());
        }
        let hot = &self.shared.hot;
        let key = cold::history_key(table);
        let stored = hot.get(Family::Meta, &key)?;
        let mut history = History::decode(stored.as_deref().unwrap_or_default())?;
        if complete_from > history.complete_from {
            history.complete_from = complete_from;
            batch.put_cf(hot.family(Family::Meta), key, history.encode());
        }
        Ok(())
    }

    /// The table is another one for who has read it, since `altered`.
    pub(super) fn note_altered(
        &self,
        batch: &mut WriteBatch,
        table: TableId,
        altered: Seq,
    ) -> Result<(), StorageError> {
        let hot = &self.shared.hot;
        let key = cold::history_key(table);
        let Some(stored) = hot.get(Family::Meta, &key)? else {
            return Ok(());
        };
        let mut history = History::decode(&stored)?;
        history.altered = altered;
        batch.put_cf(hot.family(Family::Meta), key, history.encode());
        Ok(())
    }

    /// The history of a new table's data begins.
    pub(super) fn begin_history(&self, batch: &mut WriteBatch, table: TableId, created: Seq) {
        let history = History {
            created,
            complete_from: created,
            altered: created,
        };
        let meta = self.shared.hot.family(Family::Meta);
        batch.put_cf(meta, cold::history_key(table), history.encode());
    }
}
