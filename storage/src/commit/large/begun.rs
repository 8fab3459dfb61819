//! What `meta` tells of a large commit while it is under way, and taking back what a crash has left of it.

use std::sync::Arc;

use rocksdb::WriteBatch;

use super::PIECE_BYTES;
use crate::changes::{CommitEntry, Extent, decode_commit, encode_commit};
use crate::error::StorageError;
use crate::hot::{Family, Hot, HotSnapshot};
use crate::key::{put_seq, read_seq, scope_end, scope_key, seq_of, version_key};
use crate::seq::Seq;
use crate::versions::{DeadEntry, KeyEntry};

/// The `meta` key that stands while a large commit is under way.
pub(super) const META_LARGE: u8 = b'l';

/// What `meta` tells of a large commit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Begun {
    pub(super) is_committed: bool,
    pub(super) first: Seq,
    pub(super) entry: CommitEntry,
}

impl Begun {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.is_committed)];
        put_seq(&mut out, self.first);
        out.extend(encode_commit(self.entry.last, &self.entry.extents));
        out
    }

    fn decode(bytes: &[u8]) -> Result<Begun, StorageError> {
        let corrupt = || StorageError::Corrupt("a large commit".to_string());
        let (committed, rest) = bytes.split_first().ok_or_else(corrupt)?;
        Ok(Begun {
            is_committed: *committed != 0,
            first: read_seq(rest)?,
            entry: decode_commit(rest.get(8..).ok_or_else(corrupt)?)?,
        })
    }

    fn has(&self, seq: Seq) -> bool {
        (self.first..=self.entry.last).contains(&seq)
    }
}

/// What a large commit was cut short at, if one was.
pub(crate) fn unfinished(hot: &Hot) -> Result<Option<Begun>, StorageError> {
    let begun = hot.get(Family::Meta, &[META_LARGE])?;
    begun.map(|bytes| Begun::decode(&bytes)).transpose()
}

/// Takes back what a crash has left of a large commit, or removes what a committed one had made void. It reads the keys and
/// indexes of the partitions that it changed.
pub(crate) fn take_back(hot: &Arc<Hot>) -> Result<(), StorageError> {
    let Some(begun) = unfinished(hot)? else {
        return Ok(());
    };
    tracing::info!(
        changes = begun.entry.extents.len(),
        committed = begun.is_committed,
        "a large commit was cut short; what it left is removed"
    );
    let snapshot = HotSnapshot::take(hot);
    for extent in &begun.entry.extents {
        let mut left = Left {
            hot,
            begun: &begun,
            batch: WriteBatch::default(),
        };
        left.clear_keys(&snapshot, extent)?;
        left.clear_index(&snapshot, extent)?;
        if !begun.is_committed {
            left.clear_versions(&snapshot, extent)?;
        }
        hot.write_unsynced(left.batch)?;
    }
    let mut batch = WriteBatch::default();
    batch.delete_cf(hot.family(Family::Meta), [META_LARGE]);
    // What came before is synced with it.
    Ok(hot.write(batch)?)
}

/// What is left of a large commit in one partition.
struct Left<'a> {
    hot: &'a Arc<Hot>,
    begun: &'a Begun,
    batch: WriteBatch,
}

impl Left<'_> {
    fn clear_keys(&mut self, now: &HotSnapshot, extent: &Extent) -> Result<(), StorageError> {
        let hot = self.hot.clone();
        let keys = hot.family(Family::Key);
        self.each(now, Family::Key, extent, |begun, batch, key, value| {
            let entry = KeyEntry::decode(value)?;
            if !begun.has(entry.by) {
                return Ok(());
            }
            match (begun.is_committed, entry.before) {
                (true, _) if entry.is_freed => batch.delete_cf(keys, key),
                (true, _) => {}
                (false, Some(before)) => batch.put_cf(keys, key, KeyEntry::of(before).encode()),
                (false, None) => batch.delete_cf(keys, key),
            }
            Ok(())
        })
    }

    fn clear_index(&mut self, now: &HotSnapshot, extent: &Extent) -> Result<(), StorageError> {
        let hot = self.hot.clone();
        let index = hot.family(Family::Index);
        self.each(now, Family::Index, extent, |begun, batch, key, value| {
            let is_gone = !value.is_empty() && begun.has(read_seq(value)?);
            match (begun.is_committed, is_gone) {
                (false, _) if begun.has(seq_of(key)?) => batch.delete_cf(index, key),
                (true, true) => batch.delete_cf(index, key),
                (false, true) => batch.put_cf(index, key, b""),
                (_, false) => {}
            }
            Ok(())
        })
    }

    fn clear_versions(&mut self, now: &HotSnapshot, extent: &Extent) -> Result<(), StorageError> {
        let hot = self.hot.clone();
        let (log, dead) = (hot.family(Family::Log), hot.family(Family::Dead));
        self.each(now, Family::Dead, extent, |begun, batch, key, value| {
            if begun.has(DeadEntry::decode(value)?.by) {
                batch.delete_cf(dead, key);
            }
            Ok(())
        })?;
        let version = |seq| version_key(extent.table, &extent.partition, seq);
        let (from, to) = (
            version(self.begun.first),
            version(self.begun.entry.last.next()),
        );
        self.batch.delete_range_cf(log, from, to);
        Ok(())
    }

    /// Looks at each entry that a family has of a partition.
    fn each(
        &mut self,
        now: &HotSnapshot,
        family: Family,
        extent: &Extent,
        mut look: impl FnMut(&Begun, &mut WriteBatch, &[u8], &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let scope = scope_key(extent.table, &extent.partition);
        let mut entries = now.iterate(family, &scope, scope_end(scope.clone()));
        while let Some((key, value)) = entries.item() {
            look(self.begun, &mut self.batch, key, value)?;
            if self.batch.size_in_bytes() > PIECE_BYTES {
                self.hot.write_unsynced(std::mem::take(&mut self.batch))?;
            }
            entries.next();
        }
        Ok(entries.status()?)
    }
}
