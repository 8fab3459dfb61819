//! Where DataFusion meets storage: a table as a `TableProvider` over both tiers.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraint, Constraints, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, PlanProperties};
use parking_lot::{Mutex, RwLock};
use tidelog_storage::snapshot::{IndexRange, ScanColumn};
use tidelog_storage::{
    HotScan, Partition, PartitionSet, RoleDef, RoleRef, RowVersion, Seq, Snapshot, Store, TableDef,
    TableId, TableKind, Transaction, datum,
};

use crate::as_of::check_history;
use crate::cold_scan::{self, FileCounts};
use crate::compared::user_of;
use crate::hot_scan::HotExec;
use crate::index_parts;
use crate::table_scan::{Found, FoundExec, Scanned, TableExec};

/// The pseudo-column that holds a row's Seq.
pub(crate) const SEQ: &str = "_seq";
/// The pseudo-column that holds the user of a USER table's row.
pub(crate) const USER: &str = "_user";

/// What a role may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The role, and so its own partition; `None` when it was dropped.
    pub(crate) role: Option<RoleRef>,
    /// Whether it may do everything.
    pub(crate) superuser: bool,
    /// Whether it sees every partition of USER tables.
    pub(crate) all: bool,
}

impl Access {
    /// What a role may reach that is there, or was dropped.
    pub(crate) fn of(role: Option<&Arc<RoleDef>>) -> Access {
        Access {
            role: role.map(|role| RoleRef::from(&**role)),
            superuser: role.is_some_and(|role| role.superuser),
            all: role.is_some_and(|role| role.superuser || role.bypass_rls),
        }
    }

    /// The partition of the role's own rows. A role that was dropped has none, whoever has its name now.
    pub(crate) fn own_partition(&self) -> Partition {
        match &self.role {
            Some(role) => Partition::user(&role.name),
            None => Partition::nobody(),
        }
    }

    /// The partitions of a table that statements of this role are about.
    pub(crate) fn partitions(&self, table: &TableDef) -> PartitionSet {
        match table.kind {
            TableKind::User if self.all => PartitionSet::All,
            TableKind::User => PartitionSet::One(self.own_partition()),
            TableKind::Shared | TableKind::Stream => PartitionSet::One(Partition::shared()),
        }
    }

    /// Whether the role sees the `_user` pseudo-column of the table.
    pub(crate) fn sees_user(&self, table: &TableDef) -> bool {
        self.all && table.kind == TableKind::User
    }
}

/// What a SERIALIZABLE transaction has read.
type Reads = Mutex<HashSet<(TableId, PartitionSet)>>;

/// What one statement reads: handed to scans through the session configuration, so that a cached plan
/// never carries a snapshot or an identity of its own.
pub(crate) struct Scope {
    /// The store, for reading cold files.
    pub(crate) store: Arc<Store>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) access: Access,
    pub(crate) transaction: Arc<RwLock<Transaction>>,
    /// Where it is noted which partitions were read, if the commit depends on that.
    pub(crate) reads: Option<Arc<Reads>>,
}

/// A table of the catalog, as a plan refers to it.
#[derive(Debug)]
pub(crate) struct Relation {
    table: Arc<TableDef>,
    /// The table's columns, then the pseudo-columns that the statement may name.
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    /// The primary key, where the statement sees each of its values once.
    constraints: Constraints,
}

impl Relation {
    /// `seq` and `user` say which pseudo-columns stand behind the table's own.
    pub(crate) fn new(table: Arc<TableDef>, seq: bool, user: bool) -> Relation {
        let mut columns: Vec<ScanColumn> = table
            .columns
            .iter()
            .map(|c| ScanColumn::Column(c.id))
            .collect();
        let mut fields: Vec<Field> = table.columns.iter().map(|c| c.field()).collect();
        if seq {
            columns.push(ScanColumn::Seq);
            fields.push(Field::new(SEQ, DataType::Int64, false));
        }
        if user {
            columns.push(ScanColumn::User);
            fields.push(Field::new(USER, DataType::Utf8, false));
        }
        Relation {
            table,
            columns,
            schema: Arc::new(Schema::new(fields)),
            constraints: Constraints::default(),
        }
    }

    /// The same, of a table whose partitions the statement does not see beside each other: its primary key is unique.
    pub(crate) fn with_unique_key(mut self) -> Relation {
        let key = self.table.primary_key.iter();
        let key: Vec<usize> = key.filter_map(|id| self.table.index_of(*id)).collect();
        if !key.is_empty() {
            self.constraints = Constraints::new_unverified(vec![Constraint::PrimaryKey(key)]);
        }
        self
    }

    /// What a scan with this projection is of, and gives.
    pub(crate) fn scanned(
        &self,
        projection: Option<&[usize]>,
    ) -> (&Arc<TableDef>, Vec<ScanColumn>, SchemaRef) {
        let Some(kept) = projection else {
            return (&self.table, self.columns.clone(), self.schema.clone());
        };
        let columns = kept.iter().map(|at| self.columns[*at]).collect();
        let fields: Vec<_> = kept
            .iter()
            .map(|at| self.schema.field(*at).clone())
            .collect();
        (&self.table, columns, Arc::new(Schema::new(fields)))
    }

    /// The table.
    pub(crate) fn table(&self) -> &Arc<TableDef> {
        &self.table
    }

    /// Rows found by a key or index, as a plan of one batch.
    fn rows_plan(
        &self,
        read: &index_parts::Read,
        partition: &Partition,
        (ranges, filters): (Arc<[IndexRange]>, &[Expr]),
        columns: &[ScanColumn],
        schema: SchemaRef,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = batch_of(
            &self.table,
            &read.versions,
            partition,
            columns,
            schema.clone(),
        )?;
        let rows = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?;
        let found = Found::Index {
            table: self.table.clone(),
            ranges,
            filters: filters.to_vec(),
            hot: read.versions.len() - read.cold,
            cold: read.cold,
        };
        Ok(Arc::new(FoundExec::new(found, rows)))
    }
}

/// Versions of one partition as a batch of these columns.
pub(crate) fn batch_of(
    table: &TableDef,
    versions: &[RowVersion],
    partition: &Partition,
    columns: &[ScanColumn],
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let array = |column: &ScanColumn| -> Result<arrow::array::ArrayRef> {
        Ok(match column {
            ScanColumn::Column(id) => {
                let index = table
                    .index_of(*id)
                    .expect("the relation's columns are the table's");
                let mut builder = datum::ColumnBuilder::new(table.columns[index].ty);
                versions
                    .iter()
                    .for_each(|version| builder.append(version.row[index].as_ref()));
                builder.finish()
            }
            ScanColumn::Seq => Arc::new(arrow::array::Int64Array::from_iter_values(
                versions.iter().map(|version| version.seq.as_i64()),
            )),
            ScanColumn::User => {
                ScalarValue::from(partition.as_str()).to_array_of_size(versions.len())?
            }
        })
    };
    let arrays = columns.iter().map(array).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(versions.len()));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

#[async_trait]
impl TableProvider for Relation {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    /// Filters prune; the plan filters again, so none is claimed exact.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = state.config().get_extension::<Scope>().ok_or_else(|| {
            DataFusionError::Internal(
                "a scan was planned without the scope of a statement".to_string(),
            )
        })?;
        let indexes: Vec<usize> = projection
            .cloned()
            .unwrap_or_else(|| (0..self.columns.len()).collect());
        let columns: Vec<ScanColumn> = indexes.iter().map(|index| self.columns[*index]).collect();
        let schema = Arc::new(self.schema.project(&indexes)?);
        let partitions = match scope.access.partitions(&self.table) {
            PartitionSet::All => user_of(&self.table, filters),
            one => one,
        };
        if let Some(reads) = &scope.reads {
            reads.lock().insert((self.table.id, partitions.clone()));
        }
        if scope.snapshot.is_as_of() {
            let (scope, table) = (scope.clone(), self.table.clone());
            let checked =
                tokio::task::spawn_blocking(move || check_history(&scope.snapshot, &table));
            let checked = checked
                .await
                .map_err(|e| DataFusionError::External(Box::new(e)))?;
            checked.map_err(|e| DataFusionError::External(Box::new(e)))?;
        }

        // Keys and indexes tell of the present only.
        let parts = match scope.snapshot.is_past() {
            false => index_parts::of(&self.table, filters, &scope.transaction.read()),
            true => None,
        };
        if let PartitionSet::One(partition) = &partitions
            && let Some(ranges) = parts.map(Arc::from)
            && let Some(read) = index_parts::read(&scope, &self.table, partition, &ranges).await?
        {
            let by = (ranges, filters);
            let found = self.rows_plan(&read, partition, by, &columns, schema.clone())?;
            if read.with_own || !scope.transaction.read().changes_any(self.table.id) {
                return Ok(found);
            }
            // The transaction's own rows are in no index.
            let own = HotScan {
                table: self.table.clone(),
                partitions: partitions.clone(),
                columns,
                seqs: Seq::MAX..=Seq::ZERO,
                batch_rows: state.config().batch_size(),
                limit: None,
                newest_first: false,
            };
            let own = Arc::new(HotExec::new(own, scope, schema));
            return UnionExec::try_new(vec![found, own]);
        }

        let hot = HotScan {
            table: self.table.clone(),
            partitions: partitions.clone(),
            columns: columns.clone(),
            seqs: seq_range(filters),
            batch_rows: state.config().batch_size(),
            limit: if filters.is_empty() { limit } else { None },
            newest_first: false,
        };
        let mut tiers: Vec<Arc<dyn ExecutionPlan>> =
            vec![Arc::new(HotExec::new(hot, scope.clone(), schema.clone()))];
        let (files, hot_rows) = {
            let (scope, table, partitions) =
                (scope.clone(), self.table.clone(), partitions.clone());
            blocking(move || {
                let files = scope.snapshot.cold_files(&table, &partitions)?;
                let states = match partitions {
                    PartitionSet::One(_) => scope.snapshot.states(table.id, &partitions)?,
                    // Not worth a look at each.
                    PartitionSet::All => Vec::new(),
                };
                let hot_rows: u64 = states.iter().map(|(_, state)| state.unflushed_rows).sum();
                Ok((files, hot_rows))
            })
            .await?
        };
        let mut counts = FileCounts::default();
        if !files.is_empty() {
            let scan = cold_scan::ColdScan {
                table: self.table.clone(),
                columns: columns.clone(),
                schema: schema.clone(),
                scope: scope.clone(),
                files,
            };
            let (plans, found) = cold_scan::plan(scan, state, filters).await?;
            tiers.extend(plans);
            counts = found;
        }
        let scanned = Scanned {
            table: self.table.clone(),
            partitions,
            columns,
            filters: filters.to_vec(),
            scope,
            files: counts,
            rows: hot_rows + counts.rows,
        };
        Ok(Arc::new(TableExec::new(Arc::new(scanned), tiers, schema)))
    }
}

/// Runs a storage call where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> std::result::Result<T, tidelog_storage::StorageError> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result.map_err(|e| DataFusionError::External(Box::new(e))),
        Err(e) => Err(DataFusionError::Internal(format!(
            "a storage read ended early: {e}"
        ))),
    }
}

/// The Seqs that comparisons of `_seq` with literals leave.
fn seq_range(filters: &[Expr]) -> RangeInclusive<Seq> {
    let (mut low, mut high) = (0_i64, i64::MAX);
    for filter in filters {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
            continue;
        };
        let (Expr::Column(column), Expr::Literal(ScalarValue::Int64(Some(value)), _)) =
            (&**left, &**right)
        else {
            continue;
        };
        if column.name != SEQ {
            continue;
        }
        match op {
            Operator::Eq => (low, high) = (low.max(*value), high.min(*value)),
            Operator::Gt => low = low.max(value.saturating_add(1)),
            Operator::GtEq => low = low.max(*value),
            Operator::Lt => high = high.min(value.saturating_sub(1)),
            Operator::LtEq => high = high.min(*value),
            _ => {}
        }
    }
    Seq::from_i64(low.max(0)).unwrap_or(Seq::ZERO)..=Seq::from_i64(high.max(0)).unwrap_or(Seq::MAX)
}

/// Properties of a plan node that produces batches as they come.
pub(crate) fn properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}
