//! Trimming the log: what leaves it, what stays, and who is told.

use super::*;
use crate::trim::TrimReport;

fn scope(table: &TableDef, partitions: PartitionSet) -> FeedScope {
    FeedScope {
        table: table.id,
        partitions,
    }
}

fn windowed(id: u32, name: &str, keyed: bool) -> TableDef {
    let mut def = notes(id, name, keyed);
    def.options.resume_window_ms = 1000;
    def
}

fn start() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000))
}

async fn update(
    store: &Store,
    table: &Arc<TableDef>,
    partition: &Partition,
    old: &RowVersion,
    new: &Row,
) -> Result<Seq, CommitError> {
    let mut transaction = Transaction::new();
    transaction.reads_since(old.seq);
    transaction.update(table, partition, old, new);
    store.commit(transaction).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_log_reads_and_changes_as_before() {
    for keyed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let time = start();
        let mut store = open_at(dir.path(), &time);
        let table = put_table(&store, windowed(1, "t", keyed)).await;
        let alice = user("alice");
        for id in 0..4 {
            insert(&store, &table, &alice, id, "old").await;
        }
        let stale = version(dir.path(), &store, &table, 0);
        update(&store, &table, &alice, &stale, &row(0, "new"))
            .await
            .unwrap();
        store.flush(table.id).await.unwrap();
        time.fetch_add(1000, Ordering::SeqCst);
        assert_eq!(store.trim().await.unwrap(), TrimReport::default());
        assert_eq!(feed(&store, &table, PartitionSet::All, 10).len(), 5);

        time.fetch_add(1, Ordering::SeqCst);
        let before = store.snapshot();
        assert_eq!(store.trim().await.unwrap().partitions, 1);
        assert_eq!(store.trim().await.unwrap(), TrimReport::default());
        assert_eq!(count(&store, Family::Log, &table), 0);
        assert_eq!(
            changes_of(&before, &table),
            5,
            "a snapshot keeps the log it saw"
        );
        drop(before);
        for _ in 0..2 {
            assert_eq!(
                notes_of(dir.path(), &store, &table),
                ["old", "old", "old", "new"]
            );
            let told = store.read_changes(&scope(&table, PartitionSet::All), Seq::ZERO, 10);
            assert!(
                matches!(told, Err(StorageError::Trimmed { .. })),
                "{told:?}"
            );
            let late = update(&store, &table, &alice, &stale, &row(9, "late")).await;
            assert!(matches!(late, Err(CommitError::Conflict)), "{late:?}");
            if keyed {
                let cold = version(dir.path(), &store, &table, 1);
                let lookup = store
                    .snapshot()
                    .lookup(&table, &alice, &[Datum::Int8(1)], None);
                assert_eq!(lookup.unwrap(), Lookup::Cold(cold.seq));
                let mut twice = Transaction::new();
                twice.insert(&table, &alice, &row(1, "twice"));
                let refused = store.commit(twice).await;
                assert!(matches!(refused, Err(CommitError::UniqueViolation { .. })));
            }
            store.close().await;
            drop(store);
            store = open_at(dir.path(), &time);
        }

        // The feed goes on with whole changes of rows that are cold only.
        let from = store.visible();
        let (one, two) = (
            version(dir.path(), &store, &table, 1),
            version(dir.path(), &store, &table, 2),
        );
        // Who found the row in a snapshot from before the log's beginning cannot know that it is live still,
        // unless a key tells.
        let old = update(&store, &table, &alice, &one, &row(1, "changed")).await;
        if !keyed {
            assert!(matches!(old, Err(CommitError::Conflict)), "{old:?}");
            let mut transaction = Transaction::new();
            transaction.reads_since(from);
            transaction.update(&table, &alice, &one, &row(1, "changed"));
            store.commit(transaction).await.unwrap();
        }
        let mut transaction = Transaction::new();
        transaction.reads_since(from);
        transaction.delete(&table, &alice, &two);
        transaction.insert(&table, &alice, &row(2, "again"));
        store.commit(transaction).await.unwrap();
        let batch = store.read_changes(&scope(&table, PartitionSet::All), from, 10);
        let changes = batch.unwrap().changes;
        assert_eq!(
            (changes[0].old.clone(), changes[0].row.clone()),
            (Some(row(1, "old")), row(1, "changed"))
        );
        assert_eq!(
            (changes[1].op, changes[1].row.clone()),
            (ChangeOp::Delete, row(2, "old"))
        );
        for stale in [&one, &two] {
            let late = update(&store, &table, &alice, stale, &row(9, "late")).await;
            assert!(matches!(late, Err(CommitError::Conflict)), "{late:?}");
        }
        assert_eq!(
            notes_of(dir.path(), &store, &table),
            ["old", "new", "changed", "again"]
        );
    }
}

fn changes_of(snapshot: &Snapshot, table: &TableDef) -> usize {
    let scope = scope(table, PartitionSet::One(user("alice")));
    crate::changes::read(snapshot, &scope, Seq::ZERO, 100)
        .unwrap()
        .changes
        .len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_before_is_told_though_it_left_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let table = put_table(&store, windowed(1, "t", true)).await;
    let alice = user("alice");
    let oldest = insert(&store, &table, &alice, 1, "first").await;
    time.fetch_add(900, Ordering::SeqCst);
    let old = version(dir.path(), &store, &table, 1);
    update(&store, &table, &alice, &old, &row(1, "second"))
        .await
        .unwrap();
    store.flush(table.id).await.unwrap();
    time.fetch_add(900, Ordering::SeqCst);
    store.trim().await.unwrap();
    assert_eq!(count(&store, Family::Log, &table), 1);
    for partitions in [PartitionSet::All, PartitionSet::One(alice)] {
        let scope = scope(&table, partitions);
        let Err(StorageError::Trimmed { oldest: from }) =
            store.read_changes(&scope, oldest.previous(), 10)
        else {
            panic!("the insert is gone")
        };
        assert!(from >= oldest);
        let changes = store.read_changes(&scope, from, 10).unwrap().changes;
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].old, Some(row(1, "first")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_not_flushed_keep_their_log() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let mut def = windowed(1, "t", true);
    def.options.flush_rows = 3;
    let table = put_table(&store, def).await;
    let (small, big) = (user("small"), user("big"));
    for id in 0..5 {
        insert(&store, &table, &big, id, "x").await;
    }
    let last = insert(&store, &table, &small, 1, "x").await;
    store.flusher.run_policy().await.unwrap();
    time.fetch_add(5000, Ordering::SeqCst);
    let report = store.trim().await.unwrap();
    assert_eq!(report.partitions, 1);
    assert_eq!(count(&store, Family::Log, &table), 1);
    let small = PartitionSet::One(small);
    assert_eq!(feed(&store, &table, small, 10).len(), 1);
    let big = scope(&table, PartitionSet::One(big));
    assert!(store.read_changes(&big, Seq::ZERO, 10).is_err());
    // The order over all partitions went with the transactions' entries.
    let all = scope(&table, PartitionSet::All);
    let told = store.read_changes(&all, Seq::ZERO, 10);
    assert!(matches!(told, Err(StorageError::Trimmed { oldest }) if oldest < last));
    // The entry of the newest transaction stays: after it the store finds its last Seq.
    store.close().await;
    drop(store);
    let store = open_at(dir.path(), &time);
    assert_eq!(store.visible(), last);
    assert_eq!(
        store
            .read_changes(&all, last.previous(), 10)
            .unwrap()
            .changes
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_reader_is_not_told_of_what_others_lost() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let quiet = put_table(&store, windowed(1, "quiet", true)).await;
    let busy = put_table(&store, windowed(2, "busy", true)).await;
    let alice = user("alice");
    insert(&store, &quiet, &alice, 1, "x").await;
    let after = insert(&store, &quiet, &alice, 2, "x").await;
    for id in 0..10 {
        insert(&store, &busy, &alice, id, "x").await;
        time.fetch_add(500, Ordering::SeqCst);
    }
    for table in [&quiet, &busy] {
        store.flush(table.id).await.unwrap();
    }
    let report = store.trim().await.unwrap();
    assert_eq!(report.partitions, 2);
    assert!(report.transactions >= 8);
    insert(&store, &quiet, &alice, 3, "next").await;
    for partitions in [PartitionSet::All, PartitionSet::One(alice)] {
        let scope = scope(&quiet, partitions);
        let changes = store.read_changes(&scope, after, 10).unwrap().changes;
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].row, row(3, "next"));
        let told = store.read_changes(&scope, after.previous(), 10);
        assert!(matches!(told, Err(StorageError::Trimmed { oldest }) if oldest == after));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_begins_untrimmed_and_streams_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let table = put_table(&store, windowed(1, "t", true)).await;
    let mut stream = windowed(2, "s", true);
    stream.kind = TableKind::Stream;
    stream.options.ttl_ms = Some(1_000_000);
    let stream = put_table(&store, stream).await;
    insert(&store, &table, &user("a"), 1, "x").await;
    insert(&store, &stream, &Partition::shared(), 1, "x").await;
    store.flush(table.id).await.unwrap();
    time.fetch_add(5000, Ordering::SeqCst);
    store.trim().await.unwrap();
    assert_eq!(feed(&store, &stream, PartitionSet::All, 10).len(), 1);
    let mark = crate::cold::trimmed_key(table.id);
    let marked = |store: &Store| {
        let snapshot = store.snapshot();
        snapshot
            .view
            .hot
            .get(Family::Meta, &mark)
            .unwrap()
            .is_some()
    };
    assert!(marked(&store));
    // TRUNCATE: new data under the old name.
    let truncated = put_table(&store, windowed(3, "t", true)).await;
    assert!(!marked(&store), "the mark goes with the table");
    insert(&store, &truncated, &user("a"), 1, "y").await;
    assert_eq!(feed(&store, &truncated, PartitionSet::All, 10).len(), 1);
}

#[test]
fn tables_from_before_the_option_keep_a_day() {
    let mut def = serde_json::to_value(notes(1, "t", true)).unwrap();
    let options = def["options"].as_object_mut().unwrap();
    assert!(options.remove("resume_window_ms").is_some());
    let def: TableDef = serde_json::from_value(def).unwrap();
    assert_eq!(def.options.resume_window_ms, 24 * 3_600_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_too_large_is_trimmed_before_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let time = start();
    let store = open_at(dir.path(), &time);
    let mut def = notes(1, "t", true);
    def.options.resume_bytes = Some(10_000);
    let table = put_table(&store, def).await;
    let note = "x".repeat(500);
    let users = [user("a"), user("b"), user("quiet")];
    let mut seqs = Vec::new();
    for id in 0..100 {
        let partition = &users[(id % 2) as usize];
        seqs.push(insert(&store, &table, partition, id, &note).await);
        time.fetch_add(1000, Ordering::SeqCst);
    }
    insert(&store, &table, &users[2], 1, &note).await;
    let kept = |store: &Store| -> u64 {
        let states = store
            .snapshot()
            .states(table.id, &PartitionSet::All)
            .unwrap();
        states.iter().map(|(_, state)| state.log_bytes).sum()
    };
    assert!(kept(&store) > 50_000);
    // What is not flushed stays, however much it is.
    assert_eq!(store.trim().await.unwrap(), TrimReport::default());
    store.flush(table.id).await.unwrap();
    assert_eq!(store.trim().await.unwrap().partitions, 2);
    let left = kept(&store);
    assert!((8_000..=10_000).contains(&left), "{left}");
    assert_eq!(store.trim().await.unwrap(), TrimReport::default());
    assert_eq!(notes_of(dir.path(), &store, &table).len(), 101);
    for partitions in [PartitionSet::All, PartitionSet::One(users[0].clone())] {
        let scope = scope(&table, partitions);
        let told = store.read_changes(&scope, Seq::ZERO, 10);
        let Err(StorageError::Trimmed { oldest }) = told else {
            panic!("{told:?}")
        };
        let rest = store.read_changes(&scope, oldest, 1000).unwrap();
        let first = rest.changes[0].seq;
        let mut before = seqs.iter().filter(|seq| **seq < first);
        assert!(
            before
                .next_back()
                .is_some_and(|last| *last <= oldest || scope.partitions != PartitionSet::All)
        );
    }
    // The log's bytes are counted over a restart.
    store.close().await;
    drop(store);
    let store = open_at(dir.path(), &time);
    assert_eq!(kept(&store), left);
    insert(&store, &table, &users[0], 1000, &note).await;
    assert!(kept(&store) > left);
}
