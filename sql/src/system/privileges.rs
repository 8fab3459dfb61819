//! Rows of information_schema about privileges: everything belongs to the superusers, and nothing is granted.

use tidelog_storage::BOOTSTRAP_ROLE;

use super::{DATABASE_OWNER_NAME, Facts, Named, text};

/// What an owner may do with a table, and of that with a column.
const OF_TABLES: [&str; 7] = [
    "DELETE",
    "INSERT",
    "REFERENCES",
    "SELECT",
    "TRIGGER",
    "TRUNCATE",
    "UPDATE",
];
const OF_COLUMNS: [&str; 4] = ["INSERT", "REFERENCES", "SELECT", "UPDATE"];

/// enabled_roles: those that one may act as.
pub(super) fn enabled_roles(facts: &Facts<'_>) -> Vec<Named> {
    let own = facts.access.role.as_ref().map(|role| role.id);
    let roles = facts.catalog.roles.values();
    let roles = roles.filter(|role| facts.access.superuser || Some(role.id) == own);
    let roles = roles.map(|role| vec![("role_name", text(&*role.name))]);
    let owner = facts
        .access
        .superuser
        .then(|| vec![("role_name", text(DATABASE_OWNER_NAME))]);
    roles.chain(owner).collect()
}

/// applicable_roles: nobody is a member of a role, but for the owner of the database.
pub(super) fn applicable_roles(facts: &Facts<'_>) -> Vec<Named> {
    let owner = || {
        vec![
            ("grantee", text(BOOTSTRAP_ROLE)),
            ("role_name", text(DATABASE_OWNER_NAME)),
            ("is_grantable", text("NO")),
        ]
    };
    facts.access.superuser.then(owner).into_iter().collect()
}

/// usage_privileges: everybody may use the collations. Of sequences PostgreSQL shows what was granted.
pub(super) fn usage(facts: &Facts<'_>) -> Vec<Named> {
    let row = |collation: Named| {
        let (_, name) = collation
            .into_iter()
            .find(|(column, _)| *column == "collname")?;
        Some(vec![
            ("grantor", text(BOOTSTRAP_ROLE)),
            ("grantee", text("PUBLIC")),
            ("object_catalog", text(facts.database)),
            ("object_schema", text("pg_catalog")),
            ("object_name", name),
            ("object_type", text("COLLATION")),
            ("privilege_type", text("USAGE")),
            ("is_grantable", text("NO")),
        ])
    };
    let collations = super::pg_catalog::embedded("pg_collation");
    collations.into_iter().filter_map(row).collect()
}

/// table_privileges and role_table_grants, of what users made.
pub(super) fn of_tables(facts: &Facts<'_>) -> Vec<Named> {
    let row = |(schema, name): &(String, String), privilege: &str| {
        let mut row = granted(facts, schema, name, privilege);
        let hierarchy = if privilege == "SELECT" { "YES" } else { "NO" };
        row.push(("with_hierarchy", text(hierarchy)));
        row
    };
    let relations = relations(facts).into_iter();
    let rows = relations.flat_map(|(name, _)| OF_TABLES.map(|privilege| row(name, privilege)));
    rows.collect()
}

/// column_privileges and role_column_grants, of what users made.
pub(super) fn of_columns(facts: &Facts<'_>) -> Vec<Named> {
    let mut rows = Vec::new();
    for ((schema, name), columns) in relations(facts) {
        for column in columns {
            rows.extend(OF_COLUMNS.map(|privilege| {
                let mut row = granted(facts, schema, name, privilege);
                row.push(("column_name", text(column)));
                row
            }));
        }
    }
    rows
}

type Relation<'a> = (&'a (String, String), Vec<&'a str>);

/// Tables and views with their columns, as far as their owner asks. The standard knows no materialized views.
fn relations<'a>(facts: &Facts<'a>) -> Vec<Relation<'a>> {
    if !facts.access.superuser {
        return Vec::new();
    }
    let tables = facts.catalog.tables.iter();
    let tables = tables.filter(|(_, table)| table.materialized.is_none());
    let tables = tables.map(|(name, table)| {
        let columns = table.columns.iter().map(|column| column.name.as_str());
        (name, columns.collect())
    });
    let views = facts.catalog.views.iter().map(|(name, view)| {
        let columns = view.columns.iter().map(|(name, _)| name.as_str());
        (name, columns.collect())
    });
    tables.chain(views).collect()
}

fn granted(facts: &Facts<'_>, schema: &str, name: &str, privilege: &str) -> Named {
    vec![
        ("grantor", text(BOOTSTRAP_ROLE)),
        ("grantee", text(BOOTSTRAP_ROLE)),
        ("table_catalog", text(facts.database)),
        ("table_schema", text(schema)),
        ("table_name", text(name)),
        ("privilege_type", text(privilege)),
        ("is_grantable", text("YES")),
    ]
}
