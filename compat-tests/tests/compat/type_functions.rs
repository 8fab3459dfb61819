//! Operators and functions of arrays, json, times and intervals, sequences and enums, beside PostgreSQL.

use tokio_postgres::Client;

use crate::pair::{Pair, Raw, same_answers};

pub(crate) async fn all_same(tide: &Client, pg: &Client, queries: &[&str]) {
    for query in queries {
        same_answers(tide, pg, query).await;
    }
}

/// Both refuse each statement with the same SQLSTATE and message.
pub(crate) async fn all_refused(tide: &Client, pg: &Client, statements: &[&str]) {
    for statement in statements {
        let said = async |client: &Client| {
            let error = client.batch_execute(statement).await.expect_err(statement);
            let error = error.as_db_error().expect(statement);
            format!("{} {}", error.code().code(), error.message())
        };
        assert_eq!(said(tide).await, said(pg).await, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, tags text[], nums int[] DEFAULT '{1,2}');
         INSERT INTO t VALUES (1, '{a,b}', '{3,4,5}'), (2, NULL, '{}'), (3, ARRAY['c'], ARRAY[7]);
         INSERT INTO t (id, tags) VALUES (4, ARRAY['x', NULL, 'y z']);
         UPDATE t SET nums = nums || 9 WHERE id = 3;
         UPDATE t SET tags = array_append(tags, 'w') WHERE id = 4;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT * FROM t ORDER BY id",
            "SELECT ARRAY[1,2,3] AS a, ARRAY['x','y'] AS b, '{1,2}'::int[] AS c, ARRAY[]::text[] AS d",
            "SELECT nums[1] AS a, nums[99] AS b, nums[-1] AS c, nums[2:3] AS d, nums[:2] AS e, nums[2:] AS f FROM t ORDER BY id",
            "SELECT id FROM t WHERE 'a' = ANY(tags) ORDER BY id",
            "SELECT id FROM t WHERE id = ANY('{1,3}') ORDER BY id",
            "SELECT id FROM t WHERE id = ANY(ARRAY[1,4]) ORDER BY id",
            "SELECT id FROM t WHERE id <> ALL(ARRAY[1,4]) ORDER BY id",
            "SELECT id FROM t WHERE 4 < ANY(nums) ORDER BY id",
            "SELECT id FROM t WHERE 4 < ALL(nums) ORDER BY id",
            "SELECT 1 = ANY(NULL::int[]) AS a, NULL = ANY(ARRAY[1]) AS b, 1 = ANY(ARRAY[NULL, 1]) AS c, 1 = ANY(ARRAY[NULL, 2]) AS d",
            "SELECT id, array_length(nums, 1) AS a, cardinality(nums) AS b, array_upper(nums, 1) AS c, array_lower(nums, 1) AS d, array_ndims(nums) AS e FROM t ORDER BY id",
            "SELECT array_position(ARRAY['a','b','c'], 'b') AS a, array_positions(ARRAY[1,2,1], 1) AS b, array_remove(ARRAY[1,2,1], 1) AS c, array_replace(ARRAY[1,2,1], 1, 5) AS d",
            "SELECT array_append(ARRAY[1], 2) AS a, array_prepend(0, ARRAY[1]) AS b, array_cat(ARRAY[1], ARRAY[2,3]) AS c, ARRAY[1] || ARRAY[2] AS d, ARRAY[1] || 2 AS e",
            "SELECT array_to_string(ARRAY['a','b'], ',') AS a, string_to_array('a,b,c', ',') AS b",
            "SELECT ARRAY[1,2] @> ARRAY[1] AS a, ARRAY[1] <@ ARRAY[1,2] AS b, ARRAY[1,2] && ARRAY[2,3] AS c",
            "SELECT ARRAY[1,2] = ARRAY[1,2] AS a, ARRAY[1,2] < ARRAY[1,3] AS b",
            "SELECT unnest(nums) AS n FROM t WHERE id = 1",
            "SELECT n FROM unnest(ARRAY[3,1,2]) AS n ORDER BY n",
            "SELECT array_agg(id ORDER BY id DESC) AS a FROM t",
            "SELECT array_agg(id) AS a FROM t WHERE id > 99",
            "SELECT id, tags::text AS a FROM t ORDER BY id",
            "SELECT '{1,2}'::text::int[] AS a, ARRAY[1,2]::text[] AS b",
            "SELECT ARRAY(SELECT id FROM t ORDER BY id) AS a",
            "SELECT ARRAY[[1,2],[3,4]] AS a",
            "SELECT id FROM t WHERE nums = '{7,9}'",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT '{1,x}'::int[]",
            "SELECT '{1'::int[]",
            "SELECT '1,2'::int[]",
            "SELECT '{1,,2}'::int[]",
            "INSERT INTO t VALUES (9, '{a', NULL)",
        ],
    )
    .await;
    // Parameters, as drivers send them.
    for client in [&tide, &pg] {
        let rows = client
            .query(
                "SELECT id FROM t WHERE id = ANY($1) ORDER BY id",
                &[&vec![1_i32, 4]],
            )
            .await
            .unwrap();
        let ids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [1, 4]);
        let texts = vec![Some("p"), None];
        client
            .execute(
                "INSERT INTO t VALUES ($1, $2, $3)",
                &[&8_i32, &texts, &vec![1_i32]],
            )
            .await
            .unwrap();
    }
    all_same(&tide, &pg, &["SELECT * FROM t WHERE id = 8"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json() {
    let pair = Pair::start();
    pair.run(
        r#"CREATE TABLE j (id int PRIMARY KEY, b jsonb, t json);
         INSERT INTO j VALUES
            (1, '{"a": 1, "b": {"c": [1, 2, {"d": "x"}]}, "n": null}', '{"a" : 1, "k":[1 , 2]}'),
            (2, '[1, "two", null, {"k": true}]', '[1,2]'),
            (3, '"s"', '"s"');"#,
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT b -> 'a' AS a, b ->> 'a' AS b, b -> 'b' -> 'c' AS c, b ->> 'n' AS d, b -> 'zz' AS e FROM j ORDER BY id",
            "SELECT b -> 0 AS a, b ->> 1 AS b, b -> -1 AS c, b -> 9 AS d FROM j ORDER BY id",
            "SELECT b #> '{b,c,2,d}' AS a, b #>> '{b,c,2,d}' AS b FROM j ORDER BY id",
            "SELECT t -> 'k' AS a, t ->> 'a' AS b, t #>> '{k,1}' AS c FROM j ORDER BY id",
            r#"SELECT b @> '{"a": 1}' AS a, b @> '[1]' AS b, '{"a": 1}' <@ b AS c FROM j ORDER BY id"#,
            "SELECT b ? 'a' AS a, b ?| ARRAY['zz', 'b'] AS b, b ?& ARRAY['a', 'b'] AS c FROM j ORDER BY id",
            r#"SELECT b || '{"z": 9}' AS a FROM j WHERE id = 1"#,
            "SELECT b - 'a' AS a, b - ARRAY['a', 'n'] AS b, b #- '{b,c,0}' AS c FROM j WHERE id = 1",
            "SELECT b - 0 AS a, b - -1 AS b FROM j WHERE id = 2",
            "SELECT jsonb_typeof(b) AS a, json_typeof(t) AS b FROM j ORDER BY id",
            "SELECT jsonb_array_length(b) AS a FROM j WHERE id = 2",
            r#"SELECT jsonb_build_object('a', 1, 'b', 'x', 'c', NULL) AS a, json_build_object('a', 1, 'b', 'x') AS b, jsonb_build_array(1, 'x', NULL, true) AS c, json_build_array(1, 'x') AS d"#,
            "SELECT to_jsonb(1) AS a, to_jsonb('x'::text) AS b, to_json(ARRAY[1,2]) AS c, to_jsonb(ARRAY['a', NULL]) AS d, to_json(true) AS e",
            r#"SELECT jsonb_set('{"a": 1}', '{b}', '2') AS a, jsonb_set('{"a": {"x": 1}}', '{a,x}', '"y"') AS b, jsonb_set('{"a": 1}', '{b}', '2', false) AS c, jsonb_insert('[1,2]', '{1}', '9') AS d"#,
            r#"SELECT jsonb_strip_nulls('{"a": null, "b": [null, 1]}') AS a, jsonb_pretty('{"a": [1, {"b": 2}]}') AS b"#,
            "SELECT jsonb_extract_path(b, 'b', 'c') AS a, jsonb_extract_path_text(b, 'a') AS b FROM j ORDER BY id",
            "SELECT jsonb_object_keys(b) AS k FROM j WHERE id = 1",
            "SELECT jsonb_array_elements(b) AS v FROM j WHERE id = 2",
            "SELECT jsonb_array_elements_text(b) AS v FROM j WHERE id = 2",
            r#"SELECT value FROM jsonb_array_elements('[1, {"a": 2}]')"#,
            r#"SELECT key, value FROM jsonb_each('{"a": 1, "b": "x"}')"#,
            r#"SELECT key, value FROM jsonb_each_text('{"a": 1, "b": "x"}')"#,
            "SELECT jsonb_agg(id ORDER BY id) AS a, json_agg(id ORDER BY id) AS b FROM j",
            "SELECT jsonb_object_agg(id, id * 2) AS a FROM j",
            "SELECT json_agg(id) AS a FROM j WHERE id > 9",
            r#"SELECT ('{"a": 5}'::jsonb -> 'a')::int AS a, ('true'::jsonb)::bool AS b, ('1.5'::jsonb)::numeric(4,2) AS c"#,
            r#"SELECT id FROM j WHERE b ->> 'a' = '1'"#,
            r#"SELECT id FROM j WHERE (b ->> 'a')::int = 1"#,
            r#"SELECT '{"b": 1, "a": 2}'::json AS a, '{"b": 1, "a": 2}'::jsonb AS b, '{"b": 1}'::json::jsonb AS c"#,
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT '{a}'::jsonb",
            "SELECT '{\"a\": }'::json",
            "SELECT jsonb_array_length('{}')",
            "SELECT ('\"x\"'::jsonb)::int",
            "SELECT jsonb_build_object('a')",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let row = client
            .query_one("SELECT b ->> $1 FROM j WHERE id = 1", &[&"a"])
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_intervals() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    pair.same_or_fail(
        "SET timezone = 'America/New_York'; SELECT timestamp '2024-02-29 12:00' - timestamptz '2024-03-10 07:30+00' AS a, date '2024-02-29' - timestamptz '2024-03-10 07:30+00' AS b, timestamptz '2024-03-10 07:30+00' - timestamp '2024-02-29 12:00' AS c",
    );
    all_same(
        &tide,
        &pg,
        &[
            "SELECT '2024-02-29 12:34'::time AS a, '123456'::time AS b, '12:34 PM'::time AS c, '2024-02-29 12:34+02'::timetz AS d",
            "SELECT date '5874897-12-30' + 1 AS a, date '4714-11-24 BC' AS b, 'infinity'::date + 1 AS c",
            "SELECT interval '1 day' AS a, interval '3' hour AS b, '1 year 2 mons'::interval AS c, interval '-1 day 02:03' AS d",
            "SELECT timestamp '2024-01-31 10:00' + interval '1 month' AS a, timestamptz '2024-01-31 10:00+00' - interval '1 day 2 hours' AS b, date '2024-02-28' + interval '1 day' AS c",
            "SELECT date '2024-03-01' - date '2024-02-01' AS a, date '2024-01-01' + 31 AS b, date '2024-01-31' - 31 AS c",
            "SELECT timestamp '2024-03-01 12:00' - timestamp '2024-02-01 11:30' AS a, timestamptz '2024-01-01 00:00+00' - timestamptz '2024-01-02 01:00+00' AS b",
            "SELECT time '10:00' + interval '25 hours' AS a, time '10:00' - time '12:30' AS b, date '2024-01-01' + time '10:00' AS c",
            "SELECT interval '1 day' * 2 AS a, 1.5 * interval '1 month' AS b, interval '1 hour' / 3 AS c, interval '1 day' + interval '2 hours' AS d, -interval '1 day' AS e",
            "SELECT interval '1 month' = interval '30 days' AS a, interval '1 day' > interval '23 hours' AS b, interval '2 hours' < '3 hours' AS c",
            "SELECT age(timestamp '2024-03-15', timestamp '2023-01-20 10:00') AS a, justify_days(interval '35 days') AS b, justify_hours(interval '30 hours') AS c",
            "SELECT timestamptz '2024-07-01 12:00+00' AT TIME ZONE 'Europe/Berlin' AS a, timestamp '2024-07-01 12:00' AT TIME ZONE 'America/New_York' AS b",
            "SELECT '12:30'::time AS a, '12:30+02'::timetz AS b, timestamp '2024-01-01 10:11:12'::time AS c, timestamp '2024-01-01 10:11:12'::date AS d",
            "SELECT '2024-01-01'::date::timestamptz AS a, '2024-06-01 12:00 Europe/Paris'::timestamptz AS b, '2024-06-01 12:00 PST'::timestamptz AS c",
            "SELECT 'infinity'::timestamp AS a, '-infinity'::date AS b, '0044-03-15 BC'::date AS c, '0044-03-15 10:00:00+00 BC'::timestamptz AS d",
            "SELECT '1 day'::interval::text AS a, '10:00'::time::text AS b",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT '2024-02-29'::time",
            "SELECT '29-Feb-24'::timetz",
            "SELECT date '2024-01-01' - 10000000",
            "SELECT date '5874897-12-31' + 1",
            "SELECT 'x'::interval",
            "SELECT '25:00'::time",
            "SELECT '2024-02-30'::date",
            "SELECT '3000000000 years'::interval",
            "SELECT timestamptz '2024-01-01' AT TIME ZONE 'nowhere'",
            "SELECT '2024-01-01 10:00 Nowhere/Atall'::timestamptz",
        ],
    )
    .await;
    for zone in [
        "Europe/Berlin",
        "America/New_York",
        "+05:30",
        "-3",
        "CST7CDT,M4.1.0,M10.5.0",
        "nzst-12nzdt,M9.5.0,M4.1.0/3",
        "est5edt4:30,J60,299/3:15",
        "<-03>3<-02>,59/-1,M10.5.0/24",
        "MST7MDT6",
        "CST7CDT",
        "FOO-5",
        "UTC",
    ] {
        let set = format!("SET TimeZone TO '{zone}'");
        tide.batch_execute(&set).await.unwrap();
        pg.batch_execute(&set).await.unwrap();
        all_same(
            &tide,
            &pg,
            &[
                "SHOW TimeZone",
                "SELECT '2024-07-01 12:00'::timestamptz AS a, '2024-01-01 12:00+00'::timestamptz AS b",
                // Every change of clocks of some years, from both sides, and what clocks skip or show twice.
                "SELECT g FROM generate_series(timestamptz '2023-12-30 00:30+00', '2025-01-02', '23 hours') g",
                "SELECT g AS local, g::timestamptz AS at FROM generate_series(timestamp '2024-01-01 01:30', '2024-12-31', '11 hours') g",
                "SELECT g AS local, g::timestamptz AS at FROM generate_series(timestamp '2024-01-01 02:30', '2024-12-31', '1 day') g",
                "SELECT timestamptz '1905-07-01 12:00+00' AS a, timestamptz '2250-07-01 12:00+00' AS b",
                "SELECT timestamptz '2024-07-01 12:00+00'::timestamp AS a, timestamptz '2024-07-01 23:30+00'::date AS b",
                "SELECT timestamp '2024-07-01 12:00'::timestamptz AS a, date '2024-07-01'::timestamptz AS b",
                "SELECT timestamptz '2024-07-01 12:00+00'::text AS a",
                "SELECT timestamptz '2024-03-30 12:00+00' + interval '1 day' AS a, timestamptz '2024-03-30 12:00+00' + interval '24 hours' AS b",
                "SELECT to_jsonb(timestamptz '2024-07-01 12:00+00') AS a",
                "SELECT date_trunc('day', timestamptz '2024-07-01 23:30+00') AS a, date_trunc('hour', timestamptz '2024-01-01 23:30+00') AS b",
                "SELECT extract(hour FROM timestamptz '2024-07-01 23:30+00')::int AS a, extract(day FROM timestamptz '2024-07-01 23:30+00')::int AS b, extract(epoch FROM timestamptz '2024-07-01 23:30+00')::int8 AS c",
            ],
        )
        .await;
    }
    // Values in binary that none can be.
    let zone = [&0_i64.to_be_bytes()[..], &i32::MAX.to_be_bytes()].concat();
    let early = [&(-1_i64).to_be_bytes()[..], &0_i32.to_be_bytes()].concat();
    for (ty, value) in [
        ("date", (i32::MIN + 1).to_be_bytes().to_vec()),
        ("date", 2_145_031_949_i32.to_be_bytes().to_vec()),
        ("timestamp", (i64::MIN + 1).to_be_bytes().to_vec()),
        ("timestamptz", (i64::MAX - 1).to_be_bytes().to_vec()),
        ("timetz", zone),
        ("timetz", early),
    ] {
        let mut said = Vec::new();
        for client in [&tide, &pg] {
            let query = format!("SELECT $1::{ty}");
            let error = client.query(&query, &[&Raw(value.clone())]).await;
            let error = error
                .err()
                .and_then(|error| Some(error.as_db_error()?.clone()));
            let error = error.unwrap_or_else(|| panic!("{ty} {value:?} is taken"));
            said.push((error.code().clone(), error.message().to_string()));
        }
        assert_eq!(said[0], said[1], "{ty} {value:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn templates() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let moments = [
        "timestamp '2024-03-05 14:05:06.789012'",
        "timestamp '2023-12-31 00:00:00'",
        "timestamp '0044-03-15 12:30:00 BC'",
        "timestamptz '2024-07-01 23:59:59.5+00'",
        "date '2021-01-03'",
        "timestamp 'infinity'",
    ];
    let templates = [
        "YYYY-MM-DD HH24:MI:SS.US",
        "FMDay, FMDDth Month YYYY, HH12:MI am",
        "DAY Day day|DY Dy dy|MONTH|Mon|mon",
        "Y,YYY YYY YY Y|IYYY-IW-ID IDDD|DDD D W WW Q CC J",
        "MS FF3 SSSS|A.M. B.C. ad|RM rm|\"quoted YYYY\" x",
        "FMMM/FMDD/YY FMHH24 HHth DDTH",
    ];
    for zone in ["UTC", "Europe/Berlin"] {
        for client in [&tide, &pg] {
            let set = format!("SET TimeZone TO '{zone}'");
            client.batch_execute(&set).await.unwrap();
        }
        for moment in moments {
            for template in templates {
                let query = format!("SELECT to_char({moment}, '{template}') AS a");
                same_answers(&tide, &pg, &query).await;
            }
            if moment.starts_with("timestamptz") {
                let query = format!("SELECT to_char({moment}, 'OF TZH:TZM') AS a");
                same_answers(&tide, &pg, &query).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_beside_numbers() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE f (x float8, y real, n numeric(10,2));
         INSERT INTO f VALUES (1e300, 0.1, 2.5), (2.5, 2.5, 0.1), ('NaN', -1e-30, 7), (-1e-300, 1e10, 1e3);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT x FROM f WHERE x > 2.5 ORDER BY x",
            "SELECT x FROM f WHERE x = 2.5",
            "SELECT x FROM f WHERE x IN (2.5, 1e300) ORDER BY x",
            "SELECT x FROM f WHERE x BETWEEN -0.5 AND 2.5 ORDER BY x",
            "SELECT y FROM f WHERE y = 0.1",
            "SELECT y FROM f WHERE y > 1.5 ORDER BY y",
            "SELECT x + 1.5 AS a FROM f WHERE x < 100 ORDER BY 1",
            "SELECT x FROM f WHERE x > n ORDER BY x",
            "SELECT 1e3 AS a, 1.5e-3 AS b, 12e2 + 1 AS c",
            "SELECT 1e300::float8 > 2.5 AS a",
            "SELECT every(x > 0) AS a, count(*) AS b FROM f WHERE x < 5",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_serial_and_identity() {
    let pair = Pair::start();
    pair.run(
        "CREATE SEQUENCE s START 10 INCREMENT 5;
         CREATE TABLE a (id serial PRIMARY KEY, x text);
         CREATE TABLE b (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text);
         CREATE TABLE c (id int GENERATED BY DEFAULT AS IDENTITY (START WITH 100), x text);
         CREATE TABLE d (n int DEFAULT nextval('s'), x text);
         INSERT INTO a (x) VALUES ('p'), ('q');
         INSERT INTO b (x) VALUES ('p'), ('q');
         INSERT INTO c (x) VALUES ('p');
         INSERT INTO c VALUES (7, 'q');
         INSERT INTO d (x) VALUES ('p'), ('q');
         INSERT INTO a VALUES (DEFAULT, 'r');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT * FROM a ORDER BY id",
            "SELECT * FROM b ORDER BY id",
            "SELECT * FROM c ORDER BY id",
            "SELECT * FROM d ORDER BY n",
            "SELECT nextval('s')",
            "SELECT currval('s'), lastval()",
            "SELECT setval('s', 100)",
            "SELECT nextval('s'::regclass)",
            "SELECT setval('s', 200, false)",
            "SELECT nextval('s')",
            "SELECT pg_get_serial_sequence('a', 'id')",
            "SELECT nextval('a_id_seq')",
            "SELECT column_name, is_identity, identity_generation FROM information_schema.columns WHERE table_name IN ('a', 'b', 'c') ORDER BY table_name, ordinal_position",
            "SELECT nextval('s') AS n FROM generate_series(1, 3)",
        ],
    )
    .await;
    // Not given back by a rollback.
    for client in [&tide, &pg] {
        client
            .batch_execute("BEGIN; INSERT INTO a (x) VALUES ('gone'); ROLLBACK; INSERT INTO a (x) VALUES ('kept')")
            .await
            .unwrap();
    }
    all_same(&tide, &pg, &["SELECT * FROM a ORDER BY id"]).await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT nextval('nope')",
            "SELECT setval('s', -1)",
            "INSERT INTO b VALUES (5, 'x')",
            "CREATE SEQUENCE s",
            "CREATE SEQUENCE z INCREMENT 0",
            "DROP SEQUENCE a_id_seq",
            "DROP SEQUENCE nope",
        ],
    )
    .await;
    pair.run("DROP TABLE a; DROP SEQUENCE IF EXISTS nope; CREATE SEQUENCE m MAXVALUE 4;");
    all_refused(&tide, &pg, &["SELECT nextval('a_id_seq')"]).await;
    all_same(&tide, &pg, &["SELECT nextval('m')", "SELECT nextval('m')"]).await;
    all_refused(&tide, &pg, &["SELECT nextval('m')"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enums() {
    let pair = Pair::start();
    pair.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
         CREATE TABLE p (id int PRIMARY KEY, m mood, ms mood[]);
         CREATE TABLE k (m mood PRIMARY KEY);
         INSERT INTO p VALUES (1, 'happy', '{sad,ok}'), (2, 'sad', NULL), (3, 'ok', '{}');
         ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok';
         ALTER TYPE mood ADD VALUE IF NOT EXISTS 'great';
         INSERT INTO p VALUES (4, 'meh', '{meh}');
         INSERT INTO k VALUES ('great'), ('meh'), ('sad');",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT id, m, ms FROM p ORDER BY id",
        "SELECT id FROM p WHERE m = 'meh'",
        "SELECT id FROM p WHERE m > 'sad' ORDER BY id",
        "SELECT m FROM p ORDER BY m",
        "SELECT m FROM p ORDER BY m DESC",
        "SELECT m FROM k ORDER BY m",
        "SELECT 'ok'::mood AS a, 'ok'::mood::text AS b",
        "SELECT m, count(*) FROM p GROUP BY m ORDER BY m",
        "SELECT enumlabel FROM pg_enum ORDER BY enumsortorder",
    ] {
        pair.same(query);
    }
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 'x'::mood",
            "INSERT INTO p VALUES (9, 'x', NULL)",
            "CREATE TYPE mood AS ENUM ('a')",
            "ALTER TYPE mood ADD VALUE 'ok'",
            "ALTER TYPE mood ADD VALUE 'y' BEFORE 'zz'",
            "DROP TYPE nope",
            "INSERT INTO k VALUES ('meh')",
        ],
    )
    .await;
    pair.run("DROP TABLE p; DROP TABLE k; DROP TYPE mood;");
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_and_names() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE c (id int PRIMARY KEY, b char(5), v varchar(3), n name);
         INSERT INTO c VALUES (1, 'ab', 'xyz', 'a_name'), (2, 'ab   ', 'x', 'b'), (3, NULL, NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT * FROM c ORDER BY id",
            "SELECT id FROM c WHERE b = 'ab' ORDER BY id",
            "SELECT id FROM c WHERE b = 'ab      ' ORDER BY id",
            "SELECT length(b) AS a, b || '|' AS b, b::text AS c FROM c ORDER BY id",
            "SELECT 'abcdef'::varchar(3) AS a, 'abcdef'::char(3) AS b, 'ab'::char(4) AS c, 'xyz'::\"char\" AS d",
            "SELECT 1.5::float8::int AS a, 2.5::float8::int AS b, 1.5::numeric::int AS c, 2.5::numeric::int AS d, -2.5::numeric::int AS e",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "INSERT INTO c VALUES (4, 'abcdef', 'x', 'n')",
            "INSERT INTO c VALUES (4, 'a', 'abcd', 'n')",
            "SELECT 'x'::int",
            "SELECT 99999999999::int",
            "SELECT 1e10::float8::int",
            "SELECT 9223372036854775807::bigint::time",
            "SELECT 65::bigint::interval",
            "SELECT '10:00'::time::int",
            "SELECT 'off'::text::regtype",
            "SELECT 'maybe'::bool",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_follow_the_transaction() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for step in [
        "BEGIN",
        "SET LOCAL search_path TO a, b",
        "SET application_name TO 'inside'",
        "SHOW search_path",
        "ROLLBACK",
        "SHOW search_path",
        "SHOW application_name",
        "SELECT set_config('search_path', 'pg_catalog', false)",
        "SHOW search_path",
        "RESET search_path",
        "SELECT set_config('my.name', 'alice', false)",
        "SELECT current_setting('my.name')",
        "SELECT current_setting('my.other', true)",
        "BEGIN",
        "SELECT set_config('my.name', 'bob', true)",
        "SELECT current_setting('my.name')",
        "COMMIT",
        "SELECT current_setting('my.name')",
        "SET my.name TO 'carol'",
        "SELECT current_setting('my.name')",
        "BEGIN",
        "SET LOCAL TimeZone TO 'Europe/Berlin'",
        "SELECT '2024-07-01 00:00+00'::timestamptz",
        "COMMIT",
        "SELECT '2024-07-01 00:00+00'::timestamptz",
        "BEGIN",
        "SET my.name TO 'dora'",
        "SAVEPOINT s",
        "SET LOCAL my.name TO 'eve'",
        "SET application_name TO 'deep'",
        "SHOW my.name",
        "ROLLBACK TO s",
        "SHOW my.name",
        "SHOW application_name",
        "COMMIT",
        "SHOW my.name",
        "DISCARD ALL",
    ] {
        assert_eq!(
            crate::pair::text(&tide, step).await,
            crate::pair::text(&pg, step).await,
            "{step}"
        );
    }
}
