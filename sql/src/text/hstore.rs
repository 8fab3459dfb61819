//! hstore: texts, or NULLs, by keys. It is kept as the text that PostgreSQL prints, its keys in PostgreSQL's order.

use std::iter::Peekable;
use std::str::CharIndices;

use super::is_space;
use crate::error::{ErrorKind, SqlError};

/// A key and its value.
pub type Pair = (String, Option<String>);

/// Reads the pairs of a text: no key twice, sorted as PostgreSQL keeps them.
pub fn pairs(text: &str) -> Result<Vec<Pair>, SqlError> {
    let mut reader = Reader {
        chars: text.char_indices().peekable(),
    };
    let mut pairs = Vec::new();
    while let Some((key, _)) = reader.word('=')? {
        reader.arrow()?;
        let (value, quoted) = reader.word(',')?.ok_or_else(ends)?;
        let is_null = !quoted && value.eq_ignore_ascii_case("null");
        pairs.push((key, (!is_null).then_some(value)));
        match reader.past_spaces() {
            None => break,
            Some((_, ',')) => {}
            Some(found) => return Err(unexpected(found)),
        }
    }
    Ok(unique(pairs))
}

/// The pairs sorted by their keys, the shorter ones first; of equal keys the first one stays.
pub fn unique(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    pairs.dedup_by(|(later, _), (kept, _)| later == kept);
    pairs
}

/// The pairs as PostgreSQL prints them.
pub fn shown(pairs: &[Pair]) -> String {
    let mut out = String::new();
    for (at, (key, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        quote(key, &mut out);
        out.push_str("=>");
        match value {
            Some(value) => quote(value, &mut out),
            None => out.push_str("NULL"),
        }
    }
    out
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

// PostgreSQL 15 has no code for either.
fn ends() -> SqlError {
    SqlError::new(ErrorKind::InternalError, "Unexpected end of string")
}

fn unexpected((at, found): (usize, char)) -> SqlError {
    let message = format!("Syntax error near \"{found}\" at position {at}");
    SqlError::new(ErrorKind::InternalError, message)
}

struct Reader<'a> {
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    fn past_spaces(&mut self) -> Option<(usize, char)> {
        self.chars.find(|(_, c)| !is_space(*c))
    }

    /// A word, and whether it is in quotes; a bare one ends at a space or before `end`. `None` at the end of the text.
    fn word(&mut self, end: char) -> Result<Option<(String, bool)>, SqlError> {
        let Some(first) = self.past_spaces() else {
            return Ok(None);
        };
        let mut word = String::new();
        if first.1 == '"' {
            loop {
                match self.chars.next().ok_or_else(ends)?.1 {
                    '"' => return Ok(Some((word, true))),
                    '\\' => word.push(self.chars.next().ok_or_else(ends)?.1),
                    c => word.push(c),
                }
            }
        }
        match first.1 {
            '=' if end == '=' => return Err(unexpected(first)),
            '\\' => word.push(self.chars.next().ok_or_else(ends)?.1),
            c => word.push(c),
        }
        while let Some(&(_, c)) = self.chars.peek() {
            if c == end {
                break;
            }
            self.chars.next();
            match c {
                '\\' => word.push(self.chars.next().ok_or_else(ends)?.1),
                c if is_space(c) => break,
                c => word.push(c),
            }
        }
        Ok(Some((word, false)))
    }

    /// `=>` after spaces.
    fn arrow(&mut self) -> Result<(), SqlError> {
        match self.past_spaces().ok_or_else(ends)? {
            (_, '=') => {}
            found => return Err(unexpected(found)),
        }
        match self.chars.next().ok_or_else(ends)? {
            (_, '>') => Ok(()),
            found => Err(unexpected(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL 15 says to each of them.
    #[test]
    fn texts_are_read_and_printed_as_postgresql_does() {
        let cases = [
            (
                r#"a=>1, "b c" => NULL, a=>2, c=>"", ""=>"x\"y""#,
                r#"""=>"x\"y", "a"=>"1", "c"=>"", "b c"=>NULL"#,
            ),
            (r#" "a\bc"=>x\,y , q\"=>1,"#, r#""q\""=>"1", "abc"=>"x,y""#),
            (
                r#"a=>NULL,b=>"NULL",c=>nUll, "d" =>n"#,
                r#""a"=>NULL, "b"=>"NULL", "c"=>NULL, "d"=>"n""#,
            ),
            ("", ""),
            ("a=>b,", r#""a"=>"b""#),
            ("a", "Unexpected end of string"),
            ("a=>", "Unexpected end of string"),
            ("a=>b c", r#"Syntax error near "c" at position 5"#),
            ("a=b=>c", r#"Syntax error near "b" at position 2"#),
            ("=>a", r#"Syntax error near "=" at position 0"#),
        ];
        for (text, expected) in cases {
            let actual = match pairs(text) {
                Ok(pairs) => shown(&pairs),
                Err(error) => error.message,
            };
            assert_eq!(actual, expected, "{text}");
        }
    }
}
