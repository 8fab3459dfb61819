//! Reading a key or index in the order of its values.

use std::ops::Bound;

use super::Snapshot;
use crate::catalog::{ColumnId, IndexId, TableDef};
use crate::datum::{ColumnType, Datum, DatumRef};
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{index_scope, prefix_end, put_nullable, put_value, values_range};
use crate::seq::Seq;
use crate::transaction::Partition;
use crate::versions;

/// So many entries of a large commit that is under way are passed by.
const SKIPPED_MAX: usize = 10_000;

/// Some neighbouring entries of a key or index.
#[derive(Clone, Debug)]
pub struct IndexRange {
    /// Which key or index.
    pub index: IndexId,
    /// The values of its first columns.
    pub equal: Vec<Datum>,
    /// Where the values of the next column begin.
    pub lower: Bound<Datum>,
    /// Where they end.
    pub upper: Bound<Datum>,
    /// Whether only the values of the next column that are not NULL are meant, which they are where the ends say something.
    pub not_null: bool,
}

impl IndexRange {
    /// How many columns have one value, and how many ends the next one's values have: the more, the fewer rows.
    pub fn narrowness(&self) -> (usize, usize) {
        let ends = [&self.lower, &self.upper].into_iter();
        let ends = ends.filter(|end| !matches!(end, Bound::Unbounded)).count();
        (self.equal.len(), ends)
    }
}

impl Snapshot {
    /// The Seqs of the live versions in a range of an index, in the order of its values; `None` when there are
    /// more than `limit`, or many that do not count yet, when a bound is no value of its column, or when the snapshot is of the past, which no
    /// index tells of. The index must be ready. Blocking.
    pub fn index_scan(
        &self,
        table: &TableDef,
        partition: &Partition,
        range: &IndexRange,
        limit: usize,
    ) -> Result<Option<Vec<Seq>>, StorageError> {
        if self.is_past() {
            return Ok(None);
        }
        let unique = table.unique_key(range.index).map(|key| key.columns);
        let plain = table.indexes.iter().find(|index| index.id == range.index);
        let Some(columns) = unique.or(plain.map(|index| index.columns.as_slice())) else {
            return Ok(None);
        };
        let family = if unique.is_some() {
            Family::Key
        } else {
            Family::Index
        };
        let scope = index_scope(table.id, partition, range.index);
        let Some((from, to)) = bytes_of(table, columns, range, scope, unique.is_some()) else {
            return Ok(None);
        };
        let oldest = self.oldest(table)?;
        let (mut seqs, mut skipped) = (Vec::new(), 0);
        let mut entries = self.view.hot.iterate(family, &from, to);
        while let Some((key, value)) = entries.item() {
            let seq = match family {
                Family::Key => versions::holder(value, self.view.seq)?,
                _ => versions::indexed(key, value, self.view.seq)?,
            };
            if let Some(seq) = seq.filter(|seq| *seq >= oldest) {
                if seqs.len() == limit {
                    return Ok(None);
                }
                seqs.push(seq);
            } else {
                skipped += 1;
                if skipped > SKIPPED_MAX {
                    return Ok(None);
                }
            }
            entries.next();
        }
        entries.status()?;
        Ok(Some(seqs))
    }
}

/// From where to where (exclusive) the keys of a range lie.
pub(super) fn bytes_of(
    table: &TableDef,
    columns: &[ColumnId],
    range: &IndexRange,
    scope: Vec<u8>,
    unique: bool,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let ty = |at: usize| -> Option<ColumnType> { table.type_of(*columns.get(at)?) };
    let put = |out: &mut Vec<u8>, at: usize, value: DatumRef<'_>| {
        if unique {
            put_value(out, ty(at)?, value)
        } else {
            put_nullable(out, ty(at)?, value)
        }
    };
    let mut prefix = scope;
    for (at, value) in range.equal.iter().enumerate() {
        put(&mut prefix, at, value.as_ref())?;
    }
    let ends = (&range.lower, &range.upper) != (&Bound::Unbounded, &Bound::Unbounded);
    let bounded = range.not_null || ends;
    let (mut from, mut to) = match unique || !bounded {
        true => (prefix.clone(), prefix_end(prefix.clone())),
        false => values_range(&prefix),
    };
    let with = |value: &Datum| {
        let mut key = prefix.clone();
        put(&mut key, range.equal.len(), value.as_ref())?;
        Some(key)
    };
    match &range.lower {
        Bound::Included(value) => from = with(value)?,
        Bound::Excluded(value) => from = prefix_end(with(value)?),
        Bound::Unbounded => {}
    }
    match &range.upper {
        Bound::Included(value) => to = prefix_end(with(value)?),
        Bound::Excluded(value) => to = with(value)?,
        Bound::Unbounded => {}
    }
    Some((from, to))
}
