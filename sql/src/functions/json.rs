//! Operators and functions of json and jsonb, on their text.

mod edit;
mod parameters;
pub(crate) mod record;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::ColumnBuilder;
use tidelog_storage::{ColumnType, Datum, DatumRef, ElementType, Elements, PrintedType};

use super::call as overloads;
use crate::error::{ErrorKind, SqlError};
use crate::json::{key, write_lines, write_string, write_value};
use crate::output;
use crate::query_memory::Made;
use crate::text::Style;
use crate::text::jsonb::scan::{self, Kind};
use crate::text::jsonb::{canonical, object};

pub(crate) use parameters::{parameters, takes};

/// What stands before a row or an array that is an element of `json_agg`.
pub(crate) const NEW_LINE: &str = "\n ";

/// The type of paths.
pub(crate) const JSONPATH: ColumnType = ColumnType::Printed(PrintedType::Jsonpath);

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Op {
    /// `->` and, as text, `->>`
    Get {
        text: bool,
    },
    /// `#>` and `#>>`
    Path {
        text: bool,
    },
    Contains,
    ContainedBy,
    Exists,
    ExistsAny,
    ExistsAll,
    Concat,
    Delete,
    DeletePath,
    Typeof,
    ArrayLength,
    BuildObject,
    BuildArray,
    ToJson,
    /// The same as an element of `json_agg`, where rows and arrays begin lines.
    Element,
    StripNulls,
    Pretty,
    Set,
    /// `jsonb_set_lax`, which says what a NULL means.
    SetLax,
    Insert,
    /// `SET column[…] = …`: of the column, the value, whether its first subscript is an integer, and its subscripts.
    Assign,
    /// The elements of an array, as an array of SQL.
    Elements {
        text: bool,
    },
    /// The keys of an object, as an array of SQL.
    Keys,
    /// The values of an object, as an array of SQL.
    Values {
        text: bool,
    },
    /// An array of SQL as one of json (`json_agg`).
    ArrayOf,
    /// Two arrays of SQL as an object (`json_object_agg`).
    ObjectOf,
    /// A value as the text that it is as the key of an object.
    Key,
    /// One or two arrays of SQL as an object of texts (`json_object`).
    Object,
}

/// The function of an operator between json and something else; `None` when it is none of json's.
pub(crate) fn operator(
    op: &BinaryOperator,
    left: ColumnType,
    right: Option<ColumnType>,
    style: Style,
) -> Option<Arc<ScalarUDF>> {
    let jsonb = match left {
        ColumnType::Jsonb => true,
        ColumnType::Json => false,
        _ => return None,
    };
    match op {
        BinaryOperator::AtQuestion if jsonb => {
            return overloads::named("jsonb_path_exists_opr", style);
        }
        BinaryOperator::AtAt if jsonb => return overloads::named("jsonb_path_match_opr", style),
        _ => {}
    }
    let op = match op {
        BinaryOperator::Arrow => Op::Get { text: false },
        BinaryOperator::LongArrow => Op::Get { text: true },
        BinaryOperator::HashArrow => Op::Path { text: false },
        BinaryOperator::HashLongArrow => Op::Path { text: true },
        _ if !jsonb => return None,
        BinaryOperator::AtArrow => Op::Contains,
        BinaryOperator::ArrowAt => Op::ContainedBy,
        BinaryOperator::Question => Op::Exists,
        BinaryOperator::QuestionPipe => Op::ExistsAny,
        BinaryOperator::QuestionAnd => Op::ExistsAll,
        BinaryOperator::HashMinus => Op::DeletePath,
        BinaryOperator::Minus => Op::Delete,
        BinaryOperator::StringConcat if matches!(right, None | Some(ColumnType::Jsonb)) => {
            Op::Concat
        }
        _ => return None,
    };
    Some(udf("?column?", op, jsonb, style))
}

/// The type that an operator wants of a bare literal or an untyped parameter on its right.
pub(crate) fn operand(op: &BinaryOperator) -> ColumnType {
    match op {
        BinaryOperator::HashArrow
        | BinaryOperator::HashLongArrow
        | BinaryOperator::HashMinus
        | BinaryOperator::QuestionPipe
        | BinaryOperator::QuestionAnd => ColumnType::Array(ElementType::Text),
        BinaryOperator::AtArrow | BinaryOperator::ArrowAt | BinaryOperator::StringConcat => {
            ColumnType::Jsonb
        }
        BinaryOperator::AtQuestion | BinaryOperator::AtAt => JSONPATH,
        _ => ColumnType::Text,
    }
}

/// The function with this name.
pub(crate) fn function(name: &str, style: Style) -> Option<Arc<ScalarUDF>> {
    let (jsonb, rest) = match name.strip_prefix("jsonb_") {
        Some(rest) => (true, rest),
        None => (false, name.strip_prefix("json_").unwrap_or(name)),
    };
    let op = match (rest, name) {
        (_, "to_json" | "array_to_json") => return Some(udf(name, Op::ToJson, false, style)),
        (_, "json_key") => Op::Key,
        (_, "json_element") => return Some(udf(name, Op::Element, false, style)),
        (_, "to_jsonb") => return Some(udf(name, Op::ToJson, true, style)),
        ("typeof", _) => Op::Typeof,
        ("array_length", _) => Op::ArrayLength,
        ("build_object", _) => Op::BuildObject,
        ("build_array", _) => Op::BuildArray,
        ("strip_nulls", _) => Op::StripNulls,
        ("pretty", _) => Op::Pretty,
        ("extract_path", _) => Op::Path { text: false },
        ("extract_path_text", _) => Op::Path { text: true },
        ("array_element" | "object_field", _) => Op::Get { text: false },
        ("array_element_text" | "object_field_text", _) => Op::Get { text: true },
        ("concat", _) if jsonb => Op::Concat,
        ("contains", _) if jsonb => Op::Contains,
        ("contained", _) if jsonb => Op::ContainedBy,
        ("exists", _) if jsonb => Op::Exists,
        ("exists_any", _) if jsonb => Op::ExistsAny,
        ("exists_all", _) if jsonb => Op::ExistsAll,
        ("delete", _) if jsonb => Op::Delete,
        ("delete_path", _) if jsonb => Op::DeletePath,
        ("object", _) => Op::Object,
        ("set", _) if jsonb => Op::Set,
        ("set_lax", _) if jsonb => Op::SetLax,
        ("insert", _) if jsonb => Op::Insert,
        ("assigned", super::ASSIGNED) | ("slice_assigned", super::SLICE_ASSIGNED) => Op::Assign,
        ("list_of_elements", _) => Op::Elements { text: false },
        ("list_of_elements_text", _) => Op::Elements { text: true },
        ("list_of_keys" | "list_of_each_keys" | "list_of_each_text_keys", _) => Op::Keys,
        ("list_of_values", _) => Op::Values { text: false },
        ("list_of_values_text", _) => Op::Values { text: true },
        ("array_of", _) => Op::ArrayOf,
        ("object_of", _) => Op::ObjectOf,
        _ => return None,
    };
    name.starts_with("json")
        .then(|| udf(name, op, jsonb, style))
}

/// A call of a function.
pub(crate) fn call(function: Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

fn udf(name: &str, op: Op, jsonb: bool, style: Style) -> Arc<ScalarUDF> {
    // What finds something in a value is the same function whatever the settings are.
    let style = match op {
        Op::Typeof | Op::ArrayLength | Op::Path { .. } | Op::Get { .. } => Style::default(),
        Op::Contains | Op::ContainedBy | Op::Exists | Op::ExistsAny | Op::ExistsAll => {
            Style::default()
        }
        _ => style,
    };
    Arc::new(ScalarUDF::from(JsonFunction {
        name: name.to_string(),
        op,
        jsonb,
        style,
        signature: match op {
            Op::BuildArray | Op::BuildObject => Signature::one_of(
                vec![
                    datafusion::logical_expr::TypeSignature::Nullary,
                    datafusion::logical_expr::TypeSignature::VariadicAny,
                ],
                Volatility::Stable,
            ),
            _ => Signature::variadic_any(Volatility::Immutable),
        },
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    name: String,
    op: Op,
    jsonb: bool,
    style: Style,
    signature: Signature,
}

/// An argument in one row.
struct Arg<'a> {
    value: DatumRef<'a>,
    ty: ColumnType,
}

impl<'a> Arg<'a> {
    fn text(&self) -> Option<&'a str> {
        match self.value {
            DatumRef::Text(text) => Some(text),
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self.value {
            DatumRef::Int2(v) => Some(v.into()),
            DatumRef::Int4(v) => Some(v.into()),
            DatumRef::Int8(v) => Some(v),
            _ => None,
        }
    }

    fn texts(&self) -> Vec<Option<String>> {
        let mut texts = Vec::new();
        if let Some(elements) = self.value.elements() {
            elements.for_each(|element| {
                texts.push(match element {
                    Some(DatumRef::Text(text)) => Some(text.to_string()),
                    _ => None,
                });
            });
        }
        texts
    }
}

fn refused(message: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

/// `json #- path`
fn delete_path(json: &str, steps: &[Option<String>]) -> std::result::Result<Datum, SqlError> {
    if scan::kind(json).is_scalar() {
        return Err(refused("cannot delete path in scalar"));
    }
    Ok(Datum::Text(match scan::is_empty(json) {
        true => json.to_string(),
        false => edit::delete_path(json, edit::Path::new(steps))?,
    }))
}

/// `jsonb_set`
fn set(
    json: &str,
    steps: &[Option<String>],
    value: &str,
    create: bool,
) -> std::result::Result<Datum, SqlError> {
    if scan::kind(json).is_scalar() {
        return Err(refused("cannot set path in scalar"));
    }
    Ok(Datum::Text(match scan::is_empty(json) && !create {
        true => json.to_string(),
        false => edit::set(json, edit::Path::new(steps), value, create)?,
    }))
}

impl JsonFunction {
    /// The type of json that it is of.
    fn json(&self) -> ColumnType {
        match self.jsonb {
            true => ColumnType::Jsonb,
            false => ColumnType::Json,
        }
    }

    fn result_type(&self) -> ColumnType {
        let json = self.json();
        let list = |text: bool| match (text, self.jsonb) {
            (true, _) => ColumnType::Array(ElementType::Text),
            (false, true) => ColumnType::Array(ElementType::Jsonb),
            (false, false) => ColumnType::Array(ElementType::Json),
        };
        match self.op {
            Op::Get { text: true } | Op::Path { text: true } => ColumnType::Text,
            Op::Typeof | Op::Pretty | Op::Key => ColumnType::Text,
            Op::Contains | Op::ContainedBy | Op::Exists | Op::ExistsAny | Op::ExistsAll => {
                ColumnType::Bool
            }
            Op::ArrayLength => ColumnType::Int4,
            Op::Keys => list(true),
            Op::Elements { text } | Op::Values { text } => list(text),
            _ => json,
        }
    }

    /// The value of an argument as json.
    fn json_of(&self, arg: &Arg<'_>) -> std::result::Result<String, SqlError> {
        let mut out = String::new();
        write_value(arg.value, arg.ty, self.style, ",", &mut out);
        match self.jsonb {
            true => canonical(&out),
            false => Ok(out),
        }
    }

    fn eval(&self, args: &[Arg<'_>]) -> std::result::Result<Datum, SqlError> {
        let strict = !matches!(
            self.op,
            Op::BuildObject | Op::BuildArray | Op::ObjectOf | Op::SetLax | Op::Assign
        );
        if strict && args.iter().any(|arg| arg.value == DatumRef::Null) {
            return Ok(Datum::Null);
        }
        let json = args.first().and_then(Arg::text).unwrap_or_default();
        let text = |value: Option<String>| value.map_or(Datum::Null, Datum::Text);
        let raw = |value: Option<&str>, as_text: bool| match (value, as_text) {
            (None, _) => Datum::Null,
            (Some(value), false) => Datum::Text(value.to_string()),
            (Some(value), true) => text(scan::as_text(value)),
        };
        let has = |key: &str| match scan::kind(json) {
            Kind::Object => scan::member(json, key).is_some(),
            Kind::Array => scan::elements(json).iter().any(|element| {
                scan::kind(element) == Kind::String && scan::unquoted(element) == key
            }),
            Kind::String => scan::unquoted(json) == key,
            _ => false,
        };
        Ok(match self.op {
            Op::Get { text } => {
                let found = match (scan::kind(json), args[1].text(), args[1].integer()) {
                    (Kind::Object, Some(key), _) => scan::member(json, key),
                    (Kind::Array, _, Some(index)) => scan::element(json, index),
                    // jsonb keeps a scalar as the one element of an array.
                    (kind, _, Some(0 | -1)) if self.jsonb && kind.is_scalar() => Some(json),
                    _ => None,
                };
                raw(found, text)
            }
            Op::Path { text } => {
                let steps = match args[1].value {
                    DatumRef::Array(_) | DatumRef::Shaped(..) => args[1].texts(),
                    _ => args[1..]
                        .iter()
                        .map(|arg| arg.text().map(str::to_string))
                        .collect(),
                };
                let mut at = Some(scan::trim(json));
                for step in &steps {
                    at = match (at, step) {
                        (Some(json), Some(step)) => match scan::kind(json) {
                            Kind::Object => scan::member(json, step),
                            Kind::Array => step
                                .parse()
                                .ok()
                                .and_then(|index| scan::element(json, index)),
                            _ => None,
                        },
                        _ => None,
                    };
                }
                raw(at, text)
            }
            Op::Contains => Datum::Bool(scan::contains(json, args[1].text().unwrap_or_default())),
            Op::ContainedBy => {
                Datum::Bool(scan::contains(args[1].text().unwrap_or_default(), json))
            }
            Op::Exists => Datum::Bool(has(args[1].text().unwrap_or_default())),
            Op::ExistsAny => Datum::Bool(args[1].texts().iter().flatten().any(|key| has(key))),
            Op::ExistsAll => Datum::Bool(args[1].texts().iter().flatten().all(|key| has(key))),
            Op::Typeof => Datum::Text(scan::kind(json).name().to_string()),
            Op::ArrayLength => match scan::kind(json) {
                Kind::Array => Datum::Int4(scan::elements(json).len() as i32),
                kind if kind.is_scalar() => {
                    return Err(refused("cannot get array length of a scalar"));
                }
                _ => return Err(refused("cannot get array length of a non-array")),
            },
            Op::Elements { text } => {
                if scan::kind(json) != Kind::Array {
                    let is_object = scan::kind(json) == Kind::Object;
                    if self.jsonb {
                        let what = if is_object { "an object" } else { "a scalar" };
                        return Err(refused(&format!("cannot extract elements from {what}")));
                    }
                    let name = match text {
                        true => "json_array_elements_text",
                        false => "json_array_elements",
                    };
                    let what = if is_object { "non-array" } else { "scalar" };
                    return Err(refused(&format!("cannot call {name} on a {what}")));
                }
                let elements = scan::elements(json);
                Datum::Array(elements.into_iter().map(|e| raw(Some(e), text)).collect())
            }
            Op::Keys | Op::Values { .. } => {
                if scan::kind(json) != Kind::Object {
                    let is_array = scan::kind(json) == Kind::Array;
                    let what = if is_array { "an array" } else { "a scalar" };
                    let called = parameters(&self.name).map(|of| of.name);
                    let called = called.unwrap_or_default();
                    return Err(refused(
                        &match (called.ends_with("object_keys"), self.jsonb) {
                            (true, _) => format!("cannot call {called} on {what}"),
                            (false, true) => format!("cannot call {called} on a non-object"),
                            (false, false) if is_array => {
                                "cannot deconstruct an array as an object".to_string()
                            }
                            (false, false) => "cannot deconstruct a scalar".to_string(),
                        },
                    ));
                }
                let members = scan::members(json).into_iter();
                Datum::Array(match self.op {
                    Op::Values { text } => members.map(|(_, v)| raw(Some(v), text)).collect(),
                    _ => members.map(|(key, _)| Datum::Text(key)).collect(),
                })
            }
            Op::ToJson => Datum::Text(match args.get(1).map(|pretty| pretty.value) {
                // Each element on a line of its own, or each array of several dimensions.
                Some(DatumRef::Bool(true)) => {
                    let mut out = String::new();
                    write_lines(args[0].value, args[0].ty, self.style, &mut out);
                    out
                }
                _ => self.json_of(&args[0])?,
            }),
            Op::Element => {
                let json = self.json_of(&args[0])?;
                Datum::Text(match args[0].ty {
                    ty if ty.elements().is_some() => format!("{NEW_LINE}{json}"),
                    _ => json,
                })
            }
            Op::BuildArray => {
                let elements = args.iter().map(|arg| self.json_of(arg));
                let elements = elements.collect::<std::result::Result<Vec<_>, _>>()?;
                Datum::Text(format!("[{}]", elements.join(", ")))
            }
            Op::BuildObject => self.build_object(args)?,
            Op::ArrayOf => {
                let elements = args[0].value.elements().map(Elements::to_vec);
                let elements = elements.unwrap_or_default();
                let ty = args[0].ty.elements().map_or(args[0].ty, ColumnType::from);
                let elements = elements.iter().map(|element| {
                    let value = element.as_ref();
                    match value {
                        DatumRef::Text(json) if ty == self.json() => Ok(json.to_string()),
                        value => self.json_of(&Arg { value, ty }),
                    }
                });
                let elements = elements.collect::<std::result::Result<Vec<_>, _>>()?;
                let elements = elements.join(", ");
                // Nothing stands before the first.
                let elements = elements.strip_prefix(NEW_LINE).unwrap_or(&elements);
                Datum::Text(format!("[{elements}]"))
            }
            Op::Key => Datum::Text(key(args[0].value, args[0].ty, self.style)),
            Op::ObjectOf => self.object_of(&args[0], &args[1])?,
            Op::Concat => Datum::Text(edit::concat(json, args[1].text().unwrap_or_default())?),
            Op::Delete => Datum::Text(match args[1].integer() {
                Some(index) => edit::delete_index(json, index)?,
                None => {
                    let keys = args[1..].iter().flat_map(|arg| match arg.text() {
                        Some(key) => vec![Some(key.to_string())],
                        None => arg.texts(),
                    });
                    edit::delete_keys(json, &keys.flatten().collect::<Vec<_>>())?
                }
            }),
            Op::DeletePath => return delete_path(json, &args[1].texts()),
            Op::Object => self.object(args)?,
            Op::SetLax => return self.set_lax(args),
            Op::Assign => {
                let [column, value, of_array, subscripts @ ..] = args else {
                    return Err(refused("an assignment to nothing"));
                };
                let steps = subscripts.iter().map(|of| of.text().map(str::to_string));
                let steps: Vec<_> = steps.collect();
                if steps.contains(&None) {
                    let message = "jsonb subscript in assignment must not be null";
                    return Err(SqlError::new(ErrorKind::NullValueNotAllowed, message));
                }
                let json = match (column.text(), of_array.value) {
                    (Some(json), _) => json,
                    (None, DatumRef::Bool(true)) => "[]",
                    (None, _) => "{}",
                };
                let value = value.text().unwrap_or("null");
                Datum::Text(edit::assign(json, edit::Path::new(&steps), value)?)
            }
            Op::Set | Op::Insert => {
                let steps = args[1].texts();
                let value = args[2].text().unwrap_or_default();
                let flag = match args.get(3).map(|arg| arg.value) {
                    Some(DatumRef::Bool(flag)) => flag,
                    _ => self.op == Op::Set,
                };
                if self.op == Op::Set {
                    return set(json, &steps, value, flag);
                }
                if scan::kind(json).is_scalar() {
                    return Err(refused("cannot set path in scalar"));
                }
                Datum::Text(edit::insert(json, edit::Path::new(&steps), value, flag)?)
            }
            Op::StripNulls => Datum::Text(edit::strip_nulls(json, self.jsonb)),
            Op::Pretty => Datum::Text(edit::pretty(json)),
        })
    }

    fn build_object(&self, args: &[Arg<'_>]) -> std::result::Result<Datum, SqlError> {
        if !args.len().is_multiple_of(2) {
            let error = refused("argument list must have even number of elements");
            let hint = match self.jsonb {
                true => {
                    "The arguments of jsonb_build_object() must consist of alternating keys and values."
                }
                false => {
                    "The arguments of json_build_object() must consist of alternating keys and values."
                }
            };
            return Err(error.hint(hint));
        }
        let mut members = Vec::new();
        for (at, pair) in args.chunks(2).enumerate() {
            if pair[0].value == DatumRef::Null {
                return Err(match self.jsonb {
                    true => refused(&format!("argument {}: key must not be null", at * 2 + 1)),
                    false => refused("null value not allowed for object key"),
                });
            }
            let key = key(pair[0].value, pair[0].ty, self.style);
            members.push((key, self.json_of(&pair[1])?));
        }
        Ok(Datum::Text(self.written(members, "{", "}")))
    }

    fn object_of(&self, keys: &Arg<'_>, values: &Arg<'_>) -> std::result::Result<Datum, SqlError> {
        if keys.value == DatumRef::Null {
            return Ok(Datum::Null);
        }
        let values = values.texts();
        let mut members = Vec::new();
        for (key, value) in keys.texts().into_iter().zip(values) {
            let Some(key) = key else {
                return Err(refused("field name must not be null"));
            };
            members.push((key, value.unwrap_or_else(|| "null".to_string())));
        }
        Ok(Datum::Text(self.written(members, "{ ", " }")))
    }

    /// An object of texts: of pairs of them, or of names and values.
    fn object(&self, args: &[Arg<'_>]) -> std::result::Result<Datum, SqlError> {
        let wrong = |message: &str| SqlError::new(ErrorKind::ArraySubscriptError, message);
        let dimensions: Vec<_> = args.iter().map(|arg| arg.value.dimensions()).collect();
        let (keys, values): (Vec<_>, Vec<_>) = match args {
            [] => return Err(refused("an object of nothing")),
            [pairs] => {
                let mut texts = pairs.texts();
                match dimensions[0].as_slice() {
                    [_, of] if of.length != 2 => return Err(wrong("array must have two columns")),
                    [_, _, _, ..] => return Err(wrong("wrong number of array subscripts")),
                    _ => {}
                }
                if !texts.len().is_multiple_of(2) {
                    return Err(wrong("array must have even number of elements"));
                }
                let pairs = texts.chunks_mut(2);
                pairs.map(|pair| (pair[0].take(), pair[1].take())).unzip()
            }
            _ if dimensions[0].len() > 1 || dimensions[0].len() != dimensions[1].len() => {
                return Err(wrong("wrong number of array subscripts"));
            }
            [keys, values, ..] => (keys.texts(), values.texts()),
        };
        if keys.len() != values.len() {
            return Err(wrong("mismatched array dimensions"));
        }
        let mut members = Vec::new();
        for (key, value) in keys.into_iter().zip(values) {
            let key = key.ok_or_else(|| {
                let message = "null value not allowed for object key";
                SqlError::new(ErrorKind::NullValueNotAllowed, message)
            })?;
            let mut shown = String::new();
            match value {
                Some(value) => write_string(&value, &mut shown),
                None => shown.push_str("null"),
            }
            members.push((key, shown));
        }
        Ok(Datum::Text(self.written(members, "{", "}")))
    }

    fn set_lax(&self, args: &[Arg<'_>]) -> std::result::Result<Datum, SqlError> {
        let [json, path, value, options @ ..] = args else {
            return Err(refused("jsonb_set_lax of too little"));
        };
        let is_null = |arg: &Arg<'_>| arg.value == DatumRef::Null;
        let create = match options.first().map(|arg| arg.value) {
            Some(DatumRef::Bool(create)) => Some(create),
            Some(_) => None,
            None => Some(true),
        };
        let Some(create) = create.filter(|_| !is_null(json) && !is_null(path)) else {
            return Ok(Datum::Null);
        };
        let treatment = options.get(1).map_or(Some("use_json_null"), Arg::text);
        let json = json.text().unwrap_or_default();
        let steps = path.texts();
        let value = match (treatment, value.text()) {
            (Some(_), Some(value)) => value,
            (Some("use_json_null"), None) => "null",
            (Some("delete_key"), None) => return delete_path(json, &steps),
            (Some("return_target"), None) => return Ok(Datum::Text(json.to_string())),
            (Some("raise_exception"), None) => {
                let message = "JSON value must not be null";
                let error = SqlError::new(ErrorKind::NullValueNotAllowed, message);
                return Err(error
                    .detail("Exception was raised because null_value_treatment is \"raise_exception\".")
                    .hint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed."));
            }
            _ => {
                return Err(refused(
                    "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
                ));
            }
        };
        set(json, &steps, value, create)
    }

    /// An object's text; as PostgreSQL spaces those of type json.
    fn written(&self, members: Vec<(String, String)>, open: &str, close: &str) -> String {
        if self.jsonb {
            return object(members);
        }
        let mut out = open.to_string();
        for (at, (key, value)) in members.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            write_string(key, &mut out);
            out.push_str(" : ");
            out.push_str(value);
        }
        out.push_str(close);
        out
    }

    fn apply(
        &self,
        arrays: &[ArrayRef],
        types: &[ColumnType],
        rows: usize,
        mut made: Made<'_>,
    ) -> Result<ArrayRef> {
        let mut builder = ColumnBuilder::new(self.result_type());
        for row in 0..rows {
            let args = arrays.iter().zip(types).map(|(array, ty)| {
                let value = match array.data_type() {
                    DataType::Null => DatumRef::Null,
                    _ => super::value_at(array.as_ref(), row).ok_or_else(|| {
                        let message = format!("{} of {}", self.name, array.data_type());
                        DataFusionError::NotImplemented(message)
                    })?,
                };
                Ok(Arg { value, ty: *ty })
            });
            let args = args.collect::<Result<Vec<_>>>()?;
            let value = self
                .eval(&args)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            made.count(&value)?;
            builder.append(value.as_ref());
        }
        made.kept(builder.finish())
    }
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result_type().arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        // Of what was a row only the text is left.
        let makes = matches!(
            self.op,
            Op::ToJson | Op::Element | Op::BuildObject | Op::BuildArray
        );
        if makes && args.arg_fields.iter().any(|field| output::is_record(field)) {
            let what = SqlError::unsupported("json of a row that a subquery gives");
            return Err(DataFusionError::External(Box::new(what)));
        }
        Ok(Arc::new(self.result_type().field(&self.name, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let external = |error: SqlError| DataFusionError::External(Box::new(error));
        let types = args
            .arg_fields
            .iter()
            .map(|field| output::column_type(field).map_err(external))
            .collect::<Result<Vec<_>>>()?;
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .zip(&types)
            .map(|(arg, ty)| {
                let array = match arg {
                    ColumnarValue::Array(array) => array.clone(),
                    ColumnarValue::Scalar(value) => value.to_array()?,
                };
                match array.data_type() {
                    DataType::Null => Ok(array),
                    _ => output::conform(&array, *ty).map_err(external),
                }
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let result = self.apply(&arrays, &types, rows, Made::new(&args.config_options))?;
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}
