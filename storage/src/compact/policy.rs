//! Which files of a partition are worth merging.

#![allow(
    clippy::single_range_in_vec_init,
    reason = "runs of files are ranges, and there may be one"
)]

use std::ops::Range;

use crate::flush::WORTH_A_FILE_ROWS;

/// Files that the policy merges at once, at least.
const RUN_FILES_MIN: usize = 4;
/// A file with more rows, dead ones counted, is merged with no other.
const FILE_ROWS_MAX: u64 = 2 << 20;
/// The same for bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// What the choice goes by: one file, in the order of Seqs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// How many of the rows are dead for longer than the history window.
    pub(crate) dead: u64,
    /// Whether its rows stand in the order that the table asks for.
    pub(crate) in_order: bool,
    /// Whether it lies in the storage that the table asks for.
    pub(crate) in_place: bool,
}

impl Candidate {
    /// Half of it is dead: writing the other half again pays.
    fn is_stale(&self) -> bool {
        self.dead > 0 && self.dead >= self.rows - self.dead
    }

    /// It will hardly be merged with another any more, which would sort it.
    fn stays_unsorted(&self) -> bool {
        let large = self.rows > FILE_ROWS_MAX / 2 || self.bytes > FILE_BYTES_MAX / 2;
        large && !self.in_order
    }
}

/// What is due without being asked for: size-tiered, from the newest file on. A run grows towards older files as long
/// as the next one is no larger than the run so far, so that every row is rewritten about log2(n) times in all;
/// files that are mostly dead, or large and not in the table's order, are rewritten on their own.
pub(crate) fn due(files: &[Candidate]) -> Vec<Range<usize>> {
    for end in (RUN_FILES_MIN..=files.len()).rev() {
        let (mut start, mut rows, mut bytes) = (end, 0, 0);
        while start > 0 {
            let next = files[start - 1];
            let larger = start < end && next.rows > rows.max(WORTH_A_FILE_ROWS);
            if larger || rows + next.rows > FILE_ROWS_MAX || bytes + next.bytes > FILE_BYTES_MAX {
                break;
            }
            rows += next.rows;
            bytes += next.bytes;
            start -= 1;
        }
        if end - start >= RUN_FILES_MIN {
            return vec![start..end];
        }
    }
    (0..files.len())
        .filter(|at| files[*at].is_stale() || files[*at].stays_unsorted())
        .map(|at| at..at + 1)
        .collect()
}

/// What is worth doing when it is asked for: as few files as the largest size allows, in the order and the storage that
/// the table asks for, and nothing dead in them.
pub(crate) fn worthwhile(files: &[Candidate]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < files.len() {
        let (mut end, mut rows, mut bytes) = (start + 1, files[start].rows, files[start].bytes);
        while end < files.len()
            && rows + files[end].rows <= FILE_ROWS_MAX
            && bytes + files[end].bytes <= FILE_BYTES_MAX
        {
            rows += files[end].rows;
            bytes += files[end].bytes;
            end += 1;
        }
        let first = files[start];
        if end - start > 1 || first.dead > 0 || !first.in_order || !first.in_place {
            runs.push(start..end);
        }
        start = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(rows: &[u64]) -> Vec<Candidate> {
        let file = |rows: &u64| Candidate {
            rows: *rows,
            bytes: rows * 10,
            dead: 0,
            in_order: true,
            in_place: true,
        };
        rows.iter().map(file).collect()
    }

    #[test]
    fn runs_of_like_size_are_due() {
        assert!(due(&files(&[])).is_empty());
        assert!(due(&files(&[100_000; 3])).is_empty());
        assert_eq!(due(&files(&[100_000; 4])), [0..4]);
        // A large old file waits until the newer ones together weigh as much.
        assert!(due(&files(&[400_000, 100_000, 100_000, 100_000])).is_empty());
        assert_eq!(
            due(&files(&[400_000, 100_000, 100_000, 100_000, 100_000])),
            [0..5]
        );
        assert_eq!(
            due(&files(&[900_000, 100_000, 100_000, 100_000, 100_000])),
            [1..5]
        );
        // Tiny files count as equals, and a small newest one does not hold up the others.
        assert_eq!(due(&files(&[900, 10, 1, 500, 2])), [0..5]);
        assert_eq!(
            due(&files(&[200_000, 200_000, 200_000, 200_000, 5])),
            [0..4]
        );
        assert!(due(&files(&[FILE_ROWS_MAX; 9])).is_empty());
    }

    #[test]
    fn every_row_is_rewritten_a_few_times() {
        let (mut present, mut rewritten): (Vec<u64>, u64) = (Vec::new(), 0);
        for _ in 0..1000 {
            present.extend([1000]);
            while let Some(run) = due(&files(&present)).pop() {
                let sum = present[run.clone()].iter().sum();
                rewritten += sum;
                present.splice(run, [sum]);
            }
        }
        assert!(present.len() < 20, "{present:?}");
        assert!(rewritten <= 10 * 1000 * 1000, "{rewritten}");
    }

    #[test]
    fn mostly_dead_files_are_due_and_any_dead_row_is_worth_asking() {
        let mut some = files(&[100, 100, 100]);
        some[1].dead = 50;
        some[2].dead = 49;
        assert_eq!(due(&some), [1..2]);
        assert_eq!(worthwhile(&some), [0..3]);
        assert_eq!(worthwhile(&files(&[FILE_ROWS_MAX, 1, 1])), [1..3]);
        assert!(worthwhile(&files(&[7])).is_empty());
        let mut one = files(&[7]);
        one[0].dead = 1;
        assert_eq!(worthwhile(&one), [0..1]);
        assert!(due(&one).is_empty());
    }

    #[test]
    fn unsorted_files_are_worth_asking_and_large_ones_are_due() {
        let mut some = files(&[FILE_ROWS_MAX, FILE_ROWS_MAX, 100]);
        assert!(due(&some).is_empty());
        some[0].in_order = false;
        some[2].in_order = false;
        assert_eq!(due(&some), [0..1]);
        assert_eq!(worthwhile(&some), [0..1, 2..3]);
    }

    #[test]
    fn files_move_to_another_storage_when_it_is_asked_for() {
        let mut some = files(&[FILE_ROWS_MAX, FILE_ROWS_MAX]);
        some[1].in_place = false;
        assert!(due(&some).is_empty());
        assert_eq!(worthwhile(&some), [1..2]);
    }
}
