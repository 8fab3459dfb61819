//! Bits as text: `bit(n)` and `bit varying(n)`.

use tidelog_storage::{ColumnType, Datum};

use crate::error::{ErrorKind, SqlError};
use crate::types;

/// The bits of a literal: binary digits, behind a `b` or without, or hexadecimal ones behind an `x`.
pub(crate) fn digits(text: &str) -> Result<String, SqlError> {
    let invalid = |digit: char, what: &str| {
        let message = format!("\"{digit}\" is not a valid {what} digit");
        SqlError::new(ErrorKind::InvalidTextRepresentation, message)
    };
    if let Some(hex) = text.strip_prefix(['x', 'X']) {
        let digit = |digit: char| match digit.to_digit(16) {
            Some(value) => Ok(format!("{value:04b}")),
            None => Err(invalid(digit, "hexadecimal")),
        };
        return hex.chars().map(digit).collect();
    }
    let bits = text.strip_prefix(['b', 'B']).unwrap_or(text);
    match bits.chars().find(|digit| !matches!(digit, '0' | '1')) {
        Some(digit) => Err(invalid(digit, "binary")),
        None => Ok(bits.to_string()),
    }
}

/// A value of `bit(n)`, which has that many bits.
pub(super) fn bit(length: Option<u32>, text: &str) -> Result<String, SqlError> {
    let bits = digits(text)?;
    match length {
        Some(length) if bits.len() != length as usize => Err(SqlError::new(
            ErrorKind::StringDataLengthMismatch,
            format!(
                "bit string length {} does not match type bit({length})",
                bits.len()
            ),
        )),
        _ => Ok(bits),
    }
}

/// A value of `varbit(n)`, which has at most that many bits.
pub(super) fn varbit(length: Option<u32>, text: &str) -> Result<String, SqlError> {
    let bits = digits(text)?;
    match length {
        Some(length) if bits.len() > length as usize => Err(SqlError::new(
            ErrorKind::StringDataRightTruncation,
            format!("bit string too long for type bit varying({length})"),
        )),
        _ => Ok(bits),
    }
}

/// Bits as an explicit cast makes them: cut, or filled with zeros, at the end.
pub(crate) fn cast(to: ColumnType, text: &str) -> Result<String, SqlError> {
    let mut bits = digits(text)?;
    match to {
        ColumnType::Bit(Some(length)) => {
            let length = length as usize;
            bits.truncate(length);
            bits.extend(std::iter::repeat_n('0', length.saturating_sub(bits.len())));
        }
        ColumnType::Varbit(Some(length)) => bits.truncate(length as usize),
        _ => {}
    }
    Ok(bits)
}

/// The lowest bits of an integer of this width; where there are more, they have its sign.
pub(crate) fn of_integer(to: ColumnType, value: i64, width: u32) -> String {
    let length = match to {
        ColumnType::Bit(Some(length)) => length,
        _ => width,
    };
    let bit = |at: u32| match value >> at.min(63) & 1 {
        0 => '0',
        _ => '1',
    };
    (0..length).rev().map(bit).collect()
}

/// Bits as an integer of as many bits at most.
pub(crate) fn to_integer(ty: ColumnType, bits: &str) -> Result<Datum, SqlError> {
    let width = match ty {
        ColumnType::Int8 => 64,
        _ => 32,
    };
    if bits.len() > width {
        let message = format!("{} out of range", types::name(ty));
        return Err(SqlError::new(ErrorKind::NumericValueOutOfRange, message));
    }
    let value = bits
        .bytes()
        .fold(0_u64, |value, bit| value << 1 | u64::from(bit == b'1'));
    Ok(match ty {
        ColumnType::Int8 => Datum::Int8(value.cast_signed()),
        _ => Datum::Int4((value as u32).cast_signed()),
    })
}
