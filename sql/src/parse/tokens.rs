//! What stands in statements that sqlparser does not know, taken out of their tokens or written as it knows it.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::Overriding;
use crate::ddl::truncate_name;
use crate::error::{ErrorKind, SqlError};

/// Writes constants as sqlparser knows them everywhere: string constants that only a line's end parts are one, those in dollars
/// are as those in quotes, and an integer that is too large for a bigint is a numeric.
///
/// A string constant behind another without a line's end between them is no constant, and gives an error.
pub(super) fn join_constants(tokens: &mut Vec<TokenWithSpan>) -> Result<(), ParserError> {
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // The string constant behind which only white space stands, and whether a line ended there.
    let mut before: Option<(usize, bool)> = None;
    for mut token in tokens.drain(..) {
        // `U&'…'`, whose escapes are characters by now.
        if let Token::UnicodeStringLiteral(text) = &mut token.token {
            token.token = Token::SingleQuotedString(std::mem::take(text));
        }
        match &mut token.token {
            Token::Whitespace(Whitespace::Newline | Whitespace::SingleLineComment { .. }) => {
                before = before.map(|(at, _)| (at, true));
            }
            Token::Whitespace(_) => {}
            Token::SingleQuotedString(more) => {
                if let Some((at, true)) = before
                    && let Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) =
                        &mut joined[at].token
                {
                    text.push_str(more);
                    before = Some((at, false));
                    continue;
                }
                if before.is_some() {
                    return Err(unexpected(&token));
                }
                before = Some((joined.len(), false));
            }
            Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) if before.is_some() => {
                return Err(unexpected(&token));
            }
            Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) => {
                before = Some((joined.len(), false))
            }
            // `N'…'` is of the type char(n), without its n.
            Token::NationalStringLiteral(text) => {
                let text = Token::SingleQuotedString(std::mem::take(text));
                let parts = [text, Token::DoubleColon, Token::make_word("bpchar", None)];
                let span = token.span;
                joined.extend(parts.map(|token| TokenWithSpan { token, span }));
                before = None;
                continue;
            }
            Token::Number(digits, false) => {
                // The least bigint is written as the negative of what is none.
                let least = digits == "9223372036854775808" && ends_in_sign(&joined);
                if !least && digits.parse::<i64>().is_err() && digits.parse::<u64>().is_ok() {
                    digits.push('.');
                }
                before = None;
            }
            _ => before = None,
        }
        joined.push(token);
    }
    for TokenWithSpan { token, .. } in &mut joined {
        // Nothing joins it, but else it is a constant as any other.
        if let Token::DollarQuotedString(text) = token {
            *token = Token::SingleQuotedString(std::mem::take(&mut text.value));
        }
    }
    *tokens = joined;
    Ok(())
}

/// Writes `x ISNULL` and `x NOTNULL` as `x IS NULL` and `x IS NOT NULL`: sqlparser takes these words for names.
pub(super) fn spell_null_tests(tokens: &mut Vec<TokenWithSpan>) {
    let mut spelled: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens.drain(..) {
        let behind = spelled.last().map(|before| &before.token);
        let words: &[&str] = match &token.token {
            Token::Word(word) if word.quote_style.is_none() && names_may_end(behind) => {
                match word.value.to_ascii_lowercase().as_str() {
                    "isnull" => &["IS", "NULL"],
                    "notnull" => &["IS", "NOT", "NULL"],
                    _ => &[],
                }
            }
            _ => &[],
        };
        if words.is_empty() {
            spelled.push(token);
            continue;
        }
        let spell = |word: &&str| TokenWithSpan {
            token: Token::make_keyword(word),
            span: token.span,
        };
        spelled.extend(words.iter().map(spell));
    }
    *tokens = spelled;
}

/// Makes the plural of a unit behind the string of an INTERVAL a name, as it is to PostgreSQL: `interval '1' days` is a second.
pub(super) fn name_units(tokens: &mut [TokenWithSpan]) {
    const UNITS: [&str; 6] = ["years", "months", "days", "hours", "minutes", "seconds"];
    for at in 2..tokens.len() {
        let is_interval =
            matches!(&tokens[at - 2].token, Token::Word(word) if word.keyword == Keyword::INTERVAL);
        if let (true, Token::SingleQuotedString(_)) = (is_interval, &tokens[at - 1].token)
            && let Token::Word(unit) = &mut tokens[at].token
            && UNITS.contains(&unit.value.to_ascii_lowercase().as_str())
        {
            unit.value.make_ascii_lowercase();
            unit.quote_style = Some('"');
            unit.keyword = Keyword::NoKeyword;
        }
    }
}

/// Makes the name of a function behind its schema a name as others: sqlparser knows a grammar of its own for some.
pub(super) fn name_qualified_functions(tokens: &mut [TokenWithSpan]) {
    for at in 1..tokens.len().saturating_sub(1) {
        let is_called =
            tokens[at - 1].token == Token::Period && tokens[at + 1].token == Token::LParen;
        if let (true, Token::Word(word)) = (is_called, &mut tokens[at].token) {
            word.keyword = Keyword::NoKeyword;
        }
    }
}

/// Whether what stands behind this token is no name for sure.
fn names_may_end(token: Option<&Token>) -> bool {
    match token {
        None | Some(Token::Period | Token::Comma | Token::LParen) => false,
        Some(Token::Word(word)) => word.keyword != Keyword::AS,
        _ => true,
    }
}

/// Cuts names to the length of one, and gives what the client is told of that; 42601 for a name without a character. `starts`
/// are the lines of the query string.
pub(super) fn check_names(
    starts: &[usize],
    tokens: &mut [TokenWithSpan],
) -> Result<Vec<SqlError>, SqlError> {
    let mut notices = Vec::new();
    for token in tokens {
        let place = super::position(starts, token);
        let Token::Word(word) = &mut token.token else {
            continue;
        };
        if word.value.is_empty() {
            let message = "zero-length delimited identifier at or near \"\"\"\"";
            let error = SqlError::new(ErrorKind::SyntaxError, message);
            return Err(SqlError {
                position: Some(place),
                ..error
            });
        }
        let whole = match word.quote_style {
            Some(_) => word.value.clone(),
            None => word.value.to_lowercase(),
        };
        let mut cut = whole.clone();
        truncate_name(&mut cut);
        if cut != whole {
            let message = format!("identifier \"{whole}\" will be truncated to \"{cut}\"");
            notices.push(SqlError::new(ErrorKind::NameTooLong, message));
            word.value = cut;
        }
    }
    Ok(notices)
}

/// As sqlparser says it.
pub(super) fn unexpected(token: &TokenWithSpan) -> ParserError {
    let place = token.span.start;
    ParserError::ParserError(format!(
        "Expected: end of statement, found: {}{place}",
        token.token
    ))
}

/// Whether a minus stands last that is a sign, not an operator between two operands.
fn ends_in_sign(tokens: &[TokenWithSpan]) -> bool {
    let mut before = (tokens.iter().rev())
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)));
    if before.next() != Some(&Token::Minus) {
        return false;
    }
    match before.next() {
        None => true,
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && BEFORE_OPERANDS.contains(&word.keyword)
        }
        Some(token) => !matches!(
            token,
            Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::EscapedStringLiteral(_)
                | Token::NationalStringLiteral(_)
                | Token::DollarQuotedString(_)
                | Token::UnicodeStringLiteral(_)
                | Token::Placeholder(_)
                | Token::RParen
                | Token::RBracket
        ),
    }
}

/// Words behind which an operand begins.
const BEFORE_OPERANDS: [Keyword; 30] = [
    Keyword::ALL,
    Keyword::AND,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CASE,
    Keyword::DEFAULT,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::FOR,
    Keyword::FROM,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::INCREMENT,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::MINVALUE,
    Keyword::NOT,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::OR,
    Keyword::RETURNING,
    Keyword::SELECT,
    Keyword::START,
    Keyword::THEN,
    Keyword::VALUES,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WITH,
];

/// Makes `OPERATOR(pg_catalog.=) ANY`, which sqlparser does not know, `= ANY`. What stands on the right of such an
/// operator is the array alone, so no other operator of the statement binds otherwise for it. `ANY (VALUES (1), (2))`, which
/// sqlparser takes for a call, gets parentheses around the query.
pub(super) fn plain_quantified(tokens: &mut Vec<TokenWithSpan>) {
    let is = |token: &TokenWithSpan, names: &[&str]| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => names
            .iter()
            .any(|name| word.value.eq_ignore_ascii_case(name)),
        _ => false,
    };
    let mut at = 0;
    while at + 6 < tokens.len() {
        let next = &tokens[at..];
        let qualified = is(&next[0], &["OPERATOR"])
            && next[1].token == Token::LParen
            && is(&next[2], &["pg_catalog"])
            && next[3].token == Token::Period
            && next[5].token == Token::RParen
            && is(&next[6], &["ANY", "ALL", "SOME"]);
        if qualified {
            tokens.drain(at + 5..at + 6);
            tokens.drain(at..at + 4);
        }
        at += 1;
    }
    for at in (0..tokens.len().saturating_sub(3)).rev() {
        let lists = is(&tokens[at], &["ANY", "ALL", "SOME"])
            && tokens[at + 1].token == Token::LParen
            && is(&tokens[at + 2], &["VALUES"])
            && tokens[at + 3].token == Token::LParen;
        let mut open = 0;
        let closes = tokens[at + 1..].iter().position(|token| {
            match token.token {
                Token::LParen => open += 1,
                Token::RParen => open -= 1,
                _ => {}
            }
            open == 0
        });
        if let (true, Some(closes)) = (lists, closes) {
            let (opening, closing) = (tokens[at + 1].clone(), tokens[at + 1 + closes].clone());
            tokens.insert(at + 1 + closes, closing);
            tokens.insert(at + 1, opening);
        }
    }
}

/// Takes the FROM out of `trim(FROM x)` and `trim(LEADING FROM x)`, where it says nothing and sqlparser expects what is
/// trimmed.
pub(super) fn take_trim_from(tokens: &mut Vec<TokenWithSpan>) {
    let keyword = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut at = 0;
    while at + 2 < tokens.len() {
        if keyword(tokens.get(at)) == Keyword::TRIM && tokens[at + 1].token == Token::LParen {
            let side = matches!(
                keyword(tokens.get(at + 2)),
                Keyword::LEADING | Keyword::TRAILING | Keyword::BOTH
            );
            let from = at + 2 + usize::from(side);
            if keyword(tokens.get(from)) == Keyword::FROM {
                tokens.remove(from);
            }
        }
        at += 1;
    }
}

/// Puts the options of sequences into the one order that sqlparser knows.
pub(super) fn order_sequence_options(tokens: &mut [TokenWithSpan]) {
    let word = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let at = |index: usize| word(tokens.get(index));
    let creates = at(0) == "CREATE" && at(1) == "SEQUENCE";
    let mut lists = Vec::new();
    if creates {
        // Behind the name, which may be one of these words.
        let mut begin = if at(2) == "IF" { 6 } else { 3 };
        while tokens.get(begin).map(|token| &token.token) == Some(&Token::Period) {
            begin += 2;
        }
        lists.push(begin.min(tokens.len())..tokens.len());
    }
    if at(0) == "CREATE" && at(1).ends_with("TABLE") || at(2) == "TABLE" {
        for index in 0..tokens.len() {
            let opens = tokens.get(index + 1).map(|token| &token.token) == Some(&Token::LParen);
            if at(index) == "IDENTITY" && opens {
                let rest = &tokens[index + 2..];
                let length = rest.iter().position(|token| token.token == Token::RParen);
                lists.extend(length.map(|length| index + 2..index + 2 + length));
            }
        }
    }
    // Where each option begins, and its place.
    let place = |index: usize| match (at(index).as_str(), at(index + 1).as_str()) {
        ("INCREMENT", _) => Some(1),
        ("MINVALUE", _) | ("NO", "MINVALUE") => Some(2),
        ("MAXVALUE", _) | ("NO", "MAXVALUE") => Some(3),
        ("START", _) => Some(4),
        ("CACHE", _) => Some(5),
        ("CYCLE", _) | ("NO", "CYCLE") => Some(6),
        ("OWNED", _) => Some(7),
        _ => None,
    };
    let mut ordered = Vec::new();
    for list in lists {
        let mut begins: Vec<(usize, usize)> = list
            .clone()
            .filter(|&index| index == list.start || at(index - 1) != "NO")
            .filter_map(|index| Some((place(index)?, index)))
            .collect();
        let Some(first) = begins.first().map(|(_, index)| *index) else {
            continue;
        };
        let ends: Vec<usize> = begins
            .iter()
            .skip(1)
            .map(|b| b.1)
            .chain([list.end])
            .collect();
        let mut parts: Vec<(usize, Vec<TokenWithSpan>)> = begins
            .drain(..)
            .zip(ends)
            .map(|((place, begin), end)| (place, tokens[begin..end].to_vec()))
            .collect();
        parts.sort_by_key(|(place, _)| *place);
        let list: Vec<TokenWithSpan> = parts.into_iter().flat_map(|(_, part)| part).collect();
        ordered.push((first, list));
    }
    for (first, list) in ordered {
        let end = first + list.len();
        tokens[first..end].clone_from_slice(&list);
    }
}

/// Takes OVERRIDING … VALUE, which sqlparser does not know, out of an INSERT; says what was there.
pub(super) fn take_overriding(tokens: &mut Vec<TokenWithSpan>) -> Option<Overriding> {
    let is = |at: usize, text: &str| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text)
        }
        _ => false,
    };
    if !is(0, "INSERT") && !is(0, "WITH") {
        return None;
    }
    let here = |at: &usize| {
        is(*at, "OVERRIDING") && (is(at + 1, "SYSTEM") || is(at + 1, "USER")) && is(at + 2, "VALUE")
    };
    let at = (0..tokens.len()).find(here)?;
    let overriding = match is(at + 1, "SYSTEM") {
        true => Overriding::System,
        false => Overriding::User,
    };
    tokens.drain(at..at + 3);
    Some(overriding)
}

/// Makes `RESET (a, b)` of ALTER TABLE, which sqlparser does not know, `SET (a = NULL, b = NULL)`.
pub(super) fn reset_as_set(tokens: &mut Vec<TokenWithSpan>) {
    let resets = |two: &[TokenWithSpan]| {
        matches!(&two[0].token, Token::Word(word) if word.keyword == Keyword::RESET)
            && two[1].token == Token::LParen
    };
    let Some(at) = tokens.windows(2).position(resets) else {
        return;
    };
    let of = |token: Token, span| TokenWithSpan { token, span };
    tokens[at].token = Token::make_keyword("SET");
    let mut next = at + 2;
    while let Some(token) = tokens.get(next) {
        let span = token.span;
        if matches!(token.token, Token::Comma | Token::RParen) {
            let ended = token.token == Token::RParen;
            let null = [Token::Eq, Token::make_keyword("NULL")].map(|token| of(token, span));
            tokens.splice(next..next, null);
            next += 2;
            if ended {
                return;
            }
        }
        next += 1;
    }
}
