//! Statements that may keep a thread for long: which they are, and the threads of their own that make and run their plans, so that
//! nobody waits for one, and who cuts it short need not wait either. It ends then when the few rows are done that it is at.
//!
//! Does not: end a call under way.

use arrow::array::Array;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

mod threads;
mod watched;

pub(crate) use threads::{Client, Threads};
pub(crate) use watched::{Pace, watched};

/// Functions that give no more than they are given, and soon, besides ours of the names `pg_…`; `?column?` are the operators of
/// json and of times.
const LIGHT: [&str; 37] = [
    "?column?",
    "abs",
    "between_numbers",
    "btrim",
    "ceil",
    "char_length",
    "character_length",
    "checked_arithmetic",
    "coalesce",
    "concat",
    "current_database",
    "current_schema",
    "current_user",
    "date_bin",
    "date_part",
    "date_trunc",
    "extract",
    "floor",
    "gen_random_uuid",
    "greatest",
    "json_build_object",
    "jsonb_array_length",
    "jsonb_build_object",
    "least",
    "left",
    "length",
    "lower",
    "mod",
    "now",
    "nullif",
    "right",
    "round",
    "snowflake_id",
    "substr",
    "substring",
    "to_jsonb",
    "upper",
];

/// Functions that make much of little.
const MULTIPLYING: [&str; 11] = [
    "array_fill",
    "exp",
    "factorial",
    "format",
    "lpad",
    "pg_range_series",
    "pg_series",
    "power",
    "regexp_replace",
    "repeat",
    "rpad",
];

/// Aggregates whose values are no larger than a row's.
const SMALL: [&str; 12] = [
    "avg", "bool_and", "bool_or", "count", "every", "max", "mean", "min", "sum", "stddev", "var",
    "variance",
];

/// Bytes of a constant from which on it is not light to do something with it.
const LITERAL_LARGE: usize = 256 << 10;

/// Whether something in an expression makes much of little.
pub(crate) fn multiplies(expr: &Expr) -> bool {
    let found = expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) => MULTIPLYING.contains(&call.name()),
            other => is_large(other),
        })
    });
    found.unwrap_or(true)
}

/// Whether a few of a plan's rows may take long to compute.
pub(crate) fn is_heavy(plan: &LogicalPlan) -> bool {
    let mut heavy = false;
    let look = |node: &LogicalPlan| {
        heavy |= matches!(node, LogicalPlan::Unnest(_) | LogicalPlan::Window(_));
        node.apply_expressions(|expr| {
            heavy |= expr.exists(|expr| {
                Ok(match expr {
                    Expr::ScalarFunction(call) => {
                        let (name, ours) = (call.name(), call.name().starts_with("pg_"));
                        MULTIPLYING.contains(&name) || !(ours || LIGHT.contains(&name))
                    }
                    Expr::AggregateFunction(call) => !SMALL.contains(&call.func.name()),
                    Expr::WindowFunction(_) => true,
                    other => is_large(other),
                })
            })?;
            Ok(match heavy {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })
    };
    plan.apply_with_subqueries(look).is_err() || heavy
}

fn is_large(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if is_large_value(value))
}

/// Whether it is not light to do something with a value.
pub(crate) fn is_large_value(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Utf8(Some(text)) => text.len() > LITERAL_LARGE,
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => {
            bytes.len() > LITERAL_LARGE
        }
        ScalarValue::List(list) => list.get_array_memory_size() > LITERAL_LARGE,
        _ => false,
    }
}
