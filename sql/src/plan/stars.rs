//! `*` and the pseudo-columns: a statement may name `_seq` and `_user`, `*` never means them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, SelectItem};
use tidelog_storage::Catalog;

use super::relations::Relations;
use super::tableoid;
use crate::error::SqlError;
use crate::parse::walk::WalkMut;
use crate::provider::{SEQ, USER};

/// Whether a statement may name a pseudo-column.
pub(crate) fn mentions_pseudo_columns(statement: &impl std::fmt::Display) -> bool {
    let text = statement.to_string();
    text.contains(SEQ) || text.contains(USER) || tableoid::mentions_ctid(&text)
}

/// Spells out the `*` of a query over tables that show pseudo-columns.
pub(crate) fn expand(
    query: &mut ast::Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<(), SqlError> {
    let mut stars = Stars(Relations::new(catalog, search_path));
    match query.walk_mut(&mut stars) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Stars<'a>(Relations<'a>);

impl ast::VisitorMut for Stars<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        self.0.know_all(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
        match self.0.spelled_out(select) {
            Some(items) => select.projection = items,
            None if select.projection.iter().any(is_star) => {
                let what = "* over a relation without a name beside a pseudo-column";
                return ControlFlow::Break(SqlError::unsupported(what));
            }
            None => {}
        }
        ControlFlow::Continue(())
    }
}
