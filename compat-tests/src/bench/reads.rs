//! `scripts/bench reads`: what a chat reads, out of the hot tier, out of files, and out of both, beside PostgreSQL 15
//! with the same indexes on the same rows.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidelog_compat_tests::sample::{EVENTS, chat_history};
use tidelog_compat_tests::{Peer, Postgres, Server};
use tokio_postgres::types::ToSql;

/// Rooms that the events are spread over.
const ROOMS: i64 = 50;
/// Calls of a statement that are timed, after some that are not.
const CALLS: usize = 400;
const WARM_UP: usize = 40;
const READING: Duration = Duration::from_secs(3);

/// A statement, and what it takes: a room, an id, both or neither.
struct Query {
    what: &'static str,
    sql: &'static str,
    room: bool,
    id: bool,
}

const QUERIES: &[Query] = &[
    Query {
        what: "the last 50 messages of a room",
        sql: "SELECT id, nick, body FROM {t} WHERE room = $1 ORDER BY id DESC LIMIT 50",
        room: true,
        id: false,
    },
    Query {
        what: "the 50 before one of them",
        sql: "SELECT id, nick, body FROM {t} WHERE room = $1 AND id < $2 ORDER BY id DESC LIMIT 50",
        room: true,
        id: true,
    },
    Query {
        what: "the last 50 of all rooms",
        sql: "SELECT id, nick, body FROM {t} ORDER BY id DESC LIMIT 50",
        room: false,
        id: false,
    },
    Query {
        what: "the last 50 by time",
        sql: "SELECT id, nick, body FROM {t} ORDER BY sent_at DESC LIMIT 50",
        room: false,
        id: false,
    },
    Query {
        what: "one message by its id",
        sql: "SELECT id, nick, body FROM {t} WHERE id = $1",
        room: false,
        id: true,
    },
];

/// A server's table and its name in the report.
struct Place {
    name: &'static str,
    peer: Peer,
    table: &'static str,
}

/// Loads the rows and prints the report.
pub(crate) async fn run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(csv) = chat_history(folder.path()) else {
        std::process::exit(2);
    };
    let tide = Server::start();
    let pg = Postgres::start_with(&[]);
    let peers = [tide.peer(), pg.peer()];
    for peer in &peers {
        peer.run(&format!(
            "CREATE TABLE raw (id int8 PRIMARY KEY, sent_at timestamptz, channel text, nick text, kind text, body text);
             \\copy raw FROM '{}' WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (body))\n",
            csv.display()
        ));
    }
    let columns =
        "(id int8 PRIMARY KEY, room text, sent_at timestamptz, nick text, kind text, body text)";
    let indexes = |table: &str| {
        format!(
            "CREATE INDEX {table}_room ON {table} (room, id); CREATE INDEX {table}_at ON {table} (sent_at);"
        )
    };
    let rows = |table: &str, which: &str| {
        format!(
            "INSERT INTO {table} SELECT id, '#room' || (id % {ROOMS}), sent_at, nick, kind, body FROM raw
             WHERE {which} ORDER BY id;"
        )
    };
    for table in ["hot", "mixed", "cold"] {
        let peer = &peers[0];
        peer.run(&format!(
            "CREATE TABLE {table} {columns} WITH (flush_rows = 100000000, flush_interval = '30d');{}",
            indexes(table)
        ));
        // Files as a server that runs for long has them: of some ten thousand rows and more.
        for part in 0..10 {
            let (from, to) = (part * EVENTS / 10, (part + 1) * EVENTS / 10);
            peer.run(&rows(table, &format!("id > {from} AND id <= {to}")));
            if table == "cold" || (table == "mixed" && part < 8) {
                peer.run(&format!("CALL tidelog.flush('{table}');"));
            }
        }
    }
    peers[1].run(&format!(
        "CREATE TABLE pg {columns}; {} {} VACUUM ANALYZE pg;",
        rows("pg", "true"),
        indexes("pg")
    ));
    let [tide_peer, pg_peer] = peers;
    let places = [
        ("hot", &tide_peer, "hot"),
        ("8/10 cold", &tide_peer, "mixed"),
        ("cold", &tide_peer, "cold"),
        ("PostgreSQL 15", &pg_peer, "pg"),
    ];
    let places = places.map(|(name, peer, table)| Place {
        name,
        peer: peer.clone(),
        table,
    });

    let mut report = String::from("| median (99th percentile), ms |");
    for place in &places {
        write!(report, " {} |", place.name).expect("a String takes all");
    }
    report.push_str("\n|---|---:|---:|---:|---:|\n");
    for query in QUERIES {
        write!(report, "| {} |", query.what).expect("a String takes all");
        for place in &places {
            let (median, high) = latency(place, query).await;
            write!(report, " {median:.2} ({high:.2}) |").expect("a String takes all");
        }
        report.push('\n');
    }
    report.push_str("\n| reads of one row by its id, per second |");
    for place in &places {
        write!(report, " {} |", place.name).expect("a String takes all");
    }
    report.push_str("\n|---|---:|---:|---:|---:|\n");
    for connections in [1, 16] {
        write!(report, "| {connections} connections |").expect("a String takes all");
        for place in &places {
            let rate = points(place, connections).await;
            write!(report, " {rate:.0} |").expect("a String takes all");
        }
        report.push('\n');
    }
    println!(
        "{EVENTS} rows, {ROOMS} rooms, {CALLS} calls of each prepared statement on one connection\n\n{report}"
    );
}

fn random(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 33) % below
}

async fn latency(place: &Place, query: &Query) -> (f64, f64) {
    let client = place.peer.connect().await;
    let sql = query.sql.replace("{t}", place.table);
    let statement = client.prepare(&sql).await.expect("it parses");
    let mut seed = 7;
    let mut times = Vec::with_capacity(CALLS);
    for call in 0..WARM_UP + CALLS {
        let room = format!("#room{}", random(&mut seed, ROOMS as u64));
        let id = 10_000 + random(&mut seed, EVENTS as u64 - 10_000) as i64;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
        if query.room {
            parameters.push(&room);
        }
        if query.id {
            parameters.push(&id);
        }
        let begun = Instant::now();
        let rows = client
            .query(&statement, &parameters)
            .await
            .expect("it runs");
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let expected = if query.sql.contains("LIMIT 50") {
            50
        } else {
            1
        };
        assert_eq!(rows.len(), expected, "{sql}");
        if call >= WARM_UP {
            times.push(took);
        }
    }
    times.sort_by(f64::total_cmp);
    (times[CALLS / 2], times[CALLS * 99 / 100])
}

/// Reads by key per second, each connection waiting for its answer.
async fn points(place: &Place, connections: usize) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let sql = format!("SELECT id, nick, body FROM {} WHERE id = $1", place.table);
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = place.peer.connect().await;
        let statement = client.prepare(&sql).await.expect("it parses");
        clients.push((client, statement));
    }
    let begun = Instant::now();
    let tasks: Vec<_> = (clients.into_iter().enumerate())
        .map(|(number, (client, statement))| {
            let done = done.clone();
            tokio::spawn(async move {
                let mut seed = number as u64 + 1;
                while begun.elapsed() < READING {
                    let id = 1 + random(&mut seed, EVENTS as u64) as i64;
                    let rows = client.query(&statement, &[&id]).await.expect("it runs");
                    assert_eq!(rows.len(), 1, "{id}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a reader does not panic");
    }
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}
