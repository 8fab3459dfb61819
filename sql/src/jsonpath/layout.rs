//! Where PostgreSQL would keep the parts of a jsonb: `keyvalue()` tells objects apart by that.
//!
//! After jsonb.h: a container is a header, an entry of four bytes for each key, value and element, and their data. Strings
//! stand as they are, numbers and containers at multiples of four bytes, of which a number's are those of a numeric.

use crate::functions::decimal::Decimal;
use crate::text::jsonb::scan::{self, Kind};

const ENTRY: usize = 4;

fn aligned(at: usize) -> usize {
    at.next_multiple_of(4)
}

/// How many bytes from the beginning of a container the one begins whose text begins so far behind its text.
pub(super) fn offset(container: &str, target: usize) -> usize {
    super::deeper(|| {
        if target == 0 {
            return 0;
        }
        let (parts, mut at) = parts(container);
        for part in parts {
            let start = part.as_ptr() as usize - container.as_ptr() as usize;
            if (start..start + part.len()).contains(&target) {
                return aligned(at) + offset(part, target - start);
            }
            at = behind(part, at);
        }
        0
    })
}

/// The elements or values of a container, and where their data begins.
fn parts(container: &str) -> (Vec<&str>, usize) {
    match scan::kind(container) {
        Kind::Object => {
            let members = scan::members(container);
            let keys: usize = members.iter().map(|(key, _)| key.len()).sum();
            let data = ENTRY + 2 * ENTRY * members.len() + keys;
            (members.into_iter().map(|(_, value)| value).collect(), data)
        }
        _ => {
            let elements = scan::elements(container);
            let data = ENTRY + ENTRY * elements.len();
            (elements, data)
        }
    }
}

/// Where a value ends whose data may begin here.
fn behind(value: &str, at: usize) -> usize {
    super::deeper(|| match scan::kind(value) {
        Kind::Null | Kind::Boolean => at,
        Kind::String => at + scan::unquoted(value).len(),
        Kind::Number => aligned(at) + numeric_length(value),
        Kind::Object | Kind::Array => {
            let start = aligned(at);
            let (parts, data) = parts(value);
            // What stands in it is aligned as it is, which begins so.
            start + parts.into_iter().fold(data, |at, part| behind(part, at))
        }
    })
}

/// The bytes of a numeric: its length, a header of two or four bytes, and two for four digits.
fn numeric_length(number: &str) -> usize {
    let unsigned = number.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fours = |digits: usize| digits.div_ceil(4);
    let padded = format!(
        "{whole:0>width$}{fraction:0<behind$}",
        width = fours(whole.len()) * 4,
        behind = fours(fraction.len()) * 4
    );
    let groups: Vec<&[u8]> = padded.as_bytes().chunks(4).collect();
    let is_zero = |group: &&&[u8]| group.iter().all(|digit| *digit == b'0');
    let leading = groups.iter().take_while(is_zero).count();
    let trailing = groups.iter().rev().take_while(is_zero).count();
    let digits = groups.len().saturating_sub(leading + trailing);
    let weight = fours(whole.len()) as i64 - 1 - leading as i64;
    let is_zero = Decimal::read(number).is_none_or(|number| number.is_zero());
    let short = fraction.len() <= 63 && (is_zero || (-64..=63).contains(&weight));
    let header = if short { 2 } else { 4 };
    4 + header + if is_zero { 0 } else { 2 * digits }
}
