//! What readers of the same thing share: what was read of a log, and what was made of it.
//!
//! Guarantees: what is shared is what each of its readers would have read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tidelog_storage::{Change, FeedScope, NotificationBatch, Seq, Store};
use tokio::sync::{Notify, Semaphore};

use crate::lookout::Lookout;

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
    pub(crate) fn follows(&self, after: Seq) -> bool {
        let first = self.changes.first().map_or(Seq::MAX, |change| change.seq);
        self.from <= after && after < self.upto && after < first
    }

    pub(crate) fn upto(&self) -> Seq {
        self.upto
    }
}

/// What was read of a log: everything from somewhere up to a Seq.
pub(crate) trait Batch {
    /// Where its first entry stands.
    fn first(&self) -> Option<Seq>;
    /// Nothing up to here is missing.
    fn upto(&self) -> Seq;
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

/// What is there as long as someone else holds it, by name.
pub(crate) struct HeldByName<N, T> {
    held: HashMap<N, Weak<T>>,
    /// Sweep when there are so many.
    sweep_at: usize,
}

impl<N, T> Default for HeldByName<N, T> {
    fn default() -> HeldByName<N, T> {
        HeldByName {
            held: HashMap::new(),
            sweep_at: 0,
        }
    }
}

impl<N: Eq + Hash, T> HeldByName<N, T> {
    /// The one of this name, made if it is not there.
    pub(crate) fn get(&mut self, name: N, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if self.held.len() >= self.sweep_at.max(16) {
            self.held.retain(|_, held| held.strong_count() > 0);
            self.sweep_at = 2 * self.held.len();
        }
        let slot = self.held.entry(name).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let new = make();
            *slot = Arc::downgrade(&new);
            new
        })
    }
}

/// Reads of the log that readers make for themselves at the same time; the others wait. Each looks at many rows: more would
/// take the processors from everybody else.
pub(crate) fn reads_max() -> usize {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    (2 * processors).max(4)
}

/// What readers share, for all logs.
pub struct Hub {
    logs: Mutex<Logs>,
    /// A place for each read that a reader makes for itself.
    pub(crate) reads: Arc<Semaphore>,
}

#[derive(Default)]
struct Logs {
    lookouts: HeldByName<FeedScope, Lookout>,
    channels: HeldByName<Arc<str>, Newest<NotificationBatch>>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub {
            logs: Mutex::default(),
            reads: Arc::new(Semaphore::new(reads_max())),
        }
    }
}

impl Hub {
    /// Who looks at the scope's commits.
    pub(crate) fn lookout(&self, store: &Arc<Store>, scope: FeedScope) -> Arc<Lookout> {
        let mut logs = self.logs.lock();
        let new = || {
            let (store, reads) = (store.clone(), self.reads.clone());
            Arc::new(Lookout::new(store, scope.clone(), reads))
        };
        logs.lookouts.get(scope.clone(), new)
    }

    /// What was told last on a channel.
    pub(crate) fn channel(&self, name: &Arc<str>) -> Arc<Newest<NotificationBatch>> {
        let mut logs = self.logs.lock();
        logs.channels.get(name.clone(), Arc::default)
    }
}
