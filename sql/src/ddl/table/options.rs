//! A table's options: `WITH (…)`, ALTER TABLE … SET (…) and RESET (…), and how pg_class shows them.

use datafusion::sql::sqlparser::ast::{
    CreateTableOptions, Expr, Ident, SqlOption, UnaryOperator, Value,
};
use tidelog_storage::catalog::TableOptions;
use tidelog_storage::cold::DEFAULT_STORE;
use tidelog_storage::{Catalog, ColumnDef, ColumnId, ColumnType, TableDef, TableKind};

use crate::ddl::fold;
use crate::error::{ErrorKind, SqlError};
use crate::parse::{identifier, parse_expression};

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidParameterValue, message)
}

fn with_options(options: &CreateTableOptions) -> Result<&[SqlOption], SqlError> {
    match options {
        CreateTableOptions::None => Ok(&[]),
        CreateTableOptions::With(options) => Ok(options),
        _ => Err(SqlError::unsupported("this form of table options")),
    }
}

/// The kind that a table has by `WITH (…)` and the keyword before TABLE, if they agree.
pub(super) fn kind(
    options: &CreateTableOptions,
    keyword: Option<TableKind>,
) -> Result<TableKind, SqlError> {
    let mut kind = keyword;
    for (key, text) in pairs(with_options(options)?)? {
        if key == "type" {
            kind = kind.or(text.as_deref().and_then(kind_named));
        }
    }
    Ok(kind.unwrap_or(TableKind::Shared))
}

fn kind_named(name: &str) -> Option<TableKind> {
    match name.to_lowercase().as_str() {
        "user" => Some(TableKind::User),
        "shared" => Some(TableKind::Shared),
        "stream" => Some(TableKind::Stream),
        _ => None,
    }
}

/// What `WITH (…)` says, beside the keyword before TABLE.
pub(super) fn given(
    options: &CreateTableOptions,
    kind: Option<TableKind>,
    columns: &[ColumnDef],
    catalog: &Catalog,
) -> Result<(TableKind, TableOptions), SqlError> {
    let given = with_options(options)?;
    let mut with_kind = None;
    let mut set = TableOptions::default();
    for (key, text) in pairs(given)? {
        let Some(text) = text else {
            return Err(invalid_value(&key, "NULL"));
        };
        match key.as_str() {
            "type" => {
                let Some(named) = kind_named(&text) else {
                    return Err(invalid_value(&key, &text)
                        .detail("Valid values are \"user\", \"shared\" and \"stream\"."));
                };
                with_kind = Some(named);
            }
            "ttl" => set.ttl_ms = Some(duration_ms(&key, &text, 1)?),
            "storage" => set.storage = storage(&text, catalog)?,
            _ => set_option(&mut set, columns, &key, &text)?,
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

/// ALTER TABLE … SET (…) and RESET (…), of a table that is there.
pub(super) fn set(
    table: &mut TableDef,
    options: &[SqlOption],
    catalog: &Catalog,
) -> Result<(), SqlError> {
    for (key, text) in pairs(options)? {
        match (key.as_str(), table.kind, text) {
            ("type", ..) => return Err(SqlError::unsupported("changing the type of a table")),
            ("ttl", TableKind::Stream, Some(text)) => {
                table.options.ttl_ms = Some(duration_ms(&key, &text, 1)?);
            }
            ("ttl", TableKind::Stream, None) => {
                return Err(invalid("a stream table needs parameter \"ttl\""));
            }
            ("ttl", ..) => return Err(invalid("parameter \"ttl\" is for stream tables only")),
            ("storage", _, Some(text)) => table.options.storage = storage(&text, catalog)?,
            (_, _, Some(text)) => set_option(&mut table.options, &table.columns, &key, &text)?,
            (_, _, None) => reset_option(&mut table.options, &key)?,
        }
    }
    Ok(())
}

/// The options' names and values, each name once; NULL, which is how the parser puts RESET, is no value.
fn pairs(options: &[SqlOption]) -> Result<Vec<(String, Option<String>)>, SqlError> {
    let mut pairs: Vec<(String, Option<String>)> = Vec::with_capacity(options.len());
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
        let text = match value {
            Expr::Value(value) if value.value == Value::Null => None,
            Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => {
                Some(value.to_string())
            }
            value => {
                let text = option_text(value);
                Some(text.ok_or_else(|| invalid_value(&key, &value.to_string()))?)
            }
        };
        pairs.push((key, text));
    }
    Ok(pairs)
}

/// Sets one of the options that every table has and that may change.
fn set_option(
    options: &mut TableOptions,
    columns: &[ColumnDef],
    key: &str,
    text: &str,
) -> Result<(), SqlError> {
    match key {
        "flush_rows" => {
            options.flush_rows = text
                .parse()
                .ok()
                .filter(|&rows| rows > 0)
                .ok_or_else(|| invalid_value(key, text))?;
        }
        "flush_bytes" => options.flush_bytes = bytes(key, text)?,
        "flush_interval" => options.flush_interval_ms = duration_ms(key, text, 1)?,
        "resume_window" => options.resume_window_ms = duration_ms(key, text, 1)?,
        "resume_bytes" => options.resume_bytes = Some(bytes(key, text)?),
        "history_window" => options.history_window_ms = duration_ms(key, text, 0)?,
        "cluster_by" => options.cluster_by = cluster_columns(columns, text)?,
        // PostgreSQL's: how full its pages are made. There are none here.
        "fillfactor" => {
            let percent = text.parse::<i64>().map_err(|_| invalid_value(key, text))?;
            if !(10..=100).contains(&percent) {
                return Err(invalid(format!(
                    "value {text} out of bounds for option \"fillfactor\""
                ))
                .detail("Valid values are between \"10\" and \"100\"."));
            }
        }
        "oids" => {
            if crate::settings::boolean(key, text)? {
                let message = "tables declared WITH OIDS are not supported";
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
            }
        }
        _ if is_of_vacuum(key) => {}
        _ => return Err(unrecognized(key)),
    }
    Ok(())
}

/// PostgreSQL's: when its tables are vacuumed. They are compacted here.
fn is_of_vacuum(key: &str) -> bool {
    key.starts_with("autovacuum_") || matches!(key, "vacuum_index_cleanup" | "vacuum_truncate")
}

/// The object store of this name, as a table's definition has it.
fn storage(name: &str, catalog: &Catalog) -> Result<Option<String>, SqlError> {
    if !catalog.storages.contains(name) {
        let known = catalog.storages.iter().map(|name| format!("\"{name}\""));
        let known: Vec<String> = known.collect();
        let message = format!("storage \"{name}\" does not exist");
        return Err(SqlError::new(ErrorKind::UndefinedObject, message)
            .detail(format!(
                "The server was started with: {}.",
                known.join(", ")
            ))
            .hint(
                "Storages are given to the server, as in --storage archive=s3://bucket/prefix.",
            ));
    }
    Ok((name != DEFAULT_STORE).then(|| name.to_string()))
}

/// Gives one of them its default.
fn reset_option(options: &mut TableOptions, key: &str) -> Result<(), SqlError> {
    let default = TableOptions::default();
    match key {
        "flush_rows" => options.flush_rows = default.flush_rows,
        "flush_bytes" => options.flush_bytes = default.flush_bytes,
        "flush_interval" => options.flush_interval_ms = default.flush_interval_ms,
        "resume_window" => options.resume_window_ms = default.resume_window_ms,
        "resume_bytes" => options.resume_bytes = default.resume_bytes,
        "history_window" => options.history_window_ms = default.history_window_ms,
        "cluster_by" => options.cluster_by = default.cluster_by,
        "storage" => options.storage = default.storage,
        "fillfactor" => {}
        _ if is_of_vacuum(key) => {}
        _ => return Err(unrecognized(key)),
    }
    Ok(())
}

/// `room, "Id"` as columns of the table.
fn cluster_columns(columns: &[ColumnDef], text: &str) -> Result<Vec<ColumnId>, SqlError> {
    let mut ids = Vec::new();
    for name in text.split(',') {
        let expr = parse_expression(name)
            .map_err(|_| invalid_value("cluster_by", text).hint("It is a list of columns."))?;
        let Expr::Identifier(name) = expr else {
            return Err(invalid_value("cluster_by", text).hint("It is a list of columns."));
        };
        let name = fold(&name);
        let Some(column) = columns.iter().find(|column| column.name == name) else {
            return Err(SqlError::new(
                ErrorKind::UndefinedColumn,
                format!("column \"{name}\" named in \"cluster_by\" does not exist"),
            ));
        };
        if matches!(
            column.ty,
            ColumnType::Interval(_)
                | ColumnType::Enum(_)
                | ColumnType::Array(_)
                | ColumnType::Shaped(_)
                | ColumnType::Printed(_)
                | ColumnType::Json
        ) {
            let ty = crate::types::name(column.ty);
            return Err(SqlError::unsupported(format!(
                "\"cluster_by\" with column \"{name}\" of type {ty}"
            )));
        }
        if ids.contains(&column.id) {
            return Err(SqlError::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{name}\" appears twice in \"cluster_by\""),
            ));
        }
        ids.push(column.id);
    }
    Ok(ids)
}

/// The columns that compaction sorts by, as `cluster_by` was given.
pub(crate) fn shown_cluster_by(table: &TableDef) -> String {
    let columns = table
        .options
        .cluster_by
        .iter()
        .filter_map(|id| table.index_of(*id));
    let names: Vec<String> = columns
        .map(|at| identifier(&table.columns[at].name))
        .collect();
    names.join(", ")
}

/// The options of a table that are not the defaults, as `name=value`.
pub(crate) fn shown(table: &TableDef) -> Vec<String> {
    let options = &table.options;
    let default = TableOptions::default();
    let mut shown = Vec::new();
    let mut show = |name: &str, differs: bool, value: String| {
        if differs {
            shown.push(format!("{name}={value}"));
        }
    };
    let ttl = options.ttl_ms.map(shown_duration);
    show("ttl", ttl.is_some(), ttl.unwrap_or_default());
    let rows = options.flush_rows;
    show("flush_rows", rows != default.flush_rows, rows.to_string());
    let bytes = options.flush_bytes;
    show(
        "flush_bytes",
        bytes != default.flush_bytes,
        bytes.to_string(),
    );
    let interval = options.flush_interval_ms;
    show(
        "flush_interval",
        interval != default.flush_interval_ms,
        shown_duration(interval),
    );
    let window = options.resume_window_ms;
    show(
        "resume_window",
        window != default.resume_window_ms,
        shown_duration(window),
    );
    let bytes = options.resume_bytes.map(|bytes| bytes.to_string());
    show("resume_bytes", bytes.is_some(), bytes.unwrap_or_default());
    let window = options.history_window_ms;
    show(
        "history_window",
        window != default.history_window_ms,
        shown_duration(window),
    );
    let columns = shown_cluster_by(table);
    show("cluster_by", !columns.is_empty(), columns);
    let storage = options.storage.clone();
    show("storage", storage.is_some(), storage.unwrap_or_default());
    shown
}

/// A duration in its largest unit that is exact, as `duration_ms` reads it.
pub(crate) fn shown_duration(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let exact = |(unit, _): &&(i64, &str)| ms > 0 && ms % unit == 0;
    match UNITS.iter().find(exact) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

fn unrecognized(key: &str) -> SqlError {
    invalid(format!("unrecognized parameter \"{key}\""))
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

/// Reads `64MB`, `1.5GB`, or a number of bytes, at least one.
fn bytes(key: &str, text: &str) -> Result<u64, SqlError> {
    let parse = || -> Option<u64> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" => 1 << 10,
            "MB" => 1 << 20,
            "GB" => 1 << 30,
            "TB" => 1 << 40,
            _ => return None,
        };
        let whole: Option<u64> = number.parse().ok();
        match whole {
            Some(whole) => whole.checked_mul(unit),
            None => {
                let bytes = number.parse::<f64>().ok()? * unit as f64;
                (bytes < u64::MAX as f64).then_some(bytes as u64)
            }
        }
        .filter(|&bytes| bytes > 0)
    };
    parse().ok_or_else(|| {
        invalid_value(key, text)
            .hint("Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".")
    })
}

/// Reads `30s`, `1h 30m`, `30 seconds`, in milliseconds, at least `min`; a bare `0` needs no unit.
fn duration_ms(key: &str, text: &str, min: i64) -> Result<i64, SqlError> {
    let parse = || -> Option<i64> {
        let mut rest = text.trim();
        let mut total: i64 = 0;
        if rest.is_empty() {
            return None;
        }
        if rest == "0" {
            rest = "";
        }
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
        (total >= min).then_some(total)
    };
    parse().ok_or_else(|| {
        invalid_value(key, text)
            .hint("Valid units for this parameter are \"ms\", \"s\", \"m\", \"h\" and \"d\".")
    })
}
