//! Real drivers of other languages; `scripts/install clients` fetches them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidelog_compat_tests::process::output;
use tidelog_compat_tests::sample::skip;
use tidelog_compat_tests::{Peer, Postgres, Server};

/// The folder with the drivers, as scripts/env.sh sets it.
fn installed(file: &str) -> Option<PathBuf> {
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

fn run(server: &Server, program: &Path, script: &str, prepare: impl FnOnce(&mut Command)) {
    run_against(server.peer(), program, script, prepare);
}

fn run_against(peer: Peer, program: &Path, script: &str, prepare: impl FnOnce(&mut Command)) {
    peer.run("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'pass word';");
    let mut command = Command::new(program);
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("clients")
            .join(script),
    );
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
    let has_it = Command::new(&python)
        .args(["-c", &format!("import {package}")])
        .output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skip(&format!(
            "{package} is not installed; run scripts/install clients"
        ));
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
