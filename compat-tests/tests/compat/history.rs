//! Reading the past: AS OF over both tiers, its errors, and the windows that a table is given.

use tidelog_compat_tests::process::wait_for;
use tidelog_compat_tests::{Feed, Peer, Server};
use tokio_postgres::Client;

/// Error code, message, detail and hint.
async fn refused(client: &Client, sql: &str) -> (String, String, String, String) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let error = error.as_db_error().expect("the server refused it");
    let text = |text: Option<&str>| text.unwrap_or_default().to_string();
    (
        error.code().code().to_string(),
        error.message().to_string(),
        text(error.detail()),
        text(error.hint()),
    )
}

fn newest(peer: &Peer, table: &str) -> i64 {
    let seq = peer.value(&format!("SELECT max(_seq) FROM {table}"));
    seq.parse().expect("a Seq")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reads_what_was_there_hot_and_cold() {
    let mut server = Server::start();
    for key in ["", "PRIMARY KEY"] {
        let peer = server.peer();
        peer.run(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (id int8 {key}, body text);
             INSERT INTO t SELECT n, 'first' FROM generate_series(1, 2000) AS g(n);"
        ));
        let first = newest(&peer, "t");
        let time = peer.value("SELECT now()");
        // A time is exact to the millisecond.
        std::thread::sleep(std::time::Duration::from_millis(5));
        peer.run("CREATE INDEX ON t (body);");
        peer.run("UPDATE t SET body = 'second' WHERE id <= 1000; CALL tidelog.flush('t');");
        let second = newest(&peer, "t");
        peer.run("DELETE FROM t WHERE id % 2 = 0; INSERT INTO t VALUES (5000, 'third'); CALL tidelog.flush('t');");
        peer.run("UPDATE t SET body = 'fourth' WHERE id = 5000;");
        let check = |server: &Server| {
            let peer = server.peer();
            let value = |sql: &str, end: &str| peer.value(&format!("{sql} {end}"));
            let counts = "SELECT count(*) || ' ' || count(*) FILTER (WHERE body = 'first') FROM t";
            let point = "SELECT coalesce((SELECT body FROM t WHERE id = 2), 'gone')";
            for at in [format!("SEQ {first}"), format!("TIMESTAMP '{time}'")] {
                assert_eq!(value(counts, &format!("AS OF {at}")), "2000 2000");
                assert_eq!(value(point, &format!("AS OF {at}")), "first");
            }
            let at = format!("AS OF SEQ {second}");
            assert_eq!(value(counts, &at), "2000 1000");
            assert_eq!(value(point, &at), "second");
            assert_eq!(
                value("SELECT count(*) FROM t WHERE body = 'second'", &at),
                "1000"
            );
            assert_eq!(
                value("SELECT count(*) FROM t WHERE body = 'fourth'", &at),
                "0"
            );
            assert_eq!(value("SELECT max(_seq) FROM t", &at), second.to_string());
            let joined = "SELECT count(*) FROM t AS a JOIN t AS b ON a.id = b.id WHERE b.id < 11";
            assert_eq!(value(joined, &at), "10");
            assert_eq!(value(joined, ""), "5");
            assert_eq!(value(counts, ""), "1001 500");
            assert_eq!(value(point, ""), "gone");
        };
        check(&server);
        peer.run("CALL tidelog.compact('t');");
        check(&server);
        server.restart();
        check(&server);
        let peer = server.peer();

        // With parameters, prepared once; inside a transaction without its own changes.
        let mut client = peer.connect().await;
        let sql = "SELECT body FROM t WHERE id = $1 AS OF SEQ $2";
        let statement = client.prepare(sql).await.unwrap();
        assert_eq!(statement.params().len(), 2);
        for (seq, body) in [(first, "first"), (second, "second")] {
            let row = client.query_one(&statement, &[&2_i64, &seq]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), body);
        }
        let transaction = client.transaction().await.unwrap();
        transaction
            .batch_execute("UPDATE t SET body = 'mine' WHERE id = 1")
            .await
            .unwrap();
        let row = transaction
            .query_one(&statement, &[&1_i64, &second])
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), "second");
        transaction.rollback().await.unwrap();

        // What was deleted comes back.
        peer.run(&format!(
            "INSERT INTO t SELECT * FROM t WHERE id = 4 AS OF SEQ {second} RETURNING id;"
        ));
        assert_eq!(peer.value("SELECT body FROM t WHERE id = 4"), "second");
        let copied = peer.run(&format!(
            "COPY (SELECT * FROM t WHERE id < 3 ORDER BY id AS OF SEQ {first}) TO STDOUT;"
        ));
        assert_eq!(copied, "1\tfirst\n2\tfirst\n");
        let hour = "AS OF TIMESTAMP now() - interval '1 hour'";
        let error = peer
            .try_run(&format!("SELECT * FROM t {hour};"))
            .unwrap_err();
        assert!(error.contains("did not exist"), "{error}");
        let now = "SELECT count(*) FROM t AS OF TIMESTAMP now()";
        assert_eq!(peer.value(now), peer.value("SELECT count(*) FROM t"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_explained_prepared_and_kept_in_tables() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 1);");
    let then = newest(&peer, "t");
    peer.run("UPDATE t SET n = 2; INSERT INTO t VALUES (3, 2);");
    let at = format!("AS OF SEQ {then}");
    for (make, kept) in [
        (format!("CREATE TABLE a AS SELECT * FROM t {at}"), "1|1 2|1"),
        (
            format!("CREATE TABLE a (x) AS SELECT * FROM t WHERE id > 1 {at} WITH DATA"),
            "2|1",
        ),
        (
            format!("CREATE TABLE a AS SELECT * FROM t {at} WITH NO DATA"),
            "",
        ),
        (format!("SELECT id, n INTO a FROM t {at}"), "1|1 2|1"),
        (
            format!(
                "BEGIN; DELETE FROM t WHERE id = 1; CREATE TABLE a AS SELECT * FROM t {at}; ROLLBACK; CREATE TABLE a AS SELECT * FROM t {at}"
            ),
            "1|1 2|1",
        ),
        (
            "CREATE USER TABLE a AS SELECT * FROM t AS OF TIMESTAMP now()".to_string(),
            "1|2 2|2 3|2",
        ),
    ] {
        let rows = peer.run(&format!(
            "{make}; SELECT * FROM a ORDER BY 1; DROP TABLE a;"
        ));
        let rows: Vec<_> = rows.lines().collect();
        assert_eq!(rows.join(" "), kept, "{make}");
    }
    let explained = peer.run(&format!(
        "EXPLAIN (ANALYZE, COSTS off) SELECT * FROM t {at};"
    ));
    assert!(explained.contains("rows=2 "), "{explained}");
    let inserted =
        format!("EXPLAIN ANALYZE INSERT INTO t SELECT id + 10, n FROM t {at} RETURNING id;");
    peer.run(&inserted);
    assert_eq!(
        peer.value("SELECT string_agg(id || ':' || n, ' ' ORDER BY id) FROM t WHERE id > 10"),
        "11:1 12:1"
    );
    let rows = peer.run(&format!(
        "PREPARE p AS SELECT n FROM t WHERE id = $1 AS OF SEQ $2;
         EXECUTE p (1, {then}); EXECUTE p (3, {then}); EXECUTE p (3, (SELECT max(_seq) FROM t));"
    ));
    assert_eq!(rows, "1\n2\n");

    let client = peer.connect().await;
    let prepare = "PREPARE q AS SELECT n FROM t WHERE id = 2 AS OF SEQ $1";
    let statement = client.prepare(prepare).await.unwrap();
    assert!(statement.params().is_empty(), "{:?}", statement.params());
    client.execute(&statement, &[]).await.unwrap();
    let row = client.query_one(&format!("EXECUTE q ({then})"), &[]).await;
    assert_eq!(row.unwrap().get::<_, i32>(0), 1);
    for (sql, code) in [
        (format!("CREATE VIEW v AS SELECT * FROM t {at}"), "0A000"),
        (
            format!("CREATE MATERIALIZED VIEW v AS SELECT * FROM t {at}"),
            "0A000",
        ),
        (format!("CREATE TABLE a (id int) {at}"), "0A000"),
        (format!("EXPLAIN UPDATE t SET n = 1 {at}"), "0A000"),
        (format!("PREPARE r AS DELETE FROM t {at}"), "0A000"),
        (
            format!("CREATE TABLE a AS SELECT * FROM t {at} LIMIT 1"),
            "42601",
        ),
        (format!("SELECT * FROM t {at} WITH DATA"), "42601"),
        ("EXPLAIN EXECUTE q (0)".to_string(), "0A000"),
    ] {
        assert_eq!(refused(&client, &sql).await.0, code, "{sql}");
    }
}

/// What is refused now was in the table then.
#[test]
fn columns_that_refuse_null_had_it_in_the_past() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE t (id int, \"Größe\" text, key int); INSERT INTO t VALUES (1, NULL, NULL), (2, 'b', 2);",
    );
    let then = newest(&peer, "t");
    peer.run(
        "UPDATE t SET \"Größe\" = 'a', key = 1 WHERE id = 1; CALL tidelog.flush('t');
         ALTER TABLE t ALTER COLUMN \"Größe\" SET NOT NULL; ALTER TABLE t ADD PRIMARY KEY (key);",
    );
    for (query, rows) in [
        ("SELECT string_agg(\"Größe\", ',') FROM t", "b"),
        ("SELECT id FROM t WHERE \"Größe\" IS NULL", "1"),
        ("SELECT count(\"Größe\") FROM t", "1"),
        ("SELECT count(key) FROM t", "1"),
        (
            "SELECT coalesce(\"Größe\", 'none') FROM t WHERE id = 1",
            "none",
        ),
        (
            "SELECT count(*) FROM t WHERE 3 NOT IN (SELECT key FROM t)",
            "0",
        ),
        (
            "SELECT string_agg(t::text, ' ' ORDER BY id) FROM t",
            "(1,,) (2,b,2)",
        ),
    ] {
        let query = format!("{query} AS OF SEQ {then}");
        assert_eq!(peer.value(&query), rows, "{query}");
    }
    assert_eq!(peer.value("SELECT count(*) FROM t WHERE key IS NULL"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_what_is_kept_the_past_is_refused() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE old (n int4); INSERT INTO old VALUES (1);
         CREATE TABLE t (id int4 PRIMARY KEY, n int4) WITH (history_window = 0);
         CREATE STREAM TABLE s (n int4) WITH (ttl = '1h');
         INSERT INTO t VALUES (1, 1);",
    );
    let before = newest(&peer, "old");
    let first = newest(&peer, "t");
    peer.run("UPDATE t SET n = 2;");
    let second = newest(&peer, "t");
    let client = peer.connect().await;

    let as_of = |seq: i64| format!("SELECT * FROM t AS OF SEQ {seq}");
    let (code, message, detail, _) = refused(&client, &as_of(before)).await;
    assert_eq!(
        (code.as_str(), message),
        (
            "55000",
            format!("relation \"t\" did not exist at Seq {before}")
        )
    );
    assert!(
        detail.starts_with("It was created, truncated or rewritten at Seq "),
        "{detail}"
    );

    let (code, message, detail, _) = refused(&client, &as_of(second + 1)).await;
    assert_eq!(
        (code.as_str(), message),
        (
            "22023",
            format!("AS OF SEQ {} lies in the future", second + 1)
        )
    );
    assert_eq!(detail, format!("The newest Seq is {second}."));
    let (code, message, ..) = refused(
        &client,
        "SELECT 1 AS OF TIMESTAMP now() + interval '1 minute'",
    )
    .await;
    assert_eq!(code, "22023");
    assert!(message.contains("lies in the future"), "{message}");

    // Nothing has gone yet, window or not; then it has.
    assert_eq!(
        peer.value(&format!("SELECT n FROM t AS OF SEQ {first}")),
        "1"
    );
    peer.run("CALL tidelog.flush('t');");
    let (code, message, detail, hint) = refused(&client, &as_of(first)).await;
    let expected = format!("the history of relation \"t\" does not reach back to Seq {first}");
    assert_eq!((code.as_str(), message), ("55000", expected));
    assert!(
        detail.starts_with(&format!("The oldest that can be read is Seq {second} (")),
        "{detail}"
    );
    assert!(
        hint.contains("ALTER TABLE public.t SET (history_window"),
        "{hint}"
    );
    assert_eq!(
        peer.value(&format!("SELECT n FROM t AS OF SEQ {second}")),
        "2"
    );
    assert_eq!(
        peer.value("SELECT history_from || ' ' || history_window FROM tidelog.tables WHERE table_name = 't'"),
        format!("{second} 0ms")
    );

    // TRUNCATE is where a table begins.
    peer.run("TRUNCATE old;");
    let (code, message, ..) =
        refused(&client, &format!("SELECT * FROM old AS OF SEQ {second}")).await;
    assert_eq!(
        (code.as_str(), message),
        (
            "55000",
            format!("relation \"old\" did not exist at Seq {second}")
        )
    );

    for (sql, code) in [
        (format!("SELECT * FROM s AS OF SEQ {second}"), "0A000"),
        // The newest Seq is no way around.
        ("SELECT * FROM s AS OF TIMESTAMP now()".to_string(), "0A000"),
        (
            "SELECT count(*) FROM s AS OF TIMESTAMP now()".to_string(),
            "0A000",
        ),
        (
            "SELECT * FROM pg_class AS OF TIMESTAMP now()".to_string(),
            "0A000",
        ),
        (
            format!("SELECT * FROM pg_class AS OF SEQ {second}"),
            "0A000",
        ),
        (format!("UPDATE t SET n = 3 AS OF SEQ {second}"), "0A000"),
        (format!("DELETE FROM t AS OF SEQ {second}"), "0A000"),
        (
            format!("INSERT INTO t VALUES (9, 9) AS OF SEQ {second}"),
            "0A000",
        ),
        (
            format!("SELECT * FROM t AS OF SEQ {second} FOR UPDATE"),
            "0A000",
        ),
        (
            format!("SELECT * FROM t FOR UPDATE AS OF SEQ {second}"),
            "0A000",
        ),
        (
            format!("SELECT * FROM (SELECT * FROM t AS OF SEQ {second}) AS x"),
            "0A000",
        ),
        (format!("SUBSCRIBE TO t AS OF SEQ {second}"), "0A000"),
        (
            format!("SELECT * FROM t AS OF SEQ {second} WHERE n = 1"),
            "42601",
        ),
        ("SELECT * FROM t AS OF SEQ".to_string(), "42601"),
        ("SELECT * FROM t AS OF SEQ -1".to_string(), "22023"),
        ("SELECT * FROM t AS OF SEQ NULL".to_string(), "22023"),
        ("SELECT * FROM t AS OF SEQ 'x'".to_string(), "22P02"),
    ] {
        assert_eq!(refused(&client, &sql).await.0, code, "{sql}");
    }
    assert_eq!(peer.value("SELECT n FROM t"), "2");
    // Words like others elsewhere.
    assert_eq!(peer.value("SELECT n AS of FROM t AS seq"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_reads_the_past_of_the_own_partition() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE ada LOGIN PASSWORD 'a'; CREATE ROLE bob LOGIN PASSWORD 'b';
         CREATE USER TABLE notes (id int4 PRIMARY KEY, body text);",
    );
    let (ada, bob) = (peer.role("ada", "a"), peer.role("bob", "b"));
    ada.run("INSERT INTO notes VALUES (1, 'a1');");
    bob.run("INSERT INTO notes VALUES (1, 'b1');");
    let then = newest(&peer, "notes");
    ada.run("UPDATE notes SET body = 'a2';");
    bob.run("DELETE FROM notes;");
    for step in [
        "",
        "CALL tidelog.flush('notes');",
        "CALL tidelog.compact('notes');",
    ] {
        peer.run(step);
        let body =
            format!("SELECT string_agg(body, ' ' ORDER BY body) FROM notes AS OF SEQ {then}");
        assert_eq!(ada.value(&body), "a1");
        assert_eq!(bob.value(&body), "b1");
        assert_eq!(peer.value(&body), "a1 b1");
        let point = format!("SELECT body FROM notes WHERE id = 1 AS OF SEQ {then}");
        assert_eq!(bob.value(&point), "b1");
        assert_eq!(ada.value("SELECT body FROM notes WHERE id = 1"), "a2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_set_shown_and_reset() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text)
             WITH (flush_rows = 5000, flush_bytes = '2MB', resume_bytes = '1MB', history_window = '7d');",
    );
    let options = "SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE relname = 't'";
    assert_eq!(
        peer.value(options),
        "flush_rows=5000 flush_bytes=2097152 resume_bytes=1048576 history_window=7d"
    );
    peer.run("ALTER TABLE t RESET (flush_rows, history_window); ALTER TABLE t SET (flush_interval = '10m');");
    assert_eq!(
        peer.value(options),
        "flush_bytes=2097152 flush_interval=10m resume_bytes=1048576"
    );
    let row = "SELECT flush_rows, flush_bytes, flush_interval, resume_window, resume_bytes, history_window
               FROM tidelog.tables WHERE table_name = 't'";
    assert_eq!(peer.value(row), "100000|2097152|10m|1d|1048576|1h");

    // The policy flushes by bytes.
    peer.run("INSERT INTO t SELECT n, repeat('x', 3000) FROM generate_series(1, 1000) AS g(n);");
    wait_for("the flush by bytes", || {
        let files = "SELECT cold_files FROM tidelog.tables WHERE table_name = 't'";
        (peer.value(files) == "1").then_some(())
    });
    assert_eq!(peer.value("SELECT count(*) FROM t"), "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_sorts_by_the_columns_that_a_table_names() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE m (id int8 PRIMARY KEY, room text, body text) WITH (cluster_by = 'room, id');
         INSERT INTO m SELECT n, 'room ' || (n * 19 % 100), 'b' || n FROM generate_series(1, 30000) AS g(n);
         CALL tidelog.flush('m');
         INSERT INTO m SELECT n, 'room ' || (n * 19 % 100), 'b' || n FROM generate_series(30001, 50000) AS g(n);
         CALL tidelog.flush('m');",
    );
    let then = newest(&peer, "m");
    let ordered = "SELECT string_agg(id::text, ',' ORDER BY _seq) FROM (SELECT id, _seq FROM m ORDER BY _seq DESC LIMIT 5) AS n";
    let room = "SELECT count(*), min(id), max(id) FROM m WHERE room = 'room 19'";
    let (newest_rows, of_room) = (peer.value(ordered), peer.value(room));
    peer.run("CALL tidelog.compact('m');");
    assert_eq!(
        peer.value("SELECT sorted_by FROM tidelog.files"),
        "room, id, _seq"
    );
    assert_eq!(peer.value(ordered), newest_rows);
    assert_eq!(peer.value(room), of_room);
    assert_eq!(peer.value("SELECT body FROM m WHERE id = 12345"), "b12345");
    peer.run("DELETE FROM m WHERE room = 'room 19'; UPDATE m SET body = 'edited' WHERE id = 2;");
    assert_eq!(peer.value(room), "0||");
    assert_eq!(peer.value(&format!("{room} AS OF SEQ {then}")), of_room);
    assert_eq!(
        peer.value("SELECT count(*) FROM m WHERE body = 'edited'"),
        "1"
    );

    // A subscription begins with the rows in the order of their Seqs.
    let mut feed = Feed::open(
        &peer,
        "SUBSCRIBE TO m WHERE room = 'room 38' OPTIONS (last_rows = 100)",
    );
    let (rows, _) = feed.until_ready().await;
    assert!(rows.len() >= 100 && rows.is_sorted_by(|a, b| a.seq <= b.seq));
    assert_eq!(
        peer.value("SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE relname = 'm'"),
        "cluster_by=room, id"
    );
}
