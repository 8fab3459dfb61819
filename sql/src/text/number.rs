//! Integers, floats and decimals.

use std::fmt::Write;
use std::str::FromStr;

use num_bigint::{BigInt, Sign};
use tidelog_storage::datum::{NUMBER_SCALE_MAX, NUMBER_WHOLE_MAX, Number, Numeric};
use tidelog_storage::{ColumnType, Datum};

use super::{FloatStyle, is_space, syntax};
use crate::error::{ErrorKind, SqlError, field_limit};
use crate::functions::decimal::Decimal;
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

/// How many digits a float has for certain.
const FLOAT4_DIGITS: u8 = 6;
const FLOAT8_DIGITS: u8 = 15;

pub(super) fn write_float4(value: f32, style: FloatStyle, out: &mut String) {
    match style {
        _ if !value.is_finite() => write_special(f64::from(value), out),
        FloatStyle::Rounded(less) => {
            write_rounded(value.into(), FLOAT4_DIGITS.saturating_sub(less), out);
        }
        FloatStyle::Shortest => {
            let bits = value.to_bits();
            let (mantissa, exponent) =
                ((bits & 0x7f_ffff) | 0x80_0000, ((bits >> 23) & 0xff) as i32);
            let binary = (u64::from(mantissa), exponent - 150);
            let shortest = unambiguous(format!("{value:e}"), binary, |digits| {
                format!("{value:.digits$e}")
            });
            write_scientific(&shortest, FLOAT4_FIXED_MAX, out);
        }
    }
}

pub(super) fn write_float8(value: f64, style: FloatStyle, out: &mut String) {
    match style {
        _ if !value.is_finite() => write_special(value, out),
        FloatStyle::Rounded(less) => {
            write_rounded(value, FLOAT8_DIGITS.saturating_sub(less), out);
        }
        FloatStyle::Shortest => {
            let bits = value.to_bits();
            let exponent = ((bits >> 52) & 0x7ff) as i32;
            let binary = ((bits & ((1 << 52) - 1)) | (1 << 52), exponent - 1075);
            let shortest = unambiguous(format!("{value:e}"), binary, |digits| {
                format!("{value:.digits$e}")
            });
            write_scientific(&shortest, FLOAT8_FIXED_MAX, out);
        }
    }
}

/// The shortest text of a float as Ryu finds it without STRICTLY_SHORTEST, in PostgreSQL's d2s.c: not one that lies just between
/// the float and the next, which readers differ in, and of two that are as near the even one. `mantissa` and `power`, of two,
/// are what the float is made of, `rounded` its text with so many digits behind the point.
fn unambiguous(
    shortest: String,
    (mantissa, power): (u64, i32),
    rounded: impl Fn(usize) -> String,
) -> String {
    let (number, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Only of large numbers is the middle between two as short as that.
    if power > 0 {
        if mantissa % 2 != 0 || !is_between(&shortest, mantissa, power) {
            return shortest;
        }
        let longer = (digits..=17).map(rounded);
        let mut longer = longer.filter(|text| !is_between(text, mantissa, power));
        return longer.next().unwrap_or(shortest);
    }
    // Two are as near where one more digit, a 5, says all of the float.
    let fraction = i64::try_from(digits).unwrap_or(0) - 1 - i64::from(exponent);
    let odd_power = i64::from(power) + i64::from(mantissa.trailing_zeros());
    match fraction > 0 && odd_power == -(fraction + 1) && !mantissa.is_power_of_two() {
        true => rounded(digits - 1),
        false => shortest,
    }
}

/// Whether a number in scientific notation, which is a whole one, is just between a float and one beside it.
fn is_between(text: &str, mantissa: u64, power: i32) -> bool {
    let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let number = number.trim_start_matches('-');
    let behind = number.split_once('.').map_or(0, |(_, behind)| behind.len());
    let digits: u64 = number.replace('.', "").parse().unwrap_or(0);
    let zeros = exponent.parse::<i32>().unwrap_or(0) - i32::try_from(behind).unwrap_or(0);
    // In both the odd factor and the power of two are compared, and more than 27 zeros have too large an odd one.
    let Ok(zeros @ 0..=27) = u32::try_from(zeros) else {
        return false;
    };
    let twos = digits.trailing_zeros();
    let odd = u128::from(digits >> twos.min(63)) * 5_u128.pow(zeros);
    let (below, above) = (2 * u128::from(mantissa) - 1, 2 * u128::from(mantissa) + 1);
    (odd == below || odd == above) && i64::from(twos + zeros) == i64::from(power - 1)
}

/// As `%.*g` in C, with so many digits.
fn write_rounded(value: f64, digits: u8, out: &mut String) {
    let digits = usize::from(digits.max(1));
    let written = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let fixed_max = i32::try_from(digits).unwrap_or(i32::MAX);
    write_scientific(&format!("{mantissa}e{exponent}"), fixed_max, out);
}

fn write_special(value: f64, out: &mut String) {
    out.push_str(match (value.is_nan(), value > 0.0) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    });
}

/// Writes what Rust's `{:e}` gives, as in `-1.25e-7`, in PostgreSQL's way.
fn write_scientific(scientific: &str, fixed_max: i32, out: &mut String) {
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
pub(super) struct Written {
    pub(super) negative: bool,
    pub(super) digits: Vec<u8>,
    /// Digits behind the point; negative when zeros are to follow.
    pub(super) scale: i64,
}

impl Written {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    pub(super) fn read(text: &str) -> Option<Written> {
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
        Some(Written {
            negative,
            digits,
            scale: scale.unwrap_or(0) - exponent,
        })
    }

    /// The number that it is.
    fn number(self) -> Result<Decimal, SqlError> {
        let zeros = usize::try_from(-self.scale).unwrap_or(0);
        let first = self.digits.iter().position(|digit| *digit != b'0');
        let whole = self.digits.len() - first.unwrap_or(self.digits.len()) + zeros;
        let too_long = first.is_some() && whole > NUMBER_WHOLE_MAX + usize::from(NUMBER_SCALE_MAX);
        if too_long || self.scale > i64::from(NUMBER_SCALE_MAX) {
            return Err(overflow());
        }
        let digits = self.digits.iter().map(|digit| digit - b'0');
        let mut digits: Vec<u8> = digits.collect();
        if first.is_some() {
            digits.resize(digits.len() + zeros, 0);
        }
        let sign = if self.negative {
            Sign::Minus
        } else {
            Sign::Plus
        };
        let digits = BigInt::from_radix_be(sign, &digits, 10).unwrap_or_default();
        let scale = i32::try_from(self.scale.max(0)).unwrap_or(0);
        Ok(Decimal::new(digits, scale))
    }
}

/// Reads a value of a numeric type, rounded to its scale where it has one.
pub(super) fn numeric(shape: Option<(u8, i8)>, text: &str) -> Result<Datum, SqlError> {
    let ty = ColumnType::Numeric(None);
    let trimmed = text.trim_matches(is_space);
    let (negative, word) = match trimmed.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let special = match word.to_ascii_lowercase().as_str() {
        "nan" if word == trimmed => Some(Number::nan()),
        "inf" | "infinity" => Some(Number::infinity(negative)),
        _ => None,
    };
    match (special, shape) {
        (Some(special), None) => return Ok(Datum::Number(special)),
        (Some(_), Some(_)) if word.eq_ignore_ascii_case("nan") => {
            return Err(SqlError::unsupported("NaN of a numeric with a precision"));
        }
        (Some(_), Some((precision, scale))) => {
            let detail = format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            );
            return Err(numeric_overflow().detail(detail));
        }
        (None, _) => {}
    }
    let written = Written::read(trimmed).ok_or_else(|| syntax(ty, text))?;
    let value = written.number()?;
    match shape {
        None => value.number().map(Datum::Number).ok_or_else(overflow),
        Some((precision, scale)) => fitted(&value, precision, scale).map(Datum::Numeric),
    }
}

/// 22003: beyond what a numeric can be.
pub(crate) fn overflow() -> SqlError {
    SqlError::new(
        ErrorKind::NumericValueOutOfRange,
        "value overflows numeric format",
    )
}

/// The value as one of a numeric of this precision and scale, rounded half away from zero.
pub(crate) fn fitted(value: &Decimal, precision: u8, scale: i8) -> Result<Numeric, SqlError> {
    value
        .fitted(precision, scale)
        .ok_or_else(|| numeric_overflow().detail(field_limit(precision, scale)))
}

/// 22003: a number with more digits before the point than so many.
pub(crate) fn too_many_digits(whole: usize, scale: i32) -> SqlError {
    let precision = i64::try_from(whole)
        .unwrap_or(i64::MAX)
        .saturating_add(scale.into());
    let limit = match whole {
        0 => "1".to_string(),
        whole => format!("10^{whole}"),
    };
    numeric_overflow().detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
}

pub(crate) fn numeric_overflow() -> SqlError {
    SqlError::new(ErrorKind::NumericValueOutOfRange, "numeric field overflow")
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
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}
