//! What can go wrong in storage, and for commits: what can have happened.

use std::sync::Arc;

use crate::catalog::{IndexId, TableDef};
use crate::datum::Datum;
use crate::seq::Seq;

/// A read, a flush or an opening that failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has the data directory open.
    #[error("data directory \"{0}\" is in use by another server")]
    InUse(String),
    /// The data directory cannot be read or written.
    #[error("could not open data directory \"{dir}\": {reason}")]
    Open {
        /// The directory.
        dir: String,
        /// What the operating system or RocksDB said.
        reason: String,
    },
    /// RocksDB failed.
    #[error("storage engine: {0}")]
    Engine(#[from] rocksdb::Error),
    /// A write of the log failed: what the disk holds is not known, and nothing more is taken.
    #[error("the log could not be written: {0}")]
    LogFailed(String),
    /// The object store failed.
    #[error("object store: {0}")]
    Object(#[from] object_store::Error),
    /// A Parquet file cannot be read or written.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow refused.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A stored record is not what its format says.
    #[error("corrupt record: {0}")]
    Corrupt(String),
    /// The table is gone, or its data was truncated away.
    #[error("table data {0} no longer exists")]
    NoTable(u32),
    /// The log was trimmed beyond where a reader of the feed wants to go on.
    #[error("the changes up to {oldest} are no longer kept")]
    Trimmed {
        /// A reader may go on after this Seq, or any later one.
        oldest: Seq,
    },
    /// The store is shutting down.
    #[error("the storage engine is shutting down")]
    Closed,
    /// The file system failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A commit that did not answer "done".
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Certainly not committed: a key that the transaction inserts exists.
    #[error("duplicate key value violates a unique constraint of \"{}\"", table.name)]
    UniqueViolation {
        /// The table.
        table: Arc<TableDef>,
        /// Which of its unique keys.
        index: IndexId,
        /// The key's values, in key order.
        key: Vec<Datum>,
    },
    /// Certainly not committed: a row version that the transaction supersedes was superseded by another.
    #[error("could not serialize access due to concurrent update")]
    Conflict,
    /// Certainly not committed: something that the transaction depends on having read was changed since.
    #[error("could not serialize access due to read/write dependencies among transactions")]
    ReadChanged,
    /// Certainly not committed: the catalog is not the one the transaction was planned with.
    #[error("the catalog was changed concurrently")]
    CatalogChanged,
    /// Certainly not committed: refused before anything was written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// May have been committed: writing or syncing the log failed midway.
    #[error("the commit may or may not have taken effect: {0}")]
    Unknown(String),
}
