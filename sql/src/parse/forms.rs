//! Forms of PostgreSQL's grammar that sqlparser does not know, in ones that it does; or refused by their names.

mod elements;
pub(crate) mod grouping;
mod usual;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tidelog_storage::PrintedType;

use super::keywords;
use crate::error::SqlError;
use crate::functions::WITH_TIES;

pub(crate) use usual::{EXECUTE, VARIADIC};

/// Before the name of a join's merged columns among these.
pub(crate) const USING_ALIAS: &str = "\u{1}using ";

/// Rewrites the tokens of one statement.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<(), SqlError> {
    refuse(tokens)?;
    usual::refuse_definitions(tokens)?;
    usual::recursive_view(tokens);
    usual::table_of_execute(tokens);
    if word(tokens, 0) == "ABORT" {
        tokens[0].token = Token::make_keyword("ROLLBACK");
    }
    set_role_as_setting(tokens);
    reset_time_zone(tokens);
    let mut at = 0;
    while at < tokens.len() {
        fetch_as_limit(tokens, at);
        table_as_select(tokens, at);
        mark_symmetric(tokens, at);
        drop_only(tokens, at);
        select_nothing(tokens, at);
        lock_nothing(tokens, at);
        bare_frame_offset(tokens, at);
        precise_interval(tokens, at);
        limit_before_lock(tokens, at);
        call_of_session(tokens, at);
        usual::record_of_nothing(tokens, at);
        name_record(tokens, at);
        array_of_type(tokens, at);
        literal_of_type(tokens, at);
        all_fields(tokens, at);
        similar_substring(tokens, at);
        rows_from(tokens, at)?;
        alias_of_using(tokens, at);
        usual::what_is_so_anyway(tokens, at)?;
        usual::without_oids(tokens, at);
        usual::named_sequence(tokens, at)?;
        usual::sort_operator(tokens, at);
        usual::variadic(tokens, at);
        usual::included_columns(tokens, at);
        usual::united_value(tokens, at);
        grouping::rewrite(tokens, at);
        at += 1;
    }
    super::arbiter::mark(tokens);
    Ok(())
}

/// An unquoted word, in capitals.
fn word(tokens: &[TokenWithSpan], at: usize) -> String {
    match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

fn is(tokens: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    tokens.get(at).is_some_and(|found| found.token == *token)
}

fn keyword(name: &str, like: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan {
        token: Token::make_keyword(name),
        span: like.span,
    }
}

fn token(token: Token, like: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan {
        token,
        span: like.span,
    }
}

/// `substring(x SIMILAR p ESCAPE e)` is `substring(x FROM p FOR e)`.
fn similar_substring(tokens: &mut [TokenWithSpan], at: usize) {
    if word(tokens, at) != "SUBSTRING" || !is(tokens, at + 1, &Token::LParen) {
        return;
    }
    let end = closing(tokens, at + 1);
    let own = |name: &str| {
        let mut depth = 0;
        (at + 1..end).find(|place| {
            match tokens[*place].token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 1 && word(tokens, *place) == name
        })
    };
    let (Some(similar), Some(escape)) = (own("SIMILAR"), own("ESCAPE")) else {
        return;
    };
    if similar < escape && word(tokens, similar + 1) != "TO" {
        tokens[similar].token = Token::make_keyword("FROM");
        tokens[escape].token = Token::make_keyword("FOR");
    }
}

/// The parenthesis that closes the one at a place; the end where none does.
fn closing(tokens: &[TokenWithSpan], open: usize) -> usize {
    let mut depth = 0;
    let closes = |at: &usize| {
        match tokens[*at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    };
    (open..tokens.len()).find(closes).unwrap_or(tokens.len())
}

/// `ROWS FROM (f(…), g(…))` is `UNNEST(ARRAY(SELECT f(…)), ARRAY(SELECT g(…)))`.
fn rows_from(tokens: &mut Vec<TokenWithSpan>, at: usize) -> Result<(), SqlError> {
    let is_rows = word(tokens, at) == "ROWS" && word(tokens, at + 1) == "FROM";
    if !is_rows || !is(tokens, at + 2, &Token::LParen) {
        return Ok(());
    }
    let (open, end) = (at + 2, closing(tokens, at + 2));
    if end == tokens.len() {
        return Ok(());
    }
    let mut behind = end + 1;
    if word(tokens, behind) == "WITH" {
        behind += 2;
    }
    if word(tokens, behind) == "AS" {
        behind += 1;
    }
    let named = matches!(tokens.get(behind), Some(name) if matches!(name.token, Token::Word(_)));
    let listed = is(tokens, behind + 1, &Token::LParen);
    let like = tokens[at].clone();
    let begin = || {
        let array = [keyword("ARRAY", &like), token(Token::LParen, &like)];
        array.into_iter().chain([keyword("SELECT", &like)])
    };
    let mut made = vec![keyword("UNNEST", &like), token(Token::LParen, &like)];
    made.extend(begin());
    let (mut depth, mut functions) = (0, 1);
    for inner in &tokens[open + 1..end] {
        match inner.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => {
                functions += 1;
                made.push(token(Token::RParen, inner));
                made.push(inner.clone());
                made.extend(begin());
                continue;
            }
            _ => {}
        }
        made.push(inner.clone());
    }
    made.push(token(Token::RParen, &tokens[end]));
    // Several have the functions' names otherwise.
    if !named || functions > 1 && !listed {
        return Err(SqlError::unsupported(
            "ROWS FROM without names for its columns",
        ));
    }
    tokens.splice(at..end, made);
    Ok(())
}

/// Puts the name of `USING (a, b) AS j` behind the columns, where `plan::using` finds it.
fn alias_of_using(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if word(tokens, at) != "USING" || !is(tokens, at + 1, &Token::LParen) {
        return;
    }
    let end = closing(tokens, at + 1);
    // No query, as in `DELETE … USING (SELECT …) AS t`.
    let is_list = (at + 2..end).all(|place| match &tokens[place].token {
        Token::Word(_) => (place - at).is_multiple_of(2),
        Token::Comma => !(place - at).is_multiple_of(2),
        _ => false,
    });
    if !is_list {
        return;
    }
    let Some(Token::Word(name)) = tokens.get(end + 2).map(|alias| &alias.token) else {
        return;
    };
    if word(tokens, end + 1) != "AS" {
        return;
    }
    let name = match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    };
    let marked = Token::make_word(&format!("{USING_ALIAS}{name}"), Some('"'));
    let like = tokens[end].clone();
    tokens.drain(end + 1..end + 3);
    tokens.splice(end..end, [token(Token::Comma, &like), token(marked, &like)]);
}

/// SEARCH and CYCLE of recursive queries, EXCLUDE of window frames but for NO OTHERS, which is the default, and TABLESAMPLE.
fn refuse(tokens: &mut Vec<TokenWithSpan>) -> Result<(), SqlError> {
    let mut at = 1;
    while at < tokens.len() {
        let next = word(tokens, at + 1);
        match word(tokens, at).as_str() {
            "SEARCH"
                if is(tokens, at - 1, &Token::RParen)
                    && matches!(next.as_str(), "DEPTH" | "BREADTH") =>
            {
                return Err(SqlError::unsupported("SEARCH in WITH RECURSIVE"));
            }
            "CYCLE" if is(tokens, at - 1, &Token::RParen) && !next.is_empty() => {
                let mut set = at + 1;
                while !word(tokens, set).is_empty() && word(tokens, set) != "SET" {
                    set += if is(tokens, set + 1, &Token::Comma) {
                        2
                    } else {
                        1
                    };
                }
                if word(tokens, set) == "SET" {
                    return Err(SqlError::unsupported("CYCLE in WITH RECURSIVE"));
                }
            }
            "EXCLUDE"
                if matches!(
                    word(tokens, at - 1).as_str(),
                    "ROW" | "PRECEDING" | "FOLLOWING"
                ) =>
            {
                match (next.as_str(), word(tokens, at + 2).as_str()) {
                    ("NO", "OTHERS") => {
                        tokens.drain(at..at + 3);
                        continue;
                    }
                    ("CURRENT", "ROW") | ("GROUP" | "TIES", _) => {
                        return Err(SqlError::unsupported("EXCLUDE in a window frame"));
                    }
                    _ => {}
                }
            }
            "TABLESAMPLE" => return Err(SqlError::unsupported("TABLESAMPLE")),
            "SET" => elements::assign(tokens, at + 1)?,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// `json_to_record(…) AS (a int)` under the name that it has then, the function's: sqlparser wants one.
fn name_record(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let begins = word(tokens, at) == "AS"
        && at > 0
        && is(tokens, at - 1, &Token::RParen)
        && is(tokens, at + 1, &Token::LParen);
    if !begins {
        return;
    }
    let mut depth = 0;
    let open = (0..at).rev().find(|before| {
        match tokens[*before].token {
            Token::RParen => depth += 1,
            Token::LParen => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(function) = open.and_then(|open| open.checked_sub(1)) else {
        return;
    };
    let name = word(tokens, function);
    if name.ends_with("_TO_RECORD") || name.ends_with("_TO_RECORDSET") {
        let name = tokens[function].clone();
        tokens.insert(at + 1, name);
    }
}

/// Makes `SET [SESSION | LOCAL] ROLE r` the setting of a parameter `role`, as which `SET ROLE = r` and `TO r` are meant,
/// too; sqlparser takes `TO` for a role.
fn set_role_as_setting(tokens: &mut Vec<TokenWithSpan>) {
    if word(tokens, 0) != "SET" {
        return;
    }
    let at = match word(tokens, 1).as_str() {
        "SESSION" | "LOCAL" => 2,
        _ => 1,
    };
    if word(tokens, at) != "ROLE" {
        return;
    }
    // A word that is no keyword.
    tokens[at].token = Token::make_word("role", None);
    if let Token::Word(role) = &mut tokens[at].token {
        role.keyword = Keyword::NoKeyword;
    }
    let is_value = match tokens.get(at + 1).map(|token| &token.token) {
        Some(Token::Word(value)) => !matches!(value.keyword, Keyword::TO | Keyword::DEFAULT),
        Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)) => true,
        _ => false,
    };
    if is_value {
        let equals = token(Token::Eq, &tokens[at]);
        tokens.insert(at + 1, equals);
    }
}

/// `RESET TIME ZONE` as `RESET timezone`.
fn reset_time_zone(tokens: &mut Vec<TokenWithSpan>) {
    let words = [0, 1, 2].map(|at| word(tokens, at));
    if words == ["RESET", "TIME", "ZONE"] {
        tokens[1].token = Token::make_word("timezone", None);
        tokens.remove(2);
    }
}

/// Writes the types `integer ARRAY` and `integer ARRAY[3]` with brackets alone.
fn array_of_type(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if at == 0 || word(tokens, at) != "ARRAY" || is(tokens, at + 1, &Token::LParen) {
        return;
    }
    let bracket = is(tokens, at + 1, &Token::LBracket);
    let behind_type = match &tokens[at - 1].token {
        // As an expression it stands behind words that are no types.
        Token::Word(_) if bracket => keywords::begins_type(&word(tokens, at - 1)),
        Token::Word(before) => {
            before.quote_style.is_some()
                || !keywords::is_taken(&before.value.to_lowercase())
                || keywords::begins_type(&word(tokens, at - 1))
        }
        Token::RParen => !bracket,
        _ => false,
    };
    if !behind_type {
        return;
    }
    let brackets = [Token::LBracket, Token::RBracket];
    let brackets = brackets.map(|bracket| token(bracket, &tokens[at]));
    tokens.splice(at..=at, brackets.into_iter().filter(|_| !bracket));
}

/// Writes `inet '10.0.0.1'` as a cast, for the types that sqlparser does not know.
fn literal_of_type(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let is_type = PrintedType::named(&word(tokens, at).to_lowercase()).is_some();
    let is_string = |token: &TokenWithSpan| {
        matches!(
            token.token,
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)
        )
    };
    if is_type && tokens.get(at + 1).is_some_and(is_string) {
        let cast = token(Token::DoubleColon, &tokens[at]);
        tokens.swap(at, at + 1);
        tokens.insert(at + 1, cast);
    }
}

/// `(t).*` as `t.*`, where an item of a list begins.
fn all_fields(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let is_word = matches!(
        tokens.get(at + 1).map(|token| &token.token),
        Some(Token::Word(_))
    );
    let begins = at > 0
        && (is(tokens, at - 1, &Token::Comma)
            || matches!(
                word(tokens, at - 1).as_str(),
                "SELECT" | "DISTINCT" | "ALL" | "RETURNING"
            ));
    if begins
        && is_word
        && is(tokens, at, &Token::LParen)
        && is(tokens, at + 2, &Token::RParen)
        && is(tokens, at + 3, &Token::Period)
        && is(tokens, at + 4, &Token::Mul)
    {
        tokens.remove(at + 2);
        tokens.remove(at);
    }
}

/// Takes `[NOT] DEFERRABLE` out of a transaction's characteristics, of which the last holds. It has a serializable
/// transaction that only reads wait until it cannot fail, and here none fails: it is shown, and nothing more.
pub(super) fn take_deferrable(tokens: &mut Vec<TokenWithSpan>) -> Option<bool> {
    let characterizes = match (word(tokens, 0).as_str(), word(tokens, 1).as_str()) {
        ("BEGIN", _) | ("START" | "SET", "TRANSACTION") => true,
        ("SET", "SESSION") => word(tokens, 2) == "CHARACTERISTICS",
        _ => false,
    };
    if !characterizes {
        return None;
    }
    let mut deferrable = None;
    while let Some(at) = (1..tokens.len()).find(|at| word(tokens, *at) == "DEFERRABLE") {
        let negated = word(tokens, at - 1) == "NOT";
        deferrable = Some(!negated);
        let mut from = at - usize::from(negated);
        let mut end = at + 1;
        // One of the commas around it goes, too.
        if is(tokens, from - 1, &Token::Comma) {
            from -= 1;
        } else if is(tokens, end, &Token::Comma) {
            end += 1;
        }
        tokens.drain(from..end);
    }
    deferrable
}

/// `'7 days'::interval PRECEDING` as `'7 days' PRECEDING`: sqlparser takes a string there for an interval by itself.
fn bare_frame_offset(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let quoted = matches!(
        tokens.get(at).map(|token| &token.token),
        Some(Token::SingleQuotedString(_))
    );
    let cast = is(tokens, at + 1, &Token::DoubleColon) && word(tokens, at + 2) == "INTERVAL";
    let bounds = matches!(word(tokens, at + 3).as_str(), "PRECEDING" | "FOLLOWING");
    if quoted && cast && bounds {
        tokens.drain(at + 1..at + 3);
    }
}

/// `interval(3) '1.2345'` as `'1.2345'::interval(3)`: sqlparser forgets the digits.
fn precise_interval(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let literal = |at: usize| {
        let token = tokens.get(at).map(|token| &token.token);
        matches!(
            token,
            Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_))
        )
    };
    let number =
        matches!(tokens.get(at + 2), Some(token) if matches!(token.token, Token::Number(..)));
    if word(tokens, at) == "INTERVAL"
        && is(tokens, at + 1, &Token::LParen)
        && number
        && is(tokens, at + 3, &Token::RParen)
        && literal(at + 4)
    {
        let cast = token(Token::DoubleColon, &tokens[at]);
        tokens[at..=at + 4].rotate_right(1);
        tokens.insert(at + 1, cast);
    }
}

/// Takes away the FOR UPDATE of a SELECT without FROM, which sqlparser takes for a column's name: there is nothing to lock.
fn lock_nothing(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let begins = at > 0
        && word(tokens, at) == "FOR"
        && matches!(word(tokens, at + 1).as_str(), "UPDATE" | "SHARE");
    if !begins {
        return;
    }
    let mut depth = 0;
    for before in (0..at).rev() {
        match &tokens[before].token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return,
            Token::LParen => depth -= 1,
            _ if depth > 0 => {}
            _ => match word(tokens, before).as_str() {
                "SELECT" => break,
                "FROM" | "VALUES" | "UNION" | "INTERSECT" | "EXCEPT" => return,
                _ if before == 0 => return,
                _ => {}
            },
        }
    }
    let mut end = at + 2;
    match (word(tokens, end).as_str(), word(tokens, end + 1).as_str()) {
        ("NOWAIT", _) => end += 1,
        ("SKIP", "LOCKED") => end += 2,
        // Of a relation that is not there.
        ("OF", _) => return,
        _ => {}
    }
    tokens.drain(at..end);
}

/// `FOR UPDATE SKIP LOCKED LIMIT 1` as `LIMIT 1 FOR UPDATE SKIP LOCKED`: PostgreSQL takes both orders.
fn limit_before_lock(tokens: &mut [TokenWithSpan], at: usize) {
    let locks = |at: usize| {
        at > 0
            && word(tokens, at) == "FOR"
            && matches!(word(tokens, at + 1).as_str(), "UPDATE" | "SHARE")
    };
    let limits = |at: usize| {
        let next = tokens.get(at + 1).map(|token| &token.token);
        matches!(word(tokens, at).as_str(), "LIMIT" | "OFFSET")
            && !matches!(next, None | Some(Token::EOF | Token::Comma | Token::RParen))
    };
    if !locks(at) {
        return;
    }
    let (mut depth, mut limit, mut end) = (0, None, at + 2);
    while end < tokens.len() {
        match &tokens[end].token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            Token::EOF => break,
            _ if depth > 0 => {}
            _ if limits(end) => limit = limit.or(Some(end)),
            // What follows the query that it stands in.
            _ if limit.is_some()
                && (locks(end) || matches!(word(tokens, end).as_str(), "ON" | "RETURNING")) =>
            {
                break;
            }
            _ => {}
        }
        end += 1;
    }
    if let Some(limit) = limit {
        tokens[at..end].rotate_left(limit - at);
    }
}

/// `current_schema` and `current_role` as calls, which sqlparser takes for columns.
fn call_of_session(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if !matches!(word(tokens, at).as_str(), "CURRENT_SCHEMA" | "CURRENT_ROLE")
        || is(tokens, at + 1, &Token::LParen)
        || is(tokens, at + 1, &Token::Period)
    {
        return;
    }
    let names = at == 0
        || is(tokens, at - 1, &Token::Period)
        || matches!(
            word(tokens, at - 1).as_str(),
            "AS" | "TO" | "BY" | "AUTHORIZATION" | "ROLE" | "FOR"
        );
    if !names {
        let like = tokens[at].clone();
        let call = [Token::LParen, Token::RParen].map(|t| token(t, &like));
        tokens.splice(at + 1..at + 1, call);
    }
}

/// `FETCH FIRST n ROWS ONLY` as `LIMIT n`, and `… WITH TIES` as a LIMIT that says so.
fn fetch_as_limit(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let begins = at > 0
        && word(tokens, at) == "FETCH"
        && matches!(word(tokens, at + 1).as_str(), "FIRST" | "NEXT");
    if !begins {
        return;
    }
    let mut end = at + 2;
    let mut depth = 0;
    while end < tokens.len() {
        match &tokens[end].token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return,
            Token::RParen => depth -= 1,
            _ if depth == 0 && matches!(word(tokens, end).as_str(), "ROW" | "ROWS") => break,
            _ => {}
        }
        end += 1;
    }
    let ties = match (
        word(tokens, end + 1).as_str(),
        word(tokens, end + 2).as_str(),
    ) {
        ("ONLY", _) => false,
        ("WITH", "TIES") => true,
        _ => return,
    };
    let like = tokens[at].clone();
    let mut count = tokens[at + 2..end].to_vec();
    if count.is_empty() {
        count.push(token(Token::Number("1".to_string(), false), &like));
    }
    let mut limit = vec![keyword("LIMIT", &like)];
    if ties {
        limit.push(token(Token::make_word(WITH_TIES, None), &like));
        limit.push(token(Token::LParen, &like));
        limit.extend(count);
        limit.push(token(Token::RParen, &like));
    } else {
        limit.extend(count);
    }
    tokens.splice(at..=end + 1 + usize::from(ties), limit);
}

/// `TABLE t` as `SELECT * FROM t`, where a query may begin.
fn table_as_select(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if word(tokens, at) != "TABLE" {
        return;
    }
    let before = at.checked_sub(1).map(|before| word(tokens, before));
    let begins = match before.as_deref() {
        None => true,
        Some("UNION" | "ALL" | "INTERSECT" | "EXCEPT" | "DISTINCT" | "EXPLAIN" | "ANALYZE") => true,
        Some("") => {
            is(tokens, at - 1, &Token::LParen)
                || is(tokens, at - 1, &Token::RParen) && word(tokens, 0) == "INSERT"
        }
        Some("SELECT" | "COMMENT") => false,
        Some(_) => at > 2 && word(tokens, 0) == "INSERT" && word(tokens, 1) == "INTO",
    };
    let named = matches!(tokens.get(at + 1).map(|t| &t.token), Some(Token::Word(_)));
    if begins && named {
        let like = tokens[at].clone();
        let select = [
            keyword("SELECT", &like),
            token(Token::Mul, &like),
            keyword("FROM", &like),
        ];
        tokens.splice(at..=at, select);
    }
}

/// `BETWEEN SYMMETRIC a AND b` as `BETWEEN !! a AND b`; nothing else has the operator `!!` any more.
fn mark_symmetric(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if word(tokens, at) != "BETWEEN" {
        return;
    }
    match word(tokens, at + 1).as_str() {
        "SYMMETRIC" => tokens[at + 1].token = Token::DoubleExclamationMark,
        "ASYMMETRIC" => {
            tokens.remove(at + 1);
        }
        _ => {}
    }
}

/// `FROM ONLY t`: no table has children.
fn drop_only(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let named = matches!(tokens.get(at + 2).map(|t| &t.token), Some(Token::Word(word))
        if word.quote_style.is_some() || !matches!(word.keyword, Keyword::SET | Keyword::AS | Keyword::WHERE));
    if matches!(word(tokens, at).as_str(), "FROM" | "UPDATE" | "JOIN")
        && word(tokens, at + 1) == "ONLY"
        && named
    {
        tokens.remove(at + 1);
    }
}

/// `SELECT` without anything: one row without columns.
fn select_nothing(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if word(tokens, at) != "SELECT" {
        return;
    }
    let ends = match tokens.get(at + 1).map(|token| &token.token) {
        None | Some(Token::EOF | Token::RParen) => true,
        Some(Token::Word(_)) => {
            matches!(word(tokens, at + 1).as_str(), "UNION" | "WHERE" | "LIMIT")
        }
        _ => false,
    };
    if ends {
        let like = tokens[at].clone();
        let mut from: Vec<TokenWithSpan> = vec![keyword("FROM", &like)];
        let rest = [Token::LParen, Token::make_keyword("SELECT")];
        from.extend(rest.map(|t| token(t, &like)));
        from.push(token(Token::Number("1".to_string(), false), &like));
        from.push(token(Token::RParen, &like));
        from.push(keyword("AS", &like));
        from.push(token(Token::make_word("nothing", Some('"')), &like));
        tokens.splice(at + 1..at + 1, from);
    }
}
