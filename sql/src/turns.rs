//! Turns for others: a task that works on many rows and never waits is not heard by what would interrupt it, and what
//! takes a thread for long, as the planning of a large statement does, keeps it from the other sessions' tasks.

/// So many rows are worked on at one go.
pub(crate) const TURN_ROWS: usize = 1024;

/// Counts rows, and lets others have their turn when there were enough.
#[derive(Default)]
pub(crate) struct Turns {
    rows: usize,
}

impl Turns {
    /// So many rows more were worked on.
    pub(crate) async fn worked(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows >= TURN_ROWS {
            self.rows = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Does work, and if it may take long lets another thread go on with the tasks of this one meanwhile. To hand them over
/// takes some microseconds.
pub(crate) fn aside<T>(may_take_long: bool, work: impl FnOnce() -> T) -> T {
    match may_take_long {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
}
