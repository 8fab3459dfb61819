//! DROP of what there is none of: routines, triggers, rules, policies, domains, publications and their like. What is
//! dropped IF EXISTS is skipped, as scripts that begin with it want.

use datafusion::sql::sqlparser::ast::{DataType, Ident, ObjectName};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect;
use super::syntax_error;
use crate::error::SqlError;

/// What DROP names.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    /// `DROP FUNCTION`.
    pub(crate) tag: &'static str,
    /// As messages call its kind.
    pub(crate) kind: &'static str,
    pub(crate) if_exists: bool,
    pub(crate) names: Vec<Named>,
}

#[derive(Clone, Debug)]
pub(crate) enum Named {
    /// Of a schema where `true`.
    Object(ObjectName, bool),
    /// With the types of its arguments, where it has parentheses.
    Routine(ObjectName, Option<Vec<DataType>>),
    /// Of a relation.
    Part(Ident, ObjectName),
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Object,
    OfSchema,
    Routine,
    Part,
}

/// (words, tag, as messages call it, form)
const KINDS: [(&[&str], &str, &str, Form); 15] = [
    (&["FUNCTION"], "DROP FUNCTION", "function", Form::Routine),
    (&["PROCEDURE"], "DROP PROCEDURE", "procedure", Form::Routine),
    (&["ROUTINE"], "DROP ROUTINE", "routine", Form::Routine),
    (&["AGGREGATE"], "DROP AGGREGATE", "aggregate", Form::Routine),
    (&["TRIGGER"], "DROP TRIGGER", "trigger", Form::Part),
    (&["RULE"], "DROP RULE", "rule", Form::Part),
    (&["POLICY"], "DROP POLICY", "policy", Form::Part),
    (&["DOMAIN"], "DROP DOMAIN", "type", Form::OfSchema),
    (
        &["STATISTICS"],
        "DROP STATISTICS",
        "statistics object",
        Form::OfSchema,
    ),
    (
        &["FOREIGN", "TABLE"],
        "DROP FOREIGN TABLE",
        "foreign table",
        Form::OfSchema,
    ),
    (
        &["PUBLICATION"],
        "DROP PUBLICATION",
        "publication",
        Form::Object,
    ),
    (
        &["SUBSCRIPTION"],
        "DROP SUBSCRIPTION",
        "subscription",
        Form::Object,
    ),
    (
        &["EVENT", "TRIGGER"],
        "DROP EVENT TRIGGER",
        "event trigger",
        Form::Object,
    ),
    (
        &["FOREIGN", "DATA", "WRAPPER"],
        "DROP FOREIGN DATA WRAPPER",
        "foreign-data wrapper",
        Form::Object,
    ),
    (&["SERVER"], "DROP SERVER", "server", Form::Object),
];

/// The statement, if it is such a one.
pub(super) fn parse(sql: &str, tokens: &[TokenWithSpan]) -> Result<Option<Absent>, SqlError> {
    let is = |at: usize, wanted: &str| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted)
        }
        _ => false,
    };
    let begins = |words: &[&str]| {
        let mut words = words.iter().zip(1..);
        is(0, "DROP") && words.all(|(wanted, at)| is(at, wanted))
    };
    let Some((words, tag, kind, form)) = KINDS.into_iter().find(|(words, ..)| begins(words)) else {
        return Ok(None);
    };
    let if_exists = is(words.len() + 1, "IF") && is(words.len() + 2, "EXISTS");
    let at = words.len() + 1 + if if_exists { 2 } else { 0 };
    let mut parser = dialect::parser(tokens[at..].to_vec());
    let names = names(&mut parser, form).map_err(|error| syntax_error(sql, error))?;
    Ok(Some(Absent {
        tag,
        kind,
        if_exists,
        names,
    }))
}

fn names(parser: &mut Parser<'_>, form: Form) -> Result<Vec<Named>, ParserError> {
    use datafusion::sql::sqlparser::keywords::Keyword;
    let names = match form {
        Form::Part => {
            let name = parser.parse_identifier()?;
            parser.expect_keyword_is(Keyword::ON)?;
            vec![Named::Part(name, parser.parse_object_name(false)?)]
        }
        _ => parser.parse_comma_separated(|parser| {
            let name = parser.parse_object_name(false)?;
            if form != Form::Routine {
                return Ok(Named::Object(name, form == Form::OfSchema));
            }
            let args = match parser.consume_token(&Token::LParen) {
                true => Some(arguments(parser)?),
                false => None,
            };
            Ok(Named::Routine(name, args))
        })?,
    };
    let _ = parser.parse_one_of_keywords(&[Keyword::CASCADE, Keyword::RESTRICT]);
    super::expect_end(parser)?;
    Ok(names)
}

/// The types of a routine's input arguments, behind the parenthesis that opens.
fn arguments(parser: &mut Parser<'_>) -> Result<Vec<DataType>, ParserError> {
    let mut types = Vec::new();
    if parser.consume_token(&Token::Mul) {
        parser.expect_token(&Token::RParen)?;
        return Ok(types);
    }
    while !parser.consume_token(&Token::RParen) {
        let mode = match &parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        };
        if matches!(mode.as_str(), "IN" | "OUT" | "INOUT" | "VARIADIC") {
            parser.next_token();
        }
        let ends = |parser: &Parser<'_>| {
            matches!(parser.peek_token_ref().token, Token::Comma | Token::RParen)
        };
        let alone = parser.maybe_parse(|parser| {
            let ty = parser.parse_data_type()?;
            match ends(parser) {
                true => Ok(ty),
                false => Err(ParserError::ParserError("a name".to_string())),
            }
        })?;
        let ty = match alone {
            Some(ty) => ty,
            None => {
                parser.parse_identifier()?;
                parser.parse_data_type()?
            }
        };
        if mode != "OUT" {
            types.push(ty);
        }
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            break;
        }
    }
    Ok(types)
}
