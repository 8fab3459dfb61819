//! `*` and the pseudo-columns: a statement may name `_seq` and `_user`, `*` never means them.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self};
use tidelog_storage::Catalog;

use crate::error::SqlError;
use crate::parse::walk::WalkMut;
use crate::provider::{SEQ, USER};
use crate::{ddl, parse};

/// Whether a statement may name a pseudo-column.
pub(crate) fn mentions_pseudo_columns(statement: &impl std::fmt::Display) -> bool {
    let text = statement.to_string();
    text.contains(SEQ) || text.contains(USER)
}

/// Spells out the `*` of a query over tables that show pseudo-columns.
pub(crate) fn expand(
    query: &mut ast::Query,
    catalog: &Catalog,
    search_path: &[String],
) -> std::result::Result<(), SqlError> {
    let mut expand = ExpandStars {
        catalog,
        search_path,
        ctes: HashSet::new(),
    };
    match query.walk_mut(&mut expand) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct ExpandStars<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
    ctes: HashSet<String>,
}

impl ast::VisitorMut for ExpandStars<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(ddl::fold(&cte.alias.name));
        }
        match self.expand_body(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl ExpandStars<'_> {
    fn expand_body(&self, body: &mut ast::SetExpr) -> std::result::Result<(), SqlError> {
        match body {
            ast::SetExpr::SetOperation { left, right, .. } => {
                self.expand_body(left)?;
                self.expand_body(right)
            }
            ast::SetExpr::Select(select) => self.expand_select(select),
            _ => Ok(()),
        }
    }

    fn expand_select(&self, select: &mut ast::Select) -> std::result::Result<(), SqlError> {
        let mut relations = Vec::new();
        let mut merges = false;
        for from in &select.from {
            relations.extend(self.relation(&from.relation));
            for join in &from.joins {
                relations.extend(self.relation(&join.relation));
                merges |=
                    join.to_string().contains("NATURAL") || join.to_string().contains("USING(");
            }
        }
        if relations.iter().all(|(_, columns)| columns.is_none()) {
            return Ok(());
        }
        let mut projection = Vec::new();
        for item in select.projection.drain(..) {
            match item {
                ast::SelectItem::Wildcard(_) if merges => {
                    return Err(SqlError::unsupported(
                        "* over NATURAL JOIN or USING beside a pseudo-column",
                    ));
                }
                ast::SelectItem::Wildcard(_) => {
                    relations.iter().for_each(|r| projection.extend(star(r)))
                }
                ast::SelectItem::QualifiedWildcard(ref kind, _) => {
                    let wanted = kind.to_string();
                    let named = |(name, _): &&Relations| {
                        wanted == format!("{}.*", parse::quoted(name))
                            || wanted == format!("{name}.*")
                    };
                    match relations.iter().find(named) {
                        Some(relation) => projection.extend(star(relation)),
                        None => projection.push(item),
                    }
                }
                item => projection.push(item),
            }
        }
        select.projection = projection;
        Ok(())
    }

    /// The name a FROM item goes by and, for a table of the catalog, its columns.
    fn relation(&self, factor: &ast::TableFactor) -> Option<Relations> {
        match factor {
            ast::TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let last = name.0.last()?.as_ident()?;
                let called = alias
                    .as_ref()
                    .map_or_else(|| ddl::fold(last), |alias| ddl::fold(&alias.name));
                if name.0.len() == 1 && self.ctes.contains(&ddl::fold(last)) {
                    return Some((called, None));
                }
                let table = ddl::resolve(self.catalog, self.search_path, name).ok();
                Some((
                    called,
                    table.map(|t| t.columns.iter().map(|c| c.name.clone()).collect()),
                ))
            }
            ast::TableFactor::Derived { alias, .. } => {
                Some((ddl::fold(&alias.as_ref()?.name), None))
            }
            ast::TableFactor::Table { alias, name, .. } => {
                let called = alias
                    .as_ref()
                    .map(|alias| &alias.name)
                    .or_else(|| name.0.last()?.as_ident())?;
                Some((ddl::fold(called), None))
            }
            _ => None,
        }
    }
}

type Relations = (String, Option<Vec<String>>);

fn star((name, columns): &Relations) -> Vec<ast::SelectItem> {
    let relation = parse::quoted(name);
    match columns {
        Some(columns) => columns
            .iter()
            .map(|column| {
                parse::item(ast::Expr::CompoundIdentifier(vec![
                    relation.clone(),
                    parse::quoted(column),
                ]))
            })
            .collect(),
        None => vec![ast::SelectItem::QualifiedWildcard(
            ast::SelectItemQualifiedWildcardKind::ObjectName(vec![relation].into()),
            ast::WildcardAdditionalOptions::default(),
        )],
    }
}
