//! Dates that timestamps do not reach, and times of day with and without zones, where one becomes the other.

use crate::pair::Pair;
use crate::type_functions::{all_refused, all_same};

/// A date past the year 294276, as every function of timestamps is given it.
#[tokio::test(flavor = "multi_thread")]
async fn dates_beyond_timestamps_are_refused_as_such() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE d (id int PRIMARY KEY, d date, t timestamp, z timestamptz);
         INSERT INTO d VALUES (1, '2020-01-01', '2020-01-01', '2020-01-01'), (2, '300000-01-01', NULL, NULL);",
    );
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT date '300000-01-01'::timestamp",
            "SELECT date '300000-01-01'::timestamptz",
            "SELECT date_part('day', date '300000-01-01')",
            "SELECT date_part('day', d) FROM d",
            "SELECT date_trunc('month', date '300000-01-01')",
            "SELECT date_trunc('month', d) FROM d",
            "SELECT age(date '300000-01-01', date '2020-01-01')",
            "SELECT age(d, timestamp '2020-01-01') FROM d",
            "SELECT to_char(date '300000-01-01', 'YYYY')",
            "SELECT to_char(d, 'YYYY') FROM d",
            "SELECT date '300000-01-01' + interval '1 day', d - interval '1 day' FROM d",
            "SELECT date '300000-01-01' + time '10:00'",
            "SELECT d + timetz '10:00+01' FROM d",
            "SELECT date '300000-01-01' - timestamp '2020-01-01'",
            "SELECT date '300000-01-01' AT TIME ZONE 'UTC'",
            "SELECT date_bin('1 day', date '300000-01-01', timestamp '2020-01-01')",
            "SELECT (date '300000-01-01', date '300000-01-03') OVERLAPS (date '2000-01-01', date '2001-01-01')",
            "SELECT * FROM generate_series(date '300000-01-01', date '300000-01-03', interval '1 day')",
            "SELECT greatest(date '300000-01-01', timestamp '2020-01-01')",
            "SELECT coalesce(d, t) FROM d ORDER BY id",
            "SELECT d FROM d UNION ALL SELECT t FROM d",
            "SELECT '{300000-01-01}'::date[]::timestamp[]",
            "INSERT INTO d (id, t) SELECT 3, d FROM d WHERE id = 2",
            "UPDATE d SET z = d",
            "SELECT make_timestamp(300000, 1, 1, 0, 0, 0)",
            "SELECT timestamp '4714-11-24 BC' - interval '1 day'",
            "SELECT timestamp '4714-11-24 BC' AT TIME ZONE 'Asia/Tokyo'",
            "SELECT date_trunc('year', timestamp '4714-11-24 BC')",
        ],
    )
    .await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT d, d + 1, d - date '2000-01-01', d::text, extract(day FROM d), isfinite(d), to_json(d) FROM d ORDER BY id",
            "SELECT date_trunc('day', date 'infinity'), date '-infinity'::timestamp, date_part('year', date 'infinity')",
        ],
    )
    .await;
    pair.run("UPDATE d SET d = 'infinity', t = timestamp 'infinity' WHERE id = 2; UPDATE d SET z = d, t = z WHERE id = 2; UPDATE d SET d = z, t = d WHERE id = 1;");
    pair.same("SELECT * FROM d ORDER BY id");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_day_beside_those_with_a_zone() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE c (id int PRIMARY KEY, t time, z timetz, s time(0));
         INSERT INTO c VALUES (1, '10:10', '10:10:30.5+05', '11:11:11.6'), (2, NULL, '12:00-03', NULL), (3, '01:02:03.4', NULL, '02:00');",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT time '10:10' UNION ALL SELECT timetz '10:10+05'",
            "SELECT timetz '10:10+05' AS x UNION ALL SELECT time '10:10'",
            "SELECT x FROM (VALUES (time '10:10'), (timetz '10:10+05')) v(x)",
            "SELECT t FROM c UNION ALL SELECT z FROM c ORDER BY 1",
            "SELECT id, CASE WHEN id = 1 THEN t ELSE z END FROM c ORDER BY id",
            "SELECT id, CASE id WHEN 2 THEN z WHEN 1 THEN s END FROM c ORDER BY id",
            "SELECT id, coalesce(t, z), coalesce(z, t), coalesce(s, t, z), coalesce(z, NULL) FROM c ORDER BY id",
            "SELECT coalesce(timetz '10:10+01', NULL), coalesce(NULL, timetz '10:10+01'), coalesce('09:00+02', timetz '10:10+01')",
            "SELECT nullif(timetz '10:10+01', '10:10+02')",
            "SELECT ARRAY[time '10:10', timetz '10:10+05']",
            "SELECT id FROM c WHERE t = z OR z > t ORDER BY id",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let statement = client
            .prepare("SELECT coalesce($1, timetz '10:10+01')::text")
            .await
            .unwrap();
        assert_eq!(statement.params()[0].name(), "timetz");
    }
}

/// What an assignment makes of moments, times and intervals, and what it refuses.
#[tokio::test(flavor = "multi_thread")]
async fn moments_are_assigned_to_times_of_day() {
    let pair = Pair::start();
    pair.run(
        "SET TimeZone = 'Asia/Tokyo';
         CREATE TABLE a (id int PRIMARY KEY, t time, z timetz, s time(1), w timetz(0), i interval, m timestamp, d date);
         INSERT INTO a (id, t, z, s, w, i) VALUES
            (1, timestamptz '2020-06-01 10:10:10.55+00', timestamptz '2020-06-01 10:10:10.55+00', timestamptz '2020-06-01 10:10:10.55+00', timestamptz '2020-06-01 10:10:10.55+00', time '01:02'),
            (2, interval '25:30:00.25', time '10:10', interval '-1 hour', time '10:10:10.9', time '01:02'),
            (3, timetz '10:10:10.55+02', timetz '10:10:10.55+02', timetz '10:10:10.55+02', timetz '10:10:10.55+02', NULL),
            (4, timestamp '2020-06-01 10:10:10.55', NULL, timestamp 'infinity', NULL, NULL);
         INSERT INTO a (id, t, z) SELECT 5, i, t FROM a WHERE id = 1;
         UPDATE a SET m = timestamptz '2020-06-01 20:10:10.55+00', d = timestamptz '2020-06-01 20:10:10.55+00' WHERE id = 1;
         UPDATE a SET t = z, s = z WHERE id = 2;
         CREATE TABLE r (id int, t interval, z timestamptz);
         INSERT INTO r VALUES (1, '26:10', '2020-06-01 20:10:10.55+00');
         ALTER TABLE r ALTER t TYPE time, ALTER z TYPE timetz;",
    );
    pair.same("SET TimeZone = 'Asia/Tokyo'; SELECT * FROM a ORDER BY id; SELECT * FROM r");
    let (tide, pg) = pair.connect().await;
    all_refused(
        &tide,
        &pg,
        &[
            "INSERT INTO a (id, t) VALUES (9, date '2020-01-01')",
            "INSERT INTO a (id, z) VALUES (9, timestamp '2020-01-01')",
            "INSERT INTO a (id, z) VALUES (9, interval '1 hour')",
            "INSERT INTO a (id, i) VALUES (9, timetz '10:10+01')",
            "INSERT INTO a (id, d) VALUES (9, time '10:10')",
            "ALTER TABLE a ALTER d TYPE time",
        ],
    )
    .await;
}
