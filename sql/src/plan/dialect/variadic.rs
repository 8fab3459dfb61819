//! `f(VARIADIC array)`: as another function of the array, or with its elements where they are written out.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, VisitorMut,
};

use super::take;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::forms::VARIADIC;
use crate::parse::walk::WalkMut;
use crate::parse::{parse_expression, quoted};

/// Rewrites such calls; 0A000 for those of which nothing else is known.
pub(in crate::plan) fn spread(query: &mut ast::Query) -> Result<(), SqlError> {
    struct Spread;
    impl VisitorMut for Spread {
        type Break = SqlError;

        /// A column is called after the function that was written.
        fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) = item
                    && let Some(name) = name_of(expr)
                {
                    let (expr, alias) = (take(expr), quoted(&name));
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
            match called(expr) {
                Ok(None) => {}
                Ok(Some(call)) => *expr = call,
                Err(error) => return ControlFlow::Break(error),
            }
            ControlFlow::Continue(())
        }
    }
    match query.walk_mut(&mut Spread) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What such a call is instead; `None` for other expressions.
fn called(expr: &mut Expr) -> Result<Option<Expr>, SqlError> {
    let Expr::Function(call) = expr else {
        return Ok(None);
    };
    let Some(name) = call.name.0.last().and_then(|part| part.as_ident()) else {
        return Ok(None);
    };
    let name = ddl::fold(name);
    let FunctionArguments::List(list) = &mut call.args else {
        return Ok(None);
    };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(last))) = list.args.last_mut() else {
        return Ok(None);
    };
    let Some(array) = array_of(last) else {
        return Ok(None);
    };
    list.args.pop();
    let given: Vec<String> = list.args.iter().map(ToString::to_string).collect();
    let written = match (name.as_str(), given.as_slice()) {
        ("concat", []) => format!("array_to_string({array}, '')"),
        ("concat_ws", [separator]) => format!("array_to_string({array}, {separator})"),
        ("jsonb_build_object", []) => format!("jsonb_object({array})"),
        ("json_build_object", []) => format!("json_object({array})"),
        ("jsonb_build_array", []) => format!("to_jsonb({array})"),
        ("json_extract_path" | "jsonb_extract_path", [of]) => format!("({of} #> {array})"),
        ("json_extract_path_text" | "jsonb_extract_path_text", [of]) => {
            format!("({of} #>> {array})")
        }
        ("num_nonnulls", []) => format!("cardinality(array_remove({array}, NULL))"),
        ("num_nulls", []) => {
            format!("(cardinality({array}) - cardinality(array_remove({array}, NULL)))")
        }
        ("coalesce" | "greatest" | "least" | "nullif" | "xmlconcat", _) => {
            let message = "syntax error at or near \"VARIADIC\"";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        _ => {
            let Expr::Array(elements) = array else {
                let what = format!("VARIADIC with an array that is not written out in {name}()");
                return Err(SqlError::unsupported(what));
            };
            let elements = elements.elem.into_iter();
            list.args
                .extend(elements.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))));
            return Ok(None);
        }
    };
    parse_expression(&written).map(Some)
}

/// The name of a function that is called with VARIADIC.
fn name_of(expr: &Expr) -> Option<String> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    match list.args.last()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(last))) if is_mark(last) => {
            call.name.0.last()?.as_ident().map(ddl::fold)
        }
        _ => None,
    }
}

fn is_mark(call: &ast::Function) -> bool {
    let name = call.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| name.value == VARIADIC)
}

/// The array that stands behind VARIADIC.
fn array_of(argument: &mut Expr) -> Option<Expr> {
    let Expr::Function(mark) = argument else {
        return None;
    };
    if !is_mark(mark) {
        return None;
    }
    let FunctionArguments::List(list) = &mut mark.args else {
        return None;
    };
    match list.args.as_mut_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => Some(take(array)),
        _ => None,
    }
}
