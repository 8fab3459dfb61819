//! INSERT … ON CONFLICT: rows whose unique key is taken are left out, or update the row that has it.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, ConflictTarget, Expr, Insert, OnConflict, OnConflictAction, OnInsert,
};
use futures::TryStreamExt;
use tidelog_storage::catalog::{IndexId, UniqueKey};
use tidelog_storage::snapshot::Lookup;
use tidelog_storage::transaction::unique_identity;
use tidelog_storage::{
    Catalog, ColumnId, ColumnType, CommitError, Datum, Partition, PartitionSet, Row, RowVersion,
    Seq, Snapshot, StorageError, TableDef, datum,
};

use crate::ddl;
use crate::ddl::constraint::columns_of;
use crate::error::{ErrorKind, SqlError, from_datafusion};
use crate::locks::RowKey;
use crate::modify::{assigned_columns, check_assignable};
use crate::output;
use crate::parse::arbiter::{self, Arbiter};
use crate::parse::{self, parse_expression, parse_query, quoted};
use crate::provider::{Scope, blocking};
use crate::returning::{self, ORDINAL, Returned};
use crate::row::{Write, cell, check_given, constant};
use crate::session::Session;

/// What an ON CONFLICT clause asks for.
pub(crate) struct Conflicts<'a> {
    /// `None` for DO NOTHING.
    update: Option<&'a ast::DoUpdate>,
    /// The unique keys that the clause means; without any, all of the table's count.
    keys: Option<Vec<IndexId>>,
    /// What is said of a row that those keys let through: a deferrable key of the table cannot tell whether it conflicts.
    refused: Option<SqlError>,
    /// What the table goes by in the update's expressions.
    alias: String,
}

impl<'a> Conflicts<'a> {
    /// The clause of an INSERT, if it has one.
    pub(crate) fn of(
        insert: &'a Insert,
        table: &TableDef,
    ) -> Result<Option<Conflicts<'a>>, SqlError> {
        let OnConflict {
            conflict_target,
            action,
        } = match &insert.on {
            None => return Ok(None),
            Some(OnInsert::OnConflict(clause)) => clause,
            Some(_) => return Err(SqlError::unsupported("ON DUPLICATE KEY UPDATE")),
        };
        let update = match action {
            OnConflictAction::DoNothing => None,
            OnConflictAction::DoUpdate(update) => Some(update),
        };
        if let Some(update) = update {
            for (index, value) in assigned_columns(&update.assignments, table, "")? {
                check_assignable(&table.columns[index], &value)?;
            }
        }
        let ready = |key: &UniqueKey<'_>| !table.indexes.iter().any(|i| i.id == key.id && !i.ready);
        let keys = match conflict_target {
            None if update.is_some() => {
                let message =
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name";
                return Err(SqlError::new(ErrorKind::SyntaxError, message)
                    .hint("For example, ON CONFLICT (column_name)."));
            }
            None => None,
            Some(ConflictTarget::Columns(names)) => {
                let arbiter = arbiter::read(names)?;
                let condition = arbiter.condition.iter();
                for part in arbiter.keys.iter().chain(condition) {
                    columns_of(table, part, "index expression")?;
                }
                let is_meant = |key: &UniqueKey<'_>| ready(key) && is_meant(table, key, &arbiter);
                let keys = table.unique_keys().filter(is_meant).map(|key| key.id);
                let keys: Vec<IndexId> = keys.collect();
                if keys.is_empty() {
                    let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                    return Err(SqlError::new(ErrorKind::InvalidColumnReference, message));
                }
                Some(keys)
            }
            Some(ConflictTarget::OnConstraint(name)) => {
                let name = name.0.last().and_then(|part| part.as_ident());
                let name = name.map_or_else(String::new, ddl::fold);
                let mut keys = table.unique_keys();
                let is_constraint = |id: IndexId| {
                    let index = table.indexes.iter().find(|index| index.id == id);
                    index.is_none_or(|index| index.constraint)
                };
                let named =
                    |key: &UniqueKey<'_>| key.name == name && ready(key) && is_constraint(key.id);
                let Some(key) = keys.find(named) else {
                    let message = format!(
                        "constraint \"{name}\" for table \"{}\" does not exist",
                        table.name
                    );
                    return Err(SqlError::new(ErrorKind::UndefinedObject, message));
                };
                Some(vec![key.id])
            }
        };
        let counts = |id: IndexId| {
            keys.as_ref()
                .is_none_or(|keys: &Vec<IndexId>| keys.contains(&id))
        };
        let mut deferrable = table.unique_keys().filter(|key| key.is_deferrable());
        let refused = deferrable.find(|key| counts(key.id)).map(|key| {
            let message = "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters";
            let error = SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message);
            error.of_constraint(table, key.name)
        });
        let keys = match refused {
            Some(error) if keys.is_some() => return Err(error),
            Some(_) => {
                let immediate = table.unique_keys().filter(|key| !key.is_deferrable());
                Some(immediate.map(|key| key.id).collect())
            }
            None => keys,
        };
        let alias = insert
            .table_alias
            .as_ref()
            .map_or_else(|| table.name.clone(), |alias| ddl::fold(&alias.alias));
        Ok(Some(Conflicts {
            update,
            keys,
            refused,
            alias,
        }))
    }
}

/// Whether an ON CONFLICT clause means a key: it names what the key has, in any order, and its condition implies the key's.
fn is_meant(table: &TableDef, key: &UniqueKey<'_>, named: &Arbiter) -> bool {
    let part = |id: &ColumnId| match table.index_of(*id) {
        Some(at) => Some(Expr::Identifier(ast::Ident::with_quote(
            '"',
            &table.columns[at].name,
        ))),
        None => expression(table, *id),
    };
    let Some(parts) = key.columns.iter().map(part).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let same = parts.iter().all(|part| named.keys.contains(part))
        && named.keys.iter().all(|part| parts.contains(part));
    let implied = |id| {
        let wanted = expression(table, id);
        wanted.is_some_and(|wanted| arbiter::implies(named.condition.as_ref(), &wanted))
    };
    same && key.predicate.is_none_or(implied)
}

fn expression(table: &TableDef, id: ColumnId) -> Option<Expr> {
    let written = &table.computed_of(id)?.expression;
    parse_expression(written).ok().map(arbiter::plain)
}

impl Session {
    /// Types the parameters of an ON CONFLICT clause.
    pub(crate) fn conflict_parameters(
        &self,
        insert: &Insert,
        table: &Arc<TableDef>,
        types: &mut Vec<Option<ColumnType>>,
        catalog: &Catalog,
    ) -> Result<(), SqlError> {
        let Some(conflicts) = Conflicts::of(insert, table)? else {
            return Ok(());
        };
        let Some(update) = conflicts.update else {
            return Ok(());
        };
        for (index, value) in assigned_columns(&update.assignments, table, &conflicts.alias)? {
            crate::row::infer_placeholder(types, &value, table.columns[index].ty)?;
        }
        let plan = self.plan_update(&conflicts.alias, update, table, &[], types, catalog)?;
        *types = crate::plan::parameter_types(&plan, types)?
            .into_iter()
            .map(Some)
            .collect();
        Ok(())
    }

    /// Adds new rows to the transaction where their keys are free, and does what the clause says where they are
    /// not. Gives the changes that were made, in the rows' order.
    pub(crate) async fn insert_or(
        &mut self,
        conflicts: &Conflicts<'_>,
        table: &Arc<TableDef>,
        mut rows: Vec<(Partition, Row)>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Vec<Write>, SqlError> {
        self.generate(table, rows.iter_mut().map(|(_, row)| row))
            .await?;
        let inserts: Vec<Write> = rows.into_iter().map(Write::insert).collect();
        // Also a row that is left out for its key must obey them.
        self.check_new_rows(table, &inserts).await?;
        if table.unique_keys().next().is_none() {
            self.insert_generated(table, &inserts).await?;
            return Ok(inserts);
        }
        let mark = self.locks().mark();
        // A row that DO NOTHING is about needs no lock, unless it is going to be another one.
        let mut settled = vec![false; inserts.len()];
        if conflicts.update.is_none() {
            let found = self.holders(conflicts, table, &inserts).await?;
            for ((settled, found), write) in settled.iter_mut().zip(found).zip(&inserts) {
                let keys = identities(write, table, conflicts.keys.as_deref());
                let locks = self.locks();
                *settled =
                    found.is_some() && !keys.iter().any(|key| locks.is_changed_by_another(key));
            }
        }
        let settled = settled.into_iter();
        let inserts = inserts.into_iter().zip(settled);
        let inserts = inserts.filter_map(|(write, settled)| (!settled).then_some(write));
        let inserts: Vec<Write> = inserts.collect();
        self.lock_to_change(table, &inserts).await?;
        // The locks are held: what is found of the keys now stays.
        let found = self.holders(conflicts, table, &inserts).await?;
        let mut updated = Vec::new();
        if let Some(update) = conflicts.update {
            let pairs = found.iter().zip(&inserts);
            let pairs = pairs
                .filter_map(|(version, write)| Some((&version.as_ref()?.row, write.new.as_ref()?)));
            let pairs: Vec<(&Row, &Row)> = pairs.collect();
            if !pairs.is_empty() {
                updated = self
                    .updated_rows(&conflicts.alias, update, table, &pairs, types, values)
                    .await?;
            }
        }
        let mut updated = updated.into_iter();
        // One after the other, as each of them finds what those before it have done.
        let mut writes: Vec<Write> = Vec::with_capacity(inserts.len());
        let (mut made, mut superseded) = (HashSet::new(), HashSet::new());
        for (write, version) in inserts.into_iter().zip(found) {
            let update = version.as_ref().and_then(|_| updated.next());
            let keys = identities(&write, table, conflicts.keys.as_deref());
            if keys.iter().any(|key| made.contains(key)) {
                if conflicts.update.is_none() {
                    continue;
                }
                let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
                return Err(SqlError::new(ErrorKind::CardinalityViolation, message).hint(
                    "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
                ));
            }
            match version {
                Some(version) if !superseded.contains(&(write.partition.clone(), version.seq)) => {
                    let Some(row) = update.flatten() else {
                        continue;
                    };
                    superseded.insert((write.partition.clone(), version.seq));
                    let row = Write::insert((write.partition, row));
                    made.extend(identities(&row, table, conflicts.keys.as_deref()));
                    writes.push(Write {
                        old: Some(version),
                        ..row
                    });
                }
                // The key is free, or was freed by an update before.
                _ => {
                    if let Some(error) = &conflicts.refused {
                        return Err(error.clone());
                    }
                    made.extend(keys);
                    writes.push(write);
                }
            }
        }
        match conflicts.update {
            // A key that the update changes needs a lock of its own.
            Some(_) => {
                self.lock_to_change(table, &writes).await?;
            }
            None => {
                let kept = writes.iter().flat_map(|write| write.locks(table));
                let kept = kept.map(|(key, _)| key).collect();
                self.locks().release_but(mark, &kept);
            }
        }
        self.change(table, &writes).await?;
        Ok(writes)
    }

    /// The rows that have the keys of new ones; 40001 when they are others by now than those of the transaction's snapshot.
    async fn holders(
        &self,
        conflicts: &Conflicts<'_>,
        table: &Arc<TableDef>,
        inserts: &[Write],
    ) -> Result<Vec<Option<RowVersion>>, SqlError> {
        let scope = self.scope();
        let now = scope.snapshot.catalog().table_by_id(table.id);
        if now.is_none_or(|now| now.schema_version != table.schema_version) {
            // The rows may be of a newer layout than the statement was planned for.
            return Err(CommitError::CatalogChanged.into());
        }
        if let Some(reads) = &scope.reads {
            let partitions = inserts.iter().map(|write| write.partition.clone());
            let read = partitions.map(|partition| (table.id, PartitionSet::One(partition)));
            reads.lock().extend(read);
        }
        let latest = self
            .isolation()
            .keeps_snapshot()
            .then(|| self.store().snapshot());
        let (table, inserts, only) = (table.clone(), inserts.to_vec(), conflicts.keys.clone());
        let look_up = move || {
            let found = |write: &Write| {
                let only = only.as_deref();
                let there = holder(&scope, &scope.snapshot, &table, write, only)?;
                let Some(latest) = &latest else {
                    return Ok(Ok(there));
                };
                let now = seq_of_holder(&scope, latest, &table, write, only)?;
                Ok(if now == there.as_ref().map(|version| version.seq) {
                    Ok(there)
                } else {
                    Err(())
                })
            };
            let lookups = inserts.iter().map(found);
            lookups.collect::<Result<Result<Vec<_>, ()>, StorageError>>()
        };
        let found = blocking(look_up).await.map_err(from_datafusion)?;
        found.map_err(|()| {
            let message = "could not serialize access due to concurrent update";
            SqlError::new(ErrorKind::SerializationFailure, message)
        })
    }

    /// What DO UPDATE makes of each pair of a present row and a proposed one; `None` where its WHERE says no.
    async fn updated_rows(
        &self,
        alias: &str,
        update: &ast::DoUpdate,
        table: &Arc<TableDef>,
        rows: &[(&Row, &Row)],
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Vec<Option<Row>>, SqlError> {
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let scope = self.scope();
        let catalog = scope.snapshot.catalog().clone();
        let plan = self.plan_update(alias, update, table, rows, &given, &catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        let targets = assigned_columns(&update.assignments, table, alias)?;
        let mut updated: Vec<Option<Row>> = vec![None; rows.len()];
        let mut batches = self.run(plan, scope, types, values).await?;
        while let Some(batch) = batches.try_next().await? {
            for at in 0..batch.num_rows() {
                let ordinal =
                    match datum::datum_at(batch.column(0), at).map(|value| value.to_owned()) {
                        Some(Datum::Int8(ordinal)) => usize::try_from(ordinal).ok(),
                        _ => None,
                    };
                let ordinal = ordinal
                    .filter(|ordinal| *ordinal < rows.len())
                    .expect("the first column numbers the rows");
                let mut row = rows[ordinal].0.clone();
                for (n, (index, value)) in targets.iter().enumerate() {
                    let column = &table.columns[*index];
                    if column.generated.is_some() {
                        continue;
                    }
                    row[*index] = if crate::row::is_default(value) {
                        self.default_of(column).await?
                    } else if let Some(value) =
                        constant(value, column.ty, types, values, &column.name, self.style())?
                    {
                        value
                    } else {
                        cell(
                            batch.column(n + 1),
                            at,
                            &columns[n + 1],
                            column.ty,
                            &column.name,
                            self.style(),
                        )?
                    };
                }
                check_given(table, &row)?;
                updated[ordinal] = Some(row);
            }
        }
        self.generate(table, updated.iter_mut().flatten()).await?;
        Ok(updated)
    }

    async fn default_of(&self, column: &tidelog_storage::ColumnDef) -> Result<Datum, SqlError> {
        let Some(sql) = &column.default else {
            return Ok(Datum::Null);
        };
        (self.evaluate_as(&parse::parse_expression(sql)?, column.ty)).await
    }

    /// `SELECT ordinal, values… FROM table JOIN excluded … WHERE …`.
    fn plan_update(
        &self,
        alias: &str,
        update: &ast::DoUpdate,
        table: &TableDef,
        rows: &[(&Row, &Row)],
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        let relation =
            |alias: &str, rows: Vec<Row>| Returned::of_table(table, Some(&quoted(alias)), rows);
        let relations = [
            relation(alias, rows.iter().map(|row| row.0.clone()).collect()),
            relation("excluded", rows.iter().map(|row| row.1.clone()).collect()),
        ];
        let (from, replaced) = returning::joined(&relations)?;
        let (present, ordinal) = (quoted(alias), quoted(ORDINAL));
        let mut query = parse_query(&format!("SELECT {present}.{ordinal} FROM {from}"))?;
        if let ast::SetExpr::Select(select) = &mut *query.body {
            for (_, value) in assigned_columns(&update.assignments, table, alias)? {
                let value = if crate::row::is_default(&value) {
                    Expr::Value(ast::Value::Null.into())
                } else {
                    value
                };
                select.projection.push(parse::item(value));
            }
            select.selection = update.selection.clone();
        }
        self.plan_over(replaced, query, given, false, catalog)
    }
}

/// The row that has a key of a new one, if the clause is about that key.
fn holder(
    scope: &Scope,
    snapshot: &Snapshot,
    table: &Arc<TableDef>,
    write: &Write,
    only: Option<&[IndexId]>,
) -> Result<Option<RowVersion>, StorageError> {
    let transaction = scope.transaction.read();
    for (key, values) in arbiters(write, table, only) {
        let (partition, own) = (&write.partition, Some(&*transaction));
        match snapshot.lookup_unique(table, partition, key, &values, own)? {
            Lookup::Absent => {}
            Lookup::Hot(version) => return Ok(Some(version)),
            Lookup::Cold(seq) => {
                let read = scope.store.read_cold(snapshot, table, partition, seq);
                return read.map(Some);
            }
        }
    }
    Ok(None)
}

/// The Seq of the row that `holder` finds.
fn seq_of_holder(
    scope: &Scope,
    snapshot: &Snapshot,
    table: &Arc<TableDef>,
    write: &Write,
    only: Option<&[IndexId]>,
) -> Result<Option<Seq>, StorageError> {
    let transaction = scope.transaction.read();
    let own = Some(&*transaction);
    for (key, values) in arbiters(write, table, only) {
        let held = snapshot.seq_of_unique(table, &write.partition, key, &values, own)?;
        if held.is_some() {
            return Ok(held);
        }
    }
    Ok(None)
}

/// The keys of a new row that the clause is about.
fn arbiters<'t>(
    write: &Write,
    table: &'t TableDef,
    only: Option<&[IndexId]>,
) -> Vec<(UniqueKey<'t>, Vec<Datum>)> {
    let mut keys = write.new_keys(table);
    keys.retain(|(key, _)| only.is_none_or(|only| only.contains(&key.id)));
    keys
}

/// What stands for those keys when they are locked.
fn identities(write: &Write, table: &TableDef, only: Option<&[IndexId]>) -> Vec<RowKey> {
    let keys = arbiters(write, table, only).into_iter();
    keys.filter_map(|(key, values)| {
        let values = values.iter().map(Datum::as_ref);
        unique_identity(table, &write.partition, key, values)
    })
    .collect()
}
