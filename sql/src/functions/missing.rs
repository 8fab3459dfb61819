//! Functions that do not exist: planned as far as the types of their arguments, which the error names.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::moments::type_name;
use crate::error::{ErrorKind, SqlError};

const HINT: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";

/// 42883 for a function of arguments of these types.
pub(crate) fn undefined(name: &str, types: &[DataType]) -> DataFusionError {
    let types: Vec<String> = types.iter().map(type_name).collect();
    undefined_of(name, &types)
}

fn undefined_of(name: &str, types: &[String]) -> DataFusionError {
    let message = format!("function {name}({}) does not exist", types.join(", "));
    let error = SqlError::new(ErrorKind::UndefinedFunction, message).hint(HINT);
    DataFusionError::External(Box::new(error))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Missing {
    name: String,
    signature: Signature,
}

/// A function that no call of succeeds.
pub(crate) fn missing(name: &str) -> Arc<ScalarUDF> {
    let signature = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
    Arc::new(ScalarUDF::from(Missing {
        name: name.to_string(),
        signature: Signature::new(signature, Volatility::Volatile),
    }))
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Err(undefined(&self.name, types))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let fields = args.arg_fields.iter().zip(args.scalar_arguments);
        let types = fields.map(|(field, scalar)| match scalar {
            // A bare string could be of any type.
            Some(ScalarValue::Utf8(_)) if field.metadata().is_empty() => "unknown".to_string(),
            Some(ScalarValue::Int64(Some(value))) if i32::try_from(*value).is_ok() => {
                "integer".to_string()
            }
            _ => crate::output::column_type(field).map_or_else(
                |_| type_name(field.data_type()),
                |ty| match ty {
                    tidelog_storage::ColumnType::Numeric(_) => "numeric".to_string(),
                    ty => crate::types::name(ty),
                },
            ),
        });
        Err(undefined_of(&self.name, &types.collect::<Vec<_>>()))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} does not exist", self.name)
    }
}
