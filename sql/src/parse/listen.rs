//! `LISTEN channel [WITH (since = '…', …)]`.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect;
use super::subscribe::{SubscribeOption, option_of, parse_option};
use super::{expect_end, syntax_error};
use crate::error::SqlError;

/// A LISTEN.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) channel: Ident,
    pub(crate) options: Vec<SubscribeOption>,
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
