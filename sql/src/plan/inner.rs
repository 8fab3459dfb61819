//! Columns that a query names. DataFusion looks for a column that is ambiguous in a subquery, or that its relation does
//! not have, in the queries around, for one in HAVING or an expression of ORDER BY among the result's, too, and does not look at
//! the schema before a relation's name; PostgreSQL refuses these.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    self, Expr, JoinConstraint, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins,
};
use tidelog_storage::Catalog;

use super::relations::{Relation, Relations, constraint, factors, merges};
use super::sort_names::is_column;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::Walk;

/// 42702 for names that could mean several columns of a subquery, 42703 for columns that its relation does not have and for
/// names of the result in HAVING and inside expressions of ORDER BY, 42P01 for relations of other schemas than those in FROM.
pub(super) fn check(
    query: &Query,
    catalog: &Catalog,
    search_path: &[String],
) -> Result<(), SqlError> {
    let mut inner = Inner {
        known: Relations::new(catalog, search_path),
        search_path,
        around: Vec::new(),
        is_select: Vec::new(),
        places: HashMap::new(),
    };
    match query.walk(&mut inner) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Inner<'a> {
    known: Relations<'a>,
    search_path: &'a [String],
    /// The SELECTs that are being looked at, from the outermost on.
    around: Vec<Scope>,
    /// Whether each of the queries that are being looked at is one SELECT, which its ORDER BY sees.
    is_select: Vec<bool>,
    /// What is to be known of expressions, by their places in memory.
    places: HashMap<*const Expr, Place>,
}

enum Place {
    /// The condition of a join, which sees these relations.
    Condition(Range<usize>),
    /// A name alone in ORDER BY, which may be one of the result.
    ResultName,
    /// An expression that sees no names of the result, for which DataFusion looks there, too.
    OfColumns,
}

/// What the expressions of a SELECT see.
struct Scope {
    /// All relations of FROM; `None` for those without a name.
    relations: Vec<Option<Relation>>,
    /// Those that are seen here: in the condition of a join what it joins, otherwise all.
    seen: Vec<Range<usize>>,
    /// The names that the result gives to its columns.
    given: HashSet<String>,
    /// Whether an expression that does not see them is being looked at.
    of_columns: bool,
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
        let is_select = matches!(*query.body, SetExpr::Select(_));
        self.is_select.push(is_select);
        if let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|by| &by.kind) {
            for key in keys.iter().filter(|_| is_select) {
                let (expr, place) = match plain(&key.expr) {
                    name @ Expr::Identifier(_) => (name, Place::ResultName),
                    _ => (&key.expr, Place::OfColumns),
                };
                self.places.insert(std::ptr::from_ref(expr), place);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        if self.is_select.pop() == Some(true) {
            self.around.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        let mut relations = Vec::new();
        for from in &select.from {
            self.join(from, &mut relations);
        }
        if let Some(having) = &select.having {
            self.places
                .insert(std::ptr::from_ref(having), Place::OfColumns);
        }
        let given = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = ddl::fold(alias);
                (!is_column(expr, &name)).then_some(name)
            }
            _ => None,
        });
        self.around.push(Scope {
            relations,
            seen: Vec::new(),
            given: given.collect(),
            of_columns: false,
        });
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<SqlError> {
        if self.is_select.last() != Some(&true) {
            self.around.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Some(place) = self.places.get(&std::ptr::from_ref(expr))
            && let Some(scope) = self.around.last_mut()
        {
            match place {
                Place::Condition(seen) => scope.seen.push(seen.clone()),
                Place::OfColumns => scope.of_columns = true,
                Place::ResultName => return ControlFlow::Continue(()),
            }
        }
        let checked = match expr {
            Expr::Identifier(name) => self
                .unqualified(&ddl::fold(name))
                .map_err(|error| error.at(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [relation, column] => self.qualified(&ddl::fold(relation), &ddl::fold(column)),
                [.., schema, relation, _] => {
                    self.in_schema(&ddl::fold(schema), &ddl::fold(relation))
                }
                _ => Ok(()),
            }
            .map_err(|error| error.at(&parts[0])),
            _ => Ok(()),
        };
        checked.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Some(place) = self.places.remove(&std::ptr::from_ref(expr))
            && let Some(scope) = self.around.last_mut()
        {
            match place {
                Place::Condition(_) => drop(scope.seen.pop()),
                Place::OfColumns => scope.of_columns = false,
                Place::ResultName => {}
            }
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
                let place = Place::Condition(seen);
                self.places.insert(std::ptr::from_ref(condition), place);
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

    fn unqualified(&self, name: &str) -> Result<(), SqlError> {
        for (depth, scope) in self.around.iter().enumerate().rev() {
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
            // Around the outermost query there is nothing, so DataFusion finds it ambiguous, too.
            if has > 1 && depth > 0 {
                let message = format!("column reference \"{name}\" is ambiguous");
                return Err(SqlError::new(ErrorKind::AmbiguousColumn, message));
            }
            if has > 0 || !is_known {
                return Ok(());
            }
        }
        let is_given = |scope: &Scope| scope.of_columns && scope.given.contains(name);
        if self.around.iter().any(is_given) {
            let message = format!("column \"{name}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
        }
        Ok(())
    }

    /// A relation is known by the schema that it is in, not by another one's name.
    fn in_schema(&self, schema: &str, name: &str) -> Result<(), SqlError> {
        let schema = ddl::temp::resolved(self.search_path, schema);
        let relations = self.around.iter().flat_map(Scope::relations).flatten();
        // Of those that stand in for rows of RETURNING the columns are not known, nor is their schema.
        let is_named = |of: &&Relation| of.name == name && of.columns.is_some();
        let mut named = relations.filter(is_named).peekable();
        if named.peek().is_none() || named.any(|relation| relation.schema.as_deref() == schema) {
            return Ok(());
        }
        let message = format!("invalid reference to FROM-clause entry for table \"{name}\"");
        let hint = format!(
            "There is an entry for table \"{name}\", but it cannot be referenced from this part of the query."
        );
        Err(SqlError::new(ErrorKind::UndefinedTable, message).hint(hint))
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

/// An expression without the brackets around it.
fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => plain(inner),
        expr => expr,
    }
}
