//! Operators and functions of arrays where DataFusion's are missing or count otherwise: ANY and ALL, subscripts,
//! lengths as integers, NULL for what is outside.

mod compared;
pub(crate) mod dimensions;

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::{self, ColumnBuilder};
use tidelog_storage::{ColumnType, Datum, DatumRef, Dimension, ElementType, Elements};

use crate::error::{ErrorKind, SqlError};
use crate::lists_apart;
use crate::query_memory::Made;
use crate::{output, text};

use super::call;
pub(crate) use compared::compare;
use compared::same;
use dimensions::{Bounds, Parts};

/// How an operand is compared with each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Comparison {
    const ALL: [(Comparison, BinaryOperator, &'static str); 6] = [
        (Comparison::Eq, BinaryOperator::Eq, "eq"),
        (Comparison::NotEq, BinaryOperator::NotEq, "ne"),
        (Comparison::Lt, BinaryOperator::Lt, "lt"),
        (Comparison::LtEq, BinaryOperator::LtEq, "le"),
        (Comparison::Gt, BinaryOperator::Gt, "gt"),
        (Comparison::GtEq, BinaryOperator::GtEq, "ge"),
    ];

    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Eq => order.is_eq(),
            Comparison::NotEq => order.is_ne(),
            Comparison::Lt => order.is_lt(),
            Comparison::LtEq => order.is_le(),
            Comparison::Gt => order.is_gt(),
            Comparison::GtEq => order.is_ge(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Op {
    /// `x op ANY (array)`
    Any(Comparison),
    /// `x op ALL (array)`
    All(Comparison),
    /// `array[index]`, with an index of each dimension.
    Element,
    /// `array[from:to]`, with two bounds of each dimension, of which a boolean stands for one that is left out.
    Slice,
    /// The elements of an array of any shape, as an array of one dimension.
    Flat,
    /// The same, of an array that is one of one dimension which begins at 1 already.
    Plain,
    /// `ARRAY[…]` of arrays.
    Stacked,
    Append,
    Prepend,
    Joined,
    /// The array, or one without elements for NULL (`ARRAY(SELECT …)`).
    OrEmpty,
    /// Texts with another before each of them; none where there is no array.
    Prefixed,
    Length,
    Upper,
    Lower,
    Dimensions,
    Cardinality,
    Position,
    Positions,
    Remove,
    Trim,
    Replace,
    Overlaps,
    Contains,
    Subscripts,
    /// `array_fill(value, dimensions)`
    Fill,
    /// An array, a value and subscripts: the array with the value there, as `SET array[index] = value` gives it.
    Assign,
    /// The same of a slice, with an array of its elements.
    AssignSlice,
    /// The bounds as text.
    Dims,
}

/// The name of the function that a quantified comparison is planned as; `None` for an operator that is none.
pub(crate) fn quantified(op: &BinaryOperator, all: bool) -> Option<String> {
    let known = Comparison::ALL.iter().find(|(_, known, _)| known == op)?;
    let quantifier = if all { "all" } else { "any" };
    Some(format!("pg_{quantifier}_{}", known.2))
}

/// The function that `x = ANY (array)` is planned as.
pub(crate) const ANY_EQUAL: &str = "pg_any_eq";

/// The operator of such a function.
pub(crate) fn operator(name: &str) -> Option<BinaryOperator> {
    let suffix = name.rsplit('_').next()?;
    let known = (Comparison::ALL.into_iter()).find(|(_, _, known)| *known == suffix)?;
    Some(known.1)
}

/// The function that `a && b` is planned as.
pub(crate) const OVERLAPS: &str = "pg_overlaps";

/// The function that `a @> b` is planned as, and `b <@ a`.
pub(crate) const CONTAINS: &str = "pg_contains";

/// The function of an array, a value and subscripts that an assignment to an element is planned as.
pub(crate) const ARRAY_ASSIGNED: &str = "pg_array_assigned";

/// The same of a slice: an array, its elements, and bounds.
pub(crate) const SLICE_ASSIGNED: &str = "pg_slice_assigned";

/// The function that gives the elements of an array of any shape as an array of one dimension.
pub(crate) const FLAT: &str = "pg_flat";

/// The same, which refuses arrays of other shapes than that.
pub(crate) const PLAIN: &str = "pg_plain";

/// The function that `ARRAY[…]` of arrays is planned as.
pub(crate) const STACKED: &str = "pg_stacked";

/// `array_append`, `array_prepend` and `array_cat` of arrays of any shape.
pub(crate) const APPENDED: &str = "pg_appended";
pub(crate) const PREPENDED: &str = "pg_prepended";
pub(crate) const JOINED: &str = "pg_joined";

/// Whether a function is a quantified comparison.
pub(crate) fn is_quantified(name: &str) -> bool {
    name.starts_with("pg_any_") || name.starts_with("pg_all_")
}

/// Whether such a function asks for more than whether values are equal.
pub(crate) fn orders(name: &str) -> bool {
    !name.ends_with("_eq") && !name.ends_with("_ne")
}

/// Where the array stands among the arguments of a function whose others are values like its elements; `None` for
/// other functions.
pub(crate) fn takes_elements(name: &str) -> Option<usize> {
    match name {
        "array_append" | "array_position" | "array_positions" | "array_remove"
        | "array_replace" => Some(0),
        "array_prepend" => Some(1),
        _ => None,
    }
}

/// The function with this name.
pub(crate) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let comparison = |suffix: &str| {
        let known = Comparison::ALL.iter().find(|(_, _, word)| *word == suffix);
        known.map(|(comparison, _, _)| *comparison)
    };
    let op = match name {
        "pg_element" => Op::Element,
        "pg_slice" => Op::Slice,
        "pg_or_empty" => Op::OrEmpty,
        "pg_prefixed" => Op::Prefixed,
        "array_length" => Op::Length,
        "array_upper" => Op::Upper,
        "array_lower" => Op::Lower,
        "array_ndims" => Op::Dimensions,
        "cardinality" => Op::Cardinality,
        "array_position" => Op::Position,
        "array_positions" => Op::Positions,
        "array_remove" => Op::Remove,
        "trim_array" => Op::Trim,
        "array_replace" => Op::Replace,
        OVERLAPS => Op::Overlaps,
        CONTAINS => Op::Contains,
        "pg_subscripts" => Op::Subscripts,
        "array_fill" => Op::Fill,
        "array_dims" => Op::Dims,
        ARRAY_ASSIGNED => Op::Assign,
        SLICE_ASSIGNED => Op::AssignSlice,
        FLAT => Op::Flat,
        PLAIN => Op::Plain,
        STACKED => Op::Stacked,
        APPENDED => Op::Append,
        PREPENDED => Op::Prepend,
        JOINED => Op::Joined,
        super::UNTAGGED => Op::OrEmpty,
        _ => match (name.strip_prefix("pg_any_"), name.strip_prefix("pg_all_")) {
            (Some(suffix), _) => Op::Any(comparison(suffix)?),
            (_, Some(suffix)) => Op::All(comparison(suffix)?),
            _ => return None,
        },
    };
    let arguments: &[usize] = match op {
        Op::Dimensions | Op::Dims | Op::Cardinality | Op::OrEmpty | Op::Flat | Op::Plain => &[1],
        Op::Position | Op::Subscripts | Op::Fill => &[2, 3],
        Op::Replace => &[3],
        Op::Stacked | Op::Element | Op::Slice | Op::Assign | Op::AssignSlice => &[],
        _ => &[2],
    };
    let arguments = match arguments {
        [] => vec![TypeSignature::VariadicAny],
        counts => counts
            .iter()
            .map(|count| TypeSignature::Any(*count))
            .collect(),
    };
    Some(Arc::new(ScalarUDF::from(ArrayFunction {
        name: name.to_string(),
        op,
        signature: Signature::one_of(arguments, Volatility::Immutable),
    })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayFunction {
    name: String,
    op: Op,
    signature: Signature,
}

/// What a comparison with every element comes to; `None` is NULL.
fn quantify(
    value: DatumRef<'_>,
    elements: Elements<'_>,
    comparison: Comparison,
    all: bool,
) -> Option<bool> {
    if elements.is_empty() {
        return Some(all);
    }
    if value == DatumRef::Null {
        return None;
    }
    let (mut decided, mut unknown) = (false, false);
    elements.for_each(|element| {
        let order = match element {
            None | Some(DatumRef::Null) => None,
            Some(element) => compare(value, element),
        };
        match order {
            Some(order) => decided |= comparison.holds(order) != all,
            None => unknown = true,
        }
    });
    match (decided, unknown) {
        (true, _) => Some(!all),
        (false, true) => None,
        (false, false) => Some(all),
    }
}

fn integer(value: DatumRef<'_>) -> Option<i64> {
    match value {
        DatumRef::Int2(v) => Some(v.into()),
        DatumRef::Int4(v) => Some(v.into()),
        DatumRef::Int8(v) => Some(v),
        _ => None,
    }
}

/// The bounds of a slice, in pairs; `None` where one is NULL.
fn bounds(given: &[DatumRef<'_>]) -> Option<Vec<Bounds>> {
    let bound = |value: DatumRef<'_>| match value {
        DatumRef::Bool(_) => Some(None),
        value => integer(value).map(Some),
    };
    let pairs = given.chunks_exact(2);
    let pairs = pairs.map(|pair| Some((bound(pair[0])?, bound(pair[1])?)));
    pairs.collect()
}

/// Whether an argument is of a type that has no elements.
fn is_no_array(field: &FieldRef) -> bool {
    let is_vector = field.metadata().contains_key(output::VECTOR);
    let ty = output::column_type(field).ok();
    !is_vector && !field.data_type().is_null() && ty.is_some_and(|ty| ty.elements().is_none())
}

fn null_subscript() -> SqlError {
    let message = "array subscript in assignment must not be null";
    SqlError::new(ErrorKind::NullValueNotAllowed, message)
}

impl ArrayFunction {
    /// Where the first element of an array stands: PostgreSQL's vectors count from 0.
    fn base(fields: &[FieldRef]) -> i64 {
        match fields.first() {
            Some(field) if field.metadata().contains_key(output::VECTOR) => 0,
            _ => 1,
        }
    }

    /// `trims`: whether spaces behind elements make no difference.
    fn eval(&self, args: &[DatumRef<'_>], base: i64, trims: bool) -> Result<Datum> {
        let same = |a: DatumRef<'_>, b: DatumRef<'_>| match (trims, a, b) {
            (true, DatumRef::Text(a), DatumRef::Text(b)) => {
                a.trim_end_matches(' ') == b.trim_end_matches(' ')
            }
            (_, a, b) => same(a, b),
        };
        let int = |value: Option<i32>| value.map_or(Datum::Null, Datum::Int4);
        let array = args.first().copied().unwrap_or(DatumRef::Null);
        let elements = array.elements();
        if let Op::Any(comparison) | Op::All(comparison) = self.op {
            let all = matches!(self.op, Op::All(_));
            let Some(elements) = args[1].elements() else {
                return Ok(Datum::Null);
            };
            return Ok(
                quantify(args[0], elements, comparison, all).map_or(Datum::Null, Datum::Bool)
            );
        }
        if let Some(made) = self.made(array, args) {
            return made.map_err(external);
        }
        if let (Op::Element, Some(DatumRef::Text(name))) = (self.op, args.first()) {
            let at = integer(args[1]).and_then(|at| usize::try_from(at).ok());
            let found = at.and_then(|at| name.chars().nth(at));
            return Ok(found.map_or(Datum::Null, |found| Datum::Text(found.to_string())));
        }
        let parts = || {
            let mut parts = Parts::of(array);
            if let (0, Some(of)) = (base, parts.dimensions.first_mut()) {
                of.lower = 0;
            }
            parts
        };
        let dimension = |number: Option<i64>| {
            let at = usize::try_from(number?.checked_sub(1)?).ok()?;
            parts().dimensions.get(at).copied()
        };
        let Some(elements) = elements else {
            return Ok(match self.op {
                Op::OrEmpty | Op::Prefixed => Datum::Array(Vec::new()),
                _ => Datum::Null,
            });
        };
        Ok(match self.op {
            Op::Prefixed => {
                let DatumRef::Text(prefix) = args[1] else {
                    return Ok(Datum::Array(vec![Datum::Null; elements.len()]));
                };
                let mut values = elements.to_vec();
                for value in &mut values {
                    if let Datum::Text(value) = value {
                        value.insert_str(0, prefix);
                    }
                }
                Datum::Array(values)
            }
            Op::Element => {
                let subscripts = args[1..].iter().map(|subscript| integer(*subscript));
                let Some(subscripts) = subscripts.collect::<Option<Vec<_>>>() else {
                    return Ok(Datum::Null);
                };
                dimensions::element(&parts(), &subscripts).to_owned()
            }
            Op::Slice => match bounds(&args[1..]) {
                Some(bounds) => dimensions::slice(&parts(), &bounds),
                None => Datum::Null,
            },
            Op::Flat => Datum::Array(elements.to_vec()),
            Op::Plain => match array {
                DatumRef::Shaped(..) => return Err(external(text::array::unshaped())),
                plain => plain.to_owned(),
            },
            Op::OrEmpty => array.to_owned(),
            Op::Length | Op::Upper | Op::Lower => {
                let of = dimension(integer(args[1]));
                int(of.and_then(|of| match self.op {
                    Op::Length => i32::try_from(of.length).ok(),
                    Op::Upper => i32::try_from(of.upper()).ok(),
                    _ => Some(of.lower),
                }))
            }
            Op::Dimensions => {
                let count = i32::try_from(parts().dimensions.len()).ok();
                int(count.filter(|count| *count > 0))
            }
            Op::Dims => {
                let bounds = parts().dimensions.into_iter();
                let bounds = bounds.map(|of| format!("[{}:{}]", of.lower, of.upper()));
                let bounds: String = bounds.collect();
                match bounds.is_empty() {
                    true => Datum::Null,
                    false => Datum::Text(bounds),
                }
            }
            Op::Cardinality => int(i32::try_from(elements.len()).ok()),
            Op::Position | Op::Positions | Op::Remove if parts().dimensions.len() > 1 => {
                let what = match self.op {
                    Op::Remove => "removing elements from multidimensional arrays",
                    _ => "searching for elements in multidimensional arrays",
                };
                return Err(external(SqlError::unsupported(what)));
            }
            Op::Position => {
                let values = elements.to_vec();
                let base = dimension(Some(1)).map_or(base, |of| of.lower.into());
                let start = args
                    .get(2)
                    .and_then(|start| integer(*start))
                    .unwrap_or(base);
                let start = usize::try_from(start.max(base) - base).unwrap_or(0);
                let here = |value: &Datum| same(value.as_ref(), args[1]);
                let at = values.iter().skip(start).position(here);
                int(at.and_then(|at| i32::try_from((at + start) as i64 + base).ok()))
            }
            Op::Positions => {
                let values = elements.to_vec();
                let base = dimension(Some(1)).map_or(1, |of| of.lower);
                let here = |(at, value): (usize, &Datum)| {
                    let at = at as i32 + base;
                    same(value.as_ref(), args[1]).then_some(Datum::Int4(at))
                };
                Datum::Array(values.iter().enumerate().filter_map(here).collect())
            }
            Op::Remove => {
                let mut values = elements.to_vec();
                values.retain(|value| !same(value.as_ref(), args[1]));
                let lower = dimension(Some(1)).map_or(1, |of| of.lower);
                let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
                Datum::of_elements(&[Dimension { length, lower }], values)
            }
            Op::Trim => {
                let Some(count) = integer(args[1]) else {
                    return Ok(Datum::Null);
                };
                let parts = parts();
                let of = parts.dimensions.first();
                let length = of.map_or(0, |of| i64::from(of.length));
                if !(0..=length).contains(&count) {
                    let message =
                        format!("number of elements to trim must be between 0 and {length}");
                    let error = SqlError::new(ErrorKind::ArraySubscriptError, message);
                    return Err(external(error));
                }
                let last = of.map_or(0, |of| of.upper() - count);
                dimensions::slice(&parts, &[(None, Some(last))])
            }
            Op::Replace => {
                let values = elements.to_vec().into_iter();
                let replaced = |value: Datum| match same(value.as_ref(), args[1]) {
                    true => args[2].to_owned(),
                    false => value,
                };
                Datum::of_elements(&parts().dimensions, values.map(replaced).collect())
            }
            Op::Overlaps | Op::Contains => {
                let Some(others) = args[1].elements() else {
                    return Ok(Datum::Null);
                };
                let (ours, theirs) = (elements.to_vec(), others.to_vec());
                // NULL is equal to nothing.
                let has = |ours: &[Datum], their: &Datum| {
                    !their.is_null() && ours.iter().any(|our| same(our.as_ref(), their.as_ref()))
                };
                let mut theirs = theirs.iter();
                Datum::Bool(match self.op {
                    Op::Overlaps => theirs.any(|their| has(&ours, their)),
                    _ => theirs.all(|their| has(&ours, their)),
                })
            }
            Op::Subscripts => {
                let of = dimension(integer(args[1]));
                let subscripts = of.map(|of| of.lower.into()..=of.upper());
                let subscripts = subscripts.into_iter().flatten();
                let subscripts = subscripts.filter_map(|at: i64| i32::try_from(at).ok());
                let mut subscripts: Vec<_> = subscripts.map(Datum::Int4).collect();
                if matches!(args.get(2), Some(DatumRef::Bool(true))) {
                    subscripts.reverse();
                }
                Datum::Array(subscripts)
            }
            Op::Any(_)
            | Op::All(_)
            | Op::Fill
            | Op::Assign
            | Op::AssignSlice
            | Op::Stacked
            | Op::Append
            | Op::Prepend
            | Op::Joined => Datum::Null,
        })
    }

    /// An array that a function makes, also of NULL; `None` for other functions.
    fn made(&self, array: DatumRef<'_>, args: &[DatumRef<'_>]) -> Option<Result<Datum, SqlError>> {
        let parts = Parts::of(array);
        Some(match self.op {
            Op::Fill => dimensions::filled(args),
            Op::Stacked => dimensions::stacked(args),
            Op::Append => dimensions::grown(&parts, args[1], false),
            Op::Prepend => dimensions::grown(&Parts::of(args[1]), array, true),
            Op::Joined => dimensions::joined(array, args[1]),
            Op::Assign => {
                let subscripts = args[2..].iter().map(|subscript| integer(*subscript));
                match subscripts.collect::<Option<Vec<_>>>() {
                    Some(subscripts) => dimensions::assigned(&parts, &subscripts, args[1]),
                    None => Err(null_subscript()),
                }
            }
            Op::AssignSlice => match (bounds(&args[2..]), args[1]) {
                (None, _) => Err(null_subscript()),
                (Some(_), DatumRef::Null) => Ok(array.to_owned()),
                (Some(bounds), source) => {
                    dimensions::slice_assigned(&parts, &bounds, &Parts::of(source))
                }
            },
            _ => return None,
        })
    }

    /// The type of what a function of an array gives, by the array's.
    fn result_field(&self, args: &[FieldRef]) -> Result<Field> {
        let fixed = match self.op {
            Op::Any(_) | Op::All(_) | Op::Overlaps | Op::Contains => Some(ColumnType::Bool),
            Op::Length
            | Op::Upper
            | Op::Lower
            | Op::Dimensions
            | Op::Cardinality
            | Op::Position => Some(ColumnType::Int4),
            Op::Dims => Some(ColumnType::Text),
            Op::Positions | Op::Subscripts => Some(ColumnType::Array(ElementType::Int4)),
            _ => None,
        };
        if let Some(ty) = fixed {
            return Ok(ty.field(&self.name, true));
        }
        let array = args.first().ok_or_else(|| self.no_such(args))?;
        if self.op == Op::Fill {
            if !matches!(args.len(), 2 | 3) {
                return Err(self.no_such(args));
            }
            let element = output::column_type(array).map_err(external)?;
            let ty = element.shaped().ok_or_else(|| self.no_such(args))?;
            return Ok(ty.field(&self.name, true));
        }
        let of = args.get(usize::from(self.op == Op::Prepend));
        let ty = of.and_then(|array| output::column_type(array).ok());
        let element = ty.and_then(ColumnType::elements);
        let subscripts = match self.op {
            Op::Element => args.len() - 1,
            Op::Slice => args.len() / 2,
            _ => 0,
        };
        if element.is_some() {
            text::array::check_depth(subscripts).map_err(external)?;
        }
        let fixed = match self.op {
            // What is none is complained of by what it is an argument of.
            Op::Flat | Op::Plain if element.is_none() => {
                return Ok(array.as_ref().clone().with_name(&self.name));
            }
            Op::Flat | Op::Plain => element.map(ColumnType::Array),
            Op::Stacked | Op::Append | Op::Prepend | Op::Joined | Op::Assign | Op::AssignSlice => {
                element.map(ColumnType::Shaped)
            }
            Op::Element => element.map(ColumnType::from),
            _ => None,
        };
        if let Some(ty) = fixed {
            return Ok(ty.field(&self.name, true));
        }
        // It is there until the plan is: a cast to text, around a value of any type.
        if self.name == super::UNTAGGED {
            let metadata = match array.data_type() {
                DataType::Utf8 => Default::default(),
                _ => array.metadata().clone(),
            };
            let field = array.as_ref().clone().with_nullable(true);
            return Ok(field.with_metadata(metadata));
        }
        match (self.op, array.data_type()) {
            // A name is an array of characters, counted from 0.
            (Op::Element, DataType::Utf8)
                if output::column_type(array).is_ok_and(|ty| ty == ColumnType::Name) =>
            {
                Ok(ColumnType::Char.field(&self.name, true))
            }
            (Op::Element, DataType::Utf8)
                if output::column_type(array).is_ok_and(|ty| ty == ColumnType::Jsonb) =>
            {
                Ok(ColumnType::Jsonb.field(&self.name, true))
            }
            (_, DataType::Null) => Ok(array.as_ref().clone().with_name(&self.name)),
            _ if element.is_some() => {
                let mut field = array.as_ref().clone();
                // What is made of a vector is an array.
                field.metadata_mut().remove(output::VECTOR);
                Ok(field.with_name(&self.name).with_nullable(true))
            }
            _ => Err(self.no_such(args)),
        }
    }

    fn no_such(&self, args: &[FieldRef]) -> DataFusionError {
        let names: Vec<String> = args
            .iter()
            .map(|field| {
                output::column_type(field).map_or("unknown".to_string(), crate::types::name)
            })
            .collect();
        if self.op == Op::Slice && names.first().is_some_and(|ty| ty == "jsonb") {
            let message = "jsonb subscript does not support slices";
            return external(SqlError::new(ErrorKind::DatatypeMismatch, message));
        }
        if matches!(self.op, Op::Element | Op::Slice) {
            let message = format!(
                "cannot subscript type {} because it does not support subscripting",
                names.first().map_or("unknown", String::as_str)
            );
            return external(SqlError::new(ErrorKind::DatatypeMismatch, message));
        }
        let message = format!(
            "function {}({}) does not exist",
            self.name,
            names.join(", ")
        );
        external(SqlError::new(ErrorKind::UndefinedFunction, message))
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> = types
            .iter()
            .map(|ty| Arc::new(Field::new("", ty.clone(), true)))
            .collect();
        Ok(self.result_field(&fields)?.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let measures = matches!(
            self.op,
            Op::Length | Op::Upper | Op::Lower | Op::Dimensions | Op::Cardinality | Op::Dims
        );
        if measures && args.arg_fields.first().is_some_and(is_no_array) {
            let given = call::given_types(args.arg_fields, args.scalar_arguments);
            return Err(external(call::no_such(&self.name, &given)));
        }
        Ok(Arc::new(self.result_field(args.arg_fields)?))
    }

    /// `x = ANY` of known values is `x IN` them, which scans know how to use.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let negated = match self.op {
            Op::Any(Comparison::Eq) => false,
            Op::All(Comparison::NotEq) => true,
            _ => return Ok(ExprSimplifyResult::Original(args)),
        };
        Ok(match args.as_slice() {
            [value, array] => match among(value, array, negated)? {
                Some(among) => ExprSimplifyResult::Simplified(among),
                None => ExprSimplifyResult::Original(args),
            },
            _ => ExprSimplifyResult::Original(args),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let base = ArrayFunction::base(&args.arg_fields);
        // An array of one dimension is what it is.
        if matches!(self.op, Op::Flat | Op::Plain)
            && let [array] = args.args.as_slice()
            && datum::elements_type(&array.data_type()).is_none()
        {
            return Ok(array.clone());
        }
        let (arrays, scalar, rows) = super::arrays(&args, false)?;
        let ty = args
            .arg_fields
            .first()
            .map(|array| output::column_type(array));
        let element = ty
            .and_then(std::result::Result::ok)
            .and_then(ColumnType::elements);
        let trims = matches!(element, Some(ElementType::Bpchar(_)));
        let mut made = Made::new(&args.config_options);
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let row = arrays.iter().map(|array| {
                super::value_at(array.as_ref(), row).ok_or_else(|| {
                    let message = format!("{} of {}", self.name, array.data_type());
                    DataFusionError::NotImplemented(message)
                })
            });
            let row = row.collect::<Result<Vec<_>>>()?;
            let value = self.eval(&row, base, trims)?;
            made.count(&value)?;
            values.push(value);
        }
        let ty = args.return_field.data_type();
        let result = made.kept(build(ty, &args.return_field, &values)?)?;
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// `value IN` the elements of an array, or NOT IN; `None` where they are not known, or none.
pub(crate) fn among(value: &Expr, array: &Expr, negated: bool) -> Result<Option<Expr>> {
    let Expr::Literal(ScalarValue::List(list), _) = array else {
        return Ok(None);
    };
    if list.is_null(0) {
        return Ok(None);
    }
    let elements = list.value(0);
    if elements.data_type().is_nested() || elements.is_empty() {
        return Ok(None);
    }
    let literal = |at| {
        let element = ScalarValue::try_from_array(&elements, at)?;
        Ok(Expr::Literal(element, None))
    };
    let literals = (0..elements.len()).map(literal).collect::<Result<_>>()?;
    // The simplifier, which this is done for, has lists beside each other already.
    let list = InList::new(Box::new(value.clone()), literals, negated);
    Ok(Some(lists_apart::apart(list)))
}

/// An array of the values, which are of the function's return type.
fn build(ty: &DataType, field: &Field, values: &[Datum]) -> Result<ArrayRef> {
    if ty.is_null() {
        return Ok(arrow::array::new_null_array(ty, values.len()));
    }
    let column = output::column_type(field).map_err(external)?;
    let mut builder = ColumnBuilder::new(column);
    for value in values {
        builder.append(value.as_ref());
    }
    let built = builder.finish();
    match built.data_type() == ty {
        true => Ok(built),
        false => Ok(arrow::compute::cast(&built, ty)?),
    }
}
