//! `Lookout`: looks at each commit for all the readers of a scope that wait at the tip, and wakes those who see
//! something.
//!
//! Owns: who waits at the tip, and what was seen there. Guarantees: what a reader is given here is what it would have
//! read; one that finds nothing here reads for itself. A commit costs a reader who sees nothing of it no turn of its
//! task. Does not: wait for a reader. Memory: [`KEPT`] stretches and [`KEPT_BYTES`] of a group at most, none that all
//! have read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidelog_storage::{Change, ChangeBatch, CommitWatch, FeedScope, Seq, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use crate::concerned::Concerned;
use crate::lens::Versions;
use crate::share::{HeldByName, Stretch};
use crate::tail::{BATCH_CHANGES, Name, Reader, caught, seen};

/// Stretches that a group keeps for those who have not read them.
const KEPT: usize = 8;
/// Bytes of the log that they were read from.
const KEPT_BYTES: usize = 4 << 20;
/// Stretches without a change that a group remembers.
const GAPS: usize = 64;
/// Looks in which nobody sees anything may take a part of the time in so many, and no more: writers get the rest.
const LOOKS_SHARE: u32 = 4;
/// A look that is shorter is not followed by a rest, which cannot be as short.
const REST_MIN: Duration = Duration::from_micros(500);
/// A statement that takes longer for a batch looks for itself from then on, so that it holds up nobody.
const LOOK_MAX: Duration = Duration::from_millis(100);

/// To look for so many groups takes a moment.
const GROUPS_FEW: usize = 16;

/// Up to where a lookout has looked for all groups. Those that a commit does not concern are not touched: for them this is
/// how far they are.
#[derive(Default)]
struct Tip(AtomicI64);

impl Tip {
    fn get(&self) -> Seq {
        Seq::from_i64(self.0.load(Ordering::Acquire)).unwrap_or(Seq::ZERO)
    }

    fn set(&self, upto: Seq) {
        self.0.store(upto.as_i64(), Ordering::Release);
    }
}

/// Readers of a scope who see the same.
pub(crate) struct Group {
    pub(crate) reader: Reader,
    state: Mutex<GroupState>,
    /// Told when there is something.
    pub(crate) news: Notify,
}

struct GroupState {
    tip: Arc<Tip>,
    /// Everything up to here was looked at for the group, and up to the lookout's tip if that is further; `None` while
    /// it is not looked for.
    looked: Option<Seq>,
    /// The last change of a transaction whose end was not read yet.
    held: Option<Box<Change>>,
    /// There was nothing for the group from here on.
    quiet_since: Seq,
    /// What came before that, once there was something: most groups wait for their first change.
    past: Option<Box<Past>>,
    /// Its statement takes long.
    slow: bool,
}

/// What a group was looked for, while it was.
#[derive(Default)]
struct Past {
    /// What was seen, and not read by all.
    recent: VecDeque<Kept>,
    /// Stretches of the log without a change for the group, from where to where: who is woken late need not read
    /// them, and they may be trimmed.
    gaps: VecDeque<(Seq, Seq)>,
}

struct Kept {
    stretch: Arc<Stretch>,
    bytes: usize,
    /// How many have read it.
    readers: AtomicUsize,
}

/// How a reader of a group comes by what follows.
pub(crate) enum Next {
    /// It was seen.
    Seen(Arc<Stretch>),
    /// Nothing that was looked at concerns the reader.
    Quiet,
    /// The reader is behind, or nobody looks: it reads for itself.
    Unknown,
}

impl GroupState {
    fn new(tip: Arc<Tip>) -> GroupState {
        GroupState {
            tip,
            looked: None,
            held: None,
            quiet_since: Seq::ZERO,
            past: None,
            slow: false,
        }
    }

    fn past(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }

    /// Nothing up to here is missing.
    fn position(&self) -> Option<Seq> {
        let before_held = self.held.as_ref().map(|held| held.seq.previous());
        before_held.or(self.looked.map(|looked| looked.max(self.tip.get())))
    }

    /// Remembers that there was nothing up to `upto`.
    fn end_quiet(&mut self, upto: Seq) {
        let gap = (self.quiet_since, upto);
        let gaps = &mut self.past().gaps;
        if gaps.len() == GAPS {
            gaps.pop_front();
        }
        gaps.push_back(gap);
    }

    /// Looks for the group no longer: its readers do so for themselves.
    fn stop(&mut self) {
        if let Some(position) = self.position() {
            self.end_quiet(position);
        }
        self.looked = None;
        self.held = None;
        self.past().recent.clear();
    }

    fn keep(&mut self, changes: Vec<Change>, upto: Seq, bytes: usize, readers: usize) {
        let first = changes.first().map_or(upto, |change| change.seq.previous());
        self.end_quiet(first);
        let stretch = Arc::new(Stretch::new(changes, self.quiet_since, upto));
        self.quiet_since = upto;
        let past = self.past();
        past.recent.push_back(Kept {
            stretch,
            bytes,
            readers: AtomicUsize::new(0),
        });
        past.forget_read(readers);
        let recent = &mut past.recent;
        let mut bytes: usize = recent.iter().map(|kept| kept.bytes).sum();
        while recent.len() > 1 && (recent.len() > KEPT || bytes > KEPT_BYTES) {
            let Some(oldest) = recent.pop_front() else {
                break;
            };
            bytes -= oldest.bytes;
            if oldest.readers.into_inner() == 0 {
                // They all stand still.
                return self.stop();
            }
        }
    }
}

impl Past {
    /// Lets go of what all `readers` have read.
    fn forget_read(&mut self, readers: usize) {
        let read = |kept: &Kept| kept.readers.load(Ordering::Relaxed) >= readers;
        while self.recent.front().is_some_and(read) {
            self.recent.pop_front();
        }
    }
}

impl Group {
    fn new(reader: Reader, tip: Arc<Tip>) -> Group {
        Group {
            reader,
            state: Mutex::new(GroupState::new(tip)),
            news: Notify::new(),
        }
    }

    /// What comes next for a reader at `after`, which moves over what does not concern it.
    pub(crate) fn next(self: &Arc<Group>, after: &mut Seq) -> Next {
        let mut state = self.state.lock();
        if let Some(past) = &mut state.past {
            for (from, to) in &past.gaps {
                if *from <= *after && *after < *to {
                    *after = *to;
                }
            }
            let mut recent = past.recent.iter();
            if let Some(kept) = recent.find(|kept| kept.stretch.follows(*after)) {
                let stretch = kept.stretch.clone();
                kept.readers.fetch_add(1, Ordering::Relaxed);
                *after = stretch.upto();
                past.forget_read(Arc::strong_count(self));
                return Next::Seen(stretch);
            }
        }
        match state.position() {
            Some(position) if *after >= state.quiet_since => {
                *after = position.max(*after);
                Next::Quiet
            }
            _ => Next::Unknown,
        }
    }

    /// Looks at a batch of what follows `after`; says whether there was something for the group.
    fn look(self: &Arc<Group>, batch: &ChangeBatch, versions: &Versions<'_>, after: Seq) -> bool {
        let held = {
            let state = self.state.lock();
            // Else nobody waits for it, or it came while others are looked for.
            if state.looked.is_none_or(|looked| looked > after) {
                return false;
            }
            state.held.as_deref().cloned()
        };
        let begun = Instant::now();
        let seen = seen(batch, versions, &self.reader, after, held);
        let mut state = self.state.lock();
        state.slow |= begun.elapsed() > LOOK_MAX;
        match seen {
            Ok(read) if !state.slow && read.changes.len() <= self.reader.batch_changes.into() => {
                let gone_quiet = read.changes.is_empty();
                state.looked = Some(batch.upto);
                state.held = read.held.map(Box::new);
                if gone_quiet {
                    return false;
                }
                let upto = state.position().unwrap_or(batch.upto);
                // The lookout itself holds the group, too.
                state.keep(read.changes, upto, batch.bytes, Arc::strong_count(self) - 1);
            }
            // Whatever is wrong, each of the readers finds it, too.
            _ => state.stop(),
        }
        drop(state);
        self.news.notify_waiters();
        true
    }

    fn stop(&self) {
        self.state.lock().stop();
        self.news.notify_waiters();
    }
}

/// Who looks at a scope's commits, and what all readers of it have in common.
pub(crate) struct Lookout {
    pub(crate) store: Arc<Store>,
    pub(crate) scope: FeedScope,
    pub(crate) watch: CommitWatch,
    /// A place for each read that a reader makes for itself.
    pub(crate) reads: Arc<Semaphore>,
    tip: Arc<Tip>,
    state: Mutex<LookoutState>,
}

#[derive(Default)]
struct LookoutState {
    /// Everything up to here was looked at, or is being looked at; `None` while nobody looks.
    after: Option<Seq>,
    task: Option<AbortHandle>,
    /// Those whose readers may be joined by others.
    groups: HeldByName<Name, Group>,
    concerned: Concerned,
    /// The last look ended within a transaction, whose last change some group may hold.
    within: bool,
}

/// How a reader may wait.
pub(crate) enum Place {
    /// For its group's news.
    Group,
    /// For each commit of the scope.
    Alone,
    /// Not at all: it is behind.
    Behind,
}

impl Drop for Lookout {
    fn drop(&mut self) {
        if let Some(task) = &self.state.get_mut().task {
            task.abort();
        }
    }
}

impl Lookout {
    pub(crate) fn new(store: Arc<Store>, scope: FeedScope, reads: Arc<Semaphore>) -> Lookout {
        Lookout {
            watch: store.watch(&scope),
            store,
            scope,
            reads,
            tip: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// The group of those who see the same, which the name tells.
    pub(crate) fn join(&self, name: Option<Name>, reader: Reader) -> Arc<Group> {
        let state = &mut *self.state.lock();
        let new = || {
            let group = Arc::new(Group::new(reader, self.tip.clone()));
            state.concerned.add(&group);
            group
        };
        match name {
            Some(name) => state.groups.get(name, new),
            None => new(),
        }
    }

    /// How a reader of the group at `after`, who has found nothing, may wait. Has the group looked for, unless the reader is
    /// the only one of the scope.
    pub(crate) fn place(self: &Arc<Lookout>, group: &Group, after: Seq) -> Place {
        let mut state = self.state.lock();
        let looked = match state.after {
            Some(looked) => looked,
            None if Arc::strong_count(self) == 1 => return Place::Alone,
            None => {
                let visible = self.store.visible();
                let looking = look(Arc::downgrade(self), self.watch.clone(), visible);
                state.task = Some(tokio::spawn(looking).abort_handle());
                *state.after.insert(visible)
            }
        };
        let mut of_group = group.state.lock();
        if of_group.slow {
            return Place::Alone;
        }
        if of_group.looked.is_none() {
            of_group.looked = Some(looked);
            of_group.quiet_since = looked;
        }
        match after >= of_group.quiet_since {
            true => Place::Group,
            false => Place::Behind,
        }
    }

    /// Waits for a commit of the scope after `after`. Cancel-safe.
    pub(crate) async fn changed(&self, after: Seq) {
        self.watch.clone().changed(after).await;
    }

    /// What a batch of what follows brings, for the groups that it concerns.
    fn sight(&self, batch: ChangeBatch, begun: Instant) -> Sight {
        let versions = Versions::of(&batch.changes);
        let mut state = self.state.lock();
        state.after = Some(batch.upto);
        let within = batch.changes.last().map(|change| !change.ends_transaction);
        let was_within = std::mem::replace(&mut state.within, within.unwrap_or(false));
        let groups = match was_within {
            true => state.concerned.all(),
            false => state.concerned.by(batch.catalog_version, &versions),
        };
        drop(state);
        drop(versions);
        Sight {
            batch,
            groups,
            begun,
        }
    }

    /// Looks at what follows `after` for all groups that it concerns, and tells up to where, and how long it took for those
    /// for which there was nothing.
    fn show(&self, sight: &Sight, after: Seq) -> (Seq, Duration) {
        let Sight {
            batch,
            groups,
            begun,
        } = sight;
        let versions = Versions::of(&batch.changes);
        let look = |group: &&Arc<Group>| group.look(batch, &versions, after);
        let seen = groups.iter().filter(look).count();
        self.tip.set(batch.upto);
        let all = groups.len().max(1);
        let quiet = (all - seen) as f64 / all as f64;
        (batch.upto, begun.elapsed().mul_f64(quiet))
    }

    /// Nobody looks any longer.
    fn stop(&self) {
        let groups = {
            let mut state = self.state.lock();
            state.after = None;
            state.concerned.all()
        };
        groups.iter().for_each(|group| group.stop());
    }
}

/// Changes, and those whom they concern.
struct Sight {
    batch: ChangeBatch,
    groups: Vec<Arc<Group>>,
    /// When they began to be read.
    begun: Instant,
}

impl Sight {
    /// Whether to look takes a moment, if the changes are few.
    fn is_light(&self) -> bool {
        self.groups.len() <= GROUPS_FEW && (self.groups.iter()).all(|group| group.reader.is_light())
    }
}

/// The task of a lookout. Between two looks those who were woken by the first have their turn.
async fn look(lookout: Weak<Lookout>, mut watch: CommitWatch, mut after: Seq) {
    loop {
        watch.changed(after).await;
        let Some(looking) = lookout.upgrade() else {
            return;
        };
        match look_once(&looking, after).await {
            Some((upto, for_nothing)) => {
                after = upto;
                drop(looking);
                if for_nothing >= REST_MIN {
                    tokio::time::sleep(for_nothing * (LOOKS_SHARE - 1)).await;
                }
            }
            // Each of the readers comes upon what is wrong, too.
            None => return looking.stop(),
        }
    }
}

/// Looks at what follows `after`, as `Lookout::show` tells; `None` if something is wrong: the log cannot be read, or a
/// statement panicked.
async fn look_once(looking: &Arc<Lookout>, after: Seq) -> Option<(Seq, Duration)> {
    let begun = Instant::now();
    let few = (looking.store).read_few_changes(&looking.scope, after, BATCH_CHANGES.into());
    let few = few.ok()?.map(|batch| looking.sight(batch, begun));
    if let Some(sight) = few.as_ref().filter(|sight| sight.is_light()) {
        // Another thread would take longer to begin.
        return caught(|| looking.show(sight, after)).ok();
    }
    let looking = looking.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let sight = match few {
            Some(sight) => sight,
            None => {
                let Lookout { store, scope, .. } = &*looking;
                let batch = store.read_changes(scope, after, BATCH_CHANGES.into());
                looking.sight(batch.ok()?, begun)
            }
        };
        Some(looking.show(&sight, after))
    });
    looked.await.ok()?
}
