//! PostgreSQL's types on the wire: OIDs, and values in text and binary.

mod printed;

use bytes::{BufMut, Bytes, BytesMut};
use postgres_types::Type;
use tidelog_sql::text::{self, Style};
use tidelog_sql::{ErrorKind, OutputColumn, SqlError, precision, types};
use tidelog_storage::{
    ColumnType, Datum, DatumRef, Dimension, ElementType, Elements, Interval, TimeTz,
};

use crate::pg::messages::invalid_utf8;

/// Days and microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's binary forms begin.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// A zone is less than so many seconds away from UTC.
const ZONE_SECONDS_MAX: u32 = 16 * 3_600;
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xc000;
/// What PostgreSQL writes as the scale of what is infinite.
const INFINITY_SCALE: u16 = 0x20;
const NUMERIC_INFINITY: u16 = 0xd000;
const NUMERIC_MINUS_INFINITY: u16 = 0xf000;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text = 0,
    Binary = 1,
}

impl Format {
    pub(super) fn from_code(code: i16) -> Result<Format, SqlError> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(SqlError::new(
                ErrorKind::InvalidParameterValue,
                format!("unsupported format code: {code}"),
            )),
        }
    }
}

pub(super) fn oid(ty: ColumnType) -> u32 {
    u32::try_from(types::type_facts(ty).0).expect("an oid has 32 bits")
}

/// The oid of a result column's type: vectors of the catalogs have types of their own.
pub(super) fn column_oid(column: &OutputColumn) -> u32 {
    if column.void {
        return Type::VOID.oid();
    }
    match (column.vector, column.ty) {
        (true, ColumnType::Array(ElementType::Int2)) => Type::INT2_VECTOR.oid(),
        (true, ColumnType::Array(ElementType::Oid)) => Type::OID_VECTOR.oid(),
        (_, ty) => oid(ty),
    }
}

/// Appends the text of a vector with its length before it: its elements with spaces between.
pub(super) fn write_vector(value: DatumRef<'_>, out: &mut BytesMut) {
    let DatumRef::Array(elements) = value else {
        out.put_i32(-1);
        return;
    };
    let mut shown = String::new();
    elements.for_each(|element| {
        if !shown.is_empty() {
            shown.push(' ');
        }
        let element = element.unwrap_or(DatumRef::Null);
        text::write(element, ColumnType::Int8, Style::default(), &mut shown);
    });
    out.put_i32(i32::try_from(shown.len()).unwrap_or(i32::MAX));
    out.put_slice(shown.as_bytes());
}

/// `pg_type.typlen`.
pub(super) fn size(column: &OutputColumn) -> i16 {
    match column.void {
        true => 4,
        false => types::type_facts(column.ty).2,
    }
}

/// The type modifier, -1 when there is none.
pub(super) fn typmod(ty: ColumnType) -> i32 {
    types::type_facts(ty).1
}

/// The type that a client gives a parameter; `None` when it leaves it open.
pub(super) fn parameter_type(
    oid: u32,
    user_type: impl Fn(u32) -> Option<ColumnType>,
) -> Result<Option<ColumnType>, SqlError> {
    if oid == 0 || oid == Type::UNKNOWN.oid() {
        return Ok(None);
    }
    // What counts transactions and commands is an oid here.
    if oid == Type::XID.oid() || oid == Type::CID.oid() {
        return Ok(Some(ColumnType::Oid));
    }
    if let Some(ty) = types::built_in(oid).or_else(|| user_type(oid)) {
        return Ok(Some(ty));
    }
    Err(match Type::from_oid(oid) {
        Some(other) => SqlError::unsupported(format_args!("a parameter of type {}", other.name())),
        None => SqlError::new(
            ErrorKind::UndefinedObject,
            format!("type with OID {oid} does not exist"),
        ),
    })
}

/// Appends a value with its length before it, as DataRow has them. `scratch` saves allocations.
pub(super) fn write_value(
    value: DatumRef<'_>,
    ty: ColumnType,
    format: Format,
    style: Style,
    scratch: &mut String,
    out: &mut BytesMut,
) {
    if value == DatumRef::Null {
        out.put_i32(-1);
        return;
    }
    let start = out.len();
    out.put_i32(0);
    match (format, value) {
        (Format::Text, value) => {
            scratch.clear();
            text::write(value, ty, style, scratch);
            out.put_slice(scratch.as_bytes());
        }
        (Format::Binary, value) => write_binary(value, ty, scratch, out),
    }
    // Rows are checked against 1 GiB as a whole.
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Refuses the type that has places of rows here which do not fit its six bytes.
pub(super) fn has_binary(ty: ColumnType) -> Result<(), SqlError> {
    let element = ty.elements().map_or(ty, ColumnType::from);
    match element == ColumnType::Printed(tidelog_storage::PrintedType::Tid) {
        true => Err(SqlError::unsupported("type tid in binary format")),
        false => Ok(()),
    }
}

fn write_binary(value: DatumRef<'_>, ty: ColumnType, scratch: &mut String, out: &mut BytesMut) {
    match value {
        DatumRef::Null => {}
        DatumRef::Int2(v) => out.put_i16(v),
        DatumRef::Int4(v) => out.put_i32(v),
        DatumRef::Int8(v)
            if matches!(
                ty,
                ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_)
            ) =>
        {
            out.put_u32(u32::try_from(v).unwrap_or(0));
        }
        DatumRef::Int8(v) => out.put_i64(v),
        DatumRef::Float4(v) => out.put_f32(v),
        DatumRef::Float8(v) => out.put_f64(v),
        DatumRef::Numeric(_) | DatumRef::Number(_) => {
            scratch.clear();
            text::write(value, ty, Style::default(), scratch);
            write_numeric(scratch, out);
        }
        DatumRef::Text(bits) if matches!(ty, ColumnType::Bit(_) | ColumnType::Varbit(_)) => {
            printed::write_bits(bits, out);
        }
        DatumRef::Text(value) if matches!(ty, ColumnType::Reg(_)) => {
            out.put_u32(text::reg::oid(value));
        }
        DatumRef::Text(value) if let ColumnType::Printed(of) = ty => printed::write(of, value, out),
        DatumRef::Text(_) => {
            if ty == ColumnType::Jsonb {
                out.put_u8(1);
            }
            scratch.clear();
            text::write(value, ty, Style::default(), scratch);
            match ty {
                ColumnType::Char => out.put_u8(text::character::byte(scratch)),
                _ => out.put_slice(scratch.as_bytes()),
            }
        }
        DatumRef::Bool(v) => out.put_u8(u8::from(v)),
        DatumRef::Bytea(v) => out.put_slice(v),
        DatumRef::Uuid(v) => out.put_slice(v),
        DatumRef::Date(days) => out.put_i32(match days {
            i32::MIN | i32::MAX => days,
            days => days.saturating_sub(EPOCH_DAYS),
        }),
        DatumRef::Timestamp(micros) | DatumRef::TimestampTz(micros) => out.put_i64(match micros {
            i64::MIN | i64::MAX => micros,
            micros => micros.saturating_sub(EPOCH_MICROS),
        }),
        DatumRef::Time(micros) => out.put_i64(micros),
        DatumRef::TimeTz(TimeTz { micros, west }) => {
            out.put_i64(micros);
            out.put_i32(west);
        }
        DatumRef::Interval(Interval {
            months,
            days,
            micros,
        }) => {
            out.put_i64(micros);
            out.put_i32(days);
            out.put_i32(months);
        }
        DatumRef::Array(elements) | DatumRef::Shaped(_, elements) => {
            let dimensions = value.dimensions();
            write_array(&dimensions, elements, ty, scratch, out);
        }
    }
}

/// Appends an array's binary form: its dimensions, whether any element is NULL, their type, then the elements.
fn write_array(
    dimensions: &[Dimension],
    elements: Elements<'_>,
    ty: ColumnType,
    scratch: &mut String,
    out: &mut BytesMut,
) {
    let element = ty.elements().map_or(ty, ColumnType::from);
    let mut written = BytesMut::new();
    let mut has_null = false;
    elements.for_each(|value| {
        let value = value.unwrap_or(DatumRef::Null);
        has_null |= value == DatumRef::Null;
        let style = Style::default();
        write_value(value, element, Format::Binary, style, scratch, &mut written);
    });
    out.put_i32(i32::try_from(dimensions.len()).unwrap_or(0));
    out.put_i32(i32::from(has_null));
    out.put_u32(oid(element));
    for of in dimensions {
        out.put_u32(of.length);
        out.put_i32(of.lower);
    }
    out.put_slice(&written);
}

/// The elements of an array in binary form; `None` when it is malformed.
fn read_array(element: ColumnType, mut bytes: &[u8]) -> Result<Option<Datum>, SqlError> {
    fn word(bytes: &mut &[u8]) -> Option<i32> {
        let (word, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(i32::from_be_bytes(*word))
    }
    let head = (word(&mut bytes), word(&mut bytes), word(&mut bytes));
    let (Some(dimensions), Some(0 | 1), Some(ty)) = head else {
        return Ok(None);
    };
    let ty = ty.cast_unsigned();
    if ty != oid(element) {
        let shown = types::built_in(ty).map_or_else(|| "???".to_string(), types::name);
        let message = format!(
            "binary data has array element type {ty} ({shown}) instead of expected {} ({})",
            oid(element),
            types::name(element)
        );
        return Err(SqlError::new(ErrorKind::DatatypeMismatch, message));
    }
    let Ok(count) = usize::try_from(dimensions) else {
        let message = format!("invalid number of dimensions: {dimensions}");
        return Err(SqlError::new(
            ErrorKind::InvalidBinaryRepresentation,
            message,
        ));
    };
    text::check_depth(count)?;
    let mut dimensions = Vec::with_capacity(count);
    for _ in 0..count {
        let (Some(length), Some(lower)) = (word(&mut bytes), word(&mut bytes)) else {
            return Ok(None);
        };
        // As one that is too large.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        dimensions.push(Dimension { length, lower });
    }
    text::check_size(&dimensions)?;
    let lengths = dimensions.iter().map(|of| u64::from(of.length));
    let length = match count {
        0 => 0,
        _ => lengths.fold(1, u64::saturating_mul),
    };
    let mut values = Vec::new();
    for _ in 0..length {
        let Some(size) = word(&mut bytes) else {
            return Ok(None);
        };
        if size == -1 {
            values.push(Datum::Null);
            continue;
        }
        let taken = usize::try_from(size)
            .ok()
            .and_then(|size| bytes.split_at_checked(size));
        let Some((value, rest)) = taken else {
            return Ok(None);
        };
        bytes = rest;
        match read_binary(element, value)? {
            Some(value) => values.push(value),
            None => return Ok(None),
        }
    }
    let array = || Datum::of_elements(&dimensions, values);
    Ok(bytes.is_empty().then(array))
}

/// Appends a numeric's binary form, made from its text: groups of four decimal digits.
fn write_numeric(text: &str, out: &mut BytesMut) {
    let special = match text {
        "NaN" => Some((NUMERIC_NAN, 0)),
        "Infinity" => Some((NUMERIC_INFINITY, INFINITY_SCALE)),
        "-Infinity" => Some((NUMERIC_MINUS_INFINITY, INFINITY_SCALE)),
        _ => None,
    };
    if let Some((sign, scale)) = special {
        out.put_u32(0);
        out.put_u16(sign);
        out.put_u16(scale);
        return;
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NUMERIC_NEGATIVE, digits),
        None => (0, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let mut groups: Vec<i16> = Vec::with_capacity(whole.len() / 4 + fraction.len() / 4 + 2);
    let group = |digits: &[u8]| {
        digits.iter().fold(0i16, |group, digit| {
            group * 10 + i16::from(digit.wrapping_sub(b'0'))
        })
    };
    let (head, rest) = whole.as_bytes().split_at(whole.len() % 4);
    if !head.is_empty() {
        groups.push(group(head));
    }
    groups.extend(rest.chunks(4).map(group));
    let mut weight = i16::try_from(groups.len()).unwrap_or(i16::MAX) - 1;
    for chunk in fraction.as_bytes().chunks(4) {
        let mut padded = [b'0'; 4];
        padded[..chunk.len()].copy_from_slice(chunk);
        groups.push(group(&padded));
    }
    let leading = groups.iter().take_while(|&&group| group == 0).count();
    groups.drain(..leading);
    weight -= i16::try_from(leading).unwrap_or(i16::MAX);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (sign, weight) = if groups.is_empty() {
        (0, 0)
    } else {
        (sign, weight)
    };
    out.put_i16(i16::try_from(groups.len()).unwrap_or(i16::MAX));
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(u16::try_from(fraction.len()).unwrap_or(u16::MAX));
    groups.into_iter().for_each(|group| out.put_i16(group));
}

/// The text of a numeric in binary form; `None` when it is malformed.
fn numeric_text(bytes: &[u8]) -> Option<String> {
    let (header, groups) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (count, weight, sign, scale) = (word(0), word(2).cast_signed(), word(4), word(6));
    match sign {
        NUMERIC_NAN => return Some("NaN".to_string()),
        NUMERIC_INFINITY => return Some("Infinity".to_string()),
        NUMERIC_MINUS_INFINITY => return Some("-Infinity".to_string()),
        0 | NUMERIC_NEGATIVE => {}
        _ => return None,
    }
    if groups.len() != usize::from(count) * 2 || scale > 0x3fff {
        return None;
    }
    let groups: Vec<u16> = groups
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    if groups.iter().any(|&group| group > 9999) {
        return None;
    }
    let group = |position: i32| {
        let index = i32::from(weight) - position;
        usize::try_from(index)
            .ok()
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    if sign == NUMERIC_NEGATIVE {
        text.push('-');
    }
    let whole: String = (0..=i32::from(weight).max(0))
        .rev()
        .map(|position| format!("{:04}", group(position)))
        .collect();
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let groups = i32::from(scale).div_euclid(4) + 1;
        let fraction: String = (1..=groups)
            .map(|position| format!("{:04}", group(-position)))
            .collect();
        text.push('.');
        text.push_str(&fraction[..usize::from(scale)]);
    }
    Some(text)
}

/// Reads a parameter's value: an array may be of any shape.
pub(super) fn read_parameter(
    ty: ColumnType,
    format: Format,
    bytes: &Bytes,
    style: Style,
    number: usize,
) -> Result<Datum, SqlError> {
    let ty = ty.elements().map_or(ty, ColumnType::Shaped);
    read_value(ty, format, bytes, style, number)
}

/// Reads a value of a type.
pub(super) fn read_value(
    ty: ColumnType,
    format: Format,
    bytes: &Bytes,
    style: Style,
    number: usize,
) -> Result<Datum, SqlError> {
    match format {
        Format::Text => text::parse_in(ty, utf8(bytes)?, style),
        Format::Binary => read_binary(ty, bytes)?.ok_or_else(|| {
            let message = format!("incorrect binary data format in bind parameter {number}");
            SqlError::new(ErrorKind::InvalidBinaryRepresentation, message)
        }),
    }
    .and_then(|value| match (ty, value) {
        (ColumnType::Array(_), Datum::Shaped(..)) => Err(text::unshaped()),
        (_, value) => Ok(value),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, SqlError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| invalid_utf8(bytes, error.valid_up_to()))?;
    match text.find('\0') {
        Some(at) => Err(invalid_utf8(bytes, at)),
        None => Ok(text),
    }
}

fn out_of_range(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::DatetimeFieldOverflow,
        format!("{name} out of range"),
    )
}

fn read_binary(ty: ColumnType, bytes: &[u8]) -> Result<Option<Datum>, SqlError> {
    fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
    let micros = |bytes: &[u8]| -> Result<Option<i64>, SqlError> {
        Ok(match array(bytes).map(i64::from_be_bytes) {
            infinite @ (None | Some(i64::MIN | i64::MAX)) => infinite,
            Some(micros) => {
                let micros = micros.checked_add(EPOCH_MICROS);
                let micros = micros.filter(|micros| text::is_timestamp(*micros));
                Some(micros.ok_or_else(|| out_of_range("timestamp"))?)
            }
        })
    };
    let value = match ty {
        ColumnType::Int2 => array(bytes).map(i16::from_be_bytes).map(Datum::Int2),
        ColumnType::Int4 => array(bytes).map(i32::from_be_bytes).map(Datum::Int4),
        ColumnType::Int8 => array(bytes).map(i64::from_be_bytes).map(Datum::Int8),
        ColumnType::Float4 => array(bytes).map(f32::from_be_bytes).map(Datum::Float4),
        ColumnType::Float8 => array(bytes).map(f64::from_be_bytes).map(Datum::Float8),
        ColumnType::Numeric(_) => match numeric_text(bytes) {
            Some(digits) => Some(text::parse(ty, &digits)?),
            None => None,
        },
        ColumnType::Char => array(bytes).map(|[byte]| Datum::Text(text::character::of_byte(byte))),
        ColumnType::Text
        | ColumnType::Varchar(_)
        | ColumnType::Bpchar(_)
        | ColumnType::Name
        | ColumnType::Json
        | ColumnType::Enum(_) => Some(text::parse(ty, utf8(bytes)?)?),
        ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_) => {
            array(bytes).map(|bytes| Datum::Int8(u32::from_be_bytes(bytes).into()))
        }
        ColumnType::Bit(_) | ColumnType::Varbit(_) => match printed::read_bits(bytes) {
            Some(bits) => Some(text::parse(ty, &bits)?),
            None => None,
        },
        ColumnType::Printed(of) => match printed::read(of, bytes) {
            Some(value) => Some(text::parse(ty, &value)?),
            None => None,
        },
        ColumnType::Time(_) => match array(bytes).map(i64::from_be_bytes) {
            Some(micros) if !(0..=DAY_MICROS).contains(&micros) => {
                return Err(out_of_range("time"));
            }
            micros => micros.map(Datum::Time),
        },
        ColumnType::TimeTz(_) => match bytes.split_first_chunk::<8>() {
            Some((micros, west)) => {
                let micros = i64::from_be_bytes(*micros);
                if !(0..=DAY_MICROS).contains(&micros) {
                    return Err(out_of_range("time"));
                }
                match array(west).map(i32::from_be_bytes) {
                    Some(west) if west.unsigned_abs() >= ZONE_SECONDS_MAX => {
                        let message = "time zone displacement out of range";
                        let kind = ErrorKind::InvalidTimeZoneDisplacement;
                        return Err(SqlError::new(kind, message));
                    }
                    west => west.map(|west| Datum::TimeTz(TimeTz { micros, west })),
                }
            }
            None => None,
        },
        ColumnType::Interval(_) => match bytes.split_first_chunk::<8>() {
            Some((micros, rest)) => {
                let micros = i64::from_be_bytes(*micros);
                if micros.unsigned_abs() > Interval::MICROS_MAX.unsigned_abs() {
                    return Err(out_of_range("interval"));
                }
                array(rest).map(|[d0, d1, d2, d3, m0, m1, m2, m3]: [u8; 8]| {
                    Datum::Interval(Interval {
                        months: i32::from_be_bytes([m0, m1, m2, m3]),
                        days: i32::from_be_bytes([d0, d1, d2, d3]),
                        micros,
                    })
                })
            }
            None => None,
        },
        ColumnType::Array(element) | ColumnType::Shaped(element) => {
            read_array(element.into(), bytes)?
        }
        // Version 1 is all there is. A client that thinks of json sends the text alone.
        ColumnType::Jsonb => Some(text::parse(
            ty,
            utf8(bytes.strip_prefix(&[1]).unwrap_or(bytes))?,
        )?),
        ColumnType::Bool => array(bytes).map(|[byte]: [u8; 1]| Datum::Bool(byte != 0)),
        ColumnType::Bytea => Some(Datum::Bytea(bytes.to_vec())),
        ColumnType::Uuid => array(bytes).map(Datum::Uuid),
        ColumnType::Date => match array(bytes).map(i32::from_be_bytes) {
            infinite @ (None | Some(i32::MIN | i32::MAX)) => infinite.map(Datum::Date),
            Some(days) => {
                let days = days.checked_add(EPOCH_DAYS);
                let days = days.filter(|days| text::is_date(*days));
                Some(Datum::Date(days.ok_or_else(|| out_of_range("date"))?))
            }
        },
        ColumnType::Timestamp(_) => micros(bytes)?.map(Datum::Timestamp),
        ColumnType::TimestampTz(_) => micros(bytes)?.map(Datum::TimestampTz),
    };
    value.map(|value| precision::kept(value, ty)).transpose()
}

#[cfg(test)]
mod tests {

    use tidelog_storage::PrintedType;

    use super::*;

    #[test]
    fn numerics_in_binary() {
        // Header words and groups as `SELECT numeric_send(…)` gives them on PostgreSQL 15.
        let cases: [(&str, &[u16]); 8] = [
            ("0", &[0, 0, 0, 0]),
            ("0.00", &[0, 0, 0, 2]),
            ("1", &[1, 0, 0, 0, 1]),
            ("-12345.678", &[3, 1, 0x4000, 3, 1, 2345, 6780]),
            ("10000", &[1, 1, 0, 0, 1]),
            ("0.0001", &[1, 0xffff, 0, 4, 1]),
            ("0.00001", &[1, 0xfffe, 0, 5, 1000]),
            ("99999999.5000", &[3, 1, 0, 4, 9999, 9999, 5000]),
        ];
        for (text, words) in cases {
            let mut out = BytesMut::new();
            write_numeric(text, &mut out);
            let expected: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(&out[..], &expected[..], "{text}");
            assert_eq!(numeric_text(&out).as_deref(), Some(text));
        }
        assert_eq!(numeric_text(b"\0\x01\0\0\0\0\0\0"), None);
        assert_eq!(numeric_text(b"\0\x01\0\0\0\0\0\0\x27\x10"), None);
    }

    #[test]
    fn binary_values_round_trip() {
        let cases = [
            (ColumnType::Int2, Datum::Int2(-7)),
            (ColumnType::Int8, Datum::Int8(i64::MIN)),
            (ColumnType::Float8, Datum::Float8(0.1)),
            (ColumnType::Bool, Datum::Bool(true)),
            (ColumnType::Bytea, Datum::Bytea(vec![0, 255])),
            (ColumnType::Uuid, Datum::Uuid([9; 16])),
            (ColumnType::Date, Datum::Date(0)),
            (ColumnType::TimestampTz(None), Datum::TimestampTz(1)),
            (ColumnType::Oid, Datum::Int8(4_294_967_295)),
            (ColumnType::Regproc, Datum::Int8(1242)),
            (ColumnType::Bit(Some(3)), Datum::Text("101".to_string())),
            (
                ColumnType::Varbit(None),
                Datum::Text("101010101".to_string()),
            ),
            (ColumnType::Varbit(None), Datum::Text(String::new())),
            (
                ColumnType::Printed(PrintedType::Inet),
                Datum::Text("10.1.2.3/8".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Inet),
                Datum::Text("2001:4f8::1".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Cidr),
                Datum::Text("10.0.0.0/8".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Macaddr),
                Datum::Text("12:34:56:ab:cd:ef".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::PgLsn),
                Datum::Text("2B/1757980".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Point),
                Datum::Text("(-3.2,1.618)".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Box),
                Datum::Text("(3,4),(1,2)".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Path),
                Datum::Text("[(0,0),(1,2)]".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Path),
                Datum::Text("((0,0),(1,2))".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Int4range),
                Datum::Text("[1,6)".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Int8range),
                Datum::Text("(,7)".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Int8range),
                Datum::Text("empty".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Oidvector),
                Datum::Text("0 1 2".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Int2vector),
                Datum::Text(String::new()),
            ),
            (
                ColumnType::Printed(PrintedType::Citext),
                Datum::Text("As it is".to_string()),
            ),
            (
                ColumnType::Printed(PrintedType::Hstore),
                Datum::Text("\"a\"=>\"1\", \"b c\"=>NULL".to_string()),
            ),
            (ColumnType::Time(None), Datum::Time(1)),
            (
                ColumnType::TimeTz(None),
                Datum::TimeTz(TimeTz {
                    micros: 5,
                    west: -3600,
                }),
            ),
            (
                ColumnType::Interval(None),
                Datum::Interval(Interval {
                    months: -1,
                    days: 2,
                    micros: -3,
                }),
            ),
            (
                ColumnType::Array(ElementType::Int4),
                Datum::Array(vec![Datum::Int4(7), Datum::Null]),
            ),
        ];
        for (ty, value) in cases {
            let mut out = BytesMut::new();
            write_value(
                value.as_ref(),
                ty,
                Format::Binary,
                Style::default(),
                &mut String::new(),
                &mut out,
            );
            let bytes = out.freeze().slice(4..);
            assert_eq!(
                read_value(ty, Format::Binary, &bytes, Style::default(), 1),
                Ok(value),
                "{ty:?}"
            );
            assert!(
                read_value(ty, Format::Binary, &bytes.slice(1..), Style::default(), 1)
                    != read_value(ty, Format::Binary, &bytes, Style::default(), 1)
            );
        }
    }

    #[test]
    fn epoch_is_2000() {
        let mut out = BytesMut::new();
        write_binary(
            DatumRef::Date(EPOCH_DAYS),
            ColumnType::Date,
            &mut String::new(),
            &mut out,
        );
        write_binary(
            DatumRef::Timestamp(EPOCH_MICROS + 1),
            ColumnType::Timestamp(None),
            &mut String::new(),
            &mut out,
        );
        assert_eq!(&out[..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn type_modifiers() {
        assert_eq!(typmod(ColumnType::Varchar(Some(20))), 24);
        assert_eq!(typmod(ColumnType::Numeric(Some((10, 2)))), 655_366);
        assert_eq!(typmod(ColumnType::Text), -1);
    }
}
