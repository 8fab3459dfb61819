//! RocksDB's write-ahead log where it is not what was written: its end after a power cut, where anything may stand, and damage.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// The log's blocks and headers: <https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format>.
const BLOCK_BYTES: usize = 32 << 10;
/// Checksum (4 bytes), length (2), type (1).
const HEADER_BYTES: usize = 7;
/// Types of records in a log file that is written a second time. `Hot` never has that done.
const RECYCLABLE: [u8; 6] = [5, 6, 7, 8, 11, 131];
/// Types of records that begin a batch: all of it, and its first part.
const BEGINNINGS: [u8; 2] = [1, 2];

/// How a log file ends, as far as RocksDB reads it.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With its last record.
    Whole,
    /// Before a record of a recycled file, at this byte.
    Foreign(u64),
    /// Before a record that is not what was written, at this byte; and how many sound batches stand behind it.
    Damaged(u64, usize),
}

/// Cuts what a torn write has left off the newest log file in `dir`, where RocksDB could not read past it.
///
/// RocksDB finds the end of a torn log by checksums, but takes the record type before: a type of recycled files in
/// a log that is not one makes it look at the same bytes for ever (`ReadPhysicalRecord` in db/log_reader.cc, seen in
/// 11.8.1). No such record was ever written, so nothing that was acknowledged stands at or behind it.
///
/// What stands behind a damaged record RocksDB leaves out and removes, which is told. After a power cut no commit that
/// waits for the disk was acknowledged by it, as the parts of one write may have reached the disk in any order; but a disk may
/// lose what it had. The database's lock must be held.
pub(super) fn cut(dir: &Path) -> Result<(), StorageError> {
    let logs = logs(dir)?;
    let newest = logs.len().saturating_sub(1);
    for (at, (_, path)) in logs.iter().enumerate() {
        let end = match end_of(File::open(path)?)? {
            End::Whole => continue,
            End::Damaged(_, 0) if at == newest => continue,
            End::Damaged(end, batches) => {
                tracing::warn!(
                    log = %path.display(), byte = end, batches, later_logs = newest - at,
                    "the write-ahead log is damaged: the batches of commits behind that are left out"
                );
                continue;
            }
            End::Foreign(end) => end,
        };
        if at < newest {
            let damage = format!("{} has no record at byte {end}", path.display());
            return Err(StorageError::Corrupt(damage));
        }
        let file = File::options().write(true).open(path)?;
        let torn = file.metadata()?.len() - end;
        file.set_len(end)?;
        file.sync_all()?;
        tracing::warn!(log = %path.display(), bytes = torn, "cut off what a torn write has left");
    }
    Ok(())
}

/// The log files in `dir`, the newest last, with their numbers.
pub(super) fn logs(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut logs: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|it| it == "log")) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs)
}

/// Where the first record of a recycled file begins, or the first that is damaged.
fn end_of(log: File) -> io::Result<End> {
    let mut log = BufReader::with_capacity(BLOCK_BYTES, log);
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let (mut before, mut damaged, mut behind) = (0, None, 0);
    loop {
        block.clear();
        log.by_ref()
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut block)?;
        let mut at = 0;
        while let Some(header) = block.get(at..at + HEADER_BYTES) {
            let (length, kind) = (u16::from_le_bytes([header[4], header[5]]), header[6]);
            // Zeros to the block's end are room that was set aside.
            if kind == 0 && length == 0 {
                break;
            }
            let end = at + HEADER_BYTES + usize::from(length);
            let sound = (block.get(at + 6..end))
                .is_some_and(|sealed| masked(crc32c::crc32c(sealed)).to_le_bytes() == header[..4]);
            match damaged {
                Some(_) => behind += usize::from(sound && BEGINNINGS.contains(&kind)),
                None if RECYCLABLE.contains(&kind) => return Ok(End::Foreign(before + at as u64)),
                None if !sound => damaged = Some(before + at as u64),
                None => {}
            }
            at = end;
        }
        if block.len() < BLOCK_BYTES {
            return Ok(damaged.map_or(End::Whole, |at| End::Damaged(at, behind)));
        }
        before += BLOCK_BYTES as u64;
    }
}

/// A checksum as the log has it (`crc32c::Mask` in util/crc32c.h).
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::{Family, Hot, WriteBatch};
    use super::*;

    fn newest_log(dir: &Path) -> PathBuf {
        logs(dir).unwrap().pop().unwrap().1
    }

    /// Where its records end; what follows is room.
    fn end_of_records(log: &Path) -> u64 {
        let bytes = std::fs::read(log).unwrap();
        let room = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        (bytes.len() - room) as u64
    }

    /// A directory as a process that was killed leaves it, with `records` of 1,000 bytes in its log.
    fn killed(records: u8) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let open = tempfile::tempdir().unwrap();
        let hot = Hot::open(open.path(), "open").unwrap();
        for key in 0..records {
            let mut batch = WriteBatch::default();
            batch.put_cf(hot.family(Family::Meta), [key], [key; 1000]);
            hot.write(batch).unwrap();
        }
        for entry in std::fs::read_dir(open.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        dir
    }

    #[test]
    fn a_torn_log_of_any_record_type_opens_with_what_was_written() {
        // One log of one block, and one of several, with room behind what is torn and without.
        for (records, has_room) in [(3, true), (3, false), (200, true), (200, false)] {
            for kind in [0, 1, 5, 8, 9, 11, 131, 255] {
                let dir = killed(records);
                let mut garbage = *b"crc!\x0a\0 and what follows the header";
                garbage[6] = kind;
                let log = newest_log(dir.path());
                let end = end_of_records(&log);
                let file = File::options().write(true).open(&log).unwrap();
                assert!(file.metadata().unwrap().len() > end + (1 << 20), "room");
                if !has_room {
                    file.set_len(end).unwrap();
                }
                file.write_all_at(&garbage, end).unwrap();
                let (sender, opened) = mpsc::channel();
                let path = dir.path().to_path_buf();
                std::thread::spawn(move || sender.send(Hot::open(&path, "killed")));
                let hot = opened
                    .recv_timeout(Duration::from_secs(30))
                    .unwrap_or_else(|_| panic!("type {kind} after {end} bytes: opening hangs"))
                    .unwrap();
                for key in 0..records {
                    let value = hot.get(Family::Meta, &[key]).unwrap();
                    assert_eq!(value.as_deref(), Some(&[key; 1000][..]), "{kind}");
                }
            }
        }
    }

    #[test]
    fn damage_is_told_from_a_torn_end() {
        let dir = killed(200);
        let log = newest_log(dir.path());
        let end = || end_of(File::open(&log).unwrap()).unwrap();
        assert_eq!(end(), End::Whole);
        let sound = std::fs::read(&log).unwrap();
        let last = end_of_records(&log) as usize - 1;
        // The last record; one of the fourth block; and the length of the log's first record, which hides what follows in
        // its block.
        for (at, batches) in [
            (last, 0..1),
            (3 * BLOCK_BYTES + 5000, 50..150),
            (5, 100..199),
        ] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            std::fs::write(&log, damaged).unwrap();
            let End::Damaged(found, behind) = end() else {
                panic!("byte {at} is damaged");
            };
            assert!(
                found <= at as u64 && at as u64 - found < 1100,
                "{at}: {found}"
            );
            assert!(batches.contains(&behind), "{at}: {behind}");
            // It opens all the same, with what stands before the damage.
            let copied = tempfile::tempdir().unwrap();
            for entry in std::fs::read_dir(dir.path()).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, copied.path().join(path.file_name().unwrap())).unwrap();
            }
            let hot = Hot::open(copied.path(), "damaged").unwrap();
            let held = |key: u8| hot.get(Family::Meta, &[key]).unwrap().is_some();
            assert!(
                (0..found / 1100).all(|key| held(key as u8)) && !held(199),
                "{at}"
            );
        }
    }

    #[test]
    fn a_log_that_others_follow_is_not_cut() {
        let dir = killed(2);
        let log = newest_log(dir.path());
        let next = dir.path().join("999999.log");
        std::fs::copy(&log, next).unwrap();
        let mut bytes = std::fs::read(&log).unwrap();
        let torn = b"crc!\x0a\0\x05 and what follows the header";
        let end = end_of_records(&log) as usize;
        bytes[end..end + torn.len()].copy_from_slice(torn);
        std::fs::write(&log, &bytes).unwrap();
        assert!(matches!(cut(dir.path()), Err(StorageError::Corrupt(_))));
        assert_eq!(std::fs::read(&log).unwrap(), bytes);
    }
}
