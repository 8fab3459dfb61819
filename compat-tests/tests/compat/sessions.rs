//! Advisory locks, what sessions are shown to be doing, and how one ends what another does.

use std::time::Duration;

use tidelog_compat_tests::{Peer, Postgres, Server};
use tokio_postgres::Client;

use crate::pair::Pair;
use crate::type_functions::{all_refused, all_same};

/// The SQLSTATE of an error.
fn code(error: &tokio_postgres::Error) -> String {
    error
        .code()
        .map_or(String::new(), |code| code.code().to_string())
}

async fn is(client: &Client, query: &str) -> bool {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn advisory_locks() {
    let pair = Pair::start();
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let (a, b) = (peer.connect().await, peer.connect().await);
        // As often as it was locked it must be unlocked.
        a.batch_execute("SELECT pg_advisory_lock(1); SELECT pg_advisory_lock(1)")
            .await
            .unwrap();
        assert!(!is(&b, "SELECT pg_try_advisory_lock(1)").await);
        assert!(!is(&b, "SELECT pg_try_advisory_lock_shared(1)").await);
        // Two numbers are another space than one.
        assert!(is(&b, "SELECT pg_try_advisory_lock(0, 1)").await);
        assert!(is(&a, "SELECT pg_advisory_unlock(1)").await);
        assert!(!is(&b, "SELECT pg_try_advisory_lock(1)").await);
        assert!(is(&a, "SELECT pg_advisory_unlock(1)").await);
        assert!(!is(&a, "SELECT pg_advisory_unlock(1)").await);
        assert!(is(&b, "SELECT pg_try_advisory_lock(1)").await);
        b.batch_execute("SELECT pg_advisory_unlock_all()")
            .await
            .unwrap();
        // Shared ones stand together, and one session is never in its own way.
        assert!(is(&a, "SELECT pg_try_advisory_lock_shared(2)").await);
        assert!(is(&b, "SELECT pg_try_advisory_lock_shared(2)").await);
        assert!(!is(&a, "SELECT pg_try_advisory_lock(2)").await);
        assert!(is(&b, "SELECT pg_advisory_unlock_shared(2)").await);
        assert!(is(&a, "SELECT pg_try_advisory_lock(2)").await);
        assert!(is(&a, "SELECT pg_try_advisory_xact_lock(2)").await);
        assert!(is(&a, "SELECT pg_advisory_unlock(2)").await);
        assert!(is(&b, "SELECT pg_try_advisory_lock_shared(2)").await);
        a.batch_execute("SELECT pg_advisory_unlock_shared(2)")
            .await
            .unwrap();
        b.batch_execute("SELECT pg_advisory_unlock_shared(2)")
            .await
            .unwrap();
        // Those of a transaction end with it, or with the savepoint behind which they were taken.
        a.batch_execute(
            "BEGIN; SELECT pg_advisory_xact_lock(3); SAVEPOINT s; SELECT pg_advisory_xact_lock(4)",
        )
        .await
        .unwrap();
        assert!(!is(&b, "SELECT pg_try_advisory_lock(4)").await);
        a.batch_execute("ROLLBACK TO s").await.unwrap();
        assert!(is(&b, "SELECT pg_try_advisory_lock(4)").await);
        assert!(!is(&b, "SELECT pg_try_advisory_lock(3)").await);
        // One that waits for a while.
        b.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
        let waited = b
            .batch_execute("SELECT pg_advisory_lock(3)")
            .await
            .unwrap_err();
        assert_eq!(code(&waited), "55P03");
        b.batch_execute("SET lock_timeout = 0").await.unwrap();
        let waits = tokio::spawn(async move {
            b.batch_execute("SELECT pg_advisory_lock(3)").await.unwrap();
            b
        });
        a.batch_execute("COMMIT").await.unwrap();
        let b = tokio::time::timeout(Duration::from_secs(20), waits)
            .await
            .unwrap()
            .unwrap();
        assert!(!is(&a, "SELECT pg_try_advisory_lock(3)").await);
        // The end of a session is the end of its locks.
        drop(b);
        tokio::time::timeout(
            Duration::from_secs(20),
            a.batch_execute("SELECT pg_advisory_lock(3), pg_advisory_lock(4)"),
        )
        .await
        .unwrap()
        .unwrap();
    }
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        let locked = client.query_one(
            "SELECT pg_try_advisory_lock($1), pg_try_advisory_lock($2, $3)",
            &[&5_i64, &6_i32, &7_i32],
        );
        let locked = locked.await.unwrap();
        assert!(locked.get::<_, bool>(0) && locked.get::<_, bool>(1));
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT pg_try_advisory_lock(i) FROM generate_series(10, 12) i",
            "SELECT pg_advisory_unlock(i) FROM generate_series(10, 13) i",
            "SELECT pg_try_advisory_lock(NULL), pg_try_advisory_xact_lock('7'), pg_try_advisory_lock(-1, 2147483647)",
        ],
    )
    .await;
}

/// A circle of waits of which one is for a row is a deadlock, too.
#[tokio::test(flavor = "multi_thread")]
async fn advisory_and_row_locks_in_a_circle() {
    let server = Server::start();
    let (a, b) = (server.peer().connect().await, server.peer().connect().await);
    a.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)")
        .await
        .unwrap();
    a.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
    b.batch_execute("BEGIN; UPDATE t SET n = 1 WHERE id = 1")
        .await
        .unwrap();
    let waits = tokio::spawn(async move {
        let outcome = b.batch_execute("SELECT pg_advisory_lock(1)").await;
        (b, outcome)
    });
    let update = tokio::time::timeout(
        Duration::from_secs(20),
        a.batch_execute("BEGIN; UPDATE t SET n = 2 WHERE id = 1"),
    );
    let update = update.await.expect("the deadlock is found");
    if update.is_err() {
        a.batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all()")
            .await
            .unwrap();
    }
    let (_b, waited) = tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .expect("the other goes on")
        .unwrap();
    let failed = [update.err(), waited.err()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    assert_eq!(failed.iter().map(code).collect::<Vec<_>>(), ["40P01"]);
}

async fn until(watcher: &Client, query: &str) {
    let seen = async {
        while !is(watcher, query).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen)
        .await
        .expect(query);
}

async fn sessions_are_seen_and_ended(peer: Peer) {
    let watcher = peer.connect().await;
    let other = peer.connect().await;
    let pid: i32 = other
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    other
        .batch_execute("SET application_name = 'the other'; BEGIN; SELECT 1 AS last")
        .await
        .unwrap();
    let seen = format!(
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'idle in transaction' AND usename = 'postgres'
         AND application_name = 'the other' AND query LIKE '%AS last' AND backend_start <= xact_start AND xact_start <= query_start
         AND query_start <= state_change AND client_addr = '127.0.0.1' AND backend_type = 'client backend'"
    );
    until(&watcher, &seen).await;
    other.batch_execute("ROLLBACK").await.unwrap();
    until(&watcher, &format!("SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'idle' AND xact_start IS NULL")).await;
    assert!(is(&watcher, "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = pg_backend_pid() AND state = 'active' AND query LIKE '%FROM pg_stat_activity%'").await);
    let sleeps = tokio::spawn(async move {
        let error = other
            .batch_execute("SELECT pg_sleep(60)")
            .await
            .unwrap_err();
        (other, error)
    });
    until(&watcher, &format!("SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active' AND query = 'SELECT pg_sleep(60)'")).await;
    assert!(is(&watcher, &format!("SELECT pg_cancel_backend({pid})")).await);
    let (other, error) = tokio::time::timeout(Duration::from_secs(20), sleeps)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(code(&error), "57014");
    assert!(is(&watcher, &format!("SELECT pg_terminate_backend({pid})")).await);
    until(
        &watcher,
        &format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}"),
    )
    .await;
    assert!(other.batch_execute("SELECT 1").await.is_err());
    assert!(!is(&watcher, &format!("SELECT pg_terminate_backend({pid})")).await);
    // Others' work is nobody's business.
    watcher
        .batch_execute("CREATE ROLE nosy LOGIN; SET ROLE nosy")
        .await
        .unwrap();
    let third = peer.connect().await;
    let pid: i32 = third
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    assert!(is(&watcher, &format!("SELECT query = '<insufficient privilege>' AND state IS NULL FROM pg_stat_activity WHERE pid = {pid}")).await);
    for function in ["pg_cancel_backend", "pg_terminate_backend"] {
        let error = watcher
            .batch_execute(&format!("SELECT {function}({pid})"))
            .await
            .unwrap_err();
        assert_eq!(code(&error), "42501");
    }
    watcher
        .batch_execute("RESET ROLE; DROP ROLE nosy")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_of_sessions() {
    sessions_are_seen_and_ended(Server::start().peer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_of_sessions_in_postgres() {
    sessions_are_seen_and_ended(Postgres::start().peer()).await;
}

/// Who waits for whom, and what is locked by numbers.
async fn locks_are_seen(peer: Peer) {
    let [watcher, first, mut second] = [
        peer.connect().await,
        peer.connect().await,
        peer.connect().await,
    ];
    let mut pids = Vec::new();
    for client in [&first, &second] {
        let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
        pids.push(row.unwrap().get::<_, i32>(0));
    }
    let (a, b) = (pids[0], pids[1]);
    watcher
        .batch_execute(
            "CREATE TABLE seen (id int PRIMARY KEY, n int); INSERT INTO seen VALUES (1, 1), (2, 2)",
        )
        .await
        .unwrap();
    first
        .batch_execute(
            "SELECT pg_advisory_lock(-7), pg_advisory_lock_shared(1, 2);
             BEGIN; UPDATE seen SET n = 3; SELECT pg_advisory_xact_lock(3)",
        )
        .await
        .unwrap();
    let advisory = format!(
        "SELECT array_agg(mode || ' ' || classid || ' ' || objid || ' ' || objsubid ORDER BY objid, mode)
         = ARRAY['ShareLock 1 2 2', 'ExclusiveLock 0 3 1', 'ExclusiveLock 4294967295 4294967289 1']
         FROM pg_locks WHERE locktype = 'advisory' AND granted AND waitstart IS NULL AND pid = {a}"
    );
    assert!(is(&watcher, &advisory).await);
    for (statement, event) in [
        ("UPDATE seen SET n = 4 WHERE id = 2", ""),
        ("SELECT pg_advisory_lock(1, 2)", "advisory"),
    ] {
        let waits = tokio::spawn(async move {
            second.batch_execute(statement).await.unwrap();
            second
                .batch_execute("SELECT pg_advisory_unlock_all()")
                .await
                .unwrap();
            second
        });
        let waiting = format!(
            "SELECT count(*) = 1 FROM pg_locks WHERE pid = {b} AND NOT granted AND waitstart <= clock_timestamp()"
        );
        until(&watcher, &waiting).await;
        assert!(
            is(
                &watcher,
                &format!("SELECT pg_blocking_pids({b}) = ARRAY[{a}]")
            )
            .await
        );
        assert!(is(&watcher, &format!("SELECT pg_blocking_pids({a}) = '{{}}'")).await);
        let shown = format!(
            "SELECT wait_event_type = 'Lock' AND ('{event}' IN ('', wait_event)) AND state = 'active'
             FROM pg_stat_activity WHERE pid = {b}"
        );
        assert!(is(&watcher, &shown).await);
        first
            .batch_execute("COMMIT; SELECT pg_advisory_unlock_shared(1, 2)")
            .await
            .unwrap();
        second = waits.await.unwrap();
        first
            .batch_execute("SELECT pg_advisory_lock_shared(1, 2)")
            .await
            .unwrap();
        let nobody = "SELECT count(*) = 0 FROM pg_locks WHERE NOT granted";
        assert!(is(&watcher, nobody).await);
    }
    watcher.batch_execute("DROP TABLE seen").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_sessions() {
    locks_are_seen(Server::start().peer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_sessions_in_postgres() {
    locks_are_seen(Postgres::start().peer()).await;
}

/// What Npgsql sends before it gives a pooled connection to someone else.
#[tokio::test(flavor = "multi_thread")]
async fn pooled_connections_are_reset() {
    crate::constraints::play(
        "CREATE ROLE \"Ümit\";
         SET ROLE \"Ümit\";
         RESET ROLE;
         CREATE TEMP TABLE own (id int);
         INSERT INTO own VALUES (1);
         SET work_mem = '77MB';
         SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP;
         SHOW work_mem;
         SELECT * FROM own;
         CREATE TEMP TABLE own (other int);
         BEGIN;
         DISCARD TEMP;
         SELECT * FROM own;
         ROLLBACK;
         SELECT * FROM own;
         BEGIN;
         DISCARD TEMP;
         CREATE TEMP TABLE own (third int);
         COMMIT;
         SELECT * FROM own;
         SET ROLE \"Ümit\";
         SET SESSION AUTHORIZATION DEFAULT;
         SELECT current_user = session_user;
         SET ROLE \"Ümit\";
         RESET SESSION AUTHORIZATION;
         SELECT current_user = session_user;
         DROP ROLE \"Ümit\"",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_have_their_signs_and_planners_their_settings() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for zone in [
        "INTERVAL '+05:30' HOUR TO MINUTE",
        "INTERVAL '-08:00' HOUR TO MINUTE",
        "INTERVAL '-3' HOUR",
    ] {
        for client in [&tide, &pg] {
            let set = format!("RESET TIME ZONE; SET TIME ZONE {zone}");
            client.batch_execute(&set).await.expect(zone);
        }
        all_same(
            &tide,
            &pg,
            &[
                "SELECT (timestamptz '2024-01-01 00:00Z')::text AS at",
                "SELECT current_setting('TimeZone') AS zone",
            ],
        )
        .await;
    }
    all_same(
        &tide,
        &pg,
        &[
            "SELECT make_timestamptz(1973, 7, 15, 8, 15, 55.33, '+2') AS a, make_timestamptz(1973, 7, 15, 8, 15, 55.33, '-02:30') AS b",
            "SELECT make_timestamptz(1973, 7, 15, 8, 15, 55.33, '+0530') AS a, make_timestamptz(1973, 7, 15, 8, 15, 55.33, 'EST') AS b",
            "SELECT make_timestamptz(1973, 7, 15, 8, 15, 55.33, 'Europe/Paris') AS a",
            "SELECT statement_timestamp() = statement_timestamp() AS a",
            "SELECT DISTINCT statement_timestamp() - statement_timestamp() AS a FROM generate_series(1, 3)",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "SET TIME ZONE INTERVAL '1 month'",
            "SET TIME ZONE INTERVAL '1 day'",
            "SELECT make_timestamptz(1973, 7, 15, 8, 15, 55.33, '2')",
            "SELECT make_timestamptz(1973, 7, 15, 8, 15, 55.33, 'nope')",
            "SELECT make_timestamptz(1973, 7, 15, 8, 15, 55.33, '+99')",
            "SET enable_sort = 'x'",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let set = "SET enable_hashagg = off; SET enable_sort = off; SET jit_above_cost = 0; SET join_collapse_limit = 1; SET deadlock_timeout = '2s'";
        client.batch_execute(set).await.unwrap();
    }
    all_same(
        &tide,
        &pg,
        &["SELECT current_setting('enable_sort') AS a, current_setting('deadlock_timeout') AS b, current_setting('max_index_keys') AS c"],
    )
    .await;
    // With the tags.
    pair.same("\\set QUIET off\nSTART TRANSACTION; COMMIT; BEGIN; COMMIT");
}
