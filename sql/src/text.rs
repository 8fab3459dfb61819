//! PostgreSQL's text forms of values, in and out: DateStyle ISO, the shortest exact floats.

pub(crate) mod array;
pub(crate) mod bits;
pub mod character;
pub(crate) mod datetime;
pub mod hstore;
mod interval;
pub(crate) mod jsonb;
pub(crate) mod number;
pub mod printed;
pub mod reg;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt::Write;

use tidelog_storage::{ColumnType, Datum, DatumRef};

use crate::error::{ErrorKind, SqlError};
use crate::precision::kept;
use crate::system::pg_proc;
use crate::types;

pub use array::{check_depth, check_size, unshaped};
pub use datetime::{Now, is_date, is_timestamp};
pub use interval::IntervalStyle;
pub use zone::{Posix, Zone};

/// What a session's settings say of text forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// TimeZone.
    pub zone: Zone,
    /// IntervalStyle.
    pub intervals: IntervalStyle,
    /// bytea_output.
    pub bytes: BytesStyle,
    /// extra_float_digits.
    pub floats: FloatStyle,
    /// What `now`, `today` and the like are in a text.
    pub now: Now,
}

/// What bytea_output says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BytesStyle {
    /// `\x6108`
    #[default]
    Hex,
    /// `a\010`
    Escape,
}

/// What extra_float_digits says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FloatStyle {
    /// The fewest digits that tell a float from all others.
    #[default]
    Shortest,
    /// So many digits less than a float has for certain.
    Rounded(u8),
}

/// Reads a value of a type whose text form no setting changes, or as where TimeZone is UTC.
pub fn parse(ty: ColumnType, text: &str) -> Result<Datum, SqlError> {
    parse_in(ty, text, Style::default())
}

/// The digits of a float that a numeric takes of it: 15 of a double precision, 6 of a real; `None` for other values. After
/// float8_numeric in PostgreSQL's numeric.c.
pub(crate) fn certain_digits(value: DatumRef<'_>) -> Option<String> {
    match value {
        DatumRef::Float4(number) if number.is_finite() => {
            Some(without_zeros(&format!("{number:.5e}")))
        }
        DatumRef::Float8(number) if number.is_finite() => {
            Some(without_zeros(&format!("{number:.14e}")))
        }
        DatumRef::Float4(_) | DatumRef::Float8(_) => {
            let mut written = String::new();
            write(value, ColumnType::Float8, Style::default(), &mut written);
            Some(written)
        }
        _ => None,
    }
}

/// `1.500e3` as `1.5e3`
fn without_zeros(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    format!("{mantissa}e{exponent}")
}

/// Reads a value of a type from its text form, as a string literal or a text parameter would be.
pub fn parse_in(ty: ColumnType, text: &str, style: Style) -> Result<Datum, SqlError> {
    if text.as_bytes().contains(&0) {
        return Err(SqlError::new(
            ErrorKind::CharacterNotInRepertoire,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(match ty {
        ColumnType::Int2 => Datum::Int2(number::integer(ty, text)?),
        ColumnType::Int4 => Datum::Int4(number::integer(ty, text)?),
        ColumnType::Int8 => Datum::Int8(number::integer(ty, text)?),
        ColumnType::Float4 => Datum::Float4(number::float4(text)?),
        ColumnType::Float8 => Datum::Float8(number::float8(text)?),
        ColumnType::Numeric(shape) => number::numeric(shape, text)?,
        ColumnType::Text | ColumnType::Varchar(None) => Datum::Text(text.to_string()),
        ColumnType::Varchar(Some(length)) => Datum::Text(varchar(length, text)?.to_string()),
        ColumnType::Bool => Datum::Bool(boolean(text)?),
        ColumnType::Bytea => Datum::Bytea(bytea(text)?),
        ColumnType::Uuid => Datum::Uuid(uuid(text).ok_or_else(|| syntax(ty, text))?),
        ColumnType::Bpchar(length) => Datum::Text(bpchar(length, text)?.to_string()),
        ColumnType::Name => Datum::Text(cut(text, NAME_BYTES_MAX).to_string()),
        ColumnType::Char => Datum::Text(character::parse(text)),
        ColumnType::Oid => Datum::Int8(number::oid(text)?.into()),
        ColumnType::Regproc => Datum::Int8(pg_proc::regproc(text)?),
        ColumnType::Reg(of) => match text.parse::<u32>() {
            Ok(oid) => Datum::Int8(oid.into()),
            Err(_) => {
                let what = format!("a {} in this place", of.name());
                return Err(SqlError::unsupported(what).hint("Cast the name where it is written."));
            }
        },
        ColumnType::Bit(length) => Datum::Text(bits::bit(length, text)?),
        ColumnType::Varbit(length) => Datum::Text(bits::varbit(length, text)?),
        ColumnType::Date => Datum::Date(datetime::date(text, style)?),
        ColumnType::Time(_) => kept(Datum::Time(datetime::time(text, style)?), ty)?,
        ColumnType::TimeTz(_) => kept(Datum::TimeTz(datetime::timetz(text, style)?), ty)?,
        ColumnType::Timestamp(_) => {
            let at = datetime::timestamp(ty, text, style)?;
            kept(Datum::Timestamp(at), ty)?
        }
        ColumnType::TimestampTz(_) => {
            let at = datetime::timestamp(ty, text, style)?;
            kept(Datum::TimestampTz(at), ty)?
        }
        ColumnType::Interval(modifier) => {
            let value = interval::parse(text, modifier, style.intervals)?;
            kept(Datum::Interval(value), ty)?
        }
        ColumnType::Json => Datum::Text(jsonb::checked(text)?.to_string()),
        ColumnType::Jsonb => Datum::Text(jsonb::canonical(text)?),
        ColumnType::Printed(of) => Datum::Text(printed::canonical(of, text)?),
        ColumnType::Enum(of) => match of.definition().order(text) {
            Some(_) => Datum::Text(text.to_string()),
            None => {
                let name = &of.definition().name;
                return Err(SqlError::new(
                    ErrorKind::InvalidTextRepresentation,
                    format!("invalid input value for enum {name}: \"{text}\""),
                ));
            }
        },
        ColumnType::Array(element) => match array::parse(element.into(), text, style)? {
            Datum::Shaped(..) => return Err(array::unshaped()),
            plain => plain,
        },
        ColumnType::Shaped(element) => array::parse(element.into(), text, style)?,
    })
}

/// PostgreSQL's limit of a name's bytes.
const NAME_BYTES_MAX: usize = 63;

/// The beginning of a text, of at most so many bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A value of `char(n)` without its padding; only spaces may be too many.
fn bpchar(length: Option<u32>, text: &str) -> Result<&str, SqlError> {
    let trimmed = text.trim_end_matches(' ');
    match length {
        Some(length) if trimmed.chars().nth(length as usize).is_some() => Err(SqlError::new(
            ErrorKind::StringDataRightTruncation,
            format!("value too long for type character({length})"),
        )),
        _ => Ok(trimmed),
    }
}

/// Appends the text form of a value of a type. NULL appends nothing.
pub fn write(value: DatumRef<'_>, ty: ColumnType, style: Style, out: &mut String) {
    // Writing to a String cannot fail.
    match value {
        DatumRef::Null => {}
        DatumRef::Int2(value) => drop(write!(out, "{value}")),
        DatumRef::Int4(value) => drop(write!(out, "{value}")),
        DatumRef::Int8(oid) if ty == ColumnType::Regproc => out.push_str(&pg_proc::shown(oid)),
        DatumRef::Int8(value) => drop(write!(out, "{value}")),
        DatumRef::Float4(value) => number::write_float4(value, style.floats, out),
        DatumRef::Float8(value) => number::write_float8(value, style.floats, out),
        DatumRef::Numeric(value) => number::write_numeric(value, out),
        DatumRef::Number(value) => value.write(out),
        DatumRef::Text(value) => {
            out.push_str(match ty {
                ColumnType::Reg(_) => reg::name(value),
                _ => value,
            });
            if let ColumnType::Bpchar(Some(length)) = ty {
                let padding = (length as usize).saturating_sub(value.chars().count());
                out.extend(std::iter::repeat_n(' ', padding));
            }
        }
        DatumRef::Bool(value) => out.push(if value { 't' } else { 'f' }),
        DatumRef::Bytea(value) if style.bytes == BytesStyle::Escape => write_escaped(value, out),
        DatumRef::Bytea(value) => {
            out.push_str("\\x");
            write_hex(value, out);
        }
        DatumRef::Uuid(value) => {
            for (index, group) in [
                &value[..4],
                &value[4..6],
                &value[6..8],
                &value[8..10],
                &value[10..],
            ]
            .iter()
            .enumerate()
            {
                if index > 0 {
                    out.push('-');
                }
                write_hex(group, out);
            }
        }
        DatumRef::Date(value) => datetime::write_date(value, out),
        DatumRef::Timestamp(value) => datetime::write_timestamp(value, None, out),
        DatumRef::TimestampTz(value) => datetime::write_timestamptz(value, style.zone, out),
        DatumRef::Time(value) => datetime::write_time(value, out),
        DatumRef::TimeTz(value) => {
            datetime::write_time(value.micros, out);
            datetime::write_offset(-i64::from(value.west), out);
        }
        DatumRef::Interval(value) => interval::write(value, style.intervals, out),
        DatumRef::Array(elements) | DatumRef::Shaped(_, elements) => {
            let element = ty.elements().map_or(ty, ColumnType::from);
            array::write(element, &value.dimensions(), elements, style, out);
        }
    }
}

/// 22P02: the text is not of the type's form.
fn syntax(ty: ColumnType, text: &str) -> SqlError {
    let name = match ty {
        ColumnType::Numeric(_) => "numeric".to_string(),
        other => types::name(other),
    };
    SqlError::new(
        ErrorKind::InvalidTextRepresentation,
        format!("invalid input syntax for type {name}: \"{text}\""),
    )
}

fn varchar(length: u32, text: &str) -> Result<&str, SqlError> {
    let length_chars = length as usize;
    if text.len() <= length_chars {
        return Ok(text);
    }
    match text.char_indices().nth(length_chars) {
        None => Ok(text),
        // As SQL has it, spaces too many are cut.
        Some((end, _)) if text[end..].bytes().all(|byte| byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(SqlError::new(
            ErrorKind::StringDataRightTruncation,
            format!("value too long for type character varying({length})"),
        )),
    }
}

fn boolean(text: &str) -> Result<bool, SqlError> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let prefix_of = |full: &str| !word.is_empty() && full.starts_with(&word);
    if prefix_of("true") || prefix_of("yes") || word == "on" || word == "1" {
        Ok(true)
    } else if prefix_of("false") || prefix_of("no") || word == "of" || word == "off" || word == "0"
    {
        Ok(false)
    } else {
        Err(syntax(ColumnType::Bool, text))
    }
}

/// C's isspace.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// Appends what is printable ASCII as it is, a backslash twice, and other bytes as `\` and three octal digits.
fn write_escaped(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => drop(write!(out, "\\{byte:03o}")),
        }
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn bytea(text: &str) -> Result<Vec<u8>, SqlError> {
    let invalid = |message: String| SqlError::new(ErrorKind::InvalidParameterValue, message);
    if let Some(digits) = text.strip_prefix("\\x") {
        let mut out = Vec::with_capacity(digits.len() / 2);
        let mut chars = digits
            .chars()
            .filter(|&c| !matches!(c, ' ' | '\n' | '\t' | '\r'));
        let digit = |c: char| {
            let value = c.to_digit(16).map(|digit| digit as u8);
            value.ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{c}\"")))
        };
        while let Some(high) = chars.next() {
            let high = digit(high)?;
            let Some(low) = chars.next() else {
                return Err(invalid(
                    "invalid hexadecimal data: odd number of digits".to_string(),
                ));
            };
            out.push(high << 4 | digit(low)?);
        }
        return Ok(out);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        match bytes.get(at + 1..) {
            Some([b'\\', ..]) => {
                out.push(b'\\');
                at += 2;
            }
            Some([a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 4;
            }
            _ => {
                return Err(SqlError::new(
                    ErrorKind::InvalidTextRepresentation,
                    "invalid input syntax for type bytea",
                ));
            }
        }
    }
    Ok(out)
}

/// 32 hexadecimal digits, in braces or not, with a hyphen behind any group of four.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let mut bytes = text.as_bytes();
    if let [b'{', inner @ .., b'}'] = bytes {
        bytes = inner;
    }
    let mut out = [0; 16];
    let mut at = 0;
    for (index, slot) in out.iter_mut().enumerate() {
        if index > 0 && index % 2 == 0 && bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        *slot = hex(*bytes.get(at)?)? << 4 | hex(*bytes.get(at + 1)?)?;
        at += 2;
    }
    (at == bytes.len()).then_some(out)
}
