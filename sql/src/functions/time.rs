//! Arithmetic of dates, times and intervals as PostgreSQL has it, and `timezone`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::ColumnBuilder;
use tidelog_storage::{ColumnType, Datum, DatumRef, Interval};

use super::call::dsl::{
    Env, FLOAT8, Function, INT4, INTERVAL, Outcome, Param, T, TEXT, TIMESTAMP, TIMESTAMPTZ, TIMETZ,
    f,
};
use crate::error::{ErrorKind, SqlError};
use crate::precision;
use crate::text::{self, Style, Zone, datetime};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Op {
    /// A moment and an interval; subtracted when `true`.
    Move(bool),
    /// The interval between two moments.
    Between,
    /// The days between two dates.
    Days,
    /// A date and so many days; subtracted when `true`.
    MoveDays(bool),
    /// A date and a time of day.
    At,
    /// Two intervals; subtracted when `true`.
    Sum(bool),
    /// An interval and a factor.
    Times,
    /// An interval and a divisor.
    Over,
    /// What intervals are compared by, as a number.
    Span,
    /// A timestamp that can be moved by 10,000 years.
    Finite,
    Negate,
    /// `timezone(zone, moment)`
    Timezone,
    Age,
    JustifyHours,
    JustifyDays,
    JustifyInterval,
    MakeInterval,
}

fn is_number(ty: ColumnType) -> bool {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_))
}

fn is_integer(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8)
}

/// The function of an arithmetic operator between these types, and whether its operands change places; `None` when
/// DataFusion's own is right, or there is none.
pub(crate) fn operator(
    op: &BinaryOperator,
    left: ColumnType,
    right: ColumnType,
    style: Style,
) -> Option<(Arc<ScalarUDF>, bool)> {
    use BinaryOperator::{Divide, Minus, Multiply, Plus};
    use ColumnType::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz};
    let (left, right) = (precision::plain(left), precision::plain(right));
    let moment = |ty| {
        matches!(
            ty,
            Date | Time(_) | TimeTz(_) | Timestamp(_) | TimestampTz(_)
        )
    };
    let minus = *op == Minus;
    let (found, result, swapped) = match (op, left, right) {
        (Plus | Minus, Interval(_), Interval(_)) => (Op::Sum(minus), Interval(None), false),
        (Minus, Interval(_), Time(_)) => (Op::Sum(minus), Interval(None), false),
        (Plus | Minus, ty, Interval(_)) if moment(ty) => {
            let result = if ty == Date { Timestamp(None) } else { ty };
            (Op::Move(minus), result, false)
        }
        (Plus, Interval(_), ty) if moment(ty) => {
            let result = if ty == Date { Timestamp(None) } else { ty };
            (Op::Move(false), result, true)
        }
        (Minus, Date, Date) => (Op::Days, ColumnType::Int4, false),
        (Minus, Time(_), Time(_)) => (Op::Between, Interval(None), false),
        (Minus, Timestamp(_) | TimestampTz(_) | Date, Timestamp(_) | TimestampTz(_) | Date) => {
            (Op::Between, Interval(None), false)
        }
        (Plus | Minus, Date, ty) if is_integer(ty) => (Op::MoveDays(minus), Date, false),
        (Plus, ty, Date) if is_integer(ty) => (Op::MoveDays(false), Date, true),
        // A time of day beside a moment is an interval.
        (Plus | Minus, Timestamp(_) | TimestampTz(_), Time(_)) => (Op::Move(minus), left, false),
        (Plus, Time(_), Timestamp(_) | TimestampTz(_)) => (Op::Move(false), right, true),
        (Minus, Date, Time(_)) => (Op::Move(true), Timestamp(None), false),
        (Plus | Minus, TimeTz(_), Time(_)) => (Op::Move(minus), left, false),
        (Plus, Time(_), TimeTz(_)) => (Op::Move(false), right, true),
        (Plus, Date, TimeTz(_)) => (Op::At, TimestampTz(None), false),
        (Plus, TimeTz(_), Date) => (Op::At, TimestampTz(None), true),
        (Plus, Date, Time(_)) => (Op::At, Timestamp(None), false),
        (Plus, Time(_), Date) => (Op::At, Timestamp(None), true),
        (Multiply, Interval(_) | Time(_), ty) if is_number(ty) => {
            (Op::Times, Interval(None), false)
        }
        (Multiply, ty, Interval(_) | Time(_)) if is_number(ty) => (Op::Times, Interval(None), true),
        (Divide, Interval(_) | Time(_), ty) if is_number(ty) => (Op::Over, Interval(None), false),
        _ => return None,
    };
    Some((udf("?column?", found, result, style), swapped))
}

/// The function that gives what intervals are compared by.
pub(crate) fn span() -> Arc<ScalarUDF> {
    let result = ColumnType::Numeric(Some((38, 0)));
    udf("interval_span", Op::Span, result, Style::default())
}

/// The most years that a timestamp of `finite` can be moved by.
pub(crate) const FINITE_YEARS: i32 = 10_000;

/// The function that gives a timestamp of this type as it is; 0A000 where it is infinite or nearly so.
pub(crate) fn finite(ty: ColumnType) -> Arc<ScalarUDF> {
    udf("finite", Op::Finite, ty, Style::default())
}

/// The function that negates an interval.
pub(crate) fn negate() -> Arc<ScalarUDF> {
    udf(
        "?column?",
        Op::Negate,
        ColumnType::Interval(None),
        Style::default(),
    )
}

/// Those with names.
pub(super) const FUNCTIONS: &[Function] = &[
    f(
        "timezone",
        &[TEXT, TIMESTAMP],
        T::TimestampTz(None),
        |env, args| calculate(Op::Timezone, env, args),
    ),
    f(
        "timezone",
        &[TEXT, TIMESTAMPTZ],
        T::Timestamp(None),
        |env, args| calculate(Op::Timezone, env, args),
    ),
    f("timezone", &[TEXT, TIMETZ], T::TimeTz(None), |env, args| {
        calculate(Op::Timezone, env, args)
    })
    .stable(),
    f(
        "timezone",
        &[INTERVAL, TIMESTAMP],
        T::TimestampTz(None),
        |env, args| calculate(Op::Timezone, env, args),
    ),
    f(
        "timezone",
        &[INTERVAL, TIMESTAMPTZ],
        T::Timestamp(None),
        |env, args| calculate(Op::Timezone, env, args),
    ),
    f(
        "timezone",
        &[INTERVAL, TIMETZ],
        T::TimeTz(None),
        |env, args| calculate(Op::Timezone, env, args),
    ),
    f(
        "age",
        &[TIMESTAMP, TIMESTAMP],
        T::Interval(None),
        |env, args| calculate(Op::Age, env, args),
    ),
    f(
        "age",
        &[TIMESTAMPTZ, TIMESTAMPTZ],
        T::Interval(None),
        |env, args| calculate(Op::Age, env, args),
    )
    .stable(),
    f("age", &[TIMESTAMP], T::Interval(None), |env, args| {
        calculate(Op::Age, env, args)
    })
    .stable(),
    f("age", &[TIMESTAMPTZ], T::Interval(None), |env, args| {
        calculate(Op::Age, env, args)
    })
    .stable(),
    // Nothing has to be done about old ones here, and what is of a catalog may always be new.
    f("age", &[Param::Of(T::Oid)], T::Int4, |_, args| {
        Ok(Datum::Int4(match args[0] {
            DatumRef::Int8(0..=2) => i32::MAX,
            _ => 0,
        }))
    })
    .stable(),
    f(
        "justify_hours",
        &[INTERVAL],
        T::Interval(None),
        |env, args| calculate(Op::JustifyHours, env, args),
    ),
    f(
        "justify_days",
        &[INTERVAL],
        T::Interval(None),
        |env, args| calculate(Op::JustifyDays, env, args),
    ),
    f(
        "justify_interval",
        &[INTERVAL],
        T::Interval(None),
        |env, args| calculate(Op::JustifyInterval, env, args),
    ),
    f("make_interval", &[], T::Interval(None), make_interval),
    f("make_interval", &[INT4], T::Interval(None), make_interval),
    f(
        "make_interval",
        &[INT4; 2],
        T::Interval(None),
        make_interval,
    ),
    f(
        "make_interval",
        &[INT4; 3],
        T::Interval(None),
        make_interval,
    ),
    f(
        "make_interval",
        &[INT4; 4],
        T::Interval(None),
        make_interval,
    ),
    f(
        "make_interval",
        &[INT4; 5],
        T::Interval(None),
        make_interval,
    ),
    f(
        "make_interval",
        &[INT4; 6],
        T::Interval(None),
        make_interval,
    ),
    f(
        "make_interval",
        &[INT4, INT4, INT4, INT4, INT4, INT4, FLOAT8],
        T::Interval(None),
        make_interval,
    ),
];

fn make_interval(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    calculate(Op::MakeInterval, env, args)
}

fn calculate(op: Op, env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let style = env.style;
    Calculation { op, style }.eval(args)
}

/// A date, a time or a moment, so much later.
pub(super) fn moved_by(value: DatumRef<'_>, by: Interval, style: Style) -> Outcome {
    let op = Op::Move(false);
    Calculation { op, style }.eval(&[value, DatumRef::Interval(by)])
}

fn udf(name: &str, op: Op, result: ColumnType, style: Style) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(TimeFunction {
        name: name.to_string(),
        calculation: Calculation { op, style },
        result,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeFunction {
    name: String,
    calculation: Calculation,
    result: ColumnType,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Calculation {
    op: Op,
    style: Style,
}

fn out_of_range(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::DatetimeFieldOverflow,
        format!("{name} out of range"),
    )
}

/// An interval whose parts are in range.
pub(super) fn interval(
    months: i64,
    days: i64,
    micros: i64,
) -> std::result::Result<Interval, SqlError> {
    let error = || out_of_range("interval");
    if micros.unsigned_abs() > Interval::MICROS_MAX.unsigned_abs() {
        return Err(error());
    }
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| error())?,
        days: i32::try_from(days).map_err(|_| error())?,
        micros,
    })
}

/// Microseconds of a local clock after an interval, month by month, then day by day, then by the clock.
fn moved(micros: i64, by: Interval) -> Option<i64> {
    let shifted = datetime::add_months(micros, by.months)?;
    let days = i64::from(by.days).checked_mul(DAY)?;
    shifted.checked_add(days)?.checked_add(by.micros)
}

/// The same for a moment: months and days are of the zone's calendar.
fn moved_in(micros: i64, by: Interval, zone: Zone) -> Option<i64> {
    let mut at = micros;
    if by.months != 0 || by.days != 0 {
        let local = at.checked_add(zone.offset_at(at) * SECOND)?;
        let calendar = Interval { micros: 0, ..by };
        let local = moved(local, calendar)?;
        at = local.checked_sub(zone.offset_of_local(local) * SECOND)?;
    }
    at.checked_add(by.micros)
}

fn number(value: DatumRef<'_>) -> Option<f64> {
    Some(match value {
        DatumRef::Int2(v) => v.into(),
        DatumRef::Int4(v) => v.into(),
        DatumRef::Int8(v) => v as f64,
        DatumRef::Float4(v) => v.into(),
        DatumRef::Float8(v) => v,
        DatumRef::Numeric(_) | DatumRef::Number(_) => super::call::float_of(value),
        _ => return None,
    })
}

/// The interval divided by a number other than zero.
pub(super) fn divided(value: Interval, divisor: f64) -> std::result::Result<Interval, SqlError> {
    scaled(value, |part| part / divisor)
}

/// After interval_mul and interval_div in PostgreSQL's timestamp.c: fractions of months go to days, of days to the time.
fn scaled(value: Interval, scale: impl Fn(f64) -> f64) -> std::result::Result<Interval, SqlError> {
    let error = || out_of_range("interval");
    let months = scale(f64::from(value.months));
    let days = scale(f64::from(value.days));
    if !months.is_finite() || !days.is_finite() {
        return Err(error());
    }
    let rounded = |value: f64| (value * 1e6).round_ties_even() / 1e6;
    let days_of_months = rounded((months - months.trunc()) * 30.0);
    let mut seconds =
        rounded((days - days.trunc() + days_of_months - days_of_months.trunc()) * 86_400.0);
    let mut whole_days = days.trunc() as i64 + days_of_months.trunc() as i64;
    if seconds.abs() >= 86_400.0 {
        let more = (seconds / 86_400.0).trunc();
        whole_days += more as i64;
        seconds -= more * 86_400.0;
    }
    let micros = (scale(value.micros as f64) + seconds * 1e6).round_ties_even();
    if micros.abs() > Interval::MICROS_MAX as f64 {
        return Err(error());
    }
    interval(months.trunc() as i64, whole_days, micros as i64)
}

/// 24 hours to a day, both of one sign.
fn justify_hours(value: Interval) -> (i64, i64, i64) {
    let days = i64::from(value.days) + value.micros / DAY;
    let (days, micros) = of_one_sign(days, value.micros % DAY, DAY);
    (value.months.into(), days, micros)
}

/// 30 days to a month, both of one sign.
fn justify_days(value: Interval) -> (i64, i64, i64) {
    let days = i64::from(value.days);
    let (months, days) = of_one_sign(i64::from(value.months) + days / 30, days % 30, 30);
    (months, days, value.micros)
}

/// 24 hours to a day and 30 days to a month, all of one sign. After interval_justify_interval in PostgreSQL's
/// timestamp.c.
fn justify_interval(value: Interval) -> (i64, i64, i64) {
    let days = i64::from(value.days) + value.micros / DAY;
    let (mut months, mut days, micros) = (
        i64::from(value.months) + days / 30,
        days % 30,
        value.micros % DAY,
    );
    // Less than a day also takes from a month when no days are left.
    if months > 0 && (days, micros) < (0, 0) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days, micros) > (0, 0) {
        (months, days) = (months + 1, days - 30);
    }
    let (days, micros) = of_one_sign(days, micros, DAY);
    (months, days, micros)
}

/// Gives the smaller unit the sign of the larger one, of which `size` of the smaller make one.
fn of_one_sign(large: i64, small: i64, size: i64) -> (i64, i64) {
    if large > 0 && small < 0 {
        (large - 1, small + size)
    } else if large < 0 && small > 0 {
        (large + 1, small - size)
    } else {
        (large, small)
    }
}

impl Calculation {
    /// A value as microseconds of a local clock.
    fn local(&self, value: DatumRef<'_>) -> Option<i64> {
        match value {
            DatumRef::Timestamp(v) | DatumRef::Time(v) => Some(v),
            DatumRef::Date(days) => datetime::midnight(days).ok(),
            DatumRef::TimestampTz(v) => v.checked_add(self.style.zone.offset_at(v) * SECOND),
            _ => None,
        }
    }

    /// Microseconds since 1970 in UTC.
    fn absolute(&self, value: DatumRef<'_>) -> Option<i64> {
        match value {
            DatumRef::TimestampTz(at) => Some(at),
            value => match self.local(value)? {
                at @ (i64::MIN | i64::MAX) => Some(at),
                at => at.checked_sub(self.style.zone.offset_of_local(at) * SECOND),
            },
        }
    }

    fn eval(&self, args: &[DatumRef<'_>]) -> std::result::Result<Datum, SqlError> {
        if args.contains(&DatumRef::Null) {
            return Ok(Datum::Null);
        }
        for arg in args {
            if let DatumRef::Date(days) = arg
                && !matches!(self.op, Op::Days | Op::MoveDays(_))
            {
                datetime::midnight(*days)?;
            }
        }
        let value = self.calculated(args)?;
        if let Datum::Timestamp(at) | Datum::TimestampTz(at) = value {
            datetime::in_range(Some(at))?;
        }
        Ok(value)
    }

    fn calculated(&self, args: &[DatumRef<'_>]) -> std::result::Result<Datum, SqlError> {
        let endless = |value: i64| matches!(value, i64::MIN | i64::MAX);
        Ok(match (self.op, args) {
            (Op::Move(_), [moment, DatumRef::Time(micros)]) => {
                let by = DatumRef::Interval(interval(0, 0, *micros)?);
                self.eval(&[*moment, by])?
            }
            (Op::Move(minus), [moment, DatumRef::Interval(by)]) => {
                let by = match minus {
                    true => negated(*by)?,
                    false => *by,
                };
                match *moment {
                    DatumRef::TimestampTz(at) if endless(at) => Datum::TimestampTz(at),
                    DatumRef::Timestamp(at) if endless(at) => Datum::Timestamp(at),
                    DatumRef::TimestampTz(at) => Datum::TimestampTz(
                        moved_in(at, by, self.style.zone)
                            .ok_or_else(|| out_of_range("timestamp"))?,
                    ),
                    DatumRef::Timestamp(at) => {
                        Datum::Timestamp(moved(at, by).ok_or_else(|| out_of_range("timestamp"))?)
                    }
                    DatumRef::Date(_) => match self.local(*moment) {
                        Some(at) if endless(at) => Datum::Timestamp(at),
                        at => Datum::Timestamp(
                            at.and_then(|at| moved(at, by))
                                .ok_or_else(|| out_of_range("timestamp"))?,
                        ),
                    },
                    DatumRef::Time(at) => {
                        Datum::Time((at + by.micros.rem_euclid(DAY)).rem_euclid(DAY))
                    }
                    DatumRef::TimeTz(at) => Datum::TimeTz(tidelog_storage::TimeTz {
                        micros: (at.micros + by.micros.rem_euclid(DAY)).rem_euclid(DAY),
                        west: at.west,
                    }),
                    _ => return Err(self.wrong()),
                }
            }
            (Op::Between, [DatumRef::Time(a), DatumRef::Time(b)]) => {
                Datum::Interval(interval(0, 0, a - b)?)
            }
            (Op::Between, [a, b]) => {
                // Beside one with a zone a time without is one of the session's.
                let is_absolute = |value: &&DatumRef<'_>| matches!(value, DatumRef::TimestampTz(_));
                let pair = match [a, b].iter().any(is_absolute) {
                    true => self.absolute(*a).zip(self.absolute(*b)),
                    false => self.local(*a).zip(self.local(*b)),
                };
                let (a, b) = pair.ok_or_else(|| self.wrong())?;
                if endless(a) || endless(b) {
                    let message = "cannot subtract infinite timestamps";
                    return Err(SqlError::new(ErrorKind::DatetimeFieldOverflow, message));
                }
                let micros = a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?;
                // As interval_justify_hours.
                Datum::Interval(interval(0, micros / DAY, micros % DAY)?)
            }
            (Op::Days, [DatumRef::Date(i32::MIN | i32::MAX), _])
            | (Op::Days, [_, DatumRef::Date(i32::MIN | i32::MAX)]) => {
                let message = "cannot subtract infinite dates";
                return Err(SqlError::new(ErrorKind::DatetimeFieldOverflow, message));
            }
            (Op::MoveDays(_), [DatumRef::Date(date @ (i32::MIN | i32::MAX)), _]) => {
                Datum::Date(*date)
            }
            (Op::Days, [DatumRef::Date(a), DatumRef::Date(b)]) => {
                Datum::Int4(a.checked_sub(*b).ok_or_else(|| out_of_range("integer"))?)
            }
            (Op::MoveDays(minus), [DatumRef::Date(date), days]) => {
                let days = match days {
                    DatumRef::Int2(v) => Some(i32::from(*v)),
                    DatumRef::Int4(v) => Some(*v),
                    DatumRef::Int8(v) => i32::try_from(*v).ok(),
                    _ => None,
                };
                let moved = days.and_then(|days| match minus {
                    true => date.checked_sub(days),
                    false => date.checked_add(days),
                });
                let moved = moved.filter(|days| datetime::is_date(*days));
                Datum::Date(moved.ok_or_else(|| out_of_range("date"))?)
            }
            (Op::Times | Op::Over, [DatumRef::Time(micros), number]) => {
                let time = DatumRef::Interval(interval(0, 0, *micros)?);
                self.eval(&[time, *number])?
            }
            (Op::At, [date, DatumRef::TimeTz(time)]) => {
                let from_utc = i64::from(time.west) * SECOND;
                let start = self.local(*date);
                let at = start.and_then(|start| match endless(start) {
                    true => Some(start),
                    false => start.checked_add(time.micros)?.checked_add(from_utc),
                });
                Datum::TimestampTz(at.ok_or_else(|| out_of_range("timestamp"))?)
            }
            (Op::At, [date, DatumRef::Time(time)]) => {
                let start = self.local(*date);
                let at = start.and_then(|start| match endless(start) {
                    true => Some(start),
                    false => start.checked_add(*time),
                });
                Datum::Timestamp(at.ok_or_else(|| out_of_range("timestamp"))?)
            }
            (Op::Sum(_), [by, DatumRef::Time(micros)]) => {
                let time = DatumRef::Interval(interval(0, 0, *micros)?);
                self.eval(&[*by, time])?
            }
            (Op::Sum(minus), [DatumRef::Interval(a), DatumRef::Interval(b)]) => {
                let b = if minus { negated(*b)? } else { *b };
                Datum::Interval(interval(
                    i64::from(a.months) + i64::from(b.months),
                    i64::from(a.days) + i64::from(b.days),
                    a.micros.saturating_add(b.micros),
                )?)
            }
            (Op::Times, [DatumRef::Interval(value), factor]) => {
                let factor = number(*factor).ok_or_else(|| self.wrong())?;
                Datum::Interval(scaled(*value, |part| part * factor)?)
            }
            (Op::Over, [DatumRef::Interval(value), divisor]) => {
                let divisor = number(*divisor).ok_or_else(|| self.wrong())?;
                if divisor == 0.0 {
                    return Err(SqlError::new(ErrorKind::DivisionByZero, "division by zero"));
                }
                Datum::Interval(divided(*value, divisor)?)
            }
            (Op::Span, [DatumRef::Interval(value)]) => {
                Datum::Numeric(tidelog_storage::datum::Numeric {
                    unscaled: arrow::datatypes::i256::from_i128(value.span()),
                    scale: 0,
                })
            }
            (Op::Finite, [DatumRef::Timestamp(at) | DatumRef::TimestampTz(at)]) => {
                // Arrow's calendar ends with the year 262142.
                if at.unsigned_abs() > 250_000 * 365 * DAY.unsigned_abs() {
                    let what = "RANGE with offset PRECEDING/FOLLOWING over infinite times";
                    return Err(SqlError::unsupported(what));
                }
                args[0].to_owned()
            }
            (Op::Negate, [DatumRef::Interval(value)]) => Datum::Interval(negated(*value)?),
            (Op::Timezone, [zone, moment]) => {
                let zone = match zone {
                    DatumRef::Text(name) => Zone::named(name).ok_or_else(|| {
                        let message = format!("time zone \"{name}\" not recognized");
                        SqlError::new(ErrorKind::InvalidParameterValue, message)
                    })?,
                    DatumRef::Interval(offset) if offset.months != 0 || offset.days != 0 => {
                        let mut shown = String::new();
                        let ty = ColumnType::Interval(None);
                        text::write(*zone, ty, self.style, &mut shown);
                        let message = format!(
                            "interval time zone \"{shown}\" must not include months or days"
                        );
                        return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
                    }
                    DatumRef::Interval(offset) => {
                        Zone::Fixed(i32::try_from(offset.micros / SECOND).unwrap_or(0))
                    }
                    _ => return Err(self.wrong()),
                };
                match *moment {
                    DatumRef::TimestampTz(at) if endless(at) => Datum::Timestamp(at),
                    DatumRef::Timestamp(at) if endless(at) => Datum::TimestampTz(at),
                    DatumRef::TimestampTz(at) => Datum::Timestamp(datetime::local_of(at, zone)?),
                    DatumRef::Timestamp(at) => Datum::TimestampTz(datetime::moment_of(at, zone)?),
                    DatumRef::Date(_) => {
                        let at = self.local(*moment).ok_or_else(|| self.wrong())?;
                        let at = datetime::moment_of(at, self.style.zone)?;
                        Datum::Timestamp(datetime::local_of(at, zone)?)
                    }
                    DatumRef::TimeTz(at) => {
                        let east = zone.offset_at(datetime::now_micros());
                        let utc = at.micros + i64::from(at.west) * SECOND;
                        Datum::TimeTz(tidelog_storage::TimeTz {
                            micros: (utc + east * SECOND).rem_euclid(DAY),
                            west: -(east as i32),
                        })
                    }
                    _ => return Err(self.wrong()),
                }
            }
            (Op::Age, [later, earlier]) => {
                let pair = self.local(*later).zip(self.local(*earlier));
                let (later, earlier) = pair.ok_or_else(|| self.wrong())?;
                let (months, days, micros) = datetime::age(later, earlier);
                Datum::Interval(interval(months, days, micros)?)
            }
            (Op::Age, [earlier]) => {
                let now = datetime::now_micros();
                let now = now + self.style.zone.offset_at(now) * SECOND;
                let earlier = self.local(*earlier).ok_or_else(|| self.wrong())?;
                let (months, days, micros) = datetime::age(now - now.rem_euclid(DAY), earlier);
                Datum::Interval(interval(months, days, micros)?)
            }
            (Op::JustifyHours, [DatumRef::Interval(value)]) => {
                let (months, days, micros) = justify_hours(*value);
                Datum::Interval(interval(months, days, micros)?)
            }
            (Op::JustifyDays, [DatumRef::Interval(value)]) => {
                let (months, days, micros) = justify_days(*value);
                Datum::Interval(interval(months, days, micros)?)
            }
            (Op::JustifyInterval, [DatumRef::Interval(value)]) => {
                let (months, days, micros) = justify_interval(*value);
                Datum::Interval(interval(months, days, micros)?)
            }
            (Op::MakeInterval, parts) => {
                let part = |at: usize| parts.get(at).and_then(|v| number(*v)).unwrap_or(0.0);
                let months = part(0) * 12.0 + part(1);
                let days = part(2) * 7.0 + part(3);
                if !part(6).is_finite() {
                    return Err(out_of_range("interval"));
                }
                let seconds = part(4) * 3600.0 + part(5) * 60.0 + part(6);
                Datum::Interval(interval(
                    months as i64,
                    days as i64,
                    (seconds * 1e6).round_ties_even() as i64,
                )?)
            }
            _ => return Err(self.wrong()),
        })
    }

    fn wrong(&self) -> SqlError {
        SqlError::new(
            ErrorKind::UndefinedFunction,
            "operator does not exist for these operands",
        )
    }
}

fn negated(value: Interval) -> std::result::Result<Interval, SqlError> {
    interval(
        -i64::from(value.months),
        -i64::from(value.days),
        -value.micros,
    )
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.result.field(&self.name, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (arrays, scalar, rows) = super::arrays(&args, false)?;
        let mut builder = ColumnBuilder::new(self.result);
        for row in 0..rows {
            let row = arrays.iter().map(|array| {
                super::value_at(array.as_ref(), row)
                    .ok_or_else(|| external(self.calculation.wrong()))
            });
            let row = row.collect::<Result<Vec<_>>>()?;
            builder.append(self.calculation.eval(&row).map_err(external)?.as_ref());
        }
        let result = builder.finish();
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}
