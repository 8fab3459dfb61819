//! Which types results are told to have, and with what modifiers; oids as numbers; names in ORDER BY that two columns have.

use crate::constraints::play;
use crate::pair::{Pair, assert_same_lines, same_answers};

const TABLE: &str = "CREATE TABLE m (a int, b int, v varchar(5), w varchar(9), n numeric(10,2), n2 numeric(12,4), o oid, c char(4), t text, at timestamp(3));
    INSERT INTO m VALUES (1, 2, 'x', 'longer', 1.5, 2.5, 3, 'c', 't', '2024-01-01 00:00:00.1239');
    CREATE INDEX ON m (v);";

#[test]
fn results_have_the_modifiers_that_postgresql_15_tells() {
    let pair = Pair::start();
    pair.run(TABLE);
    for query in [
        "SELECT v::text, v::varchar, c::text, v::varchar(3), c::char(2), n::numeric, n::numeric(5,1), t::varchar, t::varchar(3), at::timestamp FROM m",
        "SELECT coalesce(n, '7'), coalesce(n, 7), coalesce(n, n), coalesce(n, n2), coalesce(n, null), coalesce(v, 'x'), coalesce(v, v), coalesce(v, w), coalesce(c, 'x'), coalesce(v, t), coalesce(t, v) FROM m",
        "SELECT CASE WHEN true THEN n ELSE n END, CASE WHEN true THEN n ELSE n2 END, CASE WHEN true THEN n ELSE 7 END, CASE WHEN true THEN v ELSE 'x' END, CASE WHEN true THEN n END FROM m",
        "SELECT n, v, at FROM m UNION ALL SELECT n, v, at FROM m",
        "SELECT n, v FROM m UNION ALL SELECT n2, w FROM m",
        "SELECT n::numeric(5,1) FROM m UNION ALL SELECT n FROM m",
        "SELECT v, n FROM m UNION SELECT 'abc', 7",
        "SELECT v, t FROM m UNION ALL SELECT t, v FROM m",
        "SELECT max(n), min(v), sum(n), n + n, n * 2, -n, abs(n), round(n, 1), array_agg(n), array[n], array[n, n2], greatest(n, n), n2 FROM m GROUP BY n, n2",
        "SELECT (SELECT n FROM m LIMIT 1), (SELECT v FROM m LIMIT 1), (SELECT max(n) FROM m)",
        "SELECT first_value(n) OVER (), lag(n) OVER (), lag(v) OVER (), first_value(v) OVER (), n, v FROM m",
        "SELECT q.s, q.n, q.v FROM (SELECT sum(n) AS s, n, v FROM m GROUP BY n, v) q",
        "SELECT * FROM (VALUES (1.5, 'a'::varchar(3)), (2.25, 'b')) v(x, y)",
        "SELECT octet_length(c), length(c), octet_length(c::text), octet_length('ab'::char(4)), c::bytea, 'ab'::char(5)::bytea FROM m",
        "SELECT max(c), min(c), octet_length(max(c)), max(c) || 'x', max(v) FROM m",
        "SELECT max(c) OVER (), min(c) OVER (ORDER BY c) FROM m",
        "SELECT v, max(c) FROM m GROUP BY v HAVING max(c) = min(c) ORDER BY 1",
        "SELECT 1.50, 7::numeric(5,2), '1'::numeric, 'a'::varchar(3)",
        "SELECT DISTINCT ON (n) n, v FROM m",
        "SELECT q.n, p.v FROM m p LEFT JOIN m q ON p.a = q.a",
        "WITH w AS (SELECT n, n + 1 AS m FROM m) SELECT * FROM w",
        "SELECT pg_notify('a', 'b'), pg_sleep(0), pg_advisory_lock(1), pg_advisory_unlock_all(), pg_advisory_unlock(1)",
        "SELECT format_type(1042, -1), format_type(1042, NULL), format_type(1042, 8), format_type(1014, -1)",
    ] {
        let script = format!("{query} \\gdesc\n");
        let (expected, found) = (pair.pg.peer().run(&script), pair.tide.peer().run(&script));
        assert_same_lines(&script, &expected, &found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_of_texts_are_texts_and_still_use_the_index() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT a FROM m WHERE v::text = 'x'",
        "SELECT v::text, v::text || 'a', length(v::text), v::text LIKE 'x%' FROM m ORDER BY v::text",
        "SELECT count(*) FROM m p JOIN m q ON p.v::text = q.v::text",
        "SELECT v::text, count(*) FROM m GROUP BY v::text",
        "SELECT DISTINCT v::text, coalesce(v, t) FROM m",
        "SELECT x FROM (SELECT v::text AS x FROM m) q WHERE x = 'x'",
        "SELECT v FROM m UNION ALL SELECT 'abcdefgh' ORDER BY 1",
        "SELECT at FROM m UNION ALL SELECT '2024-01-01 00:00:00.12345' ORDER BY 1",
        "SELECT v FROM m INTERSECT SELECT 'x' UNION SELECT t FROM m ORDER BY 1",
        "SELECT * FROM (VALUES ('abc'::varchar(3)), ('abcdef')) v(x)",
        "SELECT pg_notify('a', 'b'), pg_sleep(0)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    let plan = pair
        .tide
        .peer()
        .value("EXPLAIN SELECT a FROM m WHERE v::text = 'x';");
    let bare = pair
        .tide
        .peer()
        .value("EXPLAIN SELECT a FROM m WHERE v = 'x';");
    assert_eq!(plan, bare);
}

#[tokio::test(flavor = "multi_thread")]
async fn oids_have_32_bits() {
    play(
        "CREATE TABLE o (o oid, i int, b bigint, a oid[]);
         SELECT 9000000000::oid;
         SELECT 4294967296::oid;
         SELECT (-1::bigint)::oid;
         SELECT (-1)::oid, (-1::int2)::oid, 4294967295::oid, 4294967295::oid::int4, 5::oid::int8;
         SELECT '9000000000'::oid;
         SELECT 1.5::numeric::oid;
         SELECT 5::float8::oid;
         SELECT true::oid;
         SELECT 5::oid::numeric;
         SELECT 5::oid::int2;
         SELECT '{1,2}'::int[]::oid[], '{1,9000000000}'::bigint[]::oid[];
         SELECT '{1,-2}'::int[]::oid[], '{1}'::oid[]::int8[];
         INSERT INTO o (o) VALUES (-1), (4294967295) RETURNING o;
         INSERT INTO o (o) VALUES (4294967296);
         INSERT INTO o (o) VALUES (1.5);
         INSERT INTO o (i, b) VALUES (4294967295::oid, 4294967295::oid) RETURNING i, b;
         UPDATE o SET o = b + 1 WHERE b > 0;
         UPDATE o SET o = i WHERE b > 0 RETURNING o;
         SELECT o FROM o WHERE o = 4294967295;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_two_columns_have_sort_nothing() {
    play(
        "CREATE TABLE m (a int, b int);
         CREATE TABLE l (a int, c int);
         INSERT INTO m VALUES (1, 2), (2, 1);
         INSERT INTO l VALUES (1, 2), (2, 1);
         SELECT a AS x, b AS x FROM m ORDER BY x;
         SELECT a AS x, a AS x FROM m ORDER BY x;
         SELECT m.a, l.a FROM m, l WHERE m.b = l.c ORDER BY a;
         SELECT *, b AS a FROM m ORDER BY a;
         SELECT a, a FROM m ORDER BY a;
         SELECT a, (m.a) FROM m ORDER BY a DESC;
         SELECT a AS x, b AS x FROM m UNION SELECT 1, 2 ORDER BY x;
         SELECT a + 0 AS x, a + 1 AS x FROM m ORDER BY x;
         SELECT a + 1 AS x, m.a + 1 AS x FROM m ORDER BY x;
         SELECT q.x FROM (SELECT a AS x, b AS x FROM m ORDER BY x) q;
         SELECT a, m.a FROM m JOIN l USING (a) ORDER BY a;
         SELECT m.a, l.a FROM m JOIN l USING (a) ORDER BY a;
         SELECT m.*, l.* FROM m, l ORDER BY a;
         SELECT m.*, l.c AS d FROM m, l ORDER BY a, b, d;
         SELECT a AS x, b AS x FROM m ORDER BY 1;
         WITH w AS (SELECT 1 AS a, 2 AS b) SELECT a AS x, b AS x FROM w ORDER BY x;
         SELECT count(*) AS a, m.a FROM m GROUP BY m.a ORDER BY a;",
    )
    .await;
    let pair = Pair::start();
    pair.run("CREATE TABLE m (a int, b int);");
    pair.same_or_fail("SELECT a AS x, b AS x FROM m ORDER BY x");
    let (tide, _) = pair.connect().await;
    for (query, refused) in [
        ("CREATE TABLE made AS SELECT 'm'::regclass AS r", true),
        ("CREATE TABLE made AS SELECT a, pg_typeof(a) FROM m", true),
        (
            "CREATE TABLE made AS SELECT 'm'::regclass::text AS r, 'm'::regclass::oid AS o, pg_typeof(1)::text AS t",
            false,
        ),
    ] {
        let error = tide.batch_execute(query).await.err();
        let code = error
            .as_ref()
            .and_then(|error| error.code())
            .map(|code| code.code().to_string());
        assert_eq!(
            code.as_deref(),
            refused.then_some("0A000"),
            "{query}: {error:?}"
        );
    }
}
