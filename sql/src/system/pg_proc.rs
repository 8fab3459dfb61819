//! pg_proc: PostgreSQL 15's rows of the functions that Tidelog has, and what it says of their arguments.
//!
//! A function is there when it can be called by its name and all its types exist here. The file has no rows of
//! operators' functions and of those that read and write types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use tidelog_storage::Datum;

use super::{Named, fields, from_csv, text};

const CSV: &str = include_str!("pg_proc.csv");

/// What functions ask of a function.
pub(super) struct Function {
    pub(super) name: String,
    /// pg_get_function_arguments.
    pub(super) arguments: String,
    /// pg_get_function_identity_arguments.
    pub(super) identity: String,
    /// pg_get_function_result.
    pub(super) result: String,
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
    let function = |line: &str| {
        let fields = fields(line);
        let of = |at: usize| fields.get(at).cloned().unwrap_or_default();
        let function = Function {
            name: of(name),
            arguments: of(arguments),
            identity: of(identity),
            result: of(result),
        };
        Some((of(oid).parse().ok()?, function))
    };
    lines.filter_map(function).collect()
});

/// The function with this oid.
pub(super) fn function(oid: i64) -> Option<&'static Function> {
    FUNCTIONS.get(&oid)
}

/// The oids of the functions with a name.
pub(super) fn named(name: &str) -> Vec<i64> {
    let functions = FUNCTIONS.iter();
    let named = functions.filter(|(_, function)| function.name == name);
    named.map(|(oid, _)| *oid).collect()
}

/// The names of all that is in the file.
pub(crate) fn names() -> BTreeSet<&'static str> {
    let names = FUNCTIONS.values().map(|function| function.name.as_str());
    names.collect()
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
    for row in &mut rows {
        let has_arguments = row.iter_mut().find(|(column, _)| *column == "proargtypes");
        // A vector without elements is no NULL.
        if let Some((_, arguments @ Datum::Null)) = has_arguments {
            *arguments = text("");
        }
        row.extend([
            ("pronamespace", Datum::Int8(11)),
            ("proowner", Datum::Int8(10)),
            ("prosupport", text("-")),
            // Nobody granted anything.
            ("proacl", Datum::Null),
        ]);
    }
    rows
}
