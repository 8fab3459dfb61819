//! In a USER table nobody but a superuser reaches another user's rows, however the statement is written.

use std::time::Duration;

use tidelog_compat_tests::process::PATIENCE;
use tidelog_compat_tests::{Feed, Peer, Server};
use tokio::time::timeout;

const BOBS: &str = "1|bob-secret\n2|bob-private\n";

/// Each is tried by alice. It may fail or find nothing of bob's; bob's rows must neither show nor change.
const ATTACKS: &[&str] = &[
    "SELECT * FROM app.notes",
    "SELECT body FROM app.notes WHERE id = 2",
    "SELECT body FROM app.notes WHERE true OR id = 2",
    "SELECT count(*) FROM app.notes HAVING count(*) > 1",
    "SELECT _seq, body FROM app.notes ORDER BY _seq",
    "SELECT _user, body FROM app.notes",
    "SELECT * FROM app.notes WHERE _user = 'bob'",
    "SELECT * FROM app.notes WHERE _user IS NOT NULL OR true",
    "SELECT n._user FROM app.notes n",
    "SELECT (SELECT max(body) FROM app.notes WHERE id = 2)",
    "SELECT * FROM app.shared s JOIN app.notes n ON true",
    "SELECT * FROM app.shared s LEFT JOIN LATERAL (SELECT * FROM app.notes n WHERE n.id = s.id) x ON true",
    "SELECT * FROM app.notes UNION ALL SELECT * FROM app.notes",
    "WITH n AS (SELECT * FROM app.notes) SELECT * FROM n WHERE id = 2",
    "WITH RECURSIVE n(id, body) AS (SELECT id, body FROM app.notes UNION SELECT id + 1, body FROM n WHERE id < 3) SELECT * FROM n",
    "SELECT * FROM app.shared WHERE EXISTS (SELECT 1 FROM app.notes WHERE body = 'bob-secret')",
    "SELECT 1/0 FROM app.notes WHERE body = 'bob-secret'",
    "SELECT body::int FROM app.notes",
    "UPDATE app.notes SET body = 'alice was here' WHERE id = 2",
    "UPDATE app.notes SET body = 'alice was here' WHERE _user = 'bob'",
    "UPDATE app.notes SET _user = 'bob'",
    "UPDATE app.notes SET body = 'x' WHERE body LIKE 'bob%' RETURNING *",
    "UPDATE app.notes n SET body = s.body FROM app.notes s WHERE n.id = s.id AND s.id = 2",
    "DELETE FROM app.notes WHERE id = 2 RETURNING *",
    "DELETE FROM app.notes WHERE _user = 'bob'",
    "INSERT INTO app.notes (_user, id, body) VALUES ('bob', 9, 'planted')",
    "INSERT INTO app.notes SELECT id + 100, body FROM app.notes WHERE id = 2 RETURNING *",
    "INSERT INTO app.shared SELECT id + 1000, body FROM app.notes WHERE body LIKE 'bob%' RETURNING *",
    "COPY app.notes TO STDOUT",
    "COPY app.notes (_user, id, body) TO STDOUT",
    "COPY (SELECT * FROM app.notes WHERE id = 2) TO STDOUT",
    "\\copy app.notes (_user, id, body) FROM PROGRAM 'printf \"bob\\t9\\tplanted\\n\"'",
    "SET ROLE bob; SELECT * FROM app.notes",
    "SET ROLE postgres; SELECT * FROM app.notes",
    "SET SESSION AUTHORIZATION bob; SELECT * FROM app.notes",
    "SET row_security = off; SELECT * FROM app.notes",
    "ALTER ROLE alice BYPASSRLS; SELECT * FROM app.notes",
    "ALTER ROLE alice SUPERUSER; SELECT * FROM app.notes",
    "PREPARE p AS SELECT * FROM app.notes; EXECUTE p",
    "EXPLAIN ANALYZE SELECT * FROM app.notes WHERE body = 'bob-secret'",
    "BEGIN; SET LOCAL ROLE bob; SELECT * FROM app.notes; COMMIT",
    "SELECT * FROM app.notes AS OF SYSTEM TIME '-1s'",
];

struct Roles {
    server: Server,
    root: Peer,
    alice: Peer,
    bob: Peer,
}

fn roles() -> Roles {
    let server = Server::start();
    let root = server.peer();
    root.run(
        "CREATE ROLE alice LOGIN PASSWORD 'a-pass';
         CREATE ROLE bob LOGIN PASSWORD 'b-pass';
         CREATE SCHEMA app;
         CREATE TABLE app.notes (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         CREATE TABLE app.shared (id int8 PRIMARY KEY, body text);
         INSERT INTO app.shared VALUES (1, 'for all'), (2, 'for all');",
    );
    let (alice, bob) = (root.role("alice", "a-pass"), root.role("bob", "b-pass"));
    alice.run("INSERT INTO app.notes VALUES (1, 'alice-own');");
    bob.run("INSERT INTO app.notes VALUES (1, 'bob-secret'), (2, 'bob-private');");
    Roles {
        server,
        root,
        alice,
        bob,
    }
}

#[test]
fn no_statement_reaches_a_neighbours_rows_in_either_tier() {
    let Roles {
        server,
        root,
        alice,
        bob,
    } = roles();
    for tier in ["hot", "cold"] {
        for attack in ATTACKS {
            let (Ok(answer) | Err(answer)) = alice.try_run(&format!("{attack};\n"));
            // An error may show the statement that alice wrote herself, but no row of bob's.
            let answer = answer
                .replace("body = 'bob-secret'", "")
                .replace("LIKE 'bob%'", "");
            for secret in ["bob-secret", "bob-private"] {
                assert!(!answer.contains(secret), "{tier}: {attack}\n{answer}");
            }
            let untouched = bob.run("SELECT id, body FROM app.notes ORDER BY id;");
            assert_eq!(untouched, BOBS, "{tier}: {attack}\n{answer}");
        }
        let all =
            root.run("SELECT _user, id, body FROM app.notes WHERE _user = 'bob' ORDER BY id;");
        assert_eq!(all, "bob|1|bob-secret\nbob|2|bob-private\n");
        alice.run("DELETE FROM app.notes; INSERT INTO app.notes VALUES (1, 'alice-own');");
        assert_eq!(alice.run("SELECT * FROM app.notes;"), "1|alice-own\n");
        root.run("CALL tidelog.flush('app.notes');");
    }
    assert_eq!(server.peer().value("SELECT count(*) FROM app.shared"), "2");
}

#[test]
fn a_superuser_and_bypassrls_see_all_and_act_as_anyone() {
    let Roles {
        server: _server,
        root,
        ..
    } = roles();
    let all = "SELECT _user, id, body FROM app.notes ORDER BY _user, id;";
    let rows = "alice|1|alice-own\nbob|1|bob-secret\nbob|2|bob-private\n";
    assert_eq!(root.run(all), rows);
    root.run("CREATE ROLE auditor LOGIN BYPASSRLS PASSWORD 'x';");
    assert_eq!(root.role("auditor", "x").run(all), rows);

    let acting = "SET ROLE bob; INSERT INTO app.notes VALUES (3, 'by root'); SELECT id, body FROM app.notes ORDER BY id;
                  RESET ROLE; SELECT count(*) FROM app.notes;";
    assert_eq!(root.run(acting), format!("{BOBS}3|by root\n4\n"));
    root.run("INSERT INTO app.notes (_user, id, body) VALUES ('carol', 1, 'new'), ('alice', 2, 'second');");
    assert_eq!(
        root.value("SELECT string_agg(_user || id, ' ' ORDER BY _user, id) FROM app.notes"),
        "alice1 alice2 bob1 bob2 bob3 carol1"
    );
    root.run("\\copy app.notes (_user, id, body) FROM PROGRAM 'printf \"dave\\t1\\tcopied\\n\"'\n");
    assert_eq!(
        root.value("SELECT body FROM app.notes WHERE _user = 'dave'"),
        "copied"
    );
    root.run("UPDATE app.notes SET body = 'seen' WHERE _user = 'bob' AND id = 3; DELETE FROM app.notes WHERE _user = 'carol';");
    assert_eq!(
        root.value("SELECT body FROM app.notes WHERE id = 3"),
        "seen"
    );
    // A key is one user's: the same id of another is another row.
    assert!(
        root.try_run("INSERT INTO app.notes (_user, id) VALUES ('bob', 1);")
            .unwrap_err()
            .contains("duplicate key")
    );
    root.run("DROP ROLE auditor;");
    assert!(root.role("auditor", "x").try_run("SELECT 1;").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_show_a_role_its_own_changes_only() {
    let Roles {
        server: _server,
        root,
        alice,
        bob,
    } = roles();
    let mut feeds = [
        Feed::open(&alice, "SUBSCRIBE TO app.notes"),
        Feed::open(
            &alice,
            "SUBSCRIBE TO app.notes WHERE true OR body LIKE 'bob%'",
        ),
        Feed::open(&alice, "SUBSCRIBE TO app.notes OPTIONS (from = '0')"),
    ];
    let (client, mut notifications) = alice.listen().await;
    client.batch_execute("LISTEN \"app.notes\"").await.unwrap();
    for feed in &mut feeds[..2] {
        let (snapshot, _) = feed.until_ready().await;
        assert_eq!(
            snapshot
                .iter()
                .map(|change| change.brief())
                .collect::<Vec<_>>(),
            ["snapshot 1,alice-own"]
        );
    }
    feeds[2].until_ready().await;
    assert_eq!(feeds[2].next().await.brief(), "insert 1,alice-own");
    bob.run("INSERT INTO app.notes VALUES (3, 'bob-third'); UPDATE app.notes SET body = 'bob-new'; DELETE FROM app.notes;");
    root.run("INSERT INTO app.notes (_user, id, body) VALUES ('bob', 4, 'bob-fourth'), ('alice', 4, 'for alice');");
    // Bob's changes lie before this one in the log: had one been sent, it would be here first.
    for feed in &mut feeds {
        assert_eq!(feed.next().await.brief(), "insert 4,for alice");
    }
    let notification = timeout(PATIENCE, notifications.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(
        notification.payload().contains("for alice"),
        "{}",
        notification.payload()
    );
    assert!(
        timeout(Duration::from_millis(1), notifications.recv())
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_follows_the_role_that_runs_it() {
    let Roles {
        server: _server,
        root,
        ..
    } = roles();
    let client = root.connect().await;
    let read = client
        .prepare("SELECT body FROM app.notes ORDER BY body")
        .await
        .unwrap();
    let bodies = async || {
        let rows = client.query(&read, &[]).await.unwrap();
        rows.iter()
            .map(|row| row.get::<_, String>(0))
            .collect::<Vec<_>>()
    };
    assert_eq!(bodies().await.len(), 3);
    client.batch_execute("SET ROLE alice").await.unwrap();
    assert_eq!(bodies().await, ["alice-own"]);
    client.batch_execute("SET ROLE bob").await.unwrap();
    assert_eq!(bodies().await, ["bob-private", "bob-secret"]);
    client.batch_execute("RESET ROLE").await.unwrap();
    assert_eq!(bodies().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_right_cuts_a_snapshot_short() {
    let server = Server::start();
    let root = server.peer();
    root.run(
        "CREATE TABLE notes (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         INSERT INTO notes (_user, id, body) SELECT 'al', g, 'secret' FROM generate_series(1, 60000) g;",
    );
    for (rights, taken, code) in [
        ("SUPERUSER", "DROP ROLE su", "28000"),
        ("SUPERUSER", "ALTER ROLE su NOSUPERUSER", "42501"),
        ("BYPASSRLS", "ALTER ROLE su NOBYPASSRLS", "42501"),
    ] {
        root.run(&format!("CREATE ROLE su LOGIN {rights} PASSWORD 'x';"));
        let reader = root.role("su", "x").connect().await;
        let declare = "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE TO notes";
        reader.batch_execute(declare).await.unwrap();
        let rows = reader.query("FETCH 10 FROM c", &[]).await.unwrap();
        assert_eq!(rows.len(), 10, "{taken}");
        root.run(&format!("{taken};"));
        // What the server had at hand for the reader may still come.
        let mut seen = rows.len();
        let error = loop {
            match reader.query("FETCH 1000 FROM c", &[]).await {
                Ok(rows) => seen += rows.len(),
                Err(error) => break error,
            }
            assert!(seen < 20_000, "{taken}: {seen} rows");
        };
        assert_eq!(error.code().unwrap().code(), code, "{taken}: {error:?}");
        drop(reader);
        root.run("DROP ROLE IF EXISTS su;");
    }
}
