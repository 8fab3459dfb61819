//! Row locks that are asked for, timeouts, deadlocks, and what ends a lock.

use std::time::Duration;

use tidelog_compat_tests::{Peer, Postgres, Server};
use tokio_postgres::NoTls;

use super::TABLES;
use super::stage::{answer, play, said, same_on_both, state};
use crate::pair::text;

#[tokio::test(flavor = "multi_thread")]
async fn select_for_update_and_its_kin() {
    let modes = ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"];
    let mut scripts = Vec::new();
    for held in modes {
        let mut script = format!("a: BEGIN\na: SELECT n FROM t WHERE id = 1 FOR {held}\n");
        for wanted in modes {
            script.push_str(&format!(
                "b: SELECT n FROM t WHERE id = 1 FOR {wanted} NOWAIT\n"
            ));
            script.push_str(&format!(
                "b: SELECT id, n FROM t ORDER BY id FOR {wanted} SKIP LOCKED\n"
            ));
        }
        // What writes take.
        script.push_str(
            "b: SET lock_timeout = '20ms'
             b: UPDATE t SET n = n + 1 WHERE id = 1
             b: DELETE FROM t WHERE id = 1
             b: UPDATE t SET id = 100 WHERE id = 1
             a: COMMIT
             b: SELECT n FROM t WHERE id = 1 FOR UPDATE NOWAIT",
        );
        scripts.push(script);
    }
    scripts.extend(
        [
            "a: BEGIN
             a: SELECT n FROM t WHERE id = 1 FOR UPDATE
             b> SELECT n FROM t WHERE id = 1 FOR UPDATE
             c: SELECT n FROM t WHERE id = 1
             a: UPDATE t SET n = 11 WHERE id = 1
             a: COMMIT
             b<",
            // The row that is waited for no longer matches.
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             b> SELECT id, n FROM t WHERE n = 10 FOR UPDATE
             a: COMMIT
             b<",
            // The row changed before it was locked, and nobody was waited for.
            "a: SELECT pg_advisory_lock(7)
             b> SELECT id, n FROM t WHERE pg_advisory_xact_lock(7) IS NOT NULL AND id = 1 FOR UPDATE
             a: UPDATE t SET n = 11 WHERE id = 1
             a: SELECT pg_advisory_unlock(7)
             b<",
            "a: SELECT pg_advisory_lock(7)
             b> SELECT id, n FROM t WHERE pg_advisory_xact_lock(7) IS NOT NULL AND id = 1 FOR UPDATE SKIP LOCKED
             a: UPDATE t SET n = 11 WHERE id = 1
             a: SELECT pg_advisory_unlock(7)
             b<",
            "a: SELECT pg_advisory_lock(7)
             b> SELECT id, n FROM t WHERE pg_advisory_xact_lock(7) IS NOT NULL AND id = 1 FOR UPDATE
             a: DELETE FROM t WHERE id = 1
             a: SELECT pg_advisory_unlock(7)
             b<",
            "a: SELECT pg_advisory_lock(7)
             b> SELECT id, n FROM t WHERE pg_advisory_xact_lock(7) IS NOT NULL AND id = 1 FOR UPDATE SKIP LOCKED
             a: DELETE FROM t WHERE id = 1
             a: SELECT pg_advisory_unlock(7)
             b<",
            "a: SELECT pg_advisory_lock(7)
             b> SELECT id, n FROM t WHERE pg_advisory_xact_lock(7) IS NOT NULL AND id = 1 FOR KEY SHARE
             a: DELETE FROM t WHERE id = 1
             a: SELECT pg_advisory_unlock(7)
             b<",
            // A queue: each takes the first row that nobody has.
            "a: BEGIN
             a: SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
             b: BEGIN
             b: SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
             b: DELETE FROM t WHERE id = 2
             a: DELETE FROM t WHERE id = 1
             c: SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
             a: ROLLBACK
             c: SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
             b: COMMIT
             c: SELECT id FROM t ORDER BY id DESC FOR NO KEY UPDATE SKIP LOCKED",
            // Forms of the query.
            "a: SELECT id + n AS s, n * 2 FROM t ORDER BY s DESC LIMIT 2 FOR UPDATE
             a: SELECT x.n, x.* FROM t AS x WHERE x.id > 1 ORDER BY 1 DESC FOR UPDATE OF x
             a: SELECT t.n FROM t WHERE t.id IN (SELECT id FROM k) ORDER BY t.id OFFSET 1 FOR SHARE
             a: SELECT n FROM t LIMIT 0 FOR UPDATE
             a: SELECT count(*) FROM t FOR UPDATE
             a: SELECT DISTINCT n FROM t FOR UPDATE
             a: SELECT n FROM t GROUP BY n FOR SHARE
             a: SELECT n FROM t UNION SELECT n FROM k FOR NO KEY UPDATE
             a: SELECT row_number() OVER () FROM t FOR UPDATE
             a: SELECT n FROM t FOR UPDATE OF nope
             a: SELECT n FROM t WHERE id = 99 FOR UPDATE",
            // Locks of a table without a key.
            "a: BEGIN
             a: SELECT n FROM k WHERE id = 1 FOR UPDATE
             b: SELECT n FROM k ORDER BY n FOR UPDATE SKIP LOCKED
             b: SELECT n FROM k FOR SHARE NOWAIT
             a: UPDATE k SET n = 11 WHERE id = 1
             a: SELECT n FROM k WHERE id = 1 FOR UPDATE
             a: COMMIT
             b: SELECT n FROM k ORDER BY n FOR UPDATE NOWAIT",
        ]
        .map(str::to_string),
    );
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same_on_both(TABLES, &scripts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts() {
    same_on_both(
        TABLES,
        &[
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             b: SET lock_timeout = '30ms'
             b: UPDATE t SET n = 12 WHERE id = 1
             b: UPDATE t SET n = 12 WHERE id = 2
             b: BEGIN
             b: UPDATE t SET n = 13 WHERE id = 2
             b: INSERT INTO t VALUES (5, 50)
             b: DELETE FROM t WHERE id = 1
             b: SELECT 1
             b: COMMIT
             c: INSERT INTO t VALUES (5, 51)
             a: COMMIT
             c: SELECT id, n FROM t ORDER BY id",
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             b: SET statement_timeout = '50ms'
             b: UPDATE t SET n = 12 WHERE id = 1
             b: SHOW statement_timeout
             b: SELECT count(*) FROM generate_series(1, 20000000) a, generate_series(1, 2000000) b
             b: SET statement_timeout = 0
             a: ROLLBACK
             b: UPDATE t SET n = 12 WHERE id = 1",
            "a: SET idle_in_transaction_session_timeout = '50ms'
             a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             b: UPDATE t SET n = n + 1 WHERE id = 1
             b: SELECT n FROM t WHERE id = 1",
        ],
    )
    .await;
}

/// Both servers, one after the other, with the tables in them.
async fn each(test: impl AsyncFn(Peer)) {
    let tide = Server::start();
    tide.peer().run(TABLES);
    test(tide.peer()).await;
    assert!(!tide.log().contains("panicked"), "{}", tide.log());
    let pg = Postgres::start();
    pg.peer().run(TABLES);
    test(pg.peer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_has_one_victim() {
    each(async |peer| {
        let (a, b) = (peer.connect().await, peer.connect().await);
        for (client, id) in [(&a, 1), (&b, 2)] {
            client.batch_execute("BEGIN").await.unwrap();
            let lock = format!("UPDATE t SET n = n + 1 WHERE id = {id}");
            client.batch_execute(&lock).await.unwrap();
        }
        let go_on = async |client: &tokio_postgres::Client, id: i32| {
            let sql = format!("UPDATE t SET n = n + 1 WHERE id = {id}");
            let answered = answer(client, &sql).await;
            let ended = answer(client, "COMMIT").await;
            (answered, ended)
        };
        let (first, second) = tokio::join!(go_on(&a, 2), go_on(&b, 1));
        let mut answers = [first.0, second.0];
        answers.sort();
        assert_eq!(answers, ["(1)", "40P01 deadlock detected"]);
        let rows = text(&a, "SELECT n FROM t ORDER BY id").await.rows;
        assert_eq!(rows[0][0].as_deref(), Some("11"));
        assert_eq!(rows[1][0].as_deref(), Some("21"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_its_own_is_never_the_one_that_fails() {
    // Whole-table updates that meet blocks in both orders: Tidelog runs the statement again.
    let server = Server::start();
    server.peer().run(TABLES);
    let alone = async |peer: Peer| {
        let client = peer.connect().await;
        for _ in 0..30 {
            assert_eq!(answer(&client, "UPDATE t SET n = n + 1").await, "(3)");
        }
    };
    let in_block = async |peer: Peer, ids: [i32; 2]| {
        let client = peer.connect().await;
        let mut done = 0;
        while done < 15 {
            let [first, second] = ids;
            let mut failed = false;
            client.batch_execute("BEGIN").await.unwrap();
            for id in [first, second] {
                let said =
                    answer(&client, &format!("UPDATE t SET n = n + 1 WHERE id = {id}")).await;
                failed |= said != "(1)";
                assert!(["(1)", "40P01", "25P02"].contains(&state(&said)), "{said}");
            }
            client.batch_execute("COMMIT").await.unwrap();
            done += i32::from(!failed);
        }
    };
    let peer = || server.peer();
    tokio::join!(
        alone(peer()),
        alone(peer()),
        in_block(peer(), [3, 1]),
        in_block(peer(), [1, 2]),
        in_block(peer(), [2, 3])
    );
    assert_eq!(
        server.peer().value("SELECT sum(n) FROM t"),
        (60 + 2 * 30 * 3 + 3 * 15 * 2).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_lets_go() {
    each(async |peer| {
        // A client that vanishes in a block, and one that vanishes while it waits.
        let script = "a: BEGIN
             a: UPDATE t SET n = 0 WHERE id = 1
             b> UPDATE t SET n = n + 1 WHERE id = 1
             a!
             b<
             b: SELECT n FROM t WHERE id = 1";
        let said = play(&peer, script).await;
        assert!(
            said.ends_with("b: SELECT n FROM t WHERE id = 1\n    11\n"),
            "{said}"
        );

        let (a, b, c) = (
            peer.connect().await,
            peer.connect().await,
            peer.connect().await,
        );
        a.batch_execute("BEGIN; SELECT n FROM t WHERE id = 1 FOR UPDATE")
            .await
            .unwrap();
        b.batch_execute("BEGIN; SELECT n FROM t WHERE id = 2 FOR UPDATE")
            .await
            .unwrap();
        let cancel = b.cancel_token();
        let waits = tokio::spawn(async move {
            let said = answer(&b, "UPDATE t SET n = 0 WHERE id = 1").await;
            (b, said)
        });
        // A cancel that comes before the statement hits nothing: it is asked for until it does.
        while !waits.is_finished() {
            cancel.cancel_query(NoTls).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (b, said) = waits.await.unwrap();
        assert_eq!(said, "57014 canceling statement due to user request");
        let free = "SELECT id FROM t WHERE id <= 2 FOR UPDATE SKIP LOCKED";
        assert_eq!(answer(&c, free).await, "2", "a failed block holds nothing");
        assert_eq!(state(&answer(&b, "SELECT 1").await), "25P02");
        a.batch_execute("ROLLBACK").await.unwrap();
        let all = "SELECT id FROM t WHERE id <= 2 ORDER BY id FOR UPDATE NOWAIT";
        assert_eq!(answer(&c, all).await, "1 2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_ended() {
    each(async |peer| {
        let script = "\\set VERBOSITY verbose
             SET idle_session_timeout = '200ms';
             BEGIN;
             \\! sleep 0.5
             COMMIT;
             \\! sleep 0.5
             SELECT 2;";
        let error = peer.try_run(script).unwrap_err();
        let wanted = "57P05: terminating connection due to idle-session timeout";
        assert!(error.contains(wanted), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_block_is_ended() {
    each(async |peer| {
        let client = peer.connect().await;
        client
            .batch_execute("SET idle_in_transaction_session_timeout = '50ms'")
            .await
            .unwrap();
        // Idle outside a block is no matter; this outlasts the timeout.
        let slow = "SELECT count(*) FROM generate_series(1, 1000) a, generate_series(1, 1000) b";
        answer(&peer.connect().await, slow).await;
        client.batch_execute("BEGIN").await.unwrap();
        let ended = async {
            while !client.is_closed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(tidelog_compat_tests::process::PATIENCE, ended)
            .await
            .expect("the connection ends");
        let error = client.simple_query("SELECT 1").await.unwrap_err();
        assert_eq!(said(&error), "the connection is gone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_do_not_wait_for_each_other() {
    let server = Server::start();
    let root = server.peer();
    root.run(
        "CREATE ROLE alice LOGIN PASSWORD 'a';
         CREATE ROLE bob LOGIN PASSWORD 'b';
         CREATE TABLE notes (id int8 PRIMARY KEY, n int8) WITH (type = 'user');",
    );
    let alice = root.role("alice", "a").connect().await;
    let bob = root.role("bob", "b").connect().await;
    for client in [&alice, &bob] {
        client
            .batch_execute("SET lock_timeout = '20ms'; INSERT INTO notes VALUES (1, 0)")
            .await
            .unwrap();
    }
    let write =
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM notes; UPDATE notes SET n = n + 1";
    for client in [&alice, &bob] {
        client.batch_execute(write).await.unwrap();
    }
    let again = root.role("alice", "a").connect().await;
    again
        .batch_execute("SET lock_timeout = '20ms'")
        .await
        .unwrap();
    let said = answer(&again, "DELETE FROM notes").await;
    assert_eq!(said, "55P03 canceling statement due to lock timeout");
    for client in [&alice, &bob] {
        client.batch_execute("COMMIT").await.unwrap();
    }
    assert_eq!(root.value("SELECT sum(n) FROM notes"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_lock_and_wait_too() {
    each(async |peer| {
        let (mut a, b) = (peer.connect().await, peer.connect().await);
        let lock = b
            .prepare("SELECT id, n + $2 FROM t WHERE id >= $1 ORDER BY id LIMIT 1 FOR UPDATE")
            .await
            .unwrap();
        let rows = b.query(&lock, &[&2_i64, &5_i64]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].get::<_, i64>(0), rows[0].get::<_, i64>(1)),
            (2, 25)
        );
        let add = "UPDATE t SET n = n + $1 WHERE id = $2 RETURNING n";
        let transaction = a.transaction().await.unwrap();
        let first = transaction.query_one(add, &[&1_i64, &1_i64]).await.unwrap();
        assert_eq!(first.get::<_, i64>(0), 11);
        b.batch_execute("SET lock_timeout = '20ms'").await.unwrap();
        let error = b.query_one(add, &[&1_i64, &1_i64]).await.unwrap_err();
        assert_eq!(
            said(&error),
            "55P03 canceling statement due to lock timeout"
        );
        b.batch_execute("SET lock_timeout = 0").await.unwrap();
        let one = 1_i64;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&one, &one];
        let (second, ()) = tokio::join!(b.query_one(add, &parameters), async {
            transaction.commit().await.unwrap()
        });
        assert_eq!(second.unwrap().get::<_, i64>(0), 12);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_grows_too_large_is_refused() {
    let server = Server::start();
    server
        .peer()
        .run("CREATE TABLE big (id int8 PRIMARY KEY, body text);");
    let client = server.peer().connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    let mut said = String::new();
    for id in 0..20 {
        let insert = format!("INSERT INTO big VALUES ({id}, repeat('x', 64000000))");
        said = answer(&client, &insert).await;
        if said != "(1)" {
            assert_eq!(id, 16, "{said}");
            break;
        }
    }
    assert_eq!(said, "54000 a transaction's changes exceed 1024 MiB");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(answer(&client, "SELECT count(*) FROM big").await, "0");
}

const FAMILY: &str = "
    DROP TABLE IF EXISTS child;
    DROP TABLE IF EXISTS t;
    CREATE TABLE t (id int8 PRIMARY KEY, n int8 NOT NULL, u int8 UNIQUE);
    INSERT INTO t VALUES (1, 10, 100), (2, 20, 200), (3, 30, 300);
    CREATE TABLE child (id int8 PRIMARY KEY, t int8 REFERENCES t);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_a_row_that_has_a_column_more_by_now_cannot_be_serialized() {
    let conflicts = ["DO NOTHING", "(id) DO UPDATE SET n = 6"].map(|action| {
        format!(
            "a: BEGIN ISOLATION LEVEL REPEATABLE READ
             a: SELECT count(*) FROM child
             b: ALTER TABLE t ADD COLUMN z int DEFAULT 7
             b: UPDATE t SET n = n + 1 WHERE id = 1
             a: INSERT INTO t (id, n) VALUES (1, 5) ON CONFLICT {action}
             a: ROLLBACK
             a: SELECT id, n, u, z FROM t ORDER BY id"
        )
    });
    same_on_both(FAMILY, &conflicts.each_ref().map(String::as_str)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_of_a_key_that_is_there_locks_nothing_and_waits_for_no_lock() {
    same_on_both(
        FAMILY,
        &[
            // DO NOTHING that did nothing.
            "a: BEGIN
             a: INSERT INTO t VALUES (1, 99, 9), (9, 9, 200) ON CONFLICT DO NOTHING
             b: SELECT n FROM t WHERE id = 1 FOR NO KEY UPDATE NOWAIT
             b: SELECT n FROM t ORDER BY id FOR UPDATE NOWAIT
             b: SET lock_timeout = '5s'
             b: INSERT INTO child VALUES (1, 1)
             b: UPDATE t SET n = 21 WHERE id = 2
             b: DELETE FROM t WHERE id = 2
             b: INSERT INTO t VALUES (9, 9, 9)
             a: COMMIT",
            // Who only locks is not waited for.
            "a: BEGIN
             a: SELECT n FROM t WHERE id = 1 FOR UPDATE
             b: SET lock_timeout = '5s'
             b: INSERT INTO t VALUES (1, 5, 5)
             b: INSERT INTO t VALUES (4, 5, 5), (1, 5, 6)
             b: INSERT INTO t VALUES (1, 5, 5) ON CONFLICT DO NOTHING
             b: INSERT INTO t VALUES (1, 5, 5) ON CONFLICT (id) DO NOTHING
             b> INSERT INTO t VALUES (1, 5, 5) ON CONFLICT (id) DO UPDATE SET n = 6
             a: COMMIT
             b<
             b: SELECT n FROM t ORDER BY id",
            "a: BEGIN
             a: INSERT INTO child VALUES (1, 1)
             b: SET lock_timeout = '5s'
             b: INSERT INTO t VALUES (1, 5, 5)
             b: INSERT INTO t VALUES (1, 5, 5) ON CONFLICT DO NOTHING
             a: COMMIT",
            // Who changes is.
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> INSERT INTO t VALUES (1, 5, 5) ON CONFLICT DO NOTHING
             a: COMMIT
             b<
             b: SELECT n FROM t ORDER BY id",
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> INSERT INTO t VALUES (1, 5, 5) ON CONFLICT DO NOTHING
             a: ROLLBACK
             b<",
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             b> INSERT INTO t VALUES (1, 5, 5)
             c> INSERT INTO t VALUES (1, 5, 5) ON CONFLICT DO NOTHING
             a: COMMIT
             b<
             c<",
            "a: BEGIN
             a: SELECT n FROM t WHERE id = 1 FOR UPDATE
             a: UPDATE t SET n = 11 WHERE id = 1
             b> INSERT INTO t VALUES (1, 5, 5)
             a: ROLLBACK
             b<",
            // A lock that was waited for is given back.
            "a: BEGIN
             a: INSERT INTO t VALUES (7, 7, 7)
             b: BEGIN
             b> INSERT INTO t VALUES (7, 8, 8), (8, 8, 7), (9, 9, 9) ON CONFLICT DO NOTHING
             a: COMMIT
             b<
             c: SELECT n FROM t WHERE id = 7 FOR UPDATE NOWAIT
             c: SET lock_timeout = '5s'
             c: DELETE FROM t WHERE id = 7
             c: INSERT INTO t VALUES (7, 8, 8), (8, 8, 7)
             b: COMMIT
             c: SELECT id, n, u FROM t ORDER BY id",
        ],
    )
    .await;
}
