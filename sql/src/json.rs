//! Rows as JSON, as PostgreSQL's `to_jsonb` writes them.

use std::fmt::Write;

use tidelog_storage::{ColumnType, Datum, DatumRef, Elements, TableDef};

use crate::output::OutputColumn;
use crate::text::array::nested;
use crate::text::{self, Style};

/// A row as a jsonb object in canonical text: `{"id": 1, "body": "…"}` in the order of the table's columns.
pub fn row_object(table: &TableDef, row: &[Datum]) -> String {
    let columns = table
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.ty));
    object(columns, row)
}

/// As `row_object`, of a result's row.
pub fn result_object(columns: &[OutputColumn], row: &[Datum]) -> String {
    let columns = columns
        .iter()
        .map(|column| (column.name.as_str(), column.ty));
    object(columns, row)
}

fn object<'a>(columns: impl Iterator<Item = (&'a str, ColumnType)>, row: &[Datum]) -> String {
    let mut out = String::from("{");
    for (n, ((name, ty), value)) in columns.zip(row).enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        write_string(name, &mut out);
        out.push_str(": ");
        write_value(value.as_ref(), ty, Style::default(), ", ", &mut out);
    }
    out.push('}');
    out
}

/// Appends a value as PostgreSQL's `to_json` writes it, with `comma` between an array's elements.
pub(crate) fn write_value(
    value: DatumRef<'_>,
    ty: ColumnType,
    style: Style,
    comma: &str,
    out: &mut String,
) {
    let shown = |value| {
        let mut shown = String::new();
        text::write(value, ty, style, &mut shown);
        shown
    };
    match value {
        DatumRef::Null => out.push_str("null"),
        DatumRef::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        // PostgreSQL does not count these among the numbers.
        DatumRef::Int8(_) if is_oid(ty) => {
            write_string(&shown(value), out);
        }
        DatumRef::Number(number) if number.is_special() => write_string(&shown(value), out),
        DatumRef::Int2(_)
        | DatumRef::Int4(_)
        | DatumRef::Int8(_)
        | DatumRef::Numeric(_)
        | DatumRef::Number(_) => {
            out.push_str(&shown(value));
        }
        DatumRef::Float4(number) if number.is_finite() => out.push_str(&shown(value)),
        DatumRef::Float8(number) if number.is_finite() => out.push_str(&shown(value)),
        DatumRef::Text(json) if matches!(ty, ColumnType::Json | ColumnType::Jsonb) => {
            out.push_str(json);
        }
        DatumRef::Text(_) => write_string(&shown(value), out),
        DatumRef::Array(_) | DatumRef::Shaped(..) => {
            let element = ty.elements().map_or(ty, ColumnType::from);
            write_elements(value, comma, out, |value, out| {
                write_value(value, element, style, comma, out);
            });
        }
        DatumRef::Timestamp(_) | DatumRef::TimestampTz(_) => {
            write_string(&moment(value, ty, style), out);
        }
        DatumRef::Float4(_)
        | DatumRef::Float8(_)
        | DatumRef::Bytea(_)
        | DatumRef::Uuid(_)
        | DatumRef::Date(_)
        | DatumRef::Time(_)
        | DatumRef::TimeTz(_)
        | DatumRef::Interval(_) => {
            write_string(&shown(value), out);
        }
    }
}

/// A timestamp as JSON has it: `2024-01-01T00:00:00+00:00`.
fn moment(value: DatumRef<'_>, ty: ColumnType, style: Style) -> String {
    let mut shown = String::new();
    text::write(value, ty, style, &mut shown);
    let mut iso = shown.replacen(' ', "T", 1);
    // PostgreSQL writes the offset with minutes.
    let tail = iso.len().saturating_sub(3);
    if matches!(value, DatumRef::TimestampTz(_)) && iso[tail..].starts_with(['+', '-']) {
        iso.push_str(":00");
    }
    iso
}

/// A value as the key of an object.
pub(crate) fn key(value: DatumRef<'_>, ty: ColumnType, style: Style) -> String {
    match value {
        // As a cast to text has it.
        DatumRef::Bool(value) => value.to_string(),
        DatumRef::Timestamp(_) | DatumRef::TimestampTz(_) => moment(value, ty, style),
        value => {
            let mut shown = String::new();
            text::write(value, ty, style, &mut shown);
            shown
        }
    }
}

/// Appends an array as PostgreSQL's `to_json` writes it with line feeds: between what its first dimension has.
pub(crate) fn write_lines(array: DatumRef<'_>, ty: ColumnType, style: Style, out: &mut String) {
    let dimensions = array.dimensions();
    let (Some(elements), Some((_, inner))) = (array.elements(), dimensions.split_first()) else {
        return write_value(array, ty, style, ",", out);
    };
    let element = ty.elements().map_or(ty, ColumnType::from);
    let values = elements.to_vec();
    let span = inner.iter().map(|of| of.length as usize).product();
    out.push('[');
    for (at, part) in values.chunks(span).enumerate() {
        if at > 0 {
            out.push_str(",\n ");
        }
        let part = Elements::owned(part);
        nested(inner, part, out, ["[", "]"], ",", |value, out| {
            write_value(value, element, style, ",", out);
        });
    }
    out.push(']');
}

/// Appends an array, of arrays where it has several dimensions.
fn write_elements(
    array: DatumRef<'_>,
    comma: &str,
    out: &mut String,
    write: impl FnMut(DatumRef<'_>, &mut String),
) {
    match array.elements().filter(|elements| !elements.is_empty()) {
        Some(elements) => nested(&array.dimensions(), elements, out, ["[", "]"], comma, write),
        None => out.push_str("[]"),
    }
}

fn is_oid(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_)
    )
}

/// Appends a value as `to_jsonb` writes it, but bigint and numeric as strings, also in arrays: most readers of JSON take
/// numbers for doubles, which do not hold them.
pub fn write_exact(value: DatumRef<'_>, ty: ColumnType, out: &mut String) {
    match value {
        DatumRef::Int8(_) if ty == ColumnType::Oid => {
            text::write(value, ty, Style::default(), out);
        }
        DatumRef::Int8(_) | DatumRef::Numeric(_) | DatumRef::Number(_) if !is_oid(ty) => {
            out.push('"');
            text::write(value, ty, Style::default(), out);
            out.push('"');
        }
        DatumRef::Array(_) | DatumRef::Shaped(..) => {
            let element = ty.elements().map_or(ty, ColumnType::from);
            write_elements(value, ", ", out, |value, out| {
                write_exact(value, element, out)
            });
        }
        value => write_value(value, ty, Style::default(), ", ", out),
    }
}

/// Appends a JSON string; only what JSON demands is escaped.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_json_demands() {
        let mut out = String::new();
        write_string("a\"b\\c\n\u{1}é\u{7f}", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001é\u{7f}\"");
        assert_eq!(
            serde_json::from_str::<String>(&out).unwrap(),
            "a\"b\\c\n\u{1}é\u{7f}"
        );
    }
}
