//! The RocksDB database under `DIR/hot`: its families and settings, and a snapshot that owns it.
//!
//! Owns: opening, options, family handles. Guarantees: an open database has every family.
//! Does not: know what keys and values mean.
#![allow(unsafe_code)] // self_cell's macro: a RocksDB snapshot that lives as long as the database it borrows.

mod room;
mod torn;

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor,
    CompactOptions, DB, DBCompressionType, DBPinnableSlice, DBRawIteratorWithThreadMode,
    FlushOptions, LiveFile, LogLevel, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch,
    WriteOptions,
};

use crate::error::StorageError;

use room::Room;

const BLOCK_CACHE_BYTES: usize = 128 << 20;
const WRITE_BUFFER_BYTES: usize = 64 << 20;
const WRITE_BUFFERS_BYTES_MAX: usize = 256 << 20;
/// Memory of a family that is full, until its file is written: so many write buffers at most, one of which is written to.
const WRITE_BUFFERS_MAX: i32 = 4;
/// A large commit waits while more of them than this wait for their file, so that others never do.
const WAITING_MAX: u64 = 1;
/// How often it looks.
const FULL_POLL: Duration = Duration::from_millis(2);
const FULL_POLLS_MAX: usize = 2500;
const WAL_BYTES_MAX: u64 = 256 << 20;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
const OPEN_FILES_MAX: i32 = 512;
/// RocksDB's own files go to the disk in pieces while they are written: a commit's sync waits for what the disk has not done.
const BYTES_PER_SYNC: u64 = 1 << 20;
/// In the database's folder. Not `LOCK`, which is RocksDB's.
pub(crate) const LOCK_FILE: &str = "TIDELOG_LOCK";
/// How long files that RocksDB needs no more may take to go.
const PURGE_POLL: Duration = Duration::from_millis(10);
const PURGE_POLLS: usize = 3000;
/// Each edit of the manifest begins a new one, so that none tells of keys that are gone.
const MANIFEST_OPTIONS: &str = "max_manifest_file_size=1;max_manifest_space_amp_pct=0";

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Log,
    Key,
    Index,
    Dead,
    Stream,
    Commit,
    Meta,
}

const FAMILIES: [(Family, &str); 7] = [
    (Family::Log, "log"),
    (Family::Key, "key"),
    (Family::Index, "index"),
    (Family::Dead, "dead"),
    (Family::Stream, "stream"),
    (Family::Commit, "commit"),
    (Family::Meta, "meta"),
];

/// Every family.
pub(crate) const ALL: [Family; 7] = [
    Family::Log,
    Family::Key,
    Family::Index,
    Family::Dead,
    Family::Stream,
    Family::Commit,
    Family::Meta,
];

/// The open database.
pub(crate) struct Hot {
    db: DB,
    room: Room,
    /// Held as long as the database is open. RocksDB has a lock of its own, which readers do not ask for.
    _lock: File,
}

impl Hot {
    /// Opens or makes the database in `dir`, which a message calls `shown`.
    pub(crate) fn open(dir: &Path, shown: &str) -> Result<Hot, StorageError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES_MAX);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_bytes_per_sync(BYTES_PER_SYNC);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_log_level(LogLevel::Warn);
        let options = options
            .get_options_from_string(MANIFEST_OPTIONS)
            .map_err(|error| unusable(shown, error.to_string()))?;
        let lock = lock(dir, shown)?;
        torn::cut(dir)?;
        let db = DB::open_cf_descriptors(&options, dir, families(&cache))
            .map_err(|error| unusable(shown, error.to_string()))?;
        let room = Room::new(dir);
        Ok(Hot {
            db,
            room,
            _lock: lock,
        })
    }

    /// Opens the database in `dir` without changing it, but for what a torn write has left. What only its write-ahead log
    /// has is read into memory.
    pub(crate) fn open_read_only(dir: &Path, shown: &str) -> Result<Hot, StorageError> {
        if !dir.join("CURRENT").is_file() {
            return Err(unusable(shown, "there is no database in it".to_string()));
        }
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let mut options = Options::default();
        options.set_max_open_files(OPEN_FILES_MAX);
        let lock = lock(dir, shown)?;
        torn::cut(dir)?;
        let db = DB::open_cf_descriptors_read_only(&options, dir, families(&cache), false)
            .map_err(|error| unusable(shown, error.to_string()))?;
        let room = Room::new(dir);
        Ok(Hot {
            db,
            room,
            _lock: lock,
        })
    }

    /// The handle of a family.
    pub(crate) fn family(&self, family: Family) -> &ColumnFamily {
        self.db
            .cf_handle(FAMILIES[family as usize].1)
            .expect("every family was opened")
    }

    /// The newest value.
    pub(crate) fn get(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        self.db.get_pinned_cf(self.family(family), key)
    }

    /// Writes and syncs.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.room.make(batch.size_in_bytes());
        self.db.write_opt(batch, &options)
    }

    /// Puts what families have in memory into files, and waits for it.
    pub(crate) fn flush(&self, families: &[Family]) -> Result<(), rocksdb::Error> {
        let handles: Vec<_> = families.iter().map(|family| self.family(*family)).collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&handles, &options)
    }

    /// Makes a copy of the database as it is now, of hard links where it can, in a folder that must not exist.
    pub(crate) fn checkpoint(&self, dir: &Path) -> Result<(), rocksdb::Error> {
        rocksdb::checkpoint::Checkpoint::new(&self.db)?.create_checkpoint(dir)
    }

    /// Takes what was deleted in these ranges off the disk: out of the write-ahead log, by flushing all, and out of
    /// the tables, by rewriting those that overlap a range down to the last level. Blocking. What a snapshot from before
    /// the deletion can see stays.
    pub(crate) fn scrub(&self, ranges: &[(Family, Vec<u8>, Vec<u8>)]) -> Result<(), StorageError> {
        let logs = self.files(|name| name.ends_with(".log"))?;
        self.flush(&ALL)?;
        let tables = self.files(|name| name.ends_with(".sst"))?;
        let errors = || self.db.property_int_value("rocksdb.background-errors");
        let errors_before = errors()?;
        let live = self.db.live_files()?;
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(true);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for (family, from, to) in ranges {
            let name = FAMILIES[*family as usize].1;
            let overlaps = |file: &LiveFile| {
                file.column_family_name == name
                    && file.start_key.as_ref().is_none_or(|start| start < to)
                    && file.end_key.as_ref().is_none_or(|end| end >= from)
            };
            if live.iter().any(overlaps) {
                let family = self.family(*family);
                (self.db).compact_range_cf_opt(family, Some(from), Some(to), &options);
            }
        }
        if errors()? != errors_before {
            return Err(scrub_failed("RocksDB could not compact"));
        }
        // The manifest tells the first and last keys of tables: the next edit begins a new one without the old tables'.
        let manifests = self.files(|name| name.starts_with("MANIFEST-"))?;
        self.touch()?;
        let live: HashSet<String> = self
            .db
            .live_files()?
            .into_iter()
            .map(|file| file.name)
            .collect();
        let is_old = |name: &String| !live.contains(&format!("/{name}")) && !live.contains(name);
        let tables = tables.into_iter().filter(is_old);
        let mut old: Vec<String> = tables.chain(logs).chain(manifests).collect();
        // RocksDB removes files in its own time.
        for _ in 0..PURGE_POLLS {
            old.retain(|name| self.db.path().join(name).exists());
            if old.is_empty() {
                return Ok(());
            }
            std::thread::sleep(PURGE_POLL);
        }
        Err(scrub_failed(&format!("RocksDB keeps {}", old.join(", "))))
    }

    /// Makes RocksDB write an edit of its manifest.
    fn touch(&self) -> Result<(), rocksdb::Error> {
        for _ in 0..2 {
            let mut batch = WriteBatch::default();
            batch.delete_cf(self.family(Family::Meta), b"");
            self.write(batch)?;
            self.flush(&[Family::Meta])?;
        }
        Ok(())
    }

    /// The names of the database's files that are `wanted`.
    fn files(&self, wanted: fn(&str) -> bool) -> Result<Vec<String>, StorageError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.db.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if wanted(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Writes; a power cut may take it away until it is synced.
    pub(crate) fn write_unsynced(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        self.room.make(batch.size_in_bytes());
        self.db.write(batch)
    }

    /// Writes a piece of something large, unsynced, and leaves memory to those who write a little beside it. Blocking.
    pub(crate) fn write_piece(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        // Where it stays so, RocksDB tells why, or has everybody wait.
        for _ in 0..FULL_POLLS_MAX {
            if !self.is_full()? {
                break;
            }
            std::thread::sleep(FULL_POLL);
        }
        self.write_unsynced(batch)
    }

    /// Whether a family has much memory that waits for its file.
    fn is_full(&self) -> Result<bool, rocksdb::Error> {
        for (family, _) in FAMILIES {
            let waiting = self.db.property_int_value_cf(
                self.family(family),
                rocksdb::properties::NUM_IMMUTABLE_MEM_TABLE,
            )?;
            if waiting.is_some_and(|waiting| waiting > WAITING_MAX) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Syncs what was written.
    pub(crate) fn sync(&self) -> Result<(), rocksdb::Error> {
        self.db.flush_wal(true)
    }
}

fn families(cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    let descriptor = |(family, name): &(Family, &str)| {
        ColumnFamilyDescriptor::new(*name, family_options(*family, cache))
    };
    FAMILIES.iter().map(descriptor).collect()
}

fn scrub_failed(what: &str) -> StorageError {
    StorageError::Io(std::io::Error::other(format!(
        "what was erased is still on disk: {what}"
    )))
}

fn unusable(shown: &str, reason: String) -> StorageError {
    StorageError::Open {
        dir: shown.to_string(),
        reason,
    }
}

/// Takes the lock of a database, so that one process at a time has it open.
fn lock(dir: &Path, shown: &str) -> Result<File, StorageError> {
    let unusable = |error: std::io::Error| unusable(shown, error.to_string());
    let file = File::options()
        .create(true)
        .append(true)
        .open(dir.join(LOCK_FILE));
    let file = file.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse(shown.to_string())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if matches!(family, Family::Key | Family::Log | Family::Dead) {
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        table.set_whole_key_filtering(true);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

type RawSnapshot<'a> = SnapshotWithThreadMode<'a, DB>;

self_cell::self_cell!(
    struct SnapshotCell {
        owner: Arc<Hot>,
        #[covariant]
        dependent: RawSnapshot,
    }
);

/// The database at one moment.
pub(crate) struct HotSnapshot(SnapshotCell);

impl HotSnapshot {
    /// The database as it is now.
    pub(crate) fn take(hot: &Arc<Hot>) -> HotSnapshot {
        HotSnapshot(SnapshotCell::new(hot.clone(), |hot| hot.db.snapshot()))
    }

    /// The value at that moment.
    pub(crate) fn get(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        self.0
            .borrow_dependent()
            .get_pinned_cf(self.0.borrow_owner().family(family), key)
    }

    /// An iterator over the keys in `from..to`, standing at the first.
    pub(crate) fn iterate(
        &self,
        family: Family,
        from: &[u8],
        to: Vec<u8>,
    ) -> DBRawIteratorWithThreadMode<'_, DB> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let family = self.0.borrow_owner().family(family);
        let mut iterator = self
            .0
            .borrow_dependent()
            .raw_iterator_cf_opt(family, options);
        iterator.seek(from);
        iterator
    }
}
