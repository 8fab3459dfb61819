//! Random queries over random tables: values, their order, column names, types and SQLSTATEs must be PostgreSQL's.

use std::time::{SystemTime, UNIX_EPOCH};

use tidelog_compat_tests::random;
use tokio_postgres::Client;

use crate::pair::{Pair, text};
use grammar::Random;
use shapes::Query;

#[path = "queries/grammar.rs"]
mod grammar;
#[path = "queries/shapes.rs"]
mod shapes;

/// What a query gives: columns with types and the rows, in a fixed order where the query gives none; or the SQLSTATE.
async fn outcome(
    client: &Client,
    query: &Query,
) -> Result<(Vec<String>, Vec<Vec<Option<String>>>), String> {
    let statement = client
        .prepare(&query.text)
        .await
        .map_err(|error| code(&error))?;
    let columns = statement.columns().iter();
    let columns = columns.map(|column| format!("{} {}", column.name(), column.type_()));
    let columns = columns.collect();
    client
        .simple_query(&query.text)
        .await
        .map_err(|error| code(&error))?;
    let mut rows = text(client, &query.text).await.rows;
    if !query.ordered {
        rows.sort();
    }
    Ok((columns, rows))
}

fn code(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

/// Runs so many queries over so many schemas of a seed.
async fn compare(pair: &Pair, seed: u64, schemas: u64, queries: u64) {
    println!("SEED={seed}");
    let (tide, pg) = pair.connect().await;
    let mut random = Random::new(seed);
    let mut failures = Vec::new();
    for _ in 0..schemas {
        let script = random.schema();
        println!("{script}");
        for client in [&tide, &pg] {
            client
                .batch_execute(&script)
                .await
                .unwrap_or_else(|error| panic!("{script}: {error:?}"));
        }
        if random.below(2) == 0 {
            for table in ["a", "b"] {
                let flush = format!("CALL tidelog.flush('{table}')");
                tide.batch_execute(&flush).await.unwrap();
            }
        }
        for _ in 0..queries {
            let query = random.query();
            let (found, expected) = (outcome(&tide, &query).await, outcome(&pg, &query).await);
            let same = match (&found, &expected) {
                (Ok(found), Ok(expected)) => found == expected,
                (Err(found), Err(expected)) => found.get(..5) == expected.get(..5),
                _ => false,
            };
            let query = query.text;
            assert!(
                !tide.is_closed(),
                "seed {seed}: {script}\n{query}: {found:?}"
            );
            if !same {
                println!("{query};\n  -- Tidelog:    {found:?}\n  -- PostgreSQL: {expected:?}");
                failures.push(query);
            }
        }
    }
    assert!(
        failures.is_empty(),
        "seed {seed}: {} queries differ, of which the first is\n{}",
        failures.len(),
        failures[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_over_random_tables() {
    let pair = Pair::start();
    for seed in 1..=4 {
        compare(&pair, seed, 4, 50).await;
    }
}

#[ignore = "minutes: scripts/test --long (issue 4)"]
#[tokio::test(flavor = "multi_thread")]
async fn many_random_queries_over_random_tables() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = random::number("SEED").unwrap_or_else(|| now.map_or(0, |now| now.as_secs()));
    compare(&Pair::start(), seed, 40, 150).await;
}
