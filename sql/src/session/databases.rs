//! Databases: which one a session is in, and whether others are in one that is to be dropped.

use std::time::{Duration, Instant};

use tidelog_storage::{Catalog, DatabaseId};

use super::Session;
use crate::activity::Signal;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::DatabaseCommand;

/// How long others have time to leave a database.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

impl Session {
    /// 3D000 when the session's database was dropped.
    pub(crate) fn check_database(&self, catalog: &Catalog) -> Result<(), SqlError> {
        match catalog.databases.contains_key(&self.login().database) {
            true => Ok(()),
            false => {
                let message = "the database was dropped";
                Err(SqlError::new(ErrorKind::UndefinedDatabase, message))
            }
        }
    }

    /// Before DROP DATABASE and the renaming of one: waits until others have left it, and asks them to when it is forced.
    pub(super) async fn clear_database(&self, command: &DatabaseCommand) -> Result<(), SqlError> {
        let (name, force) = match command {
            DatabaseCommand::Create { .. } => return self.refuse_in_block("CREATE DATABASE"),
            DatabaseCommand::Drop { name, force, .. } => {
                self.refuse_in_block("DROP DATABASE")?;
                (name, *force)
            }
            DatabaseCommand::Rename { name, .. } => (name, false),
        };
        let catalog = self.catalog();
        let Some(database) = catalog.database_named(&ddl::fold(name)) else {
            return Ok(());
        };
        self.require_superuser(match command {
            DatabaseCommand::Rename { .. } => "ALTER DATABASE",
            _ => "DROP DATABASE",
        })?;
        if database.id == catalog.database || database.id == DatabaseId::FIRST {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            let others = self.activities().of(database.id);
            if others.is_empty() {
                return Ok(());
            }
            if begun.elapsed() >= PATIENCE {
                return Err(in_use(&database.name, others.len()));
            }
            if force {
                others.iter().for_each(|other| other.ask(Signal::Terminate));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// 55006 when somebody is in a database.
    pub(super) fn check_unused(&self, catalog: &Catalog, id: DatabaseId) -> Result<(), SqlError> {
        let others = self.activities().of(id).len();
        let database = catalog.databases.get(&id);
        match database.filter(|_| others > 0) {
            Some(database) => Err(in_use(&database.def.name, others)),
            None => Ok(()),
        }
    }
}

fn in_use(name: &str, others: usize) -> SqlError {
    let message = format!("database \"{name}\" is being accessed by other users");
    let detail = match others {
        1 => "There is 1 other session using the database.".to_string(),
        others => format!("There are {others} other sessions using the database."),
    };
    SqlError::new(ErrorKind::ObjectInUse, message).detail(detail)
}
