//! `Listener`: hears what is told on one channel.

use std::sync::Arc;

use tidelog_storage::notify::scope_of;
use tidelog_storage::{CommitWatch, NotificationBatch, Seq, StorageError, Store};

use crate::share::{Hub, Newest, Source};

/// A listener to one channel. Dropping it is all it takes to end it.
pub struct Listener {
    store: Arc<Store>,
    channel: Arc<str>,
    watch: CommitWatch,
    newest: Arc<Newest<NotificationBatch>>,
}

impl Listener {
    /// Listens to a channel; shares what it reads with the hub's others.
    pub fn new(store: Arc<Store>, hub: &Hub, channel: Arc<str>) -> Listener {
        Listener {
            watch: store.watch(&scope_of(&channel)),
            newest: hub.channel(&channel),
            store,
            channel,
        }
    }

    /// Waits until something was told after `after`. May return early. Cancel-safe.
    pub async fn changed(&mut self, after: Seq) {
        self.watch.changed(after).await;
    }

    /// What was told after `after`, about `limit` of it, if several listen: one reads for all. `None` for the only
    /// listener and for one that is behind: it reads its channels for itself, all at once. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`StorageError::Trimmed`] when some of it may be gone.
    pub async fn shared(
        &self,
        after: Seq,
        limit: usize,
    ) -> Result<Option<Arc<NotificationBatch>>, StorageError> {
        match self.newest.next(after, |_| true).await {
            Source::Shared(batch) => Ok(Some(batch)),
            Source::Alone => Ok(None),
            Source::Turn(turn) => {
                let channels = vec![(self.channel.clone(), after)];
                let batch = Arc::new(read(&self.store, channels, limit).await?);
                turn.share(after, &batch);
                Ok(Some(batch))
            }
        }
    }
}

/// Reading more channels takes a while.
const CHANNELS_FEW: usize = 16;

/// About `limit` of what was told on each of these channels after the Seq beside it. Cancel-safe.
///
/// # Errors
///
/// [`StorageError::Trimmed`] when some of it may be gone.
pub async fn read(
    store: &Arc<Store>,
    channels: Vec<(Arc<str>, Seq)>,
    limit: usize,
) -> Result<NotificationBatch, StorageError> {
    if channels.len() <= CHANNELS_FEW {
        // Another thread would take longer to begin.
        return store.read_notifications(&channels, limit);
    }
    let store = store.clone();
    let reading = tokio::task::spawn_blocking(move || store.read_notifications(&channels, limit));
    match reading.await {
        Ok(batch) => batch,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The server stops.
            Err(_) => Err(StorageError::Closed),
        },
    }
}
