//! What users of other live queries complain of, in their issue trackers. Where each is held up by a test:
//!
//! - events dropped for who is slow: `kalamdb_defects::a_reader_that_stalls_loses_nothing_and_stops_nobody`; memory for
//!   them: `a_client_that_reads_nothing_costs_no_memory` (`websocket`), `a_listener_that_does_not_read_costs_no_memory`
//!   (`notify`), `feed_checker`
//! - a gap or a double after a disconnect: `feed_checker`, `websocket::one_token_goes_on_over_every_door_through_kills_and_flushes`,
//!   `notify::a_listener_that_comes_back_loses_nothing`; resuming that misses deletes:
//!   `kalamdb_defects::resume_sees_deletes_and_rows_that_left_the_filter_across_flush_and_restart`
//! - rows that leave the filter: `live::rows_enter_and_leave_a_filter`; old values: `subscribe::a_query_shows_what_it_computes_of_each_row`;
//!   filters by kind of change: `subscribe::options_choose_what_comes`
//! - ids taken for equal: `live::ids_that_differ_in_their_last_digit_are_not_confused`,
//!   `websocket::ids_that_a_double_takes_for_one_are_two`; a filter that is not understood and so left out:
//!   `subscribe::what_cannot_be_followed_is_refused_by_name`, `live::a_subscription_that_cannot_be_is_an_error`
//! - no transactions: `subscribe::transactions_come_whole_with_their_end_marked`
//! - a FETCH that is cancelled: `cursors::a_fetch_that_is_cancelled_loses_nothing`; cancelling that costs the connection:
//!   `live::cancel_ends_a_feed_with_57014_and_the_connection_lives_on`
//! - one bad subscription: `websocket::a_socket_carries_statements_and_many_subscriptions_and_an_error_ends_one_of_them`
//! - payloads of 8,000 bytes, listeners that cost writers: `notify`, and `scripts/bench live writers`
//! - changes lost just after subscribing, ids that are not in commit order, a neighbour's deletes, many feeds over one connection,
//!   idle connections: here

use std::io::Read;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tidelog_compat_tests::process::PATIENCE;
use tidelog_compat_tests::{Feed, Server};
use tokio::time::timeout;

use crate::http::changes;

fn server() -> Server {
    let server = Server::start();
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY, body text);");
    server
}

const FROM_NOW: &str = "SUBSCRIBE TO t OPTIONS (snapshot = false)";

/// Who was told that it is subscribed gets what is committed from then on (supabase-js#1599, surrealdb.js#644).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_subscribed_and_the_first_change() {
    let server = server();
    let (peer, web) = (server.peer(), server.web());
    let writer = peer.connect().await;
    let mut next = 0;
    let mut insert = async || {
        next += 1;
        let statement = format!("INSERT INTO t VALUES ({next}, 'first')");
        writer.batch_execute(&statement).await.unwrap();
        next
    };
    for _ in 0..20 {
        let client = peer.connect().await;
        let rows = client.query_raw(FROM_NOW, Vec::<String>::new()).await;
        let mut rows = std::pin::pin!(rows.unwrap());
        let mut row = async || {
            timeout(PATIENCE, rows.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap()
        };
        assert_eq!(row().await.get::<_, String>("_op"), "ready");
        let id = insert().await;
        assert_eq!(row().await.get::<_, i64>("id"), id);

        let mut events = web.live(FROM_NOW).expect("it is followed");
        let id = insert().await;
        let mut came = Vec::new();
        while came.len() < 2 {
            came.extend(changes(&events.next().expect("the stream goes on").1));
        }
        assert_eq!(came, ["ready".to_string(), format!("insert {id},first")]);

        let mut socket = web.hello();
        socket.send(&json!({"type": "subscribe", "id": 1, "sql": FROM_NOW, "credit": 9}));
        assert_eq!(socket.next_of(1)["type"], "subscribed");
        let id = insert().await;
        let mut came = Vec::new();
        while came.len() < 2 {
            came.extend(changes(&socket.next_of(1)));
        }
        assert_eq!(came, ["ready".to_string(), format!("insert {id},first")]);

        let (client, mut heard) = peer.listen().await;
        client.batch_execute("LISTEN \"public.t\"").await.unwrap();
        let id = insert().await;
        let told = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
        let told: serde_json::Value = serde_json::from_str(told.payload()).unwrap();
        assert_eq!(told["row"]["id"], json!(id), "{told}");
    }
}

/// What commits first comes first, and who resumes in between misses nothing (hasura#8632).
#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_commit_order_though_their_ids_were_drawn_in_another() {
    let server = server();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE drawn (id int8 PRIMARY KEY DEFAULT snowflake_id(), n bigserial, body text);",
    );
    let mut feed = Feed::open(&peer, "SUBSCRIBE TO drawn");
    feed.until_ready().await;
    let (slow, quick) = (peer.connect().await, peer.connect().await);
    slow.batch_execute("BEGIN; INSERT INTO drawn (body) VALUES ('drawn first')")
        .await
        .unwrap();
    quick
        .batch_execute("INSERT INTO drawn (body) VALUES ('committed first')")
        .await
        .unwrap();
    let first = feed.next().await;
    let mut resumed = Feed::open(
        &peer,
        &format!("SUBSCRIBE TO drawn OPTIONS (from = '{}')", first.seq),
    );
    assert_eq!(resumed.next().await.op, "ready");
    slow.batch_execute("COMMIT").await.unwrap();
    let second = feed.next().await;
    let bodies = [&first, &second].map(|change| change.row[2].as_deref().unwrap());
    assert_eq!(bodies, ["committed first", "drawn first"]);
    let number = |at: usize, of: &str| of.parse::<i64>().unwrap_or_else(|_| panic!("{at}: {of}"));
    let drawn = |at: usize| [&first, &second].map(|c| number(at, c.row[at].as_deref().unwrap()));
    assert!(drawn(0)[0] > drawn(0)[1] && drawn(1)[0] > drawn(1)[1]);
    assert!(first.seq < second.seq);
    assert_eq!(resumed.next().await, second);
}

/// Neither inserts nor updates nor deletes of others, and no change of the table under another's filter (Supabase: policies are
/// not applied to DELETE).
#[tokio::test(flavor = "multi_thread")]
async fn a_users_feed_has_no_change_of_a_neighbours_rows() {
    let server = server();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE inbox (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         CREATE ROLE alice LOGIN PASSWORD 'a'; CREATE ROLE bob LOGIN PASSWORD 'b';",
    );
    let (alice, bob) = (peer.role("alice", "a"), peer.role("bob", "b"));
    for (own, name) in [(&alice, "alice"), (&bob, "bob")] {
        own.run(&format!(
            "INSERT INTO inbox VALUES (1, '{name}'), (2, '{name}');"
        ));
    }
    let mut feed = Feed::open(&alice, "SUBSCRIBE TO inbox");
    assert_eq!(feed.until_ready().await.0.len(), 2);
    bob.run("UPDATE inbox SET body = 'of bob' WHERE id = 1; DELETE FROM inbox; INSERT INTO inbox VALUES (3, 'of bob');");
    peer.run("DELETE FROM inbox WHERE _user = 'bob'; DELETE FROM inbox WHERE id = 2;");
    alice.run("DELETE FROM inbox WHERE id = 1;");
    let briefs: Vec<String> = (feed.take(2).await.iter())
        .map(|change| change.brief())
        .collect();
    assert_eq!(briefs, ["delete 2,alice", "delete 1,alice"]);
}

/// A connection carries many feeds, and one that ends leaves the others and the connection (cockroach#59390).
#[tokio::test(flavor = "multi_thread")]
async fn many_feeds_share_a_connection_and_end_one_by_one() {
    let server = server();
    let client = server.peer().connect().await;
    for n in 0..50 {
        let declare = format!(
            "DECLARE c{n} CURSOR WITH HOLD FOR SUBSCRIBE TO t WHERE id % 50 = {n} OPTIONS (snapshot = false)"
        );
        client.batch_execute(&declare).await.unwrap();
    }
    let fetched = async |n: i64| -> Vec<String> {
        let statement = format!("FETCH ALL FROM c{n} WITH (timeout = '0')");
        let rows = client.simple_query(&statement).await.unwrap();
        let rows = rows.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| {
            format!(
                "{} {}",
                row.get("_op").unwrap(),
                row.get("id").unwrap_or("-")
            )
        })
        .collect()
    };
    client
        .batch_execute("INSERT INTO t SELECT g, '' FROM generate_series(0, 99) g")
        .await
        .unwrap();
    for n in 0..50 {
        let expected = [
            "ready -".to_string(),
            format!("insert {n}"),
            format!("insert {}", n + 50),
        ];
        assert_eq!(fetched(n).await, expected);
    }
    client.batch_execute("CLOSE c7").await.unwrap();
    client
        .batch_execute("DELETE FROM t WHERE id IN (7, 8)")
        .await
        .unwrap();
    assert_eq!(fetched(8).await, ["delete 8"]);
    assert!(fetched(9).await.is_empty());
}

/// Proxies and drivers take silence for the end (node-postgres#74): each door breaks it.
#[test]
#[ignore = "waits a third of a minute: scripts/test --long"]
fn an_idle_feed_is_not_silent() {
    let server = server();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.http_port())).unwrap();
    let request = format!(
        "GET /v1/live?sql={} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic cG9zdGdyZXM6\r\n\r\n",
        "SUBSCRIBE%20TO%20t"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (begun, mut came) = (Instant::now(), Vec::new());
    let comment = b"\n:\n\n";
    while !came.windows(4).any(|part| part == comment) {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).expect("a comment comes in time");
        assert!(read > 0, "{}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&part[..read]);
    }
    assert!(
        begun.elapsed() > Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}
