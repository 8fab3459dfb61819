//! What was once answered wrongly and in silence.

use crate::pair::{Pair, text};
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_constant_on_a_side_of_an_outer_join_is_not_so_behind_it() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE r (id bigint PRIMARY KEY, room int, n int);
         INSERT INTO r SELECT g, g % 7, g % 13 FROM generate_series(1, 300) g;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT a.id, b.id FROM (SELECT * FROM r WHERE id = 55) a RIGHT JOIN r b ON b.id = a.id ORDER BY 1, 2 LIMIT 3",
            "SELECT a.id, b.id FROM (SELECT * FROM r WHERE id = 55) a FULL JOIN r b ON b.id = a.id ORDER BY a.id NULLS FIRST, b.id DESC LIMIT 3",
            "SELECT * FROM (SELECT a.id x, b.id y, row_number() OVER (PARTITION BY a.room ORDER BY b.id) n FROM (SELECT * FROM r WHERE room = 5 AND id < 100) a RIGHT JOIN r b ON b.id = a.id) s WHERE y < 30 ORDER BY y",
            "SELECT a.room, count(*), sum(b.id) FROM (SELECT * FROM r WHERE room = 5 AND id < 100) a RIGHT JOIN r b ON b.id = a.id GROUP BY a.room ORDER BY 1",
            "SELECT DISTINCT ON (c.room) c.room, t.id FROM r t LEFT JOIN r c ON c.id = t.n AND c.room = 5 ORDER BY c.room, t.id",
            "SELECT c.room, t.id FROM r t LEFT JOIN r c ON c.id = t.n AND c.room = 5 WHERE t.id < 20 ORDER BY c.room, t.id",
            "SELECT c.room, t.id FROM r t LEFT JOIN r c ON c.id > t.id + 295 AND c.room = 5 WHERE t.id < 8 ORDER BY c.room DESC, t.id",
            "SELECT c.k, t.id FROM r t LEFT JOIN (SELECT id, 'x' AS k FROM r WHERE id < 5) c ON c.id = t.id WHERE t.id < 8 ORDER BY c.k, t.id",
            "SELECT c.k, t.id, rank() OVER (ORDER BY c.k) FROM r t LEFT JOIN (SELECT id, 'x' AS k FROM r WHERE id < 5) c ON c.id = t.id WHERE t.id < 8 ORDER BY t.id",
            "SELECT c.room, d.room, t.id FROM r t LEFT JOIN (SELECT * FROM r WHERE room = 1) c ON c.id = t.id LEFT JOIN (SELECT * FROM r WHERE room = 2) d ON d.id = t.id WHERE t.id < 8 ORDER BY c.room, d.room, t.id",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_beside_each_other_know_of_null() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int PRIMARY KEY, t text);
         INSERT INTO a SELECT g, 't' || g FROM generate_series(1, 10) g;
         CREATE TABLE v (x int, n numeric);
         INSERT INTO v VALUES (1, 1.0), (2, 2), (3, 3), (5, 5), (NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT x FROM v WHERE x IN (1, 2) AND x NOT IN (NULL, 3)",
            "SELECT x FROM v WHERE x NOT IN (NULL, 3) AND x IN (1, 2)",
            "SELECT x FROM v WHERE x = ANY (ARRAY[1, 2]) AND x <> ALL (ARRAY[NULL, 3])",
            "SELECT x FROM v WHERE (x = 1 OR x = 2) AND x NOT IN (NULL, 3)",
            "SELECT x FROM v WHERE NOT (x IN (1, 2) AND x IN (1, NULL)) ORDER BY 1",
            "SELECT x FROM v WHERE NOT (x IN (1, 2) AND x IN (3, 4)) ORDER BY 1",
            "SELECT x FROM v WHERE x NOT IN (1, 2) OR x NOT IN (3, 4) ORDER BY 1",
            "SELECT x FROM v WHERE x NOT IN (1, 2) OR x NOT IN (1, NULL) ORDER BY 1",
            "SELECT x, (x IN (1, 2) AND x IN (3, 4)) IS NULL, (x IN (1, 2) AND x NOT IN (1, 2)) IS NULL FROM v ORDER BY 1",
            "SELECT x IN (1, 2) AND x NOT IN (2), x = ANY ('{1,2}') AND x <> ALL ('{2}') FROM v ORDER BY x",
            "SELECT x FROM v WHERE NOT ((x = 1 OR x = 2) AND (x = 3 OR x = 4)) ORDER BY 1",
            "SELECT x, ((x = 1 OR 2 = x OR x = 3) AND (x = 4 OR x = 5)) IS NULL FROM v ORDER BY 1",
            "SELECT n FROM v WHERE n IN (1.0, 2) AND n IN (1, 5)",
            "SELECT n FROM v WHERE (n = 1.0 OR n = 2) AND (n = 1 OR n = 5)",
            "SELECT id FROM a WHERE id IN (1, 2, 3) AND t <> 't2' AND id::bigint IN (2, 3, 9) ORDER BY 1",
            "SELECT id FROM a WHERE id = ANY ('{1,2}') AND t = ANY ('{t1,t9}') ORDER BY 1",
        ],
    )
    .await;
    pair.run("DELETE FROM a WHERE id IN (3, 6) AND id NOT IN (9, NULL); UPDATE a SET t = 'u' WHERE id IN (7, 8) AND (id IN (8) OR t = 'z');");
    pair.same("SELECT * FROM a ORDER BY id");
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_is_the_greatest_float() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE m (id int PRIMARY KEY, g int, r float8, s float4);
         INSERT INTO m VALUES (1, 1, 'Infinity', 'Infinity'), (2, 1, 'NaN', 'NaN'), (3, 2, '-Infinity', '-Infinity'), (4, 2, 'NaN', 'NaN'), (5, 3, 1.5, 1.5), (6, 3, 'NaN', 'NaN'), (7, 4, NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT g, min(r), max(r), min(s), max(s) FROM m GROUP BY g ORDER BY g",
            "SELECT min(r), max(r), max(r) FILTER (WHERE id < 3), min(s), max(s), min(r) FILTER (WHERE id > 6) FROM m",
            "SELECT id, (SELECT min(r) FROM m x WHERE x.g = y.g), (SELECT max(s) FROM m x WHERE x.g = y.g) FROM m y ORDER BY 1",
            "SELECT id, min(r) OVER (PARTITION BY g), max(s) OVER (ORDER BY id) FROM m ORDER BY id",
            "SELECT g, min(r) FROM m GROUP BY ROLLUP (g) HAVING min(r) > 1 ORDER BY 1",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_constant_before_grouping_sets_is_not_so_behind_them() {
    let pair = Pair::start();
    pair.run("CREATE TABLE r (id int PRIMARY KEY, k int); INSERT INTO r SELECT i, i % 3 FROM generate_series(1, 18) i;");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT k, w, count(*) FROM (SELECT k, ARRAY[1, 2] w FROM r) z GROUP BY ROLLUP (k, w) ORDER BY 1, 2, 3",
            "SELECT q, count(*), rank() OVER (ORDER BY q DESC) FROM (SELECT k, 'c' q FROM r) z GROUP BY ROLLUP (q, k) ORDER BY 1, 2, 3",
            "SELECT q, k, count(*) FROM (SELECT k, 1 AS q FROM r) x GROUP BY GROUPING SETS ((q), (k)) ORDER BY q, k",
            "SELECT q, k, count(*) FROM (SELECT k, 1 AS q FROM r) x GROUP BY CUBE (q, k) ORDER BY q DESC, k LIMIT 3",
            "SELECT DISTINCT q FROM (SELECT k, 'c' q FROM r) z GROUP BY ROLLUP (q) ORDER BY q NULLS FIRST",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_not_reach_behind_joins() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int PRIMARY KEY, g int); CREATE TABLE b (aid int, x int);
         INSERT INTO a SELECT i, i % 3 FROM generate_series(1, 6) i;
         INSERT INTO b SELECT i % 8, i FROM generate_series(1, 24) i;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT DISTINCT a.id, b.x FROM a JOIN b ON b.x > a.id AND b.x < a.id + 3 ORDER BY a.id, b.x DESC",
            "SELECT a.id, a.g, b.x FROM a LEFT JOIN b ON a.id = b.aid GROUP BY 1, 2, 3 ORDER BY a.id, b.x DESC LIMIT 5",
            "SELECT a.id, count(*), b.x FROM a JOIN b ON a.id < b.aid GROUP BY a.id, b.x ORDER BY a.id, count(*) DESC, b.x DESC LIMIT 7",
            "SELECT id, count(*) FROM (SELECT a.id, b.x, count(*) FROM a JOIN b ON a.id < b.aid GROUP BY a.id, b.x) q GROUP BY id, x ORDER BY 1, 2",
            "SELECT count(*) FROM (SELECT id FROM (SELECT DISTINCT a.id, b.x FROM a, b) q GROUP BY id, x) z",
            "SELECT q.id, count(*) FROM (SELECT id FROM a GROUP BY id) q, b GROUP BY q.id, b.x ORDER BY q.id, b.x DESC",
            "SELECT a.id, a.g, count(*) FROM a JOIN b ON a.id < b.aid GROUP BY a.id ORDER BY 1",
            "SELECT g, count(*) FROM (SELECT a.g, a.id, b.x FROM a, b GROUP BY a.g, a.id, b.x) q GROUP BY ROLLUP (g) ORDER BY 1",
            "SELECT count(*) FROM a JOIN (SELECT DISTINCT a.id, b.x % 2 AS x FROM a JOIN b ON b.aid = a.id) d ON d.id = a.id",
            "SELECT a.g, sum(a.id) FROM a JOIN (SELECT a.id, b.x FROM a JOIN b ON b.aid = a.id GROUP BY a.id, b.x) d ON d.id = a.id GROUP BY 1 ORDER BY 1",
            "SELECT a.id FROM a LEFT JOIN (SELECT a.id, b.x, count(*) FROM a LEFT JOIN b ON b.aid = a.id GROUP BY a.id, b.x) d ON d.id = a.id ORDER BY 1",
            "WITH w AS (SELECT DISTINCT a.id, b.x FROM a JOIN b ON b.aid = a.id) SELECT p.id FROM w p JOIN w q ON p.id = q.id ORDER BY 1",
            "SELECT count(*) FROM a WHERE g IN (SELECT a.id FROM a JOIN (SELECT DISTINCT a.id, s FROM a, generate_series(1, 2) s) d ON d.id = a.id)",
        ],
    )
    .await;
    // Also where a statement writes what it reads so.
    pair.run(
        "CREATE TABLE made (id int);
         INSERT INTO made SELECT a.id FROM a JOIN (SELECT DISTINCT a.id, b.x FROM a JOIN b ON b.aid = a.id) d ON d.id = a.id;",
    );
    pair.same("SELECT id, count(*) FROM made GROUP BY 1 ORDER BY 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_on_with_subqueries() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE room (id int PRIMARY KEY, name text); CREATE TABLE msg (id int PRIMARY KEY, room_id int, body text, at timestamp);
         INSERT INTO room VALUES (1, 'a'), (2, 'b');
         INSERT INTO msg SELECT i, i % 3, 'm' || i, timestamp '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 9) i;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT DISTINCT ON (m.room_id) m.room_id, m.body, (SELECT name FROM room r WHERE r.id = m.room_id) FROM msg m ORDER BY m.room_id, m.at DESC",
            "SELECT DISTINCT ON (room_id) room_id, EXISTS (SELECT FROM room r WHERE r.id = m.room_id), (SELECT count(*) FROM msg) FROM msg m ORDER BY room_id, id",
            "SELECT DISTINCT ON (room_id) CASE WHEN id IN (SELECT id FROM room) THEN 'in' ELSE 'out' END AS c, body FROM msg m ORDER BY room_id, (SELECT -m.id)",
            "SELECT DISTINCT ON ((SELECT name FROM room r WHERE r.id = m.room_id)) body, room_id FROM msg m ORDER BY (SELECT name FROM room r WHERE r.id = m.room_id) DESC NULLS LAST, id",
            "SELECT * FROM (SELECT DISTINCT ON (room_id) room_id, (SELECT max(body) FROM msg n WHERE n.room_id = m.room_id) AS last FROM msg m) q ORDER BY 1",
            "SELECT DISTINCT ON (room_id) room_id, ARRAY(SELECT id FROM msg n WHERE n.room_id = m.room_id ORDER BY id) FROM msg m ORDER BY room_id DESC",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_written_as_it_is_read() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        client
            .batch_execute(
                "CREATE TABLE n (id int PRIMARY KEY, at timestamptz, day date, plain timestamp);
                 INSERT INTO n VALUES (1, now(), now(), now()), (2, (now()), current_timestamp, pg_catalog.now());
                 INSERT INTO n SELECT 3, now(), now(), now();
                 INSERT INTO n VALUES (4, now(), now(), now()) ON CONFLICT (id) DO UPDATE SET at = excluded.at;
                 INSERT INTO n VALUES (4, now(), now(), now()) ON CONFLICT (id) DO UPDATE SET at = excluded.at;
                 ALTER TABLE n ADD COLUMN added timestamptz DEFAULT now();
                 ALTER TABLE n ADD COLUMN given timestamptz NOT NULL DEFAULT now()",
            )
            .await
            .unwrap();
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id, now() - at < '1 minute', day = current_date, plain <= localtimestamp, added >= at, given >= added FROM n ORDER BY id",
            "SELECT count(*) FROM n WHERE at < date '9999-12-31' AND at > date '0900-01-01' AND now() < date '2300-01-01'",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let zone = "SET timezone = 'America/New_York'";
        client.batch_execute(zone).await.unwrap();
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT date '2020-01-02' = timestamptz '2020-01-02 00:00-05', timestamp '2020-01-02' = timestamptz '2020-01-02 00:00-05'",
            "SELECT timestamptz '2020-01-02 00:00-05' BETWEEN date '2020-01-02' AND date '2020-01-02'",
            "SELECT timestamptz '2020-01-02 00:00-05' IN (date '2020-01-02')",
            "SELECT date '2020-01-01' < timestamp '2020-01-01 10:00'",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_keep_all_their_digits_and_letters() {
    let pair = Pair::start();
    pair.run("CREATE TABLE lb (id int PRIMARY KEY, b bigint, t text);");
    pair.run("INSERT INTO lb VALUES (2, 9223372036854775807, 12345678901234567890);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 12345678901234567890, 9223372036854775808, -9223372036854775808, 9223372036854775807",
            "SELECT b, t FROM lb ORDER BY id",
            "SELECT 'a'\n'b', 'a' -- more\n 'c', E'x\\n'\n'y'",
            "SELECT 1 WHERE 'ab' = 'a'\n\n  'b'",
            "INSERT INTO lb SELECT 2, 1 ON CONFLICT (id) DO NOTHING",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &["INSERT INTO lb VALUES (1, 10000000000000000000)"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_do_not_become_infinite() {
    let pair = Pair::start();
    pair.run("CREATE TABLE f (id int PRIMARY KEY, x float8, y float4); INSERT INTO f VALUES (1, 1e308, 1e38), (2, 0, 0), (3, NULL, NULL);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 'NaN'::float8 / 0, 'inf'::float8 + 1, 'inf'::float8 * 2, 1 / 'inf'::float8, 0::float8 / 5",
            "SELECT id, x / 2, y - 1, x - y FROM f ORDER BY id",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 1.5::float8 / 0",
            "SELECT id, x * 10 FROM f",
            "SELECT id, x + x FROM f WHERE id = 1",
            "SELECT id, 1 / x FROM f WHERE id = 2",
            "SELECT y * y FROM f WHERE id = 1",
            "SELECT 1e-300::float8 * 1e-300::float8",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonb_that_loses_all_it_has_is_still_json() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT '{\"a\":1}'::jsonb - 'a' AS a, '{}'::jsonb - 'a' AS b, '{\"x\":{\"y\":1}}'::jsonb #- '{x,y}' AS c, '{\"k\":1}'::jsonb - array['k'] AS d",
            "SELECT '[1]'::jsonb - 0 AS a, '[\"a\"]'::jsonb - 'a' AS b, '[[1]]'::jsonb #- '{0,0}' AS c, '[]'::jsonb #- '{a}' AS d, '{}'::jsonb #- '{a}' AS e",
            "SELECT jsonb_set('{}', '{a}', '{}') AS a, jsonb_set('[]', '{a}', '5', false) AS b, jsonb_set('{\"a\":{}}', '{a,b}', '[]') AS c, jsonb_set('[1]', '{ +0}', '5') AS d, jsonb_set('[1]', '{-9}', '5') AS e",
            "SELECT jsonb_insert('[]', '{0}', '{}') AS a, jsonb_insert('{}', '{a}', '5') AS b, '{}'::jsonb || '{}' AS c, '[]'::jsonb || '{}' AS d",
            "SELECT jsonb_strip_nulls('{\"a\":null}') AS a, json_strip_nulls('{\"a\":null}') AS b, jsonb_build_object() AS c, ('{\"a\":1}'::jsonb - 'a') = '{}' AS d",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT jsonb_set('[]', '{a}', '5')",
            "SELECT jsonb_set('[1,[2]]', '{1,a}', '5')",
            "SELECT jsonb_set('[1]', '{99999999999}', '5')",
            "SELECT jsonb_set('[1]', '{\"0 \"}', '5')",
            "SELECT jsonb_set('{\"a\":{}}', array['a', NULL], '5')",
            "SELECT jsonb_insert('[]', '{a}', '5')",
            "SELECT '[1]'::jsonb #- '{a}'",
            "SELECT '[1]'::jsonb #- array[NULL]::text[]",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_integers_have_no_negative() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE neg (id int PRIMARY KEY, s smallint, i int, b bigint);
         INSERT INTO neg VALUES (1, -32768, -2147483648, -9223372036854775808), (2, 1, -1, 7), (3, NULL, NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id, -s AS s, -i AS i, -b AS b, - - i AS same FROM neg WHERE id > 1 ORDER BY id",
            "SELECT -1.5 AS n, -(1.5::float8) AS f, -('infinity'::float4) AS r, -('1 day'::interval) AS d, -9223372036854775808 AS b",
            "SELECT -i AS x, count(*) FROM neg WHERE id > 1 GROUP BY -i ORDER BY -i",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT -s FROM neg",
            "SELECT -i FROM neg",
            "SELECT -b FROM neg",
            "SELECT - (-32768)::smallint",
            "SELECT abs(i) FROM neg",
            "UPDATE neg SET s = -s",
            "UPDATE neg SET i = -i",
            "UPDATE neg SET b = -b",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_aggregates_beside_others() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE ag (g int, a int, b bigint, s smallint, n numeric(10,2), c int, f float8, r real, t text);
         INSERT INTO ag SELECT i % 3, i, i * 10, i % 7, i / 10.0, i % 4, i / 2.0, i / 4.0, 'x' || i % 5 FROM generate_series(1, 50) i;
         INSERT INTO ag (g) VALUES (0), (3);",
    );
    let (tide, pg) = pair.connect().await;
    let mut queries = Vec::new();
    for column in ["a", "b", "s", "n", "f", "r"] {
        for other in ["count(DISTINCT c)", "sum(DISTINCT c)", "avg(DISTINCT c)"] {
            queries.push(format!("SELECT sum({column}) AS s, {other} AS o FROM ag"));
            queries.push(format!(
                "SELECT g, sum({column}) AS s, avg({column}) AS a, min({column}) AS m, count(*), {other} AS o FROM ag GROUP BY g ORDER BY g"
            ));
        }
        let distinct = format!(
            "sum(DISTINCT {column}) AS s, avg(DISTINCT {column}) AS a, count(DISTINCT {column}) AS n, max(DISTINCT {column}) AS m, sum({column}) AS t"
        );
        queries.push(format!("SELECT {distinct} FROM ag"));
        queries.push(format!(
            "SELECT g, {distinct} FROM ag GROUP BY g ORDER BY g"
        ));
        queries.push(format!(
            "SELECT sum(DISTINCT {column}) AS s, count(DISTINCT t) AS n FROM ag"
        ));
        queries.push(format!(
            "SELECT sum(DISTINCT {column}) AS s, max({column}) AS m FROM ag"
        ));
    }
    queries.push(
        "SELECT g, count(DISTINCT c), sum(a) FROM ag GROUP BY ROLLUP (g) ORDER BY g".to_string(),
    );
    queries.push("SELECT sum(a) + count(DISTINCT c) AS x FROM ag HAVING sum(a) > 3".to_string());
    for query in &queries {
        crate::pair::same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_groups_rows_that_have_a_json() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE pj (id int PRIMARY KEY, j json, n int);
         INSERT INTO pj VALUES (1, '{\"a\":1}', 2), (2, '{}', 3), (3, NULL, 3);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id, count(*) FROM pj GROUP BY 1 ORDER BY 1",
            "SELECT id, j, n, count(*) FROM pj GROUP BY id ORDER BY 1",
            "SELECT p.id, p.j, count(*) FROM pj p JOIN pj q ON q.n >= p.n GROUP BY p.id ORDER BY 1",
            "SELECT n, count(j) FROM pj GROUP BY n ORDER BY n",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT j, count(*) FROM pj GROUP BY j",
            "SELECT n, j, count(*) FROM pj GROUP BY n, j",
            "SELECT DISTINCT j FROM pj",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_beside_what_has_no_type() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE ar (id int PRIMARY KEY, i int[], t text[], b bigint[], v varchar(5)[]);
         INSERT INTO ar VALUES (1, '{1,2}', '{a,b}', '{1,2}', '{x}'), (2, '{3,NULL}', '{c}', '{3}', '{y}'), (3, NULL, '{}', NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    let mut queries = Vec::new();
    for (column, literal) in [("i", "{1}"), ("t", "{a}"), ("b", "{1}"), ("v", "{x}")] {
        for op in ["@>", "<@", "&&", "=", "||", "<>"] {
            queries.push(format!("SELECT id, {column} {op} '{literal}' AS r, '{literal}' {op} {column} AS l FROM ar ORDER BY id"));
        }
        queries.push(format!("SELECT id, {column} @> '{{}}' AS e, {column} @> NULL AS n, {column} || NULL AS k FROM ar ORDER BY id"));
    }
    queries.push("SELECT ARRAY[1] @> i AS a, i <@ ARRAY[1,2,5] AS b, i @> ARRAY[NULL]::int[] AS c, ARRAY[1,NULL] @> '{1}' AS d FROM ar ORDER BY id".to_string());
    queries.push(
        "SELECT ARRAY[1,2] @> '{1}' AS a, '{a}' <@ ARRAY['a'] AS b, '{}'::int[] <@ '{}' AS c"
            .to_string(),
    );
    for query in &queries {
        crate::pair::same_answers(&tide, &pg, query).await;
    }
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT i @> 'x' FROM ar",
            "SELECT i @> 1 FROM ar",
            "SELECT i @> t FROM ar",
            "SELECT t || 'x' FROM ar",
        ],
    )
    .await;
    let found = "SELECT id FROM ar WHERE i @> $1 ORDER BY id";
    for client in [&tide, &pg] {
        let rows = client.query(found, &[&vec![1_i32]]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_keep_all_their_conditions() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int, r int, x int); INSERT INTO a VALUES (1, 7, 9), (2, 8, 28);
         CREATE TABLE n (i int); INSERT INTO n VALUES (1), (2), (3);
         CREATE TABLE b (r int, k int, t text);
         INSERT INTO b VALUES (7, 10, 'ten'), (7, 20, 'twenty'), (8, 30, 'thirty'), (8, 40, 'forty');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT count(*) FROM a CROSS JOIN n JOIN b ON b.r = a.r AND b.k = a.x + n.i",
            "SELECT count(*) FROM a JOIN n ON n.i >= a.id JOIN b ON b.r = a.r AND b.k = a.x + n.i",
            "SELECT count(*) FROM a CROSS JOIN generate_series(1, 3) i JOIN b ON b.r = a.r AND b.k = a.x + i",
            "SELECT count(*) FROM a, n, b WHERE b.r = a.r AND b.k = a.x + n.i",
            "SELECT a.id, b.t FROM a JOIN b ON b.r = a.r JOIN n ON n.i + a.x = b.k ORDER BY 1, 2",
            "SELECT count(*) FROM a JOIN (n JOIN b ON n.i * 10 = b.k) ON a.x + 1 = b.k + n.i * 0 AND a.r = b.r",
            "SELECT (SELECT count(*) FROM a CROSS JOIN n JOIN b ON b.r = a.r AND b.k = coalesce(a.x + n.i, 0))",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranks_are_signed() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT (row_number() OVER (ORDER BY g) - 1) / 2, 7 / rank() OVER (ORDER BY g), -dense_rank() OVER (ORDER BY g) FROM generate_series(1, 4) g",
            "SELECT (row_number() OVER ())::int, row_number() OVER () * interval '1 day', pg_typeof(row_number() OVER () + 1)::text, pg_typeof(ntile(2) OVER ())::text",
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n) FROM (SELECT row_number() OVER () AS n FROM generate_series(1, 4)) q",
            "SELECT g, rank() OVER (ORDER BY g / 2), dense_rank() OVER (ORDER BY g / 2), ntile(3) OVER (ORDER BY g),
             row_number() OVER (PARTITION BY g % 2 ORDER BY g DESC) FROM generate_series(1, 6) g ORDER BY g",
            "SELECT * FROM (SELECT g, row_number() OVER (PARTITION BY g % 2 ORDER BY g) AS n FROM generate_series(1, 9) g) q WHERE n <= 2 ORDER BY g",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotients_inside_expressions_keep_their_digits() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (q int, amount numeric(12, 2), rate numeric(5, 4), f float8);
         INSERT INTO t VALUES (3, 50.00, 0.07), (3, 1.5, 0.1), (7, 22, 0);
         UPDATE t SET f = 23 / 7.0;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 2 / 3.0 * 3, (1 / 3.0)::text, (23 / 7.0)::float8, interval '1 day' * (1 / 3.0)",
            "SELECT round(amount / (1 + rate), 6), f FROM t ORDER BY amount",
            "SELECT q FROM t WHERE 7.0 / q > 2.33333",
            "SELECT sum(1.0 / q * q), max(amount / q)::float8, CASE WHEN q > 3 THEN 1 / 3.0 ELSE 2 / 7.0 END FROM t GROUP BY q ORDER BY q",
            "SELECT DISTINCT 1 / 3.0 FROM t",
            "SELECT 5 / 2, 5 / 2.0, 5.0 / 2, 10 / 4::numeric(5, 1), 1.000 / 3, NULL / 2.0",
        ],
    )
    .await;
    all_refused(&tide, &pg, &["SELECT 1.0 / (q - 3) FROM t"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beside_arrays_are_not_cut() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT array_append('{1,2}'::int[], 12.34), '{1,2}'::int[] || 2.25::float8, array_prepend(0.5, '{1}'::int8[])",
            "SELECT array_position('{1,2}'::int[], 1.5::float4), array_remove('{1,2,3}'::int[], 2.0), array_replace('{1,2}'::int[], 2, 2.5)",
            "SELECT array_append('{1.5}'::numeric[], 2), array_append('{1}'::int8[], 2::int2), (ARRAY[1, 2, 3])[2:1]",
            "SELECT jsonb_build_object(true, 1), format_type(0, NULL)",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT array_length(ARRAY[1, 2])",
            "SELECT array_upper(ARRAY[1])",
            "SELECT array_lower(ARRAY[1])",
            "SELECT array_position(ARRAY[1])",
            "SELECT cardinality()",
            "SELECT - now()",
            "SELECT - '2 days ago'::text",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_in_texts_are_the_transactions() {
    let pair = Pair::start();
    let made = "CREATE TABLE t (n int, at timestamptz, day date DEFAULT 'tomorrow', since timestamp DEFAULT now());";
    pair.run(made);
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        let block = "BEGIN; INSERT INTO t VALUES (1, 'now'); SELECT pg_sleep(0.05); INSERT INTO t VALUES (2, 'now'), (3, ' NOW ')";
        client.batch_execute(block).await.unwrap();
        client
            .batch_execute("INSERT INTO t (n) VALUES (4); UPDATE t SET at = 'now' WHERE n = 4")
            .await
            .unwrap();
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT count(DISTINCT at), bool_and(at = now()), bool_and(since = now()::timestamp), bool_and(day = current_date + 1) FROM t WHERE n < 4 OR at = now()",
            "SELECT 'now'::timestamptz = now(), timestamptz 'now' = now(), 'now'::text::timestamptz = now(), 'now'::time = localtime, 'now'::timestamp = localtimestamp, 'today'::date = current_date",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        client.batch_execute("COMMIT").await.unwrap();
    }
    // Outside a block it is the statement's, also of one that comes again.
    for query in [
        "SELECT 'now'::timestamptz = now(), pg_sleep(0.01) IS NULL, clock_timestamp() - 'now'::timestamptz BETWEEN '10 ms' AND '10 s'",
        "SELECT 'now'::timestamptz = now() FROM generate_series(1, 2)",
    ] {
        for _ in 0..2 {
            assert_eq!(text(&tide, query).await, text(&pg, query).await, "{query}");
        }
    }
    for client in [&tide, &pg] {
        let statement = client
            .prepare("SELECT $1::text::timestamptz > now() - interval '1 s'")
            .await
            .unwrap();
        for _ in 0..2 {
            let row = client.query_one(&statement, &[&"now"]).await.unwrap();
            assert!(row.get::<_, bool>(0));
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_change_in_every_century() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for zone in [
        "Europe/London",
        "America/Chicago",
        "Australia/Sydney",
        "Africa/Casablanca",
        "America/Sao_Paulo",
        "Europe/Dublin",
        "Asia/Kathmandu",
        "America/Santiago",
    ] {
        for client in [&tide, &pg] {
            let set = format!("SET TimeZone = '{zone}'");
            client.batch_execute(&set).await.unwrap();
        }
        all_same(
            &tide,
            &pg,
            &[
                "SELECT timestamptz '2500-07-01', timestamptz '2100-03-28 00:59:59+00', timestamptz '2100-12-31 23:59:59', timestamptz '2104-02-29', timestamptz '2400-02-29 12:00'",
                "SELECT timestamptz '290000-07-01', timestamptz '2100-03-14 02:30', timestamptz '2101-11-06 01:30', timestamptz '2099-07-01'",
                "SELECT n, timestamptz '2099-12-31 13:00Z' + n * interval '61 days 7 hours' FROM generate_series(1, 1200, 7) n",
                "SELECT to_char(timestamptz '2024-01-01', 'TZ tz OF'), to_char(timestamptz '2500-07-01', 'TZ OF')",
            ],
        )
        .await;
    }
    for client in [&tide, &pg] {
        let set = "SET TimeZone = '<-01:30>+01:30'";
        client.batch_execute(set).await.unwrap();
    }
    let shown = "SELECT to_char(timestamptz '2024-01-01', 'TZ'), timestamptz '2024-01-01'";
    all_same(&tide, &pg, &[shown]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roundings_signs_and_fractions_at_their_ends() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT round(4.5e131071, -131072), trunc(9.9e131071, -131072), round(5e-16383, 16382) = 1e-16382, round(1.5, 20000) = 1.5",
            "SELECT round(123.456, -2147483648), length(round(1.5, 3000)::text), trunc(5, -3)",
            "SELECT to_timestamp('2018-11-02 12:34:56.1234', 'YYYY-MM-DD HH24:MI:SS.FF2'), to_timestamp('2018-11-02 12:34:56.1256', 'YYYY-MM-DD HH24:MI:SS.FF2'), to_timestamp('2018-12-31 23:59:59.9999', 'YYYY-MM-DD HH24:MI:SS.FF2')",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let set = "SET IntervalStyle = sql_standard";
        client.batch_execute(set).await.unwrap();
    }
    let signs = "SELECT interval '-23 hours 45 min 12.34 sec', interval '-1 day 2 hours', interval '1 day -2 hours', interval '-1 year 2 months', interval '-1-2 3 4:05:06', interval '-1 2:03', interval '-1 day +2 hours'";
    all_same(&tide, &pg, &[signs]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_whose_filter_is_of_the_query_around() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT (SELECT count(*) FILTER (WHERE x.a > 1 AND y.a > 0) FROM (VALUES (1)) y (a)) FROM (VALUES (2), (3)) x (a)",
            "SELECT (SELECT max((SELECT z.a + y.a FROM (VALUES (1)) z (a) WHERE z.a < x.a)) FROM (VALUES (1), (2)) y (a)) FROM (VALUES (2), (3)) x (a)",
            "SELECT x.a, (SELECT sum(y.a) FILTER (WHERE y.a > x.a) FROM generate_series(1, 5) y (a)) FROM (VALUES (2), (3)) x (a) ORDER BY 1",
        ],
    )
    .await;
    for refused in [
        "SELECT (SELECT max(0) FILTER (WHERE b)) FROM (VALUES (true), (false)) v (b)",
        "SELECT (SELECT max((SELECT y.a FROM (VALUES (1), (2)) y (a) WHERE y.a = x.a))) FROM (VALUES (1), (2)) x (a)",
        "SELECT (SELECT count(*) FILTER (WHERE x.a <> 0) FROM (VALUES (1)) y (a)) FROM (VALUES (2), (3)) x (a)",
    ] {
        let error = tide.batch_execute(refused).await.expect_err(refused);
        assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_were_taken() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT count()",
            "SELECT count() OVER ()",
            "SELECT upper('a') OVER ()",
            "SELECT generate_series(1, 100) OVER ()",
            "SELECT nth_value(x, 0) OVER () FROM generate_series(1, 2) x",
            "SELECT nth_value(x, -1) OVER () FROM generate_series(1, 2) x",
            "SELECT CASE WHEN true THEN 1::float8 ELSE 1::oid END",
            "SELECT greatest(1::numeric(10, 2), 1::oid)",
            "SELECT coalesce(1::oid, 2.5)",
        ],
    )
    .await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT coalesce(1::oid, 2), greatest(1::int8, 2::oid)",
            "SELECT sum(x) OVER (), count(*) OVER (), nth_value(x, 2) OVER (), every(x > 0) OVER (), array_agg(x) OVER () FROM generate_series(1, 2) x",
            "SELECT array_cat(NULL, ARRAY[1]), array_cat(ARRAY['a'], NULL), array_cat(ARRAY[1, 2], '{3}')",
        ],
    )
    .await;
    // One character for each, as PostgreSQL has it where its locale knows them.
    let cased =
        "SELECT upper('äöüß ŉ ǰ ﬁ'), lower('ÄÖÜ ΟΔΟΣ'), initcap('ßa éLAN ﬁx ΣΑΣ'), upper('ς')";
    let row = tide.query_one(cased, &[]).await.unwrap();
    let shown: Vec<&str> = (0..4).map(|column| row.get(column)).collect();
    let expected = ["ÄÖÜß ŉ ǰ ﬁ", "äöü οδοσ", "ßa Élan ﬁx Σασ", "Σ"];
    assert_eq!(shown, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_what_is_joined() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE c (a text, b int, d bytea, v varchar(5), ch char(4));
         INSERT INTO c VALUES ('x', 5, '\\x01', 'v', 'ab');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT a || b || 'q' || v || ch || '|', b || a || b, a || true || 1.50 || ch || date '2024-01-01', 'a' || NULL || 'b' FROM c",
            "SELECT a || ch || 'x', ch || a || ch || v, ch || ch || ch, pg_typeof(v || v || v), a || d || 'x' FROM c",
            "SELECT d || '\\x02' || d, a || ARRAY[1]::text || '2', a || interval '1 day' || b FROM c",
            "SELECT '{\"a\":1}'::jsonb || '{\"b\":2}' || '{\"c\":3}', ARRAY[1] || 2 || 3, 1 || ARRAY[2] || 3",
            "SELECT 'a' || 'b' || ARRAY['c'], a || 'b' || ARRAY['c'] FROM c",
            "SELECT a || '-' || b || ';' AS k, count(*) FROM c GROUP BY a || '-' || b || ';' ORDER BY k",
        ],
    )
    .await;
    // What it takes grew with the third power of the chain's length.
    let links: Vec<String> = (0..400).map(|n| format!("'{n}'")).collect();
    let long = format!(
        "SELECT length({}), length(a || {}) FROM c",
        links.join(" || "),
        links.join(" || a || ")
    );
    for client in [&tide, &pg] {
        client
            .batch_execute("SET statement_timeout = '60s'")
            .await
            .unwrap();
    }
    all_same(&tide, &pg, &[&long]).await;
}
