//! `scripts/bench live`: how long a commit takes to its subscribers, what an idle subscriber costs, and what a thousand idle
//! listeners cost the writers; beside PostgreSQL 15 with a trigger that notifies, and Redis's pub/sub as the limit for
//! plain fan-out.
//!
//! Each message holds the time it was sent at, and every reader is a task of this process with a socket of its own. The
//! next message is sent when all readers have the one before.

#[path = "live/idle.rs"]
mod idle;

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidelog_compat_tests::process::{signal, wait_for};
use tidelog_compat_tests::{Peer, Postgres, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Writers of the throughput measurement.
const WRITERS: usize = 16;
const WRITING: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
const IDLE_LISTENERS: usize = 1000;

/// Readers, and messages to each.
const FAN_OUT: [(usize, u64); 5] = [(1, 1000), (10, 1000), (100, 300), (1000, 60), (10_000, 12)];

/// A Redis that keeps nothing.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// `None` when it is not installed.
    fn start() -> Option<Redis> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.args(["--maxclients", "12000", "--daemonize", "no"]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        wait_for("Redis to be ready", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Redis { child, port })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        signal(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

fn now_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is past 1970").as_micros() as u64
}

/// What is sent: the time between two signs that nothing else in the stream has.
fn message() -> String {
    format!("@{}@", now_us())
}

/// What all readers of one measurement share.
#[derive(Default)]
struct Received {
    count: AtomicU64,
    latencies: std::sync::Mutex<Vec<u32>>,
}

/// A connection to a server, before its messages are counted.
struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Socket {
    async fn open(port: u16) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.expect("the server takes a connection");
        stream.set_nodelay(true).expect("a socket");
        let buffer = Vec::new();
        Socket { stream, buffer }
    }

    /// Sends bytes and waits for the answer that holds `until`.
    async fn say(&mut self, bytes: &[u8], until: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the server reads");
        self.buffer.clear();
        while !self.buffer.windows(until.len()).any(|part| part == until) {
            let read = self.stream.read_buf(&mut self.buffer).await;
            assert!(
                read.expect("the server answers") > 0,
                "the server hung up: {}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Counts what comes from now on, and says `alive` every ten seconds if that is needed.
    fn read(self, received: Arc<Received>, alive: Option<Vec<u8>>) -> Reader {
        let mut stream = self.stream;
        Reader(tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(1024);
            let mut ticks = tokio::time::interval(Duration::from_secs(10));
            loop {
                tokio::select! {
                    read = stream.read_buf(&mut buffer) => if !matches!(read, Ok(1..)) { return },
                    _ = ticks.tick() => if let Some(alive) = &alive {
                        stream.write_all(alive).await.expect("the server reads");
                    },
                }
                received.take(&mut buffer);
            }
        }))
    }
}

/// A socket that reads messages until it is dropped.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Received {
    /// Counts the messages in what was read, and takes them out.
    fn take(&self, buffer: &mut Vec<u8>) {
        let now = now_us();
        let sign = |from: usize| Some(from + buffer[from..].iter().position(|byte| *byte == b'@')?);
        let (mut done, mut latencies) = (0, Vec::new());
        while let Some(begin) = sign(done)
            && let Some(end) = sign(begin + 1)
        {
            let sent = std::str::from_utf8(&buffer[begin + 1..end]).ok();
            let sent: Option<u64> = sent.and_then(|sent| sent.parse().ok());
            let Some(sent) = sent else {
                // A byte of a length.
                done = begin + 1;
                continue;
            };
            latencies.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
            done = end + 1;
        }
        buffer.drain(..done);
        self.count
            .fetch_add(latencies.len() as u64, Ordering::Relaxed);
        self.latencies
            .lock()
            .expect("nobody panics")
            .extend(latencies);
    }
}

fn startup() -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    body.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    let mut message = ((body.len() + 4) as u32).to_be_bytes().to_vec();
    message.extend(body);
    message
}

fn query(sql: &str) -> Vec<u8> {
    let mut message = vec![b'Q'];
    message.extend_from_slice(&((sql.len() + 5) as u32).to_be_bytes());
    message.extend_from_slice(sql.as_bytes());
    message.push(0);
    message
}

const READY_FOR_QUERY: &[u8] = b"Z\0\0\0\x05I";

/// Readers by a statement of each, `until` which its answer goes.
async fn pg_readers(
    port: u16,
    count: usize,
    statement: impl Fn(usize) -> String,
    until: &[u8],
    received: &Arc<Received>,
) -> Vec<Reader> {
    let mut readers = Vec::with_capacity(count);
    for n in 0..count {
        let mut socket = Socket::open(port).await;
        socket.say(&startup(), READY_FOR_QUERY).await;
        socket.say(&query(&statement(n)), until).await;
        readers.push(socket.read(received.clone(), None));
    }
    readers
}

/// Sends messages one after the other; gives the median and the 99th percentile of all receptions, in milliseconds.
async fn fan_out(
    readers: usize,
    messages: u64,
    received: &Received,
    mut send: impl AsyncFnMut(),
) -> [f64; 2] {
    for n in 0..messages + 2 {
        if n == 2 {
            // The first ones warm up.
            received.latencies.lock().expect("nobody panics").clear();
        }
        let wanted = received.count.load(Ordering::Relaxed) + readers as u64;
        send().await;
        let begun = Instant::now();
        while received.count.load(Ordering::Relaxed) < wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "a message did not reach all {readers} readers"
            );
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut all = std::mem::take(&mut *received.latencies.lock().expect("nobody panics"));
    all.sort_unstable();
    let at = |part: f64| f64::from(all[((all.len() - 1) as f64 * part) as usize]) / 1000.0;
    [at(0.5), at(0.99)]
}

fn resident_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    super::kilobytes(&status, "VmRSS:")
}

fn shown(latency: Option<[f64; 2]>) -> String {
    latency.map_or("–".to_string(), |[p50, p99]| {
        format!("{p50:.2} / {p99:.2}")
    })
}

/// The parts, in the order in which they run.
pub(crate) const PARTS: [&str; 4] = ["latency", "writers", "memory", "sockets"];

/// Runs these parts, or all.
pub(crate) async fn run(parts: &[String]) {
    for part in PARTS {
        if !parts.is_empty() && parts.iter().all(|wanted| wanted != part) {
            continue;
        }
        println!("\n### {part}\n");
        match part {
            "latency" => latency().await,
            "writers" => writers().await,
            "memory" => println!("{}", idle::memory().await),
            _ => println!("{}", idle::many_on_a_socket().await),
        }
    }
}

/// Both servers, with tables that PostgreSQL tells of by a trigger.
fn servers() -> (Server, Postgres) {
    let tide = Server::start_with(&["--max-connections", "12000"]);
    let pg = Postgres::start_with(&["max_connections=1200"]);
    tide.peer().run("CREATE TABLE t (id int8 PRIMARY KEY, body text); CREATE TABLE w (id int8 PRIMARY KEY, body text);");
    pg.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text); CREATE TABLE w (id int8 PRIMARY KEY, body text);
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_notify('t', NEW.body); RETURN NULL; END $$;
         CREATE TRIGGER tell AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();
         CREATE TRIGGER tell AFTER INSERT ON w FOR EACH ROW EXECUTE FUNCTION tell();",
    );
    (tide, pg)
}

async fn latency() {
    let (tide, pg) = servers();
    let redis = Redis::start();
    if redis.is_none() {
        eprintln!("redis-server is not installed: its columns stay empty");
    }
    let mut report = String::from(
        "| readers | SUBSCRIBE, one statement | the same, the INSERT not synced | SUBSCRIBE, each its own | LISTEN, Tidelog | LISTEN and trigger, PostgreSQL 15 | Redis pub/sub | a sync alone |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut next = 0_i64;
    let most = std::env::var("READERS").ok();
    let most = most.map_or(usize::MAX, |most| {
        most.parse().expect("READERS is a number")
    });
    for (readers, messages) in FAN_OUT.into_iter().filter(|(readers, _)| *readers <= most) {
        let mut cells = Vec::new();
        for (distinct, synced) in [(false, "on"), (false, "off"), (true, "on")] {
            let statement = |n: usize| match distinct {
                false => "SUBSCRIBE TO t OPTIONS (snapshot = false)".to_string(),
                true => format!(
                    "SUBSCRIBE TO t WHERE id > -{} OPTIONS (snapshot = false)",
                    n + 1
                ),
            };
            let received = Arc::new(Received::default());
            let sockets = pg_readers(tide.pg_port(), readers, statement, b"ready", &received).await;
            let writer = tide.peer().connect().await;
            let set = format!("SET synchronous_commit = {synced}");
            writer.batch_execute(&set).await.expect("it is set");
            cells.push(Some(
                inserted(&writer, readers, messages, &received, &mut next).await,
            ));
            drop(sockets);
            settle().await;
        }
        let received = Arc::new(Received::default());
        let statement = |_| "LISTEN t".to_string();
        let sockets = pg_readers(
            tide.pg_port(),
            readers,
            statement,
            READY_FOR_QUERY,
            &received,
        )
        .await;
        cells.push(Some(
            notified(&tide.peer(), readers, messages, &received).await,
        ));
        drop(sockets);
        settle().await;
        cells.push(match readers <= 1000 {
            true => {
                let received = Arc::new(Received::default());
                let sockets = pg_readers(
                    pg.peer().port,
                    readers,
                    statement,
                    READY_FOR_QUERY,
                    &received,
                )
                .await;
                let writer = pg.peer().connect().await;
                let latency = inserted(&writer, readers, messages, &received, &mut next).await;
                drop(sockets);
                settle().await;
                Some(latency)
            }
            false => None,
        });
        cells.push(match &redis {
            Some(redis) => {
                let received = Arc::new(Received::default());
                let mut sockets = Vec::with_capacity(readers);
                for _ in 0..readers {
                    let mut socket = Socket::open(redis.port).await;
                    socket.say(b"SUBSCRIBE t\r\n", b":1\r\n").await;
                    sockets.push(socket.read(received.clone(), None));
                }
                let mut publisher = TcpStream::connect(("127.0.0.1", redis.port))
                    .await
                    .expect("Redis runs");
                publisher.set_nodelay(true).expect("a socket");
                let send = async || {
                    let line = format!("PUBLISH t {}\r\n", message());
                    publisher
                        .write_all(line.as_bytes())
                        .await
                        .expect("Redis reads");
                    let mut answer = [0; 64];
                    let _ = publisher.read(&mut answer).await.expect("Redis answers");
                };
                Some(fan_out(readers, messages, &received, send).await)
            }
            None => None,
        });
        let syncs = tokio::task::spawn_blocking(move || syncs(messages)).await;
        cells.push(Some(syncs.expect("the disk takes it")));
        let cells: Vec<String> = cells.into_iter().map(shown).collect();
        writeln!(report, "| {readers} | {} |", cells.join(" | ")).expect("a String takes all");
        println!("{}", report.lines().last().unwrap_or_default());
    }
    println!(
        "\nfrom sending the INSERT or NOTIFY to a reader's socket, p50 / p99 in ms\n\n{report}"
    );
}

/// Connections that were cut are gone before the next measurement.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// What the disk takes for as many records, of about the size of a commit's: appended to a file and synced.
fn syncs(records: u64) -> [f64; 2] {
    use std::io::Write;
    let mut file = tempfile::tempfile().expect("a file");
    let mut times: Vec<f64> = (0..records)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            let begun = Instant::now();
            file.write_all(&[7; 200]).expect("the file takes it");
            file.sync_data().expect("the file is synced");
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    [at(0.5), at(0.99)]
}

async fn inserted(
    client: &tokio_postgres::Client,
    readers: usize,
    messages: u64,
    received: &Received,
    next: &mut i64,
) -> [f64; 2] {
    let insert = client
        .prepare("INSERT INTO t VALUES ($1, $2)")
        .await
        .expect("it parses");
    let send = async || {
        *next += 1;
        client
            .execute(&insert, &[&*next, &message()])
            .await
            .expect("it is inserted");
    };
    fan_out(readers, messages, received, send).await
}

async fn notified(peer: &Peer, readers: usize, messages: u64, received: &Received) -> [f64; 2] {
    let client = peer.connect().await;
    let notify = client
        .prepare("SELECT pg_notify('t', $1)")
        .await
        .expect("it parses");
    let send = async || {
        client
            .query(&notify, &[&message()])
            .await
            .expect("it is told");
    };
    fan_out(readers, messages, received, send).await
}

/// What it is called, where it runs, what writers say, what listeners say, and up to where they are answered.
type Case = (
    &'static str,
    Peer,
    &'static str,
    fn(usize) -> String,
    &'static [u8],
);

/// Commits a second with and without a thousand idle listeners.
async fn writers() {
    let (tide, pg) = servers();
    let mut report = String::from(
        "| 16 writers, synced, commits/s | no listener | 1,000 idle listeners | ratio |\n|---|---:|---:|---:|\n",
    );
    let cases: [Case; 5] = [
        (
            "Tidelog, INSERT; 1,000 SUBSCRIBEs of another table",
            tide.peer(),
            "INSERT INTO w VALUES ($1, $2)",
            |_| "SUBSCRIBE TO t OPTIONS (snapshot = false)".to_string(),
            b"ready",
        ),
        (
            "Tidelog, INSERT; 1,000 SUBSCRIBEs of the table that nothing matches",
            tide.peer(),
            "INSERT INTO w VALUES ($1, $2)",
            |_| "SUBSCRIBE TO w WHERE id < 0 OPTIONS (snapshot = false)".to_string(),
            b"ready",
        ),
        (
            "Tidelog, INSERT; 1,000 SUBSCRIBEs of rows of their own, none of which comes",
            tide.peer(),
            "INSERT INTO w VALUES ($1, $2)",
            |n| format!("SUBSCRIBE TO w WHERE id = -{n} OPTIONS (snapshot = false)"),
            b"ready",
        ),
        (
            "Tidelog, INSERT and pg_notify; LISTENs of other channels",
            tide.peer(),
            "INSERT INTO w SELECT $1, $2 || pg_notify('w', 'x')",
            |n| format!("LISTEN other{n}"),
            READY_FOR_QUERY,
        ),
        (
            "PostgreSQL 15, INSERT and trigger; LISTENs of other channels",
            pg.peer(),
            "INSERT INTO w VALUES ($1, $2)",
            |n| format!("LISTEN other{n}"),
            READY_FOR_QUERY,
        ),
    ];
    for (name, peer, statement, listen, until) in cases {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(rate(&peer, statement).await);
            let received = Arc::new(Received::default());
            let sockets = pg_readers(peer.port, IDLE_LISTENERS, listen, until, &received).await;
            beside.push(rate(&peer, statement).await);
            drop(sockets);
            settle().await;
        }
        let (alone, beside) = (super::median(&mut alone), super::median(&mut beside));
        writeln!(
            report,
            "| {name} | {alone:.0} | {beside:.0} | {:.2} |",
            beside / alone
        )
        .expect("a String takes all");
    }
    println!("{report}");
}

async fn rate(peer: &Peer, statement: &str) -> f64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let client = peer.connect().await;
        let insert = client.prepare(statement).await.expect("it parses");
        let stop = stop.clone();
        tasks.push(tokio::spawn(async move {
            let mut done = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let id = NEXT.fetch_add(1, Ordering::Relaxed) as i64;
                client
                    .execute(&insert, &[&id, &"some words of a message"])
                    .await
                    .expect("it is inserted");
                done += 1;
            }
            done
        }));
    }
    let begun = Instant::now();
    tokio::time::sleep(WRITING).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("a writer does not panic");
    }
    done as f64 / begun.elapsed().as_secs_f64()
}
