//! Stores that failed of late: background jobs leave them alone for a while, and the log hears of it once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::DEFAULT_STORE;
use crate::error::StorageError;

const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The stores that failed, by name.
#[derive(Default)]
pub(crate) struct Outages(Mutex<HashMap<String, Outage>>);

struct Outage {
    wait: Duration,
    until: Instant,
}

impl Outages {
    /// Whether a background job may use the store now.
    pub(crate) fn may_try(&self, store: &str) -> bool {
        (self.0.lock().get(store)).is_none_or(|outage| outage.until <= Instant::now())
    }

    /// Notes that the store failed the job that was `doing` something.
    pub(crate) fn failed(&self, store: &str, doing: &str, error: &StorageError) {
        let mut outages = self.0.lock();
        let before = outages.get(store).map(|outage| outage.wait);
        let wait = before.map_or(FIRST_WAIT, |wait| (wait * 2).min(LONGEST_WAIT));
        let until = Instant::now() + wait;
        outages.insert(store.to_string(), Outage { wait, until });
        if before.is_none() {
            tracing::error!(%error, "{doing} waits until its storage can be used again");
        }
    }

    /// Notes that the store did what it was asked for.
    pub(crate) fn worked(&self, store: &str) {
        if self.0.lock().remove(store).is_some() {
            let storage = match store {
                "" => DEFAULT_STORE,
                name => name,
            };
            tracing::info!(storage, "the storage can be used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_store_is_left_alone_until_it_worked() {
        let outages = Outages::default();
        assert!(outages.may_try("a"));
        outages.failed("a", "flushing", &StorageError::Closed);
        assert!(!outages.may_try("a") && outages.may_try(""));
        let wait = |outages: &Outages| outages.0.lock()["a"].wait;
        assert_eq!(wait(&outages), FIRST_WAIT);
        for _ in 0..20 {
            outages.failed("a", "flushing", &StorageError::Closed);
        }
        assert_eq!(wait(&outages), LONGEST_WAIT);
        outages.worked("a");
        assert!(outages.may_try("a"));
    }
}
