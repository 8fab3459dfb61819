//! Locking the rows that a statement found, and SELECT … FOR UPDATE, which does nothing else.

pub(crate) mod clause;
pub(crate) mod inside;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::compute::take_arrays;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use clause::{Locking, Names, Target};
use datafusion::sql::sqlparser::ast::{self, Expr, LimitClause, Query, Value};
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::catalog::Concern;
use tidelog_storage::snapshot::{Fate, Lookup};
use tidelog_storage::transaction::{row_identity, unique_identity};
use tidelog_storage::{
    ColumnType, CommitError, Datum, DatumRef, Partition, RowVersion, Seq, TableDef, TableId,
};

use crate::error::{ErrorKind, SqlError, from_arrow, from_datafusion, unique_violation};
use crate::locks::{LockError, LockMode, RowKey};
use crate::modify::Found;
use crate::output;
use crate::parse::walk::Walk;
use crate::provider::{Scope, blocking};
use crate::row::{Write, assign, constant, own_partition};
use crate::session::{Outcome, Prepared, RETRIES_MAX, Session};
use crate::turns::{TURN_ROWS, Turns};

/// What is done about a row that another transaction has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Patience {
    /// It is waited for, up to `lock_timeout`.
    Waits,
    /// SKIP LOCKED: the row is left out.
    Skips,
    /// NOWAIT: an error.
    None,
}

/// 0A000 for a query that has a locking clause where none can be followed.
pub(crate) fn refuse(query: &Query) -> Result<(), SqlError> {
    struct Finder;
    impl ast::Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            if query.locks.is_empty() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        }
    }
    match query.walk(&mut Finder) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SqlError::unsupported(
            "SELECT … FOR UPDATE or FOR SHARE inside another statement",
        )),
    }
}

impl Session {
    /// Locks rows of a table; says whether one of them was waited for.
    pub(crate) async fn lock(
        &mut self,
        table: &TableDef,
        rows: Vec<(RowKey, LockMode)>,
        patience: Patience,
    ) -> Result<bool, SqlError> {
        let rows = in_order(rows);
        let timeout = self.timeout("lock_timeout");
        let locked = match patience {
            Patience::Waits => self.locks().lock_all(&rows, false, timeout).await,
            Patience::None | Patience::Skips => {
                let locks = self.locks();
                match rows.iter().all(|(key, mode)| locks.try_lock(key, *mode)) {
                    true => Ok(false),
                    false => Err(LockError::Busy),
                }
            }
        };
        locked.map_err(|error| not_locked(error, &table.name))
    }

    /// Locks the rows and keys that changes are about; says whether one of them was waited for.
    pub(crate) async fn lock_to_change(
        &mut self,
        table: &TableDef,
        writes: &[Write],
    ) -> Result<bool, SqlError> {
        let rows = locks_of(table, writes).await;
        let timeout = self.timeout("lock_timeout");
        let (mut waited, mut turns) = (false, Turns::default());
        for rows in rows.chunks(TURN_ROWS) {
            let locked = self.locks().lock_all(rows, true, timeout).await;
            waited |= locked.map_err(|error| not_locked(error, &table.name))?;
            turns.worked(rows.len()).await;
        }
        Ok(waited)
    }

    /// Locks the keys of new rows. Who has locked a row that is there and leaves it alone is not waited for: whatever
    /// comes of that, the key is taken (23505).
    pub(crate) async fn lock_new(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        let rows = locks_of(table, writes).await;
        let timeout = self.timeout("lock_timeout");
        let mut turns = Turns::default();
        for mut rows in rows.chunks(TURN_ROWS) {
            turns.worked(rows.len()).await;
            loop {
                rows = &rows[self.locks().lock_free(rows, true)..];
                let Some((busy, behind)) = rows.split_first() else {
                    break;
                };
                if !self.locks().is_changed_by_another(&busy.0) {
                    self.check_free(table, writes, &busy.0)?;
                }
                let locked = self
                    .locks()
                    .lock_all(std::slice::from_ref(busy), true, timeout);
                let locked = locked.await;
                locked.map_err(|error| not_locked(error, &table.name))?;
                rows = behind;
            }
        }
        Ok(())
    }

    /// 23505 when a row that is committed has this key of a new one.
    fn check_free(
        &self,
        table: &Arc<TableDef>,
        writes: &[Write],
        wanted: &RowKey,
    ) -> Result<(), SqlError> {
        let scope = self.latest_scope();
        for write in writes {
            for (key, values) in write.new_keys(table) {
                let partition = &write.partition;
                let identity =
                    unique_identity(table, partition, key, values.iter().map(Datum::as_ref));
                if key.is_deferrable() || identity.as_ref() != Some(wanted) {
                    continue;
                }
                let find = || {
                    let own = scope.transaction.read();
                    let snapshot = &scope.snapshot;
                    snapshot.lookup_unique(table, partition, key, &values, Some(&own))
                };
                if tokio::task::block_in_place(find)? != Lookup::Absent {
                    return Err(unique_violation(table, key.id, &values));
                }
            }
        }
        Ok(())
    }

    /// Waits until no other transaction is changing these parts of the catalog, and has others wait for this one.
    pub(crate) async fn lock_catalog(&mut self, parts: &BTreeSet<Concern>) -> Result<(), SqlError> {
        // No row's key begins with the system table's id.
        let key = |part: u8| {
            let [a, b, c, d] = TableId::SYSTEM.get().to_be_bytes();
            (RowKey::from([a, b, c, d, part]), LockMode::Update)
        };
        let of = |part: &Concern| match part {
            Concern::Temporary => None,
            Concern::Roles => Some(key(0)),
            Concern::Lasting => Some(key(1)),
        };
        let keys: Vec<_> = parts.iter().filter_map(of).collect();
        let timeout = self.timeout("lock_timeout");
        let locked = self.locks().lock_all(&keys, true, timeout).await;
        locked
            .map_err(|error| not_locked(error, "pg_class"))
            .map(|_| ())
    }

    /// Whether rows that are locked by now are what `scope` showed of them: gives them back if so. Otherwise the
    /// statement is to be evaluated again, or, where its transaction keeps a snapshot, fails with 40001.
    pub(crate) async fn as_found(
        &mut self,
        scope: &Scope,
        table: &Arc<TableDef>,
        found: Vec<Found>,
        waited: bool,
    ) -> Result<Option<Vec<Found>>, SqlError> {
        if self.defers_commit() {
            return self.still_found(scope, table, found).await;
        }
        if waited {
            self.forget_reads();
            return Ok(None);
        }
        // What has changed without being waited for the committer finds at once.
        Ok(Some(found))
    }

    /// The same of rows that the statement does not write, which nobody looks at when it ends.
    async fn still_found(
        &mut self,
        scope: &Scope,
        table: &Arc<TableDef>,
        found: Vec<Found>,
    ) -> Result<Option<Vec<Found>>, SqlError> {
        let latest = self.snapshot();
        if latest.seq() == scope.snapshot.seq() {
            return Ok(Some(found));
        }
        let table = table.clone();
        let compare = move || {
            for row in &found {
                if row.version.seq.as_pending().is_none() {
                    let fate = latest.fate_of(&table, &row.partition, &row.version)?;
                    if fate != Fate::Live {
                        return Ok(Err(fate));
                    }
                }
            }
            Ok(Ok(found))
        };
        match blocking(compare).await.map_err(from_datafusion)? {
            Ok(found) => Ok(Some(found)),
            Err(_) if !self.isolation().keeps_snapshot() => Ok(None),
            Err(fate) => {
                let change = match fate {
                    Fate::Deleted => "delete",
                    Fate::Updated | Fate::Live => "update",
                };
                let message = format!("could not serialize access due to concurrent {change}");
                Err(SqlError::new(ErrorKind::SerializationFailure, message))
            }
        }
    }

    /// SELECT … FOR UPDATE and its weaker kin.
    pub(crate) async fn select_locking(
        &mut self,
        query: &Query,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        if let Some(lock) = clause::strongest(query) {
            self.check_may_write(&format!("SELECT {}", lock.name()))?;
        }
        for _ in 0..RETRIES_MAX {
            let tried = self.try_select_locking(query, prepared, values);
            if let Some(outcome) = tried.await? {
                return Ok(outcome);
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// `None` when rows changed before they were locked.
    async fn try_select_locking(
        &mut self,
        query: &Query,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Option<Outcome>, SqlError> {
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let types = &prepared.parameters;
        let locking = Locking::of(
            query,
            &Names {
                catalog: &catalog,
                search_path: &self.search_path(),
                access: &scope.access,
                is_locked: &|name| self.stand_ins.iter().any(|(known, _)| known == name),
            },
        )?;
        let limit = self.count_of("LIMIT", locking.limit.as_ref(), types, values);
        let limit = limit.await?;
        let offset = self.count_of("OFFSET", locking.offset.as_ref(), types, values);
        let offset = offset.await?.unwrap_or(0);
        let reach = limit.map_or(usize::MAX, |limit| limit.saturating_add(offset));
        let skips = |target: &Target| target.lock.patience == Patience::Skips;
        let any_skips = locking.targets.iter().any(skips);
        let mut found_by = locking.query.clone();
        if limit.is_some() && !any_skips {
            found_by.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(Expr::Value(Value::Number(reach.to_string(), false).into())),
                offset: None,
                limit_by: Vec::new(),
            });
        }
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let plan = self
            .plan_query(found_by, &given, &catalog)?
            .shortened(self.state());
        let mut columns = output::columns_of(&plan.plan)?;
        let width = columns.len() - locking.hidden;
        locking.check_nullable(&plan.plan, width, self.state())?;
        let batches = self.run_query(&plan, &columns, scope.clone(), types, values);
        let mut batches = batches.await?;
        columns.truncate(width);
        prepared.check_columns(&columns)?;

        let mut found: Vec<Vec<Found>> = locking.targets.iter().map(|_| Vec::new()).collect();
        let (mut shown, mut count) = (Vec::new(), 0);
        let (mut room, mut turns) = (self.room(), Turns::default());
        while let Some(batch) = batches.try_next().await? {
            let mut kept = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                if count == reach {
                    break;
                }
                let of = |target: &Target| target.found(&scope, &batch, width, row);
                let rows = locking.targets.iter().map(of);
                let rows: Vec<Found> = rows.collect::<Result<_, SqlError>>()?;
                let mut locked = locking.targets.iter().zip(&rows);
                let locks = self.locks();
                if any_skips
                    && !locked.all(|(target, row)| {
                        let key = skips(target).then(|| target.key(row)).flatten();
                        key.is_none_or(|key| locks.try_lock(&key, target.lock.mode))
                    })
                {
                    continue;
                }
                for (found, row) in found.iter_mut().zip(rows) {
                    room.take(&row.version.row)?;
                    found.push(row);
                }
                // Rows that OFFSET leaves out are locked like others.
                if count >= offset {
                    kept.push(u32::try_from(row).expect("a batch is smaller"));
                }
                count += 1;
            }
            turns.worked(batch.num_rows()).await;
            let batch = shown_rows(&batch, width, kept).map_err(|error| from_arrow(&error))?;
            room.take_bytes(batch.get_array_memory_size())?;
            shown.push(batch);
        }
        self.lock_found(&locking.targets, &found).await?;
        for (target, found) in locking.targets.iter().zip(found) {
            let same = self.still_found(&scope, &target.table, found);
            if same.await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Outcome::Rows {
            columns,
            rows: futures::stream::iter(shown.into_iter().map(Ok)).boxed(),
            verb: "SELECT",
        }))
    }

    /// Locks the rows that were found of each target, but those that are locked.
    async fn lock_found(
        &mut self,
        targets: &[Target],
        found: &[Vec<Found>],
    ) -> Result<(), SqlError> {
        let mut waits = Vec::new();
        for (target, found) in targets.iter().zip(found) {
            let keys = found.iter().filter_map(|row| target.key(row));
            let locks = keys.map(|key| (key, target.lock.mode));
            match target.lock.patience {
                Patience::Skips => {}
                Patience::None => {
                    let locks = locks.collect();
                    self.lock(&target.table, locks, Patience::None).await?;
                }
                Patience::Waits => waits.extend(locks),
            }
        }
        if let Some(target) = targets.first() {
            self.lock(&target.table, waits, Patience::Waits).await?;
        }
        Ok(())
    }

    async fn count_of(
        &self,
        what: &str,
        expr: Option<&Expr>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Option<usize>, SqlError> {
        let Some(expr) = expr else {
            return Ok(None);
        };
        let value = match constant(expr, ColumnType::Int8, types, values, what, self.style())? {
            Some(value) => value,
            None => {
                let (value, from) = self.evaluate(expr, types, values).await?;
                assign(value, from, ColumnType::Int8, what, self.style())?
            }
        };
        match value {
            Datum::Int8(count) => match usize::try_from(count) {
                Ok(count) => Ok(Some(count)),
                Err(_) => Err(SqlError::new(
                    ErrorKind::InvalidParameterValue,
                    format!("{what} must not be negative"),
                )),
            },
            _ => Ok(None),
        }
    }
}

/// These rows of a batch, without what is shown of targets.
fn shown_rows(
    batch: &RecordBatch,
    width: usize,
    rows: Vec<u32>,
) -> Result<RecordBatch, ArrowError> {
    let batch = batch.project(&(0..width).collect::<Vec<_>>())?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = take_arrays(batch.columns(), &UInt32Array::from(rows), None)?;
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// The locks that changes need, in order.
async fn locks_of(table: &TableDef, writes: &[Write]) -> Vec<(RowKey, LockMode)> {
    let (mut rows, mut turns) = (Vec::with_capacity(writes.len()), Turns::default());
    for write in writes {
        rows.extend(write.locks(table));
        turns.worked(1).await;
    }
    in_order(rows)
}

/// All statements lock in one order, so that two of them alone are no deadlock.
fn in_order(mut rows: Vec<(RowKey, LockMode)>) -> Vec<(RowKey, LockMode)> {
    rows.sort_unstable_by(|left, right| {
        (&left.0, Reverse(left.1)).cmp(&(&right.0, Reverse(right.1)))
    });
    rows.dedup_by(|next, strongest| next.0 == strongest.0);
    rows
}

/// Why a row could not be locked, in PostgreSQL's words.
fn not_locked(error: LockError, table: &str) -> SqlError {
    match error {
        LockError::Busy => {
            let message = format!("could not obtain lock on row in relation \"{table}\"");
            SqlError::new(ErrorKind::LockNotAvailable, message)
        }
        LockError::Timeout => {
            let message = "canceling statement due to lock timeout";
            SqlError::new(ErrorKind::LockNotAvailable, message)
        }
        LockError::Deadlock(pids) => deadlock(&pids),
    }
}

/// 40P01, with who waits for whom.
pub(crate) fn deadlock(pids: &[i32]) -> SqlError {
    let after = pids.iter().cycle().skip(1);
    let lines: Vec<String> = pids
        .iter()
        .zip(after)
        .map(|(pid, by)| format!("Process {pid} waits for a row; blocked by process {by}."))
        .collect();
    SqlError::new(ErrorKind::DeadlockDetected, "deadlock detected")
        .detail(lines.join("\n"))
        .hint("The transaction can be run again.")
}

impl Target {
    /// The row that a query found, in a batch whose columns of targets begin at `width`. Of its values only the primary
    /// key's are there.
    fn found(
        &self,
        scope: &Scope,
        batch: &RecordBatch,
        width: usize,
        row: usize,
    ) -> Result<Found, SqlError> {
        let table = &self.table;
        let value = |at: usize| {
            let column = batch.column(width + self.first + at);
            output::value(column, row).map(DatumRef::to_owned)
        };
        let seq = match value(0)? {
            Datum::Int8(seq) => Seq::from_i64(seq),
            _ => None,
        };
        let internal = |what| SqlError::new(ErrorKind::InternalError, what);
        let seq = seq.ok_or_else(|| internal("a row has no Seq"))?;
        let (partition, first) = match self.sees_user {
            true => match value(1)? {
                Datum::Text(user) => (Partition::user(&user), 2),
                _ => return Err(internal("a row has no user")),
            },
            false => (own_partition(table, &scope.access), 1),
        };
        let mut values = vec![Datum::Null; table.columns.len()];
        for (n, at) in table.key_indexes().into_iter().enumerate() {
            values[at] = value(first + n)?;
        }
        let version = RowVersion { seq, row: values };
        Ok(Found::of(partition, version))
    }

    /// What stands for a row when it is locked; `None` when nobody else can see it.
    fn key(&self, row: &Found) -> Option<RowKey> {
        let own = row.version.seq.as_pending().is_some() && self.table.primary_key.is_empty();
        (!own).then(|| row_identity(&self.table, &row.partition, &row.version))
    }
}
