//! What stands in a SUBSCRIBE's OPTIONS.

use std::time::Duration;

use tidelog_storage::{ColumnType, Datum, Seq};

use crate::error::{ErrorKind, SqlError};
use crate::parse::{OptionValue, Subscribe, SubscribeOption};
use crate::row::infer;
use crate::settings;
use crate::subscribe::Begin;
use crate::text::{self, Style};

/// How often a reader with `progress` hears of it while nothing changes.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// How many changes are read at once unless `batch_size` says otherwise.
const BATCH_ROWS: u16 = 1000;
const BATCH_ROWS_MAX: u16 = 10_000;
const NAMES: [&str; 9] = [
    "last_rows",
    "snapshot",
    "from",
    "up_to",
    "batch_size",
    "progress",
    "ops",
    "envelope",
    "on_lag",
];

/// The options of a subscription, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscribeOptions {
    /// How many of the newest rows the snapshot has; `None` is all.
    pub last_rows: Option<u64>,
    /// Whether the rows as they stand come first.
    pub snapshot: bool,
    /// Begin after this Seq instead of with a snapshot.
    pub from: Option<Seq>,
    /// End when everything up to this Seq has come.
    pub up_to: Option<Seq>,
    /// How many changes are read at once.
    pub batch_rows: u16,
    /// How often to tell at least that nothing is missing, if at all.
    pub progress: Option<Duration>,
    /// Whether inserts, updates and deletes are told.
    pub ops: [bool; 3],
    /// Whether changes are told as upserts and deletes by primary key.
    pub upsert: bool,
    /// Whether a reader that fell out of the resume window begins again with a snapshot, or is cut off.
    pub catch_up: bool,
}

impl Default for SubscribeOptions {
    fn default() -> SubscribeOptions {
        SubscribeOptions {
            last_rows: None,
            snapshot: true,
            from: None,
            up_to: None,
            batch_rows: BATCH_ROWS,
            progress: None,
            ops: [true; 3],
            upsert: false,
            catch_up: true,
        }
    }
}

/// Types the parameters that stand in options.
pub(super) fn infer_parameters(options: &[SubscribeOption], types: &mut Vec<Option<ColumnType>>) {
    for option in options {
        if let OptionValue::Parameter(index) = option.value {
            let ty = match option.name.as_str() {
                "from" | "up_to" | "last_rows" | "batch_size" => ColumnType::Int8,
                "snapshot" => ColumnType::Bool,
                _ => ColumnType::Text,
            };
            infer(types, index, ty);
        }
    }
}

/// Checks a statement's options, whose parameters have these values (none when they are not known yet).
pub(super) fn check(
    subscribe: &Subscribe,
    values: Option<&[Datum]>,
) -> Result<SubscribeOptions, SqlError> {
    let options = &subscribe.options;
    let mut checked = SubscribeOptions::default();
    let mut snapshot = None;
    for (at, SubscribeOption { name, value }) in options.iter().enumerate() {
        if options[..at].iter().any(|other| other.name == *name) {
            let message = format!("SUBSCRIBE option \"{name}\" is given twice");
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
        }
        let value = match (value, values) {
            (OptionValue::Text(text), _) => text.clone(),
            (OptionValue::Null, _) => match NAMES.contains(&name.as_str()) {
                true => continue,
                false => return Err(unknown(name)),
            },
            (OptionValue::Parameter(index), Some(values)) => match values.get(*index) {
                // A client that has no Seq yet says NULL.
                None | Some(Datum::Null) => continue,
                Some(value) => {
                    let mut shown = String::new();
                    text::write(
                        value.as_ref(),
                        ColumnType::Text,
                        Style::default(),
                        &mut shown,
                    );
                    shown
                }
            },
            (OptionValue::Parameter(_), None) => match NAMES.contains(&name.as_str()) {
                true => continue,
                false => return Err(unknown(name)),
            },
        };
        let wrong = |what| invalid(name, &value, what);
        match name.as_str() {
            "last_rows" => {
                let rows = value
                    .parse()
                    .map_err(|_| wrong("It is a number of rows."))?;
                checked.last_rows = Some(rows);
            }
            "snapshot" => snapshot = Some(settings::boolean(name, &value)?),
            "from" => checked.from = Some(seq(&value)?.ok_or_else(|| wrong(A_SEQ))?),
            "up_to" => checked.up_to = Some(seq(&value)?.ok_or_else(|| wrong(A_SEQ))?),
            "batch_size" => {
                let rows = value.parse().ok();
                let rows = rows.filter(|rows| (1..=BATCH_ROWS_MAX).contains(rows));
                let rows = rows.ok_or_else(|| wrong("It is a number of rows, from 1 to 10000."))?;
                checked.batch_rows = rows;
            }
            "progress" => {
                checked.progress = match settings::boolean(name, &value) {
                    Ok(wanted) => wanted.then_some(PROGRESS_EVERY),
                    Err(_) => Some(
                        settings::time(&value)
                            .filter(|time| *time >= Duration::from_millis(10))
                            .ok_or_else(|| {
                                wrong("It is true, false, or a time such as '5s' (10 ms at least).")
                            })?,
                    ),
                }
            }
            "ops" => {
                checked.ops = [false; 3];
                for op in value.split(',') {
                    let names = ["insert", "update", "delete"];
                    let known = names
                        .iter()
                        .position(|name| op.trim().eq_ignore_ascii_case(name));
                    let known =
                        known.ok_or_else(|| wrong("It lists insert, update and delete."))?;
                    checked.ops[known] = true;
                }
            }
            "envelope" => {
                checked.upsert = match value.to_ascii_lowercase().as_str() {
                    "changes" => false,
                    "upsert" => true,
                    _ => return Err(wrong("It is 'changes' or 'upsert'.")),
                }
            }
            "on_lag" => {
                checked.catch_up = match value.to_ascii_lowercase().as_str() {
                    "catch_up" => true,
                    "disconnect" => false,
                    _ => return Err(wrong("It is 'catch_up' or 'disconnect'.")),
                }
            }
            name => return Err(unknown(name)),
        }
    }
    match subscribe.begin {
        Begin::AsWritten => {}
        // What is said of the snapshot holds for those that come later.
        Begin::After(_) | Begin::Over => checked.from = None,
    }
    checked.last_rows = subscribe.last_rows.or(checked.last_rows);
    let exclusive = |other: &str| {
        let message = format!("SUBSCRIBE options \"from\" and \"{other}\" exclude each other");
        SqlError::new(ErrorKind::InvalidParameterValue, message)
    };
    match (checked.from, checked.last_rows, snapshot) {
        (Some(_), Some(_), _) => return Err(exclusive("last_rows")),
        (Some(_), _, Some(true)) => return Err(exclusive("snapshot")),
        (None, Some(1..), Some(false)) => {
            let message = "SUBSCRIBE option \"last_rows\" needs a snapshot";
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
        }
        _ => {}
    }
    checked.snapshot = snapshot != Some(false);
    Ok(checked)
}

/// Options that can only be literals: each name with its value, `None` for NULL.
pub(crate) fn literal_options<'a>(
    options: &'a [SubscribeOption],
) -> Result<Vec<(&'a str, Option<&'a str>)>, SqlError> {
    let pair = |option: &'a SubscribeOption| match &option.value {
        OptionValue::Text(value) => Ok((option.name.as_str(), Some(value.as_str()))),
        OptionValue::Null => Ok((option.name.as_str(), None)),
        OptionValue::Parameter(_) => {
            let what = format!("a parameter in the option \"{}\"", option.name);
            Err(SqlError::unsupported(what))
        }
    };
    options.iter().map(pair).collect()
}

const A_SEQ: &str = "It is the _seq of a change.";

/// A Seq as a client writes it; `None` for a negative number.
pub(crate) fn seq(value: &str) -> Result<Option<Seq>, SqlError> {
    match text::parse(ColumnType::Int8, value)? {
        Datum::Int8(seq) => Ok(Seq::from_i64(seq)),
        _ => Ok(None),
    }
}

fn invalid(name: &str, value: &str, hint: &str) -> SqlError {
    let message = format!("invalid value for SUBSCRIBE option \"{name}\": \"{value}\"");
    SqlError::new(ErrorKind::InvalidParameterValue, message).hint(hint)
}

fn unknown(name: &str) -> SqlError {
    let message = format!("unrecognized SUBSCRIBE option \"{name}\"");
    SqlError::new(ErrorKind::InvalidParameterValue, message).hint(
        "There are last_rows, snapshot, from, up_to, batch_size, progress, ops, envelope and on_lag.",
    )
}
