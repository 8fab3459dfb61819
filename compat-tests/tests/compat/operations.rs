//! What who runs a server does: check, erase, back up, restore, see the jobs, bound transactions.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidelog_compat_tests::process::{output, wait_for};
use tidelog_compat_tests::{Feed, Peer, S3, Server};

/// The tool.
pub(crate) fn tidelog(arguments: &[&str]) -> Command {
    let mut command = Server::tool(arguments[0]);
    command.args(&arguments[1..]);
    command
}

pub(crate) fn check(data: &Path, more: &[&str]) -> (i32, String) {
    let done = tidelog(&["check", "--data-dir"])
        .arg(data)
        .args(more)
        .output()
        .unwrap();
    (done.status.code().unwrap(), said(&done))
}

pub(crate) fn said(done: &Output) -> String {
    let text = [done.stdout.as_slice(), done.stderr.as_slice()].concat();
    String::from_utf8(text).unwrap()
}

/// The files under a folder that hold the text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(folder) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        if bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

/// The files below a folder, from which the server may remove some meanwhile.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path().to_string_lossy().into_owned()),
            Err(_) => {}
        }
    }
    found
}

#[test]
fn indexes_on_expressions_are_checked() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run("CREATE DATABASE other;");
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE t (id int8 PRIMARY KEY, name text, mood mood, n numeric(9,2), at timestamptz, doc jsonb);
         CREATE UNIQUE INDEX ON t (lower(name));
         CREATE INDEX ON t ((n / 7), mood) WHERE mood = 'glad' AND n > 10;
         CREATE INDEX ON t ((doc ->> 'a')) WHERE doc IS NOT NULL;
         CREATE INDEX ON t ((at AT TIME ZONE 'Europe/Berlin'));
         INSERT INTO t SELECT g, 'Name ' || g, CASE WHEN g % 2 = 0 THEN 'glad'::mood END, g / 3.0,
             '2026-01-01 00:00+00'::timestamptz + g * interval '1 hour', CASE WHEN g % 3 = 0 THEN '{\"a\": \"b\"}'::jsonb END
             FROM generate_series(1, 2000) g;
         CALL tidelog.flush('t');
         UPDATE t SET name = upper(name), n = -n WHERE id % 5 = 0;
         DELETE FROM t WHERE id % 11 = 0;";
    peer.run(tables);
    peer.database("other").run(tables);
    server.kill();
    let scratch = tempfile::tempdir().unwrap();
    let mut command = tidelog(&["check", "--data-dir"]);
    let done = command
        .arg(server.data())
        .env("TMPDIR", scratch.path())
        .output();
    let done = done.unwrap();
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    // Of each table, the live rows' primary keys, names, times, moods and documents.
    let live = |is_in: fn(u64) -> bool| (1..=2000).filter(|g| g % 11 != 0 && is_in(*g)).count();
    let moods = live(|g| g % 2 == 0 && g % 5 != 0 && g > 30);
    let keys = 2 * (3 * live(|_| true) + moods + live(|g| g % 3 == 0));
    assert!(text.contains(&format!(" {keys} keys")), "{keys}: {text}");
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_database_with_values_of_every_type_is_sound() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE t (i interval PRIMARY KEY, many interval[], s smallint, n numeric(12,3), free numeric, r real,
             d float8, b bool, day date, at time, zoned timetz, ts timestamp, tz timestamptz, u uuid, j jsonb,
             raw bytea, c char(5), v varchar(9), bits bit(3), m mood, moods mood[], words text[], UNIQUE (m, i));
         INSERT INTO t SELECT make_interval(0, g), ARRAY[make_interval(0, 0, 0, g), NULL], g, g / 8.0, g / 3.0, g, g, g % 2 = 0,
             '2026-01-01'::date + g, '00:00'::time + make_interval(0, 0, 0, 0, 0, g), '00:00+02', '2026-01-01'::timestamp,
             now(), gen_random_uuid(), '{\"a\": [1]}', '\\x00ff', 'c', 'v', B'101', 'glad', '{sad,glad}', '{a,NULL}'
             FROM generate_series(1, 100) g;
         INSERT INTO t (i) VALUES ('-1 year 3 days'), ('1 day 25 hours');",
    );
    peer.run("CALL tidelog.flush('t'); UPDATE t SET s = s + 1 WHERE i > '90 months'; ALTER TABLE t ALTER s TYPE int;");
    peer.run("CALL tidelog.flush('t');");
    server.terminate();
    Server::assert_sound(&server.data());
}

const MARK: &str = "0f7b2c9ad4e816357a5d";

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_erased() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE alice LOGIN PASSWORD 'a'; CREATE ROLE bob LOGIN PASSWORD 'b';
         CREATE TABLE notes (name text PRIMARY KEY, body text UNIQUE) WITH (type = 'user');
         CREATE TABLE log (body text) WITH (type = 'user');
         CREATE TABLE gone (body text) WITH (type = 'user');
         CREATE TABLE everyone (body text);
         CREATE INDEX ON notes (body);
         INSERT INTO everyone VALUES ('not a user''s');",
    );
    let (alice, bob) = (peer.role("alice", "a"), peer.role("bob", "b"));
    for (user, mark) in [(&alice, MARK), (&bob, "bob")] {
        user.run(&format!(
            "INSERT INTO notes SELECT '{mark}' || g, '{mark} body ' || g FROM generate_series(1, 300) g;
             INSERT INTO log SELECT '{mark}' || g FROM generate_series(1, 300) g;
             INSERT INTO gone SELECT '{mark}' || g FROM generate_series(1, 300) g;"
        ));
    }
    peer.run("CALL tidelog.flush('notes'); CALL tidelog.flush('log'); CALL tidelog.flush('gone');");
    alice.run(&format!(
        "UPDATE notes SET body = '{MARK} changed' WHERE name = '{MARK}7'; DELETE FROM notes WHERE name = '{MARK}8';
         INSERT INTO log VALUES ('{MARK} later');"
    ));
    peer.run("DROP TABLE gone;");
    wait_for("the dropped table's files to go", || {
        let files = files(&server.data().join("cold"));
        files
            .iter()
            .all(|path| !path.contains("/gone-"))
            .then_some(())
    });

    let error = alice
        .try_run("CALL tidelog.erase_user('bob');")
        .unwrap_err();
    assert!(error.contains("needs a superuser"), "{error}");
    let error = peer
        .try_run("CALL tidelog.erase_user('alcie');")
        .unwrap_err();
    assert!(error.contains("role \"alcie\" does not exist"), "{error}");

    // Someone who reads from before, and does not come back for it.
    let idle = alice.connect().await;
    idle.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    let rows = idle.query("SELECT * FROM notes", &[]).await.unwrap();
    assert_eq!(rows.len(), 299);
    // So does a cursor whose rows are read already.
    let held = alice.connect().await;
    held.batch_execute("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM notes; FETCH 1 FROM c")
        .await
        .unwrap();
    // And one who follows the changes.
    let mut feed = Feed::open(&alice, "SUBSCRIBE TO notes");
    assert_eq!(feed.until_ready().await.0.len(), 299);
    let mut all = Feed::open(&peer, "SUBSCRIBE TO log OPTIONS (on_lag = 'disconnect')");
    all.until_ready().await;

    let begun = Instant::now();
    let row = peer.value("CALL tidelog.erase_user('alice')");
    let parts: Vec<&str> = row.split('|').collect();
    assert_eq!(parts[..3], ["2", "600", "2"], "tables, rows, files: {row}");
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(holding(&server.data(), MARK), Vec::<String>::new());

    let ended = idle
        .query("SELECT count(*) FROM notes", &[])
        .await
        .unwrap_err();
    assert!(
        ended.is_closed() || ended.as_db_error().is_some(),
        "{ended:?}"
    );
    let fetched = held.simple_query("FETCH 1 FROM c").await;
    assert!(fetched.is_err(), "{fetched:?}");
    assert_eq!(feed.next().await.op, "reset");
    assert_eq!(feed.until_ready().await.0.len(), 0);
    let more = all.try_next().await;
    assert!(more.is_none(), "{more:?}");
    let error = all.error().await;
    assert!(error.contains("no longer kept"), "{error}");
    for _ in 0..2 {
        let (peer, alice) = (server.peer(), server.peer().role("alice", "a"));
        assert_eq!(alice.value("SELECT count(*) FROM notes"), "0");
        assert_eq!(
            peer.value("SELECT string_agg(DISTINCT _user, ',') FROM notes"),
            "bob"
        );
        assert_eq!(peer.value("SELECT count(*) FROM notes"), "300");
        assert_eq!(peer.value("SELECT count(*) FROM log"), "300");
        assert_eq!(peer.value("SELECT body FROM everyone"), "not a user's");
        server.restart();
    }
    let alice = server.peer().role("alice", "a");
    alice.run(&format!("INSERT INTO notes VALUES ('{MARK}1', 'again');"));
    assert_eq!(alice.value("SELECT body FROM notes"), "again");
    server.terminate();
    assert_eq!(check(&server.data(), &[]).0, 0);
}

/// Moves amounts between rows until it is told to stop.
async fn transfers(peer: Peer, stop: Arc<AtomicBool>, seed: u64) -> u64 {
    let mut client = peer.connect().await;
    let mut random = seed;
    let mut below = |n: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % n
    };
    let mut moved = 0;
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (below(100) as i64, below(100) as i64);
        let amount = below(10) as i64;
        let work = async {
            let transaction = client.transaction().await?;
            let update = "UPDATE accounts SET amount = amount + $2 WHERE id = $1";
            transaction.execute(update, &[&from, &-amount]).await?;
            transaction.execute(update, &[&to, &amount]).await?;
            transaction.commit().await
        };
        match work.await {
            Ok(()) => moved += 1,
            Err(error) => assert_eq!(
                error.code().map(|code| code.code()),
                Some("40P01"),
                "{error}"
            ),
        }
    }
    moved
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_whole_and_incremental() {
    let mut server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE accounts (id int8 PRIMARY KEY, amount int8 NOT NULL);
         INSERT INTO accounts SELECT g, 100 FROM generate_series(0, 99) g;
         CREATE TABLE history (id int8 PRIMARY KEY, body text);
         INSERT INTO history SELECT g, 'a line of history ' || g FROM generate_series(1, 20000) g;
         CALL tidelog.flush('history');",
    );
    let stop = Arc::new(AtomicBool::new(false));
    let movers: Vec<_> = (1..=2)
        .map(|seed| tokio::spawn(transfers(server.peer(), stop.clone(), seed)))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("backups");
    let target = target.to_str().unwrap();
    let back_up = || {
        let mut command = tidelog(&["backup", target, "--data-dir"]);
        let done = command.arg(server.data()).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        said(&done)
    };
    let copied = |text: &str| -> u64 {
        let bytes = text.trim_end().rsplit(", ").next().unwrap();
        bytes.trim_end_matches(" bytes").parse().unwrap()
    };
    let first = back_up();
    assert!(first.starts_with("backup 1 at "), "{first}");
    peer.run("CREATE TABLE later (id int8 PRIMARY KEY); INSERT INTO later VALUES (1);");
    let second = back_up();
    assert!(second.starts_with("backup 2 at "), "{second}");
    let cold: u64 = peer
        .value("SELECT sum(bytes) FROM tidelog.files")
        .parse()
        .unwrap();
    assert!(copied(&second) + cold <= copied(&first), "{first}{second}");
    // Merging and dropping meanwhile takes nothing from what was backed up.
    peer.run(
        "CALL tidelog.flush('accounts'); CALL tidelog.compact('accounts'); DROP TABLE history;",
    );
    let row = peer.value(&format!("CALL tidelog.backup('file://{target}')"));
    assert!(row.starts_with("3|"), "{row}");
    stop.store(true, Ordering::Relaxed);
    for mover in movers {
        assert!(mover.await.unwrap() > 10);
    }
    let jobs = peer
        .value("SELECT count(*), bool_and(state = 'done') FROM tidelog.jobs WHERE kind = 'backup'");
    assert_eq!(jobs, "3|t");
    let listed = output(&mut tidelog(&["backups", target]));
    assert_eq!(listed.lines().count(), 3, "{listed}");

    for (at, history, later) in [("1", true, false), ("2", true, true), ("3", false, true)] {
        let data = folder.path().join(format!("restored{at}"));
        let mut restore = tidelog(&["restore", target, "--at", at, "--data-dir"]);
        let text = output(restore.arg(&data));
        assert!(
            text.starts_with(&format!("restored backup {at} ")),
            "{text}"
        );
        let (status, text) = check(&data, &[]);
        assert_eq!(status, 0, "{text}");
        let error = said(&restore.output().unwrap());
        assert!(error.contains("is not empty"), "{error}");
        let restored = Server::start_on(&data);
        let peer = restored.peer();
        assert_eq!(
            peer.value("SELECT count(*), sum(amount) FROM accounts"),
            "100|10000"
        );
        let lines = peer.try_run("SELECT count(*), max(body) FROM history;");
        assert_eq!(
            lines.ok(),
            history.then(|| "20000|a line of history 9999\n".to_string())
        );
        assert_eq!(
            peer.try_run("SELECT id FROM later;").ok(),
            later.then(|| "1\n".to_string())
        );
        peer.run("INSERT INTO accounts VALUES (1000, 1);");
    }

    let stored = folder.path().join("backups").join("files");
    let largest = files(&stored)
        .into_iter()
        .max_by_key(|path| std::fs::metadata(path).unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let data = folder.path().join("damaged");
    let restore = || {
        let done = tidelog(&["restore", target, "--at", "1", "--data-dir"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(!done.status.success(), "{}", said(&done));
        assert!(!data.exists(), "nothing is left of it");
        said(&done)
    };
    std::fs::write(&largest, &bytes).unwrap();
    let error = restore();
    assert!(
        error.contains("backup 1 is damaged") && error.contains("contents"),
        "{error}"
    );
    std::fs::remove_file(&largest).unwrap();
    let error = restore();
    assert!(
        error.contains("backup 1 is damaged") && error.contains("missing"),
        "{error}"
    );
    let list = folder.path().join("backups/backups/00000001.json");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replacen("\"bytes\":", "\"bytes\":1", 1)).unwrap();
    let error = restore();
    assert!(error.contains("the list of backup 1 is damaged"), "{error}");
    server.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_asks_for_the_superusers_password() {
    let server = Server::start();
    server
        .peer()
        .run("ALTER ROLE postgres PASSWORD 'secret'; CREATE ROLE eve LOGIN PASSWORD 'e';");
    let folder = tempfile::tempdir().unwrap();
    let attempt = |user: &str, password: &str| {
        let mut command = tidelog(&["backup"]);
        command
            .arg(folder.path())
            .arg("--data-dir")
            .arg(server.data());
        let done = command
            .args(["--user", user])
            .env("PGPASSWORD", password)
            .output()
            .unwrap();
        (done.status.success(), said(&done))
    };
    for (user, password, error) in [
        ("postgres", "", "set PGPASSWORD"),
        ("postgres", "wrong", "password authentication failed"),
        ("eve", "e", "needs a superuser"),
    ] {
        let (success, text) = attempt(user, password);
        assert!(!success && text.contains(error), "{text}");
    }
    let (success, text) = attempt("postgres", "secret");
    assert!(success && text.starts_with("backup 1 at "), "{text}");
}

#[test]
fn jobs_are_listed() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE SCHEMA j; CREATE TABLE j.t (id int8 PRIMARY KEY, body text); CREATE ROLE eve LOGIN PASSWORD 'e';
         INSERT INTO j.t SELECT g, 'x' FROM generate_series(1, 2000) g; CALL tidelog.flush('j.t');
         INSERT INTO j.t SELECT g, 'x' FROM generate_series(2001, 2500) g; CALL tidelog.flush('j.t');
         CALL tidelog.compact('j.t'); CALL tidelog.compact('j.t'); CALL tidelog.erase_user('eve');",
    );
    let jobs = peer.run(
        "SELECT kind, schema_name || '.' || table_name, state, rows, bytes > 0, ended >= started, error
         FROM tidelog.jobs WHERE kind <> 'sweep' ORDER BY id;",
    );
    assert_eq!(
        jobs,
        "flush|j.t|done|2000|t|t|\nflush|j.t|done|500|t|t|\ncompact|j.t|done|2500|t|t|\ncompact|j.t|done|0|f|t|\n\
         erase||done|0|f|t|\n"
    );
    assert_eq!(
        peer.value("SELECT cold_files, cold_rows FROM tidelog.tables"),
        "1|2500"
    );
    assert_eq!(
        peer.value("SELECT unflushed_rows, flushed_seq = last_seq FROM tidelog.partitions"),
        "0|t"
    );
    assert_eq!(
        peer.role("eve", "e")
            .value("SELECT count(*) FROM tidelog.jobs"),
        "0"
    );
    let error = peer
        .try_run("CALL tidelog.backup('relative');")
        .unwrap_err();
    assert!(
        error.contains("neither a URL nor an absolute path"),
        "{error}"
    );
    let failed = peer.value("SELECT kind, state, error LIKE '%absolute path%' FROM tidelog.jobs ORDER BY id DESC LIMIT 1");
    assert_eq!(failed, "backup|failed|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_bounded_by_a_setting() {
    let server = Server::start_with(&["--transaction-bytes-max", "2000000"]);
    let client = server.peer().connect().await;
    client
        .batch_execute("CREATE TABLE t (id int8 PRIMARY KEY, body text)")
        .await
        .unwrap();
    let insert = |from: i64, to: i64| {
        format!("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series({from}, {to}) g")
    };
    let refused = |error: tokio_postgres::Error| {
        let error = error.as_db_error().unwrap().clone();
        assert_eq!(error.code().code(), "54000");
        assert_eq!(
            error.message(),
            "a transaction's changes exceed 2000000 bytes"
        );
    };
    refused(client.batch_execute(&insert(1, 5000)).await.unwrap_err());
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(&insert(1, 1000)).await.unwrap();
    refused(client.batch_execute(&insert(1001, 2000)).await.unwrap_err());
    client.batch_execute("ROLLBACK").await.unwrap();
    client.batch_execute(&insert(1, 1000)).await.unwrap();
    let rows = client
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1000);
}

/// A transaction of some 100 MB is committed while another session commits rows one by one: how long these wait.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/test --long"]
async fn a_large_commit_beside_small_ones() {
    let server = Server::start();
    let client = server.peer().connect().await;
    for statement in [
        "CREATE TABLE large (id int8 PRIMARY KEY, body text)",
        "CREATE TABLE small (id int8 PRIMARY KEY, body text)",
        "BEGIN",
        "INSERT INTO large SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 100000) g",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let other = server.peer().connect().await;
    let writer = tokio::spawn({
        let stop = stop.clone();
        async move {
            let insert = other
                .prepare("INSERT INTO small VALUES ($1, 'x')")
                .await
                .unwrap();
            let (mut latencies, mut id) = (Vec::new(), 0_i64);
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                other.execute(&insert, &[&id]).await.unwrap();
                latencies.push(begun.elapsed());
                id += 1;
            }
            latencies
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    client.batch_execute("COMMIT").await.unwrap();
    let commit = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut latencies = writer.await.unwrap();
    latencies.sort();
    let (median, worst) = (
        latencies[latencies.len() / 2],
        latencies[latencies.len() - 1],
    );
    println!(
        "large commit {commit:?}; {} small ones, median {median:?}, worst {worst:?}",
        latencies.len()
    );
    assert_eq!(server.peer().value("SELECT count(*) FROM large"), "100000");
}

/// A backup among what it is a backup of would go with it, and storages that are one place are none that a server starts with.
#[test]
fn backups_and_restores_are_put_where_they_last() {
    let cold = tempfile::tempdir().unwrap();
    let cold = cold.path().canonicalize().unwrap();
    let named = format!("far={}", cold.display());
    let server = Server::start_with(&["--storage", &named]);
    let peer = server.peer();
    peer.run("CREATE TABLE t (id int4); INSERT INTO t VALUES (1); CALL tidelog.flush('t');");
    let data = server.data().canonicalize().unwrap();
    let link = cold
        .parent()
        .unwrap()
        .join(format!("{}.link", cold.file_name().unwrap().display()));
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let before = files(&data).len();
    for place in [
        format!("{}", data.display()),
        format!("{}/hot", data.display()),
        format!("file://{}/cold/a/b", data.display()),
        format!("{}/further", link.display()),
        format!("{}/backups", cold.display()),
    ] {
        let error = peer.try_run(&format!("CALL tidelog.backup('{place}');"));
        assert!(
            error
                .as_ref()
                .is_err_and(|error| error.contains("it lies in the data directory")),
            "{place}: {error:?}"
        );
    }
    std::fs::remove_file(link).unwrap();
    assert!(files(&data).len() <= before + 1 && !data.join("further").exists());
    assert!(!data.join("cold/a").exists() && !cold.join("backups").exists());
    // A folder that only begins with its name is another.
    let beside = format!("{}.backups", data.display());
    peer.run(&format!("CALL tidelog.backup('{beside}');"));

    let folder = tempfile::tempdir().unwrap();
    let (to, place) = (folder.path().join("data"), folder.path().join("cold"));
    let (to, place) = (to.to_str().unwrap(), place.to_str().unwrap());
    let restore = |storage: &str| {
        let arguments = [
            "restore",
            &beside,
            "--cold",
            place,
            "--storage",
            storage,
            "--data-dir",
            to,
        ];
        tidelog(&arguments).output().unwrap()
    };
    let refused = restore(&format!("far={place}"));
    assert!(
        !refused.status.success()
            && said(&refused).contains("give each storage a prefix of its own"),
        "{}",
        said(&refused)
    );
    assert!(!Path::new(to).exists() && files(Path::new(place)).is_empty());
    let far = format!("far={}/far", folder.path().display());
    assert!(restore(&far).status.success());
    let restored = Server::start_on_with(Path::new(to), &["--cold", place, "--storage", &far], &[]);
    assert_eq!(restored.peer().value("SELECT id FROM t"), "1");
}

/// Cold files in one place of an S3 server and backups in another; restored into a third.
#[tokio::test(flavor = "multi_thread")]
async fn everything_may_lie_in_object_stores() {
    let Some(s3) = S3::start() else { return };
    let places = |one: &str, two: &str| {
        let archive = format!("archive={}", s3.url(two));
        ["--cold", &s3.url(one), "--storage", &archive].map(str::to_string)
    };
    fn texts(options: &[String; 4]) -> [&str; 4] {
        options.each_ref().map(String::as_str)
    }
    let with_s3 = |name: &str, arguments: &[&str]| {
        let mut command = Server::tool(name);
        command.args(arguments).envs(s3.environment());
        let done = command.output().unwrap();
        (done.status.code().unwrap(), said(&done))
    };
    let here = places("main", "archive");
    let mut server = Server::start_in(&texts(&here), &s3.environment());
    let peer = server.peer();
    peer.run(
        "CREATE ROLE alice LOGIN PASSWORD 'a';
         CREATE TABLE t (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         CREATE TABLE kept (id int8 PRIMARY KEY, body text) WITH (storage = 'archive');
         INSERT INTO kept SELECT g, 'kept ' || g FROM generate_series(1, 3000) g;
         INSERT INTO t SELECT g, 'ours ' || g FROM generate_series(1, 1000) g;
         CALL tidelog.flush('kept');",
    );
    let alice = peer.role("alice", "a");
    alice.run("INSERT INTO t SELECT g, 'hers ' || g FROM generate_series(1, 1000) g;");
    peer.run("CALL tidelog.flush('t'); INSERT INTO kept VALUES (0, 'hot');");
    let backups = s3.url("backups");
    let row = peer.value(&format!("CALL tidelog.backup('{backups}')"));
    assert!(row.starts_with("1|"), "{row}");
    let row = peer.value("CALL tidelog.erase_user('alice')");
    assert!(row.starts_with("1|1000|1|"), "{row}");
    let left = s3.objects("main");
    assert!(
        left.len() == 1 && left.iter().all(|path| !path.contains("alice")),
        "{left:?}"
    );
    server.terminate();
    let data = server.data();
    let data = data.to_str().unwrap();
    let check = |data: &str, options: &[&str]| {
        with_s3("check", &[&["--data-dir", data][..], options].concat())
    };
    let (status, text) = check(data, &texts(&here));
    assert!(status == 0 && text.contains("4001 rows"), "{text}");
    let (status, text) = check(data, &texts(&here)[..2]);
    assert!(
        status == 2 && text.contains("no storage of that name"),
        "{text}"
    );

    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("restored");
    let to = to.to_str().unwrap();
    let restore = |options: &[&str]| {
        let arguments = [&[backups.as_str(), "--data-dir", to][..], options].concat();
        with_s3("restore", &arguments)
    };
    let (status, text) = restore(&texts(&here));
    assert!(
        status == 1 && text.contains("belongs to another database"),
        "{text}"
    );
    let (status, text) = restore(&["--cold", &s3.url("two")]);
    assert!(
        status == 1 && text.contains("--storage archive=URL"),
        "{text}"
    );
    assert_eq!(s3.objects("two"), Vec::<String>::new());
    let there = places("two", "three");
    let (status, text) = restore(&texts(&there));
    assert!(
        status == 0 && text.starts_with("restored backup 1"),
        "{text}"
    );
    let (status, text) = check(to, &texts(&there));
    assert!(status == 0 && text.contains("5001 rows"), "{text}");
    // Two servers, each with its own.
    server.start_again();
    let twin = Server::start_on_with(Path::new(to), &texts(&there), &s3.environment());
    for (server, rows) in [(&server, "1000"), (&twin, "2000")] {
        let peer = server.peer();
        assert_eq!(peer.value("SELECT count(*) FROM t"), rows);
        assert_eq!(peer.value("SELECT count(*) FROM kept"), "3001");
        peer.run("CALL tidelog.flush('kept'); CALL tidelog.compact('kept');");
        assert_eq!(
            peer.value("SELECT count(*), max(body) FROM kept"),
            "3001|kept 999"
        );
    }
}

/// Sessions over HTTP and WebSocket let go of what they read from, as others do.
#[test]
fn an_erasure_does_not_wait_for_slow_readers_of_http() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text) WITH (type = 'user');
         INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 30000) g;",
    );
    // They ask for much and take nothing of it.
    let ask = |request: String| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.http_port())).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        stream
    };
    let body = r#"{"sql": "SELECT * FROM t"}"#;
    // The superuser, without a password.
    let head = "HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic cG9zdGdyZXM6\r\n";
    let _slow = [
        ask(format!(
            "POST /v1/sql {head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )),
        ask(format!("GET /v1/live?sql=SUBSCRIBE%20TO%20t {head}\r\n")),
    ];
    let begun = Instant::now();
    let row = peer.value("CALL tidelog.erase_user('postgres')");
    assert!(row.starts_with("1|30000|"), "{row}");
    // They would have kept it waiting, and were given their five seconds.
    let took = begun.elapsed().as_secs();
    assert!((5..40).contains(&took), "{took} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn procedures_take_parameters() {
    let server = Server::start();
    let peer = server.peer();
    peer.run(
        "CREATE ROLE \"o'neil\" LOGIN; CREATE TABLE notes (id int8 PRIMARY KEY) WITH (type = 'user');
         INSERT INTO notes (_user, id) VALUES ('o''neil', 1), ('bob', 1);",
    );
    let client = peer.connect().await;
    client
        .execute("CALL tidelog.flush($1)", &[&"notes"])
        .await
        .unwrap();
    let erase = "CALL tidelog.erase_user($1)";
    let erased = client.query_one(erase, &[&"o'neil"]).await.unwrap();
    assert_eq!(erased.get::<_, i64>("rows"), 1);
    let missing = client.query(erase, &[&None::<&str>]).await.unwrap_err();
    assert_eq!(missing.code().unwrap().code(), "42883", "{missing:?}");
    assert_eq!(peer.value("SELECT _user FROM notes"), "bob");
}
