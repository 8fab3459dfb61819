//! Who may log in: from loopback a role without a password as it is, everyone else by SCRAM-SHA-256.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use tidelog_sql::scram::{Verifier, parse_verifier};
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::Catalog;

use crate::pg::cancel::Stop;
use crate::pg::client::Client;
use crate::pg::messages::{Frontend, sasl_initial_response};
use crate::pg::reply;
use crate::pg::scram::{Exchange, MECHANISM, ScramFailure, hmac};

const MOCK_ITERATIONS: u32 = 4096;
const NONCE_BYTES: usize = 18;

/// Makes the salts of roles that do not exist look like those of roles that do: the same at each attempt.
pub(super) struct MockSecret([u8; 32]);

impl MockSecret {
    pub(super) fn random() -> MockSecret {
        MockSecret(rand::random())
    }

    /// A verifier that no password fits.
    fn verifier(&self, user: &str) -> Verifier {
        let salt = hmac(&self.0, user.as_bytes())[..16].to_vec();
        Verifier {
            iterations: MOCK_ITERATIONS,
            salt,
            stored_key: rand::random(),
            server_key: rand::random(),
        }
    }
}

/// Lets the client in as `user`, or ends the connection.
pub(super) async fn authenticate(
    client: &mut Client,
    catalog: &Catalog,
    mock: &MockSecret,
    user: &str,
    peer: IpAddr,
) -> Result<(), Stop> {
    let loopback = peer.to_canonical().is_loopback();
    let role = catalog.roles.get(user);
    match role {
        None if loopback => {
            return Err(invalid_authorization(format!(
                "role \"{user}\" does not exist"
            )));
        }
        Some(role) if role.password.is_none() && loopback => {
            tracing::info!(
                user,
                "login from this machine without a password: the role has none"
            );
        }
        // Over the network a role that is missing, or has no password, fails like a wrong password.
        role => {
            let password = role.and_then(|role| role.password.as_deref());
            let verifier = match password.map(parse_verifier) {
                Some(Some(verifier)) => verifier,
                Some(None) => {
                    tracing::error!(
                        user,
                        "the stored password of the role is not a SCRAM-SHA-256 verifier"
                    );
                    mock.verifier(user)
                }
                None => mock.verifier(user),
            };
            scram(client, verifier, user).await?;
        }
    }
    if role.is_some_and(|role| !role.login) {
        return Err(invalid_authorization(format!(
            "role \"{user}\" is not permitted to log in"
        )));
    }
    Ok(())
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
        ScramFailure::WrongProof => {
            let message = format!("password authentication failed for user \"{user}\"");
            tracing::info!(user, "password authentication failed");
            Stop::Fatal(SqlError::new(ErrorKind::InvalidPassword, message))
        }
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

fn invalid_authorization(message: String) -> Stop {
    Stop::Fatal(SqlError::new(ErrorKind::InvalidAuthorization, message))
}
