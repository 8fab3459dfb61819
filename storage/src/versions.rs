//! The values of the `key`, `index` and `dead` families: what an entry tells a reader at a Seq.
//!
//! Entries of a commit that is written in pieces (`commit::large`) stand there before it counts, so each tells when it does.

use crate::error::StorageError;
use crate::key::{put_seq, read_seq, seq_bytes, seq_of};
use crate::seq::Seq;

/// The value of a `key` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    /// The version that took the key, or the change that freed it.
    pub(crate) by: Seq,
    /// Whether it freed the key.
    pub(crate) is_freed: bool,
    /// Who has the key before `by`, if anybody has.
    pub(crate) before: Option<Seq>,
}

impl KeyEntry {
    /// The plain one, of a key that nobody had, or of a commit that is in one piece.
    pub(crate) fn of(version: Seq) -> KeyEntry {
        KeyEntry {
            by: version,
            is_freed: false,
            before: None,
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = seq_bytes(self.by).to_vec();
        if self.is_freed || self.before.is_some() {
            out.push(u8::from(self.is_freed));
            put_seq(&mut out, self.before.unwrap_or(Seq::ZERO));
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<KeyEntry, StorageError> {
        let plain = KeyEntry::of(read_seq(bytes)?);
        let Some((freed, before)) = bytes[8..].split_first() else {
            return Ok(plain);
        };
        let before = read_seq(before)?;
        Ok(KeyEntry {
            is_freed: *freed != 0,
            before: (before > Seq::ZERO).then_some(before),
            ..plain
        })
    }

    /// Who has the key for a reader at a Seq.
    pub(crate) fn holder(self, at: Seq) -> Option<Seq> {
        match (self.by <= at, self.is_freed) {
            (true, true) => None,
            (true, false) => Some(self.by),
            (false, _) => self.before,
        }
    }
}

/// Who has a key for a reader at a Seq, by the key's value.
pub(crate) fn holder(value: &[u8], at: Seq) -> Result<Option<Seq>, StorageError> {
    Ok(KeyEntry::decode(value)?.holder(at))
}

/// The version that an `index` entry stands for, if it has it for a reader at a Seq. The entry's value is empty, or the Seq that
/// superseded the version.
pub(crate) fn indexed(key: &[u8], value: &[u8], at: Seq) -> Result<Option<Seq>, StorageError> {
    let version = seq_of(key)?;
    let is_gone = !value.is_empty() && read_seq(value)? <= at;
    Ok((version <= at && !is_gone).then_some(version))
}

/// The value of a `dead` key.
#[derive(Clone, Copy)]
pub(crate) struct DeadEntry {
    /// The Seq that superseded the version.
    pub(crate) by: Seq,
    /// No file holds the version, nor the log behind the watermark.
    pub(crate) unfiled: bool,
}

impl DeadEntry {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = seq_bytes(self.by).to_vec();
        if self.unfiled {
            out.push(1);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<DeadEntry, StorageError> {
        Ok(DeadEntry {
            by: read_seq(bytes)?,
            unfiled: bytes.len() > 8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_count_from_their_seq_on() {
        let seq = |n| Seq::from_i64(n).unwrap();
        let check = |entry: KeyEntry, before: Option<i64>, after: Option<i64>| {
            let entry = entry.encode();
            assert_eq!(holder(&entry, seq(6)).unwrap(), before.map(seq));
            assert_eq!(holder(&entry, seq(7)).unwrap(), after.map(seq));
        };
        let plain = KeyEntry::of(seq(7));
        check(plain, None, Some(7));
        let before = Some(seq(3));
        check(KeyEntry { before, ..plain }, Some(3), Some(7));
        let freed = KeyEntry {
            is_freed: true,
            ..plain
        };
        check(freed, None, None);
        check(KeyEntry { before, ..freed }, Some(3), None);

        let key = [b"value".as_slice(), &seq_bytes(seq(5))].concat();
        assert_eq!(indexed(&key, b"", seq(4)).unwrap(), None);
        assert_eq!(indexed(&key, b"", seq(5)).unwrap(), Some(seq(5)));
        assert_eq!(
            indexed(&key, &seq_bytes(seq(7)), seq(6)).unwrap(),
            Some(seq(5))
        );
        assert_eq!(indexed(&key, &seq_bytes(seq(7)), seq(7)).unwrap(), None);
    }
}
