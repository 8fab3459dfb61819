//! Indexes on expressions and with a condition, beside PostgreSQL.

use tidelog_compat_tests::Server;

use crate::constraints::play;
use crate::pair::{Pair, assert_same_lines, same_answers, text};

#[tokio::test(flavor = "multi_thread")]
async fn unique_ones_hold_in_both_tiers() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, email text, a int, b int, st varchar(10), gone timestamptz);
         INSERT INTO t VALUES (1, 'Foo@x', 1, 1, 'open', NULL), (2, 'BAR@x', 2, 2, 'done', '2026-01-01'), (3, NULL, 3, 3, 'open', NULL);
         CREATE UNIQUE INDEX t_mail ON t (lower(email));
         CREATE UNIQUE INDEX t_open ON t (a) WHERE gone IS NULL AND st = 'open';
         CREATE UNIQUE INDEX t_both ON t ((b + 1), lower(st)) WHERE b > 100;
         CREATE UNIQUE INDEX ON t ((a / 10));
         CREATE UNIQUE INDEX ON t (st) WHERE a < 3;
         CREATE UNIQUE INDEX ON t (lower(st)) WHERE a > 1;
         INSERT INTO t VALUES (4, 'foo@X', 9, 9, 'x', NULL);
         INSERT INTO t VALUES (4, 'foo2@X', 1, 9, 'open', NULL);
         @CALL tidelog.flush('t');
         INSERT INTO t VALUES (4, 'foo@X', 9, 9, 'x', NULL);
         INSERT INTO t VALUES (4, 'foo2@X', 1, 9, 'open', NULL);
         INSERT INTO t VALUES (4, 'foo2@X', 1, 9, 'Open', NULL);
         DELETE FROM t WHERE id = 4;
         DROP INDEX t_lower_idx;
         INSERT INTO t VALUES (4, 'foo2@X', 1, 9, 'open', '2026-02-02');
         UPDATE t SET gone = NULL WHERE id = 4;
         UPDATE t SET a = 11, gone = NULL WHERE id = 4;
         UPDATE t SET a = 1 WHERE id = 4;
         UPDATE t SET st = 'done', a = 4 WHERE id = 1;
         UPDATE t SET a = 1 WHERE id = 4;
         UPDATE t SET st = 'open', a = 1 WHERE id = 1;
         INSERT INTO t VALUES (5, 'q', 500, 500, 'A', NULL), (6, 'r', 600, 500, 'a', NULL);
         INSERT INTO t VALUES (5, 'q', 500, 500, 'A', NULL), (6, 'r', 600, 50, 'a', NULL);
         UPDATE t SET b = 500 WHERE id = 6;
         @CALL tidelog.flush('t');
         @CALL tidelog.compact('t');
         UPDATE t SET b = 500 WHERE id = 6;
         UPDATE t SET b = b + 1 WHERE id = 5;
         UPDATE t SET b = 500 WHERE id = 6;
         BEGIN;
         DELETE FROM t WHERE id = 1;
         INSERT INTO t VALUES (10, 'FOO@x', 10, 0, 'n', NULL);
         SELECT id FROM t WHERE lower(email) = 'foo@x';
         SAVEPOINT s;
         UPDATE t SET email = 'other' WHERE id = 10;
         INSERT INTO t VALUES (11, 'Foo@X', 11, 0, 'n', NULL);
         INSERT INTO t VALUES (12, 'fOO@X', 12, 0, 'n', NULL);
         ROLLBACK TO s;
         INSERT INTO t VALUES (12, 'fOO@X', 12, 0, 'n', NULL);
         ROLLBACK;
         INSERT INTO t VALUES (12, 'fOO@X', 12, 0, 'n', NULL);
         SELECT id, email, a, b, st, gone IS NULL FROM t ORDER BY id;
         SELECT id FROM t WHERE lower(email) = 'foo@x';
         SELECT id FROM t WHERE a = 1 AND gone IS NULL AND st = 'open';
         SELECT id FROM t WHERE b + 1 = 501 AND lower(st) = 'a' AND b > 100;
         SELECT id FROM t WHERE b + 1 = 502 AND b > 100;
         DROP INDEX t_mail;
         INSERT INTO t VALUES (12, 'fOO@X', 12, 0, 'n', NULL);
         CREATE UNIQUE INDEX t_mail ON t (lower(email));
         DELETE FROM t WHERE id = 12;
         CREATE UNIQUE INDEX t_mail ON t (lower(email));
         TRUNCATE t;
         INSERT INTO t VALUES (1, 'A'), (2, 'b');
         INSERT INTO t VALUES (3, 'B');\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_conflict_infers_expressions_and_conditions() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, email text, a int, st text, gone timestamptz, n int DEFAULT 0);
         CREATE UNIQUE INDEX t_mail ON t (lower(email));
         CREATE UNIQUE INDEX t_open ON t (a) WHERE gone IS NULL AND st = 'open';
         CREATE UNIQUE INDEX t_some ON t (st, (a + 1)) WHERE a IS NOT NULL;
         INSERT INTO t (id, email, a, st) VALUES (1, 'Foo', 1, 'open'), (2, 'Bar', 2, 'done');
         INSERT INTO t (id, email) VALUES (5, 'FOO') ON CONFLICT (lower(email)) DO UPDATE SET n = t.n + 1, email = excluded.email RETURNING *;
         INSERT INTO t (id, email) VALUES (5, 'foo') ON CONFLICT (lower(t.email)) DO NOTHING;
         INSERT INTO t (id, email) VALUES (5, 'foo') ON CONFLICT (LOWER(EMAIL)) DO NOTHING RETURNING id;
         INSERT INTO t AS x (id, email) VALUES (5, 'foo') ON CONFLICT (lower(email)) WHERE id > 1 DO UPDATE SET n = x.n + 10 WHERE x.id = 1 RETURNING id, n;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT (a) WHERE gone IS NULL AND st = 'open' DO UPDATE SET n = 101 RETURNING id, n;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT (a) WHERE st = 'open' AND (gone IS NULL) AND a > 0 DO UPDATE SET n = 102 RETURNING id, n;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT (a) WHERE st = 'open' DO NOTHING;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT (a) DO NOTHING;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT ((a + 1), st) WHERE a > 0 DO UPDATE SET n = 103 RETURNING id, n;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT (st, (a + 2)) WHERE a > 0 DO NOTHING;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'open') ON CONFLICT DO NOTHING RETURNING id;
         INSERT INTO t (id, a, st) VALUES (5, 1, 'shut') ON CONFLICT DO NOTHING RETURNING id;
         INSERT INTO t (id, a, st) VALUES (6, 1, 'shut') ON CONFLICT (a) WHERE gone IS NULL AND st = 'open' DO NOTHING RETURNING id;
         INSERT INTO t (id, a, st) VALUES (6, 1, 'open') ON CONFLICT ON CONSTRAINT t_open DO NOTHING;
         INSERT INTO t (id, a, st) VALUES (6, 1, 'open') ON CONFLICT (upper(email)) DO NOTHING;
         INSERT INTO t (id, a, st) VALUES (6, 1, 'open') ON CONFLICT (lower(nosuch)) DO NOTHING;
         INSERT INTO t (id, email) VALUES (7, 'new'), (8, 'NEW') ON CONFLICT (lower(email)) DO UPDATE SET n = 7;
         INSERT INTO t (id, email) VALUES (7, 'new'), (8, 'NEW') ON CONFLICT (lower(email)) DO NOTHING RETURNING id;
         INSERT INTO t (id, email) VALUES (9, 'foo') ON CONFLICT (id) DO UPDATE SET n = 8;
         INSERT INTO t (id, email) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET email = 'BAR';
         @CALL tidelog.flush('t');
         INSERT INTO t (id, email) VALUES (9, 'foO') ON CONFLICT (lower(email)) DO UPDATE SET n = 1000, gone = '2026-01-01' RETURNING *;
         INSERT INTO t (id, a, st) VALUES (10, 1, 'open') ON CONFLICT (a) WHERE gone IS NULL AND st = 'open' DO UPDATE SET n = -1 RETURNING id, n;
         SELECT * FROM t ORDER BY id;
         PREPARE up AS INSERT INTO t (id, email) VALUES ($1, $2) ON CONFLICT (lower(email)) DO UPDATE SET n = $3 RETURNING id, n;
         EXECUTE up (50, 'BAR', 5);
         EXECUTE up (50, 'fresh', 5);\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_an_index_is_refused() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, email text, a int, at timestamptz, j json);
         INSERT INTO t VALUES (1, 'x', 0);
         CREATE INDEX ON t (now());
         CREATE INDEX ON t ((random() > 1));
         CREATE INDEX ON t (a) WHERE at > now();
         CREATE INDEX ON t ((at::date));
         CREATE INDEX ON t ((at::text));
         CREATE INDEX ON t (a) WHERE a + 1;
         CREATE INDEX ON t (a) WHERE a = (SELECT 1);
         CREATE INDEX ON t (sum(a));
         CREATE INDEX ON t (a) WHERE sum(a) > 1;
         CREATE INDEX ON t (generate_series(1, a));
         CREATE INDEX ON t (lower(nosuch));
         CREATE INDEX ON t (a) WHERE nosuch > 1;
         CREATE INDEX ON t (nosuch);
         CREATE INDEX ON t (a) INCLUDE (nosuch);
         CREATE INDEX ON t ((j -> 'a'));
         CREATE INDEX ON t ((1 / a));
         CREATE INDEX ON t ((1 / a)) WHERE a <> 0;
         INSERT INTO t VALUES (2, 'y', 0), (3, 'z', 4);
         CREATE INDEX div ON t ((1 / (a - 5)));
         INSERT INTO t VALUES (5, 'y', 5);
         UPDATE t SET a = 5 WHERE id = 3;
         BEGIN;
         INSERT INTO t VALUES (5, 'y', 5);
         ROLLBACK;
         BEGIN;
         DROP INDEX div;
         INSERT INTO t VALUES (5, 'y', 5);
         CREATE INDEX div ON t ((1 / (a - 5)));
         ROLLBACK;
         ALTER TABLE t ADD COLUMN b int;
         ALTER TABLE t ALTER COLUMN b SET DEFAULT 7;
         CREATE UNIQUE INDEX part ON t (b) WHERE b > 3;
         CREATE TABLE child (b int REFERENCES t (b));
         CREATE TABLE child (m text, FOREIGN KEY (m) REFERENCES t (email));
         SELECT * FROM t ORDER BY id;\n",
    )
    .await;
}

/// Tables whose definitions are compared: as psql, pg_indexes and pg_dump show them.
const DEFINED: &str = "
    CREATE TABLE t (id int PRIMARY KEY, email text, a int, b int, st varchar(10), gone timestamptz);
    CREATE UNIQUE INDEX ON t (lower(email));
    CREATE INDEX ON t (a, (b + 1));
    CREATE INDEX ON t ((b + 1), lower(email) DESC) WHERE gone IS NULL;
    CREATE UNIQUE INDEX tu ON t (a) WHERE gone IS NULL AND st = 'open';
    CREATE INDEX ON t (b) INCLUDE (a, st);
    CREATE INDEX ON t ((st::text), (a > 1), (coalesce(email, 'x')));
    CREATE INDEX ON t (((a)));
    CREATE INDEX ON t (a) WHERE a > 1 AND b < 2 OR NOT (a = b) AND email = 'it''s';
    CREATE INDEX ON t (lower(email), lower(st), (a * 2));";

#[tokio::test]
async fn definitions_come_back() {
    let pair = Pair::start();
    pair.run(DEFINED);
    let show = |pair: &Pair| {
        for query in [
            "SELECT indexdef FROM pg_indexes WHERE tablename IN ('t', 't2') ORDER BY indexname",
            "SELECT pg_get_indexdef(indexrelid, 1, true), pg_get_indexdef(indexrelid, 2, false), indnatts, indnkeyatts,
                 pg_get_expr(indexprs, indrelid), pg_get_expr(indpred, indrelid), pg_get_expr(indpred, indrelid, true)
                 FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relname LIKE 't%' ORDER BY relname",
            "SELECT relname, attnum, attname, format_type(atttypid, atttypmod) FROM pg_attribute
                 JOIN pg_class c ON c.oid = attrelid WHERE relname LIKE 't%' AND relkind = 'i' ORDER BY 1, 2",
        ] {
            pair.same(query);
        }
    };
    show(&pair);
    pair.same("\\d t");
    pair.same("\\d tu");
    pair.same("\\d t_expr_lower_idx");
    pair.run("ALTER TABLE t RENAME COLUMN email TO mail; ALTER TABLE t RENAME TO t2; ALTER TABLE t2 RENAME COLUMN gone TO \"Gone\";");
    show(&pair);
    pair.run("INSERT INTO t2 VALUES (1, 'A', 1, 1, 'open');");
    pair.same_or_fail("INSERT INTO t2 VALUES (2, 'a', 2, 1, 'open')");
    pair.same_or_fail("INSERT INTO t2 VALUES (2, 'b', 1, 1, 'open')");
    pair.run("CREATE TABLE tl (LIKE t2 INCLUDING ALL);");
    pair.same("\\d tl");
    pair.run("ALTER TABLE t2 DROP COLUMN st;");
    pair.same("\\d t2");
    pair.run("ALTER TABLE t2 DROP COLUMN \"Gone\";");
    pair.same("\\d t2");
    pair.run("ALTER TABLE t2 DROP COLUMN mail; ALTER TABLE t2 DROP COLUMN b;");
    pair.same("\\d t2");
}

/// Rows at random, with the server stopped, killed, flushed and compacted between: what is found by an index is what
/// PostgreSQL finds, and every conflict is found.
#[tokio::test]
async fn rows_move_in_and_out_at_random() {
    let seed: u64 = std::env::var("SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut random = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, k text, n int, live bool);
         CREATE UNIQUE INDEX t_k ON t (lower(k)) WHERE live;
         CREATE INDEX t_n ON t ((n % 7), k) WHERE n IS NOT NULL;
         CREATE INDEX t_live ON t (n) WHERE NOT live;",
    );
    for round in 0..12 {
        let mut script = String::new();
        for _ in 0..8 {
            let (id, n) = (next(60), next(40));
            let name = ["a", "A", "b", "B", "c", "C", "d", "e", "F", "f"][next(10) as usize];
            let key = format!("'{name}{}'", next(6));
            let live = ["true", "false", "NULL"][next(3) as usize];
            let n = if next(5) == 0 {
                "NULL".to_string()
            } else {
                n.to_string()
            };
            let statement = match next(6) {
                0 | 1 => format!(
                    "INSERT INTO t VALUES ({id}, {key}, {n}, {live}) ON CONFLICT (id) DO NOTHING"
                ),
                2 => format!(
                    "INSERT INTO t VALUES ({id}, {key}, {n}, true) ON CONFLICT (lower(k)) WHERE live DO UPDATE SET n = excluded.n"
                ),
                3 => format!("UPDATE t SET live = {live}, n = {n} WHERE id = {id}"),
                4 => format!("UPDATE t SET k = {key} WHERE id BETWEEN {id} AND {id} + 1"),
                _ => format!("DELETE FROM t WHERE id = {id}"),
            };
            script.push_str(&format!("{statement};\n"));
        }
        if next(3) == 0 {
            script = format!(
                "BEGIN;\n{script}{};\n",
                ["COMMIT", "ROLLBACK"][next(2) as usize]
            );
        }
        for statement in script.lines() {
            pair.same_or_fail(statement.trim_end_matches(';'));
        }
        match next(8) {
            0 => drop(pair.tide.peer().run("CALL tidelog.flush('t');")),
            1 => drop(
                pair.tide
                    .peer()
                    .run("CALL tidelog.flush('t'); CALL tidelog.compact('t');"),
            ),
            2 => pair.tide.restart(),
            3 => {
                pair.tide.kill();
                pair.tide.start_again();
            }
            4 if round % 3 == 0 => {
                pair.run("DROP INDEX t_n; CREATE INDEX t_n ON t ((n % 7), k) WHERE n IS NOT NULL;");
            }
            _ => {}
        }
        let by_key = ["a1", "b2", "c3", "d4", "e5", "f0"]
            .map(|key| format!("SELECT * FROM t WHERE lower(k) = '{key}' AND live;\n"));
        let by_sum = (0..7)
            .map(|n| format!("SELECT * FROM t WHERE n % 7 = {n} AND n IS NOT NULL ORDER BY id;\n"));
        let queries: String = by_key.into_iter().chain(by_sum).collect();
        pair.same(&format!(
            "{queries}SELECT * FROM t WHERE NOT live AND n > 10 ORDER BY id;
             SELECT * FROM t WHERE NOT live ORDER BY id"
        ));
    }
    let data = pair.tide.data();
    pair.tide.terminate();
    Server::assert_sound(&data);
}

/// What a scan of a query goes by.
fn plan(server: &Server, query: &str) -> String {
    server.peer().run(&format!("EXPLAIN (COSTS OFF) {query};"))
}

#[tokio::test]
async fn filters_that_say_what_an_index_has_use_it() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int PRIMARY KEY, email text, a int, st text, gone timestamptz);
         INSERT INTO t SELECT g, 'User' || g, g, CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END, NULL FROM generate_series(1, 3000) AS s(g);
         CREATE UNIQUE INDEX t_mail ON t (lower(email));
         CREATE INDEX t_sum ON t ((a + 1));
         CREATE INDEX t_open ON t (a) WHERE st = 'open';
         CREATE INDEX t_has ON t (st, a) WHERE a IS NOT NULL;
         CREATE INDEX t_gone ON t (a) WHERE gone IS NULL AND st = 'open';",
    );
    for (index, query) in [
        ("t_mail", "SELECT id FROM t WHERE lower(email) = 'user7'"),
        (
            "t_mail",
            "SELECT id FROM t WHERE 'user7' = lower(email) AND a > 0",
        ),
        ("t_sum", "SELECT id FROM t WHERE a + 1 = 8"),
        ("t_sum", "SELECT id FROM t WHERE a + 1 BETWEEN 8 AND 9"),
        ("t_open", "SELECT id FROM t WHERE st = 'open'"),
        ("t_has", "SELECT id FROM t WHERE st = 'open' AND a < 300"),
        ("t_has", "SELECT id FROM t WHERE st = 'done' AND a = 5"),
    ] {
        let plan = plan(&server, query);
        assert!(
            plan.contains(&format!("using {index} on t")),
            "{query}\n{plan}"
        );
    }
    for query in [
        "SELECT id FROM t WHERE upper(email) = 'USER7'",
        "SELECT id FROM t WHERE st = 'shut' AND a + 2 = 4",
        "SELECT id FROM t WHERE gone IS NULL AND st > 'open'",
    ] {
        let plan = plan(&server, query);
        assert!(!plan.contains("Index"), "{query}\n{plan}");
    }
    let value = |query: &str| server.peer().value(query);
    assert_eq!(value("SELECT id FROM t WHERE lower(email) = 'user7'"), "7");
    assert_eq!(value("SELECT count(*) FROM t WHERE st = 'open'"), "30");
    assert_eq!(
        value("SELECT sum(id) FROM t WHERE a + 1 BETWEEN 8 AND 9"),
        "15"
    );
}

#[tokio::test]
async fn each_user_has_keys_of_their_own() {
    let server = Server::start();
    server.peer().run(
        "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN;
         CREATE TABLE t (id int PRIMARY KEY, email text, live bool DEFAULT true) WITH (type = 'user');
         SET ROLE alice; INSERT INTO t VALUES (1, 'Foo'), (2, 'Bar'); RESET ROLE;
         SET ROLE bob; INSERT INTO t VALUES (1, 'foo'); RESET ROLE;
         CREATE UNIQUE INDEX t_mail ON t (lower(email)) WHERE live;",
    );
    let as_role = |role: &str, sql: &str| {
        let script = format!("SET ROLE {role}; {sql};");
        server
            .peer()
            .try_run(&script)
            .map_err(|said| said.lines().next().unwrap_or_default().to_string())
    };
    for tier in ["hot", "cold"] {
        for (role, key) in [("alice", "FOO"), ("alice", "BAR"), ("bob", "FOO")] {
            let said = as_role(role, &format!("INSERT INTO t VALUES (9, '{key}')"));
            let said = said.expect_err(tier);
            assert!(
                said.contains("unique constraint \"t_mail\""),
                "{tier} {role}: {said}"
            );
        }
        as_role(
            "bob",
            "INSERT INTO t VALUES (9, 'BAR'); DELETE FROM t WHERE id = 9",
        )
        .unwrap();
        let found = as_role(
            "bob",
            "SELECT id FROM t WHERE lower(email) = 'foo' AND live",
        )
        .unwrap();
        assert_same_lines(tier, "1\n", &found);
        server.peer().run("CALL tidelog.flush('t');");
    }
    as_role(
        "alice",
        "UPDATE t SET live = false WHERE id = 1; INSERT INTO t VALUES (9, 'FOO')",
    )
    .unwrap();
    let said = as_role("alice", "UPDATE t SET live = true WHERE id = 1").unwrap_err();
    assert!(said.contains("unique constraint \"t_mail\""), "{said}");
}

/// A literal without an offset is read in the session's time zone: an index that all sessions share cannot have it.
#[tokio::test]
async fn literals_mean_the_same_in_each_session() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);");
    let said = peer.try_run(
        "SET TimeZone = 'America/New_York'; CREATE INDEX ON t (id) WHERE at > '2026-01-01';",
    );
    let said = said.unwrap_err();
    assert!(
        said.contains("means something else under other settings"),
        "{said}"
    );
    peer.run(
        "CREATE UNIQUE INDEX i ON t ((1)) WHERE at > '2026-01-01';
         SET TimeZone = 'America/New_York';
         CREATE INDEX ON t (id) WHERE at > '2026-01-01 00:00+00';
         ALTER TABLE t ADD COLUMN n int;
         INSERT INTO t VALUES (1, '2026-01-01 00:00:01+00');",
    );
    let said = peer.try_run(
        "SET TimeZone = 'Asia/Tokyo'; INSERT INTO t VALUES (2, '2026-01-01 00:00:02+00');",
    );
    assert!(said.unwrap_err().contains("unique constraint \"i\""));
    peer.run("INSERT INTO t VALUES (2, '2025-12-31 23:59:59+00');");
}

/// `= ANY` finds its rows by their keys, whatever the array is.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_of_some_keys() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE e (id bigint PRIMARY KEY, room int, nick text UNIQUE);
         CREATE TABLE names (name text PRIMARY KEY, n int);
         CREATE TABLE two (a int, b int, PRIMARY KEY (a, b));
         INSERT INTO e SELECT g, g % 7, 'n' || g FROM generate_series(1, 300) g;
         INSERT INTO names SELECT 'n' || g, g FROM generate_series(1, 30) g;
         INSERT INTO two SELECT g % 3, g FROM generate_series(1, 30) g;
         CREATE INDEX ON e (room);
         CREATE TABLE days (id int PRIMARY KEY, day date); CREATE INDEX ON days (day);
         INSERT INTO days SELECT g, date '2026-01-01' + g % 5 FROM generate_series(1, 30) g;
         CREATE TABLE prices (id int PRIMARY KEY, price numeric); CREATE INDEX ON prices (price);
         INSERT INTO prices VALUES (1, 1), (2, 1.0), (3, 2);",
    );
    let (tide, pg) = pair.connect().await;
    for prepare in [
        "PREPARE eight (bigint[]) AS SELECT * FROM e WHERE id = ANY ($1)",
        "PREPARE four (int[]) AS SELECT * FROM e WHERE id = ANY ($1)",
        "PREPARE decimal (numeric[]) AS SELECT id FROM e WHERE id = ANY ($1)",
        "PREPARE beside (bigint[], int) AS SELECT id FROM e WHERE id = ANY ($1) AND room = $2",
        "PREPARE named (text[]) AS SELECT n FROM names WHERE name = ANY ($1)",
        "PREPARE pair (int[], int) AS SELECT * FROM two WHERE a = ANY ($1) AND b = $2",
    ] {
        for client in [&tide, &pg] {
            client.batch_execute(prepare).await.unwrap();
        }
    }
    for flushed in [false, true] {
        if flushed {
            pair.tide.peer().run(
                "CALL tidelog.flush('e'); CALL tidelog.flush('names'); CALL tidelog.flush('two');",
            );
        }
        for query in [
            "SELECT * FROM e WHERE id = ANY ('{3, 5, 5, 299, 1000}')",
            "SELECT * FROM e WHERE id = ANY ('{3, 5}'::bigint[])",
            "SELECT * FROM e WHERE id = ANY (ARRAY[3, NULL, 5])",
            "SELECT * FROM e WHERE id = ANY (ARRAY[3, 5]::smallint[])",
            "SELECT * FROM e WHERE id = ANY ('{}')",
            "SELECT * FROM e WHERE id = ANY (NULL)",
            "SELECT 1 = ANY (NULL), NULL = ANY (NULL), 'x' <> ALL (NULL)",
            "SELECT * FROM e WHERE id = ANY ('{{3,5},{7,9}}')",
            "SELECT id FROM e WHERE id = ANY ('{3, 5, 7}') AND room = 5",
            "SELECT id FROM e WHERE id = ANY ('{3, 5, 7}') ORDER BY id DESC LIMIT 2",
            "SELECT id FROM e WHERE id = ANY (ARRAY[3.0, 5.5])",
            "SELECT id FROM e WHERE 5 = ANY (ARRAY[3, 5]) AND id < 3",
            "SELECT id FROM e WHERE id <> ALL (ARRAY[3, 5]) AND id < 8",
            "SELECT n FROM names WHERE name = ANY ('{n3,n4,N5}')",
            "SELECT n FROM names WHERE name = ANY (string_to_array('n3,n4', ','))",
            "SELECT * FROM two WHERE a = ANY ('{1,2}') AND b = 5",
            "EXECUTE eight ('{3, 5, 5, 299, 1000}')",
            "EXECUTE eight ('{{3},{5}}')",
            "EXECUTE eight (NULL)",
            "EXECUTE eight ('{NULL}')",
            "EXECUTE eight ('{}')",
            "EXECUTE four ('{3, 5}')",
            "EXECUTE decimal ('{3, 5.5}')",
            "EXECUTE beside ('{3, 5, 12}', 5)",
            "EXECUTE named ('{n3,n4}')",
            "EXECUTE pair ('{1,2}', 5)",
        ] {
            same_answers(&tide, &pg, query).await;
        }
        // By an index, one value after the other.
        for condition in [
            "room IN (1, 2, 2, NULL, 9)",
            "room = 1 OR room = 2 OR room = 1",
            "room = ANY ('{1, 2, 1}')",
            "room = ANY (ARRAY[1, 2]::bigint[])",
            "room IN (1::smallint, 1::bigint, 2)",
            "room IN (1, 2) AND nick <> 'n8'",
            "room IN (1, 2) AND id = ANY ('{1, 2, 3}')",
            "room IN (1, 2) OR id = 3",
            "room NOT IN (1, 2)",
            "room = ANY ('{}')",
            "nick IN ('n1', 'n2', 'n1')",
            "nick = ANY ('{n1,n2,n1}') AND room IN (1, 2)",
            "nick = 'n1' OR nick = 'n2'",
            "a.day IN ('2026-01-01', '2026-01-02')",
            "price IN (1.0, 1.00, 2)",
        ] {
            let relation = match condition {
                condition if condition.contains("day") => "days a",
                condition if condition.contains("price") => "prices",
                _ => "e",
            };
            let query = format!("SELECT * FROM {relation} WHERE {condition}");
            let sorted = async |client| {
                let mut rows = text(client, &query).await.rows;
                rows.sort();
                rows
            };
            assert_eq!(sorted(&tide).await, sorted(&pg).await, "{query}");
        }
        // More than are looked up one by one.
        let many: Vec<String> = (1..250).map(|id| id.to_string()).collect();
        let many = format!("EXECUTE eight ('{{{}}}')", many.join(","));
        same_answers(&tide, &pg, many).await;
    }
}
