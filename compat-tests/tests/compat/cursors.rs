//! Cursors as PostgreSQL has them, and cursors of subscriptions.

use std::time::{Duration, Instant};

use tidelog_compat_tests::Server;
use tidelog_compat_tests::process::PATIENCE;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::Pair;

/// What a statement answers: rows, the number in its tag, or its error.
async fn answer(client: &Client, statement: &str) -> Vec<String> {
    let messages = match timeout(PATIENCE, client.simple_query(statement))
        .await
        .expect(statement)
    {
        Ok(messages) => messages,
        Err(error) => {
            let error = error.as_db_error().expect(statement);
            return vec![format!("{} {}", error.code().code(), error.message())];
        }
    };
    let shown = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or("-"));
            Some(values.collect::<Vec<_>>().join("|"))
        }
        SimpleQueryMessage::CommandComplete(rows) => Some(format!("({rows})")),
        SimpleQueryMessage::RowDescription(columns) => Some(
            columns
                .iter()
                .map(|column| column.name())
                .collect::<Vec<_>>()
                .join("|"),
        ),
        _ => None,
    };
    messages.iter().filter_map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_fetch_move_and_end_as_in_postgresql() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
              INSERT INTO t SELECT g, 'b' || g FROM generate_series(1, 10) AS s(g);",
    );
    let (tide, pg) = pair.connect().await;
    for statement in [
        "DECLARE c CURSOR FOR SELECT * FROM t",
        "FETCH c",
        "CLOSE c",
        "BEGIN",
        "DECLARE c NO SCROLL CURSOR FOR SELECT id, body FROM t ORDER BY id",
        "DECLARE \"C d\" CURSOR WITHOUT HOLD FOR VALUES (1, 'x'), (2, NULL)",
        "FETCH c",
        "FETCH NEXT FROM c",
        "FETCH 2 c",
        "FETCH FORWARD 2 IN c",
        "MOVE 1 FROM c",
        "MOVE c",
        "FETCH RELATIVE 1 FROM c",
        "FETCH FORWARD ALL FROM c",
        "FETCH c",
        "MOVE ALL IN c",
        "FETCH ALL \"C d\"",
        "SELECT name, is_holdable, is_binary FROM pg_cursors ORDER BY name",
        "CLOSE c",
        "SELECT name, statement FROM pg_cursors",
        "INSERT INTO t VALUES (11, 'late')",
        "DECLARE late SCROLL CURSOR FOR SELECT id FROM t ORDER BY id",
        "DELETE FROM t WHERE id = 11",
        "FETCH LAST late",
        "FETCH PRIOR late",
        "FETCH BACKWARD 3 FROM late",
        "FETCH ABSOLUTE 2 FROM late",
        "FETCH ABSOLUTE -2 FROM late",
        "FETCH RELATIVE -3 FROM late",
        "FETCH 0 FROM late",
        "FETCH -2 FROM late",
        "MOVE BACKWARD ALL IN late",
        "FETCH FIRST FROM late",
        "FETCH ABSOLUTE 100 FROM late",
        "FETCH BACKWARD ALL FROM late",
        "FETCH late",
        "FETCH FORWARD 0 FROM late",
        "COMMIT",
        "FETCH late",
        "BEGIN",
        "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM t WHERE id < 5 ORDER BY id",
        "DECLARE gone CURSOR FOR SELECT 1",
        "FETCH 2 FROM h",
        "COMMIT",
        "DELETE FROM t WHERE id = 3",
        "FETCH 1 FROM h",
        "FETCH gone",
        "SELECT name, is_holdable FROM pg_cursors",
        "FETCH ALL FROM h",
        "CLOSE ALL",
        "SELECT count(*) FROM pg_cursors",
        "DECLARE h2 CURSOR WITH HOLD FOR SELECT 1 AS one",
        "FETCH h2",
        "BEGIN",
        "DECLARE h3 CURSOR WITH HOLD FOR SELECT 1 AS one",
        "ROLLBACK",
        "SELECT name FROM pg_cursors",
        "BEGIN",
        "DECLARE a CURSOR FOR SELECT 1 AS one",
        "SAVEPOINT s",
        "DECLARE b CURSOR FOR SELECT 2 AS two",
        "ROLLBACK TO s",
        "FETCH a",
        "FETCH b",
        "ROLLBACK",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT 1",
        "DECLARE c CURSOR FOR SELECT 2",
        "FETCH c",
        "ROLLBACK",
        "BEGIN",
        "DECLARE c NO SCROLL CURSOR FOR SELECT id FROM t ORDER BY id",
        "FETCH 2 FROM c",
        "FETCH BACKWARD 1 FROM c",
        "ROLLBACK",
        "CLOSE nope",
        "MOVE nope",
        "DECLARE c CURSOR FOR INSERT INTO t VALUES (1)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT nope FROM t",
    ] {
        let (found, expected) = (answer(&tide, statement).await, answer(&pg, statement).await);
        assert_eq!(found, expected, "{statement}");
    }
    // What PostgreSQL has and we have not is refused by name.
    for (statement, code) in [
        ("DECLARE c BINARY CURSOR WITH HOLD FOR SELECT 1", "0A000"),
        (
            "DECLARE c SCROLL CURSOR WITH HOLD FOR SUBSCRIBE TO t",
            "0A000",
        ),
        ("FETCH c WITH (patience = 1)", "22023"),
        ("FETCH c WITH (timeout = 'soon')", "22023"),
    ] {
        let found = answer(&tide, statement).await;
        assert!(found[0].starts_with(code), "{statement}: {found:?}");
    }
    // As PostgreSQL without a snapshot's lock: what is declared reads on while others write.
    tide.batch_execute("BEGIN; DECLARE big CURSOR FOR SELECT id FROM t ORDER BY id")
        .await
        .unwrap();
    tide.batch_execute("UPDATE t SET body = 'changed'; DELETE FROM t WHERE id > 5")
        .await
        .unwrap();
    assert_eq!(answer(&tide, "MOVE ALL IN big").await, ["(9)"]);
    tide.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_cursor_is_read_in_portions() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY);
        INSERT INTO t SELECT g FROM generate_series(1, 100000) AS s(g);",
    );
    let client = server.peer().connect().await;
    client
        .batch_execute("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id")
        .await
        .unwrap();
    let fetch = client.prepare("FETCH 7777 FROM c").await.unwrap();
    let mut next = 1_i64;
    loop {
        let rows = client.query(&fetch, &[]).await.unwrap();
        if rows.is_empty() {
            break;
        }
        for row in rows {
            assert_eq!(row.get::<_, i64>(0), next);
            next += 1;
        }
    }
    assert_eq!(next, 100_001);
}

fn brief(row: &str) -> String {
    row.split('|').skip(1).collect::<Vec<_>>().join("|")
}

async fn fetch(client: &Client, statement: &str) -> Vec<String> {
    let rows = answer(client, statement).await;
    assert!(
        rows[0].starts_with("_seq|_op|_commit|"),
        "{statement}: {rows:?}"
    );
    rows[1..rows.len() - 1]
        .iter()
        .map(|row| brief(row))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_cursor_gives_what_is_there() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3);");
    let client = peer.connect().await;
    let outside = answer(&client, "DECLARE c CURSOR FOR SUBSCRIBE TO t").await;
    assert_eq!(
        outside,
        ["25P01 DECLARE CURSOR can only be used in transaction blocks"]
    );
    client
        .batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE TO t WHERE id <> 2")
        .await
        .unwrap();
    assert_eq!(
        fetch(&client, "FETCH 1 FROM c WITH (timeout = '0')").await,
        ["snapshot|f|1|-"]
    );
    assert_eq!(
        fetch(&client, "FETCH ALL c WITH (timeout = '0s')").await,
        ["snapshot|f|3|-", "ready|t|-|-"]
    );
    let begun = Instant::now();
    assert!(
        fetch(&client, "FETCH ALL c WITH (timeout = '200ms')")
            .await
            .is_empty()
    );
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(
        fetch(&client, "FETCH 5 c WITH (timeout = 0)")
            .await
            .is_empty()
    );
    peer.run("INSERT INTO t VALUES (4), (5); DELETE FROM t WHERE id = 1;");
    assert_eq!(fetch(&client, "FETCH 1 c").await, ["insert|f|4|-"]);
    assert_eq!(answer(&client, "MOVE 1 c").await, ["(1)"]);
    assert_eq!(
        fetch(&client, "FETCH FORWARD 10 FROM c WITH (timeout = '10s')").await,
        ["delete|t|1|-"]
    );
    let back = answer(&client, "FETCH BACKWARD 1 FROM c").await;
    assert_eq!(back, ["55000 cursor can only scan forward"]);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(
        answer(&client, "FETCH c").await,
        ["34000 cursor \"c\" does not exist"]
    );

    // Without a block it outlives statements, its own transaction's changes come when they are committed.
    client
        .batch_execute("DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE TO t OPTIONS (snapshot = false)")
        .await
        .unwrap();
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["ready|t|-|-"]);
    client
        .batch_execute("BEGIN; INSERT INTO t VALUES (6)")
        .await
        .unwrap();
    assert!(
        fetch(&client, "FETCH ALL c WITH (timeout = '20ms')")
            .await
            .is_empty()
    );
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["insert|t|6|-"]);
    // It waits for the first row without end, if it is not told otherwise.
    let waiting = async { fetch(&client, "FETCH 10 c").await };
    let write = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        peer.connect()
            .await
            .batch_execute("INSERT INTO t VALUES (7)")
            .await
            .unwrap();
    };
    let (rows, ()) = tokio::join!(waiting, write);
    assert_eq!(rows, ["insert|t|7|-"]);
    client.batch_execute("CLOSE c").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_cancelled_loses_nothing() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY);");
    let client = peer.connect().await;
    client
        .batch_execute("DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE TO (SELECT id FROM t) OPTIONS (snapshot = false)")
        .await
        .unwrap();
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["ready|t|-|-"]);
    let writer = {
        let peer = peer.clone();
        tokio::spawn(async move {
            let client = peer.connect().await;
            for id in 0..300_i64 {
                client
                    .execute("INSERT INTO t VALUES ($1)", &[&id])
                    .await
                    .unwrap();
            }
        })
    };
    let (mut seen, mut cancelled) = (Vec::new(), 0);
    for turn in 0.. {
        if seen.len() == 300 {
            break;
        }
        let cancel = async {
            if turn % 3 == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_micros(turn % 7 * 300)).await;
            client
                .cancel_token()
                .cancel_query(tokio_postgres::NoTls)
                .await
                .unwrap();
        };
        let ask = if turn % 2 == 0 {
            "FETCH 50 c"
        } else {
            "FETCH ALL c WITH (timeout = '1ms')"
        };
        let (rows, ()) = tokio::join!(answer(&client, ask), cancel);
        match rows[0].starts_with("57014") {
            true => cancelled += 1,
            false => seen.extend(rows[1..rows.len() - 1].iter().map(|row| brief(row))),
        }
    }
    writer.await.unwrap();
    let expected: Vec<String> = (0..300).map(|id| format!("insert|t|{id}|-")).collect();
    assert_eq!(seen, expected);
    println!("{cancelled} FETCHes were cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_with_a_row_limit_is_suspended() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT g FROM generate_series(1, 25) AS s(g);");
    let mut client = peer.connect().await;
    let transaction = client.transaction().await.unwrap();
    for (statement, total) in [
        ("SELECT id FROM t ORDER BY id", 25),
        ("SUBSCRIBE TO (SELECT id FROM t)", 26),
    ] {
        let portal = transaction.bind(statement, &[]).await.unwrap();
        let mut rows = 0;
        while rows < total {
            let some = timeout(PATIENCE, transaction.query_portal(&portal, 10))
                .await
                .unwrap()
                .unwrap();
            assert!((1..=10).contains(&some.len()), "{statement}");
            rows += some.len();
        }
        assert_eq!(rows, total, "{statement}");
    }
    // A subscription's portal goes on.
    let portal = transaction
        .bind("SUBSCRIBE TO t OPTIONS (snapshot = false)", &[])
        .await
        .unwrap();
    assert_eq!(
        transaction.query_portal(&portal, 10).await.unwrap().len(),
        1
    );
    peer.run("INSERT INTO t VALUES (100), (101);");
    let rows = timeout(PATIENCE, transaction.query_portal(&portal, 10))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.get::<_, i64>("id"))
            .collect::<Vec<_>>(),
        [100, 101]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_a_feed_that_has_failed_gives_what_came_before_and_then_fails_for_good() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE s (id int PRIMARY KEY, z int); INSERT INTO s VALUES (1, 1);");
    let client = peer.connect().await;
    let fetch = async |cursor: &str| {
        let fetch = format!("FETCH ALL FROM {cursor} WITH (timeout = '0')");
        match client.simple_query(&fetch).await {
            Ok(messages) => Ok(messages
                .iter()
                .filter(|m| matches!(m, SimpleQueryMessage::Row(_)))
                .count()),
            Err(error) => Err(error
                .as_db_error()
                .expect("of the server")
                .code()
                .code()
                .to_string()),
        }
    };
    let declare = "DECLARE altered CURSOR WITH HOLD FOR SUBSCRIBE TO s;
         DECLARE truncated CURSOR WITH HOLD FOR SUBSCRIBE TO s OPTIONS (on_lag = 'disconnect')";
    client.batch_execute(declare).await.expect(declare);
    assert_eq!(fetch("truncated").await, Ok(2));
    peer.run("ALTER TABLE s DROP COLUMN z;");
    assert_eq!(
        fetch("altered").await,
        Ok(2),
        "the row, and that it was all"
    );
    assert_eq!(fetch("altered").await, Err("55000".to_string()));
    assert_eq!(fetch("altered").await, Err("55000".to_string()));
    let declare = "CLOSE truncated;
         DECLARE truncated CURSOR WITH HOLD FOR SUBSCRIBE TO s OPTIONS (on_lag = 'disconnect')";
    client.batch_execute(declare).await.expect(declare);
    assert_eq!(fetch("truncated").await, Ok(2));
    peer.run("INSERT INTO s VALUES (2); TRUNCATE s; INSERT INTO s VALUES (3);");
    assert_eq!(fetch("truncated").await, Err("55000".to_string()));
    assert_eq!(fetch("truncated").await, Err("55000".to_string()));
}
