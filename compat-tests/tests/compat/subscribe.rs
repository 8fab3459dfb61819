//! SUBSCRIBE in full: queries, options, transactions, and what ends a subscription.

use tidelog_compat_tests::process::PATIENCE;
use tidelog_compat_tests::{Change, Feed, Server};
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

fn server() -> Server {
    let server = Server::start();
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY, room text, n numeric(10, 2), j jsonb);");
    server
}

fn briefs(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::brief).collect()
}

/// The rows of a query, or of a subscription that ends by itself.
async fn rows(client: &Client, statement: &str) -> Vec<String> {
    let messages = timeout(PATIENCE, client.simple_query(statement))
        .await
        .unwrap_or_else(|_| panic!("{statement} does not end"))
        .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (1..row.len()).map(|at| row.get(at).unwrap_or("-"));
            Some(values.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

async fn error_of(client: &Client, statement: &str) -> (String, String) {
    let error = timeout(PATIENCE, client.simple_query(statement))
        .await
        .unwrap_or_else(|_| panic!("{statement} does not fail"));
    let error = error.expect_err(statement);
    let error = error.as_db_error().expect(statement);
    (error.code().code().to_string(), error.message().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_shows_what_it_computes_of_each_row() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO t VALUES (1, 'Lobby', 1.50, '{\"tag\": \"x\"}'), (2, 'attic', 2, NULL);");
    let query = "SELECT id * 10 AS tens, upper(room) AS room, n + 0.25 AS n, replace(j::text, 'tag', '') AS tag, \
                 CASE WHEN n > 1.75 THEN 'much' ELSE 'little' END AS how, id::text || '!' AS shout \
                 FROM t WHERE room IS NOT NULL";
    let mut feed = Feed::open(
        &peer,
        &format!("SUBSCRIBE TO ({query}) WHERE how = 'little' OR tens > 20"),
    );
    let (snapshot, _) = feed.until_ready().await;
    assert_eq!(
        briefs(&snapshot),
        ["snapshot 10,LOBBY,1.75,{\"\": \"x\"},little,1!"]
    );
    peer.run(
        "INSERT INTO t VALUES (3, 'hall', 9, NULL);
         UPDATE t SET n = 1.75, j = '{\"tag\": \"y\"}' WHERE id = 1;
         UPDATE t SET n = 5 WHERE id = 1;
         UPDATE t SET room = NULL WHERE id = 3;",
    );
    let changes = feed.take(4).await;
    assert_eq!(
        briefs(&changes),
        [
            "insert 30,HALL,9.25,-,much,3!",
            "update 10,LOBBY,2.00,{\"\": \"y\"},little,1!",
            "delete 10,LOBBY,2.00,{\"\": \"y\"},little,1!",
            "delete 30,HALL,9.25,-,much,3!",
        ]
    );
    assert_eq!(
        changes[1].old,
        Some(serde_json::json!({
            "tens": 10, "room": "LOBBY", "n": 1.75, "tag": "{\"\": \"x\"}", "how": "little", "shout": "1!"
        }))
    );
    // What SELECT gives for the same rows.
    let selected = peer.value(&format!("SELECT s.* FROM ({query}) AS s ORDER BY tens"));
    assert_eq!(
        selected,
        "10|LOBBY|5.25|{\"\": \"y\"}|much|1!\n20|ATTIC|2.25||much|2!"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_stand_wherever_expressions_and_options_do() {
    let server = server();
    let peer = server.peer();
    peer.run(
        "INSERT INTO t SELECT g, 'r' || (g % 3)::text, g, NULL FROM generate_series(1, 9) AS s(g);",
    );
    let client = peer.connect().await;
    let newest: i64 = peer.value("SELECT max(_seq) FROM t").parse().unwrap();
    let statement = client
        .prepare("SUBSCRIBE TO (SELECT id, $1 || room AS room FROM t WHERE room = $2) OPTIONS (last_rows = $3, up_to = $4)")
        .await
        .unwrap();
    let types: Vec<&str> = statement.params().iter().map(|ty| ty.name()).collect();
    assert_eq!(types, ["text", "text", "int8", "int8"]);
    let names: Vec<&str> = statement
        .columns()
        .iter()
        .map(|column| column.name())
        .collect();
    assert_eq!(names, ["_seq", "_op", "_commit", "id", "room", "_old"]);
    let rows = client
        .query(&statement, &[&"in ", &"r1", &2_i64, &newest])
        .await
        .unwrap();
    let seen: Vec<(String, Option<i64>, Option<String>)> = rows
        .iter()
        .map(|row| (row.get(1), row.get(3), row.get(4)))
        .collect();
    let row = |id, room: &str| ("snapshot".to_string(), Some(id), Some(room.to_string()));
    assert_eq!(
        seen,
        [
            row(4, "in r1"),
            row(7, "in r1"),
            ("ready".to_string(), None, None)
        ]
    );
    // A client that has no Seq yet says NULL.
    let statement = client
        .prepare("SUBSCRIBE TO (SELECT id FROM t) WHERE id = $1 OPTIONS (from = $2, up_to = $3)")
        .await
        .unwrap();
    for (from, expected) in [(None, 2), (Some(newest), 1)] {
        let rows = client
            .query(&statement, &[&3_i64, &from, &newest])
            .await
            .unwrap();
        assert_eq!(rows.len(), expected, "{from:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_by_name() {
    let server = server();
    let client = server.peer().connect().await;
    client
        .batch_execute("CREATE TABLE u (id int8); CREATE VIEW v AS SELECT id FROM u")
        .await
        .unwrap();
    for (statement, code, part) in [
        (
            "SUBSCRIBE TO (SELECT t.id FROM t JOIN u ON t.id = u.id)",
            "0A000",
            "join",
        ),
        ("SUBSCRIBE TO (SELECT t.id FROM t, u)", "0A000", "join"),
        (
            "SUBSCRIBE TO (SELECT count(*) FROM t)",
            "0A000",
            "aggregate",
        ),
        (
            "SUBSCRIBE TO (SELECT room FROM t GROUP BY room)",
            "0A000",
            "GROUP BY",
        ),
        (
            "SUBSCRIBE TO (SELECT DISTINCT room FROM t)",
            "0A000",
            "DISTINCT",
        ),
        (
            "SUBSCRIBE TO (SELECT id FROM t ORDER BY id)",
            "0A000",
            "ORDER BY",
        ),
        ("SUBSCRIBE TO (SELECT id FROM t LIMIT 1)", "0A000", "LIMIT"),
        (
            "SUBSCRIBE TO (SELECT id FROM t UNION ALL SELECT id FROM u)",
            "0A000",
            "UNION",
        ),
        (
            "SUBSCRIBE TO (SELECT id FROM t UNION SELECT id FROM u)",
            "0A000",
            "UNION",
        ),
        (
            "SUBSCRIBE TO (SELECT row_number() OVER (ORDER BY id) FROM t)",
            "0A000",
            "window",
        ),
        (
            "SUBSCRIBE TO t WHERE id IN (SELECT id FROM u)",
            "0A000",
            "subquery",
        ),
        (
            "SUBSCRIBE TO t WHERE EXISTS (SELECT 1 FROM u)",
            "0A000",
            "subquery",
        ),
        (
            "SUBSCRIBE TO (SELECT (SELECT max(id) FROM u) FROM t)",
            "0A000",
            "",
        ),
        ("SUBSCRIBE TO (SELECT 1)", "0A000", "without a table"),
        ("SUBSCRIBE TO t WHERE random() < 0.5", "0A000", "random"),
        ("SUBSCRIBE TO pg_class", "0A000", "system"),
        ("SUBSCRIBE TO v", "0A000", "a view"),
        (
            "SUBSCRIBE TO (SELECT id + 1 FROM public.v)",
            "0A000",
            "a view",
        ),
        ("SUBSCRIBE TO t AS OF SEQ 1", "0A000", "AS OF"),
        ("SUBSCRIBE TO t WHERE id = 'x'", "22P02", ""),
        ("SUBSCRIBE TO t WHERE length(nope) = 1", "42703", "nope"),
        (
            "SUBSCRIBE TO (SELECT id FROM t) WHERE room = 'a'",
            "42703",
            "room",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (last_rows = 'many')",
            "22023",
            "last_rows",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (snapshot = 'maybe')",
            "22023",
            "snapshot",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (from = 1, last_rows = 1)",
            "22023",
            "exclude",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (from = 1, from = 2)",
            "22023",
            "twice",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (from = 9223372036854775807)",
            "22023",
            "future",
        ),
        ("SUBSCRIBE TO t OPTIONS (up_to = 1)", "22023", "up_to"),
        ("SUBSCRIBE TO t OPTIONS (till = NULL)", "22023", "till"),
        (
            "SUBSCRIBE TO t OPTIONS (batch_size = 0)",
            "22023",
            "batch_size",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (progress = 'often')",
            "22023",
            "progress",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (ops = 'insert,upsert')",
            "22023",
            "ops",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (envelope = 'debezium')",
            "22023",
            "envelope",
        ),
        (
            "SUBSCRIBE TO t OPTIONS (on_lag = 'drop')",
            "22023",
            "on_lag",
        ),
        (
            "SUBSCRIBE TO u OPTIONS (envelope = 'upsert')",
            "22023",
            "primary key",
        ),
        (
            "SUBSCRIBE TO (SELECT room FROM t) OPTIONS (envelope = 'upsert')",
            "22023",
            "primary key",
        ),
        (
            "SUBSCRIBE TO (SELECT id % 10 AS id, room FROM t) OPTIONS (envelope = 'upsert')",
            "22023",
            "primary key",
        ),
        ("SUBSCRIBE TO t OPTIONS last_rows = 1", "42601", ""),
        ("SUBSCRIBE TO (DELETE FROM t)", "42601", ""),
    ] {
        let (found, message) = error_of(&client, statement).await;
        assert_eq!(found, code, "{statement}: {message}");
        assert!(message.contains(part), "{statement}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_come_whole_with_their_end_marked() {
    let server = server();
    let peer = server.peer();
    let mut feed = Feed::open(
        &peer,
        "SUBSCRIBE TO (SELECT id FROM t) WHERE id < 1000 OPTIONS (batch_size = 3)",
    );
    let mut all = Feed::open(
        &peer,
        "SUBSCRIBE TO (SELECT id FROM t) OPTIONS (batch_size = 7, progress)",
    );
    feed.until_ready().await;
    all.until_ready().await;
    peer.run("BEGIN; INSERT INTO t (id) SELECT g FROM generate_series(1, 10) AS s(g);");
    // Rolled back, since psql ended. Nothing of it comes.
    peer.run(
        "CREATE TABLE other (id int8);
         BEGIN; INSERT INTO t (id) SELECT g FROM generate_series(1, 10) AS s(g); INSERT INTO t (id) VALUES (2000), (2001);
         INSERT INTO other VALUES (1); COMMIT;
         INSERT INTO t (id) VALUES (3000);
         INSERT INTO t (id) VALUES (11);
         BEGIN; INSERT INTO t (id) VALUES (4000), (12), (5000); COMMIT;",
    );
    let changes = feed.take(12).await;
    let ends: Vec<(String, bool)> = changes.iter().map(|c| (c.brief(), c.commit)).collect();
    let expected: Vec<(String, bool)> = (1..=12)
        .map(|id| (format!("insert {id}"), id >= 10))
        .collect();
    assert_eq!(ends, expected);
    let mut ids = Vec::new();
    let mut transactions = Vec::new();
    let mut told = 0;
    while transactions.len() < 4 {
        let change = all.next().await;
        assert!(change.seq >= told, "nothing comes behind a progress mark");
        if change.op == "progress" {
            assert!(ids.is_empty(), "no mark inside a transaction");
            told = change.seq;
            continue;
        }
        ids.push(change.row[0].clone().unwrap());
        if change.commit {
            transactions.push(std::mem::take(&mut ids).len());
        }
    }
    assert_eq!(transactions, [12, 1, 1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_choose_what_comes() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO t (id, room) VALUES (1, 'a'), (2, 'a'), (3, 'b');");
    let start: i64 = peer.value("SELECT max(_seq) FROM t").parse().unwrap();
    peer.run(
        "UPDATE t SET room = 'c' WHERE id = 1;
         UPDATE t SET id = 20 WHERE id = 2;
         DELETE FROM t WHERE id = 3;
         INSERT INTO t (id, room) VALUES (4, 'd');",
    );
    let end: i64 = peer.value("SELECT max(_seq) FROM t").parse().unwrap();
    let client = peer.connect().await;
    let from = |options: &str| {
        format!(
            "SUBSCRIBE TO (SELECT id, room FROM t) OPTIONS (from = {start}, up_to = {end}{options})"
        )
    };
    let all = [
        "ready f - - -",
        "update t 1 c {\"id\": 1, \"room\": \"a\"}",
        "update t 20 a {\"id\": 2, \"room\": \"a\"}",
        "delete t 3 b -",
        "insert t 4 d -",
    ];
    assert_eq!(rows(&client, &from("")).await, all);
    let with_snapshot = format!(
        "SUBSCRIBE TO (SELECT id FROM t) OPTIONS (from = NULL, last_rows = NULL, up_to = {end})"
    );
    assert_eq!(rows(&client, &with_snapshot).await.len(), 4);
    assert_eq!(
        rows(&client, &from(", ops = 'insert, DELETE'")).await,
        [all[0], all[3], all[4]]
    );
    assert_eq!(
        rows(&client, &from(", envelope = 'upsert'")).await,
        [
            "ready f - -",
            "upsert t 1 c",
            "delete f 2 -",
            "upsert t 20 a",
            "delete t 3 -",
            "upsert t 4 d"
        ]
    );
    let with_progress = rows(&client, &from(", progress = true")).await;
    assert_eq!(with_progress[..5], all);
    assert!(
        with_progress.len() <= 6
            && with_progress[5..]
                .iter()
                .all(|row| row == "progress t - - -")
    );
    assert_eq!(
        rows(
            &client,
            &format!("SUBSCRIBE TO t OPTIONS (snapshot = false, up_to = {end})")
        )
        .await,
        ["ready t - - - - -"]
    );
    assert_eq!(
        rows(
            &client,
            &format!("SUBSCRIBE TO (SELECT id FROM t) OPTIONS (last_rows = 1, up_to = {end})")
        )
        .await,
        ["snapshot f 4 -", "ready t - -"]
    );
    // The middle of a transaction is no end: it comes whole.
    peer.run("INSERT INTO t (id) VALUES (5), (6), (7);");
    assert_eq!(
        rows(
            &client,
            &format!(
                "SUBSCRIBE TO (SELECT id FROM t) OPTIONS (from = {end}, up_to = {})",
                end + 1
            )
        )
        .await,
        ["ready f - -"]
    );
    let first: i64 = peer
        .value("SELECT min(_seq) FROM t WHERE id IN (5, 6, 7)")
        .parse()
        .unwrap();
    peer.run("INSERT INTO t (id) VALUES (8);");
    assert_eq!(
        rows(
            &client,
            &format!("SUBSCRIBE TO (SELECT id FROM t) OPTIONS (from = {end}, up_to = {first})")
        )
        .await,
        [
            "ready f - -",
            "insert f 5 -",
            "insert f 6 -",
            "insert t 7 -"
        ]
    );
    // An end that is still to come is waited for; COPY ends, too.
    let now: i64 = peer.value("SELECT snowflake_id()").parse().unwrap();
    let statement = format!(
        "SUBSCRIBE TO (SELECT id FROM t) OPTIONS (from = {first}, up_to = {})",
        now + (1 << 31)
    );
    let waiting = {
        let client = peer.connect().await;
        tokio::spawn(async move { rows(&client, &statement).await })
    };
    let writer = peer.connect().await;
    for n in 100..100_000_i64 {
        if waiting.is_finished() {
            break;
        }
        writer
            .execute("INSERT INTO t (id) VALUES ($1)", &[&n])
            .await
            .unwrap();
    }
    assert!(timeout(PATIENCE, waiting).await.unwrap().unwrap().len() > 3);
    let copied = peer.run(&format!(
        "COPY (SUBSCRIBE TO (SELECT id FROM t) OPTIONS (from = {start}, up_to = {end})) TO STDOUT;"
    ));
    assert_eq!(copied.lines().count(), 5, "{copied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_table_gives_progress_all_the_same() {
    let server = server();
    let peer = server.peer();
    peer.run("CREATE TABLE elsewhere (id int8);");
    let mut feed = Feed::open(&peer, "SUBSCRIBE TO t OPTIONS (progress = '50ms')");
    let (_, ready) = feed.until_ready().await;
    peer.run("INSERT INTO elsewhere VALUES (1);");
    let newest: i64 = peer
        .value("SELECT max(_seq) FROM elsewhere")
        .parse()
        .unwrap();
    let mut told = ready;
    while told < newest {
        let mark = feed.next().await;
        assert_eq!((mark.op.as_str(), mark.commit), ("progress", true));
        assert!(mark.seq >= told);
        told = mark.seq;
    }
    let again = feed.next().await;
    assert_eq!((again.op.as_str(), again.seq), ("progress", told));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_catalog_adapts_a_feed_or_ends_it_with_a_message() {
    let server = server();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE alice LOGIN PASSWORD 'a'; CREATE ROLE boss LOGIN BYPASSRLS PASSWORD 'b';
              CREATE TABLE mine (id int8 PRIMARY KEY) WITH (type = 'user');",
    );
    let alice = peer.role("alice", "a");
    let boss = peer.role("boss", "b");
    let mut star = Feed::open(&peer, "SUBSCRIBE TO t");
    let mut listed = Feed::open(&peer, "SUBSCRIBE TO (SELECT id, room FROM t)");
    let mut of_alice = Feed::open(&alice, "SUBSCRIBE TO mine");
    let mut of_boss = Feed::open(&boss, "SUBSCRIBE TO mine");
    for feed in [&mut star, &mut listed, &mut of_alice, &mut of_boss] {
        feed.until_ready().await;
    }
    // Nothing of these concerns them.
    peer.run(
        "CREATE TABLE unrelated (id int8); CREATE ROLE carol; DROP TABLE unrelated;
              INSERT INTO t (id, room) VALUES (1, 'a');",
    );
    assert_eq!(star.next().await.brief(), "insert 1,a,-,-");
    assert_eq!(listed.next().await.brief(), "insert 1,a");
    peer.run(
        "ALTER TABLE t ADD COLUMN extra text; INSERT INTO t (id, room, extra) VALUES (2, 'b', 'x');
              ALTER TABLE t DROP COLUMN n; INSERT INTO t (id, room) VALUES (3, 'c');",
    );
    assert_eq!(briefs(&listed.take(2).await), ["insert 2,b", "insert 3,c"]);
    assert_eq!(star.try_next().await, None);
    let said = star.error().await;
    assert!(
        said.contains("table \"public.t\" was altered") && said.contains("Read the table again"),
        "{said}"
    );

    // The columns and the rows are one commit.
    peer.run(
        "BEGIN; ALTER TABLE t ADD COLUMN late text; INSERT INTO t (id, room, late) VALUES (4, 'd', 'y');
              UPDATE t SET room = 'e' WHERE id = 4; COMMIT;",
    );
    let both = listed.take(2).await;
    assert_eq!(briefs(&both), ["insert 4,d", "update 4,e"]);
    assert_eq!((both[0].commit, both[1].commit), (false, true));

    // The data is another: what the reader has is void.
    peer.run("TRUNCATE t; INSERT INTO t (id, room) VALUES (9, 'new');");
    let reset = listed.next().await;
    assert_eq!((reset.op.as_str(), reset.commit), ("reset", false));
    // The row is in the new snapshot or comes behind it.
    let mut after: Vec<String> = Vec::new();
    let is_ready = |brief: &String| brief == "ready -,-";
    while !(after.iter().any(is_ready) && after.iter().any(|brief| brief.ends_with(" 9,new"))) {
        after.push(listed.next().await.brief());
    }
    peer.run("ALTER TABLE t DROP COLUMN room;");
    assert_eq!(listed.try_next().await, None);
    assert!(listed.error().await.contains("was altered"));

    // An idle reader is told, too.
    peer.run("ALTER ROLE boss NOBYPASSRLS;");
    assert_eq!(of_boss.try_next().await, None);
    assert!(
        of_boss
            .error()
            .await
            .contains("rights of role \"boss\" have changed")
    );
    peer.run("DROP ROLE alice;");
    assert_eq!(of_alice.try_next().await, None);
    assert!(
        of_alice
            .error()
            .await
            .contains("role \"alice\" was dropped")
    );
    let mut last = Feed::open(&peer, "SUBSCRIBE TO mine OPTIONS (on_lag = 'disconnect')");
    last.until_ready().await;
    peer.run("TRUNCATE mine;");
    assert_eq!(last.try_next().await, None);
    assert!(
        last.error()
            .await
            .contains("table \"public.mine\" was truncated")
    );
    let mut last = Feed::open(&peer, "SUBSCRIBE TO mine");
    last.until_ready().await;
    peer.run("DROP TABLE mine;");
    assert_eq!(last.try_next().await, None);
    assert!(
        last.error()
            .await
            .contains("table \"public.mine\" was dropped")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn superusers_see_whose_row_it_is() {
    let server = server();
    let peer = server.peer();
    peer.run("CREATE ROLE alice LOGIN PASSWORD 'a'; CREATE TABLE mine (id int8 PRIMARY KEY) WITH (type = 'user');
              SET ROLE alice; INSERT INTO mine VALUES (1);");
    let mut feed = Feed::open(
        &peer,
        "SUBSCRIBE TO (SELECT _user, id, _seq AS version FROM mine WHERE _user <> 'bob')",
    );
    let (snapshot, _) = feed.until_ready().await;
    let version = snapshot[0].seq;
    assert_eq!(briefs(&snapshot), [format!("snapshot alice,1,{version}")]);
    peer.run("SET ROLE alice; DELETE FROM mine;");
    let deleted = feed.next().await;
    assert_eq!(deleted.brief(), format!("delete alice,1,{}", deleted.seq));
    // An ordinary role has no such column.
    let alice = peer.role("alice", "a").connect().await;
    let (code, _) = error_of(&alice, "SUBSCRIBE TO (SELECT _user FROM mine)").await;
    assert_eq!(code, "42703");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_in_a_transaction_block_reads_what_is_committed() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO t (id) VALUES (1);");
    let end: i64 = peer.value("SELECT max(_seq) FROM t").parse().unwrap();
    let client = peer.connect().await;
    client
        .batch_execute("BEGIN; INSERT INTO t (id) VALUES (2)")
        .await
        .unwrap();
    let statement = format!(
        "SUBSCRIBE TO (SELECT id FROM t) OPTIONS (up_to = {})",
        end + 1
    );
    let writer = tokio::spawn({
        let peer = peer.clone();
        async move {
            peer.connect()
                .await
                .batch_execute("INSERT INTO t (id) VALUES (3)")
                .await
                .unwrap();
        }
    });
    writer.await.unwrap();
    let statement = statement.replace(
        &(end + 1).to_string(),
        &peer.value("SELECT max(_seq) FROM t"),
    );
    assert_eq!(
        rows(&client, &statement).await,
        ["snapshot f 1 -", "snapshot f 3 -", "ready t - -"]
    );
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(peer.value("SELECT count(*) FROM t"), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_one_statement_see_it_each_in_his_time_zone() {
    let server = server();
    let peer = server.peer();
    peer.run("CREATE TABLE z (id int8 PRIMARY KEY, at timestamptz, tags text[], span interval); INSERT INTO z (id) VALUES (0);");
    let newest: i64 = peer.value("SELECT max(_seq) FROM z").parse().unwrap();
    // So many milliseconds from now, by the Seq of whatever is written then.
    let up_to = newest + (3000 << 22);
    let query = "SELECT id, at, at::text AS shown, (at::date)::text AS day, tags, span FROM z";
    let follow = async |zone: &str| {
        let client = peer.connect().await;
        let set = format!("SET TimeZone = '{zone}'");
        client.batch_execute(&set).await.unwrap();
        let statement =
            format!("SUBSCRIBE TO ({query}) OPTIONS (snapshot = false, up_to = '{up_to}')");
        let seen = rows(&client, &statement).await;
        let selected = rows(
            &client,
            &format!("SELECT 0, q.* FROM ({query}) AS q ORDER BY id"),
        )
        .await;
        (seen, selected)
    };
    let write = async {
        let client = peer.connect().await;
        for id in 1.. {
            let insert = format!(
                "INSERT INTO z VALUES ({id}, '2026-01-01 23:30:00+00', '{{a,NULL,\"b c\"}}', '1 day 02:00')"
            );
            client.batch_execute(&insert).await.unwrap();
            let newest = rows(&client, "SELECT 0, max(_seq) FROM z").await;
            if newest[0].parse::<i64>().unwrap() > up_to {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "UTC"];
    let followed = zones.map(follow);
    let (followed, ()) = tokio::join!(futures::future::join_all(followed), write);
    for (zone, (seen, selected)) in zones.iter().zip(followed) {
        // The first row was there before; the row behind the end may be seen by the SELECT only.
        let seen: Vec<&str> = seen
            .iter()
            .filter_map(|row| row.strip_prefix("insert t "))
            .map(|row| row.strip_suffix(" -").unwrap())
            .collect();
        assert!(seen.len() > 10, "{zone}: {}", seen.len());
        let selected = &selected[1..];
        let first = seen[0].split(' ').next().unwrap().parse::<usize>().unwrap();
        assert!(
            seen == selected[first - 1..first - 1 + seen.len()],
            "{zone}: {} and {}",
            seen[0],
            selected[0]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resumes_from_before_a_tables_beginning_is_reset() {
    let server = server();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2);
         CREATE MATERIALIZED VIEW m AS SELECT id FROM s; CREATE TABLE others (id serial PRIMARY KEY);",
    );
    let changes = [
        ("TRUNCATE s; INSERT INTO s VALUES (3);", "s", vec!["3"]),
        ("TRUNCATE s;", "s", vec![]),
        (
            "DROP MATERIALIZED VIEW m; DROP TABLE s; CREATE TABLE s (id int PRIMARY KEY);",
            "s",
            vec![],
        ),
        (
            "INSERT INTO s VALUES (4); CREATE MATERIALIZED VIEW m AS SELECT id FROM s;",
            "m",
            vec!["4"],
        ),
        (
            "UPDATE s SET id = 5; REFRESH MATERIALIZED VIEW m;",
            "m",
            vec!["5"],
        ),
    ];
    for (change, table, rows) in changes {
        peer.run("INSERT INTO others DEFAULT VALUES;");
        let token = peer.value("SELECT max(_seq) FROM others");
        peer.run(change);
        let subscribe = format!("SUBSCRIBE TO {table} OPTIONS (from = '{token}')");
        let mut feed = Feed::open(&peer, &subscribe);
        assert_eq!(feed.next().await.op, "ready", "{change}");
        assert_eq!(feed.next().await.op, "reset", "{change}");
        let (snapshot, _) = feed.until_ready().await;
        let rows: Vec<String> = rows.iter().map(|id| format!("snapshot {id}")).collect();
        assert_eq!(briefs(&snapshot), rows, "{change}");
        let client = peer.connect().await;
        let ended = client
            .simple_query(&format!(
                "SUBSCRIBE TO {table} OPTIONS (from = '{token}', on_lag = 'disconnect')"
            ))
            .await
            .expect_err(change);
        assert_eq!(
            ended.as_db_error().expect(change).code().code(),
            "55000",
            "{change}"
        );
        let listen = format!("LISTEN \"public.{table}\" WITH (since = '{token}')");
        let refused = client.simple_query(&listen).await.expect_err(change);
        assert_eq!(
            refused.as_db_error().expect(change).code().code(),
            "55000",
            "{change}"
        );
    }
    // Who has nothing is told of everything.
    let mut feed = Feed::open(&peer, "SUBSCRIBE TO s OPTIONS (from = '0')");
    assert_eq!(
        briefs(&feed.take(3).await),
        ["ready -", "insert 4", "update 5"]
    );
}
