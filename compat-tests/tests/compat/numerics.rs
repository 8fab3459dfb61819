//! Numerics without a precision beside PostgreSQL: each value with the digits that it was given or that it has been computed with,
//! NaN and infinity, compared, grouped, joined and found by what they are worth, hot and cold.

use std::fmt::Write;

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use tidelog_compat_tests::Random;
use tokio_postgres::Client;

use crate::pair::{Pair, Raw, binary, same_answers};
use crate::type_functions::{all_refused, all_same};

#[tokio::test]
async fn expressions_have_postgresqls_digits() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for exprs in [
        "'1.50'::numeric, '1.50'::numeric::text, -'1.50'::numeric, +1.50::numeric, @ -1.50::numeric, - (1.0 / 3)",
        "CASE WHEN true THEN 1.5 ELSE 2.25 END, CASE WHEN false THEN 1.5 ELSE 2.25 END + 1.0, CASE 1.50::numeric WHEN 1.5 THEN 'y' END",
        "coalesce(NULL, 1.5, 2.25), coalesce(NULL, 1, 2.50), nullif(1.50, 1.5::numeric), nullif(1.5, 2.25)",
        "greatest(1.5, 2.25, 1.500), least(1.50, 1.5), greatest(1, 0.50), least(NULL, 2.0, 3), greatest(1.5::numeric, NULL)",
        "1.0 / 3, (1.0 / 3) * 3, 1.0 / 3 + 1, 10 / 3.0, 1.5::numeric / 0.5::numeric, 100.0 * 3 / 7, 0.001 / 3, 12345678901234567890.0 / 7",
        "7.5 % 2, 7.5::numeric % 2, mod(7.5::numeric, 0.4), div(7.5, 2), div(-7.5::numeric, 2), gcd(12.50, 7.5), lcm(1.5, 2.25)",
        "1.50::numeric + 1, 1.5::numeric - 0.25, 1.5::numeric * 1.50, 2 * 1.5::numeric, 1::smallint + 1.50::numeric, 1.5::numeric * 1.5::float8",
        "99999999999999999999999999999999999999.0 * 99999999999999999999999999999999999999.0 * 99999999999999999999999999999999999999.0",
        "1e400, -1e400, 1e-300, 12345678901234567890123456789012345678901234567890123456789012345678901234567890.5 + 1",
        "round(2.345, 2), round('2.345'::numeric, 2), round(1234.5::numeric, -2), trunc(-2.59::numeric, 1), trunc(-2.5), ceil(2.1::numeric), floor(-2.1::numeric)",
        "sign(-2.5::numeric), sqrt(2::numeric), sqrt(0.0001), power(2::numeric, 0.5), 2.0 ^ 3, 10::numeric ^ 20, 2 ^ 3.0::numeric, exp(1::numeric), ln(2.0), log(100::numeric), log(2.0, 64)",
        "scale(1.500::numeric), min_scale(1.500::numeric), trim_scale(1.500::numeric), factorial(60), abs(-1.50)",
        "factorial(0), factorial(1), factorial(2), md5(factorial(3001)::text), length(factorial(32177)::text)",
        "width_bucket(5.35::numeric, 0.024, 10.06, 5), to_char(1234.5::numeric, '9,999.99'), to_number('1,234.50', '9,999.99')",
        "1.50::numeric = 1.5, '1.5'::numeric = 1.500, 1 = 1.0::numeric, 2.5::numeric > 2, 2.5::numeric < 3.5::float8, 1.5 <> 1.50::numeric",
        "2.5 BETWEEN 1 AND 3.25::numeric, 2.5::numeric IN (1, 2.50, 3), 1.5 IN (1.50::numeric), 1.5::numeric IS DISTINCT FROM 1.50, 1.5::numeric = '1.50'",
        "1.5::numeric::int, 2.5::numeric::int8, -2.5::numeric::int2, 1.5::numeric::float8, 1.5::numeric::real, 1.5::numeric(10,3), 1::numeric, true::int::numeric",
        "1.5::float8::numeric, 0.1::real::numeric, 1e20::float8::numeric, 123456789.123::numeric::numeric(12,1), '1.50'::varchar::numeric",
        "1.5::numeric * interval '1 hour', interval '3 days' / 2.0::numeric, 'x' || 1.50::numeric, concat(1.50::numeric, 2.0), format('%s', 1.50::numeric)",
        "ARRAY[1.5, 2.25], ARRAY[1.5, 2], '{1.50,NaN,NULL}'::numeric[], ARRAY[1.5] || ARRAY[2.25], ARRAY[1.5, 2.5] || 3.25, array_append(ARRAY[1], 2.50)",
        "array_remove(ARRAY[1.5, 2.0]::numeric[], 2), array_replace(ARRAY[1.50, 2]::numeric[], 1.5, 7), array_position(ARRAY[1.5, 2.00], 2), array_cat(ARRAY[1.50], '{2}'::numeric[])",
        "ARRAY[1.5, 2.5] = '{1.50,2.5}'::numeric[], ARRAY[1.5] < '{2}'::numeric[], 1.5::numeric = ANY (ARRAY[1.50]), 2 = ANY ('{1.0,2.0}'::numeric[]), ARRAY[1.5, 2] @> ARRAY[2.0], ARRAY[1.5] && '{1.50}'::numeric[]",
        "to_json(1.50::numeric), to_jsonb(1.50::numeric), json_build_object('a', 1.0 / 3), ('{\"a\":1.50}'::jsonb->'a')::numeric, ('{\"a\":1.50}'::jsonb->>'a')::numeric",
        "extract(second FROM time '10:00:01.5'), extract(julian FROM timestamp '2020-01-01 06:00'), extract(epoch FROM interval '1.5 s')",
    ] {
        same_answers(&tide, &pg, format!("SELECT {exprs}")).await;
    }
    for query in [
        "SELECT * FROM (VALUES (1.5), (2.25)) v",
        "SELECT * FROM (VALUES (1), (2.25), (NULL)) v",
        "SELECT * FROM (VALUES (1.0 / 3), (2)) v",
        "SELECT 1.5 UNION ALL SELECT 2.25 UNION ALL SELECT 3 ORDER BY 1",
        "SELECT 3.14::numeric(3,2) UNION SELECT 3.1 UNION SELECT 3 ORDER BY 1",
        "SELECT * FROM generate_series(1.0, 3.0, 0.50) x",
        "SELECT x FROM generate_series(1, 2, 0.25) x WHERE x > 1.25 ORDER BY x DESC",
        "WITH RECURSIVE r(x) AS (SELECT 1.5::numeric UNION ALL SELECT x * 1.1 FROM r WHERE x < 2) SELECT * FROM r",
        "SELECT * FROM jsonb_to_record('{\"a\": 1.50, \"b\": 2}') AS x(a numeric, b numeric(5,2))",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test]
async fn what_is_not_finite_is_computed_with() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let values = ["NaN", "Infinity", "-Infinity", "0", "1", "-2.5"];
    for a in values {
        let a = format!("'{a}'::numeric");
        let query = format!(
            "SELECT {a}, {a}::text, {a}::float8, -{a}, abs({a}), sign({a}), ceil({a}), floor({a}), round({a}, 1), trunc({a}), scale({a}), to_json({a}), exp({a})"
        );
        same_answers(&tide, &pg, query).await;
        for b in values {
            let b = format!("'{b}'::numeric");
            let query = format!(
                "SELECT {a} + {b}, {a} - {b}, {a} * {b}, {a} = {b}, {a} < {b}, {a} >= {b}, greatest({a}, {b}), least({a}, {b}), {a} IS DISTINCT FROM {b}"
            );
            same_answers(&tide, &pg, query).await;
            for op in ["/", "%", "^"] {
                pair.same_or_fail(&format!("SELECT {a} {op} {b}"));
            }
            pair.same_or_fail(&format!("SELECT log({a}, {b})"));
        }
        for function in ["sqrt", "ln"] {
            pair.same_or_fail(&format!("SELECT {function}({a})"));
        }
        pair.same_or_fail(&format!("SELECT {a}::int"));
        pair.same_or_fail(&format!("SELECT {a}::bigint"));
        pair.same_or_fail(&format!("SELECT width_bucket({a}, 0, 10, 5)"));
        pair.same_or_fail(&format!("SELECT width_bucket(5, {a}, 10, 5)"));
        pair.same_or_fail(&format!("SELECT count(*) FROM generate_series(0, {a}) x"));
    }
    for query in [
        "SELECT 'inf'::float8::numeric, 'nan'::real::numeric, '-inf'::numeric, '+infinity'::numeric",
        "SELECT sum(x), avg(x), variance(x), stddev_pop(x), max(x), min(x) FROM (VALUES ('1'::numeric), ('inf')) v(x)",
        "SELECT sum(x), avg(x), variance(x), max(x), min(x) FROM (VALUES ('-inf'::numeric), ('inf'), (NULL)) v(x)",
        "SELECT sum(x), max(x), min(x), count(DISTINCT x) FROM (VALUES ('nan'::numeric), ('nan'), (1)) v(x)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

const TABLES: &str = "
    CREATE TABLE n (id int PRIMARY KEY, x numeric, y numeric(10,2));
    INSERT INTO n VALUES (1, 1.5, 1.5), (2, '1.50', 2.25), (3, 'NaN', NULL), (4, 'Infinity', 7), (5, -3.10, -1), (6, NULL, 0),
        (7, 1.0/3, 1.0/3), (8, 1e40, 0), (9, '-Infinity', 3);
    INSERT INTO n SELECT g, g * 0.10, g FROM generate_series(10, 30) g;
    CREATE TABLE k (x numeric PRIMARY KEY, v text);
    INSERT INTO k VALUES (1.50, 'a'), (2, 'b'), ('NaN', 'c'), (-7.250, 'd'), ('-Infinity', 'e');
    CREATE TABLE f (id int PRIMARY KEY, x numeric REFERENCES k); CREATE INDEX ON f (x);
    INSERT INTO f VALUES (1, 1.5000), (2, 2.0), (3, NULL), (4, 1.5);
    CREATE TABLE g (a numeric, b numeric GENERATED ALWAYS AS (a * 2) STORED, c numeric DEFAULT 1.50, CHECK (a < 10.0));
    INSERT INTO g (a) VALUES (1.50), (2.0 / 3);
    CREATE VIEW v AS SELECT id, x / 3 AS q FROM n WHERE id < 8;";

const QUERIES: &[&str] = &[
    "SELECT * FROM n ORDER BY x, id",
    "SELECT * FROM n ORDER BY x DESC NULLS LAST, id LIMIT 5",
    "SELECT id FROM n WHERE x = 1.5 ORDER BY id",
    "SELECT id FROM n WHERE x = '1.500' OR x = 'NaN' ORDER BY id",
    "SELECT id FROM n WHERE x > 2.9 ORDER BY id",
    "SELECT id FROM n WHERE x BETWEEN 1.5 AND 2 ORDER BY id",
    "SELECT id FROM n WHERE x IN (1.50, 2, 'Infinity') ORDER BY id",
    "SELECT id FROM n WHERE x = ANY ('{1.50,2.00}') ORDER BY id",
    "SELECT id FROM n WHERE y IN (2.25, 'NaN') ORDER BY id",
    "SELECT id FROM n WHERE y NOT IN (2.255, 'NaN', '1.50') ORDER BY id",
    "SELECT id FROM n WHERE y IN ('NaN') OR 2.25 IN (y, 'NaN') ORDER BY id",
    "SELECT id FROM n WHERE y BETWEEN 1.505 AND 'Infinity' ORDER BY id",
    "SELECT id FROM n WHERE y BETWEEN SYMMETRIC 'NaN' AND 2.2::numeric ORDER BY id",
    "SELECT id FROM n WHERE y < 2.255 AND y > -0.005::numeric ORDER BY id",
    "SELECT id FROM n WHERE id < 3.5 OR id = 5.5::numeric OR id >= 29.000001::numeric OR id = 7.0 ORDER BY id",
    "SELECT id, CASE y WHEN 'NaN' THEN 1 WHEN 2.25::numeric THEN 2 WHEN '1.50' THEN 3 END FROM n ORDER BY id",
    "SELECT id, CASE id WHEN 2::numeric THEN 'a' WHEN '1' THEN 'b' END, CASE 2.25 WHEN y THEN 'a' WHEN 'NaN' THEN 'b' END FROM n ORDER BY id",
    "SELECT id FROM n WHERE x = y ORDER BY id",
    "SELECT id FROM n WHERE x IN (SELECT y FROM n) ORDER BY id",
    "SELECT id FROM n WHERE x > ALL (SELECT 1.0 UNION SELECT 2) ORDER BY id",
    "SELECT count(*), sum(y) FROM n GROUP BY x ORDER BY x",
    "SELECT count(*) FROM (SELECT DISTINCT x FROM n) d",
    "SELECT DISTINCT ON (x) x, id FROM n ORDER BY x, id",
    "SELECT count(DISTINCT x), sum(x), avg(x), stddev(x), var_pop(x), min(x), max(x) FROM n WHERE id BETWEEN 10 AND 30",
    "SELECT sum(DISTINCT x), avg(DISTINCT y), sum(x) FILTER (WHERE id > 20), sum(x * 1.10) FROM n WHERE id >= 10",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), percentile_disc(0.25::numeric) WITHIN GROUP (ORDER BY x), mode() WITHIN GROUP (ORDER BY x) FROM n WHERE id >= 10",
    "SELECT corr(x, id), round(covar_pop(x, y)::numeric, 6), round(regr_slope(x, y)::numeric, 6) FROM n WHERE id >= 10",
    "SELECT a.id, b.id FROM n a JOIN n b ON a.x = b.x WHERE a.id < 10 ORDER BY 1, 2",
    "SELECT a.id, b.id FROM n a JOIN n b ON a.x = b.y WHERE a.id < 10 ORDER BY 1, 2",
    "SELECT a.id, b.id FROM n a JOIN n b USING (x) ORDER BY 1, 2",
    "SELECT a.id, b.id FROM n a LEFT JOIN n b ON a.x > b.x AND b.id < 5 ORDER BY 1, 2",
    "SELECT id, x, sum(x) OVER (ORDER BY id), lag(x, 1, 0.00) OVER (ORDER BY id), rank() OVER (ORDER BY x) FROM n WHERE id > 9 ORDER BY id",
    "SELECT id, sum(x) OVER (ORDER BY id ROWS 2 PRECEDING), avg(x) OVER (PARTITION BY id % 3 ORDER BY id), max(x) OVER (ORDER BY id ROWS 3 PRECEDING) FROM n WHERE id > 9 ORDER BY id",
    "SELECT id, sum(y) OVER (ORDER BY x RANGE BETWEEN 0.15 PRECEDING AND CURRENT ROW), row_number() OVER (ORDER BY x) FROM n WHERE id > 9 ORDER BY id",
    "SELECT sum(x) OVER (PARTITION BY x), id FROM n ORDER BY id",
    "SELECT array_agg(x ORDER BY x, id), json_agg(x ORDER BY id), string_agg(x::text, ',' ORDER BY id) FROM n",
    "SELECT x::int, x::float8, x::numeric(10,1), x::text, x::varchar(3) FROM n WHERE id IN (1, 2, 5, 7, 10) ORDER BY id",
    "SELECT x + id, x - 1.50, x * 2, x / 3, x % 2, -x, x ^ 2, 2 * x * x, x / id, x + y, y / x FROM n WHERE id IN (1, 2, 4, 5, 7, 10) ORDER BY id",
    "SELECT round(x, 1), trunc(x, 1), ceil(x), floor(x), abs(x), sqrt(abs(x)), mod(x, 2) FROM n WHERE id IN (1, 2, 5, 7, 10) ORDER BY id",
    "SELECT CASE WHEN id = 1 THEN x WHEN id = 2 THEN 5 ELSE 1.50 END, coalesce(x, y), coalesce(x, 0.000), greatest(x, y), least(x, y, 1), nullif(x, 1.50) FROM n ORDER BY id",
    "SELECT count(*) FROM (SELECT x FROM n UNION SELECT y FROM n) u",
    "SELECT count(*) FROM (SELECT x FROM n WHERE id > 9 INTERSECT ALL SELECT y * 0.1 FROM n) u",
    "SELECT count(*) FROM (SELECT x FROM n EXCEPT SELECT y FROM n) u",
    "SELECT * FROM k ORDER BY x",
    "SELECT * FROM k WHERE x = 1.500",
    "SELECT * FROM k WHERE x IN (1.5, 2.00, 'NaN') ORDER BY x",
    "SELECT * FROM k WHERE x >= -7.25 AND x < 2.0 ORDER BY x DESC",
    "SELECT k.v, f.id FROM f JOIN k USING (x) ORDER BY 2",
    "SELECT id FROM f WHERE x = 1.50 ORDER BY id",
    "SELECT a, b, c FROM g ORDER BY a",
    "SELECT q FROM v ORDER BY id",
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'n'::regclass AND attnum > 0 ORDER BY attnum",
];

#[tokio::test]
async fn columns_keys_and_indexes_are_by_value_hot_and_cold() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    for query in QUERIES {
        same_answers(&tide, &pg, query).await;
    }
    for table in ["n", "k", "f", "g"] {
        let flush = format!("CALL tidelog.flush('{table}')");
        tide.batch_execute(&flush).await.unwrap();
    }
    for query in QUERIES {
        same_answers(&tide, &pg, query).await;
    }
    for change in [
        "INSERT INTO k VALUES (1.5, 'again')",
        "INSERT INTO k VALUES (1.500, 'up') ON CONFLICT (x) DO UPDATE SET v = excluded.v RETURNING *",
        "INSERT INTO f VALUES (5, 77.5)",
        "DELETE FROM k WHERE x = -7.25 RETURNING *",
        "UPDATE n SET x = x * 1.10 WHERE id = 1 RETURNING x",
        "UPDATE n SET x = y, y = x WHERE id = 2 RETURNING x, y",
        "UPDATE n SET y = x WHERE id = 4",
        "UPDATE n SET y = x WHERE id = 8",
        "INSERT INTO g (a) VALUES (10)",
        "INSERT INTO g (a) VALUES (1.0 / 3), (2) RETURNING *",
        "DELETE FROM n WHERE x = 1.650 RETURNING id",
        "ALTER TABLE n ALTER COLUMN y TYPE numeric",
        "SELECT y FROM n ORDER BY y, id",
        "CREATE TABLE made AS SELECT x, x / 3 AS q, 1.50 AS c, sum(y) OVER () AS s FROM n WHERE id < 8",
        "SELECT * FROM made ORDER BY x",
    ] {
        pair.same_or_fail(change);
    }
    for query in QUERIES {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test]
async fn grouping_sets_and_recursive_unions_are_by_value() {
    let pair = Pair::start();
    pair.run(TABLES);
    pair.run(
        "CREATE TABLE s (id int PRIMARY KEY, x numeric, y numeric, z int, i interval);
        INSERT INTO s VALUES (1, 1.5, 2, 1, '1 mon'), (2, '1.50', 2.0, 1, '30 days'), (3, 'NaN', NULL, 2, NULL),
            (4, 'Infinity', 7, 2, '1 day'), (5, -3.10, -1, 1, '24 hours'), (6, NULL, 0, 3, '0'), (7, NULL, NULL, NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT x + 0.00, count(*), sum(y) FROM s GROUP BY ROLLUP (x) ORDER BY 1, 2",
        "SELECT trim_scale(x) AS x, trim_scale(y) AS y, count(*), grouping(x) AS a, grouping(y) AS b, grouping(x, y) AS c FROM s GROUP BY CUBE (x, y) ORDER BY 1, 2, 3, 4, 5",
        "SELECT z, trim_scale(x) AS x, count(*), grouping(z, x) FROM s GROUP BY GROUPING SETS ((z), (x), (z, x), ()) ORDER BY 1, 2, 3, 4",
        "SELECT trim_scale(x + 1) AS x, count(*), grouping(x + 1) FROM s GROUP BY ROLLUP (x + 1) ORDER BY 1, 2",
        "SELECT trim_scale(x + 1) AS a, z * 2, count(*), grouping(z * 2) FROM s GROUP BY x + 1, ROLLUP (z * 2) ORDER BY 1, 2, 3",
        "SELECT trim_scale(x) AS x, z, max(id) FROM s GROUP BY x, ROLLUP (z) HAVING max(id) > 1 ORDER BY 1, 2, 3",
        "SELECT trim_scale(x) AS x, grouping(x) FROM s GROUP BY x ORDER BY 1",
        "SELECT i = '1 mon' AS a, trim_scale(x) AS x, count(*) FROM s GROUP BY ROLLUP (i, x) ORDER BY 1, 2, 3",
        "SELECT count(*), grouping(x) AS g FROM s GROUP BY ROLLUP (x) HAVING grouping(x) = 1",
        "SELECT trim_scale(x) AS x, count(*) FROM s GROUP BY ROLLUP (x) ORDER BY grouping(x), x",
        "SELECT trim_scale(x) AS x, sum(x), avg(x), array_agg(id ORDER BY id) FROM s GROUP BY ROLLUP (x) ORDER BY x, 4",
        "SELECT trim_scale(x) AS x, count(*) + 1, rank() OVER (ORDER BY count(*)) FROM s GROUP BY ROLLUP (x) ORDER BY 1, 2",
        "SELECT a = '{1.50}', count(*) FROM (SELECT ARRAY[x] AS a FROM s) q GROUP BY CUBE (a) ORDER BY 1, 2",
        "SELECT DISTINCT trim_scale(x) AS x, count(*) OVER () FROM s GROUP BY ROLLUP (x) ORDER BY 1",
        "SELECT count(*), grouping(x) FROM n GROUP BY CUBE (x, y) ORDER BY 1, 2",
        "WITH RECURSIVE r(x) AS (SELECT 1.5::numeric UNION SELECT x * 1.0 FROM r WHERE x < 2) SELECT * FROM r",
        "WITH RECURSIVE r(x) AS (SELECT x FROM s UNION SELECT x * 1.00 FROM r) SELECT count(*) FROM r",
        "WITH RECURSIVE r(x, k) AS (SELECT x, 1 FROM s WHERE id < 3 UNION SELECT x + 1, k FROM r WHERE x < 5) SELECT x::int, k FROM r ORDER BY 1, 2",
        "WITH RECURSIVE r(i) AS (SELECT interval '1 mon' UNION SELECT CASE WHEN i < interval '5 mon' THEN i + interval '30 days' ELSE interval '30 days' END FROM r) SELECT count(*) FROM r",
        "SELECT z, (WITH RECURSIVE r(x) AS (SELECT s.x UNION SELECT x + 1.0 FROM r WHERE x < s.z) SELECT count(*) FROM r) FROM s ORDER BY id",
        "WITH RECURSIVE r(x) AS (SELECT 1::numeric UNION SELECT y + 1 FROM r, (WITH RECURSIVE s(y) AS (SELECT 1.0::numeric UNION SELECT y + 1 FROM s WHERE y < 3) SELECT y FROM s) q WHERE x < 3) SELECT x::int FROM r ORDER BY 1",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test]
async fn numerics_are_copied_and_bound() {
    let pair = Pair::start();
    pair.run(TABLES);
    pair.run("CREATE TABLE into_n (LIKE n)");
    let (tide, pg) = pair.connect().await;
    let out = async |client: &Client, form: &str| {
        let statement = format!("COPY (SELECT * FROM n ORDER BY id) TO STDOUT (FORMAT {form})");
        let stream = client.copy_out(&statement).await.unwrap();
        let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
        chunks.concat()
    };
    for form in ["binary", "text", "csv"] {
        let bytes = out(&pg, form).await;
        assert_eq!(out(&tide, form).await, bytes, "{form}");
        for client in [&tide, &pg] {
            let statement = format!("COPY into_n FROM STDIN (FORMAT {form})");
            let sink = client.copy_in(&statement).await.unwrap();
            let mut sink = Box::pin(sink);
            sink.send(Bytes::copy_from_slice(&bytes)).await.unwrap();
            sink.close().await.unwrap();
        }
    }
    same_answers(&tide, &pg, "SELECT * FROM into_n ORDER BY id, x, y").await;
    // As PostgreSQL sends them.
    let values = binary(
        &pg,
        "SELECT x, y FROM n WHERE id < 10 AND x IS NOT NULL ORDER BY id",
        &[],
    );
    for row in values.await.rows {
        let Some(value) = &row[0] else { continue };
        for query in [
            "SELECT $1::numeric, $1 + 1.50, $1 * 2, $1::numeric = 1.5, -$1::numeric",
            "SELECT id FROM n WHERE x = $1 ORDER BY id",
            "SELECT id FROM n WHERE y = $1 OR x < $1 ORDER BY id",
            "SELECT v FROM k WHERE x = $1",
            "SELECT CASE WHEN true THEN $1 ELSE 1.5 END, coalesce($1, 2.25), greatest($1, 1.5)",
        ] {
            let given: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[value as &Raw];
            assert_eq!(
                binary(&tide, query, given).await,
                binary(&pg, query, given).await,
                "{query} of {value:?}"
            );
        }
    }
}

#[test]
fn what_is_no_numeric_is_refused() {
    let pair = Pair::start();
    for statement in [
        "SELECT text '1.5x'::numeric",
        "SELECT 123456789.123::numeric::numeric(5,2)",
        "SELECT 'Infinity'::numeric::numeric(5,2)",
        "SELECT 1e400::numeric::float8",
        "SELECT 1 / 0.0",
        "SELECT 1.5::numeric % 0",
        "SELECT sqrt(-1::numeric)",
        "SELECT (-2.0) ^ 0.5",
        "SELECT 0.0 ^ -1::numeric",
        "SELECT exp(10000::numeric)",
        "SELECT 10::numeric ^ 200000",
        "SELECT 99999.5::numeric::smallint",
        "SELECT 1.5::numeric = 'x'",
    ] {
        pair.same_or_fail(statement);
    }
}

/// A number with up to 40 digits, or none at all.
fn random_number(random: &mut Random) -> String {
    let digits = |random: &mut Random, count: u64| {
        let digits = (0..count).map(|_| char::from(b'0' + random.below(10) as u8));
        digits.collect::<String>()
    };
    let (before, behind) = match random.below(5) {
        0 => (1 + random.below(20), random.below(20)),
        _ => (1 + random.below(3), random.below(4)),
    };
    let sign = if random.below(3) == 0 { "-" } else { "" };
    let (whole, fraction) = (digits(random, before), digits(random, behind));
    match behind {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction}"),
    }
}

fn random_expression(random: &mut Random, depth: u64) -> String {
    let number = |random: &mut Random| {
        let number = random_number(random);
        match random.below(4) {
            0 => format!("({number})"),
            1 => format!("({number})::numeric"),
            2 => ["a", "b", "c", "i"][random.below(4) as usize].to_string(),
            _ => format!("'{number}'::numeric"),
        }
    };
    if depth == 0 {
        return number(random);
    }
    let a = random_expression(random, depth - 1);
    let b = random_expression(random, depth - 1);
    match random.below(14) {
        0 | 1 => format!("({a} + {b})"),
        2 => format!("({a} - {b})"),
        3 => format!("({a} * {b})"),
        4 => format!("({a} / nullif({b}, 0))"),
        5 => format!("({a} % nullif({b}, 0))"),
        6 => format!("greatest({a}, {b})"),
        7 => format!("coalesce(nullif({a}, {b}), {b})"),
        8 => format!("CASE WHEN {a} < {b} THEN {a} ELSE {b} END"),
        9 => format!("round({a}, {})", random.below(6)),
        10 => format!("trunc({a}, {})", random.below(6)),
        11 => format!("abs({a})"),
        12 => format!("(-{a})"),
        _ => format!("trim_scale({a})"),
    }
}

#[tokio::test]
async fn random_expressions_answer_as_postgresql() {
    let mut random = Random::from_environment();
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let mut rows = String::new();
    for id in 0..40 {
        let comma = if id > 0 { "," } else { "" };
        let [a, b] = [(); 2].map(|()| random_number(&mut random));
        let c = random.below(100_000);
        let _ = write!(
            rows,
            "{comma} ({id}, {a}, {b}, {c}.{:02}, {})",
            random.below(100),
            random.below(9)
        );
    }
    pair.run(&format!(
        "CREATE TABLE r (id int PRIMARY KEY, a numeric, b numeric, c numeric(10,2), i int); INSERT INTO r VALUES {rows};"
    ));
    for round in 0..60 {
        if round == 30 {
            tide.batch_execute("CALL tidelog.flush('r')").await.unwrap();
        }
        let depth = 1 + random.below(3);
        let [x, y] = [(); 2].map(|()| random_expression(&mut random, depth));
        same_answers(&tide, &pg, format!("SELECT id, {x} FROM r ORDER BY id")).await;
        same_answers(
            &tide,
            &pg,
            format!("SELECT id FROM r WHERE {x} < {y} ORDER BY id"),
        )
        .await;
        let query = format!(
            "SELECT count(*), sum(x), avg(x), count(DISTINCT x), variance(x) FROM (SELECT {x} AS x, i FROM r) q GROUP BY i ORDER BY i"
        );
        same_answers(&tide, &pg, query).await;
        let query = format!(
            "SELECT count(*) FROM (SELECT {x} AS x FROM r) q JOIN (SELECT {y} AS x FROM r) p USING (x)"
        );
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_powers_of_negative_numbers() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT (-1.0) ^ 2147483648 AS a, (-1.0) ^ 1000000000000000 AS b, (-1.0) ^ 1000000000000001 AS c",
            "SELECT (-0.5) ^ 3000000001.0 AS a, (-2.0) ^ -3000000001 AS b, 1.0 ^ 3000000000 AS c",
        ],
    )
    .await;
    all_refused(&tide, &pg, &["SELECT (-2.0) ^ 3000000001"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_take_the_type_that_all_have_in_common() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT array_append(ARRAY[1::numeric], 1::float8) AS a, array_append(ARRAY[1::float8], 1::numeric) AS b, array_append(ARRAY[1], 2.50) AS c",
            "SELECT array_append(ARRAY[date '2024-01-01'], timestamp '2024-01-01 10:00') AS a, array_append(ARRAY[timestamp '2024-01-01'], timestamptz '2024-01-01 10:00') AS b",
            "SELECT ARRAY[1.1] || ARRAY[2,3,4] AS a, ARRAY[1] || ARRAY[2.50] AS b, ARRAY[1::float8] || ARRAY[2.5] AS c, array_cat(ARRAY[1], ARRAY[2::float4]) AS d",
            "SELECT ARRAY[date '2024-01-01'] || timestamp '2024-01-01 10:00' AS a, ARRAY[date '2024-01-01'] || ARRAY[timestamp '2024-01-01 10:00'] AS b",
            "SELECT array_remove(ARRAY[1.5, 2], 2) AS a, array_position(ARRAY[1.5], 2) AS b, array_replace(ARRAY[1, 2], 2, 3) AS c",
        ],
    )
    .await;
}
