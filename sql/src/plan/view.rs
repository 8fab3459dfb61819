//! A view in a plan: the plan of its query.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidelog_storage::ViewDef;

use super::{Planner, keys, stars};
use crate::error::{SqlError, from_datafusion};
use crate::parse;

/// DataFusion's own `ViewTable` would coerce types now, and the statement again: `sum(int)` were that of bigint then.
#[derive(Debug)]
pub(super) struct ViewSource {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl ViewSource {
    /// Plans the view's query. Rows of USER tables in it are those that the session sees.
    pub(super) fn new(
        planner: &Planner<'_>,
        view: &ViewDef,
    ) -> std::result::Result<ViewSource, SqlError> {
        let query = parse::parse_query(&view.query)?;
        let plan = Planner {
            names_schemas: true,
            pseudo_columns: stars::mentions_pseudo_columns(&query),
            replaced: Vec::new(),
            sequences: planner.sequences.clone(),
            expr_planners: planner.expr_planners.clone(),
            ..*planner
        }
        .query(query, &[])?;
        let columns = plan.schema().iter().zip(&view.columns);
        let columns: Vec<Expr> = columns
            .map(|(field, (name, _))| Expr::Column(Column::from(field)).alias(name))
            .collect();
        let plan = LogicalPlanBuilder::from(plan)
            .project(columns)
            .and_then(LogicalPlanBuilder::build)
            .and_then(keys::without_keys)
            .map_err(from_datafusion)?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Ok(ViewSource { plan, schema })
    }
}

#[async_trait]
impl TableProvider for ViewSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = "a view was planned as a table".to_string();
        Err(DataFusionError::Internal(message))
    }
}
