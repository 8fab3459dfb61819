//! Parts of a SELECT in the forms that DataFusion knows: windows that are made of others, GROUP BY with rows.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, GroupByExpr, Ident, JoinOperator, NamedWindowExpr, SelectItem, SetExpr,
    TableFactor, Value, VisitMut, WindowSpec, WindowType,
};

use super::frames;
use super::grouping;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::parse_query;
use crate::parse::walk::{Walk, WalkMut};

/// Rewrites each SELECT of a query.
pub(super) fn rewrite(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.walk_mut(&mut Selects) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Selects;

impl ast::VisitorMut for Selects {
    type Break = SqlError;

    /// ORDER BY sees the windows of the one SELECT that it orders.
    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        let Some(order_by) = &mut query.order_by else {
            return ControlFlow::Continue(());
        };
        let done = match &*query.body {
            SetExpr::Select(select) => order(order_by, select),
            _ => each_own(order_by, |expr| in_window(expr, &HashMap::new())),
        };
        done.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        unnest_alone(select);
        group_all(select);
        let done = positions(select)
            .and_then(|()| windows(select))
            .and_then(|()| groups(select));
        done.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

fn order(order_by: &mut ast::OrderBy, select: &ast::Select) -> Result<(), SqlError> {
    let known = named_windows(select)?;
    each_own(order_by, |expr| in_window(expr, &known))
}

/// `SELECT *` from these.
pub(super) fn all_of(from: Vec<ast::TableWithJoins>) -> ast::Query {
    let mut query = parse_query("SELECT *").expect("a query of ours is one");
    if let SetExpr::Select(select) = &mut *query.body {
        select.from = from;
    }
    query
}

/// Visits the expressions of one SELECT, but not those of its subqueries.
struct Own<F> {
    depth: usize,
    change: F,
}

impl<F: FnMut(&mut Expr) -> Result<(), SqlError>> ast::VisitorMut for Own<F> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match (self.change)(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

pub(super) fn each_own<T: VisitMut>(
    node: &mut T,
    change: impl FnMut(&mut Expr) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    match node.walk_mut(&mut Own { depth: 0, change }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// `unnest` to the right of RIGHT and FULL joins, where it sees nothing, as a subquery: DataFusion takes it for lateral.
fn unnest_alone(select: &mut ast::Select) {
    let joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
    let joins = joins.filter(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        )
    });
    for join in joins {
        let TableFactor::UNNEST {
            alias: Some(alias), ..
        } = &join.relation
        else {
            continue;
        };
        let alias = ast::TableAlias {
            columns: Vec::new(),
            ..alias.clone()
        };
        let mut query = parse_query("SELECT * FROM t").expect("a query of ours is one");
        if let SetExpr::Select(inner) = &mut *query.body {
            std::mem::swap(&mut inner.from[0].relation, &mut join.relation);
        }
        join.relation = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        };
    }
}

/// HAVING without GROUP BY makes one group of all rows, also where nothing is counted.
fn group_all(select: &mut ast::Select) {
    let calls = |part: &Expr| matches!(part, Expr::Function(_));
    if let (Some(having), GroupByExpr::Expressions(exprs, _)) =
        (&select.having, &mut select.group_by)
        && exprs.is_empty()
        && !having.has_own_expr(calls)
        && !select.projection.has_own_expr(calls)
    {
        exprs.push(Expr::Tuple(Vec::new()));
    }
}

/// `DISTINCT ON (1)`: the first column of the result.
fn positions(select: &mut ast::Select) -> Result<(), SqlError> {
    let Some(ast::Distinct::On(exprs)) = &mut select.distinct else {
        return Ok(());
    };
    for expr in exprs {
        let Expr::Value(value) = &*expr else { continue };
        let Value::Number(digits, _) = &value.value else {
            continue;
        };
        let item = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        *expr = match item.and_then(|n| select.projection.get(n)) {
            Some(SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) => {
                item.clone()
            }
            Some(_) => {
                return Err(SqlError::unsupported("a position behind * in DISTINCT ON"));
            }
            None => {
                let message = format!("DISTINCT ON position {digits} is not in select list");
                return Err(SqlError::new(ErrorKind::InvalidColumnReference, message));
            }
        };
    }
    Ok(())
}

/// Writes out windows that are made of named ones, and bounds of frames as DataFusion reads them.
fn windows(select: &mut ast::Select) -> Result<(), SqlError> {
    let known = named_windows(select)?;
    for definition in &mut select.named_window {
        if let Some(spec) = known.get(&ddl::fold(&definition.0)) {
            definition.1 = NamedWindowExpr::WindowSpec(spec.clone());
        }
    }
    each_own(&mut select.projection, |expr| in_window(expr, &known))
}

fn named_windows(select: &ast::Select) -> Result<HashMap<String, WindowSpec>, SqlError> {
    let mut known: HashMap<String, WindowSpec> = HashMap::new();
    for definition in &select.named_window {
        let name = ddl::fold(&definition.0);
        let spec = match &definition.1 {
            NamedWindowExpr::WindowSpec(spec) => resolved(spec, &known)?,
            NamedWindowExpr::NamedWindow(base) => find(&known, base)?.clone(),
        };
        if known.insert(name.clone(), spec).is_some() {
            let message = format!("window \"{name}\" is already defined");
            return Err(SqlError::new(ErrorKind::WindowingError, message));
        }
    }
    Ok(known)
}

fn find<'w>(
    known: &'w HashMap<String, WindowSpec>,
    name: &Ident,
) -> Result<&'w WindowSpec, SqlError> {
    let name = ddl::fold(name);
    known.get(&name).ok_or_else(|| {
        let message = format!("window \"{name}\" does not exist");
        SqlError::new(ErrorKind::UndefinedObject, message)
    })
}

fn resolved(
    spec: &WindowSpec,
    known: &HashMap<String, WindowSpec>,
) -> Result<WindowSpec, SqlError> {
    let mut spec = spec.clone();
    if let Some(frame) = &mut spec.window_frame {
        frames::simplify(frame)?;
    }
    let Some(base_name) = spec.window_name.take() else {
        return Ok(spec);
    };
    let base = find(known, &base_name)?;
    let name = ddl::fold(&base_name);
    let refused = |what: &str| {
        let message = format!("cannot override {what} clause of window \"{name}\"");
        Err(SqlError::new(ErrorKind::WindowingError, message))
    };
    if !spec.partition_by.is_empty() {
        return refused("PARTITION BY");
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return refused("ORDER BY");
    }
    if base.window_frame.is_some() {
        let message = format!("cannot copy window \"{name}\" because it has a frame clause");
        let error = SqlError::new(ErrorKind::WindowingError, message);
        return Err(
            match spec.order_by.is_empty() && spec.window_frame.is_none() {
                true => error.hint("Omit the parentheses in this OVER clause."),
                false => error,
            },
        );
    }
    spec.partition_by = base.partition_by.clone();
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by.clone();
    }
    Ok(spec)
}

fn in_window(expr: &mut Expr, known: &HashMap<String, WindowSpec>) -> Result<(), SqlError> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    match &mut function.over {
        None => return Ok(()),
        Some(WindowType::WindowSpec(spec)) => *spec = resolved(spec, known)?,
        // DataFusion finds it by its name in the select list only.
        Some(over @ WindowType::NamedWindow(_)) => {
            if let WindowType::NamedWindow(name) = over {
                let spec = find(known, name)?.clone();
                *over = WindowType::WindowSpec(spec);
            }
        }
    }
    let name = function.name.0.last().and_then(|part| part.as_ident());
    if name.is_some_and(|name| ddl::fold(name) == "ntile") {
        let cast = |expr: Expr, data_type: DataType| Expr::Cast {
            kind: ast::CastKind::DoubleColon,
            expr: Box::new(expr),
            data_type,
            array: false,
            format: None,
        };
        // DataFusion's is an unsigned integer.
        let signed = cast(expr.clone(), DataType::Int8(None));
        *expr = cast(signed, DataType::Int4(None));
    }
    Ok(())
}

/// ROLLUP and CUBE of rows as GROUPING SETS, and `()`.
fn groups(select: &mut ast::Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else {
        let message = "syntax error at or near \"ALL\"";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    };
    let is_empty = |expr: &Expr| matches!(expr, Expr::Tuple(fields) if fields.is_empty());
    if exprs.iter().any(is_empty) {
        if exprs.iter().any(|expr| !is_empty(expr)) {
            exprs.retain(|expr| !is_empty(expr));
        } else {
            *exprs = vec![Expr::GroupingSets(vec![Vec::new()])];
        }
    }
    for expr in exprs {
        if let Expr::Rollup(rows) | Expr::Cube(rows) | Expr::GroupingSets(rows) = expr {
            let mut keys = rows.iter_mut().flatten();
            keys.try_for_each(|key| listed(key, &select.projection))?;
        }
        let sets = match expr {
            Expr::Rollup(rows) if rows.iter().any(|row| row.len() != 1) => grouping::rollup(rows),
            Expr::Cube(rows) if rows.iter().any(|row| row.len() != 1) => grouping::cube(rows)?,
            _ => continue,
        };
        *expr = Expr::GroupingSets(sets);
    }
    Ok(())
}

/// Puts an item of the select list in the place of its number.
fn listed(key: &mut Expr, items: &[SelectItem]) -> Result<(), SqlError> {
    let number = match &*key {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => number,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let at = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    match at.and_then(|at| items.get(at)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
            *key = expr.clone();
            Ok(())
        }
        Some(_) => Err(SqlError::unsupported("a position in GROUP BY beside *")),
        None => {
            let message = format!("GROUP BY position {number} is not in select list");
            Err(SqlError::new(ErrorKind::InvalidColumnReference, message))
        }
    }
}
