//! A session's temporary tables, views and types: they stand in a schema of its own, which is made with the first and goes with the session.

use datafusion::sql::sqlparser::ast::Statement;
use tidelog_storage::CommitError;

use super::Session;
use crate::ddl::{self, Ddl};
use crate::error::SqlError;
use crate::parse::Definition;

/// How often the end of a session tries to drop its tables while others change the catalog.
const RETRIES_MAX: usize = 100;

/// Whether a session has temporary tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Temporary {
    /// It cannot: nothing would drop them at its end.
    #[default]
    Refused,
    /// It may.
    Allowed,
    /// It has made some, in the schema of its process id.
    Made,
}

impl Session {
    /// Lets the session make temporary tables. Whoever does so calls `drop_temporary` at its end.
    pub fn allow_temporary(&mut self) {
        self.temporary = Temporary::Allowed;
    }

    /// Gives the session its schema when it is about to make a temporary table.
    pub(super) fn begin_temporary(&mut self, statement: Ddl<'_>) -> Result<(), SqlError> {
        let (temporary, name, what) = match statement {
            Ddl::Sql(Statement::CreateTable(create), _) => {
                (create.temporary, &create.name, "TABLE")
            }
            Ddl::Ours(Definition::TableLike { create, .. }) => {
                (create.temporary, &create.name, "TABLE")
            }
            Ddl::Sql(Statement::CreateView(create), _) => (create.temporary, &create.name, "VIEW"),
            Ddl::Sql(Statement::CreateType { name, .. }, _) => (false, name, "TYPE"),
            _ => return Ok(()),
        };
        if !temporary && !ddl::temp::names_own(name) {
            return Ok(());
        }
        match self.temporary {
            Temporary::Refused => {
                let what = format!("CREATE TEMPORARY {what} here");
                Err(SqlError::unsupported(what))
            }
            Temporary::Allowed => {
                self.temporary = Temporary::Made;
                Ok(())
            }
            Temporary::Made => Ok(()),
        }
    }

    /// The schema of its temporary tables, if it has made some.
    pub(super) fn temporary_schema(&self) -> Option<String> {
        match self.temporary {
            Temporary::Made => Some(ddl::temp::schema_of(self.login.pid)),
            Temporary::Refused | Temporary::Allowed => None,
        }
    }

    /// Drops the session's temporary tables, outside a transaction.
    pub async fn drop_temporary(&mut self) -> Result<(), SqlError> {
        let Some(own) = self.temporary_schema() else {
            return Ok(());
        };
        for _ in 0..RETRIES_MAX {
            let store = self.engine.store.clone();
            let catalog = self.committed_catalog();
            let changes = ddl::temp::drop_all(&catalog, |schema| schema == own);
            let dropped = match changes.is_empty() {
                true => Ok(()),
                false => store
                    .change_catalog(catalog.version, catalog.database.changes(changes))
                    .await
                    .map(drop),
            };
            match dropped {
                Err(CommitError::CatalogChanged) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.temporary = Temporary::Allowed;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Drops them with the transaction block.
    pub(super) async fn drop_temporary_with_block(&mut self) -> Result<(), SqlError> {
        let Some(own) = self.temporary_schema() else {
            return Ok(());
        };
        let changes = ddl::temp::drop_all(&self.catalog(), |schema| schema == own);
        self.change_with_block(changes)
    }
}
