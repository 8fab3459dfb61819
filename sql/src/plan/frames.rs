//! How far the frames of windows reach: constants that DataFusion takes as bare numbers, and parameters, whose values a plan
//! is made with.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, NamedWindowExpr, UnaryOperator, Value, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowType,
};
use tidelog_storage::{ColumnType, Datum};

use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::WalkMut;
use crate::row::placeholder;
use crate::text::{self, Style};
use crate::types;

/// Gives a parameter, from 0 and cast to this type, a literal.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(usize, Option<ColumnType>) -> Result<Value, SqlError>;

/// Puts literals in the place of the parameters in a query's frames; whether there were any.
pub(crate) fn fill(query: &mut ast::Query, fill: Fill<'_>) -> Result<bool, SqlError> {
    let mut filling = Filling { fill, found: false };
    match query.walk_mut(&mut filling) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(filling.found),
    }
}

/// A parameter's value as a literal of a frame.
pub(crate) fn literal(value: &Datum, ty: ColumnType) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    let mut shown = String::new();
    text::write(value.as_ref(), ty, Style::default(), &mut shown);
    match ty {
        ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Numeric(_)
        | ColumnType::Float4
        | ColumnType::Float8 => Value::Number(shown, false),
        _ => Value::SingleQuotedString(shown),
    }
}

struct Filling<'a> {
    fill: Fill<'a>,
    found: bool,
}

impl ast::VisitorMut for Filling<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        for definition in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut definition.1 {
                self.frame(spec.window_frame.as_mut())?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Expr::Function(call) = expr
            && let Some(WindowType::WindowSpec(spec)) = &mut call.over
        {
            self.frame(spec.window_frame.as_mut())?;
        }
        ControlFlow::Continue(())
    }
}

impl Filling<'_> {
    fn frame(&mut self, frame: Option<&mut WindowFrame>) -> ControlFlow<SqlError> {
        let Some(frame) = frame else {
            return ControlFlow::Continue(());
        };
        for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()] {
            if let Some(offset) = bound.and_then(offset)
                && let Err(error) = self.offset(offset, None)
            {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    fn offset(&mut self, expr: &mut Expr, cast: Option<ColumnType>) -> Result<(), SqlError> {
        match expr {
            Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => self.offset(inner, cast),
            Expr::Cast {
                expr, data_type, ..
            } => {
                let ty = types::column_type(data_type).ok();
                self.offset(expr, ty)
            }
            Expr::BinaryOp { left, right, .. } => {
                self.offset(left, cast)?;
                self.offset(right, cast)
            }
            Expr::Value(value) => {
                if let Value::Placeholder(name) = &value.value {
                    value.value = (self.fill)(placeholder(name)?, cast)?;
                    self.found = true;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn offset(bound: &mut WindowFrameBound) -> Option<&mut Expr> {
    match bound {
        WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) => {
            Some(expr)
        }
        _ => None,
    }
}

/// Writes the bounds of a frame as DataFusion takes them, and checks them.
pub(super) fn simplify(frame: &mut WindowFrame) -> Result<(), SqlError> {
    let units = frame.units;
    bound(&mut frame.start_bound, units, "starting")?;
    match &mut frame.end_bound {
        Some(end) => bound(end, units, "ending"),
        None => Ok(()),
    }
}

fn bound(
    bound: &mut WindowFrameBound,
    units: WindowFrameUnits,
    side: &str,
) -> Result<(), SqlError> {
    let Some(expr) = offset(bound) else {
        return Ok(());
    };
    if is_null(expr) {
        let message = format!("frame {side} offset must not be null");
        return Err(SqlError::new(ErrorKind::NullValueNotAllowed, message));
    }
    if let Some(number) = number(expr) {
        if number.starts_with('-') {
            let message = match units {
                WindowFrameUnits::Range => {
                    "invalid preceding or following size in window function".to_string()
                }
                _ => format!("frame {side} offset must not be negative"),
            };
            return Err(SqlError::new(ErrorKind::InvalidFrameSize, message));
        }
        *expr = Expr::Value(Value::Number(number, false).into());
    } else if let Expr::Cast {
        expr: inner,
        data_type: data_type @ DataType::Interval { .. },
        ..
    } = expr
        && let Expr::Value(value) = &**inner
        && let Value::SingleQuotedString(written) = &value.value
    {
        // DataFusion takes a string for an interval. One that says nothing else may be a number beside a key that is one.
        let ty = types::column_type(data_type)?;
        let is_number = ty == ColumnType::Interval(None) && written.trim().parse::<f64>().is_ok();
        let value = match is_number {
            true => Value::Number(written.trim().to_string(), false),
            false => literal(&text::parse(ty, written)?, ty),
        };
        *expr = match value {
            Value::Number(..) => Expr::Value(value.into()),
            _ => Expr::Interval(ast::Interval {
                value: Box::new(Expr::Value(value.into())),
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            }),
        };
    }
    Ok(())
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_null(inner),
        Expr::Value(value) => value.value == Value::Null,
        _ => false,
    }
}

/// The digits of a constant number.
fn number(expr: &Expr) -> Option<String> {
    let whole = |expr: &Expr| number(expr)?.parse::<i64>().ok();
    match expr {
        Expr::Nested(inner) => number(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits.clone()),
            _ => None,
        },
        Expr::Cast {
            expr, data_type, ..
        } => match types::column_type(data_type).ok()? {
            ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => {
                whole(expr).map(|number| number.to_string())
            }
            ColumnType::Numeric(None) | ColumnType::Float4 | ColumnType::Float8 => number(expr),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => {
            let digits = number(expr)?;
            Some(match digits.strip_prefix('-') {
                Some(digits) => digits.to_string(),
                None => format!("-{digits}"),
            })
        }
        Expr::BinaryOp { left, op, right } => {
            let (left, right) = (whole(left)?, whole(right)?);
            let result = match op {
                BinaryOperator::Plus => left.checked_add(right),
                BinaryOperator::Minus => left.checked_sub(right),
                BinaryOperator::Multiply => left.checked_mul(right),
                _ => None,
            };
            result.map(|number| number.to_string())
        }
        _ => None,
    }
}
