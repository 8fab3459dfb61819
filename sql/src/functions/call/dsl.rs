//! Short names for tables of functions, and what their functions read arguments with.

use tidelog_storage::{ColumnType, ElementType};

pub(crate) use super::{Env, Function, Param};
pub(crate) use crate::error::{ErrorKind, SqlError};
pub(crate) use crate::functions::decimal::Decimal;
pub(crate) use crate::text::number::overflow;
pub(crate) use tidelog_storage::{ColumnType as T, Datum, DatumRef};

pub(crate) type Outcome = Result<Datum, SqlError>;

pub(crate) fn text(value: DatumRef<'_>) -> &str {
    match value {
        DatumRef::Text(value) => value,
        other => unreachable!("{other:?} is no text: its parameter is"),
    }
}

pub(crate) fn bytes(value: DatumRef<'_>) -> &[u8] {
    match value {
        DatumRef::Bytea(value) => value,
        other => unreachable!("{other:?} is no bytea: its parameter is"),
    }
}

pub(crate) fn int(value: DatumRef<'_>) -> i64 {
    match value {
        DatumRef::Int2(value) => value.into(),
        DatumRef::Int4(value) => value.into(),
        DatumRef::Int8(value) => value,
        other => unreachable!("{other:?} is no integer: its parameter is"),
    }
}

pub(crate) fn float(value: DatumRef<'_>) -> f64 {
    match value {
        DatumRef::Float4(value) => value.into(),
        DatumRef::Float8(value) => value,
        other => unreachable!("{other:?} is no float: its parameter is"),
    }
}

/// A numeric, which is finite: others do not come to a function of numerics (`special`).
pub(crate) fn decimal(value: DatumRef<'_>) -> Decimal {
    match value {
        DatumRef::Numeric(value) => Decimal::from(value),
        DatumRef::Number(value) => Decimal::of_number(value).unwrap_or_default(),
        other => unreachable!("{other:?} is no numeric: its parameter is"),
    }
}

/// A numeric result.
pub(crate) fn number(value: &Decimal) -> Outcome {
    let number = value.number().map(Datum::Number);
    number.ok_or_else(overflow)
}

/// An argument, if it was given and is not NULL.
pub(crate) fn optional<'a>(args: &[DatumRef<'a>], at: usize) -> Option<DatumRef<'a>> {
    args.get(at)
        .copied()
        .filter(|value| *value != DatumRef::Null)
}

pub(crate) fn string(value: impl Into<String>) -> Outcome {
    Ok(Datum::Text(value.into()))
}

/// PostgreSQL's limit of a value's bytes.
pub(crate) const BYTES_MAX: usize = 0x3fff_ffff;

/// Nothing where a text of so many bytes may become so many longer.
pub(crate) fn may_grow(bytes: usize, more: usize) -> Result<(), SqlError> {
    if bytes.saturating_add(more) < BYTES_MAX {
        return Ok(());
    }
    let detail =
        format!("Cannot enlarge string buffer containing {bytes} bytes by {more} more bytes.");
    Err(SqlError::new(ErrorKind::ProgramLimitExceeded, "out of memory").detail(detail))
}

/// Makes a text longer.
pub(crate) fn append(text: &mut String, more: &str) -> Result<(), SqlError> {
    may_grow(text.len(), more.len())?;
    text.push_str(more);
    Ok(())
}

/// The text of these parts.
pub(crate) fn joined(parts: impl IntoIterator<Item = impl AsRef<str>>) -> Outcome {
    let mut text = String::new();
    for part in parts {
        append(&mut text, part.as_ref())?;
    }
    string(text)
}

pub(crate) fn refused(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

pub(crate) const ANY: Param = Param::Any;
pub(crate) const TEXT: Param = Param::Of(T::Text);
pub(crate) const INT4: Param = Param::Of(T::Int4);
pub(crate) const INT8: Param = Param::Of(T::Int8);
pub(crate) const INT2: Param = Param::Of(T::Int2);
pub(crate) const FLOAT4: Param = Param::Of(T::Float4);
pub(crate) const FLOAT8: Param = Param::Of(T::Float8);
pub(crate) const NUMERIC: Param = Param::Of(T::Numeric(None));
pub(crate) const BYTEA: Param = Param::Of(T::Bytea);
pub(crate) const DATE: Param = Param::Of(T::Date);
pub(crate) const TIME: Param = Param::Of(T::Time(None));
pub(crate) const TIMETZ: Param = Param::Of(T::TimeTz(None));
pub(crate) const TIMESTAMP: Param = Param::Of(T::Timestamp(None));
pub(crate) const TIMESTAMPTZ: Param = Param::Of(T::TimestampTz(None));
pub(crate) const INTERVAL: Param = Param::Of(T::Interval(None));
pub(crate) const TEXTS: ColumnType = T::Array(ElementType::Text);
pub(crate) const DECIMAL: ColumnType = T::Numeric(None);

pub(crate) const fn f(
    name: &'static str,
    params: &'static [Param],
    result: ColumnType,
    eval: super::Eval,
) -> Function {
    Function::new(name, params, result, eval)
}
