//! Histories of concurrent transactions at each isolation level, checked for the anomalies that it forbids.
//!
//! Lists in rows, hot and cold, are appended to and read: by key, by range, through an index, with and without locks,
//! in blocks and outside them, while the tables are flushed, merged and trimmed. `checker` says what each level
//! promises. The same histories run on PostgreSQL, which shows that the checker asks for no more than it gives.
//! `SEED=n` repeats the choices, `TRANSACTIONS=n` sets how many each level runs.

#[path = "histories/checker.rs"]
mod checker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use futures::future::join_all;
use tidelog_compat_tests::random::number;
use tidelog_compat_tests::{Peer, Postgres, Random, Server};
use tokio_postgres::{Client, SimpleQueryMessage};

use checker::{Key, Level, Op, Seen, Value, anomalies};

const CONNECTIONS: usize = 6;
/// Lists of each table. Their keys are `table * 100 + n`.
const LISTS: i64 = 4;
/// The rows of `cold` are there from the beginning; in the others the first append inserts. `hot` is never flushed.
const TABLES: [&str; 3] = ["hot", "cold", "late"];

fn name(level: Level) -> &'static str {
    match level {
        Level::ReadCommitted => "read committed",
        Level::RepeatableRead => "repeatable read",
        Level::Serializable => "serializable",
    }
}

/// What all connections share.
struct Stage {
    peer: Peer,
    level: Level,
    next_value: AtomicI64,
    moment: AtomicU64,
    begun: AtomicU64,
    transactions: u64,
    done: AtomicBool,
}

impl Stage {
    fn tick(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }
}

fn parse_list(text: &str) -> Vec<Value> {
    let values = text.split(',').filter(|value| !value.is_empty());
    values
        .map(|value| value.parse().expect("a value"))
        .collect()
}

/// Reads lists with a query of `id` and `list`; those among `keys` that it does not give are empty.
async fn read(
    client: &Client,
    query: &str,
    keys: impl Iterator<Item = Key>,
) -> Result<Vec<Op>, tokio_postgres::Error> {
    let mut lists: BTreeMap<Key, Vec<Value>> = keys.map(|key| (key, Vec::new())).collect();
    for message in client.simple_query(query).await? {
        if let SimpleQueryMessage::Row(row) = message {
            let key = row.get(0).and_then(|id| id.parse().ok()).expect("a key");
            let list = parse_list(row.get(1).expect("a list"));
            let known = lists
                .get_mut(&key)
                .unwrap_or_else(|| panic!("{query}: list {key}"));
            assert!(known.is_empty(), "{query}: list {key} is there twice");
            *known = list;
        }
    }
    Ok(lists
        .into_iter()
        .map(|(key, list)| Op::Read(key, list))
        .collect())
}

fn keys_of(table: i64) -> impl Iterator<Item = Key> {
    (1..=LISTS).map(move |n| table * 100 + n)
}

/// One random step, which adds what it did to `ops` once it has answered.
async fn step(
    stage: &Stage,
    client: &Client,
    random: &mut Random,
    ops: &mut Vec<Op>,
) -> Result<(), tokio_postgres::Error> {
    let at = random.below(TABLES.len() as u64) as i64;
    let (table, key) = (
        TABLES[at as usize],
        at * 100 + 1 + random.below(LISTS as u64) as i64,
    );
    let select = format!("SELECT id, list FROM {table}");
    let seen = match random.below(12) {
        0..=1 => {
            read(
                client,
                &format!("{select} WHERE id = {key}"),
                [key].into_iter(),
            )
            .await?
        }
        2 => read(client, &select, keys_of(at)).await?,
        3 => {
            let range = key..=key + 2;
            let query = format!(
                "{select} WHERE id >= {key} AND id <= {} ORDER BY id DESC",
                key + 2
            );
            read(
                client,
                &query,
                keys_of(at).filter(move |key| range.contains(key)),
            )
            .await?
        }
        4 => {
            // Through a secondary index; lists of one parity have the same `side`.
            let query = format!("{select} WHERE side = {}", key % 2);
            read(
                client,
                &query,
                keys_of(at).filter(move |other| other % 2 == key % 2),
            )
            .await?
        }
        5 => {
            let lock = *random.pick(&[
                "FOR UPDATE",
                "FOR SHARE",
                "FOR NO KEY UPDATE",
                "FOR KEY SHARE",
            ]);
            let query = format!("{select} WHERE id = {key} {lock}");
            read(client, &query, [key].into_iter()).await?
        }
        _ => {
            let value = stage.next_value.fetch_add(1, Ordering::Relaxed);
            let side = key % 2;
            let append = match (table, random.below(2)) {
                ("cold", 0) => {
                    format!("UPDATE cold SET list = list || ',{value}' WHERE id = {key}")
                }
                ("cold", _) => {
                    format!(
                        "UPDATE cold SET list = list || ',{value}' WHERE id = {key} AND side = {side}"
                    )
                }
                _ => format!(
                    "INSERT INTO {table} VALUES ({key}, {side}, '{value}')
                     ON CONFLICT (id) DO UPDATE SET list = {table}.list || ',' || excluded.list"
                ),
            };
            // Noted before it runs: should it fail, the value must not be seen.
            ops.push(Op::Append(key, value));
            client.batch_execute(&append).await?;
            return Ok(());
        }
    };
    ops.extend(seen);
    Ok(())
}

/// Runs random transactions until all of the history's have begun.
async fn connection(stage: Arc<Stage>, mut random: Random) -> Vec<Seen> {
    let client = stage.peer.connect().await;
    let default = format!(
        "SET default_transaction_isolation = '{}'",
        name(stage.level)
    );
    client.batch_execute(&default).await.expect("a level");
    let mut history = Vec::new();
    while stage.begun.fetch_add(1, Ordering::Relaxed) < stage.transactions {
        let mut seen = Seen {
            ops: Vec::new(),
            committed: false,
            begun: stage.tick(),
            ended: 0,
        };
        let block = !random.once_in(6);
        let result = async {
            if !block {
                return step(&stage, &client, &mut random, &mut seen.ops).await;
            }
            client.batch_execute("BEGIN").await?;
            for _ in 0..1 + random.below(5) {
                step(&stage, &client, &mut random, &mut seen.ops).await?;
            }
            if random.once_in(10) {
                return client.batch_execute("ROLLBACK").await;
            }
            client.batch_execute("COMMIT").await?;
            seen.committed = true;
            Ok(())
        }
        .await;
        match result {
            Ok(()) => seen.committed |= !block,
            Err(error) => {
                let refusal = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
                let code = refusal.code().code();
                let expected = match stage.level {
                    Level::ReadCommitted => code == "40P01",
                    _ => ["40P01", "40001"].contains(&code),
                };
                assert!(expected, "{:?}: {refusal:?}", stage.level);
                seen.committed = false;
                client.batch_execute("ROLLBACK").await.expect("a rollback");
            }
        }
        seen.ended = stage.tick();
        history.push(seen);
    }
    history
}

/// Flushes, merges and trims until the connections are done.
async fn move_tiers(stage: Arc<Stage>, mut random: Random) -> u64 {
    let client = stage.peer.connect().await;
    let mut jobs = 0;
    while !stage.done.load(Ordering::Relaxed) {
        let table = *random.pick(&["cold", "cold", "late"]);
        let job = match random.below(4) {
            0 => format!("CALL tidelog.compact('{table}')"),
            1 => "CALL tidelog.trim()".to_string(),
            _ => format!("CALL tidelog.flush('{table}')"),
        };
        client.batch_execute(&job).await.expect(&job);
        jobs += 1;
    }
    jobs
}

/// Runs a history at a level on fresh tables and checks it. Gives how many transactions were committed.
async fn run(
    peer: Peer,
    level: Level,
    tiers: bool,
    transactions: u64,
    random: &mut Random,
) -> usize {
    let client = peer.connect().await;
    for (at, table) in TABLES.iter().enumerate() {
        let options = if tiers {
            " WITH (resume_window = '1ms')"
        } else {
            ""
        };
        for statement in [
            format!("DROP TABLE IF EXISTS {table}"),
            format!("CREATE TABLE {table} (id int8 PRIMARY KEY, side int8, list text){options}"),
            format!("CREATE INDEX {table}_side ON {table} (side)"),
        ] {
            client.batch_execute(&statement).await.expect(&statement);
        }
        if *table == "cold" {
            for key in keys_of(at as i64) {
                let insert = format!("INSERT INTO cold VALUES ({key}, {}, '')", key % 2);
                client.batch_execute(&insert).await.expect(&insert);
            }
        }
    }
    let stage = Arc::new(Stage {
        peer,
        level,
        next_value: AtomicI64::new(1),
        moment: AtomicU64::new(1),
        begun: AtomicU64::new(0),
        transactions,
        done: AtomicBool::new(false),
    });
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(connection(stage.clone(), random.split())))
        .collect();
    let mover = tiers.then(|| tokio::spawn(move_tiers(stage.clone(), random.split())));
    let histories = join_all(connections).await;
    stage.done.store(true, Ordering::Relaxed);
    let history: Vec<Seen> = histories
        .into_iter()
        .flat_map(|history| history.unwrap())
        .collect();
    if let Some(mover) = mover {
        assert!(mover.await.unwrap() > 0);
    }
    let mut lists = BTreeMap::new();
    for (at, table) in TABLES.iter().enumerate() {
        let all = format!("SELECT id, list FROM {table}");
        for op in read(&client, &all, keys_of(at as i64)).await.unwrap() {
            if let Op::Read(key, list) = op {
                lists.insert(key, list);
            }
        }
    }
    let found = anomalies(level, &history, &lists);
    assert!(found.is_empty(), "{level:?}: {}", found.join("\n"));
    history.iter().filter(|seen| seen.committed).count()
}

async fn all_levels(peer: Peer, tiers: bool, transactions: u64) {
    let mut random = Random::from_environment();
    for level in [
        Level::ReadCommitted,
        Level::RepeatableRead,
        Level::Serializable,
    ] {
        let committed = run(peer.clone(), level, tiers, transactions, &mut random).await;
        println!("{level:?}: {committed} of {transactions} transactions were committed");
        assert!(
            committed as u64 > transactions / 10,
            "{level:?}: {committed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_keeps_its_promise() {
    let server = Server::start();
    all_levels(server.peer(), true, number("TRANSACTIONS").unwrap_or(300)).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_passes_the_same_check() {
    let postgres = Postgres::start();
    all_levels(postgres.peer(), false, 150).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: scripts/test --long"]
async fn long_histories() {
    let server = Server::start();
    for _ in 0..number("ROUNDS").unwrap_or(20) {
        all_levels(server.peer(), true, number("TRANSACTIONS").unwrap_or(2000)).await;
    }
}
