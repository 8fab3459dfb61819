//! What COMMENT ON said, in pg_description and pg_shdescription.

use std::collections::BTreeMap;

use tidelog_storage::catalog::{Commented, TablePart};
use tidelog_storage::{Catalog, Database, DatabaseId, TableDef};

use super::pg_catalog::oid;
use super::pg_depend::{PG_CLASS, PG_CONSTRAINT, PG_NAMESPACE, PG_TYPE};
use super::{Datum, Named, keys, object_oid, schema_oid, table_oid, text, views};

const PG_AUTHID: i64 = 1260;
const PG_DATABASE: i64 = 1262;

/// The catalog and the oid of what a comment is on, and the number of a column.
pub(super) type On = (i64, i64, i32);

/// The catalog whose rows are shared by all databases has its comments elsewhere.
fn is_shared(class: i64) -> bool {
    matches!(class, PG_AUTHID | PG_DATABASE)
}

/// Every comment.
pub(super) fn all(catalog: &Catalog) -> BTreeMap<On, String> {
    let mut all = BTreeMap::new();
    for table in catalog.tables.values() {
        let on = table.comments.iter().filter_map(|(part, text)| {
            let on = part_of(table, part, catalog)?;
            Some((on, text.clone()))
        });
        all.extend(on);
    }
    for view in catalog.views.values() {
        let class = views::view_oid(view);
        let on = view.comments.iter();
        all.extend(on.map(|(at, text)| ((PG_CLASS, class, i32::from(*at)), text.clone())));
    }
    for sequence in catalog.sequences.values() {
        let on = (PG_CLASS, object_oid(sequence.id), 0);
        all.extend(sequence.comment.clone().map(|text| (on, text)));
    }
    // PostgreSQL makes them with these comments.
    let own = (PG_NAMESPACE, schema_oid("pg_catalog"), 0);
    all.insert(own, "system catalog schema".to_string());
    let public = Commented::Schema("public".to_string());
    if catalog.schemas.contains("public") && !catalog.comments.contains_key(&public) {
        let on = (PG_NAMESPACE, schema_oid("public"), 0);
        all.insert(on, "standard public schema".to_string());
    }
    for database in catalog.databases.values() {
        if let Some(text) = database.contents().comments.get(&Commented::Database) {
            let on = (PG_DATABASE, database.def.id.oid().into(), 0);
            all.insert(on, text.clone());
        }
    }
    let first = catalog.databases.get(&DatabaseId::FIRST);
    for (on, text) in first
        .map(Database::contents)
        .iter()
        .flat_map(|first| &first.comments)
    {
        if let Commented::Role(name) = on
            && let Some(role) = catalog.roles.get(name)
        {
            all.insert((PG_AUTHID, role.id.oid().into(), 0), text.clone());
        }
    }
    for (on, text) in &catalog.comments {
        let on = match on {
            Commented::Database | Commented::Role(_) => continue,
            Commented::Schema(name) => (PG_NAMESPACE, schema_oid(name), 0),
            Commented::Type(of) => (PG_TYPE, i64::from(*of), 0),
        };
        all.insert(on, text.clone());
    }
    all
}

fn part_of(table: &TableDef, part: &TablePart, catalog: &Catalog) -> Option<On> {
    Some(match part {
        TablePart::Table => (PG_CLASS, table_oid(table), 0),
        TablePart::Column(id) => (PG_CLASS, table_oid(table), i32::from(id.get())),
        TablePart::Index(id) => (PG_CLASS, keys::index_oid(table, *id), 0),
        TablePart::Constraint(name) => {
            let constraints = keys::constraints(table, catalog);
            let found = constraints
                .iter()
                .find(|constraint| constraint.name == name)?;
            (PG_CONSTRAINT, found.oid, 0)
        }
    })
}

/// The rows of pg_description, or of pg_shdescription.
pub(super) fn rows(catalog: &Catalog, shared: bool) -> Vec<Named> {
    let row = |((class, object, column), description): (On, String)| {
        let mut row = vec![
            ("objoid", oid(object)),
            ("classoid", oid(class)),
            ("description", text(description)),
        ];
        row.extend((!shared).then_some(("objsubid", Datum::Int4(column))));
        row
    };
    let all = all(catalog).into_iter();
    all.filter(|((class, ..), _)| is_shared(*class) == shared)
        .map(row)
        .collect()
}

/// The number of a catalog that obj_description is given by name.
pub(super) fn class_named(name: &str) -> Option<i64> {
    let relation = super::relation(Some("pg_catalog"), name)?;
    Some(relation.oid())
}
