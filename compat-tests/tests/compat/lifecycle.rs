//! Starting, stopping, and what the server says when it cannot start.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tidelog_compat_tests::process::wait_for;
use tidelog_compat_tests::{Peer, Postgres, Server};
use tokio_postgres::{Client, NoTls};

/// Runs a server that must not start: exit code not 0, and beside the log one line that says why.
#[track_caller]
fn refuses(command: &mut Command, reasons: &[&str]) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!(
                "it goes on running: {:?}",
                child.wait_with_output().unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let done = child.wait_with_output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(!done.status.success(), "it should not start:\n{text}");
    assert!(
        done.status.code().is_some(),
        "it exits by itself: {}",
        done.status
    );
    let complaints: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("INFO") && !line.contains("WARN") && !line.trim().is_empty())
        .collect();
    assert_eq!(complaints.len(), 1, "one line:\n{text}");
    for reason in reasons {
        assert!(
            complaints[0].contains(reason),
            "{:?} should name {reason:?}",
            complaints[0]
        );
    }
}

#[test]
fn it_is_healthy_when_ready_and_ends_with_zero_on_sigterm() {
    let mut server = Server::start();
    assert_eq!(server.http_status("/health"), Some(200));
    assert_eq!(server.http_status("/nothing-here"), Some(404));
    assert_eq!(server.peer().value("SELECT 1"), "1");
    assert_eq!(server.terminate().code(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_idle_and_subscribed_sessions_too() {
    let mut server = Server::start();
    server.peer().run("CREATE TABLE t (id int8 PRIMARY KEY);");
    let idle = server.peer().connect().await;
    let mut feed = tidelog_compat_tests::Feed::open(&server.peer(), "SUBSCRIBE TO t");
    feed.until_ready().await;
    assert_eq!(server.terminate().code(), Some(0), "{}", server.log());
    assert!(feed.try_next().await.is_none());
    assert!(idle.simple_query("SELECT 1").await.is_err());
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    refuses(
        &mut Server::command(&server.data()),
        &[server.data().to_str().unwrap()],
    );
    assert_eq!(server.peer().value("SELECT 1"), "1");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--pg", "--http"] {
        let folder = tempfile::tempdir().unwrap();
        let other = if option == "--pg" { "--http" } else { "--pg" };
        let mut command = Command::new(Server::binary());
        command
            .args([
                "serve",
                option,
                &address,
                other,
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(folder.path());
        refuses(&mut command, &[&address]);
    }
}

#[test]
fn a_data_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    refuses(&mut Server::command(&file), &[file.to_str().unwrap()]);
}

#[test]
fn a_setting_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidelog.toml");
    std::fs::write(&config, "no_such_setting = 1\n").unwrap();
    refuses(
        Server::command(&folder.path().join("data"))
            .arg("--config")
            .arg(&config),
        &["no_such_setting"],
    );
    std::fs::write(&config, "not toml at all").unwrap();
    refuses(
        Server::command(&folder.path().join("data"))
            .arg("--config")
            .arg(&config),
        &["tidelog.toml"],
    );
    let absent = folder.path().join("absent.toml");
    refuses(
        Server::command(&folder.path().join("data"))
            .arg("--config")
            .arg(&absent),
        &["absent.toml"],
    );
}

/// Starts without arguments other than `arguments`, and gives the PostgreSQL address it chose.
fn starts(folder: &Path, prepare: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new(Server::binary());
    command.arg("serve").current_dir(folder);
    prepare(&mut command);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = wait_for("addresses.json", || {
        assert!(child.try_wait().unwrap().is_none(), "the server ended");
        let text = std::fs::read_to_string(folder.join("data/addresses.json")).ok()?;
        let addresses: serde_json::Value = serde_json::from_str(&text).ok()?;
        addresses["pg"].as_str().map(str::to_string)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    address
}

#[test]
fn settings_come_from_the_environment_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let address = starts(folder.path(), |command| {
        command.env("TIDELOG_DATA_DIR", folder.path().join("data"));
        command
            .env("TIDELOG_PG", "127.0.0.1:0")
            .env("TIDELOG_HTTP", "127.0.0.1:0");
    });
    assert!(
        address.starts_with("127.0.0.1:") && !address.ends_with(":0"),
        "{address}"
    );

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidelog.toml");
    let text = "pg = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\ndata_dir = \"data\"\n";
    std::fs::write(&config, text).unwrap();
    let address = starts(folder.path(), |command| {
        command.arg("--config").arg(&config);
    });
    assert!(
        address.starts_with("127.0.0.1:") && !address.ends_with(":0"),
        "{address}"
    );
}

#[test]
fn another_address_than_loopback_needs_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(Server::binary());
    command
        .args([
            "serve",
            "--pg",
            "0.0.0.0:0",
            "--http",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(folder.path());
    refuses(&mut command, &["password"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_asked_of_those_who_have_one() {
    let mut server = Server::start();
    assert!(
        server.log().contains("password"),
        "the log says that the superuser has none:\n{}",
        server.log()
    );
    let superuser = server.peer();
    superuser.run(
        "CREATE ROLE ada LOGIN PASSWORD 'lovelace'; CREATE ROLE guest LOGIN; CREATE ROLE off PASSWORD 'x';
         ALTER ROLE ada PASSWORD 'Ada ÄÖÜ''s';",
    );
    for round in 0..2 {
        let superuser = server.peer();
        assert_eq!(
            superuser
                .role("ada", "Ada ÄÖÜ's")
                .value("SELECT current_user"),
            "ada",
            "round {round}"
        );
        assert_eq!(
            superuser.role("guest", "").value("SELECT current_user"),
            "guest"
        );
        // Whoever watches for guesses has to know where they come from.
        let refused = "peer=127.0.0.1:";
        for (user, password, code) in [
            ("ada", "lovelace", "28P01"),
            ("off", "x", "28000"),
            ("nobody", "x", "28000"),
            ("nobody", "", "28000"),
        ] {
            let error = superuser.role(user, password).try_connect().await.err();
            let error = error.unwrap_or_else(|| panic!("{user} with {password} got in"));
            // A driver without a password gives up itself when it is asked for one.
            if let Some(error) = error.as_db_error() {
                assert!(
                    error.code().code() == code || error.code().code() == "28P01",
                    "{user}: {error:?}"
                );
            }
        }
        let log = server.log();
        for said in [
            "password authentication failed for user \"ada\"",
            "role \"nobody\" does not exist",
        ] {
            let line = log.lines().find(|line| line.contains(said));
            assert!(line.is_some_and(|line| line.contains(refused)), "{log}");
        }
        server.restart();
    }
    server.peer().run("DROP ROLE ada;");
    assert!(
        server
            .peer()
            .role("ada", "Ada ÄÖÜ's")
            .try_connect()
            .await
            .is_err()
    );
    assert!(
        server
            .peer()
            .role("guest", "")
            .try_run("CREATE ROLE eve SUPERUSER LOGIN;")
            .is_err()
    );

    let config: tokio_postgres::Config = format!(
        "host=127.0.0.1 port={} user=postgres dbname=any_name",
        server.pg_port()
    )
    .parse()
    .unwrap();
    let connected = tokio::time::timeout(Duration::from_secs(20), config.connect(NoTls))
        .await
        .unwrap();
    let error = connected.err().expect("there is no such database");
    assert_eq!(error.code().unwrap().code(), "3D000");
}

#[test]
fn cold_files_that_are_gone_are_told_of_at_the_start() {
    let mut server = Server::start();
    let numbers = "SELECT g FROM generate_series";
    server.peer().run(&format!(
        "CREATE TABLE t (id int8 PRIMARY KEY); CREATE TABLE u (id int8 PRIMARY KEY);
         INSERT INTO t {numbers} (1, 9) g; INSERT INTO u {numbers} (1, 9) g;
         CALL tidelog.flush('t'); CALL tidelog.flush('u');"
    ));
    let told = "files of this database are gone";
    server.restart();
    std::thread::sleep(Duration::from_millis(500));
    assert!(!server.log().contains(told), "{}", server.log());
    let folder = server.data().join("cold/public");
    let folders = std::fs::read_dir(folder).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let lost = folders.into_iter().find(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("t-")
    });
    std::fs::remove_dir_all(lost.unwrap()).unwrap();
    server.restart();
    wait_for("the log tells", || {
        server.log().contains(told).then_some(())
    });
    assert_eq!(server.peer().value("SELECT count(*) FROM u"), "9");
    let error = server.peer().try_run("SELECT sum(id) FROM t;").unwrap_err();
    assert!(
        error.contains("not found") || error.contains("No such file"),
        "{error}"
    );
}

/// A connection, also when the place of one that has just gone is not free yet.
async fn place(peer: &Peer) -> Client {
    for _ in 0..500 {
        match peer.try_connect().await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    peer.connect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_places_are_for_superusers() {
    let tide = Server::start_with(&["--max-connections", "6"]);
    let pg = Postgres::start_with(&["max_connections=6"]);
    for superuser in [tide.peer(), pg.peer()] {
        superuser.run("CREATE ROLE bob LOGIN;");
        let bob = superuser.role("bob", "");
        let refused = async |peer: &Peer| {
            let error = peer.try_connect().await.expect_err("there is no place");
            let error = error.as_db_error().expect("the server says so").clone();
            let (severity, code) = (error.severity().to_string(), error.code().code());
            (severity, code.to_string(), error.message().to_string())
        };
        let full = |message: &str| ("FATAL".into(), "53300".into(), message.to_string());
        let reserved = full(
            "remaining connection slots are reserved for non-replication superuser connections",
        );
        let none = full("sorry, too many clients already");

        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(place(&bob).await);
        }
        assert_eq!(refused(&bob).await, reserved);
        for _ in 0..3 {
            clients.push(place(&superuser).await);
        }
        for peer in [&superuser, &bob] {
            assert_eq!(refused(peer).await, none);
        }
        // The places count, not who took them.
        clients.remove(0);
        let _third = place(&superuser).await;
        assert_eq!(refused(&superuser).await, none);
    }
    let log = tide.log();
    let line = log.lines().find(|line| line.contains("too many clients"));
    assert!(
        line.is_some_and(|line| line.contains("peer=127.0.0.1:")),
        "{log}"
    );
    // Of very few places one is for anybody.
    let tide = Server::start_with(&["--max-connections", "2"]);
    tide.peer().run("CREATE ROLE bob LOGIN;");
    let bob = tide.peer().role("bob", "");
    let _first = place(&bob).await;
    let _second = place(&tide.peer()).await;
}
