//! `regclass` and its like: types of their own, which are shown as names.

use tokio_postgres::types::Type;

use crate::pair::{Pair, Raw, same_answers};

/// Names, types, text and binary; oids of users' objects differ, those of the system do not.
#[tokio::test(flavor = "multi_thread")]
async fn reg_types_are_described_as_what_they_are() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT 'pg_class'::regclass, 'int4'::regtype AS \"Maß\", 'pg_catalog'::regnamespace, 'postgres'::regrole, 'now'::regproc",
        "SELECT 'abs(int4)'::regprocedure, 'numeric(numeric, int)'::regprocedure, 'now()'::regprocedure",
        "SELECT pg_typeof(1), pg_typeof('a'), pg_typeof('pg_class'::regclass), pg_typeof(pg_typeof(1)), pg_typeof(NULL::regrole)",
        "SELECT to_regclass('pg_type'), to_regclass('none'), to_regtype('int8'), to_regrole('postgres'), to_regnamespace('pg_catalog'), to_regnamespace('none')",
        "SELECT 0::regclass, 0::regtype, 0::regrole, 0::regnamespace, 0::regprocedure, 0::regoper, 99999::regclass, 99999::regrole, 99999::regnamespace, 99999::regtype, NULL::regclass",
        "SELECT x FROM (SELECT 'pg_class'::regclass AS x UNION ALL SELECT 'pg_type') s ORDER BY x",
        "WITH q AS (SELECT oid::regclass AS n FROM pg_class WHERE relname IN ('pg_class', 'pg_type')) SELECT n, n::text, n::oid, n::int8, n::varchar(4) FROM q ORDER BY n::text DESC",
        "SELECT array_agg(oid::regclass ORDER BY relname), count(*) FROM pg_class WHERE relname IN ('pg_class', 'pg_type')",
        "SELECT ARRAY['pg_class'::regclass, NULL], '{pg_class,pg_type}'::regclass[] AS a, ARRAY['pg_class'::regclass]::text[]",
        "SELECT n FROM unnest('{pg_class,pg_type}'::regclass[]) AS n",
        "SELECT x, count(*) FROM (SELECT unnest(ARRAY['pg_class', 'pg_type']::regclass[]) AS x) s GROUP BY x ORDER BY x",
        "SELECT ARRAY[1259, 1247]::regclass[], string_to_array('int4,text', ',')::regtype[], (ARRAY['now'::regproc])::oid[]",
        "SELECT CASE WHEN true THEN 'pg_class'::regclass END, coalesce(NULL, 'pg_class'::regclass), coalesce('pg_type', 'pg_class'::regclass), (SELECT 'pg_class'::regclass)",
        "SELECT atttypid::regtype AS ty, count(*) > 0 FROM pg_attribute WHERE attrelid = 'pg_class'::regclass AND attname IN ('oid', 'relname', 'relpages', 'relkind') GROUP BY ty ORDER BY ty",
        "SELECT DISTINCT atttypid::regtype FROM pg_attribute WHERE attrelid = 'pg_class'::regclass AND attname IN ('oid', 'relname', 'relpages', 'reltype') ORDER BY 1",
        "SELECT lag('pg_class'::regclass) OVER (), first_value('pg_class'::regclass) OVER (), min('pg_class'::regclass) OVER (), max(1::oid) OVER ()",
        "SELECT min(oid), max(oid), min(oid::regclass), max(typinput) = 0 FROM pg_type WHERE typname = 'int4'",
        "SELECT 'a' || 'pg_class'::regclass, 'pg_class'::regclass || 'b', concat('pg_class'::regclass, 1), format('%s %I', 'pg_class'::regclass, 'int4'::regtype), quote_literal('pg_class'::regclass)",
        "SELECT to_json('pg_class'::regclass)::text, json_build_object('a', 'int4'::regtype)::text, array_to_string(ARRAY['pg_class'::regclass], ',')",
        "SELECT row_to_json(s)::text FROM (SELECT 'pg_class'::regclass AS \"Ä\", pg_typeof(1) p) s",
        "SELECT 'pg_class'::regclass = 1259, 1259 = 'pg_class'::regclass, 'pg_class'::regclass IN (1259, 1), 'pg_class'::regclass < 'pg_class'::regclass",
        "SELECT relname FROM pg_class WHERE oid IN ('pg_type'::regclass, 'pg_class'::regclass) AND oid::regclass::text LIKE 'pg\\_c%'",
        "VALUES ('pg_class'::regclass), ('pg_type'::regclass)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[test]
fn reg_types_of_users_objects_follow_the_path() {
    let pair = Pair::start();
    pair.run(
        "CREATE SCHEMA \"Größe\";
         CREATE TABLE \"Größe\".\"Ünï\" (id int PRIMARY KEY, \"Maß\" text);
         CREATE TABLE t (id int PRIMARY KEY, o oid, x text);
         CREATE TYPE \"Größe\".\"Stimmung\" AS ENUM ('gut');
         CREATE SEQUENCE \"Süß\" AS int2;
         INSERT INTO t SELECT 1, 'pg_class'::regclass, '\"Größe\".\"Ünï\"'::regclass;
         INSERT INTO t VALUES (2, 'pg_type'::regclass, 't'::regclass), (3, 0, 'x');
         UPDATE t SET o = 'pg_proc'::regclass, x = '\"Größe\"'::regnamespace WHERE id = 3;
         CREATE VIEW v AS SELECT id, o::regclass AS rel, pg_typeof(x) AS \"Typ\" FROM t;",
    );
    for query in [
        "SELECT ' \"Größe\" . \"Ünï\" '::regclass, to_regclass('public\t.\nT'), '\"public\".\"t\"'::regclass = 't'::regclass",
        "SELECT '\"Größe\".\"Ünï\"'::regclass, 't'::regclass, '\"Größe\".\"Stimmung\"'::regtype, '\"Größe\"'::regnamespace",
        "SET search_path = \"Größe\"; SELECT '\"Ünï\"'::regclass, 'public.t'::regclass, '\"Stimmung\"'::regtype",
        "SELECT * FROM t ORDER BY id",
        "UPDATE t SET id = id RETURNING o::regclass, x, id",
        "SELECT * FROM v ORDER BY rel",
        "SELECT * FROM v \\gdesc\n",
        "SELECT rel AS \"Tafel\" FROM v WHERE rel = 'pg_class'::regclass",
        "SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'v'::regclass ORDER BY attnum",
        "SELECT udt_name FROM information_schema.columns WHERE table_name = 'v' ORDER BY ordinal_position",
        "SELECT data_type, sequencename FROM pg_sequences",
        "SELECT data_type FROM pg_sequences \\gdesc\n",
        "SELECT conrelid::regclass, conname FROM pg_constraint WHERE conrelid IN ('t'::regclass, '\"Größe\".\"Ünï\"'::regclass) ORDER BY conname",
        "SELECT o::regclass, count(*) FROM t GROUP BY o::regclass ORDER BY 1",
        "COPY (SELECT '\"Größe\".\"Ünï\"'::regclass, pg_typeof(1)) TO STDOUT (FORMAT csv)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 't'::regclass; FETCH c",
        "PREPARE p AS SELECT oid::regclass FROM pg_class WHERE relname = $1; EXECUTE p ('t'); EXECUTE p ('pg_am')",
    ] {
        pair.same(query);
    }
    for statement in [
        "SELECT upper('t'::regclass)",
        "SELECT x::regclass FROM (VALUES ('')) v (x)",
        "SELECT x::regclass FROM (VALUES ('public.')) v (x)",
        "SELECT x::regclass FROM (VALUES ('public t')) v (x)",
        "SELECT x::regclass FROM (VALUES ('\"t')) v (x)",
        "SELECT x::regclass FROM (VALUES ('\"a \"\"b\"\"\"')) v (x)",
        "SELECT relname FROM pg_class WHERE oid::regclass = 't'",
    ] {
        pair.same_or_fail(statement);
    }
    let refused = |statement: &str, what: &str| {
        let script = format!("\\set VERBOSITY verbose\n{statement};");
        let said = pair.tide.peer().try_run(&script).unwrap_err();
        assert!(said.contains("0A000") && said.contains(what), "{said}");
    };
    refused("CREATE TABLE n (c regnamespace)", "type \"regnamespace\"");
    refused(
        "CREATE TABLE n AS SELECT 't'::regclass AS \"Ä\"",
        "column \"Ä\" of type regclass or the like",
    );
    refused(
        "CREATE MATERIALIZED VIEW n AS SELECT * FROM v",
        "column \"rel\" of type regclass or the like",
    );
}

/// Parameters in binary of the types that count transactions and commands, whether the client says their type or a cast does.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_transactions_as_parameters() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for (ty, name) in [(Type::XID, "xid"), (Type::CID, "cid")] {
        let query = format!("SELECT $1::{name}::text");
        for given in [vec![], vec![ty]] {
            let mut shown = Vec::new();
            for client in [&tide, &pg] {
                let statement = client.prepare_typed(&query, &given).await.unwrap();
                let number = Raw(4_000_000_000_u32.to_be_bytes().to_vec());
                let row = client.query_one(&statement, &[&number]).await.unwrap();
                shown.push(row.get::<_, String>(0));
            }
            assert_eq!(shown, ["4000000000", "4000000000"], "{query} {given:?}");
        }
    }
}

/// Rows without a key are told apart by their places, whichever these are.
#[tokio::test(flavor = "multi_thread")]
async fn the_ctid_of_a_row_is_its_own() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE q (id int, k text);
         INSERT INTO q VALUES (1, 'a'), (2, 'a'), (3, 'b'), (4, 'b'), (5, 'c');",
    );
    let (tide, pg) = pair.connect().await;
    for (cold, newest) in [(false, 6), (true, 16)] {
        if cold {
            tide.batch_execute("CALL tidelog.flush('q')").await.unwrap();
        }
        for query in [
            "SELECT pg_typeof(ctid), ctid IS NULL, ctid::text ~ '^[(][0-9]+,[0-9]+[)]$', count(*) OVER (PARTITION BY ctid) FROM q",
            "SELECT q.*, CTID = q.ctid, k FROM public.q ORDER BY ctid, id",
            "SELECT id FROM q WHERE ctid BETWEEN '(0,0)'::tid AND '(4294967295,0)'::tid ORDER BY id",
            "SELECT id FROM q WHERE EXISTS (SELECT 1 FROM q b WHERE b.k = q.k AND b.ctid > q.ctid) ORDER BY id",
            "SELECT id, ctid = (SELECT max(ctid) FROM q b WHERE b.k = q.k) FROM q ORDER BY id",
            "SELECT l.id, r.ctid IS NULL FROM q l LEFT JOIN q r ON l.ctid = r.ctid AND r.id > 2 ORDER BY l.id",
            "SELECT x.id FROM (SELECT ctid, id FROM q) x WHERE x.ctid IN (SELECT ctid FROM q WHERE k = 'b') ORDER BY 1",
            "SELECT id FROM q WHERE (ctid, id) IN (SELECT ctid, min(id) FROM q GROUP BY ctid) ORDER BY 1",
            "SELECT id, row_number() OVER (PARTITION BY k ORDER BY ctid DESC) FROM q ORDER BY id",
            "DELETE FROM q WHERE ctid IN (SELECT max(ctid) FROM q GROUP BY k HAVING count(*) > 1)",
            "SELECT * FROM q ORDER BY id",
            "DELETE FROM q WHERE ctid = ANY (ARRAY(SELECT ctid FROM q ORDER BY id DESC OFFSET 2))",
            "SELECT * FROM q ORDER BY id",
            "SELECT id FROM q WHERE ctid = '(0,0)' OR ctid IN ('(1,0)', '(2,0)'::tid)",
            "SELECT '(0,1)'::tid < '(1,0)'::tid, '(10,1)'::tid > '(9,1)'::tid, '(4294967295,65535)'::tid::text",
        ] {
            same_answers(&tide, &pg, query).await;
        }
        pair.same_or_fail("SELECT '(1,65536)'::tid");
        pair.same_or_fail("SELECT id FROM q WHERE ctid = 'x'");
        let more =
            format!("INSERT INTO q SELECT n, 'n' FROM generate_series({newest}, {newest} + 3) n");
        pair.run(&more);
        for statement in [
            "DELETE FROM q a USING q b WHERE a.k = b.k AND a.ctid < b.ctid",
            "WITH d AS (SELECT ctid, row_number() OVER (ORDER BY id DESC) AS n FROM q) DELETE FROM q USING d WHERE q.ctid = d.ctid AND d.n > 2",
            "SELECT * FROM q ORDER BY id",
            "DELETE FROM q WHERE ctid = (SELECT ctid FROM q ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *",
            "UPDATE q SET k = x.k || 'z' FROM (SELECT ctid, k FROM q) x WHERE q.ctid = x.ctid RETURNING q.*",
        ] {
            pair.same(statement);
        }
        for client in [&tide, &pg] {
            let place = client.query_one("SELECT ctid::text FROM q", &[]).await;
            let place: String = place.unwrap().get(0);
            let update = format!("UPDATE q SET k = 'k' WHERE ctid = '{place}'");
            assert_eq!(client.execute(&update, &[]).await.unwrap(), 1);
            let gone = format!("SELECT 1 FROM q WHERE ctid = '{place}'::tid");
            assert!(client.query(&gone, &[]).await.unwrap().is_empty());
        }
        pair.run("INSERT INTO q VALUES (11, 'a'), (12, 'a'), (13, 'b')");
        pair.same("SELECT * FROM q ORDER BY id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_subqueries_have_their_elements_types() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT pg_typeof(ARRAY(SELECT 'a'::varchar(3))), pg_typeof(ARRAY(SELECT 'a'::name)), pg_typeof(ARRAY(SELECT 'a'::char(3)))",
        "SELECT ARRAY(SELECT 'pg_class'::regclass), ARRAY(SELECT 1::oid), ARRAY(SELECT b'1'), ARRAY(SELECT '{1,2}'::int[])",
        "SELECT '1.2.3.4'::inet = ANY (ARRAY(SELECT '1.2.3.4'::inet)), 'pg_class'::regclass = ANY (ARRAY(SELECT 'pg_class'::regclass))",
        "SELECT ARRAY(SELECT 'a'::name) = ARRAY['a']::name[], unnest(ARRAY(SELECT '1.2.3.4'::inet))",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}
