//! Functions of bytea that DataFusion has for text only, and would read the bytes as such.

use std::sync::Arc;

use arrow::compute::kernels::length::length;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// `length` and `octet_length` of a bytea count its bytes.
pub(crate) fn rewrite_of_bytea(call: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    let counts = matches!(
        call.func.name(),
        "character_length" | "length" | "octet_length"
    );
    let of_bytea = matches!(call.args.as_slice(), [arg]
        if arg.get_type(schema).is_ok_and(|ty| ty == DataType::Binary));
    if !(counts && of_bytea) {
        return Transformed::no(Expr::ScalarFunction(call));
    }
    let function = Arc::new(ScalarUDF::from(ByteaLength {
        signature: Signature::exact(vec![DataType::Binary], Volatility::Immutable),
    }));
    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
        function, call.args,
    )))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ByteaLength {
    signature: Signature,
}

impl ScalarUDFImpl for ByteaLength {
    fn name(&self) -> &str {
        "bytea_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match &args.args[0] {
            ColumnarValue::Array(array) => ColumnarValue::Array(length(array)?),
            ColumnarValue::Scalar(value) => {
                let lengths = length(&value.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?)
            }
        })
    }
}
