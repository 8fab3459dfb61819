//! A subscriber that goes on, after each kill, from the last change that it saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tidelog_compat_tests::{Change, Peer};

/// The tables that are followed keep changes so long (`resume_window`).
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The rows of a table of `id` and `n` as its changes tell them. A change that is missing, or comes twice, does not
/// fit the rows: each tells the row before.
#[derive(Debug)]
pub(super) struct Follower {
    table: &'static str,
    rows: BTreeMap<i64, i64>,
    /// Where it goes on; `None` before it has all rows.
    last: Option<i64>,
    /// When it last had all that there was.
    up_to_date: Instant,
}

impl Follower {
    /// It begins before the table's first row.
    pub(super) fn new(table: &'static str) -> Follower {
        Follower {
            table,
            rows: BTreeMap::new(),
            last: Some(0),
            up_to_date: Instant::now(),
        }
    }

    pub(super) fn table(&self) -> &'static str {
        self.table
    }

    pub(super) fn rows(&self) -> &BTreeMap<i64, i64> {
        &self.rows
    }

    /// Whether it knows of what was written to row 0.
    pub(super) fn has_seen(&self, marker: i64) -> bool {
        self.rows.get(&0) == Some(&marker)
    }

    /// Follows until the server goes or, if there is one, until the marker.
    pub(super) async fn follow(&mut self, peer: &Peer, marker: Option<i64>) {
        let Ok(client) = peer.try_connect().await else {
            return;
        };
        loop {
            // A snapshot that the server did not finish comes again.
            if self.last.is_none() {
                self.rows.clear();
            }
            let from = match self.last {
                Some(last) => format!(" OPTIONS (from = '{last}', progress = '50ms')"),
                None => " OPTIONS (progress = '50ms')".to_string(),
            };
            let subscribe = format!("COPY (SUBSCRIBE TO {}{from}) TO STDOUT", self.table);
            let lines = match client.copy_out(&subscribe).await {
                Ok(lines) => lines,
                Err(error) if self.was_too_late(&error) => continue,
                Err(_) => return,
            };
            let mut lines = Box::pin(lines);
            let mut text = Vec::new();
            let mut ended = None;
            while ended.is_none() {
                if marker.is_some_and(|marker| self.has_seen(marker)) {
                    return;
                }
                match lines.next().await {
                    Some(Ok(bytes)) => text.extend_from_slice(&bytes),
                    Some(Err(error)) => ended = Some(error),
                    None => return,
                }
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let line = String::from_utf8(line).expect("UTF-8");
                    self.apply(&Change::parse(line.trim_end_matches('\n')));
                }
            }
            if !ended.is_some_and(|error| self.was_too_late(&error)) {
                return;
            }
        }
    }

    /// Whether it was told that changes are no longer kept, which it takes only after some time; it then begins anew.
    fn was_too_late(&mut self, error: &tokio_postgres::Error) -> bool {
        let Some(refusal) = error.as_db_error() else {
            return false;
        };
        assert_eq!(refusal.code().code(), "55000", "{refusal:?}");
        self.begin_anew();
        true
    }

    /// What came meanwhile is no longer kept, which may be so only after some time.
    fn begin_anew(&mut self) {
        // Changes are kept from their commit on; it may see them later, up to the end of the window.
        let away = self.up_to_date.elapsed();
        assert!(
            away >= WINDOW / 2,
            "{}: too late after {away:?}",
            self.table
        );
        self.rows.clear();
        self.last = None;
    }

    fn apply(&mut self, change: &Change) {
        let table = self.table;
        // It fell behind while it followed; all rows come again.
        if change.op == "reset" {
            return self.begin_anew();
        }
        assert!(
            self.last.is_none_or(|last| last < change.seq)
                || ["ready", "progress"].contains(&change.op.as_str()),
            "{table}: {change:?} after {:?}",
            self.last
        );
        let number = |at: usize| {
            let text = change.row.get(at).cloned().flatten().expect("a value");
            text.parse::<i64>().expect("a number")
        };
        match change.op.as_str() {
            // With `ready` a resumed feed only begins.
            "ready" => {}
            "progress" => self.up_to_date = Instant::now(),
            "snapshot" => {
                assert_eq!(
                    self.rows.insert(number(0), number(1)),
                    None,
                    "{table}: {change:?}"
                );
                return;
            }
            "insert" => {
                assert_eq!(
                    self.rows.insert(number(0), number(1)),
                    None,
                    "{table}: {change:?}"
                );
            }
            "update" => {
                let before = change.old.as_ref().expect("an update has the row before");
                let (id, n) = (
                    before["id"].as_i64().unwrap(),
                    before["n"].as_i64().unwrap(),
                );
                assert_eq!(self.rows.remove(&id), Some(n), "{table}: {change:?}");
                self.rows.insert(number(0), number(1));
            }
            other => panic!("{table}: {other}"),
        }
        self.last = Some(change.seq.max(self.last.unwrap_or(0)));
    }
}
