//! An S3-compatible server on loopback: s3rver, which `scripts/install clients` fetches. Its objects are files, so they
//! outlive a kill.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::wait_for;
use crate::sample::skip;

const BUCKET: &str = "tide";
/// What the server calls its own user, and that user's secret.
const USER: &str = "S3RVER";

/// A running (or killed) S3 server; dropping it kills the process and removes its objects.
pub struct S3 {
    child: Child,
    folder: TempDir,
    script: PathBuf,
    port: u16,
}

impl S3 {
    /// Starts one; `None`, after saying so, where it is not installed.
    pub fn start() -> Option<S3> {
        let clients = std::env::var_os("TIDELOG_CLIENTS").map(PathBuf::from);
        let script = clients
            .map(|folder| folder.join("node_modules/s3rver/bin/s3rver.js"))
            .filter(|path| path.is_file());
        let Some(script) = script else {
            skip("TIDELOG_CLIENTS has no node_modules/s3rver; run scripts/install clients");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("a bound port").port();
        drop(free);
        let child = launch(&script, folder.path(), port);
        let mut s3 = S3 {
            child,
            folder,
            script,
            port,
        };
        s3.wait_until_ready();
        Some(s3)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("the S3 server runs");
        self.child.wait().expect("a killed process ends");
    }

    /// Starts it again, on the same port and objects.
    pub fn start_again(&mut self) {
        self.child = launch(&self.script, self.folder.path(), self.port);
        self.wait_until_ready();
    }

    /// The URL of a prefix.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a program needs to reach it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", USER),
            ("AWS_SECRET_ACCESS_KEY", USER),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .to_vec()
    }

    /// The keys of the Parquet objects under a prefix, in their order.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        let root = self.folder.path().join(BUCKET);
        let mut folders = vec![root.join(prefix)];
        let mut keys = Vec::new();
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(key) = path
                    .to_str()
                    .and_then(|path| path.strip_suffix("._S3rver_object"))
                    && key.ends_with(".parquet")
                {
                    let key = Path::new(key)
                        .strip_prefix(&root)
                        .expect("a path below the root");
                    keys.push(key.to_string_lossy().into_owned());
                }
            }
        }
        keys.sort();
        keys
    }

    fn wait_until_ready(&mut self) {
        let (child, port) = (&mut self.child, self.port);
        wait_for("the S3 server to listen", || {
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                panic!("the S3 server ended ({status})");
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(script: &Path, folder: &Path, port: u16) -> Child {
    let mut command = Command::new("node");
    command
        .arg(script)
        .args([
            "--silent",
            "--address",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ])
        .args(["--configure-bucket", BUCKET, "--directory"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("node can be run")
}
