//! Walking a key or index from either end, a few entries at a time.

use super::Snapshot;
use super::index::{IndexRange, bytes_of};
use crate::catalog::TableDef;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::index_scope;
use crate::seq::Seq;
use crate::transaction::Partition;
use crate::versions;

/// Some neighbouring entries of a walk.
#[derive(Debug)]
pub struct IndexStep {
    /// The live versions that they stand for, in the order of the walk.
    pub seqs: Vec<Seq>,
    /// How many entries were looked at: those of a large commit that is under way stand for none.
    pub looked_at: usize,
    /// Where the next step begins; `None` when this was the last.
    pub next: Option<IndexPlace>,
}

/// Where a walk stands.
#[derive(Clone, Debug)]
pub struct IndexPlace(Vec<u8>);

impl Snapshot {
    /// The next entries of a walk through a range of an index, of which it looks at `limit`: ascending, or from its end back.
    /// `None` when a bound is no value of its column, or when the snapshot is of the past, which no index tells of. The index must be ready. Blocking.
    pub fn index_step(
        &self,
        table: &TableDef,
        partition: &Partition,
        range: &IndexRange,
        backward: bool,
        from: Option<&IndexPlace>,
        limit: usize,
    ) -> Result<Option<IndexStep>, StorageError> {
        if self.is_past() {
            return Ok(None);
        }
        let unique = table.unique_key(range.index).map(|key| key.columns);
        let plain = table.indexes.iter().find(|index| index.id == range.index);
        let Some(columns) = unique.or(plain.map(|index| index.columns.as_slice())) else {
            return Ok(None);
        };
        let family = match unique {
            Some(_) => Family::Key,
            None => Family::Index,
        };
        let scope = index_scope(table.id, partition, range.index);
        let Some((low, high)) = bytes_of(table, columns, range, scope, unique.is_some()) else {
            return Ok(None);
        };
        let oldest = self.oldest(table)?;
        let mut entries = self.view.hot.iterate(family, &low, high);
        match (from, backward) {
            (Some(place), false) => entries.seek(&place.0),
            (Some(place), true) => entries.seek_for_prev(&place.0),
            (None, false) => {}
            (None, true) => entries.seek_to_last(),
        }
        let (mut seqs, mut looked_at, mut next) = (Vec::new(), 0, None);
        while let Some((key, value)) = entries.item()
            && key >= low.as_slice()
        {
            if looked_at == limit {
                next = Some(IndexPlace(key.to_vec()));
                break;
            }
            let seq = match family {
                Family::Key => versions::holder(value, self.view.seq)?,
                _ => versions::indexed(key, value, self.view.seq)?,
            };
            if let Some(seq) = seq.filter(|seq| *seq >= oldest) {
                seqs.push(seq);
            }
            looked_at += 1;
            match backward {
                true => entries.prev(),
                false => entries.next(),
            }
        }
        entries.status()?;
        Ok(Some(IndexStep {
            seqs,
            looked_at,
            next,
        }))
    }
}
