//! Which casts there are: those of PostgreSQL's catalog, and those through texts.

use std::collections::HashSet;
use std::sync::LazyLock;

use tidelog_storage::ColumnType;
use tidelog_storage::datum::PrintedType;

use super::is_text;
use crate::system::{self, type_facts};
use crate::text::printed;

/// Oids of the types that `pg_cast` has a cast between.
static CASTS: LazyLock<HashSet<(i64, i64)>> = LazyLock::new(|| system::casts().collect());

/// Whether an explicit cast of a value of one type to another is there.
pub(super) fn exists(from: ColumnType, to: ColumnType) -> bool {
    match (from, to) {
        // Vectors are arrays.
        (ColumnType::Array(_) | ColumnType::Shaped(_), ColumnType::Printed(of))
            if printed::is_vector(of) =>
        {
            return true;
        }
        _ => {}
    }
    if let (Some(from), Some(to)) = (from.elements(), to.elements()) {
        return exists(from.into(), to.into());
    }
    let oids = (type_facts(from).0, type_facts(to).0);
    oids.0 == oids.1 || is_string(from) || is_string(to) || CASTS.contains(&oids)
}

/// Types that every other is cast to and from by its text (those of category S).
fn is_string(ty: ColumnType) -> bool {
    match ty {
        ColumnType::Char => false,
        ColumnType::Printed(ty) => ty == PrintedType::Citext,
        ty => is_text(ty),
    }
}
