//! Databases: each has schemas, and what stands in them, of its own. Roles and object stores are shared by all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    BOOTSTRAP_ROLE, Catalog, CatalogChange, ChangedAt, Commented, FIRST_USER_OID, TableDef,
    TableId, ViewDef,
};
use crate::computed::CompilerSlot;
use crate::datum::EnumType;
use crate::sequence::SequenceDef;

/// A database's identity, which is its oid: no later one has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseId(u32);

impl DatabaseId {
    /// The database `postgres`, which is there from the start and always.
    pub const FIRST: DatabaseId = DatabaseId(5);

    /// Its oid.
    pub fn oid(self) -> u32 {
        self.0
    }

    /// Changes in this database, as whoever commits them takes them.
    pub fn changes(self, changes: Vec<CatalogChange>) -> Vec<CatalogChange> {
        let inside = |change| match change {
            CatalogChange::In(..) => change,
            change => CatalogChange::In(self, Box::new(change)),
        };
        match self {
            DatabaseId::FIRST => changes,
            _ => changes.into_iter().map(inside).collect(),
        }
    }

    pub(crate) fn from_bytes(bytes: [u8; 4]) -> DatabaseId {
        DatabaseId(u32::from_be_bytes(bytes))
    }
}

/// A database, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseDef {
    /// Its identity.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
}

/// What is in a database.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Schema names.
    pub schemas: BTreeSet<String>,
    /// Tables by schema and name.
    pub tables: BTreeMap<(String, String), Arc<TableDef>>,
    /// Enum types by schema and name.
    pub types: BTreeMap<(String, String), EnumType>,
    /// Sequences by schema and name.
    pub sequences: BTreeMap<(String, String), Arc<SequenceDef>>,
    /// Views by schema and name; no table has one of these names.
    pub views: BTreeMap<(String, String), Arc<ViewDef>>,
    /// Comments on what has no definition of its own to keep them. Those on roles are in the first database.
    pub comments: BTreeMap<Commented, String>,
}

/// A database and what is in it.
#[derive(Clone, Debug)]
pub struct Database {
    /// What it is called.
    pub def: DatabaseDef,
    pub(crate) contents: Arc<Contents>,
}

impl Database {
    /// A new one.
    pub(crate) fn new(def: DatabaseDef) -> Database {
        let schemas = BTreeSet::from(["public".to_string()]);
        let contents = Contents {
            schemas,
            ..Contents::default()
        };
        Database {
            def,
            contents: Arc::new(contents),
        }
    }

    /// What is in it.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }
}

impl Default for Catalog {
    fn default() -> Catalog {
        let first = Database {
            def: DatabaseDef {
                id: DatabaseId::FIRST,
                name: BOOTSTRAP_ROLE.to_string(),
            },
            contents: Arc::default(),
        };
        Catalog {
            version: 0,
            changed_at: ChangedAt::default(),
            database: DatabaseId::FIRST,
            databases: Arc::new([(DatabaseId::FIRST, first)].into()),
            roles: Arc::default(),
            next_table_id: 0,
            storages: BTreeSet::new(),
            compiler: CompilerSlot::default(),
        }
    }
}

/// What is in the database that is looked into; nothing when that was dropped.
impl Deref for Catalog {
    type Target = Contents;

    fn deref(&self) -> &Contents {
        static NOTHING: LazyLock<Contents> = LazyLock::new(Contents::default);
        let database = self.databases.get(&self.database);
        database.map_or(&NOTHING, |database| &database.contents)
    }
}

impl DerefMut for Catalog {
    fn deref_mut(&mut self) -> &mut Contents {
        let database = Arc::make_mut(&mut self.databases).get_mut(&self.database);
        let database = database.expect("whoever changes a database has seen that it is there");
        Arc::make_mut(&mut database.contents)
    }
}

impl Catalog {
    /// The same, looking into another database.
    pub fn looking_into(self: &Arc<Catalog>, database: DatabaseId) -> Arc<Catalog> {
        match self.database == database {
            true => self.clone(),
            false => Arc::new(Catalog {
                database,
                ..Catalog::clone(self)
            }),
        }
    }

    /// The database of this name.
    pub fn database_named(&self, name: &str) -> Option<&DatabaseDef> {
        let named = |database: &&Database| database.def.name == name;
        self.databases.values().find(named).map(|found| &found.def)
    }

    /// What the database that is looked into is called; empty when it was dropped.
    pub fn database_name(&self) -> &str {
        let database = self.databases.get(&self.database);
        database.map_or("", |database| &database.def.name)
    }

    /// The id that the next database gets.
    pub fn next_database_id(&self) -> DatabaseId {
        DatabaseId(FIRST_USER_OID + self.next_table_id)
    }

    /// The tables of all databases.
    pub fn all_tables(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        let databases = self.databases.values();
        databases.flat_map(|database| database.contents.tables.values())
    }

    /// The table whose data has this id, in whatever database.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableDef>> {
        self.all_tables().find(|table| table.id == id)
    }

    /// The database that a table is in.
    pub fn database_of(&self, id: TableId) -> Option<DatabaseId> {
        let has = |database: &&Database| database.contents.tables.values().any(|of| of.id == id);
        self.databases.values().find(has).map(|found| found.def.id)
    }

    /// The table of this name in the database that another table is in.
    pub(crate) fn beside(&self, id: TableId, name: &(String, String)) -> Option<&Arc<TableDef>> {
        let database = self.databases.get(&self.database_of(id)?)?;
        database.contents.tables.get(name)
    }
}
