//! Settings: flags and environment over the file over the defaults, checked once.

mod cold;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tidelog_sql::EngineOptions;
use tidelog_storage::Failpoints;
use tidelog_storage::cold::ColdOptions;
use tidelog_storage::commit::LARGE_BYTES;
use tidelog_storage::failpoint::MalformedFailpoints;

use cold::{Cold, ColdFile, ColdFlags, Storage};

/// What the command line and the environment say.
#[derive(Args, Debug, Default)]
pub(crate) struct Flags {
    /// The data directory, made if it does not exist [default: ./data]
    #[arg(long, env = "TIDELOG_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where PostgreSQL clients connect; port 0 picks one [default: 127.0.0.1:5433]
    #[arg(long, env = "TIDELOG_PG", value_name = "ADDR:PORT")]
    pg: Option<String>,
    /// Where HTTP clients connect; port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, env = "TIDELOG_HTTP", value_name = "ADDR:PORT")]
    http: Option<String>,
    /// How many PostgreSQL clients may be connected at once [default: 1000]
    #[arg(long, env = "TIDELOG_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<u32>,
    /// Web pages of other origins that may use HTTP and WebSockets, such as https://app.example.com; * for all [default: none]
    #[arg(
        long,
        env = "TIDELOG_HTTP_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    http_origins: Option<Vec<String>>,
    /// Serves the demo's page at / (scripts/run --demo makes what it shows)
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    cold: ColdFlags,
    /// A TOML file with the same settings (data_dir, pg, http, max_connections, http_origins, log_format, log_level,
    /// transaction_bytes_max, query_memory, cold, cold_timeout, cold_cache, and a table [storages.NAME] for each further storage)
    #[arg(long, env = "TIDELOG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines look [default: human]
    #[arg(long, env = "TIDELOG_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged: a level or tracing directives such as info,tidelog_storage=debug [default: info]
    #[arg(long, env = "TIDELOG_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// Largest memory of a transaction's uncommitted changes, in bytes [default: 1073741824]
    #[arg(long, env = "TIDELOG_TRANSACTION_BYTES_MAX", value_name = "BYTES")]
    transaction_bytes_max: Option<usize>,
    /// Memory for the sorts, groups, joins and large results of functions of all statements together [default: half of the machine's]
    #[arg(long, env = "TIDELOG_QUERY_MEMORY", value_name = "SIZE")]
    query_memory: Option<String>,
    /// Steps at which a test ends the process: step=kill|stop|fail[@n],…
    #[arg(long, env = "TIDELOG_FAILPOINTS", hide = true)]
    failpoints: Option<String>,
    /// Bytes of a transaction beyond which it is written in pieces, for tests
    #[arg(long, env = "TIDELOG_LARGE_BYTES", hide = true)]
    large_bytes: Option<usize>,
}

/// Where cold files are, for who works on a data directory without a server.
#[derive(Args, Debug, Default)]
pub(crate) struct PlaceFlags {
    #[command(flatten)]
    cold: ColdFlags,
    /// The server's TOML file, of which data_dir, cold, storages and cold_timeout count here
    #[arg(long, env = "TIDELOG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl PlaceFlags {
    /// The data directory, if the file names it, and the stores.
    pub(crate) fn load(self) -> Result<(Option<PathBuf>, ColdOptions), SettingsError> {
        let mut file = read(self.config.as_deref())?;
        let (data_dir, cold) = (file.data_dir.take(), file.cold());
        Ok((data_dir, Cold::load(self.cold, cold)?.options()))
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    pg: Option<String>,
    http: Option<String>,
    max_connections: Option<u32>,
    http_origins: Option<Vec<String>>,
    log_format: Option<LogFormat>,
    log_level: Option<String>,
    transaction_bytes_max: Option<usize>,
    query_memory: Option<String>,
    cold: Option<String>,
    #[serde(default)]
    storages: BTreeMap<String, Storage>,
    cold_timeout: Option<String>,
    cold_cache: Option<String>,
}

impl File {
    /// What it says of the cold tier.
    fn cold(&mut self) -> ColdFile {
        ColdFile {
            cold: self.cold.take(),
            storages: std::mem::take(&mut self.storages),
            cold_timeout: self.cold_timeout.take(),
            cold_cache: self.cold_cache.take(),
        }
    }
}

/// The settings that hold.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) pg: String,
    pub(crate) http: String,
    pub(crate) max_connections: usize,
    pub(crate) http_origins: Vec<String>,
    pub(crate) demo: bool,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: String,
    pub(crate) transaction_bytes_max: usize,
    pub(crate) query_memory: usize,
    pub(crate) cold: Cold,
    pub(crate) failpoints: Failpoints,
    /// Bytes of a transaction beyond which it is written in pieces.
    pub(crate) large_bytes: usize,
}

/// What is wrong with the settings, in one line that names the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("could not read configuration file \"{}\": {reason}", path.display())]
    Unreadable {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("configuration file \"{}\"{place}: {reason}", path.display())]
    Malformed {
        path: PathBuf,
        place: String,
        reason: String,
    },
    #[error("{key} must be an address and a port such as 127.0.0.1:5433, not \"{value}\"")]
    Address { key: &'static str, value: String },
    #[error("{key} must be {expected}, not \"{value}\"")]
    Value {
        key: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("http_origins must be origins such as https://app.example.com, or *, not \"{value}\"")]
    Origin { value: String },
    #[error("log_level \"{value}\" is not a level: {reason}")]
    LogLevel { value: String, reason: String },
    #[error(transparent)]
    Failpoints(#[from] MalformedFailpoints),
}

impl Settings {
    /// Reads the file, if one is named, and puts flags and environment over it.
    pub(crate) fn load(flags: Flags) -> Result<Settings, SettingsError> {
        let mut file = read(flags.config.as_deref())?;
        let cold = file.cold();
        let settings = Settings {
            cold: Cold::load(flags.cold, cold)?,
            data_dir: flags
                .data_dir
                .or(file.data_dir)
                .unwrap_or_else(|| PathBuf::from("./data")),
            pg: flags
                .pg
                .or(file.pg)
                .unwrap_or_else(|| "127.0.0.1:5433".to_string()),
            http: flags
                .http
                .or(file.http)
                .unwrap_or_else(|| "127.0.0.1:8080".to_string()),
            max_connections: flags
                .max_connections
                .or(file.max_connections)
                .unwrap_or(1000) as usize,
            demo: flags.demo,
            http_origins: flags.http_origins.or(file.http_origins).unwrap_or_default(),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            log_level: flags
                .log_level
                .or(file.log_level)
                .unwrap_or_else(|| "info".to_string()),
            transaction_bytes_max: (flags.transaction_bytes_max)
                .or(file.transaction_bytes_max)
                .unwrap_or(EngineOptions::default().transaction_bytes_max),
            query_memory: match flags.query_memory.or(file.query_memory) {
                Some(text) => {
                    let bytes = cold::size("query_memory", text)?;
                    usize::try_from(bytes).unwrap_or(usize::MAX)
                }
                None => machine_memory().map_or(EngineOptions::default().query_memory, |of| of / 2),
            },
            failpoints: Failpoints::parse(flags.failpoints.as_deref().unwrap_or_default())?,
            large_bytes: flags.large_bytes.unwrap_or(LARGE_BYTES),
        };
        check_address("pg", &settings.pg)?;
        check_address("http", &settings.http)?;
        for origin in &settings.http_origins {
            check_origin(origin)?;
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&settings.log_level) {
            let reason = error.to_string();
            return Err(SettingsError::LogLevel {
                value: settings.log_level,
                reason,
            });
        }
        Ok(settings)
    }
}

/// Bytes of memory that this process may have: the machine's, or what its control group leaves it. `None` where that is not told.
fn machine_memory() -> Option<usize> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = machine.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?;
        rest.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()
    })?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|bytes| bytes.trim().parse::<usize>().ok());
    Some((kilobytes << 10).min(group.unwrap_or(usize::MAX)))
}

/// What the file says, if there is one.
fn read(path: Option<&Path>) -> Result<File, SettingsError> {
    let Some(path) = path else {
        return Ok(File::default());
    };
    let text = std::fs::read_to_string(path).map_err(|reason| SettingsError::Unreadable {
        path: path.to_path_buf(),
        reason,
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<File, SettingsError> {
    toml::from_str(text).map_err(|error| {
        let line = |offset: usize| {
            text.bytes()
                .take(offset)
                .filter(|&byte| byte == b'\n')
                .count()
                + 1
        };
        SettingsError::Malformed {
            path: path.to_path_buf(),
            place: error
                .span()
                .map(|span| format!(", line {}", line(span.start)))
                .unwrap_or_default(),
            reason: error
                .message()
                .replace("unknown field", "unknown key")
                .replace('\n', " "),
        }
    })
}

fn check_address(key: &'static str, value: &str) -> Result<(), SettingsError> {
    let well_formed = value
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if well_formed {
        Ok(())
    } else {
        Err(SettingsError::Address {
            key,
            value: value.to_string(),
        })
    }
}

/// `scheme://host[:port]` as browsers write it: nothing behind it, so that comparing is all it takes.
fn check_origin(value: &str) -> Result<(), SettingsError> {
    let well_formed = value.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', ' ', '*'])
    });
    if well_formed || value == "*" {
        Ok(())
    } else {
        Err(SettingsError::Origin {
            value: value.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_key_in_one_line() {
        let error = |text: &str| {
            parse(Path::new("t.toml"), text)
                .expect_err("malformed")
                .to_string()
        };
        let unknown = error("pg = \"127.0.0.1:1\"\ncolour = 3\n");
        assert!(
            unknown.contains("t.toml\", line 2: unknown key `colour`"),
            "{unknown}"
        );
        let mistyped = error("http = 8080\n");
        assert!(mistyped.contains("line 1"), "{mistyped}");
        assert!(!unknown.contains('\n') && !mistyped.contains('\n'));
        let flags = Flags {
            http: Some("8080".to_string()),
            ..Flags::default()
        };
        let address = Settings::load(flags).expect_err("no host").to_string();
        assert!(address.starts_with("http must be"), "{address}");
        for origin in [
            "example.com",
            "https://example.com/",
            "https://*.example.com",
        ] {
            let flags = Flags {
                http_origins: Some(vec![origin.to_string()]),
                ..Flags::default()
            };
            let error = Settings::load(flags).expect_err("no origin").to_string();
            assert!(error.starts_with("http_origins must be"), "{error}");
        }
    }

    #[test]
    fn defaults() {
        let settings = Settings::load(Flags::default()).expect("defaults are fine");
        assert_eq!(
            (settings.pg.as_str(), settings.http.as_str()),
            ("127.0.0.1:5433", "127.0.0.1:8080")
        );
    }
}
