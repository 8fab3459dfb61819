//! Arrays: `{1,NULL,"a b"}`, `{{1,2},{3,4}}`, `[0:1]={1,2}`.

use std::fmt::Write;

use tidelog_storage::datum::{DIMENSIONS_MAX, ELEMENTS_MAX};
use tidelog_storage::{ColumnType, Datum, DatumRef, Dimension, Elements, PrintedType};

use super::{Style, is_space};
use crate::error::{ErrorKind, SqlError};

/// Reads an array of elements of this type, of any dimensions.
pub(super) fn parse(element: ColumnType, text: &str, style: Style) -> Result<Datum, SqlError> {
    let mut rest = text.trim_start_matches(is_space);
    let mut dimensions = Vec::new();
    while let Some(bound) = rest.strip_prefix('[') {
        let (dimension, behind) = bounds(bound, dimensions.len(), text)?;
        dimensions.push(dimension);
        rest = behind.trim_start_matches(is_space);
    }
    if dimensions.is_empty() {
        if !rest.starts_with('{') {
            let detail = "Array value must start with \"{\" or dimension information.";
            return Err(malformed(text, detail));
        }
    } else {
        rest = rest
            .strip_prefix('=')
            .ok_or_else(|| malformed(text, "Missing \"=\" after array dimensions."))?
            .trim_start_matches(is_space);
        if !rest.starts_with('{') {
            return Err(malformed(text, "Array contents must start with \"{\"."));
        }
    }
    let (lengths, items) = Scan::new(delimiter(element)).run(rest, text)?;
    let dimensions = match dimensions.is_empty() {
        true => {
            let plain = |length: &u32| Dimension {
                length: *length,
                lower: 1,
            };
            lengths.iter().map(plain).collect()
        }
        false if dimensions.iter().map(|of| of.length).eq(lengths) => dimensions,
        false => {
            let detail = "Specified array dimensions do not match array contents.";
            return Err(malformed(text, detail));
        }
    };
    check_size(&dimensions)?;
    let values = items.into_iter().map(|item| match item {
        Item::Null => Ok(Datum::Null),
        Item::Text(value) => super::parse_in(element, &value, style),
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let wanted: u64 = dimensions.iter().map(|of| u64::from(of.length)).product();
    if !values.is_empty() && wanted != values.len() as u64 {
        return Err(malformed(text, UNEVEN));
    }
    Ok(Datum::of_elements(&dimensions, values))
}

const UNEVEN: &str = "Multidimensional arrays must have sub-arrays with matching dimensions.";

fn malformed(text: &str, detail: &str) -> SqlError {
    let message = format!("malformed array literal: \"{text}\"");
    SqlError::new(ErrorKind::InvalidTextRepresentation, message).detail(detail)
}

/// What a place that is for arrays of one dimension that begin at 1 says of others.
pub fn unshaped() -> SqlError {
    let message =
        "an array of several dimensions, or one that does not begin at 1, is not supported here";
    SqlError::new(ErrorKind::OtherShape, message)
}

/// Whether a literal may be one of an array of several dimensions, or one that does not begin at 1.
pub(crate) fn may_be_shaped(literal: &str) -> bool {
    let inside = literal.trim_start_matches(is_space);
    match inside.strip_prefix('{') {
        Some(inside) => inside.trim_start_matches(is_space).starts_with('{'),
        None => inside.starts_with('['),
    }
}

/// What stands between the elements of an array of this type.
fn delimiter(element: ColumnType) -> char {
    match element {
        ColumnType::Printed(PrintedType::Box) => ';',
        _ => ',',
    }
}

/// 54000 for an array of more dimensions than there can be.
pub fn check_depth(dimensions: usize) -> Result<(), SqlError> {
    if dimensions <= DIMENSIONS_MAX {
        return Ok(());
    }
    let message = format!(
        "number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})"
    );
    Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message))
}

/// 54000 for an array of more elements, or with higher subscripts, than there can be.
pub fn check_size(dimensions: &[Dimension]) -> Result<(), SqlError> {
    let lengths = dimensions.iter().map(|of| i64::from(of.length));
    let size = lengths.fold(1, i64::saturating_mul);
    if size > ELEMENTS_MAX {
        let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
        return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    let is_too_high =
        |of: &&Dimension| i64::from(of.lower) + i64::from(of.length) > i64::from(i32::MAX);
    match dimensions.iter().find(is_too_high) {
        Some(of) => {
            let message = format!("array lower bound is too large: {}", of.lower);
            Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message))
        }
        None => Ok(()),
    }
}

/// Reads `2:3]` or `3]`, behind as many dimensions; gives what follows it.
fn bounds<'t>(bound: &'t str, before: usize, text: &str) -> Result<(Dimension, &'t str), SqlError> {
    check_depth(before + 1)?;
    let number = |bound: &'t str| {
        let digits = bound.trim_start_matches(|c: char| c.is_ascii_digit() || "+-".contains(c));
        bound.split_at(bound.len() - digits.len())
    };
    let (first, rest) = number(bound);
    if first.is_empty() {
        let detail = "\"[\" must introduce explicitly-specified array dimensions.";
        return Err(malformed(text, detail));
    }
    let (lower, upper, rest) = match rest.strip_prefix(':') {
        Some(rest) => {
            let (last, rest) = number(rest);
            if last.is_empty() {
                return Err(malformed(text, "Missing array dimension value."));
            }
            (subscript(first), subscript(last), rest)
        }
        None => (1, subscript(first), rest),
    };
    let rest = rest
        .strip_prefix(']')
        .ok_or_else(|| malformed(text, "Missing \"]\" after array dimensions."))?;
    if upper < lower {
        let message = "upper bound cannot be less than lower bound";
        return Err(SqlError::new(ErrorKind::ArraySubscriptError, message));
    }
    let length = i64::from(upper) - i64::from(lower) + 1;
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    Ok((Dimension { length, lower }, rest))
}

/// As C's atoi reads a number: as far as it is one.
fn subscript(written: &str) -> i32 {
    let digits = written.strip_prefix('+').unwrap_or(written);
    let sign = usize::from(digits.starts_with('-'));
    let end = digits[sign..].find(|c: char| !c.is_ascii_digit());
    let number = &digits[..end.map_or(digits.len(), |end| sign + end)];
    number.parse().unwrap_or(0)
}

enum Item {
    Null,
    Text(String),
}

/// What a literal's scan has just passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nothing,
    LevelStart,
    Element,
    Quoted,
    QuotedEnd,
    LevelEnd,
    LevelDelimiter,
    ElementDelimiter,
}

/// A scan of what stands between braces, after ArrayCount in PostgreSQL's arrayfuncs.c.
struct Scan {
    delimiter: char,
    at: At,
    /// How many elements, or arrays, each open level has so far.
    counts: Vec<u32>,
    /// How many those of each level had that are closed.
    lengths: [Option<u32>; DIMENSIONS_MAX],
    depth: usize,
    /// The lowest level of an element.
    element_depth: Option<usize>,
    items: Vec<Item>,
    item: String,
    /// How much of an element without quotes is no trailing space.
    kept: usize,
    /// Whether the element cannot be the word NULL.
    literal: bool,
}

impl Scan {
    fn new(delimiter: char) -> Scan {
        Scan {
            delimiter,
            at: At::Nothing,
            counts: Vec::new(),
            lengths: [None; DIMENSIONS_MAX],
            depth: 0,
            element_depth: None,
            items: Vec::new(),
            item: String::new(),
            kept: 0,
            literal: false,
        }
    }

    /// The lengths of the dimensions, and the elements.
    fn run(mut self, braced: &str, text: &str) -> Result<(Vec<u32>, Vec<Item>), SqlError> {
        let wrong = |detail: &str| Err(malformed(text, detail));
        let unexpected = |c: char| malformed(text, &format!("Unexpected \"{c}\" character."));
        let mut rest = braced.chars();
        loop {
            let Some(c) = rest.next() else {
                return wrong("Unexpected end of input.");
            };
            let within = self.at == At::Quoted;
            match c {
                '\\' => {
                    use At::{Element, ElementDelimiter, LevelStart, Quoted};
                    if !matches!(self.at, LevelStart | Element | Quoted | ElementDelimiter) {
                        return Err(unexpected(c));
                    }
                    let Some(escaped) = rest.next() else {
                        return wrong("Unexpected end of input.");
                    };
                    if !within {
                        self.at = Element;
                    }
                    self.put(escaped, true);
                    self.literal = true;
                }
                '"' => {
                    if !within && !matches!(self.at, At::LevelStart | At::ElementDelimiter) {
                        return wrong("Unexpected array element.");
                    }
                    self.literal = true;
                    self.at = if within { At::QuotedEnd } else { At::Quoted };
                }
                c if within => self.put(c, true),
                '{' => {
                    use At::{LevelDelimiter, LevelStart, Nothing};
                    if !matches!(self.at, Nothing | LevelStart | LevelDelimiter) {
                        return Err(unexpected(c));
                    }
                    self.at = LevelStart;
                    check_depth(self.counts.len() + 1)?;
                    self.counts.push(0);
                    self.depth = self.depth.max(self.counts.len());
                }
                '}' => {
                    let is_empty = self.counts.len() == 1 && self.at == At::LevelStart;
                    if !self.ends() && !is_empty {
                        return Err(unexpected(c));
                    }
                    self.finish();
                    self.at = At::LevelEnd;
                    let level = self.counts.len() - 1;
                    let count = self.counts.pop().unwrap_or(0);
                    if *self.lengths[level].get_or_insert(count) != count {
                        return wrong(UNEVEN);
                    }
                    match self.counts.last_mut() {
                        Some(outer) => *outer += 1,
                        None => break,
                    }
                }
                c if c == self.delimiter => {
                    if !self.ends() {
                        return Err(unexpected(c));
                    }
                    self.finish();
                    self.at = match self.at {
                        At::LevelEnd => At::LevelDelimiter,
                        _ => At::ElementDelimiter,
                    };
                }
                c if is_space(c) => {
                    if self.at == At::Element {
                        self.put(c, false);
                    }
                }
                c => {
                    use At::{Element, ElementDelimiter, LevelStart};
                    if !matches!(self.at, LevelStart | Element | ElementDelimiter) {
                        return wrong("Unexpected array element.");
                    }
                    self.at = Element;
                    self.put(c, true);
                }
            }
        }
        if rest.any(|c| !is_space(c)) {
            return wrong("Junk after closing right brace.");
        }
        if self.items.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        if self.element_depth != Some(self.depth) {
            return wrong(UNEVEN);
        }
        let lengths = self.lengths[..self.depth].iter().copied();
        Ok((lengths.map(Option::unwrap_or_default).collect(), self.items))
    }

    /// Whether what an element, or an array, can end behind has just passed.
    fn ends(&self) -> bool {
        matches!(self.at, At::Element | At::QuotedEnd | At::LevelEnd)
    }

    fn put(&mut self, c: char, keeps: bool) {
        self.item.push(c);
        if keeps {
            self.kept = self.item.len();
        }
    }

    /// Ends the element that has just passed, if one has.
    fn finish(&mut self) {
        if !matches!(self.at, At::Element | At::QuotedEnd) {
            return;
        }
        let mut item = std::mem::take(&mut self.item);
        item.truncate(std::mem::take(&mut self.kept));
        let literal = std::mem::take(&mut self.literal);
        self.items
            .push(match !literal && item.eq_ignore_ascii_case("null") {
                true => Item::Null,
                false => Item::Text(item),
            });
        let depth = self.counts.len();
        self.element_depth = Some(self.element_depth.map_or(depth, |known| known.min(depth)));
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
    }
}

/// Writes an array in these dimensions, with their bounds where one does not begin at 1.
pub(super) fn write(
    element: ColumnType,
    dimensions: &[Dimension],
    values: Elements<'_>,
    style: Style,
    out: &mut String,
) {
    if dimensions.iter().any(|of| of.lower != 1) {
        for of in dimensions {
            // Writing to a String cannot fail.
            let _ = write!(out, "[{}:{}]", of.lower, of.upper());
        }
        out.push('=');
    }
    if dimensions.is_empty() {
        out.push_str("{}");
        return;
    }
    let delimiter = delimiter(element);
    let mut written = String::new();
    nested(
        dimensions,
        values,
        out,
        ["{", "}"],
        &delimiter.to_string(),
        |value, out| match value {
            DatumRef::Null => out.push_str("NULL"),
            value => {
                written.clear();
                super::write(value, element, style, &mut written);
                write_element(&written, delimiter, out);
            }
        },
    );
}

/// Writes elements between the brackets of their dimensions.
pub(crate) fn nested(
    dimensions: &[Dimension],
    values: Elements<'_>,
    out: &mut String,
    [open, close]: [&str; 2],
    delimiter: &str,
    mut write: impl FnMut(DatumRef<'_>, &mut String),
) {
    // After how many elements a bracket of each dimension closes, the innermost first.
    let mut spans = Vec::with_capacity(dimensions.len());
    let mut span = 1;
    for of in dimensions.iter().rev() {
        span *= of.length as usize;
        spans.push(span);
    }
    let mut at = 0;
    values.for_each(|value| {
        if at > 0 {
            out.push_str(delimiter);
        }
        for _ in spans.iter().filter(|span| at % **span == 0) {
            out.push_str(open);
        }
        write(value.unwrap_or(DatumRef::Null), out);
        at += 1;
        for _ in spans.iter().filter(|span| at % **span == 0) {
            out.push_str(close);
        }
    });
}

fn write_element(element: &str, delimiter: char, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | '"' | '\\') || c == delimiter || is_space(c);
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
