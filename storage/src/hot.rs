//! The RocksDB database under `DIR/hot`: its families and settings, and a snapshot that owns it.
//!
//! Owns: opening, options, family handles. Guarantees: an open database has every family.
//! Does not: know what keys and values mean.
#![allow(unsafe_code)] // self_cell's macro: a RocksDB snapshot that lives as long as the database it borrows.

mod torn;

use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBPinnableSlice, DBRawIteratorWithThreadMode, Options, ReadOptions, SnapshotWithThreadMode,
    WriteBatch, WriteOptions,
};

use crate::error::StorageError;

const BLOCK_CACHE_BYTES: usize = 128 << 20;
const WRITE_BUFFER_BYTES: usize = 64 << 20;
const WRITE_BUFFERS_BYTES_MAX: usize = 256 << 20;
const WAL_BYTES_MAX: u64 = 256 << 20;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
const OPEN_FILES_MAX: i32 = 512;

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

/// The open database.
pub(crate) struct Hot {
    db: DB,
}

impl Hot {
    /// Opens or makes the database in `dir`, which a message calls `shown`.
    pub(crate) fn open(dir: &Path, shown: &str) -> Result<Hot, StorageError> {
        torn::cut(dir)?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES_MAX);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        let families = FAMILIES.iter().map(|(family, name)| {
            ColumnFamilyDescriptor::new(*name, family_options(*family, &cache))
        });
        let db = DB::open_cf_descriptors(&options, dir, families).map_err(|error| {
            let reason = error.to_string();
            let locked = reason.contains("lock hold by current process")
                || reason.contains("While lock file");
            if locked && !reason.contains("Permission denied") {
                StorageError::InUse(shown.to_string())
            } else {
                StorageError::Open {
                    dir: shown.to_string(),
                    reason,
                }
            }
        })?;
        Ok(Hot { db })
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
        self.db.write_opt(batch, &options)
    }

    /// Writes; a power cut may take it away until it is synced.
    pub(crate) fn write_unsynced(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        self.db.write(batch)
    }

    /// Syncs what was written.
    pub(crate) fn sync(&self) -> Result<(), rocksdb::Error> {
        self.db.flush_wal(true)
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
