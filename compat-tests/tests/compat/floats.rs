//! Floats: beside numerics, as smaller floats and integers, in moving sums.

use crate::pair::{Pair, same_answers, same_outcome};
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn floats_beside_numerics() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE n (x numeric); CREATE TABLE f (x float8); CREATE TABLE m (x numeric, i int, t interval);
         INSERT INTO n VALUES (1), (1.000000000000000000001), (1.0), (2), (3), (NULL);
         INSERT INTO f VALUES (1), (2), (3), (4);
         INSERT INTO m VALUES (1.00, 1, '1 mon'), (2, 2, '30 days'), (5, 5, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT CASE 1 WHEN 1.0::numeric THEN 4 END, CASE 85 WHEN avg(3) THEN 4 END, CASE count(*) WHEN avg(3) THEN 4 ELSE 5 END",
            "SELECT CASE x WHEN 2.5::float8 THEN 4 WHEN 1 THEN 6 END FROM (VALUES (1::numeric), (2.5)) v(x)",
            "SELECT CASE x WHEN 1 THEN 'one' WHEN 2.0 THEN 'two' WHEN 3::float8 THEN 'three' ELSE 'many' END FROM generate_series(1, 4) x",
            "SELECT CASE interval '1 mon' WHEN '30 days' THEN 1 END, CASE date '2024-01-01' WHEN '2024-01-01' THEN 1 END",
            "SELECT 1::numeric IN (1::float8, 1::numeric), 1::numeric IN (1::float4, 2), 1::numeric IN (2::float8)",
            "SELECT 1.1::float4 IN (1.1::numeric), 1.1::float4 IN (1.1::numeric, 2), 1.1::float4 IN (1.1, 2), 1.1::float4 IN (1.1)",
            "SELECT 1::numeric BETWEEN 1::float8 AND 1::float8, 1::numeric NOT BETWEEN 1::float4 AND 2, 3 NOT BETWEEN 1.5 AND 2::float8",
            "SELECT 1.1::float4 BETWEEN 1 AND 1.1, 5 BETWEEN '1' AND '9', date '2024-01-01' BETWEEN '2023-01-01' AND '2025-01-01'",
            "SELECT x FROM f WHERE x IN (SELECT x FROM n) ORDER BY 1",
            "SELECT x, x IN (SELECT x FROM n) AS open, x IN (SELECT x FROM n WHERE x IS NOT NULL) AS closed FROM f ORDER BY 1",
            "SELECT x FROM m WHERE x IN (SELECT x FROM n) ORDER BY 1",
            "SELECT i FROM m WHERE i IN (SELECT x FROM n) ORDER BY 1",
            "SELECT i FROM m WHERE t IN (SELECT t FROM m) ORDER BY 1",
            "SELECT i FROM m WHERE x NOT IN (SELECT x FROM f) ORDER BY 1",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT CASE 1 WHEN 'a' THEN 2 END",
            "SELECT CASE 1 WHEN true THEN 2 END",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_as_smaller_numbers() {
    let pair = Pair::start();
    pair.run("CREATE TABLE f (a float4, i int8); INSERT INTO f VALUES (1.5, 1), (0, 2);");
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "INSERT INTO f (a) VALUES ('10e70'::float8)",
            "INSERT INTO f (a) VALUES ('10e-70'::float8)",
            "INSERT INTO f (a) SELECT 1e70::float8",
            "UPDATE f SET a = 1e70::float8",
            "UPDATE f SET a = 1e-70::float8 WHERE a = 0",
            "SELECT 'nan'::float8::int8",
            "SELECT '9223372036854775807'::float8::int8",
            "SELECT 32767.5::float8::int2",
        ],
    )
    .await;
    pair.run(
        "INSERT INTO f VALUES ('inf'::float8, '9223369837831520256'::float4), ('nan'::float8, 3);",
    );
    all_same(
        &tide,
        &pg,
        &[
            "SELECT a, i FROM f ORDER BY 1",
            "SELECT '9223369837831520256'::float4::int8 AS a, '9223372036854773760'::float8::int8 AS b, '-9223372036854775808.5'::float8::int8 AS c",
            "SELECT 2.5::float8::int4 AS a, -3.5::float8::int2 AS b",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_sums_of_floats_forget_what_left_them() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (i int PRIMARY KEY, n float8, r float4);
         INSERT INTO t VALUES (1, 1e20, 1e10), (2, 1, 1), (3, 'Infinity', 'NaN'), (4, 3, 5), (5, 1, 7), (6, NULL, NULL), (7, NULL, 2);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT i, sum(n) OVER w, sum(r) OVER w, avg(n) OVER w, avg(r) OVER w FROM t WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY 1",
            "SELECT i, sum(n) OVER w, count(n) OVER w, regr_count(n, i) OVER w FROM t WINDOW w AS (ORDER BY i ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING) ORDER BY 1",
            "SELECT i, stddev(n) OVER w, var_pop(n) OVER w, covar_pop(n, i) OVER w FROM t WHERE i <> 3 WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY 1",
            "SELECT i, sum(n) FILTER (WHERE n > 1) OVER (ORDER BY i RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM t ORDER BY 1",
            "SELECT i, sum(i::float8) OVER (PARTITION BY i % 3 ORDER BY i ROWS BETWEEN 50 PRECEDING AND 50 FOLLOWING) FROM generate_series(1, 2000) i ORDER BY i",
        ],
    )
    .await;
}

#[test]
fn nan_is_one_value_and_zero_has_no_sign() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE f (id int PRIMARY KEY, x float8, y float4);
         INSERT INTO f VALUES (1, 0, 0), (2, 'inf', 'inf'), (3, 'NaN', 'NaN'), (4, -1, 2), (5, '-inf', '-inf'), (6, '-0', '-0');",
    );
    pair.tide.peer().run("CALL tidelog.flush('f');");
    pair.run("INSERT INTO f SELECT 7, x - x, y - y FROM f WHERE id = 2;");
    // As text: PostgreSQL sends the sign of a NaN in binary, which no value has.
    for query in [
        // What processors compute is a negative NaN.
        "SELECT id, x - x, x * 0, x - x = 'NaN', x - x > 5, -x, -(x - x) = 'NaN' FROM f ORDER BY id",
        "SELECT id FROM f ORDER BY x - x, id",
        "SELECT id FROM f ORDER BY -(y - y) DESC, id",
        "SELECT x - x, count(*) FROM f GROUP BY 1 ORDER BY 1",
        "SELECT max(x - x), min(x * 0), count(DISTINCT x - x), count(DISTINCT -y) FROM f",
        "SELECT sum(x), avg(x), sum(y), stddev(x), sum(x) = 'NaN', avg(y) = 'NaN' FROM f",
        "SELECT g, rank() OVER (ORDER BY g) FROM (SELECT sum(x) AS g FROM f GROUP BY id % 3) q ORDER BY 2",
        "SELECT a.id, b.id FROM f a JOIN f b ON a.x - a.x = b.x ORDER BY 1, 2",
        "SELECT id FROM f WHERE x = 'NaN' ORDER BY id",
        "SELECT id FROM f WHERE x - x IN ('NaN', 3) ORDER BY id",
        "SELECT x FROM f INTERSECT SELECT x - x FROM f WHERE id <> 4 ORDER BY 1",
        // -0 is 0.
        "SELECT id FROM f WHERE x IN (0, 5) ORDER BY id",
        "SELECT id FROM f WHERE y NOT IN (0, 5) ORDER BY id",
        "SELECT id FROM f WHERE -x IN (0.0, 5) OR x * -1 IN (0::float8) ORDER BY id",
        "SELECT id, count(*) OVER (PARTITION BY x), count(*) OVER (PARTITION BY y) FROM f ORDER BY id",
        "SELECT x FROM (VALUES (0::float8), ('-0')) v (x) EXCEPT ALL SELECT '-0'::float8",
        "SELECT count(*) FROM (SELECT x FROM (VALUES (0::float8), ('-0'), ('-0')) v (x) INTERSECT ALL SELECT x FROM f) q",
    ] {
        pair.same(query);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_of_floats() {
    let pair = Pair::start();
    pair.run("CREATE TABLE p (g int, y float8, x float8); INSERT INTO p SELECT i % 3, sin(i), cos(i * i) FROM generate_series(1, 100) i;
              INSERT INTO p VALUES (4, 2, 2), (4, 2, 4), (5, 1, 2), (5, 2, 2), (6, 1, 2), (7, NULL, 2), (7, 2, NULL), (8, 'NaN', 2), (8, 2, 3), (9, 2, 3), (9, 'inf', 2);");
    let (tide, pg) = pair.connect().await;
    let all = "corr(y, x), covar_pop(y, x), covar_samp(y, x), regr_slope(y, x), regr_intercept(y, x), regr_r2(y, x), regr_count(y, x),
               regr_avgx(y, x), regr_avgy(y, x), regr_sxx(y, x), regr_syy(y, x), regr_sxy(y, x)";
    for query in [
        format!("SELECT g, {all} FROM p WHERE g > 2 GROUP BY g ORDER BY g"),
        format!("SELECT {all} FROM p WHERE g = 1"),
        format!("SELECT {all} FROM p WHERE false"),
        "SELECT corr(0.1, 0.1), covar_pop(0.1, 0.2), corr(0.09, 100000000) FROM generate_series(1, 10)".to_string(),
        "SELECT corr(g, g) OVER (ORDER BY g ROWS 2 PRECEDING), regr_slope(g, g * g) OVER (ORDER BY g), covar_pop(g, 1) OVER () FROM generate_series(1, 5) g".to_string(),
    ] {
        pair.same(&query);
    }
    all_refused(
        &tide,
        &pg,
        &["SELECT covar_pop(x, x) FROM (VALUES (1e200::float8), (-1e200)) v (x)"],
    )
    .await;
}

/// -0 equals 0: in orders, groups, joins, conditions, keys and indexes, in both tiers.
#[tokio::test(flavor = "multi_thread")]
async fn zero_has_no_sign() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE f (id int PRIMARY KEY, x float8, y float4);
         CREATE INDEX ON f (y, id);
         INSERT INTO f VALUES (1, 0, 0), (2, '-0', '-0'), (3, 1, 1), (4, 0, 0), (5, '-0', '-0'), (6, 'NaN', 'NaN'), (7, NULL, NULL), (8, -1, -1);
         CREATE TABLE k (x float8 PRIMARY KEY, n int);
         INSERT INTO k VALUES (0, 1);",
    );
    let (tide, pg) = pair.connect().await;
    for _ in ["hot", "cold"] {
        for query in [
            "select id from f order by x, id",
            "select id from f order by x desc, id",
            "select id from f order by y, id",
            "select id from f order by x, id limit 4",
            "select x + 0, count(*) from f group by x + 0 order by 1",
            "select count(*) from (select distinct x from f) s",
            "select count(*), sum(id) from f group by x order by 2",
            "select count(*), sum(id) from f group by y order by 2",
            "select count(distinct x), count(distinct y) from f",
            "select a.id, b.id from f a join f b on a.x = b.x order by 1, 2",
            "select a.id, b.id from f a join f b using (x) order by 1, 2",
            "select a.id, b.id from f a join f b on a.x = b.y order by 1, 2",
            "select id from f where x = 0 order by id",
            "select id from f where x in (0, 1) order by id",
            "select id from f where x = '-0' order by id",
            "select id from f where x < 0 order by id",
            "select id from f where x <= '-0' order by id",
            "select id from f where x > '-0' order by id",
            "select id from f where x >= 0 order by id",
            "select id from f where x between 0 and 1 order by id",
            "select id from f where x is distinct from 0 order by id",
            "select count(*) from (select x from f union select y from f) s",
            "select count(*) from (select x from f except select '-0'::float8) s",
            "select count(*) from (select x from f intersect select '-0'::float8) s",
            "select min(x) from f where id in (1,3)",
            "select id, rank() over (order by x), dense_rank() over (order by x), row_number() over (order by x, id) from f order by id",
            "select id, count(*) over (partition by x) from f order by id",
            "select id, sum(id) over (order by x range between 1 preceding and current row) from f order by id",
            "select id, first_value(id) over (order by x, id) from f order by id",
            "select array_agg(id order by x, id) from f",
            "select distinct on (x) id from f order by x, id",
            "select x in (select y from f) from f order by id",
            "select id from f where x not in (select 0) order by id",
            "select id from f where x = any (array[0::float8]) order by id",
            "select array[0::float8] = array['-0'::float8], array['-0'::float8] < array[0::float8]",
            "select nullif(0::float8, '-0'::float8)",
            "select case '-0'::float8 when 0 then 'z' end",
            "select '-0'::float8 = 0, '-0'::float8 < 0, 0 > '-0'::float8, '-0'::float4 = 0",
            "select id from f order by y, id limit 2",
            "select id from f order by y desc, id desc limit 3",
            "select id from f where y >= 0 order by y, id limit 3",
            "select case x when 0 then 'zero' when 1 then 'one' end from f order by id",
        ] {
            same_answers(&tide, &pg, query).await;
        }
        let flush = "CALL tidelog.flush('f')";
        tide.batch_execute(flush).await.unwrap();
    }
    for change in [
        "INSERT INTO k VALUES ('-0', 2)",
        "INSERT INTO k VALUES ('-0', 3) ON CONFLICT (x) DO UPDATE SET n = excluded.n",
        "UPDATE k SET x = '-0' WHERE x = 0",
        "INSERT INTO k VALUES (0, 5)",
        "INSERT INTO k VALUES (1, 5), (-1, 5)",
    ] {
        same_outcome(&tide, &pg, change).await;
        same_answers(&tide, &pg, "SELECT * FROM k ORDER BY x").await;
        same_answers(&tide, &pg, "SELECT * FROM k WHERE x = 0").await;
        same_answers(&tide, &pg, "SELECT * FROM k WHERE x = '-0'").await;
    }
}

/// A numeric becomes the nearest float, whatever its precision.
#[tokio::test(flavor = "multi_thread")]
async fn numerics_become_the_nearest_floats() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE n (id int PRIMARY KEY, n numeric(30,8), w numeric(60,20), s numeric(8,3));
         INSERT INTO n SELECT g, (g * 7919.0123457 + g * g * 31) / 8, (g * 79190.12345678901234 + g * g * 31) * 123456789, g * 1.001 FROM generate_series(1, 2000) g;
         INSERT INTO n VALUES (0, 796487719.80730200, 1753868037281.35778068765492782867, 0.1);",
    );
    pair.same("SELECT id, n::float8, w::float8, s::float8, n::float4, s::float4, w::float4 FROM n ORDER BY id");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 796487719.80730200::numeric(30,8)::float8, (1753868037281.35778068765492782867)::float8, 16777217.0000001::float4",
            "SELECT id FROM n WHERE n = 796487719.807302::float8",
            "SELECT max(n::float8), min(sin(n)), count(*) FILTER (WHERE n::float8 = n) FROM n",
        ],
    )
    .await;
}

/// The shortest text that lies not just between two floats, and so many digits as the setting says.
#[tokio::test(flavor = "multi_thread")]
async fn digits_of_floats() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 1e23::float8, 9e22::float8, -1e23::float8, '9007199254740993'::float8, 9.5367431640625e-07::float8, 5e-324::float8, 1.7976931348623157e308::float8",
            "SELECT 33554436::float4, 8.589973e9::float4, 3.4028235e38::float4, 1e-45::float4, 16777216::float4",
            "SELECT ARRAY[1e23::float8], to_json(1e23::float8), 1e23::float8::text",
            "SELECT (2 ^ n)::float8, (3 * 2 ^ n)::float8, (2 ^ n)::float4 FROM generate_series(50, 120) n",
            "SELECT (n * 1e22)::float8, (n * 1e23)::float8, (n * 1e9)::float4, (n * 1e10)::float4 FROM generate_series(1, 300) n",
        ],
    )
    .await;
    for digits in ["0", "-5", "-15", "3", "1"] {
        let set = format!("SET extra_float_digits = {digits}");
        for client in [&tide, &pg] {
            client.batch_execute(&set).await.unwrap();
        }
        all_same(
            &tide,
            &pg,
            &[
                "SELECT 0.1::float8 + 0.2, 0.1::float4 + 0.2::float4, 1e15::float8, 123456789.123456789::float8, 1e-5::float8, 0.0001::float8, 'NaN'::float8, '-Infinity'::float4, -0.0::float8",
                "SELECT ARRAY[1.1::float4, 2], (1/3::float8)::text, to_json(1/3::float8), 'x' || (2/3::float8)",
            ],
        )
        .await;
    }
}
