//! Locking clauses in a form that sqlparser can read.
//!
//! It knows neither FOR NO KEY UPDATE and FOR KEY SHARE nor a list behind OF. Here `FOR NO KEY UPDATE OF a, b` becomes
//! `FOR UPDATE OF "…"."a"."b"`, whose first part, which no statement can write, says which of them it was.

use datafusion::sql::sqlparser::ast::{Ident, LockClause, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::quoted;
use crate::error::{ErrorKind, SqlError};

/// In front of the names of FOR UPDATE and FOR SHARE.
const KEYS: &str = "\u{1}keys";
/// In front of those of FOR NO KEY UPDATE and FOR KEY SHARE.
const NO_KEYS: &str = "\u{1}no keys";

/// Whether a clause says NO KEY UPDATE or KEY SHARE, and the relations that it names.
pub(crate) fn names_of(clause: &LockClause) -> (bool, Vec<Ident>) {
    let parts = clause.of.iter().flat_map(|of| &of.0);
    let mut names = parts.filter_map(|part| part.as_ident().cloned()).peekable();
    let marked = names.next_if(|name| [KEYS, NO_KEYS].contains(&name.value.as_str()));
    let spares_keys = marked.is_some_and(|mark| mark.value == NO_KEYS);
    (spares_keys, names.collect())
}

/// What such a clause has behind OF when it names no relation.
pub(crate) fn all(spares_keys: bool) -> Option<ObjectName> {
    spares_keys.then(|| ObjectName::from(vec![quoted(NO_KEYS)]))
}

/// Rewrites the clauses of a statement. Nowhere else do these words stand together.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<(), SqlError> {
    let mut at = 0;
    while at < tokens.len() {
        let next: Vec<Keyword> = tokens[at..].iter().take(4).map(word).collect();
        let (extra, name) = match next.as_slice() {
            [Keyword::FOR, Keyword::NO, Keyword::KEY, Keyword::UPDATE] => (2, "FOR NO KEY UPDATE"),
            [Keyword::FOR, Keyword::KEY, Keyword::SHARE, ..] => (1, "FOR KEY SHARE"),
            [Keyword::FOR, Keyword::UPDATE, ..] => (0, "FOR UPDATE"),
            [Keyword::FOR, Keyword::SHARE, ..] => (0, "FOR SHARE"),
            _ => {
                at += 1;
                continue;
            }
        };
        tokens.drain(at + 1..at + 1 + extra);
        at += 2;
        let spares_keys = extra > 0;
        let names = tokens
            .get(at)
            .is_some_and(|token| word(token) == Keyword::OF);
        if names {
            mark_names(&mut tokens[at + 1..], name)?;
        }
        if !names && !spares_keys {
            continue;
        }
        let Some(span) = tokens.get(at - 1).map(|token| token.span) else {
            continue;
        };
        let mark = |token| TokenWithSpan { token, span };
        let first = if spares_keys { NO_KEYS } else { KEYS };
        let first = mark(Token::Word(Word {
            value: first.to_string(),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        }));
        match names {
            true if is_marked(tokens.get(at + 1)) => {}
            true => drop(tokens.splice(at + 1..at + 1, [first, mark(Token::Period)])),
            false => {
                let of = mark(Token::make_keyword("OF"));
                tokens.splice(at..at, [of, first]);
            }
        }
    }
    Ok(())
}

/// Makes the commas of a list of names periods.
fn mark_names(tokens: &mut [TokenWithSpan], clause: &str) -> Result<(), SqlError> {
    if is_marked(tokens.first()) {
        return Ok(());
    }
    let mut rest = tokens.iter_mut();
    while let Some(TokenWithSpan {
        token: Token::Word(_),
        ..
    }) = rest.next()
    {
        match rest.next() {
            Some(token) if token.token == Token::Comma => token.token = Token::Period,
            Some(token) if token.token == Token::Period => {
                let message = format!("{clause} must specify unqualified relation names");
                return Err(SqlError::new(ErrorKind::SyntaxError, message));
            }
            _ => break,
        }
    }
    Ok(())
}

/// Whether names were rewritten before: the statement of a cursor is read as a part of DECLARE first.
fn is_marked(token: Option<&TokenWithSpan>) -> bool {
    let marks = |word: &Word| [KEYS, NO_KEYS].contains(&word.value.as_str());
    matches!(token.map(|token| &token.token), Some(Token::Word(word)) if marks(word))
}

/// Whether FOR UPDATE or FOR SHARE stands somewhere.
pub(super) fn may_lock(tokens: &[TokenWithSpan]) -> bool {
    tokens.windows(2).any(|two| {
        word(&two[0]) == Keyword::FOR && matches!(word(&two[1]), Keyword::UPDATE | Keyword::SHARE)
    })
}

fn word(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}
