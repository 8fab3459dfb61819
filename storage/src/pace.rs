//! The pace of the jobs that work on rows: short turns, and a moment of rest between them.
//!
//! A thread of low priority, once it runs, keeps its processor for milliseconds on some schedulers, however many threads of
//! usual priority wait for one. So jobs give it up by themselves: where they call `rest` often enough, a commit waits for a
//! turn at most. Does not: know what the jobs do.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a job works before it rests.
const TURN: Duration = Duration::from_micros(100);
/// How long it does: whoever waits for the processor has it then. Linux adds 50 microseconds, so that it is about as long as a turn.
const REST: Duration = Duration::from_micros(50);

thread_local! {
    /// When this thread last rested.
    static RESTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Between two pieces of work: rests, if this thread has worked for a turn. Blocking, on a job's thread.
pub(crate) fn rest() {
    if RESTED.get().is_none_or(|rested| rested.elapsed() >= TURN) {
        std::thread::sleep(REST);
        RESTED.set(Some(Instant::now()));
    }
}
