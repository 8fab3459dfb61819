//! What DataFusion's rules make of queries otherwise than PostgreSQL would: each query here had another answer, or none.

use tokio_postgres::Client;

use crate::pair::{Pair, same_answers, same_outcome};

const ROWS: &str = "CREATE TABLE t (id int PRIMARY KEY, x int, n numeric(8, 2), p numeric, f float8, t text, k int NOT NULL);
     CREATE TABLE u (id int PRIMARY KEY, x int);
     INSERT INTO t VALUES (1, 0, 0, 0, 0, '1', 1), (2, 1, 1, 1.0, 1, '2', 1), (3, 2, 2.5, 1, 'NaN', 'x', 2);
     INSERT INTO u VALUES (1, 0), (2, 1), (5, 2);";
const MORE: &str = "INSERT INTO t VALUES (4, NULL, NULL, NULL, NULL, NULL, 2), (5, 0, 0.5, 0.0, '-0', '', 3), (6, 3, 1.5, 100, 'Infinity', '10', 3);";

/// Rows of both tiers.
fn start() -> Pair {
    let pair = Pair::start();
    pair.run(ROWS);
    pair.tide.peer().run("CALL tidelog.flush('t');");
    pair.run(MORE);
    pair
}

async fn all_same(tide: &Client, pg: &Client, queries: &[&str]) {
    for query in queries {
        same_answers(tide, pg, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_keep_others_from_failing() {
    let pair = start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id FROM t WHERE x <> 0 AND 10 / x > 1 ORDER BY id",
            "SELECT id FROM t WHERE x > 0 AND 10 / x > 1 ORDER BY id",
            "SELECT id FROM t WHERE n > 0 AND p <> 0 AND f <> 0 AND 10 / n > 1 AND 10 / p > 0 AND 10 / f > 0 ORDER BY id",
            "SELECT id FROM t WHERE x = 0 OR 10 / x > 3 ORDER BY id",
            "SELECT id FROM t WHERE NOT (x = 0 OR 10 / x <= 3) ORDER BY id",
            "SELECT id FROM t WHERE x IS NULL OR x = 0 OR 10 / x > 4 ORDER BY id",
            "SELECT id FROM t WHERE x IS NOT NULL AND (x = 0 OR 10 / x > 4) AND id < 5 ORDER BY id",
            "SELECT id FROM t WHERE id > 1 AND (x = 0 OR (k = 3 AND (x <> 0 AND 10 / x > 2))) ORDER BY id",
            "SELECT id, x <> 0 AND 10 / x > 3, x = 0 OR 10 / x > 3, x > 5 AND 10 / (x - x) > 1 FROM t ORDER BY id",
            "SELECT id, CASE WHEN x <> 0 THEN 10 / x > 3 ELSE true END, CASE WHEN x = 0 THEN false ELSE 10 / x > 1 END FROM t ORDER BY id",
            "SELECT id FROM t WHERE CASE WHEN x <> 0 THEN 10 / x > 3 ELSE true END ORDER BY id",
            "SELECT id FROM t WHERE CASE WHEN x = 0 THEN false WHEN 10 / x > 3 THEN true ELSE false END",
            "SELECT id FROM t WHERE t ~ '^\\d+$' AND t::int > 1 ORDER BY id",
            "SELECT * FROM (SELECT id, t::int AS v FROM t WHERE t ~ '^\\d+$') q WHERE v > 1 ORDER BY id",
            "WITH q AS MATERIALIZED (SELECT id, t FROM t WHERE t ~ '^\\d+$') SELECT * FROM q WHERE t::int > 1 ORDER BY id",
            "SELECT id FROM t WHERE length(t) < 3 AND substr(t, 1, 1) = '1' AND t::int > 0 ORDER BY id",
            "SELECT id FROM t WHERE x < 0 AND x + 2147483647 > 0",
            "SELECT id FROM t WHERE x BETWEEN 1 AND 2 AND 10 / x IN (5, 10) ORDER BY id",
            "SELECT k, min(x) FROM t GROUP BY k HAVING min(x) <> 0 AND 10 / min(x) > 1 ORDER BY k",
            "SELECT a.id, b.id FROM t a JOIN u b ON a.id = b.id AND b.x <> 0 AND a.x / b.x >= 0 ORDER BY 1, 2",
            "SELECT a.id, b.id FROM t a LEFT JOIN u b ON a.id = b.id AND b.x <> 0 AND a.x / b.x >= 0 ORDER BY 1, 2",
            "SELECT a.id, b.id FROM t a JOIN u b ON b.x <> 0 AND a.x / b.x >= 1 ORDER BY 1, 2",
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND u.x <> 0 AND 10 / u.x > 1) ORDER BY id",
            "SELECT id FROM t WHERE id IN (SELECT id FROM u WHERE x <> 0 AND 10 / x > 1) ORDER BY id",
            "SELECT sum(10 / x) FILTER (WHERE x <> 0), max(10 / x) FILTER (WHERE x <> 0), count(10 / x) FILTER (WHERE x > 1) FROM t",
            "SELECT k, sum(10 / x) FILTER (WHERE x <> 0), count(DISTINCT 10 / x) FILTER (WHERE x <> 0) FROM t GROUP BY k ORDER BY k",
            "SELECT array_agg(10 / x ORDER BY 10 / x, id) FILTER (WHERE x <> 0) FROM t",
            "SELECT id, sum(10 / x) FILTER (WHERE x <> 0) OVER (ORDER BY id) FROM t ORDER BY id",
            "SELECT sum(CASE WHEN x <> 0 AND 10 / x > 3 THEN 1 ELSE 0 END) FROM t",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let guarded = "SELECT id FROM t WHERE x <> $1 AND 10 / x > $2 ORDER BY id";
        let statement = client.prepare(guarded).await.unwrap();
        for _ in 0..3 {
            let rows = client.query(&statement, &[&0_i32, &3_i32]).await.unwrap();
            let ids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(ids, [2, 3]);
        }
        let within = "SELECT id FROM (SELECT id, t FROM t WHERE t ~ $1 OFFSET $2) q WHERE t::int > $3 ORDER BY id";
        let rows = client.query(within, &[&"^\\d+$", &0_i64, &1_i32]).await;
        let ids: Vec<i32> = rows.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [2, 6]);
        let checked = "CREATE TABLE c (a int, b int, CHECK (b = 0 OR a / b > 1), g bool GENERATED ALWAYS AS (b <> 0 AND a / b > 2) STORED);
             INSERT INTO c VALUES (1, 0), (4, 2), (9, 3); UPDATE c SET b = 0 WHERE b <> 0 AND a / b > 2;
             DELETE FROM c WHERE b <> 0 AND a / b > 1";
        client.batch_execute(checked).await.unwrap();
    }
    all_same(&tide, &pg, &["SELECT * FROM c ORDER BY a"]).await;
    // What stands before fails as ever.
    for query in [
        "SELECT id FROM t WHERE x = 0 AND 10 / x > 1",
        "SELECT sum(10 / x) FILTER (WHERE x >= 0) FROM t",
    ] {
        same_outcome(&tide, &pg, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_what_windows_give() {
    let pair = start();
    let (tide, pg) = pair.connect().await;
    let frames = [
        "ORDER BY id",
        "ORDER BY id DESC",
        "ORDER BY x, id",
        "ORDER BY x NULLS FIRST, id",
        "ORDER BY x DESC, id",
        "ORDER BY x, id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        "ORDER BY x NULLS FIRST, id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        "ORDER BY x DESC, id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
        "ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
        "ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
        "PARTITION BY k ORDER BY x DESC, id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        "PARTITION BY k ORDER BY id",
        "PARTITION BY k",
    ];
    for frame in frames {
        for call in ["min(x)", "max(x)", "count(x)", "sum(x)", "max(t)", "min(n)"] {
            for order in ["m", "m DESC", "m NULLS FIRST", "m DESC NULLS LAST", "k, m"] {
                let query = format!(
                    "SELECT k, {call} OVER ({frame}) AS m FROM t ORDER BY {order}, k LIMIT 5"
                );
                same_answers(&tide, &pg, &query).await;
            }
        }
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT max(x) OVER (ORDER BY x DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM t WHERE x > 0 ORDER BY m",
            "SELECT min(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM t ORDER BY m DESC",
            "SELECT id FROM (SELECT id, max(x) OVER (ORDER BY id DESC) AS m FROM t) q ORDER BY m, id LIMIT 3",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_each_time_is_computed_where_it_stands() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE g (id int PRIMARY KEY, t bool NOT NULL, k int);
         INSERT INTO g SELECT i, true, i % 10 FROM generate_series(1, 1000) i;
         CREATE SEQUENCE s;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT min(c), max(c) FROM (SELECT id, count(*) OVER () AS c FROM g) q WHERE random() < 0.5",
            "SELECT min(c), max(c) FROM (SELECT k, count(*) AS c FROM g GROUP BY k) q WHERE random() < 0.99",
            "SELECT min(c), max(c) FROM (SELECT k, count(*) AS c FROM g GROUP BY k HAVING random() < 0.99) q",
            "SELECT count(*) BETWEEN 150 AND 350 FROM (SELECT * FROM g WHERE random() < 0.5) q WHERE random() < 0.5",
            "SELECT count(DISTINCT a.id), count(DISTINCT b.id) FROM g a JOIN g b ON a.k = 1 AND b.k = 2 WHERE random() < 0.5",
            "SELECT count(DISTINCT a.id), count(DISTINCT b.id) FROM g a JOIN g b ON a.k = 1 AND b.k = 2 AND random() < 0.5",
            "SELECT count(DISTINCT a.id), count(DISTINCT b.id) FROM g a, g b WHERE a.k = 1 AND b.k = 2 AND random() < 0.5",
            "SELECT count(DISTINCT a.id), count(DISTINCT b.id) FROM g a LEFT JOIN g b ON a.k = b.k AND random() < 0.5",
            "SELECT count(*) BETWEEN 850 AND 950 FROM g a JOIN g b ON a.id = b.id WHERE a.id * 0 + 0.9 > random()",
            "SELECT count(DISTINCT id) > 650 FROM (SELECT unnest(ARRAY[1, 2]) AS u, id FROM g) q WHERE random() < 0.5",
            "SELECT count(*) FROM g WHERE CASE WHEN random() < 0.5 THEN t ELSE t END",
            "SELECT count(*) FROM (SELECT CASE WHEN random() < 0.5 THEN t ELSE t END AS v FROM g) q WHERE v",
            "SELECT count(*) FROM (SELECT DISTINCT a.k, random() FROM g a JOIN (SELECT k FROM g WHERE id <= 20) b ON a.k = b.k) q",
            "SELECT count(*) FROM (SELECT a.k, random() FROM g a LEFT JOIN (SELECT k FROM g WHERE id <= 20) b ON a.k = b.k GROUP BY 1, 2) q",
            "SELECT max(r) < 0.5 FROM (SELECT r FROM (SELECT id, random() AS r FROM g) q WHERE r < 0.5 AND id < 500) z",
            // Columns that nobody needs, but what their functions do.
            "SELECT count(*) FROM (SELECT nextval('s') FROM generate_series(1, 5)) q",
            "SELECT currval('s')",
            "SELECT id FROM (SELECT id, nextval('s') FROM g) q WHERE id < 3 ORDER BY id",
            "SELECT currval('s')",
            "SELECT count(*) FROM (SELECT pg_advisory_lock(1) FROM g WHERE id = 1) q",
            "SELECT pg_advisory_unlock(1)",
            "WITH l AS (SELECT pg_advisory_lock(2)) SELECT g.id FROM g, l WHERE g.id = 1",
            "SELECT pg_advisory_unlock(2)",
            // A number of each row, though it is made of constants.
            "SELECT nextval('s') AS n FROM generate_series(1, 4) ORDER BY n DESC",
            "SELECT n, row_number() OVER (ORDER BY n DESC) FROM (SELECT nextval('s') AS n FROM generate_series(1, 4)) q ORDER BY n",
            "SELECT count(*) FROM (SELECT id FROM g ORDER BY random() LIMIT 10) q",
            "SELECT count(*) FROM (SELECT id FROM g ORDER BY random() OFFSET 10 LIMIT 10) q",
            "SELECT EXISTS (SELECT id FROM g ORDER BY random() LIMIT 1)",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_names_of_the_rules_own() {
    let pair = start();
    pair.run(
        "CREATE TABLE e (id int PRIMARY KEY, v int, alias1 int, alias2 int, group_alias_0 int);
         INSERT INTO e VALUES (1, 1, 1, 5, 1), (2, 2, 1, 6, 2), (3, 2, 2, 7, 2), (4, NULL, 2, 8, 2);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT * FROM (SELECT 1 AS a UNION ALL SELECT 2) q OFFSET 1 LIMIT 9223372036854775807",
            "SELECT t.id, u.id FROM t, u ORDER BY 1, 2 OFFSET 15 LIMIT 9223372036854775807",
            "SELECT count(*) FROM (SELECT t.id FROM t, u OFFSET 15 LIMIT 9223372036854775807) q",
            "SELECT count(*) FROM (SELECT t.id FROM t LEFT JOIN u ON t.id = u.id OFFSET 9223372036854775807 LIMIT 9223372036854775807) q",
            "SELECT DISTINCT k FROM t ORDER BY k OFFSET 1 LIMIT 9223372036854775807",
            "SELECT DISTINCT k FROM t ORDER BY k LIMIT 2147483647",
            "SELECT k, max(x) FROM t GROUP BY k ORDER BY max(x) DESC NULLS LAST LIMIT 2147483647",
            "SELECT count(*) FROM (SELECT k FROM t GROUP BY k ORDER BY k OFFSET 1 LIMIT 9223372036854775807) q",
            "SELECT alias1, count(DISTINCT v), max(alias2) FROM e GROUP BY alias1 ORDER BY 1",
            "SELECT group_alias_0, alias1 + 1, count(DISTINCT v) FROM e GROUP BY group_alias_0, alias1 + 1 ORDER BY 1, 2",
            "SELECT sum(DISTINCT f), count(DISTINCT f) FROM t WHERE id < 6",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let wanted = "SELECT DISTINCT k FROM t ORDER BY k OFFSET $1 LIMIT $2";
        let rows = client.query(wanted, &[&1_i64, &i64::MAX]).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(),
            [2, 3]
        );
    }
    let counted = "SELECT regr_count(DISTINCT k, k) FROM t";
    let error = tide.batch_execute(counted).await.expect_err(counted);
    assert_eq!(error.code().map(|code| code.code()), Some("0A000"));
}
