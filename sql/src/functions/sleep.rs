//! `pg_sleep` and its like: they wait, and a statement that is cancelled meanwhile ends at once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidelog_storage::datum::datum_at;
use tidelog_storage::{ColumnType, DatumRef};

use crate::output;
use crate::text::datetime::now_micros;
use crate::text::{self, Style};

/// How long a function waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Until {
    /// So many seconds.
    Seconds,
    Interval,
    Moment,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    until: Until,
    style: Style,
    signature: Signature,
}

/// The function of this name, if it is one that waits.
pub(crate) fn function(name: &str, style: Style) -> Option<Arc<ScalarUDF>> {
    let until = match name {
        "pg_sleep" => Until::Seconds,
        "pg_sleep_for" => Until::Interval,
        "pg_sleep_until" => Until::Moment,
        _ => return None,
    };
    let sleep = Sleep {
        until,
        style,
        signature: Signature::any(1, Volatility::Volatile),
    };
    let function = AsyncScalarUDF::new(Arc::new(sleep)).into_scalar_udf();
    Some(Arc::new(function))
}

impl Sleep {
    /// The seconds to wait for each row; NULL waits for nothing.
    fn seconds(&self, array: &ArrayRef) -> Result<Vec<Option<f64>>> {
        let ty = match self.until {
            Until::Seconds => {
                let seconds = cast(array, &DataType::Float64)?;
                return Ok(seconds.as_primitive::<Float64Type>().iter().collect());
            }
            Until::Interval => ColumnType::Interval(None),
            Until::Moment => ColumnType::TimestampTz(None),
        };
        let micros = |value: DatumRef<'_>| match value {
            DatumRef::Interval(value) => Some(value.span() as f64),
            DatumRef::TimestampTz(at) => Some((at - now_micros()) as f64),
            _ => None,
        };
        let seconds = |row: usize| {
            let micros = match datum_at(array, row) {
                Some(DatumRef::Text(literal)) => {
                    let value = text::parse_in(ty, literal, self.style);
                    let value = value.map_err(|error| DataFusionError::External(Box::new(error)));
                    micros(value?.as_ref())
                }
                value => value.and_then(micros),
            };
            Ok(micros.map(|micros| micros / 1e6))
        };
        (0..array.len()).map(seconds).collect()
    }
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        match self.until {
            Until::Seconds => "pg_sleep",
            Until::Interval => "pg_sleep_for",
            Until::Moment => "pg_sleep_until",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(output::void(self.name())))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let message = format!("{} waits, so it is not called but awaited", self.name());
        Err(DataFusionError::Internal(message))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = self.seconds(&args.args[0].to_array(args.number_rows)?)?;
        for seconds in rows.iter().flatten().filter(|seconds| **seconds > 0.0) {
            // What is longer than can be counted never ends.
            let duration = Duration::try_from_secs_f64(*seconds).unwrap_or(Duration::MAX);
            tokio::time::sleep(duration).await;
        }
        // PostgreSQL's void is shown as nothing.
        let void = rows.iter().map(|seconds| seconds.map(|_| ""));
        Ok(ColumnarValue::Array(Arc::new(StringArray::from_iter(void))))
    }
}
