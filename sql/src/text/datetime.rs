//! Dates and timestamps, in the proleptic Gregorian calendar.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use tidelog_storage::ColumnType;

use super::is_space;
use crate::error::{ErrorKind, SqlError};
use crate::types;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Years that PostgreSQL's timestamps and dates reach; year 0 is 1 BC.
const TIMESTAMP_DAYS_MIN: i64 = -2_440_588;
const DATE_YEAR_MAX: i64 = 5_874_897;

pub(super) fn date(text: &str) -> Result<i32, SqlError> {
    match read(ColumnType::Date, text)? {
        Moment::Infinity => Ok(i32::MAX),
        Moment::MinusInfinity => Ok(i32::MIN),
        Moment::At { days, .. } => match i32::try_from(days) {
            Ok(days) if i64::from(days) >= TIMESTAMP_DAYS_MIN => Ok(days),
            _ => Err(SqlError::new(
                ErrorKind::DatetimeFieldOverflow,
                format!("date out of range: \"{text}\""),
            )),
        },
    }
}

/// Microseconds since 1970; an offset counts for `timestamptz` only.
pub(super) fn timestamp(ty: ColumnType, text: &str) -> Result<i64, SqlError> {
    let (days, micros, offset) = match read(ty, text)? {
        Moment::Infinity => return Ok(i64::MAX),
        Moment::MinusInfinity => return Ok(i64::MIN),
        Moment::At {
            days,
            micros,
            offset,
        } => (days, micros, offset),
    };
    let offset = if ty == ColumnType::TimestampTz {
        offset
    } else {
        0
    };
    let total = days
        .checked_mul(DAY)
        .and_then(|start| start.checked_add(micros)?.checked_sub(offset * SECOND));
    match total {
        Some(total) if (TIMESTAMP_DAYS_MIN * DAY..i64::MAX).contains(&total) => Ok(total),
        _ => Err(SqlError::new(
            ErrorKind::DatetimeFieldOverflow,
            format!("timestamp out of range: \"{text}\""),
        )),
    }
}

pub(super) fn write_date(days: i32, out: &mut String) {
    match days {
        i32::MAX => return out.push_str("infinity"),
        i32::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    if write_day(i64::from(days), out) {
        out.push_str(" BC");
    }
}

pub(super) fn write_timestamp(micros: i64, zone: &str, out: &mut String) {
    match micros {
        i64::MAX => return out.push_str("infinity"),
        i64::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    let bc = write_day(micros.div_euclid(DAY), out);
    let time = micros.rem_euclid(DAY);
    let seconds = time / SECOND;
    out.push(' ');
    two(seconds / 3600, out);
    out.push(':');
    two(seconds / 60 % 60, out);
    out.push(':');
    two(seconds % 60, out);
    let fraction = time % SECOND;
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
    out.push_str(zone);
    if bc {
        out.push_str(" BC");
    }
}

fn two(value: i64, out: &mut String) {
    out.push(char::from(b'0' + (value / 10) as u8));
    out.push(char::from(b'0' + (value % 10) as u8));
}

/// Appends year, month and day; returns whether the year is before Christ.
fn write_day(days: i64, out: &mut String) -> bool {
    let (year, month, day) = civil(days);
    let bc = year <= 0;
    let _ = write!(out, "{:04}-", if bc { 1 - year } else { year });
    two(month, out);
    out.push('-');
    two(day, out);
    bc
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The day since 1970-01-01, by the same source.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

enum Moment {
    Infinity,
    MinusInfinity,
    /// A day, the microseconds into it, and the seconds that its zone is east of UTC.
    At {
        days: i64,
        micros: i64,
        offset: i64,
    },
}

/// What is wrong with a text.
enum Wrong {
    Syntax,
    Field,
    Month,
    Displacement,
    Zone(String),
}

fn read(ty: ColumnType, text: &str) -> Result<Moment, SqlError> {
    let trimmed = text.trim_matches(is_space);
    match trimmed.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return Ok(Moment::Infinity),
        "-infinity" => return Ok(Moment::MinusInfinity),
        "epoch" => {
            return Ok(Moment::At {
                days: 0,
                micros: 0,
                offset: 0,
            });
        }
        "now" => return Ok(now(0, true)),
        "today" => return Ok(now(0, false)),
        "tomorrow" => return Ok(now(1, false)),
        "yesterday" => return Ok(now(-1, false)),
        _ => {}
    }
    read_fields(trimmed).map_err(|wrong| {
        let field = || {
            SqlError::new(
                ErrorKind::DatetimeFieldOverflow,
                format!("date/time field value out of range: \"{text}\""),
            )
        };
        match wrong {
            Wrong::Syntax => {
                let message = format!(
                    "invalid input syntax for type {}: \"{text}\"",
                    types::name(ty)
                );
                SqlError::new(ErrorKind::InvalidDatetimeFormat, message)
            }
            Wrong::Field => field(),
            Wrong::Month => field().hint("Perhaps you need a different \"datestyle\" setting."),
            Wrong::Displacement => SqlError::new(
                ErrorKind::DatetimeFieldOverflow,
                format!("time zone displacement out of range: \"{text}\""),
            ),
            Wrong::Zone(zone) => SqlError::new(
                ErrorKind::InvalidParameterValue,
                format!("time zone \"{zone}\" not recognized"),
            ),
        }
    })
}

fn now(days_later: i64, with_time: bool) -> Moment {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as i64;
    Moment::At {
        days: since / DAY + days_later,
        micros: if with_time { since % DAY } else { 0 },
        offset: 0,
    }
}

/// A text that is read from its beginning.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let end = self
            .0
            .bytes()
            .position(|byte| !accept(byte))
            .unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn digits(&mut self) -> &'a str {
        self.take(|byte| byte.is_ascii_digit())
    }

    fn eat(&mut self, c: char) -> bool {
        match self.0.strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches(is_space);
    }

    fn number(&mut self) -> Result<i64, Wrong> {
        let digits = self.digits();
        if digits.is_empty() {
            return Err(Wrong::Syntax);
        }
        digits.parse().map_err(|_| Wrong::Field)
    }
}

fn read_fields(text: &str) -> Result<Moment, Wrong> {
    let mut cursor = Cursor(text);
    let (mut year, month, day, year_digits) = read_day(&mut cursor)?;
    let (mut micros, mut offset) = (0, 0);
    let before = cursor.0;
    if !cursor.eat('T') && !cursor.eat('t') {
        cursor.spaces();
    }
    if cursor.0.starts_with(|c: char| c.is_ascii_digit()) {
        if before.len() == cursor.0.len() {
            return Err(Wrong::Syntax);
        }
        micros = read_time(&mut cursor)?;
    } else if before.starts_with(['T', 't']) {
        return Err(Wrong::Syntax);
    }
    let (mut bc, mut zoned) = (false, false);
    loop {
        cursor.spaces();
        match cursor.0.bytes().next() {
            None => break,
            Some(b'+' | b'-') if !zoned => {
                offset = read_offset(&mut cursor)?;
                zoned = true;
            }
            Some(byte) if byte.is_ascii_alphabetic() => {
                let word =
                    cursor.take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_'));
                match word.to_ascii_lowercase().as_str() {
                    "bc" => bc = true,
                    "ad" => {}
                    "z" | "utc" | "gmt" | "zulu" | "ut" | "etc/utc" | "etc/gmt" | "universal"
                        if !zoned =>
                    {
                        zoned = true
                    }
                    _ if word.contains('/') => return Err(Wrong::Zone(word.to_ascii_lowercase())),
                    _ => return Err(Wrong::Syntax),
                }
            }
            Some(_) => return Err(Wrong::Syntax),
        }
    }
    // Two digits stand for 1970 to 2069, as in PostgreSQL.
    if year_digits == 2 && !bc {
        year += if year < 70 { 2000 } else { 1900 };
    }
    if year == 0 || year > DATE_YEAR_MAX {
        return Err(Wrong::Field);
    }
    if bc {
        year = 1 - year;
    }
    if !(1..=12).contains(&month) {
        return Err(Wrong::Month);
    }
    if day < 1 || day > month_days(year, month) {
        return Err(Wrong::Field);
    }
    Ok(Moment::At {
        days: day_number(year, month, day),
        micros,
        offset,
    })
}

/// Reads `y-m-d` or `yyyymmdd`: year, month, day and how many digits the year has.
fn read_day(cursor: &mut Cursor<'_>) -> Result<(i64, i64, i64, usize), Wrong> {
    let first = cursor.digits();
    let number = |digits: &str| digits.parse::<i64>().map_err(|_| Wrong::Syntax);
    if first.len() == 8 && !cursor.0.starts_with(['-', '/', '.']) {
        return Ok((
            number(&first[..4])?,
            number(&first[4..6])?,
            number(&first[6..])?,
            4,
        ));
    }
    let separator = match cursor.0.chars().next() {
        Some(c @ ('-' | '/' | '.')) if first.len() >= 3 => c,
        _ => return Err(Wrong::Syntax),
    };
    cursor.eat(separator);
    let month = cursor.number()?;
    if !cursor.eat(separator) {
        return Err(Wrong::Syntax);
    }
    let day = cursor.number()?;
    Ok((
        first.parse().map_err(|_| Wrong::Field)?,
        month,
        day,
        first.len(),
    ))
}

/// Reads `h:m[:s[.f]]` or `hhmmss`, as microseconds of the day.
fn read_time(cursor: &mut Cursor<'_>) -> Result<i64, Wrong> {
    let first = cursor.digits();
    let part = |range: std::ops::Range<usize>| {
        first
            .get(range)
            .and_then(|digits| digits.parse::<i64>().ok())
            .ok_or(Wrong::Syntax)
    };
    let (hour, minute, mut second) = if cursor.eat(':') {
        let hour = first.parse().map_err(|_| Wrong::Field)?;
        let minute = cursor.number()?;
        (
            hour,
            minute,
            if cursor.eat(':') { cursor.number()? } else { 0 },
        )
    } else if first.len() == 6 {
        (part(0..2)?, part(2..4)?, part(4..6)?)
    } else if first.len() == 4 {
        (part(0..2)?, part(2..4)?, 0)
    } else {
        return Err(Wrong::Syntax);
    };
    let mut fraction = 0;
    if cursor.eat('.') {
        let digits = cursor.digits();
        for index in 0..6 {
            fraction = fraction * 10
                + i64::from(digits.as_bytes().get(index).map_or(0, |digit| digit - b'0'));
        }
        fraction += i64::from(digits.as_bytes().get(6).is_some_and(|&digit| digit >= b'5'));
    }
    cursor.spaces();
    let mut hour: i64 = hour;
    if let Some(suffix @ ("am" | "pm")) = cursor.0.get(..2).map(str::to_ascii_lowercase).as_deref()
    {
        if !(1..=12).contains(&hour) {
            return Err(Wrong::Field);
        }
        hour = hour % 12 + if suffix == "pm" { 12 } else { 0 };
        cursor.take(|byte| byte.is_ascii_alphabetic());
    }
    if hour > 24
        || minute > 59
        || second > 60
        || (hour == 24 && (minute, second, fraction) != (0, 0, 0))
    {
        return Err(Wrong::Field);
    }
    second += hour * 3600 + minute * 60;
    Ok(second * SECOND + fraction)
}

/// Reads `±h`, `±hh`, `±hhmm`, `±hh:mm[:ss]`, as seconds east of UTC.
fn read_offset(cursor: &mut Cursor<'_>) -> Result<i64, Wrong> {
    let negative = cursor.eat('-');
    if !negative {
        cursor.eat('+');
    }
    let first = cursor.digits();
    let number = |digits: &str| digits.parse::<i64>().map_err(|_| Wrong::Syntax);
    let (hours, minutes, mut seconds) = if first.len() > 2 {
        let (hours, rest) = first.split_at(if first.len().is_multiple_of(2) { 2 } else { 1 });
        let seconds = rest
            .get(2..)
            .filter(|rest| !rest.is_empty())
            .map_or(Ok(0), number)?;
        (
            number(hours)?,
            number(rest.get(..2).unwrap_or_default())?,
            seconds,
        )
    } else {
        let minutes = if cursor.eat(':') { cursor.number()? } else { 0 };
        let seconds = if cursor.eat(':') { cursor.number()? } else { 0 };
        (number(first)?, minutes, seconds)
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Wrong::Displacement);
    }
    seconds += hours * 3600 + minutes * 60;
    Ok(if negative { -seconds } else { seconds })
}
