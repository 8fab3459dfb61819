//! The server's part of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tidelog_sql::scram::Verifier;

use crate::auth::hmac;

/// The one mechanism that is offered.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";

/// Why an exchange did not succeed.
#[derive(Debug, PartialEq)]
pub(super) enum ScramFailure {
    /// The client does not speak SCRAM properly.
    Malformed(&'static str),
    /// The proof is not that of the password.
    WrongProof,
}

/// An exchange after its first two messages.
pub(super) struct Exchange {
    verifier: Verifier,
    nonce: String,
    gs2_header: String,
    /// client-first-message-bare and server-first-message.
    transcript: String,
}

impl Exchange {
    /// Takes the client's first message; gives the server's.
    pub(super) fn begin(
        client_first: &str,
        server_nonce: &str,
        verifier: Verifier,
    ) -> Result<(Exchange, String), ScramFailure> {
        const MALFORMED: ScramFailure = ScramFailure::Malformed("malformed SCRAM message");
        let mut parts = client_first.splitn(3, ',');
        let (flag, authzid) = (
            parts.next().ok_or(MALFORMED)?,
            parts.next().ok_or(MALFORMED)?,
        );
        let bare = parts.next().ok_or(MALFORMED)?;
        match flag {
            // `y`: the client could bind to a channel but saw that it was not offered.
            "n" | "y" => {}
            _ => {
                return Err(ScramFailure::Malformed(
                    "the client selected SCRAM channel binding, which is not offered",
                ));
            }
        }
        if !authzid.is_empty() {
            return Err(ScramFailure::Malformed(
                "client uses authorization identity, but it is not supported",
            ));
        }
        // The name is that of the startup packet; what stands here is not looked at, as in PostgreSQL.
        let mut attributes = bare.split(',');
        attributes
            .next()
            .filter(|name| name.starts_with("n="))
            .ok_or(MALFORMED)?;
        let client_nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or(MALFORMED)?;
        let printable = |nonce: &str| {
            !nonce.is_empty() && nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        };
        if !printable(client_nonce) {
            return Err(MALFORMED);
        }
        let nonce = format!("{client_nonce}{server_nonce}");
        let salt = BASE64.encode(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let transcript = format!("{bare},{server_first}");
        let gs2_header = format!("{flag},,");
        Ok((
            Exchange {
                verifier,
                nonce,
                gs2_header,
                transcript,
            },
            server_first,
        ))
    }

    /// Takes the client's final message; gives the server's, which proves that it knows the verifier.
    pub(super) fn finish(self, client_final: &str) -> Result<String, ScramFailure> {
        const MALFORMED: ScramFailure = ScramFailure::Malformed("malformed SCRAM message");
        let (without_proof, proof) = client_final.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes
            .next()
            .and_then(|binding| binding.strip_prefix("c="))
            .ok_or(MALFORMED)?;
        if binding != BASE64.encode(&self.gs2_header) {
            return Err(ScramFailure::Malformed(
                "unexpected SCRAM channel-binding attribute in client-final-message",
            ));
        }
        let nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or(MALFORMED)?;
        if nonce != self.nonce {
            return Err(ScramFailure::Malformed("SCRAM nonce does not match"));
        }
        let proof: [u8; 32] = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or(MALFORMED)?;

        let message = format!("{},{without_proof}", self.transcript);
        let signature = hmac(&self.verifier.stored_key, message.as_bytes());
        let client_key: Vec<u8> = proof
            .iter()
            .zip(signature)
            .map(|(proof, signature)| proof ^ signature)
            .collect();
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let difference = stored_key
            .iter()
            .zip(self.verifier.stored_key)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference != 0 {
            return Err(ScramFailure::WrongProof);
        }
        Ok(format!(
            "v={}",
            BASE64.encode(hmac(&self.verifier.server_key, message.as_bytes()))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677, section 3.
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn verifier(password: &str) -> Verifier {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, 4096);
        let stored_key = Sha256::digest(hmac(&salted, b"Client Key")).into();
        let server_key = hmac(&salted, b"Server Key");
        Verifier {
            iterations: 4096,
            salt,
            stored_key,
            server_key,
        }
    }

    fn begin(client_first: &str, password: &str) -> Result<(Exchange, String), ScramFailure> {
        Exchange::begin(client_first, SERVER_NONCE, verifier(password))
    }

    #[test]
    fn rfc_7677_example() {
        let (exchange, server_first) = begin(CLIENT_FIRST, "pencil").expect("well-formed");
        assert_eq!(server_first, SERVER_FIRST);
        assert_eq!(exchange.finish(CLIENT_FINAL), Ok(SERVER_FINAL.to_string()));
    }

    #[test]
    fn another_password_is_refused() {
        let (exchange, _) = begin(CLIENT_FIRST, "pencils").expect("well-formed");
        assert_eq!(exchange.finish(CLIENT_FINAL), Err(ScramFailure::WrongProof));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for first in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "p=tls-unique,,n=user,r=abc",
            "n,a=eve,n=user,r=abc",
            "n,,m=1,r=abc",
        ] {
            assert!(
                matches!(begin(first, "pencil"), Err(ScramFailure::Malformed(_))),
                "{first}"
            );
        }
        for last in [
            "",
            "c=biws",
            &CLIENT_FINAL.replace("c=biws", "c=eSws"),
            &CLIENT_FINAL.replace("r=rOpr", "r=rOpq"),
            &CLIENT_FINAL.replace("p=dHzb", "p=!"),
        ] {
            let (exchange, _) = begin(CLIENT_FIRST, "pencil").expect("well-formed");
            assert!(
                matches!(exchange.finish(last), Err(ScramFailure::Malformed(_))),
                "{last}"
            );
        }
    }
}
