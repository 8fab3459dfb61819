//! `scripts/bench spine`: loading and single-row inserts, beside PostgreSQL 15 in the same run; `scripts/bench storage`
//! is in `bench/storage.rs`.
//!
//! Both servers sync every commit, run on the same disk with their defaults, and take turns, so that whatever else
//! the machine does falls on both. Each figure is the median of its rounds.

#[path = "bench/cold.rs"]
mod cold;
#[path = "bench/live.rs"]
mod live;
#[path = "bench/storage.rs"]
mod storage;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tidelog_compat_tests::process::output;
use tidelog_compat_tests::sample::{EVENTS, chat_history};
use tidelog_compat_tests::{Peer, Postgres, Server};

#[path = "bench/reads.rs"]
mod reads;

const ROUNDS: usize = 5;
const INSERTING: Duration = Duration::from_secs(3);
const TABLE: &str =
    "(id int8 PRIMARY KEY, sent_at timestamptz, channel text, nick text, kind text, body text)";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((what, [])) if what == "spine" => spine().await,
        Some((what, [])) if what == "cold" => cold::run(),
        Some((what, parts)) if what == "live" => live::run(parts).await,
        Some((what, [])) if what == "reads" => reads::run().await,
        Some((what, parts)) if what == "storage" => storage::run(parts).await,
        _ => {
            eprintln!(
                "usage: scripts/bench spine | cold | live [{}]… | reads | storage [{}]…",
                live::PARTS.join("|"),
                storage::PARTS.join("|")
            );
            std::process::exit(2);
        }
    }
}

async fn spine() {
    let tide = Server::start();
    let pg = Postgres::start_with(&[]);
    let idle = (tide_memory(&tide), pg_memory(&pg));
    let mut report = String::from("| | Tidelog | PostgreSQL 15 | ratio |\n|---|---:|---:|---:|\n");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let (csv, rows) =
        chat_history(folder.path()).map_or_else(|| generated(folder.path()), |csv| (csv, EVENTS));
    let peers = [tide.peer(), pg.peer()];
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (peer, rates) in peers.iter().zip(&mut rates) {
            peer.run(&format!("CREATE TABLE load{round} {TABLE};"));
            let copy = format!(
                "\\copy load{round} FROM '{}' WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (body))\n",
                csv.display()
            );
            let begun = Instant::now();
            peer.run(&copy);
            rates.push(rows as f64 / begun.elapsed().as_secs_f64());
        }
    }
    row(&mut report, "COPY, rows/s", rates, 0);

    for connections in [1, 16] {
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for (peer, rates) in peers.iter().zip(&mut rates) {
                rates.push(inserts(peer, &format!("ins{connections}_{round}"), connections).await);
            }
        }
        row(
            &mut report,
            &format!("single-row inserts/s, {connections} connections, synced"),
            rates,
            0,
        );
    }

    let loaded = (tide_memory(&tide), pg_memory(&pg));
    row(
        &mut report,
        "memory idle, MiB",
        [vec![idle.0], vec![idle.1]],
        1,
    );
    row(
        &mut report,
        "memory after, MiB",
        [vec![loaded.0], vec![loaded.1]],
        1,
    );
    row(
        &mut report,
        "on disk with one unflushed log, MiB",
        [vec![disk(&tide.data())], vec![disk(&pg.data())]],
        1,
    );
    for round in 0..ROUNDS {
        tide.peer()
            .run(&format!("CALL tidelog.flush('load{round}');"));
    }
    let cold = files(&tide.data(), &["-name", "*.parquet"]);
    let size = pg
        .peer()
        .value("SELECT pg_total_relation_size('load0') / 1048576.0");
    let size: f64 = size.parse().expect("a size");
    row(
        &mut report,
        "one loaded table when cold, MiB",
        [vec![cold / ROUNDS as f64], vec![size]],
        1,
    );
    println!("{rows} rows a load, {ROUNDS} rounds, medians (least to most)\n\n{report}");
    println!(
        "Tidelog's tiers: Parquet {cold:.1} MiB, everything else {:.1} MiB",
        disk(&tide.data()) - cold
    );
}

/// Inserts a second from `connections` prepared statements that each wait for their commit.
async fn inserts(peer: &Peer, table: &str, connections: usize) -> f64 {
    peer.run(&format!(
        "CREATE TABLE {table} (id int8 PRIMARY KEY, nick text, body text);"
    ));
    let next = Arc::new(AtomicI64::new(0));
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = peer.connect().await;
        let insert = client
            .prepare(&format!("INSERT INTO {table} VALUES ($1, $2, $3)"))
            .await
            .expect("it parses");
        clients.push((client, insert));
    }
    let begun = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|(client, insert)| {
            let next = next.clone();
            tokio::spawn(async move {
                while begun.elapsed() < INSERTING {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    let body = "a message about as long as people write them in a chat";
                    client
                        .execute(&insert, &[&id, &"someone", &body])
                        .await
                        .expect("the insert is taken");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer does not panic");
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let sent = next.load(Ordering::Relaxed);
    assert_eq!(
        peer.value(&format!("SELECT count(*) FROM {table}")),
        sent.to_string(),
        "every insert is there"
    );
    sent as f64 / elapsed
}

fn row(report: &mut String, what: &str, [mut tide, mut pg]: [Vec<f64>; 2], digits: usize) {
    let (left, right) = (median(&mut tide), median(&mut pg));
    let shown = |values: &[f64], median: f64| match values {
        [_] => format!("{median:.digits$}"),
        _ => format!(
            "{median:.digits$} ({:.digits$} to {:.digits$})",
            values[0],
            values[values.len() - 1]
        ),
    };
    let line = format!(
        "| {what} | {} | {} | {:.2} |",
        shown(&tide, left),
        shown(&pg, right),
        left / right
    );
    writeln!(report, "{line}").expect("a String takes all");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory.
fn tide_memory(server: &Server) -> f64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    kilobytes(&status, "VmRSS:") / 1024.0
}

/// PostgreSQL's processes share much, so each page is counted once, by its share.
fn pg_memory(postgres: &Postgres) -> f64 {
    let parent = postgres.pid().to_string();
    let children = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &parent])
        .output()
        .expect("ps can be run");
    let pids = format!("{parent} {}", String::from_utf8_lossy(&children.stdout));
    // A session that has just ended has no memory.
    let rollups = pids
        .split_whitespace()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    rollups
        .map(|rollup| kilobytes(&rollup, "Pss:"))
        .sum::<f64>()
        / 1024.0
}

fn kilobytes(text: &str, key: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap_or_default();
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default()
}

fn disk(folder: &Path) -> f64 {
    files(folder, &["-type", "f"])
}

/// The mebibytes of the files that `find` selects.
fn files(folder: &Path, which: &[&str]) -> f64 {
    let sizes = output(
        Command::new("find")
            .arg(folder)
            .args(which)
            .args(["-printf", "%s\n"]),
    );
    sizes
        .lines()
        .map(|size| size.parse::<f64>().expect("a size"))
        .sum::<f64>()
        / 1_048_576.0
}

/// Chat-like rows where the real ones are not.
fn generated(folder: &Path) -> (PathBuf, usize) {
    let rows = 200_000;
    let mut text = String::from("id,sent_at,channel,nick,kind,body\n");
    for id in 1..=rows {
        let nick = id * 7919 % 5000;
        writeln!(text, "{id},2026-01-01T00:00:00Z,#tidelog,nick{nick},message,\"message {id}, some words of it\"")
            .expect("a String takes all");
    }
    let path = folder.join("chat.csv");
    std::fs::write(&path, text).expect("a file in a temporary folder");
    (path, rows)
}
