//! Session settings: the GUCs that clients send, and what `SHOW` says.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{ErrorKind, SqlError};
use crate::session::Isolation;

/// (name as PostgreSQL spells it, default, whether clients are told its value)
const KNOWN: &[(&str, &str, bool)] = &[
    ("application_name", "", true),
    ("backslash_quote", "safe_encoding", false),
    ("bytea_output", "hex", false),
    ("client_encoding", "UTF8", true),
    ("client_min_messages", "notice", false),
    ("DateStyle", "ISO, MDY", true),
    ("default_transaction_isolation", "read committed", false),
    ("default_transaction_read_only", "off", false),
    ("escape_string_warning", "on", false),
    ("extra_float_digits", "1", false),
    ("idle_in_transaction_session_timeout", "0", false),
    ("in_hot_standby", "off", true),
    ("integer_datetimes", "on", true),
    ("IntervalStyle", "postgres", true),
    ("lock_timeout", "0", false),
    ("max_identifier_length", "63", false),
    ("row_security", "on", false),
    ("search_path", "\"$user\", public", false),
    ("server_encoding", "UTF8", true),
    ("server_version", SERVER_VERSION, true),
    ("server_version_num", "150000", false),
    ("standard_conforming_strings", "on", true),
    ("statement_timeout", "0", false),
    ("synchronous_commit", "on", false),
    ("TimeZone", "UTC", true),
    ("transaction_isolation", "read committed", false),
    ("transaction_read_only", "off", false),
    ("xmloption", "content", false),
];

/// PostgreSQL's version whose behaviour is followed, then ours.
pub(crate) const SERVER_VERSION: &str = concat!("15.0 (Tidelog ", env!("CARGO_PKG_VERSION"), ")");

/// One session's settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    changed: BTreeMap<&'static str, String>,
    /// Over `changed`, until the transaction ends.
    local: BTreeMap<&'static str, String>,
}

impl Settings {
    /// A setting's canonical name and its value.
    pub(crate) fn get(&self, name: &str) -> Result<(&'static str, &str), SqlError> {
        let (name, default, _) = known(name)?;
        Ok((name, self.value(name).unwrap_or(default)))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let set = self.local.get(name).or_else(|| self.changed.get(name));
        set.map(String::as_str)
    }

    /// Sets a setting until `end_local`; `None` is its default.
    pub(crate) fn set_local(&mut self, name: &str, value: Option<&str>) -> Result<(), SqlError> {
        let (name, default, _) = known(name)?;
        let value = checked(name, default, value.unwrap_or(default))?;
        self.local.insert(name, value);
        Ok(())
    }

    /// The transaction has ended, and what was set for it.
    pub(crate) fn end_local(&mut self) {
        self.local.clear();
    }

    /// Whether clients are told the value of a setting.
    pub(crate) fn is_reported(&self, name: &str) -> Result<bool, SqlError> {
        known(name).map(|(_, _, reported)| reported)
    }

    /// The isolation of transactions that do not name one.
    pub(crate) fn default_isolation(&self) -> Isolation {
        self.value("default_transaction_isolation")
            .and_then(Isolation::named)
            .unwrap_or(Isolation::ReadCommitted)
    }

    /// Whether transactions that do not say so may only read.
    pub(crate) fn default_read_only(&self) -> bool {
        self.value("default_transaction_read_only") == Some("on")
    }

    /// A setting that is a time; `None` when it is zero, which means without end.
    pub(crate) fn timeout(&self, name: &str) -> Option<Duration> {
        let ms = self.value(name).and_then(milliseconds).unwrap_or(0);
        u64::try_from(ms)
            .ok()
            .filter(|&ms| ms > 0)
            .map(Duration::from_millis)
    }

    /// Sets a setting; `None` is its default. Gives the canonical name when clients are to be told.
    pub(crate) fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<Option<&'static str>, SqlError> {
        let (name, default, reported) = known(name)?;
        match value {
            None => {
                self.changed.remove(name);
                self.local.remove(name);
            }
            Some(value) => {
                self.local.remove(name);
                let value = checked(name, default, value)?;
                self.changed.insert(name, value);
            }
        }
        Ok(reported.then_some(name))
    }

    /// Every setting back to its default.
    pub(crate) fn reset_all(&mut self) {
        self.changed.clear();
        self.local.clear();
    }

    /// The settings that clients are told, with their values.
    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        let value = |name: &'static str, default: &str| {
            (
                name.to_string(),
                self.changed
                    .get(name)
                    .map_or(default, String::as_str)
                    .to_string(),
            )
        };
        KNOWN
            .iter()
            .filter(|(_, _, reported)| *reported)
            .map(|(name, default, _)| value(name, default))
            .collect()
    }

    /// The schemas that unqualified names are looked up in.
    pub(crate) fn search_path(&self, role: &str) -> Vec<String> {
        let value = self.value("search_path").unwrap_or("\"$user\", public");
        value
            .split(',')
            .map(|part| part.trim().trim_matches('"'))
            .filter(|part| !part.is_empty())
            .map(|part| {
                if part == "$user" {
                    role.to_string()
                } else {
                    part.to_string()
                }
            })
            .collect()
    }
}

/// Every setting with its default.
pub(crate) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    // Limits that drivers ask for; they cannot be set.
    let limits = [("max_index_keys", "32"), ("max_connections", "1000")];
    let known = KNOWN.iter().map(|(name, default, _)| (*name, *default));
    known.chain(limits)
}

fn known(name: &str) -> Result<(&'static str, &'static str, bool), SqlError> {
    let name = if name.eq_ignore_ascii_case("time zone") {
        "timezone"
    } else {
        name
    };
    KNOWN
        .iter()
        .find(|(known, _, _)| known.eq_ignore_ascii_case(name))
        .copied()
        .ok_or_else(|| {
            SqlError::new(
                ErrorKind::UndefinedObject,
                format!("unrecognized configuration parameter \"{name}\""),
            )
        })
}

/// Settings whose other values would change results that are not implemented are refused, never ignored.
fn checked(name: &'static str, default: &str, value: &str) -> Result<String, SqlError> {
    let refuse = || {
        Err(SqlError::unsupported(format!(
            "setting \"{name}\" to \"{value}\""
        )))
    };
    let one_of = |values: &[&str]| {
        values
            .iter()
            .any(|known| known.eq_ignore_ascii_case(value.trim()))
    };
    match name {
        "server_version"
        | "server_version_num"
        | "server_encoding"
        | "integer_datetimes"
        | "in_hot_standby"
        | "max_identifier_length" => {
            let message = format!("parameter \"{name}\" cannot be changed");
            Err(SqlError::new(
                ErrorKind::ObjectNotInPrerequisiteState,
                message,
            ))
        }
        "TimeZone" if one_of(&["UTC", "GMT", "Etc/UTC", "UCT", "Zulu", "Z", "0", "+00:00"]) => {
            Ok(value.to_string())
        }
        "client_encoding" if one_of(&["UTF8", "UTF-8", "unicode"]) => Ok("UTF8".to_string()),
        "DateStyle" if value.to_ascii_uppercase().starts_with("ISO") => Ok("ISO, MDY".to_string()),
        "standard_conforming_strings" | "row_security" if one_of(&["on", "true", "1"]) => {
            Ok("on".to_string())
        }
        "bytea_output" | "IntervalStyle" if one_of(&[default]) => Ok(default.to_string()),
        "default_transaction_isolation" => match Isolation::named(value) {
            Some(level) => Ok(level.name().to_string()),
            None => Err(invalid_isolation(name, value)),
        },
        "default_transaction_read_only" => {
            let on = boolean(name, value)?;
            Ok(if on { "on" } else { "off" }.to_string())
        }
        "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => {
            duration(name, value)
        }
        "TimeZone"
        | "client_encoding"
        | "DateStyle"
        | "standard_conforming_strings"
        | "row_security"
        | "bytea_output"
        | "IntervalStyle"
        | "transaction_isolation"
        | "transaction_read_only" => refuse(),
        // Waiting for the disk when the client would not is always right.
        _ => Ok(value.to_string()),
    }
}

fn invalid_value(name: &str, value: &str) -> SqlError {
    let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

/// 22023 for an isolation level that is none.
pub(crate) fn invalid_isolation(name: &str, value: &str) -> SqlError {
    invalid_value(name, value)
        .hint("Available values: serializable, repeatable read, read committed, read uncommitted.")
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
const UNITS: &[(&str, f64)] = &[
    ("d", 86_400_000.0),
    ("h", 3_600_000.0),
    ("min", 60_000.0),
    ("s", 1000.0),
    ("ms", 1.0),
    ("us", 0.001),
];

/// A time, written as in a setting.
pub(crate) fn time(value: &str) -> Option<Duration> {
    let ms = milliseconds(value)?;
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// A time in milliseconds, or with a unit; may be out of range.
fn milliseconds(value: &str) -> Option<i64> {
    let value = value.trim();
    let unit_at = value
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(unit_at);
    let number: f64 = number.trim().parse().ok()?;
    let factor = match unit {
        "" => 1.0,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    // Far beyond the range is as wrong as just beyond it.
    Some((number * factor).round_ties_even() as i64)
}

/// A time as PostgreSQL shows it: in the longest unit that it is a multiple of.
fn duration(name: &str, value: &str) -> Result<String, SqlError> {
    let ms = milliseconds(value).ok_or_else(|| {
        let error = invalid_value(name, value);
        if value.trim().ends_with(|c: char| c.is_ascii_alphabetic()) {
            return error.hint(
                "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
            );
        }
        error
    })?;
    if !(0..=i64::from(i32::MAX)).contains(&ms) {
        let message = format!(
            "{ms} ms is outside the valid range for parameter \"{name}\" (0 .. {})",
            i32::MAX
        );
        return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
    }
    if ms == 0 {
        return Ok("0".to_string());
    }
    let shown = UNITS.iter().find_map(|(unit, factor)| {
        let factor = *factor as i64;
        (factor > 0 && ms % factor == 0).then(|| format!("{}{unit}", ms / factor))
    });
    Ok(shown.unwrap_or_else(|| format!("{ms}ms")))
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
            let value = duration("lock_timeout", given).expect(given);
            assert_eq!(value, shown, "{given}");
            assert_eq!(milliseconds(&value), milliseconds(given), "{given}");
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
            let error = duration("lock_timeout", wrong).expect_err(wrong);
            assert_eq!(error.kind, ErrorKind::InvalidParameterValue, "{wrong}");
        }
    }
}
