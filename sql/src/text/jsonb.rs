//! jsonb's canonical text: keys by length and then bytes, the last of equal ones, numbers with all their digits.

pub(crate) mod scan;

use super::number::Written;
use crate::error::{ErrorKind, SqlError};
use crate::json::write_string;

/// How deep arrays and objects may nest.
const DEPTH_MAX: usize = 1000;
/// PostgreSQL's limits of a numeric's digits before and behind the point.
const WHOLE_DIGITS_MAX: i64 = 131_072;
const FRACTION_DIGITS_MAX: i64 = 16_383;

/// Canonical text of any text of json's form.
pub(crate) fn canonical(text: &str) -> Result<String, SqlError> {
    let mut reader = Reader { text, at: 0 };
    let out = reader.value()?;
    reader.spaces();
    if reader.at < text.len() {
        return Err(reader.unexpected("end of input"));
    }
    Ok(out)
}

/// The text, if it is of json's form.
pub(super) fn checked(text: &str) -> Result<&str, SqlError> {
    canonical(text).map(|_| text)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// An array or object whose end has not come yet.
enum Open {
    /// Its text so far.
    Array(String),
    /// Its members so far, and the key whose value is being read.
    Object {
        members: Vec<(String, String)>,
        key: String,
    },
}

/// The text of an object with these members.
pub(crate) fn object(mut members: Vec<(String, String)>) -> String {
    // The sort is stable, so the last of equal keys is the last given.
    members.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
    let mut out = String::from("{");
    let mut separator = "";
    for (index, (key, value)) in members.iter().enumerate() {
        if members.get(index + 1).is_some_and(|(next, _)| next == key) {
            continue;
        }
        out.push_str(separator);
        separator = ", ";
        write_string(key, &mut out);
        out.push_str(": ");
        out.push_str(value);
    }
    out.push('}');
    out
}

fn invalid(detail: impl Into<String>) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidTextRepresentation,
        "invalid input syntax for type json",
    )
    .detail(detail)
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The token that stands here, as PostgreSQL's lexer cuts it.
    fn token(&self) -> &str {
        let rest = &self.text[self.at..];
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let length = rest
            .bytes()
            .position(|byte| !word(&byte))
            .unwrap_or(rest.len());
        if length > 0 {
            &rest[..length]
        } else {
            &rest[..rest.chars().next().map_or(0, char::len_utf8)]
        }
    }

    fn unexpected(&self, expected: &str) -> SqlError {
        let token = self.token();
        match token.as_bytes() {
            [] => invalid("The input string ended unexpectedly."),
            [b'{' | b'}' | b'[' | b']' | b',' | b':'] => {
                invalid(format!("Expected {expected}, but found \"{token}\"."))
            }
            [b'"'] => {
                let mut string = String::new();
                let mut reader = Reader {
                    text: self.text,
                    at: self.at,
                };
                match reader.string(&mut string) {
                    Ok(()) => invalid(format!(
                        "Expected {expected}, but found {}.",
                        &self.text[self.at..reader.at]
                    )),
                    Err(error) => error,
                }
            }
            _ if matches!(token, "true" | "false" | "null")
                || token.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                invalid(format!("Expected {expected}, but found \"{token}\"."))
            }
            _ => invalid(format!("Token \"{token}\" is invalid.")),
        }
    }

    /// Reads a value. Nesting takes no stack: the text may come from anyone.
    fn value(&mut self) -> Result<String, SqlError> {
        let mut open: Vec<Open> = Vec::new();
        'value: loop {
            self.spaces();
            let mut done = match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() == DEPTH_MAX {
                        return Err(SqlError::new(
                            ErrorKind::StatementTooComplex,
                            "stack depth limit exceeded",
                        )
                        .detail(format!("A jsonb value may nest {DEPTH_MAX} levels deep.")));
                    }
                    self.at += 1;
                    self.spaces();
                    match (bracket, self.peek()) {
                        (b'{', Some(b'}')) => {
                            self.at += 1;
                            "{}".to_string()
                        }
                        (b'[', Some(b']')) => {
                            self.at += 1;
                            "[]".to_string()
                        }
                        (b'{', _) => {
                            let key = self.key("string or \"}\"")?;
                            open.push(Open::Object {
                                members: Vec::new(),
                                key,
                            });
                            continue;
                        }
                        _ => {
                            open.push(Open::Array("[".to_string()));
                            continue;
                        }
                    }
                }
                _ => self.scalar()?,
            };
            loop {
                self.spaces();
                match open.last_mut() {
                    None => return Ok(done),
                    Some(Open::Array(elements)) => {
                        elements.push_str(&done);
                        match self.peek() {
                            Some(b',') => {
                                self.at += 1;
                                elements.push_str(", ");
                                continue 'value;
                            }
                            Some(b']') => {
                                self.at += 1;
                                elements.push(']');
                                done = std::mem::take(elements);
                            }
                            _ => return Err(self.unexpected("\",\" or \"]\"")),
                        }
                    }
                    Some(Open::Object { members, key }) => {
                        members.push((std::mem::take(key), done));
                        match self.peek() {
                            Some(b',') => {
                                self.at += 1;
                                self.spaces();
                                *key = self.key("string")?;
                                continue 'value;
                            }
                            Some(b'}') => {
                                self.at += 1;
                                done = object(std::mem::take(members));
                            }
                            _ => return Err(self.unexpected("\",\" or \"}\"")),
                        }
                    }
                }
                open.pop();
            }
        }
    }

    /// Reads a key and the colon behind it.
    fn key(&mut self, expected: &str) -> Result<String, SqlError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        let mut key = String::new();
        self.string(&mut key)?;
        self.spaces();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("\":\""));
        }
        self.at += 1;
        Ok(key)
    }

    fn scalar(&mut self) -> Result<String, SqlError> {
        let mut out = String::new();
        match self.peek() {
            Some(b'"') => {
                let mut string = String::new();
                self.string(&mut string)?;
                write_string(&string, &mut out);
            }
            Some(b'-' | b'0'..=b'9') => self.number(&mut out)?,
            _ => match self.token() {
                word @ ("true" | "false" | "null") => {
                    out.push_str(word);
                    self.at += word.len();
                }
                _ => return Err(self.unexpected("JSON value")),
            },
        }
        Ok(out)
    }

    /// Reads the string that begins here, without its quotes and escapes.
    fn string(&mut self, out: &mut String) -> Result<(), SqlError> {
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let end = rest
                .bytes()
                .position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            let Some(end) = end else {
                // PostgreSQL reports an unterminated string as an invalid token.
                return Err(invalid(format!("Token \"\"{rest}\" is invalid.")));
            };
            out.push_str(&rest[..end]);
            self.at += end + 1;
            match rest.as_bytes()[end] {
                b'"' => return Ok(()),
                b'\\' => self.escape(out)?,
                control => {
                    return Err(invalid(format!(
                        "Character with value 0x{control:02x} must be escaped."
                    )));
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), SqlError> {
        let Some(escaped) = self.text[self.at..].chars().next() else {
            return Err(invalid("Token \"\\\" is invalid."));
        };
        self.at += escaped.len_utf8();
        out.push(match escaped {
            '"' | '\\' | '/' => escaped,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode()?,
            other => {
                return Err(invalid(format!(
                    "Escape sequence \"\\{other}\" is invalid."
                )));
            }
        });
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, SqlError> {
        let unit = self.four_digits()?;
        let code = match unit {
            0 => {
                return Err(SqlError::new(
                    ErrorKind::UntranslatableCharacter,
                    "unsupported Unicode escape sequence",
                )
                .detail("\\u0000 cannot be converted to text."));
            }
            0xd800..=0xdbff => {
                let follows = || invalid("Unicode low surrogate must follow a high surrogate.");
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(follows());
                }
                self.at += 2;
                match self.four_digits()? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    0xd800..=0xdbff => {
                        return Err(invalid(
                            "Unicode high surrogate must not follow a high surrogate.",
                        ));
                    }
                    _ => return Err(follows()),
                }
            }
            0xdc00..=0xdfff => {
                return Err(invalid(
                    "Unicode low surrogate must follow a high surrogate.",
                ));
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| invalid("Unicode escape value could not be translated."))
    }

    fn four_digits(&mut self) -> Result<u32, SqlError> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| invalid("\"\\u\" must be followed by four hexadecimal digits."))
    }

    fn number(&mut self, out: &mut String) -> Result<(), SqlError> {
        let rest = &self.text[self.at..];
        let part = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'-' | b'.' | b'_')
                || byte >= 0x80
        };
        let end = rest
            .bytes()
            .position(|byte| !part(byte))
            .unwrap_or(rest.len());
        let token = &rest[..end];
        let decimal = Some(token)
            .filter(|token| is_json_number(token))
            .and_then(Written::read);
        let Some(Written {
            negative,
            digits,
            scale,
        }) = decimal
        else {
            return Err(invalid(format!("Token \"{token}\" is invalid.")));
        };
        self.at += end;
        let zero = digits.iter().all(|&digit| digit == b'0');
        let whole = digits.len() as i64 - scale;
        if !zero && whole > WHOLE_DIGITS_MAX || scale > FRACTION_DIGITS_MAX {
            return Err(SqlError::new(
                ErrorKind::NumericValueOutOfRange,
                "value overflows numeric format",
            ));
        }
        if negative && !zero {
            out.push('-');
        }
        let fraction_length = usize::try_from(scale).unwrap_or(0);
        let mut plain: String = digits.into_iter().map(char::from).collect();
        if scale < 0 && !zero {
            plain.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
        }
        let padded = format!("{plain:0>width$}", width = fraction_length + 1);
        let (whole, fraction) = padded.split_at(padded.len() - fraction_length);
        let whole = whole.trim_start_matches('0');
        out.push_str(if whole.is_empty() { "0" } else { whole });
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        Ok(())
    }
}

/// Whether a number has a digit on either side of its point and no leading zero.
fn is_json_number(token: &str) -> bool {
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}
