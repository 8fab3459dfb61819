//! COPY … FROM … WHERE: which of the rows that come are taken.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::BooleanArray;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, Expr, Value};
use tidelog_storage::{ColumnType, Datum, TableDef};

use crate::ddl::constraint::columns_of;
use crate::error::{ErrorKind, SqlError, from_datafusion};
use crate::parse::walk::Walk;
use crate::session::{Session, physical};
use crate::{output, text};

const PLACE: &str = "COPY FROM WHERE condition";

/// A condition on the rows of a table.
pub(super) struct Condition {
    types: Vec<ColumnType>,
    expression: Arc<dyn PhysicalExpr>,
}

impl Condition {
    /// Whether a row meets it; NULL does not.
    pub(super) fn is_met(&self, row: &[Datum]) -> Result<bool, SqlError> {
        let batch = output::batch_of_rows(&self.types, &[row])?;
        let met = self
            .expression
            .evaluate(&batch)
            .and_then(|value| value.into_array(1))
            .map_err(from_datafusion)?;
        let met = met.as_any().downcast_ref::<BooleanArray>();
        Ok(met.is_some_and(|met| met.iter().next() == Some(Some(true))))
    }
}

impl Session {
    /// The condition of a COPY into a table, ready to be evaluated.
    pub(super) fn copy_condition(
        &self,
        table: &TableDef,
        written: &Expr,
    ) -> Result<Condition, SqlError> {
        check(table, written)?;
        // Rows that break NOT NULL may come, and be left out.
        let mut open = table.clone();
        open.primary_key.clear();
        for column in &mut open.columns {
            column.not_null = false;
        }
        let plan = self.plan_items(&open, &[format!("({written})")])?;
        let (state, started) = (self.state(), Some(self.started()));
        let plan = state
            .analyzer()
            .execute_and_check(plan, state.config_options(), |_, _| {})
            .map_err(from_datafusion)?;
        let LogicalPlan::Projection(projection) = &plan else {
            let what = "this condition of COPY FROM";
            return Err(SqlError::unsupported(what));
        };
        let ty = output::column_type(plan.schema().field(0))?;
        let expression = match (&projection.expr[0], ty) {
            (expr, ColumnType::Bool) => expr.clone(),
            // NULL, or a word such as 'yes'.
            (expr, ColumnType::Text) if let Some(literal) = literal(written) => {
                if let Value::SingleQuotedString(word) = literal {
                    text::parse(ColumnType::Bool, word)?;
                }
                crate::casts::read(expr.clone(), ColumnType::Bool, self.style())
            }
            _ => {
                let name = crate::types::bare_name(ty);
                let message = format!("argument of WHERE must be type boolean, not type {name}");
                return Err(SqlError::new(ErrorKind::DatatypeMismatch, message));
            }
        };
        Ok(Condition {
            types: table.columns.iter().map(|column| column.ty).collect(),
            expression: physical(state, started, &expression, projection.input.schema())?,
        })
    }
}

fn literal(expr: &Expr) -> Option<&Value> {
    match expr {
        Expr::Nested(inner) => literal(inner),
        Expr::Value(value) => Some(&value.value),
        _ => None,
    }
}

/// What such a condition may not have, as PostgreSQL refuses it.
fn check(table: &TableDef, condition: &Expr) -> Result<(), SqlError> {
    if let ControlFlow::Break(error) = condition.walk(&mut Parameters) {
        return Err(error);
    }
    for name in columns_of(table, condition, PLACE)? {
        let at = table.column_index(&name);
        if at.is_some_and(|at| table.columns[at].generated.is_some()) {
            let message = format!("generated columns are not supported in {PLACE}s");
            return Err(SqlError::new(ErrorKind::InvalidColumnReference, message)
                .detail(format!("Column \"{name}\" is a generated column.")));
        }
    }
    Ok(())
}

/// Refuses parameters.
struct Parameters;

impl ast::Visitor for Parameters {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        match expr {
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => {
                    let message = format!("there is no parameter {name}");
                    ControlFlow::Break(SqlError::new(ErrorKind::UndefinedParameter, message))
                }
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}
