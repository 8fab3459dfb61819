//! `Tail`: follows the log of a table from a Seq on.

use std::pin::pin;
use std::sync::Arc;

use tidelog_storage::{Change, ChangeBatch, CommitWatch, FeedScope, Seq, StorageError, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::lens::{Lens, LensError, Ops, Versions, translate, upserts};
use crate::lookout::{Group, Lookout, Next, Place};
use crate::share::{Hub, Stretch};

/// How many changes one read of the log takes unless the reader says otherwise; also the most that a stalled
/// reader holds.
pub(crate) const BATCH_CHANGES: u16 = 1000;

/// Why a tail ended.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The table's data is gone for good.
    #[error("table was dropped or truncated")]
    TableGone,
    /// The catalog is not the one that the subscription was planned with.
    #[error("the catalog has changed; the changes after {resume_after} are still to come")]
    CatalogChanged {
        /// Where to go on: everything up to here was delivered.
        resume_after: Seq,
    },
    /// The changes that come next are older than the table's resume window and have left the log.
    #[error("the changes up to {oldest} are no longer kept")]
    Trimmed {
        /// The first Seq after which a subscription can begin; what lies before only a new read of the rows tells.
        oldest: Seq,
    },
    /// The lens failed on a row.
    #[error("{0}")]
    Lens(LensError),
    /// The log could not be read.
    #[error(transparent)]
    Storage(StorageError),
    /// The reading thread panicked.
    #[error("reading the log failed: {0}")]
    Reader(String),
}

impl From<StorageError> for SubscriptionError {
    fn from(error: StorageError) -> SubscriptionError {
        match error {
            StorageError::NoTable(_) => SubscriptionError::TableGone,
            StorageError::Trimmed { oldest } => SubscriptionError::Trimmed { oldest },
            other => SubscriptionError::Storage(other),
        }
    }
}

/// One read of the log, translated.
pub(crate) struct Read {
    pub(crate) changes: Vec<Change>,
    /// Nothing up to here is missing, but for what is held.
    upto: Seq,
    /// The last change of a transaction whose end was not read yet.
    pub(crate) held: Option<Change>,
    /// Whether the log had nothing more when it was read.
    at_tip: bool,
}

/// What a tail reads.
#[derive(Clone)]
pub struct Following {
    /// Whose changes.
    pub scope: FeedScope,
    /// The version of the catalog that the reader was planned with: changes are delivered in its columns, or
    /// not at all.
    pub catalog_version: u64,
    /// What the reader sees of a row; `None` is all of it.
    pub lens: Option<Arc<dyn Lens>>,
    /// The kinds of changes that it wants.
    pub ops: Ops,
    /// Where the columns of the key stand in what is seen, for a reader that wants upserts and deletes by key.
    pub upsert: Option<Box<[usize]>>,
    /// How many changes one read takes.
    pub batch_changes: u16,
    /// Tells what is seen of a row, and whether as an upsert, from what other readers see; `None` when it is not known to
    /// be the same for two.
    pub identity: Option<[u8; 16]>,
}

impl Following {
    /// Every change of the scope.
    pub fn all(scope: FeedScope, catalog_version: u64) -> Following {
        Following {
            scope,
            catalog_version,
            lens: None,
            ops: Ops::ALL,
            upsert: None,
            batch_changes: BATCH_CHANGES,
            identity: Some([0; 16]),
        }
    }

    /// What tells it from all others of the scope.
    pub(crate) fn name(&self) -> Option<Name> {
        Some(Name {
            catalog_version: self.catalog_version,
            ops: self.ops,
            batch_changes: self.batch_changes,
            identity: self.identity?,
        })
    }
}

/// What tells readers of a scope apart who do not see the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    catalog_version: u64,
    ops: Ops,
    batch_changes: u16,
    identity: [u8; 16],
}

/// A reader of one feed. Dropping it is all it takes to end it.
pub struct Tail {
    store: Arc<Store>,
    after: Seq,
    held: Option<Box<Change>>,
    watch: CommitWatch,
    // Before the lookout, which looks for the groups that are held.
    group: Arc<Group>,
    lookout: Arc<Lookout>,
    reads: Arc<Semaphore>,
    /// The read under way. It outlives a `next` that was dropped, so that nothing it read is lost.
    reading: Option<JoinHandle<Result<Read, SubscriptionError>>>,
}

impl Tail {
    /// Follows strictly after `after`; shares what it reads with the hub's others.
    pub fn new(store: Arc<Store>, hub: &Hub, following: Following, after: Seq) -> Tail {
        let watch = store.watch(&following.scope);
        let lookout = hub.lookout(&following.scope);
        let group = lookout.join(following);
        Tail {
            store,
            after,
            held: None,
            watch,
            group,
            lookout,
            reads: hub.reads.clone(),
            reading: None,
        }
    }

    /// The next changes, at least one, in commit order; waits for them at the tip. Cancel-safe: dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Stretch>, SubscriptionError> {
        loop {
            if let Some(stretch) = self.committed(Seq::ZERO).await? {
                return Ok(stretch);
            }
            self.changed().await;
        }
    }

    /// The changes that are committed and not yet delivered, a batch at most. `None` when there are none that are
    /// known, and none up to `fresh`: for one who waits anyway, [`Seq::ZERO`] is enough. Cancel-safe.
    pub async fn committed(
        &mut self,
        fresh: Seq,
    ) -> Result<Option<Arc<Stretch>>, SubscriptionError> {
        loop {
            if self.held.is_none() && self.reading.is_none() {
                match self.group.next(&mut self.after) {
                    Next::Seen(stretch) => return Ok(Some(stretch)),
                    Next::Quiet if fresh <= self.after => return Ok(None),
                    Next::Quiet | Next::Unknown => {}
                }
                // Who has read all of the scope need not read the log to know that others' commits were elsewhere.
                if let Some(upto) = self.watch.quiet_upto(self.after) {
                    self.after = upto;
                    if fresh <= upto {
                        return Ok(None);
                    }
                }
            }
            if self.reading.is_none() && self.store.visible() <= self.after {
                return Ok(None);
            }
            // In memory of its own: most who wait here wait for no read.
            let read = Box::pin(self.read()).await?;
            let stretch = Stretch::new(read.changes, self.after, read.upto);
            self.after = read.upto;
            self.held = read.held.map(Box::new);
            if !stretch.changes().is_empty() {
                return Ok(Some(Arc::new(stretch)));
            }
            if read.at_tip {
                return Ok(None);
            }
        }
    }

    /// Waits, at the tip, for a commit that concerns the reader. May return early. Cancel-safe.
    pub async fn changed(&mut self) {
        let place = {
            let mut news = pin!(self.group.news.notified());
            news.as_mut().enable();
            let place = self.lookout.place(&self.group, &self.store, self.after);
            if let Place::Group = place {
                news.await;
            }
            place
        };
        if let Place::Alone = place {
            // Few wait so: it takes no memory of the others.
            Box::pin(self.watch.changed(self.after)).await;
        }
    }

    /// Everything up to here was delivered, or is not for this reader.
    pub fn position(&self) -> Seq {
        match &self.held {
            Some(held) => held.seq.previous(),
            None => self.after,
        }
    }

    /// Reads what comes next for itself.
    async fn read(&mut self) -> Result<Read, SubscriptionError> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => {
                let place = self.reads.clone().acquire_owned().await;
                let (store, group) = (self.store.clone(), self.group.clone());
                let (after, held) = (self.after, self.held.as_deref().cloned());
                none.insert(tokio::task::spawn_blocking(move || {
                    let _place = place;
                    let following = &group.following;
                    let limit = following.batch_changes.into();
                    let batch = store.read_changes(&following.scope, after, limit)?;
                    let versions = Versions::of(&batch.changes);
                    seen(&batch, &versions, following, after, held)
                }))
            }
        };
        let result = reading.await;
        self.reading = None;
        result.map_err(|error| SubscriptionError::Reader(error.to_string()))?
    }
}

/// What a reader at `after` sees of a batch, which has these versions.
pub(crate) fn seen(
    batch: &ChangeBatch,
    versions: &Versions<'_>,
    following: &Following,
    after: Seq,
    held: Option<Change>,
) -> Result<Read, SubscriptionError> {
    let resume_after = held.as_ref().map_or(after, |held| held.seq.previous());
    if batch.catalog_version != following.catalog_version {
        return Err(SubscriptionError::CatalogChanged { resume_after });
    }
    let (lens, ops) = (following.lens.as_deref(), following.ops);
    let (mut changes, held) =
        translate(lens, ops, &batch.changes, versions, held).map_err(SubscriptionError::Lens)?;
    if let Some(key) = &following.upsert {
        changes = upserts(changes, key);
    }
    Ok(Read {
        changes,
        upto: batch.upto.max(after),
        held,
        at_tip: batch.changes.is_empty(),
    })
}

#[cfg(test)]
mod tests;
