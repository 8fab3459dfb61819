//! DECLARE, FETCH, MOVE and CLOSE.

use std::sync::Arc;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect;
use super::subscribe::{option_of, parse_option};
use super::{AsOf, Body, Parsed, expect_end, parse_one, syntax_error};
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::settings;
use crate::subscribe::literal_options;

/// A statement about cursors.
#[derive(Clone, Debug)]
pub(crate) enum CursorCommand {
    Declare(Declare),
    Fetch(Fetch),
    /// CLOSE of one cursor, or of all.
    Close(Option<String>),
}

/// `DECLARE name [[NO] SCROLL] CURSOR [WITH HOLD] FOR …`.
#[derive(Clone, Debug)]
pub(crate) struct Declare {
    pub(crate) name: String,
    pub(crate) scroll: bool,
    pub(crate) hold: bool,
    /// A query or a SUBSCRIBE.
    pub(crate) statement: Box<Parsed>,
    /// The statement as it was written.
    pub(crate) text: String,
}

/// FETCH, or MOVE, which gives no rows.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) moves: bool,
    /// How long to wait for the first row of a subscription; `None` is without end.
    pub(crate) timeout: Option<Duration>,
}

/// Which rows; `None` is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward(Option<u64>),
    Backward(Option<u64>),
    /// The row with this number from 1, or from the end.
    Absolute(i64),
    Relative(i64),
}

fn keyword(parser: &mut Parser<'_>, words: &[&str]) -> Option<String> {
    match parser.peek_token().token {
        Token::Word(word) if word.quote_style.is_none() => {
            let upper = word.value.to_ascii_uppercase();
            words.contains(&upper.as_str()).then(|| {
                parser.next_token();
                upper
            })
        }
        _ => None,
    }
}

pub(super) fn parse_declare(
    sql: &Arc<str>,
    tokens: Vec<TokenWithSpan>,
    as_of: Option<AsOf>,
) -> Result<CursorCommand, SqlError> {
    let mut parser = dialect::parser(tokens.clone());
    let head = (|| {
        parser.next_token();
        let name = ddl::fold(&parser.parse_identifier()?);
        let (mut scroll, mut binary) = (false, false);
        while let Some(word) = keyword(
            &mut parser,
            &["BINARY", "INSENSITIVE", "ASENSITIVE", "NO", "SCROLL"],
        ) {
            match word.as_str() {
                "BINARY" => binary = true,
                "NO" if keyword(&mut parser, &["SCROLL"]).is_none() => {
                    let next = parser.peek_token();
                    return parser.expected("SCROLL", next);
                }
                "SCROLL" => scroll = true,
                _ => {}
            }
        }
        parser.expect_keyword(Keyword::CURSOR)?;
        let hold = match keyword(&mut parser, &["WITH", "WITHOUT"]) {
            Some(word) => {
                parser.expect_keyword(Keyword::HOLD)?;
                word == "WITH"
            }
            None => false,
        };
        parser.expect_keyword(Keyword::FOR)?;
        // Where the cursor's own statement begins.
        let next = parser.peek_token();
        Ok((name, scroll, binary, hold, next))
    })();
    let (name, scroll, binary, hold, next) = head.map_err(|error| syntax_error(sql, error))?;
    if binary {
        return Err(SqlError::unsupported("a BINARY cursor"));
    }
    let begin = tokens
        .iter()
        .position(|token| token.span.start == next.span.start);
    let rest = begin.map_or(Vec::new(), |begin| tokens[begin..].to_vec());
    let nothing = rest.iter().all(|token| token.token == Token::EOF);
    if nothing {
        let message = "syntax error at end of input";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let mut statement = parse_one(sql, rest, "")?;
    statement.as_of = as_of;
    let can_be = match &statement.body {
        Body::Subscribe(_, copy) => copy.is_none(),
        Body::Sql(statement, _) => matches!(**statement, Statement::Query(_)),
        _ => false,
    };
    if !can_be {
        let error: ParserError = match parser.expected::<()>("a query", next) {
            Err(error) => error,
            Ok(()) => ParserError::ParserError("a query was expected".to_string()),
        };
        return Err(syntax_error(sql, error));
    }
    Ok(CursorCommand::Declare(Declare {
        name,
        scroll,
        hold,
        statement: Box::new(statement),
        text: sql.trim().trim_end_matches(';').to_string(),
    }))
}

pub(super) fn parse_fetch(
    sql: &str,
    tokens: Vec<TokenWithSpan>,
) -> Result<CursorCommand, SqlError> {
    let mut parser = dialect::parser(tokens);
    let parts = (|| {
        let moves = keyword(&mut parser, &["MOVE"]).is_some();
        if !moves {
            parser.next_token();
        }
        let direction = parse_direction(&mut parser)?;
        let _ = keyword(&mut parser, &["FROM", "IN"]);
        let name = ddl::fold(&parser.parse_identifier()?);
        let mut options = Vec::new();
        if parser.parse_keyword(Keyword::WITH) {
            parser.expect_token(&Token::LParen)?;
            options = parser.parse_comma_separated(parse_option)?;
            parser.expect_token(&Token::RParen)?;
        }
        expect_end(&parser)?;
        Ok((moves, direction, name, options))
    })();
    let (moves, direction, name, options) = parts.map_err(|error| syntax_error(sql, error))?;
    let options: Vec<_> = options
        .into_iter()
        .map(option_of)
        .collect::<Result<_, _>>()?;
    let mut timeout = None;
    for (option, value) in literal_options(&options)? {
        if option != "timeout" {
            let message = format!("unrecognized FETCH option \"{option}\"");
            return Err(
                SqlError::new(ErrorKind::InvalidParameterValue, message).hint("There is timeout.")
            );
        }
        let Some(value) = value else { continue };
        timeout = Some(settings::time(value).ok_or_else(|| {
            let message = format!("invalid value for FETCH option \"timeout\": \"{value}\"");
            SqlError::new(ErrorKind::InvalidParameterValue, message)
                .hint("It is a time such as '1s' or '500ms'; '0' is what is ready.")
        })?);
    }
    Ok(CursorCommand::Fetch(Fetch {
        name,
        direction,
        moves,
        timeout,
    }))
}

fn parse_direction(parser: &mut Parser<'_>) -> Result<Direction, ParserError> {
    // A direction is followed by the cursor's name; a word alone is that name.
    if matches!(parser.peek_nth_token(1).token, Token::EOF) {
        return Ok(Direction::Forward(Some(1)));
    }
    if let Some(number) = number(parser)? {
        return Ok(counted(number));
    }
    let words = [
        "NEXT", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "ALL", "FORWARD", "BACKWARD",
    ];
    let Some(word) = keyword(parser, &words) else {
        return Ok(Direction::Forward(Some(1)));
    };
    let mut wanted = || match number(parser)? {
        Some(number) => Ok(number),
        None => {
            let next = parser.peek_token();
            parser.expected("a number", next)
        }
    };
    Ok(match word.as_str() {
        "PRIOR" => Direction::Backward(Some(1)),
        "FIRST" => Direction::Absolute(1),
        "LAST" => Direction::Absolute(-1),
        "ABSOLUTE" => Direction::Absolute(wanted()?),
        "RELATIVE" => Direction::Relative(wanted()?),
        "ALL" => Direction::Forward(None),
        "FORWARD" | "BACKWARD" => {
            let forward = word == "FORWARD";
            if keyword(parser, &["ALL"]).is_some() {
                match forward {
                    true => Direction::Forward(None),
                    false => Direction::Backward(None),
                }
            } else {
                let number = number(parser)?.unwrap_or(1);
                counted(if forward {
                    number
                } else {
                    number.saturating_neg()
                })
            }
        }
        _ => Direction::Forward(Some(1)),
    })
}

/// So many rows forward, or backward if the number is negative.
fn counted(number: i64) -> Direction {
    match number {
        0 => Direction::Relative(0),
        1.. => Direction::Forward(Some(number.unsigned_abs())),
        _ => Direction::Backward(Some(number.unsigned_abs())),
    }
}

fn number(parser: &mut Parser<'_>) -> Result<Option<i64>, ParserError> {
    let negative = match parser.peek_token().token {
        Token::Number(..) => false,
        Token::Minus => {
            parser.next_token();
            true
        }
        Token::Plus => {
            parser.next_token();
            false
        }
        _ => return Ok(None),
    };
    let token = parser.next_token();
    let digits = match &token.token {
        Token::Number(digits, _) => digits.parse::<i64>().ok(),
        _ => None,
    };
    match digits {
        Some(number) => Ok(Some(if negative { -number } else { number })),
        None => parser.expected("a number", token),
    }
}

pub(super) fn parse_close(
    sql: &str,
    tokens: Vec<TokenWithSpan>,
) -> Result<CursorCommand, SqlError> {
    let mut parser = dialect::parser(tokens);
    let name = (|| {
        parser.next_token();
        let name = match keyword(&mut parser, &["ALL"]) {
            Some(_) => None,
            None => Some(ddl::fold(&parser.parse_identifier()?)),
        };
        expect_end(&parser)?;
        Ok(name)
    })();
    name.map(CursorCommand::Close)
        .map_err(|error| syntax_error(sql, error))
}
