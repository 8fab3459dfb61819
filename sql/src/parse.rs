//! Query strings into statements: PostgreSQL's grammar by sqlparser, ours (SUBSCRIBE, CREATE USER TABLE) on its tokens.

mod cursor;
mod listen;
mod subscribe;

use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    CopyLegacyOption, CopyOption, Expr, Ident, Query, SelectItem, SetExpr, Statement, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use tidelog_storage::TableKind;

pub(crate) use cursor::{CursorCommand, Declare, Direction, Fetch};
pub(crate) use listen::Listen;
pub(crate) use subscribe::{OptionValue, Subscribe, SubscribeOption};

use crate::error::{ErrorKind, SqlError};
use cursor::{parse_close, parse_declare, parse_fetch};
use listen::parse_listen;
use subscribe::{parse_copy_subscribe, parse_subscribe};

/// A statement as parsed from a query string.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(crate) body: Body,
    /// Whether its locking clause is FOR NO KEY UPDATE or FOR KEY SHARE.
    pub(crate) spares_keys: bool,
    /// The query string, and where in it the statement begins and ends, in characters from 1.
    source: Arc<str>,
    extent: RangeInclusive<usize>,
}

/// A token of the query string, as far as finding names again needs it.
#[derive(Clone, Debug)]
struct Word {
    /// A folded name or a punctuation mark.
    text: String,
    /// Where it begins in the query string, in characters from 1.
    position: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A statement of PostgreSQL's grammar; the kind is that of CREATE USER|SHARED|STREAM TABLE.
    Sql(Box<Statement>, Option<TableKind>),
    /// SUBSCRIBE, bare or in COPY (…) TO STDOUT with its options.
    Subscribe(
        Box<Subscribe>,
        Option<(Vec<CopyOption>, Vec<CopyLegacyOption>)>,
    ),
    /// LISTEN.
    Listen(Box<Listen>),
    /// DECLARE, FETCH, MOVE, CLOSE.
    Cursor(Box<CursorCommand>),
}

impl Parsed {
    /// Whether it runs until it is cancelled (SUBSCRIBE).
    pub fn is_endless(&self) -> bool {
        matches!(self.body, Body::Subscribe(..))
    }

    /// Adds where the name stands that the error complains about, if it does and does not know that yet.
    pub(crate) fn locate(&self, error: SqlError) -> SqlError {
        use ErrorKind::{AmbiguousColumn, UndefinedColumn, UndefinedFunction, UndefinedTable};
        let names_it = matches!(
            error.kind,
            UndefinedTable | UndefinedColumn | AmbiguousColumn | UndefinedFunction
        );
        if !names_it || error.position.is_some() {
            return error;
        }
        let name = match error.message.split('"').nth(1) {
            Some(quoted) => quoted,
            // `column t.x does not exist`, `function f(integer) does not exist`
            None => match error.message.split([' ', '(']).nth(1) {
                Some(word) => word,
                None => return error,
            },
        };
        let mut wanted: Vec<&str> = name.split('.').collect();
        for at in (1..wanted.len()).rev() {
            wanted.insert(at, ".");
        }
        let here = |words: &&[Word]| {
            words
                .iter()
                .map(|word| word.text.as_str())
                .eq(wanted.clone())
        };
        let words = words(&self.source, &self.extent);
        let position = words
            .windows(wanted.len())
            .find(here)
            .map(|words| words[0].position);
        SqlError { position, ..error }
    }

    /// Whether a failed transaction block lets it through (COMMIT, ROLLBACK).
    pub fn ends_transaction(&self) -> bool {
        matches!(&self.body, Body::Sql(s, _) if matches!(**s, Statement::Commit { .. } | Statement::Rollback { .. }))
    }
}

/// Splits a query string into statements; an empty string has none.
pub(crate) fn parse(sql: &str) -> Result<Vec<Parsed>, SqlError> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|e| SqlError::new(ErrorKind::SyntaxError, e.message))?;
    let source: Arc<str> = sql.into();
    tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|part| {
            part.iter()
                .any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        })
        .map(|part| parse_one(&dialect, &source, part.to_vec()))
        .collect()
}

fn parse_one(
    dialect: &PostgreSqlDialect,
    sql: &Arc<str>,
    mut tokens: Vec<TokenWithSpan>,
) -> Result<Parsed, SqlError> {
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let starts = line_starts(sql);
    let begin = tokens.first().map_or(1, |token| position(&starts, token));
    let end = tokens
        .last()
        .map_or(begin, |token| position(&starts, token));
    let spares_keys = take_key_locks(&mut tokens);
    let word = |n: usize| match tokens.get(n).map(|t| &t.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let result = match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
        ("SUBSCRIBE", ..) => {
            parse_subscribe(dialect, sql, tokens).map(|s| Body::Subscribe(Box::new(s), None))
        }
        ("DECLARE", ..) => parse_declare(dialect, sql, tokens, spares_keys)
            .map(|command| Body::Cursor(Box::new(command))),
        ("FETCH" | "MOVE", ..) => {
            parse_fetch(dialect, sql, tokens).map(|command| Body::Cursor(Box::new(command)))
        }
        ("CLOSE", ..) => {
            parse_close(dialect, sql, tokens).map(|command| Body::Cursor(Box::new(command)))
        }
        ("LISTEN", ..) => {
            parse_listen(dialect, sql, tokens).map(|listen| Body::Listen(Box::new(listen)))
        }
        ("COPY", ..) if word(2) == "SUBSCRIBE" => parse_copy_subscribe(dialect, sql, tokens),
        ("CREATE", kind @ ("USER" | "SHARED" | "STREAM"), "TABLE") => {
            let kind = match kind {
                "USER" => TableKind::User,
                "SHARED" => TableKind::Shared,
                _ => TableKind::Stream,
            };
            tokens.remove(1);
            parse_statement(dialect, sql, tokens).map(|s| Body::Sql(Box::new(s), Some(kind)))
        }
        // CREATE USER is CREATE ROLE … LOGIN.
        ("CREATE" | "ALTER" | "DROP", "USER", _) => {
            let creates = word(0) == "CREATE";
            if let Token::Word(word) = &mut tokens[1].token {
                *word = match Token::make_keyword("ROLE") {
                    Token::Word(role) => role,
                    _ => unreachable!("a keyword is a word"),
                };
            }
            parse_statement(dialect, sql, tokens).map(|mut statement| {
                if let Statement::CreateRole(role) = &mut statement
                    && creates
                {
                    role.login.get_or_insert(true);
                }
                Body::Sql(Box::new(statement), None)
            })
        }
        _ => parse_statement(dialect, sql, tokens).map(|s| Body::Sql(Box::new(s), None)),
    };
    result.map(|body| Parsed {
        body,
        spares_keys,
        source: sql.clone(),
        extent: begin..=end,
    })
}

/// Makes FOR NO KEY UPDATE and FOR KEY SHARE, which sqlparser does not know, FOR UPDATE and FOR SHARE; says
/// whether there were any. Nowhere else do these words stand together.
fn take_key_locks(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut found = false;
    let mut at = 0;
    while at < tokens.len() {
        if word(&tokens[at]) != Keyword::FOR {
            at += 1;
            continue;
        }
        let next: Vec<Keyword> = tokens[at..].iter().take(4).map(word).collect();
        let extra = match next.as_slice() {
            [Keyword::FOR, Keyword::NO, Keyword::KEY, Keyword::UPDATE] => 2,
            [Keyword::FOR, Keyword::KEY, Keyword::SHARE, ..] => 1,
            _ => 0,
        };
        found |= extra > 0;
        tokens.drain(at + 1..at + 1 + extra);
        at += 1;
    }
    found
}

/// Where a token begins in the query string, in characters from 1.
fn position(starts: &[usize], token: &TokenWithSpan) -> usize {
    let start = token.span.start;
    starts
        .get((start.line as usize).saturating_sub(1))
        .map_or(0, |before| before + start.column as usize)
}

/// The words of one statement of a query string that was parsed before.
fn words(sql: &str, extent: &RangeInclusive<usize>) -> Vec<Word> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .unwrap_or_default();
    let starts = line_starts(sql);
    let word = |token: &TokenWithSpan| {
        let text = match &token.token {
            Token::Whitespace(_) => return None,
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
            Token::Word(word) => word.value.clone(),
            Token::Period => ".".to_string(),
            _ => String::new(),
        };
        let position = position(&starts, token);
        extent
            .contains(&position)
            .then_some(Word { text, position })
    };
    tokens.iter().filter_map(word).collect()
}

/// How many characters stand before each line.
fn line_starts(sql: &str) -> Vec<usize> {
    let mut before = 0;
    let lines = sql.split_inclusive('\n').map(|line| {
        let start = before;
        before += line.chars().count();
        start
    });
    lines.collect()
}

fn parse_statement(
    dialect: &PostgreSqlDialect,
    sql: &str,
    tokens: Vec<TokenWithSpan>,
) -> Result<Statement, SqlError> {
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens);
    parser
        .parse_statement()
        .and_then(|statement| expect_end(&parser).map(|()| statement))
        .map_err(|error| syntax_error(sql, error))
}

fn expect_end(parser: &Parser<'_>) -> Result<(), ParserError> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        Ok(())
    } else {
        parser.expected("end of statement", next)
    }
}

/// sqlparser's errors end in ` at Line: l, Column: c` and name what was found; PostgreSQL says `syntax error at or near`.
fn syntax_error(sql: &str, error: ParserError) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(ErrorKind::StatementTooComplex, "stack depth limit exceeded");
        }
    };
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text.to_string(), place.split_once(", Column: ")),
        None => (message.clone(), None),
    };
    let position = place.and_then(|(line, column)| {
        let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
        Some(line_starts(sql).get(line.checked_sub(1)?)? + column)
    });
    let primary = match text.rsplit_once("found: ") {
        Some((_, "EOF")) => "syntax error at end of input".to_string(),
        Some((_, found)) => format!("syntax error at or near \"{found}\""),
        None => text,
    };
    let mut error = SqlError::new(ErrorKind::SyntaxError, primary);
    error.position = position;
    error
}

/// The value of a string or number literal, or of a bare word, as in `SET x = word`.
pub(crate) fn literal_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text)
            | Value::Number(text, _)
            | Value::EscapedStringLiteral(text) => Some(text.clone()),
            Value::Boolean(value) => Some(value.to_string()),
            _ => None,
        },
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::UnaryOp { expr, op } => Some(format!("{op}{}", literal_text(expr)?)),
        _ => None,
    }
}

/// An identifier that is taken as it is.
pub(crate) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A name as it is written in a statement: quoted where it must be.
pub(crate) fn identifier(name: &str) -> String {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit());
    if plain {
        name.to_string()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// `expr` as a select item.
pub(crate) fn item(expr: Expr) -> SelectItem {
    SelectItem::UnnamedExpr(expr)
}

pub(crate) fn parse_query(sql: &str) -> Result<Query, SqlError> {
    match parse(sql)?.into_iter().next().map(|parsed| parsed.body) {
        Some(Body::Sql(statement, _)) => match *statement {
            Statement::Query(query) => Ok(*query),
            _ => Err(SqlError::new(
                ErrorKind::SyntaxError,
                "a query was expected",
            )),
        },
        _ => Err(SqlError::new(
            ErrorKind::SyntaxError,
            "a query was expected",
        )),
    }
}

/// An expression from its SQL text.
pub(crate) fn parse_expression(sql: &str) -> Result<Expr, SqlError> {
    let query = parse_query(&format!("SELECT {sql}"))?;
    if let SetExpr::Select(select) = *query.body
        && let Some(SelectItem::UnnamedExpr(expr)) = select.projection.into_iter().next()
    {
        return Ok(expr);
    }
    Err(SqlError::new(
        ErrorKind::SyntaxError,
        format!("\"{sql}\" is not an expression"),
    ))
}
