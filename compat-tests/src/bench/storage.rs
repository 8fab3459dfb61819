//! `scripts/bench storage [part…]`: the log engine, beside PostgreSQL 15 in the same run and, for scans of Parquet, DuckDB.
//!
//! Each part stands alone and makes its own data. `SCALE=0.1` makes all of them smaller. PostgreSQL runs with its
//! defaults and syncs every commit, as Tidelog does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tidelog_compat_tests::process::output;
use tidelog_compat_tests::{Peer, Postgres, Random, Server};
use tokio_postgres::Client;

use crate::{disk, inserts, kilobytes, median, row};

const ROUNDS: usize = 5;
const TABLE: &str = "(id int8 PRIMARY KEY, room int8, nick text, sent_at timestamptz, body text)";
/// How long a rate is measured.
const MEASURED: Duration = Duration::from_secs(3);

/// The parts, in the order in which they run.
pub(crate) const PARTS: [&str; 8] = [
    "write",
    "read",
    "scan",
    "flush",
    "latency",
    "updates",
    "partitions",
    "reopen",
];

fn scaled(rows: u64) -> u64 {
    let scale = std::env::var("SCALE")
        .ok()
        .and_then(|scale| scale.parse::<f64>().ok());
    ((rows as f64 * scale.unwrap_or(1.0)) as u64).max(1)
}

/// Runs these parts, or all.
pub(crate) async fn run(parts: &[String]) {
    for part in PARTS {
        if !parts.is_empty() && parts.iter().all(|wanted| wanted != part) {
            continue;
        }
        println!("\n### {part} (load {})\n", load());
        match part {
            "write" => write().await,
            "read" => read().await,
            "scan" => scan().await,
            "flush" => flush().await,
            "latency" => latency().await,
            "updates" => updates().await,
            "partitions" => partitions().await,
            _ => reopen().await,
        }
        println!("\n(load afterwards {})", load());
    }
}

/// Runnable processes, over a minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_string()
}

fn header() -> String {
    String::from("| | Tidelog | PostgreSQL 15 | ratio |\n|---|---:|---:|---:|\n")
}

/// A CSV file of chat-like rows.
fn csv(folder: &Path, rows: u64) -> PathBuf {
    let mut text = String::new();
    for id in 1..=rows {
        let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (room, nick, second) = (mixed % 200, mixed / 7 % 5000, id / 3);
        let at = format!(
            "2026-01-{:02} {:02}:{:02}:{:02}+00",
            1 + second / 86400 % 28,
            second / 3600 % 24,
            second / 60 % 60,
            second % 60
        );
        writeln!(
            text,
            "{id},{room},nick{nick},{at},\"message {id}: some words of it, {mixed:x}\""
        )
        .expect("a String takes all");
    }
    let path = folder.join(format!("rows-{rows}.csv"));
    std::fs::write(&path, text).expect("a file in a temporary folder");
    path
}

/// Makes a table of the rows of a CSV file; gives the seconds that COPY took.
fn copy(peer: &Peer, table: &str, csv: &Path) -> f64 {
    peer.run(&format!("CREATE TABLE {table} {TABLE};"));
    let begun = Instant::now();
    peer.run(&format!(
        "\\copy {table} FROM '{}' WITH (FORMAT csv)\n",
        csv.display()
    ));
    begun.elapsed().as_secs_f64()
}

/// The seconds that a statement takes in psql.
fn seconds(peer: &Peer, statement: &str) -> f64 {
    let begun = Instant::now();
    peer.run(&format!("{statement};"));
    begun.elapsed().as_secs_f64()
}

async fn write() {
    let (tide, pg) = (Server::start(), Postgres::start_with(&[]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = scaled(200_000);
    let csv = csv(folder.path(), rows);
    let mut report = header();
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (peer, rates) in [tide.peer(), pg.peer()].iter().zip(&mut rates) {
            rates.push(rows as f64 / copy(peer, &format!("load{round}"), &csv));
        }
    }
    row(&mut report, "COPY, rows/s", rates, 0);
    for connections in [1, 16] {
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for (peer, rates) in [tide.peer(), pg.peer()].iter().zip(&mut rates) {
                rates.push(inserts(peer, &format!("ins{connections}_{round}"), connections).await);
            }
        }
        let what = format!("single-row inserts/s, {connections} connections");
        row(&mut report, &what, rates, 0);
    }
    print!("{report}");
}

/// Reads by key a second from prepared statements on `connections`.
async fn point_reads(peer: &Peer, table: &str, rows: u64, connections: usize) -> f64 {
    let clients = join_all((0..connections).map(|_| peer.connect())).await;
    let begun = Instant::now();
    let tasks: Vec<_> = (clients.into_iter().enumerate())
        .map(|(at, client)| {
            let select = format!("SELECT nick, body FROM {table} WHERE id = $1");
            let mut random = Random::new(at as u64);
            tokio::spawn(async move {
                let select = client.prepare(&select).await.expect("it parses");
                let mut done = 0;
                while begun.elapsed() < MEASURED {
                    let id = 1 + random.below(rows) as i64;
                    let found = client.query(&select, &[&id]).await.expect("an answer");
                    assert_eq!(found.len(), 1, "row {id} is there");
                    done += 1;
                }
                done
            })
        })
        .collect();
    let done: u64 = join_all(tasks)
        .await
        .into_iter()
        .map(|done| done.expect("no panic"))
        .sum();
    done as f64 / begun.elapsed().as_secs_f64()
}

async fn read() {
    let (tide, pg) = (Server::start(), Postgres::start_with(&[]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = scaled(500_000);
    let csv = csv(folder.path(), rows);
    for table in ["hot", "cold"] {
        copy(&tide.peer(), table, &csv);
    }
    copy(&pg.peer(), "hot", &csv);
    // Trimmed, or the rows would still be read from the log.
    tide.peer().run(
        "ALTER TABLE cold SET (resume_window = '1ms'); CALL tidelog.flush('cold'); CALL tidelog.trim();",
    );
    pg.peer().run("VACUUM ANALYZE hot;");
    let mut report = header();
    for connections in [1, 8] {
        for table in ["hot", "cold"] {
            let mut rates = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                rates[0].push(point_reads(&tide.peer(), table, rows, connections).await);
                rates[1].push(point_reads(&pg.peer(), "hot", rows, connections).await);
            }
            let what = format!("point reads/s, {table}, {connections} connections");
            row(&mut report, &what, rates, 0);
        }
    }
    println!("{rows} rows\n\n{report}");
}

const SCANS: [(&str, &str); 4] = [
    (
        "count by nick",
        "SELECT nick, count(*) FROM {t} GROUP BY nick ORDER BY 2 DESC, 1 LIMIT 5",
    ),
    (
        "one room in 200",
        "SELECT count(*), max(length(body)) FROM {t} WHERE room = 17",
    ),
    (
        "one hour",
        "SELECT count(*) FROM {t} WHERE sent_at >= '2026-01-02 03:00:00+00' AND sent_at < '2026-01-02 04:00:00+00'",
    ),
    ("every body", "SELECT count(*), sum(length(body)) FROM {t}"),
];

async fn scan() {
    let (tide, pg) = (Server::start(), Postgres::start_with(&[]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = scaled(1_000_000);
    let csv = csv(folder.path(), rows);
    for table in ["hot", "cold"] {
        copy(&tide.peer(), table, &csv);
    }
    copy(&pg.peer(), "hot", &csv);
    // Or the background job would flush it, too.
    let hot = "ALTER TABLE hot SET (flush_rows = 1000000000);";
    tide.peer()
        .run(&format!("{hot} CALL tidelog.flush('cold');"));
    pg.peer().run("VACUUM ANALYZE hot;");
    let (tide_client, pg_client) = (tide.peer().connect().await, pg.peer().connect().await);
    let mut report = header();
    for table in ["hot", "cold"] {
        for (what, query) in SCANS {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (at, (client, table)) in [(&tide_client, table), (&pg_client, "hot")]
                    .iter()
                    .enumerate()
                {
                    times[at].push(milliseconds(client, &query.replace("{t}", table)).await);
                }
            }
            row(&mut report, &format!("{what}, {table}, ms"), times, 1);
        }
    }
    println!("{rows} rows\n\n{report}");
    duckdb(&tide.data().join("cold"));
}

async fn milliseconds(client: &Client, query: &str) -> f64 {
    let begun = Instant::now();
    client.simple_query(query).await.expect(query);
    begun.elapsed().as_secs_f64() * 1000.0
}

/// The same scans by DuckDB on the same files, if `BENCH_PYTHON` has it.
fn duckdb(cold: &Path) {
    let Some(python) = std::env::var_os("BENCH_PYTHON") else {
        println!("DuckDB was not measured: BENCH_PYTHON names no Python that has it");
        return;
    };
    let files = format!("read_parquet('{}/*/cold-*/*/*.parquet')", cold.display());
    for (what, query) in SCANS {
        let query = query.replace("{t}", &files);
        let script = format!(
            "import duckdb, time\nc = duckdb.connect()\nc.execute(\"SET TimeZone = 'UTC'\")\ntimes = []\nfor _ in range({ROUNDS}):\n    b = time.time()\n    c.execute(\"\"\"{query}\"\"\").fetchall()\n    times.append((time.time() - b) * 1000)\nprint(sorted(times)[{ROUNDS} // 2])"
        );
        let time = output(Command::new(&python).args(["-c", &script]));
        println!(
            "| {what}, the same files in DuckDB, ms | {:.1} |",
            time.trim().parse().unwrap_or(f64::NAN)
        );
    }
}

/// Forgets the highest memory that a process had.
fn reset_peak(server: &Server) {
    let file = format!("/proc/{}/clear_refs", server.pid());
    std::fs::write(file, "5").expect("the process is ours");
}

/// Resident memory now and at most since `reset_peak`, MiB.
fn memory(server: &Server) -> (f64, f64) {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    (
        kilobytes(&status, "VmRSS:") / 1024.0,
        kilobytes(&status, "VmHWM:") / 1024.0,
    )
}

async fn flush() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = scaled(500_000);
    let csv = csv(folder.path(), rows);
    let mut figures = [(); 6].map(|()| Vec::new());
    for _ in 0..3 {
        let tide = Server::start();
        let peer = tide.peer();
        copy(&peer, "t", &csv);
        let before = memory(&tide).0;
        reset_peak(&tide);
        figures[0].push(rows as f64 / seconds(&peer, "CALL tidelog.flush('t')"));
        figures[1].push(memory(&tide).1 - before);
        // Files of like size to merge, a tenth of whose rows is dead.
        peer.run("CREATE TABLE parts (id int8 PRIMARY KEY, room int8, nick text, sent_at timestamptz, body text);");
        for part in 0..5 {
            peer.run(&format!(
                "INSERT INTO parts SELECT * FROM t WHERE id % 5 = {part}; CALL tidelog.flush('parts');"
            ));
        }
        peer.run("UPDATE parts SET room = -1 WHERE id % 10 = 3; CALL tidelog.flush('parts');");
        let before = memory(&tide).0;
        reset_peak(&tide);
        figures[2].push(rows as f64 / seconds(&peer, "CALL tidelog.compact('parts')"));
        figures[3].push(memory(&tide).1 - before);
        let files = peer.value("SELECT count(*) FROM tidelog.files WHERE table_name = 'parts'");
        figures[4].push(files.parse().expect("a number"));
        let bytes = peer.value("SELECT sum(bytes) FROM tidelog.files WHERE table_name = 'parts'");
        figures[5].push(bytes.parse::<f64>().expect("a number") / 1_048_576.0);
    }
    println!("{rows} rows, medians of 3\n\n| | Tidelog |\n|---|---:|");
    for (what, mut figures) in [
        "flush, rows/s",
        "memory that it took at most, MiB",
        "compaction of 6 files, rows/s",
        "memory that it took at most, MiB",
        "files afterwards",
        "MiB in them",
    ]
    .iter()
    .zip(figures)
    {
        println!("| {what} | {:.0} |", median(&mut figures));
    }
}

/// Single-row inserts into a new table from 4 connections while something is done; gives their latencies in milliseconds, sorted, and how long
/// it took.
async fn insert_latencies(
    peer: &Peer,
    table: &str,
    work: impl Future<Output = ()>,
) -> (Vec<f64>, Duration) {
    peer.run(&format!("CREATE TABLE {table} {TABLE};"));
    let next = Arc::new(AtomicI64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let clients = join_all((0..4).map(|_| peer.connect())).await;
    let begun = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let (next, stop) = (next.clone(), stop.clone());
            let insert = format!("INSERT INTO {table} VALUES ($1, 1, 'someone', now(), $2)");
            tokio::spawn(async move {
                let insert = client.prepare(&insert).await.expect("it parses");
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    let body = "a message about as long as people write them in a chat";
                    let begun = Instant::now();
                    client
                        .execute(&insert, &[&id, &body])
                        .await
                        .expect("it is taken");
                    latencies.push(begun.elapsed().as_secs_f64() * 1000.0);
                }
                latencies
            })
        })
        .collect();
    work.await;
    stop.store(true, Ordering::Relaxed);
    let latencies = join_all(tasks)
        .await
        .into_iter()
        .flat_map(|done| done.expect("no panic"));
    let mut latencies: Vec<f64> = latencies.collect();
    latencies.sort_by(f64::total_cmp);
    (latencies, begun.elapsed())
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * p) as usize]
}

async fn latency() {
    let tide = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let csv = csv(folder.path(), scaled(300_000));
    let pg = Postgres::start_with(&[]);
    println!(
        "| inserts from 4 connections | count/s | p50, ms | p99, ms | longest, ms |\n|---|---:|---:|---:|---:|"
    );
    let show = |what: String, (latencies, took): (Vec<f64>, Duration)| {
        println!(
            "| {what} | {:.0} | {:.2} | {:.2} | {:.1} |",
            latencies.len() as f64 / took.as_secs_f64(),
            percentile(&latencies, 0.5),
            percentile(&latencies, 0.99),
            percentile(&latencies, 1.0)
        );
    };
    // The update gives compaction something to do: a quarter of the rows are dead, and in files of their own.
    let update = "UPDATE bulk SET room = -1 WHERE id % 4 = 1;";
    let flush = "CALL tidelog.flush('bulk');";
    let compact = "CALL tidelog.compact('bulk');";
    // What RocksDB and PostgreSQL have to do about the load ends meanwhile.
    let settled = "SELECT pg_sleep(0.75);";
    let phases = [
        ("after loading", settled),
        ("while flushing", flush),
        ("while updating 75,000 rows a statement", update),
        ("while flushing these", flush),
        ("while compacting", compact),
    ];
    for round in 0..3 {
        for (name, peer) in [("PostgreSQL", pg.peer()), ("Tidelog", tide.peer())] {
            let rest = tokio::time::sleep(MEASURED);
            let quiet = insert_latencies(&peer, &format!("quiet{round}"), rest).await;
            show(format!("{name}, quiet"), quiet);
            let bulk: Vec<String> = (0..4).map(|part| format!("bulk{round}_{part}")).collect();
            let loading = format!("loading{round}");
            let loading = insert_latencies(&peer, &loading, async {
                for table in &bulk {
                    tokio::task::block_in_place(|| copy(&peer, table, &csv));
                }
            });
            show(
                format!("{name}, while copying 300,000 rows a statement"),
                loading.await,
            );
            for (at, (what, statement)) in phases.into_iter().enumerate() {
                if name == "PostgreSQL" && ![settled, update].contains(&statement) {
                    continue;
                }
                let statements: Vec<String> = (bulk.iter())
                    .map(|table| statement.replace("bulk", table))
                    .collect();
                // A client that is there already: starting one takes a processor from the inserts.
                let worker = peer.connect().await;
                let table = format!("busy{round}_{at}");
                let busy = insert_latencies(&peer, &table, async {
                    for statement in &statements {
                        worker.batch_execute(statement).await.expect("it is done");
                    }
                });
                show(format!("{name}, {what}"), busy.await);
            }
        }
    }
}

async fn updates() {
    let (tide, pg) = (Server::start(), Postgres::start_with(&[]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = scaled(200_000);
    let csv = csv(folder.path(), rows);
    for peer in [tide.peer(), pg.peer()] {
        copy(&peer, "t", &csv);
    }
    tide.peer().run(
        "ALTER TABLE t SET (resume_window = '1ms'); CALL tidelog.flush('t'); CALL tidelog.trim();",
    );
    let mut report = header();
    let mut rates = [Vec::new(), Vec::new()];
    let mut scans = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (at, peer) in [tide.peer(), pg.peer()].iter().enumerate() {
            rates[at].push(update_rate(peer, rows, round as u64).await);
        }
        for (at, peer) in [tide.peer(), pg.peer()].iter().enumerate() {
            let client = peer.connect().await;
            scans[at]
                .push(milliseconds(&client, "SELECT count(*), sum(length(body)) FROM t").await);
        }
        tide.peer().run("CALL tidelog.flush('t');");
    }
    row(
        &mut report,
        "updates by key/s over cold rows, 8 connections",
        rates,
        0,
    );
    row(&mut report, "scan of the table in between, ms", scans, 1);
    println!("{rows} rows\n\n{report}");
    println!(
        "on disk: Tidelog {:.0} MiB, PostgreSQL {:.0} MiB",
        disk(&tide.data()),
        disk(&pg.data())
    );
}

async fn update_rate(peer: &Peer, rows: u64, seed: u64) -> f64 {
    let clients = join_all((0..8).map(|_| peer.connect())).await;
    let begun = Instant::now();
    let tasks: Vec<_> = (clients.into_iter().enumerate())
        .map(|(at, client)| {
            let mut random = Random::new(seed * 100 + at as u64);
            tokio::spawn(async move {
                let update = "UPDATE t SET room = room + 1, body = $2 WHERE id = $1";
                let update = client.prepare(update).await.expect("it parses");
                let mut done = 0;
                while begun.elapsed() < MEASURED {
                    let id = 1 + random.below(rows) as i64;
                    let body = format!("mended {done}");
                    let count = client
                        .execute(&update, &[&id, &body])
                        .await
                        .expect("it is taken");
                    assert_eq!(count, 1, "row {id} is there");
                    done += 1;
                }
                done
            })
        })
        .collect();
    let done: u64 = join_all(tasks)
        .await
        .into_iter()
        .map(|done| done.expect("no panic"))
        .sum();
    done as f64 / begun.elapsed().as_secs_f64()
}

async fn partitions() {
    let mut tide = Server::start();
    let peer = tide.peer();
    let users = scaled(100_000);
    peer.run("CREATE TABLE inbox (id int8 PRIMARY KEY, body text) WITH (type = 'user');");
    println!("{users} partitions of 5 rows\n\n| | seconds |\n|---|---:|");
    let begun = Instant::now();
    for turn in 0..5 {
        peer.run(&format!(
            "INSERT INTO inbox (_user, id, body) SELECT 'user' || g, {turn}, 'for you, number ' || g FROM generate_series(1, {users}) g;"
        ));
    }
    println!(
        "| write {} rows | {:.1} |",
        users * 5,
        begun.elapsed().as_secs_f64()
    );
    println!(
        "| flush | {:.1} |",
        seconds(&peer, "CALL tidelog.flush('inbox')")
    );
    println!(
        "| list the files | {:.2} |",
        seconds(&peer, "SELECT count(*), sum(rows) FROM tidelog.files")
    );
    println!(
        "| list the partitions | {:.2} |",
        seconds(
            &peer,
            "SELECT count(*), sum(unflushed_rows) FROM tidelog.partitions"
        )
    );
    println!(
        "| count all rows | {:.2} |",
        seconds(&peer, "SELECT count(*) FROM inbox")
    );
    peer.run("CREATE ROLE user77 LOGIN PASSWORD 'x';");
    let own = peer.role("user77", "x");
    assert_eq!(own.value("SELECT count(*) FROM inbox"), "5");
    let client = own.connect().await;
    let mut times = Vec::new();
    for _ in 0..20 {
        times.push(milliseconds(&client, "SELECT * FROM inbox").await / 1000.0);
    }
    println!("| one user's rows | {:.4} |", median(&mut times));
    drop(client);
    tide.kill();
    let begun = Instant::now();
    tide.start_again();
    println!(
        "| start after a kill | {:.2} |",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "\n{:.0} MiB resident, {:.0} MiB on disk",
        memory(&tide).0,
        disk(&tide.data())
    );
}

async fn reopen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = scaled(10_000_000);
    let parts = 10;
    let csv = csv(folder.path(), rows / parts);
    let mut tide = Server::start();
    let peer = tide.peer();
    let begun = Instant::now();
    // Each part is a table; the last one is not flushed.
    for part in 0..parts {
        copy(&peer, &format!("t{part}"), &csv);
        if part + 1 < parts {
            peer.run(&format!("CALL tidelog.flush('t{part}');"));
        }
    }
    println!(
        "{rows} rows, loaded in {:.0} s; a tenth of them not flushed",
        begun.elapsed().as_secs_f64()
    );
    println!("\n| | seconds |\n|---|---:|");
    for round in 0..3 {
        // Something in the log that was not written to RocksDB's files.
        tide.peer().run(&format!(
            "INSERT INTO t0 SELECT -g - {round} * 100000, 1, 'n', now(), 'late' FROM generate_series(1, 50000) g;"
        ));
        tide.kill();
        let begun = Instant::now();
        tide.start_again();
        println!(
            "| start after a kill | {:.2} |",
            begun.elapsed().as_secs_f64()
        );
        let begun = Instant::now();
        assert_eq!(
            tide.peer().value("SELECT count(*) FROM t9 WHERE id = 77"),
            "1"
        );
        println!(
            "| first query by key | {:.3} |",
            begun.elapsed().as_secs_f64()
        );
    }
    println!(
        "\n{:.0} MiB resident, {:.0} MiB on disk",
        memory(&tide).0,
        disk(&tide.data())
    );
}
