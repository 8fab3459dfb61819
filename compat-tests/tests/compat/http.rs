//! `/v1/sql` and `/v1/live`: values, errors, who is let in, and feeds that resume.

use serde_json::{Value, json};
use tidelog_compat_tests::http::Events;
use tidelog_compat_tests::process::{PATIENCE, wait_for};
use tidelog_compat_tests::{Feed, Server};

fn server() -> Server {
    let server = Server::start();
    server.peer().run(
        "CREATE SCHEMA chat;
         CREATE TABLE chat.messages (id int8 PRIMARY KEY, room text, body text);
         CREATE TABLE chat.inbox (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         CREATE ROLE alice LOGIN PASSWORD 'wonder:land é';
         CREATE ROLE bob LOGIN PASSWORD 'builder';
         CREATE ROLE nologin PASSWORD 'x';",
    );
    server
}

#[test]
fn rows_come_with_their_types_and_no_number_loses_digits() {
    let server = Server::start();
    let web = server.web();
    let answer = web.sql(
        "SELECT 1::int2 AS a, 2::int4 AS b, 9007199254740993::int8 AS c, 123456789012345678.90::numeric(20,2) AS d,
                0.1::float8 AS e, 'NaN'::float8 AS f, true AS g, NULL::text AS h, 'quo\"te' AS i,
                '2026-01-02 03:04:05.6+00'::timestamptz AS j, '2026-01-02'::date AS k, '\\x00ff'::bytea AS l,
                '{\"n\": 12345678901234567890}'::jsonb AS m, 'ab'::varchar(20) AS n",
        json!([]),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    // As text: serde_json would read the long number in m as a double.
    assert!(
        answer.body.contains(
            r#"[1,2,"9007199254740993","123456789012345678.90",0.1,"NaN",true,null,"quo\"te","2026-01-02T03:04:05.6+00:00","2026-01-02","\\x00ff",{"n": 12345678901234567890},"ab"]"#
        ),
        "{}",
        answer.body
    );
    let answer = answer.json();
    let types: Vec<&str> = answer["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "smallint",
            "integer",
            "bigint",
            "numeric(20,2)",
            "double precision",
            "double precision",
            "boolean",
            "text",
            "text",
            "timestamp with time zone",
            "date",
            "bytea",
            "jsonb",
            "character varying(20)"
        ]
    );
    assert_eq!(answer["columns"][2]["name"], "c");
    assert_eq!(answer["tag"], "SELECT 1");
}

#[test]
fn parameters_take_the_types_that_the_statement_gives_them() {
    let server = server();
    let web = server.web();
    let insert = "INSERT INTO chat.messages VALUES ($1, $2, $3)";
    let done = web.sql(insert, json!(["9007199254740993", null, "a 'quoted' $1"]));
    assert_eq!(
        done.json(),
        json!({"columns": [], "rows": [], "tag": "INSERT 0 1"})
    );
    web.rows(insert, json!([7, "r", true]));
    assert_eq!(
        web.rows(
            "SELECT * FROM chat.messages WHERE id >= $1 ORDER BY id",
            json!([7])
        ),
        json!([
            ["7", "r", "true"],
            ["9007199254740993", null, "a 'quoted' $1"]
        ])
    );
    let returned = web.sql(
        "DELETE FROM chat.messages WHERE id = $1 RETURNING room, body",
        json!([7]),
    );
    assert_eq!(returned.json()["rows"], json!([["r", "true"]]));
    for (params, code, status) in [
        (json!(["x", null, null]), "22P02", 400),
        (json!([1.5, null, null]), "22P02", 400),
        (json!([1]), "42601", 400),
        (json!([1, "a\0b", null]), "22021", 400),
        (json!([[1], null, null]), "22P02", 400),
        (json!(["9007199254740993", null, null]), "23505", 409),
        (json!([null, null, null]), "23502", 400 + 9),
    ] {
        let answer = web.sql(insert, params.clone());
        assert_eq!(answer.json()["error"]["code"], code, "{params}");
        assert_eq!(answer.status, status, "{params}");
    }
}

#[test]
fn errors_are_json_with_sqlstate_and_position() {
    let server = server();
    let web = server.web();
    let missing = web.sql("SELECT 1 FROM nowhere", json!([]));
    assert_eq!(missing.status, 400);
    assert_eq!(
        missing.json(),
        json!({"error": {"code": "42P01", "message": "relation \"nowhere\" does not exist", "position": 15}})
    );
    let twice = web.sql("INSERT INTO chat.messages VALUES (1), (1)", json!([]));
    let error = &twice.json()["error"];
    assert_eq!(error["code"], "23505");
    assert_eq!(error["detail"], "Key (id)=(1) already exists.");
    assert_eq!(error["constraint"], "messages_pkey");
    for (sql, status, code) in [
        ("SELEKT", 400, "42601"),
        ("", 400, "42601"),
        ("SELECT 1; SELECT 2", 400, "42601"),
        ("SELECT 'a\0b'", 400, "22021"),
        ("CREATE TABLE \"t\0x\" (id int)", 400, "22021"),
        ("NOTIFY x, 'a\0b'", 400, "22021"),
        ("BEGIN", 501, "0A000"),
        ("COPY chat.messages TO STDOUT", 501, "0A000"),
        ("COPY chat.messages FROM STDIN", 501, "0A000"),
        ("LISTEN \"chat.messages\"", 501, "0A000"),
        ("SUBSCRIBE TO chat.messages", 501, "0A000"),
        (
            "SELECT 1 / (id - id) FROM chat.messages RIGHT JOIN (VALUES (1)) v(n) ON true WHERE n / 0 = 1",
            400,
            "22012",
        ),
    ] {
        let answer = web.sql(sql, json!([]));
        assert_eq!(
            (
                answer.status,
                answer.json()["error"]["code"].as_str().unwrap()
            ),
            (status, code),
            "{sql}: {answer:?}"
        );
    }
    let malformed = |body: &str, more: &str| {
        let answer = web.request("POST", "/v1/sql", more, body);
        (
            answer.status,
            answer.json()["error"]["code"].as_str().map(str::to_string),
        )
    };
    let json = "Content-Type: application/json\r\n";
    let violation = |status| (status, Some("08P01".to_string()));
    assert_eq!(malformed("{", json), violation(400));
    assert_eq!(
        malformed("{\"sql\":\"SELECT 1\",\"parms\":[]}", json),
        violation(400)
    );
    assert_eq!(malformed("[\"SELECT 1\", [], null]", json), violation(400));
    // Values that cannot be held are not the protocol's matter.
    let asks = |params: &str| format!("{{\"sql\":\"SELECT $1::jsonb\",\"params\":[{params}]}}");
    let cut = (400, Some("22021".to_string()));
    assert_eq!(malformed(&asks("\"\\ud83d\""), json), cut);
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let complex = (400, Some("54001".to_string()));
    assert_eq!(malformed(&asks(&deep), json), complex);
    assert_eq!(
        malformed("{\"sql\":\"SELECT 1\"}", "Content-Type: text/plain\r\n"),
        violation(415)
    );
    assert_eq!(malformed("{\"sql\":\"SELECT 1\"}", ""), violation(415));
    assert_eq!(malformed(&"x".repeat((16 << 20) + 1), json), violation(413));
    // Nothing of all this has harmed the server, or left rows behind.
    assert_eq!(
        web.rows("SELECT count(*) FROM chat.messages", json!([])),
        json!([["0"]])
    );
}

#[test]
fn a_large_result_is_streamed_and_says_when_it_is_cut_short() {
    let server = server();
    let web = server.web();
    let sum = |rows: &Value| -> i64 {
        let rows = rows.as_array().unwrap();
        rows.iter().map(|row| row[0].as_i64().unwrap()).sum()
    };
    let rows = web.rows("SELECT g FROM generate_series(1, 200000) g", json!([]));
    assert_eq!(sum(&rows), 200_000 * 200_001 / 2);
    // 200 was sent long before the error.
    let cut = web.sql(
        "SELECT 1 / (150000 - g) FROM generate_series(1, 200000) g",
        json!([]),
    );
    assert_eq!(cut.status, 200);
    let cut = cut.json();
    assert_eq!(cut["error"]["code"], "22012");
    assert!(cut.get("tag").is_none());
    // A client that leaves ends its statement.
    let gone = web
        .live("SUBSCRIBE TO chat.messages")
        .expect("it can be followed");
    drop(gone);
    let json = "Content-Type: application/json\r\nAccept-Encoding: gzip\r\n";
    let body = "{\"sql\":\"SELECT repeat('x', 10000)\"}";
    let compressed = web.request("POST", "/v1/sql", json, body);
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert!(compressed.body.len() < 1000, "{}", compressed.body.len());
}

#[test]
fn a_role_is_let_in_by_its_password_and_sees_its_own_rows() {
    let server = server();
    let web = server.web();
    let (alice, bob) = (
        web.role("alice", "wonder:land é"),
        web.role("bob", "builder"),
    );
    alice.rows("INSERT INTO chat.inbox VALUES (1, 'for alice')", json!([]));
    bob.rows("INSERT INTO chat.inbox VALUES (1, 'for bob')", json!([]));
    let inbox = "SELECT body, current_user FROM chat.inbox";
    assert_eq!(
        alice.rows(inbox, json!([])),
        json!([["for alice", "alice"]])
    );
    assert_eq!(bob.rows(inbox, json!([])), json!([["for bob", "bob"]]));
    assert_eq!(
        web.rows("SELECT count(*) FROM chat.inbox", json!([])),
        json!([["2"]])
    );

    let refused = |web: &tidelog_compat_tests::Web| {
        let answer = web.sql("SELECT 1", json!([]));
        let code = answer.json()["error"]["code"].as_str().unwrap().to_string();
        if answer.status == 401 {
            assert!(
                answer
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with("Basic ")
            );
        }
        (answer.status, code)
    };
    let wrong = (401, "28P01".to_string());
    let unknown = (401, "28000".to_string());
    assert_eq!(refused(&web.role("alice", "wonderland")), wrong);
    assert_eq!(refused(&web.role("alice", "")), wrong);
    assert_eq!(refused(&web.role("nobody", "x")), unknown);
    assert_eq!(refused(&web.role("nologin", "x")), unknown);
    let header = |value: Option<&str>| tidelog_compat_tests::Web {
        authorization: value.map(str::to_string),
        ..web.clone()
    };
    assert_eq!(refused(&header(None)), unknown);
    assert_eq!(refused(&header(Some("Basic !"))), unknown);
    assert_eq!(
        refused(&header(Some("Bearer x.y.z"))),
        (501, "0A000".to_string())
    );
    let log = server.log();
    let said = "password authentication failed for user \"alice\"";
    let line = log.lines().find(|line| line.contains(said));
    assert!(
        line.is_some_and(|line| line.contains("peer=127.0.0.1:")),
        "{log}"
    );
}

#[test]
fn without_a_password_only_who_is_certainly_on_this_machine_is_let_in() {
    let server = server();
    let web = server.web();
    for (name, value) in [
        // A name of someone else's that leads to this machine, and a proxy on it.
        ("Host", "rebound.example"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
    ] {
        let answer = web.with(name, value).sql("SELECT 1", json!([]));
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "28P01");
        let alice = web.role("alice", "wonder:land é").with(name, value);
        assert_eq!(alice.rows("SELECT 1", json!([])), json!([[1]]));
    }
}

#[test]
fn pages_of_other_origins_are_refused_unless_listed() {
    let server = Server::start_with(&[
        "--http-origins",
        "https://app.example,http://localhost:5173",
    ]);
    let web = server.web();
    let own = format!("http://localhost:{}", server.http_port());
    let host = format!("localhost:{}", server.http_port());
    let status = |origin: &str, path: &str| {
        let web = web.with("Host", &host).with("Origin", origin);
        match path {
            "sql" => web.sql("SELECT 1", json!([])).status,
            "live" => web
                .live("SUBSCRIBE TO nowhere")
                .map_or_else(|refused| refused.status, |_| 200),
            _ => web.socket().map_or_else(|refused| refused.status, |_| 101),
        }
    };
    for (origin, allowed) in [
        (own.as_str(), true),
        ("https://app.example", true),
        ("https://evil.example", false),
        ("http://localhost:9", false),
        ("null", false),
    ] {
        let expected = |status| if allowed { status } else { 403 };
        assert_eq!(status(origin, "sql"), expected(200), "{origin}");
        assert_eq!(status(origin, "live"), expected(400), "{origin}");
        assert_eq!(status(origin, "ws"), expected(101), "{origin}");
    }
    let preflight = |origin: &str| {
        web.with("Origin", origin).request(
            "OPTIONS",
            "/v1/sql",
            "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type\r\n",
            "",
        )
    };
    let allowed = preflight("https://app.example");
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .unwrap()
            .contains("authorization")
    );
    assert_eq!(
        preflight("https://evil.example").header("access-control-allow-origin"),
        None
    );
}

/// `op column,column` of each change, and the newest position.
fn take(events: &mut Events, n: usize) -> (Vec<String>, String) {
    let mut briefs = Vec::new();
    let mut newest = String::new();
    while briefs.len() < n {
        let (id, data) = events.next().expect("the stream goes on");
        if let Some(id) = id {
            newest = id;
        }
        briefs.extend(changes(&data));
    }
    (briefs, newest)
}

pub(crate) fn changes(frame: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let values = row.as_array().unwrap().iter();
        let texts: Vec<_> = values.map(|value| value.as_str().unwrap_or("-")).collect();
        texts.join(",")
    };
    let brief = |change: &Value| {
        let op = change["op"].as_str().unwrap().to_string();
        match (change.get("row"), change.get("old")) {
            (Some(new), Some(old)) => format!("{op} {} was {}", row(new), row(old)),
            (Some(new), None) => format!("{op} {}", row(new)),
            _ => op,
        }
    };
    frame["changes"]
        .as_array()
        .map_or(Vec::new(), |changes| changes.iter().map(brief).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_gives_the_rows_and_each_change_and_resumes_by_its_last_id() {
    let server = server();
    let (web, peer) = (server.web(), server.peer());
    peer.run(
        "INSERT INTO chat.messages VALUES (1, 'a', 'one'), (2, 'b', 'two'), (3, 'a', 'three');",
    );
    let sql = "SUBSCRIBE TO chat.messages WHERE room = 'a'";
    let mut events = web.live(sql).expect("it can be followed");
    let (_, subscribed) = events.next().expect("an event");
    assert_eq!(
        subscribed,
        json!({"type": "subscribed", "snapshot": true, "key": ["id"], "columns": [
            {"name": "id", "type": "bigint"}, {"name": "room", "type": "text"}, {"name": "body", "type": "text"}]})
    );
    let (rows, _) = take(&mut events, 3);
    assert_eq!(rows, ["snapshot 1,a,one", "snapshot 3,a,three", "ready"]);
    peer.run(
        "INSERT INTO chat.messages VALUES (4, 'a', NULL);
         UPDATE chat.messages SET body = 'ONE' WHERE id = 1;
         UPDATE chat.messages SET room = 'a' WHERE id = 2;
         UPDATE chat.messages SET room = 'b' WHERE id = 3;",
    );
    let (first, id) = take(&mut events, 1);
    let (rest, _) = take(&mut events, 4 - first.len());
    let all = [first.clone(), rest].concat();
    let expected = [
        "insert 4,a,-",
        "update 1,a,ONE was 1,a,one",
        "insert 2,a,two",
        "delete 3,a,three",
    ];
    assert_eq!(all, expected);
    drop(events);

    // The same token over every door, and after a restart and a flush.
    let behind = &expected[first.len()..];
    let resume = |web: &tidelog_compat_tests::Web| {
        let mut events = web
            .with("Last-Event-ID", &id)
            .live(sql)
            .expect("it can be followed");
        let (_, subscribed) = events.next().expect("an event");
        assert_eq!(subscribed["snapshot"], false);
        let (rows, _) = take(&mut events, 1 + behind.len());
        assert_eq!(rows[0], "ready");
        assert_eq!(&rows[1..], behind);
    };
    resume(&web);
    peer.run("CALL tidelog.flush('chat.messages');");
    resume(&web);
    let mut feed = Feed::open(&peer, &format!("{sql} OPTIONS (from = '{id}')"));
    feed.until_ready().await;
    let over_pg = feed.take(behind.len()).await;
    let ops: Vec<&str> = over_pg.iter().map(|change| change.op.as_str()).collect();
    let expected: Vec<&str> = behind
        .iter()
        .map(|brief| brief.split(' ').next().unwrap())
        .collect();
    assert_eq!(ops, expected);
}

#[test]
fn a_feed_that_cannot_go_on_starts_over_or_says_why() {
    let server = server();
    let (web, peer) = (server.web(), server.peer());
    peer.run("INSERT INTO chat.messages VALUES (1, 'a', 'one');");
    let mut events = web
        .live("SUBSCRIBE TO chat.messages")
        .expect("it can be followed");
    events.next();
    take(&mut events, 2);
    // Other columns: forget what you have, here is all of it.
    peer.run("ALTER TABLE chat.messages ADD COLUMN edited bool;");
    let (_, reset) = events.next().expect("an event");
    assert_eq!(reset["type"], "reset");
    assert_eq!(reset["reason"]["code"], "55000");
    assert_eq!(reset["reason"]["hint"], Value::Null);
    let (_, subscribed) = events.next().expect("an event");
    assert_eq!(subscribed["columns"].as_array().unwrap().len(), 4);
    assert_eq!(take(&mut events, 2).0, ["snapshot 1,a,one,-", "ready"]);
    // A position that this database has not reached, as after restoring a backup.
    let ahead = web.with("Last-Event-ID", &i64::MAX.to_string());
    let mut ahead = ahead
        .live("SUBSCRIBE TO chat.messages")
        .expect("it can be followed");
    assert_eq!(ahead.next().expect("an event").1["type"], "reset");
    assert_eq!(ahead.next().expect("an event").1["snapshot"], true);
    assert_eq!(take(&mut ahead, 2).0, ["snapshot 1,a,one,-", "ready"]);
    // An end that was asked for is told, so that an EventSource need not come back.
    let newest = peer.value("SELECT max(_seq) FROM chat.messages");
    let bounded = format!("SUBSCRIBE TO chat.messages OPTIONS (from = '0', up_to = '{newest}')");
    let mut bounded = web.live(&bounded).expect("it can be followed");
    bounded.next();
    take(&mut bounded, 2);
    let (id, done) = bounded.next().expect("an event");
    assert_eq!((id, done), (None, json!({"type": "done"})));
    assert!(bounded.next().is_none());
    // The table goes: an error, and the end.
    peer.run("DROP TABLE chat.messages;");
    let (_, error) = events.next().expect("an event");
    assert_eq!(
        (&error["type"], &error["error"]["code"]),
        (&json!("error"), &json!("42P01"))
    );
    assert!(events.next().is_none());
    // What cannot be followed is refused with a status.
    for (sql, status, code) in [
        ("SUBSCRIBE TO chat.messages", 400, "42P01"),
        ("SUBSCRIBE TO chat.inbox WHERE nothing = 1", 400, "42703"),
        ("SELECT 1", 400, "42601"),
        ("COPY (SUBSCRIBE TO chat.inbox) TO STDOUT", 501, "0A000"),
    ] {
        let refused = web.live(sql).err().expect("it is refused");
        assert_eq!(
            (
                refused.status,
                refused.json()["error"]["code"].as_str().unwrap()
            ),
            (status, code),
            "{sql}"
        );
    }
    assert_eq!(
        web.role("bob", "x")
            .live("SUBSCRIBE TO chat.inbox")
            .err()
            .map(|refused| refused.status),
        Some(401)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_after_the_table_was_altered_begins_anew() {
    let mut server = server();
    let other = "CREATE TABLE other (id int8 PRIMARY KEY, v text, n int); INSERT INTO other VALUES (9, 'i', 9);";
    server.peer().run(other);
    for (alter, is_other) in [
        ("ALTER TABLE al ADD x int DEFAULT 5", true),
        ("ALTER TABLE al RENAME v TO w", true),
        ("ALTER TABLE al DROP v", true),
        ("ALTER TABLE al DROP v, ADD v text DEFAULT 'x'", true),
        ("ALTER TABLE al ALTER n TYPE bigint", true),
        ("ALTER TABLE al DROP CONSTRAINT al_pkey", true),
        (
            "ALTER TABLE al RENAME TO gone; ALTER TABLE other RENAME TO al",
            true,
        ),
        ("ALTER TABLE al ALTER n SET DEFAULT 5", false),
        (
            "CREATE INDEX ON al (v); ALTER TABLE al ADD CHECK (n > 0)",
            false,
        ),
    ] {
        let peer = server.peer();
        peer.run(
            "DROP TABLE IF EXISTS al; CREATE TABLE al (id int8 PRIMARY KEY, v text, n int);
             INSERT INTO al VALUES (1, 'a', 1), (2, 'b', 2);",
        );
        let sql = "SUBSCRIBE TO al";
        let mut events = server.web().live(sql).expect("it can be followed");
        events.next();
        let (_, token) = take(&mut events, 3);
        drop(events);
        peer.run(alter);
        if alter.contains(" ADD x ") {
            server.kill();
            server.start_again();
        }
        let (web, peer) = (server.web(), server.peer());
        let mut events = web
            .with("Last-Event-ID", &token)
            .live(sql)
            .expect("it can be followed");
        let subscribed = events.next().expect("an event").1;
        assert_eq!(subscribed["snapshot"], false, "{alter}");
        let next = events.next().expect("an event").1;
        let strict = format!("{sql} OPTIONS (from = {token}, on_lag = 'disconnect')");
        let mut strict = Feed::open(&peer, &strict);
        if !is_other {
            assert_eq!(changes(&next), ["ready"], "{alter}");
            strict.until_ready().await;
            continue;
        }
        assert_eq!(next["type"], "reset", "{alter}: {next}");
        let message = next["reason"]["message"].as_str().unwrap();
        assert_eq!(message, "table \"public.al\" was altered", "{alter}");
        assert_eq!(events.next().expect("an event").1["snapshot"], true);
        let rows: usize = peer.value("SELECT count(*) FROM al").parse().unwrap();
        let (all, _) = take(&mut events, 1 + rows);
        assert_eq!(all[rows], "ready", "{alter}: {all:?}");
        let mut feed = Feed::open(&peer, &format!("{sql} OPTIONS (from = {token})"));
        assert_eq!(feed.next().await.op, "reset", "{alter}");
        assert_eq!(strict.try_next().await, None, "{alter}");
        assert!(strict.error().await.contains("was altered"), "{alter}");
    }
}

#[test]
fn event_streams_end_when_the_server_stops() {
    let mut server = server();
    let web = server.web();
    let mut events = web
        .live("SUBSCRIBE TO chat.messages")
        .expect("it can be followed");
    events.next();
    take(&mut events, 1);
    let reader = std::thread::spawn(move || {
        let (_, error) = events.next().expect("an event");
        assert_eq!(error["error"]["code"], "57P01");
        assert!(events.next().is_none());
    });
    let begun = std::time::Instant::now();
    assert!(server.terminate().success());
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    reader.join().unwrap();
    server.start_again();
    wait_for("HTTP after the restart", || {
        (server.web().sql("SELECT 1", json!([])).status == 200).then_some(())
    });
}

#[test]
fn health_tells_when_no_more_writes_are_taken() {
    let mut server = Server::start_with(&["--failpoints=commit_checked=fail@3"]);
    let peer = server.peer();
    assert_eq!(server.http_status("/health"), Some(200));
    peer.run("CREATE TABLE t (a int)");
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let done = peer.try_run("\\set VERBOSITY verbose\nINSERT INTO t VALUES (1)");
        refused.extend(done.err());
    }
    assert!(refused[0].contains("08007"), "{}", refused[0]);
    assert!(refused[1].contains("58030"), "{}", refused[1]);
    for error in &refused {
        assert!(error.contains("until it is started again"), "{error}");
    }
    assert_eq!(server.http_status("/health"), Some(503));
    let rows: i64 = peer.value("SELECT count(*) FROM t").parse().unwrap();
    assert!(server.terminate().success());
    assert!(server.try_start_again(&[], PATIENCE));
    assert_eq!(server.http_status("/health"), Some(200));
    let peer = server.peer();
    peer.run("INSERT INTO t VALUES (2)");
    let now: i64 = peer.value("SELECT count(*) FROM t").parse().unwrap();
    assert!(now == rows + 1 || now == rows + 2, "{now} after {rows}");
}
