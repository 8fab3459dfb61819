//! A table's rows out of both tiers, as one node of a plan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::PartitionSet;
use tidelog_storage::TableDef;
use tidelog_storage::snapshot::{IndexRange, ScanColumn};

use crate::cold_scan::{ColdExec, FileCounts};
use crate::hot_scan::HotExec;
use crate::provider::{Scope, properties};

/// Rows of larger tables come as they are read.
const ROWS_IN_ORDER: u64 = 100_000;

/// What a scan is of.
pub(crate) struct Scanned {
    pub(crate) table: Arc<TableDef>,
    pub(crate) partitions: PartitionSet,
    pub(crate) columns: Vec<ScanColumn>,
    /// What the plan filters by, as far as it is known when it is made.
    pub(crate) filters: Vec<Expr>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) files: FileCounts,
    /// Rows in both tiers, about, without the files that are ruled out.
    pub(crate) rows: u64,
}

/// The rows of a table: its hot tier, then its cold files.
pub(crate) struct TableExec {
    pub(crate) scanned: Arc<Scanned>,
    tiers: Vec<Arc<dyn ExecutionPlan>>,
    /// One tier after the other, in one stream, instead of all at once.
    in_turn: bool,
    properties: Arc<PlanProperties>,
}

impl TableExec {
    /// `tiers` have the schema.
    pub(crate) fn new(
        scanned: Arc<Scanned>,
        tiers: Vec<Arc<dyn ExecutionPlan>>,
        schema: SchemaRef,
    ) -> TableExec {
        TableExec::over(scanned, tiers, false, schema)
    }

    fn over(
        scanned: Arc<Scanned>,
        tiers: Vec<Arc<dyn ExecutionPlan>>,
        in_turn: bool,
        schema: SchemaRef,
    ) -> TableExec {
        let count = |tier: &Arc<dyn ExecutionPlan>| tier.output_partitioning().partition_count();
        let partitions = if in_turn {
            1
        } else {
            tiers.iter().map(count).sum()
        };
        TableExec {
            scanned,
            tiers,
            in_turn,
            properties: properties(schema, partitions),
        }
    }

    /// How many rows are asked of it, where it is but one tier.
    pub(crate) fn fetch_of_one(&self) -> Option<usize> {
        let [tier] = self.tiers.as_slice() else {
            return None;
        };
        match tier.downcast_ref::<CooperativeExec>() {
            Some(yielding) => yielding.input().fetch(),
            None => tier.fetch(),
        }
    }

    /// The same rows in one stream as they are stored, the oldest first, unless they are many or of several users: to read those from all
    /// sides at once is worth more.
    pub(crate) fn as_stored(&self) -> Option<TableExec> {
        let is_one = matches!(self.scanned.partitions, PartitionSet::One(_));
        if !is_one || self.in_turn || self.scanned.rows > ROWS_IN_ORDER {
            return None;
        }
        let tiers = self.tiers.iter().rev().cloned().collect();
        let scanned = self.scanned.clone();
        Some(TableExec::over(scanned, tiers, true, self.schema()))
    }

    /// The same rows in one stream, those first that are likely to be the first in this order: what reads only
    /// a few of them then need not read the rest. The stream is not sorted.
    pub(crate) fn in_order(&self, order: &[PhysicalSortExpr]) -> Result<TableExec> {
        let newest_first = order.first().is_some_and(|first| first.options.descending);
        let mut tiers = Vec::with_capacity(self.tiers.len());
        for tier in &self.tiers {
            let tier: Arc<dyn ExecutionPlan> = if let Some(hot) = tier.downcast_ref::<HotExec>()
                && newest_first
            {
                Arc::new(hot.newest_first())
            } else if let Some(cold) = tier.downcast_ref::<ColdExec>() {
                cold.in_order(order)?
            } else {
                tier.clone()
            };
            tiers.push(tier);
        }
        // The hot tier has the newest rows, and later schema versions have newer files.
        if !newest_first {
            tiers.reverse();
        }
        Ok(TableExec::over(
            self.scanned.clone(),
            tiers,
            true,
            self.schema(),
        ))
    }
}

impl std::fmt::Debug for TableExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableExec")
            .field("table", &self.scanned.table.name)
            .field("tiers", &self.tiers)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for TableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Scanned { table, files, .. } = &*self.scanned;
        write!(
            f,
            "TableExec: table={}.{}, in_turn={}, files={}, pruned={}",
            table.schema, table.name, self.in_turn, files.considered, files.pruned
        )
    }
}

impl ExecutionPlan for TableExec {
    fn name(&self) -> &str {
        "TableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.tiers.iter().collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.tiers.len()]
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
        Ok(Arc::new(TableExec::over(
            self.scanned.clone(),
            children,
            self.in_turn,
            self.schema(),
        )))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let count = |tier: &Arc<dyn ExecutionPlan>| tier.output_partitioning().partition_count();
        if self.in_turn {
            let parts: Vec<_> = (self.tiers.iter())
                .flat_map(|tier| (0..count(tier)).map(|part| (tier.clone(), part)))
                .collect();
            // The next part is begun only when the one before has nothing more.
            let streams = futures::stream::iter(parts)
                .map(move |(tier, part)| tier.execute(part, context.clone()));
            let rows = streams.try_flatten();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)));
        }
        let mut part = partition;
        for tier in &self.tiers {
            if part < count(tier) {
                return tier.execute(part, context);
            }
            part -= count(tier);
        }
        Err(DataFusionError::Internal(format!(
            "a table has no part {partition}"
        )))
    }
}

/// How rows were found before their plan runs.
#[derive(Clone)]
pub(crate) enum Found {
    /// By parts of keys or indexes, so many of them in the hot tier and in cold files.
    Index {
        table: Arc<TableDef>,
        ranges: Arc<[IndexRange]>,
        filters: Vec<Expr>,
        hot: usize,
        cold: usize,
    },
    /// They are all rows of a system relation.
    Relation {
        schema: String,
        name: String,
        rows: usize,
    },
}

impl Found {
    /// How many.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Found::Index { hot, cold, .. } => hot + cold,
            Found::Relation { rows, .. } => *rows,
        }
    }
}

/// Rows that were found before the plan runs, with how they were.
pub(crate) struct FoundExec {
    pub(crate) found: Found,
    rows: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl FoundExec {
    pub(crate) fn new(found: Found, rows: Arc<dyn ExecutionPlan>) -> FoundExec {
        FoundExec {
            found,
            rows,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl std::fmt::Debug for FoundExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundExec")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for FoundExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundExec")
    }
}

impl ExecutionPlan for FoundExec {
    fn name(&self) -> &str {
        "FoundExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.rows.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.rows]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = children
            .pop()
            .ok_or_else(|| DataFusionError::Internal("FoundExec has one child".to_string()))?;
        Ok(Arc::new(FoundExec::new(self.found.clone(), rows)))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = BaselineMetrics::new(&self.metrics, partition);
        let counted = self
            .rows
            .execute(partition, context)?
            .inspect_ok(move |batch| {
                rows.record_output(batch.num_rows());
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            counted,
        )))
    }
}
