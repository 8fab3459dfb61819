//! Removing files that no manifest entry names: what crashes and failed uploads leave.
//!
//! Guarantees: it never takes a file that a running flush or compaction writes, that a snapshot may read, or that
//! is younger than the safe age, and nothing from a store that is not this database's.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use parking_lot::Mutex;

use super::stores::{ColdStore, joined, split};
use crate::error::StorageError;
use crate::seq::Seq;

/// The flushes and compactions that run, by the Seq that each drew before it began: the names of their files hold
/// later ones.
#[derive(Default)]
pub(crate) struct WritingJobs {
    running: Mutex<BTreeMap<Seq, u32>>,
    held: AtomicBool,
}

/// A job that runs until this is dropped.
pub(crate) struct RunningJob<'a> {
    jobs: &'a WritingJobs,
    since: Seq,
}

impl WritingJobs {
    pub(crate) fn begin(&self, since: Seq) -> RunningJob<'_> {
        *self.running.lock().entry(since).or_default() += 1;
        RunningJob { jobs: self, since }
    }

    /// Ends all sweeping until the store is opened again: whether the manifest on disk names the files of some job
    /// is not known any more.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Files whose names hold this Seq or a later one may be being written, if `now` was just drawn; `None` when
    /// nothing may be swept.
    pub(crate) fn horizon(&self, now: Seq) -> Option<Seq> {
        let running = self.running.lock();
        let first = running.keys().next().copied().unwrap_or(now).min(now);
        (!self.held.load(Ordering::SeqCst)).then_some(first)
    }
}

impl Drop for RunningJob<'_> {
    fn drop(&mut self) {
        let mut jobs = self.jobs.running.lock();
        if let Some(count) = jobs.get_mut(&self.since) {
            *count -= 1;
            if *count == 0 {
                jobs.remove(&self.since);
            }
        }
    }
}

/// The Seq that was drawn for a file, if it is one of this store's own: `schema/table-id/partition/` and three Seqs.
/// Another database may have its prefix below this one, and its files lie deeper.
fn drawn_for(path: &str) -> Option<Seq> {
    let (folders, name) = path.rsplit_once('/')?;
    if folders.split('/').count() != 3 {
        return None;
    }
    // A local file that was not finished has `#` and a number behind its name.
    let name = name.split('#').next()?.strip_suffix(".parquet")?;
    let seqs = name
        .split('-')
        .map(|seq| seq.parse().ok().and_then(Seq::from_i64));
    match seqs.collect::<Option<Vec<Seq>>>()?.as_slice() {
        [_, _, id] => Some(*id),
        _ => None,
    }
}

/// Whether a path in a store is that of a file which some database has written.
pub(crate) fn is_file(path: &str) -> bool {
    drawn_for(path).is_some()
}

/// Every file of a store, with when it was last modified.
pub(crate) async fn list(store: &ColdStore) -> Result<Vec<(String, SystemTime)>, StorageError> {
    let mut found = match &store.folder {
        Some(folder) => {
            let folder = folder.clone();
            crate::flush::blocking(move || local_files(&folder)).await?
        }
        None => {
            let mut found = Vec::new();
            let mut listed = store.objects.list(None);
            while let Some(meta) = listed.next().await {
                let meta = meta.map_err(|error| store.named(error))?;
                found.push((meta.location.to_string(), meta.last_modified.into()));
            }
            found
        }
    };
    found.retain(|(path, _)| is_file(path));
    for (path, _) in &mut found {
        *path = joined(&store.name, path);
    }
    Ok(found)
}

/// Of the files of a store those that may be orphans: old enough, if an age is asked for, and begun before the horizon. The
/// manifest, read after they were listed, decides.
pub(crate) fn candidates(
    listed: Vec<(String, SystemTime)>,
    age: Option<Duration>,
    horizon: Seq,
) -> Vec<String> {
    let now = SystemTime::now();
    let old = |modified: SystemTime| {
        age.is_none_or(|age| now.duration_since(modified).is_ok_and(|since| since >= age))
    };
    let may_be = |path: &str| drawn_for(split(path).1).is_some_and(|id| id < horizon);
    let listed = listed.into_iter();
    let listed = listed.filter(|(path, modified)| old(*modified) && may_be(path));
    listed.map(|(path, _)| path).collect()
}

/// Every file under a folder, also half-written ones that a listing of the object store does not show. Blocking.
pub(crate) fn local_files(folder: &Path) -> Result<Vec<(String, SystemTime)>, StorageError> {
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    let mut files = Vec::new();
    while let Some(at) = folders.pop() {
        let entries = match std::fs::read_dir(&at) {
            // Emptied and removed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && at != folder => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let modified = match entry.metadata().and_then(|about| about.modified()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                modified => modified?,
            };
            let path = entry.path();
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            files.push((relative.to_string_lossy().into_owned(), modified));
        }
    }
    Ok(files)
}

/// Those of the candidates that nothing names.
pub(crate) fn orphans(mut candidates: Vec<String>, known: &HashSet<String>) -> Vec<String> {
    candidates.retain(|path| !known.contains(path));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_running_jobs_are_told_by_their_names() {
        let jobs = WritingJobs::default();
        let seq = |n: u32| Seq::pending(n);
        assert_eq!(jobs.horizon(seq(9)), Some(seq(9)));
        let (early, late) = (jobs.begin(seq(3)), jobs.begin(seq(5)));
        let again = jobs.begin(seq(3));
        assert_eq!(jobs.horizon(seq(9)), Some(seq(3)));
        drop(early);
        assert_eq!(jobs.horizon(seq(9)), Some(seq(3)));
        drop(again);
        assert_eq!(jobs.horizon(seq(9)), Some(seq(5)));
        drop(late);
        assert_eq!(jobs.horizon(seq(9)), Some(seq(9)));
        jobs.hold();
        assert_eq!(jobs.horizon(seq(9)), None);
    }

    #[test]
    fn only_files_of_this_store_are_candidates() {
        let own = Seq::from_i64(77);
        assert_eq!(drawn_for("a/b-1/shared/1-2-77.parquet"), own);
        assert_eq!(drawn_for("a/b-1/shared/1-2-77.parquet#1"), own);
        for other in [
            "tidelog.json",
            "a/b-1/shared/1-2.parquet",
            "a/b-1/shared/1-2-x.parquet",
            "a/b-1/shared/1-2-3-4.parquet",
            "a/b-1/shared/notes.txt",
            "b-1/shared/1-2-77.parquet",
            "other/a/b-1/shared/1-2-77.parquet",
        ] {
            assert_eq!(drawn_for(other), None, "{other}");
        }
    }
}
