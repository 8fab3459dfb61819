//! Arrays: `{1,NULL,"a b"}`.

use tidelog_storage::{ColumnType, Datum, Elements};

use super::{Style, is_space};
use crate::error::{ErrorKind, SqlError};

/// Reads a one-dimensional array of elements of this type.
pub(super) fn parse(element: ColumnType, text: &str, style: Style) -> Result<Vec<Datum>, SqlError> {
    let malformed = |detail: &str| {
        SqlError::new(
            ErrorKind::InvalidTextRepresentation,
            format!("malformed array literal: \"{text}\""),
        )
        .detail(detail)
    };
    let mut rest = text.trim_matches(is_space);
    if rest.starts_with('[') {
        let Some((bounds, values)) = rest.split_once('=') else {
            return Err(malformed("Missing array dimension value."));
        };
        let lower = bounds.trim_start_matches('[').split(':').next();
        if bounds.matches('[').count() > 1 || lower.map(str::trim) != Some("1") {
            return Err(SqlError::unsupported(
                "an array of several dimensions, or one that does not begin at 1,",
            ));
        }
        rest = values.trim_start_matches(is_space);
    }
    let Some(inside) = rest.strip_prefix('{') else {
        return Err(malformed(
            "Array value must start with \"{\" or dimension information.",
        ));
    };
    let mut values = Vec::new();
    let mut characters = inside.chars().peekable();
    let skip_spaces = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        while characters.next_if(|c| is_space(*c)).is_some() {}
    };
    skip_spaces(&mut characters);
    let mut done = characters.next_if_eq(&'}').is_some();
    while !done {
        skip_spaces(&mut characters);
        let mut value = String::new();
        let mut quoted = false;
        // How much of an unquoted value is no trailing space.
        let mut kept = 0;
        match characters.peek() {
            Some('{') => {
                return Err(SqlError::unsupported("an array of several dimensions"));
            }
            Some('"') => {
                quoted = true;
                characters.next();
                loop {
                    match characters.next() {
                        None => return Err(malformed("Unexpected end of input.")),
                        Some('"') => break,
                        Some('\\') => value.extend(characters.next()),
                        Some(other) => value.push(other),
                    }
                }
                skip_spaces(&mut characters);
            }
            _ => {
                while let Some(c) = characters.next_if(|c| !matches!(c, ',' | '}')) {
                    match c {
                        '{' => return Err(malformed("Unexpected \"{\" character.")),
                        '"' => return Err(malformed("Unexpected array element.")),
                        '\\' => {
                            value.extend(characters.next());
                            kept = value.len();
                            // A backslash makes NULL a word like others.
                            quoted = true;
                        }
                        c => {
                            value.push(c);
                            if !is_space(c) {
                                kept = value.len();
                            }
                        }
                    }
                }
                value.truncate(kept);
            }
        }
        done = match characters.next() {
            Some(',') => false,
            Some('}') => true,
            Some(_) => return Err(malformed("Unexpected array element.")),
            None => return Err(malformed("Unexpected end of input.")),
        };
        if value.is_empty() && !quoted {
            let character = if done { '}' } else { ',' };
            return Err(malformed(&format!("Unexpected \"{character}\" character.")));
        }
        values.push(if !quoted && value.eq_ignore_ascii_case("null") {
            Datum::Null
        } else {
            super::parse_in(element, &value, style)?
        });
    }
    if characters.any(|c| !is_space(c)) {
        return Err(malformed("Junk after closing right brace."));
    }
    Ok(values)
}

/// Writes an array, also one of arrays.
pub(super) fn write(element: ColumnType, values: Elements<'_>, style: Style, out: &mut String) {
    out.push('{');
    let mut first = true;
    let mut written = String::new();
    values.for_each(|value| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        match value {
            None | Some(tidelog_storage::DatumRef::Null) => out.push_str("NULL"),
            Some(tidelog_storage::DatumRef::Array(inner)) => write(element, inner, style, out),
            Some(value) => {
                written.clear();
                super::write(value, element, style, &mut written);
                write_element(&written, out);
            }
        }
    });
    out.push('}');
}

fn write_element(element: &str, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || is_space(c);
    if !element.is_empty() && !element.eq_ignore_ascii_case("null") && !element.contains(special) {
        out.push_str(element);
        return;
    }
    out.push('"');
    for c in element.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}
