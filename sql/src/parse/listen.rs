//! `LISTEN channel [WITH (since = '…', …)]`.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::subscribe::{SubscribeOption, option_of, parse_option};
use super::tokens::unexpected;
use super::{dialect, expect_end, keywords, syntax_error};
use crate::error::SqlError;

/// A LISTEN.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) channel: Ident,
    pub(crate) options: Vec<SubscribeOption>,
}

/// Refuses what is no name of a channel, or no payload, in a LISTEN, UNLISTEN or NOTIFY: sqlparser takes strings for names, names
/// for strings, and all words for both.
pub(super) fn check_channel(tokens: &[TokenWithSpan]) -> Result<(), ParserError> {
    let wrong = |at: usize, is_wrong: &dyn Fn(&Token) -> bool| match tokens.get(at) {
        Some(token) if is_wrong(&token.token) => Err(unexpected(token)),
        _ => Ok(()),
    };
    wrong(1, &|token| match token {
        Token::Word(word) => {
            word.quote_style.is_none() && keywords::is_reserved(&word.value.to_lowercase())
        }
        Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_) => true,
        _ => false,
    })?;
    match tokens.get(2).map(|token| &token.token) {
        Some(Token::Comma) => wrong(3, &|token| matches!(token, Token::Word(_))),
        _ => Ok(()),
    }
}

pub(super) fn parse_listen(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Listen, SqlError> {
    let mut parser = dialect::parser(tokens);
    let parts = (|| {
        parser.next_token();
        let channel = parser.parse_identifier()?;
        let mut options = Vec::new();
        if parser.parse_keyword(Keyword::WITH) {
            parser.expect_token(&Token::LParen)?;
            options = parser.parse_comma_separated(parse_option)?;
            parser.expect_token(&Token::RParen)?;
        }
        expect_end(&parser)?;
        Ok((channel, options))
    })();
    let (channel, options) = parts.map_err(|error| syntax_error(sql, error))?;
    Ok(Listen {
        channel,
        options: options
            .into_iter()
            .map(option_of)
            .collect::<Result<_, _>>()?,
    })
}
