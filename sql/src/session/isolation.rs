//! The isolation levels of transactions, and their names.

use datafusion::sql::sqlparser::ast::TransactionIsolationLevel;

use crate::error::{ErrorKind, SqlError};

/// Isolation levels, each stricter than the one before (the first two are the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// The level that a setting names.
    pub(crate) fn named(name: &str) -> Option<Isolation> {
        use Isolation::{ReadCommitted, ReadUncommitted, RepeatableRead, Serializable};
        [ReadUncommitted, ReadCommitted, RepeatableRead, Serializable]
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Its name in settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isolation::ReadUncommitted => "read uncommitted",
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }

    /// Whether all statements of a transaction see the same snapshot.
    pub(crate) fn keeps_snapshot(self) -> bool {
        self >= Isolation::RepeatableRead
    }
}

pub(super) fn level_of(level: TransactionIsolationLevel) -> Result<Isolation, SqlError> {
    Ok(match level {
        TransactionIsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
        TransactionIsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        TransactionIsolationLevel::RepeatableRead => Isolation::RepeatableRead,
        TransactionIsolationLevel::Serializable => Isolation::Serializable,
        TransactionIsolationLevel::Snapshot => {
            let message = "syntax error at or near \"SNAPSHOT\"";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
    })
}
