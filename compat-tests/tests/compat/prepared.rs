//! PREPARE, EXECUTE and DEALLOCATE, and what dumps and catalogue queries ask for.

use tidelog_compat_tests::Server;

use crate::constraints::play;
use crate::pair::{Pair, Raw, same_answers};

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_prepared_by_name() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, n int, x text);
         PREPARE ins (int, int) AS INSERT INTO t VALUES ($1, $2, 'x') RETURNING id;
         PREPARE sel AS SELECT x, n FROM t WHERE id = $1;
         PREPARE ins AS SELECT 1;
         EXECUTE ins (1, 10);
         EXECUTE ins (2, 1 + 1);
         EXECUTE ins ('3', NULL);
         EXECUTE ins (1, 10);
         EXECUTE ins (1);
         EXECUTE sel (2);
         EXECUTE sel ('x');
         EXECUTE nope;
         BEGIN;
         PREPARE inside AS SELECT 5 AS five;
         ROLLBACK;
         EXECUTE inside;
         DEALLOCATE inside;
         EXECUTE inside;
         DEALLOCATE PREPARE sel;
         DEALLOCATE sel;
         DEALLOCATE ALL;
         EXECUTE ins (9, 9);
         PREPARE a AS SELECT 1;
         DISCARD ALL;
         EXECUTE a;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_changes_follow_the_table() {
    play(
        "CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 7, x varchar(8), CHECK (n < 1000));
         INSERT INTO t SELECT g, g * 10, 'x' || g FROM generate_series(1, 9) g;
         PREPARE add (int, int) AS UPDATE t SET n = n + $2 WHERE id = $1 RETURNING *;
         PREPARE put (int, text) AS UPDATE t SET x = $2, n = DEFAULT WHERE id = $1;
         PREPARE del (int) AS DELETE FROM t WHERE id = $1 AND n > 20 RETURNING id;
         EXECUTE add (1, 5);
         EXECUTE add (1, NULL);
         EXECUTE add (99, 5);
         EXECUTE add (NULL, 5);
         EXECUTE add (2, 2147483647);
         EXECUTE add (2, 5000);
         EXECUTE put (2, 'put');
         EXECUTE put (3, 'longer than eight');
         EXECUTE put (3, NULL);
         EXECUTE del (1);
         EXECUTE del (4);
         EXECUTE del (4);
         BEGIN;
         EXECUTE add (5, 1);
         INSERT INTO t VALUES (20, 1, 'own');
         EXECUTE add (20, 1);
         UPDATE t SET id = 21 WHERE id = 20;
         EXECUTE add (20, 1);
         EXECUTE add (21, 1);
         DELETE FROM t WHERE id = 21;
         EXECUTE add (21, 1);
         ROLLBACK;
         EXECUTE add (5, 1);
         EXECUTE add (20, 1);
         ALTER TABLE t ALTER COLUMN n SET DEFAULT 8;
         EXECUTE put (5, 'eight');
         ALTER TABLE t ADD COLUMN y int DEFAULT 3;
         EXECUTE put (6, 'six');
         EXECUTE add (6, 1);
         ALTER TABLE t DROP COLUMN y;
         EXECUTE add (6, 1);
         ALTER TABLE t RENAME COLUMN x TO z;
         EXECUTE put (7, 'seven');
         ALTER TABLE t RENAME COLUMN z TO x;
         EXECUTE put (7, 'seven');
         ALTER TABLE t DROP CONSTRAINT t_pkey;
         INSERT INTO t VALUES (7, 1, 'twin');
         EXECUTE put (7, 'both');
         EXECUTE del (7);
         SELECT * FROM t ORDER BY id, n;
         DROP TABLE t;
         EXECUTE put (7, 'gone');",
    )
    .await;
}

/// DEALLOCATE reaches the statements of the protocol, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_protocols_statements_can_be_deallocated() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for client in [tide, pg] {
        let statement = client.prepare("SELECT 1 AS a").await.unwrap();
        client.batch_execute("DEALLOCATE ALL").await.unwrap();
        let error = client.query(&statement, &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "26000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dumps_ask_for() {
    let pair = Pair::start();
    pair.run(
        "CREATE SEQUENCE s START 5;
         CREATE TABLE t (id serial PRIMARY KEY, b bigint GENERATED ALWAYS AS IDENTITY, u uuid DEFAULT gen_random_uuid());
         SELECT nextval('s');",
    );
    for query in [
        "SELECT last_value, is_called FROM s",
        "SELECT last_value, is_called FROM public.t_id_seq",
        "SELECT tableoid::regclass, nspname FROM pg_namespace WHERE nspname = 'public'",
        "SELECT c.tableoid = 'pg_class'::regclass AS a, n.tableoid IS NULL AS b FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = 0 WHERE c.relname = 't'",
        "SELECT tableoid::regclass FROM t",
        "SELECT acldefault('n', 10), acldefault('T', 10), acldefault('r', 10)",
        "SELECT c.relname, d.refobjid::regclass, d.refobjsubid, d.deptype FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass WHERE c.relkind = 'S' ORDER BY 1",
        "SELECT typname[0] AS a FROM pg_type WHERE typname = '_int4'",
    ] {
        pair.same(query);
    }
    // PostgreSQL takes FREEZE for a table that is empty for all others only.
    pair.run(
        "BEGIN;\nTRUNCATE t;\nCOPY t (id) FROM STDIN WITH (FREEZE ON);\n7\n8\n9\n\\.\nCOMMIT;\n",
    );
    pair.same("SELECT count(*), count(DISTINCT u), count(DISTINCT b) FROM t");
    pair.run("INSERT INTO t (id) SELECT n FROM generate_series(20, 29) AS g(n);");
    pair.same("SELECT count(*), count(DISTINCT u) FROM t");
    play(
        "CREATE TABLE l (a int);
         LOCK TABLE l IN ACCESS SHARE MODE;
         BEGIN;
         LOCK TABLE l IN ACCESS SHARE MODE;
         LOCK TABLE nope IN ACCESS SHARE MODE;
         ROLLBACK;",
    )
    .await;
    let server = Server::start();
    let client = server.peer().connect().await;
    let refused = client
        .batch_execute("CREATE TABLE l (a int); BEGIN; LOCK TABLE l")
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "0A000");
}

/// A session keeps what expressions and defaults mean: they follow its settings, its transactions and the catalog all the same.
#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_come_again_mean_what_they_mean_then() {
    crate::constraints::play(
        "CREATE TABLE e (id serial, \"Wann\" timestamptz, n bigint, v text DEFAULT 'a' || 'b');
         INSERT INTO e (\"Wann\") VALUES (cast('2024-01-01 00:00' || '' AS timestamptz));
         SET TimeZone = 'Asia/Tokyo';
         INSERT INTO e (\"Wann\") VALUES (cast('2024-01-01 00:00' || '' AS timestamptz));
         SET TimeZone = 'UTC';
         INSERT INTO e (\"Wann\") VALUES (cast('2024-01-01 00:00' || '' AS timestamptz));
         SELECT * FROM e ORDER BY id;
         CREATE SCHEMA o;
         CREATE SEQUENCE s;
         CREATE SEQUENCE o.s START 50;
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         SET search_path = o, public;
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         RESET search_path;
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         ALTER SEQUENCE s RESTART 100;
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         ALTER TABLE e ALTER v SET DEFAULT 'c' || 'd';
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         BEGIN;
         ALTER TABLE e ALTER v SET DEFAULT 'x';
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         SELECT * FROM e ORDER BY id;
         ROLLBACK;
         INSERT INTO e (n) VALUES (nextval('s') + 0);
         SELECT v, n FROM e ORDER BY id;
         TRUNCATE e;
         INSERT INTO e (\"Wann\") VALUES (now() + interval '1 hour');
         INSERT INTO e (\"Wann\") VALUES (now() + interval '1 hour');
         BEGIN;
         INSERT INTO e (\"Wann\") VALUES (now() + interval '1 hour');
         INSERT INTO e (\"Wann\") VALUES (now() + interval '1 hour');
         COMMIT;
         SELECT count(DISTINCT \"Wann\") FROM e;
         INSERT INTO e (v) VALUES (gen_random_uuid());
         INSERT INTO e (v) VALUES (gen_random_uuid());
         SELECT count(DISTINCT v) FROM e;
         INSERT INTO e (n) VALUES (length(v));
         INSERT INTO e (n) VALUES ((SELECT count(*) FROM e));
         INSERT INTO e (n) VALUES ((SELECT count(*) FROM e));
         SELECT n FROM e WHERE n IS NOT NULL ORDER BY n;
         INSERT INTO e (n) VALUES (1 / 0);
         INSERT INTO e (n) VALUES (1 / 0);
         INSERT INTO e (v) VALUES (current_setting('application_name') || current_user);
         SET application_name = 'other';
         INSERT INTO e (v) VALUES (current_setting('application_name') || current_user);
         SELECT v FROM e WHERE v LIKE 'other%'",
    )
    .await;
}

/// The query of an INSERT is planned once, and anew when what it is about has changed.
#[tokio::test(flavor = "multi_thread")]
async fn inserts_of_queries_follow_the_catalog() {
    crate::constraints::play(
        "CREATE TABLE \"Größe\" (id int, v text);
         CREATE TABLE into_it (id int, v text, n bigint DEFAULT 7);
         INSERT INTO \"Größe\" VALUES (1, 'a'), (2, 'b');
         PREPARE i AS INSERT INTO into_it (id, v) SELECT id + $1, v || $2 FROM \"Größe\" WHERE id < $3 RETURNING *;
         EXECUTE i(10, 'x', 2);
         INSERT INTO \"Größe\" VALUES (0, 'c');
         EXECUTE i(20, 'y', 2);
         ALTER TABLE \"Größe\" ALTER v SET DEFAULT 'q';
         EXECUTE i(30, 'z', 1);
         BEGIN;
         ALTER TABLE \"Größe\" RENAME v TO w;
         EXECUTE i(40, 'z', 1);
         ROLLBACK;
         EXECUTE i(50, 'z', 1);
         CREATE SCHEMA o;
         CREATE TABLE o.\"Größe\" (id int, v text);
         INSERT INTO o.\"Größe\" VALUES (100, 'o');
         SET search_path = o, public;
         EXECUTE i(60, 'o', 1000);
         RESET search_path;
         EXECUTE i(70, 'p', 1);
         DROP TABLE \"Größe\";
         EXECUTE i(80, 'p', 1);
         SELECT * FROM into_it ORDER BY id",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_beside_columns_have_no_modifier() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let setup = "CREATE TABLE m (id int PRIMARY KEY, price numeric(10,2), v varchar(3), c char(3));
         INSERT INTO m VALUES (1, 26.31, 'abc', 'a'), (2, 26.30, 'abd', 'b  ');
         PREPARE prices AS SELECT id FROM m WHERE price IN ($1, $2);
         PREPARE price AS SELECT id FROM m WHERE price IN ($1);
         PREPARE priced AS SELECT id FROM m WHERE price BETWEEN $1 AND $2;
         PREPARE varying AS SELECT id FROM m WHERE v IN ($1, $2);
         PREPARE padded AS SELECT id FROM m WHERE c IN ($1, $2) ORDER BY 1;
         PREPARE spanning AS SELECT id FROM m WHERE v BETWEEN $1 AND $2;
         PREPARE alike AS SELECT id FROM m WHERE v LIKE $1 AND c NOT ILIKE $2;
         PREPARE patterns AS SELECT id FROM m, pg_am WHERE $1 LIKE v OR $2 LIKE c OR amname LIKE $3;
         PREPARE likened AS SELECT id FROM m WHERE c LIKE $1 OR c ILIKE $2 ORDER BY 1;
         PREPARE escaped AS SELECT id FROM m WHERE v LIKE $1 ESCAPE $2 ORDER BY 1;";
    for client in [&tide, &pg] {
        client.batch_execute(setup).await.unwrap();
    }
    for query in [
        "SELECT name, parameter_types FROM pg_prepared_statements WHERE parameter_types <> '{}' ORDER BY 1",
        "EXECUTE prices (26.305, 4)",
        "EXECUTE prices (26.300, 4)",
        "EXECUTE price (26.305)",
        "EXECUTE priced (26.305, 26.309)",
        "EXECUTE priced (26.305, 26.31)",
        "EXECUTE varying ('abcd', 'abd')",
        "EXECUTE padded ('a', 'bbbb')",
        "EXECUTE padded ('a  ', 'b')",
        "EXECUTE spanning ('abcc', 'abde')",
        "EXECUTE alike ('ab%', 'A  _')",
        "EXECUTE likened ('a  ', 'B  ')",
        "EXECUTE likened ('a', 'b%')",
        "EXECUTE escaped ('ab!d', '!')",
        "EXECUTE escaped ('ab#_', '#')",
        "EXECUTE escaped ('ab%', '')",
        "EXECUTE escaped ('ab%', NULL)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

/// What both say of the parameters of a statement: drivers send them in binary by it.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_of_the_types_of_what_is_beside_them() {
    let pair = Pair::start();
    pair.run("CREATE TABLE p (id int PRIMARY KEY, d date, n numeric(6,2), v varchar(5), a int[], b bool); INSERT INTO p VALUES (1, '2020-01-01', 1.5, 'x', '{1,2}', true);");
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT CASE d WHEN $1 THEN 1 END, CASE n WHEN 1 THEN 2 WHEN $2 THEN 3 END FROM p",
        "SELECT nullif(d, $1), nullif($2, n) FROM p",
        "SELECT d FROM p UNION SELECT $1",
        "SELECT $1 UNION ALL SELECT n FROM p",
        "SELECT count(*) FILTER (WHERE $1) FROM p",
        "SELECT a[$1], a[$2:$3] FROM p",
        "SELECT $1 IN (1, 2), $2 IN (date '2020-01-01'), $3 IN (n) FROM p",
        "SELECT $1 BETWEEN date '2020-01-01' AND '2021-01-01', $2 BETWEEN id AND 7 FROM p",
        "SELECT percentile_cont($1) WITHIN GROUP (ORDER BY id) FROM p",
        "SELECT pg_sleep($1)",
        "SELECT set_config($1, $2, $3)",
        "SELECT format_type($1, $2)",
        "SELECT col_description($1, $2), obj_description($3, $4)",
        "SELECT d IS DISTINCT FROM $1 FROM p",
    ] {
        let described = async |client: &tokio_postgres::Client| {
            let statement = client.prepare(query).await.expect(query);
            let names = statement.params().iter().map(|ty| ty.name().to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(described(&tide).await, described(&pg).await, "{query}");
    }
    for client in [&tide, &pg] {
        let day = first_of_2020();
        let row = client
            .query_one(
                "SELECT count(*) FILTER (WHERE $1), count(CASE d WHEN $2 THEN 1 END), count(nullif(id, $3)) FROM p",
                &[&true, &day, &1_i32],
            )
            .await
            .unwrap();
        let counts: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        assert_eq!(counts, [1, 1, 0]);
    }
}

/// 2020-01-01 as a date in binary.
fn first_of_2020() -> Raw {
    Raw(7305_i32.to_be_bytes().to_vec())
}
