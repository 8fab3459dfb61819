//! GROUP BY as sqlparser takes it: DISTINCT, ALL, sets within sets, and elements that begin with a parenthesis.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{closing, is, token, word};

/// The first key of GROUP BY DISTINCT.
pub(crate) const DISTINCT_SETS: &str = "\u{1}distinct sets";

/// Functions as which sets within sets are written, with these elements as arguments.
pub(crate) const SETS: &str = "\u{1}grouping sets";
pub(crate) const ROLLUP: &str = "\u{1}rollup";
pub(crate) const CUBE: &str = "\u{1}cube";

/// An element `()` of those.
pub(crate) const NO_KEYS: &str = "\u{1}no keys";

/// Rewrites what begins at a place.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if word(tokens, at) == "GROUP" && word(tokens, at + 1) == "BY" {
        match word(tokens, at + 2).as_str() {
            "ALL" => drop(tokens.remove(at + 2)),
            "DISTINCT" => {
                let like = tokens[at + 2].clone();
                tokens[at + 2].token = Token::make_word(DISTINCT_SETS, Some('"'));
                tokens.insert(at + 3, token(Token::Comma, &like));
            }
            _ => {}
        }
    }
    if word(tokens, at) == "GROUPING" && word(tokens, at + 1) == "SETS" {
        within(tokens, at + 2);
    }
    elements(tokens, at);
}

/// Names the sets among the elements of GROUPING SETS, whose parenthesis opens here.
fn within(tokens: &mut Vec<TokenWithSpan>, open: usize) {
    if !is(tokens, open, &Token::LParen) {
        return;
    }
    let mut at = open + 1;
    while at < closing(tokens, open) {
        let (name, opens) = match word(tokens, at).as_str() {
            "ROLLUP" => (ROLLUP, at + 1),
            "CUBE" => (CUBE, at + 1),
            "GROUPING" if word(tokens, at + 1) == "SETS" => (SETS, at + 2),
            _ => {
                at = past(tokens, at);
                continue;
            }
        };
        if !is(tokens, opens, &Token::LParen) {
            return;
        }
        if name == SETS {
            within(tokens, opens);
            let mut empty = opens + 1;
            while empty < closing(tokens, opens) {
                if is(tokens, empty, &Token::LParen) && is(tokens, empty + 1, &Token::RParen) {
                    tokens[empty].token = Token::make_word(NO_KEYS, Some('"'));
                    tokens.remove(empty + 1);
                }
                empty = past(tokens, empty);
            }
            tokens.remove(at + 1);
        }
        tokens[at].token = Token::make_word(name, Some('"'));
        at = closing(tokens, at + 1);
    }
}

/// The place behind what begins at a place: a token, or all that is in parentheses.
fn past(tokens: &[TokenWithSpan], at: usize) -> usize {
    match is(tokens, at, &Token::LParen) {
        true => closing(tokens, at) + 1,
        false => at + 1,
    }
}

/// `ROLLUP ((a + 1) * 2, b)` as `ROLLUP (((a + 1) * 2), b)`: sqlparser takes an element that begins with a parenthesis for a
/// list.
fn elements(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let opens = matches!(word(tokens, at).as_str(), "ROLLUP" | "CUBE" | "SETS");
    if !opens || !is(tokens, at + 1, &Token::LParen) {
        return;
    }
    let end = closing(tokens, at + 1);
    let mut begin = at + 2;
    let mut wrapped = Vec::new();
    while begin < end {
        let mut next = begin;
        while next < end && !is(tokens, next, &Token::Comma) {
            next = past(tokens, next);
        }
        if is(tokens, begin, &Token::LParen) && closing(tokens, begin) + 1 < next {
            wrapped.push((begin, next));
        }
        begin = next + 1;
    }
    for (begin, next) in wrapped.into_iter().rev() {
        let like = tokens[begin].clone();
        tokens.insert(next.min(tokens.len()), token(Token::RParen, &like));
        tokens.insert(begin, token(Token::LParen, &like));
    }
}
