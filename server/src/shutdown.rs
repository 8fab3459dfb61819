//! The two steps of stopping: first nothing new begins, later what still runs is cut off.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a running statement may take once the server is told to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Seen by everything that must end before the server does.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
    /// No new connections and statements; subscriptions and idle connections end.
    pub(crate) stop: CancellationToken,
    /// Running statements end too.
    pub(crate) kill: CancellationToken,
}

/// Waits for SIGTERM or SIGINT and returns its name. SIGHUP, which has PostgreSQL read its configuration again, changes nothing.
pub(crate) async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            Some(()) = hangup.recv() => {
                tracing::info!("SIGHUP: the configuration is read at the start only");
            }
        }
    }
}
