//! RETURNING: a select list over the rows that a statement wrote.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Expr};
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::{Catalog, ColumnType, Row, TableDef};

use crate::ddl;
use crate::error::SqlError;
use crate::output::{self, OutputColumn};
use crate::parse;
use crate::session::{Outcome, Session};

impl Session {
    /// Rows of RETURNING.
    pub(crate) async fn returning(
        &self,
        table: &Arc<TableDef>,
        items: &[ast::SelectItem],
        rows: Vec<Row>,
        catalog: &Catalog,
        verb: &'static str,
    ) -> Result<Outcome, SqlError> {
        let types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        let batch = output::batch_of_rows(&types, &rows)?;
        if let Some(indexes) = plain_columns(table, items) {
            let column = |index: &usize| {
                let column = &table.columns[*index];
                OutputColumn::new(&column.name, column.ty)
            };
            let columns = indexes.iter().map(column).collect();
            let batch = batch
                .project(&indexes)
                .map_err(|e| crate::error::from_arrow(&e))?;
            return Ok(Outcome::Rows {
                columns,
                rows: output::once(batch),
                verb,
            });
        }
        let plan = self.plan_returning(table, items, stand_in(table, batch)?, catalog)?;
        let columns = output::columns(plan.schema().as_arrow())?;
        let rows = self.run(plan, self.scope(), &[], &[]).await?;
        let batches: Vec<_> = rows.try_collect().await?;
        let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        Ok(Outcome::Rows {
            columns,
            rows,
            verb,
        })
    }

    /// Plans the items of RETURNING over `rows` that stand in for the table.
    fn plan_returning(
        &self,
        table: &TableDef,
        items: &[ast::SelectItem],
        rows: Arc<dyn datafusion::datasource::TableProvider>,
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        // The rows stand in for the table, so a subquery would see them in its place.
        let names_table = ast::visit_relations(&items.to_vec(), |name| {
            let last = name.0.last().and_then(|part| part.as_ident());
            match last.is_some_and(|last| ddl::fold(last) == table.name) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if names_table.is_break() {
            return Err(SqlError::unsupported(format!(
                "a subquery on \"{}\" in its own RETURNING",
                table.name
            )));
        }
        let mut query =
            parse::parse_query(&format!("SELECT 1 FROM {}", parse::quoted(&table.name)))?;
        if let ast::SetExpr::Select(select) = &mut *query.body {
            select.projection = items.to_vec();
        }
        self.plan_over(vec![(table.name.clone(), rows)], query, &[], false, catalog)
    }

    /// The columns that RETURNING gives, known without running the statement.
    pub(crate) fn returning_columns(
        &self,
        returning: &Option<Vec<ast::SelectItem>>,
        table: impl FnOnce() -> Result<Arc<TableDef>, SqlError>,
    ) -> Result<Option<Vec<OutputColumn>>, SqlError> {
        let Some(items) = returning else {
            return Ok(None);
        };
        let table = table()?;
        let types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        let rows = stand_in(&table, output::batch_of_rows(&types, &[])?)?;
        let plan = self.plan_returning(&table, items, rows, &self.catalog())?;
        output::columns(plan.schema().as_arrow()).map(Some)
    }
}

/// Columns of a table when RETURNING names nothing else.
fn plain_columns(table: &TableDef, items: &[ast::SelectItem]) -> Option<Vec<usize>> {
    let mut indexes = Vec::new();
    for item in items {
        match item {
            ast::SelectItem::Wildcard(_) => indexes.extend(0..table.columns.len()),
            ast::SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                indexes.push(table.column_index(&ddl::fold(ident))?);
            }
            _ => return None,
        }
    }
    Some(indexes)
}

/// Rows of a table as a relation of their own.
fn stand_in(
    table: &TableDef,
    batch: arrow::record_batch::RecordBatch,
) -> Result<Arc<dyn datafusion::datasource::TableProvider>, SqlError> {
    let schema = table.arrow_schema();
    let options =
        arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = arrow::record_batch::RecordBatch::try_new_with_options(
        schema.clone(),
        batch.columns().to_vec(),
        &options,
    )
    .map_err(|e| crate::error::from_arrow(&e))?;
    let rows = datafusion::datasource::MemTable::try_new(schema, vec![vec![batch]])
        .map_err(crate::error::from_datafusion)?;
    Ok(Arc::new(rows))
}
