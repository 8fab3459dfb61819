//! Erasing a user: who sees what afterwards, and that no byte is left.

use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;

use super::objects::{Switched, options, remote};
use super::*;
use crate::catalog::IndexId;
use crate::cold::ColdOptions;
use crate::commit::Request;
use crate::datum::ColumnType;
use crate::hot::Hot;
use crate::testing::{assert_sound, check_closed, column, index, table};

/// In each of alice's rows, in what is indexed and what is not.
const MARK: &str = "7f3a91c0de55b2e86d1f";

/// A table whose key is a text.
fn named(id: u32, name: &str, keyed: bool) -> TableDef {
    let columns = vec![
        column(1, "name", ColumnType::Text),
        column(2, "note", ColumnType::Text),
    ];
    let mut def = table(id, name, columns, if keyed { &[1] } else { &[] });
    let index = |id, unique| index(id, &format!("{name}_{id}"), 2, unique);
    def.indexes = vec![index(1, true), index(2, false)];
    def.next_index_id = IndexId::new(3);
    def
}

fn texts(name: &str, note: &str) -> Row {
    vec![Datum::Text(name.to_string()), Datum::Text(note.to_string())]
}

/// Rows of alice and bob, superseded and live, in files, in the log and in memory.
async fn fill(dir: &Path, store: &Store, table: &Arc<TableDef>) {
    for round in 0..3 {
        for (name, mark) in [("alice", MARK), ("bob", "bob")] {
            let mut transaction = Transaction::new();
            for n in 0..50 {
                let at = round * 100 + n;
                let row = texts(&format!("{mark} {at}"), &format!("{mark} note {at}"));
                transaction.insert(table, &user(name), &row);
            }
            store.commit(transaction).await.unwrap();
            let rows = scan(dir, &store.snapshot(), table, None);
            let mut mine = rows.into_iter().filter(|((of, _), _)| of == name);
            let ((_, seq), row) = mine.next().unwrap();
            let mut transaction = Transaction::new();
            let old = RowVersion { seq, row };
            let new = texts(
                &format!("{mark} new {round}"),
                &format!("{mark} again {round}"),
            );
            transaction.update(table, &user(name), &old, &new);
            store.commit(transaction).await.unwrap();
        }
        match round {
            0 => drop(store.flush(table.id).await.unwrap()),
            1 => store.shared().hot.flush(&crate::hot::ALL).unwrap(),
            _ => {}
        }
    }
}

/// The files under a folder that hold the text.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let finder = |bytes: &[u8]| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // What is being removed meanwhile holds nothing.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if finder(&std::fs::read(&path).unwrap_or_default()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn users_of(dir: &Path, store: &Store, table: &Arc<TableDef>) -> Vec<String> {
    let rows = scan(dir, &store.snapshot(), table, None);
    let mut users: Vec<String> = rows.into_keys().map(|(user, _)| user).collect();
    users.dedup();
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_user() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tables = [
        put_table(&store, named(1, "keyed", true)).await,
        put_table(&store, named(2, "keyless", false)).await,
    ];
    let gone = put_table(&store, named(3, "dropped", true)).await;
    for table in tables.iter().chain([&gone]) {
        fill(dir.path(), &store, table).await;
    }
    let drop_it = CatalogChange::DropTable {
        schema: "public".to_string(),
        name: "dropped".to_string(),
    };
    let version = store.catalog().version;
    store.change_catalog(version, vec![drop_it]).await.unwrap();
    for part in [".log", ".sst", ".parquet", "MANIFEST"] {
        let holding = holding(dir.path(), MARK);
        assert!(
            holding.iter().any(|path| path.contains(part)),
            "{part}: {holding:?}"
        );
    }
    let stale: Vec<_> = (tables.iter())
        .map(|table| {
            let rows = scan(dir.path(), &store.snapshot(), table, None);
            let mut mine = rows.into_iter().filter(|((of, _), _)| of == "alice");
            let ((_, seq), row) = mine.next_back().unwrap();
            RowVersion { seq, row }
        })
        .collect();
    let before = store.visible();

    let report = store.erase_user("alice").await.unwrap();
    assert_eq!((report.tables, report.rows, report.files), (2, 300, 2));
    assert!(report.bytes > 20_000, "{report:?}");
    assert_eq!(holding(dir.path(), MARK), Vec::<String>::new());
    assert_sound(&store.check().await.unwrap());
    for (table, stale) in tables.iter().zip(&stale) {
        assert_eq!(users_of(dir.path(), &store, table), ["bob"]);
        for partitions in [PartitionSet::All, PartitionSet::One(user("alice"))] {
            let scope = FeedScope {
                table: table.id,
                partitions,
            };
            let told = store.read_changes(&scope, before, 10);
            assert!(
                matches!(told, Err(StorageError::Trimmed { .. })),
                "{told:?}"
            );
            assert_eq!(
                store
                    .read_changes(&scope, store.visible(), 10)
                    .unwrap()
                    .changes,
                []
            );
        }
        // Who read before writes nothing on it, and nothing from it.
        let mut late = Transaction::new();
        late.update(table, &user("alice"), stale, &texts("a", "b"));
        let refused = store.commit(late).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        let mut late = Transaction::new();
        late.insert(table, &user("alice"), &texts("a", "b"));
        late.reads_since(before);
        let refused = store.commit(late).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        // The user may begin anew, also with the same key.
        let mut fresh = Transaction::new();
        fresh.insert(table, &user("alice"), &texts(&format!("{MARK} 1"), "b"));
        fresh.reads_since(store.visible());
        store.commit(fresh).await.unwrap();
        assert_eq!(users_of(dir.path(), &store, table), ["alice", "bob"]);
    }
    let report = store.erase_user("alice").await.unwrap();
    assert_eq!((report.tables, report.rows, report.files), (2, 2, 0));
    assert_eq!(holding(dir.path(), MARK), Vec::<String>::new());
    assert_eq!(store.erase_user("nobody").await.unwrap().tables, 0);
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(users_of(dir.path(), &store, &tables[0]), ["bob"]);
    assert_sound(&store.check().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_cut_short_is_ended_at_the_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, named(1, "t", true)).await;
    fill(dir.path(), &store, &table).await;
    let (reply, answer) = tokio::sync::oneshot::channel();
    let request = Request::Erase {
        partition: user("alice"),
        held: [table.id].into(),
        reply,
    };
    store.flusher.queue.send(request).await.unwrap();
    drop(answer.await.unwrap().unwrap());
    assert_eq!(users_of(dir.path(), &store, &table), ["bob"]);
    assert!(!holding(dir.path(), MARK).is_empty());
    store.close().await;
    drop(store);
    assert_sound(
        &check_closed(dir.path(), ColdOptions::default())
            .await
            .unwrap(),
    );
    let store = open(dir.path());
    assert_eq!(holding(dir.path(), MARK), Vec::<String>::new());
    assert_eq!(users_of(dir.path(), &store, &table), ["bob"]);
    store.close().await;
    drop(store);
    let hot = Hot::open(&dir.path().join("hot"), "it").unwrap();
    let record = crate::cold::erasure_key(&user("alice"));
    assert!(hot.get(Family::Meta, &record).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_is_given_a_moment_and_then_told_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, named(1, "t", true)).await;
    fill(dir.path(), &store, &table).await;
    let snapshot = store.snapshot();
    let mut evictions = store.evictions();
    let erasing = tokio::spawn({
        let store = store.clone();
        async move { store.erase_user("alice").await }
    });
    until("the rows are hidden", || {
        users_of(dir.path(), &store, &table) == ["bob"]
    })
    .await;
    // It reads on, until it is told.
    assert!(scan(dir.path(), &snapshot, &table, None).len() > 150);
    let told = evictions.wait_for(|upto| *upto > snapshot.seq());
    tokio::time::timeout(Duration::from_secs(30), told)
        .await
        .unwrap()
        .unwrap();
    let refused = snapshot.scan_hot(&whole_scan(&table, PartitionSet::All), None, &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(refused, Err(StorageError::Evicted)), "{refused:?}");
    assert!(!erasing.is_finished() && !holding(dir.path(), MARK).is_empty());
    drop(snapshot);
    assert_eq!(erasing.await.unwrap().unwrap().rows, 150);
    assert_eq!(holding(dir.path(), MARK), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_all_users_go_on_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, named(1, "t", true)).await;
    fill(dir.path(), &store, &table).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = ["alice", "bob"]
        .map(|name| {
            let (store, table, stop) = (store.clone(), table.clone(), stop.clone());
            tokio::spawn(async move {
                let mut committed = Vec::new();
                for n in 0.. {
                    let mut transaction = Transaction::new();
                    transaction.reads_since(store.visible());
                    transaction.insert(
                        &table,
                        &user(name),
                        &texts(&format!("w{n}"), &format!("w{n}")),
                    );
                    match store.commit(transaction).await {
                        Ok(seq) => committed.push(seq),
                        Err(CommitError::Conflict) => {}
                        Err(other) => panic!("{other}"),
                    }
                    if n % 50 == 0 {
                        store.flush(table.id).await.unwrap();
                    }
                    if stop.load(Ordering::SeqCst) {
                        return committed;
                    }
                }
                unreachable!("it ends when it is told")
            })
        })
        .into();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.erase_user("alice").await.unwrap();
    }
    let last = store.visible();
    stop.store(true, Ordering::SeqCst);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    let rows = scan(dir.path(), &store.snapshot(), &table, None);
    let of = |name: &str| -> Vec<Seq> {
        let mine = rows.keys().filter(|(of, _)| of == name);
        mine.map(|(_, seq)| *seq).collect()
    };
    assert_eq!(
        of("bob")
            .iter()
            .filter(|seq| written[1].contains(seq))
            .count(),
        written[1].len()
    );
    let left = of("alice");
    assert!(
        left.is_empty() || written[0].ends_with(&left),
        "what came after the last erasure, all of it"
    );
    assert!(
        written[0]
            .iter()
            .filter(|seq| **seq > last)
            .all(|seq| left.contains(seq))
    );
    assert_sound(&store.check().await.unwrap());
    store.flush(table.id).await.unwrap();
    store.compact(table.id).await.unwrap();
    assert_sound(&store.check().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_object_stores_go_too() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::<Switched>::default();
    let store = Store::open(options(dir.path(), remote(&objects, None))).unwrap();
    let table = put_table(&store, named(1, "t", true)).await;
    let mut everyone = named(2, "everyone", true);
    everyone.kind = TableKind::Shared;
    let everyone = put_table(&store, everyone).await;
    // A user whose folder is called as that of tables without users.
    let (alice, shared) = (user("alice"), user("shared"));
    for n in 0..3 {
        let mut transaction = Transaction::new();
        for partition in [&alice, &shared, &user("bob")] {
            let (name, note) = (format!("{n}"), format!("note {n}"));
            transaction.insert(&table, partition, &texts(&name, &note));
        }
        let row = texts(&format!("{n}"), &format!("note {n}"));
        transaction.insert(&everyone, &Partition::shared(), &row);
        store.commit(transaction).await.unwrap();
        store.flush(table.id).await.unwrap();
        store.flush(everyone.id).await.unwrap();
    }
    // Merged files wait for a snapshot, and a failed attempt has left another.
    let snapshot = store.snapshot();
    store.compact(table.id).await.unwrap();
    let of = |part: &'static str| {
        let objects = objects.clone();
        async move {
            let mut paths = objects.paths().await;
            paths.retain(|path| path.contains(part));
            paths
        }
    };
    let left = of("t-1/alice").await[0].replace(".parquet", "");
    let (left, _) = left.rsplit_once('-').unwrap();
    let orphan = ObjectPath::from(format!("{left}-77.parquet"));
    objects.inner.put(&orphan, "rows".into()).await.unwrap();
    assert_eq!(of("t-1/alice").await.len(), 5);

    objects.down.store(true, Ordering::SeqCst);
    drop(snapshot);
    let failed = store.erase_user("alice").await;
    assert!(matches!(failed, Err(StorageError::Store(_))), "{failed:?}");
    objects.down.store(false, Ordering::SeqCst);
    store.erase_user("alice").await.unwrap();
    assert_eq!(of("t-1/alice").await, Vec::<String>::new());
    assert!(!of("t-1/bob").await.is_empty());
    store.erase_user("shared").await.unwrap();
    assert_eq!(of("t-1/shared").await, Vec::<String>::new());
    assert_eq!(of("everyone-2/shared").await.len(), 3);
    assert_sound(&store.check().await.unwrap());
}
