//! Locking clauses inside other statements: `UPDATE jobs … WHERE id IN (SELECT id FROM jobs … FOR UPDATE SKIP LOCKED)`.
//!
//! Such a query is run before the statement that it stands in, as a statement of its own would be: its rows are locked,
//! and known to be the newest, when it is done. The statement then has these rows in the place of the query.
//!
//! Does not: lock for a query that depends on the row outside (0A000).

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::datasource::MemTable;
use datafusion::sql::sqlparser::ast::{self, Query, Statement};
use futures::TryStreamExt;
use tidelog_storage::Datum;

use super::clause::strongest;
use crate::error::{ErrorKind, SqlError, from_arrow, from_datafusion};
use crate::parse::walk::WalkMut;
use crate::parse::{parse_query, quoted};
use crate::session::{Outcome, Prepared, Session};

/// Before the number of what stands in for such a query: no relation has such a name.
const STAND_IN: &str = "rows locked by query ";

/// The statement without the locking clauses inside it; `None` when there are none.
pub(crate) fn without(statement: &Statement) -> Option<Statement> {
    let mut statement = statement.clone();
    let mut found = false;
    visit(&mut statement, |query| {
        found |= !query.locks.is_empty();
        query.locks.clear();
        Ok(())
    })
    .ok()?;
    found.then_some(statement)
}

/// Calls a function for each query inside a statement, those inside others first.
fn visit(
    statement: &mut Statement,
    each: impl FnMut(&mut Query) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    struct Inside<F> {
        depth: usize,
        each: F,
    }
    impl<F: FnMut(&mut Query) -> Result<(), SqlError>> ast::VisitorMut for Inside<F> {
        type Break = SqlError;

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
            self.depth -= 1;
            if self.depth > 0 {
                (self.each)(query).map_or_else(ControlFlow::Break, ControlFlow::Continue)
            } else {
                ControlFlow::Continue(())
            }
        }
    }
    // A query is not inside itself; that of an INSERT is inside it.
    let depth = usize::from(!matches!(statement, Statement::Query(_)));
    match statement.walk_mut(&mut Inside { depth, each }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

impl Session {
    /// Runs the locking queries inside a statement, and gives the statement with their rows in their place. The rows stand
    /// in until `forget_stand_ins`.
    pub(crate) async fn lock_inside(
        &mut self,
        statement: &Statement,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<Statement, SqlError> {
        let mut queries: Vec<Query> = Vec::new();
        let mut statement = statement.clone();
        visit(&mut statement, |query| {
            if query.locks.is_empty() {
                return Ok(());
            }
            // A WITH query that is used twice is there twice, and is one.
            let at = match queries.iter().position(|known| known == query) {
                Some(at) => at,
                None => {
                    queries.push(query.clone());
                    queries.len() - 1
                }
            };
            let name = quoted(&format!("{STAND_IN}{at}"));
            *query = parse_query(&format!("SELECT * FROM {name}"))?;
            Ok(())
        })?;
        for (at, query) in queries.into_iter().enumerate() {
            let rows = self.rows_locked(query, prepared, values).await?;
            self.stand_ins
                .push((format!("{STAND_IN}{at}"), Arc::new(rows)));
        }
        Ok(statement)
    }

    /// What stood in for locking queries does so no more.
    pub(crate) fn forget_stand_ins(&mut self) {
        self.stand_ins.clear();
    }

    async fn rows_locked(
        &mut self,
        query: Query,
        prepared: &Prepared,
        values: &[Datum],
    ) -> Result<MemTable, SqlError> {
        let clause = strongest(&query).map_or("", |lock| lock.name());
        let own = prepared.of_query(self, query.clone()).map_err(|error| {
            // The statement as a whole knows what the query alone does not.
            match error.kind {
                ErrorKind::UndefinedColumn | ErrorKind::UndefinedTable => SqlError::unsupported(
                    format!("{clause} in a subquery that depends on what is outside it"),
                ),
                _ => error,
            }
        })?;
        let outcome = self.select_locking(&query, &own, values).await?;
        let Outcome::Rows { columns, rows, .. } = outcome else {
            return Err(SqlError::new(
                ErrorKind::InternalError,
                "a query gives rows",
            ));
        };
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        let fields = columns.iter().enumerate().map(|(at, column)| {
            let ty = match batches.first() {
                Some(batch) => batch.column(at).data_type().clone(),
                None => column.ty.arrow(),
            };
            let metadata = column.ty.field("", true).metadata().clone();
            Field::new(&column.name, ty, true).with_metadata(metadata)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let named = batches.into_iter().map(|batch| {
            let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            RecordBatch::try_new_with_options(schema.clone(), columns, &count)
        });
        let batches = named.collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(|error| from_arrow(&error))?;
        MemTable::try_new(schema, vec![batches]).map_err(from_datafusion)
    }
}
