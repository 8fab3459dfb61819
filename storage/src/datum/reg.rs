//! Types whose values are oids that are shown as the names that the catalog has for them.

use serde::{Deserialize, Serialize};

/// Such a type, but `regproc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RegType {
    Class,
    Type,
    Procedure,
    Oper,
    Operator,
    Namespace,
    Role,
}

impl RegType {
    /// All of them.
    pub const ALL: [RegType; 7] = [
        RegType::Class,
        RegType::Type,
        RegType::Procedure,
        RegType::Oper,
        RegType::Operator,
        RegType::Namespace,
        RegType::Role,
    ];

    /// Its name in PostgreSQL.
    pub fn name(self) -> &'static str {
        match self {
            RegType::Class => "regclass",
            RegType::Type => "regtype",
            RegType::Procedure => "regprocedure",
            RegType::Oper => "regoper",
            RegType::Operator => "regoperator",
            RegType::Namespace => "regnamespace",
            RegType::Role => "regrole",
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<RegType> {
        RegType::ALL.into_iter().find(|of| of.name() == name)
    }
}
