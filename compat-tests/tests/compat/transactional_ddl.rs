//! CREATE, ALTER, DROP and TRUNCATE inside transaction blocks: seen by the block at once, by others with its commit.

use tidelog_compat_tests::Server;

use crate::constraints::play;

#[tokio::test(flavor = "multi_thread")]
async fn blocks_see_their_own_ddl_and_can_take_it_back() {
    play(
        "BEGIN;
         CREATE TABLE a (id int PRIMARY KEY, n int);
         INSERT INTO a VALUES (1, 10), (2, 20);
         SELECT * FROM a ORDER BY id;
         ROLLBACK;
         SELECT * FROM a;
         BEGIN;
         CREATE SCHEMA s;
         CREATE TABLE s.a (id int PRIMARY KEY, n int);
         INSERT INTO s.a VALUES (1, 10), (2, 20);
         CREATE INDEX ON s.a (n);
         ALTER TABLE s.a ADD COLUMN m int DEFAULT 5;
         SELECT * FROM s.a WHERE n = 20;
         UPDATE s.a SET m = id + n WHERE n > 10;
         SELECT * FROM s.a ORDER BY id;
         SAVEPOINT p;
         DROP TABLE s.a;
         SELECT * FROM s.a;
         ROLLBACK TO p;
         SELECT * FROM s.a ORDER BY id;
         ALTER TABLE s.a ADD UNIQUE (n);
         INSERT INTO s.a VALUES (3, 20);
         ROLLBACK TO p;
         INSERT INTO s.a VALUES (3, 20);
         SAVEPOINT q;
         ALTER TABLE s.a ADD UNIQUE (n);
         ROLLBACK TO q;
         ALTER TABLE s.a RENAME COLUMN n TO number;
         ALTER TABLE s.a RENAME TO b;
         DELETE FROM s.b WHERE number = 10;
         INSERT INTO s.b VALUES (1, 100, 1);
         SELECT * FROM s.b ORDER BY id;
         COMMIT;
         SELECT * FROM s.b ORDER BY id;
         SELECT * FROM s.b WHERE id = 1;
         SELECT * FROM s.b WHERE number = 20 ORDER BY id;
         SELECT indexname FROM pg_indexes WHERE schemaname = 's' ORDER BY 1;
         BEGIN;
         TRUNCATE s.b;
         INSERT INTO s.b VALUES (7, 7, 7);
         SELECT * FROM s.b;
         ROLLBACK;
         SELECT count(*) FROM s.b;
         BEGIN;
         INSERT INTO s.b VALUES (8, 8, 8);
         TRUNCATE s.b;
         INSERT INTO s.b VALUES (9, 9, 9);
         UPDATE s.b SET m = 90;
         COMMIT;
         SELECT * FROM s.b;
         BEGIN;
         CREATE TABLE gone (id int);
         INSERT INTO gone VALUES (1);
         UPDATE gone SET id = 2;
         INSERT INTO s.b VALUES (10, 10, 10);
         UPDATE s.b SET m = 100 WHERE id = 10;
         DROP TABLE gone;
         UPDATE s.b SET m = 101 WHERE id = 10;
         COMMIT;
         SELECT * FROM s.b ORDER BY id;
         SELECT * FROM gone;
         CREATE TABLE c (a int); INSERT INTO c VALUES (1); INSERT INTO c VALUES (1/0);
         SELECT * FROM c;
         CREATE TABLE c (a int); INSERT INTO c VALUES (1); SELECT * FROM c;
         SELECT * FROM c;
         BEGIN;
         CREATE INDEX CONCURRENTLY ON c (a);
         ROLLBACK;
         BEGIN;
         CREATE TABLE d (id int PRIMARY KEY, up int REFERENCES d);
         INSERT INTO d VALUES (1, NULL), (2, 1);
         INSERT INTO d VALUES (3, 9);
         COMMIT;
         SELECT * FROM d",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_that_a_block_adds_hold_for_the_rows_from_before() {
    play(
        "CREATE TABLE t (id int, n int, k text);
         INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, NULL);
         @CALL tidelog.flush('t');
         INSERT INTO t VALUES (4, 40, 'd');
         BEGIN;
         ALTER TABLE t ADD PRIMARY KEY (id);
         INSERT INTO t VALUES (4, 41, 'e');
         ROLLBACK;
         BEGIN;
         ALTER TABLE t ADD PRIMARY KEY (id), ADD UNIQUE (k);
         UPDATE t SET n = n + 1 WHERE id = 2;
         UPDATE t SET k = 'z' WHERE id > 2 AND k = 'd';
         INSERT INTO t VALUES (9, 1, 'a') ON CONFLICT (k) DO UPDATE SET n = 1000;
         INSERT INTO t VALUES (2, 1, 'q') ON CONFLICT (id) DO UPDATE SET n = 2000 RETURNING *;
         SELECT * FROM t WHERE id >= 2 ORDER BY id;
         SELECT * FROM t WHERE id = 3;
         DELETE FROM t WHERE id = 3;
         INSERT INTO t VALUES (3, 33, 'c');
         COMMIT;
         SELECT * FROM t ORDER BY id;
         SELECT * FROM t WHERE id = 1;
         SELECT * FROM t WHERE id > 2 ORDER BY id;
         SELECT id FROM t WHERE k = 'z';
         INSERT INTO t VALUES (1, 0, 'new');
         INSERT INTO t VALUES (11, 0, 'z');
         BEGIN;
         ALTER TABLE t ADD CHECK (n < 100);
         ROLLBACK;
         BEGIN;
         UPDATE t SET n = 5 WHERE n > 99;
         ALTER TABLE t ADD CHECK (n < 100), ALTER COLUMN n SET NOT NULL;
         INSERT INTO t VALUES (12, 100, 'over');
         ROLLBACK;
         INSERT INTO t VALUES (12, 100, 'over');
         BEGIN;
         INSERT INTO t VALUES (13, 1, 'dup1');
         INSERT INTO t VALUES (14, 1, 'dup2');
         CREATE UNIQUE INDEX ON t (n);
         ROLLBACK;
         BEGIN;
         CREATE TABLE child (t int);
         INSERT INTO child VALUES (1), (77);
         ALTER TABLE child ADD FOREIGN KEY (t) REFERENCES t;
         ROLLBACK;
         BEGIN;
         CREATE TABLE child (t int);
         INSERT INTO child VALUES (1), (2);
         ALTER TABLE child ADD FOREIGN KEY (t) REFERENCES t ON DELETE CASCADE;
         DELETE FROM t WHERE id = 1;
         SELECT * FROM child;
         COMMIT;
         SELECT * FROM child;
         INSERT INTO child VALUES (1)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_ddl_with_its_commit_and_wait_to_change_the_catalog() {
    let server = Server::start();
    let (one, two) = (server.peer().connect().await, server.peer().connect().await);
    one.batch_execute("CREATE TABLE old (n int); INSERT INTO old VALUES (1), (2)")
        .await
        .unwrap();
    one.batch_execute(
        "BEGIN; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); DROP TABLE old",
    )
    .await
    .unwrap();
    two.query("SELECT * FROM t", &[]).await.unwrap_err();
    let rows = two.query("SELECT * FROM old", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);

    // Changing the catalog waits; writing and reading do not.
    two.batch_execute("SET lock_timeout = '200ms'")
        .await
        .unwrap();
    let refused = two.batch_execute("CREATE TABLE other (id int)").await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55P03");
    two.batch_execute("INSERT INTO old VALUES (3); RESET lock_timeout")
        .await
        .unwrap();
    let waiting = async { two.batch_execute("CREATE TABLE other (id int)").await };
    let ending = async { one.batch_execute("COMMIT").await };
    let (created, ended) = tokio::join!(waiting, ending);
    created.unwrap();
    ended.unwrap();
    assert_eq!(two.query("SELECT * FROM t", &[]).await.unwrap().len(), 1);
    two.query("SELECT * FROM old", &[]).await.unwrap_err();

    // A row that came meanwhile is not missed by a constraint.
    one.batch_execute("CREATE TABLE u (n int); INSERT INTO u VALUES (1)")
        .await
        .unwrap();
    one.batch_execute("BEGIN; ALTER TABLE u ADD UNIQUE (n)")
        .await
        .unwrap();
    two.batch_execute("INSERT INTO u VALUES (1)").await.unwrap();
    let refused = one.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "40001");
    let error = one.batch_execute("ALTER TABLE u ADD UNIQUE (n)").await;
    assert_eq!(error.unwrap_err().code().unwrap().code(), "23505");

    // A statement that was prepared inside a block that was rolled back means the table that is there now.
    one.batch_execute("BEGIN; CREATE TABLE p (a int); INSERT INTO p VALUES (1)")
        .await
        .unwrap();
    let prepared = one.prepare("SELECT * FROM p").await.unwrap();
    assert_eq!(one.query(&prepared, &[]).await.unwrap().len(), 1);
    one.batch_execute("ROLLBACK").await.unwrap();
    one.query(&prepared, &[]).await.unwrap_err();
    one.batch_execute("CREATE TABLE p (a int); INSERT INTO p VALUES (1), (2)")
        .await
        .unwrap();
    assert_eq!(one.query(&prepared, &[]).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serializable_block_does_not_fail_by_its_own_tables() {
    play(
        "CREATE TABLE p (id int PRIMARY KEY, n int);
         INSERT INTO p VALUES (1, 1);
         BEGIN ISOLATION LEVEL SERIALIZABLE;
         SELECT * FROM p;
         TRUNCATE p;
         INSERT INTO p VALUES (2, 2);
         SELECT * FROM p;
         COMMIT;
         BEGIN ISOLATION LEVEL SERIALIZABLE;
         CREATE TABLE q (id int PRIMARY KEY);
         INSERT INTO q VALUES (1);
         SELECT * FROM q;
         COMMIT;
         SELECT p.id, q.id FROM p, q;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_snapshot_is_read_with_the_columns_of_its_time() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 10);");
    let client = peer.connect().await;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM t")
        .await
        .expect("begins");
    peer.run("ALTER TABLE t ADD COLUMN w int DEFAULT 5; UPDATE t SET n = 11;");
    let rows = client.query("SELECT * FROM t", &[]).await.expect("is read");
    assert_eq!((rows[0].len(), rows[0].get::<_, i32>(1)), (2, 10));
    let error = client.batch_execute("UPDATE t SET n = 12").await;
    let error = error.expect_err("the row has changed");
    assert_eq!(
        error.as_db_error().expect("of the server").code().code(),
        "40001"
    );
    client.batch_execute("ROLLBACK").await.expect("ends");
    let rows = client.query("SELECT * FROM t", &[]).await.expect("is read");
    assert_eq!((rows[0].len(), rows[0].get::<_, i32>(1)), (3, 11));
}

/// The SQLSTATE of what a statement gives; empty when it succeeds.
async fn state(client: &tokio_postgres::Client, sql: &str) -> String {
    match client.batch_execute(sql).await {
        Ok(()) => String::new(),
        Err(error) => error
            .code()
            .map_or(error.to_string(), |code| code.code().to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_temporary_tables_of_another_session() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE ann LOGIN PASSWORD 'a'; CREATE ROLE bob LOGIN PASSWORD 'b'; CREATE TABLE box (n int);
         INSERT INTO box VALUES (1), (2); CREATE TYPE mood AS ENUM ('sad')",
    );
    let (ann, bob) = (peer.role("ann", "a"), peer.role("bob", "b"));
    let (ann, bob) = (ann.connect().await, bob.connect().await);
    let admin = peer.connect().await;
    for client in [&ann, &bob, &admin] {
        assert_eq!(state(client, "SET lock_timeout = '100ms'").await, "");
    }
    // Ids of both are taken by turns, so that none has two owners.
    let made = "BEGIN; CREATE TEMP TABLE tt AS SELECT n FROM box; CREATE TEMP VIEW tv AS SELECT n FROM tt; \
                CREATE TEMP TABLE ts (id serial PRIMARY KEY, at text)";
    assert_eq!(state(&ann, made).await, "");
    let free = [
        (
            &bob,
            "CREATE TEMP TABLE tt (a int); INSERT INTO tt VALUES (7)",
            "",
        ),
        (
            &bob,
            "BEGIN; CREATE TEMP TABLE tu (a serial); INSERT INTO tu DEFAULT VALUES",
            "",
        ),
        (&bob, "CREATE TABLE refused (a int)", "42501"),
        (&bob, "ROLLBACK", ""),
        (&admin, "ALTER ROLE bob NOLOGIN", ""),
        (
            &admin,
            "CREATE ROLE new; ALTER ROLE new RENAME TO newer; DROP ROLE newer",
            "",
        ),
        (
            &admin,
            "CREATE TABLE zz (a serial); INSERT INTO zz DEFAULT VALUES",
            "",
        ),
        (&admin, "CREATE INDEX CONCURRENTLY ON box (n)", ""),
        (&admin, "COMMENT ON TABLE box IS 'x'", ""),
        (&admin, "CREATE DATABASE dd", ""),
        (
            &admin,
            "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a; REFRESH MATERIALIZED VIEW mv",
            "",
        ),
    ];
    for (client, sql, expected) in free {
        assert_eq!(state(client, sql).await, expected, "{sql}");
    }
    // The block sees what others have made meanwhile, and its own.
    let rows = ann
        .query("SELECT a, (SELECT count(*) FROM tv) FROM zz", &[])
        .await;
    assert_eq!(rows.expect("is read")[0].get::<_, i64>(1), 2);
    assert_eq!(
        state(&ann, "INSERT INTO ts (at) VALUES ('x'); COMMIT").await,
        ""
    );
    let rows = ann
        .query("SELECT id, (SELECT sum(n) FROM tt) FROM ts", &[])
        .await;
    let rows = rows.expect("is read");
    assert_eq!((rows[0].get::<_, i32>(0), rows[0].get::<_, i64>(1)), (1, 3));

    // Who changes what lasts has the others of its kind wait, but neither roles nor temporary tables, nor who asks for what is not there.
    let other = peer.connect().await;
    assert_eq!(
        state(
            &other,
            "BEGIN; CREATE TABLE open (a int); ALTER TABLE box ADD COLUMN m int"
        )
        .await,
        ""
    );
    let beside = [
        (
            &bob,
            "BEGIN; CREATE TEMP TABLE tw (a int, b mood); DROP TABLE tt; COMMIT; CREATE INDEX ON tw (a)",
            "",
        ),
        (&bob, "CREATE TEMP TABLE tw (a int)", "42P07"),
        (&bob, "DROP TABLE box", "42501"),
        (&admin, "ALTER ROLE bob LOGIN", ""),
        (&admin, "DROP DATABASE IF EXISTS nodb", ""),
        (
            &admin,
            "DROP TABLE IF EXISTS nt; DROP ROLE IF EXISTS nr",
            "",
        ),
        (&admin, "REFRESH MATERIALIZED VIEW nomv", "42P01"),
        (&admin, "DROP TABLE nt", "42P01"),
        (&admin, "CREATE TABLE zzz (a int)", "55P03"),
        (&admin, "ALTER TABLE box DROP COLUMN m", "55P03"),
        (&admin, "DROP TYPE mood", "55P03"),
    ];
    for (client, sql, expected) in beside {
        assert_eq!(state(client, sql).await, expected, "{sql}");
    }
    assert_eq!(
        state(&other, "INSERT INTO open VALUES (1); COMMIT").await,
        ""
    );
    assert_eq!(
        state(&admin, "SELECT a FROM open; ALTER TABLE box DROP COLUMN m").await,
        ""
    );

    // What a temporary table leans on may go while it is not committed.
    assert_eq!(state(&bob, "DROP TABLE tw").await, "");
    assert_eq!(
        state(
            &bob,
            "BEGIN; CREATE TEMP TABLE tx (b mood); CREATE TEMP VIEW ty AS SELECT n FROM box"
        )
        .await,
        ""
    );
    assert_eq!(state(&admin, "DROP TYPE mood").await, "");
    assert_eq!(state(&bob, "COMMIT").await, "40001");
    assert_eq!(
        state(&bob, "BEGIN; CREATE TEMP VIEW ty AS SELECT n FROM box").await,
        ""
    );
    assert_eq!(state(&admin, "ALTER TABLE box ALTER n TYPE text").await, "");
    assert_eq!(state(&bob, "SELECT * FROM ty").await, "");
    assert_eq!(state(&admin, "DROP TABLE box").await, "");
    assert_eq!(state(&bob, "SELECT * FROM ty").await, "42P01");
    assert_eq!(
        state(
            &bob,
            "ROLLBACK; BEGIN; CREATE TEMP VIEW ty AS SELECT a FROM zz; COMMIT"
        )
        .await,
        ""
    );
    assert_eq!(state(&admin, "DROP TABLE zz").await, "2BP01");
    drop((ann, bob, admin, other));
    server.terminate();
    Server::assert_sound(&server.data());
}

/// Who changes a type changes the temporary tables of it, too; never what their sessions have made of them meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_temporary_tables_is_changed_beside_their_session() {
    let mut server = Server::start();
    let (one, two) = (server.peer().connect().await, server.peer().connect().await);
    let free = [
        (&one, "CREATE TYPE mood AS ENUM ('sad')", ""),
        (
            &two,
            "CREATE TEMP TABLE x (a int, b mood); CREATE TEMP TABLE gone (b mood); INSERT INTO x VALUES (1, 'sad')",
            "",
        ),
        (&one, "BEGIN; ALTER TYPE mood RENAME TO humour", ""),
        (&two, "ALTER TABLE x ADD COLUMN c int DEFAULT 5", ""),
        (
            &two,
            "INSERT INTO x VALUES (2, 'sad', 7); DROP TABLE gone",
            "",
        ),
        (&one, "COMMIT", "40001"),
        (&two, "SELECT c FROM x", ""),
        (&two, "SELECT * FROM gone", "42P01"),
        // The other way round: the session's own change is not of what the type is now.
        (&two, "BEGIN; ALTER TABLE x ADD COLUMN d int", ""),
        (&one, "ALTER TYPE mood RENAME TO humour", ""),
        (&two, "COMMIT", "40001"),
        (
            &two,
            "ALTER TABLE x ADD COLUMN d int; INSERT INTO x VALUES (3, 'sad', 8, 9)",
            "",
        ),
        // And what another session has for itself stands in nobody's way.
        (
            &one,
            "BEGIN; CREATE TEMP TABLE y (b humour); CREATE TABLE z (b humour)",
            "",
        ),
        (&two, "DROP TABLE x; CREATE TEMP TABLE x (b humour)", ""),
        (&one, "COMMIT", ""),
        (&one, "ALTER TYPE humour ADD VALUE 'glad'", ""),
        (&two, "INSERT INTO x VALUES ('glad')", ""),
    ];
    for (client, sql, expected) in free {
        assert_eq!(state(client, sql).await, expected, "{sql}");
        if sql == "SELECT c FROM x" {
            let rows = client.query("SELECT c FROM x ORDER BY a", &[]).await;
            let rows = rows.expect("is read");
            let all: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(all, [5, 7]);
        }
    }
    drop((one, two));
    server.terminate();
    Server::assert_sound(&server.data());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_do_not_follow_what_others_have_made_of_their_table() {
    let server = Server::start();
    let (one, two) = (server.peer().connect().await, server.peer().connect().await);
    server.peer().run("CREATE TABLE t (a int)");
    assert_eq!(state(&one, "BEGIN; INSERT INTO t VALUES (-1)").await, "");
    assert_eq!(state(&two, "ALTER TABLE t ADD CHECK (a > 0)").await, "");
    assert_eq!(state(&one, "CREATE TABLE u (a int)").await, "");
    assert_eq!(state(&one, "COMMIT").await, "40001");
}
