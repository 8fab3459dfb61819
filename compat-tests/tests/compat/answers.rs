//! What was once answered wrongly and in silence.

use crate::pair::Pair;
use crate::type_functions::{all_refused, all_same};

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_not_reach_behind_joins() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int PRIMARY KEY, g int); CREATE TABLE b (aid int, x int);
         INSERT INTO a SELECT i, i % 3 FROM generate_series(1, 6) i;
         INSERT INTO b SELECT i % 8, i FROM generate_series(1, 24) i;",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT DISTINCT a.id, b.x FROM a JOIN b ON b.x > a.id AND b.x < a.id + 3 ORDER BY a.id, b.x DESC",
            "SELECT a.id, a.g, b.x FROM a LEFT JOIN b ON a.id = b.aid GROUP BY 1, 2, 3 ORDER BY a.id, b.x DESC LIMIT 5",
            "SELECT a.id, count(*), b.x FROM a JOIN b ON a.id < b.aid GROUP BY a.id, b.x ORDER BY a.id, count(*) DESC, b.x DESC LIMIT 7",
            "SELECT id, count(*) FROM (SELECT a.id, b.x, count(*) FROM a JOIN b ON a.id < b.aid GROUP BY a.id, b.x) q GROUP BY id, x ORDER BY 1, 2",
            "SELECT count(*) FROM (SELECT id FROM (SELECT DISTINCT a.id, b.x FROM a, b) q GROUP BY id, x) z",
            "SELECT q.id, count(*) FROM (SELECT id FROM a GROUP BY id) q, b GROUP BY q.id, b.x ORDER BY q.id, b.x DESC",
            "SELECT a.id, a.g, count(*) FROM a JOIN b ON a.id < b.aid GROUP BY a.id ORDER BY 1",
            "SELECT g, count(*) FROM (SELECT a.g, a.id, b.x FROM a, b GROUP BY a.g, a.id, b.x) q GROUP BY ROLLUP (g) ORDER BY 1",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_written_as_it_is_read() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        client
            .batch_execute(
                "CREATE TABLE n (id int PRIMARY KEY, at timestamptz, day date, plain timestamp);
                 INSERT INTO n VALUES (1, now(), now(), now()), (2, (now()), current_timestamp, pg_catalog.now());
                 INSERT INTO n SELECT 3, now(), now(), now();
                 INSERT INTO n VALUES (4, now(), now(), now()) ON CONFLICT (id) DO UPDATE SET at = excluded.at;
                 INSERT INTO n VALUES (4, now(), now(), now()) ON CONFLICT (id) DO UPDATE SET at = excluded.at;
                 ALTER TABLE n ADD COLUMN added timestamptz DEFAULT now();
                 ALTER TABLE n ADD COLUMN given timestamptz NOT NULL DEFAULT now()",
            )
            .await
            .unwrap();
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id, now() - at < '1 minute', day = current_date, plain <= localtimestamp, added >= at, given >= added FROM n ORDER BY id",
            "SELECT count(*) FROM n WHERE at < date '9999-12-31' AND at > date '0900-01-01' AND now() < date '2300-01-01'",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let zone = "SET timezone = 'America/New_York'";
        client.batch_execute(zone).await.unwrap();
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT date '2020-01-02' = timestamptz '2020-01-02 00:00-05', timestamp '2020-01-02' = timestamptz '2020-01-02 00:00-05'",
            "SELECT timestamptz '2020-01-02 00:00-05' BETWEEN date '2020-01-02' AND date '2020-01-02'",
            "SELECT timestamptz '2020-01-02 00:00-05' IN (date '2020-01-02')",
            "SELECT date '2020-01-01' < timestamp '2020-01-01 10:00'",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_keep_all_their_digits_and_letters() {
    let pair = Pair::start();
    pair.run("CREATE TABLE lb (id int PRIMARY KEY, b bigint, t text);");
    pair.run("INSERT INTO lb VALUES (2, 9223372036854775807, 12345678901234567890);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 12345678901234567890, 9223372036854775808, -9223372036854775808, 9223372036854775807",
            "SELECT b, t FROM lb ORDER BY id",
            "SELECT 'a'\n'b', 'a' -- more\n 'c', E'x\\n'\n'y'",
            "SELECT 1 WHERE 'ab' = 'a'\n\n  'b'",
            "INSERT INTO lb SELECT 2, 1 ON CONFLICT (id) DO NOTHING",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &["INSERT INTO lb VALUES (1, 10000000000000000000)"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_do_not_become_infinite() {
    let pair = Pair::start();
    pair.run("CREATE TABLE f (id int PRIMARY KEY, x float8, y float4); INSERT INTO f VALUES (1, 1e308, 1e38), (2, 0, 0), (3, NULL, NULL);");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT 'NaN'::float8 / 0, 'inf'::float8 + 1, 'inf'::float8 * 2, 1 / 'inf'::float8, 0::float8 / 5",
            "SELECT id, x / 2, y - 1, x - y FROM f ORDER BY id",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SELECT 1.5::float8 / 0",
            "SELECT id, x * 10 FROM f",
            "SELECT id, x + x FROM f WHERE id = 1",
            "SELECT id, 1 / x FROM f WHERE id = 2",
            "SELECT y * y FROM f WHERE id = 1",
            "SELECT 1e-300::float8 * 1e-300::float8",
        ],
    )
    .await;
}
