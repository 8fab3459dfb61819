//! Locking the rows that a statement found, and SELECT … FOR UPDATE, which does nothing else.

pub(crate) mod inside;

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, Expr, LimitClause, LockType, NonBlock, OrderBy, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableFactor, Value,
};
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::snapshot::{Fate, Lookup};
use tidelog_storage::transaction::{row_identity, unique_identity};
use tidelog_storage::{Catalog, ColumnType, CommitError, Datum, TableDef, TableId};

use crate::ddl;
use crate::error::{ErrorKind, SqlError, from_arrow, from_datafusion, unique_violation};
use crate::locks::{LockError, LockMode, RowKey};
use crate::modify::{Found, Tail};
use crate::output;
use crate::parse::quoted;
use crate::parse::walk::Walk;
use crate::plan::stars::mentions_pseudo_columns;
use crate::provider::{Relation, Scope, blocking};
use crate::row::{Write, assign, constant};
use crate::session::{Outcome, Prepared, RETRIES_MAX, Session};
use crate::turns::{TURN_ROWS, Turns};

/// What is done about a row that another transaction has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It is waited for, up to `lock_timeout`.
    Waits,
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
            Patience::None => {
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

    /// Waits until no other transaction is changing the catalog, and has others wait for this one.
    pub(crate) async fn lock_catalog(&mut self) -> Result<(), SqlError> {
        // No row's key begins with the system table's id.
        let key = RowKey::from(TableId::SYSTEM.get().to_be_bytes());
        let timeout = self.timeout("lock_timeout");
        let locked = self
            .locks()
            .lock_all(&[(key, LockMode::Update)], true, timeout)
            .await;
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
        self.as_found_of(scope, table, found, waited, self.defers_commit())
            .await
    }

    /// The same; `now` says whether it must be known before the statement's transaction ends.
    async fn as_found_of(
        &mut self,
        scope: &Scope,
        table: &Arc<TableDef>,
        found: Vec<Found>,
        waited: bool,
        now: bool,
    ) -> Result<Option<Vec<Found>>, SqlError> {
        if !now {
            if waited {
                self.forget_reads();
                return Ok(None);
            }
            // What has changed without being waited for the committer finds at once.
            return Ok(Some(found));
        }
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
        let now = self.defers_commit();
        self.select_locking_until(query, prepared, values, now)
            .await
    }

    /// The same, of rows that are certainly the newest when it ends.
    async fn select_locking_newest(
        &mut self,
        query: &Query,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        self.select_locking_until(query, prepared, values, true)
            .await
    }

    async fn select_locking_until(
        &mut self,
        query: &Query,
        prepared: &Prepared,
        values: &[Datum],
        now: bool,
    ) -> Result<Outcome, SqlError> {
        let clause = Clause::of(query, prepared.spares_keys())?;
        self.check_may_write(&format!("SELECT {}", clause.name()))?;
        clause.check_plan(prepared.plan())?;
        for _ in 0..RETRIES_MAX {
            let tried = self.try_select_locking(query, &clause, prepared, values, now);
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
        clause: &Clause<'_>,
        prepared: &Prepared,
        values: &[Datum],
        now: bool,
    ) -> Result<Option<Outcome>, SqlError> {
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let select = clause.select;
        let table = ddl::resolve(&catalog, &self.search_path(), clause.table)?.clone();
        let types = &prepared.parameters;
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let (limit, offset) = limits(query)?;
        let limit = self.count_of("LIMIT", limit, types, values).await?;
        let offset = self.count_of("OFFSET", offset, types, values).await?;
        let offset = offset.unwrap_or(0);
        let reach = limit.map(|limit| limit.saturating_add(offset));
        let skips = clause.nonblock == Some(NonBlock::SkipLocked);
        let tail = Tail {
            order_by: order_of(query, select, &table)?,
            limit: reach.filter(|_| !skips),
        };
        let plan = self.plan_found(
            &table,
            &select.from[0],
            select.selection.clone(),
            Vec::new(),
            tail,
            &given,
            &catalog,
        )?;
        let (mut found, _) = self
            .find(&table, &plan, scope.clone(), types, values)
            .await?;
        let lock = |row: &Found| {
            let own = row.version.seq.as_pending().is_some() && table.primary_key.is_empty();
            (!own).then(|| row_identity(&table, &row.partition, &row.version))
        };
        let mut waited = false;
        if skips {
            let reach = reach.unwrap_or(usize::MAX);
            let mut locked = Vec::new();
            for row in found {
                if locked.len() >= reach {
                    break;
                }
                if lock(&row).is_none_or(|key| self.locks().try_lock(&key, clause.mode)) {
                    locked.push(row);
                }
            }
            found = locked;
        } else {
            let locks = found.iter().filter_map(lock).map(|key| (key, clause.mode));
            let locks = locks.collect();
            waited = self.lock(&table, locks, clause.patience()).await?;
        }
        let found = self.as_found_of(&scope, &table, found, waited, now).await?;
        let Some(found) = found else {
            return Ok(None);
        };
        self.project(query, clause, prepared, values, &table, &catalog, scope, {
            found.into_iter().skip(offset).collect()
        })
        .await
        .map(Some)
    }

    /// The select list over rows that are locked.
    #[allow(clippy::too_many_arguments)] // Private, and each is a part of the statement.
    async fn project(
        &self,
        query: &Query,
        clause: &Clause<'_>,
        prepared: &Prepared,
        values: &[Datum],
        table: &Arc<TableDef>,
        catalog: &Catalog,
        scope: Arc<Scope>,
        found: Vec<Found>,
    ) -> Result<Outcome, SqlError> {
        let mut query = query.clone();
        query.locks.clear();
        query.order_by = None;
        query.limit_clause = None;
        let mut select = clause.select.clone();
        select.selection = None;
        query.body = Box::new(SetExpr::Select(Box::new(select)));

        let pseudo = mentions_pseudo_columns(&query);
        let user = pseudo && scope.access.sees_user(table);
        let mut types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        types.extend(pseudo.then_some(ColumnType::Int8));
        types.extend(user.then_some(ColumnType::Text));
        let row = |found: Found| {
            let mut row = found.version.row;
            row.extend(pseudo.then(|| Datum::Int8(found.version.seq.as_i64())));
            row.extend(user.then(|| Datum::Text(found.partition.as_str().to_string())));
            row
        };
        let rows: Vec<_> = found.into_iter().map(row).collect();
        let batch = output::batch_of_rows(&types, &rows)?;
        let relation = Relation::new(table.clone(), pseudo, user);
        let schema = datafusion::datasource::TableProvider::schema(&relation);
        let options =
            arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = arrow::record_batch::RecordBatch::try_new_with_options(
            schema.clone(),
            batch.columns().to_vec(),
            &options,
        )
        .map_err(|e| from_arrow(&e))?;
        let rows = datafusion::datasource::MemTable::try_new(schema, vec![vec![batch]])
            .map_err(from_datafusion)?;

        let given: Vec<_> = prepared.parameters.iter().map(|ty| Some(*ty)).collect();
        let replaced: Vec<(_, Arc<dyn TableProvider>)> = vec![(table.name.clone(), Arc::new(rows))];
        let plan = self.plan_over(replaced, query, &given, pseudo, catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        prepared.check_columns(&columns)?;
        let rows = self.run(plan, scope, &prepared.parameters, values).await?;
        let batches: Vec<_> = rows.try_collect().await?;
        Ok(Outcome::Rows {
            columns,
            rows: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            verb: "SELECT",
        })
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

/// A locking clause and the simple query that it stands on.
struct Clause<'a> {
    select: &'a Select,
    table: &'a ast::ObjectName,
    mode: LockMode,
    nonblock: Option<NonBlock>,
}

impl<'a> Clause<'a> {
    fn of(query: &'a Query, spares_keys: bool) -> Result<Clause<'a>, SqlError> {
        let [lock] = query.locks.as_slice() else {
            return Err(SqlError::unsupported("more than one locking clause"));
        };
        let mode = match (&lock.lock_type, spares_keys) {
            (LockType::Update, false) => LockMode::Update,
            (LockType::Update, true) => LockMode::NoKeyUpdate,
            (LockType::Share, false) => LockMode::Share,
            (LockType::Share, true) => LockMode::KeyShare,
        };
        let name = name_of(mode);
        let refuse = |what: &str| {
            let message = format!("{name} is not allowed with {what}");
            Err(SqlError::new(ErrorKind::FeatureNotSupported, message))
        };
        let elsewhere =
            || SqlError::unsupported(format!("{name} of anything but the rows of one table"));
        if query.with.is_some() || query.fetch.is_some() {
            return Err(elsewhere());
        }
        let select = match &*query.body {
            SetExpr::Select(select) => select,
            SetExpr::SetOperation { .. } => return refuse("UNION/INTERSECT/EXCEPT"),
            _ => return Err(elsewhere()),
        };
        if select.distinct.is_some() {
            return refuse("DISTINCT clause");
        }
        if !matches!(&select.group_by, ast::GroupByExpr::Expressions(by, sets) if by.is_empty() && sets.is_empty())
        {
            return refuse("GROUP BY clause");
        }
        if select.having.is_some() {
            return refuse("HAVING clause");
        }
        let [from] = select.from.as_slice() else {
            return Err(elsewhere());
        };
        let TableFactor::Table {
            name: table,
            alias,
            args: None,
            ..
        } = &from.relation
        else {
            return Err(elsewhere());
        };
        if !from.joins.is_empty() || alias.as_ref().is_some_and(|a| !a.columns.is_empty()) {
            return Err(elsewhere());
        }
        let is_subquery = |expr: &Expr| {
            matches!(
                expr,
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. }
            )
        };
        if select.projection.has_expr(is_subquery) {
            let what = format!("a subquery in the select list of {name}");
            return Err(SqlError::unsupported(what));
        }
        if let Some(of) = &lock.of {
            let last = |name: &ast::ObjectName| name.0.last()?.as_ident().map(ddl::fold);
            let called = alias
                .as_ref()
                .map_or_else(|| last(table), |alias| Some(ddl::fold(&alias.name)));
            if of.0.len() != 1 || last(of) != called {
                let message = format!(
                    "relation \"{}\" in {name} clause not found in FROM clause",
                    last(of).unwrap_or_default()
                );
                return Err(SqlError::new(ErrorKind::UndefinedTable, message));
            }
        }
        Ok(Clause {
            select,
            table,
            mode,
            nonblock: lock.nonblock,
        })
    }

    fn name(&self) -> &'static str {
        name_of(self.mode)
    }

    fn patience(&self) -> Patience {
        match self.nonblock {
            Some(NonBlock::Nowait) => Patience::None,
            Some(NonBlock::SkipLocked) | None => Patience::Waits,
        }
    }

    /// Refuses functions that make one row of many.
    fn check_plan(&self, plan: Option<&LogicalPlan>) -> Result<(), SqlError> {
        let mut found = None;
        if let Some(plan) = plan {
            plan.exists(|node| {
                found = match node {
                    LogicalPlan::Aggregate(_) => Some("aggregate functions"),
                    LogicalPlan::Window(_) => Some("window functions"),
                    LogicalPlan::Unnest(_) => Some("set-returning functions in the target list"),
                    _ => None,
                };
                Ok(found.is_some())
            })
            .map_err(from_datafusion)?;
        }
        match found {
            None => Ok(()),
            Some(what) => Err(SqlError::new(
                ErrorKind::FeatureNotSupported,
                format!("{} is not allowed with {what}", self.name()),
            )),
        }
    }
}

fn name_of(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Update => "FOR UPDATE",
        LockMode::NoKeyUpdate => "FOR NO KEY UPDATE",
        LockMode::Share => "FOR SHARE",
        LockMode::KeyShare => "FOR KEY SHARE",
    }
}

/// The locking clause of a query, as its kind is written.
fn name_of_clause(query: &Query) -> &'static str {
    match query.locks.first().map(|lock| &lock.lock_type) {
        Some(LockType::Share) => "FOR SHARE",
        _ => "FOR UPDATE",
    }
}

/// LIMIT and OFFSET.
fn limits(query: &Query) -> Result<(Option<&Expr>, Option<&Expr>), SqlError> {
    match &query.limit_clause {
        None => Ok((None, None)),
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => {
            Ok((limit.as_ref(), offset.as_ref().map(|offset| &offset.value)))
        }
        Some(other) => Err(SqlError::unsupported(other)),
    }
}

/// ORDER BY in terms of the table's columns: it may name items of the select list, by position or alias.
fn order_of(query: &Query, select: &Select, table: &TableDef) -> Result<Option<OrderBy>, SqlError> {
    let Some(mut order) = query.order_by.clone() else {
        return Ok(None);
    };
    let OrderByKind::Expressions(items) = &mut order.kind else {
        return Err(SqlError::unsupported("ORDER BY ALL"));
    };
    let mut listed: Vec<(Option<String>, Expr)> = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => listed.push((None, expr.clone())),
            SelectItem::ExprWithAlias { expr, alias } => {
                listed.push((Some(ddl::fold(alias)), expr.clone()));
            }
            // There is only one table that a star can mean.
            _ => listed.extend(
                table
                    .columns
                    .iter()
                    .map(|column| (None, Expr::Identifier(quoted(&column.name)))),
            ),
        }
    }
    for item in items {
        let replaced = match &item.expr {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => {
                    let at = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                    let Some((_, expr)) = at.and_then(|at| listed.get(at)) else {
                        let message = format!("ORDER BY position {number} is not in select list");
                        return Err(SqlError::new(ErrorKind::SyntaxError, message));
                    };
                    Some(expr)
                }
                _ => None,
            },
            Expr::Identifier(name) => listed
                .iter()
                .find(|(alias, _)| alias.as_deref() == Some(ddl::fold(name).as_str()))
                .map(|(_, expr)| expr),
            _ => None,
        };
        if let Some(expr) = replaced {
            // In parentheses: a literal there is no position.
            item.expr = Expr::Nested(Box::new(expr.clone()));
        }
    }
    Ok(Some(order))
}
