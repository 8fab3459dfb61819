//! What idle connections and subscriptions cost the server in memory, and 100,000 subscriptions over 1,000 WebSockets.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use tidelog_compat_tests::Server;

use super::{READY_FOR_QUERY, Received, Socket, inserted, query, resident_kib, shown, startup};

/// Connections of each measurement: the server gets its memory from the system in pieces of 2 MiB.
const CONNECTIONS: usize = 4000;
/// What these need, which come first, is not counted: the allocator has its pages by then.
const FIRST: usize = 500;
/// WebSockets, and subscriptions on each.
const WEB_SOCKETS: usize = 1000;
const ON_EACH: usize = 100;
const SOME_ON_EACH: usize = 40;
/// Messages that all of these get.
const MESSAGES: u64 = 5;

/// A server with the table `t`.
fn server() -> Server {
    let server = Server::start_with(&["--max-connections", "12000"]);
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY, body text);");
    server
}

async fn web_sockets(server: &Server, count: usize) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = Socket::open(server.http_port()).await;
        socket.say(HANDSHAKE, b"\r\n\r\n").await;
        socket.say(&frame(HELLO), b"welcome").await;
        sockets.push(socket);
    }
    sockets
}

type Statement<'a> = &'a dyn Fn(usize) -> Option<String>;

async fn pg_sockets(server: &Server, numbers: Range<usize>, sql: Statement<'_>) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(numbers.len());
    for n in numbers {
        let mut socket = Socket::open(server.pg_port()).await;
        socket.say(&startup(), READY_FOR_QUERY).await;
        match sql(n) {
            Some(sql) if sql.starts_with("LISTEN") => {
                socket.say(&query(&sql), READY_FOR_QUERY).await;
            }
            Some(sql) => socket.say(&query(&sql), b"ready").await,
            None => {}
        }
        sockets.push(socket);
    }
    sockets
}

const HANDSHAKE: &[u8] =
    b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
const HELLO: &str =
    r#"{"type":"hello","version":1,"auth":{"type":"basic","user":"postgres","password":""}}"#;

/// A text frame of a client, whose mask changes nothing.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short @ ..=125) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            let length = u16::try_from(text.len()).expect("frames of the bench are short");
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn one(_: usize) -> String {
    "SUBSCRIBE TO t OPTIONS (snapshot = false)".to_string()
}

fn its_own(n: usize) -> String {
    format!(
        "SUBSCRIBE TO t WHERE id > -{} OPTIONS (snapshot = false)",
        n + 1
    )
}

/// Subscribes on a WebSocket, with credit for more than the bench sends.
async fn subscribe(socket: &mut Socket, id: usize, sql: &str) {
    let text = format!(r#"{{"type":"subscribe","id":{id},"sql":"{sql}","credit":1000}}"#);
    socket.say(&frame(&text), b"\"ready\"").await;
}

/// Server memory of each kind of idle client, each on a server of its own.
pub(super) async fn memory() -> String {
    let mut report = String::from("| idle client | KiB of server memory |\n|---|---:|\n");
    let mut add = |what: &str, kib: f64| {
        writeln!(report, "| {what} | {kib:.1} |").expect("a String takes all");
    };
    let kinds: [(&str, Statement<'_>); 4] = [
        ("PostgreSQL connection", &|_| None),
        ("the same with SUBSCRIBE, one statement for all", &|n| {
            Some(one(n))
        }),
        ("the same with SUBSCRIBE, each its own statement", &|n| {
            Some(its_own(n))
        }),
        ("the same with LISTEN", &|_| Some("LISTEN t".to_string())),
    ];
    for (what, sql) in kinds {
        let server = server();
        let first = pg_sockets(&server, 0..FIRST, sql).await;
        let before = resident_kib(server.pid());
        let sockets = pg_sockets(&server, FIRST..FIRST + CONNECTIONS, sql).await;
        add(
            what,
            (resident_kib(server.pid()) - before) / CONNECTIONS as f64,
        );
        drop((first, sockets));
    }
    for (what, statement) in [
        ("one statement for all", one as fn(usize) -> String),
        ("each its own statement", its_own),
    ] {
        let server = server();
        let mut first = web_sockets(&server, FIRST).await;
        let mut n = 0;
        let mut subscribe_all = async |sockets: &mut [Socket]| {
            for id in 0..SOME_ON_EACH {
                for socket in &mut *sockets {
                    subscribe(socket, id, &statement(n)).await;
                    n += 1;
                }
            }
        };
        subscribe_all(&mut first).await;
        let before = resident_kib(server.pid());
        let mut sockets = web_sockets(&server, WEB_SOCKETS).await;
        let open = resident_kib(server.pid());
        add("WebSocket", (open - before) / WEB_SOCKETS as f64);
        subscribe_all(&mut sockets).await;
        let what = format!("a subscription on it, {what}");
        let all = WEB_SOCKETS * SOME_ON_EACH;
        add(&what, (resident_kib(server.pid()) - open) / all as f64);
        drop((first, sockets));
    }
    report
}

/// A message to every one of 100,000 subscriptions.
pub(super) async fn many_on_a_socket() -> String {
    let server = server();
    let received = Arc::new(Received::default());
    let before = resident_kib(server.pid());
    let mut readers = Vec::with_capacity(WEB_SOCKETS);
    for _ in 0..WEB_SOCKETS {
        // One after the other: a socket that says nothing for a minute is taken for gone.
        let mut socket = web_sockets(&server, 1).await.remove(0);
        for id in 0..ON_EACH {
            subscribe(&mut socket, id, &one(id)).await;
        }
        readers.push(socket.read(received.clone(), Some(frame(r#"{"type":"ping"}"#))));
    }
    let all = WEB_SOCKETS * ON_EACH;
    let kib = (resident_kib(server.pid()) - before) / all as f64;
    let writer = server.peer().connect().await;
    let latency = inserted(&writer, all, MESSAGES, &received, &mut 0).await;
    format!(
        "{all} subscriptions over {WEB_SOCKETS} WebSockets: {kib:.1} KiB of server memory each, \
         a message to all of them {} ms (p50 / p99)",
        shown(Some(latency))
    )
}
