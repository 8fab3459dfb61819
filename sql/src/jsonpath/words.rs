//! The words of a path's text, after jsonpath_scan.l: the longest rule counts, of those as long the first.

use crate::error::{ErrorKind, SqlError};

/// A word, and what an error that is found at it shows of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word<'a> {
    pub(super) is: Is,
    shown: &'a str,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Is {
    /// A name without quotes, as it is written.
    Name(String),
    Quoted(String),
    Variable(String),
    Integer(String),
    Number(String),
    /// An operator or a sign of one letter.
    Sign(&'static str),
    End,
}

/// All signs, the longer ones first.
const SIGNS: [&str; 31] = [
    "&&", "||", "**", "<=", "==", "<>", "!=", ">=", "!", "<", ">", "?", "%", "$", ".", "[", "]",
    "{", "}", "(", ")", "|", "&", "=", "@", "#", ",", "*", ":", "-", "+",
];

pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
}

/// Whether a character can be part of a name.
fn is_other(c: char) -> bool {
    !is_blank(c) && !"?%$.[]{}()|&!=<>@#,*:-+/\\\"".contains(c)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// How many bytes at the beginning are of characters like this.
fn run(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// 42601 as PostgreSQL words it; at the end of the text where nothing is shown.
pub(super) fn wrong(message: &str, shown: &str) -> SqlError {
    let place = match shown {
        "" => "at end".to_string(),
        shown => format!("at or near \"{shown}\""),
    };
    SqlError::new(
        ErrorKind::SyntaxError,
        format!("{message} {place} of jsonpath input"),
    )
}

impl Word<'_> {
    /// 42601: the word cannot stand here.
    pub(super) fn misplaced(&self) -> SqlError {
        wrong("syntax error", self.shown)
    }
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Words<'a> {
        Words { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes on by so many bytes, and gives them.
    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    pub(super) fn next(&mut self) -> Result<Word<'a>, SqlError> {
        loop {
            let blanks = run(self.rest(), is_blank);
            self.take(blanks);
            if !self.rest().starts_with("/*") {
                break;
            }
            self.comment()?;
        }
        let rest = self.rest();
        if let Some(number) = number(rest) {
            let shown = self.take(number.length);
            let text = shown.to_string();
            let is = match number.rule {
                Rule::Integer => Is::Integer(text),
                Rule::Number => Is::Number(text),
                Rule::Unfinished => return Err(wrong("invalid numeric literal", shown)),
                Rule::Junk => return Err(wrong("trailing junk after numeric literal", shown)),
            };
            return Ok(Word { is, shown });
        }
        if rest.starts_with("$\"") {
            self.take(2);
            let (text, shown) = self.quoted()?;
            let is = Is::Variable(text);
            return Ok(Word { is, shown });
        }
        if let Some(behind) = rest.strip_prefix('$')
            && run(behind, is_other) > 0
        {
            let shown = self.take(1 + run(behind, is_other));
            let is = Is::Variable(shown[1..].to_string());
            return Ok(Word { is, shown });
        }
        if rest.starts_with('"') {
            self.take(1);
            let (text, shown) = self.quoted()?;
            let is = Is::Quoted(text);
            return Ok(Word { is, shown });
        }
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        match (rest.chars().next(), sign) {
            (None, _) => Ok(Word {
                is: Is::End,
                shown: "",
            }),
            (_, Some(sign)) => {
                let shown = self.take(sign.len());
                let is = Is::Sign(if *sign == "<>" { "!=" } else { sign });
                Ok(Word { is, shown })
            }
            (Some('/'), _) => {
                let shown = self.take(1);
                let is = Is::Sign("/");
                Ok(Word { is, shown })
            }
            _ => self.name(),
        }
    }

    fn comment(&mut self) -> Result<(), SqlError> {
        let Some(end) = self.rest().find("*/") else {
            return Err(wrong("unexpected end of comment", ""));
        };
        self.take(end + 2);
        Ok(())
    }

    /// A name. One that a comment ends is lost, in PostgreSQL, too: the next word counts in its place.
    fn name(&mut self) -> Result<Word<'a>, SqlError> {
        let mut name = String::new();
        loop {
            let rest = self.rest();
            match rest.chars().next() {
                Some('\\') => self.escape(&mut name)?,
                Some('/') if rest.starts_with("/*") => {
                    self.comment()?;
                    return self.next();
                }
                Some(c) if is_other(c) => name.push_str(self.take(run(rest, is_other))),
                Some(c) if is_blank(c) => {
                    let shown = self.take(run(rest, is_blank));
                    let is = Is::Name(name);
                    return Ok(Word { is, shown });
                }
                _ => {
                    let is = Is::Name(name);
                    return Ok(Word { is, shown: "" });
                }
            }
        }
    }

    /// What stands up to the next quote, and that.
    fn quoted(&mut self) -> Result<(String, &'a str), SqlError> {
        let mut text = String::new();
        loop {
            let rest = self.rest();
            match rest.chars().next() {
                None => return Err(wrong("unexpected end of quoted string", "")),
                Some('"') => return Ok((text, self.take(1))),
                Some('\\') => self.escape(&mut text)?,
                Some(_) => text.push_str(self.take(run(rest, |c| c != '"' && c != '\\'))),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), SqlError> {
        let rest = self.rest();
        match rest[1..].chars().next() {
            Some('u') => return self.unicode(out),
            Some('x') => {
                let digits = run(&rest[2..], |c| c.is_ascii_hexdigit()).min(2);
                let shown = self.take(2 + digits);
                if digits < 2 {
                    return Err(wrong("invalid hex character sequence", shown));
                }
                out.push(character(
                    u32::from_str_radix(&shown[2..], 16).unwrap_or(0),
                )?);
                return Ok(());
            }
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('v') => out.push('\u{b}'),
            None | Some('\n') => {
                let shown = self.take(1);
                return Err(wrong("unexpected end after backslash", shown));
            }
            Some(c) => out.push(c),
        }
        let length = rest[1..].chars().next().map_or(0, char::len_utf8);
        self.take(1 + length);
        Ok(())
    }

    /// Escapes `\uXXXX` and `\u{X…}` that follow each other: two may be one character.
    fn unicode(&mut self, out: &mut String) -> Result<(), SqlError> {
        let start = self.at;
        let surrogate = |detail: &str| {
            let message = "invalid input syntax for type jsonpath";
            SqlError::new(ErrorKind::InvalidTextRepresentation, message).detail(detail)
        };
        let follows = || surrogate("Unicode low surrogate must follow a high surrogate.");
        let mut units = Vec::new();
        while let Some(rest) = self.rest().strip_prefix("\\u") {
            let braced = rest.strip_prefix('{');
            let digits = braced.unwrap_or(rest);
            let most = if braced.is_some() { 6 } else { 4 };
            let length = run(digits, |c| c.is_ascii_hexdigit()).min(most);
            let complete = match braced {
                Some(_) => length > 0 && digits[length..].starts_with('}'),
                None => length == most,
            };
            self.take(2 + usize::from(braced.is_some()) + length);
            if !complete {
                let shown = &self.text[start..self.at];
                return Err(wrong("invalid unicode sequence", shown));
            }
            self.take(usize::from(braced.is_some()));
            units.push(u32::from_str_radix(&digits[..length], 16).unwrap_or(0));
        }
        let mut high: Option<u32> = None;
        for unit in units {
            match (unit, high.take()) {
                (0xd800..=0xdbff, Some(_)) => {
                    return Err(surrogate(
                        "Unicode high surrogate must not follow a high surrogate.",
                    ));
                }
                (0xd800..=0xdbff, None) => high = Some(unit),
                (0xdc00..=0xdfff, Some(high)) => {
                    let code = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
                    out.push(character(code)?);
                }
                (0xdc00..=0xdfff, None) | (_, Some(_)) => return Err(follows()),
                (unit, None) => out.push(character(unit)?),
            }
        }
        match high {
            Some(_) => Err(follows()),
            None => Ok(()),
        }
    }
}

/// The character of an escape.
fn character(code: u32) -> Result<char, SqlError> {
    if code == 0 {
        return Err(SqlError::new(
            ErrorKind::UntranslatableCharacter,
            "unsupported Unicode escape sequence",
        )
        .detail("\\u0000 cannot be converted to text."));
    }
    let invalid = || SqlError::new(ErrorKind::SyntaxError, "invalid Unicode code point");
    char::from_u32(code).ok_or_else(invalid)
}

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Number,
    Integer,
    /// An exponent without digits.
    Unfinished,
    Junk,
}

struct Matched {
    rule: Rule,
    length: usize,
}

/// The number at the beginning, unless a name is longer.
fn number(text: &str) -> Option<Matched> {
    let digits = |at: usize| run(&text[at..], |c| c.is_ascii_digit());
    let whole = match text.as_bytes().first()? {
        b'0' => 1,
        b'1'..=b'9' => digits(0),
        _ => 0,
    };
    let integer = (whole > 0).then_some(whole);
    let decimal = match text[whole..].strip_prefix('.') {
        Some(_) if whole > 0 => Some(whole + 1 + digits(whole + 1)),
        Some(_) if digits(1) > 0 => Some(1 + digits(1)),
        _ => None,
    };
    let mantissa = decimal.or(integer)?;
    let (mut real, mut unfinished) = (None, None);
    if text[mantissa..].starts_with(['e', 'E']) {
        let signed = text[mantissa + 1..].starts_with(['-', '+']);
        let exponent = mantissa + 1 + usize::from(signed);
        match digits(exponent) {
            0 if signed => unfinished = Some(exponent),
            0 => {}
            count => real = Some(exponent + count),
        }
    }
    let junk = |length: Option<usize>| {
        let length = length?;
        let next = text[length..].chars().next().filter(|c| is_other(*c))?;
        Some(length + next.len_utf8())
    };
    let rules = [
        (Rule::Number, real),
        (Rule::Number, decimal),
        (Rule::Integer, integer),
        (Rule::Unfinished, unfinished),
        (Rule::Junk, junk(integer)),
        (Rule::Junk, junk(decimal)),
        (Rule::Junk, junk(real)),
    ];
    let mut longest: Option<Matched> = None;
    for (rule, length) in rules {
        if let Some(length) = length
            && longest.as_ref().is_none_or(|found| length > found.length)
        {
            longest = Some(Matched { rule, length });
        }
    }
    longest.filter(|found| found.length >= run(text, is_other))
}
