//! Failpoints: named steps at which a test can end the process, hold a thread, or make a call fail.
//!
//! Owns: the list of steps, and what is to happen at which of them. A store has its own, so that stores of one
//! process do not meet each other's; the server takes them from `TIDELOG_FAILPOINTS`.
//! Guarantees: where none is set, a step is one relaxed load. Does not: decide what a test does with them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::error::StorageError;

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident $name:literal,)*) => {
        /// A step of the work on disk, in the order in which a transaction, a flush, … meets them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)*
        }

        impl Step {
            /// Every step.
            pub const ALL: &[Step] = &[$(Step::$step,)*];

            /// Its name in `TIDELOG_FAILPOINTS`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Step::$step => $name,)*
                }
            }
        }
    };
}

steps! {
    /// A group of transactions was checked; nothing of it is written.
    CommitChecked "commit_checked",
    /// It is in the log, but not synced.
    CommitUnsynced "commit_unsynced",
    /// It is synced; nobody sees it.
    CommitWritten "commit_written",
    /// Readers see it; nobody was answered.
    CommitPublished "commit_published",
    /// A large transaction was checked and has its Seqs; nothing of it is written.
    LargeBegun "large_begun",
    /// A piece of it is in the log.
    LargePiece "large_piece",
    /// All of it is there; it is not committed.
    LargeWritten "large_written",
    /// It is committed; entries of keys and indexes that it made void are still there.
    LargeCommitted "large_committed",
    /// They are gone; what tells of them is still there.
    LargeCleaned "large_cleaned",
    /// A catalog change was checked; nothing of it is written.
    CatalogChecked "catalog_checked",
    /// It is on disk; nobody sees it, and no file of a dropped table was removed.
    CatalogWritten "catalog_written",
    /// A stretch of rows is about to be added to a new index.
    IndexBatch "index_batch",
    /// It was added; the index is not ready yet.
    IndexWritten "index_written",
    /// A cold file is written but for its end; its store does not have it yet.
    FileUnnamed "file_unnamed",
    /// The store has it; it is neither verified nor synced.
    FileNamed "file_named",
    /// The files of a flush are in place for good; the manifest does not name them.
    FlushFiles "flush_files",
    /// The manifest names them; readers still see the rows in the log.
    FlushAdded "flush_added",
    /// The merged files of a compaction are in place for good; the manifest names the old ones.
    CompactFiles "compact_files",
    /// The manifest names the merged files; the old ones are still there.
    CompactSwapped "compact_swapped",
    /// Files that nothing needs are about to be removed.
    GarbageFound "garbage_found",
    /// They are gone; what notes them as garbage is not.
    GarbageRemoved "garbage_removed",
    /// The logs of some partitions were cut; readers do not know yet.
    TrimLog "trim_log",
    /// The commit order was cut; readers do not know yet.
    TrimCommits "trim_commits",
    /// Expired rows were removed; readers do not know yet.
    Expired "expired",
    /// An erased user's rows are in no family and no manifest any more; readers do not know yet.
    EraseHidden "erase_hidden",
    /// Their files are gone; RocksDB's own still hold them.
    EraseFiles "erase_files",
    /// No file holds them; the erasure is still noted.
    EraseScrubbed "erase_scrubbed",
}

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process ends at once, as by SIGKILL: no destructor runs, nothing is written.
    Kill,
    /// The thread goes no further until the plans are taken back; the others do.
    Stop,
    /// The step fails. What fails while it is written ends the store's taking commits, as a broken disk does.
    Fail,
}

#[derive(Debug)]
struct Plan {
    step: Step,
    action: Action,
    /// It happens when the step is reached for the n-th time from now.
    nth: u32,
}

/// What is to happen at which step.
#[derive(Debug, Default)]
pub struct Failpoints {
    any: AtomicBool,
    plans: Mutex<Vec<Plan>>,
    cleared: Condvar,
    stopped: AtomicUsize,
}

/// What `TIDELOG_FAILPOINTS` cannot mean.
#[derive(Debug, thiserror::Error)]
#[error("failpoints are written step=kill|stop|fail[@n], separated by commas, not \"{given}\"; steps: {}",
    Step::ALL.iter().map(|step| step.name()).collect::<Vec<_>>().join(" "))]
pub struct MalformedFailpoints {
    given: String,
}

impl Failpoints {
    /// Reads `step=action@n,…`; `@n` means the n-th time.
    pub fn parse(text: &str) -> Result<Failpoints, MalformedFailpoints> {
        let failpoints = Failpoints::default();
        for given in text.split(',').filter(|given| !given.is_empty()) {
            let malformed = || MalformedFailpoints {
                given: given.to_string(),
            };
            let (name, action) = given.split_once('=').ok_or_else(malformed)?;
            let (action, nth) = action.split_once('@').unwrap_or((action, "1"));
            let mut steps = Step::ALL.iter();
            let step = steps
                .find(|step| step.name() == name)
                .ok_or_else(malformed)?;
            let action = match action {
                "kill" => Action::Kill,
                "stop" => Action::Stop,
                "fail" => Action::Fail,
                _ => return Err(malformed()),
            };
            failpoints.set(*step, action, nth.parse().map_err(|_| malformed())?);
        }
        Ok(failpoints)
    }

    /// Makes `action` happen once, when the step is reached for the `nth` time from now.
    pub fn set(&self, step: Step, action: Action, nth: u32) {
        let mut plans = self.plans.lock();
        plans.push(Plan { step, action, nth });
        self.any.store(true, Ordering::Relaxed);
    }

    /// Takes back what has not happened yet, and lets threads that were stopped go on.
    pub fn clear(&self) {
        self.plans.lock().clear();
        self.any.store(false, Ordering::Relaxed);
        self.cleared.notify_all();
    }

    /// How many threads are stopped.
    pub fn stopped(&self) -> usize {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether something may happen at the step.
    pub(crate) fn is_set(&self, step: Step) -> bool {
        self.any.load(Ordering::Relaxed) && self.plans.lock().iter().any(|plan| plan.step == step)
    }

    /// Whether a thread may be held, which then must not be one that others need.
    pub(crate) fn may_stop(&self) -> bool {
        let stops = |plan: &Plan| plan.action == Action::Stop;
        self.any.load(Ordering::Relaxed) && self.plans.lock().iter().any(stops)
    }

    /// The step is reached: an error if it is to fail.
    #[inline]
    pub(crate) fn reach(&self, step: Step) -> Result<(), StorageError> {
        if self.any.load(Ordering::Relaxed) {
            self.reached(step)?;
        }
        Ok(())
    }

    #[cold]
    fn reached(&self, step: Step) -> Result<(), StorageError> {
        let action = {
            let mut plans = self.plans.lock();
            let Some(at) = plans.iter().position(|plan| plan.step == step) else {
                return Ok(());
            };
            plans[at].nth = plans[at].nth.saturating_sub(1);
            if plans[at].nth > 0 {
                return Ok(());
            }
            plans.remove(at).action
        };
        let name = step.name();
        tracing::warn!(step = name, ?action, "failpoint");
        match action {
            Action::Kill => std::process::abort(),
            Action::Stop => {
                let mut plans = self.plans.lock();
                self.stopped.fetch_add(1, Ordering::SeqCst);
                self.cleared.wait(&mut plans);
                self.stopped.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
            Action::Fail => {
                let reason = format!("failpoint {name}");
                Err(StorageError::Io(std::io::Error::other(reason)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_happens_the_nth_time() {
        let points = Failpoints::parse("trim_log=fail@2,expired=fail").unwrap();
        assert!(points.reach(Step::TrimLog).is_ok());
        assert!(points.reach(Step::FlushAdded).is_ok());
        let error = points.reach(Step::TrimLog).unwrap_err().to_string();
        assert_eq!(error, "failpoint trim_log");
        assert!(points.reach(Step::TrimLog).is_ok(), "it happens once");
        assert!(points.is_set(Step::Expired));
        points.clear();
        assert!(points.reach(Step::Expired).is_ok());
    }

    #[test]
    fn a_name_is_known_or_refused() {
        for step in Step::ALL {
            Failpoints::parse(&format!("{}=kill@3", step.name())).unwrap();
        }
        for text in ["nothing=kill", "trim_log", "trim_log=no", "trim_log=kill@x"] {
            let error = Failpoints::parse(text).err().unwrap().to_string();
            assert!(
                error.contains(text) && error.contains("commit_checked"),
                "{error}"
            );
        }
    }
}
