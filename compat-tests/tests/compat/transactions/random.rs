//! Many sessions at random, and what must hold afterwards.

use futures::future::join_all;
use tidelog_compat_tests::{Peer, Server};

use super::stage::{answer, state};
use crate::pair::text;

/// Moves amounts between accounts from many sessions at a level; the sum must hold, and nothing else may fail
/// than what the level allows.
async fn transfers(peer: Peer, level: &'static str, table: &'static str) {
    let sum = format!("SELECT sum(n) FROM {table}");
    peer.run(&format!(
        "CREATE TABLE {table} (id int8 PRIMARY KEY, n int8);
         INSERT INTO {table} SELECT g, 100 FROM generate_series(0, 4) AS s(g);"
    ));
    let move_some = async |seed: u64| {
        let client = peer.connect().await;
        // A plain generator: the run can be repeated from the code alone.
        let mut random = seed * 2_654_435_761 + 1;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut committed = 0;
        for _ in 0..25 {
            let (from, to, amount) = (next(5), next(5), next(50));
            let begin = format!("BEGIN ISOLATION LEVEL {level}");
            client.batch_execute(&begin).await.unwrap();
            let read = format!("SELECT n FROM {table} WHERE id = {from}");
            let steps = [
                read,
                format!("UPDATE {table} SET n = n - {amount} WHERE id = {from}"),
                format!("UPDATE {table} SET n = n + {amount} WHERE id = {to}"),
                "COMMIT".to_string(),
            ];
            let mut failed = false;
            for step in &steps {
                let said = answer(&client, step).await;
                let allowed = match (level, state(&said)) {
                    (_, "40P01" | "25P02") => true,
                    ("READ COMMITTED", "40001") => false,
                    (_, "40001") => true,
                    (_, other) => other.len() != 5,
                };
                assert!(allowed, "{level}: {step}: {said}");
                failed |= matches!(state(&said), "40P01" | "25P02" | "40001");
            }
            // A COMMIT that failed has ended the block already.
            client.batch_execute("ROLLBACK").await.unwrap();
            committed += i32::from(!failed);
        }
        committed
    };
    let done: i32 = join_all((1..=6).map(move_some)).await.into_iter().sum();
    assert!(done >= 6, "{level}: only {done} of 150 were committed");
    assert_eq!(peer.value(&sum), "500", "{level}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_transfers_keep_the_sum() {
    let server = Server::start();
    for (level, table) in [
        ("READ COMMITTED", "rc"),
        ("REPEATABLE READ", "rr"),
        ("SERIALIZABLE", "ser"),
    ] {
        transfers(server.peer(), level, table).await;
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Each transaction reads all and adds one row; in a serial order, the count that the n-th one reads is n.
#[tokio::test(flavor = "multi_thread")]
async fn serializable_histories_have_an_order() {
    let server = Server::start();
    server.peer().run("CREATE TABLE h (seen int8, who text);");
    let add = async |who: usize| {
        let client = server.peer().connect().await;
        let mut done = 0;
        while done < 6 {
            let sql = format!(
                "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO h SELECT count(*), 'w{who}' FROM h; COMMIT"
            );
            let said = answer(&client, &sql).await;
            match state(&said) {
                "40001" => client.batch_execute("ROLLBACK").await.unwrap(),
                _ => {
                    assert_eq!(said, "(0)");
                    done += 1;
                }
            }
            // Also as one statement, which is run again by itself.
            client
                .batch_execute("SET default_transaction_isolation = 'serializable'")
                .await
                .unwrap();
            let sql = format!("INSERT INTO h SELECT count(*), 's{who}' FROM h");
            assert_eq!(answer(&client, &sql).await, "(1)");
            done += 1;
        }
    };
    join_all((0..4).map(add)).await;
    let rows = text(
        &server.peer().connect().await,
        "SELECT seen FROM h ORDER BY seen",
    )
    .await;
    let seen: Vec<usize> = rows
        .rows
        .iter()
        .map(|row| row[0].as_ref().unwrap().parse().unwrap())
        .collect();
    assert!(seen.len() >= 24);
    assert_eq!(seen, (0..seen.len()).collect::<Vec<_>>());
}
