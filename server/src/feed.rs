//! A stand-in with the interface of what `live` lands.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tidelog_sql::subscribe::SubscribePlan;
use tidelog_sql::{ErrorKind, SqlError};
use tidelog_storage::datum::datum_at;
use tidelog_storage::{Change, ChangeOp, DatumRef, Partition, Row, Seq, Store};
use tidelog_subscriptions::{FilterError, RowFilter, SubscriptionError, Tail};

struct Where(Arc<tidelog_sql::subscribe::RowFilter>);

impl RowFilter for Where {
    fn matches(&self, versions: &[(Seq, &Partition, &Row)]) -> Result<Vec<bool>, FilterError> {
        Ok(self.0.matches(versions)?)
    }
}

#[derive(Debug)]
pub(crate) enum Part {
    Snapshot(RecordBatch),
    Mark(Mark, Seq),
    Changes(Vec<Change>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Ready,
    Progress,
    Reset,
}

#[derive(Debug)]
pub(crate) enum AtHand {
    Part(Part),
    Tip,
    End,
}

pub(crate) struct Feed {
    plan: SubscribePlan,
    tail: Tail,
    ready_told: bool,
    next: Option<Vec<Change>>,
}

impl Feed {
    pub(crate) fn new(store: Arc<Store>, plan: SubscribePlan) -> Feed {
        let filter = plan.filter.clone();
        let filter = filter.map(|filter| Arc::new(Where(filter)) as Arc<dyn RowFilter>);
        let version = plan.table.schema_version;
        let tail = Tail::new(store, plan.scope.clone(), version, filter, plan.after);
        Feed { plan, tail, ready_told: false, next: None }
    }

    pub(crate) fn plan(&self) -> &SubscribePlan {
        &self.plan
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Part>, SqlError> {
        match self.at_hand().await? {
            AtHand::Part(part) => Ok(Some(part)),
            AtHand::End => Ok(None),
            AtHand::Tip => {
                let changes = self.tail.next().await.map_err(sql_error)?;
                Ok(Some(Part::Changes(changes)))
            }
        }
    }

    pub(crate) async fn at_hand(&mut self) -> Result<AtHand, SqlError> {
        while let Some(snapshot) = &mut self.plan.snapshot {
            match snapshot.next().await.transpose()? {
                Some(rows) if rows.num_rows() == 0 => {}
                Some(rows) => return Ok(AtHand::Part(Part::Snapshot(rows))),
                None => self.plan.snapshot = None,
            }
        }
        if !self.ready_told {
            self.ready_told = true;
            return Ok(AtHand::Part(Part::Mark(Mark::Ready, self.plan.after)));
        }
        if let Some(changes) = self.next.take() {
            return Ok(AtHand::Part(Part::Changes(changes)));
        }
        let changes = self.tail.committed().await.map_err(sql_error)?;
        Ok(match changes.is_empty() {
            true => AtHand::Tip,
            false => AtHand::Part(Part::Changes(changes)),
        })
    }
}

pub(crate) struct Line<'a> {
    pub(crate) seq: Seq,
    pub(crate) op: &'static str,
    pub(crate) commit: bool,
    values: Values<'a>,
    pub(crate) old: Option<&'a Row>,
}

enum Values<'a> {
    None,
    Batch(&'a RecordBatch, usize),
    Row(&'a Row),
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        match self {
            Part::Snapshot(rows) => rows.num_rows(),
            Part::Mark(..) => 1,
            Part::Changes(changes) => changes.len(),
        }
    }

    pub(crate) fn line(&self, at: usize, _plan: &SubscribePlan) -> Result<Line<'_>, SqlError> {
        Ok(match self {
            Part::Snapshot(rows) => Line {
                seq: match datum_at(rows.column(0).as_ref(), at) {
                    Some(DatumRef::Int8(seq)) => Seq::from_i64(seq).expect("positive"),
                    _ => Seq::ZERO,
                },
                op: "snapshot",
                commit: false,
                values: Values::Batch(rows, at),
                old: None,
            },
            Part::Mark(mark, seq) => Line {
                seq: *seq,
                op: match mark {
                    Mark::Ready => "ready",
                    Mark::Progress => "progress",
                    Mark::Reset => "reset",
                },
                commit: *mark != Mark::Reset,
                values: Values::None,
                old: None,
            },
            Part::Changes(changes) => {
                let change = &changes[at];
                Line {
                    seq: change.seq,
                    op: match change.op {
                        ChangeOp::Delete => "delete",
                        ChangeOp::Insert => "insert",
                        ChangeOp::Update => "update",
                    },
                    commit: change.last_in_transaction,
                    values: Values::Row(&change.row),
                    old: change.old.as_ref(),
                }
            }
        })
    }
}

impl Line<'_> {
    pub(crate) fn value(&self, column: usize) -> Result<DatumRef<'_>, SqlError> {
        match &self.values {
            Values::None => Ok(DatumRef::Null),
            Values::Batch(rows, at) => Ok(datum_at(rows.column(column + 1).as_ref(), *at).unwrap_or(DatumRef::Null)),
            Values::Row(row) => Ok(row[column].as_ref()),
        }
    }
}

fn sql_error(error: SubscriptionError) -> SqlError {
    let kind = match &error {
        SubscriptionError::TableGone => ErrorKind::UndefinedTable,
        SubscriptionError::SchemaChanged { .. } | SubscriptionError::Trimmed { .. } => {
            ErrorKind::ObjectNotInPrerequisiteState
        }
        SubscriptionError::Storage(tidelog_storage::StorageError::Closed) => ErrorKind::AdminShutdown,
        _ => ErrorKind::InternalError,
    };
    match error {
        SubscriptionError::Filter(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(error) => SqlError::new(ErrorKind::InternalError, error.to_string()),
        },
        error => SqlError::new(kind, error.to_string()),
    }
}
