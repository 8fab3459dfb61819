//! What sqlparser takes from other databases' grammars and PostgreSQL's does not have, where it would mean something else than
//! was meant: joins that lack their ON or USING (cross joins to it), semi-joins, INSERT without INTO.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Delete, Insert, JoinConstraint, JoinOperator, Select, Spanned, Statement, TableFactor,
    TableWithJoins, Update, UpdateTableFromKind, Visitor,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::walk::Walk;

/// Where it goes wrong.
enum Wrong {
    /// At what follows this place.
    Behind(Location),
    /// At this word.
    Word(&'static str),
    /// At what follows this word.
    BehindWord(&'static str),
}

/// 42601 for such.
pub(super) fn refuse(statement: &Statement, parser: Parser<'_>) -> Result<(), ParserError> {
    let found = match statement {
        Statement::Insert(insert) => inserts(insert),
        Statement::Update(Update {
            from: Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)),
            ..
        }) => from.iter().try_for_each(joins),
        Statement::Delete(Delete {
            using: Some(using), ..
        }) => using.iter().try_for_each(joins),
        _ => ControlFlow::Continue(()),
    };
    let found = match found {
        ControlFlow::Continue(()) => statement.walk(&mut Joins),
        found => found,
    };
    let ControlFlow::Break(wrong) = found else {
        return Ok(());
    };
    let tokens = parser.into_tokens().into_iter();
    let mut tokens = tokens.filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let is = |token: &TokenWithSpan, name: &str| {
        matches!(&token.token, Token::Word(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
    };
    let token = match wrong {
        Wrong::Behind(end) => tokens.find(|token| token.span.start >= end),
        Wrong::Word(name) => tokens.find(|token| is(token, name)),
        Wrong::BehindWord(name) => tokens.find(|token| is(token, name)).and(tokens.next()),
    };
    let found = match token {
        Some(token) if token.token != Token::EOF => {
            let Location { line, column, .. } = token.span.start;
            format!("{} at Line: {line}, Column: {column}", token.token)
        }
        _ => "EOF".to_string(),
    };
    Err(ParserError::ParserError(format!(
        "Expected: what PostgreSQL has, found: {found}"
    )))
}

fn inserts(insert: &Insert) -> ControlFlow<Wrong> {
    match insert.into && insert.or.is_none() && !insert.overwrite && !insert.ignore {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(Wrong::BehindWord("INSERT")),
    }
}

struct Joins;

impl Visitor for Joins {
    type Break = Wrong;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Wrong> {
        select.from.iter().try_for_each(joins)
    }
}

fn joins(from: &TableWithJoins) -> ControlFlow<Wrong> {
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => joins(table_with_joins),
        _ => ControlFlow::Continue(()),
    };
    nested(&from.relation)?;
    for join in &from.joins {
        nested(&join.relation)?;
        match &join.join_operator {
            JoinOperator::Join(JoinConstraint::None)
            | JoinOperator::Inner(JoinConstraint::None)
            | JoinOperator::Left(JoinConstraint::None)
            | JoinOperator::LeftOuter(JoinConstraint::None)
            | JoinOperator::Right(JoinConstraint::None)
            | JoinOperator::RightOuter(JoinConstraint::None)
            | JoinOperator::FullOuter(JoinConstraint::None) => {
                ControlFlow::Break(Wrong::Behind(join.relation.span().end))
            }
            JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::RightSemi(_) => {
                ControlFlow::Break(Wrong::Word("SEMI"))
            }
            JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => {
                ControlFlow::Break(Wrong::Word("ANTI"))
            }
            _ => ControlFlow::Continue(()),
        }?;
    }
    ControlFlow::Continue(())
}
