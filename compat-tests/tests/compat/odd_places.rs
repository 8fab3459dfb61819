//! Expressions in places where few statements have them, beside PostgreSQL.

use tokio_postgres::Client;

use crate::pair::{Pair, same_answers};
use crate::type_functions::{all_refused, all_same};

const TABLES: &str = "
    CREATE TABLE g (id int PRIMARY KEY, k int, s text, p numeric(4,2), x numeric, d date, c char(3));
    INSERT INTO g VALUES (1, 1, 'b', 1, 1.5, '2020-01-01', 'a'), (2, 1, 'a', 2, 2, NULL, 'bcd'), (3, 2, 'c', 3, NULL, '2020-01-03', NULL);";

#[tokio::test]
async fn orders_of_what_is_computed() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    for query in [
        // A subquery's column has the name of one of the result.
        "SELECT k, count(*) FROM g GROUP BY k ORDER BY (SELECT count(*) FROM g h WHERE h.k = g.k), k",
        "SELECT k, max(id) AS count FROM g GROUP BY k ORDER BY (SELECT count(*) FROM g h WHERE h.k = g.k), k",
        "SELECT k, id AS max FROM g ORDER BY (SELECT max(id) FROM g h WHERE h.k = g.k), id DESC",
        "SELECT k, id AS s FROM g ORDER BY (SELECT h.s || 'x' AS s FROM g h WHERE h.id = g.id), id",
        "SELECT id FROM g ORDER BY CASE WHEN left(s, 1) = 'a' THEN 0 ELSE 1 END, id",
        "SELECT id FROM g ORDER BY CASE WHEN sqrt(x) > 1.3 THEN 0 ELSE 1 END, id",
        "SELECT count(*) FROM g GROUP BY s ORDER BY CASE WHEN left(s, 1) = 'a' THEN 0 ELSE 1 END, s",
        // Keys that are the same one once they are simplified.
        "SELECT DISTINCT ON (1) d, CASE WHEN 'NaN'::numeric IS NOT NULL THEN d ELSE date '2024-02-27' END FROM g ORDER BY 1, 2",
        "SELECT DISTINCT ON (1) CASE WHEN false IS NOT TRUE THEN d ELSE d END, d FROM g ORDER BY 1, 2",
        "SELECT DISTINCT ON (1) CASE WHEN 'NaN'::numeric IS NOT NULL THEN 1 ELSE id END, d FROM g ORDER BY 1, 2",
        "SELECT array_agg(id ORDER BY k, CASE WHEN false IS NOT TRUE THEN k ELSE id END, id) FROM g",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test]
async fn aggregates_over_aggregates() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT count(*) FILTER (WHERE m < 10) FROM (SELECT count(*) AS m FROM (VALUES (1), (2), (3)) v) a",
        "SELECT count(*) FILTER (WHERE m >= 0) FROM (SELECT count(*) AS m FROM g WHERE false) a",
        "SELECT min(1) FILTER (WHERE m > 5), count(*) FROM (SELECT max(k) AS m FROM g WHERE false) a WHERE m > 3",
        "SELECT sum(n), min('b') FILTER (WHERE false) FROM (SELECT 2 AS n FROM (SELECT max(k) AS m FROM g WHERE false) a WHERE m > 3) q",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test]
async fn values_of_types_that_are_known_late() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    for query in [
        "VALUES (sqrt(2.0)), (2)",
        "VALUES (2), (sqrt(2.0)), (NULL) ORDER BY 1",
        "VALUES (sqrt(2.0)), (2.5)",
        "SELECT * FROM (VALUES (1, sqrt(2.0)), (2, 3), (3, 2.5::numeric(5,3))) v(a, b) ORDER BY b",
        "SELECT g.id, v.* FROM g, LATERAL (VALUES (x), (2), (p)) v(a) ORDER BY id, a, a::text",
        "SELECT * FROM (VALUES (1, 1e60), (2, 1e60 + 1), (3, 'NaN'::numeric), (6, 1e-60)) q(id, x) ORDER BY id",
        "SELECT id FROM g WHERE x IN (VALUES (sqrt(4.0)), (1)) ORDER BY id",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    pair.same_or_fail(
        "INSERT INTO g (id, x) VALUES (10, sqrt(2.0)), (11, 2), (12, '3.0') RETURNING x",
    );
}

#[test]
fn what_does_not_fit_a_numeric_says_how_much_does() {
    let pair = Pair::start();
    pair.run(TABLES);
    for statement in [
        "SELECT 12345::numeric(4,2)",
        "SELECT -12345::numeric(4,2)",
        "SELECT 99.999::numeric(4,2)",
        "SELECT '99.999'::numeric(4,2)",
        "SELECT x * 100000 FROM g WHERE (x * 1000)::numeric(4,2) > 1",
        "INSERT INTO g (id, p) VALUES (9, 123.456)",
        "UPDATE g SET p = p * 100",
        "SELECT 1e20::float8::numeric(10,2)",
        "SELECT 12::int::numeric(2,1)",
        "SELECT 1.5::numeric(2,2)",
        "SELECT 100000::numeric(5,0)",
        "SELECT ARRAY[100]::numeric(3,1)[]",
        "SELECT 1234::text::numeric(3)",
    ] {
        pair.same_or_fail(statement);
    }
}

/// What a statement gives: its only value, or its SQLSTATE and message.
async fn said(client: &Client, statement: &str) -> String {
    match client.simple_query(statement).await {
        Ok(messages) => format!("{messages:?}"),
        Err(error) => match error.as_db_error() {
            Some(error) => format!(
                "{} {} {:?}",
                error.code().code(),
                error.message(),
                error.hint()
            ),
            None => panic!("{statement}: {error}"),
        },
    }
}

#[tokio::test]
async fn arithmetic_of_times_with_everything() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    let moments = [
        "date '2020-01-02'",
        "time '10:00'",
        "timetz '10:00+02'",
        "timestamp '2020-01-01 03:00'",
        "timestamptz '2020-01-01 03:00+00'",
        "interval '1 hour'",
    ];
    let others = [
        "1",
        "1.5",
        "1.5::float8",
        "'x'::text",
        "true",
        "'1 hour'",
        "NULL",
    ];
    for moment in moments {
        for other in moments.iter().chain(&others) {
            for op in ["+", "-", "*", "/", "%"] {
                for (a, b) in [(moment, *other), (*other, moment)] {
                    let statement = format!("SELECT {a} {op} {b}");
                    assert_eq!(
                        said(&tide, &statement).await,
                        said(&pg, &statement).await,
                        "{statement}"
                    );
                }
            }
        }
    }
    same_answers(&tide, &pg, "SELECT pg_typeof(1 + NULL)::text, pg_typeof(NULL + 1)::text, pg_typeof(NULL * 1.5)::text, pg_typeof(NULL + 1::bigint)::text, 1 + NULL, pg_typeof(NULL % 2)::text, pg_typeof(3000000000 + NULL)::text").await;
}

#[tokio::test]
async fn patterns_that_end_in_their_escape_character() {
    let pair = Pair::start();
    pair.run(TABLES);
    let (tide, pg) = pair.connect().await;
    for condition in [
        r"'ab' LIKE 'a\'",
        r"'a' LIKE 'a\'",
        r"s LIKE 'a\'",
        r"s NOT LIKE '\'",
        r"s ILIKE 'A\'",
        r"'Ab' ILIKE 'a\'",
        r"s LIKE '%\'",
        r"'' LIKE '%\'",
        r"'xa' LIKE '%a\'",
        r"'xab' LIKE '%a\'",
        r"'xbab' LIKE '%b\'",
        r"'x' NOT LIKE 'y\'",
        r"'xab' LIKE '_\\\'",
        r"'a\b' LIKE 'a\\\'",
        r"'a\' LIKE 'a\\'",
        r"NULL LIKE 'a\'",
    ] {
        let statement = format!("SELECT {condition} FROM g ORDER BY id");
        let expected = said(&pg, &statement).await;
        assert_eq!(said(&tide, &statement).await, expected, "{statement}");
    }
}

#[test]
fn a_parent_that_has_children_is_shown_with_its_own_digits() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE fa (x numeric PRIMARY KEY, y numeric(5,1) UNIQUE); INSERT INTO fa VALUES (1.5, 1.5), (2.50, 2.5);
        CREATE TABLE fb (id int PRIMARY KEY, x numeric(8,3) REFERENCES fa (x), y numeric REFERENCES fa (y), z numeric REFERENCES fa ON DELETE CASCADE);
        INSERT INTO fb VALUES (1, NULL, 1.50, NULL), (2, 1.5, NULL, NULL), (3, NULL, NULL, 2.5000);",
    );
    for statement in [
        "INSERT INTO fb VALUES (4, 2.25, NULL)",
        "INSERT INTO fb VALUES (4, NULL, 2.5550)",
        "DELETE FROM fa WHERE x = 1.5",
        "UPDATE fa SET y = 7 WHERE y = 1.5",
        "UPDATE fa SET x = 9 WHERE x = 2.5",
        "UPDATE fa SET x = 1.500 WHERE x = 1.5",
        "DELETE FROM fa WHERE x = 2.5 RETURNING x",
        "SELECT id, x, y, z FROM fb ORDER BY id",
    ] {
        pair.same_or_fail(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_groups_and_frames_that_are_computed() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, a int, v varchar(5), n numeric(8,2));
         INSERT INTO t VALUES (1, 1, 'a', -1.25), (2, 2, 'b', 0), (3, NULL, 'a', 1), (4, 1, NULL, 1.01);",
    );
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            // GROUPING of expressions that are rewritten.
            "SELECT grouping(CASE WHEN id = 1 THEN 2 ELSE 3 END), count(*) FROM t GROUP BY CASE WHEN id = 1 THEN 2 ELSE 3 END ORDER BY 2",
            "SELECT coalesce(v, 'x') AS k, grouping(coalesce(v, 'x')), count(*) FROM t GROUP BY ROLLUP (coalesce(v, 'x')) ORDER BY 1, 2",
            "SELECT grouping(nullif(a, 1), greatest(id, 2)), count(*) FROM t GROUP BY CUBE (nullif(a, 1), greatest(id, 2)) ORDER BY 1, 2",
            "SELECT id::text, grouping(id::text, a + 1), sum(a) FROM t GROUP BY GROUPING SETS ((id::text), (a + 1), ()) ORDER BY 2, 1, 3",
            "SELECT grouping(n::numeric), n::numeric, count(*) FROM t GROUP BY ROLLUP (n::numeric) ORDER BY 1, 2",
            // Offsets with more digits than the key has.
            "SELECT id, count(*) OVER (ORDER BY floor(n) RANGE BETWEEN UNBOUNDED PRECEDING AND 1.5 FOLLOWING) FROM t ORDER BY id",
            "SELECT id, count(*) OVER (ORDER BY n RANGE BETWEEN 0.005 PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY n DESC RANGE 0.01 PRECEDING) FROM t ORDER BY id",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_bits_and_lowest_values_as_parts_of_others() {
    let pair = Pair::start();
    pair.run("CREATE TABLE l (a pg_lsn); INSERT INTO l VALUES ('9/1'), ('10/1');");
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT (ROW(1, 2)).f1, (ROW(a, 2)).f1 + (ROW(1, a)).f2 FROM (SELECT 5 AS a) t",
        "SELECT bit '101', bit '101' || bit '1', pg_typeof(bit '101'), bit 'x1F', bit(2) '101', bit varying '101', bit '', b'101'::\"bit\", '101'::\"bit\"",
        "SELECT json_build_object('a', t, 'b', 2), json_build_array(t, a) FROM (SELECT 1 AS a, 'x' AS b) t",
        "SELECT jsonb_build_object('a', t), jsonb_build_array(t, 1), json_build_object('t', t.a) FROM (SELECT 1 AS a) t",
        "SELECT json_object_agg(a, t ORDER BY a), jsonb_object_agg(a, t) FROM (VALUES (1), (2)) t(a)",
        "SELECT json_build_object('a', b) FROM (SELECT 1 AS a) t LEFT JOIN (SELECT 2 AS x) b ON false",
        "SELECT json_build_object('a', a) FROM (SELECT 1 AS a) a",
        // What the lowest value is of is known beside it.
        "SELECT a, a = (SELECT max(a) FROM l b), a >= (SELECT min(a) AS m FROM l b), (SELECT max(a) FROM l) > '9/2'::pg_lsn FROM l ORDER BY a",
        "SELECT '1.1.1.1'::inet < (SELECT max(n) FROM (VALUES ('9.1.1.1'::inet), ('10.1.1.1')) v(n) HAVING count(*) > 1)",
        "SELECT 'a'::name = (SELECT min(relname) FROM pg_class), 1::oid < (SELECT max(oid) FROM pg_class)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "SELECT $0",
        "PREPARE a AS SELECT $2::int",
        "PREPARE b(int) AS SELECT $2::int",
        "EXECUTE b(1, 2)",
        "SELECT 12::timestamp",
        "SELECT 1::date",
        "SELECT 'int4'::name::regtype, 23::int2::regtype, 1259::bigint::regclass, 'pg_class'::varchar::regclass, NULL::regclass",
        "SELECT timestamp '2020-01-01' AT TIME ZONE interval '1 day'",
        "SELECT timezone(interval '1 mon -3 days 04:05:06.789', timetz '00:00-11')",
        "SELECT timezone(interval '2 hours', timestamptz '2020-01-01 00:00+00') AT TIME ZONE 'UTC'",
        "SELECT make_interval(1, 2, 3, 4, 5, 6, 'NaN')",
        "SELECT json_array_elements('{}'), json_array_elements_text('1')",
        "SELECT json_array_elements_text('1')",
        "SELECT jsonb_array_elements('{}')",
    ] {
        pair.same_or_fail(statement);
    }
    for client in [&tide, &pg] {
        for value in ["true", "timestamp '2020-01-01'", "'{}'::jsonb", "1.5"] {
            let cast = client
                .query(&format!("SELECT {value}::regclass"), &[])
                .await;
            let refused = cast.expect_err(value);
            let refused = refused.as_db_error().unwrap();
            assert_eq!(refused.code().code(), "42846", "{refused}");
        }
        let refused = client.prepare("SELECT $3::int, $1::text").await;
        let refused = refused.expect_err("nothing tells what $2 is");
        let refused = refused.as_db_error().unwrap();
        let message = "could not determine data type of parameter $2";
        assert_eq!(
            (refused.code().code(), refused.message()),
            ("42P18", message)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_names_and_escapes() {
    let pair = Pair::start();
    pair.run(
        "CREATE SEQUENCE never; CREATE SEQUENCE once START 5; CREATE TABLE q (id serial, n name, c \"char\"); SELECT nextval('once'); INSERT INTO q (n, c) VALUES (true, 'xy'::text), (5, 'z'::varchar);",
    );
    pair.same("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1");
    pair.run("SELECT nextval('once'), nextval('never')");
    pair.same("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1");
    pair.same("SELECT * FROM q ORDER BY id");
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT pg_size_pretty(1e15::numeric), pg_size_pretty(1.5), pg_size_pretty(-10485760::numeric), pg_size_pretty(123456789012345678901234567890::numeric), pg_size_pretty(NULL::numeric)",
            "SELECT n, pg_size_pretty(n::bigint), pg_size_pretty(-n::bigint), pg_size_pretty(n), pg_size_pretty(-n), pg_size_pretty(n + 0.5) FROM (VALUES (10239::numeric), (10240), (10751), (10752), (20479 * 512), (20479 * 512 - 1), (1e13), (1.5e18)) v(n)",
            "SELECT true::name, false::name, 5::name, ARRAY[true, NULL]::name[]",
            "SELECT to_char(-0.0::float8, '9.9'), to_char(0.0::float8, '9.9'), to_char(-0.0::numeric, '9.9')",
            r"SELECT regexp_match('abc01234xyz', '(?:(.*?)(\d+)(.*)){1,1}'), regexp_match('abc01234xyz', '(.*?)(\d+)(.*)'), regexp_match('abc01234xyz', '(?:(.*?)(\d+)(.*)){1}'), regexp_match('bcbb', '(?:(b*)c){1,1}?b*')",
            "SELECT 'abcdefg' SIMILAR TO '_bcd%' ESCAPE NULL, 'abc' LIKE 'a%' ESCAPE NULL, 'a%b' LIKE 'a!%b' ESCAPE '!'",
        ],
    )
    .await;
    all_refused(
        &tide,
        &pg,
        &[
            "INSERT INTO q (c) VALUES (5)",
            "INSERT INTO q (c) VALUES (date '2020-01-01')",
            "INSERT INTO q (c) VALUES (ARRAY[1])",
            "INSERT INTO q (c) VALUES ('x'::name)",
            "UPDATE q SET c = id",
            "ALTER TABLE q ALTER id TYPE \"char\"",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let found = |pattern: &'static str, escape: &'static str, what: &'static str| async move {
            let query = format!("SELECT 'a%b' {what} $1 ESCAPE $2");
            let row = client
                .query_one(&query, &[&pattern, &escape])
                .await
                .unwrap();
            row.get::<_, bool>(0)
        };
        for what in ["LIKE", "ILIKE", "SIMILAR TO"] {
            assert!(found("a!%b", "!", what).await, "{what}");
            assert!(!found("a!%c", "!", what).await, "{what}");
        }
    }
}
