//! A live feed as a user of psql sees it.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::peer::Peer;
use crate::process::{PATIENCE, signal};

/// One line of `COPY (SUBSCRIBE …) TO STDOUT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `_seq`.
    pub seq: i64,
    /// `_op`.
    pub op: String,
    /// `_commit`: the last row of its transaction.
    pub commit: bool,
    /// The table's columns.
    pub row: Vec<Option<String>>,
    /// `_old`.
    pub old: Option<serde_json::Value>,
}

impl Change {
    /// Reads a line in COPY's text format.
    pub fn parse(line: &str) -> Change {
        parse(line)
    }

    /// `op column,column`, NULL as `-`: what tests compare.
    pub fn brief(&self) -> String {
        let row: Vec<&str> = self
            .row
            .iter()
            .map(|value| value.as_deref().unwrap_or("-"))
            .collect();
        format!("{} {}", self.op, row.join(","))
    }
}

/// A psql that runs `COPY (SUBSCRIBE …) TO STDOUT`.
pub struct Feed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Feed {
    /// `subscribe` is the statement inside the parentheses.
    pub fn open(peer: &Peer, subscribe: &str) -> Feed {
        // psql writes a pipe in blocks; a terminal's lines are what a person would see.
        let mut command = std::process::Command::new("stdbuf");
        let psql = peer.psql();
        command
            .arg("-oL")
            .arg(psql.get_program())
            .args(psql.get_args());
        peer.environment(&mut command);
        command.args(["-c", &format!("COPY ({subscribe}) TO STDOUT")]);
        let mut command = Command::from(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("psql can be run");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Feed { child, lines }
    }

    /// The next line, or `None` when the feed has ended.
    pub async fn try_next(&mut self) -> Option<Change> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("a change arrives in time")
            .expect("psql's output can be read")
            .map(|line| parse(&line))
    }

    /// The next line of a feed that goes on; panics with psql's error when it has ended.
    pub async fn next(&mut self) -> Change {
        match self.try_next().await {
            Some(change) => change,
            None => panic!("the feed ended: {}", self.error().await),
        }
    }

    /// The next `n` lines.
    pub async fn take(&mut self, n: usize) -> Vec<Change> {
        let mut changes = Vec::with_capacity(n);
        while changes.len() < n {
            changes.push(self.next().await);
        }
        changes
    }

    /// Everything up to the `ready` line, and that line's Seq.
    pub async fn until_ready(&mut self) -> (Vec<Change>, i64) {
        let mut snapshot = Vec::new();
        loop {
            let change = self.next().await;
            if change.op == "ready" {
                assert!(
                    change.row.iter().all(Option::is_none),
                    "ready has no columns: {change:?}"
                );
                return (snapshot, change.seq);
            }
            assert_eq!(change.op, "snapshot", "before ready");
            snapshot.push(change);
        }
    }

    /// Stops reading, as a client does that is busy elsewhere.
    pub fn stall(&self) {
        signal(self.child.id().expect("psql runs"), "STOP");
    }

    /// Reads on after [`Feed::stall`].
    pub fn go_on(&self) {
        signal(self.child.id().expect("psql runs"), "CONT");
    }

    /// What psql wrote to standard error until it ended.
    pub async fn error(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            timeout(PATIENCE, stderr.read_to_string(&mut text))
                .await
                .expect("psql ends")
                .expect("it can be read");
        }
        text
    }

    /// Ctrl-C: psql asks for a cancel; gives what it then wrote to standard error.
    pub async fn interrupt(mut self) -> String {
        signal(self.child.id().expect("psql runs"), "INT");
        self.error().await
    }
}

fn parse(line: &str) -> Change {
    let mut fields: Vec<Option<String>> = line.split('\t').map(unescape).collect();
    let old = fields
        .pop()
        .flatten()
        .map(|json| serde_json::from_str(&json).expect("_old is JSON"));
    let mut head = fields.drain(..3);
    let seq = head
        .next()
        .flatten()
        .and_then(|seq| seq.parse().ok())
        .unwrap_or_else(|| panic!("no _seq: {line}"));
    let op = head
        .next()
        .flatten()
        .unwrap_or_else(|| panic!("no _op: {line}"));
    let commit = head.next().flatten().as_deref() == Some("t");
    drop(head);
    Change {
        seq,
        op,
        commit,
        row: fields,
        old,
    }
}

/// A field in COPY's text format.
fn unescape(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters
                .next()
                .expect("a backslash is followed by a character")
            {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                other => other,
            },
            other => other,
        });
    }
    Some(text)
}
