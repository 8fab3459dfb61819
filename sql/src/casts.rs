//! Casts to and from text by PostgreSQL's text forms, where DataFusion would use Arrow's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use tidelog_storage::datum::{ColumnBuilder, datum_at};
use tidelog_storage::{ColumnType, DatumRef};

use crate::text;

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// The type whose input function a cast from text to this Arrow type calls.
fn input_type(ty: &DataType) -> Option<ColumnType> {
    Some(match ty {
        DataType::Int16 => ColumnType::Int2,
        DataType::Int32 => ColumnType::Int4,
        DataType::Int64 => ColumnType::Int8,
        DataType::Float32 => ColumnType::Float4,
        DataType::Float64 => ColumnType::Float8,
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            let plain = ColumnType::Numeric(None);
            if plain.numeric_shape() == (*p, *s) {
                plain
            } else {
                ColumnType::Numeric(Some((*p, *s)))
            }
        }
        DataType::Boolean => ColumnType::Bool,
        DataType::Binary => ColumnType::Bytea,
        DataType::FixedSizeBinary(16) => ColumnType::Uuid,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, None) => ColumnType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ColumnType::TimestampTz,
        _ => return None,
    })
}

/// Turns a cast between text and another type into PostgreSQL's input or output function.
pub(crate) fn rewrite(cast: Cast, schema: &DFSchema) -> Transformed<Expr> {
    let call = |function: TextFunction, expr: Box<Expr>| {
        let function = Arc::new(ScalarUDF::from(function));
        Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
            function,
            vec![*expr],
        )))
    };
    let Ok(from) = cast.expr.get_type(schema) else {
        return Transformed::no(Expr::Cast(cast));
    };
    if is_text(&from)
        && let Some(ty) = input_type(cast.field.data_type())
    {
        return call(TextFunction::input(ty), cast.expr);
    }
    if is_text(cast.field.data_type()) && input_type(&from).is_some() {
        return call(TextFunction::output(), cast.expr);
    }
    Transformed::no(Expr::Cast(cast))
}

/// PostgreSQL's input function of a type (`Some`), or the output function of any (`None`).
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextFunction {
    input: Option<ColumnType>,
    signature: Signature,
}

impl TextFunction {
    fn input(ty: ColumnType) -> TextFunction {
        TextFunction {
            input: Some(ty),
            signature: Signature::any(1, Volatility::Immutable),
        }
    }

    fn output() -> TextFunction {
        TextFunction {
            input: None,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.input {
            Some(ty) => {
                let texts = arrow::compute::cast(array, &DataType::Utf8)?;
                let mut builder = ColumnBuilder::new(ty);
                for value in texts.as_string::<i32>() {
                    match value {
                        None => builder.append(DatumRef::Null),
                        Some(value) => {
                            let parsed = text::parse(ty, value)
                                .map_err(|e| DataFusionError::External(Box::new(e)))?;
                            builder.append(parsed.as_ref());
                        }
                    }
                }
                Ok(builder.finish())
            }
            None => {
                let mut builder = StringBuilder::new();
                let mut out = String::new();
                for row in 0..array.len() {
                    match datum_at(array, row) {
                        None => {
                            return Err(DataFusionError::NotImplemented(format!(
                                "{} as text",
                                array.data_type()
                            )));
                        }
                        Some(DatumRef::Null) => builder.append_null(),
                        Some(DatumRef::Bool(value)) => {
                            builder.append_value(if value { "true" } else { "false" })
                        }
                        Some(value) => {
                            out.clear();
                            text::write(value, &mut out);
                            builder.append_value(&out);
                        }
                    }
                }
                Ok(Arc::new(builder.finish()))
            }
        }
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        if self.input.is_some() {
            "pg_input"
        } else {
            "pg_output"
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.input.map_or(DataType::Utf8, ColumnType::arrow))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.apply(array)?)),
            ColumnarValue::Scalar(value) => {
                let result = self.apply(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &result, 0,
                )?))
            }
        }
    }
}
