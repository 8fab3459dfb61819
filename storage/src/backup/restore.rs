//! A backup's way back into a data directory.

use std::path::{Path as FilePath, PathBuf};

use super::target::{Target, damaged};
use super::{Backup, BackupFile};
use crate::error::StorageError;
use crate::flush::blocking;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// What was restored.
    pub backup: Backup,
}

/// Makes a data directory of a backup, the newest one unless `number` says which. The directory must be empty or
/// not exist; it is whole when this returns, and is not there when it fails. Every file's length and digest are checked.
pub async fn restore(
    url: &str,
    dir: &FilePath,
    number: Option<u64>,
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
    let copied = async {
        for folder in ["hot", "cold"] {
            std::fs::create_dir_all(part.join(folder))?;
        }
        for file in &contents.files {
            copy(&target, number, file, &part).await?;
        }
        let (part, dir) = (part.clone(), dir.to_path_buf());
        blocking(move || put_in_place(&part, &dir)).await
    };
    if let Err(error) = copied.await {
        let _ = std::fs::remove_dir_all(&part);
        return Err(error);
    }
    Ok(RestoreReport {
        backup: contents.summary(),
    })
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

async fn copy(
    target: &Target,
    number: u64,
    file: &BackupFile,
    part: &FilePath,
) -> Result<(), StorageError> {
    let inside = |path: &FilePath| {
        (path.components()).all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    let relative = FilePath::new(&file.path);
    if !inside(relative) {
        let message = format!("backup {number} has a file of the name \"{}\"", file.path);
        return Err(damaged(message));
    }
    let to = part.join(relative);
    if let Some(above) = to.parent() {
        std::fs::create_dir_all(above)?;
    }
    let mut writer = tokio::fs::File::create(&to).await?;
    let source = target.source(&file.sha256);
    let read = match source.read(Some(&mut writer)).await {
        Err(StorageError::Object(object_store::Error::NotFound { .. })) => {
            let message = format!(
                "backup {number} is damaged: {} ({}) is missing",
                source.path, file.path
            );
            return Err(damaged(message));
        }
        read => read?,
    };
    if read != (file.bytes, file.sha256.clone()) {
        let message = format!(
            "backup {number} is damaged: {} ({}) has not the contents that it should have",
            source.path, file.path
        );
        return Err(damaged(message));
    }
    Ok(writer.sync_all().await?)
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
