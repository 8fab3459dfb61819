//! Files of dropped and truncated tables, kept until no snapshot from before the drop lives.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

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
