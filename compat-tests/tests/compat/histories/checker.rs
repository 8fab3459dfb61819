//! Finds what a history of transactions over lists proves about isolation, as Elle does (Kingsbury and Alvaro,
//! "Elle: Inferring Isolation Anomalies from Experimental Observations", 2020).
//!
//! Each value is appended once, so the final lists give the order of versions, and a read tells exactly which
//! version it saw. From that come the dependencies of Adya's thesis: `ww`, `wr`, `rw`; and one transaction that ended
//! before another began must come before it (`rt`). A cycle of dependencies is an anomaly; which one, the kinds of its
//! edges tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A list.
pub(super) type Key = i64;
/// What is appended; each value once in a history.
pub(super) type Value = i64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// What was seen.
    Read(Key, Vec<Value>),
    Append(Key, Value),
}

/// One transaction as its client knows it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) ops: Vec<Op>,
    pub(super) committed: bool,
    /// Moments before its first request and after its last answer.
    pub(super) begun: u64,
    pub(super) ended: u64,
}

/// What a level promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    /// The second wrote the version after the first's.
    WriteWrite,
    /// The second read the first's version.
    WriteRead,
    /// The first read the version before the second's.
    ReadWrite,
    /// The first had ended when the second began.
    RealTime,
}

/// Gives what contradicts the level; empty when nothing does. `lists` are the lists at the end.
pub(super) fn anomalies(
    level: Level,
    history: &[Seen],
    lists: &BTreeMap<Key, Vec<Value>>,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut writers = HashMap::new();
    for (at, seen) in history.iter().enumerate() {
        for op in &seen.ops {
            if let Op::Append(key, value) = op {
                let before = writers.insert(*value, (at, *key));
                assert_eq!(before, None, "a value is appended once");
            }
        }
    }
    let checker = Checker {
        history,
        lists,
        writers,
    };
    checker.check_lists(&mut found);
    for (at, seen) in history.iter().enumerate() {
        checker.check_reads(at, seen, level, &mut found);
    }
    if found.is_empty() {
        checker.check_cycles(level, &mut found);
    }
    found
}

struct Checker<'a> {
    history: &'a [Seen],
    lists: &'a BTreeMap<Key, Vec<Value>>,
    /// Who appended a value, and to which list.
    writers: HashMap<Value, (usize, Key)>,
}

impl Checker<'_> {
    fn list(&self, key: Key) -> &[Value] {
        self.lists.get(&key).map_or(&[], Vec::as_slice)
    }

    /// What was committed is there once and together, what was not is not there.
    fn check_lists(&self, found: &mut Vec<String>) {
        let mut there = BTreeSet::new();
        for (key, list) in self.lists {
            for value in list {
                if !there.insert(*value) {
                    found.push(format!("value {value} is there twice"));
                }
                match self.writers.get(value) {
                    Some((at, to)) if to == key && self.history[*at].committed => {}
                    other => found.push(format!("list {key} holds {value} of {other:?}")),
                }
            }
            // Whoever appended in between wrote over what was not committed.
            let mut ended = BTreeSet::new();
            for pair in list.windows(2) {
                let [a, b] = [pair[0], pair[1]].map(|value| self.writers.get(&value));
                if a != b
                    && let (Some(a), Some(b)) = (a, b)
                {
                    ended.insert(a.0);
                    if ended.contains(&b.0) {
                        found.push(format!(
                            "G0: appends of transaction {} to {key} lie apart",
                            b.0
                        ));
                    }
                }
            }
        }
        for (value, (at, key)) in &self.writers {
            if self.history[*at].committed && !there.contains(value) {
                found.push(format!(
                    "lost update: {value} of transaction {at} is not in {key}"
                ));
            }
        }
    }

    /// Each read saw whole committed versions, and its transaction's own.
    fn check_reads(&self, at: usize, seen: &Seen, level: Level, found: &mut Vec<String>) {
        let mut own: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
        let mut others: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
        for op in &seen.ops {
            let (key, read) = match op {
                Op::Append(key, value) => {
                    own.entry(*key).or_default().push(*value);
                    continue;
                }
                Op::Read(key, read) => (*key, read),
            };
            let mine = own.get(&key).map_or(&[][..], Vec::as_slice);
            let Some(external) = read.strip_suffix(mine) else {
                found.push(format!(
                    "transaction {at} does not see its own {mine:?} in {read:?}"
                ));
                continue;
            };
            if !self.list(key).starts_with(external) {
                let lost = external.iter().find(|value| {
                    (self.writers.get(value)).is_none_or(|(at, _)| !self.history[*at].committed)
                });
                let name = lost.map_or("incompatible order", |_| "G1a: aborted read");
                found.push(format!("{name}: transaction {at} saw {read:?} in {key}"));
            }
            if let Some(last) = external.last()
                && let Some((writer, _)) = self.writers.get(last)
                && self.last_append(*writer, key) != Some(*last)
            {
                found.push(format!(
                    "G1b: transaction {at} saw {last}, in the middle of transaction {writer}"
                ));
            }
            if let Some(next) = self.list(key).get(external.len())
                && let Some((writer, _)) = self.writers.get(next)
                && self.history[*writer].ended < seen.begun
            {
                found.push(format!(
                    "stale read: transaction {at} did not see {next} of transaction {writer}"
                ));
            }
            let before = others.insert(key, external.to_vec());
            if level >= Level::RepeatableRead
                && let Some(before) = before
                && before != external
            {
                found.push(format!(
                    "non-repeatable read: transaction {at} saw {before:?}, then {external:?} in {key}"
                ));
            }
        }
    }

    fn last_append(&self, at: usize, key: Key) -> Option<Value> {
        let appends = self.history[at].ops.iter().rev();
        appends.clone().find_map(|op| match op {
            Op::Append(to, value) if *to == key => Some(*value),
            _ => None,
        })
    }

    fn edges(&self) -> BTreeMap<(usize, usize), BTreeSet<Edge>> {
        let mut edges: BTreeMap<(usize, usize), BTreeSet<Edge>> = BTreeMap::new();
        let mut add = |from: usize, to: usize, edge| {
            if from != to {
                edges.entry((from, to)).or_default().insert(edge);
            }
        };
        for list in self.lists.values() {
            for pair in list.windows(2) {
                add(
                    self.writers[&pair[0]].0,
                    self.writers[&pair[1]].0,
                    Edge::WriteWrite,
                );
            }
        }
        for (at, seen) in self.committed() {
            for op in &seen.ops {
                let Op::Read(key, read) = op else { continue };
                let others = |value: &&Value| self.writers[value].0 != at;
                let external = read.iter().take_while(others).count();
                if let Some(last) = read[..external].last() {
                    add(self.writers[last].0, at, Edge::WriteRead);
                }
                if let Some(next) = self.list(*key).get(external) {
                    add(at, self.writers[next].0, Edge::ReadWrite);
                }
            }
        }
        for (at, seen) in self.committed() {
            let before = || {
                self.committed()
                    .filter(|(_, other)| other.ended < seen.begun)
            };
            // Who had ended before another of these began is before this one anyway.
            let newest = before().map(|(_, other)| other.begun).max().unwrap_or(0);
            for (other, _) in before().filter(|(_, other)| other.ended >= newest) {
                add(other, at, Edge::RealTime);
            }
        }
        edges
    }

    fn committed(&self) -> impl Iterator<Item = (usize, &Seen)> {
        self.history
            .iter()
            .enumerate()
            .filter(|(_, seen)| seen.committed)
    }

    fn check_cycles(&self, level: Level, found: &mut Vec<String>) {
        use Edge::{ReadWrite, RealTime, WriteRead, WriteWrite};
        let edges = self.edges();
        let kinds: &[(&str, Level, &[Edge], bool)] = &[
            ("G0", Level::ReadCommitted, &[WriteWrite, RealTime], false),
            (
                "G1c",
                Level::ReadCommitted,
                &[WriteWrite, WriteRead, RealTime],
                false,
            ),
            (
                "G-SI (a cycle without two anti-dependencies in a row)",
                Level::RepeatableRead,
                &[WriteWrite, WriteRead, RealTime, ReadWrite],
                true,
            ),
            (
                "G2",
                Level::Serializable,
                &[WriteWrite, WriteRead, RealTime, ReadWrite],
                false,
            ),
        ];
        for (name, from, allowed, apart) in kinds {
            if level < *from {
                continue;
            }
            // A state is a transaction and whether it was reached by an anti-dependency.
            let mut steps: BTreeMap<(usize, bool), Vec<(usize, bool)>> = BTreeMap::new();
            for ((a, b), kinds) in &edges {
                for kind in kinds.iter().filter(|kind| allowed.contains(kind)) {
                    let anti = *apart && *kind == ReadWrite;
                    steps.entry((*a, false)).or_default().push((*b, anti));
                    if *apart && !anti {
                        steps.entry((*a, true)).or_default().push((*b, anti));
                    }
                }
            }
            if let Some(cycle) = cycle(&steps) {
                let mut shown = String::new();
                for (n, (at, _)) in cycle.iter().enumerate() {
                    let next = cycle[(n + 1) % cycle.len()].0;
                    let kinds = edges.get(&(*at, next));
                    shown += &format!("\n  {at} {:?} -> {kinds:?}", self.history[*at]);
                }
                found.push(format!("{name}:{shown}"));
                return;
            }
        }
    }
}

/// A shortest cycle through some state, if there is one.
fn cycle(steps: &BTreeMap<(usize, bool), Vec<(usize, bool)>>) -> Option<Vec<(usize, bool)>> {
    // What has no way in or no way out is on no cycle: what is left after taking it away, again and again, is small.
    let mut steps = steps.clone();
    loop {
        let entered: BTreeSet<_> = steps.values().flatten().copied().collect();
        let before = steps.len();
        steps.retain(|state, _| entered.contains(state));
        let left: BTreeSet<_> = steps.keys().copied().collect();
        for next in steps.values_mut() {
            next.retain(|state| left.contains(state));
        }
        steps.retain(|_, next| !next.is_empty());
        if steps.len() == before {
            break;
        }
    }
    let from_each = steps.keys().filter_map(|start| {
        let mut came: BTreeMap<(usize, bool), (usize, bool)> = BTreeMap::new();
        let mut reached = vec![*start];
        while !reached.is_empty() {
            let mut next = Vec::new();
            for state in reached {
                for to in steps.get(&state).into_iter().flatten() {
                    if to == start {
                        let mut cycle = vec![state];
                        while let Some(before) = came.get(cycle.last().expect("it is not empty")) {
                            cycle.push(*before);
                        }
                        cycle.reverse();
                        return Some(cycle);
                    }
                    if !came.contains_key(to) {
                        came.insert(*to, state);
                        next.push(*to);
                    }
                }
            }
            reached = next;
        }
        None
    });
    // Each start gives its own shortest one; the first will do where there are many.
    from_each.take(50).min_by_key(Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transactions that all overlap, each `r1:2,3` or `a1:4`; those that begin with `!` were rolled back.
    fn check(level: Level, history: &str, lists: &[(Key, &[Value])]) -> String {
        let transaction = |(at, text): (usize, &str)| {
            let committed = !text.starts_with('!');
            let op = |op: &str| {
                let (kind, rest) = op.split_at(1);
                let (key, values) = rest.split_once(':').unwrap();
                let values = values.split(',').filter_map(|value| value.parse().ok());
                let values: Vec<Value> = values.collect();
                match kind {
                    "r" => Op::Read(key.parse().unwrap(), values),
                    _ => Op::Append(key.parse().unwrap(), values[0]),
                }
            };
            Seen {
                ops: text
                    .trim_start_matches('!')
                    .split_whitespace()
                    .map(op)
                    .collect(),
                committed,
                begun: 1,
                ended: 10 + at as u64,
            }
        };
        let history: Vec<Seen> = history
            .split(';')
            .map(str::trim)
            .enumerate()
            .map(transaction)
            .collect();
        let lists = lists
            .iter()
            .map(|(key, list)| (*key, list.to_vec()))
            .collect();
        let found = anomalies(level, &history, &lists);
        let names = found
            .iter()
            .map(|found| found.split([':', '(']).next().unwrap().trim());
        names.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn anomalies_are_found_where_they_are_forbidden() {
        use Level::{ReadCommitted, RepeatableRead, Serializable};
        // (history, final lists, what READ COMMITTED, REPEATABLE READ and SERIALIZABLE say)
        type Lists = &'static [(Key, &'static [Value])];
        let cases: &[(&str, Lists, [&str; 3])] = &[
            ("a1:1; r1:1 a1:2; r1:1,2", &[(1, &[1, 2])], ["", "", ""]),
            // One write is gone.
            ("a1:1; r1: a1:2", &[(1, &[2])], ["lost update"; 3]),
            // It is there, but one of the two had not seen the other.
            ("r1: a1:1; r1: a1:2", &[(1, &[1, 2])], ["", "G-SI", "G-SI"]),
            ("!a1:1; r1:1", &[], ["G1a"; 3]),
            ("a1:1 a1:2; r1:1", &[(1, &[1, 2])], ["G1b"; 3]),
            ("a1:1 a1:2; a1:3", &[(1, &[1, 3, 2])], ["G0"; 3]),
            // Each wrote first somewhere.
            (
                "a1:1 a2:2; a1:3 a2:4",
                &[(1, &[1, 3]), (2, &[4, 2])],
                ["G0"; 3],
            ),
            // Each saw the other's.
            ("a1:1 r2:2; a2:2 r1:1", &[(1, &[1]), (2, &[2])], ["G1c"; 3]),
            (
                "r1: r1:1; a1:1",
                &[(1, &[1])],
                ["", "non-repeatable read", "non-repeatable read"],
            ),
            // Read skew: one list from before, the other from after.
            (
                "a1:1 a2:2; r1: r2:2",
                &[(1, &[1]), (2, &[2])],
                ["", "G-SI", "G-SI"],
            ),
            // Write skew.
            (
                "r1: a2:2; r2: a1:1",
                &[(1, &[1]), (2, &[2])],
                ["", "", "G2"],
            ),
            // A read-only transaction that sees them in an order that none other allows.
            (
                "r1: r2: a2:2; a1:1; r1:1 r2:",
                &[(1, &[1]), (2, &[2])],
                ["", "", "G2"],
            ),
            (
                "a1:1 r1:",
                &[(1, &[1])],
                ["transaction 0 does not see its own [1] in []"; 3],
            ),
        ];
        for (history, lists, expected) in cases {
            let levels = [ReadCommitted, RepeatableRead, Serializable];
            let found = levels.map(|level| check(level, history, lists));
            assert_eq!(&found, expected, "{history}");
        }
    }

    #[test]
    fn a_stale_read_contradicts_time() {
        let write = Seen {
            ops: vec![Op::Append(1, 1)],
            committed: true,
            begun: 1,
            ended: 2,
        };
        let read = Seen {
            ops: vec![Op::Read(1, vec![])],
            committed: true,
            begun: 3,
            ended: 4,
        };
        let lists = BTreeMap::from([(1, vec![1])]);
        let found = anomalies(Level::ReadCommitted, &[write, read], &lists);
        assert_eq!(
            found,
            ["stale read: transaction 1 did not see 1 of transaction 0"]
        );
    }
}
