//! Templates of dates and times: `to_char(timestamp, template)`, after the DCH_ functions of PostgreSQL's formatting.c.

use std::fmt::Write;

use super::digits::ordinal;
use crate::error::{ErrorKind, SqlError};
use crate::text::datetime;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
pub(super) const ROMAN_MONTHS: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];

/// What a pattern stands for. Its name tells in which case letters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Meridiem,
    Era,
    Century,
    DayOfWeek,
    DayName,
    DayOfYear,
    Day,
    ShortDayName,
    Fraction(u8),
    Exact,
    Hour24,
    Hour12,
    IsoDayOfYear,
    IsoDayOfWeek,
    IsoWeek,
    /// The last digits of a year, of the ISO calendar perhaps.
    Year {
        digits: u8,
        iso: bool,
    },
    GroupedYear,
    Julian,
    Minute,
    Month,
    MonthName,
    Millisecond,
    ShortMonthName,
    Offset,
    Quarter,
    RomanMonth,
    SecondOfDay,
    Second,
    ZoneHour,
    ZoneMinute,
    Zone,
    Microsecond,
    Week,
    WeekOfMonth,
}

/// Upper case; each is taken in lower case, too, and names with a capital.
const PATTERNS: [(&str, Field); 52] = [
    ("A.D.", Field::Era),
    ("A.M.", Field::Meridiem),
    ("AD", Field::Era),
    ("AM", Field::Meridiem),
    ("B.C.", Field::Era),
    ("BC", Field::Era),
    ("CC", Field::Century),
    ("DAY", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("DD", Field::Day),
    ("DY", Field::ShortDayName),
    ("D", Field::DayOfWeek),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("FX", Field::Exact),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoDayOfWeek),
    ("IW", Field::IsoWeek),
    (
        "IYYY",
        Field::Year {
            digits: 4,
            iso: true,
        },
    ),
    (
        "IYY",
        Field::Year {
            digits: 3,
            iso: true,
        },
    ),
    (
        "IY",
        Field::Year {
            digits: 2,
            iso: true,
        },
    ),
    (
        "I",
        Field::Year {
            digits: 1,
            iso: true,
        },
    ),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName),
    ("MON", Field::ShortMonthName),
    ("MS", Field::Millisecond),
    ("OF", Field::Offset),
    ("P.M.", Field::Meridiem),
    ("PM", Field::Meridiem),
    ("Q", Field::Quarter),
    ("RM", Field::RomanMonth),
    ("SSSSS", Field::SecondOfDay),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHour),
    ("TZM", Field::ZoneMinute),
    ("TZ", Field::Zone),
    ("US", Field::Microsecond),
    ("WW", Field::Week),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::GroupedYear),
    (
        "YYYY",
        Field::Year {
            digits: 4,
            iso: false,
        },
    ),
    (
        "YYY",
        Field::Year {
            digits: 3,
            iso: false,
        },
    ),
];
const MORE_PATTERNS: [(&str, Field); 2] = [
    (
        "YY",
        Field::Year {
            digits: 2,
            iso: false,
        },
    ),
    (
        "Y",
        Field::Year {
            digits: 1,
            iso: false,
        },
    ),
];

#[derive(Clone, Debug)]
pub(super) enum Node {
    Pattern(Pattern),
    Text(char),
    /// In quotes.
    Quoted(char),
}

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) field: Field,
    /// As it is written.
    pub(super) name: String,
    /// FM: without padding.
    pub(super) fill: bool,
    /// TH or th.
    pub(super) ordinal: Option<bool>,
}

impl Pattern {
    /// Characters that it reads at most.
    pub(super) fn width(&self) -> usize {
        match self.field {
            Field::SecondOfDay => self.name.len(),
            Field::Hour24 | Field::Hour12 => 2,
            Field::Year { digits, .. } => digits.into(),
            _ => self.name.len(),
        }
    }

    pub(super) fn is_digits(&self) -> bool {
        !matches!(
            self.field,
            Field::Meridiem
                | Field::Era
                | Field::DayName
                | Field::ShortDayName
                | Field::Exact
                | Field::MonthName
                | Field::ShortMonthName
                | Field::Offset
                | Field::RomanMonth
                | Field::ZoneHour
                | Field::Zone
        )
    }
}

/// Whether a text begins with a word in upper or lower case, or with a capital only.
fn is_spelt(text: &str, word: &str, with_capital: bool) -> bool {
    let Some(given) = text.get(..word.len()) else {
        return false;
    };
    let is_lower = |part: &str| !part.bytes().any(|byte| byte.is_ascii_uppercase());
    given.eq_ignore_ascii_case(word)
        && (given == word
            || is_lower(given)
            || with_capital && given[..1] == word[..1] && is_lower(&given[1..]))
}

/// parse_format
pub(super) fn nodes(template: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (mut fill, mut translated) = (false, false);
        let mut at = rest;
        loop {
            if let Some(behind) = at.strip_prefix("FM").or_else(|| at.strip_prefix("fm")) {
                fill = true;
                at = behind;
            } else if let Some(behind) = at.strip_prefix("TM").or_else(|| at.strip_prefix("tm")) {
                translated = true;
                at = behind;
            } else {
                break;
            }
        }
        rest = at;
        let mut patterns = PATTERNS.iter().chain(&MORE_PATTERNS);
        let is_name = |field| {
            matches!(
                field,
                Field::DayName | Field::ShortDayName | Field::MonthName | Field::ShortMonthName
            )
        };
        let found = patterns.find_map(|(word, field)| {
            let matches = is_spelt(rest, word, is_name(*field));
            matches.then_some((*field, word.len()))
        });
        if let Some((field, length)) = found {
            let name = rest[..length].to_string();
            rest = &rest[length..];
            let mut ordinal = None;
            if field != Field::Exact {
                for (suffix, upper) in [("TH", true), ("th", false)] {
                    if let Some(behind) = rest.strip_prefix(suffix) {
                        ordinal = Some(upper);
                        rest = behind;
                        break;
                    }
                }
                // Spelt-out numbers are not made, in PostgreSQL neither.
                if let Some(behind) = rest.strip_prefix("SP") {
                    rest = behind;
                }
            }
            nodes.push(Node::Pattern(Pattern {
                field,
                name,
                // The names of a locale have no common width.
                fill: fill || translated && is_name(field),
                ordinal,
            }));
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        rest = &rest[c.len_utf8()..];
        if c == '"' {
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '"' => break,
                    '\\' => {
                        let escaped = rest.chars().next();
                        rest = &rest[escaped.map_or(0, char::len_utf8)..];
                        nodes.push(Node::Quoted(escaped.unwrap_or('\\')));
                    }
                    c => nodes.push(Node::Quoted(c)),
                }
            }
        } else if c == '\\' && rest.starts_with('"') {
            nodes.push(Node::Text('"'));
            rest = &rest[1..];
        } else {
            nodes.push(Node::Text(c));
        }
    }
    nodes
}

/// A moment, or an interval, in the parts that patterns show.
pub(super) struct Parts {
    pub(super) is_interval: bool,
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) micros: i64,
    pub(super) day_of_year: i64,
    /// 0 is Sunday.
    pub(super) day_of_week: i64,
    /// Days since 1970.
    pub(super) days: i64,
    /// Seconds east of UTC, and what the zone is called then.
    pub(super) zone: Option<(i64, String)>,
}

fn cased(text: &str, name: &str) -> String {
    match name.as_bytes() {
        [first, ..] if first.is_ascii_lowercase() => text.to_lowercase(),
        [_, second, ..] if second.is_ascii_lowercase() => text.to_string(),
        _ => text.to_uppercase(),
    }
}

/// `%0*d`, with room for a sign where the number has one.
fn padded(value: i64, width: usize, fill: bool) -> String {
    match (fill, value < 0) {
        (true, _) => value.to_string(),
        (false, true) => format!("{value:0width$}", width = width + 1),
        (false, false) => format!("{value:0width$}"),
    }
}

pub(super) fn write(nodes: &[Node], parts: &Parts) -> Result<String, SqlError> {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Text(c) | Node::Quoted(c) => out.push(*c),
            Node::Pattern(pattern) => {
                let mut shown = parts.show(pattern)?;
                let counts = pattern.is_digits()
                    && !matches!(pattern.field, Field::ZoneMinute)
                    && !shown.is_empty();
                if let Some(upper) = pattern.ordinal.filter(|_| counts) {
                    let suffix = ordinal(&shown, upper);
                    shown.push_str(suffix);
                }
                out.push_str(&shown);
            }
        }
    }
    Ok(out)
}

impl Parts {
    /// The year as it is shown: BC counts from 1.
    fn shown_year(&self, year: i64) -> i64 {
        match !self.is_interval && year <= 0 {
            true => 1 - year,
            false => year,
        }
    }

    fn show(&self, pattern: &Pattern) -> Result<String, SqlError> {
        let fill = pattern.fill;
        let name = pattern.name.as_str();
        let of_date = matches!(
            pattern.field,
            Field::Era
                | Field::MonthName
                | Field::ShortMonthName
                | Field::DayName
                | Field::ShortDayName
                | Field::DayOfWeek
                | Field::IsoDayOfWeek
                | Field::Zone
                | Field::ZoneHour
                | Field::ZoneMinute
                | Field::Offset
        );
        if self.is_interval && of_date {
            let message = "invalid format specification for an interval value";
            return Err(SqlError::new(ErrorKind::InvalidDatetimeFormat, message)
                .hint("Intervals are not tied to specific calendar dates."));
        }
        let zone = self.zone.as_ref().map_or(0, |(east, _)| *east);
        let wide = |text: String| match fill {
            true => text,
            false => format!("{text:<9}"),
        };
        let month = usize::try_from(self.month - 1).ok();
        Ok(match pattern.field {
            Field::Exact => String::new(),
            Field::Meridiem => {
                let half = if self.hour.rem_euclid(24) >= 12 {
                    "P"
                } else {
                    "A"
                };
                let dotted = name.contains('.');
                let text = if dotted {
                    format!("{half}.M.")
                } else {
                    format!("{half}M")
                };
                cased(&text, name)
            }
            Field::Era => {
                let (first, second) = if self.year <= 0 {
                    ('B', 'C')
                } else {
                    ('A', 'D')
                };
                let dotted = name.contains('.');
                let text = match dotted {
                    true => format!("{first}.{second}."),
                    false => format!("{first}{second}"),
                };
                cased(&text, name)
            }
            Field::Hour12 => {
                let hour = self.hour % 12;
                let hour = if hour == 0 { 12 } else { hour };
                padded_like(self.hour, hour, fill)
            }
            Field::Hour24 => padded(self.hour, 2, fill),
            Field::Minute => padded(self.minute, 2, fill),
            Field::Second => padded(self.second, 2, fill),
            Field::Fraction(digits) => {
                let unit = 10_i64.pow(6 - u32::from(digits));
                format!("{:0width$}", self.micros / unit, width = digits.into())
            }
            Field::Millisecond => format!("{:03}", self.micros / 1000),
            Field::Microsecond => format!("{:06}", self.micros),
            Field::SecondOfDay => (self.hour * 3600 + self.minute * 60 + self.second).to_string(),
            Field::Zone => {
                let zone = self.zone.as_ref().map_or("", |(_, name)| name);
                match name.starts_with('t') {
                    true => zone.to_lowercase(),
                    false => zone.to_string(),
                }
            }
            Field::ZoneHour => {
                let sign = if zone < 0 { '-' } else { '+' };
                format!("{sign}{:02}", zone.abs() / 3600)
            }
            Field::ZoneMinute => format!("{:02}", zone.abs() % 3600 / 60),
            Field::Offset => {
                let sign = if zone < 0 { '-' } else { '+' };
                let mut out = format!("{sign}{}", padded(zone.abs() / 3600, 2, fill));
                if zone.abs() % 3600 != 0 {
                    let _ = write!(out, ":{:02}", zone.abs() % 3600 / 60);
                }
                out
            }
            Field::MonthName => match month {
                Some(month) => wide(cased(MONTHS[month], name)),
                None => String::new(),
            },
            Field::ShortMonthName => match month {
                Some(month) => cased(&MONTHS[month][..3], name),
                None => String::new(),
            },
            Field::Month => padded(self.month, 2, fill),
            Field::DayName => wide(cased(DAYS[self.day_of_week as usize], name)),
            Field::ShortDayName => cased(&DAYS[self.day_of_week as usize][..3], name),
            Field::DayOfYear => padded_plain(self.day_of_year, 3, fill),
            Field::IsoDayOfYear => {
                let (year, ..) = datetime::iso_week(self.days);
                let first = datetime::iso_week_start(year, 1);
                padded_plain(self.days - first + 1, 3, fill)
            }
            Field::Day => padded_plain(self.day, 2, fill),
            Field::DayOfWeek => (self.day_of_week + 1).to_string(),
            Field::IsoDayOfWeek => match self.day_of_week {
                0 => "7".to_string(),
                day => day.to_string(),
            },
            Field::Week => padded_plain((self.day_of_year - 1) / 7 + 1, 2, fill),
            Field::IsoWeek => padded_plain(datetime::iso_week(self.days).1, 2, fill),
            Field::Quarter => match self.month {
                0 => String::new(),
                month => ((month - 1) / 3 + 1).to_string(),
            },
            Field::Century => {
                let century = match (self.is_interval, self.year > 0) {
                    (true, _) => self.year / 100,
                    (false, true) => (self.year - 1) / 100 + 1,
                    (false, false) => self.year / 100 - 1,
                };
                match (-99..=99).contains(&century) {
                    true => padded(century, 2, fill),
                    false => century.to_string(),
                }
            }
            Field::GroupedYear => {
                let year = self.shown_year(self.year);
                format!("{},{:03}", year / 1000, year % 1000)
            }
            Field::Year { digits, iso } => {
                let year = match iso {
                    true => datetime::iso_week(self.days).0,
                    false => self.year,
                };
                let year = self.shown_year(year);
                match digits {
                    4 => padded(year, 4, fill),
                    1 => (year % 10).to_string(),
                    digits => padded(year % 10_i64.pow(digits.into()), digits.into(), fill),
                }
            }
            Field::RomanMonth => {
                if self.month == 0 && self.year == 0 {
                    return Ok(String::new());
                }
                // Months of an interval count backward when they are negative.
                let month = match self.month {
                    0 if self.year >= 0 => 12,
                    0 => 1,
                    month if month < 0 => month + 13,
                    month => month,
                };
                let text = cased(ROMAN_MONTHS[(month - 1) as usize], name);
                match fill {
                    true => text,
                    false => format!("{text:<4}"),
                }
            }
            Field::WeekOfMonth => ((self.day - 1) / 7 + 1).to_string(),
            Field::Julian => (self.days + datetime::JULIAN_1970).to_string(),
        })
    }
}

/// Padded by the sign of another number.
fn padded_like(sign: i64, value: i64, fill: bool) -> String {
    match (fill, sign < 0) {
        (true, _) => value.to_string(),
        (false, true) => format!("{value:03}"),
        (false, false) => format!("{value:02}"),
    }
}

fn padded_plain(value: i64, width: usize, fill: bool) -> String {
    match fill {
        true => value.to_string(),
        false => format!("{value:0width$}"),
    }
}
