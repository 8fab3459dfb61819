//! `ntile` and `nth_value` whose number is no constant; DataFusion's take constants.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use crate::error::{ErrorKind, SqlError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Ntile,
    NthValue,
}

/// `ntile` of a bigint.
pub(crate) fn ntile() -> Arc<WindowUDF> {
    made(Kind::Ntile)
}

/// `nth_value` of a value and a bigint.
pub(crate) fn nth_value() -> Arc<WindowUDF> {
    made(Kind::NthValue)
}

fn made(kind: Kind) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(Varying {
        kind,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Varying {
    kind: Kind,
    signature: Signature,
}

impl WindowUDFImpl for Varying {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Ntile => "ntile",
            Kind::NthValue => "nth_value",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(match self.kind {
            Kind::Ntile => Box::new(Ntile),
            Kind::NthValue => Box::new(NthValue { row: 0 }),
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let value = match self.kind {
            Kind::Ntile => None,
            Kind::NthValue => args.input_fields().first(),
        };
        let ty = value.map_or(DataType::Int32, |value| value.data_type().clone());
        let field = Field::new(args.name(), ty, true);
        let metadata = value.map(|value| value.metadata().clone());
        Ok(Arc::new(field.with_metadata(metadata.unwrap_or_default())))
    }
}

fn not_positive(kind: ErrorKind, name: &str) -> DataFusionError {
    let message = format!("argument of {name} must be greater than zero");
    DataFusionError::External(Box::new(SqlError::new(kind, message)))
}

#[derive(Debug)]
struct Ntile;

impl PartitionEvaluator for Ntile {
    /// The number of the first row that has one counts, for it and the rows behind it.
    fn evaluate_all(&mut self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let numbers = args[0].as_primitive::<Int64Type>();
        let Some(first) = (0..rows).find(|row| numbers.is_valid(*row)) else {
            return Ok(Arc::new(Int32Array::new_null(rows)));
        };
        let buckets = numbers.value(first);
        if buckets < 1 {
            return Err(not_positive(ErrorKind::InvalidArgumentForNtile, "ntile"));
        }
        let (rows, buckets) = (rows as u64, buckets as u64);
        // The first of them have a row more.
        let (size, larger) = (rows / buckets, rows % buckets);
        let bucket = |row: u64| match row / (size + 1) {
            bucket if bucket < larger => bucket,
            _ => (row - larger) / size,
        };
        let first = first as u64;
        let number = |row: u64| {
            let bucket = row.checked_sub(first).map(bucket)?;
            i32::try_from(bucket + 1).ok()
        };
        Ok(Arc::new((0..rows).map(number).collect::<Int32Array>()))
    }
}

#[derive(Debug)]
struct NthValue {
    /// The row whose turn it is: they come in their order.
    row: usize,
}

impl PartitionEvaluator for NthValue {
    fn evaluate(&mut self, args: &[ArrayRef], frame: &Range<usize>) -> Result<ScalarValue> {
        let row = self.row;
        self.row += 1;
        let numbers = args[1].as_primitive::<Int64Type>();
        let number = numbers.is_valid(row).then(|| numbers.value(row));
        if number.is_some_and(|number| number < 1) {
            let kind = ErrorKind::InvalidArgumentForNthValue;
            return Err(not_positive(kind, "nth_value"));
        }
        let place = number.and_then(|number| usize::try_from(number - 1).ok());
        match place.and_then(|place| frame.start.checked_add(place)) {
            Some(at) if at < frame.end => ScalarValue::try_from_array(&args[0], at),
            _ => ScalarValue::try_from(args[0].data_type()),
        }
    }

    fn uses_window_frame(&self) -> bool {
        true
    }
}
