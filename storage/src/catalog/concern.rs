//! What a catalog change is about, and so which others it can meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Catalog, CatalogChange, Commented, FIRST_USER_OID, TableDef, ViewDef};
use crate::datum::{ColumnType, ElementType};

/// A part of the catalog. Changes of different parts never meet: who plans one need not know of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// What one session has for itself, in its schema of temporary objects.
    Temporary,
    /// The roles.
    Roles,
    /// All else.
    Lasting,
}

/// How the schemas of temporary objects begin: each belongs to one session.
pub const TEMPORARY_PREFIX: &str = "pg_temp_";

/// Whether a schema is one of temporary objects.
pub fn is_temporary(schema: &str) -> bool {
    schema.starts_with(TEMPORARY_PREFIX)
}

/// The version at which each part was changed last.
#[derive(Clone, Debug, Default)]
pub struct ChangedAt {
    roles: u64,
    lasting: u64,
    /// By the schema.
    temporary: Arc<BTreeMap<String, u64>>,
}

impl ChangedAt {
    /// All parts at one version.
    pub(crate) fn all(version: u64) -> ChangedAt {
        ChangedAt {
            roles: version,
            lasting: version,
            temporary: Arc::default(),
        }
    }

    pub(crate) fn note(&mut self, change: &CatalogChange, version: u64) {
        match (change.concern(), change.itself()) {
            (Concern::Temporary, CatalogChange::DropSchema(schema)) => {
                Arc::make_mut(&mut self.temporary).remove(schema);
            }
            (Concern::Temporary, change) => {
                let schema = change.schema().map(String::from);
                Arc::make_mut(&mut self.temporary).extend(schema.map(|schema| (schema, version)));
            }
            (Concern::Roles, _) => self.roles = version,
            (Concern::Lasting, _) => self.lasting = version,
        }
    }
}

impl Concern {
    /// Which part a schema is, with all that is in it.
    pub fn of_schema(schema: &str) -> Concern {
        match is_temporary(schema) {
            true => Concern::Temporary,
            false => Concern::Lasting,
        }
    }
}

impl CatalogChange {
    /// Which part of the catalog it changes.
    pub fn concern(&self) -> Concern {
        match self.itself() {
            CatalogChange::PutRole(_)
            | CatalogChange::DropRole(_)
            | CatalogChange::RenameRole { .. }
            | CatalogChange::PutComment {
                on: Commented::Role(_),
                ..
            } => Concern::Roles,
            change => change.schema().map_or(Concern::Lasting, Concern::of_schema),
        }
    }

    /// The schema that it changes, or something in it.
    pub fn schema(&self) -> Option<&str> {
        Some(match self.itself() {
            CatalogChange::CreateSchema(schema) | CatalogChange::DropSchema(schema) => schema,
            CatalogChange::PutTable(table) => &table.schema,
            CatalogChange::PutSequence(sequence) => &sequence.schema,
            CatalogChange::PutView(view) => &view.schema,
            CatalogChange::PutType(of) => &of.schema,
            CatalogChange::DropTable { schema, .. }
            | CatalogChange::DropType { schema, .. }
            | CatalogChange::DropSequence { schema, .. }
            | CatalogChange::DropView { schema, .. } => schema,
            CatalogChange::In(..)
            | CatalogChange::CreateDatabase(_)
            | CatalogChange::DropDatabase(_)
            | CatalogChange::RenameDatabase(_)
            | CatalogChange::PutRole(_)
            | CatalogChange::DropRole(_)
            | CatalogChange::RenameRole { .. }
            | CatalogChange::PutComment { .. } => return None,
        })
    }

    /// The first id behind those that it gives, or has given.
    pub(crate) fn ids_end(&self) -> u32 {
        match self.itself() {
            CatalogChange::PutTable(table) => table.id.get() + 1,
            CatalogChange::PutSequence(sequence) => sequence.id + 1,
            // Two oids: its own and that of its arrays.
            CatalogChange::PutType(of) => of.oid - FIRST_USER_OID + 2,
            // The role that is there from the start has a lower one.
            CatalogChange::PutRole(role) => (role.id.oid() + 1).saturating_sub(FIRST_USER_OID),
            CatalogChange::CreateDatabase(def) => def.id.oid() - FIRST_USER_OID + 1,
            _ => 0,
        }
    }
}

impl Catalog {
    /// Whether changes that were planned at a version may not be made on this one, since what they are about was
    /// changed in between.
    pub fn is_past(&self, version: u64, changes: &[CatalogChange]) -> bool {
        changes.iter().any(|change| {
            let of_schema = |schema| self.changed_at.temporary.get(schema);
            // Who changes a type changes other sessions' temporary tables of it, too.
            let temporary = change.schema().and_then(of_schema);
            temporary.is_some_and(|at| *at > version) || self.is_changed(change.concern(), version)
        })
    }

    /// Whether somebody may have changed a part of it after a version. Who plans for what is temporary is its session.
    pub fn is_changed(&self, part: Concern, version: u64) -> bool {
        match part {
            Concern::Temporary => false,
            Concern::Roles => self.changed_at.roles > version,
            Concern::Lasting => self.changed_at.lasting > version,
        }
    }

    /// A temporary table or view with a type that is not there (any more), if there is one.
    pub(crate) fn without_type(&self) -> Option<String> {
        let contents = self.databases.values().map(|database| database.contents());
        contents.into_iter().find_map(|contents| {
            let lost = |ty: ColumnType| match ty {
                ColumnType::Enum(of)
                | ColumnType::Array(ElementType::Enum(of))
                | ColumnType::Shaped(ElementType::Enum(of)) => {
                    !contents.types.values().any(|there| *there == of)
                }
                _ => false,
            };
            let table = |table: &&TableDef| table.columns.iter().any(|column| lost(column.ty));
            let view = |view: &&ViewDef| view.columns.iter().any(|(_, ty)| lost(*ty));
            let temporary = |name: &(String, String)| is_temporary(&name.0);
            let tables = contents.tables.iter().filter(|(name, _)| temporary(name));
            let found = tables.map(|(_, def)| &**def).find(table);
            let views = contents.views.iter().filter(|(name, _)| temporary(name));
            let found = found.map(|def| &def.name);
            found
                .or_else(|| views.map(|(_, def)| &**def).find(view).map(|def| &def.name))
                .cloned()
        })
    }
}
