//! Scripts of several sessions at once, played on Tidelog and on PostgreSQL.
//!
//! `a: SQL` runs a statement in session `a` to its end. `a> SQL` begins one that has to wait for something, and
//! `a<` takes its outcome. `a!` drops a session's connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidelog_compat_tests::Peer;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::{Pair, assert_same_lines};

/// A statement that is not done after so long waits, whether pg_locks tells for what or not.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a query string answers, in a few words.
pub(super) async fn answer(client: &Client, sql: &str) -> String {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => {
            // PostgreSQL tells of an error before it lets go of locks: an empty query comes after that.
            let _ = client.simple_query("").await;
            return said(&error);
        }
    };
    let mut words = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                let values: Vec<&str> = (0..row.len())
                    .map(|column| row.get(column).unwrap_or("null"))
                    .collect();
                words.push(values.join("|"));
            }
            // Rows speak for themselves.
            SimpleQueryMessage::CommandComplete(rows) if words.is_empty() => {
                words.push(format!("({rows})"));
            }
            _ => {}
        }
    }
    words.join(" ")
}

/// An error's SQLSTATE and message.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => "the connection is gone".to_string(),
    }
}

/// The SQLSTATE of an answer that is an error.
pub(super) fn state(answer: &str) -> &str {
    answer.split(' ').next().unwrap_or_default()
}

/// Plays a script and gives what was said.
pub(super) async fn play(peer: &Peer, script: &str) -> String {
    let mut sessions: HashMap<char, (Arc<Client>, String)> = HashMap::new();
    let mut running: HashMap<char, JoinHandle<String>> = HashMap::new();
    let probe = peer.connect().await;
    let mut transcript = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let mut characters = line.chars();
        let (name, kind) = (characters.next().unwrap(), characters.next().unwrap());
        let sql = characters.as_str().trim().to_string();
        if kind == '!' {
            sessions.remove(&name);
            continue;
        }
        if let std::collections::hash_map::Entry::Vacant(free) = sessions.entry(name) {
            let client = peer.connect().await;
            let pid = answer(&client, "SELECT pg_backend_pid()").await;
            free.insert((Arc::new(client), pid));
        }
        let (client, pid) = sessions[&name].clone();
        let answered = match kind {
            ':' => answer(&client, &sql).await,
            '>' => {
                let waiting = format!("SELECT 1 FROM pg_locks WHERE NOT granted AND pid = {pid}");
                let task = tokio::spawn(async move { answer(&client, &sql).await });
                let begun = Instant::now();
                while !task.is_finished() && begun.elapsed() < PATIENCE {
                    if answer(&probe, &waiting).await == "1" {
                        break;
                    }
                }
                let waits = !task.is_finished();
                running.insert(name, task);
                if waits { "waits" } else { "is done" }.to_string()
            }
            '<' => running.remove(&name).expect("begun by >").await.unwrap(),
            _ => panic!("{line}"),
        };
        transcript.push_str(&format!("{line}\n    {answered}\n"));
    }
    transcript
}

/// Plays each script on both after `setup` made the tables anew; what is said must be the same.
pub(super) async fn same_on_both(setup: &str, scripts: &[&str]) {
    let pair = Pair::start();
    for script in scripts {
        pair.run(setup);
        let expected = play(&pair.pg.peer(), script).await;
        let found = play(&pair.tide.peer(), script).await;
        assert_same_lines(script, &expected, &found);
    }
    assert!(!pair.tide.log().contains("panicked"), "{}", pair.tide.log());
}
