//! What the columns of queries inside a query are called, and which of them a name means, from the innermost query outwards:
//! what a query shows is known once those in its FROM have been seen to.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Query, TableFactor};
use tidelog_storage::Catalog;

use super::relations::Relations;
use super::{merged, repeated};
use crate::error::SqlError;
use crate::parse::walk::WalkMut;

/// Writes out what USING and NATURAL merge, and tells columns of one name apart.
pub(super) fn tell_apart(
    query: &mut Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<(), SqlError> {
    let mut columns = Columns {
        relations: Relations::new(catalog, search_path),
        withs: Vec::new(),
    };
    match query.walk_mut(&mut columns) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Columns<'a> {
    relations: Relations<'a>,
    /// The WITH clauses of the queries around, which have been seen to.
    withs: Vec<Option<ast::With>>,
}

impl ast::VisitorMut for Columns<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let mut with = query.with.take();
        for cte in with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            // A recursive one names itself.
            self.relations.know(cte);
            // As a query in a query.
            self.withs.push(None);
            cte.query.walk_mut(self)?;
            self.withs.pop();
            if let Some(columns) = self.relations.columns_of(&cte.query.body)
                && let Err(error) = repeated::complete(&mut cte.alias, columns, "WITH query")
            {
                return ControlFlow::Break(error.at(&cte.alias.name));
            }
            self.relations.know(cte);
        }
        self.withs.push(with);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        query.with = self.withs.pop().flatten();
        if let Err(error) = merged::write_out(&self.relations, query) {
            return ControlFlow::Break(error);
        }
        if !self.withs.is_empty() {
            repeated::rename(&self.relations, &mut query.body);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let named = repeated::name_left_out(&self.relations, factor);
        named.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}
