//! `timestamp(3)`, `time(0)`, `interval day to second(2)` and their like as types of columns, values and results, beside
//! PostgreSQL.

use futures::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use crate::constraints::play;
use crate::pair::{Pair, Raw, same_answers};

const COLUMNS: &str = "id int PRIMARY KEY, a timestamp(3), b timestamptz(0), c time(1), d timetz(2), e interval(3),
    f interval hour to minute, g timestamp(3)[], h interval year to month, i timestamptz(6), j interval day to second(1)[]";

/// The same columns, without their limits.
const PLAIN: &str = "id int PRIMARY KEY, a timestamp, b timestamptz, c time, d timetz, e interval,
    f interval, g timestamp[], h interval, i timestamptz, j interval[]";

/// Values that lie between two of the limited types, on both sides of the year 2000 and of zero.
const VALUES: &[&str] = &[
    "'2024-02-03 04:05:06.0005', '2024-02-03 04:05:06.5+02', '04:05:06.25', '04:05:06.255+01', '1 day 00:00:00.0015', '3 days 04:59:59', '{\"2024-01-01 00:00:00.0015\",NULL,\"1999-01-01 00:00:00.0015\"}', '1 year 11 mons 29 days', '2024-02-03 04:05:06.123456+00', '{1 day 00:00:01.25,-00:00:01.25}'",
    "'1999-02-03 04:05:06.0005', '1999-12-31 23:59:58.5+00', '23:59:59.96', '23:59:59.995-08', '-00:00:00.0015', '-04:59:59.9', '{}', '-25 mons', '1900-01-01 00:00:00.000001+00', '{}'",
    "'infinity', '-infinity', '00:00:00.04', '00:00:00.004+00', '1 mon 00:00:00.0004', '00:00:59', NULL, '13 days', 'infinity', NULL",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
];

const ROWS: &str = "SELECT * FROM p ORDER BY id";

async fn run(client: &Client, statement: &str) {
    let ran = client.batch_execute(statement).await;
    ran.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

/// Gives the table rows from `plain` by COPY in binary, under new ids, and in text, by parameters in binary.
async fn copy_and_bind(client: &Client) {
    let columns = "a, b, c, d, e, f, g, h, i, j";
    let stream = client
        .copy_out(&format!(
            "COPY (SELECT id + 40, {columns} FROM plain) TO STDOUT (FORMAT binary)"
        ))
        .await
        .unwrap();
    let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    let sink = client
        .copy_in::<_, bytes::Bytes>("COPY p FROM STDIN (FORMAT binary)")
        .await
        .unwrap();
    let mut sink = Box::pin(sink);
    for chunk in chunks {
        sink.send(chunk).await.unwrap();
    }
    sink.as_mut().finish().await.unwrap();
    for (format, first) in [("text", 50), ("csv", 60)] {
        let stream = client
            .copy_out(&format!(
                "COPY (SELECT id + {first}, {columns} FROM plain) TO STDOUT (FORMAT {format})"
            ))
            .await
            .unwrap();
        let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        let copy = format!("COPY p FROM STDIN (FORMAT {format})");
        let sink = client.copy_in::<_, bytes::Bytes>(&copy).await.unwrap();
        let mut sink = Box::pin(sink);
        for chunk in chunks {
            sink.send(chunk).await.unwrap();
        }
        sink.as_mut().finish().await.unwrap();
    }
    let rows = client
        .query(&format!("SELECT id + 70, {columns} FROM plain"), &[])
        .await
        .unwrap();
    for row in rows {
        let id: i32 = row.get(0);
        let values: Vec<Option<Raw>> = (1..row.len()).map(|column| row.get(column)).collect();
        let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&id];
        parameters.extend(
            values
                .iter()
                .map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync)),
        );
        let insert = "INSERT INTO p VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        client.execute(insert, &parameters).await.unwrap();
        let update = "UPDATE p SET a = $2, b = $3 WHERE id = $1";
        client.execute(update, &parameters[..3]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_rounded_on_every_way_in() {
    for of_users in [false, true] {
        let pair = Pair::start();
        let (tide, pg) = pair.connect().await;
        let kind = if of_users {
            " WITH (type = 'user')"
        } else {
            ""
        };
        run(&tide, &format!("CREATE TABLE p ({COLUMNS}){kind}")).await;
        run(&pg, &format!("CREATE TABLE p ({COLUMNS})")).await;
        let both = async |statement: &str| {
            run(&tide, statement).await;
            run(&pg, statement).await;
            same_answers(&tide, &pg, ROWS).await;
        };
        both("SET timezone = 'Asia/Kolkata'").await;
        both(&format!("CREATE TABLE plain ({PLAIN})")).await;
        for (n, values) in VALUES.iter().enumerate() {
            both(&format!("INSERT INTO p VALUES ({n}, {values})")).await;
            both(&format!("INSERT INTO plain VALUES ({n}, {values})")).await;
        }
        for statement in [
            "INSERT INTO p SELECT id + 10, a, b, c, d, e, f, g, h, i, j FROM plain",
            "INSERT INTO p (id, a, b) VALUES (20, timestamp '2024-01-01 00:00:00.0005', now() - now() + timestamptz '2024-01-01 00:00:00.5Z')",
            "INSERT INTO p (id, a, b, c, d) VALUES (21, date '2024-01-01', timestamp '2024-01-01 00:00:00.5', timestamp '2024-01-01 00:00:00.25', time '01:02:03.005')",
            "UPDATE p SET a = '2030-01-01 00:00:00.0005', e = '00:00:00.0005', g = array['2030-01-01 00:00:00.0005'::timestamp] WHERE id = 1",
            "UPDATE p SET a = a + interval '0.0004 seconds', b = b + interval '0.6 seconds', c = c + interval '0.06 seconds', e = e / 7, f = f / 7, h = h / 7 WHERE id < 3",
            "UPDATE p SET a = plain.a, b = plain.b, c = plain.c, d = plain.d, e = plain.e, f = plain.f, g = plain.g, h = plain.h, i = plain.i, j = plain.j FROM plain WHERE p.id = plain.id",
            "INSERT INTO p (id, a) VALUES (0, '2025-01-01 00:00:00.9996'), (30, '2025-01-01 00:00:00.9996') ON CONFLICT (id) DO UPDATE SET a = excluded.a, e = interval '1.2345 seconds', i = p.i + interval '1 second'",
            "ALTER TABLE p ADD COLUMN k timestamp(2) DEFAULT '2020-01-01 00:00:00.126'",
            "ALTER TABLE p ADD COLUMN l time(0) DEFAULT '23:59:59.5'",
            "ALTER TABLE p ADD COLUMN m interval(0) GENERATED ALWAYS AS (e * 1.5) STORED",
            "INSERT INTO p (id, e) VALUES (31, '1 second')",
            "UPDATE p SET k = DEFAULT, l = DEFAULT, e = '3.333' WHERE id = 30",
            "ALTER TABLE p ALTER COLUMN a SET DEFAULT timestamp '2020-01-01 00:00:00.0126'",
            "INSERT INTO p (id) VALUES (32)",
            "ALTER TABLE p DROP COLUMN k, DROP COLUMN l, DROP COLUMN m",
        ] {
            both(statement).await;
        }
        copy_and_bind(&tide).await;
        copy_and_bind(&pg).await;
        same_answers(&tide, &pg, ROWS).await;
        for call in ["CALL tidelog.flush('p')", "CALL tidelog.compact('p')"] {
            run(&tide, call).await;
            same_answers(&tide, &pg, ROWS).await;
        }
        for query in [
            "SELECT id FROM p WHERE a = '2024-02-03 04:05:06.001' ORDER BY id",
            "SELECT id FROM p WHERE a = '2024-02-03 04:05:06.0005' ORDER BY id",
            "SELECT id FROM p WHERE e > '00:00:00.0005' AND e IN ('1 day 00:00:00.002', '1 day 00:00:00.0015') ORDER BY id",
            "SELECT a, count(*) FROM p GROUP BY a ORDER BY a",
            "SELECT p.id, q.id FROM p JOIN plain q ON p.a = q.a AND p.b = q.b ORDER BY 1, 2",
        ] {
            same_answers(&tide, &pg, query).await;
        }
    }
}

/// The moment of the transaction is rounded as anything else is, and shown by the session's clocks.
#[tokio::test(flavor = "multi_thread")]
async fn defaults_that_are_the_clock_are_rounded() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        run(
            client,
            "CREATE TABLE n (id int PRIMARY KEY, a timestamptz(0) DEFAULT now(), b timestamp(3) DEFAULT CURRENT_TIMESTAMP,
                 c timestamp(1) DEFAULT now(), d timestamptz DEFAULT CURRENT_TIMESTAMP(2), e time(0) DEFAULT LOCALTIME,
                 f timestamp DEFAULT now())",
        )
        .await;
        run(client, "SET timezone = 'America/New_York'").await;
        run(client, "INSERT INTO n (id) VALUES (1)").await;
        run(client, "INSERT INTO n (id) SELECT 2").await;
        run(
            client,
            "INSERT INTO n VALUES (4, now(), now(), now(), now(), localtime, localtimestamp)",
        )
        .await;
    }
    let whole = |column: &str, unit: u32| {
        format!("count(*) FILTER (WHERE extract(microseconds FROM {column})::bigint % {unit} = 0)")
    };
    same_answers(
        &tide,
        &pg,
        format!(
            "SELECT {}, {}, {}, {}, {} FROM n WHERE id < 4",
            whole("a", 1_000_000),
            whole("b", 1_000),
            whole("c", 100_000),
            whole("d", 10_000),
            whole("e", 1_000_000)
        ),
    )
    .await;
    same_answers(
        &tide,
        &pg,
        "SELECT id, abs(extract(epoch FROM b - localtimestamp)) < 60, abs(extract(epoch FROM f - localtimestamp)) < 60, abs(extract(epoch FROM c - a::timestamp)) <= 1 FROM n ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_and_literals_keep_what_the_type_keeps() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        run(
            client,
            "CREATE TABLE t (id int, a timestamp, b timestamptz, c time, e interval, s text, g timestamp[]);
             INSERT INTO t VALUES (1, '2024-01-02 03:04:05.678901', '2024-01-02 03:04:05.678901Z', '03:04:05.678901',
                 '1 year 2 mons 3 days 04:05:06.789', '2024-01-02 03:04:05.678901', '{2024-01-02 03:04:05.678901,NULL}'),
                 (2, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
        run(client, "SET timezone = 'Europe/Berlin'").await;
    }
    for query in [
        "SELECT a::timestamp(3), CAST(b AS timestamp(0) with time zone), c::time(2), a::time(1), b::timetz(1), e::interval(1), s::timestamp(3), s::timestamptz(2) FROM t ORDER BY id",
        "SELECT a::timestamp(0)::timestamp(6), a::timestamptz(3), b::timestamp(3), a::date::timestamp(3), c::interval(2), e::time(1), c::timetz(0) FROM t ORDER BY id",
        "SELECT g::timestamp(3)[], g::timestamptz(1)[], g::text[]::timestamp(0)[], '{2024-01-01 00:00:00.5}'::timestamp(0)[] FROM t ORDER BY id",
        "SELECT e::interval year, e::interval month, e::interval day, e::interval hour, e::interval minute, e::interval second, e::interval second(1), e::interval year to month, e::interval day to hour, e::interval day to minute, e::interval day to second(2), e::interval hour to minute, e::interval hour to second(0), e::interval minute to second FROM t ORDER BY id",
        "SELECT timestamp(3) '2024-01-02 03:04:05.678901', time(0) '03:04:05.5', interval(2) '1.2345', timestamptz(1) '2024-01-01 00:00:00.25Z'",
        "SELECT interval '5' hour, interval '5' year, interval '5' month, interval '-5' day, interval '5.5' minute, interval '1.25' second, interval '1.25' second(1)",
        "SELECT interval '1-2' year to month, interval '1 2' day to hour, interval '1 2:03' day to minute, interval '1 2:03:04.567' day to second(2), interval '2:03' hour to minute, interval '2:03' minute to second, interval '2:03:04' hour to second, interval '2' minute to second",
        "SELECT '90'::interval minute, '1 day 90 minutes'::interval hour, '3'::interval day to hour, '1 year 5'::interval month",
        "SELECT '1 2'::interval day to hour, '-1 3'::interval hour, '3 2 hours'::interval, '1 year 2'::interval hour, '3 2 hours'::interval day",
        "SELECT interval '1 day 2:03:04' hour, interval '2:03:04' day, interval '1 mon 3 days' year to month, interval 'P1Y2M3DT4H' day to hour",
        "SELECT pg_typeof(a::timestamp(3))::text, pg_typeof(e::interval hour)::text, a::timestamp(0) = a, a::timestamp(0) > a, a::timestamp(3) - a FROM t ORDER BY id",
        "SELECT a::timestamp(0)::text, e::interval day::text, to_char(a::timestamp(1), 'MS') FROM t ORDER BY id",
        "SELECT date_trunc('hour', a::timestamp(3)), extract(second FROM a::timestamp(1)), max(a::timestamp(2)) FROM t GROUP BY a ORDER BY 1",
        "SELECT CASE WHEN id = 1 THEN a::timestamp(0) ELSE a END, coalesce(a::timestamp(1), '2020-01-01 00:00:00.55'), nullif(a::timestamp(2), a) FROM t ORDER BY id",
        "SELECT a::timestamp(0) FROM t UNION ALL SELECT a FROM t ORDER BY 1",
        "SELECT e::interval hour FROM t UNION ALL SELECT e FROM t ORDER BY 1",
        "SELECT * FROM (VALUES (timestamp(0) '2024-01-01 00:00:00.5'), (timestamp '2024-01-01 00:00:00.123')) v(x) ORDER BY x",
        "SELECT current_timestamp(3) = now()::timestamptz(3), localtimestamp(0) = localtimestamp::timestamp(0), current_time(2) = current_time::timetz(2), localtime(1) = localtime::time(1)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for query in ["SELECT $1::timestamp(0), $2::time(1), $3::interval hour, $4::timestamptz(2)[]"] {
        let plain = "SELECT a, c, e, array[b] FROM t WHERE id = 1";
        let row = pg.query_one(plain, &[]).await.unwrap();
        let values: Vec<Raw> = (0..4).map(|column| row.get(column)).collect();
        let parameters: Vec<_> = values
            .iter()
            .map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync))
            .collect();
        let (found, expected) = (
            crate::pair::binary(&tide, query, &parameters).await,
            crate::pair::binary(&pg, query, &parameters).await,
        );
        assert_eq!(found, expected, "{query}");
    }
}

/// What catalogs, psql and drivers are told.
#[test]
fn modifiers_are_shown() {
    let pair = Pair::start();
    pair.run(&format!(
        "CREATE TABLE p ({COLUMNS}, k time(0) with time zone, l interval second(4), m timestamp(0) without time zone DEFAULT CURRENT_TIMESTAMP(0),
             n timestamp(3) DEFAULT '2020-01-01 00:00:00.1234', o interval hour DEFAULT '5', o2 interval(2) DEFAULT '1.23456', o3 interval DEFAULT '1.5'::interval(0), o4 time(2) DEFAULT '01:02:03.456', q timestamp DEFAULT '2020-01-01'::timestamp(3), r timestamptz(6)[]);
         CREATE VIEW v AS SELECT a, b, e::interval day AS e, a + e AS sum FROM p;
         CREATE TABLE made AS SELECT a, b, c, d, e, f, g, h, i, j, a + e AS sum, max(a) OVER () AS most, coalesce(a, '2020-01-01') AS given FROM p;"
    ));
    for query in [
        "SELECT attrelid::regclass, attname, atttypid::regtype, atttypmod, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid IN ('p'::regclass, 'v'::regclass, 'made'::regclass) AND attnum > 0 ORDER BY attrelid::regclass::text, attnum",
        "SELECT table_name, column_name, data_type, udt_name, datetime_precision, interval_type, interval_precision FROM information_schema.columns WHERE table_name IN ('p', 'v', 'made') ORDER BY table_name, ordinal_position",
        "SELECT column_name, column_default FROM information_schema.columns WHERE table_name = 'p' ORDER BY ordinal_position",
        "SELECT format_type(1114, 3), format_type(1184, 0), format_type(1083, 6), format_type(1266, 1), format_type(1186, 2147418115), format_type(1186, 67174399), format_type(1187, 470286339), format_type(1115, 2), format_type(1231, 655366)",
    ] {
        pair.same(query);
    }
    // \d, and the types that RowDescription tells.
    for script in [
        "\\d p",
        "SELECT * FROM p \\gdesc",
        "SELECT * FROM v \\gdesc",
        "SELECT a::timestamp(1), a::timestamp, 'x'::varchar(3), now()::timestamptz(2), a + e, max(a), min(b), e::interval hour, array_agg(a), sum(1) FROM p GROUP BY a, b, e \\gdesc",
        "SELECT CASE WHEN true THEN a ELSE a END, CASE WHEN true THEN a ELSE a::timestamp(1) END, coalesce(a, a), coalesce(a, '2020-01-01'), nullif(a, '2020-01-01'), greatest(a, a) FROM p \\gdesc",
        "SELECT a, e FROM p UNION ALL SELECT a, e FROM p \\gdesc",
        "SELECT a, e FROM p UNION ALL SELECT m, f FROM p \\gdesc",
        "SELECT q.a, q.m FROM (SELECT a, max(a) AS m FROM p GROUP BY a) q \\gdesc",
        "SELECT CURRENT_TIMESTAMP(3), LOCALTIME(0), LOCALTIMESTAMP(1), CURRENT_TIME(2), CURRENT_TIMESTAMP \\gdesc",
        "SELECT interval '5' hour, interval(2) '1', timestamp(3) '2020-01-01', '2020-01-01'::timestamp(3)::timestamp \\gdesc",
        "SELECT g[1], max(a) OVER (), array_agg(a) OVER () FROM p \\gdesc",
    ] {
        let script = format!("{script}\n");
        let (expected, found) = (pair.pg.peer().run(&script), pair.tide.peer().run(&script));
        crate::pair::assert_same_lines(&script, &expected, &found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_digits_are_a_wider_type() {
    play(
        "CREATE TABLE w (id int PRIMARY KEY, a timestamp(3) UNIQUE, b timestamptz(0), c time(1), e interval(3), f interval hour, g timestamp(3)[]);
         INSERT INTO w VALUES (1, '2024-01-01 00:00:00.1236', '2024-01-01 00:00:00.6Z', '01:02:03.25', '1.2345', '1:02', '{2024-01-01 00:00:00.1236}');
         @CALL tidelog.flush('w');
         ALTER TABLE w ALTER COLUMN a TYPE timestamp(6), ALTER COLUMN b TYPE timestamptz, ALTER COLUMN c TYPE time(2);
         ALTER TABLE w ALTER COLUMN e TYPE interval, ALTER COLUMN f TYPE interval, ALTER COLUMN g TYPE timestamp[];
         INSERT INTO w VALUES (2, '2024-01-01 00:00:00.1236', '2024-01-01 00:00:00.6Z', '01:02:03.256', '1.2345', '1:02', '{2024-01-01 00:00:00.1236}');
         INSERT INTO w VALUES (3, '2024-01-01 00:00:00.124', NULL, NULL, NULL, NULL, NULL);
         SELECT * FROM w ORDER BY id;
         @CALL tidelog.flush('w');
         @CALL tidelog.compact('w');
         SELECT * FROM w ORDER BY a;
         SELECT id FROM w WHERE a = '2024-01-01 00:00:00.124';
         CREATE TABLE parent (at timestamp(3) PRIMARY KEY);
         CREATE TABLE child (at timestamp REFERENCES parent);
         INSERT INTO parent VALUES ('2024-01-01 00:00:00.1236');
         INSERT INTO child VALUES ('2024-01-01 00:00:00.124');
         INSERT INTO child VALUES ('2024-01-01 00:00:00.1236');",
    )
    .await;
    play(
        "CREATE TABLE \"W\" (a timestamp, b timestamp(3), e interval, f interval day);
         INSERT INTO \"W\" VALUES ('2024-01-01 00:00:00.123456', '2024-01-01 00:00:00.1266', '1 day 02:03:04.123456', '3 days');
         @CALL tidelog.flush('\"W\"');
         INSERT INTO \"W\" VALUES ('2024-01-01 00:00:00.9999', NULL, '-1 day 02:03:04.999999', NULL);
         ALTER TABLE \"W\" ALTER COLUMN a TYPE timestamp(3);
         ALTER TABLE \"W\" ALTER COLUMN b TYPE timestamp(2);
         ALTER TABLE \"W\" ALTER COLUMN e TYPE interval(5);
         SELECT * FROM \"W\" ORDER BY a;
         ALTER TABLE \"W\" ALTER COLUMN e TYPE interval hour;
         ALTER TABLE \"W\" ALTER COLUMN f TYPE interval day to hour;
         SELECT * FROM \"W\" ORDER BY a",
    )
    .await;
}

/// More digits than there are: a warning, and all of them.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_digits_are_warned_of() {
    let pair = Pair::start();
    for script in [
        "CREATE TABLE w (a timestamp(7), b timestamp(9) with time zone, c time(8), d timetz(10), e interval(7), f timestamp(6), g interval day to second(7))",
        "SELECT '2020-01-01'::timestamp(7), CAST('1' AS interval(9))",
        "SELECT CURRENT_TIMESTAMP(8), LOCALTIME(7)",
        "ALTER TABLE w ADD COLUMN h timestamptz(7)",
    ] {
        let found = pair.tide.peer().notices(script).await;
        // PostgreSQL reads the types of a new table twice.
        let mut expected: Vec<String> = Vec::new();
        let all = pair.pg.peer().notices(script).await;
        let half = if script.starts_with("CREATE") || script.starts_with("ALTER") {
            all.len() / 2
        } else {
            all.len()
        };
        expected.extend(all.into_iter().take(half));
        assert_eq!(found, expected, "{script}");
    }
    pair.same("SELECT attname, atttypmod FROM pg_attribute WHERE attrelid = 'w'::regclass AND attnum > 0 ORDER BY attnum");
    for refused in [
        "CREATE TABLE x (a interval hour(3))",
        "SELECT '1'::interval year(2)",
        "INSERT INTO w (a) VALUES ('2024-13-01')",
    ] {
        pair.same_or_fail(refused);
    }
    play(
        "SELECT '2024-13-01'::timestamp(3);
         SELECT 'x'::timestamptz(3);
         SELECT 'x'::interval hour;
         SELECT '2 3'::interval day to second;
         SELECT '1 3 ago'::interval hour;
         SELECT '3 days 4'::interval day;
         SELECT true::timestamp(3);
         SELECT true::timestamp(3)[];
         SELECT timestamp(3) '2024-01-01' = true;
         SELECT abs(timestamp(3) '2024-01-01');
         SELECT CASE WHEN true THEN interval '1' hour ELSE 1.5::numeric(10,2) END;
         SELECT interval '1' day to second(3) + 'x';
         CREATE TABLE x (a timestamp(3) CHECK (a > true));
         CREATE TABLE x (a timestamp(3));
         INSERT INTO x (a) VALUES (1);
         ALTER TABLE x ALTER a TYPE integer;",
    )
    .await;
}

/// As Prisma and Rails make their tables, and write to them.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_object_mappers() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE \"User\" (\"id\" SERIAL NOT NULL, \"createdAt\" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, \"updatedAt\" TIMESTAMP(3) NOT NULL,
             \"seen\" TIMESTAMPTZ(3), CONSTRAINT \"User_pkey\" PRIMARY KEY (\"id\"));
         CREATE TABLE \"posts\" (\"id\" bigserial primary key, \"title\" character varying, \"published_at\" timestamp(6), \"created_at\" timestamp(6) NOT NULL, \"updated_at\" timestamp(6) NOT NULL);
         CREATE TABLE \"ar_internal_metadata\" (\"key\" character varying NOT NULL PRIMARY KEY, \"value\" character varying, \"created_at\" timestamp(6) without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL, \"updated_at\" timestamp(6) without time zone NOT NULL);
         INSERT INTO \"User\" (\"updatedAt\", \"seen\") VALUES ('2024-01-02 03:04:05.6789', '2024-01-02 03:04:05.6789+01');
         INSERT INTO \"posts\" (\"title\", \"created_at\", \"updated_at\") VALUES ('a', '2024-01-02 03:04:05.678912', '2024-01-02 03:04:05.678912');
         CREATE INDEX ON \"posts\" (\"created_at\");",
    );
    for query in [
        "SELECT \"id\", \"updatedAt\", \"seen\", extract(microseconds FROM \"createdAt\")::int % 1000 FROM \"User\"",
        "SELECT \"title\", \"published_at\", \"created_at\" FROM \"posts\" WHERE \"created_at\" = '2024-01-02 03:04:05.678912'",
        "SELECT column_name, data_type, datetime_precision, column_default, is_nullable FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = '\"posts\"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    ] {
        pair.same(query);
    }
    let (tide, pg) = pair.connect().await;
    let update =
        "UPDATE \"User\" SET \"updatedAt\" = $1 WHERE \"updatedAt\" < $1 RETURNING \"updatedAt\"";
    let mut answers = Vec::new();
    for client in [&tide, &pg] {
        let row = client
            .query_one("SELECT timestamp '2025-01-01 00:00:00.000500'", &[])
            .await
            .unwrap();
        let at: Raw = row.get(0);
        answers.push(crate::pair::binary(client, update, &[&at]).await);
    }
    assert_eq!(answers[0], answers[1]);
}
