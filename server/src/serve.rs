//! The life of the process: bind, open, serve, drain, close.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};
use tidelog_sql::{Engine, EngineOptions};
use tidelog_storage::cold::ColdOptions;
use tidelog_storage::{CommitError, Failpoints, StorageError, Store, StoreOptions, seq};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

use crate::backend::Backend;
use crate::http::{self, HttpServer};
use crate::interrupts::Ask;
use crate::pg::listener::{PgServer, accept_connections};
use crate::settings::Settings;
use crate::shutdown::{self, Shutdown};

const SUPERUSER: &str = "postgres";
/// For HTTP, and for connections that begin.
const SOCKET_THREADS: usize = 2;
const QUERY_STACK_BYTES: usize = 32 << 20;
/// Threads for calls that may block, beside those that stalled clients may keep.
const BLOCKING_THREADS: usize = 512;
/// What recurses over a statement takes another piece of stack when less than this is left. It must do for all that
/// recurses without looking: copying and dropping a tree of the greatest depth.
const STACK_LEFT_BYTES: usize = 16 << 20;
/// How large such a piece is; it costs memory only where it is touched.
const STACK_PIECE_BYTES: usize = 32 << 20;
/// Of 99: flushes and compactions give way to statements (on Linux a niceness of 9, a seventh of an equal share).
const JOB_PRIORITY: u8 = 25;

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("could not listen on {key} address \"{address}\": {reason}")]
    Bind {
        key: &'static str,
        address: String,
        reason: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StorageError),
    #[error("could not drop what sessions left: {0}")]
    Catalog(#[from] CommitError),
    #[error(
        "refusing to listen on {address} while superuser \"{SUPERUSER}\" has no password: start on a loopback \
         address first and run ALTER ROLE {SUPERUSER} PASSWORD '…'"
    )]
    OpenSuperuser { address: SocketAddr },
    #[error("could not write \"{}\": {reason}", path.display())]
    Addresses {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("could not start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs the server until it is told to stop.
pub(crate) fn run(settings: Settings) -> Result<(), ServeError> {
    recursive::set_minimum_stack_size(STACK_LEFT_BYTES);
    recursive::set_stack_allocation_size(STACK_PIECE_BYTES);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let sockets = runtime("socket", SOCKET_THREADS.min(cores)).build()?;
    // More than processors: a statement that keeps its thread for long leaves others to the rest.
    let queries = runtime("query", (2 * cores).max(4))
        .thread_stack_size(QUERY_STACK_BYTES)
        // Sockets of sessions are its own: each is looked at in time also while all threads have something to do.
        .event_interval(1)
        // A scan of the hot tier keeps its thread while its client does not read.
        .max_blocking_threads(BLOCKING_THREADS + 2 * settings.max_connections)
        .build()?;
    // Where statements run that may keep a thread for long: each has one of the blocking ones.
    let heavy = runtime("heavy", (2 * cores).max(4))
        .thread_stack_size(QUERY_STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS + 3 * settings.max_connections)
        .build()?;
    let jobs = runtime("job", cores).on_thread_start(give_way).build()?;
    let handles = Handles {
        sockets: sockets.handle(),
        heavy: heavy.handle(),
        jobs: jobs.handle(),
    };
    let result = queries.block_on(serve(settings, handles));
    for runtime in [sockets, queries, heavy, jobs] {
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
    result
}

fn runtime(name: &str, threads: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .thread_name(name)
        .enable_all();
    builder
}

/// Lowers the present thread's priority.
fn give_way() {
    let priority = ThreadPriorityValue::try_from(JOB_PRIORITY).map(ThreadPriority::Crossplatform);
    let lowered = priority.map(set_current_thread_priority);
    if !matches!(lowered, Ok(Ok(()))) {
        tracing::debug!("the priority of a thread for jobs could not be lowered");
    }
}

/// The runtimes besides the one for queries and sessions: HTTP's sockets and listeners are of `sockets`, the store's jobs run on `jobs`.
struct Handles<'a> {
    sockets: &'a Handle,
    heavy: &'a Handle,
    jobs: &'a Handle,
}

/// Runs on the query runtime.
async fn serve(mut settings: Settings, runtimes: Handles<'_>) -> Result<(), ServeError> {
    let Handles {
        sockets,
        heavy,
        jobs,
    } = runtimes;
    let (pg_listener, pg_address) = bind(sockets, "pg", &settings.pg).await?;
    let (http_listener, http_address) = bind(sockets, "http", &settings.http).await?;
    let tests = (
        std::mem::take(&mut settings.failpoints),
        settings.large_bytes,
    );
    let (dir, cold) = (settings.data_dir.clone(), settings.cold.options());
    let store = open(dir, cold, tests, jobs).await?;
    for address in [pg_address, http_address] {
        if let Err(error) = check_superuser(&store, address) {
            store.close().await;
            return Err(error);
        }
    }
    warn_of_open_superuser(&store);
    let addresses = match Addresses::write(&settings.data_dir, pg_address, http_address) {
        Ok(addresses) => addresses,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };

    let shutdown = Shutdown::default();
    let engine_options = EngineOptions {
        transaction_bytes_max: settings.transaction_bytes_max,
        query_memory: settings.query_memory,
        heavy: Some(heavy.clone()),
        connections_max: settings.max_connections,
    };
    let engine = Engine::new(store.clone(), engine_options);
    engine.drop_temporary().await?;
    let backend = Backend::new(engine, Handle::current(), shutdown.clone());
    tokio::spawn(backend.sessions.clone().evict(store.clone()));
    let server = PgServer::new(backend.clone(), settings.max_connections);
    let mut pg_task = sockets.spawn(accept_connections(pg_listener, server));
    let server = HttpServer::new(backend.clone(), &settings);
    let http_task = sockets.spawn(http::serve(http_listener, server));
    tracing::info!(data_dir = %settings.data_dir.display(), pg = %pg_address, http = %http_address, "ready");

    let mut listening = Ok(());
    tokio::select! {
        signal = shutdown::signal() => tracing::info!(signal = signal?, "stopping"),
        _ = &mut pg_task => {
            tracing::error!("stopping: connections are not accepted any more");
            listening = Err(std::io::Error::other("the listener ended"));
        }
    }
    shutdown.stop.cancel();
    backend.sessions.ask_all(Ask::STOP);
    drain(&backend, &shutdown).await;
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        (pg_task.await, http_task.await)
    })
    .await;
    store.close().await;
    addresses.remove();
    tracing::info!("stopped");
    Ok(listening?)
}

/// Waits for the connections: until the deadline by themselves, then a moment more once they are cut off.
async fn drain(backend: &Backend, shutdown: &Shutdown) {
    let connections = &backend.connections;
    connections.close();
    if tokio::time::timeout(shutdown::DRAIN, connections.wait())
        .await
        .is_ok()
    {
        return;
    }
    tracing::warn!(
        "statements still run after {} s: ending them",
        shutdown::DRAIN.as_secs()
    );
    shutdown.kill.cancel();
    backend.sessions.ask_all(Ask::KILL);
    if tokio::time::timeout(Duration::from_secs(2), connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(connections = connections.len(), "connections did not end");
    }
}

async fn bind(
    sockets: &Handle,
    key: &'static str,
    address: &str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    // A socket belongs to the runtime that it was made on.
    let name = address.to_string();
    let bound = sockets.spawn(async move {
        let listener = TcpListener::bind(&name).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    let bound = bound
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    bound.map_err(|reason| ServeError::Bind {
        key,
        address: address.to_string(),
        reason,
    })
}

async fn open(
    dir: PathBuf,
    cold: ColdOptions,
    (failpoints, large_bytes): (Failpoints, usize),
    jobs: &Handle,
) -> Result<Arc<Store>, ServeError> {
    let options = StoreOptions {
        dir,
        node: 0,
        clock: seq::system_clock(),
        background: true,
        cold,
        failpoints: Arc::new(failpoints),
        large_bytes,
    };
    let jobs = jobs.clone();
    // On a thread of the usual priority, which the committer's inherits; only the store's jobs run on theirs.
    let open = move || {
        let _jobs = jobs.enter();
        Store::open(options)
    };
    let opened = tokio::task::spawn_blocking(open).await;
    Ok(opened.map_err(std::io::Error::other)??)
}

fn superuser_is_open(store: &Store) -> bool {
    store
        .catalog()
        .roles
        .get(SUPERUSER)
        .is_some_and(|role| role.login && role.password.is_none())
}

fn check_superuser(store: &Store, address: SocketAddr) -> Result<(), ServeError> {
    if superuser_is_open(store) && !address.ip().is_loopback() {
        return Err(ServeError::OpenSuperuser { address });
    }
    Ok(())
}

fn warn_of_open_superuser(store: &Store) {
    if superuser_is_open(store) {
        tracing::warn!(
            "superuser \"{SUPERUSER}\" has no password: anyone on this machine may log in as it"
        );
    }
}

/// `addresses.json` in the data directory: where the running server listens.
struct Addresses {
    path: PathBuf,
}

impl Addresses {
    fn write(dir: &Path, pg: SocketAddr, http: SocketAddr) -> Result<Addresses, ServeError> {
        let path = dir.join("addresses.json");
        let json = serde_json::json!({ "pg": pg.to_string(), "http": http.to_string() });
        let part = dir.join("addresses.json.part");
        let write = || {
            let mut file = std::fs::File::create(&part)?;
            writeln!(file, "{json}")?;
            file.sync_all()?;
            std::fs::rename(&part, &path)
        };
        write().map_err(|reason| ServeError::Addresses {
            path: path.clone(),
            reason,
        })?;
        Ok(Addresses { path })
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "could not remove {}", self.path.display());
        }
    }
}
