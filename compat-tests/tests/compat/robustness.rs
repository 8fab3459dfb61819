//! Bytes that are no protocol end one connection and touch no other; statements that are too deep end none.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use tidelog_compat_tests::{Feed, Server};

use crate::pair::{Pair, text};

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn message(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// Sends `bytes`, hangs up its own side and reads whatever comes until the server closes.
fn send(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.pg_port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // The server may close before it has taken everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server neither answers nor closes: {error}"),
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_end_only_their_own_connection() {
    let server = Server::start();
    let bystander = server.peer().connect().await;
    bystander
        .batch_execute("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let after = |bytes: Vec<u8>| [startup(), bytes].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (
            "a startup of 4 GB",
            vec![0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        ),
        ("a startup of 0 bytes", vec![0; 16]),
        ("a startup cut short", startup()[..10].to_vec()),
        (
            "a startup without terminators",
            [&20_u32.to_be_bytes()[..], b"\0\x03\0\0userpostgres"].concat(),
        ),
        ("protocol 9", vec![0, 0, 0, 8, 0, 9, 0, 0]),
        (
            "a user that is not UTF-8",
            [&15_u32.to_be_bytes()[..], b"\0\x03\0\0user\0\xff\xfe\0\0"].concat(),
        ),
        (
            "a cancel of nobody",
            [
                &16_u32.to_be_bytes()[..],
                &80_877_102_u32.to_be_bytes(),
                &[7; 8],
            ]
            .concat(),
        ),
        ("an unknown message", after(message(b'!', 4, b""))),
        ("a length below 4", after(message(b'Q', 3, b""))),
        (
            "a length of 4 GB",
            after(message(b'Q', u32::MAX, b"SELECT 1\0")),
        ),
        (
            "a length of 2 GB",
            after(message(b'Q', 0x7fff_ffff, b"SELECT 1\0")),
        ),
        (
            "a query that is not UTF-8",
            after(message(b'Q', 10, b"SEL\xff\xfe\0")),
        ),
        (
            "a query without its end",
            after(message(b'Q', 12, b"SELECT 1")),
        ),
        ("a Parse of nothing", after(message(b'P', 4, b""))),
        (
            "a Parse that promises parameters",
            after(message(b'P', 9, b"\0\0\x7f\xff\0")),
        ),
        ("a Bind of nothing", after(message(b'B', 4, b""))),
        (
            "a Bind with a negative count",
            after(message(b'B', 8, b"\0\0\xff\xff")),
        ),
        (
            "a Bind of a statement that is not",
            after([message(b'B', 12, b"\0no\0\0\0\0\0"), message(b'S', 4, b"")].concat()),
        ),
        ("a Describe of nothing", after(message(b'D', 4, b""))),
        ("an Execute of nothing", after(message(b'E', 4, b""))),
        ("CopyData out of place", after(message(b'd', 8, b"1\t2\n"))),
        ("half a message", after(vec![b'Q', 0, 0])),
        ("200 kB of zeros", after(vec![0; 200_000])),
    ];
    for (what, bytes) in cases {
        send(&server, &bytes);
        assert_eq!(
            text(&bystander, "SELECT id FROM t").await.rows[0][0].as_deref(),
            Some("1"),
            "after {what}"
        );
        let newcomer = server.peer().connect().await;
        assert_eq!(
            text(&newcomer, "SELECT id FROM t").await.rows[0][0].as_deref(),
            Some("1"),
            "after {what}"
        );
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_message_is_answered_before_the_end() {
    let server = Server::start();
    let answer = send(&server, &[startup(), message(b'!', 4, b"")].concat());
    assert!(
        answer.windows(6).any(|window| window == b"C08P01"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_vanish_leave_nothing_behind() {
    let server = Server::start();
    server.peer().run("CREATE TABLE t (id int8 PRIMARY KEY);");
    for n in 0..50 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.pg_port())).unwrap();
        let query = format!("BEGIN; INSERT INTO t VALUES ({n}); SUBSCRIBE TO t\0");
        let bytes = [
            startup(),
            message(b'Q', query.len() as u32 + 4, query.as_bytes()),
        ]
        .concat();
        stream.write_all(&bytes).unwrap();
    }
    assert_eq!(server.peer().value("SELECT count(*) FROM t"), "0");
    let mut server = server;
    assert!(server.terminate().success());
}

/// A statement, nested or chained so often.
type Deep = fn(usize) -> String;

#[tokio::test(flavor = "multi_thread")]
async fn deep_statements_are_answered_or_refused() {
    let server = Server::start();
    let client = server.peer().connect().await;
    client
        .batch_execute("CREATE TABLE t (id int8 PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)")
        .await
        .unwrap();
    let nested = |before: &str, inner: &str, after: &str, times: usize| {
        [&before.repeat(times), inner, &after.repeat(times)].concat()
    };
    let answered = [
        format!("SELECT {} FROM t", nested("(", "a", ")", 100)),
        format!("SELECT {} FROM t", nested("abs(", "a", ")", 60)),
        format!("SELECT a FROM t WHERE {}", nested("NOT ", "a = 1", "", 100)),
        nested("SELECT a FROM (", "SELECT a FROM t", ") AS q", 50),
        format!("SELECT a FROM t WHERE a = 1{}", " OR a = 0".repeat(5_000)),
        format!("SELECT a FROM t WHERE a = 1{}", " AND id = 1".repeat(5_000)),
        format!("SELECT a FROM t WHERE a IN (1{})", ", 2".repeat(20_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(100)),
    ];
    for sql in answered {
        let rows = client.query(&sql, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{}: {error}", &sql[..60]));
        assert_eq!(rows[0].get::<_, i32>(0), 1, "{}", &sql[..60]);
    }
    let deep: [(Deep, usize); 12] = [
        (
            |n| ["SELECT ", &"(".repeat(n), "1", &")".repeat(n)].concat(),
            100_000,
        ),
        (|n| ["SELECT ", &"- ".repeat(n), "1"].concat(), 100_000),
        (|n| ["SELECT 1", &" + 1".repeat(n)].concat(), 100_000),
        (
            |n| ["SELECT ", &"abs(".repeat(n), "1", &")".repeat(n)].concat(),
            1_000,
        ),
        (|n| ["SELECT 1", &"::int".repeat(n)].concat(), 20_000),
        (
            |n| {
                [
                    "SELECT ",
                    &"CASE WHEN true THEN ".repeat(n),
                    "1",
                    &" END".repeat(n),
                ]
                .concat()
            },
            120,
        ),
        (|n| ["SELECT true", &" OR true".repeat(n)].concat(), 200_000),
        (
            |n| ["SELECT true", &" OR true".repeat(n), ")"].concat(),
            40_000,
        ),
        (
            |n| {
                [
                    &"SELECT * FROM (".repeat(n),
                    "SELECT 1",
                    &") AS q".repeat(n),
                ]
                .concat()
            },
            5_000,
        ),
        (
            |n| {
                [
                    &"(SELECT 1 INTERSECT ".repeat(n),
                    "SELECT 1",
                    &")".repeat(n),
                ]
                .concat()
            },
            120,
        ),
        (
            |n| ["SELECT 1", &" UNION ALL SELECT 1".repeat(n)].concat(),
            10_000,
        ),
        (
            |n| ["SELECT '", &"[".repeat(n), &"]".repeat(n), "'::jsonb"].concat(),
            100_000,
        ),
    ];
    for (deep, times) in deep {
        let sql = deep(times);
        let Err(error) = client.batch_execute(&sql).await else {
            continue;
        };
        let refusal = error.as_db_error();
        let refusal = refusal.unwrap_or_else(|| panic!("{}: {error}", &sql[..40]));
        let code = refusal.code().code();
        assert!(
            ["54001", "42601"].contains(&code),
            "{}: {refusal:?}",
            &sql[..40]
        );
    }
    let row = client
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_planning_keeps_nobody_waiting() {
    let server = Server::start();
    let client = server.peer().connect().await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        .await
        .unwrap();
    let nested = (0..12).fold("SELECT 1".to_string(), |sql, _| format!("SELECT ({sql})"));
    let joins = (1..100).map(|n| format!(" JOIN t t{n} ON t{n}.id = t.id"));
    let joined = format!("SELECT count(*) FROM t{}", joins.collect::<String>());
    for sql in [nested, joined] {
        // More of them than the server has threads for its tasks.
        let planners = 2 * std::thread::available_parallelism().unwrap().get();
        let mut planned = Vec::new();
        for _ in 0..planners {
            let (other, sql) = (server.peer().connect().await, sql.clone());
            planned.push(tokio::spawn(async move {
                other.batch_execute(&sql).await.unwrap()
            }));
        }
        // All are under way.
        let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'";
        while (client.query_one(active, &[]).await.unwrap()).get::<_, i64>(0)
            <= i64::try_from(planners).unwrap()
        {
            assert!(!planned.iter().any(|planned| planned.is_finished()));
        }
        for _ in 0..20 {
            client
                .query("SELECT n FROM t WHERE id = 1", &[])
                .await
                .unwrap();
        }
        assert!(!planned.iter().any(|planned| planned.is_finished()));
        for planned in planned {
            planned.await.unwrap();
        }
    }
}

/// Statements of one call each that takes seconds, unoptimised.
const HEAVY: [&str; 6] = [
    "SELECT array_position(array_fill(1, array[5000000]), 2)",
    "SELECT replace(repeat('a', 20000000), 'a', 'bbbbbbbbbbbbbbbbbbbb') IS NULL",
    "SELECT count(*) FROM regexp_split_to_table(repeat('a ', 2000000), ' ')",
    "SELECT json_agg(x) IS NULL FROM (SELECT i, repeat('a', 1000) AS t FROM generate_series(1, 200000) AS i) AS x",
    "INSERT INTO t VALUES (7, length(replace(repeat('a', 20000000), 'a', 'bbbbbbbbbbbbbbbbbbbb')))",
    "SELECT count(*) FROM unnest(string_to_array(repeat('a,', 5000000), ','))",
];

#[tokio::test(flavor = "multi_thread")]
async fn heavy_calls_keep_nobody_waiting_and_end_in_time() {
    let server = Server::start();
    let client = server.peer().connect().await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        .await
        .unwrap();
    let limit = Duration::from_secs(1);
    let mut heavy = Vec::new();
    // More of them than the server has threads for its tasks on most machines.
    for sql in HEAVY.into_iter().chain(HEAVY) {
        let other = server.peer().connect().await;
        heavy.push(tokio::spawn(async move {
            other
                .batch_execute("SET statement_timeout = '1s'")
                .await
                .unwrap();
            let began = Instant::now();
            let refused = other.batch_execute(sql).await;
            (sql, began.elapsed(), refused)
        }));
    }
    let mut asked = 0;
    while !heavy.iter().all(|heavy| heavy.is_finished()) {
        let began = Instant::now();
        let fresh = server.peer().connect().await;
        for client in [&client, &fresh] {
            client
                .query("SELECT n FROM t WHERE id = 1", &[])
                .await
                .unwrap();
            client.query("SELECT 1 + 1", &[]).await.unwrap();
        }
        let waited = began.elapsed();
        assert!(waited < limit, "waited for {waited:?}");
        asked += 1;
    }
    assert!(asked > 3, "they were through before anybody could wait");
    for heavy in heavy {
        let (sql, took, refused) = heavy.await.unwrap();
        let refused = refused.expect_err(sql);
        assert_eq!(refused.code().unwrap().code(), "57014", "{sql}");
        assert!(took < 2 * limit, "{sql} took {took:?}");
    }
}

/// Statements that go on below an aggregate, a window, a sort or a join for minutes.
const LONG: [&str; 6] = [
    "SELECT count(DISTINCT md5(i::text)) FROM generate_series(1, 90000000) AS i",
    "SELECT sum(length(repeat('x', i % 1000))) FROM generate_series(1, 900000000) AS i",
    "SELECT max(md5(a::text || b)) FROM generate_series(1, 90000) AS a, generate_series(1, 90000) AS b",
    "SELECT count(*) FROM (SELECT unnest(string_to_array(repeat('a,', 1000), ',')) FROM generate_series(1, 9000000)) AS x",
    "SELECT i, row_number() OVER (ORDER BY md5(i::text)) FROM generate_series(1, 30000000) AS i",
    "SELECT sum(factorial(2000 + i % 100)) FROM generate_series(1, 1000000) AS i",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_ends_soon() {
    let server = Server::start();
    let mut left = Vec::new();
    for sql in LONG {
        let client = server.peer().connect().await;
        left.push(tokio::spawn(async move {
            let set = "SET statement_timeout = '300ms'";
            client.batch_execute(set).await.unwrap();
            let refused = client.batch_execute(sql).await.expect_err(sql);
            assert_eq!(refused.code().unwrap().code(), "57014", "{sql}");
        }));
    }
    // Others hang up.
    let others = LONG.map(|sql| {
        let mut other = TcpStream::connect(("127.0.0.1", server.pg_port())).unwrap();
        let query = message(
            b'Q',
            sql.len() as u32 + 5,
            &[sql.as_bytes(), b"\0"].concat(),
        );
        other.write_all(&[startup(), query].concat()).unwrap();
        other
    });
    for left in left {
        left.await.unwrap();
    }
    drop(others);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let before = server.processor_time();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let worked = server.processor_time() - before;
    assert!(
        worked < Duration::from_millis(400),
        "it went on for {worked:?} of two seconds"
    );
}

/// A cursor that nobody reads from keeps no thread.
#[tokio::test(flavor = "multi_thread")]
async fn suspended_cursors_of_heavy_queries_have_no_threads() {
    let server = Server::start();
    let client = server.peer().connect().await;
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).map(Iterator::count);
    client.batch_execute("BEGIN").await.unwrap();
    let mut before = 0;
    for n in 0..60 {
        let query = "SELECT repeat('x', 10) || i FROM generate_series(1, 100000) AS i";
        let cursor = format!("DECLARE c{n} CURSOR FOR {query}; FETCH 1 FROM c{n}");
        client.batch_execute(&cursor).await.unwrap();
        if n == 9 {
            before = threads().unwrap();
        }
    }
    let after = threads().unwrap();
    assert!(after < before + 25, "{before} threads became {after}");
    let rows = client.query("FETCH ALL FROM c7", &[]).await.unwrap();
    assert_eq!(rows.len(), 99_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_too_much_memory_is_refused() {
    let server = Server::start_with(&["--query-memory", "8MB"]);
    let client = server.peer().connect().await;
    let wide = "(SELECT i, md5(i::text) AS t FROM generate_series(1, 300000) AS i)";
    for sql in [
        format!("SELECT t FROM {wide} AS x ORDER BY t"),
        format!("SELECT t, count(*) FROM {wide} AS x GROUP BY t"),
        format!("SELECT DISTINCT t FROM {wide} AS x"),
        format!("SELECT count(*) FROM {wide} AS x JOIN {wide} AS y USING (t) WHERE x.i <> y.i"),
        format!("SELECT array_agg(t) FROM {wide} AS x"),
        format!("SELECT string_agg(t, ',' ORDER BY i) FROM {wide} AS x"),
        format!("SELECT json_agg(x) FROM {wide} AS x"),
    ] {
        let Err(refused) = client.query(&sql, &[]).await else {
            panic!("{sql} is answered");
        };
        let refused = refused.as_db_error().expect(&sql);
        assert_eq!(refused.code().code(), "53200", "{sql}: {refused}");
        assert_eq!(refused.message(), "out of memory");
        let hint = refused.hint().unwrap_or_default();
        assert!(hint.contains("query_memory"), "{hint}");
    }
    // What they held is free again.
    let small =
        "SELECT count(DISTINCT i), count(DISTINCT i % 7) FROM generate_series(1, 20000) AS i";
    let row = client.query_one(small, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20000, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_of_functions_count_as_memory_of_queries() {
    let server = Server::start_with(&["--query-memory", "64MB"]);
    let client = server.peer().connect().await;
    // Small at first, then together more than Arrow's offsets reach.
    let skewed = "SELECT max(length(repeat('x', CASE WHEN g > 3000 THEN 10000000 ELSE 1 END)))
                  FROM generate_series(1, 3400) AS g";
    for sql in [
        skewed,
        "SELECT length(repeat('x', 100000000))",
        "SELECT length(decode(repeat('x', 40000000 + g), 'escape')) FROM generate_series(1, 2) AS g",
        "SELECT length(replace(repeat('x', 1000000 + g), 'x', repeat('y', 100)))
         FROM generate_series(1, 4) AS g",
        "SELECT array_length(string_to_array(repeat('a,', 5000000), ','), 1)",
    ] {
        let Err(refused) = client.query(sql, &[]).await else {
            panic!("{sql} is answered");
        };
        let refused = refused.as_db_error().expect(sql);
        assert_eq!(refused.code().code(), "53200", "{sql}: {refused}");
    }
    // One after the other they fit, also for a subscriber.
    let rows = |from: i32| {
        format!(
            "INSERT INTO t SELECT g, repeat('x', 100000) FROM generate_series({from}, {}) AS g",
            from + 19
        )
    };
    let table = "CREATE TABLE t (id int PRIMARY KEY, b text)";
    client.batch_execute(table).await.unwrap();
    client.batch_execute(&rows(1)).await.unwrap();
    let sum = "SELECT sum(length(repeat(b, 200))) FROM t";
    let row = client.query_one(sum, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 400_000_000);
    let subscribe = "SUBSCRIBE TO t WHERE md5(repeat(b, 200 + id)) <> 'a'";
    let mut feed = Feed::open(&server.peer(), subscribe);
    let (snapshot, _) = feed.until_ready().await;
    assert_eq!(snapshot.len(), 20);
    client.batch_execute(&rows(21)).await.unwrap();
    assert_eq!(feed.take(20).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_too_deep_or_too_long_is_refused_at_once() {
    let pair = Pair::start();
    let arrays =
        |levels: usize| format!("SELECT {}1{}", "ARRAY[".repeat(levels), "]".repeat(levels));
    let targets = |count: usize| format!("SELECT {}0 AS x", "0 AS x, ".repeat(count - 1));
    pair.same_or_fail(&arrays(7));
    pair.same_or_fail(&arrays(126));
    pair.same_or_fail("SELECT ARRAY[[[[[[[1],[2]]]]]]]");
    pair.same_or_fail(&targets(1_665));
    pair.same_or_fail(&targets(70_000));
    pair.same_or_fail(&format!(
        "SELECT (SELECT count(*) FROM ({}) q) AS n",
        targets(1_665)
    ));
    pair.same("SELECT ARRAY[1, (ARRAY[2, 3])[1], array_length(ARRAY[4], 1)] AS a");
    pair.same(&format!(
        "SELECT count(*) FROM (VALUES {}(0)) v",
        "(0), ".repeat(2_000)
    ));
}
