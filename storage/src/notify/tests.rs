use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::store::Store;
use crate::testing::{notes, open_with, put_table};
use crate::transaction::Transaction;

fn say(channel: &str, payload: &str) -> Notification {
    Notification {
        channel: channel.into(),
        payload: payload.into(),
        pid: 7,
    }
}

async fn notify(store: &Store, said: &[(&str, &str)]) -> Seq {
    let mut transaction = Transaction::new();
    transaction.notify(said.iter().map(|(channel, payload)| say(channel, payload)));
    store.commit(transaction).await.unwrap()
}

fn heard(store: &Store, channels: &[(&str, Seq)], limit: usize) -> Vec<(Seq, String)> {
    let mut channels: Vec<(Arc<str>, Seq)> = channels
        .iter()
        .map(|(name, after)| (Arc::from(*name), *after))
        .collect();
    let mut heard = Vec::new();
    loop {
        let batch = store.read_notifications(&channels, limit).unwrap();
        if batch.notifications.is_empty() {
            assert_eq!(batch.upto, store.visible());
            return heard;
        }
        channels
            .iter_mut()
            .for_each(|(_, after)| *after = batch.upto);
        heard.extend(
            (batch.notifications.into_iter())
                .map(|(seq, said)| (seq, format!("{}:{}", said.channel, said.payload))),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_read_in_commit_order_across_hours_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 100 * HOUR_MS - 2));
    let clock = time.clone();
    let clock: crate::seq::Clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let store = open_with(dir.path(), clock.clone());
    let before = store.visible();
    let mut expected = Vec::new();
    for n in 0..40 {
        let (one, two) = (format!("a{n}"), format!("b{n}"));
        let seq = notify(&store, &[("b", &two), ("a", &one), ("c", "not heard")]).await;
        assert_eq!(store.visible(), seq);
        expected.extend([format!("b:{two}"), format!("a:{one}")]);
        time.fetch_add(if n == 20 { 3 * HOUR_MS } else { 1 }, Ordering::SeqCst);
    }
    store.close().await;
    drop(store);
    let store = open_with(dir.path(), clock);
    for limit in [1, 2, 3, 7, 1000] {
        let found = heard(&store, &[("a", before), ("b", before)], limit);
        assert!(found.is_sorted_by(|one, two| one.0 < two.0));
        let said: Vec<String> = found.into_iter().map(|(_, said)| said).collect();
        assert_eq!(said, expected, "limit {limit}");
    }
    let all = heard(&store, &[("a", before)], 1000);
    let rest = heard(&store, &[("a", all[9].0)], 4);
    assert_eq!(rest, all[10..]);
    assert_eq!(heard(&store, &[("\0", before)], 10), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_with_their_transactions_changes_and_leave_after_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(EPOCH_UNIX_MS + 1000 * HOUR_MS));
    let clock = time.clone();
    let store = open_with(dir.path(), Arc::new(move || clock.load(Ordering::SeqCst)));
    let table = put_table(&store, notes(1, "t", true)).await;
    let before = store.visible();
    let mut watch = store.watch(&scope_of("a"));
    let mut elsewhere = store.watch(&scope_of("b"));
    let mut transaction = Transaction::new();
    let row = vec![crate::Datum::Int8(1), crate::Datum::Null];
    transaction.insert(&table, &Partition::user("alice"), &row);
    transaction.notify([say("a", "")]);
    let last = store.commit(transaction).await.unwrap();
    watch.changed(before).await;
    let quiet = std::time::Duration::from_millis(20);
    assert!(
        tokio::time::timeout(quiet, elsewhere.changed(before))
            .await
            .is_err()
    );
    let found = heard(&store, &[("a", before)], 10);
    assert_eq!(found, [(last, "a:".to_string())]);
    let scope = FeedScope {
        table: table.id,
        partitions: PartitionSet::One(Partition::user("alice")),
    };
    let changes = store.read_changes(&scope, before, 10).unwrap().changes;
    assert!(changes[0].ends_transaction && changes[0].seq < last);

    time.fetch_add(NOTIFICATION_WINDOW_MS, Ordering::SeqCst);
    store.trim().await.unwrap();
    assert_eq!(heard(&store, &[("a", before)], 10), found);
    time.fetch_add(HOUR_MS, Ordering::SeqCst);
    store.trim().await.unwrap();
    let channels = [(Arc::from("a"), before)];
    let Err(StorageError::Trimmed { oldest }) = store.read_notifications(&channels, 10) else {
        panic!("the notification is gone");
    };
    assert!(oldest >= last);
    assert_eq!(heard(&store, &[("a", oldest)], 10), []);
    let last = notify(&store, &[("a", "new")]).await;
    assert_eq!(
        heard(&store, &[("a", oldest)], 10),
        [(last, "a:new".to_string())]
    );
}
