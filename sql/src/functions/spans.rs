//! `sum` and `avg` of intervals, and of times of day, which are intervals to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Int64Type, IntervalMonthDayNano, TimeUnit,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Accumulator;
use tidelog_storage::datum::datum_at;
use tidelog_storage::{ColumnType, DatumRef, Interval};

use super::time;
use crate::error::{ErrorKind, SqlError};

/// Whether values of this type are added up here.
pub(super) fn takes(ty: &DataType) -> bool {
    *ty == result() || *ty == DataType::Time64(TimeUnit::Microsecond)
}

/// The type of the sum and of the average.
pub(super) fn result() -> DataType {
    ColumnType::Interval(None).arrow()
}

/// What is known of some of the values: how many, the sums of their parts, and themselves where each counts once.
pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    let field = |part: &str, ty| Arc::new(Field::new(format!("{name} {part}"), ty, true));
    let list = Field::new_list_field(result(), true);
    vec![
        field("count", DataType::Int64),
        field("months", DataType::Int64),
        field("days", DataType::Int64),
        field("microseconds", DataType::Decimal128(38, 0)),
        field("seen", DataType::List(Arc::new(list))),
    ]
}

/// The parts of intervals, added up.
#[derive(Debug, Default)]
pub(super) struct Spans {
    averages: bool,
    count: i64,
    months: i64,
    days: i64,
    micros: i128,
    /// The values so far by what they are compared by, where each counts once.
    seen: Option<BTreeMap<i128, Interval>>,
}

impl Spans {
    pub(super) fn sum(is_distinct: bool) -> Spans {
        Spans {
            seen: is_distinct.then(BTreeMap::new),
            ..Spans::default()
        }
    }

    pub(super) fn average(is_distinct: bool) -> Spans {
        Spans {
            averages: true,
            ..Spans::sum(is_distinct)
        }
    }

    /// Adds the values, or takes them away again (`sign` is -1).
    fn add_all(&mut self, values: &ArrayRef, sign: i64) -> Result<()> {
        for row in 0..values.len() {
            let value = match datum_at(values, row) {
                Some(DatumRef::Null) => continue,
                Some(DatumRef::Interval(value)) => value,
                Some(DatumRef::Time(micros)) => Interval {
                    micros,
                    ..Interval::default()
                },
                _ => {
                    let message = format!("an interval of type {}", values.data_type());
                    return Err(DataFusionError::Internal(message));
                }
            };
            if let Some(seen) = &mut self.seen
                && seen.insert(value.span(), value).is_some()
            {
                continue;
            }
            self.count += sign;
            self.months += sign * i64::from(value.months);
            self.days += sign * i64::from(value.days);
            self.micros += i128::from(sign) * i128::from(value.micros);
        }
        Ok(())
    }

    fn result(&self) -> std::result::Result<Option<Interval>, SqlError> {
        if self.count == 0 {
            return Ok(None);
        }
        let micros = i64::try_from(self.micros).map_err(|_| {
            SqlError::new(ErrorKind::DatetimeFieldOverflow, "interval out of range")
        })?;
        let sum = time::interval(self.months, self.days, micros)?;
        match self.averages {
            true => time::divided(sum, self.count as f64).map(Some),
            false => Ok(Some(sum)),
        }
    }
}

fn scalar(value: Option<Interval>) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(value.map(|value| {
        IntervalMonthDayNano::new(value.months, value.days, value.micros.saturating_mul(1000))
    }))
}

impl Accumulator for Spans {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add_all(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add_all(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if self.seen.is_some() {
            for values in states[4].as_list::<i32>().iter().flatten() {
                self.add_all(&values, 1)?;
            }
            return Ok(());
        }
        let whole = |at: usize| states[at].as_primitive::<Int64Type>();
        let (counts, months, days) = (whole(0), whole(1), whole(2));
        let micros = states[3].as_primitive::<Decimal128Type>();
        for row in 0..counts.len() {
            self.count += counts.value(row);
            self.months += months.value(row);
            self.days += days.value(row);
            self.micros += micros.value(row);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let seen = self.seen.iter().flat_map(BTreeMap::values);
        let seen: Vec<ScalarValue> = seen.map(|value| scalar(Some(*value))).collect();
        Ok(vec![
            ScalarValue::Int64(Some(self.count)),
            ScalarValue::Int64(Some(self.months)),
            ScalarValue::Int64(Some(self.days)),
            ScalarValue::Decimal128(Some(self.micros), 38, 0),
            ScalarValue::List(ScalarValue::new_list_nullable(&seen, &result())),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.result() {
            Ok(value) => Ok(scalar(value)),
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        }
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, BTreeMap::len);
        size_of_val(self) + seen * size_of::<(i128, Interval)>()
    }
}
