//! Relations whose names a subquery has as columns: `(SELECT count(*) FROM message m WHERE m.room = room.id)` in a query over
//! `room`. DataFusion takes `room.id` for a field of the column, so such a relation gets a name that no column has.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor,
};
use tidelog_storage::Catalog;

use super::names::again;
use super::relations::{Relation, Relations};
use crate::ddl;
use crate::parse::quoted;
use crate::parse::walk::{Walk, WalkMut};

/// Renames what is hidden so in a query and its subqueries.
pub(super) fn rename(query: &mut Query, catalog: &Catalog, search_path: &[String]) {
    let mut hidden = Hidden {
        known: Relations::new(catalog, search_path),
        queries: 0,
        around: Vec::new(),
        found: HashMap::new(),
    };
    let _ = query.walk(&mut hidden);
    if !hidden.found.is_empty() {
        let _ = query.walk_mut(&mut Renaming {
            queries: 0,
            names: hidden.found,
        });
    }
}

/// Finds the relations whose names a query inside means, and has as a column, too.
struct Hidden<'a> {
    known: Relations<'a>,
    /// How many queries have been seen.
    queries: usize,
    /// The queries that are being looked at, from the outermost on: their numbers and relations.
    around: Vec<(usize, Vec<Relation>)>,
    /// The names found, by the number of the query that has the relation.
    found: HashMap<usize, BTreeSet<String>>,
}

impl ast::Visitor for Hidden<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.known.know_all(query);
        let relations = self.known.of_body(&query.body);
        self.around.push((self.queries, relations));
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::CompoundIdentifier(parts) = expr else {
            return ControlFlow::Continue(());
        };
        let [first, _] = parts.as_slice() else {
            return ControlFlow::Continue(());
        };
        let name = ddl::fold(first);
        let mut is_hidden = false;
        for (query, relations) in self.around.iter().rev() {
            if relations.iter().any(|relation| relation.name == name) {
                if is_hidden {
                    self.found.entry(*query).or_default().insert(name);
                }
                break;
            }
            is_hidden |= relations.iter().any(|relation| relation.has(&name));
        }
        ControlFlow::Continue(())
    }
}

/// Renames relations, by the numbers of their queries.
struct Renaming {
    queries: usize,
    names: HashMap<usize, BTreeSet<String>>,
}

impl ast::VisitorMut for Renaming {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for name in self.names.remove(&self.queries).into_iter().flatten() {
            give_name(query, &name);
        }
        self.queries += 1;
        ControlFlow::Continue(())
    }
}

/// Gives the relation of this name in a query's FROM another one, also where it is meant.
fn give_name(query: &mut Query, name: &str) {
    let new = quoted(&again(name));
    let SetExpr::Select(select) = &mut *query.body else {
        return;
    };
    let factors = select.from.iter_mut().flat_map(|from| {
        let joined = from.joins.iter_mut().map(|join| &mut join.relation);
        std::iter::once(&mut from.relation).chain(joined)
    });
    for factor in factors {
        let (TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::UNNEST { alias, .. }) = factor
        else {
            continue;
        };
        match alias {
            Some(alias) if ddl::fold(&alias.name) == name => alias.name = new.clone(),
            Some(_) => {}
            None => {
                if let TableFactor::Table {
                    name: table, alias, ..
                } = factor
                    && table
                        .0
                        .last()
                        .and_then(|part| part.as_ident())
                        .map(ddl::fold)
                        .as_deref()
                        == Some(name)
                {
                    *alias = Some(TableAlias {
                        explicit: true,
                        name: new.clone(),
                        columns: Vec::new(),
                        at: None,
                    });
                }
            }
        }
    }
    for item in &mut select.projection {
        if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) =
            item
            && of
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map(ddl::fold)
                .as_deref()
                == Some(name)
        {
            *of = vec![new.clone()].into();
        }
    }
    let _ = query.walk_mut(&mut Meant {
        name,
        new: &new,
        inner: Vec::new(),
    });
}

/// Puts a relation's new name where the old one means it.
struct Meant<'a> {
    name: &'a str,
    new: &'a Ident,
    /// Whether each of the queries that are being looked at has a relation of the name itself.
    inner: Vec<bool>,
}

impl ast::VisitorMut for Meant<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let is_name = |factor: &TableFactor| called(factor).as_deref() == Some(self.name);
        let has = match &*query.body {
            SetExpr::Select(select) => select.from.iter().any(|from| {
                is_name(&from.relation) || from.joins.iter().any(|join| is_name(&join.relation))
            }),
            _ => false,
        };
        self.inner.push(has);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inner.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [.., relation, column] = parts.as_slice()
            && ddl::fold(relation) == self.name
            && !self.inner.iter().any(|has| *has)
        {
            *parts = vec![self.new.clone(), column.clone()];
        }
        ControlFlow::Continue(())
    }
}

/// The name of a FROM item.
fn called(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table {
            name, alias: None, ..
        } => Some(ddl::fold(name.0.last()?.as_ident()?)),
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::Function { alias, .. } => alias.as_ref().map(|alias| ddl::fold(&alias.name)),
        _ => None,
    }
}
