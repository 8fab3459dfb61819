//! VACUUM and ANALYZE.

use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::define::takes;
use super::dialect;
use super::{expect_end, syntax_error};
use crate::error::SqlError;

/// A VACUUM or an ANALYZE.
#[derive(Clone, Debug)]
pub(crate) struct Maintain {
    /// The command tag.
    pub(crate) verb: &'static str,
    /// The tables that it names; without any it is about all.
    pub(crate) tables: Vec<ObjectName>,
}

pub(super) fn parse_maintain(sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Maintain, SqlError> {
    let mut parser = dialect::parser(tokens);
    let verb = match takes(&mut parser, &["VACUUM"]) {
        true => "VACUUM",
        false => {
            parser.next_token();
            "ANALYZE"
        }
    };
    let parsed = (|| {
        // Options say how much is done, and in which order.
        if parser.peek_token().token == Token::LParen {
            parser.next_token();
            while !matches!(parser.next_token().token, Token::RParen | Token::EOF) {}
        } else {
            for option in ["FULL", "FREEZE", "VERBOSE"] {
                takes(&mut parser, &[option]);
            }
            if verb == "VACUUM" && !takes(&mut parser, &["ANALYZE"]) {
                takes(&mut parser, &["ANALYSE"]);
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
        expect_end(&parser)?;
        Ok(tables)
    })();
    let tables = parsed.map_err(|error| syntax_error(sql, error))?;
    Ok(Maintain { verb, tables })
}
