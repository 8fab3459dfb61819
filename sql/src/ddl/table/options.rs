//! A table's options: `WITH (…)` and ALTER TABLE … SET (…).

use datafusion::sql::sqlparser::ast::{
    CreateTableOptions, Expr, Ident, SqlOption, UnaryOperator, Value,
};
use tidelog_storage::catalog::{RESUME_WINDOW_MS, TableOptions};
use tidelog_storage::{TableDef, TableKind};

use crate::ddl::fold;
use crate::error::{ErrorKind, SqlError};

const FLUSH_ROWS: u64 = 100_000;
const FLUSH_INTERVAL_MS: i64 = 3_600_000;

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

/// What `WITH (…)` says, beside the keyword before TABLE.
pub(super) fn given(
    options: &CreateTableOptions,
    kind: Option<TableKind>,
) -> Result<(TableKind, TableOptions), SqlError> {
    let given: &[SqlOption] = match options {
        CreateTableOptions::None => &[],
        CreateTableOptions::With(options) => options,
        _ => return Err(SqlError::unsupported("this form of table options")),
    };
    let mut with_kind = None;
    let mut set = TableOptions {
        ttl_ms: None,
        flush_rows: FLUSH_ROWS,
        flush_interval_ms: FLUSH_INTERVAL_MS,
        resume_window_ms: RESUME_WINDOW_MS,
    };
    for (key, text) in pairs(given)? {
        match key.as_str() {
            "type" => {
                with_kind = Some(match text.to_lowercase().as_str() {
                    "user" => TableKind::User,
                    "shared" => TableKind::Shared,
                    "stream" => TableKind::Stream,
                    _ => {
                        return Err(invalid_value(&key, &text)
                            .detail("Valid values are \"user\", \"shared\" and \"stream\"."));
                    }
                });
            }
            "ttl" => set.ttl_ms = Some(duration_ms(&key, &text)?),
            _ => set_option(&mut set, &key, &text)?,
        }
    }
    if let (Some(keyword), Some(option)) = (kind, with_kind)
        && keyword != option
    {
        return Err(invalid(
            "parameter \"type\" contradicts the kind of table that is created",
        ));
    }
    let kind = kind.or(with_kind).unwrap_or(TableKind::Shared);
    match (kind, set.ttl_ms) {
        (TableKind::Stream, None) => {
            return Err(invalid("a stream table needs parameter \"ttl\"")
                .hint("Say how long a row lives, as in WITH (ttl = '30s')."));
        }
        (TableKind::User | TableKind::Shared, Some(_)) => {
            return Err(invalid("parameter \"ttl\" is for stream tables only"));
        }
        _ => {}
    }
    Ok((kind, set))
}

/// ALTER TABLE … SET (…), of a table that is there.
pub(super) fn set(table: &mut TableDef, options: &[SqlOption]) -> Result<(), SqlError> {
    for (key, text) in pairs(options)? {
        match (key.as_str(), table.kind) {
            ("type", _) => return Err(SqlError::unsupported("changing the type of a table")),
            ("ttl", TableKind::Stream) => {
                table.options.ttl_ms = Some(duration_ms(&key, &text)?);
            }
            ("ttl", _) => return Err(invalid("parameter \"ttl\" is for stream tables only")),
            _ => set_option(&mut table.options, &key, &text)?,
        }
    }
    Ok(())
}

/// The options' names and values, each name once.
fn pairs(options: &[SqlOption]) -> Result<Vec<(String, String)>, SqlError> {
    let mut pairs: Vec<(String, String)> = Vec::with_capacity(options.len());
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(SqlError::unsupported(format!("the table option {option}")));
        };
        let key = fold(key);
        if pairs.iter().any(|(seen, _)| *seen == key) {
            return Err(invalid(format!(
                "parameter \"{key}\" specified more than once"
            )));
        }
        let text = option_text(value).ok_or_else(|| invalid_value(&key, &value.to_string()))?;
        pairs.push((key, text));
    }
    Ok(pairs)
}

/// Sets one of the options that every table has and that may change.
fn set_option(options: &mut TableOptions, key: &str, text: &str) -> Result<(), SqlError> {
    match key {
        "flush_rows" => {
            options.flush_rows = text
                .parse()
                .ok()
                .filter(|&rows| rows > 0)
                .ok_or_else(|| invalid_value(key, text))?;
        }
        "flush_interval" => options.flush_interval_ms = duration_ms(key, text)?,
        "resume_window" => options.resume_window_ms = duration_ms(key, text)?,
        // PostgreSQL's: how full its pages are made. There are none here.
        "fillfactor" => {
            let percent = text.parse::<i64>().map_err(|_| invalid_value(key, text))?;
            if !(10..=100).contains(&percent) {
                return Err(
                    invalid(format!("value {text} out of bounds for option \"fillfactor\""))
                        .detail("Valid values are between \"10\" and \"100\"."),
                );
            }
        }
        _ => return Err(invalid(format!("unrecognized parameter \"{key}\""))),
    }
    Ok(())
}

fn option_text(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Some(text.clone())
            }
            Value::Number(text, _) => Some(text.to_string()),
            _ => None,
        },
        Expr::Identifier(Ident { value, .. }) => Some(value.clone()),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => option_text(expr).map(|text| format!("-{text}")),
        _ => None,
    }
}

fn invalid_value(key: &str, text: &str) -> SqlError {
    invalid(format!("invalid value for parameter \"{key}\": \"{text}\""))
}

/// Reads `30s`, `1h 30m`, `30 seconds`, in milliseconds, at least one.
fn duration_ms(key: &str, text: &str) -> Result<i64, SqlError> {
    let parse = || -> Option<i64> {
        let mut rest = text.trim();
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, tail) = rest.split_at(digits);
            let tail = tail.trim_start();
            let (unit, tail) = tail.split_at(
                tail.find(|c: char| !c.is_ascii_alphabetic())
                    .unwrap_or(tail.len()),
            );
            let unit_ms = match unit.to_ascii_lowercase().as_str() {
                "ms" | "millisecond" | "milliseconds" => 1,
                "s" | "sec" | "secs" | "second" | "seconds" => 1000,
                "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
                "h" | "hour" | "hours" => 3_600_000,
                "d" | "day" | "days" => 86_400_000,
                "week" | "weeks" => 7 * 86_400_000,
                _ => return None,
            };
            total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit_ms)?)?;
            rest = tail.trim_start();
        }
        (total > 0).then_some(total)
    };
    parse().ok_or_else(|| {
        invalid_value(key, text)
            .hint("Valid units for this parameter are \"ms\", \"s\", \"m\", \"h\" and \"d\".")
    })
}
