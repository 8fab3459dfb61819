//! Functions and operators of regular expressions: `~`, SIMILAR TO, regexp_….

mod pattern;

use std::rc::Rc;

use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::Elements;

use super::call::dsl::*;
use crate::jsonpath;
use pattern::{Flags, Match, Pattern};

/// `like_regex`: whether a pattern is found in a text. 2201B for what is no pattern.
pub(crate) fn matches_xquery(
    text: &str,
    pattern: &str,
    flags: jsonpath::Flags,
) -> Result<bool, SqlError> {
    let pattern = Pattern::of(pattern, &Flags::of_xquery(flags))?;
    Ok(pattern.is_match(text))
}

/// The function that `text ~ ANY (patterns)` is planned as.
pub(crate) fn any_pattern(op: &BinaryOperator) -> Option<String> {
    opposite(op).map(|_| format!("{op} any"))
}

/// The operator of regular expressions that says the opposite.
pub(crate) fn opposite(op: &BinaryOperator) -> Option<BinaryOperator> {
    use BinaryOperator::{PGRegexIMatch, PGRegexMatch, PGRegexNotIMatch, PGRegexNotMatch};
    Some(match op {
        PGRegexMatch => PGRegexNotMatch,
        PGRegexNotMatch => PGRegexMatch,
        PGRegexIMatch => PGRegexNotIMatch,
        PGRegexNotIMatch => PGRegexIMatch,
        _ => return None,
    })
}

const PATTERNS: Param = Param::Of(TEXTS);

pub(super) const FUNCTIONS: &[Function] = &[
    f("~", &[TEXT, TEXT], T::Bool, |_, args| {
        test(args, &Flags::default(), true)
    }),
    f("!~", &[TEXT, TEXT], T::Bool, |_, args| {
        test(args, &Flags::default(), false)
    }),
    f("~*", &[TEXT, TEXT], T::Bool, |_, args| {
        test(args, &Flags::ignoring_case(), true)
    }),
    f("!~*", &[TEXT, TEXT], T::Bool, |_, args| {
        test(args, &Flags::ignoring_case(), false)
    }),
    f("~ any", &[TEXT, PATTERNS], T::Bool, |_, args| {
        test_any(args, &Flags::default(), true)
    }),
    f("!~ any", &[TEXT, PATTERNS], T::Bool, |_, args| {
        test_any(args, &Flags::default(), false)
    }),
    f("~* any", &[TEXT, PATTERNS], T::Bool, |_, args| {
        test_any(args, &Flags::ignoring_case(), true)
    }),
    f("!~* any", &[TEXT, PATTERNS], T::Bool, |_, args| {
        test_any(args, &Flags::ignoring_case(), false)
    }),
    f("regexp_like", &[TEXT, TEXT], T::Bool, like),
    f("regexp_like", &[TEXT, TEXT, TEXT], T::Bool, like),
    f("regexp_match", &[TEXT, TEXT], TEXTS, first),
    f("regexp_match", &[TEXT, TEXT, TEXT], TEXTS, first),
    f("regexp_matches", &[TEXT, TEXT], TEXTS, all).set(),
    f("regexp_matches", &[TEXT, TEXT, TEXT], TEXTS, all).set(),
    f("regexp_replace", &[TEXT, TEXT, TEXT], T::Text, replace),
    f(
        "regexp_replace",
        &[TEXT, TEXT, TEXT, TEXT],
        T::Text,
        replace,
    ),
    f(
        "regexp_replace",
        &[TEXT, TEXT, TEXT, INT4],
        T::Text,
        replace_from,
    ),
    f(
        "regexp_replace",
        &[TEXT, TEXT, TEXT, INT4, INT4],
        T::Text,
        replace_from,
    ),
    f(
        "regexp_replace",
        &[TEXT, TEXT, TEXT, INT4, INT4, TEXT],
        T::Text,
        replace_from,
    ),
    f("regexp_split_to_array", &[TEXT, TEXT], TEXTS, |_, args| {
        split(args, "regexp_split_to_array()")
    }),
    f(
        "regexp_split_to_array",
        &[TEXT, TEXT, TEXT],
        TEXTS,
        |_, args| split(args, "regexp_split_to_array()"),
    ),
    f(
        "regexp_split_to_table",
        &[TEXT, TEXT],
        T::Text,
        |_, args| split(args, "regexp_split_to_table()"),
    )
    .set(),
    f(
        "regexp_split_to_table",
        &[TEXT, TEXT, TEXT],
        T::Text,
        |_, args| split(args, "regexp_split_to_table()"),
    )
    .set(),
    f("regexp_count", &[TEXT, TEXT], T::Int4, count),
    f("regexp_count", &[TEXT, TEXT, INT4], T::Int4, count),
    f("regexp_count", &[TEXT, TEXT, INT4, TEXT], T::Int4, count),
    f("regexp_instr", &[TEXT, TEXT], T::Int4, instr),
    f("regexp_instr", &[TEXT, TEXT, INT4], T::Int4, instr),
    f("regexp_instr", &[TEXT, TEXT, INT4, INT4], T::Int4, instr),
    f(
        "regexp_instr",
        &[TEXT, TEXT, INT4, INT4, INT4],
        T::Int4,
        instr,
    ),
    f(
        "regexp_instr",
        &[TEXT, TEXT, INT4, INT4, INT4, TEXT],
        T::Int4,
        instr,
    ),
    f(
        "regexp_instr",
        &[TEXT, TEXT, INT4, INT4, INT4, TEXT, INT4],
        T::Int4,
        instr,
    ),
    f("regexp_substr", &[TEXT, TEXT], T::Text, substr),
    f("regexp_substr", &[TEXT, TEXT, INT4], T::Text, substr),
    f("regexp_substr", &[TEXT, TEXT, INT4, INT4], T::Text, substr),
    f(
        "regexp_substr",
        &[TEXT, TEXT, INT4, INT4, TEXT],
        T::Text,
        substr,
    ),
    f(
        "regexp_substr",
        &[TEXT, TEXT, INT4, INT4, TEXT, INT4],
        T::Text,
        substr,
    ),
    f("substring", &[TEXT, TEXT], T::Text, substring),
    f("substring", &[TEXT, TEXT, TEXT], T::Text, substring_similar),
    f("similar_to_escape", &[TEXT], T::Text, |_, args| {
        string(joined(similar(text(args[0]), Some('\\'))?))
    }),
    f("similar_to_escape", &[TEXT, TEXT], T::Text, |_, args| {
        string(joined(similar(text(args[0]), escape_of(text(args[1]))?)?))
    }),
    f(LIKE_UNENDED, &[TEXT, TEXT], T::Bool, |_, args| {
        let [value, pattern] = [0, 1].map(|at| text(args[at]).chars().collect::<Vec<char>>());
        reaches_end(&value, &pattern).map(|()| Datum::Bool(false))
    }),
    f("like_escape", &[TEXT, TEXT], T::Text, |_, args| {
        string(like_escape(text(args[0]), escape_of(text(args[1]))?))
    }),
];

fn compiled(args: &[DatumRef<'_>], flags: &Flags) -> Result<Rc<Pattern>, SqlError> {
    Pattern::of(text(args[1]), flags)
}

fn test(args: &[DatumRef<'_>], flags: &Flags, wanted: bool) -> Outcome {
    let found = compiled(args, flags)?.is_match(text(args[0]));
    Ok(Datum::Bool(found == wanted))
}

/// `text ~ ANY (patterns)`, or where none is to be found `text !~ ANY (patterns)`.
fn test_any(args: &[DatumRef<'_>], flags: &Flags, wanted: bool) -> Outcome {
    let value = text(args[0]);
    let patterns = args[1].elements().map(Elements::to_vec);
    let mut none = Datum::Bool(false);
    for pattern in patterns.unwrap_or_default() {
        match pattern {
            Datum::Text(pattern) => {
                if Pattern::of(&pattern, flags)?.is_match(value) == wanted {
                    return Ok(Datum::Bool(true));
                }
            }
            _ => none = Datum::Null,
        }
    }
    Ok(none)
}

fn flags_at(args: &[DatumRef<'_>], at: usize) -> Result<Flags, SqlError> {
    args.get(at)
        .map_or(Ok(Flags::default()), |flags| Flags::read(text(*flags)))
}

/// Flags of a function that looks for one match only.
fn single(args: &[DatumRef<'_>], at: usize, function: &str) -> Result<Flags, SqlError> {
    let flags = flags_at(args, at)?;
    match flags.global {
        true => Err(refused(format!(
            "{function} does not support the \"global\" option"
        ))),
        false => Ok(flags),
    }
}

fn part(value: &str, span: Option<(usize, usize)>) -> Datum {
    match span {
        Some((start, end)) => Datum::Text(value[start..end].to_string()),
        None => Datum::Null,
    }
}

/// The parts of a match, or all of it where there are none.
fn parts(value: &str, found: &Match) -> Datum {
    let spans = match found.len() {
        1 => &found[..],
        _ => &found[1..],
    };
    Datum::Array(spans.iter().map(|span| part(value, *span)).collect())
}

fn like(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    test(args, &single(args, 2, "regexp_like()")?, true)
}

fn first(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let flags = single(args, 2, "regexp_match()").map_err(|error| {
        match error.message.contains("global") {
            true => error.hint("Use the regexp_matches function instead."),
            false => error,
        }
    })?;
    let value = text(args[0]);
    let found = compiled(args, &flags)?.find_at(value, 0);
    Ok(found.map_or(Datum::Null, |found| parts(value, &found)))
}

fn all(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let flags = flags_at(args, 2)?;
    let value = text(args[0]);
    let pattern = compiled(args, &flags)?;
    let limit = if flags.global { usize::MAX } else { 1 };
    let rows = pattern.matches(value, 0).take(limit);
    Ok(Datum::Array(
        rows.map(|found| parts(value, &found)).collect(),
    ))
}

fn replace(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    // A digit may be a start that was meant as an integer.
    if let Some(given) = args.get(3).map(|flags| text(*flags))
        && given.starts_with(|c: char| c.is_ascii_digit())
    {
        let letter = &given[..1];
        let message = format!("invalid regular expression option: \"{letter}\"");
        return Err(refused(message).hint(
            "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.",
        ));
    }
    let flags = flags_at(args, 3)?;
    replaced(args, &flags, 0, if flags.global { 0 } else { 1 })
}

fn replace_from(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let start = start_at(args, 3)?;
    let flags = flags_at(args, 5)?;
    let nth = match args.get(4) {
        Some(nth) => at_least(int(*nth), 0, "n")?,
        None => 1,
    };
    // With flags but without a number, `g` says which.
    replaced(args, &flags, start, nth)
}

/// With the match of this number replaced, or for 0 with all.
fn replaced(args: &[DatumRef<'_>], flags: &Flags, start: usize, nth: usize) -> Outcome {
    let (value, replacement) = (text(args[0]), text(args[2]));
    let pattern = compiled(args, flags)?;
    let mut out = String::new();
    let mut copied = 0;
    let start = byte_of(value, start);
    for (number, found) in pattern
        .matches(value, start.unwrap_or(value.len()))
        .enumerate()
    {
        if start.is_none() || nth > 0 && number + 1 < nth {
            continue;
        }
        let Some((begin, end)) = found[0] else {
            continue;
        };
        append(&mut out, &value[copied..begin])?;
        insert(&mut out, value, replacement, &found)?;
        copied = end;
        if nth > 0 {
            break;
        }
    }
    append(&mut out, &value[copied..])?;
    string(out)
}

/// Appends a replacement, in which `\1` and `\&` stand for parts of the match.
fn insert(out: &mut String, value: &str, replacement: &str, found: &Match) -> Result<(), SqlError> {
    let mut rest = replacement;
    while let Some((before, behind)) = rest.split_once('\\') {
        append(out, before)?;
        let c = behind.chars().next();
        let number = match c {
            Some('&') => Some(0),
            Some(c @ '1'..='9') => c.to_digit(10),
            _ => None,
        };
        rest = match (number, c) {
            (Some(number), _) => {
                if let Some(Some((start, end))) = found.get(number as usize) {
                    append(out, &value[*start..*end])?;
                }
                &behind[1..]
            }
            (None, Some('\\')) => {
                out.push('\\');
                &behind[1..]
            }
            _ => {
                out.push('\\');
                behind
            }
        };
    }
    append(out, rest)
}

fn split(args: &[DatumRef<'_>], function: &str) -> Outcome {
    let flags = single(args, 2, function)?;
    let value = text(args[0]);
    let pattern = compiled(args, &flags)?;
    let mut fields = Vec::new();
    let (mut from, mut previous) = (0, 0);
    for found in pattern.matches(value, 0) {
        let Some((start, end)) = found[0] else {
            continue;
        };
        // Matches of nothing at the ends and behind another match do not split.
        if start < value.len() && end > previous {
            fields.push(Datum::Text(value[from..start].to_string()));
            from = end;
        }
        previous = end;
    }
    fields.push(Datum::Text(value[from..].to_string()));
    Ok(Datum::Array(fields))
}

fn at_least(value: i64, least: i64, name: &str) -> Result<usize, SqlError> {
    match usize::try_from(value) {
        Ok(found) if value >= least => Ok(found),
        _ => Err(refused(format!(
            "invalid value for parameter \"{name}\": {value}"
        ))),
    }
}

/// Characters before the start.
fn start_at(args: &[DatumRef<'_>], at: usize) -> Result<usize, SqlError> {
    match args.get(at) {
        Some(start) => Ok(at_least(int(*start), 1, "start")? - 1),
        None => Ok(0),
    }
}

/// The offset of a character; `None` behind the end.
fn byte_of(value: &str, chars: usize) -> Option<usize> {
    let offsets = value.char_indices().map(|(at, _)| at);
    offsets.chain([value.len()]).nth(chars)
}

fn count(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let start = start_at(args, 2)?;
    let flags = single(args, 3, "regexp_count()")?;
    let value = text(args[0]);
    let pattern = compiled(args, &flags)?;
    let found = byte_of(value, start).map_or(0, |start| pattern.matches(value, start).count());
    Ok(Datum::Int4(i32::try_from(found).unwrap_or(i32::MAX)))
}

/// The part of a match that is asked for: of the match of a number, behind a start.
fn wanted(
    args: &[DatumRef<'_>],
    flags: &Flags,
    nth: usize,
    group: usize,
) -> Result<Option<(usize, usize)>, SqlError> {
    let value = text(args[0]);
    let pattern = compiled(args, flags)?;
    let start = byte_of(value, start_at(args, 2)?);
    if group > pattern.groups() {
        return Ok(None);
    }
    let found = start.and_then(|start| pattern.matches(value, start).nth(nth - 1));
    Ok(found.and_then(|found| found[group]))
}

fn instr(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    start_at(args, 2)?;
    let nth = args
        .get(3)
        .map_or(Ok(1), |nth| at_least(int(*nth), 1, "n"))?;
    let behind = match args.get(4).map_or(0, |end| int(*end)) {
        0 => false,
        1 => true,
        other => {
            let message = format!("invalid value for parameter \"endoption\": {other}");
            return Err(refused(message));
        }
    };
    let flags = single(args, 5, "regexp_instr()")?;
    let group = args
        .get(6)
        .map_or(Ok(0), |group| at_least(int(*group), 0, "subexpr"))?;
    let value = text(args[0]);
    Ok(Datum::Int4(match wanted(args, &flags, nth, group)? {
        None => 0,
        Some((start, end)) => {
            let at = if behind { end } else { start };
            i32::try_from(value[..at].chars().count() + 1).unwrap_or(i32::MAX)
        }
    }))
}

fn substr(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    start_at(args, 2)?;
    let nth = args
        .get(3)
        .map_or(Ok(1), |nth| at_least(int(*nth), 1, "n"))?;
    let flags = single(args, 4, "regexp_substr()")?;
    let group = args
        .get(5)
        .map_or(Ok(0), |group| at_least(int(*group), 0, "subexpr"))?;
    Ok(part(text(args[0]), wanted(args, &flags, nth, group)?))
}

fn substring(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = text(args[0]);
    let found = compiled(args, &Flags::default())?.find_at(value, 0);
    Ok(found.map_or(Datum::Null, |found| {
        part(value, found[usize::from(found.len() > 1)])
    }))
}

/// The part between two escaped double quotes of an SQL pattern; all of it where there are none.
fn substring_similar(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = text(args[0]);
    let parts = similar(text(args[1]), escape_of(text(args[2]))?)?;
    let whole = |pattern: &str| Pattern::of(&format!("^(?:{pattern})$"), &Flags::default());
    match parts.as_slice() {
        [only] => Ok(match whole(only)?.is_match(value) {
            true => Datum::Text(value.to_string()),
            false => Datum::Null,
        }),
        [front, middle, back] => {
            let (front, middle, back) = (whole(front)?, whole(middle)?, whole(back)?);
            let offsets: Vec<usize> = value
                .char_indices()
                .map(|(at, _)| at)
                .chain([value.len()])
                .collect();
            // The front is as short as it can be, the middle as long.
            for start in offsets.iter().filter(|at| front.is_match(&value[..**at])) {
                let ends = offsets.iter().rev().take_while(|end| *end >= start);
                for end in ends {
                    if back.is_match(&value[*end..]) && middle.is_match(&value[*start..*end]) {
                        return string(&value[*start..*end]);
                    }
                }
            }
            Ok(Datum::Null)
        }
        _ => Ok(Datum::Null),
    }
}

fn escape_of(escape: &str) -> Result<Option<char>, SqlError> {
    let mut chars = escape.chars();
    match (chars.next(), chars.next()) {
        (_, Some(_)) => Err(SqlError::new(
            ErrorKind::InvalidEscapeSequence,
            "invalid escape string",
        )
        .hint("Escape string must be empty or one character.")),
        (escape, None) => Ok(escape),
    }
}

fn joined(parts: Vec<String>) -> String {
    format!("^(?:{})$", parts.join(""))
}

/// An SQL pattern as a regular expression, in the parts that escaped double quotes separate; after
/// similar_escape_internal in PostgreSQL's regexp.c.
fn similar(pattern: &str, escape: Option<char>) -> Result<Vec<String>, SqlError> {
    let mut parts = vec![String::new()];
    let (mut escaped, mut in_class) = (false, false);
    for c in pattern.chars() {
        let out = parts.last_mut().expect("there is one from the beginning");
        if escaped {
            escaped = false;
            if c == '"' && !in_class {
                if parts.len() == 3 {
                    return Err(SqlError::new(
                        ErrorKind::InvalidUseOfEscapeCharacter,
                        "SQL regular expression may not contain more than two escape-double-quote separators",
                    ));
                }
                parts.push(String::new());
            } else {
                out.extend(['\\', c]);
            }
        } else if Some(c) == escape {
            escaped = true;
        } else if in_class {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
            in_class = c != ']';
        } else {
            match c {
                '[' => {
                    out.push('[');
                    in_class = true;
                }
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '\\' | '.' | '^' | '$' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
    }
    Ok(parts)
}

/// LIKE with a pattern that ends in its escape character, which nothing is like.
pub(crate) const LIKE_UNENDED: &str = "~~\\";

/// 22025 when comparing a value with such a pattern comes to the end of the pattern with something of the value left; after
/// MatchText in PostgreSQL's like_match.c.
fn reaches_end(mut value: &[char], mut pattern: &[char]) -> Result<(), SqlError> {
    let unended = || {
        let message = "LIKE pattern must not end with escape character";
        SqlError::new(ErrorKind::InvalidEscapeSequence, message)
    };
    // Where the value is read on from when what stands behind the last `%` does not fit.
    let mut again: Option<(&[char], &[char])> = None;
    loop {
        let (Some((first, rest)), Some((wanted, behind))) =
            (value.split_first(), pattern.split_first())
        else {
            return Ok(());
        };
        let fits = match (wanted, behind.first()) {
            ('\\', None) => return Err(unended()),
            ('%', _) => {
                pattern = behind;
                again = Some((value, pattern));
                continue;
            }
            ('\\', Some(escaped)) => {
                pattern = &behind[1..];
                escaped == first
            }
            (wanted, _) => {
                pattern = behind;
                *wanted == '_' || wanted == first
            }
        };
        if fits {
            value = rest;
            continue;
        }
        let Some((from, of)) = again else {
            return Ok(());
        };
        (value, pattern) = (&from[1..], of);
        again = Some((value, of));
    }
}

/// A LIKE pattern with a backslash for its escape character; after like_escape in PostgreSQL's like_match.c.
fn like_escape(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for c in pattern.chars() {
        if Some(c) == escape && !escaped {
            out.push('\\');
            escaped = true;
        } else {
            if c == '\\' && !escaped {
                out.push('\\');
            }
            out.push(c);
            escaped = false;
        }
    }
    out
}
