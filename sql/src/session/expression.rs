//! Expressions without columns, such as the values of an INSERT: statements come again, and finding out what an expression means
//! costs many times what its value does.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use tidelog_storage::{ColumnType, Datum, DatumRef};

use super::planning::physical;
use super::{QueryPlan, Session, bind};
use crate::apart;
use crate::error::{ErrorKind, SqlError, from_arrow, from_datafusion};
use crate::output::{self, OutputColumn, RowStream};
use crate::short_read::has_subquery;

/// Bytes of an expression's text that is kept: what is longer is mostly written anew each time.
const TEXT_MAX: usize = 256;
/// What strings with one of these mean depends on when they are read.
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// An expression and what it means where it was planned for.
pub(super) struct Expression {
    text: String,
    /// Of its parameters.
    types: Vec<ColumnType>,
    query: QueryPlan,
    /// Of its value.
    ty: ColumnType,
    ready: Ready,
}

/// How far the way to a value is gone without the statement.
enum Ready {
    /// It reads from tables, waits, or makes much of little: it is run as a query.
    Query,
    /// It has parameters, whose values may decide what functions make of them.
    Planned,
    /// It has functions that are one value in each transaction. The plan is analyzed.
    Analyzed,
    Physical(Arc<dyn PhysicalExpr>),
}

impl Session {
    /// Evaluates an expression without columns, as one of this type where the expression leaves it open.
    pub(crate) async fn evaluate(
        &self,
        expr: &ast::Expr,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<(Datum, ColumnType), SqlError> {
        let expression = self.expression(expr.to_string(), types)?;
        let ty = expression.ty;
        let plan = || expression.query.plan.clone();
        let value = match &expression.ready {
            Ready::Query => {
                let values = self.values_of(plan(), ty, self.scope(), types, values);
                return Ok((values.await?.into_iter().next().unwrap_or(Datum::Null), ty));
            }
            Ready::Planned => {
                let plan = self.analyzed(bind(plan(), types, values)?)?;
                value_of(&*self.ready_to_run(&plan)?, ty)?
            }
            Ready::Analyzed => value_of(&*self.ready_to_run(&expression.query.plan)?, ty)?,
            Ready::Physical(expr) => value_of(&**expr, ty)?,
        };
        Ok((value, ty))
    }

    /// The row of a query of expressions over nothing, such as `SELECT pg_notify($1, $2)`; `None` if it is more than that, or may
    /// take long.
    pub(super) fn row_alone(
        &self,
        query: &QueryPlan,
        columns: &[OutputColumn],
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Option<RowStream>, SqlError> {
        if query.heavy || !is_row_alone(&query.plan) {
            return Ok(None);
        }
        let plan = self.analyzed(bind(query.plan.clone(), types, values)?)?;
        // Values may be large.
        let LogicalPlan::Projection(projection) = &plan else {
            return Ok(None);
        };
        if apart::is_heavy(&plan) {
            return Ok(None);
        }
        let (state, started) = (&self.engine.state, Some(self.work.started));
        let schema = projection.input.schema();
        let row = one_row()?;
        let value = |(expr, column): (&Expr, &OutputColumn)| {
            let value = physical(state, started, expr, schema)?.evaluate(&row);
            let value = value.and_then(|value| value.into_array(1));
            output::conform(&value.map_err(from_datafusion)?, column.ty)
        };
        let values = projection.expr.iter().zip(columns).map(value);
        let batch = output::batch_of(values.collect::<Result<_, _>>()?, 1)?;
        Ok(Some(output::once(batch)))
    }

    /// What an expression means now.
    fn expression(&self, text: String, types: &[ColumnType]) -> Result<Arc<Expression>, SqlError> {
        let scope = self.scope();
        let same = |kept: &Expression| kept.text == text && kept.types == types;
        if let Some(kept) = self.expressions.find(same)
            && self.is_current(&kept.query, &scope)
        {
            return Ok(kept);
        }
        let query = crate::parse::parse_query(&format!("SELECT {text}"))?;
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let mut query = self.plan_query(query, &given, scope.snapshot.catalog())?;
        let ty = output::column_type(query.plan.schema().field(0))?;
        let ready = if !is_alone(&query.plan) || has(&query.plan, apart::multiplies) {
            Ready::Query
        } else if has(&query.plan, |expr| matches!(expr, Expr::Placeholder(_))) {
            Ready::Planned
        } else {
            query.plan = self.analyzed(query.plan)?;
            let is_stable = |expr: &Expr| {
                matches!(expr, Expr::ScalarFunction(call)
                    if call.func.signature().volatility == Volatility::Stable)
            };
            match has(&query.plan, is_stable) {
                true => Ready::Analyzed,
                false => Ready::Physical(self.ready_to_run(&query.plan)?),
            }
        };
        let expression = Arc::new(Expression {
            text,
            types: types.to_vec(),
            query,
            ty,
            ready,
        });
        let lasts = expression.text.len() <= TEXT_MAX && !is_of_its_moment(&expression.text);
        if lasts && expression.query.reusable && self.stand_ins.is_empty() {
            self.expressions.keep(expression.clone());
        }
        Ok(expression)
    }

    /// A plan whose types agree, which needs no more: it is of one expression over nothing.
    fn analyzed(&self, plan: LogicalPlan) -> Result<LogicalPlan, SqlError> {
        let state = &self.engine.state;
        let analyzer = state.analyzer();
        let analyzed = analyzer.execute_and_check(plan, state.config_options(), |_, _| {});
        analyzed.map_err(from_datafusion)
    }

    /// The expression of an analyzed plan, ready to run in the present transaction.
    fn ready_to_run(&self, plan: &LogicalPlan) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        let LogicalPlan::Projection(projection) = plan else {
            let message = format!("the analyzer made an expression {}", plan.display());
            return Err(SqlError::new(ErrorKind::InternalError, message));
        };
        let (state, started) = (&self.engine.state, Some(self.work.started));
        physical(
            state,
            started,
            &projection.expr[0],
            projection.input.schema(),
        )
    }
}

/// Whether an expression may mean something else when it is read again.
pub(super) fn is_of_its_moment(text: &str) -> bool {
    let names_one = |text: &str| {
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        words.any(|word| {
            MOMENTS
                .iter()
                .any(|moment| word.eq_ignore_ascii_case(moment))
        })
    };
    // Where there are escapes, it is not easily told what is a string.
    match text.contains('\\') {
        true => text.contains('\'') && names_one(text),
        false => text.split('\'').skip(1).step_by(2).any(names_one),
    }
}

/// Whether a plan is one expression over nothing, which neither reads from tables nor waits.
pub(super) fn is_alone(plan: &LogicalPlan) -> bool {
    let waits =
        |expr: &Expr| matches!(expr, Expr::ScalarFunction(call) if call.func.as_async().is_some());
    matches!(plan, LogicalPlan::Projection(projection)
        if matches!(*projection.input, LogicalPlan::EmptyRelation(_)))
        && !has(plan, |expr| waits(expr) || has_subquery(expr))
}

/// Whether such a plan gives one row, of no more than values and calls of functions: in what others mean the optimizer has a part.
fn is_row_alone(plan: &LogicalPlan) -> bool {
    let is_one = |input: &LogicalPlan| matches!(input, LogicalPlan::EmptyRelation(empty) if empty.produce_one_row);
    let is_more = |expr: &Expr| {
        !matches!(
            expr,
            Expr::Alias(_) | Expr::Literal(..) | Expr::Placeholder(_) | Expr::ScalarFunction(_)
        )
    };
    matches!(plan, LogicalPlan::Projection(projection) if is_one(&projection.input))
        && is_alone(plan)
        && !has(plan, is_more)
}

/// Whether what such a plan gives is known before it runs.
pub(super) fn is_constant(plan: &LogicalPlan) -> bool {
    let varies = |expr: &Expr| match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
        expr => matches!(expr, Expr::Unnest(_)),
    };
    is_alone(plan) && !has(plan, varies)
}

/// Whether an expression of a plan's root has such a part.
fn has(plan: &LogicalPlan, is_such: impl Fn(&Expr) -> bool) -> bool {
    let found = |expr: &Expr| expr.exists(|expr| Ok(is_such(expr))).unwrap_or(true);
    plan.expressions().iter().any(found)
}

/// A row of no columns.
fn one_row() -> Result<RecordBatch, SqlError> {
    let row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &row);
    row.map_err(|error| from_arrow(&error))
}

/// The value of an expression over nothing.
fn value_of(expr: &dyn PhysicalExpr, ty: ColumnType) -> Result<Datum, SqlError> {
    let value = expr
        .evaluate(&one_row()?)
        .and_then(|value| value.into_array(1))
        .map_err(from_datafusion)?;
    let value = output::conform(&value, ty)?;
    output::value(&value, 0).map(DatumRef::to_owned)
}
