//! What was acknowledged survives `kill -9`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidelog_compat_tests::{Peer, Server};
use tokio::sync::Notify;

use crate::pair::Pair;

const WRITERS: i64 = 4;

/// Inserts `writer`'s ids one by one until the server goes away; gives those that were acknowledged and the one that
/// may or may not have been stored.
async fn write(
    peer: Peer,
    round: i64,
    writer: i64,
    acknowledged: Arc<AtomicUsize>,
    progress: Arc<Notify>,
) -> (Vec<i64>, i64) {
    let client = peer.connect().await;
    if writer % 2 == 1 {
        // That waits for no disk, and the server's end is not the machine's.
        let off = "SET synchronous_commit = off";
        client.batch_execute(off).await.unwrap();
    }
    let insert = client
        .prepare("INSERT INTO d.t (id, body) VALUES ($1, $2)")
        .await
        .unwrap();
    let mut stored = Vec::new();
    for n in 0.. {
        let id = (round * 1_000_000 + n) * WRITERS + writer;
        match client.execute(&insert, &[&id, &format!("row {id}")]).await {
            Ok(_) => stored.push(id),
            Err(error) => {
                assert!(
                    error
                        .as_db_error()
                        .is_none_or(|error| error.code().code().starts_with("57P")),
                    "{error:?}"
                );
                return (stored, id);
            }
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
        progress.notify_one();
    }
    unreachable!("a writer ends with the server")
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_inserts_survive_kill_nine() {
    let mut server = Server::start();
    server
        .peer()
        .run("CREATE SCHEMA d; CREATE TABLE d.t (id int8 PRIMARY KEY, body text);");
    let (mut stored, mut uncertain) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..3 {
        let (acknowledged, progress) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write(
                    server.peer(),
                    round,
                    writer,
                    acknowledged.clone(),
                    progress.clone(),
                ))
            })
            .collect();
        while acknowledged.load(Ordering::Relaxed) < 300 {
            progress.notified().await;
        }
        if round == 1 {
            // A flush that the kill may cut through.
            let peer = server.peer();
            std::thread::spawn(move || peer.try_run("CALL tidelog.flush('d.t');"));
        }
        server.kill();
        for writer in writers {
            let (ids, last) = writer.await.unwrap();
            stored.extend(ids);
            uncertain.insert(last);
        }
        server.start_again();
        let client = server.peer().connect().await;
        let rows = client.query("SELECT id, body FROM d.t", &[]).await.unwrap();
        let found: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found.len(), rows.len(), "a key is there once");
        assert!(
            rows.iter()
                .all(|row| row.get::<_, &str>(1) == format!("row {}", row.get::<_, i64>(0)))
        );
        let lost: Vec<_> = stored.difference(&found).collect();
        assert!(
            lost.is_empty(),
            "round {round}: acknowledged and lost: {lost:?}"
        );
        let invented: Vec<_> = found
            .difference(&stored)
            .filter(|id| !uncertain.contains(id))
            .collect();
        assert!(
            invented.is_empty(),
            "round {round}: never sent: {invented:?}"
        );
    }
    assert!(stored.len() >= 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn seq_goes_on_rising_after_a_kill() {
    let mut server = Server::start();
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1), (2);");
    let newest = |server: &Server| {
        server
            .peer()
            .value("SELECT max(_seq) FROM t")
            .parse::<i64>()
            .unwrap()
    };
    let before = newest(&server);
    server.kill();
    server.start_again();
    server.peer().run("INSERT INTO t VALUES (3);");
    assert!(newest(&server) > before);
    assert_eq!(
        server
            .peer()
            .value("SELECT string_agg(id::text, ',' ORDER BY _seq) FROM t"),
        "1,2,3"
    );
}

#[test]
fn a_commit_of_many_rows_is_whole_after_a_kill() {
    let mut server = Server::start();
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY, batch int4);");
    for batch in 1..=3 {
        server.peer().run(&format!(
            "INSERT INTO t SELECT {batch} * 100000 + g, {batch} FROM generate_series(1, 20000) g; CALL tidelog.flush('t');"
        ));
        let peer = server.peer();
        // It may be killed before, in or after this transaction: all of it is there, or nothing.
        let begun = std::thread::spawn(move || {
            peer.try_run(&format!(
                "INSERT INTO t SELECT {batch} * 1000000 + g, -1 FROM generate_series(1, 20000) g;"
            ))
        });
        server.kill();
        let acknowledged = begun.join().unwrap().is_ok();
        server.start_again();
        let half = server.peer().value(&format!("SELECT count(*) FROM t WHERE id > {batch} * 1000000 AND id <= {batch} * 1000000 + 20000"));
        assert!(
            half == "20000" || (half == "0" && !acknowledged),
            "{half} rows of a transaction of 20000"
        );
        assert_eq!(
            server
                .peer()
                .value("SELECT count(*) FROM t WHERE batch > 0"),
            (batch * 20_000).to_string()
        );
    }
}

#[test]
fn synchronous_commit_takes_postgresqls_values() {
    let pair = Pair::start();
    for value in [
        "off",
        "FALSE",
        "'0'",
        "local",
        "remote_write",
        "Remote_Apply",
        "on",
        "yes",
    ] {
        pair.same(&format!(
            "SET synchronous_commit = {value}; SHOW synchronous_commit"
        ));
    }
    pair.same(
        "SET synchronous_commit = on; BEGIN; SET LOCAL synchronous_commit = off; COMMIT; SHOW synchronous_commit",
    );
    pair.same_or_fail("SET synchronous_commit = 'sometimes'");
}
