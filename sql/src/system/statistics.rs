//! Rows of the relations of statistics: what they are about. Nothing is counted, so the counts are NULL.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidelog_storage::{Catalog, Datum, SequenceDef, TableDef};

use super::keys::Index;
use super::pg_catalog::oid;
use super::{Named, object_oid, table_oid, text};
use crate::activity::Activity;

/// Those with a row for each table.
pub(super) const OF_TABLES: [&str; 6] = [
    "pg_stat_all_tables",
    "pg_stat_user_tables",
    "pg_stat_xact_all_tables",
    "pg_stat_xact_user_tables",
    "pg_statio_all_tables",
    "pg_statio_user_tables",
];
/// Those with a row for each index.
pub(super) const OF_INDEXES: [&str; 4] = [
    "pg_stat_all_indexes",
    "pg_stat_user_indexes",
    "pg_statio_all_indexes",
    "pg_statio_user_indexes",
];
/// Those with a row for each sequence.
pub(super) const OF_SEQUENCES: [&str; 2] = ["pg_statio_all_sequences", "pg_statio_user_sequences"];

pub(super) fn table(table: &TableDef) -> Named {
    vec![
        ("relid", oid(table_oid(table))),
        ("schemaname", text(&table.schema)),
        ("relname", text(&table.name)),
    ]
}

pub(super) fn index(index: &Index<'_>) -> Named {
    vec![
        ("relid", oid(table_oid(index.table))),
        ("indexrelid", oid(index.oid)),
        ("schemaname", text(&index.table.schema)),
        ("relname", text(&index.table.name)),
        ("indexrelname", text(index.name)),
    ]
}

pub(super) fn sequence(sequence: &SequenceDef) -> Named {
    vec![
        ("relid", oid(object_oid(sequence.id))),
        ("schemaname", text(&sequence.schema)),
        ("relname", text(&sequence.name)),
    ]
}

/// pg_stat_database: the databases, with their sessions.
pub(crate) fn databases(activities: &[Arc<Activity>], catalog: &Catalog) -> Vec<Named> {
    let mut sessions: BTreeMap<_, i32> = BTreeMap::new();
    for activity in activities {
        *sessions.entry(activity.login.database).or_default() += 1;
    }
    let databases = catalog.databases.iter();
    databases
        .map(|(id, database)| {
            vec![
                ("datid", oid(id.oid().into())),
                ("datname", text(&*database.def.name)),
                (
                    "numbackends",
                    Datum::Int4(sessions.get(id).copied().unwrap_or_default()),
                ),
            ]
        })
        .collect()
}

/// pg_stat_ssl and pg_stat_gssapi: a column of each session that is false, since none is encrypted.
pub(crate) fn unencrypted(activities: &[Arc<Activity>], column: &'static str) -> Vec<Named> {
    let sessions = activities.iter();
    sessions
        .map(|session| {
            vec![
                ("pid", Datum::Int4(session.login.pid)),
                (column, Datum::Bool(false)),
            ]
        })
        .collect()
}
