//! WITH in a subquery: its names hide those outside, which DataFusion refuses.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName, Query, TableFactor};

use super::names::again;
use crate::ddl;
use crate::parse::walk::WalkMut;

/// Gives the WITH queries of subqueries names of their own.
pub(super) fn tell_apart(query: &mut Query) {
    let _ = query.walk_mut(&mut Inner { depth: 0, made: 0 });
}

struct Inner {
    depth: usize,
    made: usize,
}

impl ast::VisitorMut for Inner {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    /// Queries inside have been seen to, so that what is still called by a name means this one.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        if self.depth == 0 {
            return ControlFlow::Continue(());
        }
        let Some(mut with) = query.with.take() else {
            return ControlFlow::Continue(());
        };
        for n in 0..with.cte_tables.len() {
            self.made += 1;
            let old = with.cte_tables[n].alias.name.clone();
            let new = format!("{}{}", again(&ddl::fold(&old)), self.made);
            let mut rename = Rename {
                old: ddl::fold(&old),
                new: Ident::with_quote('"', new),
            };
            with.cte_tables[n].alias.name = rename.new.clone();
            let first = n + usize::from(!with.recursive);
            for cte in &mut with.cte_tables[first..] {
                let _ = cte.query.walk_mut(&mut rename);
            }
            let _ = query.walk_mut(&mut rename);
        }
        query.with = Some(with);
        ControlFlow::Continue(())
    }
}

struct Rename {
    old: String,
    new: Ident,
}

impl ast::VisitorMut for Rename {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
            && let [only] = name.0.as_slice()
            && let Some(ident) = only.as_ident()
            && ddl::fold(ident) == self.old
        {
            alias.get_or_insert_with(|| ast::TableAlias {
                explicit: true,
                name: ident.clone(),
                columns: Vec::new(),
                at: None,
            });
            *name = ObjectName::from(vec![self.new.clone()]);
        }
        ControlFlow::Continue(())
    }
}
