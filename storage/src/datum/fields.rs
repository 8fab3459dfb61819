//! Which fields of an interval, and how many digits of its seconds, a column keeps.

use serde::{Deserialize, Serialize};

/// A field of an interval's type, as a bit of its range (PostgreSQL's `INTERVAL_MASK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum IntervalField {
    Month = 1 << 1,
    Year = 1 << 2,
    Day = 1 << 3,
    Hour = 1 << 10,
    Minute = 1 << 11,
    Second = 1 << 12,
}

/// The fields, from the largest, with their names.
const FIELDS: [(IntervalField, &str); 6] = [
    (IntervalField::Year, "year"),
    (IntervalField::Month, "month"),
    (IntervalField::Day, "day"),
    (IntervalField::Hour, "hour"),
    (IntervalField::Minute, "minute"),
    (IntervalField::Second, "second"),
];

/// What `interval day to second(3)` says behind `interval`: PostgreSQL's `atttypmod`, the range of fields in its upper
/// half and the digits of a second in the lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IntervalModifier(i32);

impl IntervalModifier {
    const ALL_FIELDS: u16 = 0x7fff;
    const ALL_DIGITS: u16 = 0xffff;

    /// The modifier of the fields from one to another and so many digits of a second; `None` where that is no limit.
    pub fn new(
        fields: Option<(IntervalField, IntervalField)>,
        digits: Option<u8>,
    ) -> Option<IntervalModifier> {
        let place = |of| FIELDS.iter().position(|(field, _)| *field == of);
        let range = fields.map_or(Self::ALL_FIELDS, |(from, to)| {
            let between = |at: &usize| Some(*at) >= place(from) && Some(*at) <= place(to);
            let bits = (0..FIELDS.len()).filter(between);
            bits.fold(0, |range, at| range | FIELDS[at].0 as u16)
        });
        let digits = digits.map_or(Self::ALL_DIGITS, u16::from);
        let modifier = i32::from(range) << 16 | i32::from(digits);
        (fields.is_some() || digits != Self::ALL_DIGITS).then_some(IntervalModifier(modifier))
    }

    /// The modifier that PostgreSQL writes as this number; `None` where it is none.
    pub fn from_typmod(typmod: i32) -> Option<IntervalModifier> {
        let modifier = IntervalModifier(typmod);
        let fields = modifier.fields();
        let digits = modifier.digits();
        let made = IntervalModifier::new(fields, digits);
        (digits.is_none_or(|digits| digits <= 6) && made == Some(modifier)).then_some(modifier)
    }

    /// PostgreSQL's `atttypmod`.
    pub fn typmod(self) -> i32 {
        self.0
    }

    /// The largest and the smallest field that are kept; `None` when all are.
    pub fn fields(self) -> Option<(IntervalField, IntervalField)> {
        let range = (self.0 >> 16) as u16;
        if range == Self::ALL_FIELDS {
            return None;
        }
        let mut kept = FIELDS
            .iter()
            .filter(|(field, _)| range & *field as u16 != 0);
        let (first, _) = kept.next()?;
        Some((*first, kept.next_back().map_or(*first, |(last, _)| *last)))
    }

    /// How many digits of a second are kept; `None` for all six.
    pub fn digits(self) -> Option<u8> {
        let digits = self.0 as u16;
        (digits != Self::ALL_DIGITS).then_some(digits as u8)
    }

    /// The fields as they are written, with the digits: ` day to second(3)`, ` hour`, `(3)`.
    pub fn written(self) -> String {
        let name = |of| FIELDS.iter().find(|(field, _)| *field == of);
        let name = |of| name(of).map_or("", |(_, name)| name);
        let fields = match self.fields() {
            None => String::new(),
            Some((from, to)) if from == to => format!(" {}", name(from)),
            Some((from, to)) => format!(" {} to {}", name(from), name(to)),
        };
        match self.digits() {
            None => fields,
            Some(digits) => format!("{fields}({digits})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use IntervalField::{Day, Hour, Month, Second, Year};

    #[test]
    fn modifiers_are_the_numbers_that_postgresql_15_has() {
        for (fields, digits, typmod, written) in [
            (None, Some(3), 2_147_418_115, "(3)"),
            (Some((Hour, Hour)), None, 67_174_399, " hour"),
            (Some((Day, Second)), None, 470_351_871, " day to second"),
            (
                Some((Day, Second)),
                Some(3),
                470_286_339,
                " day to second(3)",
            ),
            (Some((Year, Month)), None, 458_751, " year to month"),
            (Some((Month, Month)), None, 196_607, " month"),
        ] {
            let modifier = IntervalModifier::new(fields, digits).unwrap();
            assert_eq!(
                (modifier.typmod(), modifier.written().as_str()),
                (typmod, written)
            );
            assert_eq!((modifier.fields(), modifier.digits()), (fields, digits));
            assert_eq!(IntervalModifier::from_typmod(typmod), Some(modifier));
        }
        assert_eq!(IntervalModifier::new(None, None), None);
        for none in [-1, 0, 3, 7 << 16, 2_147_418_122] {
            assert_eq!(IntervalModifier::from_typmod(none), None, "{none}");
        }
    }
}
