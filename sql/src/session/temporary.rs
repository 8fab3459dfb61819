//! A session's temporary tables, views and types: they stand in a schema of its own, which is made with the first and goes
//! with the session. Tables that are dropped or emptied with each commit (ON COMMIT).

use datafusion::sql::sqlparser::ast::{CreateTable, ObjectName, OnCommit, Statement};
use tidelog_storage::{Catalog, CatalogChange, CommitError};

use super::Session;
use crate::ddl::{self, Ddl};
use crate::error::{ErrorKind, SqlError};
use crate::parse::{Definition, Parsed, quoted};

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

/// The table that a statement makes.
fn created(statement: Ddl<'_>) -> Option<&CreateTable> {
    match statement {
        Ddl::Sql(Statement::CreateTable(create), _) => Some(create),
        Ddl::Ours(Definition::TableLike { create, .. }) => Some(create),
        _ => None,
    }
}

impl Session {
    /// Lets the session make temporary tables. Whoever does so calls `drop_temporary` at its end.
    pub fn allow_temporary(&mut self) {
        self.temporary = Temporary::Allowed;
    }

    /// Gives the session its schema when it is about to make a temporary table.
    pub(super) fn begin_temporary(&mut self, statement: Ddl<'_>) -> Result<(), SqlError> {
        let (temporary, name, what) = match statement {
            Ddl::Sql(Statement::CreateView(create), _) => (create.temporary, &create.name, "VIEW"),
            Ddl::Sql(Statement::CreateType { name, .. }, _) => (false, name, "TYPE"),
            other => match created(other) {
                Some(create) => (create.temporary, &create.name, "TABLE"),
                None => return Ok(()),
            },
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

    /// Keeps in mind what a new table's ON COMMIT says, and that it holds for the table that stands in its place after
    /// TRUNCATE. What a rollback takes back is left in: its ids come never again.
    pub(super) fn note_on_commit(
        &mut self,
        catalog: &Catalog,
        statement: Option<Ddl<'_>>,
        changes: &[CatalogChange],
    ) {
        let said = statement.and_then(created);
        let said = said.and_then(|create| create.on_commit);
        for change in changes {
            let CatalogChange::PutTable(table) = change else {
                continue;
            };
            let action = match catalog.table(&table.schema, &table.name) {
                None => said,
                Some(old) if old.id == table.id => None,
                Some(old) => {
                    let mut noted = self.on_commit.iter();
                    noted.find(|(id, _)| *id == old.id).map(|(_, of)| *of)
                }
            };
            let action = action.filter(|action| *action != OnCommit::PreserveRows);
            self.on_commit
                .extend(action.map(|action| (table.id, action)));
        }
    }

    /// Whether a statement may make a table that references one which is emptied: the commit refuses it.
    pub(super) fn may_be_unlike(&self, statement: Ddl<'_>) -> bool {
        !self.on_commit.is_empty() && created(statement).is_some()
    }

    /// Empties and drops the tables whose ON COMMIT says so, with the transaction that is about to commit.
    pub(super) fn act_on_commit(&mut self) -> Result<(), SqlError> {
        if self.on_commit.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog();
        let (mut emptied, mut dropped) = (Vec::new(), Vec::new());
        let mut is_written = self.has_changed_catalog();
        for (id, action) in &self.on_commit {
            let Some(table) = catalog.table_by_id(*id) else {
                continue;
            };
            let name = ObjectName::from(vec![quoted(&table.schema), quoted(&table.name)]);
            match action {
                OnCommit::Drop => dropped.push(name.to_string()),
                _ => {
                    is_written |= self.work.changes.read().changes_any(*id);
                    emptied.push(name.to_string());
                }
            }
        }
        // They may be written to in a transaction that is otherwise read only.
        let read_only = std::mem::take(&mut self.work.read_only);
        let mut done = Ok(());
        if is_written && !emptied.is_empty() {
            let emptying = self.change_quietly(&format!("TRUNCATE {}", emptied.join(", ")));
            done = emptying.map_err(unlike_parent);
        }
        if done.is_ok() && !dropped.is_empty() {
            let statement = format!("DROP TABLE {} CASCADE", dropped.join(", "));
            done = self.change_quietly(&statement);
        }
        self.work.read_only = read_only;
        done
    }

    /// Plans a statement about temporary tables and adds what it changes to the transaction.
    fn change_quietly(&mut self, statement: &str) -> Result<(), SqlError> {
        let mut parsed = crate::parse::parse(statement)?;
        let parsed = parsed.pop().and_then(Parsed::into_statement);
        let statement =
            parsed.ok_or_else(|| SqlError::new(ErrorKind::InternalError, "no statement"))?;
        loop {
            let (catalog, _) = self.catalog_to_change();
            let plan = self.plan_ddl(&catalog, Ddl::Sql(&statement, None))?;
            if self.engine.store.reserve_ids(&catalog, &plan.changes) {
                self.note_on_commit(&catalog, None, &plan.changes);
                return self.change_with_block(plan.changes);
            }
        }
    }

    /// Forgets tables that are not there any more, once nothing brings them back.
    pub(super) fn forget_on_commit(&mut self) {
        if !self.on_commit.is_empty() {
            let catalog = self.committed_catalog();
            self.on_commit
                .retain(|(id, _)| catalog.table_by_id(*id).is_some());
        }
    }
}

/// What PostgreSQL says where a table would be emptied and one that references it would not.
fn unlike_parent(error: SqlError) -> SqlError {
    match error.detail {
        Some(detail) if error.kind == ErrorKind::FeatureNotSupported => {
            let message = "unsupported ON COMMIT and foreign key combination";
            SqlError::new(ErrorKind::FeatureNotSupported, message).detail(format!(
                "{}, but they do not have the same ON COMMIT setting.",
                detail.trim_end_matches('.')
            ))
        }
        _ => error,
    }
}
