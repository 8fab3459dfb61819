//! Session settings: the GUCs that clients send, and what `SHOW` says.

mod server;
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tidelog_storage::{RoleDef, RoleId, RoleRef};

use crate::ddl::truncate_name;
use crate::error::{ErrorKind, SqlError};
use crate::parse::identifier;
use crate::session::Isolation;
use crate::text::{BytesStyle, FloatStyle, IntervalStyle, Zone};

use server::OF_SERVER;
pub(crate) use values::{boolean, check_allowed, time};
use values::{check_context, milliseconds, of_kind};

/// (name as PostgreSQL spells it, default, whether clients are told its value)
const KNOWN: &[(&str, &str, bool)] = &[
    ("application_name", "", true),
    ("array_nulls", "on", false),
    ("backslash_quote", "safe_encoding", false),
    ("block_size", "8192", false),
    ("bytea_output", "hex", false),
    ("check_function_bodies", "on", false),
    ("client_encoding", "UTF8", true),
    ("client_min_messages", "notice", false),
    ("constraint_exclusion", "partition", false),
    ("cpu_index_tuple_cost", "0.005", false),
    ("cpu_operator_cost", "0.0025", false),
    ("cpu_tuple_cost", "0.01", false),
    ("cursor_tuple_fraction", "0.1", false),
    ("data_checksums", "on", false),
    ("DateStyle", "ISO, MDY", true),
    ("deadlock_timeout", "1s", false),
    ("debug_print_parse", "off", false),
    ("default_statistics_target", "100", false),
    ("default_table_access_method", "heap", false),
    ("default_tablespace", "", false),
    ("default_text_search_config", "pg_catalog.simple", false),
    ("default_toast_compression", "pglz", false),
    ("default_transaction_deferrable", "off", false),
    ("default_transaction_isolation", "read committed", false),
    ("default_transaction_read_only", "off", false),
    ("effective_cache_size", "4GB", false),
    ("effective_io_concurrency", "1", false),
    ("enable_async_append", "on", false),
    ("enable_bitmapscan", "on", false),
    ("enable_gathermerge", "on", false),
    ("enable_hashagg", "on", false),
    ("enable_hashjoin", "on", false),
    ("enable_incremental_sort", "on", false),
    ("enable_indexonlyscan", "on", false),
    ("enable_indexscan", "on", false),
    ("enable_material", "on", false),
    ("enable_memoize", "on", false),
    ("enable_mergejoin", "on", false),
    ("enable_nestloop", "on", false),
    ("enable_parallel_append", "on", false),
    ("enable_parallel_hash", "on", false),
    ("enable_partition_pruning", "on", false),
    ("enable_partitionwise_aggregate", "off", false),
    ("enable_partitionwise_join", "off", false),
    ("enable_seqscan", "on", false),
    ("enable_sort", "on", false),
    ("enable_tidscan", "on", false),
    ("escape_string_warning", "on", false),
    ("exit_on_error", "off", false),
    ("extra_float_digits", "1", false),
    ("from_collapse_limit", "8", false),
    ("geqo", "on", false),
    ("geqo_threshold", "12", false),
    ("gin_fuzzy_search_limit", "0", false),
    ("hash_mem_multiplier", "2", false),
    ("hot_standby", "on", false),
    ("idle_in_transaction_session_timeout", "0", false),
    ("idle_session_timeout", "0", false),
    ("in_hot_standby", "off", true),
    ("integer_datetimes", "on", true),
    ("IntervalStyle", "postgres", true),
    ("jit", "on", false),
    ("jit_above_cost", "100000", false),
    ("jit_inline_above_cost", "500000", false),
    ("jit_optimize_above_cost", "500000", false),
    ("join_collapse_limit", "8", false),
    ("lc_collate", "C", false),
    ("lc_ctype", "C", false),
    ("lc_messages", "C", false),
    ("lc_monetary", "C", false),
    ("lc_numeric", "C", false),
    ("lc_time", "C", false),
    ("lock_timeout", "0", false),
    ("log_min_duration_statement", "-1", false),
    ("log_statement", "none", false),
    ("maintenance_work_mem", "64MB", false),
    ("max_identifier_length", "63", false),
    ("max_index_keys", "32", false),
    ("max_parallel_workers", "8", false),
    ("max_parallel_workers_per_gather", "2", false),
    ("min_parallel_index_scan_size", "512kB", false),
    ("min_parallel_table_scan_size", "8MB", false),
    ("parallel_leader_participation", "on", false),
    ("parallel_setup_cost", "1000", false),
    ("parallel_tuple_cost", "0.1", false),
    ("password_encryption", "scram-sha-256", false),
    ("plan_cache_mode", "auto", false),
    ("quote_all_identifiers", "off", false),
    ("random_page_cost", "4", false),
    ("recursive_worktable_factor", "10", false),
    ("row_security", "on", false),
    ("search_path", "\"$user\", public", false),
    ("segment_size", "1GB", false),
    ("seq_page_cost", "1", false),
    ("server_encoding", "UTF8", true),
    ("server_version", SERVER_VERSION, true),
    ("server_version_num", "150000", false),
    ("session_replication_role", "origin", false),
    ("shared_buffers", "128MB", false),
    ("ssl", "off", false),
    ("standard_conforming_strings", "on", true),
    ("statement_timeout", "0", false),
    ("synchronize_seqscans", "on", false),
    ("synchronous_commit", "on", false),
    ("tcp_keepalives_count", "0", false),
    ("tcp_keepalives_idle", "0", false),
    ("tcp_keepalives_interval", "0", false),
    ("temp_buffers", "8MB", false),
    ("temp_tablespaces", "", false),
    ("TimeZone", "UTC", true),
    ("timezone_abbreviations", "Default", false),
    ("transaction_deferrable", "off", false),
    ("transaction_isolation", "read committed", false),
    ("transaction_read_only", "off", false),
    ("transform_null_equals", "off", false),
    ("vacuum_cost_delay", "0", false),
    ("wal_level", "replica", false),
    ("work_mem", "4MB", false),
    ("xmloption", "content", false),
];

/// How many connections of PostgreSQL's protocol the server takes: the session knows.
pub(crate) const MAX_CONNECTIONS: (&str, &str, bool) = ("max_connections", "1000", false);

/// Of which roles there are: SHOW ALL leaves them out, RESET ALL as they are. Only `role` can be set.
const OF_ROLES: &[(&str, &str, bool)] = &[
    ("is_superuser", "off", false),
    (ROLE, NO_ROLE, false),
    ("session_authorization", "", false),
];

/// The role that statements run as. Its value is that role's id and name, of which the name is shown.
pub(crate) const ROLE: &str = "role";

/// The value of `ROLE` for a role.
pub(crate) fn role_value(role: &RoleDef) -> String {
    format!("{} {}", role.id.oid(), role.name)
}

/// The role is the one that logged in.
pub(crate) const NO_ROLE: &str = "none";

/// Settings whose value is a list; the elements of `search_path` are names.
const LISTS: &[&str] = &["search_path", "DateStyle", "temp_tablespaces"];

/// PostgreSQL's version whose behaviour is followed, then ours.
pub(crate) const SERVER_VERSION: &str = concat!("15.0 (Tidelog ", env!("CARGO_PKG_VERSION"), ")");

type Values = BTreeMap<String, String>;

/// What most sessions have set.
static NOTHING: LazyLock<Arc<Values>> = LazyLock::new(Arc::default);

/// What was set when a savepoint was made.
#[derive(Clone, Debug)]
pub(crate) struct SettingsMark {
    changed: Arc<Values>,
    local: Values,
}

/// One session's settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the client asked for when it connected: what RESET goes back to.
    startup: Arc<Values>,
    changed: Arc<Values>,
    /// Over `changed`, until the transaction ends.
    local: Values,
    /// What was changed before the transaction: it comes back when that is rolled back.
    before: Option<Arc<Values>>,
}

/// Settings that hold for as long as a session.
#[derive(Clone, Debug)]
pub(crate) struct Lasting {
    startup: Arc<Values>,
    changed: Arc<Values>,
}

impl From<Lasting> for Settings {
    fn from(lasting: Lasting) -> Settings {
        let Lasting { startup, changed } = lasting;
        Settings {
            startup,
            changed,
            local: Values::new(),
            before: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            startup: NOTHING.clone(),
            changed: NOTHING.clone(),
            local: Values::new(),
            before: None,
        }
    }
}

impl Settings {
    /// A setting's canonical name and its value.
    pub(crate) fn get(&self, name: &str) -> Result<(String, String), SqlError> {
        if let Some((name, value)) =
            custom_name(name).and_then(|name| Some((name.clone(), self.value(&name)?)))
        {
            return Ok((name, value.to_string()));
        }
        let (name, default, _) = known(name)?;
        let value = match name {
            ROLE => self.role().map(|role| role.name.to_string()),
            _ => self.value(name).map(str::to_string),
        };
        Ok((name.to_string(), value.unwrap_or(default.to_string())))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let layers = [&self.local, &*self.changed, &*self.startup];
        let set = layers.into_iter().find_map(|layer| layer.get(name));
        set.map(String::as_str)
    }

    /// Whether a commit waits until it is synced.
    pub(crate) fn is_synced(&self) -> bool {
        self.value("synchronous_commit") != Some("off")
    }

    /// What is set now is what RESET goes back to.
    pub(crate) fn keep_as_startup(&mut self) {
        self.startup = std::mem::replace(&mut self.changed, NOTHING.clone());
    }

    /// The role that statements run as, if it is not the one that logged in.
    pub(crate) fn role(&self) -> Option<RoleRef> {
        let (id, name) = self.value(ROLE)?.split_once(' ')?;
        let id = RoleId::new(id.parse().ok()?);
        let name = name.into();
        Some(RoleRef { id, name })
    }

    /// What is set now as what lasts, also what was set for the transaction only.
    pub(crate) fn lasting(&self) -> Lasting {
        let mut changed = self.changed.clone();
        if !self.local.is_empty() {
            Arc::make_mut(&mut changed).extend(self.local.clone());
        }
        Lasting {
            startup: self.startup.clone(),
            changed,
        }
    }

    /// Sets a setting until the transaction ends; `None` is its default. Gives the canonical name when clients are
    /// to be told.
    pub(crate) fn set_local(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<Option<&'static str>, SqlError> {
        if let Some(name) = custom_name(name) {
            self.local
                .insert(name, value.unwrap_or_default().to_string());
            return Ok(None);
        }
        let (name, default, reported) = known(name)?;
        let value = checked(name, value.unwrap_or(default))?;
        self.local.insert(name.to_string(), value);
        Ok(reported.then_some(name))
    }

    /// A transaction begins: if it is rolled back, so is what it sets.
    pub(crate) fn begin(&mut self) {
        self.before = Some(self.changed.clone());
    }

    /// The transaction has ended. Gives the settings that clients are to be told of.
    pub(crate) fn end(&mut self, committed: bool) -> Vec<(String, String)> {
        let before = self
            .before
            .take()
            .filter(|before| !Arc::ptr_eq(before, &self.changed));
        if self.local.is_empty() && (committed || before.is_none()) {
            return Vec::new();
        }
        let told = self.reported();
        let local = std::mem::take(&mut self.local);
        if let (Some(before), false) = (before, committed) {
            self.changed = before;
        }
        // A setting that users made up is there from then on, without a value.
        for name in local.into_keys().filter(|name| name.contains('.')) {
            if self.value(&name).is_none() {
                Arc::make_mut(&mut self.changed).insert(name, String::new());
            }
        }
        self.changed_since(told)
    }

    fn changed_since(&self, told: Vec<(String, String)>) -> Vec<(String, String)> {
        let now = self.reported().into_iter().zip(told);
        now.filter(|(now, told)| now != told)
            .map(|(now, _)| now)
            .collect()
    }

    /// A mark for `undo_to`.
    pub(crate) fn mark(&self) -> SettingsMark {
        SettingsMark {
            changed: self.changed.clone(),
            local: self.local.clone(),
        }
    }

    /// Takes back what was set since the mark. Gives the settings that clients are to be told of.
    pub(crate) fn undo_to(&mut self, mark: SettingsMark) -> Vec<(String, String)> {
        if Arc::ptr_eq(&self.changed, &mark.changed) && self.local == mark.local {
            return Vec::new();
        }
        let told = self.reported();
        (self.changed, self.local) = (mark.changed, mark.local);
        self.changed_since(told)
    }

    /// The settings that no one but the users knows, with their values.
    pub(crate) fn custom(&self) -> impl Iterator<Item = (String, String)> {
        let set = self.local.iter().chain(self.changed.iter());
        let custom = set.filter(|(name, _)| name.contains('.'));
        custom.map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Whether session_replication_role says that no foreign keys are looked after.
    pub(crate) fn is_replica(&self) -> bool {
        self.value("session_replication_role") == Some("replica")
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

    /// Whether transactions that do not say so are deferrable.
    pub(crate) fn default_deferrable(&self) -> bool {
        self.value("default_transaction_deferrable") == Some("on")
    }

    /// The session's time zone.
    pub(crate) fn zone(&self) -> Zone {
        self.value("TimeZone")
            .and_then(Zone::setting)
            .unwrap_or_default()
    }

    /// How IntervalStyle has intervals written.
    pub(crate) fn interval_style(&self) -> IntervalStyle {
        let named = self.value("IntervalStyle").and_then(IntervalStyle::named);
        named.unwrap_or_default()
    }

    /// How bytea_output has bytes written.
    pub(crate) fn bytes_style(&self) -> BytesStyle {
        match self.value("bytea_output") {
            Some("escape") => BytesStyle::Escape,
            _ => BytesStyle::Hex,
        }
    }

    /// How extra_float_digits has floats written.
    pub(crate) fn float_style(&self) -> FloatStyle {
        let extra = self.value("extra_float_digits");
        match extra.and_then(|extra| extra.trim().parse::<i8>().ok()) {
            Some(extra @ ..=0) => FloatStyle::Rounded(extra.unsigned_abs()),
            _ => FloatStyle::Shortest,
        }
    }

    /// The rank of the least severe messages that the client wants.
    pub(crate) fn least_severity(&self) -> usize {
        severity_rank(self.value("client_min_messages").unwrap_or("notice"))
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
        if let Some(name) = custom_name(name) {
            self.local.remove(&name);
            let changed = Arc::make_mut(&mut self.changed);
            match value {
                None => changed.insert(name, String::new()),
                Some(value) => changed.insert(name, value.to_string()),
            };
            return Ok(None);
        }
        let (name, _, reported) = known(name)?;
        let value = match value {
            None => check_context(name).map(|()| None)?,
            Some(value) => Some(checked(name, value)?),
        };
        self.local.remove(name);
        match value {
            None if !self.changed.contains_key(name) => {}
            None => drop(Arc::make_mut(&mut self.changed).remove(name)),
            Some(value) => {
                Arc::make_mut(&mut self.changed).insert(name.to_string(), value);
            }
        }
        Ok(reported.then_some(name))
    }

    /// Every setting back to its default, but for the role.
    pub(crate) fn reset_all(&mut self) {
        let is_role = |name: &String, _: &mut String| name == ROLE;
        Arc::make_mut(&mut self.changed).retain(is_role);
        self.local.retain(is_role);
    }

    /// The settings that clients are told, with their values.
    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        let value = |name: &'static str, default: &str| {
            (
                name.to_string(),
                self.value(name).unwrap_or(default).to_string(),
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
        let names = names(value, ',').unwrap_or_default().into_iter();
        let names = names.filter(|name| !name.is_empty());
        let of_role = |name: String| match name.as_str() {
            "$user" => role.to_string(),
            _ => name,
        };
        names.map(of_role).collect()
    }
}

/// Every setting with its default.
pub(crate) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    all().map(|(name, default, _)| (name, default))
}

/// (name, default, whether clients are told its value)
fn all() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let of_server = (OF_SERVER.iter()).map(|(name, default)| (*name, *default, false));
    let known = KNOWN.iter().chain(OF_ROLES).copied();
    known.chain([MAX_CONNECTIONS]).chain(of_server)
}

/// Whether SHOW ALL and pg_settings leave a setting out.
pub(crate) fn is_hidden(name: &str) -> bool {
    OF_ROLES.iter().any(|(hidden, _, _)| *hidden == name)
}

/// The severities of messages, the least severe first.
const SEVERITIES: [&str; 10] = [
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "info", "notice", "warning", "error",
];

/// Where a severity stands among them.
pub(crate) fn severity_rank(severity: &str) -> usize {
    let named = |known: &&str| known.eq_ignore_ascii_case(severity);
    SEVERITIES
        .iter()
        .position(named)
        .unwrap_or(SEVERITIES.len())
}

/// The name of a setting that users made up: it has a dot in it.
fn custom_name(name: &str) -> Option<String> {
    let word = |part: &str| {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        part.starts_with(|c: char| c.is_alphabetic() || c == '_') && part.chars().all(plain)
    };
    let custom = name.contains('.') && name.split('.').all(word);
    custom.then(|| name.to_ascii_lowercase())
}

fn known(name: &str) -> Result<(&'static str, &'static str, bool), SqlError> {
    let name = if name.eq_ignore_ascii_case("time zone") {
        "timezone"
    } else {
        name
    };
    all()
        .find(|(known, _, _)| known.eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            SqlError::new(
                ErrorKind::UndefinedObject,
                format!("unrecognized configuration parameter \"{name}\""),
            )
        })
}

/// The value of a setting that SET gives one or more of.
pub(crate) fn joined(name: &str, values: Vec<String>) -> Result<String, SqlError> {
    let is_list = LISTS.iter().any(|list| list.eq_ignore_ascii_case(name));
    if values.len() > 1 && !is_list {
        let message = format!("SET {name} takes only one argument");
        return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
    }
    let values: Vec<_> = match name.eq_ignore_ascii_case("search_path") {
        true => values.iter().map(|name| identifier(name)).collect(),
        false => values,
    };
    Ok(values.join(", "))
}

/// The names of a list of them, folded where they are not quoted; `None` when it is no such list. After
/// SplitIdentifierString in PostgreSQL's varlena.c.
pub(crate) fn names(list: &str, separator: char) -> Option<Vec<String>> {
    let mut rest = list.trim_matches(is_space);
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (mut name, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (name, length) = unquoted(quoted)?;
                (name, &quoted[length..])
            }
            None => {
                let ends = |c: char| c == separator || is_space(c);
                let (name, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                if name.is_empty() {
                    return None;
                }
                (name.to_lowercase(), behind)
            }
        };
        truncate_name(&mut name);
        names.push(name);
        let behind = behind.trim_start_matches(is_space);
        rest = match behind.strip_prefix(separator) {
            // Another name must follow.
            Some(next) => {
                Some(next.trim_start_matches(is_space)).filter(|next| !next.is_empty())?
            }
            None if behind.is_empty() => behind,
            None => return None,
        };
    }
    Some(names)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// What stands before the closing quote, where two are one of the name's own, and how many bytes it takes up with that.
fn unquoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' if rest.next_if(|(_, next)| *next == '"').is_none() => return Some((name, at + 1)),
            other => name.push(other),
        }
    }
    None
}

/// Settings whose other values would change results that are not implemented are refused, never ignored.
fn checked(name: &'static str, value: &str) -> Result<String, SqlError> {
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
    check_context(name)?;
    match name {
        "session_authorization" => refuse(),
        "TimeZone" => match Zone::setting(value) {
            // PostgreSQL shows a POSIX name as it was given.
            Some(Zone::Fixed(_)) if value.trim().parse::<f64>().is_err() || value.contains(':') => {
                Ok(value.trim().to_string())
            }
            Some(Zone::Posix(_)) => Ok(value.trim().to_ascii_uppercase()),
            Some(zone) => Ok(zone.name()),
            None => Err(invalid_value(name, value)),
        },
        "search_path" if names(value, ',').is_none() => {
            Err(invalid_value(name, value).detail("List syntax is invalid."))
        }
        "client_encoding" if one_of(&["UTF8", "UTF-8", "unicode"]) => Ok("UTF8".to_string()),
        "DateStyle" if value.to_ascii_uppercase().starts_with("ISO") => Ok("ISO, MDY".to_string()),
        "standard_conforming_strings" if one_of(&["on", "true", "1", "yes"]) => {
            Ok("on".to_string())
        }
        "IntervalStyle" => match IntervalStyle::named(value) {
            Some(style) => Ok(style.name().to_string()),
            None => Err(invalid_value(name, value)
                .hint("Available values: postgres, postgres_verbose, sql_standard, iso_8601.")),
        },
        "client_min_messages" => match value.trim().to_ascii_lowercase().as_str() {
            "debug" => Ok("debug2".to_string()),
            level if SEVERITIES.contains(&level) => Ok(level.to_string()),
            _ => Err(invalid_value(name, value).hint(
                "Available values: debug5, debug4, debug3, debug2, debug1, log, notice, warning, error.",
            )),
        },
        "transform_null_equals" if matches!(boolean(name, value), Ok(false)) => {
            Ok("off".to_string())
        }
        "default_transaction_isolation" => match Isolation::named(value) {
            Some(level) => Ok(level.name().to_string()),
            None => Err(invalid_isolation(name, value)),
        },
        "synchronous_commit" => match value.trim().to_ascii_lowercase().as_str() {
            level @ ("local" | "remote_write" | "remote_apply") => Ok(level.to_string()),
            _ => match boolean(name, value) {
                Ok(on) => Ok(if on { "on" } else { "off" }.to_string()),
                Err(_) => Err(invalid_value(name, value)
                    .hint("Available values: local, remote_write, remote_apply, on, off.")),
            },
        },
        "client_encoding"
        | "DateStyle"
        | "standard_conforming_strings"
        | "transform_null_equals"
        | "transaction_isolation"
        | "transaction_read_only" => refuse(),
        // How a plan is made is not PostgreSQL's affair here, and rows of others are in no one's sight whatever row_security
        // says: what is left is taken, and changes nothing.
        _ => of_kind(name, value),
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
