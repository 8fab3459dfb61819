//! `scripts/bench cold`: the chat history in Parquet, in a local folder and in an S3 server on loopback; each scan the
//! first time after a start, when nothing of it is in Tidelog's cache, and again.

use std::path::Path;
use std::time::{Duration, Instant};

use tidelog_compat_tests::sample::chat_history;
use tidelog_compat_tests::{S3, Server};

const ROUNDS: usize = 5;
const QUERIES: [(&str, &str); 3] = [
    (
        "whole table: count, two sums",
        "SELECT count(*), sum(length(body)), sum(length(nick)) FROM t",
    ),
    (
        "one column, grouped",
        "SELECT channel, count(*) FROM t GROUP BY channel ORDER BY 2 DESC LIMIT 5",
    ),
    (
        "100 rows by a range of the key",
        "SELECT count(*) FROM t WHERE id BETWEEN 200000 AND 200099",
    ),
];

/// A place for cold files: how it is called, the options of the server, its environment.
type Place = (&'static str, Vec<String>, Vec<(String, String)>);

pub(crate) fn run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(csv) = chat_history(folder.path()) else {
        return;
    };
    let s3 = S3::start();
    let mut places: Vec<Place> = vec![("local folder", Vec::new(), Vec::new())];
    if let Some(s3) = &s3 {
        let cold = |prefix: &str, cache: &str| -> Vec<String> {
            ["--cold", &s3.url(prefix), "--cold-cache", cache]
                .map(String::from)
                .to_vec()
        };
        places.push(("S3 on loopback", cold("cached", "256MB"), s3.environment()));
        places.push(("S3, no cache", cold("plain", "0"), s3.environment()));
    }
    println!("| | place | first, ms | again, ms |\n|---|---|---:|---:|");
    for (called, options, environment) in &places {
        place(called, options, environment, &csv);
    }
}

fn place(called: &str, options: &[String], environment: &[(String, String)], csv: &Path) {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut server = Server::start_in(&options, environment);
    server.peer().run(&format!(
        "CREATE TABLE t (id int8 PRIMARY KEY, sent_at timestamptz, channel text, nick text, kind text, body text);
         \\copy t FROM '{}' WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (body))\n",
        csv.display()
    ));
    let begun = Instant::now();
    server.peer().run("CALL tidelog.flush('t');");
    let flushed = begun.elapsed();
    for (what, query) in QUERIES {
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            server.restart();
            first.push(timed(&server, query));
            again.push(timed(&server, query));
        }
        println!(
            "| {what} | {called} | {:.0} | {:.0} |",
            median(first),
            median(again)
        );
    }
    println!(
        "| flush of it all | {called} | {:.0} | |",
        flushed.as_secs_f64() * 1000.0
    );
}

/// How long the server takes for a query, by psql's clock: a connection that is warm but for the query.
fn timed(server: &Server, query: &str) -> Duration {
    let told = server
        .peer()
        .run(&format!("SELECT 1;\n\\timing on\n{query};"));
    let ms = told
        .lines()
        .find_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse().ok());
    let ms: f64 = ms.unwrap_or_else(|| panic!("no time in {told}"));
    Duration::from_secs_f64(ms / 1000.0)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
