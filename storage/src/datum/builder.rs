//! Arrow arrays from values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Decimal256Builder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, LargeBinaryBuilder, ListArray,
    StringBuilder, StructArray, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};

use super::{ColumnType, DatumRef, Elements, Number, TIMETZ_BYTES, shape};

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
    Number(LargeBinaryBuilder),
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
    #[doc(hidden)]
    Time(Time64MicrosecondBuilder),
    #[doc(hidden)]
    TimeTz(FixedSizeBinaryBuilder),
    #[doc(hidden)]
    Interval(IntervalMonthDayNanoBuilder),
    #[doc(hidden)]
    Array(Box<ArrayBuilder>),
    #[doc(hidden)]
    Shaped(Box<ArrayBuilder>, BinaryBuilder),
}

/// Builds a column of arrays.
#[doc(hidden)]
pub struct ArrayBuilder {
    elements: ColumnBuilder,
    lengths: Vec<usize>,
    present: Vec<bool>,
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
            ColumnType::Numeric(None) => ColumnBuilder::Number(LargeBinaryBuilder::new()),
            ColumnType::Numeric(_) => {
                ColumnBuilder::Decimal256(Decimal256Builder::new().with_data_type(arrow))
            }
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
            | ColumnType::Enum(_) => ColumnBuilder::Text(StringBuilder::new()),
            ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_) => {
                ColumnBuilder::Int8(Int64Builder::new())
            }
            ColumnType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnType::Bytea => ColumnBuilder::Bytea(BinaryBuilder::new()),
            ColumnType::Uuid => ColumnBuilder::Uuid(FixedSizeBinaryBuilder::new(16)),
            ColumnType::Date => ColumnBuilder::Date(Date32Builder::new()),
            ColumnType::Timestamp(_) | ColumnType::TimestampTz(_) => {
                ColumnBuilder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(arrow))
            }
            ColumnType::Time(_) => ColumnBuilder::Time(Time64MicrosecondBuilder::new()),
            ColumnType::TimeTz(_) => {
                ColumnBuilder::TimeTz(FixedSizeBinaryBuilder::new(TIMETZ_BYTES))
            }
            ColumnType::Interval(_) => ColumnBuilder::Interval(IntervalMonthDayNanoBuilder::new()),
            ColumnType::Array(element) => ColumnBuilder::Array(ArrayBuilder::new(element.into())),
            ColumnType::Shaped(element) => {
                ColumnBuilder::Shaped(ArrayBuilder::new(element.into()), BinaryBuilder::new())
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
            // Arrow tells NaNs from each other, which are all the same.
            (ColumnBuilder::Float4(b), DatumRef::Float4(v)) => {
                b.append_value(if v.is_nan() { f32::NAN.abs() } else { v });
            }
            (ColumnBuilder::Float8(b), DatumRef::Float8(v)) => {
                b.append_value(if v.is_nan() { f64::NAN.abs() } else { v });
            }
            (ColumnBuilder::Decimal128(b), DatumRef::Numeric(v)) => {
                b.append_value(v.unscaled.to_i128().expect("38 digits fit 128 bits"));
            }
            (ColumnBuilder::Decimal256(b), DatumRef::Numeric(v)) => b.append_value(v.unscaled),
            (ColumnBuilder::Number(b), DatumRef::Number(v)) => b.append_value(v.bytes()),
            (ColumnBuilder::Number(b), DatumRef::Numeric(v)) => {
                b.append_value(Number::from(v).as_ref().bytes());
            }
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
            (ColumnBuilder::Time(b), DatumRef::Time(v)) => b.append_value(v),
            (ColumnBuilder::TimeTz(b), DatumRef::TimeTz(v)) => {
                b.append_value(v.to_bytes()).expect("a timetz has 12 bytes")
            }
            (ColumnBuilder::Interval(b), DatumRef::Interval(v)) => {
                let nanoseconds = v.micros.saturating_mul(1000);
                b.append_value(IntervalMonthDayNano::new(v.months, v.days, nanoseconds));
            }
            (ColumnBuilder::Array(b), DatumRef::Array(elements)) => b.append(elements),
            (ColumnBuilder::Shaped(b, shapes), DatumRef::Array(elements)) => {
                b.append(elements);
                shapes.append_null();
            }
            (ColumnBuilder::Shaped(b, shapes), DatumRef::Shaped(shape, elements)) => {
                b.append(elements);
                shapes.append_value(shape.bytes());
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
            ColumnBuilder::Number(b) => b.append_null(),
            ColumnBuilder::Text(b) => b.append_null(),
            ColumnBuilder::Bool(b) => b.append_null(),
            ColumnBuilder::Bytea(b) => b.append_null(),
            ColumnBuilder::Uuid(b) => b.append_null(),
            ColumnBuilder::Date(b) => b.append_null(),
            ColumnBuilder::Timestamp(b) => b.append_null(),
            ColumnBuilder::Time(b) => b.append_null(),
            ColumnBuilder::TimeTz(b) => b.append_null(),
            ColumnBuilder::Interval(b) => b.append_null(),
            ColumnBuilder::Array(b) => b.append_null(),
            ColumnBuilder::Shaped(b, shapes) => {
                b.append_null();
                shapes.append_null();
            }
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
            ColumnBuilder::Number(b) => Arc::new(b.finish()),
            ColumnBuilder::Text(b) => Arc::new(b.finish()),
            ColumnBuilder::Bool(b) => Arc::new(b.finish()),
            ColumnBuilder::Bytea(b) => Arc::new(b.finish()),
            ColumnBuilder::Uuid(b) => Arc::new(b.finish()),
            ColumnBuilder::Date(b) => Arc::new(b.finish()),
            ColumnBuilder::Timestamp(b) => Arc::new(b.finish()),
            ColumnBuilder::Time(b) => Arc::new(b.finish()),
            ColumnBuilder::TimeTz(b) => Arc::new(b.finish()),
            ColumnBuilder::Interval(b) => Arc::new(b.finish()),
            ColumnBuilder::Array(b) => Arc::new(b.finish()),
            ColumnBuilder::Shaped(b, shapes) => {
                let lists = b.finish();
                let nulls = lists.nulls().cloned();
                let fields = shape::fields(lists.data_type().clone());
                let parts: Vec<ArrayRef> = vec![Arc::new(lists), Arc::new(shapes.finish())];
                Arc::new(StructArray::new(fields, parts, nulls))
            }
        }
    }
}

impl ArrayBuilder {
    fn new(element: ColumnType) -> Box<ArrayBuilder> {
        Box::new(ArrayBuilder {
            elements: ColumnBuilder::new(element),
            lengths: Vec::new(),
            present: Vec::new(),
        })
    }

    fn append(&mut self, elements: Elements<'_>) {
        elements.for_each(|value| {
            let value = value.expect("elements are of a column's type");
            self.elements.append(value);
        });
        self.lengths.push(elements.len());
        self.present.push(true);
    }

    fn append_null(&mut self) {
        self.lengths.push(0);
        self.present.push(false);
    }

    fn finish(&mut self) -> ListArray {
        let elements = self.elements.finish();
        let item = Field::new_list_field(elements.data_type().clone(), true);
        let lengths = std::mem::take(&mut self.lengths);
        let present = std::mem::take(&mut self.present);
        ListArray::new(
            Arc::new(item),
            OffsetBuffer::from_lengths(lengths),
            elements,
            Some(NullBuffer::from(present)),
        )
    }
}
