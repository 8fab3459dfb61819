//! Row locks: which transaction may change a row next.
//!
//! Owns: the table of locks in memory, its queues, and finding deadlocks. A row is a key that storage gives
//! (`row_identity`), whether the row exists or not.
//! Guarantees: conflicting locks of two owners never stand together; who waits is served in order; a wait that
//! would close a circle of waits is refused. A wait that is dropped leaves nothing behind.
//! Does not: know rows, versions or snapshots. Locks order writers; that nothing is lost is the committer's check.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use tidelog_storage::{DatabaseId, TableId};

use crate::text::datetime::now_micros;

mod rows;
#[cfg(test)]
mod tests;

use rows::Rows;

/// What is locked.
pub(crate) type RowKey = Arc<[u8]>;

/// Before the keys of advisory locks: no table has this id.
const ADVISORY: [u8; 4] = [0xFF; 4];

/// The key of an advisory lock in one of PostgreSQL's two spaces of them.
pub(crate) fn advisory_key(database: DatabaseId, space: u8, number: i64) -> RowKey {
    let bytes = ADVISORY.into_iter().chain([space]);
    let bytes = bytes.chain(database.oid().to_be_bytes());
    bytes.chain(number.to_be_bytes()).collect()
}

/// Whether it is an advisory lock, which no other lock of the same session is in the way of.
fn is_advisory(key: &RowKey) -> bool {
    key.starts_with(&ADVISORY)
}

/// What a key is of.
fn locked(key: &RowKey) -> Locked {
    match (is_advisory(key), key.first_chunk(), key.last_chunk()) {
        (true, _, Some(number)) => Locked::Advisory {
            space: key[4],
            database: key[5..9].try_into().map_or(0, u32::from_be_bytes),
            number: i64::from_be_bytes(*number),
        },
        (_, Some(table), _) => Locked::Row(TableId::new(u32::from_be_bytes(*table))),
        _ => Locked::Row(TableId::SYSTEM),
    }
}

/// PostgreSQL's four row locks, each stronger than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LockMode {
    /// FOR KEY SHARE.
    KeyShare,
    /// FOR SHARE.
    Share,
    /// FOR NO KEY UPDATE, and an UPDATE that leaves the key alone.
    NoKeyUpdate,
    /// FOR UPDATE, DELETE, INSERT, and an UPDATE of the key.
    Update,
}

impl LockMode {
    fn conflicts(self, other: LockMode) -> bool {
        use LockMode::{KeyShare, NoKeyUpdate, Share, Update};
        match self.min(other) {
            KeyShare => self.max(other) == Update,
            Share => self.max(other) >= NoKeyUpdate,
            NoKeyUpdate | Update => true,
        }
    }
}

/// Why a lock was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LockError {
    /// Another owner has it, and the caller does not wait.
    Busy,
    /// It was waited for as long as the caller wants to.
    Timeout,
    /// Waiting would never end. The processes that wait for each other, the caller's first.
    Deadlock(Vec<i32>),
}

/// Locks of one row.
#[derive(Default)]
struct Row {
    holders: Vec<Holder>,
    queue: VecDeque<Waiter>,
}

type OwnerId = u64;

/// Who locks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner {
    id: OwnerId,
    /// The session's owners, of which one waits for what another one's session has.
    group: OwnerId,
    /// The session's process id.
    pid: i32,
}

struct Holder {
    owner: Owner,
    mode: LockMode,
    /// Whether it is going to change the row, or has: others want to know what becomes of it.
    changes: bool,
}

struct Waiter {
    owner: Owner,
    mode: LockMode,
    changes: bool,
    since_us: i64,
    granted: oneshot::Sender<()>,
}

/// What one of a group of owners waits for; together they wait for one row at a time.
struct Wait {
    key: RowKey,
    owner: Owner,
}

#[derive(Default)]
struct State {
    rows: Rows,
    /// By the group of the owner.
    waiting: HashMap<OwnerId, Wait>,
}

/// What came of asking for a lock.
#[derive(PartialEq, Eq)]
enum Answer {
    /// The owner had a lock on the row, and has one that is strong enough now.
    Held,
    /// It has its first lock on the row.
    New,
    Busy,
}

/// Locks that are taken or given back in one go, while others wait for the table.
const BATCH: usize = 256;

/// All row locks of a server.
#[derive(Default)]
pub(crate) struct LockTable {
    state: Mutex<State>,
    owners: AtomicU64,
}

/// A lock that is held or waited for, as pg_locks shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ShownLock {
    pub(crate) object: Locked,
    pub(crate) mode: LockMode,
    /// The process that has it, or wants it.
    pub(crate) pid: i32,
    /// Since when it is waited for, in microseconds since 1970; `None` when it is held.
    pub(crate) waits_since_us: Option<i64>,
}

/// What a lock is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// A row of a table.
    Row(TableId),
    /// An advisory lock.
    Advisory {
        /// 1 when it is named by one number, 2 when by two.
        space: u8,
        /// The oid of its database.
        database: u32,
        number: i64,
    },
}

impl LockTable {
    /// The advisory locks, and the locks of those rows that somebody waits for. The others, of which a transaction may
    /// have a million, are left out: PostgreSQL keeps them in the rows and does not show them either.
    pub(crate) fn shown(&self) -> Vec<ShownLock> {
        let state = self.state.lock();
        let mut shown = Vec::new();
        let waited_for: HashSet<&RowKey> = state.waiting.values().map(|wait| &wait.key).collect();
        let rows = waited_for.into_iter().filter(|key| !is_advisory(key));
        let rows = rows.filter_map(|key| Some((key, state.rows.get(key)?)));
        for (key, row) in state.rows.advisory().chain(rows) {
            let object = locked(key);
            shown.extend(row.holders.iter().map(|holder| ShownLock {
                object,
                mode: holder.mode,
                pid: holder.owner.pid,
                waits_since_us: None,
            }));
            shown.extend(row.queue.iter().map(|waiter| ShownLock {
                object,
                mode: waiter.mode,
                pid: waiter.owner.pid,
                waits_since_us: Some(waiter.since_us),
            }));
        }
        shown
    }

    /// What each process waits for that does.
    pub(crate) fn waiting(&self) -> HashMap<i32, Locked> {
        let state = self.state.lock();
        let waits = state.waiting.values();
        waits
            .map(|wait| (wait.owner.pid, locked(&wait.key)))
            .collect()
    }

    /// The processes that keep one from a lock that it waits for: those that hold it, and those ahead that want it.
    pub(crate) fn blocking(&self, pid: i32) -> Vec<i32> {
        let state = self.state.lock();
        let mut waits = state.waiting.values().filter(|wait| wait.owner.pid == pid);
        let Some((wait, row)) = waits.find_map(|wait| Some((wait, state.rows.get(&wait.key)?)))
        else {
            return Vec::new();
        };
        let ahead = row.queue.iter().take_while(|other| other.owner.pid != pid);
        let Some(own) = row.queue.iter().find(|other| other.owner == wait.owner) else {
            return Vec::new();
        };
        let holders = row
            .holders
            .iter()
            .map(|holder| (holder.owner.pid, holder.mode));
        let ahead = ahead.map(|waiter| (waiter.owner.pid, waiter.mode));
        let mut pids: Vec<i32> = (holders.chain(ahead))
            .filter(|(other, mode)| *other != pid && mode.conflicts(own.mode))
            .map(|(other, _)| other)
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// A new group of owners.
    pub(crate) fn group(&self) -> OwnerId {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }
}

/// One transaction's locks; dropped, it gives them back.
pub(crate) struct Locks {
    table: Arc<LockTable>,
    owner: Owner,
    /// In the order in which they were taken.
    held: Vec<RowKey>,
}

impl Locks {
    /// No locks yet, for a transaction of the process `pid`, which is a group of its own.
    #[cfg(test)]
    pub(crate) fn new(table: &Arc<LockTable>, pid: i32) -> Locks {
        Locks::of(table, table.group(), pid)
    }

    /// No locks yet, for a transaction of a session.
    pub(crate) fn of(table: &Arc<LockTable>, group: OwnerId, pid: i32) -> Locks {
        Locks {
            table: table.clone(),
            owner: Owner {
                id: table.owners.fetch_add(1, Ordering::Relaxed),
                group,
                pid,
            },
            held: Vec::new(),
        }
    }

    /// No locks yet, for the next transaction of the same session.
    pub(crate) fn fresh(&self) -> Locks {
        Locks::of(&self.table, self.owner.group, self.owner.pid)
    }

    /// Gives one lock back.
    pub(crate) fn release(&mut self, key: &RowKey) {
        if let Some(at) = self.held.iter().position(|held| held == key) {
            self.held.remove(at);
            self.table.state.lock().release(self.owner, key);
        }
    }

    /// Makes a lock a weaker one.
    pub(crate) fn weaken(&mut self, key: &RowKey, mode: LockMode) {
        let mut state = self.table.state.lock();
        let row = state.rows.get_mut(key);
        let own = row.and_then(|row| row.holders.iter_mut().find(|own| own.owner == self.owner));
        if let Some(own) = own {
            own.mode = mode;
        }
        state.serve(key);
    }

    /// A mark for `release_to`.
    pub(crate) fn mark(&self) -> usize {
        self.held.len()
    }

    /// Gives back the locks that were taken since the mark. One that was only made stronger stays so.
    pub(crate) fn release_to(&mut self, mark: usize) {
        while self.held.len() > mark {
            let batch = self.held.len().saturating_sub(BATCH).max(mark);
            let mut state = self.table.state.lock();
            for key in self.held.drain(batch..) {
                state.release(self.owner, &key);
            }
        }
    }

    /// Locks a row if that needs no wait; `false` when another owner is in the way.
    pub(crate) fn try_lock(&mut self, key: &RowKey, mode: LockMode) -> bool {
        let answer = self.table.state.lock().ask(self.owner, key, mode, false);
        if answer == Answer::New {
            self.held.push(key.clone());
        }
        answer != Answer::Busy
    }

    /// Locks all rows, to change them or not, waiting for each up to `timeout`; says whether any was waited for. On an
    /// error, and when the future is dropped, the locks that it got so far stay until they are released.
    pub(crate) async fn lock_all(
        &mut self,
        rows: &[(RowKey, LockMode)],
        changes: bool,
        timeout: Option<Duration>,
    ) -> Result<bool, LockError> {
        let mut waited = false;
        let mut rest = rows;
        while !rest.is_empty() {
            rest = &rest[self.lock_free(rest, changes)..];
            if let Some(((key, mode), behind)) = rest.split_first() {
                waited |= self.lock(key, *mode, changes, timeout).await?;
                rest = behind;
            }
        }
        Ok(waited)
    }

    /// Takes locks up to the first that is not free; gives how many that were.
    pub(crate) fn lock_free(&mut self, rows: &[(RowKey, LockMode)], changes: bool) -> usize {
        let mut done = 0;
        for batch in rows.chunks(BATCH) {
            let mut state = self.table.state.lock();
            for (key, mode) in batch {
                match state.ask(self.owner, key, *mode, changes) {
                    Answer::Held => {}
                    Answer::New => self.held.push(key.clone()),
                    Answer::Busy => return done,
                }
                done += 1;
            }
        }
        done
    }

    /// Whether another transaction has locked a row to change it.
    pub(crate) fn is_changed_by_another(&self, key: &RowKey) -> bool {
        let state = self.table.state.lock();
        let changes = |holder: &Holder| holder.changes && holder.owner != self.owner;
        (state.rows.get(key)).is_some_and(|row| row.holders.iter().any(changes))
    }

    /// Gives back the locks that were taken since the mark, but for these rows'.
    pub(crate) fn release_but(&mut self, mark: usize, kept: &HashSet<RowKey>) {
        let taken = self.held.split_off(mark);
        let (kept, freed): (Vec<_>, Vec<_>) = taken.into_iter().partition(|key| kept.contains(key));
        self.held.extend(freed);
        self.release_to(mark);
        self.held.extend(kept);
    }

    /// Locks one row; says whether it had to wait.
    async fn lock(
        &mut self,
        key: &RowKey,
        mode: LockMode,
        changes: bool,
        timeout: Option<Duration>,
    ) -> Result<bool, LockError> {
        let table = self.table.clone();
        let (waiting, granted) = {
            let mut state = table.state.lock();
            match state.ask(self.owner, key, mode, changes) {
                Answer::Held => return Ok(false),
                Answer::New => {
                    self.held.push(key.clone());
                    return Ok(false);
                }
                Answer::Busy => {}
            }
            let (grant, granted) = oneshot::channel();
            let upgrade = state.enqueue(
                key,
                Waiter {
                    owner: self.owner,
                    mode,
                    changes,
                    since_us: now_micros(),
                    granted: grant,
                },
            );
            let waiting = Waiting {
                locks: self,
                key: key.clone(),
                upgrade,
                settled: false,
            };
            if let Some(circle) = state.circle(waiting.locks.owner.group) {
                drop(state);
                drop(waiting);
                return Err(LockError::Deadlock(circle));
            }
            (waiting, granted)
        };
        let granted = match timeout {
            None => granted.await,
            Some(timeout) => tokio::time::timeout(timeout, granted)
                .await
                .map_err(|_| LockError::Timeout)?,
        };
        granted.expect("only its grant takes a waiter out of the queue while it waits");
        waiting.settle();
        Ok(true)
    }
}

impl std::fmt::Debug for Locks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} locks", self.held.len())
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.release_to(0);
    }
}

/// A place in a row's queue, given up when it is dropped unsettled.
struct Waiting<'a> {
    locks: &'a mut Locks,
    key: RowKey,
    /// Whether the owner has a weaker lock on the row.
    upgrade: bool,
    settled: bool,
}

impl Waiting<'_> {
    fn settle(mut self) {
        self.settled = true;
        if !self.upgrade {
            self.locks.held.push(self.key.clone());
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.locks.table.state.lock();
        let owner = self.locks.owner;
        let waits = state.waiting.get(&self.locks.owner.group);
        if waits.is_some_and(|wait| wait.owner == owner) {
            state.waiting.remove(&self.locks.owner.group);
            if let Some(row) = state.rows.get_mut(&self.key) {
                row.queue.retain(|waiter| waiter.owner != owner);
            }
            state.serve(&self.key);
        } else if !self.upgrade {
            // It was granted, and nobody is there to take it.
            state.release(owner, &self.key);
        }
    }
}

impl State {
    fn ask(&mut self, owner: Owner, key: &RowKey, mode: LockMode, changes: bool) -> Answer {
        let holder = Holder {
            owner,
            mode,
            changes,
        };
        let Some(row) = self.rows.get_mut(key) else {
            let row = Row {
                holders: vec![holder],
                queue: VecDeque::new(),
            };
            self.rows.insert(key.clone(), row);
            return Answer::New;
        };
        let mine = row.holders.iter().position(|holder| holder.owner == owner);
        if let Some(mine) = mine.map(|at| &mut row.holders[at])
            && mine.mode >= mode
        {
            mine.changes |= changes;
            return Answer::Held;
        }
        // Who has no lock yet stands behind those who wait for one; who has one they may be waiting for.
        let friend = is_advisory(key).then_some(owner.group);
        let holds = |holder: &Holder| holder.owner == owner || Some(holder.owner.group) == friend;
        let behind = !row.holders.iter().any(holds)
            && row.queue.iter().any(|waiter| waiter.mode.conflicts(mode));
        if behind || row.held_against(owner, friend, mode) {
            return Answer::Busy;
        }
        match mine {
            Some(at) => {
                row.holders[at].strengthen(mode, changes);
                Answer::Held
            }
            None => {
                row.holders.push(holder);
                Answer::New
            }
        }
    }

    /// Puts an owner into a row's queue; says whether it has a weaker lock there.
    fn enqueue(&mut self, key: &RowKey, waiter: Waiter) -> bool {
        let owner = waiter.owner;
        let row = self.rows.get_or_default(key);
        let upgrade = row.holders.iter().any(|holder| holder.owner == owner);
        if upgrade {
            row.queue.push_front(waiter);
        } else {
            row.queue.push_back(waiter);
        }
        let key = key.clone();
        self.waiting.insert(owner.group, Wait { key, owner });
        upgrade
    }

    fn release(&mut self, owner: Owner, key: &RowKey) {
        if let Some(row) = self.rows.get_mut(key) {
            row.holders.retain(|holder| holder.owner != owner);
            self.serve(key);
        }
    }

    /// Gives a row to those at the head of its queue who can have it.
    fn serve(&mut self, key: &RowKey) {
        let Some(row) = self.rows.get_mut(key) else {
            return;
        };
        while let Some(first) = row.queue.front() {
            let (owner, mode, changes) = (first.owner, first.mode, first.changes);
            if row.held_against(owner, is_advisory(key).then_some(owner.group), mode) {
                break;
            }
            match row.holders.iter_mut().find(|holder| holder.owner == owner) {
                Some(holder) => holder.strengthen(mode, changes),
                None => row.holders.push(Holder {
                    owner,
                    mode,
                    changes,
                }),
            }
            self.waiting.remove(&owner.group);
            if let Some(first) = row.queue.pop_front() {
                // One that has just been given up finds that it was granted.
                let _ = first.granted.send(());
            }
        }
        if row.holders.is_empty() && row.queue.is_empty() {
            self.rows.remove(key);
        }
    }

    /// Which groups a waiting one waits for, as far as a circle to `start` may go through them: those that hold the row
    /// against it or against one ahead of it. Those ahead wait for nothing else, so they count only as `start`.
    fn blockers(&self, group: OwnerId, start: OwnerId) -> Vec<OwnerId> {
        let Some(wait) = self.waiting.get(&group) else {
            return Vec::new();
        };
        let Some(row) = self.rows.get(&wait.key) else {
            return Vec::new();
        };
        let friend = is_advisory(&wait.key).then_some(group);
        let (mut modes, mut blockers) = (Vec::new(), Vec::new());
        for waiter in &row.queue {
            if !modes.contains(&waiter.mode) {
                modes.push(waiter.mode);
            }
            if waiter.owner.group == group {
                break;
            }
            if waiter.owner.group == start {
                blockers.push(start);
            }
        }
        let conflicts = |holder: &&Holder| {
            holder.owner != wait.owner
                && Some(holder.owner.group) != friend
                && modes.iter().any(|mode| mode.conflicts(holder.mode))
        };
        let holders = row.holders.iter().filter(conflicts);
        blockers.extend(holders.map(|holder| holder.owner.group));
        blockers
    }

    /// The processes of a circle of waits through this owner, if there is one.
    fn circle(&self, start: OwnerId) -> Option<Vec<i32>> {
        let mut seen = HashSet::from([start]);
        let mut path = vec![(start, self.blockers(start, start))];
        while let Some((_, blockers)) = path.last_mut() {
            let Some(next) = blockers.pop() else {
                path.pop();
                continue;
            };
            if next == start {
                let pid = |(owner, _): &(OwnerId, _)| Some(self.waiting.get(owner)?.owner.pid);
                return Some(path.iter().filter_map(pid).collect());
            }
            if seen.insert(next) {
                path.push((next, self.blockers(next, start)));
            }
        }
        None
    }
}

impl Holder {
    fn strengthen(&mut self, mode: LockMode, changes: bool) {
        self.mode = mode;
        self.changes |= changes;
    }
}

impl Row {
    /// Whether another owner's lock conflicts with this one, but for those of a group.
    fn held_against(&self, owner: Owner, friend: Option<OwnerId>, mode: LockMode) -> bool {
        self.holders.iter().any(|holder| {
            holder.owner != owner
                && Some(holder.owner.group) != friend
                && holder.mode.conflicts(mode)
        })
    }
}
