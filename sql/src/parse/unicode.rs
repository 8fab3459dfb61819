//! `U&'…'`, `U&"…"`, surrogate pairs and bytes of characters in `E'…'`, which sqlparser does not know, as literals and names that it does. What
//! stands behind them stays where it is.

use std::borrow::Cow;

const ESCAPE: &str = "invalid Unicode escape";
const VALUE: &str = "invalid Unicode escape value";
const PAIR: &str = "invalid Unicode surrogate pair";
const UNTERMINATED: &str = "unterminated quoted string";
const CHARACTER: &str = "invalid Unicode escape character";
pub(super) const BYTES: &str = "invalid byte sequence for encoding \"UTF8\"";

/// The text with these written in another way; or what is wrong with one of them.
pub(super) fn plain(sql: &str) -> Result<Cow<'_, str>, &'static str> {
    let marks = ["\\u", "\\U", "u&", "U&", "\\x", "\\0", "\\2", "\\3"];
    if !marks.iter().any(|mark| sql.contains(mark)) {
        return Ok(Cow::Borrowed(sql));
    }
    let chars: Vec<char> = sql.chars().collect();
    let mut out = String::with_capacity(sql.len());
    let mut at = 0;
    while at < chars.len() {
        let begins_word = at == 0 || !is_part(chars[at - 1]);
        let end = match (chars[at], chars.get(at + 1), chars.get(at + 2)) {
            ('-', Some('-'), _) => line_end(&chars, at),
            ('/', Some('*'), _) => comment_end(&chars, at),
            ('\'' | '"', ..) => quote_end(&chars, at, false).unwrap_or(chars.len()),
            ('e' | 'E', Some('\''), _) if begins_word => {
                let end = quote_end(&chars, at + 1, true).unwrap_or(chars.len());
                escaped(&chars[at..end], &mut out)?;
                at = end;
                continue;
            }
            ('u' | 'U', Some('&'), Some('\'' | '"')) if begins_word => {
                at = unicode(&chars, at, &mut out)?;
                continue;
            }
            ('$', ..) if begins_word => dollar_end(&chars, at),
            _ => at + 1,
        };
        out.extend(&chars[at..end]);
        at = end;
    }
    Ok(Cow::Owned(out))
}

/// Whether a character may stand within a word.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

fn line_end(chars: &[char], from: usize) -> usize {
    let end = chars[from..].iter().position(|c| *c == '\n');
    end.map_or(chars.len(), |end| from + end)
}

/// Comments nest.
fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// The place behind what is quoted from a quote on; `None` where nothing ends it.
fn quote_end(chars: &[char], from: usize, escapes: bool) -> Option<usize> {
    let quote = chars[from];
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' if escapes => at += 2,
            c if c == quote && chars.get(at + 1) == Some(&quote) => at += 2,
            c if c == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The place behind `$tag$ … $tag$`, or behind a `$` that begins none.
fn dollar_end(chars: &[char], from: usize) -> usize {
    let rest = &chars[from + 1..];
    let Some(length) = rest.iter().position(|c| *c == '$') else {
        return from + 1;
    };
    let tag = &rest[..length];
    let is_tag = tag.iter().all(|c| is_part(*c) && *c != '$')
        && !tag.first().is_some_and(char::is_ascii_digit);
    if !is_tag {
        return from + 1;
    }
    let mark = &chars[from..from + length + 2];
    let body = from + mark.len();
    let end = chars[body..].windows(mark.len()).position(|w| w == mark);
    end.map_or(chars.len(), |end| body + end + mark.len())
}

/// The number that so many hexadecimal digits are.
fn digits(chars: &[char], count: usize) -> Result<u32, &'static str> {
    let digits = chars.get(..count).ok_or(ESCAPE)?;
    let digit = |value: u32, c: &char| Some(value * 16 + c.to_digit(16)?);
    digits.iter().try_fold(0, digit).ok_or(ESCAPE)
}

/// The character of a number, or of two that are a surrogate pair; and how many of the pair's escapes it took.
fn character(
    first: u32,
    second: impl FnOnce() -> Option<u32>,
) -> Result<(char, usize), &'static str> {
    let (number, taken) = match first {
        0 => return Err(VALUE),
        0xd800..0xdc00 => match second() {
            Some(low @ 0xdc00..0xe000) => (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 2),
            _ => return Err(PAIR),
        },
        0xdc00..0xe000 => return Err(PAIR),
        number => (number, 1),
    };
    Ok((char::from_u32(number).ok_or(VALUE)?, taken))
}

/// The byte of an escape like `\xc3` or `\303`, and how long this is.
fn byte(chars: &[char]) -> Option<(u8, usize)> {
    let (base, from, most) = match chars {
        ['\\', 'x', ..] => (16, 2, 2),
        ['\\', ..] => (8, 1, 3),
        _ => return None,
    };
    let digits = chars[from..].iter().take(most);
    let digits: Vec<u32> = digits.map_while(|c| c.to_digit(base)).collect();
    let value = digits.iter().fold(0, |value, digit| value * base + digit);
    // The highest bit of nine is lost, as in PostgreSQL.
    let value = u8::try_from(value & 0xff).ok()?;
    (!digits.is_empty()).then(|| (value, from + digits.len()))
}

/// Writes an `E'…'` whose surrogate pairs are one escape each, and the bytes of characters beyond ASCII these characters.
fn escaped(literal: &[char], out: &mut String) -> Result<(), &'static str> {
    let of = |at: usize| match literal.get(at..at + 2) {
        Some(['\\', 'u']) => digits(&literal[at + 2..], 4).map(|number| Some((number, 6))),
        Some(['\\', 'U']) => digits(&literal[at + 2..], 8).map(|number| Some((number, 10))),
        _ => Ok(None),
    };
    let (mut at, mut saved) = (0, 0);
    while at < literal.len() {
        if let Some((first, length)) = of(at)? {
            let second = of(at + length).ok().flatten();
            let (found, taken) = character(first, || second.map(|(low, _)| low))?;
            let length = length
                + second
                    .filter(|_| taken == 2)
                    .map_or(0, |(_, length)| length);
            match taken {
                1 => out.extend(&literal[at..at + length]),
                _ => {
                    let written = format!("\\U{:08X}", u32::from(found));
                    saved += length.saturating_sub(written.len());
                    out.push_str(&written);
                }
            }
            at += length;
            continue;
        }
        let (mut bytes, mut behind) = (Vec::new(), at);
        while let Some((byte, length)) = byte(&literal[behind..]) {
            bytes.push(byte);
            behind += length;
        }
        if bytes.iter().all(|byte| (1..0x80).contains(byte)) {
            out.extend(&literal[at..behind]);
        } else {
            let text = String::from_utf8(bytes).map_err(|_| BYTES)?;
            let mut written = 0;
            for c in text.chars() {
                match c {
                    '\0' => return Err(BYTES),
                    '\'' | '\\' => out.extend(['\\', c]),
                    c => out.push(c),
                }
                written += 1 + usize::from(matches!(c, '\'' | '\\'));
            }
            saved += (behind - at).saturating_sub(written);
        }
        if behind > at {
            at = behind;
            continue;
        }
        let length = if literal[at] == '\\' { 2 } else { 1 };
        let end = (at + length).min(literal.len());
        out.extend(&literal[at..end]);
        at = end;
    }
    out.extend(std::iter::repeat_n(' ', saved));
    Ok(())
}

/// Writes a `U&'…'` or `U&"…"` with what its escapes stand for; gives the place behind it and its UESCAPE.
fn unicode(chars: &[char], from: usize, out: &mut String) -> Result<usize, &'static str> {
    let quote = chars[from + 2];
    let end = quote_end(chars, from + 2, false).ok_or(UNTERMINATED)?;
    let (escape, behind) = match uescape(chars, end)? {
        Some((escape, behind)) => (escape, behind),
        None => ('\\', end),
    };
    let inner = chars.get(from + 3..end - 1).unwrap_or_default();
    // The number of the escape there, and its length.
    let of = |at: usize| match inner.get(at + 1) {
        _ if inner.get(at) != Some(&escape) => Ok(None),
        Some('+') => digits(&inner[at + 2..], 6).map(|number| Some((number, 8))),
        Some(_) => digits(&inner[at + 1..], 4).map(|number| Some((number, 5))),
        None => Err(ESCAPE),
    };
    let mut written = vec![quote];
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != escape {
            written.push(inner[at]);
            at += 1;
            continue;
        }
        if inner.get(at + 1) == Some(&escape) {
            written.push(escape);
            at += 2;
            continue;
        }
        let Some((first, length)) = of(at)? else {
            return Err(ESCAPE);
        };
        let second = of(at + length).ok().flatten();
        let (found, taken) = character(first, || second.map(|(low, _)| low))?;
        written.extend(std::iter::repeat_n(
            found,
            if found == quote { 2 } else { 1 },
        ));
        at += length
            + second
                .filter(|_| taken == 2)
                .map_or(0, |(_, length)| length);
    }
    written.push(quote);
    out.extend(&written);
    out.extend(std::iter::repeat_n(
        ' ',
        (behind - from).saturating_sub(written.len()),
    ));
    Ok(behind)
}

/// `UESCAPE 'c'` behind a literal: the character, and the place behind it.
fn uescape(chars: &[char], from: usize) -> Result<Option<(char, usize)>, &'static str> {
    let skip = |at: usize| {
        let spaces = chars[at..].iter().take_while(|c| c.is_ascii_whitespace());
        at + spaces.count()
    };
    let at = skip(from);
    let word: String = chars[at..].iter().take(7).collect();
    let ends = !chars.get(at + 7).is_some_and(|c| is_part(*c));
    if !word.eq_ignore_ascii_case("UESCAPE") || !ends {
        return Ok(None);
    }
    let at = skip(at + 7);
    match chars.get(at..at + 3) {
        Some(['\'', c, '\''])
            if !c.is_ascii_hexdigit()
                && !c.is_ascii_whitespace()
                && !matches!(c, '+' | '\'' | '"') =>
        {
            Ok(Some((*c, at + 3)))
        }
        _ => Err(CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn escapes_are_written_out_in_place() {
        for (given, written) in [
            (r"SELECT E'\ud83d\ude00' x", "SELECT E'\\U0001F600'   x"),
            (r"E'\xc3\xa9\47\' \x41' x", r"E'é\'\' \x41'         x"),
            (r"E'\\ud83d' -- \u12", r"E'\\ud83d' -- \u12"),
            (r"E'\u00e4\'' U&'\0061'", r"E'\u00e4\'' 'a'      "),
            (
                r"U&'d!0027''!!' UESCAPE '!' , 1",
                "'d''''!'                   , 1",
            ),
            (r#"u&"gr\00f6\+0000df" y"#, "\"größ\"              y"),
            (
                r"'U&' || $a$ U&'\x' $a$ || xU&'a'",
                r"'U&' || $a$ U&'\x' $a$ || xU&'a'",
            ),
            (r"/* U&'\ /* */ U&'\ */ 1", r"/* U&'\ /* */ U&'\ */ 1"),
        ] {
            let found = plain(given).unwrap();
            assert_eq!(found, written);
            assert_eq!(found.chars().count(), given.chars().count());
        }
        for wrong in [
            r"E'\ud83d'",
            r"E'\ude00'",
            r"E'\ud83dx'",
            r"E'\u12'",
            r"E'\u0000'",
            r"U&'\'",
            r"U&'\00'",
            r"U&'\d83d'",
            r"U&'a' UESCAPE '+'",
            r"U&'\",
            r"U&'",
            r"U&'ab''",
            r"E'\u",
        ] {
            assert!(plain(wrong).is_err(), "{wrong}");
        }
        // The tokenizer refuses them.
        for unterminated in [r"E'\", "$a$ U&", "/* U&", "'U&", "\"u&"] {
            assert_eq!(plain(unterminated).unwrap(), unterminated);
        }
    }
}
