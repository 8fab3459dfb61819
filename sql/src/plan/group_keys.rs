//! Keys of groups that DataFusion calls by another expression's name: `since::date` as `since`, and a subquery as its column.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, OrderByKind, SelectItem, SetExpr, Value,
};

use super::alike::{has_cast, marked, without_casts};
use super::selects::each_own;
use crate::ddl;
use crate::parse::arbiter::plain;
use crate::parse::walk::WalkMut;

/// Gives such keys forms of their own, of the same values, wherever they stand in their SELECT.
pub(super) fn tell_apart(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut Keys);
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
