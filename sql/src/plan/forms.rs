//! Forms that DataFusion takes and reads otherwise than PostgreSQL: written so that both mean the same, or refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, JoinConstraint, JoinOperator, NamedWindowExpr, TableFactor,
    VisitMut, WindowSpec, WindowType,
};

use super::dialect;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};

/// Compares rows column by column, and writes named windows out where a window is made of one. 0A000 for what
/// would give a wrong answer.
pub(super) fn follow_postgres(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.visit(&mut Forms) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Forms;

impl ast::VisitorMut for Forms {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => refuse_merged_columns(&table_with_joins.joins),
            TableFactor::Table {
                name,
                with_ordinality: true,
                ..
            }
            | TableFactor::Function {
                name,
                with_ordinality: true,
                ..
            } if !dialect::gives_set(name) => {
                let what = format!("WITH ORDINALITY of {name}()");
                ControlFlow::Break(SqlError::unsupported(what))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        for from in &select.from {
            refuse_merged_columns(&from.joins)?;
        }
        ControlFlow::Continue(())
    }

    /// Behind the selects inside, whose windows may have the same names.
    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        let mut windows = Windows(Vec::new());
        for definition in &mut select.named_window {
            let name = ddl::fold(&definition.0);
            match &mut definition.1 {
                NamedWindowExpr::WindowSpec(spec) => {
                    windows.complete(spec)?;
                    windows.0.push((name, spec.clone()));
                }
                NamedWindowExpr::NamedWindow(_) => {
                    return ControlFlow::Break(SqlError::unsupported(
                        "WINDOW … AS a window's name",
                    ));
                }
            }
        }
        select.projection.visit(&mut windows)
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        // In ORDER BY: that of a select sees its windows, which are not at hand here.
        query.order_by.visit(&mut Windows(Vec::new()))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        refuse_sets(expr)?;
        let Expr::BinaryOp { left, op, right } = expr else {
            return ControlFlow::Continue(());
        };
        let strict = match op {
            BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
            BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
            _ => return ControlFlow::Continue(()),
        };
        let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (left.as_ref(), right.as_ref()) else {
            return ControlFlow::Continue(());
        };
        if lefts.len() != rights.len() {
            let message = "unequal number of entries in row expressions";
            return ControlFlow::Break(SqlError::new(ErrorKind::SyntaxError, message));
        }
        // a < x OR (a = x AND (b < y OR …)): unknown as soon as what decides is NULL.
        let mut pairs = lefts.iter().zip(rights).rev();
        let Some((left, right)) = pairs.next() else {
            return ControlFlow::Continue(());
        };
        let last = binary(left.clone(), op.clone(), right.clone());
        *expr = pairs.fold(last, |rest, (left, right)| {
            let decides = binary(left.clone(), strict.clone(), right.clone());
            let ties = binary(left.clone(), BinaryOperator::Eq, right.clone());
            let rest = binary(ties, BinaryOperator::And, rest);
            binary(decides, BinaryOperator::Or, rest)
        });
        ControlFlow::Continue(())
    }
}

/// CASE and COALESCE, which need not evaluate all of their operands, take no functions that return sets.
fn refuse_sets(expr: &Expr) -> ControlFlow<SqlError> {
    let place = match expr {
        Expr::Case { .. } => "CASE",
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("coalesce") => {
            "COALESCE"
        }
        _ => return ControlFlow::Continue(()),
    };
    if ast::Visit::visit(expr, &mut FindSet { queries: 0 }).is_continue() {
        return ControlFlow::Continue(());
    }
    let message = format!("set-returning functions are not allowed in {place}");
    ControlFlow::Break(
        SqlError::new(ErrorKind::FeatureNotSupported, message)
            .hint("You might be able to move the set-returning function into a LATERAL FROM item."),
    )
}

/// Finds a function that returns a set, but for those in subqueries.
struct FindSet {
    queries: usize,
}

impl ast::Visitor for FindSet {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(call) if self.queries == 0 && dialect::gives_set(&call.name) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }))
}

/// The column that RIGHT and FULL JOIN merge out of two is not the left one.
fn refuse_merged_columns(joins: &[ast::Join]) -> ControlFlow<SqlError> {
    for join in joins {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT", constraint)
            }
            JoinOperator::FullOuter(constraint) => ("FULL", constraint),
            _ => continue,
        };
        let what = match constraint {
            JoinConstraint::Using(_) => format!("{kind} JOIN … USING"),
            JoinConstraint::Natural => format!("NATURAL {kind} JOIN"),
            _ => continue,
        };
        return ControlFlow::Break(SqlError::unsupported(what));
    }
    ControlFlow::Continue(())
}

/// The windows that a select names, for `OVER (name …)`, of which DataFusion forgets the name.
struct Windows(Vec<(String, WindowSpec)>);

impl Windows {
    /// Gives a window what it takes from the one that it names. After transformWindowDefinitions in PostgreSQL's
    /// parse_clause.c.
    fn complete(&self, spec: &mut WindowSpec) -> ControlFlow<SqlError> {
        let Some(name) = spec.window_name.take() else {
            return ControlFlow::Continue(());
        };
        let name = ddl::fold(&name);
        let broken =
            |message: String| ControlFlow::Break(SqlError::new(ErrorKind::WindowingError, message));
        let Some((_, named)) = self.0.iter().find(|(known, _)| *known == name) else {
            let message = format!("window \"{name}\" does not exist");
            return ControlFlow::Break(SqlError::new(ErrorKind::UndefinedObject, message));
        };
        if !spec.partition_by.is_empty() {
            return broken(format!(
                "cannot override PARTITION BY clause of window \"{name}\""
            ));
        }
        if !spec.order_by.is_empty() && !named.order_by.is_empty() {
            return broken(format!(
                "cannot override ORDER BY clause of window \"{name}\""
            ));
        }
        if named.window_frame.is_some() {
            return broken(format!(
                "cannot copy window \"{name}\" because it has a frame clause"
            ));
        }
        spec.partition_by = named.partition_by.clone();
        if spec.order_by.is_empty() {
            spec.order_by = named.order_by.clone();
        }
        ControlFlow::Continue(())
    }
}

impl ast::VisitorMut for Windows {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match expr {
            Expr::Function(ast::Function {
                over: Some(WindowType::WindowSpec(spec)),
                ..
            }) => self.complete(spec),
            _ => ControlFlow::Continue(()),
        }
    }
}
