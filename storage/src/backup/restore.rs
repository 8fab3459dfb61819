//! A backup's way back into a data directory, and into the object stores of its cold files.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rocksdb::WriteBatch;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::target::{Target, damaged};
use super::{Backup, BackupFile, Contents, several};
use crate::cold::claim::MARKER;
use crate::cold::stores::{Stores, split};
use crate::cold::{ColdOptions, DEFAULT_STORE, META_ID};
use crate::error::StorageError;
use crate::flush::blocking;
use crate::hot::{Family, Hot};

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// What was restored.
    pub backup: Backup,
}

/// Makes a data directory of a backup, the newest one unless `number` says which, and puts the cold files into
/// these stores. The directory must be empty or not exist, and no other database may own the stores; all is whole when
/// this returns, and nothing is left of it when it fails. Every file's length and digest are checked. The result is a
/// database of its own, with a new id.
pub async fn restore(
    url: &str,
    dir: &FilePath,
    number: Option<u64>,
    cold: &ColdOptions,
) -> Result<RestoreReport, StorageError> {
    check_empty(dir)?;
    let target = Target::open_existing(url)?;
    let number = match number {
        Some(number) => number,
        None => {
            let numbers = target.numbers().await?;
            *(numbers.last()).ok_or_else(|| damaged(format!("there is no backup in {url}")))?
        }
    };
    let contents = target.contents(number).await?;
    let part = part_of(dir)?;
    match std::fs::remove_dir_all(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut making = Making {
        id: uuid::Uuid::new_v4().to_string(),
        part,
        stores: None,
        claimed: BTreeSet::new(),
        written: Vec::new(),
    };
    if let Err(error) = making.make(&target, &contents, dir, cold).await {
        making.undo().await;
        return Err(error);
    }
    Ok(RestoreReport {
        backup: contents.summary(),
    })
}

/// A restore under way.
struct Making {
    /// The new database's.
    id: String,
    /// The data directory, until it is whole.
    part: PathBuf,
    stores: Option<Arc<Stores>>,
    /// The stores that are marked as the new database's.
    claimed: BTreeSet<String>,
    /// The cold files that may be there.
    written: Vec<String>,
}

impl Making {
    async fn make(
        &mut self,
        target: &Target,
        contents: &Contents,
        dir: &FilePath,
        cold: &ColdOptions,
    ) -> Result<(), StorageError> {
        let number = contents.number;
        std::fs::create_dir_all(self.part.join("hot"))?;
        let (part, cold) = (self.part.clone(), cold.clone());
        let stores = blocking(move || Stores::open(&cold, &part)).await?;
        let stores = self.stores.insert(Arc::new(stores)).clone();
        let cold_paths = (contents.files.iter()).filter_map(|file| file.path.strip_prefix("cold/"));
        for name in cold_paths.map(|path| split(path).0) {
            if Stores::get(&stores, name).is_err() {
                return Err(damaged(format!(
                    "backup {number} has files of the storage \"{name}\": say where they go, by --storage {name}=URL"
                )));
            }
        }
        self.claim(&stores).await?;
        let mut copies = Vec::with_capacity(contents.files.len());
        for file in &contents.files {
            let place = match file.path.split_once('/') {
                Some(("hot", name)) if !name.contains('/') => {
                    Place::Hot(self.part.join("hot").join(name))
                }
                Some(("cold", path)) => {
                    self.written.push(path.to_string());
                    Place::Cold(&stores, path)
                }
                _ => {
                    let message =
                        format!("backup {number} has a file of the name \"{}\"", file.path);
                    return Err(damaged(message));
                }
            };
            copies.push(place.fill(target, number, file));
        }
        several(copies, |()| {}).await?;
        let (part, id, dir) = (self.part.clone(), self.id.clone(), dir.to_path_buf());
        blocking(move || {
            rename(&part.join("hot"), &id)?;
            put_in_place(&part, &dir)
        })
        .await
    }

    /// Marks all stores as the new database's, before anything is written to one: it will be started with all of them.
    async fn claim(&mut self, stores: &Stores) -> Result<(), StorageError> {
        for store in stores.all() {
            store.claim(&self.id, &[]).await?;
            self.claimed.insert(store.name.clone());
        }
        Ok(())
    }

    async fn undo(&self) {
        if let Some(stores) = &self.stores {
            let left = stores.remove(self.written.clone()).await;
            for name in &self.claimed {
                let Ok(store) = Stores::get(stores, name) else {
                    continue;
                };
                let removed = match left.is_empty() && !store.inside {
                    true => store.objects.delete(&Path::from(MARKER)).await.is_ok(),
                    false => store.inside,
                };
                if !removed {
                    let called = match name.as_str() {
                        "" => DEFAULT_STORE,
                        name => name,
                    };
                    tracing::warn!("the restore left files in the storage \"{called}\"");
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.part);
    }
}

fn check_empty(dir: &FilePath) -> Result<(), StorageError> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                let message = format!("data directory \"{}\" is not empty", dir.display());
                Err(damaged(message))
            }
        },
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Where the directory is made, beside its place.
fn part_of(dir: &FilePath) -> Result<PathBuf, StorageError> {
    let absolute = std::path::absolute(dir)?;
    let name = absolute.file_name().ok_or_else(|| {
        let message = format!("\"{}\" cannot be a data directory", dir.display());
        damaged(message)
    })?;
    let mut part = name.to_os_string();
    part.push(".restore.part");
    Ok(absolute.with_file_name(part))
}

/// Where a file goes.
enum Place<'a> {
    Hot(PathBuf),
    Cold(&'a Arc<Stores>, &'a str),
}

impl Place<'_> {
    /// Copies the file there, and makes it outlive a power cut.
    async fn fill(
        self,
        target: &Target,
        number: u64,
        file: &BackupFile,
    ) -> Result<(), StorageError> {
        match self {
            Place::Hot(to) => {
                let mut writer = tokio::fs::File::create(&to).await?;
                copy(target, number, file, &mut writer).await?;
                Ok(writer.sync_all().await?)
            }
            Place::Cold(stores, path) => {
                let at = Path::parse(path).map_err(object_store::Error::from)?;
                let objects: Arc<dyn ObjectStore> = stores.clone();
                let mut writer = BufWriter::new(objects, at).with_max_concurrency(1);
                let copied = match copy(target, number, file, &mut writer).await {
                    Ok(()) => writer.shutdown().await.map_err(StorageError::from),
                    Err(error) => Err(error),
                };
                if let Err(error) = copied {
                    let _ = writer.abort().await;
                    return Err(error);
                }
                let (stores, path) = (stores.clone(), path.to_string());
                blocking(move || {
                    stores.settle(&path)?;
                    stores.settle_folders(&path)
                })
                .await
            }
        }
    }
}

/// Hands a file of the backup on; an error when it is not what the backup says.
async fn copy(
    target: &Target,
    number: u64,
    file: &BackupFile,
    to: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<(), StorageError> {
    match target.read(file, Some(to)).await? {
        None => Ok(()),
        Some(what) => Err(damaged(format!("backup {number} is damaged: {what}"))),
    }
}

/// Gives the database its own id: two that had one would take each other's stores for theirs. Blocking.
fn rename(hot: &FilePath, id: &str) -> Result<(), StorageError> {
    let hot = Hot::open(hot, &hot.display().to_string())?;
    let mut batch = WriteBatch::default();
    batch.put_cf(hot.family(Family::Meta), [META_ID], id);
    Ok(hot.write(batch)?)
}

/// Syncs all folders and gives the directory its name. Blocking.
fn put_in_place(part: &FilePath, dir: &FilePath) -> Result<(), StorageError> {
    let mut folders = vec![part.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        std::fs::File::open(&folder)?.sync_all()?;
    }
    // It takes the place of an empty one.
    std::fs::rename(part, dir)?;
    if let Some(above) = part.parent() {
        std::fs::File::open(above)?.sync_all()?;
    }
    Ok(())
}
