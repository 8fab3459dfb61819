//! What COPY has that sqlparser does not know: WHERE, `HEADER MATCH`, lists of all columns, `ON` and `OFF`.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{dialect, line_starts, position, syntax_error};
use crate::error::{ErrorKind, SqlError};

/// What was taken out of a COPY.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopyClauses {
    /// The condition that rows must meet.
    pub(crate) condition: Option<Expr>,
    /// Whether the first line must have the columns' names.
    pub(crate) matches_header: bool,
    /// The encoding, where it stands without parentheses.
    pub(crate) encoding: Option<String>,
}

const OPTIONS: [&str; 11] = [
    "format",
    "freeze",
    "delimiter",
    "null",
    "header",
    "quote",
    "escape",
    "force_quote",
    "force_not_null",
    "force_null",
    "encoding",
];

/// Takes from a COPY what sqlparser does not know.
pub(super) fn take(sql: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<CopyClauses, SqlError> {
    plain_switches(tokens);
    name_all_columns(tokens);
    let mut clauses = CopyClauses::default();
    let Some(target) = at_top(tokens, 0, |word| word == "FROM" || word == "TO") else {
        return Ok(clauses);
    };
    clauses.matches_header = check_options(sql, tokens, target)?;
    // Among options without parentheses.
    if let Some(at) = at_top(tokens, target, |word| word == "ENCODING")
        && let Some(Token::SingleQuotedString(name)) = tokens.get(at + 1).map(|next| &next.token)
    {
        clauses.encoding = Some(name.clone());
        tokens.drain(at..at + 2);
    }
    let Some(at) = at_top(tokens, target, |word| word == "WHERE") else {
        return Ok(clauses);
    };
    let is_query = matches!(tokens.get(1), Some(token) if token.token == Token::LParen);
    if word(&tokens[target]) == "TO" && !is_query {
        let message = "WHERE clause not allowed with COPY TO";
        return Err(located(sql, &tokens[at], ErrorKind::SyntaxError, message));
    }
    if word(&tokens[target]) == "FROM" {
        let mut parser = dialect::parser(tokens[at + 1..].to_vec());
        let condition = parser.parse_expr();
        clauses.condition = Some(condition.map_err(|error| syntax_error(sql, error))?);
        let end = at + 1 + parser.index();
        tokens.drain(at..end.min(tokens.len()));
    }
    Ok(clauses)
}

/// A word that is not quoted, in capitals; nothing for other tokens.
fn word(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// The first such word from a place on that stands outside of parentheses.
fn at_top(tokens: &[TokenWithSpan], from: usize, is: impl Fn(&str) -> bool) -> Option<usize> {
    let mut depth = 0;
    (from..tokens.len()).find(|at| {
        match tokens[*at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0 && is(&word(&tokens[*at]))
    })
}

fn located(sql: &str, token: &TokenWithSpan, kind: ErrorKind, message: &str) -> SqlError {
    let mut error = SqlError::new(kind, message);
    error.position = Some(position(&line_starts(sql), token));
    error
}

/// Checks the names of the options in parentheses, and says whether `HEADER` is `MATCH`, which is TRUE from there on.
fn check_options(sql: &str, tokens: &mut [TokenWithSpan], target: usize) -> Result<bool, SqlError> {
    let end = at_top(tokens, target, |word| word == "WHERE").unwrap_or(tokens.len());
    let open = (target..end).find(|at| tokens[*at].token == Token::LParen);
    let Some(open) = open else {
        return Ok(false);
    };
    let (mut depth, mut matches) = (0, false);
    for at in open..end {
        let begins = depth == 1 && matches!(tokens[at - 1].token, Token::Comma | Token::LParen);
        match tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => break,
            Token::RParen => depth -= 1,
            _ => {}
        }
        let Token::Word(name) = &tokens[at].token else {
            continue;
        };
        if !begins {
            continue;
        }
        let name = match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_ascii_lowercase(),
        };
        if !OPTIONS.contains(&name.as_str()) {
            let message = format!("option \"{name}\" not recognized");
            return Err(located(sql, &tokens[at], ErrorKind::SyntaxError, &message));
        }
        if name == "header"
            && let Some(value) = tokens.get_mut(at + 1)
        {
            let given = match &value.token {
                Token::Comma | Token::RParen => continue,
                Token::Word(word) => word.value.to_ascii_lowercase(),
                Token::SingleQuotedString(text) => text.to_ascii_lowercase(),
                Token::Number(digits, _) => digits.clone(),
                _ => String::new(),
            };
            value.token = match given.as_str() {
                "match" => {
                    matches = true;
                    Token::make_keyword("TRUE")
                }
                "true" | "on" | "1" => Token::make_keyword("TRUE"),
                "false" | "off" | "0" => Token::make_keyword("FALSE"),
                _ => {
                    let message = "header requires a Boolean value or \"match\"";
                    return Err(SqlError::new(ErrorKind::SyntaxError, message));
                }
            };
        }
    }
    Ok(matches)
}

/// Makes ON and OFF behind the switches of COPY, which sqlparser does not know, TRUE and FALSE.
fn plain_switches(tokens: &mut [TokenWithSpan]) {
    let keyword = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    for at in 1..tokens.len() {
        let switches = matches!(keyword(&tokens[at - 1]), Keyword::FREEZE | Keyword::HEADER);
        match keyword(&tokens[at]) {
            Keyword::ON if switches => tokens[at].token = Token::make_keyword("TRUE"),
            Keyword::OFF if switches => tokens[at].token = Token::make_keyword("FALSE"),
            _ => {}
        }
    }
}

/// Makes `FORCE_QUOTE *` of COPY, and `FORCE QUOTE *`, a list of a column `*`, which stands for all.
fn name_all_columns(tokens: &mut Vec<TokenWithSpan>) {
    let is = |token: Option<&TokenWithSpan>, name: &str| {
        matches!(token.map(|token| &token.token), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
    };
    let all = (tokens.iter()).rposition(|token| token.token == Token::Mul);
    let Some(at) = all.filter(|at| *at >= 2) else {
        return;
    };
    let of = |token: Token| TokenWithSpan {
        token,
        span: tokens[at].span,
    };
    let name = of(Token::make_word("*", Some('"')));
    let list = [of(Token::LParen), name.clone(), of(Token::RParen)];
    if is(tokens.get(at - 1), "FORCE_QUOTE") {
        tokens.splice(at..=at, list);
    } else if is(tokens.get(at - 2), "FORCE") && is(tokens.get(at - 1), "QUOTE") {
        tokens[at] = name;
    }
}
