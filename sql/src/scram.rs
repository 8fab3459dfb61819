//! SCRAM-SHA-256 verifiers as PostgreSQL stores them: what a role's password is kept as.
//!
//! RFC 5802 and RFC 7677; the verifier's text form is PostgreSQL's (`pg_authid.rolpassword`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;

/// What the server keeps of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

impl Verifier {
    /// Whether it was made of this password. Takes as long as the iterations take, whatever the answer.
    pub fn accepts(&self, password: &str) -> bool {
        let derived = derive(password, &self.salt, self.iterations);
        let difference = derived
            .stored_key
            .iter()
            .zip(self.stored_key)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0
    }
}

/// The verifier of a password, with a fresh salt, in PostgreSQL's text form.
pub fn verifier(password: &str) -> String {
    let salt: [u8; SALT_BYTES] = rand::random();
    let verifier = derive(password, &salt, ITERATIONS);
    format!(
        "SCRAM-SHA-256${}:{}${}:{}",
        verifier.iterations,
        STANDARD.encode(&verifier.salt),
        STANDARD.encode(verifier.stored_key),
        STANDARD.encode(verifier.server_key)
    )
}

/// Reads a verifier's text form.
pub fn parse_verifier(text: &str) -> Option<Verifier> {
    let (iterations, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
    let (salt, keys) = rest.split_once('$')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
    Some(Verifier {
        iterations: iterations.parse().ok().filter(|n| *n > 0)?,
        salt: STANDARD.decode(salt).ok()?,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

fn derive(password: &str, salt: &[u8], iterations: u32) -> Verifier {
    // A password that SASLprep refuses is used as it is, as PostgreSQL and libpq do.
    let prepared = stringprep::saslprep(password).unwrap_or(password.into());
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, &mut salted);
    let client_key = hmac(&salted, b"Client Key");
    Verifier {
        iterations,
        salt: salt.to_vec(),
        stored_key: Sha256::digest(client_key).into(),
        server_key: hmac(&salted, b"Server Key"),
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user "user", password "pencil".
    #[test]
    fn derives_the_keys_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = derive("pencil", &salt, 4096);
        assert_eq!(
            STANDARD.encode(verifier.server_key),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(
            STANDARD.encode(verifier.stored_key),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        );
    }

    #[test]
    fn a_verifier_reads_back() {
        let text = verifier("sécret");
        let parsed = parse_verifier(&text).unwrap();
        assert_eq!(derive("sécret", &parsed.salt, parsed.iterations), parsed);
        assert_ne!(derive("secret", &parsed.salt, parsed.iterations), parsed);
        assert!(parsed.accepts("sécret") && !parsed.accepts("secret") && !parsed.accepts(""));
        assert_eq!(parse_verifier("md5abc"), None);
    }
}
