//! Statements as clients of other languages write them: types of their parameters, and forms that ask for nothing or little.

use tidelog_compat_tests::Server;
use tokio_postgres::Statement;

use crate::constraints::play;
use crate::pair::{Pair, same_outcome};
use crate::type_functions::all_same;

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
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql COST 2 BEGIN ATOMIC SELECT 1; END",
            "CREATE FUNCTION",
        ),
        (
            "CREATE CONSTRAINT TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
            "CREATE CONSTRAINT TRIGGER",
        ),
        ("CREATE DOMAIN d numeric[] NOT NULL", "CREATE DOMAIN"),
        ("ALTER DOMAIN d ADD CHECK (true)", "ALTER DOMAIN"),
        ("ALTER TABLE t INHERIT t", "ALTER TABLE INHERIT"),
        (
            "ALTER TABLE t ATTACH PARTITION t FOR VALUES IN (1)",
            "ALTER TABLE ATTACH PARTITION",
        ),
        ("PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'a'", "COMMIT PREPARED"),
        ("ROLLBACK PREPARED 'a'", "ROLLBACK PREPARED"),
        (
            "SELECT 'a' ORDER BY 'a'::text COLLATE \"sv-x-icu\"",
            "COLLATE \"sv-x-icu\"",
        ),
        (
            "ALTER TABLE t ALTER id TYPE text COLLATE \"sv-x-icu\"",
            "COLLATE \"sv-x-icu\"",
        ),
        (
            "SELECT * FROM json_to_record('{\"a\": [1]}') AS x (a int[][])",
            "json_to_record() with a column of type integer[]",
        ),
    ] {
        let said = peer
            .try_run(&format!("\\set VERBOSITY verbose\n{statement};"))
            .unwrap_err();
        assert!(said.contains(&format!("0A000: {name} is not")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names() {
    let pair = Pair::start();
    pair.run("CREATE SCHEMA s; CREATE SCHEMA \"B\"; CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE s.a (id int); CREATE TABLE \"B\".t (x int)");
    let long = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffGGGGGGGGGG";
    for statement in [
        "CREATE TABLE \"\" (a int)",
        "CREATE TABLE t (\"\" int)",
        "SELECT 1 AS \"\"",
        "SELECT\n  1 AS x, \"\".y FROM a",
        "SET search_path = \"\"",
        "SELECT 1 FROM a, a",
        "SELECT 1 FROM a JOIN b ON true JOIN a ON true",
        "SELECT 1 FROM a, s.a",
        "SELECT 1 FROM s.a, s.a",
        "SELECT 1 FROM a b, b",
        "SELECT 1 FROM a, (a CROSS JOIN b)",
        "SELECT 1 FROM a, (a CROSS JOIN b) AS j",
        "SELECT 1 FROM generate_series(1, 2), generate_series(1, 2)",
        "SELECT 1 FROM a, (SELECT 1) a",
        "SELECT 1 FROM a, LATERAL (SELECT 1 FROM a) b",
        "SELECT 1 FROM a x, b x",
        "SELECT count(*) FROM a WHERE EXISTS (SELECT 1 FROM a)",
        "SET search_path TO a, \"B\", 'c d', \"$user\", Public; SHOW search_path; SELECT current_setting('search_path')",
        "SET search_path = 'a, b'; SHOW search_path",
        "SET search_path TO \"B\"; SELECT * FROM t",
        "SELECT set_config('search_path', ' \"B\" , public', false); SHOW search_path; SELECT * FROM t",
        "SELECT set_config('search_path', 'a b', false)",
        "SELECT set_config('search_path', 'a,', false)",
        "SELECT set_config('search_path', '\"a', false)",
        "SELECT set_config('search_path', '', false); SHOW search_path; SELECT * FROM public.a",
        "SET search_path TO public, s; SET search_path TO DEFAULT; SHOW search_path",
        "SET work_mem TO 1, 2",
        "SET application_name TO MyApp; SHOW application_name; SET application_name TO \"MyApp\"; SHOW application_name",
    ] {
        pair.same_or_fail(statement);
    }
    pair.same(&format!("SELECT 1 AS {long}"));
    pair.same(&format!("SELECT 1 AS \"{long}\""));
    pair.same(&format!("SELECT x.{long} FROM (SELECT 1 AS {long}x) x"));
    let notice = format!("SELECT 1 AS \"{long}\"");
    let said = |peer: tidelog_compat_tests::Peer| {
        let mut psql = peer.psql();
        peer.environment(&mut psql);
        let done = psql.args(["-c", &notice]).output().unwrap();
        String::from_utf8(done.stderr).unwrap()
    };
    let told = said(pair.tide.peer());
    assert!(told.contains("will be truncated to"), "{told}");
    assert_eq!(told, said(pair.pg.peer()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tools_and_frameworks_write() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT hashtext(s) AS a, hashtextextended(s, 0) AS b, hashtextextended(s, 7) AS c, hashtextextended(s, -7) AS d
             FROM (SELECT left('The quick brown fox jumps over the lazy dog', n) AS s FROM generate_series(0, 43) n) x",
            "SELECT hashtext('äöü€😀') AS a, hashtext('lock'::varchar) AS b, hashtext(NULL) AS c, hashtextextended('x', 9223372036854775807) AS d",
            "SELECT pg_try_advisory_lock(hashtext('job')) AS a, pg_advisory_unlock(hashtext('job')) AS b",
            "SELECT trim_array(ARRAY[1,2,3,4], 2) AS a, trim_array(ARRAY['x'], 1) AS b, trim_array(ARRAY['x'], 0) AS c, trim_array(NULL::int[], 1) AS d, trim_array(ARRAY[1], NULL) AS e",
            "SELECT pg_postmaster_start_time() <= now() AS a, pg_conf_load_time() IS NOT NULL AS b, inet_client_port() > 1023 AS c, inet_server_port() > 1023 AS d",
            "SELECT U&'\\0041b\\+01F600c' AS a, U&'plain' AS b",
            "SELECT '2024-06-01 12:00 America/New_York'::timestamptz AS a, timestamptz '2024-06-01 12:00:30 AM UTC' AS b, '2024-06-01 12:00pm'::timestamp AS c",
            "SELECT inet '10.1.2.3' AS a, cidr '10.0.0.0/8' AS b, macaddr '08:00:2b:01:02:03' AS c, host(inet '10.1.2.3/8') AS d",
            "SELECT '{1,2}'::integer array AS a, '{x}'::text ARRAY AS b, ARRAY[1] AS c, CAST('{1}' AS bigint array[3]) AS d, ARRAY(SELECT 1) AS e",
        ],
    )
    .await;
    pair.run("CREATE TABLE arr (a text array, b integer array[3], c varchar array NOT NULL DEFAULT '{}', d text array DEFAULT ARRAY['x'])");
    pair.same(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'arr'::regclass AND attnum > 0 ORDER BY attnum",
    );
    for statement in [
        "SELECT trim_array(ARRAY[1,2], 3)",
        "SELECT trim_array(ARRAY[1,2], -1)",
        "COPY (SELECT 1 AS a, 'x' AS b, NULL AS c) TO STDOUT (FORMAT csv, FORCE_QUOTE *, HEADER)",
        "COPY (SELECT 1 AS a, 'x' AS b, NULL AS c) TO STDOUT WITH CSV FORCE QUOTE *",
        "COPY (SELECT 1 * 2 AS a, 'x' AS b) TO STDOUT (FORMAT csv, FORCE_QUOTE (b))",
        "COPY arr FROM STDIN (FORMAT csv, FORCE_QUOTE *)",
        "SET TIME ZONE 'Europe/Paris'; SET TIME ZONE LOCAL; SELECT current_setting('TimeZone') IN ('UTC', 'Etc/UTC', 'GMT')",
        "BEGIN; SET LOCAL TIME ZONE 'Europe/Paris'; SHOW TimeZone; COMMIT; SELECT current_setting('TimeZone') <> 'Europe/Paris'",
    ] {
        pair.same_or_fail(statement);
    }
    // What frameworks ask for before they make tables.
    let peer = pair.tide.peer();
    peer.run(
        "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\"; CREATE EXTENSION IF NOT EXISTS pgcrypto;
         CREATE TABLE made (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), n int4); INSERT INTO made (n) VALUES (1), (2);",
    );
    assert_eq!(
        peer.value("SELECT count(DISTINCT id), min(substr(id::text, 15, 1)) FROM made"),
        "2|4"
    );
    assert_eq!(
        peer.value("SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension"),
        "citext hstore pgcrypto uuid-ossp"
    );
    assert_eq!(peer.value("SELECT pg_indexes_size('made')"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_in_dollars_are_constants() {
    let pair = Pair::start();
    pair.run("CREATE TABLE dollars (id int, x text, CHECK (x <> $$no$$));");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT interval $$1 day$$, interval $i$2 hours$i$ + $$1 day$$, date $$2026-01-02$$, timestamp $a$2026-01-02 03:04$a$",
            "SELECT $$it's$$ || 'x', $$a$$ LIKE $$_$$, $$$$, length($b$ $$ $b$), $$1$$::int + 1, x'1F', cast($$2$$ AS numeric)",
            "SELECT extract(epoch FROM interval $$1 day$$), position($$b$$ IN $$abc$$), to_char(date '2026-01-02', $$YYYY$$)",
            "SELECT '{1,2}'::int[] = $${1,2}$$, $$k$$::text COLLATE \"C\", int $$5$$",
        ],
    )
    .await;
    for statement in [
        "SELECT $$a$$\n'b'",
        "SELECT 'a'\n$$b$$",
        "SELECT e'a' $$b$$",
        "SELECT $$a$$ $$b$$",
        "SELECT $$x$$::int",
        "SELECT 1 + $$y$$",
        "INSERT INTO dollars VALUES ($$1$$, $$yes$$), ($$z$$, 'b')",
        "INSERT INTO dollars VALUES ($$1$$, $$no$$)",
    ] {
        same_outcome(&tide, &pg, statement).await;
    }
}
