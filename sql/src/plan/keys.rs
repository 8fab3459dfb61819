//! Which columns a key determines: in PostgreSQL the primary key of a table in FROM, but nothing of a query in FROM.
//! (DataFusion has keys of queries, too, and takes those of a LATERAL one for keys of all of its rows.)

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{DFSchema, FunctionalDependencies};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{self, SetExpr, TableAlias, TableFactor};

use super::selects::all_of;
use crate::parse::walk::WalkMut;

/// Writes each query of a WITH as one in FROM, but for recursive ones.
pub(super) fn with_in_from(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut InFrom);
}

struct InFrom;

impl ast::VisitorMut for InFrom {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let with = query.with.iter_mut().filter(|with| !with.recursive);
        for cte in with.flat_map(|with| &mut with.cte_tables) {
            if !matches!(*cte.query.body, SetExpr::Select(_)) {
                continue;
            }
            let subquery = std::mem::replace(&mut *cte.query, all_of(Vec::new()));
            let inside = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(subquery),
                alias: Some(TableAlias {
                    explicit: true,
                    name: cte.alias.name.clone(),
                    columns: Vec::new(),
                    at: None,
                }),
                sample: None,
            };
            *cte.query = all_of(vec![ast::TableWithJoins {
                relation: inside,
                joins: Vec::new(),
            }]);
        }
        ControlFlow::Continue(())
    }
}

/// Plans the queries of FROM so that GROUP BY finds no keys in them.
#[derive(Debug)]
pub(crate) struct KeylessQueries;

impl RelationPlanner for KeylessQueries {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Derived {
            lateral,
            subquery,
            alias: Some(alias),
            sample,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        // Without its alias it does not come by here again.
        let plan = context.plan(TableFactor::Derived {
            lateral,
            subquery,
            alias: None,
            sample,
        })?;
        let planned = PlannedRelation::new(without_keys(plan)?, Some(alias));
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

/// A plan of which GROUP BY finds no keys.
pub(super) fn without_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().functional_dependencies().is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let schema = DFSchema::clone(plan.schema());
    let schema = schema.with_functional_dependencies(FunctionalDependencies::empty())?;
    Projection::try_new_with_schema(columns.collect(), Arc::new(plan), Arc::new(schema))
        .map(LogicalPlan::Projection)
}
