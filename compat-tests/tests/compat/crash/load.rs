//! Connections that move amounts until the server goes, and note what was acknowledged.

use tidelog_compat_tests::{Peer, Random};
use tokio_postgres::Client;

/// Connections that move amounts.
pub(super) const WORKERS: usize = 4;
/// Rows with an amount in each table.
pub(super) const ROWS: i64 = 8;
/// What each begins with.
pub(super) const AMOUNT: i64 = 1000;
/// The tables whose rows have an amount. The last one is a USER table.
pub(super) const TABLES: [&str; 3] = ["c.accounts", "c.vaults", "c.wallets"];

/// A row with an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) table: usize,
    pub(super) id: i64,
}

impl Place {
    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Place> {
        (0..TABLES.len()).flat_map(|table| (1..=ROWS).map(move |id| Place { table, id }))
    }

    fn update(self, change: i64) -> String {
        let Place { table, id } = self;
        let user = match TABLES[table] {
            "c.wallets" => format!(" AND _user = '{}'", owner(id)),
            _ => String::new(),
        };
        format!(
            "UPDATE {} SET n = n + {change} WHERE id = {id}{user}",
            TABLES[table]
        )
    }
}

/// Whose a wallet is.
pub(super) fn owner(id: i64) -> String {
    format!("u{}", id / 2)
}

/// What one transaction does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) amount: i64,
    /// The account that its row in `c.transfers` names.
    pub(super) account: i64,
}

impl Transfer {
    fn random(random: &mut Random) -> Transfer {
        let places: Vec<Place> = Place::all().collect();
        Transfer {
            from: *random.pick(&places),
            to: *random.pick(&places),
            amount: 1 + random.below(200) as i64,
            account: 1 + random.below(ROWS as u64) as i64,
        }
    }

    fn statements(&self, worker: usize, k: i64, random: &mut Random) -> Vec<String> {
        let Transfer {
            from,
            to,
            amount,
            account,
        } = self;
        let mut statements = vec!["BEGIN".to_string(), from.update(-amount)];
        if random.once_in(4) {
            statements.push("SAVEPOINT s".to_string());
            statements.push("UPDATE c.vaults SET n = 5 WHERE id = 1".to_string());
            statements.push(format!("INSERT INTO c.pings VALUES ({worker}, -1)"));
            statements.push("ROLLBACK TO s".to_string());
        }
        statements.push(to.update(*amount));
        statements.push(format!(
            "INSERT INTO c.transfers VALUES ({}, '{worker}-{k}', {account}, {worker}, {k}, {amount})",
            transfer_id(worker, k),
        ));
        statements.push(format!(
            "UPDATE c.progress SET k = {k} WHERE worker = {worker}"
        ));
        statements.push("COMMIT".to_string());
        statements
    }
}

/// The key of a transaction's row in `c.transfers`.
pub(super) fn transfer_id(worker: usize, k: i64) -> i64 {
    worker as i64 * 1_000_000 + k
}

/// What a connection was told until the server went.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The transactions that were acknowledged, in order.
    pub(super) acknowledged: Vec<Transfer>,
    /// The one whose outcome was not told.
    pub(super) open: Option<Transfer>,
    /// STREAM rows that were acknowledged.
    pub(super) pings: i64,
    /// Whether one more was sent.
    pub(super) ping_open: bool,
}

enum Outcome {
    Done,
    Refused,
    Gone,
}

/// Moves amounts, the first time as transaction `next`, until the server goes.
pub(super) async fn until_gone(
    peer: Peer,
    worker: usize,
    next: i64,
    next_ping: i64,
    mut random: Random,
) -> Told {
    let mut told = Told::default();
    let Ok(client) = peer.try_connect().await else {
        return told;
    };
    loop {
        let transfer = Transfer::random(&mut random);
        let k = next + told.acknowledged.len() as i64;
        let statements = transfer.statements(worker, k, &mut random);
        told.open = Some(transfer);
        let outcome = match random.below(3) {
            // In one query string, one by one, or by the extended protocol.
            0 => run(&client, &[statements.join("; ")], false).await,
            way => run(&client, &statements, way == 1).await,
        };
        match outcome {
            Outcome::Done => told.acknowledged.push(transfer),
            Outcome::Refused => {}
            Outcome::Gone => return told,
        }
        told.open = None;
        if random.once_in(3) {
            let ping = format!(
                "INSERT INTO c.pings VALUES ({worker}, {})",
                next_ping + told.pings
            );
            told.ping_open = true;
            match run(&client, &[ping], false).await {
                Outcome::Done => told.pings += 1,
                Outcome::Refused => panic!("a STREAM row was refused"),
                Outcome::Gone => return told,
            }
            told.ping_open = false;
        }
    }
}

async fn run(client: &Client, statements: &[String], extended: bool) -> Outcome {
    for statement in statements {
        let ran = match extended {
            true => client.execute(statement, &[]).await.map(drop),
            false => client.batch_execute(statement).await,
        };
        let Err(error) = ran else { continue };
        let Some(refusal) = error.as_db_error() else {
            return Outcome::Gone;
        };
        // A deadlock, a change of the catalog, or an amount below zero.
        let expected = ["40P01", "40001", "23514"].contains(&refusal.code().code());
        assert!(expected, "{statement}: {refusal:?}");
        return match client.batch_execute("ROLLBACK").await {
            Ok(()) => Outcome::Refused,
            // Certainly not committed, but that is for the check to find.
            Err(_) => Outcome::Gone,
        };
    }
    Outcome::Done
}
