//! Stored generated columns beside PostgreSQL: every way in which rows are written, in both tiers, and every way in which
//! definitions change.

use tidelog_compat_tests::Server;

use crate::pair::{Pair, same_answers, same_outcome};

const FLUSH: &str = "CALL tidelog.flush('g');";

const ROWS: &str = "SELECT * FROM g ORDER BY id";

/// Statements that write, each in its way.
const WRITES: &[&str] = &[
    "INSERT INTO g VALUES (1, 2, 'One') RETURNING *",
    "INSERT INTO g VALUES (2, 3, 'Two', DEFAULT, DEFAULT), (3, NULL, NULL, DEFAULT, DEFAULT) RETURNING *",
    "INSERT INTO g (id, n) VALUES (4, 40) RETURNING twice, shout",
    "INSERT INTO g SELECT n, n, 'row ' || n FROM generate_series(5, 9) AS s(n)",
    "INSERT INTO g (id, n, twice) VALUES (10, 1, DEFAULT) RETURNING *",
    "INSERT INTO g VALUES (10, 1, 'again') ON CONFLICT (id) DO NOTHING",
    "INSERT INTO g VALUES (10, 7, 'again') ON CONFLICT (id) DO UPDATE SET n = excluded.twice, word = excluded.shout RETURNING *",
    "INSERT INTO g VALUES (11, 7, 'Other') ON CONFLICT (twice) DO UPDATE SET n = g.n + excluded.id, shout = DEFAULT RETURNING *",
    "UPDATE g SET n = n + 100 WHERE id < 4 RETURNING *",
    "UPDATE g SET n = n, twice = DEFAULT WHERE id = 4 RETURNING *",
    "UPDATE g SET word = o.shout || g.shout FROM g AS o WHERE o.id = g.id + 1 AND g.id > 4 AND g.id < 9",
    "UPDATE g SET (n, word) = (SELECT twice, shout FROM g WHERE id = 2) WHERE id = 3 RETURNING *",
    "DELETE FROM g WHERE twice = 204 RETURNING *",
];

#[tokio::test(flavor = "multi_thread")]
async fn generated_columns_follow_every_write() {
    let table = "id int PRIMARY KEY, n int, word text, twice int GENERATED ALWAYS AS (n * 2) STORED UNIQUE, shout text GENERATED ALWAYS AS (upper(word) || '!') STORED, CHECK (coalesce(n, 1) > 0)";
    for flush in [false, true] {
        let pair = Pair::start();
        pair.run(&format!("CREATE TABLE g ({table});"));
        let (tide, pg) = pair.connect().await;
        for statement in WRITES {
            if statement.starts_with("UPDATE g SET (n, word)") {
                pair.run("DELETE FROM g WHERE id = 1;");
            }
            pair.same(statement);
            if flush {
                pair.tide.peer().run(FLUSH);
            }
            same_answers(&tide, &pg, ROWS).await;
        }
        same_answers(
            &tide,
            &pg,
            "SELECT id FROM g WHERE twice > 10 AND shout LIKE '%!' ORDER BY id",
        )
        .await;
        for sql in [
            "INSERT INTO g VALUES (20, 1, 'a', 2)",
            "INSERT INTO g (id, twice) VALUES (20, DEFAULT), (21, 2)",
            "INSERT INTO g SELECT 20, 1, 'a', 2",
            "INSERT INTO g OVERRIDING SYSTEM VALUE VALUES (20, 1, 'a', 2)",
            "INSERT INTO g OVERRIDING USER VALUE VALUES (20, 1, 'a', 2)",
            "UPDATE g SET twice = 2",
            "UPDATE g SET (n, twice) = (1, 2)",
            "INSERT INTO g VALUES (4, 1) ON CONFLICT (id) DO UPDATE SET twice = 2",
            // Constraints see what is computed.
            "INSERT INTO g VALUES (20, 40)",
            "INSERT INTO g VALUES (20, 2000000000)",
            "INSERT INTO g VALUES (20, -1)",
            "COPY g (id, twice) FROM STDIN",
            "COPY g (id, twice) TO STDOUT",
        ] {
            same_outcome(&tide, &pg, sql).await;
        }
        same_answers(&tide, &pg, ROWS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_leaves_generated_columns_out() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE g (id int, first int GENERATED ALWAYS AS (id + 1) STORED, n int, last text GENERATED ALWAYS AS ('n is ' || n) STORED);
         COPY g FROM STDIN;\n1\t2\n3\t\\N\n\\.\n
         COPY g (n) FROM STDIN WITH (FORMAT csv);\n5\n\\.\n",
    );
    for flush in [false, true] {
        if flush {
            pair.tide.peer().run(FLUSH);
        }
        pair.same("SELECT * FROM g ORDER BY n");
        pair.same("COPY g TO STDOUT (FORMAT csv, HEADER)");
        pair.same("COPY (SELECT * FROM g ORDER BY n) TO STDOUT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_is_added_to_rows_from_before() {
    for (flush, block) in [(false, false), (true, false), (false, true), (true, true)] {
        let pair = Pair::start();
        let rows = "INSERT INTO g SELECT n, n % 3, 'w' || n FROM generate_series(1, 1200) AS s(n);";
        pair.run(&format!(
            "CREATE TABLE g (id int PRIMARY KEY, n int, word text); CREATE INDEX ON g (n); {rows}"
        ));
        if flush {
            pair.tide.peer().run(FLUSH);
            pair.run("UPDATE g SET n = 100 WHERE id = 7; DELETE FROM g WHERE id = 8;");
        }
        let (begin, commit) = if block {
            (
                "BEGIN; INSERT INTO g VALUES (5000, 5, 'new'); UPDATE g SET n = 77 WHERE id = 9;",
                "COMMIT;",
            )
        } else {
            ("", "")
        };
        pair.run(&format!(
            "{begin} ALTER TABLE g ADD COLUMN twice int GENERATED ALWAYS AS (n * 2) STORED NOT NULL CHECK (twice >= 0); {commit}
             ALTER TABLE g ADD COLUMN more int DEFAULT 4, ADD COLUMN tag text GENERATED ALWAYS AS (word || more) STORED UNIQUE;"
        ));
        let (tide, pg) = pair.connect().await;
        for again in [false, true] {
            if again {
                pair.tide
                    .peer()
                    .run("CALL tidelog.flush('g'); CALL tidelog.compact('g');");
            }
            same_answers(&tide, &pg, ROWS).await;
            same_answers(&tide, &pg, "SELECT * FROM g WHERE tag = 'w124'").await;
            same_answers(&tide, &pg, "SELECT * FROM g WHERE id = 7").await;
            same_answers(
                &tide,
                &pg,
                "SELECT sum(twice), count(tag) FROM g WHERE n = 2",
            )
            .await;
        }
        for sql in [
            "INSERT INTO g (id, n, word) VALUES (6000, 1, 'w12')",
            "INSERT INTO g (id, n) VALUES (6000, -1)",
            "INSERT INTO g (id, word) VALUES (6000, 'x')",
            "ALTER TABLE g ADD COLUMN bad int GENERATED ALWAYS AS (n / 0) STORED",
            "ALTER TABLE g ADD COLUMN bad int GENERATED ALWAYS AS (nullif(n, 2)) STORED NOT NULL",
            "ALTER TABLE g ADD COLUMN bad int GENERATED ALWAYS AS (n * 0) STORED UNIQUE",
            "ALTER TABLE g ADD COLUMN bad int GENERATED ALWAYS AS (n) STORED CHECK (bad > 5)",
        ] {
            same_outcome(&tide, &pg, sql).await;
        }
        pair.run("UPDATE g SET word = 'other' WHERE id = 10;");
        same_answers(&tide, &pg, ROWS).await;
    }
}

/// Every user's rows get the values, and each stays in its partition.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_users_get_an_added_column() {
    let pair = Pair::start();
    let tide = pair.tide.peer();
    tide.run(
        "CREATE ROLE ann; CREATE ROLE bob;
         CREATE TABLE g (id int PRIMARY KEY, n int) WITH (type = 'user');
         INSERT INTO g (_user, id, n) VALUES ('ann', 1, 10), ('bob', 1, 20), ('bob', 2, 30);",
    );
    tide.run(FLUSH);
    tide.run("ALTER TABLE g ADD COLUMN twice int GENERATED ALWAYS AS (n * 2) STORED;");
    assert_eq!(
        tide.value("SET ROLE ann; SELECT string_agg(id || ':' || twice, ' ') FROM g"),
        "1:20"
    );
    assert_eq!(
        tide.value(
            "SELECT string_agg(_user || ':' || id || ':' || twice, ' ' ORDER BY _user, id) FROM g"
        ),
        "ann:1:20 bob:1:40 bob:2:60"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_generate_a_column_is_refused() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for column in [
        "int GENERATED ALWAYS AS (b * 2) STORED",
        "int GENERATED ALWAYS AS (a * 2) STORED, c int GENERATED ALWAYS AS (b * 2) STORED",
        "int GENERATED ALWAYS AS (x * 2) STORED",
        "int GENERATED ALWAYS AS (sum(a)) STORED",
        "int GENERATED ALWAYS AS (row_number() OVER ()) STORED",
        "int GENERATED ALWAYS AS (generate_series(1, a)) STORED",
        "int GENERATED ALWAYS AS ((SELECT 1)) STORED",
        "float GENERATED ALWAYS AS (random()) STORED",
        "text GENERATED ALWAYS AS (concat(a, 'x')) STORED",
        "timestamptz GENERATED ALWAYS AS (now()) STORED",
        "date GENERATED ALWAYS AS (current_date) STORED",
        "text GENERATED ALWAYS AS (current_user) STORED",
        "date GENERATED ALWAYS AS (tz::date) STORED",
        "text GENERATED ALWAYS AS (d::text) STORED",
        "date GENERATED ALWAYS AS (w::date) STORED",
        "timestamptz GENERATED ALWAYS AS (tz + interval '1 day') STORED",
        "bool GENERATED ALWAYS AS (tz > d) STORED",
        "timestamptz GENERATED ALWAYS AS (date_trunc('day', tz)) STORED",
        "timestamptz GENERATED ALWAYS AS (date_trunc('day', d)) STORED",
        "text GENERATED ALWAYS AS (to_char(a, '999')) STORED",
        "numeric GENERATED ALWAYS AS (extract(day FROM tz)) STORED",
        "bigint GENERATED ALWAYS AS (nextval('s')) STORED",
        "int GENERATED ALWAYS AS (a * 2) STORED DEFAULT 5",
        "int GENERATED ALWAYS AS (a * 2) STORED GENERATED ALWAYS AS (a * 3) STORED",
        "int GENERATED ALWAYS AS (a * 2) STORED GENERATED ALWAYS AS IDENTITY",
        "serial GENERATED ALWAYS AS (a * 2) STORED",
        "bool GENERATED ALWAYS AS (a * 2) STORED",
        "int GENERATED ALWAYS AS ('x') STORED",
        "int GENERATED ALWAYS AS (ctid) STORED",
        "int GENERATED ALWAYS AS (a) STORED REFERENCES p ON UPDATE CASCADE",
        "int GENERATED ALWAYS AS (a) STORED REFERENCES p ON DELETE SET NULL",
        // These can.
        "text GENERATED ALWAYS AS (a || 'x') STORED",
        "int GENERATED ALWAYS AS ('7') STORED",
        "int GENERATED ALWAYS AS (t.a * 2) STORED",
        "text GENERATED ALWAYS AS (coalesce(w, a::text)) STORED",
        "timestamp GENERATED ALWAYS AS (tz AT TIME ZONE 'UTC') STORED",
        "timestamp GENERATED ALWAYS AS (date_trunc('day', ts)) STORED",
        "numeric GENERATED ALWAYS AS (extract(year FROM d)) STORED",
        "date GENERATED ALWAYS AS (d + 1) STORED",
        "date GENERATED ALWAYS AS (CASE WHEN a > 0 THEN date '2024-01-01' ELSE d END) STORED",
        "interval GENERATED ALWAYS AS (tz - tz) STORED",
        "numeric(10,2) GENERATED ALWAYS AS (a / 3.0) STORED",
        "varchar(3) GENERATED ALWAYS AS (w) STORED",
        "int GENERATED ALWAYS AS (length(w)) STORED REFERENCES p ON DELETE CASCADE",
    ] {
        let table = "DROP TABLE IF EXISTS t, p; CREATE SEQUENCE IF NOT EXISTS s; CREATE TABLE p (k int PRIMARY KEY)";
        tide.batch_execute(table).await.unwrap();
        pg.batch_execute(table).await.unwrap();
        let create = format!(
            "CREATE TABLE t (a int, w text, d date, ts timestamp, tz timestamptz, b {column})"
        );
        same_outcome(&tide, &pg, &create).await;
        let added = "DROP TABLE IF EXISTS t; CREATE TABLE t (a int, w text, d date, ts timestamp, tz timestamptz)";
        tide.batch_execute(added).await.unwrap();
        pg.batch_execute(added).await.unwrap();
        if !column.contains(", c ") {
            let add = format!("ALTER TABLE t ADD COLUMN b {column}");
            same_outcome(&tide, &pg, &add).await;
        }
        let insert = "INSERT INTO p VALUES (5); INSERT INTO t (a, w, d, ts, tz) VALUES (5, 'three', '2024-05-06', '2024-05-06 07:08', '2024-05-06 07:08+00')";
        same_outcome(&tide, &pg, insert).await;
        same_answers(&tide, &pg, "SELECT * FROM t").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_with_generated_columns_change_as_postgresql_s() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE g (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED NOT NULL UNIQUE CHECK (b < 1000), c text, d text GENERATED ALWAYS AS (lower(c)) STORED);
         INSERT INTO g VALUES (1, DEFAULT, 'X');",
    );
    let (tide, pg) = pair.connect().await;
    let catalogs = [
        "\\d g",
        "SELECT attname, attgenerated, atthasdef, pg_get_expr(adbin, adrelid) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = 'g'::regclass AND attnum > 0 ORDER BY attnum",
        "SELECT column_name, column_default, is_generated, generation_expression, is_nullable FROM information_schema.columns WHERE table_name = 'g' ORDER BY ordinal_position",
        "SELECT table_name, column_name, dependent_column FROM information_schema.column_column_usage ORDER BY 1, 2, 3",
        "SELECT refobjsubid, deptype FROM pg_depend WHERE classid = 'pg_attrdef'::regclass AND refobjid = 'g'::regclass ORDER BY 1, 2",
    ];
    for sql in [
        "SELECT 1",
        "ALTER TABLE g ALTER b SET DEFAULT 4",
        "ALTER TABLE g ALTER b DROP DEFAULT",
        "ALTER TABLE g ALTER b ADD GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE g ALTER a DROP EXPRESSION",
        "ALTER TABLE g ALTER a DROP EXPRESSION IF EXISTS",
        "ALTER TABLE g ALTER missing DROP EXPRESSION IF EXISTS",
        "ALTER TABLE g ALTER a TYPE bigint",
        "ALTER TABLE g DROP COLUMN a",
        "ALTER TABLE g DROP COLUMN c",
        "ALTER TABLE g RENAME a TO \"A b\"",
        "INSERT INTO g VALUES (2, DEFAULT, 'Y')",
        "ALTER TABLE g RENAME c TO words; ALTER TABLE g RENAME TO h; ALTER TABLE h RENAME TO g",
        "UPDATE g SET words = words || 'Z'",
        "ALTER TABLE g ADD COLUMN e int GENERATED ALWAYS AS (\"A b\" + b) STORED",
        "ALTER TABLE g ADD COLUMN e int GENERATED ALWAYS AS (\"A b\" + 1) STORED, ADD COLUMN f int GENERATED ALWAYS AS (e + 1) STORED",
        "ALTER TABLE g ALTER d DROP EXPRESSION",
        "UPDATE g SET d = 'own', words = 'w' WHERE \"A b\" = 1",
        "BEGIN; ALTER TABLE g ADD COLUMN e int GENERATED ALWAYS AS (length(words)) STORED; SAVEPOINT s; ALTER TABLE g DROP words CASCADE; ROLLBACK TO s; UPDATE g SET words = 'longer'; COMMIT",
        "ALTER TABLE g DROP COLUMN words CASCADE",
    ] {
        same_outcome(&tide, &pg, sql).await;
        // Each of them starts psql twice.
        let all = sql.contains("RENAME") || sql.contains("DROP EXPRESSION") && !sql.contains("IF");
        for catalog in &catalogs[..if all { catalogs.len() } else { 1 }] {
            pair.same(catalog);
        }
        same_answers(&tide, &pg, "SELECT * FROM g ORDER BY 1").await;
    }
    for (like, value) in [
        ("", "3"),
        ("INCLUDING GENERATED", "DEFAULT"),
        ("INCLUDING DEFAULTS", "3"),
        ("INCLUDING ALL", "DEFAULT"),
        ("INCLUDING ALL EXCLUDING GENERATED", "3"),
    ] {
        pair.run(&format!(
            "DROP TABLE IF EXISTS l; CREATE TABLE l (LIKE g {like});
             INSERT INTO l (\"A b\", b) VALUES (9, {value});"
        ));
        pair.same("\\d l");
        pair.same("SELECT * FROM l");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_and_cascades_go_over_generated_columns() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE p (k int PRIMARY KEY, twice int GENERATED ALWAYS AS (k * 2) STORED UNIQUE);
         CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, label text GENERATED ALWAYS AS ('of ' || up) STORED);
         CREATE TABLE other (id int PRIMARY KEY, up int REFERENCES p (twice) ON UPDATE SET NULL, known bool GENERATED ALWAYS AS (up IS NOT NULL) STORED);
         CREATE TABLE third (n int, up int GENERATED ALWAYS AS (n + 1) STORED REFERENCES p ON DELETE CASCADE);
         INSERT INTO p VALUES (1), (2), (3);
         INSERT INTO child VALUES (1, 1), (2, 2), (3, 3);
         INSERT INTO other VALUES (1, 2), (2, 4), (3, 6);",
    );
    let (tide, pg) = pair.connect().await;
    for flush in [false, true] {
        for sql in [
            "UPDATE p SET k = k + 10 WHERE k = 1",
            "INSERT INTO third VALUES (1), (2)",
            "INSERT INTO third VALUES (8)",
            "UPDATE third SET n = 8",
            "DELETE FROM p WHERE k = 2",
            "INSERT INTO other VALUES (9, 9)",
        ] {
            if flush {
                pair.tide.peer().run("CALL tidelog.flush('p'); CALL tidelog.flush('child'); CALL tidelog.flush('other'); CALL tidelog.flush('third');");
            }
            same_outcome(&tide, &pg, sql).await;
            for query in [
                "SELECT * FROM p ORDER BY k",
                "SELECT * FROM child ORDER BY id",
                "SELECT * FROM other ORDER BY id",
                "SELECT * FROM third ORDER BY n",
            ] {
                same_answers(&tide, &pg, query).await;
            }
        }
        pair.run("DELETE FROM other; DELETE FROM p; INSERT INTO p VALUES (1), (2), (3); INSERT INTO child VALUES (1, 1), (2, 2), (3, 3); INSERT INTO other VALUES (1, 2), (2, 4), (3, 6);");
    }
}

/// Rows that others write while a column is added get its values, too.
#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_while_a_column_is_added() {
    let tide = Server::start();
    tide.peer().run(
        "CREATE TABLE g (id int PRIMARY KEY, n int);
         INSERT INTO g SELECT n, n FROM generate_series(1, 2000) AS s(n);",
    );
    let (writer, altering) = (tide.peer().connect().await, tide.peer().connect().await);
    let writing = tokio::spawn(async move {
        for id in 3000..3150 {
            for sql in [
                format!("INSERT INTO g (id, n) VALUES ({id}, {id})"),
                format!("UPDATE g SET n = n + 1 WHERE id = {}", id - 2500),
            ] {
                writer.batch_execute(&sql).await.unwrap();
            }
        }
    });
    let add = "ALTER TABLE g ADD COLUMN twice int GENERATED ALWAYS AS (n * 2) STORED";
    altering.batch_execute(add).await.unwrap();
    writing.await.unwrap();
    let wrong = "SELECT count(*) FROM g WHERE twice IS DISTINCT FROM n * 2";
    assert_eq!(tide.peer().value(wrong), "0");
    assert_eq!(
        tide.peer().value("SELECT count(*), sum(n) FROM g"),
        "2150|2462325"
    );
}
