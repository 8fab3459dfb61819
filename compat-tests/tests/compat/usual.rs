//! Statements of usual applications that were refused once: of ORMs, migrations and reports.

use crate::constraints::play;
use crate::pair::{Pair, same_outcome};
use crate::type_functions::{all_refused, all_same};

/// Groups by casts and subqueries, beside the columns that they are of.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_keys_and_expressions() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE fan (id int PRIMARY KEY, name text, since timestamp, p int);
         INSERT INTO fan VALUES (1, 'a', '2024-01-01', NULL), (2, 'b', '2024-02-01', 1), (3, 'a', '2024-02-01 10:00', 1);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id, name, since, since::date AS d, count(*) FROM fan GROUP BY 4, id ORDER BY id",
            "SELECT id, name, since, since::date AS d, count(*) FROM fan GROUP BY d, id ORDER BY id",
            "SELECT id, since, since::date AS d FROM fan GROUP BY since::date, id HAVING since::date > '2024-01-15' ORDER BY since::date, id",
            "SELECT a.id, a.name, (SELECT b.name FROM fan b WHERE b.id = a.p LIMIT 1) AS nm, count(c.id) FROM fan a LEFT JOIN fan c ON c.p = a.id GROUP BY a.id, 3 ORDER BY 1",
            "SELECT (SELECT b.name FROM fan b WHERE b.id = a.p LIMIT 1) AS nm, a.id, a.name, count(c.id) FROM fan a LEFT JOIN fan c ON c.p = a.id GROUP BY 1, a.id ORDER BY 2",
            "SELECT (SELECT b.name FROM fan b WHERE b.id = a.p) AS nm, count(*) FROM fan a GROUP BY nm ORDER BY 1",
            "SELECT since::date, since::text, count(*) FROM fan GROUP BY 1, 2 ORDER BY 2",
            "SELECT since, since::date, count(*) FROM fan GROUP BY 1, 2 ORDER BY 1",
            "SELECT fan.since, since::date, since::date + 1 AS next, count(*) FROM fan GROUP BY since, fan.since::date ORDER BY 1",
            "SELECT since::date AS d, since::date::text AS t, count(*), max(since::text) FROM fan GROUP BY since::date, since::date::text ORDER BY 1",
            "SELECT lower(name::varchar(10)), lower(name) AS l, count(*) FROM fan GROUP BY 1, 2 ORDER BY 2",
            "SELECT since::date, sum(id) FROM fan GROUP BY since ORDER BY since",
            "SELECT count(*) FROM fan GROUP BY ROLLUP ((since)::date, name) ORDER BY 1",
            "SELECT count(*) FROM fan GROUP BY CUBE ((id + 1) * 2, name) ORDER BY 1",
            "SELECT count(*) FROM fan GROUP BY GROUPING SETS ((id + 1) * 2, (name, id)) ORDER BY 1",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &["SELECT since, since::date, sum(id) FROM fan GROUP BY since::date"],
    )
    .await;
}

/// `RETURNING (xmax = 0)` tells what ON CONFLICT inserted from what it updated; DO NOTHING beside a deferrable key.
#[tokio::test(flavor = "multi_thread")]
async fn upserts() {
    let pair = Pair::start();
    for statement in [
        "CREATE TABLE ups (id int PRIMARY KEY, n int)",
        "INSERT INTO ups VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING (xmax = 0) AS inserted",
        "INSERT INTO ups VALUES (1, 2), (2, 2) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, (xmax = 0) AS inserted, *",
        "INSERT INTO ups AS u VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET n = 4 RETURNING u.xmax::text::bigint > 0 AS updated",
        "INSERT INTO ups VALUES (7, 7) RETURNING xmax, CASE WHEN xmax = 0 THEN 'new' ELSE 'old' END",
        "CREATE TABLE du (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO du VALUES (1, 1) ON CONFLICT DO NOTHING",
        "INSERT INTO du VALUES (1, 1)",
        "INSERT INTO du VALUES (1, 2) ON CONFLICT DO NOTHING",
        "INSERT INTO du VALUES (2, 1) ON CONFLICT DO NOTHING",
        "INSERT INTO du VALUES (1, 2), (3, 3) ON CONFLICT DO NOTHING",
        "INSERT INTO du VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET u = 3",
        "INSERT INTO du VALUES (2, 3) ON CONFLICT (u) DO NOTHING",
        "SELECT * FROM du ORDER BY id",
    ] {
        pair.same_or_fail(statement);
    }
    let (tide, _) = pair.connect().await;
    for (column, statement) in [
        ("xmin", "SELECT xmin FROM ups"),
        ("ctid", "UPDATE ups SET n = 1 RETURNING ctid"),
        ("xmax", "UPDATE ups SET n = 1 RETURNING xmax"),
    ] {
        let error = tide.batch_execute(statement).await.expect_err(statement);
        let error = error.as_db_error().expect(statement);
        let message = format!("the system column \"{column}\" here is not supported");
        assert_eq!((error.code().code(), error.message()), ("0A000", &*message));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT jsonb_build_object(VARIADIC ARRAY['a', '1', 'b', NULL]), json_build_object(VARIADIC ARRAY['a', '1'])",
            "SELECT jsonb_build_object(VARIADIC '{}'::text[]), jsonb_build_array(VARIADIC ARRAY[1, 2]), json_build_array(VARIADIC ARRAY['a', 'b'])",
            "SELECT concat(VARIADIC ARRAY['a', NULL, 'b']), concat_ws(',', VARIADIC x), concat(VARIADIC x) AS c FROM (VALUES (ARRAY['p', 'q']), (NULL)) v (x)",
            "SELECT format('%s %s', VARIADIC ARRAY['a', 'b']), num_nulls(VARIADIC ARRAY[1, NULL]), num_nonnulls(VARIADIC ARRAY[1, NULL])",
            "SELECT jsonb_extract_path('{\"a\": {\"b\": 1}}'::jsonb, VARIADIC ARRAY['a', 'b']), jsonb_extract_path_text('{\"a\": {\"b\": 1}}'::jsonb, VARIADIC ARRAY['a', 'b'])",
            "SELECT 'a'::text COLLATE \"C\", ('a' || 'b') COLLATE \"C\" < 'B', lower('A') COLLATE \"C\"",
            "SELECT N'abc', N'a b'",
            "SELECT 'a' ~<~ 'b' AS a, 'a' ~<=~ 'b' AS b, 'a' ~>~ 'b' AS c, 'a' ~>=~ 'b' AS d",
            "SELECT (VALUES (1)), (VALUES ('x')) AS y, 1 + (VALUES (2)) AS z",
            "SELECT ((SELECT 2) UNION SELECT 2) AS u, ((SELECT 3) EXCEPT (SELECT 2)) + 1 AS e",
            "SELECT 1 AS a WHERE ((SELECT 1) UNION (SELECT 1)) IS NOT NULL",
            "SELECT x FROM generate_series(1, 3) x ORDER BY x USING >",
            "SELECT x FROM generate_series(1, 3) x ORDER BY x % 2 USING <, x USING >",
            "SELECT percentile_cont(ARRAY[0, 0.25, 0.5]) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 10) x",
            "SELECT percentile_disc(ARRAY[0, 0.25, 1]) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 10) x",
            "SELECT 'today 10:30'::timestamp = current_date + time '10:30' AS a, 'tomorrow 16:00'::timestamp::time AS b, 'yesterday 12:34:56'::timestamptz = current_date - 1 + time '12:34:56' AS c",
            "SELECT 'tomorrow zulu'::timestamptz AT TIME ZONE 'UTC' = current_date + 1 AS a, 'today allballs'::timestamp::time AS b",
            "SELECT * FROM json_populate_record(NULL::record, '{\"x\": 1, \"y\": 2}') AS (x int, y int)",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT greatest(VARIADIC ARRAY[1, 2])",
            "SELECT 'today x'::timestamp",
            "SELECT 'today 25:00'::timestamp",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions() {
    let pair = Pair::start();
    for statement in [
        "CREATE TABLE t (id int PRIMARY KEY, name text, at timestamp)",
        "INSERT INTO t VALUES (1, 'a', '2024-01-01')",
        "PREPARE q (int) AS SELECT $1 + 1 AS a, 'x' AS b; CREATE TABLE made AS EXECUTE q (4); CREATE TEMP TABLE none (z, y) AS EXECUTE q ('5') WITH NO DATA; SELECT * FROM made; SELECT * FROM none",
        "PREPARE q (int) AS SELECT id FROM t WHERE id = $1; EXPLAIN (COSTS OFF) EXECUTE q (4, 5)",
        "PREPARE q AS DELETE FROM t; CREATE TABLE no AS EXECUTE q",
        "CREATE TABLE no AS EXECUTE nobody",
        "CREATE VIEW v AS SELECT id, name FROM t",
        "CREATE VIEW over AS SELECT id FROM v",
        "ALTER VIEW v RENAME COLUMN name TO called",
        "ALTER VIEW v RENAME called TO title",
        "ALTER VIEW v RENAME title TO id",
        "ALTER VIEW v RENAME nobody TO x",
        "ALTER VIEW v RENAME TO w",
        "SELECT title FROM w",
        "SELECT * FROM over",
        "ALTER VIEW IF EXISTS nobody RENAME TO x",
        "ALTER VIEW nobody RENAME TO x",
        "ALTER VIEW t RENAME TO x",
        "ALTER INDEX IF EXISTS nobody RENAME TO x",
        "ALTER INDEX IF EXISTS t_pkey RENAME TO t_pk",
        "SELECT indexname FROM pg_indexes WHERE tablename = 't'",
        "CREATE INDEX filled ON t (name) WITH (fillfactor = 70, deduplicate_items = off)",
        "CREATE INDEX overfull ON t (name) WITH (fillfactor = 101)",
        "CREATE INDEX strange ON t (name) WITH (strange = 1)",
        "CREATE UNIQUE INDEX strange ON t USING hash (name)",
        "CREATE TABLE keyed (a int, b int, c int, PRIMARY KEY (a) INCLUDE (b), UNIQUE (b) INCLUDE (c, a))",
        "ALTER TABLE keyed ADD CONSTRAINT also UNIQUE (c) INCLUDE (a)",
        "INSERT INTO keyed VALUES (1, 1, 1), (2, 1, 2)",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'keyed'::regclass AND contype = 'u' ORDER BY 1",
        "CREATE RECURSIVE VIEW counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 3",
        "SELECT * FROM counted",
        "CREATE MATERIALIZED VIEW kept AS SELECT id FROM t",
        "COMMENT ON MATERIALIZED VIEW kept IS 'hi'",
        "SELECT obj_description('kept'::regclass)",
        "COMMENT ON TABLE kept IS 'no'",
        "COMMENT ON MATERIALIZED VIEW t IS 'no'",
        "ALTER TABLE t ALTER COLUMN name SET (n_distinct = -0.5)",
        "ALTER TABLE t ALTER name RESET (n_distinct, n_distinct_inherited)",
        "CREATE TABLE busy (a int) WITH (autovacuum_enabled = false)",
        "ALTER TABLE busy RESET (fillfactor)",
        "SET transform_null_equals = off",
    ] {
        pair.same_or_fail(statement);
    }
    let (tide, pg) = pair.connect().await;
    same_outcome(&tide, &pg, "DROP TABLE made").await;
    let missing = "ALTER TABLE keyed ADD UNIQUE (c) INCLUDE (nobody)";
    same_outcome(&tide, &pg, missing).await;
    for (statement, message) in [
        (
            "CREATE INDEX ON t USING gin (name)",
            "an index USING gin is not supported",
        ),
        (
            "SELECT count(*) FROM t TABLESAMPLE system(0)",
            "TABLESAMPLE is not supported",
        ),
        (
            "CREATE TABLE e (a int, EXCLUDE USING gist (a WITH =))",
            "EXCLUDE is not supported",
        ),
        (
            "ALTER TABLE t ADD CONSTRAINT e EXCLUDE (id WITH =)",
            "EXCLUDE is not supported",
        ),
        (
            "CREATE SCHEMA s CREATE TABLE a (b int)",
            "CREATE SCHEMA with what is in it is not supported",
        ),
        (
            "ALTER VIEW w ALTER COLUMN id SET DEFAULT 1",
            "a default of a view's column is not supported",
        ),
    ] {
        let error = tide.batch_execute(statement).await.expect_err(statement);
        let error = error.as_db_error().expect(statement);
        assert_eq!(
            (error.code().code(), error.message()),
            ("0A000", message),
            "{statement}"
        );
    }
    // The truth is told of an index that is another one than was asked for.
    let said = pair.tide.peer().run("CREATE INDEX hashed ON t USING hash (name); SELECT indexdef FROM pg_indexes WHERE indexname = 'hashed';");
    assert_eq!(
        said.trim(),
        "CREATE INDEX hashed ON public.t USING btree (name)"
    );
}

/// A view whose WITH has a name of its own, or of the view's view: the server looked for ever for what is meant.
#[tokio::test(flavor = "multi_thread")]
async fn views_with_names_of_views() {
    let pair = Pair::start();
    for statement in [
        "CREATE VIEW own AS WITH own AS (SELECT 1 AS n) SELECT n FROM own",
        "CREATE VIEW a AS SELECT 2 AS n",
        "CREATE VIEW b AS WITH a AS (SELECT 3 AS n) SELECT n FROM a",
        "CREATE OR REPLACE VIEW a AS WITH b AS (SELECT 4 AS n) SELECT n FROM b",
        "SELECT * FROM own",
        "SELECT a.n, b.n AS m FROM a, b",
    ] {
        pair.same_or_fail(statement);
    }
}

/// What scripts drop before they make it: there is none, and PostgreSQL says so in the same words.
#[tokio::test(flavor = "multi_thread")]
async fn drops_of_what_is_not_there() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int); CREATE TYPE mood AS ENUM ('a')");
    let script = [
        "DROP FUNCTION IF EXISTS f()",
        "DROP FUNCTION IF EXISTS f",
        "DROP FUNCTION IF EXISTS f(int, text[], timestamp with time zone, timestamptz, double precision) CASCADE",
        "DROP FUNCTION IF EXISTS public.f(x int), g(OUT a int, VARIADIC b varchar(5)[])",
        "DROP FUNCTION IF EXISTS nosuch.f(int)",
        "DROP FUNCTION IF EXISTS f(nosuch), f(nosuch.t), f(mood)",
        "DROP PROCEDURE IF EXISTS f()",
        "DROP ROUTINE IF EXISTS f(integer)",
        "DROP AGGREGATE IF EXISTS f(*), g(bigint)",
        "DROP TRIGGER IF EXISTS tr ON t CASCADE",
        "DROP TRIGGER IF EXISTS tr ON public.t",
        "DROP TRIGGER IF EXISTS tr ON nosuch",
        "DROP TRIGGER IF EXISTS tr ON nosuch.t",
        "DROP RULE IF EXISTS r ON t",
        "DROP POLICY IF EXISTS p ON t",
        "DROP DOMAIN IF EXISTS d, e CASCADE",
        "DROP DOMAIN IF EXISTS nosuch.d",
        "DROP PUBLICATION IF EXISTS p",
        "DROP SUBSCRIPTION IF EXISTS s",
        "DROP STATISTICS IF EXISTS s",
        "DROP EVENT TRIGGER IF EXISTS e",
        "DROP FOREIGN TABLE IF EXISTS f",
        "DROP FOREIGN DATA WRAPPER IF EXISTS f",
        "DROP SERVER IF EXISTS s",
    ]
    .join(";");
    let tide = pair.tide.peer().notices(&script).await;
    let pg = pair.pg.peer().notices(&script).await;
    assert_eq!(tide, pg);
    assert_eq!(tide.len(), 29);
    for statement in [
        "DROP FUNCTION f()",
        "DROP FUNCTION f",
        "DROP FUNCTION nosuch.f(int)",
        "DROP FUNCTION f(nosuch)",
        "DROP FUNCTION f(int, text[], varchar(3))",
        "DROP PROCEDURE f(int)",
        "DROP PROCEDURE f",
        "DROP AGGREGATE f(int)",
        "DROP TRIGGER tr ON t",
        "DROP TRIGGER tr ON nosuch",
        "DROP RULE r ON t",
        "DROP POLICY p ON public.t",
        "DROP DOMAIN d, e",
        "DROP DOMAIN mood",
        "DROP DOMAIN IF EXISTS mood",
        "DROP FOREIGN TABLE t",
        "DROP FOREIGN TABLE f",
        "DROP PUBLICATION p",
        "DROP SERVER s",
    ] {
        pair.same_or_fail(statement);
    }
}

/// Indexes on expressions are made and used whatever a session's settings are: Rails sets IntervalStyle in each.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_on_expressions_under_other_settings() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for statement in [
        "CREATE TABLE b (id int PRIMARY KEY, x varchar, d date, j jsonb)",
        "INSERT INTO b SELECT g, 'U' || g, date '2024-01-01' + g, jsonb_build_object('k', g) FROM generate_series(1, 2000) g",
        "SET intervalstyle = iso_8601",
        "CREATE UNIQUE INDEX ON b ((lower(x)))",
        "CREATE INDEX ON b ((j ->> 'k'))",
        "CREATE INDEX ON b ((upper(x::text)), (x || 'a')) WHERE length(x) > 3",
        "CREATE INDEX ON b ((d - date '2020-01-01'))",
        "INSERT INTO b VALUES (3000, 'u5')",
    ] {
        same_outcome(&tide, &pg, statement).await;
    }
    for settings in [
        "SET intervalstyle = iso_8601",
        "SET TimeZone = 'Europe/Berlin'; RESET intervalstyle",
    ] {
        for client in [&tide, &pg] {
            client.batch_execute(settings).await.unwrap();
        }
        for condition in ["lower(x) = 'u5'", "j ->> 'k' = '7'"] {
            let query = format!("SELECT id FROM b WHERE {condition}");
            all_same(&tide, &pg, &[&query]).await;
            let rows = tide.query(&format!("EXPLAIN {query}"), &[]).await.unwrap();
            let plan: String = rows[0].get(0);
            assert!(plan.starts_with("Index Scan"), "{settings}: {plan}");
        }
    }
}

/// Aggregates whose subqueries alone differ, as Django's facets have them; literals where a boolean belongs.
#[tokio::test(flavor = "multi_thread")]
async fn facets_and_truth() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int PRIMARY KEY, y int); INSERT INTO t VALUES (1, 1985), (2, 1992), (3, 1999), (4, NULL);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT count(id) FILTER (WHERE id IN (SELECT u.id FROM t u WHERE u.y >= 1980 AND u.y <= 1989)) AS a, count(id) FILTER (WHERE id IN (SELECT u.id FROM t u WHERE u.y >= 1990 AND u.y <= 1999)) AS b FROM t",
            "SELECT count(*) FILTER (WHERE id IN (SELECT u.id FROM t u WHERE u.y < 1990)) AS a, count(*) FILTER (WHERE id IN (SELECT u.id FROM t u WHERE u.y > 1990)) AS b FROM t",
            "SELECT count(*) FILTER (WHERE EXISTS (SELECT u.id FROM t u WHERE u.y = t.id)) AS a, count(*) FILTER (WHERE EXISTS (SELECT u.id FROM t u WHERE u.y >= 30)) AS b FROM t",
            "SELECT sum((SELECT max(u.id) FROM t u)) AS a, sum((SELECT min(u.id) FROM t u)) AS b FROM t",
            "SELECT count(*) FILTER (WHERE id::text = '1') AS a, count(*) FILTER (WHERE id = 1) AS b FROM t",
            "SELECT 'f' IS FALSE, '0' IS NOT TRUE, 't' IS UNKNOWN, 'yes' IS TRUE, 'no' IS NOT UNKNOWN, 'no' IS NOT FALSE, NULL IS TRUE",
        ],
    )
    .await;
    all_refused(&tide, &pg, &["SELECT 'x' IS NOT FALSE"]).await;
}

/// The sequence of a serial goes when no default draws from it any more; tables say that they are without oids.
#[tokio::test(flavor = "multi_thread")]
async fn sequences_that_nothing_draws_from() {
    play(
        "CREATE TABLE co (id serial PRIMARY KEY);
         CREATE SEQUENCE s2;
         DROP SEQUENCE co_id_seq;
         ALTER TABLE co ALTER id SET DEFAULT nextval('s2');
         DROP SEQUENCE co_id_seq;
         SELECT pg_get_serial_sequence('co', 'id');
         DROP SEQUENCE s2;
         ALTER TABLE co ALTER id DROP DEFAULT;
         DROP SEQUENCE s2;
         CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY);
         DROP SEQUENCE ident_id_seq;
         CREATE TABLE o (a int) WITH (oids = false);
         CREATE TABLE o2 (a int) WITH (oids = true);
         CREATE TABLE o3 (a int) WITHOUT OIDS;
         INSERT INTO o3 VALUES (1) RETURNING a",
    )
    .await;
}

/// Names with commas in INCLUDE; GROUP BY DISTINCT and sets within sets; numbers of windows that are no constants.
#[tokio::test(flavor = "multi_thread")]
async fn groups_and_windows() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE tb (id int PRIMARY KEY, x int, \"a,b\" int, \"c \"\"d\" int);
         INSERT INTO tb VALUES (1, 1), (2, 2), (3, 5), (4, 1);",
    );
    let (tide, pg) = pair.connect().await;
    for statement in [
        "ALTER TABLE tb ADD UNIQUE (x, id) INCLUDE (\"a,b\", \"c \"\"d\")",
        "CREATE TABLE ti (id int, \"a,b\" int, UNIQUE (id) INCLUDE (\"a,b\"))",
    ] {
        same_outcome(&tide, &pg, statement).await;
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT indexdef FROM pg_indexes WHERE tablename IN ('tb', 'ti') ORDER BY indexname",
            "SELECT x, count(*) FROM tb GROUP BY DISTINCT x ORDER BY 1",
            "SELECT x, id, count(*) FROM tb GROUP BY DISTINCT ROLLUP (x, id), ROLLUP (x) ORDER BY 1, 2, 3",
            "SELECT x, id, count(*) FROM tb GROUP BY ALL ROLLUP (x, id), ROLLUP (x) ORDER BY 1, 2, 3",
            "SELECT x, id, count(*) FROM tb GROUP BY DISTINCT CUBE (x, id), x, GROUPING SETS ((id, x), ()) ORDER BY 1, 2, 3",
            "SELECT x, id, count(*) FROM tb GROUP BY GROUPING SETS ((x), GROUPING SETS ((id), ())) ORDER BY 1, 2, 3",
            "SELECT x, id, count(*) FROM tb GROUP BY GROUPING SETS (ROLLUP (x, id), CUBE (x, id)) ORDER BY 1, 2, 3",
            "SELECT x, id, count(*), grouping(x, id) FROM tb GROUP BY GROUPING SETS (x, (), ROLLUP ((id, x), (id + 1) * 2)) ORDER BY 1, 2, 3, 4",
            "SELECT x % 2 AS odd, count(*) FROM tb GROUP BY DISTINCT ROLLUP (odd), CUBE (odd) ORDER BY 1, 2",
            "SELECT ntile(NULL) OVER (ORDER BY id), ntile(1 + 1) OVER (ORDER BY id), ntile(id) OVER (ORDER BY id DESC) FROM tb ORDER BY id",
            "SELECT id, ntile(nullif(id, 1) + 1) OVER (PARTITION BY x > 1 ORDER BY id) FROM tb ORDER BY id",
            "SELECT id, nth_value(x, id) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), nth_value(x, id - 1 + 1) OVER (ORDER BY id), nth_value(x, NULL) OVER () FROM tb ORDER BY id",
            "SELECT id, nth_value(x, (id % 2 + 1)::smallint) OVER (PARTITION BY x ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM tb ORDER BY id",
            "SELECT id, json_agg(x) OVER (ORDER BY id), jsonb_agg(x) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM tb ORDER BY id",
            "SELECT id, json_object_agg(id, x) OVER (ORDER BY id), jsonb_object_agg(id, x) OVER (w ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM tb WINDOW w AS (ORDER BY id) ORDER BY id",
            "SELECT id, json_agg(tb) FILTER (WHERE id > 1) OVER (PARTITION BY x ORDER BY id) FROM tb ORDER BY id",
            "SELECT id, array_agg(x) OVER w, string_agg(x::text, '-') OVER w FROM tb WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) ORDER BY id",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT ntile(id - 1) OVER (ORDER BY id) FROM tb",
            "SELECT nth_value(x, id - 1) OVER (ORDER BY id) FROM tb",
            "SELECT ntile(id::bigint) OVER (ORDER BY id) FROM tb",
            "SELECT nth_value(x, id::bigint) OVER (ORDER BY id) FROM tb",
            "SELECT count(*) FROM tb GROUP BY DISTINCT CUBE (id, id, id, id, id, id, id, id, id, id, id, id, id)",
        ],
    )
    .await;
}

/// A parameter that stands alone is of the type that another of its places wants.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_stand_alone_too() {
    play(
        "CREATE TABLE tb (id int PRIMARY KEY, x int);
         INSERT INTO tb VALUES (1, 1), (2, 2);
         PREPARE q AS SELECT $1 + 1, $2 || 'a', $1;
         EXECUTE q(1, 'b');
         PREPARE q1 AS SELECT 5 + $1, $1;
         EXECUTE q1(2);
         PREPARE q2 AS SELECT coalesce($1, 5), $1;
         EXECUTE q2(NULL);
         PREPARE q3 AS SELECT CASE WHEN $1 THEN $2 ELSE 5 END, $2;
         EXECUTE q3(true, 3);
         PREPARE q4 AS SELECT (SELECT $1 + 1), $1 FROM tb WHERE x = $2 AND $2 < 5;
         EXECUTE q4(1, 2);
         PREPARE q5 AS SELECT $1 IN (1, 2), $1;
         EXECUTE q5(1)",
    )
    .await;
}

/// Tables without columns have rows, in both tiers.
#[tokio::test(flavor = "multi_thread")]
async fn tables_without_columns() {
    play(
        "CREATE TABLE tb (id int);
         INSERT INTO tb VALUES (1), (2);
         CREATE TABLE t ();
         SELECT FROM t;
         SELECT count(*) FROM t;
         INSERT INTO t DEFAULT VALUES;
         @CALL tidelog.flush('t');
         INSERT INTO t SELECT FROM generate_series(1, 2);
         INSERT INTO t DEFAULT VALUES RETURNING *;
         SELECT * FROM t;
         SELECT 1 FROM t;
         SELECT count(*) FROM t a, t b;
         SELECT EXISTS (SELECT FROM t), (SELECT count(*) FROM t);
         UPDATE t SET a = 1;
         DELETE FROM t;
         SELECT count(*) FROM t;
         INSERT INTO t DEFAULT VALUES;
         ALTER TABLE t ADD COLUMN a int DEFAULT 5;
         SELECT * FROM t;
         @CALL tidelog.flush('t');
         INSERT INTO t VALUES (1);
         ALTER TABLE t DROP COLUMN a;
         @CALL tidelog.flush('t');
         @CALL tidelog.compact('t');
         SELECT * FROM t;
         SELECT count(*) FROM t;
         ALTER TABLE t ADD COLUMN b text;
         SELECT * FROM t;
         CREATE TABLE t0 AS SELECT;
         CREATE TABLE t3 AS SELECT FROM generate_series(1, 3);
         SELECT (SELECT count(*) FROM t0), (SELECT count(*) FROM t3);
         CREATE TABLE l (LIKE t0);
         CREATE VIEW v AS SELECT FROM tb;
         SELECT * FROM v;
         SELECT FROM tb UNION ALL SELECT FROM tb;
         TRUNCATE t0;
         SELECT count(*) FROM t0;
         INSERT INTO tb VALUES (3) RETURNING count(*);
         INSERT INTO tb VALUES (3) RETURNING row_number() OVER ();
         SELECT count(*) FROM tb",
    )
    .await;
}

/// A label of an enum gets another name, in rows of both tiers, arrays, keys and defaults.
#[tokio::test(flavor = "multi_thread")]
async fn labels_get_other_names() {
    play(
        "CREATE TYPE mood AS ENUM ('sad','ok','happy');
         CREATE TABLE en1 (id int PRIMARY KEY, m mood DEFAULT 'sad', a mood[] DEFAULT '{ok}', t text DEFAULT 'sad');
         CREATE TABLE en2 (m mood PRIMARY KEY, n int);
         CREATE TABLE en3 (id int, m mood REFERENCES en2, CHECK (m <> 'happy'));
         INSERT INTO en1 (id) VALUES (1),(2);
         INSERT INTO en1 VALUES (3,'ok','{sad,NULL,ok}','sad'),(4,NULL,NULL,NULL);
         INSERT INTO en2 VALUES ('sad',1),('ok',2);
         INSERT INTO en3 VALUES (1,'sad'),(2,'ok');
         @CALL tidelog.flush('en1');
         CREATE INDEX en1i ON en1 (m);
         ALTER TYPE mood RENAME VALUE 'nope' TO 'x';
         ALTER TYPE mood RENAME VALUE 'sad' TO 'ok';
         ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
         SELECT id, m::text, a::text, t FROM en1 ORDER BY id;
         SELECT m::text, n FROM en2 ORDER BY m;
         SELECT id, m::text FROM en3 ORDER BY id;
         SELECT id FROM en1 WHERE m = 'blue' ORDER BY id;
         SELECT id FROM en1 WHERE m = 'sad';
         INSERT INTO en1 (id) VALUES (5);
         SELECT m::text, t FROM en1 WHERE id = 5;
         INSERT INTO en3 VALUES (3,'blue');
         INSERT INTO en3 VALUES (3,'happy');
         DELETE FROM en2 WHERE m = 'blue';
         INSERT INTO en2 VALUES ('blue', 4);
         SELECT column_default FROM information_schema.columns WHERE table_name = 'en1' ORDER BY ordinal_position;
         BEGIN;
         ALTER TYPE mood RENAME VALUE 'blue' TO 'grey';
         SELECT id, m::text, a::text, t FROM en1 ORDER BY id;
         ROLLBACK;
         SELECT id, m::text, a::text, t FROM en1 ORDER BY id;
         CREATE TYPE mood2 AS ENUM ('a');
         ALTER TYPE mood2 RENAME VALUE 'a' TO 'b';
         SELECT enumlabel, enumsortorder FROM pg_enum WHERE enumtypid = 'mood'::regtype ORDER BY 2",
    )
    .await;
    let pair = Pair::start();
    let (tide, _) = pair.connect().await;
    tide.batch_execute(
        "CREATE TYPE m AS ENUM ('a', 'b'); CREATE TABLE t (m m); CREATE VIEW v AS SELECT 1 AS one FROM t WHERE m = 'a'",
    )
    .await
    .unwrap();
    let refused = tide
        .batch_execute("ALTER TYPE m RENAME VALUE 'a' TO 'c'")
        .await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "0A000");
}

/// DO with one definition that may be there: Sequelize and Drizzle write it. The PostgreSQL beside may have no PL/pgSQL.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_may_be_there() {
    let pair = Pair::start();
    let (tide, _) = pair.connect().await;
    let make = "DO 'BEGIN CREATE TYPE \"public\".\"enum_Users_role\" AS ENUM(''admin'', ''user''); EXCEPTION WHEN duplicate_object THEN null; END'";
    let add = "DO $$ BEGIN\n ALTER TABLE t ADD CONSTRAINT u UNIQUE (id);\nEXCEPTION WHEN duplicate_table OR duplicate_object THEN null;\nEND $$ LANGUAGE plpgsql";
    tide.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    for statement in [
        make,
        make,
        add,
        add,
        "BEGIN",
        make,
        add,
        "INSERT INTO t VALUES (1)",
        "COMMIT",
    ] {
        tide.batch_execute(statement).await.unwrap();
    }
    let rows = tide
        .query("SELECT 'admin'::\"enum_Users_role\"::text FROM t", &[])
        .await;
    assert_eq!(rows.unwrap()[0].get::<_, String>(0), "admin");
    for (statement, code) in [
        (
            "DO $$ BEGIN CREATE TABLE t (a int); EXCEPTION WHEN duplicate_object THEN null; END $$",
            "42P07",
        ),
        (
            "DO $$ BEGIN CREATE TABLE nope.t (a int); EXCEPTION WHEN duplicate_table THEN null; END $$",
            "3F000",
        ),
        (
            "DO $$ BEGIN INSERT INTO t VALUES (1); EXCEPTION WHEN unique_violation THEN null; END $$",
            "0A000",
        ),
        ("DO $$ BEGIN RAISE NOTICE 'x'; END $$", "0A000"),
    ] {
        let error = tide.batch_execute(statement).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), code, "{statement}");
    }
}

/// Definitions may name what is in the database with the database's own name, as dbt does; names of identity sequences.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_three_parts() {
    play(
        "CREATE TABLE \"postgres\".\"public\".\"q\" (a int PRIMARY KEY);
         INSERT INTO postgres.public.q VALUES (1);
         CREATE TABLE postgres.public.r AS SELECT * FROM postgres.public.q;
         CREATE VIEW postgres.public.v AS (SELECT a, q.a + 1 AS b FROM \"postgres\".\"public\".\"q\");
         SELECT * FROM v;
         ALTER TABLE postgres.public.r RENAME TO s;
         COMMENT ON TABLE postgres.public.q IS 'x';
         COMMENT ON COLUMN postgres.public.q.a IS 'y';
         CREATE SEQUENCE postgres.public.n OWNED BY postgres.public.s.a;
         CREATE TABLE c (a int REFERENCES postgres.public.q);
         CREATE MATERIALIZED VIEW postgres.public.m AS SELECT a FROM postgres.public.q;
         REFRESH MATERIALIZED VIEW postgres.public.m;
         SELECT * FROM m;
         DROP MATERIALIZED VIEW postgres.public.m;
         DROP VIEW postgres.public.v;
         DROP TABLE postgres.public.c, postgres.public.s;
         DROP TABLE other.public.q;
         CREATE TABLE dz (n integer GENERATED ALWAYS AS IDENTITY (sequence name \"dz_n_seq\" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1), m bigint);
         CREATE TABLE \"dz2\" (id int, \"n\" integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME public.dz2_n_seq));
         INSERT INTO dz (m) VALUES (1) RETURNING *;
         INSERT INTO dz2 (id) VALUES (1) RETURNING *;
         SELECT pg_get_serial_sequence('dz', 'n'), pg_get_serial_sequence('dz2', 'n')",
    )
    .await;
}

/// NULL beside values of types that are bytes to the engine.
#[tokio::test(flavor = "multi_thread")]
async fn nulls_beside_bytes() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT ARRAY['9c6d5a77-7256-457e-9461-347b4358e350'::uuid, NULL], ARRAY[NULL, '\\x01'::bytea]",
            "SELECT coalesce(NULL, '\\x00'::bytea), coalesce(NULL, '9c6d5a77-7256-457e-9461-347b4358e350'::uuid)",
            "SELECT CASE WHEN true THEN NULL ELSE '9c6d5a77-7256-457e-9461-347b4358e350'::uuid END",
            "SELECT '\\x00'::bytea = ANY (ARRAY[NULL, '\\x00'::bytea])",
            "SELECT array_append(ARRAY['9c6d5a77-7256-457e-9461-347b4358e350'::uuid], NULL), array_append(ARRAY['\\x00'::bytea], NULL)",
            "SELECT array_position(ARRAY['9c6d5a77-7256-457e-9461-347b4358e350'::uuid, NULL], NULL), array_remove(ARRAY[1, NULL, 2], NULL), array_replace(ARRAY[1, NULL], NULL, 5), array_position(ARRAY['a'], NULL)",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        client.batch_execute("CREATE TABLE ad (a int, b int[], c text[]); EXPLAIN (SELECT 1 AS a) UNION (SELECT 2 AS a); EXPLAIN (COSTS OFF) (SELECT 1)").await.unwrap();
    }
    let dimensions = "SELECT attname, attndims FROM pg_attribute WHERE attrelid = 'ad'::regclass AND attnum > 0 ORDER BY attnum";
    all_same(&tide, &pg, &[dimensions]).await;
}

/// Collations and tablespaces that say what is so in any case; arrays of enum types by both of their names.
#[tokio::test(flavor = "multi_thread")]
async fn collations_tablespaces_and_arrays_of_enums() {
    play(
        "CREATE TABLE cl (a text COLLATE \"C\", b varchar(5) COLLATE \"POSIX\" NOT NULL, c text[] COLLATE pg_catalog.\"default\", d char(3) COLLATE \"default\" DEFAULT 'x');
         ALTER TABLE cl ADD COLUMN e text COLLATE \"C\";
         ALTER TABLE cl ALTER COLUMN a TYPE varchar(9) COLLATE \"C\" USING a || 'x';
         CREATE TABLE cl3 (a int COLLATE \"C\");
         CREATE INDEX ON cl (a COLLATE \"C\");
         CREATE INDEX ON cl (b) TABLESPACE pg_default;
         CREATE TABLE cl4 (a int) TABLESPACE pg_default;
         INSERT INTO cl (a, b) VALUES ('a', 'b') RETURNING *;
         CREATE TYPE my_e AS ENUM ('a');
         CREATE SCHEMA s;
         CREATE TYPE s.oth AS ENUM ('a');
         SELECT '\"public\".\"_my_e\"'::regtype::text, '_my_e'::regtype::text, 'my_e[]'::regtype::text, to_regtype('_my_e')::text, 's._oth'::regtype::text, 's.oth[]'::regtype::text, 'int4[]'::regtype::text;
         SELECT 'nope[]'::regtype",
    )
    .await;
}

/// Sequences that the same statement makes, constraints that go before others come, and texts of times and addresses.
#[tokio::test(flavor = "multi_thread")]
async fn sequences_of_the_same_statement_and_texts() {
    play(
        "CREATE TABLE ps (id bigserial PRIMARY KEY, x int DEFAULT nextval('ps_id_seq'), y bigint DEFAULT nextval('public.ps_id_seq'));
         CREATE TABLE ps3 (id bigserial PRIMARY KEY, x int DEFAULT nextval('ps3_id_seq') + 1);
         SELECT column_name, column_default FROM information_schema.columns WHERE table_name IN ('ps', 'ps3') ORDER BY table_name, ordinal_position;
         INSERT INTO ps DEFAULT VALUES RETURNING *;
         CREATE TABLE ps2 (id bigserial PRIMARY KEY, x int DEFAULT nextval('ps2_ix_seq'));
         CREATE TABLE al (x int, y int);
         ALTER TABLE al ADD CONSTRAINT c2 CHECK (y > 0), DROP CONSTRAINT c2;
         ALTER TABLE al ADD CONSTRAINT c2 CHECK (y > 0), DROP CONSTRAINT c2, DROP COLUMN y;
         ALTER TABLE al ADD COLUMN z int, DROP COLUMN z;
         ALTER TABLE al ADD CONSTRAINT c2 CHECK (y > 0), DROP CONSTRAINT IF EXISTS c2;
         INSERT INTO al VALUES (1, 0);
         ALTER TABLE al ADD CONSTRAINT c2 CHECK (y >= 0), DROP CONSTRAINT c2;
         INSERT INTO al VALUES (1, 0), (1, -1);
         ALTER TABLE al ADD COLUMN y text DEFAULT 'new', DROP COLUMN y;
         INSERT INTO al VALUES (2) RETURNING *;
         SELECT '2001-02-03T04:05:06.007-08:09:10'::time;
         SELECT '2001-02-03T04:05:06'::time;
         SELECT '20010203T040506'::timetz;
         SELECT '2001-02-03 04:05:06.007-08:09:10'::time, 'T04:05:06-08'::timetz, '2001/02/03 04:05:06-08'::timetz;
         SELECT '::10.2.3.4'::inet, '::10.2.3.4'::inet::text, '::1:0'::inet, '::5:6'::inet, '::1'::inet, '::'::inet, '::2'::inet, '1::10.2.3.4'::inet;
         SELECT '::ffff:5:6/100'::inet, '::ffff:0:1.2.3.4'::inet, '::1.2.3.4/64'::inet, '0:0:0:0:1:2:3:4'::inet, '::10.0.0.0/104'::cidr, '::/0'::cidr;
         SELECT host('::10.2.3.4/64'::inet), network('::10.2.3.4/112'::inet), '::a02:304'::inet = '::10.2.3.4'::inet",
    )
    .await;
}

/// Vectors beside those of the catalog: Rails asks so whether there is a lower() of a column's type.
#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_the_catalog() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT pg_typeof(ARRAY['text'::regtype]::oidvector)::text AS a, ARRAY['text'::regtype]::oidvector::text AS b",
            "SELECT exists(SELECT * FROM pg_proc WHERE proname = 'lower' AND proargtypes = ARRAY['text'::regtype]::oidvector) OR exists(SELECT * FROM pg_proc INNER JOIN pg_cast ON ARRAY[casttarget]::oidvector = proargtypes WHERE proname = 'lower' AND castsource = 'text'::regtype)",
            "SELECT exists(SELECT * FROM pg_proc INNER JOIN pg_cast ON ARRAY[casttarget]::oidvector = proargtypes WHERE proname = 'lower' AND castsource = 'varchar'::regtype)",
            "SELECT exists(SELECT * FROM pg_proc WHERE proname = 'lower' AND proargtypes = ARRAY['integer'::regtype]::oidvector)",
            "SELECT count(*) FROM pg_proc WHERE proname = 'lower' AND proargtypes = '25'::oidvector",
            "SELECT count(*) FROM pg_proc WHERE proname = 'lower' AND proargtypes = '25'",
            "SELECT count(*) > 0 FROM pg_proc WHERE proname = 'lower' AND '23'::oidvector <> proargtypes",
            "SELECT '1 2'::oidvector = '1  2'::oidvector, '1 2'::oidvector <> '1 2', '1 2'::int2vector = '1 3'::int2vector",
        ],
    )
    .await;
    same_outcome(&tide, &pg, "SELECT 1 FROM pg_proc WHERE proargtypes = 'a'").await;
}

/// What a session asks of itself ends the statement that asks.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_themselves() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for statement in [
        "SELECT pg_cancel_backend(pg_backend_pid())",
        "SELECT 1",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ] {
        same_outcome(&tide, &pg, statement).await;
    }
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        let ends = "SELECT pg_terminate_backend(pg_backend_pid())";
        let error = client.query(ends, &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57P01");
    }
}

/// What loads data as a replica does: no foreign key is looked after, in no direction, and other constraints are.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_look_after_no_foreign_keys() {
    play(
        "CREATE TABLE pa (id int PRIMARY KEY);
         CREATE TABLE ch (id int PRIMARY KEY, p int REFERENCES pa ON DELETE CASCADE, q int REFERENCES pa DEFERRABLE INITIALLY DEFERRED, n int CHECK (n > 0));
         SET session_replication_role = Replica;
         SHOW session_replication_role;
         INSERT INTO ch VALUES (1, 1, 7, 1);
         INSERT INTO ch VALUES (1, 1, 1, 1);
         INSERT INTO ch VALUES (2, 1, 1, 0);
         INSERT INTO pa VALUES (1), (2), (3);
         INSERT INTO ch VALUES (3, 3, 3, 3) ON CONFLICT (id) DO UPDATE SET p = 4;
         UPDATE pa SET id = 5 WHERE id = 2;
         DELETE FROM pa WHERE id = 3;
         SELECT * FROM ch ORDER BY id;
         TRUNCATE pa;
         ALTER TABLE ch ADD FOREIGN KEY (n) REFERENCES pa;
         SET session_replication_role = 'local';
         INSERT INTO ch VALUES (4, 9, 9, 9);
         RESET session_replication_role;
         INSERT INTO ch VALUES (4, 9, 9, 9);
         BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO ch VALUES (5, 9, 9, 9);
         COMMIT;
         INSERT INTO ch VALUES (6, 9, 9, 9);
         SET session_replication_role = 'no';
         CREATE ROLE loader;
         SET ROLE loader;
         SET session_replication_role = replica;
         RESET session_replication_role;
         SET LOG_MIN_MESSAGES = error",
    )
    .await;
}

/// Bytes in the form that PostgreSQL had before 9.0, which some clients ask for.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_escaped() {
    play(
        "SET bytea_output TO escape;
         SHOW bytea_output;
         SELECT '\\x00010a1f207e7f80ff5c6127'::bytea, ''::bytea, ARRAY['\\x5c'::bytea, 'a b', NULL];
         SELECT '\\x5c00'::bytea::text, to_json('\\x5c00'::bytea), 'a' || '\\xff'::bytea::text, format('%s', '\\xff'::bytea), concat('\\xff'::bytea, 1);
         SELECT row_to_json(t), t::text FROM (SELECT '\\x5c00'::bytea AS b) t;
         SELECT encode('\\x5c00', 'hex'), encode('\\x5c00', 'escape'), ('\\x5c00'::bytea::text)::bytea = '\\x5c00';
         SET bytea_output = 'Hex';
         SELECT '\\x5c00'::bytea, '\\x5c00'::bytea::text;
         SET bytea_output = base64",
    )
    .await;
    let pair = Pair::start();
    for to in ["", " (FORMAT csv)"] {
        pair.same(&format!(
            "SET bytea_output = escape; COPY (SELECT '\\x5c00613a'::bytea, 1) TO STDOUT{to}"
        ));
    }
}
