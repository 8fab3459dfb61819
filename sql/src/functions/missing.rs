//! Functions that are not there: planned as far as the types of their arguments, which the error names. Those that
//! PostgreSQL has are refused, others do not exist.

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

/// What PostgreSQL has.
const POSTGRES: [&str; 51] = [
    "json_object",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_object",
    "jsonb_path_exists",
    "jsonb_path_exists_tz",
    "jsonb_path_match",
    "jsonb_path_match_tz",
    "jsonb_path_query",
    "jsonb_path_query_array",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_set_lax",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "array_to_tsvector",
    "jsonb_to_tsvector",
    "json_to_tsvector",
    "parse_ident",
    "phraseto_tsquery",
    "plainto_tsquery",
    "row_to_json",
    "setweight",
    "strip",
    "table_to_xml",
    "query_to_xml",
    "to_ascii",
    "to_tsquery",
    "to_tsvector",
    "ts_debug",
    "ts_headline",
    "ts_lexize",
    "ts_parse",
    "ts_rank",
    "ts_rank_cd",
    "ts_rewrite",
    "ts_stat",
    "websearch_to_tsquery",
    "xml_is_well_formed",
    "xmlcomment",
    "xpath",
    "xpath_exists",
    "lo_create",
    "lo_import",
    "lo_unlink",
];

/// 42883 for a function of arguments of these types.
pub(crate) fn undefined(name: &str, types: &[DataType]) -> DataFusionError {
    let types: Vec<String> = types.iter().map(type_name).collect();
    external(undefined_of(name, &types))
}

fn undefined_of(name: &str, types: &[String]) -> SqlError {
    if POSTGRES.contains(&name) {
        return SqlError::unsupported(format!("function {name}()"));
    }
    let message = format!("function {name}({}) does not exist", types.join(", "));
    SqlError::new(ErrorKind::UndefinedFunction, message).hint(HINT)
}

fn external(error: SqlError) -> DataFusionError {
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
        Err(external(undefined_of(
            &self.name,
            &types.collect::<Vec<_>>(),
        )))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} does not exist", self.name)
    }
}
