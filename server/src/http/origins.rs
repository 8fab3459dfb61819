//! Which web pages may use the server: those it served itself and those of the origins in `http_origins`.
//!
//! Browsers send requests and open WebSockets for any page, and a page on the same machine as the server would be let
//! in as a role without a password. So a request that names another origin is refused before anything else is done.
//! Programs that are no browsers send no `Origin`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidelog_sql::{ErrorKind, SqlError};

use crate::http::HttpServer;
use crate::http::error::HttpError;

/// The origins that are allowed beside the server's own.
pub(super) struct Origins {
    all: bool,
    listed: Vec<String>,
}

impl Origins {
    pub(super) fn new(listed: &[String]) -> Origins {
        Origins {
            all: listed.iter().any(|origin| origin == "*"),
            listed: listed.to_vec(),
        }
    }

    /// Whether pages of this origin may read what the server answers them.
    pub(super) fn lists(&self, origin: &HeaderValue) -> bool {
        self.all || self.listed.iter().any(|listed| listed.as_bytes() == origin)
    }

    /// Whether the request comes from a page that may send it, or from no page at all.
    fn allows(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::ORIGIN) {
            Some(origin) => self.lists(origin) || is_own(origin, headers),
            // Of requests that carry no origin (images, scripts, links) newer browsers say how far they come.
            None => {
                self.all
                    || headers
                        .get("sec-fetch-site")
                        .is_none_or(|site| site == "same-origin" || site == "none")
            }
        }
    }
}

/// Whether the page came from the address that it now asks.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    match (origin, host(headers)) {
        (Some((_, origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Whether a client is certainly on this machine and meant to be: its address is loopback, it asked for loopback (a
/// name of someone else's that leads here would be taken for that page's own origin), and no proxy stands between.
pub(super) fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let proxied = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    peer.to_canonical().is_loopback() && !proxied && host(headers).is_some_and(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// 403 for requests of pages that are not allowed.
pub(super) async fn check(
    State(server): State<Arc<HttpServer>>,
    request: Request,
    next: Next,
) -> Response {
    if server.origins.allows(request.headers()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN);
    let origin = origin.map_or("another origin".into(), |origin| {
        String::from_utf8_lossy(origin.as_bytes())
    });
    let message = format!("pages of {origin} may not use this server");
    let error = SqlError::new(ErrorKind::InsufficientPrivilege, message)
        .hint("The setting http_origins lists the origins that may.");
    HttpError::from(error).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_listed() {
        let none = Origins::new(&[]);
        let one = Origins::new(&["https://app.example".to_string()]);
        let all = Origins::new(&["*".to_string()]);
        let check = |pairs: &[_], expected: [bool; 3]| {
            let headers = headers(pairs);
            let allowed = [&none, &one, &all].map(|origins| origins.allows(&headers));
            assert_eq!(allowed, expected, "{pairs:?}");
        };
        let host = ("host", "127.0.0.1:8080");
        check(&[host], [true, true, true]);
        check(
            &[host, ("origin", "http://127.0.0.1:8080")],
            [true, true, true],
        );
        check(
            &[host, ("origin", "http://127.0.0.1:9")],
            [false, false, true],
        );
        check(
            &[host, ("origin", "https://app.example")],
            [false, true, true],
        );
        check(
            &[host, ("origin", "https://app.example.evil")],
            [false, false, true],
        );
        check(&[host, ("origin", "null")], [false, false, true]);
        check(
            &[host, ("sec-fetch-site", "cross-site")],
            [false, false, true],
        );
        check(&[host, ("sec-fetch-site", "none")], [true, true, true]);
    }

    #[test]
    fn local_is_who_is_on_this_machine_and_asks_for_it() {
        let loopback: IpAddr = "127.0.0.1".parse().expect("an address");
        let check = |peer: &str, pairs: &[_], expected| {
            let peer = peer.parse().expect("an address");
            assert_eq!(
                is_local(peer, &headers(pairs)),
                expected,
                "{peer} {pairs:?}"
            );
        };
        for host in [
            "127.0.0.1:80",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8080",
            "127.1.2.3",
        ] {
            assert!(is_local(loopback, &headers(&[("host", host)])), "{host}");
        }
        check("::ffff:127.0.0.1", &[("host", "localhost")], true);
        check("10.0.0.1", &[("host", "localhost")], false);
        check("127.0.0.1", &[("host", "evil.example")], false);
        check("127.0.0.1", &[("host", "127.0.0.1.evil.example:80")], false);
        check("127.0.0.1", &[], false);
        check(
            "127.0.0.1",
            &[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")],
            false,
        );
    }
}
