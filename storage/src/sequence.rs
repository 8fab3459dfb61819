//! Sequences: numbers that are drawn outside transactions and never twice.
//!
//! Owns: where each sequence stands. Guarantees: a number that was drawn is not drawn again, also after a crash.
//! How: the disk says how far numbers may have been drawn, up to [`DRAWN_AHEAD`] further than they were, and more where many are
//! drawn at once; so one write serves many draws, and a crash skips what was not drawn of them. Closing the store writes where it
//! stands.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::cold::meta_key;
use crate::datum::ColumnType;
use crate::error::StorageError;
use crate::hot::{Family, Hot};

/// The kind of `meta` entries that say where a sequence stands.
pub(crate) const META_SEQUENCE: u8 = b'q';
/// How many numbers one write to the disk is good for (PostgreSQL's SEQ_LOG_VALS).
const DRAWN_AHEAD: i64 = 32;
/// Numbers that were used up so soon are followed by twice as many, up to a limit: a write takes as long as thousands of draws.
const AT_ONCE: Duration = Duration::from_millis(100);
const DRAWN_AHEAD_MAX: i64 = 8192;

/// A sequence's definition. Where it stands is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceDef {
    /// Its id, which no table or other sequence has.
    pub id: u32,
    /// The schema it stands in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `smallint`, `integer` or `bigint`.
    pub ty: ColumnType,
    /// The first number.
    pub start: i64,
    /// What is added; negative for a descending sequence, never 0.
    pub increment: i64,
    /// The smallest number.
    pub min: i64,
    /// The largest number.
    pub max: i64,
    /// Whether it begins again at its end.
    pub cycle: bool,
    /// CACHE, which says nothing here: sessions draw from one counter.
    pub cache: i64,
    /// What COMMENT ON says of it.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceState {
    /// The number drawn last, or the one that is drawn next.
    pub value: i64,
    /// Whether `value` was drawn.
    pub called: bool,
}

/// Why no number was drawn.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// All were.
    #[error("reached {} value of sequence \"{name}\" ({limit})", if *ascending { "maximum" } else { "minimum" })]
    Exhausted {
        /// The sequence's name.
        name: String,
        /// Its last number.
        limit: i64,
        /// Which end it has reached.
        ascending: bool,
    },
    /// The disk cannot be written or read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

struct Counter {
    state: SequenceState,
    /// How many more numbers the disk's entry covers.
    ahead: i64,
    /// How many numbers the last write was good for, and when that was.
    reserved: (i64, Option<Instant>),
}

impl Counter {
    fn at(state: SequenceState) -> Counter {
        Counter {
            state,
            ahead: 0,
            reserved: (DRAWN_AHEAD, None),
        }
    }

    /// How many numbers the next write is to be good for.
    fn to_reserve(&self) -> i64 {
        let (before, when) = self.reserved;
        match when.is_some_and(|when| when.elapsed() < AT_ONCE) {
            true => (2 * before).min(DRAWN_AHEAD_MAX),
            false => DRAWN_AHEAD,
        }
    }
}

/// The counters of a store.
#[derive(Default)]
pub(crate) struct Sequences(Mutex<HashMap<u32, Counter>>);

impl SequenceDef {
    /// What follows a number; `None` at the end of a sequence that does not begin again.
    fn after(&self, value: i64) -> Option<i64> {
        let next = value.checked_add(self.increment);
        match next.filter(|next| (self.min..=self.max).contains(next)) {
            Some(next) => Some(next),
            None if self.cycle && self.increment > 0 => Some(self.min),
            None if self.cycle => Some(self.max),
            None => None,
        }
    }

    /// Where it stands before the first draw.
    pub fn initial(&self) -> SequenceState {
        SequenceState {
            value: self.start,
            called: false,
        }
    }

    fn key(&self) -> Vec<u8> {
        sequence_key(self.id)
    }
}

/// The key of a sequence's entry in `meta`.
pub(crate) fn sequence_key(id: u32) -> Vec<u8> {
    meta_key(META_SEQUENCE, &id.to_be_bytes())
}

fn encode(state: SequenceState) -> [u8; 9] {
    let mut bytes = [0; 9];
    bytes[..8].copy_from_slice(&state.value.to_be_bytes());
    bytes[8] = u8::from(state.called);
    bytes
}

/// Reads an entry.
pub(crate) fn decode(bytes: &[u8]) -> Result<SequenceState, StorageError> {
    match bytes.split_first_chunk::<8>() {
        Some((value, [called @ (0 | 1)])) => Ok(SequenceState {
            value: i64::from_be_bytes(*value),
            called: *called == 1,
        }),
        _ => Err(StorageError::Corrupt("a sequence's state".to_string())),
    }
}

fn put(hot: &Hot, sequence: &SequenceDef, state: SequenceState) -> Result<(), StorageError> {
    let mut batch = WriteBatch::default();
    batch.put_cf(hot.family(Family::Meta), sequence.key(), encode(state));
    Ok(hot.write(batch)?)
}

impl Sequences {
    fn with<T>(
        &self,
        hot: &Hot,
        sequence: &SequenceDef,
        act: impl FnOnce(&mut Counter) -> Result<T, SequenceError>,
    ) -> Result<T, SequenceError> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get_mut(&sequence.id) {
            return act(counter);
        }
        let stored = hot.get(Family::Meta, &sequence.key());
        let state = match stored.map_err(StorageError::from)? {
            Some(bytes) => decode(&bytes)?,
            None => sequence.initial(),
        };
        let counter = Counter::at(state);
        act(counters.entry(sequence.id).or_insert(counter))
    }

    pub(crate) fn draw(&self, hot: &Hot, sequence: &SequenceDef) -> Result<i64, SequenceError> {
        self.with(hot, sequence, |counter| {
            let next = match counter.state.called {
                false => Some(counter.state.value),
                true => sequence.after(counter.state.value),
            };
            let next = next.ok_or_else(|| SequenceError::Exhausted {
                name: sequence.name.clone(),
                limit: if sequence.increment > 0 {
                    sequence.max
                } else {
                    sequence.min
                },
                ascending: sequence.increment > 0,
            })?;
            if counter.ahead > 0 {
                counter.ahead -= 1;
            } else {
                let reserve = counter.to_reserve();
                let mut last = next;
                let mut ahead = 0;
                while ahead < reserve - 1 {
                    match sequence.after(last) {
                        Some(after) => last = after,
                        None => break,
                    }
                    ahead += 1;
                }
                let reserved = SequenceState {
                    value: last,
                    called: true,
                };
                put(hot, sequence, reserved)?;
                counter.ahead = ahead;
                counter.reserved = (reserve, Some(Instant::now()));
            }
            counter.state = SequenceState {
                value: next,
                called: true,
            };
            Ok(next)
        })
    }

    pub(crate) fn state(
        &self,
        hot: &Hot,
        sequence: &SequenceDef,
    ) -> Result<SequenceState, SequenceError> {
        self.with(hot, sequence, |counter| Ok(counter.state))
    }

    pub(crate) fn set(
        &self,
        hot: &Hot,
        sequence: &SequenceDef,
        state: SequenceState,
    ) -> Result<(), SequenceError> {
        self.with(hot, sequence, |counter| {
            put(hot, sequence, state)?;
            *counter = Counter::at(state);
            Ok(())
        })
    }

    /// Writes where a sequence stands: what the disk has reserved was counted by another definition.
    pub(crate) fn settle_one(
        &self,
        hot: &Hot,
        sequence: &SequenceDef,
    ) -> Result<(), SequenceError> {
        self.with(hot, sequence, |counter| {
            put(hot, sequence, counter.state)?;
            counter.ahead = 0;
            Ok(())
        })
    }

    /// Forgets where the sequence with this id stands: a transaction that was rolled back may have drawn from another
    /// one that had the id.
    pub(crate) fn forget(&self, hot: &Hot, id: u32) -> Result<(), StorageError> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.remove(&id);
        if hot.get(Family::Meta, &sequence_key(id))?.is_none() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_cf(hot.family(Family::Meta), sequence_key(id));
        Ok(hot.write(batch)?)
    }

    /// Writes where the sequences stand, so that a server that was stopped skips nothing.
    pub(crate) fn settle(&self, hot: &Hot) -> Result<(), StorageError> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = WriteBatch::default();
        for (id, counter) in counters.iter_mut().filter(|(_, counter)| counter.ahead > 0) {
            let meta = hot.family(Family::Meta);
            batch.put_cf(meta, sequence_key(*id), encode(counter.state));
            counter.ahead = 0;
        }
        if batch.is_empty() {
            return Ok(());
        }
        Ok(hot.write(batch)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn sequence(increment: i64, min: i64, max: i64, cycle: bool) -> SequenceDef {
        SequenceDef {
            id: 7,
            schema: "public".to_string(),
            name: "s".to_string(),
            ty: ColumnType::Int8,
            start: if increment > 0 { min } else { max },
            increment,
            min,
            max,
            cycle,
            cache: 1,
            comment: None,
        }
    }

    #[test]
    fn a_crash_skips_and_a_stop_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let hot = Arc::new(Hot::open(dir.path(), "test").unwrap());
        let plain = sequence(1, 1, i64::MAX, false);
        let sequences = Sequences::default();
        for expected in 1..=32 {
            assert_eq!(sequences.draw(&hot, &plain).unwrap(), expected);
        }
        // As after a crash: what is in memory is lost.
        let sequences = Sequences::default();
        assert_eq!(sequences.draw(&hot, &plain).unwrap(), 33);
        let sequences = Sequences::default();
        assert_eq!(sequences.draw(&hot, &plain).unwrap(), 65);
        sequences.settle(&hot).unwrap();
        let sequences = Sequences::default();
        assert_eq!(sequences.draw(&hot, &plain).unwrap(), 66);
        let state = SequenceState {
            value: 5,
            called: false,
        };
        sequences.set(&hot, &plain, state).unwrap();
        let sequences = Sequences::default();
        assert_eq!(sequences.state(&hot, &plain).unwrap(), state);
        assert_eq!(sequences.draw(&hot, &plain).unwrap(), 5);
    }

    #[test]
    fn more_are_reserved_where_many_are_drawn_at_once() {
        let mut counter = Counter::at(sequence(1, 1, i64::MAX, false).initial());
        assert_eq!(counter.to_reserve(), DRAWN_AHEAD);
        counter.reserved = (DRAWN_AHEAD, Some(Instant::now()));
        assert_eq!(counter.to_reserve(), 2 * DRAWN_AHEAD);
        counter.reserved = (DRAWN_AHEAD_MAX, Some(Instant::now()));
        assert_eq!(counter.to_reserve(), DRAWN_AHEAD_MAX);
        let before = Instant::now().checked_sub(2 * AT_ONCE);
        counter.reserved = (DRAWN_AHEAD_MAX, before);
        assert_eq!(counter.to_reserve(), DRAWN_AHEAD);
    }

    #[test]
    fn ends() {
        let dir = tempfile::tempdir().unwrap();
        let hot = Arc::new(Hot::open(dir.path(), "test").unwrap());
        let draw = |sequence: &SequenceDef, count: usize| {
            let sequences = Sequences::default();
            sequences.set(&hot, sequence, sequence.initial()).unwrap();
            let drawn = (0..count).map(|_| sequences.draw(&hot, sequence));
            drawn
                .map(|value| value.map_err(|error| error.to_string()))
                .collect::<Vec<_>>()
        };
        let full = "reached maximum value of sequence \"s\" (3)".to_string();
        assert_eq!(
            draw(&sequence(2, 1, 3, false), 3),
            [Ok(1), Ok(3), Err(full)]
        );
        assert_eq!(
            draw(&sequence(1, 1, 2, true), 4),
            [Ok(1), Ok(2), Ok(1), Ok(2)]
        );
        let full = "reached minimum value of sequence \"s\" (-2)".to_string();
        assert_eq!(
            draw(&sequence(-1, -2, -1, false), 3),
            [Ok(-1), Ok(-2), Err(full)]
        );
    }
}
