//! Snapshots of the past, and how far back a table can be read.
//!
//! What a flush or compaction leaves out had died by some Seq; the largest of these is noted with the table in the
//! same batch. So a read at that Seq or later misses nothing, whatever the windows have been meanwhile. The `commit`
//! family tells where transactions begin and end, so that none is seen by half.

use super::Snapshot;
use crate::catalog::{TableDef, TableId};
use crate::changes::decode_commit;
use crate::cold;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{put_seq, read_seq, seq_bytes};
use crate::seq::Seq;

/// How far back the data of a table goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// When the table was made, or last truncated.
    pub created: Seq,
    /// Reads at this Seq and later find every version that was live then, and transactions as a whole.
    pub complete_from: Seq,
    /// When what a reader of all of it sees last became another: its name, columns or primary key. Not before `created`.
    pub altered: Seq,
}

impl History {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        put_seq(&mut out, self.created);
        put_seq(&mut out, self.complete_from);
        put_seq(&mut out, self.altered);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<History, StorageError> {
        let at = |begin: usize| read_seq(bytes.get(begin..).unwrap_or_default());
        Ok(History {
            created: at(0)?,
            complete_from: at(8)?,
            altered: at(16)?,
        })
    }
}

impl Snapshot {
    /// The rows as they stood at an earlier Seq, under the present catalog; inside a transaction, as they stood before
    /// it. Of each table that is read, `history` must reach back to the snapshot's Seq. Blocking.
    ///
    /// # Panics
    /// When the Seq is above this snapshot's.
    pub fn as_of(&self, seq: Seq) -> Result<Snapshot, StorageError> {
        assert!(seq <= self.seq, "the future cannot be read");
        let around = self.transaction_around(seq)?;
        Ok(Snapshot {
            view: self.view.clone(),
            taken_ms: self.taken_ms,
            catalog: self.catalog.clone(),
            seq: around.map_or(seq, |(first, _)| first.previous()),
            is_as_of: true,
            since: self.since.clone(),
        })
    }

    /// The first and last Seq of the transaction that had begun at a Seq and not ended, if one had.
    fn transaction_around(&self, seq: Seq) -> Result<Option<(Seq, Seq)>, StorageError> {
        let mut commits = self.view.hot.iterate(Family::Commit, &[], vec![0xFF; 9]);
        commits.seek_for_prev(seq_bytes(seq));
        let around = match commits.item() {
            Some((first, entry)) => Some((read_seq(first)?, decode_commit(entry)?.last)),
            None => None,
        };
        commits.status()?;
        Ok(around.filter(|(_, last)| *last > seq))
    }

    /// Whether `as_of` made it, be it of the newest Seq: then of each table that is read `history` must reach back to it.
    pub fn is_as_of(&self) -> bool {
        self.is_as_of
    }

    /// Whether it shows an earlier Seq than its view's: then keys and indexes do not belong to it.
    pub fn is_past(&self) -> bool {
        self.seq < self.view.seq
    }

    /// How far back the table goes; `None` when its making is not committed. Blocking.
    pub fn history(&self, table: TableId) -> Result<Option<History>, StorageError> {
        let key = cold::history_key(table);
        let Some(stored) = self.view.hot.get(Family::Meta, &key)? else {
            return Ok(None);
        };
        let mut history = History::decode(&stored)?;
        // Nothing tells any more where transactions older than the first entry began and ended.
        let commits = self.view.hot.iterate(Family::Commit, &[], vec![0xFF; 9]);
        if let Some(first) = commits.key() {
            history.complete_from = history.complete_from.max(read_seq(first)?.previous());
        }
        commits.status()?;
        if let Some((_, last)) = self.transaction_around(history.complete_from)? {
            history.complete_from = last;
        }
        Ok(Some(history))
    }

    /// Versions of the table that died up to this Seq may go: no read inside its history window needs them.
    pub(crate) fn history_floor(&self, table: &TableDef) -> Result<Seq, StorageError> {
        Ok(match table.options.history_window_ms {
            // Not even this millisecond.
            0 => self.seq,
            window_ms => self.first_within(window_ms)?.min(self.seq),
        })
    }
}
