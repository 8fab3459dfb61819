//! Cutting the log: what the trim found to be old leaves, in one batch with the marks that say so.

use std::collections::HashMap;

use rocksdb::WriteBatch;

use super::{Committer, OldLog};
use crate::catalog::TableId;
use crate::cold;
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::hot::Family;
use crate::key::{read_seq, seq_bytes, version_key};
use crate::moments;
use crate::notify::Old;
use crate::seq::Seq;
use crate::versions::DeadEntry;

impl Committer {
    pub(super) fn trim(&mut self, table: TableId, parts: Vec<OldLog>) -> Result<(), StorageError> {
        self.check_alive()?;
        if !self.tables.contains_key(&table) {
            return Err(StorageError::NoTable(table.get()));
        }
        let hot = self.shared.hot.clone();
        let mut batch = WriteBatch::default();
        let mut states = Vec::with_capacity(parts.len());
        let mut mark = Seq::ZERO;
        for OldLog {
            partition,
            after,
            upto,
            bytes,
            superseded,
        } in parts
        {
            let mut state = self.state(table, &partition)?;
            assert!(
                upto <= state.watermark,
                "only what was flushed leaves the log"
            );
            // Another trim was faster.
            if state.trimmed != after {
                continue;
            }
            for seq in superseded {
                let key = version_key(table, &partition, seq);
                if let Some(entry) = hot.get(Family::Dead, &key)?
                    && DeadEntry::decode(&entry)?.unfiled
                {
                    batch.delete_cf(hot.family(Family::Dead), key);
                }
            }
            batch.delete_range_cf(
                hot.family(Family::Log),
                version_key(table, &partition, Seq::ZERO),
                version_key(table, &partition, upto.next()),
            );
            state.trimmed = state.trimmed.max(upto);
            state.log_bytes = state.log_bytes.saturating_sub(bytes);
            mark = mark.max(upto);
            batch.put_cf(
                hot.family(Family::Meta),
                cold::state_key(table, &partition),
                state.encode(),
            );
            states.push(((table, partition), state));
        }
        self.raise_mark(&mut batch, table, mark)?;
        self.write_to(batch, Step::TrimLog)?;
        self.states.extend(states);
        self.publish(self.shared.view().seq);
        Ok(())
    }

    pub(super) fn trim_commits(
        &mut self,
        upto: Seq,
        marks: HashMap<TableId, Seq>,
        moments_end: i64,
    ) -> Result<(), StorageError> {
        self.check_alive()?;
        let hot = self.shared.hot.clone();
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(
            hot.family(Family::Commit),
            seq_bytes(Seq::ZERO),
            seq_bytes(upto.next()),
        );
        if moments_end > 0 {
            let (from, to) = (moments::key(0), moments::key(moments_end));
            batch.delete_range_cf(hot.family(Family::Meta), from, to);
        }
        for (table, mark) in marks {
            if self.tables.contains_key(&table) {
                self.raise_mark(&mut batch, table, mark)?;
            }
        }
        self.write_to(batch, Step::TrimCommits)?;
        self.publish(self.shared.view().seq);
        Ok(())
    }

    pub(super) fn trim_notifications(&mut self, old: Old) -> Result<(), StorageError> {
        self.check_alive()?;
        let mut batch = WriteBatch::default();
        let (from, to) = old.range;
        batch.delete_range_cf(self.shared.hot.family(Family::Stream), from, to);
        self.raise_mark(&mut batch, TableId::NOTIFICATIONS, old.upto)?;
        self.write(batch)?;
        self.publish(self.shared.view().seq);
        Ok(())
    }

    pub(super) fn raise_mark(
        &self,
        batch: &mut WriteBatch,
        table: TableId,
        mark: Seq,
    ) -> Result<(), StorageError> {
        let key = cold::trimmed_key(table);
        let before = match self.shared.hot.get(Family::Meta, &key)? {
            Some(bytes) => read_seq(&bytes)?,
            None => Seq::ZERO,
        };
        if mark > before {
            batch.put_cf(self.shared.hot.family(Family::Meta), key, seq_bytes(mark));
        }
        Ok(())
    }
}
