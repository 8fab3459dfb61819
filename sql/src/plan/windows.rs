//! Calls of aggregates and window functions that PostgreSQL refuses by their form.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use super::dialect;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::WalkMut;
use crate::system::pg_proc;

/// 42809 for `count()` and for OVER of a function of one row, 22016 for `nth_value` of no row. Calls with another number of
/// arguments than PostgreSQL knows become calls of a function that is not there, which says so with their types.
pub(super) fn follow_postgres(
    query: &mut ast::Query,
    is_of_one_row: &dyn Fn(&str) -> bool,
) -> Result<(), SqlError> {
    match query.walk_mut(&mut Calls { is_of_one_row }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Before the name of a function that there is, but not with such arguments.
const NO_SUCH: &str = "\u{1}no such ";

/// The name of a function of which such a call was written.
pub(super) fn without_such_arguments(name: &str) -> Option<&str> {
    name.strip_prefix(NO_SUCH)
}

struct Calls<'a> {
    is_of_one_row: &'a dyn Fn(&str) -> bool,
}

impl ast::VisitorMut for Calls<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(call) = &*expr else {
            return ControlFlow::Continue(());
        };
        if let Some(error) = self.refused(call) {
            return ControlFlow::Break(error);
        }
        if let Some(none) = with_wrong_number(call) {
            *expr = none;
        } else if let Expr::Function(call) = expr {
            read_number(call);
        }
        ControlFlow::Continue(())
    }
}

/// A call of an aggregate or window function with too many arguments or too few, as one of a function that is not there.
fn with_wrong_number(call: &ast::Function) -> Option<Expr> {
    let name = ddl::fold(call.name.0.last()?.as_ident()?);
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let mut functions = pg_proc::functions(&name);
    let is_of_rows = |function: &&pg_proc::Function| matches!(function.kind.as_str(), "a" | "w");
    if functions.is_empty() || !functions.iter().all(is_of_rows) {
        return None;
    }
    let mut args = Vec::new();
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => args.push(arg.clone()),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name != "count" => {}
            // What else there is has a meaning of its own.
            _ => return None,
        }
    }
    args.extend(call.within_group.iter().map(|key| key.expr.clone()));
    let takes = |function: &&pg_proc::Function| {
        function.argument_types.len() == args.len()
            // VARIADIC "any" of hypothetical-set aggregates.
            || function.argument_types.as_slice() == [pg_proc::ANY] && function.kind == "a"
    };
    functions.retain(takes);
    let none = || dialect::call(&format!("{NO_SUCH}{name}"), args);
    functions.is_empty().then(none)
}

/// A bare string as the number that a function takes first: DataFusion would take it for a text.
fn read_number(call: &mut ast::Function) {
    let name = call.name.0.last().and_then(|part| part.as_ident());
    let ty = match name.map(ddl::fold).as_deref() {
        Some("percentile_cont" | "percentile_disc") => ast::DataType::DoublePrecision,
        Some("ntile") => ast::DataType::Int4(None),
        _ => return,
    };
    if let FunctionArguments::List(list) = &mut call.args
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
        && let Expr::Value(value) = first
        && matches!(value.value, Value::SingleQuotedString(_))
    {
        *first = dialect::cast(dialect::take(first), ty);
    }
}

impl Calls<'_> {
    fn refused(&self, call: &ast::Function) -> Option<SqlError> {
        let name = ddl::fold(call.name.0.last()?.as_ident()?);
        let FunctionArguments::List(list) = &call.args else {
            return None;
        };
        let wrong = |message: String| Some(SqlError::new(ErrorKind::WrongObjectType, message));
        if name == "count" && list.args.is_empty() {
            let message = "count(*) must be used to call a parameterless aggregate function";
            return wrong(message.to_string());
        }
        let is_hypothetical = matches!(
            name.as_str(),
            "rank" | "dense_rank" | "percent_rank" | "cume_dist"
        );
        if is_hypothetical && !list.args.is_empty() && call.within_group.is_empty() {
            return wrong(format!(
                "WITHIN GROUP is required for ordered-set aggregate {name}"
            ));
        }
        call.over.as_ref()?;
        if (self.is_of_one_row)(&name) {
            return wrong(format!(
                "OVER specified, but {name} is not a window function nor an aggregate function"
            ));
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
