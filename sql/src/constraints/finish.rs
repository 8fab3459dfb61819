//! Doing what makes a new constraint or index ready: the rows that were there before are checked, or added to it.
//!
//! Outside a transaction block this is done while others write, who obey what is not ready yet already. Inside one the
//! commit depends on nobody having written to the table meanwhile.

use datafusion::sql::sqlparser::ast::{self, Expr};
use futures::TryStreamExt;
use tidelog_storage::catalog::{Concern, Deferral, IndexId};
use tidelog_storage::{CatalogChange, CommitError, Partition, StorageError, Store};
use tokio::sync::oneshot;

use super::computed::check_row;
use super::undo::Undo;
use super::*;
use crate::ddl::constraint::Finish;
use crate::error::duplicate_rows;
use crate::modify::Found;
use crate::parse::parse_expression;
use crate::provider::Scope;
use crate::session::QueryPlan;

/// Rows that are added to an index at a time.
const FILL_ROWS: usize = 4096;
/// How often another catalog change may come between.
const CATALOG_RETRIES_MAX: usize = 100;

impl Session {
    /// Brings what a DDL statement has added into force, or takes it off again when the rows do not obey, and by
    /// `undo` when it is cut off.
    pub(crate) async fn finish(
        &mut self,
        table: TableId,
        steps: &[Finish],
        undo: Option<Undo>,
    ) -> Result<(), SqlError> {
        let mut result = Ok(());
        for step in steps {
            result = self.finish_step(table, step).await;
            if result.is_err() {
                break;
            }
        }
        if self.defers_commit() {
            result?;
            let table = self.catalog().table_by_id(table).cloned();
            let mut table = TableDef::clone(&*table.ok_or(CommitError::CatalogChanged)?);
            steps.iter().for_each(|step| apply(&mut table, step, true));
            table.bump_schema_version();
            return self.change_with_block(vec![CatalogChange::PutTable(Box::new(table))]);
        }
        let def = self.committed_catalog().table_by_id(table).cloned();
        if let Some(def) = def {
            let part = Concern::of_schema(&def.schema);
            self.lock_catalog(&[part].into()).await?;
        }
        // From here on it is decided, and done to its end, whatever becomes of the statement.
        let (store, steps, ready) = (self.store().clone(), steps.to_vec(), result.is_ok());
        let (tell, told) = oneshot::channel();
        *self.undoing.lock() = Some(tokio::spawn(async move {
            let settled = match settle(&store, table, &steps, ready).await {
                Err(error) if ready => {
                    let off = settle(&store, table, &steps, false).await;
                    off.and(Err(error))
                }
                settled => settled,
            };
            // Nobody listens when the statement was cut off.
            let _ = tell.send(settled);
        }));
        if let Some(undo) = undo {
            undo.keep();
        }
        told.await.unwrap_or(Err(StorageError::Closed.into()))?;
        result
    }

    async fn finish_step(&mut self, table: TableId, step: &Finish) -> Result<(), SqlError> {
        let scope = self.latest_scope();
        let catalog = scope.snapshot.catalog().clone();
        let def = catalog
            .table_by_id(table)
            .ok_or(CommitError::CatalogChanged)?
            .clone();
        self.depend_on_table(table, scope.snapshot.seq());
        match step {
            Finish::Index { index, .. } => self.fill(&scope, &def, *index).await,
            Finish::Validate(name) if def.foreign_keys.iter().any(|key| key.name == *name) => {
                self.check_children(&scope, &def, name).await
            }
            Finish::Check(name) | Finish::NotNull(_, name) | Finish::Validate(name) => {
                let check = def.checks.iter().find(|check| check.name == *name);
                let check = check.ok_or(CommitError::CatalogChanged)?;
                let condition = format!("NOT ({})", check.condition);
                if self.any_row(&scope, &def, &condition).await? {
                    return Err(match step {
                        Finish::NotNull(id, _) => {
                            let at = def.index_of(*id);
                            contains_nulls(&def, at.map_or("", |at| &def.columns[at].name))
                        }
                        _ => violated_check(&def, name),
                    });
                }
                Ok(())
            }
            Finish::Default(id) => self.write_all(&def, Some(*id)).await,
            Finish::Generate => self.write_all(&def, None).await,
            Finish::ForeignKey(name) => self.check_children(&scope, &def, name).await,
            Finish::Column(_) | Finish::Promote(_) => Ok(()),
        }
    }

    async fn fill(
        &self,
        scope: &Arc<Scope>,
        table: &Arc<TableDef>,
        index: IndexId,
    ) -> Result<(), SqlError> {
        let mut rows = Vec::with_capacity(FILL_ROWS);
        let plan = self.plan_all(scope, table, "true")?.plan;
        let sees_user = scope.access.sees_user(table);
        let mut batches = self.run(plan, scope.clone(), &[], &[]).await?;
        while let Some(batch) = batches.try_next().await? {
            for row in 0..batch.num_rows() {
                let found = Found::of_batch(table, scope, sees_user, &batch, row)?;
                if !table.computed.is_empty() {
                    check_row(table, &found.version.row)?;
                }
                rows.push((found.partition, found.version));
                if rows.len() == FILL_ROWS {
                    self.add_to_index(scope, table, index, std::mem::take(&mut rows))
                        .await?;
                }
            }
        }
        self.add_to_index(scope, table, index, rows).await
    }

    async fn add_to_index(
        &self,
        scope: &Scope,
        table: &Arc<TableDef>,
        index: IndexId,
        rows: Vec<(Partition, tidelog_storage::RowVersion)>,
    ) -> Result<(), SqlError> {
        let filled = match self.defers_commit() {
            true => self.add_with_block(table, index, rows),
            false => {
                let since = scope.snapshot.seq();
                self.store().fill_index(table, index, rows, since).await
            }
        };
        match filled {
            Err(CommitError::UniqueViolation { table, index, key }) => {
                Err(duplicate_rows(&table, index, &key))
            }
            result => {
                result?;
                self.check_size()
            }
        }
    }

    /// `SELECT _seq, … FROM table WHERE condition`, over all its partitions.
    pub(super) fn plan_all(
        &self,
        scope: &Scope,
        table: &TableDef,
        condition: &str,
    ) -> Result<QueryPlan, SqlError> {
        let condition = parse_expression(condition)?;
        self.plan_all_with(scope, table, Some(condition), Vec::new())
    }

    /// The same, with expressions behind the table's columns.
    pub(super) fn plan_all_with(
        &self,
        scope: &Scope,
        table: &TableDef,
        condition: Option<Expr>,
        expressions: Vec<Expr>,
    ) -> Result<QueryPlan, SqlError> {
        let from = parse_query(&format!(
            "SELECT 1 FROM {}.{}",
            quoted(&table.schema),
            quoted(&table.name)
        ))?;
        let ast::SetExpr::Select(select) = *from.body else {
            return Err(SqlError::new(
                ErrorKind::InternalError,
                "a SELECT was expected",
            ));
        };
        let catalog = scope.snapshot.catalog();
        self.plan_found(
            table,
            &select.from[0],
            condition,
            expressions,
            None,
            &[],
            catalog,
        )
    }

    async fn any_row(
        &self,
        scope: &Arc<Scope>,
        table: &Arc<TableDef>,
        condition: &str,
    ) -> Result<bool, SqlError> {
        let plan = self.plan_all(scope, table, condition)?.plan;
        let mut batches = self.run(plan, scope.clone(), &[], &[]).await?;
        while let Some(batch) = batches.try_next().await? {
            if batch.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rows that were there before a foreign key: all must have parents. The parents are locked meanwhile as
    /// if the rows were new.
    pub(super) async fn check_children(
        &mut self,
        scope: &Arc<Scope>,
        table: &Arc<TableDef>,
        name: &str,
    ) -> Result<(), SqlError> {
        let key = table.foreign_keys.iter().find(|key| key.name == name);
        let mut key = key.ok_or(CommitError::CatalogChanged)?.clone();
        // Rows from before are checked at once.
        key.deferral = Deferral::NotDeferrable;
        let only = Arc::new(TableDef {
            foreign_keys: vec![key],
            ..TableDef::clone(table)
        });
        let plan = self.plan_all(scope, table, "true")?.plan;
        let sees_user = scope.access.sees_user(table);
        let mut batches = self.run(plan, scope.clone(), &[], &[]).await?;
        let mut result = Ok(());
        while let Some(batch) = batches.try_next().await? {
            let mut writes = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                let found = Found::of_batch(table, scope, sees_user, &batch, row)?;
                writes.push(Write::insert((found.partition, found.version.row)));
            }
            result = self.check_parents(&only, &writes).await;
            if !self.defers_commit() {
                self.locks().release_to(0);
            }
            if result.is_err() {
                break;
            }
        }
        result
    }
}

/// Commits what the steps have made ready, or takes all of it off.
pub(super) async fn settle(
    store: &Store,
    table: TableId,
    steps: &[Finish],
    ready: bool,
) -> Result<(), CommitError> {
    for _ in 0..CATALOG_RETRIES_MAX {
        let catalog = store.catalog();
        // Gone, or emptied: with it what was to be done.
        let Some(def) = catalog.table_by_id(table) else {
            return Err(CommitError::CatalogChanged);
        };
        let mut def = TableDef::clone(def);
        for step in steps {
            apply(&mut def, step, ready);
        }
        def.bump_schema_version();
        let changes = vec![CatalogChange::PutTable(Box::new(def))];
        let database = catalog.database_of(table);
        let changes = database.map_or(Vec::new(), |database| database.changes(changes));
        match store.change_catalog(catalog.version, changes).await {
            Err(CommitError::CatalogChanged) => continue,
            result => return result.map(drop),
        }
    }
    Err(CommitError::CatalogChanged)
}

fn apply(table: &mut TableDef, step: &Finish, ready: bool) {
    match step {
        Finish::Index { index, primary } => {
            let Some(at) = table.indexes.iter().position(|def| def.id == *index) else {
                return;
            };
            if ready && !primary {
                table.indexes[at].ready = true;
                return;
            }
            let index = table.indexes.remove(at);
            if ready {
                table.set_primary(index);
            }
        }
        Finish::Promote(id) => {
            let at = table.indexes.iter().position(|index| index.id == *id);
            if let Some(at) = at.filter(|_| ready) {
                let index = table.indexes.remove(at);
                table.set_primary(index);
            }
        }
        Finish::Validate(name) => {
            for check in table.checks.iter_mut().filter(|it| it.name == *name) {
                check.not_valid &= !ready;
            }
            for key in table.foreign_keys.iter_mut().filter(|it| it.name == *name) {
                key.not_valid &= !ready;
            }
        }
        Finish::Check(name) => {
            table.checks.retain(|check| ready || check.name != *name);
            let check = table.checks.iter_mut().find(|check| check.name == *name);
            if let Some(check) = check {
                check.ready = true;
            }
        }
        Finish::NotNull(id, name) => {
            table.checks.retain(|check| check.name != *name);
            if ready && let Some(at) = table.index_of(*id) {
                table.columns[at].not_null = true;
                table.columns[at].once_null = true;
            }
        }
        Finish::Default(_) | Finish::Generate => {}
        Finish::Column(id) => table.columns.retain(|column| ready || column.id != *id),
        Finish::ForeignKey(name) => {
            table.foreign_keys.retain(|key| ready || key.name != *name);
            let key = table.foreign_keys.iter_mut().find(|key| key.name == *name);
            if let Some(key) = key {
                key.ready = true;
            }
        }
    }
}

/// 23514 for a check that rows from before do not obey.
pub(super) fn violated_check(table: &TableDef, name: &str) -> SqlError {
    let message = format!(
        "check constraint \"{name}\" of relation \"{}\" is violated by some row",
        table.name
    );
    SqlError::new(ErrorKind::CheckViolation, message).of_constraint(table, name)
}

/// 23502 for a column that has NULL in rows from before.
pub(super) fn contains_nulls(table: &TableDef, column: &str) -> SqlError {
    let message = format!(
        "column \"{column}\" of relation \"{}\" contains null values",
        table.name
    );
    let mut error = SqlError::new(ErrorKind::NotNullViolation, message);
    error.schema = Some(table.schema.clone());
    error.table = Some(table.name.clone());
    error.column = Some(column.to_string());
    error
}
