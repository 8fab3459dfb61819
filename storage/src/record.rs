//! The record of one change in the log, and the row in it.
//!
//! Owns: the bytes of a log value. Guarantees: a row that was written under any schema version reads as
//! the table's present columns; bytes that are no record give `Corrupt`. Does not: know keys or Seqs of records.

use std::sync::Arc;

use arrow::datatypes::{DataType, i256};

use crate::catalog::{CatalogChange, ColumnId, TableDef};
use crate::changes::ChangeOp;
use crate::datum::{
    ColumnType, Datum, DatumRef, ElementType, Elements, INTERVAL_BYTES, Interval, Number,
    NumberRef, Numeric, Row, ShapeRef, TimeTz,
};
use crate::error::StorageError;
use crate::key::{read_seq, rescale, seq_bytes};
use crate::seq::Seq;
use crate::widen;

const INSERT: u8 = 1;
const UPDATE: u8 = 2;
const DELETE: u8 = 3;
/// The op of a record of the system table: the rest is a `CatalogChange` as JSON.
const CATALOG: u8 = 4;
/// It is the last record that its transaction has in its partition of its table.
const ENDS_TRANSACTION: u8 = 1;
/// The row before stands in front of the row.
const WITH_OLD_ROW: u8 = 2;

/// A log value taken apart.
pub(crate) struct Record<'a> {
    pub(crate) op: ChangeOp,
    pub(crate) ends_transaction: bool,
    /// The version that it superseded; none for an insert.
    pub(crate) superseded: Option<Seq>,
    pub(crate) schema_version: u32,
    /// For an update, the row before, in the same layout as the row.
    pub(crate) old_row: Option<&'a [u8]>,
    pub(crate) row: &'a [u8],
}

fn corrupt(what: &str) -> StorageError {
    StorageError::Corrupt(what.to_string())
}

/// Reads a log value.
pub(crate) fn parse(bytes: &[u8]) -> Result<Record<'_>, StorageError> {
    let ([op, flags], mut rest) = bytes
        .split_first_chunk::<2>()
        .ok_or_else(|| corrupt("record head"))?;
    let op = match *op {
        INSERT => ChangeOp::Insert,
        UPDATE => ChangeOp::Update,
        DELETE => ChangeOp::Delete,
        other => return Err(StorageError::Corrupt(format!("record op {other}"))),
    };
    let mut superseded = None;
    if op != ChangeOp::Insert {
        superseded = Some(read_seq(rest)?);
        rest = &rest[8..];
    }
    let (version, mut row) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| corrupt("record schema version"))?;
    let old_row = match flags & WITH_OLD_ROW {
        0 => None,
        _ => Some(take_bytes(&mut row)?),
    };
    let ends_transaction = flags & ENDS_TRANSACTION != 0;
    Ok(Record {
        op,
        ends_transaction,
        superseded,
        schema_version: u32::from_be_bytes(*version),
        old_row,
        row,
    })
}

/// The Seq of the version that a log value superseded; `None` for an insert or what is no record.
pub(crate) fn superseded(bytes: &[u8]) -> Option<Seq> {
    match bytes.first() {
        Some(&(UPDATE | DELETE)) => read_seq(bytes.get(2..)?).ok(),
        _ => None,
    }
}

/// Whether a log value makes a version that can be live (`false` for a delete).
pub(crate) fn is_version(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(INSERT | UPDATE)))
}

/// The record of a change; `seal` fills in what only the commit knows. An update's `old` row goes into it, so
/// that the feed needs no other record.
///
/// # Panics
/// When a row is not of the table's types.
pub(crate) fn encode(op: ChangeOp, table: &TableDef, row: &Row, old: Option<&Row>) -> Vec<u8> {
    // A transaction may keep millions of them: little more room than they take.
    let mut out = Vec::with_capacity(24 + room(row) + old.map_or(0, room));
    out.push(match op {
        ChangeOp::Insert => INSERT,
        ChangeOp::Update => UPDATE,
        ChangeOp::Delete => DELETE,
    });
    out.push(if old.is_some() { WITH_OLD_ROW } else { 0 });
    if op != ChangeOp::Insert {
        out.extend_from_slice(&[0; 8]);
    }
    out.extend_from_slice(&table.schema_version.to_be_bytes());
    if let Some(old) = old {
        let mut bytes = Vec::with_capacity(room(old));
        encode_row(table, old, &mut bytes);
        put_bytes(&mut out, &bytes);
    }
    encode_row(table, row, &mut out);
    out
}

/// About how many bytes a row takes, more rather than less.
fn room(row: &Row) -> usize {
    let of = |value: &Datum| match value {
        Datum::Text(text) => text.len() + 3,
        Datum::Bytea(bytes) => bytes.len() + 3,
        Datum::Null | Datum::Int4(_) | Datum::Int8(_) | Datum::TimestampTz(_) => 8,
        _ => 16,
    };
    row.iter().map(of).sum()
}

/// Sets the superseded version's Seq and the end-of-transaction mark of a record.
pub(crate) fn seal(record: &mut [u8], prev: Seq, ends_transaction: bool) {
    if record[0] != INSERT {
        record[2..10].copy_from_slice(&seq_bytes(prev));
    }
    record[1] &= !ENDS_TRANSACTION;
    if ends_transaction {
        record[1] |= ENDS_TRANSACTION;
    }
}

/// The record of a catalog change.
pub(crate) fn encode_catalog(json: &[u8], ends_transaction: bool) -> Vec<u8> {
    let mut out = vec![CATALOG, u8::from(ends_transaction)];
    out.extend_from_slice(json);
    out
}

/// Reads a log value of the system table: the change, and whether it is the last of its transaction.
pub(crate) fn parse_catalog(bytes: &[u8]) -> Result<(CatalogChange, bool), StorageError> {
    let ([CATALOG, flags], json) = bytes
        .split_first_chunk::<2>()
        .ok_or_else(|| corrupt("record head"))?
    else {
        return Err(corrupt("no catalog change"));
    };
    let change = serde_json::from_slice(json)
        .map_err(|error| StorageError::Corrupt(format!("catalog change: {error}")))?;
    Ok((change, flags & ENDS_TRANSACTION != 0))
}

/// Bytes that a value of this type takes in the fixed part; `None` for types of varying width.
fn fixed_width(ty: ColumnType) -> Option<usize> {
    match ty {
        ColumnType::Bool => Some(1),
        ColumnType::Int2 => Some(2),
        ColumnType::Int4 | ColumnType::Float4 | ColumnType::Date => Some(4),
        ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_) => Some(4),
        ColumnType::Int8
        | ColumnType::Float8
        | ColumnType::Time(_)
        | ColumnType::Timestamp(_)
        | ColumnType::TimestampTz(_) => Some(8),
        ColumnType::TimeTz(_) => Some(12),
        ColumnType::Uuid | ColumnType::Interval(_) => Some(16),
        ColumnType::Numeric(_)
        | ColumnType::Text
        | ColumnType::Varchar(_)
        | ColumnType::Bpchar(_)
        | ColumnType::Name
        | ColumnType::Char
        | ColumnType::Bit(_)
        | ColumnType::Varbit(_)
        | ColumnType::Bytea
        | ColumnType::Json
        | ColumnType::Jsonb
        | ColumnType::Printed(_)
        | ColumnType::Enum(_)
        | ColumnType::Array(_)
        | ColumnType::Shaped(_) => None,
    }
}

/// Appends a row in the layout of the table's schema version.
///
/// # Panics
/// When the row is not of the table's types.
pub(crate) fn encode_row(table: &TableDef, row: &Row, out: &mut Vec<u8>) {
    assert_eq!(
        row.len(),
        table.columns.len(),
        "a row has one value per column"
    );
    let layout = &table.layouts[&table.schema_version];
    let values: Vec<DatumRef<'_>> = (layout.iter().enumerate())
        .map(|(at, (id, _))| match table.columns.get(at) {
            Some(column) if column.id == *id => row[at].as_ref(),
            _ => table
                .index_of(*id)
                .map_or(DatumRef::Null, |index| row[index].as_ref()),
        })
        .collect();
    let bitmap = out.len();
    out.resize(bitmap + layout.len().div_ceil(8), 0);
    for (at, ((_, ty), value)) in layout.iter().zip(&values).enumerate() {
        if *value == DatumRef::Null {
            out[bitmap + at / 8] |= 1 << (at % 8);
        }
        let Some(width) = fixed_width(*ty) else {
            continue;
        };
        match *value {
            DatumRef::Null => out.resize(out.len() + width, 0),
            value => put_fixed(*ty, value, out),
        }
    }
    for ((_, ty), value) in layout.iter().zip(&values) {
        if fixed_width(*ty).is_none() && *value != DatumRef::Null {
            put_varying(*ty, *value, out);
        }
    }
}

/// Appends a value that is not NULL, of a type of fixed width.
fn put_fixed(ty: ColumnType, value: DatumRef<'_>, out: &mut Vec<u8>) {
    match (ty, value) {
        (ColumnType::Int2, DatumRef::Int2(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (ColumnType::Int4, DatumRef::Int4(v)) | (ColumnType::Date, DatumRef::Date(v)) => {
            out.extend_from_slice(&v.to_le_bytes());
        }
        (ColumnType::Int8, DatumRef::Int8(v))
        | (ColumnType::Time(_), DatumRef::Time(v))
        | (ColumnType::Timestamp(_), DatumRef::Timestamp(v))
        | (ColumnType::TimestampTz(_), DatumRef::TimestampTz(v)) => {
            out.extend_from_slice(&v.to_le_bytes());
        }
        (ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_), DatumRef::Int8(v)) => {
            let oid = u32::try_from(v).expect("an oid has 32 bits");
            out.extend_from_slice(&oid.to_le_bytes());
        }
        (ColumnType::Float4, DatumRef::Float4(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (ColumnType::Float8, DatumRef::Float8(v)) => out.extend_from_slice(&v.to_le_bytes()),
        (ColumnType::Bool, DatumRef::Bool(v)) => out.push(v.into()),
        (ColumnType::Uuid, DatumRef::Uuid(v)) => out.extend_from_slice(v),
        (ColumnType::TimeTz(_), DatumRef::TimeTz(v)) => out.extend_from_slice(&v.to_bytes()),
        (ColumnType::Interval(_), DatumRef::Interval(v)) => out.extend_from_slice(&v.to_bytes()),
        (ty, value) => panic!("{value:?} is not of type {ty:?}"),
    }
}

/// Appends a value that is not NULL, of a type of varying width, as a string.
fn put_varying(ty: ColumnType, value: DatumRef<'_>, out: &mut Vec<u8>) {
    match (ty, value) {
        (ty, DatumRef::Text(v)) if ty.is_textual() => put_bytes(out, v.as_bytes()),
        (ColumnType::Bytea, DatumRef::Bytea(v)) => put_bytes(out, v),
        (ColumnType::Numeric(None), DatumRef::Number(v)) => put_bytes(out, v.bytes()),
        (ColumnType::Numeric(None), DatumRef::Numeric(v)) => {
            put_bytes(out, Number::from(v).as_ref().bytes());
        }
        (ColumnType::Numeric(Some((_, scale))), DatumRef::Numeric(v)) => {
            let unscaled = rescale(v, scale).expect("a numeric fits its column's scale");
            put_bytes(out, trim(&unscaled.to_be_bytes()));
        }
        (ColumnType::Array(element), DatumRef::Array(elements)) => {
            let mut bytes = Vec::new();
            put_array(element.into(), elements, &mut bytes);
            put_bytes(out, &bytes);
        }
        // Before the elements stands the shape, or a zero for one dimension that begins at 1.
        (ColumnType::Shaped(element), DatumRef::Array(elements)) => {
            let mut bytes = vec![0];
            put_array(element.into(), elements, &mut bytes);
            put_bytes(out, &bytes);
        }
        (ColumnType::Shaped(element), DatumRef::Shaped(shape, elements)) => {
            let mut bytes = shape.bytes().to_vec();
            put_array(element.into(), elements, &mut bytes);
            put_bytes(out, &bytes);
        }
        (ty, value) => panic!("{value:?} is not of type {ty:?}"),
    }
}

/// Appends an array: how many elements, which of them are NULL, and the others.
fn put_array(ty: ColumnType, elements: Elements<'_>, out: &mut Vec<u8>) {
    put_varint(out, elements.len() as u64);
    let bitmap = out.len();
    out.resize(bitmap + elements.len().div_ceil(8), 0);
    let mut at = 0;
    elements.for_each(|value| {
        match value.expect("elements are of a column's type") {
            DatumRef::Null => out[bitmap + at / 8] |= 1 << (at % 8),
            value if fixed_width(ty).is_some() => put_fixed(ty, value, out),
            value => put_varying(ty, value, out),
        }
        at += 1;
    });
}

/// How many elements an array in a record has.
pub(crate) fn array_length(mut bytes: &[u8]) -> usize {
    take_varint(&mut bytes)
        .ok()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0)
}

/// Hands on the elements of an array in a record.
pub(crate) fn read_array<'a>(
    ty: ElementType,
    mut bytes: &'a [u8],
    put: &mut dyn FnMut(DatumRef<'a>),
) -> Result<(), StorageError> {
    let ty = ColumnType::from(ty);
    let length = usize::try_from(take_varint(&mut bytes)?).map_err(|_| corrupt("an array"))?;
    let (nulls, mut rest) = bytes
        .split_at_checked(length.div_ceil(8))
        .ok_or_else(|| corrupt("an array"))?;
    for at in 0..length {
        put(if nulls[at / 8] & 1 << (at % 8) != 0 {
            DatumRef::Null
        } else if let Some(width) = fixed_width(ty) {
            let value = fixed_value(ty, rest)?;
            rest = &rest[width..];
            value
        } else {
            varying_value(ty, take_bytes(&mut rest)?)?
        });
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(corrupt("an array"))
    }
}

/// The shortest big-endian two's complement of the same number.
fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [first, second, ..] = *bytes {
        let sign = if second & 0x80 == 0 { 0 } else { 0xFF };
        if first != sign {
            break;
        }
        bytes = &bytes[1..];
    }
    bytes
}

/// Appends a string: its length, then its bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a LEB128 number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a LEB128 number off the front of `bytes`.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<u64, StorageError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(|| corrupt("a length"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(corrupt("a length"))
}

/// Takes a string of a leading length off the front of `bytes`.
pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], StorageError> {
    let length = usize::try_from(take_varint(bytes)?).map_err(|_| corrupt("a length"))?;
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or_else(|| corrupt("a value's bytes"))?;
    *bytes = rest;
    Ok(taken)
}

struct Field {
    ordinal: usize,
    ty: ColumnType,
    /// Where it starts, for a type of fixed width.
    offset: Option<usize>,
    outputs: Vec<usize>,
    /// The type that the column has been widened to since.
    widened: Option<ColumnType>,
}

/// How rows of one schema version give the wanted columns.
struct Decoder {
    bitmap: usize,
    fixed: usize,
    fields: Vec<Field>,
    missing: Vec<(usize, Datum)>,
}

impl Decoder {
    fn new(table: &TableDef, version: u32, columns: &[ColumnId]) -> Result<Decoder, StorageError> {
        let layout = table
            .layouts
            .get(&version)
            .ok_or_else(|| corrupt("unknown schema version"))?;
        let bitmap = layout.len().div_ceil(8);
        let mut offset = bitmap;
        let mut fields = Vec::new();
        for (ordinal, (id, ty)) in layout.iter().enumerate() {
            let outputs = (0..columns.len())
                .filter(|at| columns[*at] == *id)
                .collect();
            let at = fixed_width(*ty).map(|width| {
                offset += width;
                offset - width
            });
            let present = table.index_of(*id).map(|index| table.columns[index].ty);
            fields.push(Field {
                ordinal,
                ty: *ty,
                offset: at,
                outputs,
                widened: present.filter(|present| present != ty),
            });
        }
        // Fixed ones that nobody wants are skipped at once; varying ones only behind the last that is wanted.
        let last = fields
            .iter()
            .rposition(|field| !field.outputs.is_empty())
            .map_or(0, |at| at + 1);
        fields.truncate(last);
        fields.retain(|field| field.offset.is_none() || !field.outputs.is_empty());
        let mut missing = Vec::new();
        for (slot, id) in columns.iter().enumerate() {
            let index = table
                .index_of(*id)
                .expect("only columns of the table are asked for");
            let column = &table.columns[index];
            match layout.iter().find(|(stored, _)| stored == id) {
                None => missing.push((slot, column.missing.clone())),
                Some((_, ty)) if widen::widens(*ty, column.ty) => {}
                Some((_, ty)) => {
                    return Err(StorageError::Corrupt(format!(
                        "{ty:?} in a column of {:?}",
                        column.ty
                    )));
                }
            }
        }
        Ok(Decoder {
            bitmap,
            fixed: offset,
            fields,
            missing,
        })
    }

    fn decode<'a>(
        &'a self,
        row: &'a [u8],
        put: &mut impl FnMut(usize, DatumRef<'a>),
    ) -> Result<(), StorageError> {
        if row.len() < self.fixed {
            return Err(corrupt("a short row"));
        }
        let nulls = &row[..self.bitmap];
        let mut rest = &row[self.fixed..];
        for field in &self.fields {
            let null = nulls[field.ordinal / 8] & 1 << (field.ordinal % 8) != 0;
            let value = match field.offset {
                _ if null => DatumRef::Null,
                Some(at) => fixed_value(field.ty, &row[at..])?,
                None => {
                    let bytes = take_bytes(&mut rest)?;
                    if field.outputs.is_empty() {
                        continue;
                    }
                    varying_value(field.ty, bytes)?
                }
            };
            let value = field.widened.map_or(value, |ty| widen::value(value, ty));
            for slot in &field.outputs {
                put(*slot, value);
            }
        }
        for (slot, value) in &self.missing {
            put(*slot, value.as_ref());
        }
        Ok(())
    }
}

fn fixed_value(ty: ColumnType, bytes: &[u8]) -> Result<DatumRef<'_>, StorageError> {
    fn chunk<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], StorageError> {
        bytes
            .first_chunk::<N>()
            .ok_or_else(|| corrupt("a short row"))
    }
    Ok(match ty {
        ColumnType::Int2 => DatumRef::Int2(i16::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Int4 => DatumRef::Int4(i32::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Int8 => DatumRef::Int8(i64::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Float4 => DatumRef::Float4(f32::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Float8 => DatumRef::Float8(f64::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Bool => DatumRef::Bool(chunk::<1>(bytes)?[0] != 0),
        ColumnType::Uuid => DatumRef::Uuid(chunk(bytes)?),
        ColumnType::Date => DatumRef::Date(i32::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Timestamp(_) => DatumRef::Timestamp(i64::from_le_bytes(*chunk(bytes)?)),
        ColumnType::TimestampTz(_) => DatumRef::TimestampTz(i64::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Time(_) => DatumRef::Time(i64::from_le_bytes(*chunk(bytes)?)),
        ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_) => {
            DatumRef::Int8(u32::from_le_bytes(*chunk(bytes)?).into())
        }
        ColumnType::TimeTz(_) => DatumRef::TimeTz(TimeTz::from_bytes(*chunk(bytes)?)),
        ColumnType::Interval(_) => {
            DatumRef::Interval(Interval::from_bytes(chunk::<INTERVAL_BYTES>(bytes)?))
        }
        other => panic!("{other:?} has no fixed width"),
    })
}

fn varying_value(ty: ColumnType, bytes: &[u8]) -> Result<DatumRef<'_>, StorageError> {
    Ok(match ty {
        ColumnType::Bytea => DatumRef::Bytea(bytes),
        ColumnType::Array(element) => {
            read_array(element, bytes, &mut |_| {})?;
            DatumRef::Array(Elements::stored(element, bytes))
        }
        ColumnType::Shaped(element) => {
            let (shape, elements) = match bytes {
                [0, elements @ ..] => (None, elements),
                bytes => {
                    let (shape, rest) = ShapeRef::read(bytes).ok_or_else(|| corrupt("an array"))?;
                    (Some(shape), rest)
                }
            };
            read_array(element, elements, &mut |_| {})?;
            let elements = Elements::stored(element, elements);
            match shape {
                Some(shape) => DatumRef::Shaped(shape, elements),
                None => DatumRef::Array(elements),
            }
        }
        ColumnType::Numeric(None) => {
            DatumRef::Number(NumberRef::read(bytes).ok_or_else(|| corrupt("a numeric"))?)
        }
        ColumnType::Numeric(Some((_, scale))) => {
            let sign = bytes
                .first()
                .map_or(0, |first| if first & 0x80 == 0 { 0 } else { 0xFF });
            let mut whole = [sign; 32];
            let start = whole
                .len()
                .checked_sub(bytes.len())
                .ok_or_else(|| corrupt("a numeric"))?;
            whole[start..].copy_from_slice(bytes);
            let unscaled = i256::from_be_bytes(whole);
            if matches!(ty.arrow(), DataType::Decimal128(..)) && unscaled.to_i128().is_none() {
                return Err(corrupt("a numeric"));
            }
            DatumRef::Numeric(Numeric { unscaled, scale })
        }
        _ => DatumRef::Text(std::str::from_utf8(bytes).map_err(|_| corrupt("text is not UTF-8"))?),
    })
}

/// Reads rows of one table, of any schema version, into the wanted columns.
pub(crate) struct RowReader {
    table: Arc<TableDef>,
    columns: Vec<ColumnId>,
    decoders: Vec<(u32, Decoder)>,
}

impl RowReader {
    /// A reader of these columns, which the table must have.
    pub(crate) fn new(table: Arc<TableDef>, columns: Vec<ColumnId>) -> RowReader {
        RowReader {
            table,
            columns,
            decoders: Vec::new(),
        }
    }

    /// A reader of whole rows.
    pub(crate) fn whole(table: Arc<TableDef>) -> RowReader {
        let columns = table.columns.iter().map(|column| column.id).collect();
        RowReader::new(table, columns)
    }

    /// Calls `put` once for every wanted column, by its place among them, in any order.
    pub(crate) fn read(
        &mut self,
        version: u32,
        row: &[u8],
        mut put: impl FnMut(usize, DatumRef<'_>),
    ) -> Result<(), StorageError> {
        if let Some((_, decoder)) = self.decoders.iter().find(|(of, _)| *of == version) {
            return decoder.decode(row, &mut put);
        }
        let decoder = Decoder::new(&self.table, version, &self.columns)?;
        let result = decoder.decode(row, &mut put);
        self.decoders.push((version, decoder));
        result
    }

    /// The wanted columns as owned values.
    pub(crate) fn row(&mut self, version: u32, row: &[u8]) -> Result<Row, StorageError> {
        let mut out = vec![Datum::Null; self.columns.len()];
        let table = self.table.clone();
        let types: Vec<_> = (self.columns.iter())
            .map(|id| table.index_of(*id).map(|at| table.columns[at].ty))
            .collect();
        self.read(version, row, |slot, value| {
            out[slot] = types[slot].map_or(Datum::Null, |ty| widen::owned(value, ty));
        })?;
        Ok(out)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{column, table};

    fn any_row() -> impl Strategy<Value = Row> {
        let maybe =
            |strategy: BoxedStrategy<Datum>| prop_oneof![1 => Just(Datum::Null), 4 => strategy];
        let numeric = |v: i128| {
            Datum::Number(Number::from(Numeric {
                unscaled: i256::from_i128(v),
                scale: 20,
            }))
        };
        (
            maybe(any::<i16>().prop_map(Datum::Int2).boxed()),
            maybe(any::<f64>().prop_map(Datum::Float8).boxed()),
            maybe(any::<String>().prop_map(Datum::Text).boxed()),
            maybe(any::<i128>().prop_map(numeric).boxed()),
            maybe(any::<bool>().prop_map(Datum::Bool).boxed()),
            maybe(any::<Vec<u8>>().prop_map(Datum::Bytea).boxed()),
            maybe(any::<[u8; 16]>().prop_map(Datum::Uuid).boxed()),
            maybe(any::<i32>().prop_map(Datum::Date).boxed()),
            maybe(any::<i64>().prop_map(Datum::TimestampTz).boxed()),
        )
            .prop_map(|(a, b, c, d, e, f, g, h, i)| vec![a, b, c, d, e, f, g, h, i])
    }

    fn any_table() -> TableDef {
        let types = [
            ColumnType::Int2,
            ColumnType::Float8,
            ColumnType::Text,
            ColumnType::Numeric(None),
            ColumnType::Bool,
            ColumnType::Bytea,
            ColumnType::Uuid,
            ColumnType::Date,
            ColumnType::TimestampTz(None),
        ];
        let columns = types
            .iter()
            .enumerate()
            .map(|(at, ty)| column(at as u16 + 1, &format!("c{at}"), *ty))
            .collect();
        table(1, "t", columns, &[])
    }

    proptest! {
        #[test]
        fn rows_come_back(row in any_row(), old in any_row(), slot in 0_usize..9, last in any::<bool>()) {
            let table = Arc::new(any_table());
            let mut bytes = encode(ChangeOp::Update, &table, &row, Some(&old));
            seal(&mut bytes, Seq::pending(7), last);
            let record = parse(&bytes).unwrap();
            prop_assert_eq!(read_seq(&bytes[2..]).unwrap(), Seq::pending(7));
            prop_assert_eq!(record.ends_transaction, last);
            let before = RowReader::whole(table.clone()).row(1, record.old_row.unwrap()).unwrap();
            prop_assert_eq!(&before, &old);
            prop_assert_eq!(&RowReader::whole(table.clone()).row(1, record.row).unwrap(), &row);
            let one = RowReader::new(table.clone(), vec![table.columns[slot].id]).row(1, record.row).unwrap();
            prop_assert_eq!(&one[0], &row[slot]);
        }

        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>()) {
            let table = Arc::new(any_table());
            if let Ok(record) = parse(&bytes) {
                let _ = RowReader::whole(table.clone()).row(1, record.row);
            }
            let _ = RowReader::whole(table).row(1, &bytes);
        }
    }

    #[test]
    fn old_versions_read_as_the_present_columns() {
        let old = Arc::new(any_table());
        let row: Row = vec![Datum::Null; 9];
        let bytes = encode(ChangeOp::Insert, &old, &row, None);
        let mut new = any_table();
        new.columns.remove(2);
        new.columns.push(column(10, "added", ColumnType::Text));
        new.columns[8].missing = Datum::Text("absent".to_string());
        new.bump_schema_version();
        let read = RowReader::whole(Arc::new(new))
            .row(1, parse(&bytes).unwrap().row)
            .unwrap();
        assert_eq!(read[8], Datum::Text("absent".to_string()));
        assert_eq!(read.len(), 9);

        let mut old = any_table();
        old.columns.truncate(1);
        old.bump_schema_version();
        let bytes = encode(ChangeOp::Insert, &old, &vec![Datum::Int2(-7)], None);
        let mut wide = old.clone();
        wide.columns[0].ty = ColumnType::Int8;
        wide.bump_schema_version();
        let mut reader = RowReader::whole(Arc::new(wide.clone()));
        assert_eq!(
            reader.row(2, parse(&bytes).unwrap().row).unwrap(),
            [Datum::Int8(-7)]
        );
        wide.columns[0].ty = ColumnType::Bool;
        assert!(
            RowReader::whole(Arc::new(wide))
                .row(2, parse(&bytes).unwrap().row)
                .is_err()
        );
    }
}
