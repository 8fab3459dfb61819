//! What rows must obey when they change: CHECK, and FOREIGN KEY (`references`, `deferred`); and what is computed of them, the generated columns.
//! Unique keys and NOT NULL are looked after where rows are made and written.
//!
//! Guarantees: a statement's rows have been checked, and their parents are locked, before its changes can be
//! committed; who takes a parent away waits for those who rely on it, and the other way round.
//! Does not: check rows from before a constraint (`finish` does).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr as Logical, LogicalPlan, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use parking_lot::Mutex;
use tidelog_storage::snapshot::Lookup;
use tidelog_storage::{ColumnId, ColumnType, Datum, Row, TableDef, TableId};

pub(crate) mod apart;
pub(crate) mod computed;
pub(crate) mod deferred;
mod finish;
pub(crate) mod generated;
mod references;
mod rewrite;
pub(crate) mod undo;

use generated::Generation;
use references::{Departure, departures};

use crate::error::{ErrorKind, SqlError, from_datafusion, unique_violation};
use crate::output;
use crate::parse::{parse_query, quoted};
use crate::row::{Write, shown_row};
use crate::session::{Session, physical};
use crate::turns::{TURN_ROWS, Turns};

/// Tables whose conditions are kept, at most.
const CACHED_MAX: usize = 1000;

/// What a table's definition computes of each row.
pub(crate) struct Expressions {
    /// The values of the generated columns.
    generated: Vec<Generation>,
    /// The conditions of the checks, in their order.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

/// Expressions that mean the same in each session and at any time.
#[derive(Default)]
pub(crate) struct ExpressionCache(Mutex<HashMap<(TableId, u32), Arc<Expressions>>>);

impl Session {
    /// Adds a statement's changes to the transaction, once they obey the table's constraints. Their locks must be held.
    pub(crate) async fn change(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        let before = self.pending().read().len();
        // In turn, as PostgreSQL queues its triggers.
        let mut left = VecDeque::new();
        self.apply(table, writes, &mut left).await?;
        while let Some(next) = left.pop_front() {
            let followed = self.follow(next, &mut left).await;
            self.keys_first(table, writes, followed)?;
        }
        if self.deferred().goes_on {
            return Ok(());
        }
        if self.defers_commit() {
            let touched = self.pending().read().has_deferrable();
            return match touched {
                true => self.check_unique_now(before),
                false => Ok(()),
            };
        }
        let checked = self.check_deferred(true).await;
        self.keys_first(table, writes, checked)
    }

    /// The same but for what becomes of the rows that refer to those: this is left to do.
    async fn apply(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
        left: &mut VecDeque<Departure>,
    ) -> Result<(), SqlError> {
        self.check_new_rows(table, writes).await?;
        self.write(table, writes).await?;
        if self.is_replica() || table.triggers_disabled {
            return Ok(());
        }
        let checked = self.check_parents(table, writes).await;
        self.keys_first(table, writes, checked)?;
        left.extend(departures(&self.catalog(), table, writes));
        Ok(())
    }

    /// PostgreSQL looks at the keys before it looks at foreign keys.
    fn keys_first(
        &self,
        table: &TableDef,
        writes: &[Write],
        checked: Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        if let Err(error) = &checked
            && error.kind == ErrorKind::ForeignKeyViolation
        {
            self.check_keys(table, writes)?;
        }
        checked
    }

    /// 23514 when a row that is written does not obey a check.
    pub(crate) async fn check_new_rows(
        &self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        if table.checks.is_empty() {
            return Ok(());
        }
        let mut turns = Turns::default();
        for writes in writes.chunks(TURN_ROWS) {
            turns.worked(writes.len()).await;
            let rows = writes.iter().filter_map(|write| write.new.as_ref());
            self.check_rows(table, &rows.cloned().collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// 23505 for a key that exists, where that would be found with the commit only.
    fn check_keys(&self, table: &TableDef, writes: &[Write]) -> Result<(), SqlError> {
        if self.defers_commit() {
            return Ok(());
        }
        let snapshot = self.snapshot();
        let mut seen = HashSet::new();
        tokio::task::block_in_place(|| {
            for write in writes {
                for (key, values) in write.new_keys(table) {
                    if key.is_deferrable() {
                        continue;
                    }
                    let partition = &write.partition;
                    let found = snapshot.lookup_unique(table, partition, key, &values, None)?;
                    let identity = (partition.clone(), key.id, format!("{values:?}"));
                    if found != Lookup::Absent || !seen.insert(identity) {
                        return Err(unique_violation(table, key.id, &values));
                    }
                }
            }
            Ok(())
        })
    }

    /// 23514 when a row does not obey a check.
    fn check_rows(&self, table: &Arc<TableDef>, rows: &[Row]) -> Result<(), SqlError> {
        if rows.is_empty() {
            return Ok(());
        }
        let expressions = self.expressions(table)?;
        let types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        let batch = output::batch_of_rows(&types, rows)?;
        for (check, condition) in table.checks.iter().zip(&expressions.conditions) {
            let result = condition
                .evaluate(&batch)
                .and_then(|value| value.into_array(rows.len()))
                .map_err(from_datafusion)?;
            let result = result.as_any().downcast_ref::<BooleanArray>();
            let broken = result.and_then(|result| {
                (0..result.len()).find(|at| result.is_valid(*at) && !result.value(*at))
            });
            if let Some(at) = broken {
                return Err(check_violation(table, &check.name, &rows[at]));
            }
        }
        Ok(())
    }

    fn expressions(&self, table: &TableDef) -> Result<Arc<Expressions>, SqlError> {
        let version = (table.id, table.schema_version);
        let cache = self.expression_cache();
        // A definition that is not committed may never be: its version can become another's.
        let committed = !self.has_changed_catalog();
        if committed && let Some(known) = cache.0.lock().get(&version) {
            return Ok(known.clone());
        }
        let (expressions, immutable) = self.plan_expressions(table)?;
        if immutable && committed {
            let mut cache = cache.0.lock();
            if cache.len() >= CACHED_MAX {
                cache.clear();
            }
            cache.insert(version, expressions.clone());
        }
        Ok(expressions)
    }

    /// A select list over a table without rows.
    pub(crate) fn plan_items(
        &self,
        table: &TableDef,
        items: &[String],
    ) -> Result<LogicalPlan, SqlError> {
        let query = parse_query(&format!(
            "SELECT {} FROM {}",
            items.join(", "),
            quoted(&table.name)
        ))?;
        let rows =
            MemTable::try_new(table.arrow_schema(), vec![vec![]]).map_err(from_datafusion)?;
        let replaced = vec![(table.name.clone(), Arc::new(rows) as _)];
        let catalog = self.catalog();
        self.plan_over(replaced, query, &[], false, &catalog)
    }

    /// What is computed of a table's rows, an error when a condition is none; and whether it means the same everywhere.
    pub(crate) fn plan_expressions(
        &self,
        table: &TableDef,
    ) -> Result<(Arc<Expressions>, bool), SqlError> {
        let columns = table.columns.iter().enumerate();
        let generated: Vec<(usize, &String)> = columns
            .filter_map(|(at, column)| Some((at, column.generated.as_ref()?)))
            .collect();
        let conditions = table.checks.iter().map(|check| &check.condition);
        let all = generated.iter().map(|(_, expr)| *expr).chain(conditions);
        let items: Vec<String> = all.map(|expr| format!("({expr})")).collect();
        let plan = self.plan_items(table, &items)?;
        let (state, started) = (self.state(), Some(self.started()));
        let plan = state
            .analyzer()
            .execute_and_check(plan, state.config_options(), |_, _| {})
            .map_err(from_datafusion)?;
        let LogicalPlan::Projection(projection) = &plan else {
            return Err(SqlError::unsupported(
                "an aggregate or window function in a check constraint",
            ));
        };
        let mut immutable = true;
        let mut expressions = Expressions {
            generated: Vec::with_capacity(generated.len()),
            conditions: Vec::with_capacity(table.checks.len()),
        };
        for (at, expr) in projection.expr.iter().enumerate() {
            let ty = output::column_type(plan.schema().field(at))?;
            if at >= generated.len() && ty != ColumnType::Bool {
                let message = format!(
                    "argument of CHECK must be type boolean, not type {}",
                    crate::types::bare_name(ty)
                );
                return Err(SqlError::new(ErrorKind::DatatypeMismatch, message));
            }
            expr.apply(|expr| {
                if let Logical::ScalarFunction(call) = expr {
                    immutable &= call.func.signature().volatility == Volatility::Immutable;
                }
                Ok(TreeNodeRecursion::Continue)
            })
            .map_err(from_datafusion)?;
            let expr = physical(state, started, expr, projection.input.schema())?;
            match generated.get(at) {
                Some((column, _)) => expressions.generated.push(Generation {
                    column: *column,
                    expression: expr,
                    ty,
                }),
                None => expressions.conditions.push(expr),
            }
        }
        Ok((Arc::new(expressions), immutable))
    }
}

fn check_violation(table: &TableDef, name: &str, row: &[Datum]) -> SqlError {
    // The check that stands in for SET NOT NULL until all rows are known to have a value.
    let not_null = name.strip_prefix('\u{1}').and_then(|id| id.parse().ok());
    let column = not_null.and_then(|id| table.index_of(ColumnId::new(id)));
    if let Some(at) = column {
        return crate::row::null_violation(table, at, row);
    }
    let message = format!(
        "new row for relation \"{}\" violates check constraint \"{name}\"",
        table.name
    );
    SqlError::new(ErrorKind::CheckViolation, message)
        .detail(format!("Failing row contains ({}).", shown_row(table, row)))
        .of_constraint(table, name)
}
