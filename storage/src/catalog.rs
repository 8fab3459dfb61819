//! The catalog as data: schemas, tables, roles. Immutable snapshots; a change makes a new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::datum::{ColumnType, Datum};

/// Identifies the data of one table. TRUNCATE gives a table a new one; none is ever used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(u32);

impl TableId {
    /// The id whose log holds the catalog's own records.
    pub const SYSTEM: TableId = TableId(0);

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
pub struct TableOptions {
    /// STREAM tables: how long a row lives, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// A partition with this many unflushed rows is flushed.
    pub flush_rows: u64,
    /// A partition whose oldest unflushed row is this old is flushed, if it is worth a file.
    pub flush_interval_ms: i64,
    /// How long a change stays in the log at least, in milliseconds: readers of the feed that fell behind by
    /// less resume exactly.
    #[serde(default = "resume_window_ms")]
    pub resume_window_ms: i64,
}

/// The resume window of tables that say nothing of it: a day.
pub const RESUME_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// What tables have that were made before there was the option.
fn resume_window_ms() -> i64 {
    RESUME_WINDOW_MS
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
    /// The default, as SQL text.
    pub default: Option<String>,
    /// The value of this column in rows that were written before it was added.
    pub missing: Datum,
}

/// The columns that records of one schema version hold, in their order.
pub type RecordLayout = Vec<(ColumnId, ColumnType)>;

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
    /// What `WITH (…)` set.
    pub options: TableOptions,
    /// Which of `layouts` new records are written in.
    pub schema_version: u32,
    /// The record layout of each schema version that there ever was, from 1.
    pub layouts: BTreeMap<u32, RecordLayout>,
    /// The id that the next added column gets.
    pub next_column_id: ColumnId,
}

impl TableDef {
    /// Where the column with this SQL name stands in `columns`.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Where the column with this id stands in `columns`.
    pub fn index_of(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    /// Where the primary key's columns stand in `columns`, in key order.
    pub fn key_indexes(&self) -> Vec<usize> {
        let index = |id: &ColumnId| self.index_of(*id).expect("a key column cannot be dropped");
        self.primary_key.iter().map(index).collect()
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

/// Field metadata key that names the PostgreSQL type where the Arrow type leaves it open.
pub const PG_TYPE_KEY: &str = "pg_type";

impl ColumnDef {
    /// The column as a field of its table's Arrow schema.
    pub fn field(&self) -> Field {
        self.ty.field(&self.name, !self.not_null)
    }
}

impl ColumnType {
    /// A field of this type, with the PostgreSQL type in its metadata where the Arrow type leaves it open.
    pub fn field(self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow(), nullable);
        let pg_type = match self {
            ColumnType::Jsonb => "jsonb".to_string(),
            ColumnType::Varchar(None) => "varchar".to_string(),
            ColumnType::Varchar(Some(n)) => format!("varchar({n})"),
            _ => return field,
        };
        field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_string(), pg_type)]))
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDef {
    /// Its name; also the partition of USER tables that it sees.
    pub name: String,
    /// Whether it may log in.
    pub login: bool,
    /// Whether it may do everything.
    pub superuser: bool,
    /// Whether it sees every partition of USER tables.
    pub bypass_rls: bool,
    /// PostgreSQL's `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, if it has a password.
    pub password: Option<String>,
}

/// The catalog at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Counts the changes; plans made at another version are stale.
    pub version: u64,
    /// Schema names.
    pub schemas: BTreeSet<String>,
    /// Tables by schema and name.
    pub tables: BTreeMap<(String, String), Arc<TableDef>>,
    /// Roles by name.
    pub roles: BTreeMap<String, Arc<RoleDef>>,
    /// The id that the next table gets.
    pub next_table_id: u32,
}

impl Catalog {
    /// The table with this schema and name.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<TableDef>> {
        self.tables.get(&(schema.to_string(), name.to_string()))
    }

    /// The table whose data has this id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableDef>> {
        self.tables.values().find(|table| table.id == id)
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
    /// is not the new one's (TRUNCATE), the old data goes for good. A new id must be the catalog's `next_table_id`.
    PutTable(Box<TableDef>),
    /// Removes a table and its data for good.
    DropTable {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// Adds or replaces a role.
    PutRole(RoleDef),
    /// Removes a role.
    DropRole(String),
}
