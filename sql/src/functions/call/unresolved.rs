//! What is said of a call of which no overload is meant, or several.

use tidelog_storage::ColumnType;

use super::is_operator;
use crate::error::{ErrorKind, SqlError};
use crate::types;

fn shown_types(given: &[Option<ColumnType>]) -> Vec<String> {
    let shown = |ty: &Option<ColumnType>| match ty {
        None => "unknown".to_string(),
        Some(ty) => types::bare_name(*ty),
    };
    given.iter().map(shown).collect()
}

/// `integer ^@ unknown`, `|/ text`
fn shown_operation(name: &str, given: &[String]) -> String {
    match given {
        [left, right] => format!("{left} {name} {right}"),
        given => format!("{name} {}", given.join(" ")),
    }
}

/// 42883
pub(crate) fn no_such(name: &str, given: &[Option<ColumnType>]) -> SqlError {
    let (kind, shown) = shown_call(name, given);
    let message = format!("{} does not exist{}", shown.0, shown.1);
    let hint = format!("No {kind} matches the given name and argument types.");
    unresolved(ErrorKind::UndefinedFunction, message, hint)
}

/// 42725
pub(crate) fn not_unique(name: &str, given: &[Option<ColumnType>]) -> SqlError {
    let (kind, shown) = shown_call(name, given);
    let message = format!("{} is not unique{}", shown.0, shown.1);
    let hint = format!("Could not choose a best candidate {kind}.");
    unresolved(ErrorKind::AmbiguousFunction, message, hint)
}

/// What a call is of, and how it is shown: what stands before the verb, and what behind it.
fn shown_call(name: &str, given: &[Option<ColumnType>]) -> (&'static str, (String, String)) {
    let given = shown_types(given);
    match is_operator(name) {
        true => {
            let operation = format!(": {}", shown_operation(name, &given));
            ("operator", ("operator".to_string(), operation))
        }
        false => {
            let call = format!("function {name}({})", given.join(", "));
            ("function", (call, String::new()))
        }
    }
}

fn unresolved(kind: ErrorKind, message: String, hint: String) -> SqlError {
    SqlError::new(kind, message).hint(format!("{hint} You might need to add explicit type casts."))
}
