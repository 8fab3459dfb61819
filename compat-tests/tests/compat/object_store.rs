//! Cold files in an S3 server, in Azure's blob service and in what Google's client takes for its own, that come and go.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidelog_compat_tests::process::{output, wait_for};
use tidelog_compat_tests::{Azure, Peer, S3, Server};

fn start(s3: &S3, cache: &str) -> Server {
    let (cold, archive) = (s3.url("main"), format!("archive={}", s3.url("archive")));
    let options = [
        "--cold",
        &cold,
        "--storage",
        &archive,
        "--cold-timeout",
        "2s",
        "--cold-cache",
        cache,
    ];
    Server::start_in(&options, &s3.environment())
}

/// The SQLSTATE that psql tells.
fn sqlstate(peer: &Peer, statement: &str) -> String {
    let script = format!("\\set ON_ERROR_STOP off\n{statement};\n\\echo :LAST_ERROR_SQLSTATE\n");
    peer.run(&script)
        .trim()
        .lines()
        .last()
        .unwrap_or_default()
        .to_string()
}

#[test]
fn tables_live_in_s3_and_move_between_stores() {
    let Some(mut s3) = S3::start() else { return };
    let mut server = start(&s3, "8MB");
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
         INSERT INTO t SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, 30000) n;
         CALL tidelog.flush('t');
         UPDATE t SET body = 'changed' WHERE id % 1000 = 0;
         DELETE FROM t WHERE id = 7;
         CREATE TABLE kept (id int8 PRIMARY KEY, body text) WITH (storage = 'archive');
         INSERT INTO kept VALUES (1, 'one'), (2, 'two');
         CALL tidelog.flush('kept');",
    );
    let sums = "SELECT count(*), sum(id), sum(length(body)), count(*) FILTER (WHERE body = 'changed') FROM t";
    let (peer, expected) = (server.peer(), server.peer().value(sums));
    assert!(expected.starts_with("29999|"), "{expected}");
    assert_eq!(
        (s3.objects("main").len(), s3.objects("archive").len()),
        (1, 1)
    );
    assert_eq!(
        peer.value("SELECT storage, left(path, 15) FROM tidelog.files WHERE table_name = 'kept'"),
        "archive|archive:public/"
    );
    assert_eq!(
        sqlstate(&peer, "CREATE TABLE x (a int) WITH (storage = 'nowhere')"),
        "42704"
    );
    assert_eq!(
        sqlstate(&peer, "ALTER TABLE t SET (storage = 'nowhere')"),
        "42704"
    );

    // New files go to the new store, and a compaction takes the old ones along.
    peer.run("ALTER TABLE t SET (storage = 'archive'); CALL tidelog.flush('t');");
    assert_eq!(peer.value("SELECT string_agg(storage, ' ' ORDER BY storage) FROM tidelog.files WHERE table_name = 't'"),
        "archive default");
    assert_eq!(peer.value(sums), expected);
    peer.run("CALL tidelog.compact('t');");
    wait_for("the merged file to be the only one", || {
        (s3.objects("main").is_empty() && s3.objects("archive").len() == 2).then_some(())
    });
    assert_eq!(peer.value(sums), expected);
    assert_eq!(
        peer.value("SELECT left(body, 4) FROM t WHERE id = 29999"),
        "1b0e"
    );
    assert_eq!(peer.value("SELECT body FROM t WHERE id = 3000"), "changed");

    server.restart();
    assert_eq!(server.peer().value(sums), expected);
    // Without the store: hot rows as ever, cold ones with an error that says which store, in bounded time.
    s3.kill();
    server.restart();
    let peer = server.peer();
    peer.run("INSERT INTO t VALUES (100001, 'hot'); INSERT INTO kept VALUES (3, 'three');");
    assert_eq!(peer.value("SELECT body FROM t WHERE id = 100001"), "hot");
    let begun = Instant::now();
    for statement in [
        "SELECT sum(length(body)) FROM t",
        "CALL tidelog.flush('kept')",
    ] {
        let error = peer
            .try_run(&format!("\\set VERBOSITY verbose\n{statement};"))
            .unwrap_err();
        assert!(error.contains("58030"), "{error}");
        assert!(error.contains("\"archive\" (s3://tide/archive)"), "{error}");
        assert!(!error.contains("S3RVER"), "a secret is shown: {error}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    s3.start_again();
    let peer = server.peer();
    peer.run("CALL tidelog.flush('kept');");
    assert_eq!(peer.value("SELECT count(*), sum(id) FROM kept"), "3|6");
    assert_eq!(
        peer.value("SELECT count(*), sum(id) FROM t WHERE id < 100000")
            .split('|')
            .next(),
        Some("29999")
    );
    peer.run("DROP TABLE t; DROP TABLE kept;");
    wait_for("the dropped tables' objects to go", || {
        (s3.objects("main").is_empty() && s3.objects("archive").is_empty()).then_some(())
    });
}

#[test]
fn tables_live_in_azure() {
    let Some(mut azure) = Azure::start() else {
        return;
    };
    let (root, environment) = (azure.url(""), azure.environment());
    tables_live_in(&root, &environment, |runs| match runs {
        true => azure.start_again(),
        false => azure.stop(),
    });
}

/// Google's client; what it talks to knows no signatures and no preconditions.
#[test]
fn tables_live_in_google() {
    let Some(mut s3) = S3::start_as_google() else {
        return;
    };
    let (root, environment) = (s3.google_url(""), s3.google_environment());
    tables_live_in(&root, &environment, |runs| match runs {
        true => s3.start_again(),
        false => s3.kill(),
    });
}

/// What is done with a table in the object store of this URL, which is stopped and started in between.
fn tables_live_in(root: &str, environment: &[(String, String)], mut switch: impl FnMut(bool)) {
    let url = |prefix: &str| format!("{root}{prefix}");
    let cold = url("live");
    let options = ["--cold", &cold, "--cold-timeout", "2s", "--cold-cache", "0"];
    let mut server = Server::start_in(&options, environment);
    // More than 8 MiB: it goes there in parts.
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
         INSERT INTO t SELECT n, md5('a' || n) || md5('b' || n) || md5('c' || n) FROM generate_series(1, 200000) n;
         CALL tidelog.flush('t');
         UPDATE t SET body = 'changed' WHERE id % 1000 = 0;
         DELETE FROM t WHERE id = 7;
         CALL tidelog.flush('t');",
    );
    let peer = server.peer();
    let sizes = "SELECT count(*), max(bytes) > 8 * 1024 * 1024 FROM tidelog.files";
    assert_eq!(peer.value(sizes), "2|t");
    let sums = "SELECT count(*), sum(id), sum(length(body)), count(*) FILTER (WHERE body = 'changed') FROM t";
    let expected = peer.value(sums);
    assert!(expected.starts_with("199999|"), "{expected}");
    peer.run("CALL tidelog.compact('t');");
    assert_eq!(peer.value("SELECT count(*) FROM tidelog.files"), "1");
    assert_eq!(peer.value(sums), expected);
    assert_eq!(peer.value("SELECT body FROM t WHERE id = 3000"), "changed");

    server.restart();
    assert_eq!(server.peer().value(sums), expected);
    switch(false);
    let peer = server.peer();
    peer.run("INSERT INTO t VALUES (1000001, 'hot');");
    assert_eq!(peer.value("SELECT body FROM t WHERE id = 1000001"), "hot");
    assert_eq!(sqlstate(&peer, sums), "58030");
    switch(true);
    peer.run("DELETE FROM t WHERE id = 1000001;");
    assert_eq!(peer.value(sums), expected);

    // A backup there, and back.
    peer.run(&format!("CALL tidelog.backup('{}');", url("backup")));
    peer.run("DROP TABLE t;");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let restored = url("restored");
    let mut restore = Server::tool("restore");
    restore.args([&url("backup"), "--cold", &restored, "--data-dir"]);
    output(restore.arg(&data).envs(environment.iter().cloned()));
    let twin = Server::start_on_with(&data, &["--cold", &restored], environment);
    assert_eq!(twin.peer().value(sums), expected);
}

#[test]
fn a_wrong_place_is_refused_at_the_start() {
    let refused = |cold: &str, environment: &[(String, String)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command: Command = Server::command(&folder.path().join("data"));
        command.args(["--cold", cold, "--cold-timeout", "2s"]);
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
                panic!("{cold} was accepted");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let done = child.wait_with_output().unwrap();
        assert!(!done.status.success(), "{cold} was accepted");
        format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        )
    };
    for cold in [
        "ftp://host/x",
        "s3://key:hidden@bucket/x",
        "az://container/x",
    ] {
        let error = refused(cold, &[]);
        assert!(
            error.contains("cannot be used") && !error.contains("hidden"),
            "{error}"
        );
    }
    let Some(s3) = S3::start() else { return };
    let server = start(&s3, "8MB");
    let error = refused(&s3.url("main"), &s3.environment());
    assert!(error.contains("belongs to another database"), "{error}");
    assert!(refused("s3://nobucket/x", &s3.environment()).contains("no such bucket"));
    let mut wrong = s3.environment();
    wrong
        .iter_mut()
        .filter(|(key, _)| key.contains("KEY_ID"))
        .for_each(|(_, value)| *value = "NOBODY".into());
    let error = refused(&s3.url("other"), &wrong);
    assert!(error.contains("access was denied"), "{error}");
    drop(server);
}

/// Inserts one id after the other until told to stop; gives those that were acknowledged.
fn write(
    peer: Peer,
    first: i64,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> BTreeSet<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = peer.connect().await;
        let insert = client
            .prepare("INSERT INTO t VALUES ($1, $2)")
            .await
            .unwrap();
        let mut ids = BTreeSet::new();
        for n in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let id = first + n;
            // Hot writes know nothing of the store.
            let begun = Instant::now();
            client
                .execute(&insert, &[&id, &format!("row {id}")])
                .await
                .unwrap();
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "a write waited {:?}",
                begun.elapsed()
            );
            ids.insert(id);
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        ids
    })
}

/// Runs a statement over and over until told to stop, and counts how it ended. The store's failures are fine.
fn repeat(peer: Peer, statement: &'static str, stop: Arc<AtomicBool>, counts: Arc<[AtomicU64; 2]>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = peer.connect().await;
        while !stop.load(Ordering::SeqCst) {
            match client.batch_execute(statement).await {
                Ok(()) => counts[0].fetch_add(1, Ordering::SeqCst),
                Err(error) => {
                    let error = error
                        .as_db_error()
                        .unwrap_or_else(|| panic!("{statement}: {error}"));
                    assert_eq!(error.code().code(), "58030", "{statement}: {error}");
                    counts[1].fetch_add(1, Ordering::SeqCst)
                }
            };
        }
    })
}

#[test]
fn nothing_is_lost_or_doubled_while_the_store_is_killed() {
    let Some(mut s3) = S3::start() else { return };
    let mut server = start(&s3, "0");
    server
        .peer()
        .run("CREATE TABLE t (id int8 PRIMARY KEY, body text);");
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (peer, stop, acknowledged) = (server.peer(), stop.clone(), acknowledged.clone());
            std::thread::spawn(move || write(peer, writer * 10_000_000, stop, acknowledged))
        })
        .collect();
    let statements = [
        "CALL tidelog.flush('t')",
        "CALL tidelog.compact('t')",
        "SELECT 1 / (count(*) = count(DISTINCT id))::int, sum(length(body)) FROM t",
    ];
    let counts: Vec<Arc<[AtomicU64; 2]>> = statements.iter().map(|_| Arc::default()).collect();
    let others: Vec<_> = (statements.into_iter().zip(&counts))
        .map(|(statement, counts)| {
            let (peer, stop, counts) = (server.peer(), stop.clone(), counts.clone());
            std::thread::spawn(move || repeat(peer, statement, stop, counts))
        })
        .collect();
    let of = |outcome: usize| -> Vec<u64> {
        counts
            .iter()
            .map(|counts| counts[outcome].load(Ordering::SeqCst))
            .collect()
    };
    for round in 0..4 {
        // Each time something of everything has succeeded, and there are files (a flush of no rows succeeds without one), the
        // store goes in the middle of what runs then; it comes back when both flushes and reads have met its absence.
        let (done, written) = (of(0), acknowledged.load(Ordering::SeqCst));
        wait_for("flushes, compactions and reads", || {
            let grown = of(0).iter().zip(&done).all(|(now, before)| now > before);
            let is_used = !s3.objects("main").is_empty();
            (grown && is_used && acknowledged.load(Ordering::SeqCst) > written + 50).then_some(())
        });
        s3.kill();
        let (failed, written) = (of(1), acknowledged.load(Ordering::SeqCst));
        wait_for("failures and writes beside them", || {
            let grown = |at: usize| of(1)[at] > failed[at];
            let writes = acknowledged.load(Ordering::SeqCst) > written + 50;
            (grown(0) && grown(2) && writes).then_some(())
        });
        s3.start_again();
        eprintln!("round {round}: {:?} done, {:?} failed", of(0), of(1));
    }
    stop.store(true, Ordering::SeqCst);
    for other in others {
        other.join().unwrap();
    }
    let ids: BTreeSet<i64> = writers
        .into_iter()
        .flat_map(|writer| writer.join().unwrap())
        .collect();
    let check = |peer: &Peer| {
        let held = peer.run("SELECT id, body FROM t ORDER BY id;");
        let held: Vec<&str> = held.lines().collect();
        let expected: Vec<String> = ids.iter().map(|id| format!("{id}|row {id}")).collect();
        assert!(
            held == expected,
            "{} rows and not {}",
            held.len(),
            expected.len()
        );
    };
    let peer = server.peer();
    check(&peer);
    peer.run("CALL tidelog.flush('t'); CALL tidelog.compact('t');");
    check(&peer);
    server.kill();
    server.start_again();
    check(&server.peer());
    server
        .peer()
        .run("UPDATE t SET body = body WHERE id = 0; CALL tidelog.flush('t');");
    check(&server.peer());
}

#[test]
fn a_storage_is_emptied_by_compacting_what_lies_in_it() {
    let archive = tempfile::tempdir().unwrap();
    let storage = format!("archive={}", archive.path().display());
    let mut server = Server::start_with(&["--storage", &storage]);
    let peer = server.peer();
    // One file without a dead row: nothing else is to be done with it.
    peer.run(
        "CREATE TABLE q (id int8 PRIMARY KEY, body text) WITH (storage = 'archive');
         CREATE TABLE u (id int8 PRIMARY KEY, body text) WITH (type = 'user', storage = 'archive');
         INSERT INTO q SELECT g, md5(g::text) FROM generate_series(1, 2000) g;
         INSERT INTO u (_user, id, body) SELECT 'user' || g % 3, g, 'x' FROM generate_series(1, 3000) g;
         CALL tidelog.flush('q'); CALL tidelog.flush('u');",
    );
    let places = "SELECT string_agg(DISTINCT storage, ' '), count(*) FROM tidelog.files";
    assert_eq!(peer.value(places), "archive|4");
    peer.run("CALL tidelog.compact('q'); CALL tidelog.compact('u');");
    assert_eq!(peer.value(places), "archive|4");
    let sums = "SELECT count(*), max(body), (SELECT sum(id) FROM u) FROM q";
    let before = peer.value(sums);
    peer.run(
        "ALTER TABLE q SET (storage = 'default'); ALTER TABLE u RESET (storage);
         CALL tidelog.compact('q'); CALL tidelog.compact('u');",
    );
    assert_eq!(peer.value(places), "default|4");
    assert_eq!(peer.value(sums), before);
    wait_for("the archive to be empty", || {
        let left = std::fs::read_dir(archive.path()).unwrap();
        (left.count() == 1).then_some(())
    });
    server.terminate();
    // Nobody needs it any more.
    Server::assert_sound(&server.data());
    let server = Server::start_on(&server.data());
    assert_eq!(server.peer().value(sums), before);
}
