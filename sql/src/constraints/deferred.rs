//! Checks of foreign keys and unique keys that wait for the end of their statement, or for COMMIT.
//!
//! Owns: what SET CONSTRAINTS says in the transaction under way, and what is still to be checked.
//! Guarantees: all of it is checked before the transaction commits, with the locks that last until then; what was checked
//! is checked again when the transaction goes back behind that.
//! Does not: defer anything beyond the end of a statement outside a transaction block.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::ObjectName;
use tidelog_storage::catalog::{Deferral, ForeignKeyDef, UniqueKey};
use tidelog_storage::{Catalog, CatalogChange, Datum, Partition, TableDef, TableId};

use super::references::no_parent;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::session::Session;

/// Values of a foreign key, each with the partition that it is in.
pub(super) type Keys = Vec<(Partition, Vec<Datum>)>;

/// Which rows a change may have left without the other side.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// New rows, which must have parents.
    Children,
    /// Parents that are gone, or have other keys, and must not have rows.
    Parents,
}

/// What is to be checked of one foreign key.
struct Check {
    child: TableId,
    parent: TableId,
    constraint: String,
    side: Side,
    keys: Arc<Keys>,
    /// How many savepoints there were when it was checked.
    done: Option<usize>,
}

/// What SET CONSTRAINTS has said: whether constraints are deferred.
#[derive(Clone, Default)]
struct Modes {
    all: Option<bool>,
    /// By the child and the name.
    named: HashMap<(TableId, String), bool>,
}

/// What waits to be checked in the transaction under way.
#[derive(Default)]
pub(crate) struct Deferred {
    modes: Modes,
    checks: Vec<Check>,
    /// Whether the statement under way brings more rows (COPY), which may be parents of those that lack them.
    pub(crate) goes_on: bool,
}

/// Where ROLLBACK TO goes back to.
#[derive(Clone)]
pub(crate) struct DeferredMark {
    modes: Modes,
    checks: usize,
}

impl Deferred {
    /// Whether the transaction checks a key of a table with its commit.
    fn defers(&self, child: TableId, key: &ForeignKeyDef) -> bool {
        self.defers_named(child, &key.name, key.deferral)
    }

    fn defers_named(&self, table: TableId, name: &str, deferral: Deferral) -> bool {
        let initially = match deferral {
            Deferral::NotDeferrable => return false,
            Deferral::InitiallyImmediate => false,
            Deferral::InitiallyDeferred => true,
        };
        let named = self.modes.named.get(&(table, name.to_string())).copied();
        named.or(self.modes.all).unwrap_or(initially)
    }

    pub(crate) fn mark(&self) -> DeferredMark {
        DeferredMark {
            modes: self.modes.clone(),
            checks: self.checks.len(),
        }
    }

    /// Goes back to a mark, which was made when there were `savepoints`.
    pub(crate) fn undo_to(&mut self, mark: DeferredMark, savepoints: usize) {
        self.goes_on = false;
        self.modes = mark.modes;
        self.checks.truncate(mark.checks);
        for check in &mut self.checks {
            check.done = check.done.filter(|done| *done <= savepoints);
        }
    }

    /// There are only so many savepoints left: what was done since belongs to what was before.
    pub(crate) fn released_to(&mut self, savepoints: usize) {
        for check in &mut self.checks {
            check.done = check.done.map(|done| done.min(savepoints));
        }
    }

    /// Whether changes of a table are still to be checked.
    fn is_pending(&self, table: TableId) -> bool {
        self.checks.iter().any(|check| {
            let changed = match check.side {
                Side::Children => check.child,
                Side::Parents => check.parent,
            };
            check.done.is_none() && changed == table
        })
    }
}

impl Session {
    /// Whether what a statement does is checked with the commit of its transaction, or at the end of all that it does.
    pub(super) fn is_deferred(&self, child: TableId, key: &ForeignKeyDef) -> bool {
        self.deferred().defers(child, key)
    }

    /// Has keys checked later.
    pub(super) fn put_off(
        &mut self,
        child: &TableDef,
        parent: &TableDef,
        key: &ForeignKeyDef,
        side: Side,
        keys: Keys,
    ) {
        self.deferred_mut().checks.push(Check {
            child: child.id,
            parent: parent.id,
            constraint: key.name.clone(),
            side,
            keys: Arc::new(keys),
            done: None,
        });
    }

    /// Checks what waits: all of it, or that which is not deferred any more. The locks that make it hold stay until the
    /// commit.
    pub(crate) async fn check_deferred(&mut self, all: bool) -> Result<(), SqlError> {
        for at in 0..self.deferred().checks.len() {
            let check = &self.deferred().checks[at];
            if check.done.is_some() {
                continue;
            }
            let (side, keys) = (check.side, check.keys.clone());
            let catalog = self.catalog();
            let child = catalog.table_by_id(check.child);
            let found = child.and_then(|child| {
                let mut of = child.foreign_keys.iter();
                Some((child, of.find(|key| key.name == check.constraint)?))
            });
            // What another transaction has dropped meanwhile holds no more.
            if let Some((child, key)) = found {
                if !all && self.deferred().defers(child.id, key) {
                    continue;
                }
                match side {
                    Side::Parents => self.check_gone(child, key, &keys).await?,
                    Side::Children => self.check_referring(child, key, &keys).await?,
                }
            }
            let savepoints = self.savepoints();
            self.deferred_mut().checks[at].done = Some(savepoints);
        }
        // Without a savepoint nothing goes back behind what is done.
        if self.savepoints() == 0 {
            let checks = &mut self.deferred_mut().checks;
            checks.retain(|check| check.done.is_none());
        }
        Ok(())
    }

    /// Checks what a statement has left that comes in parts.
    pub(crate) async fn end_parts(&mut self) -> Result<(), SqlError> {
        self.deferred_mut().goes_on = false;
        if self.defers_commit() {
            self.check_unique_now(0)?;
        }
        self.check_deferred(!self.defers_commit()).await
    }

    /// 23503 when a row that is still there has no parent.
    async fn check_referring(
        &mut self,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        keys: &Keys,
    ) -> Result<(), SqlError> {
        for (partition, values) in self.orphans(child, key, keys).await? {
            let (scope, values) = (self.latest_scope(), [values]);
            let rows = self.children(
                &scope,
                child,
                key,
                Side::Children,
                &partition,
                &values,
                Some(1),
            );
            if !rows.await?.is_empty() {
                return Err(no_parent(child, key, &values[0]));
            }
        }
        Ok(())
    }

    /// SET CONSTRAINTS, of all that can be deferred or of those with these names. What is IMMEDIATE now is checked.
    pub(crate) async fn set_constraints(
        &mut self,
        names: &[ObjectName],
        deferred: bool,
    ) -> Result<(), SqlError> {
        let (catalog, path) = (self.catalog(), self.search_path());
        let mut found = Vec::new();
        for name in names {
            found.extend(deferrable(&catalog, &path, name, deferred)?);
        }
        let modes = &mut self.deferred_mut().modes;
        if names.is_empty() {
            *modes = Modes {
                all: Some(deferred),
                named: HashMap::new(),
            };
        }
        modes
            .named
            .extend(found.into_iter().map(|of| (of, deferred)));
        match deferred {
            true => Ok(()),
            false => {
                self.check_unique_now(0)?;
                self.check_deferred(false).await
            }
        }
    }

    /// 23505 when two rows have one key that is deferrable, but not deferred now. What is deferred the commit finds.
    /// Only what the changes from this one on touch is looked at.
    pub(super) fn check_unique_now(&self, from: usize) -> Result<(), SqlError> {
        let deferred = self.deferred();
        let is_immediate = |table: &TableDef, key: UniqueKey<'_>| {
            !deferred.defers_named(table.id, key.name, key.deferral)
        };
        let snapshot = self.snapshot();
        let holder = |table: &TableDef, key: &[u8]| snapshot.holder(table, key);
        let changes = self.pending().read();
        let find = || changes.find_duplicate(from, is_immediate, holder);
        match tokio::task::block_in_place(find)? {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// 55006 for a change of a table of which something is still to be checked.
    pub(crate) fn check_nothing_pending(
        &self,
        catalog: &Catalog,
        changes: &[CatalogChange],
        tag: &str,
    ) -> Result<(), SqlError> {
        for change in changes {
            let (table, verb) = match change {
                CatalogChange::DropTable { schema, name } => {
                    (catalog.table(schema, name), "DROP TABLE")
                }
                CatalogChange::PutTable(new) => {
                    let old = catalog.table(&new.schema, &new.name);
                    match old {
                        Some(old) if old.id != new.id => (Some(old), "TRUNCATE"),
                        _ if matches!(tag, "ALTER TABLE" | "CREATE INDEX") => {
                            (catalog.table_by_id(new.id), tag)
                        }
                        _ => continue,
                    }
                }
                _ => continue,
            };
            if let Some(table) = table {
                let verb = if tag == "ALTER TABLE" { tag } else { verb };
                self.check_not_pending(table, verb)?;
            }
        }
        Ok(())
    }

    /// The same of one table.
    pub(crate) fn check_not_pending(&self, table: &TableDef, verb: &str) -> Result<(), SqlError> {
        if !self.deferred().is_pending(table.id) {
            return Ok(());
        }
        let message = format!(
            "cannot {verb} \"{}\" because it has pending trigger events",
            table.name
        );
        Err(SqlError::new(ErrorKind::ObjectInUse, message))
    }
}

/// The foreign keys with this name, by the child and the name: those of the first schema along the search path that has
/// constraints of this name.
fn deferrable(
    catalog: &Catalog,
    search_path: &[String],
    name: &ObjectName,
    deferred: bool,
) -> Result<Vec<(TableId, String)>, SqlError> {
    let (schema, name) = ddl::split(name)?;
    let schemas = match &schema {
        Some(schema) if !catalog.schemas.contains(schema) => return Err(ddl::no_schema(schema)),
        Some(schema) => std::slice::from_ref(schema),
        None => search_path,
    };
    for schema in schemas {
        let in_schema = catalog
            .tables
            .values()
            .filter(|table| table.schema == *schema);
        let of_name: Vec<_> = in_schema
            .filter(|table| ddl::constraint::has(table, &name))
            .collect();
        let mut found = Vec::new();
        for table in &of_name {
            let foreign = table
                .foreign_keys
                .iter()
                .map(|key| (&key.name, key.deferral));
            let unique = table.indexes.iter().map(|key| (&key.name, key.deferral));
            let mut named = foreign.chain(unique).filter(|(own, _)| **own == name);
            match named.any(|(_, deferral)| deferral != Deferral::NotDeferrable) {
                true => found.push((table.id, name.clone())),
                false if deferred => {
                    let message = format!("constraint \"{name}\" is not deferrable");
                    return Err(SqlError::new(ErrorKind::WrongObjectType, message));
                }
                false => {}
            }
        }
        if !of_name.is_empty() {
            return Ok(found);
        }
    }
    let message = format!("constraint \"{name}\" does not exist");
    Err(SqlError::new(ErrorKind::UndefinedObject, message))
}
