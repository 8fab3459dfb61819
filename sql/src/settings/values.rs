//! Values of settings by their kind, which pg_settings tells: read, checked and shown as PostgreSQL's guc.c does.

use std::time::Duration;

use super::invalid_value;
use crate::error::{ErrorKind, SqlError};
use crate::system::settings::{Kind, kind};

/// 55P02 for a setting that no session can set.
pub(super) fn check_context(name: &str) -> Result<(), SqlError> {
    let when = match kind(name).map(|kind| kind.context) {
        Some("internal") => "changed",
        Some("postmaster") => "changed without restarting the server",
        Some("sighup") => "changed now",
        Some("backend" | "superuser-backend") => "set after connection start",
        _ if name == "is_superuser" => "changed",
        _ => return Ok(()),
    };
    let message = format!("parameter \"{name}\" cannot be {when}");
    Err(SqlError::new(ErrorKind::CannotChangeParameter, message))
}

/// 42501 for a setting that only superusers set.
pub(crate) fn check_allowed(name: &str, is_superuser: bool) -> Result<(), SqlError> {
    let name = name.to_ascii_lowercase();
    let guarded = kind(&name).is_some_and(|kind| kind.context == "superuser");
    if guarded && !is_superuser {
        let message = format!("permission denied to set parameter \"{name}\"");
        return Err(SqlError::new(ErrorKind::InsufficientPrivilege, message));
    }
    Ok(())
}

/// The value of a setting as it is shown, if it is one of its kind.
pub(super) fn of_kind(name: &str, value: &str) -> Result<String, SqlError> {
    let Some(kind) = kind(name) else {
        return Ok(value.to_string());
    };
    match kind.vartype {
        "bool" => {
            let on = boolean(name, value)?;
            Ok(if on { "on" } else { "off" }.to_string())
        }
        "enum" => {
            let wanted = value.trim();
            let mut known = kind.values.iter();
            let found = known.find(|known| known.eq_ignore_ascii_case(wanted));
            // What is on or off besides other values has the other words for it, too.
            let found = found.copied().or_else(|| {
                let on = boolean(name, wanted).ok()?;
                let word = if on { "on" } else { "off" };
                kind.values.contains(&word).then_some(word)
            });
            let hint = || format!("Available values: {}.", kind.values.join(", "));
            let found = found.map(str::to_string);
            found.ok_or_else(|| invalid_value(name, value).hint(hint()))
        }
        "integer" | "real" => number(name, value, &kind),
        _ => Ok(value.to_string()),
    }
}

/// The value of a setting that is on or off.
pub(crate) fn boolean(name: &str, value: &str) -> Result<bool, SqlError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Ok(true),
        "off" | "false" | "no" | "0" | "f" | "n" => Ok(false),
        _ => Err(SqlError::new(
            ErrorKind::InvalidParameterValue,
            format!("parameter \"{name}\" requires a Boolean value"),
        )),
    }
}

/// Units of time with their milliseconds, the longest first.
const TIMES: &[(&str, f64)] = &[
    ("d", 86_400_000.0),
    ("h", 3_600_000.0),
    ("min", 60_000.0),
    ("s", 1000.0),
    ("ms", 1.0),
    ("us", 0.001),
];

/// Units of memory with their bytes, the largest first.
const SIZES: &[(&str, f64)] = &[
    ("TB", (1_u64 << 40) as f64),
    ("GB", (1 << 30) as f64),
    ("MB", (1 << 20) as f64),
    ("kB", 1024.0),
    ("B", 1.0),
];

/// The units that a setting may be given in, and how large its own is in them: `8kB` is eight of theirs.
fn units(unit: Option<&str>) -> Option<(&'static [(&'static str, f64)], f64)> {
    let unit = unit?;
    let bare = unit.trim_start_matches(|c: char| c.is_ascii_digit());
    let times: f64 = unit[..unit.len() - bare.len()].parse().unwrap_or(1.0);
    let all = [TIMES, SIZES].into_iter();
    let mut sizes =
        all.filter_map(|units| Some((units, units.iter().find(|of| of.0 == bare)?.1 * times)));
    sizes.next()
}

/// A number, perhaps with a unit, in its own range.
fn number(name: &str, value: &str, kind: &Kind) -> Result<String, SqlError> {
    let (is_whole, units) = (kind.vartype == "integer", units(kind.unit));
    let given = in_units(value, units).map(|number| match is_whole {
        true => number.round_ties_even(),
        false => number,
    });
    let number = given.ok_or_else(|| {
        let error = invalid_value(name, value);
        let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let has_unit = number.len() < value.len() && number.trim().parse::<f64>().is_ok();
        match units {
            Some((of, _)) if has_unit && of == TIMES => error.hint(
                "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
            ),
            Some(_) if has_unit => error.hint(
                "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".",
            ),
            _ => error,
        }
    })?;
    let limit = |text: &str| text.parse::<f64>().ok();
    if let Some((min, max)) = kind.bounds
        && !(limit(min) <= Some(number) && Some(number) <= limit(max))
    {
        let unit = kind.unit.map_or(String::new(), |unit| format!(" {unit}"));
        let message = format!(
            "{number}{unit} is outside the valid range for parameter \"{name}\" ({min} .. {max})"
        );
        return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
    }
    let in_unit = |(of, own): (&[(&str, f64)], f64)| {
        let count = |one: f64| number * own / one;
        let fits = |of: &&(&str, f64)| (count(of.1).round() / count(of.1) - 1.0).abs() <= 1e-8;
        let (unit, one) = of.iter().find(fits)?;
        Some(format!("{}{unit}", count(*one).round()))
    };
    let shown = units.filter(|_| number > 0.0).and_then(in_unit);
    Ok(shown.unwrap_or_else(|| number.to_string()))
}

/// A number in a setting's own unit.
fn in_units(value: &str, units: Option<(&[(&str, f64)], f64)>) -> Option<f64> {
    let value = value.trim();
    let exponent = |c: char| matches!(c, 'e' | 'E');
    let unit_at = value.find(|c: char| c.is_ascii_alphabetic() && !exponent(c));
    let (number, unit) = value.split_at(unit_at.unwrap_or(value.len()));
    let number: f64 = number.trim().parse().ok()?;
    match (unit, units) {
        ("", _) => Some(number),
        (unit, Some((of, own))) => {
            Some(number * of.iter().find(|(name, _)| *name == unit)?.1 / own)
        }
        _ => None,
    }
}

/// A time, written as in a setting.
pub(crate) fn time(value: &str) -> Option<Duration> {
    let ms = milliseconds(value)?;
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// A time in milliseconds, or with a unit; may be out of range.
pub(super) fn milliseconds(value: &str) -> Option<i64> {
    let ms = in_units(value, Some((TIMES, 1.0)))?;
    // Far beyond the range is as wrong as just beyond it.
    Some(ms.round_ties_even() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_postgresql_shows_them() {
        for (given, shown) in [
            ("0", "0"),
            ("100", "100ms"),
            ("1000", "1s"),
            ("1500", "1500ms"),
            ("60000", "1min"),
            ("90s", "90s"),
            (" 1.5 s ", "1500ms"),
            ("2h", "2h"),
            ("48h", "2d"),
            ("1d", "1d"),
            ("2147483647", "2147483647ms"),
            ("1500us", "2ms"),
        ] {
            let value = of_kind("lock_timeout", given).expect(given);
            assert_eq!(value, shown, "{given}");
            assert_eq!(milliseconds(&value), milliseconds(given), "{given}");
        }
        for (name, given, shown) in [
            ("work_mem", "65536", "64MB"),
            ("work_mem", "1.5GB", "1536MB"),
            ("temp_buffers", "1024", "8MB"),
            ("random_page_cost", "1.1", "1.1"),
            ("plan_cache_mode", "AUTO", "auto"),
            ("constraint_exclusion", "true", "on"),
            ("enable_sort", "no", "off"),
        ] {
            assert_eq!(of_kind(name, given).expect(given), shown, "{name} {given}");
        }
        for wrong in [
            "",
            "-1",
            "2147483648",
            "1e300",
            "nan s",
            "s",
            "1 S",
            "1x",
            "abc",
        ] {
            let error = of_kind("lock_timeout", wrong).expect_err(wrong);
            assert_eq!(error.kind, ErrorKind::InvalidParameterValue, "{wrong}");
        }
    }
}
