//! A correlated subquery's condition in the form that DataFusion can take apart: equalities between the outside and
//! the inside, and nothing else of the outside.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, SetExpr, TableFactor, Visit, VisitMut,
};

use crate::ddl;

/// Takes conditions that are all about the outside out of the subquery and returns them, to stand around it; in the
/// others an outer column that an equality names is replaced by the inner one. Only columns that are written with
/// their relation are known to be outer.
pub(super) fn simplify(query: &mut ast::Query) -> Option<Expr> {
    let SetExpr::Select(select) = &mut *query.body else {
        return None;
    };
    // A relation whose name is not known could be taken for an outer one.
    let inner: Option<HashSet<String>> = select
        .from
        .iter()
        .flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        })
        .map(relation_name)
        .collect();
    let inner = inner?;
    let condition = select.selection.take()?;
    let mut conjuncts = Vec::new();
    split(condition, &mut conjuncts);
    let equalities: Vec<(Expr, Expr)> = conjuncts
        .iter()
        .filter_map(|conjunct| match conjunct {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => match (side(left, &inner)?, side(right, &inner)?) {
                (Side::Outer, Side::Inner) => Some(((**left).clone(), (**right).clone())),
                (Side::Inner, Side::Outer) => Some(((**right).clone(), (**left).clone())),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let mut outside = Vec::new();
    let mut inside = Vec::new();
    for mut conjunct in conjuncts {
        if is_outer(&conjunct, &inner) {
            outside.push(conjunct);
            continue;
        }
        let equality = matches!(
            &conjunct,
            Expr::BinaryOp {
                op: BinaryOperator::Eq,
                ..
            }
        );
        if !equality {
            let _ = VisitMut::visit(
                &mut conjunct,
                &mut Substitute {
                    equalities: &equalities,
                },
            );
        }
        inside.push(conjunct);
    }
    select.selection = join(inside);
    join(outside)
}

fn relation_name(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(ddl::fold(&alias.name)),
            None => Some(ddl::fold(name.0.last()?.as_ident()?)),
        },
        TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => {
            Some(ddl::fold(&alias.as_ref()?.name))
        }
        _ => None,
    }
}

fn split(condition: Expr, conjuncts: &mut Vec<Expr>) {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(*left, conjuncts);
            split(*right, conjuncts);
        }
        Expr::Nested(inner) => split(*inner, conjuncts),
        other => conjuncts.push(other),
    }
}

fn join(conjuncts: Vec<Expr>) -> Option<Expr> {
    conjuncts.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

#[derive(PartialEq)]
enum Side {
    Inner,
    Outer,
}

/// Whose column this is, where it says so.
fn side(expr: &Expr, inner: &HashSet<String>) -> Option<Side> {
    let Expr::CompoundIdentifier(parts) = expr else {
        return None;
    };
    let relation = &parts[parts.len().checked_sub(2)?];
    Some(if inner.contains(&ddl::fold(relation)) {
        Side::Inner
    } else {
        Side::Outer
    })
}

/// Whether an expression names outer columns and nothing else.
fn is_outer(expr: &Expr, inner: &HashSet<String>) -> bool {
    let mut columns = Columns {
        inner,
        outer: false,
    };
    Visit::visit(expr, &mut columns).is_continue() && columns.outer
}

struct Columns<'a> {
    inner: &'a HashSet<String>,
    outer: bool,
}

impl ast::Visitor for Columns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_)
            | Expr::Subquery(_)
            | Expr::Exists { .. }
            | Expr::InSubquery { .. } => ControlFlow::Break(()),
            Expr::CompoundIdentifier(_) => match side(expr, self.inner) {
                Some(Side::Outer) => {
                    self.outer = true;
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Substitute<'a> {
    equalities: &'a [(Expr, Expr)],
}

impl ast::VisitorMut for Substitute<'_> {
    type Break = ();

    /// A subquery may give the names another meaning.
    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some((_, inner)) = self.equalities.iter().find(|(outer, _)| outer == expr) {
            *expr = inner.clone();
        }
        ControlFlow::Continue(())
    }
}
