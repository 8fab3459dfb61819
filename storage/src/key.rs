//! Memcomparable keys: bytes that sort as the values do.
//!
//! Owns: the key layout of every RocksDB family. Guarantees: two equal primary keys encode equally, and
//! the byte order of keys is (table, partition, Seq or key values in order).
//! Does not: know what the values under the keys hold.

mod jsonb;

use std::sync::Arc;

use arrow::datatypes::i256;

use crate::catalog::{IndexId, TableDef, TableId, UniqueKey};
use crate::datum::{ColumnType, DatumRef, Number, Numeric, shape_bytes};
use crate::error::StorageError;
use crate::seq::Seq;
use crate::transaction::Partition;

/// Ends an escaped string; an escaped zero byte (`00 FF`) sorts after it.
const END: [u8; 2] = [0, 1];

fn put_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&END);
}

/// The escaped string at the start of `bytes`, and what follows it.
fn take_escaped(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => match *bytes.get(at + 1)? {
                0xFF => {
                    out.push(0);
                    at += 2;
                }
                1 => return Some((out, &bytes[at + 2..])),
                _ => return None,
            },
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// What every key of one partition starts with.
pub(crate) fn scope_key(table: TableId, partition: &Partition) -> Vec<u8> {
    let mut out = Vec::with_capacity(partition.as_str().len() + 16);
    out.extend_from_slice(&table.get().to_be_bytes());
    put_escaped(&mut out, partition.as_str().as_bytes());
    out
}

/// The key of one version in `log`, `dead` and `stream`.
pub(crate) fn version_key(table: TableId, partition: &Partition, seq: Seq) -> Vec<u8> {
    let mut out = scope_key(table, partition);
    put_seq(&mut out, seq);
    out
}

/// Appends a Seq, eight bytes big-endian.
pub(crate) fn put_seq(out: &mut Vec<u8>, seq: Seq) {
    out.extend_from_slice(&seq_bytes(seq));
}

/// A Seq as eight bytes, big-endian.
pub(crate) fn seq_bytes(seq: Seq) -> [u8; 8] {
    seq.as_i64().to_be_bytes()
}

/// The Seq in the first eight bytes.
pub(crate) fn read_seq(bytes: &[u8]) -> Result<Seq, StorageError> {
    let raw = bytes.first_chunk::<8>().map(|raw| i64::from_be_bytes(*raw));
    raw.and_then(Seq::from_i64)
        .ok_or_else(|| StorageError::Corrupt("a Seq".to_string()))
}

/// The Seq that a version's key ends with.
pub(crate) fn seq_of(key: &[u8]) -> Result<Seq, StorageError> {
    read_seq(&key[key.len().saturating_sub(8)..])
}

/// Takes a key apart into table, partition and the rest.
pub(crate) fn parse_scope(key: &[u8]) -> Result<(TableId, Partition, &[u8]), StorageError> {
    let corrupt = || StorageError::Corrupt(format!("key {key:02x?}"));
    let (table, rest) = key.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let (partition, rest) = take_escaped(rest).ok_or_else(corrupt)?;
    let partition = String::from_utf8(partition).map_err(|_| corrupt())?;
    Ok((
        TableId::new(u32::from_be_bytes(*table)),
        Partition::user(&partition),
        rest,
    ))
}

/// From where to where (exclusive) the keys of one table lie.
pub(crate) fn table_range(table: TableId) -> (Vec<u8>, Vec<u8>) {
    let end = table
        .get()
        .checked_add(1)
        .map_or_else(|| vec![0xFF; 5], |next| next.to_be_bytes().to_vec());
    (table.get().to_be_bytes().to_vec(), end)
}

/// Where the keys of a partition end (exclusive).
pub(crate) fn scope_end(mut scope: Vec<u8>) -> Vec<u8> {
    let last = scope.last_mut().expect("a scope key is never empty");
    *last += 1;
    scope
}

/// What every key of one key or index starts with, in the `key` and `index` families.
pub(crate) fn index_scope(table: TableId, partition: &Partition, index: IndexId) -> Vec<u8> {
    let mut out = scope_key(table, partition);
    out.extend_from_slice(&index.get().to_be_bytes());
    out
}

/// The first key behind all that start with `prefix`.
pub(crate) fn prefix_end(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xFF {
            prefix.push(last + 1);
            return prefix;
        }
    }
    // Only FFs: no table has such an id.
    vec![0xFF; 16]
}

/// The key of a row in the `key` family; `None` when a value is NULL or cannot be one of its column.
pub(crate) fn unique_key<'a>(
    table: &TableDef,
    partition: &Partition,
    key: UniqueKey<'_>,
    values: impl IntoIterator<Item = DatumRef<'a>>,
) -> Option<Arc<[u8]>> {
    let mut out = index_scope(table.id, partition, key.id);
    let mut columns = key.columns.iter();
    for value in values {
        put_value(&mut out, table.type_of(*columns.next()?)?, value)?;
    }
    columns.next().is_none().then(|| Arc::from(out))
}

/// A key in the `index` family: its values, then the row's Seq.
pub(crate) fn index_entry(values: &[u8], seq: Seq) -> Vec<u8> {
    [values, &seq_bytes(seq)].concat()
}

/// Begins a value in the `index` family that is not NULL.
const VALUE: u8 = 1;
/// Stands for NULL in the `index` family, behind all values.
const NULL: u8 = 2;
/// Ends an array, before any further element: a beginning of an array sorts before the whole.
const ARRAY_END: u8 = 0;

/// Appends a column's value as the `index` family has it; `None` when it cannot be one of its column.
pub(crate) fn put_nullable(out: &mut Vec<u8>, ty: ColumnType, value: DatumRef<'_>) -> Option<()> {
    if matches!(value, DatumRef::Null) {
        out.push(NULL);
        return Some(());
    }
    out.push(VALUE);
    put_value(out, ty, value)
}

/// Where the keys of the values that are not NULL begin, and end, behind `prefix` in the `index` family.
pub(crate) fn values_range(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([prefix, &[VALUE]].concat(), [prefix, &[NULL]].concat())
}

/// A value as bytes that sort as PostgreSQL sorts values of the type; `None` for NULL and for what is no value of it.
pub fn sortable(ty: ColumnType, value: DatumRef<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put_value(&mut out, ty, value).map(|()| out)
}

/// Appends a value that is not NULL, so that bytes sort as values do and none is the beginning of another.
pub(crate) fn put_value(out: &mut Vec<u8>, ty: ColumnType, value: DatumRef<'_>) -> Option<()> {
    match (ty, value) {
        (ColumnType::Int2, _) => put_int(out, i16::try_from(integer(value)?).ok()?.into(), 2),
        (ColumnType::Int4, _) => put_int(out, i32::try_from(integer(value)?).ok()?.into(), 4),
        (ColumnType::Int8, _) => put_int(out, integer(value)?, 8),
        (ColumnType::Float4, DatumRef::Float4(v)) => {
            let v = if v == 0.0 {
                0.0
            } else if v.is_nan() {
                f32::NAN.abs()
            } else {
                v
            };
            let bits = v.to_bits();
            let sortable = if bits >> 31 == 1 {
                !bits
            } else {
                bits | 1 << 31
            };
            out.extend_from_slice(&sortable.to_be_bytes());
        }
        (ColumnType::Float8, DatumRef::Float8(v)) => put_float8(out, v),
        (ColumnType::Numeric(None), DatumRef::Number(v)) => out.extend_from_slice(v.key()),
        (ColumnType::Numeric(None), DatumRef::Numeric(v)) => {
            out.extend_from_slice(Number::from(v).as_ref().key());
        }
        (ColumnType::Numeric(Some((_, scale))), DatumRef::Numeric(v)) => {
            let mut bytes = rescale(v, scale)?.to_be_bytes();
            bytes[0] ^= 0x80;
            out.extend_from_slice(&bytes);
        }
        // By where its label stands; a label that the type lacks is no value.
        (ColumnType::Enum(of), DatumRef::Text(v)) => put_float8(out, of.definition().order(v)?),
        (ColumnType::Jsonb, DatumRef::Text(v)) => jsonb::put(out, v)?,
        // Spaces behind it make no difference.
        (ColumnType::Bpchar(_), DatumRef::Text(v)) => {
            put_escaped(out, v.trim_end_matches(' ').as_bytes());
        }
        (ty, DatumRef::Text(v)) if ty.is_textual() => put_escaped(out, v.as_bytes()),
        (ColumnType::Bool, DatumRef::Bool(v)) => out.push(v.into()),
        (ColumnType::Bytea, DatumRef::Bytea(v)) => put_escaped(out, v),
        (ColumnType::Uuid, DatumRef::Uuid(v)) => out.extend_from_slice(v),
        (ColumnType::Date, DatumRef::Date(v)) => put_int(out, v.into(), 4),
        (ColumnType::Timestamp(_), DatumRef::Timestamp(v)) => put_int(out, v, 8),
        (ColumnType::TimestampTz(_), DatumRef::TimestampTz(v)) => put_int(out, v, 8),
        (ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_), _) => {
            out.extend_from_slice(&u32::try_from(integer(value)?).ok()?.to_be_bytes());
        }
        (ColumnType::Time(_), DatumRef::Time(v)) => put_int(out, v, 8),
        (ColumnType::TimeTz(_), DatumRef::TimeTz(v)) => out.extend_from_slice(&v.to_bytes()),
        (ColumnType::Interval(_), DatumRef::Interval(v)) => {
            let mut bytes = v.span().to_be_bytes();
            bytes[0] ^= 0x80;
            out.extend_from_slice(&bytes);
        }
        (ColumnType::Array(element), DatumRef::Array(elements)) => {
            let mut valid = true;
            elements.for_each(|value| {
                let put = value.and_then(|value| put_nullable(out, element.into(), value));
                valid &= put.is_some();
            });
            out.push(ARRAY_END);
            return valid.then_some(());
        }
        (ColumnType::Shaped(element), DatumRef::Array(elements)) => {
            put_value(out, ColumnType::Array(element), DatumRef::Array(elements))?;
            out.extend(shape_bytes(&value.dimensions()));
        }
        (ColumnType::Shaped(element), DatumRef::Shaped(shape, elements)) => {
            put_value(out, ColumnType::Array(element), DatumRef::Array(elements))?;
            out.extend_from_slice(shape.bytes());
        }
        _ => return None,
    }
    Some(())
}

fn put_float8(out: &mut Vec<u8>, v: f64) {
    let v = if v == 0.0 {
        0.0
    } else if v.is_nan() {
        f64::NAN.abs()
    } else {
        v
    };
    let bits = v.to_bits();
    let sortable = if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    };
    out.extend_from_slice(&sortable.to_be_bytes());
}

fn integer(value: DatumRef<'_>) -> Option<i64> {
    match value {
        DatumRef::Int2(v) => Some(v.into()),
        DatumRef::Int4(v) => Some(v.into()),
        DatumRef::Int8(v) => Some(v),
        _ => None,
    }
}

/// The low `width` bytes, big-endian, with the sign bit flipped.
fn put_int(out: &mut Vec<u8>, value: i64, width: usize) {
    let bytes = value.to_be_bytes();
    let start = out.len();
    out.extend_from_slice(&bytes[8 - width..]);
    out[start] ^= 0x80;
}

/// The number's digits at another scale, if that holds it exactly.
pub(crate) fn rescale(value: Numeric, scale: i8) -> Option<i256> {
    let ten = i256::from_i128(10);
    let mut unscaled = value.unscaled;
    for _ in value.scale..scale {
        unscaled = unscaled.checked_mul(ten)?;
    }
    for _ in scale..value.scale {
        if unscaled.checked_rem(ten)? != i256::ZERO {
            return None;
        }
        unscaled = unscaled.checked_div(ten)?;
    }
    Some(unscaled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(ty: ColumnType, value: DatumRef<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        put_value(&mut out, ty, value).unwrap();
        out
    }

    proptest! {
        #[test]
        fn scopes_come_back(table in any::<u32>(), name in "\\PC*|[\\x00-\\x02a]{0,6}", seq in 0..=i64::MAX) {
            let (table, partition) = (TableId::new(table), Partition::user(&name));
            let seq = Seq::from_i64(seq).unwrap();
            let key = version_key(table, &partition, seq);
            prop_assert_eq!(seq_of(&key).unwrap(), seq);
            let (t, p, rest) = parse_scope(&key).unwrap();
            prop_assert_eq!((t, p, rest.len()), (table, partition, 8));
        }

        #[test]
        fn order_of_values_is_order_of_bytes(
            ints in any::<(i64, i64)>(), small in any::<(i16, i16)>(), floats in any::<(f64, f64)>(),
            texts in ("[\\x00-\\x02a]{0,5}", "[\\x00-\\x02a]{0,5}"), tails in any::<(i32, i32)>(),
        ) {
            let int = |v| encoded(ColumnType::Int8, DatumRef::Int8(v));
            prop_assert_eq!(ints.0.cmp(&ints.1), int(ints.0).cmp(&int(ints.1)));
            let int = |v| encoded(ColumnType::Int2, DatumRef::Int2(v));
            prop_assert_eq!(small.0.cmp(&small.1), int(small.0).cmp(&int(small.1)));
            let float = |v| encoded(ColumnType::Float8, DatumRef::Float8(v));
            prop_assert_eq!(floats.0.partial_cmp(&floats.1).unwrap(), float(floats.0).cmp(&float(floats.1)));
            let numeric = |v| encoded(ColumnType::Numeric(None), DatumRef::Numeric(Numeric { unscaled: i256::from_i128(v), scale: 2 }));
            prop_assert_eq!(ints.0.cmp(&ints.1), numeric(ints.0.into()).cmp(&numeric(ints.1.into())));
            let pair = |text: &str, tail| {
                let mut out = encoded(ColumnType::Text, DatumRef::Text(text));
                out.extend(encoded(ColumnType::Int4, DatumRef::Int4(tail)));
                out
            };
            prop_assert_eq!(
                (texts.0.as_bytes(), tails.0).cmp(&(texts.1.as_bytes(), tails.1)),
                pair(&texts.0, tails.0).cmp(&pair(&texts.1, tails.1))
            );
        }
    }

    #[test]
    fn equal_values_encode_equally() {
        let float = |v| encoded(ColumnType::Float8, DatumRef::Float8(v));
        assert_eq!(float(-0.0), float(0.0));
        assert_eq!(float(f64::NAN), float(-f64::NAN));
        assert!(float(f64::NAN) > float(f64::INFINITY));
        let numeric = |v, scale| {
            encoded(
                ColumnType::Numeric(Some((10, 2))),
                DatumRef::Numeric(Numeric {
                    unscaled: i256::from_i128(v),
                    scale,
                }),
            )
        };
        assert_eq!(numeric(15, 1), numeric(1500, 3));
        assert!(numeric(-15, 1) < numeric(0, 0));
    }
}
