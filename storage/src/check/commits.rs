//! The commit order, against the logs.

use rocksdb::{DB, DBRawIteratorWithThreadMode};

use super::{CheckReport, Checker, Invariant, place};
use crate::catalog::{TableDef, TableId};
use crate::changes::{CommitEntry, Extent, decode_commit};
use crate::cold::{self, PartitionState};
use crate::error::StorageError;
use crate::hot::{Family, HotSnapshot};
use crate::key::{read_seq, seq_bytes, version_key};
use crate::seq::Seq;
use crate::snapshot::rows_family;
use crate::transaction::Partition;

/// Finds the transaction that a Seq belongs to; quick when Seqs are asked for in their order.
pub(super) struct Commits<'a> {
    entries: DBRawIteratorWithThreadMode<'a, DB>,
    found: Option<(Seq, CommitEntry)>,
}

impl<'a> Commits<'a> {
    pub(super) fn new(hot: &'a HotSnapshot) -> Commits<'a> {
        Commits {
            entries: hot.iterate(Family::Commit, &[], vec![0xFF; 9]),
            found: None,
        }
    }

    /// The last transaction that begins at or before the Seq.
    fn before(&mut self, seq: Seq) -> Result<Option<&(Seq, CommitEntry)>, StorageError> {
        let holds = |found: &(Seq, CommitEntry)| found.0 <= seq && seq <= found.1.last;
        if !self.found.as_ref().is_some_and(holds) {
            self.entries.seek_for_prev(seq_bytes(seq));
            self.found = match self.entries.item() {
                Some((key, value)) => Some((read_seq(key)?, decode_commit(value)?)),
                None => None,
            };
            self.entries.status()?;
        }
        Ok(self.found.as_ref())
    }

    /// Checks that a record of the log is one of a transaction's, and its last one in the partition exactly if it
    /// says so.
    pub(super) fn check_record(
        &mut self,
        report: &mut CheckReport,
        (table, partition): (&TableDef, &Partition),
        seq: Seq,
        says_last: bool,
    ) -> Result<(), StorageError> {
        // Older than the commit order goes back to.
        let Some((_, entry)) = self.before(seq)? else {
            return Ok(());
        };
        let within = |extent: &&Extent| {
            extent.table == table.id
                && extent.partition == *partition
                && (extent.first..=extent.last).contains(&seq)
        };
        if seq > entry.last || !entry.extents.iter().any(|extent| within(&extent)) {
            let what = format!("the record {seq} is in no transaction");
            report.find(Invariant::CommitsAgree, place(table, partition), what);
            return Ok(());
        }
        let own = entry
            .extents
            .iter()
            .filter(|extent| extent.table == table.id && extent.partition == *partition);
        let end = own.map(|extent| extent.last).max();
        if says_last != (Some(seq) == end) {
            let what = format!(
                "the record {seq} says {} to be its transaction's last here, which is {end:?}",
                if says_last { "wrongly" } else { "not" },
            );
            report.find(Invariant::CommitsAgree, place(table, partition), what);
        }
        Ok(())
    }
}

/// How many Seqs a run from `first` to `last` has.
fn run_length(first: Seq, last: Seq) -> Option<u64> {
    let counter = |seq: Seq| seq.as_i64() & 0xFFF;
    let ms = (last.unix_ms() - first.unix_ms()).checked_mul(1 << 12)?;
    let length = u64::try_from(ms + counter(last) - counter(first)).ok()?;
    (first.advance(length) == last).then_some(length + 1)
}

impl Checker<'_> {
    pub(super) fn commits(&mut self) -> Result<(), StorageError> {
        let mut newest = Seq::ZERO;
        let mut entries = self.hot.iterate(Family::Commit, &[], vec![0xFF; 9]);
        while let Some((key, value)) = entries.item() {
            let (Ok(first), Ok(entry)) = (read_seq(key), decode_commit(value)) else {
                let what = format!("entry {key:02x?}");
                self.report.find(Invariant::RecordsDecode, "commit", what);
                entries.next();
                continue;
            };
            self.report.transactions += 1;
            if first <= newest || entry.last < first {
                let what = format!("{first} to {} comes after {newest}", entry.last);
                self.report.find(Invariant::CommitsInOrder, "commit", what);
            }
            newest = newest.max(entry.last);
            self.transaction(first, &entry)?;
            entries.next();
        }
        entries.status()?;
        let mut states = self.hot.iterate(
            Family::Meta,
            &[cold::META_STATE],
            vec![cold::META_STATE + 1],
        );
        while let Some((key, value)) = states.item() {
            if let Ok(state) = PartitionState::decode(value)
                && state.last_seq > newest
            {
                let what = format!(
                    "it ends at {newest}, a partition {key:02x?} at {}",
                    state.last_seq
                );
                self.report.find(Invariant::CommitsInOrder, "commit", what);
            }
            states.next();
        }
        Ok(states.status()?)
    }

    /// The newest Seq in the commit order, as far as that decodes.
    pub(super) fn newest(&self) -> Result<Seq, StorageError> {
        let mut entries = self.hot.iterate(Family::Commit, &[], vec![0xFF; 9]);
        entries.seek_to_last();
        let newest = entries.value().and_then(|value| decode_commit(value).ok());
        entries.status()?;
        Ok(newest.map_or(Seq::MAX, |entry| entry.last))
    }

    /// Every Seq of a transaction is a record in the log that it names, as far as the logs go back.
    fn transaction(&mut self, first: Seq, entry: &CommitEntry) -> Result<(), StorageError> {
        let (mut records, mut whole) = (0, true);
        for extent in &entry.extents {
            if extent.first < first || extent.last > entry.last || extent.first > extent.last {
                let what = format!("{first} to {} has {extent:?}", entry.last);
                self.report.find(Invariant::CommitsInOrder, "commit", what);
                whole = false;
                continue;
            }
            let Some((family, floor)) = self.kept_from(extent)? else {
                whole = false;
                continue;
            };
            if extent.first <= floor {
                whole = false;
            }
            if extent.last <= floor {
                continue;
            }
            let from = version_key(
                extent.table,
                &extent.partition,
                extent.first.max(floor.next()),
            );
            let to = version_key(extent.table, &extent.partition, extent.last.next());
            let mut log = self.hot.iterate(family, &from, to);
            let (mut count, mut last) = (0, None);
            while let Some(key) = log.key() {
                last = Some(crate::key::seq_of(key)?);
                count += 1;
                log.next();
            }
            log.status()?;
            records += count;
            if last != Some(extent.last) {
                let what = format!(
                    "the transaction {first} has a record {} in table {}, partition {:?}, whose log lacks it",
                    extent.last,
                    extent.table.get(),
                    extent.partition.as_str()
                );
                self.report.find(Invariant::CommitsAgree, "commit", what);
                whole = false;
            }
        }
        // Notifications have the Seqs behind its last record.
        let end = entry.extents.iter().map(|extent| extent.last).max();
        if let Some(end) = end.filter(|end| whole && run_length(first, *end) != Some(records)) {
            let what = format!("{first} to {end} has {records} records in the logs");
            self.report.find(Invariant::CommitsAgree, "commit", what);
        }
        Ok(())
    }

    /// The family with the records of an extent, and up to where they have left it; `None` when its table is gone.
    fn kept_from(&self, extent: &Extent) -> Result<Option<(Family, Seq)>, StorageError> {
        if extent.table == TableId::SYSTEM {
            return Ok(Some((Family::Log, Seq::ZERO)));
        }
        let Some(table) = self.tables.get(&extent.table) else {
            return Ok(None);
        };
        let state = cold::state_key(extent.table, &extent.partition);
        let state = match self.hot.get(Family::Meta, &state)? {
            Some(bytes) => PartitionState::decode(&bytes)?,
            None => PartitionState::default(),
        };
        Ok(Some((
            rows_family(table),
            super::partition::log_floor(table, &state),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_a_length() {
        let first = Seq::first_at(crate::seq::EPOCH_UNIX_MS + 5).advance(4000);
        for n in [0, 1, 95, 96, 5000] {
            assert_eq!(run_length(first, first.advance(n)), Some(n + 1));
        }
        assert_eq!(run_length(first.next(), first), None);
    }
}
