//! Roles, and how what belongs to one finds it again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Catalog, FIRST_USER_OID};

/// A role's identity, which is its oid: no later role has it, nor does the role change it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RoleId(u32);

impl RoleId {
    /// The role that is there from the start.
    pub const BOOTSTRAP: RoleId = RoleId(10);

    /// The role with this oid.
    pub fn new(oid: u32) -> RoleId {
        RoleId(oid)
    }

    /// Its oid.
    pub fn oid(self) -> u32 {
        self.0
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDef {
    /// Its identity.
    #[serde(default)]
    // Roles that were made before there was one get it when the store is opened.
    pub id: RoleId,
    /// Its name; also the partition of USER tables that it sees.
    pub name: String,
    /// Whether it may log in.
    pub login: bool,
    /// Whether it may do everything.
    pub superuser: bool,
    /// Whether it sees every partition of USER tables.
    pub bypass_rls: bool,
    /// PostgreSQL's `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, if it has a password.
    pub password: Option<String>,
}

/// A role that somebody acts as. By its id it is found again, whatever it is called by then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleRef {
    /// The role.
    pub id: RoleId,
    /// What it was called when it was found.
    pub name: Arc<str>,
}

impl From<&RoleDef> for RoleRef {
    fn from(role: &RoleDef) -> RoleRef {
        RoleRef {
            id: role.id,
            name: role.name.as_str().into(),
        }
    }
}

impl Catalog {
    /// The id that the next role gets.
    pub fn next_role_id(&self) -> RoleId {
        RoleId(FIRST_USER_OID + self.next_table_id)
    }

    /// The role that somebody acts as; `None` when it was dropped, though another may have its name.
    pub fn role(&self, of: &RoleRef) -> Option<&Arc<RoleDef>> {
        let named = self.roles.get(&*of.name).filter(|role| role.id == of.id);
        named.or_else(|| self.roles.values().find(|role| role.id == of.id))
    }

    /// What a role is called, or was when it was found.
    pub fn name_of<'a>(&'a self, of: &'a RoleRef) -> &'a str {
        self.role(of).map_or(&of.name, |role| &role.name)
    }

    /// Gives ids to the roles that have none; whether there were any.
    pub(crate) fn identify_roles(&mut self) -> bool {
        let without = |role: &&mut Arc<RoleDef>| role.id == RoleId::default();
        let mut any = false;
        let mut next = self.next_table_id;
        for role in Arc::make_mut(&mut self.roles).values_mut().filter(without) {
            let id = match role.name.as_str() {
                BOOTSTRAP_ROLE => RoleId::BOOTSTRAP,
                _ => {
                    next += 1;
                    RoleId(FIRST_USER_OID + next - 1)
                }
            };
            Arc::make_mut(role).id = id;
            any = true;
        }
        self.next_table_id = next;
        any
    }
}

/// What the role that is there from the start is called.
pub const BOOTSTRAP_ROLE: &str = "postgres";
