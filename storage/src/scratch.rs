//! Files without a name, for what a job needs for a while and has no room for in memory.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty file to write and read, of which nothing is left when it is dropped or the process dies.
///
/// # Errors
/// What the file system says.
pub(crate) fn unnamed(folder: &Path) -> std::io::Result<File> {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let name = format!("run-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name);
    let file = (File::options().read(true).write(true))
        .create(true)
        .truncate(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
