//! Functions of NaN and infinite numerics. They give what floats give, by which they are computed.

use tidelog_storage::datum::{Number, NumberRef, Parts};

use super::call::dsl::*;
use super::conditional::WIDE;
use super::math::{
    behind_last, bucket_count, bucket_error, by_zero, logarithm_error, negative_root, power_error,
};
use crate::text::number::numeric_overflow;

/// Whether a value is a numeric that is not finite.
pub(super) fn is_one(value: &DatumRef<'_>) -> bool {
    matches!(value, DatumRef::Number(number) if number.is_special())
}

/// A function's value of arguments of which one is such a numeric.
pub(super) fn call(name: &str, args: &[DatumRef<'_>]) -> Outcome {
    let first = double(args[0]);
    let second = || args.get(1).map_or(0.0, |value| double(*value));
    let is_nan = || first.is_nan() || second().is_nan();
    Ok(match (name, args.len()) {
        ("+", _) => of(first + second()),
        ("-", 1) => of(-first),
        ("-", _) => of(first - second()),
        ("*", _) => of(first * second()),
        ("/" | "div", _) => of(divided(first, second())?),
        ("%" | "mod", _) if !is_nan() && second() == 0.0 => return Err(by_zero()),
        // A finite one stays as it is.
        ("%" | "mod", _) if first.is_finite() && second().is_infinite() => args[0].to_owned(),
        ("%" | "mod", _) => of(f64::NAN),
        ("abs" | "@", _) => of(first.abs()),
        ("sign", _) => of(if first.is_nan() {
            first
        } else {
            first.signum()
        }),
        ("ceil" | "ceiling" | "floor" | "round" | "trunc" | "trim_scale", _) => of(first),
        (WIDE, _) if first.is_nan() => of(first),
        (WIDE, _) => {
            let (precision, scale) = (int(args[1]), int(args[2]));
            let detail = format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            );
            return Err(numeric_overflow().detail(detail));
        }
        ("sqrt", _) if first < 0.0 => return Err(negative_root()),
        ("sqrt", _) => of(first.sqrt()),
        ("exp", _) => of(first.exp()),
        ("ln" | "log" | "log10", 1) => of(logarithm(first)?),
        ("log", _) if is_nan() => of(f64::NAN),
        ("log", _) if first < 0.0 || second() < 0.0 => return Err(logarithm_error(false)),
        ("log", _) => {
            let (base, value) = (logarithm(first)?, logarithm(second())?);
            of(match (base.is_infinite(), value.is_infinite()) {
                (true, true) => f64::NAN,
                (true, false) => 0.0,
                _ => value,
            })
        }
        ("power" | "pow" | "^", _) => of(power(first, second())?),
        ("gcd" | "lcm", _) => of(f64::NAN),
        ("scale" | "min_scale", _) => Datum::Null,
        ("width_bucket", _) => {
            let [_, low, high, _] = args else {
                return Err(unsupported(name));
            };
            let (low, high) = (double(*low), double(*high));
            return bucket(first, low, high, args[3]);
        }
        ("generate_series", _) => {
            let what = ["start", "stop", "step size"];
            let at = args.iter().position(is_one).unwrap_or(0);
            let value = if double(args[at]).is_nan() {
                "NaN"
            } else {
                "infinity"
            };
            let what = match at {
                2 => what[2].to_string(),
                at => format!("{} value", what[at]),
            };
            return Err(refused(format!("{what} cannot be {value}")));
        }
        _ => return Err(unsupported(name)),
    })
}

fn unsupported(name: &str) -> SqlError {
    SqlError::unsupported(format_args!("{name}() of a numeric that is not finite"))
}

fn double(value: DatumRef<'_>) -> f64 {
    match value {
        DatumRef::Number(number) => of_number(number),
        DatumRef::Numeric(value) => Decimal::from(value).to_f64(),
        DatumRef::Int2(value) => value.into(),
        DatumRef::Int4(value) => value.into(),
        DatumRef::Int8(value) => value as f64,
        _ => 0.0,
    }
}

/// The nearest float of a numeric; the largest stand for those that are larger.
fn of_number(number: NumberRef<'_>) -> f64 {
    match number.parts() {
        Some(Parts::Infinity) => f64::INFINITY,
        Some(Parts::MinusInfinity) => f64::NEG_INFINITY,
        Some(Parts::NaN) | None => f64::NAN,
        Some(Parts::Finite(value)) => {
            let near = Decimal::from(value).to_f64();
            near.clamp(f64::MIN, f64::MAX)
        }
    }
}

/// A result, which is not finite, 0 or 1.
fn of(value: f64) -> Datum {
    Datum::Number(match value {
        value if value.is_nan() => Number::nan(),
        value if value.is_infinite() => Number::infinity(value < 0.0),
        value => Number::integer(value as i64),
    })
}

fn divided(dividend: f64, divisor: f64) -> Result<f64, SqlError> {
    match divisor {
        0.0 if !dividend.is_nan() => Err(by_zero()),
        divisor => Ok(dividend / divisor),
    }
}

fn logarithm(value: f64) -> Result<f64, SqlError> {
    match value {
        0.0 => Err(logarithm_error(true)),
        value if value < 0.0 => Err(logarithm_error(false)),
        value => Ok(value.ln()),
    }
}

fn power(base: f64, exponent: f64) -> Result<f64, SqlError> {
    if base == 0.0 && exponent < 0.0 {
        return Err(power_error("zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(power_error(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    Ok(base.powf(exponent))
}

fn bucket(value: f64, low: f64, high: f64, count: DatumRef<'_>) -> Outcome {
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(bucket_error(
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    let count = bucket_count(count)?;
    match (value > 0.0) == (low < high) {
        true => behind_last(count),
        false => Ok(Datum::Int4(0)),
    }
}
