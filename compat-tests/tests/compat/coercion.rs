//! What bare strings are beside what has a type, casts of arrays, infinite times, overflow, and names that mean several
//! columns.

use crate::pair::Pair;
use crate::type_functions::{all_refused, all_same};

const TABLE: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE t (id int PRIMARY KEY, b bytea, m mood, j jsonb, u uuid, i interval, z timestamptz, n numeric,
        d date, ts timestamp, tm time, r real, f float8, s text, ta text[], ma mood[], ba bytea[], ua uuid[], bo bool, i8 bigint);
    INSERT INTO t VALUES
        (1, '\x01', 'sad', '{"a":1}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1 day', '2026-01-01 00:00+00', 1.5,
         '2026-01-01', '2026-01-01', '10:00', 1.5, 1.5, 'a', '{a,b}', '{sad,ok}', '{"\\x01"}',
         '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', true, 5),
        (2, '\x02', 'happy', '[1,2]', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2 days', '2026-01-02 00:00+00', 2.5,
         '2026-01-02', '2026-01-02', '11:00', 2.5, 2.5, 'b', '{}', '{}', '{}', '{}', false, 6),
        (3, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn bare_strings_take_the_type_beside_them() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            r"SELECT ARRAY['\x01']::bytea[], ARRAY['\x01', '\x0203']::bytea[], ARRAY['\x01'::bytea, '\x02'], ARRAY['\x01', '\x02'::bytea]",
            r"SELECT ARRAY[b, '\x02'], ARRAY['\x02', b], ARRAY[m, 'ok']::text, ARRAY[z, '2026-01-01 10:00+02'], ARRAY[j, '{ }'], ARRAY[id, '7'] FROM t ORDER BY id",
            r"SELECT b IS NOT DISTINCT FROM '\x01', b IS DISTINCT FROM '\x01', '\x01' IS DISTINCT FROM b, m IS NOT DISTINCT FROM 'sad' FROM t ORDER BY id",
            r#"SELECT u IS NOT DISTINCT FROM 'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11', i IS NOT DISTINCT FROM '24 hours', z IS NOT DISTINCT FROM '2026-01-01 01:00+01', j IS NOT DISTINCT FROM '{"a" : 1}' FROM t ORDER BY id"#,
            "SELECT n IS NOT DISTINCT FROM '1.500', d IS NOT DISTINCT FROM '2026/01/01', d IS NOT DISTINCT FROM ts, ta IS NOT DISTINCT FROM '{ a, b }', bo IS NOT DISTINCT FROM 'yes' FROM t ORDER BY id",
            "SELECT id FROM t WHERE i IS NOT DISTINCT FROM '24:00:00'",
            "SELECT a.id, b.id FROM t a JOIN t b ON a.b IS NOT DISTINCT FROM b.b ORDER BY 1, 2",
            "SELECT (1, 'a') IS DISTINCT FROM (1, 'b'), (1, NULL) IS NOT DISTINCT FROM (1, NULL), id IS DISTINCT FROM NULL, 1 IS DISTINCT FROM '1' FROM t ORDER BY id",
            r"SELECT lag(b, 1, '\x02') OVER (ORDER BY id), lead(b, 1, '\x02') OVER (ORDER BY id), lag(b, '1') OVER (ORDER BY id) FROM t",
            r#"SELECT lag(ARRAY['a'], 1, '{}') OVER (), lag(m, 1, 'ok') OVER (ORDER BY id), lag(j, 1, '{"b" : 2}') OVER (ORDER BY id), (lag(ma, 1, '{ok}') OVER (ORDER BY id))::text FROM t"#,
            "SELECT lag(u, 1, 'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11') OVER (ORDER BY id), lag(z, 1, '2026-01-01 01:00+01') OVER (ORDER BY id), lag(id, 1, '7') OVER (ORDER BY id), lag(i8, 1, 7) OVER (ORDER BY id), nth_value(m, '1') OVER (ORDER BY id) FROM t",
            r"SELECT '\x01' IN (b, '\x05'), '24 hours' IN (i, '1 mon'), 'sad' BETWEEN m AND m, '24 hours' BETWEEN i AND i FROM t ORDER BY id",
            "SELECT CASE i WHEN '24 hours' THEN 1 ELSE 2 END, greatest(u, 'B0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11') FROM t ORDER BY id",
            r#"SELECT ba || '\x05'::bytea, ba || '{"\\x05"}', (ma || '{ok}')::text, ARRAY[1] || NULL, ba @> '{"\\x01"}', ma <@ '{ok,sad}' FROM t ORDER BY id"#,
            r"SELECT array_append(ba, '\x05'), array_append(ma, 'ok')::text, array_prepend('\x05', ba), array_cat(ma, '{happy}')::text, array_position(ba, '\x01') FROM t ORDER BY id",
            r"SELECT string_agg(b, '\x2c' ORDER BY id), string_agg(b, '\x2c') FILTER (WHERE id = 1) FROM t",
            "SELECT ARRAY[NULL, 'x'::varchar], ARRAY['a', 1]::text[], ARRAY[['1', '2'], ['3', '4']]::int[], ARRAY[1::bigint, 2]",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT m IS NOT DISTINCT FROM 'nope' FROM t",
            "SELECT lag(s, 1, 7) OVER (ORDER BY id) FROM t",
            "SELECT m = ANY (ARRAY['sad', 'ok']) FROM t",
            "SELECT ARRAY[1, 'x'::text]",
            "SELECT ARRAY['nope']::mood[]",
            "SELECT json '{}' IS DISTINCT FROM '{}'",
        ],
    )
    .await;
    // Parameters take it, too.
    for client in [&tide, &pg] {
        let row = client
            .query_one(
                "SELECT count(*) FROM t WHERE b IS NOT DISTINCT FROM $1 AND id = ANY (ARRAY[$2::int, $3])",
                &[&vec![1_u8], &1_i32, &7_i32],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_are_cast_element_by_element() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12']::uuid[], array_agg(u::text)::uuid[] FROM t",
            "SELECT ua::text[], ba::text[], ma::text[], ta::varchar[] FROM t ORDER BY id",
            "SELECT array_agg(m::text ORDER BY id)::mood[]::text, array_agg(f ORDER BY id)::int[], array_agg(n ORDER BY id)::float8[], array_agg(id::text ORDER BY id)::int[], array_agg(j ORDER BY id)::text[] FROM t",
            "SELECT array_agg(d ORDER BY id)::timestamp[], array_agg(z ORDER BY id)::date[], array_agg(ts ORDER BY id)::timestamptz[], array_agg(z ORDER BY id)::text[] FROM t",
            "SELECT ARRAY['abcdef']::varchar(3)[], ARRAY['1.234']::numeric(5,2)[]::text[], (ARRAY['1', '2', 'x'])[1:2]::int[], '{}'::text[]::int[], NULL::text[]::uuid[]",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT ARRAY['x']::text[]::int[]",
            "SELECT array_agg(s)::int[] FROM t",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enums_keep_their_order_in_aggregates() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT array_agg(DISTINCT m)::text, array_agg(m ORDER BY m)::text, array_agg(DISTINCT m ORDER BY m DESC)::text, string_agg(m::text, ',' ORDER BY m) FROM t",
            "SELECT min(m), max(m), min(ma)::text, max(ma)::text, mode() WITHIN GROUP (ORDER BY m) FROM t",
            "SELECT max(m) OVER (ORDER BY id), min(m) OVER (), max(m) OVER (ORDER BY id ROWS 1 PRECEDING), max(i) OVER (ORDER BY id), (array_agg(m) OVER (ORDER BY m))::text FROM t ORDER BY id",
            "SELECT DISTINCT ON (m) m, id FROM t ORDER BY m, id",
            "SELECT DISTINCT ON (m) m, id FROM t ORDER BY m DESC, id",
            "SELECT enum_range(NULL::mood)::text, enum_first(NULL::mood), enum_last(NULL::mood), enum_range('ok'::mood, NULL)::text, enum_range('sad', 'ok'::mood)::text, enum_range(m)::text FROM t",
            "SELECT x FROM unnest(enum_range(NULL::mood)) x WHERE x > 'sad' ORDER BY x DESC",
            "SELECT x FROM unnest(ARRAY['ok', 'sad', 'happy']::mood[]) AS u (x) ORDER BY x",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT array_agg(DISTINCT id ORDER BY s) FROM t",
            "SELECT max(b) OVER () FROM t",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_where_none_belong() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 'a' 'b'",
            "SELECT 'a' /* no line's end */ 'b'",
            "SELECT 'a' E'b'",
            "SELECT 1 AS 'b'",
            "SELECT 1 'b'",
        ],
    )
    .await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 'a'\n'b'",
            "SELECT 'a' -- joined\n 'b'",
            "SELECT 'a' \"b\", 'c' d, 'e' AS f",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_out_of_range() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 1e39::float8::real",
            "SELECT 1e-60::float8::real",
            "SELECT sum(x) FROM (VALUES (1e308::float8), (1e308::float8)) v (x)",
            "SELECT g, sum(x) FROM (VALUES (1, 1e308::float8), (2, 1), (1, 1e308::float8)) v (g, x) GROUP BY g",
            "SELECT avg(x) FROM (VALUES (1e308::float8), (1e308::float8)) v (x)",
            "SELECT avg(x) FROM (VALUES (1e200::float8), (1)) v (x)",
            "SELECT sum(x) FROM (VALUES (3e38::real), (3e38::real)) v (x)",
            "SELECT sum(x) OVER (ORDER BY x) FROM (VALUES (1e308::float8), (1e308::float8)) v (x)",
            "SELECT ARRAY[1e39::float8]::real[]",
        ],
    )
    .await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 'infinity'::float8::real, 'nan'::float8::real, sum(x) FROM (VALUES ('infinity'::float8), (1e308)) v (x)",
            "SELECT g, sum(x) FROM (VALUES (1, 1e308::float8), (2, 1e308::float8), (1, 'infinity'::float8), (2, 5::float8)) v (g, x) GROUP BY g ORDER BY g",
            "SELECT sum(r), sum(f), avg(r), avg(f) FROM t",
            "SELECT (1 - 9223372036854775808)::text, -9223372036854775808, - 9223372036854775808, (i8 -9223372036854775808)::text FROM t ORDER BY id",
            "SELECT i8 < 9223372036854775808, i8 > -9223372036854775808, i8 IN (-9223372036854775808, 5), CASE WHEN true THEN -9223372036854775808 END FROM t ORDER BY id",
            "SELECT -2147483648, -2147483649, 2147483648",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn infinite_times_and_dates_as_people_write_them() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let queries = [
        "SELECT 'infinity'::date::timestamptz, '-infinity'::date::timestamptz, 'infinity'::date::timestamp, 'infinity'::timestamp::date, '-infinity'::timestamptz::date",
        "SELECT 'infinity'::timestamp::timestamptz, 'infinity'::timestamptz::timestamp, 'infinity'::timestamp::time, date '2026-01-02'::timestamptz, timestamptz '2026-01-02 03:00+00'::date",
        "SELECT 'infinity'::date + 1, '-infinity'::date - 1, 'infinity'::date + interval '1 day', '-infinity'::timestamptz + interval '1 hour', date 'infinity' + time '10:00'",
        "SELECT 'infinity'::date > '2026-01-01'::date, 'infinity'::date = 'infinity'::timestamp, 'infinity'::date = 'infinity'::timestamptz, '-infinity'::date < now(), 'infinity'::date < '2026-01-01'::timestamp",
        "SELECT greatest('infinity'::date, '2026-01-01'::timestamp), coalesce(NULL::timestamp, 'infinity'::date), ARRAY['infinity'::date]::timestamptz[]",
        "SELECT 'infinity'::date UNION SELECT 'infinity'::timestamp",
        "SELECT 'Jan 5 2026'::date, 'January 5, 2026'::date, '5 Jan 2026'::date, 'Jan-05-2026'::date, '05-Jan-2026'::date, '2026-Jan-05'::date, '20260105'::date, '1/5/2026'::date",
        "SELECT '2026.01.05'::date, '2026 Jan 5'::date, 'Mon Jan 5 2026'::date, 'Mon Jan 05 10:30:00 2026'::timestamp, '2026-01-05 10:30 PM'::timestamp, 'January 5 2026 10:30'::timestamp, 'Jan 5 99'::date, '1/5/99'::date",
        "SELECT 'January 8 04:05:06 1999 PST'::timestamptz, 'J2451187'::date, '1999.008'::date, 'January 8, 99 BC'::date, '12-31-2026'::date, 'Sept 3 2026 5pm'::timestamp IS NULL",
        "SELECT transaction_timestamp() = now(), statement_timestamp() >= transaction_timestamp()",
    ];
    let queries: Vec<&str> = queries
        .into_iter()
        .filter(|query| !query.contains("5pm"))
        .collect();
    all_same(&tide, &pg, &queries).await;
    let wrong = [
        "SELECT 'infinity'::date - '2026-01-01'::date",
        "SELECT '2026-01-01'::date - '-infinity'::date",
        "SELECT '+infinity'::timestamp",
        "SELECT 'Foo 5 2026'::date",
        "SELECT '13/13/2026'::date",
        "SELECT 'Feb 30 2026'::date",
        "SELECT 'Jan 5'::date",
    ];
    all_refused(&tide, &pg, &wrong).await;
    for client in [&tide, &pg] {
        let zone = "SET timezone = 'America/New_York'";
        client.batch_execute(zone).await.unwrap();
    }
    all_same(&tide, &pg, &queries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_one_name() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    const BOTH: &str = "SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.id";
    all_same(
        &tide,
        &pg,
        &[
            &format!("SELECT * FROM ({BOTH}) s ORDER BY 1"),
            &format!("SELECT s.* FROM ({BOTH}) s ORDER BY 1"),
            &format!("SELECT count(*) FROM ({BOTH}) s"),
            &format!("SELECT y FROM ({BOTH}) s (x, y) ORDER BY 1"),
            &format!("SELECT x, id FROM ({BOTH}) s (x) ORDER BY 1"),
            &format!("WITH s AS ({BOTH}) SELECT * FROM s ORDER BY 1"),
            &format!("SELECT * FROM (SELECT * FROM ({BOTH}) q) s, (SELECT 1 AS id) o ORDER BY 1"),
            "SELECT * FROM (SELECT a.*, b.* FROM (VALUES (1, 2)) a (x, y), (VALUES (3)) b (x)) s",
            "SELECT * FROM (SELECT count(*), count(id), max(id) FROM t) s",
            "SELECT max FROM (SELECT count(*), count(id), max(id) FROM t) s",
            "SELECT * FROM (SELECT DISTINCT a.id, b.id FROM t a, t b WHERE a.id < b.id ORDER BY a.id, b.id) s ORDER BY 1, 2",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            &format!("SELECT s.id FROM ({BOTH}) s"),
            &format!("SELECT id FROM ({BOTH}) s"),
            &format!("SELECT 1 FROM ({BOTH}) s WHERE id = 1"),
            &format!("WITH s AS ({BOTH}) SELECT id FROM s"),
            "SELECT x FROM (SELECT 1 AS x, 2 AS x) s",
            "SELECT count FROM (SELECT count(*), count(id) FROM t) s",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_in_from_and_groups_by_position() {
    let pair = Pair::start();
    pair.run(TABLE);
    pair.run("CREATE TABLE w (a int, b text, c bool)");
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        let insert =
            "INSERT INTO w SELECT * FROM unnest(ARRAY[1, 2], ARRAY['x', 'y'], ARRAY[true, false])";
        assert_eq!(client.execute(insert, &[]).await.unwrap(), 2);
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT * FROM w ORDER BY a",
            r#"SELECT a, a->>'x' FROM jsonb_array_elements('[{"x":1},{"x":"y"}]') a"#,
            r#"SELECT a->>'x' FROM t, jsonb_array_elements('[{"x":1},{"x":"y"}]') a WHERE id = 1"#,
            r#"SELECT a.value->>'x', value->'x' FROM jsonb_array_elements('[{"x":1},{"x":"y"}]') a"#,
            "SELECT jsonb_array_elements FROM jsonb_array_elements('[1,2]')",
            r#"SELECT a || '!' AS b FROM jsonb_array_elements_text('["x","y"]') a ORDER BY a DESC"#,
            "SELECT a FROM jsonb_array_elements('[3,1,2]') a ORDER BY a",
            "SELECT a FROM jsonb_array_elements('[1,2]') a (b)",
            "SELECT jsonb_agg(a), count(a) FROM jsonb_array_elements('[1,2,null]') a",
            "SELECT t.id, a FROM t, jsonb_array_elements(t.j) a WHERE jsonb_typeof(t.j) = 'array' ORDER BY 1, 2",
            r#"SELECT t.id FROM t WHERE EXISTS (SELECT 1 FROM jsonb_array_elements(CASE WHEN jsonb_typeof(t.j) = 'array' THEN t.j END) a WHERE a = '2')"#,
            r#"SELECT value->>'x' FROM jsonb_each('{"a":{"x":1}}')"#,
            "SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a', 'b', 'c'])",
            "SELECT * FROM unnest('{1,2}'::bigint[], '{a,b}'::varchar[], '{1,2}'::int[], '{1,2}'::int[])",
            "SELECT a + c, d FROM unnest('{1,2}'::bigint[], '{1,2,3}'::int[], '{1,2}'::int[]) WITH ORDINALITY AS u (a, b, c, d)",
            "SELECT s, id % 2, count(*) FROM t GROUP BY ROLLUP (1, 2) ORDER BY 1, 2, 3",
            "SELECT s, id % 2 AS k, count(*) FROM t GROUP BY CUBE (1, 2) ORDER BY 1, 2, 3",
            "SELECT s, id % 2 AS k, count(*) FROM t GROUP BY GROUPING SETS ((1), (2), ()) ORDER BY 1, 2, 3",
            "SELECT s, id % 2 AS k, count(*) FROM t GROUP BY ROLLUP (s, k) ORDER BY 1, 2, 3",
            "SELECT s, bo, count(*) FROM t GROUP BY ROLLUP ((1, 2)) ORDER BY 1, 2, 3",
            r#"SELECT j -> -1, j ->> -1, '["a","b"]'::json ->> -1 FROM t ORDER BY id"#,
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &["SELECT s, count(*) FROM t GROUP BY ROLLUP (3)"],
    )
    .await;
    let all = tide.simple_query("SHOW ALL").await.unwrap();
    let shown = all.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get("name").map(str::to_string),
        _ => None,
    });
    let shown: Vec<String> = shown.collect();
    assert!(shown.is_sorted() && shown.contains(&"server_version".to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_at_before_references() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2);
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, u int UNIQUE); INSERT INTO c VALUES (1, 1, 1);",
    );
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "INSERT INTO c VALUES (1, 9, 2)",
            "INSERT INTO c VALUES (2, 9, 1)",
            "INSERT INTO c VALUES (2, 9, 2), (2, 1, 3)",
            "INSERT INTO c VALUES (2, 9, 2)",
            "UPDATE p SET id = 2 WHERE id = 1",
            "UPDATE p SET id = 3 WHERE id = 1",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cast_alone_tells_apart() {
    let pair = Pair::start();
    pair.run(TABLE);
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT sum(id), sum(id::bigint), sum(i8), sum(i8::numeric) FROM t",
            "SELECT avg(id), avg(id::bigint), avg(id::float8), max(s), max(s::varchar), sum(DISTINCT id), sum(DISTINCT id::bigint) FROM t",
            "SELECT sum(id) + sum(id::numeric) FROM t HAVING sum(id::bigint) > 0 ORDER BY sum(id::float8)",
            "SELECT bo, sum(id), sum(CAST(id AS bigint)), sum(id) FILTER (WHERE id > 1), sum(id::bigint) FILTER (WHERE id > 1) FROM t GROUP BY bo ORDER BY 1",
            "SELECT id, sum(id) OVER (ORDER BY id), sum(id::bigint) OVER (ORDER BY id) FROM t ORDER BY id",
            "SELECT (SELECT sum(x.id::bigint) FROM t x WHERE x.id <= t.id), (SELECT sum(x.id) FROM t x WHERE x.id <= t.id) FROM t ORDER BY id",
            "SELECT string_agg(id::text, ',' ORDER BY id), string_agg(id::varchar, ',' ORDER BY id DESC) FROM t",
            "SELECT ta::varchar[], ta::varchar[]::text[], ARRAY['a'::varchar]::text[], ('{x,NULL}'::text[])::varchar[], ('{ab}'::bpchar[])::text[] FROM t ORDER BY id",
            "SELECT pg_typeof(ta::varchar[])::text, pg_typeof(ta::varchar[]::text[])::text FROM t",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numerics_keep_their_digits_beside_bare_strings() {
    let pair = Pair::start();
    pair.run("CREATE TABLE n (n numeric(6,2)); INSERT INTO n VALUES (1.5);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 3.10 UNION ALL SELECT '1'",
            "SELECT '1.250' UNION ALL SELECT 3.10",
            "SELECT n FROM n UNION ALL SELECT '1.125'",
            "SELECT NULL UNION ALL SELECT 3.10",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_several_types_have_one() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "VALUES (1.5::real), (2.5::numeric), (NULL)",
            "VALUES (1.5::numeric, 1), (2.5::real, '2'), (7, 3::float8)",
            "VALUES (2::bigint), (1.5::real), ('3')",
            "SELECT * FROM (VALUES (1.25), (2.5::float8)) AS v (x)",
            "SELECT * FROM (VALUES (date '2024-01-01'), (timestamp '2024-01-01 02:03'), ('2024-05-06')) AS v (x)",
            "SELECT * FROM (VALUES (date '2024-01-01'), (timestamptz '2024-01-01 02:03Z')) AS v (x)",
            "SELECT * FROM (VALUES ('2024-01-01'::timestamp), ('2024-01-01 02:03Z'::timestamptz), (NULL)) AS v (x) ORDER BY x",
        ],
    )
    .await;
}

#[test]
fn signs_bind_before_powers_and_moments_meet_in_the_sessions_zone() {
    let pair = Pair::start();
    for statement in [
        "SELECT -2 ^ 2, -1 ^ 0, 2 ^ -1, +5 ^ 2, -(2) ^ 2, - 2::int, -2 * 3, -5 / 2, NOT -1 = -1",
        "SELECT -9223372036854775808, -'1 day'::interval, -(ARRAY[1, 2])[1]",
        "SELECT -1 ^ 0.5",
        "SET TimeZone = 'America/New_York'; \
         SELECT timestamp '2024-02-29 12:00' - timestamptz '2024-03-10 07:30+00', \
                date '2024-03-09' - timestamptz '2024-03-10 07:30+00', \
                timestamptz '2024-03-10 07:30+00' - date '2024-03-09', \
                timestamp '2024-01-02' - date '2024-01-01', date '2024-01-05' - date '2024-01-01'",
        "SELECT date '2024-01-01' - 2440000",
        "SELECT date '2024-01-01' - 10000000",
        "SELECT 'null'::jsonb::int",
        "SELECT 65::\"char\", '7'::\"char\"::int, '10.0.0.1'::inet::text, '::1/64'::inet::text",
        "SELECT 'x' || '10.0.0.1'::inet, '10.0.0.1'::inet",
    ] {
        pair.same_or_fail(statement);
    }
}

#[test]
fn conditions_keep_their_meaning_wherever_constants_stand() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int PRIMARY KEY, x int); INSERT INTO a VALUES (1, 1), (2, 1), (3, 2), (4, NULL);
         CREATE TABLE b (id int PRIMARY KEY, x int); INSERT INTO b VALUES (1, 1), (2, 2), (3, 2);",
    );
    for statement in [
        // Below an aggregate of all rows a filter would leave a row of zeros.
        "SELECT * FROM (SELECT 'a' kind, count(*) n FROM a UNION ALL SELECT 'b', count(*) FROM b) u WHERE kind = 'b'",
        "SELECT * FROM (SELECT 1 k, count(*) n FROM a) u WHERE k = 2",
        "SELECT * FROM (SELECT x, 'c' AS c, count(*) n FROM a GROUP BY ROLLUP (x)) s WHERE c = 'd'",
        "SELECT * FROM (SELECT count(*) n FROM a) s WHERE (SELECT false)",
        "SELECT a.id, b.id FROM a LEFT JOIN b ON b.x = a.x AND 1 = a.x ORDER BY 1, 2",
        "SELECT a.id, b.id FROM a RIGHT JOIN b ON b.x = a.x AND 1 = b.x ORDER BY 2, 1",
        "SELECT count(*) FROM a JOIN b ON a.x = b.x AND 1 = a.x AND a.x = 1",
        "SELECT count(*) FROM (SELECT x AS k, 1 AS one FROM a) v WHERE k = 1 AND one = k",
        "SELECT count(*) FROM a WHERE 2 > x AND x < 2",
        "SET statement_timeout = '20s'; SELECT 2.5 ^ -2147483648, 2.5 ^ -1e6, 1.0000001 ^ 1000000000",
    ] {
        pair.same_or_fail(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chars_beside_other_texts() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE c (id int PRIMARY KEY, c char(4), v varchar(5), x text, k char(2));
         INSERT INTO c VALUES (1, 'ab', 'ab', 'ab', 'ab'), (2, 'abcd', 'abcd ', 'abc ', 'a'), (3, NULL, 'q', 'r', 'q'), (4, 'ab', 'ab  ', 'ab  ', '');",
    );
    pair.tide.peer().run("CALL tidelog.flush('c');");
    pair.run(
        "UPDATE c SET v = v || '' WHERE id = 4; INSERT INTO c VALUES (5, '', '', '  ', NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            // The spaces behind one make no difference to a varchar, but to a text.
            "SELECT 'a '::varchar = 'a'::char(3), 'a '::text = 'a'::char(3), 'a'::char(3) = 'a   '::char(5), 'a '::varchar(4) > 'a'::char(2)",
            "SELECT id FROM c WHERE c = v ORDER BY id",
            "SELECT id FROM c WHERE c = x ORDER BY id",
            "SELECT id FROM c WHERE v BETWEEN c AND c ORDER BY id",
            "SELECT a.id, b.id FROM c a JOIN c b ON a.c = b.v ORDER BY 1, 2",
            "SELECT a.id, b.id FROM c a LEFT JOIN c b ON a.c = b.x ORDER BY 1, 2",
            "SELECT id FROM c WHERE c IN (SELECT v FROM c) ORDER BY id",
            "SELECT id FROM c WHERE v = ANY (SELECT c FROM c) ORDER BY id",
            "SELECT id, c LIKE 'ab', c LIKE 'ab%', c ILIKE 'AB  ', c NOT LIKE 'ab', c ~ '^ab$', c ~* '^AB +$', c SIMILAR TO 'ab', length(c), octet_length(c) FROM c ORDER BY id",
            // They stay where types are brought together.
            "SELECT id, coalesce(c, 'n'), coalesce(c, v), coalesce(c, x), coalesce(v, c), coalesce(x, c), coalesce(c, k) FROM c ORDER BY id",
            "SELECT pg_typeof(coalesce(c, 'n')), pg_typeof(coalesce(c, x)), pg_typeof(coalesce(x, c)), pg_typeof(coalesce(v, c)) FROM c LIMIT 1",
            "SELECT id, coalesce(c, 'n') || '|', coalesce(c, x) || '|', coalesce(x, c) || '|', upper(coalesce(c, k)) || '|', length(coalesce(c, k)) FROM c ORDER BY id",
            "SELECT id, greatest(c, 'b'), least(c, 'zz'), greatest(c, k), nullif(c, 'ab') FROM c ORDER BY id",
            "SELECT id, CASE WHEN id = 1 THEN c ELSE 'x' END, CASE WHEN id < 3 THEN c WHEN id = 4 THEN k ELSE v END, CASE WHEN id < 3 THEN c END FROM c ORDER BY id",
            // Which of the two stays is chance.
            "SELECT count(*), pg_typeof(min(x)) FROM (SELECT '1'::char(4) AS x UNION SELECT '1'::varchar) u",
            "SELECT pg_typeof(x), x FROM (SELECT '1'::char(4) AS x UNION ALL SELECT '22'::text) u ORDER BY 2",
            "SELECT c, id FROM c UNION ALL SELECT k, id FROM c ORDER BY 2, 1",
            "SELECT c, id FROM c UNION ALL SELECT 'lit', 9 ORDER BY 2, 1",
            "SELECT rtrim(c) FROM (SELECT c FROM c INTERSECT SELECT v FROM c) q ORDER BY 1",
            "SELECT c FROM c EXCEPT SELECT v FROM c WHERE id = 2 ORDER BY 1",
            "SELECT c FROM c EXCEPT ALL SELECT k FROM c WHERE id = 1 ORDER BY 1",
            "SELECT count(*) FROM (SELECT c FROM c UNION SELECT v FROM c UNION SELECT k FROM c) u",
            "SELECT coalesce(c, 'n'), count(*) FROM c GROUP BY 1 ORDER BY 1",
            "SELECT count(DISTINCT coalesce(c, v)), count(DISTINCT x::char(4)) FROM c",
            "SELECT x::char(3), count(*) FROM c GROUP BY x::char(3) ORDER BY 1",
            "SELECT x::char(3), v::char(2), count(*), grouping(x::char(3)) FROM c GROUP BY ROLLUP (x::char(3), v::char(2)) ORDER BY 1, 2, 3",
            "SELECT DISTINCT x::char(3) FROM c ORDER BY 1",
            "SELECT * FROM (VALUES ('a'::char(3)), ('b'::varchar)) t (x) ORDER BY 1",
            "SELECT ARRAY['1'::char(4), '1'::text]",
            "WITH w AS (SELECT id, coalesce(c, 'n') AS d FROM c) SELECT w.d, c.id FROM w JOIN c ON w.d = c.c ORDER BY 2, w.id",
            "SELECT a.id, b.id FROM c a JOIN c b ON coalesce(a.c, 'n') = coalesce(b.c, b.v) ORDER BY 1, 2",
            "SELECT id FROM c WHERE coalesce(c, 'n') IN ('ab', 'n') ORDER BY id",
            "SELECT id FROM c WHERE coalesce(c, 'n') = 'ab' ORDER BY id",
            "SELECT id FROM c WHERE coalesce(c, 'n') = v ORDER BY id",
            "SELECT max(coalesce(c, 'n')), min(coalesce(c, k)) FROM c WHERE id < 5",
        ],
    )
    .await;
    pair.run("CREATE TABLE d AS SELECT id, c, coalesce(c, 'n') AS d FROM c;");
    pair.same("SELECT id, c, d = 'abcd', d = 'ab' FROM d ORDER BY id");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_to_the_end_is_text() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (a int);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT NULL UNION ALL SELECT NULL UNION ALL SELECT 'x' ORDER BY 1",
            "SELECT NULL UNION SELECT 1 UNION SELECT NULL ORDER BY 1",
            "SELECT pg_typeof(x) FROM (SELECT NULL AS x UNION SELECT NULL) s",
            "SELECT pg_typeof(x) FROM (SELECT 'a' AS x UNION ALL SELECT 'b') s",
            "SELECT CASE 'x' WHEN 'x' THEN 'a' ELSE 'b' END, CASE NULL WHEN NULL THEN 'a' ELSE 'b' END",
            "SELECT CASE '1' WHEN '1'::text THEN 'a' END, CASE date '2026-01-01' WHEN '2026/01/01' THEN 1 END",
            "SELECT to_regclass('9'), to_regclass('1259'), to_regclass('pg_class'), '1259'::regclass",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT NULL UNION SELECT NULL UNION SELECT 1",
            "SELECT 'a' UNION SELECT 'b' UNION SELECT 1",
            "SELECT 1 UNION (SELECT NULL UNION SELECT NULL)",
            "SELECT x FROM (SELECT NULL AS x) s UNION SELECT NULL UNION SELECT 1",
            "INSERT INTO t SELECT '1' UNION ALL SELECT NULL",
            "SELECT CASE '1' WHEN 1 THEN 'a' ELSE 'b' END",
            "SELECT CASE NULL WHEN 1 THEN 'a' ELSE 'b' END",
            "SELECT CASE '2026-01-01' WHEN date '2026-01-01' THEN 1 END",
        ],
    )
    .await;
}
