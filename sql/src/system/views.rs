//! Views, also materialized ones, as the catalogs show them.

use tidelog_storage::{Catalog, TableDef, ViewDef};

use super::pg_catalog::{attribute, persistence, plain_class};
use super::pg_type::row_type_oid;
use super::{Datum, Facts, Named, information_schema, named_oid, table_oid, text};
use crate::ddl::materialized;

pub(super) fn view_oid(view: &ViewDef) -> i64 {
    named_oid(&format!("view {}.{}", view.schema, view.name))
}

/// The rule that makes a view of a relation.
pub(super) fn rule_oid(view: &ViewDef) -> i64 {
    named_oid(&format!("rule {}.{}", view.schema, view.name))
}

/// Their rows of pg_rewrite.
pub(super) fn rules(catalog: &Catalog) -> Vec<Named> {
    let row = |class: i64, view: &ViewDef| {
        vec![
            ("oid", Datum::Int8(rule_oid(view))),
            ("rulename", text("_RETURN")),
            ("ev_class", Datum::Int8(class)),
            ("ev_type", text("1")),
            ("ev_enabled", text("O")),
            ("is_instead", Datum::Bool(true)),
            ("ev_qual", text("<>")),
            ("ev_action", text("<>")),
        ]
    };
    let kept = materialized::all(catalog).map(|(table, view)| row(table_oid(table), &view));
    (views(catalog).map(|view| row(view_oid(view), view)))
        .chain(kept)
        .collect()
}

fn views(catalog: &Catalog) -> impl Iterator<Item = &ViewDef> {
    catalog.views.values().map(|view| &**view)
}

/// Its rows of pg_class.
pub(super) fn classes(catalog: &Catalog) -> impl Iterator<Item = Named> {
    views(catalog).map(|view| {
        let columns = view.columns.len();
        let mut row = plain_class(view_oid(view), &view.name, &view.schema, "v", columns);
        let row_type = row_type_oid(view_oid(view));
        row.extend([
            ("relhasrules", Datum::Bool(true)),
            ("relpersistence", text(persistence(&view.schema))),
            ("reltype", Datum::Int8(row_type)),
        ]);
        row
    })
}

/// Its rows of pg_attribute.
pub(super) fn attributes(catalog: &Catalog) -> impl Iterator<Item = Named> {
    views(catalog).flat_map(|view| {
        let columns = view.columns.iter().enumerate();
        columns.map(|(at, (name, ty))| attribute(view_oid(view), at + 1, name, *ty))
    })
}

/// Names by oid.
pub(super) fn names(catalog: &Catalog) -> impl Iterator<Item = (i64, (String, String))> {
    views(catalog).map(|view| (view_oid(view), (view.schema.clone(), view.name.clone())))
}

/// What pg_get_viewdef says of each.
pub(super) fn definitions(catalog: &Catalog) -> impl Iterator<Item = (i64, String)> {
    let kept = materialized::all(catalog);
    let kept = kept.map(|(table, view)| (table_oid(table), definition(&view)));
    (views(catalog).map(|view| (view_oid(view), definition(view)))).chain(kept)
}

fn definition(view: &ViewDef) -> String {
    format!(" {};", view.query)
}

/// The rows of pg_views.
pub(super) fn pg_views(catalog: &Catalog) -> Vec<Named> {
    let row = |view: &ViewDef| {
        vec![
            ("schemaname", text(&view.schema)),
            ("viewname", text(&view.name)),
            ("viewowner", text("postgres")),
            ("definition", text(definition(view))),
        ]
    };
    views(catalog).map(row).collect()
}

/// The rows of pg_matviews.
pub(super) fn pg_matviews(catalog: &Catalog) -> Vec<Named> {
    let row = |(table, view): (&TableDef, ViewDef)| {
        let populated = table.materialized.as_ref().is_some_and(|of| of.populated);
        vec![
            ("schemaname", text(&view.schema)),
            ("matviewname", text(&view.name)),
            ("matviewowner", text("postgres")),
            ("hasindexes", Datum::Bool(!table.indexes.is_empty())),
            ("ispopulated", Datum::Bool(populated)),
            ("definition", text(definition(&view))),
        ]
    };
    materialized::all(catalog).map(row).collect()
}

/// The rows of information_schema.views.
pub(super) fn information(facts: &Facts<'_>) -> Vec<Named> {
    let row = |view: &ViewDef| {
        vec![
            ("table_catalog", text(facts.database)),
            ("table_schema", text(&view.schema)),
            ("table_name", text(&view.name)),
            ("view_definition", text(definition(view))),
            ("check_option", text("NONE")),
            ("is_updatable", text("NO")),
            ("is_insertable_into", text("NO")),
            ("is_trigger_updatable", text("NO")),
            ("is_trigger_deletable", text("NO")),
            ("is_trigger_insertable_into", text("NO")),
        ]
    };
    views(facts.catalog).map(row).collect()
}

/// Their rows of information_schema.tables.
pub(super) fn tables(facts: &Facts<'_>) -> Vec<Named> {
    let row = |view: &ViewDef| {
        vec![
            ("table_catalog", text(facts.database)),
            ("table_schema", text(&view.schema)),
            ("table_name", text(&view.name)),
            ("table_type", text("VIEW")),
            ("is_insertable_into", text("NO")),
            ("is_typed", text("NO")),
        ]
    };
    views(facts.catalog).map(row).collect()
}

/// Their rows of information_schema.columns.
pub(super) fn columns(facts: &Facts<'_>) -> Vec<Named> {
    let rows = |view: &ViewDef| -> Vec<Named> {
        let row = |(at, (name, ty)): (usize, &(String, tidelog_storage::ColumnType))| {
            let mut row = information_schema::typed(*ty, facts);
            row.extend([
                ("table_schema", text(&view.schema)),
                ("table_name", text(&view.name)),
                ("column_name", text(name)),
                ("ordinal_position", information_schema::number(at + 1)),
                ("dtd_identifier", text((at + 1).to_string())),
                ("is_nullable", text("YES")),
                ("is_updatable", text("NO")),
            ]);
            row
        };
        view.columns.iter().enumerate().map(row).collect()
    };
    views(facts.catalog).flat_map(rows).collect()
}
