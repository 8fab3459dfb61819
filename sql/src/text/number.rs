//! Integers, floats and decimals.

use std::fmt::Write;
use std::str::FromStr;

use arrow::datatypes::i256;
use tidelog_storage::ColumnType;
use tidelog_storage::datum::{Numeric, UNCONSTRAINED_NUMERIC_SCALE};

use super::{is_space, syntax};
use crate::error::{ErrorKind, SqlError};
use crate::types;

pub(super) fn integer<T: FromStr>(ty: ColumnType, text: &str) -> Result<T, SqlError> {
    let trimmed = text.trim_matches(is_space);
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax(ty, text));
    }
    trimmed.parse().map_err(|_| {
        let message = format!(
            "value \"{text}\" is out of range for type {}",
            types::name(ty)
        );
        SqlError::new(ErrorKind::NumericValueOutOfRange, message)
    })
}

/// An oid: what is negative wraps around, as in PostgreSQL.
pub(super) fn oid(text: &str) -> Result<u32, SqlError> {
    let wide: i64 = integer(ColumnType::Oid, text)?;
    u32::try_from(wide)
        .or_else(|_| i32::try_from(wide).map(i32::cast_unsigned))
        .map_err(|_| {
            let message = format!("value \"{text}\" is out of range for type oid");
            SqlError::new(ErrorKind::NumericValueOutOfRange, message)
        })
}

pub(super) fn float4(text: &str) -> Result<f32, SqlError> {
    let value =
        f32::from_str(text.trim_matches(is_space)).map_err(|_| syntax(ColumnType::Float4, text))?;
    in_range(ColumnType::Float4, text, value.is_infinite(), value == 0.0)?;
    Ok(value)
}

pub(super) fn float8(text: &str) -> Result<f64, SqlError> {
    let value =
        f64::from_str(text.trim_matches(is_space)).map_err(|_| syntax(ColumnType::Float8, text))?;
    in_range(ColumnType::Float8, text, value.is_infinite(), value == 0.0)?;
    Ok(value)
}

/// Refuses a number that became infinite or zero only because it is out of the type's range.
fn in_range(ty: ColumnType, text: &str, infinite: bool, zero: bool) -> Result<(), SqlError> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let overflow = infinite && text.bytes().any(|byte| byte.is_ascii_digit());
    let underflow = zero && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if overflow || underflow {
        let message = format!("\"{text}\" is out of range for type {}", types::name(ty));
        return Err(SqlError::new(ErrorKind::NumericValueOutOfRange, message));
    }
    Ok(())
}

/// The exponents up to which a float is written without one, as PostgreSQL has them.
const FLOAT4_FIXED_MAX: i32 = 6;
const FLOAT8_FIXED_MAX: i32 = 15;

pub(super) fn write_float4(value: f32, out: &mut String) {
    if value.is_finite() {
        write_shortest(&format!("{value:e}"), FLOAT4_FIXED_MAX, out);
    } else {
        write_special(f64::from(value), out);
    }
}

pub(super) fn write_float8(value: f64, out: &mut String) {
    if value.is_finite() {
        write_shortest(&format!("{value:e}"), FLOAT8_FIXED_MAX, out);
    } else {
        write_special(value, out);
    }
}

fn write_special(value: f64, out: &mut String) {
    out.push_str(match (value.is_nan(), value > 0.0) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    });
}

/// Writes what Rust's `{:e}` gives, as in `-1.25e-7`, in PostgreSQL's way.
fn write_shortest(scientific: &str, fixed_max: i32, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    out.push_str(sign);
    if !(-4..fixed_max).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let digits = mantissa
        .bytes()
        .filter(|&byte| byte != b'.')
        .map(char::from);
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n(
            '0',
            exponent.unsigned_abs() as usize - 1,
        ));
        out.extend(digits);
        return;
    }
    let whole = exponent as usize + 1;
    let mut count = 0;
    for digit in digits {
        if count == whole {
            out.push('.');
        }
        out.push(digit);
        count += 1;
    }
    out.extend(std::iter::repeat_n('0', whole.saturating_sub(count)));
}

/// A decimal number as written: its digits and where the point stands among them.
pub(super) struct Decimal {
    pub(super) negative: bool,
    pub(super) digits: Vec<u8>,
    /// Digits behind the point; negative when zeros are to follow.
    pub(super) scale: i64,
}

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    pub(super) fn read(text: &str) -> Option<Decimal> {
        let bytes = text.as_bytes();
        let (negative, rest) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            None => (rest, 0),
            Some(at) => {
                let exponent = std::str::from_utf8(&rest[at + 1..]).ok()?;
                let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                let saturated = if exponent.starts_with('-') {
                    -1_000_000
                } else {
                    1_000_000
                };
                (
                    &rest[..at],
                    exponent
                        .parse::<i64>()
                        .unwrap_or(saturated)
                        .clamp(-1_000_000, 1_000_000),
                )
            }
        };
        let mut digits = Vec::with_capacity(mantissa.len());
        let mut scale = None;
        for &byte in mantissa {
            match byte {
                b'0'..=b'9' => {
                    digits.push(byte);
                    if let Some(scale) = &mut scale {
                        *scale += 1;
                    }
                }
                b'.' if scale.is_none() => scale = Some(0),
                _ => return None,
            }
        }
        if digits.is_empty() {
            return None;
        }
        Some(Decimal {
            negative,
            digits,
            scale: scale.unwrap_or(0) - exponent,
        })
    }
}

/// Reads a value of a numeric type: rounded to a declared scale, refused when plain `numeric` would lose digits.
pub(super) fn numeric(ty: ColumnType, text: &str) -> Result<Numeric, SqlError> {
    let (precision, scale) = ty.numeric_shape();
    let plain = ty == ColumnType::Numeric(None);
    let ty = ColumnType::Numeric(None);
    let trimmed = text.trim_matches(is_space);
    let special = trimmed
        .strip_prefix(['-', '+'])
        .unwrap_or(trimmed)
        .to_ascii_lowercase();
    if matches!(special.as_str(), "nan" | "inf" | "infinity") {
        return Err(SqlError::unsupported(format!(
            "numeric value \"{trimmed}\""
        )));
    }
    let Decimal {
        negative,
        digits,
        scale: given,
    } = Decimal::read(trimmed).ok_or_else(|| syntax(ty, text))?;
    let first = digits
        .iter()
        .position(|&digit| digit != b'0')
        .unwrap_or(digits.len());
    let mut digits = digits[first..].to_vec();
    let excess = given - i64::from(scale);
    if excess > 0 {
        let keep = digits.len() as i64 - excess;
        let kept = usize::try_from(keep).unwrap_or(0);
        if plain && digits[kept..].iter().any(|&digit| digit != b'0') {
            return Err(SqlError::unsupported(format!(
                "a numeric with more than {scale} digits behind the point"
            )));
        }
        // Half away from zero, as PostgreSQL rounds decimals.
        let up = keep >= 0
            && digits
                .get(keep as usize)
                .is_some_and(|&digit| digit >= b'5');
        digits.truncate(kept);
        if up {
            increment(&mut digits);
        }
    } else if !digits.is_empty() {
        if digits.len() as i64 - excess > i64::from(precision) {
            return Err(numeric_overflow(precision, scale));
        }
        digits.resize(digits.len() + excess.unsigned_abs() as usize, b'0');
    }
    if digits.len() > usize::from(precision) {
        return Err(numeric_overflow(precision, scale));
    }
    // 38 digits fit an i128, 76 an i256.
    let integer = |digits: &[u8]| {
        i256::from_i128(
            digits
                .iter()
                .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0')),
        )
    };
    let (high, low) = digits.split_at(digits.len().saturating_sub(38));
    let mut unscaled = integer(low);
    if !high.is_empty() {
        unscaled = integer(high)
            .wrapping_mul(i256::from_i128(10_i128.pow(38)))
            .wrapping_add(unscaled);
    }
    Ok(Numeric {
        unscaled: if negative {
            unscaled.wrapping_neg()
        } else {
            unscaled
        },
        scale,
    })
}

fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

fn numeric_overflow(precision: u8, scale: i8) -> SqlError {
    let whole = i16::from(precision) - i16::from(scale);
    let limit = if whole == 0 {
        "1".to_string()
    } else {
        format!("10^{whole}")
    };
    SqlError::new(ErrorKind::NumericValueOutOfRange, "numeric field overflow").detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
}

pub(super) fn write_numeric(value: Numeric, out: &mut String) {
    let digits = match value.unscaled.to_i128() {
        Some(unscaled) => unscaled.to_string(),
        None => value.unscaled.to_string(),
    };
    let digits = match digits.strip_prefix('-') {
        Some(digits) => {
            out.push('-');
            digits
        }
        None => &digits,
    };
    let scale = usize::try_from(value.scale).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, mut fraction) = padded.split_at(padded.len() - scale);
    // The scale of a numeric that was declared without one is not the user's.
    if value.scale == UNCONSTRAINED_NUMERIC_SCALE {
        fraction = fraction.trim_end_matches('0');
    }
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}
