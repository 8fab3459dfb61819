//! RETURNING: a select list over the rows that a statement wrote, and over those of the relations beside them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, Statement};
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::{Catalog, ColumnType, Datum, Row, TableDef};

use crate::ddl;
use crate::error::{ErrorKind, SqlError, from_arrow, from_datafusion};
use crate::modify;
use crate::output::{self, OutputColumn};
use crate::parse::walk::Walk;
use crate::parse::{item, parse_query, quoted};
use crate::plan::parameter_types;
use crate::plan::stars::mentions_pseudo_columns;
use crate::provider::{SEQ, USER};
use crate::row::Write;
use crate::session::{Outcome, Session};

/// 0 in a row that an INSERT made, and the transaction's number in one that its ON CONFLICT updated, which tells the two apart.
const XMAX: &str = "xmax";

/// What a statement does to the rows that RETURNING shows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Written {
    Inserted,
    Updated,
    Deleted,
}

/// Numbers the rows of all relations; no statement can write it.
pub(crate) const ORDINAL: &str = "\u{1}row";

/// A relation that RETURNING may name. All have as many rows, which belong together.
pub(crate) struct Returned {
    /// What it goes by.
    pub(crate) alias: String,
    /// Its columns.
    pub(crate) columns: Vec<(String, ColumnType)>,
    /// Columns that no `*` shows, behind those.
    pub(crate) pseudo: Vec<(&'static str, ColumnType)>,
    /// Its rows.
    pub(crate) rows: Vec<Row>,
}

impl Returned {
    /// The rows of a table that a statement wrote.
    pub(crate) fn of_table(
        table: &TableDef,
        alias: Option<&ast::Ident>,
        rows: Vec<Row>,
    ) -> Returned {
        let columns = table.columns.iter();
        Returned {
            alias: alias.map_or_else(|| table.name.clone(), ddl::fold),
            columns: columns
                .map(|column| (column.name.clone(), column.ty))
                .collect(),
            pseudo: Vec::new(),
            rows,
        }
    }

    /// Adds the pseudo-columns that `items` may name, before it has rows. A row that is new has no `_seq` yet (0A000).
    pub(crate) fn show_pseudo(
        &mut self,
        items: &[SelectItem],
        sees_user: bool,
        written: Written,
    ) -> Result<(), SqlError> {
        let has = |column: &str| self.columns.iter().any(|(name, _)| name == column);
        if written == Written::Inserted && names(items, &self.alias, XMAX) && !has(XMAX) {
            self.pseudo.push((XMAX, ColumnType::Oid));
        }
        if !items.iter().any(mentions_pseudo_columns) {
            return Ok(());
        }
        if written == Written::Deleted {
            self.pseudo.push((SEQ, ColumnType::Int8));
        } else if names(items, &self.alias, SEQ) && !has(SEQ) {
            let what = "RETURNING _seq of a new row, which gets it when it is committed,";
            return Err(SqlError::unsupported(what));
        }
        if sees_user {
            self.pseudo.push((USER, ColumnType::Text));
        }
        Ok(())
    }

    /// Its rows: those that were written, or the ones that were deleted, by the transaction of this number.
    pub(crate) fn put(&mut self, writes: Vec<Write>, transaction: i64) {
        // Many read it as an integer.
        let xid = (transaction & i64::from(i32::MAX)).max(1);
        let pseudo = &self.pseudo;
        let row = |write: Write| {
            let Write {
                partition,
                old,
                new,
            } = write;
            let seq = old.as_ref().map(|old| old.seq);
            let mut row = new.or_else(|| old.map(|old| old.row))?;
            row.extend(pseudo.iter().map(|(name, _)| match *name {
                SEQ => seq.map_or(Datum::Null, |seq| Datum::Int8(seq.as_i64())),
                XMAX => Datum::Int8(if seq.is_some() { xid } else { 0 }),
                _ => Datum::Text(partition.as_str().to_string()),
            }));
            Some(row)
        };
        self.rows = writes.into_iter().filter_map(row).collect();
    }

    fn all_columns(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        let columns = self.columns.iter().map(|(name, ty)| (name.as_str(), *ty));
        columns.chain(self.pseudo.iter().copied())
    }

    fn batch(&self) -> Result<RecordBatch, SqlError> {
        let types: Vec<ColumnType> = self.all_columns().map(|(_, ty)| ty).collect();
        output::batch_of_rows(&types, &self.rows)
    }

    /// The relation with numbered rows.
    pub(crate) fn numbered(&self) -> Result<Arc<dyn TableProvider>, SqlError> {
        let field = |(name, ty): (&str, ColumnType)| Arc::new(ty.field(name, true));
        let mut fields: Vec<Arc<Field>> = self.all_columns().map(field).collect();
        fields.push(Arc::new(Field::new(ORDINAL, DataType::Int64, false)));
        let mut arrays: Vec<ArrayRef> = self.batch()?.columns().to_vec();
        arrays.push(Arc::new(Int64Array::from_iter_values(
            0..i64::try_from(self.rows.len()).unwrap_or(i64::MAX),
        )));
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|e| from_arrow(&e))?;
        let rows = MemTable::try_new(schema, vec![vec![batch]]).map_err(from_datafusion)?;
        Ok(Arc::new(rows))
    }
}

/// Relations that stand in for tables, by their names.
type StandIns = Vec<(String, Arc<dyn TableProvider>)>;

/// `FROM "row 0" AS a JOIN "row 1" AS b ON …`, and what the names stand for.
pub(crate) fn joined(relations: &[Returned]) -> Result<(String, StandIns), SqlError> {
    let mut replaced = Vec::with_capacity(relations.len());
    let mut from = String::new();
    let ordinal = quoted(ORDINAL);
    for (n, relation) in relations.iter().enumerate() {
        let name = format!("row {n}");
        let alias = quoted(&relation.alias);
        if n > 0 {
            from.push_str(" JOIN ");
        }
        from.push_str(&format!("\"{name}\" AS {alias}"));
        if n > 0 {
            let first = quoted(&relations[0].alias);
            from.push_str(&format!(" ON {first}.{ordinal} = {alias}.{ordinal}"));
        }
        replaced.push((name, relation.numbered()?));
    }
    Ok((from, replaced))
}

impl Session {
    /// Rows of RETURNING.
    pub(crate) async fn returning(
        &self,
        table: &Arc<TableDef>,
        relations: Vec<Returned>,
        items: &[SelectItem],
        (types, values): (&[ColumnType], &[Datum]),
        catalog: &Catalog,
        verb: &'static str,
    ) -> Result<Outcome, SqlError> {
        if let [only] = relations.as_slice()
            && let Some(indexes) = plain_columns(table, items)
        {
            let column = |index: &usize| {
                let column = &table.columns[*index];
                OutputColumn::new(&column.name, column.ty)
            };
            let columns = indexes.iter().map(column).collect();
            let batch = only
                .batch()?
                .project(&indexes)
                .map_err(|e| from_arrow(&e))?;
            return Ok(Outcome::Rows {
                columns,
                rows: output::once(batch),
                verb,
            });
        }
        let plan = self.plan_returning(table, &relations, items, types, catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        let rows = self.run(plan, self.scope(), types, values).await?;
        let batches: Vec<_> = rows.try_collect().await?;
        let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        Ok(Outcome::Rows {
            columns,
            rows,
            verb,
        })
    }

    /// The columns that a statement's RETURNING gives, known without running it. Adds the types of parameters that RETURNING
    /// alone has.
    pub(crate) fn returning_columns(
        &self,
        statement: &Statement,
        parameters: &mut Vec<ColumnType>,
        catalog: &Catalog,
    ) -> Result<Option<Vec<OutputColumn>>, SqlError> {
        let (Statement::Insert(ast::Insert { returning, .. })
        | Statement::Update(ast::Update { returning, .. })
        | Statement::Delete(ast::Delete { returning, .. })) = statement
        else {
            return Ok(None);
        };
        let Some(items) = returning else {
            return Ok(None);
        };
        let known: Vec<_> = parameters.iter().map(|ty| Some(*ty)).collect();
        let (table, mut relations, written) = match statement {
            Statement::Insert(insert) => {
                let table = self.insert_target(insert, catalog)?;
                let alias = insert.table_alias.as_ref().map(|alias| &alias.alias);
                let relation = Returned::of_table(&table, alias, Vec::new());
                (table, vec![relation], Written::Inserted)
            }
            Statement::Update(update) => {
                let table = self.update_target(update, catalog)?;
                let others = modify::update_sources(update);
                let relations = self.written_and(&table, &update.table, others, &known, catalog)?;
                (table, relations, Written::Updated)
            }
            Statement::Delete(delete) => {
                let table = self.delete_target(delete, catalog)?;
                let from = modify::delete_from(delete)?;
                let others = delete.using.as_deref().unwrap_or_default();
                let relations = self.written_and(&table, from, others, &known, catalog)?;
                (table, relations, Written::Deleted)
            }
            _ => return Ok(None),
        };
        let sees_user = self.access(catalog).sees_user(&table);
        relations[0].show_pseudo(items, sees_user, written)?;
        let plan = self.plan_returning(&table, &relations, items, parameters, catalog)?;
        *parameters = parameter_types(&plan, &known)?;
        output::columns(plan.schema().as_arrow()).map(Some)
    }

    fn plan_returning(
        &self,
        table: &TableDef,
        relations: &[Returned],
        items: &[SelectItem],
        types: &[ColumnType],
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        // A subquery would see what the statement has done, which it must not.
        let is_table = |name: &ast::ObjectName| {
            let last = name.0.last().and_then(|part| part.as_ident());
            last.is_some_and(|last| ddl::fold(last) == table.name)
        };
        if items.iter().any(|item| item.has_relation(is_table)) {
            return Err(SqlError::unsupported(format!(
                "a subquery on \"{}\" in its own RETURNING",
                table.name
            )));
        }
        let (from, replaced) = joined(relations)?;
        let (first, ordinal) = (quoted(&relations[0].alias), quoted(ORDINAL));
        let mut query = parse_query(&format!("SELECT 1 FROM {from} ORDER BY {first}.{ordinal}"))?;
        if let ast::SetExpr::Select(select) = &mut *query.body {
            select.projection = spelled_out(relations, items);
        }
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let plan = self.plan_over(replaced, query, &given, false, catalog);
        let plan = plan.map_err(|error| match error.message.contains(ORDINAL) {
            // No group has the column that the rows are sorted by.
            true => aggregates(),
            false => error,
        })?;
        if plan.schema().fields().is_empty() {
            let message = "RETURNING must have at least one column";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        let mut below = &plan;
        loop {
            below = match below {
                LogicalPlan::Projection(projection) => &projection.input,
                LogicalPlan::Sort(sort) => &sort.input,
                LogicalPlan::Window(_) => {
                    let message = "window functions are not allowed in RETURNING";
                    return Err(SqlError::new(ErrorKind::WindowingError, message));
                }
                LogicalPlan::Aggregate(_) => return Err(aggregates()),
                _ => return Ok(plan),
            }
        }
    }
}

fn aggregates() -> SqlError {
    let message = "aggregate functions are not allowed in RETURNING";
    SqlError::new(ErrorKind::GroupingError, message)
}

/// Whether an item names this column of a relation.
fn names(items: &[SelectItem], alias: &str, column: &str) -> bool {
    let names = |expr: &Expr| match expr {
        Expr::Identifier(name) => ddl::fold(name) == column,
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., relation, name] => ddl::fold(relation) == alias && ddl::fold(name) == column,
            _ => false,
        },
        _ => false,
    };
    items.iter().any(|item| item.has_expr(names))
}

/// Select items with the columns in place of `*`, which would show the rows' numbers.
fn spelled_out(relations: &[Returned], items: &[SelectItem]) -> Vec<SelectItem> {
    let all = |relation: &Returned| -> Vec<SelectItem> {
        let alias = quoted(&relation.alias);
        let columns = relation.columns.iter();
        columns
            .map(|(name, _)| item(Expr::CompoundIdentifier(vec![alias.clone(), quoted(name)])))
            .collect()
    };
    let mut made = Vec::with_capacity(items.len());
    for given in items {
        match given {
            SelectItem::Wildcard(_) => relations.iter().for_each(|r| made.extend(all(r))),
            SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) => {
                let last = name
                    .0
                    .last()
                    .and_then(|part| part.as_ident())
                    .map(ddl::fold);
                match relations.iter().find(|r| Some(&r.alias) == last.as_ref()) {
                    Some(relation) => made.extend(all(relation)),
                    None => made.push(given.clone()),
                }
            }
            given => made.push(given.clone()),
        }
    }
    made
}

/// Columns of a table when RETURNING names nothing else.
fn plain_columns(table: &TableDef, items: &[SelectItem]) -> Option<Vec<usize>> {
    let mut indexes = Vec::new();
    for item in items {
        match item {
            SelectItem::Wildcard(_) => indexes.extend(0..table.columns.len()),
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                indexes.push(table.column_index(&ddl::fold(ident))?);
            }
            _ => return None,
        }
    }
    Some(indexes)
}
