//! Values as text by a template, and back: to_char, to_number, to_date, to_timestamp.

mod digits;
mod moment;
mod reading;

use tidelog_storage::Interval;

use super::call::dsl::*;
use crate::text::number::too_many_digits;
use crate::text::{Style, datetime, is_timestamp};
use digits::Template;
use moment::{Field, Node, Parts};
pub(crate) use reading::Read;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

pub(super) const FUNCTIONS: &[Function] = &[
    f("to_char", &[TIMESTAMP, TEXT], T::Text, |env, args| {
        moment(text(args[1]), args[0], env.style)
    })
    .stable(),
    f("to_char", &[TIMESTAMPTZ, TEXT], T::Text, |env, args| {
        moment(text(args[1]), args[0], env.style)
    })
    .stable(),
    f("to_char", &[INTERVAL, TEXT], T::Text, |env, args| {
        moment(text(args[1]), args[0], env.style)
    })
    .stable(),
    f("to_char", &[INT4, TEXT], T::Text, |_, args| {
        decimal_by(&Decimal::from(int(args[0])), text(args[1]), true)
    }),
    f("to_char", &[INT8, TEXT], T::Text, |_, args| {
        decimal_by(&Decimal::from(int(args[0])), text(args[1]), true)
    }),
    f("to_char", &[NUMERIC, TEXT], T::Text, |_, args| {
        decimal_by(&decimal(args[0]), text(args[1]), false)
    }),
    f("to_char", &[FLOAT4, TEXT], T::Text, |_, args| {
        float_by(float(args[0]), text(args[1]), 6)
    }),
    f("to_char", &[FLOAT8, TEXT], T::Text, |_, args| {
        float_by(float(args[0]), text(args[1]), 15)
    }),
    f("to_number", &[TEXT, TEXT], DECIMAL, to_number),
    f("to_date", &[TEXT, TEXT], T::Date, |_, args| {
        let read = reading::read(text(args[0]), &moment::nodes(text(args[1])))?;
        let days = i32::try_from(read.days).ok();
        let days = days.filter(|days| crate::text::is_date(*days));
        days.map(Datum::Date).ok_or_else(|| {
            SqlError::new(
                ErrorKind::DatetimeFieldOverflow,
                format!("date out of range: \"{}\"", text(args[0])),
            )
        })
    })
    .stable(),
    f(
        "to_timestamp",
        &[TEXT, TEXT],
        T::TimestampTz(None),
        |env, args| {
            let read = reading::read(text(args[0]), &moment::nodes(text(args[1])))?;
            let wrong = || {
                let message = "timestamp out of range";
                SqlError::new(ErrorKind::DatetimeFieldOverflow, message)
            };
            let midnight = read.days.checked_mul(DAY).filter(|at| is_timestamp(*at));
            let local = midnight.ok_or_else(wrong)? + read.micros;
            let offset = read.offset;
            let offset = offset.unwrap_or_else(|| env.style.zone.offset_of_local(local));
            let at = local - offset * SECOND;
            match is_timestamp(at) {
                true => Ok(Datum::TimestampTz(at)),
                false => Err(wrong()),
            }
        },
    )
    .stable(),
    f(
        "to_timestamp",
        &[FLOAT8],
        T::TimestampTz(None),
        |_, args| of_epoch(float(args[0])),
    ),
];

/// A template's parts.
pub(crate) struct Nodes(Vec<Node>);

impl Nodes {
    /// Whether it is a template of nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a template names the parts of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Says {
    pub(crate) date: bool,
    pub(crate) time: bool,
    pub(crate) zone: bool,
}

/// Reads a template as the standard has them, with few separators.
pub(crate) fn template(text: &str) -> Result<Nodes, SqlError> {
    let nodes = moment::nodes(text);
    let wrong = nodes.iter().find_map(|node| match node {
        Node::Text(c) if !"-./,':; ".contains(*c) => Some(*c),
        _ => None,
    });
    match wrong {
        Some(c) => Err(SqlError::new(
            ErrorKind::InvalidDatetimeFormat,
            format!("invalid datetime format separator: \"{c}\""),
        )),
        None => Ok(Nodes(nodes)),
    }
}

/// Reads a text as the standard wants it, and tells what the template says of it.
pub(crate) fn read_exactly(text: &str, template: &Nodes) -> Result<(Read, Says), SqlError> {
    let read = reading::read_exactly(text, &template.0)?;
    let mut says = Says::default();
    for node in &template.0 {
        if let Node::Pattern(pattern) = node {
            match pattern.field {
                Field::Exact => {}
                Field::Meridiem
                | Field::Hour12
                | Field::Hour24
                | Field::Minute
                | Field::Second
                | Field::SecondOfDay
                | Field::Millisecond
                | Field::Microsecond
                | Field::Fraction(_) => says.time = true,
                Field::Zone | Field::Offset | Field::ZoneHour | Field::ZoneMinute => {
                    says.zone = true;
                }
                _ => says.date = true,
            }
        }
    }
    Ok((read, says))
}

/// A moment or an interval by a template. NULL for what is infinite and for an empty template.
pub(super) fn moment(template: &str, value: DatumRef<'_>, style: Style) -> Outcome {
    if template.is_empty() {
        return Ok(Datum::Null);
    }
    let parts = match value {
        DatumRef::Timestamp(i64::MIN | i64::MAX) | DatumRef::TimestampTz(i64::MIN | i64::MAX) => {
            return Ok(Datum::Null);
        }
        DatumRef::Timestamp(at) => parts_of(at, None),
        DatumRef::TimestampTz(at) => {
            let zone = style.zone;
            let east = zone.offset_at(at);
            let local = datetime::local_of(at, zone)?;
            parts_of(local, Some((east, zone.abbreviation_at(at))))
        }
        DatumRef::Interval(value) => parts_of_interval(value),
        other => unreachable!("{other:?} is no time: its parameter is"),
    };
    string(moment::write(&moment::nodes(template), &parts)?)
}

fn parts_of(local: i64, zone: Option<(i64, String)>) -> Parts {
    let (days, micros) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = datetime::civil(days);
    Parts {
        is_interval: false,
        year,
        month,
        day,
        hour: micros / (3600 * SECOND),
        minute: micros / (60 * SECOND) % 60,
        second: micros / SECOND % 60,
        micros: micros % SECOND,
        day_of_year: days - datetime::day_number(year, 1, 1) + 1,
        day_of_week: (days + 4).rem_euclid(7),
        days,
        zone,
    }
}

/// The Julian day as date2j in PostgreSQL's datetime.c has it, also of months that are none.
fn julian_day(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month > 2 {
        true => (year + 4800, month + 1),
        false => (year + 4799, month + 13),
    };
    let century = year / 100;
    let days = year * 365 - 32_167 + year / 4 - century + century / 4;
    days + 7834 * month / 256 + day
}

fn parts_of_interval(value: Interval) -> Parts {
    let (year, month) = (i64::from(value.months / 12), i64::from(value.months % 12));
    let day = i64::from(value.days);
    Parts {
        is_interval: true,
        year,
        month,
        day,
        hour: value.micros / (3600 * SECOND),
        minute: value.micros / (60 * SECOND) % 60,
        second: value.micros / SECOND % 60,
        micros: value.micros % SECOND,
        day_of_year: (year * 12 + month) * 30 + day,
        day_of_week: 0,
        days: julian_day(year, month, day) - datetime::JULIAN_1970,
        zone: None,
    }
}

/// A number by a template; of integers, floats show the exponent.
fn decimal_by(value: &Decimal, template: &str, is_integer: bool) -> Outcome {
    if template.is_empty() {
        return string("");
    }
    let template = Template::read(template)?;
    if template.roman {
        return string(template.write_roman(value.to_i64()));
    }
    if template.exponent {
        return string(match is_integer {
            true => scientific(value.to_f64(), template.post),
            false => decimal_scientific(value, template.post),
        });
    }
    let shift = i32::try_from(template.shift).unwrap_or(i32::MAX);
    let shifted = match shift {
        0 => value.clone(),
        shift => value.times(&Decimal::new(
            num_bigint::BigInt::from(10).pow(shift as u32),
            0,
        )),
    };
    let rounded = shifted.rounded(i32::try_from(template.post).unwrap_or(0));
    string(
        template
            .widened()
            .write(rounded.is_negative(), &rounded.abs().shown()),
    )
}

fn float_by(value: f64, template: &str, digits: usize) -> Outcome {
    if template.is_empty() {
        return string("");
    }
    let mut template = Template::read(template)?;
    if template.roman {
        let whole = value.round_ties_even();
        let fits = whole.abs() < 1e9;
        return string(template.write_roman(fits.then_some(whole as i64)));
    }
    if template.exponent {
        if !value.is_finite() {
            // As wide as a number would be, of #.
            return string(format!(" {}", "#".repeat(template.pre + template.post + 6)));
        }
        return string(scientific(value, template.post));
    }
    let value = value * 10_f64.powi(i32::try_from(template.shift).unwrap_or(i32::MAX));
    if !value.is_finite() {
        return Err(SqlError::unsupported("to_char() of NaN and infinity"));
    }
    let whole = format!("{:.0}", value.abs()).len();
    if whole >= digits {
        template.post = 0;
    } else if whole + template.post > digits {
        template.post = digits - whole;
    }
    let shown = format!("{:.*}", template.post, value.abs());
    string(template.widened().write(value.is_sign_negative(), &shown))
}

/// `%+.*e`, with a blank for the sign of what is positive.
fn scientific(value: f64, post: usize) -> String {
    let written = format!("{value:.post$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    let blank = if value.is_sign_negative() { "" } else { " " };
    format!("{blank}{mantissa}e{sign}{exponent:0>2}")
}

/// The same of a decimal, whose digits are exact.
fn decimal_scientific(value: &Decimal, post: usize) -> String {
    let post_digits = i32::try_from(post).unwrap_or(0);
    let digits = value.abs();
    let mut exponent = digits.exponent();
    let mut rounded = digits.rounded(post_digits - exponent);
    if rounded.exponent() > exponent {
        exponent = rounded.exponent();
        rounded = digits.rounded(post_digits - exponent);
    }
    let all: String = rounded
        .shown()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let all = all.trim_start_matches('0');
    let all = format!("{all:0<width$}", width = post + 1);
    let sign = if value.is_negative() { '-' } else { ' ' };
    let point = if post > 0 { "." } else { "" };
    let of_exponent = if exponent < 0 { '-' } else { '+' };
    format!(
        "{sign}{}{point}{}e{of_exponent}{:02}",
        &all[..1],
        &all[1..=post],
        exponent.abs()
    )
}

/// No numeric has more digits before the point.
const WHOLE_MAX: usize = 131_072;

/// Digits behind the point that PostgreSQL's power() gives at least.
const FRACTION_MIN: i32 = 16;

fn to_number(_: &Env<'_>, args: &[DatumRef<'_>]) -> Outcome {
    let template = text(args[1]);
    if template.is_empty() {
        return Ok(Datum::Null);
    }
    let template = Template::read(template)?;
    let digits = template.parse(text(args[0]))?;
    let read = Decimal::read(digits.trim().trim_start_matches('+'));
    let value = read.ok_or_else(|| {
        SqlError::new(
            ErrorKind::InvalidTextRepresentation,
            format!("invalid input syntax for type numeric: \"{digits}\""),
        )
    })?;
    let ten = |exponent: usize| {
        let exponent = u32::try_from(exponent).unwrap_or(u32::MAX);
        Decimal::new(num_bigint::BigInt::from(10).pow(exponent), 0)
    };
    // As many digits before the point as the template has.
    let whole = template.pre + template.shift;
    if whole < WHOLE_MAX && !value.abs().minus(&ten(whole)).is_negative() {
        return Err(too_many_digits(whole, value.scale()));
    }
    match template.shift {
        0 => number(&value),
        shift => {
            let scale = i32::try_from(shift).unwrap_or(i32::MAX).max(FRACTION_MIN);
            let tenths = Decimal::new(1.into(), 0).over(&ten(shift), scale);
            number(&value.times(&tenths))
        }
    }
}

fn of_epoch(seconds: f64) -> Outcome {
    let wrong = |message: String| SqlError::new(ErrorKind::DatetimeFieldOverflow, message);
    if seconds.is_nan() {
        return Err(wrong("timestamp cannot be NaN".to_string()));
    }
    if seconds.is_infinite() {
        return Ok(Datum::TimestampTz(match seconds > 0.0 {
            true => i64::MAX,
            false => i64::MIN,
        }));
    }
    // From 4714-11-24 BC to the end of 294276.
    if !(-210_866_803_200.0..9_224_318_016_000.0).contains(&seconds) {
        let shown = Datum::Float8(seconds);
        let mut text = String::new();
        crate::text::write(shown.as_ref(), T::Float8, Style::default(), &mut text);
        return Err(wrong(format!("timestamp out of range: \"{text}\"")));
    }
    // Seconds since 2000, which PostgreSQL rounds.
    const SECONDS_TO_2000: i64 = 946_684_800;
    let since = ((seconds - SECONDS_TO_2000 as f64) * 1e6).round_ties_even() as i64;
    Ok(Datum::TimestampTz(since + SECONDS_TO_2000 * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 writes them.
    #[test]
    fn numbers_by_templates() {
        for (value, template, expected) in [
            ("1234.5", "9,999.99", " 1,234.50"),
            ("-12", "S999", " -12"),
            ("12", "0000", " 0012"),
            ("0.5", "FM0.00", "0.50"),
            ("123", "RN", "         CXXIII"),
            ("-485", "999PR", "<485>"),
            ("-0.1", "FM9.99", "-.1"),
            ("0", "FM9.9", "0."),
            ("1234", "99", " ##"),
            ("482", "999th", " 482nd"),
            ("12.4", "99V999", " 12400"),
            ("1234.567", "9.99EEEE", " 1.23e+03"),
        ] {
            let value = Decimal::read(value).unwrap();
            let shown = decimal_by(&value, template, false).unwrap();
            assert_eq!(
                shown,
                Datum::Text(expected.to_string()),
                "{value:?} {template}"
            );
        }
    }

    #[test]
    fn moments_by_templates_and_back() {
        let at = 1_709_647_629_123_456;
        for (template, expected) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "2024-03-05 14:07:09.123456"),
            ("FMDay, DDth FMMonth, HH12 am", "Tuesday, 05th March, 02 pm"),
            (
                "IYYY-IW-ID Q DDD J \"YYYY\" CC",
                "2024-10-2 1 065 2460375 YYYY 21",
            ),
            ("Y,YYY RM SSSS BC", "2,024 III  50829 AD"),
        ] {
            let style = Style::default();
            let shown = moment(template, DatumRef::Timestamp(at), style).unwrap();
            assert_eq!(shown, Datum::Text(expected.to_string()), "{template}");
        }
        for (text, template, days) in [
            ("05 Mar 2024", "DD Mon YYYY", 19_787),
            ("20240305", "YYYYMMDD", 19_787),
            ("2024-10-2", "IYYY-IW-ID", 19_787),
            ("65 2024", "DDD YYYY", 19_787),
            ("1970", "YYYY", 0),
        ] {
            let read = reading::read(text, &moment::nodes(template)).unwrap();
            assert_eq!(read.days, days, "{text} {template}");
        }
    }
}
