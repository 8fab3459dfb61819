//! Real drivers of other languages; `scripts/install clients` fetches them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidelog_compat_tests::process::output;
use tidelog_compat_tests::sample::skip;
use tidelog_compat_tests::{Peer, Postgres, Server};

/// A file of the folder with the drivers, which scripts/env.sh names; says when it is not there.
pub(crate) fn installed(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TIDELOG_CLIENTS").map(PathBuf::from);
    let found = folder
        .map(|folder| folder.join(file))
        .filter(|path| path.exists());
    if found.is_none() {
        skip(&format!(
            "TIDELOG_CLIENTS has no {file}; run scripts/install clients"
        ));
    }
    found
}

/// A file that drives them.
pub(crate) fn client(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(script)
}

/// Whether a Python package is installed; says when it is not.
pub(crate) fn has_package(python: &Path, package: &str) -> bool {
    let import = format!("import {package}");
    let imported = Command::new(python).args(["-c", &import]).output();
    let found = imported.is_ok_and(|output| output.status.success());
    if !found {
        skip(&format!(
            "{package} is not installed; run scripts/install clients"
        ));
    }
    found
}

fn run(server: &Server, program: &Path, script: &str, prepare: impl FnOnce(&mut Command)) {
    run_against(server.peer(), program, script, prepare);
}

fn run_against(peer: Peer, program: &Path, script: &str, prepare: impl FnOnce(&mut Command)) {
    peer.run("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'pass word';");
    let mut command = Command::new(program);
    command.arg(client(script));
    peer.role("app", "pass word").environment(&mut command);
    prepare(&mut command);
    assert_eq!(output(&mut command).trim(), "ok");
}

#[test]
fn psycopg_reads_writes_copies_and_listens() {
    let Some(python) = installed("venv/bin/python") else {
        return;
    };
    run(&Server::start(), &python, "psycopg3.py", |_| {});
}

/// Runs a script of a Python package on Tidelog, and on PostgreSQL, which says the same.
fn run_on_both(package: &str, script: &str) {
    let Some(python) = installed("venv/bin/python") else {
        return;
    };
    if !has_package(&python, package) {
        return;
    }
    run(&Server::start(), &python, script, |_| {});
    run_against(Postgres::start().peer(), &python, script, |_| {});
}

#[test]
fn asyncpg_introspects_copies_and_moves() {
    run_on_both("asyncpg", "asyncpg_driver.py");
}

#[test]
fn django_migrates_tests_and_queries_an_app() {
    run_on_both("django", "django/driver.py");
}

#[test]
fn alembic_reflects_and_migrates_there_and_back() {
    run_on_both("alembic", "alembic_driver.py");
}

#[test]
fn node_postgres_reads_writes_and_listens() {
    let Some(modules) = installed("node_modules") else {
        return;
    };
    run(
        &Server::start(),
        Path::new("node"),
        "node_postgres.cjs",
        |command| {
            command.env("NODE_PATH", modules);
        },
    );
}
