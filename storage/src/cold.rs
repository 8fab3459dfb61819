//! The cold tier: Parquet files in an object store and the manifest that names them.

pub(crate) mod blocks;
pub mod bounds;
pub(crate) mod cache;
pub(crate) mod claim;
pub(crate) mod outage;
pub(crate) mod point;
pub(crate) mod reader;
pub(crate) mod stores;
pub(crate) mod sweep;
pub(crate) mod url;

pub use blocks::Sealed;
pub use reader::{ColdReader, of_file};
pub use stores::{ColdOptions, DEFAULT_STORE, StoreAt};

use crate::catalog::{ColumnId, TableDef, TableId};
use crate::error::StorageError;
use crate::key::{parse_scope, put_seq, read_seq, scope_key, table_range, version_key};
use crate::record::{put_bytes, put_varint, take_bytes, take_varint};
use crate::seq::Seq;
use crate::transaction::Partition;

/// A manifest entry: one Parquet file of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct ColdFile {
    /// Its path in the default object store, or `name:` and its path in a named one.
    pub path: String,
    /// The partition whose rows it holds.
    pub partition: Partition,
    /// The lowest Seq in it.
    pub first_seq: Seq,
    /// The highest Seq in it.
    pub last_seq: Seq,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The digits of its SHA-256.
    pub sha256: String,
    /// The CRC32C of each of its last blocks, its footer in them; those of the blocks before stand in the footer.
    pub checksums: Vec<u32>,
    /// The schema version it was written with: it holds that layout's columns under their `stored_name`s,
    /// then `_seq` (`Int64`).
    pub schema_version: u32,
    /// The columns that its rows are sorted by, then by Seq; none when Seqs ascend.
    pub order: Vec<ColumnId>,
    /// What the manifest says of its columns' values: `bounds::of_files` reads it. Empty when it says nothing.
    pub bounds: Vec<u8>,
}

/// What is known of one partition: how far it is flushed and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// Every live version up to here is in files (STREAM tables: everything up to here has expired).
    pub watermark: Seq,
    /// The newest record in its log.
    pub last_seq: Seq,
    /// A Seq not above that of the oldest unflushed record; `ZERO` when there is none.
    pub first_unflushed: Seq,
    /// Records after the watermark.
    pub unflushed_rows: u64,
    /// Bytes of their values.
    pub unflushed_bytes: u64,
    /// The log holds nothing up to here any more; never above the watermark.
    pub trimmed: Seq,
    /// Bytes of the values of all records in the log.
    pub log_bytes: u64,
}

impl PartitionState {
    /// Whether records wait behind the watermark.
    pub(crate) fn has_unflushed(&self) -> bool {
        self.last_seq > self.watermark
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56);
        for seq in [self.watermark, self.last_seq, self.first_unflushed] {
            put_seq(&mut out, seq);
        }
        out.extend_from_slice(&self.unflushed_rows.to_be_bytes());
        out.extend_from_slice(&self.unflushed_bytes.to_be_bytes());
        put_seq(&mut out, self.trimmed);
        out.extend_from_slice(&self.log_bytes.to_be_bytes());
        out
    }

    /// The state under a partition's key; the default of one that was never written.
    pub(crate) fn stored(value: Option<impl AsRef<[u8]>>) -> Result<PartitionState, StorageError> {
        value.map_or(Ok(PartitionState::default()), |bytes| {
            PartitionState::decode(bytes.as_ref())
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<PartitionState, StorageError> {
        let mut bytes = bytes;
        Ok(PartitionState {
            watermark: take_seq(&mut bytes)?,
            last_seq: take_seq(&mut bytes)?,
            first_unflushed: take_seq(&mut bytes)?,
            unflushed_rows: take_u64(&mut bytes)?,
            unflushed_bytes: take_u64(&mut bytes)?,
            trimmed: take_seq(&mut bytes)?,
            log_bytes: take_u64(&mut bytes)?,
        })
    }
}

/// Takes a big-endian number off the front.
pub(crate) fn take_u64(bytes: &mut &[u8]) -> Result<u64, StorageError> {
    let (number, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| StorageError::Corrupt("a number".to_string()))?;
    *bytes = rest;
    Ok(u64::from_be_bytes(*number))
}

/// Takes a Seq off the front.
pub(crate) fn take_seq(bytes: &mut &[u8]) -> Result<Seq, StorageError> {
    let seq = read_seq(bytes)?;
    *bytes = &bytes[8..];
    Ok(seq)
}

impl ColdFile {
    /// The name of the store that it is in.
    pub fn storage(&self) -> &str {
        match stores::split(&self.path).0 {
            "" => DEFAULT_STORE,
            name => name,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.path.len() + self.bounds.len() + 100);
        put_seq(&mut out, self.last_seq);
        out.extend_from_slice(&self.rows.to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        out.extend_from_slice(&self.schema_version.to_be_bytes());
        put_varint(&mut out, self.order.len() as u64);
        for column in &self.order {
            out.extend_from_slice(&column.get().to_be_bytes());
        }
        put_bytes(&mut out, self.path.as_bytes());
        put_bytes(&mut out, self.sha256.as_bytes());
        put_varint(&mut out, self.checksums.len() as u64);
        for checksum in &self.checksums {
            out.extend_from_slice(&checksum.to_be_bytes());
        }
        out.extend_from_slice(&self.bounds);
        out
    }

    /// The entry under this manifest key.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<ColdFile, StorageError> {
        let corrupt = || StorageError::Corrupt("a manifest entry".to_string());
        let (_, partition, rest) = parse_scope(key.get(1..).ok_or_else(corrupt)?)?;
        let first_seq = read_seq(rest)?;
        let mut value = value;
        let last_seq = take_seq(&mut value)?;
        let rows = take_u64(&mut value)?;
        let bytes = take_u64(&mut value)?;
        let (version, rest) = value.split_first_chunk::<4>().ok_or_else(corrupt)?;
        value = rest;
        let mut order = Vec::new();
        for _ in 0..take_varint(&mut value)? {
            let (column, rest) = value.split_first_chunk::<2>().ok_or_else(corrupt)?;
            order.push(ColumnId::new(u16::from_be_bytes(*column)));
            value = rest;
        }
        let mut text = || {
            let text = take_bytes(&mut value)?.to_vec();
            String::from_utf8(text).map_err(|_| corrupt())
        };
        let (path, sha256) = (text()?, text()?);
        let mut checksums = Vec::new();
        for _ in 0..take_varint(&mut value)? {
            let (checksum, rest) = value.split_first_chunk::<4>().ok_or_else(corrupt)?;
            checksums.push(u32::from_be_bytes(*checksum));
            value = rest;
        }
        let schema_version = u32::from_be_bytes(*version);
        Ok(ColdFile {
            path,
            partition,
            first_seq,
            last_seq,
            rows,
            bytes,
            sha256,
            checksums,
            schema_version,
            order,
            bounds: value.to_vec(),
        })
    }
}

/// First byte of the `meta` keys of partition states.
pub(crate) const META_STATE: u8 = b'p';
/// First byte of the `meta` keys of manifest entries.
pub(crate) const META_FILE: u8 = b'f';
/// First byte of the `meta` keys of files that wait for their removal; the path follows.
pub(crate) const META_GARBAGE: u8 = b'g';

/// The `meta` key of the database's id.
pub(crate) const META_ID: u8 = b'i';
/// First byte of the `meta` keys that tell up to where a table's log was trimmed, in whatever partition.
pub(crate) const META_TRIMMED: u8 = b't';

/// First byte of the `meta` keys of the times of commits that the clock was behind.
pub(crate) const META_MOMENT: u8 = b'k';

/// First byte of the `meta` keys of users who are being erased; the name follows.
pub(crate) const META_ERASURE: u8 = b'e';

/// The key that stands as long as a user is being erased.
pub(crate) fn erasure_key(user: &Partition) -> Vec<u8> {
    meta_key(META_ERASURE, user.as_str().as_bytes())
}

/// First byte of the `meta` keys that tell how far back a table's history goes.
pub(crate) const META_HISTORY: u8 = b'h';

/// The key of a table's `History`.
pub(crate) fn history_key(table: TableId) -> Vec<u8> {
    meta_key(META_HISTORY, &table.get().to_be_bytes())
}

/// The key of a table's trim mark.
pub(crate) fn trimmed_key(table: TableId) -> Vec<u8> {
    meta_key(META_TRIMMED, &table.get().to_be_bytes())
}

/// A `meta` key: the kind, then a key of the kind.
pub(crate) fn meta_key(kind: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(kind);
    out.extend_from_slice(key);
    out
}

/// The key of a partition's state.
pub(crate) fn state_key(table: TableId, partition: &Partition) -> Vec<u8> {
    meta_key(META_STATE, &scope_key(table, partition))
}

/// The key of a file's manifest entry.
pub(crate) fn file_key(table: TableId, file: &ColdFile) -> Vec<u8> {
    meta_key(
        META_FILE,
        &version_key(table, &file.partition, file.first_seq),
    )
}

/// From where to where (exclusive) the `meta` keys of one kind and table lie.
pub(crate) fn meta_table_range(kind: u8, table: TableId) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = table_range(table);
    (meta_key(kind, &from), meta_key(kind, &to))
}

/// The path of a new file with the versions of the partition from `first` to `last`, in the table's storage.
/// `id` is drawn for it: no two attempts to write the same versions share a path, so what a store finishes late
/// never gets into the way.
pub(crate) fn new_path(
    table: &TableDef,
    partition: &Partition,
    (first, last): (Seq, Seq),
    id: Seq,
) -> String {
    let path = format!(
        "{}/{}-{}/{}/{first}-{last}-{id}.parquet",
        path_part(&table.schema),
        path_part(&table.name),
        table.id.get(),
        folder_of(partition),
    );
    stores::joined(table.options.storage.as_deref().unwrap_or_default(), &path)
}

/// The name of the folders with a partition's files.
fn folder_of(partition: &Partition) -> String {
    match partition.as_str() {
        "" => "shared".to_string(),
        user => path_part(user),
    }
}

/// The table whose file it is by its path, if it lies in a folder of this partition's. Partitions with long names may
/// share a folder.
pub(crate) fn table_of_file(path: &str, partition: &Partition) -> Option<TableId> {
    let mut parts = stores::split(path).1.rsplit('/').skip(1);
    let of = parts.next()? == folder_of(partition);
    let (_, id) = parts.next()?.rsplit_once('-')?;
    id.parse().ok().filter(|_| of).map(TableId::new)
}

/// Waits for a future on a thread that may block, whatever runs there.
pub(crate) fn wait<T>(runtime: &tokio::runtime::Handle, work: impl Future<Output = T>) -> T {
    // Not `Handle::block_on`, which refuses to be called from inside a task; that task's budget, once it is spent, would have
    // this wait for ever.
    let _inside = runtime.enter();
    futures::executor::block_on(tokio::task::unconstrained(work))
}

/// Longest path part made of a name; file systems take 255 bytes, and a suffix may follow.
const PATH_PART_BYTES_MAX: usize = 160;

/// A name as one part of a path that every object store and URL takes as it stands.
///
/// Bytes other than `[A-Za-z0-9_-]` become `!XX`. Not `%XX`: object_store escapes the percent sign again
/// wherever it is handed a path as plain text. A name that gets too long is cut and marked with its hash;
/// two names with one hash may share a folder, as Seqs keep file names apart.
fn path_part(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("!{byte:02X}"));
        }
    }
    if out.len() > PATH_PART_BYTES_MAX {
        // FNV-1a, because it must give the same for ever.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        out.truncate(PATH_PART_BYTES_MAX - 17);
        out.push_str(&format!("!{hash:016x}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_safe_parts() {
        assert_eq!(path_part("alice_2-x"), "alice_2-x");
        assert_eq!(path_part("../é"), "!2E!2E!2F!C3!A9");
        let long = path_part(&"ü".repeat(500));
        assert_eq!(long.len(), PATH_PART_BYTES_MAX);
        assert_ne!(long, path_part(&"ü".repeat(501)));
    }

    #[test]
    fn a_path_tells_whose_file_it_is() {
        let (alice, shared) = (Partition::user("alice"), Partition::user("shared"));
        let table = TableId::new(17);
        let path = "public/a-b-17/alice/1-2-3.parquet";
        assert_eq!(table_of_file(path, &alice), Some(table));
        assert_eq!(table_of_file(&format!("far:{path}"), &alice), Some(table));
        assert_eq!(table_of_file(&format!("{path}#1"), &alice), Some(table));
        assert_eq!(table_of_file(path, &shared), None);
        assert_eq!(table_of_file("tidelog.json", &alice), None);
    }

    #[test]
    fn states_and_files_come_back() {
        let state = PartitionState {
            watermark: Seq::pending(3),
            unflushed_rows: 7,
            trimmed: Seq::pending(2),
            log_bytes: 9,
            ..PartitionState::default()
        };
        assert_eq!(PartitionState::decode(&state.encode()).unwrap(), state);
        assert!(PartitionState::decode(&[1; 55]).is_err());
        let file = ColdFile {
            path: "a/b".to_string(),
            partition: Partition::user("x\0y"),
            first_seq: Seq::pending(1),
            last_seq: Seq::pending(2),
            rows: 3,
            bytes: 4,
            sha256: "00ff".to_string(),
            checksums: vec![7, u32::MAX],
            schema_version: 5,
            order: vec![ColumnId::new(300), ColumnId::new(1)],
            bounds: vec![1, 2, 3],
        };
        let key = file_key(TableId::new(9), &file);
        assert_eq!(ColdFile::decode(&key, &file.encode()).unwrap(), file);
    }
}
