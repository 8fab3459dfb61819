//! Casts to and from text by PostgreSQL's text forms, where DataFusion would use Arrow's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use tidelog_storage::datum::{ColumnBuilder, datum_at};
use tidelog_storage::{ColumnType, DatumRef};

use crate::text;

/// Rewrites casts between text and other types into PostgreSQL's input and output functions.
#[derive(Debug)]
pub(crate) struct TextCasts;

impl AnalyzerRule for TextCasts {
    fn name(&self) -> &str {
        "postgres_text_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = DFSchema::empty();
            for input in plan.inputs() {
                schema.merge(input.schema());
            }
            plan.map_expressions(|expr| {
                let saved = expr.schema_name().to_string();
                let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
                // A rewritten column keeps the name that the plan above knows it by.
                rewritten.map_data(|expr| {
                    Ok(if expr.schema_name().to_string() == saved {
                        expr
                    } else {
                        expr.alias(saved)
                    })
                })
            })
        })
        .map(|transformed| transformed.data)
    }
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// The type whose input function a cast from text to this Arrow type calls.
fn input_type(ty: &DataType) -> Option<ColumnType> {
    Some(match ty {
        DataType::Int16 => ColumnType::Int2,
        DataType::Int32 => ColumnType::Int4,
        DataType::Int64 => ColumnType::Int8,
        DataType::Float32 => ColumnType::Float4,
        DataType::Float64 => ColumnType::Float8,
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            let plain = ColumnType::Numeric(None);
            if plain.numeric_shape() == (*p, *s) {
                plain
            } else {
                ColumnType::Numeric(Some((*p, *s)))
            }
        }
        DataType::Boolean => ColumnType::Bool,
        DataType::Binary => ColumnType::Bytea,
        DataType::FixedSizeBinary(16) => ColumnType::Uuid,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, None) => ColumnType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ColumnType::TimestampTz,
        _ => return None,
    })
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) => {
            let Ok(from) = expr.get_type(schema) else {
                return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
            };
            let call = |function: TextFunction, expr: Box<Expr>| {
                let function = Arc::new(ScalarUDF::from(function));
                Ok(Transformed::yes(Expr::ScalarFunction(
                    ScalarFunction::new_udf(function, vec![*expr]),
                )))
            };
            if is_text(&from)
                && let Some(ty) = input_type(field.data_type())
            {
                return call(TextFunction::input(ty), expr);
            }
            if is_text(field.data_type()) && input_type(&from).is_some() {
                return call(TextFunction::output(), expr);
            }
            Ok(Transformed::no(Expr::Cast(Cast { expr, field })))
        }
        // DataFusion would compare a uuid's bytes with the text's.
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let uuid =
                |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::FixedSizeBinary(16)));
            let text = |expr: &Expr| expr.get_type(schema).is_ok_and(|ty| is_text(&ty));
            let parse = |expr: Expr| {
                let function = Arc::new(ScalarUDF::from(TextFunction::input(ColumnType::Uuid)));
                Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
            };
            let (left, right, changed) = match (uuid(&left), uuid(&right)) {
                (true, false) if text(&right) => (left, Box::new(parse(*right)), true),
                (false, true) if text(&left) => (Box::new(parse(*left)), right, true),
                _ => (left, right, false),
            };
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            Ok(if changed {
                Transformed::yes(expr)
            } else {
                Transformed::no(expr)
            })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// PostgreSQL's input function of a type (`Some`), or the output function of any (`None`).
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextFunction {
    input: Option<ColumnType>,
    signature: Signature,
}

impl TextFunction {
    fn input(ty: ColumnType) -> TextFunction {
        TextFunction {
            input: Some(ty),
            signature: Signature::any(1, Volatility::Immutable),
        }
    }

    fn output() -> TextFunction {
        TextFunction {
            input: None,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.input {
            Some(ty) => {
                let texts = arrow::compute::cast(array, &DataType::Utf8)?;
                let mut builder = ColumnBuilder::new(ty);
                for value in texts.as_string::<i32>() {
                    match value {
                        None => builder.append(DatumRef::Null),
                        Some(value) => {
                            let parsed = text::parse(ty, value)
                                .map_err(|e| DataFusionError::External(Box::new(e)))?;
                            builder.append(parsed.as_ref());
                        }
                    }
                }
                Ok(builder.finish())
            }
            None => {
                let mut builder = StringBuilder::new();
                let mut out = String::new();
                for row in 0..array.len() {
                    match datum_at(array, row) {
                        None => {
                            return Err(DataFusionError::NotImplemented(format!(
                                "{} as text",
                                array.data_type()
                            )));
                        }
                        Some(DatumRef::Null) => builder.append_null(),
                        Some(DatumRef::Bool(value)) => {
                            builder.append_value(if value { "true" } else { "false" })
                        }
                        Some(value) => {
                            out.clear();
                            text::write(value, &mut out);
                            builder.append_value(&out);
                        }
                    }
                }
                Ok(Arc::new(builder.finish()))
            }
        }
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        if self.input.is_some() {
            "pg_input"
        } else {
            "pg_output"
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.input.map_or(DataType::Utf8, ColumnType::arrow))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.apply(array)?)),
            ColumnarValue::Scalar(value) => {
                let result = self.apply(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &result, 0,
                )?))
            }
        }
    }
}
