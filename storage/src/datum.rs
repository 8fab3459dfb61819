//! Values and their types: what a column may hold, in a row and in an Arrow array.

mod builder;
mod element;
mod enums;
mod fields;
mod number;
mod printed;
mod reg;
mod shape;
mod spelled;
mod stored;

use std::sync::Arc;

use arrow::array::Array;
use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    LargeBinaryArray, ListArray, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit, i256};
use serde::{Deserialize, Serialize};

pub use builder::ColumnBuilder;
pub use element::{ElementType, Elements};
pub use enums::{EnumDef, EnumLabel, EnumType};
pub use fields::{IntervalField, IntervalModifier};
pub use number::{Finite, NUMBER_SCALE_MAX, NUMBER_WHOLE_MAX, Number, NumberRef, Parts};
pub use printed::PrintedType;
pub use reg::RegType;
pub(crate) use shape::bytes as shape_bytes;
pub use shape::{
    DIMENSIONS_MAX, Dimension, ELEMENTS_MAX, Shape, ShapeRef, compare_shapes, elements_type, flat,
    shaped, shaped_of, shaped_type, with_elements,
};
pub(crate) use stored::INTERVAL_BYTES;
pub use stored::{from_stored, to_stored};

/// Digits that a `numeric` with a declared precision can have.
pub const NUMERIC_PRECISION_MAX: u8 = 76;

/// Digits of a second that a time can have behind the point.
pub const SECOND_DIGITS: u8 = 6;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum ColumnType {
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(precision, scale)`; `None` for plain `numeric`, whose values have scales of their own.
    Numeric(Option<(u8, i8)>),
    /// `text`
    Text,
    /// `varchar(n)`, n in characters; `None` for plain `varchar`.
    Varchar(Option<u32>),
    /// `character(n)`, n in characters; `None` for plain `bpchar`. Values are without their padding.
    Bpchar(Option<u32>),
    /// `name`
    Name,
    /// `"char"`
    Char,
    /// `oid`; its values are `Int8` from 0 to 2^32 - 1.
    Oid,
    /// `regproc`: the oid of a function, which is shown as its name.
    Regproc,
    /// `regclass` or its like: the oid of what the catalog names. No table has columns of it.
    Reg(RegType),
    /// `bit(n)`; `None` for bits of any number. Values are texts of 0 and 1.
    Bit(Option<u32>),
    /// `bit varying(n)`; `None` for plain `varbit`.
    Varbit(Option<u32>),
    /// `boolean`
    Bool,
    /// `bytea`
    Bytea,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `time(p) without time zone`, p digits of a second; `None` for plain `time`.
    Time(Option<u8>),
    /// `time(p) with time zone`
    TimeTz(Option<u8>),
    /// `timestamp(p) without time zone`
    Timestamp(Option<u8>),
    /// `timestamp(p) with time zone`
    TimestampTz(Option<u8>),
    /// `interval`, of some fields or digits of a second; `None` for plain `interval`.
    Interval(Option<IntervalModifier>),
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// A type whose values are their texts.
    Printed(PrintedType),
    /// A type of CREATE TYPE … AS ENUM; its values are their labels.
    Enum(EnumType),
    /// An array of one dimension, counted from 1.
    Array(ElementType),
    /// An array of any number of dimensions, counted from anywhere. It is the same type to users: this one is where it may
    /// be more than the other.
    Shaped(ElementType),
}

impl ColumnType {
    /// The Arrow type of this column's arrays. All that is written as text shares `Utf8`; what it is, is in the
    /// field's metadata ([`crate::catalog::PG_TYPE_KEY`]).
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Int2 => DataType::Int16,
            ColumnType::Int4 => DataType::Int32,
            ColumnType::Int8 => DataType::Int64,
            ColumnType::Float4 => DataType::Float32,
            ColumnType::Float8 => DataType::Float64,
            ColumnType::Numeric(Some((precision, scale))) if precision <= 38 => {
                DataType::Decimal128(precision, scale)
            }
            ColumnType::Numeric(Some((precision, scale))) => DataType::Decimal256(precision, scale),
            // Nothing else is of this type: it tells a number without metadata.
            ColumnType::Numeric(None) => DataType::LargeBinary,
            ColumnType::Text
            | ColumnType::Varchar(_)
            | ColumnType::Bpchar(_)
            | ColumnType::Name
            | ColumnType::Char
            | ColumnType::Bit(_)
            | ColumnType::Varbit(_)
            | ColumnType::Json
            | ColumnType::Jsonb
            | ColumnType::Printed(_)
            | ColumnType::Enum(_) => DataType::Utf8,
            ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_) => DataType::Int64,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Bytea => DataType::Binary,
            ColumnType::Uuid => DataType::FixedSizeBinary(16),
            ColumnType::Date => DataType::Date32,
            ColumnType::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            ColumnType::TimeTz(_) => DataType::FixedSizeBinary(TIMETZ_BYTES),
            ColumnType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            ColumnType::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            ColumnType::TimestampTz(_) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
            }
            ColumnType::Array(element) => {
                let element = ColumnType::from(element).arrow();
                DataType::List(Arc::new(Field::new_list_field(element, true)))
            }
            ColumnType::Shaped(element) => shaped_type(ColumnType::Array(element).arrow()),
        }
    }

    /// The type of an array's elements; `None` for what is no array.
    pub fn elements(self) -> Option<ElementType> {
        match self {
            ColumnType::Array(element) | ColumnType::Shaped(element) => Some(element),
            _ => None,
        }
    }

    /// Whether its values are `Text`.
    pub fn is_textual(self) -> bool {
        self.arrow() == DataType::Utf8
    }
}

/// One value.
///
/// A value is of its column's type or `Null`. What is written as text is `Text`: jsonb in canonical form, an enum's
/// value as its label, bits as 0 and 1. An oid is an `Int8`.
/// A numeric of declared precision is `Numeric`, its scale that of its column, any other is a `Number`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Datum {
    Null,
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(#[serde(with = "as_text")] f32),
    Float8(#[serde(with = "as_text")] f64),
    Numeric(Numeric),
    Number(Number),
    Text(String),
    Bool(bool),
    Bytea(Vec<u8>),
    Uuid([u8; 16]),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00:00.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    TimestampTz(i64),
    /// Microseconds since midnight.
    Time(i64),
    TimeTz(TimeTz),
    Interval(Interval),
    /// Of one dimension that begins at 1, or empty.
    Array(Vec<Datum>),
    /// Any other: the elements row by row.
    Shaped(Shape, Vec<Datum>),
}

/// Floats in JSON, which has no infinite ones and no NaN.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A time of day somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeTz {
    /// Microseconds since midnight there.
    pub micros: i64,
    /// Seconds that it is west of UTC, as PostgreSQL counts.
    pub west: i32,
}

/// Bytes of a `TimeTz` in an Arrow array.
const TIMETZ_BYTES: i32 = 12;

impl TimeTz {
    /// Bytes that sort as PostgreSQL sorts: by the moment, then by the zone.
    pub fn to_bytes(self) -> [u8; 12] {
        let moment = self.micros + i64::from(self.west) * 1_000_000;
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&(moment ^ i64::MIN).to_be_bytes());
        bytes[8..].copy_from_slice(&(self.west ^ i32::MIN).to_be_bytes());
        bytes
    }

    /// The value whose bytes these are.
    pub fn from_bytes(bytes: [u8; 12]) -> TimeTz {
        let (moment, west) = bytes
            .split_first_chunk::<8>()
            .expect("12 bytes are more than 8");
        let west: [u8; 4] = west.try_into().expect("12 bytes are 8 and 4");
        let moment = i64::from_be_bytes(*moment) ^ i64::MIN;
        let west = i32::from_be_bytes(west) ^ i32::MIN;
        // Wraps around for bytes that no value has.
        let micros = moment.wrapping_sub(i64::from(west) * 1_000_000);
        TimeTz { micros, west }
    }
}

/// A span of time, in the three units that PostgreSQL keeps apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    /// At most what nanoseconds in an `i64` can hold, as Arrow counts.
    pub micros: i64,
}

impl Interval {
    /// The largest number of microseconds that an interval can have, and the negative of the smallest.
    pub const MICROS_MAX: i64 = i64::MAX / 1000;

    /// What intervals are compared by: microseconds, a month as 30 days and a day as 24 hours.
    pub fn span(self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * 86_400_000_000 + i128::from(self.micros)
    }
}

/// A row's values, in the order of its table's columns.
pub type Row = Vec<Datum>;

/// An exact decimal: `unscaled / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numeric {
    /// The digits, as an integer.
    pub unscaled: i256,
    /// How many of them stand behind the point.
    pub scale: i8,
}

impl Serialize for Numeric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.unscaled.to_le_bytes(), self.scale).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Numeric {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, scale) = <([u8; 32], i8)>::deserialize(deserializer)?;
        Ok(Numeric {
            unscaled: i256::from_le_bytes(bytes),
            scale,
        })
    }
}

/// A value borrowed from a row or from an Arrow array.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum DatumRef<'a> {
    Null,
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    Number(NumberRef<'a>),
    Text(&'a str),
    Bool(bool),
    Bytea(&'a [u8]),
    Uuid(&'a [u8; 16]),
    Date(i32),
    Timestamp(i64),
    TimestampTz(i64),
    Time(i64),
    TimeTz(TimeTz),
    Interval(Interval),
    Array(Elements<'a>),
    Shaped(ShapeRef<'a>, Elements<'a>),
}

impl Datum {
    /// The value, borrowed.
    pub fn as_ref(&self) -> DatumRef<'_> {
        match self {
            Datum::Null => DatumRef::Null,
            Datum::Int2(v) => DatumRef::Int2(*v),
            Datum::Int4(v) => DatumRef::Int4(*v),
            Datum::Int8(v) => DatumRef::Int8(*v),
            Datum::Float4(v) => DatumRef::Float4(*v),
            Datum::Float8(v) => DatumRef::Float8(*v),
            Datum::Numeric(v) => DatumRef::Numeric(*v),
            Datum::Number(v) => DatumRef::Number(v.as_ref()),
            Datum::Text(v) => DatumRef::Text(v),
            Datum::Bool(v) => DatumRef::Bool(*v),
            Datum::Bytea(v) => DatumRef::Bytea(v),
            Datum::Uuid(v) => DatumRef::Uuid(v),
            Datum::Date(v) => DatumRef::Date(*v),
            Datum::Timestamp(v) => DatumRef::Timestamp(*v),
            Datum::TimestampTz(v) => DatumRef::TimestampTz(*v),
            Datum::Time(v) => DatumRef::Time(*v),
            Datum::TimeTz(v) => DatumRef::TimeTz(*v),
            Datum::Interval(v) => DatumRef::Interval(*v),
            Datum::Array(v) => DatumRef::Array(Elements::owned(v)),
            Datum::Shaped(shape, v) => DatumRef::Shaped(shape.as_ref(), Elements::owned(v)),
        }
    }

    /// An array of these elements, row by row, in these dimensions.
    pub fn of_elements(dimensions: &[Dimension], elements: Vec<Datum>) -> Datum {
        match Shape::new(dimensions) {
            Some(shape) if !elements.is_empty() => Datum::Shaped(shape, elements),
            _ => Datum::Array(elements),
        }
    }

    /// Whether this is SQL's NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }
}

impl DatumRef<'_> {
    /// The value, owned.
    pub fn to_owned(self) -> Datum {
        match self {
            DatumRef::Null => Datum::Null,
            DatumRef::Int2(v) => Datum::Int2(v),
            DatumRef::Int4(v) => Datum::Int4(v),
            DatumRef::Int8(v) => Datum::Int8(v),
            DatumRef::Float4(v) => Datum::Float4(v),
            DatumRef::Float8(v) => Datum::Float8(v),
            DatumRef::Numeric(v) => Datum::Numeric(v),
            DatumRef::Number(v) => Datum::Number(v.to_owned()),
            DatumRef::Text(v) => Datum::Text(v.to_string()),
            DatumRef::Bool(v) => Datum::Bool(v),
            DatumRef::Bytea(v) => Datum::Bytea(v.to_vec()),
            DatumRef::Uuid(v) => Datum::Uuid(*v),
            DatumRef::Date(v) => Datum::Date(v),
            DatumRef::Timestamp(v) => Datum::Timestamp(v),
            DatumRef::TimestampTz(v) => Datum::TimestampTz(v),
            DatumRef::Time(v) => Datum::Time(v),
            DatumRef::TimeTz(v) => Datum::TimeTz(v),
            DatumRef::Interval(v) => Datum::Interval(v),
            DatumRef::Array(v) => Datum::Array(v.to_vec()),
            DatumRef::Shaped(shape, v) => Datum::Shaped(shape.to_owned(), v.to_vec()),
        }
    }
}

impl<'a> DatumRef<'a> {
    /// The elements of an array, row by row; `None` for what is no array.
    pub fn elements(self) -> Option<Elements<'a>> {
        match self {
            DatumRef::Array(elements) | DatumRef::Shaped(_, elements) => Some(elements),
            _ => None,
        }
    }

    /// The dimensions of an array, the outermost first; none of an empty one, and of what is no array.
    pub fn dimensions(self) -> Vec<Dimension> {
        match self {
            DatumRef::Array(elements) if !elements.is_empty() => vec![Dimension {
                length: u32::try_from(elements.len()).unwrap_or(u32::MAX),
                lower: 1,
            }],
            DatumRef::Shaped(shape, _) => shape.dimensions(),
            _ => Vec::new(),
        }
    }
}

/// The value at `index` of an array of one of the types that `ColumnType::arrow` gives; `None` for an
/// array of any other type.
pub fn datum_at(array: &dyn Array, index: usize) -> Option<DatumRef<'_>> {
    fn cast<T: 'static>(array: &dyn Array) -> &T {
        array
            .as_any()
            .downcast_ref::<T>()
            .expect("the array's type says so")
    }
    if array.is_null(index) {
        return Some(DatumRef::Null);
    }
    Some(match array.data_type() {
        DataType::Null => DatumRef::Null,
        DataType::Int16 => DatumRef::Int2(cast::<Int16Array>(array).value(index)),
        DataType::Int32 => DatumRef::Int4(cast::<Int32Array>(array).value(index)),
        DataType::Int64 => DatumRef::Int8(cast::<Int64Array>(array).value(index)),
        DataType::Float32 => DatumRef::Float4(cast::<Float32Array>(array).value(index)),
        DataType::Float64 => DatumRef::Float8(cast::<Float64Array>(array).value(index)),
        DataType::Decimal128(_, scale) => DatumRef::Numeric(Numeric {
            unscaled: i256::from_i128(cast::<Decimal128Array>(array).value(index)),
            scale: *scale,
        }),
        DataType::Decimal256(_, scale) => DatumRef::Numeric(Numeric {
            unscaled: cast::<Decimal256Array>(array).value(index),
            scale: *scale,
        }),
        DataType::Utf8 => DatumRef::Text(cast::<StringArray>(array).value(index)),
        DataType::Boolean => DatumRef::Bool(cast::<BooleanArray>(array).value(index)),
        DataType::Binary => DatumRef::Bytea(cast::<BinaryArray>(array).value(index)),
        DataType::LargeBinary => {
            let bytes = cast::<LargeBinaryArray>(array).value(index);
            DatumRef::Number(NumberRef::of_array(bytes))
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = cast::<FixedSizeBinaryArray>(array).value(index);
            DatumRef::Uuid(bytes.try_into().expect("the array's values have 16 bytes"))
        }
        DataType::FixedSizeBinary(TIMETZ_BYTES) => {
            let bytes = cast::<FixedSizeBinaryArray>(array).value(index);
            let bytes = bytes.try_into().expect("the array's values have 12 bytes");
            DatumRef::TimeTz(TimeTz::from_bytes(bytes))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            DatumRef::Time(cast::<Time64MicrosecondArray>(array).value(index))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = cast::<IntervalMonthDayNanoArray>(array).value(index);
            DatumRef::Interval(Interval {
                months: value.months,
                days: value.days,
                micros: value.nanoseconds / 1000,
            })
        }
        DataType::List(_) => {
            let list = cast::<ListArray>(array);
            let offsets = list.value_offsets();
            let at = |index: usize| usize::try_from(offsets[index]).expect("offsets ascend from 0");
            let elements = Elements::arrow(list.values().as_ref(), at(index), at(index + 1));
            DatumRef::Array(elements)
        }
        DataType::Struct(_) if elements_type(array.data_type()).is_some() => {
            let array = cast::<StructArray>(array);
            let DatumRef::Array(elements) = datum_at(array.column(0), index)? else {
                return Some(DatumRef::Null);
            };
            let shapes = shape::shapes(array);
            match shapes.is_valid(index) {
                true => DatumRef::Shaped(ShapeRef::of_array(shapes.value(index)), elements),
                false => DatumRef::Array(elements),
            }
        }
        DataType::Date32 => DatumRef::Date(cast::<Date32Array>(array).value(index)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = cast::<TimestampMicrosecondArray>(array).value(index);
            if zone.is_some() {
                DatumRef::TimestampTz(micros)
            } else {
                DatumRef::Timestamp(micros)
            }
        }
        _ => return None,
    })
}
