//! Numerics with a scale of their own, as bytes that sort as PostgreSQL sorts the values.
//!
//! A value's bytes are what it is compared by and, in two bytes behind that, how many digits it shows behind the point.
//! `docs/storage-format.md` has them one by one.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Numeric;

/// The first byte, in the order of values.
const MINUS_INFINITY: u8 = 0;
const NEGATIVE: u8 = 1;
const ZERO: u8 = 2;
const POSITIVE: u8 = 3;
const INFINITY: u8 = 4;
const NAN: u8 = 5;

/// Behind the digits, each of which is one more than it is.
const END: u8 = 0;
/// Bytes of the scale.
const SCALE_BYTES: usize = 2;
/// What is added to an exponent of one byte.
const BIAS: i32 = 0x40;
/// What is added to a low exponent of three bytes.
const LOW_BIAS: i32 = 0x80_0000;

/// The largest number of digits behind the point.
pub const NUMBER_SCALE_MAX: u16 = 16_383;
/// The largest number of digits before the point.
pub const NUMBER_WHOLE_MAX: usize = 131_072;

/// A numeric with a scale of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number(Box<[u8]>);

/// The same, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRef<'a>(&'a [u8]);

/// What a number is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Parts {
    MinusInfinity,
    Infinity,
    NaN,
    Finite(Finite),
}

/// `hundreds / 100^behind`, shown with `scale` digits behind the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finite {
    /// Whether it is less than zero.
    pub negative: bool,
    /// Digits to the base 100, the highest first; none for zero.
    pub hundreds: Vec<u8>,
    /// How many of them stand behind the point; negative when zeros are to follow.
    pub behind: i32,
    /// Decimal digits behind the point that are shown; no digit but 0 stands behind them.
    pub scale: u16,
}

impl Number {
    /// Not a number, which is above all others and equal to itself.
    pub fn nan() -> Number {
        Number::special(NAN)
    }

    /// The infinite number, or its negative.
    pub fn infinity(negative: bool) -> Number {
        Number::special(if negative { MINUS_INFINITY } else { INFINITY })
    }

    fn special(class: u8) -> Number {
        Number(Box::new([class, 0, 0]))
    }

    /// The number whose key this is, which shows no more digits behind the point than it has; `None` for bytes that are no key.
    pub fn of_key(key: &[u8]) -> Option<Number> {
        let bytes = [key, &[0; SCALE_BYTES]].concat();
        let number = NumberRef::read(&bytes)?;
        Some(match number.parts()? {
            Parts::Finite(mut value) => {
                let is_tens = |digit: &u8| digit.is_multiple_of(10);
                let last = i32::from(value.hundreds.last().is_some_and(is_tens));
                value.scale = u16::try_from((2 * value.behind - last).max(0)).ok()?;
                Number::finite(&value)
            }
            _ => number.to_owned(),
        })
    }

    /// A whole number.
    pub fn integer(value: i64) -> Number {
        Number::decimal(value.into(), 0)
    }

    /// `unscaled / 10^scale`
    fn decimal(unscaled: i128, scale: u16) -> Number {
        // An odd scale has half a digit to the base 100 at its end.
        let mut rest = unscaled.unsigned_abs();
        let mut hundreds = Vec::with_capacity(20);
        if scale % 2 == 1 {
            hundreds.push((rest % 10) as u8 * 10);
            rest /= 10;
        }
        while rest > 0 {
            hundreds.push((rest % 100) as u8);
            rest /= 100;
        }
        hundreds.reverse();
        Number::finite(&Finite {
            negative: unscaled < 0,
            hundreds,
            behind: i32::from(scale.div_ceil(2)),
            scale,
        })
    }

    /// A finite number.
    pub fn finite(value: &Finite) -> Number {
        let zeros = value.hundreds.iter().take_while(|digit| **digit == 0);
        let digits = &value.hundreds[zeros.count()..];
        // Of them all: zeros at the end do not tell values apart.
        let length = digits.len();
        let zeros = digits.iter().rev().take_while(|digit| **digit == 0);
        let digits = &digits[..length - zeros.count()];
        let mut bytes = Vec::with_capacity(digits.len() + 8);
        if digits.is_empty() {
            bytes.push(ZERO);
        } else {
            bytes.push(POSITIVE);
            let before = i32::try_from(length).unwrap_or(i32::MAX);
            put_exponent(&mut bytes, before.saturating_sub(value.behind));
            bytes.extend(digits.iter().map(|digit| digit + 1));
            bytes.push(END);
            if value.negative {
                bytes.iter_mut().skip(1).for_each(|byte| *byte = !*byte);
                bytes[0] = NEGATIVE;
            }
        }
        bytes.extend_from_slice(&value.scale.to_be_bytes());
        Number(bytes.into())
    }

    /// The value, borrowed.
    pub fn as_ref(&self) -> NumberRef<'_> {
        NumberRef(&self.0)
    }
}

impl From<Numeric> for Number {
    fn from(value: Numeric) -> Number {
        let scale = u16::try_from(value.scale).unwrap_or(0);
        if let Some(unscaled) = value.unscaled.to_i128() {
            return Number::decimal(unscaled, scale);
        }
        let written = value.unscaled.to_string();
        let digits = written.trim_start_matches('-').as_bytes();
        Number::finite(&Finite {
            negative: written.starts_with('-'),
            ..Finite::of_digits(digits, scale)
        })
    }
}

impl Finite {
    /// Decimal digits in ASCII, of which the last `scale` stand behind the point.
    pub fn of_digits(digits: &[u8], scale: u16) -> Finite {
        // Pairs begin at the point.
        let ends_odd = usize::from(scale % 2 == 1);
        let begins_odd = (digits.len() + ends_odd) % 2;
        let zeros = |count| std::iter::repeat_n(&b'0', count);
        let padded: Vec<u8> = (zeros(begins_odd).chain(digits).chain(zeros(ends_odd)))
            .map(|digit| digit - b'0')
            .collect();
        Finite {
            negative: false,
            hundreds: padded.chunks(2).map(|two| two[0] * 10 + two[1]).collect(),
            behind: i32::from(scale.div_ceil(2)),
            scale,
        }
    }
}

/// Appends how many digits stand before the point, so that bytes sort as exponents do.
fn put_exponent(bytes: &mut Vec<u8>, exponent: i32) {
    match u8::try_from(exponent + BIAS) {
        Ok(byte) if (1..u8::MAX).contains(&byte) => bytes.push(byte),
        _ if exponent > 0 => {
            bytes.push(u8::MAX);
            bytes.extend_from_slice(&exponent.to_be_bytes()[1..]);
        }
        _ => {
            bytes.push(0);
            bytes.extend_from_slice(&(exponent + LOW_BIAS).to_be_bytes()[1..]);
        }
    }
}

impl<'a> NumberRef<'a> {
    /// A number's bytes as they came from an array of numbers.
    pub(crate) fn of_array(bytes: &'a [u8]) -> NumberRef<'a> {
        NumberRef(bytes)
    }

    /// The number that bytes are; `None` when they are none.
    pub fn read(bytes: &'a [u8]) -> Option<NumberRef<'a>> {
        let number = NumberRef(bytes);
        let split = number.split()?;
        let valid = match split.class {
            ZERO => true,
            NEGATIVE | POSITIVE => {
                let digit = |byte: &u8| split.digit(*byte);
                let ends = [split.digits.first()?, split.digits.last()?];
                let mut exponent = Vec::with_capacity(4);
                put_exponent(&mut exponent, split.exponent);
                // Each value has one form.
                ends.iter().all(|byte| digit(byte) != Some(0))
                    && split.digits.iter().all(|byte| digit(byte).is_some())
                    && exponent.len() == split.exponent_bytes
            }
            _ => split.scale == 0,
        };
        valid.then_some(number)
    }

    /// All of its bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// What it is compared by: bytes that sort as values do, of which none are the beginning of another's.
    pub fn key(self) -> &'a [u8] {
        &self.0[..self.0.len().saturating_sub(SCALE_BYTES)]
    }

    /// The value, owned.
    pub fn to_owned(self) -> Number {
        Number(self.0.into())
    }

    /// Whether it is NaN or infinite.
    pub fn is_special(self) -> bool {
        !matches!(self.0.first(), Some(&NEGATIVE | &ZERO | &POSITIVE))
    }

    /// What it is made of; `None` for bytes that are no number's.
    pub fn parts(self) -> Option<Parts> {
        let split = self.split()?;
        Some(match split.class {
            MINUS_INFINITY => Parts::MinusInfinity,
            INFINITY => Parts::Infinity,
            NAN => Parts::NaN,
            class => {
                let digits = split.digits.iter();
                let hundreds: Vec<u8> = digits
                    .map(|byte| split.digit(*byte))
                    .collect::<Option<_>>()?;
                Parts::Finite(Finite {
                    negative: class == NEGATIVE,
                    behind: i32::try_from(hundreds.len()).ok()? - split.exponent,
                    hundreds,
                    scale: split.scale,
                })
            }
        })
    }

    fn split(self) -> Option<Split<'a>> {
        let (key, scale) = self.0.split_last_chunk::<SCALE_BYTES>()?;
        let (class, rest) = key.split_first()?;
        let mut split = Split {
            class: *class,
            exponent: 0,
            exponent_bytes: 0,
            digits: &[],
            scale: u16::from_be_bytes(*scale),
        };
        match *class {
            NEGATIVE | POSITIVE => {}
            MINUS_INFINITY | ZERO | INFINITY | NAN => return rest.is_empty().then_some(split),
            _ => return None,
        }
        let (first, behind) = rest.split_first()?;
        let first = split.flipped(*first);
        let rest = match first {
            0 | u8::MAX => {
                let ([a, b, c], behind) = behind.split_first_chunk::<3>()?;
                let [a, b, c] = [*a, *b, *c].map(|byte| split.flipped(byte));
                let bias = if first == 0 { LOW_BIAS } else { 0 };
                (split.exponent, split.exponent_bytes) =
                    (i32::from_be_bytes([0, a, b, c]) - bias, 4);
                behind
            }
            byte => {
                (split.exponent, split.exponent_bytes) = (i32::from(byte) - BIAS, 1);
                behind
            }
        };
        let (end, digits) = rest.split_last()?;
        split.digits = digits;
        (split.flipped(*end) == END).then_some(split)
    }

    /// Writes it as PostgreSQL does.
    pub fn write(self, out: &mut String) {
        let value = match self.parts() {
            Some(Parts::Finite(value)) => value,
            Some(Parts::Infinity) => return out.push_str("Infinity"),
            Some(Parts::MinusInfinity) => return out.push_str("-Infinity"),
            Some(Parts::NaN) | None => return out.push_str("NaN"),
        };
        if value.negative {
            out.push('-');
        }
        // Digits by their place: that of the first before the point is 0.
        let whole = value.hundreds.len() as i64 - i64::from(value.behind);
        let digit = |place: i64| {
            let at = usize::try_from(place).ok();
            at.and_then(|at| value.hundreds.get(at))
                .copied()
                .unwrap_or(0)
        };
        let mut begun = false;
        for place in 0..whole {
            let _ = match begun {
                true => write!(out, "{:02}", digit(place)),
                false => write!(out, "{}", digit(place)),
            };
            begun = true;
        }
        if !begun {
            out.push('0');
        }
        if value.scale > 0 {
            out.push('.');
            for at in 0..i64::from(value.scale) {
                let pair = digit(whole + at / 2);
                let decimal = if at % 2 == 0 { pair / 10 } else { pair % 10 };
                out.push(char::from(b'0' + decimal));
            }
        }
    }
}

/// Where the parts of a number lie.
struct Split<'a> {
    class: u8,
    exponent: i32,
    exponent_bytes: usize,
    digits: &'a [u8],
    scale: u16,
}

impl Split<'_> {
    fn flipped(&self, byte: u8) -> u8 {
        if self.class == NEGATIVE { !byte } else { byte }
    }

    fn digit(&self, byte: u8) -> Option<u8> {
        let digit = self.flipped(byte).checked_sub(1);
        digit.filter(|digit| *digit < 100)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::i256;
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        match text {
            "NaN" => return Number::nan(),
            "Infinity" => return Number::infinity(false),
            "-Infinity" => return Number::infinity(true),
            _ => {}
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
        let scale = u16::try_from(fraction.len()).unwrap();
        Number::finite(&Finite {
            negative: text.starts_with('-'),
            ..Finite::of_digits(digits.as_bytes(), scale)
        })
    }

    fn written(number: NumberRef<'_>) -> String {
        let mut out = String::new();
        number.write(&mut out);
        out
    }

    #[test]
    fn keys_sort_as_postgresql_sorts_values() {
        let (large, small) = ("9".repeat(1000), format!("0.{}1", "0".repeat(1000)));
        let sorted = [
            "-Infinity".to_string(),
            format!("-{large}"),
            "-1000".to_string(),
            "-100.5".to_string(),
            "-100".to_string(),
            "-99.99".to_string(),
            "-1".to_string(),
            "-0.02".to_string(),
            format!("-{small}"),
            "0.000".to_string(),
            small,
            "0.0012".to_string(),
            "0.01".to_string(),
            "0.1".to_string(),
            "1".to_string(),
            "1.01".to_string(),
            "1.5".to_string(),
            "2".to_string(),
            "10".to_string(),
            "10.01".to_string(),
            "100".to_string(),
            "12345678901234567890.5".to_string(),
            large,
            "Infinity".to_string(),
            "NaN".to_string(),
        ];
        for pair in sorted.windows(2) {
            let (low, high) = (number(&pair[0]), number(&pair[1]));
            assert!(low.as_ref().key() < high.as_ref().key(), "{pair:?}");
            let again = Number::of_key(low.as_ref().key()).map(|number| written(number.as_ref()));
            let shown = pair[0].trim_end_matches(".000");
            assert_eq!(again.as_deref(), Some(shown));
        }
        for text in sorted {
            assert_eq!(written(number(&text).as_ref()), text);
        }
    }

    #[test]
    fn equal_values_have_equal_keys_and_their_own_scale() {
        for (a, b) in [
            ("1.5", "1.500"),
            ("0", "0.00"),
            ("-12.50", "-12.5"),
            ("100", "100.0"),
        ] {
            let [x, y] = [a, b].map(number);
            assert_eq!(x.as_ref().key(), y.as_ref().key());
            assert_ne!(x, y);
            assert_eq!([written(x.as_ref()), written(y.as_ref())], [a, b]);
        }
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        assert!(NumberRef::read(&[]).is_none());
        let whole = number("-123456.789");
        for length in 0..whole.0.len() {
            assert!(NumberRef::read(&whole.0[..length]).is_none());
        }
        let mut longer = whole.0.to_vec();
        longer.push(0);
        assert!(NumberRef::read(&longer).is_none());
    }

    proptest! {
        #[test]
        fn numbers_come_back_and_sort(a in any::<i128>(), b in any::<i128>(), scale in 0_i8..30) {
            let of = |unscaled: i128| Numeric { unscaled: i256::from_i128(unscaled), scale };
            let (x, y) = (Number::from(of(a)), Number::from(of(b)));
            prop_assert_eq!(a.cmp(&b), x.as_ref().key().cmp(y.as_ref().key()));
            prop_assert_eq!(NumberRef::read(x.as_ref().bytes()), Some(x.as_ref()));
            prop_assert_eq!(number(&written(x.as_ref())), x.clone());
            let wide = of(a).unscaled.wrapping_mul(i256::from_i128(10_i128.pow(30)));
            let wide = Number::from(Numeric { unscaled: wide, scale: scale + 30 });
            prop_assert_eq!(wide.as_ref().key(), x.as_ref().key());
        }
    }
}
