//! Dates as people write them: names of months, days of the week, the parts in many orders. Where an order must be guessed
//! it is month, day, year (DateStyle `ISO, MDY`). After ParseDateTime and DecodeDateTime in PostgreSQL's datetime.c.

use super::{
    Cursor, DAY, JULIAN_1970, Moment, Wrong, Zone, checked_day, is_space, read_offset, read_time,
};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEK_DAYS: [&str; 18] = [
    "sunday",
    "sun",
    "monday",
    "mon",
    "tuesday",
    "tue",
    "tues",
    "wednesday",
    "wed",
    "weds",
    "thursday",
    "thu",
    "thur",
    "thurs",
    "friday",
    "fri",
    "saturday",
    "sat",
];

/// The number of a month by its name or its first letters.
fn month(word: &str) -> Option<i64> {
    let is = |name: &&str| {
        word == *name || word == &name[..3] || word == "sept" && name.starts_with(word)
    };
    let at = MONTHS.iter().position(is)?;
    i64::try_from(at + 1).ok()
}

/// What was read so far.
#[derive(Default)]
struct Parts {
    /// The year and how many digits it has.
    year: Option<(i64, usize)>,
    month: Option<i64>,
    /// Whether the month was a name.
    named: bool,
    day: Option<i64>,
    /// A day by its number alone.
    number: Option<i64>,
    micros: Option<i64>,
    offset: Option<i64>,
    zone: Option<Zone>,
    bc: bool,
}

impl Parts {
    fn has_date(&self) -> bool {
        self.month.is_some() && self.day.is_some() && self.year.is_some()
    }

    /// Whether a zone may follow.
    fn may_have_zone(&self) -> bool {
        let has_moment = self.micros.is_some() || self.has_date() || self.number.is_some();
        has_moment && self.offset.is_none() && self.zone.is_none()
    }
}

pub(super) fn read(text: &str) -> Result<Moment, Wrong> {
    let mut parts = Parts::default();
    let mut cursor = Cursor(text);
    loop {
        cursor.take(|byte| is_space(char::from(byte)) || byte == b',');
        let Some(first) = cursor.0.bytes().next() else {
            break;
        };
        match first {
            b'0'..=b'9' => number(&mut cursor, &mut parts)?,
            b'+' | b'-' if parts.may_have_zone() => {
                parts.offset = Some(read_offset(&mut cursor)?);
            }
            byte if byte.is_ascii_alphabetic() => word(&mut cursor, &mut parts)?,
            _ => return Err(Wrong::Syntax),
        }
    }
    let days = match (parts.number, parts.year, parts.month, parts.day) {
        (Some(days), None, None, None) => days,
        (None, Some(year), Some(month), Some(day)) => checked_day(year, month, day, parts.bc)?,
        _ => return Err(Wrong::Syntax),
    };
    let micros = parts.micros.unwrap_or(0);
    let local = days.saturating_mul(DAY).saturating_add(micros);
    let named = parts.zone.map(|zone| zone.offset_of_local(local));
    Ok(Moment::At {
        days,
        micros,
        offset: parts.offset.or(named),
    })
}

/// A time, a date in one piece, or one part of a date.
fn number(cursor: &mut Cursor<'_>, parts: &mut Parts) -> Result<(), Wrong> {
    let rest = cursor.0;
    let digits = cursor.digits();
    match cursor.0.bytes().next() {
        Some(b':') => {
            cursor.0 = rest;
            return time(cursor, parts);
        }
        Some(separator @ (b'-' | b'/' | b'.')) => {
            cursor.0 = rest;
            let date = cursor.take(|byte| byte.is_ascii_alphanumeric() || byte == separator);
            return date_of(date, char::from(separator), parts);
        }
        Some(byte) if byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b't') => {
            return Err(Wrong::Syntax);
        }
        _ => {}
    }
    match digits.len() {
        4 | 6 if parts.has_date() && parts.micros.is_none() => {
            cursor.0 = rest;
            time(cursor, parts)
        }
        8 | 6 if parts.year.is_none() && parts.month.is_none() && parts.day.is_none() => {
            let (year, rest) = digits.split_at(digits.len() - 4);
            let (month, day) = rest.split_at(2);
            parts.year = Some((value(year)?, year.len()));
            parts.month = Some(value(month)?);
            parts.day = Some(value(day)?);
            Ok(())
        }
        _ => part(digits, parts),
    }
}

fn value(digits: &str) -> Result<i64, Wrong> {
    digits.parse().map_err(|_| Wrong::Field)
}

fn time(cursor: &mut Cursor<'_>, parts: &mut Parts) -> Result<(), Wrong> {
    if parts.micros.is_some() {
        return Err(Wrong::Syntax);
    }
    parts.micros = Some(read_time(cursor)?);
    Ok(())
}

/// A number that is the year, the month or the day, after DecodeNumber.
fn part(digits: &str, parts: &mut Parts) -> Result<(), Wrong> {
    let number = value(digits)?;
    let long = digits.len() >= 3;
    match (parts.year, parts.month, parts.day) {
        (None, None, None) if long => parts.year = Some((number, digits.len())),
        (None, None, None) | (Some(_), None, None) | (None, None, Some(_)) => {
            parts.month = Some(number);
        }
        (None, Some(_), None) if parts.named && long => parts.year = Some((number, digits.len())),
        (Some((year, count)), Some(_), None) if parts.named && long && count <= 2 => {
            // What was taken for the year is the day.
            parts.day = Some(year);
            parts.year = Some((number, digits.len()));
        }
        (_, Some(_), None) => parts.day = Some(number),
        (None, Some(_), Some(_)) => parts.year = Some((number, digits.len())),
        _ => return Err(Wrong::Syntax),
    }
    Ok(())
}

/// `5-Jan-2026`, `1/5/2026`, `2026.005`.
fn date_of(date: &str, separator: char, parts: &mut Parts) -> Result<(), Wrong> {
    let fields: Vec<&str> = date.split(separator).collect();
    if parts.year.is_some() || parts.month.is_some() || parts.day.is_some() {
        return Err(Wrong::Syntax);
    }
    // A year and the number of a day in it.
    if let ([year, day], '.' | '-') = (fields.as_slice(), separator)
        && year.len() >= 4
        && day.len() == 3
    {
        parts.year = Some((value(year)?, year.len()));
        let start = checked_day((value(year)?, year.len()), 1, 1, false)?;
        let day = value(day)?;
        // Day 366 of a year that has none is the first of the next.
        if !(1..=366).contains(&day) {
            return Err(Wrong::Syntax);
        }
        parts.year = None;
        parts.number = Some(start + day - 1);
        return Ok(());
    }
    if fields.len() != 3 {
        return Err(Wrong::Syntax);
    }
    let is_number = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit());
    for field in fields.iter().filter(|field| !is_number(field)) {
        if parts.month.is_some() {
            return Err(Wrong::Syntax);
        }
        parts.month = Some(month(&field.to_ascii_lowercase()).ok_or(Wrong::Syntax)?);
        parts.named = true;
    }
    for field in fields.into_iter().filter(|field| is_number(field)) {
        if field.is_empty() {
            return Err(Wrong::Syntax);
        }
        part(field, parts)?;
    }
    Ok(())
}

/// A month, a day of the week, a zone or a mark.
fn word(cursor: &mut Cursor<'_>, parts: &mut Parts) -> Result<(), Wrong> {
    let rest = cursor.0;
    let letters = cursor.take(|byte| byte.is_ascii_alphabetic());
    let folded = letters.to_ascii_lowercase();
    if let Some(number) = month(&folded) {
        if parts.named {
            return Err(Wrong::Syntax);
        }
        if let Some(separator @ (b'-' | b'/' | b'.')) = cursor.0.bytes().next() {
            cursor.0 = rest;
            let date = cursor.take(|byte| byte.is_ascii_alphanumeric() || byte == separator);
            return date_of(date, char::from(separator), parts);
        }
        // A number before it was no month.
        if let Some(day) = parts.month.take() {
            parts.day = Some(day);
        }
        parts.month = Some(number);
        parts.named = true;
        return Ok(());
    }
    match folded.as_str() {
        "at" | "on" | "ad" => return Ok(()),
        "bc" => {
            parts.bc = true;
            return Ok(());
        }
        "t" if cursor.0.starts_with(|c: char| c.is_ascii_digit()) => return time(cursor, parts),
        "j" | "jd" | "julian" if parts.number.is_none() => {
            let day = cursor.number()?;
            parts.number = Some(day - JULIAN_1970);
            return Ok(());
        }
        day if WEEK_DAYS.contains(&day) => {
            cursor.eat('.');
            return Ok(());
        }
        _ => {}
    }
    cursor.0 = rest;
    let name = cursor
        .take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
    match Zone::named(name) {
        Some(zone) if parts.may_have_zone() => {
            parts.zone = Some(zone);
            Ok(())
        }
        _ => Err(Wrong::Syntax),
    }
}
