//! Catalog changes: checked, applied, stored and mirrored into the log of the system table.

use std::collections::BTreeSet;
use std::sync::Arc;

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use super::{Committer, Shared, view_of};
use crate::catalog::{Catalog, CatalogChange, IndexId, RoleDef, TableDef, TableId};
use crate::changes::{Extent, encode_commit};
use crate::cold::{self, META_FILE, META_GARBAGE, META_STATE, META_TRIMMED};
use crate::error::{CommitError, StorageError};
use crate::failpoint::Step;
use crate::hot::{Family, Hot, HotSnapshot};
use crate::key::{index_scope, parse_scope, prefix_end, seq_bytes, table_range, version_key};
use crate::record::encode_catalog;
use crate::seq::Seq;
use crate::transaction::Partition;

const META_CATALOG: u8 = b'c';

#[derive(Serialize, Deserialize)]
struct Counters {
    version: u64,
    next_table_id: u32,
}

/// The catalog after the changes.
///
/// # Panics
/// When a change breaks what its planner must have checked on the same catalog.
pub(crate) fn changed(catalog: &Catalog, changes: &[CatalogChange]) -> Catalog {
    let mut next = catalog.clone();
    let known: BTreeSet<TableId> = catalog.tables.values().map(|table| table.id).collect();
    for change in changes {
        match change {
            CatalogChange::CreateSchema(name) => {
                assert!(
                    next.schemas.insert(name.clone()),
                    "schema \"{name}\" exists"
                );
            }
            CatalogChange::DropSchema(name) => {
                assert!(
                    next.tables.keys().all(|(schema, _)| schema != name),
                    "schema \"{name}\" is not empty"
                );
                assert!(next.schemas.remove(name), "no schema \"{name}\"");
            }
            CatalogChange::PutTable(table) => {
                assert!(
                    next.schemas.contains(&table.schema),
                    "no schema \"{}\"",
                    table.schema
                );
                assert!(
                    table.layouts.contains_key(&table.schema_version),
                    "the schema version has no layout"
                );
                if !known.contains(&table.id)
                    && next.tables.values().all(|other| other.id != table.id)
                {
                    assert_eq!(
                        table.id.get(),
                        next.next_table_id,
                        "a new table takes the next id"
                    );
                    next.next_table_id += 1;
                }
                let name = (table.schema.clone(), table.name.clone());
                next.tables.insert(name, Arc::new(TableDef::clone(table)));
            }
            CatalogChange::DropTable { schema, name } => {
                let dropped = next.tables.remove(&(schema.clone(), name.clone()));
                assert!(dropped.is_some(), "no table \"{schema}.{name}\"");
            }
            CatalogChange::PutRole(role) => {
                next.roles.insert(role.name.clone(), Arc::new(role.clone()));
            }
            CatalogChange::DropRole(name) => {
                assert!(next.roles.remove(name).is_some(), "no role \"{name}\"");
            }
        }
    }
    next.version += 1;
    next
}

/// What a new store starts with.
fn initial() -> Catalog {
    let postgres = RoleDef {
        name: "postgres".to_string(),
        login: true,
        superuser: true,
        bypass_rls: true,
        password: None,
    };
    Catalog {
        version: 1,
        schemas: BTreeSet::from(["public".to_string()]),
        roles: [(postgres.name.clone(), Arc::new(postgres))].into(),
        next_table_id: 1,
        ..Catalog::default()
    }
}

fn object_key(kind: u8, name: &[&str]) -> Vec<u8> {
    let mut key = vec![META_CATALOG, kind];
    key.extend_from_slice(name.join("\0").as_bytes());
    key
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value).map_err(|error| StorageError::Corrupt(error.to_string()))
}

fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StorageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StorageError::Corrupt(format!("catalog: {error}")))
}

/// Puts what differs between two catalogs into the batch.
fn store(
    hot: &Hot,
    batch: &mut WriteBatch,
    old: &Catalog,
    new: &Catalog,
) -> Result<(), StorageError> {
    let meta = hot.family(Family::Meta);
    for schema in old.schemas.difference(&new.schemas) {
        batch.delete_cf(meta, object_key(b's', &[schema]));
    }
    for schema in new.schemas.difference(&old.schemas) {
        batch.put_cf(meta, object_key(b's', &[schema]), b"");
    }
    for (schema, name) in old
        .tables
        .keys()
        .filter(|name| !new.tables.contains_key(name))
    {
        batch.delete_cf(meta, object_key(b't', &[schema, name]));
    }
    for (name, table) in &new.tables {
        if old
            .tables
            .get(name)
            .is_none_or(|before| !Arc::ptr_eq(before, table))
        {
            batch.put_cf(
                meta,
                object_key(b't', &[&name.0, &name.1]),
                json(table.as_ref())?,
            );
        }
    }
    for name in old
        .roles
        .keys()
        .filter(|name| !new.roles.contains_key(*name))
    {
        batch.delete_cf(meta, object_key(b'r', &[name]));
    }
    for (name, role) in &new.roles {
        if old
            .roles
            .get(name)
            .is_none_or(|before| !Arc::ptr_eq(before, role))
        {
            batch.put_cf(meta, object_key(b'r', &[name]), json(role.as_ref())?);
        }
    }
    let counters = Counters {
        version: new.version,
        next_table_id: new.next_table_id,
    };
    batch.put_cf(meta, object_key(b'v', &[]), json(&counters)?);
    Ok(())
}

/// Reads the catalog, or makes the first one.
pub(crate) fn load(hot: &Arc<Hot>) -> Result<Catalog, StorageError> {
    let mut catalog = Catalog::default();
    let snapshot = HotSnapshot::take(hot);
    let mut found = false;
    let mut objects = snapshot.iterate(Family::Meta, &[META_CATALOG], vec![META_CATALOG + 1]);
    while let Some((key, value)) = objects.item() {
        match key.get(1) {
            Some(b's') => {
                let name = String::from_utf8(key[2..].to_vec());
                catalog.schemas.insert(
                    name.map_err(|_| StorageError::Corrupt("a schema's name".to_string()))?,
                );
            }
            Some(b't') => {
                let table: TableDef = from_json(value)?;
                catalog
                    .tables
                    .insert((table.schema.clone(), table.name.clone()), Arc::new(table));
            }
            Some(b'r') => {
                let role: RoleDef = from_json(value)?;
                catalog.roles.insert(role.name.clone(), Arc::new(role));
            }
            Some(b'v') => {
                let counters: Counters = from_json(value)?;
                catalog.version = counters.version;
                catalog.next_table_id = counters.next_table_id;
                found = true;
            }
            other => return Err(StorageError::Corrupt(format!("catalog object {other:?}"))),
        }
        objects.next();
    }
    objects.status()?;
    if found {
        return Ok(catalog);
    }
    let first = initial();
    let mut batch = WriteBatch::default();
    store(hot, &mut batch, &Catalog::default(), &first)?;
    hot.write(batch)?;
    Ok(first)
}

impl Committer {
    pub(super) fn change_catalog(
        &mut self,
        base_version: u64,
        changes: &[CatalogChange],
    ) -> Result<Arc<Catalog>, CommitError> {
        self.check_alive()?;
        let old = self.shared.view();
        if old.catalog.version != base_version {
            return Err(CommitError::CatalogChanged);
        }
        // `Store::change_catalog` has applied them to the catalog of this very version before.
        let new = Arc::new(changed(&old.catalog, changes));
        let hot = self.shared.hot.clone();
        let mut batch = WriteBatch::default();
        store(&hot, &mut batch, &old.catalog, &new)?;
        let first = self.shared.generator.draw(changes.len() as u64);
        let last = first.advance(changes.len() as u64 - 1);
        let system = Partition::shared();
        for (at, change) in changes.iter().enumerate() {
            let seq = first.advance(at as u64);
            let record = encode_catalog(&json(change)?, seq == last);
            batch.put_cf(
                hot.family(Family::Log),
                version_key(TableId::SYSTEM, &system, seq),
                record,
            );
        }
        let extent = Extent {
            table: TableId::SYSTEM,
            partition: system.clone(),
            first,
            last,
        };
        batch.put_cf(
            hot.family(Family::Commit),
            seq_bytes(first),
            encode_commit(last, &[extent]),
        );

        let kept: BTreeSet<TableId> = new.tables.values().map(|table| table.id).collect();
        let dropped: Vec<TableId> = old
            .tables
            .keys()
            .copied()
            .filter(|id| !kept.contains(id))
            .collect();
        let mut garbage = Vec::new();
        for id in &dropped {
            garbage.extend(remove_data(&self.shared, &mut batch, *id)?);
        }
        for table in new.tables.values() {
            if let Some(before) = old.tables.get(&table.id) {
                remove_indexes(&self.shared, &mut batch, before, table)?;
            }
        }
        self.shared.failpoints.reach(Step::CatalogChecked)?;
        if let Err(error) = self.write_to(batch, Step::CatalogWritten) {
            return Err(CommitError::Unknown(error.to_string()));
        }
        self.states.retain(|(table, _), _| kept.contains(table));
        drop(old);
        // Every view so far may read the files; the one that comes next cannot.
        self.shared.garbage.add(garbage);
        let view = view_of(&hot, last, new.clone(), &self.shared.garbage);
        self.tables = view.tables.clone();
        let previous = std::mem::replace(&mut *self.shared.current.write(), view);
        drop(previous);
        self.shared.watches.catalog_changed(last);
        Ok(new)
    }
}

/// Takes a table's keys away and notes its files as garbage, whose paths it returns.
fn remove_data(
    shared: &Shared,
    batch: &mut WriteBatch,
    table: TableId,
) -> Result<Vec<String>, StorageError> {
    let hot = &shared.hot;
    let meta = hot.family(Family::Meta);
    let snapshot = HotSnapshot::take(hot);
    let mut paths = Vec::new();
    let (from, to) = cold::meta_table_range(META_FILE, table);
    let mut files = snapshot.iterate(Family::Meta, &from, to);
    while let Some((key, value)) = files.item() {
        let path = cold::ColdFile::decode(key, value)?.path;
        batch.put_cf(meta, cold::meta_key(META_GARBAGE, path.as_bytes()), b"");
        paths.push(path);
        files.next();
    }
    files.status()?;
    let (from, to) = table_range(table);
    for family in [
        Family::Log,
        Family::Key,
        Family::Index,
        Family::Dead,
        Family::Stream,
    ] {
        batch.delete_range_cf(hot.family(family), &from, &to);
    }
    for kind in [META_FILE, META_STATE, META_TRIMMED] {
        let (from, to) = cold::meta_table_range(kind, table);
        batch.delete_range_cf(meta, from, to);
    }
    Ok(paths)
}

/// Takes away the keys of indexes that a table no longer has.
fn remove_indexes(
    shared: &Shared,
    batch: &mut WriteBatch,
    old: &TableDef,
    new: &TableDef,
) -> Result<(), StorageError> {
    let ids = |table: &TableDef| -> BTreeSet<IndexId> {
        let primary = table.primary().map(|key| key.id);
        primary
            .into_iter()
            .chain(table.indexes.iter().map(|index| index.id))
            .collect()
    };
    let (before, after) = (ids(old), ids(new));
    for id in before.difference(&after) {
        let snapshot = HotSnapshot::take(&shared.hot);
        let (from, to) = cold::meta_table_range(META_STATE, old.id);
        let mut states = snapshot.iterate(Family::Meta, &from, to);
        while let Some((key, _)) = states.item() {
            let (_, partition, _) = parse_scope(&key[1..])?;
            let from = index_scope(old.id, &partition, *id);
            let to = prefix_end(from.clone());
            for family in [Family::Key, Family::Index] {
                batch.delete_range_cf(shared.hot.family(family), &from, &to);
            }
            states.next();
        }
        states.status()?;
    }
    Ok(())
}

/// The newest Seq in the database.
pub(crate) fn last_seq(hot: &Arc<Hot>) -> Result<Seq, StorageError> {
    let snapshot = HotSnapshot::take(hot);
    let mut commits = snapshot.iterate(Family::Commit, &[], vec![0xFF; 9]);
    commits.seek_to_last();
    let last = commits
        .value()
        .map(|value| crate::changes::decode_commit(value).map(|entry| entry.last));
    commits.status()?;
    last.unwrap_or(Ok(Seq::ZERO))
}
