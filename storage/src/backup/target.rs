//! Where backups are: their lists, and the files that these name by their digests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{BackupFile, Contents, FORMAT, several};
use crate::cold::{ColdOptions, url};
use crate::digest::{Digest, Source};
use crate::error::StorageError;
use crate::flush::blocking;

/// A folder or object store with backups.
pub(super) struct Target {
    objects: Arc<dyn ObjectStore>,
    /// Its folder, if it is one of this machine.
    folder: Option<PathBuf>,
}

/// What is wrong with a backup.
pub(super) fn damaged(what: impl Into<String>) -> StorageError {
    StorageError::Backup(what.into())
}

fn file_path(sha256: &str) -> Path {
    Path::from_iter(["files", sha256])
}

fn list_path(number: u64) -> Path {
    Path::from_iter(["backups".to_string(), format!("{number:08}.json")])
}

impl Target {
    /// The folder (made if it does not exist) or object store with this URL or absolute path. Blocking.
    pub(super) fn open(url: &str) -> Result<Target, StorageError> {
        if !url.contains("://") && !std::path::Path::new(url).is_absolute() {
            let why = "it is neither a URL nor an absolute path";
            return Err(damaged(format!("\"{url}\" cannot be used: {why}")));
        }
        let timeout = ColdOptions::default().timeout;
        let place = url::open(url, &BTreeMap::new(), timeout);
        let refused = |why| damaged(format!("\"{}\" cannot be used: {why}", url::shown(url)));
        let place = place.map_err(refused)?;
        Ok(Target {
            objects: place.objects,
            folder: place.folder,
        })
    }

    /// As `open`, of what is there already.
    pub(super) fn open_existing(url: &str) -> Result<Target, StorageError> {
        let folder = url.strip_prefix("file://").unwrap_or(url);
        if folder.starts_with('/') && !std::path::Path::new(folder).is_dir() {
            return Err(damaged(format!("there is no folder \"{folder}\"")));
        }
        Target::open(url)
    }

    /// The numbers of its backups, ascending.
    pub(super) async fn numbers(&self) -> Result<Vec<u64>, StorageError> {
        let folder = Path::from("backups");
        let found: Vec<_> = self.objects.list(Some(&folder)).try_collect().await?;
        // Files of other names are somebody else's.
        let number = |path: &Path| {
            let number = path.filename()?.strip_suffix(".json")?.parse().ok()?;
            (list_path(number) == *path).then_some(number)
        };
        let mut numbers: Vec<u64> = found
            .iter()
            .filter_map(|meta| number(&meta.location))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What a backup holds.
    pub(super) async fn contents(&self, number: u64) -> Result<Contents, StorageError> {
        let text = match self.objects.get(&list_path(number)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(damaged(format!("there is no backup {number}")));
            }
            Err(error) => return Err(error.into()),
        };
        let broken = || damaged(format!("the list of backup {number} is damaged"));
        let text = std::str::from_utf8(&text).map_err(|_| broken())?;
        let (list, said) = text.trim_end().split_once('\n').ok_or_else(broken)?;
        let mut digest = Digest::default();
        digest.add(list.as_bytes());
        if digest.end().1 != said {
            return Err(broken());
        }
        let contents: Contents = serde_json::from_str(list).map_err(|_| broken())?;
        if contents.format != FORMAT || contents.number != number {
            let format = contents.format;
            return Err(damaged(format!(
                "backup {number} has the unknown format {format}"
            )));
        }
        Ok(contents)
    }

    /// The id of the database that the backups are of, as the newest says whose list can be read.
    pub(super) async fn owner(&self, numbers: &[u64]) -> Result<Option<String>, StorageError> {
        for number in numbers.iter().rev() {
            match self.contents(*number).await {
                Ok(contents) => return Ok(Some(contents.database)),
                // A damaged one is nothing that a new backup has to wait for.
                Err(StorageError::Backup(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Digests and lengths of the files that are there.
    pub(super) async fn files(&self) -> Result<HashSet<(String, u64)>, StorageError> {
        let folder = Path::from("files");
        let found = self.objects.list(Some(&folder)).map_ok(|meta| {
            let name = meta.location.filename().unwrap_or_default().to_string();
            (name, meta.size)
        });
        Ok(found.try_collect().await?)
    }

    /// Reads a file of a backup, and hands it on; gives what is wrong with it, if it is not what the backup says.
    pub(super) async fn read(
        &self,
        file: &BackupFile,
        to: Option<&mut (dyn AsyncWrite + Unpin + Send)>,
    ) -> Result<Option<String>, StorageError> {
        let source = self.source(&file.sha256);
        let how = match source.read(to).await {
            Err(StorageError::Object(object_store::Error::NotFound { .. })) => "is missing",
            Err(error) => return Err(error),
            Ok(read) if read == (file.bytes, file.sha256.clone()) => return Ok(None),
            Ok(_) => "has not the contents that it should have",
        };
        Ok(Some(format!("{} ({}) {how}", source.path, file.path)))
    }

    /// Reads the files of a backup that `known` does not have by their digests, and adds what is wrong with them.
    pub(super) async fn verify(
        &self,
        contents: &Contents,
        known: &mut HashMap<String, Option<String>>,
    ) -> Result<(), StorageError> {
        let mut taken = HashSet::new();
        let new = |file: &&BackupFile| {
            !known.contains_key(&file.sha256) && taken.insert(file.sha256.clone())
        };
        let files: Vec<_> = contents.files.iter().filter(new).collect();
        let read = files.into_iter().map(|file| async move {
            let what = self.read(file, None).await?;
            Ok((file.sha256.clone(), what))
        });
        several(read, |(sha256, what)| {
            known.insert(sha256, what);
        })
        .await
    }

    /// A file, as a source.
    fn source(&self, sha256: &str) -> Source {
        Source {
            objects: self.objects.clone(),
            path: file_path(sha256),
        }
    }

    /// Copies a file of this length and digest.
    pub(super) async fn put(
        &self,
        sha256: &str,
        bytes: u64,
        source: &Source,
    ) -> Result<(), StorageError> {
        let path = file_path(sha256);
        let mut writer = BufWriter::new(self.objects.clone(), path.clone()).with_max_concurrency(1);
        let copied = match source.read(Some(&mut writer)).await {
            Ok(copied) if copied == (bytes, sha256.to_string()) => {
                writer.shutdown().await.map_err(StorageError::from)
            }
            Ok(_) => Err(StorageError::Corrupt(format!(
                "{} does not have the bytes that were written",
                source.path
            ))),
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            let _ = writer.abort().await;
            return Err(error);
        }
        self.settle(path).await
    }

    /// Writes the list, which makes the backup one. Its number is the next that is free.
    pub(super) async fn finish(&self, contents: &mut Contents) -> Result<(), StorageError> {
        loop {
            let list = serde_json::to_string(&*contents)
                .map_err(|error| StorageError::Corrupt(error.to_string()))?;
            let mut digest = Digest::default();
            digest.add(list.as_bytes());
            let text = format!("{list}\n{}\n", digest.end().1);
            let path = list_path(contents.number);
            let put = (self.objects)
                .put_opts(&path, PutPayload::from(text), PutMode::Create.into())
                .await;
            match put {
                Ok(_) => return self.settle(path).await,
                // Another server's.
                Err(object_store::Error::AlreadyExists { .. }) => contents.number += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a file outlive a power cut, where the store does not do so by itself.
    async fn settle(&self, path: Path) -> Result<(), StorageError> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        blocking(move || {
            let file = folder.join(path.as_ref());
            let above = file.parent().unwrap_or(&folder);
            for written in [&file, above, &folder] {
                std::fs::File::open(written)?.sync_all()?;
            }
            Ok(())
        })
        .await
    }
}
