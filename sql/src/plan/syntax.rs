//! Functions with a syntax of their own: SUBSTRING … FROM, TRIM, LIKE … ESCAPE, EXTRACT.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    TrimWhereField, UnaryOperator, Value, ValueWithSpan,
};

use super::dialect::{call, take};
use crate::functions::call::of_list;
use crate::functions::regexp::LIKE_UNENDED;
use crate::parse::parse_expression;
use crate::system::pg_proc;

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
        Expr::IsNormalized {
            expr: value,
            form,
            negated,
        } => {
            let form = form.as_ref().map(|form| literal(form.to_string()));
            let args = std::iter::once(take(value)).chain(form);
            let test = call("is_normalized", args.collect());
            *expr = match negated {
                true => Expr::UnaryOp {
                    op: UnaryOperator::Not,
                    expr: Box::new(test),
                },
                false => test,
            };
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

/// Puts named arguments in their places, and what they are otherwise in those between that are left out.
pub(super) fn name_arguments(function: &mut Function) {
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
    let overloads = pg_proc::functions(of_list(&name).unwrap_or(&name));
    // What does not fit is left to be refused as it stands.
    if let Some(placed) = overloads.iter().find_map(|of| placed(&list.args, of)) {
        list.args = placed;
    }
}

/// Arguments in the places that a function has for them; `None` where they are not those of the function.
fn placed(args: &[FunctionArg], of: &pg_proc::Function) -> Option<Vec<FunctionArg>> {
    let mut places: Vec<Option<FunctionArgExpr>> = vec![None; of.argument_types.len()];
    for (at, arg) in args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Unnamed(value) => (at, value),
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg,
                ..
            }
            | FunctionArg::Named { name, arg, .. } => {
                let name = crate::ddl::fold(name);
                (of.names.iter().position(|known| *known == name)?, arg)
            }
            FunctionArg::ExprNamed { .. } => return None,
        };
        let slot = places.get_mut(place)?;
        if slot.replace(value.clone()).is_some() {
            return None;
        }
    }
    let last = places.iter().rposition(Option::is_some)?;
    let all_needed = (last + 1..places.len()).all(|place| of.default(place).is_some());
    places.truncate(last + 1);
    let value = |(place, given): (usize, Option<FunctionArgExpr>)| match given {
        Some(value) => Some(FunctionArg::Unnamed(value)),
        None => {
            let default = parse_expression(of.default(place)?).ok()?;
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(default)))
        }
    };
    let args = places.into_iter().enumerate().map(value).collect();
    if all_needed { args } else { None }
}

/// What stands behind ESCAPE: a text, NULL or a parameter.
fn escape_of(escape: ValueWithSpan) -> Expr {
    match escape.value.clone().into_string() {
        Some(text) => literal(text),
        // A parameter or NULL.
        None => Expr::Value(escape),
    }
}
