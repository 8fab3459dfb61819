//! Which kind of relation a name stands for, where DROP is of another kind.

use super::{Scope, find, index, sequence, view};
use crate::error::{ErrorKind, SqlError};
use crate::parse::quoted;
use crate::system;

/// What DROP says of a name that stands for another kind of relation than the wanted one (`TABLE`), 42809, or for a system
/// catalog, 42501; `None` where it stands for nothing.
pub(super) fn another(
    scope: Scope<'_>,
    schema: Option<&str>,
    name: &str,
    wanted: &str,
) -> Option<SqlError> {
    let mut parts: Vec<_> = schema.map(quoted).into_iter().collect();
    parts.push(quoted(name));
    let full = parts.into();
    let kind = match find(scope.catalog, scope.search_path, schema, name) {
        Some(table) if table.materialized.is_some() => "MATERIALIZED VIEW",
        Some(_) => "TABLE",
        None if view::find_view(scope.catalog, scope.search_path, schema, name).is_some() => "VIEW",
        None if sequence::resolve(scope.catalog, scope.search_path, &full).is_ok() => "SEQUENCE",
        None if index::exists(scope, schema, name) => "INDEX",
        None => {
            system::relation(schema, name)?;
            let message = format!("permission denied: \"{name}\" is a system catalog");
            return Some(SqlError::new(ErrorKind::InsufficientPrivilege, message));
        }
    };
    let with_article = |kind: &str| match kind {
        "INDEX" => "an index".to_string(),
        kind => format!("a {}", kind.to_lowercase()),
    };
    let message = format!("\"{name}\" is not {}", with_article(wanted));
    let hint = format!("Use DROP {kind} to remove {}.", with_article(kind));
    Some(SqlError::new(ErrorKind::WrongObjectType, message).hint(hint))
}
