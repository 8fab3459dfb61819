//! The order of an enum's values, which are kept as their labels, and `enum_range`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidelog_storage::datum::{ColumnBuilder, EnumLabel};
use tidelog_storage::{ColumnType, Datum, ElementType, EnumType};

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

/// `enum_range` of an enum type: of all its values, or of those between two, either of which may be NULL.
pub(crate) fn range(of: EnumType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(EnumRange {
        of,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EnumRange {
    of: EnumType,
    signature: Signature,
}

impl EnumRange {
    fn ty(&self) -> ColumnType {
        ColumnType::Array(ElementType::Enum(self.of))
    }
}

impl ScalarUDFImpl for EnumRange {
    fn name(&self) -> &str {
        "enum_range"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.ty().arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.ty().field(self.name(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let definition = self.of.definition();
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let bounds = arrays
            .iter()
            .map(|array| arrow::compute::cast(array, &DataType::Utf8));
        let bounds = bounds.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        let rows = bounds.first().map_or(0, |bounds| bounds.len());
        let mut builder = ColumnBuilder::new(self.ty());
        for row in 0..rows {
            let bound = |at: usize| {
                let labels = bounds
                    .get(at)
                    .filter(|_| bounds.len() == 2)?
                    .as_string::<i32>();
                labels
                    .is_valid(row)
                    .then(|| definition.order(labels.value(row)))?
            };
            let (from, to) = (bound(0), bound(1));
            let within = |label: &&EnumLabel| {
                let order = definition.order(&label.name);
                (from.is_none() || order >= from) && (to.is_none() || order <= to)
            };
            let labels = definition.labels.iter().filter(within);
            let values = labels.map(|label| Datum::Text(label.name.to_string()));
            builder.append(Datum::Array(values.collect()).as_ref());
        }
        let made = builder.finish();
        let is_scalar = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        Ok(match args.args.iter().all(is_scalar) {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
            false => ColumnarValue::Array(made),
        })
    }
}
