//! What every door into the server needs.

use std::sync::Arc;

use tidelog_sql::Engine;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::auth::MockSecret;
use crate::feed::Feeds;
use crate::interrupts::Sessions;
use crate::shutdown::Shutdown;

/// Shared by the PostgreSQL protocol and HTTP.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) engine: Arc<Engine>,
    /// The subscriptions that can share what they read.
    pub(crate) feeds: Arc<Feeds>,
    /// Gives sessions their process ids, and knows them by these.
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) mock_secret: Arc<MockSecret>,
    /// Where sessions run.
    pub(crate) queries: Handle,
    pub(crate) shutdown: Shutdown,
    /// What must end before the store is closed.
    pub(crate) connections: TaskTracker,
}

impl Backend {
    pub(crate) fn new(engine: Arc<Engine>, queries: Handle, shutdown: Shutdown) -> Backend {
        Backend {
            feeds: Feeds::new(engine.store().clone()),
            engine,
            sessions: Arc::default(),
            mock_secret: Arc::new(MockSecret::random()),
            queries,
            shutdown,
            connections: TaskTracker::new(),
        }
    }
}
