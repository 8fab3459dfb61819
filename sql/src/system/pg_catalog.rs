//! pg_catalog: what Tidelog has, in PostgreSQL's relations.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tidelog_storage::catalog::{ColumnOrder, Deferral, Identity};
use tidelog_storage::{Catalog, ColumnId, ColumnType, DatabaseDef, Datum, TableDef, TableKind};

use crate::provider::USER;

use super::keys::{self, Constraint, ConstraintKind, Index};
use super::{Facts, Named, Showing, from_csv, schema_oid, table_oid, text, type_facts};
use super::{
    comments, deparse, extensions, pg_depend, pg_proc, pg_type, sequence, statistics, views,
};

/// The encoding UTF8 in pg_database.
const UTF8: i32 = 6;
const BTREE: i64 = 403;
const NUMERIC: i64 = 1700;
const INET: i64 = 869;
const NAME: i64 = 19;
const UUID: i64 = 2950;
const CIDR: i64 = 650;
const INT2_VECTOR: i64 = 22;
const OID_VECTOR: i64 = 30;
const HEAP: i64 = 2;
pub(super) const SUPERUSER: i64 = 10;

pub(super) fn oid(value: i64) -> Datum {
    Datum::Int8(value)
}

pub(super) fn yes(value: bool) -> Datum {
    Datum::Bool(value)
}

fn small(value: usize) -> Datum {
    Datum::Int2(i16::try_from(value).unwrap_or(i16::MAX))
}

/// How a table's kind is written.
pub(super) fn kind_name(kind: TableKind) -> &'static str {
    match kind {
        TableKind::User => "user",
        TableKind::Shared => "shared",
        TableKind::Stream => "stream",
    }
}

/// The oid in a row.
pub(super) fn oid_of(row: &Named) -> Option<i64> {
    let oid = row.iter().find(|(column, _)| *column == "oid");
    match oid?.1 {
        Datum::Int8(oid) => Some(oid),
        _ => None,
    }
}

/// Rows that are PostgreSQL's own: its types, access methods, …
pub(super) fn embedded(name: &str) -> Vec<Named> {
    let csv = match name {
        "pg_type" => include_str!("pg_type.csv"),
        "pg_am" => include_str!("pg_am.csv"),
        "pg_cast" => include_str!("pg_cast.csv"),
        "pg_collation" => include_str!("pg_collation.csv"),
        "pg_language" => include_str!("pg_language.csv"),
        "pg_tablespace" => include_str!("pg_tablespace.csv"),
        "pg_opclass" => include_str!("pg_opclass.csv"),
        "pg_opfamily" => include_str!("pg_opfamily.csv"),
        "pg_operator" => include_str!("pg_operator.csv"),
        "pg_amop" => include_str!("pg_amop.csv"),
        "pg_aggregate" => include_str!("pg_aggregate.csv"),
        "pg_range" => include_str!("pg_range.csv"),
        _ => return Vec::new(),
    };
    from_csv(name, csv)
}

pub(super) fn rows(name: &str, facts: &Facts<'_>) -> Vec<Named> {
    let tables = || facts.catalog.tables.values().map(|table| &**table);
    let showing = facts.showing;
    let indexes = || (tables().flat_map(keys::indexes)).map(move |index| index.shown(showing));
    let constraints = || {
        let all = tables().flat_map(|table| keys::constraints(table, facts.catalog));
        all.map(move |constraint| constraint.shown(showing))
    };
    match name {
        "pg_namespace" => {
            let shown = |name: &String| showing.own_schema || name != "tidelog";
            let schemas = schemas(facts.catalog).into_iter().filter(shown);
            schemas.map(namespace).collect()
        }
        "pg_class" => {
            let mut rows: Vec<Named> = tables().map(|t| class(t, facts)).collect();
            rows.extend(indexes().map(|index| index_class(&index)));
            rows.extend(sequence::classes(facts.catalog));
            rows.extend(views::classes(facts.catalog));
            rows.extend(system_classes(showing));
            rows
        }
        "pg_attribute" => {
            let mut rows: Vec<Named> = tables().flat_map(|t| attributes(t, facts)).collect();
            rows.extend(indexes().flat_map(|index| index_attributes(&index)));
            rows.extend(views::attributes(facts.catalog));
            rows.extend(sequence::attributes(facts.catalog));
            rows.extend(system_attributes());
            rows
        }
        "pg_type" => {
            let mut rows = embedded(name);
            rows.extend(extensions::types());
            let tables = tables().map(|t| (table_oid(t), t.schema.as_str(), t.name.as_str()));
            let views = facts.catalog.views.values();
            let views = views.map(|v| (views::view_oid(v), v.schema.as_str(), v.name.as_str()));
            rows.extend(tables.chain(views).flat_map(pg_type::row_types));
            rows.extend(
                facts
                    .catalog
                    .types
                    .values()
                    .flat_map(|of| pg_type::enum_types(*of)),
            );
            rows
        }
        "pg_extension" => extensions::rows(facts.catalog),
        "pg_available_extensions" => extensions::available(),
        "pg_available_extension_versions" => extensions::versions(),
        "pg_timezone_names" => super::timezones::names(),
        "pg_enum" => facts
            .catalog
            .types
            .values()
            .flat_map(|of| pg_type::labels(*of))
            .collect(),
        "pg_sequence" => sequence::pg_sequence(facts.catalog),
        "pg_sequences" => sequence::pg_sequences(facts.catalog),
        "pg_depend" => pg_depend::rows(facts.catalog),
        "pg_rewrite" => views::rules(facts.catalog),
        "pg_proc" => pg_proc::rows(facts.callable),
        "pg_description" => comments::rows(facts.catalog, false),
        "pg_shdescription" => comments::rows(facts.catalog, true),
        "pg_attrdef" => tables().flat_map(defaults).collect(),
        "pg_index" => indexes().map(|index| self::index(&index)).collect(),
        "pg_constraint" => constraints().map(|c| constraint(&c)).collect(),
        "pg_authid" | "pg_roles" => {
            let roles = facts.catalog.roles.values().map(|r| role(r));
            roles.chain([database_owner()]).collect()
        }
        "pg_user" | "pg_shadow" => facts
            .catalog
            .roles
            .values()
            .filter(|role| role.login)
            .map(|role| {
                vec![
                    ("usename", text(&role.name)),
                    ("usesysid", oid(role.id.oid().into())),
                    ("usecreatedb", yes(role.superuser)),
                    ("usesuper", yes(role.superuser)),
                    ("userepl", yes(role.superuser)),
                    ("usebypassrls", yes(role.superuser || role.bypass_rls)),
                    ("passwd", text("********")),
                ]
            })
            .collect(),
        "pg_database" => {
            let databases = facts.catalog.databases.values();
            databases.map(|of| database(&of.def)).collect()
        }
        "pg_tables" => tables()
            .filter(|table| table.materialized.is_none())
            .map(|table| {
                vec![
                    ("schemaname", text(&table.schema)),
                    ("tablename", text(&table.name)),
                    ("tableowner", text("postgres")),
                    ("hasindexes", yes(!keys::indexes(table).is_empty())),
                    ("hasrules", yes(false)),
                    ("hastriggers", yes(false)),
                    ("rowsecurity", yes(table.kind == TableKind::User)),
                ]
            })
            .collect(),
        "pg_views" => views::pg_views(facts.catalog),
        "pg_matviews" => views::pg_matviews(facts.catalog),
        "pg_indexes" => indexes()
            .map(|index| {
                vec![
                    ("schemaname", text(&index.table.schema)),
                    ("tablename", text(&index.table.name)),
                    ("indexname", text(index.name)),
                    ("indexdef", text(index.definition(keys::Form::FULL))),
                ]
            })
            .collect(),
        name if statistics::OF_TABLES.contains(&name) => tables().map(statistics::table).collect(),
        name if statistics::OF_INDEXES.contains(&name) => {
            indexes().map(|index| statistics::index(&index)).collect()
        }
        name if statistics::OF_SEQUENCES.contains(&name) => facts
            .catalog
            .sequences
            .values()
            .map(|sequence| statistics::sequence(sequence))
            .collect(),
        name => embedded(name),
    }
}

/// The rows of pg_settings.
/// Every schema: the users' and the system's.
pub(super) fn schemas(catalog: &Catalog) -> Vec<String> {
    let system = ["pg_catalog", "information_schema", "tidelog"].map(str::to_string);
    catalog.schemas.iter().cloned().chain(system).collect()
}

fn namespace(name: String) -> Named {
    let mut row = vec![("oid", oid(schema_oid(&name)))];
    // As PostgreSQL makes it: the database's owner's, for all to use.
    match name.as_str() {
        "public" => row.extend([
            ("nspowner", oid(super::DATABASE_OWNER)),
            (
                "nspacl",
                text("{pg_database_owner=UC/pg_database_owner,=U/pg_database_owner}"),
            ),
        ]),
        _ => row.push(("nspowner", oid(SUPERUSER))),
    }
    row.push(("nspname", text(name)));
    row
}

/// The role that the database's owner is a member of.
fn database_owner() -> Named {
    vec![
        ("oid", oid(super::DATABASE_OWNER)),
        ("rolname", text(super::DATABASE_OWNER_NAME)),
        ("rolsuper", yes(false)),
        ("rolinherit", yes(true)),
        ("rolcreaterole", yes(false)),
        ("rolcreatedb", yes(false)),
        ("rolcanlogin", yes(false)),
        ("rolreplication", yes(false)),
        ("rolbypassrls", yes(false)),
        ("rolconnlimit", Datum::Int4(-1)),
    ]
}

/// What every kind of relation has the same in pg_class.
pub(super) fn plain_class(
    class_oid: i64,
    name: &str,
    schema: &str,
    kind: &str,
    columns: usize,
) -> Named {
    vec![
        ("oid", oid(class_oid)),
        ("relname", text(name)),
        ("relnamespace", oid(schema_oid(schema))),
        ("reltype", oid(0)),
        ("reloftype", oid(0)),
        ("relowner", oid(SUPERUSER)),
        ("relam", oid(0)),
        ("relfilenode", oid(class_oid)),
        ("reltablespace", oid(0)),
        ("relpages", Datum::Int4(0)),
        ("reltuples", Datum::Float4(-1.0)),
        ("relallvisible", Datum::Int4(0)),
        ("reltoastrelid", oid(0)),
        ("relhasindex", yes(false)),
        ("relisshared", yes(false)),
        ("relpersistence", text("p")),
        ("relkind", text(kind)),
        ("relnatts", small(columns)),
        ("relchecks", small(0)),
        ("relhasrules", yes(false)),
        ("relhastriggers", yes(false)),
        ("relhassubclass", yes(false)),
        ("relrowsecurity", yes(false)),
        ("relforcerowsecurity", yes(false)),
        ("relispopulated", yes(true)),
        (
            "relreplident",
            text(match kind {
                "r" | "m" if !super::is_system_schema(schema) => "d",
                _ => "n",
            }),
        ),
        ("relispartition", yes(false)),
        ("relrewrite", oid(0)),
    ]
}

/// The same row with other values for some of its columns.
pub(super) fn with<const N: usize>(mut row: Named, values: [(&'static str, Datum); N]) -> Named {
    row.extend(values);
    row
}

fn class(table: &TableDef, facts: &Facts<'_>) -> Named {
    let checks = keys::constraints(table, facts.catalog);
    let checks = checks.iter().filter(|check| check.letter() == "c").count();
    let row = plain_class(
        table_oid(table),
        &table.name,
        &table.schema,
        if table.materialized.is_some() {
            "m"
        } else {
            "r"
        },
        usize::from(table.next_column_id.get() - 1)
            + usize::from(facts.showing.user_column(table).is_some()),
    );
    let options = options(table).filter(|_| facts.showing.options);
    // PostgreSQL checks foreign keys by triggers, on both sides.
    let name = (table.schema.clone(), table.name.clone());
    let references = |other: &TableDef| other.foreign_keys.iter().any(|key| key.parent == name);
    let checked = !table.foreign_keys.is_empty()
        || facts.catalog.tables.values().any(|other| references(other));
    with(
        row,
        [
            ("relam", oid(HEAP)),
            ("relhasrules", yes(table.materialized.is_some())),
            (
                "relispopulated",
                yes((table.materialized.as_ref()).is_none_or(|of| of.populated)),
            ),
            ("reltype", oid(pg_type::row_type_oid(table_oid(table)))),
            ("relpersistence", text(persistence(&table.schema))),
            ("relhasindex", yes(!keys::indexes(table).is_empty())),
            ("relchecks", small(checks)),
            ("relhastriggers", yes(checked)),
            ("reloptions", options.map_or(Datum::Null, text)),
        ],
    )
}

/// Whether a relation of a schema is permanent or temporary.
pub(super) fn persistence(schema: &str) -> &'static str {
    match crate::ddl::temp::is_temporary(schema) {
        true => "t",
        false => "p",
    }
}

/// A table's WITH options as pg_class shows them; those of a SHARED table without any are none.
fn options(table: &TableDef) -> Option<String> {
    let mut options = Vec::new();
    if table.kind != TableKind::Shared {
        options.push(format!("type={}", kind_name(table.kind)));
    }
    options.extend(crate::ddl::table::options::shown(table));
    if options.is_empty() {
        return None;
    }
    for option in &mut options {
        if option.contains([',', ' ', '"']) {
            *option = format!("\"{}\"", option.replace('\\', "\\\\").replace('"', "\\\""));
        }
    }
    Some(format!("{{{}}}", options.join(",")))
}

fn index_class(index: &Index<'_>) -> Named {
    let columns = index.columns.len() + index.included.len();
    let schema = &index.table.schema;
    let row = plain_class(index.oid, index.name, schema, "i", columns);
    with(row, [("relam", oid(BTREE))])
}

fn system_classes(showing: Showing) -> impl Iterator<Item = Named> {
    let relations = super::SYSTEM.values();
    let shown = relations.filter(move |of| showing.own_schema || of.schema != "tidelog");
    shown.map(|relation| {
        plain_class(
            relation.oid,
            relation.name,
            relation.schema,
            relation.kind,
            relation.columns.len(),
        )
    })
}

/// What every column has the same in pg_attribute.
pub(super) fn attribute(
    class: i64,
    number: usize,
    name: &str,
    ty: tidelog_storage::ColumnType,
) -> Named {
    let (type_oid, modifier, length) = type_facts(ty);
    let by_value = matches!(length, 1 | 2 | 4 | 8);
    vec![
        ("attrelid", oid(class)),
        ("attname", text(name)),
        ("atttypid", oid(type_oid)),
        ("attstattarget", Datum::Int4(-1)),
        ("attlen", Datum::Int2(length)),
        ("attnum", small(number)),
        (
            "attndims",
            Datum::Int4(match ty {
                ColumnType::Array(_) => 1,
                // Of how many dimensions was written is not kept.
                ColumnType::Shaped(_) => 2,
                _ => 0,
            }),
        ),
        ("attcacheoff", Datum::Int4(-1)),
        ("atttypmod", Datum::Int4(modifier)),
        ("attbyval", yes(by_value)),
        (
            "attalign",
            text(match (type_oid, length) {
                (NAME | UUID, _) | (_, 1) => "c",
                (_, 2) => "s",
                (_, 8) | (_, 12..) => "d",
                _ => "i",
            }),
        ),
        (
            "attstorage",
            text(match (type_oid, length) {
                (NUMERIC | INET | CIDR, _) => "m",
                (INT2_VECTOR | OID_VECTOR, _) => "p",
                (_, length) if length < 0 => "x",
                _ => "p",
            }),
        ),
        ("attcompression", text("")),
        ("attnotnull", yes(false)),
        ("atthasdef", yes(false)),
        ("atthasmissing", yes(false)),
        ("attidentity", text("")),
        ("attgenerated", text("")),
        ("attisdropped", yes(false)),
        ("attislocal", yes(true)),
        ("attinhcount", Datum::Int4(0)),
        (
            "attcollation",
            oid(match type_oid {
                25 | 1042 | 1043 => 100,
                NAME => 950,
                _ => 0,
            }),
        ),
    ]
}

/// The columns, those that were dropped among them: their numbers have no gaps.
fn attributes(table: &TableDef, facts: &Facts<'_>) -> Vec<Named> {
    let class = table_oid(table);
    let dropped = |id: u16| {
        let id = ColumnId::new(id);
        table.index_of(id).is_none().then(|| dropped(class, id))
    };
    let user = facts.showing.user_column(table).map(|number| {
        let ty = tidelog_storage::ColumnType::Text;
        let row = attribute(class, usize::from(number), USER, ty);
        with(row, [("attnotnull", yes(true))])
    });
    let mut rows = live_attributes(table);
    rows.extend((1..table.next_column_id.get()).filter_map(dropped));
    rows.extend(user);
    rows
}

/// A column that was dropped, as PostgreSQL shows it.
fn dropped(class: i64, id: ColumnId) -> Named {
    let number = usize::from(id.get());
    let name = format!("........pg.dropped.{number}........");
    let row = attribute(class, number, &name, tidelog_storage::ColumnType::Text);
    with(
        row,
        [
            ("atttypid", oid(0)),
            ("attcollation", oid(0)),
            ("attisdropped", yes(true)),
        ],
    )
}

fn live_attributes(table: &TableDef) -> Vec<Named> {
    let row = |column: &tidelog_storage::ColumnDef| {
        let number = usize::from(column.id.get());
        with(
            attribute(table_oid(table), number, &column.name, column.ty),
            [
                ("attnotnull", yes(column.not_null)),
                ("atthasdef", yes(has_default(column))),
                (
                    "attgenerated",
                    text(if column.generated.is_some() { "s" } else { "" }),
                ),
                (
                    "attidentity",
                    text(match column.identity {
                        None => "",
                        Some(Identity::Always) => "a",
                        Some(Identity::ByDefault) => "d",
                    }),
                ),
            ],
        )
    };
    table.columns.iter().map(row).collect()
}

fn index_attributes(index: &Index<'_>) -> Vec<Named> {
    let attributes = index.attributes().into_iter().enumerate();
    attributes
        .map(|(at, (name, ty))| attribute(index.oid, at + 1, &name, ty))
        .collect()
}

fn system_attributes() -> impl Iterator<Item = Named> {
    super::SYSTEM.values().flat_map(|relation| {
        let row = |(at, (name, shape)): (usize, &(&'static str, super::Shape))| {
            attribute(relation.oid, at + 1, name, shape.value_type())
        };
        relation
            .columns
            .iter()
            .enumerate()
            .map(row)
            .collect::<Vec<_>>()
    })
}

fn defaults(table: &TableDef) -> Vec<Named> {
    let row = |column: &tidelog_storage::ColumnDef| {
        if !has_default(column) {
            return None;
        }
        Some(vec![
            ("oid", oid(default_oid(table, column))),
            ("adrelid", oid(table_oid(table))),
            ("adnum", small(usize::from(column.id.get()))),
            ("adbin", text(default_tree(table, column))),
        ])
    };
    table.columns.iter().filter_map(row).collect()
}

/// Whether a column has a default, or an expression that it is generated by: both stand in pg_attrdef.
fn has_default(column: &tidelog_storage::ColumnDef) -> bool {
    column.generated.is_some() || column.default.is_some() && column.identity.is_none()
}

/// The oid of a column's default.
pub(super) fn default_oid(table: &TableDef, column: &tidelog_storage::ColumnDef) -> i64 {
    super::named_oid(&format!("{}.{}", table.id.get(), column.name))
}

/// What stands for the expression tree of a column's default: pg_get_expr knows which it is.
pub(super) fn default_tree(table: &TableDef, column: &tidelog_storage::ColumnDef) -> String {
    let (class, number) = (table_oid(table), column.id.get());
    format!("{{DEFAULT :relid {class} :attnum {number}}}")
}

fn numbers(user: Option<u16>, columns: &[ColumnId], separator: &str) -> String {
    // An expression has no number.
    let columns = columns
        .iter()
        .map(|id| if id.is_computed() { 0 } else { id.get() });
    let numbers = user.into_iter().chain(columns).map(|id| id.to_string());
    numbers.collect::<Vec<_>>().join(separator)
}

/// The numbers of an index's columns, as indkey has them.
pub(super) fn key_numbers(index: &Index<'_>) -> Vec<i64> {
    let all = [index.columns, index.included].concat();
    let numbers = numbers(index.user, &all, " ");
    let numbers = numbers.split(' ').filter_map(|number| number.parse().ok());
    numbers.collect()
}

fn index(index: &Index<'_>) -> Named {
    let keys = index.columns.len() + usize::from(index.user.is_some());
    let columns = keys + index.included.len();
    let all = [index.columns, index.included].concat();
    let each = |value: &str| vec![value; keys].join(" ");
    let option = |order: &ColumnOrder| {
        let bits = u8::from(order.descending) | u8::from(order.nulls_first) << 1;
        bits.to_string()
    };
    let user = index.user.map(|_| ColumnOrder::default());
    let options: Vec<String> = (user.iter().chain(&index.orders)).map(option).collect();
    let own = index.columns.iter();
    let own = own.map(|id| index.table.type_of(*id).unwrap_or(ColumnType::Text));
    let types = index.user.map(|_| ColumnType::Text).into_iter().chain(own);
    let classes: Vec<String> = types.map(|ty| default_class(ty).to_string()).collect();
    vec![
        ("indexrelid", oid(index.oid)),
        ("indrelid", oid(table_oid(index.table))),
        ("indnatts", small(columns)),
        ("indnkeyatts", small(keys)),
        ("indisunique", yes(index.unique)),
        ("indnullsnotdistinct", yes(false)),
        ("indisprimary", yes(index.primary)),
        ("indisexclusion", yes(false)),
        (
            "indimmediate",
            yes(index.deferral == Deferral::NotDeferrable),
        ),
        ("indisclustered", yes(false)),
        ("indisvalid", yes(index.ready)),
        ("indcheckxmin", yes(false)),
        ("indisready", yes(true)),
        ("indislive", yes(true)),
        ("indisreplident", yes(false)),
        ("indkey", text(numbers(index.user, &all, " "))),
        ("indcollation", text(each("0"))),
        ("indclass", text(classes.join(" "))),
        ("indoption", text(options.join(" "))),
        ("indexprs", index.expressions().map_or(Datum::Null, text)),
        (
            "indpred",
            index.condition(keys::Form::FULL).map_or(Datum::Null, text),
        ),
    ]
}

/// The operator class by which a B-tree sorts values of a type.
fn default_class(ty: ColumnType) -> i64 {
    static CLASSES: LazyLock<BTreeMap<i64, i64>> = LazyLock::new(|| {
        let rows = embedded("pg_opclass").into_iter();
        let class = |row: Named| {
            let row: BTreeMap<&str, Datum> = row.into_iter().collect();
            let of_btree = row["opcmethod"] == oid(BTREE) && row["opcdefault"] == yes(true);
            match (&row["opcintype"], &row["oid"]) {
                (Datum::Int8(ty), Datum::Int8(class)) if of_btree => Some((*ty, *class)),
                _ => None,
            }
        };
        rows.filter_map(class).collect()
    });
    const ANY_ARRAY: i64 = 2277;
    const ANY_ENUM: i64 = 3500;
    let of = match ty {
        ColumnType::Array(_) | ColumnType::Shaped(_) => ANY_ARRAY,
        ColumnType::Enum(_) => ANY_ENUM,
        ColumnType::Varchar(_) => type_facts(ColumnType::Text).0,
        ty => type_facts(ty).0,
    };
    CLASSES.get(&of).copied().unwrap_or(0)
}

fn constraint(constraint: &Constraint<'_>) -> Named {
    let user = |table: &TableDef| constraint.users.then(|| table.next_column_id.get());
    let columns = numbers(user(constraint.table), &constraint.columns, ",");
    let deferral = constraint.deferral();
    let row = vec![
        ("oid", oid(constraint.oid)),
        ("conname", text(constraint.name)),
        ("connamespace", oid(schema_oid(&constraint.table.schema))),
        ("contype", text(constraint.letter())),
        ("condeferrable", yes(deferral != Deferral::NotDeferrable)),
        ("condeferred", yes(deferral == Deferral::InitiallyDeferred)),
        ("convalidated", yes(constraint.ready)),
        ("conrelid", oid(table_oid(constraint.table))),
        ("contypid", oid(0)),
        ("conindid", oid(0)),
        ("conparentid", oid(0)),
        ("confrelid", oid(0)),
        ("confupdtype", text(" ")),
        ("confdeltype", text(" ")),
        ("confmatchtype", text(" ")),
        ("conislocal", yes(true)),
        ("coninhcount", Datum::Int4(0)),
        ("connoinherit", yes(constraint.letter() != "c")),
        ("conkey", text(format!("{{{columns}}}"))),
    ];
    match &constraint.kind {
        ConstraintKind::Key { index, .. } => with(row, [("conindid", oid(*index))]),
        ConstraintKind::Check { condition } => {
            let shown = deparse::check(constraint.table, condition, keys::Form::FULL);
            with(row, [("conbin", text(shown))])
        }
        ConstraintKind::Foreign {
            parent,
            parent_columns,
            on_delete,
            on_update,
            index,
            ..
        } => with(
            row,
            [
                ("conindid", oid(*index)),
                ("confrelid", oid(table_oid(parent))),
                ("confupdtype", text(keys::action_letter(*on_update))),
                ("confdeltype", text(keys::action_letter(*on_delete))),
                ("confmatchtype", text("s")),
                (
                    "confkey",
                    text(format!(
                        "{{{}}}",
                        numbers(user(parent), parent_columns, ",")
                    )),
                ),
            ],
        ),
    }
}

fn role(role: &tidelog_storage::RoleDef) -> Named {
    vec![
        ("oid", oid(role.id.oid().into())),
        ("rolname", text(&role.name)),
        ("rolsuper", yes(role.superuser)),
        ("rolinherit", yes(true)),
        ("rolcreaterole", yes(role.superuser)),
        ("rolcreatedb", yes(role.superuser)),
        ("rolcanlogin", yes(role.login)),
        ("rolreplication", yes(role.superuser)),
        ("rolbypassrls", yes(role.superuser || role.bypass_rls)),
        ("rolconnlimit", Datum::Int4(-1)),
    ]
}

fn database(database: &DatabaseDef) -> Named {
    vec![
        ("oid", oid(database.id.oid().into())),
        ("datname", text(&*database.name)),
        ("datdba", oid(SUPERUSER)),
        ("encoding", Datum::Int4(UTF8)),
        ("datlocprovider", text("c")),
        ("datistemplate", yes(false)),
        ("datallowconn", yes(true)),
        ("datconnlimit", Datum::Int4(-1)),
        ("dattablespace", oid(1663)),
        ("datcollate", text("C")),
        ("datctype", text("C")),
    ]
}

/// Names by oid, for regclass and its like.
pub(super) fn class_names(catalog: &Catalog) -> BTreeMap<i64, (String, String)> {
    let mut names = BTreeMap::new();
    for table in catalog.tables.values() {
        let of = |name: &str| (table.schema.clone(), name.to_string());
        names.insert(table_oid(table), of(&table.name));
        for index in keys::indexes(table) {
            names.insert(index.oid, of(index.name));
        }
    }
    for sequence in catalog.sequences.values() {
        let name = (sequence.schema.clone(), sequence.name.clone());
        names.insert(super::object_oid(sequence.id), name);
    }
    names.extend(views::names(catalog));
    for relation in super::SYSTEM.values() {
        names.insert(
            relation.oid,
            (relation.schema.to_string(), relation.name.to_string()),
        );
    }
    names
}
