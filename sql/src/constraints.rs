//! What rows must obey when they change: CHECK and FOREIGN KEY; and what is computed of them, the generated columns.
//! Unique keys and NOT NULL are looked after where rows are made and written.
//!
//! Guarantees: a statement's rows have been checked, and their parents are locked, before its changes can be
//! committed; who takes a parent away waits for those who rely on it, and the other way round.
//! Does not: check rows from before a constraint (`finish` does).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr as Logical, LogicalPlan, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use tidelog_storage::catalog::{ForeignKeyDef, ReferentialAction, UniqueKey};
use tidelog_storage::snapshot::Lookup;
use tidelog_storage::transaction::unique_identity;
use tidelog_storage::{
    Catalog, ColumnId, ColumnType, CommitError, Datum, Partition, Row, TableDef, TableId,
};

mod finish;
mod generated;
pub(crate) mod undo;

use generated::Generation;

use crate::ddl::parents::referencing_keys_of;
use crate::error::{ErrorKind, SqlError, from_datafusion, shown_key, unique_violation};
use crate::locking::Patience;
use crate::locks::LockMode;
use crate::modify::{Found, Tail};
use crate::output;
use crate::parse::{parse_expression, parse_query, quoted};
use crate::provider::{Scope, USER, blocking};
use crate::row::{Write, assign, check_given, check_not_null, shown_row};
use crate::session::physical;
use crate::session::{RETRIES_MAX, Session};
use crate::text::Style;
use crate::turns::{TURN_ROWS, Turns};

/// Keys of one query about children, at most.
const KEYS_MAX: usize = 200;
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
        self.check_new_rows(table, writes).await?;
        self.write(table, writes).await?;
        match self.check_references(table, writes).await {
            // PostgreSQL looks at the keys first.
            Err(error) if error.kind == ErrorKind::ForeignKeyViolation => {
                self.check_keys(table, writes)?;
                Err(error)
            }
            checked => checked,
        }
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

    /// Holds rows that were written against the tables that they refer to, and that refer to them.
    async fn check_references(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        if !table.foreign_keys.is_empty() {
            self.check_parents(table, writes).await?;
        }
        if writes.iter().any(|write| write.old.is_some()) {
            let catalog = self.catalog();
            for (child, key) in referencing_keys_of(&catalog, table) {
                self.follow_parent(table, child, key, writes).await?;
            }
        }
        Ok(())
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
    fn plan_items(&self, table: &TableDef, items: &[String]) -> Result<LogicalPlan, SqlError> {
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
        let mut state = self.state().clone();
        state.execution_props_mut().query_execution_start_time = Some(self.started());
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
                    crate::types::name(ty)
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
            let expr = physical(&state, expr, projection.input.schema())?;
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

    /// Locks the parents of new rows; 23503 when one is not there.
    async fn check_parents(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        for key in &table.foreign_keys {
            let mut wanted: Vec<(Partition, Vec<Datum>)> = Vec::new();
            let mut seen = HashSet::new();
            let catalog = self.catalog();
            let (parent, unique) = parent_of(&catalog, key)?;
            let mut locks = Vec::new();
            let mut turns = Turns::default();
            for write in writes {
                turns.worked(1).await;
                let Some(values) = write
                    .new
                    .as_ref()
                    .and_then(|row| values(table, &key.columns, row))
                else {
                    continue;
                };
                let old = write.old.as_ref();
                if old.and_then(|old| self::values(table, &key.columns, &old.row))
                    == Some(values.clone())
                {
                    continue;
                }
                let parent_values = in_key_order(key, unique, &parent, table, &values);
                let identity = parent_values.as_ref().and_then(|values| {
                    let values = values.iter().map(Datum::as_ref);
                    unique_identity(&parent, &write.partition, unique, values)
                });
                let (Some(parent_values), Some(identity)) = (parent_values, identity) else {
                    return Err(no_parent(table, key, &values));
                };
                if seen.insert(identity.clone()) {
                    locks.push((identity, LockMode::KeyShare));
                    wanted.push((write.partition.clone(), parent_values));
                }
            }
            if wanted.is_empty() {
                continue;
            }
            self.lock(&parent, locks, Patience::Waits).await?;
            let scope = self.latest_scope();
            let (def, id) = (parent.clone(), unique.id);
            let find = move || {
                let transaction = scope.transaction.read();
                let unique = def.unique_key(id).expect("is a key of this definition");
                for (partition, values) in wanted {
                    let found = scope.snapshot.lookup_unique(
                        &def,
                        &partition,
                        unique,
                        &values,
                        Some(&transaction),
                    )?;
                    if found == Lookup::Absent {
                        return Ok(Some(values));
                    }
                }
                Ok(None)
            };
            if let Some(missing) = blocking(find).await.map_err(from_datafusion)? {
                let at = |id: &ColumnId| unique.columns.iter().position(|other| other == id);
                let in_order = key.parent_columns.iter().filter_map(at);
                let values: Vec<Datum> = in_order.map(|at| missing[at].clone()).collect();
                return Err(no_parent(table, key, &values));
            }
        }
        Ok(())
    }

    /// Does to the children of rows that went, or got another key, what their foreign key says.
    async fn follow_parent(
        &mut self,
        parent: &Arc<TableDef>,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        let mut deleted: HashMap<Partition, Vec<Vec<Datum>>> = HashMap::new();
        let mut moved: Vec<(Partition, Vec<Datum>, Vec<Datum>)> = Vec::new();
        for write in writes {
            let old = write.old.as_ref();
            let Some(old) = old.and_then(|old| values(parent, &key.parent_columns, &old.row))
            else {
                continue;
            };
            match &write.new {
                None => deleted
                    .entry(write.partition.clone())
                    .or_default()
                    .push(old),
                Some(row) => {
                    let columns = key.parent_columns.iter();
                    let new: Vec<Datum> = columns.map(|id| value(parent, *id, row)).collect();
                    if new != old {
                        moved.push((write.partition.clone(), old, new));
                    }
                }
            }
        }
        for (partition, keys) in deleted {
            for keys in keys.chunks(KEYS_MAX) {
                self.follow(parent, child, key, &partition, keys, key.on_delete, None)
                    .await?;
            }
        }
        for (partition, old, new) in moved {
            self.follow(
                parent,
                child,
                key,
                &partition,
                &[old],
                key.on_update,
                Some(&new),
            )
            .await?;
        }
        Ok(())
    }

    /// Acts on the children of some keys of one partition; `new` is what the one key has become.
    #[allow(clippy::too_many_arguments)] // They say what happened to whose children.
    async fn follow(
        &mut self,
        parent: &Arc<TableDef>,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        partition: &Partition,
        keys: &[Vec<Datum>],
        action: ReferentialAction,
        new: Option<&[Datum]>,
    ) -> Result<(), SqlError> {
        use ReferentialAction::{Cascade, NoAction, Restrict, SetDefault, SetNull};
        if matches!(action, NoAction | Restrict) {
            let mut gone = Vec::with_capacity(keys.len());
            for values in keys {
                // Another row of the same statement or transaction may have the key by now.
                let taken = action == NoAction
                    && self.parent_exists(parent, key, partition, values).await?;
                if !taken {
                    gone.push(values.clone());
                }
            }
            loop {
                let scope = self.latest_scope();
                let found = self
                    .children(&scope, child, key, partition, &gone, Some(1))
                    .await?;
                let Some(found) = found.into_iter().next() else {
                    return Ok(());
                };
                // One who is taking it away is waited for.
                let row = found.version.row.clone();
                let locks = found.becomes(None).locks(child).into_iter();
                let locks = locks.map(|(row, _)| (row, LockMode::KeyShare)).collect();
                if !self.lock(child, locks, Patience::Waits).await? {
                    return Err(still_referenced(parent, child, key, &row));
                }
            }
        }
        for _ in 0..RETRIES_MAX {
            let scope = self.scope();
            let found = self
                .children(&scope, child, key, partition, keys, None)
                .await?;
            let mut writes = Vec::with_capacity(found.len());
            for found in &found {
                let row = match (action, new) {
                    (Cascade, None) => None,
                    _ => {
                        let mut row = found.version.row.clone();
                        for (n, id) in key.columns.iter().enumerate() {
                            let at = child
                                .index_of(*id)
                                .expect("a key's column cannot be dropped");
                            let column = &child.columns[at];
                            row[at] = match (action, new) {
                                (Cascade, Some(new)) => {
                                    let parent_ty = parent
                                        .index_of(key.parent_columns[n])
                                        .map_or(column.ty, |at| parent.columns[at].ty);
                                    assign(
                                        new[n].clone(),
                                        parent_ty,
                                        column.ty,
                                        &column.name,
                                        Style::default(),
                                    )?
                                }
                                (SetDefault, _) => match &column.default {
                                    Some(sql) => {
                                        let default = parse_expression(sql)?;
                                        self.evaluate_as(&default, column.ty).await?
                                    }
                                    None => Datum::Null,
                                },
                                (SetNull | Cascade | NoAction | Restrict, _) => Datum::Null,
                            };
                        }
                        check_given(child, &row)?;
                        Some(row)
                    }
                };
                writes.push(found.becomes(row));
            }
            let rows = writes.iter_mut().filter_map(|write| write.new.as_mut());
            self.generate(child, rows).await?;
            if !self.lock_writes(&scope, child, found, &writes).await? {
                continue;
            }
            Box::pin(self.change(child, &writes)).await?;
            if self.isolation().keeps_snapshot() {
                let latest = self.latest_scope();
                let unseen = self
                    .children(&latest, child, key, partition, keys, Some(1))
                    .await?;
                if !unseen.is_empty() {
                    return Err(CommitError::Conflict.into());
                }
            }
            return Ok(());
        }
        Err(CommitError::Conflict.into())
    }

    async fn parent_exists(
        &self,
        parent: &Arc<TableDef>,
        key: &ForeignKeyDef,
        partition: &Partition,
        values: &[Datum],
    ) -> Result<bool, SqlError> {
        let Some(unique) = unique_of(parent, key) else {
            return Ok(false);
        };
        let at = |id: &ColumnId| key.parent_columns.iter().position(|other| other == id);
        let in_order = unique.columns.iter().filter_map(at);
        let values: Vec<Datum> = in_order.map(|at| values[at].clone()).collect();
        let (scope, def, id) = (self.latest_scope(), parent.clone(), unique.id);
        let partition = partition.clone();
        let find = move || {
            let unique = def.unique_key(id).expect("is a key of this definition");
            let transaction = scope.transaction.read();
            let (snapshot, transaction) = (&scope.snapshot, Some(&*transaction));
            snapshot.lookup_unique(&def, &partition, unique, &values, transaction)
        };
        let found = blocking(find).await.map_err(from_datafusion)?;
        Ok(found != Lookup::Absent)
    }

    /// The rows that reference some keys of one partition.
    async fn children(
        &self,
        scope: &Arc<Scope>,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        partition: &Partition,
        keys: &[Vec<Datum>],
        limit: Option<usize>,
    ) -> Result<Vec<Found>, SqlError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let parent_types = self.parent_types(scope.snapshot.catalog(), child, key)?;
        let (mut types, mut values, mut matches) = (Vec::new(), Vec::new(), Vec::new());
        let name = |id: &ColumnId| {
            let at = child
                .index_of(*id)
                .expect("a key's column cannot be dropped");
            quoted(&child.columns[at].name)
        };
        for tuple in keys {
            let mut equal = Vec::with_capacity(tuple.len());
            for ((value, ty), id) in tuple.iter().zip(&parent_types).zip(&key.columns) {
                types.push(*ty);
                values.push(value.clone());
                equal.push(format!("{} = ${}", name(id), types.len()));
            }
            matches.push(format!("({})", equal.join(" AND ")));
        }
        let mut condition = matches.join(" OR ");
        if scope.access.sees_user(child) {
            types.push(ColumnType::Text);
            values.push(Datum::Text(partition.as_str().into()));
            condition = format!("({condition}) AND {USER} = ${}", types.len());
        }
        let from = parse_query(&format!(
            "SELECT 1 FROM {}.{}",
            quoted(&child.schema),
            quoted(&child.name)
        ))?;
        let ast::SetExpr::Select(select) = *from.body else {
            return Ok(Vec::new());
        };
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let tail = Tail {
            order_by: None,
            limit,
        };
        let plan = self.plan_found(
            child,
            &select.from[0],
            Some(parse_expression(&condition)?),
            Vec::new(),
            tail,
            &given,
            scope.snapshot.catalog(),
        )?;
        let (found, _) = self
            .find(child, &plan, scope.clone(), &types, &values)
            .await?;
        Ok(found)
    }

    fn parent_types(
        &self,
        catalog: &Catalog,
        child: &TableDef,
        key: &ForeignKeyDef,
    ) -> Result<Vec<ColumnType>, SqlError> {
        let parent = if (&child.schema, &child.name) == (&key.parent.0, &key.parent.1) {
            child
        } else {
            let parent = catalog.table(&key.parent.0, &key.parent.1);
            parent.ok_or(CommitError::CatalogChanged)?.as_ref()
        };
        let ty = |id: &ColumnId| Some(parent.columns[parent.index_of(*id)?].ty);
        let types: Option<Vec<ColumnType>> = key.parent_columns.iter().map(ty).collect();
        types.ok_or_else(|| CommitError::CatalogChanged.into())
    }
}

/// The parent of a foreign key, and its key that is referenced.
fn parent_of<'a>(
    catalog: &'a Catalog,
    key: &ForeignKeyDef,
) -> Result<(Arc<TableDef>, UniqueKey<'a>), SqlError> {
    let parent = catalog.table(&key.parent.0, &key.parent.1);
    let parent = parent.ok_or(CommitError::CatalogChanged)?;
    let unique = unique_of(parent, key).ok_or(CommitError::CatalogChanged)?;
    Ok((parent.clone(), unique))
}

fn unique_of<'a>(parent: &'a TableDef, key: &ForeignKeyDef) -> Option<UniqueKey<'a>> {
    let columns = &key.parent_columns;
    parent.unique_keys().find(|unique| {
        unique.columns.len() == columns.len()
            && unique.columns.iter().all(|id| columns.contains(id))
    })
}

/// A row's values of some columns; `None` when one is NULL.
fn values(table: &TableDef, columns: &[ColumnId], row: &[Datum]) -> Option<Vec<Datum>> {
    let values: Vec<Datum> = columns.iter().map(|id| value(table, *id, row)).collect();
    (!values.iter().any(Datum::is_null)).then_some(values)
}

fn value(table: &TableDef, column: ColumnId, row: &[Datum]) -> Datum {
    let at = table
        .index_of(column)
        .expect("a key's column cannot be dropped");
    row[at].clone()
}

/// A child's values as those of the parent's key, in that key's order; `None` when they cannot be.
fn in_key_order(
    key: &ForeignKeyDef,
    unique: UniqueKey<'_>,
    parent: &TableDef,
    child: &TableDef,
    values: &[Datum],
) -> Option<Vec<Datum>> {
    let value = |id: &ColumnId| {
        let at = key.parent_columns.iter().position(|other| other == id)?;
        let from = child.columns[child.index_of(key.columns[at])?].ty;
        let column = &parent.columns[parent.index_of(*id)?];
        assign(
            values[at].clone(),
            from,
            column.ty,
            &column.name,
            Style::default(),
        )
        .ok()
    };
    unique.columns.iter().map(value).collect()
}

fn no_parent(table: &TableDef, key: &ForeignKeyDef, values: &[Datum]) -> SqlError {
    let message = format!(
        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
        table.name, key.name
    );
    SqlError::new(ErrorKind::ForeignKeyViolation, message)
        .detail(format!(
            "{} is not present in table \"{}\".",
            shown_key(table, &key.columns, values),
            key.parent.1
        ))
        .of_constraint(table, &key.name)
}

fn still_referenced(
    parent: &TableDef,
    child: &TableDef,
    key: &ForeignKeyDef,
    row: &[Datum],
) -> SqlError {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name, key.name, child.name
    );
    let values: Vec<Datum> = key
        .columns
        .iter()
        .map(|id| value(child, *id, row))
        .collect();
    SqlError::new(ErrorKind::ForeignKeyViolation, message)
        .detail(format!(
            "{} is still referenced from table \"{}\".",
            shown_key(parent, &key.parent_columns, &values),
            child.name
        ))
        .of_constraint(child, &key.name)
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
