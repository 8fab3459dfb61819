//! Cold files as plans: DataFusion's own Parquet source, then visibility and the table's present columns on top.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;
use tidelog_storage::cold::ColdFile;
use tidelog_storage::snapshot::ScanColumn;
use tidelog_storage::{ColumnType, Partition, Seq, TableDef, datum};

use crate::provider::{SEQ, Scope, USER, blocking, properties};

mod reader;

/// The URL under which DataFusion's runtime knows the store of cold files.
pub(crate) const STORE_URL: &str = "tidelog://cold";

/// What to read from which files.
pub(crate) struct ColdScan {
    pub(crate) table: Arc<TableDef>,
    pub(crate) columns: Vec<ScanColumn>,
    pub(crate) schema: SchemaRef,
    pub(crate) scope: Arc<Scope>,
    pub(crate) files: Vec<ColdFile>,
}

/// Where an output column comes from.
#[derive(Clone)]
enum Source {
    /// A column of the file's plan.
    File(usize),
    /// A column of the file's plan that holds values of this type in another form.
    Stored(usize, ColumnType),
    /// The value for rows older than the column.
    Missing(ScalarValue),
}

/// One plan per schema version among the files: its columns are known without opening a file.
pub(crate) async fn plan(
    mut scan: ColdScan,
    state: &dyn Session,
    filters: &[Expr],
) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let files = std::mem::take(&mut scan.files);
    let (dead, files) = {
        let (scope, id) = (scan.scope.clone(), scan.table.id);
        blocking(move || {
            let mut dead = HashSet::new();
            for file in &files {
                dead.extend(scope.snapshot.dead_in(id, file)?);
            }
            Ok((Arc::new(dead), files))
        })
        .await?
    };
    let hides = !dead.is_empty() || scan.scope.transaction.read().supersedes_any(scan.table.id);
    let mut versions: BTreeMap<u32, Vec<ColdFile>> = BTreeMap::new();
    for file in files {
        versions.entry(file.schema_version).or_default().push(file);
    }
    let plan = |(version, files)| plan_version(&scan, state, filters, version, files, &dead, hides);
    versions.into_iter().map(plan).collect()
}

fn plan_version(
    scan: &ColdScan,
    state: &dyn Session,
    filters: &[Expr],
    version: u32,
    files: Vec<ColdFile>,
    dead: &Arc<HashSet<Seq>>,
    hides: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let layout = scan.table.layouts.get(&version).ok_or_else(|| {
        DataFusionError::Internal(format!(
            "table {} has no schema version {version}",
            scan.table.name
        ))
    })?;
    // The file's columns that the table still has, then `_seq`; the partition's user is added per file.
    let held = |id| layout.iter().any(|(held, _)| *held == id);
    let mut fields: Vec<Field> = Vec::new();
    for column in scan.table.columns.iter().filter(|column| held(column.id)) {
        fields.push(Field::new(
            &column.stored_name,
            column.ty.stored_arrow(),
            true,
        ));
    }
    fields.push(Field::new(SEQ, DataType::Int64, false));
    let (seq_index, user_index) = (fields.len() - 1, fields.len());
    let file_schema = Arc::new(Schema::new(fields));

    let mut projection: Vec<usize> = Vec::new();
    let mut project = |index: usize| match projection.iter().position(|have| *have == index) {
        Some(at) => at,
        None => {
            projection.push(index);
            projection.len() - 1
        }
    };
    let mut sources = Vec::new();
    for column in &scan.columns {
        sources.push(match column {
            ScanColumn::Seq => Source::File(project(seq_index)),
            ScanColumn::User => Source::File(project(user_index)),
            ScanColumn::Column(id) => {
                let index = scan
                    .table
                    .index_of(*id)
                    .expect("the relation's columns are the table's");
                let column = &scan.table.columns[index];
                match file_schema.index_of(&column.stored_name) {
                    Ok(index) if held(*id) => match column.ty {
                        ty if ty.stored_arrow() != ty.arrow() => Source::Stored(project(index), ty),
                        _ => Source::File(project(index)),
                    },
                    _ => {
                        let mut builder = datum::ColumnBuilder::new(column.ty);
                        builder.append(column.missing.as_ref());
                        Source::Missing(ScalarValue::try_from_array(&builder.finish(), 0)?)
                    }
                }
            }
        });
    }
    let hidden = hides.then(|| (project(seq_index), project(user_index)));

    let url = ObjectStoreUrl::parse(STORE_URL)?;
    let readers = reader::ColdReaders::new(scan.scope.store.clone(), &files);
    let partition_field = Arc::new(Field::new(USER, DataType::Utf8, false));
    let mut source = ParquetSource::new(
        TableSchema::builder(file_schema.clone())
            .with_table_partition_cols(vec![partition_field])
            .build(),
    )
    .with_parquet_file_reader_factory(Arc::new(readers))
    .with_bloom_filter_on_read(true)
    .with_enable_page_index(true);
    if let Some(predicate) = file_predicate(scan, state, filters, &file_schema)? {
        source = source.with_predicate(predicate);
    }
    let partitioned = files.into_iter().map(|file| {
        PartitionedFile::new(file.path, file.bytes)
            .with_partition_values(vec![ScalarValue::from(file.partition.as_str())])
    });
    let groups = FileGroup::new(partitioned.collect())
        .split_files(state.config().target_partitions().max(1));
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(groups)
        .with_projection_indices(Some(projection))?
        .build();
    let files = DataSourceExec::from_data_source(config);
    Ok(Arc::new(ColdExec::new(
        files,
        scan,
        sources,
        hidden,
        dead.clone(),
    )))
}

/// The filters that a file's statistics, Bloom filters and page index can judge, in the file's names.
fn file_predicate(
    scan: &ColdScan,
    state: &dyn Session,
    filters: &[Expr],
    file_schema: &SchemaRef,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let stored = |name: &str| {
        let stored = if name == SEQ {
            SEQ
        } else {
            let column = &scan.table.columns[scan.table.column_index(name)?];
            // What is stored in another form compares otherwise.
            if column.ty.stored_arrow() != column.ty.arrow() {
                return None;
            }
            column.stored_name.as_str()
        };
        file_schema
            .index_of(stored)
            .is_ok()
            .then(|| stored.to_string())
    };
    let rename = |filter: &Expr| -> Result<Option<Expr>> {
        let mut known = true;
        let renamed = filter.clone().transform(|expr| match expr {
            Expr::Column(column) => Ok(match stored(&column.name) {
                Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
                None => {
                    known = false;
                    Transformed::no(Expr::Column(column))
                }
            }),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(known.then_some(renamed.data))
    };
    let renamed: Vec<Option<Expr>> = filters.iter().map(rename).collect::<Result<_>>()?;
    let Some(predicate) = conjunction(renamed.into_iter().flatten()) else {
        return Ok(None);
    };
    let schema = DFSchema::try_from(file_schema.as_ref().clone())?;
    state.create_physical_expr(predicate, &schema).map(Some)
}

/// Leaves out dead versions and gives the table's present columns.
struct ColdExec {
    files: Arc<dyn ExecutionPlan>,
    table: Arc<TableDef>,
    scope: Arc<Scope>,
    sources: Vec<Source>,
    /// Where `_seq` and `_user` stand in the files' plan, when any version may be dead.
    hidden: Option<(usize, usize)>,
    dead: Arc<HashSet<Seq>>,
    properties: Arc<PlanProperties>,
}

impl ColdExec {
    fn new(
        files: Arc<dyn ExecutionPlan>,
        scan: &ColdScan,
        sources: Vec<Source>,
        hidden: Option<(usize, usize)>,
        dead: Arc<HashSet<Seq>>,
    ) -> ColdExec {
        let partitions = files.output_partitioning().partition_count();
        ColdExec {
            files,
            table: scan.table.clone(),
            scope: scan.scope.clone(),
            sources,
            hidden,
            dead,
            properties: properties(scan.schema.clone(), partitions),
        }
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
        let partitions = files.output_partitioning().partition_count();
        Ok(Arc::new(ColdExec {
            files,
            table: self.table.clone(),
            scope: self.scope.clone(),
            sources: self.sources.clone(),
            hidden: self.hidden,
            dead: self.dead.clone(),
            properties: properties(self.schema(), partitions),
        }))
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
            sources: self.sources.clone(),
            hidden: self.hidden,
            dead: self.dead.clone(),
            schema: schema.clone(),
        };
        let batches = files.map(move |batch| view.apply(batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// What `ColdExec` does to each batch.
struct View {
    table: Arc<TableDef>,
    scope: Arc<Scope>,
    sources: Vec<Source>,
    hidden: Option<(usize, usize)>,
    dead: Arc<HashSet<Seq>>,
    schema: SchemaRef,
}

impl View {
    fn apply(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let batch = match self.hidden {
            None => batch,
            Some((seq, user)) => {
                let alive = self.alive(batch.column(seq), batch.column(user));
                filter_record_batch(&batch, &alive)?
            }
        };
        let rows = batch.num_rows();
        let array = |source: &Source| -> Result<ArrayRef> {
            match source {
                Source::File(index) => Ok(batch.column(*index).clone()),
                Source::Stored(index, ty) => Ok(datum::from_stored(batch.column(*index), *ty)),
                Source::Missing(value) => value.to_array_of_size(rows),
            }
        };
        let arrays = self.sources.iter().map(array).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            arrays,
            &options,
        )?)
    }

    fn alive(&self, seqs: &ArrayRef, users: &ArrayRef) -> BooleanArray {
        let transaction = self.scope.transaction.read();
        let superseding = transaction.supersedes_any(self.table.id);
        let users = users.as_string::<i32>();
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
            !self.dead.contains(&seq) && !superseded()
        };
        seqs.as_primitive::<Int64Type>()
            .values()
            .iter()
            .enumerate()
            .map(alive)
            .map(Some)
            .collect()
    }
}
