//! Errors carry PostgreSQL's SQLSTATE and words, and the connection lives on.

use crate::pair::{Pair, text};

const TABLES: &str = "
    CREATE SCHEMA e;
    CREATE TABLE e.t (id int4 PRIMARY KEY, name text NOT NULL, n numeric(5,2), v varchar(3),
        CHECK (length(name) < 10));
    INSERT INTO e.t VALUES (1, 'a', NULL, NULL);
    CREATE TABLE e.two (a int4, b text, PRIMARY KEY (a, b));
    INSERT INTO e.two VALUES (1, 'x');
";

/// Each fails on PostgreSQL; Tidelog must fail with the same code, message and detail.
const SAME_WORDS: &[&str] = &[
    "INSERT INTO e.t VALUES (1, 'b', NULL, NULL)",
    "INSERT INTO e.t (id, name) VALUES (2, 'b'), (2, 'c')",
    "INSERT INTO e.two VALUES (1, 'x')",
    "INSERT INTO e.t (id) VALUES (2)",
    "INSERT INTO e.t (name) VALUES ('b')",
    "UPDATE e.t SET name = NULL",
    "SELECT * FROM e.nope",
    "SELECT nope FROM e.t",
    "SELECT e.t.nope FROM e.t",
    "INSERT INTO e.t (nope) VALUES (1)",
    "UPDATE e.t SET nope = 1",
    "INSERT INTO e.nope VALUES (1)",
    "SELECT 'abc'::int4",
    "INSERT INTO e.t VALUES ('abc', 'x', NULL, NULL)",
    "SELECT 'maybe'::bool",
    "SELECT 'x'::uuid",
    "SELECT '2026-13-01'::date",
    "SELEC 1",
    "SELECT 1 FROM",
    "INSERT INTO e.t (id, name, v) VALUES (2, 'b', 'long')",
    "INSERT INTO e.t (id, name, n) VALUES (2, 'b', 1000)",
    "INSERT INTO e.t (id, name) VALUES (3000000000, 'b')",
    "SELECT 1 / 0",
    "SELECT 2147483647::int4 + 1::int4",
    "DROP TABLE e.nope",
    "DROP SCHEMA nope",
    "CREATE TABLE e.t (id int4)",
    "CREATE SCHEMA e",
    "CREATE TABLE nope.t (id int4)",
    "CREATE TABLE e.u (id nonsense)",
    "CREATE TABLE e.u (id int4, id int4)",
    "ALTER TABLE e.t DROP COLUMN nope",
    "ALTER TABLE e.t ADD COLUMN name text",
    "ALTER TABLE e.t RENAME COLUMN nope TO yes",
    "COPY e.nope TO STDOUT",
    "SELECT name, count(*) FROM e.t",
    "INSERT INTO e.t VALUES (1, 'b', NULL, NULL, 5)",
    "INSERT INTO e.t VALUES (2, repeat('é', 40), NULL, 'v')",
    "INSERT INTO e.t VALUES (2, repeat('b', 64), NULL, 'v')",
];

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_postgresqls_in_code_message_and_detail() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    let mut differences = Vec::new();
    for statement in SAME_WORDS {
        let said =
            async |client: &tokio_postgres::Client| match client.simple_query(statement).await {
                Ok(_) => "no error".to_string(),
                Err(error) => match error.as_db_error() {
                    Some(error) => format!(
                        "{} {}; {}",
                        error.code().code(),
                        error.message(),
                        error.detail().unwrap_or("-")
                    ),
                    None => format!("the connection broke: {error}"),
                },
            };
        let (expected, found) = (said(&pg).await, said(&tide).await);
        if expected != found {
            differences.push(format!(
                "{statement}\n  postgresql: {expected}\n  tidelog:    {found}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(
        text(&tide, "SELECT id, name FROM e.t").await,
        text(&pg, "SELECT id, name FROM e.t").await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_what_it_is_about() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, _) = pair.connect().await;
    let error = tide
        .simple_query("INSERT INTO e.t VALUES (1, 'b', NULL, NULL)")
        .await
        .unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(
        (error.schema(), error.table(), error.constraint()),
        (Some("e"), Some("t"), Some("t_pkey"))
    );
    let error = tide
        .simple_query("INSERT INTO e.t (id) VALUES (5)")
        .await
        .unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(
        (error.schema(), error.table(), error.column()),
        (Some("e"), Some("t"), Some("name"))
    );
    let error = tide.simple_query("SELECT * FROM e.nope").await.unwrap_err();
    let position = error.as_db_error().unwrap().position().cloned();
    assert_eq!(
        position,
        Some(tokio_postgres::error::ErrorPosition::Original(15))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_the_extended_protocol_leave_the_connection_usable() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, _) = pair.connect().await;
    assert_eq!(
        tide.prepare("SELECT nope FROM e.t")
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "42703"
    );
    let insert = tide
        .prepare("INSERT INTO e.t (id, name) VALUES ($1, 'x')")
        .await
        .unwrap();
    assert_eq!(
        tide.execute(&insert, &[&1_i32])
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "23505"
    );
    assert_eq!(tide.execute(&insert, &[&2_i32]).await.unwrap(), 1);

    // In a transaction, nothing runs after an error until it is rolled back.
    tide.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        tide.execute(&insert, &[&1_i32])
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "23505"
    );
    assert_eq!(
        tide.query("SELECT 1", &[])
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "25P02"
    );
    tide.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(
        text(&tide, "SELECT count(*) FROM e.t").await.rows[0][0].as_deref(),
        Some("2")
    );
}
