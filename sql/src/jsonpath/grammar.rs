//! From words to a path, after jsonpath_gram.y.

use super::words::{Is, Word, Words};
use super::{Chain, Flags, Method, NESTING_MAX, Operator, Path, STEPS_MAX, Step, too_deep};
use crate::error::{ErrorKind, SqlError};
use crate::functions::regexp;
use crate::text;
use tidelog_storage::{ColumnType, Datum};

type Outcome<T> = Result<T, SqlError>;

/// What an operand is: a path has values, a predicate is true, false or unknown.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Path,
    /// A predicate; whether it stands in parentheses of its own.
    Predicate {
        in_parentheses: bool,
    },
}

const PREDICATE: Kind = Kind::Predicate {
    in_parentheses: false,
};

pub(super) fn read(text: &str) -> Outcome<Path> {
    let mut words = Words::of(text);
    let here = words.next()?;
    let mut reader = Reader {
        words,
        here,
        depth: 0,
    };
    if reader.here.is == Is::End {
        return Err(SqlError::new(
            ErrorKind::InvalidTextRepresentation,
            format!("invalid input syntax for type jsonpath: \"{text}\""),
        ));
    }
    let strict = reader.eat_word("strict")?;
    if !strict {
        reader.eat_word("lax")?;
    }
    let (steps, _) = reader.any()?;
    if reader.here.is != Is::End {
        return Err(reader.here.misplaced());
    }
    check(&steps, false, false)?;
    Ok(Path {
        lax: !strict,
        steps,
    })
}

/// `@` stands in filters, `last` in subscripts only.
fn check(chain: &Chain, in_filter: bool, in_subscript: bool) -> Outcome<()> {
    super::deeper(|| {
        let wrong = |message: &str| Err(SqlError::new(ErrorKind::SyntaxError, message));
        for step in &chain.steps {
            match step {
                Step::Current if !in_filter => {
                    return wrong("@ is not allowed in root expressions");
                }
                Step::Last if !in_subscript => {
                    return wrong("LAST is allowed only in array subscripts");
                }
                Step::Places(places) => {
                    for (from, to) in places {
                        check(from, in_filter, true)?;
                        to.as_ref()
                            .map_or(Ok(()), |to| check(to, in_filter, true))?;
                    }
                }
                Step::Filter(of) => check(of, true, in_subscript)?,
                Step::Binary(_, operands) => {
                    check(&operands.0, in_filter, in_subscript)?;
                    check(&operands.1, in_filter, in_subscript)?;
                }
                Step::Sign { of, .. }
                | Step::Not(of)
                | Step::IsUnknown(of)
                | Step::Exists(of)
                | Step::LikeRegex { of, .. } => check(of, in_filter, in_subscript)?,
                _ => {}
            }
        }
        Ok(())
    })
}

struct Reader<'a> {
    words: Words<'a>,
    here: Word<'a>,
    depth: usize,
}

impl Chain {
    fn of(step: Step, height: usize) -> Outcome<Chain> {
        if height > NESTING_MAX {
            return Err(too_deep());
        }
        Ok(Chain {
            steps: vec![step],
            height,
        })
    }

    fn push(&mut self, step: Step, height: usize) -> Outcome<()> {
        if height > NESTING_MAX || self.steps.len() == STEPS_MAX {
            return Err(too_deep());
        }
        self.height = self.height.max(height);
        self.steps.push(step);
        Ok(())
    }
}

fn binary(operator: Operator, left: Chain, right: Chain) -> Outcome<Chain> {
    let height = left.height.max(right.height) + 1;
    Chain::of(Step::Binary(operator, Box::new((left, right))), height)
}

fn unary(step: impl FnOnce(Chain) -> Step, of: Chain) -> Outcome<Chain> {
    let height = of.height + 1;
    Chain::of(step(of), height)
}

/// A numeric as PostgreSQL writes it.
fn numeric(literal: &str) -> Outcome<String> {
    let ty = ColumnType::Numeric(None);
    let value: Datum = text::parse(ty, literal)?;
    let mut shown = String::new();
    text::write(value.as_ref(), ty, text::Style::default(), &mut shown);
    Ok(shown)
}

fn comparison(sign: &str) -> Option<Operator> {
    Some(match sign {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        _ => return None,
    })
}

impl<'a> Reader<'a> {
    /// The word here; the next one follows.
    fn take(&mut self) -> Outcome<Word<'a>> {
        let next = self.words.next()?;
        Ok(std::mem::replace(&mut self.here, next))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.here.is, Is::Sign(here) if here == sign)
    }

    fn eat_sign(&mut self, sign: &str) -> Outcome<bool> {
        let found = self.is_sign(sign);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn want_sign(&mut self, sign: &str) -> Outcome<()> {
        match self.eat_sign(sign)? {
            true => Ok(()),
            false => Err(self.here.misplaced()),
        }
    }

    /// Whether the name here is this keyword, in whatever case.
    fn is_word(&self, keyword: &str) -> bool {
        matches!(&self.here.is, Is::Name(name) if name.eq_ignore_ascii_case(keyword))
    }

    fn eat_word(&mut self, keyword: &str) -> Outcome<bool> {
        let found = self.is_word(keyword);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn want_word(&mut self, keyword: &str) -> Outcome<()> {
        match self.eat_word(keyword)? {
            true => Ok(()),
            false => Err(self.here.misplaced()),
        }
    }

    /// Reads what stands inside of something.
    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth == NESTING_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        let found = super::deeper(|| read(self));
        self.depth -= 1;
        found
    }

    fn any(&mut self) -> Outcome<(Chain, Kind)> {
        let (mut left, mut kind) = self.conjunction()?;
        while self.is_sign("||") && kind != Kind::Path {
            self.take()?;
            let right = self.wanted_predicate(Self::conjunction)?;
            (left, kind) = (binary(Operator::Or, left, right)?, PREDICATE);
        }
        Ok((left, kind))
    }

    fn conjunction(&mut self) -> Outcome<(Chain, Kind)> {
        let (mut left, mut kind) = self.condition()?;
        while self.is_sign("&&") && kind != Kind::Path {
            self.take()?;
            let right = self.wanted_predicate(Self::condition)?;
            (left, kind) = (binary(Operator::And, left, right)?, PREDICATE);
        }
        Ok((left, kind))
    }

    fn wanted_predicate(
        &mut self,
        read: impl FnOnce(&mut Self) -> Outcome<(Chain, Kind)>,
    ) -> Outcome<Chain> {
        match read(self)? {
            (_, Kind::Path) => Err(self.here.misplaced()),
            (predicate, _) => Ok(predicate),
        }
    }

    fn path(&mut self) -> Outcome<Chain> {
        self.wanted_path(Self::sum)
    }

    fn wanted_path(
        &mut self,
        read: impl FnOnce(&mut Self) -> Outcome<(Chain, Kind)>,
    ) -> Outcome<Chain> {
        match read(self)? {
            (path, Kind::Path) => Ok(path),
            _ => Err(self.here.misplaced()),
        }
    }

    /// `(predicate)`
    fn in_parentheses(&mut self) -> Outcome<Chain> {
        self.want_sign("(")?;
        let predicate = self.inside(|reader| reader.wanted_predicate(Self::any))?;
        self.want_sign(")")?;
        Ok(predicate)
    }

    fn exists(&mut self) -> Outcome<Option<Chain>> {
        if !self.eat_word("exists")? {
            return Ok(None);
        }
        self.want_sign("(")?;
        let of = self.inside(Self::path)?;
        self.want_sign(")")?;
        unary(Step::Exists, of).map(Some)
    }

    /// A predicate without `&&` and `||`, or a path.
    fn condition(&mut self) -> Outcome<(Chain, Kind)> {
        if self.eat_sign("!")? {
            let of = match self.exists()? {
                Some(exists) => exists,
                None => self.in_parentheses()?,
            };
            return Ok((unary(Step::Not, of)?, PREDICATE));
        }
        if let Some(exists) = self.exists()? {
            return Ok((exists, PREDICATE));
        }
        let (left, kind) = self.sum()?;
        if let Kind::Predicate { in_parentheses } = kind {
            if in_parentheses && self.eat_word("is")? {
                self.want_word("unknown")?;
                return Ok((unary(Step::IsUnknown, left)?, PREDICATE));
            }
            return Ok((left, kind));
        }
        let operator = match self.here.is {
            Is::Sign(sign) => comparison(sign),
            _ => None,
        };
        if let Some(operator) = operator {
            self.take()?;
            let right = self.path()?;
            return Ok((binary(operator, left, right)?, PREDICATE));
        }
        if self.eat_word("starts")? {
            self.want_word("with")?;
            let start = match &mut self.here.is {
                Is::Quoted(text) => Step::Text(std::mem::take(text)),
                Is::Variable(name) => Step::Variable(std::mem::take(name)),
                _ => return Err(self.here.misplaced()),
            };
            self.take()?;
            let start = Chain::of(start, 0)?;
            let starts = binary(Operator::StartsWith, left, start)?;
            return Ok((starts, PREDICATE));
        }
        if self.eat_word("like_regex")? {
            return Ok((self.like_regex(left)?, PREDICATE));
        }
        Ok((left, Kind::Path))
    }

    fn text(&mut self) -> Outcome<String> {
        match self.take()? {
            Word {
                is: Is::Quoted(text),
                ..
            } => Ok(text),
            other => Err(other.misplaced()),
        }
    }

    fn like_regex(&mut self, of: Chain) -> Outcome<Chain> {
        let pattern = self.text()?;
        let letters = match self.eat_word("flag")? {
            true => self.text()?,
            false => String::new(),
        };
        let mut flags = Flags::default();
        for letter in letters.chars() {
            match letter {
                'i' => flags.ignore_case = true,
                's' => flags.dots_match_all = true,
                'm' => flags.lines_are_anchors = true,
                'x' => flags.expanded = true,
                'q' => flags.literal = true,
                other => {
                    let message = "invalid input syntax for type jsonpath";
                    return Err(
                        SqlError::new(ErrorKind::SyntaxError, message).detail(format!(
                            "Unrecognized flag character \"{other}\" in LIKE_REGEX predicate."
                        )),
                    );
                }
            }
        }
        if flags.expanded && !flags.literal {
            return Err(SqlError::new(
                ErrorKind::FeatureNotSupported,
                "XQuery \"x\" flag (expanded regular expressions) is not implemented",
            ));
        }
        regexp::matches_xquery("", &pattern, flags)?;
        let like = |of| Step::LikeRegex { of, pattern, flags };
        unary(like, of)
    }

    fn sum(&mut self) -> Outcome<(Chain, Kind)> {
        self.operators(
            &[("+", Operator::Add), ("-", Operator::Subtract)],
            |reader| {
                let signs = [
                    ("*", Operator::Multiply),
                    ("/", Operator::Divide),
                    ("%", Operator::Modulo),
                ];
                reader.operators(&signs, Self::signed)
            },
        )
    }

    /// Operands between signs of one rank, from left to right.
    fn operators(
        &mut self,
        signs: &[(&str, Operator)],
        operand: impl Fn(&mut Self) -> Outcome<(Chain, Kind)>,
    ) -> Outcome<(Chain, Kind)> {
        let (mut left, kind) = operand(self)?;
        if kind != Kind::Path {
            return Ok((left, kind));
        }
        loop {
            let found = signs.iter().find(|(sign, _)| self.is_sign(sign));
            let Some((_, operator)) = found else {
                return Ok((left, kind));
            };
            self.take()?;
            let right = self.wanted_path(&operand)?;
            left = binary(*operator, left, right)?;
        }
    }

    fn signed(&mut self) -> Outcome<(Chain, Kind)> {
        let minus = match self.here.is {
            Is::Sign("-") => true,
            Is::Sign("+") => false,
            _ => return self.operand(),
        };
        self.take()?;
        let of = self.inside(|reader| reader.wanted_path(Self::signed))?;
        let signed = match of.steps.as_slice() {
            [Step::Number(number)] => {
                let negated = match number.strip_prefix('-') {
                    Some(positive) => positive.to_string(),
                    None if number.bytes().all(|byte| matches!(byte, b'0' | b'.')) => {
                        number.clone()
                    }
                    None => format!("-{number}"),
                };
                let number = if minus { negated } else { number.clone() };
                Chain::of(Step::Number(number), 0)?
            }
            _ => unary(|of| Step::Sign { minus, of }, of)?,
        };
        Ok((signed, Kind::Path))
    }

    /// A value, or something in parentheses, and the steps from there.
    fn operand(&mut self) -> Outcome<(Chain, Kind)> {
        let mut chain = match self.here.is {
            Is::Sign("(") => {
                self.take()?;
                let (inner, kind) = self.inside(Self::any)?;
                self.want_sign(")")?;
                let goes_on = [".", "[", "?"].iter().any(|sign| self.is_sign(sign));
                match (goes_on, kind) {
                    (true, _) => inner,
                    (false, Kind::Path) => return Ok((inner, kind)),
                    (false, _) => {
                        let in_parentheses = true;
                        return Ok((inner, Kind::Predicate { in_parentheses }));
                    }
                }
            }
            _ => {
                let first = self.value()?;
                self.take()?;
                Chain::of(first, 0)?
            }
        };
        while let Some((step, height)) = self.accessor()? {
            chain.push(step, height)?;
        }
        Ok((chain, Kind::Path))
    }

    fn value(&mut self) -> Outcome<Step> {
        Ok(match &mut self.here.is {
            Is::Quoted(text) => Step::Text(std::mem::take(text)),
            Is::Variable(name) => Step::Variable(std::mem::take(name)),
            Is::Integer(number) | Is::Number(number) => Step::Number(numeric(number)?),
            Is::Sign("$") => Step::Root,
            Is::Sign("@") => Step::Current,
            Is::Name(name) => match name.as_str() {
                "null" => Step::Null,
                "true" => Step::Bool(true),
                "false" => Step::Bool(false),
                name if name.eq_ignore_ascii_case("last") => Step::Last,
                _ => return Err(self.here.misplaced()),
            },
            _ => return Err(self.here.misplaced()),
        })
    }

    /// The next step and how deep it nests.
    fn accessor(&mut self) -> Outcome<Option<(Step, usize)>> {
        if self.eat_sign("?")? {
            let of = self.in_parentheses()?;
            let height = of.height + 1;
            return Ok(Some((Step::Filter(of), height)));
        }
        if self.eat_sign("[")? {
            let found = self.inside(Self::places)?;
            self.want_sign("]")?;
            return Ok(Some(found));
        }
        if !self.eat_sign(".")? {
            return Ok(None);
        }
        if self.eat_sign("*")? {
            return Ok(Some((Step::AnyKey, 0)));
        }
        if self.eat_sign("**")? {
            let (first, last) = self.levels()?;
            return Ok(Some((Step::Any { first, last }, 0)));
        }
        let (name, is_quoted) = match self.take()? {
            Word {
                is: Is::Name(name), ..
            } => (name, false),
            Word {
                is: Is::Quoted(name),
                ..
            } => (name, true),
            other => return Err(other.misplaced()),
        };
        if is_quoted || !self.is_sign("(") {
            return Ok(Some((Step::Key(name), 0)));
        }
        let step = match name.to_ascii_lowercase().as_str() {
            "abs" => Step::Method(Method::Abs),
            "ceiling" => Step::Method(Method::Ceiling),
            "double" => Step::Method(Method::Double),
            "floor" => Step::Method(Method::Floor),
            "keyvalue" => Step::Method(Method::Keyvalue),
            "size" => Step::Method(Method::Size),
            "type" => Step::Method(Method::Type),
            "datetime" => {
                self.take()?;
                let template = match self.here.is {
                    Is::Quoted(_) => Some(self.text()?),
                    _ => None,
                };
                self.want_sign(")")?;
                return Ok(Some((Step::Datetime(template), 0)));
            }
            _ => return Err(self.here.misplaced()),
        };
        self.take()?;
        self.want_sign(")")?;
        Ok(Some((step, 0)))
    }

    fn places(&mut self) -> Outcome<(Step, usize)> {
        if self.eat_sign("*")? {
            return Ok((Step::AnyArray, 0));
        }
        let (mut places, mut height) = (Vec::new(), 0);
        loop {
            let from = self.path()?;
            let to = match self.eat_word("to")? {
                true => Some(self.path()?),
                false => None,
            };
            let higher = from.height.max(to.as_ref().map_or(0, |to| to.height));
            height = height.max(higher + 1);
            places.push((from, to));
            if !self.eat_sign(",")? {
                return Ok((Step::Places(places), height));
            }
        }
    }

    /// `{n}`, `{n to m}`, or nothing for all levels.
    fn levels(&mut self) -> Outcome<(u32, u32)> {
        if !self.eat_sign("{")? {
            return Ok((0, u32::MAX));
        }
        let first = self.level()?;
        let last = match self.eat_word("to")? {
            true => self.level()?,
            false => first,
        };
        self.want_sign("}")?;
        Ok((first, last))
    }

    fn level(&mut self) -> Outcome<u32> {
        if self.eat_word("last")? {
            return Ok(u32::MAX);
        }
        match self.take()? {
            Word {
                is: Is::Integer(level),
                ..
            } => match text::parse(ColumnType::Int4, &level)? {
                Datum::Int4(level) => Ok(level.cast_unsigned()),
                other => unreachable!("{other:?} was read as an integer"),
            },
            other => Err(other.misplaced()),
        }
    }
}
