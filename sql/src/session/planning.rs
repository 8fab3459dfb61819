//! Plans of a session's queries and expressions: what the session's settings, role and catalog make of them.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::sql::sqlparser::ast;
use tidelog_storage::{Catalog, ColumnType, Datum, DatumRef, datum};

use super::{QueryPlan, Session};
use crate::error::SqlError;
use crate::functions;
use crate::locking;
use crate::output;
use crate::plan::{self, Planner, PostgresOperators};
use crate::provider::Access;
use crate::system::Showing;
use crate::text::Style;

/// What says something else of the session each time it is asked.
const SESSION_NAMES: [&str; 6] = [
    "current_setting",
    "set_config",
    "pg_settings",
    "pg_listening_channels",
    "notification_seq",
    "pg_cursors",
];

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
        replaced: Vec<(String, Arc<dyn datafusion::datasource::TableProvider>)>,
        query: ast::Query,
        given: &[Option<ColumnType>],
        pseudo_columns: bool,
        catalog: &Catalog,
    ) -> Result<QueryPlan, SqlError> {
        let access = self.access(catalog);
        let search_path = self.search_path();
        let constants = self.constants();
        let showing = self.showing(&access);
        let planner = Planner {
            state: &self.engine.state,
            store: &self.engine.store,
            settings: &|| self.all_settings(),
            catalog,
            search_path: &search_path,
            access: &access,
            constants: &constants,
            pg_notify: &self.pg_notify,
            cursors: &|| self.cursor_infos(),
            sequences: self.sequences(),
            style: self.style(),
            showing,
            expr_planners: self.expr_planners(),
            pseudo_columns,
            replaced,
        };
        let text = query.to_string();
        let plan = planner.query(query, given)?;
        Ok(QueryPlan {
            plan,
            catalog_version: catalog.version,
            reusable: !SESSION_NAMES.iter().any(|name| text.contains(name)),
            access,
            search_path,
            style: self.style(),
            showing,
            short: None,
        })
    }

    /// The planners of expressions; the first that answers wins.
    fn expr_planners(&self) -> Vec<Arc<dyn ExprPlanner>> {
        let ours: Arc<dyn ExprPlanner> = Arc::new(PostgresOperators {
            style: self.style(),
        });
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

    /// How the session reads and writes text.
    pub fn style(&self) -> Style {
        Style {
            zone: self.settings.zone(),
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
        *types = plan::parameter_types(&plan, types)?
            .into_iter()
            .map(Some)
            .collect();
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

    /// Evaluates an expression without columns, as one of this type where the expression leaves it open.
    pub(crate) async fn evaluate(
        &self,
        expr: &ast::Expr,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<(Datum, ColumnType), SqlError> {
        let (values, ty) = (self.evaluate_query(&format!("SELECT {expr}"), types, values)).await?;
        Ok((values.into_iter().next().unwrap_or(Datum::Null), ty))
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
        let plan = self
            .plan_query(query, &given, scope.snapshot.catalog())?
            .plan;
        let ty = output::column_type(plan.schema().field(0))?;
        use futures::TryStreamExt;
        let batches: Vec<_> = self
            .run_plan(plan, scope, types, values, false)
            .await?
            .try_collect()
            .await?;
        let values = batches.iter().flat_map(|batch| {
            let value = |row| datum::datum_at(batch.column(0), row);
            (0..batch.num_rows()).map(move |row| value(row).map_or(Datum::Null, DatumRef::to_owned))
        });
        Ok((values.collect(), ty))
    }
}
