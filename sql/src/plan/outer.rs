//! Columns of a query around in the select list of a subquery: `t.*` is spelled out, which DataFusion does not, and a column keeps
//! its name.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Query, Select, SelectItem};
use tidelog_storage::Catalog;

use super::relations::{Relation, Relations};
use crate::ddl;
use crate::parse::quoted;
use crate::parse::walk::WalkMut;

/// Spells out and names such columns.
pub(super) fn name(query: &mut Query, catalog: &Catalog, search_path: &[String]) {
    let _ = query.walk_mut(&mut Outer {
        known: Relations::new(catalog, search_path),
        around: Vec::new(),
    });
}

struct Outer<'a> {
    known: Relations<'a>,
    /// The relations of the SELECTs that are being looked at, from the outermost on.
    around: Vec<Vec<Relation>>,
}

impl ast::VisitorMut for Outer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.known.know_all(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let own = self.known.of(&select.from);
        if !self.around.is_empty() {
            let items = std::mem::take(&mut select.projection).into_iter();
            let items = items.flat_map(|item| self.spelled_out(item, &own));
            select.projection = items.map(|item| named(item, &own)).collect();
        }
        self.around.push(own);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.around.pop();
        ControlFlow::Continue(())
    }
}

impl Outer<'_> {
    fn spelled_out(&self, item: SelectItem, own: &[Relation]) -> Vec<SelectItem> {
        if let SelectItem::QualifiedWildcard(kind, _) = &item
            && !own.iter().any(|relation| relation.is_meant(kind))
        {
            let mut outer = self.around.iter().rev().flatten();
            if let Some(relation) = outer.find(|relation| relation.is_meant(kind)) {
                return relation.star();
            }
        }
        vec![item]
    }
}

/// A column that is of none of a SELECT's own relations, with its name.
fn named(item: SelectItem, own: &[Relation]) -> SelectItem {
    let SelectItem::UnnamedExpr(expr) = item else {
        return item;
    };
    let column = match &expr {
        Expr::Identifier(column) => {
            let column = ddl::fold(column);
            // A relation's name alone is its whole row.
            let lacks =
                |of: &Relation| of.columns.is_some() && !of.has(&column) && of.name != column;
            own.iter().all(lacks).then_some(column)
        }
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [relation, column] => {
                let relation = ddl::fold(relation);
                let is_own = own.iter().any(|of| of.name == relation);
                (!is_own).then(|| ddl::fold(column))
            }
            _ => None,
        },
        _ => None,
    };
    match column {
        Some(column) => SelectItem::ExprWithAlias {
            expr,
            alias: quoted(&column),
        },
        None => SelectItem::UnnamedExpr(expr),
    }
}
