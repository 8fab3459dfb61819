//! A Tidelog under test: the built binary on a data folder of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::Web;
use crate::peer::Peer;
use crate::process::{PATIENCE, signal, wait_for, wait_within};

/// A running (or killed) server; dropping it kills the process and removes its data.
pub struct Server {
    child: Child,
    folder: TempDir,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    pg: u16,
    http: u16,
}

impl Server {
    /// Starts a server on an empty folder and free ports, and waits until it is ready.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts a server with more options.
    pub fn start_with(options: &[&str]) -> Server {
        Server::start_in(options, &[])
    }

    /// Starts a server with more options and a larger environment.
    pub fn start_in(options: &[&str], environment: &[(String, String)]) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
        let environment = environment.to_vec();
        let child = launch(folder.path(), &options, &environment);
        let mut server = Server {
            child,
            folder,
            options,
            environment,
            pg: 0,
            http: 0,
        };
        server.wait_until_ready();
        server
    }

    /// Starts a server on a data folder that is there already, and stays when the server is dropped.
    pub fn start_on(data: &Path) -> Server {
        Server::start_on_with(data, &[], &[])
    }

    /// As [`Server::start_on`], with more options and a larger environment.
    pub fn start_on_with(
        data: &Path,
        options: &[&str],
        environment: &[(String, String)],
    ) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink(data, folder.path().join("data")).expect("a link");
        let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
        let environment = environment.to_vec();
        let child = launch(folder.path(), &options, &environment);
        let mut server = Server {
            child,
            folder,
            options,
            environment,
            pg: 0,
            http: 0,
        };
        server.wait_until_ready();
        server
    }

    /// The binary: TIDELOG_BIN, or what cargo built beside this test.
    pub fn binary() -> PathBuf {
        std::env::var_os("TIDELOG_BIN")
            .map(PathBuf::from)
            .unwrap_or_else(|| {
                // target/debug/deps/compat-… or target/debug/tidelog-bench
                let own = std::env::current_exe().expect("a running program has a path");
                let found = own
                    .ancestors()
                    .map(|folder| folder.join("tidelog"))
                    .find(|path| path.is_file());
                found.expect("tidelog is built: cargo build --workspace --bins, or set TIDELOG_BIN")
            })
    }

    /// `tidelog serve` on a folder and free ports, not yet started.
    pub fn command(data: &Path) -> Command {
        let mut command = Server::tool("serve");
        let addresses = ["--pg", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        command.args(addresses).arg("--data-dir").arg(data);
        command
    }

    /// `tidelog` with this command, and without what the test's environment says of servers.
    pub fn tool(name: &str) -> Command {
        let mut command = Command::new(Server::binary());
        command.arg(name).stdin(Stdio::null());
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("TIDELOG_")) {
            command.env_remove(key);
        }
        command
    }

    /// Panics with what `tidelog check` finds in the data of a server that does not run.
    pub fn assert_sound(data: &Path) {
        let mut check = Server::tool("check");
        let done = check.arg("--data-dir").arg(data).output();
        let done = done.expect("tidelog can be run");
        let said = String::from_utf8_lossy(&done.stdout);
        let error = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{}: {said}{error}", data.display());
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processor time that it has taken.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("a running process has one");
        let (_, fields) = stat.rsplit_once(')').expect("its name ends so");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        // Linux tells user space of 100 ticks a second everywhere.
        Duration::from_millis(10 * ticks)
    }

    /// The port of the PostgreSQL protocol.
    pub fn pg_port(&self) -> u16 {
        self.pg
    }

    /// The port of HTTP.
    pub fn http_port(&self) -> u16 {
        self.http
    }

    /// The superuser, over HTTP.
    pub fn web(&self) -> Web {
        Web::superuser(self.http)
    }

    /// The superuser.
    pub fn peer(&self) -> Peer {
        Peer::superuser(self.pg)
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The status of `GET path`.
    pub fn http_status(&self, path: &str) -> Option<u16> {
        http_status(self.http, path)
    }

    /// kill -9: whatever was not on disk is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("a killed process ends");
    }

    /// SIGTERM, and how the server left.
    pub fn terminate(&mut self) -> ExitStatus {
        signal(self.child.id(), "TERM");
        let child = &mut self.child;
        wait_for("the server to end after SIGTERM", || {
            child.try_wait().expect("the child can be waited for")
        })
    }

    /// Starts it again on the same data after [`Server::kill`] or [`Server::terminate`].
    pub fn start_again(&mut self) {
        self.child = launch(self.folder.path(), &self.options, &self.environment);
        self.wait_until_ready();
    }

    /// As [`Server::start_again`], with more options for this one time; `false` when it ends before it is ready, or is not ready
    /// within `patience`.
    pub fn try_start_again(&mut self, options: &[&str], patience: Duration) -> bool {
        let options = self
            .options
            .iter()
            .map(String::as_str)
            .chain(options.iter().copied());
        let options: Vec<String> = options.map(str::to_string).collect();
        self.child = launch(self.folder.path(), &options, &self.environment);
        matches!(self.ready_or_ended(patience), Some(Ok(())))
    }

    /// Whether the process ends by itself within `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if self
                .child
                .try_wait()
                .expect("the child can be waited for")
                .is_some()
            {
                return true;
            }
            if begun.elapsed() >= patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it in good order and starts it again.
    pub fn restart(&mut self) {
        let status = self.terminate();
        assert!(status.success(), "SIGTERM: {status}\n{}", self.log());
        self.start_again();
    }

    fn wait_until_ready(&mut self) {
        match self.ready_or_ended(PATIENCE) {
            Some(Ok(())) => {}
            Some(Err(status)) => panic!("the server ended ({status}):\n{}", self.log()),
            None => panic!("waited {PATIENCE:?} in vain for the server to be ready"),
        }
    }

    /// Waits until it is ready, or gives how it ended before that; nothing when neither comes within `patience`.
    fn ready_or_ended(&mut self, patience: Duration) -> Option<Result<(), ExitStatus>> {
        let file = self.data().join("addresses.json");
        let child = &mut self.child;
        let came = wait_within(patience, || {
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                return Some(Err(status));
            }
            let addresses: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()?;
            let port = |name: &str| {
                addresses[name]
                    .as_str()?
                    .rsplit_once(':')?
                    .1
                    .parse::<u16>()
                    .ok()
            };
            let (pg, http) = (port("pg")?, port("http")?);
            (http_status(http, "/health") == Some(200)).then_some(Ok((pg, http)))
        })?;
        Some(came.map(|ports| (self.pg, self.http) = ports))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the end of the server's log:\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}

fn launch(folder: &Path, options: &[String], environment: &[(String, String)]) -> Child {
    let data = folder.join("data");
    // The ports of an earlier start must not be taken for those of this one.
    let _ = std::fs::remove_file(data.join("addresses.json"));
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("the log can be opened");
    let mut command = Server::command(&data);
    command
        .args(options)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log);
    command.spawn().expect("tidelog can be run")
}

fn http_status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
