//! `SET column[subscript] = value` and `SET column[from:to] = value`, which sqlparser does not know, as an assignment of a function of the value and the
//! subscripts.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{is, token, word};
use crate::error::SqlError;
use crate::functions::{ASSIGNED, SLICE_ASSIGNED};

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

/// `column[a][b] = value` as `column = function((value), (a), (b))`; `None` where no value follows. Where one is a slice,
/// each has two bounds: TRUE stands for one that is left out, and `[b]` is `[1:b]`.
fn assignment(tokens: &[TokenWithSpan]) -> Result<Option<Vec<TokenWithSpan>>, SqlError> {
    let like = &tokens[0];
    let (mut subscripts, mut at) = (Vec::new(), 1);
    while is(tokens, at, &Token::LBracket) {
        let Some(close) = closing(tokens, at) else {
            return Ok(None);
        };
        subscripts.push(&tokens[at + 1..close]);
        at = close + 1;
    }
    let value = match is(tokens, at, &Token::Eq) {
        true => &tokens[at + 1..],
        false => return Ok(None),
    };
    let colon = |subscript: &[TokenWithSpan]| {
        let mut places = 0..subscript.len();
        places.find(|at| is(subscript, *at, &Token::Colon) && depth(&subscript[..*at]) == 0)
    };
    let of_slice = subscripts.iter().any(|of| colon(of).is_some());
    let mut arguments = vec![value.to_vec()];
    for subscript in subscripts {
        match colon(subscript) {
            Some(at) => {
                for bound in [&subscript[..at], &subscript[at + 1..]] {
                    arguments.push(match bound {
                        [] => vec![token(Token::make_word("TRUE", None), like)],
                        bound => bound.to_vec(),
                    });
                }
            }
            None => {
                if of_slice {
                    arguments.push(vec![token(Token::Number("1".to_string(), false), like)]);
                }
                arguments.push(subscript.to_vec());
            }
        }
    }
    let function = if of_slice { SLICE_ASSIGNED } else { ASSIGNED };
    let mut made = vec![like.clone(), tokens[at].clone()];
    made.push(token(Token::make_word(function, None), like));
    for (n, argument) in arguments.into_iter().enumerate() {
        let opens = if n == 0 { Token::LParen } else { Token::Comma };
        made.push(token(opens, like));
        made.push(token(Token::LParen, like));
        made.extend(argument);
        made.push(token(Token::RParen, like));
    }
    made.push(token(Token::RParen, like));
    Ok(Some(made))
}

/// How many brackets are open behind some tokens.
fn depth(tokens: &[TokenWithSpan]) -> i32 {
    let change = |of: &TokenWithSpan| match of.token {
        Token::LBracket | Token::LParen => 1,
        Token::RBracket | Token::RParen => -1,
        _ => 0,
    };
    tokens.iter().map(change).sum()
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
