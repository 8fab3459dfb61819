//! LISTEN and NOTIFY: PostgreSQL's semantics, and what a reader of the log can do beyond them.

use tidelog_compat_tests::process::PATIENCE;
use tidelog_compat_tests::{Peer, Server};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_postgres::{Client, Notification};

use crate::pair::{Pair, same_answers, text};

type Heard = UnboundedReceiver<Notification>;

/// The next `n` notifications as `channel:payload`.
async fn hear(heard: &mut Heard, n: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < n {
        let next = timeout(PATIENCE, heard.recv()).await;
        let next = next
            .unwrap_or_else(|_| panic!("only {all:?} came"))
            .unwrap();
        all.push(format!("{}:{}", next.channel(), next.payload()));
    }
    all
}

/// What is told before the channel `done`.
async fn heard_until_done(heard: &mut Heard) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let said = hear(heard, 1).await.remove(0);
        if said == "done:" {
            return all;
        }
        all.push(said);
    }
}

async fn listener(peer: &Peer, channels: &[&str]) -> (Client, Heard) {
    let (client, heard) = peer.listen().await;
    for channel in channels {
        client
            .batch_execute(&format!("LISTEN {channel}"))
            .await
            .unwrap();
    }
    (client, heard)
}

/// Both servers tell a listener the same for a script, whose end is marked by a notification of our own.
#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_told_as_postgresql_tells_them() {
    let pair = Pair::start();
    let scripts = [
        "NOTIFY a; NOTIFY b, 'x'; NOTIFY a, 'it''s';",
        "BEGIN; NOTIFY b, '1'; NOTIFY a, '1'; NOTIFY b, '1'; NOTIFY b; COMMIT; NOTIFY b, '1';",
        "BEGIN; NOTIFY a, 'never'; ROLLBACK;",
        "BEGIN; NOTIFY a, '1'; SAVEPOINT s; NOTIFY a, '2'; NOTIFY a, '1'; ROLLBACK TO s; NOTIFY a, '3';
         SAVEPOINT u; NOTIFY a, '4'; RELEASE u; NOTIFY a, '2'; COMMIT;",
        "SELECT pg_notify('a', 'n' || g) FROM generate_series(1, 3) AS s(g);",
        "SELECT pg_notify('A b', ''), pg_notify('a', NULL);",
        "BEGIN; SELECT pg_notify('a', 'gone'); SELECT 1 / 0; COMMIT;",
        "BEGIN; INSERT INTO t VALUES (1); SELECT pg_notify('b', count(*)::text) FROM t; COMMIT;",
        "NOTIFY \"A b\", 'quoted'; NOTIFY Folded, 'x'; NOTIFY other, 'not heard';",
        "UNLISTEN nothing; LISTEN elsewhere; NOTIFY elsewhere, 'only to itself';",
    ];
    let mut told = Vec::new();
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        peer.run("CREATE TABLE t (n int4);");
        let (_client, mut heard) = listener(&peer, &["a", "b", "\"A b\"", "folded", "done"]).await;
        let mut all = Vec::new();
        for script in scripts {
            let client = peer.connect().await;
            for statement in script
                .split(';')
                .map(str::trim)
                .filter(|one| !one.is_empty())
            {
                let _ = client.simple_query(statement).await;
            }
            client.batch_execute("NOTIFY done").await.unwrap();
            let said = heard_until_done(&mut heard).await;
            all.extend(said.iter().map(|said| format!("{script}: {said}")));
        }
        told.push(all);
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].len() > 15);
}

/// What was committed when the transaction of UNLISTEN began is told, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_before_unlisten_is_heard() {
    let pair = Pair::start();
    // What is after `|` somebody else says when that is done.
    let scripts = [
        "|NOTIFY a, '1';UNLISTEN a",
        "|NOTIFY a, '2';|NOTIFY b, '3';UNLISTEN *",
        "|NOTIFY b, '4';DISCARD ALL",
        "|NOTIFY a, '5';BEGIN;|NOTIFY a, 'late';UNLISTEN a;COMMIT",
        "BEGIN;|NOTIFY a, 'late';UNLISTEN a;|NOTIFY b, '6';COMMIT",
        "NOTIFY a, 'own'; UNLISTEN a",
        "BEGIN;NOTIFY a, 'own';UNLISTEN a;COMMIT",
        "|NOTIFY a, '7';BEGIN;UNLISTEN a;ROLLBACK",
        "BEGIN;UNLISTEN a;LISTEN a;|NOTIFY a, '8';COMMIT",
        "BEGIN;UNLISTEN *;|NOTIFY a, '9';|NOTIFY b, 'late';LISTEN a;COMMIT;|NOTIFY b, 'later'",
        "BEGIN;UNLISTEN a;LISTEN a;UNLISTEN a;|NOTIFY a, 'late';COMMIT",
    ];
    let mut told = Vec::new();
    for peer in [pair.tide.peer(), pair.pg.peer()] {
        let other = peer.connect().await;
        let mut all = Vec::new();
        for script in scripts {
            let (client, mut heard) = listener(&peer, &["a", "b"]).await;
            let statements = match script.starts_with("NOTIFY") {
                // Both in one query.
                true => vec![script],
                false => script.split(';').collect(),
            };
            for statement in statements {
                match statement.strip_prefix('|') {
                    Some(said) => other.batch_execute(said).await.unwrap(),
                    None => client.batch_execute(statement).await.unwrap(),
                }
            }
            client.batch_execute("LISTEN done").await.unwrap();
            other.batch_execute("NOTIFY done").await.unwrap();
            let said = heard_until_done(&mut heard).await;
            all.extend(said.iter().map(|said| format!("{script}: {said}")));
        }
        told.push(all);
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].len() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn listen_takes_effect_with_its_transaction() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for statement in [
        "SELECT pg_listening_channels()",
        "LISTEN zeta",
        "LISTEN alpha",
        "SELECT * FROM pg_listening_channels() ORDER BY 1",
        "SELECT count(*) FROM pg_listening_channels() AS c(name) WHERE name = 'alpha'",
        "BEGIN",
        "LISTEN beta",
        "UNLISTEN zeta",
        "ROLLBACK",
        "SELECT * FROM pg_listening_channels() ORDER BY 1",
        "BEGIN",
        "LISTEN beta",
        "SAVEPOINT s",
        "LISTEN gamma",
        "ROLLBACK TO s",
        "COMMIT",
        "SELECT * FROM pg_listening_channels() ORDER BY 1",
        "UNLISTEN alpha",
        "SELECT * FROM pg_listening_channels() ORDER BY 1",
        "SELECT pg_notification_queue_usage()",
        "UNLISTEN *",
        "SELECT pg_listening_channels()",
    ] {
        if statement.starts_with("SELECT") {
            same_answers(&tide, &pg, statement).await;
        } else {
            tide.batch_execute(statement).await.unwrap();
            pg.batch_execute(statement).await.unwrap();
        }
    }
    for wrong in [
        "NOTIFY \"\"",
        "SELECT pg_notify('', 'x')",
        "SELECT pg_notify(repeat('x', 64), '')",
        "LISTEN \"\"",
        "NOTIFY",
        "NOTIFY a b",
        "LISTEN 'a'",
        "UNLISTEN 'a'",
        "NOTIFY 'a'",
        "LISTEN user",
        "LISTEN left",
        "UNLISTEN table",
        "NOTIFY select",
        "NOTIFY a, b",
        "NOTIFY a, \"b\"",
        "NOTIFY a, 5",
        "NOTIFY a,",
    ] {
        let mut codes = Vec::new();
        for client in [&tide, &pg] {
            let error = client.simple_query(wrong).await.expect_err(wrong);
            codes.push(error.as_db_error().unwrap().code().code().to_string());
        }
        assert_eq!(codes[0], codes[1], "{wrong}");
    }
    for right in [
        "LISTEN between",
        "LISTEN \"user\"",
        "NOTIFY between, $$x$$",
        "NOTIFY \"user\", E'x'",
        "UNLISTEN *",
    ] {
        for client in [&tide, &pg] {
            client.simple_query(right).await.expect(right);
        }
    }
    // PostgreSQL stops at 8,000 bytes.
    let (listening, mut heard) = listener(&pair.tide.peer(), &["big"]).await;
    tide.execute("SELECT pg_notify('big', repeat('x', 1000000))", &[])
        .await
        .unwrap();
    assert_eq!(hear(&mut heard, 1).await[0].len(), 1_000_004);
    let error = tide
        .execute("SELECT pg_notify('big', repeat('x', 1048577))", &[])
        .await
        .unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().message(),
        "payload string too long"
    );
    drop(listening);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_hears_itself_after_its_command_and_others_by_pid() {
    let server = Server::start();
    let peer = server.peer();
    let (client, mut heard) = listener(&peer, &["c"]).await;
    let own: i32 = text(&client, "SELECT pg_backend_pid()").await.rows[0][0]
        .clone()
        .unwrap()
        .parse()
        .unwrap();
    // In a block nothing is told before its end.
    client
        .batch_execute("BEGIN; NOTIFY c, 'own'")
        .await
        .unwrap();
    text(&client, "SELECT 1").await;
    assert!(heard.try_recv().is_err());
    client.batch_execute("COMMIT").await.unwrap();
    let notification = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    assert_eq!(
        (notification.process_id(), notification.payload()),
        (own, "own")
    );
    // LISTEN and NOTIFY in one transaction.
    client
        .batch_execute("BEGIN; LISTEN d; NOTIFY d, 'first'; COMMIT")
        .await
        .unwrap();
    assert_eq!(hear(&mut heard, 1).await, ["d:first"]);
    let other = peer.connect().await;
    let pid: i32 = text(&other, "SELECT pg_backend_pid()").await.rows[0][0]
        .clone()
        .unwrap()
        .parse()
        .unwrap();
    other.batch_execute("NOTIFY c, 'theirs'").await.unwrap();
    let notification = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    assert_eq!(
        (notification.process_id(), notification.payload()),
        (pid, "theirs")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_notify_at_once_and_all_hear_the_same_order() {
    let server = Server::start();
    let peer = server.peer();
    let mut listeners = Vec::new();
    for _ in 0..5 {
        listeners.push(listener(&peer, &["a", "b"]).await);
    }
    let mut writers = Vec::new();
    for writer in 0..4 {
        let client = peer.connect().await;
        writers.push(tokio::spawn(async move {
            for n in 0..50 {
                let channel = if n % 2 == 0 { "a" } else { "b" };
                let statement = format!(
                    "BEGIN; NOTIFY {channel}, '{writer}-{n}'; NOTIFY b, '{writer}+{n}'; COMMIT"
                );
                client.batch_execute(&statement).await.unwrap();
            }
        }));
    }
    let mut orders = Vec::new();
    for (_, heard) in &mut listeners {
        orders.push(hear(heard, 400).await);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    for writer in 0..4 {
        let own = orders[0]
            .iter()
            .filter(|said| said.contains(&format!(":{writer}")));
        let numbers: Vec<i32> = own.map(|said| said[4..].parse().unwrap()).collect();
        let expected: Vec<i32> = (0..50).flat_map(|n| [n, n]).collect();
        assert_eq!(numbers, expected, "its own order, whole transactions");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_comes_back_loses_nothing() {
    let mut server = Server::start();
    server.peer().run("CREATE TABLE t (id int8 PRIMARY KEY);");
    let (client, mut heard) = listener(&server.peer(), &["c", "\"public.t\""]).await;
    server
        .peer()
        .run("NOTIFY c, 'one'; INSERT INTO t VALUES (1);");
    let seen = hear(&mut heard, 2).await;
    assert_eq!(seen[0], "c:one");
    let seq: i64 = text(&client, "SELECT notification_seq()").await.rows[0][0]
        .clone()
        .unwrap()
        .parse()
        .unwrap();
    let payload: serde_json::Value =
        serde_json::from_str(seen[1].strip_prefix("public.t:").unwrap()).unwrap();
    assert_eq!(
        payload["seq"],
        seq.to_string(),
        "the Seq of the newest that was told"
    );
    drop((client, heard));
    server
        .peer()
        .run("NOTIFY c, 'two'; INSERT INTO t VALUES (2); NOTIFY c, 'three'; NOTIFY d, 'not mine';");
    server.kill();
    server.start_again();
    server.peer().run("NOTIFY c, 'four';");
    let (client, mut heard) = server.peer().listen().await;
    client
        .batch_execute(&format!("LISTEN c WITH (since = '{seq}')"))
        .await
        .unwrap();
    assert_eq!(hear(&mut heard, 3).await, ["c:two", "c:three", "c:four"]);
    client
        .batch_execute(&format!("LISTEN \"public.t\" WITH (since = {seq})"))
        .await
        .unwrap();
    assert!(hear(&mut heard, 1).await[0].contains("\"row\":{\"id\": 2}"));
    server.peer().run("NOTIFY c, 'live';");
    assert_eq!(hear(&mut heard, 1).await, ["c:live"]);
    // Each with its Seq.
    client
        .batch_execute(&format!(
            "LISTEN c WITH (since = '{seq}', envelope = 'json')"
        ))
        .await
        .unwrap();
    let mut last = seq;
    for expected in ["two", "three", "four", "live"] {
        let said = hear(&mut heard, 1).await.remove(0);
        let said: serde_json::Value =
            serde_json::from_str(said.strip_prefix("c:").unwrap()).unwrap();
        assert_eq!(said["payload"], expected);
        let seq: i64 = said["seq"].as_str().unwrap().parse().unwrap();
        assert!(seq > last);
        last = seq;
    }
    // As if it were not given.
    (client
        .batch_execute("LISTEN other WITH (since = NULL, envelope = NULL)")
        .await)
        .unwrap();
    server.peer().run("NOTIFY other, 'now';");
    assert_eq!(hear(&mut heard, 1).await, ["other:now"]);
    for (wrong, code) in [
        ("LISTEN c WITH (till = NULL)", "22023"),
        ("LISTEN c WITH (since = 'x')", "22P02"),
        ("LISTEN c WITH (since = -1)", "22023"),
        ("LISTEN c WITH (since = 9223372036854775807)", "22023"),
        ("LISTEN c WITH (till = 1)", "22023"),
        ("LISTEN c WITH since = 1", "42601"),
    ] {
        let error = client.simple_query(wrong).await.expect_err(wrong);
        assert_eq!(error.as_db_error().unwrap().code().code(), code, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tables_channel_follows_its_catalog() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int8 PRIMARY KEY);");
    let (_client, mut heard) = listener(&peer, &["\"public.t\"", "done"]).await;
    // A listener that comes after the TRUNCATE finds nothing of what was there before.
    peer.run("ALTER TABLE t ADD COLUMN n int4; INSERT INTO t VALUES (1, 2);");
    let said = hear(&mut heard, 1).await;
    assert!(
        said[0].contains("\"row\":{\"id\": 1, \"n\": 2}"),
        "{said:?}"
    );
    peer.run("TRUNCATE t; INSERT INTO t VALUES (3, 4); NOTIFY done;");
    let said = hear(&mut heard, 3).await;
    assert!(said[0].contains("\"op\":\"reset\""), "{said:?}");
    assert!(
        said[1].contains("\"row\":{\"id\": 3, \"n\": 4}"),
        "{said:?}"
    );
    assert_eq!(said[2], "done:");
    peer.run("DROP TABLE t; NOTIFY done;");
    assert_eq!(hear(&mut heard, 1).await, ["done:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_all_users_is_told_whose_row_it_is() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE alice LOGIN; CREATE SCHEMA \"my.app\";
         CREATE TABLE \"my.app\".\"in.box\" (id int8 PRIMARY KEY) WITH (type = 'user');",
    );
    let channel = "my.app.in.box";
    let quoted = format!("\"{channel}\"");
    let (_client, mut all) = listener(&peer, &[&quoted]).await;
    let (_own, mut own) = listener(&peer.role("alice", ""), &[&quoted]).await;
    peer.role("alice", "")
        .run("INSERT INTO \"my.app\".\"in.box\" VALUES (1);");
    let told = |said: Vec<String>| -> serde_json::Value {
        let payload = said[0].strip_prefix(&format!("{channel}:"));
        serde_json::from_str(payload.unwrap()).unwrap()
    };
    let (all, own) = (told(hear(&mut all, 1).await), told(hear(&mut own, 1).await));
    assert_eq!(all["user"], "alice", "{all}");
    assert_eq!(own.get("user"), None, "{own}");
    assert_eq!(all["row"], own["row"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_does_not_read_costs_no_memory() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start();
    let peer = server.peer();
    let mut stalled = tokio::net::TcpStream::connect(("127.0.0.1", server.pg_port()))
        .await
        .unwrap();
    let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
    startup.extend_from_slice(b"user\0postgres\0\0");
    startup[3] = startup.len() as u8;
    stalled.write_all(&startup).await.unwrap();
    stalled.write_all(b"Q\0\0\0\x0dLISTEN c\0").await.unwrap();
    // It listens once the server says so; then nothing more is read.
    let listening = || peer.value("SELECT 1") == "1";
    assert!(listening());
    let (_client, mut heard) = listener(&peer, &["c"]).await;
    let memory = |server: &Server| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon:"))
            .unwrap()
            .to_string();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    };
    let client = peer.connect().await;
    let say = client
        .prepare("SELECT pg_notify('c', $1 || repeat('x', 100000))")
        .await
        .unwrap();
    let before = memory(&server);
    // About 200 MB, of which RocksDB may have two thirds in memory.
    for n in 0..2000 {
        client.execute(&say, &[&n.to_string()]).await.unwrap();
        if n % 100 == 99 {
            for _ in 0..100 {
                assert!(hear(&mut heard, 1).await[0].len() > 100_000);
            }
        }
    }
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 170, "the server grew by {grown} MiB");
    drop(stalled);
}

/// Listeners once asked again and again whether there was something, until the first commit.
#[tokio::test(flavor = "multi_thread")]
async fn listeners_of_an_idle_server_take_no_processor() {
    let server = Server::start();
    let mut listeners = Vec::new();
    for _ in 0..8 {
        listeners.push(listener(&server.peer(), &["a"]).await);
    }
    let before = server.processor_time().as_secs_f64();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let taken = server.processor_time().as_secs_f64() - before;
    assert!(taken < 0.5, "{taken} s of processor time in 2 s");
}
