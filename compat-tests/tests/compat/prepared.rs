//! PREPARE, EXECUTE and DEALLOCATE, and what dumps and catalogue queries ask for.

use tidelog_compat_tests::Server;

use crate::constraints::play;
use crate::pair::Pair;

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_prepared_by_name() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, n int, x text);
         PREPARE ins (int, int) AS INSERT INTO t VALUES ($1, $2, 'x') RETURNING id;
         PREPARE sel AS SELECT x, n FROM t WHERE id = $1;
         PREPARE ins AS SELECT 1;
         EXECUTE ins (1, 10);
         EXECUTE ins (2, 1 + 1);
         EXECUTE ins ('3', NULL);
         EXECUTE ins (1, 10);
         EXECUTE ins (1);
         EXECUTE sel (2);
         EXECUTE sel ('x');
         EXECUTE nope;
         BEGIN;
         PREPARE inside AS SELECT 5 AS five;
         ROLLBACK;
         EXECUTE inside;
         DEALLOCATE inside;
         EXECUTE inside;
         DEALLOCATE PREPARE sel;
         DEALLOCATE sel;
         DEALLOCATE ALL;
         EXECUTE ins (9, 9);
         PREPARE a AS SELECT 1;
         DISCARD ALL;
         EXECUTE a;",
    )
    .await;
}

/// DEALLOCATE reaches the statements of the protocol, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_protocols_statements_can_be_deallocated() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [tide, pg] {
        let statement = client.prepare("SELECT 1 AS a").await.unwrap();
        client.batch_execute("DEALLOCATE ALL").await.unwrap();
        let error = client.query(&statement, &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "26000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dumps_ask_for() {
    let pair = Pair::start();
    pair.run(
        "CREATE SEQUENCE s START 5;
         CREATE TABLE t (id serial PRIMARY KEY, b bigint GENERATED ALWAYS AS IDENTITY, u uuid DEFAULT gen_random_uuid());
         SELECT nextval('s');",
    );
    for query in [
        "SELECT last_value, is_called FROM s",
        "SELECT last_value, is_called FROM public.t_id_seq",
        "SELECT tableoid::regclass, nspname FROM pg_namespace WHERE nspname = 'public'",
        "SELECT c.tableoid = 'pg_class'::regclass AS a, n.tableoid IS NULL AS b FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = 0 WHERE c.relname = 't'",
        "SELECT tableoid::regclass FROM t",
        "SELECT acldefault('n', 10), acldefault('T', 10), acldefault('r', 10)",
        "SELECT c.relname, d.refobjid::regclass, d.refobjsubid, d.deptype FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass WHERE c.relkind = 'S' ORDER BY 1",
        "SELECT typname[0] AS a FROM pg_type WHERE typname = '_int4'",
    ] {
        pair.same(query);
    }
    // PostgreSQL takes FREEZE for a table that is empty for all others only.
    pair.run(
        "BEGIN;\nTRUNCATE t;\nCOPY t (id) FROM STDIN WITH (FREEZE ON);\n7\n8\n9\n\\.\nCOMMIT;\n",
    );
    pair.same("SELECT count(*), count(DISTINCT u), count(DISTINCT b) FROM t");
    pair.run("INSERT INTO t (id) SELECT n FROM generate_series(20, 29) AS g(n);");
    pair.same("SELECT count(*), count(DISTINCT u) FROM t");
    play(
        "CREATE TABLE l (a int);
         LOCK TABLE l IN ACCESS SHARE MODE;
         BEGIN;
         LOCK TABLE l IN ACCESS SHARE MODE;
         LOCK TABLE nope IN ACCESS SHARE MODE;
         ROLLBACK;",
    )
    .await;
    let server = Server::start();
    let client = server.peer().connect().await;
    let refused = client
        .batch_execute("CREATE TABLE l (a int); BEGIN; LOCK TABLE l")
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "0A000");
}
