//! Names of enum types, columns and tables in the texts of definitions: whatever is renamed, the definitions go on.

use crate::pair::{Pair, same_answers, same_outcome};

const TABLES: &str = "
    CREATE SCHEMA other;
    CREATE TYPE \"Läune\" AS ENUM ('gut', 'übel'); CREATE TYPE size AS ENUM ('klein', 'groß');
    CREATE TABLE t (
        id int PRIMARY KEY, \"Gefühl\" \"Läune\" DEFAULT 'gut', s size DEFAULT 'klein'::size, w text DEFAULT ('übel'::\"Läune\")::text,
        is_good bool GENERATED ALWAYS AS (\"Gefühl\" = 'gut'::\"Läune\") STORED, list \"Läune\"[] DEFAULT '{gut}'::\"Läune\"[],
        CONSTRAINT \"nicht übel\" CHECK (\"Gefühl\" <> 'übel'::\"Läune\" OR t.s = 'groß'::size)
    );
    CREATE INDEX by_good ON t ((\"Gefühl\" = 'gut'::\"Läune\")) WHERE s = 'klein'::size;
    CREATE VIEW seen AS SELECT id, \"Gefühl\", s FROM t WHERE \"Gefühl\" = 'gut'::\"Läune\" AND s IN ('klein', 'groß'::size);
    CREATE MATERIALIZED VIEW kept AS SELECT id, CAST('groß' AS size) AS s FROM t WHERE s = 'klein'::size;
    INSERT INTO t (id) VALUES (1), (2);
    INSERT INTO t (id, \"Gefühl\", s) VALUES (3, 'übel', 'groß');";

const CHANGES: &[&str] = &[
    "ALTER TYPE \"Läune\" RENAME TO \"Stimmung Ü\"",
    "ALTER TYPE size RENAME TO \"Größe\"",
    "ALTER TYPE \"Größe\" ADD VALUE 'riesig'",
    "ALTER TABLE t RENAME \"Gefühl\" TO feel",
    "ALTER TABLE t RENAME TO \"T neu\"",
    "ALTER TYPE \"Stimmung Ü\" SET SCHEMA other",
    "ALTER TYPE other.\"Stimmung Ü\" RENAME TO mood",
    "ALTER TABLE \"T neu\" RENAME TO t",
];

#[tokio::test(flavor = "multi_thread")]
async fn renamed_types_columns_and_tables_break_nothing() {
    let mut pair = Pair::start();
    pair.run(TABLES);
    for (at, change) in CHANGES.iter().enumerate() {
        // What a view says of a column that is renamed is not followed.
        let refused = change.contains("RENAME \"Gefühl\"");
        if refused {
            pair.run("DROP VIEW seen;");
        }
        if at % 3 == 1 {
            let name = if at < 5 { "t" } else { "T neu" };
            pair.tide
                .peer()
                .run(&format!("CALL tidelog.flush('{name}');"));
            pair.tide.restart();
        }
        let (tide, pg) = pair.connect().await;
        same_outcome(&tide, &pg, change).await;
        let table = match at {
            4..7 => "\"T neu\"",
            _ => "t",
        };
        let column = if at < 3 { "\"Gefühl\"" } else { "feel" };
        let id = 10 + at;
        for sql in [
            format!("INSERT INTO {table} (id) VALUES ({id})"),
            format!("INSERT INTO {table} (id, {column}) VALUES (99, 'übel')"),
            format!("UPDATE {table} SET {column} = 'übel', s = 'groß' WHERE id = {id}"),
            "REFRESH MATERIALIZED VIEW kept".to_string(),
        ] {
            same_outcome(&tide, &pg, &sql).await;
        }
        for query in [
            format!("SELECT id, {column}::text, s::text, w, is_good, list::text FROM {table} ORDER BY id"),
            format!("SELECT id FROM {table} WHERE s = 'klein' AND ({column} = 'gut') ORDER BY id"),
            "SELECT id, s::text FROM kept ORDER BY id".to_string(),
            "SELECT typname, nspname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'e' ORDER BY 1".to_string(),
        ] {
            same_answers(&tide, &pg, &query).await;
        }
        if at < 3 {
            same_answers(
                &tide,
                &pg,
                "SELECT id, \"Gefühl\"::text FROM seen ORDER BY id",
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_stays_that_something_names() {
    let pair = Pair::start();
    pair.run("CREATE TYPE \"Ä\" AS ENUM ('a', 'b'); CREATE TABLE t (id int PRIMARY KEY, w text);");
    let (tide, pg) = pair.connect().await;
    for (make, take) in [
        (
            "ALTER TABLE t ALTER w SET DEFAULT ('a'::\"Ä\")::text",
            "ALTER TABLE t ALTER w DROP DEFAULT",
        ),
        (
            "ALTER TABLE t ADD CONSTRAINT c CHECK ('a'::\"Ä\" < 'b')",
            "ALTER TABLE t DROP CONSTRAINT c",
        ),
        (
            "ALTER TABLE t ADD COLUMN e \"Ä\" DEFAULT 'b'",
            "ALTER TABLE t ALTER e TYPE text",
        ),
        (
            "ALTER TABLE t ADD COLUMN l \"Ä\"[]",
            "ALTER TABLE t DROP e, DROP l",
        ),
        ("CREATE VIEW v AS SELECT 'a'::\"Ä\" AS e", "DROP VIEW v"),
        (
            "CREATE MATERIALIZED VIEW \"V\" AS SELECT 1 AS n WHERE 'a'::\"Ä\" = 'a'",
            "DROP MATERIALIZED VIEW \"V\"",
        ),
    ] {
        same_outcome(&tide, &pg, make).await;
        same_outcome(&tide, &pg, "DROP TYPE \"Ä\"").await;
        same_outcome(&tide, &pg, take).await;
    }
    same_outcome(&tide, &pg, "DROP TYPE \"Ä\"").await;
    same_outcome(&tide, &pg, "INSERT INTO t VALUES (1)").await;
}
