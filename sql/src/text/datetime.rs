//! Dates and timestamps, in the proleptic Gregorian calendar.

mod loose;

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use tidelog_storage::{ColumnType, TimeTz};

use super::zone::Zone;
use super::{Style, is_space};
use crate::error::{ErrorKind, SqlError};
use crate::precision::plain;
use crate::types;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Years that PostgreSQL's timestamps and dates reach; year 0 is 1 BC.
const TIMESTAMP_DAYS_MIN: i64 = -2_440_588;
const DATE_YEAR_MAX: i64 = 5_874_897;

/// The last day of the year 5874897, from 1970 on.
const DATE_DAYS_MAX: i32 = 2_145_042_905;

/// Whether a date may be so many days from 1970.
pub fn is_date(days: i32) -> bool {
    (TIMESTAMP_DAYS_MIN..=DATE_DAYS_MAX.into()).contains(&days.into())
}

/// Whether a timestamp that is not infinite may be so many microseconds from 1970.
pub fn is_timestamp(micros: i64) -> bool {
    (TIMESTAMP_DAYS_MIN * DAY..i64::MAX).contains(&micros)
}

/// When a date begins, in microseconds from 1970; 22008 where timestamps do not reach.
pub(crate) fn midnight(days: i32) -> Result<i64, SqlError> {
    let at = match days {
        i32::MAX => return Ok(i64::MAX),
        i32::MIN => return Ok(i64::MIN),
        days => i64::from(days).checked_mul(DAY),
    };
    at.filter(|at| is_timestamp(*at)).ok_or_else(|| {
        let message = "date out of range for timestamp";
        SqlError::new(ErrorKind::DatetimeFieldOverflow, message)
    })
}

/// A timestamp that was calculated; 22008 for `None`, and where none can be.
pub(crate) fn in_range(at: Option<i64>) -> Result<i64, SqlError> {
    let is_one = |at: &i64| matches!(*at, i64::MIN | i64::MAX) || is_timestamp(*at);
    at.filter(is_one).ok_or_else(|| {
        let message = "timestamp out of range";
        SqlError::new(ErrorKind::DatetimeFieldOverflow, message)
    })
}

/// When a zone's clocks show this.
pub(crate) fn moment_of(local: i64, zone: Zone) -> Result<i64, SqlError> {
    match local {
        i64::MIN | i64::MAX => Ok(local),
        local => in_range(local.checked_sub(zone.offset_of_local(local) * SECOND)),
    }
}

/// What a zone's clocks show at a moment.
pub(crate) fn local_of(at: i64, zone: Zone) -> Result<i64, SqlError> {
    match at {
        i64::MIN | i64::MAX => Ok(at),
        at => in_range(at.checked_add(zone.offset_at(at) * SECOND)),
    }
}

pub(super) fn date(text: &str, style: Style) -> Result<i32, SqlError> {
    match read(ColumnType::Date, text, style)? {
        Moment::Infinity => Ok(i32::MAX),
        Moment::MinusInfinity => Ok(i32::MIN),
        Moment::At { days, .. } => match i32::try_from(days) {
            Ok(days) if is_date(days) => Ok(days),
            _ => Err(SqlError::new(
                ErrorKind::DatetimeFieldOverflow,
                format!("date out of range: \"{text}\""),
            )),
        },
    }
}

/// Microseconds since 1970; an offset counts for `timestamptz` only, for which the session's zone stands in where there is none.
pub(super) fn timestamp(ty: ColumnType, text: &str, style: Style) -> Result<i64, SqlError> {
    let (days, micros, offset) = match read(ty, text, style)? {
        Moment::Infinity => return Ok(i64::MAX),
        Moment::MinusInfinity => return Ok(i64::MIN),
        Moment::At {
            days,
            micros,
            offset,
        } => (days, micros, offset),
    };
    let local = days
        .checked_mul(DAY)
        .and_then(|start| start.checked_add(micros));
    let total = local.and_then(|local| {
        let offset = match (ty, offset) {
            (ColumnType::TimestampTz(_), Some(offset)) => offset,
            (ColumnType::TimestampTz(_), None) => style.zone.offset_of_local(local),
            _ => 0,
        };
        local.checked_sub(offset * SECOND)
    });
    match total {
        Some(total) if is_timestamp(total) => Ok(total),
        _ => Err(SqlError::new(
            ErrorKind::DatetimeFieldOverflow,
            format!("timestamp out of range: \"{text}\""),
        )),
    }
}

pub(crate) fn write_date(days: i32, out: &mut String) {
    match days {
        i32::MAX => return out.push_str("infinity"),
        i32::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    if write_day(i64::from(days), out) {
        out.push_str(" BC");
    }
}

/// Microseconds since midnight. A date before it and a zone behind it are read over.
pub(super) fn time(text: &str, style: Style) -> Result<i64, SqlError> {
    read_clock(ColumnType::Time(None), text, style).map(|(micros, _)| micros)
}

/// A time of day and where; without a zone it is the session's, as it is today.
pub(super) fn timetz(text: &str, style: Style) -> Result<TimeTz, SqlError> {
    let (micros, east) = read_clock(ColumnType::TimeTz(None), text, style)?;
    let east = east.unwrap_or_else(|| style.zone.offset_at(style.now.micros()));
    let west =
        i32::try_from(-east).map_err(|_| wrong(ColumnType::TimeTz(None), text, Wrong::Syntax))?;
    Ok(TimeTz { micros, west })
}

fn read_clock(ty: ColumnType, text: &str, style: Style) -> Result<(i64, Option<i64>), SqlError> {
    let trimmed = text.trim_matches(is_space);
    match bare_word(trimmed).to_ascii_lowercase().as_str() {
        "allballs" => return Ok((0, Some(0))),
        "now" => {
            let now = style.now.micros();
            let offset = style.zone.offset_at(now);
            return Ok(((now + offset * SECOND).rem_euclid(DAY), Some(offset)));
        }
        _ => {}
    }
    // With a date it is a timestamp, of which a clock is wanted. One that a T joins to the date is none for PostgreSQL.
    let mut joined = trimmed.as_bytes().windows(3);
    if joined.any(|three| matches!(three, [b'0'..=b'9', b'T' | b't', b'0'..=b'9'])) {
        return Err(wrong(ty, text, Wrong::Syntax));
    }
    let mut pairs = trimmed.as_bytes().windows(2);
    let has_clock = trimmed.contains(':')
        || pairs.any(|pair| matches!(pair, [b'T' | b't' | b' ', b'0'..=b'9']));
    if has_clock && let Ok(Moment::At { micros, offset, .. }) = read(ty, text, style) {
        return Ok((micros, offset));
    }
    let mut cursor = Cursor(trimmed);
    let read = (|| {
        if cursor.eat('T') || cursor.eat('t') {
            cursor.spaces();
        }
        if !cursor.0.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Wrong::Syntax);
        }
        let micros = read_time(&mut cursor)?;
        let (offset, _) = read_zone(&mut cursor, |zone| zone.offset_at(style.now.micros()))?;
        Ok((micros, offset))
    })();
    read.map_err(|what| wrong(ty, text, what))
}

/// Appends `hh:mm:ss[.f]`.
pub(crate) fn write_time(micros: i64, out: &mut String) {
    let seconds = micros / SECOND;
    two(seconds / 3600, out);
    out.push(':');
    two(seconds / 60 % 60, out);
    out.push(':');
    two(seconds % 60, out);
    let fraction = micros % SECOND;
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Appends `+hh[:mm[:ss]]` for so many seconds east of UTC.
pub(crate) fn write_offset(east: i64, out: &mut String) {
    out.push(if east < 0 { '-' } else { '+' });
    let seconds = east.abs();
    two(seconds / 3600, out);
    if seconds % 3600 != 0 {
        out.push(':');
        two(seconds / 60 % 60, out);
    }
    if seconds % 60 != 0 {
        out.push(':');
        two(seconds % 60, out);
    }
}

pub(super) fn write_timestamptz(micros: i64, zone: Zone, out: &mut String) {
    match micros {
        i64::MIN | i64::MAX => write_timestamp(micros, None, out),
        _ => {
            let offset = zone.offset_at(micros);
            let local = micros.saturating_add(offset * SECOND);
            write_timestamp(local, Some(offset), out);
        }
    }
}

pub(crate) fn write_timestamp(micros: i64, offset: Option<i64>, out: &mut String) {
    match micros {
        i64::MAX => return out.push_str("infinity"),
        i64::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    let bc = write_day(micros.div_euclid(DAY), out);
    out.push(' ');
    write_time(micros.rem_euclid(DAY), out);
    if let Some(offset) = offset {
        write_offset(offset, out);
    }
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
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
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
pub(crate) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub(crate) fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The Julian day of 1970-01-01.
pub(crate) const JULIAN_1970: i64 = 2_440_588;

/// Year and week of a day, by the calendar of ISO 8601.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    // A week is of the year that its Thursday is in.
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil(thursday);
    (year, (thursday - day_number(year, 1, 1)) / 7 + 1)
}

/// The Monday of a week of that calendar.
pub(crate) fn iso_week_start(year: i64, week: i64) -> i64 {
    let fourth = day_number(year, 1, 4);
    fourth - (fourth + 3).rem_euclid(7) + (week - 1) * 7
}

/// Microseconds of a local clock, so many months later: on the month's last day where it has no such day.
pub(crate) fn add_months(micros: i64, months: i32) -> Option<i64> {
    if months == 0 {
        return Some(micros);
    }
    let (year, month, day) = civil(micros.div_euclid(DAY));
    let total = year * 12 + (month - 1) + i64::from(months);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let day = day.min(month_days(year, month));
    let days = day_number(year, month, day);
    if days < TIMESTAMP_DAYS_MIN {
        return None;
    }
    days.checked_mul(DAY)?.checked_add(micros.rem_euclid(DAY))
}

/// Months, days and microseconds from one local time to a later one, all of one sign; after timestamp_age in
/// PostgreSQL's timestamp.c.
pub(crate) fn age(later: i64, earlier: i64) -> (i64, i64, i64) {
    if later < earlier {
        let (months, days, micros) = age(earlier, later);
        return (-months, -days, -micros);
    }
    let (y1, m1, d1) = civil(later.div_euclid(DAY));
    let (y2, m2, d2) = civil(earlier.div_euclid(DAY));
    let mut micros = later.rem_euclid(DAY) - earlier.rem_euclid(DAY);
    let mut days = d1 - d2;
    let mut months = (y1 - y2) * 12 + m1 - m2;
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        // The days of the earlier date's month make up for it.
        days += month_days(y2, m2);
        months -= 1;
    }
    (months, days, micros)
}

enum Moment {
    Infinity,
    MinusInfinity,
    /// A day, the microseconds into it, and the seconds that its zone is east of UTC, if it names one.
    At {
        days: i64,
        micros: i64,
        offset: Option<i64>,
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

/// A word without the signs around it that mean nothing in times: `now()`.
pub(crate) fn bare_word(text: &str) -> &str {
    let means_nothing =
        |c: char| is_space(c) || c.is_ascii_punctuation() && !matches!(c, '.' | '+' | '-' | '/');
    text.trim_matches(means_nothing)
}

fn read(ty: ColumnType, text: &str, style: Style) -> Result<Moment, SqlError> {
    let trimmed = text.trim_matches(is_space);
    match bare_word(trimmed).to_ascii_lowercase().as_str() {
        "infinity" => return Ok(Moment::Infinity),
        "-infinity" => return Ok(Moment::MinusInfinity),
        "epoch" => {
            return Ok(Moment::At {
                days: 0,
                micros: 0,
                offset: Some(0),
            });
        }
        "now" => return Ok(now(style, 0, true)),
        "today" => return Ok(now(style, 0, false)),
        "tomorrow" => return Ok(now(style, 1, false)),
        "yesterday" => return Ok(now(style, -1, false)),
        _ => {}
    }
    if let Some(moment) = time_of_day(trimmed, style) {
        return moment.map_err(|what| wrong(ty, text, what));
    }
    let read = match read_fields(trimmed) {
        Err(Wrong::Syntax) => loose::read(trimmed),
        read => read,
    };
    read.map_err(|what| wrong(ty, text, what))
}

/// `today 10:30`: a time of a day that is named by itself; `None` for other texts.
fn time_of_day(text: &str, style: Style) -> Option<Result<Moment, Wrong>> {
    let (day, time) = text.split_once(is_space)?;
    let days_later = match day.to_ascii_lowercase().as_str() {
        "yesterday" => -1,
        "today" => 0,
        "tomorrow" => 1,
        _ => return None,
    };
    let Moment::At { days, .. } = now(style, days_later, false) else {
        return None;
    };
    let time = match time.trim_matches(is_space).to_ascii_lowercase().as_str() {
        "allballs" | "zulu" => "00:00:00+00".to_string(),
        time => time.to_string(),
    };
    let (year, month, day) = civil(days);
    Some(read_fields(&format!(
        "{year:04}-{month:02}-{day:02} {time}"
    )))
}

fn wrong(ty: ColumnType, text: &str, what: Wrong) -> SqlError {
    let field = || {
        SqlError::new(
            ErrorKind::DatetimeFieldOverflow,
            format!("date/time field value out of range: \"{text}\""),
        )
    };
    match what {
        Wrong::Syntax => {
            let name = match ty {
                ColumnType::Timestamp(_) => "timestamp".to_string(),
                ColumnType::Time(_) => "time".to_string(),
                ty => types::name(plain(ty)),
            };
            let message = format!("invalid input syntax for type {name}: \"{text}\"");
            SqlError::new(ErrorKind::InvalidDatetimeFormat, message)
        }
        Wrong::Field => field(),
        Wrong::Month => field().hint("Perhaps you need a different \"datestyle\" setting."),
        Wrong::Displacement => SqlError::new(
            ErrorKind::InvalidTimeZoneDisplacement,
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Wrong::Zone(zone) => SqlError::new(
            ErrorKind::InvalidParameterValue,
            format!("time zone \"{zone}\" not recognized"),
        ),
    }
}

/// Microseconds since 1970-01-01 UTC, by the machine's clock.
pub(crate) fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as i64
}

/// The moment that `now` and its like mean: that of a transaction, in microseconds since 1970-01-01 UTC, or whatever the
/// machine's clock shows where there is none. Two styles that differ in it alone are equal: what it decides is not kept.
#[derive(Clone, Copy, Default)]
pub struct Now(Option<i64>);

impl Now {
    pub(crate) fn at(micros: i64) -> Now {
        Now(Some(micros))
    }

    fn micros(self) -> i64 {
        self.0.unwrap_or_else(now_micros)
    }
}

impl PartialEq for Now {
    fn eq(&self, _: &Now) -> bool {
        true
    }
}

impl Eq for Now {}

impl Hash for Now {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

fn now(style: Style, days_later: i64, with_time: bool) -> Moment {
    let now = style.now.micros();
    let offset = style.zone.offset_at(now);
    let local = now + offset * SECOND;
    Moment::At {
        days: local.div_euclid(DAY) + days_later,
        micros: if with_time { local.rem_euclid(DAY) } else { 0 },
        offset: with_time.then_some(offset),
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
    let (year, month, day, year_digits) = read_day(&mut cursor)?;
    let mut micros = 0;
    let before = cursor.0;
    // A minus would belong to the date.
    if before.starts_with('-') {
        return Err(Wrong::Syntax);
    }
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
    // What a named zone's clocks show tells its offset, so the day must be known first: a second reading has it.
    let behind = cursor.0;
    let (_, bc) = read_zone(&mut Cursor(behind), |_| 0)?;
    let days = checked_day((year, year_digits), month, day, bc)?;
    let local = days.saturating_mul(DAY).saturating_add(micros);
    let (offset, _) = read_zone(&mut Cursor(behind), |zone| zone.offset_of_local(local))?;
    Ok(Moment::At {
        days,
        micros,
        offset,
    })
}

/// The number of a day, of whose year it is told how many digits it has.
fn checked_day(
    (mut year, year_digits): (i64, usize),
    month: i64,
    day: i64,
    bc: bool,
) -> Result<i64, Wrong> {
    // Two digits stand for 1970 to 2069, as in PostgreSQL.
    if year_digits <= 2 && !bc {
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
    Ok(day_number(year, month, day))
}

/// Reads what may stand behind a time: an offset or a zone, and BC. Gives the seconds east of UTC, if there was a
/// zone, and whether it is before Christ.
fn read_zone(
    cursor: &mut Cursor<'_>,
    offset_of: impl Fn(Zone) -> i64,
) -> Result<(Option<i64>, bool), Wrong> {
    let (mut offset, mut bc) = (None, false);
    loop {
        cursor.spaces();
        match cursor.0.bytes().next() {
            None => return Ok((offset, bc)),
            Some(b'+' | b'-') if offset.is_none() => offset = Some(read_offset(cursor)?),
            Some(byte) if byte.is_ascii_alphabetic() => {
                let word = cursor.take(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+')
                });
                match word.to_ascii_lowercase().as_str() {
                    "bc" => bc = true,
                    "ad" => {}
                    folded if offset.is_none() => match Zone::named(word) {
                        Some(zone) => offset = Some(offset_of(zone)),
                        None if word.contains('/') => return Err(Wrong::Zone(folded.to_string())),
                        None => return Err(Wrong::Syntax),
                    },
                    _ => return Err(Wrong::Syntax),
                }
            }
            Some(_) => return Err(Wrong::Syntax),
        }
    }
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
    // A zone's name may begin so, too.
    let suffix = Cursor(cursor.0).take(|byte| byte.is_ascii_alphabetic());
    if let suffix @ ("am" | "pm") = suffix.to_ascii_lowercase().as_str() {
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
