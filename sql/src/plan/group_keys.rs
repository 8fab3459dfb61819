//! Keys of groups that DataFusion calls by another expression's name: `since::date` as `since`, and a subquery as its column.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, OrderByKind, SelectItem, SetExpr, Value,
};

use super::alike::{has_cast, marked, without_casts};
use super::grouping;
use super::selects::each_own;
use crate::ddl;
use crate::error::SqlError;
use crate::parse::arbiter::plain;
use crate::parse::parse_expression;
use crate::parse::walk::WalkMut;

/// Gives such keys forms of their own, of the same values, wherever they stand in their SELECT.
pub(super) fn tell_apart(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut Keys);
}

/// Tells keys of grouping sets apart that are several columns of the result with one expression, while their names are those that
/// were given.
pub(super) fn tell_sets_apart(query: &mut ast::Query) -> Result<(), SqlError> {
    struct Sets;
    impl ast::VisitorMut for Sets {
        type Break = SqlError;

        fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
            sets(select).map_or_else(ControlFlow::Break, ControlFlow::Continue)
        }
    }
    match query.walk_mut(&mut Sets) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Keys;

impl ast::VisitorMut for Keys {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = &mut *query.body else {
            return ControlFlow::Continue(());
        };
        group_once(select);
        let mut keys = keys_of(select);
        if !keys.iter().any(may_share_name) {
            return ControlFlow::Continue(());
        }
        let mut own = own_parts(select, query.order_by.as_mut());
        let shared = shared_names(&keys, &own.iter().map(|part| &**part).collect::<Vec<_>>());
        // A key may be part of another one.
        keys.sort_by_key(|key| std::cmp::Reverse(text(key).len()));
        for (number, key) in keys.iter().enumerate() {
            let is_shared = is_subquery(key) || shared.contains(&text(&without_casts(key)));
            if !may_share_name(key) || !is_shared {
                continue;
            }
            let wanted = text(key);
            for part in &mut own {
                let _ = each_own(*part, |expr| {
                    if text(expr) == wanted {
                        *expr = marked(expr, number + 1);
                    }
                    Ok(())
                });
            }
        }
        ControlFlow::Continue(())
    }
}

/// The expressions that GROUP BY means, by themselves, by their places in the select list, or by their names there.
fn keys_of(select: &ast::Select) -> Vec<Expr> {
    let GroupByExpr::Expressions(exprs, _) = &select.group_by else {
        return Vec::new();
    };
    let rows = exprs.iter().flat_map(|expr| match expr {
        Expr::Rollup(rows) | Expr::Cube(rows) | Expr::GroupingSets(rows) => {
            rows.iter().flatten().collect()
        }
        key => vec![key],
    });
    let mut keys: Vec<Expr> = Vec::new();
    for key in rows {
        let key = item_of(key, select).unwrap_or_else(|| key.clone());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Grouping sets whose keys have one expression: those that are several columns of the result are told apart, and the others are
/// one key.
fn sets(select: &mut ast::Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else {
        return Ok(());
    };
    let mut exprs = std::mem::take(exprs);
    let of_one = matches!(select.from.as_slice(), [from] if from.joins.is_empty());
    let form = |expr: &Expr| match of_one {
        true => plain(expr.clone()),
        false => expr.clone(),
    };
    // The columns of the result that are keys, with their expressions.
    let mut seen: Vec<(usize, Expr)> = Vec::new();
    for key in exprs.iter_mut().flat_map(keys_of_sets) {
        let Some(at) = place_of(key, select) else {
            continue;
        };
        let Some(expr) = expr_of(&select.projection[at]).cloned() else {
            continue;
        };
        let own = form(&expr);
        if seen.iter().any(|(other, _)| *other == at) || !seen.iter().any(|(_, of)| *of == own) {
            seen.push((at, own));
            continue;
        }
        let apart = (seen.iter().filter(|(_, of)| *of == own))
            .fold(marked(&expr, at + 1), |expr, _| not_the_same(&expr));
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } =
            &mut select.projection[at]
        {
            *expr = apart.clone();
        }
        *key = apart;
        seen.push((at, own));
    }
    for expr in &mut exprs {
        once_in_each_set(expr, &form, select)?;
    }
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        *keys = exprs;
    }
    Ok(())
}

/// An expression of the same values that DataFusion does not know for the same.
fn not_the_same(expr: &Expr) -> Expr {
    let made = parse_expression("CASE WHEN NULL IS NULL THEN NULL ELSE NULL END");
    let mut made = made.expect("an expression of ours is one");
    if let Expr::Case {
        conditions,
        else_result,
        ..
    } = &mut made
    {
        conditions[0].condition = Expr::IsNull(Box::new(expr.clone()));
        *else_result = Some(Box::new(expr.clone()));
    }
    made
}

fn keys_of_sets(expr: &mut Expr) -> Vec<&mut Expr> {
    match expr {
        Expr::Rollup(rows) | Expr::Cube(rows) | Expr::GroupingSets(rows) => {
            rows.iter_mut().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// Leaves a key out of sets that have it already.
fn once_in_each_set(
    expr: &mut Expr,
    form: &dyn Fn(&Expr) -> Expr,
    select: &ast::Select,
) -> Result<(), SqlError> {
    let (Expr::Rollup(rows) | Expr::Cube(rows) | Expr::GroupingSets(rows)) = &*expr else {
        return Ok(());
    };
    let meant = |key: &Expr| form(&item_of(key, select).unwrap_or_else(|| key.clone()));
    let repeats = |keys: &[Expr]| {
        let keys: Vec<Expr> = keys.iter().map(meant).collect();
        (1..keys.len()).any(|at| keys[..at].contains(&keys[at]))
    };
    let mut sets = match &*expr {
        Expr::GroupingSets(sets) if sets.iter().any(|set| repeats(set)) => sets.clone(),
        Expr::GroupingSets(_) => return Ok(()),
        _ if !repeats(&rows.concat()) => return Ok(()),
        Expr::Rollup(rows) => grouping::rollup(rows),
        _ => grouping::cube(rows)?,
    };
    for set in &mut sets {
        let mut seen: Vec<Expr> = Vec::new();
        set.retain(|key| {
            let key = meant(key);
            let is_new = !seen.contains(&key);
            seen.push(key);
            is_new
        });
    }
    *expr = Expr::GroupingSets(sets);
    Ok(())
}

/// The place in the select list of the column whose number or name a key is.
fn place_of(key: &Expr, select: &ast::Select) -> Option<usize> {
    let items = &select.projection;
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let at = number.parse::<usize>().ok()?.checked_sub(1)?;
                (at < items.len()).then_some(at)
            }
            _ => None,
        },
        key => {
            let is_called = |item: &SelectItem| match (item, key) {
                (SelectItem::ExprWithAlias { alias, .. }, Expr::Identifier(name)) => {
                    ddl::fold(alias) == ddl::fold(name)
                }
                _ => false,
            };
            let is_same = |item| expr_of(item).is_some_and(|expr| text(expr) == text(key));
            let called = items.iter().position(is_called);
            called.or_else(|| items.iter().position(is_same))
        }
    }
}

fn expr_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The expression of the select list whose place or name a key is.
fn item_of(key: &Expr, select: &ast::Select) -> Option<Expr> {
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let at = number.parse::<usize>().ok()?.checked_sub(1)?;
                match select.projection.get(at)? {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                        Some(expr.clone())
                    }
                    _ => None,
                }
            }
            _ => None,
        },
        Expr::Identifier(name) => select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if ddl::fold(alias) == ddl::fold(name) => {
                // There is a column of that name, which is meant.
                let is_column = text(&without_casts(expr)) == text(key);
                (!is_column).then(|| expr.clone())
            }
            _ => None,
        }),
        _ => None,
    }
}

/// Leaves out columns that are keys already, whatever they are called there: DataFusion would not find them.
fn group_once(select: &mut ast::Select) {
    let of_one = matches!(select.from.as_slice(), [from] if from.joins.is_empty());
    let is_again = |key: &Expr, seen: &mut Vec<Expr>| {
        let key = match item_of(key, select).unwrap_or_else(|| key.clone()) {
            key if of_one => plain(key),
            key => key,
        };
        let is_column = matches!(key, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let again = seen.contains(&key);
        if is_column && !again {
            seen.push(key);
        }
        again
    };
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return;
    };
    let mut seen = Vec::new();
    let again: Vec<bool> = keys.iter().map(|key| is_again(key, &mut seen)).collect();
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        let mut again = again.into_iter();
        keys.retain(|_| !again.next().unwrap_or_default());
    }
}

/// The expressions of a SELECT that see its groups.
fn own_parts<'a>(
    select: &'a mut ast::Select,
    order_by: Option<&'a mut ast::OrderBy>,
) -> Vec<&'a mut Expr> {
    let mut parts: Vec<&mut Expr> = Vec::new();
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            parts.push(expr);
        }
    }
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        parts.extend(exprs);
    }
    parts.extend(&mut select.having);
    if let Some(OrderByKind::Expressions(keys)) = order_by.map(|by| &mut by.kind) {
        parts.extend(keys.iter_mut().map(|key| &mut key.expr));
    }
    parts
}

/// The names that a key shares with another key, or with an expression outside of all keys.
fn shared_names(keys: &[Expr], parts: &[&Expr]) -> BTreeSet<String> {
    let key_texts: BTreeSet<String> = keys.iter().map(text).collect();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut note = |expr: &Expr| {
        let of_name = texts.entry(text(&without_casts(expr))).or_default();
        of_name.insert(text(expr));
    };
    keys.iter().for_each(&mut note);
    for part in parts {
        let mut rest = (*part).clone();
        let _ = rest.walk_mut(&mut Blank(&key_texts));
        let _ = each_own(&mut rest, |expr| {
            note(expr);
            Ok(())
        });
    }
    texts.retain(|_, texts| texts.len() > 1);
    texts.into_keys().collect()
}

/// Blanks expressions of these texts.
struct Blank<'a>(&'a BTreeSet<String>);

impl ast::VisitorMut for Blank<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.0.contains(&text(expr)) {
            *expr = Expr::Value(Value::Null.into());
        }
        ControlFlow::Continue(())
    }
}

/// An expression as it is told from others: the names of relations and parentheses make no difference.
fn text(expr: &Expr) -> String {
    plain(expr.clone()).to_string()
}

fn may_share_name(key: &Expr) -> bool {
    is_subquery(key) || has_cast(key)
}

fn is_subquery(key: &Expr) -> bool {
    match key {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_subquery(inner),
        key => matches!(key, Expr::Subquery(_)),
    }
}
