//! Columns that come, go, and get other types and names over rows in both tiers, beside PostgreSQL.

use crate::pair::{Pair, same_answers};

/// What changes the columns, and what is written under them.
const CHANGES: &[&str] = &[
    "ALTER TABLE c ADD COLUMN added int2 DEFAULT 7; INSERT INTO c VALUES (10, 1, 1.5, 'ten', 2.25, 1)",
    "ALTER TABLE c DROP COLUMN added; ALTER TABLE c ADD COLUMN added text; INSERT INTO c VALUES (11, 1, 1.5, 'eleven', 2.25, 'new')",
    "ALTER TABLE c RENAME COLUMN body TO words; INSERT INTO c VALUES (12, 1, 1.5, 'twelve', 2.25, NULL)",
    "ALTER TABLE c ALTER COLUMN small TYPE int4; INSERT INTO c VALUES (13, 100000, 1.5, 'x', 2.25, 'y')",
    "ALTER TABLE c ALTER small SET DATA TYPE bigint, ALTER COLUMN f TYPE double precision; INSERT INTO c VALUES (14, 10000000000, 1e300, 'x', 2.25, 'y')",
    "ALTER TABLE c ALTER COLUMN words TYPE varchar(20); INSERT INTO c VALUES (15, -1, 0.1, 'a longer word', 2.25, 'y')",
    "ALTER TABLE c ALTER COLUMN words TYPE text; ALTER TABLE c ALTER COLUMN exact TYPE numeric(20,2); INSERT INTO c VALUES (16, 2, 2, 'a much longer word than before', 123456789012345678.25, 'y')",
    "ALTER TABLE c ADD COLUMN more int2 DEFAULT 3; ALTER TABLE c ALTER COLUMN more TYPE int8; INSERT INTO c (id, more) VALUES (17, 5000000000)",
];

const QUERIES: &[&str] = &[
    "SELECT * FROM c ORDER BY id",
    "SELECT * FROM c WHERE id = 3",
    "SELECT id FROM c WHERE small = 3",
    "SELECT id FROM c WHERE small > 2 AND small < 100000 ORDER BY id",
    "SELECT sum(small), max(f), min(exact) FROM c",
    "SELECT id FROM c WHERE exact = 3.25",
    "SELECT id FROM c WHERE f > CAST(2.5 AS double precision) ORDER BY id",
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_change_without_a_row_written_again() {
    for (after_each, table) in [
        ("CALL tidelog.flush('c');", "id int4 PRIMARY KEY"),
        (
            "CALL tidelog.flush('c'); CALL tidelog.compact('c');",
            "id int4",
        ),
    ] {
        let pair = Pair::start();
        pair.run(&format!(
            "CREATE TABLE c ({table}, small int2, f real, body varchar(8), exact numeric(8,2));
             INSERT INTO c SELECT n, n, n / 4.0, 'row ' || n, n + 0.25 FROM generate_series(1, 9) AS g(n);"
        ));
        for change in CHANGES {
            pair.tide.peer().run(after_each);
            pair.run(&format!("{change};"));
            let files = |what| {
                pair.tide.peer().value(&format!(
                    "SELECT string_agg({what}, ' ' ORDER BY path) FROM tidelog.files"
                ))
            };
            let before = files("path");
            let (tide, pg) = pair.connect().await;
            for query in QUERIES {
                // Results have the column's name before, too.
                same_answers(&tide, &pg, query).await;
            }
            pair.same("UPDATE c SET exact = exact + 1 WHERE id = 4 RETURNING *");
            pair.same("SELECT column_name, data_type, character_maximum_length, numeric_precision FROM information_schema.columns WHERE table_name = 'c' ORDER BY ordinal_position");
            assert_eq!(files("path"), before, "{change}");
        }
        pair.tide
            .peer()
            .run("CALL tidelog.flush('c'); CALL tidelog.compact('c');");
        let (tide, pg) = pair.connect().await;
        for query in QUERIES {
            same_answers(&tide, &pg, query).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_has_every_value_is_taken_without_writing() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE c (id int4 PRIMARY KEY, n int8, d double precision, words text, u uuid, b bool, day date, code varchar(8) UNIQUE, ref int4);
         CREATE INDEX ON c (ref);
         INSERT INTO c VALUES (1, 1, 1, '1', NULL, true, '2024-01-01', 'c', 1);",
    );
    let (tide, pg) = pair.connect().await;
    let code = async |client: &tokio_postgres::Client, sql: &str| {
        let error = client.batch_execute(sql).await.err()?;
        let error = error.as_db_error().expect("the server refused it");
        Some((error.code().code().to_string(), error.message().to_string()))
    };
    // PostgreSQL refuses these, too.
    for sql in [
        "ALTER TABLE c ALTER COLUMN words TYPE int4",
        "ALTER TABLE c ALTER COLUMN n TYPE bool",
        "ALTER TABLE c ALTER COLUMN b TYPE int4",
        "ALTER TABLE c ALTER COLUMN u TYPE date",
        "ALTER TABLE c ALTER COLUMN missing TYPE int4",
    ] {
        let refused = code(&pg, sql).await;
        assert!(refused.is_some(), "{sql}");
        assert_eq!(code(&tide, sql).await, refused, "{sql}");
    }
    // A key that keeps its bytes can be widened, and a type that is the same is no change.
    let seqs = || pair.tide.peer().value("SELECT max(_seq) FROM c");
    let before = seqs();
    pair.run("ALTER TABLE c ALTER code TYPE text, ALTER n TYPE bigint, ALTER n SET NOT NULL;");
    assert_eq!(seqs(), before, "no row was written again");
    pair.run("ALTER TABLE c ALTER ref TYPE bigint;");
    assert_ne!(seqs(), before, "its index has other bytes");
    for client in [&tide, &pg] {
        assert_eq!(
            code(client, "INSERT INTO c (id, n, code) VALUES (2, 2, 'c')")
                .await
                .unwrap()
                .0,
            "23505"
        );
    }
    pair.same("SELECT id FROM c WHERE code = 'c'");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_old_rows_show_is_the_same_after_a_restart() {
    let mut server = tidelog_compat_tests::Server::start();
    server.peer().run(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);
         ALTER TABLE t ADD COLUMN a float8 DEFAULT 'NaN', ADD COLUMN b real DEFAULT '-Infinity', ADD COLUMN c float8 DEFAULT '-0.0',
         ADD COLUMN d float8[] DEFAULT '{NaN,Infinity,0.1}', ADD COLUMN e real DEFAULT 0.1;",
    );
    let shown = server.peer().value("SELECT t::text FROM t");
    assert_eq!(shown, "(1,NaN,-Infinity,-0,\"{NaN,Infinity,0.1}\",0.1)");
    server.restart();
    assert_eq!(server.peer().value("SELECT t::text FROM t"), shown);
}
