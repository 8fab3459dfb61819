//! A PostgreSQL 15 to compare with.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::peer::Peer;
use crate::process::{output, signal, wait_for};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A cluster of its own on a free port of loopback; dropping it stops the server and removes its data.
pub struct Postgres {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// For comparing answers: nothing is synced.
    pub fn start() -> Postgres {
        Postgres::start_with(&[
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ])
    }

    /// With these settings over PostgreSQL's defaults.
    pub fn start_with(settings: &[&str]) -> Postgres {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder for the cluster");
        if is_root() {
            let id = |flag| {
                output(Command::new("id").args([flag, "postgres"]))
                    .trim()
                    .parse()
                    .expect("an id")
            };
            for path in [folder.path(), &data] {
                chown(path, Some(id("-u")), Some(id("-g"))).expect("root may give folders away");
            }
        }
        let mut initdb = as_postgres("initdb");
        initdb
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data);
        output(initdb.current_dir("/"));
        let port = free_port();
        let child = launch(&data, port, settings);
        let postgres = Postgres {
            child,
            folder,
            port,
        };
        let peer = postgres.peer();
        wait_for("PostgreSQL to be ready", || peer.try_run("SELECT 1;").ok());
        postgres
    }

    /// The superuser.
    pub fn peer(&self) -> Peer {
        Peer::superuser(self.port)
    }

    /// The server process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of the cluster.
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown: it ends the sessions too, which a kill of the first process would leave behind.
        signal(self.child.id(), "QUIT");
        let _ = self.child.wait();
    }
}

fn launch(data: &Path, port: u16, settings: &[&str]) -> Child {
    let mut command = as_postgres("postgres");
    command.arg("-D").arg(data).args(["-p", &port.to_string()]);
    let fixed = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "timezone=UTC",
    ];
    for setting in fixed.iter().chain(settings) {
        command.args(["-c", setting]);
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("PostgreSQL can be run")
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let program = format!("{BIN}/{program}");
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        &program,
    ]);
    command
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).trim() == "0"
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
