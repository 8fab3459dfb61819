//! information_schema: the standard's view of the catalog.

use tidelog_storage::{ColumnType, Datum, TableDef};

use super::{Facts, Named, text};
use crate::types;

pub(super) fn rows(name: &str, facts: &Facts<'_>) -> Vec<Named> {
    let tables = || facts.catalog.tables.values().map(|table| &**table);
    let catalog = || text(facts.database);
    match name {
        "schemata" => super::pg_catalog::schemas(facts.catalog)
            .into_iter()
            .map(|name| {
                vec![
                    ("catalog_name", catalog()),
                    ("schema_name", text(name)),
                    ("schema_owner", text("postgres")),
                ]
            })
            .collect(),
        "tables" => {
            let row = |schema: &str, name: &str, kind: &str| {
                vec![
                    ("table_catalog", catalog()),
                    ("table_schema", text(schema)),
                    ("table_name", text(name)),
                    ("table_type", text(kind)),
                    ("is_insertable_into", text(yes_no(kind == "BASE TABLE"))),
                    ("is_typed", text("NO")),
                ]
            };
            let own = tables().map(|table| row(&table.schema, &table.name, "BASE TABLE"));
            let system = super::SYSTEM.values().map(|relation| {
                let kind = if relation.kind == "v" {
                    "VIEW"
                } else {
                    "BASE TABLE"
                };
                row(relation.schema, relation.name, kind)
            });
            own.chain(system).collect()
        }
        "columns" => {
            let mut rows: Vec<Named> = tables().flat_map(|table| columns(table, facts)).collect();
            for relation in super::SYSTEM.values() {
                for (at, (column, shape)) in relation.columns.iter().enumerate() {
                    let mut row = typed(shape.value_type(), facts);
                    row.extend([
                        ("table_schema", text(relation.schema)),
                        ("table_name", text(relation.name)),
                        ("column_name", text(*column)),
                        ("ordinal_position", number(at + 1)),
                        ("is_nullable", text("YES")),
                        ("is_updatable", text("NO")),
                    ]);
                    rows.push(row);
                }
            }
            rows
        }
        "table_constraints" => keyed(facts)
            .map(|table| {
                let mut row = of_key(table, facts);
                row.extend([
                    ("constraint_type", text("PRIMARY KEY")),
                    ("is_deferrable", text("NO")),
                    ("initially_deferred", text("NO")),
                    ("enforced", text("YES")),
                ]);
                row
            })
            .collect(),
        "key_column_usage" | "constraint_column_usage" => keyed(facts)
            .flat_map(|table| {
                let row = move |(at, index): (usize, usize)| {
                    let mut row = of_key(table, facts);
                    row.push(("column_name", text(&table.columns[index].name)));
                    if name == "key_column_usage" {
                        row.push(("ordinal_position", number(at + 1)));
                    }
                    row
                };
                table.key_indexes().into_iter().enumerate().map(row)
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn keyed<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a TableDef> {
    let tables = facts.catalog.tables.values().map(|table| &**table);
    tables.filter(|table| !table.primary_key.is_empty())
}

fn of_key(table: &TableDef, facts: &Facts<'_>) -> Named {
    vec![
        ("constraint_catalog", text(facts.database)),
        ("constraint_schema", text(&table.schema)),
        ("constraint_name", text(&table.primary_key_name)),
        ("table_catalog", text(facts.database)),
        ("table_schema", text(&table.schema)),
        ("table_name", text(&table.name)),
    ]
}

fn number(value: usize) -> Datum {
    Datum::Int4(i32::try_from(value).unwrap_or(i32::MAX))
}

fn yes_no(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

fn columns(table: &TableDef, facts: &Facts<'_>) -> Vec<Named> {
    let row = |(at, column): (usize, &tidelog_storage::ColumnDef)| {
        let mut row = typed(column.ty, facts);
        row.extend([
            ("table_schema", text(&table.schema)),
            ("table_name", text(&table.name)),
            ("column_name", text(&column.name)),
            ("ordinal_position", number(at + 1)),
            ("is_nullable", text(yes_no(!column.not_null))),
            ("is_updatable", text("YES")),
        ]);
        if let Some(default) = &column.default {
            row.push(("column_default", text(default)));
        }
        row
    };
    table.columns.iter().enumerate().map(row).collect()
}

/// What a column's type says about it.
fn typed(ty: ColumnType, facts: &Facts<'_>) -> Named {
    let plain = match ty {
        ColumnType::Varchar(_) => ColumnType::Varchar(None),
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        ty => ty,
    };
    let mut row = vec![
        ("table_catalog", text(facts.database)),
        ("data_type", text(types::name(plain))),
        ("udt_catalog", text(facts.database)),
        ("udt_schema", text("pg_catalog")),
        ("udt_name", text(types::internal_name(ty))),
        ("is_self_referencing", text("NO")),
        ("is_identity", text("NO")),
        ("identity_cycle", text("NO")),
        ("is_generated", text("NEVER")),
    ];
    let bits = |precision: i32| {
        [
            ("numeric_precision", Datum::Int4(precision)),
            ("numeric_precision_radix", Datum::Int4(2)),
        ]
    };
    match ty {
        ColumnType::Int2 => row.extend(bits(16)),
        ColumnType::Int4 => row.extend(bits(32)),
        ColumnType::Int8 => row.extend(bits(64)),
        ColumnType::Float4 => row.extend(bits(24)),
        ColumnType::Float8 => row.extend(bits(53)),
        ColumnType::Numeric(Some((precision, scale))) => row.extend([
            ("numeric_precision", Datum::Int4(i32::from(precision))),
            ("numeric_precision_radix", Datum::Int4(10)),
            ("numeric_scale", Datum::Int4(i32::from(scale))),
        ]),
        ColumnType::Varchar(Some(length)) => row.push((
            "character_maximum_length",
            Datum::Int4(i32::try_from(length).unwrap_or(i32::MAX)),
        )),
        ColumnType::Timestamp | ColumnType::TimestampTz => {
            row.push(("datetime_precision", Datum::Int4(6)));
        }
        ColumnType::Date => row.push(("datetime_precision", Datum::Int4(0))),
        _ => {}
    }
    if matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8) {
        row.push(("numeric_scale", Datum::Int4(0)));
    }
    row
}
