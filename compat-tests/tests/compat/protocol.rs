//! Statements over the simple and the extended protocol, beside PostgreSQL.

use futures::{SinkExt, TryStreamExt};
use tidelog_compat_tests::Server;

use crate::pair::{Pair, Raw, same_answers, text};

const TABLES: &str = "
    CREATE SCHEMA s;
    CREATE TABLE s.item (id int8 PRIMARY KEY, name text NOT NULL DEFAULT 'none', price numeric(10,2), at date);
    CREATE TABLE s.pair (a int4, b text, n int8, PRIMARY KEY (a, b));
    CREATE TABLE s.heap (n int4, name text);
";

#[tokio::test(flavor = "multi_thread")]
async fn writing_and_reading_answer_as_postgresql_does() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    let steps = [
        "INSERT INTO s.item VALUES (1, 'one', 1.5, '2026-01-02'), (2, DEFAULT, NULL, NULL), (3, 'three', 3, NULL) RETURNING *",
        "INSERT INTO s.item (price, id) VALUES (4.444, 4) RETURNING id, name AS called, price * 2 AS twice",
        "INSERT INTO s.item (id) SELECT id + 10 FROM s.item WHERE id <= 2 RETURNING id",
        "SELECT * FROM s.item ORDER BY id",
        "UPDATE s.item SET price = price + 1, name = name || '!' WHERE id IN (1, 3) RETURNING id, name, price",
        "UPDATE s.item SET name = 'all' RETURNING id",
        "SELECT id, name, price FROM s.item WHERE price > 2.5 OR price IS NULL ORDER BY id DESC",
        "DELETE FROM s.item WHERE id > 10 RETURNING id, name",
        "SELECT count(*) FROM s.item",
        "INSERT INTO s.pair VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)",
        "UPDATE s.pair SET n = n * 10 WHERE (a, b) = (1, 'y')",
        "UPDATE s.pair SET a = 9 WHERE a = 2 RETURNING *",
        "DELETE FROM s.pair WHERE a = 1 AND b = 'x'",
        "SELECT * FROM s.pair ORDER BY a, b",
        "INSERT INTO s.heap VALUES (1, 'same'), (1, 'same'), (NULL, NULL)",
        "UPDATE s.heap SET n = 2 WHERE n = 1 RETURNING n, name",
        "SELECT n, name FROM s.heap ORDER BY n NULLS LAST",
        "DELETE FROM s.heap WHERE n = 2",
        "SELECT n, name FROM s.heap",
        "SELECT i.id, p.b FROM s.item i LEFT JOIN s.pair p ON p.a = i.id ORDER BY i.id, p.b",
        "WITH few AS (SELECT id FROM s.item WHERE id < 3) SELECT name FROM s.item WHERE id IN (SELECT id FROM few) ORDER BY id",
        "SELECT 1 AS one, 'a' AS a, true AS yes, NULL AS nothing, 1.50 AS n",
        "SELECT CASE WHEN id % 2 = 0 THEN 'even' ELSE 'odd' END AS parity, count(*) FROM s.item GROUP BY 1 ORDER BY 1",
        "TRUNCATE s.heap",
        "SELECT count(*) FROM s.heap",
    ];
    for step in steps {
        // Once by the simple protocol; what only reads also by the extended one, in binary.
        assert_eq!(
            sorted(text(&tide, step).await.rows),
            sorted(text(&pg, step).await.rows),
            "{step}"
        );
        if step.starts_with("SELECT") || step.starts_with("WITH") {
            same_answers(&tide, &pg, step).await;
        }
    }
}

/// RETURNING promises no order.
fn sorted(mut rows: Vec<Vec<Option<String>>>) -> Vec<Vec<Option<String>>> {
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_run_again_and_count_their_rows() {
    let server = Server::start();
    server.peer().run(TABLES);
    let client = server.peer().connect().await;
    let insert = client
        .prepare("INSERT INTO s.item (id, name) VALUES ($1, $2) RETURNING id")
        .await
        .unwrap();
    for id in 0..100_i64 {
        assert_eq!(
            client
                .query_one(&insert, &[&id, &format!("n{id}")])
                .await
                .unwrap()
                .get::<_, i64>(0),
            id
        );
    }
    let find = client
        .prepare("SELECT name FROM s.item WHERE id = $1")
        .await
        .unwrap();
    assert_eq!(
        client
            .query_one(&find, &[&42_i64])
            .await
            .unwrap()
            .get::<_, &str>(0),
        "n42"
    );
    assert!(
        client
            .query_opt(&find, &[&1000_i64])
            .await
            .unwrap()
            .is_none()
    );
    let update = client
        .prepare("UPDATE s.item SET name = $2 WHERE id < $1")
        .await
        .unwrap();
    assert_eq!(
        client.execute(&update, &[&10_i64, &"few"]).await.unwrap(),
        10
    );
    assert_eq!(
        client
            .execute("DELETE FROM s.item WHERE name = $1", &[&"few"])
            .await
            .unwrap(),
        10
    );
    assert_eq!(
        client
            .query_one("SELECT count(*) FROM s.item", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        90
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_gives_its_rows_in_pieces() {
    let server = Server::start();
    server.peer().run(TABLES);
    let mut client = server.peer().connect().await;
    client
        .batch_execute("INSERT INTO s.item (id) SELECT * FROM generate_series(1, 1000)")
        .await
        .unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind("SELECT id FROM s.item ORDER BY id", &[])
        .await
        .unwrap();
    let mut seen = Vec::new();
    for size in [300, 300, 300, 100] {
        let rows = transaction.query_portal(&portal, 300).await.unwrap();
        assert_eq!(rows.len(), size);
        seen.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_seen_whole_or_not_at_all() {
    let server = Server::start();
    server.peer().run(TABLES);
    let client = server.peer().connect().await;
    let other = server.peer().connect().await;
    let count = async || {
        other
            .query_one("SELECT count(*) FROM s.item", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    client
        .batch_execute("BEGIN; INSERT INTO s.item (id) VALUES (1), (2)")
        .await
        .unwrap();
    assert_eq!(
        text(&client, "SELECT count(*) FROM s.item").await.rows[0][0].as_deref(),
        Some("2")
    );
    assert_eq!(count().await, 0);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(count().await, 0);
    client
        .batch_execute(
            "BEGIN; INSERT INTO s.item (id) VALUES (3); UPDATE s.item SET name = 'x'; COMMIT",
        )
        .await
        .unwrap();
    assert_eq!(count().await, 1);
    // Statements sent together are one transaction.
    client
        .batch_execute("INSERT INTO s.item (id) VALUES (4); INSERT INTO s.item (id) VALUES (4)")
        .await
        .unwrap_err();
    assert_eq!(count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_that_count_up_both_count() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE counter (id int4 PRIMARY KEY, n int8); INSERT INTO counter VALUES (1, 0);",
    );
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let client = server.peer().connect().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..100 {
                assert_eq!(
                    client
                        .execute("UPDATE counter SET n = n + 1 WHERE id = 1", &[])
                        .await
                        .unwrap(),
                    1
                );
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.peer().value("SELECT n FROM counter"), "400");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_in_and_out_by_a_driver() {
    let server = Server::start();
    server.peer().run(TABLES);
    let client = server.peer().connect().await;
    let sink = client
        .copy_in("COPY s.item (id, name) FROM STDIN")
        .await
        .unwrap();
    let mut sink = Box::pin(sink);
    // Pieces need not end where lines do.
    for piece in ["1\tone\n2\ttw", "o\\t2\n", "3\t", "three\n"] {
        sink.send(bytes::Bytes::from_static(piece.as_bytes()))
            .await
            .unwrap();
    }
    assert_eq!(sink.as_mut().finish().await.unwrap(), 3);
    let out = client
        .copy_out("COPY (SELECT id, name FROM s.item ORDER BY id) TO STDOUT")
        .await
        .unwrap();
    let pieces: Vec<bytes::Bytes> = out.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"1\tone\n2\ttwo\\t2\n3\tthree\n");

    // Half a load is no load.
    let sink = client
        .copy_in("COPY s.item (id, name) FROM STDIN")
        .await
        .unwrap();
    let mut sink = Box::pin(sink);
    sink.send(bytes::Bytes::from_static(b"4\tfour\nfive\tfive\n"))
        .await
        .unwrap();
    let error = sink.as_mut().finish().await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "22P02");
    assert_eq!(
        error.where_(),
        Some(r#"COPY item, line 2, column id: "five""#)
    );
    assert_eq!(
        text(&client, "SELECT count(*) FROM s.item").await.rows[0][0].as_deref(),
        Some("3")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_query_and_the_connection_lives_on() {
    let server = Server::start();
    let client = server.peer().connect().await;
    let token = client.cancel_token();
    let query = "SELECT count(*) FROM generate_series(1, 2000000) a, generate_series(1, 2000000) b";
    let query = client.simple_query(query);
    tokio::pin!(query);
    // A cancel that overtakes the query has nothing to end, so there are more.
    let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
    let answer = loop {
        tokio::select! {
            answer = &mut query => break answer,
            _ = again.tick() => token.cancel_query(tokio_postgres::NoTls).await.unwrap(),
        }
    };
    let error = answer.unwrap_err();
    let code = error.as_db_error().unwrap().code().code();
    assert_eq!(code, "57014");
    assert_eq!(
        text(&client, "SELECT 1").await.rows[0][0].as_deref(),
        Some("1")
    );
}

/// After an error a transaction says of each portal that it is aborted: of the one that failed and of one that has rows left.
#[tokio::test(flavor = "multi_thread")]
async fn portals_of_a_failed_transaction() {
    let pair = Pair::start();
    let (mut tide, mut pg) = pair.connect().await;
    for client in [&mut tide, &mut pg] {
        let transaction = client.transaction().await.unwrap();
        let bound = async |sql: &str| transaction.bind(sql, &[]).await.unwrap();
        let failing = bound("SELECT 1 / (1 - g) FROM generate_series(1, 2) g").await;
        let other = bound("SELECT generate_series(1, 9)").await;
        transaction.query_portal(&other, 2).await.unwrap();
        let mut codes = Vec::new();
        for portal in [&failing, &failing, &other] {
            let error = transaction.query_portal(portal, 1).await.unwrap_err();
            codes.push(error.code().unwrap().code().to_string());
        }
        assert_eq!(codes, ["22012", "25P02", "25P02"]);
    }
}

/// A cancel ends what runs and nothing after it, also where that is Bind and Execute of a statement that is prepared.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_does_not_reach_the_statement_after() {
    let server = Server::start();
    let client = server.peer().connect().await;
    let token = client.cancel_token();
    let sleep = client.prepare("SELECT pg_sleep(600)").await.unwrap();
    let one = client.prepare("SELECT 1").await.unwrap();
    let running = client.query(&sleep, &[]);
    tokio::pin!(running);
    let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
    let cancelled = loop {
        tokio::select! {
            answer = &mut running => break answer,
            _ = again.tick() => token.cancel_query(tokio_postgres::NoTls).await.unwrap(),
        }
    };
    let error = cancelled.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().code().code(), "57014");
    let answer = client.query_one(&one, &[]).await.unwrap();
    assert_eq!(answer.get::<_, i32>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_ends_by_a_cancel_and_by_statement_timeout() {
    let server = Server::start();
    let client = server.peer().connect().await;
    let token = client.cancel_token();
    let sleep = client.simple_query("SELECT pg_sleep(600)");
    tokio::pin!(sleep);
    let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
    let cancelled = loop {
        tokio::select! {
            answer = &mut sleep => break answer,
            _ = again.tick() => token.cancel_query(tokio_postgres::NoTls).await.unwrap(),
        }
    };
    let timed_out = client
        .simple_query("SET statement_timeout = 100; SELECT pg_sleep_for('10 minutes')")
        .await;
    for answer in [cancelled, timed_out] {
        let error = answer.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().code().code(), "57014");
    }
}

/// The bytes that PostgreSQL sends, and takes.
#[tokio::test(flavor = "multi_thread")]
async fn binary_copy_in_and_out() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE b (id int8 PRIMARY KEY, i2 int2, i4 int4, f4 float4, f8 float8, n numeric(12,3), t text, v varchar(9), c char(4),
             yes bool, raw bytea, day date, at timestamp, tz timestamptz, clock time, span interval, u uuid, j json, jb jsonb,
             list int4[], words text[] DEFAULT '{d}', bits bit(5), vb varbit, ip inet, net cidr, mac macaddr, lsn pg_lsn, pt point,
             bx box, pa path, r4 int4range, r8 int8range, fn regproc, more int8 DEFAULT 7);
         INSERT INTO b VALUES (1, 2, 3, 1.5, 2.25, 1234.500, 'text', 'vär', 'ch', true, '\\x00ff', '2026-01-02', '2026-01-02 03:04:05.6',
             '2026-01-02 03:04:05Z', '03:04:05', '1 mon 2 days', '00000000-0000-0000-0000-000000000001', '{\"a\": 1}', '{\"a\": 1}',
             '{1,NULL,3}', '{x,\"y z\"}', '10110', '101100111', '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '16/B374D848', '(1,2)',
             '(1,2),(3,0)', '[(0,0),(1,1)]', '[1,5]', '(,7)', 'int4in', 9);
         INSERT INTO b (id) VALUES (2); CREATE TABLE into_b (LIKE b INCLUDING DEFAULTS);",
    );
    let (tide, pg) = pair.connect().await;
    let columns = "id, i2, i4, f4, f8, n, t, v, c, yes, raw, day, at, tz, clock, span, u, j, jb, list, words, bits, vb, ip, net, mac, lsn, pt, bx, pa, r4, r8, fn";
    let out = async |client: &tokio_postgres::Client, statement: &str| {
        let stream = client.copy_out(statement).await.unwrap();
        let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        chunks
    };
    let table = format!("COPY b ({columns}) TO STDOUT (FORMAT binary)");
    let query = "COPY (SELECT id, t FROM b WHERE id < 0) TO STDOUT WITH BINARY";
    let ordered = format!("COPY (SELECT {columns} FROM b ORDER BY id) TO STDOUT (FORMAT binary)");
    for statement in [query, &ordered, &table] {
        assert_eq!(
            out(&tide, statement).await,
            out(&pg, statement).await,
            "{statement}"
        );
    }
    let bytes = out(&pg, &ordered).await.concat();
    let fill = async |client: &tokio_postgres::Client, bytes: &[u8], step: usize| {
        let statement = format!("COPY into_b ({columns}) FROM STDIN (FORMAT binary)");
        let sink = client.copy_in(&statement).await.unwrap();
        let mut sink = Box::pin(sink);
        for chunk in bytes.chunks(step) {
            if sink
                .send(bytes::Bytes::copy_from_slice(chunk))
                .await
                .is_err()
            {
                break;
            }
        }
        match sink.as_mut().finish().await {
            Ok(rows) => rows.to_string(),
            Err(error) => match error.as_db_error() {
                Some(error) => format!(
                    "{} {} {:?}",
                    error.code().code(),
                    error.message(),
                    error.where_()
                ),
                None => "the connection broke".to_string(),
            },
        }
    };
    // In pieces of any size.
    for step in [bytes.len(), 1, 7] {
        assert_eq!(fill(&tide, &bytes, step).await, "2");
    }
    fill(&pg, &bytes, bytes.len()).await;
    let rows = "SELECT DISTINCT id, t, n, j::text, list, words, more, span FROM into_b ORDER BY id";
    pair.same(rows);
    // Broken in several ways: a wrong signature, too short, a field too many, no header.
    let mut wrong = bytes.clone();
    wrong[0] = b'X';
    let short = &bytes[..bytes.len() - 10];
    let mut fields = bytes.clone();
    fields[20] += 1;
    for broken in [&wrong[..], short, &fields, b"PGCOPY", b""] {
        assert_eq!(
            fill(&tide, broken, broken.len().max(1)).await,
            fill(&pg, broken, broken.len().max(1)).await,
            "{broken:?}"
        );
    }
    for statement in [
        "COPY b TO STDOUT (FORMAT binary, DELIMITER ',')",
        "COPY b TO STDOUT (FORMAT binary, NULL 'x')",
        "COPY b TO STDOUT (FORMAT binary, HEADER)",
    ] {
        pair.same_or_fail(statement);
    }
}

/// A result's columns say which column of which table they are.
#[tokio::test(flavor = "multi_thread")]
async fn result_columns_tell_their_tables() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (gone int4, id int4 PRIMARY KEY, x text); ALTER TABLE t DROP COLUMN gone;
         CREATE TABLE u (id int4 PRIMARY KEY, of_t int4);",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT * FROM t",
        "SELECT x, id + 1 AS next, id FROM t WHERE id > 1 ORDER BY x LIMIT 3",
        "SELECT a.x AS called, u.* FROM t a LEFT JOIN u ON u.of_t = a.id",
        "SELECT s.x FROM (SELECT x, id FROM t) s",
        "SELECT count(*) FROM t",
        "WITH w AS (SELECT id FROM u) SELECT id FROM w",
    ] {
        let told = async |client: &tokio_postgres::Client| {
            let oid = |name: &str| format!("SELECT '{name}'::regclass::oid");
            let t: u32 = client.query_one(&oid("t"), &[]).await.unwrap().get(0);
            let statement = client.prepare(query).await.unwrap();
            let column = |column: &tokio_postgres::Column| {
                let table = column.table_oid().map(|oid| oid == t);
                (column.name().to_string(), table, column.column_id())
            };
            statement.columns().iter().map(column).collect::<Vec<_>>()
        };
        assert_eq!(told(&tide).await, told(&pg).await, "{query}");
    }
}

/// What writes many rows is cut short in time, and leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn statement_timeout_ends_statements_that_write_many_rows() {
    let server = Server::start();
    let client = server.peer().connect().await;
    client
        .batch_execute(
            "CREATE TABLE big (id int PRIMARY KEY, n int NOT NULL CHECK (n >= 0), body text);
             INSERT INTO big SELECT i, i, 'x' FROM generate_series(1, 60000) i;
             CREATE TABLE copied (id int PRIMARY KEY, n int, body text)",
        )
        .await
        .unwrap();
    let statements = [
        "INSERT INTO copied SELECT i, i, 'x' FROM generate_series(1, 300000) i",
        "INSERT INTO copied SELECT i, i, 'x' FROM generate_series(1, 300000) i ON CONFLICT DO NOTHING",
        "CREATE TABLE made AS SELECT i AS id FROM generate_series(1, 500000) i",
        "UPDATE big SET n = n + 1",
        "UPDATE big SET id = id + 100000",
        "DELETE FROM big",
    ];
    for block in [false, true] {
        for statement in statements {
            client
                .batch_execute("SET statement_timeout = '30ms'")
                .await
                .unwrap();
            if block {
                client.batch_execute("BEGIN").await.unwrap();
            }
            let error = client.batch_execute(statement).await.expect_err(statement);
            let code = error.as_db_error().expect(statement).code().code();
            assert_eq!(code, "57014", "{statement}");
            client
                .batch_execute("ROLLBACK; SET statement_timeout = 0")
                .await
                .unwrap();
            let counts = "SELECT (SELECT count(*) FROM copied), (SELECT sum(n) FROM big), (SELECT sum(id) FROM big), to_regclass('made')";
            assert_eq!(
                text(&client, counts).await.rows[0],
                [Some("0"), Some("1800030000"), Some("1800030000"), None]
                    .map(|value| value.map(str::to_string)),
                "{statement}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_char_is_any_byte() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let written = r#"SELECT 'é'::"char" AS a, '\303'::"char" AS b, '\101'::"char" AS c, '\303x'::"char" AS d, '\400'::"char" AS e,
        'é'::text::"char" AS f, (-61)::"char" AS g, 0::"char" AS h, ('\303'::"char")::int AS i, ('\303'::"char")::text AS j,
        '\303'::"char" = 'é'::"char" AS k"#;
    same_answers(&tide, &pg, written).await;
    pair.same_or_fail("SELECT 128::\"char\"");
    let echo = "SELECT $1::\"char\" AS c, ($1::\"char\")::text AS t";
    for byte in [0, 1, b'a', b'\\', 0x7f, 0x80, 0xc3, 0xff] {
        let mut answers = Vec::new();
        for client in [&tide, &pg] {
            let row = client.query_one(echo, &[&Raw(vec![byte])]).await.unwrap();
            answers.push((row.get::<_, Raw>(0), row.get::<_, Raw>(1)));
        }
        assert_eq!(
            answers[0], answers[1],
            "{byte} (left: Tidelog, right: PostgreSQL)"
        );
    }
}
