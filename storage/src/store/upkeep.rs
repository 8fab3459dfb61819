//! Keeping the object stores: whose they are, what is in them that nothing names.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocksdb::WriteBatch;
use tokio::time::MissedTickBehavior;

use crate::catalog::{Catalog, TableKind};
use crate::cold::stores::{ColdStore, split};
use crate::cold::{
    ColdFile, META_FILE, META_GARBAGE, META_ID, meta_key, sweep, table_of_file, wait,
};
use crate::error::StorageError;
use crate::flush::{Cold, Flusher, blocking};
use crate::hot::{Family, Hot, HotSnapshot};
use crate::jobs::JobKind;
use crate::seq::Seq;
use crate::snapshot::View;
use crate::transaction::Partition;

/// A store that has none of so many of the database's files is another than the one that had them.
const FILES_LOOKED_AT: usize = 16;
/// How often files that nothing names are looked for.
const SWEEP_TICK: Duration = Duration::from_secs(3600);
/// How long opening waits for a store to answer.
const OPENING_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn sweep_by_time(flusher: Flusher, age: Duration) {
    let mut ticks = tokio::time::interval(SWEEP_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let did = |files: &u64| (*files > 0).then_some((0, 0));
        let sweep = sweep_stores(&flusher, age);
        match flusher.job(JobKind::Sweep, None, sweep, did).await {
            Ok(_) => {}
            // A flush that fails says so, and an hour is no time to orphans.
            Err(error) if error.is_of_store() => tracing::debug!(%error, "sweeping was put off"),
            Err(error) => tracing::error!(%error, "sweeping files that nothing names failed"),
        }
    }
}

/// An error where a data directory has files of a database and lacks the database itself: a new one would take them for what
/// nothing names. Blocking.
pub(super) fn refuse_half(dir: &Path) -> Result<(), StorageError> {
    if dir.join("hot/CURRENT").is_file() {
        return Ok(());
    }
    for folder in ["hot", "cold"].map(|name| dir.join(name)) {
        if !folder.is_dir() {
            continue;
        }
        let is_table = |path: &String| path.ends_with(".sst") || path.ends_with(".parquet");
        let files = sweep::local_files(&folder)?.into_iter();
        if let Some(found) = files.map(|(path, _)| path).find(is_table) {
            return Err(StorageError::Open {
                dir: dir.display().to_string(),
                reason: format!(
                    "{} has {found}, but there is no hot/CURRENT: a part of a database was removed, moved or not mounted; nothing was changed",
                    folder.display()
                ),
            });
        }
    }
    Ok(())
}

/// Removes files from stores that are this database's; gives those that are left.
pub(super) async fn remove(flusher: &Flusher, paths: Vec<String>) -> Vec<String> {
    let cold = &flusher.cold;
    let mut by_store: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths {
        let store = split(&path).0.to_string();
        by_store.entry(store).or_default().push(path);
    }
    let mut left = Vec::new();
    for (store, paths) in by_store {
        let ours = match cold.stores.get(&store) {
            Ok(store) => store.claim(&cold.database, &[]).await.is_ok(),
            Err(_) => false,
        };
        left.extend(match ours {
            true => cold.stores.remove(paths).await,
            false => paths,
        });
    }
    left
}

/// Removes what nothing names of every store; of several failures, gives the first.
pub(super) async fn sweep_stores(flusher: &Flusher, age: Duration) -> Result<u64, StorageError> {
    let (mut swept, mut failed) = (0, None);
    for store in flusher.cold.stores.all() {
        match sweep_store(flusher, store, age).await {
            Ok(files) => swept += files,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(swept), Err)
}

async fn sweep_store(
    flusher: &Flusher,
    store: &ColdStore,
    age: Duration,
) -> Result<u64, StorageError> {
    store.claim(&flusher.cold.database, &[]).await?;
    let now = flusher.shared.generator.draw(1);
    let Some(horizon) = flusher.cold.writing.horizon(now) else {
        return Ok(0);
    };
    let (hot, name) = (flusher.shared.hot.clone(), store.name.clone());
    let mut needed = blocking(move || manifest_paths(&HotSnapshot::take(&hot))).await?;
    needed.retain(|path| split(path).0 == name);
    let listed = sweep::list(store).await?;
    // After the listing: a file that a job had added to the manifest meanwhile is in this.
    let hot = flusher.shared.hot.clone();
    let (orphans, lost) = blocking(move || {
        let snapshot = HotSnapshot::take(&hot);
        let mut known: HashSet<String> = manifest_paths(&snapshot)?.into_iter().collect();
        let there: HashSet<&str> = listed.iter().map(|(path, _)| path.as_str()).collect();
        needed.retain(|path| known.contains(path) && !there.contains(path.as_str()));
        known.extend(garbage_paths(&snapshot)?);
        let candidates = sweep::candidates(listed, Some(age), horizon);
        Ok((sweep::orphans(candidates, &known), needed))
    })
    .await?;
    if let Some(path) = lost.first() {
        tracing::error!(
            store = store.called(),
            files = lost.len(),
            such_as = path,
            "files of this database are gone: what needs their rows fails; `tidelog check` lists them"
        );
    }
    if orphans.is_empty() {
        return Ok(0);
    }
    let found = orphans.len();
    let left = flusher.cold.stores.remove(orphans).await.len();
    tracing::info!(
        store = store.called(),
        files = found - left,
        "swept files that nothing names"
    );
    Ok((found - left) as u64)
}

/// Removes every file of an erased user from every store: those that the manifest named, those that waited for their
/// removal, and what failed attempts left. `after` is the database right after the erasure, whose Seq is `at`. Nobody
/// reads from before it, and no file of a USER table that was begun before it is still being written.
pub(crate) async fn remove_erased(
    flusher: &Flusher,
    partition: &Partition,
    at: Seq,
    after: Arc<View>,
) -> Result<(), StorageError> {
    let manifest = after.clone();
    let named = blocking(move || manifest_paths(&manifest.hot)).await?;
    let named: HashSet<String> = named.into_iter().collect();
    let next_id = after.catalog.next_table_id;
    // The folder of a user may be named as that of tables without users.
    let erased = |path: &String| {
        let table = table_of_file(path, partition);
        table.is_some_and(|id| match after.tables.get(&id) {
            Some(table) => table.kind == TableKind::User,
            None => id.get() < next_id,
        })
    };
    for store in flusher.cold.stores.all() {
        store.claim(&flusher.cold.database, &[]).await?;
        let mut found = sweep::candidates(sweep::list(store).await?, None, at);
        found.retain(erased);
        let left = (flusher.cold.stores)
            .remove(sweep::orphans(found, &named))
            .await;
        if !left.is_empty() {
            let reason = format!("{} files of an erased user are still there", left.len());
            return Err(StorageError::Store(store.failure(reason)));
        }
    }
    Ok(())
}

fn manifest_paths(snapshot: &HotSnapshot) -> Result<Vec<String>, StorageError> {
    let mut paths = Vec::new();
    let mut files = snapshot.iterate(Family::Meta, &[META_FILE], vec![META_FILE + 1]);
    while let Some((key, value)) = files.item() {
        paths.push(ColdFile::decode(key, value)?.path);
        files.next();
    }
    files.status()?;
    Ok(paths)
}

fn garbage_paths(snapshot: &HotSnapshot) -> Result<Vec<String>, StorageError> {
    let mut paths = Vec::new();
    let mut files = snapshot.iterate(Family::Meta, &[META_GARBAGE], vec![META_GARBAGE + 1]);
    while let Some((key, _)) = files.item() {
        let path = String::from_utf8(key[1..].to_vec());
        paths.push(path.map_err(|_| StorageError::Corrupt("a path".to_string()))?);
        files.next();
    }
    files.status()?;
    Ok(paths)
}

/// The database's id, made when it is opened for the first time.
pub(super) fn database_id(hot: &Hot) -> Result<String, StorageError> {
    if let Some(id) = hot.get(Family::Meta, &[META_ID])? {
        return String::from_utf8(id.to_vec())
            .map_err(|_| StorageError::Corrupt("the database's id".to_string()));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let mut batch = WriteBatch::default();
    batch.put_cf(hot.family(Family::Meta), [META_ID], &id);
    hot.write(batch)?;
    Ok(id)
}

/// Checks that every store which the database uses is there and its own, as far as it can be reached; gives the
/// files that the manifest names.
pub(super) fn check_stores(
    cold: &Cold,
    hot: &Arc<Hot>,
    catalog: &Catalog,
    runtime: &tokio::runtime::Handle,
) -> Result<HashSet<String>, StorageError> {
    let files: HashSet<String> = manifest_paths(&HotSnapshot::take(hot))?
        .into_iter()
        .collect();
    for table in catalog.all_tables() {
        cold.stores
            .get(table.options.storage.as_deref().unwrap_or_default())?;
    }
    let mut known: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in &files {
        let known = known.entry(split(path).0).or_default();
        if known.len() < FILES_LOOKED_AT {
            known.push(path);
        }
    }
    for name in known.keys() {
        cold.stores.get(name)?;
    }
    let claim = |store: &ColdStore| {
        let known = known
            .get(store.name.as_str())
            .map_or(&[][..], Vec::as_slice);
        let called = store.called();
        let claim = store.claim(&cold.database, known);
        wait(runtime, async {
            match tokio::time::timeout(OPENING_WAIT, claim).await {
                Ok(Err(StorageError::Store(failure))) => {
                    tracing::warn!(error = %failure, "starting without an object store");
                    Ok(())
                }
                Ok(answer) => answer,
                Err(_) => store.without_credentials().map_or_else(
                    || {
                        tracing::warn!(
                            store = called,
                            "starting without an object store that does not answer"
                        );
                        Ok(())
                    },
                    Err,
                ),
            }
        })
    };
    cold.stores.all().try_for_each(claim)?;
    Ok(files)
}

/// Removes what a crash left in the data directory's own store, where nothing else can be writing, and has
/// files removed that wait for it in others.
pub(super) fn clean(
    cold: &Cold,
    hot: &Arc<Hot>,
    runtime: &tokio::runtime::Handle,
    files: HashSet<String>,
) -> Result<(), StorageError> {
    let mut waiting = garbage_paths(&HotSnapshot::take(hot))?;
    if let Some(store) = cold.stores.all().find(|store| store.inside)
        && let Some(folder) = &store.folder
    {
        let found = (sweep::local_files(folder)?.into_iter())
            .map(|(path, _)| path)
            .filter(|path| sweep::is_file(path));
        let orphans = sweep::orphans(found.collect(), &files);
        if !orphans.is_empty() {
            tracing::info!(
                files = orphans.len(),
                "sweeping files that the manifest does not name"
            );
            wait(runtime, cold.stores.remove(orphans));
        }
        let mut batch = WriteBatch::default();
        waiting.retain(|path| {
            let swept = split(path).0.is_empty();
            if swept {
                batch.delete_cf(
                    hot.family(Family::Meta),
                    meta_key(META_GARBAGE, path.as_bytes()),
                );
            }
            !swept
        });
        hot.write(batch)?;
    }
    cold.garbage.discard(waiting);
    Ok(())
}
