//! Relations that are made when they are read: pg_catalog, information_schema and `tidelog`.
//!
//! Every relation of PostgreSQL 15's two schemas exists with its columns; those that Tidelog has something to say
//! in have rows. Their oids are as stable as what they name: a table's is that of its id, a schema's or role's is
//! made from its name.

mod activity;
pub(crate) mod candidates;
mod comments;
pub(crate) mod deparse;
mod extensions;
pub(crate) mod functions;
mod information_schema;
mod kept;
pub(crate) mod keys;
mod pg_catalog;
mod pg_depend;
pub(crate) mod pg_proc;
mod pg_type;
mod privileges;
mod sequence;
pub(crate) mod settings;
mod showing;
pub(crate) mod statistics;
mod tidelog;
mod timezones;
mod views;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ToDFSchema;
use datafusion::datasource::MemTable;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidelog_storage::catalog::FIRST_USER_OID;
use tidelog_storage::datum::ColumnBuilder;
use tidelog_storage::{
    Catalog, ColumnType, Datum, ElementType, IntervalModifier, PrintedType, RegType, StorageError,
    TableDef,
};

pub(crate) use activity::{cursor_rows, statement_rows};
pub(crate) use extensions::EXTENSIONS;
pub(crate) use sequence::SequenceRelation;
pub(crate) use settings::settings_rows;
pub(crate) use showing::Showing;

use crate::activity::Activity;
use crate::error::SqlError;
use crate::locks::{Locked, ShownLock};
use crate::output::VECTOR;
use crate::provider::{Access, Scope, blocking};
use crate::table_scan::{Found, FoundExec};
use crate::text;

/// What PostgreSQL 15's catalogs look like: `schema.relation oid kind column:type …`, from its own pg_attribute.
const RELATIONS: &str = include_str!("system/relations.txt");

/// A relation of a system schema.
#[derive(Clone, Debug)]
pub(crate) struct SystemRelation {
    schema: &'static str,
    name: &'static str,
    oid: i64,
    kind: &'static str,
    columns: Vec<(&'static str, Shape)>,
    showing: Showing,
    /// The functions that can be called, where that matters.
    callable: Option<Arc<BTreeSet<&'static str>>>,
}

/// What a catalog column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Value(ColumnType),
    /// An array, made from its text.
    Array(ColumnType),
    /// An array that is shown as its elements with spaces between.
    Vector(ColumnType),
}

impl Shape {
    fn field(self, name: &str) -> Field {
        match self {
            Shape::Value(ty) => ty.field(name, true),
            Shape::Array(ty) => ty.array().expect("it is no array").field(name, true),
            Shape::Vector(ty) => {
                let mut field = Shape::Array(ty).field(name);
                let mark = (VECTOR.to_string(), String::new());
                field.metadata_mut().extend([mark]);
                field
            }
        }
    }

    /// The type that its text is read as.
    fn value_type(self) -> ColumnType {
        match self {
            Shape::Value(ty) => ty,
            Shape::Array(_) | Shape::Vector(_) => ColumnType::Text,
        }
    }
}

/// What the rows of PostgreSQL's catalogs are made from.
pub(crate) struct Facts<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) database: &'a str,
    pub(crate) access: &'a Access,
    pub(crate) showing: Showing,
    pub(crate) callable: Option<&'a BTreeSet<&'static str>>,
}

/// A row by column names; what it leaves out is NULL.
pub(crate) type Named = Vec<(&'static str, Datum)>;

static SYSTEM: LazyLock<HashMap<(&str, &str), Arc<SystemRelation>>> = LazyLock::new(|| {
    RELATIONS
        .lines()
        .chain(tidelog::RELATIONS.lines())
        .map(|line| {
            let mut words = line.split(' ');
            let (schema, name) = words
                .next()
                .and_then(|word| word.split_once('.'))
                .expect("a line begins with schema.relation");
            let oid = words.next().and_then(|oid| oid.parse().ok());
            let kind = words.next().expect("a line has the relation's kind");
            let columns = words.filter_map(|word| word.split_once(':'));
            let relation = SystemRelation {
                schema,
                name,
                oid: oid.expect("a line has the relation's oid"),
                kind,
                columns: columns.map(|(name, ty)| (name, shape(ty))).collect(),
                showing: Showing::default(),
                callable: None,
            };
            ((schema, name), Arc::new(relation))
        })
        .collect()
});

fn shape(ty: &str) -> Shape {
    match ty {
        "oidvector" => Shape::Vector(ColumnType::Oid),
        "int2vector" => Shape::Vector(ColumnType::Int2),
        "_char" => Shape::Array(ColumnType::Char),
        "_oid" => Shape::Array(ColumnType::Oid),
        "_int2" => Shape::Array(ColumnType::Int2),
        "_int4" => Shape::Array(ColumnType::Int4),
        "_regtype" => Shape::Array(ColumnType::Reg(RegType::Type)),
        array if array.starts_with('_') => Shape::Array(ColumnType::Text),
        ty => Shape::Value(column_type(ty)),
    }
}

/// The type that a catalog column is shown as; PostgreSQL's inner types are their text.
fn column_type(ty: &str) -> ColumnType {
    match ty {
        "bool" => ColumnType::Bool,
        "int2" => ColumnType::Int2,
        "int4" | "cardinal_number" => ColumnType::Int4,
        "int8" => ColumnType::Int8,
        "oid" | "xid" => ColumnType::Oid,
        "regproc" => ColumnType::Regproc,
        "regtype" => ColumnType::Reg(RegType::Type),
        "name" | "sql_identifier" => ColumnType::Name,
        "char" => ColumnType::Char,
        "float4" => ColumnType::Float4,
        "float8" => ColumnType::Float8,
        "numeric" => ColumnType::Numeric(None),
        "interval" => ColumnType::Interval(None),
        "character_data" => ColumnType::Varchar(None),
        "yes_or_no" => ColumnType::Varchar(Some(3)),
        "timestamptz" | "time_stamp" => ColumnType::TimestampTz(None),
        "bytea" => ColumnType::Bytea,
        _ => ColumnType::Text,
    }
}

/// Whether a schema is the system's.
pub(crate) fn is_system_schema(name: &str) -> bool {
    matches!(name, "pg_catalog" | "information_schema" | "tidelog")
}

/// The relation of a name; without a schema it is looked for in pg_catalog.
pub(crate) fn relation(schema: Option<&str>, name: &str) -> Option<Arc<SystemRelation>> {
    SYSTEM.get(&(schema.unwrap_or("pg_catalog"), name)).cloned()
}

impl SystemRelation {
    /// The relation as it is shown to a session.
    pub(crate) fn shown(&self, showing: Showing) -> SystemRelation {
        SystemRelation {
            showing,
            ..self.clone()
        }
    }

    /// pg_proc with the functions of these names only.
    pub(crate) fn of_functions(&self, callable: BTreeSet<&'static str>) -> SystemRelation {
        SystemRelation {
            callable: Some(Arc::new(callable)),
            ..self.clone()
        }
    }

    /// Its oid in pg_class.
    pub(crate) fn oid(&self) -> i64 {
        self.oid
    }

    /// The names of its columns.
    pub(crate) fn column_names(&self) -> Vec<String> {
        self.columns
            .iter()
            .map(|(name, _)| name.to_string())
            .collect()
    }

    /// Whether it has a column of this name.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| *column == name)
    }

    fn rows(&self, scope: &Scope) -> std::result::Result<Vec<Named>, StorageError> {
        let facts = Facts {
            catalog: scope.snapshot.catalog(),
            database: scope.snapshot.catalog().database_name(),
            access: &scope.access,
            showing: self.showing,
            callable: self.callable.as_deref(),
        };
        match self.schema {
            "pg_catalog" if self.name == "pg_sequences" => {
                sequence::with_last_values(pg_catalog::rows(self.name, &facts), scope)
            }
            "pg_catalog" if statistics::COUNTED.contains(&self.name) => statistics::counted(scope),
            "pg_catalog" => Ok(pg_catalog::rows(self.name, &facts)),
            "information_schema" => Ok(information_schema::rows(self.name, &facts)),
            _ => tidelog::rows(self.name, scope),
        }
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|(name, shape)| shape.field(name));
        Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
    }
}

#[async_trait]
impl TableProvider for SystemRelation {
    fn schema(&self) -> SchemaRef {
        SystemRelation::schema(self)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// A relation that never has rows is planned as nothing, and what is computed from its rows need not be
    /// something that DataFusion can run.
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        let empty = self.schema == "pg_catalog" && !has_rows(self.name);
        let schema = SystemRelation::schema(self).to_dfschema_ref().ok()?;
        empty.then(|| {
            Cow::Owned(LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: false,
                schema,
            }))
        })
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = state.config().get_extension::<Scope>().ok_or_else(|| {
            DataFusionError::Internal(
                "a scan was planned without the scope of a statement".to_string(),
            )
        })?;
        if scope.snapshot.is_as_of() {
            let error = SqlError::unsupported("AS OF for a system relation");
            return Err(DataFusionError::External(Box::new(error)));
        }
        let relation = self.clone();
        let batch = blocking(move || Ok(kept::batch(&relation, &scope))).await??;
        let schema = batch.schema();
        let found = Found::Relation {
            schema: self.schema.to_string(),
            name: self.name.to_string(),
            rows: batch.num_rows(),
        };
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?;
        Ok(Arc::new(FoundExec::new(found, plan)))
    }
}

/// The elements of an array's text: words, or what stands in quotes.
fn elements_of(array: &str) -> Vec<String> {
    let (mut elements, mut element) = (Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = array.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => quoted = !quoted,
            '\\' if quoted => element.extend(chars.next()),
            ',' | ' ' if !quoted => elements.push(std::mem::take(&mut element)),
            char => element.push(char),
        }
    }
    elements.push(element);
    elements.retain(|element| !element.is_empty());
    elements
}

/// Arrays from their texts, `{1,2}`, `{"a b"}` or (vectors) `1 2`.
pub(crate) fn array_of<'a>(
    ty: ColumnType,
    texts: impl Iterator<Item = &'a Datum>,
) -> Result<ArrayRef> {
    let mut elements = ColumnBuilder::new(ty);
    let mut lengths = Vec::new();
    let mut present = Vec::new();
    for value in texts {
        let Datum::Text(array) = value else {
            lengths.push(0);
            present.push(false);
            continue;
        };
        let mut length = 0;
        for element in elements_of(array.trim_matches(['{', '}'])) {
            let value =
                text::parse(ty, &element).map_err(|e| DataFusionError::External(Box::new(e)))?;
            elements.append(value.as_ref());
            length += 1;
        }
        lengths.push(length);
        present.push(true);
    }
    Ok(Arc::new(ListArray::new(
        Arc::new(Field::new_list_field(ty.arrow(), true)),
        OffsetBuffer::from_lengths(lengths),
        elements.finish(),
        Some(NullBuffer::from(present)),
    )))
}

impl SystemRelation {
    /// Rows of `settings_rows`, `cursor_rows` or `statement_rows`.
    pub(crate) fn of_rows(&self, rows: Vec<Named>) -> Result<Arc<dyn TableProvider>> {
        let batch = self.batch(rows)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        Ok(Arc::new(table))
    }

    /// pg_stat_activity as it is now, as far as a role may know it.
    pub(crate) fn of_activities(
        &self,
        activities: &[Arc<Activity>],
        waiting: &HashMap<i32, Locked>,
        access: &Access,
        catalog: &Catalog,
    ) -> Result<Arc<dyn TableProvider>> {
        let row = |shown: &Arc<Activity>| {
            let own = access.role.as_ref().map(|role| role.id) == Some(shown.login.role.id);
            let waits = waiting.get(&shown.login.pid).copied();
            activity::row(shown, waits, own || access.superuser, catalog)
        };
        self.of_rows(activities.iter().map(row).collect())
    }

    /// pg_locks as it is now.
    pub(crate) fn of_locks(
        &self,
        locks: Vec<ShownLock>,
        catalog: &Catalog,
    ) -> Result<Arc<dyn TableProvider>> {
        let row = |lock| activity::lock_row(&lock, catalog);
        self.of_rows(locks.into_iter().map(row).collect())
    }

    fn batch(&self, named: Vec<Named>) -> Result<RecordBatch> {
        let rows: Vec<Vec<Datum>> = named.into_iter().map(|row| self.place(row)).collect();
        let schema = SystemRelation::schema(self);
        let arrays = self.columns.iter().enumerate().map(|(at, (_, shape))| {
            let values = rows.iter().map(|row| &row[at]);
            match shape {
                Shape::Value(ty) => {
                    let mut builder = ColumnBuilder::new(*ty);
                    values.for_each(|value| builder.append(value.as_ref()));
                    Ok(builder.finish())
                }
                Shape::Array(ty) | Shape::Vector(ty) => array_of(*ty, values),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let arrays = arrays.collect::<Result<_>>()?;
        let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
        Ok(batch)
    }

    fn place(&self, named: Named) -> Vec<Datum> {
        let mut row = vec![Datum::Null; self.columns.len()];
        for (name, value) in named {
            let at = self.columns.iter().position(|(column, _)| *column == name);
            let at =
                at.unwrap_or_else(|| panic!("{}.{} has no column {name}", self.schema, self.name));
            row[at] = value;
        }
        row
    }
}

/// Rows of a CSV file that PostgreSQL 15 wrote of this relation.
fn from_csv(relation: &str, csv: &'static str) -> Vec<Named> {
    let relation = self::relation(None, relation).expect("a relation of pg_catalog");
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let parse = |line: &str| {
        let fields = fields(line);
        let named = relation.columns.iter().map(|(name, shape)| {
            let at = names.iter().position(|have| have == name);
            let field = at
                .and_then(|at| fields.get(at))
                .filter(|field| !field.is_empty());
            let value = field.map_or(Datum::Null, |field| {
                text::parse(shape.value_type(), field)
                    .expect("PostgreSQL wrote a value of the type")
            });
            (*name, value)
        });
        named.collect()
    };
    lines.map(parse).collect()
}

/// The fields of one CSV line; none of the embedded files has a line end in a field.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                fields.last_mut().expect("there is a field").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().expect("there is a field").push(other),
        }
    }
    fields
}

fn text(value: impl Into<String>) -> Datum {
    Datum::Text(value.into())
}

/// A table's oid.
pub(crate) fn table_oid(table: &TableDef) -> i64 {
    object_oid(table.id.get())
}

/// The oid of a table or sequence with this id.
fn object_oid(id: u32) -> i64 {
    i64::from(FIRST_USER_OID) + i64::from(id)
}

/// A schema's oid: PostgreSQL's for its own, made from the name for the others.
fn schema_oid(name: &str) -> i64 {
    match name {
        "pg_catalog" => 11,
        "public" => 2200,
        "information_schema" => 13000,
        name => named_oid(name),
    }
}

/// The role of whoever owns the database, and its oid.
const DATABASE_OWNER_NAME: &str = "pg_database_owner";
const DATABASE_OWNER: i64 = 6171;

/// FNV-1a over the name, in the half of the oids that nothing else uses.
fn named_oid(name: &str) -> i64 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    i64::from(hash | 1 << 31)
}

/// Whether a relation of pg_catalog can have rows at all.
fn has_rows(name: &str) -> bool {
    matches!(
        name,
        "pg_namespace"
            | "pg_class"
            | "pg_attribute"
            | "pg_attrdef"
            | "pg_index"
            | "pg_constraint"
            | "pg_authid"
            | "pg_roles"
            | "pg_user"
            | "pg_shadow"
            | "pg_database"
            | "pg_tables"
            | "pg_views"
            | "pg_matviews"
            | "pg_indexes"
            | "pg_enum"
            | "pg_extension"
            | "pg_available_extensions"
            | "pg_available_extension_versions"
            | "pg_timezone_names"
            | "pg_depend"
            | "pg_rewrite"
            | "pg_proc"
            | "pg_description"
            | "pg_shdescription"
            | "pg_sequence"
            | "pg_sequences"
            | "pg_type"
            | "pg_am"
            | "pg_cast"
            | "pg_collation"
            | "pg_language"
            | "pg_tablespace"
            | "pg_opclass"
            | "pg_operator"
            | "pg_opfamily"
            | "pg_amop"
            | "pg_aggregate"
            | "pg_range"
    ) || statistics::OF_TABLES.contains(&name)
        || statistics::OF_INDEXES.contains(&name)
        || statistics::OF_SEQUENCES.contains(&name)
}

/// The oids of the types that PostgreSQL's own casts are between: from which, to which.
pub(crate) fn casts() -> impl Iterator<Item = (i64, i64)> {
    let oid = |row: &Named, column: &str| {
        row.iter().find_map(|(name, value)| match value {
            Datum::Int8(oid) if *name == column => Some(*oid),
            _ => None,
        })
    };
    let rows = pg_catalog::embedded("pg_cast").into_iter();
    rows.filter_map(move |row| Some((oid(&row, "castsource")?, oid(&row, "casttarget")?)))
}

/// PostgreSQL's oid of a column type, its `atttypmod` and its `attlen`.
pub fn type_facts(ty: ColumnType) -> (i64, i32, i16) {
    let typmod = |digits: Option<u8>| digits.map_or(-1, i32::from);
    match ty {
        ColumnType::Bool => (16, -1, 1),
        ColumnType::Bytea => (17, -1, -1),
        ColumnType::Int8 => (20, -1, 8),
        ColumnType::Int2 => (21, -1, 2),
        ColumnType::Int4 => (23, -1, 4),
        ColumnType::Text => (25, -1, -1),
        ColumnType::Float4 => (700, -1, 4),
        ColumnType::Float8 => (701, -1, 8),
        ColumnType::Varchar(None) => (1043, -1, -1),
        ColumnType::Varchar(Some(length)) => {
            (1043, i32::try_from(length).unwrap_or(i32::MAX - 4) + 4, -1)
        }
        ColumnType::Date => (1082, -1, 4),
        ColumnType::Timestamp(digits) => (1114, typmod(digits), 8),
        ColumnType::TimestampTz(digits) => (1184, typmod(digits), 8),
        ColumnType::Numeric(None) => (1700, -1, -1),
        ColumnType::Numeric(Some((precision, scale))) => (
            1700,
            ((i32::from(precision) << 16) | i32::from(scale)) + 4,
            -1,
        ),
        ColumnType::Uuid => (2950, -1, 16),
        ColumnType::Jsonb => (3802, -1, -1),
        ColumnType::Json => (114, -1, -1),
        ColumnType::Char => (18, -1, 1),
        ColumnType::Name => (19, -1, 64),
        ColumnType::Oid => (26, -1, 4),
        ColumnType::Regproc => (24, -1, 4),
        ColumnType::Reg(of) => (reg_oids(of).0, -1, 4),
        ColumnType::Bit(length) => (1560, length.map_or(-1, u32::cast_signed), -1),
        ColumnType::Varbit(length) => (1562, length.map_or(-1, u32::cast_signed), -1),
        ColumnType::Bpchar(None) => (1042, -1, -1),
        ColumnType::Bpchar(Some(length)) => {
            (1042, i32::try_from(length).unwrap_or(i32::MAX - 4) + 4, -1)
        }
        ColumnType::Time(digits) => (1083, typmod(digits), 8),
        ColumnType::TimeTz(digits) => (1266, typmod(digits), 12),
        ColumnType::Interval(kept) => (1186, kept.map_or(-1, IntervalModifier::typmod), 16),
        ColumnType::Printed(of) => printed_facts(of),
        ColumnType::Enum(of) => (of.definition().oid.into(), -1, 4),
        ColumnType::Array(element) | ColumnType::Shaped(element) => {
            let (_, modifier, _) = type_facts(element.into());
            (array_oid(element), modifier, -1)
        }
    }
}

fn printed_facts(of: PrintedType) -> (i64, i32, i16) {
    let (oid, length) = match of {
        PrintedType::Inet => (869, -1),
        PrintedType::Cidr => (650, -1),
        PrintedType::Macaddr => (829, 6),
        PrintedType::PgLsn => (3220, 8),
        PrintedType::Point => (600, 16),
        PrintedType::Box => (603, 32),
        PrintedType::Path => (602, -1),
        PrintedType::Int4range => (3904, -1),
        PrintedType::Int8range => (3926, -1),
        PrintedType::Tid => (27, 6),
        PrintedType::Oidvector => (30, -1),
        PrintedType::Int2vector => (22, -1),
        PrintedType::Jsonpath => (4072, -1),
        // Extensions' types have no numbers of their own in PostgreSQL. These are below those that pg_dump takes for
        // objects of users.
        PrintedType::Citext => (9900, -1),
        PrintedType::Hstore => (9902, -1),
    };
    (oid, -1, length)
}

/// PostgreSQL's oids of the type and of its arrays.
fn reg_oids(of: RegType) -> (i64, i64) {
    match of {
        RegType::Procedure => (2202, 2207),
        RegType::Oper => (2203, 2208),
        RegType::Operator => (2204, 2209),
        RegType::Class => (2205, 2210),
        RegType::Type => (2206, 2211),
        RegType::Namespace => (4089, 4090),
        RegType::Role => (4096, 4097),
    }
}

/// PostgreSQL's oid of the type of arrays.
fn array_oid(element: ElementType) -> i64 {
    match element {
        ElementType::Bool => 1000,
        ElementType::Bytea => 1001,
        ElementType::Char => 1002,
        ElementType::Name => 1003,
        ElementType::Int2 => 1005,
        ElementType::Int4 => 1007,
        ElementType::Text => 1009,
        ElementType::Bpchar(_) => 1014,
        ElementType::Varchar(_) => 1015,
        ElementType::Int8 => 1016,
        ElementType::Float4 => 1021,
        ElementType::Float8 => 1022,
        ElementType::Oid => 1028,
        ElementType::Regproc => 1008,
        ElementType::Reg(of) => reg_oids(of).1,
        ElementType::Bit(_) => 1561,
        ElementType::Varbit(_) => 1563,
        ElementType::Timestamp(_) => 1115,
        ElementType::Date => 1182,
        ElementType::Time(_) => 1183,
        ElementType::TimestampTz(_) => 1185,
        ElementType::Interval(_) => 1187,
        ElementType::Numeric(_) => 1231,
        ElementType::TimeTz(_) => 1270,
        ElementType::Json => 199,
        ElementType::Uuid => 2951,
        ElementType::Jsonb => 3807,
        ElementType::Printed(of) => match of {
            PrintedType::Inet => 1041,
            PrintedType::Cidr => 651,
            PrintedType::Macaddr => 1040,
            PrintedType::PgLsn => 3221,
            PrintedType::Point => 1017,
            PrintedType::Box => 1020,
            PrintedType::Path => 1019,
            PrintedType::Int4range => 3905,
            PrintedType::Int8range => 3927,
            PrintedType::Tid => 1010,
            PrintedType::Oidvector => 1013,
            PrintedType::Int2vector => 1006,
            PrintedType::Jsonpath => 4073,
            PrintedType::Citext => 9901,
            PrintedType::Hstore => 9903,
        },
        // Oids of enums are even: the odd one behind is that of its arrays.
        ElementType::Enum(of) => i64::from(of.definition().oid) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also that what is planned as empty is, and that no row names a column that its relation lacks.
    #[test]
    fn every_relation_can_be_read() {
        let mut catalog = Catalog::default();
        let table = |name: &str, primary_key| {
            let column = tidelog_storage::ColumnDef {
                id: tidelog_storage::ColumnId::new(1),
                name: "id".to_string(),
                stored_name: "id".to_string(),
                ty: ColumnType::Varchar(Some(3)),
                not_null: true,
                once_null: false,
                default: Some("'x'".to_string()),
                missing: Datum::Null,
                sequence: None,
                identity: None,
                generated: None,
            };
            let options = tidelog_storage::catalog::TableOptions {
                ttl_ms: Some(1),
                ..Default::default()
            };
            let (id, kind) = (
                tidelog_storage::TableId::new(1),
                tidelog_storage::TableKind::User,
            );
            TableDef {
                primary_key,
                primary_key_name: format!("{name}_pkey"),
                ..TableDef::new(id, ("public", name), kind, vec![column], options)
            }
        };
        for (name, key) in [
            ("keyed", vec![tidelog_storage::ColumnId::new(1)]),
            ("plain", vec![]),
        ] {
            let key_of = ("public".to_string(), name.to_string());
            catalog.tables.insert(key_of, Arc::new(table(name, key)));
        }
        let mood = tidelog_storage::EnumType::new(tidelog_storage::EnumDef {
            oid: 16400,
            schema: "public".to_string(),
            name: "mood".to_string(),
            labels: Vec::new(),
        });
        let mood_key = ("public".to_string(), "mood".to_string());
        catalog.types.insert(mood_key, mood);
        let facts = Facts {
            catalog: &catalog,
            database: "postgres",
            access: &Access::of(None),
            showing: Showing {
                users: true,
                ..Showing::default()
            },
            callable: None,
        };
        for relation in SYSTEM.values() {
            let rows = match relation.schema {
                "pg_catalog" => pg_catalog::rows(relation.name, &facts),
                "information_schema" => information_schema::rows(relation.name, &facts),
                _ => continue,
            };
            let planned_empty = relation.get_logical_plan().is_some();
            assert!(
                !planned_empty || rows.is_empty(),
                "{relation:?} is planned as empty"
            );
            assert_eq!(
                relation.batch(rows).unwrap().num_columns(),
                relation.columns.len()
            );
        }
    }

    #[test]
    fn every_embedded_row_is_of_its_relation() {
        for (name, at_least) in [("pg_type", 180), ("pg_am", 7), ("pg_language", 3)] {
            let rows = pg_catalog::embedded(name);
            assert!(rows.len() >= at_least, "{name} has {} rows", rows.len());
        }
        assert_eq!(fields(r#"a,"b ""c"", d",,"#), ["a", r#"b "c", d"#, "", ""]);
    }
}
