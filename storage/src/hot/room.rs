//! Room in RocksDB's write-ahead log: its newest file is made longer than it is, ahead of what is written.
//!
//! A sync of a file that has grown writes its inode too; one of a file that has the length already does not, which takes
//! about half the time (`scripts/bench storage write`). RocksDB sets space aside, but not the length. What it never wrote
//! is zeros, which its reader takes for the end of the records, and it cuts the file to what it wrote when it closes it.

use std::fs::File;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};

/// How far ahead the file is made longer.
const ROOM_BYTES: u64 = 4 << 20;
/// After so many bytes it is looked which file is the newest, and whether it has room.
const LOOK_BYTES: u64 = 256 << 10;

/// What is known of the newest file.
pub(super) struct Room {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Written since the last look.
    bytes: u64,
    newest: Option<Newest>,
}

struct Newest {
    number: u64,
    file: File,
    /// About how much was written to it.
    written: u64,
    length: u64,
}

impl Room {
    pub(super) fn new(dir: &Path) -> Room {
        let state = State {
            bytes: LOOK_BYTES,
            newest: None,
        };
        Room {
            dir: dir.to_path_buf(),
            state: Mutex::new(state),
        }
    }

    /// So many bytes are about to be written. Where the file cannot be made longer, syncs take what they took.
    pub(super) fn make(&self, bytes: usize) {
        // Whoever has it looks for the others, too.
        let Some(mut state) = self.state.try_lock() else {
            return;
        };
        state.bytes += bytes as u64;
        if state.bytes >= LOOK_BYTES
            && let Err(error) = state.look(&self.dir)
        {
            tracing::debug!(%error, "the write-ahead log gets no room");
            state.newest = None;
        }
    }
}

impl State {
    fn look(&mut self, dir: &Path) -> std::io::Result<()> {
        let written = std::mem::take(&mut self.bytes);
        let newest = super::torn::logs(dir)?.pop();
        let Some((number, path)) = newest else {
            return Ok(());
        };
        match &mut self.newest {
            Some(newest) if newest.number == number => newest.written += written,
            newest => {
                let file = File::options().write(true).open(path)?;
                let length = file.metadata()?.len();
                *newest = Some(Newest {
                    number,
                    file,
                    written: length,
                    length,
                });
            }
        }
        if let Some(newest) = &mut self.newest
            && newest.written + ROOM_BYTES / 2 >= newest.length
        {
            let length = newest.written + ROOM_BYTES;
            // Never shortens it, nor touches what is there.
            fallocate(&newest.file, FallocateFlags::empty(), 0, length)?;
            newest.length = length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Family, Hot, WriteBatch, torn};
    use super::*;

    #[test]
    fn each_log_has_room_until_it_is_closed() {
        let dir = tempfile::tempdir().expect("a directory");
        let hot = Hot::open(dir.path(), "open").expect("opens");
        let write = |records: u32| {
            for key in 0..records {
                let mut batch = WriteBatch::default();
                let key = key.to_be_bytes();
                batch.put_cf(hot.family(Family::Meta), key, [7; 100_000]);
                hot.write(batch).expect("writes");
            }
        };
        let lengths = || -> Vec<u64> {
            let logs = torn::logs(dir.path()).expect("reads the folder");
            let length = |(_, path): &(u64, PathBuf)| path.metadata().expect("is there").len();
            logs.iter().map(length).collect()
        };
        let written = |records: u64| records * 100_000;
        write(100);
        let newest = lengths().pop().expect("a log");
        assert!(newest > written(100) + ROOM_BYTES / 4, "{newest}");
        // The next one.
        hot.flush(&[Family::Meta]).expect("flushes");
        write(10);
        let newest = lengths().pop().expect("a log");
        assert!(newest > written(10) + ROOM_BYTES / 4, "{newest}");
        assert!(newest < written(20) + 2 * ROOM_BYTES, "{newest}");
        drop(hot);
        let closed: u64 = lengths().iter().sum();
        assert!(closed < written(111), "{closed}");
        let hot = Hot::open(dir.path(), "open").expect("opens again");
        let key = 99_u32.to_be_bytes();
        let value = hot.get(Family::Meta, &key).expect("reads");
        assert_eq!(value.as_deref(), Some(&[7; 100_000][..]));
    }
}
