//! Operators and functions of `bit` and `bit varying`.

use super::call::dsl::*;

const BIT: Param = Param::Of(T::Bit(None));
const VARBIT: Param = Param::Of(T::Varbit(None));

pub(super) const FUNCTIONS: &[Function] = &[
    // What `B'…'` and `X'…'` stand for.
    f(LITERAL, &[TEXT], T::Bit(None), |_, args| {
        string(crate::text::bits::digits(text(args[0]))?)
    }),
    f("&", &[BIT, BIT], T::Bit(None), |_, args| {
        paired(args, "AND", |a, b| a && b)
    }),
    f("|", &[BIT, BIT], T::Bit(None), |_, args| {
        paired(args, "OR", |a, b| a || b)
    }),
    f("#", &[BIT, BIT], T::Bit(None), |_, args| {
        paired(args, "XOR", |a, b| a != b)
    }),
    f("~", &[BIT], T::Bit(None), |_, args| {
        string(
            text(args[0])
                .bytes()
                .map(|bit| of(bit == b'0'))
                .collect::<String>(),
        )
    }),
    f("<<", &[BIT, INT4], T::Bit(None), |_, args| {
        shifted(text(args[0]), int(args[1]))
    }),
    f(">>", &[BIT, INT4], T::Bit(None), |_, args| {
        shifted(text(args[0]), -int(args[1]))
    }),
    f("||", &[VARBIT, VARBIT], T::Varbit(None), |_, args| {
        string(format!("{}{}", text(args[0]), text(args[1])))
    }),
    f("length", &[BIT], T::Int4, length),
    f("bit_length", &[BIT], T::Int4, length),
    f("octet_length", &[BIT], T::Int4, |_, args| {
        let bytes = text(args[0]).len().div_ceil(8);
        Ok(Datum::Int4(i32::try_from(bytes).unwrap_or(i32::MAX)))
    }),
    f("bit_count", &[BIT], T::Int8, |_, args| {
        let set = text(args[0]).bytes().filter(|bit| *bit == b'1');
        Ok(Datum::Int8(set.count() as i64))
    }),
    f("get_bit", &[BIT, INT4], T::Int4, |_, args| {
        let bits = text(args[0]);
        let at = index(bits, int(args[1]))?;
        Ok(Datum::Int4(i32::from(bits.as_bytes()[at] == b'1')))
    }),
    f("set_bit", &[BIT, INT4, INT4], T::Bit(None), |_, args| {
        let bits = text(args[0]);
        let at = index(bits, int(args[1]))?;
        let bit = match int(args[2]) {
            0 => "0",
            1 => "1",
            _ => return Err(refused("new bit must be 0 or 1")),
        };
        string(format!("{}{bit}{}", &bits[..at], &bits[at + 1..]))
    }),
    f("substring", &[BIT, INT4], T::Bit(None), part),
    f("substring", &[BIT, INT4, INT4], T::Bit(None), part),
    f("position", &[BIT, BIT], T::Int4, |_, args| {
        let found = text(args[0]).find(text(args[1]));
        Ok(Datum::Int4(found.map_or(0, |at| at as i32 + 1)))
    }),
];

/// The function that makes bits of a literal's digits.
pub(crate) const LITERAL: &str = "pg_bits";

fn of(set: bool) -> char {
    if set { '1' } else { '0' }
}

fn paired(args: &[DatumRef<'_>], verb: &str, bit: fn(bool, bool) -> bool) -> Outcome {
    let (left, right) = (text(args[0]), text(args[1]));
    if left.len() != right.len() {
        let message = format!("cannot {verb} bit strings of different sizes");
        return Err(SqlError::new(ErrorKind::StringDataLengthMismatch, message));
    }
    let pairs = left.bytes().zip(right.bytes());
    let bits = pairs.map(|(left, right)| of(bit(left == b'1', right == b'1')));
    string(bits.collect::<String>())
}

/// Moved to the left by so many places, with zeros behind.
fn shifted(bits: &str, places: i64) -> Outcome {
    let length = bits.len();
    let count = usize::try_from(places.unsigned_abs()).map_or(length, |count| count.min(length));
    let zeros = "0".repeat(count);
    string(match places < 0 {
        true => format!("{zeros}{}", &bits[..length - count]),
        false => format!("{}{zeros}", &bits[count..]),
    })
}

fn length(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let bits = text(args[0]).len();
    Ok(Datum::Int4(i32::try_from(bits).unwrap_or(i32::MAX)))
}

fn index(bits: &str, at: i64) -> Result<usize, SqlError> {
    match usize::try_from(at) {
        Ok(at) if at < bits.len() => Ok(at),
        _ => {
            let last = bits.len() as i64 - 1;
            let message = format!("bit index {at} out of valid range (0..{last})");
            Err(SqlError::new(ErrorKind::ArraySubscriptError, message))
        }
    }
}

/// The bits from a place, counted from 1, on.
fn part(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let bits = text(args[0]);
    let start = int(args[1]);
    let end = match args.get(2).map(|count| int(*count)) {
        Some(count) if count < 0 => {
            let message = "negative substring length not allowed";
            return Err(SqlError::new(ErrorKind::SubstringError, message));
        }
        Some(count) => start.saturating_add(count),
        None => i64::MAX,
    };
    let place = |at: i64| usize::try_from(at - 1).map_or(0, |at| at.min(bits.len()));
    let (start, end) = (place(start.max(1)), place(end.max(1)));
    string(&bits[start..end.max(start)])
}
