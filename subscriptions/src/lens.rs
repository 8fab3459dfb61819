//! What a statement makes of changes: a row that starts to match is an insert, one that stops is a delete, and the
//! last change that is left of a transaction says so.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use tidelog_storage::{Change, ChangeOp, ColumnType, Datum, Partition, Row, Seq};

/// Why a row could not be looked at; it comes from the crate that implements [`Lens`].
pub type LensError = Box<dyn std::error::Error + Send + Sync>;

/// What a subscriber sees of a row version.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Nothing: it does not match.
    Nothing,
    /// The row as it is.
    Whole,
    /// These values.
    As(Row),
}

/// Row versions that statements look at, all of one table.
pub struct Versions<'a> {
    rows: Vec<(Seq, &'a Partition, &'a Row)>,
    prepared: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl<'a> Versions<'a> {
    /// What changes brought and replaced: of each the row, and behind it the one before, if there is one.
    pub(crate) fn of(changes: &'a [Change]) -> Versions<'a> {
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            rows.push((change.seq, &change.partition, &change.row));
            if let Some(old) = &change.old {
                rows.push((change.seq, &change.partition, old));
            }
        }
        Versions {
            rows,
            prepared: OnceLock::new(),
        }
    }

    /// They, with their Seqs and partitions.
    pub fn rows(&self) -> &[(Seq, &'a Partition, &'a Row)] {
        &self.rows
    }

    /// What the first statement that looks makes of them for all: the same for each, whichever it is.
    pub fn prepared<T: Send + Sync + 'static>(
        &self,
        prepare: impl FnOnce(&[(Seq, &'a Partition, &'a Row)]) -> T,
    ) -> Arc<T> {
        if let Some(prepared) = self.prepared.get()
            && let Ok(prepared) = prepared.clone().downcast()
        {
            return prepared;
        }
        let prepared = Arc::new(prepare(&self.rows));
        // One that another made meanwhile is as good.
        let _ = self.prepared.set(prepared.clone());
        prepared
    }
}

/// Values of a column, one of which a row must have for anything of it to be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Where the column stands in a row.
    pub column: usize,
    /// The column's type.
    pub ty: ColumnType,
    /// The values as [`tidelog_storage::key::sortable`] writes them.
    pub values: Vec<Vec<u8>>,
}

/// A statement's WHERE clause and select list.
pub trait Lens: Send + Sync {
    /// The values that the statement asks for, if it does.
    fn asked(&self) -> Option<Asked> {
        None
    }

    /// Whether to look at a few versions takes a moment.
    fn is_light(&self) -> bool {
        true
    }

    /// What is seen of each version, in order.
    fn look(&self, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError>;
}

/// Which kinds of changes a subscriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ops {
    /// Rows that come, or start to match.
    pub insert: bool,
    /// Rows that are replaced and match before and after.
    pub update: bool,
    /// Rows that go, or stop matching.
    pub delete: bool,
}

impl Ops {
    /// All of them.
    pub const ALL: Ops = Ops {
        insert: true,
        update: true,
        delete: true,
    };

    fn contain(self, op: ChangeOp) -> bool {
        match op {
            ChangeOp::Insert => self.insert,
            ChangeOp::Update => self.update,
            ChangeOp::Delete => self.delete,
        }
    }
}

/// Translates changes of the table into changes of what the subscriber sees.
///
/// The row before an update is looked at under the change's own Seq, since the feed does not carry its former one.
/// `versions` are those of the changes; `held` is the last change of a transaction whose end was not read yet: it cannot be told before whether
/// another one of it is seen. What is held back in turn comes second.
pub(crate) fn translate(
    lens: Option<&dyn Lens>,
    ops: Ops,
    changes: &[Change],
    versions: &Versions<'_>,
    mut held: Option<Change>,
) -> Result<(Vec<Change>, Option<Change>), LensError> {
    let seen = match lens {
        Some(lens) => look(lens, versions)?,
        None => Vec::new(),
    };
    let mut seen = seen.into_iter();
    let mut next = || match lens {
        Some(_) => seen.next().expect("one answer for each version"),
        None => Seen::Whole,
    };
    let mut kept = Vec::new();
    for change in changes {
        let row = next();
        let old = change.old.is_some().then(&mut next);
        if let Some(change) = see(change, ops, row, old)
            && let Some(before) = held.replace(change)
        {
            kept.push(before);
        }
        if change.ends_transaction
            && let Some(mut last) = held.take()
        {
            last.ends_transaction = true;
            kept.push(last);
        }
    }
    Ok((kept, held))
}

fn look(lens: &dyn Lens, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError> {
    let (seen, asked) = (lens.look(versions)?, versions.rows().len());
    if seen.len() != asked {
        return Err(format!("{} of {asked} rows were looked at", seen.len()).into());
    }
    Ok(seen)
}

/// The change as it is seen; `old` is what is seen of the row before an update.
fn see(change: &Change, ops: Ops, row: Seen, old: Option<Seen>) -> Option<Change> {
    let values = |seen, whole: &Row| match seen {
        Seen::Nothing => None,
        Seen::Whole => Some(whole.clone()),
        Seen::As(row) => Some(row),
    };
    let old_seen = old.as_ref().is_some_and(|old| *old != Seen::Nothing);
    let op = match (change.op, row != Seen::Nothing, old_seen) {
        (ChangeOp::Update, true, false) => ChangeOp::Insert,
        (ChangeOp::Update, false, true) => ChangeOp::Delete,
        (_, false, _) => return None,
        (op, true, _) => op,
    };
    if !ops.contain(op) {
        return None;
    }
    let mut row = values(row, &change.row);
    let mut old = match (old, &change.old) {
        (Some(seen), Some(whole)) => values(seen, whole),
        _ => None,
    };
    if change.op == ChangeOp::Update && op == ChangeOp::Delete {
        row = old.take();
    }
    Some(Change {
        seq: change.seq,
        op,
        partition: change.partition.clone(),
        row: row?,
        old,
        ends_transaction: false,
    })
}

/// Changes as upserts and deletes by key. A row whose key changes is deleted under the old one, which has the Seq
/// before: who goes on after it gets both.
pub(crate) fn upserts(changes: Vec<Change>, key: &[usize]) -> Vec<Change> {
    let key_only = |row: Row| -> Row {
        let keep = |(at, value)| match key.contains(&at) {
            true => value,
            false => Datum::Null,
        };
        row.into_iter().enumerate().map(keep).collect()
    };
    let mut out = Vec::with_capacity(changes.len());
    for mut change in changes {
        if let Some(old) = change.old.take()
            && key.iter().any(|at| old[*at] != change.row[*at])
        {
            out.push(Change {
                seq: change.seq.previous(),
                op: ChangeOp::Delete,
                partition: change.partition.clone(),
                row: key_only(old),
                old: None,
                ends_transaction: false,
            });
        }
        if change.op == ChangeOp::Delete {
            change.row = key_only(change.row);
        }
        out.push(change);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Positive;

    impl Lens for Positive {
        fn look(&self, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError> {
            let look = |(_, _, row): &(Seq, &Partition, &Row)| match row[0] {
                Datum::Int8(n) if n > 100 => Seen::As(vec![Datum::Int8(n - 100)]),
                Datum::Int8(n) if n > 0 => Seen::Whole,
                _ => Seen::Nothing,
            };
            Ok(versions.rows().iter().map(look).collect())
        }
    }

    fn through(
        ops: Ops,
        changes: &[Change],
        held: Option<Change>,
    ) -> (Vec<Change>, Option<Change>) {
        let versions = Versions::of(changes);
        translate(Some(&Positive), ops, changes, &versions, held).expect("the lens cannot fail")
    }

    fn change(op: ChangeOp, row: i64, old: Option<i64>) -> Change {
        Change {
            seq: Seq::from_i64(1).expect("positive"),
            op,
            partition: Partition::shared(),
            row: vec![Datum::Int8(row)],
            old: old.map(|n| vec![Datum::Int8(n)]),
            ends_transaction: true,
        }
    }

    #[test]
    fn rows_enter_and_leave_what_is_seen() {
        use ChangeOp::{Delete, Insert, Update};
        let cases = [
            (change(Insert, 1, None), Some(change(Insert, 1, None))),
            (change(Insert, 105, None), Some(change(Insert, 5, None))),
            (change(Insert, -1, None), None),
            (change(Update, 2, Some(1)), Some(change(Update, 2, Some(1)))),
            (
                change(Update, 2, Some(101)),
                Some(change(Update, 2, Some(1))),
            ),
            (change(Update, 2, Some(-1)), Some(change(Insert, 2, None))),
            (change(Update, -2, Some(1)), Some(change(Delete, 1, None))),
            (change(Update, -2, Some(-1)), None),
            (change(Delete, 1, None), Some(change(Delete, 1, None))),
            (change(Delete, -1, None), None),
        ];
        let (before, after): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
        let expected: Vec<Change> = after.into_iter().flatten().collect();
        assert_eq!(through(Ops::ALL, &before, None), (expected, None));
    }

    #[test]
    fn the_last_change_that_is_left_of_a_transaction_ends_it() {
        let within = |n| Change {
            ends_transaction: false,
            ..change(ChangeOp::Insert, n, None)
        };
        let end = |n| change(ChangeOp::Insert, n, None);
        let all = [
            within(1),
            within(2),
            end(-3),
            within(-4),
            end(-5),
            within(6),
            within(-7),
        ];
        // However the log is cut into reads.
        for cut in 0..=all.len() {
            let (first, second) = (&all[..cut], &all[cut..]);
            let (mut kept, held) = through(Ops::ALL, first, None);
            let (more, held) = through(Ops::ALL, second, held);
            kept.extend(more);
            assert_eq!(kept, [within(1), end(2)], "cut at {cut}");
            assert_eq!(held, Some(within(6)), "cut at {cut}");
        }
    }

    #[test]
    fn ops_that_are_not_wanted_are_left_out() {
        use ChangeOp::{Delete, Insert, Update};
        let ops = Ops {
            update: false,
            delete: false,
            ..Ops::ALL
        };
        let changes = vec![
            change(Update, 2, Some(-1)),
            change(Update, 3, Some(2)),
            change(Update, -3, Some(3)),
            change(Delete, 3, None),
        ];
        let (kept, _) = through(ops, &changes, None);
        assert_eq!(kept, [change(Insert, 2, None)]);
    }

    fn pair(seq: i64, op: ChangeOp, row: [i64; 2], old: Option<[i64; 2]>) -> Change {
        let row_of = |row: [i64; 2]| row.map(Datum::Int8).to_vec();
        Change {
            seq: Seq::from_i64(seq).expect("positive"),
            op,
            partition: Partition::shared(),
            row: row_of(row),
            old: old.map(row_of),
            ends_transaction: true,
        }
    }

    #[test]
    fn upserts_tell_keys_that_go() {
        let changes = vec![
            pair(10, ChangeOp::Insert, [1, 5], None),
            pair(20, ChangeOp::Update, [1, 6], Some([1, 5])),
            pair(30, ChangeOp::Update, [2, 6], Some([1, 6])),
            pair(40, ChangeOp::Delete, [2, 6], None),
        ];
        let told = upserts(changes, &[0]);
        let brief = |change: &Change| {
            let key = change.row[0].clone();
            let rest = change.row[1].clone();
            (
                change.seq.as_i64(),
                change.op,
                key,
                rest,
                change.ends_transaction,
            )
        };
        use ChangeOp::{Delete, Insert, Update};
        let (one, two, null) = (Datum::Int8(1), Datum::Int8(2), Datum::Null);
        assert_eq!(
            told.iter().map(brief).collect::<Vec<_>>(),
            [
                (10, Insert, one.clone(), Datum::Int8(5), true),
                (20, Update, one.clone(), Datum::Int8(6), true),
                (29, Delete, one, null.clone(), false),
                (30, Update, two.clone(), Datum::Int8(6), true),
                (40, Delete, two, null, true),
            ]
        );
        assert!(told.iter().all(|change| change.old.is_none()));
    }
}
