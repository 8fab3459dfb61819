//! `lag` and `lead` whose offset, or what stands in for a row that is not there, differs from row to row; DataFusion's take
//! constants.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

/// The function: `lead` where it looks forward, else `lag`.
pub(crate) fn shift(forward: bool) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(Shift {
        forward,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    forward: bool,
    signature: Signature,
}

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        if self.forward { "lead" } else { "lag" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Shifted {
            forward: self.forward,
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let value = args.input_fields().first();
        let ty = value.map_or(DataType::Null, |value| value.data_type().clone());
        let field = Field::new(args.name(), ty, true);
        let metadata = value.map(|value| value.metadata().clone());
        Ok(Arc::new(field.with_metadata(metadata.unwrap_or_default())))
    }
}

#[derive(Debug)]
struct Shifted {
    forward: bool,
}

impl PartitionEvaluator for Shifted {
    /// The arguments are the value, the offset and, if there is one, what stands in for a row that is not there.
    fn evaluate_all(&mut self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let offsets = cast(&args[1], &DataType::Int64)?;
        let offsets = offsets.as_primitive::<Int64Type>();
        let place = |row: usize| {
            let offset = i128::from(offsets.value(row));
            let at = row as i128 + if self.forward { offset } else { -offset };
            u64::try_from(at).ok().filter(|at| *at < rows as u64)
        };
        let places: UInt64Array = (0..rows)
            .map(|row| offsets.is_valid(row).then(|| place(row)).flatten())
            .collect();
        let values = take(&args[0], &places, None)?;
        let Some(instead) = args.get(2) else {
            return Ok(values);
        };
        let outside = (0..rows).map(|row| Some(offsets.is_valid(row) && places.is_null(row)));
        Ok(zip(&outside.collect::<BooleanArray>(), instead, &values)?)
    }
}
