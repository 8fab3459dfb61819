//! Large transactions, which are written in pieces beside the others.

use super::*;
use crate::catalog::IndexId;
use crate::failpoint::{Action, Failpoints, Step};
use crate::notify::Notification;
use crate::seq::Clock;
use crate::snapshot::IndexRange;
use crate::testing::{assert_sound, check_closed, index};
use crate::transaction::ReadSet;
use std::ops::Bound;

/// Rows of a large transaction, and the bytes of each.
const ROWS: i64 = 64;
const ROW_BYTES: usize = 128 << 10;

/// Inserts rows `0..ROWS`, together so many bytes that the check runs ahead.
fn large(table: &Arc<TableDef>, note: &str) -> Transaction {
    let mut transaction = Transaction::new();
    let note = note.repeat(ROW_BYTES);
    for id in 0..ROWS {
        transaction.insert(table, &user("alice"), &row(id, &note));
    }
    transaction
}

fn live(dir: &Path, store: &Store, table: &Arc<TableDef>) -> BTreeMap<(String, Seq), Row> {
    scan(dir, &store.snapshot(), table, None)
}

/// Whoever is first has the keys, whatever the other's check ahead had seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_sees_what_came_between_its_check_and_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut won, mut lost) = (0, 0);
    for round in 0..24 {
        let name = format!("t{round}");
        let id = store.catalog().next_table_id;
        let table = put_table(&store, notes(id, &name, true)).await;
        let commit = {
            let (store, table) = (store.clone(), table.clone());
            tokio::spawn(async move { store.commit(large(&table, "x")).await })
        };
        // Other keys all the time, and sooner or later one of its own.
        let mut own = None;
        for n in 0..200 {
            let mut small = Transaction::new();
            let id = if n == 8 * round { round } else { ROWS + n };
            small.insert(&table, &user("alice"), &row(id, "small"));
            match store.commit(small).await {
                Ok(_) if id < ROWS => own = Some(id),
                Err(CommitError::UniqueViolation { .. }) if id < ROWS => {}
                other => drop(other.unwrap()),
            }
        }
        match commit.await.unwrap() {
            Ok(_) => {
                won += 1;
                assert_eq!(own, None, "round {round}");
            }
            Err(CommitError::UniqueViolation { key, .. }) => {
                lost += 1;
                assert_eq!(key, [Datum::Int8(own.unwrap())], "round {round}");
            }
            Err(error) => panic!("{error}"),
        }
        let rows = live(dir.path(), &store, &table);
        let ids: BTreeSet<String> = rows.values().map(|row| format!("{:?}", row[0])).collect();
        assert_eq!(ids.len(), rows.len(), "a key is there once");
    }
    println!("{won} large transactions were first, {lost} were not");
    assert_sound(&store.check().await.unwrap());
    store.close().await;
}

/// Rows without a primary key: each is deleted once.
#[tokio::test(flavor = "multi_thread")]
async fn large_transactions_without_keys_do_not_delete_a_row_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for round in 0..12 {
        let id = store.catalog().next_table_id;
        let table = put_table(&store, notes(id, &format!("t{round}"), false)).await;
        store.commit(large(&table, "x")).await.unwrap();
        let rows = live(dir.path(), &store, &table);
        let version = |((_, seq), row): (&(String, Seq), &Row)| RowVersion {
            seq: *seq,
            row: row.clone(),
        };
        let versions: Vec<RowVersion> = rows.iter().map(version).collect();
        let delete = |versions: &[RowVersion]| {
            let mut transaction = Transaction::new();
            transaction.reads_since(store.visible());
            for version in versions {
                transaction.delete(&table, &user("alice"), version);
            }
            // The rest of its bytes.
            for n in 0..ROWS {
                let note = "y".repeat(ROW_BYTES);
                transaction.insert(&table, &user("bob"), &row(n, &note));
            }
            store.commit(transaction)
        };
        let (all, some) = tokio::join!(delete(&versions), delete(&versions[5..9]));
        assert!(all.is_ok() != some.is_ok(), "{all:?} and {some:?}");
        let refused = [all, some].into_iter().find_map(Result::err);
        assert!(matches!(refused, Some(CommitError::Conflict)));
    }
    assert_sound(&store.check().await.unwrap());
    store.close().await;
}

/// A store whose commits of some changes are large, and where it can be held.
fn open_held(dir: &Path) -> (Arc<Store>, Held) {
    open_held_at(dir, Arc::new(|| EPOCH_UNIX_MS + 1_000_000))
}

pub(super) fn open_held_at(dir: &Path, clock: Clock) -> (Arc<Store>, Held) {
    let failpoints = Arc::new(Failpoints::default());
    let store = Store::open(crate::store::StoreOptions {
        dir: dir.to_path_buf(),
        node: 1,
        clock,
        background: false,
        cold: Default::default(),
        failpoints: failpoints.clone(),
        large_bytes: 4000,
    });
    (store.unwrap(), Held(failpoints))
}

/// Lets go of what it holds, also where a test fails.
pub(super) struct Held(Arc<Failpoints>);

impl std::ops::Deref for Held {
    type Target = Failpoints;

    fn deref(&self) -> &Failpoints {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Waits until a thread is held.
pub(super) async fn hold(failpoints: &Failpoints) {
    let held = async {
        while failpoints.stopped() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), held).await;
    waited.expect("the step is reached");
}

/// Commits beside the test.
pub(super) fn begin(
    store: &Arc<Store>,
    transaction: Transaction,
) -> tokio::task::JoinHandle<Result<Seq, CommitError>> {
    let store = store.clone();
    tokio::spawn(async move { store.commit(transaction).await })
}

/// The directory as a crash at this moment would leave it.
pub(super) fn copy_of(store: &Store) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let hot = &store.shared().hot;
    hot.checkpoint(&copy.path().join("hot")).unwrap();
    copy
}

/// A table of ten rows, with an index of notes.
async fn ten(store: &Store, keyed: bool) -> Arc<TableDef> {
    let mut def = notes(store.catalog().next_table_id, "t", keyed);
    def.indexes.push(index(7, "t_note", 2, false));
    let table = put_table(store, def).await;
    let mut transaction = Transaction::new();
    for id in 0..10 {
        transaction.insert(&table, &user("alice"), &row(id, &format!("n{id}")));
    }
    store.commit(transaction).await.unwrap();
    table
}

/// Deletes row 0, updates row 1 twice, gives row 2 the key 1000, moves the key of row 3 to row 4, and inserts 20 rows.
fn change_all(dir: &Path, store: &Store, table: &Arc<TableDef>) -> Transaction {
    let alice = user("alice");
    let old: BTreeMap<i64, RowVersion> = (live(dir, store, table).into_iter())
        .map(|((_, seq), row)| (id_of(&row), RowVersion { seq, row }))
        .collect();
    let mut transaction = Transaction::new();
    transaction.reads_since(store.visible());
    transaction.delete(table, &alice, &old[&0]);
    let mut update = |old: &RowVersion, id: i64, note: &str| {
        let row = row(id, note);
        let seq = transaction.update(table, &alice, old, &row);
        RowVersion { seq, row }
    };
    let once = update(&old[&1], 1, "once");
    update(&once, 1, "twice");
    update(&old[&2], 1000, "moved");
    update(&old[&3], 1003, "away");
    update(&old[&4], 3, "here");
    for id in 100..120 {
        transaction.insert(table, &alice, &row(id, &"x".repeat(400)));
    }
    transaction
}

fn id_of(row: &Row) -> i64 {
    match row[0] {
        Datum::Int8(id) => id,
        _ => panic!("{row:?}"),
    }
}

fn note_of(row: &Row) -> String {
    match &row[1] {
        Datum::Text(note) => note.clone(),
        _ => panic!("{row:?}"),
    }
}

/// The ids and notes that a store has of alice, the same by scan, key and index.
fn shown(dir: &Path, store: &Store, table: &Arc<TableDef>) -> BTreeMap<i64, String> {
    let snapshot = store.snapshot();
    let mut rows = scan(dir, &snapshot, table, None);
    rows.retain(|(of, _), _| of == "alice");
    let mut shown = BTreeMap::new();
    let mut seqs = BTreeSet::new();
    for ((_, seq), row) in &rows {
        assert_eq!(shown.insert(id_of(row), note_of(row)), None);
        seqs.insert(*seq);
    }
    let ids = (0..12).chain(99..121).chain(1000..1005);
    for id in ids.filter(|_| table.primary().is_some()) {
        let key = [Datum::Int8(id)];
        let found = (snapshot.lookup(table, &user("alice"), &key, None)).unwrap();
        let own = rows.iter().find(|(_, row)| id_of(row) == id);
        match (found, own) {
            (Lookup::Hot(version), Some(((_, seq), row))) => {
                assert_eq!((version.seq, &version.row), (*seq, row));
            }
            (Lookup::Absent, None) => {}
            (found, own) => panic!("{id}: {found:?}, {own:?}"),
        }
    }
    let mut indexes = vec![IndexId::new(7)];
    indexes.extend(table.primary().map(|primary| primary.id));
    for index in indexes {
        let all = IndexRange {
            index,
            equal: Vec::new(),
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
            not_null: false,
        };
        let scanned = snapshot.index_scan(table, &user("alice"), &all, 1000);
        let scanned = scanned.unwrap().unwrap();
        assert_eq!(scanned.len(), seqs.len());
        assert_eq!(scanned.into_iter().collect::<BTreeSet<_>>(), seqs);
        let step = snapshot.index_step(table, &user("alice"), &all, true, None, 1000);
        let step = step.unwrap().unwrap();
        assert_eq!(step.seqs.into_iter().collect::<BTreeSet<_>>(), seqs);
    }
    shown
}

fn after(mut rows: BTreeMap<i64, String>) -> BTreeMap<i64, String> {
    for id in [0, 2, 4] {
        rows.remove(&id);
    }
    for (id, note) in [(1, "twice"), (1000, "moved"), (1003, "away"), (3, "here")] {
        rows.insert(id, note.to_string());
    }
    rows.extend((100..120).map(|id| (id, "x".repeat(400))));
    rows
}

/// Of a large commit that is under way nobody sees anything, and nobody waits who has nothing to do with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn others_go_on_beside_a_large_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let (store, failpoints) = open_held(dir.path());
    let table = ten(&store, true).await;
    let before = shown(dir.path(), &store, &table);
    let scope = FeedScope {
        table: table.id,
        partitions: PartitionSet::One(user("alice")),
    };
    let start = store.visible();
    let transaction = change_all(dir.path(), &store, &table);
    let versions = live(dir.path(), &store, &table);
    let version = |id: i64| {
        let found = versions.iter().find(|(_, row)| id_of(row) == id);
        let ((_, seq), row) = found.unwrap();
        RowVersion {
            seq: *seq,
            row: row.clone(),
        }
    };
    failpoints.set(Step::LargeWritten, Action::Stop, 1);
    let commit = |transaction| begin(&store, transaction);
    let large = commit(transaction);
    hold(&failpoints).await;

    assert_eq!(shown(dir.path(), &store, &table), before);
    let changes = store.read_changes(&scope, start, 100).unwrap();
    assert_eq!(changes.changes, []);
    let mut small = Transaction::new();
    small.update(&table, &user("alice"), &version(5), &row(5, "five"));
    small.insert(&table, &user("bob"), &row(1, "bob's"));
    small.notify([Notification {
        channel: "c".into(),
        payload: "p".into(),
        pid: 1,
    }]);
    let between = store.commit(small).await.unwrap();
    assert_eq!(store.visible(), between);
    let rows = shown(dir.path(), &store, &table);
    assert_eq!((rows[&5].as_str(), rows.len()), ("five", 10));

    // These wait, each for another reason.
    let mut own_row = Transaction::new();
    own_row.update(&table, &user("alice"), &version(1), &row(1, "lost"));
    let mut freed_key = Transaction::new();
    freed_key.insert(&table, &user("alice"), &row(0, "again"));
    let mut taken_key = Transaction::new();
    taken_key.insert(&table, &user("alice"), &row(110, "late"));
    let waiting = [own_row, freed_key, taken_key].map(commit);
    let catalog = {
        let (store, def) = (store.clone(), notes(store.next_id(), "other", true));
        tokio::spawn(async move { put_table(&store, def).await })
    };
    let flush = {
        let (store, table) = (store.clone(), table.id);
        tokio::spawn(async move { store.flush(table).await })
    };
    let mut other = Transaction::new();
    other.insert(&table, &user("alice"), &row(11, "eleven"));
    let newest = commit(other).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(waiting.iter().all(|commit| !commit.is_finished()));
    assert!(!catalog.is_finished() && !flush.is_finished() && !large.is_finished());

    failpoints.clear();
    let last = large.await.unwrap().unwrap();
    assert!(last > newest);
    let mut refused = Vec::new();
    for commit in waiting {
        refused.push(commit.await.unwrap());
    }
    assert!(
        matches!(refused[0], Err(CommitError::Conflict)),
        "{refused:?}"
    );
    assert!(refused[1].is_ok(), "{refused:?}");
    assert!(
        matches!(refused[2], Err(CommitError::UniqueViolation { .. })),
        "{refused:?}"
    );
    catalog.await.unwrap();
    assert_eq!(flush.await.unwrap().unwrap().partitions, 2);
    let mut expected = after(rows);
    expected.insert(11, "eleven".to_string());
    expected.insert(0, "again".to_string());
    let found = live(dir.path(), &store, &table);
    let found: BTreeMap<i64, String> = (found.iter())
        .filter(|((of, _), _)| of == "alice")
        .map(|(_, row)| (id_of(row), note_of(row)))
        .collect();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let changes = store.read_changes(&scope, newest, 100).unwrap().changes;
    assert_eq!(changes.len(), 27);
    assert_eq!(
        changes
            .iter()
            .filter(|change| change.ends_transaction)
            .count(),
        2
    );
    assert_sound(&store.check().await.unwrap());
    store.close().await;
    drop(store);
    assert_sound(&check_closed(dir.path(), Default::default()).await.unwrap());
}

/// At whatever step a crash comes: all of it is there afterwards, or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_transaction_is_there_as_a_whole_or_not_at_all() {
    let steps = [
        (Step::LargeBegun, 1, false),
        (Step::LargePiece, 1, false),
        (Step::LargePiece, 2, false),
        (Step::LargePiece, 3, false),
        (Step::LargeWritten, 1, false),
        (Step::CommitChecked, 2, false),
        (Step::CommitWritten, 2, true),
        (Step::LargeCommitted, 1, true),
        (Step::LargeCleaned, 1, true),
    ];
    for keyed in [true, false] {
        for (step, nth, is_there) in steps {
            let dir = tempfile::tempdir().unwrap();
            let (store, failpoints) = open_held(dir.path());
            // That of the rows, then that of the large one.
            failpoints.set(step, Action::Stop, nth);
            let table = ten(&store, keyed).await;
            let before = shown(dir.path(), &store, &table);
            let transaction = change_all(dir.path(), &store, &table);
            let large = begin(&store, transaction);
            hold(&failpoints).await;
            let copy = copy_of(&store);
            failpoints.clear();
            large.await.unwrap().unwrap();
            let now = shown(dir.path(), &store, &table);
            assert_eq!(now, after(before.clone()));
            store.close().await;
            drop(store);
            assert_sound(&check_closed(dir.path(), Default::default()).await.unwrap());

            // `tidelog check` takes it back as the opening does.
            if nth == 2 {
                let report = check_closed(copy.path(), Default::default()).await;
                assert_sound(&report.unwrap());
            }
            let store = open(copy.path());
            let expected = match is_there {
                true => after(before),
                false => before,
            };
            assert_eq!(
                shown(copy.path(), &store, &table),
                expected,
                "{step:?} {nth}"
            );
            assert_sound(&store.check().await.unwrap());
            if !is_there {
                let again = change_all(copy.path(), &store, &table);
                store.commit(again).await.unwrap();
            }
            assert_eq!(shown(copy.path(), &store, &table), now);
            store.close().await;
        }
    }
}

/// What a serializable transaction read stays as it was until it is committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_writes_what_a_large_serializable_transaction_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, failpoints) = open_held(dir.path());
    let table = ten(&store, true).await;
    let mut transaction = change_all(dir.path(), &store, &table);
    let bobs = (table.id, PartitionSet::One(user("bob")));
    transaction.depends_on(ReadSet {
        since: store.visible(),
        partitions: [bobs].into(),
    });
    failpoints.set(Step::LargeWritten, Action::Stop, 1);
    let commit = |transaction| begin(&store, transaction);
    let large = commit(transaction);
    hold(&failpoints).await;
    let insert = |of: &str| {
        let mut transaction = Transaction::new();
        transaction.insert(&table, &user(of), &row(500, "new"));
        commit(transaction)
    };
    let bobs = insert("bob");
    let carols = insert("carol").await.unwrap().unwrap();
    assert!(!bobs.is_finished());
    failpoints.clear();
    let large = large.await.unwrap().unwrap();
    assert!(carols < large && large < bobs.await.unwrap().unwrap());
    store.close().await;
}

/// A table is made and filled in one transaction, as by CREATE TABLE AS.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_transaction_makes_its_table() {
    let steps = [
        (Step::LargePiece, 2, false),
        (Step::LargeWritten, 1, false),
        (Step::CatalogWritten, 1, true),
    ];
    for (step, nth, is_there) in steps {
        let dir = tempfile::tempdir().unwrap();
        let (store, failpoints) = open_held(dir.path());
        let table = ten(&store, true).await;
        let mut def = notes(store.next_id(), "made", true);
        def.indexes.push(index(7, "made_note", 2, false));
        let changes = vec![CatalogChange::PutTable(Box::new(def))];
        let name = ("public".to_string(), "made".to_string());
        let made = store.catalog().changed(&changes).tables[&name].clone();
        let mut transaction = Transaction::new();
        transaction.change_catalog(store.catalog().version, changes);
        for id in 0..30 {
            transaction.insert(&made, &user("alice"), &row(id, &"y".repeat(400)));
        }
        failpoints.set(step, Action::Stop, nth);
        let large = begin(&store, transaction);
        hold(&failpoints).await;
        let copy = copy_of(&store);
        let other = {
            let (store, def) = (store.clone(), notes(store.next_id() + 1, "other", true));
            let version = store.catalog().version;
            tokio::spawn(async move {
                let change = CatalogChange::PutTable(Box::new(def));
                store.change_catalog(version, vec![change]).await
            })
        };
        if !is_there {
            assert!(!store.catalog().tables.contains_key(&name));
            let mut small = Transaction::new();
            small.insert(&table, &user("alice"), &row(11, "eleven"));
            store.commit(small).await.unwrap();
            assert!(!other.is_finished());
        }
        failpoints.clear();
        large.await.unwrap().unwrap();
        // It was planned on the catalog before.
        let other = other.await.unwrap();
        assert!(matches!(other, Err(CommitError::CatalogChanged)));
        assert_eq!(live(dir.path(), &store, &made).len(), 30);
        let history = store.snapshot().history(made.id).unwrap().unwrap();
        assert_eq!(history.complete_from, history.created);
        assert_sound(&store.check().await.unwrap());
        store.close().await;
        drop(store);
        assert_sound(&check_closed(dir.path(), Default::default()).await.unwrap());

        let store = open(copy.path());
        assert_eq!(
            store.catalog().tables.contains_key(&name),
            is_there,
            "{step:?}"
        );
        if is_there {
            assert_eq!(live(copy.path(), &store, &made).len(), 30);
        }
        assert_sound(&store.check().await.unwrap());
        store.close().await;
    }
}

/// An index that is made over rows with equal values tells, whichever of them is changed before its own turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_unique_index_is_not_made_over_equal_values() {
    for large_bytes in [0, crate::commit::LARGE_BYTES] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = super::objects::options(dir.path(), Default::default());
        options.large_bytes = large_bytes;
        let store = Store::open(options).unwrap();
        let table = put_table(&store, notes(store.next_id(), "t", true)).await;
        let alice = user("alice");
        let mut transaction = Transaction::new();
        for (id, note) in [(1, "same"), (2, "same"), (3, "same"), (4, "other")] {
            transaction.insert(&table, &alice, &row(id, note));
        }
        store.commit(transaction).await.unwrap();
        let mut made = TableDef::clone(&table);
        let mut unique = index(7, "t_note", 2, true);
        unique.ready = false;
        made.indexes.push(unique);
        made.bump_schema_version();
        let table = put_table(&store, made).await;
        let rows: Vec<RowVersion> = (live(dir.path(), &store, &table).into_iter())
            .map(|((_, seq), row)| RowVersion { seq, row })
            .collect();
        let fill = |at: usize| {
            let rows = vec![(alice.clone(), rows[at].clone())];
            store.fill_index(&table, IndexId::new(7), rows, store.visible())
        };
        fill(0).await.unwrap();
        let mut update = Transaction::new();
        update.update(&table, &alice, &rows[1], &row(2, "same"));
        let refused = store.commit(update).await;
        assert!(matches!(refused, Err(CommitError::UniqueViolation { .. })));
        let mut delete = Transaction::new();
        delete.delete(&table, &alice, &rows[1]);
        store.commit(delete).await.unwrap();
        assert!(matches!(
            fill(2).await,
            Err(CommitError::UniqueViolation { .. })
        ));
        let mut update = Transaction::new();
        update.update(&table, &alice, &rows[2], &row(3, "mine"));
        update.update(&table, &alice, &rows[3], &row(4, "theirs"));
        store.commit(update).await.unwrap();
        assert_sound(&store.check().await.unwrap());
        store.close().await;
    }
}

/// What a crash takes back leaves nothing of an index that the transaction itself made.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_that_was_made_with_a_large_transaction_is_not_left_by_half() {
    let dir = tempfile::tempdir().unwrap();
    let (store, failpoints) = open_held(dir.path());
    let table = ten(&store, true).await;
    let alice = user("alice");
    let rows = live(dir.path(), &store, &table);
    let before = store.catalog();
    let mut made = TableDef::clone(&table);
    made.indexes.push(index(8, "t_other", 2, true));
    made.bump_schema_version();
    let changes = vec![CatalogChange::PutTable(Box::new(made))];
    let after = before.changed(&changes);
    let mut transaction = Transaction::new();
    for ((_, seq), old) in rows {
        let id = id_of(&old);
        let old = RowVersion { seq, row: old };
        transaction.update(&table, &alice, &old, &row(id, &id.to_string().repeat(400)));
    }
    transaction.follow_catalog(&before, &after).unwrap();
    transaction.change_catalog(before.version, changes);
    failpoints.set(Step::CatalogChecked, Action::Stop, 1);
    let commit = begin(&store, transaction);
    hold(&failpoints).await;
    let copy = copy_of(&store);
    failpoints.clear();
    commit.await.unwrap().unwrap();
    assert_sound(&store.check().await.unwrap());
    store.close().await;
    let store = open(copy.path());
    let hot = crate::hot::HotSnapshot::take(&store.shared().hot);
    for family in [Family::Key, Family::Index] {
        let scope = crate::key::index_scope(table.id, &alice, IndexId::new(8));
        let end = crate::key::prefix_end(scope.clone());
        assert!(!hot.iterate(family, &scope, end).valid());
    }
    assert_sound(&store.check().await.unwrap());
    store.close().await;
}
