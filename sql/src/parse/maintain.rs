//! VACUUM, ANALYZE, REINDEX and CHECKPOINT, which are done by themselves or have nothing to do; SET CONSTRAINTS.

use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::define::takes;
use super::dialect;
use super::{expect_end, syntax_error};
use crate::error::SqlError;

/// Such a statement.
#[derive(Clone, Debug)]
pub(crate) enum Maintain {
    /// VACUUM or ANALYZE.
    Tables {
        /// The command tag.
        verb: &'static str,
        /// The tables that it names; without any it is about all.
        tables: Vec<ObjectName>,
    },
    /// REINDEX.
    Reindex {
        of: Reindexed,
        /// A database may be left out.
        name: Option<ObjectName>,
        concurrently: bool,
    },
    Checkpoint,
    /// SET CONSTRAINTS; without names it is about all.
    Constraints {
        names: Vec<ObjectName>,
        deferred: bool,
    },
}

/// What REINDEX is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reindexed {
    Index,
    Table,
    Schema,
    Database,
    System,
}

pub(super) fn parse_maintain(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Maintain, SqlError> {
    let mut parser = dialect::parser(tokens);
    let parsed = if takes(&mut parser, &["CHECKPOINT"]) {
        Ok(Maintain::Checkpoint)
    } else if takes(&mut parser, &["REINDEX"]) {
        reindex(&mut parser)
    } else if takes(&mut parser, &["SET", "CONSTRAINTS"]) {
        constraints(&mut parser)
    } else {
        tables(&mut parser)
    };
    let parsed = parsed.and_then(|parsed| expect_end(&parser).map(|()| parsed));
    parsed.map_err(|error| syntax_error(sql, error))
}

fn reindex(parser: &mut Parser<'_>) -> Result<Maintain, ParserError> {
    take_options(parser);
    let kinds = [
        ("INDEX", Reindexed::Index),
        ("TABLE", Reindexed::Table),
        ("SCHEMA", Reindexed::Schema),
        ("DATABASE", Reindexed::Database),
        ("SYSTEM", Reindexed::System),
    ];
    let found = kinds.iter().find(|(word, _)| takes(parser, &[word]));
    let Some((_, of)) = found else {
        return parser.expected("what to index again", parser.peek_token());
    };
    let concurrently = takes(parser, &["CONCURRENTLY"]);
    let ends = parser.peek_token().token == Token::EOF;
    let name = match of {
        Reindexed::Database | Reindexed::System if ends => None,
        _ => Some(parser.parse_object_name(false)?),
    };
    Ok(Maintain::Reindex {
        of: *of,
        name,
        concurrently,
    })
}

fn constraints(parser: &mut Parser<'_>) -> Result<Maintain, ParserError> {
    let names = match takes(parser, &["ALL"]) {
        true => Vec::new(),
        false => parser.parse_comma_separated(|parser| parser.parse_object_name(false))?,
    };
    let deferred = takes(parser, &["DEFERRED"]);
    if !deferred && !takes(parser, &["IMMEDIATE"]) {
        return parser.expected("DEFERRED or IMMEDIATE", parser.peek_token());
    }
    Ok(Maintain::Constraints { names, deferred })
}

fn tables(parser: &mut Parser<'_>) -> Result<Maintain, ParserError> {
    let verb = match takes(parser, &["VACUUM"]) {
        true => "VACUUM",
        false => {
            parser.next_token();
            "ANALYZE"
        }
    };
    // Options say how much is done, and in which order.
    if !take_options(parser) {
        for option in ["FULL", "FREEZE", "VERBOSE"] {
            takes(parser, &[option]);
        }
        if verb == "VACUUM" && !takes(parser, &["ANALYZE"]) {
            takes(parser, &["ANALYSE"]);
        }
    }
    let mut tables = Vec::new();
    while parser.peek_token().token != Token::EOF {
        tables.push(parser.parse_object_name(false)?);
        if parser.consume_token(&Token::LParen) {
            parser.parse_comma_separated(|parser| parser.parse_identifier())?;
            parser.expect_token(&Token::RParen)?;
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    Ok(Maintain::Tables { verb, tables })
}

/// Takes options in parentheses.
fn take_options(parser: &mut Parser<'_>) -> bool {
    let begins = parser.peek_token().token == Token::LParen;
    if begins {
        parser.next_token();
        while !matches!(parser.next_token().token, Token::RParen | Token::EOF) {}
    }
    begins
}
