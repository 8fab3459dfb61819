//! Every type, in text and binary, as value, parameter and condition, beside PostgreSQL.

use tokio_postgres::Client;

use crate::pair::{Pair, Raw, binary, same_answers, text};

/// Column, type, and values from plain to extreme.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("i2", "int2", &["0", "-32768", "32767"]),
    ("i4", "int4", &["0", "-2147483648", "2147483647"]),
    (
        "i8",
        "int8",
        &[
            "0",
            "-9223372036854775808",
            "9223372036854775807",
            "9007199254740993",
        ],
    ),
    (
        "f4",
        "float4",
        &[
            "0",
            "1.5",
            "-3.4e38",
            "1e-37",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.1",
        ],
    ),
    (
        "f8",
        "float8",
        &[
            "0",
            "1.5",
            "-1.7e308",
            "2.3e-308",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.1",
            "1e15",
            "1e16",
        ],
    ),
    (
        "n",
        // Without trailing zeros: docs/postgres.md says why.
        "numeric",
        &[
            "0",
            "1.5",
            "-0.000001",
            "12345678901234567890.0123456789",
            "100",
            "7",
        ],
    ),
    (
        "n2",
        "numeric(12,4)",
        &["0", "1.5", "-99999999.9999", "0.00005"],
    ),
    (
        "t",
        "text",
        &[
            "",
            "a",
            "it's",
            "tab\tnew\nline\\",
            "日本語 🌊",
            "NULL",
            "\u{fffd}\u{1}",
        ],
    ),
    ("v", "varchar(10)", &["", "ten chars!", "äöü"]),
    ("b", "bool", &["true", "false"]),
    ("by", "bytea", &["\\x", "\\x00ff10", "\\xdeadbeef"]),
    (
        "u",
        "uuid",
        &[
            "00000000-0000-0000-0000-000000000000",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        ],
    ),
    (
        "d",
        "date",
        &[
            "1970-01-01",
            "2026-02-28",
            "0001-01-01",
            "9999-12-31",
            "1582-10-10",
        ],
    ),
    (
        "ts",
        "timestamp",
        &[
            "1970-01-01 00:00:00",
            "2026-11-23 11:22:33.456789",
            "0001-01-01 00:00:00.5",
            "1969-12-31 23:59:59.1",
        ],
    ),
    (
        "tz",
        "timestamptz",
        &[
            "1970-01-01 00:00:00+00",
            "2026-11-23 11:22:33.4+05:30",
            "1900-01-01 00:00:00Z",
        ],
    ),
    (
        "j",
        "jsonb",
        &[
            "null",
            "{}",
            r#"{"b": [1, 2.50, true], "a": "é\n"}"#,
            "12345678901234567890",
            r#""text""#,
        ],
    ),
    (
        "js",
        "json",
        &["null", r#"{"b" : [1,  2.50], "a":"é"}"#, "[ ]"],
    ),
    ("bp", "char(5)", &["", "a", "ab   ", "äöüxy"]),
    ("na", "name", &["", "a_name"]),
    ("ch", "\"char\"", &["", "x"]),
    ("o", "oid", &["0", "4294967295", "16384"]),
    (
        "ti",
        "time",
        &["00:00:00", "24:00:00", "23:59:59.999999", "04:05:06.7"],
    ),
    (
        "tt",
        "timetz",
        &["00:00:00+00", "04:05:06.789-08", "12:00:00+05:30"],
    ),
    (
        "iv",
        "interval",
        &[
            "0",
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 mons +2 days -00:00:01",
            "1000 hours",
            "-178000000 years",
        ],
    ),
    (
        "ai",
        "int[]",
        &["{}", "{1,2,NULL,-3}", "{2147483647}", "[1:2]={7,8}"],
    ),
    (
        "at",
        "text[]",
        &["{}", r#"{a,"b c",NULL,"NULL","",ü,"q\"\\z","{}","x,y"}"#],
    ),
    ("an", "numeric(10,2)[]", &["{1.50,-2.25,NULL}"]),
    ("au", "uuid[]", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"]),
    (
        "az",
        "timestamptz[]",
        &["{\"2026-11-23 11:22:33.4+05:30\",infinity}"],
    ),
    ("av", "interval[]", &["{1 day,NULL,-01:00}"]),
    ("aj", "jsonb[]", &[r#"{"{\"a\": 1}",null}"#]),
    ("ac", "varchar(4)[]", &["{abcd,x}"]),
    ("ab", "bool[]", &["{t,f,NULL}"]),
];

/// Both tables have a column per type; each value stands in a row of its own beside NULLs.
fn fill(pair: &Pair) -> usize {
    let mut script = format!("CREATE SCHEMA s;\nCREATE TABLE s.t {};\n", columns());
    let mut id = 0;
    for (name, _, values) in TYPES {
        for value in *values {
            id += 1;
            script += &format!(
                "INSERT INTO s.t (id, {name}) VALUES ({id}, '{}');\n",
                value.replace('\'', "''")
            );
        }
    }
    script += "INSERT INTO s.t (id) VALUES (0);\n";
    pair.run(&script);
    id + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_from_postgresql_hot_and_cold() {
    let pair = Pair::start();
    let count = fill(&pair);
    let (tide, pg) = pair.connect().await;
    for tier in ["hot", "cold"] {
        assert_eq!(
            text(&tide, "SELECT id FROM s.t").await.rows.len(),
            count,
            "{tier}"
        );
        same_answers(&tide, &pg, "SELECT * FROM s.t ORDER BY id").await;
        pair.same("COPY (SELECT * FROM s.t ORDER BY id) TO STDOUT");
        pair.same("COPY (SELECT * FROM s.t ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)");
        pair.tide.peer().run("CALL tidelog.flush('s.t');");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_found_by_a_literal_and_by_a_binary_parameter() {
    let pair = Pair::start();
    fill(&pair);
    let (tide, pg) = pair.connect().await;
    for (name, _, _) in TYPES.iter().filter(|(name, _, _)| *name != "js") {
        let found = binary(
            &pg,
            &format!("SELECT id, {name} FROM s.t WHERE {name} IS NOT NULL ORDER BY id"),
            &[],
        )
        .await;
        for row in &found.rows {
            let query = format!("SELECT id, {name} FROM s.t WHERE {name} = $1 ORDER BY id");
            let value = row[1].as_ref().unwrap();
            let expected = binary(&pg, &query, &[value]).await;
            assert!(!expected.rows.is_empty());
            assert_eq!(
                binary(&tide, &query, &[value]).await,
                expected,
                "{query} {row:?}"
            );
        }
    }
    for (name, _, values) in TYPES.iter().filter(|(name, _, _)| *name != "js") {
        for value in *values {
            let literal = value.replace('\'', "''");
            same_answers(
                &tide,
                &pg,
                format!("SELECT id FROM s.t WHERE {name} = '{literal}' ORDER BY id"),
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_parameters_are_stored_as_they_came() {
    let pair = Pair::start();
    fill(&pair);
    pair.tide
        .peer()
        .run(&format!("CREATE TABLE s.copy {};", columns()));
    let (tide, pg) = pair.connect().await;
    let rows = binary(&pg, "SELECT * FROM s.t ORDER BY id", &[]).await.rows;
    let places: Vec<String> = (1..=TYPES.len() + 1)
        .map(|number| format!("${number}"))
        .collect();
    let insert = tide
        .prepare(&format!(
            "INSERT INTO s.copy VALUES ({})",
            places.join(", ")
        ))
        .await
        .unwrap();
    for row in &rows {
        let parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = row
            .iter()
            .map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync))
            .collect();
        assert_eq!(
            tide.execute(&insert, &parameters).await.unwrap(),
            1,
            "{row:?}"
        );
    }
    assert_eq!(
        binary(&tide, "SELECT * FROM s.copy ORDER BY id", &[])
            .await
            .rows,
        rows
    );
}

fn columns() -> String {
    let columns: Vec<String> = TYPES
        .iter()
        .map(|(name, sql_type, _)| format!("{name} {sql_type}"))
        .collect();
    format!("(id int4 PRIMARY KEY, {})", columns.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_can_be_keys() {
    let pair = Pair::start();
    pair.run("CREATE SCHEMA k;");
    let (tide, pg) = pair.connect().await;
    for (name, sql_type, values) in TYPES
        .iter()
        .filter(|(name, _, _)| !matches!(*name, "j" | "js" | "aj"))
    {
        let rows: Vec<String> = values
            .iter()
            .map(|value| format!("('{}')", value.replace('\'', "''")))
            .collect();
        pair.run(&format!(
            "CREATE TABLE k.{name} (key {sql_type} PRIMARY KEY);\nINSERT INTO k.{name} VALUES {};",
            rows.join(", ")
        ));
        same_answers(&tide, &pg, format!("SELECT key FROM k.{name} ORDER BY key")).await;
        same_refusal(
            &tide,
            &pg,
            &format!("INSERT INTO k.{name} VALUES {}", rows[0]),
        )
        .await;
    }
    // Equal keys need not look alike.
    for again in [
        "k.n VALUES ('7')",
        "k.n VALUES (-0)",
        "k.f8 VALUES ('-0')",
        "k.u VALUES ('{00000000-0000-0000-0000-000000000000}')",
    ] {
        same_refusal(&tide, &pg, &format!("INSERT INTO {again}")).await;
    }
}

/// Both refuse `statement` in the same words.
async fn same_refusal(tide: &Client, pg: &Client, statement: &str) {
    let said = async |client: &Client| {
        let error = client.batch_execute(statement).await.expect_err(statement);
        let error = error.as_db_error().expect(statement);
        format!(
            "{} {} {:?}",
            error.code().code(),
            error.message(),
            error.detail()
        )
    };
    assert_eq!(said(tide).await, said(pg).await, "{statement}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_takes_the_type_of_its_cast() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for (_, sql_type, values) in TYPES {
        let literal = values[values.len() - 1].replace('\'', "''");
        let value = binary(&pg, &format!("SELECT '{literal}'::{sql_type}"), &[])
            .await
            .rows[0][0]
            .clone();
        let query = format!("SELECT $1::{sql_type} AS value, $1::{sql_type} IS NULL AS missing");
        for parameter in [value, None::<Raw>] {
            assert_eq!(
                binary(&tide, &query, &[&parameter]).await,
                binary(&pg, &query, &[&parameter]).await,
                "{query} {parameter:?}"
            );
        }
    }
}
