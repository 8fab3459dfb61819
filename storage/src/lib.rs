//! The log engine: every table is an append-only log of row versions in commit order.
//!
//! Owns: Seqs, the row format, the RocksDB families, the one committer, snapshot reads of the hot
//! tier, the cold tier's files and manifest, the change feed read from the log, and the catalog as data.
//! Guarantees: see docs/architecture.md ("Invariants") and docs/storage-format.md (every byte).
//! Does not: parse SQL, plan queries, know sessions or sockets.

pub mod backup;
pub mod catalog;
pub mod changes;
pub mod check;
pub mod cold;
pub mod commit;
pub mod compact;
pub mod computed;
pub mod datum;
mod digest;
pub mod erase;
pub mod error;
pub mod expire;
pub mod failpoint;
pub mod flush;
mod hot;
pub mod jobs;
pub mod key;
mod moments;
pub mod notify;
mod pace;
pub mod record;
mod scratch;
pub mod seq;
pub mod sequence;
pub mod snapshot;
pub mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod trim;
mod versions;
mod watch;
pub mod widen;

pub use catalog::{
    BOOTSTRAP_ROLE, Catalog, CatalogChange, ColumnDef, ColumnId, Contents, Database, DatabaseDef,
    DatabaseId, RoleDef, RoleId, RoleRef, TableDef, TableId, TableKind, ViewDef,
};
pub use changes::{Change, ChangeBatch, ChangeOp, CommitWatch, FeedScope};
pub use datum::{
    ColumnType, Datum, DatumRef, Dimension, ElementType, Elements, EnumDef, EnumLabel, EnumType,
    Interval, IntervalField, IntervalModifier, PrintedType, RegType, Row, TimeTz,
};
pub use error::{CommitError, StorageError};
pub use failpoint::Failpoints;
pub use notify::{Notification, NotificationBatch};
pub use seq::Seq;
pub use sequence::{SequenceDef, SequenceError, SequenceState};
pub use snapshot::{HotScan, PartitionSet, Snapshot};
pub use store::{Store, StoreOptions};
pub use transaction::{Partition, ReadSet, RowVersion, Transaction};
