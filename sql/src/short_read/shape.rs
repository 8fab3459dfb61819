//! What a plan over one table says: conditions, an order, how many rows, and what is given out of them.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::DefaultTableSource;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, SortExpr};
use tidelog_storage::{ColumnType, Datum};

use super::{Given, given};
use crate::provider::Relation;

/// A query of rows of one table, none of which are made of several. Expressions are in terms of the table's columns,
/// whatever relation they name.
pub(super) struct Shape<'a> {
    pub(super) relation: &'a Relation,
    /// The columns that are read; `None` for all.
    pub(super) projection: Option<&'a [usize]>,
    pub(super) conditions: Vec<Expr>,
    /// What is given out; `None` for the columns that are read.
    pub(super) outputs: Option<Vec<Expr>>,
    pub(super) order: Vec<SortExpr>,
    /// An int8, as is `fetch`.
    pub(super) skip: Option<Given>,
    pub(super) fetch: Option<Given>,
}

/// What stands over a table, from the outermost on.
#[derive(Default)]
struct Above {
    outputs: Option<Vec<Expr>>,
    order: Option<Vec<SortExpr>>,
    limited: bool,
    skip: Option<Given>,
    fetch: Option<Given>,
}

impl<'a> Shape<'a> {
    /// `None` for other plans.
    pub(super) fn of(plan: &'a LogicalPlan) -> Option<Shape<'a>> {
        let mut above = Above::default();
        let mut plan = plan;
        let input = loop {
            plan = match plan {
                LogicalPlan::Limit(limit) if !above.limited && above.order.is_none() => {
                    above.limit(limit)?;
                    &limit.input
                }
                LogicalPlan::Sort(sort) if above.order.is_none() => {
                    // Of rows that are limited twice.
                    if above.limited && above.fetch.is_none() && sort.fetch.is_some() {
                        return None;
                    }
                    if let Some(rows) = sort.fetch.filter(|_| !above.limited) {
                        above.limited = true;
                        above.fetch = Some(Given::Literal(Datum::Int8(rows.try_into().ok()?)));
                    }
                    above.order = Some(sort.expr.clone());
                    &sort.input
                }
                LogicalPlan::Projection(projection) => {
                    above.project(projection)?;
                    &projection.input
                }
                other => break other,
            };
        };
        let mut input = input;
        let mut conditions = Vec::new();
        loop {
            input = match input {
                LogicalPlan::Filter(filter) if conditions.is_empty() => {
                    conditions.extend(split_conjunction(&filter.predicate).into_iter().cloned());
                    &filter.input
                }
                LogicalPlan::SubqueryAlias(named) => &named.input,
                _ => break,
            };
        }
        let LogicalPlan::TableScan(scan) = input else {
            return None;
        };
        if scan.fetch.is_some() {
            return None;
        }
        let source = scan.source.downcast_ref::<DefaultTableSource>()?;
        let relation = source.table_provider.downcast_ref::<Relation>()?;
        Some(Shape {
            relation,
            projection: scan.projection.as_deref(),
            conditions,
            outputs: above.outputs,
            order: above.order.unwrap_or_default(),
            skip: above.skip,
            fetch: above.fetch,
        })
    }
}

impl Above {
    fn limit(&mut self, limit: &Limit) -> Option<()> {
        self.limited = true;
        let rows = |expr: &Expr| given(expr, ColumnType::Int8);
        if let Some(fetch) = &limit.fetch {
            self.fetch = Some(rows(fetch)?);
        }
        if let Some(skip) = &limit.skip {
            let skip = rows(skip)?;
            let none = matches!(skip, Given::Literal(Datum::Int8(0)));
            self.skip = (!none).then_some(skip);
        }
        Some(())
    }

    /// In terms of what a projection is of.
    fn project(&mut self, projection: &Projection) -> Option<()> {
        let within = |expr: Expr| {
            let within = expr.transform(|expr| {
                let Expr::Column(column) = &expr else {
                    return Ok(Transformed::no(expr));
                };
                let at = projection.schema.index_of_column(column)?;
                Ok(Transformed::yes(projection.expr[at].clone().unalias()))
            });
            within.data().ok()
        };
        self.outputs = Some(match self.outputs.take() {
            Some(outputs) => outputs.into_iter().map(within).collect::<Option<_>>()?,
            None => projection.expr.clone(),
        });
        if let Some(order) = &mut self.order {
            for key in order {
                key.expr = within(std::mem::take(&mut key.expr))?;
            }
        }
        Some(())
    }
}
