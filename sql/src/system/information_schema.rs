//! information_schema: the standard's view of the catalog.

use tidelog_storage::catalog::{Deferral, Identity};
use tidelog_storage::datum::SECOND_DIGITS;
use tidelog_storage::{ColumnId, ColumnType, Datum, ElementType, IntervalModifier, TableDef};

use super::keys::{self, Constraint, ConstraintKind};
use super::{Facts, Named, deparse, privileges, text, views};
use crate::{precision, types};

pub(super) fn rows(name: &str, facts: &Facts<'_>) -> Vec<Named> {
    // The standard knows no materialized views.
    let tables = || {
        let all = facts.catalog.tables.values().map(|table| &**table);
        all.filter(|table| table.materialized.is_none())
    };
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
                    ("is_insertable_into", text(yes_no(kind != "VIEW"))),
                    ("is_typed", text("NO")),
                ]
            };
            let own = tables().map(|table| {
                let temporary = crate::ddl::temp::is_temporary(&table.schema);
                let kind = if temporary {
                    "LOCAL TEMPORARY"
                } else {
                    "BASE TABLE"
                };
                row(&table.schema, &table.name, kind)
            });
            let system = super::SYSTEM.values().map(|relation| {
                let kind = if relation.kind == "v" {
                    "VIEW"
                } else {
                    "BASE TABLE"
                };
                row(relation.schema, relation.name, kind)
            });
            own.chain(system).chain(views::tables(facts)).collect()
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
                        ("dtd_identifier", text((at + 1).to_string())),
                        ("is_nullable", text("YES")),
                        ("is_updatable", text("NO")),
                    ]);
                    rows.push(row);
                }
            }
            rows.extend(views::columns(facts));
            rows
        }
        "information_schema_catalog_name" => vec![vec![("catalog_name", catalog())]],
        "character_sets" => vec![vec![
            ("character_set_name", text("UTF8")),
            ("character_repertoire", text("UCS")),
            ("form_of_use", text("UTF8")),
            ("default_collate_catalog", catalog()),
            ("default_collate_schema", text("pg_catalog")),
            ("default_collate_name", text("C")),
        ]],
        "enabled_roles" => privileges::enabled_roles(facts),
        "applicable_roles" => privileges::applicable_roles(facts),
        "usage_privileges" => privileges::usage(facts),
        "element_types" => {
            let tables = tables().flat_map(|table| columns(table, facts));
            let all = tables.chain(views::columns(facts));
            all.filter_map(|column| element_type(column, facts))
                .collect()
        }
        "table_privileges" | "role_table_grants" => privileges::of_tables(facts),
        "column_privileges" | "role_column_grants" => privileges::of_columns(facts),
        "column_column_usage" => tables().flat_map(|t| generated_from(t, facts)).collect(),
        "sequences" => facts
            .catalog
            .sequences
            .values()
            .map(|sequence| {
                let bits = match sequence.ty {
                    ColumnType::Int2 => 16,
                    ColumnType::Int4 => 32,
                    _ => 64,
                };
                vec![
                    ("sequence_catalog", text(facts.database)),
                    ("sequence_schema", text(&sequence.schema)),
                    ("sequence_name", text(&sequence.name)),
                    ("data_type", text(types::name(sequence.ty))),
                    ("numeric_precision", Datum::Int4(bits)),
                    ("numeric_precision_radix", Datum::Int4(2)),
                    ("numeric_scale", Datum::Int4(0)),
                    ("start_value", text(sequence.start.to_string())),
                    ("minimum_value", text(sequence.min.to_string())),
                    ("maximum_value", text(sequence.max.to_string())),
                    ("increment", text(sequence.increment.to_string())),
                    ("cycle_option", text(yes_no(sequence.cycle))),
                ]
            })
            .collect(),
        "views" => views::information(facts),
        "table_constraints" => constraints(facts)
            .map(|constraint| {
                let mut row = of_constraint(&constraint, facts);
                row.extend(of_table(constraint.table, facts));
                let deferral = constraint.deferral();
                let is_deferrable = yes_no(deferral != Deferral::NotDeferrable);
                let is_deferred = yes_no(deferral == Deferral::InitiallyDeferred);
                row.extend([
                    ("constraint_type", text(constraint.kind_name())),
                    ("is_deferrable", text(is_deferrable)),
                    ("initially_deferred", text(is_deferred)),
                    ("enforced", text("YES")),
                ]);
                row
            })
            .collect(),
        "key_column_usage" => constraints(facts)
            .filter(|constraint| constraint.letter() != "c")
            .flat_map(|constraint| key_columns(&constraint, facts))
            .collect(),
        "constraint_column_usage" => constraints(facts)
            .flat_map(|constraint| used_columns(&constraint, facts))
            .collect(),
        "check_constraints" => constraints(facts)
            .filter_map(|constraint| match constraint.kind {
                ConstraintKind::Check { condition } => {
                    let mut row = of_constraint(&constraint, facts);
                    let shown = deparse::check(constraint.table, condition, keys::Form::FULL);
                    row.push(("check_clause", text(format!("({shown})"))));
                    Some(row)
                }
                _ => None,
            })
            .collect(),
        "referential_constraints" => constraints(facts)
            .filter_map(|constraint| referential(&constraint, facts))
            .collect(),
        _ => Vec::new(),
    }
}

fn constraints<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = Constraint<'a>> {
    let tables = facts.catalog.tables.values();
    tables.flat_map(|table| keys::constraints(table, facts.catalog))
}

fn of_constraint(constraint: &Constraint<'_>, facts: &Facts<'_>) -> Named {
    vec![
        ("constraint_catalog", text(facts.database)),
        ("constraint_schema", text(&constraint.table.schema)),
        ("constraint_name", text(constraint.name)),
    ]
}

fn of_table(table: &TableDef, facts: &Facts<'_>) -> Named {
    vec![
        ("table_catalog", text(facts.database)),
        ("table_schema", text(&table.schema)),
        ("table_name", text(&table.name)),
    ]
}

fn column_name(table: &TableDef, id: ColumnId) -> Datum {
    let at = table.index_of(id);
    at.map_or(Datum::Null, |at| text(&table.columns[at].name))
}

fn key_columns(constraint: &Constraint<'_>, facts: &Facts<'_>) -> Vec<Named> {
    let row = |(at, id): (usize, &ColumnId)| {
        let mut row = of_constraint(constraint, facts);
        row.extend(of_table(constraint.table, facts));
        row.push(("column_name", column_name(constraint.table, *id)));
        row.push(("ordinal_position", number(at + 1)));
        if let ConstraintKind::Foreign {
            parent,
            parent_columns,
            ..
        } = &constraint.kind
        {
            let key = parent.referable_keys().find(|key| {
                key.columns.len() == parent_columns.len()
                    && key.columns.iter().all(|id| parent_columns.contains(id))
            });
            let place = key.and_then(|key| {
                key.columns
                    .iter()
                    .position(|id| Some(id) == parent_columns.get(at))
            });
            row.extend(place.map(|at| ("position_in_unique_constraint", number(at + 1))));
        }
        row
    };
    constraint.columns.iter().enumerate().map(row).collect()
}

/// A foreign key uses the columns that it references, every other constraint its own.
fn used_columns(constraint: &Constraint<'_>, facts: &Facts<'_>) -> Vec<Named> {
    let (table, columns) = match &constraint.kind {
        ConstraintKind::Foreign {
            parent,
            parent_columns,
            ..
        } => (*parent, *parent_columns),
        _ => (constraint.table, constraint.columns.as_slice()),
    };
    let row = |id: &ColumnId| {
        let mut row = of_constraint(constraint, facts);
        row.extend(of_table(table, facts));
        row.push(("column_name", column_name(table, *id)));
        row
    };
    columns.iter().map(row).collect()
}

fn referential(constraint: &Constraint<'_>, facts: &Facts<'_>) -> Option<Named> {
    let ConstraintKind::Foreign {
        parent,
        parent_columns,
        on_delete,
        on_update,
        ..
    } = &constraint.kind
    else {
        return None;
    };
    let key = parent.referable_keys().find(|key| {
        key.columns.len() == parent_columns.len()
            && key.columns.iter().all(|id| parent_columns.contains(id))
    })?;
    let mut row = of_constraint(constraint, facts);
    row.extend([
        ("unique_constraint_catalog", text(facts.database)),
        ("unique_constraint_schema", text(&parent.schema)),
        ("unique_constraint_name", text(key.name)),
        ("match_option", text("NONE")),
        ("update_rule", text(keys::action_name(*on_update))),
        ("delete_rule", text(keys::action_name(*on_delete))),
    ]);
    Some(row)
}

pub(super) fn number(value: usize) -> Datum {
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
            ("dtd_identifier", text((at + 1).to_string())),
            ("is_nullable", text(yes_no(!column.not_null))),
            ("is_updatable", text("YES")),
        ]);
        match (&column.default, column.identity) {
            (_, Some(identity)) => {
                let sequence = column.sequence;
                let sequence = sequence.and_then(|id| facts.catalog.sequence_by_id(id));
                let generation = match identity {
                    Identity::Always => "ALWAYS",
                    Identity::ByDefault => "BY DEFAULT",
                };
                row.extend([
                    ("is_identity", text("YES")),
                    ("identity_generation", text(generation)),
                ]);
                if let Some(sequence) = sequence {
                    row.extend([
                        ("identity_start", text(sequence.start.to_string())),
                        ("identity_increment", text(sequence.increment.to_string())),
                        ("identity_maximum", text(sequence.max.to_string())),
                        ("identity_minimum", text(sequence.min.to_string())),
                    ]);
                }
            }
            (Some(_), None) => {
                let path = ["public".to_string()];
                let shown = deparse::of_column(facts.catalog, &path, column);
                row.extend(shown.map(|shown| ("column_default", text(shown))));
            }
            (None, None) => {}
        }
        if column.generated.is_some() {
            let path = ["public".to_string()];
            let shown = deparse::of_column(facts.catalog, &path, column);
            row.retain(|(name, _)| *name != "is_generated");
            row.push(("is_generated", text("ALWAYS")));
            row.extend(shown.map(|shown| ("generation_expression", text(shown))));
        }
        row
    };
    table.columns.iter().enumerate().map(row).collect()
}

/// What the elements of a column are, if it is an array.
fn element_type(column: Named, facts: &Facts<'_>) -> Option<Named> {
    let of = |name: &str| {
        let value = column.iter().find(|(column, _)| *column == name);
        value.map(|(_, value)| value.clone())
    };
    let (Datum::Text(array), schema) = (of("udt_name")?, of("udt_schema")?) else {
        return None;
    };
    if of("data_type") != Some(text("ARRAY")) {
        return None;
    }
    let element = array.strip_prefix('_')?;
    let data_type = match schema == text("pg_catalog") {
        true => {
            let ty = crate::parse::parse_type(&crate::parse::identifier(element)).ok();
            let ty = ty.and_then(|ty| types::column_type(&ty).ok())?;
            types::bare_name(ty)
        }
        false => "USER-DEFINED".to_string(),
    };
    let Datum::Text(identifier) = of("dtd_identifier")? else {
        return None;
    };
    Some(vec![
        ("object_catalog", text(facts.database)),
        ("object_schema", of("table_schema")?),
        ("object_name", of("table_name")?),
        ("object_type", text("TABLE")),
        ("collection_type_identifier", text(&identifier)),
        ("data_type", text(data_type)),
        ("udt_catalog", text(facts.database)),
        ("udt_schema", schema),
        ("udt_name", text(element)),
        ("dtd_identifier", text(format!("a{identifier}"))),
    ])
}

/// The columns that others are generated from.
fn generated_from(table: &TableDef, facts: &Facts<'_>) -> Vec<Named> {
    let mut rows = Vec::new();
    for column in &table.columns {
        let Some(expression) = &column.generated else {
            continue;
        };
        for base in crate::ddl::table::generated::bases(table, expression) {
            rows.push(vec![
                ("table_catalog", text(facts.database)),
                ("table_schema", text(&table.schema)),
                ("table_name", text(&table.name)),
                ("column_name", text(&base.name)),
                ("dependent_column", text(&column.name)),
            ]);
        }
    }
    rows
}

/// What a column's type says about it.
pub(super) fn typed(ty: ColumnType, facts: &Facts<'_>) -> Named {
    let plain = match ty {
        ColumnType::Varchar(_) => ColumnType::Varchar(None),
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        ty => precision::plain(ty),
    };
    let (data_type, schema) = match plain {
        ColumnType::Array(ElementType::Enum(of)) | ColumnType::Shaped(ElementType::Enum(of)) => {
            ("ARRAY".to_string(), of.definition().schema.as_str())
        }
        ColumnType::Array(_) | ColumnType::Shaped(_) => ("ARRAY".to_string(), "pg_catalog"),
        ColumnType::Enum(of) => ("USER-DEFINED".to_string(), of.definition().schema.as_str()),
        plain => (types::name(plain), "pg_catalog"),
    };
    let mut row = vec![
        ("table_catalog", text(facts.database)),
        ("data_type", text(data_type)),
        ("udt_catalog", text(facts.database)),
        ("udt_schema", text(schema)),
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
    let seconds = |digits: Option<u8>| {
        let digits = digits.unwrap_or(SECOND_DIGITS);
        ("datetime_precision", Datum::Int4(digits.into()))
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
        ColumnType::Varchar(Some(length))
        | ColumnType::Bpchar(Some(length))
        | ColumnType::Bit(Some(length))
        | ColumnType::Varbit(Some(length)) => row.push((
            "character_maximum_length",
            Datum::Int4(i32::try_from(length).unwrap_or(i32::MAX)),
        )),
        ColumnType::Time(digits)
        | ColumnType::TimeTz(digits)
        | ColumnType::Timestamp(digits)
        | ColumnType::TimestampTz(digits) => row.push(seconds(digits)),
        ColumnType::Interval(kept) => {
            row.push(seconds(kept.and_then(IntervalModifier::digits)));
            // PostgreSQL cuts it out of what format_type gives.
            let fields = kept.filter(|kept| kept.fields().is_some());
            let written = fields.map(|kept| kept.written().trim_start().to_uppercase());
            row.extend(written.map(|written| ("interval_type", text(written))));
        }
        ColumnType::Date => row.push(("datetime_precision", Datum::Int4(0))),
        _ => {}
    }
    if matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8) {
        row.push(("numeric_scale", Datum::Int4(0)));
    }
    row
}
