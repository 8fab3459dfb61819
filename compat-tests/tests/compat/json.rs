//! jsonb by value, and the functions of json and jsonb, beside PostgreSQL.

use crate::pair::{Pair, Raw, same_answers};
use crate::type_functions::{all_refused, all_same};

/// Values of which some are equal to others and look different.
const VALUES: &str = r#"
    CREATE TABLE v (id int PRIMARY KEY, j jsonb, g int);
    INSERT INTO v VALUES
        (1, 'null', 1), (2, '"b"', 1), (3, '"a"', 2), (4, '""', 2), (5, '10', 1), (6, '9', 1), (7, '-1.50', 2),
        (8, 'true', 2), (9, 'false', 1), (10, '[]', 1), (11, '[1]', 2), (12, '[[]]', 2), (13, '[1, 2]', 1), (14, '{}', 1),
        (15, '{"a": 1}', 2), (16, '{"a": 2}', 1), (17, '{"b": 0}', 1), (18, '{"aa": 0}', 1), (19, '{"a": 1, "b": 2}', 1),
        (20, '[{"a": []}]', 2), (21, NULL, 1), (22, '123456789012345678901234567890.5', 1), (23, '0.00001', 1), (24, '0', 2),
        (25, '"a\u0001"', 1), (26, '"é"', 2), (27, '{"a": null}', 2), (28, '{"a": "x"}', 2);
    CREATE TABLE w (id int PRIMARY KEY, j jsonb);
    INSERT INTO w VALUES (1, '1'), (2, '1.0'), (3, '1.00'), (4, '[1.0, 2]'), (5, '[1, 2.0]'), (6, '{"a": 1.10}'),
        (7, '{"a": 1.1}'), (8, '-1.5'), (9, '10.0'), (10, NULL), (11, NULL), (12, '{"a": 1.0}');"#;

#[tokio::test(flavor = "multi_thread")]
async fn jsonb_compares_and_sorts_by_value() {
    let pair = Pair::start();
    pair.run(VALUES);
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT id, j FROM v ORDER BY j, id",
        "SELECT id FROM v ORDER BY j DESC NULLS LAST LIMIT 5",
        "SELECT a.id, b.id, a.j < b.j AS l, a.j = b.j AS e, a.j >= b.j AS g FROM v a, v b ORDER BY 1, 2",
        "SELECT a.id, b.id FROM w a JOIN w b ON a.j = b.j ORDER BY 1, 2",
        "SELECT a.id, b.id FROM w a LEFT JOIN v b USING (j) ORDER BY 1, 2",
        "SELECT count(*) FROM w a FULL JOIN v b ON a.j = b.j",
        "SELECT id FROM w WHERE j = '1' ORDER BY id",
        "SELECT id FROM w WHERE '1.000' = j ORDER BY id",
        "SELECT id FROM w WHERE j <> '1' ORDER BY id",
        "SELECT id FROM w WHERE j IN ('1.0000', '[1, 2]') ORDER BY id",
        "SELECT id FROM w WHERE j NOT IN ('1.0000', '[1, 2]') ORDER BY id",
        "SELECT id FROM w WHERE j BETWEEN '0.5' AND '10' ORDER BY id",
        "SELECT id FROM w WHERE j IS DISTINCT FROM '1' ORDER BY id",
        "SELECT id FROM w WHERE j IS NOT DISTINCT FROM NULL ORDER BY id",
        "SELECT id, nullif(j, '1') AS n FROM w ORDER BY id",
        "SELECT id, CASE j WHEN '1' THEN 'one' WHEN '10' THEN 'ten' ELSE 'other' END AS c FROM w ORDER BY id",
        "SELECT id FROM w WHERE j IN (SELECT j FROM v) ORDER BY id",
        "SELECT id FROM w WHERE j NOT IN (SELECT j FROM v WHERE j IS NOT NULL) ORDER BY id",
        "SELECT id FROM w WHERE j = ANY (SELECT j FROM v WHERE v.id > w.id) ORDER BY id",
        "SELECT id FROM w WHERE j > ALL (SELECT j FROM v WHERE v.id = w.id) ORDER BY id",
        "SELECT id, j IN (SELECT j FROM v) AS i FROM w ORDER BY id",
        "SELECT id FROM w WHERE EXISTS (SELECT 1 FROM v WHERE v.j = w.j) ORDER BY id",
        "SELECT id, (SELECT count(*) FROM v WHERE v.j <= w.j) AS n FROM w ORDER BY id",
        "SELECT id FROM w WHERE j = ANY ('{1.0,2}'::jsonb[]) ORDER BY id",
        "SELECT id FROM w WHERE j <> ALL (ARRAY['1', '10']::jsonb[]) ORDER BY id",
        "SELECT id FROM w WHERE j > ANY (ARRAY['5'::jsonb]) ORDER BY id",
        "SELECT (id, j) = (1, '1.0') AS r FROM w WHERE id = 1",
        "SELECT ('1', 2) < ('1.0'::jsonb, 3) AS r",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for (query, value) in [
        ("SELECT id FROM w WHERE j = $1 ORDER BY id", "1.000"),
        ("SELECT id FROM w WHERE $1 < j ORDER BY id", "5"),
        ("SELECT id FROM w WHERE j IN ('7', $1) ORDER BY id", "1"),
        (
            "SELECT id FROM w WHERE j BETWEEN $1 AND '[]' ORDER BY id",
            "9",
        ),
        (
            "SELECT id FROM w WHERE j IS DISTINCT FROM $1 ORDER BY id",
            "1",
        ),
    ] {
        // The binary form of jsonb is its version and its text.
        let value = Raw([b"\x01", value.as_bytes()].concat());
        let mut found = Vec::new();
        for client in [&tide, &pg] {
            let rows = client.query(query, &[&value]).await.unwrap();
            found.push(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>());
        }
        assert_eq!(found[0], found[1], "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonb_is_grouped_by_value() {
    let pair = Pair::start();
    pair.run(VALUES);
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT count(*) FROM w GROUP BY j ORDER BY 1",
        "SELECT j = '1' AS one, count(*), min(id), array_agg(id ORDER BY id) AS ids FROM w GROUP BY j ORDER BY j",
        "SELECT j, count(*), sum(g) FROM v GROUP BY j ORDER BY j",
        "SELECT g, j, count(*) FROM v GROUP BY g, j HAVING count(*) > 0 ORDER BY g, j",
        "SELECT j -> 'a' AS a, count(*) FROM v GROUP BY j -> 'a' ORDER BY 1",
        "SELECT j -> 'a' AS a, count(*) FROM v GROUP BY 1 ORDER BY 1",
        "SELECT jsonb_typeof(j) AS t, count(DISTINCT j) FROM v GROUP BY 1 ORDER BY 1",
        "SELECT count(DISTINCT j), count(j), count(*) FROM w",
        "SELECT count(*) FROM (SELECT DISTINCT j FROM w) s",
        "SELECT count(*) FROM (SELECT DISTINCT id % 2, j FROM w) s",
        "SELECT DISTINCT j FROM v ORDER BY j",
        "SELECT DISTINCT ON (j) id FROM w ORDER BY j, id",
        "SELECT DISTINCT ON (j) j, id FROM v ORDER BY j, id DESC",
        "SELECT j FROM v UNION SELECT j FROM v ORDER BY 1",
        "SELECT count(*) FROM (SELECT j FROM v UNION SELECT j FROM w) s",
        "SELECT count(*) FROM (SELECT j FROM v INTERSECT SELECT j FROM w) s",
        "SELECT j FROM v EXCEPT SELECT j FROM w ORDER BY 1",
        "SELECT count(*) FROM (SELECT j FROM w EXCEPT ALL SELECT j FROM v) s",
        "SELECT count(*) FROM (SELECT j FROM w INTERSECT ALL SELECT j FROM w WHERE id < 3) s",
        "SELECT id, count(*) OVER (PARTITION BY j) AS n, rank() OVER (ORDER BY j) AS r, dense_rank() OVER (ORDER BY j DESC) AS d FROM w ORDER BY id",
        "SELECT id, lag(j) OVER (ORDER BY j, id) AS p FROM w ORDER BY id",
        "SELECT cardinality(array_agg(DISTINCT j)) AS n FROM w",
        "SELECT array_agg(DISTINCT j) AS a FROM v",
        "SELECT array_agg(j ORDER BY j DESC, id) AS a FROM w",
        "SELECT jsonb_agg(j ORDER BY j, id) AS a, json_agg(j ORDER BY j DESC, id) AS b FROM w",
        "SELECT mode() WITHIN GROUP (ORDER BY j) = '1' AS m, percentile_disc(0.5) WITHIN GROUP (ORDER BY j) AS p FROM w",
        "SELECT id, v.j FROM v GROUP BY id ORDER BY id",
        "SELECT sum(n) FROM (SELECT j, count(*) AS n FROM w GROUP BY j) s WHERE j = '1'",
        "SELECT g, (SELECT count(*) FROM (SELECT DISTINCT j FROM w WHERE w.id > v.g) s) AS n FROM v WHERE id < 4 ORDER BY id",
        "SELECT ARRAY['1', '2']::jsonb[] = ARRAY['1.0', '2']::jsonb[] AS a, ARRAY['1']::jsonb[] < ARRAY['[]']::jsonb[] AS b",
        "SELECT ARRAY['1']::jsonb[] @> ARRAY['1.0']::jsonb[] AS a, ARRAY['1', '2']::jsonb[] && ARRAY['2.0']::jsonb[] AS b",
        "SELECT array_position(ARRAY['3', '1.0']::jsonb[], '1') AS a, array_positions(ARRAY['1', '1.0']::jsonb[], '1.00') AS b",
        "SELECT count(*) FROM (SELECT ARRAY[j] AS a FROM w GROUP BY ARRAY[j]) s",
        "SELECT count(*) FROM (SELECT 1 FROM w GROUP BY ROLLUP (id % 2)) s",
        "SELECT j = '1' AS one, count(*) AS n, grouping(j) FROM w GROUP BY ROLLUP (j) ORDER BY 3, 2, 1",
        "WITH RECURSIVE r(j) AS (SELECT j FROM w UNION SELECT j FROM r) SELECT count(*) FROM r",
        "SELECT i, count(*) FROM (VALUES (interval '1 mon'), ('30 days'), ('1 day')) s(i) GROUP BY i HAVING count(*) = 1",
        "SELECT count(DISTINCT i) FROM (VALUES (interval '1 mon'), ('30 days'), ('1 day')) s(i)",
        "SELECT count(*) OVER (PARTITION BY i) AS n FROM (VALUES (interval '24 hours'), ('1 day'), ('2 days')) s(i) ORDER BY 1",
        "SELECT interval '1 day' = ANY ('{24:00:00}'::interval[]) AS a, '{1 mon}'::interval[] = '{30 days}'::interval[] AS b, interval '1 day' < ALL ('{25:00:00,2 days}'::interval[]) AS c",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "SELECT min(j) FROM w",
        "SELECT j = 1 FROM w",
        "SELECT j = 'x'::text FROM w",
        "SELECT j < id FROM w",
        "SELECT j IN (1, 2) FROM w",
        "SELECT j = ANY (ARRAY[1, 2]) FROM w",
        "SELECT j::json = '1' FROM w",
        "SELECT id FROM w WHERE j::json IN (SELECT '1'::json)",
        "SELECT id FROM w o WHERE o.j::json IN (SELECT j::json FROM w)",
        "SELECT DISTINCT j::json FROM w",
        "SELECT j::json FROM w GROUP BY j::json",
        "SELECT j::json FROM w ORDER BY 1",
    ] {
        all_refused(&tide, &pg, &[statement]).await;
    }
    // Refused rather than wrong.
    for statement in [
        "SELECT greatest(j, '1') FROM w",
        "SELECT array_remove(ARRAY[j], '1') FROM w",
    ] {
        let error = tide.query(statement, &[]).await.unwrap_err();
        assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{statement}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_indexes_of_jsonb_are_by_value() {
    let pair = Pair::start();
    pair.run(
        r#"CREATE TABLE k (j jsonb PRIMARY KEY, n int);
        INSERT INTO k VALUES ('1', 1), ('{"a": 2.0}', 2), ('[]', 3), ('"x"', 4);
        CREATE TABLE u (id int PRIMARY KEY, j jsonb UNIQUE, tags jsonb[]);
        CREATE INDEX ON u (tags);
        INSERT INTO u VALUES (1, '1.50', '{1,2.0}'), (2, NULL, '{}'), (3, NULL, NULL);
        CREATE TABLE c (id int PRIMARY KEY, k jsonb REFERENCES k ON DELETE CASCADE);
        INSERT INTO c VALUES (1, '1.0'), (2, '{"a": 2}');"#,
    );
    let (tide, pg) = pair.connect().await;
    for statement in [
        "INSERT INTO k VALUES ('1.0', 9)",
        r#"INSERT INTO k VALUES ('{"a": 2}', 9)"#,
        "INSERT INTO u VALUES (4, '1.5', NULL)",
        "INSERT INTO c VALUES (3, '7')",
        "INSERT INTO k VALUES ('1.00', 10) ON CONFLICT DO NOTHING",
        "INSERT INTO k VALUES ('1.00', 10) ON CONFLICT (j) DO UPDATE SET n = excluded.n RETURNING j, n",
        "UPDATE k SET n = 11 WHERE j = '1.000' RETURNING *",
        "UPDATE k SET j = '1.0' WHERE j = '1' RETURNING *",
        "SELECT * FROM k ORDER BY j",
        "SELECT n FROM k WHERE j = '1'",
        "SELECT n FROM k WHERE j IN ('1.000', '[]') ORDER BY n",
        "SELECT n FROM k WHERE j > '1' ORDER BY n",
        "SELECT id FROM u WHERE tags = '{1.0,2}'",
        "SELECT id FROM u ORDER BY tags, id",
        "DELETE FROM k WHERE j = '1.0'",
        "SELECT * FROM c ORDER BY id",
        r#"DELETE FROM k WHERE j = '{"a": 2}'"#,
        "SELECT * FROM c ORDER BY id",
    ] {
        pair.same_or_fail(statement);
    }
    // The same out of cold files.
    for table in ["k", "u"] {
        let flush = format!("CALL tidelog.flush('{table}')");
        tide.batch_execute(&flush).await.unwrap();
    }
    for query in [
        "SELECT * FROM k ORDER BY j",
        r#"SELECT n FROM k WHERE j = '"x"'"#,
        "SELECT n FROM k WHERE j BETWEEN '[]' AND '\"y\"' ORDER BY n",
        "SELECT id FROM u WHERE j = '1.5'",
        "SELECT id FROM u WHERE j IS NULL ORDER BY id",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    pair.same_or_fail("INSERT INTO u VALUES (5, '1.500', NULL)");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_out_of_json() {
    let pair = Pair::start();
    pair.run(
        r#"CREATE TYPE mood AS ENUM ('sad', 'happy');
        CREATE TABLE t (id int PRIMARY KEY, doc jsonb, name varchar(5), m mood, tags text[]);
        INSERT INTO t VALUES (1, '[{"a": 1, "b": "x"}, {"a": 2}]', 'one', 'sad', '{}'), (2, '[]', 'two', NULL, NULL), (3, NULL, NULL, NULL, NULL);"#,
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        r#"SELECT * FROM jsonb_to_recordset('[{"a":1,"b":"x","c":[1,2]},{"b":null,"d":{"e":1}},{"a":"7"}]') AS t(a int, b text, c jsonb, d json)"#,
        r#"SELECT * FROM json_to_recordset('[{"a":1,"b":"x","c":[1, 2]},{"b":null,"d":{"e" : 1}},{"a":"7"}]') AS t(a int, b text, c jsonb, d json)"#,
        r#"SELECT * FROM jsonb_to_record('{"a":1.5,"t":"2024-01-02 03:04:05","u":"{1,2}","v":[3,null],"w":true,"x":[1]}') AS r(a numeric, t timestamp, u int[], v int[], w boolean, x text)"#,
        r#"SELECT * FROM json_to_record('{"A":1,"a":2,"n":"x","n":"y"}') AS r("A" int, a int, n text)"#,
        r#"SELECT b, a FROM jsonb_to_recordset('[{"a":3},{"a":1}]') AS r(a int, b text) ORDER BY a"#,
        "SELECT t.id, r.* FROM t, jsonb_to_recordset(t.doc) AS r(a int, b text) ORDER BY 1, 2",
        "SELECT t.id, r.a FROM t LEFT JOIN LATERAL jsonb_to_recordset(t.doc) AS r(a int, b text) ON true ORDER BY 1, 2",
        "SELECT t.id, sum(r.a) FROM t CROSS JOIN LATERAL jsonb_to_recordset(t.doc) AS r(a int) GROUP BY t.id ORDER BY 1",
        "SELECT * FROM jsonb_to_record(NULL) AS r(a int)",
        r#"SELECT jsonb_to_record.a FROM jsonb_to_record('{"a":1}') AS (a int, b text)"#,
        "SELECT * FROM jsonb_to_recordset(NULL) AS r(a int)",
        r#"SELECT * FROM json_to_record('{"j":"s","b":"s"}') AS r(j json, b jsonb)"#,
        r#"SELECT * FROM jsonb_populate_recordset(NULL::t, '[{"id":5,"name":"x","m":"happy","tags":["a","b"]},{"id":6,"doc":{"q":1}}]')"#,
        r#"SELECT id, upper(name) AS n FROM json_populate_record(NULL::public.t, '{"id":7,"name":"abc","zzz":1}') AS p"#,
        r#"SELECT * FROM jsonb_populate_record(NULL::t, '{"id": 1, "doc": 2, "name": "x"}') AS p(a, b, c)"#,
        "SELECT x.id FROM t, jsonb_populate_recordset(NULL::t, t.doc) AS x ORDER BY 1",
        "SELECT t.id, e.key, e.value FROM t, jsonb_each(t.doc -> 0) e ORDER BY 1, 2",
        "SELECT t.id, e.* FROM t CROSS JOIN LATERAL jsonb_array_elements(t.doc) WITH ORDINALITY AS e(v, n) ORDER BY 1, 3",
        "SELECT t.id, k FROM t, LATERAL jsonb_object_keys(t.doc -> 0) k ORDER BY 1, 2",
        "SELECT id, jsonb_array_elements(doc) AS e FROM t ORDER BY 1, 2",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "SELECT * FROM jsonb_to_recordset('{}') AS r(a int)",
        "SELECT * FROM json_to_recordset('{}') AS r(a int)",
        "SELECT * FROM json_to_recordset('1') AS r(a int)",
        "SELECT * FROM jsonb_to_recordset('[1]') AS r(a int)",
        "SELECT * FROM jsonb_to_record('[1]') AS r(a int)",
        "SELECT * FROM json_to_record('1') AS r(a int)",
        r#"SELECT * FROM jsonb_to_record('{"a":"x"}') AS r(a int)"#,
        r#"SELECT * FROM jsonb_to_record('{"a":{"b":1}}') AS r(a int[])"#,
        r#"SELECT * FROM jsonb_to_record('{"a":"toolong"}') AS r(a varchar(3))"#,
        r#"SELECT * FROM jsonb_populate_record(NULL::t, '{"m":"angry"}')"#,
        r#"INSERT INTO t SELECT * FROM jsonb_populate_recordset(NULL::t, '[{"id":8,"name":"x"}]') RETURNING id, name"#,
        "SELECT * FROM jsonb_each('[1]')",
        "SELECT * FROM jsonb_each_text('1')",
        "SELECT * FROM jsonb_each(5)",
        "SELECT * FROM jsonb_each_text(5)",
        "SELECT * FROM json_each('[1]')",
        "SELECT * FROM json_each_text('1')",
        "SELECT jsonb_object_keys('1')",
        "SELECT json_object_keys('[1]')",
    ] {
        pair.same_or_fail(statement);
    }
    // Refused by name.
    for statement in [
        "SELECT jsonb_populate_record(NULL::t, '{}')",
        "SELECT * FROM jsonb_to_recordset('[]') AS t(a, b)",
        "SELECT * FROM jsonb_to_record('{}') AS t(a varchar[])",
    ] {
        let error = tide.query(statement, &[]).await.unwrap_err();
        let error = error.as_db_error().expect(statement);
        assert_eq!(error.code().code(), "0A000", "{statement}: {error:?}");
        assert!(error.message().contains("json"), "{statement}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_json() {
    let pair = Pair::start();
    pair.run(
        r#"CREATE TABLE j (id int PRIMARY KEY, b jsonb, t json, k text);
        INSERT INTO j VALUES (1, '{"a": {"b": [1, {"c": "x"}]}, "n": null}', '{"a" : [1,2]}', 'a'), (2, '[10, "s", null]', '[1]', 'b'), (3, NULL, NULL, NULL);"#,
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT b['a'] AS a, b['a']['b'][1]['c'] AS c, b[0] AS z, b[-1] AS l, b['n'] AS n FROM j ORDER BY id",
        "SELECT b['a']['b'][0] = '1' AS e, (b['a']['b'][0])::int + 1 AS i, b[k] AS k, b[id - 2] AS m FROM j ORDER BY id",
        "SELECT id FROM j WHERE b['a'] IS NOT NULL ORDER BY b['a']",
        r#"SELECT ('{"a":[1,2]}'::jsonb)['a'][1] AS a, ('"x"'::jsonb)[0] AS b, ('{"0":5}'::jsonb)[0] AS c"#,
        r#"SELECT json_object('{a,1,b,NULL}') AS a, jsonb_object('{b,1,a,"x y"}') AS b, json_object('{a,b}', '{1,NULL}') AS c, jsonb_object(ARRAY['a'], ARRAY['q"']) AS d"#,
        "SELECT json_object(ARRAY[['a', '1'], ['b', '2']]) AS a, json_object('{}') AS b, jsonb_object('{}', '{}') AS c, json_object(NULL) AS d",
        r#"SELECT jsonb_set_lax('{"a":1}', '{a}', NULL) AS a, jsonb_set_lax('{"a":1}', '{a}', NULL, true, 'delete_key') AS b, jsonb_set_lax('{"a":1}', '{a}', NULL, true, 'return_target') AS c, jsonb_set_lax('{"a":1}', '{b}', '2') AS d"#,
        r#"SELECT json_array_element('[1,2]', 1) AS a, json_array_element_text('["x"]', 0) AS b, jsonb_object_field('{"a":1}', 'a') AS c, jsonb_object_field_text('{"a":"q"}', 'a') AS d"#,
        r#"SELECT jsonb_concat('{"a":1}', '{"b":2}') AS a, jsonb_contains('[1,2]', '[1]') AS b, jsonb_contained('1', '[1]') AS c, jsonb_exists('{"a":1}', 'a') AS d, jsonb_exists_any('{"a":1}', '{x,a}') AS e, jsonb_exists_all('{"a":1}', '{x,a}') AS f"#,
        r#"SELECT jsonb_delete('{"a":1,"b":2}'::jsonb, 'a') AS a, jsonb_delete('[1,2]', 0) AS b, jsonb_delete('{"a":1,"b":2}'::jsonb, 'a', 'b') AS c, jsonb_delete_path('{"a":{"b":1}}', '{a,b}') AS d"#,
        "SELECT row_to_json(j) AS a, row_to_json(j, true) AS b FROM j ORDER BY id",
        "SELECT row_to_json(ROW(1, 'x'::text, NULL::int)) AS a, to_jsonb(ROW(1, true)) AS b, row_to_json((id, k)) AS c FROM j ORDER BY id",
        "SELECT json_agg(j ORDER BY id DESC) AS a, jsonb_agg(j ORDER BY k) AS b FROM j",
        "SELECT json_agg(row_to_json(s)) AS a FROM (SELECT id, k FROM j ORDER BY id) s",
        "SELECT jsonb_agg(k) FILTER (WHERE id > 1) AS a, json_object_agg(id, k) AS b, jsonb_object_agg(id, b) AS c FROM j",
        "SELECT jsonb_agg(DISTINCT k ORDER BY k) AS a, json_agg(DISTINCT k) AS b FROM j",
        "SELECT json_build_object('t', t, 'b', b, 'x', ARRAY[1, 2]) AS a, jsonb_build_object('row', to_jsonb(j)) AS b FROM j ORDER BY id",
        "SELECT (jsonb_each(b)).key AS k FROM j WHERE id = 1 ORDER BY 1",
        "SELECT jsonb_typeof(b), json_typeof(t), jsonb_pretty(b), json_strip_nulls(t) FROM j ORDER BY id",
        "SELECT CASE WHEN id = 1 THEN b ELSE '{\"a\": 0}' END -> 'a' AS a, CASE id WHEN 1 THEN b END ->> 'n' AS n, coalesce(b, '1') = '1' AS c FROM j ORDER BY id",
        "SELECT CASE WHEN id = 1 THEN b ELSE b END FROM j EXCEPT SELECT '1'::jsonb ORDER BY 1",
        "SELECT b #- '{a,b,0}' AS a, b - 'a' AS c, b - '{a,n}'::text[] AS d FROM j WHERE id = 1",
        "SELECT json_agg(x) AS a FROM (VALUES (1), (NULL)) s(x)",
        "SELECT json_agg(x) AS a, jsonb_agg(x) AS b FROM (VALUES (ARRAY[1]), (NULL), (ARRAY[2, 3])) s(x)",
        "SELECT json_agg(DISTINCT x ORDER BY x DESC) AS a, jsonb_agg(DISTINCT x) AS b FROM (VALUES (interval '1 day'), ('24 hours'), ('9 hours')) s(x)",
        "SELECT jsonb_agg(x ORDER BY x DESC NULLS LAST) AS a FROM (VALUES (1), (NULL), (3)) s(x)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    for statement in [
        "SELECT (b)[1:2] FROM j",
        "SELECT b[true] FROM j",
        "SELECT b[1.5] FROM j",
        "SELECT t['a'] FROM j",
        "SELECT json_object('{a}')",
        "SELECT json_object('{a,b}', '{a}')",
        "SELECT json_object('{NULL,b}')",
        "SELECT json_object(ARRAY[['a']])",
        "SELECT jsonb_set_lax('{}', '{a}', NULL, true, 'raise_exception')",
        "SELECT jsonb_set_lax('{}', '{a}', NULL, true, 'nothing')",
        "SELECT jsonb_set_lax('1', '{a}', '2')",
    ] {
        all_refused(&tide, &pg, &[statement]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assignments_to_elements_of_jsonb() {
    let pair = Pair::start();
    pair.run(
        r#"CREATE TABLE t (id int PRIMARY KEY, j jsonb, n int, a int[]);
        INSERT INTO t VALUES (1, '{"a": {"b": [1]}}', 5, '{1}'), (2, '[1, 2]', 6, '{}'), (3, NULL, 7, NULL);
        CREATE TABLE o (id int, j jsonb);
        INSERT INTO o VALUES (1, '"other"');"#,
    );
    for statement in [
        r#"UPDATE t SET j['x'] = '1' WHERE id = 1 RETURNING j"#,
        r#"UPDATE t SET j['a']['b'][3] = '"far"' WHERE id = 1 RETURNING j"#,
        r#"UPDATE t SET j['new'][1]['k'] = to_jsonb(n), n = 9, j['y'] = 'null' WHERE id = 1 RETURNING *"#,
        r#"UPDATE t SET j[-1] = '20', j[4] = NULL WHERE id = 2 RETURNING j"#,
        r#"UPDATE t SET j['k'] = '{}' WHERE id = 3 RETURNING j"#,
        r#"UPDATE t AS s SET j['o'] = o.j FROM o WHERE o.id = s.id AND o.j IS DISTINCT FROM s.j RETURNING s.j"#,
        r#"UPDATE t SET j = NULL WHERE id = 3"#,
        r#"UPDATE t SET j[2] = '7' WHERE id = 3 RETURNING j"#,
        r#"INSERT INTO t VALUES (3, '1', 0) ON CONFLICT (id) DO UPDATE SET j[0] = excluded.j RETURNING t.j"#,
        r#"UPDATE t SET j['a'] = (SELECT j FROM o), n = n + 1 WHERE id = 1 RETURNING j, n"#,
    ] {
        pair.same_or_fail(statement);
    }
    let (tide, pg) = pair.connect().await;
    let refused = [
        "UPDATE t SET j['a'] = '1' WHERE id = 2",
        "UPDATE t SET j[-9] = '1' WHERE id = 2",
        "UPDATE t SET j['o']['deep'] = '1' WHERE id = 1",
        "UPDATE t SET j[NULL] = '1' WHERE id = 2",
        "UPDATE t SET j['a'] = 1",
        "UPDATE t SET n['a'] = '1'",
    ];
    all_refused(&tide, &pg, &refused).await;
    let value = Raw(b"\x01{\"p\": 1}".to_vec());
    let update = "UPDATE t SET j['p'] = $1, n = $2 WHERE id = 1 RETURNING j::text, n";
    let mut rows = Vec::new();
    for client in [&tide, &pg] {
        let row = client.query_one(update, &[&value, &3_i32]).await.unwrap();
        rows.push((row.get::<_, String>(0), row.get::<_, i32>(1)));
    }
    assert_eq!(rows[0], rows[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_random_queries_found() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE a (id int PRIMARY KEY, k int, d date, j jsonb);
        INSERT INTO a VALUES (1, 7, '2024-02-26', '{\"a\": 1}'), (2, 0, '2024-02-26', '[1]'), (3, NULL, '2024-02-27', NULL);",
    );
    let (tide, pg) = pair.connect().await;
    for query in [
        // The type of CASE out of a subquery.
        "SELECT x -> 'a' AS x, x = '[1.0]' AS e FROM (SELECT id, CASE WHEN id < 3 THEN j END AS x FROM a) s ORDER BY id",
        "SELECT CASE '' WHEN '' THEN '[]'::jsonb ELSE (x || '{}') END AS c FROM (SELECT id, CASE id WHEN 1 THEN j ELSE jsonb_strip_nulls(j) END AS x FROM a) s ORDER BY id",
        "SELECT CASE WHEN k > 1 THEN 1 ELSE 2.5 END / 2 AS q, CASE k WHEN 7 THEN 'x' END AS t, CASE WHEN true THEN NULL ELSE 3 END AS n, coalesce(k, 2.5) / 2 AS c FROM a ORDER BY id",
        // Constants in the order of an aggregate.
        "SELECT array_agg(id ORDER BY 3 DESC, id DESC) AS a, string_agg('x', ',' ORDER BY 1) AS s FROM a",
    ] {
        same_answers(&tide, &pg, query).await;
    }
    // A parameter in parentheses is a bigint there.
    let page = "SELECT id FROM a ORDER BY id OFFSET ($1) ROWS FETCH FIRST ($2) ROWS ONLY";
    for client in [&tide, &pg] {
        let rows = client.query(page, &[&1_i64, &1_i64]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].get::<_, i32>(0), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_keys_as_they_are_values() {
    let pair = Pair::start();
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT json_build_object(timestamp '2020-01-01', 1), jsonb_build_object(timestamptz '2020-01-01 10:00+02', timestamptz '2020-01-01 10:00+02')",
            "SELECT json_object_agg(t, n), jsonb_object_agg(t, n) FROM (VALUES (timestamp '2020-01-01', 1), ('2021-02-03 04:05:06.7', 2)) v(t, n)",
            "SELECT json_object_agg(date '2020-01-01', 1), json_object_agg(true, 1), json_object_agg('k', 1), json_object_agg(1.50, 2), jsonb_object_agg(interval '1 day', 2)",
            "SELECT json_build_object(true, 1, 1.5, 2, date '2020-01-01', 3, 'x'::char(3), 4)",
        ],
    )
    .await;
    // What is left of a row in a column is its text.
    for query in [
        "SELECT row_to_json(x) FROM (SELECT row(1, 2) AS d) x",
        "SELECT to_jsonb(x) FROM (SELECT (1, 2) AS d) x",
    ] {
        let error = tide.batch_execute(query).await.expect_err(query);
        let error = error.as_db_error().expect(query);
        assert_eq!(error.code().code(), "0A000", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_other_types_are_refused_and_store_nothing() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int PRIMARY KEY, j jsonb, n int); INSERT INTO t VALUES (1, '{\"a\": 1}', 2);");
    let (tide, pg) = pair.connect().await;
    let refused = [
        "UPDATE t SET j = jsonb_set(j, '{b}', 1)",
        "UPDATE t SET j = jsonb_set(j, '{b}', n)",
        "UPDATE t SET j = jsonb_set(j, '{b}', 'x'::text)",
        "UPDATE t SET j = jsonb_insert(j, '{b}', true)",
        "UPDATE t SET j = jsonb_concat(j, 2)",
        "SELECT jsonb_set(j, '{b}') FROM t",
        "SELECT jsonb_insert(j, '{b}') FROM t",
        "SELECT jsonb_extract_path(j) FROM t",
        "SELECT jsonb_exists(j) FROM t",
        "SELECT jsonb_strip_nulls('x'::text)",
        "SELECT jsonb_typeof(5)",
        "SELECT jsonb_typeof('5'::json)",
        "SELECT jsonb_delete(j, 1.5) FROM t",
        "SELECT * FROM jsonb_array_elements(5)",
        "SELECT j @> 5 FROM t",
        "SELECT j ? n FROM t",
        "SELECT j || n FROM t",
        "SELECT j - 1.5 FROM t",
        "SELECT j -> id::bigint FROM t",
        "SELECT j #> 'a'::text FROM t",
        "SELECT array_append(ARRAY[1, 2], true)",
        "SELECT array_remove(ARRAY[1, 2], 'x'::text)",
        "SELECT array_position(5, 5)",
        "SELECT string_agg(n, ',') FROM t",
        "SELECT mode()",
        "SELECT mode(n) FROM t",
        "SELECT mode(1, 2)",
        "SELECT percentile_disc(0.5)",
        "SELECT percentile_cont(0.5, n) FROM t",
    ];
    all_refused(&tide, &pg, &refused).await;
    for query in [
        "SELECT * FROM t",
        "SELECT jsonb_set(j, '{b}', to_jsonb(n)), jsonb_set(j, ARRAY['b']::varchar[], '1', false), jsonb_set(NULL, '{b}', '1') FROM t",
        "SELECT j || 'x'::text, j || '{\"b\": 2}', j -> 'a'::varchar(3), '[1]'::jsonb -> 0::smallint, j - 'a', '[1]'::jsonb - 0, j - ARRAY['a'] FROM t",
        "SELECT jsonb_delete('[1, 2]'::jsonb, 0), jsonb_delete(j, 'a'), jsonb_extract_path(j, 'a', 'b'), jsonb_set_lax(j, '{a}', NULL, true, 'delete_key') FROM t",
        "SELECT * FROM jsonb_to_recordset('[{\"a\": 1, \"b\": \"x\"}]') AS r(a int, b text)",
        "SELECT array_append(ARRAY[1, 2], 3::bigint), array_position(ARRAY['x', 'y'], 'y'::varchar), array_append(NULL::int[], 5)",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}
