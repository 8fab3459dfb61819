//! SELECT of rows by their whole primary key, or by an index: recognised when the statement is prepared, and then run
//! without a physical plan. That plan would cost many times what the rows do.

mod by_index;
mod shape;

use std::sync::Arc;

use arrow::array::{Array, AsArray, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use tidelog_storage::snapshot::{Lookup, ScanColumn};
use tidelog_storage::{ColumnType, Datum, Partition, PartitionSet, StorageError, TableDef, datum};

use crate::error::{SqlError, from_datafusion};
use crate::extremes;
use crate::functions::array::ANY_EQUAL;
use crate::functions::order;
use crate::guards;
use crate::output::{self, OutputColumn, RowStream};
use crate::provider::{Scope, batch_of};
use by_index::ByIndex;
use shape::Shape;

/// Keys that are read at most; more are planned.
const KEYS_MAX: usize = 100;

/// A value that is known when the statement runs.
#[derive(Clone, Debug)]
enum Given {
    Literal(Datum),
    /// `$n`, from 0.
    Parameter(usize),
    /// Each element of the array that `$n` is.
    Elements(usize),
}

impl Given {
    /// `None` when a parameter is not of this type, nor one of the same values.
    fn value(&self, ty: ColumnType, types: &[ColumnType], values: &[Datum]) -> Option<Datum> {
        match self {
            Given::Literal(value) => Some(value.clone()),
            Given::Parameter(at) => {
                let same = types.get(*at).is_some_and(|given| same_values(*given, ty));
                values.get(*at).filter(|_| same).cloned()
            }
            Given::Elements(_) => None,
        }
    }

    /// As `value`, of all that it stands for.
    fn values(&self, ty: ColumnType, types: &[ColumnType], values: &[Datum]) -> Option<Vec<Datum>> {
        let Given::Elements(at) = self else {
            return Some(vec![self.value(ty, types, values)?]);
        };
        let ColumnType::Array(element) = types.get(*at)? else {
            return None;
        };
        match values
            .get(*at)
            .filter(|_| same_values((*element).into(), ty))?
        {
            Datum::Array(elements) if elements.len() <= KEYS_MAX => Some(elements.clone()),
            Datum::Null => Some(Vec::new()),
            _ => None,
        }
    }
}

/// A SELECT of rows of one table, by key or as an index has them.
#[derive(Debug)]
pub(crate) struct ShortRead {
    table: Arc<TableDef>,
    /// The columns that are read.
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    rows: Rows,
    /// Conditions beside the key.
    conditions: Vec<Expr>,
    /// What is given out, in terms of the columns; `None` where these are it.
    outputs: Option<Vec<Expr>>,
    /// Whether it gives NULL where there is no row, as `max` does.
    or_null: bool,
}

/// How rows are found.
#[derive(Debug)]
enum Rows {
    /// By the values of each key column: more than one only in keys of one column.
    OfKeys(Vec<Vec<Given>>),
    /// By an index that fits the conditions and the order when the statement runs.
    OfIndex(ByIndex),
}

impl ShortRead {
    /// The read that a plan amounts to, if it is one.
    pub(crate) fn of(plan: &LogicalPlan, state: &SessionState) -> Option<ShortRead> {
        if let Some(first) = extremes::as_first_row(plan) {
            let read = ShortRead::of_rows(&first, state)?;
            return Some(ShortRead {
                or_null: true,
                ..read
            });
        }
        ShortRead::of_rows(plan, state)
    }

    fn of_rows(plan: &LogicalPlan, state: &SessionState) -> Option<ShortRead> {
        let Some(read) = ShortRead::matching(plan) else {
            // The array of `= ANY` may have to be computed first.
            let may = Shape::of(plan).is_some() && compares_once_for_all(plan);
            return ShortRead::matching(&may.then(|| state.optimize(plan).ok())??);
        };
        if read.is_plain() {
            return Some(read);
        }
        // Types have to agree in what is computed, and functions that say another thing each time must not be
        // asked now.
        let computed = read.conditions.iter().chain(read.outputs.iter().flatten());
        if !computed.into_iter().all(lasts) {
            return None;
        }
        ShortRead::matching(&state.optimize(plan).ok()?)
    }

    fn matching(plan: &LogicalPlan) -> Option<ShortRead> {
        let Shape {
            relation,
            projection,
            mut conditions,
            outputs,
            order,
            skip,
            fetch,
        } = Shape::of(plan)?;
        let (table, columns, schema) = relation.scanned(projection);
        let computed = conditions.iter().chain(outputs.iter().flatten());
        if computed.into_iter().any(has_subquery) {
            return None;
        }
        let at_least_one = match &fetch {
            None => true,
            Some(Given::Literal(Datum::Int8(rows))) => *rows > 0,
            Some(_) => false,
        };
        let one = |keys: &Vec<Vec<Given>>| {
            matches!(
                keys[0].as_slice(),
                [Given::Literal(_) | Given::Parameter(_)]
            )
        };
        let all = order.is_empty() && fetch.is_none();
        let keys = match skip.is_none() && at_least_one {
            true => keys_of(table, &conditions).filter(|(keys, _)| all || one(keys)),
            false => None,
        };
        let rows = match keys {
            Some((keys, beside)) => {
                conditions = beside;
                Rows::OfKeys(keys)
            }
            None => {
                let by = ByIndex::new(table, &schema, &conditions, &order, skip, fetch)?;
                Rows::OfIndex(by)
            }
        };
        Some(ShortRead {
            table: table.clone(),
            columns,
            schema,
            rows,
            conditions,
            outputs,
            or_null: false,
        })
    }

    /// Whether nothing is computed.
    fn is_plain(&self) -> bool {
        let outputs = self.outputs.iter().flatten();
        self.conditions.is_empty()
            && outputs
                .into_iter()
                .all(|output| self.plain(output).is_some())
    }

    /// The column that an output is, if it is one.
    fn plain(&self, output: &Expr) -> Option<usize> {
        match output {
            Expr::Column(column) => self.schema.index_of(&column.name).ok(),
            Expr::Alias(alias) => self.plain(&alias.expr),
            _ => None,
        }
    }

    /// The rows; `None` when they have to be planned after all.
    pub(crate) async fn run(
        &self,
        state: &SessionState,
        scope: &Arc<Scope>,
        columns: &[OutputColumn],
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Option<RowStream>, SqlError> {
        let partition = match scope.access.partitions(&self.table) {
            PartitionSet::One(partition) => partition,
            PartitionSet::All => return Ok(None),
        };
        // Keys and indexes tell of the present only.
        if scope.snapshot.is_as_of() {
            return Ok(None);
        }
        let computed = Computed {
            read: self,
            state,
            types,
            values,
        };
        let batch = match &self.rows {
            Rows::OfKeys(keys) => {
                let found = self.by_keys(scope, partition, keys, types, values).await?;
                match found {
                    Some(batch) => Some(computed.filtered(&computed.conditions()?, batch)?),
                    None => None,
                }
            }
            Rows::OfIndex(by) => by.rows(&computed, scope, partition).await?,
        };
        let Some(batch) = batch else {
            return Ok(None);
        };
        let mut batch = computed.outputs(batch)?;
        if self.or_null && batch.num_rows() == 0 {
            let fields = batch.schema();
            let fields = fields.fields().iter();
            let nulls = fields.map(|field| new_null_array(field.data_type(), 1));
            batch = output::batch_of(nulls.collect(), 1)?;
        }
        let arrays = batch.columns().iter().zip(columns);
        let arrays = arrays.map(|(array, column)| output::conform(array, column.ty));
        let batch = output::batch_of(arrays.collect::<Result<_, _>>()?, batch.num_rows())?;
        Ok(Some(output::once(batch)))
    }

    /// Notes that a partition is read, where the commit depends on that.
    fn reads(&self, scope: &Scope, partition: &Partition) {
        if let Some(reads) = &scope.reads {
            let partitions = PartitionSet::One(partition.clone());
            reads.lock().insert((self.table.id, partitions));
        }
    }

    async fn by_keys(
        &self,
        scope: &Scope,
        partition: Partition,
        keys: &[Vec<Given>],
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Option<RecordBatch>, SqlError> {
        let Some(keys) = self.keys(keys, types, values) else {
            return Ok(None);
        };
        if (scope.transaction.read()).fills(self.table.id, self.table.primary_key_id) {
            return Ok(None);
        }
        self.reads(scope, &partition);
        // Looking into the hot tier is over before another thread would have begun with it.
        let found = {
            let transaction = scope.transaction.read();
            let look_up = |key: &Vec<Datum>| {
                let own = Some(&*transaction);
                scope.snapshot.lookup(&self.table, &partition, key, own)
            };
            keys.iter().map(look_up).collect::<Result<Vec<_>, _>>()?
        };
        Ok(Some(self.batch(scope, &partition, found).await?))
    }

    /// The rows that were found, those in files read from there.
    async fn batch(
        &self,
        scope: &Scope,
        partition: &Partition,
        found: Vec<Lookup>,
    ) -> Result<RecordBatch, StorageError> {
        let mut versions = Vec::with_capacity(found.len());
        for found in found {
            let (snapshot, table) = (&scope.snapshot, &self.table);
            match found {
                Lookup::Absent => {}
                Lookup::Hot(version) => versions.push(version),
                Lookup::Cold(seq) => {
                    let version = scope.store.fetch_cold(snapshot, table, partition, seq);
                    versions.push(version.await?);
                }
            }
        }
        let schema = self.schema.clone();
        batch_of(&self.table, &versions, partition, &self.columns, schema)
            .map_err(|error| StorageError::Corrupt(error.to_string()))
    }

    /// The keys to look up, each once; `None` when a parameter is not of its column's type.
    fn keys(
        &self,
        of: &[Vec<Given>],
        types: &[ColumnType],
        values: &[Datum],
    ) -> Option<Vec<Vec<Datum>>> {
        let value = |given: &Given, ty: ColumnType| given.value(ty, types, values);
        let ty = |at: usize| -> Option<ColumnType> {
            let id = self.table.primary_key.get(at)?;
            Some(self.table.columns[self.table.index_of(*id)?].ty)
        };
        let mut keys: Vec<Vec<Datum>> = Vec::new();
        if let [choices] = of {
            for choice in choices {
                for value in choice.values(ty(0)?, types, values)? {
                    let key = vec![value];
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
        } else {
            let parts = of.iter().enumerate();
            let key = parts.map(|(at, given)| value(given.first()?, ty(at)?));
            keys.push(key.collect::<Option<_>>()?);
        }
        // Nothing equals NULL.
        keys.retain(|key| !key.iter().any(Datum::is_null));
        Some(keys)
    }
}

/// What a read computes in one run of its statement.
struct Computed<'a> {
    read: &'a ShortRead,
    state: &'a SessionState,
    types: &'a [ColumnType],
    values: &'a [Datum],
}

impl Computed<'_> {
    fn compile(&self, expr: Expr) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        let schema = DFSchema::try_from(self.read.schema.clone()).map_err(from_datafusion)?;
        let compiled = guards::in_turn(expr, &schema)
            .and_then(|expr| self.state.create_physical_expr(expr.data, &schema));
        compiled.map_err(from_datafusion)
    }

    /// The conditions, with the parameters' values in them.
    fn bound(&self) -> Result<Vec<Expr>, SqlError> {
        let conditions = self.read.conditions.iter();
        conditions
            .map(|condition| bound(condition, self.types, self.values))
            .collect()
    }

    fn conditions(&self) -> Result<Vec<Arc<dyn PhysicalExpr>>, SqlError> {
        let bound = self.bound()?.into_iter();
        bound.map(|condition| self.compile(condition)).collect()
    }

    /// The rows that meet the conditions.
    fn filtered(
        &self,
        conditions: &[Arc<dyn PhysicalExpr>],
        mut batch: RecordBatch,
    ) -> Result<RecordBatch, SqlError> {
        for condition in conditions {
            let keep = condition
                .evaluate(&batch)
                .and_then(|keep| keep.into_array(batch.num_rows()))
                .map_err(from_datafusion)?;
            batch = filter_record_batch(&batch, keep.as_boolean())
                .map_err(|error| crate::error::from_arrow(&error))?;
        }
        Ok(batch)
    }

    /// What is given out of these rows.
    fn outputs(&self, batch: RecordBatch) -> Result<RecordBatch, SqlError> {
        let Some(outputs) = &self.read.outputs else {
            return Ok(batch);
        };
        let mut arrays = Vec::with_capacity(outputs.len());
        for output in outputs {
            arrays.push(match self.read.plain(output) {
                Some(at) => batch.column(at).clone(),
                None => self
                    .compile(bound(output, self.types, self.values)?)?
                    .evaluate(&batch)
                    .and_then(|value| value.into_array(batch.num_rows()))
                    .map_err(from_datafusion)?,
            });
        }
        output::batch_of(arrays, batch.num_rows())
    }
}

/// The values of each column of the primary key that conditions leave, and the conditions beside these; `None` when they
/// leave open a column, or many values.
fn keys_of(table: &TableDef, conditions: &[Expr]) -> Option<(Vec<Vec<Given>>, Vec<Expr>)> {
    let primary = table.primary()?;
    let mut beside = conditions.to_vec();
    let mut keys = Vec::with_capacity(primary.columns.len());
    for id in primary.columns {
        let column = &table.columns[table.index_of(*id)?];
        let found = beside.iter().enumerate().find_map(|(at, filter)| {
            let values = values_of(filter, &column.name, column.ty)?;
            (values.len() == 1 || primary.columns.len() == 1).then_some((at, values))
        });
        let (at, values) = found?;
        beside.remove(at);
        keys.push(values);
    }
    (keys[0].len() <= KEYS_MAX).then_some((keys, beside))
}

/// Whether a plan has `= ANY`, and nothing that says another thing each time it is asked.
fn compares_once_for_all(plan: &LogicalPlan) -> bool {
    let (mut any, mut all_last) = (false, true);
    let looked = plan.apply(|node| {
        node.apply_expressions(|expr| {
            any |= expr.exists(|expr| Ok(any_of(expr).is_some()))?;
            all_last &= lasts(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    looked.is_ok() && any && all_last
}

/// The value and the array of `value = ANY (array)`.
fn any_of(expr: &Expr) -> Option<(&Expr, &Expr)> {
    match expr {
        Expr::ScalarFunction(call) if call.name() == ANY_EQUAL => match call.args.as_slice() {
            [value, array] => Some((value, array)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression says the same of a row whenever it is asked.
fn lasts(expr: &Expr) -> bool {
    let changes = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarFunction(call)
            if call.func.signature().volatility != Volatility::Immutable))
    };
    !expr.exists(changes).unwrap_or(true)
}

/// The values that a filter leaves of a column, where it says `= value`, `IN (…)`, `= ANY (…)` or an OR of such.
fn values_of(filter: &Expr, column: &str, ty: ColumnType) -> Option<Vec<Given>> {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(found) if found.name == column);
    match filter {
        Expr::BinaryExpr(comparison) if let Some(of) = order::of_numbers(comparison) => {
            values_of(&Expr::BinaryExpr(of), column, ty)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == Operator::Eq => {
            let value = match (is_column(left), is_column(right)) {
                (true, false) => right,
                (false, true) => left,
                _ => return None,
            };
            Some(vec![given(value, ty)?])
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == Operator::Or => {
            let mut values = values_of(left, column, ty)?;
            values.extend(values_of(right, column, ty)?);
            Some(values)
        }
        Expr::InList(list) if let Some(of) = order::list_of_numbers(list) => {
            values_of(&Expr::InList(of), column, ty)
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr) => {
            list.list.iter().map(|value| given(value, ty)).collect()
        }
        _ => match any_of(filter)? {
            (value, Expr::Literal(ScalarValue::List(list), _)) if is_column(value) => {
                if list.is_null(0) {
                    return Some(Vec::new());
                }
                let values = list.value(0);
                let literal = |row| {
                    let value = ScalarValue::try_from_array(&values, row).ok()?;
                    given(&Expr::Literal(value, None), ty)
                };
                (0..values.len()).map(literal).collect()
            }
            (value, Expr::Placeholder(array)) if is_column(value) => {
                Some(vec![Given::Elements(place_of(array)?)])
            }
            _ => None,
        },
    }
}

/// The place of a parameter among them, from 0.
fn place_of(placeholder: &Placeholder) -> Option<usize> {
    let number: usize = placeholder.id.strip_prefix('$')?.parse().ok()?;
    number.checked_sub(1)
}

/// Whether the values of one type are found among those of the other as they are.
fn same_values(given: ColumnType, ty: ColumnType) -> bool {
    let integer = |ty| matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8);
    given.arrow() == ty.arrow() || (integer(given) && integer(ty))
}

fn given(expr: &Expr, ty: ColumnType) -> Option<Given> {
    match expr {
        Expr::Literal(value, _) => {
            let array = value.to_array().ok()?;
            let field = Field::new("", array.data_type().clone(), true);
            if !same_values(output::column_type(&field).ok()?, ty) {
                return None;
            }
            Some(Given::Literal(datum::datum_at(&array, 0)?.to_owned()))
        }
        Expr::Placeholder(placeholder) => Some(Given::Parameter(place_of(placeholder)?)),
        _ => None,
    }
}

/// Whether an expression reads more than its row.
pub(crate) fn has_subquery(expr: &Expr) -> bool {
    let is_one = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    };
    expr.exists(is_one).unwrap_or(true)
}

/// The expression over unqualified columns, with the parameters' values in it.
fn bound(expr: &Expr, types: &[ColumnType], values: &[Datum]) -> Result<Expr, SqlError> {
    let scalars = crate::session::scalars(types, values)?;
    let parameters = ParamValues::from(scalars);
    let bound = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            Expr::Placeholder(placeholder) => Transformed::yes(Expr::Literal(
                parameters
                    .get_placeholders_with_values(&placeholder.id)?
                    .value()
                    .clone(),
                None,
            )),
            other => Transformed::no(other),
        })
    });
    bound.map(|expr| expr.data).map_err(from_datafusion)
}
