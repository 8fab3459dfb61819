//! `SET column[subscript] = value`, which sqlparser does not know, as an assignment of a function of the value and the
//! subscripts.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{is, token, word};
use crate::error::SqlError;
use crate::functions::ASSIGNED;

/// Rewrites the assignments that begin at `at`, where they are such.
pub(super) fn assign(tokens: &mut Vec<TokenWithSpan>, mut at: usize) -> Result<(), SqlError> {
    loop {
        let is_column = matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(_)));
        let mut end = value_end(tokens, at);
        if is_column
            && is(tokens, at + 1, &Token::LBracket)
            && let Some(assignment) = assignment(&tokens[at..end])?
        {
            let length = assignment.len();
            tokens.splice(at..end, assignment);
            end = at + length;
        }
        if !is(tokens, end, &Token::Comma) {
            return Ok(());
        }
        at = end + 1;
    }
}

/// Where the assignment that begins here ends.
fn value_end(tokens: &[TokenWithSpan], begin: usize) -> usize {
    let mut depth = 0;
    for at in begin..tokens.len() {
        match tokens[at].token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return at,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma | Token::SemiColon if depth == 0 => return at,
            _ => {}
        }
        let ends = match word(tokens, at).as_str() {
            "FROM" => at == begin || word(tokens, at - 1) != "DISTINCT",
            word => matches!(word, "WHERE" | "RETURNING"),
        };
        if depth == 0 && ends {
            return at;
        }
    }
    tokens.len()
}

/// `column[a][b] = value` as `column = function((value), (a), (b))`; `None` where no value follows.
fn assignment(tokens: &[TokenWithSpan]) -> Result<Option<Vec<TokenWithSpan>>, SqlError> {
    let like = &tokens[0];
    let (mut subscripts, mut at) = (Vec::new(), 1);
    while is(tokens, at, &Token::LBracket) {
        let Some(close) = closing(tokens, at) else {
            return Ok(None);
        };
        let subscript = &tokens[at + 1..close];
        if subscript.iter().any(|of| of.token == Token::Colon) {
            let what = "an assignment to a slice of a column (SET column[…:…] = …)";
            return Err(SqlError::unsupported(what));
        }
        subscripts.push(subscript);
        at = close + 1;
    }
    let value = match is(tokens, at, &Token::Eq) {
        true => &tokens[at + 1..],
        false => return Ok(None),
    };
    let mut made = vec![like.clone(), tokens[at].clone()];
    made.push(token(Token::make_word(ASSIGNED, None), like));
    for (n, argument) in std::iter::once(value).chain(subscripts).enumerate() {
        let opens = if n == 0 { Token::LParen } else { Token::Comma };
        made.push(token(opens, like));
        made.push(token(Token::LParen, like));
        made.extend_from_slice(argument);
        made.push(token(Token::RParen, like));
    }
    made.push(token(Token::RParen, like));
    Ok(Some(made))
}

/// Where the bracket that opens here is closed.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, found) in tokens.iter().enumerate().skip(open) {
        match found.token {
            Token::LBracket | Token::LParen => depth += 1,
            Token::RBracket | Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
