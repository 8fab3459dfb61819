//! What a filter, an order or a limit keeps from being read, by the counters of EXPLAIN ANALYZE.

use tidelog_compat_tests::Server;

use super::{count, reads};

const FILES: u64 = 8;
const ROWS: u64 = 2000;

/// Eight files of two thousand rows, each later than the one before.
fn eight_files() -> Server {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE m (id int8 PRIMARY KEY, room text, n int4, at timestamptz, day date, price numeric(12,2),
             ratio float8, note text);",
    );
    for file in 0..FILES {
        let rows = (file * ROWS + 1..=(file + 1) * ROWS).map(|id| {
            let (minutes, seconds) = (id / 60, id % 60);
            let at = format!(
                "2026-01-01 {:02}:{:02}:{seconds:02}+00",
                minutes / 60,
                minutes % 60
            );
            let price = id as f64 / 4.0;
            format!(
                "({id}, 'room {}', {id}, '{at}', '2026-01-01', {price}, {id}, NULL)",
                id % 7
            )
        });
        let rows: Vec<String> = rows.collect();
        peer.run(&format!(
            "INSERT INTO m VALUES {};\nCALL tidelog.flush('m');",
            rows.join(", ")
        ));
    }
    assert_eq!(
        peer.value("SELECT count(*) FROM tidelog.files"),
        FILES.to_string()
    );
    server
}

#[test]
fn files_are_ruled_out_by_the_manifest() {
    let server = eight_files();
    let peer = server.peer();
    let seq = peer.value("SELECT _seq FROM m WHERE id = 4500");
    let list: Vec<String> = (4100..4150).map(|id| id.to_string()).collect();
    let list = format!("n IN ({})", list.join(", "));
    let seqs = format!("_seq = {seq}");
    let conditions = [
        // What it says, and how many of the files may hold such rows.
        ("n = 4500", 1),
        ("n BETWEEN 4100 AND 4200", 1),
        ("n > 15000", 1),
        ("n < 2001", 1),
        ("n IN (5, 15999)", 2),
        (list.as_str(), 1),
        ("n = 4500::int8", 1),
        ("n = '4500'", 1),
        ("n + 0 = 4500", 8),
        ("n = 4500 OR n = 8500", 2),
        ("NOT n < 15000", 1),
        ("n = 99999", 0),
        ("n = 4500 AND room = 'room 1'", 1),
        ("at = '2026-01-01 00:33:20+00'", 1),
        ("at >= '2026-01-01 04:20:00+00'", 1),
        ("at < '2026-01-01'::timestamptz", 0),
        ("day > '2026-01-01'", 0),
        (seqs.as_str(), 1),
    ];
    for (condition, left) in conditions {
        let node = reads(&peer, &format!("SELECT count(*) FROM m WHERE {condition}"));
        assert_eq!(count(&node, "Cold Files"), FILES, "{condition}: {node:#}");
        assert_eq!(
            FILES - count(&node, "Cold Files Pruned"),
            left,
            "{condition}: {node:#}"
        );
    }
}

/// What the manifest does not know is looked up in the footers.
#[test]
fn row_groups_and_pages_are_ruled_out_by_their_statistics() {
    let server = eight_files();
    let peer = server.peer();
    peer.run("UPDATE m SET note = 'the one' WHERE id = 4500; CALL tidelog.flush('m');");
    for condition in [
        "room = 'attic'",
        "room LIKE 'x%'",
        "note = 'the one'",
        "note IS NOT NULL",
        "price = 123456.78",
        "price < 0",
    ] {
        let node = reads(&peer, &format!("SELECT count(*) FROM m WHERE {condition}"));
        let (groups, pruned) = (
            count(&node, "Cold Row Groups"),
            count(&node, "Cold Row Groups Pruned"),
        );
        let hits = u64::from(condition.starts_with("note"));
        assert_eq!(groups, FILES + 1, "{condition}: {node:#}");
        assert_eq!(groups - pruned, hits, "{condition}: {node:#}");
    }
    // Of what is left, columns that nobody asks for stay unread.
    let one = count(&reads(&peer, "SELECT sum(n) FROM m"), "Cold Bytes Read");
    let all = count(
        &reads(
            &peer,
            "SELECT max(room), sum(n), max(at), sum(price) FROM m",
        ),
        "Cold Bytes Read",
    );
    assert!(one * 2 < all, "{one} bytes of {all}");
}

/// A numeric without precision is found by its bytes, and a column by a constant of another kind of number.
#[test]
fn numerics_rule_out_files_and_are_found_by_indexes() {
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE a (id int8 PRIMARY KEY, x numeric, y numeric, price numeric(12,2)); CREATE INDEX a_y ON a (y); CREATE INDEX a_price ON a (price);");
    for file in 0..4 {
        let (first, last) = (file * 5000 + 1, (file + 1) * 5000);
        peer.run(&format!(
            "INSERT INTO a SELECT g, g * 1.50, g * 1.50, g * 0.25 FROM generate_series({first}, {last}) g;
            CALL tidelog.flush('a');"
        ));
    }
    for (condition, groups, rows) in [
        ("x = 1500", 1, 1),
        ("x = 1500.000", 1, 1),
        ("1500.0 >= x", 1, 1000),
        ("x > 29998.4", 1, 2),
        ("x BETWEEN 1500 AND 1501.5", 1, 2),
        ("x IN (1.5, 2, 3.0)", 1, 2),
        (
            "x IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25.5)",
            1,
            9,
        ),
        ("x < 2 OR x > 29999", 2, 2),
        ("(x < 2 AND id > 0) OR id = 20000", 2, 2),
        ("x < 0", 0, 0),
        ("x = 'NaN'", 0, 0),
        ("NOT (x > 15)", 1, 10),
    ] {
        let query = format!("SELECT count(*) FROM a WHERE {condition}");
        assert_eq!(peer.value(&query), rows.to_string(), "{query}");
        let node = reads(&peer, &query);
        let (all, pruned) = (
            count(&node, "Cold Row Groups"),
            count(&node, "Cold Row Groups Pruned"),
        );
        assert_eq!((all, all - pruned), (4, groups), "{query}: {node:#}");
        // Of a row group, its pages, where one column is asked for.
        let read = count(&node, "Cold Rows");
        assert!(
            read <= groups * 3000 || condition.contains("id"),
            "{query}: {node:#}"
        );
    }
    // An index tells the manifest to keep what is lowest and highest in each file.
    let query = "SELECT count(*) FROM a WHERE y > 0 AND y < 7000";
    let node = reads(&peer, query);
    assert_eq!(count(&node, "Cold Files Pruned"), 3, "{node:#}");
    for (condition, index, shown, rows) in [
        ("y = 1500", "a_y", "(y = 1500)", 1),
        (
            "y BETWEEN 1500 AND 1501.50",
            "a_y",
            "((y >= 1500) AND (y <= 1501.5))",
            2,
        ),
        ("price = 2.50::numeric", "a_price", "(price = 2.50)", 1),
        ("price = '2.5'::numeric + 1", "a_price", "(price = 3.50)", 1),
        ("price < 0.755", "a_price", "(price <= 0.75)", 3),
        ("price < 0.750::numeric", "a_price", "(price < 0.75)", 2),
        ("price > 4999.494", "a_price", "(price > 4999.49)", 3),
        (
            "price >= 4999.505 AND price < 1e6",
            "a_price",
            "((price > 4999.50) AND (price < 1000000.00))",
            2,
        ),
        ("id = 7.0::numeric", "a_pkey", "(id = 7)", 1),
        ("id < 3.5", "a_pkey", "(id <= 3)", 3),
        ("id <= -0.5::numeric", "a_pkey", "(id <= '-1'::bigint)", 0),
    ] {
        let query = format!("SELECT count(*) FROM a WHERE {condition}");
        assert_eq!(peer.value(&query), rows.to_string(), "{query}");
        let node = reads(&peer, &query);
        assert_eq!(node["Index Name"], index, "{query}: {node:#}");
        assert_eq!(node["Index Cond"], shown, "{query}: {node:#}");
    }
    // What the column cannot hold.
    for (condition, rows) in [
        ("price = 2.505::numeric", 0),
        ("price <> 2.505", 20_000),
        ("price NOT IN (2.505, 2.50, 'NaN')", 19_999),
        ("price IN (2.505, 2.50::numeric)", 1),
        ("price < 'Infinity'::numeric AND id < 9", 8),
        ("price < 1e40", 20_000),
        ("price IS DISTINCT FROM 2.505::numeric", 20_000),
        ("id = 2.5", 0),
        ("id <> 2.5::numeric", 20_000),
        ("id < 1e30", 20_000),
    ] {
        let query = format!("SELECT count(*) FROM a WHERE {condition}");
        assert_eq!(peer.value(&query), rows.to_string(), "{query}");
    }
}

/// NaN is higher than every number, and Parquet's statistics leave it out.
#[test]
fn nan_is_found() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE f (id int8 PRIMARY KEY, x float8, y float4);
         INSERT INTO f SELECT g, g, g FROM generate_series(1, 1500) AS s(g);
         INSERT INTO f VALUES (0, 'NaN', 'NaN');
         CALL tidelog.flush('f');",
    );
    for column in ["x", "y"] {
        assert_eq!(
            peer.value(&format!("SELECT count(*) FROM f WHERE {column} > 5000")),
            "1"
        );
        assert_eq!(
            peer.value(&format!("SELECT count(*) FROM f WHERE {column} = 'NaN'")),
            "1"
        );
        assert_eq!(
            peer.value(&format!("SELECT id FROM f ORDER BY {column} DESC LIMIT 1")),
            "0"
        );
    }
}

#[test]
fn the_newest_rows_are_read_out_of_the_newest_file() {
    let server = eight_files();
    let peer = server.peer();
    let last: Vec<String> = (15_991..=16_000).rev().map(|id| id.to_string()).collect();
    for order in ["id", "_seq", "at"] {
        let query = format!("SELECT id FROM m ORDER BY {order} DESC LIMIT 10");
        assert_eq!(peer.value(&query), last.join("\n"), "{query}");
        let node = reads(&peer, &query);
        if node["Node Type"] == "Index Scan" {
            assert_eq!(node["Scan Direction"], "Backward", "{node:#}");
            // Flushed rows that subscribers may still ask for are in the log, too.
            let read = count(&node, "Hot Rows") + count(&node, "Cold Rows");
            assert_eq!(read, 16, "{node:#}");
            continue;
        }
        assert!(count(&node, "Cold Rows") <= ROWS, "{query}: {node:#}");
        assert!(count(&node, "Cold Rows") <= ROWS, "{query}: {node:#}");
    }
    // The oldest ones, from the other end.
    for order in ["_seq", "at"] {
        let query = format!("SELECT id FROM m ORDER BY {order} LIMIT 3 OFFSET 2");
        assert_eq!(peer.value(&query), "3\n4\n5", "{query}");
        let node = reads(&peer, &query);
        assert!(count(&node, "Cold Rows") <= ROWS, "{query}: {node:#}");
    }
    // With a condition on another column, as many files as it takes.
    let query = "SELECT id FROM m WHERE room = 'room 3' ORDER BY _seq DESC LIMIT 5";
    let node = reads(&peer, query);
    assert!(count(&node, "Cold Rows") <= ROWS, "{query}: {node:#}");

    // Hot rows are newer than any file, and no more of them are read than it takes.
    peer.run("INSERT INTO m SELECT g, 'hot' FROM generate_series(20001, 25000) AS s(g);");
    let query = "SELECT id FROM m ORDER BY _seq DESC LIMIT 10";
    let node = reads(&peer, query);
    assert_eq!(count(&node, "Cold Rows"), 0, "{query}: {node:#}");
    // The scan is some batches ahead of what ends it.
    assert!(count(&node, "Hot Rows") < 5000, "{query}: {node:#}");
    for query in [
        "SELECT id FROM m ORDER BY id DESC LIMIT 10",
        "SELECT id FROM m WHERE room = 'hot' ORDER BY id DESC LIMIT 10",
    ] {
        let node = reads(&peer, query);
        assert_eq!(count(&node, "Cold Rows"), 0, "{query}: {node:#}");
        assert!(count(&node, "Hot Rows") <= 200, "{query}: {node:#}");
    }
}

#[test]
fn an_index_gives_its_order_in_both_tiers() {
    let server = eight_files();
    let peer = server.peer();
    peer.run(
        "CREATE INDEX m_room ON m (room, id);
         INSERT INTO m SELECT g, 'room ' || (g % 7) FROM generate_series(16001, 16020) AS s(g);",
    );
    let query = "SELECT id FROM m WHERE room = 'room 3' ORDER BY id DESC LIMIT 10";
    let ids: Vec<String> = (0..=16_020)
        .rev()
        .filter(|id| id % 7 == 3)
        .take(10)
        .map(|id| id.to_string())
        .collect();
    assert_eq!(peer.value(query), ids.join("\n"));
    let node = reads(&peer, query);
    assert_eq!(node["Index Name"], "m_room", "{node:#}");
    assert_eq!(
        count(&node, "Hot Rows") + count(&node, "Cold Rows"),
        16,
        "{node:#}"
    );
    // Scrolling back from there.
    let query = "SELECT id FROM m WHERE room = 'room 3' AND id < 8000 ORDER BY id DESC LIMIT 3";
    assert_eq!(peer.value(query), "7997\n7990\n7983");
    let node = reads(&peer, query);
    assert_eq!(node["Index Name"], "m_room", "{node:#}");
    // An index that would need too many rows is left for a scan.
    let query = "SELECT id FROM m WHERE note = 'nowhere' ORDER BY id DESC LIMIT 10";
    assert_eq!(peer.value(query), "");
    assert_eq!(reads(&peer, query)["Node Type"], "Seq Scan");
}

#[test]
fn the_least_and_the_greatest_are_found_beside_a_file_of_dead_rows() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE p (id int PRIMARY KEY, v int, w int);
         INSERT INTO p SELECT g, g, NULL FROM generate_series(1000, 1999) g;
         CALL tidelog.flush('p');
         INSERT INTO p VALUES (1, 7, -5), (2, -32768, 5);
         CALL tidelog.flush('p');
         DELETE FROM p WHERE id >= 1000;
         INSERT INTO p VALUES (12, -1, NULL), (13, 100, NULL);",
    );
    // The tiers come in any order.
    for _ in 0..20 {
        let found = peer.value("SELECT min(v), max(v), min(w), max(w), min(v + 1) FROM p");
        assert_eq!(found, "-32768|100|-5|5|-32767");
        assert_eq!(peer.value("SELECT min(v), max(v) FROM p"), "-32768|100");
    }
}
