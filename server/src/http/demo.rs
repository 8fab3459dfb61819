//! The demo at `/`: a page and the TypeScript client, compiled, all of it in the binary.
//!
//! `server/demo/client` is what `npm run build:demo` in clients/typescript makes; a test there compares the two.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may load and talk to: this server.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../demo/", $name)))),*]
    };
}

/// Every file of the demo, by its path below `/`.
const FILES: &[(&str, &str)] = files![
    "index.html",
    "demo.css",
    "demo.js",
    "client/auth.js",
    "client/client.js",
    "client/connection.js",
    "client/errors.js",
    "client/index.js",
    "client/live.js",
    "client/protocol.js",
    "client/query.js",
    "client/seq.js",
    "client/subscription.js",
    "client/values.js",
];

/// Its routes.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|| async { file("index.html") }))
        .route(
            "/{name}",
            get(|Path(name): Path<String>| async move { file(&name) }),
        )
        .route(
            "/client/{name}",
            get(|Path(name): Path<String>| async move { file(&format!("client/{name}")) }),
        )
}

fn file(path: &str) -> Response {
    let Some((_, text)) = FILES.iter().find(|(name, _)| *name == path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let media = match path.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        _ => "text/html; charset=utf-8",
    };
    let headers = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, *text).into_response()
}
