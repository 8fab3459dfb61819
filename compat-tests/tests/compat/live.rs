//! Live feeds: the snapshot, then every change once and in commit order, whatever else goes on.

use std::time::Duration;

use tidelog_compat_tests::process::{PATIENCE, wait_for};
use tidelog_compat_tests::{Change, Feed, Server};
use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use crate::pair::text;

fn server() -> Server {
    let server = Server::start();
    server.peer().run("CREATE SCHEMA chat; CREATE TABLE chat.messages (id int8 PRIMARY KEY, room text, body text);");
    server
}

fn briefs(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::brief).collect()
}

#[track_caller]
fn assert_rising(changes: &[Change]) {
    for pair in changes.windows(2) {
        assert!(
            pair[0].seq < pair[1].seq,
            "each change once, in commit order: {pair:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_the_snapshot_and_then_each_change() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO chat.messages VALUES (2, 'a', 'two'), (1, 'a', 'tab\there'); UPDATE chat.messages SET body = 'TWO' WHERE id = 2;");
    let mut feed = Feed::open(&peer, "SUBSCRIBE TO chat.messages");
    let (snapshot, ready) = feed.until_ready().await;
    assert_eq!(
        briefs(&snapshot),
        ["snapshot 1,a,tab\there", "snapshot 2,a,TWO"]
    );
    assert_rising(&snapshot);
    assert!(
        snapshot
            .iter()
            .all(|change| change.seq <= ready && change.old.is_none())
    );

    peer.run(
        "INSERT INTO chat.messages VALUES (3, 'b', NULL);
         UPDATE chat.messages SET body = 'back\\slash', room = NULL WHERE id = 3;
         DELETE FROM chat.messages WHERE id = 1;
         UPDATE chat.messages SET id = 30 WHERE id = 3;",
    );
    let changes = feed.take(3).await;
    assert_eq!(
        briefs(&changes),
        [
            "insert 3,b,-",
            "update 3,-,back\\slash",
            "delete 1,a,tab\there"
        ]
    );
    assert!(changes[0].seq > ready);
    assert_eq!(changes[0].old, None);
    assert_eq!(
        changes[1].old,
        Some(serde_json::json!({"id": 3, "room": "b", "body": null}))
    );
    // A row whose key changes is still the same row.
    let moved = feed.next().await;
    assert_eq!(moved.brief(), "update 30,-,back\\slash");
    assert_eq!(
        moved.old,
        Some(serde_json::json!({"id": 3, "room": null, "body": "back\\slash"}))
    );
    assert_rising(&changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_does_while_the_table_is_flushed_arrives_once_in_order() {
    let server = server();
    let mut feed = Feed::open(&server.peer(), "SUBSCRIBE TO chat.messages");
    assert!(feed.until_ready().await.0.is_empty());
    let mut script = String::new();
    let mut expected = Vec::new();
    for n in 0..600 {
        script += &format!("INSERT INTO chat.messages VALUES ({n}, 'r', 'new');\n");
        expected.push(format!("insert {n},r,new"));
        if n % 3 == 0 {
            script += &format!("UPDATE chat.messages SET body = 'changed' WHERE id = {n};\n");
            expected.push(format!("update {n},r,changed"));
        }
        if n % 6 == 0 {
            script += &format!("DELETE FROM chat.messages WHERE id = {n};\n");
            expected.push(format!("delete {n},r,changed"));
        }
    }
    let writer = {
        let peer = server.peer();
        std::thread::spawn(move || peer.run(&script))
    };
    let flusher = {
        let peer = server.peer();
        std::thread::spawn(move || {
            (0..5).for_each(|_| drop(peer.run("CALL tidelog.flush('chat.messages');")))
        })
    };
    let changes = feed.take(expected.len()).await;
    writer.join().unwrap();
    flusher.join().unwrap();
    assert_eq!(briefs(&changes), expected);
    assert_rising(&changes);
    // Nothing is left over: the next change is the next commit.
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (9999, 'last', 'x');");
    assert_eq!(feed.next().await.brief(), "insert 9999,last,x");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_tail_join_without_gap_or_double_while_many_write() {
    let server = server();
    let mut writers = Vec::new();
    for writer in 0..4_i64 {
        let client = server.peer().connect().await;
        writers.push(tokio::spawn(async move {
            for n in 0..250_i64 {
                client
                    .execute(
                        "INSERT INTO chat.messages VALUES ($1, 'r', '')",
                        &[&(writer * 1000 + n)],
                    )
                    .await
                    .unwrap();
            }
        }));
    }
    let mut feeds: Vec<Feed> = (0..4)
        .map(|_| Feed::open(&server.peer(), "SUBSCRIBE TO chat.messages"))
        .collect();
    let mut orders = Vec::new();
    for feed in &mut feeds {
        let (mut seen, ready) = feed.until_ready().await;
        let tail = feed.take(1000 - seen.len()).await;
        assert!(
            tail.iter()
                .all(|change| change.seq > ready && change.op == "insert")
        );
        seen.extend(tail);
        assert_rising(&seen);
        orders.push(
            seen.into_iter()
                .map(|change| (change.seq, change.row))
                .collect::<Vec<_>>(),
        );
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(
        orders.iter().all(|order| *order == orders[0]),
        "all see the same order"
    );
    let table = text(
        &server.peer().connect().await,
        "SELECT _seq, id FROM chat.messages ORDER BY _seq",
    )
    .await;
    let table: Vec<_> = table
        .rows
        .iter()
        .map(|row| (row[0].clone().unwrap().parse().unwrap(), row[1].clone()))
        .collect();
    let order: Vec<_> = orders[0]
        .iter()
        .map(|(seq, row)| (*seq, row[0].clone()))
        .collect();
    assert_eq!(order, table);
}

#[tokio::test(flavor = "multi_thread")]
async fn last_rows_gives_the_newest_and_from_goes_on_where_a_reader_stopped() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO chat.messages SELECT g, 'r', 'n' FROM generate_series(1, 100) g;");
    for n in [0, 1, 20, 1000] {
        let mut feed = Feed::open(
            &peer,
            &format!("SUBSCRIBE TO chat.messages OPTIONS (last_rows = {n})"),
        );
        let (snapshot, _) = feed.until_ready().await;
        let expected: Vec<String> = (101 - n.min(100)..=100)
            .map(|id| format!("snapshot {id},r,n"))
            .collect();
        assert_eq!(briefs(&snapshot), expected, "last_rows = {n}");
    }
    let mut feed = Feed::open(&peer, "SUBSCRIBE TO chat.messages OPTIONS (last_rows = 1)");
    let (_, ready) = feed.until_ready().await;
    peer.run("INSERT INTO chat.messages VALUES (101, 'r', 'x'); INSERT INTO chat.messages VALUES (102, 'r', 'x');");
    let first = feed.next().await;
    drop(feed);
    peer.run("DELETE FROM chat.messages WHERE id = 1;");
    for (from, expected) in [
        (
            ready,
            &["insert 101,r,x", "insert 102,r,x", "delete 1,r,n"][..],
        ),
        (first.seq, &["insert 102,r,x", "delete 1,r,n"]),
    ] {
        for _ in 0..2 {
            let mut feed = Feed::open(
                &peer,
                &format!("SUBSCRIBE TO chat.messages OPTIONS (from = '{from}')"),
            );
            let (snapshot, _) = feed.until_ready().await;
            assert!(snapshot.is_empty(), "none with from");
            assert_eq!(briefs(&feed.take(expected.len()).await), expected);
            drop(feed);
            peer.run("CALL tidelog.flush('chat.messages');");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_enter_and_leave_a_filter() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO chat.messages VALUES (1, 'a', 'in'), (2, 'b', 'out');");
    let mut feed = Feed::open(
        &peer,
        "SUBSCRIBE TO chat.messages WHERE room = 'a' AND (length(body) < 10 OR body LIKE '%keep%')",
    );
    assert_eq!(briefs(&feed.until_ready().await.0), ["snapshot 1,a,in"]);
    peer.run(
        "INSERT INTO chat.messages VALUES (3, 'b', 'never seen');
         UPDATE chat.messages SET room = 'a' WHERE id = 2;
         UPDATE chat.messages SET body = 'still' WHERE id = 1;
         UPDATE chat.messages SET body = 'much too long now' WHERE id = 1;
         UPDATE chat.messages SET body = 'long enough but keep' WHERE id = 1;
         UPDATE chat.messages SET room = NULL WHERE id = 1;
         DELETE FROM chat.messages WHERE id = 1;
         DELETE FROM chat.messages WHERE id = 2;",
    );
    let changes = feed.take(6).await;
    assert_eq!(
        briefs(&changes),
        [
            "insert 2,a,out",
            "update 1,a,still",
            "delete 1,a,still",
            "insert 1,a,long enough but keep",
            "delete 1,a,long enough but keep",
            "delete 2,a,out",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_differ_in_their_last_digit_are_not_confused() {
    let server = server();
    let peer = server.peer();
    let mut feed = Feed::open(
        &peer,
        "SUBSCRIBE TO chat.messages WHERE id = 9007199254740993",
    );
    feed.until_ready().await;
    peer.run("INSERT INTO chat.messages VALUES (9007199254740992, '', ''), (9007199254740993, '', ''), (9007199254740994, '', '');");
    assert_eq!(feed.next().await.brief(), "insert 9007199254740993,,");
    peer.run("DELETE FROM chat.messages;");
    assert_eq!(feed.next().await.brief(), "delete 9007199254740993,,");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_cannot_be_is_an_error() {
    let server = server();
    let client = server.peer().connect().await;
    for (statement, code) in [
        ("SUBSCRIBE TO chat.nope", "42P01"),
        ("SUBSCRIBE TO chat.messages WHERE nope = 1", "42703"),
        ("SUBSCRIBE TO chat.messages WHERE room =", "42601"),
        (
            "SUBSCRIBE TO chat.messages OPTIONS (last_rows = -1)",
            "22023",
        ),
        (
            "SUBSCRIBE TO chat.messages OPTIONS (from = 'soon')",
            "22P02",
        ),
        ("SUBSCRIBE TO chat.messages OPTIONS (nope = 1)", "22023"),
    ] {
        let error = timeout(PATIENCE, client.simple_query(statement))
            .await
            .expect(statement)
            .expect_err(statement);
        let found = error
            .as_db_error()
            .expect(statement)
            .code()
            .code()
            .to_string();
        assert_eq!(found, code, "{statement}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_feed_with_57014_and_the_connection_lives_on() {
    use futures::StreamExt;
    let server = server();
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (1, 'a', 'b');");
    let client = server.peer().connect().await;
    for (statement, binary) in [
        ("SUBSCRIBE TO chat.messages", false),
        ("SUBSCRIBE TO chat.messages WHERE room = 'a'", true),
    ] {
        let code = if binary {
            let mut rows = Box::pin(
                client
                    .query_raw(statement, Vec::<String>::new())
                    .await
                    .unwrap(),
            );
            let snapshot = rows.next().await.unwrap().unwrap();
            assert_eq!(snapshot.get::<_, &str>("_op"), "snapshot");
            assert_eq!(snapshot.get::<_, i64>("id"), 1);
            let ready = rows.next().await.unwrap().unwrap();
            assert_eq!(
                (
                    ready.get::<_, &str>("_op"),
                    ready.get::<_, Option<i64>>("id")
                ),
                ("ready", None)
            );
            client
                .cancel_token()
                .cancel_query(tokio_postgres::NoTls)
                .await
                .unwrap();
            timeout(PATIENCE, rows.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap_err()
                .code()
                .unwrap()
                .code()
                .to_string()
        } else {
            let mut messages = Box::pin(client.simple_query_raw(statement).await.unwrap());
            let mut rows = 0;
            while rows < 2 {
                let message = timeout(PATIENCE, messages.next())
                    .await
                    .unwrap()
                    .unwrap()
                    .unwrap();
                rows += usize::from(matches!(message, SimpleQueryMessage::Row(_)));
            }
            client
                .cancel_token()
                .cancel_query(tokio_postgres::NoTls)
                .await
                .unwrap();
            timeout(PATIENCE, messages.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap_err()
                .code()
                .unwrap()
                .code()
                .to_string()
        };
        assert_eq!(code, "57014", "{statement}");
        assert_eq!(
            text(&client, "SELECT count(*) FROM chat.messages")
                .await
                .rows[0][0]
                .as_deref(),
            Some("1")
        );
    }
    let mut feed = Feed::open(&server.peer(), "SUBSCRIBE TO chat.messages");
    feed.until_ready().await;
    let said = feed.interrupt().await;
    assert!(
        said.contains("canceling statement due to user request"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn listen_tells_an_idle_connection_what_changed() {
    let server = server();
    let (client, mut notifications) = server.peer().listen().await;
    client
        .batch_execute("LISTEN \"chat.messages\"")
        .await
        .unwrap();
    server.peer().run(
        "INSERT INTO chat.messages VALUES (9007199254740993, 'a', 'it''s \"quoted\"');
         UPDATE chat.messages SET body = NULL;
         DELETE FROM chat.messages;",
    );
    let mut seqs = Vec::new();
    let new = serde_json::json!({"id": 9_007_199_254_740_993_i64, "room": "a", "body": "it's \"quoted\""});
    let changed = serde_json::json!({"id": 9_007_199_254_740_993_i64, "room": "a", "body": null});
    let null = serde_json::Value::Null;
    for (op, row, old) in [
        ("insert", &new, &null),
        ("update", &changed, &new),
        ("delete", &null, &changed),
    ] {
        let notification = timeout(PATIENCE, notifications.recv())
            .await
            .expect(op)
            .expect(op);
        assert_eq!(notification.channel(), "chat.messages");
        let payload: serde_json::Value = serde_json::from_str(notification.payload()).unwrap();
        assert_eq!(
            (payload["op"].as_str(), &payload["row"], &payload["old"]),
            (Some(op), row, old)
        );
        seqs.push(payload["seq"].as_str().unwrap().parse::<i64>().unwrap());
        assert_eq!(payload.as_object().unwrap().len(), 4);
    }
    assert!(seqs.is_sorted());
    // Between queries too, and no more after UNLISTEN.
    text(&client, "SELECT 1").await;
    client.batch_execute("UNLISTEN *").await.unwrap();
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (1, '', '');");
    client
        .batch_execute("LISTEN \"chat.messages\"")
        .await
        .unwrap();
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (2, '', '');");
    let notification = timeout(PATIENCE, notifications.recv())
        .await
        .unwrap()
        .unwrap();
    let payload: serde_json::Value = serde_json::from_str(notification.payload()).unwrap();
    assert_eq!(payload["row"]["id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_transaction_is_no_change_and_a_committed_one_comes_together() {
    let server = server();
    let mut feed = Feed::open(&server.peer(), "SUBSCRIBE TO chat.messages");
    feed.until_ready().await;
    server.peer().run(
        "BEGIN; INSERT INTO chat.messages VALUES (1, '', ''); ROLLBACK;
         BEGIN; INSERT INTO chat.messages VALUES (2, '', ''); INSERT INTO chat.messages VALUES (3, '', ''); COMMIT;",
    );
    let changes = feed.take(2).await;
    assert_eq!(briefs(&changes), ["insert 2,,", "insert 3,,"]);
    assert_eq!(
        changes[1].seq,
        changes[0].seq + 1,
        "one transaction, consecutive Seqs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_feed_costs_no_answer_to_others() {
    let server = server();
    let mut feeds: Vec<Feed> = (0..20)
        .map(|_| Feed::open(&server.peer(), "SUBSCRIBE TO chat.messages"))
        .collect();
    for feed in &mut feeds {
        feed.until_ready().await;
    }
    let client = server.peer().connect().await;
    let done = timeout(Duration::from_secs(20), async {
        for n in 0..100_i64 {
            client
                .execute("INSERT INTO chat.messages VALUES ($1, '', '')", &[&n])
                .await
                .unwrap();
        }
    });
    done.await.expect("writers go on beside 20 feeds");
    for feed in &mut feeds {
        let changes = feed.take(100).await;
        assert_rising(&changes);
    }
}

/// Conditions of which the server knows which values they ask for, and some of which it does not.
const FOLLOWED: [&str; 9] = [
    "room = 'a'",
    "room = 'b' AND n > 500",
    "'c' = room",
    "room IN ('a', 'd', 'nobody')",
    "n = 7",
    "id = 3 AND room <> 'a'",
    "id IN (1, 2, 3, 4)",
    "room = 'a' OR n = 7",
    "id % 2 = 0",
];

/// Rows that come, change and go, in transactions of one change, of some, and of more than one read of the log takes.
fn changes_of_rooms() -> String {
    let mut state = 7_u64;
    let mut below = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % n
    };
    let mut script = String::new();
    for step in 0..400 {
        let (id, room, n) = (
            below(40),
            ["a", "b", "c", "d"][below(4) as usize],
            below(1000),
        );
        script += &match below(8) {
            0 => format!("DELETE FROM r WHERE id = {id};\n"),
            1 => format!("UPDATE r SET room = '{room}' WHERE id BETWEEN {id} AND {id} + 5;\n"),
            2 => format!(
                "BEGIN; DELETE FROM r WHERE room = '{room}'; UPDATE r SET n = 7 WHERE id = {id}; COMMIT;\n"
            ),
            _ => format!(
                "INSERT INTO r VALUES ({id}, '{room}', {n}) ON CONFLICT (id) DO UPDATE SET room = '{room}', n = {n};\n"
            ),
        };
        if step % 100 == 50 {
            script += &format!(
                "BEGIN; UPDATE r SET room = 'a' WHERE id = 1; \
                 INSERT INTO r SELECT {step} * 10000 + g, 'crowd', 0 FROM generate_series(1, 2500) g; \
                 UPDATE r SET room = 'c' WHERE id < 9; COMMIT;\n"
            );
        }
        if step == 200 {
            script += "ALTER TABLE r ADD COLUMN more text DEFAULT 'x';\n";
        }
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn each_follower_of_values_sees_the_rows_that_have_them() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE r (id int PRIMARY KEY, room text, n int);");
    let mut feeds = Vec::new();
    for condition in FOLLOWED {
        let subscribe = format!("SUBSCRIBE TO (SELECT id, room, n FROM r WHERE {condition})");
        let mut feed = Feed::open(&peer, &subscribe);
        feed.until_ready().await;
        feeds.push(feed);
    }
    let script = changes_of_rooms();
    let writing = tokio::task::spawn_blocking(move || peer.run(&script));
    writing.await.unwrap();
    // A last change that each of them sees, once.
    server
        .peer()
        .run("BEGIN; DELETE FROM r; INSERT INTO r VALUES (1, 'a', 0), (3, 'd', 7), (4, 'b', 600), (5, 'c', 0); COMMIT;");
    let end: i64 = server
        .peer()
        .value("SELECT min(_seq) FROM r")
        .parse()
        .unwrap();
    for (condition, feed) in FOLLOWED.iter().zip(&mut feeds) {
        let query = format!("SELECT id, room, n FROM r WHERE {condition} ORDER BY id");
        let expected = server.peer().run(&format!("{query};"));
        let expected: Vec<&str> = expected.lines().collect();
        let mut shown = std::collections::BTreeMap::new();
        let mut last = 0;
        while last < end || !expected.iter().eq(shown.values()) {
            let change = timeout(PATIENCE, feed.next()).await.expect(condition);
            assert!(change.seq > last, "{condition}: {change:?}");
            last = change.seq;
            let row: Vec<String> = change
                .row
                .iter()
                .map(|value| value.clone().unwrap_or_default())
                .collect();
            let id: i64 = row[0].parse().unwrap();
            match change.op.as_str() {
                "delete" => assert!(shown.remove(&id).is_some(), "{condition}: {change:?}"),
                "insert" => assert!(
                    shown.insert(id, row.join("|")).is_none(),
                    "{condition}: {change:?}"
                ),
                "update" => assert!(
                    shown.insert(id, row.join("|")).is_some(),
                    "{condition}: {change:?}"
                ),
                other => panic!("{other}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_a_stream_too_late_is_told_so() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE s (id int8 PRIMARY KEY, body text) WITH (type = 'stream', ttl = '2s');
         CREATE TABLE other (id int8);
         INSERT INTO s VALUES (1, 'seen');",
    );
    let mut live = Feed::open(&peer, "SUBSCRIBE TO s");
    let mut filtered = Feed::open(&peer, "SUBSCRIBE TO s WHERE id > 3");
    let (_, seen) = live.until_ready().await;
    filtered.until_ready().await;
    let from = |seq: i64, more: &str| format!("SUBSCRIBE TO s OPTIONS (from = {seq}{more})");
    // What has expired was seen: nothing was missed.
    peer.run("INSERT INTO other VALUES (1);");
    let gone = |count: &str| {
        let count = count.to_string();
        let peer = peer.clone();
        move || (peer.value("SELECT count(*) FROM s") == count).then_some(())
    };
    wait_for("the first row to expire", gone("0"));
    let mut feed = Feed::open(&peer, &from(seen, ""));
    assert_eq!(feed.next().await.op, "ready");
    drop(feed);

    peer.run("INSERT INTO s VALUES (2, 'missed');");
    let missed = live.next().await;
    assert_eq!(missed.brief(), "insert 2,missed");
    wait_for("the second row to expire", gone("0"));
    peer.run("INSERT INTO s VALUES (3, 'new');");
    // At once, when the row may be on the disk yet, and when it has left it.
    for round in 0..2 {
        let mut feed = Feed::open(&peer, &from(seen, ""));
        let mut told = feed.take(3).await;
        // Who resumes is told first where.
        assert_eq!(told.remove(0).op, "ready", "round {round}");
        assert_eq!(told[0].op, "reset", "round {round}: {told:?}");
        assert!(
            told[1].op == "snapshot" || told[1].op == "ready",
            "{told:?}"
        );
        let mut feed = Feed::open(&peer, &from(seen, ", on_lag = 'disconnect'"));
        assert_eq!(feed.next().await.op, "ready");
        assert!(feed.try_next().await.is_none());
        let error = feed.error().await;
        assert!(error.contains("are no longer kept"), "{error}");
        // Who saw it has missed nothing, and who has nothing misses nothing.
        let mut feed = Feed::open(&peer, &from(missed.seq, ""));
        assert_eq!(feed.next().await.op, "ready", "round {round}");
        if round == 0 {
            assert_eq!(feed.next().await.brief(), "insert 3,new");
        }
        let mut feed = Feed::open(&peer, &from(0, ", up_to = 1"));
        assert_eq!(feed.next().await.op, "ready");
        assert!(feed.try_next().await.is_none());
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    // Those who were there all the time hear of no reset, whatever expired that they did not see.
    assert_eq!(live.next().await.brief(), "insert 3,new");
    peer.run("INSERT INTO s VALUES (4, 'last');");
    assert_eq!(live.next().await.brief(), "insert 4,last");
    assert_eq!(filtered.next().await.brief(), "insert 4,last");
}
