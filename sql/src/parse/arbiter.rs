//! What ON CONFLICT names: sqlparser knows columns only. Expressions, and a condition, stand as the name of one column.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Ident, ObjectNamePart, SelectItem, SetExpr, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::parse_query;
use super::walk::WalkMut;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};

/// Begins the name of a column that stands for expressions.
const MARK: char = '\u{1}';

/// The index that an ON CONFLICT clause means.
pub(crate) struct Arbiter {
    /// Columns and expressions, as `plain` writes them.
    pub(crate) keys: Vec<Expr>,
    pub(crate) condition: Option<Expr>,
}

/// Writes the target of ON CONFLICT as one column, where it is no list of columns.
pub(super) fn mark(tokens: &mut Vec<TokenWithSpan>) {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let is_conflict = |at: &usize| {
        word(*at) == "ON"
            && word(*at + 1) == "CONFLICT"
            && tokens.get(*at + 2).map(|token| &token.token) == Some(&Token::LParen)
    };
    let Some(open) = (0..tokens.len()).find(is_conflict).map(|at| at + 2) else {
        return;
    };
    let mut depth = 0;
    let close = tokens.iter().skip(open).position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(close) = close.map(|at| open + at) else {
        return;
    };
    let is_conditional = word(close + 1) == "WHERE";
    let inside = &tokens[open + 1..close];
    let is_list = inside
        .iter()
        .enumerate()
        .all(|(at, token)| match token.token {
            Token::Word(_) => at % 2 == 0,
            Token::Comma => at % 2 == 1,
            _ => false,
        });
    if is_list && !is_conditional || inside.is_empty() {
        return;
    }
    let end = match is_conditional {
        true => (close + 1..tokens.len()).find(|at| word(*at) == "DO"),
        false => Some(close + 1),
    };
    let Some(end) = end else {
        return;
    };
    let written = |tokens: &[TokenWithSpan]| {
        let words = tokens.iter().map(|token| token.token.to_string());
        words.collect::<Vec<_>>().join(" ")
    };
    let mut text = format!("{MARK}{}", written(inside));
    if is_conditional {
        text.push_str(&format!(" {}", written(&tokens[close + 1..end])));
    }
    let name = TokenWithSpan {
        token: Token::make_word(&text, Some('"')),
        span: tokens[open + 1].span,
    };
    let close_token = tokens[close].clone();
    tokens.splice(open + 1..end, [name, close_token]);
}

/// The target of an ON CONFLICT clause, of the names that stand for it.
pub(crate) fn read(names: &[Ident]) -> Result<Arbiter, SqlError> {
    let [only] = names else {
        return Ok(of_columns(names));
    };
    let Some(text) = only.value.strip_prefix(MARK) else {
        return Ok(of_columns(names));
    };
    let not_read = || SqlError::new(ErrorKind::SyntaxError, "this ON CONFLICT cannot be read");
    let query = parse_query(&format!("SELECT {text}"))?;
    let SetExpr::Select(select) = *query.body else {
        return Err(not_read());
    };
    let mut keys = Vec::with_capacity(select.projection.len());
    for item in select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => keys.push(plain(expr)),
            _ => return Err(not_read()),
        }
    }
    Ok(Arbiter {
        keys,
        condition: select.selection.map(plain),
    })
}

fn of_columns(names: &[Ident]) -> Arbiter {
    let keys = names
        .iter()
        .map(|name| plain(Expr::Identifier(name.clone())));
    Arbiter {
        keys: keys.collect(),
        condition: None,
    }
}

/// An expression over one table without what does not change its meaning: parentheses, the table's name, capitals.
pub(crate) fn plain(mut expr: Expr) -> Expr {
    struct Plain;
    impl VisitorMut for Plain {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Nested(inner) => *expr = (**inner).clone(),
                Expr::Identifier(name) => *name = Ident::with_quote('"', ddl::fold(name)),
                Expr::CompoundIdentifier(parts) if parts.len() == 2 => {
                    *expr = Expr::Identifier(Ident::with_quote('"', ddl::fold(&parts[1])));
                }
                Expr::Function(call) => {
                    for part in &mut call.name.0 {
                        if let Some(name) = part.as_ident() {
                            *part = ObjectNamePart::Identifier(Ident::new(ddl::fold(name)));
                        }
                    }
                }
                Expr::Cast { kind, .. } => *kind = CastKind::Cast,
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _ = expr.walk_mut(&mut Plain);
    expr
}

/// The parts of a condition that AND connects.
fn parts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => [parts(left), parts(right)].concat(),
        other => vec![other],
    }
}

/// Whether whatever meets the one condition meets the other: both as `plain` writes them.
pub(crate) fn implies(given: Option<&Expr>, wanted: &Expr) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let given = given.map_or_else(Vec::new, parts);
    let compares = |part: &Expr, value: &Expr| match part {
        Expr::BinaryOp { left, op, right } => {
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
                && (**left == *value || **right == *value)
        }
        _ => false,
    };
    let holds = |wanted: &&Expr| {
        given.iter().any(|part| {
            part == wanted || matches!(wanted, Expr::IsNotNull(value) if compares(part, value))
        })
    };
    parts(wanted).iter().all(holds)
}
