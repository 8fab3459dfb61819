//! Arithmetic that fails where PostgreSQL's does: integers instead of wrapping around, floats instead of becoming infinite
//! or nothing.

use std::sync::Arc;

use arrow::array::{AsArray, PrimitiveArray};
use arrow::compute::kernels::arity::try_binary;
use arrow::compute::kernels::numeric::{add, div, mul, rem, sub};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use num_traits::Float;

use crate::error::{ErrorKind, SqlError};
use crate::output;

/// Turns arithmetic on two integers or floats of one type into its checked form.
pub(crate) fn rewrite(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    use Operator::{Divide, Minus, Modulo, Multiply, Plus};
    if !matches!(binary.op, Plus | Minus | Multiply | Divide | Modulo) {
        return Transformed::no(Expr::BinaryExpr(binary));
    }
    let operand = |expr| output::field_of(expr, schema);
    match (operand(&binary.left), operand(&binary.right)) {
        (Ok(left), Ok(right))
            if left.data_type() == right.data_type()
                && (left.data_type().is_signed_integer()
                    || matches!(left.data_type(), DataType::Float32 | DataType::Float64)) =>
        {
            let function = Arc::new(ScalarUDF::from(Checked {
                op: binary.op,
                signature: Signature::any(2, Volatility::Immutable),
            }));
            let operands = vec![*binary.left, *binary.right];
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
                function, operands,
            )))
        }
        _ => Transformed::no(Expr::BinaryExpr(binary)),
    }
}

/// Turns the negative of an integer or float into its checked form: the smallest integer has none, and NaN stays what it is.
pub(crate) fn negated(inner: Box<Expr>, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let field = output::field_of(&inner, schema);
    let ty = field.ok().map(|field| field.data_type().clone());
    let (value, op) = match ty {
        Some(ty) if ty.is_signed_integer() => (ScalarValue::new_zero(&ty)?, Operator::Minus),
        // That of zero has its sign.
        Some(ty @ (DataType::Float32 | DataType::Float64)) => {
            (ScalarValue::new_negative_one(&ty)?, Operator::Multiply)
        }
        _ => return Ok(Transformed::no(Expr::Negative(inner))),
    };
    let value = Box::new(Expr::Literal(value, None));
    Ok(rewrite(BinaryExpr::new(value, op, inner), schema))
}

/// The operands of checked arithmetic; its result has their type.
pub(crate) fn operands(call: &ScalarFunction) -> Option<&[Expr]> {
    call.func.inner().is::<Checked>().then_some(&call.args)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args[0].data_type() {
            DataType::Float32 => return self.floats::<Float32Type>(&args),
            DataType::Float64 => return self.floats::<Float64Type>(&args),
            _ => {}
        }
        let operation = match self.op {
            Operator::Plus => add,
            Operator::Minus => sub,
            Operator::Multiply => mul,
            Operator::Divide => div,
            _ => rem,
        };
        let ty = args.args[0].data_type();
        let failed = |error| out_of_range(error, &ty);
        Ok(match (&args.args[0], &args.args[1]) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let result = operation(&left.to_scalar()?, &right.to_scalar()?).map_err(failed)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
            }
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                ColumnarValue::Array(operation(left, &right.to_scalar()?).map_err(failed)?)
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                ColumnarValue::Array(operation(&left.to_scalar()?, right).map_err(failed)?)
            }
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => {
                ColumnarValue::Array(operation(left, right).map_err(failed)?)
            }
        })
    }
}

impl Checked {
    fn floats<T: ArrowPrimitiveType<Native: Float>>(
        &self,
        args: &ScalarFunctionArgs,
    ) -> Result<ColumnarValue> {
        let operands = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = [0, 1].map(|at: usize| operands[at].as_primitive::<T>());
        let result: PrimitiveArray<T> = try_binary(left, right, |left, right| {
            float(self.op, left, right).map_err(|error| ArrowError::ExternalError(Box::new(error)))
        })?;
        let is_scalar = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        Ok(match args.args.iter().all(is_scalar) {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(Arc::new(result)),
        })
    }
}

fn float<T: Float>(op: Operator, left: T, right: T) -> Result<T, SqlError> {
    let failed = |kind, message| Err(SqlError::new(kind, message));
    let result = match op {
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right.is_zero() && !left.is_nan() => {
            return failed(ErrorKind::DivisionByZero, "division by zero");
        }
        Operator::Divide => left / right,
        _ => left % right,
    };
    if result.is_infinite() && !left.is_infinite() && !right.is_infinite() {
        let message = "value out of range: overflow";
        return failed(ErrorKind::NumericValueOutOfRange, message);
    }
    let vanishes = match op {
        Operator::Multiply => !left.is_zero() && !right.is_zero(),
        Operator::Divide => !left.is_zero() && !right.is_infinite(),
        _ => false,
    };
    if vanishes && result.is_zero() {
        let message = "value out of range: underflow";
        return failed(ErrorKind::NumericValueOutOfRange, message);
    }
    Ok(one_nan(result))
}

/// A float whose NaN is the one that all are: Arrow tells others from it, and processors make a negative one.
pub(crate) fn one_nan<T: Float>(value: T) -> T {
    match value.is_nan() {
        true => T::nan().abs(),
        false => value,
    }
}

fn out_of_range(error: ArrowError, ty: &DataType) -> DataFusionError {
    if !matches!(error, ArrowError::ArithmeticOverflow(_)) {
        return error.into();
    }
    let name = match ty {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    };
    let message = format!("{name} out of range");
    DataFusionError::External(Box::new(SqlError::new(
        ErrorKind::NumericValueOutOfRange,
        message,
    )))
}
