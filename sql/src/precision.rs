//! What columns and casts of limited precision keep of a time or an interval: `timestamp(3)`, `interval hour`.
//!
//! As AdjustTimestampForTypmod, AdjustTimeForTypmod and AdjustIntervalForTypmod of PostgreSQL's adt round: halves go
//! away from zero, which of timestamps is the year 2000.

use tidelog_storage::datum::SECOND_DIGITS;
use tidelog_storage::{ColumnType, Datum, ElementType, Interval, IntervalField, IntervalModifier};

use crate::error::{ErrorKind, SqlError};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 2000-01-01, from which PostgreSQL counts, in microseconds since 1970.
const Y2000: i64 = 946_684_800 * SECOND;

/// The type without what it says of digits and fields; any other type as it is.
pub(crate) fn plain(ty: ColumnType) -> ColumnType {
    match ty {
        ColumnType::Time(_) => ColumnType::Time(None),
        ColumnType::TimeTz(_) => ColumnType::TimeTz(None),
        ColumnType::Timestamp(_) => ColumnType::Timestamp(None),
        ColumnType::TimestampTz(_) => ColumnType::TimestampTz(None),
        ColumnType::Interval(_) => ColumnType::Interval(None),
        ColumnType::Array(element) => plain(element.into()).array().unwrap_or(ty),
        ColumnType::Shaped(element) => plain(element.into()).shaped().unwrap_or(ty),
        ty => ty,
    }
}

/// A type of text, bits or times without its modifier.
pub(crate) fn unlimited(ty: ColumnType) -> ColumnType {
    match ty {
        ColumnType::Varchar(_) => ColumnType::Varchar(None),
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        ColumnType::Array(ElementType::Varchar(_)) => ColumnType::Array(ElementType::Varchar(None)),
        ColumnType::Array(ElementType::Bpchar(_)) => ColumnType::Array(ElementType::Bpchar(None)),
        ColumnType::Shaped(element @ (ElementType::Varchar(_) | ElementType::Bpchar(_))) => {
            unlimited(element.into()).shaped().unwrap_or(ty)
        }
        ty => plain(ty),
    }
}

/// The type with all digits of a second spelled out, where it has any: it keeps the same of every value.
pub(crate) fn spelled(ty: ColumnType) -> ColumnType {
    let all = Some(SECOND_DIGITS);
    match ty {
        ColumnType::Time(None) => ColumnType::Time(all),
        ColumnType::TimeTz(None) => ColumnType::TimeTz(all),
        ColumnType::Timestamp(None) => ColumnType::Timestamp(all),
        ColumnType::TimestampTz(None) => ColumnType::TimestampTz(all),
        ColumnType::Interval(None) => ColumnType::Interval(IntervalModifier::new(None, all)),
        ColumnType::Array(element) => spelled(element.into()).array().unwrap_or(ty),
        ColumnType::Shaped(element) => spelled(element.into()).shaped().unwrap_or(ty),
        ty => ty,
    }
}

/// Whether the type keeps less of some values than they have.
pub(crate) fn is_limited(ty: ColumnType) -> bool {
    match ty {
        ColumnType::Time(digits)
        | ColumnType::TimeTz(digits)
        | ColumnType::Timestamp(digits)
        | ColumnType::TimestampTz(digits) => digits.is_some_and(|digits| digits < SECOND_DIGITS),
        ColumnType::Interval(kept) => kept.is_some(),
        ColumnType::Array(element) | ColumnType::Shaped(element) => is_limited(element.into()),
        _ => false,
    }
}

/// What the type keeps of a value of it, or of an array's elements.
///
/// # Errors
/// 22008 when the rounded value is out of range.
pub fn kept(value: Datum, ty: ColumnType) -> Result<Datum, SqlError> {
    Ok(match (value, ty) {
        (Datum::Time(at), ColumnType::Time(digits)) => Datum::Time(rounded(at, digits)),
        (Datum::TimeTz(mut at), ColumnType::TimeTz(digits)) => {
            at.micros = rounded(at.micros, digits);
            Datum::TimeTz(at)
        }
        (Datum::Timestamp(at), ColumnType::Timestamp(digits)) => {
            Datum::Timestamp(moment(at, digits)?)
        }
        (Datum::TimestampTz(at), ColumnType::TimestampTz(digits)) => {
            Datum::TimestampTz(moment(at, digits)?)
        }
        (Datum::Interval(value), ColumnType::Interval(Some(modifier))) => {
            Datum::Interval(interval(value, modifier)?)
        }
        (Datum::Array(elements), ColumnType::Array(element) | ColumnType::Shaped(element))
            if is_limited(ty) =>
        {
            Datum::Array(each_kept(elements, element)?)
        }
        (Datum::Shaped(shape, elements), ColumnType::Shaped(element)) if is_limited(ty) => {
            Datum::Shaped(shape, each_kept(elements, element)?)
        }
        (value, _) => value,
    })
}

fn each_kept(elements: Vec<Datum>, element: ElementType) -> Result<Vec<Datum>, SqlError> {
    let elements = elements.into_iter();
    elements.map(|value| kept(value, element.into())).collect()
}

/// Microseconds, rounded to so many digits of a second.
fn rounded(micros: i64, digits: Option<u8>) -> i64 {
    let dropped = SECOND_DIGITS.saturating_sub(digits.unwrap_or(SECOND_DIGITS));
    let unit = 10_i64.pow(dropped.into());
    let half = if micros < 0 { -unit / 2 } else { unit / 2 };
    micros.saturating_add(half) / unit * unit
}

fn moment(at: i64, digits: Option<u8>) -> Result<i64, SqlError> {
    if matches!(at, i64::MIN | i64::MAX) || digits.is_none_or(|digits| digits >= SECOND_DIGITS) {
        return Ok(at);
    }
    let rounded = rounded(at.saturating_sub(Y2000), digits);
    match rounded.checked_add(Y2000) {
        Some(at) if at < i64::MAX => Ok(at),
        _ => Err(SqlError::new(
            ErrorKind::DatetimeFieldOverflow,
            "timestamp out of range",
        )),
    }
}

fn interval(mut value: Interval, modifier: IntervalModifier) -> Result<Interval, SqlError> {
    use IntervalField::{Day, Hour, Minute, Month, Second, Year};
    // Smaller fields than the last are cut, larger ones than the first stay.
    match modifier.fields().map(|(_, last)| last) {
        None | Some(Second) => {}
        Some(Minute) => value.micros -= value.micros % MINUTE,
        Some(Hour) => value.micros -= value.micros % HOUR,
        Some(Day) => value.micros = 0,
        Some(Month) => (value.days, value.micros) = (0, 0),
        Some(Year) => {
            value.months -= value.months % 12;
            (value.days, value.micros) = (0, 0);
        }
    }
    value.micros = rounded(value.micros, modifier.digits());
    match value.micros.unsigned_abs() <= Interval::MICROS_MAX.unsigned_abs() {
        true => Ok(value),
        false => Err(SqlError::new(
            ErrorKind::DatetimeFieldOverflow,
            "interval out of range",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{self, Style};

    #[test]
    fn values_are_rounded_as_postgresql_15_rounds_them() {
        let fields = |from, to, digits| {
            ColumnType::Interval(IntervalModifier::new(Some((from, to)), digits))
        };
        use IntervalField::{Day, Hour, Minute, Month, Second, Year};
        let timestamp = |digits| ColumnType::Timestamp(Some(digits));
        for (ty, given, shown) in [
            (timestamp(0), "2020-01-01 00:00:00.5", "2020-01-01 00:00:01"),
            (timestamp(0), "1999-12-31 23:59:58.5", "1999-12-31 23:59:58"),
            (
                timestamp(3),
                "1999-01-01 00:00:00.0015",
                "1999-01-01 00:00:00.001",
            ),
            (
                timestamp(3),
                "2001-01-01 00:00:00.0015",
                "2001-01-01 00:00:00.002",
            ),
            (timestamp(2), "infinity", "infinity"),
            (ColumnType::Time(Some(0)), "23:59:59.5", "24:00:00"),
            (
                ColumnType::TimeTz(Some(1)),
                "01:02:03.25+01",
                "01:02:03.3+01",
            ),
            (fields(Year, Year, None), "1 year 11 mons 5 days", "1 year"),
            (fields(Year, Month, None), "1-2", "1 year 2 mons"),
            (
                fields(Month, Month, None),
                "-25 mons 3 days",
                "-2 years -1 mons",
            ),
            (fields(Day, Day, None), "1 mon 3 days 20:00", "1 mon 3 days"),
            (
                fields(Day, Hour, None),
                "3 days -04:05:06",
                "3 days -04:00:00",
            ),
            (fields(Hour, Minute, None), "04:05:59.9", "04:05:00"),
            (
                fields(Minute, Second, Some(1)),
                "-00:00:01.25",
                "-00:00:01.3",
            ),
        ] {
            let value = text::parse(plain(ty), given).unwrap();
            let mut out = String::new();
            text::write(
                kept(value, ty).unwrap().as_ref(),
                ty,
                Style::default(),
                &mut out,
            );
            assert_eq!(out, shown, "{given} as {ty:?}");
        }
    }
}
