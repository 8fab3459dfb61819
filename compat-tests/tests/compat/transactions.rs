//! Transactions of several sessions at once, as PostgreSQL has them: waits, isolation, savepoints.

#[path = "transactions/computed.rs"]
mod computed;
#[path = "transactions/deferred.rs"]
mod deferred;
#[path = "transactions/joined.rs"]
mod joined;
#[path = "transactions/locks.rs"]
mod locks;
#[path = "transactions/queue.rs"]
mod queue;
#[path = "transactions/random.rs"]
mod random;
#[path = "transactions/stage.rs"]
mod stage;
#[path = "transactions/unique.rs"]
mod unique;

use stage::same_on_both;

pub(crate) const TABLES: &str = "
    DROP TABLE IF EXISTS t;
    DROP TABLE IF EXISTS k;
    CREATE TABLE t (id int8 PRIMARY KEY, n int8 NOT NULL);
    INSERT INTO t VALUES (1, 10), (2, 20), (3, 30);
    CREATE TABLE k (id int8, n int8);
    INSERT INTO k VALUES (1, 10), (2, 20);
";

#[tokio::test(flavor = "multi_thread")]
async fn read_committed_waits_and_reads_again() {
    same_on_both(
        TABLES,
        &[
            // Both count.
            "a: BEGIN
             b: BEGIN
             a: UPDATE t SET n = n + 1 WHERE id = 1
             b> UPDATE t SET n = n + 1 WHERE id = 1
             a: COMMIT
             b<
             b: SELECT n FROM t WHERE id = 1
             b: COMMIT
             c: SELECT n FROM t WHERE id = 1",
            // Also without a primary key.
            "a: BEGIN
             b: BEGIN
             a: UPDATE k SET n = n + 1 WHERE id = 1
             b> UPDATE k SET n = n + 1 WHERE id = 1
             a: COMMIT
             b<
             b: COMMIT
             c: SELECT n FROM k WHERE id = 1",
            // A statement outside a block waits, too.
            "a: BEGIN
             a: UPDATE t SET n = n + 1 WHERE id = 1
             b> UPDATE t SET n = n + 1 WHERE id = 1
             a: UPDATE t SET n = n + 100 WHERE id = 1
             a: COMMIT
             b<
             c: SELECT n FROM t WHERE id = 1",
            // And goes on when the other rolls back.
            "a: BEGIN
             a: UPDATE t SET n = 0
             b> UPDATE t SET n = n + 1 WHERE id IN (1, 2) RETURNING n
             a: ROLLBACK
             b<",
            // The row does not match any more.
            "a: BEGIN
             a: UPDATE t SET n = 99 WHERE id = 1
             b> UPDATE t SET n = 0 WHERE n = 10
             a: COMMIT
             b<
             c: SELECT id, n FROM t ORDER BY id",
            // The row is gone.
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> DELETE FROM t WHERE id <= 2 RETURNING id
             a: COMMIT
             b<
             c: SELECT id FROM t ORDER BY id",
            // No 40001 for what was committed between two statements.
            "a: BEGIN
             a: SELECT n FROM t WHERE id = 1
             b: UPDATE t SET n = 11 WHERE id = 1
             a: SELECT n FROM t WHERE id = 1
             a: UPDATE t SET n = n + 1 WHERE id = 1
             a: COMMIT
             b: SELECT n FROM t WHERE id = 1",
            // The key changes: it is a lock on both.
            "a: BEGIN
             a: UPDATE t SET id = 7 WHERE id = 1
             b> INSERT INTO t VALUES (7, 70)
             a: COMMIT
             b<
             b: INSERT INTO t VALUES (1, 1)
             c: SELECT id FROM t ORDER BY id",
            "a: BEGIN
             a: UPDATE t SET id = 2 WHERE id = 1
             a: ROLLBACK
             a: BEGIN
             a: DELETE FROM t WHERE id = 2
             a: UPDATE t SET id = 2 WHERE id = 1
             a: COMMIT
             a: SELECT id, n FROM t ORDER BY id",
            // Three in a row.
            "a: BEGIN
             a: UPDATE t SET n = n * 2 WHERE id = 1
             b: BEGIN
             b> UPDATE t SET n = n + 1 WHERE id = 1
             a: COMMIT
             b<
             c> UPDATE t SET n = n * 10 WHERE id = 1
             b: COMMIT
             c<
             c: SELECT n FROM t WHERE id = 1",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_of_the_same_key_wait_for_each_other() {
    same_on_both(
        TABLES,
        &[
            "a: BEGIN
             b: BEGIN
             a: INSERT INTO t VALUES (9, 1)
             b> INSERT INTO t VALUES (9, 2)
             a: COMMIT
             b<
             b: SELECT 1
             b: ROLLBACK
             c: SELECT n FROM t WHERE id = 9",
            "a: BEGIN
             b: BEGIN
             a: INSERT INTO t VALUES (9, 1)
             b> INSERT INTO t VALUES (8, 0), (9, 2)
             a: ROLLBACK
             b<
             b: COMMIT
             c: SELECT n FROM t WHERE id >= 8 ORDER BY id",
            "a: BEGIN
             a: INSERT INTO t VALUES (9, 1)
             b> INSERT INTO t VALUES (9, 2)
             a: COMMIT
             b<",
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             b> INSERT INTO t VALUES (1, 2)
             a: COMMIT
             b<
             b: SELECT n FROM t WHERE id = 1",
            "a: BEGIN
             a: DELETE FROM t WHERE id = 1
             a: INSERT INTO t VALUES (1, 5)
             c> INSERT INTO t VALUES (1, 6)
             a: COMMIT
             c<",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn isolation_levels_see_what_they_should() {
    let mut scripts = Vec::new();
    for level in [
        "READ UNCOMMITTED",
        "READ COMMITTED",
        "REPEATABLE READ",
        "SERIALIZABLE",
    ] {
        // Dirty, non-repeatable and phantom reads.
        scripts.push(format!(
            "a: BEGIN ISOLATION LEVEL {level}
             a: SHOW transaction_isolation
             b: BEGIN
             b: UPDATE t SET n = 11 WHERE id = 1
             b: INSERT INTO t VALUES (4, 40)
             a: SELECT id, n FROM t ORDER BY id
             b: COMMIT
             a: SELECT id, n FROM t ORDER BY id
             a: SELECT n FROM t WHERE id = 1
             a: SELECT count(*), sum(n) FROM t
             b: DELETE FROM t WHERE id = 2
             a: SELECT id, n FROM t WHERE n >= 20 ORDER BY id
             a: COMMIT
             a: SELECT id, n FROM t ORDER BY id"
        ));
        // A row that was changed since the snapshot, before the update and while it waits.
        scripts.push(format!(
            "a: BEGIN ISOLATION LEVEL {level}
             a: SELECT n FROM t WHERE id = 3
             b: UPDATE t SET n = 11 WHERE id = 1
             a: UPDATE t SET n = n + 1 WHERE id = 1
             a: COMMIT
             a: SELECT n FROM t WHERE id = 1"
        ));
        scripts.push(format!(
            "a: BEGIN ISOLATION LEVEL {level}
             a: SELECT n FROM t WHERE id = 3
             b: BEGIN
             b: DELETE FROM t WHERE id = 1
             a> UPDATE t SET n = n + 1 WHERE id = 1
             b: COMMIT
             a<
             a: COMMIT
             a: SELECT count(*) FROM t"
        ));
        scripts.push(format!(
            "a: BEGIN TRANSACTION ISOLATION LEVEL {level}
             a: SELECT n FROM t WHERE id = 3
             b: BEGIN
             b: UPDATE t SET n = 5 WHERE id = 1
             a> SELECT n FROM t WHERE id = 1 FOR UPDATE
             b: COMMIT
             a<
             a: COMMIT"
        ));
        // The other one rolls back: nothing was changed.
        scripts.push(format!(
            "a: BEGIN ISOLATION LEVEL {level}
             a: SELECT n FROM t WHERE id = 3
             b: BEGIN
             b: UPDATE t SET n = 5 WHERE id = 1
             a> UPDATE t SET n = n + 1 WHERE id = 1
             b: ROLLBACK
             a<
             a: COMMIT
             a: SELECT n FROM t WHERE id = 1"
        ));
        // Its own changes are seen at every level.
        scripts.push(format!(
            "a: START TRANSACTION ISOLATION LEVEL {level}, READ WRITE
             a: UPDATE t SET n = 0 WHERE id < 3
             a: INSERT INTO t VALUES (4, 4)
             a: DELETE FROM t WHERE id = 2
             a: SELECT id, n FROM t ORDER BY id
             a: UPDATE t SET n = n + 1
             a: SELECT sum(n) FROM t
             a: COMMIT
             b: SELECT sum(n) FROM t"
        ));
        // Write skew: from SERIALIZABLE on, the second to commit must not.
        scripts.push(format!(
            "a: BEGIN ISOLATION LEVEL {level}
             b: BEGIN ISOLATION LEVEL {level}
             a: SELECT sum(n) FROM t WHERE id IN (1, 2)
             b: SELECT sum(n) FROM t WHERE id IN (1, 2)
             a: UPDATE t SET n = -10 WHERE id = 1
             b: UPDATE t SET n = -20 WHERE id = 2
             a: COMMIT
             b: COMMIT
             c: SELECT sum(n) FROM t WHERE id IN (1, 2)"
        ));
        // A duplicate that the snapshot does not show is a duplicate.
        scripts.push(format!(
            "a: BEGIN ISOLATION LEVEL {level}
             b: INSERT INTO k VALUES (3, 30)
             a: SELECT count(*) FROM k
             b: INSERT INTO t VALUES (4, 40)
             a: INSERT INTO t VALUES (4, 41)
             a: ROLLBACK"
        ));
    }
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same_on_both(TABLES, &scripts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn characteristics_of_a_transaction() {
    same_on_both(
        TABLES,
        &[
            "a: SHOW transaction_isolation
             a: SHOW default_transaction_isolation
             a: SET default_transaction_isolation = 'repeatable read'
             a: SHOW transaction_isolation
             a: BEGIN
             a: SHOW transaction_isolation
             a: SET TRANSACTION ISOLATION LEVEL READ COMMITTED
             a: SHOW TRANSACTION ISOLATION LEVEL
             a: SELECT 1
             a: SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
             a: SELECT 1
             a: ROLLBACK
             a: SHOW transaction_isolation
             a: SET default_transaction_isolation = 'none'
             a: SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE
             a: SHOW default_transaction_isolation
             a: BEGIN ISOLATION LEVEL READ UNCOMMITTED
             a: SHOW transaction_isolation
             a: COMMIT
             a: SHOW transaction_isolation
             a: SET TRANSACTION ISOLATION LEVEL READ COMMITTED
             a: SHOW transaction_isolation",
            "a: BEGIN READ ONLY
             a: SHOW transaction_read_only
             a: SELECT count(*) FROM t
             a: INSERT INTO t VALUES (7, 7)
             a: ROLLBACK
             a: BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY
             a: UPDATE t SET n = 0
             a: ROLLBACK
             a: BEGIN TRANSACTION READ ONLY
             a: DELETE FROM t
             a: ROLLBACK
             a: BEGIN READ ONLY
             a: SELECT * FROM t FOR SHARE
             a: ROLLBACK
             a: BEGIN READ ONLY
             a: SELECT 1
             a: SET TRANSACTION READ WRITE
             a: ROLLBACK
             a: BEGIN
             a: SET TRANSACTION READ ONLY
             a: INSERT INTO t VALUES (7, 7)
             a: COMMIT
             a: SET default_transaction_read_only = on
             a: INSERT INTO t VALUES (7, 7)
             a: CREATE TABLE never (id int8)
             a: BEGIN READ WRITE
             a: INSERT INTO t VALUES (7, 7)
             a: COMMIT
             a: SET default_transaction_read_only = maybe
             a: SET default_transaction_read_only = off
             a: SELECT id, n FROM t ORDER BY id",
            "a: SET lock_timeout = 100
             a: SHOW lock_timeout
             a: SET lock_timeout = '2s'
             a: SHOW lock_timeout
             a: SET lock_timeout = '90000'
             a: SHOW lock_timeout
             a: SET statement_timeout TO '2min'
             a: SHOW statement_timeout
             a: SET idle_in_transaction_session_timeout = '1.5s'
             a: SHOW idle_in_transaction_session_timeout
             a: SET lock_timeout = 'soon'
             a: SET lock_timeout = -1
             a: SET lock_timeout = '5 parsecs'
             a: SHOW lock_timeout
             a: BEGIN
             a: SET LOCAL lock_timeout = '7s'
             a: SHOW lock_timeout
             a: COMMIT
             a: SHOW lock_timeout
             a: SET LOCAL lock_timeout = '8s'
             a: SHOW lock_timeout
             a: RESET lock_timeout
             a: SHOW lock_timeout",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_give_back_what_they_locked_and_changed() {
    same_on_both(
        TABLES,
        &[
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             a: SAVEPOINT s
             a: UPDATE t SET n = 0
             a: INSERT INTO t VALUES (5, 5)
             a: ROLLBACK TO SAVEPOINT s
             b: UPDATE t SET n = 22 WHERE id = 2
             b: INSERT INTO t VALUES (5, 55)
             b: SELECT id FROM t ORDER BY id FOR UPDATE SKIP LOCKED
             a: COMMIT
             b: SELECT id, n FROM t ORDER BY id",
            // A statement that fails midway leaves nothing, and the block goes on from its savepoint.
            "a: BEGIN
             a: INSERT INTO t VALUES (4, 40)
             a: SAVEPOINT s
             a: INSERT INTO t VALUES (5, 50), (6, 60), (1, 0)
             a: SELECT 1
             a: ROLLBACK TO s
             a: SELECT id FROM t ORDER BY id
             a: UPDATE t SET n = 100 / (n - 30)
             a: ROLLBACK TO s
             a: SELECT id, n FROM t ORDER BY id
             a: UPDATE t SET id = 2 WHERE id <= 2
             a: ROLLBACK TO s
             a: INSERT INTO t SELECT id + 4, n FROM t
             a: COMMIT
             b: SELECT id, n FROM t ORDER BY id",
            // Duplicates inside one block come at once.
            "a: BEGIN
             a: INSERT INTO t VALUES (4, 40)
             a: SAVEPOINT s
             a: INSERT INTO t VALUES (4, 41)
             a: ROLLBACK TO s
             a: INSERT INTO t VALUES (7, 1), (7, 2)
             a: ROLLBACK TO s
             a: UPDATE t SET id = 3 WHERE id = 1
             a: ROLLBACK TO s
             a: DELETE FROM t WHERE id = 4
             a: INSERT INTO t VALUES (4, 42)
             a: RELEASE SAVEPOINT s
             a: COMMIT
             b: SELECT id, n FROM t ORDER BY id",
            // A failed block has let go before it is told to roll back.
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             a: SELECT nope
             b: UPDATE t SET n = n + 1 WHERE id = 1
             a: COMMIT
             b: SELECT n FROM t WHERE id = 1",
            "a: BEGIN
             a: UPDATE t SET n = 11 WHERE id = 1
             a: SAVEPOINT s
             a: UPDATE t SET n = 22 WHERE id = 2
             a: SELECT 1 / 0
             b: SELECT id FROM t ORDER BY id FOR UPDATE SKIP LOCKED
             a: ROLLBACK TO s
             a: COMMIT
             b: SELECT id, n FROM t ORDER BY id",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_parent_waits_for_who_takes_its_last_child() {
    let tables = "
        DROP TABLE IF EXISTS child;
        DROP TABLE IF EXISTS parent;
        CREATE TABLE parent (id int8 PRIMARY KEY, n int8);
        CREATE TABLE child (id int8 PRIMARY KEY, of int8 REFERENCES parent);
        INSERT INTO parent VALUES (1, 1), (2, 2);
        INSERT INTO child VALUES (1, 1), (2, 2);
    ";
    same_on_both(
        tables,
        &[
            "a: BEGIN
             a: DELETE FROM child WHERE id = 2
             b> DELETE FROM parent WHERE id = 2
             a: COMMIT
             b<
             c: SELECT count(*) FROM parent",
            "a: BEGIN
             a: UPDATE child SET of = 1 WHERE id = 2
             b> UPDATE parent SET id = 3 WHERE id = 2
             a: ROLLBACK
             b<
             c: SELECT id FROM parent ORDER BY id",
            "a: BEGIN
             a: DELETE FROM child WHERE id = 2
             a: DELETE FROM parent WHERE id = 2
             a: COMMIT
             c: SELECT id FROM parent ORDER BY id",
        ],
    )
    .await;
}
