//! Query strings into statements: PostgreSQL's grammar by sqlparser, ours (SUBSCRIBE, CREATE USER TABLE) on its tokens.

use datafusion::sql::sqlparser::ast::{
    CopyLegacyOption, CopyOption, CopyTarget, Expr, Ident, ObjectName, SelectItem, Statement, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use tidelog_storage::{Seq, TableKind};

use crate::error::{ErrorKind, SqlError};

/// A statement as parsed from a query string.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(crate) body: Body,
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
}

/// `SUBSCRIBE [TO] table [WHERE …] [OPTIONS (…)]`.
#[derive(Clone, Debug)]
pub(crate) struct Subscribe {
    pub(crate) table: ObjectName,
    pub(crate) filter: Option<Expr>,
    pub(crate) last_rows: Option<u64>,
    pub(crate) from: Option<Seq>,
}

impl Parsed {
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
    tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|part| {
            part.iter()
                .any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        })
        .map(|part| parse_one(&dialect, sql, part.to_vec()))
        .collect()
}

fn parse_one(
    dialect: &PostgreSqlDialect,
    sql: &str,
    mut tokens: Vec<TokenWithSpan>,
) -> Result<Parsed, SqlError> {
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let word = |n: usize| match tokens.get(n).map(|t| &t.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let result = match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
        ("SUBSCRIBE", ..) => {
            parse_subscribe(dialect, tokens).map(|s| Body::Subscribe(Box::new(s), None))
        }
        ("COPY", ..) if word(2) == "SUBSCRIBE" => parse_copy_subscribe(dialect, tokens),
        ("CREATE", kind @ ("USER" | "SHARED" | "STREAM"), "TABLE") => {
            let kind = match kind {
                "USER" => TableKind::User,
                "SHARED" => TableKind::Shared,
                _ => TableKind::Stream,
            };
            tokens.remove(1);
            parse_statement(dialect, tokens).map(|s| Body::Sql(Box::new(s), Some(kind)))
        }
        _ => parse_statement(dialect, tokens).map(|s| Body::Sql(Box::new(s), None)),
    };
    result
        .map(|body| Parsed { body })
        .map_err(|e| syntax_error(sql, e))
}

fn parse_statement(
    dialect: &PostgreSqlDialect,
    tokens: Vec<TokenWithSpan>,
) -> Result<Statement, ParserError> {
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement()?;
    expect_end(&parser)?;
    Ok(statement)
}

fn expect_end(parser: &Parser<'_>) -> Result<(), ParserError> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        Ok(())
    } else {
        parser.expected("end of statement", next)
    }
}

fn parse_subscribe(
    dialect: &PostgreSqlDialect,
    tokens: Vec<TokenWithSpan>,
) -> Result<Subscribe, ParserError> {
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens);
    parser.next_token();
    let _ = parser.parse_keyword(Keyword::TO);
    if parser.peek_token().token == Token::LParen {
        return Err(ParserError::ParserError(
            "SUBSCRIBE TO (SELECT …) is not supported".to_string(),
        ));
    }
    let table = parser.parse_object_name(false)?;
    let filter = if parser.parse_keyword(Keyword::WHERE) {
        Some(parser.parse_expr()?)
    } else {
        None
    };
    let mut subscribe = Subscribe {
        table,
        filter,
        last_rows: None,
        from: None,
    };
    if parser.parse_keyword(Keyword::OPTIONS) {
        parser.expect_token(&Token::LParen)?;
        for (name, value) in parser.parse_comma_separated(parse_option)? {
            let invalid = || {
                ParserError::ParserError(format!(
                    "invalid value for option \"{name}\": \"{value}\""
                ))
            };
            match name.as_str() {
                "last_rows" => subscribe.last_rows = Some(value.parse().map_err(|_| invalid())?),
                "from" => {
                    let seq = value
                        .parse()
                        .ok()
                        .and_then(Seq::from_i64)
                        .ok_or_else(invalid)?;
                    subscribe.from = Some(seq);
                }
                _ => {
                    return Err(ParserError::ParserError(format!(
                        "SUBSCRIBE option \"{name}\" is not supported"
                    )));
                }
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    if subscribe.from.is_some() && subscribe.last_rows.is_some() {
        return Err(ParserError::ParserError(
            "options \"from\" and \"last_rows\" exclude each other".to_string(),
        ));
    }
    expect_end(&parser)?;
    Ok(subscribe)
}

fn parse_option(parser: &mut Parser<'_>) -> Result<(String, String), ParserError> {
    let name = parser.parse_identifier()?.value.to_ascii_lowercase();
    parser.expect_token(&Token::Eq)?;
    let token = parser.next_token();
    match token.token {
        Token::Number(value, _) | Token::SingleQuotedString(value) => Ok((name, value)),
        _ => parser.expected("a number or a string", token),
    }
}

/// `COPY (SUBSCRIBE …) TO STDOUT …`: the inside is parsed by itself, the rest around a stand-in query.
fn parse_copy_subscribe(
    dialect: &PostgreSqlDialect,
    tokens: Vec<TokenWithSpan>,
) -> Result<Body, ParserError> {
    let mut depth = 0;
    let mut end = tokens.len();
    for (n, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            end = n;
            break;
        }
    }
    let inside = tokens.get(2..end).unwrap_or_default().to_vec();
    let subscribe = parse_subscribe(dialect, inside)?;
    let stand_in = Tokenizer::new(dialect, "SELECT 1").tokenize_with_location()?;
    let mut outside = tokens[..2].to_vec();
    outside.extend(
        stand_in
            .into_iter()
            .filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)),
    );
    outside.extend_from_slice(tokens.get(end..).unwrap_or_default());
    match parse_statement(dialect, outside)? {
        Statement::Copy {
            to: true,
            target: CopyTarget::Stdout,
            options,
            legacy_options,
            ..
        } => Ok(Body::Subscribe(
            Box::new(subscribe),
            Some((options, legacy_options)),
        )),
        _ => Err(ParserError::ParserError(
            "COPY (SUBSCRIBE …) goes TO STDOUT only".to_string(),
        )),
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
    if message.ends_with("is not supported") {
        return SqlError::new(ErrorKind::FeatureNotSupported, message);
    }
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text.to_string(), place.split_once(", Column: ")),
        None => (message.clone(), None),
    };
    let position = place.and_then(|(line, column)| {
        let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
        let before: usize = sql
            .split_inclusive('\n')
            .take(line.checked_sub(1)?)
            .map(|l| l.chars().count())
            .sum();
        Some(before + column)
    });
    let primary = match text.rsplit_once("found: ") {
        Some((_, "EOF")) => "syntax error at end of input".to_string(),
        Some((_, found)) => format!("syntax error at or near \"{found}\""),
        None => format!("syntax error: {text}"),
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

/// `expr` as a select item.
pub(crate) fn item(expr: Expr) -> SelectItem {
    SelectItem::UnnamedExpr(expr)
}
