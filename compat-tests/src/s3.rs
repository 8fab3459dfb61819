//! An S3-compatible server on loopback: s3rver, which `scripts/install clients` fetches. Its objects are files, so they
//! outlive a kill.

use std::path::Path;

use crate::node_server::NodeServer;

const BUCKET: &str = "tide";
/// What the server calls its own user, and that user's secret.
const USER: &str = "S3RVER";

/// A running (or killed) S3 server; dropping it kills the process and removes its objects.
pub struct S3(NodeServer);

impl S3 {
    /// Starts one; `None`, after saying so, where it is not installed.
    pub fn start() -> Option<S3> {
        let arguments = |port: &str, folder: &str| {
            let address = ["--silent", "--address", "127.0.0.1", "--port", port];
            let objects = ["--configure-bucket", BUCKET, "--directory", folder];
            address
                .into_iter()
                .chain(objects)
                .map(str::to_string)
                .collect()
        };
        NodeServer::start("s3rver", "bin/s3rver.js", arguments).map(S3)
    }

    /// Starts one that Google's client takes for its own: the XML API of Google's service is that of S3, but for signatures.
    /// https://cloud.google.com/storage/docs/interoperability
    pub fn start_as_google() -> Option<S3> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/google.cjs");
        let arguments =
            |port: &str, folder: &str| [port, folder, BUCKET].map(str::to_string).to_vec();
        NodeServer::start("s3rver", script, arguments).map(S3)
    }

    /// The URL of a prefix for Google's client.
    pub fn google_url(&self, prefix: &str) -> String {
        format!("gs://{BUCKET}/{prefix}")
    }

    /// What Google's client needs to reach it.
    pub fn google_environment(&self) -> Vec<(String, String)> {
        let key = format!(
            r#"{{"gcs_base_url": "http://127.0.0.1:{}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}"#,
            self.0.port()
        );
        vec![("GOOGLE_SERVICE_ACCOUNT_KEY".to_string(), key)]
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it again, on the same port and objects.
    pub fn start_again(&mut self) {
        self.0.start_again();
    }

    /// The URL of a prefix.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a program needs to reach it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.0.port());
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
        let root = self.0.folder().join(BUCKET);
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
}
