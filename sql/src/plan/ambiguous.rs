//! `SELECT a AS x, b AS x … ORDER BY x`: a name in ORDER BY that two different columns of the result have. And `SELECT …
//! UNION SELECT … ORDER BY a + 1`: what orders a set operation is a column of its result.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, OrderByKind, Query, Select, SelectItem, SetExpr,
};
use tidelog_storage::Catalog;

use super::names::name_of;
use super::relations::{Relation, Relations};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::Walk;

/// 42702 for such a name in a query or a query inside it, 0A000 for such an expression. What cannot be told apart for sure
/// passes.
pub(super) fn check(
    query: &Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<(), SqlError> {
    let mut orders = Orders(Relations::new(catalog, search_path));
    match query.walk(&mut orders) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Orders<'a>(Relations<'a>);

impl ast::Visitor for Orders<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        self.0.know_all(query);
        let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|by| &by.kind)
        else {
            return ControlFlow::Continue(());
        };
        for key in keys {
            if is_union(&query.body) && is_expression(&key.expr) {
                let message = "invalid UNION/INTERSECT/EXCEPT ORDER BY clause";
                let error = SqlError::new(ErrorKind::FeatureNotSupported, message)
                    .detail("Only result column names can be used, not expressions or functions.")
                    .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.");
                let name = first_name(&key.expr);
                return ControlFlow::Break(name.iter().fold(error, SqlError::at));
            }
            if let Expr::Identifier(name) = &key.expr
                && self.is_ambiguous(&query.body, &ddl::fold(name))
            {
                let message = format!("ORDER BY \"{}\" is ambiguous", ddl::fold(name));
                return ControlFlow::Break(SqlError::new(ErrorKind::AmbiguousColumn, message));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a query's body, without brackets around it, is a set operation.
fn is_union(body: &SetExpr) -> bool {
    match body {
        SetExpr::SetOperation { .. } => true,
        SetExpr::Query(query) => query.order_by.is_none() && is_union(&query.body),
        _ => false,
    }
}

/// Whether a sort key is neither a name nor a position, nor a name with a relation's, which is missed there.
fn is_expression(key: &Expr) -> bool {
    match key {
        Expr::Nested(inner) => is_expression(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => false,
        _ => true,
    }
}

/// The first name in an expression.
fn first_name(expr: &Expr) -> Option<ast::Ident> {
    struct First;
    impl ast::Visitor for First {
        type Break = ast::Ident;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<ast::Ident> {
            match expr {
                Expr::Identifier(name) => ControlFlow::Break(name.clone()),
                Expr::CompoundIdentifier(parts) => ControlFlow::Break(parts[0].clone()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.walk(&mut First).break_value()
}

/// What a column of a result is.
#[derive(PartialEq)]
enum Source {
    Column(String, String),
    /// Another expression, as it is written.
    Expression(String),
}

impl Orders<'_> {
    fn is_ambiguous(&self, body: &SetExpr, name: &str) -> bool {
        match body {
            SetExpr::Select(select) => self.of_select(select, name).unwrap_or(false),
            SetExpr::Query(query) => self.is_ambiguous(&query.body, name),
            // Columns of a union are none of its parts'.
            SetExpr::SetOperation { .. } => {
                let columns = self.0.columns_of(body).unwrap_or_default();
                columns.iter().filter(|column| *column == name).count() > 1
            }
            _ => false,
        }
    }

    /// Whether columns of this name differ; `None` where that is not known.
    fn of_select(&self, select: &Select, name: &str) -> Option<bool> {
        let relations = self.0.of(&select.from);
        let mut sources = Vec::new();
        for item in &self.0.spelled_out(select)? {
            let (own, expr) = match item {
                SelectItem::UnnamedExpr(expr) => (name_of(expr).map(|(own, _)| own), expr),
                SelectItem::ExprWithAlias { expr, alias } => (Some(ddl::fold(alias)), expr),
                _ => return None,
            };
            if own.as_deref() == Some(name) {
                sources.push(source(expr, &relations)?);
            }
        }
        Some(sources.windows(2).any(|two| two[0] != two[1]))
    }
}

/// The column of this name that a relation has, if it has one; `None` where its columns are not known.
fn column_of(relation: &Relation, name: &str) -> Option<Option<Source>> {
    let has = relation
        .columns
        .as_ref()?
        .iter()
        .any(|column| column == name);
    Some(has.then(|| Source::Column(relation.name.clone(), name.to_string())))
}

fn source(expr: &Expr, relations: &[Relation]) -> Option<Source> {
    Some(match expr {
        Expr::Nested(inner) => source(inner, relations)?,
        Expr::Identifier(name) => {
            let name = ddl::fold(name);
            let mut found = Vec::new();
            for relation in relations {
                found.extend(column_of(relation, &name)?);
            }
            // One that is merged is of no relation.
            let (Some(column), true) = (found.pop(), found.is_empty()) else {
                return None;
            };
            column
        }
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., relation, column] => Source::Column(ddl::fold(relation), ddl::fold(column)),
            _ => return None,
        },
        other => {
            let mut written = other.to_string();
            for relation in relations {
                written = written.replace(&format!("{}.", relation.name), "");
            }
            Source::Expression(written)
        }
    })
}
