//! Casts from each type to each other: which there are, and what they give.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::Pair;

/// Types with a value of each.
const VALUES: [(&str, &str); 33] = [
    ("int2", "7"),
    ("int4", "7"),
    ("int8", "7"),
    ("float4", "1.5"),
    ("float8", "1.5"),
    ("numeric", "1.5"),
    ("text", "1"),
    ("varchar", "1"),
    ("char(3)", "1"),
    ("name", "1"),
    ("\"char\"", "1"),
    ("bool", "t"),
    ("bytea", "\\x31"),
    ("uuid", "00000000-0000-0000-0000-000000000001"),
    ("date", "2024-01-02"),
    ("time", "12:00"),
    ("timetz", "12:00+00"),
    ("timestamp", "2024-01-02 03:04"),
    ("timestamptz", "2024-01-02 03:04+00"),
    ("interval", "1 day"),
    ("json", "1"),
    ("jsonb", "1"),
    ("inet", "10.0.0.1"),
    ("cidr", "10.0.0.0/8"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("point", "(1,2)"),
    ("int4range", "[1,3)"),
    ("bit(3)", "101"),
    ("varbit", "101"),
    ("oid", "7"),
    ("int4[]", "{1}"),
    ("text[]", "{1}"),
    ("pg_lsn", "0/1"),
];

/// `true` as a name is t there, and a cidr has no spaces behind it.
const DIFFERENT: [(&str, &str); 2] = [("bool", "name"), ("char(3)", "cidr")];

async fn answer(client: &Client, query: &str) -> Result<Option<String>, String> {
    match client.simple_query(query).await {
        Ok(messages) => Ok(messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_string),
            _ => None,
        })),
        Err(error) => {
            let error = error.as_db_error().expect("the connection lives");
            Err(format!("{} {}", error.code().code(), error.message()))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_is_cast_to_those_that_it_is_cast_to_in_postgresql() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let mut differences = Vec::new();
    for (from, value) in VALUES {
        for (to, _) in VALUES {
            // No literal, which is read as the type.
            let query = format!("SELECT v::{to} FROM (SELECT '{value}'::{from} AS v) s");
            let (found, expected) = (answer(&tide, &query).await, answer(&pg, &query).await);
            if found != expected && !DIFFERENT.contains(&(from, to)) {
                differences.push(format!("{query}: {found:?}, PostgreSQL: {expected:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
