//! Widening: a column's type becomes one that has every value of the old one, and what was written before is read as
//! the new type. No record and no file is written again.
//!
//! Does not: change values other than as PostgreSQL's casts do, nor narrow anything.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::i256;
use arrow::error::ArrowError;

use crate::datum::{
    ColumnBuilder, ColumnType, Datum, DatumRef, ElementType, IntervalModifier, Numeric,
    SECOND_DIGITS, datum_at, shaped,
};
use crate::key::rescale;

/// Whether every value of the one type is a value of the other, so that a column can change between them.
pub fn widens(from: ColumnType, to: ColumnType) -> bool {
    use ColumnType::{
        Array, Bpchar, Enum, Float4, Float8, Int2, Int4, Int8, Numeric, Shaped, Text, Varchar,
    };
    if let Some(widens) = clock_widens(from, to) {
        return widens;
    }
    // Digits before the point that a numeric has room for.
    let whole = |(precision, scale): (u8, i8)| i32::from(precision) - i32::from(scale);
    match (from, to) {
        _ if from == to => true,
        (Int2, Int4 | Int8 | Float4 | Float8) | (Int4, Int8 | Float8) | (Float4, Float8) => true,
        (Int2 | Int4 | Int8 | Numeric(_), Numeric(None)) => true,
        (Int2, Numeric(Some(to))) => whole(to) >= 5,
        (Int4, Numeric(Some(to))) => whole(to) >= 10,
        (Int8, Numeric(Some(to))) => whole(to) >= 19,
        (Numeric(Some(from)), Numeric(Some(to))) => whole(to) >= whole(from) && to.1 >= from.1,
        (Varchar(Some(from)), Varchar(Some(to))) | (Bpchar(Some(from)), Bpchar(Some(to))) => {
            from <= to
        }
        (Bpchar(_), Bpchar(None)) => true,
        // Labels are added, never taken away.
        (Enum(from), Enum(to)) => from.is_before(to),
        (Array(ElementType::Enum(from)), Array(ElementType::Enum(to)))
        | (Shaped(ElementType::Enum(from)), Shaped(ElementType::Enum(to))) => from.is_before(to),
        // The same type to users.
        (Array(from), Shaped(to)) => from == to,
        (Varchar(_) | Text, Varchar(None) | Text) => true,
        _ => false,
    }
}

/// Whether a time, timestamp or interval of the one type is one of the other; `None` where these are not two of the same
/// but for what they keep.
fn clock_widens(from: ColumnType, to: ColumnType) -> Option<bool> {
    use ColumnType::{Array, Interval, Shaped, Time, TimeTz, Timestamp, TimestampTz};
    let all = |digits: Option<u8>| digits.unwrap_or(SECOND_DIGITS);
    Some(match (from, to) {
        (Time(from), Time(to))
        | (TimeTz(from), TimeTz(to))
        | (Timestamp(from), Timestamp(to))
        | (TimestampTz(from), TimestampTz(to)) => all(from) <= all(to),
        (Interval(from), Interval(to)) => {
            let digits = |kept: Option<IntervalModifier>| all(kept.and_then(|kept| kept.digits()));
            let fields = |kept: Option<IntervalModifier>| kept.and_then(|kept| kept.fields());
            digits(from) <= digits(to) && (fields(to).is_none() || fields(from) == fields(to))
        }
        (Array(from), Array(to)) | (Shaped(from), Shaped(to)) => {
            return clock_widens(from.into(), to.into());
        }
        _ => return None,
    })
}

/// Whether a value of the one type has the same bytes in keys and indexes as a value of the other that it widens to.
pub fn keeps_key_bytes(from: ColumnType, to: ColumnType) -> bool {
    match (from, to) {
        (ColumnType::Numeric(from), ColumnType::Numeric(to)) => {
            from.map(|(_, scale)| scale) == to.map(|(_, scale)| scale)
        }
        (ColumnType::Varchar(_) | ColumnType::Text, ColumnType::Varchar(_) | ColumnType::Text) => {
            true
        }
        (ColumnType::Bpchar(_), ColumnType::Bpchar(_)) => true,
        (from, to) if clock_widens(from, to).is_some() => true,
        // A label keeps its place.
        (ColumnType::Enum(_), ColumnType::Enum(_))
        | (ColumnType::Array(ElementType::Enum(_)), ColumnType::Array(ElementType::Enum(_)))
        | (ColumnType::Shaped(ElementType::Enum(_)), ColumnType::Shaped(ElementType::Enum(_))) => {
            widens(from, to)
        }
        _ => from == to,
    }
}

/// A value as one of a type that its own widens to; any other value stays as it is. One of plain `numeric` may be a
/// `Numeric`.
pub fn value(value: DatumRef<'_>, to: ColumnType) -> DatumRef<'_> {
    let whole = match value {
        DatumRef::Int2(v) => i64::from(v),
        DatumRef::Int4(v) => i64::from(v),
        DatumRef::Int8(v) => v,
        _ => 0,
    };
    match (value, to) {
        (DatumRef::Int2(v), ColumnType::Int4) => DatumRef::Int4(i32::from(v)),
        (DatumRef::Int2(_) | DatumRef::Int4(_), ColumnType::Int8) => DatumRef::Int8(whole),
        (DatumRef::Int2(v), ColumnType::Float4) => DatumRef::Float4(f32::from(v)),
        (DatumRef::Int2(v), ColumnType::Float8) => DatumRef::Float8(f64::from(v)),
        (DatumRef::Int4(v), ColumnType::Float8) => DatumRef::Float8(f64::from(v)),
        (DatumRef::Float4(v), ColumnType::Float8) => DatumRef::Float8(f64::from(v)),
        (DatumRef::Int2(_) | DatumRef::Int4(_) | DatumRef::Int8(_), ColumnType::Numeric(_)) => {
            let unscaled = i256::from_i128(whole.into());
            numeric(Numeric { unscaled, scale: 0 }, to)
        }
        (DatumRef::Numeric(v), ColumnType::Numeric(_)) => numeric(v, to),
        (value, _) => value,
    }
}

/// The same, owned, a value of plain `numeric` as a `Number`.
pub fn owned(value: DatumRef<'_>, to: ColumnType) -> Datum {
    match (self::value(value, to), to) {
        (DatumRef::Numeric(v), ColumnType::Numeric(None)) => Datum::Number(v.into()),
        (value, _) => value.to_owned(),
    }
}

fn numeric(value: Numeric, to: ColumnType) -> DatumRef<'static> {
    let ColumnType::Numeric(Some((_, scale))) = to else {
        return DatumRef::Numeric(value);
    };
    match rescale(value, scale) {
        Some(unscaled) => DatumRef::Numeric(Numeric { unscaled, scale }),
        None => DatumRef::Numeric(value),
    }
}

/// An array of values, in the form that files have, as one of a type that theirs widens to. An array that is of the
/// type already comes back.
pub fn array(array: &ArrayRef, of: ColumnType) -> Result<ArrayRef, ArrowError> {
    let to = of.stored_arrow();
    if *array.data_type() == to {
        return Ok(array.clone());
    }
    if let (ColumnType::Shaped(element), Some(lists)) = (of, array.as_list_opt::<i32>()) {
        let lists = self::array(
            &(Arc::new(lists.clone()) as ArrayRef),
            ColumnType::Array(element),
        )?;
        return Ok(shaped(lists.as_list()));
    }
    if of == ColumnType::Numeric(None) {
        let mut numbers = ColumnBuilder::new(of);
        for at in 0..array.len() {
            let narrow = datum_at(array, at).ok_or_else(|| {
                ArrowError::CastError(format!("{} as a numeric", array.data_type()))
            })?;
            numbers.append(value(narrow, of));
        }
        return Ok(numbers.finish());
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, &to, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [ColumnType; 15] = [
        ColumnType::Int2,
        ColumnType::Int4,
        ColumnType::Int8,
        ColumnType::Float4,
        ColumnType::Float8,
        ColumnType::Numeric(None),
        ColumnType::Numeric(Some((5, 0))),
        ColumnType::Numeric(Some((7, 2))),
        ColumnType::Numeric(Some((38, 2))),
        ColumnType::Numeric(Some((76, 20))),
        ColumnType::Text,
        ColumnType::Varchar(None),
        ColumnType::Varchar(Some(3)),
        ColumnType::Varchar(Some(9)),
        ColumnType::Bool,
    ];

    fn samples(ty: ColumnType) -> Vec<DatumRef<'static>> {
        let mut samples = match ty {
            ColumnType::Int2 => [i16::MIN, 0, i16::MAX].map(DatumRef::Int2).to_vec(),
            ColumnType::Int4 => [i32::MIN, 0, i32::MAX].map(DatumRef::Int4).to_vec(),
            ColumnType::Int8 => [i64::MIN, 0, i64::MAX].map(DatumRef::Int8).to_vec(),
            ColumnType::Float4 => [f32::MIN, 0.1, f32::INFINITY]
                .map(DatumRef::Float4)
                .to_vec(),
            ColumnType::Float8 => vec![DatumRef::Float8(0.1)],
            ColumnType::Numeric(shape) => {
                let (digits, scale) = shape.unwrap_or((76, 30));
                let nines = i256::from_string(&"9".repeat(digits.into())).unwrap();
                let numeric = |unscaled| DatumRef::Numeric(Numeric { unscaled, scale });
                vec![
                    numeric(nines),
                    numeric(i256::ZERO),
                    numeric(nines.wrapping_neg()),
                ]
            }
            ColumnType::Bool => vec![DatumRef::Bool(true)],
            _ => vec![DatumRef::Text(""), DatumRef::Text("äöü")],
        };
        samples.push(DatumRef::Null);
        samples
    }

    #[test]
    fn values_and_arrays_widen_alike_and_lose_nothing() {
        for from in TYPES {
            for to in TYPES.into_iter().filter(|to| widens(from, *to)) {
                let mut narrow = ColumnBuilder::new(from);
                samples(from)
                    .into_iter()
                    .for_each(|value| narrow.append(value));
                let wide = array(&narrow.finish(), to).unwrap();
                assert_eq!(*wide.data_type(), to.arrow());
                for (at, sample) in samples(from).into_iter().enumerate() {
                    let widened = owned(sample, to);
                    let widened = widened.as_ref();
                    assert_eq!(datum_at(&wide, at), Some(widened), "{sample:?} to {to:?}");
                    if keeps_key_bytes(from, to) && sample != DatumRef::Null {
                        let key = |ty, value| {
                            let mut out = Vec::new();
                            crate::key::put_value(&mut out, ty, value).map(|()| out)
                        };
                        assert_eq!(key(from, sample), key(to, widened), "{sample:?} to {to:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_could_lose_something_is_no_widening() {
        use crate::datum::IntervalField::{Hour, Second};
        use ColumnType::{
            Bool, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Text, TimeTz, Timestamp,
            TimestampTz, Varchar,
        };
        let interval = IntervalModifier::new;
        let hours = interval(Some((Hour, Hour)), None);
        for (from, to) in [
            (Timestamp(Some(3)), Timestamp(Some(6))),
            (Timestamp(None), Timestamp(Some(6))),
            (TimestampTz(Some(6)), TimestampTz(None)),
            (Interval(hours), Interval(None)),
            (
                Interval(interval(None, Some(2))),
                Interval(interval(None, Some(3))),
            ),
        ] {
            assert!(
                widens(from, to) && keeps_key_bytes(from, to),
                "{from:?} to {to:?}"
            );
            let arrays = (from.array().unwrap(), to.array().unwrap());
            assert!(widens(arrays.0, arrays.1), "arrays of {from:?} to {to:?}");
        }
        for (from, to) in [
            (Int4, Int2),
            (Int4, Float4),
            (Int8, Float8),
            (Int4, Numeric(Some((9, 0)))),
            (Int8, Numeric(Some((20, 2)))),
            (Float8, Float4),
            (Float4, Numeric(None)),
            (Numeric(None), Numeric(Some((38, 20)))),
            (Numeric(Some((10, 2))), Numeric(Some((10, 3)))),
            (Numeric(Some((5, 0))), Int8),
            (Varchar(Some(9)), Varchar(Some(8))),
            (Text, Varchar(Some(100))),
            (Bool, Int4),
            (Int4, Text),
            (Timestamp(None), Timestamp(Some(3))),
            (Timestamp(Some(3)), TimestampTz(Some(3))),
            (TimeTz(Some(1)), TimeTz(Some(0))),
            (
                Interval(hours),
                Interval(interval(Some((Hour, Second)), None)),
            ),
            (Interval(None), Interval(interval(None, Some(5)))),
        ] {
            assert!(!widens(from, to), "{from:?} to {to:?}");
        }
    }
}
