//! Functions that return sets in a select list, rows that outer joins fill up, and what the first row tells.

use tokio_postgres::types::ToSql;

use crate::pair::{Pair, binary, same_answers};
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_spread_after_rows_are_sorted() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (4, 'z');");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT a, generate_series(1, 2) g FROM t ORDER BY -a LIMIT 3",
            "SELECT a, generate_series(1, 3) g FROM t ORDER BY a DESC OFFSET 1 LIMIT 5",
            "SELECT *, generate_series(1, 2) FROM t ORDER BY a DESC LIMIT 3",
            "SELECT a, unnest(ARRAY['p', 'q', NULL]), generate_series(1, 2) FROM t ORDER BY a DESC LIMIT 4",
            "SELECT a, jsonb_array_elements('[3, 1, 2]') FROM t ORDER BY a DESC LIMIT 4",
            "SELECT b, count(*), generate_series(1, 2) FROM t GROUP BY b ORDER BY count(*), b DESC LIMIT 4",
            "SELECT b, row_number() OVER (ORDER BY a), generate_series(1, 2) FROM t ORDER BY b DESC LIMIT 4",
            "WITH w AS (SELECT * FROM t) SELECT a, generate_series(1, a) * 10 AS g FROM w ORDER BY b DESC LIMIT 5",
            "SELECT * FROM (SELECT a, generate_series(1, 2) g FROM t ORDER BY a DESC LIMIT 3) q ORDER BY 1, 2",
            // By what is not shown.
            "SELECT generate_series(1, 2) g FROM t ORDER BY a DESC",
            "SELECT a, generate_series(1, 2) AS a FROM t ORDER BY b DESC LIMIT 4",
            "SELECT generate_series(1, 2) FROM t ORDER BY a % 2, b DESC LIMIT 5",
            // By elements: spread first.
            "SELECT a, generate_series(1, 2) g FROM t ORDER BY g, a LIMIT 4",
            "SELECT a, generate_series(1, 2) g FROM t ORDER BY 2 DESC, 1 LIMIT 4",
            "SELECT DISTINCT a, generate_series(1, 2) g FROM t ORDER BY a, g LIMIT 3",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_leaves_out_the_first_rows_of_its_own_order() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, g int, a int);
         INSERT INTO t SELECT i, (i * 37) % 200, i FROM generate_series(1, 200) i;",
    );
    pair.tide.peer().run("CALL tidelog.flush('t');");
    pair.run("UPDATE t SET a = -a WHERE id % 10 = 0;");
    let (tide, pg) = pair.connect().await;
    let last = "(SELECT a FROM t ORDER BY g OFFSET 190)";
    for query in [
        // What stands around it has no order, or another one.
        "SELECT max(a), count(*) FROM {last} q",
        "SELECT a % 3, sum(a) FROM {last} q GROUP BY 1 ORDER BY 1",
        "SELECT DISTINCT a % 3 FROM {last} q ORDER BY 1",
        "SELECT * FROM {last} q ORDER BY a",
        "SELECT * FROM (SELECT a, g FROM t ORDER BY g OFFSET 190) q ORDER BY a DESC LIMIT 2",
        "SELECT * FROM {last} q WHERE a % 2 = 0 ORDER BY a",
        "SELECT a, row_number() OVER (ORDER BY a) FROM {last} q",
        "SELECT a, g, sum(a) OVER (PARTITION BY g % 2 ORDER BY a) FROM (SELECT a, g FROM t ORDER BY g OFFSET 190) q ORDER BY a",
        "SELECT q.a, t.g FROM {last} q JOIN t ON q.a = t.id ORDER BY 1",
        "SELECT t.g, q.a FROM t LEFT JOIN {last} q ON q.a = t.id WHERE t.g > 190 ORDER BY 1",
        "SELECT count(*), max(q.a), max(r.a) FROM (SELECT a FROM t ORDER BY -g OFFSET 10) q JOIN (SELECT a FROM t ORDER BY g OFFSET 10) r ON q.a = r.a",
        "{last} UNION SELECT 1 ORDER BY 1",
        "{last} EXCEPT SELECT 27 ORDER BY 1",
        "SELECT a FROM ({last} UNION ALL (SELECT a FROM t ORDER BY -g OFFSET 195)) r ORDER BY a",
        "{last} INTERSECT (SELECT a FROM t ORDER BY g DESC OFFSET 5) ORDER BY 1 OFFSET 3",
        "WITH w AS {last} SELECT max(a) FROM w",
        "WITH w AS {last} SELECT count(*), sum(w.a) FROM w, w x WHERE w.a <= x.a",
        "SELECT (SELECT max(a) FROM {last} z), count(*) FROM t",
        "SELECT a FROM t WHERE a IN {last} ORDER BY 1",
        "SELECT ARRAY {last}",
        // One in the other, and what stands between an OFFSET and its order.
        "SELECT max(a) FROM (SELECT a FROM (SELECT a, g FROM t ORDER BY g OFFSET 10) p ORDER BY -g OFFSET 180) q",
        "SELECT max(a), min(a) FROM (SELECT a FROM (SELECT a, g FROM t ORDER BY g OFFSET 10) p ORDER BY -g OFFSET 10) q",
        "SELECT max(a), sum(x) FROM (SELECT a, generate_series(1, 2) x FROM t ORDER BY g OFFSET 385) q",
        "SELECT a FROM (SELECT a FROM (SELECT * FROM t ORDER BY g) q WHERE id > 150 OFFSET 45) q ORDER BY a",
        "SELECT a, r FROM (SELECT a, rank() OVER (ORDER BY a DESC) r FROM t ORDER BY g OFFSET 195) q ORDER BY a",
        "SELECT m, sum(c) FROM (SELECT id % 7 m, count(*) c FROM t GROUP BY 1 ORDER BY 1 DESC OFFSET 5) q GROUP BY 1 ORDER BY 1",
        // It keeps its order.
        "SELECT array_agg(a), string_agg(a::text, '') FROM {last} q",
        "SELECT a + 1 FROM {last} q",
        // OFFSET in other forms.
        "SELECT max(a) FROM (SELECT a FROM t ORDER BY g OFFSET (SELECT 190)) q",
        "SELECT max(a) FROM (SELECT a FROM t ORDER BY g LIMIT NULL OFFSET 190) q",
        "SELECT max(a) FROM (SELECT a FROM t ORDER BY g OFFSET 190 FETCH FIRST 5 ROWS ONLY) q",
        "SELECT max(a) FROM (SELECT a FROM t WHERE id IN (1, 2, 3, 4) ORDER BY g DESC OFFSET 2) q",
    ] {
        same_answers(&tide, &pg, query.replace("{last}", last)).await;
    }
    let query = "SELECT max(a) FROM (SELECT a FROM t ORDER BY g LIMIT $2 OFFSET $1) q";
    for (offset, limit) in [(190, None), (190, Some(3)), (191, None), (0, None)] {
        let parameters: [&(dyn ToSql + Sync); 2] = [&offset, &limit];
        let (found, expected) = (
            binary(&tide, query, &parameters),
            binary(&pg, query, &parameters),
        );
        let (offset, limit): (i64, Option<i64>) = (offset, limit);
        assert_eq!(found.await, expected.await, "{offset} {limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn series_alone_and_arrays_of_several_dimensions() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            // More than would be held in memory.
            "SELECT generate_series(1, 100000000000) LIMIT 3",
            "SELECT generate_series(1, 1000000000) AS x, 'a' AS k LIMIT 2",
            "SELECT generate_series(5, 1, -2), 7 AS k ORDER BY 1",
            "SELECT generate_series(1, 3), count(*)",
            "SELECT generate_series(1, 3), generate_series(1, 2)",
            "SELECT generate_series(1, 3) WHERE false",
            "SELECT sum(x), pg_typeof(max(x)) FROM (SELECT generate_series(1, 3) x) s",
            "SELECT * FROM unnest(ARRAY[[1, 2], [3, 4]]) WITH ORDINALITY",
            "SELECT * FROM unnest(ARRAY[[1, 2], [3, 4]], ARRAY['a', 'b']) WITH ORDINALITY AS t (a, b, n)",
            "SELECT unnest(ARRAY[[[1], [2]], [[3], [4]]]) + 1, unnest(ARRAY[ARRAY[5, 6], ARRAY[7, NULL]]::bigint[])",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_rows_that_an_outer_join_did_not_find() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE q (a int8, b int8); INSERT INTO q VALUES (1, 2), (1, 3), (3, 1), (NULL, NULL);
         CREATE TABLE k (id int PRIMARY KEY, x int); INSERT INTO k VALUES (1, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT l.b, count(r.*), count(r) FROM q l LEFT JOIN q r ON l.b = r.a GROUP BY 1 ORDER BY 1",
            "SELECT l.b, count(DISTINCT r.*), count(DISTINCT r), count(r.*) FILTER (WHERE l.a > 0) FROM q l LEFT JOIN q r ON l.b = r.a GROUP BY 1 ORDER BY 1",
            "SELECT l.b, count(k.*), count(k), count(DISTINCT k.*) FROM q l LEFT JOIN k ON l.b = k.id GROUP BY 1 ORDER BY 1",
            "SELECT count(v.*) FROM q LEFT JOIN (VALUES (1, 2)) v (a, b) ON q.b = v.a",
            "SELECT l.b, to_json(r)::text, row_to_json(r.*)::text, to_jsonb(r) FROM q l LEFT JOIN q r ON l.b = r.a ORDER BY 1, r.b",
            "SELECT l.b, json_agg(r ORDER BY r.b)::text, json_agg(r.* ORDER BY r.b) FILTER (WHERE r.a IS NOT NULL)::text, jsonb_agg(r.* ORDER BY r.b) FROM q l LEFT JOIN q r ON l.b = r.a GROUP BY 1 ORDER BY 1",
            "SELECT l.b, to_json(k)::text, k::text FROM q l LEFT JOIN k ON l.b = k.id ORDER BY 1",
            "SELECT to_json(q)::text FROM q ORDER BY a, b",
            "SELECT count(q), count(q.*) FROM q",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_row_tells_whether_there_is_one() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2);");
    let (tide, pg) = pair.connect().await;
    let endless = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)";
    for query in [
        "SELECT EXISTS (SELECT FROM r WHERE n = 100)",
        "SELECT NOT EXISTS (SELECT FROM r WHERE n = 100), a FROM t ORDER BY a",
        "SELECT a FROM t WHERE EXISTS (SELECT FROM r WHERE n = 100) ORDER BY a",
        "SELECT a FROM t WHERE NOT EXISTS (SELECT FROM r WHERE n = 100) OR a = 1",
        "SELECT a, EXISTS (SELECT FROM t u WHERE u.a > t.a AND EXISTS (SELECT FROM r)) FROM t ORDER BY a",
    ] {
        same_answers(&tide, &pg, format!("{endless} {query}")).await;
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT a FROM t WHERE EXISTS (SELECT FROM t WHERE a = 3) ORDER BY a",
            "SELECT a FROM t WHERE NOT EXISTS (SELECT FROM t WHERE a = 3) ORDER BY a",
            "SELECT EXISTS (SELECT FROM t LIMIT 0), EXISTS (SELECT FROM t OFFSET 2), EXISTS (SELECT count(*) FROM t WHERE false)",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_expressions_are_sorted_by_and_columns_are_keys_once() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int PRIMARY KEY, ty text, n int); INSERT INTO t VALUES (1, 'B', 3), (2, 'a', 1), (3, 'b', 2);");
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT DISTINCT lower(ty) FROM t ORDER BY lower(ty)",
        "SELECT DISTINCT n + 1 FROM t ORDER BY n + 1 DESC",
        "SELECT DISTINCT replace(ty, 'a', 'z') AS alias_0, t.id FROM t ORDER BY replace(ty, 'a', 'z'), t.id LIMIT 2",
        "SELECT DISTINCT count(*) FROM t GROUP BY lower(ty) ORDER BY count(*)",
        "SELECT DISTINCT CASE WHEN n > 1 THEN 1 ELSE 0 END FROM t ORDER BY CASE WHEN n > 1 THEN 1 ELSE 0 END NULLS FIRST",
        "SELECT DISTINCT t.*, lower(ty) AS l FROM t ORDER BY l, id",
        "SELECT id, ty FROM t GROUP BY id, id ORDER BY 1",
        "SELECT ty, id FROM t GROUP BY ty, id, id, ty ORDER BY 1",
        "SELECT t.id FROM t GROUP BY t.id, id ORDER BY 1",
        "SELECT id, id AS again, n FROM t GROUP BY 1, 2, n ORDER BY 1",
        "SELECT a.id, b.id AS other FROM t a, t b GROUP BY a.id, b.id, a.id ORDER BY 1, 2",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    let refused = ["SELECT DISTINCT lower(ty) FROM t ORDER BY upper(ty)"];
    all_refused(&tide, &pg, &refused).await;
}
