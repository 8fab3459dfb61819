//! Casts as PostgreSQL makes them, where DataFusion's follow Arrow: to and from text by PostgreSQL's text forms,
//! to types of limited length, from fractions to integers, and between local and absolute time.

mod known;
mod values;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float32Array, ListArray, StringBuilder,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use tidelog_storage::datum::{self, ColumnBuilder, PrintedType, datum_at};
use tidelog_storage::{ColumnType, Datum, DatumRef, ElementType, RegType, TimeTz};

use crate::error::{ErrorKind, SqlError};
use crate::functions;
use crate::output;
use crate::precision;
use crate::text::{self, Style, bits, datetime, printed};
use crate::types;

use values::{character, clock, cut, digits, from_json, kept, moments, narrow, numbers, round};

/// What a cast of ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Conversion {
    /// The input function of a type.
    Input(ColumnType),
    /// The output function of a type.
    Output(ColumnType),
    /// The same, of a boolean too, of which a cast to text makes another text.
    Shown(ColumnType),
    /// An array of such to an array of these texts.
    EachShown(ColumnType),
    /// Text cut to what the type holds, as an explicit cast does.
    Cut(ColumnType),
    /// The same value, of a type that Arrow's does not tell.
    Typed(ColumnType),
    /// Text, an integer or bits as bits of this type.
    Bits(ColumnType, ColumnType),
    /// An array of numbers as a vector of them.
    Vector(ColumnType, ColumnType),
    /// Bits as an integer.
    FromBits(ColumnType),
    /// A fraction to the nearest integer, an integer to a narrower one or an oid.
    Round(ColumnType),
    /// An oid as another number of its bits.
    Oid(ColumnType),
    /// A json value to the number, boolean or text that it is.
    FromJson(ColumnType),
    /// A fraction to the nearest real, which may be out of its range.
    Narrow(ColumnType),
    /// A float to a numeric of the digits that are certain.
    Digits(ColumnType),
    /// A number to a numeric with a scale of its own, or such a one to another number.
    Number(ColumnType),
    /// An array of the one to an array of the other, element by element.
    Each(ColumnType, ColumnType),
    /// The same of arrays of any shape.
    EachShaped(ColumnType, ColumnType),
    /// Between dates and timestamps, of which some are infinite, and to the times that they show.
    Moment(ColumnType, ColumnType),
    /// Between what clocks show: times with and without a zone, moments, intervals.
    Clock(ColumnType, ColumnType),
    /// A time or interval of which another type keeps less, or more.
    Kept(ColumnType, ColumnType),
    /// An address as text, always with the bits of its network.
    Network(ColumnType),
    /// A "char" as its number, or the other way round.
    Code(ColumnType),
    /// A char(n) as a bpchar of no length, which has the spaces behind it among its characters.
    Pad(ColumnType),
    /// Such a one, or a varchar, as a text without them.
    Trim(ColumnType),
}

fn is_text(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Text
            | ColumnType::Varchar(_)
            | ColumnType::Bpchar(_)
            | ColumnType::Name
            | ColumnType::Char
    )
}

fn is_bits(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Bit(_) | ColumnType::Varbit(_))
}

fn is_integer(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8)
}

/// A time of which the session's time zone may have to tell what another type makes of it.
fn is_moment(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Date | ColumnType::Timestamp(_) | ColumnType::TimestampTz(_)
    )
}

/// What PostgreSQL does where DataFusion would do something else.
fn conversion(from: ColumnType, to: ColumnType) -> Option<Conversion> {
    use ColumnType::{
        Char, Float4, Float8, Int4, Interval, Json, Jsonb, Name, Numeric, Time, TimeTz,
        TimestampTz, Varchar,
    };
    Some(match (from, to) {
        (Varchar(_), ColumnType::Text) | (Varchar(Some(_)), Varchar(None)) => Conversion::Typed(to),
        (ColumnType::Text | Varchar(_), ColumnType::Text | Varchar(None)) => return None,
        // The same text, but of the other type.
        (from, to)
            if is_bits(to)
                && (is_text(from) || is_bits(from) || is_integer(from))
                && from != to =>
        {
            Conversion::Bits(from, to)
        }
        (from, ColumnType::Int4 | ColumnType::Int8) if is_bits(from) => Conversion::FromBits(to),
        (from, ColumnType::Oid) if is_integer(from) => Conversion::Round(to),
        (ColumnType::Oid, ColumnType::Int4) => Conversion::Oid(to),
        (ColumnType::Oid, ColumnType::Int8) => Conversion::Typed(to),
        (ColumnType::Oid, ColumnType::Regproc | ColumnType::Reg(_)) => Conversion::Round(to),
        (ColumnType::Regproc | ColumnType::Reg(_), to)
            if is_integer(to) || to == ColumnType::Oid =>
        {
            Conversion::Round(to)
        }
        (from, ColumnType::Regproc | ColumnType::Reg(_)) if is_integer(from) => {
            Conversion::Round(to)
        }
        (Int4, Char) | (Char, Int4) => Conversion::Code(to),
        (ColumnType::Bpchar(Some(_)), ColumnType::Bpchar(None)) => Conversion::Pad(from),
        (ColumnType::Bpchar(None), ColumnType::Bpchar(None)) => return None,
        (ColumnType::Bpchar(None), to) if is_text(to) => Conversion::Trim(to),
        (from, to) if is_text(from) && is_text(to) => Conversion::Cut(to),
        (from, to) if is_text(from) => Conversion::Input(to),
        (from, to) if from != to && precision::plain(from) == precision::plain(to) => {
            Conversion::Kept(from, to)
        }
        (Json, Jsonb) => Conversion::Input(to),
        (Jsonb, Json) => Conversion::Cut(to),
        (ColumnType::Printed(a), ColumnType::Printed(b)) if a != b => Conversion::Input(to),
        (ColumnType::Array(_), ColumnType::Printed(of)) if printed::is_vector(of) => {
            Conversion::Vector(from, to)
        }
        (ColumnType::Printed(PrintedType::Inet), to) if is_text(to) && to != Name => {
            Conversion::Network(to)
        }
        (Jsonb | Json | ColumnType::Enum(_) | ColumnType::Printed(_), to) if is_text(to) => {
            Conversion::Cut(to)
        }
        (Jsonb, ColumnType::Bool | Float4 | Float8 | Numeric(_)) => Conversion::FromJson(to),
        (Jsonb, to) if is_integer(to) => Conversion::FromJson(to),
        // There is no cast but the one through the text.
        (ColumnType::Bool, Name) => Conversion::Shown(from),
        (from, to) if is_text(to) => Conversion::Output(from),
        (Float4 | Float8 | Numeric(_), to) if is_integer(to) => Conversion::Round(to),
        (Float8 | Numeric(_), Float4) => Conversion::Narrow(from),
        // Arrow's division of a decimal rounds a second time.
        (Numeric(_), Float8) => Conversion::Number(to),
        (Numeric(None), Numeric(Some(_))) | (Numeric(Some(_)), Numeric(None)) => {
            Conversion::Number(to)
        }
        (from, Numeric(None)) if is_integer(from) => Conversion::Number(to),
        (Float4 | Float8, Numeric(_)) => Conversion::Digits(to),
        (ColumnType::Array(a), ColumnType::Array(b)) => {
            let (a, b) = (a.into(), b.into());
            // The same texts, as elements of the other type.
            if a == b || !(is_text(a) && is_text(b)) {
                conversion(a, b)?;
            }
            Conversion::Each(a, b)
        }
        (ColumnType::Shaped(a), ColumnType::Shaped(b)) => {
            conversion(ColumnType::Array(a), ColumnType::Array(b))?;
            Conversion::EachShaped(a.into(), b.into())
        }
        (ColumnType::Array(a), ColumnType::Shaped(b)) => Conversion::EachShaped(a.into(), b.into()),
        (from, to) if is_moment(from) && (is_moment(to) || matches!(to, Time(_))) && from != to => {
            Conversion::Moment(from, to)
        }
        (Time(_), TimeTz(_) | Interval(_))
        | (TimestampTz(_), TimeTz(_))
        | (TimeTz(_) | Interval(_), Time(_)) => Conversion::Clock(from, to),
        (ColumnType::Int8, ColumnType::Int4 | ColumnType::Int2)
        | (ColumnType::Int4, ColumnType::Int2) => Conversion::Round(to),
        _ => return None,
    })
}

/// Turns a cast into PostgreSQL's, where that is another.
pub(crate) fn rewrite(
    mut cast: Cast,
    schema: &DFSchema,
    style: Style,
) -> Result<Transformed<Expr>> {
    let Ok(from_field) = output::field_of(&cast.expr, schema) else {
        return Ok(Transformed::no(Expr::Cast(cast)));
    };
    if from_field.data_type().is_null() {
        return Ok(Transformed::no(Expr::Cast(cast)));
    }
    let (Ok(mut from), Ok(mut to)) = (
        output::column_type(&from_field),
        output::column_type(&cast.field),
    ) else {
        return Ok(Transformed::no(Expr::Cast(cast)));
    };
    // An array keeps its shape, and a literal shows whether it has one.
    if let ColumnType::Array(element) = to {
        let has_shape = match &*cast.expr {
            Expr::Literal(ScalarValue::Utf8(Some(literal)), _) => {
                text::array::may_be_shaped(literal)
            }
            _ => matches!(from, ColumnType::Shaped(_)),
        };
        if has_shape {
            to = ColumnType::Shaped(element);
            cast.field = Arc::new(to.field("", true));
            if from == to {
                return Ok(Transformed::yes(*cast.expr));
            }
        }
    }
    // A literal that an integer holds is one.
    if matches!(to, ColumnType::Oid | ColumnType::Char | ColumnType::Bool)
        && let Expr::Literal(ScalarValue::Int64(Some(number)), None) = &*cast.expr
        && let Ok(number) = i32::try_from(*number)
    {
        from = ColumnType::Int4;
        cast.expr = Box::new(Expr::Literal(ScalarValue::Int32(Some(number)), None));
    }
    if !known::exists(from, to) {
        let small = |number: i64| i32::try_from(number).is_ok();
        return Err(external(match &*cast.expr {
            Expr::Literal(ScalarValue::Int64(Some(number)), _) if small(*number) => {
                no_cast(ColumnType::Int4, to)
            }
            _ => no_cast(from, to),
        }));
    }
    if let Some(conversion) = conversion(from, to) {
        let value = match (from, to) {
            (ColumnType::Bpchar(_), to) if !is_text(to) => padded(*cast.expr, from, style),
            _ => *cast.expr,
        };
        let cut = match (conversion, to) {
            // The output is text of any length.
            (
                Conversion::Output(_) | Conversion::Shown(_),
                ColumnType::Varchar(Some(_)) | ColumnType::Bpchar(_) | ColumnType::Name,
            ) => true,
            _ => false,
        };
        let call = function(conversion, value, style);
        return Ok(Transformed::yes(match cut {
            true => function(Conversion::Cut(to), call, style),
            false => call,
        }));
    }
    // Those that numerics have are conversions of ours.
    if [from, to].contains(&ColumnType::Numeric(None)) && from != to {
        return Err(external(no_cast(from, to)));
    }
    Ok(Transformed::no(Expr::Cast(cast)))
}

/// 42846 where a value of one type is not cast to another.
pub(crate) fn check(from: ColumnType, to: ColumnType) -> Result<()> {
    match known::exists(from, to) {
        true => Ok(()),
        false => Err(external(no_cast(from, to))),
    }
}

fn no_cast(from: ColumnType, to: ColumnType) -> SqlError {
    let message = format!(
        "cannot cast type {} to {}",
        types::bare_name(from),
        types::bare_name(to)
    );
    SqlError::new(ErrorKind::CannotCoerce, message)
}

/// Fractions of a type as reals; 22003 for what is out of their range.
pub(crate) fn narrowed(array: &ArrayRef, from: ColumnType) -> Result<ArrayRef, SqlError> {
    narrow(array, from).map_err(crate::error::from_datafusion)
}

/// A date, time, moment or interval as another, as an assignment makes it; `None` between types that have no such cast.
pub(crate) fn of_clocks(
    value: &Datum,
    from: ColumnType,
    to: ColumnType,
    style: Style,
) -> Option<Result<Datum, SqlError>> {
    let conversion = conversion(from, to).filter(|conversion| {
        matches!(conversion, Conversion::Clock(..) | Conversion::Moment(..))
            && known::exists(from, to)
    })?;
    let cast = CastFunction {
        conversion,
        style,
        signature: Signature::any(1, Volatility::Immutable),
    };
    let mut builder = ColumnBuilder::new(from);
    builder.append(value.as_ref());
    let made = cast.apply(&builder.finish());
    let made = made.map_err(crate::error::from_datafusion);
    Some(made.and_then(|made| output::value(&made, 0).map(DatumRef::to_owned)))
}

/// Whether a function is a cast of ours.
pub(crate) fn is_one(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<CastFunction>().is_some()
}

/// A value whose type is said beside it, where Arrow's type does not tell it.
pub(crate) fn typed(value: Expr, ty: ColumnType, style: Style) -> Expr {
    match ty.tag() {
        None => value,
        Some(_) => retyped(value, ty, style),
    }
}

/// A value of another type, which what is beside it may not say.
pub(crate) fn retyped(value: Expr, ty: ColumnType, style: Style) -> Expr {
    function(Conversion::Typed(ty), value, style)
}

/// The value that becomes a numeric with a scale of its own.
pub(crate) fn as_number(expr: &Expr) -> Option<&Expr> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let cast = call.func.inner().downcast_ref::<CastFunction>()?;
    let number = Conversion::Number(ColumnType::Numeric(None));
    (cast.conversion == number).then(|| call.args.first())?
}

/// A scalar subquery that gives a json, as one: when it is run, DataFusion forgets what is not in Arrow's type.
pub(crate) fn tagged(subquery: Expr, schema: &DFSchema, style: Style) -> Transformed<Expr> {
    let field = output::field_of(&subquery, schema);
    match field.map(|field| output::column_type(&field)) {
        Ok(Ok(ty @ (ColumnType::Json | ColumnType::Jsonb))) => {
            Transformed::yes(typed(subquery, ty, style))
        }
        _ => Transformed::no(subquery),
    }
}

/// A char(n) with the spaces behind it.
pub(crate) fn padded(value: Expr, ty: ColumnType, style: Style) -> Expr {
    function(Conversion::Output(ty), value, style)
}

/// A bpchar of no length, or a varchar beside a char(n), without the spaces behind it.
pub(crate) fn trimmed(value: Expr) -> Expr {
    function(Conversion::Trim(ColumnType::Text), value, Style::default())
}

/// The text of a value, where nothing but its type is to be told from text.
pub(crate) fn as_text(value: Expr, ty: ColumnType, style: Style) -> Expr {
    match ty {
        ColumnType::Array(element) => function(
            Conversion::Each(element.into(), ColumnType::Text),
            value,
            style,
        ),
        ColumnType::Shaped(element) => function(
            Conversion::EachShaped(element.into(), ColumnType::Text),
            value,
            style,
        ),
        ty => function(Conversion::Output(ty), value, style),
    }
}

/// The elements of an array as the array's own text has them.
pub(crate) fn shown(array: Expr, element: ColumnType, style: Style) -> Expr {
    let is_padded = matches!(element, ColumnType::Bpchar(Some(_)));
    match element.arrow() == DataType::Utf8 && !is_padded {
        true => array,
        false => function(Conversion::EachShown(element), array, style),
    }
}

/// A text as the value of a type that it is the text of.
pub(crate) fn read(text: Expr, ty: ColumnType, style: Style) -> Expr {
    function(Conversion::Input(ty), text, style)
}

/// What a cast from or to a type whose names the catalog knows is, and whether of an array's elements.
pub(crate) fn of_names(function: &ScalarUDF) -> Option<(RegType, Naming)> {
    let cast = function.inner().downcast_ref::<CastFunction>()?;
    Some(match cast.conversion {
        Conversion::Input(ColumnType::Reg(of)) => (of, Naming::Read),
        Conversion::Output(ColumnType::Reg(of)) => (of, Naming::Write),
        Conversion::Each(ColumnType::Reg(of), to) if is_text(to) => (of, Naming::WriteEach),
        Conversion::Each(from, ColumnType::Reg(of)) if is_text(from) => (of, Naming::ReadEach),
        _ => return None,
    })
}

/// A cast between names and what they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// What a name names.
    Read,
    /// The name.
    Write,
    /// What the elements of an array name.
    ReadEach,
    /// The names of an array's elements.
    WriteEach,
}

/// A value that is kept as text of another type, as text: `x::text`.
pub(crate) fn untagged(expr: Expr, ty: ColumnType, style: Style) -> Expr {
    match conversion(ty, ColumnType::Text) {
        Some(cut @ (Conversion::Cut(_) | Conversion::Network(_))) => function(cut, expr, style),
        _ => expr,
    }
}

fn function(conversion: Conversion, expr: Expr, style: Style) -> Expr {
    let function = CastFunction {
        conversion,
        style,
        signature: Signature::any(1, Volatility::Immutable),
    };
    let function = Arc::new(ScalarUDF::from(function));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
}

/// The array, whose elements, if it has any, say that they are of this type's.
fn elements_as(array: &ArrayRef, ty: ColumnType) -> Result<ArrayRef> {
    match (array.data_type(), ty.arrow()) {
        (DataType::List(own), DataType::List(item))
            if *own != item && own.data_type() == item.data_type() =>
        {
            let list = array.as_list::<i32>();
            let (offsets, values) = (list.offsets().clone(), list.values().clone());
            let list = ListArray::try_new(item, offsets, values, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        _ => Ok(array.clone()),
    }
}

fn no_array(array: &ArrayRef) -> DataFusionError {
    DataFusionError::Internal(format!("{} is no array", array.data_type()))
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CastFunction {
    conversion: Conversion,
    style: Style,
    signature: Signature,
}

impl CastFunction {
    fn result_type(&self) -> ColumnType {
        match self.conversion {
            Conversion::Input(ty)
            | Conversion::Cut(ty)
            | Conversion::Typed(ty)
            | Conversion::Round(ty)
            | Conversion::Oid(ty)
            | Conversion::FromJson(ty)
            | Conversion::Digits(ty)
            | Conversion::Number(ty)
            | Conversion::Clock(_, ty)
            | Conversion::Kept(_, ty)
            | Conversion::Bits(_, ty)
            | Conversion::Vector(_, ty)
            | Conversion::Network(ty)
            | Conversion::Code(ty)
            | Conversion::Trim(ty)
            | Conversion::FromBits(ty) => ty,
            Conversion::Pad(_) => ColumnType::Bpchar(None),
            Conversion::Output(_) | Conversion::Shown(_) => ColumnType::Text,
            Conversion::EachShown(_) => ColumnType::Array(ElementType::Text),
            Conversion::Narrow(_) => ColumnType::Float4,
            Conversion::Each(_, ty) => ty.array().unwrap_or(ty),
            Conversion::EachShaped(_, ty) => ty.shaped().unwrap_or(ty),
            Conversion::Moment(_, ty) => ty,
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.conversion {
            Conversion::Input(ty) => {
                self.read_texts(array, ty, |text| text::parse_in(ty, text, self.style))
            }
            Conversion::Typed(ty) => elements_as(array, ty),
            Conversion::Cut(ty) => self.read_texts(array, ty, |text| Ok(cut(ty, text))),
            Conversion::Network(ty) => self.read_texts(array, ty, |address| {
                let bits = if address.contains(':') { 128 } else { 32 };
                Ok(match address.contains('/') {
                    true => cut(ty, address),
                    false => cut(ty, &format!("{address}/{bits}")),
                })
            }),
            Conversion::Code(ColumnType::Char) => {
                self.read_texts(array, ColumnType::Char, character)
            }
            Conversion::Code(ty) => self.read_texts(array, ty, |character| {
                let byte = text::character::byte(character);
                Ok(Datum::Int4(i32::from(byte.cast_signed())))
            }),
            Conversion::FromJson(ty) => self.read_texts(array, ty, |json| from_json(ty, json)),
            Conversion::Output(ty) | Conversion::Pad(ty) => {
                self.to_texts(array, ty, "true", "false")
            }
            Conversion::Shown(ty) => self.to_texts(array, ty, "t", "f"),
            Conversion::EachShown(ty) => {
                let shown = Some(Conversion::Shown(ty));
                let lists = array.as_list::<i32>();
                Ok(Arc::new(self.each_by(lists, shown, ColumnType::Text)?))
            }
            Conversion::Trim(ty) => {
                self.read_texts(array, ty, |text| Ok(cut(ty, text.trim_end_matches(' '))))
            }
            Conversion::Vector(from, ty) => {
                let texts = self.to_texts(array, from, "true", "false")?;
                self.read_texts(&texts, ty, |text| {
                    let elements = text.trim_matches(['{', '}']).replace(',', " ");
                    text::parse_in(ty, &elements, self.style)
                })
            }
            Conversion::Bits(from, ty) => self.to_bits(array, from, ty),
            Conversion::FromBits(ty) => {
                self.read_texts(array, ty, |bits| bits::to_integer(ty, bits))
            }
            Conversion::Round(ty) => round(array, None, ty),
            Conversion::Oid(ty) => round(array, Some(ColumnType::Oid), ty),
            Conversion::Narrow(from) => narrow(array, from),
            Conversion::Digits(ty) => digits(array, ty),
            Conversion::Number(ty) => numbers(array, ty),
            Conversion::Each(from, to) => {
                Ok(Arc::new(self.each(array.as_list::<i32>(), from, to)?))
            }
            Conversion::EachShaped(from, to) => {
                let shaped = from.shaped().unwrap_or(from);
                let array = output::conform(array, shaped).map_err(external)?;
                let lists = datum::flat(&array).ok_or_else(|| no_array(&array))?;
                let elements = self.each(&lists, from, to)?;
                Ok(datum::with_elements(array.as_struct(), elements))
            }
            Conversion::Clock(from, to) => kept(&self.convert_clocks(array, from, to)?, to),
            Conversion::Moment(from, to) => kept(&moments(array, from, to, self.style)?, to),
            // now() has nanoseconds.
            Conversion::Kept(from, to) => {
                kept(&output::conform(array, from).map_err(external)?, to)
            }
        }
    }

    /// Arrays with each of their elements cast.
    fn each(&self, list: &ListArray, from: ColumnType, to: ColumnType) -> Result<ListArray> {
        self.each_by(list, conversion(from, to), to)
    }

    fn each_by(
        &self,
        list: &ListArray,
        conversion: Option<Conversion>,
        to: ColumnType,
    ) -> Result<ListArray> {
        let (first, last) = (
            list.offsets().first().copied().unwrap_or_default(),
            list.offsets().last().copied().unwrap_or_default(),
        );
        // Only what the rows hold is cast.
        let (start, length) = (first as usize, (last - first) as usize);
        let values = list.values().slice(start, length);
        let lengths = list
            .offsets()
            .windows(2)
            .map(|two| (two[1] - two[0]) as usize);
        let offsets = OffsetBuffer::from_lengths(lengths);
        let step = |conversion, values: &ArrayRef| {
            let step = CastFunction {
                conversion,
                style: self.style,
                signature: self.signature.clone(),
            };
            step.apply(values)
        };
        let values = match conversion {
            None => values,
            Some(conversion) => {
                let made = step(conversion, &values)?;
                match (conversion, to) {
                    (
                        Conversion::Output(_) | Conversion::Shown(_),
                        ColumnType::Varchar(Some(_)) | ColumnType::Bpchar(_) | ColumnType::Name,
                    ) => step(Conversion::Cut(to), &made)?,
                    _ => made,
                }
            }
        };
        let item = match to.array().unwrap_or(to).arrow() {
            DataType::List(item) if item.data_type() == values.data_type() => item,
            _ => Arc::new(Field::new_list_field(values.data_type().clone(), true)),
        };
        let nulls = list.nulls().cloned();
        Ok(ListArray::try_new(item, offsets, values, nulls)?)
    }

    fn read_texts(
        &self,
        array: &ArrayRef,
        ty: ColumnType,
        read: impl Fn(&str) -> std::result::Result<Datum, SqlError>,
    ) -> Result<ArrayRef> {
        let texts = arrow::compute::cast(array, &DataType::Utf8)?;
        let mut builder = ColumnBuilder::new(ty);
        for value in texts.as_string::<i32>() {
            match value {
                None => builder.append(DatumRef::Null),
                Some(value) => builder.append(read(value).map_err(external)?.as_ref()),
            }
        }
        Ok(builder.finish())
    }

    fn to_bits(&self, array: &ArrayRef, from: ColumnType, to: ColumnType) -> Result<ArrayRef> {
        if !is_integer(from) {
            return self.read_texts(array, to, |text| bits::cast(to, text).map(Datum::Text));
        }
        let mut builder = ColumnBuilder::new(to);
        let width = match from {
            ColumnType::Int8 => 64,
            _ => 32,
        };
        for value in arrow::compute::cast(array, &DataType::Int64)?
            .as_primitive::<Int64Type>()
            .iter()
        {
            match value {
                None => builder.append(DatumRef::Null),
                Some(value) => builder.append(DatumRef::Text(&bits::of_integer(to, value, width))),
            }
        }
        Ok(builder.finish())
    }

    fn convert_clocks(
        &self,
        array: &ArrayRef,
        from: ColumnType,
        to: ColumnType,
    ) -> Result<ArrayRef> {
        // now() has nanoseconds.
        let array = &output::conform(array, from).map_err(external)?;
        let mut builder = ColumnBuilder::new(to);
        for row in 0..array.len() {
            let value = output::value(array, row).map_err(external)?;
            let shown = clock(value, to, self.style).map_err(external)?;
            builder.append(shown.as_ref());
        }
        Ok(builder.finish())
    }

    /// The texts of values; `yes` and `no` are those of booleans.
    fn to_texts(&self, array: &ArrayRef, ty: ColumnType, yes: &str, no: &str) -> Result<ArrayRef> {
        // now() and integers of other widths.
        let array = &output::conform(array, ty).map_err(external)?;
        let mut builder = StringBuilder::new();
        let mut out = String::new();
        for row in 0..array.len() {
            match datum_at(array, row) {
                None => {
                    let message = format!("{} as text", array.data_type());
                    return Err(DataFusionError::NotImplemented(message));
                }
                Some(DatumRef::Null) => builder.append_null(),
                Some(DatumRef::Bool(value)) => builder.append_value(if value { yes } else { no }),
                Some(value) => {
                    out.clear();
                    text::write(value, ty, self.style, &mut out);
                    builder.append_value(&out);
                }
            }
        }
        Ok(Arc::new(builder.finish()))
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        match self.conversion {
            Conversion::Input(_) => "pg_input",
            Conversion::Output(_) => "pg_output",
            Conversion::Shown(_) => "pg_shown",
            Conversion::EachShown(_) => "pg_each_shown",
            Conversion::Bits(..) => "pg_to_bits",
            Conversion::Vector(..) => "pg_to_vector",
            Conversion::FromBits(_) => "pg_from_bits",
            Conversion::Cut(_) => "pg_cut",
            Conversion::Typed(_) => "pg_typed",
            Conversion::Round(_) => "pg_round",
            Conversion::Oid(_) => "pg_from_oid",
            Conversion::Narrow(_) => "pg_narrow",
            Conversion::Digits(_) => "pg_digits",
            Conversion::Number(_) => "pg_number",
            Conversion::Each(..) => "pg_each",
            Conversion::EachShaped(..) => "pg_each_shaped",
            Conversion::FromJson(_) => "pg_from_json",
            Conversion::Clock(..) => "pg_clock",
            Conversion::Kept(..) => "pg_kept",
            Conversion::Moment(..) => "pg_moment",
            Conversion::Network(_) => "pg_network",
            Conversion::Code(_) => "pg_code",
            Conversion::Pad(_) => "pg_pad",
            Conversion::Trim(_) => "pg_trim",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result_type().arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.result_type().field(self.name(), true)))
    }

    /// Nobody asks any more whether a text is a varchar: without the call, scans know what to do with the column.
    fn simplify(&self, mut args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match (self.conversion, args.pop()) {
            (Conversion::Typed(ColumnType::Text | ColumnType::Varchar(None)), Some(value)) => {
                Ok(ExprSimplifyResult::Simplified(value))
            }
            (_, value) => Ok(ExprSimplifyResult::Original(value.into_iter().collect())),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.apply(array)?)),
            ColumnarValue::Scalar(value) => {
                let result = self.apply(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &result, 0,
                )?))
            }
        }
    }
}
