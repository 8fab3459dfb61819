//! `single_value`: what a scalar subquery gives, as an aggregate: its one row, NULL without any, else an error.
//! A correlated subquery that may give several rows is aggregated by it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use crate::error::{ErrorKind, SqlError};

/// The function's name, which no statement can write by accident.
pub(crate) const SINGLE_VALUE: &str = "tidelog_single_value";

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

/// The aggregate function.
pub(crate) fn single_value() -> AggregateUDF {
    AggregateUDF::from(SingleValue {
        signature: Signature::any(1, Volatility::Immutable),
    })
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &str {
        SINGLE_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    /// Also what Arrow's types do not tell: a json stays one.
    fn return_field(&self, args: &[FieldRef]) -> Result<FieldRef> {
        let value = args[0].as_ref().clone();
        Ok(Arc::new(value.with_name(SINGLE_VALUE).with_nullable(true)))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single {
            rows: 0,
            value: ScalarValue::try_from(args.return_field.data_type())?,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = args.return_field.data_type().clone();
        Ok(vec![
            Arc::new(Field::new("rows", DataType::UInt64, false)),
            Arc::new(Field::new("value", value, true)),
        ])
    }
}

#[derive(Debug)]
struct Single {
    rows: u64,
    value: ScalarValue,
}

impl Single {
    fn add(&mut self, rows: u64, value: impl FnOnce() -> Result<ScalarValue>) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows;
        if self.rows > 1 {
            let message = "more than one row returned by a subquery used as an expression";
            let error = SqlError::new(ErrorKind::CardinalityViolation, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        self.value = value()?;
        Ok(())
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let array = &values[0];
        self.add(array.len() as u64, || ScalarValue::try_from_array(array, 0))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let ScalarValue::UInt64(Some(rows)) = ScalarValue::try_from_array(&states[0], row)?
            else {
                continue;
            };
            self.add(rows, || ScalarValue::try_from_array(&states[1], row))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::UInt64(Some(self.rows)),
            self.value.clone(),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }
}
