//! Exchanging cold files: merged ones take the place of those they were made of, in one batch with their dead.

use rocksdb::WriteBatch;

use super::{Committer, Merged};
use crate::catalog::TableId;
use crate::cold::{self, ColdFile, META_GARBAGE};
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::hot::Family;
use crate::seq::Seq;

impl Committer {
    pub(super) fn swap_files(
        &mut self,
        table: TableId,
        merged: Vec<Merged>,
    ) -> Result<(), StorageError> {
        self.check_alive()?;
        let def = self
            .tables
            .get(&table)
            .ok_or(StorageError::NoTable(table.get()))?;
        let hot = self.shared.hot.clone();
        let meta = hot.family(Family::Meta);
        let mut batch = WriteBatch::default();
        let mut paths = Vec::new();
        let mut complete_from = Seq::ZERO;
        for Merged { old, new, dropped } in merged {
            if !replaces(&old, new.as_ref()) {
                let reason = "a merged file does not fit in the place of the old ones";
                return Err(StorageError::Corrupt(reason.to_string()));
            }
            let partition = &old[0].partition;
            let state = self.state(table, partition)?;
            let forgotten = self.forget(&mut batch, def, partition, &state, &dropped);
            complete_from = complete_from.max(forgotten);
            for file in old {
                let key = cold::file_key(table, &file);
                let stored = hot.get(Family::Meta, &key)?;
                if stored.as_deref() != Some(file.encode().as_slice()) {
                    let reason = format!("the manifest lost {} while it was merged", file.path);
                    return Err(StorageError::Corrupt(reason));
                }
                batch.delete_cf(meta, key);
                batch.put_cf(
                    meta,
                    cold::meta_key(META_GARBAGE, file.path.as_bytes()),
                    b"",
                );
                paths.push(file.path);
            }
            // After the deletions: it may stand under the key of the first of them.
            if let Some(file) = &new {
                batch.put_cf(meta, cold::file_key(table, file), file.encode());
            }
        }
        self.raise_history(&mut batch, table, complete_from)?;
        self.write_to(batch, Step::CompactSwapped)?;
        // Every view so far may read the old files; the one that comes next cannot.
        self.shared.garbage.add(paths);
        self.publish(self.shared.view().seq);
        Ok(())
    }
}

/// Whether the new file can take the place of the old ones: neighbours of one partition, and inside their range.
fn replaces(old: &[ColdFile], new: Option<&ColdFile>) -> bool {
    let (Some(first), Some(last)) = (old.first(), old.last()) else {
        return false;
    };
    let neighbours = old
        .windows(2)
        .all(|pair| pair[0].partition == pair[1].partition && pair[0].last_seq < pair[1].first_seq);
    let inside = new.is_none_or(|new| {
        new.partition == first.partition
            && new.first_seq >= first.first_seq
            && new.last_seq <= last.last_seq
            && new.rows > 0
    });
    neighbours && inside
}
