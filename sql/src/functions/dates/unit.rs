//! Units of time: what of a value each is, and how a value is cut to one.

use tidelog_storage::Interval;

use super::{DAY, Part, SECOND};
use crate::text::datetime;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Epoch,
    Julian,
    IsoYear,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Zone,
    ZoneHour,
    ZoneMinute,
}

/// `None` when the type has no such part.
type Found = Option<Part>;

/// In order.
const NAMES: [(&str, Unit); 63] = [
    ("c", Unit::Century),
    ("cent", Unit::Century),
    ("centuries", Unit::Century),
    ("century", Unit::Century),
    ("d", Unit::Day),
    ("day", Unit::Day),
    ("days", Unit::Day),
    ("dec", Unit::Decade),
    ("decade", Unit::Decade),
    ("decades", Unit::Decade),
    ("decs", Unit::Decade),
    ("dow", Unit::DayOfWeek),
    ("doy", Unit::DayOfYear),
    ("epoch", Unit::Epoch),
    ("h", Unit::Hour),
    ("hour", Unit::Hour),
    ("hours", Unit::Hour),
    ("hr", Unit::Hour),
    ("hrs", Unit::Hour),
    ("isodow", Unit::IsoDayOfWeek),
    ("isoyear", Unit::IsoYear),
    ("julian", Unit::Julian),
    ("m", Unit::Minute),
    ("microsecon", Unit::Microsecond),
    ("mil", Unit::Millennium),
    ("millennia", Unit::Millennium),
    ("millennium", Unit::Millennium),
    ("millisecon", Unit::Millisecond),
    ("mils", Unit::Millennium),
    ("min", Unit::Minute),
    ("mins", Unit::Minute),
    ("minute", Unit::Minute),
    ("minutes", Unit::Minute),
    ("mon", Unit::Month),
    ("mons", Unit::Month),
    ("month", Unit::Month),
    ("months", Unit::Month),
    ("ms", Unit::Millisecond),
    ("msec", Unit::Millisecond),
    ("msecond", Unit::Millisecond),
    ("mseconds", Unit::Millisecond),
    ("msecs", Unit::Millisecond),
    ("qtr", Unit::Quarter),
    ("quarter", Unit::Quarter),
    ("s", Unit::Second),
    ("sec", Unit::Second),
    ("second", Unit::Second),
    ("seconds", Unit::Second),
    ("secs", Unit::Second),
    ("timezone", Unit::Zone),
    ("timezone_h", Unit::ZoneHour),
    ("timezone_m", Unit::ZoneMinute),
    ("us", Unit::Microsecond),
    ("usec", Unit::Microsecond),
    ("usecs", Unit::Microsecond),
    ("w", Unit::Week),
    ("week", Unit::Week),
    ("weeks", Unit::Week),
    ("y", Unit::Year),
    ("year", Unit::Year),
    ("years", Unit::Year),
    ("yr", Unit::Year),
    ("yrs", Unit::Year),
];

/// Bytes of a name that count, in PostgreSQL.
const NAME_MAX: usize = 10;

/// The year as it is called: there is no year 0.
fn called(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// Which one of so many years a year is in, counted from 1 and from -1.
fn grouped(year: i64, years: i64) -> i64 {
    match year > 0 {
        true => (year + years - 1) / years,
        false => -((years - 1 - (year - 1)) / years),
    }
}

fn decade(year: i64) -> i64 {
    year.div_euclid(10)
}

fn number(value: i64) -> Found {
    Some(Part::Number(value.into(), 0))
}

impl Unit {
    /// The unit of this name, whatever its case.
    pub(super) fn named(name: &str) -> Option<Unit> {
        let name = || {
            name.bytes()
                .take(NAME_MAX)
                .map(|byte| byte.to_ascii_lowercase())
        };
        let at = NAMES.binary_search_by(|(known, _)| known.bytes().cmp(name()));
        at.ok().map(|at| NAMES[at].1)
    }

    /// Whether a cut to it ends at a midnight.
    pub(super) fn is_of_days(self) -> bool {
        self >= Unit::Day
    }

    /// The beginning of the unit that a local time is in.
    pub(super) fn cut(self, at: i64) -> Option<i64> {
        let days = at.div_euclid(DAY);
        let (year, month, _) = datetime::civil(days);
        let first = |year: i64, month: i64| datetime::day_number(year, month, 1).checked_mul(DAY);
        match self {
            Unit::Microsecond => Some(at),
            Unit::Millisecond => Some(at - at.rem_euclid(1000)),
            Unit::Second => Some(at - at.rem_euclid(SECOND)),
            Unit::Minute => Some(at - at.rem_euclid(60 * SECOND)),
            Unit::Hour => Some(at - at.rem_euclid(3600 * SECOND)),
            Unit::Day => Some(at - at.rem_euclid(DAY)),
            Unit::Week => Some((days - (days + 3).rem_euclid(7)) * DAY),
            Unit::Month => first(year, month),
            Unit::Quarter => first(year, (month - 1) / 3 * 3 + 1),
            Unit::Year => first(year, 1),
            Unit::Decade => first(decade(year) * 10, 1),
            Unit::Century | Unit::Millennium => {
                let years = if self == Unit::Century { 100 } else { 1000 };
                let group = grouped(year, years);
                first(
                    match group > 0 {
                        true => (group - 1) * years + 1,
                        false => group * years + 1,
                    },
                    1,
                )
            }
            _ => None,
        }
    }

    /// An interval without what is smaller.
    pub(super) fn cut_interval(self, value: Interval) -> Option<Interval> {
        let of_time = |unit: i64| Interval {
            micros: value.micros - value.micros % unit,
            ..value
        };
        let of_months = |unit: i32| Interval {
            months: value.months - value.months % unit,
            days: 0,
            micros: 0,
        };
        Some(match self {
            Unit::Microsecond => value,
            Unit::Millisecond => of_time(1000),
            Unit::Second => of_time(SECOND),
            Unit::Minute => of_time(60 * SECOND),
            Unit::Hour => of_time(3600 * SECOND),
            Unit::Day => Interval { micros: 0, ..value },
            Unit::Month => of_months(1),
            Unit::Quarter => of_months(3),
            Unit::Year => of_months(12),
            Unit::Decade => of_months(120),
            Unit::Century => of_months(1200),
            Unit::Millennium => of_months(12_000),
            _ => return None,
        })
    }

    pub(super) fn of_endless(self, positive: bool) -> Found {
        match self {
            Unit::Year
            | Unit::Decade
            | Unit::Century
            | Unit::Millennium
            | Unit::Julian
            | Unit::IsoYear
            | Unit::Epoch => Some(Part::Endless(positive)),
            _ => Some(Part::Null),
        }
    }

    /// A part of a day since 1970.
    pub(super) fn of_date(self, days: i64) -> Found {
        match self {
            Unit::Epoch => number(days * 86_400),
            Unit::Julian => number(days + datetime::JULIAN_1970),
            unit => unit.of_day(days),
        }
    }

    fn of_day(self, days: i64) -> Found {
        let (year, month, day) = datetime::civil(days);
        let weekday = (days + 4).rem_euclid(7);
        number(match self {
            Unit::Day => day,
            Unit::Month => month,
            Unit::Quarter => (month - 1) / 3 + 1,
            Unit::Week => datetime::iso_week(days).1,
            Unit::Year => called(year),
            Unit::Decade => decade(year),
            Unit::Century => grouped(year, 100),
            Unit::Millennium => grouped(year, 1000),
            Unit::IsoYear => called(datetime::iso_week(days).0),
            Unit::DayOfWeek => weekday,
            Unit::IsoDayOfWeek if weekday == 0 => 7,
            Unit::IsoDayOfWeek => weekday,
            Unit::DayOfYear => days - datetime::day_number(year, 1, 1) + 1,
            _ => return None,
        })
    }

    /// A part of the moment `at` where clocks show `local`, so many seconds east of UTC.
    pub(super) fn of_moment(self, at: i64, local: i64, east: Option<i64>) -> Found {
        let (days, micros) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        match self {
            Unit::Epoch => Some(Part::Number(at.into(), 6)),
            Unit::Julian => Some(Part::Julian(days + datetime::JULIAN_1970, micros)),
            unit if unit <= Unit::Hour => unit.of_time(micros, east),
            Unit::Zone | Unit::ZoneHour | Unit::ZoneMinute => self.of_zone(east),
            unit => unit.of_day(days),
        }
    }

    fn of_zone(self, east: Option<i64>) -> Found {
        let east = east?;
        number(match self {
            Unit::Zone => east,
            Unit::ZoneHour => east / 3600,
            _ => east % 3600 / 60,
        })
    }

    /// A part of a time of day.
    pub(super) fn of_time(self, micros: i64, east: Option<i64>) -> Found {
        let of_minute = i128::from(micros % (60 * SECOND));
        Some(match self {
            Unit::Microsecond => Part::Number(of_minute, 0),
            Unit::Millisecond => Part::Number(of_minute, 3),
            Unit::Second => Part::Number(of_minute, 6),
            Unit::Minute => return number(micros / (60 * SECOND) % 60),
            Unit::Hour => return number(micros / (3600 * SECOND)),
            Unit::Epoch => {
                let utc = micros - east.unwrap_or(0) * SECOND;
                Part::Number(utc.into(), 6)
            }
            Unit::Zone | Unit::ZoneHour | Unit::ZoneMinute => return self.of_zone(east),
            _ => return None,
        })
    }

    pub(super) fn of_interval(self, value: Interval) -> Found {
        let (years, months) = (i64::from(value.months / 12), i64::from(value.months % 12));
        match self {
            Unit::Day => number(value.days.into()),
            Unit::Month => number(months),
            Unit::Quarter => number(months / 3 + 1),
            Unit::Year => number(years),
            Unit::Decade => number(years / 10),
            Unit::Century => number(years / 100),
            Unit::Millennium => number(years / 1000),
            Unit::Epoch => {
                // A year of 365.25 days and a month of 30, in quarters of a day.
                let quarters = 1461 * years + 120 * months + 4 * i64::from(value.days);
                let micros = i128::from(quarters) * i128::from(DAY / 4) + i128::from(value.micros);
                Some(Part::Number(micros, 6))
            }
            unit if unit <= Unit::Hour => unit.of_time(value.micros, None),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_by_all_of_their_names() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
        for (name, unit) in NAMES {
            assert_eq!(Unit::named(&name.to_uppercase()), Some(unit), "{name}");
        }
        assert_eq!(Unit::named("milliseconds"), Some(Unit::Millisecond));
        assert_eq!(Unit::named("timezone_minute"), Some(Unit::ZoneMinute));
        assert_eq!(Unit::named("fortnight"), None);
    }
}
