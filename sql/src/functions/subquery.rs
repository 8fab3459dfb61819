//! Functions that stand for syntax until the query is planned: `tidelog_array_of` around the subquery of
//! `ARRAY(SELECT …)`, `tidelog_with_ties` around the count of `FETCH FIRST … WITH TIES`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidelog_storage::ColumnType;
use tidelog_storage::datum::shaped_of;

use crate::output;

/// Names that no statement can write by accident.
pub(crate) const ARRAY_OF: &str = "tidelog_array_of";
pub(crate) const WITH_TIES: &str = "tidelog_with_ties";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Syntax {
    name: &'static str,
    signature: Signature,
}

/// The functions.
pub(crate) fn syntax() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [ARRAY_OF, WITH_TIES].into_iter().map(|name| {
        Arc::new(ScalarUDF::from(Syntax {
            name,
            signature: Signature::any(1, Volatility::Immutable),
        }))
    })
}

impl ScalarUDFImpl for Syntax {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The field of an array tells what its elements are.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ty = output::column_type(&args.arg_fields[0]).ok();
        if self.name == ARRAY_OF
            && let Some(array) = ty.and_then(ColumnType::array_of)
        {
            return Ok(Arc::new(array.field(self.name, true)));
        }
        let types = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone());
        let ty = self.return_type(&types.collect::<Vec<_>>())?;
        Ok(Arc::new(Field::new(self.name, ty, true)))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if self.name == WITH_TIES {
            return Ok(DataType::Int64);
        }
        if let Some(array) = shaped_of(&types[0]) {
            return Ok(array);
        }
        let item = Field::new_list_field(types[0].clone(), true);
        Ok(DataType::List(Arc::new(item)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} was not planned", self.name)
    }
}
