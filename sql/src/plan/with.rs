//! WITH in a subquery: its names hide those outside, which DataFusion refuses. And WITH queries that are computed once: those
//! of volatile functions that are named several times, which DataFusion computes for each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Cte, Expr, Ident, ObjectName, Query, TableFactor};

use super::names::again;
use crate::ddl;
use crate::error::SqlError;
use crate::evaluated_once::MARK;
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{parse_query, quoted};

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

/// Marks the WITH queries that are to be computed once: what they select from is a relation of the mark's name and a number.
pub(super) fn mark_evaluated_once(
    query: &mut Query,
    is_volatile: &dyn Fn(&str) -> bool,
) -> Result<(), SqlError> {
    let mut named = Named::default();
    let _ = query.walk(&mut named);
    let Named { queries, uses } = named;
    let names = |query: &Query, is_one: &dyn Fn(&str) -> bool| {
        query.has_relation(|name| single(name).is_some_and(|name| is_one(&name)))
    };
    let calls_volatile = |query: &Query| {
        query.has_expr(|expr| match expr {
            Expr::Function(call) => {
                let name = call.name.0.last().and_then(|part| part.as_ident());
                name.is_some_and(|name| is_volatile(&ddl::fold(name)))
            }
            _ => false,
        })
    };
    let mut volatile = BTreeSet::new();
    for (name, query) in &queries {
        if calls_volatile(query) {
            volatile.insert(name.clone());
        }
    }
    // Those over volatile ones are volatile, too.
    while let Some((name, _)) = queries.iter().find(|(name, query)| {
        !volatile.contains(*name) && names(query, &|used| volatile.contains(used))
    }) {
        volatile.insert(name.clone());
    }
    volatile.retain(|name| {
        let is_recursive = names(&queries[name], &|used| used == name);
        uses.get(name).is_some_and(|uses| *uses > 1) && !is_recursive
    });
    let numbers: BTreeMap<String, usize> = volatile.into_iter().zip(1..).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    match query.walk_mut(&mut Marks { numbers }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A name without a schema.
fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [only] => only.as_ident().map(ddl::fold),
        _ => None,
    }
}

/// The WITH queries of a query, and how often each relation is named.
#[derive(Default)]
struct Named {
    queries: BTreeMap<String, Query>,
    uses: BTreeMap<String, usize>,
}

impl ast::Visitor for Named {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for Cte { alias, query, .. } in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = ddl::fold(&alias.name);
            self.queries.insert(name, query.as_ref().clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        if let Some(name) = single(name) {
            *self.uses.entry(name).or_default() += 1;
        }
        ControlFlow::Continue(())
    }
}

struct Marks {
    numbers: BTreeMap<String, usize>,
}

impl ast::VisitorMut for Marks {
    type Break = SqlError;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            let Some(number) = self.numbers.get(&ddl::fold(&cte.alias.name)) else {
                continue;
            };
            let mark = quoted(&format!("{MARK}{number}"));
            match parse_query(&format!("SELECT * FROM ({}) AS {mark}", cte.query)) {
                Ok(marked) => *cte.query = marked,
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }
}
