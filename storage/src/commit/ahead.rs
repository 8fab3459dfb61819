//! Checking a large transaction ahead of its turn, so that the others do not wait for it.
//!
//! The check runs on a snapshot, beside the committer. At the transaction's turn nothing is left to look at but what was
//! changed meanwhile, which the committer remembers as long as such checks are under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::check::{Lookup, Overlay};
use crate::error::CommitError;
use crate::transaction::{Touched, Transaction};

/// Keys and versions that are remembered at most.
const ENTRIES_MAX: usize = 1 << 18;

/// That a transaction was found free of conflicts, as of the group with this number.
pub(crate) struct Ahead {
    group: u64,
    _under_way: UnderWay,
}

/// Makes the committer remember what it changes.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.checks_ahead.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Ahead {
    /// Checks a transaction, which must have no rows of STREAM tables: they go without a commit.
    pub(super) fn check(
        shared: &Arc<Shared>,
        transaction: &Transaction,
    ) -> Result<Ahead, CommitError> {
        shared.checks_ahead.fetch_add(1, Ordering::AcqRel);
        let under_way = UnderWay(shared.clone());
        // In this order: the view has every group up to that number.
        let group = shared.groups.load(Ordering::Acquire);
        let view = shared.view();
        // Stand-ins for the Seqs that the changes will have.
        let first = shared.generator.draw(1);
        let now_ms = shared.generator.now_ms();
        view.check(&mut Overlay::of_one(), transaction, first, now_ms)?;
        Ok(Ahead {
            group,
            _under_way: under_way,
        })
    }
}

/// What the newest groups have changed of the `key` and `dead` families.
#[derive(Default)]
pub(super) struct Recent {
    /// By the groups' numbers, the newest last.
    groups: VecDeque<(u64, Overlay)>,
    entries: usize,
    /// Every group after this one is there.
    after: u64,
}

impl Recent {
    /// Remembers a group.
    pub(super) fn add(&mut self, group: u64, changed: Overlay) {
        self.entries += changed.len();
        self.groups.push_back((group, changed));
        while self.entries > ENTRIES_MAX
            && let Some((oldest, changed)) = self.groups.pop_front()
        {
            self.after = oldest;
            self.entries -= changed.len();
        }
    }

    /// Of what the group changed, and those before it, nothing is known any more.
    pub(super) fn forget(&mut self, group: u64) {
        self.groups.clear();
        self.entries = 0;
        self.after = group;
    }

    /// Whether nothing that a transaction was checked for has changed since.
    pub(super) fn spares(&self, touched: &Touched, ahead: &Ahead) -> bool {
        let newer = |(group, _): &&(u64, Overlay)| *group > ahead.group;
        ahead.group >= self.after
            && (self.groups.iter().rev().take_while(newer))
                .all(|(_, changed)| !changed.meets(touched))
    }
}
