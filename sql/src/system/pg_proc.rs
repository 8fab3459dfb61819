//! pg_proc: PostgreSQL 15's rows of the functions that Tidelog has, and what it says of their arguments.
//!
//! A function is there when it can be called by its name and all its types exist here. So are, in a file of their own, those
//! that pg_type, pg_operator, pg_aggregate and their like name, which nobody calls by their names.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use tidelog_storage::Datum;

use super::functions::name_parts;
use super::{Named, fields, from_csv, text};
use crate::error::{ErrorKind, SqlError};
use crate::parse::identifier;

const CSV: &str = include_str!("pg_proc.csv");

/// The functions that types, ranges and access methods are made of.
const TYPES_CSV: &str = include_str!("pg_proc_types.csv");

/// What functions ask of a function.
pub(crate) struct Function {
    pub(super) name: String,
    /// prokind: `f`, `a` of an aggregate, `w` of a window function.
    pub(crate) kind: String,
    pub(crate) returns_set: bool,
    /// Whether provolatile says that it always gives the same for the same arguments.
    pub(crate) immutable: bool,
    /// Whether it says that it may give something else each time.
    pub(crate) volatile: bool,
    /// The oids of its arguments' types.
    pub(crate) argument_types: Vec<i64>,
    /// The names of its arguments, where they have some.
    pub(crate) names: Vec<String>,
    /// pg_get_function_arguments.
    pub(super) arguments: String,
    /// pg_get_function_identity_arguments.
    pub(super) identity: String,
    /// pg_get_function_result.
    pub(crate) result: String,
}

impl Function {
    /// What stands for an argument that is left out; `None` where none may be.
    pub(crate) fn default(&self, place: usize) -> Option<&str> {
        let (_, default) = self
            .arguments
            .split(", ")
            .nth(place)?
            .split_once(" DEFAULT ")?;
        Some(default)
    }
}

/// Whether an aggregate has the name.
pub(crate) fn is_aggregate(name: &str) -> bool {
    static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
        let aggregates = FUNCTIONS.values().filter(|of| of.kind == "a");
        aggregates.map(|of| of.name.as_str()).collect()
    });
    NAMES.contains(name)
}

static FUNCTIONS: LazyLock<BTreeMap<i64, Function>> = LazyLock::new(|| {
    let mut lines = CSV.lines();
    let header = fields(lines.next().unwrap_or_default());
    let at = |name: &str| {
        let found = header.iter().position(|column| column == name);
        found.expect("the file has the column")
    };
    let (oid, name) = (at("oid"), at("proname"));
    let (arguments, identity, result) = (at("arguments"), at("identity"), at("result"));
    let (kind, returns_set) = (at("prokind"), at("proretset"));
    let (volatile, types) = (at("provolatile"), at("proargtypes"));
    let names = at("proargnames");
    let function = |line: &str| {
        let fields = fields(line);
        let of = |at: usize| fields.get(at).cloned().unwrap_or_default();
        let types = of(types);
        let function = Function {
            name: of(name),
            kind: of(kind),
            returns_set: of(returns_set) == "t",
            immutable: of(volatile) == "i",
            volatile: of(volatile) == "v",
            argument_types: (types.split_whitespace())
                .filter_map(|oid| oid.parse().ok())
                .collect(),
            names: (of(names).trim_matches(['{', '}']).split(','))
                .map(str::to_string)
                .collect(),
            arguments: of(arguments),
            identity: of(identity),
            result: of(result),
        };
        Some((of(oid).parse().ok()?, function))
    };
    let types = TYPES_CSV.lines().skip(1);
    lines.chain(types).filter_map(function).collect()
});

/// The function with this oid.
pub(super) fn function(oid: i64) -> Option<&'static Function> {
    FUNCTIONS.get(&oid)
}

static BY_NAME: LazyLock<HashMap<&str, Vec<i64>>> = LazyLock::new(|| {
    let mut names: HashMap<&str, Vec<i64>> = HashMap::new();
    for (oid, function) in FUNCTIONS.iter() {
        names.entry(&function.name).or_default().push(*oid);
    }
    names
});

/// The functions with a name.
pub(crate) fn functions(name: &str) -> Vec<&'static Function> {
    named(name)
        .iter()
        .filter_map(|oid| function(*oid))
        .collect()
}

/// The oid of `any`.
pub(crate) const ANY: i64 = 2276;

/// Whether an argument of the type with this oid takes values of others.
pub(crate) fn is_polymorphic(oid: i64) -> bool {
    const ANY_ARRAY: i64 = 2277;
    const ANY_ELEMENT: i64 = 2283;
    const ANY_NON_ARRAY: i64 = 2776;
    const ANY_ENUM: i64 = 3500;
    const ANY_COMPATIBLE: std::ops::RangeInclusive<i64> = 5077..=5080;
    [ANY, ANY_ARRAY, ANY_ELEMENT, ANY_NON_ARRAY, ANY_ENUM].contains(&oid)
        || ANY_COMPATIBLE.contains(&oid)
}

/// The oids of the functions with a name.
pub(super) fn named(name: &str) -> &'static [i64] {
    BY_NAME.get(name).map_or(&[], Vec::as_slice)
}

/// The function that a text names as a `regproc`: by its name, which no other has, or its oid.
pub(crate) fn regproc(text: &str) -> Result<i64, SqlError> {
    let text = text.trim();
    if text == "-" {
        return Ok(0);
    }
    if let Ok(oid) = text.parse::<u32>() {
        return Ok(oid.into());
    }
    let parts = name_parts(text);
    let found = match parts.as_slice() {
        [name] => named(name),
        [schema, name] if schema == "pg_catalog" => named(name),
        _ => &[],
    };
    match found {
        [only] => Ok(*only),
        [] => Err(SqlError::new(
            ErrorKind::UndefinedFunction,
            format!("function \"{text}\" does not exist"),
        )),
        _ => Err(SqlError::new(
            ErrorKind::AmbiguousFunction,
            format!("more than one function named \"{text}\""),
        )),
    }
}

/// A `regproc` as text.
pub(crate) fn shown(oid: i64) -> Cow<'static, str> {
    let Some(function) = function(oid) else {
        return match oid {
            0 => "-".into(),
            oid => oid.to_string().into(),
        };
    };
    let name = identifier(&function.name);
    match named(&function.name) {
        [_] => name.into(),
        // The name alone would not say which.
        _ => format!("pg_catalog.{name}").into(),
    }
}

/// The names of all that could be called.
pub(crate) fn names() -> BTreeSet<&'static str> {
    let oids = CSV.lines().filter_map(|line| line.split(',').next());
    let functions = oids.filter_map(|oid| function(oid.parse().ok()?));
    functions.map(|function| function.name.as_str()).collect()
}

/// The rows of the functions with these names; all without.
pub(super) fn rows(callable: Option<&BTreeSet<&str>>) -> Vec<Named> {
    let mut rows = from_csv("pg_proc", CSV);
    rows.retain(|row| {
        let name = row.iter().find(|(column, _)| *column == "proname");
        match (callable, name) {
            (Some(callable), Some((_, Datum::Text(name)))) => callable.contains(name.as_str()),
            _ => true,
        }
    });
    rows.extend(from_csv("pg_proc", TYPES_CSV));
    for row in &mut rows {
        let has_arguments = row.iter_mut().find(|(column, _)| *column == "proargtypes");
        // A vector without elements is no NULL.
        if let Some((_, arguments @ Datum::Null)) = has_arguments {
            *arguments = text("");
        }
        row.extend([
            ("pronamespace", Datum::Int8(11)),
            ("proowner", Datum::Int8(10)),
            ("prosupport", Datum::Int8(0)),
            // Nobody granted anything.
            ("proacl", Datum::Null),
        ]);
    }
    rows
}
