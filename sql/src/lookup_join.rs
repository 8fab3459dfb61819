//! Joins with a table by its key: where the rows of the other side are few, those of the table are looked up instead of all
//! being read. The join stays as it is, over fewer rows of the table.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use tidelog_storage::catalog::{Deferral, IndexId, UniqueKey};
use tidelog_storage::snapshot::{Lookup, ScanColumn};
use tidelog_storage::transaction::unique_identity;
use tidelog_storage::{Datum, Partition, PartitionSet, datum};

use crate::evaluated_once::OnceExec;
use crate::index_scan::COLD_ROWS;
use crate::provider::{batch_of, blocking, properties};
use crate::table_scan::{FoundExec, Scanned, TableExec};

type Plan = Arc<dyn ExecutionPlan>;

/// More rows than these are not looked up.
const ROWS_MAX: usize = 1_000;
/// To look up a row takes as long as to read so many of the hot tier.
const ROWS_WORTH: u64 = 32;

/// Looks up rows of tables that few rows are joined with by a key. The few rows are computed once (`OnceExec`): for the join,
/// and for what looks up by them, which `attach` gives them to.
pub(crate) fn look_up(plan: Plan) -> Result<Plan> {
    if plan.exists(|node| Ok(node.is::<RecursiveQueryExec>()))? {
        return Ok(plan);
    }
    plan.transform_up(|node| {
        Ok(match node.downcast_ref::<HashJoinExec>() {
            Some(join) => match reduced(join)? {
                Some(sides) => {
                    Transformed::yes(replace_children_if_necessary(node.clone(), sides)?)
                }
                None => Transformed::no(node),
            },
            None => Transformed::no(node),
        })
    })
    .map(|plan| plan.data)
}

/// The sides of a join with one of them looked up.
fn reduced(join: &HashJoinExec) -> Result<Option<Vec<Plan>>> {
    use JoinType::{
        Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi,
    };
    if join.null_aware || join.null_equality != NullEquality::NullEqualsNothing {
        return Ok(None);
    }
    let (left, right) = (join.left(), join.right());
    let on = || join.on().iter();
    // Rows of a side that match none of the other are not needed.
    if matches!(
        join.join_type(),
        Inner | Left | LeftSemi | LeftAnti | LeftMark | RightSemi
    ) {
        let on = on()
            .map(|(left, right)| (left.clone(), right.clone()))
            .collect();
        if let Some((outer, looked_up)) = side(left, right, on)? {
            return Ok(Some(vec![outer, looked_up]));
        }
    }
    if matches!(
        join.join_type(),
        Inner | Right | RightSemi | RightAnti | RightMark | LeftSemi
    ) {
        let on = on()
            .map(|(left, right)| (right.clone(), left.clone()))
            .collect();
        if let Some((outer, looked_up)) = side(right, left, on)? {
            return Ok(Some(vec![looked_up, outer]));
        }
    }
    Ok(None)
}

/// What of two sides is equal.
type Key = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

/// The few rows of one side, and the other side looked up by them; `on` is what of them equals what of the other.
fn side(outer: &Plan, inner: &Plan, on: Vec<Key>) -> Result<Option<(Plan, Plan)>> {
    let Some(rows) = rows_at_most(outer).filter(|rows| *rows <= ROWS_MAX) else {
        return Ok(None);
    };
    let Some((chain, table)) = table_under(inner) else {
        return Ok(None);
    };
    let scanned = &table.scanned;
    if scanned.rows < ROWS_WORTH * rows as u64 {
        return Ok(None);
    }
    let Some((key, values)) = key_of(scanned, &chain, inner, &outer.schema(), on)? else {
        return Ok(None);
    };
    let outer = Arc::new(OnceExec::for_several(outer.clone()));
    let mut plan: Plan = Arc::new(LookupExec {
        scanned: scanned.clone(),
        key,
        values,
        number: outer.number(),
        outer: None,
        properties: properties(table.schema(), 1),
        metrics: ExecutionPlanMetricsSet::new(),
    });
    for node in chain.into_iter().rev() {
        plan = replace_children_if_necessary(node.clone(), vec![plan])?;
    }
    Ok(Some((outer, plan)))
}

/// How many rows a plan gives, where it is known that they are few.
fn rows_at_most(plan: &Plan) -> Option<usize> {
    let of_child = || rows_at_most(plan.children().first()?);
    let least = |fetch: Option<usize>| match (fetch, of_child()) {
        (Some(fetch), Some(rows)) => Some(fetch.min(rows)),
        (fetch, rows) => fetch.or(rows),
    };
    if let Some(found) = plan.downcast_ref::<FoundExec>() {
        return Some(found.found.rows());
    }
    if plan.is::<PlaceholderRowExec>() {
        return Some(1);
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return least(sort.fetch());
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return least(limit.fetch());
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return match aggregate.group_expr().is_empty() {
            true => Some(1),
            false => of_child().filter(|_| aggregate.group_expr().is_single()),
        };
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        // Each row of the one side meets at most one that was looked up.
        return match join.join_type() {
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti
                if lookup_under(join.right()).is_some() =>
            {
                rows_at_most(join.left())
            }
            JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti
                if lookup_under(join.left()).is_some() =>
            {
                rows_at_most(join.right())
            }
            _ => {
                let (left, right) = (rows_at_most(join.left())?, rows_at_most(join.right())?);
                Some(left.saturating_mul(right).max(left.saturating_add(right)))
            }
        };
    }
    let keeps = plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<OnceExec>();
    keeps.then(of_child)?
}

/// The table that a side of a join is of, and what stands over it from the outermost on: its rows are filtered and their
/// columns are chosen, no more.
fn table_under(plan: &Plan) -> Option<(Vec<&Plan>, &TableExec)> {
    let mut chain = Vec::new();
    let mut plan = plan;
    loop {
        if let Some(table) = plan.downcast_ref::<TableExec>() {
            return Some((chain, table));
        }
        let is_filter = |filter: &FilterExec| filter.fetch().is_none();
        let passes = plan.downcast_ref::<FilterExec>().is_some_and(is_filter)
            || plan.is::<ProjectionExec>()
            || plan.is::<CooperativeExec>();
        if !passes {
            return None;
        }
        chain.push(plan);
        plan = plan.children().into_iter().next()?;
    }
}

/// A key, and what the values of its columns are.
type ByKey = (IndexId, Vec<Arc<dyn PhysicalExpr>>);

/// A unique key of a table that a join gives all columns of, and what of the other side equals each of them.
fn key_of(
    scanned: &Scanned,
    chain: &[&Plan],
    inner: &Plan,
    outer: &SchemaRef,
    on: Vec<Key>,
) -> Result<Option<ByKey>> {
    let table = &scanned.table;
    let transaction = scanned.scope.transaction.read();
    if !matches!(scanned.partitions, PartitionSet::One(_)) || scanned.scope.snapshot.is_past() {
        return Ok(None);
    }
    let mut given = Vec::new();
    for (value, column) in on {
        let Some(at) = column.downcast_ref::<Column>().map(Column::index) else {
            continue;
        };
        if let Some(at) = column_under(chain, inner, at)
            && let Some(ScanColumn::Column(id)) = scanned.columns.get(at)
            && let Some(ty) = table.type_of(*id)
            && value.data_type(outer)? == ty.arrow()
        {
            given.push((*id, value));
        }
    }
    let given_by = |key: UniqueKey<'_>| {
        let value = |id| given.iter().find(|(given, _)| given == id);
        let values = key.columns.iter().map(value);
        let values = values.map(|found| found.map(|(_, value)| value.clone()));
        Some((key.id, values.collect::<Option<Vec<_>>>()?))
    };
    let ready = |key: &UniqueKey<'_>| {
        let index = table.indexes.iter().find(|index| index.id == key.id);
        index.is_none_or(|index| index.ready)
            && key.predicate.is_none()
            && key.deferral == Deferral::NotDeferrable
            && !transaction.fills(table.id, key.id)
    };
    Ok(table.unique_keys().filter(ready).find_map(given_by))
}

/// Which column of the table a column of the side is.
fn column_under(chain: &[&Plan], inner: &Plan, at: usize) -> Option<usize> {
    debug_assert!(at < inner.schema().fields().len());
    chain.iter().try_fold(at, |at, node| {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            return match filter.projection() {
                Some(kept) => kept.get(at).copied(),
                None => Some(at),
            };
        }
        match node.downcast_ref::<ProjectionExec>() {
            Some(projection) => {
                let expr = &projection.expr().get(at)?.expr;
                expr.downcast_ref::<Column>().map(Column::index)
            }
            None => Some(at),
        }
    })
}

/// The rows of a table that have the keys of other rows.
pub(crate) struct LookupExec {
    pub(crate) scanned: Arc<Scanned>,
    pub(crate) key: IndexId,
    /// What of the other rows are the values of the key's columns, of these columns' types.
    pub(crate) values: Vec<Arc<dyn PhysicalExpr>>,
    /// The number of what computes the other rows.
    number: u64,
    /// Once the plan is done. Not a child: the join has it as one.
    outer: Option<Plan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Gives those that look up rows what they look them up by: the side of the join beside them. Behind everything that changes a
/// plan.
pub(crate) fn attach(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| {
        let sides: Vec<Plan> = node.children().into_iter().cloned().collect();
        let [left, right] = sides.as_slice() else {
            return Ok(Transformed::no(node));
        };
        let attached = match (by(left, right)?, by(right, left)?) {
            (Some(right), _) => vec![left.clone(), right],
            (None, Some(left)) => vec![left, right.clone()],
            (None, None) => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(replace_children_if_necessary(
            node, attached,
        )?))
    })
    .map(|plan| plan.data)
}

/// A side with what looks up there by the rows of the other.
fn by(outer: &Plan, inner: &Plan) -> Result<Option<Plan>> {
    let (Some(lookup), Some(once)) = (lookup_under(inner), under::<OnceExec>(outer)) else {
        return Ok(None);
    };
    let number = once.downcast_ref::<OnceExec>().map(OnceExec::number);
    if number != Some(lookup.number) {
        return Ok(None);
    }
    let attached = inner.clone().transform_up(|node| {
        Ok(match node.downcast_ref::<LookupExec>() {
            Some(lookup) => Transformed::yes(Arc::new(lookup.with_outer(once.clone())) as Plan),
            None => Transformed::no(node),
        })
    })?;
    Ok(Some(attached.data))
}

fn lookup_under(plan: &Plan) -> Option<&LookupExec> {
    under::<LookupExec>(plan)?.downcast_ref()
}

/// The node of a kind that a plan's rows come from, through nodes of one input.
fn under<T: ExecutionPlan>(plan: &Plan) -> Option<&Plan> {
    let mut plan = plan;
    while !plan.is::<T>() {
        let [input] = plan.children()[..] else {
            return None;
        };
        plan = input;
    }
    Some(plan)
}

impl LookupExec {
    fn with_outer(&self, outer: Plan) -> LookupExec {
        LookupExec {
            scanned: self.scanned.clone(),
            key: self.key,
            values: self.values.clone(),
            number: self.number,
            outer: Some(outer),
            properties: self.properties.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

/// Each key of these rows once.
fn keys(
    scanned: &Scanned,
    partition: &Partition,
    key: UniqueKey<'_>,
    values: &[Arc<dyn PhysicalExpr>],
    rows: &[RecordBatch],
) -> Result<Vec<Vec<Datum>>> {
    let (mut seen, mut keys) = (HashSet::new(), Vec::new());
    for batch in rows {
        let arrays = values
            .iter()
            .map(|value| value.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let value =
                |array: &ArrayRef| datum::datum_at(array, row).map(|value| value.to_owned());
            let Some(values) = arrays.iter().map(value).collect::<Option<Vec<_>>>() else {
                return Err(DataFusionError::Internal(
                    "a key of another type".to_string(),
                ));
            };
            // Nothing equals NULL.
            if values.iter().any(Datum::is_null) {
                continue;
            }
            let identity = unique_identity(
                &scanned.table,
                partition,
                key,
                values.iter().map(Datum::as_ref),
            );
            if identity.is_some_and(|identity| seen.insert(identity)) {
                keys.push(values);
            }
        }
    }
    Ok(keys)
}

/// The rows of a table that have these keys. Blocking.
fn rows(
    scanned: &Scanned,
    partition: &Partition,
    key: UniqueKey<'_>,
    keys: &[Vec<Datum>],
    cold_rows: &Count,
) -> std::result::Result<Vec<tidelog_storage::RowVersion>, tidelog_storage::StorageError> {
    let (table, scope) = (&scanned.table, &scanned.scope);
    let mut versions = Vec::with_capacity(keys.len());
    for values in keys {
        let found = {
            let own = scope.transaction.read();
            (scope.snapshot).lookup_unique(table, partition, key, values, Some(&own))?
        };
        match found {
            Lookup::Absent => {}
            Lookup::Hot(version) => versions.push(version),
            Lookup::Cold(seq) => {
                cold_rows.add(1);
                versions.push((scope.store).read_cold(&scope.snapshot, table, partition, seq)?);
            }
        }
    }
    Ok(versions)
}

impl fmt::Debug for LookupExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupExec")
            .field("table", &self.scanned.table.name)
            .field("key", &self.key)
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for LookupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.scanned.table;
        write!(
            f,
            "LookupExec: table={}.{}, by={}",
            table.schema, table.name, self.number
        )
    }
}

impl ExecutionPlan for LookupExec {
    fn name(&self) -> &str {
        "LookupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Plan>) -> Result<Plan> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let outer = self
            .outer
            .clone()
            .ok_or_else(|| DataFusionError::Internal("nothing to look rows up by".to_string()))?;
        let given = BaselineMetrics::new(&self.metrics, partition);
        let cold_rows = MetricBuilder::new(&self.metrics).counter(COLD_ROWS, partition);
        let (scanned, key, values) = (self.scanned.clone(), self.key, self.values.clone());
        let schema = self.schema();
        let batch_schema = schema.clone();
        let rows = async move {
            let outer = collect(outer.execute(0, context)?).await?;
            let looked_up = blocking(move || {
                let (PartitionSet::One(partition), Some(key)) =
                    (&scanned.partitions, scanned.table.unique_key(key))
                else {
                    unreachable!("it was found there");
                };
                let keys = match keys(&scanned, partition, key, &values, &outer) {
                    Ok(keys) => keys,
                    Err(error) => return Ok(Err(error)),
                };
                let rows = rows(&scanned, partition, key, &keys, &cold_rows)?;
                let (table, columns) = (&scanned.table, &scanned.columns);
                Ok(batch_of(table, &rows, partition, columns, batch_schema))
            });
            let batch = looked_up.await??;
            given.record_output(batch.num_rows());
            Ok(batch)
        };
        let rows = futures::stream::once(rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
