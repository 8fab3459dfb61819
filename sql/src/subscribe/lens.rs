//! A subscription's query, made to run on rows one stretch at a time, by the engine that runs SELECT.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, Volatility, ident,
};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use tidelog_storage::{ColumnDef, ColumnType, DatumRef, Partition, Row, Seq, TableDef, datum, key};

use super::constant::{value_of, with_constants};
use crate::apart::{Pace, is_heavy};
use crate::error::{ErrorKind, SqlError, from_arrow, from_datafusion};
use crate::output::{self, OutputColumn};
use crate::provider::{Relation, SEQ, USER};
use crate::session::physical;

/// The name under which a snapshot carries its rows' Seqs, which no column can have.
const SEQ_OF_ROW: &str = "\u{1}seq";

/// What a row goes through.
enum Step {
    /// It goes on if this is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// It becomes these values.
    Project(Vec<Arc<dyn PhysicalExpr>>),
}

/// The query of a subscription over the rows of its table.
pub(super) struct Lens {
    /// Whether `_user` stands behind `_seq`.
    user: bool,
    steps: Box<[Step]>,
    /// Whether a few rows may take long, or become large.
    heavy: bool,
}

/// What is seen of a row version.
pub enum Seen {
    /// Nothing: it does not match.
    Nothing,
    /// The row as it is.
    Whole,
    /// These values.
    As(Row),
}

/// Values of a column of the table, one of which a row must have to be seen.
pub struct Asked {
    /// Where the column stands in the table.
    pub column: usize,
    /// The column's type.
    pub ty: ColumnType,
    /// The values as [`key::sortable`] writes them, at least one.
    pub values: Vec<Vec<u8>>,
}

/// Of IN with more values than this it is not told which it asks for.
const ASKED_VALUES_MAX: usize = 100;

/// The table that a query selects from, if it is no more than filters and select lists over one table; 0A000 with
/// what it is else.
pub(super) fn table_of(plan: &LogicalPlan) -> Result<Arc<TableDef>, SqlError> {
    let refuse = |what: &str| Err(SqlError::unsupported(format!("SUBSCRIBE with {what}")));
    for expr in plan.expressions() {
        check_expression(&expr)?;
    }
    match plan {
        LogicalPlan::Projection(projection) => table_of(&projection.input),
        LogicalPlan::Filter(filter) => table_of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => table_of(&alias.input),
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).map_err(from_datafusion)?;
            match provider.downcast_ref::<Relation>() {
                Some(relation) => Ok(relation.table().clone()),
                None => refuse("a system relation"),
            }
        }
        LogicalPlan::Join(_) => refuse("a join"),
        LogicalPlan::Aggregate(_) => refuse("an aggregate or GROUP BY"),
        LogicalPlan::Window(_) => refuse("a window function"),
        LogicalPlan::Sort(_) => refuse("ORDER BY"),
        LogicalPlan::Limit(_) => refuse("LIMIT or OFFSET"),
        LogicalPlan::Distinct(distinct) => match **distinct.input() {
            LogicalPlan::Union(_) => refuse("UNION"),
            _ => refuse("DISTINCT"),
        },
        LogicalPlan::Union(_) => refuse("UNION"),
        LogicalPlan::Unnest(_) => refuse("a set-returning function"),
        LogicalPlan::RecursiveQuery(_) => refuse("WITH RECURSIVE"),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => refuse("a query without a table"),
        _ => refuse("a query other than SELECT … FROM table WHERE …"),
    }
}

fn check_expression(expr: &Expr) -> Result<(), SqlError> {
    let mut refused = None;
    let visited = expr.apply(|expr| {
        refused = match expr {
            Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::SetComparison(_) => Some("a subquery".to_string()),
            Expr::AggregateFunction(_) => Some("an aggregate or GROUP BY".to_string()),
            Expr::WindowFunction(_) => Some("a window function".to_string()),
            Expr::Unnest(_) => Some("a set-returning function".to_string()),
            Expr::ScalarFunction(call)
                if call.func.signature().volatility == Volatility::Volatile =>
            {
                // What it said of a row before cannot be known when the row goes.
                Some(format!("the volatile function {}()", call.func.name()))
            }
            _ => None,
        };
        Ok(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    visited.map_err(from_datafusion)?;
    match refused {
        Some(what) => Err(SqlError::unsupported(format!("SUBSCRIBE with {what}"))),
        None => Ok(()),
    }
}

/// Whether `=` of the type is that of the values as they are stored.
fn is_compared_as_stored(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Int2
            | ColumnType::Int4
            | ColumnType::Int8
            | ColumnType::Text
            | ColumnType::Varchar(_)
            | ColumnType::Uuid
            | ColumnType::Bool
            | ColumnType::Date
            | ColumnType::Timestamp(_)
            | ColumnType::TimestampTz(_)
            | ColumnType::Enum(_)
    )
}

/// Whether a query says the same of a row for every session and at any time.
pub(super) fn is_immutable(plan: &LogicalPlan) -> Result<bool, SqlError> {
    let mut immutable = true;
    for expr in plan.expressions() {
        expr.apply(|expr| {
            if let Expr::ScalarFunction(call) = expr {
                immutable &= call.func.signature().volatility == Volatility::Immutable;
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(from_datafusion)?;
    }
    for input in plan.inputs() {
        immutable &= is_immutable(input)?;
    }
    Ok(immutable)
}

impl Lens {
    /// Makes a query, with its parameters' values in it, ready to run. Functions like `now()` are evaluated here,
    /// once, at the time that the state says.
    pub(super) fn new(
        state: &SessionState,
        plan: &LogicalPlan,
        table: &TableDef,
    ) -> Result<Lens, SqlError> {
        let plan = state
            .analyzer()
            .execute_and_check(plan.clone(), state.config_options(), |_, _| {})
            .map_err(from_datafusion)?;
        let mut steps = Vec::new();
        let user = add_steps(&mut steps, state, &plan, table)?;
        drop_identities(&mut steps, table.columns.len());
        Ok(Lens {
            user,
            steps: steps.into(),
            heavy: is_heavy(&plan),
        })
    }

    /// Whether it shows every row as it is.
    pub(super) fn is_clear(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether to look at a few rows takes a moment.
    pub(super) fn is_light(&self) -> bool {
        !self.heavy
    }

    /// The values that the conditions ask for in a column (`a = 1`, `a IN (1, 2)`, with others by AND), the fewest
    /// that there are.
    pub(super) fn asked(&self, table: &TableDef) -> Option<Asked> {
        let filters = self.steps.iter().map_while(|step| match step {
            Step::Filter(predicate) => Some(predicate),
            Step::Project(_) => None,
        });
        let conditions = filters.flat_map(split_conjunction);
        let asked = conditions.filter_map(|condition| asked_by(condition, table));
        asked.min_by_key(|asked| asked.values.len())
    }

    /// Which column of the scan a column of the result repeats: the table's, then `_seq` and `_user`. `None` when it is
    /// computed.
    pub(super) fn source(&self, column: usize) -> Option<usize> {
        self.steps
            .iter()
            .rev()
            .try_fold(column, |at, step| match step {
                Step::Filter(_) => Some(at),
                Step::Project(exprs) => {
                    let repeated = exprs.get(at)?.downcast_ref::<Column>()?;
                    Some(repeated.index())
                }
            })
    }

    /// What is seen of each version, in order: values of the columns `shown`. The versions' `columns` are as [`columns`] makes
    /// them.
    pub(super) fn look(
        &self,
        versions: &[(Seq, &Partition, &Row)],
        columns: &[ArrayRef],
        shown: &[OutputColumn],
    ) -> Result<Vec<Seen>, SqlError> {
        if !self.heavy {
            return self.look_at_once(versions, columns, shown);
        }
        let mut pace = Pace::new();
        let mut seen = Vec::with_capacity(versions.len());
        while seen.len() < versions.len() {
            let from = seen.len();
            let to = (from + pace.next()).min(versions.len());
            let columns = columns.iter().map(|column| column.slice(from, to - from));
            let columns: Vec<ArrayRef> = columns.collect();
            pace.give();
            seen.extend(self.look_at_once(&versions[from..to], &columns, shown)?);
        }
        Ok(seen)
    }

    fn look_at_once(
        &self,
        versions: &[(Seq, &Partition, &Row)],
        columns: &[ArrayRef],
        shown: &[OutputColumn],
    ) -> Result<Vec<Seen>, SqlError> {
        let mut batch = self.batch(versions, columns)?;
        // Which versions the batch's rows are.
        let mut left = UInt32Array::from_iter_values(0..versions.len() as u32);
        for step in &self.steps {
            match step {
                Step::Filter(predicate) => {
                    let mask = evaluate(predicate, &batch)?;
                    // NULL does not match.
                    let mask = match mask.as_boolean() {
                        mask if mask.null_count() == 0 => mask.clone(),
                        mask => prep_null_mask_filter(mask),
                    };
                    if mask.true_count() == 0 {
                        return Ok(versions.iter().map(|_| Seen::Nothing).collect());
                    }
                    batch = filter_record_batch(&batch, &mask).map_err(|e| from_arrow(&e))?;
                    let kept = arrow::compute::filter(&left, &mask).map_err(|e| from_arrow(&e))?;
                    left = kept.as_primitive().clone();
                }
                Step::Project(exprs) => {
                    let arrays = exprs.iter().map(|expr| evaluate(expr, &batch));
                    let rows = batch.num_rows();
                    batch = output::batch_of(arrays.collect::<Result<_, _>>()?, rows)?;
                }
            }
        }
        let mut seen: Vec<Seen> = versions.iter().map(|_| Seen::Nothing).collect();
        if first_list(&self.steps).is_none() {
            left.values()
                .iter()
                .for_each(|at| seen[*at as usize] = Seen::Whole);
            return Ok(seen);
        }
        let arrays = batch.columns().iter().zip(shown);
        let arrays = arrays.map(|(array, column)| output::conform(array, column.ty));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
        for (row, at) in left.values().iter().enumerate() {
            let values = arrays
                .iter()
                .map(|array| output::value(array.as_ref(), row).map(DatumRef::to_owned));
            seen[*at as usize] = Seen::As(values.collect::<Result<_, _>>()?);
        }
        Ok(seen)
    }

    /// The versions as the scan of the table would give them.
    fn batch(
        &self,
        versions: &[(Seq, &Partition, &Row)],
        columns: &[ArrayRef],
    ) -> Result<RecordBatch, SqlError> {
        let mut arrays = columns.to_vec();
        if self.user {
            let users = versions.iter().map(|(_, user, _)| user.as_str());
            arrays.push(Arc::new(StringArray::from_iter_values(users)));
        }
        output::batch_of(arrays, versions.len())
    }
}

/// A table's columns of versions, and their Seqs: the same for each query over the table.
pub(super) fn columns(table: &TableDef, versions: &[(Seq, &Partition, &Row)]) -> Vec<ArrayRef> {
    let column = |(index, column): (usize, &ColumnDef)| {
        let mut builder = datum::ColumnBuilder::new(column.ty);
        versions
            .iter()
            .for_each(|(_, _, row)| builder.append(row[index].as_ref()));
        builder.finish()
    };
    let columns = table.columns.iter().enumerate().map(column);
    let seqs = versions.iter().map(|(seq, ..)| seq.as_i64());
    let seqs = Arc::new(Int64Array::from_iter_values(seqs)) as ArrayRef;
    columns.chain([seqs]).collect()
}

/// Adds what a plan does to the rows of its table; tells whether `_user` is among their columns.
fn add_steps(
    steps: &mut Vec<Step>,
    state: &SessionState,
    plan: &LogicalPlan,
    table: &TableDef,
) -> Result<bool, SqlError> {
    let started = state.execution_props().query_execution_start_time;
    match plan {
        LogicalPlan::Projection(projection) => {
            let user = add_steps(steps, state, &projection.input, table)?;
            let schema = projection.input.schema();
            let physical = |expr: &Expr| physical(state, started, expr, schema);
            let exprs = projection.expr.iter().map(physical);
            steps.push(Step::Project(exprs.collect::<Result<_, _>>()?));
            Ok(user)
        }
        LogicalPlan::Filter(filter) => {
            let user = add_steps(steps, state, &filter.input, table)?;
            let predicate = physical(state, started, &filter.predicate, filter.input.schema())?;
            let predicate = with_constants(predicate).map_err(from_datafusion)?;
            steps.push(Step::Filter(predicate));
            Ok(user)
        }
        LogicalPlan::SubqueryAlias(alias) => add_steps(steps, state, &alias.input, table),
        LogicalPlan::TableScan(scan) => {
            let mut fields = scan.projected_schema.fields().iter();
            Ok(fields.any(|field| field.name() == USER) && table.column_index(USER).is_none())
        }
        other => {
            let message = format!(
                "the analyzer made a subscription's query {}",
                other.display()
            );
            Err(SqlError::new(ErrorKind::InternalError, message))
        }
    }
}

/// Takes off select lists that only repeat the table's columns, of which there are `width`.
fn drop_identities(steps: &mut Vec<Step>, width: usize) {
    let is_column = |(at, expr): (usize, &Arc<dyn PhysicalExpr>)| {
        (expr.downcast_ref::<Column>()).is_some_and(|column| column.index() == at)
    };
    while let Some(at) = first_list(steps)
        && let Step::Project(exprs) = &steps[at]
        && exprs.len() == width
        && exprs.iter().enumerate().all(is_column)
    {
        steps.remove(at);
    }
}

fn first_list(steps: &[Step]) -> Option<usize> {
    (steps.iter()).position(|step| matches!(step, Step::Project(_)))
}

fn asked_by(condition: &Arc<dyn PhysicalExpr>, table: &TableDef) -> Option<Asked> {
    let (operand, values) = if let Some(binary) = condition.downcast_ref::<BinaryExpr>()
        && *binary.op() == Operator::Eq
    {
        match value_of(binary.left()) {
            Some(_) => (binary.right(), vec![binary.left()]),
            None => (binary.left(), vec![binary.right()]),
        }
    } else if let Some(list) = condition.downcast_ref::<InListExpr>()
        && !list.negated()
        && list.list().len() <= ASKED_VALUES_MAX
    {
        (list.expr(), list.list().iter().collect())
    } else {
        return None;
    };
    let column = operand.downcast_ref::<Column>()?.index();
    let ty = table.columns.get(column)?.ty;
    if !is_compared_as_stored(ty) {
        return None;
    }
    let values = values.into_iter().map(|value| {
        let value = value_of(value)?
            .cast_to(&ty.arrow())
            .ok()?
            .to_array()
            .ok()?;
        key::sortable(ty, datum::datum_at(value.as_ref(), 0)?)
    });
    Some(Asked {
        column,
        ty,
        values: values.collect::<Option<Vec<_>>>()?,
    })
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef, SqlError> {
    let value = expr.evaluate(batch).map_err(from_datafusion)?;
    value.into_array(batch.num_rows()).map_err(from_datafusion)
}

/// The query with the Seq of each row in front of its select list, the oldest first; only the newest `last_rows` if
/// that is given.
pub(super) fn snapshot_plan(
    plan: &LogicalPlan,
    last_rows: Option<u64>,
) -> Result<LogicalPlan, SqlError> {
    let build = || {
        let (plan, _) = with_seq(plan)?;
        let seq = ident(SEQ_OF_ROW);
        let mut builder = LogicalPlanBuilder::from(plan);
        if let Some(rows) = last_rows {
            let rows = usize::try_from(rows)
                .unwrap_or(usize::MAX)
                .min(i64::MAX as usize);
            builder = builder
                .sort([seq.clone().sort(false, false)])?
                .limit(0, Some(rows))?;
        }
        builder.sort([seq.sort(true, false)])?.build()
    };
    build().map_err(from_datafusion)
}

/// The plan with its rows' Seqs, and the column that they stand in.
fn with_seq(plan: &LogicalPlan) -> datafusion::error::Result<(LogicalPlan, Expr)> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => {
            let (input, seq) = with_seq(&projection.input)?;
            let seq = std::iter::once(seq.alias(SEQ_OF_ROW));
            let exprs: Vec<Expr> = seq.chain(projection.expr.iter().cloned()).collect();
            let plan = LogicalPlanBuilder::from(input).project(exprs)?.build()?;
            (plan, ident(SEQ_OF_ROW))
        }
        LogicalPlan::Filter(filter) => {
            let (input, seq) = with_seq(&filter.input)?;
            let plan = LogicalPlanBuilder::from(input)
                .filter(filter.predicate.clone())?
                .build()?;
            (plan, seq)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, _) = with_seq(&alias.input)?;
            let name = if input.schema().has_column_with_unqualified_name(SEQ_OF_ROW) {
                SEQ_OF_ROW
            } else {
                SEQ
            };
            let plan = LogicalPlanBuilder::from(input)
                .alias(alias.alias.clone())?
                .build()?;
            let column = datafusion::common::Column::new(Some(alias.alias.clone()), name);
            (plan, Expr::Column(column))
        }
        scan => {
            let (qualifier, field) = scan.schema().qualified_field_with_unqualified_name(SEQ)?;
            let column = datafusion::common::Column::from((qualifier, field));
            (scan.clone(), Expr::Column(column))
        }
    })
}
