//! Functions and operators of numbers.

use datafusion::common::ScalarValue;
use tidelog_storage::datum::NUMERIC_PRECISION_MAX;

use super::call::dsl::*;
use super::call::out_of_range;
use super::conditional::WIDE;
use crate::text::number::too_many_digits;

mod trigonometry;

pub(super) use trigonometry::FUNCTIONS as TRIGONOMETRY;

pub(super) const FUNCTIONS: &[Function] = &[
    f("+", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).plus(&decimal(args[1])))
    }),
    f("-", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).minus(&decimal(args[1])))
    }),
    f("-", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).negated())
    }),
    f("*", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).times(&decimal(args[1])))
    }),
    f("/", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        let divisor = decimal(args[1]);
        match divisor.is_zero() {
            true => Err(by_zero()),
            false => number(&decimal(args[0]).divided_by(&divisor)),
        }
    }),
    f("%", &[NUMERIC, NUMERIC], DECIMAL, decimal_remainder),
    f("abs", &[INT2], T::Int2, absolute),
    f("abs", &[INT4], T::Int4, absolute),
    f("abs", &[INT8], T::Int8, absolute),
    f("abs", &[FLOAT4], T::Float4, absolute),
    f("abs", &[FLOAT8], T::Float8, absolute),
    f("abs", &[NUMERIC], DECIMAL, absolute).shape(same),
    f("@", &[INT2], T::Int2, absolute),
    f("@", &[INT4], T::Int4, absolute),
    f("@", &[INT8], T::Int8, absolute),
    f("@", &[FLOAT4], T::Float4, absolute),
    f("@", &[FLOAT8], T::Float8, absolute),
    f("@", &[NUMERIC], DECIMAL, absolute).shape(same),
    f("sign", &[FLOAT8], T::Float8, |_, args| {
        let value = float(args[0]);
        Ok(Datum::Float8(match value {
            value if value > 0.0 => 1.0,
            value if value < 0.0 => -1.0,
            _ => 0.0,
        }))
    }),
    f("sign", &[NUMERIC], DECIMAL, |_, args| {
        number(&Decimal::from(decimal(args[0]).sign()))
    })
    .shape(|given, constants| same(given, constants).map(|_| (1, 0))),
    f("ceil", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).ceil())
    }),
    f("ceil", &[NUMERIC], DECIMAL, ceiling).shape(whole),
    f("ceiling", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).ceil())
    }),
    f("ceiling", &[NUMERIC], DECIMAL, ceiling).shape(whole),
    f("floor", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).floor())
    }),
    f("floor", &[NUMERIC], DECIMAL, |_, args| {
        let value = decimal(args[0]);
        let cut = value.truncated(0);
        match cut > value {
            true => number(&cut.minus(&Decimal::from(1))),
            false => number(&cut),
        }
    })
    .shape(whole),
    f("round", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).round_ties_even())
    }),
    f("round", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).rounded(0))
    })
    .shape(whole),
    f("round", &[NUMERIC, INT4], DECIMAL, |_, args| {
        number(&decimal(args[0]).rounded(places(args[1])))
    })
    .shape(to_places),
    f(WIDE, &[NUMERIC, INT4, INT4], DECIMAL, |_, args| {
        let (precision, scale) = (places(args[1]), places(args[2]));
        let (value, whole) = (decimal(args[0]).rounded(scale), precision - scale);
        match value.is_zero() || value.exponent() < whole {
            true => number(&value),
            false => Err(too_many_digits(whole.unsigned_abs() as usize, scale)),
        }
    }),
    f("trunc", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).trunc())
    }),
    f("trunc", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).truncated(0))
    })
    .shape(whole),
    f("trunc", &[NUMERIC, INT4], DECIMAL, |_, args| {
        number(&decimal(args[0]).truncated(places(args[1])))
    })
    .shape(to_places),
    f("sqrt", &[FLOAT8], T::Float8, square_root),
    f("sqrt", &[NUMERIC], DECIMAL, |_, args| {
        let value = decimal(args[0]);
        match value.is_negative() {
            true => Err(negative_root()),
            false => number(&value.sqrt()),
        }
    }),
    f("|/", &[FLOAT8], T::Float8, square_root),
    f("cbrt", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).cbrt())
    }),
    f("||/", &[FLOAT8], T::Float8, |_, args| {
        real(float(args[0]).cbrt())
    }),
    f("exp", &[FLOAT8], T::Float8, |_, args| {
        let value = float(args[0]);
        ranged(value.exp(), value.is_finite())
    }),
    f("exp", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).exp().ok_or_else(overflow)?)
    }),
    f("ln", &[FLOAT8], T::Float8, |_, args| {
        real(logarithm_of(float(args[0]))?.ln())
    }),
    f("ln", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal_logarithm_of(args[0])?.ln())
    }),
    f("log", &[FLOAT8], T::Float8, |_, args| {
        real(logarithm_of(float(args[0]))?.log10())
    }),
    f("log", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal_logarithm_of(args[0])?.log(&Decimal::from(10)))
    }),
    f("log10", &[FLOAT8], T::Float8, |_, args| {
        real(logarithm_of(float(args[0]))?.log10())
    }),
    f("log10", &[NUMERIC], DECIMAL, |_, args| {
        number(&decimal_logarithm_of(args[0])?.log(&Decimal::from(10)))
    }),
    f("log", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        let (base, value) = (
            decimal_logarithm_of(args[0])?,
            decimal_logarithm_of(args[1])?,
        );
        match base.minus(&Decimal::from(1)).is_zero() {
            true => Err(by_zero()),
            false => number(&value.log(&base)),
        }
    }),
    f("power", &[FLOAT8, FLOAT8], T::Float8, power),
    f("power", &[NUMERIC, NUMERIC], DECIMAL, decimal_power),
    f("pow", &[FLOAT8, FLOAT8], T::Float8, power),
    f("pow", &[NUMERIC, NUMERIC], DECIMAL, decimal_power),
    f("^", &[FLOAT8, FLOAT8], T::Float8, power),
    f("^", &[NUMERIC, NUMERIC], DECIMAL, decimal_power),
    f("mod", &[INT2, INT2], T::Int2, remainder),
    f("mod", &[INT4, INT4], T::Int4, remainder),
    f("mod", &[INT8, INT8], T::Int8, remainder),
    f("mod", &[NUMERIC, NUMERIC], DECIMAL, decimal_remainder),
    f("div", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        let divisor = decimal(args[1]);
        match divisor.is_zero() {
            true => Err(by_zero()),
            false => number(&decimal(args[0]).whole_over(&divisor)),
        }
    }),
    f("gcd", &[INT4, INT4], T::Int4, common_divisor),
    f("gcd", &[INT8, INT8], T::Int8, common_divisor),
    f("gcd", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        number(&decimal(args[0]).common_divisor(&decimal(args[1])))
    }),
    f("lcm", &[INT4, INT4], T::Int4, common_multiple),
    f("lcm", &[INT8, INT8], T::Int8, common_multiple),
    f("lcm", &[NUMERIC, NUMERIC], DECIMAL, |_, args| {
        let (a, b) = (decimal(args[0]), decimal(args[1]));
        let scale = a.scale().max(b.scale());
        if a.is_zero() || b.is_zero() {
            return number(&Decimal::from(0).rounded(scale));
        }
        let quotient = a.whole_over(&a.common_divisor(&b));
        number(&quotient.times(&b).abs().rounded(scale))
    }),
    f("factorial", &[INT8], DECIMAL, factorial),
    f("scale", &[NUMERIC], T::Int4, |_, args| {
        Ok(Datum::Int4(decimal(args[0]).scale()))
    }),
    f("min_scale", &[NUMERIC], T::Int4, |_, args| {
        Ok(Datum::Int4(decimal(args[0]).scale_min()))
    }),
    f("trim_scale", &[NUMERIC], DECIMAL, |_, args| {
        let value = decimal(args[0]);
        number(&value.rounded(value.scale_min()))
    }),
    f(
        "width_bucket",
        &[FLOAT8, FLOAT8, FLOAT8, INT4],
        T::Int4,
        bucket,
    ),
    f(
        "width_bucket",
        &[NUMERIC, NUMERIC, NUMERIC, INT4],
        T::Int4,
        decimal_bucket,
    ),
    f("setseed", &[FLOAT8], T::Text, |_, _| {
        Err(SqlError::unsupported("setseed()"))
    })
    .volatile(),
    f("&", &[INT2, INT2], T::Int2, |_, args| {
        same_width(args[0], int(args[0]) & int(args[1]))
    }),
    f("&", &[INT4, INT4], T::Int4, |_, args| {
        same_width(args[0], int(args[0]) & int(args[1]))
    }),
    f("&", &[INT8, INT8], T::Int8, |_, args| {
        same_width(args[0], int(args[0]) & int(args[1]))
    }),
    f("|", &[INT2, INT2], T::Int2, |_, args| {
        same_width(args[0], int(args[0]) | int(args[1]))
    }),
    f("|", &[INT4, INT4], T::Int4, |_, args| {
        same_width(args[0], int(args[0]) | int(args[1]))
    }),
    f("|", &[INT8, INT8], T::Int8, |_, args| {
        same_width(args[0], int(args[0]) | int(args[1]))
    }),
    f("#", &[INT2, INT2], T::Int2, |_, args| {
        same_width(args[0], int(args[0]) ^ int(args[1]))
    }),
    f("#", &[INT4, INT4], T::Int4, |_, args| {
        same_width(args[0], int(args[0]) ^ int(args[1]))
    }),
    f("#", &[INT8, INT8], T::Int8, |_, args| {
        same_width(args[0], int(args[0]) ^ int(args[1]))
    }),
    f("~", &[INT2], T::Int2, |_, args| {
        same_width(args[0], !int(args[0]))
    }),
    f("~", &[INT4], T::Int4, |_, args| {
        same_width(args[0], !int(args[0]))
    }),
    f("~", &[INT8], T::Int8, |_, args| {
        same_width(args[0], !int(args[0]))
    }),
    f("<<", &[INT2, INT4], T::Int2, shift_left),
    f("<<", &[INT4, INT4], T::Int4, shift_left),
    f("<<", &[INT8, INT4], T::Int8, shift_left),
    f(">>", &[INT2, INT4], T::Int2, shift_right),
    f(">>", &[INT4, INT4], T::Int4, shift_right),
    f(">>", &[INT8, INT4], T::Int8, shift_right),
];

type Types<'a> = &'a [Option<T>];

/// The shape of the first argument.
fn same(given: Types<'_>, _: &[Option<&ScalarValue>]) -> Option<(u8, i8)> {
    match given.first()? {
        Some(T::Numeric(shape)) => *shape,
        _ => None,
    }
}

/// The shape of the first argument without what is behind the point.
fn whole(given: Types<'_>, constants: &[Option<&ScalarValue>]) -> Option<(u8, i8)> {
    let (precision, scale) = same(given, constants)?;
    shape_of(i16::from(precision) - i16::from(scale) + 1, 0)
}

/// The shape of the first argument with as many places as the second says.
fn to_places(given: Types<'_>, constants: &[Option<&ScalarValue>]) -> Option<(u8, i8)> {
    let places = match constants.get(1)?.as_ref()? {
        ScalarValue::Int64(places) => (*places)?,
        ScalarValue::Int32(places) => i64::from((*places)?),
        _ => return None,
    };
    let places = i8::try_from(places.max(0))
        .ok()
        .filter(|places| *places < 60)?;
    let (precision, scale) = same(given, constants)?;
    shape_of(i16::from(precision) - i16::from(scale) + 1, places)
}

/// So many digits before the point and behind it, if that is a shape.
fn shape_of(whole: i16, places: i8) -> Option<(u8, i8)> {
    let precision = u8::try_from(whole + i16::from(places)).ok()?;
    (precision <= NUMERIC_PRECISION_MAX).then_some((precision, places))
}

fn real(value: f64) -> Outcome {
    Ok(Datum::Float8(value))
}

/// A float that must not have become infinite or 0 when the arguments were finite.
fn ranged(value: f64, finite: bool) -> Outcome {
    let what = match value {
        value if value.is_infinite() && finite => "overflow",
        0.0 if finite => "underflow",
        value => return real(value),
    };
    Err(SqlError::new(
        ErrorKind::NumericValueOutOfRange,
        format!("value out of range: {what}"),
    ))
}

pub(super) fn by_zero() -> SqlError {
    SqlError::new(ErrorKind::DivisionByZero, "division by zero")
}

/// 2201F
pub(super) fn power_error(message: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidArgumentForPower, message)
}

pub(super) fn negative_root() -> SqlError {
    power_error("cannot take square root of a negative number")
}

/// 2201E
pub(super) fn logarithm_error(zero: bool) -> SqlError {
    let message = match zero {
        true => "cannot take logarithm of zero",
        false => "cannot take logarithm of a negative number",
    };
    SqlError::new(ErrorKind::InvalidArgumentForLogarithm, message)
}

fn logarithm_of(value: f64) -> Result<f64, SqlError> {
    match value {
        0.0 => Err(logarithm_error(true)),
        value if value < 0.0 => Err(logarithm_error(false)),
        value => Ok(value),
    }
}

fn decimal_logarithm_of(value: DatumRef<'_>) -> Result<Decimal, SqlError> {
    let value = decimal(value);
    match value.sign() {
        1 => Ok(value),
        sign => Err(logarithm_error(sign == 0)),
    }
}

fn absolute(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    match args[0] {
        DatumRef::Int2(v) => {
            let value = v.checked_abs().map(Datum::Int2);
            value.ok_or_else(|| out_of_range("smallint"))
        }
        DatumRef::Int4(v) => {
            let value = v.checked_abs().map(Datum::Int4);
            value.ok_or_else(|| out_of_range("integer"))
        }
        DatumRef::Int8(v) => {
            let value = v.checked_abs().map(Datum::Int8);
            value.ok_or_else(|| out_of_range("bigint"))
        }
        DatumRef::Float4(v) => Ok(Datum::Float4(v.abs())),
        DatumRef::Float8(v) => real(v.abs()),
        value => number(&decimal(value).abs()),
    }
}

fn ceiling(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = decimal(args[0]);
    let cut = value.truncated(0);
    match cut < value {
        true => number(&cut.plus(&Decimal::from(1))),
        false => number(&cut),
    }
}

/// Places to round to: PostgreSQL's numerics have no more, on either side of the point.
fn places(value: DatumRef<'_>) -> i32 {
    int(value).clamp(-131_073, 16_383) as i32
}

fn square_root(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    match float(args[0]) {
        value if value < 0.0 => Err(negative_root()),
        value => real(value.sqrt()),
    }
}

fn power(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (base, exponent) = (float(args[0]), float(args[1]));
    if base == 0.0 && exponent < 0.0 {
        return Err(power_error("zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(power_error(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let finite = base.is_finite() && exponent.is_finite() && base != 0.0;
    ranged(base.powf(exponent), finite)
}

fn decimal_power(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (base, exponent) = (decimal(args[0]), decimal(args[1]));
    if base.is_zero() && exponent.is_negative() {
        return Err(power_error("zero raised to a negative power is undefined"));
    }
    if base.is_negative() && !exponent.is_integer() {
        return Err(power_error(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    number(&base.power(&exponent).ok_or_else(overflow)?)
}

/// An integer of the width of another; it fits.
fn same_width(like: DatumRef<'_>, value: i64) -> Outcome {
    Ok(match like {
        DatumRef::Int2(_) => Datum::Int2(value as i16),
        DatumRef::Int4(_) => Datum::Int4(value as i32),
        _ => Datum::Int8(value),
    })
}

fn remainder(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    match int(args[1]) {
        0 => Err(by_zero()),
        divisor => same_width(args[0], int(args[0]).wrapping_rem(divisor)),
    }
}

fn decimal_remainder(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let divisor = decimal(args[1]);
    match divisor.is_zero() {
        true => Err(by_zero()),
        false => number(&decimal(args[0]).remainder(&divisor)),
    }
}

/// An integer of the width of another, if it fits.
fn fitting(like: DatumRef<'_>, value: i128) -> Outcome {
    match like {
        DatumRef::Int4(_) => i32::try_from(value)
            .map(Datum::Int4)
            .map_err(|_| out_of_range("integer")),
        _ => i64::try_from(value)
            .map(Datum::Int8)
            .map_err(|_| out_of_range("bigint")),
    }
}

fn divisor_of(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn common_divisor(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    fitting(
        args[0],
        divisor_of(int(args[0]).into(), int(args[1]).into()),
    )
}

fn common_multiple(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (a, b) = (i128::from(int(args[0])), i128::from(int(args[1])));
    fitting(
        args[0],
        match a == 0 || b == 0 {
            true => 0,
            false => (a / divisor_of(a, b) * b).abs(),
        },
    )
}

fn factorial(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let n = int(args[0]);
    if n < 0 {
        return Err(SqlError::new(
            ErrorKind::NumericValueOutOfRange,
            "factorial of a negative number is undefined",
        ));
    }
    if n > 32_177 {
        return Err(overflow());
    }
    number(&product(1, n.max(1)))
}

/// The product of whole numbers in a row: multiplied in halves, factors are of like lengths, which costs least.
fn product(first: i64, last: i64) -> Decimal {
    if first == last {
        return Decimal::from(first);
    }
    let middle = i64::midpoint(first, last);
    product(first, middle).times(&product(middle + 1, last))
}

pub(super) fn bucket_error(message: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidArgumentForWidthBucket, message)
}

pub(super) fn bucket_count(value: DatumRef<'_>) -> Result<i64, SqlError> {
    match int(value) {
        count if count > 0 => Ok(count),
        _ => Err(bucket_error("count must be greater than zero")),
    }
}

pub(super) fn behind_last(count: i64) -> Outcome {
    let value = i32::try_from(count + 1).map(Datum::Int4);
    value.map_err(|_| out_of_range("integer"))
}

fn bucket(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, low, high) = (float(args[0]), float(args[1]), float(args[2]));
    let count = bucket_count(args[3])?;
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(bucket_error(
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let (before, behind) = match low < high {
        true => (value < low, value >= high),
        false => (value > low, value <= high),
    };
    if before {
        return Ok(Datum::Int4(0));
    }
    if behind {
        return behind_last(count);
    }
    let share = count as f64 * ((value - low) / (high - low));
    Ok(Datum::Int4(
        (share as i32).saturating_add(1).min(count as i32),
    ))
}

fn decimal_bucket(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, low, high) = (decimal(args[0]), decimal(args[1]), decimal(args[2]));
    let count = bucket_count(args[3])?;
    let width = high.minus(&low);
    if width.is_zero() {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    }
    let (before, behind) = match width.is_negative() {
        false => (value < low, value >= high),
        true => (value > low, value <= high),
    };
    if before {
        return Ok(Datum::Int4(0));
    }
    if behind {
        return behind_last(count);
    }
    let share = value
        .minus(&low)
        .times(&Decimal::from(count))
        .whole_over(&width);
    let share = share.to_i64().unwrap_or(0) + 1;
    Ok(Datum::Int4(i32::try_from(share).unwrap_or(i32::MAX)))
}

fn shift_left(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let by = int(args[1]) as u32;
    Ok(match args[0] {
        DatumRef::Int2(v) => Datum::Int2(i32::from(v).wrapping_shl(by) as i16),
        DatumRef::Int4(v) => Datum::Int4(v.wrapping_shl(by)),
        value => Datum::Int8(int(value).wrapping_shl(by)),
    })
}

fn shift_right(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let by = int(args[1]) as u32;
    Ok(match args[0] {
        DatumRef::Int2(v) => Datum::Int2(i32::from(v).wrapping_shr(by) as i16),
        DatumRef::Int4(v) => Datum::Int4(v.wrapping_shr(by)),
        value => Datum::Int8(int(value).wrapping_shr(by)),
    })
}
