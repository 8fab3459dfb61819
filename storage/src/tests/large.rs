//! Large transactions, which are checked ahead of their turn.

use super::*;
use crate::testing::assert_sound;

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
