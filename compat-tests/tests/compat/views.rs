//! Views, beside PostgreSQL.

use tidelog_compat_tests::Server;

use crate::constraints::play;

#[tokio::test(flavor = "multi_thread")]
async fn views_are_made_used_changed_and_dropped() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, room text, n int);
         INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30);
         CREATE VIEW v AS SELECT id, n * 2 AS twice FROM t WHERE room = 'a';
         CREATE VIEW w (a, b) AS SELECT room, sum(n) FROM t GROUP BY room;
         SELECT * FROM v ORDER BY id;
         SELECT b, a FROM w ORDER BY a;
         SELECT max(b) FROM (SELECT room, sum(n) AS b FROM t GROUP BY room) x;
         SELECT sum(n) OVER (ORDER BY id ROWS 1 PRECEDING), sum(b) OVER () FROM t JOIN w ON a = room ORDER BY 1;
         SELECT t.room, v.twice FROM t JOIN v USING (id) WHERE v.twice > 20 ORDER BY 1;
         CREATE VIEW over AS SELECT x.a FROM w AS x, (SELECT max(b) AS top FROM w) m WHERE x.b < m.top;
         SELECT * FROM over ORDER BY a;
         @CALL tidelog.flush('t');
         INSERT INTO t VALUES (4, 'a', 1);
         SELECT * FROM v ORDER BY id;
         CREATE VIEW v AS SELECT 1;
         CREATE VIEW t AS SELECT 1;
         CREATE TABLE v (a int);
         CREATE OR REPLACE VIEW v AS SELECT id FROM t;
         CREATE OR REPLACE VIEW v AS SELECT id, n * 3 AS thrice FROM t;
         CREATE OR REPLACE VIEW v AS SELECT id, n * 3 AS twice, room FROM t;
         SELECT * FROM v WHERE id = 2;
         CREATE VIEW bad AS SELECT nothing FROM t;
         CREATE VIEW bad AS SELECT * FROM nothing;
         CREATE VIEW bad AS SELECT id, id FROM t;
         DROP TABLE t;
         ALTER TABLE t DROP COLUMN n;
         DROP VIEW w;
         DROP TABLE v;
         DROP VIEW t;
         ALTER TABLE t RENAME TO moved;
         SELECT count(*) FROM v;
         ALTER TABLE v RENAME TO u;
         SELECT count(*) FROM over;
         ALTER TABLE moved ADD COLUMN later int DEFAULT 1;
         SELECT * FROM u WHERE id = 2;
         SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1;
         SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'u' ORDER BY ordinal_position;
         SELECT relname, relkind FROM pg_class WHERE relname IN ('u', 'w', 'moved') ORDER BY 1;
         SELECT viewname FROM pg_views WHERE schemaname = 'public' ORDER BY 1;
         BEGIN;
         CREATE VIEW inside AS SELECT 1 AS one;
         SELECT * FROM inside;
         ROLLBACK;
         SELECT * FROM inside;
         DROP VIEW IF EXISTS inside;
         DROP VIEW over;
         DROP TABLE moved CASCADE;
         SELECT * FROM u;
         SELECT * FROM w;
         CREATE SCHEMA s;
         CREATE VIEW s.x AS SELECT 1 AS a;
         DROP SCHEMA s;
         DROP SCHEMA s CASCADE;
         SELECT * FROM s.x",
    )
    .await;
}

/// A view over a USER table shows each user his own rows, and outlives a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_shows_each_user_his_own_rows() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN;
         CREATE USER TABLE notes (id int PRIMARY KEY, t text);
         CREATE VIEW mine AS SELECT t FROM notes WHERE id < 10;
         SET ROLE ann; INSERT INTO notes VALUES (1, 'ann 1'), (10, 'ann 10');
         SET ROLE ben; INSERT INTO notes VALUES (1, 'ben 1');",
    );
    server.restart();
    for role in ["ann", "ben"] {
        let found = server
            .peer()
            .run(&format!("SET ROLE {role}; SELECT * FROM mine;"));
        assert_eq!(found.trim(), format!("{role} 1"));
    }
    let refused = server.peer().try_run("INSERT INTO mine VALUES ('x');");
    assert!(refused.unwrap_err().contains("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_under_views_are_renamed() {
    play(
        "CREATE TABLE rn (a int PRIMARY KEY, b int);
         CREATE TABLE other (a int, c text);
         INSERT INTO rn VALUES (1, 2), (3, 4);
         INSERT INTO other VALUES (1, 'x'), (3, 'y');
         CREATE VIEW v1 AS SELECT rn.a, rn.b FROM rn WHERE rn.a > 1;
         CREATE VIEW v2 AS SELECT rn.a, o.c FROM rn JOIN other o ON o.a = rn.a;
         CREATE VIEW v3 AS SELECT r.b FROM rn r;
         CREATE VIEW v4 AS SELECT x.* FROM (SELECT rn.* FROM rn) x;
         CREATE MATERIALIZED VIEW m AS SELECT rn.b FROM rn;
         ALTER TABLE rn RENAME TO rn2;
         SELECT * FROM v1;
         SELECT * FROM v2 ORDER BY 1;
         SELECT * FROM v3 ORDER BY 1;
         SELECT * FROM v4 ORDER BY 1;
         REFRESH MATERIALIZED VIEW m;
         SELECT * FROM m ORDER BY 1;
         ALTER TABLE rn2 RENAME TO rn3;
         ALTER TABLE other RENAME TO rn;
         SELECT * FROM v2 ORDER BY 1;
         INSERT INTO rn3 VALUES (5, 6);
         SELECT * FROM v1 ORDER BY 1;
         DROP TABLE rn3;
         DROP TABLE rn3 CASCADE;",
    )
    .await;
}

/// A role that may not name a column that a view is over makes what is its own all the same.
#[tokio::test(flavor = "multi_thread")]
async fn others_views_are_in_nobodys_way() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE al LOGIN PASSWORD 'x'; CREATE USER TABLE inbox (id int4 PRIMARY KEY);
         CREATE VIEW whose AS SELECT _user AS who, id FROM inbox;",
    );
    let own = "CREATE TEMP TABLE t (a int4); CREATE TEMP VIEW v AS SELECT * FROM t; DROP TABLE t CASCADE;";
    peer.role("al", "x").run(own);
    let error = peer.try_run("DROP TABLE inbox;").unwrap_err();
    assert!(error.contains("other objects depend on it"), "{error}");
}
