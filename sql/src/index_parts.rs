//! The parts of keys and indexes that have all rows which a scan's filters let through, and those rows.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::utils::{split_binary, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tidelog_storage::catalog::IndexId;
use tidelog_storage::snapshot::{IndexRange, Lookup};
use tidelog_storage::{
    ColumnId, Partition, PartitionSet, RowVersion, Seq, StorageError, TableDef, Transaction,
};

use crate::compared::{Bounds, Compared};
use crate::provider::{Scope, blocking};

/// An OR of more conditions is not looked at.
const ARMS_MAX: usize = 1_000;

/// The parts that the filters narrow a scan down to best: none of them has to be read where there are none. A row may be in several.
pub(crate) fn of(
    table: &TableDef,
    filters: &[Expr],
    transaction: &Transaction,
) -> Option<Vec<IndexRange>> {
    let alike = of_one_index(table, filters, transaction);
    let by_arms = (filters.iter().enumerate())
        .filter_map(|(at, filter)| by_arms(table, filters, (at, filter), transaction));
    let best = alike.into_iter().chain(by_arms);
    best.max_by_key(|ranges| narrowness(table, ranges))
}

/// How few rows some parts are likely to have.
type Narrowness = (bool, (usize, usize), Reverse<usize>);

fn narrowness(table: &TableDef, ranges: &[IndexRange]) -> Narrowness {
    let of_one = |range: &IndexRange| (is_of_one_row(table, range), range.narrowness());
    let (one_row, widest) = ranges.iter().map(of_one).min().unwrap_or((true, (0, 0)));
    (one_row, widest, Reverse(ranges.len()))
}

/// Whether all columns of a unique key have a value.
fn is_of_one_row(table: &TableDef, range: &IndexRange) -> bool {
    let key = table.unique_key(range.index);
    key.is_some_and(|key| key.columns.len() == range.equal.len())
}

/// The parts of one key or index, one for each choice of the values that the filters leave its first columns.
fn of_one_index(
    table: &TableDef,
    filters: &[Expr],
    transaction: &Transaction,
) -> Option<Vec<IndexRange>> {
    let compared = Compared::new(table, filters);
    let primary = table.primary().map(|key| (key.id, key.columns));
    let ready = table.indexes.iter().filter(|index| index.ready);
    let ready = ready.filter(|index| compared.implies(index.predicate));
    let others = ready.map(|index| (index.id, index.columns.as_slice()));
    let parts = |(index, columns): (IndexId, &[ColumnId])| {
        let mut equal = vec![Vec::new()];
        let mut next: Option<Bounds> = None;
        for id in columns {
            let values = compared.values(*id);
            let Some(values) =
                values.filter(|values| equal.len() * values.len() <= INDEX_ROWS_MOST)
            else {
                next = compared.bounds(*id);
                break;
            };
            equal = (equal.iter())
                .flat_map(|first| {
                    let values = values.iter();
                    values.map(|value| [first.as_slice(), std::slice::from_ref(value)].concat())
                })
                .collect();
        }
        let next = next.unwrap_or_default();
        let range = |equal| IndexRange {
            index,
            equal,
            lower: next.lower.clone(),
            upper: next.upper.clone(),
            not_null: next.not_null,
        };
        equal.into_iter().map(range).collect::<Vec<_>>()
    };
    // A unique index lacks the rows with a NULL in it.
    let complete = |range: &IndexRange| {
        let Some(key) = table.unique_key(range.index) else {
            return true;
        };
        let given = range.equal.len() + usize::from(range.narrowness().1 > 0 || range.not_null);
        let null = |id: &ColumnId| table.may_be_null(*id);
        !key.columns.iter().skip(given).any(null)
    };
    let narrows = |range: &IndexRange| {
        // All of an index that has only some rows is a part of the table, too.
        let index = table.indexes.iter().find(|it| it.id == range.index);
        let partial = index.is_some_and(|index| index.predicate.is_some());
        partial || range.narrowness() > (0, 0)
    };
    let filled = |range: &IndexRange| !transaction.fills(table.id, range.index);
    let all = primary.into_iter().chain(others).map(parts);
    // The parts of one index are of one form.
    let of_use = |ranges: &Vec<IndexRange>| {
        (ranges.first()).is_some_and(|range| filled(range) && complete(range) && narrows(range))
    };
    all.filter(of_use)
        .max_by_key(|ranges| narrowness(table, ranges))
}

/// The parts for each side of an OR together with the other filters.
fn by_arms(
    table: &TableDef,
    filters: &[Expr],
    (at, filter): (usize, &Expr),
    transaction: &Transaction,
) -> Option<Vec<IndexRange>> {
    if !matches!(filter, Expr::BinaryExpr(BinaryExpr { op, .. }) if *op == Operator::Or) {
        return None;
    }
    let arms = split_binary(filter, Operator::Or);
    if arms.len() > ARMS_MAX {
        return None;
    }
    let mut all = Vec::with_capacity(arms.len());
    for arm in arms {
        let arm = split_conjunction(arm).into_iter().cloned();
        let others = filters[..at].iter().chain(&filters[at + 1..]).cloned();
        let filters: Vec<Expr> = others.chain(arm).collect();
        all.extend(of_one_index(table, &filters, transaction)?);
    }
    (all.len() <= INDEX_ROWS_MOST).then_some(all)
}

/// Rows that were read one by one.
pub(crate) struct Read {
    pub(crate) versions: Vec<RowVersion>,
    /// So many of them out of cold files.
    pub(crate) cold: usize,
    /// Whether the transaction's own rows are among them.
    pub(crate) with_own: bool,
}

/// The rows in some parts of keys and indexes: of several, in the order in which they are stored. `None` when there are so many that a
/// scan is the better way.
pub(crate) async fn read(
    scope: &Arc<Scope>,
    table: &Arc<TableDef>,
    partition: &Partition,
    ranges: &Arc<[IndexRange]>,
) -> Result<Option<Read>> {
    let (scope, table, partition) = (scope.clone(), table.clone(), partition.clone());
    let ranges = ranges.clone();
    blocking(move || {
        let of = Of {
            scope: &scope,
            table: &table,
            partition: &partition,
        };
        of.read(&ranges)
    })
    .await
}

type Stored<T> = std::result::Result<T, StorageError>;

/// What rows are read of, one by one. All is blocking.
struct Of<'a> {
    scope: &'a Scope,
    table: &'a TableDef,
    partition: &'a Partition,
}

impl Of<'_> {
    /// As the function of this name.
    fn read(&self, ranges: &[IndexRange]) -> Stored<Option<Read>> {
        let is_key = |range: &IndexRange| {
            range.index == self.table.primary_key_id && is_of_one_row(self.table, range)
        };
        let with_own = ranges.iter().all(is_key);
        let found = match with_own {
            true => self.by_keys(ranges)?,
            false => self.by_index(ranges)?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let (mut versions, mut in_files) = (Vec::with_capacity(found.len()), Vec::new());
        for found in found {
            match found {
                Lookup::Hot(version) => versions.push(version),
                Lookup::Cold(seq) => in_files.push(seq),
                Lookup::Absent => {}
            }
        }
        let cold = in_files.len();
        if cold > COLD_ROWS_MAX && cold > cold_rows_max(self.rows()?.1) {
            return Ok(None);
        }
        for seq in in_files {
            let (store, snapshot) = (&self.scope.store, &self.scope.snapshot);
            versions.push(store.read_cold(snapshot, self.table, self.partition, seq)?);
        }
        if ranges.len() > 1 {
            versions.sort_unstable_by_key(|version| version.seq);
            versions.dedup_by_key(|version| version.seq);
        }
        Ok(Some(Read {
            versions,
            cold,
            with_own,
        }))
    }

    /// What has these values of the primary key, own rows and others'; `None` when that may be too many.
    fn by_keys(&self, keys: &[IndexRange]) -> Stored<Option<Vec<Lookup>>> {
        if keys.len() > INDEX_ROWS_ALWAYS && keys.len() > self.rows_max()? {
            return Ok(None);
        }
        let own = self.scope.transaction.read();
        let look_up = |key: &IndexRange| {
            let (snapshot, own) = (&self.scope.snapshot, Some(&*own));
            snapshot.lookup(self.table, self.partition, &key.equal, own)
        };
        keys.iter().map(look_up).collect::<Stored<_>>().map(Some)
    }

    /// What of others' rows is in some parts of indexes; `None` when they are too many.
    fn by_index(&self, ranges: &[IndexRange]) -> Stored<Option<Vec<Lookup>>> {
        let seqs = match self.seqs(ranges, INDEX_ROWS_ALWAYS)? {
            Some(seqs) => seqs,
            None => {
                let more = match self.rows_max()? {
                    INDEX_ROWS_ALWAYS => None,
                    limit => self.seqs(ranges, limit)?,
                };
                let Some(seqs) = more else {
                    return Ok(None);
                };
                seqs
            }
        };
        let own = self.scope.transaction.read();
        let kept = |seq: &Seq| !own.superseded(self.table.id, self.partition, *seq);
        let version = |seq| (self.scope.snapshot).version(self.table, self.partition, seq);
        let kept = seqs.into_iter().filter(kept);
        kept.map(version).collect::<Stored<_>>().map(Some)
    }

    /// The Seqs of the live versions in some parts of indexes; `None` when they, or the parts, are more than `limit`.
    fn seqs(&self, ranges: &[IndexRange], limit: usize) -> Stored<Option<Vec<Seq>>> {
        if ranges.len() > limit {
            return Ok(None);
        }
        let mut seqs = Vec::new();
        for range in ranges {
            let rest = limit - seqs.len();
            let snapshot = &self.scope.snapshot;
            match snapshot.index_scan(self.table, self.partition, range, rest)? {
                Some(more) => seqs.extend(more),
                None => return Ok(None),
            }
        }
        Ok(Some(seqs))
    }

    /// How many rows are read one by one rather than with all others.
    fn rows_max(&self) -> Stored<usize> {
        let (hot, cold) = self.rows()?;
        Ok(index_rows_max(hot, cold))
    }

    /// How many rows are not flushed, and how many are in files.
    fn rows(&self) -> Stored<(u64, u64)> {
        let of = PartitionSet::One(self.partition.clone());
        let files = (self.scope.snapshot).cold_files(self.table, &of)?;
        let states = (self.scope.snapshot).states(self.table.id, &of)?;
        let cold = files.iter().map(|file| file.rows).sum();
        let hot = states.iter().map(|(_, state)| state.unflushed_rows).sum();
        Ok((hot, cold))
    }
}

/// As many rows are read by an index in any case; where there are more it depends on the table.
pub(crate) const INDEX_ROWS_ALWAYS: usize = 1000;

/// No more rows are read by an index of any table.
const INDEX_ROWS_MOST: usize = 50_000;

/// Rows that are read by an index at most, of so many that are not flushed and so many in files; more are scanned.
///
/// To read a row by an index takes as long (6 µs) as to scan 30 rows of the log or 270 of a file that is at hand. The
/// index is preferred where it takes a quarter of the time of the whole scan, since a scan may end early.
fn index_rows_max(hot: u64, cold: u64) -> usize {
    let worth = usize::try_from(hot / 128 + cold / 1024).unwrap_or(INDEX_ROWS_MOST);
    worth.clamp(INDEX_ROWS_ALWAYS, INDEX_ROWS_MOST)
}

/// Rows of them that are read out of cold files one by one in any case.
pub(crate) const COLD_ROWS_MAX: usize = 64;

/// The same of so many in files: to find one takes a page of each column, as long as to scan 10,000 rows.
pub(crate) fn cold_rows_max(cold: u64) -> usize {
    usize::try_from(cold / 16_384).map_or(1_000, |worth| worth.clamp(COLD_ROWS_MAX, 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_more_rows_of_larger_tables() {
        assert_eq!(index_rows_max(0, 0), 1000);
        assert_eq!(index_rows_max(100_000, 900_000), 1659);
        assert_eq!(index_rows_max(1_000_000, 0), 7812);
        assert_eq!(index_rows_max(0, 10_000_000), 9765);
        assert_eq!(index_rows_max(u64::MAX, u64::MAX / 2), 50_000);
        assert_eq!(cold_rows_max(1_000_000), 64);
        assert_eq!(cold_rows_max(10_000_000), 610);
        assert_eq!(cold_rows_max(u64::MAX), 1_000);
    }
}
