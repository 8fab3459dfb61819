//! What arrays are sorted by: bytes in the order of PostgreSQL's comparison, in which NULL is the last element.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidelog_storage::datum::datum_at;
use tidelog_storage::{ColumnType, DatumRef, key};

/// The function that gives what arrays of this type are sorted by.
pub(crate) fn array_order(ty: ColumnType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(ArrayOrder {
        ty,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrder {
    ty: ColumnType,
    signature: Signature,
}

impl ArrayOrder {
    fn orders(&self, arrays: &ArrayRef) -> Result<ArrayRef> {
        let mut orders = BinaryBuilder::new();
        for at in 0..arrays.len() {
            match datum_at(arrays, at) {
                Some(DatumRef::Null) => orders.append_null(),
                value => {
                    let bytes = value.and_then(|value| key::sortable(self.ty, value));
                    orders.append_value(bytes.ok_or_else(|| {
                        DataFusionError::NotImplemented("the order of these arrays".to_string())
                    })?);
                }
            }
        }
        Ok(Arc::new(orders.finish()))
    }
}

impl ScalarUDFImpl for ArrayOrder {
    fn name(&self) -> &str {
        "array_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match &args.args[0] {
            ColumnarValue::Scalar(value) => {
                let order = self.orders(&value.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&order, 0)?)
            }
            ColumnarValue::Array(arrays) => ColumnarValue::Array(self.orders(arrays)?),
        })
    }
}

/// The function that writes bytes as digits, which sort as the bytes do.
pub(crate) fn hex() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Hex {
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Hex {
    signature: Signature,
}

impl ScalarUDFImpl for Hex {
    fn name(&self) -> &str {
        "hex_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let bytes = arrow::compute::cast(&array, &DataType::Binary)?;
        let digits = |bytes: &[u8]| {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>()
        };
        let bytes = bytes.as_binary::<i32>().iter();
        let all: StringArray = bytes.map(|bytes| bytes.map(digits)).collect();
        Ok(match &args.args[0] {
            ColumnarValue::Scalar(_) if all.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&all, 0)?)
            }
            _ => ColumnarValue::Array(Arc::new(all)),
        })
    }
}
