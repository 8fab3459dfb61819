//! What the system's relations and functions say of users' objects, and of the system itself.

use std::time::{Duration, Instant};

use tidelog_compat_tests::Server;

use crate::pair::Pair;

const OBJECTS: &str = "
    CREATE SCHEMA \"Größe\";
    CREATE SCHEMA app;
    CREATE TYPE mood AS ENUM ('a', 'b');
    CREATE TYPE app.mood AS ENUM ('x', 'y');
    CREATE TYPE \"Größe\".\"Stimmung\" AS ENUM ('gut', 'schlecht');
    CREATE TYPE app.date AS ENUM ('q');
    CREATE TABLE app.t (id int PRIMARY KEY, m mood, am app.mood, ms app.mood[], n int[], v varchar(3)[], s \"Größe\".\"Stimmung\", d app.date, ts timestamp(3)[]);
    CREATE TABLE t (id int UNIQUE, \"Maß\" mood[], name varchar(9), n int[]);
    CREATE TABLE child (id int PRIMARY KEY REFERENCES t (id));
    CREATE VIEW v AS SELECT \"Maß\", id FROM t;
    CREATE INDEX \"Süß\" ON t (name DESC, id);
    CREATE INDEX ON app.t (am, n);";

/// Names mean what the path makes of them, and so what is visible.
#[test]
fn what_is_visible_follows_the_path() {
    let pair = Pair::start();
    pair.run(OBJECTS);
    let types = "SELECT n.nspname, typname, pg_type_is_visible(t.oid), format_type(t.oid, NULL), t.oid::regtype
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE n.nspname IN ('public', 'app', 'Größe') AND typname !~ 'hstore|citext' ORDER BY 1, 2";
    let relations = "SELECT n.nspname, relname, pg_table_is_visible(c.oid), c.oid::regclass
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relname IN ('t', 'v', 't_pkey', 't_id_key', 'Süß', 'pg_class') ORDER BY 1, 2";
    for path in [
        "public",
        "app, public",
        "public, app",
        "\"Größe\"",
        "app, pg_catalog, public",
    ] {
        pair.same(&format!("SET search_path = {path}; {types}; {relations}"));
    }
    pair.same("CREATE TEMP TABLE t (x int); CREATE TYPE pg_temp.mood AS ENUM (); SELECT relname, relnamespace = pg_my_temp_schema(), pg_table_is_visible(oid) FROM pg_class WHERE relname = 't' ORDER BY 2, 3; SELECT typnamespace = pg_my_temp_schema(), pg_type_is_visible(oid) FROM pg_type WHERE typname = 'mood' ORDER BY 1, 2");
    pair.same(
        "SELECT pg_type_is_visible(0), pg_type_is_visible(NULL), pg_table_is_visible(1), pg_function_is_visible(1), pg_operator_is_visible(1), pg_opclass_is_visible(1), pg_opfamily_is_visible(1), pg_collation_is_visible(1), pg_conversion_is_visible(1), pg_ts_config_is_visible(1)",
    );
    pair.same(
        "SELECT pg_type_is_visible('int4'::regtype), pg_function_is_visible('now'::regproc), pg_operator_is_visible(96), pg_opclass_is_visible(1978), pg_opfamily_is_visible(1976), pg_collation_is_visible(100)",
    );
}

#[test]
fn what_was_changed_of_tables_is_counted() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE alice LOGIN; CREATE TABLE t (id int PRIMARY KEY, v text);
         CREATE TABLE u (id int PRIMARY KEY) WITH (type = 'user');
         INSERT INTO t SELECT n, 'x' FROM generate_series(1, 10) n; UPDATE t SET v = 'y' WHERE id < 4;
         DELETE FROM t WHERE id = 9; BEGIN; INSERT INTO t VALUES (100, 'z'); ROLLBACK; INSERT INTO u VALUES (1);",
    );
    let counts =
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1";
    assert_eq!(peer.run(counts), "t|10|3|1\nu|1|0|0\n");
    let alice = peer.role("alice", "");
    assert_eq!(alice.run(counts), "t|10|3|1\nu|||\n");
    let live = "SELECT n_live_tup FROM pg_stat_all_tables WHERE relname = 'u'";
    assert_eq!(peer.run(live), "1\n");
    assert_eq!(alice.run(live), "0\n");
    server.restart();
    assert_eq!(server.peer().run(counts), "t|0|0|0\nu|0|0|0\n");
    assert_eq!(server.peer().run(live), "1\n");
}

#[test]
fn settings_say_what_they_take() {
    let pair = Pair::start();
    for query in [
        "SELECT name, setting, unit, category, short_desc, extra_desc, context, vartype, min_val, max_val, enumvals, source, boot_val, reset_val, pending_restart
            FROM pg_settings WHERE name IN ('work_mem', 'statement_timeout', 'IntervalStyle', 'vacuum_cost_delay', 'geqo', 'max_index_keys', 'lock_timeout', 'segment_size') ORDER BY name",
        "SET statement_timeout = '90s'; SET work_mem = '8MB'; SELECT name, setting, unit, source, boot_val FROM pg_settings WHERE name IN ('statement_timeout', 'work_mem', 'lock_timeout') ORDER BY name; SHOW statement_timeout",
        "SET \"app.süß\" = 'y'",
        "SET app.x = 'y'; SELECT count(*) FROM pg_settings WHERE name = 'app.x'",
        "SELECT 'serializable' = ANY (enumvals) FROM pg_settings WHERE name = 'transaction_isolation'",
    ] {
        match query.contains("süß") {
            true => pair.same_or_fail(query),
            false => pair.same(query),
        }
    }
    for name in [
        "max_wal_size",
        "checkpoint_timeout",
        "autovacuum",
        "autovacuum_naptime",
        "max_worker_processes",
        "wal_level",
        "shared_buffers",
        "wal_segment_size",
        "max_prepared_transactions",
        "segment_size",
        "bgwriter_flush_after",
        "huge_pages",
        "log_min_messages",
        "max_function_args",
        "track_counts",
    ] {
        pair.same(&format!("SHOW {name}"));
        pair.same(&format!(
            "SELECT name, setting, unit, category, short_desc, context, vartype, min_val, max_val, enumvals, boot_val FROM pg_settings WHERE name = '{name}'"
        ));
    }
    for statement in [
        "SET work_mem = 65536; SHOW work_mem",
        "SET work_mem = '1.5GB'; SHOW work_mem",
        "SET work_mem = 'abc'",
        "SET work_mem = '10XB'",
        "SET work_mem = -1",
        "SET temp_buffers = 1024; SHOW temp_buffers",
        "SET random_page_cost = 1.1; SHOW random_page_cost",
        "SET random_page_cost = -1",
        "SET plan_cache_mode = Force_Generic_Plan; SHOW plan_cache_mode",
        "SET plan_cache_mode = 'x'",
        "SET constraint_exclusion = true; SHOW constraint_exclusion",
        "SET vacuum_cost_delay = '1.5ms'; SHOW vacuum_cost_delay",
        "SET statement_timeout = '1 fortnight'",
        "SET extra_float_digits = 9",
        "SET geqo = 'maybe'",
        "SET wal_level = 'logical'",
        "SET fsync = off",
        "SET block_size = 5",
        "SET log_connections = on",
        "RESET shared_buffers",
    ] {
        pair.same_or_fail(statement);
    }
    let limit = pair
        .tide
        .peer()
        .run("SHOW max_connections; SELECT current_setting('max_connections');");
    assert_eq!(limit, "1000\n1000\n");
    let said = pair.tide.peer().run("SHOW ALL;");
    assert!(said.contains("work_mem|4MB|Sets the maximum memory to be used for query workspaces."));
}

#[test]
fn operators_and_aggregates_have_rows() {
    let pair = Pair::start();
    for query in [
        "SELECT o.oprname, l.typname, r.typname, o.oprresult::regtype, o.oprcode, o.oprkind, o.oprcom, o.oprnegate, o.oprrest, o.oprjoin
            FROM pg_operator o LEFT JOIN pg_type l ON l.oid = oprleft LEFT JOIN pg_type r ON r.oid = o.oprright
            WHERE (o.oprname, o.oprleft, o.oprright) IN (('=', 23, 23), ('~~', 25, 25), ('@>', 3802, 3802), ('-', 0, 23)) ORDER BY o.oid",
        "SELECT f.opfname, a.amopstrategy, a.amopopr::regoperator, a.amoplefttype::regtype FROM pg_amop a JOIN pg_opfamily f ON f.oid = a.amopfamily
            WHERE f.opfname = 'integer_ops' AND f.opfmethod = 403 ORDER BY a.amoplefttype, a.amoprighttype, 2",
        "SELECT a.aggfnoid, a.aggkind, a.aggtransfn, a.aggtranstype::regtype FROM pg_aggregate a
            WHERE aggfnoid::oid IN (SELECT oid FROM pg_proc WHERE proname IN ('max', 'array_agg', 'string_agg') AND prorettype IN (23, 25, 2277)) ORDER BY a.aggfnoid::oid",
        "SELECT '=(int4,int8)'::regoperator, '-( NONE , integer)'::regoperator, 15::regoperator, 15::regoper, '||/'::regoper, 0::regoper, to_regoper('nix'), to_regoperator('=(int4,int4)')",
        "SELECT '=(int4,int4)'::regoperator, '||/'::regoper \\gdesc\n",
    ] {
        pair.same(query);
    }
    // What has a row can be called.
    let rows = pair.tide.peer().run(
        "SELECT o.oprname, o.oprleft::regtype, o.oprright::regtype, o.oprresult::regtype FROM pg_operator o
         WHERE oprleft <> 0 AND o.oid::bigint % 7 = 0 AND (SELECT typtype FROM pg_type WHERE oid = oprleft) = 'b' AND (SELECT typtype FROM pg_type WHERE oid = oprright) = 'b' AND (SELECT typtype FROM pg_type WHERE oid = oprresult) = 'b' ORDER BY o.oid;",
    );
    let mut calls = Vec::new();
    for row in rows.lines() {
        // A `|` of an operator's is one, too.
        let fields: Vec<&str> = row.rsplitn(4, '|').collect();
        let [result, right, left, name] = fields.as_slice() else {
            panic!("{row}");
        };
        calls.push(format!(
            "SELECT '{name}', pg_typeof(a {name} b) = '{result}'::regtype FROM (SELECT NULL::{left} AS a, NULL::{right} AS b) s;"
        ));
    }
    assert!(calls.len() > 30, "{} operators", calls.len());
    let said = pair.tide.peer().run(&calls.concat());
    assert!(said.lines().all(|line| line.ends_with("|t")), "{said}");
}

#[test]
fn the_standards_catalog_tells_of_elements_and_roles() {
    let pair = Pair::start();
    pair.run(OBJECTS);
    for query in [
        "SELECT * FROM information_schema.element_types WHERE object_schema IN ('public', 'app') ORDER BY object_schema, object_name, dtd_identifier",
        "SELECT c.column_name, c.dtd_identifier, e.data_type, e.udt_schema, e.udt_name FROM information_schema.columns c
            LEFT JOIN information_schema.element_types e ON (c.table_catalog, c.table_schema, c.table_name, 'TABLE', c.dtd_identifier)
                = (e.object_catalog, e.object_schema, e.object_name, e.object_type, e.collection_type_identifier)
            WHERE c.table_schema IN ('public', 'app') ORDER BY c.table_schema, c.table_name, c.ordinal_position",
        "SELECT * FROM information_schema.applicable_roles WHERE role_name = 'pg_database_owner'",
        "SELECT * FROM information_schema.enabled_roles WHERE role_name IN ('postgres', 'pg_database_owner') ORDER BY 1",
        "SELECT * FROM information_schema.usage_privileges WHERE object_name IN ('C', 'POSIX', 'default') ORDER BY object_name",
        // Operator classes of indexes, as schema readers join them.
        "WITH keys AS (SELECT indexrelid, unnest(indkey) AS key, unnest(indclass) AS class, generate_subscripts(indkey, 1) AS at FROM pg_index)
            SELECT i.relname, k.at, k.key, o.opcname, o.opcdefault FROM keys k JOIN pg_class i ON i.oid = k.indexrelid
            LEFT JOIN pg_opclass o ON o.oid = k.class JOIN pg_namespace n ON n.oid = i.relnamespace
            WHERE n.nspname IN ('public', 'app') ORDER BY i.relname, k.at",
        "SELECT ss.conname, a.attname, (ss.x).n, information_schema._pg_index_position(ss.conindid, ss.confkey[(ss.x).n]) FROM pg_attribute a
            JOIN (SELECT conrelid, conname, conindid, confkey, information_schema._pg_expandarray(conkey) AS x FROM pg_constraint WHERE contype IN ('p', 'u', 'f')) ss
            ON a.attrelid = ss.conrelid AND a.attnum = (ss.x).x WHERE ss.conrelid IN ('t'::regclass, 'child'::regclass, 'app.t'::regclass) ORDER BY 1, 3",
        "SELECT a.attname, information_schema._pg_char_max_length(information_schema._pg_truetypid(a.*, t.*), information_schema._pg_truetypmod(a.*, t.*)) FROM pg_attribute a
            JOIN pg_type t ON a.atttypid = t.oid WHERE a.attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum",
    ] {
        pair.same(query);
    }
}

#[test]
fn names_are_found_at_once_among_many_tables() {
    let server = Server::start();
    let peer = server.peer();
    let made = (1..=500).map(|n| {
        format!("CREATE TABLE q{n} (id int PRIMARY KEY, a text UNIQUE, b int DEFAULT {n});\n")
    });
    peer.run(&format!("BEGIN;\n{}COMMIT;", made.collect::<String>()));
    let asked = "SELECT 'q7'::regclass, pg_get_indexdef('q7_a_key'::regclass),
        (SELECT relname FROM pg_class WHERE oid = 'q7'::regclass);\n";
    let began = Instant::now();
    let answer = peer.run(&asked.repeat(100));
    let took = began.elapsed();
    let line = "q7|CREATE UNIQUE INDEX q7_a_key ON public.q7 USING btree (a)|q7\n";
    assert_eq!(answer, line.repeat(100));
    // It was 0.3 s each, unoptimised.
    assert!(took < Duration::from_secs(15), "{took:?}");
    // What is kept goes with each change, also of a block that is taken back, and is each role's own.
    let told = peer.run(
        "BEGIN;
         ALTER TABLE q7 RENAME TO r7; ALTER INDEX q7_a_key RENAME TO r7_a;
         SELECT 'r7'::regclass, pg_get_indexdef('r7_a'::regclass), count(*) FROM pg_class WHERE relname = 'q7';
         ROLLBACK;
         SELECT 'q7'::regclass, count(*) FROM pg_class WHERE relname = 'r7';
         CREATE TABLE s7 (a int); COMMENT ON TABLE s7 IS 'x';
         SELECT obj_description('s7'::regclass), count(*) FROM pg_class WHERE relname = 's7';
         CREATE ROLE ann; SET ROLE ann;
         SELECT pg_get_userbyid(oid) FROM pg_roles WHERE rolname = 'ann';
         RESET ROLE; DROP ROLE ann;
         SELECT count(*) FROM pg_roles WHERE rolname = 'ann';",
    );
    let expected =
        "r7|CREATE UNIQUE INDEX r7_a ON public.r7 USING btree (a)|0\nq7|0\nx|1\nann\n0\n";
    assert_eq!(told, expected);
}
