//! The HTTP side: so far only whether the server is ready.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::shutdown::Shutdown;

/// Serves until the server stops.
pub(crate) async fn serve(listener: TcpListener, shutdown: Shutdown) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health", get(health))
        .with_state(shutdown.clone());
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.stop.cancelled().await })
        .await
}

async fn health(State(shutdown): State<Shutdown>) -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    if shutdown.stop.is_cancelled() {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            json,
            "{\"status\":\"stopping\"}\n",
        )
    } else {
        (StatusCode::OK, json, "{\"status\":\"ok\"}\n")
    }
}
