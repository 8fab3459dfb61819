//! Comments, tables made of queries and like others, temporary tables, whole rows: as in PostgreSQL.

use std::io::Write;
use std::process::{Command, Stdio};

use tidelog_compat_tests::Server;
use tidelog_compat_tests::process::{output, wait_for};

use crate::pair::{Pair, same_outcome, text};

#[test]
fn comments_are_kept_and_shown() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE SCHEMA s; CREATE TYPE mood AS ENUM ('a'); CREATE SEQUENCE seq; CREATE ROLE ada;
         CREATE TABLE t (id int4 PRIMARY KEY, \"Odd\" text, CONSTRAINT odd_once UNIQUE (\"Odd\"), CHECK (id > 0));
         CREATE INDEX t_idx ON t (id, \"Odd\"); CREATE VIEW v AS SELECT id, \"Odd\" FROM t;",
    );
    for statement in [
        "COMMENT ON TABLE t IS 'it''s a table'",
        "COMMENT ON COLUMN t.id IS E'two\\nlines'",
        "COMMENT ON COLUMN public.t.\"Odd\" IS $$odd$$",
        "COMMENT ON VIEW v IS 'a view'",
        "COMMENT ON COLUMN v.id IS 'a view''s column'",
        "COMMENT ON SEQUENCE seq IS 'numbers'",
        "COMMENT ON INDEX t_idx IS 'an index'",
        "COMMENT ON INDEX t_pkey IS 'the key'",
        "COMMENT ON CONSTRAINT odd_once ON t IS 'once'",
        "COMMENT ON CONSTRAINT t_id_check ON t IS 'positive'",
        "COMMENT ON SCHEMA s IS 'a schema'",
        "COMMENT ON TYPE mood IS 'a mood'",
        "COMMENT ON ROLE ada IS 'a role'",
        "COMMENT ON DATABASE postgres IS 'the database'",
        // None of these.
        "COMMENT ON TABLE nope IS 'x'",
        "COMMENT ON TABLE v IS 'x'",
        "COMMENT ON VIEW t IS 'x'",
        "COMMENT ON INDEX t IS 'x'",
        "COMMENT ON SEQUENCE t IS 'x'",
        "COMMENT ON TABLE t_idx IS 'x'",
        "COMMENT ON COLUMN t.nope IS 'x'",
        "COMMENT ON COLUMN nope.id IS 'x'",
        "COMMENT ON COLUMN id IS 'x'",
        "COMMENT ON CONSTRAINT nope ON t IS 'x'",
        "COMMENT ON SCHEMA nope IS 'x'",
        "COMMENT ON TYPE nope IS 'x'",
        "COMMENT ON ROLE nope IS 'x'",
    ] {
        pair.same_or_fail(statement);
    }
    let shown = [
        "\\d+ t\n",
        "\\dt+ t\n",
        "\\dn+ s\n",
        "\\dT+ mood\n",
        "\\dd\n",
        "SELECT obj_description('t'::regclass), obj_description('t'::regclass, 'pg_class'), obj_description('t'::regclass, 'pg_type')",
        "SELECT relname, attname, col_description(attrelid, attnum) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
             WHERE relname IN ('t', 'v') AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum",
        "SELECT conname, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1",
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'ada'",
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'postgres'",
        "SELECT objsubid, description FROM pg_description WHERE objoid = 't'::regclass AND classoid = 'pg_class'::regclass ORDER BY 1",
    ];
    // Indexes of PostgreSQL are not told of here, sizes neither.
    let compared = &shown[2..];
    let same = |pair: &Pair| compared.iter().for_each(|query| pair.same(query));
    same(&pair);
    pair.tide.restart();
    same(&pair);
    pair.run(
        "DROP VIEW v; ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN id TO key; ALTER TABLE u RENAME CONSTRAINT odd_once TO only_once;
         ALTER TYPE mood RENAME TO moods; ALTER TABLE u RENAME TO t; COMMENT ON COLUMN t.key IS NULL; COMMENT ON TYPE moods IS '';
         DROP INDEX t_idx; ALTER TABLE t DROP CONSTRAINT t_id_check;",
    );
    same(&pair);
    pair.run("COMMENT ON TABLE t IS NULL; DROP SCHEMA s; CREATE SCHEMA s; DROP ROLE ada; CREATE ROLE ada;");
    same(&pair);
    let dump = |peer: tidelog_compat_tests::Peer| {
        let mut command = Command::new("pg_dump");
        peer.environment(&mut command);
        let dump = output(&mut command);
        let comments = dump.lines().filter(|line| line.starts_with("COMMENT ON"));
        comments.map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(dump(pair.tide.peer()), dump(pair.pg.peer()));
}

#[test]
fn tables_are_made_of_queries() {
    let pair = Pair::start();
    pair.run(
        "CREATE TYPE mood AS ENUM ('a', 'b');
         CREATE TABLE t (id int4 PRIMARY KEY, name varchar(10) NOT NULL, n numeric(6,2), m mood, tags text[]);
         INSERT INTO t VALUES (1, 'x', 1.50, 'a', '{a,b}'), (2, 'y', NULL, NULL, NULL);",
    );
    for statement in [
        "CREATE TABLE a AS SELECT * FROM t",
        "CREATE TABLE b (one, \"Two\") AS SELECT id, name, m FROM t WHERE id > 1 WITH DATA",
        "CREATE TABLE c AS SELECT id + 1 AS more, upper(name) FROM t WITH NO DATA",
        "CREATE TABLE a AS SELECT 1 AS x",
        "CREATE TABLE IF NOT EXISTS a AS SELECT 1 AS x",
        "CREATE TABLE d (x, y) AS SELECT 1 AS x",
        "CREATE TABLE d AS SELECT 1 AS x, 2 AS x",
        "CREATE TABLE d AS SELECT 1 / (id - 2) FROM t",
        "CREATE TABLE d AS VALUES (1::int4, 'a'), (2::int4, 'b')",
        "SELECT id, name INTO e FROM t ORDER BY id DESC",
        "SELECT 1 AS x INTO t",
        "CREATE TABLE f AS WITH w AS (SELECT 7 AS seven) SELECT seven FROM w UNION ALL SELECT 8",
        "CREATE UNLOGGED TABLE g (id int4)",
    ] {
        pair.same_or_fail(statement);
    }
    for table in ["a", "b", "c", "d", "e", "f", "g"] {
        pair.same(&format!("SELECT * FROM {table} ORDER BY 1"));
        pair.same(&format!(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        ));
    }
    pair.run("BEGIN; CREATE TABLE h AS SELECT * FROM t; INSERT INTO h (id) SELECT count(*) FROM h; COMMIT;");
    pair.run("BEGIN; CREATE TABLE i AS SELECT * FROM t; ROLLBACK;");
    pair.same("SELECT * FROM h ORDER BY id, name");
    pair.same_or_fail("SELECT * FROM i");
    // The tag counts the rows.
    let tag = |peer: tidelog_compat_tests::Peer| {
        peer.run("\\unset QUIET\nCREATE TABLE j AS SELECT * FROM t;\n")
    };
    assert_eq!(tag(pair.tide.peer()), tag(pair.pg.peer()));
    // Of a kind of its own.
    let tide = pair.tide.peer();
    tide.run("CREATE TABLE mine WITH (type = 'user') AS SELECT id FROM t; CREATE USER TABLE mine2 AS SELECT id FROM t;");
    assert_eq!(tide.value("SELECT DISTINCT _user FROM mine"), "postgres");
}

#[test]
fn tables_are_made_like_others() {
    let pair = Pair::start();
    pair.run(
        "CREATE TYPE mood AS ENUM ('a', 'b');
         CREATE TABLE t (id int8 GENERATED BY DEFAULT AS IDENTITY (START WITH 5) PRIMARY KEY, name varchar(10) NOT NULL DEFAULT 'x',
             n numeric(6,2), m mood DEFAULT 'a', CONSTRAINT positive CHECK (n > 0), UNIQUE (name, n));
         CREATE INDEX t_by_m ON t (m DESC, n); COMMENT ON COLUMN t.n IS 'a number'; CREATE VIEW v AS SELECT id, m FROM t;
         CREATE TABLE plain (LIKE t);
         CREATE TABLE part (before int4, LIKE t INCLUDING DEFAULTS INCLUDING CONSTRAINTS, after text DEFAULT 'z', PRIMARY KEY (id));
         CREATE TABLE whole (LIKE t INCLUDING ALL);
         CREATE TABLE less (LIKE t INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY);
         CREATE TABLE of_view (LIKE v);
",
    );
    for table in ["plain", "part", "whole", "less", "of_view"] {
        pair.same(&format!("\\d {table}\n"));
        pair.same(&format!(
            "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        ));
    }
    for statement in [
        "INSERT INTO plain (id, name) VALUES (1, 'a') RETURNING *",
        "INSERT INTO part (id, n) VALUES (1, -1)",
        "INSERT INTO part (id, n) VALUES (1, 1) RETURNING *",
        "INSERT INTO whole (n) VALUES (1) RETURNING *",
        "INSERT INTO whole (n) VALUES (1) RETURNING *",
        "INSERT INTO less (n) VALUES (1)",
        "CREATE TABLE x (LIKE nope)",
        "CREATE TABLE x (id int4, LIKE t)",
    ] {
        pair.same_or_fail(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_tables_end_with_the_transaction() {
    let pair = Pair::start();
    pair.run("CREATE TABLE lasting (id int4 PRIMARY KEY)");
    for statements in [
        &[
            "CREATE TEMP TABLE d (id int4) ON COMMIT DROP",
            "SELECT * FROM d",
        ][..],
        &[
            "CREATE TEMP TABLE d ON COMMIT DROP AS SELECT 1 AS id",
            "SELECT * FROM d",
        ],
        &[
            "CREATE TEMP TABLE d (id) ON COMMIT DELETE ROWS AS SELECT 1",
            "SELECT * FROM d",
            "INSERT INTO d VALUES (2) RETURNING id",
            "SELECT * FROM d",
            "BEGIN",
            "INSERT INTO d VALUES (3)",
            "SAVEPOINT s",
            "TRUNCATE d",
            "INSERT INTO d VALUES (4)",
            "ROLLBACK TO s",
            "SELECT * FROM d",
            "COMMIT",
            "SELECT * FROM d",
            "TRUNCATE d",
            "ALTER TABLE d RENAME TO f",
            "INSERT INTO f VALUES (5)",
            "SELECT * FROM f",
            "BEGIN READ ONLY",
            "INSERT INTO f VALUES (6)",
            "SELECT * FROM f",
            "COMMIT",
            "SELECT * FROM f",
            "DROP TABLE f",
            "CREATE TEMP TABLE f (id int4) ON COMMIT PRESERVE ROWS",
            "INSERT INTO f VALUES (7)",
            "SELECT * FROM f",
        ],
        &[
            "BEGIN",
            "CREATE TEMP TABLE d (id serial PRIMARY KEY, x text) ON COMMIT DROP",
            "INSERT INTO d (x) VALUES ('a')",
            "CREATE TEMP VIEW v AS SELECT x FROM d",
            "SELECT * FROM v",
            "DROP VIEW v",
            "ALTER TABLE d ALTER x TYPE varchar",
            "TRUNCATE d",
            "CREATE TEMP VIEW v AS SELECT x FROM d",
            "INSERT INTO d (x) VALUES ('b')",
            "SELECT x FROM d",
            "INSERT INTO lasting SELECT 1",
            "COMMIT",
            "SELECT * FROM d",
            "SELECT * FROM v",
            "SELECT * FROM lasting",
        ],
        &[
            "BEGIN",
            "CREATE TEMP TABLE d (id int4) ON COMMIT DROP",
            "ROLLBACK",
            "CREATE TEMP TABLE d (id int4)",
            "INSERT INTO d VALUES (1)",
            "SELECT * FROM d",
        ],
        &[
            "BEGIN",
            "SAVEPOINT s",
            "CREATE TEMP TABLE d (id int4) ON COMMIT DROP",
            "ROLLBACK TO s",
            "CREATE TEMP TABLE d (id int4)",
            "COMMIT",
            "SELECT * FROM d",
        ],
        &[
            "CREATE TEMP TABLE p (id int4 PRIMARY KEY) ON COMMIT DELETE ROWS",
            "CREATE TEMP TABLE c (id int4 REFERENCES p)",
            "INSERT INTO p VALUES (1)",
            "SELECT * FROM p",
            "DROP TABLE c",
            "CREATE TEMP TABLE c (id int4 REFERENCES p) ON COMMIT DELETE ROWS",
            "BEGIN",
            "INSERT INTO p VALUES (1)",
            "INSERT INTO c VALUES (1)",
            "COMMIT",
            "SELECT * FROM p",
            "SELECT * FROM c",
        ],
        &[
            "CREATE TABLE d (id int4) ON COMMIT DROP",
            "CREATE TABLE d (id int4) ON COMMIT PRESERVE ROWS",
            "CREATE TABLE d ON COMMIT DELETE ROWS AS SELECT 1",
            "CREATE TABLE pg_temp.d (id int4) ON COMMIT DROP",
            "SELECT * FROM d",
            "CREATE TEMP TABLE d (LIKE lasting) ON COMMIT DROP",
            "SELECT * FROM d",
            "CREATE TEMP TABLE IF NOT EXISTS d (id int4) ON COMMIT DROP",
        ],
    ] {
        let (tide, pg) = pair.connect().await;
        for statement in statements {
            match pg.simple_query(statement).await {
                Ok(_) if statement.starts_with("SELECT") => {
                    let expected = text(&pg, statement).await;
                    assert_eq!(text(&tide, statement).await, expected, "{statement}");
                }
                Ok(_) => tide.batch_execute(statement).await.expect(statement),
                Err(_) => same_outcome(&tide, &pg, statement).await,
            }
        }
    }
}

#[test]
fn temporary_tables_are_a_sessions_own() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int4 PRIMARY KEY); INSERT INTO t VALUES (1); CREATE ROLE ada LOGIN;",
    );
    pair.same(
        "CREATE TEMP TABLE t (id serial PRIMARY KEY, x text DEFAULT 'temporary', CHECK (id < 3)) ON COMMIT PRESERVE ROWS;
         CREATE INDEX ON t (x); INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES;
         SELECT * FROM t ORDER BY id; SELECT * FROM public.t; SELECT * FROM pg_temp.t ORDER BY id;
         SELECT relpersistence FROM pg_class WHERE oid = 't'::regclass;
         SELECT current_schema(), current_schemas(false);
         CREATE TABLE lasting (id int4); ALTER TABLE t ADD COLUMN y int4 DEFAULT 7; UPDATE t SET y = id; SELECT * FROM t ORDER BY 1;
         BEGIN; CREATE TEMPORARY TABLE u AS SELECT * FROM t; SELECT count(*) FROM u; ROLLBACK;
         SELECT nspname LIKE 'pg_temp_%' FROM pg_namespace WHERE oid = pg_my_temp_schema()",
    );
    // It is gone with the session.
    pair.same("SELECT * FROM t");
    pair.same(
        "CREATE TEMP TABLE own (a int4); INSERT INTO own VALUES (1), (2);
         CREATE VIEW over AS SELECT a FROM own; CREATE TEMP VIEW v AS SELECT id FROM t; CREATE OR REPLACE TEMP VIEW v AS SELECT id + 1 - 1 AS id FROM public.t;
         CREATE VIEW pg_temp.w AS SELECT a FROM pg_temp.own WHERE a > 1;
         SELECT * FROM over ORDER BY a; SELECT * FROM v; SELECT * FROM pg_temp.w;
         SELECT relname, relkind, relpersistence FROM pg_class WHERE relname IN ('over', 'v', 'w') ORDER BY 1;
         CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok'); SELECT 'ok'::mood, 'sad'::pg_temp.mood; CREATE TABLE pg_temp.u (m mood); INSERT INTO u VALUES ('ok'); SELECT * FROM u;
         CREATE TABLE t2 (a int4); DROP TABLE t2;
         BEGIN READ ONLY; INSERT INTO own VALUES (3); UPDATE own SET a = 4 WHERE a = 3; DELETE FROM own WHERE a = 4; COMMIT;
         DROP VIEW w; DROP TABLE own CASCADE",
    );
    pair.same_or_fail("SELECT * FROM v");
    for statement in [
        "CREATE TEMP TABLE p (id int4 PRIMARY KEY); CREATE TABLE c (id int4 REFERENCES p)",
        "CREATE TABLE p (id int4 PRIMARY KEY); CREATE TEMP TABLE c (id int4 REFERENCES p)",
        "CREATE TEMP TABLE t (id int4); DROP TABLE t; SELECT * FROM t",
        "SET ROLE ada; CREATE TEMP TABLE mine (id int4); INSERT INTO mine VALUES (1); SELECT * FROM mine; DROP TABLE mine",
    ] {
        pair.same_or_fail(statement);
    }
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pg_temp%'";
    wait_for("the end of the sessions' tables", || {
        (pair.tide.peer().value(schemas) == "0").then_some(())
    });
    pair.same("SELECT typname FROM pg_type WHERE typname = 'mood'");
    // What a killed server leaves is gone when it starts again.
    let mut held = pair.tide.peer().psql();
    held.args(["-f", "-"]).stdin(Stdio::piped());
    let mut child = held
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"CREATE TEMP TABLE left_over (id int4);\n")
        .unwrap();
    let there = "SELECT count(*) FROM pg_class WHERE relname = 'left_over'";
    wait_for("the table", || {
        (pair.tide.peer().value(there) == "1").then_some(())
    });
    let others = pair.tide.peer().try_run("SELECT * FROM left_over;");
    assert!(others.unwrap_err().contains("does not exist"));
    pair.tide.kill();
    drop(input);
    let _ = child.wait();
    pair.tide.start_again();
    assert_eq!(pair.tide.peer().value(there), "0");
}

#[test]
fn whole_rows_become_objects() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int4 PRIMARY KEY, \"Odd name\" text, at timestamptz, tags text[]); SET TimeZone = 'UTC';
         INSERT INTO t VALUES (1, 'it''s \"x\"', '2026-01-02 03:04:05+00', '{a,b}'), (2, NULL, NULL, NULL);
         CREATE TABLE u (id int4 PRIMARY KEY, of_t int4); INSERT INTO u VALUES (10, 1), (11, 1), (12, 2);",
    );
    for query in [
        "SELECT to_jsonb(t) FROM t ORDER BY id",
        "SELECT row_to_json(t) FROM t ORDER BY id",
        "SELECT to_json(x) FROM t AS x ORDER BY x.id",
        "SELECT row_to_json(s) FROM (SELECT id AS key, upper(\"Odd name\") FROM t) s ORDER BY s.key",
        "SELECT jsonb_agg(s) FROM (SELECT id, tags FROM t ORDER BY id) s",
        "SELECT jsonb_agg(to_jsonb(u) ORDER BY u.id) FROM u",
        "WITH w AS (SELECT * FROM u WHERE id > 10) SELECT to_jsonb(w) FROM w ORDER BY id",
        "SELECT t.id, (SELECT jsonb_agg(to_jsonb(u)) FROM u WHERE u.of_t = t.id AND u.id > 10) FROM t ORDER BY 1",
    ] {
        pair.same(query);
    }
}

#[test]
fn vacuum_and_analyze_are_taken() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int4 PRIMARY KEY, x text);");
    for statement in [
        "VACUUM",
        "VACUUM t",
        "VACUUM ANALYZE t",
        "VACUUM (ANALYZE, VERBOSE false) t",
        "VACUUM FULL t",
        "ANALYZE",
        "ANALYZE t (id, x)",
        "ANALYZE nope",
        "VACUUM nope",
        "BEGIN; VACUUM",
    ] {
        pair.same_or_fail(statement);
    }
}

/// What Tidelog does not have of temporary tables is named.
#[test]
fn temporary_tables_are_shared_ones() {
    let server = Server::start();
    let refused = server
        .peer()
        .try_run("CREATE TEMP TABLE t (id int4) WITH (type = 'user');");
    assert!(
        refused
            .unwrap_err()
            .contains("WITH (type) of a temporary table is not supported")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_have_their_codes() {
    let pair = Pair::start();
    let script = "
        CREATE TABLE t (id int PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS t (id int);
        DROP TABLE IF EXISTS nope;
        DROP VIEW IF EXISTS nope;
        DROP INDEX IF EXISTS nope;
        DROP SEQUENCE IF EXISTS nope;
        DROP TYPE IF EXISTS nope;
        DROP SCHEMA IF EXISTS nope;
        DROP ROLE IF EXISTS nope;
        CREATE SCHEMA IF NOT EXISTS public;
        ALTER TABLE t ADD COLUMN IF NOT EXISTS id int;
        ALTER TABLE t DROP COLUMN IF EXISTS nope;
        ALTER TABLE IF EXISTS nope ADD COLUMN x int;
        ALTER TABLE t DROP CONSTRAINT IF EXISTS nope;
        CREATE INDEX i ON t (id);
        CREATE INDEX IF NOT EXISTS i ON t (id);
        CREATE TABLE c (id int REFERENCES t);
        DROP TABLE t CASCADE;
        CREATE SCHEMA s; CREATE TABLE s.a (id int); CREATE TABLE s.b (id int);
        DROP SCHEMA s CASCADE;
        CREATE TABLE p (k int PRIMARY KEY, n int, g int GENERATED ALWAYS AS (n + 1) STORED);
        CREATE TABLE c1 (k int REFERENCES p); CREATE TABLE c2 (k int REFERENCES p);
        ALTER TABLE p ALTER n DROP EXPRESSION IF EXISTS;
        TRUNCATE p CASCADE;
        ALTER TABLE p DROP COLUMN n CASCADE;
        DROP TABLE p CASCADE;";
    let tide = pair.tide.peer().notices(script).await;
    let pg = pair.pg.peer().notices(script).await;
    assert_eq!(tide, pg);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_computed_is_a_plain_numeric() {
    crate::constraints::play(
        "CREATE TABLE t (k int, a numeric(12,2), b numeric(12,2), c numeric(10,4));
         INSERT INTO t VALUES (1, 10.25, 2.25, 1.0625), (1, 3.75, NULL, 0.0625);
         CREATE TABLE s AS SELECT sum(a) AS x, max(a) AS m, min(c) AS n FROM t;
         CREATE TABLE e AS SELECT a, a + b AS plus, a * b AS times, -a AS minus, abs(a) AS abs, round(a, 1) AS round, coalesce(a, 0) AS zero, coalesce(a, b) AS alike, coalesce(a, c) AS unlike,
             greatest(a, b) AS most, least(a, c) AS least, CASE WHEN k = 1 THEN a ELSE b END AS any_of, CASE WHEN k = 1 THEN a ELSE c END AS either, CASE WHEN k = 1 THEN a END AS one,
             a::numeric(8,1) AS narrow, a::numeric AS plain, (SELECT max(b) FROM t) AS within, (SELECT b FROM t WHERE b > 0) AS one_of, 1.5 AS literal, sum(a) OVER () AS windowed FROM t;
         CREATE TABLE u AS SELECT a FROM t UNION ALL SELECT b FROM t;
         CREATE TABLE w AS SELECT a FROM t UNION ALL SELECT c FROM t;
         CREATE TABLE d AS WITH q AS (SELECT a, a + 1 AS n FROM t) SELECT q.a, q.n, t.c FROM q LEFT JOIN t ON true GROUP BY 1, 2, 3;
         CREATE VIEW v AS SELECT a, b * 2 AS twice, c FROM t;
         CREATE TABLE f AS SELECT * FROM v;
         CREATE MATERIALIZED VIEW m AS SELECT a, avg(b) AS avg FROM t GROUP BY a;
         SELECT a, b INTO i FROM t;
         SELECT attrelid::regclass::text AS t, attname, format_type(atttypid, atttypmod) AS of FROM pg_attribute
             WHERE attrelid::regclass::text IN ('s', 'e', 'u', 'w', 'd', 'v', 'f', 'm', 'i') AND attnum > 0 ORDER BY 1, attnum;
         INSERT INTO s VALUES (1.23456, 1e30, 0.125);
         SELECT * FROM s WHERE x < 2;
         SELECT times, minus, any_of, most FROM e WHERE a = 10.25;
         ALTER TABLE t ADD COLUMN later int;
         REFRESH MATERIALIZED VIEW m;
         SELECT count(*) FROM m",
    )
    .await;
}

#[test]
fn relations_and_types_move_to_other_schemas() {
    let pair = Pair::start();
    pair.run(
        "CREATE SCHEMA app; CREATE SCHEMA full_up; CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE t (id serial PRIMARY KEY, m mood DEFAULT 'ok', u int4 UNIQUE, n int4 GENERATED ALWAYS AS IDENTITY, CHECK (u > 0));
         CREATE TABLE child (id int4 REFERENCES t, self int4 PRIMARY KEY REFERENCES child, other int4 REFERENCES t (u));
         CREATE INDEX tm ON t (m); COMMENT ON COLUMN t.m IS 'how it is';
         CREATE VIEW v AS SELECT t.id, t.m FROM t WHERE t.u > 1; CREATE VIEW w AS SELECT x.id FROM v x JOIN t ON x.id = t.id;
         CREATE MATERIALIZED VIEW mv AS SELECT id FROM t; CREATE SEQUENCE s;
         CREATE TABLE full_up.t (a int4); CREATE TABLE full_up.x (a int4 CONSTRAINT t_pkey PRIMARY KEY); CREATE TYPE full_up.mood AS ENUM ('x'); CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TABLE kinds (k kind PRIMARY KEY, ks kind[]); INSERT INTO kinds VALUES ('a', '{b}');
         INSERT INTO t (u) VALUES (1), (2); INSERT INTO child VALUES (1, 1, 2)",
    );
    for script in [
        "ALTER TABLE t SET SCHEMA app; SELECT to_regclass('t'), to_regclass('app.t'), to_regclass('app.t_id_seq'), to_regclass('app.tm')",
        "INSERT INTO app.t (u) VALUES (3) RETURNING *",
        "INSERT INTO app.t (u) VALUES (3)",
        "INSERT INTO child VALUES (9, 2, 2)",
        "DELETE FROM app.t WHERE id = 1",
        "SELECT * FROM v; SELECT * FROM w ORDER BY 1; REFRESH MATERIALIZED VIEW mv; SELECT count(*) FROM mv",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'child'::regclass ORDER BY 1",
        "SELECT pg_get_serial_sequence('app.t', 'id'), col_description('app.t'::regclass, 2), pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'app.t'::regclass AND adnum = 1",
        "ALTER TABLE child SET SCHEMA app; INSERT INTO app.child VALUES (2, 2, 1); SELECT * FROM app.child ORDER BY self; INSERT INTO app.child VALUES (2, 3, 8)",
        "ALTER TABLE app.t SET SCHEMA app",
        "ALTER TABLE app.t SET SCHEMA nosuch",
        "ALTER TABLE app.t SET SCHEMA full_up",
        "ALTER TABLE app.t RENAME TO tt; ALTER TABLE app.tt SET SCHEMA full_up",
        "ALTER TABLE IF EXISTS nosuch SET SCHEMA app",
        "ALTER TABLE nosuch SET SCHEMA app",
        "ALTER VIEW v SET SCHEMA app; SELECT * FROM app.v; SELECT * FROM w ORDER BY 1",
        "ALTER VIEW v SET SCHEMA app",
        "ALTER TABLE w SET SCHEMA app; SELECT * FROM app.w ORDER BY 1",
        "ALTER VIEW app.tt SET SCHEMA public",
        "ALTER MATERIALIZED VIEW app.w SET SCHEMA public",
        "ALTER MATERIALIZED VIEW mv SET SCHEMA app; SELECT count(*) FROM app.mv; ALTER MATERIALIZED VIEW app.mv SET SCHEMA public; REFRESH MATERIALIZED VIEW mv",
        "ALTER TYPE mood SET SCHEMA full_up",
        "ALTER TYPE kind SET SCHEMA app; SELECT 'a'::app.kind, * FROM kinds; SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'kinds'::regclass AND attnum > 0 ORDER BY attnum",
        "INSERT INTO kinds VALUES ('b', '{a,b}') RETURNING *",
        "ALTER TABLE s SET SCHEMA app; SELECT nextval('app.s')",
        "BEGIN; ALTER TABLE app.tt SET SCHEMA public; INSERT INTO tt (u) VALUES (8); SELECT count(*) FROM tt; ROLLBACK; SELECT count(*) FROM app.tt",
        "CREATE TEMP TABLE tmp (a int4); ALTER TABLE tmp SET SCHEMA app",
        "CREATE TEMP TABLE tmp (a int4); ALTER TABLE app.tt SET SCHEMA pg_temp",
    ] {
        pair.same_or_fail(script);
    }
    // Rows in both tiers stay where they are.
    let mut tide = pair.tide;
    tide.peer().run(
        "CREATE USER TABLE app.inbox (id int4 PRIMARY KEY); INSERT INTO app.inbox VALUES (1);
         CALL tidelog.flush('app.inbox'); INSERT INTO app.inbox VALUES (2); ALTER TABLE app.inbox SET SCHEMA public;
         INSERT INTO inbox VALUES (3);",
    );
    let ids = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM inbox";
    assert_eq!(tide.peer().value(ids), "1 2 3");
    tide.restart();
    assert_eq!(tide.peer().value(ids), "1 2 3");
    let data = tide.data();
    tide.terminate();
    Server::assert_sound(&data);
}
