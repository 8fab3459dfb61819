//! VACUUM, ANALYZE, REINDEX and CHECKPOINT, which check what they name and do no more; SET CONSTRAINTS.

use datafusion::sql::sqlparser::ast::ObjectName;

use super::{Block, Notice, Outcome, Session};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::{Maintain, Reindexed};

impl Session {
    pub(super) async fn maintain(&mut self, maintain: &Maintain) -> Result<Outcome, SqlError> {
        let tag = match maintain {
            Maintain::Tables { verb, tables } => {
                // What they do, the background's compaction does, and statistics are of the files.
                if *verb == "VACUUM" {
                    self.refuse_in_block("VACUUM")?;
                }
                let (catalog, path) = (self.catalog(), self.search_path());
                for table in tables {
                    ddl::check_relation(&catalog, &path, table)?;
                }
                verb
            }
            Maintain::Reindex {
                of,
                name,
                concurrently,
            } => {
                self.reindex(*of, name.as_ref(), *concurrently)?;
                "REINDEX"
            }
            // What is acknowledged is synced already.
            Maintain::Checkpoint if self.is_superuser() => "CHECKPOINT",
            Maintain::Checkpoint => {
                let message =
                    "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT";
                return Err(SqlError::new(ErrorKind::InsufficientPrivilege, message));
            }
            Maintain::Constraints { names, deferred } => {
                if self.work.block == Block::None {
                    let message = "SET CONSTRAINTS can only be used in transaction blocks";
                    self.warn(ErrorKind::NoActiveTransaction, message);
                }
                self.set_constraints(names, *deferred).await?;
                "SET CONSTRAINTS"
            }
        };
        Ok(Outcome::Command(tag.to_string()))
    }

    /// An index is never other than its table.
    fn reindex(
        &mut self,
        of: Reindexed,
        name: Option<&ObjectName>,
        concurrently: bool,
    ) -> Result<(), SqlError> {
        if concurrently {
            self.refuse_in_block("REINDEX CONCURRENTLY")?;
        }
        let (catalog, path) = (self.catalog(), self.search_path());
        match (of, name) {
            (Reindexed::Index, Some(name)) => ddl::check_index(&catalog, &path, name),
            (Reindexed::Table, Some(name)) => {
                let table = ddl::resolve(&catalog, &path, name)?;
                if table.unique_keys().next().is_none() && table.indexes.is_empty() {
                    let message = format!("table \"{}\" has no indexes to reindex", table.name);
                    self.notices.push(Notice::Message {
                        severity: "NOTICE",
                        error: SqlError::new(ErrorKind::SuccessfulCompletion, message),
                    });
                }
                Ok(())
            }
            (Reindexed::Schema, Some(name)) => {
                self.refuse_in_block("REINDEX SCHEMA")?;
                let name = ddl::single(name)?;
                match catalog.schemas.contains(&name) {
                    true => Ok(()),
                    false => Err(ddl::no_schema(&name)),
                }
            }
            (of, name) => {
                self.refuse_in_block(match of {
                    Reindexed::System => "REINDEX SYSTEM",
                    _ => "REINDEX DATABASE",
                })?;
                match name.map(ddl::single).transpose()? {
                    Some(name) if name != self.catalog().database_name() => {
                        let message = "can only reindex the currently open database";
                        Err(SqlError::new(ErrorKind::FeatureNotSupported, message))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}
