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
    take_options(parser, "REINDEX")?;
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
    if !take_options(parser, verb)? {
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

/// The options of these statements whose value is a boolean, and others.
const SWITCHES: [&str; 8] = [
    "analyze",
    "concurrently",
    "disable_page_skipping",
    "freeze",
    "full",
    "process_toast",
    "skip_locked",
    "verbose",
];
const OTHERS: [&str; 4] = ["index_cleanup", "parallel", "tablespace", "truncate"];

fn has_option(verb: &str, option: &str) -> bool {
    match verb {
        "ANALYZE" => matches!(option, "skip_locked" | "verbose"),
        "REINDEX" => matches!(option, "concurrently" | "tablespace" | "verbose"),
        _ => {
            !matches!(option, "concurrently" | "tablespace")
                && (SWITCHES.contains(&option) || OTHERS.contains(&option))
        }
    }
}

/// Takes options in parentheses.
fn take_options(parser: &mut Parser<'_>, verb: &str) -> Result<bool, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(false);
    }
    parser.parse_comma_separated(|parser| {
        let name = parser.parse_identifier()?;
        let option = match name.value.to_lowercase() {
            analyze if analyze == "analyse" => "analyze".to_string(),
            option => option,
        };
        if !has_option(verb, &option) {
            let message = format!("unrecognized {verb} option \"{option}\"");
            return Err(ParserError::ParserError(message));
        }
        let value = match parser.peek_token_ref().token {
            Token::Comma | Token::RParen => return Ok(()),
            _ => parser.next_token().token.to_string(),
        };
        let value = value.trim_matches('\'').to_lowercase();
        let is_boolean = matches!(value.as_str(), "true" | "false" | "on" | "off" | "1" | "0");
        match is_boolean || !SWITCHES.contains(&option.as_str()) {
            true => Ok(()),
            false => {
                let message = format!("{option} requires a Boolean value");
                Err(ParserError::ParserError(message))
            }
        }
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(true)
}
