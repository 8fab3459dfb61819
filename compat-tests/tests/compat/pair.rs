//! Tidelog and PostgreSQL 15 side by side: the same statement must get the same answer.

use std::error::Error;

use bytes::BytesMut;
use tidelog_compat_tests::{Postgres, Server};

use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage};

pub(crate) struct Pair {
    pub(crate) tide: Server,
    pub(crate) pg: Postgres,
}

impl Pair {
    pub(crate) fn start() -> Pair {
        Pair {
            tide: Server::start(),
            pg: Postgres::start(),
        }
    }

    /// Runs a script on both.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) {
        self.pg.peer().run(script);
        self.tide.peer().run(script);
    }

    /// Both print the same bytes for `query` in psql.
    #[track_caller]
    pub(crate) fn same(&self, query: &str) {
        self.same_as(query, query);
    }

    /// What Tidelog prints for `tide` is what PostgreSQL prints for `pg`.
    #[track_caller]
    pub(crate) fn same_as(&self, tide: &str, pg: &str) {
        let expected = self.pg.peer().run(&format!("{pg};"));
        let found = self.tide.peer().run(&format!("{tide};"));
        assert_same_lines(tide, &expected, &found);
    }

    /// Both print the same bytes for a statement, or refuse it with the same code, words and detail.
    #[track_caller]
    pub(crate) fn same_or_fail(&self, statement: &str) {
        let said = |peer: tidelog_compat_tests::Peer| {
            let script = format!("\\set VERBOSITY verbose\n{statement};");
            let own = |line: &&str| !line.starts_with("LOCATION:");
            match peer.try_run(&script) {
                Ok(out) => out,
                // `psql:<stdin>:2: ` stands before what the server says.
                Err(said) => said.lines().filter(own).collect::<Vec<_>>().join("\n"),
            }
        };
        let (expected, found) = (said(self.pg.peer()), said(self.tide.peer()));
        assert_same_lines(statement, &expected, &found);
    }

    pub(crate) async fn connect(&self) -> (Client, Client) {
        (
            self.tide.peer().connect().await,
            self.pg.peer().connect().await,
        )
    }
}

/// Compares whole outputs, but shows only where they part.
#[track_caller]
pub(crate) fn assert_same_lines(what: &str, expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let (mut left, mut right) = (expected.lines(), found.lines());
    for number in 1.. {
        let (expected_line, found_line) = (left.next(), right.next());
        assert_eq!(
            found_line, expected_line,
            "{what}\nline {number} (left: Tidelog, right: PostgreSQL)"
        );
        assert!(
            expected_line.is_some(),
            "{what}\nthe outputs differ only in how they end"
        );
    }
}

/// A value in PostgreSQL's binary format, untouched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A result: names with types, and the rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<T>>>,
}

/// By the extended protocol: values in binary.
pub(crate) async fn binary(
    client: &Client,
    query: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Answer<Raw> {
    let statement = client
        .prepare(query)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let columns = statement
        .columns()
        .iter()
        .map(|column| format!("{} {}", column.name(), column.type_()))
        .collect();
    let rows = client
        .query(&statement, parameters)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let rows = rows
        .iter()
        .map(|row| (0..row.len()).map(|column| row.get(column)).collect())
        .collect();
    Answer { columns, rows }
}

/// By the simple protocol: values in text.
pub(crate) async fn text(client: &Client, query: &str) -> Answer<String> {
    let mut answer = Answer {
        columns: Vec::new(),
        rows: Vec::new(),
    };
    for message in client
        .simple_query(query)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
    {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                answer.columns = columns
                    .iter()
                    .map(|column| column.name().to_string())
                    .collect();
            }
            SimpleQueryMessage::Row(row) => {
                answer.rows.push(
                    (0..row.len())
                        .map(|column| row.get(column).map(str::to_string))
                        .collect(),
                );
            }
            _ => {}
        }
    }
    answer
}

/// Both give the same names, types, text and binary for `query`.
#[track_caller]
pub(crate) fn same_answers(
    tide: &Client,
    pg: &Client,
    query: impl AsRef<str>,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let query = query.as_ref();
        assert_eq!(
            text(tide, query).await,
            text(pg, query).await,
            "{query} (text) at {caller}"
        );
        assert_eq!(
            binary(tide, query, &[]).await,
            binary(pg, query, &[]).await,
            "{query} (binary) at {caller}"
        );
    }
}

/// The SQLSTATE, message, detail and hint with which a statement is refused; `None` when it is not.
async fn refusal(client: &Client, sql: &str) -> Option<[Option<String>; 4]> {
    let error = client.batch_execute(sql).await.err()?;
    let error = error.as_db_error().expect("the server refused it");
    Some([
        Some(error.code().code().to_string()),
        Some(error.message().to_string()),
        error.detail().map(str::to_string),
        error.hint().map(str::to_string),
    ])
}

/// Both run the statement, or refuse it in the same words.
pub(crate) async fn same_outcome(tide: &Client, pg: &Client, sql: &str) {
    let expected = refusal(pg, sql).await;
    assert_eq!(refusal(tide, sql).await, expected, "{sql}");
}
