//! Functions that DataFusion lacks: what asks for the session, `snowflake_id()` and `gen_random_uuid()`.

pub(crate) mod array;
pub(crate) mod bits;
pub(crate) mod call;
pub(crate) mod collected;
mod conditional;
mod dates;
pub(crate) mod decimal;
mod encoding;
pub(crate) mod enums;
mod format;
mod hash;
mod identifiers;
pub(crate) mod json;
mod jsonpath;
mod math;
mod missing;
pub(crate) mod moments;
pub(crate) mod order;
pub(crate) mod pairs;
pub(crate) mod printed;
pub(crate) mod ranks;
pub(crate) mod regexp;
pub(crate) mod sequence;
mod series;
pub(crate) mod shift;
mod single_value;
mod sleep;
mod sliding;
mod spans;
mod special;
mod strings;
mod subquery;
mod sum;
pub(crate) mod time;
pub(crate) mod to_char;
pub(crate) mod varying;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryBuilder, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidelog_storage::datum::datum_at;
use tidelog_storage::{ColumnType, DatumRef, PrintedType, Store};

use crate::error::SqlError;
use crate::output;
use crate::text::Style;

pub(crate) use call::dsl::BYTES_MAX;
pub(crate) use conditional::{
    ARRAY, AS_FLOAT, CASE, CASE_OF, COLLATED, DISTINCT, NEGATIVE, NOT_DISTINCT, POSITIVE, WIDE,
};
pub(crate) use missing::unknown;
pub(crate) use moments::undefined;
pub(crate) use single_value::{SINGLE_VALUE, single_value};
pub(crate) use sliding::sliding;
pub(crate) use subquery::{ARRAY_OF, WITH_TIES, syntax};
pub(crate) use sum::sum;

/// Stands around what is cast to text until its type is known: DataFusion leaves out casts between types that are the
/// same to Arrow.
pub(crate) const UNTAGGED: &str = "pg_untagged";

/// The function that `SET column[…] = …` assigns the value of: of the column, the value and the subscripts.
pub(crate) const ASSIGNED: &str = "jsonb_assigned";

/// The same of a slice: the value, and two bounds of each dimension, of which TRUE stands for one that is left out.
pub(crate) const SLICE_ASSIGNED: &str = "jsonb_slice_assigned";

/// The functions with overloads.
const FAMILIES: &[&[call::Function]] = &[
    bits::FUNCTIONS,
    dates::FUNCTIONS,
    encoding::FUNCTIONS,
    format::FUNCTIONS,
    hash::FUNCTIONS,
    identifiers::FUNCTIONS,
    jsonpath::OPERATORS,
    jsonpath::EXISTS,
    jsonpath::EXISTS_TZ,
    jsonpath::MATCH,
    jsonpath::MATCH_TZ,
    jsonpath::QUERY,
    jsonpath::QUERY_TZ,
    jsonpath::ARRAY,
    jsonpath::ARRAY_TZ,
    jsonpath::FIRST,
    jsonpath::FIRST_TZ,
    math::FUNCTIONS,
    math::TRIGONOMETRY,
    printed::FUNCTIONS,
    regexp::FUNCTIONS,
    series::FUNCTIONS,
    strings::FUNCTIONS,
    time::FUNCTIONS,
    to_char::FUNCTIONS,
];

/// The function of ours with this name, where DataFusion has none or another one.
pub(crate) fn named(name: &str, style: Style) -> Option<Arc<ScalarUDF>> {
    call::named(name, style)
        .or_else(|| conditional::function(name))
        .or_else(|| missing::function(name))
        .or_else(|| array::function(name))
        .or_else(|| json::record::function(name, style))
        .or_else(|| json::function(name, style))
        .or_else(|| sleep::function(name, style))
}

/// Whether a function of this name only says that it is not there.
pub(crate) fn is_missing(name: &str) -> bool {
    missing::function(name).is_some()
}

/// The arguments as arrays of the Arrow types of their columns, those of one value with one row (`value_at`), whether one result is
/// that of all rows, which it is for constants unless the function is volatile, and for how many rows results are to be made.
fn arrays(args: &ScalarFunctionArgs, is_volatile: bool) -> Result<(Vec<ArrayRef>, bool, usize)> {
    let external = |error: SqlError| DataFusionError::External(Box::new(error));
    let constant = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
    let scalar = !is_volatile && args.args.iter().all(constant);
    let rows = if scalar { 1 } else { args.number_rows };
    let arrays = args
        .args
        .iter()
        .zip(&args.arg_fields)
        .map(|(arg, field)| {
            let array = match arg {
                ColumnarValue::Array(array) => array.clone(),
                ColumnarValue::Scalar(value) => value.to_array()?,
            };
            if array.data_type().is_null() {
                return Ok(array);
            }
            let ty = output::column_type(field).map_err(external)?;
            output::conform(&array, ty).map_err(external)
        })
        .collect::<Result<_>>()?;
    Ok((arrays, scalar, rows))
}

/// The value that one of `arrays` has in a row.
fn value_at(array: &dyn Array, row: usize) -> Option<DatumRef<'_>> {
    datum_at(array, if array.len() == 1 { 0 } else { row })
}

/// A function without arguments whose value the session fixes (`current_user`).
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: String,
    value: ScalarValue,
    signature: Signature,
}

/// A function `name()` that gives `value`.
pub(crate) fn constant(name: &str, value: ScalarValue) -> Arc<ScalarUDF> {
    let signature = Signature::nullary(Volatility::Stable);
    Arc::new(ScalarUDF::from(Constant {
        name: name.to_string(),
        value,
        signature,
    }))
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        &self.name
    }

    /// The result column is named like the function, without parentheses, as PostgreSQL names it.
    fn schema_name(&self, _: &[datafusion::logical_expr::Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(match self.name.as_str() {
            "inet_client_addr" | "inet_server_addr" => {
                ColumnType::Printed(PrintedType::Inet).field(&self.name, true)
            }
            "current_user" | "current_role" | "user" | "session_user" | "current_database"
            | "current_catalog" | "current_schema" => ColumnType::Name.field(&self.name, true),
            name => Field::new(name, self.value.data_type(), true),
        }))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// What a function is of, where the same one makes the same function.
pub(crate) struct Same<T>(pub(crate) Arc<T>);

impl<T> std::fmt::Debug for Same<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }
}

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Same<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Same<T> {}

impl<T> Hash for Same<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// `snowflake_id()`: a new id for every row, from the generator that draws Seqs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SnowflakeId {
    store: Same<Store>,
    signature: Signature,
}

/// The function `snowflake_id()`.
pub(crate) fn snowflake_id(store: Arc<Store>) -> Arc<ScalarUDF> {
    let signature = Signature::nullary(Volatility::Volatile);
    Arc::new(ScalarUDF::from(SnowflakeId {
        store: Same(store),
        signature,
    }))
}

impl ScalarUDFImpl for SnowflakeId {
    fn name(&self) -> &str {
        "snowflake_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows as u64;
        if rows == 0 {
            return Ok(ColumnarValue::Array(Arc::new(Int64Array::from(
                Vec::<i64>::new(),
            ))));
        }
        let first = self.store.0.draw_ids(rows);
        let ids = (0..rows).map(|n| first.advance(n).as_i64());
        Ok(ColumnarValue::Array(Arc::new(
            Int64Array::from_iter_values(ids),
        )))
    }
}

/// `gen_random_uuid()` and what the extension uuid-ossp calls it: a new random UUID (version 4) for every row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct GenRandomUuid {
    name: &'static str,
    signature: Signature,
}

/// The functions that give random UUIDs.
pub(crate) fn random_uuids() -> [Arc<ScalarUDF>; 2] {
    ["gen_random_uuid", "uuid_generate_v4"].map(|name| {
        let signature = Signature::nullary(Volatility::Volatile);
        Arc::new(ScalarUDF::from(GenRandomUuid { name, signature }))
    })
}

impl ScalarUDFImpl for GenRandomUuid {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, _: &[datafusion::logical_expr::Expr]) -> Result<String> {
        Ok(self.name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::FixedSizeBinary(16))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut ids = FixedSizeBinaryBuilder::with_capacity(args.number_rows, 16);
        for _ in 0..args.number_rows {
            ids.append_value(uuid::Uuid::new_v4())?;
        }
        Ok(ColumnarValue::Array(Arc::new(ids.finish())))
    }
}
