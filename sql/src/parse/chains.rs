//! Long chains: `a OR b OR …`. sqlparser makes a tree of them that is as deep as the chain is long.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{ErrorKind, SqlError};
use crate::parse::walk::WalkMut;

/// How many words and signs may follow one another without a comma, a bracket, AND, OR or another SELECT.
const LINKS_MAX: usize = 2_000;
/// How many SELECTs may be united.
const SELECTS_MAX: usize = 1_000;
/// How many conditions may be connected.
const CONNECTIVES_MAX: usize = 50_000;
/// How many words and signs may stand in one pair of brackets without a comma, which bounds the stack that is asked for.
const WORDS_MAX: usize = 500_000;

/// Up to so many words of a chain the stack of any thread suffices.
const CHAIN_SHORT: usize = 2_000;
/// More than dropping one more level of a tree takes, unoptimised.
const STACK_BYTES_PER_WORD: usize = 1 << 10;

/// What stands within one pair of brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    links: usize,
    connectives: usize,
    selects: usize,
    words: usize,
}

/// Parses a statement of these tokens on stack enough for the longest chain in it.
///
/// # Errors
///
/// [`ErrorKind::StatementTooComplex`] for a chain that is too long.
pub(super) fn on_stack_enough<T>(
    tokens: &[TokenWithSpan],
    parse: impl FnOnce(Vec<TokenWithSpan>) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    let words = longest(tokens)?;
    let tokens = tokens.to_vec();
    match words > CHAIN_SHORT {
        true => stacker::grow(words * STACK_BYTES_PER_WORD, || parse(tokens)),
        false => parse(tokens),
    }
}

/// The words and signs of the longest chain.
fn longest(tokens: &[TokenWithSpan]) -> Result<usize, SqlError> {
    let mut around = Vec::new();
    let mut level = Level::default();
    let mut longest = 0;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => around.push(std::mem::take(&mut level)),
            Token::RParen | Token::RBracket => level = around.pop().unwrap_or_default(),
            Token::Comma | Token::SemiColon => level = Level::default(),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::AND | Keyword::OR => {
                    level.links = 0;
                    level.connectives += 1;
                }
                Keyword::WHEN => level.links = 0,
                Keyword::SELECT => {
                    level.links = 0;
                    level.selects += 1;
                }
                _ => {}
            },
            Token::Whitespace(_) => continue,
            _ => {}
        }
        level.links += 1;
        level.words += 1;
        longest = longest.max(level.words);
        if level.links > LINKS_MAX
            || level.selects > SELECTS_MAX
            || level.connectives > CONNECTIVES_MAX
            || level.words > WORDS_MAX
        {
            let message = "stack depth limit exceeded";
            return Err(SqlError::new(ErrorKind::StatementTooComplex, message));
        }
    }
    Ok(longest)
}

/// Makes the trees of AND and of OR as flat as they can be.
pub(super) fn balance(part: &mut impl VisitMut) {
    let _ = part.walk_mut(&mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        for op in [BinaryOperator::And, BinaryOperator::Or] {
            if leans_left(expr, &op) {
                let mut operands = take_apart(take(expr), &op);
                *expr = united(&mut operands, &op);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether it is as the parser leaves three operands or more.
fn leans_left(expr: &Expr, connective: &BinaryOperator) -> bool {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            op == connective && is_of(left, connective) && !is_of(right, connective)
        }
        _ => false,
    }
}

fn is_of(expr: &Expr, connective: &BinaryOperator) -> bool {
    matches!(expr, Expr::BinaryOp { op, .. } if op == connective)
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// The operands of a tree that leans to the left, first to last.
fn take_apart(mut expr: Expr, connective: &BinaryOperator) -> Vec<Expr> {
    let mut operands = Vec::new();
    loop {
        match expr {
            Expr::BinaryOp { left, op, right } if op == *connective => {
                operands.push(*right);
                expr = *left;
            }
            first => {
                operands.push(first);
                operands.reverse();
                return operands;
            }
        }
    }
}

/// A tree of operands, of which there is one at least, as flat as it can be; it takes them.
pub(crate) fn united(operands: &mut [Expr], connective: &BinaryOperator) -> Expr {
    match operands {
        [one] => take(one),
        many => {
            let (left, right) = many.split_at_mut(many.len() / 2);
            Expr::BinaryOp {
                left: Box::new(united(left, connective)),
                op: connective.clone(),
                right: Box::new(united(right, connective)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::BinaryOp { left, right, .. } => 1 + depth(left).max(depth(right)),
            _ => 0,
        }
    }

    #[test]
    fn a_chain_keeps_its_order_and_loses_its_depth() {
        for connective in [" AND ", " OR "] {
            let operands: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
            let sql = operands.join(connective);
            let expr = crate::parse::parse_expression(&sql).unwrap();
            assert_eq!(expr.to_string(), sql);
            assert_eq!(depth(&expr), 10);
        }
        let mixed = "a AND b AND c OR d AND e AND f OR (g OR h OR i) AND j";
        let expr = crate::parse::parse_expression(mixed).unwrap();
        assert_eq!(expr.to_string(), mixed);
    }

    #[test]
    fn what_is_too_long_is_refused_without_being_parsed() {
        for (chain, length) in [
            (" + 1", 2_000),
            (" OR a = 1", 100_000),
            (" UNION ALL SELECT 1", 2_000),
            (" WHEN a THEN b", 200_000),
        ] {
            let sql = format!("SELECT 1{}", chain.repeat(length));
            let error = crate::parse::parse(&sql).unwrap_err();
            assert_eq!(error.kind, ErrorKind::StatementTooComplex, "{chain}");
        }
        // An error at the end of a long one leaves its tree to be dropped.
        let sql = format!("SELECT a = 1{})", " OR a = 1".repeat(20_000));
        let error = crate::parse::parse(&sql).unwrap_err();
        assert_eq!(error.kind, ErrorKind::SyntaxError);
    }
}
