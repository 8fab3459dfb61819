//! The committer's part of an erasure: one batch, after which no reader and no writer meets the user's rows.

use std::collections::HashSet;
use std::sync::Arc;

use rocksdb::WriteBatch;

use super::Committer;
use crate::catalog::{CatalogChange, TableDef, TableId, TableKind};
use crate::changes::{ChangeOp, encode_commit};
use crate::cold::{self, ColdFile, META_FILE, META_GARBAGE, PartitionState};
use crate::erase::Erased;
use crate::error::{CommitError, StorageError};
use crate::failpoint::Step;
use crate::hot::Family;
use crate::key::{scope_end, scope_key, seq_bytes};
use crate::seq::Seq;
use crate::transaction::{Op, Partition, Transaction};

/// The partitions of the roles that are dropped or get another name.
pub(super) fn dropped_roles(changes: &[CatalogChange]) -> impl Iterator<Item = Partition> {
    changes.iter().filter_map(|change| match change.itself() {
        CatalogChange::DropRole(name) | CatalogChange::RenameRole { name, .. } => {
            Some(Partition::user(name))
        }
        _ => None,
    })
}

impl Committer {
    pub(super) fn erase(
        &mut self,
        partition: Partition,
        held: &HashSet<TableId>,
    ) -> Result<Erased, StorageError> {
        self.check_alive()?;
        let mut users: Vec<Arc<TableDef>> = (self.tables.values())
            .filter(|table| table.kind == TableKind::User)
            .cloned()
            .collect();
        if users.iter().any(|table| !held.contains(&table.id)) {
            return Ok(Erased::Unheld);
        }
        users.sort_by_key(|table| table.id);
        let hot = self.shared.hot.clone();
        let meta = hot.family(Family::Meta);
        let before = self.shared.view();
        let at = self.shared.generator.draw(1);
        // What is left says that there was something, so that readers of the feed hear of it.
        let gone = PartitionState {
            watermark: at,
            last_seq: at,
            trimmed: at,
            ..PartitionState::default()
        };
        let mut batch = WriteBatch::default();
        let (mut tables, mut paths) = (Vec::new(), Vec::new());
        for table in users {
            let state = cold::state_key(table.id, &partition);
            if hot.get(Family::Meta, &state)?.is_none() {
                continue;
            }
            let scope = scope_key(table.id, &partition);
            let end = scope_end(scope.clone());
            for family in [Family::Log, Family::Key, Family::Index, Family::Dead] {
                batch.delete_range_cf(hot.family(family), &scope, &end);
            }
            let from = cold::meta_key(META_FILE, &scope);
            let mut files = before
                .hot
                .iterate(Family::Meta, &from, scope_end(from.clone()));
            while let Some((key, value)) = files.item() {
                let path = ColdFile::decode(key, value)?.path;
                batch.put_cf(meta, cold::meta_key(META_GARBAGE, path.as_bytes()), b"");
                batch.delete_cf(meta, key);
                paths.push(path);
                files.next();
            }
            files.status()?;
            batch.put_cf(meta, state, gone.encode());
            self.raise_mark(&mut batch, table.id, at)?;
            // The past of the other partitions can be read no further back either: it is noted by table.
            self.raise_history(&mut batch, table.id, at)?;
            tables.push(table);
        }
        // It changes no row that is left; the entry keeps the Seq from being drawn again after a restart.
        batch.put_cf(
            hot.family(Family::Commit),
            seq_bytes(at),
            encode_commit(at, &[]),
        );
        batch.put_cf(meta, cold::erasure_key(&partition), seq_bytes(at));
        let now_ms = self.shared.generator.now_ms();
        self.moments.note(&hot, &mut batch, at, None, now_ms)?;
        self.write_to(batch, Step::EraseHidden)?;
        for table in &tables {
            self.states.insert((table.id, partition.clone()), gone);
            self.last_commits.insert(table.id, at);
        }
        self.erased.insert(partition.clone(), at);
        // Should the erasure fail from here on, the files go when nobody reads them any more.
        self.shared.garbage.add(paths.clone());
        self.publish(at);
        let touched = tables.iter().map(|table| (table.id, &partition));
        self.shared.watches.touched(touched, at);
        Ok(Erased::Hidden {
            at,
            before,
            after: self.shared.view(),
            tables,
            paths,
        })
    }

    pub(super) fn erase_ended(
        &mut self,
        partition: &Partition,
        paths: &[String],
    ) -> Result<(), StorageError> {
        self.check_alive()?;
        let mut batch = WriteBatch::default();
        let meta = self.shared.hot.family(Family::Meta);
        for path in paths {
            batch.delete_cf(meta, cold::meta_key(META_GARBAGE, path.as_bytes()));
        }
        batch.delete_cf(meta, cold::erasure_key(partition));
        self.write(batch)
    }

    /// Refuses a transaction that writes on what it read of a user before that user was erased, or that writes rows of a
    /// role which was dropped, or renamed, since it began. What was erased or dropped before the opening concerns none.
    pub(super) fn check_users(&self, transaction: &Transaction) -> Result<(), CommitError> {
        if self.erased.is_empty() && self.dropped_roles.is_empty() {
            return Ok(());
        }
        for op in transaction.ops() {
            let dropped = self.dropped_roles.get(&op.partition);
            if let (Some(at), Some(since)) = (dropped, transaction.since)
                && since < *at
            {
                return Err(CommitError::CatalogChanged);
            }
            let Some(at) = self.erased.get(&op.partition) else {
                continue;
            };
            let read_before = transaction.since.is_some_and(|since| since < *at);
            if read_before || (op.kind != ChangeOp::Insert && op.old <= *at) {
                return Err(CommitError::Conflict);
            }
        }
        Ok(())
    }

    /// Refuses to drop or rename a role that has rows, or gets some with the same transaction.
    pub(super) fn check_dropped_roles(
        &self,
        changes: &[CatalogChange],
        transaction: &Transaction,
    ) -> Result<(), CommitError> {
        for partition in dropped_roles(changes) {
            let writes = |op: &Op| op.partition == partition;
            if transaction.ops().iter().any(writes)
                || !self.shared.view().tables_of(&partition)?.is_empty()
            {
                return Err(CommitError::CatalogChanged);
            }
        }
        Ok(())
    }

    /// Whether a version went with its user.
    pub(super) fn is_erased(&self, partition: &Partition, seq: Seq) -> bool {
        self.erased.get(partition).is_some_and(|at| seq <= *at)
    }
}
