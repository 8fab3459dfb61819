//! Text files of statements with what they give, in the manner of sqllogictest: `tests/slt/pg_*.slt`. Each file runs on
//! Tidelog and on PostgreSQL, in a schema of its own, and both must give what stands there.
//!
//!     statement ok               query [rowsort]            statement error CODE [MESSAGE]
//!     CREATE TABLE t (a int4)    SELECT a FROM t            SELECT 1 / 0
//!                                ----
//!                                a int4
//!                                1
//!
//! A result is a line with the names and types of its columns, then the rows: values between `|`, NULL, `(empty)` for an
//! empty string, `\n` for a line break. `onlyif tidelog` (or `postgresql`) above a record leaves out the other server.
//! `TIDELOG_SLT=part` runs the files with `part` in their names; `TIDELOG_SLT_WRITE=1` writes the results, and whether
//! a query fails, from PostgreSQL.

use std::fmt::Write;
use std::path::Path;

use tokio_postgres::error::DbError;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::Pair;

struct Record {
    /// Comments and conditions above it, as they stand.
    above: Vec<String>,
    line: usize,
    /// The first line.
    kind: String,
    sql: String,
    /// Lines after `----`.
    expected: Vec<String>,
}

fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut above = Vec::new();
    while let Some((number, line)) = lines.next() {
        let is_record = line.starts_with("statement ") || line.split(' ').next() == Some("query");
        if !is_record {
            above.push(line.to_string());
            continue;
        }
        let mut body = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
            body.push(line.to_string());
        }
        let mut parts = body.splitn(2, |line| line == "----");
        let sql = parts.next().unwrap_or_default().join("\n");
        assert!(!sql.is_empty(), "line {}: no statement", number + 1);
        records.push(Record {
            above: std::mem::take(&mut above),
            line: number + 1,
            kind: line.to_string(),
            sql,
            expected: parts.next().unwrap_or_default().to_vec(),
        });
    }
    records
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_string(),
        Some("") => "(empty)".to_string(),
        Some(value) => value.replace('\n', "\\n"),
    }
}

/// What a record gives: its first line and the lines after `----`.
async fn outcome(client: &Client, record: &Record) -> Result<(String, Vec<String>), String> {
    let failed = |error: tokio_postgres::Error| match error.as_db_error() {
        Some(error) => Ok((failure(error), Vec::new())),
        None => Err(format!("{error:?}")),
    };
    let messages = match client.simple_query(&record.sql).await {
        Ok(messages) => messages,
        Err(error) => return failed(error),
    };
    let gives_rows = |message: &_| matches!(message, SimpleQueryMessage::RowDescription(_));
    if record.kind == "statement ok" || !messages.iter().any(gives_rows) {
        return Ok(("statement ok".to_string(), Vec::new()));
    }
    // The simple protocol does not show types to this driver.
    let columns = match client.prepare(&record.sql).await {
        Ok(statement) => statement
            .columns()
            .iter()
            .map(|column| format!("{} {}", column.name(), column.type_().name()))
            .collect::<Vec<_>>(),
        Err(error) => return failed(error),
    };
    let mut rows: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|column| shown(row.get(column)));
                Some(values.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        })
        .collect();
    let kind = match record.kind.strip_prefix("query ") {
        Some("rowsort") => {
            rows.sort();
            "query rowsort"
        }
        _ => "query",
    };
    rows.insert(0, columns.join("|"));
    Ok((kind.to_string(), rows))
}

fn failure(error: &DbError) -> String {
    let message = error.message().replace('\n', "\\n");
    format!("statement error {} {message}", error.code().code())
}

impl Record {
    fn runs_on(&self, server: &str) -> bool {
        let conditions = self.above.iter();
        conditions
            .filter_map(|line| line.strip_prefix("onlyif "))
            .all(|only| only == server)
    }

    /// How what it gave differs from what stands in the file.
    fn difference(&self, outcome: &(String, Vec<String>)) -> Option<String> {
        let (kind, lines) = outcome;
        // A code alone stands for any message.
        let bare = self.kind.split(' ').count() == 3 && self.kind.starts_with("statement error ");
        let same_kind = *kind == self.kind || bare && kind.starts_with(&self.kind);
        if same_kind && *lines == self.expected {
            return None;
        }
        let mut text = format!("  gave {kind}");
        lines.iter().for_each(|line| {
            let _ = write!(text, "\n       {line}");
        });
        let _ = write!(text, "\n  not  {}", self.kind);
        self.expected.iter().for_each(|line| {
            let _ = write!(text, "\n       {line}");
        });
        Some(text)
    }
}

fn written(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        record.above.iter().for_each(|line| {
            let _ = writeln!(text, "{line}");
        });
        let _ = writeln!(text, "{}\n{}", record.kind, record.sql);
        if !record.expected.is_empty() {
            let _ = writeln!(text, "----\n{}", record.expected.join("\n"));
        }
    }
    text
}

/// Runs a file on one server; the differences.
async fn run(server: &str, client: &Client, name: &str, records: &mut [Record]) -> Vec<String> {
    let rewrite = server == "postgresql" && std::env::var_os("TIDELOG_SLT_WRITE").is_some();
    // PostgreSQL keeps names that begin with pg_ to itself.
    let schema = name.trim_start_matches("pg_");
    let begin = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; SET timezone = 'UTC'");
    client.batch_execute(&begin).await.unwrap();
    let mut differences = Vec::new();
    for record in records.iter_mut().filter(|record| record.runs_on(server)) {
        let difference = match outcome(client, record).await {
            Ok(found) if rewrite => {
                (record.kind, record.expected) = found;
                None
            }
            Ok(found) => record.difference(&found),
            Err(broken) => Some(format!("  the connection broke: {broken}")),
        };
        if let Some(difference) = difference {
            let (line, sql) = (record.line, &record.sql);
            differences.push(format!(
                "{name}.slt:{line} on {server}: {sql}\n{difference}"
            ));
        }
        if client.is_closed() {
            break;
        }
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_in_files_give_the_same_as_in_postgresql() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let wanted = std::env::var("TIDELOG_SLT").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .contains(&wanted)
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no file of that name");
    let pair = Pair::start();
    let mut differences = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        let mut records = records(&before);
        assert!(!records.is_empty(), "{name} says nothing");
        let (tide, pg) = pair.connect().await;
        differences.extend(run("postgresql", &pg, name, &mut records).await);
        let after = written(&records);
        if std::env::var_os("TIDELOG_SLT_WRITE").is_some() && after != before {
            std::fs::write(&path, after).unwrap();
        }
        differences.extend(run("tidelog", &tide, name, &mut records).await);
    }
    let count = differences.len();
    assert!(
        count == 0,
        "{}\n{count} differences",
        differences.join("\n")
    );
}
