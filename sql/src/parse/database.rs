//! CREATE, DROP and ALTER DATABASE.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::define::takes;
use super::{dialect, expect_end, syntax_error};
use crate::error::SqlError;

/// What is to be done with a database.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseCommand {
    Create {
        name: Ident,
        /// In lower case, without a value where that is DEFAULT.
        options: Vec<(String, Option<String>)>,
    },
    Drop {
        if_exists: bool,
        name: Ident,
        /// Ends the connections to it.
        force: bool,
    },
    Rename {
        name: Ident,
        to: Ident,
    },
}

/// Takes the database's own name from before names of schemas in definitions: `DROP TABLE mydb.public.t`. Not in a query,
/// where a schema's may be the same.
pub(super) fn take_name(tokens: &mut Vec<TokenWithSpan>, database: &str) {
    let word = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let first = word(tokens.first());
    let defines = matches!(
        first.as_str(),
        "CREATE" | "ALTER" | "DROP" | "COMMENT" | "REFRESH"
    );
    if database.is_empty() || !defines || word(tokens.get(1)) == "DATABASE" {
        return;
    }
    let is_name = |token: Option<&TokenWithSpan>| matches!(token, Some(token) if matches!(token.token, Token::Word(_)));
    let is_point = |token: Option<&TokenWithSpan>| matches!(token, Some(token) if token.token == Token::Period);
    let (mut at, mut depth) = (1, 0);
    while at < tokens.len() {
        let before = word(tokens.get(at - 1));
        match tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 && first == "CREATE" && word(tokens.get(at)) == "AS" {
            return;
        }
        let may = depth == 0 || matches!(before.as_str(), "REFERENCES" | "LIKE");
        if !may || !is_name(tokens.get(at)) || is_point(tokens.get(at - 1)) {
            at += 1;
            continue;
        }
        let mut parts = 1;
        while is_point(tokens.get(at + 2 * parts - 1)) && is_name(tokens.get(at + 2 * parts)) {
            parts += 1;
        }
        // A column's name stands behind its table's.
        let whole = match before.as_str() {
            "COLUMN" | "BY" => 4,
            _ => 3,
        };
        let is_it = match &tokens[at].token {
            Token::Word(word) if word.quote_style.is_some() => word.value == database,
            Token::Word(word) => word.value.to_lowercase() == database,
            _ => false,
        };
        if parts == whole && is_it {
            tokens.drain(at..at + 2);
            parts -= 1;
        }
        at += 2 * parts - 1;
    }
}

/// CREATE DATABASE and DROP DATABASE.
pub(super) fn parse(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<DatabaseCommand, SqlError> {
    let mut parser = dialect::parser(tokens);
    let command = match takes(&mut parser, &["CREATE", "DATABASE"]) {
        true => create(&mut parser),
        false => drop(&mut parser),
    };
    let command = command.and_then(|command| {
        expect_end(&parser)?;
        Ok(command)
    });
    command.map_err(|error| syntax_error(sql, error))
}

/// What CREATE DATABASE takes.
const OPTIONS: [&str; 16] = [
    "allow_connections",
    "collation_version",
    "connection_limit",
    "encoding",
    "icu_locale",
    "is_template",
    "lc_collate",
    "lc_ctype",
    "locale",
    "locale_provider",
    "location",
    "oid",
    "owner",
    "strategy",
    "tablespace",
    "template",
];

fn create(parser: &mut Parser<'_>) -> Result<DatabaseCommand, ParserError> {
    let name = parser.parse_identifier()?;
    takes(parser, &["WITH"]);
    let mut options = Vec::new();
    loop {
        let token = parser.peek_token();
        let Token::Word(_) = token.token else {
            break;
        };
        let option = match takes(parser, &["CONNECTION", "LIMIT"]) {
            true => "connection_limit".to_string(),
            false => parser.parse_identifier()?.value.to_lowercase(),
        };
        let wrong = |what: String| {
            Err(ParserError::ParserError(
                what + &token.span.start.to_string(),
            ))
        };
        if options.iter().any(|(before, _)| *before == option) {
            return wrong("conflicting or redundant options".to_string());
        }
        if !OPTIONS.contains(&option.as_str()) {
            return wrong(format!("option \"{option}\" not recognized"));
        }
        let _ = parser.consume_token(&Token::Eq);
        let minus = parser.consume_token(&Token::Minus);
        let token = parser.next_token();
        let value = match token.token {
            Token::Word(ref word) => {
                let plain = word.quote_style.is_none();
                let default = plain && word.value.eq_ignore_ascii_case("default");
                let value = match plain {
                    true => word.value.to_lowercase(),
                    false => word.value.clone(),
                };
                (!default).then_some(value)
            }
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text),
            Token::Number(number, _) if minus => Some(format!("-{number}")),
            Token::Number(number, _) => Some(number),
            _ => return parser.expected("the value of an option", token),
        };
        options.push((option, value));
    }
    Ok(DatabaseCommand::Create { name, options })
}

fn drop(parser: &mut Parser<'_>) -> Result<DatabaseCommand, ParserError> {
    takes(parser, &["DROP", "DATABASE"]);
    let if_exists = takes(parser, &["IF", "EXISTS"]);
    let name = parser.parse_identifier()?;
    takes(parser, &["WITH"]);
    let mut force = false;
    if parser.consume_token(&Token::LParen) {
        loop {
            if !takes(parser, &["FORCE"]) {
                return parser.expected("FORCE", parser.peek_token());
            }
            force = true;
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    Ok(DatabaseCommand::Drop {
        if_exists,
        name,
        force,
    })
}
