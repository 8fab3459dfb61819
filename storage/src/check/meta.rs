//! `meta`, and that every key of every family has an owner.

use std::collections::BTreeSet;

use super::{Checker, Invariant, place};
use crate::catalog::{TableId, TableKind};
use crate::cold::stores::split;
use crate::cold::{
    self, ColdFile, META_ERASURE, META_FILE, META_GARBAGE, META_HISTORY, META_ID, META_MOMENT,
    META_STATE, META_TRIMMED, PartitionState,
};
use crate::commit::ddl::META_CATALOG;
use crate::error::StorageError;
use crate::hot::Family;
use crate::key::{parse_scope, read_seq, scope_end, scope_key, table_range};
use crate::moments::Note;
use crate::notify;
use crate::seq::Seq;
use crate::sequence::{self, META_SEQUENCE};
use crate::snapshot::{History, rows_family};
use crate::transaction::Partition;

/// Whether a file's Seqs are a range that can stand in a partition of this state behind the file before it.
pub(crate) fn follows(before: Option<&ColdFile>, file: &ColdFile, state: &PartitionState) -> bool {
    before.is_none_or(|before| before.last_seq < file.first_seq)
        && file.first_seq <= file.last_seq
        && file.last_seq <= state.watermark
}

/// Whether the Seqs of a partition's state can be those of any partition: the log was trimmed no further than it
/// was flushed, and flushed no further than it was written.
pub(crate) fn is_ordered(state: &PartitionState) -> bool {
    state.trimmed <= state.watermark && state.watermark <= state.last_seq
}

impl Checker<'_> {
    /// Every key of `meta` is of a known kind, decodes, and is about a table that exists.
    pub(super) fn meta(&mut self) -> Result<(), StorageError> {
        let mut before: Option<(TableId, ColdFile)> = None;
        // The Seq of the newest note so far.
        let mut noted: Option<Seq> = None;
        let mut entries = self.hot.iterate(Family::Meta, &[], vec![0xFF; 2]);
        while let Some((key, value)) = entries.item() {
            match key.first() {
                Some(&META_CATALOG) => {}
                Some(&META_STATE) => self.state_entry(key, value)?,
                Some(&META_FILE) => {
                    if let Some(file) = self.file_entry(key, value, before.as_ref())? {
                        before = Some(file);
                    }
                }
                Some(&META_GARBAGE | &META_ERASURE) => {
                    if std::str::from_utf8(&key[1..]).is_err() {
                        let what = format!("a name that is none: {key:02x?}");
                        self.report.find(Invariant::RecordsDecode, "meta", what);
                    }
                }
                Some(&META_MOMENT) => {
                    let note = Note::decode(key, value).ok();
                    if note.is_none_or(|note| noted.is_some_and(|seq| note.seq < seq)) {
                        let what = format!("the time of a commit: {key:02x?} {value:02x?}");
                        self.report.find(Invariant::RecordsDecode, "meta", what);
                    }
                    noted = note.map(|note| note.seq).max(noted);
                }
                Some(&META_TRIMMED) => self.mark(key, "trim mark", read_seq(value).is_ok()),
                Some(&META_HISTORY) => {
                    self.mark(key, "history", History::decode(value).is_ok());
                }
                // One that a transaction made, drew from and did not commit has an owner no more, until another
                // takes its id and forgets where it stood.
                Some(&META_SEQUENCE) => {
                    if key.len() != 5 || sequence::decode(value).is_err() {
                        let what = format!("where a sequence stands: {key:02x?} {value:02x?}");
                        self.report.find(Invariant::RecordsDecode, "meta", what);
                    }
                }
                Some(&META_ID) => {
                    if key.len() > 1 || std::str::from_utf8(value).is_err() {
                        let what = format!("the database's id: {key:02x?} {value:02x?}");
                        self.report.find(Invariant::RecordsDecode, "meta", what);
                    }
                }
                _ => {
                    let what = format!("a key of no known kind: {key:02x?}");
                    self.report.find(Invariant::RecordsDecode, "meta", what);
                }
            }
            entries.next();
        }
        entries.status()?;
        drop(entries);
        self.histories()
    }

    /// What is known of a table as a whole decodes, and is about one that exists.
    fn mark(&mut self, key: &[u8], kind: &str, decodes: bool) {
        let table = match key[1..].first_chunk::<4>() {
            Some(id) if key.len() == 5 && decodes => TableId::new(u32::from_be_bytes(*id)),
            _ => {
                let what = format!("{kind} {key:02x?}");
                return self.report.find(Invariant::RecordsDecode, "meta", what);
            }
        };
        let told = table == TableId::NOTIFICATIONS && key[0] == META_TRIMMED;
        if !told && !self.tables.contains_key(&table) {
            let what = format!("a {kind} of table {}", table.get());
            self.report.find(Invariant::NothingUnowned, "meta", what);
        }
    }

    /// Every table says how far back its past goes: not to before it was made, and not into the future.
    fn histories(&mut self) -> Result<(), StorageError> {
        let newest = self.newest()?;
        for table in self.tables.values() {
            let stored = self.hot.get(Family::Meta, &cold::history_key(table.id))?;
            let what = match stored.map(|bytes| History::decode(&bytes)) {
                None => "nothing tells how far back its past goes".to_string(),
                Some(Ok(history))
                    if history.created > history.complete_from
                        || history.complete_from > newest =>
                {
                    format!("its past is out of order: {history:?}, the newest Seq is {newest}")
                }
                // What does not decode was found already.
                Some(_) => continue,
            };
            let place = place(table, &Partition::shared());
            self.report.find(Invariant::HistoryComplete, place, what);
        }
        Ok(())
    }

    /// The stores that the manifest and the tables name are at hand, and marked as this database's.
    pub(super) fn stores(&mut self) -> Result<(), StorageError> {
        let files = super::files(self.hot)?;
        let used: BTreeSet<&str> = files.iter().map(|file| split(&file.path).0).collect();
        let id = self.hot.get(Family::Meta, &[META_ID])?;
        let id = id.map(|id| String::from_utf8_lossy(&id).into_owned());
        for name in used {
            let store = self.stores.get(name)?;
            let owned = match &id {
                Some(id) => self.runtime.block_on(store.is_owned_by(id)),
                None => Ok(false),
            };
            let what = match owned {
                Ok(true) => continue,
                Ok(false) => "it holds files, and is not marked as this database's".to_string(),
                Err(StorageError::ColdStore { reason, .. }) => reason,
                Err(error) => return Err(error),
            };
            self.report
                .find(Invariant::StoresOwned, store.called(), what);
        }
        Ok(())
    }

    fn state_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let (Ok((id, partition, [])), Ok(state)) =
            (parse_scope(&key[1..]), PartitionState::decode(value))
        else {
            let what = format!("partition state {key:02x?}");
            self.report.find(Invariant::RecordsDecode, "meta", what);
            return Ok(());
        };
        let Some(table) = self.tables.get(&id) else {
            let what = format!("a partition state of table {}", id.get());
            self.report.find(Invariant::NothingUnowned, "meta", what);
            return Ok(());
        };
        let place = place(table, &partition);
        if table.kind != TableKind::User && partition != Partition::shared() {
            let what = "a table that is no USER table has a user's partition";
            self.report
                .find(Invariant::NothingUnowned, place.clone(), what);
        }
        if !is_ordered(&state) {
            let what = format!("its Seqs are out of order: {state:?}");
            self.report
                .find(Invariant::StatesAgree, place.clone(), what);
        }
        let mark = self.hot.get(Family::Meta, &cold::trimmed_key(id))?;
        let mark = mark.map(|bytes| read_seq(&bytes)).transpose()?;
        if mark.unwrap_or_default() < state.trimmed {
            let what = format!(
                "its log was trimmed to {}, its table's mark says {}",
                state.trimmed,
                mark.unwrap_or_default()
            );
            self.report.find(Invariant::StatesAgree, place, what);
        }
        Ok(())
    }

    /// The file, if its entry tells of one of an existing table.
    fn file_entry(
        &mut self,
        key: &[u8],
        value: &[u8],
        before: Option<&(TableId, ColdFile)>,
    ) -> Result<Option<(TableId, ColdFile)>, StorageError> {
        let (Ok((id, partition, _)), Ok(file)) =
            (parse_scope(&key[1..]), ColdFile::decode(key, value))
        else {
            let what = format!("manifest entry {key:02x?}");
            self.report.find(Invariant::RecordsDecode, "meta", what);
            return Ok(None);
        };
        self.report.files += 1;
        let Some(table) = self.tables.get(&id) else {
            let what = format!("{} is of table {}, which is not there", file.path, id.get());
            self.report.find(Invariant::NothingUnowned, "meta", what);
            return Ok(None);
        };
        let place = place(table, &partition);
        if table.kind == TableKind::Stream {
            let what = format!("a STREAM table has the file {}", file.path);
            self.report
                .find(Invariant::NothingUnowned, place.clone(), what);
        }
        let state = self
            .hot
            .get(Family::Meta, &cold::state_key(id, &partition))?;
        let Some(Ok(state)) = state.map(|bytes| PartitionState::decode(&bytes)) else {
            let what = format!("{} is of a partition without state", file.path);
            self.report.find(Invariant::NothingUnowned, place, what);
            return Ok(None);
        };
        let before = before.filter(|(of, before)| *of == id && before.partition == partition);
        if !follows(before.map(|before| &before.1), &file, &state) {
            let what = format!(
                "{} holds {} to {}, which is not between the file before it and the watermark {}",
                file.path, file.first_seq, file.last_seq, state.watermark
            );
            self.report.find(Invariant::FilesApart, place.clone(), what);
        }
        let garbage = cold::meta_key(META_GARBAGE, file.path.as_bytes());
        if self.hot.get(Family::Meta, &garbage)?.is_some() {
            let what = format!("{} is also noted as garbage", file.path);
            self.report.find(Invariant::FilesExist, place, what);
        }
        Ok(Some((id, file)))
    }

    /// Every notification decodes, and is no newer than the commit order.
    pub(super) fn notifications(&mut self) -> Result<(), StorageError> {
        let newest = self.newest()?;
        let (from, to) = table_range(TableId::NOTIFICATIONS);
        let mut records = self.hot.iterate(Family::Stream, &from, to);
        while let Some((key, value)) = records.item() {
            match notify::decode(key, value) {
                Ok(seq) if seq <= newest => {}
                Ok(seq) => {
                    let what =
                        format!("a notification at {seq}, and the commit order ends at {newest}");
                    self.report.find(Invariant::CommitsInOrder, "stream", what);
                }
                Err(_) => {
                    let what = format!("a notification {key:02x?}");
                    self.report.find(Invariant::RecordsDecode, "stream", what);
                }
            }
            records.next();
        }
        Ok(records.status()?)
    }

    /// Every key belongs to a partition that was written to, of a table that exists and has rows in this family.
    pub(super) fn owners(&mut self) -> Result<(), StorageError> {
        for family in [
            Family::Log,
            Family::Stream,
            Family::Key,
            Family::Index,
            Family::Dead,
        ] {
            let mut keys = self.hot.iterate(family, &[], vec![0xFF; 9]);
            while let Some(key) = keys.key() {
                if family == Family::Stream && notify::is_key(key) {
                    // The last of the family.
                    break;
                }
                let family_name = format!("{family:?}").to_lowercase();
                let Ok((id, partition, _)) = parse_scope(key) else {
                    let what = format!("key {key:02x?}");
                    self.report
                        .find(Invariant::RecordsDecode, family_name, what);
                    keys.next();
                    continue;
                };
                let table = self.tables.get(&id);
                let of_rows = matches!(family, Family::Log | Family::Stream);
                let system = id == TableId::SYSTEM && family == Family::Log;
                let stray = match table {
                    _ if system => partition != Partition::shared(),
                    None => true,
                    Some(table) if of_rows && rows_family(table) != family => true,
                    Some(_) => {
                        let state = cold::state_key(id, &partition);
                        self.hot.get(Family::Meta, &state)?.is_none()
                    }
                };
                if stray {
                    let user = partition.as_str();
                    let what = format!("keys of table {} and partition {user:?}", id.get());
                    self.report
                        .find(Invariant::NothingUnowned, family_name, what);
                }
                let next = match table {
                    None if !system => table_range(id).1,
                    _ => scope_end(scope_key(id, &partition)),
                };
                keys.seek(next);
            }
            keys.status()?;
        }
        Ok(())
    }
}
