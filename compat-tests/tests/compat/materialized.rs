//! Materialized views, beside PostgreSQL.

use tidelog_compat_tests::Server;

use crate::constraints::play;

#[tokio::test(flavor = "multi_thread")]
async fn materialized_views_are_made_refreshed_and_dropped() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(5,1));
         INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2.5);
         CREATE MATERIALIZED VIEW m AS SELECT id, v FROM t WHERE id < 5;
         CREATE MATERIALIZED VIEW m AS SELECT 1;
         CREATE MATERIALIZED VIEW IF NOT EXISTS m AS SELECT 1;
         CREATE OR REPLACE MATERIALIZED VIEW m AS SELECT 1;
         CREATE MATERIALIZED VIEW n (x) AS SELECT v FROM t WITH NO DATA;
         CREATE TEMP TABLE own (a int);
         CREATE MATERIALIZED VIEW bad AS SELECT * FROM own;
         SELECT * FROM m ORDER BY id;
         SELECT * FROM n;
         INSERT INTO t VALUES (3, 'c', 3.5);
         SELECT count(*) FROM m;
         REFRESH MATERIALIZED VIEW m;
         SELECT count(*) FROM m;
         REFRESH MATERIALIZED VIEW CONCURRENTLY m;
         CREATE UNIQUE INDEX mi ON m (id);
         REFRESH MATERIALIZED VIEW CONCURRENTLY m;
         REFRESH MATERIALIZED VIEW CONCURRENTLY n;
         REFRESH MATERIALIZED VIEW n;
         SELECT * FROM n ORDER BY 1;
         REFRESH MATERIALIZED VIEW n WITH NO DATA;
         SELECT * FROM n;
         REFRESH MATERIALIZED VIEW t;
         REFRESH MATERIALIZED VIEW nothing;
         INSERT INTO m VALUES (1, 'x');
         UPDATE m SET v = 'x';
         DELETE FROM m;
         TRUNCATE m;
         DROP TABLE m;
         DROP VIEW m;
         DROP MATERIALIZED VIEW t;
         DROP MATERIALIZED VIEW IF EXISTS nothing;
         DROP TABLE t;
         ALTER TABLE t DROP COLUMN v;
         CREATE VIEW over AS SELECT * FROM m;
         DROP MATERIALIZED VIEW m;
         SELECT relname, relkind, relispopulated, relhasindex FROM pg_class WHERE relname IN ('m', 'n') ORDER BY 1;
         SELECT matviewname, hasindexes, ispopulated FROM pg_matviews ORDER BY 1;
         SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1;
         SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1;
         ALTER TABLE t RENAME TO moved;
         BEGIN;
         INSERT INTO moved VALUES (4, 'd', 1);
         REFRESH MATERIALIZED VIEW m;
         SELECT count(*) FROM m;
         ROLLBACK;
         SELECT count(*) FROM m;
         REFRESH MATERIALIZED VIEW m;
         SELECT count(*) FROM over;
         INSERT INTO moved VALUES (2, 'e', 1) ON CONFLICT (id) DO UPDATE SET v = 'E';
         REFRESH MATERIALIZED VIEW m;
         SELECT * FROM m WHERE id = 2;
         @CALL tidelog.flush('m');
         SELECT * FROM m ORDER BY id;
         DROP TABLE moved CASCADE;
         SELECT * FROM m;
         SELECT * FROM over",
    )
    .await;
}

/// They outlive a restart, and are dumped.
#[test]
fn materialized_views_last() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1);
         CREATE MATERIALIZED VIEW m AS SELECT id FROM t;
         CREATE MATERIALIZED VIEW empty AS SELECT id FROM t WITH NO DATA;",
    );
    server.restart();
    let peer = server.peer();
    assert_eq!(peer.value("SELECT count(*) FROM m"), "1");
    let refused = peer.try_run("SELECT * FROM empty;").unwrap_err();
    assert!(refused.contains("materialized view \"empty\" has not been populated"));
    peer.run("INSERT INTO t VALUES (2); REFRESH MATERIALIZED VIEW m;");
    assert_eq!(peer.value("SELECT count(*) FROM m"), "2");
}

/// Nobody reads the rows of another user in what a superuser has filled, whenever the USER table came below it.
#[test]
fn users_rows_are_in_none() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE SCHEMA \"Größe\";
         CREATE USER TABLE \"Größe\".\"Ü\" (id int PRIMARY KEY);
         CREATE TABLE shared (id int);
         CREATE VIEW v AS SELECT id FROM \"Größe\".\"Ü\";
         CREATE VIEW w AS SELECT id FROM shared;
         CREATE MATERIALIZED VIEW m AS SELECT id FROM w;
         CREATE OR REPLACE VIEW w AS SELECT id FROM v;",
    );
    for refused in [
        "CREATE MATERIALIZED VIEW n AS SELECT id FROM \"Größe\".\"Ü\"",
        "CREATE MATERIALIZED VIEW n AS SELECT 1 WHERE EXISTS (SELECT FROM v) WITH NO DATA",
        "CREATE MATERIALIZED VIEW n AS WITH c AS (SELECT * FROM w) SELECT count(*) FROM c",
        "SET search_path = \"Größe\"; CREATE MATERIALIZED VIEW n AS SELECT id FROM \"Ü\"",
        "REFRESH MATERIALIZED VIEW m",
    ] {
        let error = peer.try_run(refused).unwrap_err();
        let says = "a materialized view over a USER table is not supported";
        assert!(error.contains(says), "{refused}: {error}");
    }
    assert_eq!(
        peer.value("SELECT count(*) FROM pg_class WHERE relname = 'n'"),
        "0"
    );
}
