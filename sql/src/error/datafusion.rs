//! DataFusion's errors, as PostgreSQL would say them. Its planner tells many of them apart by their text only.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use tidelog_storage::StorageError;

use super::{ErrorKind, SqlError, from_arrow};

const HINT_OF_FUNCTIONS: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";
const HINT_OF_OPERATORS: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// What is said of VALUES whose rows have types that do not go together.
pub(crate) const VALUES_MISMATCH: &str = "VALUES types cannot be matched";

/// What went wrong in DataFusion, as PostgreSQL would say it.
pub(crate) fn from_datafusion(error: DataFusionError) -> SqlError {
    if let Some(error) = StorageError::inside(&error) {
        return error.into();
    }
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => match inner.downcast_ref::<StorageError>() {
                Some(StorageError::Evicted) => {
                    SqlError::new(ErrorKind::SerializationFailure, inner.to_string())
                }
                Some(_) => SqlError::new(ErrorKind::IoError, inner.to_string()),
                None => SqlError::new(ErrorKind::InternalError, inner.to_string()),
            },
        },
        DataFusionError::ArrowError(error, _) => from_arrow(error),
        DataFusionError::SchemaError(error, _) => match &**error {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => missing_column(field, valid_fields),
            SchemaError::AmbiguousReference { field } => SqlError::new(
                ErrorKind::AmbiguousColumn,
                format!("column reference \"{}\" is ambiguous", field.name),
            ),
            other => from_planner(&other.to_string()),
        },
        DataFusionError::ResourcesExhausted(what) => {
            tracing::info!(what = plain(what), "a statement ran out of memory");
            SqlError::new(ErrorKind::OutOfMemory, "out of memory")
                .detail("Sorts, groups, joins and results of functions of all statements have no more memory than query_memory says.")
                .hint("Have the statement gather fewer rows, or raise query_memory in the server's settings.")
        }
        DataFusionError::ObjectStore(error) => SqlError::new(ErrorKind::IoError, error.to_string()),
        DataFusionError::ParquetError(error) => {
            SqlError::new(ErrorKind::IoError, error.to_string())
        }
        DataFusionError::IoError(error) => SqlError::new(ErrorKind::IoError, error.to_string()),
        DataFusionError::Plan(what) | DataFusionError::NotImplemented(what) => from_planner(what),
        DataFusionError::Execution(what) => from_execution(what),
        other => {
            let what = other.strip_backtrace();
            match known(&what) {
                Some(error) => error,
                None => SqlError::new(ErrorKind::InternalError, what),
            }
        }
    }
}

/// PostgreSQL's columns of each row that are not there, or not everywhere.
const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// 42703, or 42P01 where no relation has that name; with the column that was probably meant.
fn missing_column(field: &Column, valid: &[Column]) -> SqlError {
    // Columns of one relation that share their name have names of their own here.
    let is_meant = |column: &Column| {
        let relation = field.relation.as_ref();
        let own = column.relation.as_ref();
        crate::plan::shown(&column.name) == field.name
            && relation
                .is_none_or(|relation| own.is_some_and(|own| own.table() == relation.table()))
    };
    if valid.iter().any(is_meant) {
        let message = format!("column reference \"{}\" is ambiguous", field.name);
        return SqlError::new(ErrorKind::AmbiguousColumn, message);
    }
    if !valid.is_empty() && SYSTEM_COLUMNS.contains(&field.name.as_str()) {
        return SqlError::unsupported(format!("the system column \"{}\" here", field.name));
    }
    let Some(relation) = &field.relation else {
        let is_relation = |column: &Column| {
            let relation = column.relation.as_ref();
            relation.is_some_and(|relation| relation.table() == field.name)
        };
        if valid.iter().any(is_relation) {
            return SqlError::unsupported(format!("the whole row \"{}\" here", field.name));
        }
        let message = format!("column \"{}\" does not exist", field.name);
        let error = SqlError::new(ErrorKind::UndefinedColumn, message);
        return match likely(&field.name, valid) {
            Some(hint) => error.hint(hint),
            None => error,
        };
    };
    let of_relation = |column: &&Column| {
        let qualifier = column.relation.as_ref();
        qualifier.is_some_and(|qualifier| qualifier.table() == relation.table())
    };
    let own: Vec<Column> = valid.iter().filter(of_relation).cloned().collect();
    if own.is_empty() {
        let message = format!(
            "missing FROM-clause entry for table \"{}\"",
            relation.table()
        );
        return SqlError::new(ErrorKind::UndefinedTable, message);
    }
    let message = format!("column {}.{} does not exist", relation.table(), field.name);
    let error = SqlError::new(ErrorKind::UndefinedColumn, message);
    match likely(&field.name, &own) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The columns whose names are nearest, at most two and at most three letters away, as PostgreSQL looks for them.
fn likely(name: &str, valid: &[Column]) -> Option<String> {
    let mut best = 4;
    let mut nearest: Vec<String> = Vec::new();
    for column in valid {
        let Some(relation) = &column.relation else {
            continue;
        };
        let distance = distance(name, &column.name);
        if distance > column.name.len() / 2 || distance > best || distance > 3 {
            continue;
        }
        if distance < best {
            best = distance;
            nearest.clear();
        }
        nearest.push(format!("\"{}.{}\"", relation.table(), column.name));
    }
    match nearest.as_slice() {
        [one] => Some(format!("Perhaps you meant to reference the column {one}.")),
        [one, other] => Some(format!(
            "Perhaps you meant to reference the column {one} or the column {other}."
        )),
        _ => None,
    }
}

/// Levenshtein's.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (n, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = n + 1;
        for (m, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[m + 1];
            row[m + 1] = replaced.min(row[m] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

fn plain(what: &str) -> &str {
    what.split("\n\nbacktrace").next().unwrap_or(what).trim()
}

/// What stands between two marks.
fn between<'w>(what: &'w str, before: &str, after: &str) -> Option<&'w str> {
    let (_, rest) = what.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// An error of planning. What is not known here must not reach the client in DataFusion's words.
fn from_planner(what: &str) -> SqlError {
    let what = plain(what);
    known(what).unwrap_or_else(|| {
        tracing::info!(what, "a statement could not be planned");
        SqlError::new(
            ErrorKind::FeatureNotSupported,
            "this form of statement is not supported",
        )
    })
}

fn from_execution(what: &str) -> SqlError {
    let what = plain(what);
    known(what).unwrap_or_else(|| SqlError::new(ErrorKind::InvalidParameterValue, what))
}

/// A message of DataFusion's whose meaning is known.
fn known(what: &str) -> Option<SqlError> {
    names(what)
        .or_else(|| parameters(what))
        .or_else(|| grouping(what))
        .or_else(|| shapes(what))
        .or_else(|| types(what))
}

/// Functions and windows.
fn names(what: &str) -> Option<SqlError> {
    use ErrorKind::{FeatureNotSupported, UndefinedFunction, UndefinedObject, WrongObjectType};
    if what.contains("Invalid function") {
        let name = what.split('\'').nth(1).unwrap_or("?");
        let is_window = matches!(
            name,
            "row_number"
                | "rank"
                | "dense_rank"
                | "percent_rank"
                | "cume_dist"
                | "ntile"
                | "lag"
                | "lead"
                | "first_value"
                | "last_value"
                | "nth_value"
        );
        return Some(match is_window {
            true => SqlError::new(
                WrongObjectType,
                format!("window function {name} requires an OVER clause"),
            ),
            false => SqlError::new(UndefinedFunction, format!("function {name} does not exist"))
                .hint(HINT_OF_FUNCTIONS),
        });
    }
    if let Some(rest) = what.strip_prefix("The window ") {
        let name = rest.split_whitespace().next().unwrap_or("?");
        return Some(SqlError::new(
            UndefinedObject,
            format!("window \"{name}\" does not exist"),
        ));
    }
    if what.contains("OVER and WITHIN GROUP clause cannot be used together") {
        return Some(SqlError::new(
            FeatureNotSupported,
            "OVER is not supported for ordered-set aggregates",
        ));
    }
    if what.contains("WITHIN GROUP is only supported for ordered-set") {
        return Some(SqlError::new(
            WrongObjectType,
            "this is not an ordered-set aggregate, so it cannot have WITHIN GROUP",
        ));
    }
    if what.contains("WITH query name") && what.contains("specified more than once") {
        return Some(SqlError::new(ErrorKind::DuplicateAlias, what));
    }
    None
}

/// Parameters.
fn parameters(what: &str) -> Option<SqlError> {
    let (_, name) = what.split_once("Invalid placeholder, zero is not a valid index: ")?;
    let message = format!("there is no parameter {name}");
    Some(SqlError::new(ErrorKind::UndefinedParameter, message))
}

/// Grouping, windows, DISTINCT and ORDER BY.
fn grouping(what: &str) -> Option<SqlError> {
    use ErrorKind::{GroupingError, InvalidColumnReference, WindowingError};
    let error = |kind, message: &str| Some(SqlError::new(kind, message));
    if what.contains("Aggregate functions are not allowed in the WHERE clause") {
        return error(
            GroupingError,
            "aggregate functions are not allowed in WHERE",
        );
    }
    if what.contains("Aggregate function calls cannot be nested") {
        return error(GroupingError, "aggregate function calls cannot be nested");
    }
    if what.contains("Window function calls cannot be nested") {
        return error(WindowingError, "window function calls cannot be nested");
    }
    if what.contains("logical expression WindowFunction") {
        return error(WindowingError, "window functions are not allowed in WHERE");
    }
    if what.contains("logical expression AggregateFunction") {
        return error(
            GroupingError,
            "aggregate functions are not allowed in GROUP BY",
        );
    }
    if what.contains("to grouping function is not in grouping columns") {
        let message =
            "arguments to GROUPING must be grouping expressions of the associated query level";
        return error(GroupingError, message);
    }
    if let Some(position) = between(what, "Cannot find column with position ", " in SELECT") {
        let message = format!("GROUP BY position {position} is not in select list");
        return error(InvalidColumnReference, &message);
    }
    if let Some(position) = between(what, "Order by column out of bounds, specified: ", ",") {
        let message = format!("ORDER BY position {position} is not in select list");
        return error(InvalidColumnReference, &message);
    }
    if what.starts_with("For SELECT DISTINCT") || what.contains("Could not find column in select") {
        let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
        return error(InvalidColumnReference, message);
    }
    if what.contains("SELECT DISTINCT ON expressions must match") {
        let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
        return error(InvalidColumnReference, message);
    }
    if what.contains("end bound cannot be UNBOUNDED PRECEDING") {
        return error(WindowingError, "frame end cannot be UNBOUNDED PRECEDING");
    }
    if what.contains("start bound cannot be UNBOUNDED FOLLOWING") {
        return error(WindowingError, "frame start cannot be UNBOUNDED FOLLOWING");
    }
    if what.contains("Invalid window frame") {
        let message = "this window frame is not supported";
        return error(ErrorKind::FeatureNotSupported, message);
    }
    if what.contains("NTILE requires a positive integer") {
        let message = "argument of ntile must be greater than zero";
        return error(ErrorKind::InvalidArgumentForNtile, message);
    }
    if what.contains("must appear in") {
        // `… column "e.t.name" must appear in the GROUP BY clause or …`
        let column = between(what, "column \"", "\"")
            .or_else(|| between(what, "HAVING clause references: ", " must"));
        let mut parts: Vec<&str> = column?.rsplitn(3, '.').take(2).collect();
        parts.reverse();
        let message = format!(
            "column \"{}\" must appear in the GROUP BY clause or be used in an aggregate function",
            parts.join(".")
        );
        return error(GroupingError, &message);
    }
    None
}

/// Numbers of rows and columns.
fn shapes(what: &str) -> Option<SqlError> {
    use ErrorKind::{FeatureNotSupported, InvalidColumnReference, SyntaxError};
    let error = |kind, message: &str| Some(SqlError::new(kind, message));
    if what.contains("LIMIT must be >= 0") {
        return Some(crate::plan::negative_limit("LIMIT"));
    }
    if what.contains("OFFSET must be >=") {
        return Some(crate::plan::negative_limit("OFFSET"));
    }
    if what.contains("sqltorel: Collate {") {
        let name = what.rsplit("value: \"").next()?.split('"').next()?;
        return Some(SqlError::unsupported(format!("COLLATE \"{name}\"")));
    }
    if what.contains("single row") || what.contains("more than one row") {
        let message = "more than one row returned by a subquery used as an expression";
        return error(ErrorKind::CardinalityViolation, message);
    }
    if what.contains("The subquery should only return one column") {
        return error(SyntaxError, "subquery must return only one column");
    }
    if what.contains("logical expression OuterReferenceColumn")
        || what.contains("logical expression ScalarSubquery")
        || what.contains("logical expression Exists")
        || what.contains("logical expression InSubquery")
        || what.contains("logical expression SetComparison")
    {
        return error(
            FeatureNotSupported,
            "this form of correlated subquery is not supported",
        );
    }
    if what.contains("Inconsistent data length across values list") {
        return error(SyntaxError, "VALUES lists must all be the same length");
    }
    if what.contains("Inconsistent data type across values list")
        || what.contains("Inconsistent metadata across values list")
    {
        return error(ErrorKind::DatatypeMismatch, VALUES_MISMATCH);
    }
    for operation in ["UNION", "INTERSECT", "EXCEPT"] {
        let mentions = what.to_ascii_uppercase().contains(operation);
        if mentions && what.contains("number of columns") {
            let message = format!("each {operation} query must have the same number of columns");
            return error(SyntaxError, &message);
        }
    }
    if what.contains("names given as column alias") {
        let message =
            "a list of column aliases that is not as long as the relation is wide is not supported";
        return error(InvalidColumnReference, message);
    }
    if what.contains("SELECT * with no tables specified is not valid") {
        return error(
            SyntaxError,
            "SELECT * with no tables specified is not valid",
        );
    }
    if let Some((_, qualifier)) = what.split_once("Invalid qualifier ") {
        let message = format!("missing FROM-clause entry for table \"{qualifier}\"");
        return error(ErrorKind::UndefinedTable, &message);
    }
    if what.contains("Schema contains duplicate") || what.contains("unique expression names") {
        return error(
            FeatureNotSupported,
            "the same expression twice at this place is not supported",
        );
    }
    if what.contains("table name is not specified more")
        || what.contains("specified more than once")
    {
        return error(ErrorKind::DuplicateAlias, what);
    }
    None
}

/// Types of operands and arguments.
fn types(what: &str) -> Option<SqlError> {
    use ErrorKind::{DatatypeMismatch, DivisionByZero, UndefinedFunction};
    if what.contains("ivide by zero") {
        return Some(SqlError::new(DivisionByZero, "division by zero"));
    }
    if what.contains("non-boolean predicate")
        && let Some((_, ty)) = what.rsplit_once("' returning ")
    {
        let literal = between(what, "predicate 'Int64(", ")' returning");
        let ty = match literal.is_some_and(|literal| literal.parse::<i32>().is_ok()) {
            true => "integer".to_string(),
            false => shown(ty),
        };
        let message = format!("argument of WHERE must be type boolean, not type {ty}");
        return Some(SqlError::new(DatatypeMismatch, message));
    }
    if let Some(call) = between(what, "given name and argument types '", "'") {
        let (name, args) = call.split_once('(')?;
        let args = split(args.strip_suffix(')').unwrap_or(args));
        let args: Vec<String> = args.into_iter().map(shown).collect();
        let message = format!("function {name}({}) does not exist", args.join(", "));
        return Some(SqlError::new(UndefinedFunction, message).hint(HINT_OF_FUNCTIONS));
    }
    if let Some((from, to)) = what
        .strip_prefix("Unsupported CAST from ")
        .and_then(|types| types.split_once(" to "))
    {
        let message = format!("cannot cast type {} to {}", shown(from), shown(to));
        return Some(SqlError::new(ErrorKind::CannotCoerce, message));
    }
    if let Some((_, operands)) = what.split_once("type for logical boolean operation ") {
        for operator in ["AND", "OR"] {
            let Some((left, right)) = operands.split_once(&format!(" {operator} ")) else {
                continue;
            };
            let ty = if left == "Boolean" { right } else { left };
            let message = format!(
                "argument of {operator} must be type boolean, not type {}",
                shown(ty)
            );
            return Some(SqlError::new(DatatypeMismatch, message));
        }
    }
    if let Some((_, ty)) = what.split_once("requires a boolean expression, got ") {
        let message = format!(
            "argument of NOT must be type boolean, not type {}",
            shown(ty)
        );
        return Some(SqlError::new(DatatypeMismatch, message));
    }
    if what.contains("Unary operator '-' only supports") {
        let message = "operator does not exist: - text";
        let hint = "No operator matches the given name and argument type. You might need to add an explicit type cast.";
        return Some(SqlError::new(UndefinedFunction, message).hint(hint));
    }
    if let Some(operands) = between(what, "common type to coerce ", " in LIKE") {
        let (left, right) = operands.split_once(" and ")?;
        let (left, right) = (shown(left), shown(right));
        let message = format!("operator does not exist: {left} ~~ {right}");
        return Some(SqlError::new(UndefinedFunction, message).hint(HINT_OF_OPERATORS));
    }
    let part = between(what, "Date part '", "' not supported")
        .or_else(|| between(what, "Unsupported date_trunc granularity: '", "'"));
    if let Some(part) = part {
        let message = format!("unit \"{part}\" not recognized");
        return Some(SqlError::new(ErrorKind::InvalidParameterValue, message));
    }
    let operation = what
        .split_once("argument type for comparison operation ")
        .or_else(|| what.split_once("Cannot coerce arithmetic expression "))
        .map(|(_, rest)| rest.trim_end_matches(" to valid types"));
    if let Some(operation) = operation {
        let operators = [
            " <= ", " >= ", " <> ", " != ", " = ", " < ", " > ", " + ", " - ", " * ", " / ", " % ",
            " || ",
        ];
        let (operator, (left, right)) = operators
            .iter()
            .find_map(|operator| Some((operator.trim(), operation.split_once(operator)?)))?;
        let (left, right) = (shown(left), shown(right));
        let message = format!("operator does not exist: {left} {operator} {right}");
        return Some(SqlError::new(UndefinedFunction, message).hint(HINT_OF_OPERATORS));
    }
    if what.contains("coerc") || what.contains("signature") {
        let message = "the types of these expressions do not go together";
        return Some(SqlError::new(DatatypeMismatch, message));
    }
    None
}

/// Splits at commas outside parentheses.
fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in list.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !list.is_empty() {
        parts.push(&list[start..]);
    }
    parts
}

/// PostgreSQL's name of a type that DataFusion has written.
fn shown(ty: &str) -> String {
    let ty = ty.trim().trim_matches(['"', '\'', '.']);
    let (name, inner) = match ty.split_once('(') {
        Some((name, inner)) => (name, inner.strip_suffix(')').unwrap_or(inner)),
        None => (ty, ""),
    };
    let shown = match name {
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" | "UInt64" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Boolean" => "boolean",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time without time zone",
        "Timestamp" if inner.contains(',') => "timestamp with time zone",
        "Timestamp" => "timestamp without time zone",
        "Interval" | "Duration" => "interval",
        "Binary" | "BinaryView" => "bytea",
        "LargeBinary" => "numeric",
        "FixedSizeBinary" => "uuid",
        "Struct" => "record",
        "Null" => "unknown",
        name if name.starts_with("Decimal") => "numeric",
        "List" | "LargeList" | "FixedSizeList" => {
            let item = inner.split_once(": ").map_or(inner, |(_, item)| item);
            return format!("{}[]", self::shown(item));
        }
        _ => "unknown",
    };
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_told_what_it_is_near_to() {
        let valid = ["id", "name", "names", "created_at"];
        let valid: Vec<Column> = valid
            .iter()
            .map(|name| Column::new(Some("t"), *name))
            .collect();
        let hint = |name| likely(name, &valid);
        assert_eq!(
            hint("creatd_at").unwrap(),
            "Perhaps you meant to reference the column \"t.created_at\"."
        );
        assert_eq!(
            hint("nam").unwrap(),
            "Perhaps you meant to reference the column \"t.name\"."
        );
        assert_eq!(hint("zzzzzz"), None);
    }

    #[test]
    fn arrow_types_have_the_names_of_postgres() {
        assert_eq!(shown("Decimal128(5, 1)"), "numeric");
        assert_eq!(shown("List(Int32)"), "integer[]");
        assert_eq!(shown("Timestamp(µs, \"UTC\")"), "timestamp with time zone");
        assert_eq!(
            split("Decimal128(5, 1), Utf8"),
            ["Decimal128(5, 1)", " Utf8"]
        );
    }
}
