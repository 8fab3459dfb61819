//! The end of RocksDB's newest write-ahead log, and what a power cut may do to it.
//!
//! The format is RocksDB's: blocks of 32 KiB, in them fragments of records, each with a header of 7 bytes (checksum,
//! length, type).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tidelog_compat_tests::Random;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// The newest log. Those before it were synced when it was begun: no power cut changes them.
pub(super) struct Tail {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the last whole record begins and ends.
    last: (usize, usize),
}

impl Tail {
    /// Reads it; `None` when it holds no record.
    pub(super) fn of(hot: &Path) -> Option<Tail> {
        let entries = std::fs::read_dir(hot)
            .expect("the folder can be read")
            .flatten();
        let logs = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        // Their names are numbers of one width.
        let path = logs.max()?;
        let bytes = std::fs::read(&path).expect("a log can be read");
        let last = last_record(&bytes)?;
        Some(Tail { path, bytes, last })
    }

    /// Destroys the last record: cuts it short, or changes some of its bytes.
    pub(super) fn tear(&self, random: &mut Random) {
        let (from, to) = self.last;
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .expect("a log");
        let length = (to - from) as u64;
        let at = from as u64 + random.below(length);
        if random.once_in(2) {
            file.set_len(at).expect("it can be cut");
        } else {
            let end = (at + 1 + random.below(64)).min(to as u64);
            let changed: Vec<u8> = self.bytes[at as usize..end as usize]
                .iter()
                .map(|byte| byte ^ (1 + random.below(255) as u8))
                .collect();
            file.write_all_at(&changed, at).expect("it can be written");
        }
    }

    /// Puts behind the log what was never a whole record.
    pub(super) fn append_garbage(&self, random: &mut Random) {
        let (from, to) = self.last;
        let garbage: Vec<u8> = match random.below(3) {
            0 => vec![0; 1 + random.below(5000) as usize],
            1 => (0..1 + random.below(300))
                .map(|_| random.below(256) as u8)
                .collect(),
            _ => self.bytes[from..from + random.below((to - from) as u64) as usize].to_vec(),
        };
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .expect("a log");
        file.write_all_at(&garbage, self.bytes.len() as u64)
            .expect("it can be written");
    }
}

fn last_record(bytes: &[u8]) -> Option<(usize, usize)> {
    const FULL: u8 = 1;
    const FIRST: u8 = 2;
    const MIDDLE: u8 = 3;
    const LAST: u8 = 4;
    let (mut at, mut begun, mut last) = (0, None, None);
    while at + HEADER <= bytes.len() {
        let left = BLOCK - at % BLOCK;
        if left < HEADER {
            at += left;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        let end = at + HEADER + length;
        if end > bytes.len() {
            break;
        }
        match bytes[at + 6] {
            FULL => last = Some((at, end)),
            FIRST => begun = Some(at),
            MIDDLE => {}
            LAST => last = begun.take().map(|from| (from, end)),
            // Not written yet, or a kind that this server does not use.
            _ => break,
        }
        at = end;
    }
    last
}
