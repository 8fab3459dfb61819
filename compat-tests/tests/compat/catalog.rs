//! What clients ask the catalog when they look around.

use tidelog_compat_tests::Server;

use crate::pair::{Pair, assert_same_lines};

/// psql's commands that must answer without an error; those with `pub` name a table.
const COMMANDS: &[&str] = &[
    "\\d", "\\d pub", "\\dt", "\\dt+", "\\dt *.*", "\\di", "\\di+", "\\dv", "\\ds", "\\dn",
    "\\dn+", "\\du", "\\dg", "\\l", "\\l+", "\\df", "\\dT", "\\dx", "\\dp", "\\dp pub", "\\dC",
    "\\do", "\\db", "\\drds", "\\dD", "\\dF", "\\dA",
];

#[test]
fn psql_looks_around_without_an_error() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE SCHEMA chat;
         CREATE TABLE pub (id int4 PRIMARY KEY, name varchar(10) NOT NULL, n numeric(10,2) DEFAULT 1.5);
         CREATE TABLE chat.inbox (id int8 PRIMARY KEY, body text) WITH (type = 'user');",
    );
    for command in COMMANDS {
        peer.run(&format!("{command}\n"));
    }
    let columns = peer.run("\\d pub\n");
    for part in [
        "id|integer||not null|",
        "name|character varying(10)||not null|",
        "n|numeric(10,2)|||1.5",
    ] {
        assert!(columns.contains(part), "{part} is missing in\n{columns}");
    }
    assert_eq!(
        peer.value("SELECT indexdef FROM pg_indexes WHERE tablename = 'pub'"),
        "CREATE UNIQUE INDEX pub_pkey ON public.pub USING btree (id)"
    );
    assert!(peer.run("\\dt *.*\n").contains("chat|inbox|table|postgres"));
}

/// psql's commands that list something. Not among them: \\dconfig, which tells of settings, and \\dx+, which describes what is in
/// plpgsql.
#[rustfmt::skip]
const LISTS: &[&str] = &[
    "d", "da", "dA", "dAc", "dAf", "dAo", "dAp", "db", "dc", "dC", "dd", "dD", "ddp", "dE", "des", "det", "deu", "dew", "df", "dF",
    "dFd", "dFp", "dFt", "dg", "di", "dl", "dL", "dm", "dn", "do", "dO", "dp", "dP", "drds", "dRp", "dRs", "ds", "dt", "dT", "du",
    "dv", "dX", "dy", "l", "z",
];

/// Each runs without an error, in all its forms; what it tells of users' objects has as many rows as in PostgreSQL.
#[test]
fn psql_lists_as_much_as_in_postgresql() {
    let pair = Pair::start();
    pair.run(
        "CREATE SCHEMA s;
         CREATE TYPE s.mood AS ENUM ('sad', 'happy');
         CREATE TABLE s.one (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m s.mood, n numeric(10, 2) CHECK (n > 0), up text UNIQUE);
         CREATE TABLE s.two (id bigserial PRIMARY KEY, one int REFERENCES s.one ON DELETE CASCADE, body text DEFAULT 'x');
         CREATE INDEX part ON s.two (lower(body)) WHERE one IS NOT NULL;
         CREATE VIEW s.seen AS SELECT id, body FROM s.two;
         CREATE MATERIALIZED VIEW s.kept AS SELECT count(*) AS n FROM s.two;
         CREATE SEQUENCE s.numbers;
         COMMENT ON TABLE s.one IS 'the first'; COMMENT ON COLUMN s.one.n IS 'a number';",
    );
    let forms = LISTS.iter().flat_map(|list| {
        ["", "+", " s.*", "+ s.*"].map(|form| format!("\\echo ## {list}{form}\n\\{list}{form}\n"))
    });
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), forms.collect::<String>()).unwrap();
    let told = [pair.tide.peer(), pair.pg.peer()].map(|peer| {
        let mut psql = peer.psql();
        psql.args(["-v", "ON_ERROR_STOP=0", "-f"])
            .arg(script.path());
        let told = psql.output().unwrap();
        let errors = String::from_utf8(told.stderr).unwrap();
        let errors: Vec<String> = errors
            .lines()
            .filter(|line| line.contains("ERROR"))
            .map(String::from)
            .collect();
        assert_eq!(errors, Vec::<String>::new());
        let told = String::from_utf8(told.stdout).unwrap();
        let lists = told.split("## ").skip(1).map(|told| {
            let (command, rows) = told.split_once('\n').unwrap();
            // What is in no schema of the user's differs by nature.
            let rows = match command.ends_with("s.*") {
                true => rows.lines().filter(|line| line.contains('|')).count(),
                false => 0,
            };
            format!("{command}: {rows} rows")
        });
        lists.collect::<Vec<_>>().join("\n")
    });
    assert_same_lines("lists", &told[1], &told[0]);
    assert!(told[0].lines().count() > 100);
}

#[test]
fn the_catalogs_agree_with_each_other() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE pub (id int4 PRIMARY KEY, name varchar(10) NOT NULL);");
    assert_eq!(
        peer.value(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a
             JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relname = 'pub' AND a.attnum > 0 ORDER BY a.attnum"
        ),
        "id|integer|t\nname|character varying(10)|t"
    );
    assert_eq!(
        peer.value(
            "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns
             WHERE table_name = 'pub' ORDER BY ordinal_position"
        ),
        "id|integer|\nname|character varying|10"
    );
    assert_eq!(peer.value("SELECT 'pub'::regclass::oid = c.oid, c.oid::regclass FROM pg_class c WHERE c.relname = 'pub'"), "t|pub");
    assert_eq!(
        peer.value("SELECT count(*) FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.oid IS NULL"),
        "0"
    );
}

/// An ordinary role learns of its own partitions only.
#[test]
fn the_tidelog_schema_hides_other_users_partitions() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE ada LOGIN; CREATE ROLE bob LOGIN;
         CREATE TABLE inbox (id int8 PRIMARY KEY) WITH (type = 'user');
         INSERT INTO inbox (_user, id) VALUES ('ada', 1), ('bob', 2), ('bob', 3);
         CALL tidelog.flush('inbox');",
    );
    let files = "SELECT partition, rows FROM tidelog.files ORDER BY 1";
    assert_eq!(peer.value(files), "ada|1\nbob|2");
    assert_eq!(peer.value(&format!("SET ROLE ada; {files}")), "ada|1");
    assert_eq!(
        peer.value("SET ROLE ada; SELECT partitions, cold_rows FROM tidelog.tables"),
        "1|1"
    );
}

/// A prepared statement follows the session's settings, which its plan must not keep.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_follow_the_settings() {
    let server = Server::start();
    server.peer().run(
        "CREATE SCHEMA a; CREATE TABLE a.t (n int4); INSERT INTO a.t VALUES (1);
         CREATE SCHEMA b; CREATE TABLE b.t (n int4); INSERT INTO b.t VALUES (2);",
    );
    let client = server.peer().connect().await;
    client.batch_execute("SET search_path = a").await.unwrap();
    let number = client.prepare("SELECT n FROM t").await.unwrap();
    let path = client
        .prepare("SELECT current_setting('search_path')")
        .await
        .unwrap();
    let settings = "SELECT setting FROM pg_settings WHERE name = 'search_path'";
    let settings = client.prepare(settings).await.unwrap();
    for (schema, n) in [("a", 1), ("b", 2)] {
        client
            .batch_execute(&format!("SET search_path = {schema}"))
            .await
            .unwrap();
        assert_eq!(
            client
                .query_one(&number, &[])
                .await
                .unwrap()
                .get::<_, i32>(0),
            n
        );
        for statement in [&path, &settings] {
            let value: String = client.query_one(statement, &[]).await.unwrap().get(0);
            assert_eq!(value, schema);
        }
    }
}

#[test]
fn the_standards_view_of_privileges() {
    let pair = Pair::start();
    pair.run(
        "CREATE ROLE al LOGIN PASSWORD 'x'; CREATE TABLE t (id int4 PRIMARY KEY, v text); CREATE VIEW w AS SELECT v FROM t;
         CREATE MATERIALIZED VIEW m AS SELECT id FROM t",
    );
    for query in [
        "SELECT * FROM information_schema.information_schema_catalog_name",
        "SELECT character_set_catalog, character_set_schema, character_set_name, character_repertoire, form_of_use FROM information_schema.character_sets",
        "SELECT role_name FROM information_schema.enabled_roles WHERE role_name NOT LIKE 'pg\\_%' ORDER BY 1",
        "SET ROLE al; SELECT role_name FROM information_schema.enabled_roles; SELECT count(*) FROM information_schema.table_privileges WHERE table_schema = 'public'",
        "SELECT * FROM information_schema.table_privileges WHERE table_schema = 'public' ORDER BY table_name, privilege_type",
        "SELECT * FROM information_schema.role_table_grants WHERE table_schema = 'public' ORDER BY table_name, privilege_type",
        "SELECT * FROM information_schema.column_privileges WHERE table_schema = 'public' ORDER BY table_name, column_name, privilege_type",
        "SELECT * FROM information_schema.role_column_grants WHERE table_schema = 'public' ORDER BY table_name, column_name, privilege_type",
    ] {
        pair.same(query);
    }
}

/// Tools that compare schemas read the conditions of checks in PostgreSQL's form.
#[test]
fn checks_are_shown_in_postgresqls_form() {
    let pair = Pair::start();
    let checks = [
        "id > 0",
        "s > 0",
        "b >= 0",
        "p > 0",
        "pn >= 1.5",
        "p <> -1",
        "r > 0",
        "d > 1.5",
        "d < 10",
        "st <> ''",
        "st IN ('p', 'q')",
        "v IN ('a', 'b')",
        "v = 'a'",
        "st NOT IN ('x', 'y')",
        "id IN (1, 2, 3)",
        "b IN (1, 2)",
        "s IN (1, 2)",
        "p IN (1, 2.5)",
        "id IN (1)",
        "v IN ('a')",
        "id BETWEEN 1 AND 5 AND id <> 3",
        "id NOT BETWEEN 1 AND 5",
        "p BETWEEN 0 AND 100",
        "st LIKE 'a%'",
        "v LIKE 'a%'",
        "st NOT LIKE 'a%'",
        "st ILIKE 'a%'",
        "v NOT ILIKE 'x'",
        "st ~ '^a'",
        "v ~* 'b'",
        "v !~ 'c'",
        "length(st) > 3",
        "length(v) < 10",
        "char_length(v) BETWEEN 2 AND 5",
        "lower(st) = st",
        "lower(v) = v",
        "lower(v) = 'a'",
        "ok",
        "NOT ok",
        "ok IS TRUE",
        "st IS NOT NULL",
        "st IS NULL OR v IS NOT NULL",
        "id > 0 AND s > 0 AND b > 0",
        "id > 0 OR s > 0 AND b > 0",
        "(id > 0 OR s > 0) AND b > 0",
        "id > 0 AND (s > 0 AND b > 0)",
        "dt > '2020-01-01'",
        "ts >= '2020-01-01 10:00'",
        "id > s",
        "id + s > 0",
        "id * 2 <> 4",
        "coalesce(id, 0) > 0",
        "st = 'a' OR st = 'b'",
        "id % 2 = 0",
        "-id < 0",
        "st IS DISTINCT FROM 'x'",
        "c = 'abc'",
        "u <> '00000000-0000-0000-0000-000000000000'",
        "b <> 5000000000",
        "dt BETWEEN '2020-01-01' AND '2021-01-01'",
        "id = ANY (ARRAY[1, 2])",
        "st = ANY (ARRAY['a', 'b'])",
        "v::text = ANY (ARRAY['a', 'b'])",
        "iv > '1 hour'",
        "ok = true",
        "st || v <> 'x'",
        "p > id",
        "id > 1.5",
        "dt < ts::date",
        "cardinality(tags) > 0",
        "abs(id) < 10",
        "upper(st) = 'A'",
        "jsonb_typeof(j) = 'object'",
        "st = 'it''s'",
        "id >= -5",
        "pn > -1.5",
        "id IS NOT NULL AND id > 0",
        "starts_with(st, 'a')",
        "dt IN ('2020-01-01', '2020-01-02')",
        "c IN ('a', 'b')",
        "r IN (1, 2)",
        "d IN (1, 2.5)",
        "m IN ('sad', 'odd')",
        "m <> 'sad'",
        "NOT (id > 0 AND s > 0)",
        "\"Odd Name\" > 0",
    ];
    let checks = checks.map(|check| format!("CHECK ({check})")).join(", ");
    pair.run(&format!(
        "CREATE TYPE mood AS ENUM ('sad', 'odd', 'glad');
         CREATE TABLE c (id int, s smallint, b bigint, p numeric(10, 2), pn numeric, r real, d double precision, st text, v varchar(20), c char(3), ok boolean, dt date,
             ts timestamp, u uuid, j jsonb, tags text[], iv interval, m mood, \"Odd Name\" int, {checks});"
    ));
    for query in [
        "SELECT conname, pg_get_constraintdef(oid) AS d, pg_get_expr(conbin, conrelid) AS e FROM pg_constraint WHERE conrelid = 'c'::regclass ORDER BY conname",
        "SELECT constraint_name, check_clause FROM information_schema.check_constraints WHERE constraint_name LIKE 'c\\_%' AND constraint_name NOT LIKE '%not_null' ORDER BY 1",
    ] {
        pair.same(query);
    }
}

/// Constants of defaults without the modifiers of their columns' types, and how the keys of indexes are sorted.
#[test]
fn defaults_and_orders_of_keys() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE d (a numeric DEFAULT '0', b numeric(10, 2) DEFAULT 0, c numeric DEFAULT 1.5, d bit(8) DEFAULT B'00000011', e bit varying(4) DEFAULT '0011',
             f numeric(10, 2)[] DEFAULT '{}', g varchar(3)[] DEFAULT '{}', h bit(3) DEFAULT '101', i numeric DEFAULT 99999999999999999999, j varbit DEFAULT B'1',
             k numeric(5, 1) DEFAULT '-1.5', l int DEFAULT '0');
         CREATE TABLE i (a int PRIMARY KEY, b int, c int);
         CREATE INDEX by_b ON i (b DESC, a NULLS FIRST, (c + 1)) INCLUDE (c);",
    );
    for query in [
        "SELECT attname, pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = 'd'::regclass ORDER BY attnum",
        "SELECT n, p, pg_index_column_has_property('by_b', n, p) FROM generate_series(0, 5) n, unnest(ARRAY['asc', 'desc', 'nulls_first', 'nulls_last', 'orderable', 'distance_orderable', 'returnable', 'search_array', 'search_nulls', 'x']) p ORDER BY n, p",
        "SELECT array_agg(pg_index_column_has_property(indexrelid, n::int2, 'ASC')) FROM pg_index, generate_series(1, 2) n WHERE indrelid = 'i'::regclass GROUP BY indexrelid::regclass::text ORDER BY indexrelid::regclass::text",
        "SELECT pg_typeof(proargmodes), count(*) > 0 FROM pg_proc WHERE proargmodes OPERATOR(pg_catalog.&&) ARRAY['o', 't']::\"char\"[] GROUP BY 1",
    ] {
        pair.same(query);
    }
}
