//! Where aggregates, window functions and functions that return sets may stand: what check_agglevels_and_constraints and
//! transformWindowFuncCall in PostgreSQL's parse_agg.c refuse, and check_srf_call_placement in its parse_func.c.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Assignment, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    JoinConstraint, LimitClause, OnConflictAction, OnInsert, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, Values, WindowType,
};

use super::dialect;
use super::relations::constraint;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::Walk;
use crate::system::pg_proc;

/// What may stand at a place.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    /// What errors call it.
    name: &'a str,
    aggregates: bool,
    windows: bool,
    sets: bool,
}

impl<'a> Place<'a> {
    /// A place for none of them.
    const fn of_one_row(name: &'a str) -> Place<'a> {
        Place {
            name,
            aggregates: false,
            windows: false,
            sets: false,
        }
    }
}

/// A select list, ORDER BY, DISTINCT ON.
const RESULT: Place<'_> = Place {
    aggregates: true,
    windows: true,
    sets: true,
    ..Place::of_one_row("")
};
const GROUP_BY: Place<'_> = Place {
    sets: true,
    ..Place::of_one_row("GROUP BY")
};
const HAVING: Place<'_> = Place {
    aggregates: true,
    ..Place::of_one_row("HAVING")
};
/// PARTITION BY and ORDER BY of a window.
const WINDOW: Place<'_> = Place {
    aggregates: true,
    sets: true,
    ..Place::of_one_row("window definitions")
};
const VALUES: Place<'_> = Place::of_one_row("VALUES");

/// Errors for functions of several rows in a query, wherever it has them at places for one.
pub(super) fn check(query: &Query) -> Result<(), SqlError> {
    outcome(query.walk(&mut Calls::default()))
}

/// The same for what an INSERT, UPDATE or DELETE computes.
pub(crate) fn check_statement(statement: &Statement) -> Result<(), SqlError> {
    let mut calls = Calls::default();
    let returning = match statement {
        Statement::Insert(insert) => {
            if let Some(source) = &insert.source
                && let SetExpr::Values(values) = &*source.body
            {
                if (values.rows.windows(2)).any(|rows| rows[0].len() != rows[1].len()) {
                    let message = "VALUES lists must all be the same length";
                    return Err(SqlError::new(ErrorKind::SyntaxError, message));
                }
                calls.note_values(values, VALUES);
            }
            if let Some(OnInsert::OnConflict(conflict)) = &insert.on
                && let OnConflictAction::DoUpdate(update) = &conflict.action
            {
                calls.note_update(&update.assignments, &update.selection);
            }
            &insert.returning
        }
        Statement::Update(update) => {
            calls.note_update(&update.assignments, &update.selection);
            &update.returning
        }
        Statement::Delete(delete) => {
            calls.note_all(&delete.selection, Place::of_one_row("WHERE"));
            &delete.returning
        }
        _ => return Ok(()),
    };
    for item in returning.iter().flatten() {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            calls.note(expr, Place::of_one_row("RETURNING"));
        }
    }
    outcome(statement.walk(&mut calls))
}

/// The same for an expression that sees one row, whose place errors call so.
pub(crate) fn check_expression(expr: &Expr, place: &str) -> Result<(), SqlError> {
    let mut calls = Calls::default();
    calls.note(expr, Place::of_one_row(place));
    outcome(expr.walk(&mut calls))
}

fn outcome(flow: ControlFlow<SqlError>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What a function is, by its name and how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OneRow,
    Aggregate,
    Window,
    Set,
}

fn kind(call: &ast::Function) -> Kind {
    let name = call.name.0.last().and_then(|part| part.as_ident());
    let name = name.map_or_else(String::new, ddl::fold);
    let has = |kind: &str| pg_proc::functions(&name).iter().any(|of| of.kind == kind);
    if call.over.is_some() {
        return Kind::Window;
    }
    if dialect::gives_set(&call.name) {
        return Kind::Set;
    }
    match has("f") {
        true => Kind::OneRow,
        false if has("a") => Kind::Aggregate,
        false if has("w") => Kind::Window,
        false => Kind::OneRow,
    }
}

/// The place of what is being looked at.
#[derive(Clone, Copy, Debug)]
enum Around<'a> {
    Place(Place<'a>),
    /// The arguments of an aggregate or a window function.
    Arguments(Kind),
}

#[derive(Default)]
struct Calls<'a> {
    /// How many queries are around what is being looked at.
    queries: usize,
    /// Where expressions begin that stand at a place of their own, by their places in memory.
    noted: HashMap<*const Expr, Around<'a>>,
    around: Vec<Around<'a>>,
}

impl<'a> Calls<'a> {
    fn note(&mut self, expr: &Expr, place: Place<'a>) {
        self.note_around(expr, Around::Place(place));
    }

    fn note_around(&mut self, expr: &Expr, around: Around<'a>) {
        self.noted.insert(std::ptr::from_ref(expr), around);
    }

    fn note_all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>, place: Place<'a>) {
        for expr in exprs {
            self.note(expr, place);
        }
    }

    fn note_update(&mut self, assignments: &[Assignment], selection: &Option<Expr>) {
        self.note_all(
            assignments.iter().map(|assignment| &assignment.value),
            Place::of_one_row("UPDATE"),
        );
        self.note_all(selection, Place::of_one_row("WHERE"));
    }

    fn note_values(&mut self, values: &Values, place: Place<'a>) {
        for row in &values.rows {
            self.note_all(row.iter(), place);
        }
    }

    fn note_relation(&mut self, relation: &TableFactor) {
        let args = match relation {
            TableFactor::Table {
                args: Some(args), ..
            } => &args.args,
            TableFactor::Function { args, .. } => args,
            _ => return,
        };
        for arg in args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                // A set within one has an error of its own.
                let place = Place {
                    sets: true,
                    ..Place::of_one_row("functions in FROM")
                };
                self.note(arg, place);
            }
        }
    }

    /// Notes the places that a call has within it.
    fn note_call(&mut self, call: &ast::Function, kind: Kind) {
        if matches!(kind, Kind::Aggregate | Kind::Window)
            && let FunctionArguments::List(list) = &call.args
        {
            for arg in &list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                    self.note_around(arg, Around::Arguments(kind));
                }
            }
        }
        self.note_all(call.filter.as_deref(), Place::of_one_row("FILTER"));
        if let Some(WindowType::WindowSpec(window)) = &call.over {
            self.note_window(window);
        }
    }

    fn note_window(&mut self, window: &ast::WindowSpec) {
        self.note_all(&window.partition_by, WINDOW);
        self.note_all(window.order_by.iter().map(|key| &key.expr), WINDOW);
    }

    fn refused(&self, kind: Kind) -> Option<SqlError> {
        let (what, error) = match kind {
            Kind::OneRow => return None,
            Kind::Aggregate => ("aggregate functions", ErrorKind::GroupingError),
            Kind::Window => ("window functions", ErrorKind::WindowingError),
            Kind::Set => ("set-returning functions", ErrorKind::FeatureNotSupported),
        };
        let place = match self.around.last()? {
            Around::Arguments(of) => return within(*of, kind),
            Around::Place(place) => place,
        };
        let allowed = match kind {
            // One of a query within may be one of the query around it.
            Kind::Aggregate => place.aggregates || self.queries > 1,
            Kind::Window => place.windows,
            _ => place.sets,
        };
        (!allowed).then(|| {
            let message = format!("{what} are not allowed in {}", place.name);
            SqlError::new(error, message)
        })
    }
}

/// Errors for calls within the arguments of an aggregate or window function.
fn within(outer: Kind, kind: Kind) -> Option<SqlError> {
    let calls = match outer {
        Kind::Aggregate => "aggregate function calls",
        _ => "window function calls",
    };
    let (error, message) = match (outer, kind) {
        (Kind::Aggregate, Kind::Aggregate) => (
            ErrorKind::GroupingError,
            format!("{calls} cannot be nested"),
        ),
        (Kind::Aggregate, Kind::Window) => (
            ErrorKind::GroupingError,
            format!("{calls} cannot contain window function calls"),
        ),
        (_, Kind::Window) => (
            ErrorKind::WindowingError,
            format!("{calls} cannot be nested"),
        ),
        (_, Kind::Set) => {
            let message = format!("{calls} cannot contain set-returning function calls");
            let hint =
                "You might be able to move the set-returning function into a LATERAL FROM item.";
            let error = SqlError::new(ErrorKind::FeatureNotSupported, message);
            return Some(error.hint(hint));
        }
        _ => return None,
    };
    Some(SqlError::new(error, message))
}

impl ast::Visitor for Calls<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        self.queries += 1;
        self.around.push(Around::Place(RESULT));
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                self.note_all(limit, Place::of_one_row("LIMIT"));
                let offset = offset.as_ref().map(|offset| &offset.value);
                self.note_all(offset, Place::of_one_row("OFFSET"));
            }
            Some(LimitClause::OffsetCommaLimit { .. }) | None => {}
        }
        if let SetExpr::Values(values) = &*query.body {
            for expr in values.rows.iter().flat_map(|row| row.iter()) {
                let around = Around::Place(VALUES);
                self.noted.entry(std::ptr::from_ref(expr)).or_insert(around);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.queries -= 1;
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        self.note_all(&select.selection, Place::of_one_row("WHERE"));
        self.note_all(&select.having, HAVING);
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            self.note_all(keys, GROUP_BY);
        }
        for (_, window) in select.named_window.iter().map(|named| (&named.0, &named.1)) {
            if let ast::NamedWindowExpr::WindowSpec(window) = window {
                self.note_window(window);
            }
        }
        for from in &select.from {
            for join in &from.joins {
                if let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) {
                    self.note(condition, Place::of_one_row("JOIN conditions"));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        self.note_relation(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Some(around) = self.noted.get(&std::ptr::from_ref(expr)) {
            self.around.push(*around);
        }
        if let Expr::Function(call) = expr {
            let kind = kind(call);
            if let Some(error) = self.refused(kind) {
                return ControlFlow::Break(error);
            }
            self.note_call(call, kind);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if self.noted.remove(&std::ptr::from_ref(expr)).is_some() {
            self.around.pop();
        }
        ControlFlow::Continue(())
    }
}
