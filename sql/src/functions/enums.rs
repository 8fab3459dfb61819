//! The order of an enum's values, which are kept as their labels.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidelog_storage::EnumType;

/// The function that gives what the values of an enum type are sorted by.
pub(crate) fn order(of: EnumType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(EnumOrder {
        of,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EnumOrder {
    of: EnumType,
    signature: Signature,
}

impl ScalarUDFImpl for EnumOrder {
    fn name(&self) -> &str {
        "enum_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let definition = self.of.definition();
        let order = |label: Option<&str>| label.and_then(|label| definition.order(label));
        Ok(match &args.args[0] {
            ColumnarValue::Scalar(value) => {
                let value = value.cast_to(&DataType::Utf8)?;
                let label = match &value {
                    ScalarValue::Utf8(label) => label.as_deref(),
                    _ => None,
                };
                ColumnarValue::Scalar(ScalarValue::Float64(order(label)))
            }
            ColumnarValue::Array(array) => {
                let labels = arrow::compute::cast(array, &DataType::Utf8)?;
                let labels = labels.as_string::<i32>();
                let mut orders = Vec::with_capacity(labels.len());
                orders.extend(labels.iter().map(order));
                ColumnarValue::Array(Arc::new(Float64Array::from(orders)))
            }
        })
    }
}
