//! Defaults as PostgreSQL prints them back: constants with their types, names with their schemas where they need it.
//!
//! Does not: know the types of operands. An expression that has operators is shown as it was written.

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};
use tidelog_storage::{Catalog, ColumnDef, ColumnType, ElementType};

use super::functions::name_parts;
use crate::ddl;
use crate::parse::{identifier, parse_expression};
use crate::text::{self, Style};
use crate::types;

/// What names mean where the text is shown.
pub(super) struct Names<'a> {
    /// A type as SQL names it.
    pub(super) type_name: &'a dyn Fn(ColumnType) -> String,
    /// The type that a statement names.
    pub(super) type_of: &'a dyn Fn(&DataType) -> Option<ColumnType>,
    /// A relation as SQL names it, of the name that is written in a statement.
    pub(super) relation: &'a dyn Fn(&str) -> String,
}

/// What pg_get_expr says of the default of a column of type `ty`, which was written so.
pub(super) fn default(written: &str, ty: ColumnType, names: &Names<'_>) -> String {
    let shown = parse_expression(written).map(|expr| top(&expr, Some(ty), names));
    shown.ok().flatten().unwrap_or_else(|| written.to_string())
}

/// An expression, read as a value of `target` where it is a bare literal; `None` for what is shown as it was written.
/// After get_rule_expr and get_const_expr in PostgreSQL's ruleutils.c.
fn top(expr: &Expr, target: Option<ColumnType>, names: &Names<'_>) -> Option<String> {
    match expr {
        Expr::Nested(inner) => top(inner, target, names),
        Expr::Value(value) => literal(&value.value, false, target, names),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match &**expr {
            Expr::Value(value) => literal(&value.value, true, target, names),
            _ => None,
        },
        Expr::Cast {
            expr, data_type, ..
        } => cast(expr, data_type, names),
        Expr::TypedString(typed) => {
            let ty = (names.type_of)(&typed.data_type)?;
            constant(&typed.value.value.clone().into_string()?, ty, names)
        }
        Expr::Interval(interval) => match &*interval.value {
            Expr::Value(value) if interval.leading_field.is_none() => constant(
                &value.value.clone().into_string()?,
                ColumnType::Interval,
                names,
            ),
            _ => None,
        },
        Expr::Array(array) => {
            let element = match target {
                Some(ColumnType::Array(element)) => Some(ColumnType::from(element)),
                _ => None,
            };
            let shown = |item: &Expr| top(item, Some(element.unwrap_or(ColumnType::Text)), names);
            let items = array.elem.iter().map(shown).collect::<Option<Vec<_>>>()?;
            // An empty one has a cast around it, which shows its type.
            Some(format!("ARRAY[{}]", items.join(", ")))
        }
        Expr::Function(function) => {
            let name = ddl::fold(function.name.0.last()?.as_ident()?);
            if function.filter.is_some() || function.over.is_some() {
                return None;
            }
            let arguments = match &function.args {
                FunctionArguments::None => return Some(name.to_uppercase()),
                FunctionArguments::List(list) if list.clauses.is_empty() => &list.args,
                _ => return None,
            };
            if ddl::sequence::is_draw(expr) {
                return Some(draw(&name, arguments, names));
            }
            let shown = |argument: &FunctionArg| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => {
                    top(argument, Some(ColumnType::Text), names)
                }
                _ => None,
            };
            let arguments = arguments.iter().map(shown).collect::<Option<Vec<_>>>()?;
            Some(format!("{name}({})", arguments.join(", ")))
        }
        _ => None,
    }
}

/// `nextval('relation'::regclass)`.
fn draw(function: &str, arguments: &[FunctionArg], names: &Names<'_>) -> String {
    let written = arguments
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let relation = written.split('\'').nth(1).unwrap_or_default();
    let relation = (names.relation)(relation);
    format!("{function}({}::regclass)", quoted(&relation))
}

fn literal(
    value: &Value,
    negative: bool,
    target: Option<ColumnType>,
    names: &Names<'_>,
) -> Option<String> {
    match value {
        Value::Boolean(value) => Some(value.to_string()),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) if !negative => {
            constant(text, target?, names)
        }
        Value::Number(digits, _) => {
            let text = format!("{}{digits}", if negative { "-" } else { "" });
            let ty = if text.parse::<i32>().is_ok() {
                ColumnType::Int4
            } else if text.parse::<i64>().is_ok() {
                ColumnType::Int8
            } else {
                ColumnType::Numeric(None)
            };
            Some(number(&text, ty, names))
        }
        _ => None,
    }
}

fn number(text: &str, ty: ColumnType, names: &Names<'_>) -> String {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let label = match ty {
        ColumnType::Int4 => !plain,
        ColumnType::Numeric(None) => !plain || !text.contains('.'),
        _ => true,
    };
    let bare = plain && matches!(ty, ColumnType::Int4 | ColumnType::Numeric(_));
    let shown = if bare { text.to_string() } else { quoted(text) };
    match label {
        true => format!("{shown}::{}", (names.type_name)(ty)),
        false => shown,
    }
}

/// A string literal as a value of a type.
fn constant(written: &str, ty: ColumnType, names: &Names<'_>) -> Option<String> {
    // The length of varchar and char is a coercion around the constant, which is not shown.
    let plain = match ty {
        ColumnType::Varchar(_) => ColumnType::Varchar(None),
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        other => other,
    };
    let value = text::parse(plain, written).ok()?;
    let mut shown = String::new();
    text::write(value.as_ref(), plain, Style::default(), &mut shown);
    Some(match plain {
        ColumnType::Bool => (if shown == "t" { "true" } else { "false" }).to_string(),
        ColumnType::Int4 | ColumnType::Numeric(None) => number(&shown, plain, names),
        ColumnType::Bpchar(None) => format!("{}::bpchar", quoted(&shown)),
        _ => format!("{}::{}", quoted(&shown), (names.type_name)(plain)),
    })
}

fn cast(inner: &Expr, data_type: &DataType, names: &Names<'_>) -> Option<String> {
    let ty = (names.type_of)(data_type)?;
    let shown = (names.type_name)(ty);
    Some(match inner {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                let constant = constant(text, ty, names)?;
                // With a length the coercion is one that was asked for.
                match ty {
                    ColumnType::Varchar(Some(_)) | ColumnType::Bpchar(Some(_)) => {
                        format!("{}::{shown}", constant.rsplit_once("::")?.0)
                    }
                    ColumnType::Numeric(Some(_)) => format!("{}::{shown}", quoted(text)),
                    _ => constant,
                }
            }
            Value::Null => format!("NULL::{shown}"),
            Value::Number(..) => {
                format!("({})::{shown}", literal(&value.value, false, None, names)?)
            }
            _ => return None,
        },
        Expr::Array(array) if array.elem.is_empty() => format!("ARRAY[]::{shown}"),
        Expr::Array(_) => top(inner, Some(ty), names)?,
        Expr::Function(_) => format!("({})::{shown}", top(inner, None, names)?),
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The default of a column, with names as a search path shows them.
pub(super) fn of_column(
    catalog: &Catalog,
    search_path: &[String],
    column: &ColumnDef,
) -> Option<String> {
    let qualified = |schema: &String, name: String| match search_path.contains(schema) {
        true => name,
        false => format!("{}.{name}", identifier(schema)),
    };
    let names = Names {
        type_name: &|ty| match ty {
            ColumnType::Enum(of) | ColumnType::Array(ElementType::Enum(of)) => {
                qualified(&of.definition().schema, types::name(ty))
            }
            ty => types::name(ty),
        },
        type_of: &|ty| {
            let user_types = |schema: Option<&str>, name: &str| {
                ddl::enums::find(catalog, search_path, schema, name)
            };
            types::column_type_among(ty, &user_types).ok()
        },
        relation: &|written| match name_parts(written).as_slice() {
            [schema, name] => qualified(schema, identifier(name)),
            parts => parts.join("."),
        },
    };
    let default = column.default.as_ref()?;
    Some(self::default(default, column.ty, &names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, ty: ColumnType, expected: &str) {
        let names = Names {
            type_name: &types::name,
            type_of: &|ty| types::column_type(ty).ok(),
            relation: &|name| name.to_string(),
        };
        assert_eq!(default(written, ty, &names), expected, "{written}");
    }

    /// What PostgreSQL 15 prints for each is in the compat tests.
    #[test]
    fn constants_have_their_types() {
        check("'x'", ColumnType::Text, "'x'::text");
        check(
            "'it''s'",
            ColumnType::Varchar(Some(9)),
            "'it''s'::character varying",
        );
        check("-1", ColumnType::Int8, "'-1'::integer");
        check("1.5", ColumnType::Numeric(Some((10, 2))), "1.5");
        check("'7'", ColumnType::Int4, "7");
        check("now()", ColumnType::TimestampTz, "now()");
        check(
            "nextval('a.s')",
            ColumnType::Int8,
            "nextval('a.s'::regclass)",
        );
        check("1 + 1", ColumnType::Int4, "1 + 1");
    }
}
