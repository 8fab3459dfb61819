//! `/v1/ws`: frames, credit, limits, and feeds that are whole over every door.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog_compat_tests::http::Socket;
use tidelog_compat_tests::process::wait_for;
use tidelog_compat_tests::{Feed, Server, Web};

use crate::http::changes;

fn server() -> Server {
    let server = Server::start();
    server.peer().run(
        "CREATE SCHEMA chat;
         CREATE TABLE chat.messages (id int8 PRIMARY KEY, room text, body text);
         CREATE TABLE chat.inbox (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         CREATE ROLE alice LOGIN PASSWORD 'wonderland';",
    );
    server
}

fn subscribe(socket: &mut Socket, id: u64, sql: &str, credit: u64) {
    socket.send(&json!({"type": "subscribe", "id": id, "sql": sql, "credit": credit}));
}

/// The changes of one subscription up to the one that is called `last`; each batch earns a new one.
#[track_caller]
fn until(socket: &mut Socket, id: u64, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let frame = socket.next_of(id);
        match frame["type"].as_str() {
            Some("batch") => socket.send(&json!({"type": "credit", "id": id, "batches": 1})),
            Some("subscribed") => continue,
            _ => panic!("{frame} after {seen:?}"),
        }
        seen.extend(changes(&frame));
        if seen.last().is_some_and(|change| change == last) {
            return seen;
        }
    }
}

/// Runs a statement; its frames but the columns'.
#[track_caller]
fn query(socket: &mut Socket, id: u64, sql: &str, params: Value) -> (Vec<Value>, Value) {
    socket.send(&json!({"type": "query", "id": id, "sql": sql, "params": params}));
    let mut rows = Vec::new();
    loop {
        let frame = socket.next_of(id);
        match frame["type"].as_str() {
            Some("columns") => {}
            Some("rows") => rows.extend(frame["rows"].as_array().unwrap().clone()),
            _ => return (rows, frame),
        }
    }
}

#[test]
fn a_socket_carries_statements_and_many_subscriptions_and_an_error_ends_one_of_them() {
    let server = server();
    let mut socket = server.web().hello();
    let (rows, done) = query(
        &mut socket,
        1,
        "SELECT $1::int8 + 1 AS n",
        json!(["9007199254740993"]),
    );
    assert_eq!(rows, [json!(["9007199254740994"])]);
    assert_eq!(done["tag"], "SELECT 1");

    let room = |room: &str| format!("SUBSCRIBE TO chat.messages WHERE room = '{room}'");
    subscribe(&mut socket, 2, &room("a"), 10);
    subscribe(&mut socket, 3, "SUBSCRIBE TO nowhere", 10);
    subscribe(&mut socket, 4, &room("b"), 10);
    // It begins well and fails at a row.
    subscribe(
        &mut socket,
        5,
        "SUBSCRIBE TO chat.messages WHERE 1 / (id - 7) > 5",
        10,
    );
    let mut ready = Vec::new();
    let mut failed = Value::Null;
    while ready.len() < 3 || failed.is_null() {
        let frame = socket.next();
        match frame["type"].as_str() {
            Some("batch") => ready.push(frame["id"].as_u64().unwrap()),
            Some("error") => failed = frame,
            _ => assert_eq!(frame["type"], "subscribed", "{frame}"),
        }
    }
    ready.sort_unstable();
    assert_eq!(ready, [2, 4, 5]);
    assert_eq!(
        (&failed["id"], &failed["error"]["code"]),
        (&json!(3), &json!("42P01"))
    );
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (7, 'a', 'seven'), (8, 'b', 'eight');");
    let mut seen = BTreeMap::new();
    while seen.len() < 3 {
        let frame = socket.next();
        seen.insert(frame["id"].as_u64().unwrap(), frame);
    }
    assert_eq!(changes(&seen[&2]), ["insert 7,a,seven"]);
    assert_eq!(changes(&seen[&4]), ["insert 8,b,eight"]);
    assert_eq!(seen[&5]["error"]["code"], "22012");
    socket.send(&json!({"type": "unsubscribe", "id": 2}));
    assert_eq!(socket.next_of(2)["type"], "unsubscribed");
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (9, 'a', 'nine'), (10, 'b', 'ten');");
    let frame = socket.next();
    assert_eq!(
        (&frame["id"], changes(&frame)),
        (&json!(4), vec!["insert 10,b,ten".to_string()])
    );
    let (_, error) = query(&mut socket, 6, "SELECT 1 / 0", json!([]));
    assert_eq!(error["error"]["code"], "22012");
    socket.send(&json!({"type": "ping"}));
    assert_eq!(socket.next()["type"], "pong");
}

#[test]
fn a_user_sees_his_own_partition_live() {
    let server = server();
    let mut alice = server.web().role("alice", "wonderland").hello();
    subscribe(&mut alice, 1, "SUBSCRIBE TO chat.inbox", 10);
    assert_eq!(until(&mut alice, 1, "ready"), ["ready"]);
    server
        .peer()
        .run("INSERT INTO chat.inbox VALUES (1, 'not for alice');");
    let (_, done) = query(
        &mut alice,
        2,
        "INSERT INTO chat.inbox VALUES (2, 'for alice')",
        json!([]),
    );
    assert_eq!(done["tag"], "INSERT 0 1");
    assert_eq!(
        until(&mut alice, 1, "insert 2,for alice"),
        ["insert 2,for alice"]
    );
}

#[test]
fn ids_that_a_double_takes_for_one_are_two() {
    let server = server();
    let mut socket = server.web().hello();
    let sql = "SUBSCRIBE TO chat.messages WHERE id = 9007199254740993";
    subscribe(&mut socket, 1, sql, 10);
    assert_eq!(until(&mut socket, 1, "ready"), ["ready"]);
    server.peer().run(
        "INSERT INTO chat.messages VALUES (9007199254740992, 'a', 'other'), (9007199254740993, 'a', 'this');",
    );
    let last = "insert 9007199254740993,a,this";
    assert_eq!(until(&mut socket, 1, last), [last]);
    // Columns of one's own choice, with parameters; a key that is computed is none.
    socket.send(&json!({"type": "subscribe", "id": 2, "credit": 10, "params": ["9007199254740993"],
        "sql": "SUBSCRIBE TO (SELECT upper(body) AS id, id AS key FROM chat.messages WHERE id = $1)"}));
    let subscribed = socket.next_of(2);
    assert_eq!(subscribed["key"], json!(["key"]), "{subscribed}");
    let last = "ready";
    assert_eq!(
        until(&mut socket, 2, last),
        ["snapshot THIS,9007199254740993", last]
    );
}

#[test]
fn nothing_is_done_for_who_did_not_say_hello() {
    let server = server();
    let web = server.web();
    let closed = |frames: &[Value]| {
        let mut socket = web.socket().expect("the socket opens");
        frames.iter().for_each(|frame| socket.send(frame));
        let mut error = Value::Null;
        loop {
            match socket.try_next() {
                Ok(frame) if frame["type"] == "error" => error = frame["error"]["code"].clone(),
                Ok(_) => {}
                Err(code) => return (code, error.as_str().unwrap_or_default().to_string()),
            }
        }
    };
    let hello = |auth: Value| json!({"type": "hello", "version": 1, "auth": auth});
    let expect = |code: u16, sqlstate: &str| (code, sqlstate.to_string());
    let query = json!({"type": "query", "id": 1, "sql": "SELECT 1"});
    assert_eq!(closed(&[query]), expect(4400, "08P01"));
    assert_eq!(
        closed(&[hello(web.role("alice", "wrong").credentials())]),
        expect(4401, "28P01")
    );
    assert_eq!(
        closed(&[hello(web.role("nobody", "").credentials())]),
        expect(4401, "28000")
    );
    assert_eq!(
        closed(&[hello(json!({"type": "jwt", "token": "a.b.c"}))]),
        expect(4401, "0A000")
    );
    let mut future = hello(web.credentials());
    future["version"] = json!(2);
    assert_eq!(closed(&[future]), expect(4400, "08P01"));
    let again = hello(web.credentials());
    assert_eq!(
        closed(&[again.clone(), again.clone()]),
        expect(4400, "08P01")
    );
    assert_eq!(
        closed(&[again.clone(), json!({"type": "fly"})]),
        expect(4400, "08P01")
    );
    assert_eq!(closed(&[again.clone(), json!([])]), expect(4400, "08P01"));
    let large = json!({"type": "query", "id": 1, "sql": " ".repeat(1 << 20)});
    assert_eq!(closed(&[again, large]), expect(1009, ""));
    assert_eq!(web.rows("SELECT 1", json!([])), json!([[1]]));
}

#[test]
fn last_rows_travels_beside_the_statement_and_its_options() {
    let server = server();
    server
        .peer()
        .run("INSERT INTO chat.messages SELECT g, 'a', 'x' FROM generate_series(1, 5) g;");
    let mut socket = server.web().hello();
    let sql = "SUBSCRIBE TO chat.messages OPTIONS (progress = '1h', last_rows = 4)";
    let mut frame = json!({"type": "subscribe", "id": 1, "sql": sql, "last_rows": 2, "credit": 9});
    socket.send(&frame);
    assert_eq!(socket.next()["type"], "subscribed");
    assert_eq!(
        changes(&socket.next()),
        ["snapshot 4,a,x", "snapshot 5,a,x", "ready"]
    );
    // Behind a position it holds for the rows that follow a reset.
    frame["id"] = json!(2);
    frame["from"] = json!("9000000000000000000");
    socket.send(&frame);
    let kinds = [socket.next(), socket.next()].map(|frame| frame["type"].clone());
    assert_eq!(kinds, ["reset", "subscribed"]);
    assert_eq!(
        changes(&socket.next()),
        ["snapshot 4,a,x", "snapshot 5,a,x", "ready"]
    );
    frame["id"] = json!(3);
    frame["last_rows"] = json!(-1);
    socket.send(&frame);
    assert_eq!(socket.next()["error"]["code"], "08P01");
}

#[test]
fn what_resumed_begins_again_as_its_statement_says() {
    let server = server();
    let peer = server.peer();
    peer.run("INSERT INTO chat.messages SELECT g, '7', 'x' FROM generate_series(1, 5) g;");
    let newest = peer.value("SELECT max(_seq) FROM chat.messages");
    let mut socket = server.web().hello();
    let mut resume = |id: u64, sql: &str, params: Value| {
        let mut frame = json!({"type": "subscribe", "id": id, "sql": sql, "params": params});
        (frame["from"], frame["credit"]) = (json!(newest), json!(9));
        socket.send(&frame);
        let subscribed = socket.next();
        assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
        assert_eq!(changes(&socket.next()), ["ready"]);
    };
    // The position of the frame stands for that of the options, whose parameters are there all the same.
    resume(
        1,
        "SUBSCRIBE TO chat.inbox OPTIONS (from = $1)",
        json!(["0"]),
    );
    // One sees other columns then, the other other rows.
    let sql =
        "SUBSCRIBE TO (SELECT id, room FROM chat.messages) WHERE room = $1 OPTIONS (last_rows = 2)";
    resume(2, sql, json!(["7"]));
    let sql = "SUBSCRIBE TO (SELECT id FROM chat.messages) WHERE id > $1 OPTIONS (last_rows = $2)";
    resume(3, sql, json!([3, 9]));
    peer.run("ALTER TABLE chat.messages ALTER COLUMN room TYPE int8 USING room::int8 * id;");
    let mut kinds = Vec::new();
    let mut rows = Vec::new();
    while rows.len() < 5 {
        let frame = socket.next();
        match frame["type"].as_str() {
            Some("batch") => rows.extend(changes(&frame)),
            kind => kinds.push(format!("{} {}", frame["id"], kind.unwrap_or_default())),
        }
    }
    kinds.sort();
    assert_eq!(
        kinds,
        ["2 reset", "2 subscribed", "3 reset", "3 subscribed"]
    );
    rows.sort();
    let expected = ["ready", "ready", "snapshot 1,7", "snapshot 4", "snapshot 5"];
    assert_eq!(rows, expected);
}

#[test]
fn limits_of_a_socket() {
    let server = server();
    let mut socket = server.web().hello();
    for id in 0..1001 {
        subscribe(&mut socket, id, "SUBSCRIBE TO chat.messages", 0);
    }
    let mut subscribed = 0;
    let mut refused = Vec::new();
    while subscribed + refused.len() < 1001 {
        let frame = socket.next();
        match frame["type"].as_str() {
            Some("subscribed") => subscribed += 1,
            _ => refused.push(frame["error"]["code"].as_str().unwrap().to_string()),
        }
    }
    assert_eq!((subscribed, refused), (1000, vec!["53300".to_string()]));
    socket.send(&json!({"type": "unsubscribe", "id": 500}));
    assert_eq!(socket.next()["type"], "unsubscribed");
    subscribe(&mut socket, 2000, "SUBSCRIBE TO chat.messages", 0);
    assert_eq!(socket.next()["type"], "subscribed");
}

#[test]
fn a_client_without_credit_gets_nothing_and_the_others_feel_nothing() {
    let server = server();
    let mut socket = server.web().hello();
    subscribe(&mut socket, 1, "SUBSCRIBE TO chat.messages", 1);
    subscribe(&mut socket, 2, "SUBSCRIBE TO chat.messages", 1_000_000);
    let mut ready = 0;
    while ready < 2 {
        ready += usize::from(socket.next()["type"] == "batch");
    }
    let body = "x".repeat(1000);
    for n in 0..20 {
        let insert = format!(
            "INSERT INTO chat.messages SELECT {n} * 500 + g, 'r', '{body}' FROM generate_series(1, 500) g;"
        );
        server.peer().run(&insert);
    }
    // Ten megabytes pass by the one that waits.
    let mut seen = 0;
    while seen < 10_000 {
        let frame = socket.next();
        assert_eq!(frame["id"], 2, "{}", frame["type"]);
        seen += changes(&frame).len();
        assert!(frame.to_string().len() < 100_000, "a batch is bounded");
    }
    for _ in 0..3 {
        socket.send(&json!({"type": "credit", "id": 1, "batches": 1}));
        assert_eq!(socket.next()["id"], 1);
    }
    socket.send(&json!({"type": "credit", "id": 1, "batches": 1_000_000}));
    let mut last = 0;
    while last < 10_000 {
        let frame = socket.next();
        for change in frame["changes"].as_array().unwrap() {
            let id: i64 = change["row"][0].as_str().unwrap().parse().unwrap();
            assert!(id > last, "in order, each once: {id} after {last}");
            last = id;
        }
    }
}

#[test]
fn a_cancelled_statement_says_so() {
    let server = server();
    let mut socket = server.web().hello();
    let endless =
        "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b";
    socket.send(&json!({"type": "query", "id": 1, "sql": endless}));
    let (rows, _) = query(&mut socket, 2, "SELECT 2", json!([]));
    assert_eq!(rows, [json!([2])]);
    socket.send(&json!({"type": "cancel", "id": 1}));
    loop {
        let frame = socket.next_of(1);
        if frame["type"] == "error" {
            assert_eq!(frame["error"]["code"], "57014");
            break;
        }
    }
}

/// Memory of the server process in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap()
}

#[test]
fn a_client_that_reads_nothing_costs_no_memory() {
    let server = server();
    let mut stalled: Vec<Socket> = (0..4)
        .map(|_| {
            let mut socket = server.web().hello();
            subscribe(&mut socket, 1, "SUBSCRIBE TO chat.messages", 1_000_000);
            socket
        })
        .collect();
    let streams: Vec<_> = (0..4)
        .map(|_| {
            server
                .web()
                .live("SUBSCRIBE TO chat.messages")
                .expect("it can be followed")
        })
        .collect();
    let body = "y".repeat(4000);
    let write = |from: i32| {
        let insert = format!(
            "INSERT INTO chat.messages SELECT {from} + g, 'r', '{body}' FROM generate_series(1, 1000) g;"
        );
        server.peer().run(&insert);
    };
    (0..5).for_each(|n| write(n * 1000));
    let before = resident_kib(&server);
    (5..25).for_each(|n| write(n * 1000));
    let after = resident_kib(&server);
    // 80 MB were written for each of eight readers; RocksDB's own buffers may grow.
    assert!(after < before + 300_000, "from {before} KiB to {after} KiB");
    drop(streams);
    let mut next = 1;
    while next <= 25_000 {
        let frame = stalled[0].next();
        for change in frame["changes"].as_array().unwrap_or(&Vec::new()) {
            if change["op"] == "insert" {
                assert_eq!(change["row"][0], next.to_string());
                next += 1;
            }
        }
    }
}

/// The table as a reader has put it together from changes.
#[derive(Default)]
struct Copy {
    rows: BTreeMap<String, Vec<Value>>,
    newest: i64,
    token: String,
}

impl Copy {
    fn apply(&mut self, op: &str, seq: i64, row: &[Value], old: Option<&Value>) {
        let key = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_string)
        };
        match op {
            "ready" => {}
            "snapshot" => drop(self.rows.insert(key(&row[0]), row.to_vec())),
            _ => {
                assert!(
                    seq > self.newest,
                    "each change once and in order: {seq} after {}",
                    self.newest
                );
                self.newest = seq;
                match op {
                    "insert" => {
                        let before = self.rows.insert(key(&row[0]), row.to_vec());
                        assert!(before.is_none(), "{row:?} came twice");
                    }
                    "update" => {
                        let before = self.rows.remove(&key(old.unwrap()));
                        assert!(before.is_some(), "{old:?} was not there");
                        self.rows.insert(key(&row[0]), row.to_vec());
                    }
                    "delete" => assert!(
                        self.rows.remove(&key(&row[0])).is_some(),
                        "{row:?} was not there"
                    ),
                    _ => panic!("{op}"),
                }
            }
        }
    }

    fn frame(&mut self, frame: &Value) {
        assert_ne!(frame["type"], "reset", "{frame}");
        for change in frame["changes"].as_array().unwrap_or(&Vec::new()) {
            let seq = change["seq"].as_str().unwrap().parse().unwrap();
            let empty = Vec::new();
            let row = change["row"].as_array().unwrap_or(&empty);
            self.apply(
                change["op"].as_str().unwrap(),
                seq,
                row,
                change.get("old").map(|old| &old[0]),
            );
        }
        if let Some(seq) = frame["seq"].as_str() {
            self.token = seq.to_string();
        }
    }
}

/// Whether the copy has the mark: a row of the table that is written last.
fn has(copy: &Copy, mark: &str) -> bool {
    copy.rows.values().any(|row| row[1] == mark)
}

/// Reads on over one door until the copy has the mark; the connection ends there.
async fn read_on(door: usize, server: &Server, copy: &mut Copy, mark: &str) {
    let sql = "SUBSCRIBE TO chat.messages";
    match door {
        0 => {
            let from = copy.token.clone();
            let mut events = server
                .web()
                .with("Last-Event-ID", &from)
                .live(sql)
                .expect("it can be followed");
            while !has(copy, mark) {
                copy.frame(&events.next().expect("the stream goes on").1);
            }
        }
        1 => {
            let mut socket = server.web().hello();
            let mut frame = json!({"type": "subscribe", "id": 1, "sql": sql, "credit": 1});
            if !copy.token.is_empty() {
                frame["from"] = json!(copy.token);
            }
            socket.send(&frame);
            while !has(copy, mark) {
                let frame = socket.next_of(1);
                copy.frame(&frame);
                if frame["type"] == "batch" {
                    socket.send(&json!({"type": "credit", "id": 1, "batches": 1}));
                }
            }
        }
        _ => {
            let mut feed = Feed::open(
                &server.peer(),
                &format!("{sql} OPTIONS (from = '{}')", copy.token),
            );
            while !has(copy, mark) {
                let change = feed.next().await;
                let row: Vec<Value> = change.row.iter().map(|value| json!(value)).collect();
                let old = change.old.map(|old| json!(old["id"].to_string()));
                copy.apply(&change.op, change.seq, &row, old.as_ref());
                copy.token = change.seq.to_string();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_goes_on_over_every_door_through_kills_and_flushes() {
    let mut server = server();
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            u64::from(now.subsec_nanos())
        });
    println!("SEED={seed}");
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut copy = Copy::default();
    for round in 0..12 {
        let mut script = String::new();
        for _ in 0..100 {
            let id = random(60);
            let text = random(1000);
            script += &match random(5) {
                0 => format!("DELETE FROM chat.messages WHERE id = {id};\n"),
                1 => format!("UPDATE chat.messages SET body = '{text}' WHERE id < {id};\n"),
                // A key that changes is an update, too.
                2 => format!(
                    "UPDATE chat.messages SET id = id + 1000 WHERE id = {id} AND NOT EXISTS (SELECT FROM chat.messages WHERE id = {id} + 1000);\n"
                ),
                _ => format!(
                    "INSERT INTO chat.messages VALUES ({id}, 'r', '{text}') ON CONFLICT (id) DO UPDATE SET body = '{text}';\n"
                ),
            };
        }
        let mark = format!("mark {round}");
        script += &format!(
            "INSERT INTO chat.messages VALUES ({}, '{mark}', '');\n",
            100_000 + round
        );
        let peer = server.peer();
        let writer = std::thread::spawn(move || peer.run(&script));
        if round % 3 == 2 {
            // Killed while it has more to say than was read, and after all was acknowledged.
            writer.join().unwrap();
            server.kill();
            server.start_again();
            read_on(1 - round % 2, &server, &mut copy, &mark).await;
        } else {
            // The first round begins over a door that needs no token.
            let door = if round == 0 { 1 } else { random(3) as usize };
            read_on(door, &server, &mut copy, &mark).await;
            writer.join().unwrap();
        }
        if round % 4 == 3 {
            server.peer().run("CALL tidelog.flush('chat.messages');");
        }
        let table = server.web().rows("SELECT * FROM chat.messages", json!([]));
        let expected: BTreeMap<String, Vec<Value>> = table
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row[0].as_str().unwrap().to_string(),
                    row.as_array().unwrap().clone(),
                )
            })
            .collect();
        assert_eq!(copy.rows, expected, "round {round}");
    }
}

#[test]
#[ignore = "waits a minute: scripts/test --long"]
fn a_socket_that_is_silent_is_closed_and_one_that_answers_pings_is_not() {
    let server = server();
    let mut late = server.web().socket().expect("the socket opens");
    let begun = Instant::now();
    let error = late.next();
    assert_eq!(error["error"]["code"], "08P01");
    assert_eq!(late.try_next(), Err(4408));
    assert!(
        begun.elapsed() >= Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    let mut answering = server.web().hello();
    subscribe(&mut answering, 1, "SUBSCRIBE TO chat.messages", 10);
    until(&mut answering, 1, "ready");
    let subscribed = |_| {
        let mut socket = server.web().hello();
        subscribe(&mut socket, 1, "SUBSCRIBE TO chat.messages", 10);
        until(&mut socket, 1, "ready");
        socket
    };
    let silent: Vec<Socket> = (0..3).map(subscribed).collect();
    let writer = {
        let peer = server.peer();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(85));
            peer.run("INSERT INTO chat.messages VALUES (1, 'still', 'here');");
        })
    };
    assert_eq!(until(&mut answering, 1, "insert 1,still,here").len(), 1);
    writer.join().unwrap();
    for mut socket in silent {
        // It has pings to read before the end; answering them now is too late. Its subscription was not ended by it, and
        // it is not told so: it goes on over another socket.
        let next = socket.try_next();
        assert!(next.is_err(), "{next:?}");
    }
}

#[test]
fn sockets_are_told_when_the_server_stops() {
    let mut server = server();
    let mut socket = server.web().hello();
    subscribe(&mut socket, 1, "SUBSCRIBE TO chat.messages", 10);
    until(&mut socket, 1, "ready");
    let reader = std::thread::spawn(move || {
        let error = socket.next();
        assert_eq!(
            (&error["id"], &error["error"]["code"]),
            (&json!(1), &json!("57P01"))
        );
        assert_eq!(socket.try_next(), Err(1001));
    });
    assert!(server.terminate().success());
    reader.join().unwrap();
    server.start_again();
    wait_for("a socket after the restart", || {
        let again: Web = server.web();
        again.socket().is_ok().then_some(())
    });
}

#[test]
fn a_frame_that_cannot_be_read_ends_nothing_else() {
    let server = server();
    let mut socket = server.web().hello();
    subscribe(&mut socket, 1, "SUBSCRIBE TO chat.messages", 100);
    assert_eq!(until(&mut socket, 1, "ready"), ["ready"]);
    let sql = "SUBSCRIBE TO chat.messages";
    for (frame, code) in [
        (
            json!({"type": "subscribe", "id": 2, "sql": sql, "credit": 1, "from": "zz"}),
            "22P02",
        ),
        (
            json!({"type": "subscribe", "id": 2, "sql": sql, "credit": 1, "from": "-1"}),
            "22023",
        ),
        (
            json!({"type": "subscribe", "id": 2, "sql": sql, "credit": 1, "from": 5}),
            "08P01",
        ),
        (
            json!({"type": "subscribe", "id": 2, "sql": sql, "credit": 1, "window": 5}),
            "08P01",
        ),
        (json!({"type": "subscribe", "id": 2, "sql": sql}), "08P01"),
        (json!({"type": "query", "id": 2, "sql": 7}), "08P01"),
        (json!({"type": "fly", "id": 2}), "08P01"),
        (json!({"id": 2}), "08P01"),
    ] {
        socket.send(&frame);
        let error = socket.next_of(2);
        assert_eq!(
            (&error["type"], &error["error"]["code"]),
            (&json!("error"), &json!(code)),
            "{frame}"
        );
    }
    // Values that nobody can hold do not hide the id.
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for (params, code) in [("[\"\\ud83d\"]", "22021"), (deep.as_str(), "54001")] {
        socket.send_text(&format!(
            "{{\"type\":\"query\",\"id\":2,\"sql\":\"SELECT $1::jsonb\",\"params\":{params}}}"
        ));
        let error = socket.next_of(2);
        assert_eq!(
            (&error["type"], &error["error"]["code"]),
            (&json!("error"), &json!(code))
        );
    }
    // The id is free, and what runs goes on.
    let (rows, _) = query(&mut socket, 2, "SELECT 2", json!([]));
    assert_eq!(rows, [json!([2])]);
    server
        .peer()
        .run("INSERT INTO chat.messages VALUES (1, 'a', 'x')");
    assert_eq!(until(&mut socket, 1, "insert 1,a,x"), ["insert 1,a,x"]);
    // Where it has no id of its own, nobody knows what it would be about; what runs is not told that it failed.
    socket.send(&json!({"type": "query", "id": 3, "sql": "SELECT pg_sleep(5)"}));
    socket.send(&json!({"type": "fly", "id": 3}));
    only_the_socket_ends(&mut socket);
    // So it is with a statement under an id in use.
    let mut socket = server.web().hello();
    let sleep = json!({"type": "query", "id": 1, "sql": "SELECT pg_sleep(5)"});
    socket.send(&sleep);
    socket.send(&sleep);
    only_the_socket_ends(&mut socket);
}

#[test]
fn a_cancel_right_behind_its_statement_is_heard() {
    let server = server();
    let mut socket = server.web().hello();
    let begun = Instant::now();
    for id in 0..20 {
        socket.send(&json!({"type": "query", "id": id, "sql": "SELECT pg_sleep(60)"}));
        socket.send(&json!({"type": "cancel", "id": id}));
    }
    for id in 0..20 {
        let mut frame = socket.next_of(id);
        while frame["type"] == "columns" {
            frame = socket.next_of(id);
        }
        assert_eq!(frame["error"]["code"], "57014");
    }
    assert!(begun.elapsed() < Duration::from_secs(50));
}

/// The socket is closed for a malformed frame, and no statement on it is told that it failed.
fn only_the_socket_ends(socket: &mut Socket) {
    let mut errors = Vec::new();
    let code = loop {
        match socket.try_next() {
            Ok(frame) if frame["type"] == "error" => errors.push(frame),
            Ok(_) => {}
            Err(code) => break code,
        }
    };
    assert_eq!(code, 4400);
    let [error] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert_eq!(error["error"]["code"], "08P01");
    assert_eq!(error["id"], Value::Null);
}
