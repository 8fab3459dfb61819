//! What sqlparser takes from other databases' grammars and PostgreSQL's does not have, where it would mean something else than
//! was meant: joins that lack their ON or USING (cross joins to it), semi-joins, INSERT without INTO, QUALIFY, and their like.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AlterTableOperation, BinaryOperator, CastKind, CreateTable, DataType, Delete,
    DuplicateTreatment, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Insert, JoinConstraint, JoinOperator, Select, SetExpr, Spanned, Statement,
    TableFactor, TableWithJoins, Update, UpdateTableFromKind, Visitor,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::walk::Walk;
use super::{keywords, line_starts, position, syntax_error};
use crate::error::{ErrorKind, SqlError};

/// Where it goes wrong.
enum Wrong {
    /// At what follows this place.
    Behind(Location),
    /// At this word or sign.
    At(&'static str),
    /// At what follows this word.
    BehindWord(&'static str),
    /// At what follows the name of a table, which ends here, unless it is the list of its columns.
    NoColumns(Location),
    /// A subquery, or VALUES, of FROM at this place has no alias.
    NoAlias(Location, &'static str),
}

/// 42601 for such.
pub(super) fn refuse(sql: &str, statement: &Statement, parser: Parser<'_>) -> Result<(), SqlError> {
    let found = match statement {
        Statement::Insert(insert) => inserts(insert),
        Statement::Update(Update {
            from: Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)),
            ..
        }) => from.iter().try_for_each(joins),
        Statement::Delete(Delete {
            using: Some(using), ..
        }) => using.iter().try_for_each(joins),
        Statement::Update(Update { or: Some(_), .. }) => ControlFlow::Break(Wrong::At("or")),
        Statement::CreateTable(create) => creates(create),
        Statement::Drop { purge: true, .. } => ControlFlow::Break(Wrong::At("purge")),
        Statement::AlterTable(alter) => alters(&alter.operations),
        _ => ControlFlow::Continue(()),
    };
    let found = match found {
        ControlFlow::Continue(()) => statement.walk(&mut Foreign),
        found => found,
    };
    let ControlFlow::Break(wrong) = found else {
        return Ok(());
    };
    let tokens = parser.into_tokens().into_iter();
    let mut tokens = tokens.filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let is = |token: &TokenWithSpan, name: &str| token.token.to_string().eq_ignore_ascii_case(name);
    let token = match wrong {
        Wrong::Behind(end) => tokens.find(|token| token.span.start >= end),
        Wrong::NoColumns(end) => match tokens.find(|token| token.span.start >= end) {
            Some(list) if list.token == Token::LParen => return Ok(()),
            other => other,
        },
        Wrong::At(name) => tokens.find(|token| is(token, name)),
        Wrong::BehindWord(name) => tokens.find(|token| is(token, name)).and(tokens.next()),
        Wrong::NoAlias(begin, what) => {
            let message = format!("{what} in FROM must have an alias");
            let form = match what {
                "VALUES" => "VALUES",
                _ => "SELECT",
            };
            let hint = format!("For example, FROM ({form} ...) [AS] foo.");
            let mut error = SqlError::new(ErrorKind::SyntaxError, message).hint(hint);
            let begins = tokens.take_while(|token| token.span.start < begin);
            let opens = begins.filter(|token| token.token == Token::LParen).last();
            error.position = opens.map(|token| position(&line_starts(sql), &token));
            return Err(error);
        }
    };
    Err(syntax_error(sql, unexpected(token.as_ref())))
}

/// As sqlparser says it.
fn unexpected(token: Option<&TokenWithSpan>) -> ParserError {
    let found = match token {
        Some(token) if token.token != Token::EOF => {
            let Location { line, column, .. } = token.span.start;
            format!("{} at Line: {line}, Column: {column}", token.token)
        }
        _ => "EOF".to_string(),
    };
    ParserError::ParserError(format!("Expected: what PostgreSQL has, found: {found}"))
}

/// Has `==` be an operator as any other that there is not.
pub(super) fn name_operators(tokens: &mut [TokenWithSpan]) {
    for token in tokens {
        if token.token == Token::DoubleEq {
            token.token = Token::CustomBinaryOperator("==".to_string());
        }
    }
}

/// 42601 for `{`, for a list in brackets that is no subscript and not behind ARRAY, and for a number with something right behind
/// it, as in `1a`, `1_000` and `0x1F`: tokens that are as they were written, with their white space.
pub(super) fn check_tokens(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut brackets = Vec::new();
    let mut before: Option<&TokenWithSpan> = None;
    for token in tokens {
        let is_wrong = match (&token.token, before.map(|before| &before.token)) {
            (Token::Whitespace(_), _) => continue,
            (Token::LBrace, _) => true,
            (Token::LBracket, before) => {
                let is_array =
                    matches!(before, Some(Token::Word(word)) if word.keyword == Keyword::ARRAY);
                let subscripts = match before {
                    Some(Token::Word(word)) => {
                        word.quote_style.is_some()
                            || is_array
                            || !keywords::is_reserved(&word.value.to_lowercase())
                    }
                    Some(Token::RParen | Token::RBracket | Token::Placeholder(_)) => true,
                    _ => false,
                };
                let nested = !subscripts && brackets.last() == Some(&true);
                brackets.push(is_array || nested);
                !subscripts && !nested
            }
            (Token::LParen, _) => {
                brackets.push(false);
                false
            }
            (Token::RParen | Token::RBracket, _) => {
                brackets.pop();
                false
            }
            (Token::Word(_) | Token::Number(..), Some(Token::Number(..)))
                if before.is_some_and(|before| before.span.end == token.span.start) =>
            {
                return Err(junk(sql, before.unwrap_or(token), token));
            }
            // `0x1F` is `x'1F'` to sqlparser.
            (Token::HexStringLiteral(_), _) if begins_with_digit(sql, token) => {
                return Err(junk(sql, token, token));
            }
            _ => false,
        };
        if is_wrong {
            return Err(syntax_error(sql, unexpected(Some(token))));
        }
        before = Some(token);
    }
    Ok(())
}

fn begins_with_digit(sql: &str, token: &TokenWithSpan) -> bool {
    let at = position(&line_starts(sql), token);
    let first = sql.chars().nth(at.saturating_sub(1));
    first.is_some_and(|first| first.is_ascii_digit())
}

fn junk(sql: &str, number: &TokenWithSpan, last: &TokenWithSpan) -> SqlError {
    let starts = line_starts(sql);
    let at = position(&starts, number);
    let length = last
        .span
        .end
        .column
        .saturating_sub(number.span.start.column);
    let length = usize::try_from(length).unwrap_or(0);
    let written: String = sql
        .chars()
        .skip(at.saturating_sub(1))
        .take(length)
        .collect();
    let message = format!("trailing junk after numeric literal at or near \"{written}\"");
    let mut error = SqlError::new(ErrorKind::SyntaxError, message);
    error.position = Some(at);
    error
}

fn inserts(insert: &Insert) -> ControlFlow<Wrong> {
    let named = [
        (insert.has_table_keyword, "table"),
        (insert.partitioned.is_some(), "partition"),
    ];
    if let Some((_, word)) = named.iter().find(|(given, _)| *given) {
        return ControlFlow::Break(Wrong::At(word));
    }
    match insert.into && insert.or.is_none() && !insert.overwrite && !insert.ignore {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(Wrong::BehindWord("INSERT")),
    }
}

fn creates(create: &CreateTable) -> ControlFlow<Wrong> {
    let typed = |ty: &DataType| *ty != DataType::Unspecified;
    if create.query.is_some() && create.columns.iter().any(|column| typed(&column.data_type)) {
        return ControlFlow::Break(Wrong::At("as"));
    }
    let has_none = create.columns.is_empty()
        && create.constraints.is_empty()
        && create.query.is_none()
        && create.like.is_none()
        && create.partition_of.is_none();
    if has_none {
        return ControlFlow::Break(Wrong::NoColumns(create.name.span().end));
    }
    ControlFlow::Continue(())
}

/// RENAME stands alone.
fn alters(operations: &[AlterTableOperation]) -> ControlFlow<Wrong> {
    let renames = |operation: &AlterTableOperation| {
        matches!(
            operation,
            AlterTableOperation::RenameTable { .. }
                | AlterTableOperation::RenameColumn { .. }
                | AlterTableOperation::RenameConstraint { .. }
        )
    };
    match operations {
        [] | [_] => ControlFlow::Continue(()),
        [first, ..] if renames(first) => ControlFlow::Break(Wrong::At(",")),
        all if all.iter().any(renames) => ControlFlow::Break(Wrong::At("rename")),
        _ => ControlFlow::Continue(()),
    }
}

struct Foreign;

impl Visitor for Foreign {
    type Break = Wrong;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Wrong> {
        let words = [
            (select.qualify.is_some(), "qualify"),
            (!select.sort_by.is_empty(), "sort"),
            (!select.cluster_by.is_empty(), "cluster"),
            (!select.distribute_by.is_empty(), "distribute"),
        ];
        if let Some((_, word)) = words.iter().find(|(given, _)| *given) {
            return ControlFlow::Break(Wrong::At(word));
        }
        select.from.iter().try_for_each(joins)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Wrong> {
        match factor {
            TableFactor::Derived {
                subquery,
                alias: None,
                ..
            } => {
                let what = match &*subquery.body {
                    SetExpr::Values(_) => "VALUES",
                    _ => "subquery",
                };
                ControlFlow::Break(Wrong::NoAlias(subquery.span().start, what))
            }
            TableFactor::Table {
                sample: Some(_), ..
            } => ControlFlow::Break(Wrong::At("sample")),
            TableFactor::Table { with_hints, .. } if !with_hints.is_empty() => {
                ControlFlow::Break(Wrong::At("with"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Wrong> {
        let wrong = match expr {
            Expr::Cast {
                kind: CastKind::TryCast | CastKind::SafeCast,
                ..
            } => Wrong::At("as"),
            Expr::Interval(interval) if !matches!(*interval.value, Expr::Value(ref value) if value.value.clone().into_string().is_some()) => {
                Wrong::BehindWord("interval")
            }
            // Comparisons are not associative.
            Expr::BinaryOp { left, op, right } if compares(op) => {
                let is_one =
                    |expr: &Expr| matches!(expr, Expr::BinaryOp { op, .. } if compares(op));
                match is_one(left) || is_one(right) {
                    true => Wrong::Behind(left.span().end),
                    false => return ControlFlow::Continue(()),
                }
            }
            Expr::Function(call) => {
                let FunctionArguments::List(list) = &call.args else {
                    return ControlFlow::Continue(());
                };
                let of_nulls = |clause: &FunctionArgumentClause| {
                    matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_))
                };
                let is_all =
                    |arg: &FunctionArg| *arg == FunctionArg::Unnamed(FunctionArgExpr::Wildcard);
                let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                if call.null_treatment.is_some() || list.clauses.iter().any(of_nulls) {
                    Wrong::At("nulls")
                } else if is_distinct && list.args.iter().any(is_all) {
                    Wrong::At("*")
                } else {
                    return ControlFlow::Continue(());
                }
            }
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(wrong)
    }
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
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
                ControlFlow::Break(Wrong::At("SEMI"))
            }
            JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => {
                ControlFlow::Break(Wrong::At("ANTI"))
            }
            JoinOperator::CrossApply | JoinOperator::OuterApply => {
                ControlFlow::Break(Wrong::At("APPLY"))
            }
            _ => ControlFlow::Continue(()),
        }?;
    }
    ControlFlow::Continue(())
}
