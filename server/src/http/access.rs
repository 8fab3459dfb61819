//! Who a request or a socket is for: credentials, checked against the catalog's roles.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::RoleRef;

use crate::auth::{self, Admission};
use crate::http::HttpServer;
use crate::http::origins::is_local;

/// How a client says who it is: an `Authorization` header, or `auth` in a WebSocket's first frame.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Credentials {
    /// A role and its password; without a password where the role needs none.
    Basic {
        user: String,
        #[serde(default)]
        password: String,
    },
    /// A bearer token.
    Jwt {
        #[expect(
            dead_code,
            reason = "refused, whatever it says, until roles and tokens are complete"
        )]
        token: String,
    },
}

impl Credentials {
    /// From the `Authorization` header.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Credentials, SqlError> {
        let refuse = |message: &str| SqlError::new(ErrorKind::InvalidAuthorization, message);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(refuse("the request has no Authorization header")
                .hint("Send Basic with a role and its password."));
        };
        let malformed = || refuse("malformed Authorization header");
        let (scheme, value) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .ok_or_else(malformed)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Credentials::Jwt {
                token: value.to_string(),
            });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(malformed());
        }
        let pair = BASE64.decode(value.trim()).map_err(|_| malformed())?;
        let pair = String::from_utf8(pair).map_err(|_| malformed())?;
        let (user, password) = pair.split_once(':').ok_or_else(malformed)?;
        Ok(Credentials::Basic {
            user: user.to_string(),
            password: password.to_string(),
        })
    }
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    address: SocketAddr,
    /// Whether it is known to be on this machine.
    local: bool,
}

impl Caller {
    pub(super) fn of(address: SocketAddr, headers: &HeaderMap) -> Caller {
        let local = is_local(address.ip(), headers);
        Caller { address, local }
    }
}

/// The role that the credentials are those of.
pub(super) async fn authenticate(
    server: &HttpServer,
    credentials: Credentials,
    caller: Caller,
) -> Result<RoleRef, SqlError> {
    let role = role_of(server, credentials, caller.local).await;
    role.inspect_err(|error| {
        tracing::info!(peer = %caller.address, "login refused: {error}");
    })
}

async fn role_of(
    server: &HttpServer,
    credentials: Credentials,
    local: bool,
) -> Result<RoleRef, SqlError> {
    let (user, password) = match credentials {
        Credentials::Basic { user, password } => (user, password),
        Credentials::Jwt { token: _ } => {
            return Err(SqlError::unsupported("authentication by a bearer token"));
        }
    };
    let catalog = server.backend.engine.store().catalog();
    match auth::admission(&catalog, &server.backend.mock_secret, &user, local)? {
        Admission::Trusted => {}
        Admission::Password(verifier) => {
            let _turn = server.passwords.acquire().await;
            let check = move || verifier.accepts(&password);
            let check = server.backend.queries.spawn_blocking(check).await;
            if !check.unwrap_or(false) {
                return Err(auth::wrong_password(&user));
            }
        }
    }
    auth::admitted(&catalog, &user)
}
