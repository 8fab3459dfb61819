//! Binary forms of types whose values are kept as their texts, and of bits.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use postgres_types::Type;
use tidelog_sql::text::{hstore, printed};
use tidelog_storage::PrintedType;

/// Address families, as PostgreSQL numbers them.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

/// What a range's first byte says.
const RANGE_EMPTY: u8 = 1;
const RANGE_LOWER_IN: u8 = 2;
const RANGE_UPPER_IN: u8 = 4;
const RANGE_LOWER_INFINITE: u8 = 8;
const RANGE_UPPER_INFINITE: u8 = 16;

/// What a path's binary form begins with.
const JSONPATH_VERSION: u8 = 1;

/// Appends a value's binary form.
pub(super) fn write(of: PrintedType, value: &str, out: &mut BytesMut) {
    match of {
        PrintedType::Inet | PrintedType::Cidr => {
            let Some((address, bits)) = printed::inet(value) else {
                return;
            };
            let octets = printed::octets(address);
            out.put_u8(if address.is_ipv6() {
                FAMILY_V6
            } else {
                FAMILY_V4
            });
            out.put_u8(bits);
            out.put_u8(u8::from(of == PrintedType::Cidr));
            out.put_u8(octets.len() as u8);
            out.put_slice(&octets);
        }
        PrintedType::Macaddr => {
            let bytes = value.split(':');
            bytes.for_each(|byte| out.put_u8(u8::from_str_radix(byte, 16).unwrap_or(0)));
        }
        PrintedType::PgLsn => out.put_u64(printed::lsn(value).unwrap_or(0)),
        // Results are refused before (`has_binary`).
        PrintedType::Tid => {
            let (block, offset) = printed::tid(value).unwrap_or_default();
            out.put_u32(block as u32);
            out.put_u16(offset);
        }
        PrintedType::Point | PrintedType::Box | PrintedType::Path => {
            let (open, points) = printed::points(value).unwrap_or_default();
            if of == PrintedType::Path {
                out.put_u8(u8::from(!open));
                out.put_i32(i32::try_from(points.len()).unwrap_or(i32::MAX));
            }
            for (x, y) in points {
                out.put_f64(x);
                out.put_f64(y);
            }
        }
        PrintedType::Int4range | PrintedType::Int8range => write_range(of, value, out),
        PrintedType::Oidvector | PrintedType::Int2vector => {
            let is_oid = of == PrintedType::Oidvector;
            let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
            out.put_i32(1);
            out.put_i32(0);
            out.put_u32(if is_oid { Type::OID } else { Type::INT2 }.oid());
            out.put_i32(i32::try_from(words.len()).unwrap_or(i32::MAX));
            // They count from 0.
            out.put_i32(0);
            for word in words {
                match is_oid {
                    true => {
                        out.put_i32(4);
                        out.put_u32(word.parse().unwrap_or(0));
                    }
                    false => {
                        out.put_i32(2);
                        out.put_i16(word.parse().unwrap_or(0));
                    }
                }
            }
        }
        PrintedType::Jsonpath => {
            out.put_u8(JSONPATH_VERSION);
            out.put_slice(value.as_bytes());
        }
        PrintedType::Citext => out.put_slice(value.as_bytes()),
        PrintedType::Hstore => {
            let pairs = hstore::pairs(value).unwrap_or_default();
            let length = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
            out.put_i32(length(pairs.len()));
            for (key, value) in pairs {
                out.put_i32(length(key.len()));
                out.put_slice(key.as_bytes());
                match value {
                    Some(value) => {
                        out.put_i32(length(value.len()));
                        out.put_slice(value.as_bytes());
                    }
                    None => out.put_i32(-1),
                }
            }
        }
    }
}

fn write_range(of: PrintedType, value: &str, out: &mut BytesMut) {
    let Some((low, high)) = value.split_once(',') else {
        out.put_u8(RANGE_EMPTY);
        return;
    };
    let (low, high) = (&low[1..], high.trim_end_matches(')'));
    let lower = match low {
        "" => RANGE_LOWER_INFINITE,
        _ => RANGE_LOWER_IN,
    };
    let upper = match high {
        "" => RANGE_UPPER_INFINITE,
        _ => 0,
    };
    out.put_u8(lower | upper);
    for bound in [low, high] {
        let Ok(bound) = bound.parse::<i64>() else {
            continue;
        };
        match (of, i32::try_from(bound)) {
            (PrintedType::Int4range, Ok(bound)) => {
                out.put_i32(4);
                out.put_i32(bound);
            }
            _ => {
                out.put_i32(8);
                out.put_i64(bound);
            }
        }
    }
}

/// A value's text from its binary form; `None` when it is malformed.
pub(super) fn read(of: PrintedType, bytes: &[u8]) -> Option<String> {
    match of {
        PrintedType::Inet | PrintedType::Cidr => {
            let ([family, bits, _, length], octets) = bytes.split_first_chunk::<4>()?;
            if octets.len() != usize::from(*length) {
                return None;
            }
            let address: IpAddr = match *family {
                FAMILY_V4 => <[u8; 4]>::try_from(octets).ok()?.into(),
                FAMILY_V6 => <[u8; 16]>::try_from(octets).ok()?.into(),
                _ => return None,
            };
            Some(format!("{address}/{bits}"))
        }
        PrintedType::Macaddr => {
            let bytes: [u8; 6] = bytes.try_into().ok()?;
            let bytes = bytes.map(|byte| format!("{byte:02x}"));
            Some(bytes.join(":"))
        }
        PrintedType::PgLsn => {
            let at = u64::from_be_bytes(bytes.try_into().ok()?);
            Some(format!("{:X}/{:X}", at >> 32, at as u32))
        }
        PrintedType::Tid => {
            let ([b0, b1, b2, b3], offset) = bytes.split_first_chunk::<4>()?;
            let block = u32::from_be_bytes([*b0, *b1, *b2, *b3]);
            let offset = u16::from_be_bytes(offset.try_into().ok()?);
            Some(printed::shown_tid(block.into(), offset))
        }
        PrintedType::Point => match read_points(bytes)?.as_slice() {
            [point] => Some(printed::shown_point(*point)),
            _ => None,
        },
        PrintedType::Box => match read_points(bytes)?.as_slice() {
            [a, b] => Some(printed::shown_box(*a, *b)),
            _ => None,
        },
        PrintedType::Path => {
            let ([closed, c0, c1, c2, c3], rest) = bytes.split_first_chunk::<5>()?;
            let points = read_points(rest)?;
            let count = i32::from_be_bytes([*c0, *c1, *c2, *c3]);
            (i32::try_from(points.len()) == Ok(count))
                .then(|| printed::shown_path(*closed == 0, &points))
        }
        PrintedType::Int4range | PrintedType::Int8range => read_range(bytes),
        PrintedType::Oidvector | PrintedType::Int2vector => {
            let ([dimensions, _, _, count, _], mut rest) = words(bytes)?;
            if dimensions != 1 {
                return None;
            }
            let mut elements = Vec::new();
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
                let (element, after) = after.split_at_checked(length)?;
                elements.push(match of {
                    PrintedType::Oidvector => {
                        u32::from_be_bytes(element.try_into().ok()?).to_string()
                    }
                    _ => i16::from_be_bytes(element.try_into().ok()?).to_string(),
                });
                rest = after;
            }
            let complete = rest.is_empty() && i32::try_from(elements.len()) == Ok(count);
            complete.then(|| elements.join(" "))
        }
        PrintedType::Jsonpath => {
            let path = bytes.strip_prefix(&[JSONPATH_VERSION])?;
            String::from_utf8(path.to_vec()).ok()
        }
        PrintedType::Citext => String::from_utf8(bytes.to_vec()).ok(),
        PrintedType::Hstore => read_hstore(bytes),
    }
}

fn read_hstore(bytes: &[u8]) -> Option<String> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut text = || -> Option<Option<String>> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            return Some(None);
        }
        let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        Some(Some(String::from_utf8(text.to_vec()).ok()?))
    };
    let mut pairs = Vec::new();
    for _ in 0..u32::try_from(i32::from_be_bytes(*count)).ok()? {
        pairs.push((text()??, text()?));
    }
    let complete = rest.is_empty();
    complete.then(|| hstore::shown(&hstore::unique(pairs)))
}

fn words(bytes: &[u8]) -> Option<([i32; 5], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<20>()?;
    let word = |at: usize| {
        let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        i32::from_be_bytes(word)
    };
    Some(([word(0), word(4), word(8), word(12), word(16)], rest))
}

fn read_points(bytes: &[u8]) -> Option<Vec<(f64, f64)>> {
    if !bytes.len().is_multiple_of(16) {
        return None;
    }
    let number = |bytes: &[u8]| Some(f64::from_be_bytes(bytes.try_into().ok()?));
    let point = |bytes: &[u8]| Some((number(&bytes[..8])?, number(&bytes[8..])?));
    bytes.chunks(16).map(point).collect()
}

fn read_range(bytes: &[u8]) -> Option<String> {
    let (flags, mut rest) = bytes.split_first()?;
    if flags & RANGE_EMPTY != 0 {
        return Some("empty".to_string());
    }
    let mut bound = |infinite: u8| {
        if flags & infinite != 0 {
            return Some(String::new());
        }
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(match length {
            4 => i32::from_be_bytes(value.try_into().ok()?).to_string(),
            _ => i64::from_be_bytes(value.try_into().ok()?).to_string(),
        })
    };
    let (low, high) = (bound(RANGE_LOWER_INFINITE)?, bound(RANGE_UPPER_INFINITE)?);
    let opening = if flags & RANGE_LOWER_IN != 0 {
        '['
    } else {
        '('
    };
    let closing = if flags & RANGE_UPPER_IN != 0 {
        ']'
    } else {
        ')'
    };
    rest.is_empty()
        .then(|| format!("{opening}{low},{high}{closing}"))
}

/// Appends the binary form of bits: how many there are, then they, from each byte's highest on.
pub(super) fn write_bits(bits: &str, out: &mut BytesMut) {
    out.put_i32(i32::try_from(bits.len()).unwrap_or(i32::MAX));
    for byte in bits.as_bytes().chunks(8) {
        let set = byte.iter().enumerate().filter(|(_, bit)| **bit == b'1');
        out.put_u8(set.fold(0, |byte, (at, _)| byte | 0x80 >> at));
    }
}

/// Bits as text from their binary form; `None` when it is malformed.
pub(super) fn read_bits(bytes: &[u8]) -> Option<String> {
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let bit = |at: usize| match bytes[at / 8] & 0x80 >> (at % 8) {
        0 => '0',
        _ => '1',
    };
    (bytes.len() == length.div_ceil(8)).then(|| (0..length).map(bit).collect())
}
