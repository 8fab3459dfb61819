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
    /// An object store cannot be reached, or did not do what it was asked for.
    #[error("{0}")]
    Store(StoreFailure),
    /// An object store is not one that this database may use.
    #[error("cold storage {store} cannot be used: {reason}")]
    ColdStore {
        /// Which one.
        store: String,
        /// Why.
        reason: String,
    },
    /// The object store lacks a file, or refused its name.
    #[error("object store: {0}")]
    Object(object_store::Error),
    /// A Parquet file cannot be read or written.
    #[error("parquet: {0}")]
    Parquet(parquet::errors::ParquetError),
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
    /// What was erased cannot be taken off the disk, because snapshots from before it still read it.
    #[error("the rows are gone for readers, but {readers} older snapshots keep them on disk")]
    StillRead {
        /// How many.
        readers: usize,
    },
    /// A backup cannot be made, or is not what it should be.
    #[error("{0}")]
    Backup(String),
    /// The snapshot could still show rows that were erased.
    #[error("the snapshot is from before an erasure of rows that it could show")]
    Evicted,
    /// The store is shutting down.
    #[error("the storage engine is shutting down")]
    Closed,
    /// The file system failed.
    #[error("{0}")]
    Io(std::io::Error),
}

impl StorageError {
    /// Whether it is about an object store that may do better later.
    pub(crate) fn is_of_store(&self) -> bool {
        matches!(
            self,
            StorageError::Store(_) | StorageError::ColdStore { .. }
        )
    }

    /// What an error of a library is about, however deep inside: a store that failed, or bytes that are not those that were
    /// written.
    pub fn inside(error: &(dyn std::error::Error + 'static)) -> Option<StorageError> {
        if let Some(failure) = StoreFailure::inside(error) {
            return Some(StorageError::Store(failure.clone()));
        }
        causes(error).find_map(|error| match error.downcast_ref::<StorageError>() {
            Some(StorageError::Corrupt(what)) => Some(StorageError::Corrupt(what.clone())),
            _ => None,
        })
    }

    /// The name of the store that failed, if it is known.
    pub(crate) fn failed_store(&self) -> Option<&str> {
        match self {
            StorageError::Store(failure) => Some(&failure.name),
            _ => None,
        }
    }
}

/// What an object store failed with, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cold storage {store} failed: {reason}")]
pub struct StoreFailure {
    pub(crate) name: String,
    pub(crate) store: String,
    pub(crate) reason: String,
}

impl StoreFailure {
    /// The failure that an error is about, however deep inside.
    pub(crate) fn inside<'a>(
        error: &'a (dyn std::error::Error + 'static),
    ) -> Option<&'a StoreFailure> {
        causes(error).find_map(|error| match error.downcast_ref::<StorageError>() {
            Some(StorageError::Store(failure)) => Some(failure),
            _ => error.downcast_ref::<StoreFailure>(),
        })
    }
}

/// The error and those that it came from.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> StorageError {
        StorageError::inside(&error).unwrap_or(StorageError::Object(error))
    }
}

impl From<parquet::errors::ParquetError> for StorageError {
    fn from(error: parquet::errors::ParquetError) -> StorageError {
        StorageError::inside(&error).unwrap_or(StorageError::Parquet(error))
    }
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> StorageError {
        StorageError::inside(&error).unwrap_or(StorageError::Io(error))
    }
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
