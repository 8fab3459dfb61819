//! Tables and stores for this crate's tests.

use std::path::Path;
use std::sync::Arc;

use crate::catalog::{
    CatalogChange, ColumnDef, ColumnId, ColumnOrder, IndexDef, IndexId, TableDef, TableId,
    TableKind, TableOptions,
};
use crate::check::{self, CheckReport};
use crate::cold::ColdOptions;
use crate::computed::{Compiler, Compute};
use crate::datum::{ColumnType, Datum};
use crate::error::StorageError;
use crate::seq::{Clock, system_clock};
use crate::store::{Store, StoreOptions};

pub(crate) fn column(id: u16, name: &str, ty: ColumnType) -> ColumnDef {
    ColumnDef {
        id: ColumnId::new(id),
        name: name.to_string(),
        stored_name: name.to_string(),
        ty,
        not_null: false,
        once_null: false,
        default: None,
        missing: Datum::Null,
        sequence: None,
        identity: None,
        generated: None,
    }
}

pub(crate) fn table(id: u32, name: &str, columns: Vec<ColumnDef>, key: &[u16]) -> TableDef {
    let options = TableOptions {
        flush_rows: 1_000_000,
        history_window_ms: 0,
        ..TableOptions::default()
    };
    TableDef {
        primary_key: key.iter().map(|id| ColumnId::new(*id)).collect(),
        primary_key_name: format!("{name}_pkey"),
        ..TableDef::new(
            TableId::new(id),
            ("public", name),
            TableKind::User,
            columns,
            options,
        )
    }
}

/// A ready index of a column.
pub(crate) fn index(id: u16, name: &str, column: u16, unique: bool) -> IndexDef {
    IndexDef {
        id: IndexId::new(id),
        name: name.to_string(),
        columns: vec![ColumnId::new(column)],
        orders: vec![ColumnOrder::default()],
        unique,
        primary: false,
        constraint: false,
        ready: true,
        predicate: None,
        included: Vec::new(),
        deferral: Default::default(),
    }
}

/// A USER table of `id bigint` (the key, if `keyed`) and `note text`.
pub(crate) fn notes(id: u32, name: &str, keyed: bool) -> TableDef {
    let columns = vec![
        column(1, "id", ColumnType::Int8),
        column(2, "note", ColumnType::Text),
    ];
    table(id, name, columns, if keyed { &[1] } else { &[] })
}

pub(crate) fn open_with(dir: &std::path::Path, clock: Clock) -> Arc<Store> {
    Store::open(StoreOptions {
        dir: dir.to_path_buf(),
        node: 1,
        clock,
        background: false,
        cold: ColdOptions::default(),
        failpoints: Arc::default(),
        large_bytes: crate::commit::LARGE_BYTES,
    })
    .unwrap()
}

pub(crate) fn open(dir: &std::path::Path) -> Arc<Store> {
    open_with(dir, system_clock())
}

pub(crate) async fn put_table(store: &Store, table: TableDef) -> Arc<TableDef> {
    let name = (table.schema.clone(), table.name.clone());
    let change = CatalogChange::PutTable(Box::new(table));
    let catalog = store
        .change_catalog(store.catalog().version, vec![change])
        .await
        .unwrap();
    catalog.tables[&name].clone()
}

/// Panics with what a check found.
pub(crate) fn assert_sound(report: &CheckReport) {
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(report.is_sound(), "{}", lines.join("\n"));
}

/// Reads no expression.
pub(crate) struct Unread;

impl Compiler for Unread {
    fn compile(&self, _: &TableDef) -> Option<Arc<dyn Compute>> {
        None
    }
}

/// Checks a directory that is not open, where no index has expressions.
pub(crate) async fn check_closed(
    dir: &Path,
    cold: ColdOptions,
) -> Result<CheckReport, StorageError> {
    check::run(dir.to_path_buf(), cold, |_| Box::new(Unread)).await
}
