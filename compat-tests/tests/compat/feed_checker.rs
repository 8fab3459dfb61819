//! The feed checker: while writers write, the table is flushed and trimmed, readers stall and drop their connections, and
//! the server is killed, what each subscriber has reconstructed is the table as each transaction left it. A reader comes back
//! through any of the doors (PostgreSQL's protocol, Server-Sent Events, WebSocket) with the token that another one gave.
//!
//! Each writer has keys of its own and knows what they hold after each of its transactions; the last change of a
//! transaction writes its number into the writer's marker row. So a subscriber that has seen a transaction's end knows which
//! state of that writer's keys it must have, and that the numbers come one after the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidelog_compat_tests::{Peer, Server};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use arriving::{Arriving, Door, Line};

#[path = "feed_checker/arriving.rs"]
mod arriving;

const WRITERS: i64 = 4;
/// Keys of one writer.
const KEYS: u64 = 300;
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Small numbers from a seed (xorshift64*).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// What stands for a row in the digest of a set of rows, which is their sum.
fn hash(id: i64, n: i64) -> u64 {
    let mut hash =
        Random((id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (n as u64).rotate_left(32) | 1);
    hash.below(u64::MAX >> 33).wrapping_mul(0x9E37_79B9) ^ hash.0
}

/// Keys below this are those that [`View::Keys`] asks for.
const ASKED_KEYS: i64 = 90;

/// What subscribers look at. All of them show the markers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    All,
    Even,
    /// Rows of some keys, by which the server finds who is concerned.
    Keys,
}

impl View {
    const ALL: [View; 3] = [View::All, View::Even, View::Keys];

    fn shows(self, id: i64, n: i64) -> bool {
        match self {
            View::All => true,
            View::Even => n % 2 == 0,
            View::Keys => id < ASKED_KEYS,
        }
    }

    /// What is subscribed to.
    fn query(self) -> String {
        match self {
            View::All => "t".to_string(),
            View::Even => "(SELECT id, n FROM t) WHERE n % 2 = 0".to_string(),
            View::Keys => {
                let keys: Vec<String> = (-WRITERS..ASKED_KEYS).map(|id| id.to_string()).collect();
                format!("t WHERE id IN ({})", keys.join(", "))
            }
        }
    }
}

/// The digest of some rows, as each view shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest([u64; View::ALL.len()]);

impl Digest {
    fn add(&mut self, id: i64, n: i64) {
        self.change(id, n, u64::wrapping_add);
    }

    fn take(&mut self, id: i64, n: i64) {
        self.change(id, n, u64::wrapping_sub);
    }

    fn change(&mut self, id: i64, n: i64, combine: fn(u64, u64) -> u64) {
        for view in View::ALL {
            if view.shows(id, n) {
                let digest = &mut self.0[view as usize];
                *digest = combine(*digest, hash(id, n));
            }
        }
    }
}

/// Where the server is, and whether the writers are through.
struct Stage {
    port: AtomicU16,
    http_port: AtomicU16,
    done: AtomicBool,
    changes: AtomicU64,
}

impl Stage {
    async fn connect(&self) -> Client {
        let begun = Instant::now();
        loop {
            let peer = Peer::superuser(self.port.load(Ordering::Relaxed));
            if let Ok(client) = peer.try_connect().await {
                return client;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not come back");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn enter(&self, server: &Server) {
        self.port.store(server.pg_port(), Ordering::Relaxed);
        self.http_port.store(server.http_port(), Ordering::Relaxed);
    }
}

fn marker(writer: i64) -> i64 {
    -(writer + 1)
}

/// One writer's rows, as it knows them.
#[derive(Clone, Default)]
struct Known {
    rows: BTreeMap<i64, i64>,
    digest: Digest,
}

impl Known {
    fn put(&mut self, id: i64, n: i64) {
        self.remove(id);
        self.rows.insert(id, n);
        self.digest.add(id, n);
    }

    fn remove(&mut self, id: i64) {
        if let Some(n) = self.rows.remove(&id) {
            self.digest.take(id, n);
        }
    }
}

/// Adds a statement to a script and makes its change; how many rows it changes.
fn change(random: &mut Random, writer: i64, known: &mut Known, script: &mut String) -> u64 {
    let mut key = || random.below(KEYS) as i64 * WRITERS + writer;
    let (id, other) = (key(), key());
    let n = random.below(1_000_000) as i64;
    let there = known.rows.contains_key(&id);
    let (statement, rows) = match (random.below(10), there) {
        (0..=4, false) => {
            known.put(id, n);
            (format!("INSERT INTO t VALUES ({id}, {n})"), 1)
        }
        (0..=4, true) => {
            known.put(id, n);
            (format!("UPDATE t SET n = {n} WHERE id = {id}"), 1)
        }
        (5, _) => {
            known.put(id, n);
            (
                format!(
                    "INSERT INTO t VALUES ({id}, {n}) ON CONFLICT (id) DO UPDATE SET n = excluded.n"
                ),
                1,
            )
        }
        (6, true) if !known.rows.contains_key(&other) => {
            let n = known.rows[&id];
            known.remove(id);
            known.put(other, n);
            (format!("UPDATE t SET id = {other} WHERE id = {id}"), 1)
        }
        (7, _) => {
            let several: Vec<(i64, i64)> = known
                .rows
                .range(id..)
                .take(20)
                .map(|(id, n)| (*id, *n))
                .collect();
            several.iter().for_each(|(id, n)| known.put(*id, n + 1));
            let ids: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
            let rows = several.len() as u64;
            (
                format!(
                    "UPDATE t SET n = n + 1 WHERE id IN ({}, -1000)",
                    ids.join(", ").trim_end_matches(", ")
                ),
                rows,
            )
        }
        _ => {
            known.remove(id);
            (format!("DELETE FROM t WHERE id = {id}"), u64::from(there))
        }
    };
    *script += &statement.replace("(, ", "(");
    *script += ";";
    rows
}

/// Makes at least so many changes; gives the digest after each of its transactions.
async fn write(
    stage: Arc<Stage>,
    mut random: Random,
    writer: i64,
    changes: u64,
) -> HashMap<i64, Digest> {
    let mut client = stage.connect().await;
    let mut known = Known::default();
    let mut digests = HashMap::new();
    let (mut made, mut number) = (0, 0_i64);
    while made < changes {
        let mut next = known.clone();
        let mut script = String::from("BEGIN;");
        let mut rows = 1;
        for _ in 0..1 + random.below(5) {
            rows += change(&mut random, writer, &mut next, &mut script);
        }
        if random.below(20) == 0 {
            let _ = client.batch_execute(&(script + "ROLLBACK")).await;
        } else {
            let id = marker(writer);
            script += &format!(
                "INSERT INTO t VALUES ({id}, {}) ON CONFLICT (id) DO UPDATE SET n = excluded.n; COMMIT",
                (number + 1) * 2
            );
            let committed = match client.batch_execute(&script).await {
                Ok(()) => true,
                Err(error)
                    if error
                        .as_db_error()
                        .is_some_and(|error| error.code().code() != "57P01") =>
                {
                    panic!("writer {writer}: {error:?}\n{script}")
                }
                // The server was killed: whether it was committed, the marker tells.
                Err(_) => {
                    client = stage.connect().await;
                    loop {
                        let found = client
                            .query_opt("SELECT n FROM t WHERE id = $1", &[&id])
                            .await;
                        match found {
                            Ok(row) => {
                                break row
                                    .is_some_and(|row| row.get::<_, i64>(0) == (number + 1) * 2);
                            }
                            Err(_) => client = stage.connect().await,
                        }
                    }
                }
            };
            if committed {
                number += 1;
                known = next;
                digests.insert(number, known.digest);
                made += rows;
                stage.changes.fetch_add(rows, Ordering::Relaxed);
            }
        }
        if client.is_closed() {
            client = stage.connect().await;
        }
    }
    digests
}

/// What one subscriber has.
struct Replica {
    view: View,
    rows: BTreeMap<i64, i64>,
    digests: [Digest; WRITERS as usize],
    /// The newest transaction seen of each writer.
    numbers: [i64; WRITERS as usize],
    /// The newest Seq up to which nothing is missing; 0 is the beginning.
    token: i64,
    /// What is to be compared with the writers: writer, transaction, digest.
    states: Vec<(i64, i64, u64)>,
    changes: u64,
    resets: u64,
    /// Connections through each door.
    connections: [u64; 3],
    marks: u64,
    /// Whether rows of a snapshot are on their way, which have no order.
    in_snapshot: bool,
}

impl Replica {
    fn new(view: View) -> Replica {
        Replica {
            view,
            rows: BTreeMap::new(),
            digests: Default::default(),
            numbers: [0; WRITERS as usize],
            token: 0,
            states: Vec::new(),
            changes: 0,
            resets: 0,
            connections: [0; 3],
            marks: 0,
            in_snapshot: false,
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.digests = Default::default();
        self.in_snapshot = true;
    }

    fn put(&mut self, id: i64, n: i64) -> bool {
        let new = self.remove(id).is_none();
        self.rows.insert(id, n);
        if id >= 0 {
            self.digests[(id % WRITERS) as usize].add(id, n);
        }
        new
    }

    fn remove(&mut self, id: i64) -> Option<i64> {
        let n = self.rows.remove(&id)?;
        if id >= 0 {
            self.digests[(id % WRITERS) as usize].take(id, n);
        }
        Some(n)
    }

    /// The number of a writer's transaction that the replica stands at.
    fn number(&self, writer: i64) -> i64 {
        self.rows.get(&marker(writer)).map_or(0, |n| n / 2)
    }

    fn note(&mut self, writer: i64) {
        let digest = self.digests[writer as usize].0[self.view as usize];
        self.states.push((writer, self.number(writer), digest));
    }

    fn take(&mut self, line: &Line) {
        let (seq, commit) = (line.seq, line.commit);
        let values = || line.row.expect("the row of a change");
        match line.op.as_str() {
            "reset" => {
                assert!(!commit);
                self.clear();
                self.resets += 1;
                return;
            }
            "snapshot" => {
                let (id, n) = values();
                assert!(
                    self.in_snapshot && self.put(id, n),
                    "row {id} twice in a snapshot"
                );
                return;
            }
            op @ ("ready" | "progress") => {
                assert!(
                    seq >= self.token,
                    "{op} goes back from {} to {seq}",
                    self.token
                );
                self.in_snapshot = false;
                self.token = seq;
                if !commit {
                    // It goes on where it was, maybe inside a transaction.
                    assert_eq!(op, "ready");
                    return;
                }
                self.marks += 1;
                for writer in 0..WRITERS {
                    let number = self.number(writer);
                    assert!(
                        number >= self.numbers[writer as usize],
                        "transactions went away"
                    );
                    self.numbers[writer as usize] = number;
                    self.note(writer);
                }
            }
            op => {
                assert!(
                    !self.in_snapshot && seq > self.token,
                    "{op} at {seq} comes after {}",
                    self.token
                );
                let (id, n) = values();
                match op {
                    "insert" => assert!(self.put(id, n), "an insert of row {id}, which is there"),
                    "update" => {
                        let (old_id, old_n) = line.old.expect("an update has a row before");
                        assert_eq!(self.remove(old_id), Some(old_n), "the row before an update");
                        assert!(self.put(id, n));
                    }
                    "delete" => assert_eq!(self.remove(id), Some(n), "the row that is deleted"),
                    other => panic!("{other}"),
                }
                self.changes += 1;
                if id < 0 {
                    // The marker is the last change of its transaction, and they come one by one.
                    let writer = -id - 1;
                    assert!(commit, "a transaction's end");
                    assert_eq!(
                        self.number(writer),
                        self.numbers[writer as usize] + 1,
                        "a gap"
                    );
                    self.numbers[writer as usize] += 1;
                    self.note(writer);
                } else {
                    assert!(!commit, "the end of a transaction that has more changes");
                }
            }
        }
        self.token = seq;
    }
}

/// How a subscriber behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Brisk,
    Slow,
    /// Does not read from its first rows until the writers are through.
    Stalled,
}

async fn follow(
    stage: Arc<Stage>,
    mut random: Random,
    view: View,
    manner: Manner,
    last: Arc<AtomicU64>,
    doors: impl Iterator<Item = Door>,
) -> Replica {
    let mut replica = Replica::new(view);
    for door in doors {
        // A snapshot that was cut off is asked for again.
        if replica.token == 0 || replica.in_snapshot {
            replica.token = 0;
            replica.clear();
        }
        // Few sizes, so that some readers of a view share what they read.
        let batch = [7, 300][random.below(2) as usize];
        let query = view.query();
        let sql =
            format!("SUBSCRIBE TO {query} OPTIONS (batch_size = {batch}, progress = '200ms')");
        let from = replica.token;
        let ports = [&stage.port, &stage.http_port].map(|port| port.load(Ordering::Relaxed));
        let from = (from > 0).then_some(from);
        let Some(mut rows) = Arriving::open(door, ports, &sql, from).await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let lifetime = match manner {
            Manner::Stalled => u64::MAX,
            _ => 20 + random.below(5000),
        };
        for taken in 0..lifetime {
            let next = timeout(PATIENCE, rows.next()).await;
            let next = next.expect("something comes, if only a progress mark");
            // Otherwise it is the end of the connection, or of the server.
            let Some(line) = next else { break };
            replica.connections[door as usize] += u64::from(taken == 0);
            replica.take(&line);
            let end = last.load(Ordering::Relaxed);
            let at_end = line.commit && stage.done.load(Ordering::Relaxed) && end > 0;
            if at_end && replica.token as u64 >= end && !replica.in_snapshot {
                return replica;
            }
            match manner {
                Manner::Slow if random.below(200) == 0 => {
                    sleep(Duration::from_millis(random.below(200))).await
                }
                Manner::Stalled if taken == 10 => {
                    while !stage.done.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(20)).await;
                    }
                }
                _ => {}
            }
        }
    }
    unreachable!("there is always another door")
}

fn memory(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default()
        .to_string();
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}

async fn check(seed: u64, changes: u64, kills: u32, subscribers: u64) {
    println!("seed {seed}");
    let begun = Instant::now();
    let mut server = Server::start();
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY, n int8) WITH (resume_window = '3s');");
    let stage = Arc::new(Stage {
        port: AtomicU16::new(server.pg_port()),
        http_port: AtomicU16::new(server.http_port()),
        done: AtomicBool::new(false),
        changes: AtomicU64::new(0),
    });
    let last = Arc::new(AtomicU64::new(0));
    let random = |n: u64| Random(seed.wrapping_mul(1_000_003).wrapping_add(n * 7919 + 1) | 1);
    let manners = [Manner::Brisk, Manner::Slow, Manner::Brisk, Manner::Stalled];
    let readers: Vec<_> = (0..subscribers)
        .map(|n| {
            let view = View::ALL[n as usize % 3];
            let manner = manners[n as usize % 4];
            let doors = Door::ALL.into_iter().cycle().skip(n as usize % 3);
            let (stage, last) = (stage.clone(), last.clone());
            tokio::spawn(follow(stage, random(n), view, manner, last, doors))
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            tokio::spawn(write(
                stage.clone(),
                random(100 + n as u64),
                n,
                changes / WRITERS as u64,
            ))
        })
        .collect();
    let mut chaos = random(1000);
    let (mut killed, mut peak) = (0, 0);
    while writers.iter().any(|writer| !writer.is_finished()) {
        sleep(Duration::from_millis(100 + chaos.below(300))).await;
        assert!(
            readers.iter().all(|reader| !reader.is_finished()),
            "a reader failed, seed {seed}"
        );
        let peer = server.peer();
        let tend = tokio::task::spawn_blocking(move || {
            peer.try_run("CALL tidelog.flush('t'); CALL tidelog.trim();")
        });
        drop(tend.await.unwrap());
        peak = memory(&server).max(peak);
        let due = u64::from(killed + 1) * changes / u64::from(kills + 1);
        if killed < kills && stage.changes.load(Ordering::Relaxed) >= due {
            server.kill();
            killed += 1;
            let made = stage.changes.load(Ordering::Relaxed);
            println!(
                "kill {killed} after {made} changes, {:.0?}",
                begun.elapsed()
            );
            server.start_again();
            stage.enter(&server);
        }
    }
    let mut digests = Vec::new();
    for writer in writers {
        digests.push(writer.await.unwrap());
    }
    let newest = server
        .peer()
        .value("SELECT max(_seq) FROM t")
        .parse()
        .unwrap();
    last.store(newest, Ordering::Relaxed);
    stage.done.store(true, Ordering::Relaxed);
    let table: BTreeMap<i64, i64> = (server.peer().run("SELECT id, n FROM t;").lines())
        .map(|line| {
            let (id, n) = line.split_once('|').unwrap();
            (id.parse().unwrap(), n.parse().unwrap())
        })
        .collect();
    let mut replicas = Vec::new();
    for reader in readers {
        let replica = timeout(PATIENCE * 2, reader).await;
        replicas.push(replica.expect("each reader comes to the end").unwrap());
    }
    let mut compared = 0;
    for replica in &replicas {
        let shown = table.iter().filter(|(id, n)| replica.view.shows(**id, **n));
        assert!(shown.eq(&replica.rows), "a replica at the end, seed {seed}");
        for (writer, number, digest) in &replica.states {
            if *number > 0 {
                let expected = digests[*writer as usize][number].0[replica.view as usize];
                assert_eq!(
                    *digest, expected,
                    "writer {writer} at its transaction {number}, seed {seed}"
                );
                compared += 1;
            }
        }
    }
    let sum = |count: fn(&Replica) -> u64| replicas.iter().map(count).sum::<u64>();
    let doors = Door::ALL.map(|door| {
        let connections = replicas
            .iter()
            .map(|replica| replica.connections[door as usize]);
        connections.sum::<u64>()
    });
    println!(
        "{} changes written, {} seen over {doors:?} connections, {} marks, {} resets, {killed} kills, {compared} states compared, \
         at most {peak} MiB, {:.0?}",
        stage.changes.load(Ordering::Relaxed),
        sum(|replica| replica.changes),
        sum(|replica| replica.marks),
        sum(|replica| replica.resets),
        begun.elapsed(),
    );
    assert_eq!(killed, kills);
    assert!(
        doors.iter().all(|connections| *connections > 0),
        "{doors:?}, seed {seed}"
    );
    assert!(peak < 1500, "the server took {peak} MiB");
}

fn seed() -> u64 {
    let given = std::env::var("TIDELOG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_micros() as u64
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_subscriber_has_the_table_as_each_transaction_left_it() {
    check(seed(), 4000, 2, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a million changes: scripts/test --long"]
async fn a_million_changes_reach_every_subscriber() {
    check(seed(), 1_000_000, 20, 12).await;
}
