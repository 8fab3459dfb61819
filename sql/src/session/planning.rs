//! Plans of a session's queries and expressions: what the session's settings, role and catalog make of them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use tidelog_storage::{Catalog, ColumnType, Datum};
use tokio::sync::Semaphore;

use super::expression::is_of_its_moment;
use super::prepared::ToRun;
use super::transaction::Block;
use super::{QueryPlan, Session, scalars};
use crate::apart::{self, Client};
use crate::error::{SqlError, from_datafusion};
use crate::functions;
use crate::guards;
use crate::lists_apart;
use crate::locking;
use crate::numbers;
use crate::optimize;
use crate::output;
use crate::plan::{self, Planner, PostgresOperators};
use crate::provider::{Access, Scope};
use crate::system::Showing;
use crate::text::datetime::now_micros;
use crate::text::{Now, Style};
use crate::turns::aside;
use crate::volatile;

/// What says something else of the session each time it is asked.
const SESSION_NAMES: [&str; 12] = [
    STATEMENT_TIMESTAMP,
    "pg_current_xact_id",
    "txid_current",
    "current_setting",
    "set_config",
    "pg_settings",
    "pg_listening_channels",
    "notification_seq",
    "pg_cursors",
    "pg_prepared_statements",
    "pg_stat_activity",
    "pg_locks",
];

/// A moment that is the same wherever a statement asks for it.
const STATEMENT_TIMESTAMP: &str = "statement_timestamp";

/// Statements of fewer bytes, SELECTs and JOINs, and plans of fewer nodes and expressions are planned in a moment.
const TEXT_SHORT: usize = 2 << 10;
const RELATIONS_FEW: usize = 6;
const NODES_FEW: usize = 32;
const EXPRESSIONS_FEW: usize = 256;

/// Whether it may take long to find how to run a plan, by its size.
fn is_large(plan: &LogicalPlan) -> Result<bool, SqlError> {
    let (mut nodes, mut expressions) = (0, 0);
    let count = |node: &LogicalPlan| {
        nodes += 1;
        node.apply_expressions(|expr| {
            expr.apply(|_| {
                expressions += 1;
                Ok(match expressions > EXPRESSIONS_FEW {
                    true => TreeNodeRecursion::Stop,
                    false => TreeNodeRecursion::Continue,
                })
            })
        })
    };
    plan.apply_with_subqueries(count).map_err(from_datafusion)?;
    Ok(nodes > NODES_FEW || expressions > EXPRESSIONS_FEW)
}

/// How a plan is run.
pub(crate) struct Physical {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// Whether that is to be apart from others' statements.
    pub(crate) heavy: bool,
}

/// How a plan is run whose parameters have their values.
async fn physical_of(
    state: &SessionState,
    plan: ToRun,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let heavy = plan.heavy;
    let physical = match plan.optimized {
        false => state.create_physical_plan(&plan.plan).await?,
        true => {
            let plan = optimize::with_values(plan.plan, state)?;
            let planner = state.query_planner();
            planner.create_physical_plan(&plan, state).await?
        }
    };
    match heavy {
        true => apart::watched(physical),
        false => Ok(physical),
    }
}

/// Who may look for how to run a large plan, which goes on where its statement was cut short.
static LARGE_PLANS: Semaphore = Semaphore::const_new(8);

impl Session {
    /// Plans a query in this session.
    pub(crate) fn plan_query(
        &self,
        query: ast::Query,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        locking::refuse(&query)?;
        let pseudo_columns = plan::stars::mentions_pseudo_columns(&query);
        self.plan_with(Vec::new(), query, given, pseudo_columns, catalog)
    }

    fn plan_with(
        &self,
        mut replaced: Vec<(String, Arc<dyn datafusion::datasource::TableProvider>)>,
        query: ast::Query,
        given: &[Option<ColumnType>],
        pseudo_columns: bool,
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        let text = query.to_string();
        let of_its_moment = is_of_its_moment(&text);
        let mut constants = self.constants();
        let mut style = self.style();
        // Expressions over rows, such as CHECK conditions, are planned once for many statements.
        let lasts = !replaced.is_empty();
        if lasts || !of_its_moment {
            style.now = Now::default();
        }
        if !lasts {
            let now = ScalarValue::TimestampMicrosecond(Some(now_micros()), Some("UTC".into()));
            constants.insert(STATEMENT_TIMESTAMP, now);
        }
        replaced.extend(self.stand_ins.iter().cloned());
        let access = self.access(&self.catalog());
        let search_path = self.search_path();
        let showing = self.showing(&access);
        let planner = Planner {
            names_schemas: false,
            state: &self.engine.state,
            store: &self.engine.store,
            settings: &|| self.all_settings(),
            catalog,
            search_path: &search_path,
            access: &access,
            constants: &constants,
            pg_notify: &self.pg_notify,
            advisory: &self.advisory,
            activities: self.activities(),
            locks: &self.engine.locks,
            cursors: &|| self.cursor_infos(),
            statements: &|| self.statements.infos(),
            sequences: self.sequences(),
            style,
            showing,
            expr_planners: self.expr_planners(style),
            pseudo_columns,
            replaced,
        };
        let may_take_long = text.len() > TEXT_SHORT
            || text.matches("SELECT").count() + text.matches("JOIN").count() > RELATIONS_FEW;
        let plan = aside(may_take_long, || planner.shown_query(query, given))?;
        Ok(QueryPlan {
            heavy: apart::is_heavy(&plan),
            plan,
            catalog_version: catalog.version,
            reusable: !of_its_moment && !SESSION_NAMES.iter().any(|name| text.contains(name)),
            access,
            search_path,
            style,
            showing,
            short: None,
            generic: Arc::default(),
        })
    }

    /// How a plan is run in a scope.
    pub(crate) async fn physical_plan(
        &self,
        mut plan: ToRun,
        scope: Arc<Scope>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Physical, SqlError> {
        if !values.is_empty() {
            let values = scalars(types, values)?;
            plan.heavy |= values.iter().any(apart::is_large_value);
            let values = ParamValues::from(values);
            let bound = plan.plan.replace_params_with_values(&values);
            plan.plan = bound.map_err(from_datafusion)?;
        }
        let mut state = self.engine.state.clone();
        state.config_mut().set_extension(scope);
        state.execution_props_mut().query_execution_start_time = Some(self.work.started);
        let (threads, client) = (&self.engine.threads, self.client());
        let (large, heavy) = (is_large(&plan.plan)?, plan.heavy);
        let planned = match (large, heavy) {
            (true, _) => {
                let turn = LARGE_PLANS.acquire().await;
                let turn = turn.expect("it is never closed");
                let work = async move {
                    let _turn = turn;
                    physical_of(&state, plan).await
                };
                threads.make(client, work).await
            }
            (false, true) => {
                let work = async move { physical_of(&state, plan).await };
                threads.make(client, work).await
            }
            (false, false) => physical_of(&state, plan).await,
        };
        let plan = planned.map_err(from_datafusion)?;
        Ok(Physical { plan, heavy })
    }

    /// The rows of a plan.
    pub(crate) async fn execute_plan(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        heavy: bool,
    ) -> Result<SendableRecordBatchStream, SqlError> {
        let (threads, client) = (&self.engine.threads, self.client());
        let context = self.engine.state.task_ctx();
        let rows = match heavy {
            true => threads.run(client, plan, context).await,
            false => execute_stream(plan, context),
        };
        rows.map_err(from_datafusion)
    }

    fn client(&self) -> Client {
        Client {
            pid: self.pid(),
            role: self.role().id,
        }
    }

    /// The planners of expressions; the first that answers wins.
    fn expr_planners(&self, style: Style) -> Vec<Arc<dyn ExprPlanner>> {
        let ours: Arc<dyn ExprPlanner> = Arc::new(PostgresOperators { style });
        let theirs = self.engine.state.expr_planners().iter().cloned();
        std::iter::once(ours).chain(theirs).collect()
    }

    /// What sequences are drawn from.
    pub(crate) fn sequences(&self) -> functions::sequence::Source {
        functions::sequence::Source {
            store: self.engine.store.clone(),
            drawn: self.drawn.clone(),
        }
    }

    /// How the session reads parameters that come before their statement: outside a block the transaction is to begin.
    pub fn style_of_parameters(&self) -> Style {
        match self.work.block {
            Block::None => Style {
                now: Now::default(),
                ..self.style()
            },
            _ => self.style(),
        }
    }

    /// How the session reads and writes text.
    pub fn style(&self) -> Style {
        Style {
            zone: self.settings.zone(),
            intervals: self.settings.interval_style(),
            bytes: self.settings.bytes_style(),
            floats: self.settings.float_style(),
            now: Now::at(self.work.started.timestamp_micros()),
        }
    }

    /// What catalogs show in this session.
    pub(super) fn showing(&self, access: &Access) -> Showing {
        Showing::of(&self.settings, access)
    }

    /// Plans a query of ours or of a statement's.
    pub(crate) fn plan_select(
        &self,
        query: ast::Query,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        self.plan_query(query, given, catalog).map(|plan| plan.plan)
    }

    /// Types the parameters of an expression without columns.
    pub(crate) fn infer_expression(
        &self,
        expr: &ast::Expr,
        types: &mut Vec<Option<ColumnType>>,
        catalog: &Catalog,
    ) -> Result<(), SqlError> {
        let query = crate::parse::parse_query(&format!("SELECT {expr}"))?;
        let plan = self.plan_select(query, types, catalog)?;
        *types = plan::known_parameters(&plan, types)?;
        Ok(())
    }

    /// Plans a query in which relations stand in for tables of their names, with pseudo-columns if they have any.
    pub(crate) fn plan_over(
        &self,
        replaced: Vec<(String, Arc<dyn datafusion::datasource::TableProvider>)>,
        query: ast::Query,
        given: &[Option<ColumnType>],
        pseudo_columns: bool,
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        let plan = self.plan_with(replaced, query, given, pseudo_columns, catalog)?;
        Ok(plan.plan)
    }

    /// The values of the only column of a query of ours.
    pub(crate) async fn evaluate_query(
        &self,
        query: &str,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<(Vec<Datum>, ColumnType), SqlError> {
        let query = crate::parse::parse_query(query)?;
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let scope = self.scope();
        let plan = self.plan_query(query, &given, scope.snapshot.catalog())?;
        let (plan, ty) = with_type(plan)?;
        Ok((self.values_of(plan, ty, scope, types, values).await?, ty))
    }

    /// The values of the only column of a plan.
    pub(super) async fn values_of(
        &self,
        plan: LogicalPlan,
        ty: ColumnType,
        scope: Arc<Scope>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Vec<Datum>, SqlError> {
        let batches: Vec<_> = self
            .run_plan(ToRun::analyzed(plan), scope, types, values, false)
            .await?
            .try_collect()
            .await?;
        let mut values = Vec::new();
        for batch in batches {
            let column = output::conform(batch.column(0), ty)?;
            for row in 0..column.len() {
                values.push(output::value(&column, row)?.to_owned());
            }
        }
        Ok(values)
    }
}

/// A plan and the type of its only column.
fn with_type(plan: QueryPlan) -> Result<(LogicalPlan, ColumnType), SqlError> {
    let ty = output::column_type(plan.plan.schema().field(0))?;
    Ok((plan.plan, ty))
}

/// An expression of an analyzed plan as the optimizer leaves it: `now()` and its like are `started`, where that is known.
pub(crate) fn simplified(
    state: &SessionState,
    started: Option<DateTime<Utc>>,
    expr: &Expr,
    schema: &Arc<DFSchema>,
) -> Result<Expr, SqlError> {
    let context = SimplifyContext::builder()
        .with_schema(schema.clone())
        .with_config_options(state.config_options().clone())
        .with_query_execution_start_time(started)
        .build();
    let expr = expr.clone().transform_up(volatile::computed_once);
    let simple = expr.and_then(|expr| ExprSimplifier::new(context).simplify(expr.data));
    simple
        .and_then(|expr| expr.transform_up(lists_apart::bare))
        .and_then(|expr| numbers::of_columns(expr.data, schema))
        .map(|expr| expr.data)
        .map_err(from_datafusion)
}

/// An expression of an analyzed plan, ready to run.
pub(crate) fn physical(
    state: &SessionState,
    started: Option<DateTime<Utc>>,
    expr: &Expr,
    schema: &Arc<DFSchema>,
) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    let expr = simplified(state, started, expr, schema)?;
    let expr = guards::in_turn(expr, schema).map_err(from_datafusion)?.data;
    let props = ExecutionProps {
        query_execution_start_time: started,
        ..state.execution_props().clone()
    };
    let context = PhysicalPlanningContext::default();
    create_physical_expr(&expr, schema, &props, &context).map_err(from_datafusion)
}
