//! Types that are kept as their texts: network addresses, places in a log, geometry, ranges of integers, vectors, and
//! those of extensions.

use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr};

use tidelog_storage::{ColumnType, PrintedType};

use super::{FloatStyle, hstore, is_space, number};
use crate::error::{ErrorKind, SqlError};
use crate::jsonpath;

/// Reads a value's text and prints it as PostgreSQL does.
pub(crate) fn canonical(of: PrintedType, text: &str) -> Result<String, SqlError> {
    let trimmed = text.trim_matches(is_space);
    let printed = match of {
        PrintedType::Inet => inet(trimmed).map(|(address, bits)| shown_inet(address, bits)),
        PrintedType::Cidr => return cidr(trimmed, text),
        PrintedType::Macaddr => macaddr(trimmed),
        PrintedType::PgLsn => lsn(trimmed).map(|at| format!("{:X}/{:X}", at >> 32, at as u32)),
        PrintedType::Point => points(trimmed).and_then(|(_, points)| match points.as_slice() {
            [point] => Some(shown_point(*point)),
            _ => None,
        }),
        PrintedType::Box => points(trimmed).and_then(|(_, points)| match points.as_slice() {
            [a, b] => Some(shown_box(*a, *b)),
            _ => None,
        }),
        PrintedType::Path => points(trimmed).map(|(open, points)| shown_path(open, &points)),
        PrintedType::Int4range => {
            return range(trimmed, i32::MIN.into(), i32::MAX.into(), of, text);
        }
        PrintedType::Int8range => return range(trimmed, i64::MIN, i64::MAX, of, text),
        PrintedType::Tid => tid(text).map(|(block, offset)| shown_tid(block, offset)),
        PrintedType::Oidvector => return vector(trimmed, ColumnType::Oid),
        PrintedType::Int2vector => return vector(trimmed, ColumnType::Int2),
        PrintedType::Jsonpath => return jsonpath::canonical(text),
        PrintedType::Citext => Some(text.to_string()),
        PrintedType::Hstore => return Ok(hstore::shown(&hstore::pairs(text)?)),
    };
    printed.ok_or_else(|| invalid(of, text))
}

fn invalid(of: PrintedType, text: &str) -> SqlError {
    let message = format!("invalid input syntax for type {}: \"{text}\"", of.name());
    SqlError::new(ErrorKind::InvalidTextRepresentation, message)
}

/// Whether a type's values are sorted by [`key`].
pub(crate) fn has_key(of: PrintedType) -> bool {
    matches!(
        of,
        PrintedType::Inet
            | PrintedType::Cidr
            | PrintedType::PgLsn
            | PrintedType::Tid
            | PrintedType::Citext
    )
}

/// Whether a type's values are numbers with spaces between.
pub(crate) fn is_vector(of: PrintedType) -> bool {
    matches!(of, PrintedType::Oidvector | PrintedType::Int2vector)
}

/// Bytes that sort as the type's values do: addresses by their networks, then by how long these are, then by themselves.
pub(crate) fn key(of: PrintedType, text: &str) -> Option<Vec<u8>> {
    if of == PrintedType::Citext {
        return Some(text.to_lowercase().into_bytes());
    }
    if of == PrintedType::PgLsn {
        return lsn(text).map(|at| at.to_be_bytes().to_vec());
    }
    if of == PrintedType::Tid {
        let (block, offset) = tid(text)?;
        return Some([&block.to_be_bytes()[..], &offset.to_be_bytes()].concat());
    }
    let (address, bits) = inet(text)?;
    let mut key = vec![u8::from(address.is_ipv6())];
    key.extend(octets(network(address, bits)));
    key.push(bits);
    key.extend(octets(address));
    Some(key)
}

/// The block and the offset of a place: of one of ours a block has up to 47 bits, not 32.
pub fn tid(text: &str) -> Option<(u64, u16)> {
    let (_, text) = text.split_once('(')?;
    let (text, _) = text.split_once(')')?;
    let (block, offset) = text.split_once(',')?;
    let block = block.trim_matches(is_space).parse().ok()?;
    let offset = offset.trim_matches(is_space).parse().ok()?;
    (block <= i64::MAX as u64 >> 16).then_some((block, offset))
}

/// The place of such a block and offset.
pub fn shown_tid(block: u64, offset: u16) -> String {
    format!("({block},{offset})")
}

/// The bytes of an address.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// How many bits an address has.
pub(crate) fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

/// An address with only its first bits.
pub(crate) fn network(address: IpAddr, bits: u8) -> IpAddr {
    let kept = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - kept).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

/// An address and how many bits of it name the network.
pub fn inet(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= width(address))?,
        None => width(address),
    };
    Some((address, bits))
}

/// An address as `inet` prints it: without its bits where these are all.
pub fn shown_inet(address: IpAddr, bits: u8) -> String {
    match bits == width(address) {
        true => shown_address(address),
        false => format!("{}/{bits}", shown_address(address)),
    }
}

/// An address alone. The last four bytes are an IPv4 address where only zeros stand before them, of which there may be no
/// more. After inet_net_ntop_ipv6 in PostgreSQL's inet_net_ntop.c.
pub(crate) fn shown_address(address: IpAddr) -> String {
    if let IpAddr::V6(six) = address
        && let [0, 0, 0, 0, 0, 0, high, low] = six.segments()
        && high != 0
    {
        let four = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
        return format!("::{four}");
    }
    address.to_string()
}

/// A network; its last octets may be left out where they are 0.
fn cidr(trimmed: &str, text: &str) -> Result<String, SqlError> {
    let (given, bits) = match trimmed.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (trimmed, None),
    };
    let parts: Vec<&str> = given.split('.').collect();
    let found = if given.contains(':') || parts.len() == 4 {
        inet(trimmed)
    } else {
        let octets: Option<Vec<u8>> = parts.iter().map(|part| part.parse().ok()).collect();
        octets.filter(|octets| octets.len() < 4).and_then(|octets| {
            let mut all = [0; 4];
            all[..octets.len()].copy_from_slice(&octets);
            let bits = match bits {
                Some(bits) => bits.parse().ok().filter(|bits| *bits <= 32)?,
                None => octets.len() as u8 * 8,
            };
            Some((IpAddr::V4(Ipv4Addr::from(all)), bits))
        })
    };
    let (address, bits) = found.ok_or_else(|| invalid(PrintedType::Cidr, text))?;
    if network(address, bits) != address {
        let message = format!("invalid cidr value: \"{text}\"");
        return Err(SqlError::new(ErrorKind::InvalidTextRepresentation, message)
            .detail("Value has bits set to right of mask."));
    }
    Ok(format!("{}/{bits}", shown_address(address)))
}

/// Six bytes in hexadecimal, in one of the usual groupings.
fn macaddr(text: &str) -> Option<String> {
    let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
    let groups: Vec<&str> = match separator {
        Some(separator @ (':' | '-' | '.')) => text.split(separator).collect(),
        Some(_) => return None,
        None => vec![text],
    };
    let digits = match groups.len() {
        1..=3 => {
            let each = 12 / groups.len();
            groups
                .iter()
                .all(|group| group.len() == each)
                .then(|| groups.concat())?
        }
        6 => {
            let byte = |group: &&str| match group.len() {
                1 | 2 => Some(format!("{group:0>2}")),
                _ => None,
            };
            groups.iter().map(byte).collect::<Option<String>>()?
        }
        _ => return None,
    };
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    let bytes: Vec<&str> = (0..6).map(|at| &digits[at * 2..at * 2 + 2]).collect();
    Some(bytes.join(":"))
}

/// A place in the write-ahead log: two hexadecimal numbers of 32 bits.
pub fn lsn(text: &str) -> Option<u64> {
    let half = |digits: &str| {
        let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let plain = plain && (1..=8).contains(&digits.len());
        plain.then(|| u64::from_str_radix(digits, 16).ok())?
    };
    let (high, low) = text.split_once('/')?;
    Some(half(high)? << 32 | half(low)?)
}

/// The points of a shape, and whether it is one in square brackets.
pub fn points(text: &str) -> Option<(bool, Vec<(f64, f64)>)> {
    let mut open = Vec::new();
    let mut word = String::new();
    let mut numbers = Vec::new();
    let mut finish = |word: &mut String| {
        if word.is_empty() {
            return Some(());
        }
        numbers.push(number::float8(&std::mem::take(word)).ok()?);
        Some(())
    };
    for c in text.chars() {
        match c {
            '(' | '[' => {
                finish(&mut word)?;
                open.push(c);
            }
            ')' | ']' => {
                finish(&mut word)?;
                let opened = open.pop()?;
                if (opened == '(') != (c == ')') {
                    return None;
                }
            }
            ',' => finish(&mut word)?,
            c if is_space(c) => finish(&mut word)?,
            c => word.push(c),
        }
    }
    finish(&mut word)?;
    if !open.is_empty() || numbers.is_empty() || numbers.len() % 2 != 0 {
        return None;
    }
    let points = numbers.chunks(2).map(|pair| (pair[0], pair[1]));
    Some((text.starts_with('['), points.collect()))
}

/// A point as PostgreSQL prints it.
pub fn shown_point((x, y): (f64, f64)) -> String {
    let mut out = String::from("(");
    number::write_float8(x, FloatStyle::Shortest, &mut out);
    out.push(',');
    number::write_float8(y, FloatStyle::Shortest, &mut out);
    out.push(')');
    out
}

/// A box by two of its corners; the upper right one is printed first.
pub fn shown_box((ax, ay): (f64, f64), (bx, by): (f64, f64)) -> String {
    let high = shown_point((ax.max(bx), ay.max(by)));
    let low = shown_point((ax.min(bx), ay.min(by)));
    format!("{high},{low}")
}

/// A path, which is in square brackets where it is open.
pub fn shown_path(open: bool, points: &[(f64, f64)]) -> String {
    let points: Vec<String> = points.iter().map(|point| shown_point(*point)).collect();
    match open {
        true => format!("[{}]", points.join(",")),
        false => format!("({})", points.join(",")),
    }
}

/// A range of integers, with its lower bound in and its upper one out.
fn range(
    trimmed: &str,
    min: i64,
    max: i64,
    of: PrintedType,
    text: &str,
) -> Result<String, SqlError> {
    if trimmed.eq_ignore_ascii_case("empty") {
        return Ok("empty".to_string());
    }
    let malformed = || {
        let message = format!("malformed range literal: \"{text}\"");
        SqlError::new(ErrorKind::InvalidTextRepresentation, message)
    };
    let (starts_in, rest) = match trimmed.split_at_checked(1) {
        Some(("[", rest)) => (true, rest),
        Some(("(", rest)) => (false, rest),
        _ => return Err(malformed()),
    };
    let (ends_in, rest) = match rest.split_at_checked(rest.len().saturating_sub(1)) {
        Some((rest, "]")) => (true, rest),
        Some((rest, ")")) => (false, rest),
        _ => return Err(malformed()),
    };
    let (low, high) = rest.split_once(',').ok_or_else(malformed)?;
    let element = match of {
        PrintedType::Int4range => ColumnType::Int4,
        _ => ColumnType::Int8,
    };
    let out_of_range = || {
        let message = format!("{} out of range", crate::types::name(element));
        SqlError::new(ErrorKind::NumericValueOutOfRange, message)
    };
    let bound = |written: &str| -> Result<Option<i64>, SqlError> {
        match written.trim_matches(is_space).trim_matches('"') {
            "" => Ok(None),
            written => {
                let value: i64 = number::integer(element, written)?;
                let fits = (min..=max).contains(&value);
                fits.then_some(Some(value)).ok_or_else(out_of_range)
            }
        }
    };
    let (low, high) = (bound(low)?, bound(high)?);
    if let (Some(low), Some(high)) = (low, high)
        && low > high
    {
        let message = "range lower bound must be less than or equal to range upper bound";
        return Err(SqlError::new(ErrorKind::DataException, message));
    }
    let next = |value: i64, moves: bool| match moves {
        true if value == max => Err(out_of_range()),
        true => Ok(value + 1),
        false => Ok(value),
    };
    let low = low.map(|low| next(low, !starts_in)).transpose()?;
    let high = high.map(|high| next(high, ends_in)).transpose()?;
    if let (Some(low), Some(high)) = (low, high)
        && low >= high
    {
        return Ok("empty".to_string());
    }
    let shown = |bound: Option<i64>| bound.map_or(String::new(), |bound| bound.to_string());
    let opening = if low.is_some() { '[' } else { '(' };
    Ok(format!("{opening}{},{})", shown(low), shown(high)))
}

fn vector(trimmed: &str, element: ColumnType) -> Result<String, SqlError> {
    let mut out = String::new();
    let mut put = |value: &dyn Display| {
        if !out.is_empty() {
            out.push(' ');
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{value}");
    };
    for word in trimmed.split(is_space).filter(|word| !word.is_empty()) {
        match element {
            ColumnType::Int2 => put(&number::integer::<i16>(element, word)?),
            _ => put(&number::oid(word)?),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(of: PrintedType, cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            let actual = canonical(of, text).unwrap_or_else(|error| error.message);
            assert_eq!(actual, *expected, "{of:?} {text}");
        }
    }

    #[test]
    fn texts_are_printed_as_postgresql_prints_them() {
        check(
            PrintedType::Inet,
            &[
                ("127.0.0.1/32", "127.0.0.1"),
                ("10.1.2.3/8", "10.1.2.3/8"),
                ("2001:04F8::1", "2001:4f8::1"),
                ("::10.2.3.4/64", "::10.2.3.4/64"),
                ("::1:0", "::0.1.0.0"),
                ("::2", "::2"),
                ("::ffff:0:1.2.3.4", "::ffff:0:102:304"),
                ("10", "invalid input syntax for type inet: \"10\""),
            ],
        );
        check(
            PrintedType::Cidr,
            &[
                ("10", "10.0.0.0/8"),
                ("10.1/16", "10.1.0.0/16"),
                ("10.1.2.3", "10.1.2.3/32"),
                ("10.1.2.3/8", "invalid cidr value: \"10.1.2.3/8\""),
            ],
        );
        check(
            PrintedType::Macaddr,
            &[
                ("12-34-56-AB-cd-ef", "12:34:56:ab:cd:ef"),
                ("123456abcdef", "12:34:56:ab:cd:ef"),
                ("1234.56ab.cdef", "12:34:56:ab:cd:ef"),
                ("zz", "invalid input syntax for type macaddr: \"zz\""),
            ],
        );
        check(PrintedType::PgLsn, &[("02b/1757980", "2B/1757980")]);
        check(
            PrintedType::Box,
            &[
                (
                    "(160,69701.5615),(-3.2,1.618)",
                    "(160,69701.5615),(-3.2,1.618)",
                ),
                ("1,2,3,4", "(3,4),(1,2)"),
            ],
        );
        check(
            PrintedType::Path,
            &[
                ("((0, 0), (1, 2))", "((0,0),(1,2))"),
                ("[0,0,1,2]", "[(0,0),(1,2)]"),
            ],
        );
        check(
            PrintedType::Int4range,
            &[
                ("[1,5]", "[1,6)"),
                ("(1,2)", "empty"),
                ("(,)", "(,)"),
                ("[2147483647,2147483647]", "integer out of range"),
                ("1", "malformed range literal: \"1\""),
            ],
        );
        check(PrintedType::Int2vector, &[(" 1  2 ", "1 2")]);
    }

    #[test]
    fn keys_sort_as_addresses_do() {
        let sorted = [
            "9.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "10.0.0.1/16",
            "10.0.0.1",
            "::1",
        ];
        let keys = sorted.map(|text| key(PrintedType::Inet, text).unwrap());
        assert!(keys.is_sorted());
        assert!(key(PrintedType::PgLsn, "9/0") < key(PrintedType::PgLsn, "10/0"));
    }
}
