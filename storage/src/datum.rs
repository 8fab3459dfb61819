//! Values and their types: what a column may hold, in a row and in an Arrow array.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Decimal256Builder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit, i256};
use serde::{Deserialize, Serialize};

/// Scale of a `numeric` that was declared without precision; its values have up to 76 digits in all.
pub const UNCONSTRAINED_NUMERIC_SCALE: i8 = 20;
/// Digits that a `numeric` can have.
pub const NUMERIC_PRECISION_MAX: u8 = 76;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// `numeric(precision, scale)`; `None` for plain `numeric`.
    Numeric(Option<(u8, i8)>),
    /// `text`
    Text,
    /// `varchar(n)`, n in characters; `None` for plain `varchar`.
    Varchar(Option<u32>),
    /// `boolean`
    Bool,
    /// `bytea`
    Bytea,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `jsonb`
    Jsonb,
}

impl ColumnType {
    /// The Arrow type of this column's arrays. Text, varchar and jsonb share `Utf8`.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Int2 => DataType::Int16,
            ColumnType::Int4 => DataType::Int32,
            ColumnType::Int8 => DataType::Int64,
            ColumnType::Float4 => DataType::Float32,
            ColumnType::Float8 => DataType::Float64,
            ColumnType::Numeric(_) => {
                let (precision, scale) = self.numeric_shape();
                if precision <= 38 {
                    DataType::Decimal128(precision, scale)
                } else {
                    DataType::Decimal256(precision, scale)
                }
            }
            ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Jsonb => DataType::Utf8,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Bytea => DataType::Binary,
            ColumnType::Uuid => DataType::FixedSizeBinary(16),
            ColumnType::Date => DataType::Date32,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            ColumnType::TimestampTz => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
            }
        }
    }

    /// Precision and scale that values of a numeric column are kept with.
    ///
    /// # Panics
    /// When the type is not `Numeric`.
    pub fn numeric_shape(self) -> (u8, i8) {
        match self {
            ColumnType::Numeric(shape) => {
                shape.unwrap_or((NUMERIC_PRECISION_MAX, UNCONSTRAINED_NUMERIC_SCALE))
            }
            other => panic!("{other:?} is not numeric"),
        }
    }
}

/// One value.
///
/// A value is of its column's type or `Null`; text, varchar and jsonb (in canonical text) are `Text`.
/// A numeric is `unscaled / 10^scale`, its scale that of its column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Datum {
    Null,
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
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
    Text(&'a str),
    Bool(bool),
    Bytea(&'a [u8]),
    Uuid(&'a [u8; 16]),
    Date(i32),
    Timestamp(i64),
    TimestampTz(i64),
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
            Datum::Text(v) => DatumRef::Text(v),
            Datum::Bool(v) => DatumRef::Bool(*v),
            Datum::Bytea(v) => DatumRef::Bytea(v),
            Datum::Uuid(v) => DatumRef::Uuid(v),
            Datum::Date(v) => DatumRef::Date(*v),
            Datum::Timestamp(v) => DatumRef::Timestamp(*v),
            Datum::TimestampTz(v) => DatumRef::TimestampTz(*v),
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
            DatumRef::Text(v) => Datum::Text(v.to_string()),
            DatumRef::Bool(v) => Datum::Bool(v),
            DatumRef::Bytea(v) => Datum::Bytea(v.to_vec()),
            DatumRef::Uuid(v) => Datum::Uuid(*v),
            DatumRef::Date(v) => Datum::Date(v),
            DatumRef::Timestamp(v) => Datum::Timestamp(v),
            DatumRef::TimestampTz(v) => Datum::TimestampTz(v),
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
        DataType::FixedSizeBinary(16) => {
            let bytes = cast::<FixedSizeBinaryArray>(array).value(index);
            DatumRef::Uuid(bytes.try_into().expect("the array's values have 16 bytes"))
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

/// Builds the array of one column, value by value.
pub enum ColumnBuilder {
    #[doc(hidden)]
    Int2(Int16Builder),
    #[doc(hidden)]
    Int4(Int32Builder),
    #[doc(hidden)]
    Int8(Int64Builder),
    #[doc(hidden)]
    Float4(Float32Builder),
    #[doc(hidden)]
    Float8(Float64Builder),
    #[doc(hidden)]
    Decimal128(Decimal128Builder),
    #[doc(hidden)]
    Decimal256(Decimal256Builder),
    #[doc(hidden)]
    Text(StringBuilder),
    #[doc(hidden)]
    Bool(BooleanBuilder),
    #[doc(hidden)]
    Bytea(BinaryBuilder),
    #[doc(hidden)]
    Uuid(FixedSizeBinaryBuilder),
    #[doc(hidden)]
    Date(Date32Builder),
    #[doc(hidden)]
    Timestamp(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    /// A builder for a column of this type.
    pub fn new(ty: ColumnType) -> ColumnBuilder {
        let arrow = ty.arrow();
        match ty {
            ColumnType::Int2 => ColumnBuilder::Int2(Int16Builder::new()),
            ColumnType::Int4 => ColumnBuilder::Int4(Int32Builder::new()),
            ColumnType::Int8 => ColumnBuilder::Int8(Int64Builder::new()),
            ColumnType::Float4 => ColumnBuilder::Float4(Float32Builder::new()),
            ColumnType::Float8 => ColumnBuilder::Float8(Float64Builder::new()),
            ColumnType::Numeric(_) if matches!(arrow, DataType::Decimal128(..)) => {
                ColumnBuilder::Decimal128(Decimal128Builder::new().with_data_type(arrow))
            }
            ColumnType::Numeric(_) => {
                ColumnBuilder::Decimal256(Decimal256Builder::new().with_data_type(arrow))
            }
            ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Jsonb => {
                ColumnBuilder::Text(StringBuilder::new())
            }
            ColumnType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnType::Bytea => ColumnBuilder::Bytea(BinaryBuilder::new()),
            ColumnType::Uuid => ColumnBuilder::Uuid(FixedSizeBinaryBuilder::new(16)),
            ColumnType::Date => ColumnBuilder::Date(Date32Builder::new()),
            ColumnType::Timestamp | ColumnType::TimestampTz => {
                ColumnBuilder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(arrow))
            }
        }
    }

    /// Appends one value.
    ///
    /// # Panics
    /// When the value is neither NULL nor of the builder's type: a row never leaves its table's types.
    pub fn append(&mut self, value: DatumRef<'_>) {
        match (self, value) {
            (ColumnBuilder::Int2(b), DatumRef::Int2(v)) => b.append_value(v),
            (ColumnBuilder::Int4(b), DatumRef::Int4(v)) => b.append_value(v),
            (ColumnBuilder::Int8(b), DatumRef::Int8(v)) => b.append_value(v),
            (ColumnBuilder::Float4(b), DatumRef::Float4(v)) => b.append_value(v),
            (ColumnBuilder::Float8(b), DatumRef::Float8(v)) => b.append_value(v),
            (ColumnBuilder::Decimal128(b), DatumRef::Numeric(v)) => {
                b.append_value(v.unscaled.to_i128().expect("38 digits fit 128 bits"));
            }
            (ColumnBuilder::Decimal256(b), DatumRef::Numeric(v)) => b.append_value(v.unscaled),
            (ColumnBuilder::Text(b), DatumRef::Text(v)) => b.append_value(v),
            (ColumnBuilder::Bool(b), DatumRef::Bool(v)) => b.append_value(v),
            (ColumnBuilder::Bytea(b), DatumRef::Bytea(v)) => b.append_value(v),
            (ColumnBuilder::Uuid(b), DatumRef::Uuid(v)) => {
                b.append_value(v).expect("a uuid has 16 bytes")
            }
            (ColumnBuilder::Date(b), DatumRef::Date(v)) => b.append_value(v),
            (ColumnBuilder::Timestamp(b), DatumRef::Timestamp(v) | DatumRef::TimestampTz(v)) => {
                b.append_value(v)
            }
            (builder, DatumRef::Null) => builder.append_null(),
            (_, value) => panic!("{value:?} is not of its column's type"),
        }
    }

    fn append_null(&mut self) {
        match self {
            ColumnBuilder::Int2(b) => b.append_null(),
            ColumnBuilder::Int4(b) => b.append_null(),
            ColumnBuilder::Int8(b) => b.append_null(),
            ColumnBuilder::Float4(b) => b.append_null(),
            ColumnBuilder::Float8(b) => b.append_null(),
            ColumnBuilder::Decimal128(b) => b.append_null(),
            ColumnBuilder::Decimal256(b) => b.append_null(),
            ColumnBuilder::Text(b) => b.append_null(),
            ColumnBuilder::Bool(b) => b.append_null(),
            ColumnBuilder::Bytea(b) => b.append_null(),
            ColumnBuilder::Uuid(b) => b.append_null(),
            ColumnBuilder::Date(b) => b.append_null(),
            ColumnBuilder::Timestamp(b) => b.append_null(),
        }
    }

    /// The array of all values appended since the last call.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Int2(b) => Arc::new(b.finish()),
            ColumnBuilder::Int4(b) => Arc::new(b.finish()),
            ColumnBuilder::Int8(b) => Arc::new(b.finish()),
            ColumnBuilder::Float4(b) => Arc::new(b.finish()),
            ColumnBuilder::Float8(b) => Arc::new(b.finish()),
            ColumnBuilder::Decimal128(b) => Arc::new(b.finish()),
            ColumnBuilder::Decimal256(b) => Arc::new(b.finish()),
            ColumnBuilder::Text(b) => Arc::new(b.finish()),
            ColumnBuilder::Bool(b) => Arc::new(b.finish()),
            ColumnBuilder::Bytea(b) => Arc::new(b.finish()),
            ColumnBuilder::Uuid(b) => Arc::new(b.finish()),
            ColumnBuilder::Date(b) => Arc::new(b.finish()),
            ColumnBuilder::Timestamp(b) => Arc::new(b.finish()),
        }
    }
}
