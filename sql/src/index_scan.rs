//! Rows in the order of a key or index, read as far as they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::catalog::IndexId;
use tidelog_storage::snapshot::{IndexPlace, IndexRange, Lookup, ScanColumn};
use tidelog_storage::{ColumnId, PartitionSet, RowVersion, Seq, StorageError};

use crate::compared::Compared;
use crate::index_parts::{COLD_ROWS_MAX, INDEX_ROWS_ALWAYS, cold_rows_max};
use crate::provider::{batch_of, blocking, properties};
use crate::table_scan::Scanned;

/// How much a walk reads before a scan is the better way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    /// Entries that are looked at: each costs some reads of single rows.
    entries: usize,
    /// Rows of them that are read out of cold files.
    cold: usize,
}

impl Reads {
    /// Of a walk that ends with the first rows of an order, in a table of whose size nothing is known.
    pub(crate) const OF_FIRST_ROWS: Reads = Reads {
        entries: 2_000,
        cold: 200,
    };
    /// Of a walk to the end of its range.
    pub(crate) const OF_ALL: Reads = Reads {
        entries: INDEX_ROWS_ALWAYS,
        cold: COLD_ROWS_MAX,
    };

    /// Of a walk that ends with the first rows of an order: what takes about as long as a scan.
    fn of_first_rows(scanned: &Scanned) -> Reads {
        let cold = scanned.files.rows;
        let worth = 256 + scanned.rows.saturating_sub(cold) / 32 + cold / 256;
        Reads {
            entries: usize::try_from(worth).map_or(10_000, |worth| worth.min(10_000)),
            cold: cold_rows_max(cold),
        }
    }
}

/// Whether a walk to so many rows of a scan may be worth it.
pub(crate) fn is_worth_it(scanned: &Scanned, rows: usize) -> bool {
    rows <= Reads::of_first_rows(scanned).entries
}

/// Entries that are read at a time, at most.
const STEP_ROWS_MAX: usize = 1_024;

/// The counter of the rows that were read out of cold files one by one.
pub(crate) const COLD_ROWS: &str = "cold_rows";

/// How an index gives a table's rows in an order.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) range: IndexRange,
    pub(crate) backward: bool,
}

/// The index that gives the rows of a scan in this order, and from where to where; `None` when none does.
pub(crate) fn walk(scanned: &Scanned, order: &[PhysicalSortExpr]) -> Option<Walk> {
    let table = &scanned.table;
    let transaction = scanned.scope.transaction.read();
    if !matches!(scanned.partitions, PartitionSet::One(_)) || transaction.changes_any(table.id) {
        return None;
    }
    let primary = table.primary().map(|key| (key.id, key.columns));
    let compared = Compared::new(table, &scanned.filters);
    let ready = table.indexes.iter().filter(|index| index.ready);
    let ready = ready.filter(|index| compared.implies(index.predicate));
    let others = ready.map(|index| (index.id, index.columns.as_slice()));
    let walks = primary
        .into_iter()
        .chain(others)
        .filter(|(id, _)| !transaction.fills(table.id, *id));
    walks
        .filter_map(|(id, columns)| through(scanned, &compared, order, id, columns))
        .max_by_key(|walk| walk.range.narrowness())
}

fn through(
    scanned: &Scanned,
    compared: &Compared<'_>,
    order: &[PhysicalSortExpr],
    index: IndexId,
    columns: &[ColumnId],
) -> Option<Walk> {
    let table = &scanned.table;
    let mut range = IndexRange {
        index,
        equal: Vec::new(),
        lower: std::ops::Bound::Unbounded,
        upper: std::ops::Bound::Unbounded,
        not_null: false,
    };
    for id in columns {
        let Some(value) = compared.bounds(*id).and_then(|bounds| bounds.equal) else {
            break;
        };
        range.equal.push(value);
    }
    let (fixed, mut rest) = columns.split_at(range.equal.len());
    let key = table.unique_key(index);
    if let Some(bounds) = rest.first().and_then(|next| compared.bounds(*next)) {
        (range.lower, range.upper) = (bounds.lower, bounds.upper);
        range.not_null = bounds.not_null || range.narrowness().1 > 0;
    }
    let null = |id: &ColumnId| table.may_be_null(*id);
    // A unique index lacks the rows with a NULL in it.
    if key.is_some() && (rest.iter().skip(usize::from(range.not_null))).any(null) {
        return None;
    }
    let valued = rest.first().copied().filter(|_| range.not_null);
    let mut backward = None;
    for by in order {
        let at = by.expr.downcast_ref::<Column>()?.index();
        let Some(ScanColumn::Column(id)) = scanned.columns.get(at) else {
            return None;
        };
        if fixed.contains(id) {
            continue;
        }
        match rest.split_first() {
            Some((next, later)) if next == id => {
                let column = &table.columns[table.index_of(*id)?];
                // Entries stand ascending, NULLs last.
                let nulls_fit = by.options.nulls_first == by.options.descending
                    || column.not_null
                    || valued == Some(*id);
                let turns = *backward.get_or_insert(by.options.descending) == by.options.descending;
                if !nulls_fit || !turns {
                    return None;
                }
                rest = later;
            }
            // Rows of a key that are equal in all its columns are one row.
            None if key.is_some() => break,
            _ => return None,
        }
    }
    Some(Walk {
        range,
        backward: backward?,
    })
}

/// Reads rows in the order of an index, live ones of both tiers. It gives up, and says so, when that takes too
/// many reads.
pub(crate) struct IndexWalkExec {
    pub(crate) scanned: Arc<Scanned>,
    pub(crate) walk: Walk,
    /// How many rows are likely to be asked for.
    first: usize,
    gave_up: Arc<AtomicBool>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl IndexWalkExec {
    pub(crate) fn new(
        scanned: Arc<Scanned>,
        walk: Walk,
        first: usize,
        gave_up: Arc<AtomicBool>,
        schema: SchemaRef,
    ) -> IndexWalkExec {
        IndexWalkExec {
            scanned,
            walk,
            first,
            gave_up,
            properties: properties(schema, 1),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

/// Where a walk stands.
pub(crate) struct Steps {
    scanned: Arc<Scanned>,
    walk: Walk,
    schema: SchemaRef,
    most: Reads,
    from: Option<IndexPlace>,
    rows: usize,
    entries: usize,
    cold: usize,
    cold_rows: Count,
}

impl Steps {
    /// From the beginning of a walk through a table of one partition, of which `first` rows are likely to be asked for.
    pub(crate) fn new(
        scanned: Arc<Scanned>,
        walk: Walk,
        schema: SchemaRef,
        first: usize,
        most: Reads,
    ) -> Steps {
        Steps {
            scanned,
            walk,
            schema,
            most,
            from: None,
            rows: first.clamp(16, STEP_ROWS_MAX),
            entries: 0,
            cold: 0,
            cold_rows: Count::new(),
        }
    }

    /// How many entries the next step looks at, at most.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The next entries, those in the hot tier read; `None` when it takes too many reads. Blocking.
    pub(crate) fn look(mut self) -> Result<Option<Looked>, StorageError> {
        let Scanned {
            table,
            partitions,
            scope,
            ..
        } = &*self.scanned;
        let PartitionSet::One(partition) = partitions else {
            return Ok(None);
        };
        if self.entries >= self.most.entries || self.cold >= self.most.cold {
            return Ok(None);
        }
        let snapshot = &scope.snapshot;
        let step = snapshot.index_step(
            table,
            partition,
            &self.walk.range,
            self.walk.backward,
            self.from.as_ref(),
            self.rows,
        )?;
        let Some(step) = step else {
            return Ok(None);
        };
        self.entries += step.looked_at;
        let (mut versions, mut cold) = (Vec::with_capacity(step.seqs.len()), Vec::new());
        for (at, seq) in step.seqs.into_iter().enumerate() {
            match snapshot.version(table, partition, seq)? {
                Lookup::Hot(version) => versions.push((at, version)),
                Lookup::Cold(seq) => cold.push((at, seq)),
                Lookup::Absent => {}
            }
        }
        self.cold += cold.len();
        if self.cold > self.most.cold {
            return Ok(None);
        }
        self.cold_rows.add(cold.len());
        self.rows = (self.rows * 2).min(STEP_ROWS_MAX);
        let more = step.next.is_some();
        self.from = step.next;
        Ok(Some(Looked {
            versions,
            cold,
            more,
            steps: self,
        }))
    }
}

/// Entries that a walk has looked at.
pub(crate) struct Looked {
    /// With their places among the entries.
    versions: Vec<(usize, RowVersion)>,
    cold: Vec<(usize, Seq)>,
    more: bool,
    /// What it looked at, and the rest.
    steps: Steps,
}

impl Looked {
    /// Whether none of them is in a file.
    pub(crate) fn is_hot(&self) -> bool {
        self.cold.is_empty()
    }

    /// Their rows, and the walk behind them unless they were the last. Blocking, unless they are hot.
    pub(crate) fn read(self) -> Result<(RecordBatch, Option<Steps>), StorageError> {
        let Looked {
            mut versions,
            cold,
            more,
            steps,
        } = self;
        let Scanned {
            table,
            partitions,
            scope,
            columns,
            ..
        } = &*steps.scanned;
        let PartitionSet::One(partition) = partitions else {
            unreachable!("it looks into one partition");
        };
        for (at, seq) in cold {
            let version = (scope.store).read_cold(&scope.snapshot, table, partition, seq)?;
            versions.push((at, version));
        }
        versions.sort_unstable_by_key(|(at, _)| *at);
        let versions: Vec<RowVersion> = versions.into_iter().map(|(_, version)| version).collect();
        let batch = batch_of(table, &versions, partition, columns, steps.schema.clone());
        let batch = batch.map_err(|error| StorageError::Corrupt(error.to_string()))?;
        Ok((batch, more.then_some(steps)))
    }
}

impl std::fmt::Debug for IndexWalkExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexWalkExec")
            .field("table", &self.scanned.table.name)
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for IndexWalkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (table, walk) = (&self.scanned.table, &self.walk);
        write!(
            f,
            "IndexWalkExec: table={}.{}, index={}, backward={}",
            table.schema,
            table.name,
            walk.range.index.get(),
            walk.backward
        )
    }
}

impl ExecutionPlan for IndexWalkExec {
    fn name(&self) -> &str {
        "IndexWalkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let rows = BaselineMetrics::new(&self.metrics, partition);
        let (scanned, walk) = (self.scanned.clone(), self.walk.clone());
        let most = Reads::of_first_rows(&scanned);
        let mut steps = Steps::new(scanned, walk, schema.clone(), self.first, most);
        steps.cold_rows = MetricBuilder::new(&self.metrics).counter(COLD_ROWS, partition);
        self.gave_up.store(false, Ordering::SeqCst);
        let gave_up = self.gave_up.clone();
        // Each step is taken when its rows are asked for.
        let batches = futures::stream::try_unfold(Some(steps), move |steps| {
            let (gave_up, rows) = (gave_up.clone(), rows.clone());
            async move {
                let Some(steps) = steps else {
                    return Ok(None);
                };
                let step = move || steps.look()?.map(Looked::read).transpose();
                let Some((batch, next)) = blocking(step).await? else {
                    gave_up.store(true, Ordering::SeqCst);
                    return Ok(None);
                };
                rows.record_output(batch.num_rows());
                Ok::<_, DataFusionError>(Some((batch, next)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The first rows of an order: by an index, and by a scan where the index gave up.
pub(crate) struct FirstRowsExec {
    pub(crate) walk: Arc<dyn ExecutionPlan>,
    pub(crate) scan: Arc<dyn ExecutionPlan>,
    gave_up: Arc<AtomicBool>,
}

impl FirstRowsExec {
    /// `walk` says in `gave_up` that its rows are not all; `scan` then gives the same ones.
    pub(crate) fn new(
        walk: Arc<dyn ExecutionPlan>,
        scan: Arc<dyn ExecutionPlan>,
        gave_up: Arc<AtomicBool>,
    ) -> FirstRowsExec {
        FirstRowsExec {
            walk,
            scan,
            gave_up,
        }
    }

    /// Whether the rows that were read last came from the scan.
    pub(crate) fn scanned(&self) -> bool {
        self.gave_up.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for FirstRowsExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstRowsExec")
            .field("walk", &self.walk)
            .field("scan", &self.scan)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for FirstRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FirstRowsExec")
    }
}

impl ExecutionPlan for FirstRowsExec {
    fn name(&self) -> &str {
        "FirstRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.walk, &self.scan]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [walk, scan] = <[_; 2]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("FirstRowsExec has two children".to_string()))?;
        Ok(Arc::new(FirstRowsExec::new(
            walk,
            scan,
            self.gave_up.clone(),
        )))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let walked = self.walk.execute(partition, context.clone())?;
        let (scan, gave_up) = (self.scan.clone(), self.gave_up.clone());
        let batches = futures::stream::once(async move {
            let batches: Vec<RecordBatch> = walked.try_collect().await?;
            if gave_up.load(Ordering::SeqCst) {
                return scan.execute(partition, context);
            }
            let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
            let schema = scan.schema();
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)) as SendableRecordBatchStream)
        });
        let batches = batches.try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
