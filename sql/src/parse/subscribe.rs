//! `SUBSCRIBE [TO] table | (SELECT …) [WHERE …] [OPTIONS (…)]`, bare and in `COPY (…) TO STDOUT`.

use datafusion::sql::sqlparser::ast::{CopyTarget, Query, SetExpr, Statement, TableFactor};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Body, expect_end, parse_query, parse_statement, syntax_error};
use super::{chains, dialect};
use crate::error::SqlError;
use crate::row::placeholder;
use crate::subscribe::Begin;

/// A SUBSCRIBE.
#[derive(Clone, Debug)]
pub(crate) struct Subscribe {
    /// What is followed, as a query: `SELECT * FROM table WHERE …` or the one that was given.
    pub(crate) query: Query,
    /// What stands in OPTIONS.
    pub(crate) options: Vec<SubscribeOption>,
    /// Where it begins, whatever its options say.
    pub(crate) begin: Begin,
    /// How many of the newest rows a snapshot has, whatever its options say.
    pub(crate) last_rows: Option<u64>,
}

/// `name = value`.
#[derive(Clone, Debug)]
pub(crate) struct SubscribeOption {
    /// In lowercase.
    pub(crate) name: String,
    pub(crate) value: OptionValue,
}

/// An option's value.
#[derive(Clone, Debug)]
pub(crate) enum OptionValue {
    /// A literal, or a bare word.
    Text(String),
    /// `$1`, by its index from 0.
    Parameter(usize),
    /// NULL: as if the option were not given.
    Null,
}

pub(super) fn parse_subscribe(
    sql: &str,
    tokens: Vec<TokenWithSpan>,
) -> Result<Subscribe, SqlError> {
    let mut parser = dialect::parser(tokens);
    let parts = (|| {
        parser.next_token();
        let _ = parser.parse_keyword(Keyword::TO);
        let source = if parser.consume_token(&Token::LParen) {
            let first = parser.peek_token();
            let query = parser.parse_query()?;
            // sqlparser takes DELETE and its like for queries, too.
            if !matches!(
                *query.body,
                SetExpr::Select(_)
                    | SetExpr::Query(_)
                    | SetExpr::SetOperation { .. }
                    | SetExpr::Values(_)
                    | SetExpr::Table(_)
            ) {
                return parser.expected("a query", first);
            }
            parser.expect_token(&Token::RParen)?;
            Source::Query(query)
        } else {
            Source::Table(parser.parse_object_name(false)?.to_string())
        };
        let filter = match parser.parse_keyword(Keyword::WHERE) {
            true => Some(parser.parse_expr()?),
            false => None,
        };
        let mut options = Vec::new();
        if parser.parse_keyword(Keyword::OPTIONS) {
            parser.expect_token(&Token::LParen)?;
            options = parser.parse_comma_separated(parse_option)?;
            parser.expect_token(&Token::RParen)?;
        }
        expect_end(&parser)?;
        Ok((source, filter, options))
    })();
    let (mut source, mut filter, options) = parts.map_err(|error| syntax_error(sql, error))?;
    if let Source::Query(query) = &mut source {
        chains::balance(query);
    }
    chains::balance(&mut filter);
    let mut query = match source {
        Source::Query(query) if filter.is_none() => *query,
        Source::Query(inner) => {
            let mut query = parse_query("SELECT * FROM (SELECT 1) AS subscription")?;
            if let SetExpr::Select(select) = &mut *query.body
                && let Some(from) = select.from.first_mut()
                && let TableFactor::Derived { subquery, .. } = &mut from.relation
            {
                *subquery = inner;
            }
            query
        }
        Source::Table(name) => parse_query(&format!("SELECT * FROM {name}"))?,
    };
    if filter.is_some()
        && let SetExpr::Select(select) = &mut *query.body
    {
        select.selection = filter;
    }
    Ok(Subscribe {
        query,
        options: options
            .into_iter()
            .map(option_of)
            .collect::<Result<_, _>>()?,
        begin: Begin::AsWritten,
        last_rows: None,
    })
}

/// An option as it was parsed: its name, and the token or words that are its value.
type RawOption = (String, RawValue);

pub(super) enum RawValue {
    Text(String),
    Parameter(String),
    Null,
}

pub(super) fn option_of((name, value): RawOption) -> Result<SubscribeOption, SqlError> {
    let value = match value {
        RawValue::Text(text) => OptionValue::Text(text),
        RawValue::Parameter(parameter) => OptionValue::Parameter(placeholder(&parameter)?),
        RawValue::Null => OptionValue::Null,
    };
    Ok(SubscribeOption { name, value })
}

enum Source {
    Table(String),
    Query(Box<Query>),
}

/// `name = value`; an option alone is true.
pub(super) fn parse_option(parser: &mut Parser<'_>) -> Result<RawOption, ParserError> {
    let name = parser.parse_identifier()?.value.to_ascii_lowercase();
    if !parser.consume_token(&Token::Eq) {
        return Ok((name, RawValue::Text("true".to_string())));
    }
    let negative = parser.consume_token(&Token::Minus);
    let token = parser.next_token();
    let value = match token.token {
        Token::Number(value, _) if negative => RawValue::Text(format!("-{value}")),
        Token::Number(value, _) => RawValue::Text(value),
        Token::SingleQuotedString(value) if !negative => RawValue::Text(value),
        Token::Word(word) if !negative && word.keyword == Keyword::NULL => RawValue::Null,
        Token::Word(word) if !negative && word.quote_style.is_none() => {
            RawValue::Text(word.value.to_ascii_lowercase())
        }
        Token::Placeholder(value) if !negative => RawValue::Parameter(value),
        _ => return parser.expected("a number, a string or a parameter", token),
    };
    Ok((name, value))
}

/// `COPY (SUBSCRIBE …) TO STDOUT …`: the inside is parsed by itself, the rest around a stand-in query.
pub(super) fn parse_copy_subscribe(
    sql: &str,
    tokens: Vec<TokenWithSpan>,
) -> Result<Body, SqlError> {
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
    let subscribe = parse_subscribe(sql, inside)?;
    let stand_in = dialect::tokens("SELECT 1").expect("a constant query");
    let mut outside = tokens[..2].to_vec();
    outside.extend(
        stand_in
            .into_iter()
            .filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)),
    );
    outside.extend_from_slice(tokens.get(end..).unwrap_or_default());
    match parse_statement(sql, outside)? {
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
        _ => Err(SqlError::unsupported(
            "COPY (SUBSCRIBE …) other than TO STDOUT",
        )),
    }
}
