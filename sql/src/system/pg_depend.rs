//! pg_depend: what goes with what, and what must be there first.

use tidelog_storage::{Catalog, ColumnId, ColumnType, TableDef, ViewDef};

use super::keys::{self, ConstraintKind};
use super::pg_catalog::{default_oid, oid};
use super::{Datum, EXTENSIONS, Named, SYSTEM, views};
use super::{object_oid, schema_oid, table_oid, text};
use crate::ddl;

pub(super) const PG_TYPE: i64 = 1247;
pub(super) const PG_CLASS: i64 = 1259;
const PG_ATTRDEF: i64 = 2604;
pub(super) const PG_CONSTRAINT: i64 = 2606;
pub(super) const PG_NAMESPACE: i64 = 2615;
const PG_REWRITE: i64 = 2618;
const PG_EXTENSION: i64 = 3079;

/// An object: its catalog, its oid there, and the number of a column.
type Object = (i64, i64, i32);

fn depends(on: Object, object: Object, kind: &str) -> Named {
    vec![
        ("classid", oid(object.0)),
        ("objid", oid(object.1)),
        ("objsubid", Datum::Int4(object.2)),
        ("refclassid", oid(on.0)),
        ("refobjid", oid(on.1)),
        ("refobjsubid", Datum::Int4(on.2)),
        ("deptype", text(kind)),
    ]
}

pub(super) fn rows(catalog: &Catalog) -> Vec<Named> {
    let mut rows = Vec::new();
    for table in catalog.tables.values() {
        of_table(table, catalog, &mut rows);
    }
    for sequence in catalog.sequences.values() {
        let object = (PG_CLASS, object_oid(sequence.id), 0);
        rows.push(in_schema(object, &sequence.schema));
    }
    for of in catalog.types.values() {
        let definition = of.definition();
        let object = (PG_TYPE, i64::from(definition.oid), 0);
        rows.push(in_schema(object, &definition.schema));
    }
    for extension in &EXTENSIONS {
        let Some((of, _)) = extension.type_oids() else {
            continue;
        };
        let extension = (PG_EXTENSION, extension.oid(catalog), 0);
        rows.push(depends(extension, (PG_TYPE, of, 0), "e"));
    }
    for view in catalog.views.values() {
        let own = (PG_CLASS, views::view_oid(view), 0);
        rows.push(in_schema(own, &view.schema));
        of_rule(own, view, catalog, &mut rows);
    }
    for (table, view) in ddl::materialized::all(catalog) {
        of_rule((PG_CLASS, table_oid(table), 0), &view, catalog, &mut rows);
    }
    rows
}

fn in_schema(object: Object, schema: &str) -> Named {
    depends((PG_NAMESPACE, schema_oid(schema), 0), object, "n")
}

fn of_table(table: &TableDef, catalog: &Catalog, rows: &mut Vec<Named>) {
    let class = table_oid(table);
    let column = |number: u16| (PG_CLASS, class, i32::from(number));
    rows.push(in_schema((PG_CLASS, class, 0), &table.schema));
    for def in &table.columns {
        let own = column(def.id.get());
        let element = def.ty.elements().map_or(def.ty, ColumnType::from);
        if let ColumnType::Enum(of) = element {
            let of = (PG_TYPE, i64::from(of.definition().oid), 0);
            rows.push(depends(of, own, "n"));
        }
        // A sequence goes with a serial column by itself, with an identity column as a part of it.
        if let Some(sequence) = def.sequence {
            let kind = if def.identity.is_some() { "i" } else { "a" };
            rows.push(depends(own, (PG_CLASS, object_oid(sequence), 0), kind));
        }
        if let Some(expression) = &def.generated {
            let own_default = (PG_ATTRDEF, default_oid(table, def), 0);
            rows.push(depends(own, own_default, "i"));
            for base in ddl::table::generated::bases(table, expression) {
                rows.push(depends(column(base.id.get()), own_default, "n"));
            }
        }
        let Some(default) = def.default.as_ref().filter(|_| def.identity.is_none()) else {
            continue;
        };
        let default_object = (PG_ATTRDEF, default_oid(table, def), 0);
        rows.push(depends(own, default_object, "a"));
        let drawn = (catalog.sequences.values())
            .find(|sequence| ddl::sequence::default_of(sequence) == *default);
        if let Some(sequence) = drawn {
            let sequence = (PG_CLASS, object_oid(sequence.id), 0);
            rows.push(depends(sequence, default_object, "n"));
        }
    }
    let constraints = keys::constraints(table, catalog);
    for constraint in &constraints {
        let object = (PG_CONSTRAINT, constraint.oid, 0);
        for id in &constraint.columns {
            rows.push(depends(column(id.get()), object, "a"));
        }
        match &constraint.kind {
            ConstraintKind::Key { index, .. } => {
                rows.push(depends(object, (PG_CLASS, *index, 0), "i"));
            }
            ConstraintKind::Foreign {
                parent,
                parent_columns,
                index,
                ..
            } => {
                for id in *parent_columns {
                    let column = (PG_CLASS, table_oid(parent), i32::from(id.get()));
                    rows.push(depends(column, object, "n"));
                }
                rows.push(depends((PG_CLASS, *index, 0), object, "n"));
            }
            ConstraintKind::Check { .. } => {
                for id in &constraint.columns {
                    rows.push(depends(column(id.get()), object, "n"));
                }
            }
        }
    }
    for index in keys::indexes(table)
        .iter()
        .filter(|index| !index.constraint)
    {
        let over = index.computed().map(|of| of.expression.as_str());
        let condition = index.predicate.and_then(|id| table.computed_of(id));
        let over = over.chain(condition.map(|of| of.expression.as_str()));
        let over = over.flat_map(|expression| ddl::table::generated::bases(table, expression));
        let over: Vec<ColumnId> = over.map(|column| column.id).collect();
        let plain = index.columns.iter().chain(index.included);
        for id in plain.filter(|id| !id.is_computed()).chain(&over) {
            rows.push(depends(column(id.get()), (PG_CLASS, index.oid, 0), "a"));
        }
    }
}

/// A view is its rule, and that depends on what it reads.
fn of_rule(own: Object, view: &ViewDef, catalog: &Catalog, rows: &mut Vec<Named>) {
    let rule = (PG_REWRITE, views::rule_oid(view), 0);
    rows.push(depends(own, rule, "i"));
    rows.push(depends(own, rule, "n"));
    let Ok(relations) = ddl::view::relations(view) else {
        return;
    };
    for (schema, name) in relations {
        let read = if let Some(table) = catalog.table(&schema, &name) {
            table_oid(table)
        } else if let Some(view) = catalog.view(&schema, &name) {
            views::view_oid(view)
        } else if let Some(sequence) = catalog.sequence(&schema, &name) {
            object_oid(sequence.id)
        } else if let Some(relation) = SYSTEM.get(&(schema.as_str(), name.as_str())) {
            relation.oid()
        } else {
            continue;
        };
        rows.push(depends((PG_CLASS, read, 0), rule, "n"));
    }
}
