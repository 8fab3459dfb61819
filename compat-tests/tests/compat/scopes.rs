//! Which columns names mean in subqueries, joins and ORDER BY, and which rows correlated subqueries find, beside PostgreSQL.
//! Each of these was answered wrongly or refused once.

use crate::pair::Pair;

const TABLES: &str = "
    CREATE TABLE a (id int PRIMARY KEY, x int); CREATE TABLE b (id int PRIMARY KEY, y int);
    CREATE TABLE c (id int PRIMARY KEY, z int);
    INSERT INTO a SELECT n, n FROM generate_series(1, 4) n; INSERT INTO b VALUES (1, 1), (2, 2), (3, 3), (5, 5);
    INSERT INTO c SELECT n, n FROM generate_series(1, 4) n;
    CREATE TABLE g1 (id int PRIMARY KEY, x int, k int, name text);
    CREATE TABLE g2 (id int PRIMARY KEY, g1_id int, k int, x int);
    CREATE TABLE g3 (id int PRIMARY KEY, g2_id int, k int);
    CREATE VIEW v AS SELECT * FROM g1;
    INSERT INTO g1 SELECT n, n % 7, n % 4, 'n' || n FROM generate_series(1, 20) n;
    INSERT INTO g2 SELECT n, n % 20, n % 5, n % 3 FROM generate_series(1, 30) n;
    INSERT INTO g3 SELECT n, n % 9, n % 4 + 1 FROM generate_series(1, 36) n;";

fn same(queries: &[&str]) {
    let pair = Pair::start();
    pair.run(TABLES);
    queries.iter().for_each(|query| pair.same_or_fail(query));
}

#[test]
fn correlated_subqueries_find_each_row_once() {
    same(&[
        "SELECT a.id, b.id FROM a LEFT JOIN b ON a.id = b.id AND a.x IN (SELECT z FROM c WHERE z > 1) ORDER BY 1",
        "SELECT a.id, b.id FROM a LEFT JOIN b ON a.id = b.id AND a.x NOT IN (SELECT z FROM c WHERE z > a.x) ORDER BY 1",
        "SELECT a.id, b.id FROM a RIGHT JOIN b ON a.id = b.id AND b.y IN (SELECT z FROM c WHERE z < 3) ORDER BY 2",
        "SELECT count(*) FROM g1 t1 WHERE EXISTS (SELECT DISTINCT t5.g2_id FROM g3 t5 WHERE t5.k = t1.k)",
        "SELECT count(*) FROM g1 t1 WHERE EXISTS (SELECT 1 FROM g3 t5 WHERE t5.k = t1.k GROUP BY t5.g2_id)",
        "SELECT count(*) FROM g1 t1 WHERE EXISTS (SELECT t5.g2_id FROM g3 t5 WHERE t5.k = t1.k GROUP BY t5.g2_id HAVING count(*) >= 1)",
        "SELECT id, EXISTS (SELECT DISTINCT g3.g2_id FROM g3 WHERE g3.k = g1.k) FROM g1 ORDER BY 1",
        "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b FULL JOIN c USING (id) WHERE id = a.id)",
        "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b FULL JOIN c ON b.id = c.id WHERE coalesce(b.id, c.id) = a.id)",
        "SELECT t1.id FROM g3 t1 WHERE t1.id IN (SELECT q.id FROM (SELECT t6.id FROM g3 t6 WHERE t6.k = t1.k) q) ORDER BY 1",
        "SELECT t1.id FROM g3 t1 WHERE EXISTS (SELECT 1 FROM (SELECT t6.id AS k FROM g3 t6 WHERE t6.k < t1.k) q) ORDER BY 1",
    ]);
}

#[test]
fn group_by_has_keys_of_tables_only() {
    same(&[
        "SELECT l.id, count(*) FROM g3 CROSS JOIN LATERAL (SELECT a.id, a.x + g3.k AS z FROM g1 a ORDER BY a.id LIMIT 3) l GROUP BY l.id ORDER BY 1",
        "SELECT l.id, count(*) FROM g3 CROSS JOIN LATERAL (SELECT a.id, row_number() OVER (ORDER BY abs(a.id - g3.id)) rn FROM g1 a) l WHERE l.rn <= 3 GROUP BY l.id ORDER BY 1",
        "SELECT l.id, count(*) FROM g3 CROSS JOIN LATERAL (SELECT a.id, count(*) c FROM g1 a WHERE a.k = g3.k GROUP BY a.id) l GROUP BY l.id ORDER BY 1",
        "SELECT s.id, s.name FROM (SELECT * FROM g1) s GROUP BY s.id",
        "WITH s AS (SELECT * FROM g1) SELECT s.id, s.name FROM s GROUP BY s.id",
        "SELECT v.id, v.name FROM v GROUP BY v.id",
        "SELECT g1.id, g1.name, count(*) FROM g1 JOIN g2 ON g2.g1_id = g1.id GROUP BY g1.id ORDER BY 1",
    ]);
}

#[test]
fn names_in_group_by_are_columns_first() {
    same(&[
        "SELECT 49 AS x FROM g1 t GROUP BY x, t.x",
        "SELECT k AS x FROM g1 t GROUP BY x, t.k ORDER BY 1, t.x",
        "SELECT -x AS x, count(*) FROM g1 GROUP BY g1.x, x ORDER BY 1",
        "SELECT lower(name) AS x, max(id) FROM g1 GROUP BY x ORDER BY 2",
        "SELECT lower(name) AS low, max(id) FROM g1 GROUP BY low ORDER BY 2",
        "SELECT x % 2 = 0 AS id, count(*) FROM g1 GROUP BY id ORDER BY 1",
        "SELECT g1.k + 1 AS k FROM g1 JOIN g2 USING (k) GROUP BY k ORDER BY 1",
        "SELECT 1 + s.x AS x FROM (SELECT * FROM g1) s GROUP BY s.x, x HAVING sum(k) > 1 ORDER BY 1",
    ]);
}

#[test]
fn a_name_in_a_subquery_means_its_own_columns_first() {
    same(&[
        "SELECT (SELECT count(*) FROM g1 a JOIN g2 b ON true WHERE id = 3) FROM g3",
        "SELECT x FROM g1 WHERE x IN (SELECT a.k FROM g1 a JOIN g2 ON a.k = id)",
        "SELECT id FROM g3 g1 WHERE EXISTS (SELECT 1 FROM g1 WHERE g1.g2_id = 1)",
        "SELECT id FROM g1 WHERE EXISTS (SELECT 1 FROM a JOIN b ON x = y JOIN g2 ON g2.id = y WHERE a.id = g1.id) ORDER BY 1",
        "SELECT a.id, l.id FROM a LEFT JOIN LATERAL (SELECT * FROM b RIGHT JOIN c USING (id) WHERE id <= a.id ORDER BY id DESC LIMIT 1) l ON true ORDER BY 1",
        "SELECT * FROM (SELECT DISTINCT ON (id) a.id, b.y FROM a JOIN b ON a.id = b.id ORDER BY id) q ORDER BY 1",
        "SELECT * FROM (SELECT DISTINCT ON (id) a.id AS id, b.y FROM a JOIN b ON true ORDER BY id, b.y DESC) q ORDER BY 1",
        "SELECT count(*), count(x), max(word) FROM pg_get_keywords() FULL JOIN (SELECT 'select' AS word, 1 AS x) s USING (word)",
        "SELECT word, x, catcode FROM pg_get_keywords() k RIGHT JOIN (SELECT 'select' AS word, 1 AS x) s USING (word)",
        "SELECT * FROM (SELECT id FROM a JOIN b USING (id) JOIN pg_get_keywords() k ON k.word = 'select') q ORDER BY 1",
        "SELECT a.id, (SELECT c.id AS id FROM b JOIN c ON true WHERE c.id <= a.id ORDER BY id DESC LIMIT 1) FROM a ORDER BY 1",
    ]);
}

#[test]
fn names_in_order_by_are_results_alone_and_columns_in_expressions() {
    same(&[
        "SELECT -id AS id FROM a ORDER BY -id",
        "SELECT 10 - x AS x FROM a ORDER BY coalesce(x, 0)",
        "SELECT 5 - id AS id FROM b ORDER BY abs(id)",
        "SELECT a.id::text FROM g1 a ORDER BY a.id",
        "SELECT coalesce(a.x, 0) AS x FROM g1 a ORDER BY a.x, a.id",
        "SELECT a.id::text, count(*) FROM g1 a GROUP BY a.id ORDER BY a.id",
        "SELECT x AS id FROM g2 GROUP BY x ORDER BY max(id)",
        "SELECT x AS id, max(id) FROM g2 GROUP BY x ORDER BY max(id)",
        "SELECT * FROM (SELECT -id AS id FROM a ORDER BY -id LIMIT 2) q ORDER BY 1",
        "WITH q AS (SELECT -id AS id FROM a ORDER BY -id LIMIT 2) SELECT id FROM q ORDER BY 1",
        "SELECT DISTINCT ON (x) x % 3 AS x, id FROM g1 ORDER BY x, id",
        "SELECT x % 3 AS x, count(*) FROM g1 GROUP BY 1 ORDER BY count(*), 1",
        "SELECT upper(name) AS name FROM g1 ORDER BY lower(name), name LIMIT 3",
        "SELECT max(x) AS m FROM g1 GROUP BY k ORDER BY m + 1",
        "SELECT id, x AS w FROM a ORDER BY CASE WHEN w > 2 THEN 0 ELSE 1 END",
        "SELECT x AS y FROM a ORDER BY (SELECT y)",
        "SELECT x AS y FROM a ORDER BY ((y)) DESC",
        "SELECT (SELECT b.y AS z FROM b WHERE b.id = a.id ORDER BY z + 1) FROM a",
        "SELECT count(*) AS c FROM a GROUP BY x HAVING c > 1",
        "SELECT 1 HAVING true",
        "SELECT 1 FROM a HAVING false",
        "SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY id + 1",
        "SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY id, 1",
        "(SELECT id FROM a UNION SELECT id FROM b) ORDER BY id IS NULL",
        "SELECT d1.k FROM g1 d1 ORDER BY (SELECT count(*) FROM g2 c WHERE c.x = d1.x), 1",
        "SELECT d1.k AS x FROM g1 d1 ORDER BY EXISTS (SELECT 1 FROM g2 c WHERE c.x = d1.x), 1 LIMIT 9",
        "SELECT a.id, (SELECT d1.k FROM g1 d1 ORDER BY (SELECT count(*) FROM g2 c WHERE c.x = d1.x + a.id), 1, d1.id LIMIT 1) FROM a ORDER BY 1",
        "SELECT k, count(*) AS n FROM g1 GROUP BY k, x ORDER BY (SELECT count(*) FROM g2 c WHERE c.x = g1.x), 1, 2",
        "SELECT * FROM (SELECT DISTINCT ON (k) g1.k + 1 AS k, g1.id FROM g1 JOIN g2 ON g1.id = g2.id ORDER BY k DESC, g1.id) q ORDER BY 1",
    ]);
}

#[test]
fn a_relation_is_known_by_its_own_schema() {
    same(&[
        "SELECT public.a.id FROM a WHERE public.a.x > 1 ORDER BY public.a.id",
        "SELECT nosch.a.id FROM a",
        "SELECT a.id FROM a WHERE nosch.a.id = 1",
        "SELECT id FROM a ORDER BY nosch.a.id",
        "SELECT public.q.id FROM a q",
        "WITH a AS (SELECT 1 AS id) SELECT public.a.id FROM a",
        "SELECT public.v.id FROM v ORDER BY 1 LIMIT 1",
        "SELECT pg_catalog.pg_class.relname FROM pg_class WHERE pg_catalog.pg_class.relname = 'a'",
        "CREATE SCHEMA s2; CREATE TABLE s2.t (id int PRIMARY KEY, x int); INSERT INTO s2.t VALUES (1, 1) RETURNING s2.t.id",
        "UPDATE s2.t SET x = s2.t.x + 1 WHERE s2.t.id = 1 RETURNING s2.t.x",
        "INSERT INTO s2.t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET x = s2.t.x + excluded.x RETURNING s2.t.x",
        "DELETE FROM s2.t WHERE s2.t.id = 1 RETURNING s2.t.id",
    ]);
}

#[test]
fn rows_of_recursive_queries_come_round_by_round() {
    same(&[
        "WITH RECURSIVE f (a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM f WHERE b < 100) SELECT array_agg(a) FROM f",
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT a.id FROM t JOIN a ON a.id = n + 1) SELECT string_agg(n::text, ',') FROM t",
    ]);
}

#[test]
fn whole_rows_are_counted_compared_and_null() {
    same(&[
        "SELECT a.id, count(b.*) FROM a LEFT JOIN b ON b.id = a.id GROUP BY 1 ORDER BY 1",
        "SELECT a.id, count(b) FROM a LEFT JOIN b ON b.id = a.id GROUP BY 1 ORDER BY 1",
        "SELECT count(a.*), count(a), count(DISTINCT a.id) FROM a",
        "SELECT count(_t) FROM (SELECT id FROM a) _t",
        "SELECT a.id FROM a LEFT JOIN b ON b.id = a.id WHERE b.* IS NULL",
        "SELECT a.id FROM a LEFT JOIN b ON b.id = a.id WHERE b.* IS NOT NULL ORDER BY 1",
        "SELECT a.id FROM a LEFT JOIN b ON b.id = a.id WHERE b IS NULL",
        "SELECT a.id FROM a JOIN b ON a.id = b.id WHERE a = b ORDER BY 1",
    ]);
}

#[test]
fn strings_are_conditions_and_json_becomes_text() {
    same(&[
        "SELECT count(*) FROM a WHERE 'true'",
        "SELECT a.id, b.id FROM a JOIN b ON ('t') WHERE ('true') AND NOT 'f' ORDER BY 1, 2",
        "SELECT * FROM (a JOIN b ON 'true') JOIN c ON ('f') ORDER BY 1, 3",
        "SELECT count(*) FROM (a JOIN (b LEFT JOIN c ON ('t')) ON 'yes')",
        "SELECT jsonb_build_object('a', 1)::text || '{\"b\":2}', to_jsonb(7)::text || '1'",
        "SELECT length(jsonb_agg(id)::text), jsonb_agg(id)::text = '[ 1 ]', md5(jsonb_build_object('a', 1)::text) FROM a",
        "SELECT length(s) FROM (SELECT jsonb_build_object('a', 1)::text AS s) q",
        "SELECT (SELECT '{\"a\":1}'::jsonb)::text || 'y', (CASE WHEN true THEN '{\"a\": 1}'::jsonb END)::text || 'z', ('{\"a\":1}'::json)::text || 'z'",
    ]);
}

#[test]
fn floats_become_numerics_of_their_certain_digits() {
    same(&[
        "SELECT 1e15::float8::numeric, 1.1::real::numeric, (0.1::float8 + 0.2)::numeric, 1e-7::float8::numeric(20, 10), (-2.5)::float8::numeric(3, 0)",
        "CREATE TABLE n (a numeric(10, 3), b numeric); INSERT INTO n SELECT x, x FROM (VALUES (1.1::real), (123456.7::real)) v (x); INSERT INTO n VALUES (1.1::float8, 0.30000000000000004::float8); SELECT * FROM n ORDER BY a, b",
        "SELECT array[1.1::real]::numeric[], NULL::float8::numeric",
    ]);
}

#[test]
fn signs_and_joins_bind_as_in_postgresql() {
    same(&[
        "SELECT -2 ^ 2, - 1 ^ 0, 2 ^ -1, -2::int, - 5 % 3, -a.x * 2, +a.x ^ 2, - -5, 1 - -2 FROM a ORDER BY 6",
        "SELECT -1 ^ 0.5",
        "SELECT -9223372036854775808, -2147483648::int, -'5'::int, -id IN (-1, -2), -id BETWEEN -2 AND -1 FROM a ORDER BY id",
        "SELECT a.id, b.id, c.id FROM a JOIN b JOIN c ON b.id = c.id ON a.id = b.id ORDER BY 1",
        "SELECT count(*) FROM a LEFT JOIN b LEFT JOIN c ON b.id = c.id AND c.id > 2 ON a.id = b.id JOIN g1 ON g1.id = a.id",
        "SELECT count(*) FROM a NATURAL JOIN b LEFT JOIN c ON c.id = a.id",
        "SELECT count(*) FROM a CROSS JOIN b JOIN c ON c.id = a.id",
    ]);
}

#[test]
fn aliases_name_the_first_columns_and_rows_have_fields() {
    same(&[
        "WITH s (p, q) AS (SELECT * FROM g1) SELECT p, q, k FROM s ORDER BY 1 LIMIT 1",
        "WITH s (p, q) AS (SELECT id FROM g1) SELECT p, q FROM s",
        "WITH RECURSIVE s (p) AS (SELECT 1, 2 AS z UNION ALL SELECT p + 1, z FROM s WHERE p < 3) SELECT p, z FROM s ORDER BY 1",
        "SELECT dd.kk, dd.k FROM g3 AS dd (kk) ORDER BY 1 LIMIT 1",
        "SELECT dd.kk, dd.k FROM v AS dd (kk) ORDER BY 1 LIMIT 1",
        "SELECT p, k FROM g3 AS dd (p) JOIN g1 AS ee (k2, x2, k4) ON p = k2 ORDER BY 1 LIMIT 2",
        "SELECT * FROM g3 AS dd (a, b, c, d)",
        "SELECT * FROM (SELECT 1) AS dd (a, b)",
        "SELECT (g1).id, (g1).name FROM g1 WHERE (g1).x > 5 ORDER BY (g1).id",
        "SELECT (g1).* FROM g1 ORDER BY 1 LIMIT 1",
        "SELECT (q).name FROM (SELECT id, name FROM g1) q ORDER BY 1 LIMIT 1",
    ]);
}

/// Planning these took time by the square of their length.
#[test]
fn long_lists_are_planned_soon() {
    let pairs: Vec<String> = (0..5_000).map(|n| format!("({n}, {})", n % 3)).collect();
    let selects: Vec<String> = (0..900)
        .map(|n| format!("SELECT {} AS a", n % 500))
        .collect();
    let begun = std::time::Instant::now();
    same(&[
        &format!(
            "SELECT count(*) FROM g2 WHERE (id, x) IN ({})",
            pairs.join(", ")
        ),
        &format!(
            "SELECT count(*), sum(a) FROM ({}) q",
            selects.join(" UNION ")
        ),
        &format!(
            "SELECT count(*), sum(a) FROM ({}) q",
            selects.join(" UNION ALL ")
        ),
        "SELECT 1 AS a UNION SELECT 2 UNION SELECT 1 UNION ALL SELECT 2 ORDER BY 1",
        "SELECT 1 AS a UNION ALL SELECT 2 UNION SELECT 1 UNION ALL SELECT 2 ORDER BY 1",
        "SELECT 1::smallint AS a UNION SELECT 2 UNION SELECT 3::bigint ORDER BY 1",
        "SELECT 'a'::varchar(1) AS a UNION SELECT 'bc'::varchar(2) UNION SELECT 'bc' ORDER BY 1",
    ]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}
