//! PostgreSQL's advanced regular expressions, told to the regex crate: what it cannot do is refused by name.
//!
//! Where a match ends is PostgreSQL's too: the longest one, or the shortest where the first quantifier is not greedy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;
use regex_automata::nfa::thompson::pikevm::{Cache, PikeVM};
use regex_automata::{Anchored, Input, MatchKind};

use crate::error::{ErrorKind, SqlError};
use crate::jsonpath;

/// Expressions that a thread keeps compiled.
const KEPT_MAX: usize = 64;

/// Letters behind a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    pub(super) global: bool,
    ignore_case: bool,
    /// Blanks and comments do not count.
    expanded: bool,
    literal: bool,
    /// `.` and `[^…]` do not match a line break.
    lines_end_dots: bool,
    /// `^` and `$` match at line breaks.
    lines_are_anchors: bool,
}

impl Flags {
    pub(super) fn read(text: &str) -> Result<Flags, SqlError> {
        let mut flags = Flags::default();
        for letter in text.chars() {
            flags.set(letter).ok_or_else(|| {
                SqlError::new(
                    ErrorKind::InvalidParameterValue,
                    format!("invalid regular expression option: \"{letter}\""),
                )
            })??;
        }
        Ok(flags)
    }

    pub(super) fn ignoring_case() -> Flags {
        Flags {
            ignore_case: true,
            ..Flags::default()
        }
    }

    /// Those of a pattern of `like_regex`.
    pub(super) fn of_xquery(flags: jsonpath::Flags) -> Flags {
        Flags {
            ignore_case: flags.ignore_case,
            literal: flags.literal,
            lines_end_dots: !flags.literal && !flags.dots_match_all,
            lines_are_anchors: !flags.literal && flags.lines_are_anchors,
            ..Flags::default()
        }
    }

    fn set(&mut self, letter: char) -> Option<Result<(), SqlError>> {
        match letter {
            'g' => self.global = true,
            'i' => self.ignore_case = true,
            'c' => self.ignore_case = false,
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'q' => self.literal = true,
            'n' | 'm' => (self.lines_end_dots, self.lines_are_anchors) = (true, true),
            'p' => (self.lines_end_dots, self.lines_are_anchors) = (true, false),
            'w' => (self.lines_end_dots, self.lines_are_anchors) = (false, true),
            's' => (self.lines_end_dots, self.lines_are_anchors) = (false, false),
            'e' => {}
            'b' => {
                return Some(Err(SqlError::unsupported(
                    "a basic regular expression (option \"b\")",
                )));
            }
            _ => return None,
        }
        Some(Ok(()))
    }
}

/// A compiled expression.
pub(super) struct Pattern {
    find: Regex,
    /// Tells from where a match begins where it ends, and its parts.
    extent: PikeVM,
    cache: RefCell<Cache>,
    shortest: bool,
}

/// Byte offsets of a match and of its parts: the whole first.
pub(super) type Match = Vec<Option<(usize, usize)>>;

thread_local! {
    static KEPT: RefCell<HashMap<(String, Flags), Rc<Pattern>>> = RefCell::default();
}

/// 2201B
fn invalid(what: &str) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidRegularExpression,
        format!("invalid regular expression: {what}"),
    )
}

impl Pattern {
    pub(super) fn of(pattern: &str, flags: &Flags) -> Result<Rc<Pattern>, SqlError> {
        let key = (
            pattern.to_string(),
            Flags {
                global: false,
                ..flags.clone()
            },
        );
        if let Some(found) = KEPT.with_borrow(|kept| kept.get(&key).cloned()) {
            return Ok(found);
        }
        let compiled = Rc::new(Pattern::compile(pattern, key.1.clone())?);
        KEPT.with_borrow_mut(|kept| {
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(key, compiled.clone());
        });
        Ok(compiled)
    }

    fn compile(pattern: &str, flags: Flags) -> Result<Pattern, SqlError> {
        let (translated, shortest) = Translator::translate(pattern, flags)?;
        let find = Regex::new(&translated).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => invalid("regular expression is too complex"),
            _ => invalid("it is not understood"),
        })?;
        let extent = PikeVM::builder()
            .configure(PikeVM::config().match_kind(MatchKind::All))
            .build(&translated)
            .map_err(|_| invalid("regular expression is too complex"))?;
        let cache = RefCell::new(extent.create_cache());
        Ok(Pattern {
            find,
            extent,
            cache,
            shortest,
        })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.find.is_match(text)
    }

    /// Parenthesised parts.
    pub(super) fn groups(&self) -> usize {
        self.find.captures_len() - 1
    }

    /// The first match that begins at this offset or behind it.
    pub(super) fn find_at(&self, text: &str, at: usize) -> Option<Match> {
        let start = self.find.find_at(text, at)?.start();
        let input = Input::new(text)
            .range(start..)
            .anchored(Anchored::Yes)
            .earliest(self.shortest);
        let mut parts = self.extent.create_captures();
        let cache = &mut *self.cache.borrow_mut();
        self.extent.search(cache, &input, &mut parts);
        let span = |at: usize| parts.get_group(at).map(|span| (span.start, span.end));
        span(0)?;
        Some((0..=self.groups()).map(span).collect())
    }

    /// All matches that follow each other, from an offset.
    pub(super) fn matches<'a>(
        &'a self,
        text: &'a str,
        start: usize,
    ) -> impl Iterator<Item = Match> + 'a {
        let mut next = Some(start);
        std::iter::from_fn(move || {
            let found = self.find_at(text, next?)?;
            let (start, end) = found[0]?;
            next = match start == end {
                false => Some(end),
                true => text[end..].chars().next().map(|c| end + c.len_utf8()),
            };
            Some(found)
        })
    }
}

/// What stands before a quantifier.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing that can be repeated.
    Nothing,
    Atom,
    Quantifier,
}

struct Translator<'a> {
    rest: &'a str,
    flags: Flags,
    out: String,
    /// Open parentheses.
    depth: usize,
    before: Before,
    /// Whether the first quantifier is greedy.
    greedy: Option<bool>,
    /// The same before each open parenthesis, and before the one that was just closed.
    opened: Vec<Option<bool>>,
    closed: Option<Option<bool>>,
    branches: bool,
}

impl<'a> Translator<'a> {
    fn translate(pattern: &'a str, flags: Flags) -> Result<(String, bool), SqlError> {
        let mut this = Translator {
            rest: pattern,
            flags,
            out: String::new(),
            depth: 0,
            before: Before::Nothing,
            greedy: None,
            opened: Vec::new(),
            closed: None,
            branches: false,
        };
        this.director()?;
        if this.flags.literal {
            this.out = regex::escape(this.rest);
        } else {
            this.expression()?;
        }
        if this.flags.ignore_case {
            this.out.insert_str(0, "(?i)");
        }
        let shortest = this.greedy == Some(false) && !this.branches;
        Ok((this.out, shortest))
    }

    /// `***=`, `***:` and options in the pattern itself.
    fn director(&mut self) -> Result<(), SqlError> {
        if self.flags.literal {
            return Ok(());
        }
        if let Some(rest) = self.rest.strip_prefix("***=") {
            self.rest = rest;
            self.flags.literal = true;
            return Ok(());
        }
        if let Some(rest) = self.rest.strip_prefix("***:") {
            self.rest = rest;
        } else if self.rest.starts_with("***") {
            return Err(invalid("quantifier operand invalid"));
        }
        if let Some(inner) = self.rest.strip_prefix("(?")
            && inner.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            let (letters, rest) = inner
                .split_once(')')
                .ok_or_else(|| invalid("invalid embedded option"))?;
            for letter in letters.chars().filter(|letter| *letter != 'g') {
                self.flags
                    .set(letter)
                    .ok_or_else(|| invalid("invalid embedded option"))??;
            }
            self.rest = rest;
        }
        Ok(())
    }

    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn atom(&mut self, translated: &str) {
        self.out.push_str(translated);
        self.before = Before::Atom;
        self.closed = None;
    }

    fn constraint(&mut self, translated: &str) {
        self.out.push_str(translated);
        self.before = Before::Nothing;
    }

    fn literal(&mut self, c: char) {
        let mut buffer = [0; 4];
        let escaped = regex::escape(c.encode_utf8(&mut buffer));
        self.atom(&escaped);
    }

    fn expression(&mut self) -> Result<(), SqlError> {
        while let Some(c) = self.next() {
            match c {
                c if self.flags.expanded && c.is_whitespace() => {}
                '#' if self.flags.expanded => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                '(' => self.open()?,
                ')' => {
                    if self.depth == 0 {
                        return Err(invalid("parentheses () not balanced"));
                    }
                    self.depth -= 1;
                    self.atom(")");
                    self.closed = self.opened.pop();
                }
                '|' => {
                    self.branches |= self.depth == 0;
                    self.constraint("|");
                }
                '*' | '+' | '?' => self.quantifier(&c.to_string())?,
                '{' if self.rest.starts_with(|c: char| c.is_ascii_digit()) => self.bound()?,
                '[' => self.bracket()?,
                '.' => self.atom(match self.flags.lines_end_dots {
                    true => "[^\\n]",
                    false => "(?s:.)",
                }),
                '^' => self.constraint(match self.flags.lines_are_anchors {
                    true => "(?m:^)",
                    false => "\\A",
                }),
                '$' => self.constraint(match self.flags.lines_are_anchors {
                    true => "(?m:$)",
                    false => "\\z",
                }),
                '\\' => self.escape()?,
                c => self.literal(c),
            }
        }
        match self.depth {
            0 => Ok(()),
            _ => Err(invalid("parentheses () not balanced")),
        }
    }

    fn open(&mut self) -> Result<(), SqlError> {
        if self.eat("?#") {
            let (_, rest) = self
                .rest
                .split_once(')')
                .ok_or_else(|| invalid("parentheses () not balanced"))?;
            self.rest = rest;
            return Ok(());
        }
        for (prefix, name) in [
            ("?=", "a lookahead constraint"),
            ("?!", "a lookahead constraint"),
            ("?<=", "a lookbehind constraint"),
            ("?<!", "a lookbehind constraint"),
        ] {
            if self.rest.starts_with(prefix) {
                let what = format!("a regular expression with {name} (\"({prefix}\")");
                return Err(SqlError::unsupported(what));
            }
        }
        self.depth += 1;
        self.opened.push(self.greedy);
        let opened = match self.eat("?:") {
            true => "(?:",
            false if self.rest.starts_with('?') => {
                return Err(invalid("quantifier operand invalid"));
            }
            false => "(",
        };
        self.constraint(opened);
        Ok(())
    }

    fn quantifier(&mut self, quantifier: &str) -> Result<(), SqlError> {
        if self.before != Before::Atom {
            return Err(invalid("quantifier operand invalid"));
        }
        self.out.push_str(quantifier);
        let greedy = !self.eat("?");
        if !greedy {
            self.out.push('?');
        }
        // Of a group that is quantified, how it is counts, not what is in it.
        let before = self.closed.take().unwrap_or(self.greedy);
        self.greedy = before.or(Some(greedy));
        self.before = Before::Quantifier;
        Ok(())
    }

    /// `{m}`, `{m,}` or `{m,n}`, behind the brace.
    fn bound(&mut self) -> Result<(), SqlError> {
        let (inner, rest) = self
            .rest
            .split_once('}')
            .ok_or_else(|| invalid("braces {} not balanced"))?;
        let count = |digits: &str| match digits.parse::<u32>() {
            Ok(count) if count <= 255 => Ok(count),
            _ => Err(invalid("invalid repetition count(s)")),
        };
        let is_fixed = !inner.contains(',');
        let (least, most) = match inner.split_once(',') {
            None => (count(inner)?, Some(count(inner)?)),
            Some((least, "")) => (count(least)?, None),
            Some((least, most)) => (count(least)?, Some(count(most)?)),
        };
        if most.is_some_and(|most| most < least) {
            return Err(invalid("invalid repetition count(s)"));
        }
        self.rest = rest;
        // A fixed count, which `{1,1}` is not, has no greediness of its own.
        let greedy = self.greedy;
        self.quantifier(&format!("{{{inner}}}"))?;
        if is_fixed {
            self.greedy = greedy;
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), SqlError> {
        let c = self
            .next()
            .ok_or_else(|| invalid("invalid escape \\ sequence"))?;
        match c {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.atom(&format!("\\{c}")),
            'A' => self.constraint("\\A"),
            'Z' => self.constraint("\\z"),
            'y' => self.constraint("\\b"),
            'Y' => self.constraint("\\B"),
            'm' => self.constraint("\\b{start}"),
            'M' => self.constraint("\\b{end}"),
            '1'..='9' => {
                let what = format!("a regular expression with a back reference (\"\\{c}\")");
                return Err(SqlError::unsupported(what));
            }
            c => {
                let meant = self.character(c)?;
                self.literal(meant);
            }
        }
        Ok(())
    }

    /// The character that an escape stands for, `c` being behind the backslash.
    fn character(&mut self, c: char) -> Result<char, SqlError> {
        let wrong = || invalid("invalid escape \\ sequence");
        let mut digits = |least: usize, most: usize| {
            let count = self.rest.bytes().take_while(u8::is_ascii_hexdigit).count();
            let count = count.min(most);
            if count < least {
                return Err(wrong());
            }
            let (digits, rest) = self.rest.split_at(count);
            self.rest = rest;
            let code = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
            char::from_u32(code).ok_or_else(wrong)
        };
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0' => {
                let count = self
                    .rest
                    .bytes()
                    .take(2)
                    .take_while(|byte| matches!(byte, b'0'..=b'7'))
                    .count();
                let (octal, rest) = self.rest.split_at(count);
                self.rest = rest;
                let code = match octal {
                    "" => 0,
                    octal => u32::from_str_radix(octal, 8).map_err(|_| wrong())?,
                };
                char::from_u32(code).ok_or_else(wrong)?
            }
            'c' => {
                let control = self.next().ok_or_else(wrong)?;
                char::from_u32(u32::from(control) & 31).ok_or_else(wrong)?
            }
            'u' => digits(4, 4)?,
            'U' => digits(8, 8)?,
            'x' => digits(1, 8)?,
            c if c.is_alphanumeric() => return Err(wrong()),
            c => c,
        })
    }

    /// A bracket expression, behind its bracket.
    fn bracket(&mut self) -> Result<(), SqlError> {
        for (written, meant) in [("[:<:]]", "\\b{start}"), ("[:>:]]", "\\b{end}")] {
            if self.eat(written) {
                self.constraint(meant);
                return Ok(());
            }
        }
        let unbalanced = || invalid("brackets [] not balanced");
        let mut class = String::from("[");
        let negated = self.eat("^");
        if negated {
            class.push('^');
            if self.flags.lines_end_dots {
                class.push_str("\\n");
            }
        }
        let mut first = true;
        loop {
            let c = self.next().ok_or_else(unbalanced)?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let start = match c {
                '[' if self.eat(":") => {
                    let (name, rest) = self.rest.split_once(":]").ok_or_else(unbalanced)?;
                    let known = [
                        "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print",
                        "punct", "space", "upper", "word", "xdigit",
                    ];
                    if !known.contains(&name) {
                        return Err(invalid("invalid character class"));
                    }
                    self.rest = rest;
                    class.push_str(match name {
                        "alpha" => "\\p{Alphabetic}",
                        "alnum" => "\\p{Alphabetic}\\p{Nd}",
                        "lower" => "\\p{Lowercase}",
                        "upper" => "\\p{Uppercase}",
                        "digit" => "\\d",
                        "space" => "\\s",
                        "word" => "\\w",
                        "blank" => " \\t",
                        "cntrl" => "[:cntrl:]",
                        "graph" => "[:graph:]",
                        "print" => "[:print:]",
                        "punct" => "[:punct:]",
                        _ => "[:xdigit:]",
                    });
                    continue;
                }
                '[' if self.rest.starts_with(['.', '=']) => {
                    let sign = self.next().ok_or_else(unbalanced)?;
                    let end = format!("{sign}]");
                    let (name, rest) = self.rest.split_once(&end).ok_or_else(unbalanced)?;
                    let mut chars = name.chars();
                    let (Some(only), None) = (chars.next(), chars.next()) else {
                        return Err(invalid("invalid collating element"));
                    };
                    self.rest = rest;
                    only
                }
                '\\' => {
                    let c = self.next().ok_or_else(unbalanced)?;
                    if matches!(c, 'd' | 's' | 'w') {
                        class.push('\\');
                        class.push(c);
                        continue;
                    }
                    if matches!(c, 'D' | 'S' | 'W') {
                        return Err(invalid("invalid escape \\ sequence"));
                    }
                    self.character(c)?
                }
                c => c,
            };
            let mut end = start;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.rest = &self.rest[1..];
                end = match self.next().ok_or_else(unbalanced)? {
                    '\\' => {
                        let c = self.next().ok_or_else(unbalanced)?;
                        self.character(c)?
                    }
                    '[' if self.rest.starts_with(['.', '=']) => {
                        let sign = self.next().ok_or_else(unbalanced)?;
                        let close = format!("{sign}]");
                        let (name, rest) = self.rest.split_once(&close).ok_or_else(unbalanced)?;
                        self.rest = rest;
                        name.chars()
                            .next()
                            .ok_or_else(|| invalid("invalid collating element"))?
                    }
                    c => c,
                };
                if end < start {
                    return Err(invalid("invalid character range"));
                }
            }
            class.push_str(&format!("\\x{{{:x}}}", u32::from(start)));
            if end != start {
                class.push_str(&format!("-\\x{{{:x}}}", u32::from(end)));
            }
        }
        // Nothing but characters that are not there: the regex crate knows no empty class.
        class.push(']');
        self.atom(&class);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Vec<Option<String>> {
        let pattern = Pattern::of(pattern, &Flags::default()).unwrap();
        let spans = pattern.find_at(text, 0).unwrap_or_default();
        let part = |(start, end): (usize, usize)| text[start..end].to_string();
        spans.into_iter().map(|span| span.map(part)).collect()
    }

    /// As PostgreSQL 15 finds them: the longest match, or the shortest where the first quantifier is not greedy.
    #[test]
    fn matches_are_as_long_as_postgresqls() {
        let some = |parts: &[&str]| -> Vec<Option<String>> {
            parts.iter().map(|part| Some(part.to_string())).collect()
        };
        assert_eq!(found("a|ab", "ab"), some(&["ab"]));
        assert_eq!(found("(ab?)(bc)?", "abc"), some(&["abc", "a", "bc"]));
        assert_eq!(found("Y*?([0-9]{1,3})", "XY1234Z"), some(&["Y1", "1"]));
        assert_eq!(found("Y*([0-9]{1,3})", "XY1234Z"), some(&["Y123", "123"]));
        assert_eq!(
            found("(?:(.*?)(\\d+)(.*)){1,1}", "abc01234xyz"),
            some(&["abc01234xyz", "abc", "01234", "xyz"])
        );
        assert_eq!(found("(?:(b*)c){1,1}?b*", "bcbb"), some(&["bc", "b"]));
        assert_eq!(found("x", "abc"), Vec::new());
        assert_eq!(found("b", "äb"), some(&["b"]));
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (pattern, message) in [
            (
                "(a)\\1",
                "a regular expression with a back reference (\"\\1\") is not supported",
            ),
            (
                "a(?=b)",
                "a regular expression with a lookahead constraint (\"(?=\") is not supported",
            ),
            (
                "(a",
                "invalid regular expression: parentheses () not balanced",
            ),
            (
                "*",
                "invalid regular expression: quantifier operand invalid",
            ),
            (
                "[b-a]",
                "invalid regular expression: invalid character range",
            ),
        ] {
            let error = Pattern::of(pattern, &Flags::default())
                .map(|_| ())
                .unwrap_err();
            assert_eq!(error.message, message);
        }
    }
}
