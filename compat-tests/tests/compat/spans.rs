//! Aggregates and windows over intervals and times, beside PostgreSQL.

use crate::constraints::play;
use crate::pair::{Pair, same_answers};
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn intervals_are_added_up_and_averaged() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE s (id int PRIMARY KEY, g int, x interval, t time);
         INSERT INTO s SELECT n, n % 3, make_interval(months => n % 7, days => -n % 5, secs => n * 1.25), time '00:00' + n * interval '7 minutes'
             FROM generate_series(1, 60) n;
         INSERT INTO s VALUES (100, 9, NULL, NULL), (101, 10, '1 mon', '10:00'), (102, 10, '30 days', '10:00'), (103, 10, '-49 days', '10:00');",
    );
    let (tide, pg) = pair.connect().await;
    for flushed in [false, true] {
        if flushed {
            pair.tide.peer().run("CALL tidelog.flush('s');");
        }
        for query in [
            "SELECT sum(x), avg(x), sum(t), avg(t), count(x) FROM s",
            "SELECT g, sum(x), avg(x), sum(t), avg(t) FROM s GROUP BY g ORDER BY g",
            "SELECT sum(x), avg(x) FROM s WHERE id < 0",
            "SELECT sum(DISTINCT x), sum(DISTINCT t), avg(DISTINCT t), count(*) FROM s WHERE g < 3",
            "SELECT sum(x) FILTER (WHERE g = 1), avg(x) FILTER (WHERE g = 2) FROM s",
            "SELECT id, sum(x) OVER (ORDER BY id), avg(x) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING), sum(t) OVER (PARTITION BY g) FROM s ORDER BY id",
            "SELECT sum(x::interval hour) = sum(x), avg(x)::interval(0) FROM s",
            "SELECT x / 49, x / 7.0, x * 1.1 FROM s ORDER BY id",
        ] {
            same_answers(&tide, &pg, query).await;
        }
    }
    play(
        "SELECT sum(x) FROM (VALUES (interval '2000000000 months'), ('2000000000 months')) v(x);
         SELECT sum('a'::text);
         SELECT stddev(interval '1 day');",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_time_are_frames() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE r (id int PRIMARY KEY, g int, d date, at timestamp, tz timestamptz, t time, x interval, n int);
         INSERT INTO r SELECT i, i % 2, date '2024-01-30' + (i * i % 40), timestamp '2024-01-30 12:00' + (i * i % 40) * interval '11 hours',
             timestamptz '2024-01-30 12:00Z' + (i * i % 40) * interval '11 hours', time '00:15' + (i * i % 40) * interval '29 minutes',
             (i * i % 40) * interval '5 days', i FROM generate_series(1, 25) i;
         INSERT INTO r (id, n) VALUES (50, 50), (51, 51);",
    );
    let (tide, pg) = pair.connect().await;
    let mut queries = Vec::new();
    for key in ["d", "at", "tz", "x"] {
        for frame in [
            "'1 day' PRECEDING",
            "BETWEEN '1 mon' PRECEDING AND '36 hours' FOLLOWING",
            "BETWEEN interval '10' day FOLLOWING AND UNBOUNDED FOLLOWING",
            "BETWEEN '5 days'::interval PRECEDING AND '12 hours' PRECEDING",
            "BETWEEN CURRENT ROW AND '0' FOLLOWING",
        ] {
            let frame = if frame.contains("'0'") {
                "BETWEEN CURRENT ROW AND '0 days' FOLLOWING"
            } else {
                frame
            };
            for order in ["", "DESC"] {
                queries.push(format!(
                    "SELECT id, count(*) OVER w, sum(n) OVER w, min(id) OVER w FROM r WINDOW w AS (PARTITION BY g ORDER BY {key} {order} RANGE {frame}) ORDER BY id"
                ));
            }
        }
    }
    for frame in [
        "'1 hour' PRECEDING",
        "BETWEEN '30 minutes' FOLLOWING AND '3 hours' FOLLOWING",
        "BETWEEN '1 day' PRECEDING AND '1 min' FOLLOWING",
    ] {
        queries.push(format!(
            "SELECT id, count(*) OVER (ORDER BY t RANGE {frame}) FROM r ORDER BY id"
        ));
    }
    for query in queries {
        same_answers(&tide, &pg, query).await;
    }
    for client in [&tide, &pg] {
        client
            .batch_execute("SET timezone = '+05:30'")
            .await
            .unwrap();
    }
    same_answers(
        &tide,
        &pg,
        "SELECT id, count(*) OVER (ORDER BY tz RANGE '1 mon' PRECEDING) FROM r ORDER BY id",
    )
    .await;
    for client in [&tide, &pg] {
        client
            .batch_execute("SET timezone = 'Europe/Berlin'")
            .await
            .unwrap();
    }
    same_answers(
        &tide,
        &pg,
        "SELECT id, count(*) OVER (ORDER BY tz RANGE '100 hours' PRECEDING) FROM r ORDER BY id",
    )
    .await;
    play(
        "CREATE TABLE r (d date, at timestamp, n int);
         INSERT INTO r VALUES ('2024-01-01', '2024-01-01', 1);
         SELECT count(*) OVER (ORDER BY d RANGE '-1 day' PRECEDING) FROM r;
         SELECT count(*) OVER (ORDER BY at RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM r;
         SELECT count(*) OVER (ORDER BY at RANGE 'x' PRECEDING) FROM r;
         SELECT count(*) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM r;",
    )
    .await;
    for refused in [
        "SELECT count(*) OVER (ORDER BY tz RANGE '1 day' PRECEDING) FROM r",
        "SELECT count(*) OVER (ORDER BY d RANGE '20000 years' PRECEDING) FROM r",
        "SELECT count(*) OVER (ORDER BY d RANGE '1 day' PRECEDING) FROM (SELECT date 'infinity' AS d FROM r) q",
    ] {
        let error = tide.simple_query(refused).await.expect_err(refused);
        assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{refused}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_lag_by_what_they_say() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE l (id int PRIMARY KEY, g int, n int, k smallint, t text, v varchar(9), a timestamp(3));
         INSERT INTO l SELECT i, i % 3, CASE WHEN i % 5 = 0 THEN NULL ELSE i % 4 - 1 END, i % 3, 't' || i, 'v' || i, timestamp '2024-01-01' + i * interval '1.5 s'
             FROM generate_series(1, 30) i;",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT id, lag(t, n) OVER (ORDER BY id), lead(t, n) OVER (ORDER BY id) FROM l ORDER BY id",
        "SELECT id, lag(t, n, 'none') OVER w, lead(v, n, t) OVER w, lag(a, k) OVER w FROM l WINDOW w AS (PARTITION BY g ORDER BY id DESC) ORDER BY id",
        "SELECT id, lag(id, n + 1, -id) OVER (ORDER BY id), lag(id, NULL) OVER (ORDER BY id), lead(id, 2, id) OVER (ORDER BY id) FROM l ORDER BY id",
        "SELECT id, lag(n, 1) OVER (ORDER BY id), lead(n) OVER (ORDER BY id) FROM l ORDER BY id",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    play(
        "CREATE TABLE l (id int, n bigint);
         SELECT lag(id, n) OVER (ORDER BY id) FROM l;
         SELECT lag(id, id, true) OVER (ORDER BY id) FROM l;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_locked_is_warned_of() {
    let pair = Pair::start();
    for script in [
        "SELECT pg_advisory_unlock(1)",
        "SELECT pg_advisory_unlock_shared(1, 2), pg_advisory_unlock(3)",
        "SELECT pg_advisory_lock(7); SELECT pg_advisory_unlock(7); SELECT pg_advisory_unlock(7)",
        "SELECT pg_advisory_lock_shared(8); SELECT pg_advisory_unlock(8); SELECT pg_advisory_unlock_shared(8)",
    ] {
        let (found, expected) = (
            pair.tide.peer().notices(script).await,
            pair.pg.peer().notices(script).await,
        );
        assert_eq!(found, expected, "{script}");
        assert!(!found.is_empty() || !script.contains("SELECT pg_advisory_unlock(1)"));
    }
}

/// Vectors of the catalogs count from 0.
#[tokio::test(flavor = "multi_thread")]
async fn vectors_count_from_zero() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE i (a int, b int, c int, PRIMARY KEY (c, a)); CREATE TABLE vs (v int[], n int);
         INSERT INTO vs VALUES ('{1,2,3}', 2), ('{4,5}', 1), (NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT indkey[0], indkey[1], indkey[2], indkey[-1], indkey[0:0], indkey[1:], indkey[:0] FROM pg_index WHERE indrelid = 'i'::regclass",
        "SELECT array_lower(indkey, 1), array_upper(indkey, 1), array_length(indkey, 1), array_position(indkey, 1::int2), array_position(indkey, 9::int2), 3 = ANY (indkey) FROM pg_index WHERE indrelid = 'i'::regclass",
        "SELECT q.k[0], q.k[1], s FROM (SELECT indkey AS k FROM pg_index WHERE indrelid = 'i'::regclass) q, generate_series(0, 1) s WHERE q.k[s] > 1 ORDER BY s",
        "SELECT x.indkey[s], x.indkey[0:s] FROM pg_index x, generate_series(0, 1) s WHERE x.indrelid = 'i'::regclass ORDER BY s",
        "SELECT t.v[1], t.v[2:3], t.v[t.n], vs.v[1] FROM vs t, vs WHERE t.v[1] = vs.v[1] ORDER BY t.v[1]",
        "SELECT a.attname FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] WHERE x.indrelid = 'i'::regclass",
        "SELECT proargtypes[0], proargtypes[1] FROM pg_proc WHERE proname = 'pg_get_indexdef' AND pronargs = 3",
        "SELECT generate_subscripts(indkey, 1) FROM pg_index WHERE indrelid = 'i'::regclass",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

/// The microseconds of an interval reach less far here, but nothing ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn the_least_intervals_are_read_or_refused() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for text in [
        "-9223372036854.775808 seconds",
        "-2562047788.01521550222 hours",
        "-153722867280.912930133 minutes",
        "PT-2562047788H-54.775808S",
    ] {
        let query = format!("SELECT interval '{text}'");
        let error = tide.batch_execute(&query).await.expect_err(text);
        let code = error
            .as_db_error()
            .map(|error| error.code().code().to_string());
        assert_eq!(code.as_deref(), Some("22015"), "{text}");
    }
    all_refused(
        &tide,
        &pg,
        &["SELECT interval '-768614336404564650 years -8 months ago'"],
    )
    .await;
    all_same(
        &tide,
        &pg,
        &["SELECT interval '-1-2' AS a, interval '1.5 years 3 weeks' AS b, interval 'P1Y2M3W4DT5H' AS c"],
    )
    .await;
}
