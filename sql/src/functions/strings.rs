//! Functions of text and bytea that cut, search and join.

use super::call::dsl::*;
use super::call::out_of_range;

pub(super) const FUNCTIONS: &[Function] = &[
    f("length", &[TEXT], T::Int4, length),
    f("length", &[BYTEA], T::Int4, octet_length),
    f("char_length", &[TEXT], T::Int4, length),
    f("character_length", &[TEXT], T::Int4, length),
    f("octet_length", &[TEXT], T::Int4, octet_length),
    f("octet_length", &[BYTEA], T::Int4, octet_length),
    f("bit_length", &[TEXT], T::Int4, bit_length),
    f("bit_length", &[BYTEA], T::Int4, bit_length),
    f("upper", &[TEXT], T::Text, |_, args| {
        string(text(args[0]).chars().map(upper).collect::<String>())
    }),
    f("lower", &[TEXT], T::Text, |_, args| {
        string(text(args[0]).chars().map(lower).collect::<String>())
    }),
    f("initcap", &[TEXT], T::Text, initcap),
    f("reverse", &[TEXT], T::Text, |_, args| {
        string(text(args[0]).chars().rev().collect::<String>())
    }),
    f("repeat", &[TEXT, INT4], T::Text, repeat),
    f("replace", &[TEXT, TEXT, TEXT], T::Text, replace),
    f("translate", &[TEXT, TEXT, TEXT], T::Text, translate),
    f("lpad", &[TEXT, INT4], T::Text, |_, args| pad(args, true)),
    f("lpad", &[TEXT, INT4, TEXT], T::Text, |_, args| {
        pad(args, true)
    }),
    f("rpad", &[TEXT, INT4], T::Text, |_, args| pad(args, false)),
    f("rpad", &[TEXT, INT4, TEXT], T::Text, |_, args| {
        pad(args, false)
    }),
    f("ltrim", &[TEXT], T::Text, |_, args| trim(args, true, false)),
    f("ltrim", &[TEXT, TEXT], T::Text, |_, args| {
        trim(args, true, false)
    }),
    f("ltrim", &[BYTEA, BYTEA], T::Bytea, |_, args| {
        trim_bytes(args, true, false)
    }),
    f("rtrim", &[TEXT], T::Text, |_, args| trim(args, false, true)),
    f("rtrim", &[TEXT, TEXT], T::Text, |_, args| {
        trim(args, false, true)
    }),
    f("rtrim", &[BYTEA, BYTEA], T::Bytea, |_, args| {
        trim_bytes(args, false, true)
    }),
    f("btrim", &[TEXT], T::Text, |_, args| trim(args, true, true)),
    f("btrim", &[TEXT, TEXT], T::Text, |_, args| {
        trim(args, true, true)
    }),
    f("btrim", &[BYTEA, BYTEA], T::Bytea, |_, args| {
        trim_bytes(args, true, true)
    }),
    f("left", &[TEXT, INT4], T::Text, left),
    f("right", &[TEXT, INT4], T::Text, right),
    f("substr", &[TEXT, INT4], T::Text, substr),
    f("substr", &[TEXT, INT4, INT4], T::Text, substr),
    f("substr", &[BYTEA, INT4], T::Bytea, substr_bytes),
    f("substr", &[BYTEA, INT4, INT4], T::Bytea, substr_bytes),
    f("substring", &[TEXT, INT4], T::Text, substr),
    f("substring", &[TEXT, INT4, INT4], T::Text, substr),
    f("substring", &[BYTEA, INT4], T::Bytea, substr_bytes),
    f("substring", &[BYTEA, INT4, INT4], T::Bytea, substr_bytes),
    f("overlay", &[TEXT, TEXT, INT4], T::Text, overlay),
    f("overlay", &[TEXT, TEXT, INT4, INT4], T::Text, overlay),
    f("overlay", &[BYTEA, BYTEA, INT4], T::Bytea, overlay_bytes),
    f(
        "overlay",
        &[BYTEA, BYTEA, INT4, INT4],
        T::Bytea,
        overlay_bytes,
    ),
    f("position", &[TEXT, TEXT], T::Int4, strpos),
    f("position", &[BYTEA, BYTEA], T::Int4, position_of_bytes),
    f("strpos", &[TEXT, TEXT], T::Int4, strpos),
    f("starts_with", &[TEXT, TEXT], T::Bool, starts_with),
    f("^@", &[TEXT, TEXT], T::Bool, starts_with),
    f("split_part", &[TEXT, TEXT, INT4], T::Text, split_part),
    f("string_to_array", &[TEXT, TEXT], TEXTS, string_to_array).called_on_null(),
    f(
        "string_to_array",
        &[TEXT, TEXT, TEXT],
        TEXTS,
        string_to_array,
    )
    .called_on_null(),
    f("string_to_table", &[TEXT, TEXT], T::Text, string_to_array)
        .called_on_null()
        .set(),
    f(
        "string_to_table",
        &[TEXT, TEXT, TEXT],
        T::Text,
        string_to_array,
    )
    .called_on_null()
    .set(),
    f("ascii", &[TEXT], T::Int4, |_, args| {
        let first = text(args[0]).chars().next();
        Ok(Datum::Int4(first.map_or(0, |c| u32::from(c).cast_signed())))
    }),
    f("chr", &[INT4], T::Text, chr),
    f("to_hex", &[INT4], T::Text, |_, args| match args[0] {
        DatumRef::Int4(value) => string(format!("{value:x}")),
        other => string(format!("{:x}", int(other))),
    }),
    f("to_hex", &[INT8], T::Text, |_, args| {
        string(format!("{:x}", int(args[0])))
    }),
    f("get_byte", &[BYTEA, INT4], T::Int4, get_byte),
    f("set_byte", &[BYTEA, INT4, INT4], T::Bytea, set_byte),
    f("get_bit", &[BYTEA, INT8], T::Int4, get_bit),
    f("set_bit", &[BYTEA, INT8, INT4], T::Bytea, set_bit),
    f("bit_count", &[BYTEA], T::Int8, |_, args| {
        let ones = bytes(args[0])
            .iter()
            .map(|byte| i64::from(byte.count_ones()));
        Ok(Datum::Int8(ones.sum()))
    }),
];

fn count(length: usize) -> Outcome {
    i32::try_from(length)
        .map(Datum::Int4)
        .map_err(|_| out_of_range("integer"))
}

fn length(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    count(text(args[0]).chars().count())
}

fn octet_length(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    count(match args[0] {
        DatumRef::Bytea(value) => value.len(),
        value => text(value).len(),
    })
}

fn bit_length(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    match octet_length(env, args)? {
        Datum::Int4(octets) => octets
            .checked_mul(8)
            .map(Datum::Int4)
            .ok_or_else(|| out_of_range("integer")),
        other => Ok(other),
    }
}

/// One character for each, as in PostgreSQL, and wherever it stands: `ß` has no upper case, a last sigma is as any.
fn upper(c: char) -> char {
    let mut cased = c.to_uppercase();
    match (cased.next(), cased.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn initcap(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let mut out = String::new();
    let mut inside = false;
    for c in text(args[0]).chars() {
        match inside {
            true => out.push(lower(c)),
            false => out.push(upper(c)),
        }
        inside = c.is_alphanumeric();
    }
    string(out)
}

fn too_long() -> SqlError {
    SqlError::new(
        ErrorKind::ProgramLimitExceeded,
        "requested length too large",
    )
}

fn repeat(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, times) = (text(args[0]), usize::try_from(int(args[1])).unwrap_or(0));
    match value.len().checked_mul(times) {
        Some(length) if length <= BYTES_MAX => string(value.repeat(times)),
        _ => Err(too_long()),
    }
}

fn replace(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, from, to) = (text(args[0]), text(args[1]), text(args[2]));
    if from.is_empty() {
        return string(value);
    }
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in value.match_indices(from) {
        append(&mut out, &value[copied..at])?;
        append(&mut out, to)?;
        copied = at + from.len();
    }
    append(&mut out, &value[copied..])?;
    string(out)
}

fn translate(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (from, to) = (text(args[1]), text(args[2]));
    let mapped = |c: char| match from.chars().position(|known| known == c) {
        Some(at) => to.chars().nth(at),
        None => Some(c),
    };
    string(text(args[0]).chars().filter_map(mapped).collect::<String>())
}

fn pad(args: &[DatumRef<'_>], left: bool) -> Outcome {
    let value = text(args[0]);
    let length = usize::try_from(int(args[1])).unwrap_or(0);
    let fill = args.get(2).map_or(" ", |fill| text(*fill));
    if length > BYTES_MAX / 4 {
        return Err(too_long());
    }
    let own = value.chars().count();
    if own >= length {
        return string(value.chars().take(length).collect::<String>());
    }
    let padding: String = fill.chars().cycle().take(length - own).collect();
    match left {
        true => string(format!("{padding}{value}")),
        false => string(format!("{value}{padding}")),
    }
}

fn trim(args: &[DatumRef<'_>], left: bool, right: bool) -> Outcome {
    let mut value = text(args[0]);
    let set: Vec<char> = args
        .get(1)
        .map_or(vec![' '], |set| text(*set).chars().collect());
    if left {
        value = value.trim_start_matches(set.as_slice());
    }
    if right {
        value = value.trim_end_matches(set.as_slice());
    }
    string(value)
}

fn trim_bytes(args: &[DatumRef<'_>], left: bool, right: bool) -> Outcome {
    let (mut value, set) = (bytes(args[0]), bytes(args[1]));
    while let (true, [first, rest @ ..]) = (left, value)
        && set.contains(first)
    {
        value = rest;
    }
    while let (true, [rest @ .., last]) = (right, value)
        && set.contains(last)
    {
        value = rest;
    }
    Ok(Datum::Bytea(value.to_vec()))
}

/// So many characters from the beginning; for a negative number all but so many.
fn head(value: &str, count: i64) -> &str {
    let count = match count < 0 {
        true => (value.chars().count() as i64 + count).max(0),
        false => count,
    };
    let end = value
        .char_indices()
        .nth(usize::try_from(count).unwrap_or(usize::MAX));
    end.map_or(value, |(end, _)| &value[..end])
}

fn left(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    string(head(text(args[0]), int(args[1])))
}

fn right(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, count) = (text(args[0]), int(args[1]));
    string(match count {
        0 => "",
        count => &value[head(value, -count).len()..],
    })
}

/// Where a part begins and ends that is given as in SQL: from 1, and perhaps before it.
fn window(args: &[DatumRef<'_>], length: usize) -> Result<(usize, usize), SqlError> {
    let start = int(args[1]);
    let end = match args.get(2) {
        None => i64::MAX,
        Some(count) if int(*count) < 0 => {
            let message = "negative substring length not allowed";
            return Err(SqlError::new(ErrorKind::SubstringError, message));
        }
        Some(count) => start + int(*count),
    };
    let bound = |at: i64| usize::try_from(at.max(1) - 1).unwrap_or(length).min(length);
    let (start, end) = (bound(start), bound(end));
    Ok((start, end.max(start)))
}

fn substr(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = text(args[0]);
    let (start, end) = window(args, value.chars().count())?;
    string(
        value
            .chars()
            .skip(start)
            .take(end - start)
            .collect::<String>(),
    )
}

fn substr_bytes(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = bytes(args[0]);
    let (start, end) = window(args, value.len())?;
    Ok(Datum::Bytea(value[start..end].to_vec()))
}

/// What stays before and behind the part that is put over.
fn around(args: &[DatumRef<'_>], new: usize, length: usize) -> Result<(usize, usize), SqlError> {
    let start = int(args[2]);
    let count = args.get(3).map_or(new as i64, |count| int(*count));
    if start <= 0 {
        let message = "negative substring length not allowed";
        return Err(SqlError::new(ErrorKind::SubstringError, message));
    }
    let bound = |at: i64| usize::try_from(at.max(1) - 1).unwrap_or(length).min(length);
    let behind = i32::try_from(start + count).map_err(|_| out_of_range("integer"))?;
    Ok((bound(start), bound(behind.into())))
}

fn overlay(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, new) = (text(args[0]), text(args[1]));
    let (before, behind) = around(args, new.chars().count(), value.chars().count())?;
    let mut out: String = value.chars().take(before).collect();
    out.push_str(new);
    out.extend(value.chars().skip(behind));
    string(out)
}

fn overlay_bytes(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, new) = (bytes(args[0]), bytes(args[1]));
    let (before, behind) = around(args, new.len(), value.len())?;
    Ok(Datum::Bytea(
        [&value[..before], new, &value[behind..]].concat(),
    ))
}

fn strpos(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, wanted) = (text(args[0]), text(args[1]));
    count(match value.find(wanted) {
        Some(at) => value[..at].chars().count() + 1,
        None => 0,
    })
}

fn position_of_bytes(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, wanted) = (bytes(args[0]), bytes(args[1]));
    let at = (0..=value.len()).find(|at| value[*at..].starts_with(wanted));
    count(at.map_or(0, |at| at + 1))
}

fn starts_with(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    Ok(Datum::Bool(text(args[0]).starts_with(text(args[1]))))
}

fn split_part(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let (value, delimiter, field) = (text(args[0]), text(args[1]), int(args[2]));
    if field == 0 {
        return Err(refused("field position must not be zero"));
    }
    let fields: Vec<&str> = match delimiter.is_empty() {
        true => vec![value],
        false => value.split(delimiter).collect(),
    };
    let at = match field > 0 {
        true => field - 1,
        false => fields.len() as i64 + field,
    };
    let found = usize::try_from(at)
        .ok()
        .and_then(|at| fields.get(at).copied());
    string(found.unwrap_or_default())
}

fn string_to_array(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let Some(value) = optional(args, 0).map(text) else {
        return Ok(Datum::Null);
    };
    let null = optional(args, 2).map(text);
    let parts: Vec<String> = match optional(args, 1).map(text) {
        _ if value.is_empty() => Vec::new(),
        None => value.chars().map(String::from).collect(),
        Some("") => vec![value.to_string()],
        Some(delimiter) => value.split(delimiter).map(String::from).collect(),
    };
    let datum = |part: String| match null == Some(part.as_str()) {
        true => Datum::Null,
        false => Datum::Text(part),
    };
    Ok(Datum::Array(parts.into_iter().map(datum).collect()))
}

fn chr(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let limit = |message: String| SqlError::new(ErrorKind::ProgramLimitExceeded, message);
    match int(args[0]) {
        0 => Err(limit("null character not permitted".to_string())),
        code if code < 0 => Err(refused("character number must be positive")),
        code => match u32::try_from(code).ok().and_then(char::from_u32) {
            Some(c) => string(c),
            None if code > 0x10_ffff => Err(limit(format!(
                "requested character too large for encoding: {code}"
            ))),
            None => Err(limit(format!(
                "requested character not valid for encoding: {code}"
            ))),
        },
    }
}

fn index_in(index: i64, length: usize) -> Result<usize, SqlError> {
    match usize::try_from(index) {
        Ok(at) if at < length => Ok(at),
        _ => Err(SqlError::new(
            ErrorKind::ArraySubscriptError,
            format!("index {index} out of valid range, 0..{}", length as i64 - 1),
        )),
    }
}

fn get_byte(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = bytes(args[0]);
    let at = index_in(int(args[1]), value.len())?;
    Ok(Datum::Int4(value[at].into()))
}

fn set_byte(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let mut value = bytes(args[0]).to_vec();
    let at = index_in(int(args[1]), value.len())?;
    value[at] = int(args[2]) as u8;
    Ok(Datum::Bytea(value))
}

fn get_bit(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let value = bytes(args[0]);
    let at = index_in(int(args[1]), value.len() * 8)?;
    Ok(Datum::Int4((value[at / 8] >> (at % 8) & 1).into()))
}

fn set_bit(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let mut value = bytes(args[0]).to_vec();
    let at = index_in(int(args[1]), value.len() * 8)?;
    let mask = 1 << (at % 8);
    match int(args[2]) {
        0 => value[at / 8] &= !mask,
        1 => value[at / 8] |= mask,
        _ => return Err(refused("new bit must be 0 or 1")),
    }
    Ok(Datum::Bytea(value))
}
