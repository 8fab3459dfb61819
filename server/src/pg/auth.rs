//! Logging in over PostgreSQL's protocol: SCRAM-SHA-256 where the role's rules ask for a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use tidelog_sql::scram::Verifier;
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::{Catalog, RoleRef};

use crate::auth::{self, Admission, MockSecret};
use crate::interrupts::Stop;
use crate::pg::client::Client;
use crate::pg::messages::{Frontend, sasl_initial_response};
use crate::pg::reply;
use crate::pg::scram::{Exchange, MECHANISM, ScramFailure};

const NONCE_BYTES: usize = 18;

/// Lets the client in as `user`, or ends the connection. `local` is whether it comes from this machine.
pub(super) async fn authenticate(
    client: &mut Client,
    catalog: &Catalog,
    mock: &MockSecret,
    user: &str,
    local: bool,
) -> Result<RoleRef, Stop> {
    match auth::admission(catalog, mock, user, local).map_err(Stop::Fatal)? {
        Admission::Trusted => {}
        Admission::Password(verifier) => scram(client, verifier, user).await?,
    }
    auth::admitted(catalog, user).map_err(Stop::Fatal)
}

async fn scram(client: &mut Client, verifier: Verifier, user: &str) -> Result<(), Stop> {
    reply::authentication_sasl(&mut client.out, MECHANISM);
    let response = answer(client).await?;
    let (mechanism, first) = sasl_initial_response(response)
        .ok_or_else(|| malformed("malformed SASLInitialResponse"))?;
    if mechanism != MECHANISM {
        return Err(malformed(
            "client selected an invalid SASL authentication mechanism",
        ));
    }
    let nonce = BASE64.encode(rand::random::<[u8; NONCE_BYTES]>());
    let failed = |failure| match failure {
        ScramFailure::Malformed(message) => malformed(message),
        ScramFailure::WrongProof => Stop::Fatal(auth::wrong_password(user)),
    };
    let (exchange, server_first) =
        Exchange::begin(utf8(&first)?, &nonce, verifier).map_err(failed)?;
    reply::authentication_sasl_continue(&mut client.out, &server_first);
    let last = answer(client).await?;
    let server_final = exchange.finish(utf8(&last)?).map_err(failed)?;
    reply::authentication_sasl_final(&mut client.out, &server_final);
    Ok(())
}

async fn answer(client: &mut Client) -> Result<Bytes, Stop> {
    client.flush().await?;
    match client.receive().await? {
        Ok(Frontend::Password(bytes)) => Ok(bytes),
        Ok(Frontend::Terminate) => Err(Stop::Gone),
        Ok(_) => Err(malformed("expected a SASL response")),
        Err(malformed) => Err(Stop::Fatal(malformed.error)),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(bytes).map_err(|_| malformed("malformed SCRAM message"))
}

fn malformed(message: &str) -> Stop {
    Stop::Fatal(SqlError::new(ErrorKind::ProtocolViolation, message))
}
