//! Rows as an index has them: found by conditions on its first columns, or in its order, or both.

use std::sync::Arc;

use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{BinaryExpr, Expr, SortExpr};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use tidelog_storage::snapshot::IndexRange;
use tidelog_storage::{ColumnId, ColumnType, Datum, Partition, PartitionSet, TableDef};

use super::{Computed, Given, any_of, values_of};
use crate::cold_scan::FileCounts;
use crate::error::{SqlError, from_arrow, from_datafusion};
use crate::functions::array::among;
use crate::index_parts::{self, INDEX_ROWS_ALWAYS};
use crate::index_scan::{self, Reads, Steps, Walk};
use crate::plan::without_zero;
use crate::provider::{Scope, batch_of, blocking};
use crate::session::simplified;
use crate::table_scan::Scanned;

/// More rows than these are not read in the order of an index.
const ROWS_MAX: usize = 5_000;
/// So many entries are looked at on the thread of the session: it is over before another one would have begun with it.
const ENTRIES_FEW: usize = 128;

/// The conditions are the read's.
#[derive(Debug)]
pub(super) struct ByIndex {
    /// Places of columns that are read.
    order: Vec<(usize, SortOptions)>,
    skip: Option<Given>,
    fetch: Option<Given>,
    /// Whether the conditions compare something as another type than it has, until the values are known.
    casts: bool,
    /// Whether the columns sort as they are.
    sorts: bool,
}

impl ByIndex {
    /// `None` where no index of the table can be of use.
    pub(super) fn new(
        table: &TableDef,
        schema: &SchemaRef,
        conditions: &[Expr],
        order: &[SortExpr],
        skip: Option<Given>,
        fetch: Option<Given>,
    ) -> Option<ByIndex> {
        let mut sorts = true;
        let mut key = |key: &SortExpr| {
            let options = SortOptions {
                descending: !key.asc,
                nulls_first: key.nulls_first,
            };
            let bare = without_zero(&key.expr);
            sorts &= bare.is_none();
            let column = bare.unwrap_or(&key.expr);
            Some((schema.index_of(column_of(column)?).ok()?, options))
        };
        let order = order.iter().map(&mut key).collect::<Option<Vec<_>>>()?;
        let leads = |id: &ColumnId| {
            let Some(at) = table.index_of(*id) else {
                // An expression.
                return !conditions.is_empty();
            };
            let name = &table.columns[at].name;
            let sorts = || {
                let first = order.first().filter(|_| fetch.is_some());
                first.is_some_and(|(at, _)| schema.field(*at).name() == name)
            };
            let ty = table.columns[at].ty;
            let finds =
                |condition| compares(condition, name) || values_of(condition, name, ty).is_some();
            conditions.iter().any(finds) || sorts()
        };
        let indexes = table.indexes.iter().filter(|index| index.ready);
        let first = indexes.filter_map(|index| index.columns.first());
        if !table
            .primary_key
            .first()
            .into_iter()
            .chain(first)
            .any(leads)
        {
            return None;
        }
        let is_cast = |expr: &Expr| Ok(matches!(expr, Expr::Cast(_)));
        let casts = (conditions.iter()).any(|condition| condition.exists(is_cast).unwrap_or(true));
        Some(ByIndex {
            order,
            skip,
            fetch,
            casts,
            sorts,
        })
    }

    /// The rows; `None` when they have to be planned after all.
    pub(super) async fn rows(
        &self,
        computed: &Computed<'_>,
        scope: &Arc<Scope>,
        partition: Partition,
    ) -> Result<Option<RecordBatch>, SqlError> {
        let Some((skip, reach)) = self.reach(computed.types, computed.values) else {
            return Ok(None);
        };
        let read = computed.read;
        let scanned = Arc::new(Scanned {
            table: read.table.clone(),
            partitions: PartitionSet::One(partition.clone()),
            columns: read.columns.clone(),
            filters: self.filters(computed)?,
            scope: scope.clone(),
            files: FileCounts::default(),
            rows: 0,
        });
        let rows = match self.way(&scanned, &read.schema) {
            None => None,
            Some(Way::Walk(walk)) => self.walked(computed, scanned, walk, reach).await?,
            Some(Way::Parts(ranges)) => self.of_parts(computed, &scanned, &ranges).await?,
        };
        Ok(rows.map(|rows| {
            let skip = skip.min(rows.num_rows());
            let all = rows.num_rows() - skip;
            let given = reach.map_or(all, |reach| all.min(reach.saturating_sub(skip)));
            rows.slice(skip, given)
        }))
    }

    /// The rows of a walk, at least `reach` of them where there are so many.
    async fn walked(
        &self,
        computed: &Computed<'_>,
        scanned: Arc<Scanned>,
        walk: Walk,
        reach: Option<usize>,
    ) -> Result<Option<RecordBatch>, SqlError> {
        let read = computed.read;
        let (scope, PartitionSet::One(partition)) = (&scanned.scope, &scanned.partitions) else {
            return Ok(None);
        };
        // To read many, and then to scan them after all, would cost more than to count them first.
        if reach.is_none() {
            let (range, most) = (&walk.range, INDEX_ROWS_ALWAYS);
            let few = (scope.snapshot).index_scan(&read.table, partition, range, most)?;
            if few.is_none() {
                return Ok(None);
            }
        }
        read.reads(scope, partition);
        let conditions = computed.conditions()?;
        let (first, most) = match reach {
            Some(rows) => (rows, Reads::OF_FIRST_ROWS),
            None => (ENTRIES_FEW, Reads::OF_ALL),
        };
        let mut next = Some(Steps::new(scanned, walk, read.schema.clone(), first, most));
        let (mut batches, mut found) = (Vec::new(), 0);
        while let Some(steps) = next.filter(|_| reach.is_none_or(|rows| found < rows)) {
            let looked = match steps.rows() <= ENTRIES_FEW {
                true => steps.look()?,
                false => blocking(|| steps.look()).await.map_err(from_datafusion)?,
            };
            let Some(looked) = looked else {
                return Ok(None);
            };
            let (batch, behind) = match looked.is_hot() {
                true => looked.read()?,
                false => blocking(|| looked.read()).await.map_err(from_datafusion)?,
            };
            let batch = computed.filtered(&conditions, batch)?;
            found += batch.num_rows();
            batches.push(batch);
            next = behind;
        }
        let rows = concat_batches(&read.schema, &batches).map_err(|error| from_arrow(&error))?;
        Ok(Some(rows))
    }

    /// All rows of some parts of indexes, in the order that was asked for.
    async fn of_parts(
        &self,
        computed: &Computed<'_>,
        scanned: &Scanned,
        ranges: &Arc<[IndexRange]>,
    ) -> Result<Option<RecordBatch>, SqlError> {
        let Scanned { table, scope, .. } = scanned;
        let PartitionSet::One(partition) = &scanned.partitions else {
            return Ok(None);
        };
        let found = index_parts::read(scope, table, partition, ranges).await;
        let Some(found) = found.map_err(from_datafusion)? else {
            return Ok(None);
        };
        let read = computed.read;
        read.reads(scope, partition);
        let (columns, schema) = (&read.columns, read.schema.clone());
        let rows = batch_of(table, &found.versions, partition, columns, schema);
        let rows = computed.filtered(&computed.conditions()?, rows.map_err(from_datafusion)?)?;
        if self.order.is_empty() {
            return Ok(Some(rows));
        }
        let key = |(at, options): &(usize, SortOptions)| SortColumn {
            values: rows.column(*at).clone(),
            options: Some(*options),
        };
        let keys: Vec<SortColumn> = self.order.iter().map(key).collect();
        let sorted = lexsort_to_indices(&keys, None).and_then(|at| take_record_batch(&rows, &at));
        Ok(Some(sorted.map_err(|error| from_arrow(&error))?))
    }

    /// How many rows are left out, and after how many the read ends; `None` when that is for a plan to say.
    fn reach(&self, types: &[ColumnType], values: &[Datum]) -> Option<(usize, Option<usize>)> {
        let rows = |given: &Given| match given.value(ColumnType::Int8, types, values) {
            Some(Datum::Int8(rows)) => usize::try_from(rows).ok(),
            _ => None,
        };
        let skip = match &self.skip {
            Some(skip) => rows(skip)?,
            None => 0,
        };
        let Some(fetch) = &self.fetch else {
            return Some((skip, None));
        };
        let fetch = rows(fetch).filter(|rows| *rows > 0)?;
        let reach = skip.checked_add(fetch).filter(|rows| *rows <= ROWS_MAX)?;
        Some((skip, Some(reach)))
    }

    /// The conditions as a scan takes them.
    fn filters(&self, computed: &Computed<'_>) -> Result<Vec<Expr>, SqlError> {
        let mut bound = computed.bound()?;
        if self.casts {
            let schema = computed.read.schema.clone();
            let schema = Arc::new(DFSchema::try_from(schema).map_err(from_datafusion)?);
            for condition in &mut bound {
                *condition = simplified(computed.state, None, condition, &schema)?;
            }
        }
        for condition in &mut bound {
            let list = any_of(condition).map(|(value, array)| among(value, array, false));
            if let Some(list) = list.transpose().map_err(from_datafusion)?.flatten() {
                *condition = list;
            }
        }
        Ok(bound)
    }

    /// The best way through indexes; `None` where a plan has a better one.
    fn way(&self, scanned: &Scanned, schema: &SchemaRef) -> Option<Way> {
        let parts = {
            let transaction = scanned.scope.transaction.read();
            if transaction.changes_any(scanned.table.id) {
                return None;
            }
            index_parts::of(&scanned.table, &scanned.filters, &transaction)
        };
        if self.order.is_empty() {
            return Some(match <[IndexRange; 1]>::try_from(parts?) {
                Ok([range]) => Way::Walk(Walk {
                    range,
                    backward: false,
                }),
                Err(ranges) => Way::Parts(ranges.into()),
            });
        }
        let key = |(at, options): &(usize, SortOptions)| {
            let column = Column::new(schema.field(*at).name(), *at);
            PhysicalSortExpr::new(Arc::new(column), *options)
        };
        let order: Vec<_> = self.order.iter().map(key).collect();
        let walk = index_scan::walk(scanned, &order);
        let narrow = walk.as_ref().map_or((0, 0), |walk| walk.range.narrowness());
        // Rows that are few by another index are sorted sooner than found in their order.
        let widest = parts.iter().flatten().map(IndexRange::narrowness).min();
        if let Some(widest) = widest.filter(|widest| *widest > narrow) {
            let sorts = self.sorts && widest >= (1, 0);
            return parts
                .filter(|_| sorts)
                .map(|parts| Way::Parts(parts.into()));
        }
        let ends = self.fetch.is_some() || narrow > (0, 0);
        walk.filter(|_| ends).map(Way::Walk)
    }
}

/// How rows are found.
enum Way {
    Walk(Walk),
    Parts(Arc<[IndexRange]>),
}

/// The column that an expression is.
fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

/// Whether a condition compares a column, as it is or cast.
fn compares(condition: &Expr, name: &str) -> bool {
    let is_it = |side: &Expr| match side {
        Expr::Cast(cast) => column_of(&cast.expr) == Some(name),
        side => column_of(side) == Some(name),
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => is_it(left) || is_it(right),
        _ => false,
    }
}
