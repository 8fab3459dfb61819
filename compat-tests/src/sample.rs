//! The real data set, which lies outside the repository.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many events it holds.
pub const EVENTS: usize = 247_631;

/// Unpacks the chat history into `folder`; `None`, after saying so, where there is none.
/// It is looked for in TIDELOG_SHARED, else in `shared` beside the repository.
pub fn chat_history(folder: &Path) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("TIDELOG_SHARED").map_or(beside, PathBuf::from);
    let packed = shared.join("data/ubuntu-irc.csv.gz");
    if !packed.is_file() {
        skip(
            "the chat history is not here; set TIDELOG_SHARED to the folder that has data/ubuntu-irc.csv.gz",
        );
        return None;
    }
    let csv = folder.join("chat.csv");
    let file = File::create(&csv).expect("a file in a temporary folder");
    let status = Command::new("gzip")
        .arg("-dc")
        .arg(packed)
        .stdout(file)
        .status()
        .expect("gzip can be run");
    assert!(status.success(), "gzip: {status}");
    Some(csv)
}

/// Says that a test was skipped and why, past the test runner, which shows only what failing tests print.
pub fn skip(reason: &str) {
    // In one piece and on a line of its own: the runner's tests write there too. Nobody reads it when it is closed.
    let _ = std::io::stderr().write_all(format!("\nskipped: {reason}\n").as_bytes());
}
