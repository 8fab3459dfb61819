//! What readers of the same thing share: one decoded copy of each commit, and what was made of it.
//!
//! Guarantees: a shared stretch is what each of its readers would have read. Memory: the two newest stretches of a
//! group, and only while it has several readers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tidelog_storage::{Change, ChangeBatch, FeedScope, Seq};
use tokio::sync::Notify;

/// Stretches that a group keeps.
const KEPT: usize = 2;

/// An encoding's name, and the bytes in it.
type Encoded = (&'static str, Arc<[u8]>);

/// A stretch of a feed, as the reader sees it.
#[derive(Debug)]
pub struct Stretch {
    changes: Vec<Change>,
    from: Seq,
    upto: Seq,
    encoded: Mutex<Vec<Encoded>>,
}

impl Stretch {
    /// The changes after `from` and up to `upto`.
    pub fn new(changes: Vec<Change>, from: Seq, upto: Seq) -> Stretch {
        Stretch {
            changes,
            from,
            upto,
            encoded: Mutex::default(),
        }
    }

    /// The changes, in commit order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes, copied if others still read them.
    pub fn into_changes(self: Arc<Stretch>) -> Vec<Change> {
        match Arc::try_unwrap(self) {
            Ok(stretch) => stretch.changes,
            Err(shared) => shared.changes.clone(),
        }
    }

    /// Its bytes in some encoding, which the first of its readers makes.
    pub fn encoded<E>(
        &self,
        encoding: &'static str,
        make: impl FnOnce(&[Change]) -> Result<Vec<u8>, E>,
    ) -> Result<Arc<[u8]>, E> {
        // Held while they are made: who comes meanwhile would do the same work.
        let mut encoded = self.encoded.lock();
        if let Some((_, bytes)) = encoded.iter().find(|(known, _)| *known == encoding) {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> = make(&self.changes)?.into();
        encoded.push((encoding, bytes.clone()));
        Ok(bytes)
    }

    /// Whether it is all that comes next for a reader that stands at `after`.
    fn follows(&self, after: Seq) -> bool {
        let first = self.changes.first().map_or(Seq::MAX, |change| change.seq);
        self.from <= after && after < self.upto && after < first
    }

    pub(crate) fn upto(&self) -> Seq {
        self.upto
    }
}

/// Readers whose following is equal.
#[derive(Default)]
pub(crate) struct Group {
    state: Mutex<GroupState>,
    read: Notify,
}

#[derive(Default)]
struct GroupState {
    recent: VecDeque<Arc<Stretch>>,
    reading: bool,
}

/// The one reader of a group that reads for all of them.
pub(crate) struct Turn(Arc<Group>);

/// How a reader of a group comes by what follows.
pub(crate) enum Next {
    /// One of the group has read it.
    Read(Arc<Stretch>),
    /// It is the reader's turn to read for all.
    Turn(Turn),
    /// The others are further: the reader reads for himself, so that nobody waits for one who catches up.
    Behind,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state.lock().reading = false;
        self.0.read.notify_waiters();
    }
}

impl Group {
    /// What comes next for a reader at `after`. Waits while another one reads. Cancel-safe.
    pub(crate) async fn next(self: &Arc<Group>, after: Seq) -> Next {
        loop {
            let mut read = std::pin::pin!(self.read.notified());
            read.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(stretch) = state.recent.iter().find(|stretch| stretch.follows(after)) {
                    return Next::Read(stretch.clone());
                }
                if state
                    .recent
                    .back()
                    .is_some_and(|newest| after < newest.from)
                {
                    return Next::Behind;
                }
                if !state.reading {
                    state.reading = true;
                    return Next::Turn(Turn(self.clone()));
                }
            }
            read.await;
        }
    }
}

impl Turn {
    /// Gives the others what was read.
    pub(crate) fn share(&self, stretch: &Arc<Stretch>) {
        // Another one than this reader and its turn.
        if Arc::strong_count(&self.0) > 2 {
            let mut state = self.0.state.lock();
            if state.recent.len() == KEPT {
                state.recent.pop_front();
            }
            state.recent.push_back(stretch.clone());
        }
    }
}

/// The newest decoded copy of a scope's changes, for readers of different statements.
#[derive(Default)]
pub(crate) struct Decoded {
    state: Mutex<DecodedState>,
    read: Notify,
}

#[derive(Default)]
struct DecodedState {
    newest: Option<(Seq, Arc<ChangeBatch>)>,
    reading: bool,
}

/// The one reader of a scope that reads for the others, too.
pub(crate) struct Decoding(Arc<Decoded>);

/// How a reader comes by the changes of its scope.
pub(crate) enum Source {
    /// Another one has read them.
    Shared(Arc<ChangeBatch>),
    /// It is the reader's turn to read for all.
    Turn(Decoding),
    /// The reader reads for itself: it is the only one, or the others are further.
    Alone,
}

impl Drop for Decoding {
    fn drop(&mut self) {
        self.0.state.lock().reading = false;
        self.0.read.notify_waiters();
    }
}

impl Decoded {
    /// Where what comes after `after`, in this version of the catalog, is to be had. Waits while another one reads.
    /// Cancel-safe.
    pub(crate) async fn next(
        self: &Arc<Decoded>,
        after: Seq,
        limit: usize,
        catalog_version: u64,
    ) -> Source {
        loop {
            let mut read = std::pin::pin!(self.read.notified());
            read.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some((from, batch)) = &state.newest {
                    let first = batch.changes.first().map_or(Seq::MAX, |change| change.seq);
                    let fits =
                        batch.changes.len() <= limit && batch.catalog_version == catalog_version;
                    if fits && *from <= after && after < batch.upto && after < first {
                        return Source::Shared(batch.clone());
                    }
                    // Who catches up holds up nobody, and is nobody's model.
                    if after < *from {
                        return Source::Alone;
                    }
                }
                if Arc::strong_count(self) == 1 {
                    return Source::Alone;
                }
                if !state.reading {
                    state.reading = true;
                    return Source::Turn(Decoding(self.clone()));
                }
            }
            read.await;
        }
    }
}

impl Decoding {
    /// Gives the others what was read.
    pub(crate) fn share(&self, after: Seq, batch: &Arc<ChangeBatch>) {
        self.0.state.lock().newest = Some((after, batch.clone()));
    }
}

/// The groups that there are.
#[derive(Default)]
pub struct Hub(Mutex<Groups>);

#[derive(Default)]
struct Groups {
    groups: HashMap<String, Weak<Group>>,
    decoded: HashMap<String, Weak<Decoded>>,
    /// Sweep when there are so many.
    sweep_at: usize,
}

impl Hub {
    /// The group of a following, by what tells it from others, and the decoded copies of its scope.
    pub(crate) fn join(
        &self,
        identity: Option<&str>,
        scope: &FeedScope,
    ) -> (Option<Arc<Group>>, Arc<Decoded>) {
        let mut groups = self.0.lock();
        if groups.groups.len() + groups.decoded.len() >= groups.sweep_at.max(1024) {
            groups.groups.retain(|_, group| group.strong_count() > 0);
            groups
                .decoded
                .retain(|_, decoded| decoded.strong_count() > 0);
            groups.sweep_at = 2 * (groups.groups.len() + groups.decoded.len());
        }
        let group = identity.map(|identity| {
            let slot = groups.groups.entry(identity.to_string()).or_default();
            slot.upgrade().unwrap_or_else(|| {
                let group = Arc::default();
                *slot = Arc::downgrade(&group);
                group
            })
        });
        let slot = groups.decoded.entry(format!("{scope:?}")).or_default();
        let decoded = slot.upgrade().unwrap_or_else(|| {
            let decoded = Arc::default();
            *slot = Arc::downgrade(&decoded);
            decoded
        });
        (group, decoded)
    }
}
