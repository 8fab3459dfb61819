//! The hot tier, and a transaction's own rows, as a plan.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::config::ConfigOptions;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use tidelog_storage::{HotScan, PartitionSet};

use crate::provider::{SEQ, Scope, properties};

/// Reads the hot tier and the transaction's own rows.
#[derive(Clone)]
pub(crate) struct HotExec {
    scan: HotScan,
    scope: Arc<Scope>,
    /// Filters on `_seq` alone that get narrower while the query runs: a TopK's.
    until: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl HotExec {
    pub(crate) fn new(scan: HotScan, scope: Arc<Scope>, schema: SchemaRef) -> HotExec {
        HotExec {
            scan,
            scope,
            until: Vec::new(),
            properties: properties(schema, 1),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same rows, each partition's newest first.
    pub(crate) fn newest_first(&self) -> HotExec {
        let mut exec = self.clone();
        exec.scan.newest_first = true;
        exec.metrics = ExecutionPlanMetricsSet::new();
        exec
    }
}

impl std::fmt::Debug for HotExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HotExec")
            .field("table", &self.scan.table.name)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for HotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "HotExec: table={}.{}, newest_first={}",
            self.scan.table.schema, self.scan.table.name, self.scan.newest_first
        )
    }
}

impl ExecutionPlan for HotExec {
    fn name(&self) -> &str {
        "HotExec"
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

    fn fetch(&self) -> Option<usize> {
        self.scan.limit
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut exec = self.clone();
        exec.scan.limit = limit;
        exec.metrics = ExecutionPlanMetricsSet::new();
        Some(Arc::new(exec))
    }

    /// Keeps what can end a scan from the newest row back. Nothing is filtered here.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let on_seq = |filter: &Arc<dyn PhysicalExpr>| {
            let columns = collect_columns(filter);
            !columns.is_empty() && columns.iter().all(|column| column.name() == SEQ)
        };
        let filters = result.parent_filters.iter().map(|filter| &filter.filter);
        let until: Vec<_> = filters.filter(|filter| on_seq(filter)).cloned().collect();
        let ends = self.scan.newest_first
            && matches!(self.scan.partitions, PartitionSet::One(_))
            && matches!(phase, FilterPushdownPhase::Post)
            && !until.is_empty();
        let propagation = FilterPushdownPropagation::all_unsupported(result);
        if !ends {
            return Ok(propagation);
        }
        let exec = HotExec {
            until,
            ..self.clone()
        };
        Ok(propagation.with_updated_node(Arc::new(exec)))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let mut builder = RecordBatchReceiverStream::builder(schema.clone(), 2);
        let sender = builder.tx();
        let HotExec {
            scan, scope, until, ..
        } = self.clone();
        let rows = BaselineMetrics::new(&self.metrics, partition);
        let seq_at = schema.index_of(SEQ).ok();
        builder.spawn_blocking(move || {
            // Rows that depend on the transaction are read to their end before the statement returns, so only
            // then is the lock held while batches wait for their reader.
            let transaction =
                Some(scope.transaction.read()).filter(|transaction| !transaction.is_empty());
            let mut send = |batch: RecordBatch| {
                rows.record_output(batch.num_rows());
                let oldest = (seq_at.filter(|_| !until.is_empty()))
                    .and_then(|at| batch.column(at).as_primitive::<Int64Type>().values().last())
                    .copied();
                // Storage names no columns; the plan's schema does.
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let named = RecordBatch::try_new_with_options(
                    schema.clone(),
                    batch.columns().to_vec(),
                    &options,
                );
                match sender.blocking_send(named.map_err(DataFusionError::from)) {
                    Ok(()) if oldest.is_some_and(|oldest| none_before(&until, oldest)) => {
                        ControlFlow::Break(())
                    }
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            };
            scope
                .snapshot
                .scan_hot(&scan, transaction.as_deref(), &mut send)
                .map_err(|e| DataFusionError::External(Box::new(e)))
        });
        Ok(builder.build())
    }
}

/// Whether the filters, as they are now, let no row with a lower `_seq` through.
fn none_before(filters: &[Arc<dyn PhysicalExpr>], seq: i64) -> bool {
    let schema = Arc::new(Schema::new(vec![Field::new(SEQ, DataType::Int64, false)]));
    filters.iter().any(|filter| {
        let predicate =
            datafusion::physical_expr::utils::reassign_expr_columns(filter.clone(), &schema);
        let predicate = predicate.ok().and_then(|filter| {
            PruningPredicateBuilder::new()
                .with_file_schema(schema.clone())
                .build(filter)
        });
        predicate.is_some_and(|predicate| {
            (predicate.prune(&Before(seq))).is_ok_and(|kept| kept == [false])
        })
    })
}

/// What is known of the rows with a lower `_seq`.
struct Before(i64);

impl PruningStatistics for Before {
    fn min_values(&self, _: &Column) -> Option<ArrayRef> {
        Some(Arc::new(Int64Array::from(vec![0])))
    }

    fn max_values(&self, _: &Column) -> Option<ArrayRef> {
        Some(Arc::new(Int64Array::from(vec![self.0 - 1])))
    }

    fn num_containers(&self) -> usize {
        1
    }

    /// No `_seq` is NULL, which an order with the NULLs first asks for.
    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![0])))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
