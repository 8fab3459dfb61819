//! Functions until their operands are typed (`plan::conditional`, `plan::arrays`): DataFusion's own ask for operands that
//! have one type by themselves, which `coalesce(array, '{}')` has not. COALESCE and its like, literals of arrays, what
//! adds to arrays, IS DISTINCT FROM, functions of any enum.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use tidelog_storage::ColumnType;

use crate::error::{ErrorKind, SqlError};
use crate::output;

/// What `ARRAY[…]` is planned as.
pub(crate) const ARRAY: &str = "pg_array";

/// What `a IS DISTINCT FROM b` is planned as.
pub(crate) const DISTINCT: &str = "pg_distinct";

/// What `a IS NOT DISTINCT FROM b` is planned as.
pub(crate) const NOT_DISTINCT: &str = "pg_not_distinct";

/// What CASE is planned as, with conditions and with a value that is compared.
pub(crate) const CASE: &str = "pg_case";
pub(crate) const CASE_OF: &str = "pg_case_of";

/// What `-x` and `+x` are planned as.
pub(crate) const NEGATIVE: &str = "0-";
pub(crate) const POSITIVE: &str = "0+";

/// What a number is planned as that an aggregate of floats only takes.
pub(crate) const AS_FLOAT: &str = "0float";

/// What `x COLLATE "C"` is planned as.
pub(crate) const COLLATED: &str = "0collate";
/// A cast to a numeric of more digits than columns have: the value, its precision and scale.
pub(crate) const WIDE: &str = "0numeric";

/// The function of this name, if it is one of them.
pub(super) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let (name, gives, count) = match name {
        "coalesce" => ("coalesce", Gives::Known, None),
        "greatest" => ("greatest", Gives::Known, None),
        "least" => ("least", Gives::Known, None),
        "nullif" => ("nullif", Gives::Known, Some(2)),
        ARRAY => (ARRAY, Gives::Array, None),
        "array_append" => ("array_append", Gives::Operand(0), Some(2)),
        "array_prepend" => ("array_prepend", Gives::Operand(1), Some(2)),
        "array_cat" => ("array_cat", Gives::Known, Some(2)),
        "enum_first" => ("enum_first", Gives::Known, Some(1)),
        "enum_last" => ("enum_last", Gives::Known, Some(1)),
        "enum_range" => ("enum_range", Gives::Array, None),
        CASE => (CASE, Gives::Result(0), None),
        CASE_OF => (CASE_OF, Gives::Result(1), None),
        DISTINCT => (DISTINCT, Gives::Bool, Some(2)),
        NOT_DISTINCT => (NOT_DISTINCT, Gives::Bool, Some(2)),
        NEGATIVE => (NEGATIVE, Gives::Known, Some(1)),
        POSITIVE => (POSITIVE, Gives::Known, Some(1)),
        AS_FLOAT => (AS_FLOAT, Gives::Float, Some(1)),
        COLLATED => (COLLATED, Gives::Operand(0), Some(1)),
        _ => return None,
    };
    let signature = match count {
        None if name == ARRAY => Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            Volatility::Immutable,
        ),
        None => Signature::variadic_any(Volatility::Immutable),
        Some(count) => Signature::any(count, Volatility::Immutable),
    };
    Some(Arc::new(ScalarUDF::from(Untyped {
        name,
        gives,
        signature,
    })))
}

/// The type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gives {
    /// That of the first operand that is no bare string or NULL.
    Known,
    /// The same of the results of CASE, before whose conditions so many operands stand.
    Result(usize),
    /// An array of this.
    Array,
    /// That of an operand.
    Operand(usize),
    /// A float for a numeric, else that of the operand.
    Float,
    Bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Untyped {
    name: &'static str,
    gives: Gives,
    signature: Signature,
}

/// Numbers by which types of numbers take values of the ones before them.
fn width(field: &Field) -> Option<usize> {
    Some(match field.data_type() {
        DataType::Int16 => 0,
        DataType::Int32 => 1,
        DataType::Int64 => 2,
        ty if ty.is_decimal() || *ty == DataType::LargeBinary => 3,
        DataType::Float32 => 4,
        DataType::Float64 => 5,
        _ => return None,
    })
}

impl ScalarUDFImpl for Untyped {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if args.arg_fields.is_empty() {
            let message = "cannot determine type of empty array";
            let hint = "Explicitly cast to the desired type, for example ARRAY[]::integer[].";
            let error = SqlError::new(ErrorKind::IndeterminateDatatype, message).hint(hint);
            return Err(DataFusionError::External(Box::new(error)));
        }
        let is_open = |field: &&FieldRef| match field.data_type() {
            DataType::Null => true,
            DataType::Utf8 => field.metadata().is_empty(),
            _ => false,
        };
        let fields: Vec<&FieldRef> = match self.gives {
            Gives::Result(first) => {
                let operands = &args.arg_fields[first..];
                let last = operands.len() - 1;
                let results = operands.iter().enumerate();
                let results = results.filter(|(at, _)| at % 2 == 1 || *at == last);
                results.map(|(_, result)| result).collect()
            }
            _ => args.arg_fields.iter().collect(),
        };
        let known = fields.iter().filter(|field| !is_open(field));
        // Of numbers the widest, of others the first.
        let known = known.reduce(|first, field| match (width(first), width(field)) {
            (Some(own), Some(other)) if other > own => field,
            _ => first,
        });
        let known: &Field = known.unwrap_or(&fields[0]);
        // Decimals beside what may have another scale have scales of their own.
        let number = Field::new(known.name(), DataType::LargeBinary, true);
        let differs = |field: &&FieldRef| {
            !field.data_type().is_null() && field.data_type() != known.data_type()
        };
        let known = match known.data_type().is_decimal() && fields.iter().any(differs) {
            true => &number,
            false => known,
        };
        let field = match self.gives {
            Gives::Known | Gives::Result(_) => known.clone(),
            Gives::Operand(at) => fields[at].as_ref().clone(),
            Gives::Float if *known.data_type() == DataType::LargeBinary => {
                Field::new(self.name, DataType::Float64, true)
            }
            Gives::Float => known.clone(),
            Gives::Bool => Field::new(self.name, DataType::Boolean, true),
            Gives::Array
                if let Ok(Some(element)) = output::column_type(known).map(ColumnType::elements) =>
            {
                ColumnType::Shaped(element).field(self.name, true)
            }
            Gives::Array => {
                let element = match known.data_type() {
                    DataType::Null => DataType::Utf8,
                    ty => ty.clone(),
                };
                let item =
                    Field::new_list_field(element, true).with_metadata(known.metadata().clone());
                Field::new(self.name, DataType::List(Arc::new(item)), true)
            }
        };
        Ok(Arc::new(field.with_name(self.name).with_nullable(true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let message = format!("{} was left untyped", self.name);
        Err(DataFusionError::Internal(message))
    }
}
