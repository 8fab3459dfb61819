//! RANGE frames: keys and offsets in types that DataFusion adds and compares as PostgreSQL does.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, Projection, SortExpr, Window, WindowFrameBound,
};
use tidelog_storage::{ColumnType, Datum, Interval};

use super::calls::cast;
use super::numerics::shape_of;
use super::operators::{external, is_number};
use crate::error::{ErrorKind, SqlError};
use crate::functions::time;
use crate::precision::plain;
use crate::text::{self, Style};
use crate::{functions, types};

/// Turns the key of a RANGE frame, which was of this type before it became what its type is sorted by, and its offsets into
/// ones of DataFusion's types, of the same order and distances.
pub(super) fn key_and_offsets(
    params: &mut WindowFunctionParams,
    ty: Option<ColumnType>,
    schema: &DFSchema,
    style: Style,
) -> Result<()> {
    let frame = &mut params.window_frame;
    let mut offsets: Vec<&mut ScalarValue> = [&mut frame.start_bound, &mut frame.end_bound]
        .into_iter()
        .filter_map(|bound| match bound {
            WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => Some(by),
            WindowFrameBound::CurrentRow => None,
        })
        .filter(|by| !by.is_null())
        .collect();
    let (true, Some(ty), [key]) = (!offsets.is_empty(), ty.map(plain), &mut params.order_by[..])
    else {
        let mut keys = params.order_by.iter_mut();
        return keys.try_for_each(|key| bare(&mut key.expr, schema));
    };
    match ty {
        ColumnType::Date | ColumnType::Timestamp(_) | ColumnType::TimestampTz(_) => {
            let mut in_calendar = false;
            for offset in &mut offsets {
                let by = interval(offset, ty, style)?;
                check(by.span() >= 0)?;
                in_calendar |= by.months != 0 || by.days != 0;
                let days = i128::from(time::FINITE_YEARS) * 365;
                if by.span() > days * 86_400_000_000 {
                    let what = "RANGE with an offset of more than 10,000 years";
                    return Err(external(SqlError::unsupported(what)));
                }
                let nanoseconds = by.micros.saturating_mul(1000);
                let by = IntervalMonthDayNano::new(by.months, by.days, nanoseconds);
                **offset = ScalarValue::IntervalMonthDayNano(Some(by));
            }
            let zoned = matches!(ty, ColumnType::TimestampTz(_));
            // Clocks that are put back do not run in the order of the moments.
            if zoned && in_calendar && !style.zone.is_fixed() {
                let what = "RANGE with an offset of days or months over timestamp with time zone in a time zone that changes its clocks";
                return Err(external(SqlError::unsupported(what)));
            }
            let mut expr = std::mem::take(&mut key.expr);
            let mut moment = ty;
            if ty == ColumnType::Date || zoned && in_calendar {
                moment = ColumnType::Timestamp(None);
                expr = cast(expr, moment, schema, style)?;
            } else if expr.get_type(schema)? != ty.arrow() {
                // now() has nanoseconds.
                expr = Expr::Cast(Cast::new(Box::new(expr), ty.arrow()));
            }
            key.expr = functions::json::call(time::finite(moment), vec![expr]);
        }
        ColumnType::Time(_) => {
            for offset in &mut offsets {
                // Months and days do not count, as in `time + interval`.
                let by = interval(offset, ty, style)?.micros;
                check(by >= 0)?;
                **offset = ScalarValue::Int64(Some(by));
            }
            bare(&mut key.expr, schema)?;
        }
        ColumnType::Interval(_) => {
            for offset in &mut offsets {
                let by = interval(offset, ty, style)?.span();
                check(by >= 0)?;
                **offset = ScalarValue::Decimal128(Some(by), 38, 0);
            }
        }
        ColumnType::Numeric(None) => {
            if let Some(number) = functions::order::number_of(&key.expr) {
                let number = number.into_owned();
                key.expr = functions::json::call(functions::order::framed(), vec![number]);
            }
        }
        // Its scale would round them.
        ColumnType::Numeric(Some((_, scale)))
            if offsets.iter().any(|offset| scale_of(offset) > scale) =>
        {
            let numbers = ColumnType::Numeric(None);
            let number = cast(std::mem::take(&mut key.expr), numbers, schema, style)?;
            key.expr = functions::json::call(functions::order::framed(), vec![number]);
        }
        ColumnType::Float4 | ColumnType::Float8
            if offsets.iter().any(|offset| is_infinite(offset)) =>
        {
            let what = "RANGE with an infinite offset";
            return Err(external(SqlError::unsupported(what)));
        }
        ty if is_number(ty) && !is_kept_otherwise(&key.expr.get_type(schema)?) => {}
        ty => {
            let message = format!(
                "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}",
                types::name(ty)
            );
            let error = SqlError::new(ErrorKind::FeatureNotSupported, message);
            return Err(external(error));
        }
    }
    Ok(())
}

/// Functions over windows that have come to have different keys, each over a window of its own: DataFusion wants one key for all
/// that it has put together. `None` where they have one.
pub(super) fn apart(window: &Window) -> Result<Option<LogicalPlan>> {
    let mut groups: Vec<(WindowKeys, Vec<Expr>)> = Vec::new();
    for expr in &window.window_expr {
        let keys = match expr.clone().unalias_nested().data {
            Expr::WindowFunction(call) => (call.params.partition_by, call.params.order_by),
            _ => return Ok(None),
        };
        match groups.iter_mut().find(|(of, _)| *of == keys) {
            Some((_, exprs)) => exprs.push(expr.clone()),
            None => groups.push((keys, vec![expr.clone()])),
        }
    }
    if groups.len() < 2 {
        return Ok(None);
    }
    let mut plan = window.input.clone();
    for (_, exprs) in groups {
        plan = Arc::new(LogicalPlan::Window(Window::try_new(exprs, plan)?));
    }
    let columns = window.schema.columns().into_iter().map(Expr::Column);
    Projection::try_new(columns.collect(), plan).map(|plan| Some(LogicalPlan::Projection(plan)))
}

/// What a window is divided and ordered by.
type WindowKeys = (Vec<Expr>, Vec<SortExpr>);

/// Whether DataFusion has no RANGE frames over keys of this type.
fn is_kept_otherwise(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Binary | DataType::FixedSizeBinary(_) | DataType::Time64(_)
    )
}

/// A key as one of the same order that DataFusion has frames over.
pub(super) fn bare(key: &mut Expr, schema: &DFSchema) -> Result<()> {
    let ty = key.get_type(schema)?;
    if is_kept_otherwise(&ty) {
        let expr = std::mem::take(key);
        *key = match ty {
            DataType::Time64(_) => Expr::Cast(Cast::new(Box::new(expr), DataType::Int64)),
            _ => functions::json::call(functions::order::hex(), vec![expr]),
        };
    }
    Ok(())
}

/// The digits behind the point of an offset, as it was written.
fn scale_of(offset: &ScalarValue) -> i8 {
    let written = offset.try_as_str().flatten().unwrap_or_default();
    match shape_of(written) {
        Ok(ColumnType::Numeric(Some((_, scale)))) => scale,
        _ => 0,
    }
}

fn is_infinite(offset: &ScalarValue) -> bool {
    let number = match offset {
        ScalarValue::Float64(number) => *number,
        written => {
            let written = written.try_as_str().flatten();
            written.and_then(|written| written.trim().parse().ok())
        }
    };
    number.is_some_and(f64::is_infinite)
}

/// An offset from a key of a type of times.
fn interval(offset: &ScalarValue, key: ColumnType, style: Style) -> Result<Interval> {
    let written = offset.try_as_str().flatten().unwrap_or_default();
    if written.parse::<f64>().is_ok() {
        let number = if written.contains('.') {
            "numeric"
        } else {
            "integer"
        };
        let message = format!(
            "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {} and offset type {number}",
            types::name(key)
        );
        let hint = "Cast the offset value to an appropriate type.";
        let error = SqlError::new(ErrorKind::FeatureNotSupported, message).hint(hint);
        return Err(external(error));
    }
    match text::parse_in(ColumnType::Interval(None), written, style) {
        Ok(Datum::Interval(value)) => Ok(value),
        Ok(other) => unreachable!("{other:?} was read as an interval"),
        Err(error) => Err(external(error)),
    }
}

/// 22013 for an offset that is negative.
fn check(is_positive: bool) -> Result<()> {
    match is_positive {
        true => Ok(()),
        false => Err(external(SqlError::new(
            ErrorKind::InvalidFrameSize,
            "invalid preceding or following size in window function",
        ))),
    }
}
