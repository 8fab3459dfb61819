//! The rows that are locked, in many maps instead of one: a map that grows moves all that is in it, and whoever wants a
//! lock meanwhile waits.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{Row, RowKey, is_advisory};

const PARTS: usize = 256;
/// A part that once held more than this many locks gives the memory back when it is empty.
const CAPACITY_KEPT: usize = 1 << 8;

pub(super) struct Rows {
    hasher: RandomState,
    parts: Vec<HashMap<RowKey, Row, RandomState>>,
    /// Apart, since they are shown.
    advisory: HashMap<RowKey, Row, RandomState>,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows {
            hasher: RandomState::default(),
            parts: (0..PARTS).map(|_| HashMap::default()).collect(),
            advisory: HashMap::default(),
        }
    }
}

impl Rows {
    fn place(&self, key: &RowKey) -> usize {
        // The maps go by the hash's other bits: they hash with states of their own.
        self.hasher.hash_one(key) as usize % PARTS
    }

    fn part(&mut self, key: &RowKey) -> &mut HashMap<RowKey, Row, RandomState> {
        match is_advisory(key) {
            true => &mut self.advisory,
            false => {
                let place = self.place(key);
                &mut self.parts[place]
            }
        }
    }

    pub(super) fn get(&self, key: &RowKey) -> Option<&Row> {
        match is_advisory(key) {
            true => self.advisory.get(key),
            false => self.parts[self.place(key)].get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &RowKey) -> Option<&mut Row> {
        self.part(key).get_mut(key)
    }

    pub(super) fn get_or_default(&mut self, key: &RowKey) -> &mut Row {
        self.part(key).entry(key.clone()).or_default()
    }

    pub(super) fn insert(&mut self, key: RowKey, row: Row) {
        self.part(&key).insert(key, row);
    }

    pub(super) fn remove(&mut self, key: &RowKey) {
        let part = self.part(key);
        part.remove(key);
        if part.is_empty() && part.capacity() > CAPACITY_KEPT {
            part.shrink_to(0);
        }
    }

    /// The advisory locks.
    pub(super) fn advisory(&self) -> impl Iterator<Item = (&RowKey, &Row)> {
        self.advisory.iter()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.advisory.is_empty() && self.parts.iter().all(HashMap::is_empty)
    }
}
