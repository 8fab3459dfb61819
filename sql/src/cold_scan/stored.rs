//! Columns whose values cold files hold in another form than plans do.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use tidelog_storage::{ColumnType, datum, widen};

static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(Arc::default);

/// The values of a column of this type, from what a file holds of it or of a type that it was widened from. Files are not judged by such a column: what it
/// is stored as is sorted otherwise.
pub(super) fn expr(stored: Arc<dyn PhysicalExpr>, ty: ColumnType) -> Arc<dyn PhysicalExpr> {
    let function = FromStored {
        ty,
        signature: Signature::any(1, Volatility::Immutable),
    };
    let name = function.name().to_string();
    let field = Arc::new(Field::new(&name, ty.arrow(), true));
    let function = Arc::new(ScalarUDF::from(function));
    let call = ScalarFunctionExpr::new(&name, function, vec![stored], field, OPTIONS.clone());
    Arc::new(call)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FromStored {
    ty: ColumnType,
    signature: Signature,
}

impl ScalarUDFImpl for FromStored {
    fn name(&self) -> &str {
        "from_stored"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.ty.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let stored = args.args[0].to_array(args.number_rows)?;
        let widened = widen::array(&stored, self.ty)?;
        Ok(ColumnarValue::Array(datum::from_stored(&widened, self.ty)))
    }
}
