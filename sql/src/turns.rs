//! Turns for others in work over many rows: a task that never waits is not heard by what would interrupt it.

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
