//! `Tail`: follows the log of a table from a Seq on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use tidelog_storage::{Change, ChangeBatch, FeedScope, Seq, StorageError, Store};
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
pub struct Following {
    /// Whose changes.
    pub scope: FeedScope,
    /// The version of the catalog that the reader was planned with: changes are delivered in its columns, or
    /// not at all.
    pub catalog_version: u64,
    /// What the reader sees of a row; `None` is all of it.
    pub lens: Option<Box<dyn Lens>>,
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
    fn name(&self) -> Option<Name> {
        Some(Name {
            catalog_version: self.catalog_version,
            ops: self.ops,
            batch_changes: self.batch_changes,
            identity: self.identity?,
        })
    }
}

/// What is kept of [`Following`] for those who see the same of a scope.
pub(crate) struct Reader {
    pub(crate) catalog_version: u64,
    pub(crate) lens: Option<Box<dyn Lens>>,
    pub(crate) ops: Ops,
    pub(crate) upsert: Option<Box<[usize]>>,
    pub(crate) batch_changes: u16,
}

impl Reader {
    /// Whether to look at a few changes takes a moment.
    pub(crate) fn is_light(&self) -> bool {
        self.lens.as_ref().is_none_or(|lens| lens.is_light())
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
    after: Seq,
    held: Option<Box<Change>>,
    // Before the lookout, which looks for the groups that are held.
    group: Arc<Group>,
    lookout: Arc<Lookout>,
    /// The read under way. It outlives a `next` that was dropped, so that nothing it read is lost.
    reading: Option<JoinHandle<Result<Read, SubscriptionError>>>,
}

impl Tail {
    /// Follows strictly after `after`; shares what it reads with the hub's others.
    pub fn new(store: &Arc<Store>, hub: &Hub, following: Following, after: Seq) -> Tail {
        let name = following.name();
        let lookout = hub.lookout(store, following.scope);
        let reader = Reader {
            catalog_version: following.catalog_version,
            lens: following.lens,
            ops: following.ops,
            upsert: following.upsert,
            batch_changes: following.batch_changes,
        };
        Tail {
            after,
            held: None,
            group: lookout.join(name, reader),
            lookout,
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
            // One whom every commit concerns finds something each time: others of its thread have their turn all the same.
            tokio::task::coop::consume_budget().await;
            if self.held.is_none() && self.reading.is_none() {
                match self.group.next(&mut self.after) {
                    Next::Seen(stretch) => return Ok(Some(stretch)),
                    Next::Quiet if fresh <= self.after => return Ok(None),
                    Next::Quiet | Next::Unknown => {}
                }
                // Who has read all of the scope need not read the log to know that others' commits were elsewhere.
                if let Some(upto) = self.lookout.watch.quiet_upto(self.after) {
                    self.after = upto;
                    if fresh <= upto {
                        return Ok(None);
                    }
                }
            }
            if self.reading.is_none() && self.lookout.store.visible() <= self.after {
                return Ok(None);
            }
            let read = match self.read_few()? {
                Some(read) => read,
                // In memory of its own: most who wait here wait for no read.
                None => Box::pin(self.read()).await?,
            };
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
        let mut news = pin!(self.group.news.notified());
        news.as_mut().enable();
        match self.lookout.place(&self.group, self.after) {
            Place::Group => news.await,
            // Few wait so: it takes no memory of the others.
            Place::Alone => Box::pin(self.lookout.changed(self.after)).await,
            Place::Behind => {}
        }
    }

    /// Everything up to here was delivered, or is not for this reader.
    pub fn position(&self) -> Seq {
        match &self.held {
            Some(held) => held.seq.previous(),
            None => self.after,
        }
    }

    /// What comes next, if reading it and looking at it takes a moment: another thread would take longer to begin.
    fn read_few(&self) -> Result<Option<Read>, SubscriptionError> {
        let (reader, lookout) = (&self.group.reader, &self.lookout);
        if self.reading.is_some() || !reader.is_light() {
            return Ok(None);
        }
        let limit = reader.batch_changes.into();
        let few = (lookout.store).read_few_changes(&lookout.scope, self.after, limit)?;
        let read = few.map(|batch| {
            let held = self.held.as_deref().cloned();
            let versions = Versions::of(&batch.changes);
            let seen = || seen(&batch, &versions, reader, self.after, held);
            caught(seen).unwrap_or_else(|panic| Err(SubscriptionError::Reader(panic)))
        });
        read.transpose()
    }

    /// Reads what comes next for itself, on a thread that may block.
    async fn read(&mut self) -> Result<Read, SubscriptionError> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => {
                let place = self.lookout.reads.clone().acquire_owned().await;
                let (lookout, group) = (self.lookout.clone(), self.group.clone());
                let (after, held) = (self.after, self.held.as_deref().cloned());
                none.insert(tokio::task::spawn_blocking(move || {
                    let _place = place;
                    let (reader, Lookout { store, scope, .. }) = (&group.reader, &*lookout);
                    let batch = store.read_changes(scope, after, reader.batch_changes.into())?;
                    let versions = Versions::of(&batch.changes);
                    seen(&batch, &versions, reader, after, held)
                }))
            }
        };
        let result = reading.await;
        self.reading = None;
        result.map_err(|error| SubscriptionError::Reader(error.to_string()))?
    }
}

/// What a look gives, or with what message it panicked.
pub(crate) fn caught<T>(look: impl FnOnce() -> T) -> Result<T, String> {
    // What it was about to change is not looked at again.
    catch_unwind(AssertUnwindSafe(look)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        format!("a panic with message {:?}", text.unwrap_or_default())
    })
}

/// What a reader at `after` sees of a batch, which has these versions.
pub(crate) fn seen(
    batch: &ChangeBatch,
    versions: &Versions<'_>,
    reader: &Reader,
    after: Seq,
    held: Option<Change>,
) -> Result<Read, SubscriptionError> {
    let resume_after = held.as_ref().map_or(after, |held| held.seq.previous());
    if batch.catalog_version != reader.catalog_version {
        return Err(SubscriptionError::CatalogChanged { resume_after });
    }
    let (lens, ops) = (reader.lens.as_deref(), reader.ops);
    let (mut changes, held) =
        translate(lens, ops, &batch.changes, versions, held).map_err(SubscriptionError::Lens)?;
    if let Some(key) = &reader.upsert {
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
