//! Functions of dates and times that cut, take apart and make them.

use datafusion::common::ScalarValue;
use tidelog_storage::{Interval, TimeTz};

use super::call::dsl::*;
use crate::text::{Zone, datetime, is_timestamp};

mod unit;

use unit::Unit;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

pub(super) const FUNCTIONS: &[Function] = &[
    f(
        "date_trunc",
        &[TEXT, TIMESTAMP],
        T::Timestamp(None),
        |_, args| {
            let at = micros(args[1]);
            let unit = unit_of(args[0], T::Timestamp(None))?;
            Ok(Datum::Timestamp(match is_endless(at) {
                true => at,
                false => unit
                    .cut(at)
                    .ok_or_else(|| unit_error(args[0], T::Timestamp(None)))?,
            }))
        },
    ),
    f(
        "date_trunc",
        &[TEXT, TIMESTAMPTZ],
        T::TimestampTz(None),
        |env, args| cut_in(args, env.style.zone),
    )
    .stable(),
    f(
        "date_trunc",
        &[TEXT, TIMESTAMPTZ, TEXT],
        T::TimestampTz(None),
        |_, args| cut_in(args, zone(text(args[2]))?),
    ),
    f(
        "date_trunc",
        &[TEXT, INTERVAL],
        T::Interval(None),
        |_, args| {
            let value = interval(args[1]);
            let unit = unit_of(args[0], T::Interval(None))?;
            match unit.cut_interval(value) {
                Some(value) => Ok(Datum::Interval(value)),
                None if unit == Unit::Week => Err(unit_error(args[0], T::Interval(None))
                    .detail("Months usually have fractional weeks.")),
                None => Err(unit_error(args[0], T::Interval(None))),
            }
        },
    ),
    f("extract", &[TEXT, DATE], DECIMAL, |env, args| {
        extract(env, args, T::Date)
    })
    .shape(part_shape),
    f("extract", &[TEXT, TIMESTAMP], DECIMAL, |env, args| {
        extract(env, args, T::Timestamp(None))
    })
    .shape(part_shape),
    f("extract", &[TEXT, TIMESTAMPTZ], DECIMAL, |env, args| {
        extract(env, args, T::TimestampTz(None))
    })
    .shape(part_shape)
    .stable(),
    f("extract", &[TEXT, TIME], DECIMAL, |env, args| {
        extract(env, args, T::Time(None))
    })
    .shape(part_shape),
    f("extract", &[TEXT, TIMETZ], DECIMAL, |env, args| {
        extract(env, args, T::TimeTz(None))
    })
    .shape(part_shape),
    f("extract", &[TEXT, INTERVAL], DECIMAL, |env, args| {
        extract(env, args, T::Interval(None))
    })
    .shape(part_shape),
    // A date's is its timestamp's.
    f("date_part", &[TEXT, DATE], T::Float8, |env, args| {
        let at = match args[1] {
            DatumRef::Date(days) => datetime::midnight(days)?,
            other => micros(other),
        };
        date_part(env, &[args[0], DatumRef::Timestamp(at)], T::Timestamp(None))
    }),
    f("date_part", &[TEXT, TIMESTAMP], T::Float8, |env, args| {
        date_part(env, args, T::Timestamp(None))
    }),
    f("date_part", &[TEXT, TIMESTAMPTZ], T::Float8, |env, args| {
        date_part(env, args, T::TimestampTz(None))
    })
    .stable(),
    f("date_part", &[TEXT, TIME], T::Float8, |env, args| {
        date_part(env, args, T::Time(None))
    }),
    f("date_part", &[TEXT, TIMETZ], T::Float8, |env, args| {
        date_part(env, args, T::TimeTz(None))
    }),
    f("date_part", &[TEXT, INTERVAL], T::Float8, |env, args| {
        date_part(env, args, T::Interval(None))
    }),
    f("make_date", &[INT4, INT4, INT4], T::Date, |_, args| {
        let days = day(args)?;
        Ok(Datum::Date(
            i32::try_from(days).map_err(|_| day_error(args))?,
        ))
    }),
    f(
        "make_time",
        &[INT4, INT4, FLOAT8],
        T::Time(None),
        |_, args| Ok(Datum::Time(clock(args)?)),
    ),
    f(
        "make_timestamp",
        &[INT4, INT4, INT4, INT4, INT4, FLOAT8],
        T::Timestamp(None),
        |_, args| Ok(Datum::Timestamp(local(args)?)),
    ),
    f(
        "make_timestamptz",
        &[INT4, INT4, INT4, INT4, INT4, FLOAT8],
        T::TimestampTz(None),
        |env, args| {
            let at = datetime::moment_of(local(args)?, env.style.zone)?;
            Ok(Datum::TimestampTz(at))
        },
    )
    .stable(),
    f(
        "make_timestamptz",
        &[INT4, INT4, INT4, INT4, INT4, FLOAT8, TEXT],
        T::TimestampTz(None),
        |_, args| {
            let zone = zone_of_timestamp(text(args[6]))?;
            Ok(Datum::TimestampTz(datetime::moment_of(local(args)?, zone)?))
        },
    ),
    f("isfinite", &[DATE], T::Bool, |_, args| {
        let endless = matches!(args[0], DatumRef::Date(i32::MAX | i32::MIN));
        Ok(Datum::Bool(!endless))
    }),
    f("isfinite", &[TIMESTAMP], T::Bool, |_, args| {
        Ok(Datum::Bool(!is_endless(micros(args[0]))))
    }),
    f("isfinite", &[TIMESTAMPTZ], T::Bool, |_, args| {
        Ok(Datum::Bool(!is_endless(micros(args[0]))))
    }),
    f("isfinite", &[INTERVAL], T::Bool, |_, _| {
        Ok(Datum::Bool(true))
    }),
    f(
        "date_bin",
        &[INTERVAL, TIMESTAMP, TIMESTAMP],
        T::Timestamp(None),
        |_, args| Ok(Datum::Timestamp(bin(args)?)),
    ),
    f(
        "date_bin",
        &[INTERVAL, TIMESTAMPTZ, TIMESTAMPTZ],
        T::TimestampTz(None),
        |_, args| Ok(Datum::TimestampTz(bin(args)?)),
    ),
    f("clock_timestamp", &[], T::TimestampTz(None), |_, _| {
        Ok(Datum::TimestampTz(datetime::now_micros()))
    })
    .volatile(),
    f(
        "transaction_timestamp",
        &[TIMESTAMPTZ],
        T::TimestampTz(None),
        |_, args| Ok(Datum::TimestampTz(micros(args[0]))),
    )
    .stable(),
    // The keywords, which the planner gives the moment of the transaction.
    f("current_date", &[TIMESTAMPTZ], T::Date, |env, args| {
        let days = Clocks::at(env, args).local.div_euclid(DAY);
        let days = i32::try_from(days)
            .map_err(|_| SqlError::new(ErrorKind::DatetimeFieldOverflow, "date out of range"))?;
        Ok(Datum::Date(days))
    })
    .stable(),
    f(
        "current_time",
        &[TIMESTAMPTZ],
        T::TimeTz(None),
        current_time,
    )
    .stable(),
    f("localtime", &[TIMESTAMPTZ], T::Time(None), local_time).stable(),
    f(
        "localtimestamp",
        &[TIMESTAMPTZ],
        T::Timestamp(None),
        local_timestamp,
    )
    .stable(),
    f(
        "current_timestamp",
        &[TIMESTAMPTZ],
        T::TimestampTz(None),
        current_timestamp,
    )
    .stable(),
    f("statement_timestamp", &[], T::TimestampTz(None), |_, _| {
        Ok(Datum::TimestampTz(datetime::now_micros()))
    })
    .stable(),
    f("timeofday", &[], T::Text, |env, _| {
        let now = datetime::now_micros();
        let template = "Dy Mon DD HH24:MI:SS.US YYYY TZ";
        super::to_char::moment(template, DatumRef::TimestampTz(now), env.style)
    })
    .volatile(),
    f("overlaps", &[TIMESTAMP; 4], T::Bool, overlaps).called_on_null(),
    f("overlaps", &[TIMESTAMPTZ; 4], T::Bool, overlaps).called_on_null(),
    f("overlaps", &[TIME; 4], T::Bool, overlaps).called_on_null(),
    f("overlaps", &[TIMETZ; 4], T::Bool, overlaps).called_on_null(),
    f(
        "overlaps",
        &[TIMESTAMP, INTERVAL, TIMESTAMP, INTERVAL],
        T::Bool,
        overlaps,
    )
    .called_on_null(),
    f(
        "overlaps",
        &[TIMESTAMP, TIMESTAMP, TIMESTAMP, INTERVAL],
        T::Bool,
        overlaps,
    )
    .called_on_null(),
    f(
        "overlaps",
        &[TIMESTAMP, INTERVAL, TIMESTAMP, TIMESTAMP],
        T::Bool,
        overlaps,
    )
    .called_on_null(),
    f(
        "overlaps",
        &[TIMESTAMPTZ, INTERVAL, TIMESTAMPTZ, INTERVAL],
        T::Bool,
        overlaps,
    )
    .called_on_null()
    .stable(),
    f(
        "overlaps",
        &[TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ, INTERVAL],
        T::Bool,
        overlaps,
    )
    .called_on_null()
    .stable(),
    f(
        "overlaps",
        &[TIMESTAMPTZ, INTERVAL, TIMESTAMPTZ, TIMESTAMPTZ],
        T::Bool,
        overlaps,
    )
    .called_on_null()
    .stable(),
];

fn micros(value: DatumRef<'_>) -> i64 {
    match value {
        DatumRef::Timestamp(at) | DatumRef::TimestampTz(at) | DatumRef::Time(at) => at,
        other => unreachable!("{other:?} is no time: its parameter is"),
    }
}

fn interval(value: DatumRef<'_>) -> Interval {
    match value {
        DatumRef::Interval(value) => value,
        other => unreachable!("{other:?} is no interval: its parameter is"),
    }
}

/// What the session's clocks show at a moment.
struct Clocks {
    local: i64,
    east: i64,
}

impl Clocks {
    fn at(env: &Env<'_>, args: &[DatumRef<'_>]) -> Clocks {
        let at = micros(args[0]);
        let east = env.style.zone.offset_at(at);
        Clocks {
            local: at + east * SECOND,
            east,
        }
    }
}

fn current_time(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let clocks = Clocks::at(env, args);
    Ok(Datum::TimeTz(TimeTz {
        micros: clocks.local.rem_euclid(DAY),
        west: -(clocks.east as i32),
    }))
}

fn local_time(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let local = Clocks::at(env, args).local;
    Ok(Datum::Time(local.rem_euclid(DAY)))
}

fn local_timestamp(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    Ok(Datum::Timestamp(Clocks::at(env, args).local))
}

fn current_timestamp(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let Clocks { local, east } = Clocks::at(env, args);
    Ok(Datum::TimestampTz(local - east * SECOND))
}

fn is_endless(at: i64) -> bool {
    matches!(at, i64::MIN | i64::MAX)
}

fn zone(name: &str) -> Result<Zone, SqlError> {
    Zone::named(name).ok_or_else(|| refused(format!("time zone \"{name}\" not recognized")))
}

/// The same, for a zone as timestamps have it behind them.
fn zone_of_timestamp(name: &str) -> Result<Zone, SqlError> {
    let zone = Zone::of_timestamp(name)?;
    zone.ok_or_else(|| refused(format!("time zone \"{name}\" not recognized")))
}

/// The unit of this name, for a type.
fn unit_of(name: DatumRef<'_>, ty: T) -> Result<Unit, SqlError> {
    Unit::named(text(name)).ok_or_else(|| {
        refused(format!(
            "unit \"{}\" not recognized for type {}",
            text(name).to_lowercase(),
            crate::types::name(ty)
        ))
    })
}

/// 0A000: the type has no such part.
fn unit_error(name: DatumRef<'_>, ty: T) -> SqlError {
    SqlError::new(
        ErrorKind::FeatureNotSupported,
        format!(
            "unit \"{}\" not supported for type {}",
            text(name).to_lowercase(),
            crate::types::name(ty)
        ),
    )
}

fn cut_in(args: &[DatumRef<'_>], zone: Zone) -> Outcome {
    let at = micros(args[1]);
    let unit = unit_of(args[0], T::TimestampTz(None))?;
    if is_endless(at) {
        return Ok(Datum::TimestampTz(at));
    }
    let offset = zone.offset_at(at) * SECOND;
    let cut = unit
        .cut(datetime::local_of(at, zone)?)
        .ok_or_else(|| unit_error(args[0], T::TimestampTz(None)))?;
    // Days may begin at another offset than hours in them.
    Ok(Datum::TimestampTz(match unit.is_of_days() {
        true => datetime::moment_of(cut, zone)?,
        false => cut - offset,
    }))
}

/// A part of a value: an integer and how many of its digits stand behind the point.
enum Part {
    Number(i128, i32),
    /// The part of something infinite, positive if `true`.
    Endless(bool),
    /// A day and the microseconds into it.
    Julian(i64, i64),
    Null,
}

fn part(env: &Env<'_>, args: &[DatumRef<'_>], ty: T) -> Result<Part, SqlError> {
    let unit = unit_of(args[0], ty)?;
    let found = match args[1] {
        DatumRef::Date(days @ (i32::MAX | i32::MIN)) => unit.of_endless(days > 0),
        DatumRef::Date(days) => unit.of_date(days.into()),
        DatumRef::Timestamp(at) | DatumRef::TimestampTz(at) if is_endless(at) => {
            unit.of_endless(at > 0)
        }
        DatumRef::Timestamp(at) => unit.of_moment(at, at, None),
        DatumRef::TimestampTz(at) => {
            let east = env.style.zone.offset_at(at);
            let local = datetime::local_of(at, env.style.zone)?;
            unit.of_moment(at, local, Some(east))
        }
        DatumRef::Time(at) => unit.of_time(at, None),
        DatumRef::TimeTz(TimeTz { micros, west }) => unit.of_time(micros, Some(-i64::from(west))),
        value => unit.of_interval(interval(value)),
    };
    found.ok_or_else(|| unit_error(args[0], ty))
}

fn extract(env: &Env<'_>, args: &[DatumRef<'_>], ty: T) -> Outcome {
    match part(env, args, ty)? {
        Part::Number(value, scale) => number(&Decimal::new(value.into(), scale)),
        Part::Julian(day, micros) => {
            let share = Decimal::from(micros).divided_by(&Decimal::from(DAY));
            number(&Decimal::from(day).plus(&share))
        }
        Part::Endless(_) => Err(SqlError::unsupported("an infinite numeric")),
        Part::Null => Ok(Datum::Null),
    }
}

fn date_part(env: &Env<'_>, args: &[DatumRef<'_>], ty: T) -> Outcome {
    Ok(match part(env, args, ty)? {
        Part::Number(value, scale) => Datum::Float8(value as f64 / 10_f64.powi(scale)),
        Part::Julian(day, micros) => Datum::Float8(day as f64 + micros as f64 / DAY as f64),
        Part::Endless(true) => Datum::Float8(f64::INFINITY),
        Part::Endless(false) => Datum::Float8(f64::NEG_INFINITY),
        Part::Null => Datum::Null,
    })
}

/// The scale of a part, which its unit and the type tell.
fn part_shape(given: &[Option<T>], constants: &[Option<&ScalarValue>]) -> Option<(u8, i8)> {
    let Some(ScalarValue::Utf8(Some(name))) = constants.first()? else {
        return None;
    };
    let is_date = *given.get(1)? == Some(T::Date);
    Some(match Unit::named(name)? {
        Unit::Millisecond => (30, 3),
        Unit::Second => (30, 6),
        Unit::Epoch if !is_date => (30, 6),
        Unit::Julian if !is_date => return None,
        _ => (30, 0),
    })
}

fn day_error(args: &[DatumRef<'_>]) -> SqlError {
    SqlError::new(
        ErrorKind::DatetimeFieldOverflow,
        format!(
            "date field value out of range: {}-{:02}-{:02}",
            int(args[0]),
            int(args[1]),
            int(args[2])
        ),
    )
}

fn day(args: &[DatumRef<'_>]) -> Result<i64, SqlError> {
    let (year, month, day) = (int(args[0]), int(args[1]), int(args[2]));
    let counted = if year < 0 { year + 1 } else { year };
    let fits = year != 0
        && (-4713..=5_874_897).contains(&counted)
        && (1..=12).contains(&month)
        && day >= 1
        && day <= datetime::month_days(counted, month);
    match fits {
        true => Ok(datetime::day_number(counted, month, day)),
        false => Err(day_error(args)),
    }
}

/// Microseconds of a day, from hours, minutes and seconds.
fn clock(args: &[DatumRef<'_>]) -> Result<i64, SqlError> {
    let (hour, minute, second) = (int(args[0]), int(args[1]), float(args[2]));
    let micros = (second * 1e6).round_ties_even();
    let fits = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60e6).contains(&micros)
        && (hour < 24 || minute == 0 && micros == 0.0);
    if !fits {
        let shown = match second.fract() == 0.0 {
            true => format!("{second:02}"),
            false => format!("{second}"),
        };
        let message = format!("time field value out of range: {hour}:{minute:02}:{shown}");
        return Err(SqlError::new(ErrorKind::DatetimeFieldOverflow, message));
    }
    Ok((hour * 60 + minute) * 60 * SECOND + micros as i64)
}

fn local(args: &[DatumRef<'_>]) -> Result<i64, SqlError> {
    let days = day(args)?;
    let clock = clock(&args[3..])?;
    let at = days
        .checked_mul(DAY)
        .and_then(|start| start.checked_add(clock));
    at.filter(|at| is_timestamp(*at)).ok_or_else(|| {
        SqlError::new(
            ErrorKind::DatetimeFieldOverflow,
            format!(
                "timestamp out of range: {}-{:02}-{:02} {}:{:02}:{:02}",
                int(args[0]),
                int(args[1]),
                int(args[2]),
                int(args[3]),
                int(args[4]),
                float(args[5])
            ),
        )
    })
}

fn bin(args: &[DatumRef<'_>]) -> Result<i64, SqlError> {
    let (stride, source, origin) = (interval(args[0]), micros(args[1]), micros(args[2]));
    if is_endless(source) {
        return Ok(source);
    }
    let wrong = |message| SqlError::new(ErrorKind::DatetimeFieldOverflow, message);
    if is_endless(origin) {
        return Err(wrong("origin out of range"));
    }
    if stride.months != 0 {
        let message = "timestamps cannot be binned into intervals containing months or years";
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    let width = i64::from(stride.days)
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(stride.micros))
        .ok_or_else(|| wrong("interval out of range"))?;
    if width <= 0 {
        return Err(wrong("stride must be greater than zero"));
    }
    let apart = source
        .checked_sub(origin)
        .ok_or_else(|| wrong("interval out of range"))?;
    Ok(source - apart.rem_euclid(width))
}

/// Whether two periods have a moment in common; after overlaps_timestamp in PostgreSQL's timestamp.c.
fn overlaps(env: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    // What things are compared by; an end may be so long after its start.
    let place = |value: DatumRef<'_>| match value {
        DatumRef::Null => None,
        DatumRef::TimeTz(at) => Some(at.micros + i64::from(at.west) * SECOND),
        value => Some(micros(value)),
    };
    let end = |start: DatumRef<'_>, end: DatumRef<'_>| match (start, end) {
        (DatumRef::Null, DatumRef::Interval(_)) => Ok(None),
        (start, DatumRef::Interval(by)) => {
            let moved = super::time::moved_by(start, by, env.style)?;
            Ok::<_, SqlError>(place(moved.as_ref()))
        }
        (_, end) => Ok(place(end)),
    };
    let period = |start: DatumRef<'_>, behind: DatumRef<'_>| {
        let (start, end) = (place(start), end(start, behind)?);
        // Whichever is known stands first, and the earlier of two.
        Ok::<_, SqlError>(match (start, end) {
            (None, end) => (end, None),
            (Some(start), Some(end)) if start > end => (Some(end), Some(start)),
            pair => pair,
        })
    };
    let (first, second) = (period(args[0], args[1])?, period(args[2], args[3])?);
    let ((Some(s1), e1), (Some(s2), e2)) = (first, second) else {
        return Ok(Datum::Null);
    };
    let known = |value: bool| Ok(Datum::Bool(value));
    match s1.cmp(&s2) {
        std::cmp::Ordering::Greater => match e2 {
            None => Ok(Datum::Null),
            Some(e2) if s1 < e2 => known(true),
            Some(_) if e1.is_none() => Ok(Datum::Null),
            Some(_) => known(false),
        },
        std::cmp::Ordering::Less => match e1 {
            None => Ok(Datum::Null),
            Some(e1) if s2 < e1 => known(true),
            Some(_) if e2.is_none() => Ok(Datum::Null),
            Some(_) => known(false),
        },
        std::cmp::Ordering::Equal => match e1.is_none() || e2.is_none() {
            true => Ok(Datum::Null),
            false => known(true),
        },
    }
}
