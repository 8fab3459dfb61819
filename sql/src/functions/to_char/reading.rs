//! Moments read by a template: `to_timestamp(text, template)` and `to_date`, after DCH_from_char and do_to_timestamp in
//! PostgreSQL's formatting.c.

use super::moment::{DAYS, Field, MONTHS, Node, Pattern, ROMAN_MONTHS};
use crate::error::{ErrorKind, SqlError};
use crate::text::datetime;

fn wrong(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidDatetimeFormat, message)
}

/// What a text says, and what the template has not named is `None`.
#[derive(Default)]
struct Fields {
    iso: Option<bool>,
    half_day: bool,
    after_noon: Option<i64>,
    era: Option<i64>,
    hour: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    second_of_day: Option<i64>,
    millis: Option<i64>,
    micros: Option<i64>,
    /// To so many digits the seconds are rounded.
    precision: Option<u8>,
    /// 1 is Sunday.
    day_of_week: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    month: Option<i64>,
    year: Option<i64>,
    year_digits: u8,
    century: Option<i64>,
    julian: Option<i64>,
    week: Option<i64>,
    week_of_month: Option<i64>,
    zone_sign: Option<i64>,
    zone_hour: i64,
    zone_minute: i64,
}

/// A day since 1970, microseconds into it, and seconds east of UTC, if the text said so.
pub(crate) struct Read {
    pub(crate) days: i64,
    pub(crate) micros: i64,
    pub(crate) offset: Option<i64>,
}

pub(super) fn read(text: &str, nodes: &[Node]) -> Result<Read, SqlError> {
    read_as(text, nodes, false)
}

/// The same as the standard wants it: what stands between the fields is as in the template, and nothing is left over.
pub(super) fn read_exactly(text: &str, nodes: &[Node]) -> Result<Read, SqlError> {
    read_as(text, nodes, true)
}

fn read_as(text: &str, nodes: &[Node], standard: bool) -> Result<Read, SqlError> {
    let mut reader = Reader {
        input: text.chars().collect(),
        at: 0,
        skipped: 0,
        standard,
        exact: standard,
        fields: Fields::default(),
    };
    reader.run(nodes)?;
    reader.fields.finish(text)
}

struct Reader {
    input: Vec<char>,
    at: usize,
    /// Blanks in the text beyond those of the template.
    skipped: i64,
    standard: bool,
    /// FX
    exact: bool,
    fields: Fields,
}

fn is_separator(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric() && !c.is_ascii_control() && c != ' '
}

fn set(slot: &mut Option<i64>, value: i64, pattern: &Pattern) -> Result<(), SqlError> {
    match slot {
        Some(before) if *before != value => Err(wrong(format!(
            "conflicting values for \"{}\" field in formatting string",
            pattern.name
        ))
        .detail("This value contradicts a previous setting for the same field type.")),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

impl Reader {
    fn here(&self) -> Option<char> {
        self.input.get(self.at).copied()
    }

    fn blanks(&mut self) -> i64 {
        let start = self.at;
        while self.here().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        (self.at - start) as i64
    }

    fn run(&mut self, nodes: &[Node]) -> Result<(), SqlError> {
        for (number, node) in nodes.iter().enumerate() {
            if self.here().is_none() {
                match self.standard {
                    true => return Err(wrong("input string is too short for datetime format")),
                    false => break,
                }
            }
            let is_exact = matches!(node, Node::Pattern(pattern) if pattern.field == Field::Exact);
            if !self.exact && !is_exact && (matches!(node, Node::Pattern(_)) || number == 0) {
                self.skipped += self.blanks();
            }
            match node {
                Node::Text(c) if c.is_whitespace() || is_separator(*c) => {
                    if self.standard && self.here() != Some(*c) {
                        return Err(wrong(format!("unmatched format separator \"{c}\"")));
                    }
                    if self.exact {
                        self.at += 1;
                    } else {
                        self.skipped -= 1;
                        let here = self.here();
                        if here.is_some_and(|c| c.is_whitespace() || is_separator(c)) {
                            self.at += 1;
                            self.skipped += 1;
                        }
                    }
                }
                Node::Text(c) | Node::Quoted(c) => {
                    if self.standard && self.here() != Some(*c) {
                        return Err(wrong(format!("unmatched format character \"{c}\"")));
                    }
                    match !self.exact && self.skipped > 0 {
                        true => self.skipped -= 1,
                        false => self.at += 1,
                    }
                }
                Node::Pattern(pattern) => {
                    self.field(pattern, &nodes[number + 1..])?;
                    if !self.exact {
                        self.skipped = self.blanks();
                    }
                }
            }
        }
        if self.standard {
            self.blanks();
            if self.here().is_some() {
                return Err(wrong(
                    "trailing characters remain in input string after datetime format",
                ));
            }
        }
        Ok(())
    }

    /// Whether what follows in the template ends a number.
    fn is_delimited(pattern: &Pattern, next: Option<&Node>) -> bool {
        pattern.ordinal.is_some()
            || match next {
                None => true,
                Some(Node::Pattern(next)) => !next.is_digits(),
                Some(Node::Text(c) | Node::Quoted(c)) => !c.is_ascii_digit(),
            }
    }

    /// A number and how many characters it took.
    fn number(
        &mut self,
        pattern: &Pattern,
        width: usize,
        next: Option<&Node>,
    ) -> Result<(i64, usize), SqlError> {
        self.blanks();
        let start = self.at;
        let slice: String = self.input[start..].iter().take(width).collect();
        let open = pattern.fill || Reader::is_delimited(pattern, next);
        let remaining = self.input.len() - start;
        if !open && remaining < width {
            return Err(wrong(format!(
                "source string too short for \"{}\" formatting field",
                pattern.name
            ))
            .detail(format!(
                "Field requires {width} characters, but only {remaining} remain."
            ))
            .hint("If your source string is not fixed-width, try using the \"FM\" modifier."));
        }
        let limit = if open { remaining } else { width };
        let mut end = start;
        if self.here().is_some_and(|c| matches!(c, '-' | '+')) && limit > 0 {
            end += 1;
        }
        let digits = self.input[end..start + limit]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .count();
        let used = match digits {
            0 => 0,
            digits => end + digits - start,
        };
        if !open && used > 0 && used < width {
            return Err(wrong(format!(
                "invalid value \"{slice}\" for \"{}\"",
                pattern.name
            ))
            .detail(format!(
                "Field requires {width} characters, but only {used} could be parsed."
            ))
            .hint("If your source string is not fixed-width, try using the \"FM\" modifier."));
        }
        if used == 0 {
            return Err(wrong(format!(
                "invalid value \"{slice}\" for \"{}\"",
                pattern.name
            ))
            .detail("Value must be an integer."));
        }
        let text: String = self.input[start..start + used].iter().collect();
        self.at = start + used;
        let value: Option<i32> = text.trim_start_matches('+').parse().ok();
        let value = value.ok_or_else(|| {
            let message = format!(
                "value for \"{}\" in source string is out of range",
                pattern.name
            );
            SqlError::new(ErrorKind::DatetimeFieldOverflow, message).detail(format!(
                "Value must be in the range {} to {}.",
                i32::MIN,
                i32::MAX
            ))
        })?;
        Ok((value.into(), used))
    }

    /// The word of a list that comes next.
    fn word(&mut self, pattern: &Pattern, words: &[&str]) -> Result<usize, SqlError> {
        let rest: String = self.input[self.at..].iter().collect();
        let folded = rest.to_lowercase();
        let starts = |word: &&str| folded.starts_with(&word.to_lowercase());
        match words.iter().position(starts) {
            Some(found) => {
                self.at += words[found].chars().count();
                Ok(found)
            }
            None => {
                let shown = rest.split(char::is_whitespace).next().unwrap_or_default();
                Err(wrong(format!(
                    "invalid value \"{shown}\" for \"{}\"",
                    pattern.name
                ))
                .detail("The given value did not match any of the allowed values for this field."))
            }
        }
    }

    fn field(&mut self, pattern: &Pattern, behind: &[Node]) -> Result<(), SqlError> {
        let next = behind.first();
        let iso = match pattern.field {
            Field::IsoDayOfYear | Field::IsoDayOfWeek | Field::IsoWeek => Some(true),
            Field::Year { iso, .. } => Some(iso),
            Field::Century
            | Field::DayName
            | Field::ShortDayName
            | Field::DayOfYear
            | Field::Day
            | Field::DayOfWeek
            | Field::Month
            | Field::MonthName
            | Field::ShortMonthName
            | Field::RomanMonth
            | Field::Week
            | Field::WeekOfMonth
            | Field::GroupedYear => Some(false),
            _ => None,
        };
        match (self.fields.iso, iso) {
            (Some(before), Some(iso)) if before != iso => {
                return Err(wrong("invalid combination of date conventions").hint(
                    "Do not mix Gregorian and ISO week date conventions in a formatting template.",
                ));
            }
            (None, Some(iso)) => self.fields.iso = Some(iso),
            _ => {}
        }
        let width = pattern.width();
        match pattern.field {
            Field::Exact => self.exact = true,
            Field::Meridiem => {
                let words: &[&str] = match pattern.name.contains('.') {
                    true => &["a.m.", "p.m."],
                    false => &["am", "pm"],
                };
                let found = self.word(pattern, words)?;
                set(&mut self.fields.after_noon, found as i64, pattern)?;
                self.fields.half_day = true;
            }
            Field::Era => {
                let words: &[&str] = match pattern.name.contains('.') {
                    true => &["a.d.", "b.c."],
                    false => &["ad", "bc"],
                };
                let found = self.word(pattern, words)?;
                set(&mut self.fields.era, found as i64, pattern)?;
            }
            Field::MonthName | Field::ShortMonthName => {
                let short = pattern.field == Field::ShortMonthName;
                let words = MONTHS.map(|month| if short { &month[..3] } else { month });
                let found = self.word(pattern, &words)?;
                set(&mut self.fields.month, found as i64 + 1, pattern)?;
            }
            Field::DayName | Field::ShortDayName => {
                let short = pattern.field == Field::ShortDayName;
                let words = DAYS.map(|day| if short { &day[..3] } else { day });
                let found = self.word(pattern, &words)?;
                set(&mut self.fields.day_of_week, found as i64 + 1, pattern)?;
            }
            Field::RomanMonth => {
                // The longer ones first: I begins most of them.
                let mut words: Vec<(usize, &str)> = ROMAN_MONTHS.into_iter().enumerate().collect();
                words.sort_by_key(|(_, word)| std::cmp::Reverse(word.len()));
                let texts: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
                let found = self.word(pattern, &texts)?;
                set(&mut self.fields.month, words[found].0 as i64 + 1, pattern)?;
            }
            Field::Zone | Field::Offset => {
                return Err(SqlError::new(
                    ErrorKind::FeatureNotSupported,
                    format!(
                        "formatting field \"{}\" is only supported in to_char",
                        pattern.name.to_uppercase()
                    ),
                ));
            }
            Field::ZoneHour => {
                let sign = match self.here() {
                    Some(c @ ('+' | '-' | ' ')) => {
                        self.at += 1;
                        if c == '-' { -1 } else { 1 }
                    }
                    _ => {
                        let before = self.at.checked_sub(1).map(|at| self.input[at]);
                        if self.skipped > 0 && before == Some('-') {
                            -1
                        } else {
                            1
                        }
                    }
                };
                self.fields.zone_sign = Some(sign);
                self.fields.zone_hour = self.number(pattern, 2, next)?.0;
            }
            Field::ZoneMinute => {
                self.fields.zone_sign.get_or_insert(1);
                self.fields.zone_minute = self.number(pattern, 2, next)?.0;
            }
            Field::GroupedYear => {
                let rest: String = self.input[self.at..].iter().collect();
                let parsed = rest.split_once(',').and_then(|(thousands, behind)| {
                    let count = behind.bytes().take_while(u8::is_ascii_digit).count().min(3);
                    let years: i64 = behind[..count].parse().ok()?;
                    let millennia: i64 = thousands.trim_start().parse().ok()?;
                    Some((millennia * 1000 + years, thousands.len() + 1 + count))
                });
                let (year, used) =
                    parsed.ok_or_else(|| wrong("invalid input string for \"Y,YYY\""))?;
                self.at += used;
                set(&mut self.fields.year, year, pattern)?;
                self.fields.year_digits = 4;
            }
            Field::Year { digits, .. } => {
                let (year, used) = self.number(pattern, width, next)?;
                let year = match digits < 4 && used < 4 {
                    true => near_2020(year),
                    false => year,
                };
                set(&mut self.fields.year, year, pattern)?;
                self.fields.year_digits = digits;
            }
            Field::Millisecond => {
                let (value, used) = self.number(pattern, 3, next)?;
                let value = value * 10_i64.pow(3_u32.saturating_sub(used as u32));
                set(&mut self.fields.millis, value, pattern)?;
            }
            Field::Microsecond | Field::Fraction(_) => {
                let width = match pattern.field {
                    Field::Fraction(digits) => digits.into(),
                    _ => 6,
                };
                let (value, used) = self.number(pattern, width, next)?;
                let value = value * 10_i64.pow(6_u32.saturating_sub(used as u32));
                if let Field::Fraction(digits) = pattern.field {
                    self.fields.precision = Some(digits);
                }
                set(&mut self.fields.micros, value, pattern)?;
            }
            Field::Quarter => {
                self.number(pattern, width, next)?;
            }
            field => {
                let width = match field {
                    Field::IsoDayOfYear => 3,
                    Field::IsoDayOfWeek => 1,
                    _ => width,
                };
                let (value, _) = self.number(pattern, width, next)?;
                let fields = &mut self.fields;
                let (slot, value) = match field {
                    Field::Hour12 => {
                        fields.half_day = true;
                        (&mut fields.hour, value)
                    }
                    Field::Hour24 => (&mut fields.hour, value),
                    Field::Minute => (&mut fields.minute, value),
                    Field::Second => (&mut fields.second, value),
                    Field::SecondOfDay => (&mut fields.second_of_day, value),
                    Field::Month => (&mut fields.month, value),
                    Field::DayOfYear | Field::IsoDayOfYear => (&mut fields.day_of_year, value),
                    Field::Day => (&mut fields.day, value),
                    Field::DayOfWeek => (&mut fields.day_of_week, value),
                    Field::IsoDayOfWeek => (&mut fields.day_of_week, value % 7 + 1),
                    Field::Week | Field::IsoWeek => (&mut fields.week, value),
                    Field::WeekOfMonth => (&mut fields.week_of_month, value),
                    Field::Century => (&mut fields.century, value),
                    _ => (&mut fields.julian, value),
                };
                set(slot, value, pattern)?;
            }
        }
        if pattern.ordinal.is_some() && pattern.is_digits() {
            self.at = (self.at + 2).min(self.input.len());
        }
        Ok(())
    }
}

/// Years of fewer than four digits are those near 2020.
fn near_2020(year: i64) -> i64 {
    match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        year => year,
    }
}

impl Fields {
    fn finish(self, text: &str) -> Result<Read, SqlError> {
        let (mut hour, mut minute, mut second) = (0, 0, 0);
        if let Some(of_day) = self.second_of_day {
            (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
        }
        let given =
            |slot: Option<i64>, other: i64| slot.filter(|value| *value != 0).unwrap_or(other);
        hour = given(self.hour, hour);
        minute = given(self.minute, minute);
        second = given(self.second, second);
        let before_christ = self.era == Some(1);
        if self.half_day {
            if !(1..=12).contains(&hour) {
                let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                return Err(
                    wrong(message).hint("Use the 24-hour clock, or give an hour between 1 and 12.")
                );
            }
            match self.after_noon == Some(1) {
                true if hour < 12 => hour += 12,
                false if hour == 12 => hour = 0,
                _ => {}
            }
        }
        let century = self.century.filter(|century| *century != 0);
        let century = century.map(|century| if before_christ { -century } else { century });
        let mut year = match (self.year.filter(|year| *year != 0), century) {
            (Some(year), Some(century)) if self.year_digits <= 2 => match year % 100 {
                0 if century >= 0 => century * 100,
                0 => century * 100 + 1,
                year if century >= 0 => year + (century - 1) * 100,
                year => (century + 1) * 100 - year + 1,
            },
            (Some(year), _) => {
                let year = if before_christ { -year } else { year };
                year + i64::from(year < 0)
            }
            (None, Some(century)) if century >= 0 => (century - 1) * 100 + 1,
            (None, Some(century)) => century * 100 + 1,
            (None, None) => 0,
        };
        let (mut month, mut day) = (1, 1);
        let nonzero = |slot: Option<i64>| slot.filter(|value| *value != 0);
        let mut set_date = |days: i64, year: &mut i64| {
            let date = datetime::civil(days);
            (*year, month, day) = date;
        };
        if let Some(julian) = nonzero(self.julian) {
            set_date(julian - datetime::JULIAN_1970, &mut year);
        }
        let iso = self.iso == Some(true);
        let mut day_of_year = nonzero(self.day_of_year);
        if let Some(week) = nonzero(self.week) {
            match iso {
                true => {
                    let start = datetime::iso_week_start(year, week);
                    // Sunday, which is 1 here, ends the week.
                    let offset = match nonzero(self.day_of_week) {
                        Some(1) => 6,
                        Some(day) => day - 2,
                        None => 0,
                    };
                    set_date(start + offset, &mut year);
                }
                false => day_of_year = Some((week - 1) * 7 + 1),
            }
        }
        if let Some(week) = nonzero(self.week_of_month) {
            day = (week - 1) * 7 + 1;
        }
        day = given(self.day, day);
        month = given(self.month, month);
        if let Some(number) = day_of_year.filter(|_| month <= 1 || day <= 1) {
            if year == 0 && !before_christ {
                return Err(wrong(
                    "cannot calculate day of year without year information",
                ));
            }
            if iso {
                let days = datetime::iso_week_start(year, 1) + number - 1;
                (year, month, day) = datetime::civil(days);
            } else {
                let mut left = number;
                let mut found = 1;
                while found <= 12 && left > datetime::month_days(year, found) {
                    left -= datetime::month_days(year, found);
                    found += 1;
                }
                if month <= 1 {
                    month = found;
                }
                if day <= 1 {
                    day = left;
                }
            }
        }
        let micros = self.millis.unwrap_or(0) * 1000 + self.micros.unwrap_or(0);
        let overflow = || {
            SqlError::new(
                ErrorKind::DatetimeFieldOverflow,
                format!("date/time field value out of range: \"{text}\""),
            )
        };
        let fits = (1..=12).contains(&month)
            && day >= 1
            && day <= datetime::month_days(year, month)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..1_000_000).contains(&micros)
            && year >= -4713;
        if !fits {
            return Err(overflow());
        }
        let offset = match self.zone_sign {
            None => None,
            Some(_) if self.zone_hour > 15 || self.zone_minute > 59 => return Err(overflow()),
            Some(sign) => Some(sign * (self.zone_hour * 3600 + self.zone_minute * 60)),
        };
        let digits = self.precision.unwrap_or(6).min(6);
        let unit = 10_i64.pow(6 - u32::from(digits));
        Ok(Read {
            days: datetime::day_number(year, month, day),
            micros: ((hour * 60 + minute) * 60 + second) * 1_000_000
                + (micros + unit / 2) / unit * unit,
            offset,
        })
    }
}
