//! Cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! A cursor keeps the snapshot of its DECLARE. One WITH HOLD keeps it after the transaction, until it is closed.
//! A subscription's cursor is only known here; the server, which follows the log, has its rows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use datafusion::sql::sqlparser::ast::Statement;
use futures::StreamExt;
use tidelog_storage::{ColumnType, Datum};
use tokio::sync::Mutex;

use super::{Block, Outcome, Prepared, Session};
use crate::error::{ErrorKind, SqlError, from_arrow};
use crate::output::{OutputColumn, RowStream};
use crate::parse::{Body, CursorCommand, Declare, Direction, Fetch};
use crate::subscribe::SubscribePlan;

/// What a SCROLL cursor keeps of its rows, to go back to them.
const SCROLL_BYTES_MAX: usize = 1 << 30;

/// A declared cursor.
pub(super) struct Cursor {
    columns: Vec<OutputColumn>,
    /// Its rows; `None` for a subscription.
    rows: Option<Arc<Mutex<CursorRows>>>,
    hold: bool,
    scroll: bool,
    /// Whether the transaction that declared it is still open.
    fresh: bool,
    /// How many were declared before it in this session.
    number: u64,
    text: String,
    declared: chrono::DateTime<chrono::Utc>,
}

/// What pg_cursors tells of a cursor.
#[derive(Clone, Debug)]
pub(crate) struct CursorInfo {
    pub(crate) name: String,
    pub(crate) statement: String,
    pub(crate) hold: bool,
    pub(crate) scroll: bool,
    pub(crate) declared_us: i64,
}

/// FETCH from a subscription's cursor.
#[derive(Clone, Debug)]
pub struct FetchFeed {
    /// The cursor.
    pub name: String,
    /// How many rows at most.
    pub rows_max: Option<u64>,
    /// How long to wait for the first; `None` is without end.
    pub timeout: Option<Duration>,
    /// MOVE: the rows are not wanted.
    pub moves: bool,
    /// The rows' columns.
    pub columns: Vec<OutputColumn>,
}

/// The rows of a query, and where the cursor stands.
struct CursorRows {
    /// Holds their snapshot, also when it has ended: rows of it may stand in `batches`.
    stream: RowStream,
    ended: bool,
    /// Whether the query failed: its other rows are lost.
    failed: bool,
    /// Rows that were read, from row number `first` on; without SCROLL those that are passed are dropped.
    batches: VecDeque<RecordBatch>,
    first: u64,
    /// How many rows were read in all.
    read: u64,
    bytes: usize,
    /// 0 before the first row, then the number of the row it stands on, then one more than there are.
    at: u64,
    scroll: bool,
}

impl CursorRows {
    /// Reads until there are `rows` in all, or no more; says how many there are up to that.
    async fn read_to(&mut self, rows: u64) -> Result<u64, SqlError> {
        while self.read < rows && !self.ended {
            let read = self.stream.next().await.transpose();
            self.failed = read.is_err();
            match read? {
                Some(batch) => {
                    self.read += batch.num_rows() as u64;
                    self.bytes += batch.get_array_memory_size();
                    self.batches.push_back(batch);
                    if self.scroll && self.bytes > SCROLL_BYTES_MAX {
                        let message = format!(
                            "a SCROLL cursor's rows exceed {} MiB",
                            SCROLL_BYTES_MAX >> 20
                        );
                        return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
                    }
                }
                None => self.ended = true,
            }
        }
        Ok(self.read.min(rows))
    }

    /// The next rows, `max` of them or fewer, as they are at hand; `None` at the end.
    async fn next(&mut self, max: u64) -> Result<Option<RecordBatch>, SqlError> {
        if self.read_to(self.at + 1).await? <= self.at {
            self.at = self.read + 1;
            return Ok(None);
        }
        let (batch, offset) = self.find(self.at + 1);
        let rows = (batch.num_rows() as u64 - offset).min(max);
        let rows = batch.slice(offset as usize, rows as usize);
        self.at += rows.num_rows() as u64;
        self.forget_passed();
        Ok(Some(rows))
    }

    /// The batch that holds a row that was read, and where in it.
    fn find(&self, row: u64) -> (&RecordBatch, u64) {
        let mut first = self.first;
        for batch in &self.batches {
            let rows = batch.num_rows() as u64;
            if row < first + rows {
                return (batch, row - first);
            }
            first += rows;
        }
        unreachable!("row {row} was read and is not dropped");
    }

    fn forget_passed(&mut self) {
        while !self.scroll
            && let Some(batch) = self.batches.front()
            && self.first + batch.num_rows() as u64 <= self.at
        {
            self.first += batch.num_rows() as u64;
            self.bytes -= batch.get_array_memory_size();
            self.batches.pop_front();
        }
    }

    /// One row that was read.
    fn row(&self, row: u64) -> RecordBatch {
        let (batch, offset) = self.find(row);
        batch.slice(offset as usize, 1)
    }

    fn check_scrolls(&self) -> Result<(), SqlError> {
        if self.scroll {
            return Ok(());
        }
        let message = "cursor can only scan forward";
        Err(
            SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
                .hint("Declare it with SCROLL option to enable backward scan."),
        )
    }

    /// Goes to the row with this number and gives it, if there is one.
    async fn go_to(&mut self, row: u64) -> Result<Vec<RecordBatch>, SqlError> {
        if row <= self.at {
            self.check_scrolls()?;
        }
        if row == 0 {
            self.at = 0;
            return Ok(Vec::new());
        }
        while self.read < row && !self.ended {
            self.read_to(self.read + 1).await?;
            if !self.scroll {
                self.at = self.read.min(row - 1);
                self.forget_passed();
            }
        }
        if self.read < row {
            self.at = self.read + 1;
            return Ok(Vec::new());
        }
        let found = self.row(row);
        self.at = row;
        self.forget_passed();
        Ok(vec![found])
    }

    /// The rows before the present one, the nearest first.
    fn backward(&mut self, count: Option<u64>) -> Result<Vec<RecordBatch>, SqlError> {
        self.check_scrolls()?;
        let last = self.at.saturating_sub(1);
        let count = count.unwrap_or(u64::MAX);
        let first = match count > last {
            true => 1,
            false => last - count + 1,
        };
        self.at = if count > last { 0 } else { first };
        let mut rows = Vec::new();
        let mut row = last;
        while row >= first && row > 0 {
            let (batch, offset) = self.find(row);
            // As many as this batch has of them.
            let many = (offset + 1).min(row - first + 1);
            let indexes = UInt64Array::from_iter_values((0..many).map(|n| offset - n));
            rows.push(take_record_batch(batch, &indexes).map_err(|e| from_arrow(&e))?);
            row -= many;
        }
        Ok(rows)
    }

    async fn scroll(&mut self, direction: Direction) -> Result<Vec<RecordBatch>, SqlError> {
        match direction {
            Direction::Forward(count) => {
                let mut left = count.unwrap_or(u64::MAX);
                let mut rows = Vec::new();
                while left > 0
                    && let Some(batch) = self.next(left).await?
                {
                    left -= batch.num_rows() as u64;
                    rows.push(batch);
                }
                Ok(rows)
            }
            Direction::Backward(count) => self.backward(count),
            Direction::Absolute(row @ 0..) => self.go_to(row.unsigned_abs()).await,
            Direction::Absolute(from_end) => {
                self.check_scrolls()?;
                let rows = self.read_to(u64::MAX).await?;
                self.go_to((rows + 1).saturating_sub(from_end.unsigned_abs()))
                    .await
            }
            Direction::Relative(step @ 1..) => {
                self.go_to(self.at.saturating_add(step.unsigned_abs()))
                    .await
            }
            Direction::Relative(0) => {
                self.check_scrolls()?;
                let on_row = self.at > 0 && self.at <= self.read;
                Ok(if on_row {
                    vec![self.row(self.at)]
                } else {
                    Vec::new()
                })
            }
            Direction::Relative(step) => {
                self.check_scrolls()?;
                self.go_to(self.at.saturating_sub(step.unsigned_abs()))
                    .await
            }
        }
    }
}

impl Session {
    /// What the client is told of a cursor command before it runs: the types of its parameters, its columns, and
    /// the prepared statement of a DECLARE.
    pub(super) fn prepare_cursor(
        &self,
        command: &CursorCommand,
        given: &[Option<ColumnType>],
    ) -> Result<CursorPrepared, SqlError> {
        match command {
            CursorCommand::Declare(declare) => {
                let inner = self.prepare_inner(&declare.statement, given)?;
                Ok((inner.parameters.clone(), None, Some(Box::new(inner))))
            }
            CursorCommand::Fetch(fetch) => {
                let columns = self.cursor(&fetch.name)?.columns.clone();
                Ok((Vec::new(), (!fetch.moves).then_some(columns), None))
            }
            CursorCommand::Close(_) => Ok((Vec::new(), None, None)),
        }
    }

    pub(super) async fn cursor_command(
        &mut self,
        command: &CursorCommand,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        match command {
            CursorCommand::Declare(declare) => self.declare(declare, prepared, values).await,
            CursorCommand::Fetch(fetch) => self.fetch(fetch).await,
            CursorCommand::Close(Some(name)) => {
                self.cursor(name)?;
                self.cursors.remove(name);
                Ok(Outcome::Command("CLOSE CURSOR".to_string()))
            }
            CursorCommand::Close(None) => {
                self.cursors.clear();
                Ok(Outcome::Command("CLOSE CURSOR ALL".to_string()))
            }
        }
    }

    fn cursor(&self, name: &str) -> Result<&Cursor, SqlError> {
        self.cursors.get(name).ok_or_else(|| {
            let message = format!("cursor \"{name}\" does not exist");
            SqlError::new(ErrorKind::InvalidCursorName, message)
        })
    }

    async fn declare(
        &mut self,
        declare: &Declare,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let name = &declare.name;
        if !declare.hold && self.work.block == Block::None {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(SqlError::new(ErrorKind::NoActiveTransaction, message));
        }
        if self.cursors.contains_key(name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(SqlError::new(ErrorKind::DuplicateCursor, message));
        }
        let Some(inner) = prepared.inner.as_deref() else {
            let message = "a cursor's statement was not prepared";
            return Err(SqlError::new(ErrorKind::InternalError, message));
        };
        let mut feed: Option<Box<SubscribePlan>> = None;
        let (columns, rows) = match &declare.statement.body {
            Body::Subscribe(subscribe, _) => {
                if declare.scroll {
                    return Err(SqlError::unsupported("a SCROLL cursor for SUBSCRIBE"));
                }
                let types = &inner.parameters;
                let plan = self.plan_subscribe(subscribe, None, types, values).await?;
                let columns = plan.subject.columns.to_vec();
                feed = Some(Box::new(plan));
                (columns, None)
            }
            Body::Sql(statement, _) => {
                self.work.queried = true;
                let outcome = match &**statement {
                    Statement::Query(query) if !query.locks.is_empty() => {
                        self.select_locking(query, inner, values).await?
                    }
                    Statement::Query(query) => self.select(inner, query, values).await?,
                    other => return Err(SqlError::unsupported(format!("a cursor for {other}"))),
                };
                let Outcome::Rows { columns, rows, .. } = outcome else {
                    let message = "a cursor's query gave no rows";
                    return Err(SqlError::new(ErrorKind::InternalError, message));
                };
                let rows = CursorRows {
                    stream: rows,
                    ended: false,
                    failed: false,
                    batches: VecDeque::new(),
                    first: 1,
                    read: 0,
                    bytes: 0,
                    at: 0,
                    scroll: declare.scroll,
                };
                (columns, Some(Arc::new(Mutex::new(rows))))
            }
            _ => return Err(SqlError::unsupported("a cursor for this statement")),
        };
        self.cursors_declared += 1;
        let cursor = Cursor {
            columns,
            rows,
            hold: declare.hold,
            scroll: declare.scroll,
            fresh: true,
            number: self.cursors_declared,
            text: declare.text.clone(),
            declared: self.work.started,
        };
        self.cursors.insert(name.clone(), cursor);
        Ok(match feed {
            Some(plan) => Outcome::DeclareFeed {
                name: name.clone(),
                plan,
            },
            None => Outcome::Command("DECLARE CURSOR".to_string()),
        })
    }

    async fn fetch(&mut self, fetch: &Fetch) -> Result<Outcome, SqlError> {
        let cursor = self.cursor(&fetch.name)?;
        let columns = cursor.columns.clone();
        let Some(rows) = cursor.rows.clone() else {
            return fetch_feed(fetch, columns).map(Outcome::FetchFeed);
        };
        if rows.lock().await.failed {
            let message = format!("portal \"{}\" cannot be run", fetch.name);
            let kind = ErrorKind::ObjectNotInPrerequisiteState;
            return Err(SqlError::new(kind, message));
        }
        let stream: RowStream = match fetch.direction {
            // Not gathered: there may be many.
            Direction::Forward(count) => {
                let next = |(rows, left): (Arc<Mutex<CursorRows>>, u64)| async move {
                    if left == 0 {
                        return None;
                    }
                    let batch = rows.lock().await.next(left).await.transpose()?;
                    let taken = batch.as_ref().map_or(left, |batch| batch.num_rows() as u64);
                    Some((batch, (rows, left - taken)))
                };
                futures::stream::unfold((rows, count.unwrap_or(u64::MAX)), next).boxed()
            }
            direction => {
                let batches = rows.lock().await.scroll(direction).await?;
                futures::stream::iter(batches.into_iter().map(Ok)).boxed()
            }
        };
        if !fetch.moves {
            return Ok(Outcome::Rows {
                columns,
                rows: stream,
                verb: "FETCH",
            });
        }
        let mut stream = stream;
        let mut passed = 0;
        while let Some(batch) = stream.next().await.transpose()? {
            passed += batch.num_rows();
        }
        Ok(Outcome::Command(format!("MOVE {passed}")))
    }

    /// The columns of a cursor, if there is one with this name.
    pub fn cursor_columns(&self, name: &str) -> Option<&[OutputColumn]> {
        self.cursors
            .get(name)
            .map(|cursor| cursor.columns.as_slice())
    }

    pub(super) fn cursor_infos(&self) -> Vec<CursorInfo> {
        let info = |(name, cursor): (&String, &Cursor)| CursorInfo {
            name: name.clone(),
            statement: cursor.text.clone(),
            hold: cursor.hold,
            scroll: cursor.scroll,
            declared_us: cursor.declared.timestamp_micros(),
        };
        self.cursors.iter().map(info).collect()
    }

    /// The transaction that is open ends: only cursors WITH HOLD outlive it.
    pub(super) fn close_cursors(&mut self) {
        self.cursors.retain(|_, cursor| cursor.hold);
    }

    /// It has ended well.
    pub(super) fn keep_cursors(&mut self) {
        self.cursors
            .values_mut()
            .for_each(|cursor| cursor.fresh = false);
    }

    /// It has not: what it declared is gone, too.
    pub(super) fn drop_fresh_cursors(&mut self) {
        self.cursors
            .retain(|_, cursor| cursor.hold && !cursor.fresh);
    }

    /// Goes back to where so many cursors had been declared.
    pub(super) fn drop_cursors_after(&mut self, declared: u64) {
        self.cursors.retain(|_, cursor| cursor.number <= declared);
    }
}

/// Parameters, columns, and the statement of a DECLARE.
type CursorPrepared = (
    Vec<ColumnType>,
    Option<Vec<OutputColumn>>,
    Option<Box<Prepared>>,
);

fn fetch_feed(fetch: &Fetch, columns: Vec<OutputColumn>) -> Result<FetchFeed, SqlError> {
    let rows_max = match fetch.direction {
        Direction::Forward(rows) => rows,
        Direction::Relative(1) => Some(1),
        _ => {
            let message = "cursor can only scan forward";
            return Err(
                SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
                    .detail("It is a cursor for SUBSCRIBE."),
            );
        }
    };
    Ok(FetchFeed {
        name: fetch.name.clone(),
        rows_max,
        timeout: fetch.timeout,
        moves: fetch.moves,
        columns,
    })
}
