//! Arrow types that Parquet lacks, as cold files hold them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, IntervalMonthDayNanoBuilder, ListArray,
};
use arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};

use super::{ColumnType, ElementType, Interval, shape};

/// Bytes of an interval in rows and files: months and days as `i32`, microseconds as `i64`, little-endian.
pub(crate) const INTERVAL_BYTES: usize = 16;

impl Interval {
    /// As rows and files have it.
    pub(crate) fn to_bytes(self) -> [u8; INTERVAL_BYTES] {
        let mut bytes = [0; INTERVAL_BYTES];
        bytes[..4].copy_from_slice(&self.months.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.days.to_le_bytes());
        bytes[8..].copy_from_slice(&self.micros.to_le_bytes());
        bytes
    }

    /// The interval whose bytes these are.
    pub(crate) fn from_bytes(bytes: &[u8; INTERVAL_BYTES]) -> Interval {
        let [m0, m1, m2, m3, d0, d1, d2, d3, rest @ ..] = *bytes;
        Interval {
            months: i32::from_le_bytes([m0, m1, m2, m3]),
            days: i32::from_le_bytes([d0, d1, d2, d3]),
            micros: i64::from_le_bytes(rest),
        }
    }
}

impl ColumnType {
    /// The Arrow type of this column in cold files.
    pub fn stored_arrow(self) -> DataType {
        stored_type(&self.arrow())
    }
}

fn stored_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            DataType::FixedSizeBinary(INTERVAL_BYTES as i32)
        }
        DataType::List(item) => {
            let item = Field::new_list_field(stored_type(item.data_type()), true);
            DataType::List(Arc::new(item))
        }
        shaped => match shape::elements_type(shaped) {
            Some(elements) => shape::shaped_type(stored_type(elements)),
            None => shaped.clone(),
        },
    }
}

/// A column's array as a cold file holds it.
pub fn to_stored(array: &ArrayRef) -> ArrayRef {
    if stored_type(array.data_type()) == *array.data_type() {
        return array.clone();
    }
    if let Some(lists) = array.as_list_opt::<i32>() {
        return Arc::new(with_elements(lists, to_stored(lists.values())));
    }
    if let (Some(shaped), Some(lists)) = (array.as_struct_opt(), shape::flat(array)) {
        let elements = with_elements(&lists, to_stored(lists.values()));
        return shape::with_elements(shaped, elements);
    }
    let mut builder = FixedSizeBinaryBuilder::new(INTERVAL_BYTES as i32);
    for value in array.as_primitive::<IntervalMonthDayNanoType>() {
        let bytes = value.map(|value| {
            let (months, days) = (value.months, value.days);
            let micros = value.nanoseconds / 1000;
            Interval {
                months,
                days,
                micros,
            }
            .to_bytes()
        });
        match bytes {
            Some(bytes) => builder
                .append_value(bytes)
                .expect("an interval has 16 bytes"),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

/// What a cold file holds of a column of this type, as the column's array.
pub fn from_stored(array: &ArrayRef, ty: ColumnType) -> ArrayRef {
    match ty {
        ColumnType::Interval(_) => intervals(array),
        ColumnType::Array(ElementType::Interval(_)) => match array.as_list_opt::<i32>() {
            Some(lists) => Arc::new(with_elements(lists, intervals(lists.values()))),
            None => array.clone(),
        },
        ColumnType::Shaped(ElementType::Interval(_)) => {
            match (array.as_struct_opt(), shape::flat(array)) {
                (Some(shaped), Some(lists)) => {
                    let elements = with_elements(&lists, intervals(lists.values()));
                    shape::with_elements(shaped, elements)
                }
                _ => array.clone(),
            }
        }
        _ => array.clone(),
    }
}

fn intervals(array: &ArrayRef) -> ArrayRef {
    let Some(values) = array.as_fixed_size_binary_opt() else {
        return array.clone();
    };
    let mut builder = IntervalMonthDayNanoBuilder::with_capacity(values.len());
    for value in values {
        let bytes = value.and_then(|bytes| <&[u8; INTERVAL_BYTES]>::try_from(bytes).ok());
        builder.append_option(bytes.map(|bytes| {
            let value = Interval::from_bytes(bytes);
            let nanoseconds = value.micros.saturating_mul(1000);
            IntervalMonthDayNano::new(value.months, value.days, nanoseconds)
        }));
    }
    Arc::new(builder.finish())
}

fn with_elements(lists: &ListArray, elements: ArrayRef) -> ListArray {
    let item = Field::new_list_field(elements.data_type().clone(), true);
    ListArray::new(
        Arc::new(item),
        lists.offsets().clone(),
        elements,
        lists.nulls().cloned(),
    )
}
