//! Child processes and conditions to wait for.

use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything here may take before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `condition` gives a value; panics with `what` when that takes longer than [`PATIENCE`].
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, condition)
        .unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Polls until `condition` gives a value, for at most `patience`.
pub fn wait_within<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let value = condition();
        if value.is_some() || begun.elapsed() >= patience {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal, by name, to a process that this test started.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(
        status.expect("kill can be run").success(),
        "kill -s {name} {pid}"
    );
}

/// Runs a command to its end and gives its standard output; panics with its standard error when it fails.
pub fn output(command: &mut Command) -> String {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("the output is UTF-8")
}
