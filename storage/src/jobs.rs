//! The jobs that run in the background or were called for: what runs, and what the last of them did.
//!
//! Owns: the list behind `tidelog.jobs`, in memory. Guarantees: a job that is dropped halfway counts as failed.
//! Does not: run anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::StorageError;

/// Ended jobs that are remembered.
const ENDED_MAX: usize = 500;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Moves rows to files.
    Flush,
    /// Merges files.
    Compact,
    /// Takes old changes out of the log.
    Trim,
    /// Removes rows that have expired.
    Expire,
    /// Removes files that nothing needs any more.
    Sweep,
    /// Erases a user.
    Erase,
    /// Copies the store elsewhere.
    Backup,
}

impl JobKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Flush => "flush",
            JobKind::Compact => "compact",
            JobKind::Trim => "trim",
            JobKind::Expire => "expire",
            JobKind::Sweep => "sweep",
            JobKind::Erase => "erase",
            JobKind::Backup => "backup",
        }
    }
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It runs.
    Running,
    /// It did what it should.
    Done,
    /// It did not, and why.
    Failed(String),
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Counts the jobs since the store was opened.
    pub id: u64,
    /// What it does.
    pub kind: JobKind,
    /// The schema and name of the table it works on, if it is one.
    pub table: Option<(String, String)>,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it stands.
    pub state: JobState,
    /// Rows that it wrote or removed.
    pub rows: u64,
    /// Bytes that it wrote or removed.
    pub bytes: u64,
}

/// The list of jobs.
#[derive(Default)]
pub(crate) struct Jobs {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    running: BTreeMap<u64, JobRecord>,
    ended: VecDeque<JobRecord>,
}

impl Jobs {
    /// A job begins.
    pub(crate) fn start(
        self: &Arc<Self>,
        kind: JobKind,
        table: Option<(String, String)>,
        now_ms: i64,
    ) -> Job {
        let mut inner = self.inner.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        let record = JobRecord {
            id,
            kind,
            table,
            started_ms: now_ms,
            ended_ms: None,
            state: JobState::Running,
            rows: 0,
            bytes: 0,
        };
        inner.running.insert(id, record);
        Job {
            jobs: self.clone(),
            id,
        }
    }

    /// Those that run and the last that ended, in the order in which they began.
    pub(crate) fn list(&self) -> Vec<JobRecord> {
        let inner = self.inner.lock();
        let mut list: Vec<JobRecord> = inner
            .ended
            .iter()
            .chain(inner.running.values())
            .cloned()
            .collect();
        list.sort_by_key(|job| job.id);
        list
    }

    fn end(&self, id: u64, end: impl FnOnce(&mut JobRecord)) {
        let mut inner = self.inner.lock();
        let Some(mut record) = inner.running.remove(&id) else {
            return;
        };
        end(&mut record);
        if inner.ended.len() == ENDED_MAX {
            inner.ended.pop_front();
        }
        inner.ended.push_back(record);
    }
}

/// A job that runs.
pub(crate) struct Job {
    jobs: Arc<Jobs>,
    id: u64,
}

impl Job {
    /// It ended; `done` are the rows and bytes. `None`: there was nothing to do, and it is forgotten.
    pub(crate) fn end(self, now_ms: i64, outcome: Result<Option<(u64, u64)>, &StorageError>) {
        let (rows, bytes, state) = match outcome {
            Ok(None) => {
                self.jobs.inner.lock().running.remove(&self.id);
                return;
            }
            Ok(Some((rows, bytes))) => (rows, bytes, JobState::Done),
            Err(error) => (0, 0, JobState::Failed(error.to_string())),
        };
        self.jobs.end(self.id, |record| {
            (record.rows, record.bytes, record.state) = (rows, bytes, state);
            record.ended_ms = Some(now_ms);
        });
    }

    /// How far it is.
    pub(crate) fn progress(&self, rows: u64, bytes: u64) {
        if let Some(record) = self.jobs.inner.lock().running.get_mut(&self.id) {
            (record.rows, record.bytes) = (rows, bytes);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.jobs.end(self.id, |record| {
            record.state = JobState::Failed("it was stopped".to_string());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_jobs_are_remembered() {
        let jobs = Arc::new(Jobs::default());
        let table = Some(("s".to_string(), "t".to_string()));
        let first = jobs.start(JobKind::Flush, table.clone(), 1);
        jobs.start(JobKind::Trim, None, 2).end(3, Ok(None));
        jobs.start(JobKind::Compact, table, 2)
            .end(4, Err(&StorageError::Closed));
        drop(jobs.start(JobKind::Sweep, None, 5));
        first.progress(7, 8);
        let shown = |job: JobRecord| (job.id, job.kind.name(), job.ended_ms, job.state, job.rows);
        let list: Vec<_> = jobs.list().into_iter().map(shown).collect();
        let failed = JobState::Failed(StorageError::Closed.to_string());
        let stopped = JobState::Failed("it was stopped".to_string());
        assert_eq!(
            list,
            [
                (1, "flush", None, JobState::Running, 7),
                (3, "compact", Some(4), failed, 0),
                (4, "sweep", None, stopped, 0),
            ]
        );
        for n in 0..2 * ENDED_MAX as i64 {
            jobs.start(JobKind::Expire, None, n)
                .end(n, Ok(Some((1, 2))));
        }
        let list = jobs.list();
        assert_eq!(list.len(), ENDED_MAX + 1);
        assert_eq!((list[0].id, list[0].state.clone()), (1, JobState::Running));
        first.end(9, Ok(Some((1, 2))));
        assert!(jobs.list().iter().all(|job| job.state == JobState::Done));
    }
}
