//! Where a result's column comes from: the table and column that it is, if it is one.

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

use crate::provider::Relation;
use crate::system::{SystemRelation, table_oid};

/// The oid of a table and the number of its column.
pub(super) type Origin = (u32, i16);

/// The origin of the column of a plan that stands at this place.
pub(super) fn of(plan: &LogicalPlan, at: usize) -> Option<Origin> {
    let within = |input: &LogicalPlan, column: &Column| {
        of(input, input.schema().maybe_index_of_column(column)?)
    };
    match plan {
        LogicalPlan::Projection(projection) => match unaliased(projection.expr.get(at)?) {
            Expr::Column(column) => within(&projection.input, column),
            _ => None,
        },
        LogicalPlan::Filter(filter) => of(&filter.input, at),
        LogicalPlan::Sort(sort) => of(&sort.input, at),
        LogicalPlan::Limit(limit) => of(&limit.input, at),
        LogicalPlan::SubqueryAlias(alias) => of(&alias.input, at),
        LogicalPlan::Distinct(Distinct::All(input)) => of(input, at),
        LogicalPlan::Distinct(Distinct::On(on)) => match unaliased(on.select_expr.get(at)?) {
            Expr::Column(column) => within(&on.input, column),
            _ => None,
        },
        // Its own columns stand behind those of its input.
        LogicalPlan::Window(window) if at < window.input.schema().fields().len() => {
            of(&window.input, at)
        }
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.get(at).map(unaliased)? {
            Expr::Column(column) => within(&aggregate.input, column),
            _ => None,
        },
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                    match at.checked_sub(left) {
                        None => of(&join.left, at),
                        Some(at) => of(&join.right, at),
                    }
                }
                _ => None,
            }
        }
        LogicalPlan::TableScan(scan) => {
            let at = match &scan.projection {
                Some(projection) => *projection.get(at)?,
                None => at,
            };
            let provider = source_as_provider(&scan.source).ok()?;
            origin_of(provider.as_ref(), at)
        }
        _ => None,
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        expr => expr,
    }
}

fn origin_of(provider: &dyn TableProvider, at: usize) -> Option<Origin> {
    let (oid, number) = if let Some(relation) = provider.downcast_ref::<Relation>() {
        let table = relation.table();
        // Pseudo-columns stand behind the others.
        let column = table.columns.get(at)?;
        (table_oid(table), i16::try_from(column.id.get()).ok()?)
    } else {
        let relation = provider.downcast_ref::<SystemRelation>()?;
        (relation.oid(), i16::try_from(at + 1).ok()?)
    };
    Some((u32::try_from(oid).ok()?, number))
}
