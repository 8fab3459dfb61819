//! Compaction: what is merged, what goes, and what others see meanwhile.

use super::*;
use crate::cold::ColdFile;
use crate::compact::CompactReport;
use crate::datum::ColumnType;
use crate::testing::column;

fn files(store: &Store, table: &TableDef) -> Vec<ColdFile> {
    (store.snapshot())
        .cold_files(table, &PartitionSet::All)
        .unwrap()
}

fn paths(store: &Store, table: &TableDef) -> Vec<String> {
    let mut paths: Vec<_> = (files(store, table).into_iter().map(|file| file.path)).collect();
    paths.sort();
    paths
}

/// One file per note, in the order of ids.
async fn filed(store: &Store, table: &Arc<TableDef>, partition: &Partition, ids: &[i64]) {
    for id in ids {
        insert(store, table, partition, *id, &format!("n{id}")).await;
        store.flush(table.id).await.unwrap();
    }
}

async fn delete(store: &Store, table: &Arc<TableDef>, partition: &Partition, old: &RowVersion) {
    let mut transaction = Transaction::new();
    transaction.delete(table, partition, old);
    store.commit(transaction).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_merged_and_the_dead_go() {
    for keyed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let table = put_table(&store, notes(1, "t", keyed)).await;
        let (alice, bob) = (user("alice"), user("bob"));
        filed(&store, &table, &alice, &[1, 2, 3, 4]).await;
        filed(&store, &table, &bob, &[5]).await;
        let stale = version(dir.path(), &store, &table, 2);
        delete(&store, &table, &alice, &stale).await;
        let before = store.snapshot();
        let four = version(dir.path(), &store, &table, 4);
        let mut transaction = Transaction::new();
        transaction.update(&table, &alice, &four, &row(4, "n4b"));
        store.commit(transaction).await.unwrap();
        let old = paths(&store, &table);

        let report = store.compact(table.id).await.unwrap();
        assert_eq!(
            (
                report.files_merged,
                report.files,
                report.rows,
                report.dropped
            ),
            (4, 1, 2, 2)
        );
        let expected = ["n1", "n3", "n4b", "n5"];
        assert_eq!(notes_of(dir.path(), &store, &table), expected);
        assert_eq!(files(&store, &table).len(), 2);
        // Without a key the entry tells a late writer that the version is gone.
        let left = if keyed { 0 } else { 2 };
        assert_eq!(count(&store, Family::Dead, &table), left);
        for old in [&stale, &four] {
            let mut late = Transaction::new();
            late.update(&table, &alice, old, &row(9, "late"));
            let refused = store.commit(late).await;
            assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        }
        assert_eq!(
            store.compact(table.id).await.unwrap(),
            CompactReport::default()
        );
        assert_eq!(
            scan(dir.path(), &before, &table, None).len(),
            4,
            "an old snapshot reads the old files"
        );
        assert!(old.iter().all(|path| on_disk(dir.path()).contains(path)));
        drop(before);
        until("the old files go", || {
            on_disk(dir.path()) == paths(&store, &table)
        })
        .await;
        store.close().await;
        drop(store);
        let store = open(dir.path());
        assert_eq!(notes_of(dir.path(), &store, &table), expected);
        assert_eq!(on_disk(dir.path()), paths(&store, &table));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_files_are_merged_stays_changed() {
    for keyed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let table = put_table(&store, notes(1, "t", keyed)).await;
        let alice = user("alice");
        filed(&store, &table, &alice, &[1, 2, 3, 4]).await;
        let four = version(dir.path(), &store, &table, 4);
        delete(&store, &table, &alice, &four).await;

        let merged = store
            .flusher
            .merge(table.id, files(&store, &table))
            .await
            .unwrap();
        assert_eq!(merged.new.as_ref().unwrap().rows, 3);
        let one = version(dir.path(), &store, &table, 1);
        delete(&store, &table, &alice, &one).await;
        let two = version(dir.path(), &store, &table, 2);
        let mut transaction = Transaction::new();
        transaction.update(&table, &alice, &two, &row(2, "n2b"));
        store.commit(transaction).await.unwrap();
        filed(&store, &table, &alice, &[5]).await;
        let during = store.snapshot();
        store.flusher.swap(table.id, vec![merged]).await.unwrap();

        let expected = ["n3", "n2b", "n5"];
        assert_eq!(notes_of(dir.path(), &store, &table), expected);
        assert_eq!(scan(dir.path(), &during, &table, None).len(), 3);
        let left = if keyed { 2 } else { 3 };
        assert_eq!(count(&store, Family::Dead, &table), left);
        assert_eq!(store.compact(table.id).await.unwrap().dropped, 2);
        assert_eq!(notes_of(dir.path(), &store, &table), expected);
        assert_eq!(files(&store, &table).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_is_read_out_of_a_large_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let (alice, rows) = (user("alice"), 140_000);
    let mut transaction = Transaction::new();
    for id in 0..rows {
        transaction.insert(&table, &alice, &row(id, &format!("note {id}")));
    }
    let last = store.commit(transaction).await.unwrap();
    store.flush(table.id).await.unwrap();
    let snapshot = store.snapshot();
    for id in [0, 1, 8191, 8192, 77_777, 131_071, 131_072, rows - 1] {
        let Lookup::Hot(hot) = (snapshot.lookup(&table, &alice, &[Datum::Int8(id)], None)).unwrap()
        else {
            panic!("the log has it still")
        };
        let cold = store.read_cold(&snapshot, &table, &alice, hot.seq);
        assert_eq!(cold.unwrap(), hot);
    }
    for (partition, seq) in [
        (&alice, last.next()),
        (&alice, Seq::ZERO),
        (&user("b"), last),
    ] {
        let none = store.read_cold(&snapshot, &table, partition, seq);
        assert!(matches!(none, Err(StorageError::Corrupt(_))), "{none:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_older_columns_become_files_of_the_present_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    filed(&store, &table, &alice, &[1]).await;
    let mut def = TableDef::clone(&table);
    let mut added = column(3, "added", ColumnType::Text);
    added.missing = Datum::Text("before".to_string());
    def.columns[1] = added;
    def.bump_schema_version();
    let table = put_table(&store, def).await;
    insert(&store, &table, &alice, 2, "given").await;
    store.flush(table.id).await.unwrap();
    let seqs: Vec<Seq> = (files(&store, &table).iter())
        .map(|file| file.first_seq)
        .collect();
    for merged in [2, 0] {
        for (seq, note) in seqs.iter().zip(["before", "given"]) {
            let read = store.read_cold(&store.snapshot(), &table, &alice, *seq);
            assert_eq!(read.unwrap().row[1], Datum::Text(note.to_string()));
        }
        let report = store.compact(table.id).await.unwrap();
        assert_eq!(report.files_merged, merged);
    }
    assert_eq!(files(&store, &table)[0].schema_version, 2);
    assert_eq!(
        notes_of(dir.path(), &store, &table),
        ["before", "given"],
        "the dropped column is gone, the added one has its value"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_vanish_or_keep_its_range() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let (alice, bob) = (user("alice"), user("bob"));
    filed(&store, &table, &bob, &[9]).await;
    for id in 1..4 {
        insert(&store, &table, &alice, id, &format!("n{id}")).await;
    }
    store.flush(table.id).await.unwrap();
    let nine = version(dir.path(), &store, &table, 9);
    delete(&store, &table, &bob, &nine).await;
    let two = version(dir.path(), &store, &table, 2);
    let before = store.snapshot();
    delete(&store, &table, &alice, &two).await;
    let old = files(&store, &table);
    let report = store.compact(table.id).await.unwrap();
    assert_eq!(
        (report.files_merged, report.files, report.dropped),
        (2, 1, 2)
    );
    let new = files(&store, &table);
    assert_eq!(
        (new[0].first_seq, new[0].last_seq),
        (old[0].first_seq, old[0].last_seq)
    );
    assert_ne!(new[0].path, old[0].path);
    assert_eq!(notes_of(dir.path(), &store, &table), ["n1", "n3"]);
    assert_eq!(scan(dir.path(), &before, &table, None).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_not_finished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    filed(&store, &table, &alice, &[1, 2]).await;
    let first = files(&store, &table);
    store.flusher.merge(table.id, first.clone()).await.unwrap();
    assert_eq!(on_disk(dir.path()).len(), 3);
    store.close().await;
    let stopped = store.flusher.merge(table.id, first.clone()).await;
    assert!(matches!(stopped, Err(StorageError::Closed)));
    assert_eq!(on_disk(dir.path()).len(), 3);
    drop(store);
    let store = open(dir.path());
    assert_eq!(on_disk(dir.path()), paths(&store, &table));
    assert_eq!(notes_of(dir.path(), &store, &table), ["n1", "n2"]);

    // One that comes too late takes nothing away.
    let late = store.flusher.merge(table.id, first).await.unwrap();
    store.compact(table.id).await.unwrap();
    let refused = store.flusher.swap(table.id, vec![late]).await;
    assert!(matches!(refused, Err(StorageError::Corrupt(_))));
    assert_eq!(notes_of(dir.path(), &store, &table), ["n1", "n2"]);
    let run = files(&store, &table);
    let late = store.flusher.merge(table.id, run).await.unwrap();
    let name = ("public".to_string(), "t".to_string());
    let drop_table = CatalogChange::DropTable {
        schema: name.0,
        name: name.1,
    };
    let version = store.catalog().version;
    store
        .change_catalog(version, vec![drop_table])
        .await
        .unwrap();
    let refused = store.flusher.swap(table.id, vec![late]).await;
    assert!(matches!(refused, Err(StorageError::NoTable(1))));
    assert!(matches!(
        store.compact(table.id).await,
        Err(StorageError::NoTable(1))
    ));
    until("nothing is left", || on_disk(dir.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_merges_runs_and_leaves_few_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let (many, few) = (user("many"), user("few"));
    filed(&store, &table, &many, &[1, 2, 3, 4]).await;
    filed(&store, &table, &few, &[1, 2, 3]).await;
    store.flusher.compact_by_policy().await.unwrap();
    let of = |partition: &Partition| {
        let files = files(&store, &table);
        (files.iter())
            .filter(|file| file.partition == *partition)
            .count()
    };
    assert_eq!((of(&many), of(&few)), (1, 3));
    assert_eq!(notes_of(dir.path(), &store, &table).len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_flushes_go_on_while_files_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let alice = user("alice");
    for id in 0..8 {
        insert(&store, &table, &alice, id, "0").await;
    }
    let done = Arc::new(AtomicI64::new(0));
    let background = {
        let (store, done, id) = (store.clone(), done.clone(), table.id);
        tokio::spawn(async move {
            let mut merged = 0;
            while done.load(Ordering::SeqCst) < 4 {
                store.flush(id).await.unwrap();
                merged += store.compact(id).await.unwrap().files_merged;
            }
            merged
        })
    };
    let writers = (0..4).map(|writer| {
        let (store, table, alice) = (store.clone(), table.clone(), alice.clone());
        let done = done.clone();
        tokio::spawn(async move {
            for step in 1..=50 {
                let id = writer * 2 + step % 2;
                let old = find(&store, &table, &alice, id).unwrap();
                let mut transaction = Transaction::new();
                transaction.update(&table, &alice, &old, &row(id, &step.to_string()));
                store.commit(transaction).await.unwrap();
            }
            done.fetch_add(1, Ordering::SeqCst);
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert!(background.await.unwrap() > 0);
    let rows = scan(dir.path(), &store.snapshot(), &table, None);
    let mut notes: Vec<Row> = rows.into_values().collect();
    notes.sort_by_key(|row| format!("{row:?}"));
    let expected: Vec<Row> = (0..8)
        .map(|id| row(id, if id % 2 == 0 { "50" } else { "49" }))
        .collect();
    assert_eq!(notes, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_are_merged_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let users: Vec<Partition> = (0..40).map(|n| user(&format!("u{n:02}"))).collect();
    for id in 0..2 {
        let mut transaction = Transaction::new();
        for user in &users {
            transaction.insert(&table, user, &row(id, user.as_str()));
        }
        store.commit(transaction).await.unwrap();
        store.flush(table.id).await.unwrap();
    }
    let before = paths(&store, &table);
    let rows = scan(dir.path(), &store.snapshot(), &table, None);
    // One file that cannot be read holds up those that are merged with it, and leaves nothing behind.
    let broken = dir.path().join("cold").join(&before[1]);
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, b"no parquet").unwrap();
    assert!(store.compact(table.id).await.is_err());
    assert_eq!(paths(&store, &table), before);
    until("what was merged beside it goes", || {
        on_disk(dir.path()) == before
    })
    .await;
    std::fs::write(&broken, bytes).unwrap();
    let report = store.compact(table.id).await.unwrap();
    assert_eq!((report.files_merged, report.files), (80, 40));
    assert_eq!(scan(dir.path(), &store.snapshot(), &table, None), rows);
    until("the old files go", || {
        on_disk(dir.path()) == paths(&store, &table)
    })
    .await;
}

/// Peak memory by the number of files (`FILES`, 20 MB each); run by hand, with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn compacts_in_bounded_memory() {
    let memory = |what: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_string()
    };
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let mut noise = 1_u64;
    let count = std::env::var("FILES").map_or(8, |count| count.parse().unwrap());
    for file in 0..count {
        for part in 0..4 {
            let mut transaction = Transaction::new();
            for id in 0..10_000 {
                let mut note = String::new();
                while note.len() < 1000 {
                    noise = noise
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    note.push_str(&format!("{noise:016x}"));
                }
                transaction.insert(
                    &table,
                    &user("a"),
                    &row(file * 40_000 + part * 10_000 + id, &note),
                );
            }
            store.commit(transaction).await.unwrap();
        }
        store.flush(table.id).await.unwrap();
    }
    store.close().await;
    drop(store);
    store = open(dir.path());
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let bytes: u64 = files(&store, &table).iter().map(|file| file.bytes).sum();
    eprintln!(
        "{bytes} bytes in {count} files; resident {} kB",
        memory("VmRSS:")
    );
    let start = std::time::Instant::now();
    let report = store.compact(table.id).await.unwrap();
    eprintln!(
        "{report:?} in {:?}; peak {} kB",
        start.elapsed(),
        memory("VmHWM:")
    );
}
