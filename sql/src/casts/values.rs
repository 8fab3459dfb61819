//! What casts make of values, one type at a time.

use super::*;

/// The array, with what the type keeps of its values.
pub(super) fn kept(array: &ArrayRef, ty: ColumnType) -> Result<ArrayRef> {
    if !precision::is_limited(ty) {
        return elements_as(array, ty);
    }
    let mut builder = ColumnBuilder::new(ty);
    for row in 0..array.len() {
        let value = output::value(array, row).map_err(external)?.to_owned();
        builder.append(precision::kept(value, ty).map_err(external)?.as_ref());
    }
    Ok(builder.finish())
}

/// The beginning of a text that a type holds.
pub(super) fn cut(ty: ColumnType, text: &str) -> Datum {
    let beginning = |length: u32| {
        let end = text.char_indices().nth(length as usize);
        end.map_or(text, |(end, _)| &text[..end])
    };
    Datum::Text(match ty {
        ColumnType::Varchar(Some(length)) => beginning(length).to_string(),
        ColumnType::Bpchar(Some(length)) => beginning(length).trim_end_matches(' ').to_string(),
        ColumnType::Char => text::character::parse(text),
        ColumnType::Name => text::parse(ty, text)
            .ok()
            .and_then(|name| match name {
                Datum::Text(name) => Some(name),
                _ => None,
            })
            .unwrap_or_default(),
        _ => text.to_string(),
    })
}

/// The "char" of a code, which is written as a number.
pub(super) fn character(code: &str) -> std::result::Result<Datum, SqlError> {
    match code.parse::<i8>() {
        Ok(code) => Ok(Datum::Text(text::character::of_byte(code.cast_unsigned()))),
        Err(_) => {
            let message = "\"char\" out of range";
            Err(SqlError::new(ErrorKind::NumericValueOutOfRange, message))
        }
    }
}

pub(super) fn from_json(ty: ColumnType, json: &str) -> std::result::Result<Datum, SqlError> {
    let kind = match json.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "numeric",
    };
    if kind == "boolean" && ty == ColumnType::Bool || kind == "numeric" && ty != ColumnType::Bool {
        if is_integer(ty) {
            let number = text::parse(ColumnType::Numeric(None), json)?;
            return crate::row::assign(number, ColumnType::Numeric(None), ty, "", Style::default());
        }
        return text::parse(ty, json);
    }
    let message = format!("cannot cast jsonb {kind} to type {}", types::bare_name(ty));
    Err(SqlError::new(ErrorKind::InvalidParameterValue, message))
}

/// A time, moment or interval as one of the others.
pub(super) fn clock(
    value: DatumRef<'_>,
    to: ColumnType,
    style: Style,
) -> std::result::Result<Datum, SqlError> {
    const SECOND: i64 = 1_000_000;
    const DAY: i64 = 86_400 * SECOND;
    Ok(match (value, to) {
        (DatumRef::TimestampTz(i64::MIN | i64::MAX), _) => Datum::Null,
        (DatumRef::TimestampTz(at), ColumnType::TimeTz(_)) => {
            let east = style.zone.offset_at(at);
            Datum::TimeTz(TimeTz {
                micros: (at + east * SECOND).rem_euclid(DAY),
                west: -(east as i32),
            })
        }
        (DatumRef::TimeTz(at), ColumnType::Time(_)) => Datum::Time(at.micros),
        (DatumRef::Interval(value), ColumnType::Time(_)) => {
            Datum::Time(value.micros.rem_euclid(DAY))
        }
        (value, to) => functions::call::converted(value, to, style)?.to_owned(),
    })
}

/// Floats to the nearest even integer, numerics half away from zero; `from` says what the array's type leaves open.
pub(super) fn round(
    array: &ArrayRef,
    from: Option<ColumnType>,
    ty: ColumnType,
) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty);
    for row in 0..array.len() {
        let value = output::value(array, row).map_err(external)?.to_owned();
        let from = from.unwrap_or(match &value {
            Datum::Int2(_) => ColumnType::Int2,
            Datum::Float4(_) => ColumnType::Float4,
            Datum::Float8(_) => ColumnType::Float8,
            Datum::Int4(_) => ColumnType::Int4,
            Datum::Int8(_) => ColumnType::Int8,
            _ => ColumnType::Numeric(None),
        });
        let rounded = crate::row::assign(value, from, ty, "", Style::default());
        builder.append(rounded.map_err(external)?.as_ref());
    }
    Ok(builder.finish())
}

/// Fractions as reals; 22003 for what is none.
pub(super) fn narrow(array: &ArrayRef, from: ColumnType) -> Result<ArrayRef> {
    let wide = match from {
        ColumnType::Numeric(_) => numbers(array, ColumnType::Float8)?,
        _ => arrow::compute::cast(array, &DataType::Float64)?,
    };
    let wide = wide.as_primitive::<Float64Type>();
    #[allow(clippy::cast_possible_truncation)] // What is out of range is refused.
    let reals: Float32Array = match from {
        ColumnType::Numeric(_) => {
            let nearest = numbers(array, ColumnType::Float4)?;
            nearest.as_primitive::<Float32Type>().clone()
        }
        _ => wide.unary(|value| value as f32),
    };
    for (row, (real, value)) in reals.values().iter().zip(wide.values()).enumerate() {
        let overflows = real.is_infinite() && value.is_finite();
        let vanishes = *real == 0.0 && *value != 0.0;
        if !(overflows || vanishes) || wide.is_null(row) {
            continue;
        }
        let message = match from {
            ColumnType::Numeric(_) => {
                let mut written = String::new();
                if let Some(number) = datum_at(array, row) {
                    text::write(number, from, Style::default(), &mut written);
                }
                format!("\"{written}\" is out of range for type real")
            }
            _ if overflows => "value out of range: overflow".to_string(),
            _ => "value out of range: underflow".to_string(),
        };
        let error = SqlError::new(ErrorKind::NumericValueOutOfRange, message);
        return Err(external(error));
    }
    Ok(Arc::new(reals))
}

/// Numbers as others, exact ones digit by digit.
pub(super) fn numbers(array: &ArrayRef, ty: ColumnType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty);
    for row in 0..array.len() {
        let value = output::value(array, row).map_err(external)?;
        let value = match (value, ty) {
            (DatumRef::Null, _) => Datum::Null,
            (value, ColumnType::Numeric(Some(_))) => {
                let plain = ColumnType::Numeric(None);
                let assigned =
                    crate::row::assign(value.to_owned(), plain, ty, "", Style::default());
                assigned.map_err(external)?
            }
            (value, ty) => {
                let made = functions::call::converted(value, ty, Style::default());
                made.map_err(external)?.to_owned()
            }
        };
        if matches!(value, Datum::Float8(value) if value.is_infinite())
            && !matches!(output::value(array, row), Ok(DatumRef::Number(n)) if n.is_special())
        {
            let mut written = String::new();
            if let Some(number) = datum_at(array, row) {
                let from = ColumnType::Numeric(None);
                text::write(number, from, Style::default(), &mut written);
            }
            let message = format!("\"{written}\" is out of range for type double precision");
            let error = SqlError::new(ErrorKind::NumericValueOutOfRange, message);
            return Err(external(error));
        }
        builder.append(value.as_ref());
    }
    Ok(builder.finish())
}

/// Floats as numerics.
pub(super) fn digits(array: &ArrayRef, ty: ColumnType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty);
    for row in 0..array.len() {
        let value = datum_at(array, row).unwrap_or(DatumRef::Null);
        match text::certain_digits(value) {
            None => builder.append(DatumRef::Null),
            Some(digits) => {
                let number = text::parse(ty, &digits).map_err(external)?;
                builder.append(number.as_ref());
            }
        }
    }
    Ok(builder.finish())
}

/// Dates and timestamps as each other, as the zone's clocks show them, or as times, of which an infinite one has none.
pub(super) fn moments(
    array: &ArrayRef,
    from: ColumnType,
    to: ColumnType,
    style: Style,
) -> Result<ArrayRef> {
    const DAY: i64 = 86_400_000_000;
    let zone = style.zone;
    let wrong = |error: SqlError| ArrowError::ExternalError(Box::new(error));
    // now() has nanoseconds.
    let array = output::conform(array, from).map_err(external)?;
    let local: TimestampMicrosecondArray = match from {
        ColumnType::Date => array
            .as_primitive::<Date32Type>()
            .try_unary(|days| datetime::midnight(days).map_err(wrong))?,
        ColumnType::TimestampTz(_) => {
            let at = array.as_primitive::<TimestampMicrosecondType>();
            at.try_unary(|at| datetime::local_of(at, zone).map_err(wrong))?
        }
        _ => array.as_primitive::<TimestampMicrosecondType>().clone(),
    };
    Ok(match to {
        ColumnType::Timestamp(_) => Arc::new(local.with_timezone_opt::<&str>(None)),
        ColumnType::TimestampTz(_) => {
            let at: TimestampMicrosecondArray =
                local.try_unary(|local| datetime::moment_of(local, zone).map_err(wrong))?;
            Arc::new(at.with_timezone("UTC"))
        }
        ColumnType::Date => {
            let days: Date32Array = local.try_unary(|local| match local {
                i64::MAX => Ok(i32::MAX),
                i64::MIN => Ok(i32::MIN),
                // There are fewer days in timestamps than dates.
                local => Ok::<_, ArrowError>(local.div_euclid(DAY) as i32),
            })?;
            Arc::new(days)
        }
        _ => {
            let times: Time64MicrosecondArray = local.unary_opt(|local| {
                let is_infinite = matches!(local, i64::MIN | i64::MAX);
                (!is_infinite).then(|| local.rem_euclid(DAY))
            });
            Arc::new(times)
        }
    })
}
