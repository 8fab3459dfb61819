//! Keys of ORDER BY, GROUP BY and DISTINCT ON, as PostgreSQL finds them in the select list: findTargetlistEntrySQL92 in its
//! parse_clause.c.

use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, OrderByExpr, OrderByKind, SelectItem, SetExpr,
    UnaryOperator, Value,
};

use crate::error::{ErrorKind, SqlError};
use crate::parse::arbiter::plain;
use crate::parse::walk::Walk;

/// 42601 for a constant that is no place in the select list, 42P10 for a place that it does not have, and for keys of SELECT
/// DISTINCT that are not in it.
pub(super) fn check(query: &mut ast::Query) -> Result<(), SqlError> {
    let mut keys: Vec<&mut OrderByExpr> = match &mut query.order_by {
        Some(ast::OrderBy {
            kind: OrderByKind::Expressions(keys),
            ..
        }) => keys.iter_mut().collect(),
        _ => Vec::new(),
    };
    for key in &keys {
        check_place(&key.expr, "ORDER BY")?;
    }
    let SetExpr::Select(select) = &mut *query.body else {
        return Ok(());
    };
    match &mut select.distinct {
        Some(Distinct::Distinct) => {
            let items = (select.projection.iter()).map(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    Some(expr)
                }
                _ => None,
            });
            let items: Vec<Option<&Expr>> = items.collect();
            keys.iter_mut()
                .try_for_each(|key| by_place(&mut key.expr, &items))
        }
        Some(Distinct::On(exprs)) => {
            let keys: Vec<Expr> = keys.iter().map(|key| plain(key.expr.clone())).collect();
            in_order_of(exprs, &keys);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The same for GROUP BY and DISTINCT ON.
pub(super) fn check_select(select: &ast::Select) -> Result<(), SqlError> {
    if let Some(Distinct::On(exprs)) = &select.distinct {
        for expr in exprs {
            check_place(expr, "DISTINCT ON")?;
        }
    }
    let GroupByExpr::Expressions(exprs, _) = &select.group_by else {
        return Ok(());
    };
    for expr in exprs {
        match expr {
            Expr::Rollup(rows) | Expr::Cube(rows) | Expr::GroupingSets(rows) => {
                for key in rows.iter().flatten() {
                    check_place(key, "GROUP BY")?;
                }
            }
            key => check_place(key, "GROUP BY")?,
        }
    }
    Ok(())
}

fn check_place(key: &Expr, clause: &str) -> Result<(), SqlError> {
    let (value, sign) = match bare(key) {
        Expr::Value(value) => (&value.value, ""),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match bare(expr) {
            Expr::Value(value) if matches!(value.value, Value::Number(..)) => (&value.value, "-"),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let place = match value {
        Value::Placeholder(_) => return Ok(()),
        Value::Number(digits, _) => format!("{sign}{digits}").parse::<i32>().ok(),
        _ => None,
    };
    match place {
        None => {
            let message = format!("non-integer constant in {clause}");
            Err(SqlError::new(ErrorKind::SyntaxError, message))
        }
        Some(place) if place < 1 => {
            let message = format!("{clause} position {place} is not in select list");
            Err(SqlError::new(ErrorKind::InvalidColumnReference, message))
        }
        Some(_) => Ok(()),
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        expr => expr,
    }
}

/// A key of SELECT DISTINCT that repeats an expression of the select list becomes its place there: DataFusion finds names only.
/// `None` stands for items that are several columns.
fn by_place(key: &mut Expr, items: &[Option<&Expr>]) -> Result<(), SqlError> {
    let is_name = matches!(
        bare(key),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)
    );
    if is_name {
        return Ok(());
    }
    // How many columns come before is not known behind a `*`.
    let known = items.iter().take_while(|item| item.is_some());
    let mut known = known.flatten();
    if let Some(at) = known.position(|item| *item == key) {
        *key = Expr::value(Value::Number((at + 1).to_string(), false));
        return Ok(());
    }
    // What may be written in several ways is left to DataFusion.
    let has_one_form = !key.has_query()
        && !key.has_expr(|part| {
            !matches!(
                part,
                Expr::Identifier(_)
                    | Expr::CompoundIdentifier(_)
                    | Expr::Value(_)
                    | Expr::Nested(_)
                    | Expr::BinaryOp { .. }
                    | Expr::UnaryOp { .. }
            )
        });
    let wanted = plain(key.clone());
    let is_wanted = |item: &&Expr| plain((*item).clone()) == wanted;
    if has_one_form && !items.iter().flatten().any(is_wanted) {
        let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
        return Err(SqlError::new(ErrorKind::InvalidColumnReference, message));
    }
    Ok(())
}

/// Puts the expressions of DISTINCT ON in the order of the keys that are the same, which is how DataFusion wants them.
fn in_order_of(exprs: &mut [Expr], keys: &[Expr]) {
    let place = |expr: &Expr| {
        let expr = plain(expr.clone());
        keys.iter().position(|key| *key == expr)
    };
    if exprs.iter().all(|expr| place(expr).is_some()) {
        exprs.sort_by_cached_key(place);
    }
}
