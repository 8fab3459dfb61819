//! Queues of jobs: locking clauses inside other statements.

use std::collections::HashSet;
use std::time::Duration;

use tidelog_compat_tests::Server;

use super::stage::same_on_both;
use crate::pair::Pair;
use crate::type_functions::{all_refused, all_same};

const JOBS: &str = "DROP TABLE IF EXISTS jobs, log;
    CREATE TABLE jobs (id int PRIMARY KEY, state text NOT NULL DEFAULT 'new', worker int);
    INSERT INTO jobs (id) SELECT i FROM generate_series(1, 6) i;
    CREATE TABLE log (id int, worker int);";

const TAKE: &str = "UPDATE jobs SET state = 'taken' WHERE id IN
    (SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id";

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_is_skipped() {
    let take = TAKE.replace('\n', " ");
    let next = "WITH next AS (SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)";
    let scripts = [
        format!(
            "a: BEGIN\na: {take}\nb: BEGIN\nb: {take}\nc: {take}\na: ROLLBACK\nc: {take}\nb: COMMIT\na: {take}\na: SELECT id, state FROM jobs ORDER BY id"
        ),
        format!(
            "a: BEGIN\na: {next} UPDATE jobs SET state = 'taken' FROM next WHERE jobs.id = next.id RETURNING jobs.id, next.id
             b: {next} DELETE FROM jobs USING next WHERE jobs.id = next.id RETURNING jobs.id
             c: {next} INSERT INTO log SELECT id, 7 FROM next RETURNING *
             c: {next} SELECT n.id, j.state FROM next n JOIN jobs j USING (id)
             a: COMMIT
             c: SELECT * FROM log
             c: SELECT id, state FROM jobs ORDER BY id"
        ),
        // One that waits sees what the other has done.
        "a: BEGIN
         a: UPDATE jobs SET state = 'taken' WHERE id = 1
         b> UPDATE jobs SET worker = 2 WHERE id = (SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE) RETURNING id
         a: COMMIT
         b<
         a: BEGIN
         a: DELETE FROM jobs WHERE id = 3
         b: SELECT id FROM jobs WHERE id IN (SELECT id FROM jobs WHERE id = 3 FOR UPDATE NOWAIT)
         a: ROLLBACK"
            .to_string(),
    ];
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same_on_both(JOBS, &scripts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_the_query() {
    let pair = Pair::start();
    pair.run(JOBS);
    let (tide, pg) = pair.connect().await;
    all_same(
        &tide,
        &pg,
        &[
            "SELECT id FROM (SELECT id, state FROM jobs WHERE id > 2 ORDER BY id DESC LIMIT 2 FOR UPDATE SKIP LOCKED) q ORDER BY id",
            "SELECT (SELECT max(x.id) FROM (SELECT id FROM jobs FOR SHARE) x)",
            "SELECT id FROM jobs WHERE EXISTS (SELECT 1 FROM jobs WHERE id = 99 FOR UPDATE)",
            "SELECT id FROM jobs WHERE id = (SELECT id FROM jobs WHERE id = 2 FOR NO KEY UPDATE) FOR UPDATE",
            "WITH q AS (SELECT * FROM jobs WHERE id < 3 ORDER BY id FOR UPDATE) SELECT a.id, b.state FROM q a JOIN q b ON a.id = b.id ORDER BY 1",
        ],
    )
    .await;
    for client in [&tide, &pg] {
        let update = "UPDATE jobs SET worker = $2 WHERE id IN (SELECT id FROM jobs WHERE id > $1 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)";
        let update = client.prepare(update).await.unwrap();
        for _ in 0..2 {
            let changed = client.execute(&update, &[&2_i32, &7_i32, &2_i64]).await;
            assert_eq!(changed.unwrap(), 2);
        }
    }
    all_same(&tide, &pg, &["SELECT id, worker FROM jobs ORDER BY id"]).await;
    all_refused(
        &tide,
        &pg,
        &["UPDATE jobs SET worker = 1 WHERE id IN (SELECT count(*) FROM jobs FOR UPDATE)"],
    )
    .await;
    // What depends on the row outside is refused, whatever it would lock.
    let correlated =
        "SELECT id FROM jobs j WHERE EXISTS (SELECT 1 FROM jobs k WHERE k.id = j.id FOR UPDATE)";
    let error = tide.batch_execute(correlated).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("0A000"));
}

/// Workers that take jobs at once, with statements alone and in blocks, some of which are rolled back: every job is done
/// by one of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_taken_twice() {
    const JOBS_MADE: i32 = 150;
    let server = Server::start();
    let setup = server.peer().connect().await;
    setup
        .batch_execute(&format!(
            "CREATE TABLE jobs (id int PRIMARY KEY, state text NOT NULL DEFAULT 'new', worker int);
             CREATE INDEX ON jobs (state);
             INSERT INTO jobs (id) SELECT i FROM generate_series(1, {JOBS_MADE}) i"
        ))
        .await
        .unwrap();
    let mut workers = Vec::new();
    for number in 0..8 {
        let client = server.peer().connect().await;
        workers.push(tokio::spawn(async move {
            let with = format!(
                "WITH next AS (SELECT id FROM jobs WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
                 UPDATE jobs SET state = 'taken', worker = {number} FROM next WHERE jobs.id = next.id RETURNING jobs.id"
            );
            let mut taken: Vec<i32> = Vec::new();
            let mut turn = 0;
            loop {
                turn += 1;
                let rolls_back = turn % 7 == number % 7;
                let in_block = number % 2 == 0 || rolls_back;
                if in_block {
                    client.batch_execute("BEGIN").await.unwrap();
                }
                let statement = if turn % 2 == 0 { TAKE } else { &with };
                let rows = client.query(statement, &[]).await.unwrap();
                if in_block {
                    let end = if rolls_back { "ROLLBACK" } else { "COMMIT" };
                    client.batch_execute(end).await.unwrap();
                }
                match rows.as_slice() {
                    [] if rolls_back => {}
                    [] => {
                        // Others may still give some back.
                        let left = client
                            .query_one("SELECT count(*) FROM jobs WHERE state = 'new'", &[])
                            .await
                            .unwrap();
                        if left.get::<_, i64>(0) == 0 {
                            return taken;
                        }
                    }
                    [row] if !rolls_back => taken.push(row.get(0)),
                    [_] => {}
                    rows => panic!("{} jobs at once", rows.len()),
                }
            }
        }));
    }
    let mut all = Vec::new();
    for worker in workers {
        let taken = tokio::time::timeout(Duration::from_secs(120), worker).await;
        all.extend(taken.expect("no worker hangs").unwrap());
    }
    let distinct: HashSet<i32> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "a job was taken twice");
    assert_eq!(distinct, (1..=JOBS_MADE).collect());
}
