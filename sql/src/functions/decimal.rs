//! Decimals of any length, with the scales that PostgreSQL's numeric.c gives to results.

use arrow::datatypes::i256;
use num_bigint::{BigInt, Sign};
use num_traits::{Signed, ToPrimitive, Zero};
use tidelog_storage::datum::{
    Finite, NUMBER_SCALE_MAX, NUMBER_WHOLE_MAX, NUMERIC_PRECISION_MAX, Number, NumberRef, Numeric,
    Parts,
};

/// Digits that PostgreSQL's results have at least.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;
/// PostgreSQL's largest scale of a result.
const SCALE_MAX: i32 = 1000;
/// Decimal digits in one of PostgreSQL's.
const BASE_DIGITS: i32 = 4;
/// What is raised to e or a fraction has at most so many digits before the point (exp_var).
const POWER_DIGITS_MAX: f64 = 2605.0;

/// `digits / 10^scale`
#[derive(Clone, Debug, Default)]
pub(crate) struct Decimal {
    digits: BigInt,
    scale: i32,
}

fn power_of_ten(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.max(0).unsigned_abs())
}

/// A quotient of integers, rounded half away from zero.
fn divided(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let double = dividend.abs() * 2 + divisor.abs();
    let magnitude = double / (divisor.abs() * 2);
    match dividend.is_negative() == divisor.is_negative() {
        true => magnitude,
        false => -magnitude,
    }
}

impl From<Numeric> for Decimal {
    fn from(value: Numeric) -> Decimal {
        let digits = match value.unscaled.to_i128() {
            Some(small) => small.into(),
            None => BigInt::from_signed_bytes_le(&value.unscaled.to_le_bytes()),
        };
        Decimal {
            digits,
            scale: value.scale.into(),
        }
    }
}

impl From<Finite> for Decimal {
    fn from(value: Finite) -> Decimal {
        let sign = if value.negative {
            Sign::Minus
        } else {
            Sign::Plus
        };
        // `None` for no digits.
        let digits = BigInt::from_radix_be(sign, &value.hundreds, 100).unwrap_or_default();
        let scale = i32::from(value.scale);
        // No digit but 0 is cut off.
        let digits = match scale - 2 * value.behind {
            0 => digits,
            more if more > 0 => digits * power_of_ten(more),
            less => digits / power_of_ten(-less),
        };
        Decimal { digits, scale }
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal {
            digits: value.into(),
            scale: 0,
        }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.partial_cmp(other).is_some_and(|order| order.is_eq())
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<std::cmp::Ordering> {
        let scale = self.scale.max(other.scale);
        let (left, right) = (self.rounded(scale), other.rounded(scale));
        Some(left.digits.cmp(&right.digits))
    }
}

impl Decimal {
    pub(crate) fn new(digits: BigInt, scale: i32) -> Decimal {
        Decimal { digits, scale }
    }

    /// Reads digits with a sign and a point.
    pub(crate) fn read(text: &str) -> Option<Decimal> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}");
        Some(Decimal {
            digits: digits.parse().ok()?,
            scale: i32::try_from(fraction.len()).ok()?,
        })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_zero()
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.digits.is_negative()
    }

    pub(crate) fn scale(&self) -> i32 {
        self.scale
    }

    pub(crate) fn negated(&self) -> Decimal {
        Decimal::new(-&self.digits, self.scale)
    }

    pub(crate) fn abs(&self) -> Decimal {
        Decimal::new(self.digits.abs(), self.scale)
    }

    /// The value as it is written.
    pub(crate) fn shown(&self) -> String {
        let scale = self.scale.max(0).unsigned_abs() as usize;
        let digits = self.digits.magnitude().to_string();
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let sign = if self.is_negative() { "-" } else { "" };
        match fraction {
            "" => format!("{sign}{whole}"),
            fraction => format!("{sign}{whole}.{fraction}"),
        }
    }

    pub(crate) fn to_f64(&self) -> f64 {
        self.shown().parse().unwrap_or(f64::NAN)
    }

    /// The value as an integer, rounded.
    pub(crate) fn to_i64(&self) -> Option<i64> {
        self.rounded(0).digits.to_i64()
    }

    pub(crate) fn is_integer(&self) -> bool {
        (&self.digits % power_of_ten(self.scale)).is_zero()
    }

    /// With so many digits behind the point, rounded half away from zero.
    pub(crate) fn rounded(&self, scale: i32) -> Decimal {
        if scale >= self.scale {
            let digits = &self.digits * power_of_ten(scale - self.scale);
            return Decimal::new(digits, scale);
        }
        let digits = divided(&self.digits, &power_of_ten(self.scale - scale));
        match scale < 0 {
            true => Decimal::new(digits * power_of_ten(-scale), 0),
            false => Decimal::new(digits, scale),
        }
    }

    /// With so many digits behind the point, cut.
    pub(crate) fn truncated(&self, scale: i32) -> Decimal {
        if scale >= self.scale {
            return self.rounded(scale);
        }
        let digits = &self.digits / power_of_ten(self.scale - scale);
        match scale < 0 {
            true => Decimal::new(digits * power_of_ten(-scale), 0),
            false => Decimal::new(digits, scale),
        }
    }

    /// The scale without zeros at the end.
    pub(crate) fn scale_min(&self) -> i32 {
        let (mut digits, mut scale) = (self.digits.clone(), self.scale);
        while scale > 0 && (&digits % 10_u8).is_zero() {
            digits /= 10;
            scale -= 1;
        }
        scale
    }

    /// As a value of a column's shape; `None` when it has too many digits.
    pub(crate) fn fitted(&self, precision: u8, scale: i8) -> Option<Numeric> {
        let rounded = Decimal::new(self.digits.clone(), self.scale);
        let rounded = match rounded.scale == i32::from(scale) {
            true => rounded,
            false => rounded.rounded(scale.into()),
        };
        if rounded.digits.magnitude() >= power_of_ten(precision.into()).magnitude() {
            return None;
        }
        let fill = if rounded.is_negative() { 0xff } else { 0 };
        let mut bytes = [fill; 32];
        let given = rounded.digits.to_signed_bytes_le();
        bytes.get_mut(..given.len())?.copy_from_slice(&given);
        Some(Numeric {
            unscaled: i256::from_le_bytes(bytes),
            scale,
        })
    }

    /// The narrowest precision and scale that hold it; `None` beyond what a numeric can be.
    pub(crate) fn shape(&self) -> Option<(u8, i8)> {
        let digits = self.digits.magnitude().to_string().len();
        let scale = i8::try_from(self.scale).ok()?;
        let precision = digits.max(scale.unsigned_abs().into());
        let precision = u8::try_from(precision).ok()?;
        (precision <= NUMERIC_PRECISION_MAX).then_some((precision, scale))
    }

    /// The number that a value is; `None` for what is not finite.
    pub(crate) fn of_number(number: NumberRef<'_>) -> Option<Decimal> {
        match number.parts()? {
            Parts::Finite(value) => Some(value.into()),
            _ => None,
        }
    }

    /// As a numeric of its own scale; `None` beyond what one can be.
    pub(crate) fn number(&self) -> Option<Number> {
        let Ok(scale) = u16::try_from(self.scale.max(0)) else {
            return self.rounded(NUMBER_SCALE_MAX.into()).number();
        };
        if scale > NUMBER_SCALE_MAX {
            return self.rounded(NUMBER_SCALE_MAX.into()).number();
        }
        // An odd scale has half a digit to the base 100 at its end.
        let hundreds = match scale % 2 {
            0 => self.digits.magnitude().to_radix_be(100),
            _ => (self.digits.magnitude() * 10_u8).to_radix_be(100),
        };
        let behind = i32::from(scale.div_ceil(2));
        let whole = hundreds
            .len()
            .saturating_sub(usize::from(scale.div_ceil(2)));
        // PostgreSQL counts in fours.
        if whole > NUMBER_WHOLE_MAX / 2 {
            return None;
        }
        Some(Number::finite(&Finite {
            negative: self.is_negative(),
            hundreds,
            behind,
            scale,
        }))
    }

    /// The exponent of its first digit that is not 0; 0 for 0.
    pub(crate) fn exponent(&self) -> i32 {
        match self.is_zero() {
            true => 0,
            false => self.digits.magnitude().to_string().len() as i32 - 1 - self.scale,
        }
    }

    /// The first of PostgreSQL's digits, which have four of ours, and its weight.
    fn first_digit(&self) -> (i64, i32) {
        if self.is_zero() {
            return (0, 0);
        }
        let weight = self.exponent().div_euclid(BASE_DIGITS);
        let first = match weight * BASE_DIGITS + self.scale {
            shift if shift >= 0 => self.digits.abs() / power_of_ten(shift),
            shift => self.digits.abs() * power_of_ten(-shift),
        };
        (first.to_i64().unwrap_or(0), weight)
    }

    fn weight(&self) -> i32 {
        self.first_digit().1
    }

    pub(crate) fn plus(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        let digits = self.rounded(scale).digits + other.rounded(scale).digits;
        Decimal::new(digits, scale)
    }

    /// Adds another, or takes it away.
    pub(crate) fn add(&mut self, other: &Decimal, takes_away: bool) {
        if other.scale > self.scale {
            *self = self.rounded(other.scale);
        }
        let aligned;
        let other = match other.scale == self.scale {
            true => &other.digits,
            false => {
                aligned = other.rounded(self.scale).digits;
                &aligned
            }
        };
        match takes_away {
            true => self.digits -= other,
            false => self.digits += other,
        }
    }

    pub(crate) fn minus(&self, other: &Decimal) -> Decimal {
        self.plus(&other.negated())
    }

    pub(crate) fn times(&self, other: &Decimal) -> Decimal {
        Decimal::new(&self.digits * &other.digits, self.scale + other.scale)
    }

    /// The quotient with so many digits behind the point. The divisor is not 0.
    pub(crate) fn over(&self, divisor: &Decimal, scale: i32) -> Decimal {
        let shift = scale - self.scale + divisor.scale;
        let (dividend, divisor) = match shift >= 0 {
            true => (&self.digits * power_of_ten(shift), divisor.digits.clone()),
            false => (self.digits.clone(), &divisor.digits * power_of_ten(-shift)),
        };
        Decimal::new(divided(&dividend, &divisor), scale)
    }

    /// The quotient as PostgreSQL's `/` scales it (select_div_scale).
    pub(crate) fn divided_by(&self, divisor: &Decimal) -> Decimal {
        let ((first, weight), (other_first, other_weight)) =
            (self.first_digit(), divisor.first_digit());
        let mut quotient_weight = weight - other_weight;
        if first <= other_first {
            quotient_weight -= 1;
        }
        let scale = SIGNIFICANT_DIGITS_MIN - quotient_weight * BASE_DIGITS;
        let scale = scale.max(self.scale).max(divisor.scale).clamp(0, SCALE_MAX);
        self.over(divisor, scale)
    }

    /// The whole part of the quotient.
    pub(crate) fn whole_over(&self, divisor: &Decimal) -> Decimal {
        let scale = self.scale.max(divisor.scale);
        let digits = self.rounded(scale).digits / divisor.rounded(scale).digits;
        Decimal::new(digits, 0)
    }

    /// What the whole part of the quotient leaves.
    pub(crate) fn remainder(&self, divisor: &Decimal) -> Decimal {
        let scale = self.scale.max(divisor.scale);
        let digits = self.rounded(scale).digits % divisor.rounded(scale).digits;
        Decimal::new(digits, scale)
    }

    /// The greatest common divisor.
    pub(crate) fn common_divisor(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        let (mut a, mut b) = (self.rounded(scale).digits, other.rounded(scale).digits);
        while !b.is_zero() {
            (a, b) = (b.clone(), a % b);
        }
        Decimal::new(a.abs(), scale)
    }

    /// The square root of what is not negative, with so many digits behind the point.
    fn root(&self, scale: i32) -> Decimal {
        // One digit more tells how to round.
        let shifted = self.truncated_to_even(2 * (scale + 1));
        let root = shifted.sqrt();
        Decimal::new(root, scale + 1).rounded(scale)
    }

    fn truncated_to_even(&self, scale: i32) -> BigInt {
        match scale >= self.scale {
            true => &self.digits * power_of_ten(scale - self.scale),
            false => &self.digits / power_of_ten(self.scale - scale),
        }
    }

    /// The square root of what is not negative, with as many digits behind the point (numeric_stddev_internal).
    pub(crate) fn root_of_variance(&self) -> Decimal {
        self.root(self.scale)
    }

    /// The square root of what is not negative (numeric_sqrt).
    pub(crate) fn sqrt(&self) -> Decimal {
        let weight = match self.is_zero() {
            true => 0,
            false => self.weight(),
        };
        let digits = (weight + 1) * BASE_DIGITS / 2 - 1;
        let scale = (SIGNIFICANT_DIGITS_MIN - digits)
            .max(self.scale)
            .clamp(0, SCALE_MAX);
        self.root(scale)
    }

    /// About how many digits before the point the logarithm has (estimate_ln_dweight).
    fn logarithm_weight(&self) -> i32 {
        if !self.digits.is_positive() {
            return 0;
        }
        let one = Decimal::from(1);
        let nine_tenths = Decimal::new(9.into(), 1);
        let eleven_tenths = Decimal::new(11.into(), 1);
        if *self >= nine_tenths && *self <= eleven_tenths {
            let off = self.minus(&one);
            return match off.is_zero() {
                true => 0,
                false => {
                    let (first, weight) = off.first_digit();
                    weight * BASE_DIGITS + (first as f64).log10() as i32
                }
            };
        }
        let (first, weight) = self.first_digit();
        let mut digits = first as f64;
        let mut exponent = weight * BASE_DIGITS;
        let rest = self.digits.abs();
        let shift = (weight - 1) * BASE_DIGITS + self.scale;
        let two = match shift >= 0 {
            true => rest / power_of_ten(shift),
            false => rest * power_of_ten(-shift),
        };
        if let Some(two) = two.to_f64() {
            digits = two;
            exponent -= BASE_DIGITS;
        }
        let logarithm = digits.ln() + f64::from(exponent) * std::f64::consts::LN_10;
        logarithm.abs().log10() as i32
    }

    /// The natural logarithm of what is positive, with so many digits behind the point.
    fn logarithm(&self, scale: i32) -> Decimal {
        // Roots bring it close to 1, where 2 artanh((x - 1) / (x + 1)) converges fast.
        let exponent = self.exponent().unsigned_abs();
        let guard = 12 + exponent.to_string().len() as i32;
        let working = scale.max(0) + guard + 20;
        let mut x = self.rounded(self.scale.max(working + 2 * exponent as i32));
        let working = working + exponent as i32;
        let mut doublings = 0;
        let (low, high) = (Decimal::new(9.into(), 1), Decimal::new(11.into(), 1));
        while x < low || x > high {
            x = x.root(working);
            doublings += 1;
        }
        let one = Decimal::from(1);
        let ratio = x.minus(&one).over(&x.plus(&one), working);
        let square = ratio.times(&ratio).rounded(working);
        let (mut term, mut sum) = (ratio.clone(), ratio);
        let mut n = 3_i64;
        loop {
            term = term.times(&square).rounded(working);
            let part = term.over(&Decimal::from(n), working);
            if part.is_zero() {
                break;
            }
            sum = sum.plus(&part);
            n += 2;
        }
        let factor = BigInt::from(2).pow(doublings + 1);
        Decimal::new(sum.digits * factor, sum.scale).rounded(scale)
    }

    /// `ln` (numeric_ln). The value is positive.
    pub(crate) fn ln(&self) -> Decimal {
        let scale = (SIGNIFICANT_DIGITS_MIN - self.logarithm_weight())
            .max(self.scale)
            .clamp(0, SCALE_MAX);
        self.logarithm(scale)
    }

    /// The logarithm to a base (log_var). Both are positive, and the base is not 1.
    pub(crate) fn log(&self, base: &Decimal) -> Decimal {
        let (own, of_base) = (self.logarithm_weight(), base.logarithm_weight());
        let scale = (SIGNIFICANT_DIGITS_MIN - (own - of_base))
            .max(base.scale)
            .max(self.scale)
            .clamp(0, SCALE_MAX);
        let working = scale + 20 + own.abs() + 2 * of_base.abs();
        let (own, of_base) = (self.logarithm(working), base.logarithm(working));
        own.over(&of_base, scale)
    }

    /// e to this power, with so many digits behind the point.
    fn exponential(&self, scale: i32) -> Decimal {
        let digits_before = (self.to_f64() * std::f64::consts::LOG10_E).max(0.0) as i32;
        let working = scale + digits_before + 40;
        // Halved until it is small, and the result squared as often.
        let mut halvings = 0;
        let mut x = self.rounded(self.scale.max(working));
        let small = Decimal::new(1.into(), 2);
        while x.abs() > small {
            x = x.over(&Decimal::from(2), working);
            halvings += 1;
        }
        let mut term = Decimal::from(1);
        let mut sum = Decimal::from(1);
        let mut n = 1_i64;
        loop {
            term = term.times(&x).over(&Decimal::from(n), working);
            if term.is_zero() {
                break;
            }
            sum = sum.plus(&term);
            n += 1;
        }
        for _ in 0..halvings {
            sum = sum.times(&sum).rounded(working);
        }
        sum.rounded(scale)
    }

    /// `exp` (numeric_exp); `None` beyond what a numeric can be.
    pub(crate) fn exp(&self) -> Option<Decimal> {
        let magnitude = self.to_f64() * std::f64::consts::LOG10_E;
        if magnitude > POWER_DIGITS_MAX {
            return None;
        }
        let magnitude = magnitude.max(-2000.0) as i32;
        let scale = (SIGNIFICANT_DIGITS_MIN - magnitude)
            .max(self.scale)
            .clamp(0, SCALE_MAX);
        Some(self.exponential(scale))
    }

    /// This to a power (power_var); `None` beyond what a numeric can be. Not for 0 to a negative power, nor for a
    /// negative value to a fraction.
    pub(crate) fn power(&self, exponent: &Decimal) -> Option<Decimal> {
        let whole = exponent.to_i64().and_then(|n| i32::try_from(n).ok());
        if let Some(whole) = whole.filter(|_| exponent.is_integer()) {
            return self.whole_power(whole);
        }
        if self.is_zero() {
            return Some(Decimal::from(0).rounded(SIGNIFICANT_DIGITS_MIN));
        }
        if self.is_negative() {
            let is_odd = (&exponent.digits / power_of_ten(exponent.scale)).bit(0);
            let magnitude = self.abs().power(exponent);
            return magnitude.map(|value| if is_odd { value.negated() } else { value });
        }
        let low = self.logarithm((8 - self.logarithm_weight()).max(0));
        let magnitude = low.times(exponent).to_f64() * std::f64::consts::LOG10_E;
        if magnitude > POWER_DIGITS_MAX {
            return None;
        }
        let magnitude = magnitude.max(-2000.0) as i32;
        let scale = (SIGNIFICANT_DIGITS_MIN - magnitude)
            .max(self.scale)
            .max(exponent.scale)
            .clamp(0, SCALE_MAX);
        let working = scale + magnitude.abs() + 20 + exponent.exponent().abs();
        let logarithm = self.logarithm(working).times(exponent).rounded(working);
        Some(logarithm.exponential(scale))
    }

    /// The same of a whole exponent (power_var_int).
    fn whole_power(&self, exponent: i32) -> Option<Decimal> {
        let magnitude = match self.is_zero() {
            true => 0.0,
            false => {
                let digits = self.abs().to_f64();
                let own = match digits > 0.0 && digits.is_finite() {
                    true => digits.log10(),
                    false => f64::from(self.exponent()),
                };
                own * f64::from(exponent)
            }
        };
        if magnitude > NUMBER_WHOLE_MAX as f64 {
            return None;
        }
        let scale = SIGNIFICANT_DIGITS_MIN.max(self.scale).min(SCALE_MAX);
        if exponent == 0 {
            return Some(Decimal::from(1).rounded(scale));
        }
        if self.is_zero() {
            return Some(Decimal::from(0).rounded(scale));
        }
        // Too small to show a digit: squaring to that many would take for ever.
        if magnitude + 1.0 < -f64::from(scale) {
            return Some(Decimal::from(0).rounded(scale));
        }
        // Squares, cut to some digits more than the result has.
        let keep = scale + 2 * magnitude.abs() as i32 + 40;
        let cut = |value: Decimal| match value.scale > keep {
            true => value.rounded(keep),
            false => value,
        };
        let mut left = exponent.unsigned_abs();
        let mut factor = match exponent < 0 {
            true => {
                let digits = keep + self.exponent().abs() + 10;
                Decimal::from(1).over(self, digits)
            }
            false => self.clone(),
        };
        let mut product = Decimal::from(1);
        while left > 0 {
            if left & 1 == 1 {
                product = cut(product.times(&factor));
            }
            left >>= 1;
            if left > 0 {
                factor = cut(factor.times(&factor));
            }
        }
        Some(product.rounded(scale))
    }

    /// -1, 0 or 1.
    pub(crate) fn sign(&self) -> i64 {
        match self.digits.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::read(text).unwrap()
    }

    /// As PostgreSQL 15 gives them, digit by digit.
    #[test]
    fn results_have_postgresqls_scales() {
        for (value, root) in [
            ("0.0001", "0.01000000000000000"),
            ("2.0", "1.414213562373095"),
            ("123456789.0", "11111.11106055556"),
            ("0.00000001", "0.0001000000000000000"),
            ("0", "0.000000000000000"),
            ("99999999.99", "9999.9999995000000"),
        ] {
            assert_eq!(decimal(value).sqrt().shown(), root, "sqrt({value})");
        }
        for (value, logarithm) in [
            ("2.0", "0.6931471805599453"),
            ("0.5", "-0.6931471805599453"),
            ("1.0", "0.0000000000000000"),
            ("1.00001", "0.000009999950000333331"),
            ("1000000.0", "13.815510557964274"),
        ] {
            assert_eq!(decimal(value).ln().shown(), logarithm, "ln({value})");
        }
        for (value, exponential) in [
            ("1.0", "2.7182818284590452"),
            ("-10.5", "0.00002753644934974716"),
            ("20.25", "622964442.19844548"),
            ("0.0", "1.0000000000000000"),
        ] {
            let found = decimal(value).exp().map(|value| value.shown());
            assert_eq!(found.as_deref(), Some(exponential), "exp({value})");
        }
        assert_eq!(
            decimal("8.0").log(&decimal("2.0")).shown(),
            "3.0000000000000000"
        );
        assert_eq!(
            decimal("3.7").log(&decimal("10")).shown(),
            "0.5682017240669950"
        );
        assert_eq!(
            decimal("7.0").divided_by(&decimal("2")).shown(),
            "3.5000000000000000"
        );
        assert_eq!(
            decimal("1").divided_by(&decimal("1")).shown(),
            "1.00000000000000000000"
        );
    }

    #[test]
    fn rounding_is_away_from_zero_and_shapes_hold_what_they_must() {
        assert_eq!(decimal("2.5").rounded(0).shown(), "3");
        assert_eq!(decimal("-2.5").rounded(0).shown(), "-3");
        assert_eq!(decimal("1250").rounded(-2).shown(), "1300");
        assert_eq!(decimal("-2.59").truncated(1).shown(), "-2.5");
        assert_eq!(decimal("0.05").shape(), Some((2, 2)));
        assert_eq!(decimal("123.450").shape(), Some((6, 3)));
        assert_eq!(decimal(&"9".repeat(77)).shape(), None);
        assert!(decimal("1000").fitted(3, 0).is_none());
        let back = decimal("-12.50").fitted(10, 2).map(Decimal::from);
        assert_eq!(back.map(|value| value.shown()).as_deref(), Some("-12.50"));
    }
}
