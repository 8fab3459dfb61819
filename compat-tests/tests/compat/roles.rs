//! The role that a session acts as: as a setting that follows its transaction, and what is left when it is dropped.

use serde_json::json;
use tidelog_compat_tests::{Feed, Peer, Server};

use crate::pair::Pair;

/// A role's own rows, which a session that acts as another one does not get.
const INBOX: &str = "CREATE USER TABLE inbox (id int4 PRIMARY KEY, body text)";

/// Runs statements one after the other, also behind those that fail.
fn all(peer: &Peer, script: &str) {
    peer.run(&format!("\\set ON_ERROR_STOP off\n{script};"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_follows_the_transaction() {
    let pair = Pair::start();
    pair.run("CREATE ROLE al LOGIN PASSWORD 'x'; CREATE ROLE bo LOGIN PASSWORD 'x'");
    for script in [
        "SET ROLE al; BEGIN; SET ROLE bo; SELECT current_user; ROLLBACK; SELECT current_user",
        "BEGIN; SET ROLE bo; SAVEPOINT s; SET ROLE al; ROLLBACK TO s; SELECT current_user; COMMIT; SELECT current_user",
        "SET ROLE al; BEGIN; SAVEPOINT s; RESET ROLE; SELECT current_user; ROLLBACK TO s; SELECT current_user; ROLLBACK; SELECT current_user",
        "BEGIN; SAVEPOINT s; SET LOCAL ROLE bo; RELEASE s; SELECT current_user, session_user; COMMIT; SELECT current_user",
        "SET ROLE al; BEGIN; SET LOCAL ROLE bo; SET LOCAL ROLE NONE; SHOW role; COMMIT; SHOW role; RESET ALL; SHOW role; RESET ROLE; SHOW role",
        "SET ROLE al; BEGIN; SELECT set_config('role', 'bo', true); SELECT current_user, user, current_role; END; SELECT current_user",
        "BEGIN; SELECT set_config('role', 'bo', false); END; SELECT current_user; SELECT set_config('role', 'none', false); SELECT current_user",
        "SELECT set_config('role', 'al', true), set_config('request.jwt.claims', '{\"sub\": 1}', true)",
        "BEGIN; SELECT set_config('role', 'al', true), set_config('request.jwt.claims', '{\"sub\": 1}', true);
         SELECT current_user, current_setting('request.jwt.claims'), current_setting('request.jwt.claims', true)::json->>'sub' AS sub; COMMIT;
         SELECT current_user, current_setting('request.jwt.claims') = '' AS a, current_setting('request.other', true) IS NULL AS b",
        "BEGIN; SET LOCAL my.own = 'x'; ROLLBACK; SELECT current_setting('my.own', true) = '' AS a; SHOW my.own",
        "SELECT current_setting('role') AS a, current_setting('is_superuser') AS b, current_setting('session_authorization') AS c; SET ROLE bo;
         SELECT current_setting('role') AS a, current_setting('is_superuser') AS b, current_setting('session_authorization') AS c; SHOW is_superuser; SHOW session authorization",
        "SET role TO 'al'; SHOW role; SET SESSION ROLE bo; SHOW role; SET role = 'none'; SHOW role; SET ROLE 'bo'; SHOW role; SET ROLE None; SHOW role; SET \"role\" TO al; SHOW role; SET role TO DEFAULT; SHOW role",
        "SELECT name FROM pg_settings WHERE name IN ('role', 'is_superuser', 'session_authorization')",
        "SET ROLE al; DISCARD ALL; SELECT current_user",
        "SET ROLE 'None'",
        "SET ROLE nosuch",
        "SELECT set_config('role', 'nosuch', true)",
        "SET role TO al, bo",
        "SET is_superuser = on",
        "SET LOCAL ROLE bo",
        "RESET role; SHOW role",
    ] {
        pair.same_or_fail(script);
    }
    // One who is no superuser.
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let al = peer.role("al", "x");
        al.run("SET ROLE al; SET ROLE none; RESET ROLE; SELECT set_config('role', 'al', true);");
        for refused in [
            "SET ROLE bo",
            "SET role = 'postgres'",
            "SELECT set_config('role', 'bo', true)",
        ] {
            let said = al
                .try_run(&format!("\\set VERBOSITY verbose\n{refused};"))
                .unwrap_err();
            assert!(
                said.contains("42501: permission denied to set role"),
                "{refused}: {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_to_the_role_of_the_transaction() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!(
        "CREATE ROLE al LOGIN PASSWORD 'x'; CREATE ROLE bo LOGIN PASSWORD 'x'; {INBOX};"
    ));
    let whose = "RESET ROLE; SELECT string_agg(_user || id, ' ' ORDER BY id) FROM inbox";
    all(
        &peer,
        "SET ROLE al; BEGIN; SET ROLE bo; INSERT INTO inbox VALUES (0); ROLLBACK; INSERT INTO inbox VALUES (1);
         BEGIN; SET ROLE bo; SELECT 1/0; ROLLBACK; INSERT INTO inbox VALUES (2);
         BEGIN; SAVEPOINT s; SET ROLE bo; SELECT 1/0; ROLLBACK TO s; INSERT INTO inbox VALUES (3); COMMIT;
         BEGIN; SET LOCAL ROLE bo; INSERT INTO inbox VALUES (4); COMMIT; INSERT INTO inbox VALUES (5);
         BEGIN; SELECT set_config('role', 'bo', true); INSERT INTO inbox VALUES (6); COMMIT; INSERT INTO inbox VALUES (7);
         SET ROLE bo; SET ROLE nosuch; INSERT INTO inbox VALUES (8)",
    );
    assert_eq!(peer.value(whose), "al1 al2 al3 bo4 al5 bo6 al7 bo8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_keeps_the_role_of_its_transaction() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!(
        "CREATE ROLE al LOGIN PASSWORD 'x'; CREATE ROLE bo LOGIN PASSWORD 'x'; {INBOX};
         INSERT INTO inbox (_user, id) VALUES ('al', 1), ('bo', 2);"
    ));
    let client = peer.connect().await;
    client
        .batch_execute("BEGIN; SET LOCAL ROLE bo; DECLARE c CURSOR FOR SUBSCRIBE TO inbox")
        .await
        .unwrap();
    // A change of the catalog has the feed looked at again.
    peer.run(
        "CREATE TABLE other (a int4); INSERT INTO inbox (_user, id) VALUES ('al', 3), ('bo', 4);",
    );
    let mut ids = Vec::new();
    while ids.last() != Some(&4) {
        let fetched = "FETCH ALL c WITH (timeout = '5s')";
        let rows = client.query(fetched, &[]).await.unwrap();
        ids.extend(
            rows.iter()
                .filter_map(|row| row.get::<_, Option<i32>>("id")),
        );
    }
    assert_eq!(ids, [2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_rows_is_not_dropped() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!(
        "CREATE ROLE r LOGIN PASSWORD 'x'; CREATE ROLE other LOGIN PASSWORD 'x'; {INBOX}; CREATE SCHEMA app; CREATE USER TABLE app.notes (id int4);
         SET ROLE r; INSERT INTO inbox VALUES (1); INSERT INTO app.notes VALUES (1);"
    ));
    let refused = |script: &str, tables: &str| {
        let script = format!("\\set VERBOSITY verbose\n{script};");
        let said = peer.try_run(&script).unwrap_err();
        let expected = format!(
            "ERROR:  2BP01: role \"r\" cannot be dropped because some objects depend on it\nDETAIL:  {tables}\nHINT:  CALL tidelog.erase_user('r')"
        );
        assert!(said.contains(&expected), "{script}: {said}");
    };
    let both = "rows in table inbox\nrows in table app.notes";
    refused("DROP ROLE other, r", both);
    peer.run("SET ROLE other;");
    refused("BEGIN; DROP ROLE r; COMMIT", both);
    // Rows in files are rows, too, and so are those that a query AS OF still finds.
    peer.run("CALL tidelog.flush('inbox'); CALL tidelog.flush('app.notes'); SET ROLE r; DELETE FROM app.notes;");
    refused("DROP USER IF EXISTS r", both);
    peer.run("CALL tidelog.erase_user('r');");
    // What the same transaction has written counts.
    refused(
        "BEGIN; SET ROLE r; INSERT INTO inbox VALUES (2); RESET ROLE; DROP ROLE r; COMMIT",
        "rows in table inbox",
    );
    peer.run("DROP ROLE r; CREATE ROLE r LOGIN PASSWORD 'x';");
    assert_eq!(peer.value("SET ROLE r; SELECT count(*) FROM inbox"), "0");
    peer.run("DROP ROLE r, other;");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_role_leaves_no_rows() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!("CREATE ROLE r LOGIN PASSWORD 'x'; {INBOX};"));
    let (open, alone) = (
        peer.role("r", "x").connect().await,
        peer.role("r", "x").connect().await,
    );
    // A transaction that wrote before the role went does not commit after it.
    open.batch_execute("BEGIN; INSERT INTO inbox VALUES (1)")
        .await
        .unwrap();
    peer.run("DROP ROLE r;");
    let code = |error: tokio_postgres::Error| error.code().map(|code| code.code().to_string());
    let failed = open.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(code(failed).as_deref(), Some("40001"));
    // Nor does it write when it is gone, in any way.
    for statement in [
        "INSERT INTO inbox VALUES (2)",
        "INSERT INTO inbox SELECT 3",
        "INSERT INTO inbox VALUES (4) ON CONFLICT DO NOTHING",
    ] {
        let failed = alone.batch_execute(statement).await.unwrap_err();
        assert_eq!(code(failed).as_deref(), Some("42704"), "{statement}");
    }
    assert_eq!(peer.value("SELECT count(*) FROM inbox"), "0");
    peer.run("CREATE ROLE r LOGIN PASSWORD 'x'; SET ROLE r; INSERT INTO inbox VALUES (5);");
    assert_eq!(peer.value("SET ROLE r; SELECT id FROM inbox"), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_tables_are_out_of_reach() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE ROLE al LOGIN PASSWORD 'x'; CREATE ROLE bo LOGIN PASSWORD 'x';");
    let owner = peer.role("al", "x").connect().await;
    owner
        .batch_execute(
            "CREATE TEMP TABLE tsec (id serial PRIMARY KEY, body text); INSERT INTO tsec (body) VALUES ('secret');
             CREATE TEMP VIEW vsec AS SELECT * FROM tsec; CREATE INDEX tsec_body ON tsec (body)",
        )
        .await
        .unwrap();
    let schema = "SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()";
    let schema: String = owner.query_one(schema, &[]).await.unwrap().get(0);
    for who in [peer.role("bo", "x"), peer.role("al", "x"), server.peer()] {
        for statement in [
            "SELECT * FROM tsec",
            "SELECT * FROM vsec",
            "SELECT * FROM $.tsec",
            "SELECT * FROM $.vsec",
            "SELECT last_value FROM $.tsec_id_seq",
            "SELECT nextval('tsec_id_seq')",
            "SELECT nextval('$.tsec_id_seq')",
            "SELECT setval('$.tsec_id_seq', 9)",
            "UPDATE tsec SET body = 'x'",
            "DELETE FROM $.tsec",
            "INSERT INTO tsec (body) VALUES ('x')",
            "COPY tsec TO STDOUT",
            "COPY $.tsec TO STDOUT",
            "SUBSCRIBE TO tsec",
            "SUBSCRIBE TO $.tsec",
            "ALTER TABLE tsec ADD COLUMN z int4",
            "ALTER TABLE $.tsec ADD COLUMN z int4",
            "TRUNCATE tsec",
            "DROP TABLE tsec",
            "DROP VIEW $.vsec",
            "DROP INDEX $.tsec_body",
            "DROP INDEX tsec_body",
            "SET ROLE bo; DROP SCHEMA $ CASCADE",
        ] {
            let script = format!("SET search_path = $; {statement};").replace('$', &schema);
            let said = who.try_run(&script);
            assert!(said.is_err(), "{script}: {said:?}");
        }
        // The channel is no table's.
        let (listener, mut told) = who.listen().await;
        let listens = format!("LISTEN \"{schema}.tsec\"; LISTEN mark");
        listener.batch_execute(&listens).await.unwrap();
        owner
            .batch_execute("UPDATE tsec SET body = body; NOTIFY mark")
            .await
            .unwrap();
        assert_eq!(told.recv().await.unwrap().channel(), "mark");
    }
    let kept: String = owner
        .query_one("SELECT body FROM tsec", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, "secret");
    let next: i64 = owner
        .query_one("SELECT nextval('tsec_id_seq')", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(next, 2);
    owner
        .batch_execute("DROP INDEX pg_temp.tsec_body")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_role_leaves_open_is_not_of_the_next_one_of_its_name() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!("CREATE ROLE r LOGIN PASSWORD 'x'; {INBOX};"));
    let role = peer.role("r", "x");
    let mut feed = Feed::open(&role, "SUBSCRIBE TO inbox");
    feed.until_ready().await;
    let mut socket = server.web().role("r", "x").hello();
    socket.send(&json!({"type": "subscribe", "id": 1, "sql": "SUBSCRIBE TO inbox", "credit": 9}));
    while socket.next_of(1)["type"] != "batch" {}
    // One that logged in as it, one that acts as it, and one with a cursor.
    let mut sessions = vec![role.connect().await, peer.connect().await];
    sessions[1].batch_execute("SET ROLE r").await.unwrap();
    sessions.push(role.connect().await);
    let cursor = "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE TO inbox; FETCH ALL c";
    sessions[2].batch_execute(cursor).await.unwrap();
    let (listener, mut told) = role.listen().await;
    listener
        .batch_execute("LISTEN \"public.inbox\"; LISTEN mark")
        .await
        .unwrap();

    // The next one may do everything.
    peer.run(
        "DROP ROLE r; CREATE ROLE r LOGIN SUPERUSER PASSWORD 'x'; SET ROLE r; INSERT INTO inbox VALUES (1, 'secret');
         NOTIFY mark;",
    );
    let code = |error: tokio_postgres::Error| error.code().map(|code| code.code().to_string());
    let fetched = sessions[2].batch_execute("FETCH ALL c").await;
    assert_eq!(code(fetched.unwrap_err()).as_deref(), Some("28000"));
    sessions[2].batch_execute("ROLLBACK").await.unwrap();
    for session in &sessions {
        let seen = session.query("SELECT * FROM inbox", &[]).await.unwrap();
        assert!(seen.is_empty(), "{seen:?}");
        let shown = "SELECT current_user, current_setting('is_superuser')";
        let shown = session.query_one(shown, &[]).await.unwrap();
        assert_eq!((shown.get(0), shown.get(1)), ("r", "off"));
        for (statement, expected) in [
            ("INSERT INTO inbox VALUES (2)", "42704"),
            ("UPDATE inbox SET body = ''", "42704"),
            ("DELETE FROM inbox", "42704"),
            ("SUBSCRIBE TO inbox", "28000"),
            ("CREATE TABLE other (a int4)", "42501"),
            ("SELECT _user FROM inbox", "42703"),
        ] {
            let failed = session.batch_execute(statement).await;
            let failed = failed.err().map(|error| code(error).unwrap());
            assert_eq!(failed.as_deref(), Some(expected), "{statement}");
        }
    }
    assert!(feed.error().await.contains("role \"r\" was dropped"));
    assert_eq!(socket.next_of(1)["error"]["code"], "28000");
    socket.send(&json!({"type": "query", "id": 2, "sql": "SELECT * FROM inbox"}));
    assert_eq!(socket.next_of(2)["error"]["code"], "28000");
    assert_eq!(told.recv().await.unwrap().channel(), "mark");
    // Who may have it can act as it again, and the new one has what it wrote.
    sessions[1].batch_execute("SET ROLE r").await.unwrap();
    let seen = sessions[1].query("SELECT * FROM inbox", &[]).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(role.value("SELECT body FROM inbox"), "secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_gets_another_name() {
    let pair = Pair::start();
    pair.run("CREATE ROLE al LOGIN PASSWORD 'x'; CREATE ROLE bo LOGIN PASSWORD 'x'; COMMENT ON ROLE al IS 'first'");
    for script in [
        "ALTER ROLE al RENAME TO bo",
        "ALTER ROLE al RENAME TO pg_al",
        "ALTER ROLE nosuch RENAME TO al",
        "SET ROLE al; RESET ROLE; ALTER USER al RENAME TO \"Al\"; SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname ILIKE 'al'; ALTER ROLE \"Al\" RENAME TO al",
        "BEGIN; ALTER ROLE al RENAME TO cy; CREATE ROLE al; SELECT rolname FROM pg_roles WHERE rolname IN ('al', 'cy') ORDER BY 1; ROLLBACK; SELECT rolname FROM pg_roles WHERE rolname IN ('al', 'cy')",
        "SET ROLE al; SET ROLE bo; SELECT current_user",
    ] {
        pair.same_or_fail(script);
    }
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let (session, acting) = (peer.role("al", "x").connect().await, peer.connect().await);
        acting.batch_execute("SET ROLE al").await.unwrap();
        let refused = acting.batch_execute("RESET ROLE; SET ROLE al").await;
        refused.unwrap();
        peer.run("ALTER ROLE al RENAME TO cy; CREATE ROLE al LOGIN PASSWORD 'x';");
        for session in [&session, &acting] {
            let name = session.query_one("SELECT current_user", &[]).await.unwrap();
            assert_eq!(name.get::<_, &str>(0), "cy");
        }
        let name = session.query_one("SELECT session_user", &[]).await.unwrap();
        assert_eq!(name.get::<_, &str>(0), "cy");
        peer.role("cy", "x").run("SELECT 1;");
        peer.run("DROP ROLE al; ALTER ROLE cy RENAME TO al;");
    }
    // Those in use are not renamed.
    let boss = pair.tide.peer();
    boss.run("CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'x';");
    pair.pg
        .peer()
        .run("CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'x';");
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let said = peer.role("boss", "x");
        let said = said.try_run("\\set VERBOSITY verbose\nALTER ROLE boss RENAME TO b;");
        let said = said.unwrap_err();
        assert!(
            said.contains("0A000: session user cannot be renamed"),
            "{said}"
        );
        let script = "\\set VERBOSITY verbose\nSET ROLE boss; ALTER ROLE boss RENAME TO b;";
        let said = peer.try_run(script).unwrap_err();
        assert!(
            said.contains("0A000: current user cannot be renamed"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_role_writes_to_its_new_name() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!("CREATE ROLE al LOGIN PASSWORD 'x'; {INBOX};"));
    let (open, session) = (
        peer.role("al", "x").connect().await,
        peer.role("al", "x").connect().await,
    );
    open.batch_execute("BEGIN; INSERT INTO inbox VALUES (1)")
        .await
        .unwrap();
    let insert = session
        .prepare("INSERT INTO inbox VALUES (2)")
        .await
        .unwrap();
    let select = session.prepare("SELECT id FROM inbox").await.unwrap();
    peer.run("ALTER ROLE al RENAME TO cy; CREATE ROLE al LOGIN PASSWORD 'x'; SET ROLE al; INSERT INTO inbox VALUES (3);");
    let failed = open.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(failed.code().unwrap().code(), "40001");
    session.execute(&insert, &[]).await.unwrap();
    let seen = session.query(&select, &[]).await.unwrap();
    assert_eq!(seen[0].get::<_, i32>(0), 2);
    let all = "SELECT string_agg(_user || id, ' ' ORDER BY id) FROM inbox";
    assert_eq!(peer.value(all), "cy2 al3");
    let said = peer.try_run("\\set VERBOSITY verbose\nALTER ROLE cy RENAME TO di;");
    let expected = "ERROR:  2BP01: role \"cy\" cannot be renamed because some objects depend on it\nDETAIL:  rows in table inbox";
    let said = said.unwrap_err();
    assert!(said.contains(expected), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_read_ends_with_its_right_also_within_a_transaction() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(&format!(
        "{INBOX}; CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'x'; CREATE ROLE al LOGIN PASSWORD 'x';"
    ));
    peer.role("al", "x")
        .run("INSERT INTO inbox VALUES (1, 'al');");
    let boss = peer.role("boss", "x").connect().await;
    let seen = "SELECT count(*) FROM inbox";
    boss.batch_execute(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; PREPARE q AS SELECT body FROM inbox",
    )
    .await
    .unwrap();
    assert_eq!(boss.query_one(seen, &[]).await.unwrap().get::<_, i64>(0), 1);
    assert_eq!(boss.simple_query("EXECUTE q").await.unwrap().len(), 3);
    peer.run("ALTER ROLE boss NOSUPERUSER;");
    assert_eq!(boss.query_one(seen, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(boss.simple_query("EXECUTE q").await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_gives_itself_another_password() {
    let pair = Pair::start();
    pair.run("CREATE ROLE al LOGIN PASSWORD 'x'; CREATE ROLE bo LOGIN PASSWORD 'x'");
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let al = peer.role("al", "x");
        al.run("ALTER ROLE al PASSWORD 'y';");
        let al = peer.role("al", "y");
        for refused in [
            "ALTER ROLE bo PASSWORD 'y'",
            "ALTER ROLE al PASSWORD 'z' SUPERUSER",
        ] {
            assert!(al.try_run(&format!("{refused};")).is_err(), "{refused}");
        }
        al.run("SELECT 1;");
    }
}
