//! Unique indexes on expressions and with conditions, from several sessions.

use futures::future::join_all;
use tidelog_compat_tests::Server;

use super::stage::{answer, same_on_both, state};

const SETUP: &str = "
    DROP TABLE IF EXISTS t;
    CREATE TABLE t (id int PRIMARY KEY, email text, live bool, n int DEFAULT 0);
    CREATE UNIQUE INDEX t_mail ON t (lower(email));
    CREATE UNIQUE INDEX t_live ON t (n) WHERE live;
    INSERT INTO t VALUES (1, 'Foo', true, 1), (2, 'Bar', false, 1);";

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_waits_for_the_first() {
    same_on_both(
        SETUP,
        &[
            "a: BEGIN
             a: INSERT INTO t VALUES (3, 'New')
             b> INSERT INTO t VALUES (4, 'NEW')
             a: COMMIT
             b<
             b: SELECT id FROM t WHERE lower(email) = 'new'",
            "a: BEGIN
             a: INSERT INTO t VALUES (3, 'New')
             b> INSERT INTO t VALUES (4, 'NEW')
             a: ROLLBACK
             b<
             b: SELECT id FROM t WHERE lower(email) = 'new'",
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> INSERT INTO t VALUES (4, 'FOO', NULL, 9)
             a: ROLLBACK
             b<",
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> INSERT INTO t VALUES (4, 'FOO', NULL, 9)
             a: COMMIT
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             a: UPDATE t SET live = false WHERE id = 1
             b> UPDATE t SET live = true WHERE id = 2
             a: COMMIT
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             a: UPDATE t SET live = false WHERE id = 1
             b> UPDATE t SET live = true WHERE id = 2
             a: ROLLBACK
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             b: BEGIN
             a: INSERT INTO t VALUES (3, 'x', true, 7)
             b: INSERT INTO t VALUES (4, 'y', false, 7)
             b> INSERT INTO t VALUES (5, 'X', false, 8)
             a: COMMIT
             b<
             b: ROLLBACK",
            "a: BEGIN
             a: INSERT INTO t VALUES (3, 'New') ON CONFLICT (lower(email)) DO UPDATE SET n = t.n + 1
             b> INSERT INTO t VALUES (4, 'NEW') ON CONFLICT (lower(email)) DO UPDATE SET n = t.n + 1
             a: COMMIT
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN
             a: INSERT INTO t VALUES (3, 'New') ON CONFLICT (lower(email)) DO NOTHING
             b> INSERT INTO t VALUES (4, 'NEW') ON CONFLICT (lower(email)) DO NOTHING
             a: ROLLBACK
             b<
             b: SELECT * FROM t ORDER BY id",
            "a: BEGIN ISOLATION LEVEL REPEATABLE READ
             a: SELECT count(*) FROM t
             b: INSERT INTO t VALUES (4, 'New')
             a: INSERT INTO t VALUES (5, 'nEW')
             a: ROLLBACK",
        ],
    )
    .await;
}

/// Sessions that insert and remove the same few keys: at each moment there is at most one row of each, and every row
/// that was answered is there.
#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_never_make_two() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id bigint PRIMARY KEY DEFAULT snowflake_id(), email text, live bool);
         CREATE UNIQUE INDEX t_mail ON t (lower(email)) WHERE live;",
    );
    let work = async |worker: u64| {
        let client = server.peer().connect().await;
        let mut random = worker * 2_654_435_761 + 1;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let (mut made, mut refused) = (0_i64, 0);
        for _ in 0..60 {
            let key = ["Ab", "aB", "AB", "ab", "Cd", "cD"][next(6) as usize];
            let in_block = next(2) == 0;
            if in_block {
                client.batch_execute("BEGIN").await.unwrap();
            }
            let mut change = 0;
            let statement = match next(3) {
                0 => format!("DELETE FROM t WHERE lower(email) = lower('{key}') AND live"),
                1 => format!(
                    "UPDATE t SET live = false WHERE lower(email) = lower('{key}') AND live"
                ),
                _ => format!("INSERT INTO t (email, live) VALUES ('{key}', true)"),
            };
            let said = answer(&client, &statement).await;
            match state(&said) {
                "23505" => refused += 1,
                "40P01" => {}
                "(1)" if statement.starts_with("INSERT") => change = 1,
                "(1)" if statement.starts_with("DELETE") => change = -1,
                "(0)" | "(1)" => {}
                _ => panic!("{statement}: {said}"),
            }
            if in_block {
                let commits = next(2) == 0;
                let end = if commits { "COMMIT" } else { "ROLLBACK" };
                let failed = said.len() > 5 && !said.starts_with('(');
                client.batch_execute(end).await.unwrap();
                if !commits || failed {
                    change = 0;
                }
            }
            made += change;
        }
        (made, refused)
    };
    let done = join_all((1..=6).map(work)).await;
    let made: i64 = done.iter().map(|(made, _)| made).sum();
    let refused: i32 = done.iter().map(|(_, refused)| refused).sum();
    assert!(refused > 0, "nobody met another");
    let value = |query: &str| server.peer().value(query);
    assert_eq!(value("SELECT count(*) FROM t"), made.to_string());
    let twice = "SELECT count(*) FROM (SELECT 1 FROM t WHERE live GROUP BY lower(email) HAVING count(*) > 1) x";
    assert_eq!(value(twice), "0");
}

/// An index is made of a filled table while others write to it.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_made_beside_writers() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int PRIMARY KEY, email text, n int);
         INSERT INTO t SELECT g, 'User' || g, g FROM generate_series(1, 3000) AS s(g);
         CALL tidelog.flush('t');",
    );
    let write = async |worker: u64| {
        let client = server.peer().connect().await;
        for at in 0..80 {
            let id = (worker * 700 + at * 13) % 3000 + 1;
            for statement in [
                format!("UPDATE t SET email = 'Moved{worker}x{at}', n = n + 10000 WHERE id = {id}"),
                format!("DELETE FROM t WHERE id = {}", (id + 1) % 3000),
                format!(
                    "INSERT INTO t VALUES ({}, 'Made{worker}x{at}', NULL)",
                    10_000 + worker * 1000 + at
                ),
            ] {
                let said = answer(&client, &statement).await;
                assert!(said.starts_with('('), "{statement}: {said}");
            }
        }
    };
    let make = async {
        let client = server.peer().connect().await;
        let made = "CREATE UNIQUE INDEX t_mail ON t (lower(email)) WHERE n IS NOT NULL";
        let said = answer(&client, made).await;
        assert!(said.starts_with('('), "{said}");
        let said = answer(&client, "CREATE INDEX t_n ON t ((n % 100))").await;
        assert!(said.starts_with('('), "{said}");
    };
    tokio::join!(join_all((1..=3).map(write)), make);
    let value = |query: &str| server.peer().value(query);
    for n in 0..100 {
        let by_index = value(&format!("SELECT count(*) FROM t WHERE n % 100 = {n}"));
        let by_scan = value(&format!("SELECT count(*) FROM t WHERE (n % 100) + 0 = {n}"));
        assert_eq!(by_index, by_scan, "{n}");
    }
    let plan = server
        .peer()
        .run("EXPLAIN SELECT * FROM t WHERE n % 100 = 5;");
    assert!(plan.contains("using t_n on t"), "{plan}");
    let said = server
        .peer()
        .try_run("INSERT INTO t SELECT -1, upper(email), 1 FROM t WHERE n IS NOT NULL LIMIT 1;");
    assert!(said.unwrap_err().contains("\"t_mail\""));
}
