//! Which Seq a time means where Seqs are ahead of the clock.
//!
//! A large transaction takes more Seqs than its millisecond has, and when the clock goes back, Seqs do not. Whatever is
//! committed then is noted with the time of the clock. A note that the clock has gone back behind is forgotten: so both
//! times and Seqs ascend from note to note.

use rocksdb::WriteBatch;

use crate::cold::{META_MOMENT, meta_key};
use crate::error::StorageError;
use crate::hot::{Family, Hot, HotSnapshot};
use crate::key::{read_seq, seq_bytes};
use crate::seq::Seq;
use crate::snapshot::Snapshot;

/// A clock that is further behind is complained of.
const BEHIND_MS: i64 = 60_000;

/// What the committer knows of the notes.
pub(crate) struct Moments {
    /// The time of the newest.
    newest_ms: i64,
    /// The clock was complained of, and has not come up since.
    is_behind: bool,
}

impl Moments {
    pub(crate) fn load(now: &HotSnapshot) -> Result<Moments, StorageError> {
        let newest = last_note(now, i64::MAX)?;
        Ok(Moments {
            newest_ms: newest.map_or(0, |(ms, _)| ms),
            is_behind: false,
        })
    }

    /// Adds to the batch of a commit up to `last` that it is of this time, in milliseconds since the Unix epoch.
    pub(crate) fn note(&mut self, hot: &Hot, batch: &mut WriteBatch, last: Seq, now_ms: i64) {
        let behind_ms = last.unix_ms() - now_ms;
        if behind_ms > BEHIND_MS && !self.is_behind {
            tracing::warn!(
                seconds = behind_ms / 1000,
                "the clock is behind the newest commit: rows of stream tables expire later by as much"
            );
        }
        self.is_behind = behind_ms > BEHIND_MS;
        let meta = hot.family(Family::Meta);
        if now_ms < self.newest_ms {
            batch.delete_range_cf(meta, key(now_ms), vec![META_MOMENT + 1]);
            self.newest_ms = now_ms;
        }
        if behind_ms > 0 {
            batch.put_cf(meta, key(now_ms), seq_bytes(last));
            self.newest_ms = now_ms;
        }
    }
}

/// The `meta` key of the note of a time.
pub(crate) fn key(unix_ms: i64) -> Vec<u8> {
    meta_key(META_MOMENT, &unix_ms.max(0).to_be_bytes())
}

/// The time and the Seq of a note.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(i64, Seq), StorageError> {
    let corrupt = || StorageError::Corrupt("a moment".to_string());
    let ms = key[1..].try_into().map_err(|_| corrupt())?;
    Ok((i64::from_be_bytes(ms), read_seq(value)?))
}

/// The newest note up to a time.
fn last_note(hot: &HotSnapshot, unix_ms: i64) -> Result<Option<(i64, Seq)>, StorageError> {
    let mut notes = hot.iterate(Family::Meta, &[META_MOMENT], vec![META_MOMENT + 1]);
    notes.seek_for_prev(key(unix_ms));
    // There is no lower bound: what is found may be of another kind.
    let note = notes.item().filter(|(key, _)| key[0] == META_MOMENT);
    let note = note.map(|(key, value)| decode(key, value)).transpose()?;
    notes.status()?;
    Ok(note)
}

/// The end of the times whose notes tell of Seqs up to this one; 0 when there are none.
pub(crate) fn end_of(hot: &HotSnapshot, seq: Seq) -> Result<i64, StorageError> {
    let mut notes = hot.iterate(Family::Meta, &[META_MOMENT], vec![META_MOMENT + 1]);
    let mut end = 0;
    while let Some((key, value)) = notes.item() {
        let (ms, noted) = decode(key, value)?;
        if noted > seq {
            break;
        }
        end = ms + 1;
        notes.next();
    }
    notes.status()?;
    Ok(end)
}

impl Snapshot {
    /// The newest Seq that was committed by the end of a millisecond since the Unix epoch. Blocking.
    pub fn seq_at(&self, unix_ms: i64) -> Result<Seq, StorageError> {
        let drawn = Seq::first_at(unix_ms.saturating_add(1)).previous();
        let noted = last_note(&self.view.hot, unix_ms)?.map_or(Seq::ZERO, |(_, seq)| seq);
        Ok(drawn.max(noted).min(self.seq()))
    }
}
