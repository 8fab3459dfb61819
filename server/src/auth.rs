//! Who may log in, whichever door they come through: from this machine a role without a password as it is,
//! everyone else with the password whose SCRAM-SHA-256 verifier the role has.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tidelog_sql::scram::{Verifier, parse_verifier};
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::{Catalog, DatabaseId, RoleRef};

const MOCK_ITERATIONS: u32 = 4096;

/// Makes the salts of roles that do not exist look like those of roles that do: the same at each attempt.
pub(crate) struct MockSecret([u8; 32]);

impl MockSecret {
    pub(crate) fn random() -> MockSecret {
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

/// What a client must do to be let in.
pub(crate) enum Admission {
    /// Nothing.
    Trusted,
    /// Prove that it knows the password.
    Password(Verifier),
}

/// How `user` may be let in. `local` is whether the client is known to be on this machine.
pub(crate) fn admission(
    catalog: &Catalog,
    mock: &MockSecret,
    user: &str,
    local: bool,
) -> Result<Admission, SqlError> {
    let role = catalog.roles.get(user);
    match role {
        None if local => {
            return Err(no_such_role(user));
        }
        Some(role) if role.password.is_none() && local => {
            tracing::debug!(
                user,
                "login from this machine without a password: the role has none"
            );
            return Ok(Admission::Trusted);
        }
        // Over the network a role that is missing, or has no password, fails like a wrong password.
        _ => {}
    }
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
    Ok(Admission::Password(verifier))
}

/// The role that a client logs in as, once it has proved who it is; 28000 when that role is not permitted to.
pub(crate) fn admitted(catalog: &Catalog, user: &str) -> Result<RoleRef, SqlError> {
    match catalog.roles.get(user) {
        Some(role) if role.login => Ok(RoleRef::from(&**role)),
        Some(_) => Err(invalid_authorization(format!(
            "role \"{user}\" is not permitted to log in"
        ))),
        None => Err(no_such_role(user)),
    }
}

/// As whom somebody is let in, and to which database.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) role: RoleRef,
    pub(crate) database: DatabaseId,
}

/// The database of this name; 3D000 when there is none.
pub(crate) fn database(catalog: &Catalog, name: &str) -> Result<DatabaseId, SqlError> {
    let named = catalog.database_named(name).map(|database| database.id);
    named.ok_or_else(|| {
        let message = format!("database \"{name}\" does not exist");
        SqlError::new(ErrorKind::UndefinedDatabase, message)
    })
}

fn no_such_role(user: &str) -> SqlError {
    invalid_authorization(format!("role \"{user}\" does not exist"))
}

/// 28P01.
pub(crate) fn wrong_password(user: &str) -> SqlError {
    let message = format!("password authentication failed for user \"{user}\"");
    SqlError::new(ErrorKind::InvalidPassword, message)
}

fn invalid_authorization(message: String) -> SqlError {
    SqlError::new(ErrorKind::InvalidAuthorization, message)
}

/// HMAC-SHA-256.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}
