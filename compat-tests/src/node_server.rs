//! Servers on loopback that node runs, from packages that `scripts/install clients` fetches.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::{signal, wait_for};
use crate::sample::skip;

/// A running (or killed) server with a folder of its own; dropping it kills the process and removes the folder.
pub(crate) struct NodeServer {
    child: Child,
    folder: TempDir,
    script: PathBuf,
    port: u16,
    arguments: fn(port: &str, folder: &str) -> Vec<String>,
}

impl NodeServer {
    /// Starts `script` of a package, or one of ours (an absolute path) that uses it; `None`, after saying so, where the package
    /// is not installed.
    pub(crate) fn start(
        package: &str,
        script: &str,
        arguments: fn(port: &str, folder: &str) -> Vec<String>,
    ) -> Option<NodeServer> {
        let clients = std::env::var_os("TIDELOG_CLIENTS").map(PathBuf::from);
        let installed = clients.map(|folder| folder.join("node_modules").join(package));
        let script = installed
            .filter(|folder| folder.is_dir())
            .map(|folder| folder.join(script));
        let Some(script) = script else {
            skip(&format!(
                "TIDELOG_CLIENTS has no node_modules/{package}; run scripts/install clients"
            ));
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("a bound port").port();
        drop(free);
        let child = launch(&script, &arguments(&port.to_string(), &shown(&folder)));
        let mut server = NodeServer {
            child,
            folder,
            script,
            port,
            arguments,
        };
        server.wait_until_ready();
        Some(server)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("a killed process ends");
    }

    /// Stops it in good order.
    pub(crate) fn terminate(&mut self) {
        signal(self.child.id(), "TERM");
        self.child.wait().expect("a server that was told to ends");
    }

    /// Starts it again, on the same port and folder.
    pub(crate) fn start_again(&mut self) {
        let arguments = (self.arguments)(&self.port.to_string(), &shown(&self.folder));
        self.child = launch(&self.script, &arguments);
        self.wait_until_ready();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn wait_until_ready(&mut self) {
        let (child, port, script) = (&mut self.child, self.port, &self.script);
        wait_for("a server of node to listen", || {
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                panic!("{} ended ({status})", script.display());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
}

impl Drop for NodeServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(folder: &TempDir) -> String {
    folder.path().to_string_lossy().into_owned()
}

fn launch(script: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new("node");
    command.arg(script).args(arguments);
    if let Some(clients) = std::env::var_os("TIDELOG_CLIENTS") {
        command.env("NODE_PATH", Path::new(&clients).join("node_modules"));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("node can be run")
}
