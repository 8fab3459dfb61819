//! The rows of a subscription as they arrive, through any door. A connection ends without a goodbye, as a client goes whose
//! network is gone.

use futures::StreamExt;
use serde_json::{Value, json};
use tidelog_compat_tests::Web;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::Row;

use crate::pair::Raw;

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Postgres,
    Events,
    WebSocket,
}

impl Door {
    pub(super) const ALL: [Door; 3] = [Door::Postgres, Door::Events, Door::WebSocket];
}

/// One row of a subscription to a table of two numbers.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) seq: i64,
    pub(super) op: String,
    pub(super) commit: bool,
    pub(super) row: Option<(i64, i64)>,
    pub(super) old: Option<(i64, i64)>,
}

/// The rows that arrive.
pub(super) struct Arriving {
    lines: mpsc::Receiver<Line>,
    tasks: Vec<JoinHandle<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Arriving {
    /// Subscribes at the server's two ports, after `from` if that is given; `None` when the server cannot be reached.
    pub(super) async fn open(
        door: Door,
        [pg, http]: [u16; 2],
        sql: &str,
        from: Option<i64>,
    ) -> Option<Arriving> {
        let (sender, lines) = mpsc::channel(1);
        let (mut tasks, mut thread) = (Vec::new(), None);
        let (web, sql) = (Web::superuser(http), sql.to_string());
        match door {
            Door::Postgres => {
                let options = from.map(|from| format!("OPTIONS (from = '{from}', "));
                let sql = options.map_or(sql.clone(), |options| sql.replace("OPTIONS (", &options));
                let config = format!("host=127.0.0.1 port={pg} user=postgres dbname=postgres");
                let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
                    .await
                    .ok()?;
                tasks.push(tokio::spawn(async move { drop(connection.await) }));
                let rows = client.query_raw(&sql, Vec::<String>::new()).await.ok()?;
                tasks.push(tokio::spawn(async move {
                    let _client = client;
                    let mut rows = std::pin::pin!(rows);
                    while let Some(Ok(row)) = rows.next().await {
                        if sender.send(of_row(&row)).await.is_err() {
                            return;
                        }
                    }
                }));
            }
            // They end at the next line that comes.
            Door::Events => {
                thread = Some(std::thread::spawn(move || {
                    events(&web, &sql, from, &sender)
                }));
            }
            Door::WebSocket => {
                thread = Some(std::thread::spawn(move || {
                    socket(&web, &sql, from, &sender)
                }));
            }
        }
        Some(Arriving {
            lines,
            tasks,
            thread,
        })
    }

    /// The next one, or `None` at the end of the connection. Panics if what came was not as it must be.
    pub(super) async fn next(&mut self) -> Option<Line> {
        let line = self.lines.recv().await;
        if line.is_none() {
            // The one that sends lines is the last.
            if let Some(task) = self.tasks.pop() {
                task.await.expect("rows as they must be");
            }
            if let Some(thread) = self.thread.take() {
                thread.join().expect("messages as they must be");
            }
        }
        line
    }
}

fn of_row(row: &Row) -> Line {
    let pair = |id: Option<i64>, n: Option<i64>| id.zip(n);
    let old: Option<Raw> = row.get("_old");
    Line {
        seq: row.get(0),
        op: row.get(1),
        commit: row.get(2),
        row: pair(row.get("id"), row.get("n")),
        old: old.map(|Raw(old)| {
            // jsonb's binary form: a version, then text.
            let old: Value = serde_json::from_slice(&old[1..]).expect("_old is JSON");
            let number = |name| old[name].as_i64().expect("a number");
            (number("id"), number("n"))
        }),
    }
}

/// The lines of what the server sent over HTTP.
fn of_json(message: &Value) -> Vec<Line> {
    let number = |value: &Value| -> i64 {
        let text = value.as_str().expect("a bigint is a string");
        text.parse().expect("a number")
    };
    let pair = |value: &Value| {
        value
            .as_array()
            .map(|row| (number(&row[0]), number(&row[1])))
    };
    let line = |change: &Value| Line {
        seq: number(&change["seq"]),
        op: change["op"].as_str().expect("an op").to_string(),
        commit: change["commit"] == true,
        row: pair(&change["row"]),
        old: pair(&change["old"]),
    };
    match message["type"].as_str() {
        Some("batch") => {
            let changes = message["changes"].as_array().expect("changes");
            let lines: Vec<Line> = changes.iter().map(line).collect();
            if let Some(last) = lines.last()
                && last.op != "snapshot"
            {
                assert_eq!(number(&message["seq"]), last.seq, "the resume token");
            }
            lines
        }
        Some("reset") => vec![Line {
            seq: 0,
            op: "reset".to_string(),
            commit: false,
            row: None,
            old: None,
        }],
        Some("subscribed") => Vec::new(),
        _ => panic!("{message}"),
    }
}

/// Whether a message says that the server stops.
fn is_goodbye(message: &Value) -> bool {
    message["type"] == "error" && message["error"]["code"] == "57P01"
}

fn events(web: &Web, sql: &str, from: Option<i64>, lines: &mpsc::Sender<Line>) {
    let web = match from {
        Some(from) => web.with("Last-Event-ID", &from.to_string()),
        None => web.clone(),
    };
    let Ok(Ok(mut events)) = web.try_live(sql) else {
        return;
    };
    while let Ok(Some((_, message))) = events.try_next() {
        if is_goodbye(&message) {
            return;
        }
        for line in of_json(&message) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    }
}

fn socket(web: &Web, sql: &str, from: Option<i64>, lines: &mpsc::Sender<Line>) {
    let Ok(Ok(mut socket)) = web.try_socket() else {
        return;
    };
    socket.send(&json!({"type": "hello", "version": 1, "auth": web.credentials()}));
    let mut subscribe = json!({"type": "subscribe", "id": 1, "sql": sql, "credit": 2});
    if let Some(from) = from {
        subscribe["from"] = json!(from.to_string());
    }
    match socket.try_next() {
        Ok(welcome) => assert_eq!(welcome["type"], "welcome", "{welcome}"),
        Err(_) => return,
    }
    socket.send(&subscribe);
    while let Ok(message) = socket.try_next() {
        if is_goodbye(&message) {
            return;
        }
        for line in of_json(&message) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
        if message["type"] == "batch" {
            socket.send(&json!({"type": "credit", "id": 1, "batches": 1}));
        }
    }
}
