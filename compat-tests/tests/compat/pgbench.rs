//! pgbench, PostgreSQL's load generator: its tables, its built-in scripts over each protocol, and that no change is lost.

use std::process::Command;

use tidelog_compat_tests::process::output;
use tidelog_compat_tests::{Peer, Postgres, Server};

const PGBENCH: &str = "/usr/lib/postgresql/15/bin/pgbench";
const CLIENTS: usize = 4;
const EACH: usize = 25;

fn pgbench(peer: &Peer, arguments: &[&str]) -> String {
    let mut command = Command::new(PGBENCH);
    peer.environment(&mut command);
    output(command.args(arguments))
}

/// Runs a built-in script with several clients at once, who all change the one branch; each transaction succeeds.
fn run(peer: &Peer, script: &str, protocol: &str) {
    let (clients, each) = (CLIENTS.to_string(), EACH.to_string());
    let arguments = [
        "-n", "-c", &clients, "-j", "2", "-t", &each, "-b", script, "-M", protocol,
    ];
    let said = pgbench(peer, &arguments);
    for line in [
        format!(
            "number of transactions actually processed: {0}/{0}",
            CLIENTS * EACH
        ),
        "number of failed transactions: 0 (0.000%)".to_string(),
        format!("query mode: {protocol}"),
    ] {
        assert!(
            said.lines().any(|found| found == line),
            "no {line:?} in\n{said}"
        );
    }
}

/// The sums of all changes so far, in the history and in the branches; nothing is lost, nothing done twice.
fn balances(peer: &Peer, transactions: usize) -> (String, String) {
    let sum = |table: &str, column: &str| {
        peer.value(&format!("SELECT sum({column}) FROM pgbench_{table}"))
    };
    let history = peer.value("SELECT count(*) FROM pgbench_history");
    assert_eq!(history, transactions.to_string());
    let (deltas, branches) = (sum("history", "delta"), sum("branches", "bbalance"));
    assert_eq!(sum("accounts", "abalance"), deltas);
    assert_eq!(sum("tellers", "tbalance"), branches);
    (deltas, branches)
}

fn load_and_count(peer: &Peer) {
    let protocols = ["simple", "extended", "prepared"];
    let mut done = 0;
    pgbench(peer, &["-i", "-q", "-s", "1"]);
    for protocol in protocols {
        run(peer, "tpcb-like", protocol);
        done += CLIENTS * EACH;
        let (deltas, branches) = balances(peer, done);
        assert_eq!(deltas, branches);
    }
    let (_, before) = balances(peer, done);
    for protocol in protocols {
        run(peer, "select-only", protocol);
        // This one leaves tellers and branches as they are.
        run(peer, "simple-update", protocol);
        done += CLIENTS * EACH;
        let (_, branches) = balances(peer, done);
        assert_eq!(branches, before);
    }
    // In place of the tables that are there: rows made by the server, foreign keys.
    pgbench(peer, &["-i", "-q", "-s", "1", "-I", "dtGvpf"]);
    let accounts = peer.value("SELECT count(*), sum(abalance) FROM pgbench_accounts");
    assert_eq!(accounts, "100000|0");
    let keys = peer.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f'");
    assert_eq!(keys, "5");
    run(peer, "tpcb-like", "prepared");
    let (deltas, branches) = balances(peer, CLIENTS * EACH);
    assert_eq!(deltas, branches);
}

#[test]
fn pgbench_loads_and_loses_nothing() {
    load_and_count(&Server::start().peer());
    load_and_count(&Postgres::start().peer());
}
