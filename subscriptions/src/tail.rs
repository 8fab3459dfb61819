//! `Tail`: follows the log of a table from a Seq on.

use std::sync::Arc;

use tidelog_storage::{Change, CommitWatch, FeedScope, Seq, StorageError, Store};
use tokio::task::JoinHandle;

use crate::lens::{Lens, LensError, Ops, translate};

/// How many changes one read of the log takes unless the reader says otherwise; also the most that a stalled
/// reader holds.
const BATCH_CHANGES: usize = 1000;

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
struct Stretch {
    changes: Vec<Change>,
    /// The last change of a transaction whose end was not read yet.
    held: Option<Change>,
    upto: Seq,
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
    /// How many changes one read takes.
    pub batch_changes: usize,
}

impl Following {
    /// Every change of the scope.
    pub fn all(scope: FeedScope, catalog_version: u64) -> Following {
        Following {
            scope,
            catalog_version,
            lens: None,
            ops: Ops::ALL,
            batch_changes: BATCH_CHANGES,
        }
    }
}

/// A reader of one feed. Dropping it is all it takes to end it.
pub struct Tail {
    store: Arc<Store>,
    following: Following,
    after: Seq,
    held: Option<Change>,
    watch: CommitWatch,
    /// The read under way. It outlives a `next` that was dropped, so that nothing it read is lost.
    reading: Option<JoinHandle<Result<Stretch, SubscriptionError>>>,
}

impl Tail {
    /// Follows strictly after `after`.
    pub fn new(store: Arc<Store>, following: Following, after: Seq) -> Tail {
        let watch = store.watch(&following.scope);
        Tail {
            store,
            following,
            after,
            held: None,
            watch,
            reading: None,
        }
    }

    /// The next changes, at least one, in commit order; waits for them at the tip. Cancel-safe: dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<Change>, SubscriptionError> {
        loop {
            let changes = self.committed().await?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            self.changed().await;
        }
    }

    /// The changes that are committed already and not yet delivered, a batch at most; empty at the tip. Cancel-safe.
    pub async fn committed(&mut self) -> Result<Vec<Change>, SubscriptionError> {
        loop {
            if self.reading.is_none() && self.store.visible() <= self.after {
                return Ok(Vec::new());
            }
            let stretch = self.read().await?;
            if !stretch.changes.is_empty() || stretch.at_tip {
                return Ok(stretch.changes);
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

    async fn read(&mut self) -> Result<Stretch, SubscriptionError> {
        let reading = self.reading.get_or_insert_with(|| {
            let (store, following) = (self.store.clone(), self.following.clone());
            let (after, held) = (self.after, self.held.clone());
            tokio::task::spawn_blocking(move || read(&store, &following, after, held))
        });
        let result = reading.await;
        self.reading = None;
        let mut stretch =
            result.map_err(|error| SubscriptionError::Reader(error.to_string()))??;
        self.after = stretch.upto;
        self.held = stretch.held.take();
        Ok(stretch)
    }
}

fn read(
    store: &Store,
    following: &Following,
    after: Seq,
    held: Option<Change>,
) -> Result<Stretch, SubscriptionError> {
    let resume_after = held.as_ref().map_or(after, |held| held.seq.previous());
    let batch = store.read_changes(&following.scope, after, following.batch_changes)?;
    if batch.catalog_version != following.catalog_version {
        return Err(SubscriptionError::CatalogChanged { resume_after });
    }
    let at_tip = batch.changes.is_empty();
    let (changes, held) = translate(
        following.lens.as_deref(),
        following.ops,
        batch.changes,
        held,
    )
    .map_err(SubscriptionError::Lens)?;
    Ok(Stretch {
        changes,
        held,
        upto: batch.upto.max(after),
        at_tip,
    })
}

#[cfg(test)]
mod tests;
