//! Tests of the whole store.

mod backup;
mod check;
mod cluster;
mod compact;
mod computed;
mod erase;
mod faulty;
mod history;
mod large;
mod late;
mod model;
mod objects;
mod reads;
mod trim;
mod wrong_bytes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::catalog::{CatalogChange, ColumnDef, TableDef, TableKind};
use crate::changes::{Change, ChangeOp, FeedScope};
use crate::cold::claim::MARKER;
use crate::datum::{Datum, DatumRef, Row, datum_at};
use crate::error::{CommitError, StorageError};
use crate::hot::Family;
use crate::seq::{EPOCH_UNIX_MS, Seq};
use crate::snapshot::{HotScan, Lookup, PartitionSet, ScanColumn, Snapshot};
use crate::store::Store;
use crate::testing::{notes, open, open_with, put_table};
use crate::transaction::{Partition, RowVersion, Transaction};
use crate::widen;

fn row(id: i64, note: &str) -> Row {
    vec![Datum::Int8(id), Datum::Text(note.to_string())]
}

fn user(name: &str) -> Partition {
    Partition::user(name)
}

fn whole_scan(table: &Arc<TableDef>, partitions: PartitionSet) -> HotScan {
    let mut columns = vec![ScanColumn::Seq, ScanColumn::User];
    columns.extend(
        table
            .columns
            .iter()
            .map(|column| ScanColumn::Column(column.id)),
    );
    HotScan {
        table: table.clone(),
        partitions,
        columns,
        seqs: Seq::ZERO..=Seq::MAX,
        batch_rows: 7,
        limit: None,
        newest_first: false,
    }
}

/// Every live row by partition and Seq, from the hot tier and the cold files.
fn scan(
    dir: &Path,
    snapshot: &Snapshot,
    table: &Arc<TableDef>,
    transaction: Option<&Transaction>,
) -> BTreeMap<(String, Seq), Row> {
    let mut rows = BTreeMap::new();
    let mut take =
        |batch: &RecordBatch, at: usize, partition: Option<&str>, skip: usize, seq: usize| {
            let seq = match datum_at(batch.column(seq), at).unwrap() {
                DatumRef::Int8(seq) => Seq::from_i64(seq).unwrap(),
                other => panic!("{other:?}"),
            };
            let partition = partition.map(str::to_string).unwrap_or_else(|| {
                match datum_at(batch.column(1), at).unwrap() {
                    DatumRef::Text(user) => user.to_string(),
                    other => panic!("{other:?}"),
                }
            });
            let value = |(index, column): (usize, &ColumnDef)| {
                let array = match skip {
                    0 => batch.column_by_name(&column.stored_name),
                    skip => Some(batch.column(skip + index)),
                };
                let value = array.map(|array| datum_at(array, at).unwrap());
                let value = value.unwrap_or(column.missing.as_ref());
                widen::owned(value, column.ty)
            };
            let row = table.columns.iter().enumerate().map(value).collect();
            assert_eq!(
                rows.insert((partition, seq), row),
                None,
                "a version was seen twice"
            );
        };
    let hot = whole_scan(table, PartitionSet::All);
    snapshot
        .scan_hot(&hot, transaction, &mut |batch| {
            (0..batch.num_rows()).for_each(|at| take(&batch, at, None, 2, 0));
            ControlFlow::Continue(())
        })
        .unwrap();
    for file in snapshot.cold_files(table, &PartitionSet::All).unwrap() {
        let dead = snapshot.dead_in(table.id, &file).unwrap();
        assert_eq!(
            snapshot.has_dead(table.id, &file).unwrap(),
            !dead.is_empty()
        );
        let bytes = std::fs::File::open(dir.join("cold").join(&file.path)).unwrap();
        let (mut count, mut last) = (0, Seq::ZERO);
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap()
        {
            let batch = batch.unwrap();
            let seq_at = batch.num_columns() - 1;
            for at in 0..batch.num_rows() {
                let Some(DatumRef::Int8(seq)) = datum_at(batch.column(seq_at), at) else {
                    panic!("no _seq")
                };
                let seq = Seq::from_i64(seq).unwrap();
                assert!(seq > last || !file.order.is_empty(), "sorted by Seq");
                last = seq.max(last);
                count += 1;
                let superseded =
                    transaction.is_some_and(|t| t.superseded(table.id, &file.partition, seq));
                if seq <= snapshot.seq() && dead.binary_search(&seq).is_err() && !superseded {
                    take(&batch, at, Some(file.partition.as_str()), 0, seq_at);
                }
            }
        }
        assert_eq!((count, last), (file.rows, file.last_seq));
    }
    rows
}

fn notes_of(dir: &Path, store: &Store, table: &Arc<TableDef>) -> Vec<String> {
    let notes = |row: Row| match &row[1] {
        Datum::Text(note) => note.clone(),
        other => panic!("{other:?}"),
    };
    scan(dir, &store.snapshot(), table, None)
        .into_values()
        .map(notes)
        .collect()
}

fn find(store: &Store, table: &TableDef, partition: &Partition, id: i64) -> Option<RowVersion> {
    match store
        .snapshot()
        .lookup(table, partition, &[Datum::Int8(id)], None)
        .unwrap()
    {
        Lookup::Hot(version) => Some(version),
        Lookup::Absent => None,
        Lookup::Cold(seq) => panic!("the log is not trimmed, yet {seq} is gone"),
    }
}

/// A store whose clock stands still until it is moved.
fn open_at(dir: &Path, time: &Arc<AtomicI64>) -> Arc<Store> {
    let time = time.clone();
    open_with(dir, Arc::new(move || time.load(Ordering::SeqCst)))
}

/// The live version with this id, from whatever tier.
fn version(dir: &Path, store: &Store, table: &Arc<TableDef>, id: i64) -> RowVersion {
    let rows = scan(dir, &store.snapshot(), table, None);
    let mut found = rows
        .into_iter()
        .filter(|(_, row)| row[0] == Datum::Int8(id));
    let ((_, seq), row) = found.next().expect("the row lives");
    RowVersion { seq, row }
}

/// How many keys of the table a family holds.
fn count(store: &Store, family: Family, table: &TableDef) -> usize {
    let (from, to) = crate::key::table_range(table.id);
    let snapshot = store.snapshot();
    let mut keys = snapshot.view.hot.iterate(family, &from, to);
    let mut count = 0;
    while keys.valid() {
        count += 1;
        keys.next();
    }
    count
}

async fn insert(
    store: &Store,
    table: &Arc<TableDef>,
    partition: &Partition,
    id: i64,
    note: &str,
) -> Seq {
    let mut transaction = Transaction::new();
    transaction.insert(table, partition, &row(id, note));
    store.commit(transaction).await.unwrap()
}

/// Every file under the store's cold folder but its marker.
fn on_disk(dir: &Path) -> Vec<String> {
    let files = crate::cold::sweep::local_files(&dir.join("cold")).unwrap();
    let mut found: Vec<String> = (files.into_iter().map(|(path, _)| path))
        .filter(|path| path != MARKER)
        .collect();
    found.sort();
    found
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn feed(store: &Store, table: &TableDef, partitions: PartitionSet, limit: usize) -> Vec<Change> {
    let scope = FeedScope {
        table: table.id,
        partitions,
    };
    let (mut after, mut all) = (Seq::ZERO, Vec::new());
    loop {
        let batch = store.read_changes(&scope, after, limit).unwrap();
        assert!(
            batch
                .changes
                .iter()
                .all(|change| change.seq > after && change.seq <= batch.upto)
        );
        let done = batch.changes.is_empty();
        all.extend(batch.changes);
        after = batch.upto;
        if done {
            assert!(all.is_sorted_by(|a: &Change, b| a.seq < b.seq));
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_stays_deleted_over_flushes() {
    let dir = tempfile::tempdir().unwrap();
    for keyed in [true, false] {
        let store = open(dir.path());
        let id = store.catalog().next_table_id;
        let table = put_table(&store, notes(id, &format!("t{keyed}"), keyed)).await;
        let alice = user("alice");
        for id in 0..4 {
            insert(&store, &table, &alice, id, &format!("n{id}")).await;
        }
        let versions = |store: &Store| -> Vec<RowVersion> {
            let rows = scan(dir.path(), &store.snapshot(), &table, None);
            rows.into_iter()
                .map(|((_, seq), row)| RowVersion { seq, row })
                .collect()
        };
        let stale = versions(&store);
        // Dead before the flush, deleted between flushes, updated between flushes.
        let mut transaction = Transaction::new();
        transaction.delete(&table, &alice, &stale[0]);
        transaction.update(&table, &alice, &stale[1], &row(1, "n1b"));
        store.commit(transaction).await.unwrap();
        assert_eq!(store.flush(table.id).await.unwrap().rows, 3);
        let flushed = versions(&store);
        let n2 = flushed
            .iter()
            .find(|version| version.row[0] == Datum::Int8(2))
            .unwrap();
        let n3 = flushed
            .iter()
            .find(|version| version.row[0] == Datum::Int8(3))
            .unwrap();
        let before = store.snapshot();
        let mut transaction = Transaction::new();
        transaction.delete(&table, &alice, n2);
        transaction.update(&table, &alice, n3, &row(3, "n3b"));
        store.commit(transaction).await.unwrap();
        for _ in 0..3 {
            assert_eq!(notes_of(dir.path(), &store, &table), ["n1b", "n3b"]);
            store.flush(table.id).await.unwrap();
        }
        assert_eq!(
            store
                .snapshot()
                .cold_files(&table, &PartitionSet::All)
                .unwrap()
                .len(),
            2
        );
        assert_eq!(
            scan(dir.path(), &before, &table, None).len(),
            3,
            "an old snapshot still sees its rows"
        );
        // A writer that read before the flush must not bring back what it superseded.
        for old in &stale {
            let mut transaction = Transaction::new();
            transaction.update(&table, &alice, old, &row(100, "late"));
            assert!(matches!(
                store.commit(transaction).await,
                Err(CommitError::Conflict)
            ));
        }
        drop(before);
        store.close().await;
        drop(store);
        let store = open(dir.path());
        assert_eq!(notes_of(dir.path(), &store, &table), ["n1b", "n3b"]);
        assert_eq!(find(&store, &table, &alice, 2), None);
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_increments_all_count() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    insert(&store, &table, &alice, 1, "0").await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (store, table, alice) = (store.clone(), table.clone(), alice.clone());
            tokio::spawn(async move {
                let mut conflicts = 0;
                for _ in 0..25 {
                    loop {
                        let old = find(&store, &table, &alice, 1).unwrap();
                        let Datum::Text(count) = &old.row[1] else {
                            panic!("text")
                        };
                        let next = (count.parse::<i64>().unwrap() + 1).to_string();
                        let mut transaction = Transaction::new();
                        transaction.update(&table, &alice, &old, &row(1, &next));
                        match store.commit(transaction).await {
                            Ok(_) => break,
                            Err(CommitError::Conflict) => conflicts += 1,
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
                conflicts
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(find(&store, &table, &alice, 1).unwrap().row, row(1, "100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_equal_keys_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let commits = (0..20).map(|n| {
        let mut transaction = Transaction::new();
        transaction.insert(&table, &user("alice"), &row(1, &n.to_string()));
        transaction.insert(&table, &user("alice"), &row(2 + n, "trace"));
        store.commit(transaction)
    });
    let results = store.flusher.queue.group(commits).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        let CommitError::UniqueViolation { key, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(key, [Datum::Int8(1)]);
    }
    assert_eq!(
        scan(dir.path(), &store.snapshot(), &table, None).len(),
        2,
        "a refused one left a trace"
    );

    // In one transaction the order counts.
    let old = find(&store, &table, &user("alice"), 1).unwrap();
    let held = |transaction: &Transaction| {
        let key = crate::transaction::key_identity(&table, &user("alice"), &row(1, ""));
        let holder = transaction.key_holder(&key.expect("the table has a key"));
        holder.map(|holder| holder.is_some())
    };
    let mut transaction = Transaction::new();
    transaction.delete(&table, &user("alice"), &old);
    assert_eq!(held(&transaction), Some(false));
    let pending = transaction.insert(&table, &user("alice"), &row(1, "again"));
    assert_eq!(held(&transaction), Some(true));
    let mark = transaction.len();
    transaction.update(
        &table,
        &user("alice"),
        &RowVersion {
            seq: pending,
            row: row(1, "again"),
        },
        &row(50, "x"),
    );
    transaction.rollback_to(mark);
    let seen = scan(dir.path(), &store.snapshot(), &table, Some(&transaction));
    assert_eq!(seen[&("alice".to_string(), pending)], row(1, "again"));
    assert_eq!(seen.len(), 2);
    store.commit(transaction).await.unwrap();
    assert_eq!(
        find(&store, &table, &user("alice"), 1).unwrap().row,
        row(1, "again")
    );
    assert_eq!(find(&store, &table, &user("alice"), 50), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn seqs_go_on_after_reopening_and_one_process_opens() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000));
    let clock = |time: &Arc<AtomicI64>| -> crate::seq::Clock {
        let time = time.clone();
        Arc::new(move || time.load(Ordering::SeqCst))
    };
    let store = open_with(dir.path(), clock(&time));
    let options = crate::store::StoreOptions {
        dir: dir.path().to_path_buf(),
        node: 1,
        clock: clock(&time),
        background: false,
        cold: crate::cold::ColdOptions::default(),
        failpoints: Arc::default(),
        large_bytes: crate::commit::LARGE_BYTES,
    };
    assert!(matches!(Store::open(options), Err(StorageError::InUse(_))));
    let table = put_table(&store, notes(1, "t", true)).await;
    let last = insert(&store, &table, &user("a"), 1, "x").await;
    store.close().await;
    assert!(matches!(
        store
            .commit({
                let mut transaction = Transaction::new();
                transaction.insert(&table, &user("a"), &row(9, ""));
                transaction
            })
            .await,
        Err(CommitError::Storage(StorageError::Closed))
    ));
    drop(store);
    time.store(EPOCH_UNIX_MS + 5, Ordering::SeqCst);
    let store = open_with(dir.path(), clock(&time));
    assert_eq!(store.visible(), last);
    assert_eq!(store.catalog().tables.len(), 1);
    assert_eq!(
        insert(&store, &table, &user("a"), 2, "y").await,
        last.advance(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_and_truncated_data_goes_when_no_snapshot_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let odd = user(&format!("../ü%/{}", "long".repeat(100)));
    insert(&store, &table, &odd, 1, "x").await;
    store.flush(table.id).await.unwrap();
    let snapshot = store.snapshot();
    let file = &snapshot
        .cold_files(&table, &PartitionSet::One(odd.clone()))
        .unwrap()[0];
    let path = dir.path().join("cold").join(&file.path);
    assert!(path.exists());
    let mut watch = store.watch(&FeedScope {
        table: table.id,
        partitions: PartitionSet::One(odd.clone()),
    });
    let truncated = put_table(&store, notes(2, "t", true)).await;
    watch.changed(snapshot.seq()).await;
    let gone = store.read_changes(
        &FeedScope {
            table: table.id,
            partitions: PartitionSet::All,
        },
        Seq::ZERO,
        9,
    );
    assert!(matches!(gone, Err(StorageError::NoTable(1))));
    assert!(notes_of(dir.path(), &store, &truncated).is_empty());
    assert_eq!(scan(dir.path(), &snapshot, &table, None).len(), 1);
    let mut late = Transaction::new();
    late.insert(&table, &odd, &row(2, ""));
    assert!(matches!(
        store.commit(late).await,
        Err(CommitError::CatalogChanged)
    ));
    assert!(path.exists());
    drop(snapshot);
    until("the file goes", || !path.exists()).await;
    insert(&store, &truncated, &odd, 1, "x").await;
    store.flush(truncated.id).await.unwrap();
    let drop_table = CatalogChange::DropTable {
        schema: "public".to_string(),
        name: "t".to_string(),
    };
    let stale = store.change_catalog(0, vec![drop_table.clone()]).await;
    assert!(matches!(stale, Err(CommitError::CatalogChanged)));
    store
        .change_catalog(store.catalog().version, vec![drop_table])
        .await
        .unwrap();
    until("nothing is left", || on_disk(dir.path()).is_empty()).await;
    // What a crash leaves is swept.
    std::fs::create_dir_all(dir.path().join("cold/public/t-9/a")).unwrap();
    std::fs::write(dir.path().join("cold/public/t-9/a/1-2-3.parquet"), b"x").unwrap();
    std::fs::write(dir.path().join("cold/public/notes.txt"), b"somebody's own").unwrap();
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(on_disk(dir.path()), ["public/notes.txt"]);
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_rows_expire() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1_000_000));
    let read = time.clone();
    let store = open_with(dir.path(), Arc::new(move || read.load(Ordering::SeqCst)));
    let mut def = notes(1, "s", true);
    def.kind = TableKind::Stream;
    def.options.ttl_ms = Some(1000);
    let table = put_table(&store, def).await;
    let shared = Partition::shared();
    insert(&store, &table, &shared, 1, "old").await;
    assert_eq!(store.flush(table.id).await.unwrap().files, 0);
    time.fetch_add(600, Ordering::SeqCst);
    insert(&store, &table, &shared, 2, "young").await;
    assert_eq!(notes_of(dir.path(), &store, &table), ["old", "young"]);
    time.fetch_add(600, Ordering::SeqCst);
    // Gone for readers before it is gone from the disk; its key is free.
    assert_eq!(notes_of(dir.path(), &store, &table), ["young"]);
    assert_eq!(find(&store, &table, &shared, 1), None);
    assert_eq!(feed(&store, &table, PartitionSet::All, 10).len(), 1);
    insert(&store, &table, &shared, 1, "new").await;
    assert_eq!(store.expire().await.unwrap(), 1);
    assert_eq!(store.expire().await.unwrap(), 0);
    assert_eq!(find(&store, &table, &shared, 1).unwrap().row, row(1, "new"));
    time.fetch_add(5000, Ordering::SeqCst);
    assert_eq!(store.expire().await.unwrap(), 2);
    assert!(notes_of(dir.path(), &store, &table).is_empty());
    insert(&store, &table, &shared, 2, "later").await;
    assert_eq!(notes_of(dir.path(), &store, &table), ["later"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_of_all_partitions_is_in_commit_order_across_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let other = put_table(&store, notes(2, "other", true)).await;
    let users = ["zoe", "adam", "mia"].map(user);
    for n in 0..10 {
        let mut transaction = Transaction::new();
        for at in 0..7 {
            let partition = &users[(at * (n + 1)) % 3];
            transaction.insert(&table, partition, &row((n * 7 + at) as i64, "x"));
            transaction.insert(&other, partition, &row((n * 7 + at) as i64, "x"));
        }
        store.commit(transaction).await.unwrap();
        if n == 4 {
            store.flush(table.id).await.unwrap();
        }
    }
    let old = find(&store, &table, &users[0], 0).unwrap();
    let scope = FeedScope {
        table: table.id,
        partitions: PartitionSet::All,
    };
    let mut watch = store.watch(&scope);
    let mut elsewhere = store.watch(&FeedScope {
        table: table.id,
        partitions: PartitionSet::One(user("nobody")),
    });
    let before = store.visible();
    let waiting = tokio::spawn(async move { watch.changed(before).await });
    let mut transaction = Transaction::new();
    transaction.update(&table, &users[0], &old, &row(0, "y"));
    store.commit(transaction).await.unwrap();
    waiting.await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), elsewhere.changed(before)).await;
    assert!(quiet.is_err(), "a commit elsewhere wakes nobody");
    for limit in [1, 2, 5, 1000] {
        let changes = feed(&store, &table, PartitionSet::All, limit);
        let ids: Vec<i64> = (changes.iter())
            .map(|change| match change.row[0] {
                Datum::Int8(id) => id,
                _ => panic!("bigint"),
            })
            .collect();
        assert_eq!(ids, (0..70).chain([0]).collect::<Vec<_>>());
        let last = &changes[70];
        assert_eq!(
            (last.op, &last.old, last.ends_transaction),
            (ChangeOp::Update, &Some(row(0, "x")), true)
        );
        // The other table's change comes after in each transaction.
        let ends = changes[..70].iter().map(|change| change.ends_transaction);
        assert!(ends.eq((1..=70).map(|n| n % 7 == 0)));
    }
    let one = feed(&store, &table, PartitionSet::One(users[1].clone()), 3);
    assert!(!one.is_empty() && one.iter().all(|change| change.partition == users[1]));
    let ends = one.iter().filter(|change| change.ends_transaction).count();
    assert_eq!(ends, 7, "of ten transactions three went elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_flushes_what_is_worth_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut def = notes(1, "t", false);
    def.options.flush_rows = 20;
    let table = put_table(&store, def).await;
    for n in 0..30 {
        insert(&store, &table, &user("big"), n, "x").await;
    }
    insert(&store, &table, &user("small"), 1, "x").await;
    store.flusher.run_policy().await.unwrap();
    let files = store
        .snapshot()
        .cold_files(&table, &PartitionSet::All)
        .unwrap();
    assert_eq!(
        files
            .iter()
            .map(|file| (file.partition.clone(), file.rows))
            .collect::<Vec<_>>(),
        [(user("big"), 30)]
    );
    // As many bytes are as good a reason as many rows.
    let mut def = TableDef::clone(&table);
    def.options.flush_rows = 1_000_000;
    def.options.flush_bytes = 10_000;
    let table = put_table(&store, def).await;
    for n in 0..3 {
        store.flusher.run_policy().await.unwrap();
        let files = store.snapshot().cold_files(&table, &PartitionSet::All);
        assert_eq!(files.unwrap().len(), 1 + n / 2);
        insert(
            &store,
            &table,
            &user("big"),
            100 + n as i64,
            &"x".repeat(6000),
        )
        .await;
    }
}

/// Many small partitions; run by hand: `cargo test -p tidelog-storage -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn many_small_partitions_flush_fast() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let start = std::time::Instant::now();
    for n in 0..9 {
        let mut transaction = Transaction::new();
        for partition in 0..27_056 {
            transaction.insert(
                &table,
                &user(&format!("user{partition}")),
                &row(n, "some text of a note"),
            );
        }
        store.commit(transaction).await.unwrap();
    }
    eprintln!("wrote in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let report = store.flush(table.id).await.unwrap();
    eprintln!("{report:?} in {:?}", start.elapsed());
    assert_eq!(report.files, 27_056);
    let start = std::time::Instant::now();
    let mut rows = 0;
    let snapshot = store.snapshot();
    snapshot
        .scan_hot(&whole_scan(&table, PartitionSet::All), None, &mut |batch| {
            rows += batch.num_rows();
            ControlFlow::Continue(())
        })
        .unwrap();
    eprintln!("scanned {rows} hot rows in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    drop(snapshot);
    store.close().await;
    drop(store);
    eprintln!("closed in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let store = open(dir.path());
    eprintln!("opened in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let files = store
        .snapshot()
        .cold_files(&table, &PartitionSet::All)
        .unwrap()
        .len();
    eprintln!("listed {files} files in {:?}", start.elapsed());
}
