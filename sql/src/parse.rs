//! Query strings into statements: PostgreSQL's grammar by sqlparser, ours (SUBSCRIBE, CREATE USER TABLE) on its tokens.

mod absent;
pub(crate) mod arbiter;
mod chains;
mod copy;
mod create;
mod cursor;
mod database;
mod define;
mod dialect;
mod digits;
mod distinct;
mod excused;
mod extent;
mod foreign;
pub(crate) mod forms;
mod keywords;
mod listen;
mod located;
pub(crate) mod locks;
mod maintain;
mod refused;
mod rows;
mod subscribe;
mod tokens;
mod unicode;
pub(crate) mod walk;
mod with;

use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, CopyLegacyOption, CopyOption, Expr, Ident, Query, SelectItem, SetExpr, Statement, Value,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, TokenizerError};
use tidelog_storage::TableKind;

pub(crate) use absent::{Absent, Named};
pub(crate) use chains::united;
pub(crate) use copy::CopyClauses;
pub(crate) use create::{Like, TableAs};
pub(crate) use cursor::{CursorCommand, Declare, Direction, Fetch};
pub(crate) use database::DatabaseCommand;
pub(crate) use define::{Definition, IdentityChange, SequenceChange, SequenceOptions, ViewChange};
pub(crate) use dialect::parser_of;
pub(crate) use listen::Listen;
pub(crate) use maintain::{Maintain, Reindexed};
pub(crate) use subscribe::{OptionValue, Subscribe, SubscribeOption};

use crate::error::{ErrorKind, SqlError};
use crate::locking::clause::push_down;
use crate::locking::inside;
use crate::subscribe::Begin;
use cursor::{parse_close, parse_declare, parse_fetch};
use listen::{check_channel, parse_listen};
use subscribe::{parse_copy_subscribe, parse_subscribe};
use tokens::{
    check_names, join_constants, name_qualified_functions, name_units, order_sequence_options,
    plain_quantified, reset_as_set, spell_null_tests, take_overriding, take_trim_from,
};

/// A statement as parsed from a query string.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(crate) body: Body,
    /// Whether a locking clause may stand somewhere in it.
    may_lock: bool,
    /// What it says of OVERRIDING.
    pub(crate) overriding: Option<Overriding>,
    /// What stands in a COPY besides.
    pub(crate) copy: Option<Box<CopyClauses>>,
    /// The moment in the past that its query reads.
    pub(crate) as_of: Option<AsOf>,
    /// Whether it makes transactions deferrable, if it says.
    pub(crate) deferrable: Option<bool>,
    /// What the client is told of it, with the severities: names and precisions that were cut.
    pub(crate) notices: Vec<(&'static str, SqlError)>,
    /// The errors that it may fail with and be done all the same, as a DO says of a definition.
    pub(crate) excused: Option<Arc<[ErrorKind]>>,
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
    /// DDL that sqlparser does not know.
    Define(Box<Definition>),
    /// VACUUM, ANALYZE, REINDEX, CHECKPOINT, SET CONSTRAINTS.
    Maintain(Maintain),
}

impl Parsed {
    /// Whether it runs until it is cancelled (SUBSCRIBE).
    pub fn is_endless(&self) -> bool {
        matches!(self.body, Body::Subscribe(..))
    }

    /// Says where a SUBSCRIBE begins, whatever its options say, and how many of the newest rows snapshots have, if that is given.
    pub fn begin(&mut self, begin: Begin, last_rows: Option<u64>) {
        if let Body::Subscribe(subscribe, _) = &mut self.body {
            subscribe.begin = begin;
            subscribe.last_rows = last_rows;
        }
    }

    /// The statement, if it is one of PostgreSQL's grammar.
    pub(crate) fn into_statement(self) -> Option<Statement> {
        match self.body {
            Body::Sql(statement, _) => Some(*statement),
            _ => None,
        }
    }

    /// A statement that stands in this one, with what is known of the whole.
    pub(crate) fn of(&self, statement: Statement) -> Parsed {
        Parsed {
            body: Body::Sql(Box::new(statement), None),
            ..self.clone()
        }
    }

    /// The query string that it stands in.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The statement without the locking clauses of queries inside it; `None` where there are none.
    pub(crate) fn without_locks_inside(&self) -> Option<Parsed> {
        match &self.body {
            Body::Sql(statement, kind) if self.may_lock && is_plain(statement) => {
                let body = Body::Sql(Box::new(inside::without(statement)?), *kind);
                Some(Parsed {
                    body,
                    ..self.clone()
                })
            }
            _ => None,
        }
    }

    /// The statement that an EXPLAIN is of; `None` when this is another statement.
    pub(crate) fn explained(&self) -> Option<Parsed> {
        match &self.body {
            Body::Sql(statement, _) => match &**statement {
                Statement::Explain { statement, .. } => Some(self.of((**statement).clone())),
                _ => None,
            },
            Body::Subscribe(..)
            | Body::Listen(_)
            | Body::Cursor(_)
            | Body::Define(_)
            | Body::Maintain(_) => None,
        }
    }

    /// The cursor that a MOVE goes forward in, and over how many rows; `None` is all of them.
    pub fn moves_forward(&self) -> Option<(&str, Option<u64>)> {
        match &self.body {
            Body::Cursor(command) => match &**command {
                CursorCommand::Fetch(Fetch {
                    name,
                    direction: Direction::Forward(count),
                    moves: true,
                    ..
                }) => Some((name, *count)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a failed transaction block lets it through (COMMIT, ROLLBACK).
    pub fn ends_transaction(&self) -> bool {
        matches!(&self.body, Body::Sql(s, _) if matches!(**s, Statement::Commit { .. } | Statement::Rollback { .. }))
    }
}

/// Whether a statement reads or changes rows.
fn is_plain(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)
    )
}

/// Splits a query string into statements; an empty string has none.
pub(crate) fn parse(sql: &str) -> Result<Vec<Parsed>, SqlError> {
    parse_in(sql, "")
}

/// The same in a database, by whose name definitions may call what is in it.
pub(crate) fn parse_in(sql: &str, database: &str) -> Result<Vec<Parsed>, SqlError> {
    let tokens = dialect::tokens(sql).map_err(|error| unfinished(sql, &error))?;
    let source: Arc<str> = sql.into();
    let starts = line_starts(sql);
    let mut begin = 0;
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        begin += part.len() + 1;
        let is_token =
            |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
        if !part.iter().any(is_token) {
            continue;
        }
        let statement =
            chains::on_stack_enough(part, |tokens| parse_one(&source, tokens, database));
        statements.push(statement.map_err(|mut error| {
            if error.message == AT_END {
                // What ends the statement is where it goes wrong.
                let semicolon = tokens.get(begin - 1);
                error.position = Some(match semicolon {
                    Some(token) => position(&starts, token),
                    None => sql.chars().count() + 1,
                });
                if semicolon.is_some() {
                    error.message = "syntax error at or near \";\"".to_string();
                }
            }
            error
        })?);
    }
    Ok(statements)
}

/// The message of a statement that stops too early.
const AT_END: &str = "syntax error at end of input";

/// 42601 for a token that does not end.
fn unfinished(sql: &str, error: &TokenizerError) -> SqlError {
    let what = match error.message.as_str() {
        of if of.contains("string literal") => "quoted string",
        of if of.contains("close delimiter") => "quoted identifier",
        unicode::BYTES => {
            return SqlError::new(ErrorKind::CharacterNotInRepertoire, unicode::BYTES);
        }
        _ => return SqlError::new(ErrorKind::SyntaxError, error.message.clone()),
    };
    let line = usize::try_from(error.location.line).unwrap_or(0);
    let before = line_starts(sql).get(line.saturating_sub(1)).copied();
    let column = usize::try_from(error.location.column).unwrap_or(0);
    let mut failed = SqlError::new(ErrorKind::SyntaxError, format!("unterminated {what}"));
    if let Some(position) = before.map(|before| before + column).filter(|at| *at > 0) {
        let rest: String = sql.chars().skip(position - 1).collect();
        failed.message = format!("{} at or near \"{rest}\"", failed.message);
        failed.position = Some(position);
    }
    failed
}

fn parse_one(
    sql: &Arc<str>,
    mut tokens: Vec<TokenWithSpan>,
    database: &str,
) -> Result<Parsed, SqlError> {
    foreign::check_tokens(sql, &tokens)?;
    foreign::name_operators(&mut tokens);
    join_constants(&mut tokens).map_err(|error| syntax_error(sql, error))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    spell_null_tests(&mut tokens);
    name_units(&mut tokens);
    name_qualified_functions(&mut tokens);
    database::take_name(&mut tokens, database);
    let starts = line_starts(sql);
    let begin = tokens.first().map_or(1, |token| position(&starts, token));
    let end = tokens
        .last()
        .map_or(begin, |token| position(&starts, token));
    let warnings = digits::check(&starts, &tokens)?;
    let warnings = warnings.into_iter().map(|warning| ("WARNING", warning));
    let cut = check_names(&starts, &mut tokens)?;
    let notices = cut.into_iter().map(|notice| ("NOTICE", notice));
    let notices = notices.chain(warnings).collect();
    locks::rewrite(&mut tokens)?;
    let may_lock = locks::may_lock(&tokens);
    let mut as_of = take_as_of(sql, &mut tokens)?;
    let overriding = take_overriding(&mut tokens);
    take_trim_from(&mut tokens);
    order_sequence_options(&mut tokens);
    plain_quantified(&mut tokens);
    if let Some(parsed) = excused::parse(&tokens, database)? {
        return Ok(parsed);
    }
    let absent = absent::parse(sql, &tokens)?;
    let deferrable = forms::take_deferrable(&mut tokens);
    forms::rewrite(&mut tokens)?;
    extent::check(&tokens)?;
    if let (None, Some(statement)) = (&absent, refused::name(&tokens)) {
        return Err(SqlError::unsupported(statement));
    }
    let taken = create::take(sql, &mut tokens)?;
    let word = |n: usize| match tokens.get(n).map(|t| &t.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    if matches!(word(0).as_str(), "LISTEN" | "UNLISTEN" | "NOTIFY") {
        check_channel(&tokens).map_err(|error| syntax_error(sql, error))?;
    }
    let definition = match word(0).as_str() {
        "ALTER" => define::parse_alter(sql, &tokens)?,
        _ => absent.map(Definition::Absent),
    };
    let mut copy = None;
    let result = match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
        _ if let Some(definition) = definition => Ok(Body::Define(Box::new(definition))),
        ("SUBSCRIBE", ..) => {
            parse_subscribe(sql, tokens).map(|s| Body::Subscribe(Box::new(s), None))
        }
        ("DECLARE", ..) => {
            parse_declare(sql, tokens, as_of.take()).map(|command| Body::Cursor(Box::new(command)))
        }
        ("FETCH" | "MOVE", ..) => {
            parse_fetch(sql, tokens).map(|command| Body::Cursor(Box::new(command)))
        }
        ("CLOSE", ..) => parse_close(sql, tokens).map(|command| Body::Cursor(Box::new(command))),
        ("VACUUM" | "ANALYZE" | "ANALYSE" | "REINDEX" | "CHECKPOINT", ..)
        | ("SET", "CONSTRAINTS", _) => maintain::parse_maintain(sql, tokens).map(Body::Maintain),
        ("COMMENT", ..) => {
            define::parse_comment(sql, tokens).map(|definition| Body::Define(Box::new(definition)))
        }
        ("REFRESH", ..) => {
            define::parse_refresh(sql, tokens).map(|definition| Body::Define(Box::new(definition)))
        }
        ("CREATE" | "DROP", "DATABASE", _) => database::parse(sql, tokens)
            .map(|command| Body::Define(Box::new(Definition::Database(command)))),
        ("LISTEN", ..) => parse_listen(sql, tokens).map(|listen| Body::Listen(Box::new(listen))),
        ("EXPLAIN", second, _) => {
            let analyse = second == "ANALYSE";
            // A parenthesis that is the query's, not that of options, as one without any.
            if tokens.get(1).map(|token| &token.token) == Some(&Token::LParen)
                && matches!(word(2).as_str(), "SELECT" | "VALUES" | "WITH" | "TABLE")
            {
                let options = dialect::tokens("(FORMAT TEXT)");
                let options = options.unwrap_or_default().into_iter();
                let options = options
                    .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
                let options: Vec<TokenWithSpan> = options.collect();
                tokens.splice(1..1, options);
            }
            if analyse && let Some(token) = tokens.get_mut(1) {
                token.token = Token::make_keyword("ANALYZE");
            }
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
            parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        ("COPY", ..) if word(2) != "SUBSCRIBE" => {
            copy = Some(Box::new(copy::take(sql, &mut tokens)?));
            parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        ("COPY", ..) => parse_copy_subscribe(sql, tokens),
        ("CREATE", kind @ ("USER" | "SHARED" | "STREAM"), "TABLE") => {
            let kind = match kind {
                "USER" => TableKind::User,
                "SHARED" => TableKind::Shared,
                _ => TableKind::Stream,
            };
            tokens.remove(1);
            parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), Some(kind)))
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
            parse_statement(sql, tokens).map(|mut statement| {
                if let Statement::CreateRole(role) = &mut statement
                    && creates
                {
                    role.login.get_or_insert(true);
                }
                Body::Sql(Box::new(statement), None)
            })
        }
        ("DROP", "INDEX", "CONCURRENTLY") => {
            tokens.remove(2);
            parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        ("RESET", "SESSION", "AUTHORIZATION") => {
            tokens.remove(1);
            tokens[1].token = Token::make_word("session_authorization", None);
            parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        ("ALTER", "TABLE", _) => {
            reset_as_set(&mut tokens);
            parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), None))
        }
        _ => parse_statement(sql, tokens).map(|s| Body::Sql(Box::new(s), None)),
    };
    let body = result.and_then(|body| create::finish(body, taken));
    let body = body.map(|mut body| {
        if let Body::Sql(statement, _) = &mut body
            && may_lock
        {
            push_down(statement);
        }
        body
    });
    body.map(|body| Parsed {
        body,
        may_lock,
        overriding,
        copy,
        as_of,
        deferrable,
        notices,
        excused: None,
        source: sql.clone(),
        extent: begin..=end,
    })
}

/// Takes the AS OF clause away that ends a query, also that of an INSERT or inside COPY (…).
fn take_as_of(sql: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<Option<AsOf>, SqlError> {
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
    let mut parser = dialect::parser(tokens[at + 3..].to_vec());
    let value = parser
        .parse_expr()
        .map_err(|error| syntax_error(sql, error))?;
    let taken = parser.index();
    tokens.drain(at..at + 3 + taken);
    let inserts = tokens.iter().take(at).any(|token| is(token, "INSERT"));
    let creates = tokens.first().is_some_and(|token| is(token, "CREATE"));
    match tokens.get(at) {
        None => {}
        Some(next) if next.token == Token::EOF => {}
        Some(next) if copies && next.token == Token::RParen => {}
        Some(next) if inserts && (is(next, "ON") || is(next, "RETURNING")) => {}
        // WITH [NO] DATA.
        Some(next) if creates && is(next, "WITH") => {}
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

fn parse_statement(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    let mut parser = dialect::parser(tokens);
    parser
        .parse_statement()
        .and_then(|statement| expect_end(&parser).map(|()| statement))
        .map_err(|error| syntax_error(sql, error))
        .and_then(|statement| foreign::refuse(sql, &statement, parser).map(|()| statement))
        .map(distinct::associate)
        .and_then(with::unwrapped)
        .and_then(rows::of_sets)
        .map(|mut statement| {
            chains::balance(&mut statement);
            statement
        })
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
        Some((_, "EOF")) => AT_END.to_string(),
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
            Value::DollarQuotedString(text) => Some(text.value.clone()),
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

/// A type from its SQL text.
pub(crate) fn parse_type(sql: &str) -> Result<ast::DataType, SqlError> {
    let parser = dialect::parser_of(sql);
    let parsed = parser.and_then(|mut parser| {
        let ty = parser.parse_data_type()?;
        expect_end(&parser).map(|()| ty)
    });
    parsed.map_err(|error| syntax_error(sql, error))
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
