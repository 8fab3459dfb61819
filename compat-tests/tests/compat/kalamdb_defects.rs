//! The four defects that a reading of a system with the same idea found first. None of them may be ours.

use tidelog_compat_tests::{Change, Feed, Server};

/// 1. Flush drops tombstones while an older cold copy survives: deleted rows come back.
#[test]
fn deleted_rows_stay_deleted_through_flush_after_flush() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY, body text); INSERT INTO t SELECT g, 'x' FROM generate_series(1, 1000) AS s(g);");
    let flush = "CALL tidelog.flush('t');";
    peer.run(flush);
    peer.run("DELETE FROM t WHERE id <= 500; UPDATE t SET body = 'y' WHERE id > 900;");
    let check = |server: &Server, when: &str| {
        let found = server
            .peer()
            .value("SELECT count(*), min(id), sum(CASE WHEN body = 'y' THEN 1 ELSE 0 END) FROM t");
        assert_eq!(found, "500|501|100", "{when}");
        assert_eq!(
            server.peer().value("SELECT count(*) FROM t WHERE id = 7"),
            "0",
            "{when}"
        );
    };
    check(&server, "hot tombstones over a cold file");
    for number in 1..=3 {
        peer.run(flush);
        check(&server, &format!("flush {number} after the delete"));
    }
    server.restart();
    check(&server, "a restart");
    server.kill();
    server.start_again();
    check(&server, "a kill");
    // A key that was deleted is free again, and its old versions stay away.
    let peer = server.peer();
    peer.run("INSERT INTO t VALUES (7, 'again');");
    peer.run(flush);
    assert_eq!(peer.value("SELECT id, body FROM t WHERE id = 7"), "7|again");
    assert!(
        peer.try_run("INSERT INTO t VALUES (7, 'twice');")
            .unwrap_err()
            .contains("duplicate key")
    );
    assert!(
        peer.try_run("INSERT INTO t VALUES (950, 'cold');")
            .unwrap_err()
            .contains("duplicate key")
    );
}

/// 2. Scans without LIMIT stop at 100,000 versions, COUNT(*) at 1,000,000.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_cut_off_at_a_hundred_thousand_or_a_million_versions() {
    const ROWS: i64 = 1_100_000;
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY, n int4);");
    peer.run(&format!(
        "\\copy t FROM PROGRAM 'seq 1 {ROWS} | sed \"s/$/\\t1/\"'\n"
    ));
    for tier in ["hot", "cold"] {
        assert_eq!(
            peer.value("SELECT count(*) FROM t"),
            ROWS.to_string(),
            "{tier}"
        );
        let sum = ROWS * (ROWS + 1) / 2;
        assert_eq!(
            peer.value("SELECT count(id), sum(id), max(id) FROM t"),
            format!("{ROWS}|{sum}|{ROWS}"),
            "{tier}"
        );
        let dump = peer.run("COPY (SELECT id FROM t) TO STDOUT;");
        assert_eq!(dump.lines().count() as i64, ROWS, "{tier}");
        let mut feed = Feed::open(&peer, "SUBSCRIBE TO t WHERE id > 900000");
        assert_eq!(feed.until_ready().await.0.len(), 200_000, "{tier}");
        drop(feed);
        peer.run("CALL tidelog.flush('t');");
    }
    // Superseded versions are versions too.
    peer.run("UPDATE t SET n = 2 WHERE id % 4 = 0; DELETE FROM t WHERE id % 4 = 1;");
    assert_eq!(
        peer.value("SELECT count(*), sum(n) FROM t"),
        format!("{}|{}", ROWS * 3 / 4, ROWS)
    );
    peer.run("CALL tidelog.flush('t');");
    assert_eq!(
        peer.value("SELECT count(*), sum(n) FROM t"),
        format!("{}|{}", ROWS * 3 / 4, ROWS)
    );
}

/// 3. Full queues drop live events, and the client is not told.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_loses_nothing_and_stops_nobody() {
    const ROWS: usize = 200_000;
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY, body text);");
    let mut stalled = Feed::open(&peer, "SUBSCRIBE TO t");
    let mut brisk = Feed::open(&peer, "SUBSCRIBE TO t WHERE id = 0");
    stalled.until_ready().await;
    brisk.until_ready().await;
    stalled.stall();
    // About 60 MB: far more than the sockets between them hold.
    for batch in 0..20 {
        let (first, last) = (batch * ROWS / 20 + 1, (batch + 1) * ROWS / 20);
        peer.run(&format!(
            "INSERT INTO t SELECT g, repeat('x', 300) FROM generate_series({first}, {last}) AS s(g);"
        ));
    }
    peer.run(
        "DELETE FROM t WHERE id = 5; CALL tidelog.flush('t'); INSERT INTO t VALUES (0, 'last');",
    );
    assert_eq!(brisk.next().await.brief(), "insert 0,last");
    stalled.go_on();
    let mut previous = 0;
    for id in 1..=ROWS {
        let change = stalled.next().await;
        assert_eq!(
            (change.op.as_str(), change.row[0].as_deref()),
            ("insert", Some(id.to_string().as_str()))
        );
        assert!(change.seq > previous);
        previous = change.seq;
    }
    let rest: Vec<String> = stalled
        .take(2)
        .await
        .iter()
        .map(|change| change.brief()[..8].to_string())
        .collect();
    assert_eq!(rest, ["delete 5", "insert 0"]);
}

/// 4. Resume misses deletes, and a row that leaves the filter sends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn resume_sees_deletes_and_rows_that_left_the_filter_across_flush_and_restart() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY, room text); INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'a');");
    let mut feed = Feed::open(&peer, "SUBSCRIBE TO t WHERE room = 'a'");
    let (snapshot, ready) = feed.until_ready().await;
    assert_eq!(snapshot.len(), 3);
    drop(feed);
    peer.run("DELETE FROM t WHERE id = 1; UPDATE t SET room = 'b' WHERE id = 2; UPDATE t SET room = 'a' WHERE id = 3;");
    let expected = ["delete 1,a", "delete 2,a", "update 3,a"];
    for step in ["hot", "flushed", "restarted", "killed"] {
        match step {
            "flushed" => drop(
                server
                    .peer()
                    .run("CALL tidelog.flush('t'); CALL tidelog.flush('t');"),
            ),
            "restarted" => server.restart(),
            "killed" => {
                server.kill();
                server.start_again();
            }
            _ => {}
        }
        let resume = format!("SUBSCRIBE TO t WHERE room = 'a' OPTIONS (from = '{ready}')");
        let mut feed = Feed::open(&server.peer(), &resume);
        assert!(feed.until_ready().await.0.is_empty());
        let changes = feed.take(3).await;
        assert_eq!(
            changes.iter().map(Change::brief).collect::<Vec<_>>(),
            expected,
            "{step}"
        );
        assert_eq!(
            changes[2].old,
            Some(serde_json::json!({"id": 3, "room": "a"})),
            "{step}"
        );
    }
}
