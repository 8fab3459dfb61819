//! Rows of the relations of statistics: what they are about, and of tables what was changed. What is not counted is NULL.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidelog_storage::{Catalog, Datum, SequenceDef, StorageError, TableDef, TableKind};

use super::keys::Index;
use super::pg_catalog::oid;
use super::{Named, object_oid, table_oid, text};
use crate::activity::Activity;
use crate::provider::Scope;

/// Those with a row for each table.
pub(super) const OF_TABLES: [&str; 6] = [
    "pg_stat_all_tables",
    "pg_stat_user_tables",
    "pg_stat_xact_all_tables",
    "pg_stat_xact_user_tables",
    "pg_statio_all_tables",
    "pg_statio_user_tables",
];
/// Those of them that say what was changed.
pub(super) const COUNTED: [&str; 2] = ["pg_stat_all_tables", "pg_stat_user_tables"];
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

/// The rows of `COUNTED`. The live rows are an estimate: what is in files, and each change that is not flushed.
pub(super) fn counted(scope: &Scope) -> Result<Vec<Named>, StorageError> {
    let mut rows = Vec::new();
    let count = |count: u64| Datum::Int8(i64::try_from(count).unwrap_or(i64::MAX));
    for of in scope.snapshot.catalog().tables.values() {
        let mut row = table(of);
        // An ordinary role sees what concerns its own partition.
        let partitions = &scope.access.partitions(of);
        let files = scope.snapshot.cold_files(of, partitions)?;
        let states = scope.snapshot.states(of.id, partitions)?;
        let filed: u64 = files.iter().map(|file| file.rows).sum();
        let unflushed: u64 = states.iter().map(|(_, state)| state.unflushed_rows).sum();
        row.push(("n_live_tup", count(filed + unflushed)));
        if scope.access.all || of.kind != TableKind::User {
            let changed = scope.store.row_counts(of.id);
            row.extend([
                ("n_tup_ins", count(changed.inserted)),
                ("n_tup_upd", count(changed.updated)),
                ("n_tup_del", count(changed.deleted)),
            ]);
        }
        rows.push(row);
    }
    Ok(rows)
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
