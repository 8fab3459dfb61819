//! Which Seqs a time means where Seqs do not follow the clock.
//!
//! Seqs are ahead of it when a transaction took more of them than its millisecond has, after a large commit that took less time
//! than it had Seqs for, and when the clock goes back. They are late, behind it, while a large commit is under way. Whatever is
//! committed then is noted with the time of the clock. A note that the clock has gone back behind is forgotten: so both
//! times and Seqs ascend from note to note.

use std::sync::Arc;

use rocksdb::WriteBatch;

use crate::cold::{META_MOMENT, meta_key};
use crate::error::StorageError;
use crate::hot::{Family, Hot, HotSnapshot};
use crate::key::{put_seq, read_seq};
use crate::seq::{EPOCH_UNIX_MS, Seq};
use crate::snapshot::{Snapshot, View};

/// A clock that is further behind is complained of.
const BEHIND_MS: i64 = 60_000;

/// What is noted of a time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) ms: i64,
    /// The newest Seq that was committed by the end of it.
    pub(crate) seq: Seq,
    /// The newest one before it, if Seqs were late: without this, Seqs would be taken to have followed the clock up to here.
    pub(crate) before: Option<Seq>,
}

impl Note {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        put_seq(&mut out, self.seq);
        if let Some(before) = self.before {
            put_seq(&mut out, before);
        }
        out
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Note, StorageError> {
        let corrupt = || StorageError::Corrupt("a moment".to_string());
        let ms = key[1..].try_into().map_err(|_| corrupt())?;
        let before = value.get(8..).filter(|rest| !rest.is_empty());
        Ok(Note {
            ms: i64::from_be_bytes(ms),
            seq: read_seq(value)?,
            before: before.map(read_seq).transpose()?,
        })
    }
}

/// What the committer knows of the notes.
pub(crate) struct Moments {
    newest: Option<Note>,
    /// The clock was complained of, and has not come up since.
    is_behind: bool,
}

impl Moments {
    pub(crate) fn load(now: &HotSnapshot) -> Result<Moments, StorageError> {
        Ok(Moments {
            newest: Notes::of(now).upto(i64::MAX)?,
            is_behind: false,
        })
    }

    /// Adds to the batch of a commit up to `last` that it is of this time, in milliseconds since the Unix epoch. If its Seqs may
    /// be late, `late_after` is the newest Seq before it.
    pub(crate) fn note(
        &mut self,
        hot: &Arc<Hot>,
        batch: &mut WriteBatch,
        last: Seq,
        late_after: Option<Seq>,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let behind_ms = last.unix_ms() - now_ms;
        if behind_ms > BEHIND_MS && !self.is_behind {
            tracing::warn!(
                seconds = behind_ms / 1000,
                "the clock is behind the newest commit: it has gone back"
            );
        }
        self.is_behind = behind_ms > BEHIND_MS;
        let meta = hot.family(Family::Meta);
        let mut before = late_after;
        let mut is_due = late_after.is_some() || behind_ms > 0;
        if let Some(newest) = self.newest.filter(|newest| newest.ms >= now_ms) {
            let mut same = Some(newest);
            if newest.ms > now_ms {
                same = Notes::of(&HotSnapshot::take(hot)).from(now_ms)?;
                batch.delete_range_cf(meta, key(now_ms), vec![META_MOMENT + 1]);
            }
            // What came before it all is what times before now still mean.
            before = same.and_then(|note| note.before).or(before);
            is_due = true;
        }
        if is_due {
            let note = Note {
                ms: now_ms,
                seq: last,
                before,
            };
            batch.put_cf(meta, key(now_ms), note.encode());
            self.newest = Some(note);
        }
        Ok(())
    }

    /// `View::follows_ms`.
    pub(crate) fn follows_ms(&self) -> i64 {
        let of = |note: Note| note.ms.max(note.seq.unix_ms()) + 1;
        self.newest.map_or(0, of)
    }
}

/// The `meta` key of the note of a time.
pub(crate) fn key(unix_ms: i64) -> Vec<u8> {
    meta_key(META_MOMENT, &unix_ms.max(0).to_be_bytes())
}

/// The notes, by time.
struct Notes<'a>(rocksdb::DBRawIteratorWithThreadMode<'a, rocksdb::DB>);

impl Notes<'_> {
    fn of(hot: &HotSnapshot) -> Notes<'_> {
        Notes(hot.iterate(Family::Meta, &[META_MOMENT], vec![META_MOMENT + 1]))
    }

    /// The last one up to a time.
    fn upto(&mut self, unix_ms: i64) -> Result<Option<Note>, StorageError> {
        self.0.seek_for_prev(key(unix_ms));
        self.here()
    }

    /// The first one of this time or a later.
    fn from(&mut self, unix_ms: i64) -> Result<Option<Note>, StorageError> {
        self.0.seek(key(unix_ms));
        self.here()
    }

    fn here(&self) -> Result<Option<Note>, StorageError> {
        // There is no lower bound: what is found may be of another kind.
        let note = self.0.item().filter(|(key, _)| key[0] == META_MOMENT);
        let note = note.map(|(key, value)| Note::decode(key, value));
        self.0.status()?;
        note.transpose()
    }
}

/// The newest Seq that was committed by the end of a millisecond, or that would be if Seqs have followed the clock since the
/// newest note.
fn newest_at(hot: &HotSnapshot, unix_ms: i64) -> Result<Seq, StorageError> {
    let drawn = Seq::first_at(unix_ms.saturating_add(1)).previous();
    let mut notes = Notes::of(hot);
    let last = notes.upto(unix_ms)?.map(|note| note.seq);
    let next = notes.from(unix_ms.saturating_add(1))?;
    let bound = next.and_then(|next| next.before);
    Ok(drawn
        .max(last.unwrap_or(Seq::ZERO))
        .min(bound.unwrap_or(Seq::MAX)))
}

/// The lowest Seq of what was committed at a time or later.
pub(crate) fn first_since(hot: &HotSnapshot, unix_ms: i64) -> Result<Seq, StorageError> {
    Ok(newest_at(hot, unix_ms.saturating_sub(1))?.next())
}

/// The end of the times whose notes nobody needs who asks for times from `unix_ms` on and for Seqs above `seq`; 0 when there
/// are none. The last note before that stays: it tells what later ones came after.
pub(crate) fn end_of_old(hot: &HotSnapshot, seq: Seq, unix_ms: i64) -> Result<i64, StorageError> {
    let mut notes = Notes::of(hot);
    let mut end = 0;
    while let Some(note) = notes.here()? {
        if note.seq > seq || note.ms > unix_ms {
            break;
        }
        end = note.ms;
        notes.0.next();
    }
    Ok(end)
}

impl View {
    /// The lowest Seq that a commit at a time, in milliseconds since the Unix epoch, or later has or will have; at most the one
    /// after the view's. Blocking.
    pub(crate) fn first_since(&self, unix_ms: i64) -> Result<Seq, StorageError> {
        let first = match unix_ms >= self.follows_ms {
            true => Seq::first_at(unix_ms),
            false => first_since(&self.hot, unix_ms)?,
        };
        Ok(first.min(self.seq.next()))
    }
}

impl Snapshot {
    /// The newest Seq that was committed by the end of a millisecond since the Unix epoch. Blocking.
    pub fn seq_at(&self, unix_ms: i64) -> Result<Seq, StorageError> {
        Ok(newest_at(&self.view.hot, unix_ms)?.min(self.seq()))
    }

    /// The first millisecond since the Unix epoch by whose end this Seq was committed; if it was not, when the snapshot was
    /// taken. Blocking.
    pub fn time_of(&self, seq: Seq) -> Result<i64, StorageError> {
        if seq.unix_ms() >= self.view.follows_ms {
            return Ok(seq.unix_ms());
        }
        let (mut from, mut to) = (EPOCH_UNIX_MS, self.taken_ms);
        while from < to {
            let middle = from + (to - from) / 2;
            match newest_at(&self.view.hot, middle)? >= seq {
                true => to = middle,
                false => from = middle + 1,
            }
        }
        Ok(from)
    }
}
