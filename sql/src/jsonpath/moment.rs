//! The moments that `datetime()` makes: read by templates as the standard wants them, shown and compared.

use std::cmp::Ordering;
use std::fmt::{Display, Formatter, Result as Shown};

use crate::error::{ErrorKind, SqlError};
use crate::functions::to_char::{self, Says};
use crate::text::{Zone, datetime, is_timestamp};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A day since 1970, microseconds of a day, microseconds since 1970; `east` are the seconds from UTC that the text said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    Date(i64),
    Time(i64),
    TimeTz { micros: i64, east: i64 },
    Timestamp(i64),
    TimestampTz { micros: i64, east: i64 },
}

/// What `datetime()` tries without a template.
const TEMPLATES: [&str; 19] = [
    "yyyy-mm-dd",
    "HH24:MI:SS.USTZH:TZM",
    "HH24:MI:SS.USTZH",
    "HH24:MI:SSTZH:TZM",
    "HH24:MI:SSTZH",
    "HH24:MI:SS.US",
    "HH24:MI:SS",
    "yyyy-mm-dd HH24:MI:SS.USTZH:TZM",
    "yyyy-mm-dd HH24:MI:SS.USTZH",
    "yyyy-mm-dd HH24:MI:SSTZH:TZM",
    "yyyy-mm-dd HH24:MI:SSTZH",
    "yyyy-mm-dd\"T\"HH24:MI:SS.USTZH:TZM",
    "yyyy-mm-dd\"T\"HH24:MI:SS.USTZH",
    "yyyy-mm-dd\"T\"HH24:MI:SSTZH:TZM",
    "yyyy-mm-dd\"T\"HH24:MI:SSTZH",
    "yyyy-mm-dd HH24:MI:SS.US",
    "yyyy-mm-dd HH24:MI:SS",
    "yyyy-mm-dd\"T\"HH24:MI:SS.US",
    "yyyy-mm-dd\"T\"HH24:MI:SS",
];

/// When a day begins; beyond all timestamps where they do not reach.
fn midnight(days: i64) -> i64 {
    days.saturating_mul(DAY)
}

impl Moment {
    /// Reads a text without a template.
    pub(super) fn read(text: &str) -> Option<Moment> {
        let mut templates = TEMPLATES.iter();
        templates.find_map(|template| {
            let template = to_char::template(template).ok()?;
            Moment::read_by(text, &template).ok()
        })
    }

    /// Reads a text by a template. After parse_datetime in PostgreSQL's formatting.c.
    pub(super) fn read_by(text: &str, template: &to_char::Nodes) -> Result<Moment, SqlError> {
        let wrong = |message: &str| SqlError::new(ErrorKind::InvalidDatetimeFormat, message);
        if template.is_empty() {
            return Err(wrong("datetime format is not dated and not timed"));
        }
        let (read, says) = to_char::read_exactly(text, template)?;
        let local = midnight(read.days).saturating_add(read.micros);
        let east = read.offset.unwrap_or(0);
        let checked = |micros: i64, name: &str| match is_timestamp(micros) {
            true => Ok(micros),
            false => {
                let message = format!("{name} out of range");
                Err(SqlError::new(ErrorKind::DatetimeFieldOverflow, message))
            }
        };
        Ok(match says {
            Says {
                date: true,
                time: true,
                zone: true,
            } => Moment::TimestampTz {
                micros: checked(local.saturating_sub(east * SECOND), "timestamptz")?,
                east,
            },
            Says {
                date: true,
                time: true,
                zone: false,
            } => Moment::Timestamp(checked(local, "timestamp")?),
            Says {
                time: false,
                zone: true,
                date: true,
            } => return Err(wrong("datetime format is zoned but not timed")),
            Says { date: true, .. } => Moment::Date(read.days),
            Says {
                time: true,
                zone: true,
                ..
            } => Moment::TimeTz {
                micros: read.micros,
                east,
            },
            Says { time: true, .. } => Moment::Time(read.micros),
            _ => return Err(wrong("datetime format is not dated and not timed")),
        })
    }

    pub(super) fn type_name(self) -> &'static str {
        match self {
            Moment::Date(_) => "date",
            Moment::Time(_) => "time without time zone",
            Moment::TimeTz { .. } => "time with time zone",
            Moment::Timestamp(_) => "timestamp without time zone",
            Moment::TimestampTz { .. } => "timestamp with time zone",
        }
    }

    /// The order of two moments; `None` where there is none. What has no zone is beside one that has in `zone`, and 0A000
    /// without.
    pub(super) fn compare(
        self,
        other: Moment,
        zone: Option<Zone>,
    ) -> Result<Option<Ordering>, SqlError> {
        use Moment::{Date, Time, TimeTz, Timestamp, TimestampTz};
        let reversed = |order: Option<Ordering>| order.map(Ordering::reverse);
        let zoned = |from: &str, to: &str| {
            zone.ok_or_else(|| {
                let message =
                    format!("cannot convert value from {from} to {to} without time zone usage");
                SqlError::new(ErrorKind::FeatureNotSupported, message)
                    .hint("Use *_tz() function for time zone support.")
            })
        };
        let in_utc = |local: i64, zone: Zone| match is_timestamp(local) {
            true => local - zone.offset_of_local(local) * SECOND,
            false => local,
        };
        Ok(match (self, other) {
            (Date(one), Date(other)) => Some(one.cmp(&other)),
            (Time(one), Time(other)) => Some(one.cmp(&other)),
            (Timestamp(one), Timestamp(other)) => Some(one.cmp(&other)),
            (TimestampTz { micros: one, .. }, TimestampTz { micros: other, .. }) => {
                Some(one.cmp(&other))
            }
            // In UTC, then the one further west is behind.
            (
                TimeTz { micros, east },
                TimeTz {
                    micros: others,
                    east: further,
                },
            ) => {
                let (one, other) = (micros - east * SECOND, others - further * SECOND);
                Some(one.cmp(&other).then(further.cmp(&east)))
            }
            (Date(days), Timestamp(other)) => Some(midnight(days).cmp(&other)),
            (Date(days), TimestampTz { micros, .. }) => {
                let zone = zoned("date", "timestamptz")?;
                Some(in_utc(midnight(days), zone).cmp(&micros))
            }
            (Timestamp(local), TimestampTz { micros, .. }) => {
                let zone = zoned("timestamp", "timestamptz")?;
                Some(in_utc(local, zone).cmp(&micros))
            }
            (Time(micros), TimeTz { .. }) => {
                let zone = zoned("time", "timetz")?;
                let east = zone.offset_at(datetime::now_micros());
                return TimeTz { micros, east }.compare(other, None);
            }
            (Timestamp(_) | TimestampTz { .. }, Date(_))
            | (TimestampTz { .. }, Timestamp(_))
            | (TimeTz { .. }, Time(_)) => reversed(other.compare(self, zone)?),
            _ => None,
        })
    }
}

/// As in json: XML Schema's form.
impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Shown {
        let mut out = String::new();
        match *self {
            Moment::Date(days) => {
                datetime::write_date(i32::try_from(days).unwrap_or(i32::MAX), &mut out);
            }
            Moment::Time(micros) => datetime::write_time(micros, &mut out),
            Moment::TimeTz { micros, east } => {
                datetime::write_time(micros, &mut out);
                write_east(east, &mut out);
            }
            Moment::Timestamp(micros) => write_timestamp(micros, None, &mut out),
            Moment::TimestampTz { micros, east } => {
                write_timestamp(micros + east * SECOND, Some(east), &mut out);
            }
        }
        f.write_str(&out)
    }
}

fn write_timestamp(local: i64, east: Option<i64>, out: &mut String) {
    let mut shown = String::new();
    datetime::write_timestamp(local, None, &mut shown);
    // The year stays as it is; what is before Christ says so at the end.
    let (moment, era) = match shown.strip_suffix(" BC") {
        Some(moment) => (moment, " BC"),
        None => (shown.as_str(), ""),
    };
    out.push_str(&moment.replacen(' ', "T", 1));
    if let Some(east) = east {
        write_east(east, out);
    }
    out.push_str(era);
}

/// Hours and minutes, also where there are none.
fn write_east(east: i64, out: &mut String) {
    datetime::write_offset(east, out);
    if east % 3600 == 0 {
        out.push_str(":00");
    }
}
