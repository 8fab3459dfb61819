//! Taking off what a DDL statement has added, when the statement ends before it is in force: cancelled, timed out, or
//! without a client.

use std::sync::Arc;

use parking_lot::Mutex;
use tidelog_storage::{Catalog, CatalogChange, CommitError, StorageError, Store, TableId};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::finish::settle;
use crate::ddl::constraint::Finish;

/// What a session's statement still has to bring into force or to take back, though it may have been cut off.
pub(crate) type Undoing = Arc<Mutex<Option<JoinHandle<()>>>>;

/// A change of the catalog that is taken back when this is dropped, unless it was kept.
pub(crate) struct Undo {
    store: Arc<Store>,
    table: TableId,
    steps: Vec<Finish>,
    /// The commit of what is to be taken back, while it is under way.
    commit: Option<JoinHandle<Result<Arc<Catalog>, CommitError>>>,
    armed: bool,
    undoing: Undoing,
}

impl Undo {
    /// Commits changes of the catalog by which a table gets what the steps are to bring into force.
    pub(crate) async fn change_catalog(
        store: &Arc<Store>,
        base_version: u64,
        changes: Vec<CatalogChange>,
        (table, steps): (TableId, &[Finish]),
        undoing: &Undoing,
    ) -> Result<Undo, CommitError> {
        // In a task of its own: it is known afterwards whether it was committed, whatever becomes of the statement.
        let commit = {
            let store = store.clone();
            tokio::spawn(async move { store.change_catalog(base_version, changes).await })
        };
        let mut undo = Undo {
            store: store.clone(),
            table,
            steps: steps.to_vec(),
            commit: None,
            armed: true,
            undoing: undoing.clone(),
        };
        let committed = undo.commit.insert(commit).await;
        undo.commit = None;
        match committed {
            Ok(Ok(_)) => Ok(undo),
            Ok(Err(error)) => {
                undo.armed = false;
                Err(error)
            }
            // The server stops.
            Err(_) => Err(StorageError::Closed.into()),
        }
    }

    /// It is somebody else's now whether what was added stays.
    pub(crate) fn keep(mut self) {
        self.armed = false;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // Without a runtime the server stops; what is not in force is taken off when it starts.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.armed {
            return;
        }
        let (store, table, commit) = (self.store.clone(), self.table, self.commit.take());
        let steps = std::mem::take(&mut self.steps);
        let undo = async move {
            if let Some(commit) = commit
                && !matches!(commit.await, Ok(Ok(_)))
            {
                return;
            }
            if let Err(error) = settle(&store, table, &steps, false).await {
                tracing::warn!(%error, "what a DDL statement had added could not be taken off");
            }
        };
        *self.undoing.lock() = Some(runtime.spawn(undo));
    }
}
