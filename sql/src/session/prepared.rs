//! A statement that was prepared, and a query that was planned.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{self, Statement};
use tidelog_storage::{ColumnType, Datum, datum};

use super::{Outcome, Session};
use crate::apart;
use crate::error::{ErrorKind, SqlError, from_datafusion};
use crate::output::OutputColumn;
use crate::parse::{AsOf, Body, Overriding, Parsed};
use crate::provider::Access;
use crate::short_read::ShortRead;
use crate::system::Showing;
use crate::text::{self, Style};
use crate::turns::aside;

/// A statement whose names and types are known.
#[derive(Clone)]
pub struct Prepared {
    /// The types of `$1`, `$2`, …
    pub parameters: Vec<ColumnType>,
    /// The result's columns; `None` when it returns no rows.
    pub columns: Option<Vec<OutputColumn>>,
    pub(super) statement: Parsed,
    /// The query, the one that gives the rows of an INSERT, or that finds those of an UPDATE or DELETE.
    pub(super) query: Option<QueryPlan>,
    /// The query or SUBSCRIBE of a DECLARE.
    pub(super) inner: Option<Box<Prepared>>,
    /// The statement in an EXPLAIN.
    pub(super) explained: Option<Box<Prepared>>,
    /// Whether a query inside it has a locking clause.
    pub(super) locks_inside: bool,
    /// Whether it has parameters in the frames of windows: the plan is one for other values.
    pub(super) framed: bool,
}

impl Prepared {
    /// A query inside the statement, as a statement of its own with the same parameters.
    pub(crate) fn of_query(
        &self,
        session: &Session,
        query: ast::Query,
    ) -> Result<Prepared, SqlError> {
        let statement = self.statement.of(Statement::Query(Box::new(query)));
        let given: Vec<_> = self.parameters.iter().map(|ty| Some(*ty)).collect();
        session.prepare_inner(&statement, &given)
    }

    /// Adds where what an error of running it complains about stands.
    pub(crate) fn locate(&self, error: SqlError) -> SqlError {
        let text = self.statement.text();
        let reads =
            matches!(&self.statement.body, Body::Sql(of, _) if matches!(**of, Statement::Query(_)));
        match reads && error.is_of_a_text() {
            // Its own literals were read when it was planned, but those that are cast.
            true => text.locate_literal(error),
            false => text.locate(error),
        }
    }

    /// 0A000 when a plan made anew gives other columns than the client was told of.
    pub(crate) fn check_columns(&self, columns: &[OutputColumn]) -> Result<(), SqlError> {
        match self.columns.as_deref() == Some(columns) {
            true => Ok(()),
            false => Err(result_type_changed()),
        }
    }

    /// The same, of the statement prepared anew.
    pub(super) fn check_anew(&self, anew: &Prepared) -> Result<(), SqlError> {
        match self.columns == anew.columns && self.parameters == anew.parameters {
            true => Ok(()),
            false => Err(result_type_changed()),
        }
    }

    /// As `check_columns`, of what RETURNING gives.
    pub(super) fn check_outcome(&self, outcome: Outcome) -> Result<Outcome, SqlError> {
        if let Outcome::Rows { columns, .. } = &outcome {
            self.check_columns(columns)?;
        }
        Ok(outcome)
    }

    /// Whether it runs in the same way whatever the values of its parameters are.
    pub(super) fn is_generic(&self) -> bool {
        let kept = |query: &QueryPlan| matches!(query.generic.plan.get(), Some(Some(_)));
        let query = self.query.as_ref();
        self.parameters.is_empty() || query.is_none_or(|query| query.short.is_some() || kept(query))
    }

    /// Whether it says OVERRIDING SYSTEM VALUE.
    pub(crate) fn overriding(&self) -> Option<Overriding> {
        self.statement.overriding
    }

    /// What a COPY has besides.
    pub(crate) fn copy_clauses(&self) -> Option<&crate::parse::CopyClauses> {
        self.statement.copy.as_deref()
    }

    /// The moment in the past that its query reads.
    pub(crate) fn as_of(&self) -> Option<&AsOf> {
        // That of a statement in PREPARE is read by its EXECUTE.
        let prepares = matches!(&self.statement.body, Body::Sql(statement, _)
            if matches!(**statement, Statement::Prepare { .. }));
        self.statement.as_of.as_ref().filter(|_| !prepares)
    }
}

fn result_type_changed() -> SqlError {
    let message = "cached plan must not change result type";
    SqlError::new(ErrorKind::FeatureNotSupported, message)
}

/// A planned query and what it was planned for.
#[derive(Clone)]
pub(crate) struct QueryPlan {
    pub(crate) plan: LogicalPlan,
    pub(super) catalog_version: u64,
    pub(super) access: Access,
    pub(super) search_path: Vec<String>,
    pub(super) style: Style,
    pub(super) showing: Showing,
    /// Whether it is to be made and run apart from others' statements.
    pub(super) heavy: bool,
    /// Whether it says the same of the session each time it runs.
    pub(super) reusable: bool,
    /// What it amounts to, where that takes no plan.
    pub(super) short: Option<Arc<ShortRead>>,
    pub(super) generic: Arc<Generic>,
}

/// What the optimizer makes of a plan whatever the values of its parameters are, once it has run before.
#[derive(Default)]
pub(super) struct Generic {
    runs: AtomicUsize,
    /// Empty where it depends on more than those values.
    plan: OnceLock<Option<LogicalPlan>>,
}

/// A plan that is to run.
pub(crate) struct ToRun {
    pub(crate) plan: LogicalPlan,
    /// Whether it is as the optimizer leaves it for any values, not as it was analyzed.
    pub(super) optimized: bool,
    /// Whether it is to be made and run apart from others' statements.
    pub(super) heavy: bool,
}

impl ToRun {
    pub(crate) fn analyzed(plan: LogicalPlan) -> ToRun {
        ToRun {
            heavy: apart::is_heavy(&plan),
            optimized: false,
            plan,
        }
    }
}

impl QueryPlan {
    /// The first time it is optimized for its values.
    pub(crate) fn to_run(&self, state: &SessionState) -> ToRun {
        let optimized = || match stays(&self.plan) {
            true => aside(self.heavy, || state.optimize(&self.plan).ok()),
            false => None,
        };
        let generic = match self.generic.runs.fetch_add(1, Ordering::Relaxed) {
            0 => &None,
            _ => self.generic.plan.get_or_init(optimized),
        };
        ToRun {
            plan: generic.as_ref().unwrap_or(&self.plan).clone(),
            optimized: generic.is_some(),
            heavy: self.heavy,
        }
    }

    /// With what it amounts to, where that takes no physical plan.
    pub(crate) fn shortened(mut self, state: &SessionState) -> QueryPlan {
        self.short = ShortRead::of(&self.plan, state).map(Arc::new);
        self
    }
}

/// Whether the optimizer makes the same of a plan each time: it puts what stable functions give in their place, such as now().
fn stays(plan: &LogicalPlan) -> bool {
    let stable = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarFunction(call)
            if call.func.signature().volatility == Volatility::Stable))
    };
    let mut any = false;
    let looked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            any |= expr.exists(stable)?;
            Ok(TreeNodeRecursion::Continue)
        })
    });
    looked.is_ok() && !any
}

/// Whether a value is an array of several dimensions, or one that does not begin at 1, and the type that of others.
pub(super) fn is_of_other_shape(value: &Datum, ty: ColumnType) -> bool {
    matches!((value, ty), (Datum::Shaped(..), ColumnType::Array(_)))
}

/// Puts the values of parameters into a plan.
pub(crate) fn bind(
    plan: LogicalPlan,
    types: &[ColumnType],
    values: &[Datum],
) -> Result<LogicalPlan, SqlError> {
    if values.is_empty() {
        return Ok(plan);
    }
    let values = scalars(types, values)?;
    plan.replace_params_with_values(&ParamValues::from(values))
        .map_err(from_datafusion)
}

/// The values of parameters, as DataFusion takes them.
pub(crate) fn scalars(
    types: &[ColumnType],
    values: &[Datum],
) -> Result<Vec<ScalarValue>, SqlError> {
    let scalar = |(value, ty): (&Datum, &ColumnType)| {
        if is_of_other_shape(value, *ty) {
            return Err(text::unshaped());
        }
        let mut builder = datum::ColumnBuilder::new(*ty);
        builder.append(value.as_ref());
        ScalarValue::try_from_array(&builder.finish(), 0).map_err(from_datafusion)
    };
    values.iter().zip(types).map(scalar).collect()
}
