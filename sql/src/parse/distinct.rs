//! What `IS DISTINCT FROM` compares with: sqlparser takes all that follows for it, PostgreSQL ends before AND and OR.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Statement, UnaryOperator, Value,
};

use crate::parse::walk::{Walk, WalkMut};

/// Gives the operators of a statement their precedence again.
pub(super) fn associate(mut statement: Statement) -> Statement {
    if statement.walk(&mut Swallowed).is_break() {
        let _ = statement.walk_mut(&mut Associate);
    }
    statement
}

fn connects(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::And | BinaryOperator::Or)
}

/// Finds an `IS DISTINCT FROM` that took too much.
struct Swallowed;

impl ast::Visitor for Swallowed {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => match &**right {
                Expr::BinaryOp { op, .. } if connects(op) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Associate;

impl ast::VisitorMut for Associate {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if expr.walk(&mut Swallowed).is_break() {
            let taken = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            let mut operands = Vec::new();
            let first = connected(taken, &mut operands);
            *expr = united(first, operands);
        }
        ControlFlow::Continue(())
    }
}

/// Takes an expression apart at AND and OR as they were written: the first operand, then those with an operator before.
fn connected(expr: Expr, rest: &mut Vec<(BinaryOperator, Expr)>) -> Expr {
    match expr {
        Expr::BinaryOp { left, op, right } if connects(&op) => {
            let first = connected(*left, rest);
            let mut behind = Vec::new();
            let second = connected(*right, &mut behind);
            rest.push((op, second));
            rest.append(&mut behind);
            first
        }
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(connected(*expr, rest)),
        },
        Expr::IsDistinctFrom(left, right) => {
            Expr::IsDistinctFrom(left, Box::new(connected(*right, rest)))
        }
        Expr::IsNotDistinctFrom(left, right) => {
            Expr::IsNotDistinctFrom(left, Box::new(connected(*right, rest)))
        }
        expr => expr,
    }
}

/// Operands that are connected by AND, and those by OR.
fn united(first: Expr, rest: Vec<(BinaryOperator, Expr)>) -> Expr {
    let binary = |left: Expr, op: BinaryOperator, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    };
    let mut any: Option<Expr> = None;
    let mut all = first;
    for (op, operand) in rest {
        all = match op {
            BinaryOperator::Or => {
                any = Some(match any {
                    None => all,
                    Some(any) => binary(any, BinaryOperator::Or, all),
                });
                operand
            }
            op => binary(all, op, operand),
        };
    }
    match any {
        None => all,
        Some(any) => binary(any, BinaryOperator::Or, all),
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::walk::WalkMut;

    #[test]
    fn is_distinct_from_ends_before_and_and_or() {
        for (written, read) in [
            (
                "a IS DISTINCT FROM b AND c",
                "(a IS DISTINCT FROM b) AND (c)",
            ),
            (
                "p AND a IS NOT DISTINCT FROM b OR q AND r",
                "(p AND (a IS NOT DISTINCT FROM b)) OR (q AND r)",
            ),
            (
                "NOT a IS DISTINCT FROM b OR c IS DISTINCT FROM d AND e",
                "(NOT (a IS DISTINCT FROM b)) OR ((c IS DISTINCT FROM d) AND e)",
            ),
        ] {
            let plain = |sql: &str| {
                let mut expr = crate::parse::parse_expression(sql).unwrap();
                let _ = expr.walk_mut(&mut Bare);
                expr
            };
            assert_eq!(plain(written), plain(read), "{written}");
        }
    }

    /// Takes parentheses away.
    struct Bare;

    impl super::ast::VisitorMut for Bare {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut super::Expr) -> std::ops::ControlFlow<()> {
            while let super::Expr::Nested(inner) = expr {
                *expr = (**inner).clone();
            }
            std::ops::ControlFlow::Continue(())
        }
    }
}
