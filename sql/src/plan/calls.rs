//! Calls of functions with overloads: once the plan stands, each is told which one it is.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};
use tidelog_storage::ColumnType;

use super::operators::{external, literal_of, type_parameter};
use crate::functions::call::Overloaded;
use crate::text::Style;

/// The call with its overload chosen, and with literals and parameters of the types that it wants; as it is when it is
/// no call of ours.
pub(super) fn resolved(
    mut call: ScalarFunction,
    schema: &DFSchema,
    style: Style,
) -> Result<(ScalarFunction, bool)> {
    let Some(open) = call.func.inner().downcast_ref::<Overloaded>() else {
        return Ok((call, false));
    };
    let fields = call
        .args
        .iter()
        .map(|arg| Ok(arg.to_field(schema)?.1))
        .collect::<Result<Vec<_>>>()?;
    let constants: Vec<Option<&ScalarValue>> = call
        .args
        .iter()
        .map(|arg| match arg {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        })
        .collect();
    let (function, params) = open.resolve(&fields, &constants).map_err(external)?;
    call.args = call
        .args
        .into_iter()
        .zip(params)
        .map(|(arg, ty)| match ty {
            Some(ty) => literal_of(type_parameter(arg, ty), ty, style),
            None => Ok(type_parameter(arg, ColumnType::Text)),
        })
        .collect::<Result<_>>()?;
    call.func = function;
    Ok((call, true))
}
