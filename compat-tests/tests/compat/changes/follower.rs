//! A subscriber that keeps the rows of a table by their key, and goes on where it was after the server was away.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::tables::Table;
use super::{Outcome, Row, ask};

pub(super) struct Follower {
    pub(super) table: &'static str,
    pub(super) user: usize,
    /// So many columns are the primary key, the first ones.
    key: usize,
    /// What the columns of its rows are.
    shape: String,
    client: Client,
    /// The last `_seq`.
    seen: Option<String>,
    rows: BTreeMap<Row, Row>,
}

impl Follower {
    pub(super) async fn new(client: Client, user: usize, table: &Table) -> Follower {
        let mut follower = Follower {
            table: table.name,
            user,
            key: table.key.len(),
            shape: table.shape(),
            client,
            seen: None,
            rows: BTreeMap::new(),
        };
        follower.declare().await.expect("a subscription begins");
        follower
    }

    /// The server was started again: it goes on behind what it saw last, unless its rows are no longer the table's.
    pub(super) async fn reconnect(&mut self, client: Client, table: &Table) {
        self.client = client;
        if self.shape != table.shape() {
            self.forget(table);
        }
        self.declare().await.expect("a subscription goes on");
    }

    fn forget(&mut self, table: &Table) {
        self.shape = table.shape();
        self.seen = None;
        self.rows.clear();
    }

    /// Fewer rows at once than there are now and then, so that transactions come in pieces.
    async fn declare(&mut self) -> Outcome {
        let from = self.seen.iter().map(|seq| format!(", from = '{seq}'"));
        let from: String = from.collect();
        let batch = 1 + self.table.len() * 3;
        let declare = format!(
            "DECLARE f CURSOR WITH HOLD FOR SUBSCRIBE TO {} OPTIONS (batch_size = {batch}{from})",
            self.table
        );
        ask(&self.client, &declare).await
    }

    /// Reads all that there is. Only a change of its columns ends a subscription.
    pub(super) async fn follow(&mut self, table: &Table) {
        loop {
            match ask(&self.client, "FETCH ALL FROM f WITH (timeout = '0')").await {
                Ok(answer) if answer.rows.is_empty() => return,
                Ok(answer) => {
                    for row in answer.rows {
                        self.apply(&answer.columns, row);
                    }
                }
                Err(code) => {
                    let altered = code.starts_with("55000") && self.shape != table.shape();
                    assert!(altered, "{}: {code}", self.table);
                    self.forget(table);
                    ask(&self.client, "CLOSE f")
                        .await
                        .expect("a cursor is closed");
                    self.declare().await.expect("a subscription begins");
                }
            }
        }
    }

    fn apply(&mut self, columns: &[String], row: Row) {
        let said = format!("{} of user {}: {row:?}", self.table, self.user);
        let (seq, op) = (row[0].clone().unwrap(), row[1].clone().unwrap());
        let values = row[3..row.len() - 1].to_vec();
        let key = values[..self.key].to_vec();
        match op.as_str() {
            "ready" | "progress" => {}
            "reset" => self.rows.clear(),
            "snapshot" | "insert" => {
                assert_eq!(self.rows.insert(key, values), None, "{said}")
            }
            "update" => {
                let old: serde_json::Value =
                    serde_json::from_str(row.last().unwrap().as_ref().unwrap()).unwrap();
                let part = |name: &String| match &old[name] {
                    serde_json::Value::String(text) => Some(text.clone()),
                    number => Some(number.to_string()),
                };
                let before: Row = columns[3..][..self.key].iter().map(part).collect();
                assert!(self.rows.remove(&before).is_some(), "{said}");
                assert_eq!(self.rows.insert(key, values), None, "{said}");
            }
            "delete" => assert_eq!(self.rows.remove(&key), Some(values), "{said}"),
            other => panic!("{other}: {said}"),
        }
        self.seen = Some(seq);
    }

    /// The rows, in their own order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.values().cloned().collect();
        rows.sort();
        rows
    }
}
