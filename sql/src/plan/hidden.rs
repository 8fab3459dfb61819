//! Relations whose names a subquery has as columns: `(SELECT count(*) FROM message m WHERE m.room = room.id)` in a query over
//! `room`. DataFusion takes `room.id` for a field of the column, so such a relation gets a name that no column has.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor,
};
use tidelog_storage::Catalog;

use super::names::again;
use super::rows::{Relation, Rows};
use crate::ddl;
use crate::parse::quoted;
use crate::parse::walk::{Walk, WalkMut};

/// Renames what is hidden so in a query and its subqueries.
pub(super) fn rename(query: &mut Query, catalog: &Catalog, search_path: &[String]) {
    let _ = query.walk_mut(&mut Renaming(Rows::new(catalog, search_path)));
}

struct Renaming<'a>(Rows<'a>);

impl ast::VisitorMut for Renaming<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        tables.for_each(|cte| self.0.know(cte));
        let mut hidden = Hidden {
            rows: &self.0,
            inner: Vec::new(),
            names: HashSet::new(),
        };
        let _ = query.walk(&mut hidden);
        let names = hidden.names;
        for (name, _) in self.0.of_body(&query.body) {
            if names.contains(&name) {
                give_name(query, &name);
            }
        }
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

/// Finds the names of relations outside that a column inside has, too.
struct Hidden<'a> {
    rows: &'a Rows<'a>,
    /// The relations of the queries that are being looked at, from the outermost on.
    inner: Vec<Vec<Relation>>,
    names: HashSet<String>,
}

impl ast::Visitor for Hidden<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.inner.push(self.rows.of_body(&query.body));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.inner.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [first, _] = parts.as_slice()
        {
            let name = ddl::fold(first);
            let mut inner = self.inner.iter().skip(1).flatten();
            let is_meant = !inner.clone().any(|(relation, _)| *relation == name);
            if is_meant && inner.any(|(_, columns)| columns.iter().flatten().any(|c| *c == name)) {
                self.names.insert(name);
            }
        }
        ControlFlow::Continue(())
    }
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
