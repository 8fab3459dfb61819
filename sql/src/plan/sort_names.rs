//! Names in ORDER BY: one alone is first a column of the result, but inside an expression it is a column of FROM
//! (`SELECT -id AS id … ORDER BY abs(id)`). DataFusion takes the result's in both, and one with its relation's name for
//! either, so columns of the result whose names mean others there are called otherwise, and shown as before. In a subquery it
//! looks for a name that two relations have in the queries around, so there the column itself stands in its place.
//! After findTargetlistEntrySQL92 in PostgreSQL's parse_clause.c.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableAliasColumnDef, TableFactor,
};
use tidelog_storage::Catalog;

use super::names::again;
use super::relations::{Relation, Relations};
use crate::ddl;
use crate::parse::quoted;
use crate::parse::walk::{Walk, WalkMut};

/// Renames such columns in a query and its subqueries.
pub(super) fn tell_apart(query: &mut Query, catalog: &Catalog, search_path: &[String]) {
    let mut names = SortNames {
        known: Relations::new(catalog, search_path),
        kept: HashSet::new(),
        depth: 0,
    };
    let _ = query.walk_mut(&mut names);
}

struct SortNames<'a> {
    known: Relations<'a>,
    /// Queries whose columns have to keep their names, by their places in memory.
    kept: HashSet<*const Query>,
    /// How many queries are being looked at.
    depth: usize,
}

impl ast::VisitorMut for SortNames<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > 1 {
            write_columns_out(query);
        }
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            self.known.know(cte);
            self.name_outside(&cte.query, &mut cte.alias.columns);
        }
        if self.kept.remove(&std::ptr::from_ref(&*query)) {
            return ControlFlow::Continue(());
        }
        let hidden = self.hidden(query);
        if let SetExpr::Select(select) = &mut *query.body
            && let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(keys) = &mut order_by.kind
        {
            for (at, name) in hidden {
                let new = quoted(&format!("{}by {at}", again(&name)));
                if let SelectItem::ExprWithAlias { alias, .. } = &mut select.projection[at] {
                    *alias = new.clone();
                }
                for key in keys.iter_mut() {
                    replace(&mut key.expr, &name, &new);
                }
                self.in_select(select, &name, &new);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived {
            subquery, alias, ..
        } = factor
        {
            match alias {
                Some(alias) => self.name_outside(subquery, &mut alias.columns),
                None => drop(self.kept.insert(std::ptr::from_ref(&**subquery))),
            }
        }
        ControlFlow::Continue(())
    }
}

impl SortNames<'_> {
    /// Has the alias of a query in FROM give its columns their names, if they are to be called otherwise inside.
    fn name_outside(&mut self, query: &Query, columns: &mut Vec<TableAliasColumnDef>) {
        if self.hidden(query).is_empty() {
            return;
        }
        match self.known.columns_of(&query.body) {
            Some(names) => {
                let left_out = names.iter().skip(columns.len());
                let left_out = left_out.map(|name| TableAliasColumnDef {
                    name: quoted(name),
                    data_type: None,
                });
                columns.extend(left_out.collect::<Vec<_>>());
            }
            None => drop(self.kept.insert(std::ptr::from_ref(query))),
        }
    }

    /// The columns of a query's result, by their places and names, whose names mean columns of FROM in its ORDER BY.
    fn hidden(&self, query: &Query) -> Vec<(usize, String)> {
        let (SetExpr::Select(select), Some(order_by)) = (&*query.body, &query.order_by) else {
            return Vec::new();
        };
        let OrderByKind::Expressions(keys) = &order_by.kind else {
            return Vec::new();
        };
        let inside = keys.iter().map(|key| &key.expr);
        let inside: Vec<&Expr> = inside
            .filter(|key| !matches!(key, Expr::Identifier(_)))
            .collect();
        if inside.is_empty() {
            return Vec::new();
        }
        let items = select.projection.iter().enumerate();
        items
            .filter_map(|(at, item)| match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let name = ddl::fold(alias);
                    let is_named = |key: &&Expr| key.has_expr(|part| is_column(part, &name));
                    let hides = !is_column(expr, &name)
                        && inside.iter().any(is_named)
                        && self.may_have(select, &name);
                    hides.then_some((at, name))
                }
                _ => None,
            })
            .collect()
    }

    /// Whether a relation of FROM has, or may have, a column of this name.
    fn may_have(&self, select: &Select, name: &str) -> bool {
        let relations = self.known.of(&select.from);
        let may_have = |relation: &Relation| relation.columns.is_none() || relation.has(name);
        relations.iter().any(may_have)
    }

    /// Puts the new name where a name alone means the result's column in DISTINCT ON and GROUP BY.
    fn in_select(&self, select: &mut Select, name: &str, new: &Ident) {
        if let Some(ast::Distinct::On(exprs)) = &mut select.distinct {
            exprs.iter_mut().for_each(|expr| replace(expr, name, new));
        }
        let is_column = self.may_have(select, name);
        if let (GroupByExpr::Expressions(exprs, _), false) = (&mut select.group_by, is_column) {
            exprs.iter_mut().for_each(|expr| replace(expr, name, new));
        }
    }
}

/// Puts a column of FROM in the place of the result's name for it in ORDER BY and DISTINCT ON, and with DISTINCT ON any
/// expression, which DataFusion looks for in FROM.
fn write_columns_out(query: &mut Query) {
    let SetExpr::Select(select) = &mut *query.body else {
        return;
    };
    let keys = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.as_mut_slice(),
        _ => &mut [],
    };
    let mut exprs: Vec<&mut Expr> = keys.iter_mut().map(|key| &mut key.expr).collect();
    let is_on = matches!(select.distinct, Some(ast::Distinct::On(_)));
    match &mut select.distinct {
        Some(ast::Distinct::On(on)) => exprs.extend(on),
        Some(_) => return,
        None => {}
    }
    for expr in exprs {
        let Expr::Identifier(name) = &*expr else {
            continue;
        };
        let name = ddl::fold(name);
        let mut columns = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if ddl::fold(alias) == name => Some(expr),
            SelectItem::UnnamedExpr(expr) if is_column(expr, &name) => Some(expr),
            _ => None,
        });
        if let (Some(column), None) = (columns.next(), columns.next())
            && (is_on || matches!(column, Expr::CompoundIdentifier(_)))
        {
            *expr = column.clone();
        }
    }
}

fn replace(expr: &mut Expr, name: &str, new: &Ident) {
    if let Expr::Identifier(ident) = expr
        && ddl::fold(ident) == name
    {
        *ident = new.clone();
    }
}

/// Whether an expression is a column of this name.
pub(super) fn is_column(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Identifier(ident) => ddl::fold(ident) == name,
        Expr::CompoundIdentifier(parts) => parts.last().map(ddl::fold).as_deref() == Some(name),
        _ => false,
    }
}
