//! Selects of functions that return sets, whose other columns are named as columns of FROM are. DataFusion gives such a
//! select columns of both names, and refuses them as ambiguous.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Query, SelectItem, SetExpr};

use super::dialect;
use super::names::name_of;
use crate::ddl::fold;
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{parse_query, quoted};

/// Puts such a select in a FROM, with names of its own, and names the columns around it.
pub(super) fn tell_apart(query: &mut Query) {
    let _ = query.walk_mut(&mut Selects);
}

struct Selects;

impl ast::VisitorMut for Selects {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // What it is ordered by may be a column of FROM.
        if query.order_by.is_none()
            && let SetExpr::Select(select) = &mut *query.body
            && let Some(outer) = apart(select)
        {
            let inner = std::mem::replace(select, outer);
            if let Some(from) = select.from.first_mut()
                && let ast::TableFactor::Derived { subquery, .. } = &mut from.relation
            {
                *subquery.body = SetExpr::Select(inner);
            }
        }
        ControlFlow::Continue(())
    }
}

/// The select around it, which still lacks it; its own columns have their new names then.
fn apart(select: &mut ast::Select) -> Option<Box<ast::Select>> {
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
    if aliases.is_disjoint(&names.0) {
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
