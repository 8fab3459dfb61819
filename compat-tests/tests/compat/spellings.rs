//! Statements as clients of other languages write them: types of their parameters, and forms that ask for nothing or little.

use tidelog_compat_tests::Server;
use tokio_postgres::Statement;

use crate::constraints::play;
use crate::pair::Pair;

/// Types of parameters and columns.
fn types(statement: &Statement) -> Vec<String> {
    let parameters = statement.params().iter().map(ToString::to_string);
    let columns = statement.columns().iter();
    parameters
        .chain(columns.map(|column| column.type_().to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_types_of_their_first_places() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (a int, b int, c smallint, l bigint, f float4, x text, iv interval, at timestamptz, o bool);",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "INSERT INTO t (a, b, c) VALUES ($1::int, $2::int, $3)",
        "INSERT INTO t (a, b, l) VALUES ($1::int, $2 + 1, $3)",
        "INSERT INTO t (c, x, l) SELECT $1, $2, $3",
        "INSERT INTO t (a, l) VALUES ($1, $2), ($3::bigint, 2)",
        "SELECT now() - $1 * interval '1 day'",
        "SELECT now() + interval '1 day' * $1",
        "SELECT iv * $1, iv / $2, iv + $3, at - $4, at + $5 FROM t",
        "SELECT a FROM t WHERE a BETWEEN $1 AND $1 + 2",
        "SELECT a FROM t WHERE l BETWEEN $1 AND $1 + 2",
        "SELECT a FROM t WHERE l = $1 AND a > $1",
        "SELECT CASE WHEN $1 THEN 1 ELSE 2 END",
        "SELECT NOT $1",
        "SELECT a FROM t WHERE o OR $1",
        "SELECT a FROM t WHERE $1 AND o",
        "SELECT nullif($1, 3)",
        "SELECT nullif(a, $1) FROM t",
        "SELECT 5 * $1",
        "SELECT $1 - 5",
        "SELECT a FROM t WHERE a = $1 - 1",
        "SELECT a FROM t WHERE c + $1 > 2",
        "SELECT a FROM t WHERE f > $1",
        "SELECT a FROM t WHERE x = $1 AND l = $2",
        "UPDATE t SET a = a + $1, l = $2 WHERE c = $3 - 1",
        "DELETE FROM t WHERE a = $1 + 1 AND x = $2",
        "SELECT current_date - $1::int, $1 + 1",
    ] {
        let (found, expected) = (tide.prepare(query).await, pg.prepare(query).await);
        let found = found.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        assert_eq!(types(&found), types(&expected.unwrap()), "{query}");
    }
}

#[test]
fn recursive_queries_know_the_row_outside() {
    let pair = Pair::start();
    for query in [
        "SELECT x, (WITH RECURSIVE c(n) AS (SELECT x UNION ALL SELECT n - 1 FROM c WHERE n > 1) SELECT sum(n) FROM c) FROM (VALUES (3), (NULL), (5), (3)) v(x) ORDER BY 1",
        "SELECT x, (WITH RECURSIVE c(n, s) AS (SELECT 1, x::text UNION ALL SELECT n + 1, s || x FROM c WHERE n < x) SELECT s FROM c ORDER BY n DESC LIMIT 1) FROM generate_series(1, 4) g(x) ORDER BY 1",
        "SELECT x, (WITH RECURSIVE c(n) AS (SELECT 0 UNION SELECT (n + 1) % x FROM c) SELECT count(*) FROM c) FROM generate_series(1, 5) g(x) ORDER BY 1",
        "SELECT x, y, ARRAY(WITH RECURSIVE c(n) AS (SELECT x UNION ALL SELECT n + y FROM c WHERE n + y < 10) SELECT n FROM c ORDER BY n) FROM (VALUES (1, 2), (2, 3), (1, 3)) v(x, y) ORDER BY 1, 2",
        "SELECT x FROM generate_series(1, 6) g(x) WHERE EXISTS (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n * 2 FROM c WHERE n < x) SELECT 1 FROM c WHERE n = x) ORDER BY x",
        "SELECT x, s.* FROM generate_series(1, 3) g(x), LATERAL (WITH RECURSIVE c(n) AS (SELECT x UNION ALL SELECT n + 1 FROM c WHERE n < 3) SELECT count(*), max(n) FROM c) s ORDER BY x",
        "SELECT CASE WHEN true THEN (SELECT array_agg(oid ORDER BY oid) FROM pg_type WHERE typname IN ('int4', 'int8')) END",
        "SELECT typname, CASE WHEN typtype = 'b' THEN (SELECT array_agg(a.atttypid ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = 'pg_namespace'::regclass AND a.attnum BETWEEN 1 AND 3) END FROM pg_type WHERE typname = 'int4'",
    ] {
        pair.same(query);
    }
}

#[test]
fn small_forms_of_others() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE jobs (id int PRIMARY KEY, done bool);
         INSERT INTO jobs VALUES (1, true), (2, false), (3, false);",
    );
    for statement in [
        "SELECT current_schema, current_role = current_user AS a",
        "SELECT current_schema AS x, current_schema()",
        "SELECT id FROM jobs WHERE NOT done ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1",
        "SELECT id FROM jobs ORDER BY id FOR UPDATE LIMIT 1 OFFSET 1",
        "UPDATE jobs SET done = true WHERE id = (SELECT id FROM jobs WHERE NOT done ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id",
        "SELECT date(timestamp '2026-05-06 07:08:09'), text(5), int4(5.6), float8(5), date('2026-02-02'), int4('5'), bool(1), text(true), int8(5.5), name('a'), float4(1.1)",
        "SELECT date(d) FROM (VALUES (timestamp '2026-01-02 03:04:05')) v(d)",
        "SELECT date '2026-01-01' + time '01:00', timestamp '2026-01-01' + time '01:00', timestamp '2026-01-01' - time '01:00', time '01:00' + timestamp '2026-01-01', date '2026-01-01' - time '01:00', timestamptz '2026-01-01 00:00+00' + time '01:00'",
        "SELECT pg_typeof(timestamp '2026-01-01' + time '01:00'), pg_typeof(timestamptz '2026-01-01' - time '01:00'), pg_typeof(date '2026-01-01' - time '01:00')",
        "SELECT interval '1 day' * '2', '2' * interval '1 day', interval '1 day' / '2'",
        "SELECT array_fill(7, array[3]), array_fill(null::int, array[2]), array_fill(1, '{}'::int[]), array_fill('x'::text, array[2])",
        "SELECT pg_typeof(array_fill(7, array[3])), pg_typeof(array_fill('x'::text, array[2])), pg_typeof(array_fill(1.5, array[2]))",
        "SELECT array_fill(1, array[-1])",
        "SELECT array_fill(1, array[null]::int[])",
        "SELECT array_fill(1, null)",
        "SELECT num_nulls(1, null, 'a'), num_nonnulls(1, null, 'a'), num_nulls(null)",
        "SELECT string_agg(x, d) FROM (VALUES ('a', '-'), ('b', '+'), (null, '*'), ('c', null)) v(x, d)",
        "SELECT string_agg(x, d ORDER BY x DESC) FROM (VALUES ('a', '-'), ('b', '+'), ('c', '/')) v(x, d)",
        "SET client_min_messages = bogus",
        "SHOW client_min_messages",
        "SET client_min_messages = warning; DROP TABLE IF EXISTS nope; COMMIT",
        "SET client_min_messages = error; DROP TABLE IF EXISTS nope; COMMIT; SET client_min_messages = notice; DROP TABLE IF EXISTS nope",
        "BEGIN; ABORT; BEGIN; SELECT 1 / 0; ABORT WORK; SELECT 1",
    ] {
        pair.same_or_fail(statement);
    }
}

#[test]
fn intervals_are_written_in_every_style() {
    let pair = Pair::start();
    let values = [
        "1 year 2 mons -3 days 04:05:06.7",
        "0",
        "1 mon",
        "-1 mon",
        "14 mons",
        "1 day",
        "-2 days",
        "1 day -00:00:01",
        "-1 day 02:03:04",
        "-1 day -02:03:04.5",
        "00:00:00.000001",
        "-00:00:00.5",
        "100:00:01",
        "00:01:00",
        "-1 year 2 days",
        "1 mon 1 sec",
        "-1 mons -1 days -00:00:01",
    ];
    let list = values
        .map(|value| format!("('{value}'::interval)"))
        .join(", ");
    for style in ["postgres", "postgres_verbose", "sql_standard", "iso_8601"] {
        pair.same(&format!(
            "SET intervalstyle = {style}; SELECT '-1 2:03:04'::interval, interval '-1-2 3 4:05', '-1 day +2:03'::interval"
        ));
        pair.same(&format!(
            "SET intervalstyle = {style}; SHOW intervalstyle; SELECT v, ARRAY[v], v::text FROM (VALUES {list}) x(v)"
        ));
    }
}

/// What has nothing to do in Tidelog checks what it names, as PostgreSQL does.
#[tokio::test(flavor = "multi_thread")]
async fn statements_with_nothing_to_do() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, x varchar(9), n int, m int, i inet);
         CREATE TABLE bare (a int);
         CREATE SEQUENCE s;
         CREATE INDEX tx ON t (x varchar_pattern_ops);
         CREATE INDEX tx2 ON t (x text_pattern_ops, n int4_ops DESC);
         REINDEX TABLE t;
         REINDEX TABLE nope;
         REINDEX TABLE bare;
         REINDEX INDEX tx;
         REINDEX INDEX CONCURRENTLY t_pkey;
         REINDEX INDEX nope;
         REINDEX (VERBOSE) TABLE t;
         REINDEX SCHEMA public;
         REINDEX SCHEMA nope;
         REINDEX DATABASE nope;
         CHECKPOINT;
         BEGIN;
         SET CONSTRAINTS ALL DEFERRED;
         SET CONSTRAINTS ALL IMMEDIATE;
         SET CONSTRAINTS nope IMMEDIATE;
         ROLLBACK;
         BEGIN;
         SET CONSTRAINTS t_pkey DEFERRED;
         ROLLBACK;
         SET CONSTRAINTS ALL DEFERRED;
         ALTER TABLE t ALTER COLUMN x TYPE varchar(20) USING x::varchar(20);
         ALTER TABLE t ALTER COLUMN m TYPE bigint USING m::bigint;
         ALTER TABLE t ALTER COLUMN x SET STATISTICS 200;
         ALTER TABLE t ALTER COLUMN nope SET STATISTICS 200;
         ALTER TABLE ONLY t ALTER COLUMN x SET STORAGE EXTENDED;
         ALTER TABLE IF EXISTS nope ALTER COLUMN x SET STORAGE MAIN;
         ALTER TABLE s RENAME TO s2;
         ALTER TABLE tx RENAME TO tx3;
         ALTER TABLE nope RENAME TO nope2;
         SELECT nextval('s2');
         SELECT relname, relkind FROM pg_class WHERE relname IN ('tx', 'tx3', 's', 's2') ORDER BY relname;
         SELECT attname, attstorage FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum;
         DROP INDEX CONCURRENTLY tx3;
         DROP INDEX CONCURRENTLY tx3;",
    )
    .await;
}

/// What is not there is refused by its name, not as a syntax error.
#[test]
fn statements_are_refused_by_name() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int PRIMARY KEY);");
    for (statement, name) in [
        ("DO $$ BEGIN NULL; END $$", "DO"),
        ("CLUSTER t USING t_pkey", "CLUSTER"),
        ("ALTER TABLE t SET UNLOGGED", "ALTER TABLE … SET UNLOGGED"),
        ("ALTER TABLE t SET LOGGED", "ALTER TABLE … SET LOGGED"),
        ("CREATE RULE r AS ON INSERT TO t DO NOTHING", "CREATE RULE"),
        (
            "CREATE OR REPLACE RULE r AS ON INSERT TO t DO NOTHING",
            "CREATE RULE",
        ),
        ("CREATE PUBLICATION p FOR ALL TABLES", "CREATE PUBLICATION"),
        ("CREATE STATISTICS s ON id, id FROM t", "CREATE STATISTICS"),
        (
            "CREATE AGGREGATE a (int) (sfunc = int4pl, stype = int)",
            "CREATE AGGREGATE",
        ),
        ("CREATE TABLESPACE x LOCATION '/x'", "CREATE TABLESPACE"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "ALTER SYSTEM"),
        (
            "ALTER DATABASE postgres SET work_mem = '1MB'",
            "ALTER DATABASE SET",
        ),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES",
        ),
        ("REASSIGN OWNED BY postgres TO postgres", "REASSIGN OWNED"),
        ("DROP OWNED BY postgres", "DROP OWNED"),
    ] {
        let said = peer
            .try_run(&format!("\\set VERBOSITY verbose\n{statement};"))
            .unwrap_err();
        assert!(said.contains(&format!("0A000: {name} is not")), "{said}");
    }
}
