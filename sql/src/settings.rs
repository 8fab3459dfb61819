//! Session settings: the GUCs that clients send, and what `SHOW` says.

use std::collections::BTreeMap;

use crate::error::{ErrorKind, SqlError};

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
}

impl Settings {
    /// A setting's canonical name and its value.
    pub(crate) fn get(&self, name: &str) -> Result<(&'static str, &str), SqlError> {
        let (name, default, _) = known(name)?;
        Ok((name, self.changed.get(name).map_or(default, String::as_str)))
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
            }
            Some(value) => {
                let value = checked(name, default, value)?;
                self.changed.insert(name, value);
            }
        }
        Ok(reported.then_some(name))
    }

    /// Every setting back to its default.
    pub(crate) fn reset_all(&mut self) {
        self.changed.clear();
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
        let value = self
            .changed
            .get("search_path")
            .map_or("\"$user\", public", String::as_str);
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
        "default_transaction_isolation" | "transaction_isolation"
            if one_of(&["read committed"]) =>
        {
            Ok("read committed".to_string())
        }
        "default_transaction_read_only" | "transaction_read_only" if one_of(&["off", "false"]) => {
            Ok("off".to_string())
        }
        "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout"
            if one_of(&["0"]) =>
        {
            Ok("0".to_string())
        }
        "TimeZone"
        | "client_encoding"
        | "DateStyle"
        | "standard_conforming_strings"
        | "row_security"
        | "bytea_output"
        | "IntervalStyle"
        | "default_transaction_isolation"
        | "transaction_isolation"
        | "default_transaction_read_only"
        | "transaction_read_only"
        | "statement_timeout"
        | "lock_timeout"
        | "idle_in_transaction_session_timeout" => refuse(),
        // Waiting for the disk when the client would not is always right.
        _ => Ok(value.to_string()),
    }
}
