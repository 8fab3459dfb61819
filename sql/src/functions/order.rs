//! What values are sorted by whose Arrow type sorts otherwise: bytes in the order of PostgreSQL's comparison.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, ListArray, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use tidelog_storage::datum::{self, ColumnBuilder, NUMERIC_PRECISION_MAX, Number, datum_at};
use tidelog_storage::{ColumnType, DatumRef, ElementType, key};

use super::decimal::Decimal;
use crate::error::SqlError;
use crate::output;

/// The function that gives what values of this type are sorted by. NULL is the last element of an array.
pub(crate) fn by_value(ty: ColumnType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Order {
        ty,
        of_elements: false,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// The function that gives an array of what the elements of an array are sorted by.
pub(crate) fn elements_by_value(element: ElementType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Order {
        ty: element.into(),
        of_elements: true,
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// Whether a function gives what numerics are sorted by.
pub(crate) fn is_of_numbers(function: &ScalarUDF) -> bool {
    let order = function.inner().downcast_ref::<Order>();
    order.is_some_and(|order| order.ty == ColumnType::Numeric(None) && !order.of_elements)
}

/// The array of one dimension that begins at 1 whose order an expression is, as far as was known; `None` for any other
/// expression.
pub(crate) fn array_of(expr: &Expr) -> Option<&Expr> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let order = call.func.inner().downcast_ref::<Order>()?;
    let is_of_arrays = matches!(order.ty, ColumnType::Array(_)) && !order.of_elements;
    call.args.first().filter(|_| is_of_arrays)
}

/// The numeric whose order an expression is; `None` for any other expression.
pub(crate) fn number_of(expr: &Expr) -> Option<Cow<'_, Expr>> {
    match expr {
        Expr::ScalarFunction(call) if is_of_numbers(&call.func) => {
            call.args.first().map(Cow::Borrowed)
        }
        Expr::Literal(key, _) => {
            let number = number(key)?;
            Some(Cow::Owned(Expr::Literal(number, None)))
        }
        _ => None,
    }
}

/// The numeric whose order a value is: of its order one is as good as any.
pub(crate) fn number(key: &ScalarValue) -> Option<ScalarValue> {
    let ScalarValue::Binary(Some(key)) = key else {
        return None;
    };
    let number = Number::of_key(key)?.as_ref().bytes().to_vec();
    Some(ScalarValue::LargeBinary(Some(number)))
}

/// A comparison as one of the numerics themselves whose order it compares; `None` when it compares something else.
pub(crate) fn of_numbers(comparison: &BinaryExpr) -> Option<BinaryExpr> {
    let sides: [&Expr; 2] = [&comparison.left, &comparison.right];
    let is_order = |side: &&Expr| matches!(side, Expr::ScalarFunction(_));
    if !sides.iter().any(is_order) {
        return None;
    }
    let [left, right] = sides.map(|side| Some(Box::new(number_of(side)?.into_owned())));
    Some(BinaryExpr::new(left?, comparison.op, right?))
}

/// The same of `IN (…)`.
pub(crate) fn list_of_numbers(list: &InList) -> Option<InList> {
    if !matches!(*list.expr, Expr::ScalarFunction(_)) {
        return None;
    }
    let of = number_of(&list.expr)?.into_owned();
    let numbers = list.list.iter();
    let numbers = numbers.map(|value| Some(number_of(value)?.into_owned()));
    let numbers = numbers.collect::<Option<_>>()?;
    Some(InList::new(Box::new(of), numbers, list.negated))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    ty: ColumnType,
    /// Whether it is of the elements of arrays, each on its own.
    of_elements: bool,
    signature: Signature,
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Binary, true))
}

impl Order {
    fn orders(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if values.data_type().is_null() {
            let ty = self.return_type(&[])?;
            return Ok(arrow::array::new_null_array(&ty, values.len()));
        }
        if self.of_elements {
            let flat = datum::flat(values);
            let list = flat.as_ref().or_else(|| values.as_list_opt::<i32>());
            let list = list.ok_or_else(unordered)?;
            let orders = self.of_values(list.values())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            return Ok(Arc::new(ListArray::try_new(
                item(),
                offsets,
                orders,
                nulls,
            )?));
        }
        self.of_values(values)
    }

    fn of_values(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let values = output::conform(values, self.ty)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut orders = BinaryBuilder::new();
        for at in 0..values.len() {
            match datum_at(&values, at) {
                Some(DatumRef::Null) => orders.append_null(),
                value => {
                    let bytes = value.and_then(|value| key::sortable(self.ty, value));
                    orders.append_value(bytes.ok_or_else(unordered)?);
                }
            }
        }
        Ok(Arc::new(orders.finish()))
    }
}

fn unordered() -> DataFusionError {
    DataFusionError::NotImplemented("the order of these values".to_string())
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &str {
        match self.of_elements {
            true => "elements_order",
            false => "value_order",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.of_elements {
            true => DataType::List(item()),
            false => DataType::Binary,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match &args.args[0] {
            ColumnarValue::Scalar(value) => {
                let order = self.orders(&value.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&order, 0)?)
            }
            ColumnarValue::Array(values) => ColumnarValue::Array(self.orders(values)?),
        })
    }
}

/// GREATEST or LEAST of values of one type, by what they are sorted by.
pub(crate) fn extreme(ty: ColumnType, greatest: bool) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Extreme {
        ty,
        greatest,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    ty: ColumnType,
    greatest: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Extreme {
    fn name(&self) -> &str {
        match self.greatest {
            true => "greatest",
            false => "least",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.ty.arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.ty.field(self.name(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (arrays, scalar, rows) = super::arrays(&args, false)?;
        let mut builder = ColumnBuilder::new(self.ty);
        for row in 0..rows {
            // NULLs do not count, and of equal values it is the first.
            let mut found: Option<(Vec<u8>, DatumRef<'_>)> = None;
            for array in &arrays {
                let value = super::value_at(array, row).ok_or_else(unordered)?;
                if value == DatumRef::Null {
                    continue;
                }
                let key = key::sortable(self.ty, value).ok_or_else(unordered)?;
                let is_further = |(before, _): &(Vec<u8>, _)| match self.greatest {
                    true => key > *before,
                    false => key < *before,
                };
                if found.as_ref().is_none_or(is_further) {
                    found = Some((key, value));
                }
            }
            builder.append(found.map_or(DatumRef::Null, |(_, value)| value));
        }
        let result = builder.finish();
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// The function that gives numerics as decimals of one scale, which frames reach over.
pub(crate) fn framed() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Framed {
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// The precision and scale of keys of such frames.
pub(crate) const FRAMED: (u8, i8) = (NUMERIC_PRECISION_MAX, 30);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Framed {
    signature: Signature,
}

impl ScalarUDFImpl for Framed {
    fn name(&self) -> &str {
        "frame_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(ColumnType::Numeric(Some(FRAMED)).arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (arrays, scalar, rows) = super::arrays(&args, false)?;
        let (precision, scale) = FRAMED;
        let mut builder = ColumnBuilder::new(ColumnType::Numeric(Some(FRAMED)));
        for row in 0..rows {
            let value = match super::value_at(&arrays[0], row) {
                Some(DatumRef::Number(number)) => number,
                _ => {
                    builder.append(DatumRef::Null);
                    continue;
                }
            };
            let decimal = Decimal::of_number(value);
            let exact = decimal.filter(|decimal| decimal.scale_min() <= scale.into());
            let fitted = exact.and_then(|decimal| decimal.fitted(precision, scale));
            let fitted = fitted.ok_or_else(|| {
                let what =
                    "RANGE with an offset over numerics of so many digits, or infinite ones,";
                DataFusionError::External(Box::new(SqlError::unsupported(what)))
            })?;
            builder.append(DatumRef::Numeric(fitted));
        }
        let result = builder.finish();
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
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
