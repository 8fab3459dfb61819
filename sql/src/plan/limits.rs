//! LIMIT and OFFSET as PostgreSQL reads them: any number, or what can be read as one.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, LimitClause, UnaryOperator, Value};
use tidelog_storage::{ColumnType, Datum};

use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::{Walk, WalkMut};
use crate::row::assign;
use crate::text::{self, Style};

/// Makes constants of LIMIT and OFFSET whole numbers, and refuses what cannot be one.
pub(super) fn whole(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.walk_mut(&mut Limits { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Limits {
    depth: usize,
}

impl ast::VisitorMut for Limits {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            let offset = offset.as_mut().map(|offset| &mut offset.value);
            let both = [(limit.as_mut(), "LIMIT"), (offset, "OFFSET")];
            for (count, what) in both {
                if let Some(count) = count
                    && let Err(error) = read(count, what, self.depth == 0)
                {
                    return ControlFlow::Break(error);
                }
            }
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// In a subquery there may be columns of the query around it.
fn read(count: &mut Expr, what: &str, is_top: bool) -> Result<(), SqlError> {
    let value = match constant(count)? {
        Some(value) => value,
        None if is_top => return refuse_variables(count, what),
        None => return Ok(()),
    };
    if value < 0 {
        return Err(negative(what));
    }
    *count = Expr::Value(Value::Number(value.to_string(), false).into());
    Ok(())
}

/// 2201W or 2201X.
pub(crate) fn negative(what: &str) -> SqlError {
    let kind = match what {
        "LIMIT" => ErrorKind::InvalidRowCountInLimit,
        _ => ErrorKind::InvalidRowCountInOffset,
    };
    SqlError::new(kind, format!("{what} must not be negative"))
}

fn constant(expr: &Expr) -> Result<Option<i64>, SqlError> {
    match expr {
        Expr::Nested(inner) => constant(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => Ok(constant(expr)?.map(|value| -value)),
        Expr::UnaryOp {
            op: UnaryOperator::Plus,
            expr,
        } => constant(expr),
        Expr::Value(value) => {
            let numeric = ColumnType::Numeric(None);
            let read = match &value.value {
                Value::Number(digits, _) => {
                    let number = text::parse(numeric, digits)?;
                    assign(number, numeric, ColumnType::Int8, "", Style::default())?
                }
                Value::SingleQuotedString(literal) => text::parse(ColumnType::Int8, literal)?,
                _ => return Ok(None),
            };
            Ok(match read {
                Datum::Int8(value) => Some(value),
                _ => None,
            })
        }
        _ => Ok(None),
    }
}

fn refuse_variables(count: &Expr, what: &str) -> Result<(), SqlError> {
    struct Finder(usize);
    impl ast::Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) if self.0 == 0 => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    if count.walk(&mut Finder(0)).is_break() {
        let message = format!("argument of {what} must not contain variables");
        return Err(SqlError::new(ErrorKind::InvalidColumnReference, message));
    }
    Ok(())
}
