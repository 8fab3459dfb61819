//! Keys, checks, foreign keys, DDL in blocks and cold files over arrays, times, intervals, enums, char(n) and sequences.

use serde_json::json;

use crate::constraints::play;

/// Every type as a key, in both tiers: what is a duplicate, what a condition or an order finds.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type() {
    for (ty, values, same) in [
        ("time", "'10:00', '09:00:00.5', '24:00'", "'10:00:00'"),
        (
            "timetz",
            "'10:00+00', '09:00+02', '10:00-01'",
            "'10:00:00+00'",
        ),
        (
            "interval",
            "'1 mon', '-1 day', '25 hours', '2 years 3 mons'",
            "'30 days'",
        ),
        ("char(4)", "'ab', '', 'abcd'", "'ab  '"),
        ("name", "'n', '', 'N'", "'n'"),
        ("oid", "'1', '4294967295', '0'", "'1'"),
        (
            "int[]",
            "'{1,2}', '{}', '{1}', '{1,NULL}', '{-5}'",
            "'{1,2}'",
        ),
        ("text[]", "'{a,b}', '{}', '{\"a,b\"}'", "'{\"a\",b}'"),
        ("mood", "'sad', 'happy', 'ok'", "'sad'"),
    ] {
        let list: Vec<&str> = values.split(", ").collect();
        let rows = |first: usize| -> String {
            let rows = list.iter().enumerate();
            let rows: Vec<String> = rows
                .map(|(n, value)| format!("({value}, {})", n + first))
                .collect();
            rows.join(", ")
        };
        let (one, last) = (list[0], list[list.len() - 1]);
        play(&format!(
            "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
             CREATE TABLE k (v {ty} PRIMARY KEY, n int);
             CREATE TABLE u (id serial PRIMARY KEY, v {ty} UNIQUE, w {ty});
             CREATE INDEX ON u (w);
             INSERT INTO k VALUES {rows};
             INSERT INTO k VALUES ({same}, 100);
             INSERT INTO u (v, w) SELECT v, v FROM k ORDER BY n;
             INSERT INTO u (v) VALUES ({same});
             SELECT v, n FROM k WHERE v = {same};
             SELECT v, n FROM k ORDER BY v;
             SELECT v, n FROM k ORDER BY v DESC LIMIT 2;
             SELECT n FROM k WHERE v > {one} ORDER BY n;
             SELECT n FROM k WHERE v <= {one} ORDER BY n;
             SELECT id FROM u WHERE w = {same};
             SELECT id FROM u WHERE w >= {last} ORDER BY w, id;
             @CALL tidelog.flush('k');
             @CALL tidelog.flush('u');
             INSERT INTO k VALUES ({same}, 100);
             INSERT INTO u (v) VALUES ({same});
             SELECT v, n FROM k WHERE v = {same};
             SELECT v, n FROM k ORDER BY v;
             SELECT v, n FROM k ORDER BY v LIMIT 1;
             SELECT n FROM k WHERE v > {one} ORDER BY n;
             SELECT n FROM k WHERE v BETWEEN {one} AND {last} ORDER BY n;
             SELECT n FROM k WHERE v IN ({one}, {last}) ORDER BY n;
             SELECT id FROM u WHERE w = {same};
             SELECT v, count(*) FROM k GROUP BY v ORDER BY v;
             UPDATE k SET v = {same} WHERE n = {first};
             UPDATE k SET n = n + 50 WHERE v = {one};
             DELETE FROM k WHERE v = {last};
             BEGIN;
             UPDATE u SET v = {same} WHERE v = {one};
             SELECT id, v FROM u WHERE v = {one};
             COMMIT;
             INSERT INTO k VALUES ({same}, 9) ON CONFLICT (v) DO UPDATE SET n = excluded.n RETURNING v, n;
             @CALL tidelog.flush('k');
             @CALL tidelog.compact('k');
             @CALL tidelog.compact('u');
             SELECT v, n FROM k ORDER BY v;
             SELECT id, v, w FROM u ORDER BY w, id;
             ALTER TABLE k ADD CHECK (v <> {same});
             CREATE TABLE c (v {ty} REFERENCES k);
             INSERT INTO c VALUES ({same}), (NULL);
             INSERT INTO c VALUES ({last});
             DELETE FROM k WHERE v = {one};",
            rows = rows(1),
            first = 1,
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_key() {
    play(
        "CREATE TABLE j (a json PRIMARY KEY);
         CREATE TABLE j (id int PRIMARY KEY, a json, b jsonb);
         ALTER TABLE j ADD UNIQUE (a);
         CREATE INDEX ON j (a);
         INSERT INTO j VALUES (1, '{\"a\" : 1}', '{\"a\" : 1}');
         SELECT id FROM j WHERE a = '{}';
         SELECT id FROM j ORDER BY a;
         SELECT a FROM j GROUP BY a;
         SELECT DISTINCT a FROM j;
         ALTER TABLE j ADD CHECK (b ->> 'a' = '1');
         INSERT INTO j VALUES (2, NULL, '{\"a\": 2}');
         ALTER TABLE j ADD CHECK (json_typeof(a) = 'object');
         INSERT INTO j VALUES (2, '[]', '{\"a\": 1}');
         SELECT * FROM j ORDER BY id;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_and_enums_in_blocks() {
    play(
        "BEGIN;
         CREATE SEQUENCE s;
         SELECT nextval('s'), nextval('s');
         ROLLBACK;
         SELECT nextval('s');
         CREATE SEQUENCE t;
         SELECT currval('t');
         SELECT nextval('t');
         BEGIN;
         CREATE TABLE a (id serial PRIMARY KEY, b int GENERATED ALWAYS AS IDENTITY, x text);
         INSERT INTO a (x) VALUES ('p'), ('q') RETURNING id, b;
         SELECT nextval('a_id_seq');
         SAVEPOINT one;
         DROP TABLE a;
         SELECT nextval('a_id_seq');
         ROLLBACK TO one;
         INSERT INTO a (x) VALUES ('r') RETURNING id, b;
         COMMIT;
         INSERT INTO a (x) VALUES ('s') RETURNING id, b;
         BEGIN;
         SELECT nextval('t');
         INSERT INTO a (x) VALUES ('lost');
         ROLLBACK;
         SELECT nextval('t');
         INSERT INTO a (x) VALUES ('t') RETURNING id, b;
         BEGIN;
         DROP SEQUENCE t;
         SELECT nextval('t');
         ROLLBACK;
         SELECT nextval('t');
         BEGIN;
         SELECT setval('t', 50);
         ROLLBACK;
         SELECT nextval('t');
         DROP SEQUENCE t;
         CREATE SEQUENCE t;
         SELECT nextval('t');
         BEGIN;
         CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE m (id int PRIMARY KEY, m mood DEFAULT 'ok');
         INSERT INTO m VALUES (1, 'sad'), (2, DEFAULT);
         SELECT * FROM m ORDER BY m DESC;
         ROLLBACK;
         SELECT 'sad'::mood;
         CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE m (id int PRIMARY KEY, m mood DEFAULT 'ok', ms mood[]);
         CREATE INDEX ON m (m);
         INSERT INTO m VALUES (1, 'sad', '{sad,ok}'), (2, DEFAULT, NULL);
         @CALL tidelog.flush('m');
         ALTER TYPE mood ADD VALUE 'fine' AFTER 'sad';
         INSERT INTO m VALUES (3, 'fine', '{fine}');
         SELECT * FROM m ORDER BY m;
         SELECT id FROM m WHERE m = 'fine';
         SELECT id FROM m WHERE m >= 'fine' ORDER BY id;
         UPDATE m SET ms = ms || 'fine'::mood WHERE id = 1;
         @CALL tidelog.flush('m');
         @CALL tidelog.compact('m');
         SELECT * FROM m ORDER BY m, id;
         BEGIN;
         CREATE TYPE other AS ENUM ('a');
         ALTER TYPE other RENAME TO another;
         ALTER TYPE mood RENAME TO humour;
         SELECT 'a'::another, 'ok'::humour;
         ROLLBACK;
         ALTER TYPE mood RENAME TO humour;
         SELECT * FROM m WHERE m = 'ok'::humour;
         ALTER TABLE m DROP COLUMN ms;
         DROP TYPE humour;
         DROP TABLE m;
         DROP TYPE humour;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_widen_and_come_later() {
    play(
        "CREATE TABLE w (id int PRIMARY KEY, c char(3), x interval);
         INSERT INTO w VALUES (1, 'ab', '1 day'), (2, 'abc', NULL);
         @CALL tidelog.flush('w');
         ALTER TABLE w ALTER COLUMN c TYPE char(5);
         ALTER TABLE w ADD COLUMN i interval DEFAULT '1 mon 2 days', ADD COLUMN a int[] DEFAULT '{1,2}', ADD COLUMN t timetz DEFAULT '10:00+01';
         INSERT INTO w VALUES (3, 'abcde', '2 days', DEFAULT, DEFAULT, DEFAULT), (4, 'z', NULL, '3 h', '{}', '11:00+00');
         SELECT * FROM w ORDER BY id;
         @CALL tidelog.flush('w');
         @CALL tidelog.compact('w');
         SELECT * FROM w ORDER BY id;
         SELECT id FROM w WHERE i = '32 days' ORDER BY id;
         SELECT id FROM w WHERE x > '1 day' ORDER BY id;
         SELECT id FROM w WHERE 2 = ANY(a) ORDER BY id;
         UPDATE w SET a = a || 3, x = x * 2 WHERE id = 1 RETURNING *;
         DELETE FROM w WHERE id = 2 RETURNING *;",
    )
    .await;
}

/// Rows of merged files are sorted by other columns: what they hold in another form comes back as it was.
#[tokio::test(flavor = "multi_thread")]
async fn clustered_files_hold_every_type() {
    play(
        "CREATE TABLE c (id int PRIMARY KEY, room text, i interval, a interval[], t timetz, e text[]);
         INSERT INTO c SELECT n, 'r' || (n % 7), n * interval '1 hour', ARRAY[n * interval '1 day', NULL], '10:00+00', ARRAY['x', n::text] FROM generate_series(1, 300) AS g(n);
         @ALTER TABLE c SET (cluster_by = 'room');
         @CALL tidelog.flush('c');
         INSERT INTO c SELECT n, 'r' || (n % 7), NULL, NULL, NULL, '{}' FROM generate_series(301, 400) AS g(n);
         @CALL tidelog.flush('c');
         @CALL tidelog.compact('c');
         SELECT * FROM c ORDER BY id;
         SELECT id FROM c WHERE i > '200 hours' ORDER BY id LIMIT 5;
         SELECT * FROM c WHERE id = 77;",
    )
    .await;
}

#[test]
fn json_over_http() {
    let server = tidelog_compat_tests::Server::start();
    server.peer().run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE t (id bigint PRIMARY KEY, b bigint[], n numeric[], s text[], i interval, t time, z timetz,
                         c char(4), e mood, o oid, j json);
         INSERT INTO t VALUES (1, '{9007199254740993,NULL}', '{1.5}', '{\"a b\",\"q\\\"\"}', '1 mon 2 days 03:04', '10:00',
                               '10:00+02', 'ab', 'ok', 42, '{\"a\" : [1]}');",
    );
    let web = server.web();
    assert_eq!(
        web.rows("SELECT * FROM t", json!([])),
        json!([[
            "1",
            ["9007199254740993", null],
            ["1.5"],
            ["a b", "q\""],
            "1 mon 2 days 03:04:00",
            "10:00:00",
            "10:00:00+02",
            "ab  ",
            "ok",
            42,
            {"a": [1]}
        ]])
    );
    let update = "UPDATE t SET b = $1, s = $2, j = $3 WHERE id = ANY($4) RETURNING b, s, j";
    let params = json!([["9007199254740995", 2, null], "{x}", [1, {"k": null}], [1, 7]]);
    assert_eq!(
        web.rows(update, params),
        json!([[["9007199254740995", "2", null], ["x"], [1, {"k": null}]]])
    );
}
