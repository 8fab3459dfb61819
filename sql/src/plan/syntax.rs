//! Functions with a syntax of their own: SUBSTRING … FROM, TRIM, LIKE … ESCAPE, EXTRACT.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    TrimWhereField, UnaryOperator, Value, ValueWithSpan,
};

use super::dialect::{call, take};
use crate::functions::regexp::LIKE_UNENDED;

fn literal(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).into())
}

fn number(value: i32) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// Whether a pattern ends in a backslash that escapes nothing.
fn is_unended(pattern: &Expr) -> bool {
    let Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(pattern),
        ..
    }) = pattern
    else {
        return false;
    };
    let backslashes = pattern.chars().rev().take_while(|c| *c == '\\');
    backslashes.count() % 2 == 1
}

/// Writes these as calls of functions; leaves others as they are.
pub(super) fn as_function(expr: &mut Expr) {
    match expr {
        Expr::Like {
            pattern,
            escape_char: escape @ Some(_),
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char: escape @ Some(_),
            ..
        } => {
            let escape = escape.take().map(escape_of);
            let args = std::iter::once(take(pattern)).chain(escape);
            **pattern = call("like_escape", args.collect());
        }
        Expr::Like {
            negated,
            expr: value,
            pattern,
            any: false,
            escape_char: None,
        }
        | Expr::ILike {
            negated,
            expr: value,
            pattern,
            any: false,
            escape_char: None,
        } if is_unended(pattern) => {
            let negated = *negated;
            let args = vec![take(value), take(pattern)];
            let ignores_case = matches!(expr, Expr::ILike { .. });
            let args = args.into_iter().map(|arg| match ignores_case {
                true => call("lower", vec![arg]),
                false => arg,
            });
            let like = call(LIKE_UNENDED, args.collect());
            *expr = match negated {
                true => Expr::UnaryOp {
                    op: UnaryOperator::Not,
                    expr: Box::new(like),
                },
                false => like,
            };
        }
        Expr::SimilarTo {
            negated,
            expr: value,
            pattern,
            escape_char,
        } => {
            let name = if *negated { "!~" } else { "~" };
            let escape = escape_char.take().map(escape_of);
            let args = std::iter::once(take(pattern)).chain(escape);
            let pattern = call("similar_to_escape", args.collect());
            *expr = call(name, vec![take(value), pattern]);
        }
        Expr::Substring {
            expr: value,
            substring_from,
            substring_for,
            shorthand,
            ..
        } => {
            let name = if *shorthand { "substr" } else { "substring" };
            let mut args = vec![take(value)];
            match (substring_from, substring_for) {
                (None, Some(count)) => args.extend([number(1), take(count)]),
                (from, count) => {
                    args.extend(from.iter_mut().chain(count).map(|arg| take(arg)));
                }
            }
            *expr = call(name, args);
        }
        Expr::Trim {
            trim_where,
            trim_what,
            expr: value,
            trim_characters,
        } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                Some(TrimWhereField::Both) | None => "btrim",
            };
            let mut args = vec![take(value)];
            args.extend(trim_what.iter_mut().map(|what| take(what)));
            args.extend(trim_characters.take().into_iter().flatten());
            *expr = call(name, args);
        }
        Expr::Overlay {
            expr: value,
            overlay_what,
            overlay_from,
            overlay_for,
        } => {
            let mut args = vec![take(value), take(overlay_what), take(overlay_from)];
            args.extend(overlay_for.iter_mut().map(|count| take(count)));
            *expr = call("overlay", args);
        }
        Expr::Position {
            expr: wanted,
            r#in: value,
        } => *expr = call("position", vec![take(value), take(wanted)]),
        Expr::Extract {
            field, expr: value, ..
        } => {
            let field = field.to_string();
            let field = field.trim_matches(['\'', '"']).to_lowercase();
            *expr = call("extract", vec![literal(field), take(value)]);
        }
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Overlaps,
            right,
        } => {
            if let (Expr::Tuple(left), Expr::Tuple(right)) = (&mut **left, &mut **right)
                && (left.len(), right.len()) == (2, 2)
            {
                let args = left.iter_mut().chain(right).map(take);
                *expr = call("overlaps", args.collect());
            }
        }
        Expr::Function(function) => name_arguments(function),
        Expr::Ceil { expr: value, .. } => *expr = call("ceil", vec![take(value)]),
        Expr::Floor { expr: value, .. } => *expr = call("floor", vec![take(value)]),
        _ => {}
    }
}

/// The parameters of functions whose arguments may be named.
fn parameters(function: &str) -> Option<&'static [&'static str]> {
    Some(match function {
        "make_interval" => &["years", "months", "weeks", "days", "hours", "mins", "secs"],
        "make_date" => &["year", "month", "day"],
        "make_time" => &["hour", "min", "sec"],
        "make_timestamp" => &["year", "month", "mday", "hour", "min", "sec"],
        "make_timestamptz" => &["year", "month", "mday", "hour", "min", "sec", "timezone"],
        _ => return None,
    })
}

/// Puts named arguments in their places; make_interval's are 0 where they are left out.
fn name_arguments(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    let is_named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
    if !list.args.iter().any(is_named) {
        return;
    }
    let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) else {
        return;
    };
    let name = crate::ddl::fold(name);
    let Some(parameters) = parameters(&name) else {
        return;
    };
    let mut places: Vec<Option<FunctionArgExpr>> = vec![None; parameters.len()];
    for (at, arg) in list.args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Unnamed(value) => (Some(at), value),
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg,
                ..
            }
            | FunctionArg::Named { name, arg, .. } => {
                let name = crate::ddl::fold(name);
                (parameters.iter().position(|known| *known == name), arg)
            }
            FunctionArg::ExprNamed { .. } => return,
        };
        // What does not fit is left to be refused as it stands.
        match place.and_then(|place| places.get_mut(place)) {
            Some(slot) if slot.is_none() => *slot = Some(value.clone()),
            _ => return,
        }
    }
    if name == "make_interval" {
        let zero = FunctionArgExpr::Expr(number(0));
        places.iter_mut().for_each(|place| {
            place.get_or_insert_with(|| zero.clone());
        });
    }
    let given = places.iter().filter(|place| place.is_some()).count();
    // Gaps are only at the end.
    if places.iter().take(given).all(Option::is_some) {
        list.args = places
            .into_iter()
            .flatten()
            .map(FunctionArg::Unnamed)
            .collect();
    }
}

fn escape_of(escape: ValueWithSpan) -> Expr {
    match escape.value.into_string() {
        Some(text) => literal(text),
        None => literal(""),
    }
}
