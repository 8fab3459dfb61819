//! Reading the past: what stays, what goes, and that it is told exactly from where on nothing is missing.

use super::*;
use crate::cold::ColdOptions;
use crate::cold::META_MOMENT;
use crate::hot::HotSnapshot;
use crate::notify;
use crate::snapshot::History;
use crate::testing::{assert_sound, check_closed};

type Rows = BTreeMap<(String, Seq), Row>;

fn windowed(id: u32, keyed: bool, history_window_ms: i64) -> TableDef {
    let mut def = notes(id, "t", keyed);
    def.options.history_window_ms = history_window_ms;
    def.options.resume_window_ms = 100;
    def
}

fn start() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000))
}

fn history(store: &Store, table: &TableDef) -> History {
    store.snapshot().history(table.id).unwrap().unwrap()
}

/// One change of each kind, every time.
async fn step(dir: &Path, store: &Store, table: &Arc<TableDef>, n: i64) {
    let alice = user("alice");
    let mut transaction = Transaction::new();
    transaction.reads_since(store.visible());
    if n > 1 {
        let old = version(dir, store, table, n - 1);
        transaction.update(table, &alice, &old, &row(n - 1, "updated"));
        let old = version(dir, store, table, n - 2);
        transaction.delete(table, &alice, &old);
    }
    transaction.insert(table, &alice, &row(n, "new"));
    store.commit(transaction).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_stays_readable_inside_the_window_and_no_further() {
    for keyed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let time = start();
        let mut store = open_at(dir.path(), &time);
        let table = put_table(&store, windowed(1, keyed, 1000)).await;
        let created = history(&store, &table);
        assert_eq!(created.created, created.complete_from);
        let mut past: Vec<(Seq, Rows)> = Vec::new();
        for n in 0..40 {
            step(dir.path(), &store, &table, n).await;
            let now = scan(dir.path(), &store.snapshot(), &table, None);
            past.push((store.visible(), now));
            time.fetch_add(100, Ordering::SeqCst);
            match n % 5 {
                1 | 3 => drop(store.flush(table.id).await.unwrap()),
                4 => drop(store.compact(table.id).await.unwrap()),
                _ => drop(store.trim().await.unwrap()),
            }
            if n == 20 {
                store.close().await;
                drop(store);
                store = open_at(dir.path(), &time);
            }
            let snapshot = store.snapshot();
            let known = snapshot.history(table.id).unwrap().unwrap();
            let begin = Seq::first_at(time.load(Ordering::SeqCst) - 1000);
            assert!(known.complete_from <= begin.max(created.created));
            assert_eq!(known.created, created.created);
            for (seq, then) in past.iter().filter(|(seq, _)| *seq >= known.complete_from) {
                let past = snapshot.as_of(*seq).unwrap();
                assert_eq!(&scan(dir.path(), &past, &table, None), then, "at {seq}");
            }
        }
        assert!(history(&store, &table).complete_from > created.complete_from);

        // Once the window has passed, a compaction and a trim leave nothing of the past.
        store.flush(table.id).await.unwrap();
        time.fetch_add(5000, Ordering::SeqCst);
        store.compact(table.id).await.unwrap();
        store.trim().await.unwrap();
        assert_eq!(count(&store, Family::Log, &table), 0);
        assert_eq!(count(&store, Family::Dead, &table), 0, "keyed: {keyed}");
        let (last, rows) = past.last().unwrap();
        assert_eq!(history(&store, &table).complete_from, *last);
        assert_eq!(&scan(dir.path(), &store.snapshot(), &table, None), rows);
        let files = store.snapshot().cold_files(&table, &PartitionSet::All);
        assert_eq!(files.unwrap().iter().map(|file| file.rows).sum::<u64>(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_window_the_dead_go_at_once_and_a_longer_one_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let table = put_table(&store, windowed(1, true, 0)).await;
    let mut seqs = Vec::new();
    for n in 0..4 {
        step(dir.path(), &store, &table, n).await;
        seqs.push(store.visible());
    }
    time.fetch_add(1, Ordering::SeqCst);
    let before = store.snapshot();
    store.flush(table.id).await.unwrap();
    assert_eq!(history(&store, &table).complete_from, seqs[3]);
    assert_eq!(count(&store, Family::Dead, &table), 0);
    // A transaction is read as a whole or not at all.
    let inside = store.snapshot().as_of(seqs[3].previous()).unwrap();
    assert_eq!(inside.seq(), store.snapshot().as_of(seqs[2]).unwrap().seq());
    // A snapshot from before reads what it saw, its own past included.
    let known = before.history(table.id).unwrap().unwrap();
    assert_eq!(known.complete_from, known.created);
    assert_eq!(
        scan(dir.path(), &before.as_of(seqs[1]).unwrap(), &table, None).len(),
        2
    );

    let table = put_table(&store, windowed(1, true, 1_000_000)).await;
    assert_eq!(history(&store, &table).complete_from, seqs[3]);
    step(dir.path(), &store, &table, 4).await;
    time.fetch_add(1000, Ordering::SeqCst);
    step(dir.path(), &store, &table, 5).await;
    store.flush(table.id).await.unwrap();
    store.compact(table.id).await.unwrap();
    assert_eq!(history(&store, &table).complete_from, seqs[3]);
    let then = scan(
        dir.path(),
        &store.snapshot().as_of(seqs[3]).unwrap(),
        &table,
        None,
    );
    assert_eq!(then.len(), 2);

    // TRUNCATE begins anew.
    let truncated = put_table(&store, windowed(2, true, 1_000_000)).await;
    let begun = history(&store, &truncated);
    assert_eq!(
        (begun.created, begun.complete_from),
        (store.visible(), store.visible())
    );
    assert_eq!(store.snapshot().history(table.id).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_half_dead_inside_the_window_is_not_written_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let table = put_table(&store, windowed(1, true, 1000)).await;
    for n in 0..6 {
        step(dir.path(), &store, &table, n).await;
    }
    store.flush(table.id).await.unwrap();
    let none = store.compact(table.id).await.unwrap();
    assert_eq!((none.files_merged, none.dropped), (0, 0));
    time.fetch_add(2000, Ordering::SeqCst);
    let some = store.compact(table.id).await.unwrap();
    assert_eq!((some.files_merged, some.dropped, some.rows), (1, 8, 2));
}

/// How many moments are noted.
pub(super) fn noted(store: &Store) -> usize {
    let hot = HotSnapshot::take(&store.shared().hot);
    let mut notes = hot.iterate(Family::Meta, &[META_MOMENT], vec![META_MOMENT + 1]);
    let mut count = 0;
    while notes.valid() {
        count += 1;
        notes.next();
    }
    count
}

async fn insert(store: &Store, table: &Arc<TableDef>, id: i64) {
    let mut transaction = Transaction::new();
    transaction.insert(table, &user("alice"), &row(id, "new"));
    store.commit(transaction).await.unwrap();
}

/// What was committed by a time is found though Seqs are ahead of the clock: it went back, or a transaction took more of
/// them than its millisecond has.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_means_what_was_committed_by_then_whatever_the_clock_did() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let mut store = open_at(dir.path(), &time);
    let table = put_table(&store, windowed(1, false, 1000)).await;
    let alice = user("alice");
    let mut past: Vec<(i64, Seq)> = Vec::new();
    let jumps = [1, 1, 5_000, 1, -4_000, 1, 1, 1_000, -3_000, 7, 1, 1, 50_000];
    for (n, jump) in jumps.into_iter().enumerate() {
        let now = time.fetch_add(jump, Ordering::SeqCst) + jump;
        // What was told of times that come again is told no more.
        past.retain(|(ms, _)| *ms < now);
        let mut transaction = Transaction::new();
        for id in 0..if n == 6 { 10_000 } else { 2 } {
            transaction.insert(&table, &alice, &row(id, "new"));
        }
        store.commit(transaction).await.unwrap();
        if n % 4 == 3 {
            store.close().await;
            drop(store);
            store = open_at(dir.path(), &time);
        }
        past.push((now, store.visible()));
        let snapshot = store.snapshot();
        assert_eq!(snapshot.seq_at(now).unwrap(), store.visible(), "step {n}");
        for pair in past.windows(2) {
            let before = snapshot.seq_at(pair[1].0 - 1).unwrap();
            assert!(pair[0].1 <= before && before < pair[1].1, "step {n}");
        }
        for (ms, seq) in &past {
            // Seqs that were not drawn may be meant, too.
            let found = snapshot.as_of(snapshot.seq_at(*ms).unwrap()).unwrap();
            assert_eq!(
                scan(dir.path(), &found, &table, None),
                scan(dir.path(), &snapshot.as_of(*seq).unwrap(), &table, None),
                "step {n} at {ms}"
            );
        }
    }
    assert!(noted(&store) > 3);
    store.flush(table.id).await.unwrap();
    // Notes stay as long as the longest window of anything, which is that of notifications.
    time.fetch_add(notify::NOTIFICATION_WINDOW_MS + 100_000, Ordering::SeqCst);
    for id in 0..3 {
        insert(&store, &table, id).await;
    }
    store.trim().await.unwrap();
    assert_eq!(noted(&store), 1, "the newest stays");
    store.close().await;
    drop(store);
    assert_sound(
        &check_closed(dir.path(), ColdOptions::default())
            .await
            .unwrap(),
    );
}

/// Seqs do not wear out by a clock that once showed a time near their end.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_in_the_far_future_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let table = put_table(&store, windowed(1, true, 1000)).await;
    let now = time.load(Ordering::SeqCst);
    for year_ms in [3_786_912_000_000, 4_083_955_200_000, i64::MAX / 2000] {
        time.store(year_ms, Ordering::SeqCst);
        insert(&store, &table, year_ms).await;
        assert_eq!(store.visible().unix_ms(), now);
    }
}
