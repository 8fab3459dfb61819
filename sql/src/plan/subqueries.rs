//! Subqueries as expressions: `(SELECT …)` and `ARRAY(SELECT …)` as aggregates, which is how DataFusion takes them
//! when they are correlated.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName,
    SelectItem, SetExpr, Visit, VisitMut,
};

use crate::ddl;
use crate::functions::SINGLE_VALUE;

mod correlation;

/// Rewrites the subqueries of a query; `is_aggregate` knows the aggregate functions.
pub(super) fn aggregate(query: &mut ast::Query, is_aggregate: &dyn Fn(&str) -> bool) {
    let _ = query.visit(&mut Subqueries { is_aggregate });
}

struct Subqueries<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl ast::VisitorMut for Subqueries<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(query) => {
                if let Some(item) = self.only_item(query) {
                    wrap(item, SINGLE_VALUE, Vec::new());
                    query.order_by = None;
                    if let Some(condition) = correlation::simplify(query) {
                        let subquery =
                            std::mem::replace(expr, Expr::Wildcard(AttachedToken::empty()));
                        *expr = Expr::Case {
                            case_token: AttachedToken::empty(),
                            end_token: AttachedToken::empty(),
                            operand: None,
                            conditions: vec![ast::CaseWhen {
                                condition,
                                result: subquery,
                            }],
                            else_result: None,
                        };
                    }
                }
            }
            Expr::Function(function) => {
                let named = function.name.0.last().and_then(|part| part.as_ident());
                if named.is_some_and(|name| ddl::fold(name) == "array")
                    && let FunctionArguments::Subquery(query) = &mut function.args
                {
                    let order = match query.order_by.as_ref().map(|order| &order.kind) {
                        Some(ast::OrderByKind::Expressions(order)) => order.clone(),
                        _ => Vec::new(),
                    };
                    if let Some(item) = self.only_item(query) {
                        // ORDER BY 1 is the item itself.
                        let order = order.into_iter().map(|mut by| {
                            if matches!(by.expr, Expr::Value(_)) {
                                by.expr = expression(item);
                            }
                            by
                        });
                        let order = order.collect();
                        wrap(item, "array_agg", order);
                        query.order_by = None;
                        *expr = Expr::Subquery(query.clone());
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Subqueries<'_> {
    /// The one select item of a query that gives its rows as they come.
    fn only_item<'q>(&self, query: &'q mut ast::Query) -> Option<&'q mut SelectItem> {
        if query.limit_clause.is_some() || query.fetch.is_some() {
            return None;
        }
        let SetExpr::Select(select) = &mut *query.body else {
            return None;
        };
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
        if grouped || select.distinct.is_some() || select.having.is_some() || select.from.is_empty()
        {
            return None;
        }
        let [item] = select.projection.as_mut_slice() else {
            return None;
        };
        let mut finder = FindAggregate {
            is_aggregate: self.is_aggregate,
        };
        (Visit::visit(&*item, &mut finder).is_continue()
            && matches!(
                item,
                SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
            ))
        .then_some(item)
    }
}

struct FindAggregate<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl ast::Visitor for FindAggregate<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let name = function.name.0.last().and_then(|part| part.as_ident());
        match name {
            Some(name) if function.over.is_some() || (self.is_aggregate)(&ddl::fold(name)) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn expression(item: &SelectItem) -> Expr {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr.clone(),
        _ => unreachable!("only_item gives expressions"),
    }
}

/// Puts an aggregate function around a select item.
fn wrap(item: &mut SelectItem, function: &str, order: Vec<ast::OrderByExpr>) {
    let clauses = match order.is_empty() {
        true => Vec::new(),
        false => vec![ast::FunctionArgumentClause::OrderBy(order)],
    };
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(expression(item)));
    let call = Expr::Function(ast::Function {
        name: ObjectName::from(vec![Ident::new(function)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument],
            clauses,
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => *expr = call,
        _ => unreachable!("only_item gives expressions"),
    }
}
