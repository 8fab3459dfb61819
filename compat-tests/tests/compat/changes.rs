//! Random changes beside PostgreSQL: rows, their number, SQLSTATEs and whole tables must be PostgreSQL's, whatever is
//! flushed, compacted, altered, rolled back or killed between; the past must be as it was, and a subscriber's rows the table.

use tidelog_compat_tests::{Peer, Random, Server};
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pair::Pair;
use follower::Follower;
use statements::Generator;
use tables::Table;

#[path = "changes/alterations.rs"]
mod alterations;
#[path = "changes/follower.rs"]
mod follower;
#[path = "changes/statements.rs"]
mod statements;
#[path = "changes/tables.rs"]
mod tables;

type Row = Vec<Option<String>>;

/// What a statement gave: the names of its columns, its rows, and the number in its tag.
#[derive(Debug, PartialEq)]
struct Answer {
    columns: Vec<String>,
    rows: Vec<Row>,
    count: u64,
}

/// Or the SQLSTATE and the message.
type Outcome = Result<Answer, String>;

async fn ask(client: &Client, statement: &str) -> Outcome {
    let asked = client.simple_query(statement);
    let asked = timeout(tidelog_compat_tests::process::PATIENCE, asked).await;
    let messages = match asked.unwrap_or_else(|_| panic!("{statement}: no answer")) {
        Ok(messages) => messages,
        Err(error) => {
            let said = error.as_db_error();
            let said = said.unwrap_or_else(|| panic!("{statement}: {error}"));
            return Err(format!("{} {}", said.code().code(), said.message()));
        }
    };
    let mut answer = Answer {
        columns: Vec::new(),
        rows: Vec::new(),
        count: 0,
    };
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                answer.columns = columns.iter().map(|c| c.name().to_string()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|at| row.get(at).map(str::to_string));
                answer.rows.push(values.collect());
            }
            SimpleQueryMessage::CommandComplete(count) => answer.count = count,
            _ => {}
        }
    }
    if !statement.contains(" ORDER BY ") {
        answer.rows.sort();
    }
    Ok(answer)
}

async fn prepare(client: &Client, schema: &str) {
    let settings =
        format!("SET search_path = {schema}; SET TimeZone = 'UTC'; SET statement_timeout = '40s'");
    ask(client, &settings).await.expect("settings are taken");
}

/// What a statement came to on both.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    Done,
    Failed,
    /// Tidelog does not have it; PostgreSQL was not asked.
    Refused,
}

/// A user of both servers.
struct Session {
    role: String,
    tide: Client,
    /// Its tables are in a schema of their own, since PostgreSQL has no USER tables.
    pg: Client,
}

/// What a table held.
struct Past {
    time: String,
    user: usize,
    table: Table,
    rows: Vec<Row>,
}

struct World<'a> {
    pair: &'a mut Pair,
    schema: String,
    random: Random,
    generator: Generator,
    admin: Client,
    sessions: Vec<Session>,
    followers: Vec<Follower>,
    past: Vec<Past>,
    /// Every statement, for who wants to know how it came about.
    script: Vec<String>,
}

impl World<'_> {
    async fn new(pair: &mut Pair, mut random: Random, number: u64, shared: bool) -> World<'_> {
        let schema = format!("w{number}");
        let roles: &[&str] = if shared {
            &["postgres"]
        } else {
            &["ann", "ben"]
        };
        let admin = pair.tide.peer().connect().await;
        ask(&admin, &format!("CREATE SCHEMA {schema}"))
            .await
            .unwrap();
        prepare(&admin, &schema).await;
        let mut sessions = Vec::new();
        for role in roles {
            // The role may be there from a world before.
            let _ = ask(&admin, &format!("CREATE ROLE {role} LOGIN")).await;
            let (tide, pg) = (
                pair.tide.peer().role(role, "").connect().await,
                pair.pg.peer().connect().await,
            );
            let pg_schema = format!("{schema}_{role}");
            ask(&pg, &format!("CREATE SCHEMA {pg_schema}"))
                .await
                .unwrap();
            prepare(&tide, &schema).await;
            prepare(&pg, &pg_schema).await;
            sessions.push(Session {
                role: role.to_string(),
                tide,
                pg,
            });
        }
        let mut world = World {
            pair,
            schema,
            generator: Generator::new(random.split(), shared),
            random,
            admin,
            sessions,
            followers: Vec::new(),
            past: Vec::new(),
            script: Vec::new(),
        };
        for (table, options) in world.generator.create() {
            world.say("", &format!("{table}{options}"));
            ask(&world.admin, &format!("{table}{options}"))
                .await
                .unwrap();
            for session in &world.sessions {
                ask(&session.pg, &table).await.unwrap();
            }
        }
        world
    }

    fn say(&mut self, role: &str, statement: &str) {
        self.script.push(format!("/* {role} */ {statement};"));
    }

    /// Ends the test with what was said before.
    fn differ(&self, what: String) -> ! {
        let folder = std::env::temp_dir();
        let path = folder.join(format!(
            "changes-{}-{}.sql",
            std::process::id(),
            self.schema
        ));
        let _ = std::fs::write(&path, self.script.join("\n"));
        let last = &self.script[self.script.len().saturating_sub(12)..];
        let last: String = last
            .iter()
            .map(|line| line.chars().take(600).chain(['\n']).collect::<String>())
            .collect();
        panic!("{what}\nall statements: {}\n{last}", path.display());
    }

    /// Asks both the same.
    async fn both(&mut self, user: usize, statement: &str) -> Came {
        let role = self.sessions[user].role.clone();
        self.say(&role, statement);
        let session = &self.sessions[user];
        let found = ask(&session.tide, statement).await;
        if self.is_refused(statement, &found) {
            return Came::Refused;
        }
        let session = &self.sessions[user];
        let expected = ask(&session.pg, statement).await;
        if statement.starts_with("TRUNCATE") {
            // The past of a truncated table is refused.
            self.past
                .retain(|past| !statement.contains(past.table.name));
        }
        self.alike(statement, &found, &expected)
    }

    /// Whether Tidelog does not have this, which of these statements are changes of the type of a column of an index only.
    fn is_refused(&mut self, statement: &str, found: &Outcome) -> bool {
        match found {
            Err(refusal) if refusal.starts_with("0A000") => {
                self.script.push(format!("-- {refusal}"));
                if !statement.contains(" TYPE ") {
                    self.differ(format!("{statement}: {refusal}"));
                }
                true
            }
            _ => false,
        }
    }

    fn alike(&self, statement: &str, found: &Outcome, expected: &Outcome) -> Came {
        match (found, expected) {
            (Ok(found), Ok(expected)) if found == expected => Came::Done,
            (Err(found), Err(expected)) if may_be(&found[..5], &expected[..5]) => Came::Failed,
            _ => self.differ(parts(statement, found, expected)),
        }
    }

    /// Every table of every user is the same on both.
    async fn compare_tables(&mut self) {
        for table in &self.generator.tables {
            let query = format!("SELECT * FROM {}", table.name);
            for session in &self.sessions {
                let (found, expected) = (
                    ask(&session.tide, &query).await,
                    ask(&session.pg, &query).await,
                );
                self.alike(
                    &format!("{query} /* {} */", session.role),
                    &found,
                    &expected,
                );
            }
        }
    }

    /// An alteration; in PostgreSQL, of the tables of all users or of none.
    async fn alter(&mut self) {
        let (statement, table) = self.generator.alteration();
        self.say("", &statement);
        let found = ask(&self.admin, &statement).await;
        if self.is_refused(&statement, &found) {
            return;
        }
        let mut expected = Vec::new();
        for session in &self.sessions {
            ask(&session.pg, "BEGIN").await.unwrap();
            expected.push(ask(&session.pg, &statement).await);
        }
        let failed = expected.iter().any(Result::is_err);
        for session in &self.sessions {
            let end = if failed { "ROLLBACK" } else { "COMMIT" };
            ask(&session.pg, end).await.unwrap();
        }
        // Of two users' errors either may be told.
        let same = match &found {
            Ok(_) => !failed,
            Err(code) => expected
                .iter()
                .any(|other| other.as_ref().is_err_and(|other| other[..5] == code[..5])),
        };
        if !same {
            self.differ(parts(
                &statement,
                &found,
                &expected
                    .into_iter()
                    .find(|one| one.is_err() == failed)
                    .unwrap(),
            ));
        }
        if !failed {
            self.altered(table);
        }
    }

    fn altered(&mut self, table: Table) {
        let mut tables = self.generator.tables.iter_mut();
        let old = tables.find(|old| old.name == table.name).unwrap();
        if old.is_rewritten_as(&table) {
            // The past of a table that was written again is refused.
            self.past.retain(|past| past.table.name != table.name);
        }
        *old = table;
    }

    /// A transaction block with savepoints, alterations (of SHARED tables), and maintenance beside it.
    async fn block(&mut self) {
        let user = self.user();
        let before = self.generator.tables.clone();
        let mut savepoints: Vec<(String, Vec<Table>)> = Vec::new();
        let level = *self.random.pick(&[
            "",
            "",
            " ISOLATION LEVEL REPEATABLE READ",
            " ISOLATION LEVEL SERIALIZABLE",
        ]);
        self.both(user, &format!("BEGIN{level}")).await;
        let mut failed = false;
        for _ in 0..1 + self.random.below(8) {
            let came = match self.random.below(22) {
                0..4 => {
                    let name = format!("s{}", self.random.below(3));
                    let came = self.both(user, &format!("SAVEPOINT {name}")).await;
                    if came == Came::Done {
                        savepoints.push((name, self.generator.tables.clone()));
                    }
                    came
                }
                4 if savepoints.len() > 1 && !failed => {
                    let (name, _) = savepoints.pop().unwrap();
                    self.both(user, &format!("RELEASE {name}")).await
                }
                5 => {
                    // Options wait for alterations of the block; these do not.
                    self.maintain(10).await;
                    continue;
                }
                6 | 7 if self.generator.shared => {
                    let (statement, table) = self.generator.alteration();
                    let came = self.both(user, &statement).await;
                    if came == Came::Done {
                        self.altered(table);
                    }
                    came
                }
                8 | 9 => {
                    let query = self.generator.query();
                    self.both(user, &query).await
                }
                20 | 21 => {
                    let (of, when) = (
                        *self.random.pick(&["ALL", "fk1"]),
                        *self.random.pick(&["DEFERRED", "DEFERRED", "IMMEDIATE"]),
                    );
                    self.both(user, &format!("SET CONSTRAINTS {of} {when}"))
                        .await
                }
                10 => {
                    let name = self.generator.table().name;
                    self.both(user, &format!("SELECT * FROM {name}")).await
                }
                _ => {
                    let change = self.generator.change();
                    self.both(user, &change).await
                }
            };
            if came == Came::Refused {
                // The block has failed on one side only.
                self.both(user, "ROLLBACK").await;
                self.generator.tables = before;
                return;
            }
            failed |= came == Came::Failed;
            let back = if failed { 2 } else { 12 };
            if !savepoints.is_empty() && self.random.once_in(back) {
                let (name, tables) = savepoints.last().unwrap().clone();
                self.both(user, &format!("ROLLBACK TO {name}")).await;
                self.generator.tables = tables;
                failed = false;
            }
        }
        if self.random.once_in(60) {
            // A block that the server dies in never was.
            ask(&self.sessions[user].pg, "ROLLBACK").await.unwrap();
            self.generator.tables = before;
            return self.restart(true).await;
        }
        let end = *self
            .random
            .pick(&["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]);
        let came = self.both(user, end).await;
        if failed || end == "ROLLBACK" || came != Came::Done {
            self.generator.tables = before;
        }
    }

    fn user(&mut self) -> usize {
        self.random.below(self.sessions.len() as u64) as usize
    }

    /// What moves rows from one tier to another, and must not be noticed.
    async fn maintain(&mut self, kinds: u64) {
        let (schema, table) = (&self.schema, self.generator.table());
        let name = table.name;
        let statement = match self.random.below(kinds) {
            0..6 => format!("CALL tidelog.flush('{schema}.{name}')"),
            6..9 => format!("CALL tidelog.compact('{schema}.{name}')"),
            9 => "CALL tidelog.trim()".to_string(),
            10 => format!(
                "ALTER TABLE {name} SET (flush_rows = {})",
                5 + self.random.below(50)
            ),
            _ => format!("ALTER TABLE {name} RESET (flush_rows)"),
        };
        self.say("", &statement);
        if let Err(code) = ask(&self.admin, &statement).await {
            self.differ(format!("{statement}: {code}"));
        }
    }

    /// Kills or stops the server, sometimes checks its data, and starts it again.
    async fn restart(&mut self, kill: bool) {
        self.say("", if kill { "-- kill" } else { "-- restart" });
        let tide = &mut self.pair.tide;
        if kill {
            tide.kill();
        } else {
            let status = tide.terminate();
            assert!(status.success(), "SIGTERM: {status}");
        }
        if self.random.once_in(2) {
            Server::assert_sound(&tide.data());
        }
        tide.start_again();
        let peer = tide.peer();
        self.admin = connect(&peer, &self.schema).await;
        for session in self.sessions.iter_mut() {
            session.tide = connect(&peer.role(&session.role, ""), &self.schema).await;
        }
        for follower in self.followers.iter_mut() {
            let role = &self.sessions[follower.user].role;
            let client = connect(&peer.role(role, ""), &self.schema).await;
            let table = self.generator.named(follower.table);
            follower.reconnect(client, table).await;
        }
    }

    async fn remember(&mut self) {
        // A time is exact to the millisecond: none of it may have changes on both sides.
        let pause = std::time::Duration::from_millis(3);
        tokio::time::sleep(pause).await;
        let time = ask(&self.admin, "SELECT clock_timestamp()").await.unwrap();
        tokio::time::sleep(pause).await;
        let (user, table) = (self.user(), self.generator.table());
        let rows = ask(
            &self.sessions[user].pg,
            &format!("SELECT {} FROM {}", table.names(), table.name),
        )
        .await;
        let time = time.rows[0][0].clone().unwrap();
        self.say("", &format!("-- {time}: {} of user {user}", table.name));
        self.past.push(Past {
            time,
            user,
            table,
            rows: rows.unwrap().rows,
        });
    }

    /// The columns that are still there, as they were.
    async fn recall(&mut self) {
        if self.past.is_empty() {
            return;
        }
        let at = self.random.below(self.past.len() as u64) as usize;
        let past = &self.past[at];
        let now = self.generator.named(past.table.name);
        let mut names = Vec::new();
        let mut kept = Vec::new();
        for (at, old) in past.table.columns.iter().enumerate() {
            let mut columns = now.columns.iter();
            if let Some(column) = columns.find(|new| new.id == old.id && new.ty.name == old.ty.name)
            {
                names.push(column.name.as_str());
                kept.push(at);
            }
        }
        let query = format!(
            "SELECT {} FROM {} AS OF TIMESTAMP '{}'",
            names.join(", "),
            now.name,
            past.time
        );
        let mut rows: Vec<Row> = past
            .rows
            .iter()
            .map(|row| kept.iter().map(|at| row[*at].clone()).collect())
            .collect();
        rows.sort();
        let found = ask(&self.sessions[past.user].tide, &query).await;
        match found {
            Ok(answer) if answer.rows == rows => {}
            Ok(answer) => self.differ(unlike(&query, &answer.rows, &rows)),
            Err(code) => self.differ(format!("{query}: {code}")),
        }
    }

    async fn follow(&mut self) {
        for at in 0..self.followers.len() {
            let follower = &mut self.followers[at];
            follower.follow(self.generator.named(follower.table)).await;
            let follower = &self.followers[at];
            let query = format!("SELECT * FROM {}", follower.table);
            let table = ask(&self.sessions[follower.user].pg, &query).await.unwrap();
            if follower.rows() != table.rows {
                self.differ(unlike(
                    &format!("the follower of {query}"),
                    &follower.rows(),
                    &table.rows,
                ));
            }
        }
    }

    async fn begin_to_follow(&mut self) {
        let (user, table) = (self.user(), self.generator.table());
        if !table.key.is_empty() && self.followers.len() < 4 {
            let peer = self.pair.tide.peer().role(&self.sessions[user].role, "");
            let client = connect(&peer, &self.schema).await;
            self.say("", &format!("-- user {user} follows {}", table.name));
            let follower = Follower::new(client, user, &table).await;
            self.followers.push(follower);
        }
    }

    async fn step(&mut self) {
        match self.random.below(200) {
            0..120 => {
                let (user, change) = (self.user(), self.generator.change());
                self.both(user, &change).await;
            }
            120..140 => self.block().await,
            140..154 => self.alter().await,
            154..172 => self.maintain(12).await,
            172..182 => {
                let (user, query) = (self.user(), self.generator.query());
                self.both(user, &query).await;
            }
            182..186 => self.remember().await,
            186..196 => self.recall().await,
            196..199 => self.begin_to_follow().await,
            _ => {
                let kill = self.random.once_in(2);
                self.restart(kill).await;
            }
        }
    }
}

async fn connect(peer: &Peer, schema: &str) -> Client {
    let client = peer.connect().await;
    prepare(&client, schema).await;
    client
}

/// Of several values that a statement may not store, in one row or in several, the first to be met is told: which one that
/// is lies with the plan. So any two of what values and constraints may be refused for are alike.
fn may_be(found: &str, expected: &str) -> bool {
    let value = |code: &str| ["21", "22", "23"].contains(&&code[..2]);
    found == expected || value(found) && value(expected)
}

/// Where two outcomes part.
fn parts(statement: &str, found: &Outcome, expected: &Outcome) -> String {
    match (found, expected) {
        (Ok(found), Ok(expected))
            if found.columns == expected.columns && found.rows != expected.rows =>
        {
            unlike(statement, &found.rows, &expected.rows)
        }
        _ => format!("{statement}\nTidelog:    {found:.2000?}\nPostgreSQL: {expected:.2000?}"),
    }
}

fn unlike(what: &str, found: &[Row], expected: &[Row]) -> String {
    let only = |these: &[Row], those: &[Row]| {
        let rows = these.iter().filter(|row| !those.contains(row)).take(5);
        rows.map(|row| format!("\n    {row:?}")).collect::<String>()
    };
    format!(
        "{what}\n{} rows, of which PostgreSQL does not have:{}\n{} in PostgreSQL, of which Tidelog does not have:{}",
        found.len(),
        only(found, expected),
        expected.len(),
        only(expected, found)
    )
}

/// Worlds of SHARED and of USER tables in turn.
async fn compare(mut random: Random, worlds: u64, steps: u64) {
    let mut pair = Pair::start();
    for number in 0..worlds {
        let mut world = World::new(&mut pair, random.split(), number, number % 2 == 0).await;
        for step in 0..steps {
            world.script.push(format!("-- step {step}"));
            world.step().await;
            if step % 4 == 3 {
                world.compare_tables().await;
            }
            if step % 10 == 9 {
                world.follow().await;
            }
        }
        world.restart(false).await;
        world.compare_tables().await;
        world.follow().await;
    }
    pair.tide.terminate();
    Server::assert_sound(&pair.tide.data());
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_leave_what_postgresql_has() {
    compare(Random::from_environment(), 4, 150).await;
}

#[ignore = "minutes: scripts/test --long"]
#[tokio::test(flavor = "multi_thread")]
async fn many_random_changes_leave_what_postgresql_has() {
    compare(Random::from_environment(), 20, 1000).await;
}
