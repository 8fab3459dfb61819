//! Backups: a running store, as it was at one moment, in a folder or object store; and their way back.
//!
//! ```text
//! files/{sha256}           the contents of files, each once, whatever backups hold it
//! backups/00000001.json    one line: what the backup holds; a second line: the SHA-256 of the first
//! ```
//!
//! Guarantees: a backup is there once its last object, the list, is: a half-done one is none. What is in the target
//! already is not copied again. A backup holds every commit that was answered before it began. Does not: remove
//! old backups, or keep what an erasure removed later out of those that were made before.

mod restore;
mod target;

use std::collections::{HashMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::cold::{ColdFile, META_FILE, url};
use crate::commit::ddl;
use crate::digest::Source;
use crate::error::StorageError;
use crate::flush::{Flusher, blocking};
use crate::hot::{Family, Hot, HotSnapshot, LOCK_FILE};
use crate::jobs::{Job, JobKind};
use crate::seq::Seq;
use crate::store::Store;
use target::Target;

pub use restore::{RestoreReport, restore};

/// What the lists of backups are written as; others are refused.
const FORMAT: u32 = 1;
/// Files that are copied at the same time.
const COPIES: usize = 8;
/// Where in the data directory the moment is held while it is copied.
const CHECKPOINT: &str = "backup.part";

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BackupFile {
    /// `hot/…`, below the data directory, or `cold/` and the path in the manifest: in the default store, or `name:` and
    /// the path in a named one.
    path: String,
    bytes: u64,
    sha256: String,
}

/// What a backup holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Contents {
    format: u32,
    number: u64,
    /// The id of the database.
    database: String,
    created_ms: i64,
    /// The newest Seq in it.
    seq: Seq,
    files: Vec<BackupFile>,
}

/// A backup, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Counts the backups of a target, from 1.
    pub number: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// The newest Seq in it.
    pub seq: Seq,
    /// Files in it.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// What is there now.
    pub backup: Backup,
    /// Files that were not in the target yet.
    pub copied_files: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
}

impl Contents {
    fn summary(&self) -> Backup {
        Backup {
            number: self.number,
            created_ms: self.created_ms,
            seq: self.seq,
            files: self.files.len() as u64,
            bytes: self.files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// A backup in a list.
#[derive(Debug)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// What its own list says.
    pub backup: Result<Backup, StorageError>,
    /// What is wrong with its files, if they were read.
    pub damage: Vec<String>,
}

/// The backups in a folder or object store, oldest first. `verify` reads every file of them, once: it is there, and has
/// the contents that the backups say.
pub async fn list(url: &str, verify: bool) -> Result<Vec<Listed>, StorageError> {
    let target = Target::open_existing(url)?;
    let mut damage = HashMap::new();
    let mut found = Vec::new();
    for number in target.numbers().await? {
        let contents = match target.contents(number).await {
            Ok(contents) => contents,
            Err(error @ StorageError::Backup(_)) => {
                found.push(Listed {
                    number,
                    backup: Err(error),
                    damage: Vec::new(),
                });
                continue;
            }
            Err(error) => return Err(error),
        };
        if verify {
            target.verify(&contents, &mut damage).await?;
        }
        let damaged = |file: &BackupFile| damage.get(&file.sha256).cloned().flatten();
        found.push(Listed {
            number,
            backup: Ok(contents.summary()),
            damage: contents.files.iter().filter_map(damaged).collect(),
        });
    }
    Ok(found)
}

impl Store {
    /// Copies the store as it is now to a folder (an absolute path, `file:///…`) or the URL of an object store;
    /// only what is not there yet. Writers go on meanwhile. It goes on when the caller stops waiting.
    pub async fn backup(&self, url: &str) -> Result<BackupReport, StorageError> {
        self.check_open()?;
        let (flusher, url, dir) = (self.flusher.clone(), url.to_string(), self.dir.clone());
        let work = async move {
            let now_ms = || flusher.shared.generator.now_ms();
            let job = flusher.jobs.start(JobKind::Backup, None, now_ms());
            let outcome = flusher.backup(&url, &dir, &job).await;
            let did = |report: &BackupReport| Some((0, report.copied_bytes));
            job.end(now_ms(), outcome.as_ref().map(did));
            outcome
        };
        tokio::spawn(work)
            .await
            .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
    }
}

/// Removes what a backup that a crash cut short left in the data directory. Blocking.
pub(crate) fn clean(dir: &FilePath) -> Result<(), StorageError> {
    match std::fs::remove_dir_all(dir.join(CHECKPOINT)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The checkpoint's folder; goes with its last holder.
struct Checkpoint(PathBuf);

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "could not remove {}", self.0.display());
        }
    }
}

impl Flusher {
    /// An error where a backup would lie among what it is a backup of.
    fn refuse_own(&self, url: &str, dir: &FilePath) -> Result<(), StorageError> {
        let folders = self
            .cold
            .stores
            .all()
            .filter_map(|store| store.folder.clone());
        let target = url::real_folder(url);
        match target.filter(|target| {
            let holds = |folder: PathBuf| target.starts_with(folder);
            dir.canonicalize().into_iter().chain(folders).any(holds)
        }) {
            None => Ok(()),
            Some(target) => Err(target::damaged(format!(
                "\"{}\" cannot be used: it lies in the data directory or in a storage of it",
                target.display()
            ))),
        }
    }

    async fn backup(
        &self,
        url: &str,
        dir: &FilePath,
        job: &Job,
    ) -> Result<BackupReport, StorageError> {
        // An erasure would find its rows in the checkpoint again.
        let _one_at_a_time = self.cold.copying.clone().lock_owned().await;
        self.refuse_own(url, dir)?;
        let target = Target::open(url)?;
        let known = target.numbers().await?;
        if let Some(owner) = target.owner(&known).await?
            && owner != self.cold.database
        {
            return Err(target::damaged(format!(
                "\"{}\" has backups of another database, {owner}: give each a place of its own",
                url::shown(url),
            )));
        }
        let created_ms = self.shared.generator.now_ms();
        // It keeps every file that the checkpoint's manifest names, also those that are replaced meanwhile.
        let view = self.shared.view();
        let (hot, dir) = (self.shared.hot.clone(), dir.to_path_buf());
        let moment = blocking(move || Moment::take(&hot, &dir)).await?;

        let present = Mutex::new(target.files().await?);
        let mut contents = Contents {
            format: FORMAT,
            number: known.last().map_or(1, |last| last + 1),
            database: self.cold.database.clone(),
            created_ms,
            seq: moment.seq,
            files: Vec::new(),
        };
        let cold_objects: Arc<dyn ObjectStore> = Arc::new(self.cold.stores.uncached());
        let (mut copied_files, mut copied_bytes) = (0, 0);
        let mut copies = Vec::with_capacity(moment.hot_files.len() + moment.cold_files.len());
        for (name, bytes) in &moment.hot_files {
            let path = format!("hot/{name}");
            copies.push(copy(
                &target,
                &present,
                &moment.objects,
                name,
                path,
                *bytes,
                None,
            ));
        }
        for file in &moment.cold_files {
            let (path, known) = (format!("cold/{}", file.path), Some(&file.sha256));
            copies.push(copy(
                &target,
                &present,
                &cold_objects,
                &file.path,
                path,
                file.bytes,
                known,
            ));
        }
        several(copies, |(file, copied)| {
            if copied {
                (copied_files, copied_bytes) = (copied_files + 1, copied_bytes + file.bytes);
                job.progress(0, copied_bytes);
            }
            contents.files.push(file);
        })
        .await?;
        contents.files.sort_by(|a, b| a.path.cmp(&b.path));
        target.finish(&mut contents).await?;
        drop((moment, view));
        Ok(BackupReport {
            backup: contents.summary(),
            copied_files,
            copied_bytes,
        })
    }
}

/// Copies a file to the target, unless that has it; its entry in the list, and whether it was copied.
async fn copy(
    target: &Target,
    present: &Mutex<HashSet<(String, u64)>>,
    objects: &Arc<dyn ObjectStore>,
    object: &str,
    path: String,
    bytes: u64,
    sha256: Option<&String>,
) -> Result<(BackupFile, bool), StorageError> {
    let source = Source {
        objects: objects.clone(),
        path: Path::parse(object).map_err(object_store::Error::from)?,
    };
    let sha256 = match sha256 {
        Some(known) => known.clone(),
        None => match source.read(None).await? {
            (read, sha256) if read == bytes => sha256,
            (read, _) => {
                let reason = format!("{path} has {read} bytes and not {bytes}");
                return Err(StorageError::Corrupt(reason));
            }
        },
    };
    let copied = present.lock().insert((sha256.clone(), bytes));
    if copied {
        target.put(&sha256, bytes, &source).await?;
    }
    let file = BackupFile {
        path,
        bytes,
        sha256,
    };
    Ok((file, copied))
}

/// Does all of this, some at the same time, as most of copying a small file is waiting. After a failure nothing begins any more;
/// what has begun ends.
async fn several<T>(
    work: impl IntoIterator<Item = impl Future<Output = Result<T, StorageError>>>,
    mut done: impl FnMut(T),
) -> Result<(), StorageError> {
    let (mut work, mut running) = (work.into_iter(), FuturesUnordered::new());
    let mut failed = None;
    loop {
        while failed.is_none()
            && running.len() < COPIES
            && let Some(next) = work.next()
        {
            running.push(next);
        }
        match running.next().await {
            Some(Ok(one)) => done(one),
            Some(Err(error)) => failed = failed.or(Some(error)),
            None => return failed.map_or(Ok(()), Err),
        }
    }
}

/// The store at one moment.
struct Moment {
    seq: Seq,
    /// RocksDB's files, below the checkpoint.
    hot_files: Vec<(String, u64)>,
    cold_files: Vec<ColdFile>,
    /// The checkpoint's folder.
    objects: Arc<dyn ObjectStore>,
    _checkpoint: Checkpoint,
}

impl Moment {
    fn take(hot: &Hot, dir: &FilePath) -> Result<Moment, StorageError> {
        clean(dir)?;
        let checkpoint = Checkpoint(dir.join(CHECKPOINT));
        hot.checkpoint(&checkpoint.0)?;
        let mut hot_files = Vec::new();
        for entry in std::fs::read_dir(&checkpoint.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != LOCK_FILE {
                hot_files.push((name, entry.metadata()?.len()));
            }
        }
        hot_files.sort();
        let copy = Arc::new(Hot::open_read_only(
            &checkpoint.0,
            &checkpoint.0.display().to_string(),
        )?);
        let seq = ddl::last_seq(&copy)?;
        let snapshot = HotSnapshot::take(&copy);
        let mut cold_files = Vec::new();
        let mut files = snapshot.iterate(Family::Meta, &[META_FILE], vec![META_FILE + 1]);
        while let Some((key, value)) = files.item() {
            cold_files.push(ColdFile::decode(key, value)?);
            files.next();
        }
        files.status()?;
        drop(files);
        Ok(Moment {
            seq,
            hot_files,
            cold_files,
            objects: Arc::new(LocalFileSystem::new_with_prefix(&checkpoint.0)?),
            _checkpoint: checkpoint,
        })
    }
}
