//! Aggregates that a cast or a subquery alone tells apart, `sum(n)` and `sum(n::bigint)`, `count(*) FILTER (WHERE a IN (SELECT …))`
//! twice: DataFusion calls both the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::dialect::take;
use crate::ddl;
use crate::parse::parse_expression;
use crate::parse::walk::{Walk, WalkMut};

/// Gives the arguments of such aggregates forms of their own, of the same values.
pub(super) fn tell_apart(query: &mut ast::Query, is_aggregate: &dyn Fn(&str) -> bool) {
    let mut calls = Calls {
        is_aggregate,
        texts: BTreeMap::new(),
    };
    let _ = query.walk(&mut calls);
    let Calls { mut texts, .. } = calls;
    texts.retain(|_, texts| texts.len() > 1);
    if texts.is_empty() {
        return;
    }
    let numbered = texts
        .into_values()
        .flat_map(|texts| texts.into_iter().zip(1..));
    let numbers = numbered.collect();
    let _ = query.walk_mut(&mut Mark {
        is_aggregate,
        numbers,
    });
}

/// Finds the aggregates: their texts, by what these are without casts.
struct Calls<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
    texts: BTreeMap<String, BTreeSet<String>>,
}

impl ast::Visitor for Calls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if is_call(expr, self.is_aggregate) {
            let plain = without_queries(without_casts(expr)).to_string();
            let texts = self.texts.entry(plain).or_default();
            texts.insert(expr.to_string());
        }
        ControlFlow::Continue(())
    }
}

fn is_call(expr: &Expr, is_aggregate: &dyn Fn(&str) -> bool) -> bool {
    let Expr::Function(call) = expr else {
        return false;
    };
    let name = call.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| is_aggregate(&ddl::fold(name)))
}

/// An expression without its casts, as which DataFusion names it.
pub(super) fn without_casts(expr: &Expr) -> Expr {
    let mut plain = expr.clone();
    let _ = plain.walk_mut(&mut Strip);
    plain
}

/// An expression without what its subqueries say.
fn without_queries(mut expr: Expr) -> Expr {
    struct Blank;
    impl ast::VisitorMut for Blank {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let blank = || Expr::Identifier(ast::Ident::new("\u{1}query"));
            match expr {
                Expr::InSubquery { expr: of, .. } => *expr = take(of),
                Expr::Subquery(_) | Expr::Exists { .. } => *expr = blank(),
                Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => **right = blank(),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _ = expr.walk_mut(&mut Blank);
    expr
}

struct Strip;

impl ast::VisitorMut for Strip {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = take(inner);
        }
        ControlFlow::Continue(())
    }
}

struct Mark<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
    numbers: BTreeMap<String, usize>,
}

impl ast::VisitorMut for Mark<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !is_call(expr, self.is_aggregate) {
            return ControlFlow::Continue(());
        }
        let Some(number) = self.numbers.get(&expr.to_string()) else {
            return ControlFlow::Continue(());
        };
        if let Expr::Function(call) = expr
            && let FunctionArguments::List(list) = &mut call.args
        {
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg
                    && may_be_alike(arg)
                {
                    *arg = marked(arg, *number);
                }
            }
            if let Some(filter) = call.filter.as_deref_mut().filter(|of| may_be_alike(of)) {
                let mark = parse_expression(&format!("{number} = {number} AND NULL"));
                let mut mark = mark.expect("an expression of ours is one");
                if let Expr::BinaryOp { right, .. } = &mut mark {
                    **right = Expr::Nested(Box::new(take(filter)));
                }
                *filter = mark;
            }
        }
        ControlFlow::Continue(())
    }
}

/// The expression under a name of its own. The condition is one that is always true, and goes with the first simplification.
pub(super) fn marked(expr: &Expr, number: usize) -> Expr {
    let mark = parse_expression(&format!("CASE WHEN {number} = {number} THEN NULL END"));
    let mut mark = mark.expect("an expression of ours is one");
    if let Expr::Case { conditions, .. } = &mut mark {
        conditions[0].result = expr.clone();
    }
    mark
}

pub(super) fn has_cast(expr: &Expr) -> bool {
    has(expr, &|expr| matches!(expr, Expr::Cast { .. }))
}

/// Whether casts or subqueries are in an expression, of which DataFusion's name for it says nothing.
fn may_be_alike(expr: &Expr) -> bool {
    has(expr, &|expr| {
        matches!(
            expr,
            Expr::Cast { .. }
                | Expr::Subquery(_)
                | Expr::InSubquery { .. }
                | Expr::Exists { .. }
                | Expr::AnyOp { .. }
                | Expr::AllOp { .. }
        )
    })
}

fn has(expr: &Expr, wanted: &dyn Fn(&Expr) -> bool) -> bool {
    struct Finds<'a>(&'a dyn Fn(&Expr) -> bool);
    impl ast::Visitor for Finds<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match (self.0)(expr) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    expr.walk(&mut Finds(wanted)).is_break()
}
