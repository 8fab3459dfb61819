//! Forms of queries that DataFusion reads in its own way: what is right here, what is refused, what columns are called.

use tidelog_compat_tests::Server;

use crate::pair::{Pair, binary};
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn rows_windows_and_names() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int8 PRIMARY KEY, n int4, x text, tags text[]);
         INSERT INTO a VALUES (1, 1, 'x', '{p,q}'), (2, NULL, 'y', NULL), (3, 3, NULL, '{}'), (4, 1, 'z', '{r}');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id FROM a WHERE (n, id) < (2, 3) ORDER BY 1",
            "SELECT id, (n, id) < (1, 4) AS lt, (n, id) <= (1, 1) AS le, (n, id) > (0, 9) AS gt, (n, id) >= (3, 3) AS ge FROM a ORDER BY 1",
            "SELECT id, (n, x) = (1, 'x') AS e, (n, x) <> (1, 'x') AS ne FROM a ORDER BY 1",
            "SELECT (1, NULL::int4) < (2, 3) AS decided, (1, NULL::int4) < (1, 3) AS unknown",
            "SELECT id FROM a WHERE (x, n, id) > ('x', 1, 0) ORDER BY 1",
            "SELECT id FROM a WHERE NOT (n, id) < (2, 3) ORDER BY 1",
            "SELECT id, sum(n) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM a WINDOW w AS (ORDER BY id DESC) ORDER BY id",
            "SELECT id, count(*) OVER (w) AS s FROM a WINDOW w AS (ORDER BY id DESC) ORDER BY id",
            "SELECT id, first_value(id) OVER (v ORDER BY id DESC) AS f FROM a WINDOW w AS (PARTITION BY n), v AS (w) ORDER BY id",
            "SELECT id, (SELECT count(*) OVER (w) FROM (VALUES (1), (2)) v (k) WINDOW w AS (ORDER BY k) LIMIT 1) AS i, count(*) OVER (w) AS o FROM a WINDOW w AS (ORDER BY id) ORDER BY id",
            "SELECT tags[1], tags[1:1], (tags)[2], 'p' = ANY (tags), tags && '{p}' FROM a ORDER BY id",
            "SELECT '{q}' && tags, tags && ARRAY['r'], ARRAY[1] && '{1,2}' FROM a ORDER BY id",
            "SELECT jsonb_agg(n ORDER BY id) FROM a",
            "SELECT json_object_agg(id, n) FROM a WHERE id = 1",
            "SELECT id FROM a WHERE n > 2 AND x IS NOT DISTINCT FROM 'x' OR id = 1 ORDER BY id",
            "SELECT id, x IS DISTINCT FROM 'x' AND n = 1 AS d FROM a ORDER BY id",
            "SELECT *, id FROM (VALUES (1, 2)) l (n, id) FULL JOIN (VALUES (3, 2), (4, 5)) r (x, id) USING (id) ORDER BY id",
            "SELECT * FROM (VALUES (1, 2)) l (n, id) RIGHT JOIN (VALUES (3, 2), (4, 5)) r (x, id) USING (id) ORDER BY id + 0",
            "SELECT * FROM (VALUES (1, 2)) l (n, id) JOIN (VALUES (3, 2), (4, 5)) r (x, id) USING (id)",
            "SELECT id, ntile(3) OVER (ORDER BY id) AS t FROM a ORDER BY id",
            "SELECT id FROM a WINDOW w AS (ORDER BY id DESC) ORDER BY sum(id) OVER (w ROWS 1 PRECEDING)",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 1 && 2",
            "SELECT tags && n FROM a",
            "SELECT 1 FROM a WHERE (n, id) < (2, 3, 4)",
            "SELECT sum(n) OVER (w PARTITION BY x) FROM a WINDOW w AS (ORDER BY id)",
            "SELECT sum(n) OVER (w ORDER BY x) FROM a WINDOW w AS (ORDER BY id)",
            "SELECT sum(n) OVER (w) FROM a WINDOW w AS (ORDER BY id ROWS 1 PRECEDING)",
            "SELECT sum(n) OVER (nope ROWS 1 PRECEDING) FROM a",
        ],
    )
    .await;
}

/// A wrong answer was given for each of these once.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_answered_wrongly_is_refused() {
    let server = Server::start();
    let client = server.peer().connect().await;
    client
        .batch_execute("CREATE TABLE a (id int8 PRIMARY KEY, n int4); CREATE TABLE b (id int8 PRIMARY KEY, n int4)")
        .await
        .unwrap();
    for (query, named) in [
        (
            "SELECT * FROM pg_catalog.now() WITH ORDINALITY",
            "WITH ORDINALITY of pg_catalog.now()",
        ),
        (
            "SELECT (SELECT max(a.n) FROM b) FROM a",
            "an aggregate of the outer query's columns in a subquery",
        ),
    ] {
        let error = client.batch_execute(query).await.expect_err(query);
        let error = error.as_db_error().expect(query);
        assert_eq!(error.code().code(), "0A000", "{query}");
        assert_eq!(
            error.message(),
            format!("{named} is not supported"),
            "{query}"
        );
    }
    let rows = client
        .query("SELECT a.id FROM a FULL JOIN b ON a.id = b.id", &[])
        .await;
    assert!(rows.unwrap().is_empty());
}

/// What the generator of queries found.
#[tokio::test(flavor = "multi_thread")]
async fn joins_sets_and_orders() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int8 PRIMARY KEY, k int4, x text);
         CREATE TABLE b (id int8 PRIMARY KEY, k int4, x bool);
         CREATE TABLE c (id int8 PRIMARY KEY, k int4, x date);
         INSERT INTO a VALUES (1, 1, 'abc'), (2, 2, 'x'), (3, NULL, NULL), (4, 1, 'd');
         INSERT INTO b VALUES (1, 2, true), (2, 1, false), (3, NULL, NULL);
         INSERT INTO c VALUES (1, 1, '2024-02-25'), (2, 7, NULL), (5, 3, '2024-02-26');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            // Columns of one name on both sides of a join, and conditions that are not for the side that is kept.
            "SELECT b.x FROM a RIGHT JOIN b ON a.k = b.id WHERE right(a.x, -1) IS NOT NULL AND b.x IS FALSE",
            "SELECT a.id, b.id, c.id FROM a LEFT JOIN b ON a.k = b.id RIGHT JOIN c ON a.id = c.id WHERE NOT (b.x IS NOT NULL) ORDER BY 1, 2, 3",
            "SELECT a.id, b.id, c.id FROM a LEFT JOIN b ON a.k = b.id RIGHT JOIN c ON a.id = c.id WHERE a.x IS NULL ORDER BY 1, 2, 3",
            "SELECT a.id, b.id, c.id FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k JOIN c ON c.id = a.id ORDER BY 1, 2, 3",
            "SELECT a.id, b.id FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k WHERE a.id = b.id OR a.x IS NULL AND b.x IS NULL ORDER BY 1, 2",
            // What a function multiplies, though nobody asks for its values.
            "SELECT a.id FROM a LEFT JOIN generate_series(1, a.k) g ON true ORDER BY 1",
            "SELECT id, u FROM a, upper(x) u ORDER BY 1",
            "SELECT id, s, o FROM a, unnest(ARRAY[k, id]) WITH ORDINALITY AS u (s, o) ORDER BY 1, 3",
            "SELECT id, s FROM a RIGHT JOIN unnest(ARRAY[1, 7]) s ON s = id ORDER BY 1, 2",
            "SELECT id, (SELECT ARRAY[a.id, a.k]) FROM a ORDER BY 1",
            "SELECT id, EXISTS (SELECT 1 FROM generate_series(1, k) g WHERE g = 2) FROM a ORDER BY 1",
            // Set operations count, and take their columns by places.
            "SELECT a.k, b.k FROM a, b INTERSECT ALL SELECT a.k, b.k FROM a, b WHERE a.id < 3 ORDER BY 1, 2",
            "SELECT k FROM a INTERSECT ALL SELECT k FROM b ORDER BY 1",
            "SELECT k FROM a EXCEPT ALL SELECT k FROM c ORDER BY 1",
            "SELECT k FROM a EXCEPT SELECT k FROM c ORDER BY 1",
            "SELECT k FROM a INTERSECT SELECT id FROM b ORDER BY 1",
            "SELECT '2024-02-25' INTERSECT SELECT x FROM c",
            "SELECT id FROM a UNION SELECT id FROM b EXCEPT (SELECT k FROM c INTERSECT SELECT id FROM c) ORDER BY 1",
            "WITH w (p, q) AS (SELECT a.k, b.k FROM a, b EXCEPT SELECT id, id FROM c) SELECT * FROM w ORDER BY 1, 2",
            "SELECT abs(k) FROM a WHERE false UNION ALL VALUES (5)",
            "SELECT (SELECT 5 FROM a WHERE id = 99) AS n UNION ALL SELECT 2 ORDER BY 1",
            // What is collected of a sorted query.
            "SELECT array_agg(x) FROM (SELECT x FROM a ORDER BY id DESC) s",
            "SELECT k, string_agg(x, ',') FROM (SELECT k, x FROM a ORDER BY x DESC LIMIT 3) s WHERE x <> 'd' GROUP BY k ORDER BY k",
            "SELECT DISTINCT ON (1) k, id FROM a ORDER BY 1, 2 DESC",
            "SELECT DISTINCT ON (1) k, 1 AS one, 1 AS again, id, id AS twice FROM a ORDER BY 1, 2, 3, 4, 5",
            "SELECT DISTINCT id FROM a CROSS JOIN generate_series(1, 3) ORDER BY 1",
            "SELECT id, n, (SELECT sum(1) FROM b WHERE b.id < n AND b.k <= a.k) AS s FROM a, generate_series(1, 3) g (n) ORDER BY 1, 2",
            // Types that go together.
            "SELECT k FROM a UNION SELECT id FROM b ORDER BY 1",
            "SELECT x FROM c UNION ALL SELECT timestamp '2024-02-28 10:30' ORDER BY 1",
            "SELECT x FROM c UNION ALL SELECT '2024-02-28' ORDER BY 1",
            "SELECT k FROM a UNION ALL SELECT 9999999999 ORDER BY 1",
            "SELECT CASE WHEN id = 1 THEN x ELSE timestamp '2024-02-28 10:30' END AS t FROM c ORDER BY id",
            "SELECT coalesce(k, 0.5::float8) AS f, greatest(k, id) AS g FROM a ORDER BY id",
            "SELECT 1 AS n UNION ALL SELECT 3 UNION ALL SELECT 2",
            "SELECT 'keys' AS n, count(k) FROM a UNION ALL SELECT 'rows', count(*) FROM a UNION ALL SELECT x, 0 FROM a WHERE id = 4",
            "SELECT id, bool_or(x) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS some, bool_and(x) OVER (ORDER BY id ROWS 1 PRECEDING) AS every FROM b ORDER BY 1",
            "SELECT id, string_agg(x, '-') OVER (ORDER BY id ROWS 1 PRECEDING) AS s, array_agg(k) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS l FROM a ORDER BY 1",
            "WITH w AS (SELECT 1 AS n) SELECT s.n, w.n AS m FROM (WITH w AS (SELECT n + 1 AS n FROM w) SELECT * FROM w) s, w",
        ],
    )
    .await;
    // Rows as text, which is their type here.
    for query in [
        "SELECT a FROM a ORDER BY id",
        "SELECT s FROM (SELECT id, x AS \"the x\" FROM b) s ORDER BY id",
        "SELECT ROW(1, 'a b', NULL, true, '', 'q\"\\'), (id, x) FROM c ORDER BY id",
        "SELECT id, a::text, ROW(k, x)::text FROM a ORDER BY id",
    ] {
        pair.same(query);
    }
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 1 INTERSECT SELECT 1, 2",
            "SELECT DISTINCT ON (3) id, k FROM a",
        ],
    )
    .await;
}

#[test]
fn sessions_and_transactions_say_what_postgresql_says() {
    let pair = Pair::start();
    for statement in [
        "SELECT txid_current() = txid_current()",
        "BEGIN; SELECT txid_current() AS t \\gset\nSELECT txid_current() = :t; COMMIT; SELECT txid_current() = :t",
        "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE; SHOW transaction_isolation; COMMIT",
        "START TRANSACTION NOT DEFERRABLE; COMMIT; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, NOT DEFERRABLE",
        "BEGIN DEFERRABLE; SHOW transaction_deferrable; COMMIT; SHOW transaction_deferrable",
        "BEGIN READ ONLY, NOT DEFERRABLE, DEFERRABLE; SHOW transaction_deferrable; SHOW transaction_read_only",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, DEFERRABLE; SHOW transaction_deferrable; SHOW default_transaction_deferrable; SHOW default_transaction_read_only",
        "SET default_transaction_deferrable = on; BEGIN; SHOW transaction_deferrable; SET TRANSACTION NOT DEFERRABLE; SHOW transaction_deferrable; SET transaction_deferrable = on; SHOW transaction_deferrable",
        "SET TRANSACTION DEFERRABLE; SHOW transaction_deferrable",
        "BEGIN; SELECT 1; SET TRANSACTION DEFERRABLE",
        "BEGIN; SAVEPOINT s; SET TRANSACTION NOT DEFERRABLE",
        "BEGIN; SET transaction_deferrable = lots",
        "SELECT 1 FOR UPDATE",
        "SELECT 1 AS x FOR SHARE NOWAIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1 FOR UPDATE; FETCH c; COMMIT",
        "DROP DATABASE IF EXISTS nothing",
        "DROP DATABASE nothing",
        "DROP DATABASE postgres",
        "CREATE DATABASE postgres",
        "BEGIN; DROP DATABASE nothing",
        "SET application_name = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; SHOW application_name",
    ] {
        pair.same_or_fail(statement);
    }
}

#[test]
fn windows_are_ordered_by_values_of_each_type() {
    let pair = Pair::start();
    for values in [
        r"('\x01'::bytea), ('\xff'), ('\x01'), ('\x0102'), (NULL)",
        "('00000000-0000-0000-0000-000000000002'::uuid), ('00000000-0000-0000-0000-000000000001'), (NULL)",
        "('10:00'::time), ('09:00'), ('10:00'), (NULL)",
        "('10:00+01'::timetz), ('09:00+00'), ('10:00+00')",
        "('10.0.0.1'::inet), ('9.0.0.0'), ('10.0.0.1'), (NULL)",
        "(ARRAY[1,2]), (ARRAY[1]), (ARRAY[2]), (ARRAY[1])",
        "(true), (false), (NULL)",
        "('1 h'::interval), ('1 day'), ('60 min')",
    ] {
        pair.same(&format!(
            "SELECT v, rank() OVER (ORDER BY v), dense_rank() OVER (ORDER BY v DESC NULLS LAST), count(*) OVER (ORDER BY v),
                    last_value(v) OVER (ORDER BY v), sum(1) OVER (ORDER BY v, 1 RANGE UNBOUNDED PRECEDING)
             FROM (VALUES {values}) t(v) ORDER BY v, 2"
        ));
    }
}

#[test]
fn types_of_set_operations_and_values_are_matched() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int4, j json, b jsonb); INSERT INTO t VALUES (1, '{\"a\": 1}', '{\"b\":2}');");
    for statement in [
        "VALUES ('10.0.0.1'::inet), ('10.0.0.2'), (NULL)",
        "VALUES ('2'), (1::int8)",
        "SELECT json_build_object('a', (SELECT json_build_object('b', 1)))",
        "SELECT to_jsonb((SELECT b FROM t)), (SELECT j FROM t), pg_typeof((SELECT j FROM t LIMIT 1))",
        "SELECT (SELECT json_build_object('a', o.id) FROM t WHERE id = o.id), pg_typeof((SELECT b FROM t WHERE id = o.id)) FROM t o",
        "SELECT jsonb_build_array((SELECT b FROM t WHERE id = o.id), (SELECT b FROM t)) FROM t o",
        "SELECT x, f, s.id FROM (SELECT unnest(ARRAY[1, 2]) AS x, CASE WHEN t.id > 0 THEN 'y' ELSE 'n' END AS f, t.id FROM (SELECT id, true AS f FROM t) t WHERE t.f OR CASE WHEN t.f THEN true END) s ORDER BY 1",
        "SELECT * FROM (SELECT unnest(ARRAY[1, 2]), CASE WHEN f THEN 'y' ELSE 'n' END AS f, 7, count(*) FROM (SELECT true AS f FROM t) t GROUP BY f) s ORDER BY 1",
        "SELECT (SELECT b FROM t) -> 'b', (SELECT b FROM t) = '{\"b\": 2}'",
    ] {
        pair.same(statement);
    }
    for (statement, said) in [
        (
            "SELECT 1 INTERSECT SELECT 1, 2",
            "each INTERSECT query must have the same number of columns",
        ),
        (
            "SELECT 1 EXCEPT SELECT true",
            "EXCEPT types integer and boolean cannot be matched",
        ),
        (
            "SELECT 1 INTERSECT SELECT true",
            "INTERSECT types integer and boolean cannot be matched",
        ),
        (
            "SELECT count(DISTINCT id) OVER () FROM t",
            "DISTINCT is not implemented for window functions",
        ),
    ] {
        for peer in [pair.tide.peer(), pair.pg.peer()] {
            let refused = peer.try_run(&format!("{statement};")).unwrap_err();
            assert!(refused.contains(said), "{statement}: {refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_expressions_keep_their_types() {
    let pair = Pair::start();
    pair.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE t (i inet, e mood, v varchar(10), o oid, j json, b jsonb, js json[], es mood[], n name, p point, z timetz);
         INSERT INTO t DEFAULT VALUES;",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT CASE WHEN true THEN i END, CASE WHEN true THEN e ELSE 'ok' END, CASE WHEN true THEN v END, CASE WHEN true THEN o END, CASE WHEN true THEN j END, CASE WHEN true THEN js END, CASE WHEN true THEN es END, CASE WHEN true THEN n END, CASE WHEN true THEN z END FROM t",
        "SELECT coalesce(i, i), coalesce(e, 'ok'), coalesce(v, ''), coalesce(o, 0), coalesce(j, '{}'), coalesce(js, '{}'), coalesce(es, '{}'), coalesce(n, ''), coalesce(p, '(1,2)'), coalesce(z, z) FROM t",
        "SELECT nullif(i, i), nullif(e, 'ok'), nullif(v, ''), nullif(o, 0), nullif(b, '{}'), nullif(es, '{}'), nullif(z, z), nullif(1, 2::int8), nullif(2::int8, 1), nullif(1, 1.5) FROM t",
        "SELECT (SELECT j FROM t), (SELECT e FROM t LIMIT 1), CASE WHEN true THEN (SELECT b FROM t) END FROM t",
        "SELECT coalesce((SELECT json_build_object('a', x.o) FROM t WHERE t.o = x.o), '{}') FROM t x",
    ] {
        let types = |statement: &tokio_postgres::Statement| -> Vec<String> {
            let columns = statement.columns().iter();
            columns
                .map(|column| column.type_().name().to_string())
                .collect()
        };
        let found = types(&tide.prepare(query).await.unwrap());
        assert_eq!(found, types(&pg.prepare(query).await.unwrap()), "{query}");
    }
    for query in [
        "SELECT coalesce(ARRAY[1], '{}'), coalesce(array_agg(e), '{}') FROM t",
        "SELECT nullif(1, 1), nullif('a', 'a'), nullif(NULL, 1), nullif('a', NULL), nullif('1.0'::numeric, 1), nullif(interval '1 day', '24 h')",
        "SELECT to_json(coalesce(e, 'ok')), to_json(CASE WHEN true THEN j ELSE '{\"a\":1}' END) FROM (VALUES ('sad'::mood, '{\"x\":1}'::json)) t(e, j)",
        "SELECT coalesce(e, 'ok') x, count(*) FROM t GROUP BY coalesce(e, 'ok') ORDER BY 1",
        "SELECT CASE WHEN v IS NULL THEN 'q' ELSE v END AS c FROM t GROUP BY CASE WHEN v IS NULL THEN 'q' ELSE v END",
    ] {
        pair.same(query);
    }
}

#[test]
fn elements_of_arrays_are_assigned() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE arr (id int PRIMARY KEY, a int[], t text[], n numeric(6,2)[]);
         INSERT INTO arr VALUES (1, '{1,2,3}', '{x,y}', '{1.5}'), (2, NULL, NULL, NULL), (3, '{}', '{}', '{}');",
    );
    for statement in [
        "UPDATE arr SET a[2] = 20, t[1] = 'z' WHERE id = 1 RETURNING *",
        "UPDATE arr SET a[5] = 9, n[2] = 7, t[2] = 5 WHERE id = 1 RETURNING *",
        "UPDATE arr SET a[1] = 9 WHERE id > 1 RETURNING *",
        "UPDATE arr SET a[1] = 5, a[2] = a[1] + 1 WHERE id = 1 RETURNING a",
        "UPDATE arr SET a[1] = NULL WHERE id = 1 RETURNING a",
        "UPDATE arr SET a[NULL] = 1 WHERE id = 1",
        "UPDATE arr SET a[1] = 'x' WHERE id = 1",
        "UPDATE arr SET a[1] = 2.6, n[1] = 1.239 WHERE id = 1 RETURNING a, n",
        "INSERT INTO arr VALUES (1, '{1}') ON CONFLICT (id) DO UPDATE SET a[2] = excluded.a[1] RETURNING a",
        "SELECT array_dims(a), array_dims(ARRAY[[1,2],[3,4],[5,6]]) FROM arr ORDER BY id",
    ] {
        pair.same_or_fail(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_merge_columns() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int PRIMARY KEY, n int, x text); CREATE TABLE b (id int PRIMARY KEY, n int, m int);
         CREATE TABLE c (id int PRIMARY KEY, k int); CREATE TABLE d (m int, id int8);
         INSERT INTO a VALUES (1, 1, 'a1'), (2, 2, 'a2'), (3, NULL, 'a3');
         INSERT INTO b VALUES (1, 1, 3), (2, 5, 4), (4, 4, 4);
         INSERT INTO c VALUES (1, 9), (2, 8), (5, 5); INSERT INTO d VALUES (3, 1), (4, 2), (7, 9);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id FROM a JOIN b USING (id) JOIN c USING (id) ORDER BY id",
            "SELECT * FROM a JOIN b USING (id) JOIN c USING (id) ORDER BY id",
            "SELECT id, count(*) FROM a JOIN b USING (id) JOIN c USING (id) GROUP BY id ORDER BY id",
            "SELECT * FROM a NATURAL JOIN b NATURAL JOIN c",
            "SELECT * FROM a JOIN b USING (id, n) JOIN c USING (id)",
            "SELECT * FROM a FULL JOIN b USING (id) FULL JOIN c USING (id) ORDER BY id",
            "SELECT id FROM a FULL JOIN b USING (id) FULL JOIN c USING (id) WHERE id > 1 ORDER BY id",
            "SELECT * FROM a RIGHT JOIN b USING (id) ORDER BY id + 0",
            "SELECT * FROM a NATURAL FULL JOIN b ORDER BY id, n",
            "SELECT * FROM a NATURAL LEFT JOIN b ORDER BY 1",
            "SELECT id, (SELECT max(id) FROM c) FROM a JOIN b USING (id) ORDER BY 1",
            "SELECT id, (SELECT max(k) FROM c WHERE c.k = id) FROM a FULL JOIN b USING (id) ORDER BY 1",
            "SELECT id, (SELECT count(*) FROM (VALUES (1), (2)) v (z) WHERE z = id) FROM a FULL JOIN b USING (id) ORDER BY 1",
            "SELECT * FROM (a JOIN b USING (id)) JOIN c USING (id) ORDER BY 1",
            "SELECT * FROM a JOIN (b JOIN c USING (id)) USING (id) ORDER BY 1",
            "SELECT * FROM (a JOIN b USING (id)) AS j ORDER BY 1",
            "SELECT j.id, j.x, q FROM (a JOIN b USING (id)) AS j (id, x, q) ORDER BY 1",
            "SELECT id FROM a FULL JOIN (a AS x CROSS JOIN b) AS j (id, o, p, q, r) USING (id) ORDER BY 1, q",
            "SELECT * FROM a CROSS JOIN (a AS e RIGHT JOIN b USING (id)) ORDER BY 1, 4",
            "SELECT q.* FROM (SELECT * FROM a JOIN b USING (id)) q ORDER BY 1",
            "SELECT * FROM d JOIN b USING (m) JOIN a USING (n)",
            "SELECT * FROM a, b JOIN c USING (id) ORDER BY 1, 4",
            "SELECT DISTINCT ON (id) id, k FROM a JOIN b USING (id) JOIN c USING (id) ORDER BY id, k",
            "SELECT id, row_number() OVER (PARTITION BY id ORDER BY id) FROM a JOIN b USING (id) JOIN c USING (id) ORDER BY id",
            "SELECT id AS n FROM a JOIN b USING (id) ORDER BY n DESC",
            "WITH q AS (SELECT * FROM a JOIN b USING (id)) SELECT * FROM q JOIN c USING (id) ORDER BY 1",
            "SELECT count(*) FROM public.a JOIN public.b USING (id)",
            "SELECT * FROM generate_series(1, 3) g (id) LEFT JOIN a USING (id) ORDER BY 1",
            "SELECT * FROM a FULL JOIN generate_series(1, 4) id USING (id) ORDER BY 1",
            "SELECT id, l.z FROM a JOIN b USING (id) CROSS JOIN LATERAL (SELECT id * 2 AS z) l ORDER BY 1",
            "SELECT id FROM a JOIN b USING (id) JOIN c USING (id) WHERE id IN (SELECT id FROM d) ORDER BY 1",
            "SELECT max(id) FILTER (WHERE id > 1) FROM a JOIN b USING (id) JOIN c USING (id)",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT * FROM a JOIN b USING (z)",
            "SELECT * FROM a JOIN b USING (m)",
            "SELECT * FROM a JOIN b ON true JOIN c USING (id)",
            "SELECT * FROM a JOIN b USING (id) JOIN c ON c.id = id",
            "SELECT id FROM a, b JOIN c USING (id)",
            "SELECT n FROM a JOIN b USING (id)",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_may_be_called_as_a_relation_outside() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE room (id int PRIMARY KEY, n text); CREATE TABLE msg (id int, room int, body text);
         INSERT INTO room VALUES (1, 'a'), (2, 'b'); INSERT INTO msg VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 9, 'z');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT room.*, (SELECT count(*) FROM msg m WHERE m.room = room.id) AS c FROM room ORDER BY 1",
            "SELECT * FROM room WHERE EXISTS (SELECT 1 FROM msg m WHERE m.room = room.id)",
            "SELECT room.id, l.n FROM room, LATERAL (SELECT count(*) AS n FROM msg m WHERE m.room = room.id) l ORDER BY 1",
            "SELECT a.id FROM room a WHERE EXISTS (SELECT 1 FROM (SELECT id AS a, room AS e FROM msg) e WHERE e.a = a.id) ORDER BY 1",
            "SELECT room.id, ARRAY(SELECT body FROM msg WHERE room = room.id ORDER BY 1) FROM room ORDER BY room.id",
            "SELECT public.room.id, (SELECT count(*) FROM msg m WHERE m.room = public.room.id) FROM room ORDER BY 1",
            "SELECT room.id, (SELECT max(room.id) FROM room WHERE room.n IS NOT NULL) FROM room ORDER BY 1",
            "SELECT to_json(room), (SELECT count(*) FROM msg m WHERE m.room = room.id) FROM room ORDER BY room.id",
            "WITH room AS (SELECT 5 AS id) SELECT room.id, (SELECT count(*) FROM msg m WHERE m.room > room.id) FROM room",
            "SELECT ARRAY(SELECT to_jsonb(id) FROM room ORDER BY id), ARRAY(SELECT '{\"a\":1}'::json FROM room)",
        ],
    )
    .await;
    pair.run(
        "UPDATE room SET n = (SELECT max(body) FROM msg m WHERE m.room = room.id);
         DELETE FROM room WHERE NOT EXISTS (SELECT 1 FROM msg WHERE msg.room = room.id);",
    );
    all_same(&tide, &pg, &["SELECT * FROM room"]).await;
}

/// A recursive query for each row of the query around it, as drivers ask for types.
#[tokio::test(flavor = "multi_thread")]
async fn recursive_queries_use_columns_of_the_query_around() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE part (id int PRIMARY KEY, up int, n int);
         INSERT INTO part VALUES (1, NULL, 5), (2, 1, 3), (3, 2, 8), (4, 1, 1), (5, NULL, 2), (6, 5, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    let below = "WITH RECURSIVE b (id, n, depth) AS (
            SELECT x.id, x.n, 0 FROM part x WHERE x.id = p.id
            UNION ALL SELECT x.id, x.n, b.depth + 1 FROM part x JOIN b ON x.up = b.id)";
    let types = "(SELECT t.oid AS oid, t.typname AS name, t.typelem AS elemtype,
            (CASE WHEN t.typtype = 'd' THEN (WITH RECURSIVE typebases (oid, depth) AS (
                SELECT t2.typbasetype AS oid, 0 AS depth FROM pg_type t2 WHERE t2.oid = t.oid
                UNION ALL
                SELECT t2.typbasetype AS oid, tb.depth + 1 AS depth FROM pg_type t2, typebases tb
                WHERE tb.oid = t2.oid AND t2.typbasetype != 0
            ) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1) ELSE NULL END) AS basetype
        FROM pg_catalog.pg_type AS t)";
    let queries = [
        format!("SELECT p.id, ({below} SELECT sum(n) FROM b) FROM part p ORDER BY 1"),
        format!("SELECT p.id, ({below} SELECT id FROM b ORDER BY depth DESC, id LIMIT 1) FROM part p ORDER BY 1"),
        format!("SELECT p.id, q.* FROM part p CROSS JOIN LATERAL ({below} SELECT * FROM b) q ORDER BY 1, 2"),
        format!("SELECT p.id FROM part p WHERE EXISTS ({below} SELECT 1 FROM b WHERE b.depth > 0 AND b.n > p.n) ORDER BY 1"),
        // Of the row around in the rounds alone, in both, and in none; and rounds that are no more than sets.
        "SELECT p.id, (WITH RECURSIVE c (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c WHERE k < p.id) SELECT sum(k) FROM c) FROM part p ORDER BY 1".to_string(),
        "SELECT p.id, (WITH RECURSIVE c (k) AS (SELECT p.id UNION SELECT (k + p.id) % 4 FROM c) SELECT string_agg(k::text, ',' ORDER BY k) FROM c) FROM part p ORDER BY 1".to_string(),
        "SELECT p.id, (WITH RECURSIVE c (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c WHERE k < 3) SELECT sum(k) + p.id FROM c) FROM part p ORDER BY 1".to_string(),
        "SELECT p.id, (WITH RECURSIVE c (k) AS (SELECT p.n UNION ALL SELECT a.k - 1 FROM c a JOIN part x ON x.id = a.k WHERE x.id > 1) SELECT count(*) FROM c) FROM part p ORDER BY 1".to_string(),
        format!("WITH RECURSIVE tree (oid, name, elemtype, basetype, depth) AS (
            SELECT ti.oid, ti.name, ti.elemtype, ti.basetype, 0 FROM {types} AS ti WHERE ti.oid = ANY ('{{1007,1015,25}}'::oid[])
            UNION ALL
            SELECT ti.oid, ti.name, ti.elemtype, ti.basetype, tt.depth + 1 FROM {types} ti, tree tt
            WHERE (tt.elemtype IS NOT NULL AND ti.oid = tt.elemtype) OR (tt.basetype IS NOT NULL AND ti.oid = tt.basetype))
            SELECT DISTINCT *, basetype::regtype::text AS basetype_name, elemtype::regtype::text AS elemtype_name FROM tree ORDER BY depth DESC, oid"),
    ];
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    all_same(&tide, &pg, &queries).await;
}

/// How far a window's frame reaches is a constant expression, or a parameter.
#[tokio::test(flavor = "multi_thread")]
async fn frames_reach_as_far_as_constants_and_parameters_say() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE w (a int, n numeric, f float8);
         INSERT INTO w VALUES (1, 1, 1), (2, 2.5, 2.5), (5, 5, 5), (6, 6.25, 6.25);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT a, sum(a) OVER (ORDER BY a ROWS BETWEEN 1 + 1 PRECEDING AND 1::int FOLLOWING) FROM w ORDER BY a",
            "SELECT a, sum(a) OVER (ORDER BY a RANGE BETWEEN (2)::bigint PRECEDING AND CURRENT ROW) FROM w ORDER BY a",
            "SELECT a, sum(n) OVER x FROM w WINDOW x AS (ORDER BY n RANGE BETWEEN 1.5::numeric PRECEDING AND -(-1) FOLLOWING) ORDER BY a",
            "SELECT a, count(*) OVER (ORDER BY f RANGE BETWEEN 1.5 PRECEDING AND 2 * 2 FOLLOWING) FROM w ORDER BY a",
            "SELECT a, count(*) OVER (ORDER BY a GROUPS BETWEEN 0 + 1 PRECEDING AND CURRENT ROW) FROM w ORDER BY a",
        ],
    )
    .await;
    for sql in [
        "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM w",
        "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN CURRENT ROW AND 1 - 2 FOLLOWING) FROM w",
        "SELECT sum(a) OVER (ORDER BY a RANGE BETWEEN -1 PRECEDING AND CURRENT ROW) FROM w",
        "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN NULL PRECEDING AND CURRENT ROW) FROM w",
        "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN CURRENT ROW AND NULL::int FOLLOWING) FROM w",
    ] {
        pair.same_or_fail(sql);
    }
    for query in [
        "SELECT a, sum(a) OVER (ORDER BY a ROWS BETWEEN $1::int PRECEDING AND $2::int FOLLOWING) FROM w WHERE a > $1 ORDER BY a",
        "SELECT a, sum(a) OVER (ORDER BY a RANGE BETWEEN $1::int PRECEDING AND $2::int + 1 FOLLOWING) FROM w ORDER BY a",
        "WITH q AS (SELECT a, sum(a) OVER x AS s FROM w WINDOW x AS (ORDER BY a ROWS $1::int PRECEDING)) SELECT s, $2::int FROM q ORDER BY a",
    ] {
        let (in_tide, in_pg) = (
            tide.prepare(query).await.unwrap(),
            pg.prepare(query).await.unwrap(),
        );
        assert_eq!(in_tide.params(), in_pg.params(), "{query}");
        for (first, second) in [(0_i32, 1_i32), (1, 0), (2, 2)] {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&first, &second];
            let expected = binary(&pg, query, &values).await;
            assert_eq!(binary(&tide, query, &values).await, expected, "{query}");
        }
    }
    let untyped = "SELECT sum(a) OVER (ORDER BY a ROWS $1 PRECEDING) FROM w";
    let (in_tide, in_pg) = (
        tide.prepare(untyped).await.unwrap(),
        pg.prepare(untyped).await.unwrap(),
    );
    assert_eq!(in_tide.params(), in_pg.params());
    pair.same("PREPARE p AS SELECT sum(a) OVER (ORDER BY a ROWS $1 PRECEDING) FROM w; EXECUTE p (1); EXECUTE p (0)");
}

/// `OPERATOR(pg_catalog.…)` around whatever works without.
#[tokio::test(flavor = "multi_thread")]
async fn operators_with_their_schema() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT ARRAY[1] OPERATOR(pg_catalog.<@) ARRAY[1, 2] AS a, ARRAY[1, 2] operator(pg_catalog.@>) ARRAY[3] AS b, ARRAY['i'] OPERATOR(pg_catalog.&&) ARRAY['i', 'o'] AS c",
            "SELECT B'1100' OPERATOR(pg_catalog.&) B'0100' AS a, 6 OPERATOR(pg_catalog.&) 3 AS b, 6 OPERATOR(pg_catalog.|) 3 AS c, 6 OPERATOR(pg_catalog.#) 3 AS d, 6 OPERATOR(pg_catalog.<<) 3 AS e, 60 OPERATOR(pg_catalog.>>) 3 AS f",
            "SELECT 7 OPERATOR(pg_catalog.%) 4 AS a, 2.0 OPERATOR(pg_catalog.^) 3 AS b, 'abc' OPERATOR(pg_catalog.^@) 'ab' AS c",
            r#"SELECT '{"a": [1]}'::jsonb OPERATOR(pg_catalog.->) 'a' AS a, '{"a": [1]}'::jsonb OPERATOR(pg_catalog.->>) 'a' AS b, '{"a": [1]}'::jsonb OPERATOR(pg_catalog.#>) '{a,0}' AS c, '{"a": [1]}'::jsonb OPERATOR(pg_catalog.#>>) '{a,0}' AS d, '{"a": 1}'::jsonb OPERATOR(pg_catalog.#-) '{a}' AS e"#,
            r#"SELECT '{"a": 1}'::jsonb OPERATOR(pg_catalog.?) 'a' AS a, '{"a": 1}'::jsonb OPERATOR(pg_catalog.?|) '{a,b}' AS b, '{"a": 1}'::jsonb OPERATOR(pg_catalog.?&) '{a,b}' AS c, '{"a": 1}'::jsonb OPERATOR(pg_catalog.@>) '{}' AS d, '{}'::jsonb OPERATOR(pg_catalog.<@) '1' AS e"#,
        ],
    )
    .await;
}
