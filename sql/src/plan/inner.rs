//! Columns that a subquery names. DataFusion looks for a column that is ambiguous in a subquery, or that its relation does
//! not have, in the queries around; PostgreSQL refuses it.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    self, Expr, JoinConstraint, Query, Select, TableFactor, TableWithJoins,
};
use tidelog_storage::Catalog;

use super::relations::{Relation, Relations, constraint, factors, merges};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::Walk;

/// 42702 for names that could mean several columns of a subquery, 42703 for columns that its relation does not have.
pub(super) fn check(
    query: &Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<(), SqlError> {
    let mut inner = Inner {
        known: Relations::new(catalog, search_path),
        around: Vec::new(),
        conditions: HashMap::new(),
    };
    match query.walk(&mut inner) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Inner<'a> {
    known: Relations<'a>,
    /// The SELECTs that are being looked at, from the outermost on.
    around: Vec<Scope>,
    /// Which relations the conditions of joins see, by the places of the conditions in memory.
    conditions: HashMap<*const Expr, Range<usize>>,
}

/// What the expressions of a SELECT see.
struct Scope {
    /// All relations of FROM; `None` for those without a name.
    relations: Vec<Option<Relation>>,
    /// Those that are seen here: in the condition of a join what it joins, otherwise all.
    seen: Vec<Range<usize>>,
}

impl Scope {
    fn relations(&self) -> &[Option<Relation>] {
        match self.seen.last() {
            Some(seen) => &self.relations[seen.clone()],
            None => &self.relations,
        }
    }
}

impl ast::Visitor for Inner<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        self.known.know_all(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        let mut relations = Vec::new();
        for from in &select.from {
            self.join(from, &mut relations);
        }
        self.around.push(Scope {
            relations,
            seen: Vec::new(),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<SqlError> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Some(seen) = self.conditions.get(&std::ptr::from_ref(expr))
            && let Some(scope) = self.around.last_mut()
        {
            scope.seen.push(seen.clone());
        }
        let checked = match expr {
            Expr::Identifier(name) => self.unqualified(&ddl::fold(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [relation, column] => self.qualified(&ddl::fold(relation), &ddl::fold(column)),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
        checked.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if self.conditions.remove(&std::ptr::from_ref(expr)).is_some()
            && let Some(scope) = self.around.last_mut()
        {
            scope.seen.pop();
        }
        ControlFlow::Continue(())
    }
}

impl Inner<'_> {
    /// Adds the relations of a FROM item, and notes what the conditions in it see.
    fn join(&mut self, from: &TableWithJoins, relations: &mut Vec<Option<Relation>>) {
        if merges(from) {
            // What USING left in place is of several relations, and means one column.
            relations.extend(factors(from).iter().map(|_| None));
            return;
        }
        let start = relations.len();
        self.factor(&from.relation, relations);
        for join in &from.joins {
            self.factor(&join.relation, relations);
            if let Some(JoinConstraint::On(condition)) = constraint(&join.join_operator) {
                let seen = start..relations.len();
                self.conditions.insert(std::ptr::from_ref(condition), seen);
            }
        }
    }

    fn factor(&mut self, factor: &TableFactor, relations: &mut Vec<Option<Relation>>) {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.join(table_with_joins, relations),
            factor => relations.push(self.known.relation(factor)),
        }
    }

    /// The outermost query is DataFusion's to check: there is nothing around it.
    fn unqualified(&self, name: &str) -> Result<(), SqlError> {
        for scope in self.around.iter().skip(1).rev() {
            let (mut has, mut is_known) = (0, true);
            for relation in scope.relations() {
                match relation
                    .as_ref()
                    .and_then(|relation| relation.columns.as_ref())
                {
                    Some(columns) => has += columns.iter().filter(|column| *column == name).count(),
                    None => is_known = false,
                }
            }
            if has > 1 {
                let message = format!("column reference \"{name}\" is ambiguous");
                return Err(SqlError::new(ErrorKind::AmbiguousColumn, message));
            }
            if has == 1 || !is_known {
                return Ok(());
            }
        }
        Ok(())
    }

    fn qualified(&self, name: &str, column: &str) -> Result<(), SqlError> {
        let has_name = |relation: &&Option<Relation>| {
            relation
                .as_ref()
                .is_some_and(|relation| relation.name == name)
        };
        let mut scopes = self.around.iter().rev();
        let Some(Some(inner)) = scopes.find_map(|scope| scope.relations().iter().find(has_name))
        else {
            return Ok(());
        };
        if inner.columns.is_none() || inner.has(column) {
            return Ok(());
        }
        let mut outer = scopes.flat_map(|scope| scope.relations()).flatten();
        match outer.any(|outer| outer.name == name && outer.has(column)) {
            true => {
                let message = format!("column {name}.{column} does not exist");
                let hint = format!(
                    "There is a column named \"{column}\" in table \"{name}\", but it cannot be referenced from this part of the query."
                );
                Err(SqlError::new(ErrorKind::UndefinedColumn, message).hint(hint))
            }
            false => Ok(()),
        }
    }
}
