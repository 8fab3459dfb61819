//! Views as the catalogs show them.

use tidelog_storage::{Catalog, ViewDef};

use super::pg_catalog::{attribute, plain_class};
use super::pg_type::row_type_oid;
use super::{Datum, Facts, Named, information_schema, named_oid, text};

pub(super) fn view_oid(view: &ViewDef) -> i64 {
    named_oid(&format!("view {}.{}", view.schema, view.name))
}

/// The rule that makes a view of a relation.
pub(super) fn rule_oid(view: &ViewDef) -> i64 {
    named_oid(&format!("rule {}.{}", view.schema, view.name))
}

/// Their rows of pg_rewrite.
pub(super) fn rules(catalog: &Catalog) -> Vec<Named> {
    let row = |view: &ViewDef| {
        vec![
            ("oid", Datum::Int8(rule_oid(view))),
            ("rulename", text("_RETURN")),
            ("ev_class", Datum::Int8(view_oid(view))),
            ("ev_type", text("1")),
            ("ev_enabled", text("O")),
            ("is_instead", Datum::Bool(true)),
            ("ev_qual", text("<>")),
            ("ev_action", text("<>")),
        ]
    };
    views(catalog).map(row).collect()
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
    views(catalog).map(|view| (view_oid(view), definition(view)))
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
                ("is_nullable", text("YES")),
                ("is_updatable", text("NO")),
            ]);
            row
        };
        view.columns.iter().enumerate().map(row).collect()
    };
    views(facts.catalog).flat_map(rows).collect()
}
