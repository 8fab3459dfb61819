//! `avg`, `variance` and `stddev` with their variants, as PostgreSQL computes them: exactly, and with its digits, of
//! integers and numerics; by Youden and Cramer's method of floating-point numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, i256};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use tidelog_storage::ColumnType;
use tidelog_storage::datum::{Numeric, datum_at};
use tidelog_storage::{Datum, DatumRef};

use super::exact::Exact;
use super::spans::{self, Spans};
use crate::error::{ErrorKind, SqlError};
use crate::types;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Average,
    VarianceOfSample,
    VarianceOfPopulation,
    DeviationOfSample,
    DeviationOfPopulation,
}

/// The names of each.
const KINDS: [(&str, Kind); 7] = [
    ("avg", Kind::Average),
    ("variance", Kind::VarianceOfSample),
    ("var_samp", Kind::VarianceOfSample),
    ("var_pop", Kind::VarianceOfPopulation),
    ("stddev", Kind::DeviationOfSample),
    ("stddev_samp", Kind::DeviationOfSample),
    ("stddev_pop", Kind::DeviationOfPopulation),
];

/// What `numeric` without precision is in results.
fn plain_numeric() -> DataType {
    ColumnType::Numeric(None).arrow()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Moments {
    name: &'static str,
    kind: Kind,
    /// Whether an exact result is given as text, with PostgreSQL's digits.
    written: bool,
    signature: Signature,
}

/// The aggregate functions.
pub(crate) fn moments() -> impl Iterator<Item = AggregateUDF> {
    KINDS
        .into_iter()
        .map(|(name, kind)| made(name, kind, false))
}

fn made(name: &'static str, kind: Kind, written: bool) -> AggregateUDF {
    AggregateUDF::from(Moments {
        name,
        kind,
        written,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// The variant of one of these functions that gives an exact result as text; `None` for other functions.
pub(crate) fn written(function: &AggregateUDF) -> Option<AggregateUDF> {
    let moments = function.inner().downcast_ref::<Moments>()?;
    (!moments.written).then(|| made(moments.name, moments.kind, true))
}

impl Moments {
    /// Whether it is the average of intervals.
    fn is_span(&self, ty: &DataType) -> bool {
        self.kind == Kind::Average && spans::takes(ty)
    }
}

fn is_exact(ty: &DataType) -> bool {
    ty.is_integer() || ty.is_decimal()
}

impl AggregateUDFImpl for Moments {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [ty] if is_exact(ty) || self.is_span(ty) => Ok(vec![ty.clone()]),
            [DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null] => {
                Ok(vec![DataType::Float64])
            }
            types => Err(undefined(self.name, types)),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types {
            [ty] if is_exact(ty) && self.written => DataType::Utf8,
            [ty] if is_exact(ty) => plain_numeric(),
            [ty] if self.is_span(ty) => spans::result(),
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = args.expr_fields[0].data_type().clone();
        if self.is_span(&ty) {
            return Ok(Box::new(Spans::average(args.is_distinct)));
        }
        Ok(Box::new(State {
            kind: self.kind,
            written: self.written,
            // Of a numeric without scale the digits are those that its values have.
            trims: ty == plain_numeric(),
            seen: args.is_distinct.then(BTreeSet::new),
            exact: is_exact(&ty).then(Sums::default),
            floats: Floats::default(),
        }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.return_type() == &spans::result() {
            return Ok(spans::state_fields(args.name));
        }
        let field =
            |name: &str, ty| Arc::new(Field::new(format!("{} {name}", args.name), ty, true));
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        Ok(vec![
            field("count", DataType::Int64),
            field("sum", DataType::Utf8),
            field("squares", DataType::Utf8),
            field("float sum", DataType::Float64),
            field("float squares", DataType::Float64),
            field("seen", list),
        ])
    }
}

/// Sums of exact numbers.
#[derive(Debug, Default)]
struct Sums {
    count: i64,
    sum: Option<Exact>,
    squares: Option<Exact>,
}

/// Sums of floating-point numbers: float8_accum's.
#[derive(Debug, Default)]
struct Floats {
    count: f64,
    sum: f64,
    squares: f64,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    written: bool,
    trims: bool,
    /// The values so far, where each counts once.
    seen: Option<BTreeSet<String>>,
    /// `None` for floating-point numbers.
    exact: Option<Sums>,
    floats: Floats,
}

pub(crate) fn overflow() -> DataFusionError {
    let message = "value overflows numeric format";
    let error = SqlError::new(ErrorKind::NumericValueOutOfRange, message);
    DataFusionError::External(Box::new(error))
}

pub(crate) fn exact_of(value: DatumRef<'_>) -> Option<Exact> {
    Some(match value {
        DatumRef::Int2(v) => Exact::integer(v.into()),
        DatumRef::Int4(v) => Exact::integer(v.into()),
        DatumRef::Int8(v) => Exact::integer(v),
        DatumRef::Numeric(Numeric { unscaled, scale }) => Exact {
            unscaled,
            scale: scale.into(),
        },
        _ => return None,
    })
}

impl State {
    fn squares(&self) -> bool {
        self.kind != Kind::Average
    }

    fn add_exact(&mut self, value: Exact, sign: i64) -> Option<()> {
        let squares = self.squares();
        let value = if self.trims { value.trimmed() } else { value };
        let sums = self.exact.as_mut()?;
        let zero = Exact::integer(0);
        sums.count += sign;
        let apply = |sum: Option<Exact>, value: Exact| match sign {
            1 => sum.unwrap_or(zero).add(value),
            _ => sum.unwrap_or(zero).subtract(value),
        };
        sums.sum = Some(apply(sums.sum, value)?);
        if squares {
            sums.squares = Some(apply(sums.squares, value.multiply(value)?)?);
        }
        Some(())
    }

    fn add_float(&mut self, value: f64) -> Result<()> {
        let sums = &mut self.floats;
        let (before, sum) = (sums.count, sums.sum);
        sums.count += 1.0;
        sums.sum += value;
        if before > 0.0 {
            let distance = value * sums.count - sums.sum;
            sums.squares += distance * distance / (sums.count * before);
            if sums.sum.is_infinite() || sums.squares.is_infinite() {
                if !sum.is_infinite() && !value.is_infinite() {
                    return Err(super::sum::overflow());
                }
                sums.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            sums.squares = f64::NAN;
        }
        Ok(())
    }

    fn take_float(&mut self, value: f64) {
        let sums = &mut self.floats;
        let distance = value * sums.count - sums.sum;
        let rest = sums.count - 1.0;
        if rest > 0.0 {
            sums.squares -= distance * distance / (sums.count * rest);
        } else {
            sums.squares = 0.0;
        }
        sums.count = rest;
        sums.sum -= value;
    }

    fn change(&mut self, values: &ArrayRef, sign: i64) -> Result<()> {
        let floats = match self.exact {
            None => Some(cast(values, &DataType::Float64)?),
            Some(_) => None,
        };
        for row in 0..values.len() {
            if values.is_null(row) {
                continue;
            }
            if let Some(floats) = &floats {
                let value = floats.as_primitive::<Float64Type>().value(row);
                if let Some(seen) = &mut self.seen
                    && !seen.insert(value.to_bits().to_string())
                {
                    continue;
                }
                match sign {
                    1 => self.add_float(value)?,
                    _ => self.take_float(value),
                }
                continue;
            }
            let value = datum_at(values, row).and_then(exact_of);
            let Some(value) = value else {
                return Err(DataFusionError::Internal("a number was expected".into()));
            };
            if let Some(seen) = &mut self.seen
                && !seen.insert(value.trimmed().text())
            {
                continue;
            }
            self.add_exact(value, sign).ok_or_else(overflow)?;
        }
        Ok(())
    }

    fn exact_result(&self, sums: &Sums) -> Result<Option<Exact>> {
        let (Some(sum), count) = (sums.sum, Exact::integer(sums.count)) else {
            return Ok(None);
        };
        if sums.count == 0 {
            return Ok(None);
        }
        if self.kind == Kind::Average {
            return sum.divide(count).map(Some).ok_or_else(overflow);
        }
        let of_sample = matches!(self.kind, Kind::VarianceOfSample | Kind::DeviationOfSample);
        if of_sample && sums.count < 2 {
            return Ok(None);
        }
        let deviates = matches!(
            self.kind,
            Kind::DeviationOfSample | Kind::DeviationOfPopulation
        );
        let result = || {
            let distance = sums
                .squares?
                .multiply(count)?
                .subtract(sum.multiply(sum)?)?;
            if distance.unscaled <= i256::ZERO {
                return Some(Exact::integer(0));
            }
            let by = match of_sample {
                true => count.multiply(Exact::integer(sums.count - 1))?,
                false => count.multiply(count)?,
            };
            let variance = distance.divide(by)?;
            match deviates {
                true => variance.square_root(),
                false => Some(variance),
            }
        };
        result().map(Some).ok_or_else(overflow)
    }

    fn float_result(&self) -> Option<f64> {
        let Floats {
            count,
            sum,
            squares,
        } = self.floats;
        if count == 0.0 {
            return None;
        }
        match self.kind {
            Kind::Average => Some(sum / count),
            Kind::VarianceOfSample | Kind::DeviationOfSample if count < 2.0 => None,
            Kind::VarianceOfSample => Some(squares / (count - 1.0)),
            Kind::VarianceOfPopulation => Some(squares / count),
            Kind::DeviationOfSample => Some((squares / (count - 1.0)).sqrt()),
            Kind::DeviationOfPopulation => Some((squares / count).sqrt()),
        }
    }
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(sums) = &self.exact else {
            return Ok(ScalarValue::Float64(self.float_result()));
        };
        let result = self.exact_result(sums)?;
        if self.written {
            return Ok(ScalarValue::Utf8(result.map(Exact::text)));
        }
        let (precision, scale) = ColumnType::Numeric(None).numeric_shape();
        let unscaled = match result {
            None => None,
            Some(result) => {
                let result = result.with_scale(scale.into()).ok_or_else(overflow)?;
                Some(result.unscaled)
            }
        };
        Ok(ScalarValue::Decimal256(unscaled, precision, scale))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let text = |value: Option<Exact>| ScalarValue::Utf8(value.map(Exact::text));
        let exact = self.exact.as_ref();
        let seen = self.seen.iter().flatten();
        let seen: Vec<ScalarValue> = seen.map(|seen| ScalarValue::from(seen.as_str())).collect();
        #[allow(clippy::cast_possible_truncation)] // It counts.
        let count = exact.map_or(self.floats.count as i64, |sums| sums.count);
        Ok(vec![
            ScalarValue::Int64(Some(count)),
            text(exact.and_then(|sums| sums.sum)),
            text(exact.and_then(|sums| sums.squares)),
            ScalarValue::Float64(Some(self.floats.sum)),
            ScalarValue::Float64(Some(self.floats.squares)),
            ScalarValue::List(ScalarValue::new_list_nullable(&seen, &DataType::Utf8)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let number = |array: &ArrayRef, row: usize| -> Result<Option<Exact>> {
            match datum_at(array, row).map(DatumRef::to_owned) {
                Some(Datum::Text(text)) => read(&text).map(Some).ok_or_else(overflow),
                _ => Ok(None),
            }
        };
        for row in 0..states[0].len() {
            if self.seen.is_some() {
                let seen = states[5].as_list::<i32>().value(row);
                for value in seen.as_string::<i32>().iter().flatten() {
                    let fresh = self
                        .seen
                        .as_mut()
                        .is_some_and(|s| s.insert(value.to_string()));
                    if !fresh {
                        continue;
                    }
                    match self.exact {
                        Some(_) => {
                            let value = read(value).ok_or_else(overflow)?;
                            self.add_exact(value, 1).ok_or_else(overflow)?;
                        }
                        None => {
                            let bits = value.parse().unwrap_or_default();
                            self.add_float(f64::from_bits(bits))?;
                        }
                    }
                }
                continue;
            }
            let count = match datum_at(&states[0], row) {
                Some(DatumRef::Int8(count)) if count > 0 => count,
                _ => continue,
            };
            if let Some(sums) = &mut self.exact {
                sums.count += count;
                for (sum, at) in [(&mut sums.sum, 1), (&mut sums.squares, 2)] {
                    if let Some(value) = number(&states[at], row)? {
                        let before = sum.unwrap_or(Exact::integer(0));
                        *sum = Some(before.add(value).ok_or_else(overflow)?);
                    }
                }
                continue;
            }
            let float = |at: usize| states[at].as_primitive::<Float64Type>().value(row);
            #[allow(clippy::cast_precision_loss)] // As float8_combine has it.
            let (count, sum, squares) = (count as f64, float(3), float(4));
            let own = &mut self.floats;
            if own.count == 0.0 {
                *own = Floats {
                    count,
                    sum,
                    squares,
                };
                continue;
            }
            let distance = own.sum / own.count - sum / count;
            let total = own.count + count;
            let whole = own.squares + squares + own.count * count * distance * distance / total;
            let overflows = whole.is_infinite() && own.squares.is_finite() && squares.is_finite()
                || (own.sum + sum).is_infinite() && own.sum.is_finite() && sum.is_finite();
            if overflows {
                return Err(super::sum::overflow());
            }
            own.squares = whole;
            own.sum += sum;
            own.count = total;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, |seen| seen.len() * 48);
        size_of_val(self) + seen
    }
}

fn read(text: &str) -> Option<Exact> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Some(Exact {
        unscaled: i256::from_string(&format!("{whole}{fraction}"))?,
        scale: i32::try_from(fraction.len()).ok()?,
    })
}

/// PostgreSQL's name of an Arrow type.
pub(super) fn type_name(ty: &DataType) -> String {
    if ty.is_null() {
        return "unknown".to_string();
    }
    let field = Field::new("", ty.clone(), true);
    crate::output::column_type(&field).map_or_else(
        |_| "record".to_string(),
        |ty| match ty {
            ColumnType::Numeric(_) => "numeric".to_string(),
            ty => types::name(ty),
        },
    )
}

/// 42883 for a function of arguments of these types.
pub(crate) fn undefined(name: &str, types: &[DataType]) -> DataFusionError {
    let types: Vec<String> = types.iter().map(type_name).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
    let error = SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint);
    DataFusionError::External(Box::new(error))
}
