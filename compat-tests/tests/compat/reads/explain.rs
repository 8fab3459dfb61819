//! EXPLAIN in PostgreSQL's envelope.

use serde_json::Value;
use tidelog_compat_tests::Server;

use crate::pair::{Pair, same_answers, text};

const PLANS: &[&str] = &[
    "SELECT * FROM t",
    "SELECT n FROM t WHERE n > 5",
    "SELECT n FROM t WHERE n > 5 AND note = 'it''s'",
    "SELECT n FROM t WHERE note IS NULL OR NOT n = 3",
    "SELECT n FROM t WHERE note LIKE 'a%'",
    "SELECT * FROM t ORDER BY note DESC, n",
    "SELECT * FROM t ORDER BY note LIMIT 3",
    "SELECT * FROM t LIMIT 3",
    "SELECT count(*) FROM t",
    "SELECT note, count(*) FROM t GROUP BY note",
    "SELECT 1",
    "INSERT INTO t VALUES (1, 2, 'x')",
    "INSERT INTO t VALUES (1, 2, 'x'), (2, 3, 'y')",
    "UPDATE t SET n = 1 WHERE n = 2",
    "DELETE FROM t WHERE n = 2",
];

const ERRORS: &[&str] = &[
    "EXPLAIN (COLOUR) SELECT 1",
    "EXPLAIN (ANALYZE maybe) SELECT 1",
    "EXPLAIN (FORMAT poem) SELECT 1",
    "EXPLAIN (TIMING) SELECT 1",
    "EXPLAIN (WAL) SELECT 1",
    "EXPLAIN SELECT * FROM nowhere",
];

#[tokio::test]
async fn plans_have_postgresqls_shape() {
    let pair = Pair::start();
    // No index, so that both have but one way.
    pair.run("CREATE TABLE t (id int8, n int4, note text);");
    let (tide, pg) = pair.connect().await;
    for query in PLANS {
        let explain = format!("EXPLAIN (COSTS OFF) {query}");
        let (found, expected) = (text(&tide, &explain).await, text(&pg, &explain).await);
        assert_eq!(found, expected, "{query}");
    }
    for explain in ERRORS {
        let error = async |client: &tokio_postgres::Client| {
            let error = client.simple_query(explain).await.unwrap_err();
            let error = error.as_db_error().unwrap().clone();
            (error.code().code().to_string(), error.message().to_string())
        };
        assert_eq!(error(&tide).await, error(&pg).await, "{explain}");
    }
}

/// The lines of a plan without numbers.
fn shape(lines: &str) -> Vec<String> {
    let masked = |line: &str| {
        let mut out = String::new();
        for c in line.chars() {
            match c {
                '0'..='9' | '.' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                c => out.push(c),
            }
        }
        out
    };
    lines.lines().map(masked).collect()
}

#[tokio::test]
async fn forms_have_postgresqls_keys() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int8, n int4, note text); INSERT INTO t VALUES (1, 2, 'x'), (2, 3, NULL);");
    let query = "SELECT n FROM t WHERE n > 2 ORDER BY n";
    let one = |peer: &tidelog_compat_tests::Peer, options: &str| {
        peer.value(&format!("EXPLAIN ({options}) {query}"))
    };
    let (tide, pg) = (pair.tide.peer(), pair.pg.peer());
    for options in [
        "COSTS",
        "COSTS OFF, SUMMARY",
        "ANALYZE, TIMING OFF, SUMMARY OFF, COSTS OFF",
    ] {
        let known = |lines: Vec<String>| -> Vec<String> {
            // What only one of them measures.
            let own = ["Hot Rows", "Sort Method", "Planning", "Memory", "Buffers"];
            let mine = |line: &String| !own.iter().any(|own| line.trim_start().starts_with(own));
            lines
                .into_iter()
                .filter(mine)
                .map(|line| line.split("  (cost").next().unwrap_or_default().to_string())
                .collect()
        };
        let expected = known(shape(&one(&pg, options)));
        let found = known(shape(&one(&tide, options)));
        assert_eq!(found, expected, "{options}");
    }
    let keys = |plan: &Value| -> Vec<String> {
        let own = [
            "Hot Rows",
            "Cold",
            "Sort",
            "Rows Removed by Dead Set",
            "Shared",
            "Local",
            "Temp",
        ];
        let fields = plan.as_object().unwrap().keys();
        fields
            .filter(|key| !own.iter().any(|own| key.starts_with(own)))
            .cloned()
            .collect()
    };
    for options in ["FORMAT JSON", "ANALYZE, FORMAT JSON"] {
        let plans = [&tide, &pg]
            .map(|peer| -> Value { serde_json::from_str(&one(peer, options)).unwrap() });
        let [tide, pg] = &plans;
        assert_eq!(keys(&tide[0]), keys(&pg[0]), "{options}");
        let (mut tide, mut pg) = (&tide[0]["Plan"], &pg[0]["Plan"]);
        loop {
            assert_eq!(keys(tide), keys(pg), "{options}: {tide:#}");
            for same in [
                "Node Type",
                "Relation Name",
                "Filter",
                "Actual Rows",
                "Actual Loops",
                "Parent Relationship",
            ] {
                assert_eq!(tide[same], pg[same], "{options}: {same}");
            }
            if pg["Plans"].is_null() {
                break;
            }
            (tide, pg) = (&tide["Plans"][0], &pg["Plans"][0]);
        }
    }
    for (options, begins) in [
        (
            "FORMAT YAML",
            "- Plan: \n    Node Type: \"Sort\"\n    Parallel Aware: false\n",
        ),
        (
            "FORMAT XML",
            "<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n  <Query>\n    <Plan>\n      <Node-Type>Sort</Node-Type>\n",
        ),
    ] {
        for peer in [&tide, &pg] {
            let plan = one(peer, options);
            assert!(plan.starts_with(begins), "{options}: {plan}");
        }
    }
}

#[tokio::test]
async fn analyze_executes() {
    let pair = Pair::start();
    pair.run("CREATE TABLE t (id int8 PRIMARY KEY, n int4); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);");
    let (tide, pg) = pair.connect().await;
    for client in [&tide, &pg] {
        client
            .simple_query("EXPLAIN UPDATE t SET n = 100")
            .await
            .unwrap();
        client
            .simple_query("EXPLAIN ANALYZE UPDATE t SET n = n + 10 WHERE id > 1")
            .await
            .unwrap();
        client
            .simple_query("EXPLAIN ANALYZE DELETE FROM t WHERE id = 3 RETURNING *")
            .await
            .unwrap();
        client
            .simple_query("EXPLAIN ANALYZE INSERT INTO t VALUES (4, 4)")
            .await
            .unwrap();
        client
            .batch_execute("BEGIN; EXPLAIN ANALYZE INSERT INTO t VALUES (5, 5); ROLLBACK")
            .await
            .unwrap();
        client
            .batch_execute("EXPLAIN ANALYZE INSERT INTO t VALUES (4, 4)")
            .await
            .unwrap_err();
        // With a parameter, as drivers send it.
        let statement = client
            .prepare("EXPLAIN ANALYZE SELECT * FROM t WHERE n = $1")
            .await
            .unwrap();
        let rows = client.query(&statement, &[&4_i32]).await.unwrap();
        assert_eq!(statement.columns()[0].name(), "QUERY PLAN");
        assert!(
            rows.iter()
                .any(|row| row.get::<_, String>(0).contains("(n = 4)"))
        );
    }
    pair.same("SELECT * FROM t ORDER BY id");
    let plan = pair
        .tide
        .peer()
        .value("EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 2");
    assert_eq!(
        plan.lines().next(),
        Some("Index Scan using t_pkey on t"),
        "{plan}"
    );
    assert!(plan.contains("Index Cond: (id = 2)"), "{plan}");
}

#[test]
fn a_join_of_few_rows_looks_them_up() {
    let tide = Server::start();
    let peer = tide.peer();
    peer.run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, 'x' FROM generate_series(1, 1000) g;");
    let plan =
        peer.value("EXPLAIN (COSTS OFF) SELECT a.v, b.v FROM t a JOIN t b ON b.id = length(a.v) WHERE a.id = 3");
    assert!(plan.contains("Index Cond: (id = (length(a.v)))"), "{plan}");
    // So many rows that their number is none.
    let joins: String = ('b'..='h')
        .map(|name| format!(" JOIN pg_attribute {name} ON {name}.attnum = a.attnum"))
        .collect();
    let plan = peer.value(&format!(
        "EXPLAIN SELECT count(*) FROM pg_attribute a{joins} JOIN t ON t.id = h.attnum"
    ));
    assert!(plan.contains("Seq Scan on t "), "{plan}");
}

#[test]
fn listed_values_are_found_by_keys_and_indexes() {
    let tide = Server::start();
    let peer = tide.peer();
    peer.run(
        "CREATE TABLE t (id int PRIMARY KEY, room int, v text);
         INSERT INTO t SELECT g, g / 10, 'x' FROM generate_series(1, 5000) g;
         CREATE INDEX t_room ON t (room, v);
         CREATE TABLE two (a int, b int, v text, PRIMARY KEY (a, b));
         INSERT INTO two SELECT g / 10, g % 10, 'x' FROM generate_series(1, 5000) g;",
    );
    for flushed in [false, true] {
        if flushed {
            peer.run("CALL tidelog.flush('t'); CALL tidelog.flush('two');");
        }
        for query in [
            "SELECT count(*) FROM t WHERE id IN (1, 2, 3, 4, 4)",
            "SELECT * FROM t WHERE id IN (1, 2) ORDER BY v, id LIMIT 1",
            "SELECT max(v) FROM t WHERE id = ANY ('{1,2}')",
            "SELECT v FROM t WHERE id = 1 OR id = 3 OR room = 7",
            "SELECT count(*) FROM t WHERE room IN (1, 2) AND v = 'x'",
            "SELECT count(*) FROM t WHERE room IN (1, 2) AND v > 'a'",
            "SELECT * FROM two WHERE (a, b) IN ((1, 2), (3, 4)) ORDER BY v",
            "SELECT * FROM two WHERE a IN (1, 2) AND b IN (3, 4) ORDER BY v",
            "SELECT t.v, two.v FROM t JOIN two ON two.a = t.id AND two.b = t.room WHERE t.id IN (10, 20)",
            "WITH some AS (SELECT * FROM t WHERE id IN (1, 2)) SELECT count(*) FROM some a, some b",
            "SELECT count(*) FROM (SELECT * FROM t) s WHERE s.id IN (1, 2)",
            "UPDATE t SET v = 'y' WHERE id IN (1, 2)",
            "UPDATE t SET v = two.v FROM two WHERE id IN (1, 2) AND (two.a, two.b) = (3, t.room)",
            "DELETE FROM t USING two WHERE id = ANY ('{1,2}') AND (a, b) IN ((1, 2), (3, 4))",
        ] {
            let plan = peer.value(&format!("EXPLAIN (COSTS OFF) {query}"));
            assert!(!plan.contains("Seq Scan"), "{query}\n{plan}");
        }
    }
    let many: Vec<String> = (1..=3000).map(|id| id.to_string()).collect();
    let many = many.join(", ");
    let plan = peer.value(&format!(
        "EXPLAIN SELECT count(*) FROM t WHERE id IN ({many})"
    ));
    assert!(plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn the_least_and_the_greatest_are_first_in_an_index() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, room text, n int, d date, s text);
         INSERT INTO t SELECT g, 'r' || g % 5, nullif(g % 1000, 3), NULL, 's' || g FROM generate_series(1, 8000) g;
         CREATE INDEX ON t (room, id); CREATE INDEX ON t (n); CREATE INDEX ON t (d); CREATE UNIQUE INDEX ON t (s, n);
         CREATE TABLE other (id int);",
    );
    let (tide, pg) = pair.connect().await;
    for flushed in [false, true] {
        if flushed {
            tide.batch_execute("CALL tidelog.flush('t')").await.unwrap();
            // What else the transaction changes is none of its business.
            for client in [&tide, &pg] {
                let begin = "BEGIN; INSERT INTO other VALUES (1)";
                client.batch_execute(begin).await.unwrap();
            }
        }
        for (query, by_index) in [
            ("SELECT max(id) FROM t", true),
            ("SELECT min(id), max(n), min(n), max(id) FROM t", true),
            ("SELECT min(d), max(d) FROM t", true),
            ("SELECT max(id), min(id) FROM t WHERE room = 'r2'", true),
            ("SELECT max(id) AS most FROM t WHERE room = 'none'", true),
            (
                "SELECT max(id) FROM t WHERE room = 'r2' AND id < 4000",
                true,
            ),
            (
                "SELECT coalesce(max(x.i), 0) + 1 FROM (SELECT id AS i, n FROM t) x WHERE n > 5",
                true,
            ),
            (
                "SELECT (SELECT max(id) FROM t) - (SELECT min(id) FROM t)",
                true,
            ),
            (
                "SELECT n FROM t WHERE n IS NOT NULL ORDER BY n DESC LIMIT 3",
                true,
            ),
            ("SELECT max(id) FROM t HAVING max(id) > 5", true),
            ("SELECT max(s), min(s) FROM t", false),
            ("SELECT max(id), count(*) FROM t", false),
            ("SELECT max(id) FILTER (WHERE id < 8) FROM t", false),
        ] {
            same_answers(&tide, &pg, query).await;
            let plan = text(&tide, &format!("EXPLAIN (COSTS OFF) {query}")).await;
            let scans = plan.rows.iter().flatten().flatten();
            let scans = scans.filter(|line| line.contains("Seq Scan")).count();
            assert_eq!(scans == 0, by_index, "{query}: {plan:#?}");
        }
    }
    for client in [&tide, &pg] {
        client
            .batch_execute(
                "INSERT INTO t VALUES (9000, 'r2'), (9001, 'r3'); DELETE FROM t WHERE id IN (1, 9001);
                 PREPARE most AS SELECT max(id) FROM t WHERE room = $1;",
            )
            .await
            .unwrap();
    }
    for query in [
        "SELECT max(id), min(id) FROM t",
        "SELECT max(id) FROM t WHERE room = 'r3'",
        "EXECUTE most ('r2')",
        "EXECUTE most (NULL)",
        "EXECUTE most ('r3')",
    ] {
        same_answers(&tide, &pg, query).await;
    }
}

#[tokio::test]
async fn rows_without_an_order_come_as_they_were_inserted() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, v text);
         INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 30000) g;
         CREATE TABLE drawn (n serial, id int);",
    );
    // Older rows in a file, newer ones not.
    pair.tide.peer().run("CALL tidelog.flush('t')");
    pair.run("INSERT INTO t SELECT g, 'v' || g FROM generate_series(30001, 50000) g;");
    let (tide, pg) = pair.connect().await;
    for query in [
        "SELECT id + 1, v FROM t",
        "SELECT id FROM t WHERE id % 3 = 1",
        "SELECT id, md5(v) FROM t WHERE regexp_replace(v, '1', '2') <> 'x'",
        "INSERT INTO drawn (id) SELECT id FROM t WHERE id % 5 = 0 RETURNING n, id",
        "UPDATE t SET v = 'w' WHERE id % 7 = 0 RETURNING id",
    ] {
        assert_eq!(text(&tide, query).await, text(&pg, query).await, "{query}");
    }
}
