//! Forms that DataFusion takes and reads otherwise than PostgreSQL: refused, or written as others.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, TableFactor, UnaryOperator};

use super::dialect;
use super::relations::constraint_mut;
use super::selects::all_of;
use super::{grouping, list_keys};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::{Walk, WalkMut};

/// 0A000 for what would give a wrong answer; a join with an alias becomes a query.
pub(super) fn follow_postgres(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.walk_mut(&mut Forms) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Forms;

impl ast::VisitorMut for Forms {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        list_keys::check(query).map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        let mut aliases = select.projection.iter().filter_map(|item| match item {
            ast::SelectItem::ExprWithAlias { alias, .. } => Some(alias),
            _ => None,
        });
        aliases.try_for_each(check_alias)?;
        select.from.iter_mut().for_each(join_conditions);
        select.selection.iter_mut().for_each(as_condition);
        select.having.iter_mut().for_each(as_condition);
        if let Err(error) =
            list_keys::check_select(select).and_then(|()| grouping::spell_out(select))
        {
            return ControlFlow::Break(error);
        }
        check_relations(&select.from)
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
        {
            join_conditions(table_with_joins);
        }
        join_as_query(factor);
        if let TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::Function { alias, .. } = factor
            && let Some(alias) = alias
        {
            check_alias(&alias.name)?;
        }
        match factor {
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

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Expr::Function(call) = expr
            && call.over.is_some()
            && let ast::FunctionArguments::List(list) = &call.args
            && list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct)
        {
            let message = "DISTINCT is not implemented for window functions";
            let error = SqlError::new(ErrorKind::FeatureNotSupported, message);
            return ControlFlow::Break(error);
        }
        bare_parameter(expr);
        match expr {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And | BinaryOperator::Or,
                right,
            } => {
                as_condition(left);
                as_condition(right);
            }
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => as_condition(expr),
            Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr)
            | Expr::IsUnknown(expr)
            | Expr::IsNotUnknown(expr) => as_condition(expr),
            _ => {}
        }
        refuse_sets(expr)
    }
}

fn join_conditions(from: &mut ast::TableWithJoins) {
    for join in &mut from.joins {
        if let Some(ast::JoinConstraint::On(condition)) = constraint_mut(&mut join.join_operator) {
            as_condition(condition);
        }
    }
}

/// Takes the parentheses off a parameter: what is around them tells its type.
fn bare_parameter(expr: &mut Expr) {
    let mut inner = &*expr;
    while let Expr::Nested(nested) = inner {
        inner = nested;
    }
    if let Expr::Value(value) = inner
        && let ast::Value::Placeholder(_) = value.value
    {
        *expr = inner.clone();
    }
}

/// A string where a condition stands is a boolean.
fn as_condition(condition: &mut Expr) {
    match condition {
        Expr::Nested(inner) => as_condition(inner),
        Expr::Value(value) if matches!(value.value, ast::Value::SingleQuotedString(_)) => {
            let text = dialect::take(condition);
            *condition = dialect::cast(text, ast::DataType::Boolean);
        }
        _ => {}
    }
}

/// `(a JOIN b USING (id)) AS j`: what the join shows are columns of `j`, and `a` and `b` mean nothing outside.
fn join_as_query(factor: &mut TableFactor) {
    let TableFactor::NestedJoin {
        table_with_joins,
        alias: alias @ Some(_),
    } = factor
    else {
        return;
    };
    *factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(all_of(vec![(**table_with_joins).clone()])),
        alias: alias.take(),
        sample: None,
    };
}

/// 42601 for a string constant where a name belongs.
fn check_alias(alias: &ast::Ident) -> ControlFlow<SqlError> {
    if alias.quote_style != Some('\'') {
        return ControlFlow::Continue(());
    }
    let message = format!("syntax error at or near \"'{}'\"", alias.value);
    ControlFlow::Break(SqlError::new(ErrorKind::SyntaxError, message))
}

/// 42712 for relations of one FROM that go by the same name. Tables without an alias may: in other schemas.
fn check_relations(from: &[ast::TableWithJoins]) -> ControlFlow<SqlError> {
    let mut known: Vec<(String, Option<String>)> = Vec::new();
    let mut open: Vec<&ast::TableWithJoins> = from.iter().rev().collect();
    while let Some(item) = open.pop() {
        let joined = item.joins.iter().map(|join| &join.relation);
        for factor in std::iter::once(&item.relation).chain(joined) {
            let (name, alias) = match factor {
                TableFactor::Table { name, alias, .. } => (Some(name), alias),
                TableFactor::Derived { alias, .. }
                | TableFactor::UNNEST { alias, .. }
                | TableFactor::Function { alias, .. } => (None, alias),
                TableFactor::NestedJoin {
                    table_with_joins,
                    alias,
                } => {
                    if alias.is_none() {
                        open.push(table_with_joins);
                    }
                    (None, alias)
                }
                _ => continue,
            };
            let parts = name.filter(|_| alias.is_none());
            let mut parts = parts.iter().flat_map(|name| name.0.iter().rev());
            let mut part = || parts.next().and_then(|part| part.as_ident()).map(ddl::fold);
            let called = match alias {
                Some(alias) => (ddl::fold(&alias.name), None),
                None => match part() {
                    Some(table) => (table, Some(part().unwrap_or_default())),
                    None => continue,
                },
            };
            let is_same = |(name, schema): &(String, Option<String>)| {
                *name == called.0
                    && !matches!((schema, &called.1), (Some(one), Some(other)) if one != other)
            };
            if known.iter().any(is_same) {
                let message = format!("table name \"{}\" specified more than once", called.0);
                return ControlFlow::Break(SqlError::new(ErrorKind::DuplicateAlias, message));
            }
            known.push(called);
        }
    }
    ControlFlow::Continue(())
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
    // Those of subqueries are theirs.
    let is_set =
        |part: &Expr| matches!(part, Expr::Function(call) if dialect::gives_set(&call.name));
    if !expr.has_own_expr(is_set) {
        return ControlFlow::Continue(());
    }
    let message = format!("set-returning functions are not allowed in {place}");
    ControlFlow::Break(
        SqlError::new(ErrorKind::FeatureNotSupported, message)
            .hint("You might be able to move the set-returning function into a LATERAL FROM item."),
    )
}
