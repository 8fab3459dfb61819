//! Time zones that say themselves how far they are from UTC and when their clocks change (`CST7CDT,M4.1.0,M10.5.0`), as
//! POSIX writes them. After tzparse in PostgreSQL's localtime.c.

use std::sync::OnceLock;

use super::{DAY, SECOND, civil, day_number};

/// When clocks change in a zone that does not say.
const USUAL: &str = ",M3.2.0,M11.1.0";

/// A week's worth of hours: how far from its day a change may lie.
const HOURS_MAX: i64 = 24 * 7;

/// A zone, by its number among those that were named since the server began: it is part of every session's style, which is
/// small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Posix(u16);

/// How many different ones there may be.
const ZONES_MAX: usize = 1024;

static ZONES: [OnceLock<Rules>; ZONES_MAX] = [const { OnceLock::new() }; ZONES_MAX];

/// What its text says: seconds are east of UTC, unlike there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rules {
    name: Name,
    east: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Summer {
    name: Name,
    east: i64,
    begins: Change,
    ends: Change,
}

/// What clocks are called, in at most twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    bytes: [u8; 12],
    length: u8,
}

impl Name {
    fn new(text: &str) -> Option<Name> {
        let mut bytes = [0; 12];
        let place = bytes.get_mut(..text.len())?;
        place.copy_from_slice(text.as_bytes());
        let length = text.len().try_into().ok()?;
        Some(Name { bytes, length })
    }

    fn text(&self) -> String {
        let bytes = &self.bytes[..usize::from(self.length)];
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// A day of each year, and seconds from its midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Change {
    day: Day,
    seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Day {
    /// From 1, where February has 28 days.
    Julian(i64),
    /// From 0, the 29th of February counted.
    Of(i64),
    /// Month, week (5 is the last) and day from Sunday.
    Week(i64, i64, i64),
}

impl Change {
    /// Microseconds since 1970-01-01 by the clocks of before.
    fn in_year(self, year: i64) -> i64 {
        let first = |month| day_number(year, month, 1);
        let day = match self.day {
            Day::Of(day) => first(1) + day,
            // The 1st of March is the 60th day whether there was a 29th of February or not.
            Day::Julian(day) if day < 60 => first(1) + day - 1,
            Day::Julian(day) => first(3) + day - 60,
            Day::Week(month, week, day) => {
                let begin = first(month);
                // 1970-01-01 was a Thursday.
                let to_day = (day - (begin + 4)).rem_euclid(7);
                let next = match month {
                    12 => day_number(year + 1, 1, 1),
                    month => first(month + 1),
                };
                let last = next - 1 - (next - 1 - begin - to_day) % 7;
                last.min(begin + to_day + (week - 1) * 7)
            }
        };
        day * DAY + self.seconds * SECOND
    }
}

impl Posix {
    /// The zone of a text; `None` where it is none, or there have been too many others.
    pub(super) fn parse(text: &str) -> Option<Posix> {
        let rules = Rules::parse(text)?;
        let is_it = |zone: &OnceLock<Rules>| *zone.get_or_init(|| rules) == rules;
        let number = ZONES.iter().position(is_it)?;
        u16::try_from(number).ok().map(Posix)
    }

    fn rules(self) -> Rules {
        let rules = ZONES.get(usize::from(self.0)).and_then(OnceLock::get);
        *rules.expect("a zone has its number from the table")
    }

    /// Seconds east of UTC while its clocks are not changed.
    pub(super) fn east(self) -> i64 {
        self.rules().east
    }

    pub(super) fn is_fixed(self) -> bool {
        self.rules().summer.is_none()
    }

    /// The seconds that it is east of UTC, and what it is called, at a moment in microseconds since 1970-01-01 UTC.
    pub(super) fn at(self, micros: i64) -> (i64, String) {
        let (east, name) = self.rules().at(micros);
        (east, name.text())
    }

    /// The seconds that it is east of UTC at such a moment.
    pub(super) fn offset_at(self, micros: i64) -> i64 {
        self.rules().at(micros).0
    }

    /// The seconds that it is east of UTC when its clocks show this.
    pub(super) fn of_local(self, micros: i64) -> i64 {
        self.rules().of_local(micros)
    }
}

impl Rules {
    fn parse(text: &str) -> Option<Rules> {
        let text = text.to_ascii_uppercase();
        let mut rest = text.as_str();
        let name = Name::new(name(&mut rest)?)?;
        let west = time(&mut rest)?;
        let mut zone = Rules {
            name,
            east: -west,
            summer: None,
        };
        if rest.is_empty() {
            return Some(zone);
        }
        let name = Name::new(self::name(&mut rest)?)?;
        let east = match rest.starts_with([',', ';']) || rest.is_empty() {
            true => zone.east + 3600,
            false => -time(&mut rest)?,
        };
        if rest.is_empty() {
            rest = USUAL;
        }
        let begins = change(&mut rest)?;
        let ends = change(&mut rest)?;
        zone.summer = Some(Summer {
            name,
            east,
            begins,
            ends,
        });
        rest.is_empty().then_some(zone)
    }

    fn at(self, micros: i64) -> (i64, Name) {
        let Some(summer) = self.summer else {
            return (self.east, self.name);
        };
        let (year, ..) = civil(micros.div_euclid(DAY));
        let changes = (year - 1..=year + 1).flat_map(|year| {
            [
                (summer.begins.in_year(year) - self.east * SECOND, true),
                (summer.ends.in_year(year) - summer.east * SECOND, false),
            ]
        });
        let before = changes.filter(|(at, _)| *at <= micros);
        match before.max_by_key(|(at, _)| *at) {
            Some((_, true)) => (summer.east, summer.name),
            _ => (self.east, self.name),
        }
    }

    fn of_local(self, micros: i64) -> i64 {
        let Some(summer) = self.summer else {
            return self.east;
        };
        let fits = |east: &i64| self.at(micros - east * SECOND).0 == *east;
        let (less, more) = (self.east.min(summer.east), self.east.max(summer.east));
        match (fits(&less), fits(&more)) {
            (false, true) => more,
            // What is shown twice is the later of the two, and what is skipped is read by the time before.
            _ => less,
        }
    }
}

/// A name in letters, or in anything between `<` and `>`.
fn name<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if let Some(quoted) = rest.strip_prefix('<') {
        let (name, behind) = quoted.split_once('>')?;
        *rest = behind;
        return Some(name);
    }
    let ends = |c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '+');
    let (name, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    *rest = behind;
    Some(name)
}

/// `[+-]hours[:minutes[:seconds]]` in seconds.
fn time(rest: &mut &str) -> Option<i64> {
    let sign = match rest.strip_prefix(['-', '+']) {
        Some(behind) => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            *rest = behind;
            sign
        }
        None => 1,
    };
    let mut seconds = number(rest, 0, HOURS_MAX - 1)? * 3600;
    for (unit, max) in [(60, 59), (1, 59)] {
        match rest.strip_prefix(':') {
            Some(behind) => *rest = behind,
            None => break,
        }
        seconds += number(rest, 0, max)? * unit;
    }
    Some(sign * seconds)
}

fn number(rest: &mut &str, min: i64, max: i64) -> Option<i64> {
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let (digits, behind) = rest.split_at(end.unwrap_or(rest.len()));
    let number = digits.parse().ok()?;
    *rest = behind;
    (min..=max).contains(&number).then_some(number)
}

/// `,M4.1.0/2` and its like.
fn change(rest: &mut &str) -> Option<Change> {
    *rest = rest.strip_prefix([',', ';'])?;
    let day = if let Some(behind) = rest.strip_prefix('J') {
        *rest = behind;
        Day::Julian(number(rest, 1, 365)?)
    } else if let Some(behind) = rest.strip_prefix('M') {
        *rest = behind;
        let month = number(rest, 1, 12)?;
        *rest = rest.strip_prefix('.')?;
        let week = number(rest, 1, 5)?;
        *rest = rest.strip_prefix('.')?;
        Day::Week(month, week, number(rest, 0, 6)?)
    } else {
        Day::Of(number(rest, 0, 365)?)
    };
    let seconds = match rest.strip_prefix('/') {
        Some(behind) => {
            *rest = behind;
            time(rest)?
        }
        None => 2 * 3600,
    };
    Some(Change { day, seconds })
}
