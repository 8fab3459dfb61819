//! `to_char` of moments: PostgreSQL's template patterns, in English.

use super::datetime::{civil, day_number};
use crate::error::SqlError;

const MONTHS: [&str; 12] = [
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
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const ROMAN: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];
/// The longer of two that begin alike stands first.
const PATTERNS: &[&str] = &[
    "A.M.", "AM", "P.M.", "PM", "A.D.", "AD", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "D",
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY",
    "IYY", "IY", "I", "J", "MI", "MM", "MONTH", "MON", "MS", "OF", "Q", "RM", "SSSSS", "SSSS",
    "SS", "TZH", "TZM", "TZ",
];
const MORE_PATTERNS: &[&str] = &["US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y", "FX"];

/// How a pattern was written.
#[derive(Clone, Copy, PartialEq)]
enum Case {
    Upper,
    Lower,
    Title,
}

/// A moment by the clocks of a place, in microseconds since 1970-01-01 00:00, and how many seconds east of UTC that is;
/// `None` where that is not known.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) micros: i64,
    pub(crate) east: Option<i64>,
}

/// The pattern at the beginning of a template, and how it was written.
fn pattern(template: &str) -> Option<(&'static str, Case)> {
    let all = PATTERNS.iter().chain(MORE_PATTERNS);
    let found = |known: &&'static str| {
        let written = template.get(..known.len())?;
        let title = || {
            let (first, rest) = known.split_at(1);
            matches!(*known, "MONTH" | "MON" | "DAY" | "DY")
                && written == format!("{first}{}", rest.to_lowercase())
        };
        if written == *known {
            Some((*known, Case::Upper))
        } else if written == known.to_lowercase() {
            Some((*known, Case::Lower))
        } else if title() {
            Some((*known, Case::Title))
        } else {
            None
        }
    };
    all.into_iter().find_map(found)
}

/// A moment by a template. 0A000 for patterns that are not there.
pub(crate) fn to_char(moment: Shown, template: &str) -> Result<String, SqlError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            // Text in quotes stands for itself.
            rest = &rest[1..];
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '"' => break,
                    '\\' => {
                        if let Some(escaped) = rest.chars().next() {
                            out.push(escaped);
                            rest = &rest[escaped.len_utf8()..];
                        }
                    }
                    c => out.push(c),
                }
            }
            continue;
        }
        let prefix = rest.get(..2).unwrap_or_default();
        let plain = prefix == "FM" || prefix == "fm";
        let body = if plain { &rest[2..] } else { rest };
        if prefix.eq_ignore_ascii_case("TM") {
            return Err(SqlError::unsupported("the template pattern TM"));
        }
        let Some((found, case)) = pattern(body) else {
            rest = match plain {
                true => body,
                false => {
                    out.push(first);
                    &rest[first.len_utf8()..]
                }
            };
            continue;
        };
        rest = &body[found.len()..];
        let number = piece(moment, found, case, plain, &mut out)?;
        let suffix = rest.get(..2).filter(|two| *two == "TH" || *two == "th");
        if let (Some(number), Some(suffix)) = (number, suffix) {
            let ordinal = ordinal(number);
            out.push_str(&match suffix {
                "TH" => ordinal.to_uppercase(),
                _ => ordinal.to_string(),
            });
            rest = &rest[2..];
        }
    }
    Ok(out)
}

fn ordinal(number: i64) -> &'static str {
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

/// Appends what a pattern stands for; gives the number that it is.
fn piece(
    moment: Shown,
    found: &str,
    case: Case,
    plain: bool,
    out: &mut String,
) -> Result<Option<i64>, SqlError> {
    const DAY: i64 = 86_400_000_000;
    let (days, clock) = (moment.micros.div_euclid(DAY), moment.micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute) = (clock / 3_600_000_000, clock / 60_000_000 % 60);
    let (second, fraction) = (clock / 1_000_000 % 60, clock % 1_000_000);
    // There is no year 0: 1 BC comes before 1.
    let shown_year = if year <= 0 { 1 - year } else { year };
    let of_week = (days + 4).rem_euclid(7);
    let of_year = days - day_number(year, 1, 1) + 1;
    let (iso_year, iso_week, iso_day) = iso(days);
    let shown_iso = if iso_year <= 0 {
        1 - iso_year
    } else {
        iso_year
    };
    let cased = |text: &str| match case {
        Case::Upper => text.to_uppercase(),
        Case::Lower => text.to_lowercase(),
        Case::Title => text.to_string(),
    };
    let padded = |text: String, width: usize| match plain {
        true => text,
        false => format!("{text:<width$}"),
    };
    let mut count = |number: i64, width: usize| {
        out.push_str(&match plain {
            true => number.to_string(),
            false => format!("{number:0>width$}"),
        });
        Ok(Some(number))
    };
    match found {
        "HH24" => return count(hour, 2),
        "HH12" | "HH" => return count(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "MI" => return count(minute, 2),
        "SS" => return count(second, 2),
        "SSSSS" | "SSSS" => return count(clock / 1_000_000, 1),
        "YYYY" => return count(shown_year, 4),
        "YYY" => return count(shown_year % 1000, 3),
        "YY" => return count(shown_year % 100, 2),
        "Y" => return count(shown_year % 10, 1),
        "IYYY" => return count(shown_iso, 4),
        "IYY" => return count(shown_iso % 1000, 3),
        "IY" => return count(shown_iso % 100, 2),
        "I" => return count(shown_iso % 10, 1),
        "MM" => return count(month, 2),
        "DDD" => return count(of_year, 3),
        "IDDD" => return count((iso_week - 1) * 7 + iso_day, 3),
        "DD" => return count(day, 2),
        "D" => return count(of_week + 1, 1),
        "ID" => return count(iso_day, 1),
        "WW" => return count((of_year - 1) / 7 + 1, 2),
        "W" => return count((day - 1) / 7 + 1, 1),
        "IW" => return count(iso_week, 2),
        "Q" => return count((month - 1) / 3 + 1, 1),
        "J" => return count(days + 2_440_588, 1),
        "CC" if year > 0 => return count((year - 1) / 100 + 1, 2),
        // With its sign, three wide.
        "CC" => {
            let century = year / 100 - 1;
            out.push_str(&match plain {
                true => century.to_string(),
                false => format!("{century:03}"),
            });
            return Ok(Some(century));
        }
        _ => {}
    }
    let text = match found {
        "AM" | "PM" => cased(if hour >= 12 { "PM" } else { "AM" }),
        "A.M." | "P.M." => cased(if hour >= 12 { "P.M." } else { "A.M." }),
        "AD" | "BC" => cased(if year <= 0 { "BC" } else { "AD" }),
        "A.D." | "B.C." => cased(if year <= 0 { "B.C." } else { "A.D." }),
        "MS" => format!("{:03}", fraction / 1000),
        "US" => format!("{fraction:06}"),
        fraction_of if fraction_of.starts_with("FF") => {
            let digits = usize::from(fraction_of.as_bytes()[2] - b'0');
            format!("{fraction:06}")[..digits].to_string()
        }
        "Y,YYY" => format!("{},{:03}", shown_year / 1000, shown_year % 1000),
        "MONTH" => padded(cased(MONTHS[month_index(month)]), 9),
        "MON" => cased(&MONTHS[month_index(month)][..3]),
        "DAY" => padded(cased(DAYS[of_week as usize]), 9),
        "DY" => cased(&DAYS[of_week as usize][..3]),
        "RM" => padded(cased(ROMAN[month_index(month)]), 4),
        "TZ" => match moment.east {
            None => String::new(),
            Some(0) => cased("UTC"),
            Some(_) => return Err(SqlError::unsupported("the template pattern TZ")),
        },
        "TZH" => match moment.east {
            None => {
                return Err(SqlError::unsupported(
                    "the template pattern TZH of a timestamp",
                ));
            }
            Some(east) => format!("{}{:02}", sign(east), east.abs() / 3600),
        },
        "TZM" => format!("{:02}", moment.east.unwrap_or(0).abs() % 3600 / 60),
        "OF" => {
            let east = moment.east.unwrap_or(0);
            let (hours, minutes) = (east.abs() / 3600, east.abs() % 3600 / 60);
            match minutes {
                0 => format!("{}{hours:02}", sign(east)),
                _ => format!("{}{hours:02}:{minutes:02}", sign(east)),
            }
        }
        other => {
            return Err(SqlError::unsupported(format!(
                "the template pattern {other}"
            )));
        }
    };
    out.push_str(&text);
    Ok(None)
}

fn sign(east: i64) -> char {
    if east < 0 { '-' } else { '+' }
}

fn month_index(month: i64) -> usize {
    usize::try_from(month - 1).map_or(0, |at| at.min(11))
}

/// The year, week and day of the week that ISO 8601 counts.
fn iso(days: i64) -> (i64, i64, i64) {
    let day = (days + 3).rem_euclid(7) + 1;
    // The week's Thursday says which year it is of.
    let thursday = days - day + 4;
    let (year, ..) = civil(thursday);
    let week = (thursday - day_number(year, 1, 1)) / 7 + 1;
    (year, week, day)
}
