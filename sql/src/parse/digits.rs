//! Digits of a second that types do not have: warnings of `timestamp(7)`, and no `interval hour(3)`.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tidelog_storage::datum::SECOND_DIGITS;

use super::position;
use crate::error::{ErrorKind, SqlError};

/// What is to be warned of in a statement's tokens, which are without whitespace; PostgreSQL shows where, but for keywords
/// that are values.
///
/// # Errors
/// 42601 for digits of another field than seconds.
pub(super) fn check(starts: &[usize], tokens: &[TokenWithSpan]) -> Result<Vec<SqlError>, SqlError> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let mut found = Vec::new();
    for (at, three) in tokens.windows(3).enumerate() {
        let [_, Token::LParen, Token::Number(digits, _)] = [0, 1, 2].map(|n| &three[n].token)
        else {
            continue;
        };
        let name = word(at);
        let is_of_interval = at > 0 && (is_literal(&tokens[at - 1]) || is_field(&word(at - 1)));
        if is_of_interval && matches!(name.as_str(), "YEAR" | "MONTH" | "DAY" | "HOUR" | "MINUTE") {
            let message = "syntax error at or near \"(\"";
            let mut error = SqlError::new(ErrorKind::SyntaxError, message);
            error.position = Some(position(starts, &three[1]));
            return Err(error);
        }
        if digits
            .parse()
            .is_ok_and(|digits: u64| digits <= SECOND_DIGITS.into())
        {
            continue;
        }
        let zoned = match word(at + 4).as_str() {
            "WITH" if word(at + 5) == "TIME" => " WITH TIME ZONE",
            _ => "",
        };
        let (ty, zone) = match name.as_str() {
            "TIMESTAMP" => ("TIMESTAMP", zoned),
            "TIME" => ("TIME", zoned),
            "TIMESTAMPTZ" | "CURRENT_TIMESTAMP" => ("TIMESTAMP", " WITH TIME ZONE"),
            "TIMETZ" | "CURRENT_TIME" => ("TIME", " WITH TIME ZONE"),
            "LOCALTIMESTAMP" => ("TIMESTAMP", ""),
            "LOCALTIME" => ("TIME", ""),
            "INTERVAL" => ("INTERVAL", ""),
            "SECOND" if is_of_interval => ("INTERVAL", ""),
            _ => continue,
        };
        // The type's name is where an interval's fields begin.
        let names_type = |at: &usize| word(*at) == "INTERVAL";
        let place = match ty {
            "INTERVAL" => (0..=at).rev().find(names_type).unwrap_or(at),
            _ => at,
        };
        let is_value = name.starts_with("CURRENT") || name.starts_with("LOCAL");
        let message =
            format!("{ty}({digits}){zone} precision reduced to maximum allowed, {SECOND_DIGITS}");
        let mut warning = SqlError::new(ErrorKind::InvalidParameterValue, message);
        warning.position = (!is_value).then(|| position(starts, &tokens[place]));
        found.push(warning);
    }
    Ok(found)
}

fn is_literal(token: &TokenWithSpan) -> bool {
    matches!(
        token.token,
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)
    )
}

/// What the last field of an interval's type stands behind.
fn is_field(word: &str) -> bool {
    matches!(word, "TO" | "INTERVAL")
}
