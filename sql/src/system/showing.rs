//! What of Tidelog's own the catalogs show to whom: a dump of USER tables needs each row's user and nothing of the schema
//! `tidelog`, a dump for PostgreSQL no table options.

use tidelog_storage::{TableDef, TableKind};

use crate::provider::Access;
use crate::settings::{self, Settings};

/// Whether catalogs show the WITH options of tables.
pub(crate) const TABLE_OPTIONS: &str = "tidelog.table_options";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Showing {
    /// The schema `tidelog` is there.
    pub(crate) own_schema: bool,
    /// USER tables have `_user` as a column, and as the first one of their keys.
    pub(crate) users: bool,
    /// Tables have their options.
    pub(crate) options: bool,
}

impl Showing {
    /// With row_security off, as pg_dump sets it, only what users made is shown, and a table as the whole of all users'
    /// rows to whom it is that.
    pub(crate) fn of(settings: &Settings, access: &Access) -> Showing {
        let is_off = |name: &str| {
            let value = settings.get(name).map(|(_, value)| value);
            value.is_ok_and(|value| settings::boolean(name, &value) == Ok(false))
        };
        let dumps = is_off("row_security");
        Showing {
            own_schema: !dumps,
            users: access.all && dumps,
            options: !is_off(TABLE_OPTIONS),
        }
    }

    /// The number that `_user` has among a table's columns, where it is shown as one: the next one that is free.
    pub(super) fn user_column(self, table: &TableDef) -> Option<u16> {
        let shown = self.users && table.kind == TableKind::User;
        shown.then(|| table.next_column_id.get())
    }
}

impl Default for Showing {
    fn default() -> Showing {
        Showing {
            own_schema: true,
            users: false,
            options: true,
        }
    }
}
