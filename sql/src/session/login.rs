//! Whose session it is: a client's that has logged in, or the server's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidelog_storage::catalog::BOOTSTRAP_ROLE;
use tidelog_storage::{DatabaseId, RoleId, RoleRef};

use super::{Engine, Session};
use crate::settings::Settings;

/// Settings from a startup message (`application_name`, `-c name=value`, …).
pub type Startup = BTreeMap<String, String>;

/// Who logged in. Authentication is over before a session exists.
#[derive(Clone, Debug)]
pub struct Login {
    /// The role.
    pub role: RoleRef,
    /// The database.
    pub database: DatabaseId,
    /// The server-side process id of the connection (`pg_backend_pid()`).
    pub pid: i32,
}

impl Session {
    /// The role that statements run as.
    pub(crate) fn role(&self) -> RoleRef {
        self.settings
            .role()
            .unwrap_or_else(|| self.login.role.clone())
    }

    /// What that role is called.
    pub(crate) fn role_name(&self) -> String {
        self.catalog().name_of(&self.role()).to_string()
    }

    /// What the role that logged in is called.
    pub(crate) fn login_name(&self) -> String {
        self.catalog().name_of(&self.login.role).to_string()
    }

    /// Whether that role is a superuser.
    pub(super) fn is_superuser(&self) -> bool {
        let role = self.role();
        let catalog = self.catalog();
        catalog.role(&role).is_some_and(|role| role.superuser)
    }

    /// A session that plans what means the same in each.
    pub(crate) fn of_system(engine: Arc<Engine>, database: DatabaseId) -> Session {
        let login = Login {
            role: RoleRef {
                id: RoleId::BOOTSTRAP,
                name: BOOTSTRAP_ROLE.into(),
            },
            database,
            pid: 0,
        };
        Session::with(engine, Arc::new(login), Settings::default())
    }

    /// The same, beside this one.
    pub(crate) fn of_no_client(&self) -> Session {
        Session::of_system(self.engine.clone(), self.login.database)
    }
}
