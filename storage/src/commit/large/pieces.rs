//! The pieces of a large transaction: what it does to `log`, `dead`, `key` and `index`, in a form that does not count yet.

use std::collections::HashMap;
use std::sync::Arc;

use rocksdb::WriteBatch;

use super::PIECE_BYTES;
use crate::commit::Shared;
use crate::commit::check::{deferrable_keys, put_version, resolve};
use crate::commit::tally::Tally;
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::hot::Family;
use crate::key::{index_entry, seq_bytes};
use crate::seq::Seq;
use crate::transaction::Op;
use crate::versions::KeyEntry;

/// The pieces of a transaction.
pub(super) struct Pieces<'a> {
    shared: &'a Shared,
    first: Seq,
    piece_bytes: usize,
    batch: WriteBatch,
    /// Who had the keys that the batch has, before the transaction.
    before: HashMap<Arc<[u8]>, Option<Seq>>,
}

impl Pieces<'_> {
    pub(super) fn new(shared: &Shared, first: Seq) -> Pieces<'_> {
        let piece_bytes = PIECE_BYTES.min(shared.large_bytes);
        Pieces {
            shared,
            first,
            piece_bytes,
            batch: WriteBatch::with_capacity_bytes(piece_bytes),
            before: HashMap::new(),
        }
    }

    pub(super) fn write(&mut self, ops: &mut [Op], tally: &Tally) -> Result<(), StorageError> {
        let (hot, first) = (&self.shared.hot, self.first);
        let index = hot.family(Family::Index);
        for (part, from, run) in tally.runs(ops) {
            for (at, op) in run.iter_mut().enumerate() {
                let seq = first.advance((from + at) as u64);
                let old = resolve(op.old, first);
                put_version(
                    hot,
                    &mut self.batch,
                    op,
                    (old, seq),
                    part.ends_at(from + at),
                );
                self.put_keys(op, seq)?;
                for entry in &op.old_keys.entries {
                    (self.batch).put_cf(index, index_entry(entry, old), seq_bytes(seq));
                }
                for entry in &op.keys.entries {
                    self.batch.put_cf(index, index_entry(entry, seq), b"");
                }
                if self.batch.size_in_bytes() >= self.piece_bytes {
                    self.write_batch()?;
                }
            }
        }
        for (key, holder) in deferrable_keys(ops, first) {
            let before = self.before(key)?;
            self.put_key(
                key,
                KeyEntry {
                    // One that is freed is so by some change of the transaction.
                    by: holder.unwrap_or(first),
                    is_freed: holder.is_none(),
                    before,
                },
            );
        }
        self.write_batch()?;
        self.shared.failpoints.reach(Step::LargeWritten)
    }

    /// The entries of the keys that a change takes and frees, but for deferrable ones.
    fn put_keys(&mut self, op: &Op, seq: Seq) -> Result<(), StorageError> {
        let is_plain = |index| !op.table.is_deferrable(index);
        let held = op.old.as_pending().is_none().then_some(op.old);
        for ((index, key), is_first) in op.keys_left().filter(|((index, _), _)| is_plain(*index)) {
            let before = match is_first {
                true => held,
                false => self.before(key)?,
            };
            self.put_key(
                key,
                KeyEntry {
                    by: seq,
                    is_freed: !op
                        .keys
                        .unique
                        .iter()
                        .any(|new| new.0 == *index && new.1 == *key),
                    before,
                },
            );
        }
        for ((index, key), is_first) in op.keys_taken().filter(|((index, _), _)| is_plain(*index)) {
            if op
                .old_keys
                .unique
                .iter()
                .any(|old| old.0 == *index && old.1 == *key)
            {
                continue;
            }
            let before = match is_first {
                true => None,
                false => self.before(key)?,
            };
            self.put_key(
                key,
                KeyEntry {
                    by: seq,
                    is_freed: false,
                    before,
                },
            );
        }
        Ok(())
    }

    fn put_key(&mut self, key: &Arc<[u8]>, entry: KeyEntry) {
        let keys = self.shared.hot.family(Family::Key);
        self.batch.put_cf(keys, key, entry.encode());
        self.before.insert(key.clone(), entry.before);
    }

    /// Who had a key before the transaction, which may have changed its entry.
    fn before(&self, key: &Arc<[u8]>) -> Result<Option<Seq>, StorageError> {
        if let Some(before) = self.before.get(key) {
            return Ok(*before);
        }
        match self.shared.hot.get(Family::Key, key)? {
            Some(entry) => Ok(KeyEntry::decode(&entry)?.holder(self.first.previous())),
            None => Ok(None),
        }
    }

    fn write_batch(&mut self) -> Result<(), StorageError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.before.clear();
        let next = WriteBatch::with_capacity_bytes(self.piece_bytes);
        (self.shared.hot).write_piece(std::mem::replace(&mut self.batch, next))?;
        self.shared.failpoints.reach(Step::LargePiece)
    }
}
