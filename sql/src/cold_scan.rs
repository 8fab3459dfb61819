//! Cold files as plans: DataFusion's own Parquet source, then visibility and the table's present columns on top.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, conjunction_opt};
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::sort_pushdown::SortOrderPushdownResult;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;
use tidelog_storage::cold::ColdFile;
use tidelog_storage::cold::bounds::Bounds;
use tidelog_storage::snapshot::ScanColumn;
use tidelog_storage::{ColumnType, Partition, Seq, TableDef, datum};

use crate::numbers;
use crate::provider::{SEQ, Scope, USER, blocking, properties};

mod dead;
mod prune;
mod reader;
mod stored;

use dead::Dead;

/// The URL under which DataFusion's runtime knows the store of cold files.
pub(crate) const STORE_URL: &str = "tidelog://cold";
/// Files that are judged one by one before each is opened: of more, that would cost more than it saves.
const JUDGED_FILES_MAX: usize = 2_000;
/// The counter of the rows that the dead set took out.
pub(crate) const DEAD_ROWS: &str = "dead_rows";

/// What to read from which files.
pub(crate) struct ColdScan {
    pub(crate) table: Arc<TableDef>,
    pub(crate) columns: Vec<ScanColumn>,
    pub(crate) schema: SchemaRef,
    pub(crate) scope: Arc<Scope>,
    pub(crate) files: Vec<ColdFile>,
}

/// How many of a table's files a scan has to look into.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FileCounts {
    /// Files of the partitions that are read.
    pub(crate) considered: usize,
    /// Those that the manifest rules out.
    pub(crate) pruned: usize,
    /// Rows in the others.
    pub(crate) rows: u64,
}

/// One plan per schema version among the files, the newest first: its columns are known without opening a file.
pub(crate) async fn plan(
    mut scan: ColdScan,
    state: &dyn Session,
    filters: &[Expr],
) -> Result<(Vec<Arc<dyn ExecutionPlan>>, FileCounts)> {
    let mut counts = FileCounts {
        considered: scan.files.len(),
        ..FileCounts::default()
    };
    let files = prune::files(&scan.table, std::mem::take(&mut scan.files), state, filters)?;
    counts.pruned = counts.considered - files.len();
    counts.rows = files.iter().map(|(file, _)| file.rows).sum();
    let (dead, files) = {
        let (scope, id) = (scan.scope.clone(), scan.table.id);
        blocking(move || {
            let mut dead = Vec::new();
            for (file, _) in &files {
                dead.extend(scope.snapshot.dead_in(id, file)?);
            }
            Ok((Arc::new(Dead::new(dead)), files))
        })
        .await?
    };
    let last = scan.scope.snapshot.seq();
    let hides = !dead.is_empty()
        || files.iter().any(|(file, _)| file.last_seq > last)
        || scan.scope.transaction.read().supersedes_any(scan.table.id);
    let mut versions: BTreeMap<u32, Vec<(ColdFile, Bounds)>> = BTreeMap::new();
    for file in files {
        (versions.entry(file.0.schema_version).or_default()).push(file);
    }
    let bytes = prune::of_bytes(&scan.table, state, filters)?;
    let plan = |(version, files)| plan_version(&scan, state, version, files, &bytes, &dead, hides);
    let plans: Result<Vec<_>> = versions.into_iter().rev().map(plan).collect();
    Ok((plans?, counts))
}

fn plan_version(
    scan: &ColdScan,
    state: &dyn Session,
    version: u32,
    files: Vec<(ColdFile, Bounds)>,
    bytes: &[Arc<dyn PhysicalExpr>],
    dead: &Arc<Dead>,
    hides: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let layout = scan.table.layouts.get(&version).ok_or_else(|| {
        DataFusionError::Internal(format!(
            "table {} has no schema version {version}",
            scan.table.name
        ))
    })?;
    // The file's columns that the table still has, then `_seq`; the partition's user is added per file.
    // Each has the type that it had then.
    let type_of = |id| {
        let held = layout.iter().find(|(held, _)| *held == id);
        held.map(|(_, ty)| *ty)
    };
    let held: Vec<(usize, ColumnType)> = (scan.table.columns.iter().enumerate())
        .filter_map(|(at, column)| Some((at, type_of(column.id)?)))
        .collect();
    let mut fields: Vec<Field> = Vec::new();
    for (at, ty) in &held {
        let column = &scan.table.columns[*at];
        fields.push(Field::new(&column.stored_name, ty.stored_arrow(), true));
    }
    fields.push(Field::new(SEQ, DataType::Int64, false));
    let (seq_index, user_index) = (fields.len() - 1, fields.len());
    let file_schema = Arc::new(Schema::new(fields));

    // The source gives the columns under their SQL names, so that filters and orders mean the same above and in it.
    let seq = || Arc::new(Column::new(SEQ, seq_index)) as Arc<dyn PhysicalExpr>;
    let user = || Arc::new(Column::new(USER, user_index)) as Arc<dyn PhysicalExpr>;
    let mut outputs: Vec<ProjectionExpr> = Vec::new();
    for (column, field) in scan.columns.iter().zip(scan.schema.fields()) {
        let expr = match column {
            ScanColumn::Seq => seq(),
            ScanColumn::User => user(),
            ScanColumn::Column(id) => {
                let index =
                    (scan.table.index_of(*id)).expect("the relation's columns are the table's");
                let column = &scan.table.columns[index];
                match held.iter().position(|(at, _)| *at == index) {
                    Some(at) => {
                        let stored = Arc::new(Column::new(&column.stored_name, at));
                        let (from, to) = (held[at].1, column.ty);
                        if from.stored_arrow() != from.arrow() {
                            stored::expr(stored, from)
                        } else if from != to && to == ColumnType::Numeric(None) {
                            stored::expr(stored, to)
                        } else if from.arrow() != to.arrow() {
                            // The column was widened since.
                            Arc::new(CastExpr::new(stored, to.arrow(), None)) as _
                        } else {
                            stored as _
                        }
                    }
                    // The files are older than the column.
                    None => {
                        let mut builder = datum::ColumnBuilder::new(column.ty);
                        builder.append(column.missing.as_ref());
                        let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
                        Arc::new(Literal::new(value)) as _
                    }
                }
            }
        };
        outputs.push(ProjectionExpr::new(expr, field.name()));
    }
    let mut place = |name: &str, expr: Arc<dyn PhysicalExpr>| {
        let present = outputs.iter().position(|output| output.alias == name);
        present.unwrap_or_else(|| {
            outputs.push(ProjectionExpr::new(expr, name));
            outputs.len() - 1
        })
    };
    let hidden = hides.then(|| (place(SEQ, seq()), place(USER, user())));

    let judged = files.len() <= JUDGED_FILES_MAX;
    let partitioned = files.iter().map(|(file, bounds)| {
        let sealed = file.sealed();
        let partitioned = PartitionedFile::new(file.path.clone(), file.bytes)
            .with_partition_values(vec![ScalarValue::from(file.partition.as_str())])
            .with_extension(sealed.map_err(|error| DataFusionError::External(Box::new(error)))?);
        if !judged {
            return Ok(partitioned);
        }
        let statistics = prune::statistics(&scan.table, &held, file, bounds)?;
        Ok(partitioned.with_statistics(Arc::new(statistics)))
    });
    let partitioned: Vec<PartitionedFile> = partitioned.collect::<Result<_>>()?;
    let readers = reader::ColdReaders::new(scan.scope.store.clone(), partitioned.iter());
    let partition_field = Arc::new(Field::new(USER, DataType::Utf8, false));
    let mut source = ParquetSource::new(
        TableSchema::builder(file_schema)
            .with_table_partition_cols(vec![partition_field])
            .build(),
    )
    .with_parquet_file_reader_factory(Arc::new(readers))
    .with_bloom_filter_on_read(true)
    .with_enable_page_index(true);
    let as_it_is = |name: &str| match name {
        SEQ => Some(seq()),
        USER => Some(user()),
        name => {
            let column = |(at, _): &(usize, ColumnType)| scan.table.columns[*at].name == name;
            let at = held.iter().position(column)?;
            let column = &scan.table.columns[held[at].0];
            let is_same = held[at].1 == column.ty && column.ty.stored_arrow() == column.ty.arrow();
            is_same.then(|| Arc::new(Column::new(&column.stored_name, at)) as _)
        }
    };
    let bytes = bytes.iter().cloned();
    let bytes = bytes.filter_map(|condition| numbers::over(condition, &as_it_is));
    if let Some(condition) = conjunction_opt(bytes) {
        source = source.with_predicate(condition);
    }
    let source = source
        .try_pushdown_projection(&ProjectionExprs::new(outputs))?
        .ok_or_else(|| {
            DataFusionError::Internal("Parquet files cannot be projected".to_string())
        })?;
    let groups = FileGroup::new(partitioned).split_files(state.config().target_partitions().max(1));
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, source)
        .with_file_groups(groups)
        .build();
    Ok(Arc::new(ColdExec::new(
        DataSourceExec::from_data_source(config),
        scan,
        hidden,
        dead.clone(),
    )))
}

/// Leaves out versions that are dead, or of the future of the snapshot. Its first columns are those of the files' plan.
pub(crate) struct ColdExec {
    files: Arc<dyn ExecutionPlan>,
    table: Arc<TableDef>,
    scope: Arc<Scope>,
    /// Where `_seq` and `_user` stand in the files' plan, when any version may have to be left out.
    hidden: Option<(usize, usize)>,
    dead: Arc<Dead>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ColdExec {
    fn new(
        files: Arc<dyn ExecutionPlan>,
        scan: &ColdScan,
        hidden: Option<(usize, usize)>,
        dead: Arc<Dead>,
    ) -> ColdExec {
        let partitions = files.output_partitioning().partition_count();
        ColdExec {
            files,
            table: scan.table.clone(),
            scope: scan.scope.clone(),
            hidden,
            dead,
            properties: properties(scan.schema.clone(), partitions),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn over(&self, files: Arc<dyn ExecutionPlan>) -> Arc<ColdExec> {
        let partitions = files.output_partitioning().partition_count();
        Arc::new(ColdExec {
            files,
            table: self.table.clone(),
            scope: self.scope.clone(),
            hidden: self.hidden,
            dead: self.dead.clone(),
            properties: properties(self.schema(), partitions),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same rows out of one stream, of which the first are likely to be the first in this order.
    pub(crate) fn in_order(&self, order: &[PhysicalSortExpr]) -> Result<Arc<ColdExec>> {
        let unknown =
            || DataFusionError::Internal("cold files are read by another plan".to_string());
        let source = self
            .files
            .downcast_ref::<DataSourceExec>()
            .ok_or_else(unknown)?;
        let config = source
            .data_source()
            .downcast_ref::<FileScanConfig>()
            .ok_or_else(unknown)?;
        let mut files: Vec<PartitionedFile> = config
            .file_groups
            .iter()
            .flat_map(FileGroup::iter)
            .cloned()
            .collect();
        if order.first().is_some_and(|first| first.options.descending) {
            files.reverse();
        }
        let config = FileScanConfigBuilder::from(config.clone())
            .with_file_groups(vec![FileGroup::new(files)])
            .build();
        let files: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        Ok(self.over(match files.try_pushdown_sort(order)? {
            SortOrderPushdownResult::Exact { inner }
            | SortOrderPushdownResult::Inexact { inner } => inner,
            SortOrderPushdownResult::Unsupported => files,
        }))
    }
}

impl std::fmt::Debug for ColdExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdExec")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for ColdExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ColdExec: table={}.{}, dead={}",
            self.table.schema,
            self.table.name,
            self.dead.len()
        )
    }
}

impl ExecutionPlan for ColdExec {
    fn name(&self) -> &str {
        "ColdExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.files]
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
        let files = children
            .pop()
            .ok_or_else(|| DataFusionError::Internal("ColdExec has one child".to_string()))?;
        Ok(self.over(files))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Where nothing is dead, as many rows come out as go in.
    fn supports_limit_pushdown(&self) -> bool {
        self.hidden.is_none()
    }

    /// What is filtered above may be filtered below: dead rows are left out wherever they come from.
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
        let schema = self.schema();
        let files = self.files.execute(partition, context)?;
        let view = View {
            table: self.table.clone(),
            scope: self.scope.clone(),
            hidden: self.hidden,
            dead: self.dead.clone(),
            schema: schema.clone(),
            removed: MetricBuilder::new(&self.metrics).counter(DEAD_ROWS, partition),
        };
        let batches = files.map(move |batch| view.apply(batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// What `ColdExec` does to each batch.
struct View {
    table: Arc<TableDef>,
    scope: Arc<Scope>,
    hidden: Option<(usize, usize)>,
    dead: Arc<Dead>,
    schema: SchemaRef,
    removed: Count,
}

impl View {
    fn apply(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let batch = match self.hidden {
            None => batch,
            Some((seq, user)) => {
                let alive = self.alive(batch.column(seq), batch.column(user));
                self.removed.add(batch.num_rows() - alive.true_count());
                filter_record_batch(&batch, &alive)?
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns()[..self.schema.fields().len()].to_vec();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(batch)
    }

    fn alive(&self, seqs: &ArrayRef, users: &ArrayRef) -> BooleanArray {
        let transaction = self.scope.transaction.read();
        let superseding = transaction.supersedes_any(self.table.id);
        let last = self.scope.snapshot.seq();
        let users = users.as_string::<i32>();
        let mut dead = self.dead.walk();
        let alive = |(row, seq): (usize, &i64)| {
            let seq = Seq::from_i64(*seq).unwrap_or(Seq::ZERO);
            let superseded = || {
                superseding
                    && transaction.superseded(
                        self.table.id,
                        &Partition::user(users.value(row)),
                        seq,
                    )
            };
            seq <= last && !dead.finds(seq) && !superseded()
        };
        let seqs = seqs.as_primitive::<Int64Type>().values().iter();
        let alive: BooleanBuffer = seqs.enumerate().map(alive).collect();
        BooleanArray::new(alive, None)
    }
}
