//! `Seq`: the one number that orders everything, and the clock that draws it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

/// Milliseconds from the Unix epoch to 2024-01-01 00:00:00 UTC, where Seqs begin.
pub const EPOCH_UNIX_MS: i64 = 1_704_067_200_000;
/// 2090-01-01 UTC. A clock that shows more is wrong, and not believed: Seqs end in 2093.
const BELIEVED_UNIX_MS_MAX: i64 = 3_786_912_000_000;
const COUNTER_BITS: u32 = 12;
const NODE_BITS: u32 = 10;
const PENDING_BASE: i64 = i64::MAX - u32::MAX as i64;
const COUNTER_MAX: i64 = (1 << COUNTER_BITS) - 1;
/// Milliseconds, of 4,096 Seqs each, that are between the clock and a run that is reserved; and at least between the newest Seq
/// and it, which is about as long as the shortest large commit takes.
const ROOM_MS: i64 = 1000;
const ROOM_MS_MIN: i64 = 16;

/// Position in commit order: `ms << 22 | node << 12 | counter`, ms since 2024-01-01 UTC.
///
/// Always positive as a PostgreSQL `bigint` (until 2093). Zero is before everything.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(i64);

impl Seq {
    /// Before every Seq that was ever drawn.
    pub const ZERO: Seq = Seq(0);
    /// After every Seq that will ever be drawn.
    pub const MAX: Seq = Seq(i64::MAX);

    /// The Seq with this value, if it is not negative.
    pub fn from_i64(value: i64) -> Option<Seq> {
        (value >= 0).then_some(Seq(value))
    }

    /// The value as PostgreSQL's `bigint`.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The lowest Seq that is drawn at `unix_ms` or later, but for those that are drawn while a run is reserved; `ZERO` for times
    /// before 2024.
    pub fn first_at(unix_ms: i64) -> Seq {
        Seq(unix_ms
            .saturating_sub(EPOCH_UNIX_MS)
            .clamp(0, (1 << 41) - 1)
            << (NODE_BITS + COUNTER_BITS))
    }

    /// When this Seq was drawn, in milliseconds since the Unix epoch; earlier or later where Seqs did not follow the clock
    /// (`moments`).
    pub fn unix_ms(self) -> i64 {
        (self.0 >> (NODE_BITS + COUNTER_BITS)) + EPOCH_UNIX_MS
    }

    /// The stand-in for the Seq of a transaction's change number `n` (below 2^32) until it commits: above
    /// every Seq that is drawn before 2093.
    pub fn pending(n: u32) -> Seq {
        Seq(PENDING_BASE + i64::from(n))
    }

    /// The change number, if this is a pending Seq.
    pub fn as_pending(self) -> Option<u32> {
        self.0
            .checked_sub(PENDING_BASE)
            .and_then(|n| u32::try_from(n).ok())
    }

    /// The lowest Seq above this one, drawn by whatever node: where what comes after it begins.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The highest Seq below this one; `ZERO` has none and stays.
    pub fn previous(self) -> Seq {
        Seq((self.0 - 1).max(0))
    }

    /// The Seq `n` places further in a run drawn by one node: the counter first, then the next millisecond.
    pub fn advance(self, n: u64) -> Seq {
        let n = i64::try_from(n).expect("a run of Seqs is shorter than i64::MAX");
        let counter = (self.0 & COUNTER_MAX) + n;
        let ms = (self.0 >> (NODE_BITS + COUNTER_BITS)) + (counter >> COUNTER_BITS);
        let node = (self.0 >> COUNTER_BITS) & ((1 << NODE_BITS) - 1);
        Seq(ms << (NODE_BITS + COUNTER_BITS) | node << COUNTER_BITS | (counter & COUNTER_MAX))
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since the Unix epoch; injected so that tests can hold time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's wall clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(elapsed.as_millis()).expect("the year is below 292 million")
    })
}

/// Draws Seqs: strictly increasing, never going back when the clock does, and not going on with one that shows 2090 or later.
///
/// Commits and `snowflake_id()` draw from the same generator, so an id is always below the Seq of the
/// commit that stores it, and ids stay unique across a restart because the newest commit is known.
///
/// A run can be reserved for later (`reserve`): until it is released, everybody draws below it, and Seqs count on from where the
/// clock stood, however long that takes.
pub struct SeqGenerator {
    clock: Clock,
    node: i64,
    drawn: Mutex<Drawn>,
    released: Condvar,
}

struct Drawn {
    last: Seq,
    reserved: Option<Reserved>,
}

/// A run for later.
struct Reserved {
    first: Seq,
    last: Seq,
    /// Where others draw meanwhile.
    from: Seq,
}

impl Drawn {
    /// Takes `n` consecutive Seqs from `now` on, above the last; `None` when they come to the run that is reserved.
    fn take(&mut self, now: Seq, n: u64) -> Option<Seq> {
        assert!(n > 0, "an empty run of Seqs has no first");
        let from = self.reserved.as_ref().map_or(now, |run| run.from);
        let first = from.max(self.last.advance(1));
        let last = first.advance(n - 1);
        if self.reserved.as_ref().is_some_and(|run| last >= run.first) {
            return None;
        }
        self.last = last;
        Some(first)
    }
}

impl SeqGenerator {
    /// A generator for `node` (0..1024) whose first Seq is after `last`.
    pub fn new(clock: Clock, node: u16, last: Seq) -> SeqGenerator {
        assert!(node < 1 << NODE_BITS, "a node id has ten bits");
        SeqGenerator {
            clock,
            node: i64::from(node),
            drawn: Mutex::new(Drawn {
                last,
                reserved: None,
            }),
            released: Condvar::new(),
        }
    }

    /// Draws `n` consecutive Seqs (`first`, `first.advance(1)`, …) and returns the first; `n` is at least 1. While a run is
    /// reserved they are from before it; once all of these, some millions, are drawn, it waits.
    pub fn draw(&self, n: u64) -> Seq {
        let mut drawn = self.drawn.lock();
        loop {
            if let Some(first) = drawn.take(self.at(0), n) {
                return first;
            }
            self.released.wait(&mut drawn);
        }
    }

    /// As `draw`; `None` where it would wait.
    pub(crate) fn try_draw(&self, n: u64) -> Option<Seq> {
        self.drawn.lock().take(self.at(0), n)
    }

    /// Takes `n` consecutive Seqs for later and returns the first. Until the run is released others draw the ones between now
    /// and then: `ROOM_MS` and eight for each of the run, or, where Seqs are ahead of the clock, which runs in a row shall not
    /// drive further, `ROOM_MS_MIN` and two for each.
    ///
    /// # Panics
    /// When another run is reserved.
    pub(crate) fn reserve(&self, n: u64) -> Seq {
        assert!(n > 0, "an empty run of Seqs has no first");
        let mut drawn = self.drawn.lock();
        assert!(drawn.reserved.is_none(), "one run at a time is reserved");
        let ms_of = |seqs: u64| i64::try_from(seqs >> COUNTER_BITS).expect("a shift of twelve");
        let next = Seq::first_at(drawn.last.unix_ms() + 1 + ROOM_MS_MIN + ms_of(2 * n));
        let first = self.at(ROOM_MS + ms_of(8 * n)).max(self.of_node(next));
        drawn.reserved = Some(Reserved {
            first,
            last: first.advance(n - 1),
            from: self.at(0),
        });
        first
    }

    /// Ends the reservation: from now on Seqs are above the run that was reserved.
    pub(crate) fn release(&self) {
        let mut drawn = self.drawn.lock();
        if let Some(run) = drawn.reserved.take() {
            drawn.last = run.last;
        }
        self.released.notify_all();
    }

    /// This node's first Seq of so many milliseconds from now.
    fn at(&self, ahead_ms: i64) -> Seq {
        let ms = (self.clock)();
        let ms = if ms < BELIEVED_UNIX_MS_MAX { ms } else { 0 };
        self.of_node(Seq::first_at(ms + ahead_ms))
    }

    fn of_node(&self, first: Seq) -> Seq {
        Seq(first.0 | self.node << COUNTER_BITS)
    }

    /// The clock that Seqs are drawn from, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn held_clock(ms: i64) -> (Arc<AtomicI64>, Clock) {
        let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + ms));
        let read = time.clone();
        (time, Arc::new(move || read.load(Ordering::SeqCst)))
    }

    #[test]
    fn increases_while_the_clock_stands_or_goes_back() {
        let (time, clock) = held_clock(1000);
        let generator = SeqGenerator::new(clock, 7, Seq::ZERO);
        let mut last = generator.draw(1);
        assert_eq!(last.unix_ms(), EPOCH_UNIX_MS + 1000);
        for step in 0..10_000 {
            if step == 5_000 {
                time.store(EPOCH_UNIX_MS + 10, Ordering::SeqCst);
            }
            let next = generator.draw(1);
            assert!(next > last);
            last = next;
        }
        assert_eq!(last.unix_ms(), EPOCH_UNIX_MS + 1002);
    }

    #[test]
    fn a_run_is_what_single_draws_would_give() {
        let (_, clock) = held_clock(5);
        let singles = SeqGenerator::new(clock.clone(), 1023, Seq::ZERO);
        let runs = SeqGenerator::new(clock, 1023, Seq::ZERO);
        let first = runs.draw(9000);
        for n in 0..9000 {
            assert_eq!(singles.draw(1), first.advance(n));
        }
        assert_eq!(runs.draw(1), singles.draw(1));
    }

    #[test]
    fn others_draw_below_what_is_reserved_however_late_it_gets() {
        let (time, clock) = held_clock(1000);
        let generator = SeqGenerator::new(clock, 3, Seq::ZERO);
        let first = generator.reserve(5000);
        assert_eq!(first.unix_ms(), EPOCH_UNIX_MS + 1000 + ROOM_MS + 9);
        let mut last = generator.draw(4096).advance(4095);
        assert_eq!(last.unix_ms(), EPOCH_UNIX_MS + 1000);
        for now in [1500, 500, 3_600_000, 3_600_001] {
            time.store(EPOCH_UNIX_MS + now, Ordering::SeqCst);
            assert_eq!(generator.try_draw(7), Some(last.advance(1)), "at {now}");
            last = last.advance(7);
        }
        // The last ones.
        let rest = (ROOM_MS as u64 + 8) * 4096 - 4 * 7;
        assert_eq!(generator.try_draw(rest + 1), None);
        assert_eq!(generator.draw(rest).advance(rest), first);
        assert_eq!(generator.try_draw(1), None);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| generator.draw(1));
            generator.release();
            let next = waits.join().unwrap();
            assert_eq!(next.unix_ms(), EPOCH_UNIX_MS + 3_600_001);
        });
    }

    #[test]
    fn many_runs_in_a_row_leave_room_and_do_not_run_away_from_the_clock() {
        for (n, draws, takes_ms) in [(20_000, 100_000, 60), (60, 60_000, 20)] {
            let (time, clock) = held_clock(1000);
            let generator = SeqGenerator::new(clock, 3, Seq::ZERO);
            for _ in 0..1000 {
                let first = generator.reserve(n);
                assert!(generator.draw(draws) < first);
                time.fetch_add(takes_ms, Ordering::SeqCst);
                generator.release();
            }
            let ahead_ms = generator.draw(1).unix_ms() - time.load(Ordering::SeqCst);
            assert!(ahead_ms < 1100, "{ahead_ms}");
        }
    }

    #[test]
    fn what_is_released_early_is_not_drawn_again() {
        let (_, clock) = held_clock(1000);
        let generator = SeqGenerator::new(clock, 3, Seq::ZERO);
        let first = generator.reserve(10);
        generator.release();
        assert_eq!(generator.draw(1), first.advance(10));
    }

    #[test]
    fn starts_after_the_last_commit_even_when_that_is_in_the_future() {
        let (_, clock) = held_clock(5);
        let ahead = Seq::first_at(EPOCH_UNIX_MS + 1_000_000);
        assert_eq!(SeqGenerator::new(clock, 0, ahead).draw(1), ahead.advance(1));
    }
}
