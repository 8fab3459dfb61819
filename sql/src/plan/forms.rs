//! Forms that DataFusion takes and reads otherwise than PostgreSQL, refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor, VisitMut};

use crate::error::SqlError;

/// 0A000 for what would give a wrong answer.
pub(super) fn follow_postgres(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.visit(&mut Forms) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Forms;

impl ast::VisitorMut for Forms {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => match merging(&table_with_joins.joins) {
                Some((kind, _)) => ControlFlow::Break(SqlError::unsupported(kind)),
                None => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The first RIGHT or FULL join that merges columns, whose merged column is not the left one: what it is called and its
/// columns, of which NATURAL tells none.
pub(super) fn merging(joins: &[ast::Join]) -> Option<(&'static str, &[ast::ObjectName])> {
    joins.iter().find_map(|join| {
        let (full, constraint) = match &join.join_operator {
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (false, constraint)
            }
            JoinOperator::FullOuter(constraint) => (true, constraint),
            _ => return None,
        };
        let names: &[ast::ObjectName] = match constraint {
            JoinConstraint::Using(names) => names,
            JoinConstraint::Natural => &[],
            _ => return None,
        };
        let kind = match (names.is_empty(), full) {
            (false, false) => "RIGHT JOIN … USING",
            (false, true) => "FULL JOIN … USING",
            (true, false) => "NATURAL RIGHT JOIN",
            (true, true) => "NATURAL FULL JOIN",
        };
        Some((kind, names))
    })
}
