//! The catalog: what its log says, and what its tables reference.

use super::{Checker, Invariant};
use crate::catalog::{Catalog, ForeignKeyDef, TableDef, TableId, UniqueKey};
use crate::commit::ddl;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{scope_end, scope_key, seq_of};
use crate::record;
use crate::transaction::Partition;

/// The unique key of the parent that a foreign key references, whatever the order of its columns.
pub(super) fn referenced<'a>(parent: &'a TableDef, key: &ForeignKeyDef) -> Option<UniqueKey<'a>> {
    parent.referable_keys().find(|unique| {
        unique.columns.len() == key.parent_columns.len()
            && (unique.columns.iter()).all(|column| key.parent_columns.contains(column))
    })
}

impl Checker<'_> {
    pub(super) fn catalog(&mut self) -> Result<(), StorageError> {
        self.report.tables = self.tables.len() as u64;
        self.references();
        if let Some(mirror) = self.replay()? {
            self.compare(&mirror)?;
        }
        Ok(())
    }

    /// Foreign keys reference a unique key of a table that exists.
    fn references(&mut self) {
        for table in self.tables.values() {
            for key in &table.foreign_keys {
                let (schema, name) = &key.parent;
                let what = match self.catalog.beside(table.id, &key.parent) {
                    None => format!(
                        "{} references {schema}.{name}, which is not there",
                        key.name
                    ),
                    Some(parent) if referenced(parent, key).is_none() => {
                        format!("{} references no unique key of {schema}.{name}", key.name)
                    }
                    Some(_) => continue,
                };
                let place = format!("{}.{}", table.schema, table.name);
                self.report.find(Invariant::ReferencesHold, place, what);
            }
        }
    }

    /// The catalog that its log gives; `None` when the log cannot be read to its end.
    fn replay(&mut self) -> Result<Option<Catalog>, StorageError> {
        let scope = scope_key(TableId::SYSTEM, &Partition::shared());
        let (mut mirror, mut pending) = (ddl::initial(), Vec::new());
        let mut records = (self.hot).iterate(Family::Log, &scope, scope_end(scope.clone()));
        while let Some((key, value)) = records.item() {
            let seq = seq_of(key)?;
            let broken = |what: String| format!("the catalog change {seq}: {what}");
            let (change, last) = match record::parse_catalog(value) {
                Ok(parsed) => parsed,
                Err(error) => {
                    let what = broken(error.to_string());
                    self.report.find(Invariant::RecordsDecode, "catalog", what);
                    return Ok(None);
                }
            };
            self.report.records += 1;
            pending.push(change);
            if last {
                match ddl::try_changed(&mirror, &std::mem::take(&mut pending)) {
                    Ok(next) => mirror = next,
                    Err(what) => {
                        let what = broken(what);
                        self.report
                            .find(Invariant::CatalogMirrored, "catalog", what);
                        return Ok(None);
                    }
                }
            }
            records.next();
        }
        records.status()?;
        if !pending.is_empty() {
            let what = "its log ends inside a change";
            self.report
                .find(Invariant::CatalogMirrored, "catalog", what);
        }
        Ok(Some(mirror))
    }

    fn compare(&mut self, mirror: &Catalog) -> Result<(), StorageError> {
        let (stored, logged) = (ddl::objects(&self.catalog)?, ddl::objects(mirror)?);
        let shown = |key: &[u8]| String::from_utf8_lossy(&key[1..]).replace('\0', ".");
        for (key, value) in &stored {
            if logged.get(key) != Some(value) {
                let what = format!("{} is not as its log has it", shown(key));
                self.report
                    .find(Invariant::CatalogMirrored, "catalog", what);
            }
        }
        for key in logged.keys().filter(|key| !stored.contains_key(*key)) {
            let what = format!("{} is in its log only", shown(key));
            self.report
                .find(Invariant::CatalogMirrored, "catalog", what);
        }
        Ok(())
    }
}
