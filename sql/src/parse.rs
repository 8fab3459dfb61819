//! Query strings into statements: PostgreSQL's grammar by sqlparser, ours (SUBSCRIBE, CREATE USER TABLE) on its tokens.

mod cursor;
mod distinct;
mod forms;
mod keywords;
mod listen;
mod subscribe;
mod with;

use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    CopyLegacyOption, CopyOption, Expr, Ident, Query, SelectItem, SetExpr, Statement, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use tidelog_storage::{Seq, TableKind};

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
    /// What it says of OVERRIDING.
    pub(crate) overriding: Option<Overriding>,
    /// The moment in the past that its query reads.
    pub(crate) as_of: Option<AsOf>,
    /// The query string, and where in it the statement begins and ends, in characters from 1.
    source: Arc<str>,
    extent: RangeInclusive<usize>,
}

/// Whose values an INSERT takes for identity columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overriding {
    /// OVERRIDING SYSTEM VALUE: the statement's.
    System,
    /// OVERRIDING USER VALUE: the sequence's.
    User,
}

/// `AS OF SEQ …` or `AS OF TIMESTAMP …` at the end of a query.
#[derive(Clone, Debug)]
pub(crate) struct AsOf {
    pub(crate) unit: AsOfUnit,
    pub(crate) value: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsOfUnit {
    Seq,
    Timestamp,
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

    /// Makes a SUBSCRIBE go on after `from`, or (`None`) begin with the rows as they stand, whatever its options say.
    pub fn resume_after(&mut self, from: Option<Seq>) {
        if let Body::Subscribe(subscribe, _) = &mut self.body {
            subscribe.resume_after(from);
        }
    }

    /// Adds where the name stands that the error complains about, if it does and does not know that yet.
    pub(crate) fn locate(&self, error: SqlError) -> SqlError {
        use ErrorKind::{
            AmbiguousColumn, GroupingError, UndefinedColumn, UndefinedFunction, UndefinedTable,
        };
        if error.position.is_none()
            && let Some(position) = self.literal_position(&error)
        {
            return SqlError {
                position: Some(position),
                ..error
            };
        }
        let names_it = matches!(
            error.kind,
            UndefinedTable | UndefinedColumn | AmbiguousColumn | UndefinedFunction
        ) || error.kind == GroupingError && error.message.contains('"');
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
        let found = words.windows(wanted.len()).find(here);
        // A column may stand there without its relation.
        let last = || match error.kind {
            GroupingError => words
                .iter()
                .find(|word| wanted.last() == Some(&&*word.text)),
            _ => None,
        };
        let position = found.map(|words| &words[0]).or_else(last);
        let position = position.map(|word| word.position);
        SqlError { position, ..error }
    }

    /// A statement that stands in this one, with what is known of the whole.
    pub(crate) fn of(&self, statement: Statement) -> Parsed {
        Parsed {
            body: Body::Sql(Box::new(statement), None),
            ..self.clone()
        }
    }

    /// Where the literal stands that the error quotes as unreadable.
    fn literal_position(&self, error: &SqlError) -> Option<usize> {
        use ErrorKind::{
            DatetimeFieldOverflow, InvalidDatetimeFormat, InvalidTextRepresentation,
            NumericValueOutOfRange,
        };
        let reads = matches!(
            error.kind,
            InvalidTextRepresentation
                | InvalidDatetimeFormat
                | DatetimeFieldOverflow
                | NumericValueOutOfRange
        );
        let (_, quoted) = error.message.split_once('"').filter(|_| reads)?;
        let quoted = match quoted.strip_suffix('"') {
            Some(quoted) => quoted,
            None => quoted.split_once("\" is out of range")?.0,
        };
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, &self.source).tokenize_with_location();
        let starts = line_starts(&self.source);
        let places = tokens
            .ok()?
            .into_iter()
            .filter_map(|token| match &token.token {
                Token::SingleQuotedString(text) if text == quoted => {
                    Some(position(&starts, &token))
                }
                _ => None,
            });
        places.into_iter().find(|place| self.extent.contains(place))
    }

    /// The statement that an EXPLAIN is of; `None` when this is another statement.
    pub(crate) fn explained(&self) -> Option<Parsed> {
        match &self.body {
            Body::Sql(statement, _) => match &**statement {
                Statement::Explain { statement, .. } => Some(self.of((**statement).clone())),
                _ => None,
            },
            Body::Subscribe(..) | Body::Listen(_) | Body::Cursor(_) => None,
        }
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
    let mut as_of = take_as_of(dialect, sql, &mut tokens)?;
    let overriding = take_overriding(&mut tokens);
    take_trim_from(&mut tokens);
    order_sequence_options(&mut tokens);
    forms::rewrite(&mut tokens)?;
    let word = |n: usize| match tokens.get(n).map(|t| &t.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let result = match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
        ("SUBSCRIBE", ..) => {
            parse_subscribe(dialect, sql, tokens).map(|s| Body::Subscribe(Box::new(s), None))
        }
        ("DECLARE", ..) => parse_declare(dialect, sql, tokens, spares_keys, as_of.take())
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
        ("EXPLAIN", ..) => {
            // ON is no expression.
            for token in tokens.iter_mut().skip(1) {
                match &mut token.token {
                    Token::Word(word) if word.keyword == Keyword::ON => {
                        word.value = "true".to_string();
                        word.keyword = Keyword::TRUE;
                    }
                    Token::RParen => break,
                    Token::LParen | Token::Comma => {}
                    Token::Word(_) => {}
                    _ => break,
                }
            }
            parse_statement(dialect, sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        ("COPY", ..) if word(2) != "SUBSCRIBE" => {
            plain_switches(&mut tokens);
            parse_statement(dialect, sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        ("COPY", ..) => parse_copy_subscribe(dialect, sql, tokens),
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
        ("ALTER", "TABLE", _) => {
            reset_as_set(&mut tokens);
            parse_statement(dialect, sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        _ => parse_statement(dialect, sql, tokens).map(|s| Body::Sql(Box::new(s), None)),
    };
    result.map(|body| Parsed {
        body,
        spares_keys,
        overriding,
        as_of,
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

/// Takes the FROM out of `trim(FROM x)` and `trim(LEADING FROM x)`, where it says nothing and sqlparser expects what is
/// trimmed.
fn take_trim_from(tokens: &mut Vec<TokenWithSpan>) {
    let keyword = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut at = 0;
    while at + 2 < tokens.len() {
        if keyword(tokens.get(at)) == Keyword::TRIM && tokens[at + 1].token == Token::LParen {
            let side = matches!(
                keyword(tokens.get(at + 2)),
                Keyword::LEADING | Keyword::TRAILING | Keyword::BOTH
            );
            let from = at + 2 + usize::from(side);
            if keyword(tokens.get(from)) == Keyword::FROM {
                tokens.remove(from);
            }
        }
        at += 1;
    }
}

/// Puts the options of sequences into the one order that sqlparser knows.
fn order_sequence_options(tokens: &mut [TokenWithSpan]) {
    let word = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let at = |index: usize| word(tokens.get(index));
    let creates = at(0) == "CREATE" && at(1) == "SEQUENCE";
    let mut lists = Vec::new();
    if creates {
        lists.push(2..tokens.len());
    }
    if at(0) == "CREATE" && at(1).ends_with("TABLE") || at(2) == "TABLE" {
        for index in 0..tokens.len() {
            let opens = tokens.get(index + 1).map(|token| &token.token) == Some(&Token::LParen);
            if at(index) == "IDENTITY" && opens {
                let rest = &tokens[index + 2..];
                let length = rest.iter().position(|token| token.token == Token::RParen);
                lists.extend(length.map(|length| index + 2..index + 2 + length));
            }
        }
    }
    // Where each option begins, and its place.
    let place = |index: usize| match (at(index).as_str(), at(index + 1).as_str()) {
        ("INCREMENT", _) => Some(1),
        ("MINVALUE", _) | ("NO", "MINVALUE") => Some(2),
        ("MAXVALUE", _) | ("NO", "MAXVALUE") => Some(3),
        ("START", _) => Some(4),
        ("CACHE", _) => Some(5),
        ("CYCLE", _) | ("NO", "CYCLE") => Some(6),
        ("OWNED", _) => Some(7),
        _ => None,
    };
    let mut ordered = Vec::new();
    for list in lists {
        let mut begins: Vec<(usize, usize)> = list
            .clone()
            .filter(|&index| index == list.start || at(index - 1) != "NO")
            .filter_map(|index| Some((place(index)?, index)))
            .collect();
        let Some(first) = begins.first().map(|(_, index)| *index) else {
            continue;
        };
        let ends: Vec<usize> = begins
            .iter()
            .skip(1)
            .map(|b| b.1)
            .chain([list.end])
            .collect();
        let mut parts: Vec<(usize, Vec<TokenWithSpan>)> = begins
            .drain(..)
            .zip(ends)
            .map(|((place, begin), end)| (place, tokens[begin..end].to_vec()))
            .collect();
        parts.sort_by_key(|(place, _)| *place);
        let list: Vec<TokenWithSpan> = parts.into_iter().flat_map(|(_, part)| part).collect();
        ordered.push((first, list));
    }
    for (first, list) in ordered {
        let end = first + list.len();
        tokens[first..end].clone_from_slice(&list);
    }
}

/// Takes OVERRIDING … VALUE, which sqlparser does not know, out of an INSERT; says what was there.
fn take_overriding(tokens: &mut Vec<TokenWithSpan>) -> Option<Overriding> {
    let is = |at: usize, text: &str| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text)
        }
        _ => false,
    };
    if !is(0, "INSERT") && !is(0, "WITH") {
        return None;
    }
    let here = |at: &usize| {
        is(*at, "OVERRIDING") && (is(at + 1, "SYSTEM") || is(at + 1, "USER")) && is(at + 2, "VALUE")
    };
    let at = (0..tokens.len()).find(here)?;
    let overriding = match is(at + 1, "SYSTEM") {
        true => Overriding::System,
        false => Overriding::User,
    };
    tokens.drain(at..at + 3);
    Some(overriding)
}

/// Makes ON and OFF behind the switches of COPY, which sqlparser does not know, TRUE and FALSE.
fn plain_switches(tokens: &mut [TokenWithSpan]) {
    let keyword = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    for at in 1..tokens.len() {
        let switches = matches!(keyword(&tokens[at - 1]), Keyword::FREEZE | Keyword::HEADER);
        match keyword(&tokens[at]) {
            Keyword::ON if switches => tokens[at].token = Token::make_keyword("TRUE"),
            Keyword::OFF if switches => tokens[at].token = Token::make_keyword("FALSE"),
            _ => {}
        }
    }
}

/// Makes `RESET (a, b)` of ALTER TABLE, which sqlparser does not know, `SET (a = NULL, b = NULL)`.
fn reset_as_set(tokens: &mut Vec<TokenWithSpan>) {
    let resets = |two: &[TokenWithSpan]| {
        matches!(&two[0].token, Token::Word(word) if word.keyword == Keyword::RESET)
            && two[1].token == Token::LParen
    };
    let Some(at) = tokens.windows(2).position(resets) else {
        return;
    };
    let of = |token: Token, span| TokenWithSpan { token, span };
    tokens[at].token = Token::make_keyword("SET");
    let mut next = at + 2;
    while let Some(token) = tokens.get(next) {
        let span = token.span;
        if matches!(token.token, Token::Comma | Token::RParen) {
            let ended = token.token == Token::RParen;
            let null = [Token::Eq, Token::make_keyword("NULL")].map(|token| of(token, span));
            tokens.splice(next..next, null);
            next += 2;
            if ended {
                return;
            }
        }
        next += 1;
    }
}

/// Takes the AS OF clause away that ends a query, also that of an INSERT or inside COPY (…).
fn take_as_of(
    dialect: &PostgreSqlDialect,
    sql: &str,
    tokens: &mut Vec<TokenWithSpan>,
) -> Result<Option<AsOf>, SqlError> {
    let is = |token: &TokenWithSpan, name: &str| {
        matches!(&token.token, Token::Word(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
    };
    let unit = |three: &[TokenWithSpan]| match three {
        [a, b, c] if is(a, "AS") && is(b, "OF") && is(c, "SEQ") => Some(AsOfUnit::Seq),
        [a, b, c] if is(a, "AS") && is(b, "OF") && is(c, "TIMESTAMP") => Some(AsOfUnit::Timestamp),
        _ => None,
    };
    let Some(at) = tokens.windows(3).position(|three| unit(three).is_some()) else {
        return Ok(None);
    };
    let depth = tokens[..at]
        .iter()
        .fold(0, |depth, token| match token.token {
            Token::LParen => depth + 1,
            Token::RParen => depth - 1,
            _ => depth,
        });
    let copies = tokens.first().is_some_and(|token| is(token, "COPY"));
    if depth != i32::from(copies) {
        return Err(SqlError::unsupported("AS OF in a subquery").hint(
            "It stands at the end of the statement and is for all that the statement reads.",
        ));
    }
    let unit = unit(&tokens[at..at + 3]).expect("it was just found");
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens[at + 3..].to_vec());
    let value = parser
        .parse_expr()
        .map_err(|error| syntax_error(sql, error))?;
    let taken = parser.index();
    tokens.drain(at..at + 3 + taken);
    let inserts = tokens.first().is_some_and(|token| is(token, "INSERT"));
    match tokens.get(at) {
        None => {}
        Some(next) if next.token == Token::EOF => {}
        Some(next) if copies && next.token == Token::RParen => {}
        Some(next) if inserts && (is(next, "ON") || is(next, "RETURNING")) => {}
        Some(next) if is(next, "FOR") => {
            return Err(SqlError::unsupported("AS OF with a row lock"));
        }
        Some(next) => {
            let message = format!("syntax error at or near \"{}\"", next.token);
            let mut error = SqlError::new(ErrorKind::SyntaxError, message)
                .hint("AS OF stands at the end of a query.");
            error.position = Some(position(&line_starts(sql), next));
            return Err(error);
        }
    }
    Ok(Some(AsOf { unit, value }))
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
        .map(distinct::associate)
        .and_then(with::unwrapped)
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
            .is_some_and(|byte| !byte.is_ascii_digit())
        && !keywords::is_taken(name);
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
