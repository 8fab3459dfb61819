//! The versions that a scan of cold files leaves out.

use tidelog_storage::Seq;

/// Dead versions, ascending. Rows come in the order of Seqs, or nearly so: walking beside them costs a tenth of a set's hashes.
#[derive(Debug)]
pub(super) struct Dead(Vec<Seq>);

impl Dead {
    pub(super) fn new(mut seqs: Vec<Seq>) -> Dead {
        seqs.sort_unstable();
        Dead(seqs)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A walk for the rows of one batch.
    pub(super) fn walk(&self) -> Walk<'_> {
        Walk {
            dead: &self.0,
            at: 0,
        }
    }
}

/// Where in the dead versions the last row would stand.
pub(super) struct Walk<'a> {
    dead: &'a [Seq],
    at: usize,
}

impl Walk<'_> {
    /// Whether a row is dead; quick if its Seq is a little above the last one's.
    pub(super) fn finds(&mut self, seq: Seq) -> bool {
        if self.at > 0 && self.dead[self.at - 1] >= seq {
            self.at = 0;
        }
        let ahead = &self.dead[self.at..];
        let mut end = 1;
        while ahead.get(end - 1).is_some_and(|dead| *dead < seq) {
            end *= 2;
        }
        let (start, end) = (end / 2, end.min(ahead.len()));
        self.at += start + ahead[start..end].partition_point(|dead| *dead < seq);
        self.dead.get(self.at) == Some(&seq)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_walk_finds_what_a_set_holds() {
        let seq = |n: i64| Seq::from_i64(n).expect("it is not negative");
        let mut state = 7_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            ((state >> 33) % limit) as i64
        };
        for size in [0, 1, 2, 3, 17, 400] {
            let dead: Vec<Seq> = (0..size).map(|_| seq(below(1000))).collect();
            let set: HashSet<Seq> = dead.iter().copied().collect();
            let dead = Dead::new(dead);
            assert_eq!(dead.is_empty(), size == 0);
            let mut rows: Vec<Seq> = (0..500).map(|_| seq(below(1000))).collect();
            for sorted in [false, true] {
                if sorted {
                    rows.sort_unstable();
                }
                let mut walk = dead.walk();
                for row in &rows {
                    assert_eq!(walk.finds(*row), set.contains(row), "{size} {sorted} {row}");
                }
            }
        }
    }
}
