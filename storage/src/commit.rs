//! The committer: the one who gives Seqs and appends. It works in a thread of its own or, where nothing waits for it, in that of
//! the session that commits (`alone`); never in two at once.
//!
//! Owns: the order of commits, their checks, group commit, and publishing the view that readers see.
//! Guarantees: a transaction is in the log as a whole or not at all; what was answered `Ok` is synced and
//! visible; when a write fails, nothing is accepted any more.
//! Does not: read for sessions, or write files.

pub(crate) mod ahead;
mod alone;
pub(crate) mod check;
mod cut;
pub(crate) mod ddl;
mod erase;
pub(crate) mod garbage;
mod history;
pub(crate) mod index;
pub(crate) mod large;
mod queue;
mod swap;
mod tally;
mod with_catalog;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use parking_lot::RwLock;
use rocksdb::WriteBatch;
use tokio::sync::{Notify, oneshot};

use crate::catalog::{Catalog, CatalogChange, IndexId, TableId};
use crate::cold::{self, ColdFile, PartitionState};
use crate::erase::Erased;
use crate::error::{CommitError, StorageError};
use crate::failpoint::{Failpoints, Step};
use crate::hot::{Family, Hot, HotSnapshot};
use crate::key::{index_entry, version_key};
use crate::moments::Moments;
use crate::notify::Old;
use crate::seq::{Seq, SeqGenerator};
use crate::snapshot::{Snapshot, View};
use crate::transaction::{Partition, RowKeys, Transaction};
use crate::versions;
use crate::watch::Watches;
use ahead::Recent;
use check::{Group, Overlay};
use garbage::Garbage;
use index::Unindexed;
use large::{Checked, Turn, UnderWay, Written};
pub(crate) use queue::CommitQueue;
use queue::{PendingCommit, Requests};
pub use tally::RowCounts;

const GROUP_TRANSACTIONS_MAX: usize = 512;
/// Transactions that are larger make a group of their own, if they are not written in pieces.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Transactions of more bytes are written in pieces (`large`), unless a test asks for another limit.
pub const LARGE_BYTES: usize = GROUP_BYTES_MAX;
/// Partition states that the committer keeps at hand.
const STATES_MAX: usize = 1 << 20;

/// What the committer and the readers share.
pub(crate) struct Shared {
    pub(crate) hot: Arc<Hot>,
    pub(crate) generator: SeqGenerator,
    pub(crate) current: RwLock<Arc<View>>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) garbage: Arc<Garbage>,
    pub(crate) failpoints: Arc<Failpoints>,
    /// Told when something was written that is not synced.
    pub(crate) unsynced: Notify,
    /// The number of the newest group that is visible.
    pub(crate) groups: AtomicU64,
    /// Transactions of more bytes are written in pieces.
    pub(crate) large_bytes: usize,
    /// How many transactions were checked ahead and have not had their turn.
    pub(crate) checks_ahead: AtomicUsize,
    /// What was changed of each table.
    pub(crate) counted: tally::Counted,
    /// Why a write failed: what the disk holds is not known any more.
    pub(crate) failed: OnceLock<String>,
}

impl Shared {
    pub(crate) fn view(&self) -> Arc<View> {
        self.current.read().clone()
    }

    /// A snapshot of the present.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.view(), self.generator.now_ms())
    }
}

/// A view of the database as it is now.
pub(crate) fn view_of(
    hot: &Arc<Hot>,
    (seq, follows_ms): (Seq, i64),
    (catalog, tables): (Arc<Catalog>, ddl::Tables),
    garbage: &Arc<Garbage>,
) -> Arc<View> {
    let view = View {
        hot: HotSnapshot::take(hot),
        seq,
        follows_ms,
        catalog,
        tables,
        garbage: garbage.clone(),
    };
    publishable(view)
}

fn publishable(view: View) -> Arc<View> {
    let garbage = view.garbage.clone();
    let view = Arc::new(view);
    garbage.view_published(Arc::downgrade(&view));
    view
}

pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A partition whose rows up to `watermark` are in files now.
pub(crate) struct Flushed {
    pub(crate) partition: Partition,
    pub(crate) file: Option<ColdFile>,
    /// The state that the flush saw.
    pub(crate) seen: PartitionState,
    /// Versions in the flushed range that the file lacks, with what superseded them.
    pub(crate) dropped: Vec<(Seq, Seq)>,
}

/// What a compaction made of some neighbouring files of a partition.
pub(crate) struct Merged {
    /// The files that go.
    pub(crate) old: Vec<ColdFile>,
    /// What comes in their place, if any of their versions lives.
    pub(crate) new: Option<ColdFile>,
    /// The versions that the new file lacks, with what superseded them.
    pub(crate) dropped: Vec<(Seq, Seq)>,
}

/// The old part of a partition's log.
pub(crate) struct OldLog {
    pub(crate) partition: Partition,
    /// Up to where the log was trimmed before.
    pub(crate) after: Seq,
    /// The last Seq of it.
    pub(crate) upto: Seq,
    /// Bytes of its records.
    pub(crate) bytes: u64,
    /// What its records superseded, in a table without primary key.
    pub(crate) superseded: Vec<Seq>,
}

/// A STREAM row that has expired.
pub(crate) struct Expired {
    pub(crate) partition: Partition,
    pub(crate) seq: Seq,
    pub(crate) keys: RowKeys,
    pub(crate) bytes: u64,
}

/// What the committer is asked for.
pub(crate) enum Request {
    Commit(Box<PendingCommit>),
    /// Gives a large transaction `seqs` Seqs, and itself back.
    BeginLarge {
        checked: Box<Checked>,
        seqs: u64,
        /// Whether it is to be checked now, if that it was checked does not do.
        is_last_try: bool,
        reply: oneshot::Sender<(Result<Turn, CommitError>, Box<Checked>)>,
    },
    /// Commits one whose pieces are written.
    EndLarge {
        written: Box<Written>,
        reply: Reply<Seq, CommitError>,
    },
    /// Removes the entries of keys that it freed.
    CleanLarge {
        keys: Result<Vec<Arc<[u8]>>, StorageError>,
        is_last: bool,
        reply: Reply<(), StorageError>,
    },
    /// Asks for a view from while no large transaction is under way.
    Settled {
        reply: Reply<Arc<View>, StorageError>,
    },
    /// Adds files to the manifest; `NoTable` when the table has gone.
    Flushed {
        table: TableId,
        parts: Vec<Flushed>,
        reply: Reply<(), StorageError>,
    },
    /// Adds rows from before an index to it.
    FillIndex {
        table: TableId,
        index: IndexId,
        rows: Vec<Unindexed>,
        since: Seq,
        reply: Reply<(), CommitError>,
    },
    Expired {
        table: TableId,
        rows: Vec<Expired>,
        reply: Reply<(), StorageError>,
    },
    /// Puts merged files in the place of those they were made of; `NoTable` when the table has gone.
    Compacted {
        table: TableId,
        merged: Vec<Merged>,
        reply: Reply<(), StorageError>,
    },
    /// Cuts the old parts off the logs of partitions; `NoTable` when the table has gone.
    Trim {
        table: TableId,
        parts: Vec<OldLog>,
        reply: Reply<(), StorageError>,
    },
    /// Removes the `commit` entries up to a Seq; the marks tell up to where which tables lose by it.
    TrimCommits {
        upto: Seq,
        marks: HashMap<TableId, Seq>,
        /// Notes of moments before this time go, too.
        moments_end: i64,
        reply: Reply<(), StorageError>,
    },
    /// Removes notifications that are old.
    TrimNotifications {
        old: Old,
        reply: Reply<(), StorageError>,
    },
    /// Forgets garbage files that were removed.
    Collected {
        paths: Vec<String>,
    },
    /// Takes a user's rows away from readers and writers, if the caller holds every USER table.
    Erase {
        partition: Partition,
        held: HashSet<TableId>,
        reply: Reply<Erased, StorageError>,
    },
    /// Forgets an erasure that is through, and the files that it removed.
    EraseEnded {
        partition: Partition,
        paths: Vec<String>,
        reply: Reply<(), StorageError>,
    },
    /// Syncs what commits have left unsynced.
    Sync,
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// Starts the committer's thread.
pub(crate) fn start(shared: Arc<Shared>) -> Result<(CommitQueue, JoinHandle<()>), StorageError> {
    let view = shared.view();
    let (tables, moments) = (view.tables.clone(), Moments::load(&view.hot)?);
    drop(view);
    let mut committer = Committer {
        shared: shared.clone(),
        tables,
        moments,
        states: HashMap::new(),
        last_commits: HashMap::new(),
        erased: HashMap::new(),
        dropped_roles: HashMap::new(),
        recent: Recent::default(),
        large: None,
        waiting: VecDeque::new(),
        ready: VecDeque::new(),
        stopped: Vec::new(),
        has_company: false,
    };
    committer.drop_unfinished();
    let committer = Arc::new(Mutex::new(committer));
    let (queue, requests) = CommitQueue::new(shared, committer.clone());
    let thread = std::thread::Builder::new()
        .name("committer".to_string())
        .spawn(move || run(&committer, requests))?;
    Ok((queue, thread))
}

/// The committer's thread: does what is asked for, until it is told to stop. Whoever has a panic with the committer leaves the mutex
/// poisoned, and nothing is done any more.
fn run(committer: &Mutex<Committer>, mut requests: Requests) {
    while let Some(first) = requests.wait() {
        let Ok(mut committer) = committer.lock() else {
            return;
        };
        requests.taken();
        committer.work(first, &mut requests);
    }
    let Ok(mut committer) = committer.lock() else {
        return;
    };
    if let Err(error) = committer.shared.hot.sync() {
        tracing::error!(%error, "could not sync the log at the end");
    }
    for done in committer.stopped.drain(..) {
        let _ = done.send(());
    }
}

/// What the committer knows. Whoever holds it is the committer.
struct Committer {
    shared: Arc<Shared>,
    tables: ddl::Tables,
    moments: Moments,
    states: HashMap<(TableId, Partition), PartitionState>,
    /// The newest commit to each table since the store was opened; no transaction is older than that.
    last_commits: HashMap<TableId, Seq>,
    /// The users who were erased since the store was opened, and the roles that were dropped; and when.
    erased: HashMap<Partition, Seq>,
    dropped_roles: HashMap<Partition, Seq>,
    recent: Recent,
    large: Option<UnderWay>,
    /// What waits for the large transaction that is under way, and what has waited for one.
    waiting: VecDeque<Request>,
    ready: VecDeque<Request>,
    stopped: Vec<oneshot::Sender<()>>,
    /// Whether the thread's last group was of several transactions.
    has_company: bool,
}

impl Committer {
    /// Does what is asked for, until nothing more is.
    fn work(&mut self, first: Request, requests: &mut Requests) {
        let mut next = Some(first);
        while let Some(request) = next.take().or_else(|| self.next(requests)) {
            if self.waits(&request) {
                self.waiting.push_back(request);
                continue;
            }
            match request {
                Request::BeginLarge {
                    checked,
                    seqs,
                    is_last_try,
                    reply,
                } => {
                    let turn = self.begin_large(&checked, seqs, is_last_try);
                    let _ = reply.send((turn, checked));
                }
                Request::EndLarge { mut written, reply } => {
                    let _ = reply.send(self.end_large(&mut written));
                }
                Request::CleanLarge {
                    keys,
                    is_last,
                    reply,
                } => {
                    let _ = reply.send(self.clean_large(keys, is_last));
                }
                Request::Settled { reply } => {
                    let _ = reply.send(Ok(self.shared.view()));
                }
                Request::Commit(first) if first.transaction.catalog.is_some() => {
                    self.commit_with_catalog(*first);
                }
                Request::Commit(first) => next = self.commit_group(*first, requests),
                Request::Flushed {
                    table,
                    parts,
                    reply,
                } => {
                    let _ = reply.send(self.add_files(table, parts));
                }
                Request::FillIndex {
                    table,
                    index,
                    rows,
                    since,
                    reply,
                } => {
                    let filled = self.fill_index(table, index, rows, since);
                    self.group_ends(None);
                    let _ = reply.send(filled);
                }
                Request::Expired { table, rows, reply } => {
                    let removed = self.remove_expired(table, rows);
                    // No transaction that is checked ahead has rows of STREAM tables.
                    self.group_ends(Some(Overlay::default()));
                    let _ = reply.send(removed);
                }
                Request::Compacted {
                    table,
                    merged,
                    reply,
                } => {
                    let _ = reply.send(self.swap_files(table, merged));
                }
                Request::Trim {
                    table,
                    parts,
                    reply,
                } => {
                    let _ = reply.send(self.trim(table, parts));
                }
                Request::TrimCommits {
                    upto,
                    marks,
                    moments_end,
                    reply,
                } => {
                    let _ = reply.send(self.trim_commits(upto, marks, moments_end));
                }
                Request::TrimNotifications { old, reply } => {
                    let _ = reply.send(self.trim_notifications(old));
                }
                Request::Collected { paths } => {
                    let mut batch = WriteBatch::default();
                    for path in &paths {
                        let key = cold::meta_key(cold::META_GARBAGE, path.as_bytes());
                        batch.delete_cf(self.shared.hot.family(Family::Meta), key);
                    }
                    // On failure the entries stay and the next opening finds the files gone.
                    let _ = self.write(batch);
                }
                Request::Erase {
                    partition,
                    held,
                    reply,
                } => {
                    let erased = self.erase(partition, &held);
                    self.group_ends(None);
                    let _ = reply.send(erased);
                }
                Request::EraseEnded {
                    partition,
                    paths,
                    reply,
                } => {
                    let _ = reply.send(self.erase_ended(&partition, &paths));
                }
                Request::Sync => {
                    // What fails here is logged, and later commits fail for it.
                    let _ = self.write_by(|shared| Ok(shared.hot.sync()?));
                }
                Request::Stop { done } => {
                    requests.close();
                    self.stopped.push(done);
                }
            }
        }
    }

    /// The next request, if there is one.
    fn next(&mut self, requests: &mut Requests) -> Option<Request> {
        self.ready.pop_front().or_else(|| requests.take())
    }

    /// Removes the indexes and constraints whose making a crash cut short.
    fn drop_unfinished(&mut self) {
        let catalog = self.shared.view().catalog.clone();
        let mut changes = Vec::new();
        for (id, database) in &*catalog.databases {
            let tables = database.contents().tables.values();
            let finished = tables.filter_map(|table| table.finished());
            let finished = finished.map(|table| CatalogChange::PutTable(Box::new(table)));
            changes.extend(id.changes(finished.collect()));
        }
        if changes.is_empty() {
            return;
        }
        let mut transaction = Transaction::new();
        transaction.change_catalog(catalog.version, changes);
        if let Err(error) = self.apply_with_catalog(&mut transaction) {
            tracing::error!(%error, "could not remove unfinished indexes and constraints");
        }
    }

    /// Commits `first` and what waits behind it; returns a request of another kind that came next.
    fn commit_group(&mut self, first: PendingCommit, requests: &mut Requests) -> Option<Request> {
        let mut next = None;
        let mut bytes = first.transaction.bytes();
        let mut waiting = vec![first];
        while waiting.len() < GROUP_TRANSACTIONS_MAX {
            match self.next(requests) {
                Some(request) if self.waits(&request) => self.waiting.push_back(request),
                // A large one comes alone: the others do not wait for it.
                Some(Request::Commit(commit))
                    if commit.transaction.catalog.is_none()
                        && bytes + commit.transaction.bytes() <= GROUP_BYTES_MAX =>
                {
                    bytes += commit.transaction.bytes();
                    waiting.push(*commit);
                }
                Some(other) => {
                    next = Some(other);
                    break;
                }
                None => break,
            }
        }
        self.has_company = waiting.len() > 1;
        let synced = !waiting.iter().all(|commit| commit.transaction.unsynced);
        let mut group = Group::with_room(bytes);
        let mut answers = Vec::with_capacity(waiting.len());
        for mut commit in waiting {
            let seqs = commit.transaction.seqs();
            let Some(first) = self.shared.generator.try_draw(seqs) else {
                // All Seqs that are left to others while a large transaction is under way are drawn.
                self.waiting.push_back(Request::Commit(Box::new(commit)));
                continue;
            };
            let answer = self.apply(&mut group, &mut commit.transaction, first);
            answers.push((commit, answer));
        }
        // A refusal is answered after the group, too: what it collided with is visible then.
        let ended = self.end_group(group, synced);
        let lost = ended.err().map(|error| error.to_string());
        for (commit, answer) in answers {
            let answer = match (&lost, answer) {
                (Some(reason), Ok(_)) => Err(CommitError::Unknown(reason.clone())),
                (_, answer) => answer,
            };
            commit.answer(answer);
        }
        next
    }

    /// Writes a group and shows it to readers, if anything is in it.
    fn end_group(&mut self, group: Group, synced: bool) -> Result<(), StorageError> {
        let Some(last) = group.last else {
            return Ok(());
        };
        self.write_group(group, last, None, synced)?;
        // Too late to fail: it can only hold or end the process.
        let _ = self.shared.failpoints.reach(Step::CommitPublished);
        Ok(())
    }

    /// Writes a group whose newest Seq is `last` and shows it to readers; with the catalog that it makes, if it
    /// makes one, and the files that are garbage then. What is not `synced` is so soon afterwards.
    fn write_group(
        &mut self,
        mut group: Group,
        last: Seq,
        catalog: Option<(Arc<Catalog>, Vec<String>)>,
        synced: bool,
    ) -> Result<(), StorageError> {
        let hot = self.shared.hot.clone();
        for ((table, partition), state) in &group.states {
            let key = cold::state_key(*table, partition);
            (group.batch).put_cf(hot.family(Family::Meta), key, state.encode());
        }
        let mut batch = std::mem::take(&mut group.batch);
        let now_ms = self.shared.generator.now_ms();
        let is_late = group.is_large || matches!(self.large, Some(UnderWay::Writing(..)));
        let late_after = is_late.then(|| self.shared.view().seq);
        (self.moments).note(&hot, &mut batch, last, late_after, now_ms)?;
        let has_catalog = catalog.is_some();
        match &catalog {
            None => self.write_commits(batch, synced)?,
            Some(_) => self.write_to(batch, Step::CatalogWritten)?,
        }
        match catalog {
            None => self.publish(last),
            Some((catalog, garbage)) => {
                // Every view so far may read the files; the one that comes next cannot.
                self.shared.garbage.add(garbage);
                let tables = &self.tables;
                (self.shared.counted.lock()).retain(|table, _| tables.contains_key(table));
                let catalog = (catalog, tables.clone());
                let at = (last, self.moments.follows_ms());
                let view = view_of(&hot, at, catalog, &self.shared.garbage);
                drop(std::mem::replace(&mut *self.shared.current.write(), view));
            }
        }
        // Of another catalog everybody is told.
        if !has_catalog {
            self.shared.watches.touched(group.touched(), last);
        }
        if self.states.len() > STATES_MAX {
            self.states.clear();
        }
        let is_known = !group.is_large && !has_catalog;
        self.group_ends(is_known.then_some(group.overlay));
        for ((table, _), state) in &group.states {
            let newest = self.last_commits.entry(*table).or_default();
            *newest = state.last_seq.max(*newest);
        }
        self.states.extend(group.states);
        Ok(())
    }

    /// Counts a group, or anything else that changes keys and is visible now; with what it changed, if that is known.
    fn group_ends(&mut self, changed: Option<Overlay>) {
        let group = self.shared.groups.load(Ordering::Relaxed) + 1;
        match changed {
            Some(changed) if self.shared.checks_ahead.load(Ordering::Acquire) > 0 => {
                self.recent.add(group, changed);
            }
            _ => self.recent.forget(group),
        }
        self.shared.groups.store(group, Ordering::Release);
    }

    /// Commits a transaction that changes the catalog: alone, as a group is checked against one catalog.
    fn commit_with_catalog(&mut self, mut commit: PendingCommit) {
        let answer = self.apply_with_catalog(&mut commit.transaction);
        commit.answer(answer);
    }

    fn check_alive(&self) -> Result<(), StorageError> {
        let failed = self.shared.failed.get().cloned();
        failed.map_or(Ok(()), |reason| Err(StorageError::LogFailed(reason)))
    }

    /// Writes and syncs.
    fn write(&mut self, batch: WriteBatch) -> Result<(), StorageError> {
        self.write_by(|shared| Ok(shared.hot.write(batch)?))
    }

    /// As `write`; then the step is reached.
    fn write_to(&mut self, batch: WriteBatch, step: Step) -> Result<(), StorageError> {
        self.write_by(|shared| {
            shared.hot.write(batch)?;
            shared.failpoints.reach(step)
        })
    }

    /// Writes a group of transactions, and syncs it unless none of them wants that.
    fn write_commits(&mut self, batch: WriteBatch, synced: bool) -> Result<(), StorageError> {
        self.write_by(|shared| {
            let failpoints = &shared.failpoints;
            failpoints.reach(Step::CommitChecked)?;
            if !synced {
                shared.hot.write_unsynced(batch)?;
                shared.unsynced.notify_one();
            } else if failpoints.is_set(Step::CommitUnsynced) {
                shared.hot.write_unsynced(batch)?;
                failpoints.reach(Step::CommitUnsynced)?;
                shared.hot.sync()?;
            } else {
                shared.hot.write(batch)?;
            }
            failpoints.reach(Step::CommitWritten)
        })
    }

    /// Runs a write; after one that failed nothing more is written.
    fn write_by(
        &mut self,
        write: impl FnOnce(&Shared) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.check_alive()?;
        write(&self.shared).map_err(|error| {
            tracing::error!(%error, "writing the log failed; the store takes no more commits");
            let reason = error.to_string();
            let reason = self.shared.failed.get_or_init(|| reason);
            StorageError::LogFailed(reason.clone())
        })
    }

    /// Shows readers what was written, up to `seq`.
    fn publish(&self, seq: Seq) {
        let old = self.shared.view();
        let view = publishable(View {
            hot: HotSnapshot::take(&self.shared.hot),
            seq,
            follows_ms: self.moments.follows_ms(),
            catalog: old.catalog.clone(),
            tables: old.tables.clone(),
            garbage: old.garbage.clone(),
        });
        // The old view may be the last of its kind: it goes outside the lock.
        let previous = std::mem::replace(&mut *self.shared.current.write(), view);
        drop(previous);
    }

    /// The partition's state before the present group.
    fn state(&self, table: TableId, partition: &Partition) -> Result<PartitionState, StorageError> {
        if let Some(state) = self.states.get(&(table, partition.clone())) {
            return Ok(*state);
        }
        let stored = self
            .shared
            .hot
            .get(Family::Meta, &cold::state_key(table, partition))?;
        PartitionState::stored(stored)
    }

    fn add_files(&mut self, table: TableId, parts: Vec<Flushed>) -> Result<(), StorageError> {
        self.check_alive()?;
        let def = self
            .tables
            .get(&table)
            .ok_or(StorageError::NoTable(table.get()))?;
        let mut batch = WriteBatch::default();
        let mut states = Vec::with_capacity(parts.len());
        let hot = self.shared.hot.clone();
        let meta = hot.family(Family::Meta);
        let mut complete_from = Seq::ZERO;
        for part in parts {
            let mut state = self.state(table, &part.partition)?;
            assert_eq!(
                state.watermark, part.seen.watermark,
                "one flush of a table at a time"
            );
            state.watermark = part.seen.last_seq;
            state.unflushed_rows -= part.seen.unflushed_rows;
            state.unflushed_bytes -= part.seen.unflushed_bytes;
            state.first_unflushed = if state.has_unflushed() {
                state.watermark.advance(1)
            } else {
                Seq::ZERO
            };
            if let Some(file) = part.file {
                assert!(
                    file.first_seq > part.seen.watermark && file.last_seq <= state.watermark,
                    "a file's Seq range"
                );
                batch.put_cf(meta, cold::file_key(table, &file), file.encode());
            }
            let forgotten = self.forget(&mut batch, def, &part.partition, &state, &part.dropped);
            complete_from = complete_from.max(forgotten);
            batch.put_cf(
                meta,
                cold::state_key(table, &part.partition),
                state.encode(),
            );
            states.push(((table, part.partition), state));
        }
        self.raise_history(&mut batch, table, complete_from)?;
        self.write_to(batch, Step::FlushAdded)?;
        self.states.extend(states);
        self.publish(self.shared.view().seq);
        Ok(())
    }

    fn remove_expired(&mut self, table: TableId, rows: Vec<Expired>) -> Result<(), StorageError> {
        self.check_alive()?;
        if !self.tables.contains_key(&table) {
            return Err(StorageError::NoTable(table.get()));
        }
        let mut batch = WriteBatch::default();
        let mut states: HashMap<(TableId, Partition), PartitionState> = HashMap::new();
        let hot = self.shared.hot.clone();
        for row in rows {
            let key = version_key(table, &row.partition, row.seq);
            batch.delete_cf(hot.family(Family::Stream), &key);
            batch.delete_cf(hot.family(Family::Dead), &key);
            for (_, key) in &row.keys.unique {
                if let Some(entry) = hot.get(Family::Key, key)?
                    && versions::holder(&entry, Seq::MAX)? == Some(row.seq)
                {
                    batch.delete_cf(hot.family(Family::Key), key);
                }
            }
            for entry in &row.keys.entries {
                batch.delete_cf(hot.family(Family::Index), index_entry(entry, row.seq));
            }
            let before = self.state(table, &row.partition)?;
            let state = states.entry((table, row.partition)).or_insert(before);
            state.watermark = state.watermark.max(row.seq);
            state.unflushed_rows = state.unflushed_rows.saturating_sub(1);
            state.unflushed_bytes = state.unflushed_bytes.saturating_sub(row.bytes);
            state.log_bytes = state.log_bytes.saturating_sub(row.bytes);
        }
        for ((table, partition), state) in &states {
            batch.put_cf(
                hot.family(Family::Meta),
                cold::state_key(*table, partition),
                state.encode(),
            );
        }
        self.write_to(batch, Step::Expired)?;
        self.states.extend(states);
        self.publish(self.shared.view().seq);
        Ok(())
    }
}
