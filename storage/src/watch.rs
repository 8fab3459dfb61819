//! Who waits for commits: one channel per watched scope, told only by commits that touch it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::catalog::TableId;
use crate::changes::FeedScope;
use crate::seq::Seq;
use crate::snapshot::PartitionSet;
use crate::transaction::Partition;

/// One watched scope, shared by all its watches; leaves the registry with the last of them.
pub(crate) struct Scope {
    of: FeedScope,
    newest: watch::Sender<Seq>,
    registry: Weak<Watches>,
}

impl Scope {
    /// The newest commit that touched the scope, and those to come.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Seq> {
        self.newest.subscribe()
    }

    /// Up to where no commit after `after` has touched the scope; `None` when one has.
    pub(crate) fn quiet_upto(&self, after: Seq) -> Option<Seq> {
        // Asked before: a commit up to there was told to the scope by then.
        let told = self.registry.upgrade()?.told.load(Ordering::Acquire);
        let is_quiet = *self.newest.borrow() <= after;
        is_quiet.then(|| Seq::from_i64(told).unwrap_or(after).max(after))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(&self.of);
        }
    }
}

#[derive(Default)]
struct TableWatches {
    all: Weak<Scope>,
    partitions: HashMap<Partition, Weak<Scope>>,
}

/// The registry of watched scopes.
#[derive(Default)]
pub(crate) struct Watches {
    inner: Mutex<Inner>,
    /// Of every commit up to here those who watch what it touched were told.
    told: AtomicI64,
}

#[derive(Default)]
struct Inner {
    tables: HashMap<TableId, TableWatches>,
    closed: bool,
}

impl Watches {
    /// Watches a scope. `visible` is asked under the registry's lock, so that a commit either is in its
    /// answer or finds the scope registered.
    pub(crate) fn watch(
        self: &Arc<Self>,
        of: &FeedScope,
        visible: impl FnOnce() -> Seq,
    ) -> Arc<Scope> {
        let mut inner = self.inner.lock();
        let closed = inner.closed;
        let table = inner.tables.entry(of.table).or_default();
        let slot = match &of.partitions {
            PartitionSet::All => &mut table.all,
            PartitionSet::One(partition) => table.partitions.entry(partition.clone()).or_default(),
        };
        if let Some(scope) = slot.upgrade() {
            return scope;
        }
        let newest = watch::Sender::new(if closed { Seq::MAX } else { visible() });
        let scope = Arc::new(Scope {
            of: of.clone(),
            newest,
            registry: Arc::downgrade(self),
        });
        *slot = Arc::downgrade(&scope);
        scope
    }

    fn forget(&self, of: &FeedScope) {
        let mut inner = self.inner.lock();
        let Some(table) = inner.tables.get_mut(&of.table) else {
            return;
        };
        // A new scope may have taken the place of the one that goes.
        if let PartitionSet::One(partition) = &of.partitions
            && table
                .partitions
                .get(partition)
                .is_some_and(|scope| scope.strong_count() == 0)
        {
            table.partitions.remove(partition);
        }
        if table.partitions.is_empty() && table.all.strong_count() == 0 {
            inner.tables.remove(&of.table);
        }
    }

    /// Tells those who watch these partitions, which are all that the commits up to `seq` have touched since the last call.
    pub(crate) fn touched<'a>(
        &self,
        scopes: impl Iterator<Item = (TableId, &'a Partition)>,
        seq: Seq,
    ) {
        self.tell(scopes, seq);
        self.told.store(seq.as_i64(), Ordering::Release);
    }

    fn tell<'a>(&self, scopes: impl Iterator<Item = (TableId, &'a Partition)>, seq: Seq) {
        // Dropping the last handle of a scope takes the lock again: keep them until it is free.
        let mut told = Vec::new();
        let inner = self.inner.lock();
        if inner.tables.is_empty() {
            return;
        }
        for (table, partition) in scopes {
            let Some(table) = inner.tables.get(&table) else {
                continue;
            };
            told.extend(table.all.upgrade());
            told.extend(table.partitions.get(partition).and_then(Weak::upgrade));
        }
        drop(inner);
        for scope in told {
            scope
                .newest
                .send_if_modified(|newest| std::mem::replace(newest, seq.max(*newest)) < seq);
        }
    }

    /// Wakes those who watch any partition of a table.
    fn wake_table(&self, table: TableId, seq: Seq) {
        let scopes: Vec<Arc<Scope>> = {
            let inner = self.inner.lock();
            let Some(table) = inner.tables.get(&table) else {
                return;
            };
            table
                .all
                .upgrade()
                .into_iter()
                .chain(table.partitions.values().filter_map(Weak::upgrade))
                .collect()
        };
        for scope in scopes {
            scope
                .newest
                .send_if_modified(|newest| std::mem::replace(newest, seq.max(*newest)) < seq);
        }
    }

    /// Wakes everybody: the catalog has changed, and with it perhaps what they may read.
    pub(crate) fn catalog_changed(&self, seq: Seq) {
        let tables: Vec<TableId> = self.inner.lock().tables.keys().copied().collect();
        for table in tables {
            self.wake_table(table, seq);
        }
        self.told.store(seq.as_i64(), Ordering::Release);
    }

    /// Wakes everybody for good.
    pub(crate) fn close(&self) {
        let tables: Vec<TableId> = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            inner.tables.keys().copied().collect()
        };
        for table in tables {
            self.wake_table(table, Seq::MAX);
        }
    }
}
