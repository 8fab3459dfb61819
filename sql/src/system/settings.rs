//! pg_settings: the session's settings, and what PostgreSQL 15 says of each.

use std::collections::HashMap;
use std::sync::LazyLock;

use tidelog_storage::Datum;

use super::pg_catalog::yes;
use super::{Named, from_csv, text};

/// PostgreSQL's own rows, without values.
static ROWS: LazyLock<HashMap<String, Named>> = LazyLock::new(|| {
    let rows = from_csv("pg_settings", include_str!("pg_settings.csv")).into_iter();
    rows.filter_map(|row| Some((column(&row, "name")?.to_string(), row)))
        .collect()
});

fn column<'a>(row: &'a Named, name: &str) -> Option<&'a str> {
    match row.iter().find(|(column, _)| *column == name) {
        Some((_, Datum::Text(value))) => Some(value),
        _ => None,
    }
}

/// What values a setting has, and who may set it when.
pub(crate) struct Kind {
    pub(crate) context: &'static str,
    pub(crate) vartype: &'static str,
    pub(crate) unit: Option<&'static str>,
    /// The lowest and the highest number, in the unit.
    pub(crate) bounds: Option<(&'static str, &'static str)>,
    /// Of an enum.
    pub(crate) values: Vec<&'static str>,
}

/// The kind of a setting; `None` for one that PostgreSQL's catalog leaves out.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    let row = ROWS.get(name)?;
    let values = column(row, "enumvals").unwrap_or_default();
    let values = values.trim_matches(|c| matches!(c, '{' | '}')).split(',');
    Some(Kind {
        context: column(row, "context")?,
        vartype: column(row, "vartype")?,
        unit: column(row, "unit"),
        bounds: column(row, "min_val").zip(column(row, "max_val")),
        values: values.map(|label| label.trim_matches('"')).collect(),
    })
}

/// What SHOW ALL says of a setting.
pub(crate) fn description(name: &str) -> &str {
    let row = ROWS.get(name);
    row.and_then(|row| column(row, "short_desc")).unwrap_or("")
}

/// The rows of settings with these names and values.
pub(crate) fn settings_rows(settings: Vec<(String, String)>) -> Vec<Named> {
    let defaults: HashMap<&str, &str> = crate::settings::defaults().collect();
    let row = |(name, value): (String, String)| {
        // PostgreSQL leaves out those of a session's own making, too.
        let known = ROWS.get(&name)?;
        let unit = column(known, "unit");
        let bare = |value: &str| text(in_unit(value, unit).unwrap_or(value.to_string()));
        let default = defaults.get(name.as_str()).copied();
        let source = match default == Some(&value) {
            true => "default",
            false => "session",
        };
        let own = vec![
            ("setting", bare(&value)),
            ("source", text(source)),
            ("boot_val", default.map_or(Datum::Null, bare)),
            ("reset_val", default.map_or(Datum::Null, bare)),
            ("pending_restart", yes(false)),
        ];
        let mut row = known.clone();
        row.retain(|(column, _)| !own.iter().any(|(given, _)| given == column));
        row.extend(own);
        Some(row)
    };
    settings.into_iter().filter_map(row).collect()
}

/// A number with a unit behind it (`4MB`, `90s`) as one of the unit that the setting is counted in.
fn in_unit(value: &str, unit: Option<&str>) -> Option<String> {
    const UNITS: &[(&str, u64)] = &[
        ("B", 1),
        ("kB", 1 << 10),
        ("8kB", 8 << 10),
        ("MB", 1 << 20),
        ("GB", 1 << 30),
        ("TB", 1 << 40),
        ("ms", 1),
        ("s", 1_000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let size = |unit: &str| UNITS.iter().find(|(name, _)| *name == unit).map(|of| of.1);
    let at = value.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, written) = value.split_at(at);
    let number: u64 = number.parse().ok()?;
    let size = number.checked_mul(size(written)?)? / size(unit?)?;
    Some(size.to_string())
}
