//! Suites of drivers that say how each of their tests ended, on Tidelog and on PostgreSQL 15, which is the mark.
//! What differs stands in clients/expected_failures.txt with its reason: more fails the test, and so does less.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tidelog_compat_tests::sample::skip;
use tidelog_compat_tests::{Peer, Postgres, Server};

use crate::clients::{client, has_package, installed};

/// How the tests of a suite ended, by their names: `ok`, `skipped` or `failed`, and what they gave or why.
type Endings = BTreeMap<String, (String, String)>;

/// Reads lines as `ok NAME`, `ok NAME: value` and `failed NAME: why`.
fn endings(printed: &str) -> Endings {
    let ended = printed.lines().filter_map(|line| {
        let (how, rest) = line.split_once(' ')?;
        let (name, said) = rest.split_once(": ").unwrap_or((rest, ""));
        ["ok", "skipped", "failed"]
            .contains(&how)
            .then(|| (name.to_string(), (how.to_string(), said.to_string())))
    });
    ended.collect()
}

/// Whether a test ended as it should: it did not fail on PostgreSQL, and ended the same way with the same value.
fn agree(ours: Option<&(String, String)>, theirs: Option<&(String, String)>) -> bool {
    match (ours, theirs) {
        (Some((ours, value)), Some((theirs, their_value))) => {
            ours == theirs && theirs != "failed" && (theirs == "skipped" || value == their_value)
        }
        _ => false,
    }
}

/// What of a suite is expected to differ, from `SUITE NAME: reason`.
fn expected(list: &str, suite: &str) -> BTreeMap<String, String> {
    let lines = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries = lines.map(|line| {
        let entry = line.split_once(' ').and_then(|(suite, rest)| {
            let (name, reason) = rest.split_once(": ")?;
            Some((suite, name, reason))
        });
        entry.unwrap_or_else(|| {
            panic!("expected_failures.txt has no `SUITE NAME: reason` in {line}")
        })
    });
    entries
        .filter(|(of, ..)| *of == suite)
        .map(|(_, name, reason)| (name.to_string(), reason.to_string()))
        .collect()
}

/// What is wrong with how a suite ended: what differs and is not expected to, and what is expected to and does not.
/// What is expected of a test that did not run is not looked at, unless all have run.
fn complaints(
    ours: &Endings,
    theirs: &Endings,
    expected: &BTreeMap<String, String>,
    all: bool,
) -> Vec<String> {
    let names = ours
        .keys()
        .chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
    let mut complaints: Vec<String> = names
        .filter(|name| !expected.contains_key(*name))
        .filter(|name| !agree(ours.get(*name), theirs.get(*name)))
        .map(|name| {
            let (ours, theirs) = (ours.get(name), theirs.get(name));
            format!("{name}\n    on Tidelog: {ours:?}\n    on PostgreSQL: {theirs:?}")
        })
        .collect();
    for (name, reason) in expected {
        if agree(ours.get(name), theirs.get(name)) {
            complaints.push(format!(
                "{name} passes: take it off the list, where it fails since {reason}"
            ));
        } else if all && !theirs.contains_key(name) {
            complaints.push(format!("{name} is in the list and not in the suite"));
        }
    }
    complaints
}

/// Runs a suite, or all of it but what is slow, on both servers at once, and fails when it does not end as it should.
fn compare(suite: &str, all: bool, command: impl Fn(&Peer) -> Command + Sync) {
    let (tidelog, postgres) = (Server::start(), Postgres::start());
    let run = |peer: Peer| {
        let mut command = command(&peer);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let done = command.output().expect("the suite can be run");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (endings(&String::from_utf8_lossy(&done.stdout)), said)
    };
    let ((ours, said), (theirs, _)) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(postgres.peer()));
        (
            run(tidelog.peer()),
            theirs.join().expect("it does not panic"),
        )
    });
    let list = std::fs::read_to_string(client("expected_failures.txt")).expect("the list is there");
    let complaints = complaints(&ours, &theirs, &expected(&list, suite), all);
    assert!(
        complaints.is_empty() && !theirs.is_empty(),
        "{} of {} tests of {suite}:\n{}\n{said}",
        complaints.len(),
        theirs.len(),
        complaints.join("\n")
    );
}

/// A driver's own role: one with a password, which has a space in it.
fn app(peer: &Peer, command: &mut Command) {
    peer.run("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'pass word';");
    peer.role("app", "pass word").environment(command);
}

/// A suite that is a Python script and needs these packages.
fn compare_script(suite: &str, packages: &[&str], script: &str) {
    let Some(python) = installed("venv/bin/python") else {
        return;
    };
    if !packages.iter().all(|package| has_package(&python, package)) {
        return;
    }
    compare(suite, true, |peer| {
        let mut command = Command::new(&python);
        command.arg(client(script));
        app(peer, &mut command);
        command
    });
}

/// psycopg2's own suite, without what it calls slow unless `all` is to be run.
fn psycopg2(all: bool) {
    let (Some(python), Some(suite)) = (installed("venv/bin/python"), installed("psycopg2-2.9.13"))
    else {
        return;
    };
    if !has_package(&python, "psycopg2") {
        return;
    }
    compare("psycopg2", all, |peer| {
        peer.run("CREATE EXTENSION IF NOT EXISTS hstore;");
        let mut command = Command::new(&python);
        command.arg(client("psycopg2_suite.py")).arg(&suite);
        // Its tests are not written for passwords with spaces.
        peer.environment(&mut command);
        if !all {
            command.env("PSYCOPG2_TEST_FAST", "1");
        }
        command
    });
}

#[test]
fn psycopg2_passes_its_own_suite() {
    psycopg2(false);
}

#[test]
#[ignore = "two minutes: scripts/test --long"]
fn psycopg2_passes_its_own_slow_tests() {
    psycopg2(true);
}

#[test]
fn jdbc_does_all_that_it_can() {
    let jar = Path::new("/usr/share/java/postgresql.jar");
    if !jar.exists() || !runs("javac", "-version") {
        skip("JDBC needs a JDK and libpostgresql-jdbc-java; run scripts/install clients");
        return;
    }
    compare("jdbc", true, |peer| {
        let mut command = Command::new("java");
        // Times without a zone are told in the JVM's.
        command.args(["-Duser.timezone=UTC", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(jar).arg(client("Jdbc.java"));
        app(peer, &mut command);
        command
    });
}

#[test]
fn odbc_tells_of_types_and_catalogs() {
    if !runs("isql", "--version") || !odbc_driver() {
        skip("psqlODBC needs unixodbc and odbc-postgresql; run scripts/install clients");
        return;
    }
    compare_script("odbc", &["pyodbc"], "odbc_driver.py");
}

#[test]
fn adbc_moves_arrow_tables_there_and_back() {
    compare_script(
        "adbc",
        &["adbc_driver_postgresql", "pyarrow"],
        "adbc_driver.py",
    );
}

/// Whether a program is there.
fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok()
}

/// Whether unixODBC knows the driver by the name that Debian gives it.
fn odbc_driver() -> bool {
    let known = Command::new("odbcinst").args(["-q", "-d"]).output();
    known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("[PostgreSQL Unicode]"))
}

#[test]
fn a_list_of_expected_failures_is_neither_too_short_nor_too_long() {
    let theirs = endings("ok a: 1\nok b\nskipped c: no such thing\nfailed d: everywhere\nnoise\n");
    let list = "# about\n\ns b: not there\ns d: everywhere\nother a: else\n";
    let all = true;
    let about = |ours: &str, list: &str| {
        let complaints = complaints(&endings(ours), &theirs, &expected(list, "s"), all);
        let first = |line: &String| line.split(['\n', ' ']).next().unwrap().to_string();
        complaints.iter().map(first).collect::<Vec<_>>()
    };
    let fine = "ok a: 1\nfailed b: 0A000\nskipped c: nor here\nfailed d: everywhere\n";
    assert!(about(fine, list).is_empty());
    // Another value, a test that is skipped, one that did not run, one that PostgreSQL does not have.
    assert_eq!(about(&fine.replace("a: 1", "a: 2"), list), ["a"]);
    assert_eq!(about(&fine.replace("ok a", "skipped a"), list), ["a"]);
    assert_eq!(about(&fine.replace("ok a: 1\n", ""), list), ["a"]);
    assert_eq!(about(&format!("{fine}ok e\n"), list), ["e"]);
    // Not in the list, then passing though it is in the list, then not in the suite.
    assert_eq!(about(fine, "s d: everywhere"), ["b"]);
    assert_eq!(about(&fine.replace("failed b: 0A000", "ok b"), list), ["b"]);
    assert_eq!(about(fine, &format!("{list}s z: gone")), ["z"]);
}
