//! `sum`, which gives a numeric for bigints as PostgreSQL's does; DataFusion's wraps around.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    Signature, Volatility,
};

use super::moments;
use super::spans::{self, Spans};
use crate::arithmetic::one_nan;
use crate::error::{ErrorKind, SqlError};

/// What an int8 is summed as: 10^19 of the largest fit the sum's 38 digits.
const BIGINT: DataType = DataType::Decimal128(28, 0);

/// Numerics with scales of their own.
const NUMBER: DataType = DataType::LargeBinary;

#[derive(Debug, PartialEq, Eq, Hash)]
struct PostgresSum {
    sum: Sum,
    signature: Signature,
}

/// The aggregate function `sum`.
pub(crate) fn sum() -> AggregateUDF {
    AggregateUDF::from(PostgresSum {
        sum: Sum::new(),
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

impl AggregateUDFImpl for PostgresSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [ty] = types else {
            return exec_err!("sum takes one argument");
        };
        Ok(vec![match ty {
            // Not to bigint: coerced twice, which views and subqueries are, the sum would be a bigint's.
            DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int32,
            DataType::UInt8 | DataType::UInt16 => DataType::Int32,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => BIGINT,
            DataType::Float32 => DataType::Float32,
            DataType::Float16 | DataType::Float64 => DataType::Float64,
            DataType::Null => DataType::Float64,
            // As many more digits as rows can make of it.
            DataType::Decimal128(precision, scale) if *precision > 28 => {
                DataType::Decimal256(*precision, *scale)
            }
            ty if ty.is_decimal() || *ty == NUMBER => ty.clone(),
            ty if spans::takes(ty) => ty.clone(),
            _ => return Err(super::undefined("sum", types)),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Int32] => Ok(DataType::Int64),
            [DataType::Float32] => Ok(DataType::Float32),
            [NUMBER] => Ok(NUMBER),
            // No decimal would hold it.
            [DataType::Decimal256(67.., _)] => Ok(NUMBER),
            [ty] if spans::takes(ty) => Ok(spans::result()),
            types => self.sum.return_type(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = args.return_type().clone();
        if ty == spans::result() {
            return Ok(Box::new(Spans::sum(args.is_distinct)));
        }
        if ty == NUMBER {
            return Ok(moments::sum(args.is_distinct, false));
        }
        if ty == DataType::Float32 {
            return Ok(match args.is_distinct {
                true => Box::new(DistinctSingles::default()),
                false => Box::new(Singles::default()),
            });
        }
        Ok(Box::new(Summed::new(self.sum.accumulator(args)?, ty)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.return_type() == &spans::result() {
            return Ok(spans::state_fields(args.name));
        }
        if args.return_type() == &NUMBER {
            return Ok(moments::state_fields(args.name));
        }
        if args.return_type() == &DataType::Float32 && !args.is_distinct {
            let field =
                |name: &str, ty| Arc::new(Field::new(format!("{} {name}", args.name), ty, true));
            return Ok(vec![
                field("sum", DataType::Float32),
                field("count", DataType::Int64),
            ]);
        }
        self.sum.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        ![DataType::Float32, NUMBER, spans::result()].contains(args.return_type())
            && self.sum.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let ty = args.return_type().clone();
        Ok(Box::new(Summed::new(
            self.sum.create_groups_accumulator(args)?,
            ty,
        )))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = args.return_type().clone();
        if ty == spans::result() {
            return Ok(Box::new(Spans::sum(args.is_distinct)));
        }
        if ty == NUMBER {
            return Ok(moments::sum(args.is_distinct, true));
        }
        if ty == DataType::Float32 {
            return Ok(Box::new(Singles::default()));
        }
        Ok(Box::new(Summed::new(
            self.sum.create_sliding_accumulator(args)?,
            ty,
        )))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// 22003 for a sum that is not finite though all that was added is.
fn check(sum: f64, of_finite: bool) -> Result<()> {
    match of_finite && !sum.is_finite() {
        true => Err(overflow()),
        false => Ok(()),
    }
}

/// What PostgreSQL says of floats that overflow.
pub(super) fn overflow() -> DataFusionError {
    let message = "value out of range: overflow";
    let error = SqlError::new(ErrorKind::NumericValueOutOfRange, message);
    DataFusionError::External(Box::new(error))
}

/// Whether floats are summed.
fn of_floats(values: &ArrayRef) -> Option<&Float64Array> {
    values.as_primitive_opt::<Float64Type>()
}

/// The sum of different reals.
#[derive(Debug, Default)]
struct DistinctSingles(BTreeSet<Single>);

/// A real with the order that PostgreSQL adds them up in: NaN is above all others and equal to itself.
#[derive(Clone, Copy, Debug)]
struct Single(f32);

impl Ord for Single {
    fn cmp(&self, other: &Single) -> Ordering {
        let nan = || self.0.is_nan().cmp(&other.0.is_nan());
        self.0.partial_cmp(&other.0).unwrap_or_else(nan)
    }
}

impl PartialOrd for Single {
    fn partial_cmp(&self, other: &Single) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Single {
    fn eq(&self, other: &Single) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Single {}

impl Accumulator for DistinctSingles {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Float32Type>();
        self.0.extend(values.iter().flatten().map(Single));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self
            .0
            .iter()
            .map(|value| ScalarValue::Float32(Some(value.0)));
        let values: Vec<ScalarValue> = values.collect();
        let list = ScalarValue::new_list_nullable(&values, &DataType::Float32);
        Ok(vec![ScalarValue::List(list)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.0.iter().map(|value| value.0);
        let sum = values.reduce(|sum, value| sum + value);
        Ok(ScalarValue::Float32(sum.map(one_nan)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.len() * size_of::<Single>()
    }
}

/// The sum of reals, which is a real.
#[derive(Debug, Default)]
struct Singles {
    sum: f32,
    count: i64,
    /// How many of them are not finite.
    infinite: i64,
}

impl Accumulator for Singles {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float32Type>().iter().flatten() {
            self.sum += value;
            self.count += 1;
            self.infinite += i64::from(!value.is_finite());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float32Type>().iter().flatten() {
            self.sum -= value;
            self.count -= 1;
            self.infinite -= i64::from(!value.is_finite());
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sums = states[0].as_primitive::<Float32Type>();
        let counts = states[1].as_primitive::<Int64Type>();
        for (sum, count) in sums.iter().zip(counts) {
            self.sum += sum.unwrap_or_default();
            self.infinite += i64::from(sum.is_some_and(|sum| !sum.is_finite()));
            self.count += count.unwrap_or_default();
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        check(self.sum.into(), self.infinite == 0)?;
        Ok(vec![
            ScalarValue::Float32(Some(self.sum)),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        check(self.sum.into(), self.infinite == 0)?;
        let sum = (self.count > 0).then(|| one_nan(self.sum));
        Ok(ScalarValue::Float32(sum))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// An accumulator of DataFusion's sum, which takes its values in the type of the result, and fails where a sum of floats
/// overflows.
#[derive(Debug)]
struct Summed<A: ?Sized> {
    of: Box<A>,
    ty: DataType,
    /// Of which groups something was added that is not finite; those at the end are left out.
    infinite: Vec<bool>,
}

impl<A: ?Sized> Summed<A> {
    fn new(of: Box<A>, ty: DataType) -> Summed<A> {
        Summed {
            of,
            ty,
            infinite: Vec::new(),
        }
    }

    fn widened(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let widen = |values: &ArrayRef| match values.data_type() {
            DataType::Int32 => Ok(cast(values, &self.ty)?),
            _ => Ok(values.clone()),
        };
        values.iter().map(widen).collect()
    }

    /// Takes down in which groups values are that are not finite.
    fn note(
        &mut self,
        values: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) {
        let Some(floats) = of_floats(&values[0]) else {
            return;
        };
        let counts = |row: usize| {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            passes && floats.is_valid(row)
        };
        for (row, value) in floats.values().iter().enumerate() {
            if !value.is_finite() && counts(row) {
                let group = group_of(row);
                if self.infinite.len() <= group {
                    self.infinite.resize(group + 1, false);
                }
                self.infinite[group] = true;
            }
        }
    }

    /// Checks sums of the first groups.
    fn check_all(&self, sums: &ArrayRef) -> Result<()> {
        let Some(floats) = of_floats(sums) else {
            return Ok(());
        };
        let is_infinite = |group: usize| self.infinite.get(group).copied().unwrap_or(false);
        (floats.iter().enumerate())
            .try_for_each(|(group, sum)| check(sum.unwrap_or_default(), !is_infinite(group)))
    }

    fn forget(&mut self, emit: EmitTo) {
        let gone = match emit {
            EmitTo::All => self.infinite.len(),
            EmitTo::First(groups) => groups.min(self.infinite.len()),
        };
        self.infinite.drain(..gone);
    }
}

impl Summed<dyn Accumulator> {
    fn checked(&self, sum: ScalarValue) -> Result<ScalarValue> {
        if let ScalarValue::Float64(Some(value)) = sum {
            check(value, self.infinite.is_empty())?;
        }
        Ok(sum)
    }
}

impl Accumulator for Summed<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.widened(values)?;
        self.note(&values, |_| 0, None);
        self.of.update_batch(&values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.of.evaluate()?;
        Ok(match self.checked(sum)? {
            ScalarValue::Float64(sum) => ScalarValue::Float64(sum.map(one_nan)),
            sum => sum,
        })
    }

    fn size(&self) -> usize {
        self.of.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.of.state()?;
        state.into_iter().map(|sum| self.checked(sum)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        match states[0].as_list_opt::<i32>() {
            // Those of DISTINCT are its values.
            Some(lists) => (lists.iter().flatten()).for_each(|values| {
                self.note(&[values], |_| 0, None);
            }),
            None => self.note(states, |_| 0, None),
        }
        self.of.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.widened(values)?;
        self.of.retract_batch(&values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.of.supports_retract_batch()
    }
}

impl GroupsAccumulator for Summed<dyn GroupsAccumulator> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        let values = self.widened(values)?;
        self.note(&values, |row| group_indices[row], filter);
        self.of.update_batch(&values, group_indices, filter, groups)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = self.of.evaluate(emit)?;
        self.check_all(&sums)?;
        self.forget(emit);
        Ok(match of_floats(&sums) {
            Some(floats) => Arc::new(floats.unary::<_, Float64Type>(one_nan)),
            None => sums,
        })
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let state = self.of.state(emit)?;
        state.iter().try_for_each(|sums| self.check_all(sums))?;
        self.forget(emit);
        Ok(state)
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        self.note(states, |row| group_indices[row], None);
        self.of.merge_batch(states, group_indices, groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.of.convert_to_state(&self.widened(values)?, filter)
    }

    fn size(&self) -> usize {
        self.of.size() + self.infinite.capacity()
    }
}
