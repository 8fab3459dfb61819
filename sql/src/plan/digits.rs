//! The digits of numerics that a client sees: averages, variances and quotients have as many as in PostgreSQL. Inside a
//! plan a numeric without a scale is a decimal of a fixed one. So where a column of the result is nothing but such a
//! value, it is computed once more as text, and the text is what the client gets.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, Decimal256Array, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, JoinType, ScalarValue, Spans};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, Filter, Join, Limit, LogicalPlan, Projection, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Sort, Subquery, SubqueryAlias,
    Volatility, Window, WindowFunctionDefinition,
};
use tidelog_storage::ColumnType;
use tidelog_storage::catalog::PG_TYPE_KEY;
use tidelog_storage::datum::datum_at;

use crate::error::{ErrorKind, SqlError};
use crate::functions::exact::Exact;
use crate::functions::moments;
use crate::output::NUMERIC_TEXT;

/// A query whose numerics come as text where their digits are known.
pub(crate) fn written(plan: LogicalPlan) -> Result<LogicalPlan> {
    let fields = plan.schema().fields().iter().enumerate();
    let numerics = fields.filter(|(_, field)| field.data_type().is_decimal());
    let wanted: Vec<usize> = numerics.map(|(n, _)| n).collect();
    if wanted.is_empty() {
        return Ok(plan);
    }
    let mut names = 0;
    let (made, found) = carried(&plan, &wanted, &mut names)?;
    if found.is_empty() {
        return Ok(plan);
    }
    let columns = plan
        .schema()
        .iter()
        .enumerate()
        .map(|(n, (relation, field))| {
            let Some(text) = found.get(&n) else {
                return Expr::Column(Column::from((relation, field)));
            };
            let tag = HashMap::from([(PG_TYPE_KEY.to_string(), NUMERIC_TEXT.to_string())]);
            Expr::Column(text.clone()).alias_qualified_with_metadata(
                relation.cloned(),
                field.name(),
                Some(FieldMetadata::from(tag)),
            )
        });
    Projection::try_new(columns.collect(), Arc::new(made)).map(LogicalPlan::Projection)
}

/// A plan with its columns and, behind them, texts of those of the wanted ones that have one.
type Carried = (LogicalPlan, HashMap<usize, Column>);

fn carried(plan: &LogicalPlan, wanted: &[usize], names: &mut usize) -> Result<Carried> {
    let none = || Ok((plan.clone(), HashMap::new()));
    if wanted.is_empty() {
        return none();
    }
    let through = |input: &LogicalPlan, names: &mut usize| carried(input, wanted, names);
    match plan {
        LogicalPlan::Projection(projection) => projected(projection, wanted, names),
        LogicalPlan::Filter(filter) => {
            let (input, found) = through(&filter.input, names)?;
            let made = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok((LogicalPlan::Filter(made), found))
        }
        LogicalPlan::Sort(sort) => {
            let (input, found) = through(&sort.input, names)?;
            let made = Sort {
                input: Arc::new(input),
                ..sort.clone()
            };
            Ok((LogicalPlan::Sort(made), found))
        }
        LogicalPlan::Limit(limit) => {
            let (input, found) = through(&limit.input, names)?;
            let made = Limit {
                input: Arc::new(input),
                ..limit.clone()
            };
            Ok((LogicalPlan::Limit(made), found))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, found) = through(&alias.input, names)?;
            let made = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            let found = found
                .into_iter()
                .map(|(n, column)| (n, Column::new(Some(alias.alias.clone()), column.name)));
            let found = found.collect();
            Ok((LogicalPlan::SubqueryAlias(made), found))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            let mut calls = aggregate.aggr_expr.clone();
            let mut found = HashMap::new();
            for &n in wanted {
                let Some(at) = n.checked_sub(groups) else {
                    continue;
                };
                let call = aggregate.aggr_expr[at].clone().unalias_nested().data;
                if let Expr::AggregateFunction(call) = call
                    && let Some(function) = moments::written(&call.func)
                {
                    let name = fresh(names);
                    let call = AggregateFunction {
                        func: Arc::new(function),
                        ..call
                    };
                    calls.push(Expr::AggregateFunction(call).alias(&name));
                    found.insert(n, Column::new_unqualified(name));
                }
            }
            if found.is_empty() {
                return none();
            }
            let groups = aggregate.group_expr.clone();
            let made = Aggregate::try_new(aggregate.input.clone(), groups, calls)?;
            Ok((LogicalPlan::Aggregate(made), found))
        }
        LogicalPlan::Window(window) => windowed(window, wanted, names),
        LogicalPlan::Join(join) => joined(join, wanted, names),
        _ => none(),
    }
}

fn fresh(names: &mut usize) -> String {
    *names += 1;
    format!("digits {names}")
}

fn projected(projection: &Projection, wanted: &[usize], names: &mut usize) -> Result<Carried> {
    let input_schema = projection.input.schema();
    let mut below: HashMap<usize, usize> = HashMap::new();
    let mut columns = projection.expr.clone();
    let mut found = HashMap::new();
    for &n in wanted {
        match projection.expr[n].clone().unalias_nested().data {
            Expr::Column(column) => {
                if let Some(at) = input_schema.maybe_index_of_column(&column) {
                    below.insert(n, at);
                }
            }
            Expr::ScalarSubquery(subquery) => {
                let plan = written(subquery.subquery.as_ref().clone())?;
                if plan.schema().field(0).data_type().is_decimal() {
                    continue;
                }
                let name = fresh(names);
                let subquery = Subquery {
                    subquery: Arc::new(plan),
                    outer_ref_columns: subquery.outer_ref_columns,
                    spans: Spans::new(),
                };
                columns.push(Expr::ScalarSubquery(subquery).alias(&name));
                found.insert(n, Column::new_unqualified(name));
            }
            Expr::ScalarFunction(call) if is_quotient(&call) => {
                let name = fresh(names);
                let call = ScalarFunction::new_udf(made(true), call.args);
                columns.push(Expr::ScalarFunction(call).alias(&name));
                found.insert(n, Column::new_unqualified(name));
            }
            _ => {}
        }
    }
    let mut inner: Vec<usize> = below.values().copied().collect();
    inner.sort_unstable();
    inner.dedup();
    let (input, texts) = carried(&projection.input, &inner, names)?;
    for (n, at) in below {
        if let Some(text) = texts.get(&at) {
            let name = fresh(names);
            columns.push(Expr::Column(text.clone()).alias(&name));
            found.insert(n, Column::new_unqualified(name));
        }
    }
    let made = Projection::try_new(columns, Arc::new(input))?;
    Ok((LogicalPlan::Projection(made), found))
}

fn windowed(window: &Window, wanted: &[usize], names: &mut usize) -> Result<Carried> {
    let width = window.input.schema().fields().len();
    let inner: Vec<usize> = wanted.iter().copied().filter(|n| *n < width).collect();
    let (input, mut found) = carried(&window.input, &inner, names)?;
    let mut exprs = window.window_expr.clone();
    for &n in wanted.iter().filter(|n| **n >= width) {
        let call = window.window_expr[n - width].clone().unalias_nested().data;
        let Expr::WindowFunction(call) = call else {
            continue;
        };
        let WindowFunctionDefinition::AggregateUDF(function) = &call.fun else {
            continue;
        };
        if let Some(function) = moments::written(function) {
            let name = fresh(names);
            let call = WindowFunction {
                fun: WindowFunctionDefinition::AggregateUDF(Arc::new(function)),
                params: call.params,
            };
            exprs.push(Expr::WindowFunction(Box::new(call)).alias(&name));
            found.insert(n, Column::new_unqualified(name));
        }
    }
    let made = Window::try_new(exprs, Arc::new(input))?;
    ordered(LogicalPlan::Window(made), &window.schema, found)
}

fn joined(join: &Join, wanted: &[usize], names: &mut usize) -> Result<Carried> {
    let none = || Ok((LogicalPlan::Join(join.clone()), HashMap::new()));
    use JoinType::{Full, Inner, Left, Right};
    if !matches!(join.join_type, Inner | Left | Right | Full) {
        return none();
    }
    let width = join.left.schema().fields().len();
    let (left, right): (Vec<usize>, Vec<usize>) = wanted.iter().partition(|n| **n < width);
    let right: Vec<usize> = right.into_iter().map(|n| n - width).collect();
    let (left, mut found) = carried(&join.left, &left, names)?;
    let (right, texts) = carried(&join.right, &right, names)?;
    found.extend(texts.into_iter().map(|(n, column)| (n + width, column)));
    if found.is_empty() {
        return none();
    }
    let made = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    ordered(LogicalPlan::Join(made), &join.schema, found)
}

/// The columns of a schema, then the texts.
fn ordered(
    plan: LogicalPlan,
    schema: &datafusion::common::DFSchemaRef,
    found: HashMap<usize, Column>,
) -> Result<Carried> {
    let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    columns.extend(found.values().cloned().map(Expr::Column));
    let made = Projection::try_new(columns, Arc::new(plan))?;
    Ok((LogicalPlan::Projection(made), found))
}

/// The quotient of two exact numbers with the digits that PostgreSQL gives it: as text, or as many of them as a numeric
/// without a scale keeps. (DataFusion's has four more than the dividend.)
#[derive(Debug, PartialEq, Eq, Hash)]
struct Quotient {
    written: bool,
    signature: Signature,
}

fn made(written: bool) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Quotient {
        written,
        signature: Signature::any(2, Volatility::Immutable),
    }))
}

/// The quotient of two exact numbers.
pub(super) fn quotient(dividend: Expr, divisor: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(
        made(false),
        vec![dividend, divisor],
    ))
}

fn is_quotient(call: &ScalarFunction) -> bool {
    let quotient = call.func.inner().downcast_ref::<Quotient>();
    quotient.is_some_and(|quotient| !quotient.written)
}

impl ScalarUDFImpl for Quotient {
    fn name(&self) -> &str {
        "numeric_quotient"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.written {
            true => DataType::Utf8,
            false => ColumnType::Numeric(None).arrow(),
        })
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ty = self.return_type(&[])?;
        Ok(Arc::new(Field::new(self.name(), ty, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let sides = ColumnarValue::values_to_arrays(&args.args)?;
        let plain = ColumnType::Numeric(None).arrow();
        let of = |side: &Arc<dyn Array>, row: usize| {
            let value = datum_at(side, row).and_then(moments::exact_of);
            value.map(|value| match *side.data_type() == plain {
                true => value.trimmed(),
                false => value,
            })
        };
        let quotients = (0..sides[0].len()).map(|row| {
            let (Some(dividend), Some(by)) = (of(&sides[0], row), of(&sides[1], row)) else {
                return Ok(None);
            };
            if by.unscaled == arrow::datatypes::i256::ZERO {
                let error = SqlError::new(ErrorKind::DivisionByZero, "division by zero");
                return Err(DataFusionError::External(Box::new(error)));
            }
            dividend.divide(by).map(Some).ok_or_else(moments::overflow)
        });
        let quotients = quotients
            .collect::<Result<Vec<Option<Exact>>>>()?
            .into_iter();
        let array: Arc<dyn Array> = match (self.written, plain) {
            (false, DataType::Decimal256(precision, scale)) => {
                let kept = quotients.map(|quotient| match quotient {
                    None => Ok(None),
                    Some(quotient) => {
                        let kept = quotient.with_scale(scale.into());
                        let kept = kept.ok_or_else(moments::overflow)?;
                        Ok(Some(kept.unscaled))
                    }
                });
                let kept = kept.collect::<Result<Decimal256Array>>()?;
                Arc::new(kept.with_precision_and_scale(precision, scale)?)
            }
            _ => {
                let texts = quotients.map(|quotient| quotient.map(Exact::text));
                Arc::new(texts.collect::<StringArray>())
            }
        };
        Ok(match array.len() {
            1 if rows != 1 => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            _ => ColumnarValue::Array(array),
        })
    }
}
