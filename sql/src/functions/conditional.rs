//! COALESCE and NULLIF until their operands are typed (`plan::conditional`): DataFusion's own ask for operands that have
//! one type by themselves, which `coalesce(array, '{}')` has not.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The function of this name, if it is one of the two.
pub(super) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let (name, signature) = match name {
        "coalesce" => ("coalesce", Signature::variadic_any(Volatility::Immutable)),
        "nullif" => ("nullif", Signature::any(2, Volatility::Immutable)),
        _ => return None,
    };
    Some(Arc::new(ScalarUDF::from(Untyped { name, signature })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Untyped {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Untyped {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    /// That of the first operand that is no bare string or NULL.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let is_open = |field: &FieldRef| match field.data_type() {
            DataType::Null => true,
            DataType::Utf8 => field.metadata().is_empty(),
            _ => false,
        };
        let fields = args.arg_fields;
        let known = fields.iter().find(|field| !is_open(field));
        let field: &Field = known.unwrap_or(&fields[0]);
        Ok(Arc::new(
            field.clone().with_name(self.name).with_nullable(true),
        ))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let message = format!("{} was left untyped", self.name);
        Err(DataFusionError::Internal(message))
    }
}
