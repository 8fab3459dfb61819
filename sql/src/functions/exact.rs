//! Exact numbers with PostgreSQL's number of digits: division and square root as numeric.c rounds them.

use arrow::datatypes::i256;

/// `unscaled / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exact {
    pub(crate) unscaled: i256,
    pub(crate) scale: i32,
}

const TEN: i256 = i256::from_i128(10);

/// Digits that a quotient has at least (NUMERIC_MIN_SIG_DIGITS).
const SIGNIFICANT_MIN: i32 = 16;

/// 10^n, as far as it fits.
pub(crate) fn power_of_ten(n: i32) -> Option<i256> {
    let n = u32::try_from(n).ok()?;
    (n < 77).then(|| TEN.wrapping_pow(n))
}

impl Exact {
    pub(crate) fn integer(value: i64) -> Exact {
        Exact {
            unscaled: i256::from_i128(value.into()),
            scale: 0,
        }
    }

    /// The same number with this many digits behind the point, rounded half away from zero.
    pub(crate) fn with_scale(self, scale: i32) -> Option<Exact> {
        let unscaled = match scale - self.scale {
            0 => self.unscaled,
            more if more > 0 => self.unscaled.checked_mul(power_of_ten(more)?)?,
            less => rounded_quotient(self.unscaled, power_of_ten(-less)?)?,
        };
        Some(Exact { unscaled, scale })
    }

    /// Without zeros at the end of its fraction.
    pub(crate) fn trimmed(mut self) -> Exact {
        while self.scale > 0 && self.unscaled.wrapping_rem(TEN) == i256::ZERO {
            self.unscaled = self.unscaled.wrapping_div(TEN);
            self.scale -= 1;
        }
        self
    }

    pub(crate) fn add(self, other: Exact) -> Option<Exact> {
        let scale = self.scale.max(other.scale);
        let (left, right) = (self.with_scale(scale)?, other.with_scale(scale)?);
        let unscaled = left.unscaled.checked_add(right.unscaled)?;
        Some(Exact { unscaled, scale })
    }

    pub(crate) fn subtract(self, other: Exact) -> Option<Exact> {
        self.add(Exact {
            unscaled: other.unscaled.wrapping_neg(),
            ..other
        })
    }

    pub(crate) fn multiply(self, other: Exact) -> Option<Exact> {
        Some(Exact {
            unscaled: self.unscaled.checked_mul(other.unscaled)?,
            scale: self.scale + other.scale,
        })
    }

    /// The quotient with PostgreSQL's scale; `None` when it does not fit, or of zero.
    pub(crate) fn divide(self, by: Exact) -> Option<Exact> {
        self.divide_to(by, quotient_scale(self, by))
    }

    pub(crate) fn divide_to(self, by: Exact, scale: i32) -> Option<Exact> {
        if by.unscaled == i256::ZERO {
            return None;
        }
        // Digit by digit, so that only the result has to fit.
        let mut digits = scale + by.scale - self.scale;
        let mut divisor = magnitude(by.unscaled)?;
        if digits < 0 {
            divisor = divisor.checked_mul(power_of_ten(-digits)?)?;
            digits = 0;
        }
        let dividend = magnitude(self.unscaled)?;
        let mut quotient = dividend.checked_div(divisor)?;
        let mut rest = dividend.checked_rem(divisor)?;
        for _ in 0..digits {
            rest = rest.checked_mul(TEN)?;
            quotient = quotient
                .checked_mul(TEN)?
                .checked_add(rest.checked_div(divisor)?)?;
            rest = rest.checked_rem(divisor)?;
        }
        if rest.checked_add(rest)? >= divisor {
            quotient = quotient.checked_add(i256::ONE)?;
        }
        if self.unscaled.is_negative() != by.unscaled.is_negative() {
            quotient = quotient.wrapping_neg();
        }
        Some(Exact {
            unscaled: quotient,
            scale,
        })
    }

    /// The square root, rounded to the same scale.
    pub(crate) fn square_root(self) -> Option<Exact> {
        let value = self.unscaled.checked_mul(power_of_ten(self.scale)?)?;
        if value <= i256::ZERO {
            return Some(Exact {
                unscaled: i256::ZERO,
                ..self
            });
        }
        // Newton's method from above ends at the floor.
        let bits = 256 - i64::from(value.leading_zeros());
        let mut root = i256::ONE << u8::try_from((bits + 1) / 2).ok()?;
        loop {
            let next = root
                .checked_add(value.checked_div(root)?)?
                .checked_div(i256::from_i128(2))?;
            if next >= root {
                break;
            }
            root = next;
        }
        // Up where the rest is more than half.
        if value.checked_sub(root.checked_mul(root)?)? > root {
            root = root.checked_add(i256::ONE)?;
        }
        Some(Exact {
            unscaled: root,
            ..self
        })
    }

    /// As PostgreSQL writes it, with all digits of its scale.
    pub(crate) fn text(self) -> String {
        let digits = self.unscaled.to_string();
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", digits.as_str()),
        };
        let scale = usize::try_from(self.scale).unwrap_or(0);
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        match scale {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction}"),
        }
    }

    /// The weight of the first digit to the base 10,000, and that digit.
    fn first_digit(self) -> (i32, i64) {
        let digits = self.unscaled.to_string();
        let digits = digits.trim_start_matches('-');
        if self.unscaled == i256::ZERO {
            return (0, 0);
        }
        // Places before the point, which may be negative.
        let places = digits.len() as i32 - self.scale;
        let weight = (places - 1).div_euclid(4);
        // The first group has 1 to 4 digits.
        let length = (places - weight * 4) as usize;
        let group: String = digits
            .chars()
            .chain(std::iter::repeat('0'))
            .take(length)
            .collect();
        (weight, group.parse().unwrap_or(0))
    }
}

fn magnitude(value: i256) -> Option<i256> {
    match value.is_negative() {
        true => i256::ZERO.checked_sub(value),
        false => Some(value),
    }
}

fn rounded_quotient(value: i256, divisor: i256) -> Option<i256> {
    let quotient = value.checked_div(divisor)?;
    let rest = magnitude(value.checked_rem(divisor)?)?;
    if rest.checked_add(rest)? < divisor {
        return Some(quotient);
    }
    match value.is_negative() {
        true => quotient.checked_sub(i256::ONE),
        false => quotient.checked_add(i256::ONE),
    }
}

/// select_div_scale of PostgreSQL's numeric.c.
pub(crate) fn quotient_scale(left: Exact, right: Exact) -> i32 {
    let ((left_weight, left_digit), (right_weight, right_digit)) =
        (left.first_digit(), right.first_digit());
    let mut weight = left_weight - right_weight;
    if left_digit <= right_digit {
        weight -= 1;
    }
    (SIGNIFICANT_MIN - weight * 4)
        .max(left.scale)
        .max(right.scale)
        .clamp(0, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Exact {
            unscaled: i256::from_string(&format!("{whole}{fraction}")).unwrap(),
            scale: fraction.len() as i32,
        }
    }

    /// What `SELECT left / right` gives in PostgreSQL 15.
    #[test]
    fn quotients_have_the_digits_of_postgres() {
        let cases = [
            ("7.0", "2", "3.5000000000000000"),
            ("1", "3", "0.33333333333333333333"),
            ("10", "3", "3.3333333333333333"),
            ("1", "1", "1.00000000000000000000"),
            ("15", "4", "3.7500000000000000"),
            ("0.0055", "3", "0.00183333333333333333"),
            ("-99999969.24", "4", "-24999992.310000000000"),
            ("100002.75", "2", "50001.375000000000"),
            ("30000000001", "2", "15000000000.50000000"),
            ("2", "3", "0.66666666666666666667"),
            ("-2", "3", "-0.66666666666666666667"),
            ("0", "5", "0.00000000000000000000"),
        ];
        for (left, right, quotient) in cases {
            let found = exact(left).divide(exact(right)).unwrap().text();
            assert_eq!(found, quotient, "{left} / {right}");
        }
    }

    #[test]
    fn square_roots_are_rounded() {
        assert_eq!(
            exact("17.5833333333333333").square_root().unwrap().text(),
            "4.1932485418030414"
        );
        assert_eq!(
            exact("13.1875000000000000").square_root().unwrap().text(),
            "3.6314597615834875"
        );
        assert_eq!(exact("0.0000").square_root().unwrap().text(), "0.0000");
        assert_eq!(exact("4").square_root().unwrap().text(), "2");
        assert_eq!(exact("8").square_root().unwrap().text(), "3");
    }
}
