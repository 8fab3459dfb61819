//! WITH: queries of volatile functions, which are computed once however often they are named; what recursion may not say.

use crate::pair::Pair;
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn volatile_queries_in_with_are_computed_once() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (4);
         CREATE VIEW v AS WITH s AS (SELECT random() n FROM t) SELECT x.n AS a, y.n AS b FROM s x, s y;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT count(*) FROM (WITH q(x) AS (SELECT random() FROM generate_series(1, 5)) SELECT * FROM q UNION SELECT * FROM q) s",
            "WITH u AS (SELECT gen_random_uuid() id FROM t) SELECT count(*) FROM u x JOIN u y ON x.id = y.id",
            "WITH s AS (SELECT random() n FROM t) SELECT (SELECT max(n) FROM s) > (SELECT min(n) FROM s) AS a, (SELECT sum(n) FROM s) = (SELECT sum(n) FROM s) AS b",
            "WITH s AS (SELECT random() n, a FROM t), w AS (SELECT n + 1 n, a FROM s) SELECT x.n - y.n AS n, EXISTS (SELECT FROM w WHERE w.n = x.n) AS e, x.n IN (SELECT n FROM w) AS i FROM w x JOIN w y USING (a)",
            "WITH s AS (SELECT random() r FROM t), w AS (SELECT s.r, t.r AS q FROM s, s t) SELECT count(DISTINCT r) FROM (SELECT r FROM w UNION ALL SELECT q FROM w UNION ALL SELECT r FROM s) x",
            "WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 5), s AS (SELECT random() r FROM w) SELECT count(*) FROM s x JOIN s y USING (r)",
            "WITH s AS (SELECT random() r FROM t) SELECT (SELECT count(*) FROM s WHERE s.r = o.r) FROM s o",
            "SELECT count(DISTINCT a), count(DISTINCT b), count(*) FROM v",
            "SELECT count(*) FROM v x JOIN v y ON x.a = y.a",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &["WITH s AS (SELECT random() r, 1 / (a - 4) FROM t) SELECT count(*) FROM s x, s y"],
    )
    .await;
    pair.run(
        "CREATE SEQUENCE q; CREATE TABLE made (n bigint, m bigint);
         INSERT INTO made WITH s AS (SELECT nextval('q') n FROM t) SELECT x.n, y.n FROM s x JOIN s y ON x.n = y.n;
         PREPARE p (int) AS INSERT INTO made WITH s AS (SELECT nextval('q') n FROM t WHERE a < $1) SELECT x.n, y.n FROM s x JOIN s y USING (n);
         EXECUTE p(3); EXECUTE p(5);",
    );
    pair.same("SELECT n, m, (SELECT last_value FROM q) FROM made ORDER BY n");
    let cursor = "BEGIN; DECLARE c CURSOR FOR WITH s AS (SELECT random() r FROM t) SELECT count(*) FROM s x JOIN s y USING (r); FETCH ALL FROM c; COMMIT";
    pair.same(cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn recursion_names_itself_only_where_it_ends() {
    let pair = Pair::start();
    pair.run("CREATE TABLE e (a int, b int); INSERT INTO e VALUES (1, 2), (2, 3), (3, 4);");
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT count(*) FROM x) SELECT * FROM x",
            "WITH RECURSIVE x(id) AS (VALUES (1) UNION ALL SELECT (SELECT * FROM x) FROM x WHERE id < 5) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n IN (SELECT n FROM x)) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x ORDER BY 1) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x LIMIT 10) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x LIMIT 10 OFFSET 1) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT x.n + 1 FROM e LEFT JOIN x ON x.n = e.a WHERE n < 10) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT x.n + 1 FROM x RIGHT JOIN e ON x.n = e.a WHERE n < 10) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT x.n + 1 FROM x FULL JOIN e ON x.n = e.a WHERE n < 10) SELECT * FROM x",
            "WITH RECURSIVE x(n) AS (SELECT n FROM x UNION ALL SELECT n FROM x) SELECT * FROM x",
        ],
    )
    .await;
    all_same(
        &tide,
        &pg,
        &[
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT x.n + 1 FROM x LEFT JOIN e ON x.n = e.a WHERE n < 10) SELECT sum(n), count(*) FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM (SELECT n FROM x) q WHERE n < 5) SELECT sum(n) FROM x",
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < (SELECT max(b) FROM e)) SELECT sum(n) FROM x",
            "WITH RECURSIVE x(n) AS (SELECT max(a) FROM e UNION ALL (SELECT n + 1 FROM x WHERE n < 8)) SELECT sum(n) FROM x",
            "WITH RECURSIVE y(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM y WHERE n < 3), x(n) AS (SELECT 1::bigint UNION ALL SELECT (SELECT count(*) FROM y) FROM x WHERE n < 2) SELECT sum(n) FROM x",
        ],
    )
    .await;
}
