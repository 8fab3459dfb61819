//! Intervals, in PostgreSQL's own style (`IntervalStyle = postgres`), ISO 8601 and the standard's.

use std::fmt::Write;

use tidelog_storage::{Interval, IntervalField, IntervalModifier};

use super::is_space;
use crate::error::{ErrorKind, SqlError};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// What PostgreSQL counts a month's days as, where a fraction of one is given.
const MONTH_DAYS: f64 = 30.0;

/// What IntervalStyle says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IntervalStyle {
    /// `1 year 2 mons -3 days 04:05:06`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons -3 days 4 hours 5 mins 6 secs`
    Verbose,
    /// `+1-2 -3 +4:05:06`
    Standard,
    /// `P1Y2M-3DT4H5M6S`
    Iso,
}

impl IntervalStyle {
    /// The style of this name.
    pub(crate) fn named(name: &str) -> Option<IntervalStyle> {
        let all = [Self::Postgres, Self::Verbose, Self::Standard, Self::Iso];
        let name = name.trim();
        all.into_iter()
            .find(|style| style.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Verbose => "postgres_verbose",
            Self::Standard => "sql_standard",
            Self::Iso => "iso_8601",
        }
    }
}

/// The largest and the smallest field that a type keeps, if it does not keep all.
type Fields = Option<(IntervalField, IntervalField)>;

enum Wrong {
    Syntax,
    Range,
}

/// A sum of parts that may still be too large.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
    /// The units that parts were of, each a bit.
    units: u16,
}

const MICROSECONDS: u16 = 1;
const MILLISECONDS: u16 = 1 << 1;
const SECONDS: u16 = 1 << 2;
const MINUTES: u16 = 1 << 3;
const HOURS: u16 = 1 << 4;
const DAYS: u16 = 1 << 5;
const WEEKS: u16 = 1 << 6;
const MONTHS: u16 = 1 << 7;
const YEARS: u16 = 1 << 8;
const DECADES: u16 = 1 << 9;
const CENTURIES: u16 = 1 << 10;
const MILLENNIA: u16 = 1 << 11;
/// A fraction of a second leaves no room for its parts.
const FRACTIONS: u16 = SECONDS | MILLISECONDS | MICROSECONDS;
const CLOCK: u16 = HOURS | MINUTES | FRACTIONS;

/// Reads an interval; the fields that its type keeps tell what a number without a unit counts.
pub(super) fn parse(
    text: &str,
    kept: Option<IntervalModifier>,
    style: IntervalStyle,
) -> Result<Interval, SqlError> {
    let fields = kept.and_then(IntervalModifier::fields);
    let read = if text.starts_with('P') {
        read_iso(text)
    } else {
        read_words(text.trim_matches(is_space), fields, style)
    };
    let narrow = |sum: Sum| -> Result<Interval, Wrong> {
        let micros = i64::try_from(sum.micros).map_err(|_| Wrong::Range)?;
        if micros.unsigned_abs() > Interval::MICROS_MAX.unsigned_abs() {
            return Err(Wrong::Range);
        }
        Ok(Interval {
            months: i32::try_from(sum.months).map_err(|_| Wrong::Range)?,
            days: i32::try_from(sum.days).map_err(|_| Wrong::Range)?,
            micros,
        })
    };
    read.and_then(narrow).map_err(|wrong| match wrong {
        Wrong::Syntax => SqlError::new(
            ErrorKind::InvalidDatetimeFormat,
            format!("invalid input syntax for type interval: \"{text}\""),
        ),
        Wrong::Range => SqlError::new(
            ErrorKind::IntervalFieldOverflow,
            format!("interval field value out of range: \"{text}\""),
        ),
    })
}

/// A number as written: its whole part and its fraction, of one sign.
#[derive(Clone, Copy)]
struct Number {
    whole: i64,
    fraction: f64,
}

impl Number {
    fn read(text: &str) -> Result<Number, Wrong> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || whole.is_empty() && fraction.is_empty() {
            return Err(Wrong::Syntax);
        }
        let sign = if negative { -1 } else { 1 };
        let whole = match whole {
            "" => 0,
            whole => whole.parse::<i64>().map_err(|_| Wrong::Range)?,
        };
        let fraction = match fraction {
            "" => 0.0,
            fraction => format!("0.{fraction}").parse().map_err(|_| Wrong::Syntax)?,
        };
        Ok(Number {
            whole: whole * sign,
            fraction: fraction * sign as f64,
        })
    }
}

impl Sum {
    /// Takes down that a part of these units is there; no two may be of the same.
    fn note(&mut self, units: u16) -> Result<(), Wrong> {
        if self.units & units != 0 {
            return Err(Wrong::Syntax);
        }
        self.units |= units;
        Ok(())
    }

    fn add_micros(&mut self, number: Number, unit: i64) {
        self.micros += i128::from(number.whole) * i128::from(unit);
        self.micros += (number.fraction * unit as f64).round_ties_even() as i128;
    }

    fn add_days(&mut self, number: Number, unit: i64) {
        self.days += i128::from(number.whole) * i128::from(unit);
        self.add_fraction_of_days(number.fraction * unit as f64);
    }

    fn add_fraction_of_days(&mut self, days: f64) {
        let whole = days.trunc();
        self.days += whole as i128;
        self.micros += ((days - whole) * DAY as f64).round_ties_even() as i128;
    }

    fn add_months(&mut self, number: Number) {
        self.months += i128::from(number.whole);
        self.add_fraction_of_days(number.fraction * MONTH_DAYS);
    }

    /// The fraction becomes whole months.
    fn add_years(&mut self, number: Number, unit: i64) {
        let months = unit * 12;
        self.months += i128::from(number.whole) * i128::from(months);
        self.months += (number.fraction * months as f64).round_ties_even() as i128;
    }

    fn add(&mut self, number: Number, unit: &str) -> Result<(), Wrong> {
        let seconds = if number.fraction == 0.0 {
            SECONDS
        } else {
            FRACTIONS
        };
        let unit = match unit {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds"
            | "microsecon" => MICROSECONDS,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds"
            | "millisecon" => MILLISECONDS,
            "s" | "sec" | "secs" | "second" | "seconds" => seconds,
            "m" | "min" | "mins" | "minute" | "minutes" => MINUTES,
            "h" | "hr" | "hrs" | "hour" | "hours" => HOURS,
            "d" | "day" | "days" => DAYS,
            "w" | "week" | "weeks" => WEEKS,
            "mon" | "mons" | "month" | "months" => MONTHS,
            "y" | "yr" | "yrs" | "year" | "years" => YEARS,
            "dec" | "decs" | "decade" | "decades" => DECADES,
            "c" | "cent" | "century" | "centuries" => CENTURIES,
            "mil" | "mils" | "millennium" | "millennia" => MILLENNIA,
            _ => return Err(Wrong::Syntax),
        };
        self.add_unit(number, unit)
    }

    fn add_unit(&mut self, number: Number, unit: u16) -> Result<(), Wrong> {
        self.note(unit)?;
        match unit {
            MICROSECONDS => self.add_micros(number, 1),
            MILLISECONDS => self.add_micros(number, 1000),
            MINUTES => self.add_micros(number, 60 * SECOND),
            HOURS => self.add_micros(number, HOUR),
            DAYS => self.add_days(number, 1),
            WEEKS => self.add_days(number, 7),
            MONTHS => self.add_months(number),
            YEARS => self.add_years(number, 1),
            DECADES => self.add_years(number, 10),
            CENTURIES => self.add_years(number, 100),
            MILLENNIA => self.add_years(number, 1000),
            _ => self.add_micros(number, SECOND),
        }
        Ok(())
    }
}

/// `1 year 2 mons 3 days 04:05:06.7`, `1-2 3 4:05`, `@ 3 days ago`.
fn read_words(text: &str, fields: Fields, style: IntervalStyle) -> Result<Sum, Wrong> {
    let mut tokens = tokens(text)?;
    // In the standard's literals a sign at the beginning is that of all parts, if no other has one.
    let mut signs = tokens.iter().map(|token| token.starts_with(['-', '+']));
    let leads = text.starts_with('-') && signs.next() == Some(true) && !signs.any(|signed| signed);
    if style == IntervalStyle::Standard && leads {
        for token in &mut tokens {
            if token.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                token.insert(0, '-');
            }
        }
    }
    let mut sum = Sum::default();
    let mut at = 0;
    let mut found = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        if token == "ago" && at == tokens.len() && found > 0 {
            sum.months = -sum.months;
            sum.days = -sum.days;
            sum.micros = -sum.micros;
            continue;
        }
        found += 1;
        if token.contains(':') {
            sum.note(CLOCK)?;
            sum.micros += read_clock(token, fields)?;
        } else if let Some((years, months)) = token[1..].split_once('-') {
            // The sign before the years counts for the months, too.
            let years = Number::read(&format!("{}{years}", &token[..1]))?;
            let months: u64 = months.parse().map_err(|_| Wrong::Syntax)?;
            if months > 11 {
                return Err(Wrong::Range);
            }
            let months = match token.starts_with('-') {
                true => -i128::from(months),
                false => months.into(),
            };
            sum.note(MONTHS)?;
            sum.add_years(years, 1);
            sum.months += months;
        } else {
            let number = Number::read(token)?;
            match tokens.get(at) {
                Some(unit)
                    if unit.starts_with(|c: char| c.is_ascii_alphabetic()) && unit != "ago" =>
                {
                    at += 1;
                    sum.add(number, unit)?;
                }
                // A number before a time of day counts days, and one that ends the text seconds.
                Some(clock) if clock.contains(':') => sum.add_unit(number, DAYS)?,
                // So does one before hours.
                Some(next) if next != "ago" => {
                    let hours = match tokens.get(at + 1).map(String::as_str) {
                        None => matches!(fields, Some((_, IntervalField::Hour))),
                        Some(unit) => matches!(unit, "h" | "hr" | "hrs" | "hour" | "hours"),
                    };
                    if !hours || next.starts_with(|c: char| c.is_ascii_alphabetic()) {
                        return Err(Wrong::Syntax);
                    }
                    sum.add_unit(number, DAYS)?;
                }
                _ => {
                    let unit = match fields.map(|(_, last)| last) {
                        None | Some(IntervalField::Second) if number.fraction == 0.0 => SECONDS,
                        None | Some(IntervalField::Second) => FRACTIONS,
                        Some(IntervalField::Minute) => MINUTES,
                        Some(IntervalField::Hour) => HOURS,
                        Some(IntervalField::Day) => DAYS,
                        Some(IntervalField::Month) => MONTHS,
                        Some(IntervalField::Year) => YEARS,
                    };
                    sum.add_unit(number, unit)?;
                }
            }
        }
    }
    if found == 0 {
        return Err(Wrong::Syntax);
    }
    Ok(sum)
}

/// Words, and numbers with what belongs to them: `+1-2`, `-04:05:06.7`.
fn tokens(text: &str) -> Result<Vec<String>, Wrong> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = text.strip_prefix('@').unwrap_or(text);
    loop {
        rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let end = if first.is_ascii_alphabetic() {
            rest.find(|c: char| !c.is_ascii_alphabetic())
        } else if first.is_ascii_digit() || matches!(first, '+' | '-' | '.') {
            let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '-');
            rest[1..].find(|c| !digits(c)).map(|end| end + 1)
        } else {
            return Err(Wrong::Syntax);
        };
        let (token, after) = rest.split_at(end.unwrap_or(rest.len()));
        tokens.push(token.to_ascii_lowercase());
        rest = after;
    }
}

/// `h:m[:s[.f]]` as microseconds.
fn read_clock(text: &str, fields: Fields) -> Result<i128, Wrong> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts: Vec<&str> = digits.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        // `mm:ss.f` has no hours.
        [minutes, seconds]
            if seconds.contains('.')
                || fields == Some((IntervalField::Minute, IntervalField::Second)) =>
        {
            ("0", *minutes, *seconds)
        }
        [hours, minutes] => (*hours, *minutes, "0"),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return Err(Wrong::Syntax),
    };
    let (hours, minutes) = (Number::read(hours)?, Number::read(minutes)?);
    let seconds = Number::read(seconds)?;
    if minutes.whole > 59 || seconds.whole > 60 || hours.fraction + minutes.fraction != 0.0 {
        return Err(Wrong::Range);
    }
    let mut sum = Sum::default();
    sum.add_micros(hours, HOUR);
    sum.add_micros(minutes, 60 * SECOND);
    sum.add_micros(seconds, SECOND);
    Ok(sum.micros * sign)
}

/// `P1Y2M3DT4H5M6.7S`, or in the other form `P0001-02-03T04:05:06`, `P00010203T040506`. After DecodeISO8601Interval.
fn read_iso(text: &str) -> Result<Sum, Wrong> {
    let mut rest = text.strip_prefix('P').ok_or(Wrong::Syntax)?;
    let mut sum = Sum::default();
    let mut in_time = false;
    if rest.is_empty() {
        return Err(Wrong::Syntax);
    }
    // Whether a number stands alone after the P or the T, and so may be of the other form.
    let mut is_first = true;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            (in_time, is_first) = (true, true);
            rest = after;
            continue;
        }
        let (number, digits) = iso_number(&mut rest)?;
        match (rest.bytes().next(), in_time) {
            (Some(b'Y'), false) => sum.add_years(number, 1),
            (Some(b'M'), false) => sum.add_months(number),
            (Some(b'W'), false) => sum.add_days(number, 7),
            (Some(b'D'), false) => sum.add_days(number, 1),
            (Some(b'H'), true) => sum.add_micros(number, HOUR),
            (Some(b'M'), true) => sum.add_micros(number, 60 * SECOND),
            (Some(b'S'), true) => sum.add_micros(number, SECOND),
            (None | Some(b'-' | b'T'), false) if is_first => {
                sum.add_iso_date(number, digits, &mut rest)?;
                continue;
            }
            (None | Some(b':'), true) if is_first => {
                sum.add_iso_time(number, digits, &mut rest)?;
                continue;
            }
            _ => return Err(Wrong::Syntax),
        }
        rest = &rest[1..];
        is_first = false;
    }
    Ok(sum)
}

/// The number at the beginning and how many digits it has before the point.
fn iso_number(rest: &mut &str) -> Result<(Number, usize), Wrong> {
    let sign = usize::from(rest.starts_with('-'));
    let end = rest[sign..].find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, after) = rest.split_at(end.map_or(rest.len(), |end| sign + end));
    *rest = after;
    let digits = &number[sign..];
    Ok((
        Number::read(number)?,
        digits.find('.').unwrap_or(digits.len()),
    ))
}

impl Sum {
    /// `0001-02-03` or `00010203`, whose first number was read: what is left out is at the end.
    fn add_iso_date(&mut self, first: Number, digits: usize, rest: &mut &str) -> Result<(), Wrong> {
        if digits == 8 && !rest.starts_with('-') {
            self.months += i128::from(first.whole / 10_000 * 12 + first.whole / 100 % 100);
            let days = Number {
                whole: first.whole % 100,
                ..first
            };
            self.add_days(days, 1);
            return Ok(());
        }
        self.add_years(first, 1);
        for add in [Sum::add_months, |sum: &mut Sum, number| {
            sum.add_days(number, 1)
        }] {
            if let Some(after) = rest.strip_prefix('-') {
                *rest = after;
                add(self, iso_number(rest)?.0);
            }
        }
        match rest.is_empty() || rest.starts_with('T') {
            true => Ok(()),
            false => Err(Wrong::Syntax),
        }
    }

    /// `04:05:06` or `040506`, the same way.
    fn add_iso_time(&mut self, first: Number, digits: usize, rest: &mut &str) -> Result<(), Wrong> {
        if digits == 6 && rest.is_empty() {
            let (hours, minutes) = (first.whole / 10_000, first.whole / 100 % 100);
            let seconds = (hours * 60 + minutes) * 60 + first.whole % 100;
            self.micros += i128::from(seconds) * i128::from(SECOND);
            // As in PostgreSQL the fraction is one of a microsecond.
            let whole = 0;
            self.add_micros(Number { whole, ..first }, 1);
            return Ok(());
        }
        self.add_micros(first, HOUR);
        for unit in [60 * SECOND, SECOND] {
            if let Some(after) = rest.strip_prefix(':') {
                *rest = after;
                self.add_micros(iso_number(rest)?.0, unit);
            }
        }
        match rest.is_empty() {
            true => Ok(()),
            false => Err(Wrong::Syntax),
        }
    }
}

/// After EncodeInterval in PostgreSQL's datetime.c.
pub(super) fn write(value: Interval, style: IntervalStyle, out: &mut String) {
    match style {
        IntervalStyle::Postgres => write_postgres(value, out),
        IntervalStyle::Verbose => write_verbose(value, out),
        IntervalStyle::Standard => write_standard(value, out),
        IntervalStyle::Iso => write_iso(value, out),
    }
}

/// `.5`, without zeros at the end; nothing for no fraction of a second.
fn write_fraction(micros: u64, out: &mut String) {
    let fraction = micros % SECOND as u64;
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Hours, minutes and seconds without their sign.
fn clock(micros: i64) -> (u64, u64, u64) {
    let seconds = micros.unsigned_abs() / SECOND as u64;
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn write_postgres(value: Interval, out: &mut String) {
    let mut empty = true;
    let mut before = false;
    let mut part = |value: i32, unit: &str| {
        if value == 0 {
            return;
        }
        let space = if empty { "" } else { " " };
        let plus = if before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(out, "{space}{plus}{value} {unit}{plural}");
        before = value < 0;
        empty = false;
    };
    part(value.months / 12, "year");
    part(value.months % 12, "mon");
    part(value.days, "day");
    if !empty && value.micros == 0 {
        return;
    }
    if !empty {
        out.push(' ');
    }
    if value.micros < 0 {
        out.push('-');
    } else if before {
        out.push('+');
    }
    let (hours, minutes, seconds) = clock(value.micros);
    let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}");
    write_fraction(value.micros.unsigned_abs(), out);
}

/// `@ 1 year -2 days ago`: parts have the sign that they have beside the first one.
fn write_verbose(value: Interval, out: &mut String) {
    out.push('@');
    let (hours, minutes, seconds) = clock(value.micros);
    let mut negative: Option<bool> = None;
    let sign = if value.micros < 0 { -1 } else { 1 };
    for (number, unit) in [
        (i64::from(value.months / 12), "year"),
        (i64::from(value.months % 12), "mon"),
        (i64::from(value.days), "day"),
        (hours as i64 * sign, "hour"),
        (minutes as i64 * sign, "min"),
    ] {
        if number == 0 {
            continue;
        }
        let first = *negative.get_or_insert(number < 0);
        let number = if first { -number } else { number };
        let plural = if number == 1 { "" } else { "s" };
        let _ = write!(out, " {number} {unit}{plural}");
    }
    let fraction = value.micros.unsigned_abs() % SECOND as u64;
    if seconds != 0 || fraction != 0 {
        let first = *negative.get_or_insert(value.micros < 0);
        let minus = if first == (value.micros < 0) { "" } else { "-" };
        let _ = write!(out, " {minus}{seconds}");
        write_fraction(value.micros.unsigned_abs(), out);
        let plural = if seconds == 1 && fraction == 0 {
            ""
        } else {
            "s"
        };
        let _ = write!(out, " sec{plural}");
    }
    match negative {
        None => out.push_str(" 0"),
        Some(true) => out.push_str(" ago"),
        Some(false) => {}
    }
}

/// The standard's year-month and day-time literals, and both where it has no literal of the two.
fn write_standard(value: Interval, out: &mut String) {
    let parts = [i64::from(value.months), i64::from(value.days), value.micros];
    let negative = parts.iter().any(|part| *part < 0);
    let positive = parts.iter().any(|part| *part > 0);
    let (months, days) = (value.months != 0, value.days != 0);
    let day_time = days || value.micros != 0;
    let of_both = negative && positive || months && day_time;
    let (hours, minutes, seconds) = clock(value.micros);
    let (years, rest) = (
        value.months.unsigned_abs() / 12,
        value.months.unsigned_abs() % 12,
    );
    let day = value.days.unsigned_abs();
    if !negative && !positive {
        out.push('0');
    } else if of_both {
        let sign = |part: bool| if part { '-' } else { '+' };
        let _ = write!(out, "{}{years}-{rest}", sign(value.months < 0));
        let _ = write!(out, " {}{day} ", sign(value.days < 0));
        let _ = write!(
            out,
            "{}{hours}:{minutes:02}:{seconds:02}",
            sign(value.micros < 0)
        );
        write_fraction(value.micros.unsigned_abs(), out);
    } else {
        if negative {
            out.push('-');
        }
        if months {
            let _ = write!(out, "{years}-{rest}");
            return;
        }
        if days {
            let _ = write!(out, "{day} ");
        }
        let _ = write!(out, "{hours}:{minutes:02}:{seconds:02}");
        write_fraction(value.micros.unsigned_abs(), out);
    }
}

/// `P1Y2M3DT4H5M6.7S`.
fn write_iso(value: Interval, out: &mut String) {
    if value.months == 0 && value.days == 0 && value.micros == 0 {
        out.push_str("PT0S");
        return;
    }
    out.push('P');
    let part = |number: i64, unit: char, out: &mut String| {
        if number != 0 {
            let _ = write!(out, "{number}{unit}");
        }
    };
    part(i64::from(value.months / 12), 'Y', out);
    part(i64::from(value.months % 12), 'M', out);
    part(i64::from(value.days), 'D', out);
    if value.micros == 0 {
        return;
    }
    out.push('T');
    let (hours, minutes, seconds) = clock(value.micros);
    let sign = if value.micros < 0 { -1 } else { 1 };
    part(hours as i64 * sign, 'H', out);
    part(minutes as i64 * sign, 'M', out);
    if value.micros % (60 * SECOND) != 0 {
        let minus = if value.micros < 0 { "-" } else { "" };
        let _ = write!(out, "{minus}{seconds}");
        write_fraction(value.micros.unsigned_abs(), out);
        out.push('S');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_as_postgresql_15_shows_them() {
        let style = IntervalStyle::Postgres;
        for (given, shown) in [
            (
                "1 year 2 mons 3 days 04:05:06.789",
                "1 year 2 mons 3 days 04:05:06.789",
            ),
            ("1 day", "1 day"),
            ("2 weeks", "14 days"),
            ("1.5 years", "1 year 6 mons"),
            ("1.5 months", "1 mon 15 days"),
            ("1.5 days", "1 day 12:00:00"),
            ("1.5 weeks", "10 days 12:00:00"),
            ("-1 day +02:03", "-1 days +02:03:00"),
            ("1 02:03", "1 day 02:03:00"),
            ("@ 3 days ago", "-3 days"),
            ("1-2", "1 year 2 mons"),
            ("-1-2", "-1 years -2 mons"),
            ("90", "00:01:30"),
            ("100 hours", "100:00:00"),
            ("P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5"),
            ("PT0S", "00:00:00"),
            ("0", "00:00:00"),
            ("1 century", "100 years"),
            ("-00:00:00.000001", "-00:00:00.000001"),
            ("1 mon -1 day", "1 mon -1 days"),
            ("3h2m", "03:02:00"),
            ("3 2 hours", "3 days 02:00:00"),
        ] {
            let mut out = String::new();
            write(parse(given, None, style).expect(given), style, &mut out);
            assert_eq!(out, shown, "{given}");
        }
        for wrong in [
            "",
            "x",
            "1 2",
            "day",
            "1 fortnight",
            "ago",
            "P",
            "1:2:3:4",
            "1 day 2 days",
            "1 us 2:00",
            "1-2 3 months",
            "1.5 sec 2 ms",
            "1:00 2:00",
        ] {
            assert!(parse(wrong, None, style).is_err(), "{wrong}");
        }
        let error = parse("3000000000 months", None, style).unwrap_err();
        assert_eq!(error.kind, ErrorKind::IntervalFieldOverflow);
    }
}
