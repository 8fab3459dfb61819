//! Time zones: what `SET TimeZone` and timestamps may name.

mod posix;

use chrono::{MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, Tz};

use super::datetime::{civil, day_number};
use crate::error::{ErrorKind, SqlError};

pub use posix::Posix;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// PostgreSQL's limit of a zone's distance from UTC.
const OFFSET_MAX: i64 = 16 * 3600;

/// A time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Of the IANA database.
    Named(Tz),
    /// So many seconds east of UTC.
    Fixed(i32),
    /// As POSIX writes them, with names of their own.
    Posix(Posix),
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::Named(Tz::UTC)
    }
}

/// Abbreviations that PostgreSQL's default set has, with their hours east of UTC.
const ABBREVIATIONS: [(&str, f32); 30] = [
    ("utc", 0.0),
    ("gmt", 0.0),
    ("z", 0.0),
    ("zulu", 0.0),
    ("ut", 0.0),
    ("uct", 0.0),
    ("wet", 0.0),
    ("west", 1.0),
    ("bst", 1.0),
    ("cet", 1.0),
    ("met", 1.0),
    ("cest", 2.0),
    ("mest", 2.0),
    ("eet", 2.0),
    ("eest", 3.0),
    ("msk", 3.0),
    ("est", -5.0),
    ("edt", -4.0),
    ("cst", -6.0),
    ("cdt", -5.0),
    ("mst", -7.0),
    ("mdt", -6.0),
    ("pst", -8.0),
    ("pdt", -7.0),
    ("akst", -9.0),
    ("akdt", -8.0),
    ("hst", -10.0),
    ("jst", 9.0),
    ("kst", 9.0),
    ("aest", 10.0),
];

impl Zone {
    /// The zone of this name, as `SET TimeZone` takes it: of the IANA database, or so many hours east of UTC.
    pub(crate) fn setting(name: &str) -> Option<Zone> {
        let name = name.trim();
        let hours = name.parse::<f64>().ok();
        if let Some(hours) = hours.filter(|hours| hours.is_finite()) {
            return Zone::east((hours * 3600.0) as i64);
        }
        Zone::named(name)
    }

    /// Those of the IANA database, with their names.
    pub(crate) fn all() -> impl Iterator<Item = (&'static str, Zone)> {
        let zones = chrono_tz::TZ_VARIANTS.iter();
        zones.map(|zone| (zone.name(), Zone::Named(*zone)))
    }

    /// The zone of this name, as `AT TIME ZONE` takes it: also an abbreviation.
    pub(crate) fn named(name: &str) -> Option<Zone> {
        if let Some(zone) = Zone::abbreviation(name) {
            return Some(zone);
        }
        if let Ok(zone) = name.parse::<Tz>() {
            return Some(Zone::Named(zone));
        }
        let known = chrono_tz::TZ_VARIANTS.iter();
        let mut same = known.filter(|zone| zone.name().eq_ignore_ascii_case(name));
        if let Some(zone) = same.next() {
            return Some(Zone::Named(*zone));
        }
        posix(name)
    }

    /// The zone of this name, as make_timestamptz takes it: in numbers its signs are those of timestamps, `+02` is east of UTC,
    /// and one must be there. `None` for an unknown name.
    pub(crate) fn of_timestamp(name: &str) -> Result<Option<Zone>, SqlError> {
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("invalid input syntax for type numeric time zone: \"{name}\"");
            let hint = "Numeric time zones must have \"-\" or \"+\" as first character.";
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message).hint(hint));
        }
        let sign = match name.chars().next() {
            Some('-') => -1,
            Some('+') => 1,
            _ => return Ok(Zone::named(name)),
        };
        let digits = &name[1..];
        let parts: Vec<&str> = match (digits.len(), digits.contains(':')) {
            (3 | 4, false) if digits.is_ascii() => {
                let (hours, minutes) = digits.split_at(digits.len() - 2);
                vec![hours, minutes]
            }
            _ => digits.split(':').collect(),
        };
        let is_part = |part: &&str| {
            matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if parts.len() > 3 || !parts.iter().all(is_part) {
            return Ok(None);
        }
        let units = parts.iter().zip([3600, 60, 1]);
        let seconds = units.map(|(part, unit)| part.parse::<i64>().unwrap_or_default() * unit);
        match Zone::east(sign * seconds.sum::<i64>()) {
            Some(zone) => Ok(Some(zone)),
            None => {
                let message = format!("numeric time zone \"{name}\" out of range");
                Err(SqlError::new(ErrorKind::InvalidParameterValue, message))
            }
        }
    }

    /// The zone that an abbreviation stands for.
    pub(crate) fn abbreviation(name: &str) -> Option<Zone> {
        let name = name.to_ascii_lowercase();
        let (_, hours) = ABBREVIATIONS.iter().find(|(known, _)| *known == name)?;
        Zone::east((hours * 3600.0) as i64)
    }

    /// The zone so many seconds east of UTC; `None` where there is none.
    pub(crate) fn east(seconds_east: i64) -> Option<Zone> {
        let seconds = i32::try_from(seconds_east).ok()?;
        (seconds_east.abs() < OFFSET_MAX).then_some(match seconds {
            0 => Zone::default(),
            seconds => Zone::Fixed(seconds),
        })
    }

    /// Whether its clocks are always as far from UTC.
    pub(crate) fn is_fixed(self) -> bool {
        match self {
            Zone::Posix(zone) => zone.is_fixed(),
            zone => matches!(zone, Zone::Fixed(_) | Zone::Named(Tz::UTC)),
        }
    }

    /// What `SHOW TimeZone` says.
    pub(crate) fn name(self) -> String {
        match self {
            Zone::Named(zone) => zone.name().to_string(),
            Zone::Fixed(east) => {
                let east = east.into();
                format!("<{}>{}", in_digits(east, ":"), in_digits(-east, ":"))
            }
            Zone::Posix(zone) => zone.at(0).1,
        }
    }

    /// What the zone is called at a moment, in microseconds since 1970-01-01 UTC.
    pub(crate) fn abbreviation_at(self, micros: i64) -> String {
        let at = match self {
            Zone::Named(zone) => clock(within_table(zone, micros)),
            Zone::Fixed(_) => None,
            Zone::Posix(zone) => return zone.at(micros).1,
        };
        match (self, at) {
            (Zone::Named(zone), Some(at)) => {
                let offset = zone.offset_from_utc_datetime(&at);
                let name = offset.abbreviation();
                let east = offset.fix().local_minus_utc();
                name.map_or_else(|| in_digits(east.into(), ""), str::to_string)
            }
            (Zone::Fixed(east), _) => in_digits(east.into(), ":"),
            _ => self.name(),
        }
    }

    /// Whether its clocks are put forward at a moment, in microseconds since 1970-01-01 UTC.
    pub(crate) fn is_dst_at(self, micros: i64) -> bool {
        match (self, clock(micros)) {
            (Zone::Named(zone), Some(at)) => {
                !zone.offset_from_utc_datetime(&at).dst_offset().is_zero()
            }
            _ => false,
        }
    }

    /// Seconds that the zone is east of UTC at a moment, in microseconds since 1970-01-01 UTC.
    pub(crate) fn offset_at(self, micros: i64) -> i64 {
        match self {
            Zone::Fixed(east) => east.into(),
            Zone::Posix(zone) => zone.offset_at(micros),
            Zone::Named(Tz::UTC) => 0,
            Zone::Named(zone) => clock(within_table(zone, micros)).map_or(0, |at| {
                zone.offset_from_utc_datetime(&at)
                    .fix()
                    .local_minus_utc()
                    .into()
            }),
        }
    }

    /// Seconds that the zone is east of UTC when its clocks show this, in microseconds since 1970-01-01.
    ///
    /// What they show twice is the later of the two, and what they skip is read by the time before, as in PostgreSQL.
    pub(crate) fn offset_of_local(self, micros: i64) -> i64 {
        let zone = match self {
            Zone::Named(zone) => zone,
            Zone::Fixed(east) => return east.into(),
            Zone::Posix(zone) => return zone.of_local(micros),
        };
        if zone == Tz::UTC {
            return 0;
        }
        let micros = within_table(zone, micros);
        let Some(local) = clock(micros) else {
            return 0;
        };
        match zone.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) => offset.fix().local_minus_utc().into(),
            MappedLocalTime::Ambiguous(first, second) => {
                let (first, second) = (
                    first.fix().local_minus_utc(),
                    second.fix().local_minus_utc(),
                );
                first.min(second).into()
            }
            // The clocks were put forward: the offset in force before.
            MappedLocalTime::None => self.offset_at(micros - 86_400 * SECOND),
        }
    }
}

/// The last year that the table of clock changes has as a whole.
const YEAR_LAST: i64 = 2099;

/// The same moment of a year like this one, where it lies behind the table of clock changes: what the zones do in its last
/// years goes on by the days of the week, and of 28 years there one begins and ends on the same days as any other.
fn within_table(zone: Tz, micros: i64) -> i64 {
    let (year, ..) = civil(micros.div_euclid(DAY));
    if year <= YEAR_LAST {
        return micros;
    }
    let begins = |year: i64| day_number(year, 1, 1);
    let days = begins(year + 1) - begins(year);
    let is_like = |like: &i64| {
        begins(like + 1) - begins(*like) == days && (begins(*like) - begins(year)) % 7 == 0
    };
    // One that has stopped changing its clocks (after 2087 in Morocco) stays so.
    let at = |month| clock(day_number(YEAR_LAST, month, 1) * DAY);
    let offset = |month| at(month).map(|at| zone.offset_from_utc_datetime(&at).fix());
    let is_still = (1..12).all(|month| offset(month) == offset(month + 1));
    let like = match is_still {
        true => Some(YEAR_LAST),
        false => (YEAR_LAST - 27..=YEAR_LAST).find(is_like),
    };
    like.map_or(micros, |like| micros - (begins(year) - begins(like)) * DAY)
}

/// `+02`, `-03:30`: seconds east of UTC with something between hours, minutes and seconds.
fn in_digits(east: i64, between: &str) -> String {
    let sign = if east < 0 { '-' } else { '+' };
    let seconds = east.unsigned_abs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match minutes {
        0 => format!("{sign}{hours:02}"),
        minutes => format!("{sign}{hours:02}{between}{minutes:02}"),
    }
}

fn clock(micros: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

/// `<+02>-02`, `EST5EDT` or `+02`: POSIX counts westward.
fn posix(name: &str) -> Option<Zone> {
    let zone = Posix::parse(name)?;
    match zone.is_fixed() && name.starts_with(['<', '+', '-']) {
        true => Zone::east(zone.east()),
        false => Some(Zone::Posix(zone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        let berlin = Zone::named("europe/berlin").unwrap();
        assert_eq!(berlin.name(), "Europe/Berlin");
        let at = |text: &str| match crate::text::parse(
            tidelog_storage::ColumnType::Timestamp(None),
            text,
        ) {
            Ok(tidelog_storage::Datum::Timestamp(micros)) => micros,
            other => panic!("{other:?}"),
        };
        assert_eq!(berlin.offset_at(at("2024-01-01 00:00")), 3600);
        assert_eq!(berlin.offset_at(at("2024-07-01 00:00")), 7200);
        // Skipped, and shown twice.
        assert_eq!(berlin.offset_of_local(at("2024-03-31 02:30")), 3600);
        assert_eq!(berlin.offset_of_local(at("2024-10-27 02:30")), 3600);
        assert_eq!(Zone::setting("-5.5"), Some(Zone::Fixed(-19_800)));
        assert_eq!(Zone::Fixed(-19_800).name(), "<-05:30>+05:30");
        assert_eq!(Zone::setting("<-05:30>+05:30"), Some(Zone::Fixed(-19_800)));
        assert_eq!(Zone::named("PST"), Some(Zone::Fixed(-8 * 3600)));
        assert_eq!(Zone::setting("nowhere"), None);
    }
}
