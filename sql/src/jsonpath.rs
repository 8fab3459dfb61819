//! Paths of SQL/JSON: the type `jsonpath`, and what its paths find in a jsonb.
//!
//! After jsonpath_scan.l, jsonpath_gram.y, jsonpath.c and jsonpath_exec.c of PostgreSQL 15. A path is kept as its text in
//! PostgreSQL's normal form, which is read again where it is used.

mod grammar;
mod item;
mod layout;
mod moment;
mod run;
mod shown;
mod words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::error::{ErrorKind, SqlError};

pub(crate) use run::Call;

/// Paths that a thread keeps read.
const KEPT_MAX: usize = 64;

/// How deep a path may nest, and how many steps may follow each other.
const NESTING_MAX: usize = 1000;
const STEPS_MAX: usize = 10_000;

/// A path.
#[derive(Debug)]
pub(crate) struct Path {
    lax: bool,
    steps: Chain,
}

/// Steps that follow each other: at least one.
#[derive(Debug, Default)]
struct Chain {
    steps: Vec<Step>,
    /// How deep its steps nest.
    height: usize,
}

/// A step of a path, or an operator whose operands are paths.
#[derive(Debug)]
enum Step {
    Null,
    Bool(bool),
    /// A numeric's text.
    Number(String),
    Text(String),
    Variable(String),
    Root,
    Current,
    Last,
    Key(String),
    AnyKey,
    AnyArray,
    /// `**` of so many levels.
    Any {
        first: u32,
        last: u32,
    },
    /// `[…]`: places and ranges of them.
    Places(Vec<(Chain, Option<Chain>)>),
    Filter(Chain),
    Method(Method),
    /// `datetime()`, with its template.
    Datetime(Option<String>),
    Binary(Operator, Box<(Chain, Chain)>),
    /// `+` or `-` before a path.
    Sign {
        minus: bool,
        of: Chain,
    },
    Not(Chain),
    IsUnknown(Chain),
    Exists(Chain),
    LikeRegex {
        of: Chain,
        pattern: String,
        flags: Flags,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Abs,
    Ceiling,
    Double,
    Floor,
    Keyvalue,
    Size,
    Type,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Abs => "abs",
            Method::Ceiling => "ceiling",
            Method::Double => "double",
            Method::Floor => "floor",
            Method::Keyvalue => "keyvalue",
            Method::Size => "size",
            Method::Type => "type",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    StartsWith,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Operator::Or => "||",
            Operator::And => "&&",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::StartsWith => "starts with",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
        }
    }

    fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Operator::Add
                | Operator::Subtract
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo
        )
    }
}

/// The letters behind a pattern of `like_regex`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) ignore_case: bool,
    /// `.` matches a line break.
    pub(crate) dots_match_all: bool,
    /// `^` and `$` match at line breaks.
    pub(crate) lines_are_anchors: bool,
    /// XQuery's blanks and comments, which are not there.
    expanded: bool,
    /// The pattern is a text.
    pub(crate) literal: bool,
}

impl Path {
    /// Reads a path. 42601 or 22P02 for what is none, with PostgreSQL's messages.
    pub(crate) fn read(text: &str) -> Result<Path, SqlError> {
        grammar::read(text)
    }

    /// The path of a text, which the thread may have read before.
    pub(crate) fn of(text: &str) -> Result<Rc<Path>, SqlError> {
        thread_local! {
            static KEPT: RefCell<HashMap<String, Rc<Path>>> = RefCell::default();
        }
        if let Some(found) = KEPT.with_borrow(|kept| kept.get(text).cloned()) {
            return Ok(found);
        }
        let path = Rc::new(Path::read(text)?);
        KEPT.with_borrow_mut(|kept| {
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(text.to_string(), path.clone());
        });
        Ok(path)
    }
}

/// The text of a path in PostgreSQL's normal form.
pub(crate) fn canonical(text: &str) -> Result<String, SqlError> {
    Ok(Path::read(text)?.to_string())
}

/// Runs what recurses as deep as paths and values nest.
fn deeper<T>(work: impl FnOnce() -> T) -> T {
    const LEFT_MIN: usize = 128 << 10;
    const GROWN: usize = 1 << 20;
    stacker::maybe_grow(LEFT_MIN, GROWN, work)
}

fn too_deep() -> SqlError {
    SqlError::new(
        ErrorKind::StatementTooComplex,
        "stack depth limit exceeded",
    )
    .detail(format!(
        "A jsonpath may nest {NESTING_MAX} levels deep, and {STEPS_MAX} steps may follow each other."
    ))
}
