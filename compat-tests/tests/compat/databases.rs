//! Databases: what each has for itself, what they share, and who may be in one that goes.

use std::process::Command;

use serde_json::json;
use tidelog_compat_tests::process::output;
use tidelog_compat_tests::{Feed, Peer, Server};

use crate::pair::Pair;

/// The SQLSTATE and words of an error; without it, nothing.
fn said(result: Result<impl Sized, tokio_postgres::Error>) -> Option<String> {
    let error = result.err()?;
    let error = error.as_db_error().expect("the server has said it");
    let detail = error.detail().map_or(String::new(), |d| format!(" ({d})"));
    Some(format!(
        "{} {}{detail}",
        error.code().code(),
        error.message()
    ))
}

/// Runs it in a database of each, which say the same.
fn same_in(pair: &Pair, database: &str, script: &str) {
    let run = |peer: Peer| {
        let script = format!("\\set VERBOSITY verbose\n{script};");
        let out = peer.database(database).try_run(&script);
        let own = |line: &&str| !line.starts_with("LOCATION:");
        out.unwrap_or_else(|said| said.lines().filter(own).collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(run(pair.tide.peer()), run(pair.pg.peer()), "{script}");
}

#[test]
fn databases_are_made_renamed_and_dropped_as_in_postgresql() {
    let pair = Pair::start();
    for script in [
        "CREATE DATABASE a",
        "CREATE DATABASE a",
        "CREATE DATABASE \"B c\" WITH OWNER postgres ENCODING 'UTF8' TEMPLATE = template0 CONNECTION LIMIT -1 IS_TEMPLATE false",
        "CREATE DATABASE d LC_COLLATE = 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER = DEFAULT",
        "SELECT datname, pg_encoding_to_char(encoding), datistemplate, datallowconn FROM pg_database WHERE datname NOT LIKE 'template%' ORDER BY 1",
        "CREATE DATABASE template1",
        "CREATE DATABASE e TEMPLATE nosuch",
        "CREATE DATABASE e OWNER nosuch",
        "CREATE DATABASE e NONSENSE 1",
        "CREATE DATABASE e WITH",
        "CREATE DATABASE f ENCODING 'utf8' ENCODING 'utf8'",
        "BEGIN; CREATE DATABASE g",
        "BEGIN; DROP DATABASE a",
        "ALTER DATABASE a RENAME TO \"B c\"",
        "ALTER DATABASE nosuch RENAME TO x",
        "ALTER DATABASE postgres RENAME TO x",
        "ALTER DATABASE a RENAME TO z; SELECT datname FROM pg_database WHERE datname IN ('a', 'z')",
        "BEGIN; ALTER DATABASE z RENAME TO y; ROLLBACK; SELECT datname FROM pg_database WHERE datname IN ('y', 'z')",
        "ALTER DATABASE z OWNER TO postgres",
        "COMMENT ON DATABASE z IS 'the last'; SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname IN ('z', 'd') ORDER BY datname",
        "COMMENT ON DATABASE nosuch IS 'x'",
        "DROP DATABASE nosuch",
        "DROP DATABASE IF EXISTS nosuch",
        "DROP DATABASE postgres",
        "DROP DATABASE z (SOFT)",
        "DROP DATABASE IF EXISTS z WITH (FORCE)",
        "DROP DATABASE \"B c\"; DROP DATABASE d (FORCE); SELECT datname FROM pg_database WHERE datname NOT LIKE 'template%'",
        "CREATE DATABASE again; SELECT pg_database_size('again') >= 0, pg_database_size('nosuch')",
        "SELECT oid <> (SELECT max(oid) FROM pg_database WHERE datname <> 'again') FROM pg_database WHERE datname = 'again'",
        "CREATE ROLE plain; SET ROLE plain; DROP DATABASE nosuch",
    ] {
        pair.same_or_fail(script);
    }
    let refused = |script: &str| {
        let script = format!("\\set VERBOSITY verbose\n{script};");
        let said = pair.tide.peer().try_run(&script).unwrap_err();
        assert!(said.contains("0A000"), "{script}: {said}");
    };
    for script in [
        "CREATE DATABASE x TEMPLATE again",
        "CREATE DATABASE x ENCODING 'LATIN1'",
        "CREATE DATABASE x LOCALE 'de_DE.UTF-8'",
        "CREATE DATABASE x CONNECTION LIMIT 3",
        "CREATE DATABASE x OWNER plain",
        "CREATE DATABASE x TABLESPACE fast",
    ] {
        refused(script);
    }
    // By the programs that come with PostgreSQL.
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        for program in ["createdb", "dropdb"] {
            let mut command = Command::new(program);
            peer.environment(&mut command);
            output(command.arg("by_program"));
        }
        assert_eq!(
            peer.value("SELECT count(*) FROM pg_database WHERE datname = 'by_program'"),
            "0"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_own() {
    let pair = Pair::start();
    pair.run("CREATE DATABASE other; CREATE ROLE shared; COMMENT ON ROLE shared IS 'shared'; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('postgres')");
    for (database, script) in [
        (
            "other",
            "SELECT current_database(), current_catalog, to_regclass('t')",
        ),
        ("other", "SELECT * FROM t"),
        (
            "other",
            "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id serial PRIMARY KEY, m mood, p int4 REFERENCES t); CREATE INDEX tm ON t (p); CREATE VIEW w AS SELECT m FROM t; INSERT INTO t (m) VALUES ('ok'), ('sad'); INSERT INTO t (p) VALUES (2); SELECT * FROM t ORDER BY id; SELECT * FROM w",
        ),
        ("other", "INSERT INTO t (p) VALUES (9)"),
        (
            "other",
            "BEGIN; CREATE TABLE u (a int4 UNIQUE); INSERT INTO u VALUES (1); ALTER TABLE t ADD COLUMN z int4 DEFAULT 7; SELECT sum(z) FROM t; COMMIT; SELECT * FROM u",
        ),
        (
            "other",
            "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0); ALTER TABLE u ADD COLUMN b int4; UPDATE u SET b = a + 1; CREATE UNIQUE INDEX ub ON u (b); INSERT INTO u VALUES (5, 2)",
        ),
        (
            "other",
            "COMMENT ON TYPE mood IS 'of the day'; COMMENT ON SCHEMA public IS 'mine'; SELECT obj_description('mood'::regtype, 'pg_type'), obj_description('public'::regnamespace, 'pg_namespace'), (SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'shared')",
        ),
        (
            "other",
            "SELECT table_catalog, table_schema, table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 3; SELECT typname FROM pg_type WHERE typname = 'mood'",
        ),
        (
            "other",
            "COMMENT ON ROLE shared IS 'said elsewhere'; CREATE SCHEMA s; CREATE TEMP TABLE tt (a int4); INSERT INTO tt VALUES (1); SELECT * FROM tt",
        ),
        (
            "other",
            "SELECT p FROM other.public.t; UPDATE other.public.t SET p = 1 WHERE id = 2",
        ),
        (
            "other",
            "TRUNCATE t RESTART IDENTITY; INSERT INTO t DEFAULT VALUES RETURNING id",
        ),
        (
            "postgres",
            "SELECT * FROM t; SELECT nspname FROM pg_namespace WHERE nspname = 's'; SELECT typname FROM pg_type WHERE typname = 'mood'; SELECT obj_description('public'::regnamespace, 'pg_namespace'); SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'shared'",
        ),
        (
            "postgres",
            "CREATE TYPE mood AS ENUM ('x'); SELECT 'x'::mood; DROP TYPE mood; DROP TABLE t",
        ),
        (
            "other",
            "SELECT * FROM t; SELECT 'sad'::mood; DROP VIEW w; ALTER TYPE mood RENAME TO moods; SELECT obj_description('moods'::regtype, 'pg_type')",
        ),
    ] {
        same_in(&pair, database, script);
    }
    // After a restart, too; and what is dropped is gone, with its rows.
    let mut tide = pair.tide;
    tide.peer()
        .database("other")
        .run("CALL tidelog.flush('t');");
    let data = tide.data();
    tide.restart();
    let other = tide.peer().database("other");
    assert_eq!(
        other.value("SELECT count(*) || ' ' || max(id) FROM t"),
        "1 1"
    );
    other.run("CREATE TABLE after (a int4); INSERT INTO after VALUES (1);");
    let files = "SELECT count(*) FROM tidelog.files";
    assert_eq!(
        (other.value(files), tide.peer().value(files)),
        ("1".into(), "0".into())
    );
    tide.peer().run("ALTER DATABASE other RENAME TO third;");
    assert_eq!(
        tide.peer()
            .database("third")
            .value("SELECT current_database()"),
        "third"
    );
    tide.peer()
        .run("DROP DATABASE third; CREATE DATABASE other; CREATE TABLE left_alone (a int4);");
    assert_eq!(
        other.value("SELECT count(*) FROM pg_class WHERE relname IN ('t', 'u', 'after')"),
        "0"
    );
    tide.terminate();
    Server::assert_sound(&data);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_it_keeps_it() {
    let pair = Pair::start();
    pair.run("CREATE DATABASE busy");
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let inside = peer.database("busy").connect().await;
        let outside = peer.connect().await;
        let shown = "SELECT count(*), min(datid::int8) = (SELECT oid::int8 FROM pg_database WHERE datname = 'busy') FROM pg_stat_activity WHERE datname = 'busy'";
        let shown = outside.query_one(shown, &[]).await.unwrap();
        assert_eq!((shown.get(0), shown.get(1)), (1_i64, true));
        let in_use = "55006 database \"busy\" is being accessed by other users (There is 1 other session using the database.)";
        for statement in ["DROP DATABASE busy", "ALTER DATABASE busy RENAME TO idle"] {
            let refused = outside.batch_execute(statement).await;
            assert_eq!(said(refused).as_deref(), Some(in_use), "{statement}");
        }
        let own = inside.batch_execute("DROP DATABASE busy").await;
        let own = said(own);
        assert_eq!(
            own.as_deref(),
            Some("55006 cannot drop the currently open database")
        );
        outside
            .batch_execute("DROP DATABASE busy WITH (FORCE)")
            .await
            .unwrap();
        assert!(inside.batch_execute("SELECT 1").await.is_err());
        let gone = peer.database("busy").try_connect().await;
        let expected = "3D000 database \"busy\" does not exist";
        assert_eq!(said(gone).as_deref(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_advisory_locks_are_of_a_database() {
    let pair = Pair::start();
    pair.run("CREATE DATABASE other");
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let other = peer.database("other");
        let (here, mut told) = peer.listen().await;
        let (there, mut told_there) = other.listen().await;
        for client in [&here, &there] {
            client.batch_execute("LISTEN c").await.unwrap();
        }
        there
            .batch_execute("NOTIFY c, 'there'; SELECT pg_notify('c', 'there, too')")
            .await
            .unwrap();
        here.batch_execute("NOTIFY c, 'here'").await.unwrap();
        let mut heard = Vec::new();
        for count in [1, 2] {
            let told = if count == 1 {
                &mut told
            } else {
                &mut told_there
            };
            for _ in 0..count {
                let notification = told.recv().await.unwrap();
                heard.push(format!(
                    "{} {}",
                    notification.channel(),
                    notification.payload()
                ));
            }
        }
        assert_eq!(heard, ["c here", "c there", "c there, too"]);
        let lock = "SELECT pg_try_advisory_lock(7)";
        for client in [&here, &there] {
            assert!(client.query_one(lock, &[]).await.unwrap().get::<_, bool>(0));
        }
        let third = peer.connect().await;
        assert!(!third.query_one(lock, &[]).await.unwrap().get::<_, bool>(0));
        let locks = "SELECT d.datname::text FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' ORDER BY 1";
        let locks = third.query(locks, &[]).await.unwrap();
        let locks: Vec<String> = locks.iter().map(|row| row.get(0)).collect();
        assert_eq!(locks, ["other", "postgres"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_and_http_are_of_a_database() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE DATABASE other; CREATE ROLE al LOGIN PASSWORD 'x'; CREATE USER TABLE t (id int4 PRIMARY KEY);");
    let other = peer.database("other");
    other.run("CREATE USER TABLE t (id int4 PRIMARY KEY); SET ROLE al; INSERT INTO t VALUES (1);");
    peer.run("SET ROLE al; INSERT INTO t VALUES (100);");
    let mut feed = Feed::open(&other.role("al", "x"), "SUBSCRIBE TO t");
    let (rows, _) = feed.until_ready().await;
    assert_eq!(rows.len(), 1);
    let web = server.web().role("al", "x");
    let ask = |body: serde_json::Value| {
        let more = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.to_string().len()
        );
        web.request("POST", "/v1/sql", &more, &body.to_string())
            .json()
    };
    let sql = "SELECT current_database(), id FROM t";
    assert_eq!(ask(json!({"sql": sql}))["rows"], json!([["postgres", 100]]));
    let there = ask(json!({"sql": sql, "database": "other"}));
    assert_eq!(there["rows"], json!([["other", 1]]));
    let nowhere = ask(json!({"sql": sql, "database": "nosuch"}));
    assert_eq!(nowhere["error"]["code"], "3D000");
    let mut socket = web.socket().unwrap();
    socket.send(
        &json!({"type": "hello", "version": 1, "auth": web.credentials(), "database": "other"}),
    );
    assert_eq!(socket.next()["type"], "welcome");
    socket.send(&json!({"type": "subscribe", "id": 1, "sql": "SUBSCRIBE TO t", "credit": 9}));
    while socket.next_of(1)["type"] != "batch" {}
    other.run("SET ROLE al; INSERT INTO t VALUES (2);");
    peer.run("SET ROLE al; INSERT INTO t VALUES (101);");
    assert_eq!(feed.next().await.brief(), "insert 2");
    assert_eq!(socket.next_of(1)["changes"][0]["row"], json!([2]));
    let live = web.request(
        "GET",
        "/v1/live?sql=SUBSCRIBE%20TO%20t&database=nosuch",
        "",
        "",
    );
    assert_eq!(live.json()["error"]["code"], "3D000");
    peer.run("DROP DATABASE other WITH (FORCE);");
    assert_eq!(socket.next_of(1)["error"]["code"], "42P01");
    socket.send(&json!({"type": "query", "id": 2, "sql": sql}));
    assert_eq!(socket.next_of(2)["error"]["code"], "3D000");
    // A role keeps nothing of a database that is gone.
    peer.run("CALL tidelog.erase_user('al'); DROP ROLE al;");
}

#[test]
fn a_dump_makes_its_database() {
    let (first, second) = (Server::start(), Server::start());
    let (peer, again) = (first.peer(), second.peer());
    peer.run("CREATE DATABASE \"the shop\"; COMMENT ON DATABASE \"the shop\" IS 'ours';");
    let shop = peer.database("the shop");
    shop.run("CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('x');");
    let mut dump = Command::new("pg_dump");
    shop.environment(&mut dump);
    let dump = output(dump.args(["-C", "the shop"]));
    again.run(&dump);
    let listed = again.run("\\l\n\\c \"the shop\"\n\\dt\n");
    assert!(listed.contains("the shop|postgres|UTF8|C|C"), "{listed}");
    assert!(listed.contains("public|t|table|postgres"), "{listed}");
    let there = again.database("the shop");
    let shown = "SELECT id || v || shobj_description(d.oid, 'pg_database') FROM t, pg_database d WHERE datname = current_database()";
    assert_eq!(there.value(shown), "1xours");
}
