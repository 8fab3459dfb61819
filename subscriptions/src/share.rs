//! What readers of the same thing share: one decoded copy of each commit, and what was made of it.
//!
//! Guarantees: a shared stretch is what each of its readers would have read. Memory: the two newest stretches of a
//! group, and only while it has several readers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tidelog_storage::{Change, ChangeBatch, FeedScope, NotificationBatch, Seq};
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

/// What was read of a log: everything from somewhere up to a Seq.
pub(crate) trait Batch {
    /// Where its first entry stands.
    fn first(&self) -> Option<Seq>;
    /// Nothing up to here is missing.
    fn upto(&self) -> Seq;
}

impl Batch for ChangeBatch {
    fn first(&self) -> Option<Seq> {
        self.changes.first().map(|change| change.seq)
    }

    fn upto(&self) -> Seq {
        self.upto
    }
}

impl Batch for NotificationBatch {
    fn first(&self) -> Option<Seq> {
        self.notifications.first().map(|(seq, _)| *seq)
    }

    fn upto(&self) -> Seq {
        self.upto
    }
}

/// The newest copy of what the readers of one log read, each with an eye of its own.
pub(crate) struct Newest<B> {
    state: Mutex<NewestState<B>>,
    read: Notify,
}

struct NewestState<B> {
    /// From where on, and the batch.
    batch: Option<(Seq, Arc<B>)>,
    reading: bool,
}

impl<B> Default for Newest<B> {
    fn default() -> Newest<B> {
        let state = NewestState {
            batch: None,
            reading: false,
        };
        Newest {
            state: Mutex::new(state),
            read: Notify::new(),
        }
    }
}

/// The one reader of a log that reads for the others, too.
pub(crate) struct Reading<B>(Arc<Newest<B>>);

/// How a reader comes by what is next.
pub(crate) enum Source<B> {
    /// Another one has read it.
    Shared(Arc<B>),
    /// It is the reader's turn to read for all.
    Turn(Reading<B>),
    /// The reader reads for itself: it is the only one, or the others are further.
    Alone,
}

impl<B> Drop for Reading<B> {
    fn drop(&mut self) {
        self.0.state.lock().reading = false;
        self.0.read.notify_waiters();
    }
}

impl<B: Batch> Newest<B> {
    /// Where what comes after `after` is to be had, as a batch that `suits`. Waits while another one reads. Cancel-safe.
    pub(crate) async fn next(
        self: &Arc<Newest<B>>,
        after: Seq,
        suits: impl Fn(&B) -> bool,
    ) -> Source<B> {
        loop {
            let mut read = std::pin::pin!(self.read.notified());
            read.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some((from, batch)) = &state.batch {
                    let first = batch.first().unwrap_or(Seq::MAX);
                    let follows = *from <= after && after < batch.upto() && after < first;
                    if follows && suits(batch) {
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
                    return Source::Turn(Reading(self.clone()));
                }
            }
            read.await;
        }
    }
}

impl<B> Reading<B> {
    /// Gives the others what was read.
    pub(crate) fn share(&self, after: Seq, batch: &Arc<B>) {
        self.0.state.lock().batch = Some((after, batch.clone()));
    }
}

/// What is there as long as someone holds it, by name.
type Held<T> = HashMap<String, Weak<T>>;

fn held<T: Default>(all: &mut Held<T>, name: String) -> Arc<T> {
    let slot = all.entry(name).or_default();
    slot.upgrade().unwrap_or_else(|| {
        let new = Arc::default();
        *slot = Arc::downgrade(&new);
        new
    })
}

/// What readers share, for all logs.
#[derive(Default)]
pub struct Hub(Mutex<Logs>);

#[derive(Default)]
struct Logs {
    groups: Held<Group>,
    changes: Held<Newest<ChangeBatch>>,
    channels: Held<Newest<NotificationBatch>>,
    /// Sweep when there are so many.
    sweep_at: usize,
}

impl Hub {
    /// The group of a following, by what tells it from others, and the newest changes of its scope.
    pub(crate) fn join(
        &self,
        identity: Option<&str>,
        scope: &FeedScope,
    ) -> (Option<Arc<Group>>, Arc<Newest<ChangeBatch>>) {
        let mut logs = self.0.lock();
        logs.sweep();
        let group = identity.map(|identity| held(&mut logs.groups, identity.to_string()));
        (group, held(&mut logs.changes, format!("{scope:?}")))
    }

    /// What was told last on a channel.
    pub(crate) fn channel(&self, name: &str) -> Arc<Newest<NotificationBatch>> {
        let mut logs = self.0.lock();
        logs.sweep();
        held(&mut logs.channels, name.to_string())
    }
}

impl Logs {
    fn len(&self) -> usize {
        self.groups.len() + self.changes.len() + self.channels.len()
    }

    fn sweep(&mut self) {
        if self.len() >= self.sweep_at.max(1024) {
            self.groups.retain(|_, group| group.strong_count() > 0);
            self.changes.retain(|_, newest| newest.strong_count() > 0);
            self.channels.retain(|_, newest| newest.strong_count() > 0);
            self.sweep_at = 2 * self.len();
        }
    }
}
