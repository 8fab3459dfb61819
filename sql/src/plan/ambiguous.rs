//! `SELECT a AS x, b AS x … ORDER BY x`: a name in ORDER BY that two different columns of the result have.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
};
use tidelog_storage::Catalog;

use super::names::name_of;
use super::rows::{Relation, Rows};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::Walk;

/// 42702 for such a name in a query or a query inside it. What cannot be told apart for sure passes.
pub(super) fn check(
    query: &Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<(), SqlError> {
    let mut orders = Orders(Rows::new(catalog, search_path));
    match query.walk(&mut orders) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Orders<'a>(Rows<'a>);

impl ast::Visitor for Orders<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        tables.for_each(|cte| self.0.know(cte));
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
        let relations = self.0.relations(&select.from);
        let mut sources = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    if name_of(expr).is_some_and(|(own, _)| own == name) {
                        sources.push(source(expr, &relations)?);
                    }
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    if ddl::fold(alias) == name {
                        sources.push(source(expr, &relations)?);
                    }
                }
                SelectItem::Wildcard(_) => {
                    for relation in self.0.starred(&select.from)? {
                        sources.extend(column_of(&relation, name)?);
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(of),
                    _,
                ) => {
                    let of = ddl::fold(of.0.last()?.as_ident()?);
                    let relation = relations.iter().find(|(relation, _)| *relation == of)?;
                    sources.extend(column_of(relation, name)?);
                }
                _ => return None,
            }
        }
        Some(sources.windows(2).any(|two| two[0] != two[1]))
    }
}

/// The column of this name that a relation has, if it has one; `None` where its columns are not known.
fn column_of((relation, columns): &Relation, name: &str) -> Option<Option<Source>> {
    let has = columns.as_ref()?.iter().any(|column| column == name);
    Some(has.then(|| Source::Column(relation.clone(), name.to_string())))
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
            for (relation, _) in relations {
                written = written.replace(&format!("{relation}."), "");
            }
            Source::Expression(written)
        }
    })
}
