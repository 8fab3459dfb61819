//! The HTTP door: statements (`/v1/sql`), live queries (`/v1/live`, `/v1/ws`), and whether the server is ready.
//!
//! Owns: JSON, HTTP statuses, who may come from which web page, limits of requests and sockets.
//! Guarantees: a value that a double cannot hold is a string; results and feeds are sent as fast as they are taken, and
//! a client that takes nothing costs a few chunks. docs/protocol.md specifies it all.
//! Does not: run anything on the sockets' runtime but the copying of bytes.

mod access;
mod connections;
mod demo;
mod error;
mod feeds;
mod origins;
mod params;
mod rows;
mod sql;
mod sse;
mod statement;
mod ws;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tidelog_sql::SqlError;
use tidelog_storage::DatabaseId;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::auth;
use crate::backend::Backend;
use crate::http::origins::Origins;
use crate::interrupts::Interrupts;
use crate::settings::Settings;
use crate::shutdown::Shutdown;

/// How long a connection may take to begin and send a request's head. Longer than the minute after which balancers
/// and pools commonly let idle connections go, so that it is they who do.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// The largest body of a request.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Statements that run at once for `/v1/sql`; more are turned away.
const STATEMENTS_MAX: usize = 256;
/// Live connections, WebSockets and event streams together; more are turned away.
const LIVE_MAX: usize = 20_000;
/// Passwords that are checked at once: each costs some milliseconds of a processor.
const PASSWORDS_MAX: usize = 4;
/// What is gathered before it is sent.
const CHUNK_BYTES: usize = 32 << 10;

/// What all requests share.
pub(crate) struct HttpServer {
    backend: Backend,
    origins: Origins,
    statements: Arc<Semaphore>,
    live: Arc<Semaphore>,
    passwords: Semaphore,
    demo: bool,
}

impl HttpServer {
    pub(crate) fn new(backend: Backend, settings: &Settings) -> Arc<HttpServer> {
        Arc::new(HttpServer {
            backend,
            origins: Origins::new(&settings.http_origins),
            statements: Arc::new(Semaphore::new(STATEMENTS_MAX)),
            live: Arc::new(Semaphore::new(LIVE_MAX)),
            passwords: Semaphore::new(PASSWORDS_MAX),
            demo: settings.demo,
        })
    }

    fn shutdown(&self) -> &Shutdown {
        &self.backend.shutdown
    }

    /// The database that a request names; the first one when it names none.
    fn database(&self, named: Option<&str>) -> Result<DatabaseId, SqlError> {
        match named {
            None => Ok(DatabaseId::FIRST),
            Some(name) => auth::database(&self.backend.engine.store().catalog(), name),
        }
    }

    /// What may end a session or subscription that begins now.
    fn begin(&self) -> Interrupts {
        self.backend.sessions.begin()
    }
}

/// Serves until the server stops.
pub(crate) async fn serve(listener: TcpListener, server: Arc<HttpServer>) {
    let stop = server.shutdown().stop.clone();
    connections::serve(listener, router(server), stop, HEAD_TIMEOUT).await;
}

fn router(server: Arc<HttpServer>) -> Router {
    let allowed = server.clone();
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin: &HeaderValue, _| {
            allowed.origins.lists(origin)
        }))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
        ]);
    let v1 = Router::new()
        .route("/v1/sql", post(sql::post))
        .route("/v1/live", get(sse::get))
        .layer(CompressionLayer::new())
        // Compression would take the upgrade's response for one with a body.
        .route("/v1/ws", get(ws::get))
        .layer(middleware::from_fn_with_state(
            server.clone(),
            origins::check,
        ))
        .layer(cors);
    let router = Router::new().route("/health", get(health)).merge(v1);
    let router = match server.demo {
        true => router.merge(demo::router()),
        false => router,
    };
    router.with_state(server)
}

async fn health(State(server): State<Arc<HttpServer>>) -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let failure = server.backend.engine.store().write_failure();
    let (status, told) = if server.shutdown().stop.is_cancelled() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        (status, "{\"status\":\"stopping\"}\n".to_string())
    } else if let Some(reason) = failure {
        let mut told = "{\"status\":\"failed\",\"reason\":".to_string();
        tidelog_sql::json::write_string(reason, &mut told);
        told.push_str("}\n");
        (StatusCode::SERVICE_UNAVAILABLE, told)
    } else {
        (StatusCode::OK, "{\"status\":\"ok\"}\n".to_string())
    };
    (status, json, told)
}
