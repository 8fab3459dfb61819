//! What a session has found out and is likely to need again.

use std::sync::Arc;

use parking_lot::Mutex;

/// How many values are kept.
const KEPT_MAX: usize = 32;

/// The values that were kept or found last, the newest at the end; an empty one takes no memory.
pub(super) struct Recent<T>(Mutex<Vec<Arc<T>>>);

impl<T> Default for Recent<T> {
    fn default() -> Recent<T> {
        Recent(Mutex::default())
    }
}

impl<T> Recent<T> {
    /// The newest of a kind.
    pub(super) fn find(&self, is_such: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let mut kept = self.0.lock();
        let at = kept.iter().rposition(|kept| is_such(kept))?;
        let found = kept.remove(at);
        kept.push(found.clone());
        Some(found)
    }

    /// Keeps a value in place of the one that was needed the longest time ago.
    pub(super) fn keep(&self, value: Arc<T>) {
        let mut kept = self.0.lock();
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push(value);
    }
}
