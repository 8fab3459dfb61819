//! What a WHERE clause makes of changes: a row that starts to match is an insert, one that stops is a delete.

use tidelog_storage::{Change, ChangeOp, Partition, Row, Seq};

/// Why a filter could not be evaluated; it comes from the crate that implements [`RowFilter`].
pub type FilterError = Box<dyn std::error::Error + Send + Sync>;

/// Decides which row versions a subscriber sees.
pub trait RowFilter: Send + Sync {
    /// For each version, in order, whether it matches.
    fn matches(&self, versions: &[(Seq, &Partition, &Row)]) -> Result<Vec<bool>, FilterError>;
}

/// Translates changes of the table into changes of the filtered set of rows.
///
/// The row before an update is tested under the change's own Seq, since the feed does not carry its former one.
pub(crate) fn translate(
    filter: &dyn RowFilter,
    changes: Vec<Change>,
) -> Result<Vec<Change>, FilterError> {
    let mut versions = Vec::with_capacity(changes.len());
    for change in &changes {
        versions.push((change.seq, &change.partition, &change.row));
        if let Some(old) = &change.old {
            versions.push((change.seq, &change.partition, old));
        }
    }
    let matches = filter.matches(&versions)?;
    if matches.len() != versions.len() {
        return Err(format!(
            "the filter answered for {} of {} rows",
            matches.len(),
            versions.len()
        )
        .into());
    }
    let mut matches = matches.into_iter();
    let mut next = || matches.next().expect("one answer for each version");
    let mut kept = Vec::with_capacity(changes.len());
    for mut change in changes {
        let row_matches = next();
        let old_matches = change.old.is_some().then(&mut next);
        match (change.op, row_matches, old_matches) {
            (ChangeOp::Update, true, Some(false)) => {
                change.op = ChangeOp::Insert;
                change.old = None;
                kept.push(change);
            }
            (ChangeOp::Update, false, Some(true)) => {
                change.op = ChangeOp::Delete;
                change.row = change.old.take().expect("it was there to be tested");
                kept.push(change);
            }
            (_, true, _) => kept.push(change),
            (_, false, _) => {}
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use tidelog_storage::Datum;

    use super::*;

    struct Positive;

    impl RowFilter for Positive {
        fn matches(&self, versions: &[(Seq, &Partition, &Row)]) -> Result<Vec<bool>, FilterError> {
            Ok(versions
                .iter()
                .map(|(_, _, row)| matches!(row[0], Datum::Int8(n) if n > 0))
                .collect())
        }
    }

    fn change(op: ChangeOp, row: i64, old: Option<i64>) -> Change {
        Change {
            seq: Seq::from_i64(1).expect("positive"),
            op,
            partition: Partition::shared(),
            row: vec![Datum::Int8(row)],
            old: old.map(|n| vec![Datum::Int8(n)]),
            last_in_transaction: true,
        }
    }

    #[test]
    fn rows_enter_and_leave_the_filtered_set() {
        use ChangeOp::{Delete, Insert, Update};
        let cases = [
            (change(Insert, 1, None), Some(change(Insert, 1, None))),
            (change(Insert, -1, None), None),
            (change(Update, 2, Some(1)), Some(change(Update, 2, Some(1)))),
            (change(Update, 2, Some(-1)), Some(change(Insert, 2, None))),
            (change(Update, -2, Some(1)), Some(change(Delete, 1, None))),
            (change(Update, -2, Some(-1)), None),
            (change(Delete, 1, None), Some(change(Delete, 1, None))),
            (change(Delete, -1, None), None),
        ];
        let (before, after): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
        let expected: Vec<Change> = after.into_iter().flatten().collect();
        assert_eq!(
            translate(&Positive, before).expect("the filter cannot fail"),
            expected
        );
    }
}
