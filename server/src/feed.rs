//! A subscription under way, whatever protocol carries it: the rows as they stand, `ready`, then each change as it is
//! committed.
//!
//! Owns: the order of these parts, beginning again after changes were missed, following changes of the catalog.
//! Guarantees: nothing is lost when a future of it is dropped; it holds one bounded part of the log, however
//! slowly it is read. Does not: encode anything.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tidelog_sql::subscribe::{Renewed, Seen as SqlSeen, Subject, SubscribePlan};
use tidelog_sql::{ErrorKind, SqlError, json};
use tidelog_storage::datum::datum_at;
use tidelog_storage::{ChangeOp, DatumRef, Row, Seq, StorageError, Store};
use tidelog_subscriptions::{
    Asked, Following, Hub, Lens, LensError, Ops, Seen, Stretch, SubscriptionError, Tail, Versions,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How often a reader that is to end at some Seq looks whether others have come so far.
const UP_TO_TICK: Duration = Duration::from_millis(100);

/// The statement's query, as the tail sees it.
struct Query(Arc<Subject>);

impl Lens for Query {
    fn asked(&self) -> Option<Asked> {
        let asked = self.0.asked()?;
        Some(Asked {
            column: asked.column,
            ty: asked.ty,
            values: asked.values,
        })
    }

    fn is_light(&self) -> bool {
        self.0.is_light()
    }

    fn look(&self, versions: &Versions<'_>) -> Result<Vec<Seen>, LensError> {
        let columns = versions.prepared(|rows| self.0.columns_of(rows));
        let seen = self.0.look(versions.rows(), &columns);
        let seen = seen?.into_iter().map(|seen| match seen {
            SqlSeen::Nothing => Seen::Nothing,
            SqlSeen::Whole => Seen::Whole,
            SqlSeen::As(row) => Seen::As(row),
        });
        Ok(seen.collect())
    }
}

/// A stretch of a subscription's rows.
#[derive(Debug)]
pub(crate) enum Part {
    /// Rows as they stand at the beginning: in each the Seq, then the query's columns.
    Snapshot(RecordBatch),
    /// A row that tells how far the reader is.
    Mark(Mark, Seq),
    /// Changes, in commit order.
    Changes(Arc<Stretch>),
}

/// What a row without a change says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// All rows of the snapshot have come; changes after this Seq follow.
    Ready,
    /// There is no snapshot: changes after this Seq follow, which the reader named. It may lie inside a transaction.
    Resumed,
    /// Nothing up to this Seq is missing.
    Progress,
    /// Changes after this Seq were missed: what the reader has is void, a snapshot follows.
    Reset,
}

/// What there is without waiting for a commit.
#[derive(Debug)]
pub(crate) enum AtHand {
    /// A part.
    Part(Part),
    /// Everything that is committed was given.
    Tip,
    /// The subscription has come to its end (`up_to`).
    End,
}

/// So many rows are made into text, or the like, in a moment.
const ROWS_FEW: usize = 100;

/// What all feeds of the server come from.
pub(crate) struct Feeds {
    pub(crate) store: Arc<Store>,
    pub(crate) hub: Hub,
    /// A place for each that makes many rows into text: so are threads left for who has other things to do.
    turns: Semaphore,
}

impl Feeds {
    pub(crate) fn new(store: Arc<Store>) -> Arc<Feeds> {
        Arc::new(Feeds {
            store,
            hub: Hub::default(),
            turns: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
        })
    }

    /// Waits, if there are many rows, until they may be made into text. What this gives is to be let go of before anything else is
    /// waited for.
    pub(crate) async fn turn(&self, rows: usize) -> Option<SemaphorePermit<'_>> {
        match rows <= ROWS_FEW {
            true => None,
            // It is never closed.
            false => self.turns.acquire().await.ok(),
        }
    }

    /// Begins a subscription.
    pub(crate) fn open(self: &Arc<Feeds>, plan: SubscribePlan) -> Feed {
        let tail = tail(self, &plan, plan.after);
        Feed {
            feeds: self.clone(),
            told: (plan.options.progress).map(|_| Box::new((plan.after, Instant::now()))),
            tail,
            ready_told: false,
            resumed: plan.resumed,
            plan,
            in_transaction: false,
            ended: false,
            failed: None,
            void: None,
        }
    }
}

/// A subscription under way.
pub(crate) struct Feed {
    feeds: Arc<Feeds>,
    plan: SubscribePlan,
    tail: Tail,
    ready_told: bool,
    /// Whether it began at a Seq that the reader named.
    resumed: bool,
    /// Up to where the reader was told that nothing is missing, and when, if it wants to be.
    told: Option<Box<(Seq, Instant)>>,
    /// Whether changes of a transaction were given that has more of them.
    in_transaction: bool,
    ended: bool,
    /// Why it cannot go on.
    failed: Option<Box<SqlError>>,
    /// Why it began again, when that is not told yet.
    void: Option<Box<str>>,
}

/// Why a reader cannot go on from where it is.
enum Missed {
    /// Changes up to this Seq are gone.
    Changes(Seq),
    /// All rows went, or were written anew.
    Rows,
    /// What it has read looks otherwise now.
    Look,
}

impl Feed {
    /// The statement that it was made from.
    pub(crate) fn plan(&self) -> &SubscribePlan {
        &self.plan
    }

    /// Why it has begun again.
    pub(crate) fn why_void(&mut self) -> SqlError {
        let message = self.void.take().unwrap_or_default();
        SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
    }

    /// What all feeds come from.
    pub(crate) fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// The next part; waits for it. `None` when the subscription has come to its end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, SqlError> {
        let mut fresh = Seq::ZERO;
        loop {
            match self.known(fresh).await? {
                AtHand::Part(part) => return Ok(Some(part)),
                AtHand::End => return Ok(None),
                AtHand::Tip => {}
            }
            fresh = self.wait().await;
        }
    }

    /// The next part, if there is one without waiting for a commit: everything that is committed is at hand. Cancel-safe.
    pub(crate) async fn at_hand(&mut self) -> Result<AtHand, SqlError> {
        self.known(self.feeds.store.visible()).await
    }

    /// The next part of what is known, which is everything up to `fresh` and perhaps more. Cancel-safe.
    pub(crate) async fn known(&mut self, fresh: Seq) -> Result<AtHand, SqlError> {
        if let Some(error) = &self.failed {
            return Err(SqlError::clone(error));
        }
        let known = self.known_inner(fresh).await;
        self.failed = known.as_ref().err().cloned().map(Box::new);
        known
    }

    async fn known_inner(&mut self, fresh: Seq) -> Result<AtHand, SqlError> {
        if std::mem::take(&mut self.plan.altered) {
            return Box::pin(self.start_over(Missed::Look)).await;
        }
        loop {
            if let Some(snapshot) = &mut self.plan.snapshot {
                let rows = snapshot.next().await.transpose()?;
                // The reader sets the pace: it may take long.
                (self.plan).check_rights(self.feeds.store.catalog().version)?;
                match rows {
                    Some(rows) if rows.num_columns() != self.plan.subject.selected().len() + 1 => {
                        let message = "the snapshot has not the columns that were announced";
                        return Err(SqlError::new(ErrorKind::InternalError, message));
                    }
                    Some(rows) if rows.num_rows() == 0 => {}
                    Some(rows) => return Ok(AtHand::Part(Part::Snapshot(rows))),
                    None => self.plan.snapshot = None,
                }
                continue;
            }
            if !self.ready_told {
                self.ready_told = true;
                self.plan.end_snapshot();
                let mark = match self.resumed {
                    true => Mark::Resumed,
                    false => Mark::Ready,
                };
                return Ok(AtHand::Part(self.mark(mark, self.plan.after)));
            }
            if self.ended {
                return Ok(AtHand::End);
            }
            let missed = match self.tail.committed(fresh).await {
                Ok(None) => {
                    let position = self.tail.position();
                    self.ended = self
                        .plan
                        .options
                        .up_to
                        .is_some_and(|up_to| up_to <= position);
                    return Ok(match self.progress_due(position) {
                        Some(seq) => AtHand::Part(self.mark(Mark::Progress, seq)),
                        None if self.ended => AtHand::End,
                        None => AtHand::Tip,
                    });
                }
                Ok(Some(stretch)) => {
                    if let Some(stretch) = self.up_to(stretch) {
                        return Ok(AtHand::Part(Part::Changes(stretch)));
                    }
                    continue;
                }
                Err(SubscriptionError::CatalogChanged { .. } | SubscriptionError::TableGone) => {
                    match self.plan.renew()? {
                        Renewed::GoesOn => {
                            let position = self.tail.position();
                            self.tail = tail(&self.feeds, &self.plan, position);
                            continue;
                        }
                        Renewed::StartsOver => Missed::Rows,
                    }
                }
                Err(SubscriptionError::Trimmed { oldest }) => Missed::Changes(oldest),
                Err(error) => return Err(sql_error(error)),
            };
            return Box::pin(self.start_over(missed)).await;
        }
    }

    /// Waits, at the tip, until there may be something, and tells up to where the reader has to know everything then.
    /// Cancel-safe.
    pub(crate) async fn wait(&mut self) -> Seq {
        let options = &self.plan.options;
        let told = self.told.as_deref();
        let progress = options
            .progress
            .zip(told)
            .map(|(every, (_, at))| *at + every);
        let up_to = options.up_to.map(|_| Instant::now() + UP_TO_TICK);
        match progress.into_iter().chain(up_to).min() {
            None => {
                self.tail.changed().await;
                Seq::ZERO
            }
            // Few have one: it takes no memory of the others.
            Some(tick) => Box::pin(self.wait_until(tick)).await,
        }
    }

    async fn wait_until(&mut self, tick: Instant) -> Seq {
        match tokio::time::timeout_at(tick, self.tail.changed()).await {
            Ok(()) => Seq::ZERO,
            Err(_) => self.feeds.store.visible(),
        }
    }

    fn mark(&mut self, mark: Mark, seq: Seq) -> Part {
        if let Some(told) = &mut self.told {
            **told = (seq, Instant::now());
        }
        Part::Mark(mark, seq)
    }

    /// The Seq of the mark that is to be given at the tip, if one is.
    fn progress_due(&self, position: Seq) -> Option<Seq> {
        let every = self.plan.options.progress?;
        let seq = self
            .plan
            .options
            .up_to
            .map_or(position, |up_to| up_to.min(position));
        let (told, at) = *self.told.as_deref()?;
        (seq > told || (!self.ended && at.elapsed() >= every)).then_some(seq.max(told))
    }

    /// Takes off what comes after the subscription's end: whole transactions.
    fn up_to(&mut self, stretch: Arc<Stretch>) -> Option<Arc<Stretch>> {
        let Some(up_to) = self.plan.options.up_to else {
            return Some(stretch);
        };
        let changes = stretch.changes();
        let mut within = self.in_transaction;
        let end = changes.iter().position(|change| {
            let beyond = change.seq > up_to && !within;
            within = !change.ends_transaction;
            beyond
        });
        self.in_transaction = within;
        let Some(end) = end else {
            return Some(stretch);
        };
        self.ended = true;
        let kept = changes[..end].to_vec();
        (!kept.is_empty()).then(|| Arc::new(Stretch::new(kept, Seq::ZERO, up_to)))
    }

    /// The reader cannot go on: begins again, if it wants that.
    async fn start_over(&mut self, missed: Missed) -> Result<AtHand, SqlError> {
        let position = self.tail.position();
        let table = &self.plan.subject.table;
        let name = format!("\"{}.{}\"", table.schema, table.name);
        let message = match missed {
            Missed::Changes(oldest) => {
                format!("the changes of table {name} up to {oldest} are no longer kept")
            }
            Missed::Rows => format!("table {name} was truncated or rewritten"),
            Missed::Look => format!("table {name} was altered"),
        };
        if !self.plan.options.catch_up {
            let hint = "Read the table again and subscribe to what comes after.";
            return Err(SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message).hint(hint));
        }
        self.begin_again(false).await?;
        self.void = Some(message.into());
        Ok(AtHand::Part(self.mark(Mark::Reset, position)))
    }

    /// Begins again with the rows as they are now. `anew`: in the columns that the statement has now, whatever they were.
    pub(crate) async fn begin_again(&mut self, anew: bool) -> Result<(), SqlError> {
        self.plan.start_over(anew).await?;
        self.tail = tail(&self.feeds, &self.plan, self.plan.after);
        self.ready_told = false;
        self.resumed = false;
        self.in_transaction = false;
        self.failed = None;
        Ok(())
    }
}

fn tail(feeds: &Feeds, plan: &SubscribePlan, after: Seq) -> Tail {
    let [insert, update, delete] = plan.options.ops;
    let subject = &plan.subject;
    let lens = || Box::new(Query(subject.clone())) as Box<dyn Lens>;
    let following = Following {
        lens: (!subject.is_clear()).then(lens),
        ops: Ops {
            insert,
            update,
            delete,
        },
        upsert: subject.key.clone(),
        batch_changes: plan.options.batch_rows,
        identity: subject.identity,
        ..Following::all(subject.scope.clone(), plan.catalog_version)
    };
    Tail::new(&feeds.store, &feeds.hub, following, after)
}

/// One row of a subscription.
pub(crate) struct Line<'a> {
    /// `_seq`.
    pub(crate) seq: Seq,
    /// `_op`.
    pub(crate) op: &'static str,
    /// `_commit`: with this row, what the reader has is the table as some transaction left it.
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
            Part::Changes(stretch) => stretch.changes().len(),
        }
    }

    /// The row at `at`, as the statement wants it.
    pub(crate) fn line(&self, at: usize, plan: &SubscribePlan) -> Result<Line<'_>, SqlError> {
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
                    Mark::Reset => "reset",
                },
                commit: matches!(mark, Mark::Ready | Mark::Progress),
                values: Values::None,
                old: None,
            }),
            Part::Changes(stretch) => {
                let change = &stretch.changes()[at];
                let op = match change.op {
                    ChangeOp::Delete => "delete",
                    _ if plan.options.upsert => "upsert",
                    ChangeOp::Insert => "insert",
                    ChangeOp::Update => "update",
                };
                Ok(Line {
                    seq: change.seq,
                    op,
                    commit: change.ends_transaction,
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

    /// The row before an update: the query's columns.
    pub(crate) fn old_row(&self) -> Option<&Row> {
        self.old
    }

    /// The row before an update, as a JSON object.
    pub(crate) fn old(&self, plan: &SubscribePlan) -> Option<String> {
        self.old
            .map(|old| json::result_object(plan.subject.selected(), old))
    }
}

/// What a subscriber is told when its feed ends.
pub(crate) fn sql_error(error: SubscriptionError) -> SqlError {
    match error {
        SubscriptionError::Lens(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(error) => SqlError::new(ErrorKind::InternalError, error.to_string()),
        },
        SubscriptionError::Storage(StorageError::Closed) => {
            let message = "terminating connection due to administrator command";
            SqlError::new(ErrorKind::AdminShutdown, message)
        }
        SubscriptionError::Storage(error) => SqlError::new(ErrorKind::IoError, error.to_string()),
        SubscriptionError::Reader(error) => SqlError::new(ErrorKind::InternalError, error),
        SubscriptionError::TableGone => SqlError::new(ErrorKind::UndefinedTable, error.to_string()),
        SubscriptionError::CatalogChanged { .. } | SubscriptionError::Trimmed { .. } => {
            SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, error.to_string())
        }
    }
}
