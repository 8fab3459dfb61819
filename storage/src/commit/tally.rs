//! What a transaction does to each partition, by its changes' places in it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{TableDef, TableId};
use crate::changes::{ChangeOp, Extent};
use crate::cold::PartitionState;
use crate::seq::Seq;
use crate::transaction::{Op, Partition};

/// How many rows of a table were changed since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows that came.
    pub inserted: u64,
    /// Rows that were replaced.
    pub updated: u64,
    /// Rows that went.
    pub deleted: u64,
}

impl RowCounts {
    fn of(ops: &[Op]) -> RowCounts {
        let mut counts = RowCounts::default();
        for op in ops {
            match op.kind {
                ChangeOp::Insert => counts.inserted += 1,
                ChangeOp::Update => counts.updated += 1,
                ChangeOp::Delete => counts.deleted += 1,
            }
        }
        counts
    }

    fn add(&mut self, more: RowCounts) {
        self.inserted += more.inserted;
        self.updated += more.updated;
        self.deleted += more.deleted;
    }

    fn all(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// The counts of all tables that were written to.
pub(crate) type Counted = Mutex<HashMap<TableId, RowCounts>>;

/// The changes of one partition.
pub(super) struct Part {
    pub(super) table: Arc<TableDef>,
    pub(super) partition: Partition,
    /// The first of them, and the last.
    first: usize,
    last: usize,
    rows: RowCounts,
    /// Bytes of their records.
    bytes: u64,
}

impl Part {
    pub(super) fn scope(&self) -> (TableId, Partition) {
        (self.table.id, self.partition.clone())
    }

    /// Whether the change at a place is the transaction's last of the part.
    pub(super) fn ends_at(&self, at: usize) -> bool {
        at == self.last
    }
}

/// A transaction's changes by partition.
pub(super) struct Tally {
    pub(super) parts: Vec<Part>,
    /// How many changes in a row are of which part.
    runs: Vec<(usize, usize)>,
}

impl Tally {
    pub(super) fn of(ops: &[Op]) -> Tally {
        let same = |a: &Op, b: &Op| a.table.id == b.table.id && a.partition == b.partition;
        let mut places = HashMap::new();
        let mut tally = Tally {
            parts: Vec::new(),
            runs: Vec::new(),
        };
        let mut at = 0;
        for run in ops.chunk_by(same) {
            let op = &run[0];
            let next = tally.parts.len();
            let place = *(places.entry((op.table.id, &op.partition))).or_insert(next);
            if place == next {
                tally.parts.push(Part {
                    table: op.table.clone(),
                    partition: op.partition.clone(),
                    first: at,
                    last: at,
                    rows: RowCounts::default(),
                    bytes: 0,
                });
            }
            let part = &mut tally.parts[place];
            part.rows.add(RowCounts::of(run));
            part.bytes += (run.iter().map(|op| op.record.len() as u64)).sum::<u64>();
            tally.runs.push((place, run.len()));
            at += run.len();
            part.last = at - 1;
        }
        tally
    }

    /// The changes run by run: the part that they are of, and the place of the first.
    pub(super) fn runs<'a>(
        &'a self,
        ops: &'a mut [Op],
    ) -> impl Iterator<Item = (&'a Part, usize, &'a mut [Op])> {
        let (mut at, mut left) = (0, ops);
        self.runs.iter().map(move |(part, length)| {
            let (run, rest) = std::mem::take(&mut left).split_at_mut(*length);
            left = rest;
            at += length;
            (&self.parts[*part], at - length, run)
        })
    }

    /// How many changes there are.
    pub(super) fn changes(&self) -> u64 {
        self.parts.iter().map(|part| part.rows.all()).sum()
    }

    /// Where the records lie, if the first has this Seq.
    pub(super) fn extents(&self, first: Seq) -> Vec<Extent> {
        let extent = |part: &Part| Extent {
            table: part.table.id,
            partition: part.partition.clone(),
            first: first.advance(part.first as u64),
            last: first.advance(part.last as u64),
        };
        self.parts.iter().map(extent).collect()
    }

    /// Adds the changes to the states of their partitions, which must be there, and to the counts of their tables.
    pub(super) fn count(
        &self,
        first: Seq,
        states: &mut HashMap<(TableId, Partition), PartitionState>,
        counted: &Counted,
    ) {
        let mut counted = counted.lock();
        for part in &self.parts {
            counted.entry(part.table.id).or_default().add(part.rows);
            let state = states.get_mut(&part.scope());
            let state = state.expect("the state of every part was read");
            if state.unflushed_rows == 0 {
                state.first_unflushed = first.advance(part.first as u64);
            }
            state.unflushed_rows += part.rows.all();
            state.unflushed_bytes += part.bytes;
            state.log_bytes += part.bytes;
            state.last_seq = first.advance(part.last as u64);
        }
    }
}
