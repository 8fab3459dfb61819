//! A subscription under way, below the doors that serve it: the rows as they stand, `ready`, then each change as it is
//! committed. Nobody pushes: what is not taken stays in the log.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tidelog_sql::subscribe::SubscribePlan;
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::datum::datum_at;
use tidelog_storage::{Change, ChangeOp, DatumRef, Partition, Row, Seq, Store, TableDef};
use tidelog_subscriptions::{FilterError, RowFilter, SubscriptionError, Tail};

/// The engine's WHERE clause, as the subscription sees it.
pub(crate) struct Where(pub(crate) Arc<tidelog_sql::subscribe::RowFilter>);

impl RowFilter for Where {
    fn matches(&self, versions: &[(Seq, &Partition, &Row)]) -> Result<Vec<bool>, FilterError> {
        Ok(self.0.matches(versions)?)
    }
}

/// A stretch of a subscription's rows.
pub(crate) enum Part {
    /// Rows as they stand at the beginning: in each the Seq, then the subscription's columns.
    Snapshot(RecordBatch),
    /// A row that tells how far the reader is.
    Mark(Mark, Seq),
    /// Changes, in commit order, and whether they end between two transactions.
    Changes(Vec<Change>, bool),
}

/// What a row without a change says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// All rows of the snapshot have come; changes after this Seq follow.
    Ready,
    /// There is no snapshot: changes after this Seq follow, which the reader named. It may lie inside a transaction.
    Resumed,
    /// Nothing up to this Seq is missing, and it lies between two transactions.
    Progress,
}

/// What there is without waiting for a commit.
pub(crate) enum AtHand {
    /// A part.
    Part(Part),
    /// Everything that is committed was given.
    Tip,
}

/// A subscription under way.
pub(crate) struct Feed {
    plan: SubscribePlan,
    tail: Tail,
    ready_told: bool,
    resumed: bool,
    /// Whether the changes that were given last ended inside a transaction.
    inside: bool,
}

impl Feed {
    /// Begins a subscription.
    pub(crate) fn open(store: Arc<Store>, plan: SubscribePlan) -> Feed {
        let filter = plan.filter.clone();
        let filter = filter.map(|filter| Arc::new(Where(filter)) as Arc<dyn RowFilter>);
        let version = plan.table.schema_version;
        let tail = Tail::new(store, plan.scope.clone(), version, filter, plan.after);
        Feed {
            tail,
            ready_told: false,
            resumed: plan.snapshot.is_none(),
            inside: false,
            plan,
        }
    }

    /// The statement that it was made from.
    pub(crate) fn plan(&self) -> &SubscribePlan {
        &self.plan
    }

    /// The next part; waits for it. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Part, SqlError> {
        match self.at_hand().await? {
            AtHand::Part(part) => Ok(part),
            AtHand::Tip => {
                let changes = self.tail.next().await;
                let changes = changes.map_err(|error| sql_error(error, &self.plan.table))?;
                Ok(self.changes(changes))
            }
        }
    }

    /// The next part, if there is one without waiting for a commit. Cancel-safe.
    pub(crate) async fn at_hand(&mut self) -> Result<AtHand, SqlError> {
        while let Some(snapshot) = &mut self.plan.snapshot {
            match snapshot.next().await.transpose()? {
                Some(rows) if rows.num_columns() != self.plan.selected().len() + 1 => {
                    let message = "the snapshot has not the columns that were announced";
                    return Err(SqlError::new(ErrorKind::InternalError, message));
                }
                Some(rows) if rows.num_rows() == 0 => {}
                Some(rows) => return Ok(AtHand::Part(Part::Snapshot(rows))),
                None => self.plan.snapshot = None,
            }
        }
        if !self.ready_told {
            self.ready_told = true;
            let mark = match self.resumed {
                true => Mark::Resumed,
                false => Mark::Ready,
            };
            return Ok(AtHand::Part(Part::Mark(mark, self.plan.after)));
        }
        let changes = self.tail.committed().await;
        let changes = changes.map_err(|error| sql_error(error, &self.plan.table))?;
        if !changes.is_empty() {
            return Ok(AtHand::Part(self.changes(changes)));
        }
        let position = self.tail.position();
        if self.inside && position.whole {
            // The rest of the transaction was not for this reader.
            self.inside = false;
            return Ok(AtHand::Part(Part::Mark(Mark::Progress, position.seq)));
        }
        Ok(AtHand::Tip)
    }

    fn changes(&mut self, changes: Vec<Change>) -> Part {
        let whole = self.tail.position().whole;
        self.inside = !whole;
        Part::Changes(changes, whole)
    }
}

/// One row of a subscription.
pub(crate) struct Line<'a> {
    pub(crate) seq: Seq,
    /// `snapshot`, `ready`, `progress`, `insert`, `update` or `delete`.
    pub(crate) op: &'static str,
    /// With this row, what the reader has is the table as some transaction left it.
    pub(crate) commit: bool,
    values: Values<'a>,
    old: Option<&'a Row>,
}

enum Values<'a> {
    None,
    Batch(&'a RecordBatch, usize),
    Row(&'a Row),
}

impl Part {
    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Part::Snapshot(rows) => rows.num_rows(),
            Part::Mark(..) => 1,
            Part::Changes(changes, _) => changes.len(),
        }
    }

    /// The row at `at`.
    pub(crate) fn line(&self, at: usize) -> Result<Line<'_>, SqlError> {
        match self {
            Part::Snapshot(rows) => {
                let seq = match datum_at(rows.column(0).as_ref(), at) {
                    Some(DatumRef::Int8(seq)) => Seq::from_i64(seq),
                    _ => None,
                };
                let no_seq =
                    || SqlError::new(ErrorKind::InternalError, "a snapshot's row has no Seq");
                Ok(Line {
                    seq: seq.ok_or_else(no_seq)?,
                    op: "snapshot",
                    commit: false,
                    values: Values::Batch(rows, at),
                    old: None,
                })
            }
            Part::Mark(mark, seq) => Ok(Line {
                seq: *seq,
                op: match mark {
                    Mark::Ready | Mark::Resumed => "ready",
                    Mark::Progress => "progress",
                },
                commit: *mark != Mark::Resumed,
                values: Values::None,
                old: None,
            }),
            Part::Changes(changes, whole) => {
                let change = &changes[at];
                let last = at + 1 == changes.len();
                Ok(Line {
                    seq: change.seq,
                    op: op_name(change.op),
                    commit: change.last_in_transaction || (last && *whole),
                    values: Values::Row(&change.row),
                    old: change.old.as_ref(),
                })
            }
        }
    }
}

impl Line<'_> {
    /// The value of the query's column at `column`.
    pub(crate) fn value(&self, column: usize) -> Result<DatumRef<'_>, SqlError> {
        match &self.values {
            Values::None => Ok(DatumRef::Null),
            Values::Batch(rows, at) => {
                let array = rows.column(column + 1);
                datum_at(array.as_ref(), *at).ok_or_else(|| {
                    let message = format!(
                        "a result column has the unexpected type {}",
                        array.data_type()
                    );
                    SqlError::new(ErrorKind::InternalError, message)
                })
            }
            Values::Row(row) => Ok(row[column].as_ref()),
        }
    }

    /// The row before an update.
    pub(crate) fn old_row(&self) -> Option<&Row> {
        self.old
    }
}

pub(crate) fn op_name(op: ChangeOp) -> &'static str {
    match op {
        ChangeOp::Insert => "insert",
        ChangeOp::Update => "update",
        ChangeOp::Delete => "delete",
    }
}

/// What a subscriber is told when its feed ends.
pub(crate) fn sql_error(error: SubscriptionError, table: &TableDef) -> SqlError {
    let name = format!("\"{}.{}\"", table.schema, table.name);
    match error {
        SubscriptionError::TableGone => SqlError::new(
            ErrorKind::UndefinedTable,
            format!("table {name} was dropped or truncated"),
        ),
        SubscriptionError::SchemaChanged { resume_after } => {
            let message =
                format!("table {name} was altered, the subscription cannot go on with its columns");
            let hint =
                format!("Subscribe again with OPTIONS (from = '{resume_after}') to miss nothing.");
            SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message).hint(hint)
        }
        SubscriptionError::Trimmed { oldest } => {
            let message = format!("the changes of table {name} up to {oldest} are no longer kept");
            SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
                .hint("Read the table again and subscribe to what comes after.")
        }
        SubscriptionError::Filter(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(error) => SqlError::new(ErrorKind::InternalError, error.to_string()),
        },
        SubscriptionError::Storage(tidelog_storage::StorageError::Closed) => {
            let message = "terminating connection due to administrator command";
            SqlError::new(ErrorKind::AdminShutdown, message)
        }
        SubscriptionError::Storage(error) => SqlError::new(ErrorKind::IoError, error.to_string()),
        SubscriptionError::Reader(error) => SqlError::new(ErrorKind::InternalError, error),
    }
}
