//! What the database must hold, and comparing it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use tidelog_compat_tests::process::PATIENCE;
use tidelog_compat_tests::{Peer, Random};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::follower::{Follower, WINDOW};
use super::load::{AMOUNT, Place, ROWS, TABLES, Told, Transfer, WORKERS, owner, transfer_id};
use super::side::{self, SideTold};

/// The server ended while it was asked.
#[derive(Debug)]
pub(super) struct Gone;

/// A query's rows, NULL as an empty text.
pub(super) async fn rows(client: &Client, query: &str) -> Result<Vec<Vec<String>>, Gone> {
    let messages = match client.simple_query(query).await {
        Ok(messages) => messages,
        Err(error) => match error.as_db_error() {
            Some(refusal) => panic!("{query}: {refusal:?}"),
            None => return Err(Gone),
        },
    };
    let text = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_string());
            Some(values.collect())
        }
        _ => None,
    };
    Ok(messages.iter().filter_map(text).collect())
}

/// As `rows`, of numbers.
async fn numbers(client: &Client, query: &str) -> Result<Vec<Vec<i64>>, Gone> {
    let rows = rows(client, query).await?;
    let number = |text: &String| match text.as_str() {
        "" => 0,
        text => text.parse().unwrap_or_else(|_| panic!("{query}: {text}")),
    };
    Ok(rows
        .iter()
        .map(|row| row.iter().map(number).collect())
        .collect())
}

/// Runs a statement that must be refused with this SQLSTATE.
async fn refused(client: &Client, statement: &str, code: &str) -> Result<(), Gone> {
    let error = client.simple_query(statement).await.err();
    let error = error.unwrap_or_else(|| panic!("{statement} must be refused"));
    match error.as_db_error() {
        Some(refusal) => {
            assert_eq!(refusal.code().code(), code, "{statement}: {refusal:?}");
            Ok(())
        }
        None => Err(Gone),
    }
}

/// What is known of one connection's work.
#[derive(Default)]
struct Known {
    /// Its transactions that are there for good.
    transfers: i64,
    amount: i64,
    pings: i64,
    /// What it was told since.
    told: Told,
}

/// What the database must hold.
pub(super) struct Model {
    amounts: BTreeMap<Place, i64>,
    known: Vec<Known>,
    /// Rows of `c.transfers` by account.
    by_account: BTreeMap<i64, i64>,
    side: SideTold,
    marker: i64,
}

impl Model {
    /// Makes the tables on an empty server.
    pub(super) async fn set_up(peer: &Peer) -> Model {
        // With a longer history window the commit order would never be trimmed here.
        let window = WINDOW.as_secs();
        let client = peer.connect().await;
        let tables = format!(
            "CREATE SCHEMA c;
             CREATE TABLE c.accounts (id int8 PRIMARY KEY, n int8 NOT NULL CHECK (n >= 0)) WITH (resume_window = '{window}s', history_window = '1s', flush_rows = 400);
             CREATE TABLE c.vaults (id int8 PRIMARY KEY, n int8 NOT NULL CHECK (n >= 0)) WITH (resume_window = '1ms', history_window = '1s');
             CREATE INDEX vaults_n ON c.vaults (n);
             CREATE TABLE c.wallets (id int8 PRIMARY KEY, n int8 NOT NULL CHECK (n >= 0)) WITH (type = 'user', resume_window = '{window}s', history_window = '1s');
             CREATE TABLE c.progress (worker int8 PRIMARY KEY, k int8) WITH (resume_window = '1ms', history_window = '1s');
             CREATE TABLE c.transfers (id int8 PRIMARY KEY, token text UNIQUE, account int8 REFERENCES c.accounts, worker int8, k int8, amount int8)
                 WITH (resume_window = '1ms', history_window = '1s', flush_rows = 300);
             CREATE INDEX transfers_account ON c.transfers (account);
             CREATE TABLE c.pings (worker int8, k int8) WITH (type = 'stream', ttl = '1h');
             CREATE TABLE c.blips (n int8) WITH (type = 'stream', ttl = '1s');
             CREATE TABLE c.guests (id int8 PRIMARY KEY, note text UNIQUE) WITH (type = 'user', resume_window = '1s', history_window = '1s');
             INSERT INTO c.guests (_user, id, note) VALUES ('host', 1, 'stays');
             INSERT INTO c.accounts VALUES (0, 0);
             INSERT INTO c.wallets (_user, id, n) VALUES ('{}', 0, 0);
             INSERT INTO c.accounts SELECT g, {AMOUNT} FROM generate_series(1, {ROWS}) g;
             INSERT INTO c.vaults SELECT g, {AMOUNT} FROM generate_series(1, {ROWS}) g;
             INSERT INTO c.progress SELECT g, 0 FROM generate_series(0, {}) g;",
            owner(0),
            WORKERS - 1,
        );
        for statement in tables.split(";\n") {
            client.batch_execute(statement).await.expect(statement);
        }
        for id in 1..=ROWS {
            let owner = owner(id);
            let wallet =
                format!("INSERT INTO c.wallets (_user, id, n) VALUES ('{owner}', {id}, {AMOUNT})");
            client.batch_execute(&wallet).await.expect("a wallet");
        }
        Model {
            amounts: Place::all().map(|place| (place, AMOUNT)).collect(),
            known: (0..WORKERS).map(|_| Known::default()).collect(),
            by_account: BTreeMap::new(),
            side: SideTold::default(),
            marker: 0,
        }
    }

    /// The numbers of a connection's next transaction and next STREAM row.
    pub(super) fn next_of(&self, worker: usize) -> (i64, i64) {
        let known = &self.known[worker];
        (known.transfers + 1, known.pings + 1)
    }

    /// Where the circle of `c.side` stands.
    pub(super) fn side(&self) -> usize {
        self.side.at
    }

    /// What a connection was told since the last check.
    pub(super) fn note(&mut self, worker: usize, told: Told) {
        self.known[worker].told = told;
    }

    /// What was told of `c.side` since the last check.
    pub(super) fn note_side(&mut self, told: SideTold) {
        self.side = told;
    }

    /// Transactions that are there for good.
    pub(super) fn committed(&self) -> i64 {
        self.known.iter().map(|known| known.transfers).sum()
    }

    /// Compares the database with what is known and takes over what turned out to be committed.
    pub(super) async fn check(
        &mut self,
        peer: &Peer,
        data: &Path,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let client = peer.try_connect().await.map_err(|_| Gone)?;
        let mut amounts = self.amounts.clone();
        let mut by_account = self.by_account.clone();
        let progress = numbers(&client, "SELECT worker, k FROM c.progress ORDER BY worker").await?;
        assert_eq!(progress.len(), WORKERS);
        let mut counts = Vec::new();
        for (worker, (known, row)) in self.known.iter().zip(&progress).enumerate() {
            let done = taken(known, worker, row[1]);
            let mut amount = known.amount;
            for transfer in &done {
                *amounts.get_mut(&transfer.from).expect("a place") -= transfer.amount;
                *amounts.get_mut(&transfer.to).expect("a place") += transfer.amount;
                *by_account.entry(transfer.account).or_default() += 1;
                amount += transfer.amount;
            }
            counts.push((known.transfers + done.len() as i64, amount));
        }
        self.check_amounts(&client, &amounts).await?;
        check_transfers(&client, &counts, &by_account, random).await?;
        let pings = self.check_pings(&client).await?;
        check_files(&client, data).await?;
        let hosts = rows(&client, "SELECT note FROM c.guests WHERE _user = 'host'").await?;
        assert_eq!(hosts, [["stays"]], "the neighbour of an erased user");
        let side = side::find(&client, &self.side).await?;

        self.side = SideTold {
            at: side,
            open: false,
        };
        (self.amounts, self.by_account) = (amounts, by_account);
        for ((known, (transfers, amount)), pings) in self.known.iter_mut().zip(counts).zip(pings) {
            *known = Known {
                transfers,
                amount,
                pings,
                told: Told::default(),
            };
        }
        Ok(())
    }

    async fn check_amounts(
        &self,
        client: &Client,
        expected: &BTreeMap<Place, i64>,
    ) -> Result<(), Gone> {
        let mut found = BTreeMap::new();
        for (table, name) in TABLES.iter().enumerate() {
            let query = format!("SELECT id, n FROM {name} WHERE id > 0");
            for row in numbers(client, &query).await? {
                let place = Place { table, id: row[0] };
                assert_eq!(
                    found.insert(place, row[1]),
                    None,
                    "{place:?} is there twice"
                );
            }
        }
        assert_eq!(
            &found, expected,
            "the amounts (left: found, right: acknowledged)"
        );
        let sum: i64 = found.values().sum();
        assert_eq!(sum, AMOUNT * ROWS * TABLES.len() as i64);
        Ok(())
    }

    /// Gives the number of STREAM rows of each connection.
    async fn check_pings(&self, client: &Client) -> Result<Vec<i64>, Gone> {
        let query = "SELECT worker, count(*), count(DISTINCT k), min(k), max(k) FROM c.pings GROUP BY worker";
        let found = numbers(client, query).await?;
        let mut pings = Vec::new();
        for (worker, known) in self.known.iter().enumerate() {
            let row = found.iter().find(|row| row[0] == worker as i64);
            let count = row.map_or(0, |row| row[1]);
            let acknowledged = known.pings + known.told.pings;
            assert!(
                count == acknowledged || (known.told.ping_open && count == acknowledged + 1),
                "{count} STREAM rows of {worker}, acknowledged {acknowledged}"
            );
            let whole = row.is_none_or(|row| row[1..] == [count, count, 1, count]);
            assert!(whole, "STREAM rows of {worker}: {row:?}");
            pings.push(count);
        }
        Ok(pings)
    }

    /// Writes a new number to row 0 of the tables that are followed.
    pub(super) async fn mark(&mut self, peer: &Peer) -> Result<i64, Gone> {
        let client = peer.try_connect().await.map_err(|_| Gone)?;
        self.marker += 1;
        for condition in ["c.accounts SET n = ", "c.wallets SET n = "] {
            let mut update = format!("UPDATE {condition}{} WHERE id = 0", self.marker);
            if condition.starts_with("c.wallets") {
                update += &format!(" AND _user = '{}'", owner(0));
            }
            rows(&client, &update).await?;
        }
        Ok(self.marker)
    }

    /// A follower that has seen all must know all.
    pub(super) fn compare(&self, follower: &Follower) {
        let of = |place: &Place| TABLES[place.table] == follower.table();
        let mut expected: BTreeMap<i64, i64> = (self.amounts.iter())
            .filter(|(place, _)| of(place))
            .map(|(place, n)| (place.id, *n))
            .collect();
        expected.insert(0, self.marker);
        assert_eq!(
            follower.rows(),
            &expected,
            "{}: what a subscriber saw",
            follower.table()
        );
    }
}

/// The transactions of a connection that are there, given how many its row of `c.progress` tells.
fn taken(known: &Known, worker: usize, progress: i64) -> Vec<Transfer> {
    let mut taken = known.told.acknowledged.clone();
    let acknowledged = known.transfers + taken.len() as i64;
    if progress == acknowledged + 1 {
        taken.extend(known.told.open);
    }
    assert_eq!(
        known.transfers + taken.len() as i64,
        progress,
        "connection {worker}: acknowledged {acknowledged}, then sent {:?}, found {progress}",
        known.told.open
    );
    taken
}

/// The rows of `c.transfers`, by a scan, by its keys and by its index.
async fn check_transfers(
    client: &Client,
    counts: &[(i64, i64)],
    by_account: &BTreeMap<i64, i64>,
    random: &mut Random,
) -> Result<(), Gone> {
    let query = "SELECT worker, count(*), count(DISTINCT id), count(DISTINCT token), min(k), max(k), sum(amount)
        FROM c.transfers GROUP BY worker";
    let found = numbers(client, query).await?;
    for (worker, (count, amount)) in counts.iter().enumerate() {
        let row = found.iter().find(|row| row[0] == worker as i64);
        let expected = vec![worker as i64, *count, *count, *count, 1, *count, *amount];
        match row {
            Some(row) => assert_eq!(row, &expected, "rows of connection {worker}"),
            None => assert_eq!(*count, 0, "rows of connection {worker}"),
        }
    }
    let account = 1 + random.below(ROWS as u64) as i64;
    let query = format!("SELECT count(*) FROM c.transfers WHERE account = {account}");
    let found = numbers(client, &query).await?[0][0];
    let expected = by_account.get(&account).copied().unwrap_or(0);
    assert_eq!(found, expected, "{query}");

    let worker = random.below(WORKERS as u64) as usize;
    let (count, _) = counts[worker];
    let absent = transfer_id(worker, count + 1);
    if count > 0 {
        let k = 1 + random.below(count as u64) as i64;
        let id = transfer_id(worker, k);
        for condition in [format!("id = {id}"), format!("token = '{worker}-{k}'")] {
            let query = format!("SELECT id, k FROM c.transfers WHERE {condition}");
            assert_eq!(numbers(client, &query).await?, [[id, k]], "{query}");
        }
        let insert = "INSERT INTO c.transfers VALUES";
        refused(client, &format!("{insert} ({id}, 'free', 1)"), "23505").await?;
        refused(
            client,
            &format!("{insert} ({absent}, '{worker}-{k}', 1)"),
            "23505",
        )
        .await?;
        if expected > 0 {
            let delete = format!("DELETE FROM c.accounts WHERE id = {account}");
            refused(client, &delete, "23503").await?;
        }
    }
    let orphan = format!("INSERT INTO c.transfers VALUES ({absent}, 'free', 77)");
    refused(client, &orphan, "23503").await?;
    let query = format!("SELECT count(*) FROM c.transfers WHERE id = {absent} OR token = 'free'");
    assert_eq!(numbers(client, &query).await?, [[0]], "{query}");
    Ok(())
}

/// The folder holds the files that the manifest names, and no other, once background jobs have rested.
async fn check_files(client: &Client, data: &Path) -> Result<(), Gone> {
    let begun = Instant::now();
    loop {
        let named = rows(client, "SELECT path FROM tidelog.files").await?;
        let named: BTreeSet<String> = named.into_iter().flatten().collect();
        let mut there = BTreeSet::new();
        list(&data.join("cold"), "", &mut there);
        // The mark that says whose folder it is.
        there.remove("tidelog.json");
        if named == there {
            return Ok(());
        }
        let late = begun.elapsed() > PATIENCE;
        assert!(
            !late,
            "files (left: in the manifest): {named:#?}\n{there:#?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn list(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), &format!("{name}/"), found),
            _ => drop(found.insert(name)),
        }
    }
}
