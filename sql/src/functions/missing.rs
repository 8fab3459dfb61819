//! Functions that PostgreSQL has and Tidelog has not: a call says so by name.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use tidelog_storage::ColumnType;

use super::call;
use crate::error::SqlError;

const NAMES: [&str; 49] = [
    // In a select list, where each row is a record.
    "json_each",
    "json_each_text",
    "jsonb_each",
    "jsonb_each_text",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "pg_sequence_parameters",
    "pg_column_size",
    "pg_collation_for",
    "current_query",
    "txid_current_if_assigned",
    "pg_current_xact_id",
    "array_to_tsvector",
    "jsonb_to_tsvector",
    "json_to_tsvector",
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
    "pg_describe_object",
    "pg_export_snapshot",
    "lo_create",
    "lo_import",
    "lo_unlink",
];

/// A function that nothing can be done with.
pub(crate) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let name = NAMES.iter().find(|known| **known == name)?;
    let arity = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    Some(Arc::new(ScalarUDF::from(Missing {
        name,
        signature: Signature::one_of(arity, Volatility::Volatile),
    })))
}

/// The names of PostgreSQL's other functions, such as those of its operators and types.
static OTHERS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("../system/pg_proc_rest.txt").lines().collect());

/// A function that is not there: a call says so, with the types of its arguments where PostgreSQL has none of the name.
pub(crate) fn unknown(name: &str) -> Arc<ScalarUDF> {
    let arity = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    Arc::new(ScalarUDF::from(Unknown {
        name: name.to_string(),
        signature: Signature::one_of(arity, Volatility::Volatile),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unknown {
    name: String,
    signature: Signature,
}

impl Unknown {
    fn refusal(&self, given: &[Option<ColumnType>]) -> SqlError {
        match OTHERS.contains(&*self.name) {
            true => SqlError::unsupported(format!("function {}()", self.name)),
            false => call::no_such(&self.name, given),
        }
    }
}

impl ScalarUDFImpl for Unknown {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(external(self.refusal(&[])))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let given = call::given_types(args.arg_fields, args.scalar_arguments);
        Err(external(self.refusal(&given)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(external(self.refusal(&[])))
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Missing {
    name: &'static str,
    signature: Signature,
}

impl Missing {
    fn refused<T>(&self) -> Result<T> {
        Err(external(SqlError::unsupported(format!(
            "function {}()",
            self.name
        ))))
    }
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        self.refused()
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.refused()
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.refused()
    }
}
