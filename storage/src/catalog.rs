//! The catalog as data: schemas, tables, roles. Immutable snapshots; a change makes a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

mod concern;
mod database;
mod role;
mod tags;

use crate::computed::{Compiled, CompilerSlot, ComputedDef};
use crate::datum::{ColumnType, Datum, EnumDef};
use crate::sequence::SequenceDef;

pub use concern::{ChangedAt, Concern, TEMPORARY_PREFIX, is_temporary};
pub use database::{Contents, Database, DatabaseDef, DatabaseId};
pub use role::{BOOTSTRAP_ROLE, RoleDef, RoleId, RoleRef};
pub use tags::PG_TYPE_KEY;

/// Identifies the data of one table. TRUNCATE gives a table a new one; none is ever used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(u32);

impl TableId {
    /// The id whose log holds the catalog's own records.
    pub const SYSTEM: TableId = TableId(0);
    /// The id under which notifications stand; no table ever gets it.
    pub const NOTIFICATIONS: TableId = TableId(u32::MAX);

    /// The id with this number.
    pub fn new(id: u32) -> TableId {
        TableId(id)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Identifies a column of a table for ever: a dropped column's id is not given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnId(u16);

impl ColumnId {
    /// The id with this number (PostgreSQL's `attnum`, from 1).
    pub fn new(id: u16) -> ColumnId {
        ColumnId(id)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// Identifies a key or index of a table: a dropped one's id is not given to another.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct IndexId(u16);

impl IndexId {
    /// The id of a primary key that was made with its table.
    pub const PRIMARY: IndexId = IndexId(0);

    /// The id with this number.
    pub fn new(id: u16) -> IndexId {
        IndexId(id)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// What kind of partitions and what lifetime a table's rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableKind {
    /// A partition per user.
    User,
    /// One partition that every session sees.
    Shared,
    /// One partition, rows live for the table's `ttl_ms` and are never flushed.
    Stream,
}

/// What `WITH (…)` sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // What tables lack that were made before there was an option.
pub struct TableOptions {
    /// STREAM tables: how long a row lives, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// A partition with this many unflushed rows is flushed.
    pub flush_rows: u64,
    /// A partition with this many bytes of unflushed records is flushed.
    pub flush_bytes: u64,
    /// A partition whose oldest unflushed row is this old is flushed, if it is worth a file.
    pub flush_interval_ms: i64,
    /// How long a change stays in the log at least, in milliseconds: readers of the feed that fell behind by
    /// less resume exactly.
    pub resume_window_ms: i64,
    /// How many bytes of flushed changes the log of all partitions keeps at most, however young they are.
    pub resume_bytes: Option<u64>,
    /// How long a version stays readable after it was superseded, in milliseconds.
    pub history_window_ms: i64,
    /// The columns that compaction sorts by, the most significant first; by Seq when there are none.
    pub cluster_by: Vec<ColumnId>,
    /// The object store that its new files go to; the default one without.
    pub storage: Option<String>,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        const HOUR_MS: i64 = 60 * 60 * 1000;
        TableOptions {
            ttl_ms: None,
            flush_rows: 100_000,
            flush_bytes: 64 << 20,
            flush_interval_ms: HOUR_MS,
            resume_window_ms: 24 * HOUR_MS,
            resume_bytes: None,
            history_window_ms: HOUR_MS,
            cluster_by: Vec::new(),
            storage: None,
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// Its identity.
    pub id: ColumnId,
    /// Its name in SQL.
    pub name: String,
    /// Its name in Parquet files, fixed when the column was added and unique in the table for ever.
    pub stored_name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Whether it was not always: rows of the past may have NULL then.
    #[serde(default)]
    pub once_null: bool,
    /// The default, as SQL text.
    pub default: Option<String>,
    /// The value of this column in rows that were written before it was added.
    pub missing: Datum,
    /// The sequence that goes when the column does.
    #[serde(default)]
    pub sequence: Option<u32>,
    /// Whether it is an identity column, and of which kind.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// What its value is computed by in every row (GENERATED ALWAYS AS … STORED), as SQL text over other columns.
    #[serde(default)]
    pub generated: Option<String>,
}

/// How an identity column takes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// Statements give values only with OVERRIDING SYSTEM VALUE.
    Always,
    /// Statements may give values.
    ByDefault,
}

/// The columns that records of one schema version hold, in their order.
pub type RecordLayout = Vec<(ColumnId, ColumnType)>;

/// The order that an index column was declared with. Entries are kept ascending, NULLs last, whatever it says: an
/// index is read from either end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnOrder {
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// A secondary index, of CREATE INDEX or of a UNIQUE constraint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexDef {
    /// Its identity.
    pub id: IndexId,
    /// Its name, of its table's schema.
    pub name: String,
    /// Its columns, in their order; those that are expressions are in `TableDef::computed`.
    pub columns: Vec<ColumnId>,
    /// How each of them was declared.
    pub orders: Vec<ColumnOrder>,
    /// Whether two rows of a partition may not have equal values (NULL equals nothing).
    pub unique: bool,
    /// Whether a UNIQUE constraint made it.
    pub constraint: bool,
    /// Whether that is a PRIMARY KEY which is deferrable: two rows may have equal values for a while, so it is not by them that
    /// rows are told apart, as by the primary key that is none of the indexes.
    #[serde(default)]
    pub primary: bool,
    /// Whether it has every row. Until then writes keep it, but nothing reads it.
    pub ready: bool,
    /// Which of `TableDef::computed` says which rows are in it (WHERE); all are without one.
    #[serde(default)]
    pub predicate: Option<ColumnId>,
    /// The columns of INCLUDE: they are shown, and go with the index.
    #[serde(default)]
    pub included: Vec<ColumnId>,
    /// When a unique one is checked.
    #[serde(default)]
    pub deferral: Deferral,
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckDef {
    /// Its name, of its table.
    pub name: String,
    /// The condition, as SQL text over the table's columns.
    pub condition: String,
    /// Whether the rows that were there before it have been checked.
    pub ready: bool,
    /// Whether it says nothing about rows that were there before it (NOT VALID).
    #[serde(default)]
    pub not_valid: bool,
}

/// What happens to rows whose parent goes or gets another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferentialAction {
    /// It is refused, once the statement is through.
    NoAction,
    /// It is refused at once.
    Restrict,
    /// They go too, or get the new key.
    Cascade,
    /// Their columns become NULL.
    SetNull,
    /// Their columns get their defaults.
    SetDefault,
}

/// When a constraint is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deferral {
    /// At the end of each statement.
    #[default]
    NotDeferrable,
    /// So, unless a transaction says that it is to be with its commit.
    InitiallyImmediate,
    /// With the commit, unless a transaction says that it is to be at the end of each statement.
    InitiallyDeferred,
}

/// A FOREIGN KEY constraint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKeyDef {
    /// Its name, of its table.
    pub name: String,
    /// The referencing columns.
    pub columns: Vec<ColumnId>,
    /// The schema and name of the referenced table.
    pub parent: (String, String),
    /// The referenced columns, one for each referencing one; together a unique key of the parent.
    pub parent_columns: Vec<ColumnId>,
    /// ON DELETE.
    pub on_delete: ReferentialAction,
    /// ON UPDATE.
    pub on_update: ReferentialAction,
    /// When it is checked that rows have parents, and that parents which are gone by NO ACTION have no rows.
    #[serde(default)]
    pub deferral: Deferral,
    /// Whether the rows that were there before it have been checked.
    pub ready: bool,
    /// Whether it says nothing about rows that were there before it (NOT VALID).
    #[serde(default)]
    pub not_valid: bool,
}

/// What of a table a comment is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TablePart {
    /// The table itself.
    Table,
    /// A column.
    Column(ColumnId),
    /// An index, also a constraint's.
    Index(IndexId),
    /// A constraint, by name.
    Constraint(String),
}

/// What in no table, view or sequence has a comment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Commented {
    /// The database.
    Database,
    /// A schema.
    Schema(String),
    /// A type, by its oid.
    Type(u32),
    /// A role.
    Role(String),
}

/// A key of which no two rows of a partition have equal values: the primary key, or a unique index.
#[derive(Clone, Copy, Debug)]
pub struct UniqueKey<'a> {
    /// Its identity.
    pub id: IndexId,
    /// The name of the constraint or index.
    pub name: &'a str,
    /// Its columns, in key order.
    pub columns: &'a [ColumnId],
    /// The condition that a row must meet to be in it.
    pub predicate: Option<ColumnId>,
    /// When it is checked.
    pub deferral: Deferral,
}

impl UniqueKey<'_> {
    /// Whether a transaction may have two rows of equal values for a while.
    pub fn is_deferrable(&self) -> bool {
        self.deferral != Deferral::NotDeferrable
    }
}

/// One table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDef {
    /// The id of its data.
    pub id: TableId,
    /// The schema it stands in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// USER, SHARED or STREAM.
    pub kind: TableKind,
    /// The columns, in SQL's order; dropped ones are gone from here.
    pub columns: Vec<ColumnDef>,
    /// The primary key's columns, in key order; empty when there is none.
    pub primary_key: Vec<ColumnId>,
    /// The name of the primary key constraint.
    pub primary_key_name: String,
    /// The primary key's identity among keys and indexes.
    pub primary_key_id: IndexId,
    /// The secondary indexes, in the order of their making.
    pub indexes: Vec<IndexDef>,
    /// The id that the next index gets.
    pub next_index_id: IndexId,
    /// The CHECK constraints.
    pub checks: Vec<CheckDef>,
    /// The FOREIGN KEY constraints, of which this table is the child.
    pub foreign_keys: Vec<ForeignKeyDef>,
    /// What `WITH (…)` set.
    pub options: TableOptions,
    /// Which of `layouts` new records are written in. It also changes with whatever else decides how a row is
    /// written: what was planned at another version is refused.
    pub schema_version: u32,
    /// The record layout of each schema version that there ever was, from 1.
    pub layouts: BTreeMap<u32, RecordLayout>,
    /// The id that the next added column gets.
    pub next_column_id: ColumnId,
    /// What COMMENT ON says of it and its parts.
    #[serde(default)]
    pub comments: Vec<(TablePart, String)>,
    /// Whose rows it has when it is a materialized view.
    #[serde(default)]
    pub materialized: Option<Materialized>,
    /// Whether DISABLE TRIGGER ALL was said of it: its rows obey no foreign key, and what becomes of them is told to none.
    #[serde(default)]
    pub triggers_disabled: bool,
    /// The expressions that its indexes have as columns and conditions.
    #[serde(default)]
    pub computed: Vec<ComputedDef>,
    /// What computes them.
    #[serde(skip)]
    pub compiled: Compiled,
}

/// What a materialized view has that a table has not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Materialized {
    /// The query that gives its rows, as SQL text whose relations are named with their schemas.
    pub query: String,
    /// Whether it was run.
    pub populated: bool,
}

impl TableDef {
    /// Whether who has read all of the other, of the same rows, has what a reader of this one gets: under the same name, in
    /// the same columns, told apart by the same key.
    pub(crate) fn looks_like(&self, other: &TableDef) -> bool {
        let columns = |of: &TableDef| {
            let columns = of.columns.iter();
            columns
                .map(|column| (column.id, column.ty, column.name.clone()))
                .collect::<Vec<_>>()
        };
        (&self.schema, &self.name, &self.primary_key)
            == (&other.schema, &other.name, &other.primary_key)
            && columns(self) == columns(other)
    }

    /// A new table of these columns, whose ids count from 1, without keys.
    pub fn new(
        id: TableId,
        (schema, name): (&str, &str),
        kind: TableKind,
        columns: Vec<ColumnDef>,
        options: TableOptions,
    ) -> TableDef {
        let layout = columns
            .iter()
            .map(|column| (column.id, column.ty))
            .collect();
        TableDef {
            id,
            schema: schema.to_string(),
            name: name.to_string(),
            kind,
            next_column_id: ColumnId::new(columns.len() as u16 + 1),
            columns,
            primary_key: Vec::new(),
            primary_key_name: String::new(),
            primary_key_id: IndexId::PRIMARY,
            indexes: Vec::new(),
            next_index_id: IndexId::new(1),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            options,
            schema_version: 1,
            layouts: BTreeMap::from([(1, layout)]),
            comments: Vec::new(),
            materialized: None,
            triggers_disabled: false,
            computed: Vec::new(),
            compiled: Compiled::default(),
        }
    }

    /// Where the column with this SQL name stands in `columns`.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Where the column with this id stands in `columns`.
    pub fn index_of(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// Whether one of its columns is computed from others.
    pub fn has_generated(&self) -> bool {
        self.columns.iter().any(|column| column.generated.is_some())
    }

    /// Where the primary key's columns stand in `columns`, in key order.
    pub fn key_indexes(&self) -> Vec<usize> {
        let index = |id: &ColumnId| self.index_of(*id).expect("a key column cannot be dropped");
        self.primary_key.iter().map(index).collect()
    }

    /// Its unique keys, the primary key first; those that are not ready, too.
    pub fn unique_keys(&self) -> impl Iterator<Item = UniqueKey<'_>> {
        let unique = self.indexes.iter().filter(|index| index.unique);
        self.primary()
            .into_iter()
            .chain(unique.map(|index| UniqueKey {
                id: index.id,
                name: &index.name,
                columns: &index.columns,
                predicate: index.predicate,
                deferral: index.deferral,
            }))
    }

    /// The primary key, if it has one.
    pub fn primary(&self) -> Option<UniqueKey<'_>> {
        (!self.primary_key.is_empty()).then_some(UniqueKey {
            id: self.primary_key_id,
            name: &self.primary_key_name,
            columns: &self.primary_key,
            predicate: None,
            deferral: Deferral::NotDeferrable,
        })
    }

    /// Whether it has a primary key, be it deferrable.
    pub fn has_primary(&self) -> bool {
        !self.primary_key.is_empty() || self.deferrable_primary().is_some()
    }

    /// The index of a primary key that is deferrable.
    pub fn deferrable_primary(&self) -> Option<&IndexDef> {
        self.indexes.iter().find(|index| index.primary)
    }

    /// Makes what was a unique index the primary key.
    pub fn set_primary(&mut self, index: IndexDef) {
        self.primary_key = index.columns;
        self.primary_key_name = index.name;
        self.primary_key_id = index.id;
    }

    /// The unique keys that rows of other tables can refer to: those that every row is in, and that hold at any time.
    pub fn referable_keys(&self) -> impl Iterator<Item = UniqueKey<'_>> {
        self.unique_keys()
            .filter(|key| key.predicate.is_none() && !key.is_deferrable())
    }

    /// Whether it has a unique key that is deferrable.
    pub fn has_deferrable(&self) -> bool {
        self.unique_keys().any(|key| key.is_deferrable())
    }

    /// Whether this is one.
    pub(crate) fn is_deferrable(&self, id: IndexId) -> bool {
        self.unique_key(id).is_some_and(|key| key.is_deferrable())
    }

    /// The unique key with this id.
    pub fn unique_key(&self, id: IndexId) -> Option<UniqueKey<'_>> {
        self.unique_keys().find(|key| key.id == id)
    }

    /// Whether this key or index has every row that it is to have.
    pub(crate) fn is_ready(&self, id: IndexId) -> bool {
        (self.indexes.iter()).all(|index| index.id != id || index.ready)
    }

    /// Whether it has this key or index, ready or not.
    pub(crate) fn has_index(&self, id: IndexId) -> bool {
        let primary = self.primary().is_some_and(|key| key.id == id);
        primary || self.indexes.iter().any(|index| index.id == id)
    }

    /// Those that it has.
    pub(crate) fn index_ids(&self) -> impl Iterator<Item = IndexId> {
        let primary = self.primary().map(|key| key.id);
        primary
            .into_iter()
            .chain(self.indexes.iter().map(|index| index.id))
    }

    /// The table without the indexes and constraints that are not ready; `None` when all are.
    pub(crate) fn finished(&self) -> Option<TableDef> {
        let mut table = self.clone();
        table.indexes.retain(|index| index.ready);
        table.prune_computed();
        table.checks.retain(|check| check.ready);
        table.foreign_keys.retain(|key| key.ready);
        (table != *self).then(|| {
            table.bump_schema_version();
            table
        })
    }

    /// The Arrow schema of its rows: the columns in SQL's order, under their SQL names.
    ///
    /// A type that Arrow does not tell from another (jsonb, varchar) is named in the field's metadata
    /// under [`PG_TYPE_KEY`].
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(ColumnDef::field).collect();
        Arc::new(Schema::new(fields))
    }

    /// Closes the present record layout and starts a new one from `columns`.
    pub fn bump_schema_version(&mut self) {
        self.schema_version += 1;
        let layout = self
            .columns
            .iter()
            .map(|column| (column.id, column.ty))
            .collect();
        self.layouts.insert(self.schema_version, layout);
    }
}

impl ColumnDef {
    /// The column as a field of its table's Arrow schema.
    pub fn field(&self) -> Field {
        self.ty.field(&self.name, !self.not_null || self.once_null)
    }
}

/// The first oid that PostgreSQL gives to what users make: tables, sequences and types count from here.
pub const FIRST_USER_OID: u32 = 16384;

/// A view: a query with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewDef {
    /// The schema it stands in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns, by name and type.
    pub columns: Vec<(String, ColumnType)>,
    /// The query, as SQL text in which every relation is named with its schema.
    pub query: String,
    /// What COMMENT ON says of it (0) and of its columns, by their numbers from 1.
    #[serde(default)]
    pub comments: Vec<(u16, String)>,
}

/// The catalog at one moment. It looks into one of the databases: what is in that one is at hand as if it were the
/// catalog's own (`Deref`).
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Counts the changes; plans made at another version are stale.
    pub version: u64,
    /// When what was changed.
    pub changed_at: ChangedAt,
    /// The database that is looked into.
    pub database: DatabaseId,
    /// All databases.
    pub databases: Arc<BTreeMap<DatabaseId, Database>>,
    /// Roles by name.
    pub roles: Arc<BTreeMap<String, Arc<RoleDef>>>,
    /// The id that the next table gets. Whoever plans on it has the store reserve what it takes (`Store::reserve_ids`).
    pub next_table_id: u32,
    /// The object stores that tables may name as their storage: not data, but how the server was started.
    pub storages: BTreeSet<String>,
    /// What reads the expressions of its tables' indexes.
    pub compiler: CompilerSlot,
}

impl Catalog {
    /// The table with this schema and name.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<TableDef>> {
        self.tables.get(&(schema.to_string(), name.to_string()))
    }

    /// The sequence with this schema and name.
    pub fn sequence(&self, schema: &str, name: &str) -> Option<&Arc<SequenceDef>> {
        self.sequences.get(&(schema.to_string(), name.to_string()))
    }

    /// The sequence with this id.
    pub fn sequence_by_id(&self, id: u32) -> Option<&Arc<SequenceDef>> {
        self.sequences.values().find(|sequence| sequence.id == id)
    }

    /// The oid that the next enum type gets: even, because the next one is that of its arrays.
    pub fn next_type_oid(&self) -> u32 {
        FIRST_USER_OID + self.next_table_id.next_multiple_of(2)
    }

    /// The enum type that has this oid, or the type of its arrays.
    pub fn type_by_oid(&self, oid: u32) -> Option<ColumnType> {
        self.types
            .values()
            .find_map(|of| match of.definition().oid {
                own if own == oid => Some(ColumnType::Enum(*of)),
                // The odd oid behind an enum's own is that of its arrays.
                own if own + 1 == oid => ColumnType::Enum(*of).array(),
                _ => None,
            })
    }

    /// The view with this schema and name.
    pub fn view(&self, schema: &str, name: &str) -> Option<&Arc<ViewDef>> {
        self.views.get(&(schema.to_string(), name.to_string()))
    }
}

/// One step of a catalog change; the steps of one commit take effect together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CatalogChange {
    /// Adds a schema.
    CreateSchema(String),
    /// Removes a schema, which must be empty.
    DropSchema(String),
    /// Adds the table or replaces the one of the same schema and name. When a replaced table's data id
    /// is not the new one's (TRUNCATE), the old data goes for good. No other table ever had a new id.
    PutTable(Box<TableDef>),
    /// Removes a table and its data for good.
    DropTable {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// Adds or replaces an enum type. No other type ever had a new oid.
    PutType(EnumDef),
    /// Removes an enum type, which no column may have.
    DropType {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// Adds or replaces a sequence. No other ever had a new id.
    PutSequence(SequenceDef),
    /// Removes a sequence.
    DropSequence {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// Adds the view or replaces the one of the same schema and name.
    PutView(Box<ViewDef>),
    /// Removes a view.
    DropView {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// A change in another database than the first. What it says of roles or databases is the same in each.
    In(DatabaseId, Box<CatalogChange>),
    /// Adds a database. No other ever had its id.
    CreateDatabase(DatabaseDef),
    /// Removes a database and all that is in it for good; not the first one.
    DropDatabase(DatabaseId),
    /// Gives a database another name, which no other has; not the first one.
    RenameDatabase(DatabaseDef),
    /// Adds or replaces a role. No other ever had a new id.
    PutRole(RoleDef),
    /// Removes a role.
    DropRole(String),
    /// Gives a role another name, which no other has.
    RenameRole {
        /// What it is called.
        name: String,
        /// What it is to be called.
        to: String,
    },
    /// Puts a comment on something, or takes it off.
    PutComment {
        /// What it is on.
        on: Commented,
        /// `None` takes it off.
        text: Option<String>,
    },
}

impl CatalogChange {
    /// The change, wherever it is made.
    pub fn itself(&self) -> &CatalogChange {
        match self {
            CatalogChange::In(_, change) => change.itself(),
            change => change,
        }
    }
}
