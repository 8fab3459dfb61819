//! The pace of the jobs that work on rows: short turns, and rests between them.
//!
//! A thread of low priority, once it runs, keeps its processor for milliseconds on some schedulers, however many threads of
//! usual priority wait for one. So jobs give it up by themselves: where they call `rest` often enough, a commit waits for a
//! turn at most. Does not: know what the jobs do.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a job works before it rests for as long.
const TURN: Duration = Duration::from_micros(100);
/// The longest rest: what it took to get a processor is no work.
const REST_MAX: Duration = Duration::from_micros(400);

thread_local! {
    /// When this thread last rested.
    static RESTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Between two pieces of work: rests as long as this thread has worked, if that was a turn. Blocking, on a job's thread.
pub(crate) fn rest() {
    let now = Instant::now();
    let worked = RESTED.get().map_or(TURN, |rested| now - rested);
    if worked >= TURN {
        std::thread::sleep(worked.min(REST_MAX));
        RESTED.set(Some(Instant::now()));
    }
}
