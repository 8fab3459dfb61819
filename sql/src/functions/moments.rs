//! `avg`, `variance` and `stddev` with their variants, and `sum` of numerics, as PostgreSQL computes them: exactly, and with
//! its digits, of integers and numerics; by Youden and Cramer's method of floating-point numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use tidelog_storage::ColumnType;
use tidelog_storage::datum::{Number, Parts, datum_at};
use tidelog_storage::{DatumRef, key};

use super::decimal::Decimal;
use super::spans::{self, Spans};
use crate::arithmetic::one_nan;
use crate::error::{ErrorKind, SqlError};
use crate::functions;
use crate::text::{self, Style, number};
use crate::types;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
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
    signature: Signature,
}

/// The aggregate functions.
pub(crate) fn moments() -> impl Iterator<Item = AggregateUDF> {
    KINDS.into_iter().map(|(name, kind)| {
        AggregateUDF::from(Moments {
            name,
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    })
}

/// What adds up numerics of any scale.
pub(super) fn sum(is_distinct: bool, slides: bool) -> Box<dyn Accumulator> {
    Box::new(State::new(Kind::Sum, is_distinct, true, slides))
}

impl Moments {
    fn state(&self, args: &AccumulatorArgs, slides: bool) -> Box<dyn Accumulator> {
        let ty = args.expr_fields[0].data_type();
        match self.is_span(ty) {
            true => Box::new(Spans::average(args.is_distinct)),
            false => Box::new(State::new(
                self.kind,
                args.is_distinct,
                is_exact(ty),
                slides,
            )),
        }
    }

    /// Whether it is the average of intervals.
    fn is_span(&self, ty: &DataType) -> bool {
        self.kind == Kind::Average && spans::takes(ty)
    }
}

fn is_exact(ty: &DataType) -> bool {
    ty.is_integer() || ty.is_decimal() || *ty == plain_numeric()
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
            [ty] if is_exact(ty) => plain_numeric(),
            [ty] if self.is_span(ty) => spans::result(),
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(self.state(&args, false))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(self.state(&args, true))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.return_type() == &spans::result() {
            return Ok(spans::state_fields(args.name));
        }
        Ok(state_fields(args.name))
    }
}

/// What is known of some rows.
pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    let field = |what: &str, ty| Arc::new(Field::new(format!("{name} {what}"), ty, true));
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    vec![
        field("count", DataType::Int64),
        field("sum", DataType::Utf8),
        field("squares", DataType::Utf8),
        field("float sum", DataType::Float64),
        field("float squares", DataType::Float64),
        field("seen", list),
        field("nans", DataType::Int64),
        field("infinite", DataType::Int64),
        field("negative infinite", DataType::Int64),
    ]
}

/// Sums of exact numbers.
#[derive(Debug, Default)]
struct Sums {
    /// Of all values, also those that are not finite.
    count: i64,
    sum: Decimal,
    squares: Decimal,
    /// How many are NaN, infinite, and negative and infinite.
    special: [i64; 3],
    /// How many have which scale, where values are taken away again.
    scales: Option<BTreeMap<i32, i64>>,
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
    /// The values so far, where each counts once, by what tells them apart.
    seen: Option<BTreeMap<Vec<u8>, String>>,
    /// `None` for floating-point numbers.
    exact: Option<Sums>,
    floats: Floats,
}

fn overflow() -> DataFusionError {
    DataFusionError::External(Box::new(number::overflow()))
}

impl Sums {
    fn add(&mut self, value: DatumRef<'_>, takes_away: bool, squares: bool) -> Result<()> {
        let sign = if takes_away { -1 } else { 1 };
        self.count += sign;
        let value = match value {
            DatumRef::Int2(v) => Decimal::from(i64::from(v)),
            DatumRef::Int4(v) => Decimal::from(i64::from(v)),
            DatumRef::Int8(v) => Decimal::from(v),
            DatumRef::Numeric(v) => Decimal::from(v),
            DatumRef::Number(v) => match v.parts() {
                Some(Parts::Finite(value)) => Decimal::from(value),
                special => {
                    let at = match special {
                        Some(Parts::Infinity) => 1,
                        Some(Parts::MinusInfinity) => 2,
                        _ => 0,
                    };
                    self.special[at] += sign;
                    return Ok(());
                }
            },
            _ => return Err(DataFusionError::Internal("a number was expected".into())),
        };
        self.sum.add(&value, takes_away);
        if squares {
            self.squares.add(&value.times(&value), takes_away);
        }
        if let Some(scales) = &mut self.scales {
            let count = scales.entry(value.scale()).or_default();
            *count += sign;
            if *count == 0 {
                scales.remove(&value.scale());
            }
        }
        Ok(())
    }

    /// The sum, with the digits of what was added and is still there.
    fn sum(&self) -> Decimal {
        let scale = self.scales.as_ref().and_then(|scales| scales.keys().last());
        match scale {
            Some(scale) => self.sum.rounded(*scale),
            None => self.sum.clone(),
        }
    }

    /// The sum where it is not finite.
    fn special(&self) -> Option<Number> {
        match self.special.map(|count| count > 0) {
            [false, false, false] => None,
            [false, true, false] => Some(Number::infinity(false)),
            [false, false, true] => Some(Number::infinity(true)),
            _ => Some(Number::nan()),
        }
    }
}

impl State {
    fn new(kind: Kind, is_distinct: bool, is_exact: bool, slides: bool) -> State {
        let sums = || Sums {
            scales: slides.then(BTreeMap::new),
            ..Sums::default()
        };
        State {
            kind,
            seen: is_distinct.then(BTreeMap::new),
            exact: is_exact.then(sums),
            floats: Floats::default(),
        }
    }

    fn squares(&self) -> bool {
        !matches!(self.kind, Kind::Sum | Kind::Average)
    }

    /// Whether a value counts: once, where each does.
    fn is_new(&mut self, key: Vec<u8>, written: impl FnOnce() -> String) -> bool {
        let Some(seen) = &mut self.seen else {
            return true;
        };
        let is_new = !seen.contains_key(&key);
        if is_new {
            seen.insert(key, written());
        }
        is_new
    }

    /// Adds a value that another state has seen.
    fn add_seen(&mut self, seen: &str) -> Result<()> {
        if self.exact.is_none() {
            let bits: u64 = seen.parse().unwrap_or_default();
            return match self.is_new(bits.to_be_bytes().to_vec(), || seen.to_string()) {
                true => self.add_float(f64::from_bits(bits)),
                false => Ok(()),
            };
        }
        let value = text::parse(ColumnType::Numeric(None), seen);
        let value = value.map_err(|error| DataFusionError::External(Box::new(error)))?;
        match self.is_new(key_of(value.as_ref())?, || seen.to_string()) {
            true => self.add_exact(value.as_ref(), false),
            false => Ok(()),
        }
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
                let bits = value.to_bits();
                if !self.is_new(bits.to_be_bytes().to_vec(), || bits.to_string()) {
                    continue;
                }
                match sign {
                    1 => self.add_float(value)?,
                    _ => self.take_float(value),
                }
                continue;
            }
            let value = datum_at(values, row).unwrap_or(DatumRef::Null);
            if self.seen.is_some() && !self.is_new(key_of(value)?, || written(value)) {
                continue;
            }
            self.add_exact(value, sign < 0)?;
        }
        Ok(())
    }

    fn add_exact(&mut self, value: DatumRef<'_>, takes_away: bool) -> Result<()> {
        let squares = self.squares();
        match &mut self.exact {
            Some(sums) => sums.add(value, takes_away, squares),
            None => Ok(()),
        }
    }

    fn exact_result(&self, sums: &Sums) -> Result<Option<Number>> {
        let of_sample = matches!(self.kind, Kind::VarianceOfSample | Kind::DeviationOfSample);
        if sums.count < 1 + i64::from(of_sample) {
            return Ok(None);
        }
        let count = Decimal::from(sums.count);
        if let Some(special) = sums.special() {
            return Ok(Some(match self.squares() {
                true => Number::nan(),
                false => special,
            }));
        }
        let sum = sums.sum();
        let result = match self.kind {
            Kind::Sum => sum,
            Kind::Average => sum.divided_by(&count),
            kind => {
                let squares = sums.squares.rounded(sum.scale() * 2);
                let distance = squares.times(&count).minus(&sum.times(&sum));
                let by = match of_sample {
                    true => count.times(&Decimal::from(sums.count - 1)),
                    false => count.times(&count),
                };
                match kind {
                    _ if distance.sign() <= 0 => Decimal::from(0),
                    Kind::DeviationOfSample | Kind::DeviationOfPopulation => {
                        distance.divided_by(&by).root_of_variance()
                    }
                    _ => distance.divided_by(&by),
                }
            }
        };
        result.number().map(Some).ok_or_else(overflow)
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
            Kind::Sum => Some(sum),
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
            return Ok(ScalarValue::Float64(self.float_result().map(one_nan)));
        };
        let result = self.exact_result(sums)?;
        let bytes = result.map(|number| number.as_ref().bytes().to_vec());
        Ok(ScalarValue::LargeBinary(bytes))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let exact = self.exact.as_ref();
        let text = |value: Option<&Decimal>| ScalarValue::Utf8(value.map(Decimal::shown));
        let seen = self.seen.iter().flat_map(BTreeMap::values);
        let seen: Vec<ScalarValue> = seen.map(|seen| ScalarValue::from(seen.as_str())).collect();
        #[allow(clippy::cast_possible_truncation)] // It counts.
        let count = exact.map_or(self.floats.count as i64, |sums| sums.count);
        let special = exact.map_or([0; 3], |sums| sums.special);
        let mut state = vec![
            ScalarValue::Int64(Some(count)),
            text(exact.map(|sums| &sums.sum)),
            text(exact.map(|sums| &sums.squares)),
            ScalarValue::Float64(Some(self.floats.sum)),
            ScalarValue::Float64(Some(self.floats.squares)),
            ScalarValue::List(ScalarValue::new_list_nullable(&seen, &DataType::Utf8)),
        ];
        state.extend(special.map(|count| ScalarValue::Int64(Some(count))));
        Ok(state)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let number = |array: &ArrayRef, row: usize| match datum_at(array, row) {
            Some(DatumRef::Text(text)) => Decimal::read(text),
            _ => None,
        };
        for row in 0..states[0].len() {
            if self.seen.is_some() {
                let seen = states[5].as_list::<i32>().value(row);
                for value in seen.as_string::<i32>().iter().flatten() {
                    self.add_seen(value)?;
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
                    if let Some(value) = number(&states[at], row) {
                        sum.add(&value, false);
                    }
                }
                for (count, at) in sums.special.iter_mut().zip(6..) {
                    *count += states[at].as_primitive::<Int64Type>().value(row);
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

/// What tells a number from others.
fn key_of(value: DatumRef<'_>) -> Result<Vec<u8>> {
    let ty = ColumnType::Numeric(None);
    let number = functions::call::converted(value, ty, Style::default());
    let key = number.ok().and_then(|number| key::sortable(ty, number));
    key.ok_or_else(|| DataFusionError::Internal("a number was expected".into()))
}

fn written(value: DatumRef<'_>) -> String {
    let mut out = String::new();
    text::write(value, ColumnType::Numeric(None), Style::default(), &mut out);
    out
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
