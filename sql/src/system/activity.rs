//! Rows of pg_stat_activity, pg_locks, pg_cursors and pg_prepared_statements.

use tidelog_storage::{Catalog, DatabaseId, Datum};

use super::pg_catalog::oid;
use super::{Named, table_oid, text, type_facts};
use crate::activity::Activity;
use crate::locks::{LockMode, Locked, ShownLock};
use crate::session::{CursorInfo, StatementInfo};

/// A session in pg_stat_activity, with what it waits for; what it does is shown to who may know it.
pub(super) fn row(
    activity: &Activity,
    waits: Option<Locked>,
    knows: bool,
    catalog: &Catalog,
) -> Named {
    let login = &activity.login;
    let database = catalog.databases.get(&login.database);
    let database = database.map_or(Datum::Null, |database| text(&*database.def.name));
    let mut row = vec![
        ("datid", oid(login.database.oid().into())),
        ("datname", database),
        ("pid", Datum::Int4(login.pid)),
        ("usesysid", oid(login.role.id.oid().into())),
        ("usename", text(catalog.name_of(&login.role))),
    ];
    if !knows {
        row.push(("query", text("<insufficient privilege>")));
        return row;
    }
    let now = activity.now.lock().clone();
    let at = |at: Option<i64>| at.map_or(Datum::Null, Datum::TimestampTz);
    let ip = activity.ends.client.ip().to_canonical();
    row.extend([
        ("application_name", text(&*now.application)),
        ("client_addr", text(ip.to_string())),
        (
            "client_port",
            Datum::Int4(activity.ends.client.port().into()),
        ),
        ("backend_start", Datum::TimestampTz(activity.began_us)),
        ("xact_start", at(now.transaction_began_us)),
        ("query_start", at(now.query_began_us)),
        ("state_change", Datum::TimestampTz(now.changed_us)),
        ("state", text(now.state)),
        ("query", text(&*now.query)),
        ("backend_type", text("client backend")),
    ]);
    let event = match (waits, now.state) {
        (Some(object), _) => Some(("Lock", locktype(object))),
        (None, "active") => None,
        (None, _) => Some(("Client", "ClientRead")),
    };
    if let Some((kind, event)) = event {
        row.extend([("wait_event_type", text(kind)), ("wait_event", text(event))]);
    }
    row
}

/// PostgreSQL's name for a kind of lock.
fn locktype(object: Locked) -> &'static str {
    match object {
        Locked::Row(_) => "tuple",
        Locked::Advisory { .. } => "advisory",
    }
}

/// A lock in pg_locks. The modes of rows are those under which PostgreSQL shows its locks of tuples.
pub(super) fn lock_row(lock: &ShownLock, catalog: &Catalog) -> Named {
    let mut row = vec![
        ("locktype", text(locktype(lock.object))),
        ("pid", Datum::Int4(lock.pid)),
        ("granted", Datum::Bool(lock.waits_since_us.is_none())),
        ("fastpath", Datum::Bool(false)),
    ];
    if let Some(since) = lock.waits_since_us {
        row.push(("waitstart", Datum::TimestampTz(since)));
    }
    let mode = match (lock.object, lock.mode) {
        (Locked::Advisory { .. }, LockMode::Share) => "ShareLock",
        (Locked::Advisory { .. }, _) => "ExclusiveLock",
        (Locked::Row(_), LockMode::KeyShare) => "AccessShareLock",
        (Locked::Row(_), LockMode::Share) => "RowShareLock",
        (Locked::Row(_), LockMode::NoKeyUpdate) => "ExclusiveLock",
        (Locked::Row(_), LockMode::Update) => "AccessExclusiveLock",
    };
    row.push(("mode", text(mode)));
    match lock.object {
        Locked::Row(table) => {
            let database = catalog.database_of(table).map(DatabaseId::oid);
            row.extend(database.map(|database| ("database", oid(database.into()))));
            let table = catalog.table_by_id(table);
            row.extend(table.map(|table| ("relation", oid(table_oid(table)))));
        }
        Locked::Advisory {
            space,
            database,
            number,
        } => row.extend([
            ("database", oid(database.into())),
            ("classid", oid(number >> 32 & i64::from(u32::MAX))),
            ("objid", oid(number & i64::from(u32::MAX))),
            ("objsubid", Datum::Int2(space.into())),
        ]),
    }
    row
}

/// A session's cursors in pg_cursors.
pub(crate) fn cursor_rows(cursors: Vec<CursorInfo>) -> Vec<Named> {
    let row = |cursor: CursorInfo| {
        vec![
            ("name", text(cursor.name)),
            ("statement", text(cursor.statement)),
            ("is_holdable", Datum::Bool(cursor.hold)),
            ("is_binary", Datum::Bool(false)),
            ("is_scrollable", Datum::Bool(cursor.scroll)),
            ("creation_time", Datum::TimestampTz(cursor.declared_us)),
        ]
    };
    cursors.into_iter().map(row).collect()
}

/// A session's statements in pg_prepared_statements.
pub(crate) fn statement_rows(statements: Vec<StatementInfo>) -> Vec<Named> {
    let row = |statement: StatementInfo| {
        let types = statement.parameters.iter();
        let types: Vec<_> = types.map(|ty| type_facts(*ty).0.to_string()).collect();
        vec![
            ("name", text(statement.name)),
            ("statement", text(statement.text)),
            ("prepare_time", Datum::TimestampTz(statement.prepared_us)),
            ("parameter_types", text(format!("{{{}}}", types.join(",")))),
            ("from_sql", Datum::Bool(statement.by_sql)),
            ("generic_plans", Datum::Int8(statement.generic_plans)),
            ("custom_plans", Datum::Int8(statement.custom_plans)),
        ]
    };
    statements.into_iter().map(row).collect()
}
