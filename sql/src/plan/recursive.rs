//! What WITH RECURSIVE may not say of itself, after checkWellFormedRecursion in PostgreSQL's parse_cte.c: DataFusion would run
//! it, and some of it never ends.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, JoinOperator, ObjectName, Query, Select, SetExpr, SetOperator, TableFactor,
    TableWithJoins,
};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::{Walk, WalkMut};

/// Puts the queries of each WITH RECURSIVE behind those that they name: they may be written in any order. 0A000 for some that
/// name each other.
pub(super) fn order(query: &mut Query) -> Result<(), SqlError> {
    match query.walk_mut(&mut Order) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Order;

impl ast::VisitorMut for Order {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let Some(with) = query.with.as_mut().filter(|with| with.recursive) else {
            return ControlFlow::Continue(());
        };
        let mut left = std::mem::take(&mut with.cte_tables);
        while !left.is_empty() {
            let names_another = |cte: &ast::Cte| {
                let mut others = left.iter().map(|other| ddl::fold(&other.alias.name));
                let own = ddl::fold(&cte.alias.name);
                others.any(|other| {
                    let is_other = |name: &ObjectName| is_name(name, &other);
                    other != own && cte.query.has_relation(is_other)
                })
            };
            let Some(next) = left.iter().position(|cte| !names_another(cte)) else {
                let message = "mutual recursion between WITH items is not implemented";
                let error = SqlError::new(ErrorKind::FeatureNotSupported, message);
                return ControlFlow::Break(error);
            };
            with.cte_tables.push(left.remove(next));
        }
        ControlFlow::Continue(())
    }
}

/// Whether a relation's name is this one alone.
fn is_name(name: &ObjectName, wanted: &str) -> bool {
    match name.0.as_slice() {
        [only] => only
            .as_ident()
            .is_some_and(|name| ddl::fold(name) == wanted),
        _ => false,
    }
}

/// 42P19 and 0A000 for recursive queries that PostgreSQL refuses.
pub(super) fn check(query: &Query, is_aggregate: &dyn Fn(&str) -> bool) -> Result<(), SqlError> {
    match query.walk(&mut Queries { is_aggregate }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Queries<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl ast::Visitor for Queries<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        let with = query.with.iter().filter(|with| with.recursive);
        for cte in with.flat_map(|with| &with.cte_tables) {
            let recursion = Recursion {
                name: ddl::fold(&cte.alias.name),
                is_aggregate: self.is_aggregate,
            };
            if let Err(error) = recursion.check(&cte.query) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }
}

/// A query that may name itself.
struct Recursion<'a> {
    name: String,
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl Recursion<'_> {
    fn check(&self, query: &Query) -> Result<(), SqlError> {
        let SetExpr::SetOperation {
            op: SetOperator::Union,
            left,
            right,
            ..
        } = &*query.body
        else {
            if !self.is_in(query) {
                return Ok(());
            }
            let message = format!(
                "recursive query \"{}\" does not have the form non-recursive-term UNION [ALL] recursive-term",
                self.name
            );
            return Err(SqlError::new(ErrorKind::InvalidRecursion, message));
        };
        if self.is_in(left.as_ref()) {
            return Err(self.refused("its non-recursive term"));
        }
        if !self.is_in(right.as_ref()) {
            return Ok(());
        }
        let missing = |what: &str| {
            let message = format!("{what} in a recursive query is not implemented");
            Err(SqlError::new(ErrorKind::FeatureNotSupported, message))
        };
        if query.order_by.is_some() {
            return missing("ORDER BY");
        }
        match &query.limit_clause {
            Some(ast::LimitClause::LimitOffset {
                offset: Some(_), ..
            }) => return missing("OFFSET"),
            Some(_) => return missing("LIMIT"),
            None => {}
        }
        self.check_term(right)
    }

    fn check_term(&self, term: &SetExpr) -> Result<(), SqlError> {
        match term {
            SetExpr::Select(select) => self.check_select(select),
            SetExpr::Query(query) => self.check_term(&query.body),
            SetExpr::SetOperation {
                left, right, op, ..
            } => {
                if *op == SetOperator::Except && self.is_in(right.as_ref()) {
                    return Err(self.refused("EXCEPT"));
                }
                self.check_term(left)?;
                self.check_term(right)
            }
            _ => Ok(()),
        }
    }

    fn check_select(&self, select: &Select) -> Result<(), SqlError> {
        if !self.is_in(select) {
            return Ok(());
        }
        for from in &select.from {
            self.check_joins(from)?;
        }
        let mut finder = Inside {
            recursion: self,
            of_itself: (select.from.iter()).any(|from| self.is_named_by(from)),
            depth: 0,
            from: 0,
        };
        match select.walk(&mut finder) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Whether a FROM names it outside of subqueries.
    fn is_named_by(&self, from: &TableWithJoins) -> bool {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation)
            .chain(joined)
            .any(|factor| match factor {
                TableFactor::Table { name, .. } => self.is_name(name),
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => self.is_named_by(table_with_joins),
                _ => false,
            })
    }

    fn check_joins(&self, from: &TableWithJoins) -> Result<(), SqlError> {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = &from.relation
        {
            self.check_joins(table_with_joins)?;
        }
        let mut left = self.is_in(&from.relation);
        for join in &from.joins {
            let right = self.is_in(&join.relation);
            let missing = match &join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => right,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => left,
                JoinOperator::FullOuter(_) => left || right,
                _ => false,
            };
            if missing {
                return Err(self.refused("an outer join"));
            }
            left |= right;
        }
        Ok(())
    }

    fn is_in(&self, part: &impl Walk) -> bool {
        part.has_relation(|name| self.is_name(name))
    }

    fn is_name(&self, name: &ObjectName) -> bool {
        is_name(name, &self.name)
    }

    fn refused(&self, place: &str) -> SqlError {
        let message = format!(
            "recursive reference to query \"{}\" must not appear within {place}",
            self.name
        );
        SqlError::new(ErrorKind::InvalidRecursion, message)
    }
}

/// Looks at the expressions of a select of the recursive term.
struct Inside<'a> {
    recursion: &'a Recursion<'a>,
    /// Whether its FROM names the query.
    of_itself: bool,
    /// How many queries are around.
    depth: usize,
    /// How many relations of FROM are around.
    from: usize,
}

impl ast::Visitor for Inside<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<SqlError> {
        self.from += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<SqlError> {
        self.from -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if self.from > 0 || self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let subquery = match expr {
            Expr::Subquery(query)
            | Expr::Exists {
                subquery: query, ..
            } => Some(query),
            Expr::InSubquery { subquery, .. } => Some(subquery),
            _ => None,
        };
        if subquery.is_some_and(|query| self.recursion.is_in(query.as_ref())) {
            return ControlFlow::Break(self.recursion.refused("a subquery"));
        }
        let is_aggregate = |name: &ObjectName| {
            let name = name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|name| (self.recursion.is_aggregate)(&ddl::fold(name)))
        };
        if let Expr::Function(call) = expr
            && self.of_itself
            && call.over.is_none()
            && is_aggregate(&call.name)
        {
            let message =
                "aggregate functions are not allowed in a recursive query's recursive term";
            let error = SqlError::new(ErrorKind::InvalidRecursion, message);
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}
