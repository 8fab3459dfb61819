//! Azure's blob service on loopback: Azurite, which `scripts/install clients` fetches. Its blobs are files, so they
//! outlive a stop.

use std::process::Command;

use crate::node_server::NodeServer;
use crate::process::output;

const CONTAINER: &str = "tide";
/// The account that every Azurite has, and its key, which is public.
/// https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container: `node -e … port container account key`. Signed as
/// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key says.
const MAKE_CONTAINER: &str = "
const [port, container, account, key] = process.argv.slice(1);
const date = new Date().toUTCString(), version = '2021-12-02';
const signed = 'PUT' + '\\n'.repeat(12) + `x-ms-date:${date}\\nx-ms-version:${version}\\n`
    + `/${account}/${account}/${container}\\nrestype:container`;
const hmac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64'));
const headers = { 'x-ms-date': date, 'x-ms-version': version,
    Authorization: `SharedKey ${account}:${hmac.update(signed).digest('base64')}` };
fetch(`http://127.0.0.1:${port}/${account}/${container}?restype=container`, { method: 'PUT', headers })
    .then(async (made) => { if (!made.ok) throw new Error(await made.text()); });
";

/// A running (or stopped) blob service; dropping it kills the process and removes its blobs.
pub struct Azure(NodeServer);

impl Azure {
    /// Starts one; `None`, after saying so, where it is not installed.
    pub fn start() -> Option<Azure> {
        let arguments = |port: &str, folder: &str| {
            let quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"];
            let place = ["--blobPort", port, "--location", folder];
            quiet.into_iter().chain(place).map(str::to_string).collect()
        };
        let server = NodeServer::start("azurite", "dist/src/blob/main.js", arguments)?;
        let port = server.port().to_string();
        let arguments = ["-e", MAKE_CONTAINER, &port, CONTAINER, ACCOUNT, KEY];
        output(Command::new("node").args(arguments));
        Some(Azure(server))
    }

    /// Stops it. Killed, it would forget what it has acknowledged in the last seconds.
    pub fn stop(&mut self) {
        self.0.terminate();
    }

    /// Starts it again, on the same port and blobs.
    pub fn start_again(&mut self) {
        self.0.start_again();
    }

    /// The URL of a prefix.
    pub fn url(&self, prefix: &str) -> String {
        format!("az://{CONTAINER}/{prefix}")
    }

    /// What a program needs to reach it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.0.port());
        [
            ("AZURITE_BLOB_STORAGE_URL", endpoint.as_str()),
            ("AZURE_STORAGE_USE_EMULATOR", "true"),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .to_vec()
    }
}
