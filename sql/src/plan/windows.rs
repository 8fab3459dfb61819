//! Calls that PostgreSQL refuses by their form: of aggregates, of window functions, with what only aggregates take, and of
//! functions that only DataFusion has.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::execution::SessionStateDefaults;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    UnaryOperator, Value,
};

use super::dialect;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::quoted;
use crate::parse::walk::WalkMut;
use crate::system::pg_proc;

/// 42809 for `count()` and for OVER, DISTINCT and the like of a function of one row, 22016 for `nth_value` of no row. Calls of
/// DataFusion's own functions and with another number of arguments than PostgreSQL knows become calls of a function that is not
/// there, which says so with their types.
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
            disown(&mut call.name);
            read_number(call);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<SqlError> {
        if let ast::TableFactor::Function { name, .. }
        | ast::TableFactor::Table {
            name,
            args: Some(_),
            ..
        } = factor
        {
            disown(name);
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

/// What stands in a call that only aggregates take.
fn of_aggregates(call: &ast::Function, list: &ast::FunctionArgumentList) -> Option<&'static str> {
    let orders =
        |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::OrderBy(_));
    if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) {
        Some("DISTINCT")
    } else if !call.within_group.is_empty() {
        Some("WITHIN GROUP")
    } else if list.clauses.iter().any(orders) {
        Some("ORDER BY")
    } else {
        call.filter.as_ref().map(|_| "FILTER")
    }
}

/// Names that DataFusion has for functions and PostgreSQL has not.
static FOREIGN: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let functions = SessionStateDefaults::default_scalar_functions();
    let names = functions.iter().flat_map(|function| {
        let aliases = function.aliases().iter().cloned();
        aliases.chain([function.name().to_string()])
    });
    let is_foreign =
        |name: &String| pg_proc::functions(name).is_empty() && !SYNTAX.contains(&name.as_str());
    names.filter(is_foreign).collect()
});

/// What PostgreSQL's grammar has instead of a function.
const SYNTAX: [&str; 8] = [
    "coalesce",
    "current_date",
    "current_time",
    "current_timestamp",
    "greatest",
    "least",
    "nullif",
    "row",
];

/// Names a function that PostgreSQL has not so that it is none.
fn disown(name: &mut ast::ObjectName) {
    if let [only] = name.0.as_slice()
        && let Some(function) = only.as_ident().map(ddl::fold)
        && FOREIGN.contains(&function)
    {
        *name = ast::ObjectName::from(vec![quoted(&format!("{NO_SUCH}{function}"))]);
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
        if let Some(said) = of_aggregates(call, list)
            && pg_proc::functions(&name).iter().any(|of| of.kind == "f")
        {
            return wrong(format!(
                "{said} specified, but {name} is not an aggregate function"
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
