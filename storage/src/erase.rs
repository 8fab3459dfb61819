//! Erasing a user: every row of one partition in all USER tables, for readers at once and then from the disk.
//!
//! Guarantees: a commit either comes before the erasure, and is erased with the rest, or begins after it; no snapshot
//! that a reader takes afterwards shows anything of it; when it returns, neither tier holds a byte of the rows, nor
//! do the write-ahead log and RocksDB's own files. An erasure that a crash cut short is ended at the next opening, for
//! files in remote stores as soon as these answer; one that failed is done by calling for it again.
//! Snapshots from before are given a moment, then their readers are told to let go (`Store::evictions`). Does not:
//! touch SHARED tables, roles, or backups.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use crate::catalog::{TableDef, TableId, TableKind};
use crate::cold::{self, META_ERASURE, META_FILE, META_GARBAGE, META_STATE, PartitionState};
use crate::commit::Request;
use crate::commit::ddl;
use crate::error::StorageError;
use crate::failpoint::Step;
use crate::flush::{Flusher, blocking};
use crate::hot::{Family, Hot, HotSnapshot};
use crate::jobs::JobKind;
use crate::key::{scope_end, scope_key};
use crate::seq::Seq;
use crate::snapshot::{HotScan, PartitionSet, Snapshot, View};
use crate::store::{Store, upkeep};
use crate::transaction::Partition;

/// How long readers may go on with snapshots from before, until they are told to let go.
const GRACE: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 5000 });
/// How long they have for it.
const EVICTION_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
const BATCH_ROWS: usize = 8192;

/// What an erasure removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EraseReport {
    /// Tables in which the user had rows at some time.
    pub tables: u64,
    /// Live rows.
    pub rows: u64,
    /// Cold files.
    pub files: u64,
    /// Bytes of the files and of the records in the log.
    pub bytes: u64,
}

/// What the committer did of an erasure.
pub(crate) enum Erased {
    /// There are USER tables now that may be flushed meanwhile: they have to be held, too.
    Unheld,
    /// Readers see nothing of it any more.
    Hidden {
        /// The Seq at which it happened.
        at: Seq,
        /// The database right before.
        before: Arc<View>,
        /// The database right after.
        after: Arc<View>,
        /// The user's partitions, with their files.
        tables: Vec<Arc<TableDef>>,
        /// The paths of the files.
        paths: Vec<String>,
    },
}

impl Store {
    /// Erases a user's partition of every USER table. It goes on when the caller stops waiting.
    pub async fn erase_user(&self, user: &str) -> Result<EraseReport, StorageError> {
        self.check_open()?;
        let (flusher, partition) = (self.flusher.clone(), Partition::user(user));
        let work = async move {
            let erase = flusher.erase(partition);
            let did = |report: &EraseReport| Some((report.rows, report.bytes));
            flusher.job(JobKind::Erase, None, erase, did).await
        };
        tokio::spawn(work)
            .await
            .map_err(|error| StorageError::Io(std::io::Error::other(error)))?
    }

    /// The USER tables in which a user has rows, live ones or such as are kept of the past.
    pub fn tables_of_user(&self, user: &str) -> Result<Vec<Arc<TableDef>>, StorageError> {
        self.shared().view().tables_of(&Partition::user(user))
    }

    /// Up to which Seq readers must let go of their snapshots: rows that these could still show are being erased.
    pub fn evictions(&self) -> tokio::sync::watch::Receiver<Seq> {
        self.shared().garbage.evicted()
    }
}

impl View {
    /// The USER tables in which a user has rows, live ones or such as are kept of the past, in either tier; in the order
    /// of their ids.
    pub(crate) fn tables_of(
        &self,
        partition: &Partition,
    ) -> Result<Vec<Arc<TableDef>>, StorageError> {
        let users = (self.tables.values()).filter(|table| table.kind == TableKind::User);
        let mut found = Vec::new();
        for table in users {
            let stored = self
                .hot
                .get(Family::Meta, &cold::state_key(table.id, partition))?;
            let state = PartitionState::stored(stored)?;
            let from = cold::meta_key(META_FILE, &scope_key(table.id, partition));
            let files = self
                .hot
                .iterate(Family::Meta, &from, scope_end(from.clone()));
            if state.trimmed < state.last_seq || files.item().is_some() {
                found.push(table.clone());
            }
            files.status()?;
        }
        found.sort_by_key(|table| table.id);
        Ok(found)
    }
}

impl Flusher {
    async fn erase(&self, partition: Partition) -> Result<EraseReport, StorageError> {
        let _one_at_a_time = self.cold.copying.clone().lock_owned().await;
        let mut held = HashSet::new();
        let mut locks = Vec::new();
        let (at, before, after, tables, paths) = loop {
            // What is being written of the user's rows is in the manifest, or removed, once these are held.
            let view = self.shared.view();
            let users = view
                .tables
                .values()
                .filter(|table| table.kind == TableKind::User);
            let mut ids: BTreeSet<TableId> = users.map(|table| table.id).collect();
            // A flush or compaction may still run on a table that was dropped.
            for of in [&self.cold.running, &self.cold.compacting] {
                let known = of.lock();
                ids.extend(known.keys().filter(|id| !view.tables.contains_key(id)));
            }
            drop(view);
            for id in ids.into_iter().filter(|id| held.insert(*id)) {
                for of in [&self.cold.running, &self.cold.compacting] {
                    let lock = of.lock().entry(id).or_default().clone();
                    locks.push(lock.lock_owned().await);
                }
            }
            let (reply, answer) = oneshot::channel();
            let request = Request::Erase {
                partition: partition.clone(),
                held: held.clone(),
                reply,
            };
            self.queue.send(request).await?;
            match answer.await.map_err(|_| StorageError::Closed)?? {
                Erased::Unheld => {}
                Erased::Hidden {
                    at,
                    before,
                    after,
                    tables,
                    paths,
                } => break (at, before, after, tables, paths),
            }
        };
        let report = {
            let before = Snapshot::new(before, self.shared.generator.now_ms());
            let of = partition.clone();
            blocking(move || count(&before, &tables, &of)).await?
        };
        self.wait_for_readers(at).await?;
        upkeep::remove_erased(self, &partition, at, after).await?;
        self.cold.failpoints.reach(Step::EraseFiles)?;
        let (shared, of) = (self.shared.clone(), partition.clone());
        blocking(move || scrub(&shared.hot, &of)).await?;
        self.cold.failpoints.reach(Step::EraseScrubbed)?;
        let (reply, answer) = oneshot::channel();
        let request = Request::EraseEnded {
            partition,
            paths,
            reply,
        };
        self.queue.send(request).await?;
        answer.await.map_err(|_| StorageError::Closed)??;
        let hot = self.shared.hot.clone();
        blocking(move || Ok(hot.flush(&[Family::Meta])?)).await?;
        drop(locks);
        Ok(report)
    }

    /// Waits until nobody reads from before `at`.
    async fn wait_for_readers(&self, at: Seq) -> Result<(), StorageError> {
        let begun = Instant::now();
        loop {
            let readers = self.shared.garbage.views_before(at);
            let waited = begun.elapsed();
            if readers == 0 {
                return Ok(());
            }
            if waited >= GRACE {
                self.shared.garbage.evict(at);
            }
            if waited >= GRACE + EVICTION_MAX {
                return Err(StorageError::StillRead { readers });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// What the user had.
fn count(
    before: &Snapshot,
    tables: &[Arc<TableDef>],
    partition: &Partition,
) -> Result<EraseReport, StorageError> {
    let mut report = EraseReport::default();
    let one = PartitionSet::One(partition.clone());
    for table in tables {
        report.tables += 1;
        for file in before.cold_files(table, &one)? {
            report.files += 1;
            report.bytes += file.bytes;
            let dead = before.dead_in(table.id, &file)?.len() as u64;
            report.rows += file.rows.saturating_sub(dead);
        }
        let scan = HotScan {
            table: table.clone(),
            partitions: one.clone(),
            columns: Vec::new(),
            seqs: Seq::ZERO..=Seq::MAX,
            batch_rows: BATCH_ROWS,
            limit: None,
            newest_first: false,
        };
        before.scan_hot(&scan, None, &mut |batch| {
            report.rows += batch.num_rows() as u64;
            std::ops::ControlFlow::Continue(())
        })?;
        let scope = scope_key(table.id, partition);
        let mut log = (before.view.hot).iterate(Family::Log, &scope, scope_end(scope.clone()));
        while let Some(value) = log.value() {
            report.bytes += value.len() as u64;
            log.next();
        }
        log.status()?;
    }
    Ok(report)
}

/// Takes what was deleted of a partition off the disk: of the tables that are there and of those that were. Blocking.
fn scrub(hot: &Hot, partition: &Partition) -> Result<(), StorageError> {
    let catalog = hot.get(Family::Meta, &ddl::counters_key())?;
    let next_id = catalog.map_or(Ok(0), |bytes| ddl::next_table_id(&bytes))?;
    let mut ranges = Vec::new();
    for id in (0..next_id).map(TableId::new) {
        let scope = scope_key(id, partition);
        let end = scope_end(scope.clone());
        for family in [Family::Log, Family::Key, Family::Index, Family::Dead] {
            ranges.push((family, scope.clone(), end.clone()));
        }
    }
    for kind in [META_FILE, META_GARBAGE, META_STATE] {
        ranges.push((Family::Meta, vec![kind], vec![kind + 1]));
    }
    hot.scrub(&ranges)
}

/// Ends what a crash cut short. Blocking; nothing reads or writes yet, and files that the manifest does not name
/// are gone from the data directory, and are being removed from other stores.
pub(crate) fn finish(hot: &Arc<Hot>) -> Result<(), StorageError> {
    let mut pending = Vec::new();
    let snapshot = HotSnapshot::take(hot);
    let mut records = snapshot.iterate(Family::Meta, &[META_ERASURE], vec![META_ERASURE + 1]);
    while let Some(key) = records.key() {
        let name = String::from_utf8(key[1..].to_vec());
        pending.push(name.map_err(|_| StorageError::Corrupt("an erasure".to_string()))?);
        records.next();
    }
    records.status()?;
    drop(records);
    drop(snapshot);
    for user in pending {
        tracing::info!(user, "ending the erasure of a user's rows");
        scrub(hot, &Partition::user(&user))?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(
            hot.family(Family::Meta),
            cold::erasure_key(&Partition::user(&user)),
        );
        hot.write(batch)?;
        hot.flush(&[Family::Meta])?;
    }
    Ok(())
}
