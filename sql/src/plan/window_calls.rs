//! Calls over windows.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, WindowFunction};
use datafusion::logical_expr::{Expr, WindowFrameUnits, WindowFunctionDefinition};
use tidelog_storage::ColumnType;

use super::calls::{as_oid, by_value, check_extreme, match_types, says_more, sorts_by_itself};
use super::comparable::check_of_many_rows;
use super::operators::{int4, literal_of, small_literal, type_of, type_parameter, written_type};
use super::order::{has_own_order, sorted, sorted_by, unsigned_zero};
use super::ranges;
use crate::functions;
use crate::functions::collected;
use crate::text::Style;

/// A call over a window: keys of ORDER BY as their types sort, an aggregate in a form that its frame can slide over.
pub(super) fn window(
    mut window: Box<WindowFunction>,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let name = window.fun.name().to_string();
    let given: Vec<&Expr> = window.params.args.iter().collect();
    check_of_many_rows(&name, &given, schema)?;
    let args = &mut window.params.args;
    match name.as_str() {
        "lag" | "lead" => {
            offset(&name, args, schema, style)?;
            let constant = |arg: &Expr| matches!(arg, Expr::Literal(..));
            let no_offset = matches!(args.get(1), Some(Expr::Literal(by, _)) if by.is_null());
            if no_offset || !args.iter().skip(1).all(constant) {
                let shift = functions::shift::shift(name == "lead");
                window.fun = WindowFunctionDefinition::WindowUDF(shift);
            }
        }
        "nth_value" if !place(args, style)? => {
            let function = functions::varying::nth_value();
            window.fun = WindowFunctionDefinition::WindowUDF(function);
        }
        "ntile" if !place(args, style)? => {
            let function = functions::varying::ntile();
            window.fun = WindowFunctionDefinition::WindowUDF(function);
        }
        _ => {}
    }
    if let WindowFunctionDefinition::AggregateUDF(_) = window.fun
        && matches!(name.as_str(), "min" | "max")
        && let [arg] = window.params.args.as_mut_slice()
        && let Some(ty) = as_oid(arg, schema, style)?
    {
        check_extreme(&name, ty)?;
        if has_own_order(ty) && !sorts_by_itself(ty) || says_more(ty) {
            let key = sorted_by(arg.clone(), ty);
            window.params.args.push(key);
            let function = collected::extreme_by_key(&name);
            window.fun = WindowFunctionDefinition::AggregateUDF(function);
        }
    }
    if let WindowFunctionDefinition::AggregateUDF(_) = window.fun
        && name == "array_agg"
        && let Some(arg) = window.params.args.first()
        && type_of(arg, schema).is_some_and(|ty| ty.elements().is_some())
    {
        let function = collected::array_agg_of_arrays();
        window.fun = WindowFunctionDefinition::AggregateUDF(function);
    }
    by_value(&mut window.params.partition_by, schema);
    for key in &mut window.params.partition_by {
        unsigned_zero(key, schema);
    }
    let keys = std::mem::take(&mut window.params.order_by);
    let ty = keys.first().and_then(|key| type_of(&key.expr, schema));
    window.params.order_by = sorted(keys, schema)?;
    if window.params.window_frame.units == WindowFrameUnits::Range {
        ranges::key_and_offsets(&mut window.params, ty, schema, style)?;
    } else {
        // By the same keys as where they are those of RANGE frames, with which DataFusion has put it together.
        let mut keys = window.params.order_by.iter_mut();
        keys.try_for_each(|key| ranges::bare(&mut key.expr, schema))?;
    }
    if let WindowFunctionDefinition::AggregateUDF(function) = &window.fun
        && let Some(sliding) = functions::sliding(function)
    {
        window.fun = WindowFunctionDefinition::AggregateUDF(Arc::new(sliding));
    }
    Ok(Expr::WindowFunction(window))
}

/// A count among the arguments of a window function.
fn integer(arg: Expr, style: Style) -> Result<Expr> {
    let arg = type_parameter(arg, ColumnType::Int4);
    match literal_of(arg, ColumnType::Int8, style)? {
        // DataFusion wants it bare.
        Expr::Literal(value, _) => Ok(Expr::Literal(value, None)),
        arg => Ok(arg),
    }
}

/// The number that `ntile` and `nth_value` have last, as a bigint: whether it is a constant that is not NULL.
fn place(args: &mut [Expr], style: Style) -> Result<bool> {
    let Some(last) = args.last_mut() else {
        return Ok(true);
    };
    *last = integer(std::mem::take(last), style)?;
    match args.last_mut() {
        Some(Expr::Literal(value, _)) if !value.is_null() => Ok(true),
        Some(last) => {
            let bigint = ColumnType::Int8.field("", true);
            *last = Expr::Cast(Cast::new_from_field(
                Box::new(std::mem::take(last)),
                Arc::new(bigint),
            ));
            Ok(false)
        }
        None => Ok(true),
    }
}

/// `lag(value, offset, default)`: the value and what stands in for it become one type.
fn offset(name: &str, args: &mut [Expr], schema: &DFSchema, style: Style) -> Result<()> {
    if let Some(offset) = args.get_mut(1) {
        *offset = integer(std::mem::take(offset), style)?;
    }
    let [value, _, default] = args else {
        return Ok(());
    };
    let types = [&*value, &*default].map(|expr| written_type(expr, schema));
    if let (Expr::Literal(..), [Some(ColumnType::Int4), _]) = (&*default, types)
        && let Some(small) = small_literal(default)
    {
        *default = int4(small);
    }
    match_types(name, vec![value, default], schema, style)
}
