//! Writing a table's rows again, because columns of it get other types.
//!
//! Guarantees: the rows keep their order and obey the definition that they come into, or nothing is changed; the commit
//! depends on nobody having written to the table meanwhile. Does not: say what becomes of a column's default or keys
//! (`ddl::table::retype`).

use tidelog_storage::{CatalogChange, ColumnDef, CommitError};

use super::finish::{contains_nulls, violated_check};
use super::generated::{Parts, Place, assigns, not_unique};
use super::*;
use crate::ddl::Rewrite;
use crate::ddl::parents::referencing_keys_of;
use crate::modify::Found;
use crate::provider::Scope;
use crate::row::{assign, check_not_null, constant};
use crate::types;

/// Where a column's value in the new row comes from.
enum Source {
    /// The old row, at this index.
    Old(usize),
    /// What the query computed, at this index.
    Computed(usize),
    /// It is the same in each row.
    Constant(Datum),
}

/// A table that is to be written again, with what it held.
struct Held<'a> {
    rewrite: &'a Rewrite,
    old: Arc<TableDef>,
    sources: Vec<Source>,
    /// The types of what was computed for each row.
    computed: Vec<ColumnType>,
    rows: Vec<Found>,
}

impl Session {
    /// Makes the changes of the catalog, which give tables new data, and writes the tables' rows into these.
    pub(crate) async fn rewrite(
        &mut self,
        rewrites: &[Rewrite],
        changes: Vec<CatalogChange>,
    ) -> Result<(), SqlError> {
        let scope = self.latest_scope();
        let mut all = Vec::with_capacity(rewrites.len());
        for rewrite in rewrites {
            all.push(self.hold(rewrite, &scope, &changes).await?);
        }
        self.change_with_block(changes)?;
        let mut written = Vec::with_capacity(all.len());
        for held in all {
            self.depend_on_table(held.old.id, scope.snapshot.seq());
            let rewrite = held.rewrite;
            written.push((self.write_held(held).await?, &rewrite.columns));
        }
        for (table, columns) in written {
            self.check_references(&table, columns).await?;
        }
        Ok(())
    }

    /// Finds the rows of a table, and what its new columns come from.
    async fn hold<'a>(
        &mut self,
        rewrite: &'a Rewrite,
        scope: &Arc<Scope>,
        changes: &[CatalogChange],
    ) -> Result<Held<'a>, SqlError> {
        let old = scope.snapshot.catalog().table_by_id(rewrite.from).cloned();
        let old = old.ok_or(CommitError::CatalogChanged)?;
        let put = changes.iter().find_map(|change| match change {
            CatalogChange::PutTable(table) if table.id == rewrite.to => Some(&**table),
            _ => None,
        });
        let put = put.ok_or(CommitError::CatalogChanged)?;
        let (mut sources, mut expressions) = (Vec::with_capacity(put.columns.len()), Vec::new());
        for column in &put.columns {
            let using = rewrite.using.iter().find(|(id, _)| *id == column.id);
            sources.push(match (using, old.index_of(column.id)) {
                (Some((_, expr)), _) => {
                    Parts::of(expr, Place::Transform)?;
                    match constant(expr, column.ty, &[], &[], &column.name, self.style())? {
                        Some(value) => Source::Constant(value),
                        None => {
                            expressions.push(expr.clone());
                            Source::Computed(expressions.len() - 1)
                        }
                    }
                }
                (None, Some(at)) => Source::Old(at),
                (None, None) => Source::Constant(column.missing.clone()),
            });
        }
        let count = expressions.len();
        let plan = self.plan_all_with(scope, &old, None, expressions)?;
        let columns = output::columns(plan.plan.schema().as_arrow())?;
        let computed: Vec<ColumnType> = columns.iter().map(|column| column.ty).collect();
        let computed = computed[computed.len() - count..].to_vec();
        for (column, source) in put.columns.iter().zip(&sources) {
            if let Source::Computed(at) = source
                && !assigns(computed[*at], column.ty)
            {
                let message = format!(
                    "result of USING clause for column \"{}\" cannot be cast automatically to type {}",
                    column.name,
                    types::bare_name(column.ty)
                );
                return Err(SqlError::new(ErrorKind::DatatypeMismatch, message)
                    .hint("You might need to add an explicit cast."));
            }
        }
        let (mut rows, _) = self.find(&old, &plan, scope.clone(), &[], &[]).await?;
        rows.sort_unstable_by_key(|found| found.version.seq);
        Ok(Held {
            rewrite,
            old,
            sources,
            computed,
            rows,
        })
    }

    /// Writes them into the new data.
    async fn write_held(&mut self, held: Held<'_>) -> Result<Arc<TableDef>, SqlError> {
        let Held {
            rewrite,
            old,
            sources,
            computed,
            rows,
        } = held;
        let new = self.catalog().table_by_id(rewrite.to).cloned();
        let new = new.ok_or(CommitError::CatalogChanged)?;
        let (mut writes, mut turns) = (Vec::with_capacity(rows.len()), Turns::default());
        for found in rows {
            let value = |(column, source): (&ColumnDef, &Source)| {
                let (value, from) = match source {
                    Source::Constant(value) => return Ok(value.clone()),
                    Source::Old(at) => (&found.version.row[*at], old.columns[*at].ty),
                    Source::Computed(at) => (&found.computed[*at], computed[*at]),
                };
                match (source, &rewrite.label) {
                    (Source::Old(_), _) if from == column.ty => Ok(value.clone()),
                    (Source::Old(_), Some(label)) => Ok(relabelled(value.clone(), label)),
                    _ => assign(value.clone(), from, column.ty, &column.name, self.style()),
                }
            };
            let row = new.columns.iter().zip(&sources).map(value);
            let row = row.collect::<Result<Row, SqlError>>()?;
            writes.push(Write::insert((found.partition, row)));
            turns.worked(1).await;
        }
        let written = self.write_again(&new, &mut writes).await;
        written.map_err(|error| of_rows_before(&new, error))?;
        Ok(new)
    }

    async fn write_again(
        &mut self,
        table: &Arc<TableDef>,
        writes: &mut [Write],
    ) -> Result<(), SqlError> {
        let rows = writes.iter_mut().filter_map(|write| write.new.as_mut());
        self.generate(table, rows).await?;
        let mut rows = writes.iter().filter_map(|write| write.new.as_ref());
        rows.try_for_each(|row| check_not_null(table, row))?;
        // What says nothing about rows from before says nothing about these.
        let mut valid = TableDef::clone(table);
        valid.checks.retain(|check| !check.not_valid);
        self.check_new_rows(&Arc::new(valid), writes).await?;
        let before = self.pending().read().len();
        self.write(table, writes).await?;
        match table.has_deferrable() {
            true => self.check_unique_now(before),
            false => Ok(()),
        }
    }

    /// Checks the foreign keys that a table has, or others have to it, in these columns.
    async fn check_references(
        &mut self,
        table: &Arc<TableDef>,
        columns: &[ColumnId],
    ) -> Result<(), SqlError> {
        let (scope, catalog) = (self.latest_scope(), self.catalog());
        let is_in = |key: &[ColumnId]| key.iter().any(|id| columns.contains(id));
        let to_it: Vec<_> = referencing_keys_of(&catalog, table)
            .filter(|(_, key)| key.ready && !key.not_valid && is_in(&key.parent_columns))
            .collect();
        let own = table.foreign_keys.iter().filter(|key| {
            key.ready
                && !key.not_valid
                && (is_in(&key.columns) || to_it.iter().any(|(_, other)| other == key))
        });
        let of_others = to_it.iter().filter(|(child, _)| child.id != table.id);
        let of_others = of_others.map(|(child, key)| (*child, *key));
        for (child, key) in own.map(|key| (table, key)).chain(of_others) {
            self.check_children(&scope, child, &key.name).await?;
        }
        Ok(())
    }
}

/// A value of an enum type, or an array of such, with a label's new name.
fn relabelled(value: Datum, (from, to): &(String, String)) -> Datum {
    let each = |elements: Vec<Datum>| {
        let label = (from.clone(), to.clone());
        let elements = elements.into_iter();
        elements.map(|of| relabelled(of, &label)).collect()
    };
    match value {
        Datum::Text(label) if label == *from => Datum::Text(to.clone()),
        Datum::Array(elements) => Datum::Array(each(elements)),
        Datum::Shaped(shape, elements) => Datum::Shaped(shape, each(elements)),
        other => other,
    }
}

/// What a row breaks, in the words for rows that were there before.
fn of_rows_before(table: &TableDef, error: SqlError) -> SqlError {
    match (error.kind, &error.column, &error.constraint) {
        (ErrorKind::UniqueViolation, ..) => not_unique(error),
        (ErrorKind::NotNullViolation, Some(column), _) => contains_nulls(table, column),
        (ErrorKind::CheckViolation, _, Some(name)) => violated_check(table, name),
        _ => error,
    }
}
