//! `min` and `max` of columns that a key or index has in order: the first row of that order, instead of all rows. PostgreSQL's
//! planner does the same (planagg.c).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::DefaultTableSource;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    Sort, SortExpr,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use tidelog_storage::{ColumnDef, ColumnId, ColumnType, TableDef, TableKind};

use crate::provider::Relation;

/// Aggregates of more are read from all rows at once.
const EXTREMES_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct ExtremesInOrder;

impl OptimizerRule for ExtremesInOrder {
    fn name(&self) -> &str {
        "extremes_in_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        Ok(match in_order(aggregate)? {
            Some(plan) => Transformed::yes(plan),
            None => Transformed::no(plan),
        })
    }
}

/// Each aggregate over the first row that has a value, beside each other; `None` where one is nothing that an index has first.
fn in_order(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let calls = &aggregate.aggr_expr;
    if !aggregate.group_expr.is_empty() || calls.is_empty() || calls.len() > EXTREMES_MAX {
        return Ok(None);
    }
    let Some(rows) = Rows::of(&aggregate.input) else {
        return Ok(None);
    };
    // Who sees all users' rows has them in no order.
    if calls.len() > 1 && rows.table.kind == TableKind::User {
        return Ok(None);
    }
    let mut all: Option<LogicalPlanBuilder> = None;
    for call in calls {
        let Some((_, first)) = first_of(call, &rows, &aggregate.input)? else {
            return Ok(None);
        };
        let one = Aggregate::try_new(Arc::new(first), Vec::new(), vec![call.clone()])?;
        let one = LogicalPlan::Aggregate(one);
        all = Some(match all {
            None => LogicalPlanBuilder::from(one),
            Some(others) => others.cross_join(one)?,
        });
    }
    all.map(LogicalPlanBuilder::build).transpose()
}

/// The column whose least or greatest value an aggregate is, and the row that has it; `None` where no index has that first.
fn first_of<'a>(
    call: &'a Expr,
    rows: &Rows<'_>,
    input: &Arc<LogicalPlan>,
) -> Result<Option<(&'a Expr, LogicalPlan)>> {
    let Some((column, descending)) = extreme(call).filter(|(column, _)| rows.has_first(column))
    else {
        return Ok(None);
    };
    let valued = Filter::try_new(column.clone().is_not_null(), input.clone())?;
    let first = LogicalPlan::Sort(Sort {
        expr: vec![SortExpr::new(column.clone(), !descending, descending)],
        input: Arc::new(LogicalPlan::Filter(valued)),
        fetch: Some(1),
    });
    Ok(Some((column, first)))
}

/// The query of the row whose value a query of one aggregate gives: it gives NULL where there is no such row. `None` for
/// other queries.
pub(crate) fn as_first_row(plan: &LogicalPlan) -> Option<LogicalPlan> {
    let (aggregate, output) = match plan {
        LogicalPlan::Projection(projection) => match (&*projection.input, &*projection.expr) {
            (LogicalPlan::Aggregate(aggregate), [output]) => (aggregate, Some(output)),
            _ => return None,
        },
        LogicalPlan::Aggregate(aggregate) => (aggregate, None),
        _ => return None,
    };
    let is_plain = |output: &Expr| matches!(output.clone().unalias(), Expr::Column(_));
    let [call] = aggregate.aggr_expr.as_slice() else {
        return None;
    };
    if !aggregate.group_expr.is_empty() || !output.is_none_or(is_plain) {
        return None;
    }
    let rows = Rows::of(&aggregate.input)?;
    let (column, first) = first_of(call, &rows, &aggregate.input).ok()??;
    let name = plan.schema().field(0).name();
    let value = vec![column.clone().alias(name)];
    let value = LogicalPlanBuilder::from(first).project(value).ok()?;
    value.build().ok()
}

/// The column whose least or greatest value an aggregate is, and whether it is the greatest.
fn extreme(call: &Expr) -> Option<(&Expr, bool)> {
    let Expr::AggregateFunction(call) = call else {
        return match call {
            Expr::Alias(named) => extreme(&named.expr),
            _ => None,
        };
    };
    let descending = match call.func.name() {
        "min" => false,
        "max" => true,
        _ => return None,
    };
    let params = &call.params;
    match params.args.as_slice() {
        [column @ Expr::Column(_)] if params.filter.is_none() && params.order_by.is_empty() => {
            Some((column, descending))
        }
        _ => None,
    }
}

/// The rows of a table that some conditions leave.
struct Rows<'a> {
    table: &'a TableDef,
    conditions: Vec<&'a Expr>,
    /// What chooses and names columns of them, from the outermost on.
    chosen: Vec<&'a Projection>,
}

impl<'a> Rows<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Rows<'a>> {
        let (mut conditions, mut chosen) = (Vec::new(), Vec::new());
        let mut plan = plan;
        loop {
            plan = match plan {
                LogicalPlan::Filter(filter) => {
                    conditions.extend(split_conjunction(&filter.predicate));
                    &filter.input
                }
                LogicalPlan::Projection(projection)
                    if !projection.expr.iter().any(Expr::is_volatile) =>
                {
                    // The names there may be others.
                    conditions.clear();
                    chosen.push(projection);
                    &projection.input
                }
                LogicalPlan::SubqueryAlias(named) => &named.input,
                _ => break,
            };
        }
        let LogicalPlan::TableScan(scan) = plan else {
            return None;
        };
        let source = scan.source.downcast_ref::<DefaultTableSource>()?;
        let relation = source.table_provider.downcast_ref::<Relation>()?;
        conditions.extend(&scan.filters);
        Some(Rows {
            table: relation.table(),
            conditions,
            chosen,
        })
        .filter(|_| scan.fetch.is_none())
    }

    /// The table's column that a column of the outermost rows is.
    fn column(&self, column: &Expr) -> Option<&'a ColumnDef> {
        let Expr::Column(column) = column else {
            return None;
        };
        let under = self
            .chosen
            .iter()
            .try_fold(column.name.clone(), |name, chosen| {
                let at = chosen.schema.index_of_column_by_name(None, &name)?;
                match chosen.expr.get(at)?.clone().unalias() {
                    Expr::Column(column) => Some(column.name),
                    _ => None,
                }
            });
        let at = self.table.column_index(&under?)?;
        self.table.columns.get(at)
    }

    /// Whether a key or index has these rows in the order of a column.
    fn has_first(&self, column: &Expr) -> bool {
        let Some(of) = self.column(column) else {
            return false;
        };
        use ColumnType::{
            Date, Int2, Int4, Int8, Numeric, Text, Time, Timestamp, TimestampTz, Varchar,
        };
        let sorts_as_it_is = matches!(
            of.ty,
            Int2 | Int4
                | Int8
                | Text
                | Varchar(_)
                | Date
                | Time(_)
                | Timestamp(_)
                | TimestampTz(_)
                | Numeric(Some(_))
        );
        let ready = self.table.indexes.iter().filter(|index| index.ready);
        let whole = ready.filter(|index| index.predicate.is_none());
        let others = whole.map(|index| (index.columns.as_slice(), index.unique));
        let primary = (self.table.primary_key.as_slice(), true);
        let mut all = std::iter::once(primary).chain(others);
        sorts_as_it_is
            && all.any(|(columns, unique)| {
                let mut columns = columns.iter().skip_while(|id| self.is_fixed(**id));
                let is_first = columns.next() == Some(&of.id);
                // A unique index lacks the rows with a NULL in it.
                is_first && !(unique && columns.any(|id| self.table.may_be_null(*id)))
            })
    }

    /// Whether a condition leaves a column one value.
    fn is_fixed(&self, id: ColumnId) -> bool {
        let Some(at) = self.table.index_of(id) else {
            return false;
        };
        let name = &self.table.columns[at].name;
        let is_it = |side: &Expr| matches!(side, Expr::Column(column) if column.name == *name);
        let is_value = |side: &Expr| matches!(side, Expr::Literal(..) | Expr::Placeholder(_));
        self.conditions.iter().any(|condition| match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                *op == Operator::Eq
                    && (is_it(left) && is_value(right) || is_value(left) && is_it(right))
            }
            _ => false,
        })
    }
}
