//! DO with one definition that may be there already, as ORMs write it:
//! `DO $$ BEGIN CREATE TYPE …; EXCEPTION WHEN duplicate_object THEN null; END $$`. There is no other PL/pgSQL.

use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Parsed, dialect, parse_one};
use crate::error::{ErrorKind, SqlError};

/// The conditions that a definition fails with before it has done anything.
const CONDITIONS: [(&str, ErrorKind); 7] = [
    ("DUPLICATE_OBJECT", ErrorKind::DuplicateObject),
    ("DUPLICATE_TABLE", ErrorKind::DuplicateTable),
    ("DUPLICATE_COLUMN", ErrorKind::DuplicateColumn),
    ("DUPLICATE_SCHEMA", ErrorKind::DuplicateSchema),
    ("UNDEFINED_OBJECT", ErrorKind::UndefinedObject),
    ("UNDEFINED_TABLE", ErrorKind::UndefinedTable),
    ("UNDEFINED_COLUMN", ErrorKind::UndefinedColumn),
];

fn word(token: Option<&TokenWithSpan>) -> String {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// The definition in a DO of this form; `None` for any other statement.
pub(super) fn parse(tokens: &[TokenWithSpan], database: &str) -> Result<Option<Parsed>, SqlError> {
    if word(tokens.first()) != "DO" {
        return Ok(None);
    }
    let language =
        |at: usize| word(tokens.get(at)) == "LANGUAGE" && word(tokens.get(at + 1)) == "PLPGSQL";
    let at = if language(1) { 3 } else { 1 };
    let body = match tokens.get(at).map(|token| &token.token) {
        Some(Token::SingleQuotedString(body)) => body,
        _ => return Ok(None),
    };
    let ends = |at: usize| {
        matches!(
            tokens.get(at).map(|token| &token.token),
            None | Some(Token::EOF)
        )
    };
    if !(ends(at + 1) || language(at + 1) && ends(at + 3)) {
        return Ok(None);
    }
    let Some((definition, kinds)) = excused(body) else {
        return Ok(None);
    };
    // Where it stands in the body is no place in the statement.
    let nowhere: Arc<str> = "".into();
    let mut parsed = parse_one(&nowhere, definition, database)?;
    parsed.excused = Some(kinds.into());
    Ok(Some(parsed))
}

/// The definition in such a body, and what it may fail with.
fn excused(body: &str) -> Option<(Vec<TokenWithSpan>, Vec<ErrorKind>)> {
    let mut tokens = dialect::tokens(body).ok()?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    let mut parts = tokens.split(|token| token.token == Token::SemiColon);
    let (definition, handler, end) = (parts.next()?, parts.next()?, parts.next()?);
    let is_over = parts.all(<[TokenWithSpan]>::is_empty);
    let words = |part: &[TokenWithSpan]| {
        part.iter()
            .map(|token| word(Some(token)))
            .collect::<Vec<_>>()
    };
    if !is_over || words(end) != ["END"] || word(definition.first()) != "BEGIN" {
        return None;
    }
    let definition = &definition[1..];
    if !matches!(
        word(definition.first()).as_str(),
        "CREATE" | "ALTER" | "DROP"
    ) {
        return None;
    }
    let handler = words(handler);
    let [exception, when, conditions @ .., then, null] = handler.as_slice() else {
        return None;
    };
    if [exception, when, then, null] != ["EXCEPTION", "WHEN", "THEN", "NULL"] {
        return None;
    }
    let mut kinds = Vec::new();
    for named in conditions.split(|word| word == "OR") {
        let [name] = named else { return None };
        let (_, kind) = CONDITIONS.iter().find(|(known, _)| known == name)?;
        kinds.push(*kind);
    }
    Some((definition.to_vec(), kinds))
}
