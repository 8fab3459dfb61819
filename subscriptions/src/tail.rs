//! `Tail`: follows the log of a table from a Seq on.

use std::sync::Arc;

use tidelog_storage::{Change, CommitWatch, FeedScope, Seq, StorageError, Store};
use tokio::task::JoinHandle;

use crate::filter::{FilterError, RowFilter, translate};

/// How many changes one read of the log takes; also the most that a stalled reader holds.
const BATCH_CHANGES_MAX: usize = 1000;

/// Why a tail ended.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The table's data is gone for good.
    #[error("table was dropped or truncated")]
    TableGone,
    /// The table's columns are not those that the subscription was planned with.
    #[error("table was altered; the changes after {resume_after} are still to come")]
    SchemaChanged {
        /// Where to go on: everything up to here was delivered.
        resume_after: Seq,
    },
    /// The changes that come next are older than the table's resume window and have left the log.
    #[error("the changes up to {oldest} are no longer kept")]
    Trimmed {
        /// The first Seq after which a subscription can begin; what lies before only a new read of the rows tells.
        oldest: Seq,
    },
    /// The filter failed on a row.
    #[error("{0}")]
    Filter(FilterError),
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

/// How far a reader of a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Everything up to here was delivered: a subscription after it misses nothing and repeats nothing.
    pub seq: Seq,
    /// Whether it is known to lie between two transactions, not inside one.
    pub whole: bool,
}

/// One read of the log, translated.
struct Stretch {
    changes: Vec<Change>,
    upto: Seq,
    /// Whether `upto` lies between two transactions.
    whole: bool,
    /// Whether the log had nothing more when it was read.
    at_tip: bool,
}

/// A reader of one feed. Dropping it is all it takes to end it.
pub struct Tail {
    store: Arc<Store>,
    scope: FeedScope,
    schema_version: u32,
    filter: Option<Arc<dyn RowFilter>>,
    after: Seq,
    /// Whether `after` is known to lie between two transactions.
    whole: bool,
    watch: CommitWatch,
    /// The read under way. It outlives a `next` that was dropped, so that nothing it read is lost.
    reading: Option<JoinHandle<Result<Stretch, SubscriptionError>>>,
}

impl Tail {
    /// Follows the scope strictly after `after`. `schema_version` is that of the table which the reader
    /// was planned with: changes are delivered in the columns of that version, or not at all.
    pub fn new(
        store: Arc<Store>,
        scope: FeedScope,
        schema_version: u32,
        filter: Option<Arc<dyn RowFilter>>,
        after: Seq,
    ) -> Tail {
        let watch = store.watch(&scope);
        Tail {
            store,
            scope,
            schema_version,
            filter,
            after,
            whole: false,
            watch,
            reading: None,
        }
    }

    /// The next changes, at least one, in commit order; waits for them at the tip. Cancel-safe: dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<Change>, SubscriptionError> {
        loop {
            let stretch = self.read().await?;
            if !stretch.changes.is_empty() {
                return Ok(stretch.changes);
            }
            if stretch.at_tip {
                self.watch.changed(self.after).await;
            }
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

    async fn read(&mut self) -> Result<Stretch, SubscriptionError> {
        let reading = self.reading.get_or_insert_with(|| {
            let store = self.store.clone();
            let scope = self.scope.clone();
            let filter = self.filter.clone();
            let (schema_version, after) = (self.schema_version, self.after);
            tokio::task::spawn_blocking(move || {
                read(&store, &scope, schema_version, filter.as_deref(), after)
            })
        });
        let result = reading.await;
        self.reading = None;
        let stretch = result.map_err(|error| SubscriptionError::Reader(error.to_string()))??;
        self.after = stretch.upto;
        self.whole = stretch.whole;
        Ok(stretch)
    }

    /// How far it has come: behind the changes that were delivered last, and behind those that the filter kept back.
    pub fn position(&self) -> Position {
        Position {
            seq: self.after,
            whole: self.whole,
        }
    }
}

fn read(
    store: &Store,
    scope: &FeedScope,
    schema_version: u32,
    filter: Option<&dyn RowFilter>,
    after: Seq,
) -> Result<Stretch, SubscriptionError> {
    // Schema versions only grow, so a read that stands between two checks was made in this one.
    check_schema(store, scope, schema_version, after)?;
    let batch = store.read_changes(scope, after, BATCH_CHANGES_MAX)?;
    check_schema(store, scope, schema_version, after)?;
    let at_tip = batch.changes.is_empty();
    // A read that was not cut short ends where its snapshot does, and snapshots see whole transactions.
    let whole = batch
        .changes
        .last()
        .is_none_or(|last| last.last_in_transaction || batch.upto > last.seq);
    let changes = match filter {
        Some(filter) if !at_tip => {
            translate(filter, batch.changes).map_err(SubscriptionError::Filter)?
        }
        _ => batch.changes,
    };
    Ok(Stretch {
        changes,
        upto: batch.upto.max(after),
        whole,
        at_tip,
    })
}

fn check_schema(
    store: &Store,
    scope: &FeedScope,
    schema_version: u32,
    after: Seq,
) -> Result<(), SubscriptionError> {
    match store.catalog().table_by_id(scope.table) {
        None => Err(SubscriptionError::TableGone),
        Some(table) if table.schema_version != schema_version => {
            Err(SubscriptionError::SchemaChanged {
                resume_after: after,
            })
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
