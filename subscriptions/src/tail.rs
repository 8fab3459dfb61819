//! `Tail`: follows the log of a table from a Seq on.

use std::sync::Arc;

use tidelog_storage::{Change, ChangeBatch, CommitWatch, FeedScope, Seq, StorageError, Store};
use tokio::task::JoinHandle;

use crate::lens::{Lens, LensError, Ops, translate, upserts};
use crate::share::{Group, Hub, Newest, Next, Source, Stretch};

/// How many changes one read of the log takes unless the reader says otherwise; also the most that a stalled
/// reader holds.
const BATCH_CHANGES: usize = 1000;
/// Changes that are at hand are shown without asking for a thread that may block, if there are no more than these.
const CHANGES_AT_ONCE: usize = 100;

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
struct Read {
    stretch: Stretch,
    /// The last change of a transaction whose end was not read yet.
    held: Option<Change>,
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
    pub upsert: Option<Vec<usize>>,
    /// How many changes one read takes.
    pub batch_changes: usize,
    /// Tells what is seen of a row from what other readers see; `None` when it is not known to be the same for two.
    pub identity: Option<Arc<str>>,
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
            identity: Some("".into()),
        }
    }

    /// What tells it from all others.
    fn identity(&self) -> Option<String> {
        let Following {
            scope,
            catalog_version,
            ops,
            upsert,
            batch_changes,
            identity,
            ..
        } = self;
        let identity = identity.as_ref()?;
        Some(format!(
            "{scope:?} {catalog_version} {ops:?} {upsert:?} {batch_changes} {identity}"
        ))
    }
}

/// A reader of one feed. Dropping it is all it takes to end it.
pub struct Tail {
    store: Arc<Store>,
    following: Following,
    after: Seq,
    held: Option<Change>,
    watch: CommitWatch,
    group: Option<Arc<Group>>,
    newest: Arc<Newest<ChangeBatch>>,
    /// The read under way. It outlives a `next` that was dropped, so that nothing it read is lost.
    reading: Option<JoinHandle<Result<Read, SubscriptionError>>>,
}

impl Tail {
    /// Follows strictly after `after`; shares what it reads with the hub's others.
    pub fn new(store: Arc<Store>, hub: &Hub, following: Following, after: Seq) -> Tail {
        let watch = store.watch(&following.scope);
        let (group, newest) = hub.join(following.identity().as_deref(), &following.scope);
        Tail {
            store,
            following,
            after,
            held: None,
            watch,
            group,
            newest,
            reading: None,
        }
    }

    /// The next changes, at least one, in commit order; waits for them at the tip. Cancel-safe: dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Stretch>, SubscriptionError> {
        loop {
            if let Some(stretch) = self.committed().await? {
                return Ok(stretch);
            }
            self.changed().await;
        }
    }

    /// The changes that are committed already and not yet delivered, a batch at most; `None` at the tip. Cancel-safe.
    pub async fn committed(&mut self) -> Result<Option<Arc<Stretch>>, SubscriptionError> {
        loop {
            if self.reading.is_none() && self.store.visible() <= self.after {
                return Ok(None);
            }
            let (stretch, at_tip) = self.read().await?;
            if !stretch.changes().is_empty() {
                return Ok(Some(stretch));
            }
            if at_tip {
                return Ok(None);
            }
        }
    }

    /// Waits, at the tip, for a commit that touches the scope. May return early. Cancel-safe.
    pub async fn changed(&mut self) {
        self.watch.changed(self.after).await;
    }

    /// Everything up to here was delivered, or is not for this reader.
    pub fn position(&self) -> Seq {
        match &self.held {
            Some(held) => held.seq.previous(),
            None => self.after,
        }
    }

    /// What comes next, and whether that was all.
    async fn read(&mut self) -> Result<(Arc<Stretch>, bool), SubscriptionError> {
        let mut turn = None;
        if self.held.is_none()
            && self.reading.is_none()
            && let Some(group) = &self.group
        {
            match group.next(self.after).await {
                Next::Read(stretch) => {
                    self.after = stretch.upto();
                    return Ok((stretch, false));
                }
                Next::Turn(own) => turn = Some(own),
                Next::Behind => {}
            }
        }
        let read = self.read_alone().await?;
        let stretch = Arc::new(read.stretch);
        if let Some(turn) = turn
            && read.held.is_none()
        {
            turn.share(&stretch);
        }
        self.after = stretch.upto();
        self.held = read.held;
        Ok((stretch, read.at_tip))
    }

    /// Reads for itself, by what others of the scope have decoded if they have.
    async fn read_alone(&mut self) -> Result<Read, SubscriptionError> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => {
                let (limit, version) =
                    (self.following.batch_changes, self.following.catalog_version);
                let suits = |batch: &ChangeBatch| {
                    batch.changes.len() <= limit && batch.catalog_version == version
                };
                let source = self.newest.next(self.after, suits).await;
                let (after, held) = (self.after, self.held.clone());
                if let Source::Shared(batch) = &source
                    && batch.changes.len() <= CHANGES_AT_ONCE
                {
                    return seen(batch, &self.following, after, held);
                }
                let (store, following) = (self.store.clone(), self.following.clone());
                none.insert(tokio::task::spawn_blocking(move || {
                    read(&store, source, &following, after, held)
                }))
            }
        };
        let result = reading.await;
        self.reading = None;
        result.map_err(|error| SubscriptionError::Reader(error.to_string()))?
    }
}

fn read(
    store: &Store,
    source: Source<ChangeBatch>,
    following: &Following,
    after: Seq,
    held: Option<Change>,
) -> Result<Read, SubscriptionError> {
    let read = || {
        let limit = following.batch_changes;
        let read = store.read_changes(&following.scope, after, limit)?;
        Ok::<_, SubscriptionError>(Arc::new(read))
    };
    let batch = match source {
        Source::Shared(batch) => batch,
        Source::Alone => read()?,
        Source::Turn(turn) => {
            let batch = read()?;
            turn.share(after, &batch);
            batch
        }
    };
    seen(&batch, following, after, held)
}

/// What a reader at `after` sees of a batch.
fn seen(
    batch: &ChangeBatch,
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
        translate(lens, ops, &batch.changes, held).map_err(SubscriptionError::Lens)?;
    if let Some(key) = &following.upsert {
        changes = upserts(changes, key);
    }
    Ok(Read {
        stretch: Stretch::new(changes, after, batch.upto.max(after)),
        held,
        at_tip: batch.changes.is_empty(),
    })
}

#[cfg(test)]
mod tests;
