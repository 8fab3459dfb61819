//! Schemas and tables: made, changed, dropped, and still there after a restart.

use tidelog_compat_tests::Server;

use crate::pair::Pair;

#[test]
fn tables_change_as_in_postgresql_and_outlive_a_restart() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE SCHEMA s;
         CREATE SCHEMA IF NOT EXISTS s;
         CREATE TABLE s.t (id int8 PRIMARY KEY, name text NOT NULL DEFAULT 'x', gone int4);
         CREATE TABLE IF NOT EXISTS s.t (other int4);
         INSERT INTO s.t (id, gone) VALUES (1, 10), (2, 20);",
    );
    // Rows of both tiers were written under an older shape.
    pair.tide.peer().run("CALL tidelog.flush('s.t');");
    pair.run(
        "INSERT INTO s.t (id, gone) VALUES (3, 30);
         ALTER TABLE s.t ADD COLUMN note text;
         ALTER TABLE s.t ADD COLUMN n int4 NOT NULL DEFAULT 7;
         ALTER TABLE s.t DROP COLUMN gone;
         ALTER TABLE s.t RENAME COLUMN name TO title;
         ALTER TABLE s.t ADD COLUMN gone text;
         INSERT INTO s.t (id, note) VALUES (4, 'new');
         UPDATE s.t SET gone = 'again' WHERE id = 1;",
    );
    for _ in 0..2 {
        pair.same("SELECT * FROM s.t ORDER BY id");
        pair.same(
            "SELECT id, title, note, n, gone FROM s.t WHERE n = 7 AND gone IS NULL ORDER BY id",
        );
        pair.tide.peer().run("CALL tidelog.flush('s.t');");
        pair.same("SELECT * FROM s.t ORDER BY id");
        pair.tide.restart();
    }
    pair.run("TRUNCATE s.t; INSERT INTO s.t (id) VALUES (1);");
    pair.same("SELECT * FROM s.t");
    pair.tide.restart();
    pair.same("SELECT * FROM s.t");

    // A table of the same name is a new table.
    pair.run("DROP TABLE s.t; DROP TABLE IF EXISTS s.t; CREATE TABLE s.t (id int8 PRIMARY KEY, body text);");
    pair.same("SELECT count(*) FROM s.t");
    pair.tide.kill();
    pair.tide.start_again();
    pair.same("SELECT count(*) FROM s.t");
}

#[test]
fn every_kind_of_table_can_be_made_both_ways() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE SCHEMA s;
         CREATE TABLE s.plain (id int8 PRIMARY KEY DEFAULT snowflake_id(), made timestamptz DEFAULT now());
         CREATE SHARED TABLE s.shared (id int8 PRIMARY KEY);
         CREATE USER TABLE s.mine (id int8 PRIMARY KEY);
         CREATE STREAM TABLE s.flow (id int8 PRIMARY KEY) WITH (ttl = '30s');
         CREATE TABLE s.mine2 (id int8 PRIMARY KEY) WITH (type = 'user', flush_rows = 1000, flush_interval = '10s');
         CREATE TABLE s.flow2 (id int8) WITH (type = 'stream', ttl = '30s');",
    );
    server.restart();
    let peer = server.peer();
    peer.run("INSERT INTO s.plain DEFAULT VALUES; INSERT INTO s.plain DEFAULT VALUES;");
    assert_eq!(
        peer.value("SELECT count(*), bool_and(id > 0 AND made <= now()) FROM s.plain"),
        "2|t"
    );
    for table in ["shared", "mine", "flow", "mine2", "flow2"] {
        peer.run(&format!("INSERT INTO s.{table} VALUES (1);"));
        assert_eq!(
            peer.value(&format!("SELECT id FROM s.{table}")),
            "1",
            "{table}"
        );
    }
    for table in ["mine", "mine2"] {
        assert_eq!(
            peer.value(&format!("SELECT _user FROM s.{table}")),
            "postgres"
        );
    }
    assert!(
        peer.try_run("SELECT _user FROM s.shared;")
            .unwrap_err()
            .contains("_user")
    );
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let server = Server::start();
    for (options, named) in [
        ("no_such_option = 1", "no_such_option"),
        ("type = 'heap'", "heap"),
        ("type = 'stream', ttl = 'soon'", "ttl"),
        ("flush_rows = 'many'", "flush_rows"),
        ("flush_rows = -1", "flush_rows"),
        ("flush_interval = 'never ever'", "flush_interval"),
    ] {
        let error = server.peer().try_run(&format!(
            "CREATE TABLE t (id int8 PRIMARY KEY) WITH ({options});"
        ));
        let error = error.expect_err(options);
        assert!(error.contains(named), "{options}: {error}");
        assert!(
            server.peer().try_run("SELECT * FROM t;").is_err(),
            "{options} left a table behind"
        );
    }
}

#[test]
fn dropped_tables_leave_no_files() {
    let server = Server::start();
    let parquet = || {
        let listed = std::process::Command::new("find")
            .arg(server.data())
            .args(["-name", "*.parquet"])
            .output();
        String::from_utf8(listed.unwrap().stdout)
            .unwrap()
            .lines()
            .count()
    };
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1); CALL tidelog.flush('t');",
    );
    assert!(parquet() > 0);
    server.peer().run("DROP TABLE t;");
    tidelog_compat_tests::process::wait_for("the files to go", || (parquet() == 0).then_some(()));
}

#[test]
fn stream_rows_end_with_their_time() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE s (id int8 PRIMARY KEY) WITH (type = 'stream', ttl = '2s'); INSERT INTO s VALUES (1);");
    assert_eq!(peer.value("SELECT count(*) FROM s"), "1");
    tidelog_compat_tests::process::wait_for("the row to expire", || {
        (peer.value("SELECT count(*) FROM s") == "0").then_some(())
    });
    peer.run("INSERT INTO s VALUES (1);");
    assert_eq!(peer.value("SELECT count(*) FROM s"), "1");
}

/// The numbers come and go with the transaction, also where the server is killed.
#[test]
fn truncate_restarts_sequences_if_it_is_told_to() {
    let mut pair = Pair::start();
    pair.run(
        "CREATE TABLE tr (id serial PRIMARY KEY, g int GENERATED ALWAYS AS IDENTITY (START 10), x int);
         CREATE TABLE trc (id serial PRIMARY KEY, t int REFERENCES tr);
         INSERT INTO tr (x) VALUES (1), (2), (3);",
    );
    for script in [
        "TRUNCATE tr, trc; INSERT INTO tr (x) VALUES (1)",
        "TRUNCATE tr, trc CONTINUE IDENTITY; INSERT INTO tr (x) VALUES (1)",
        "BEGIN; TRUNCATE tr, trc RESTART IDENTITY; INSERT INTO tr (x) VALUES (7), (8); SELECT * FROM tr ORDER BY id; ROLLBACK",
        "INSERT INTO tr (x) VALUES (2)",
        "BEGIN; SAVEPOINT a; TRUNCATE tr, trc RESTART IDENTITY; INSERT INTO tr (x) VALUES (7); ROLLBACK TO a; INSERT INTO tr (x) VALUES (3); COMMIT",
        "INSERT INTO tr (x) VALUES (4); TRUNCATE tr, trc RESTART IDENTITY; SELECT currval('tr_id_seq'), lastval(); INSERT INTO tr (x) VALUES (5)",
        "BEGIN; TRUNCATE tr RESTART IDENTITY CASCADE; INSERT INTO tr (x) VALUES (1), (2); TRUNCATE tr RESTART IDENTITY CASCADE; INSERT INTO tr (x) VALUES (1), (2); COMMIT",
        "INSERT INTO trc (t) VALUES (1), (2); ALTER SEQUENCE tr_id_seq START 100; TRUNCATE tr, trc RESTART IDENTITY; INSERT INTO tr (x) VALUES (6)",
    ] {
        pair.same(script);
        pair.same("SELECT * FROM tr ORDER BY id");
    }
    pair.tide.kill();
    pair.tide.start_again();
    pair.run("TRUNCATE trc RESTART IDENTITY; INSERT INTO trc (t) VALUES (100)");
    pair.same("SELECT * FROM trc");
    pair.same("SELECT pg_get_serial_sequence('tr', 'id')");
    pair.run("DROP TABLE trc; DROP TABLE tr");
}
