//! Rows as an index has them: found by conditions on its first columns, or in its order, or both.

use std::sync::Arc;

use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, SortExpr, ident};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use tidelog_storage::{ColumnId, ColumnType, Datum, Partition, PartitionSet, TableDef};

use super::{Computed, Given, any_of, literals_of, values_of};
use crate::cold_scan::FileCounts;
use crate::error::{SqlError, from_arrow, from_datafusion};
use crate::index_scan::{self, Reads, Steps, Walk};
use crate::plan::without_zero;
use crate::provider::{self, Scope, blocking};
use crate::session::simplified;
use crate::table_scan::Scanned;

/// More rows than these are not read in the order of an index.
const ROWS_MAX: usize = 5_000;
/// So many entries are looked at on the thread of the session: it is over before another one would have begun with it.
const ENTRIES_FEW: usize = 128;
/// An index is asked for so many values at most, one after the other.
const VALUES_MAX: usize = 50;

/// The conditions are the read's.
#[derive(Debug)]
pub(super) struct ByIndex {
    /// Places of columns that are read.
    order: Vec<(usize, SortOptions)>,
    skip: Option<Given>,
    fetch: Option<Given>,
    /// Whether the conditions compare something as another type than it has, until the values are known.
    casts: bool,
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
        let key = |key: &SortExpr| {
            let options = SortOptions {
                descending: !key.asc,
                nulls_first: key.nulls_first,
            };
            let column = without_zero(&key.expr).unwrap_or(&key.expr);
            Some((schema.index_of(column_of(column)?).ok()?, options))
        };
        let order = order.iter().map(key).collect::<Option<Vec<_>>>()?;
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
        let filters = self.filters(computed)?;
        let one_by_one = match reach.is_none() && self.order.is_empty() {
            true => one_by_one(&read.table, &filters),
            false => None,
        };
        let mut walks = Vec::new();
        for filters in one_by_one.unwrap_or_else(|| vec![filters]) {
            let scanned = Arc::new(Scanned {
                table: read.table.clone(),
                partitions: PartitionSet::One(partition.clone()),
                columns: read.columns.clone(),
                filters,
                scope: scope.clone(),
                files: FileCounts::default(),
                rows: 0,
            });
            let Some(walk) = self.walk(&scanned, &read.schema) else {
                return Ok(None);
            };
            // To read many, and then to scan them after all, would cost more than to count them first.
            if reach.is_none() {
                let (range, most) = (&walk.range, provider::INDEX_ROWS_ALWAYS);
                let few = (scope.snapshot).index_scan(&read.table, &partition, range, most)?;
                if few.is_none() {
                    return Ok(None);
                }
            }
            walks.push((scanned, walk));
        }
        read.reads(scope, &partition);
        let conditions = computed.conditions()?;
        let (first, most) = match reach {
            Some(rows) => (rows, Reads::OF_FIRST_ROWS),
            None => (ENTRIES_FEW, Reads::OF_ALL),
        };
        let steps = |(scanned, walk)| Steps::new(scanned, walk, read.schema.clone(), first, most);
        let mut walks = walks.into_iter().map(steps);
        let mut next = walks.next();
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
            next = behind.or_else(|| walks.next());
        }
        let rows = concat_batches(&read.schema, &batches).map_err(|error| from_arrow(&error))?;
        let skip = skip.min(rows.num_rows());
        let all = rows.num_rows() - skip;
        let given = reach.map_or(all, |reach| all.min(reach.saturating_sub(skip)));
        Ok(Some(rows.slice(skip, given)))
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
        let bound = computed.bound()?;
        if !self.casts {
            return Ok(bound);
        }
        let schema = DFSchema::try_from(computed.read.schema.clone()).map_err(from_datafusion)?;
        let schema = Arc::new(schema);
        let folded = bound
            .iter()
            .map(|condition| simplified(computed.state, None, condition, &schema));
        folded.collect()
    }

    /// The best way through an index; `None` where a plan has a better one.
    fn walk(&self, scanned: &Scanned, schema: &SchemaRef) -> Option<Walk> {
        let best = {
            let transaction = scanned.scope.transaction.read();
            if !transaction.is_empty() {
                return None;
            }
            provider::index_range(&scanned.table, &scanned.filters, &transaction)
        };
        if self.order.is_empty() {
            return best.map(|range| Walk {
                range,
                backward: false,
            });
        }
        let key = |(at, options): &(usize, SortOptions)| {
            let column = Column::new(schema.field(*at).name(), *at);
            PhysicalSortExpr::new(Arc::new(column), *options)
        };
        let order: Vec<_> = self.order.iter().map(key).collect();
        let walk = index_scan::walk(scanned, &order)?;
        // Rows that are few by another index are sorted sooner than found in their order.
        let narrow = walk.range.narrowness();
        let fits = best.is_none_or(|best| best.narrowness() <= narrow);
        let ends = self.fetch.is_some() || narrow > (0, 0);
        (fits && ends).then_some(walk)
    }
}

/// Conditions of which one leaves a column that an index begins with some values, as conditions for each of these: together they
/// find the same rows, each once. `None` where there is none that does.
fn one_by_one(table: &TableDef, filters: &[Expr]) -> Option<Vec<Vec<Expr>>> {
    let indexes = table.indexes.iter().filter(|index| index.ready);
    let first = indexes.filter_map(|index| index.columns.first());
    first.chain(table.primary_key.first()).find_map(|id| {
        let column = &table.columns[table.index_of(*id)?];
        let some = filters
            .iter()
            .enumerate()
            .filter(|(_, filter)| lists(filter));
        let mut values = some
            .filter_map(|(at, filter)| Some((at, literals_of(filter, &column.name, column.ty)?)));
        let (at, values) = values.find(|(_, values)| values.len() <= VALUES_MAX)?;
        let with = |value: Expr| {
            let mut filters = filters.to_vec();
            filters[at] = ident(&column.name).eq(value);
            filters
        };
        Some(values.into_iter().map(with).collect())
    })
}

/// Whether a condition has a form that leaves several values.
fn lists(filter: &Expr) -> bool {
    match filter {
        Expr::InList(_) => true,
        Expr::BinaryExpr(either) => either.op == Operator::Or,
        filter => any_of(filter).is_some(),
    }
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
