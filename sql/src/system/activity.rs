//! Rows of pg_stat_activity.

use tidelog_storage::Datum;

use super::pg_catalog::{DATABASE_OID, oid};
use super::{Named, role_oid, text};
use crate::activity::Activity;

/// A session in pg_stat_activity; what it does is shown to who may know it.
pub(super) fn row(activity: &Activity, knows: bool) -> Named {
    let login = &activity.login;
    let mut row = vec![
        ("datid", oid(DATABASE_OID)),
        ("datname", text(login.database.clone())),
        ("pid", Datum::Int4(login.pid)),
        ("usesysid", oid(role_oid(&login.user))),
        ("usename", text(login.user.clone())),
    ];
    if !knows {
        row.push(("query", text("<insufficient privilege>")));
        return row;
    }
    let now = activity.now.lock().clone();
    let at = |at: Option<i64>| at.map_or(Datum::Null, Datum::TimestampTz);
    let ip = activity.client.ip().to_canonical();
    row.extend([
        ("application_name", text(&*now.application)),
        ("client_addr", text(ip.to_string())),
        ("client_port", Datum::Int4(activity.client.port().into())),
        ("backend_start", Datum::TimestampTz(activity.began_us)),
        ("xact_start", at(now.transaction_began_us)),
        ("query_start", at(now.query_began_us)),
        ("state_change", Datum::TimestampTz(now.changed_us)),
        ("state", text(now.state)),
        ("query", text(&*now.query)),
        ("backend_type", text("client backend")),
    ]);
    if now.state != "active" {
        row.extend([
            ("wait_event_type", text("Client")),
            ("wait_event", text("ClientRead")),
        ]);
    }
    row
}
