//! Files of dropped and truncated tables, kept until no snapshot from before the drop lives.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::seq::Seq;
use crate::snapshot::View;

struct Waiting {
    paths: Vec<String>,
    views: Vec<Weak<View>>,
}

/// The files that wait, and the views that they wait for.
#[derive(Default)]
pub(crate) struct Garbage {
    waiting: Mutex<Vec<Waiting>>,
    views: Mutex<Vec<Weak<View>>>,
    any: AtomicBool,
    wake: Notify,
    evicted: watch::Sender<Seq>,
}

/// Dead entries in the list of views that are not worth cleaning up.
const VIEWS_SLACK: usize = 64;

impl Garbage {
    /// Notes a view that was published.
    pub(crate) fn view_published(&self, view: Weak<View>) {
        let mut views = self.views.lock();
        views.push(view);
        if views.len() > VIEWS_SLACK && views.len().is_power_of_two() {
            views.retain(|view| view.strong_count() > 0);
        }
    }

    /// How many views from before a Seq live.
    pub(crate) fn views_before(&self, seq: Seq) -> usize {
        let mut views = self.views.lock();
        views.retain(|view| view.strong_count() > 0);
        // Upgraded ones are dropped outside the lock: the last of its kind asks for it.
        let live: Vec<_> = views.iter().filter_map(Weak::upgrade).collect();
        drop(views);
        live.iter().filter(|view| view.seq < seq).count()
    }

    /// Up to which Seq views must go: something that they can still show is being erased.
    pub(crate) fn evicted(&self) -> watch::Receiver<Seq> {
        self.evicted.subscribe()
    }

    /// Asks whoever has a view from before a Seq to let go of it.
    pub(crate) fn evict(&self, before: Seq) {
        (self.evicted).send_if_modified(|upto| std::mem::replace(upto, before.max(*upto)) < before);
    }

    /// Whether a view at this Seq must go.
    pub(crate) fn is_evicted(&self, seq: Seq) -> bool {
        seq < *self.evicted.borrow()
    }

    /// Puts files aside that every view published so far may still read.
    pub(crate) fn add(&self, paths: Vec<String>) {
        if paths.is_empty() {
            return;
        }
        let mut views = self.views.lock();
        views.retain(|view| view.strong_count() > 0);
        self.waiting.lock().push(Waiting {
            paths,
            views: views.clone(),
        });
        self.any.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Puts files aside that no view can name.
    pub(crate) fn discard(&self, paths: Vec<String>) {
        if paths.is_empty() {
            return;
        }
        self.waiting.lock().push(Waiting {
            paths,
            views: Vec::new(),
        });
        self.any.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// A view is gone.
    pub(crate) fn view_dropped(&self) {
        if self.any.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Waits until something may have become removable.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes the files that nothing needs any more.
    pub(crate) fn take_unneeded(&self) -> Vec<String> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        waiting.retain_mut(|entry| {
            if entry.views.iter().any(|view| view.strong_count() > 0) {
                return true;
            }
            taken.append(&mut entry.paths);
            false
        });
        self.any.store(!waiting.is_empty(), Ordering::SeqCst);
        taken
    }
}
