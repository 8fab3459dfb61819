//! More of the forms of `rewrite`: sort operators, VARIADIC, set operations as values, recursive views, records.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{closing, is, keyword, token, word};
use crate::error::SqlError;

/// Around the array that stands behind VARIADIC in a call.
pub(crate) const VARIADIC: &str = "\u{1}variadic";

/// The function of FROM as which EXECUTE is written in CREATE TABLE AS.
pub(crate) const EXECUTE: &str = "\u{1}execute";

/// `CREATE TABLE t AS EXECUTE q (1)` as `CREATE TABLE t AS SELECT * FROM "execute"('q', 1)`, which the session reads.
pub(super) fn table_of_execute(tokens: &mut Vec<TokenWithSpan>) {
    if word(tokens, 0) != "CREATE" {
        return;
    }
    let behind = |at: &usize| word(tokens, at - 1) == "AS" && word(tokens, *at) == "EXECUTE";
    let Some(at) = (3..tokens.len()).find(behind) else {
        return;
    };
    let Some(Token::Word(name)) = tokens.get(at + 1).map(|name| &name.token) else {
        return;
    };
    let name = match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    };
    let like = tokens[at].clone();
    let mut made = vec![
        keyword("SELECT", &like),
        token(Token::Mul, &like),
        keyword("FROM", &like),
        token(Token::make_word(EXECUTE, Some('"')), &like),
        token(Token::LParen, &like),
        token(Token::SingleQuotedString(name), &like),
    ];
    let end = if is(tokens, at + 2, &Token::LParen) {
        made.push(token(Token::Comma, &like));
        at + 3
    } else {
        made.push(token(Token::RParen, &like));
        at + 2
    };
    tokens.splice(at..end, made);
}

/// `TABLESPACE pg_default` is where everything is, and `ALTER COLUMN … TYPE t COLLATE "C"` how texts are sorted.
pub(super) fn what_is_so_anyway(
    tokens: &mut Vec<TokenWithSpan>,
    at: usize,
) -> Result<(), SqlError> {
    let first = word(tokens, 0);
    if !matches!(first.as_str(), "CREATE" | "ALTER") || word(tokens, 1) == "TABLESPACE" {
        return Ok(());
    }
    let named = |tokens: &[TokenWithSpan], at: usize, names: &[&str]| match tokens
        .get(at)
        .map(|token| &token.token)
    {
        Some(Token::Word(word)) => names.contains(&word.value.as_str()),
        _ => false,
    };
    let places = first == "CREATE" && word(tokens, at) == "TABLESPACE";
    if places && named(tokens, at + 1, &["pg_default"]) {
        tokens.drain(at..at + 2);
    }
    let retypes = first == "ALTER" && word(tokens, at) == "COLLATE";
    if retypes && (0..at).any(|at| word(tokens, at) == "TYPE") {
        let name = match named(tokens, at + 1, &["pg_catalog"]) {
            true => at + 3,
            false => at + 1,
        };
        if named(tokens, name, &["C", "POSIX", "default", "ucs_basic"]) {
            tokens.drain(at..=name);
        } else if let Some(name) = tokens.get(name) {
            return Err(SqlError::unsupported(format!("COLLATE {}", name.token)));
        }
    }
    Ok(())
}

/// `n int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME t_n_seq …)` without the name, which is the one that it gets; 0A000 for
/// another name.
pub(super) fn named_sequence(tokens: &mut Vec<TokenWithSpan>, at: usize) -> Result<(), SqlError> {
    let names = word(tokens, at) == "IDENTITY"
        && is(tokens, at + 1, &Token::LParen)
        && word(tokens, at + 2) == "SEQUENCE"
        && word(tokens, at + 3) == "NAME";
    if !names || word(tokens, 0) != "CREATE" {
        return Ok(());
    }
    let name = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
        Some(Token::Word(word)) => word.value.to_lowercase(),
        _ => String::new(),
    };
    let opens = (0..at).find(|at| is(tokens, *at, &Token::LParen));
    let begins = (0..at).rfind(|at| is(tokens, *at, &Token::Comma) || Some(*at) == opens);
    let (Some(opens), Some(begins)) = (opens, begins) else {
        return Ok(());
    };
    let mut last = at + 4;
    while is(tokens, last + 1, &Token::Period) {
        last += 2;
    }
    if name(last) != format!("{}_{}_seq", name(opens - 1), name(begins + 1)) {
        return Err(SqlError::unsupported(
            "SEQUENCE NAME of another name than an identity column's sequence gets",
        ));
    }
    tokens.drain(at + 2..=last);
    if is(tokens, at + 2, &Token::RParen) {
        tokens.drain(at + 1..at + 3);
    }
    Ok(())
}

/// `CREATE TABLE t (…) WITHOUT OIDS`: no table has them.
pub(super) fn without_oids(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let says = word(tokens, at) == "WITHOUT" && word(tokens, at + 1) == "OIDS";
    if says && word(tokens, 0) == "CREATE" {
        tokens.drain(at..at + 2);
    }
}

/// `ORDER BY x USING >` is `ORDER BY x DESC`.
pub(super) fn sort_operator(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if word(tokens, at) != "USING" {
        return;
    }
    let order = match tokens.get(at + 1).map(|token| &token.token) {
        Some(Token::Lt) => "ASC",
        Some(Token::Gt) => "DESC",
        _ => return,
    };
    tokens[at].token = Token::make_keyword(order);
    tokens.remove(at + 1);
}

/// `f(a, VARIADIC b)` as `f(a, "variadic"(b))`, which `plan::dialect` reads.
pub(super) fn variadic(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let begins =
        at > 1 && (is(tokens, at - 1, &Token::LParen) || is(tokens, at - 1, &Token::Comma));
    if !begins || word(tokens, at) != "VARIADIC" {
        return;
    }
    let mut depth = 0;
    let end = (at + 1..tokens.len()).find(|place| {
        match tokens[*place].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    let Some(end) = end.filter(|end| *end > at + 1) else {
        return;
    };
    let like = tokens[at].clone();
    tokens.insert(end, token(Token::RParen, &like));
    tokens[at].token = Token::make_word(VARIADIC, Some('"'));
    tokens.insert(at + 1, token(Token::LParen, &like));
}

/// `((SELECT 1) UNION SELECT 2)` as `(SELECT * FROM ((SELECT 1) UNION SELECT 2) AS united)`, where it may be a value.
pub(super) fn united_value(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let begins = is(tokens, at, &Token::LParen)
        && is(tokens, at + 1, &Token::LParen)
        && at > 0
        && !is(tokens, at - 1, &Token::LParen);
    if !begins {
        return;
    }
    let mut first = at + 1;
    while is(tokens, first, &Token::LParen) {
        first += 1;
    }
    let is_query = matches!(word(tokens, first).as_str(), "SELECT" | "VALUES" | "WITH");
    let is_relation = matches!(
        word(tokens, at - 1).as_str(),
        "FROM"
            | "JOIN"
            | "LATERAL"
            | "AS"
            | "EXISTS"
            | "ARRAY"
            | "UNION"
            | "ALL"
            | "EXCEPT"
            | "INTERSECT"
    );
    let behind = closing(tokens, at + 1) + 1;
    let unites = matches!(
        word(tokens, behind).as_str(),
        "UNION" | "INTERSECT" | "EXCEPT"
    );
    if !is_query || is_relation || !unites {
        return;
    }
    let end = closing(tokens, at);
    if end == tokens.len() {
        return;
    }
    let like = tokens[at].clone();
    let behind = [
        keyword("AS", &like),
        token(Token::make_word("united", Some('"')), &like),
        token(Token::RParen, &like),
    ];
    tokens.splice(end + 1..end + 1, behind);
    let before = [
        token(Token::LParen, &like),
        keyword("SELECT", &like),
        token(Token::Mul, &like),
        keyword("FROM", &like),
    ];
    tokens.splice(at..at, before);
}

/// `json_populate_record(NULL::record, x) AS (a int)` as `json_to_record(x) AS (a int)`.
pub(super) fn record_of_nothing(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let name = word(tokens, at).to_lowercase();
    let Some((kind, "record" | "recordset")) = name.split_once("_populate_") else {
        return;
    };
    let is_null = is(tokens, at + 1, &Token::LParen)
        && word(tokens, at + 2) == "NULL"
        && is(tokens, at + 3, &Token::DoubleColon)
        && word(tokens, at + 4) == "RECORD"
        && is(tokens, at + 5, &Token::Comma);
    if is_null && matches!(kind, "json" | "jsonb") {
        tokens[at].token = Token::make_word(&name.replace("_populate_", "_to_"), None);
        tokens.drain(at + 2..at + 6);
    }
}

/// `CREATE RECURSIVE VIEW v (a) AS q` as `CREATE VIEW v (a) AS WITH RECURSIVE v (a) AS (q) SELECT a FROM v`.
pub(super) fn recursive_view(tokens: &mut Vec<TokenWithSpan>) {
    if word(tokens, 0) != "CREATE" {
        return;
    }
    let recursive = (1..tokens.len().min(5))
        .find(|at| word(tokens, *at) == "RECURSIVE" && word(tokens, at + 1) == "VIEW");
    let Some(recursive) = recursive else { return };
    let Some(open) = (recursive..tokens.len()).find(|at| is(tokens, *at, &Token::LParen)) else {
        return;
    };
    let end = closing(tokens, open);
    if word(tokens, end + 1) != "AS" {
        return;
    }
    let like = tokens[end + 1].clone();
    let name = tokens[open - 1].clone();
    let columns = tokens[open + 1..end].to_vec();
    let last = match tokens.last().map(|token| &token.token) {
        Some(Token::EOF) => tokens.len() - 1,
        _ => tokens.len(),
    };
    let mut behind = vec![token(Token::RParen, &like), keyword("SELECT", &like)];
    behind.extend(columns);
    behind.extend([keyword("FROM", &like), name.clone()]);
    tokens.splice(last..last, behind);
    let mut with = vec![keyword("WITH", &like), keyword("RECURSIVE", &like), name];
    with.extend(tokens[open..=end].to_vec());
    with.extend([keyword("AS", &like), token(Token::LParen, &like)]);
    tokens.splice(end + 2..end + 2, with);
    tokens.remove(recursive);
}

/// `UNIQUE (a) INCLUDE (b)` as `UNIQUE (a) COMMENT '"b"'`, which sqlparser has behind a key.
pub(super) fn included_columns(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let is_key = match word(tokens, at).as_str() {
        "UNIQUE" => true,
        "KEY" => at > 0 && word(tokens, at - 1) == "PRIMARY",
        _ => false,
    };
    if !is_key || !is(tokens, at + 1, &Token::LParen) {
        return;
    }
    let end = closing(tokens, at + 1);
    if word(tokens, end + 1) != "INCLUDE" || !is(tokens, end + 2, &Token::LParen) {
        return;
    }
    let last = closing(tokens, end + 2);
    if last == tokens.len() {
        return;
    }
    let names = tokens[end + 3..last]
        .iter()
        .map(|token| match &token.token {
            Token::Word(word) => word.to_ident(token.span).to_string(),
            other => other.to_string(),
        });
    let names = Token::SingleQuotedString(names.collect());
    let like = tokens[end + 1].clone();
    let comment = [keyword("COMMENT", &like), token(names, &like)];
    tokens.splice(end + 1..=last, comment);
}

/// 0A000 for EXCLUDE constraints and for schemas that are created with what is in them.
pub(super) fn refuse_definitions(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let first = word(tokens, 0);
    if first == "CREATE" && word(tokens, 1) == "SCHEMA" {
        let inside = (3..tokens.len()).any(|at| word(tokens, at) == "CREATE");
        if inside {
            return Err(SqlError::unsupported("CREATE SCHEMA with what is in it")
                .hint("Create the schema first, then what is in it."));
        }
    }
    if !matches!(first.as_str(), "CREATE" | "ALTER") {
        return Ok(());
    }
    let excludes = |at: usize| {
        word(tokens, at) == "EXCLUDE"
            && (word(tokens, at + 1) == "USING" || is(tokens, at + 1, &Token::LParen))
    };
    match (2..tokens.len()).any(excludes) {
        true => Err(SqlError::unsupported("EXCLUDE")),
        false => Ok(()),
    }
}
