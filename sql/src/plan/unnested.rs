//! Selects of functions that return sets: those whose other columns are named as columns of FROM are, of which DataFusion
//! makes columns of both names and refuses them as ambiguous, those that are ordered by what they do not show, and series
//! alone, which need not be held as a whole. Also literals of arrays of several dimensions that are spread.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, SelectItem, SetExpr,
    TableFactor,
};

use super::dialect;
use super::names::name_of;
use crate::ddl::fold;
use crate::functions::array::FLAT;
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{parse_query, quoted};

/// Puts such a select in a FROM, with names of its own, and names the columns around it.
pub(super) fn tell_apart(query: &mut Query, is_aggregate: &dyn Fn(&str) -> bool) {
    let _ = query.walk_mut(&mut Selects { is_aggregate });
}

struct Selects<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl ast::VisitorMut for Selects<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::UNNEST { array_exprs, .. } => array_exprs.iter_mut().for_each(flat),
            TableFactor::Table {
                name,
                args: Some(args),
                ..
            } => flat_arguments(name, &mut args.args),
            TableFactor::Function { name, args, .. } => flat_arguments(name, args),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && let FunctionArguments::List(list) = &mut call.args
        {
            flat_arguments(&call.name, &mut list.args);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = &mut *query.body {
            series_alone(select, self.is_aggregate);
        }
        let keys = match &mut query.order_by {
            Some(ast::OrderBy {
                kind: ast::OrderByKind::Expressions(keys),
                ..
            }) => keys.as_mut_slice(),
            _ => &mut [],
        };
        if query.locks.is_empty()
            && let SetExpr::Select(select) = &mut *query.body
            && let Some(outer) = apart(select, keys)
        {
            let inner = std::mem::replace(select, outer);
            if let Some(from) = select.from.first_mut()
                && let TableFactor::Derived { subquery, .. } = &mut from.relation
            {
                *subquery.body = SetExpr::Select(inner);
            }
        }
        ControlFlow::Continue(())
    }
}

/// `unnest` gives the elements of all dimensions, and `array_to_string` writes them.
fn flat_arguments(function: &ast::ObjectName, args: &mut [FunctionArg]) {
    let name = function.0.last().and_then(|part| part.as_ident());
    let count = match name.map(fold).as_deref() {
        Some("unnest") => args.len(),
        Some("array_to_string") => 1,
        _ => 0,
    };
    for arg in args.iter_mut().take(count) {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
            flat(expr);
        }
    }
}

/// An array of any shape as one of its elements alone.
fn flat(expr: &mut Expr) {
    if of_flat(expr).is_none() {
        *expr = dialect::call(FLAT, vec![dialect::take(expr)]);
    }
}

/// The array whose elements these are; `None` for any other expression.
pub(super) fn of_flat(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(call) = expr else {
        return None;
    };
    match &call.args {
        FunctionArguments::List(list) if call.name.to_string() == FLAT => {
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => Some(array),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `SELECT generate_series(1, 1000000)` as one from a relation.
fn series_alone(select: &mut ast::Select, is_aggregate: &dyn Fn(&str) -> bool) {
    let is_grouped =
        !matches!(&select.group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    if !select.from.is_empty() || is_grouped || select.having.is_some() {
        return;
    }
    let name = |call: &ast::Function| call.name.0.last()?.as_ident().map(fold);
    let of_rows = |expr: &Expr| match expr {
        Expr::Function(call) => {
            call.over.is_some() || name(call).is_some_and(|name| is_aggregate(&name))
        }
        _ => false,
    };
    let is_series = |item: &SelectItem| {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            return false;
        };
        matches!(expr, Expr::Function(call)
            if name(call).is_some_and(|name| name == "generate_series")
                && matches!(&call.args, FunctionArguments::List(list)
                    if dialect::integers(&list.args).is_some()))
    };
    if select.projection.iter().any(|item| item.has_expr(of_rows)) {
        return;
    }
    let gives_set =
        |expr: &Expr| matches!(expr, Expr::Function(call) if dialect::gives_set(&call.name));
    let mut sets = (select.projection.iter_mut()).filter(|item| item.has_expr(gives_set));
    let (Some(item), None) = (sets.next(), sets.next()) else {
        return;
    };
    if !is_series(item) {
        return;
    }
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
        return;
    };
    let from = format!("SELECT 1 FROM {expr} AS \"series\" (\"value of a series\")");
    let Ok(from) = parse_query(&from) else {
        return;
    };
    *expr = Expr::Identifier(quoted("value of a series"));
    if let SelectItem::UnnamedExpr(expr) = item {
        *item = SelectItem::ExprWithAlias {
            expr: dialect::take(expr),
            alias: quoted("generate_series"),
        };
    }
    if let SetExpr::Select(from) = *from.body {
        select.from = from.from;
    }
}

/// The select around it, which still lacks it; its own columns have their new names then, and what it is ordered by is one of them.
fn apart(select: &mut ast::Select, keys: &mut [ast::OrderByExpr]) -> Option<Box<ast::Select>> {
    if select.distinct.is_some() || select.into.is_some() {
        return None;
    }
    let mut aliases = BTreeSet::new();
    let mut any_set = false;
    for item in &select.projection {
        let expr = match item {
            SelectItem::UnnamedExpr(expr) => expr,
            SelectItem::ExprWithAlias { expr, alias } => {
                if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    aliases.insert(fold(alias));
                }
                expr
            }
            _ => return None,
        };
        any_set |= matches!(expr, Expr::Function(call) if dialect::gives_set(&call.name));
    }
    let mut names = Names(BTreeSet::new());
    for item in select.projection.iter().filter(|_| any_set) {
        let _ = item.walk(&mut names);
    }
    if aliases.is_disjoint(&names.0) && (keys.is_empty() || !any_set) {
        return None;
    }
    let mut shown = Vec::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let own = quoted(&format!("column {at} of sets"));
        let (expr, name) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.clone()),
            SelectItem::UnnamedExpr(expr) => {
                let name = name_of(expr).map_or("?column?".to_string(), |(name, _)| name);
                (expr.clone(), quoted(&name))
            }
            _ => return None,
        };
        let alias = own.clone();
        *item = SelectItem::ExprWithAlias { expr, alias };
        shown.push(SelectItem::ExprWithAlias {
            expr: Expr::Identifier(own),
            alias: name,
        });
    }
    let names = shown.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    });
    let names: BTreeSet<String> = names.collect();
    for (at, key) in keys.iter_mut().enumerate() {
        let is_shown = match &key.expr {
            Expr::Value(_) => true,
            Expr::Identifier(name) => names.contains(&fold(name)),
            _ => false,
        };
        if !is_shown {
            let alias = quoted(&format!("key {at} of sets"));
            let expr = std::mem::replace(&mut key.expr, Expr::Identifier(alias.clone()));
            select
                .projection
                .push(SelectItem::ExprWithAlias { expr, alias });
        }
    }
    let around = parse_query("SELECT 1 FROM (SELECT 1) AS \"sets\"").ok()?;
    match *around.body {
        SetExpr::Select(mut outer) => {
            outer.projection = shown;
            Some(outer)
        }
        _ => None,
    }
}

/// The columns that expressions name.
struct Names(BTreeSet<String>);

impl ast::Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let name: Option<&Ident> = match expr {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        self.0.extend(name.map(fold));
        ControlFlow::Continue(())
    }
}
