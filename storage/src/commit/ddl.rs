//! Catalog changes: checked, applied, stored and mirrored into the log of the system table.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::catalog::{
    BOOTSTRAP_ROLE, Catalog, CatalogChange, ChangedAt, Commented, Contents, Database, DatabaseDef,
    DatabaseId, RoleDef, RoleId, TableDef, TableId, ViewDef,
};
use crate::computed::Compiled;
use crate::datum::EnumType;
use crate::error::StorageError;
use crate::hot::{Family, Hot, HotSnapshot};
use crate::seq::Seq;
use crate::sequence::{SequenceDef, sequence_key};

/// Tables of all databases by their ids.
pub(crate) type Tables = Arc<HashMap<TableId, Arc<TableDef>>>;

/// Those of a catalog.
pub(crate) fn tables_of(catalog: &Catalog) -> Tables {
    let tables = catalog.all_tables().map(|table| (table.id, table.clone()));
    Arc::new(tables.collect())
}

/// First byte of the `meta` keys of catalog objects.
pub(crate) const META_CATALOG: u8 = b'c';

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
    try_changed(catalog, changes).unwrap_or_else(|broken| panic!("{broken}"))
}

/// As `changed`; the error is what would have been broken.
pub(crate) fn try_changed(catalog: &Catalog, changes: &[CatalogChange]) -> Result<Catalog, String> {
    let mut next = catalog.clone();
    let check = |holds: bool, broken: &dyn Fn() -> String| match holds {
        true => Ok(()),
        false => Err(broken()),
    };
    for change in changes {
        next.next_table_id = next.next_table_id.max(change.ids_end());
        (next.changed_at).note(change, catalog.version + 1);
        let (database, change) = match change {
            CatalogChange::In(database, change) => (*database, &**change),
            change => (catalog.database, change),
        };
        let there = next.databases.contains_key(&database);
        check(there, &|| format!("no database {}", database.oid()))?;
        next.database = database;
        match change {
            CatalogChange::CreateSchema(name) => {
                let added = next.schemas.insert(name.clone());
                check(added, &|| format!("schema \"{name}\" exists"))?;
            }
            CatalogChange::DropSchema(name) => {
                let relations = next.tables.keys().chain(next.views.keys());
                let others = next.types.keys().chain(next.sequences.keys());
                let empty = relations.chain(others).all(|(schema, _)| schema != name);
                check(empty, &|| format!("schema \"{name}\" is not empty"))?;
                let removed = next.schemas.remove(name);
                check(removed, &|| format!("no schema \"{name}\""))?;
                next.comments.remove(&Commented::Schema(name.clone()));
            }
            CatalogChange::PutTable(table) => {
                let schema = next.schemas.contains(&table.schema);
                check(schema, &|| format!("no schema \"{}\"", table.schema))?;
                let layout = table.layouts.contains_key(&table.schema_version);
                check(layout, &|| "the schema version has no layout".to_string())?;
                let name = (table.schema.clone(), table.name.clone());
                let mut table = TableDef::clone(table);
                table.compiled = Compiled::by(&next.compiler);
                next.tables.insert(name, Arc::new(table));
            }
            CatalogChange::DropTable { schema, name } => {
                let dropped = next.tables.remove(&(schema.clone(), name.clone()));
                check(dropped.is_some(), &|| {
                    format!("no table \"{schema}.{name}\"")
                })?;
            }
            CatalogChange::PutType(definition) => {
                let name = (definition.schema.clone(), definition.name.clone());
                next.types.insert(name, EnumType::new(definition.clone()));
            }
            CatalogChange::DropType { schema, name } => {
                let dropped = next.types.remove(&(schema.clone(), name.clone()));
                check(dropped.is_some(), &|| {
                    format!("no type \"{schema}.{name}\"")
                })?;
            }
            CatalogChange::PutSequence(sequence) => {
                let name = (sequence.schema.clone(), sequence.name.clone());
                next.sequences.insert(name, Arc::new(sequence.clone()));
            }
            CatalogChange::DropSequence { schema, name } => {
                let dropped = next.sequences.remove(&(schema.clone(), name.clone()));
                check(dropped.is_some(), &|| {
                    format!("no sequence \"{schema}.{name}\"")
                })?;
            }
            CatalogChange::PutView(view) => {
                let schema = next.schemas.contains(&view.schema);
                check(schema, &|| format!("no schema \"{}\"", view.schema))?;
                let name = (view.schema.clone(), view.name.clone());
                next.views.insert(name, Arc::new(ViewDef::clone(view)));
            }
            CatalogChange::DropView { schema, name } => {
                let dropped = next.views.remove(&(schema.clone(), name.clone()));
                check(dropped.is_some(), &|| {
                    format!("no view \"{schema}.{name}\"")
                })?;
            }
            CatalogChange::PutRole(role) => {
                let roles = Arc::make_mut(&mut next.roles);
                roles.insert(role.name.clone(), Arc::new(role.clone()));
            }
            CatalogChange::DropRole(name) => {
                let removed = Arc::make_mut(&mut next.roles).remove(name).is_some();
                check(removed, &|| format!("no role \"{name}\""))?;
                next.database = DatabaseId::FIRST;
                next.comments.remove(&Commented::Role(name.clone()));
            }
            CatalogChange::RenameRole { name, to } => {
                let free = !next.roles.contains_key(to);
                check(free, &|| format!("role \"{to}\" exists"))?;
                let roles = Arc::make_mut(&mut next.roles);
                let renamed = roles.remove(name);
                let mut role = renamed.ok_or_else(|| format!("no role \"{name}\""))?;
                Arc::make_mut(&mut role).name = to.clone();
                roles.insert(to.clone(), role);
                next.database = DatabaseId::FIRST;
                if let Some(text) = next.comments.remove(&Commented::Role(name.clone())) {
                    next.comments.insert(Commented::Role(to.clone()), text);
                }
            }
            CatalogChange::CreateDatabase(def) => {
                let new = !next.databases.contains_key(&def.id);
                check(new, &|| format!("database {} exists", def.id.oid()))?;
                let free = next.database_named(&def.name).is_none();
                check(free, &|| format!("database \"{}\" exists", def.name))?;
                let databases = Arc::make_mut(&mut next.databases);
                databases.insert(def.id, Database::new(def.clone()));
            }
            CatalogChange::DropDatabase(id) => {
                check(*id != DatabaseId::FIRST, &|| {
                    "the first database stays".to_string()
                })?;
                let removed = Arc::make_mut(&mut next.databases).remove(id).is_some();
                check(removed, &|| format!("no database {}", id.oid()))?;
            }
            CatalogChange::RenameDatabase(def) => {
                let free = next.database_named(&def.name).is_none();
                check(free && def.id != DatabaseId::FIRST, &|| {
                    format!("database {} cannot be \"{}\"", def.id.oid(), def.name)
                })?;
                let renamed = Arc::make_mut(&mut next.databases).get_mut(&def.id);
                renamed
                    .ok_or_else(|| format!("no database {}", def.id.oid()))?
                    .def = def.clone();
            }
            CatalogChange::In(..) => return Err("a change in a database in another".to_string()),
            CatalogChange::PutComment { on, text } => {
                if matches!(on, Commented::Role(_)) {
                    next.database = DatabaseId::FIRST;
                }
                match text {
                    Some(text) => next.comments.insert(on.clone(), text.clone()),
                    None => next.comments.remove(on),
                };
            }
        }
    }
    for database in Arc::make_mut(&mut next.databases).values_mut() {
        forget_gone_types(&mut database.contents);
    }
    for change in changes {
        if let CatalogChange::PutTable(put) = change.itself() {
            let of_id = next.all_tables().filter(|table| table.id == put.id);
            check(of_id.count() <= 1, &|| {
                format!("two tables have the id {}", put.id.get())
            })?;
        }
    }
    next.database = catalog.database;
    next.version += 1;
    Ok(next)
}

/// Takes off the comments on types that are not there any more. A type that was renamed keeps its oid, and so its comment.
fn forget_gone_types(contents: &mut Arc<Contents>) {
    let types: BTreeSet<u32> = (contents.types.values())
        .map(|of| of.definition().oid)
        .collect();
    let gone = |on: &Commented| matches!(on, Commented::Type(oid) if !types.contains(oid));
    if contents.comments.keys().any(gone) {
        Arc::make_mut(contents).comments.retain(|on, _| !gone(on));
    }
}

/// What a new store starts with.
pub(crate) fn initial() -> Catalog {
    let postgres = RoleDef {
        id: RoleId::BOOTSTRAP,
        name: BOOTSTRAP_ROLE.to_string(),
        login: true,
        superuser: true,
        bypass_rls: true,
        password: None,
    };
    let mut catalog = Catalog {
        version: 1,
        changed_at: ChangedAt::all(1),
        roles: Arc::new([(postgres.name.clone(), Arc::new(postgres))].into()),
        next_table_id: 1,
        ..Catalog::default()
    };
    catalog.schemas.insert("public".to_string());
    catalog
}

/// The key of something that no database has for itself.
fn object_key(kind: u8, name: &[&str]) -> Vec<u8> {
    let mut key = vec![META_CATALOG, kind];
    key.extend_from_slice(name.join("\0").as_bytes());
    key
}

/// Second byte of the keys of what is in other databases than the first: the oid follows, then the key as in the first.
const OTHER: u8 = b'o';

/// The key of something in a database.
fn key_in(database: DatabaseId, kind: u8, name: &[&str]) -> Vec<u8> {
    let key = object_key(kind, name);
    match database {
        DatabaseId::FIRST => key,
        other => [
            &[META_CATALOG, OTHER][..],
            &other.oid().to_be_bytes(),
            &key[1..],
        ]
        .concat(),
    }
}

fn comment_key(database: DatabaseId, on: &Commented) -> Result<Vec<u8>, StorageError> {
    let mut key = key_in(database, b'd', &[]);
    key.extend(json(on)?);
    Ok(key)
}

/// The key of the catalog's counters.
pub(crate) fn counters_key() -> Vec<u8> {
    object_key(b'v', &[])
}

/// The id that the next table gets, of the counters' value.
pub(crate) fn next_table_id(counters: &[u8]) -> Result<u32, StorageError> {
    from_json::<Counters>(counters).map(|counters| counters.next_table_id)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value).map_err(|error| StorageError::Corrupt(error.to_string()))
}

fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StorageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StorageError::Corrupt(format!("catalog: {error}")))
}

type Objects = BTreeMap<Vec<u8>, Vec<u8>>;

/// The `meta` entries of a catalog.
pub(crate) fn objects(catalog: &Catalog) -> Result<Objects, StorageError> {
    let mut objects = Objects::new();
    for database in catalog.databases.values() {
        let Database { def, contents } = database;
        if def.id != DatabaseId::FIRST {
            objects.insert(object_key(b'b', &[&def.name]), json(def)?);
        }
        put_contents(&mut objects, def.id, contents)?;
    }
    for (name, role) in &*catalog.roles {
        objects.insert(object_key(b'r', &[name]), json(role.as_ref())?);
    }
    let counters = Counters {
        version: catalog.version,
        next_table_id: catalog.next_table_id,
    };
    objects.insert(counters_key(), json(&counters)?);
    Ok(objects)
}

fn put_contents(
    objects: &mut Objects,
    database: DatabaseId,
    contents: &Contents,
) -> Result<(), StorageError> {
    let key = |kind: u8, (schema, name): &(String, String)| key_in(database, kind, &[schema, name]);
    for schema in &contents.schemas {
        objects.insert(key_in(database, b's', &[schema]), Vec::new());
    }
    for (name, table) in &contents.tables {
        objects.insert(key(b't', name), json(table.as_ref())?);
    }
    for (name, view) in &contents.views {
        objects.insert(key(b'w', name), json(view.as_ref())?);
    }
    for (name, of) in &contents.types {
        objects.insert(key(b'e', name), json(of)?);
    }
    for (name, sequence) in &contents.sequences {
        objects.insert(key(b'q', name), json(sequence.as_ref())?);
    }
    for (on, text) in &contents.comments {
        objects.insert(comment_key(database, on)?, json(&(on, text))?);
    }
    Ok(())
}

/// Puts what differs between two catalogs into the batch.
pub(super) fn store(
    hot: &Hot,
    batch: &mut WriteBatch,
    old: &Catalog,
    new: &Catalog,
) -> Result<(), StorageError> {
    let meta = hot.family(Family::Meta);
    for database in old.databases.values() {
        let id = database.def.id;
        let now = new.databases.get(&id);
        if now.is_none_or(|now| now.def.name != database.def.name) {
            batch.delete_cf(meta, object_key(b'b', &[&database.def.name]));
        }
        if now.is_none() {
            let gone = Arc::new(Contents::default());
            store_contents(hot, batch, id, &database.contents, &gone)?;
        }
    }
    for (id, database) in &*new.databases {
        let before = old.databases.get(id);
        if *id != DatabaseId::FIRST && before.is_none_or(|before| before.def != database.def) {
            let key = object_key(b'b', &[&database.def.name]);
            batch.put_cf(meta, key, json(&database.def)?);
        }
        let nothing = Arc::default();
        let before = before.map_or(&nothing, |before| &before.contents);
        store_contents(hot, batch, *id, before, &database.contents)?;
    }
    for name in old
        .roles
        .keys()
        .filter(|name| !new.roles.contains_key(*name))
    {
        batch.delete_cf(meta, object_key(b'r', &[name]));
    }
    for (name, role) in &*new.roles {
        let before = old.roles.get(name);
        if before.is_none_or(|before| !Arc::ptr_eq(before, role)) {
            batch.put_cf(meta, object_key(b'r', &[name]), json(role.as_ref())?);
        }
    }
    let counters = Counters {
        version: new.version,
        next_table_id: new.next_table_id,
    };
    batch.put_cf(meta, counters_key(), json(&counters)?);
    Ok(())
}

/// Puts what differs of a database into the batch.
fn store_contents(
    hot: &Hot,
    batch: &mut WriteBatch,
    database: DatabaseId,
    old: &Arc<Contents>,
    new: &Arc<Contents>,
) -> Result<(), StorageError> {
    if Arc::ptr_eq(old, new) {
        return Ok(());
    }
    let meta = hot.family(Family::Meta);
    let key = |kind: u8, (schema, name): &(String, String)| key_in(database, kind, &[schema, name]);
    for schema in old.schemas.difference(&new.schemas) {
        batch.delete_cf(meta, key_in(database, b's', &[schema]));
    }
    for schema in new.schemas.difference(&old.schemas) {
        batch.put_cf(meta, key_in(database, b's', &[schema]), b"");
    }
    let mut put = |key: Vec<u8>, value: Option<Vec<u8>>| match value {
        Some(value) => batch.put_cf(meta, key, value),
        None => batch.delete_cf(meta, key),
    };
    for (name, table) in differences(&old.tables, &new.tables, Arc::ptr_eq) {
        put(key(b't', name), table.map(|of| json(&**of)).transpose()?);
    }
    for (name, of) in differences(&old.types, &new.types, PartialEq::eq) {
        put(key(b'e', name), of.map(json).transpose()?);
    }
    for (name, sequence) in differences(&old.sequences, &new.sequences, Arc::ptr_eq) {
        put(key(b'q', name), sequence.map(|of| json(&**of)).transpose()?);
    }
    for (name, view) in differences(&old.views, &new.views, Arc::ptr_eq) {
        put(key(b'w', name), view.map(|of| json(&**of)).transpose()?);
    }
    for (on, text) in differences(&old.comments, &new.comments, PartialEq::eq) {
        let value = text.map(|text| json(&(on, text))).transpose()?;
        put(comment_key(database, on)?, value);
    }
    let kept: BTreeSet<u32> = new.sequences.values().map(|sequence| sequence.id).collect();
    for sequence in old.sequences.values().filter(|of| !kept.contains(&of.id)) {
        put(sequence_key(sequence.id), None);
    }
    Ok(())
}

/// The keys under which two maps have not the same, each with what the new one has. They are gone through side by side: mostly
/// there are many entries and few of these.
fn differences<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<(&'a K, Option<&'a V>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return found,
        };
        let before = (order != Ordering::Greater).then(|| old.next()).flatten();
        let after = (order != Ordering::Less).then(|| new.next()).flatten();
        match (before, after) {
            (Some((_, was)), Some((key, is))) if !same(was, is) => found.push((key, Some(is))),
            (Some((key, _)), None) => found.push((key, None)),
            (None, Some((key, is))) => found.push((key, Some(is))),
            _ => {}
        }
    }
}

/// Reads the catalog, or makes the first one.
pub(crate) fn load(hot: &Arc<Hot>) -> Result<Catalog, StorageError> {
    let stored = read(&HotSnapshot::take(hot))?;
    let mut catalog = stored.clone().unwrap_or_else(initial);
    if catalog.identify_roles() || stored.is_none() {
        let mut batch = WriteBatch::default();
        store(hot, &mut batch, &stored.unwrap_or_default(), &catalog)?;
        hot.write(batch)?;
    }
    Ok(catalog)
}

/// The catalog that is stored, if any is.
pub(crate) fn read(snapshot: &HotSnapshot) -> Result<Option<Catalog>, StorageError> {
    let mut catalog = Catalog::default();
    let mut found = false;
    let mut objects = snapshot.iterate(Family::Meta, &[META_CATALOG], vec![META_CATALOG + 1]);
    while let Some((key, value)) = objects.item() {
        let mut object = &key[1..];
        catalog.database = DatabaseId::FIRST;
        if let Some(([OTHER, oid @ ..], behind)) = object.split_first_chunk::<5>() {
            catalog.database = DatabaseId::from_bytes(*oid);
            object = behind;
            // Databases come before what is in them.
            if !catalog.databases.contains_key(&catalog.database) {
                let what = format!("what is in database {}", catalog.database.oid());
                return Err(StorageError::Corrupt(what));
            }
        }
        match object.first() {
            Some(b'b') => {
                let def: DatabaseDef = from_json(value)?;
                let contents = Arc::default();
                let databases = Arc::make_mut(&mut catalog.databases);
                databases.insert(def.id, Database { def, contents });
            }
            Some(b's') => {
                let name = String::from_utf8(object[1..].to_vec());
                catalog.schemas.insert(
                    name.map_err(|_| StorageError::Corrupt("a schema's name".to_string()))?,
                );
            }
            Some(b't') => {
                let mut table: TableDef = from_json(value)?;
                table.compiled = Compiled::by(&catalog.compiler);
                catalog
                    .tables
                    .insert((table.schema.clone(), table.name.clone()), Arc::new(table));
            }
            Some(b'e') => {
                let of: EnumType = from_json(value)?;
                let name = (of.definition().schema.clone(), of.definition().name.clone());
                catalog.types.insert(name, of);
            }
            Some(b'q') => {
                let sequence: SequenceDef = from_json(value)?;
                let name = (sequence.schema.clone(), sequence.name.clone());
                catalog.sequences.insert(name, Arc::new(sequence));
            }
            Some(b'w') => {
                let view: ViewDef = from_json(value)?;
                let name = (view.schema.clone(), view.name.clone());
                catalog.views.insert(name, Arc::new(view));
            }
            Some(b'r') => {
                let role: RoleDef = from_json(value)?;
                let roles = Arc::make_mut(&mut catalog.roles);
                roles.insert(role.name.clone(), Arc::new(role));
            }
            Some(b'd') => {
                let (on, text): (Commented, String) = from_json(value)?;
                catalog.comments.insert(on, text);
            }
            Some(b'v') => {
                let counters: Counters = from_json(value)?;
                catalog.version = counters.version;
                catalog.changed_at = ChangedAt::all(counters.version);
                catalog.next_table_id = counters.next_table_id;
                found = true;
            }
            other => return Err(StorageError::Corrupt(format!("catalog object {other:?}"))),
        }
        objects.next();
    }
    objects.status()?;
    catalog.database = DatabaseId::FIRST;
    Ok(found.then_some(catalog))
}

impl Catalog {
    /// The catalog after the changes.
    ///
    /// # Panics
    /// When a change breaks what its planner must have checked: a table in a schema that does not exist, a
    /// schema dropped that is not empty, a new table whose id is another's.
    pub fn changed(&self, changes: &[CatalogChange]) -> Catalog {
        changed(self, changes)
    }

    /// As `changed`; `None` when a change does not go with what is there.
    pub fn try_changed(&self, changes: &[CatalogChange]) -> Option<Catalog> {
        try_changed(self, changes).ok()
    }
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
