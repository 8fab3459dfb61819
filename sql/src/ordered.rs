//! ORDER BY … LIMIT over a table: the newest data is read first, so that the rest need not be.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};
use tidelog_storage::ColumnType;
use tidelog_storage::snapshot::ScanColumn;

use crate::index_scan::{self, FirstRowsExec, IndexWalkExec};
use crate::plan::column_without_zero;
use crate::table_scan::{Scanned, TableExec};

/// More rows than these are read from all sides at once and sorted.
const ROWS_MAX: usize = 100_000;
/// Filters hand on no smaller batches, but at the end.
const BATCH_ROWS_MIN: usize = 64;

/// Lets a TopK over a table read it in about its order, one part after the other. The TopK stays what says which
/// rows are the first: its threshold, and what is known of the values in files and row groups, rule out what
/// comes later.
#[derive(Debug)]
pub(crate) struct ReadInOrder;

impl PhysicalOptimizerRule for ReadInOrder {
    fn name(&self) -> &str {
        "read_in_order"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let optimized = plan.transform_down(|node| {
            let Some(sort) = node.downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(node));
            };
            if sort.fetch().is_none_or(|fetch| fetch > ROWS_MAX) {
                return Ok(Transformed::no(node));
            }
            let fetch = sort.fetch().unwrap_or_default();
            let bare = |by: &PhysicalSortExpr| PhysicalSortExpr {
                expr: column_without_zero(&by.expr).unwrap_or_else(|| by.expr.clone()),
                options: by.options,
            };
            let order: Vec<PhysicalSortExpr> = sort.expr().iter().map(bare).collect();
            let Some(Found {
                chain,
                table,
                order,
            }) = table_under(sort.input(), order)
            else {
                return Ok(Transformed::no(node));
            };
            let walk = match index_scan::is_worth_it(&table.scanned, fetch) {
                true => index_scan::walk(&table.scanned, &order),
                false => None,
            };
            if walk.is_none() && !leads(&table.scanned, &order) {
                return Ok(Transformed::no(node));
            }
            let input = over(&chain, Arc::new(table.in_order(&order)?), fetch, false)?;
            let sorted = SortExec::new(sort.expr().clone(), input).with_fetch(sort.fetch());
            let mut plan: Arc<dyn ExecutionPlan> = Arc::new(sorted);
            if let Some(walk) = walk {
                let gave_up = Arc::new(AtomicBool::new(false));
                let scanned = table.scanned.clone();
                let walk =
                    IndexWalkExec::new(scanned, walk, fetch, gave_up.clone(), table.schema());
                let walk = over(&chain, Arc::new(walk), fetch, true)?;
                let walk = Arc::new(GlobalLimitExec::new(walk, 0, Some(fetch)));
                plan = Arc::new(FirstRowsExec::new(walk, plan, gave_up));
            }
            Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
        })?;
        let plan = optimized.data;
        // Nothing has an order of its own: rows of a table come as they are stored, as they mostly do in PostgreSQL.
        let stored = match table_under(&plan, Vec::new()) {
            Some(found) => (found.table.as_stored()).map(|table| (found.chain, table)),
            None => None,
        };
        match stored {
            Some((chain, table)) => over(&chain, Arc::new(table), usize::MAX, false),
            None => Ok(plan),
        }
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A table under a sort.
struct Found<'a> {
    /// What stands between them, from the sort down.
    chain: Vec<&'a Arc<dyn ExecutionPlan>>,
    table: &'a TableExec,
    /// The order in the table's columns.
    order: Vec<PhysicalSortExpr>,
}

/// The table whose rows are sorted; `None` when they are more than filtered before, or by something computed.
fn table_under(
    plan: &Arc<dyn ExecutionPlan>,
    mut order: Vec<PhysicalSortExpr>,
) -> Option<Found<'_>> {
    let mut chain = Vec::new();
    let mut plan = plan;
    loop {
        if let Some(table) = plan.downcast_ref::<TableExec>() {
            return Some(Found {
                chain,
                table,
                order,
            });
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            if filter.fetch().is_some() {
                return None;
            }
            if let Some(kept) = filter.projection() {
                order = renamed(order, |at| kept.get(at).copied(), filter.input())?;
            }
            chain.push(plan);
            plan = filter.input();
        } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let column = |at: usize| {
                let expr = &projection.expr().get(at)?.expr;
                expr.downcast_ref::<Column>().map(Column::index)
            };
            order = renamed(order, column, projection.input())?;
            chain.push(plan);
            plan = projection.input();
        } else if let Some(spread) = plan.downcast_ref::<RepartitionExec>() {
            // One stream needs no spreading and no gathering.
            plan = spread.input();
        } else if let Some(gathered) = plan.downcast_ref::<CoalescePartitionsExec>()
            && gathered.fetch().is_none()
        {
            plan = gathered.input();
        } else if let Some(yielding) = plan.downcast_ref::<CooperativeExec>() {
            plan = yielding.input();
        } else {
            return None;
        }
    }
}

/// The chain over another input. Its filters hand on as soon as they have `fetch` rows; `ends`: and then end.
fn over(
    chain: &[&Arc<dyn ExecutionPlan>],
    input: Arc<dyn ExecutionPlan>,
    fetch: usize,
    ends: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut plan = input;
    let first_filter = chain
        .iter()
        .position(|node| node.downcast_ref::<FilterExec>().is_some());
    for (at, node) in chain.iter().enumerate().rev() {
        plan = match node.downcast_ref::<FilterExec>() {
            Some(filter) => {
                let filter = FilterExecBuilder::from(filter)
                    .with_input(plan)
                    .with_batch_size(
                        fetch.clamp(BATCH_ROWS_MIN, filter.batch_size().max(BATCH_ROWS_MIN)),
                    )
                    .with_fetch((ends && first_filter == Some(at)).then_some(fetch));
                Arc::new(filter.build()?)
            }
            None => replace_children_if_necessary((*node).clone(), vec![plan])?,
        };
    }
    Ok(plan)
}

/// The order in the columns of a node's input; `None` when it is by something that the node computes.
fn renamed(
    order: Vec<PhysicalSortExpr>,
    input_column: impl Fn(usize) -> Option<usize>,
    input: &Arc<dyn ExecutionPlan>,
) -> Option<Vec<PhysicalSortExpr>> {
    let schema = input.schema();
    let renamed = |by: PhysicalSortExpr| {
        let at = input_column(by.expr.downcast_ref::<Column>()?.index())?;
        let expr = Arc::new(Column::new(schema.field(at).name(), at));
        Some(PhysicalSortExpr::new(expr, by.options))
    };
    order.into_iter().map(renamed).collect()
}

/// Whether rows that are first in this order are likely to stand together: those of a time, a key or an index.
fn leads(scanned: &Scanned, order: &[PhysicalSortExpr]) -> bool {
    let column = order
        .first()
        .and_then(|by| by.expr.downcast_ref::<Column>());
    match column.and_then(|column| scanned.columns.get(column.index())) {
        None | Some(ScanColumn::User) => false,
        Some(ScanColumn::Seq) => true,
        Some(ScanColumn::Column(id)) => {
            let table = &scanned.table;
            let is_time = |at: usize| {
                use ColumnType::{Date, Timestamp, TimestampTz};
                let ty = table.columns[at].ty;
                matches!(ty, Date | Timestamp(_) | TimestampTz(_))
            };
            let indexed = table
                .indexes
                .iter()
                .filter_map(|index| index.columns.first());
            table.index_of(*id).is_some_and(is_time)
                || table
                    .primary_key
                    .first()
                    .into_iter()
                    .chain(indexed)
                    .any(|first| first == id)
        }
    }
}
