//! Calls of aggregates and window functions that PostgreSQL refuses by their form.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::Walk;

/// 42809 for `count()` and for OVER of a function of one row, 22016 for `nth_value` of no row.
pub(super) fn check(
    query: &ast::Query,
    is_of_one_row: &dyn Fn(&str) -> bool,
) -> Result<(), SqlError> {
    match query.walk(&mut Calls { is_of_one_row }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Calls<'a> {
    is_of_one_row: &'a dyn Fn(&str) -> bool,
}

impl ast::Visitor for Calls<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        match expr {
            Expr::Function(call) => match self.refused(call) {
                Some(error) => ControlFlow::Break(error),
                None => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Calls<'_> {
    fn refused(&self, call: &ast::Function) -> Option<SqlError> {
        let name = ddl::fold(call.name.0.last()?.as_ident()?);
        let FunctionArguments::List(list) = &call.args else {
            return None;
        };
        if name == "count" && list.args.is_empty() {
            let message = "count(*) must be used to call a parameterless aggregate function";
            return Some(SqlError::new(ErrorKind::WrongObjectType, message));
        }
        call.over.as_ref()?;
        if (self.is_of_one_row)(&name) {
            let message = format!(
                "OVER specified, but {name} is not a window function nor an aggregate function"
            );
            return Some(SqlError::new(ErrorKind::WrongObjectType, message));
        }
        let is_none = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(place)) if is_no_place(place));
        (name == "nth_value" && list.args.get(1).is_some_and(is_none)).then(|| {
            let message = "argument of nth_value must be greater than zero";
            SqlError::new(ErrorKind::InvalidArgumentForNthValue, message)
        })
    }
}

/// A number that is not above 0, as it is written.
fn is_no_place(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => matches!(&**expr, Expr::Value(value) if matches!(value.value, Value::Number(..))),
        Expr::Value(value) => matches!(&value.value, Value::Number(digits, _)
            if digits.parse() == Ok(0_i64)),
        _ => false,
    }
}
