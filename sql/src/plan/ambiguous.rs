//! `SELECT a AS x, b AS x … ORDER BY x`: a name in ORDER BY that two different columns of the result have.

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

/// 42702 for such a name in a query or a query inside it. What cannot be told apart for sure passes.
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
