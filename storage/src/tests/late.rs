//! Seqs that are behind the clock, because a large commit takes long: nobody waits for it, and what was committed when is told
//! as exactly as ever.

use super::history::noted;
use super::large::{Held, begin, copy_of, hold, open_held_at};
use super::model::Random;
use super::*;
use crate::failpoint::{Action, Step};
use crate::seq::Clock;
use crate::testing::{assert_sound, check_closed};

/// How long the windows of `table` are.
const WINDOW_MS: i64 = 10_000;

/// A clock that is set by hand.
struct Time(Arc<AtomicI64>);

impl Time {
    fn start() -> Time {
        Time(Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 100_000_000)))
    }

    fn clock(&self) -> Clock {
        let now = self.0.clone();
        Arc::new(move || now.load(Ordering::SeqCst))
    }

    fn pass(&self, ms: i64) -> i64 {
        self.0.fetch_add(ms, Ordering::SeqCst) + ms
    }

    fn now(&self) -> i64 {
        self.pass(0)
    }
}

async fn table(store: &Store) -> Arc<TableDef> {
    let mut def = notes(store.catalog().next_table_id, "t", true);
    def.options.history_window_ms = WINDOW_MS;
    def.options.resume_window_ms = WINDOW_MS;
    put_table(store, def).await
}

/// A table whose rows live for a second.
async fn stream(store: &Store) -> Arc<TableDef> {
    let mut def = notes(store.catalog().next_table_id, "s", true);
    def.kind = TableKind::Stream;
    def.options.ttl_ms = Some(1000);
    put_table(store, def).await
}

fn insert(table: &Arc<TableDef>, id: i64) -> Transaction {
    let mut transaction = Transaction::new();
    let partition = match table.kind {
        TableKind::User => user("alice"),
        _ => Partition::shared(),
    };
    transaction.insert(table, &partition, &row(id, "small"));
    transaction
}

/// Commits, and does not wait for anybody.
async fn at_once(store: &Store, transaction: Transaction) -> Result<Seq, CommitError> {
    let commit = store.commit(transaction);
    let answer = tokio::time::timeout(Duration::from_secs(30), commit).await;
    answer.expect("nobody waits for a large transaction")
}

/// A large commit whose pieces are written.
struct Large(tokio::task::JoinHandle<Result<Seq, CommitError>>);

impl Large {
    async fn begin(store: &Arc<Store>, failpoints: &Held, table: &Arc<TableDef>, id: i64) -> Large {
        let mut transaction = Transaction::new();
        for id in id..id + 20 {
            transaction.insert(table, &user("alice"), &row(id, &"x".repeat(400)));
        }
        failpoints.set(Step::LargeWritten, Action::Stop, 1);
        let large = Large(begin(store, transaction));
        hold(failpoints).await;
        large
    }

    async fn end(self, failpoints: &Held) -> Seq {
        failpoints.clear();
        self.0.await.unwrap().unwrap()
    }
}

/// When what was committed: times and newest Seqs.
#[derive(Clone, Default)]
struct Past(Vec<(i64, Seq)>);

impl Past {
    fn add(&mut self, ms: i64, seq: Seq) {
        // What was told of times that come again is told no more.
        self.0.retain(|(before, _)| *before < ms);
        self.0.push((ms, seq));
    }

    /// The newest Seq at a time; `None` before all.
    fn newest(&self, ms: i64) -> Option<Seq> {
        let before = self.0.partition_point(|(at, _)| *at <= ms);
        before.checked_sub(1).map(|last| self.0[last].1)
    }

    /// Each time means what was committed by then, from a time on; what lies before may be gone.
    fn check(&self, store: &Store, table: &TableDef, known_ms: i64) {
        let snapshot = store.snapshot();
        let complete_from = snapshot.history(table.id).unwrap().unwrap().complete_from;
        let mut times = Vec::new();
        for (n, (ms, _)) in self.0.iter().enumerate() {
            let end = self.0.get(n + 1).map_or(ms + 5000, |(next, _)| *next);
            times.extend([*ms, ms + (end - ms) / 2, end - 1]);
        }
        for ms in times {
            let found = snapshot.seq_at(ms).unwrap();
            let Some(newest) = self.newest(ms) else {
                continue;
            };
            if found < complete_from {
                assert!(ms < known_ms, "{ms} is gone");
                continue;
            }
            // Seqs that were not drawn may be meant, too.
            let all = self.0.iter().map(|(_, seq)| *seq);
            let means = all.filter(|seq| *seq <= found).max();
            assert_eq!(means, Some(newest), "at {ms}: {found}");
            if let Some((at, seq)) = self.0.iter().find(|(_, seq)| *seq == newest) {
                assert_eq!(snapshot.time_of(*seq).unwrap(), *at);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_a_large_transaction_however_long_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::start();
    let (store, failpoints) = open_held_at(dir.path(), time.clock());
    let t = table(&store).await;
    let mut past = Past::default();
    for id in 0..2 {
        let now = time.pass(1000);
        past.add(now, at_once(&store, insert(&t, id)).await.unwrap());
    }
    time.pass(700);
    let large = Large::begin(&store, &failpoints, &t, 1000).await;
    past.check(&store, &t, 0);
    let begun = time.now();
    for (id, ms) in (10..).zip([0, 1, 0, 700, 500, 5_000, 1, 3_600_000, 1]) {
        let now = time.pass(ms);
        let seq = at_once(&store, insert(&t, id)).await.unwrap();
        assert_eq!(store.visible(), seq);
        past.add(now, seq);
        past.check(&store, &t, 0);
    }
    assert!(store.visible().unix_ms() <= begun + 1);
    let crashed = copy_of(&store);
    let before = past.clone();
    let now = time.pass(3000);
    past.add(now, large.end(&failpoints).await);
    past.check(&store, &t, 0);
    // Seqs follow the clock again.
    for (id, ms) in (20..).zip([0, 1, 5_000]) {
        let now = time.pass(ms);
        past.add(now, at_once(&store, insert(&t, id)).await.unwrap());
        past.check(&store, &t, 0);
    }
    assert_eq!(store.visible().unix_ms(), time.now());
    assert_sound(&store.check().await.unwrap());
    store.close().await;
    drop(store);

    for (dir, mut past) in [(dir.path(), past), (crashed.path(), before)] {
        assert_sound(&check_closed(dir, Default::default()).await.unwrap());
        let (store, _failpoints) = open_held_at(dir, time.clock());
        past.check(&store, &t, 0);
        for (id, ms) in (30..).zip([0, 1, 5_000]) {
            let now = time.pass(ms);
            past.add(now, at_once(&store, insert(&t, id)).await.unwrap());
            past.check(&store, &t, 0);
        }
        assert_eq!(store.visible().unix_ms(), time.now());
        assert_sound(&store.check().await.unwrap());
        store.close().await;
    }
}

/// Rows of STREAM tables live as long as they are to, whether their Seqs are late or early.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_live_by_the_clock_while_seqs_do_not_follow_it() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::start();
    let (store, failpoints) = open_held_at(dir.path(), time.clock());
    let (t, s) = (table(&store).await, stream(&store).await);
    let shown = || -> Vec<i64> {
        let rows = scan(dir.path(), &store.snapshot(), &s, None);
        let mut ids: Vec<i64> = (rows.values().map(|row| row[0].clone()))
            .map(|id| if let Datum::Int8(id) = id { id } else { 0 })
            .collect();
        ids.sort();
        for id in 0..20 {
            let key = [Datum::Int8(id)];
            let found = (store.snapshot()).lookup(&s, &Partition::shared(), &key, None);
            let is_there = !matches!(found.unwrap(), Lookup::Absent);
            assert_eq!(is_there, ids.contains(&id), "{id}");
        }
        ids
    };
    let scope = FeedScope {
        table: s.id,
        partitions: PartitionSet::All,
    };
    time.pass(100_000);
    for is_late in [true, false] {
        let start = store.visible();
        let large = Large::begin(&store, &failpoints, &t, if is_late { 1000 } else { 2000 }).await;
        let large = if is_late {
            time.pass(60_000);
            Some(large)
        } else {
            // It was fast: Seqs are ahead of the clock.
            large.end(&failpoints).await;
            assert!(store.visible().unix_ms() > time.now() + 900);
            None
        };
        at_once(&store, insert(&s, 1)).await.unwrap();
        let is_taken = |answer| matches!(answer, Err(CommitError::UniqueViolation { .. }));
        assert!(is_taken(at_once(&store, insert(&s, 1)).await));
        time.pass(600);
        at_once(&store, insert(&s, 2)).await.unwrap();
        assert_eq!(shown(), [1, 2]);
        let changes = store.read_changes(&scope, start, 100).unwrap().changes;
        assert_eq!(changes.len(), 2);
        time.pass(400);
        assert_eq!(shown(), [1, 2]);
        time.pass(1);
        assert_eq!(shown(), [2], "late: {is_late}");
        let told = store.read_changes(&scope, start, 100);
        assert!(matches!(told, Err(StorageError::Trimmed { .. })));
        // Two in one group: the first one is not taken for an expired one.
        let (one, other) = tokio::join!(
            at_once(&store, insert(&s, 1)),
            at_once(&store, insert(&s, 1))
        );
        assert!(one.is_ok() != other.is_ok(), "{one:?} and {other:?}");
        assert!(is_taken(at_once(&store, insert(&s, 2)).await));
        assert_eq!(shown(), [1, 2]);
        if let Some(large) = large {
            large.end(&failpoints).await;
        }
        assert_eq!(shown(), [1, 2]);
        assert_eq!(store.expire().await.unwrap(), 1);
        time.pass(600);
        assert_eq!(shown(), [1]);
        time.pass(401);
        assert_eq!(shown(), [0; 0]);
        assert_eq!(store.expire().await.unwrap(), 2);
        assert_sound(&store.check().await.unwrap());
        time.pass(10_000);
    }
    store.close().await;
}

/// Windows count from when something was committed, whatever its Seq is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_leaves_its_window_early_because_its_seq_is_late() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::start();
    let (store, failpoints) = open_held_at(dir.path(), time.clock());
    let t = table(&store).await;
    at_once(&store, insert(&t, 1)).await.unwrap();
    let begun = store.visible();
    let large = Large::begin(&store, &failpoints, &t, 1000).await;
    time.pass(60_000);
    let rows = scan(dir.path(), &store.snapshot(), &t, None);
    let ((_, seq), row_1) = rows.first_key_value().unwrap();
    let old = RowVersion {
        seq: *seq,
        row: row_1.clone(),
    };
    let mut update = Transaction::new();
    update.update(&t, &user("alice"), &old, &row(1, "updated"));
    at_once(&store, update).await.unwrap();
    large.end(&failpoints).await;
    let upkeep = async || {
        store.flush(t.id).await.unwrap();
        store.compact(t.id).await.unwrap();
        store.trim().await.unwrap();
        let snapshot = store.snapshot();
        let history = snapshot.history(t.id).unwrap().unwrap();
        let scope = FeedScope {
            table: t.id,
            partitions: PartitionSet::All,
        };
        let changes = store.read_changes(&scope, begun, 100);
        (history.complete_from <= begun, changes.is_ok())
    };
    time.pass(WINDOW_MS);
    assert_eq!(upkeep().await, (true, true));
    let then = store.snapshot().as_of(begun).unwrap();
    assert_eq!(scan(dir.path(), &then, &t, None), rows);
    time.pass(1);
    assert_eq!(upkeep().await, (false, false));
    assert_sound(&store.check().await.unwrap());
    store.close().await;
}

/// A random history: the clock goes on, jumps and goes back; large commits take long, or not; the store is closed, or crashes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_time_means_what_was_committed_by_then() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    });
    println!("SEED={seed}");
    let mut random = Random(seed);
    let mut dir = tempfile::tempdir().unwrap();
    let time = Time::start();
    let (mut store, mut failpoints) = open_held_at(dir.path(), time.clock());
    let t = table(&store).await;
    let mut past = Past::default();
    let mut large: Option<Large> = None;
    // Before this time the past may be gone.
    let mut known_ms = 0;
    let (mut late, mut most) = (0, 0);
    for id in 0..400 {
        match random.below(24) {
            0..=11 => {}
            12..=15 => drop(time.pass(random.below(3) as i64)),
            16..=17 => drop(time.pass(random.below(3000) as i64)),
            18 => drop(time.pass(random.below(100_000) as i64)),
            19 => drop(time.pass(-(random.below(4000) as i64))),
            20..=21 => match large.take() {
                None => {
                    large = Some(Large::begin(&store, &failpoints, &t, 100 * (id + 1000)).await);
                }
                Some(under_way) => {
                    past.add(time.now(), under_way.end(&failpoints).await);
                    past.check(&store, &t, known_ms);
                }
            },
            22 if large.is_none() => {
                store.flush(t.id).await.unwrap();
                store.trim().await.unwrap();
                most = most.max(noted(&store));
                known_ms = known_ms.max(time.now() - WINDOW_MS);
            }
            23 => {
                // A crash, or an orderly end.
                let copy = copy_of(&store);
                failpoints.clear();
                let is_crash = large.is_some();
                if let Some(under_way) = large.take() {
                    under_way.0.await.unwrap().unwrap();
                }
                assert_sound(&store.check().await.unwrap());
                store.close().await;
                drop(store);
                if is_crash {
                    let cold = dir.path().join("cold");
                    if cold.exists() {
                        std::fs::rename(cold, copy.path().join("cold")).unwrap();
                    }
                    dir = copy;
                }
                (store, failpoints) = open_held_at(dir.path(), time.clock());
                past.check(&store, &t, known_ms);
            }
            _ => {}
        }
        let seq = at_once(&store, insert(&t, id)).await.unwrap();
        late += usize::from(seq.unix_ms() < time.now());
        past.add(time.now(), seq);
        past.check(&store, &t, known_ms);
    }
    assert!(late > 0, "no commit was late");
    println!("{late} late commits, {most} notes after a trim");
    if let Some(under_way) = large.take() {
        under_way.end(&failpoints).await;
    }
    assert_sound(&store.check().await.unwrap());
    store.close().await;
}
