//! Commits that depend on what was read, and what they let go of.

use std::collections::HashSet;
use std::sync::Arc;

use super::{find, insert, row, user};
use crate::catalog::TableId;
use crate::error::CommitError;
use crate::seq::Seq;
use crate::snapshot::{Fate, PartitionSet};
use crate::testing::{notes, open, put_table};
use crate::transaction::{ReadSet, Transaction};

fn read(since: Seq, partitions: &[(TableId, PartitionSet)]) -> ReadSet {
    ReadSet {
        since,
        partitions: partitions.iter().cloned().collect::<HashSet<_>>(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_refused_when_what_it_read_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    let other = put_table(&store, notes(2, "u", true)).await;
    let (alice, bob) = (user("alice"), user("bob"));
    insert(&store, &table, &alice, 1, "a").await;
    let since = store.snapshot().seq();
    insert(&store, &table, &bob, 1, "b").await;
    let all = (table.id, PartitionSet::All);
    let of_alice = (table.id, PartitionSet::One(alice.clone()));
    let of_bob = (table.id, PartitionSet::One(bob.clone()));
    let of_other = (other.id, PartitionSet::All);
    let gone = (TableId::new(99), PartitionSet::All);
    for (id, (reads, refused)) in [
        (vec![of_alice.clone(), of_other], false),
        (vec![of_bob], true),
        (vec![all], true),
        (vec![of_alice, gone], true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut transaction = Transaction::new();
        transaction.insert(&other, &alice, &row(id as i64, "x"));
        transaction.depends_on(read(since, &reads));
        let done = store.commit(transaction).await;
        assert_eq!(
            matches!(done, Err(CommitError::ReadChanged)),
            refused,
            "{reads:?}: {done:?}"
        );
        assert_eq!(
            find(&store, &other, &alice, id as i64).is_none(),
            refused,
            "{reads:?}"
        );
    }
    store.close().await;
}

/// Of commits that wait together and each read what the others write, one is done.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_checked_inside_a_group_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = put_table(&store, notes(1, "t", true)).await;
    for (round, reads) in [PartitionSet::All, PartitionSet::One(user("alice"))]
        .into_iter()
        .enumerate()
    {
        let since = store.snapshot().seq();
        let commits = (0..20).map(|n| {
            let mut transaction = Transaction::new();
            let id = round as i64 * 100 + n;
            transaction.insert(&table, &user("alice"), &row(id, "x"));
            transaction.depends_on(read(since, &[(table.id, reads.clone())]));
            store.commit(transaction)
        });
        let done = store.flusher.queue.group(commits).await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fate_of_a_version_and_the_end_of_what_is_held() {
    for keyed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let table = put_table(&store, notes(1, "t", keyed)).await;
        let alice = user("alice");
        let mut transaction = Transaction::new();
        transaction.insert(&table, &alice, &row(1, "a"));
        let seq = store.commit(transaction).await.unwrap();
        let version = crate::transaction::RowVersion {
            seq,
            row: row(1, "a"),
        };
        let before = store.snapshot();
        assert_eq!(
            before.fate_of(&table, &alice, &version).unwrap(),
            Fate::Live
        );

        let held = Arc::new(());
        let mut transaction = Transaction::new();
        transaction.update(&table, &alice, &version, &row(1, "b"));
        let commit = store.commit_holding(transaction, Box::new(held.clone()));
        let updated = commit.await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1, "let go before the answer");
        let after = store.snapshot();
        assert_eq!(
            before.fate_of(&table, &alice, &version).unwrap(),
            Fate::Live
        );
        assert_eq!(
            after.fate_of(&table, &alice, &version).unwrap(),
            Fate::Updated
        );

        let version = crate::transaction::RowVersion {
            seq: updated,
            row: row(1, "b"),
        };
        let mut transaction = Transaction::new();
        transaction.delete(&table, &alice, &version);
        store.commit(transaction).await.unwrap();
        let fate = store.snapshot().fate_of(&table, &alice, &version).unwrap();
        assert_eq!(fate, if keyed { Fate::Deleted } else { Fate::Updated });
        store.close().await;
    }
}
